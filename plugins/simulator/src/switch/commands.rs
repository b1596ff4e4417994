//! A command finds its object and its function.
//!
//! Owns: the way from keys to the things in the switch, and the small commands on an interaction. Must never: let a
//! command reach another agent's things. Commands come from [`Switch::handle`](super::Switch::handle).

use jackfield_plugin_api::{
    Code, Command, Failure, Json, Outcome,
    command::RecordAction,
    report::{Cause, ConversationAt, ConversationState, InteractionAt, InteractionState, Reason, Recording},
};

use super::{
    Done, Switch,
    message::{SessionNo, Ticket},
    model::{AgentNo, CallNo, ChannelNo, InteractionNo, Trouble},
    rejected, wrong_state,
};

impl Switch {
    pub(super) fn command(&mut self, session: SessionNo, ticket: Ticket, command: Command) -> Done {
        let agent = self.agent_at_work(session)?;
        match self.agents[agent].trouble.take() {
            None => {}
            Some(Trouble::Silence) => return Ok(None),
            Some(Trouble::Refuse(code)) => return Err(Failure::new(code, "the switch was told to refuse")),
        }
        match command {
            Command::AddChannel { endpoint, kind } => self.add_channel(agent, &endpoint, kind),
            Command::RemoveChannel { channel } => self.remove_channel(self.channel_at(agent, &channel)?),
            Command::AddChannelGroup { name, chat, email, callback } => {
                self.add_group(agent, &name, chat, email, callback)
            }
            Command::RemoveChannelGroup { group } => self.remove_group(agent, &group),
            Command::Activate { channel, queue, .. } => self.activate(self.channel_at(agent, &channel)?, queue),
            Command::Deactivate { channel, .. } => self.deactivate(self.channel_at(agent, &channel)?),
            Command::Ready { channel } => self.ready(self.channel_at(agent, &channel)?),
            Command::NotReady { channel, reason_code, reason_desc } => {
                self.not_ready(self.channel_at(agent, &channel)?, reason_code, reason_desc)
            }
            Command::Dial { channel, destination, extensions } => {
                self.dial(self.channel_at(agent, &channel)?, &destination, &extensions)
            }
            Command::Supervise { agent: whom, mode } => self.supervise(agent, &whom, mode),
            Command::ColleagueReady { agent: whom } => self.colleague_ready(agent, &whom),
            Command::ColleagueNotReady { agent: whom, reason_code, reason_desc } => {
                self.colleague_not_ready(agent, &whom, &reason_code, reason_desc.as_ref())
            }
            Command::List(request) => self.list(agent, &request),
            Command::Watch { kind } => self.watch(session, kind, true),
            Command::Unwatch { kind } => self.watch(session, kind, false),
            Command::Extension { name, target, data } => self.extension(agent, &name, &target, &data),
            other => self.contact_command(agent, ticket, other),
        }
    }

    fn contact_command(&mut self, agent: AgentNo, ticket: Ticket, command: Command) -> Done {
        match command {
            Command::Accept { interaction } => self.accept(self.interaction_at(agent, &interaction)?),
            Command::Reject { interaction } => self.reject(self.interaction_at(agent, &interaction)?),
            Command::SetInteractionData { interaction, key, value } => {
                self.set_data(self.interaction_at(agent, &interaction)?, key, value)
            }
            Command::SetDisposition { interaction, disposition } => {
                self.set_disposition(self.interaction_at(agent, &interaction)?, disposition)
            }
            Command::Complete { interaction } => self.wrap_up(self.interaction_at(agent, &interaction)?),
            Command::Consult { interaction, destination } => {
                self.consult(self.interaction_at(agent, &interaction)?, &destination)
            }
            Command::Alternate { interaction, hold, retrieve } => {
                let at = |key: String| ConversationAt {
                    channel: interaction.channel.clone(),
                    interaction: interaction.interaction.clone(),
                    conversation: key,
                };
                let hold = hold.map(|key| self.conversation_at(agent, &at(key))).transpose()?;
                let (no, retrieve) = self.conversation_at(agent, &at(retrieve))?;
                self.alternate(no, hold.map(|(_, call)| call), retrieve)
            }
            Command::ConsultTransfer { interaction } => {
                self.consult_transfer(self.interaction_at(agent, &interaction)?)
            }
            Command::ConsultConference { interaction } => {
                self.consult_conference(self.interaction_at(agent, &interaction)?)
            }
            Command::Record { interaction, action } => self.record(self.interaction_at(agent, &interaction)?, action),
            other => self.call_command(agent, ticket, other),
        }
    }

    fn call_command(&mut self, agent: AgentNo, ticket: Ticket, command: Command) -> Done {
        let at = |switch: &Self, conversation| switch.conversation_at(agent, conversation);
        match command {
            Command::Answer { conversation } => {
                let (interaction, call) = at(self, &conversation)?;
                self.answer(interaction, call)
            }
            Command::Release { conversation } => {
                let (interaction, call) = at(self, &conversation)?;
                self.release(interaction, call)
            }
            Command::Hold { conversation } => {
                let (interaction, call) = at(self, &conversation)?;
                self.hold(interaction, call, ConversationState::Held)
            }
            Command::Retrieve { conversation } => {
                let (interaction, call) = at(self, &conversation)?;
                self.hold(interaction, call, ConversationState::Talking)
            }
            Command::Mute { conversation } => self.mute(at(self, &conversation)?.0, true),
            Command::Unmute { conversation } => self.mute(at(self, &conversation)?.0, false),
            Command::SendDtmf { conversation, .. } => at(self, &conversation).map(|_| Some(Outcome::success())),
            Command::BlindTransfer { conversation, destination } => {
                let (interaction, call) = at(self, &conversation)?;
                self.blind_transfer(interaction, call, &destination)
            }
            Command::BlindConference { conversation, destination } => {
                let (interaction, call) = at(self, &conversation)?;
                self.blind_conference(interaction, call, &destination, ticket)
            }
            Command::Member { conversation, member, action } => {
                let (interaction, call) = at(self, &conversation)?;
                self.member(interaction, call, &member, action)
            }
            _ => Ok(Some(Outcome::unsupported())),
        }
    }

    // ---- small commands -----------------------------------------------------------------------------------------

    fn reject(&mut self, interaction: InteractionNo) -> Done {
        if self.interactions[interaction].state != InteractionState::Alerting {
            return Err(wrong_state("the contact is not offered any more"));
        }
        self.not_taken(interaction, Reason::Rejected, Cause::Busy);
        Ok(Some(Outcome::success()))
    }

    fn set_data(&mut self, interaction: InteractionNo, key: String, value: Json) -> Done {
        let record = &mut self.interactions[interaction];
        if value.get() == "null" {
            record.contact.data.remove(&key);
            record.patch.insert(key, None);
        } else {
            record.contact.data.insert(key.clone(), value.clone());
            record.patch.insert(key, Some(value));
        }
        self.touch(interaction);
        Ok(Some(Outcome::success()))
    }

    fn set_disposition(&mut self, interaction: InteractionNo, disposition: String) -> Done {
        let known = self.dispositions_of(self.interactions[interaction].contact.queue);
        if !known.is_empty() && !known.contains(&disposition) {
            return Err(rejected(format!("there is no disposition {disposition:?}")));
        }
        self.interactions[interaction].disposition = Some(disposition);
        Ok(Some(Outcome::success()))
    }

    fn wrap_up(&mut self, interaction: InteractionNo) -> Done {
        let record = &self.interactions[interaction];
        let talking = record.live_legs().next().is_some();
        if talking || record.state == InteractionState::Alerting {
            return Err(wrong_state("the contact is still going on"));
        }
        self.complete(interaction);
        Ok(Some(Outcome::success()))
    }

    fn record(&mut self, interaction: InteractionNo, action: RecordAction) -> Done {
        if !self.settings.recording {
            return Err(Failure::new(Code::Unsupported, "this switch does not record"));
        }
        let record = &mut self.interactions[interaction];
        if record.state != InteractionState::Started {
            return Err(wrong_state("the call is not going on"));
        }
        record.recording = match (action, record.recording) {
            (RecordAction::Stop, _) => Recording::Off,
            (RecordAction::Start, _) => Recording::On,
            (_, Recording::Off) => return Err(wrong_state("the call is not recorded")),
            (RecordAction::Pause, _) => Recording::Paused,
            (RecordAction::Resume, _) => Recording::On,
        };
        self.touch(interaction);
        Ok(Some(Outcome::success()))
    }

    // ---- from keys to things ------------------------------------------------------------------------------------

    pub(super) fn channel_at(&self, agent: AgentNo, key: &str) -> Result<ChannelNo, Failure> {
        let mine = &self.agents[agent].channels;
        mine.iter()
            .copied()
            .find(|channel| self.channels[*channel].endpoint == key)
            .ok_or_else(|| Failure::new(Code::NotFound, "no such channel"))
    }

    pub(super) fn interaction_at(&self, agent: AgentNo, at: &InteractionAt) -> Result<InteractionNo, Failure> {
        self.find_interaction(agent, &at.channel, &at.interaction)
    }

    fn find_interaction(&self, agent: AgentNo, channel: &str, key: &str) -> Result<InteractionNo, Failure> {
        let channel = self.channel_at(agent, channel)?;
        let mine = self.channels[channel].interactions.iter().rev().copied();
        mine.filter(|interaction| !self.interactions[*interaction].gone)
            .find(|interaction| self.interactions[*interaction].key == key)
            .ok_or_else(|| Failure::new(Code::NotFound, "no such interaction"))
    }

    /// A conversation, by its key or the one that it had before.
    pub(super) fn conversation_at(
        &self,
        agent: AgentNo,
        at: &ConversationAt,
    ) -> Result<(InteractionNo, CallNo), Failure> {
        let interaction = self.find_interaction(agent, &at.channel, &at.interaction)?;
        let legs = || self.interactions[interaction].live_legs();
        legs()
            .find(|leg| leg.key == at.conversation)
            .or_else(|| legs().find(|leg| leg.former.as_ref() == Some(&at.conversation)))
            .map(|leg| (interaction, leg.call))
            .ok_or_else(|| Failure::new(Code::NotFound, "no such conversation"))
    }
}
