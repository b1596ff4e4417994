//! Consult, transfer, conference.
//!
//! Owns: how parties move from one call to another, and with them call data. Must never: leave a call behind in which
//! nobody can talk. Commands come from [`commands`](super::commands).

use jackfield_plugin_api::{
    Failure, Outcome,
    report::{Cause, ConversationState, MemberRole, Reason, Role},
};

use super::{
    Done, Switch,
    calls::{Reached, not_reached},
    message::Ticket,
    model::{CallNo, InteractionNo, Ringing},
    rejected, wrong_state,
};
use crate::settings::Behaviour;

impl Switch {
    pub(super) fn consult(&mut self, interaction: InteractionNo, destination: &str) -> Done {
        let record = &self.interactions[interaction];
        let primary = record.leg(Role::Primary).filter(|leg| leg.is_connected()).map(|leg| leg.call);
        let Some(primary) = primary.filter(|_| record.leg(Role::Consult).is_none()) else {
            return Err(wrong_state("there is no call to consult about, or a consult already"));
        };
        let reached = self.reach(destination)?;
        if let Some(leg) = self.interactions[interaction].leg_in_mut(primary) {
            leg.state = ConversationState::Held;
        }
        let call = self.new_call();
        self.join(call, interaction, Role::Consult, ConversationState::Dialing);
        self.call_party(call, destination, reached, Ringing::Called, interaction, MemberRole::External);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn alternate(&mut self, interaction: InteractionNo, hold: Option<CallNo>, retrieve: CallNo) -> Done {
        if let Some(hold) = hold {
            self.hold(interaction, hold, ConversationState::Held)?;
        }
        self.hold(interaction, retrieve, ConversationState::Talking)
    }

    pub(super) fn consult_transfer(&mut self, interaction: InteractionNo) -> Done {
        let (primary, consult) = self.connected_pair(interaction)?;
        self.remove_agent_party(primary, interaction);
        self.remove_agent_party(consult, interaction);
        self.move_parties(consult, primary, interaction);
        self.end_leg(interaction, primary, Reason::Transferred, None);
        self.end_leg(interaction, consult, Reason::Transferred, None);
        self.members_changed(primary);
        self.thin_out(primary, None);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn consult_conference(&mut self, interaction: InteractionNo) -> Done {
        let (primary, consult) = self.connected_pair(interaction)?;
        self.remove_agent_party(consult, interaction);
        self.move_parties(consult, primary, interaction);
        self.end_leg(interaction, consult, Reason::Released, None);
        self.hold(interaction, primary, ConversationState::Talking)?;
        self.members_changed(primary);
        Ok(Some(Outcome::success()))
    }

    /// The customer is handed to a number. The agent is out of it from here on, whatever becomes of it.
    pub(super) fn blind_transfer(&mut self, interaction: InteractionNo, call: CallNo, destination: &str) -> Done {
        if self.interactions[interaction].leg_in(call).is_none_or(|leg| !leg.is_connected()) {
            return Err(wrong_state("the call is not connected"));
        }
        if let Some(queue) = self.queue_called(destination) {
            return self.hand_to_queue(interaction, call, queue);
        }
        let reached = match self.reach_at_once(destination) {
            Ok(reached) => reached,
            Err((cause, failure)) => {
                self.leave(interaction, call, Reason::Failed, Some(cause));
                return Err(failure);
            }
        };
        self.remove_agent_party(call, interaction);
        self.call_party(call, destination, reached, Ringing::Offered, interaction, MemberRole::External);
        self.end_leg(interaction, call, Reason::Transferred, None);
        self.members_changed(call);
        self.thin_out(call, None);
        Ok(Some(Outcome::success()))
    }

    /// The queue of that name, where nobody has it as a number.
    fn queue_called(&self, destination: &str) -> Option<usize> {
        let is_number =
            self.channel_by_endpoint.contains_key(destination) || self.agent_by_extension.contains_key(destination);
        self.settings.queues.iter().position(|queue| !is_number && queue.name() == destination)
    }

    /// The customer waits in a queue from here on.
    fn hand_to_queue(&mut self, interaction: InteractionNo, call: CallNo, queue: usize) -> Done {
        let mut others = self.calls[call].parties.iter().filter(|party| party.agent != Some(interaction));
        let alone = others.next().is_some_and(|party| party.agent.is_none() && party.ringing.is_none());
        if !alone || others.next().is_some() {
            return Err(rejected("only a single caller can be handed to a queue"));
        }
        if !self.queue_has_room(queue) {
            return Err(rejected("the queue is full"));
        }
        let mut contact = self.interactions[interaction].contact.clone();
        contact.data.insert("queue".to_owned(), self.settings.queues[queue].name().into());
        (contact.call, contact.waits_since) = (Some(call), self.now);
        self.remove_agent_party(call, interaction);
        self.end_leg(interaction, call, Reason::Transferred, None);
        self.enqueue(contact, queue);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn blind_conference(
        &mut self,
        interaction: InteractionNo,
        call: CallNo,
        destination: &str,
        ticket: Ticket,
    ) -> Done {
        let leg = self.interactions[interaction].leg_in(call);
        if leg.is_none_or(|leg| leg.state != ConversationState::Talking) {
            return Err(wrong_state("the call is held or not connected"));
        }
        let reached = self.reach(destination)?;
        self.call_party(call, destination, reached, Ringing::Invited(ticket), interaction, MemberRole::External);
        Ok(None)
    }

    /// A transfer is accepted or refused at once; only whether somebody answers is seen later.
    fn reach_at_once(&self, destination: &str) -> Result<Reached, (Cause, Failure)> {
        let refused = |failure| (Cause::Unreachable, failure);
        let reached = self.reach(destination).map_err(refused)?;
        let cause = match &reached {
            Reached::Number(plan, _) => match plan.behaviour {
                Behaviour::Busy => Cause::Busy,
                Behaviour::Unreachable => Cause::Unreachable,
                _ => return Ok(reached),
            },
            Reached::Agent(_) => return Ok(reached),
        };
        Err((cause, not_reached(cause)))
    }

    /// The calls of the primary and of a connected consult.
    fn connected_pair(&self, interaction: InteractionNo) -> Result<(CallNo, CallNo), Failure> {
        let record = &self.interactions[interaction];
        let connected = |role| record.leg(role).filter(|leg| leg.is_connected()).map(|leg| leg.call);
        match (connected(Role::Primary), connected(Role::Consult)) {
            (Some(primary), Some(consult)) => Ok((primary, consult)),
            _ => Err(wrong_state("there is no connected consult")),
        }
    }

    /// All parties of one call join another; agents among them go on with the contact of the agent who brought them.
    fn move_parties(&mut self, from: CallNo, to: CallNo, by: InteractionNo) {
        let Some(old) = self.calls.remove(from) else { return };
        let contact = self.interactions[by].contact.clone();
        let key = self.calls[to].key.clone();
        for party in old.parties {
            if party.ringing.is_some() {
                self.ringing.insert(party.no, to);
            }
            if let Some(agent) = party.agent {
                let record = &mut self.interactions[agent];
                if let Some(leg) = record.leg_in_mut(from) {
                    leg.call = to;
                    let former = std::mem::replace(&mut leg.key, key.clone());
                    if leg.told && leg.was.is_none() {
                        leg.was = Some(former.clone());
                    }
                    leg.former = Some(former);
                    leg.members_dirty = true;
                }
                record.adopt(&contact);
                self.touch(agent);
            }
            self.calls[to].parties.push(party);
        }
    }

    /// Somebody outside transferred a call: a party is replaced by another one. Whoever still rings cannot have done that,
    /// and is waited for.
    pub(super) fn replace_party(&mut self, call: CallNo, address: String) -> Result<(), Failure> {
        let mut outside =
            self.calls[call].parties.iter().filter(|party| party.agent.is_none() && party.ringing.is_none());
        let Some(other) = outside.next().map(|party| party.no) else {
            return Err(rejected("there is nobody outside to replace"));
        };
        self.remove_party(call, other);
        self.add_party(call, address, None, MemberRole::Customer);
        self.members_changed(call);
        Ok(())
    }
}
