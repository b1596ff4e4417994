//! The extension commands: what the world outside does.
//!
//! Owns: arrivals, remote hang-ups, the loss of the link, the question for a skill, and everything else that happens by
//! itself on a real platform and is caused on request here. Must never: be needed by an agent's ordinary work. Commands
//! come from [`commands`](super::commands); their data has passed the manifest's schema.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Code, Failure, Json, Outcome,
    report::{Cause, ChannelType, ConversationState, Direction, InteractionState, MemberRole, Reason, Role, Target},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Done, Switch,
    model::{AgentNo, CallNo, ChannelNo, InteractionNo, Presence, Trouble},
    rejected,
    timers::Timer,
    wrong_state,
};

/// The answer to the command that drops the link must be out before the link is gone.
const LINK_LINGERS_MS: u64 = 20;

#[derive(Deserialize)]
struct Inbound {
    #[serde(rename = "type")]
    kind: ChannelType,
    from: String,
    name: Option<String>,
    queue: Option<String>,
    #[serde(default)]
    data: BTreeMap<String, Json>,
}

/// What an arrival is answered with.
#[derive(Serialize)]
struct Arrived<'a> {
    contact: &'a str,
}

#[derive(Deserialize)]
struct SetLink {
    up: bool,
    ms: Option<u64>,
}

#[derive(Deserialize)]
struct AskSkill {
    on: bool,
}

#[derive(Deserialize, Default)]
struct RemoteHangup {
    address: Option<String>,
}

/// What a dial carries in `extensions`.
#[derive(Deserialize, Default)]
struct DialExtensions {
    skill: Option<SkillAnswer>,
}

#[derive(Deserialize)]
struct SkillAnswer {
    id: Value,
}

/// What is to happen, and to what.
#[derive(Deserialize)]
struct Happening {
    what: What,
    endpoint: Option<String>,
    contact: Option<String>,
    address: Option<String>,
    name: Option<String>,
    from: Option<String>,
    url: Option<String>,
    code: Option<Code>,
    #[serde(default)]
    data: BTreeMap<String, Json>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Abandon,
    Answered,
    Available,
    Completed,
    Elsewhere,
    EndedAndCompleted,
    Hangup,
    MemberChanged,
    PartyJoins,
    PartyLeaves,
    Recall,
    Refuse,
    RemoveChannel,
    ScreenPop,
    Silence,
    Taken,
    TakenAndOver,
    Transferred,
    Unavailable,
}

impl Switch {
    pub(super) fn extension(&mut self, agent: AgentNo, name: &str, target: &Target, data: &Json) -> Done {
        let mine = name.rsplit_once('.').filter(|(space, _)| space.ends_with(".request.simulator"));
        match mine.map(|(_, verb)| verb) {
            Some("inbound") => self.inbound(agent, read(data)?),
            Some("link") => self.set_link(&read(data)?),
            Some("askskill") => self.ask_skill(agent, target, &read(data)?),
            Some("remotehangup") => self.remote_hangup(agent, target, read(data)?),
            Some("list") => self.set_entry(read(data)?),
            Some("cause") => self.cause(agent, target, read(data)?),
            _ => Ok(Some(Outcome::unsupported())),
        }
    }

    fn inbound(&mut self, agent: AgentNo, inbound: Inbound) -> Done {
        let queue = inbound.queue.as_deref().map(|name| self.queue_place(name)).transpose()?;
        if queue.is_some_and(|queue| !self.queue_has_room(queue)) {
            return Err(rejected("the queue is full"));
        }
        let mut contact = self.arrive(inbound.kind, &inbound.from, inbound.name, inbound.data);
        let id = contact.id.clone();
        match queue {
            Some(queue) => {
                contact.data.insert("queue".to_owned(), self.settings.queues[queue].name().into());
                self.enqueue(contact, queue);
            }
            None => self.offer_directly(agent, contact)?,
        }
        Ok(Some(Outcome::data(Json::of(&Arrived { contact: &id }).expect("a text can be written"))))
    }

    fn set_link(&mut self, link: &SetLink) -> Done {
        if link.up {
            self.timers.cancel(self.link_timer.take());
            self.regain_link();
        } else {
            self.timers.cancel(self.link_timer.take());
            let lost = Timer::LinkLost(link.ms.unwrap_or(self.settings.link_ms));
            self.link_timer = Some(self.timers.set(self.now + LINK_LINGERS_MS, lost));
        }
        Ok(Some(Outcome::data(json!({}))))
    }

    fn remote_hangup(&mut self, agent: AgentNo, target: &Target, who: RemoteHangup) -> Done {
        match target {
            Target::Conversation(at) => {
                let (interaction, call) = self.conversation_at(agent, at)?;
                self.hang_up(interaction, Some(call), who.address.as_deref())?;
            }
            Target::Interaction(at) => {
                let interaction = self.interaction_at(agent, at)?;
                self.hang_up(interaction, None, None)?;
            }
            _ => return Ok(Some(Outcome::unsupported())),
        }
        Ok(Some(Outcome::data(json!({}))))
    }

    // ---- the question for a skill -------------------------------------------------------------------------------

    fn ask_skill(&mut self, agent: AgentNo, target: &Target, ask: &AskSkill) -> Done {
        let Target::Channel(key) = target else { return Ok(Some(Outcome::unsupported())) };
        let channel = self.channel_at(agent, key)?;
        self.channels[channel].ask_skill = ask.on;
        Ok(Some(Outcome::data(json!({}))))
    }

    /// The skill that a dial goes out with, or the question for it.
    pub(super) fn skill_for(
        &self,
        channel: ChannelNo,
        extensions: &Json,
    ) -> Result<Result<Option<String>, Outcome>, Failure> {
        if !self.channels[channel].ask_skill {
            return Ok(Ok(None));
        }
        let answer: DialExtensions = read(extensions)?;
        let Some(skill) = answer.skill else {
            let skills = self.settings.skills.iter().map(|skill| json!({ "id": skill.id, "skillName": skill.name }));
            let question = json!({ "id": "simulator.skill", "skills": skills.collect::<Vec<_>>() });
            return Ok(Err(Outcome::NeedInfo(question.into())));
        };
        let id = match skill.id {
            Value::String(id) => id,
            other => other.to_string(),
        };
        match self.settings.skills.iter().find(|known| known.id == id) {
            Some(skill) => Ok(Ok(Some(skill.name.clone()))),
            None => Err(rejected(format!("there is no skill {id:?}"))),
        }
    }

    // ---- whatever happens by itself -----------------------------------------------------------------------------

    fn cause(&mut self, agent: AgentNo, target: &Target, happening: Happening) -> Done {
        match happening.what {
            What::Refuse => {
                self.agents[agent].trouble = Some(Trouble::Refuse(happening.code.unwrap_or(Code::Rejected)));
            }
            What::Silence => self.agents[agent].trouble = Some(Trouble::Silence),
            What::Taken => self.taken(self.channel_meant(agent, target, &happening)?, happening)?,
            What::RemoveChannel => {
                let channel = self.channel_meant(agent, target, &happening)?;
                self.close_channel(channel);
            }
            What::Unavailable => {
                let channel = self.channel_meant(agent, target, &happening)?;
                for interaction in self.channels[channel].interactions.clone() {
                    if self.interactions[interaction].is_live() {
                        self.leave_everything(interaction);
                    }
                }
                self.set_presence(channel, Presence::Unavailable);
            }
            What::Available => {
                let channel = self.channel_meant(agent, target, &happening)?;
                if self.channels[channel].presence == Presence::Unavailable {
                    self.set_presence(channel, Presence::Inactive);
                }
            }
            _ => {
                let interaction = self.interaction_meant(agent, target, &happening)?;
                let call = self.call_meant(agent, target, interaction)?;
                self.cause_on_interaction(interaction, call, happening)?;
            }
        }
        Ok(Some(Outcome::data(json!({}))))
    }

    fn cause_on_interaction(
        &mut self,
        interaction: InteractionNo,
        call: Option<CallNo>,
        happening: Happening,
    ) -> Result<(), Failure> {
        let alerting = self.interactions[interaction].state == InteractionState::Alerting;
        let on_call = || call.ok_or_else(|| wrong_state("there is no conversation"));
        match happening.what {
            What::Abandon | What::Elsewhere | What::Answered | What::TakenAndOver if !alerting => {
                return Err(wrong_state("the contact is not offered"));
            }
            What::Abandon => self.hang_up(interaction, call, None)?,
            What::Elsewhere => self.not_taken(interaction, Reason::Redirected, Cause::NoAnswer),
            What::Answered => self.taken_on_the_device(interaction, call)?,
            What::TakenAndOver => {
                self.taken_on_the_device(interaction, call)?;
                self.hang_up(interaction, call, None)?;
            }
            What::Hangup => self.hang_up(interaction, call, happening.address.as_deref())?,
            What::Completed if self.interactions[interaction].is_live() => {
                return Err(wrong_state("the contact has not ended"));
            }
            What::Completed => self.complete(interaction),
            What::EndedAndCompleted => {
                self.leave_everything(interaction);
                self.complete(interaction);
            }
            What::MemberChanged => self.change_member(on_call()?, &happening)?,
            What::PartyJoins => {
                let address = happening.address.unwrap_or_else(|| "anonymous".to_owned());
                let call = on_call()?;
                self.add_party(call, address, happening.name, MemberRole::External);
                self.members_changed(call);
            }
            What::PartyLeaves => {
                let call = on_call()?;
                self.party_leaves(interaction, call, happening.address.as_deref())?;
            }
            What::Recall => self.recall(interaction)?,
            What::ScreenPop => {
                self.interactions[interaction].url = happening.url;
                self.touch(interaction);
            }
            What::Transferred => self.transferred_here(interaction, on_call()?, happening)?,
            _ => {}
        }
        Ok(())
    }

    /// Whoever is at the other end hangs up: one party of a conference, or the other of two.
    fn hang_up(
        &mut self,
        interaction: InteractionNo,
        call: Option<CallNo>,
        address: Option<&str>,
    ) -> Result<(), Failure> {
        if !self.interactions[interaction].is_live() {
            return Err(wrong_state("the contact is over"));
        }
        let first = || self.interactions[interaction].live_legs().next().map(|leg| leg.call);
        match call.or_else(first) {
            Some(call) => self.party_leaves(interaction, call, address)?,
            None if self.interactions[interaction].state == InteractionState::Alerting => {
                self.end_interaction(interaction, Reason::Abandoned, None);
            }
            None => self.end_interaction(interaction, Reason::Released, None),
        }
        Ok(())
    }

    fn party_leaves(&mut self, me: InteractionNo, call: CallNo, address: Option<&str>) -> Result<(), Failure> {
        let meant = |party: &&super::model::Party| {
            party.agent != Some(me) && address.is_none_or(|address| party.address == address)
        };
        let Some(party) = self.calls[call].parties.iter().find(meant) else {
            return Err(Failure::new(Code::NotFound, "there is no such party"));
        };
        match (party.agent, party.no) {
            (Some(colleague), _) => match self.interactions[colleague].leg_in(call).map(|leg| leg.state) {
                Some(ConversationState::Alerting) => self.not_taken(colleague, Reason::Rejected, Cause::Busy),
                _ => self.leave(colleague, call, Reason::Released, None),
            },
            (None, ringing) if self.ringing.contains_key(&ringing) => self.party_fails(ringing, Cause::Busy),
            (None, other) => {
                self.remove_party(call, other);
                self.members_changed(call);
                self.thin_out(call, None);
            }
        }
        Ok(())
    }

    /// The agent took the contact on the telephone itself, or in another program.
    fn taken_on_the_device(&mut self, interaction: InteractionNo, call: Option<CallNo>) -> Result<(), Failure> {
        match call {
            Some(call) => self.answer(interaction, call),
            None => self.accept(interaction),
        }
        .map(|_| ())
    }

    /// A call that goes on already when it is first seen.
    fn taken(&mut self, channel: ChannelNo, happening: Happening) -> Result<(), Failure> {
        if self.channels[channel].presence != Presence::Active || !self.has_room(channel) {
            return Err(rejected("the channel is not active, or in use"));
        }
        let kind = self.channels[channel].kind;
        let from = happening.from.unwrap_or_else(|| "anonymous".to_owned());
        let contact = self.arrive(kind, &from, happening.name, happening.data);
        let call = contact.call;
        let interaction = self.new_interaction(channel, Direction::Inbound, InteractionState::Started, contact);
        if let Some(call) = call {
            self.join(call, interaction, Role::Primary, ConversationState::Talking);
        }
        Ok(())
    }

    fn change_member(&mut self, call: CallNo, happening: &Happening) -> Result<(), Failure> {
        let meant = |party: &&mut super::model::Party| {
            party.agent.is_none() && happening.address.as_ref().is_none_or(|address| party.address == *address)
        };
        let Some(party) = self.calls[call].parties.iter_mut().find(meant) else {
            return Err(Failure::new(Code::NotFound, "there is no such party"));
        };
        party.name.clone_from(&happening.name);
        self.members_changed(call);
        Ok(())
    }

    /// The customer of an ended call is called back under the same key.
    fn recall(&mut self, interaction: InteractionNo) -> Result<(), Failure> {
        let channel = self.interactions[interaction].channel;
        if self.interactions[interaction].is_live() || self.channels[channel].kind != ChannelType::Telephony {
            return Err(wrong_state("the call has not ended"));
        }
        if !self.has_room(channel) {
            return Err(rejected("the telephone is in use"));
        }
        let record = &self.interactions[interaction];
        let (key, from, data) = (record.key.clone(), record.contact.from.clone(), record.contact.data.clone());
        // The host says of the old one that it is completed when it sees the new one under its key.
        self.drop_interaction(interaction);
        self.after_wrap_up(channel);
        let contact = self.arrive(ChannelType::Telephony, &from, None, data);
        let call = contact.call;
        let again = self.new_interaction(channel, Direction::Inbound, InteractionState::Alerting, contact);
        self.interactions[again].key = key;
        if let Some(call) = call {
            self.ring_agent(call, again, super::model::Ringing::Offered, self.settings.offer_ms);
        }
        Ok(())
    }

    /// Somebody outside transfers a call to the agent's conversation.
    fn transferred_here(
        &mut self,
        interaction: InteractionNo,
        call: CallNo,
        happening: Happening,
    ) -> Result<(), Failure> {
        let from = happening.from.unwrap_or_else(|| "anonymous".to_owned());
        self.replace_party(call, from.clone())?;
        let record = &mut self.interactions[interaction];
        let mut contact = record.contact.clone();
        contact.data.extend(happening.data);
        contact.data.insert("from".to_owned(), from.into());
        record.adopt(&contact);
        Ok(())
    }

    // ---- what is meant ------------------------------------------------------------------------------------------

    fn channel_meant(&self, agent: AgentNo, target: &Target, happening: &Happening) -> Result<ChannelNo, Failure> {
        if let Target::Channel(key) = target {
            return self.channel_at(agent, key);
        }
        match (&happening.endpoint, self.agents[agent].channels.first()) {
            (Some(endpoint), _) => self.channel_at(agent, endpoint),
            (None, Some(first)) => Ok(*first),
            (None, None) => Err(rejected("the session has no channel")),
        }
    }

    /// The interaction that is addressed, or the newest one that fits what is said.
    fn interaction_meant(
        &self,
        agent: AgentNo,
        target: &Target,
        happening: &Happening,
    ) -> Result<InteractionNo, Failure> {
        let endpoint = match target {
            Target::Interaction(at) => return self.interaction_at(agent, at),
            Target::Conversation(at) => return Ok(self.conversation_at(agent, at)?.0),
            Target::Channel(key) => Some(key),
            _ => happening.endpoint.as_ref(),
        };
        let channels = self.agents[agent].channels.iter().map(|channel| &self.channels[*channel]);
        channels
            .filter(|channel| endpoint.is_none_or(|endpoint| *endpoint == channel.endpoint))
            .flat_map(|channel| channel.interactions.iter().copied())
            .filter(|interaction| {
                let record = &self.interactions[*interaction];
                !record.gone && happening.contact.as_ref().is_none_or(|contact| *contact == record.contact.id)
            })
            .max()
            .ok_or_else(|| Failure::new(Code::NotFound, "there is no such interaction"))
    }

    /// The conversation that is addressed, or the one that talks, or the first.
    fn call_meant(
        &self,
        agent: AgentNo,
        target: &Target,
        interaction: InteractionNo,
    ) -> Result<Option<CallNo>, Failure> {
        if let Target::Conversation(at) = target {
            return Ok(Some(self.conversation_at(agent, at)?.1));
        }
        let legs = || self.interactions[interaction].live_legs();
        let talking = legs().find(|leg| leg.state == ConversationState::Talking);
        Ok(talking.or_else(|| legs().next()).map(|leg| leg.call))
    }
}

fn read<T: DeserializeOwned>(data: &Json) -> Result<T, Failure> {
    data.parse().map_err(|error| Failure::new(Code::BadRequest, "the data does not fit").context(error.to_string()))
}
