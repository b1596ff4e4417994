//! Supervision: an agent hears a colleague's call, and decides whether the colleague takes contacts.
//!
//! Owns: who may, whom, and that hearing ends with the colleague's interaction. The supervisor has a call of his own with the
//! colleague in it, so his desktop has an interaction, whose release ends it. Must never: change the call that is heard.
//! Commands come from [`commands`](super::commands).

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    report::{
        ChannelType, ConversationState, Direction, InteractionState, MemberRole, Role, Supervision, SupervisionMode,
    },
};

use super::{
    Done, Switch,
    lists::agent_id,
    model::{AgentNo, ChannelNo, InteractionNo, Presence},
    wrong_state,
};

impl Switch {
    pub(super) fn supervise(&mut self, agent: AgentNo, whom: &str, mode: SupervisionMode) -> Done {
        let whom = agent_id(whom);
        let colleague = self.supervised(agent, whom)?;
        if let Some(going_on) = self.supervision_of(agent, whom) {
            self.interactions[going_on].supervises = Some(Supervision::new(whom, mode));
            self.touch(going_on);
            return Ok(Some(Outcome::success()));
        }
        let heard = colleague.and_then(|colleague| self.talk_of(colleague));
        let heard = heard.ok_or_else(|| wrong_state("the colleague talks to nobody"))?;
        let free = |channel: &ChannelNo| {
            let record = &self.channels[*channel];
            record.kind == ChannelType::Telephony && record.presence == Presence::Active && self.has_room(*channel)
        };
        let phone = self.agents[agent].channels.iter().copied().find(free);
        let phone = phone.ok_or_else(|| wrong_state("the supervisor has no active telephone that is free"))?;

        let address = self.channels[self.interactions[heard].channel].endpoint.clone();
        let contact = self.new_contact(ChannelType::Telephony, &address, BTreeMap::new());
        let interaction = self.new_interaction(phone, Direction::Internal, InteractionState::Started, contact);
        self.interactions[interaction].supervises = Some(Supervision::new(whom, mode));
        let call = self.new_call();
        self.join(call, interaction, Role::Primary, ConversationState::Talking);
        self.add_party(call, address, Some(whom.to_owned()), MemberRole::Agent);
        let calls = &self.calls;
        let heard_by = &mut self.interactions[heard].heard_by;
        heard_by.retain(|call| calls.get(*call).is_some());
        heard_by.push(call);
        Ok(Some(Outcome::success()))
    }

    /// A colleague takes contacts again on all his active channels.
    pub(super) fn colleague_ready(&mut self, agent: AgentNo, whom: &str) -> Done {
        for channel in self.active_channels_of(agent, whom)? {
            self.ready(channel)?;
        }
        Ok(Some(Outcome::success()))
    }

    /// A colleague takes no contacts on all his active channels.
    pub(super) fn colleague_not_ready(
        &mut self,
        agent: AgentNo,
        whom: &str,
        code: &str,
        desc: Option<&String>,
    ) -> Done {
        // An unknown reason is refused on the first of them, so on all.
        for channel in self.active_channels_of(agent, whom)? {
            self.not_ready(channel, code.to_owned(), desc.cloned())?;
        }
        Ok(Some(Outcome::success()))
    }

    fn active_channels_of(&self, agent: AgentNo, whom: &str) -> Result<Vec<ChannelNo>, Failure> {
        let colleague = self.supervised(agent, agent_id(whom))?;
        let channels = colleague.map(|colleague| self.agents[colleague].channels.clone()).unwrap_or_default();
        let is_active = |channel: &ChannelNo| self.channels[*channel].presence == Presence::Active;
        let active: Vec<ChannelNo> = channels.into_iter().filter(is_active).collect();
        match active.is_empty() {
            true => Err(wrong_state("the colleague is not active on any channel")),
            false => Ok(active),
        }
    }

    /// The colleague with this name, if the agent may supervise at all; `None`: one who is not at work.
    fn supervised(&self, agent: AgentNo, whom: &str) -> Result<Option<AgentNo>, Failure> {
        let accounts = &self.settings.agents;
        let own = &self.agents[agent].id;
        if !accounts.is_empty() && !accounts.iter().any(|account| account.id == *own && account.supervisor) {
            return Err(Failure::new(Code::Forbidden, "the settings do not name this agent as a supervisor"));
        }
        let colleague = self.agent_by_id.get(whom).copied();
        if colleague == Some(agent) || colleague.is_none() && !accounts.iter().any(|account| account.id == whom) {
            return Err(Failure::new(Code::NotFound, format!("there is no colleague {whom:?}")));
        }
        Ok(colleague)
    }

    /// The agent's live interactions.
    fn live_of(&self, agent: AgentNo) -> impl Iterator<Item = InteractionNo> {
        let channels = self.agents[agent].channels.iter().map(|channel| &self.channels[*channel]);
        let interactions = channels.flat_map(|channel| channel.interactions.iter().copied());
        interactions.filter(|interaction| self.interactions[*interaction].is_live())
    }

    /// The interaction in which the agent hears that colleague.
    fn supervision_of(&self, agent: AgentNo, whom: &str) -> Option<InteractionNo> {
        self.live_of(agent).find(|interaction| {
            self.interactions[*interaction].supervises.as_ref().is_some_and(|supervision| supervision.agent == whom)
        })
    }

    /// The call of his own in which a colleague talks.
    fn talk_of(&self, colleague: AgentNo) -> Option<InteractionNo> {
        self.live_of(colleague).find(|interaction| {
            let record = &self.interactions[*interaction];
            record.supervises.is_none() && record.live_legs().any(super::model::Leg::is_connected)
        })
    }

    /// Whoever hears this interaction's calls hears nothing any more.
    pub(super) fn end_supervisions(&mut self, heard: InteractionNo) {
        for call in std::mem::take(&mut self.interactions[heard].heard_by) {
            self.clear_call(call, None);
        }
    }
}
