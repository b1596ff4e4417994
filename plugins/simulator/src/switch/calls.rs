//! Calls: placed, answered, left, ended.
//!
//! Owns: the parties of each call, and what becomes of a call when one of them answers, fails or leaves. Must never:
//! know queues or readiness. Commands come from [`commands`](super::commands) and [`transfer`](super::transfer).
//!
//! A call lives while two parties are connected, or one waits for a party that rings for it; and only while an agent of
//! this switch is in it, rings for it, or a customer waits in a queue.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Code, Failure, Json, Outcome,
    command::MemberAction,
    report::{Cause, ChannelType, ConversationState, Direction, InteractionState, MemberRole, Reason, Role},
};

use super::{
    Done, Switch,
    model::{Call, CallNo, ChannelNo, Contact, InteractionNo, Leg, Party, PartyNo, Presence, Ringing, Since, key},
    rejected,
    timers::Timer,
    wrong_state,
};
use crate::settings::{Behaviour, Plan};

/// What a number leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reached {
    /// An agent who can be rung.
    Agent(ChannelNo),
    /// Somebody outside, or an agent who cannot be rung.
    Number(Plan, MemberRole),
}

/// Why a party could not be called into a conversation.
pub(super) fn not_reached(cause: Cause) -> Failure {
    match cause {
        Cause::Busy => Failure::new(Code::Busy, "the destination is busy"),
        Cause::NoAnswer => Failure::new(Code::Unreachable, "the destination does not answer").context("noanswer"),
        Cause::Cancelled => Failure::new(Code::Rejected, "the conversation ended before the destination answered"),
        Cause::Unreachable => Failure::new(Code::Unreachable, "the destination cannot be reached"),
    }
}

impl Switch {
    // ---- the agent's commands -----------------------------------------------------------------------------------

    pub(super) fn dial(&mut self, channel: ChannelNo, destination: &str, extensions: &Json) -> Done {
        self.must_be_active(channel)?;
        if self.channels[channel].kind != ChannelType::Telephony {
            return Err(Failure::new(Code::Unsupported, "only telephones can dial"));
        }
        let skill = match self.skill_for(channel, extensions)? {
            Ok(skill) => skill,
            Err(question) => return Ok(Some(question)),
        };
        if self.live_on(channel) > 0 {
            return Err(rejected("the telephone is in use"));
        }
        let reached = self.reach(destination)?;
        let mut data: BTreeMap<String, Json> = BTreeMap::new();
        data.insert("destination".to_owned(), destination.into());
        if let Some(skill) = skill {
            data.insert("skill".to_owned(), skill.into());
        }
        let contact = self.new_contact(ChannelType::Telephony, destination, data);
        let interaction = self.new_interaction(channel, Direction::Outbound, InteractionState::Dialing, contact);
        let call = self.new_call();
        self.join(call, interaction, Role::Primary, ConversationState::Dialing);
        self.call_party(call, destination, reached, Ringing::Called, interaction, MemberRole::Customer);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn answer(&mut self, interaction: InteractionNo, call: CallNo) -> Done {
        let leg = self.interactions[interaction].leg_in(call);
        if leg.is_none_or(|leg| leg.state != ConversationState::Alerting) {
            return Err(wrong_state("the call does not ring any more"));
        }
        let party = self.calls[call].party_of(interaction).map(|party| party.no);
        if let Some(party) = party {
            self.party_answers(party);
        }
        Ok(Some(Outcome::success()))
    }

    pub(super) fn release(&mut self, interaction: InteractionNo, call: CallNo) -> Done {
        let state = self.interactions[interaction].leg_in(call).map(|leg| leg.state);
        match state {
            Some(ConversationState::Dialing) => {
                self.leave(interaction, call, Reason::Failed, Some(Cause::Cancelled));
            }
            Some(ConversationState::Alerting) => self.not_taken(interaction, Reason::Rejected, Cause::Busy),
            Some(_) => self.leave(interaction, call, Reason::Released, None),
            None => return Err(wrong_state("the call is over")),
        }
        Ok(Some(Outcome::success()))
    }

    pub(super) fn hold(&mut self, interaction: InteractionNo, call: CallNo, state: ConversationState) -> Done {
        let record = &mut self.interactions[interaction];
        if state == ConversationState::Talking && record.talks_but_in(call) {
            return Err(wrong_state("the agent talks in another call"));
        }
        let Some(leg) = record.leg_in_mut(call).filter(|leg| leg.is_connected()) else {
            return Err(wrong_state("the call is not connected"));
        };
        leg.state = state;
        self.touch(interaction);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn mute(&mut self, interaction: InteractionNo, muted: bool) -> Done {
        self.interactions[interaction].muted = muted;
        self.touch(interaction);
        Ok(Some(Outcome::success()))
    }

    /// Something is done with one of the others in a conference.
    pub(super) fn member(
        &mut self,
        interaction: InteractionNo,
        call: CallNo,
        member: &str,
        action: MemberAction,
    ) -> Done {
        let other = |party: &&Party| party.agent != Some(interaction) && party.ringing.is_none();
        let party = self.calls[call].parties.iter().filter(other).find(|party| party.member_key() == member);
        let Some((party, agent)) = party.map(|party| (party.no, party.agent)) else {
            return Err(Failure::new(Code::NotFound, "no such member"));
        };
        match (action, agent) {
            (MemberAction::Remove, Some(agent)) => self.leave(agent, call, Reason::Released, None),
            (MemberAction::Remove, None) => {
                self.remove_party(call, party);
                self.members_changed(call);
                self.thin_out(call, None);
            }
            (action, _) => {
                let Some(record) = self.calls[call].party_mut(party) else { return Ok(Some(Outcome::success())) };
                match action {
                    MemberAction::Mute => record.muted = true,
                    MemberAction::Unmute => record.muted = false,
                    MemberAction::Hold => record.held = true,
                    MemberAction::Retrieve => record.held = false,
                    _ => return Ok(Some(Outcome::unsupported())),
                }
                self.members_changed(call);
            }
        }
        Ok(Some(Outcome::success()))
    }

    // ---- what a number leads to ---------------------------------------------------------------------------------

    /// # Errors
    /// The switch does not even try.
    pub(super) fn reach(&self, number: &str) -> Result<Reached, Failure> {
        let own = Plan { behaviour: Behaviour::Unreachable, ring_ms: self.settings.ring_ms };
        let channels = match (self.channel_by_endpoint.get(number), self.agent_by_extension.get(number)) {
            (Some(channel), _) => vec![*channel],
            (None, Some(agent)) => self.agents[*agent].channels.clone(),
            (None, None) => {
                let plan = self.settings.plan(number);
                return if plan.behaviour == Behaviour::Refused {
                    Err(rejected(format!("the switch does not place calls to {number}")))
                } else {
                    Ok(Reached::Number(plan, MemberRole::External))
                };
            }
        };
        let phones: Vec<ChannelNo> = channels
            .into_iter()
            .filter(|channel| {
                let record = &self.channels[*channel];
                record.kind == ChannelType::Telephony
                    && record.presence == Presence::Active
                    && self.is_at_work(record.agent)
            })
            .collect();
        Ok(match phones.iter().find(|phone| self.has_room(**phone)) {
            Some(free) => Reached::Agent(*free),
            None if phones.is_empty() => Reached::Number(own, MemberRole::Agent),
            None => Reached::Number(Plan { behaviour: Behaviour::Busy, ..own }, MemberRole::Agent),
        })
    }

    /// Calls a party into a call, on behalf of an agent's part in it.
    pub(super) fn call_party(
        &mut self,
        call: CallNo,
        number: &str,
        reached: Reached,
        ringing: Ringing,
        caller: InteractionNo,
        outside: MemberRole,
    ) {
        match reached {
            Reached::Agent(channel) => {
                let (direction, contact) = self.card_for(caller, ringing);
                let state = InteractionState::Alerting;
                let interaction = self.new_interaction(channel, direction, state, contact);
                self.ring_agent(call, interaction, ringing, self.settings.no_answer_ms);
            }
            Reached::Number(plan, role) => {
                let role = if role == MemberRole::Agent { role } else { outside };
                let party = self.add_party(call, number.to_owned(), None, role);
                let (after, timer) = match plan.behaviour {
                    Behaviour::Answer => (plan.ring_ms, Timer::Answers(party)),
                    Behaviour::Busy => (plan.ring_ms, Timer::Fails(party, Cause::Busy)),
                    Behaviour::NoAnswer => (self.settings.no_answer_ms, Timer::Fails(party, Cause::NoAnswer)),
                    Behaviour::Unreachable | Behaviour::Refused => {
                        (plan.ring_ms, Timer::Fails(party, Cause::Unreachable))
                    }
                };
                self.ring(call, party, ringing, after, timer);
            }
        }
    }

    /// What an agent is shown who is called by a colleague. A call that is handed over brings its data along; one for
    /// advice does not until the caller is transferred.
    fn card_for(&mut self, caller: InteractionNo, ringing: Ringing) -> (Direction, Contact) {
        let record = &self.interactions[caller];
        if ringing == Ringing::Called {
            let from = self.channels[record.channel].endpoint.clone();
            let mut contact = self.new_contact(ChannelType::Telephony, &from, BTreeMap::new());
            contact.data.insert("from".to_owned(), from.into());
            return (Direction::Internal, contact);
        }
        let contact = Contact { call: None, refused: Vec::new(), patience: None, ..record.contact.clone() };
        let direction = if ringing == Ringing::Offered { Direction::Inbound } else { Direction::Internal };
        (direction, contact)
    }

    // ---- parties ------------------------------------------------------------------------------------------------

    pub(super) fn new_call(&mut self) -> CallNo {
        let number = self.number();
        self.calls.insert(number, Call { key: key("call", number), parties: Vec::new() })
    }

    pub(super) fn add_party(
        &mut self,
        call: CallNo,
        address: String,
        name: Option<String>,
        role: MemberRole,
    ) -> PartyNo {
        let no = PartyNo(self.number());
        let party =
            Party { no, address, name, role, muted: false, held: false, agent: None, ringing: None, timer: None };
        self.calls[call].parties.push(party);
        no
    }

    /// The agent's part gets a conversation in the call.
    pub(super) fn join(
        &mut self,
        call: CallNo,
        interaction: InteractionNo,
        role: Role,
        state: ConversationState,
    ) -> PartyNo {
        let channel = &self.channels[self.interactions[interaction].channel];
        let (address, name) = (channel.endpoint.clone(), self.agents[channel.agent].id.clone());
        let party = self.add_party(call, address, Some(name), MemberRole::Agent);
        if let Some(record) = self.calls[call].party_mut(party) {
            record.agent = Some(interaction);
        }
        let leg = Leg {
            key: self.calls[call].key.clone(),
            was: None,
            former: None,
            role,
            state,
            since: Since::new(state, self.now),
            reason: None,
            cause: None,
            call,
            told: false,
            members_dirty: true,
        };
        self.interactions[interaction].legs.push(leg);
        self.touch(interaction);
        party
    }

    /// An agent is rung, for so long.
    pub(super) fn ring_agent(&mut self, call: CallNo, interaction: InteractionNo, ringing: Ringing, ms: u64) {
        let party = self.join(call, interaction, Role::Primary, ConversationState::Alerting);
        self.ring(call, party, ringing, ms, Timer::Fails(party, Cause::NoAnswer));
    }

    fn ring(&mut self, call: CallNo, party: PartyNo, ringing: Ringing, ms: u64, timer: Timer) {
        let timer = self.timers.set(self.now + ms, timer);
        self.ringing.insert(party, call);
        if let Some(record) = self.calls[call].party_mut(party) {
            record.ringing = Some(ringing);
            record.timer = Some(timer);
        }
    }

    /// A party that rang has answered.
    pub(super) fn party_answers(&mut self, party: PartyNo) {
        let Some(call) = self.ringing.remove(&party) else { return };
        let Some(record) = self.calls[call].party_mut(party) else { return };
        let (ringing, timer, agent) = (record.ringing.take(), record.timer.take(), record.agent);
        self.timers.cancel(timer);
        if let Some(agent) = agent {
            self.connect_leg(agent, call);
        }
        match ringing {
            Some(Ringing::Called) => {
                for at in 0..self.calls[call].parties.len() {
                    let Some(caller) = self.calls[call].parties[at].agent else { continue };
                    let leg = self.interactions[caller].leg_in(call);
                    if leg.is_some_and(|leg| leg.state == ConversationState::Dialing) {
                        self.connect_leg(caller, call);
                    }
                }
            }
            Some(Ringing::Invited(ticket)) => self.answers.push((ticket, Outcome::success())),
            Some(Ringing::Offered) | None => {}
        }
        self.members_changed(call);
    }

    fn connect_leg(&mut self, interaction: InteractionNo, call: CallNo) {
        let record = &mut self.interactions[interaction];
        // An agent who went back to the customer while the consult rang finds it on hold.
        let talks = record.talks_but_in(call);
        if let Some(leg) = record.leg_in_mut(call) {
            leg.state = if talks { ConversationState::Held } else { ConversationState::Talking };
            if leg.role == Role::Primary {
                record.state = InteractionState::Started;
            }
        }
        self.touch(interaction);
    }

    /// A party that rang does not come.
    pub(super) fn party_fails(&mut self, party: PartyNo, cause: Cause) {
        let Some(call) = self.ringing.get(&party).copied() else { return };
        if let Some(agent) = self.calls[call].party(party).and_then(|record| record.agent) {
            self.metric("offers_unanswered_total", Vec::new(), 1.0);
            self.not_taken(agent, Reason::Redirected, cause);
            return;
        }
        let ringing = self.remove_party(call, party);
        self.members_changed(call);
        match ringing {
            Some(Ringing::Invited(ticket)) => {
                self.answers.push((ticket, Outcome::Failure(not_reached(cause))));
                self.thin_out(call, None);
            }
            _ => self.thin_out(call, Some(cause)),
        }
    }

    /// Takes a party out, and says whether and why it rang.
    pub(super) fn remove_party(&mut self, call: CallNo, party: PartyNo) -> Option<Ringing> {
        let record = self.calls.get_mut(call)?;
        let at = record.parties.iter().position(|other| other.no == party)?;
        let party = record.parties.remove(at);
        self.timers.cancel(party.timer);
        self.ringing.remove(&party.no);
        party.ringing
    }

    pub(super) fn remove_agent_party(&mut self, call: CallNo, interaction: InteractionNo) -> Option<Ringing> {
        let party = self.calls.get(call)?.party_of(interaction)?.no;
        self.remove_party(call, party)
    }

    /// Whoever is in the call shall be told who else is.
    pub(super) fn members_changed(&mut self, call: CallNo) {
        for at in 0..self.calls.get(call).map_or(0, |record| record.parties.len()) {
            let Some(agent) = self.calls[call].parties[at].agent else { continue };
            if let Some(leg) = self.interactions[agent].leg_in_mut(call) {
                leg.members_dirty = true;
            }
            self.touch(agent);
        }
    }

    // ---- the end ------------------------------------------------------------------------------------------------

    /// An agent leaves the call; the others go on if they can.
    pub(super) fn leave(&mut self, interaction: InteractionNo, call: CallNo, reason: Reason, cause: Option<Cause>) {
        self.remove_agent_party(call, interaction);
        self.end_leg(interaction, call, reason, cause);
        self.members_changed(call);
        self.thin_out(call, None);
    }

    /// A conversation ends, and its interaction with the last one.
    pub(super) fn end_leg(&mut self, interaction: InteractionNo, call: CallNo, reason: Reason, cause: Option<Cause>) {
        let record = &mut self.interactions[interaction];
        let Some(leg) = record.leg_in_mut(call) else { return };
        leg.state = ConversationState::Ended;
        leg.reason = Some(reason);
        leg.cause = cause;
        let last = record.live_legs().next().is_none();
        self.touch(interaction);
        if last {
            self.end_interaction(interaction, reason, cause);
        }
    }

    /// Ends the call if nobody is left to talk to, or nobody whom this switch knows.
    pub(super) fn thin_out(&mut self, call: CallNo, cause: Option<Cause>) {
        let Some(record) = self.calls.get(call) else { return };
        let connected = record.parties.iter().filter(|party| party.ringing.is_none()).count();
        let awaited =
            record.parties.iter().any(|party| matches!(party.ringing, Some(Ringing::Called | Ringing::Offered)));
        let known = record.parties.iter().any(|party| party.agent.is_some());
        let goes_on = connected >= 2 || connected == 1 && awaited;
        if !goes_on || !known {
            self.clear_call(call, cause);
        }
    }

    /// Ends the call for all who are in it; those who were calling are told the cause.
    pub(super) fn clear_call(&mut self, call: CallNo, cause: Option<Cause>) {
        let Some(record) = self.calls.remove(call) else { return };
        for party in record.parties {
            self.timers.cancel(party.timer);
            self.ringing.remove(&party.no);
            if let Some(Ringing::Invited(ticket)) = party.ringing {
                self.answers.push((ticket, Outcome::Failure(not_reached(cause.unwrap_or(Cause::Cancelled)))));
            }
            let Some(interaction) = party.agent else { continue };
            match self.interactions[interaction].leg_in(call).map(|leg| leg.state) {
                Some(ConversationState::Dialing) => {
                    self.end_leg(interaction, call, Reason::Failed, Some(cause.unwrap_or(Cause::Unreachable)));
                }
                Some(ConversationState::Alerting) => self.end_leg(interaction, call, Reason::Abandoned, None),
                Some(_) => self.end_leg(interaction, call, Reason::Released, None),
                None => {}
            }
        }
    }
}
