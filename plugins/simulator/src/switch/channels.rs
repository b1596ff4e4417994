//! Channels, channel groups, and whether an agent takes contacts on them.
//!
//! Owns: who uses which endpoint, presence and readiness of a channel, after-call work. Must never: touch a call but by
//! [`calls`](super::calls) and [`contacts`](super::contacts). Commands come from [`commands`](super::commands).

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    lists::ListKind,
    report::{Availability, ChannelType, InteractionState, Key},
};

use super::{
    Done, Switch, ToMatch,
    model::{AgentGroup, AgentNo, Channel, ChannelNo, InteractionNo, Presence, Readiness, Since},
    place, rejected,
    timers::Timer,
    wrong_state,
};
use crate::settings::GroupChannel;

impl Switch {
    // ---- channels and groups come and go ------------------------------------------------------------------------

    pub(super) fn add_channel(&mut self, agent: AgentNo, endpoint: &str, kind: ChannelType) -> Done {
        self.endpoint_is_free(endpoint, agent)?;
        self.open_channel(agent, endpoint.to_owned(), kind, endpoint.to_owned(), None);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn remove_channel(&mut self, channel: ChannelNo) -> Done {
        if self.channels[channel].group.is_some() {
            return Err(Failure::new(Code::NotFound, "the channel belongs to a group"));
        }
        self.may_be_removed(channel)?;
        self.close_channel(channel);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn add_group(&mut self, agent: AgentNo, name: &str, chat: bool, email: bool, callback: bool) -> Done {
        let Some(group) = self.settings.groups.iter().find(|group| group.name == name) else {
            return Err(rejected(format!("there is no channel group {name:?}")));
        };
        if self.agents[agent].groups.iter().any(|known| known.name == name) {
            return Err(Failure::new(Code::Conflict, format!("channel group {name:?} is in the session already")));
        }
        let wanted: Vec<(String, ChannelType, String)> = group
            .channels
            .iter()
            .filter(|channel| match channel.kind {
                _ if channel.callback => callback,
                ChannelType::Chat => chat,
                ChannelType::Email => email,
                _ => true,
            })
            .map(|channel| {
                let endpoint = self.group_endpoint(agent, channel);
                let name = channel.name.clone().unwrap_or_else(|| channel.kind.as_str().to_owned());
                (endpoint, channel.kind, name)
            })
            .collect();
        for (n, (endpoint, ..)) in wanted.iter().enumerate() {
            self.endpoint_is_free(endpoint, agent)?;
            if wanted[..n].iter().any(|(other, ..)| other == endpoint) {
                return Err(Failure::new(Code::Conflict, format!("endpoint {endpoint} is in the group twice")));
            }
        }
        self.agents[agent].groups.push(AgentGroup { name: name.to_owned(), told: false });
        self.touch_agent(agent);
        for (endpoint, kind, text) in wanted {
            self.open_channel(agent, endpoint, kind, text, Some(name.to_owned()));
        }
        Ok(Some(Outcome::success()))
    }

    pub(super) fn remove_group(&mut self, agent: AgentNo, name: &str) -> Done {
        let Some(at) = self.agents[agent].groups.iter().position(|group| group.name == name) else {
            return Err(Failure::new(Code::NotFound, "no such channel group"));
        };
        let channels: Vec<ChannelNo> = self.agents[agent]
            .channels
            .iter()
            .copied()
            .filter(|channel| self.channels[*channel].group.as_deref() == Some(name))
            .collect();
        for channel in &channels {
            self.may_be_removed(*channel)?;
        }
        for channel in channels {
            self.close_channel(channel);
        }
        let group = self.agents[agent].groups.remove(at);
        if group.told {
            self.agents[agent].gone_groups.push(group.name);
        }
        self.touch_agent(agent);
        Ok(Some(Outcome::success()))
    }

    fn group_endpoint(&self, agent: AgentNo, channel: &GroupChannel) -> String {
        let record = &self.agents[agent];
        let extension = record.extension.as_deref().unwrap_or(&record.id);
        match &channel.endpoint {
            Some(endpoint) => endpoint.replace("{agent}", &record.id).replace("{extension}", extension),
            None if channel.callback => format!("{}-callback", record.id),
            None => match channel.kind {
                ChannelType::Chat => format!("{}-chat", record.id),
                ChannelType::Email => format!("{}-email", record.id),
                _ => extension.to_owned(),
            },
        }
    }

    /// An endpoint is used by one session. One that an agent left behind without a contact on it can be had.
    fn endpoint_is_free(&mut self, endpoint: &str, agent: AgentNo) -> Result<(), Failure> {
        let conflict = || Failure::new(Code::Conflict, format!("endpoint {endpoint} is in use"));
        if let Some(channel) = self.channel_by_endpoint.get(endpoint).copied() {
            let owner = self.channels[channel].agent;
            if self.is_at_work(owner) || self.live_on(channel) > 0 {
                return Err(conflict());
            }
            self.close_channel(channel);
        }
        match self.agent_by_extension.get(endpoint) {
            Some(owner) if *owner != agent && self.is_at_work(*owner) => Err(conflict()),
            _ => Ok(()),
        }
    }

    fn open_channel(&mut self, agent: AgentNo, endpoint: String, kind: ChannelType, name: String, group: Option<Key>) {
        let channel = Channel {
            endpoint: endpoint.clone(),
            kind,
            name,
            group,
            agent,
            presence: Presence::Inactive,
            readiness: Readiness::not_ready(None, None),
            since: Since::new((Presence::Inactive, Readiness::not_ready(None, None)), self.now),
            pending: None,
            before_acw: None,
            queues: Vec::new(),
            queue_text: None,
            interactions: Vec::new(),
            idle_since: None,
            ask_skill: false,
            told: false,
            dirty: true,
        };
        let number = self.number();
        let no = self.channels.insert(number, channel);
        self.channel_by_endpoint.insert(endpoint, no);
        self.endpoints_changed();
        self.agents[agent].channels.push(no);
        self.touch_agent(agent);
    }

    fn endpoints_changed(&mut self) {
        self.lists.changed(ListKind::Endpoints);
        self.lists.changed(ListKind::Destinations);
    }

    fn may_be_removed(&self, channel: ChannelNo) -> Result<(), Failure> {
        let record = &self.channels[channel];
        if record.interactions.iter().any(|interaction| !self.interactions[*interaction].gone) {
            return Err(wrong_state(format!("channel {} has an interaction", record.endpoint)));
        }
        Ok(())
    }

    /// The channel is gone, whatever is on it: offers are returned, calls released, the rest is done with.
    pub(super) fn close_channel(&mut self, channel: ChannelNo) {
        self.channels[channel].presence = Presence::Inactive;
        self.refresh_idle(channel);
        for interaction in self.channels[channel].interactions.clone() {
            self.leave_everything(interaction);
            self.drop_interaction(interaction);
        }
        let Some(record) = self.channels.remove(channel) else { return };
        self.channel_by_endpoint.remove(&record.endpoint);
        self.endpoints_changed();
        let agent = &mut self.agents[record.agent];
        agent.channels.retain(|other| *other != channel);
        if record.told {
            agent.gone_channels.push(record.endpoint);
        }
        self.touch_agent(record.agent);
    }

    // ---- presence -----------------------------------------------------------------------------------------------

    pub(super) fn activate(&mut self, channel: ChannelNo, queue: Option<String>) -> Done {
        match self.channels[channel].presence {
            Presence::Active => return Err(wrong_state("the channel is active already")),
            Presence::Unavailable => return Err(Failure::new(Code::Conflict, "the endpoint is not available")),
            Presence::Inactive => {}
        }
        let queues = match &queue {
            None => Vec::new(),
            Some(name) => vec![self.queue_place(name)?],
        };
        let record = &mut self.channels[channel];
        record.presence = Presence::Active;
        record.readiness = Readiness::not_ready(None, None);
        record.pending = None;
        record.before_acw = None;
        record.queues = queues;
        record.queue_text = queue;
        self.touch_channel(channel);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn deactivate(&mut self, channel: ChannelNo) -> Done {
        self.must_be_active(channel)?;
        let interactions = self.channels[channel].interactions.clone();
        let busy = |state| matches!(state, InteractionState::Dialing | InteractionState::Started);
        if interactions.iter().any(|interaction| busy(self.interactions[*interaction].state)) {
            return Err(rejected("a contact is going on"));
        }
        for interaction in interactions {
            if self.interactions[interaction].is_live() {
                self.leave_everything(interaction);
            }
        }
        self.set_presence(channel, Presence::Inactive);
        Ok(Some(Outcome::success()))
    }

    /// The channel becomes inactive or unavailable; what was said of its readiness is void.
    pub(super) fn set_presence(&mut self, channel: ChannelNo, presence: Presence) {
        let record = &mut self.channels[channel];
        record.presence = presence;
        record.pending = None;
        record.before_acw = None;
        record.readiness = Readiness::not_ready(None, None);
        self.touch_channel(channel);
        self.refresh_idle(channel);
    }

    pub(super) fn must_be_active(&self, channel: ChannelNo) -> Result<(), Failure> {
        if self.channels[channel].presence == Presence::Active {
            Ok(())
        } else {
            Err(wrong_state("the channel is not active"))
        }
    }

    // ---- readiness ----------------------------------------------------------------------------------------------

    pub(super) fn ready(&mut self, channel: ChannelNo) -> Done {
        self.must_be_active(channel)?;
        let record = &mut self.channels[channel];
        record.pending = None;
        record.before_acw = None;
        if record.readiness.availability != Availability::Ready {
            record.readiness = Readiness::ready();
        }
        self.touch_channel(channel);
        self.refresh_idle(channel);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn not_ready(&mut self, channel: ChannelNo, code: String, desc: Option<String>) -> Done {
        self.must_be_active(channel)?;
        let wanted = if code == "acw" { Readiness::acw() } else { self.reason(code, desc)? };
        let waits = self.live_on(channel) > 0;
        let record = &mut self.channels[channel];
        if waits && record.readiness.availability == Availability::Ready {
            record.pending = Some(wanted);
        } else {
            record.pending = None;
            record.readiness = wanted;
        }
        record.before_acw = None;
        self.touch_channel(channel);
        self.refresh_idle(channel);
        Ok(Some(Outcome::success()))
    }

    fn reason(&self, code: String, desc: Option<String>) -> Result<Readiness, Failure> {
        let reasons = &self.settings.reasons;
        let known = reasons.iter().find(|reason| reason.code == code);
        if known.is_none() && !reasons.is_empty() {
            return Err(rejected(format!("there is no reason {code:?}")));
        }
        Ok(Readiness::not_ready(Some(code), desc.or_else(|| known.and_then(|reason| reason.desc.clone()))))
    }

    /// A contact has ended on the channel: after-call work begins, or what was pending comes into force.
    pub(super) fn after_contact(&mut self, channel: ChannelNo, ended: InteractionNo, was_started: bool) {
        if self.channels[channel].presence == Presence::Active && self.live_on(channel) == 0 {
            let work_left = was_started && !self.interactions[ended].gone && self.settings.acw;
            let record = &mut self.channels[channel];
            let next = record.pending.take();
            if work_left {
                if let Some(next) = next {
                    record.before_acw = Some(next);
                } else if record.before_acw.is_none() {
                    record.before_acw = Some(record.readiness.clone());
                }
                record.readiness = Readiness::acw();
                if self.settings.acw_ms > 0 {
                    let timer = self.timers.set(self.now + self.settings.acw_ms, Timer::Completes(ended));
                    self.interactions[ended].timer = Some(timer);
                }
                self.touch_channel(channel);
            } else if let Some(next) = next {
                record.readiness = next;
                self.touch_channel(channel);
            }
        }
        self.refresh_idle(channel);
    }

    /// The last contact that was to be wrapped up is done with: the agent is again what the agent was before.
    pub(super) fn after_wrap_up(&mut self, channel: ChannelNo) {
        let open = |interaction: &InteractionNo| !self.interactions[*interaction].gone;
        if self.channels[channel].interactions.iter().any(open) {
            return;
        }
        if let Some(back) = self.channels[channel].before_acw.take() {
            self.channels[channel].readiness = back;
            self.touch_channel(channel);
        }
        self.refresh_idle(channel);
    }

    // ---- who waits for a contact --------------------------------------------------------------------------------

    /// How many contacts are offered, being dialled or going on.
    pub(super) fn live_on(&self, channel: ChannelNo) -> usize {
        let interactions = &self.channels[channel].interactions;
        interactions.iter().filter(|interaction| self.interactions[**interaction].is_live()).count()
    }

    pub(super) fn has_room(&self, channel: ChannelNo) -> bool {
        let most = match self.channels[channel].kind {
            ChannelType::Chat => self.settings.capacity.chat,
            ChannelType::Email => self.settings.capacity.email,
            _ => 1,
        };
        self.live_on(channel) < most
    }

    /// Puts the channel into the line of those who wait for a contact, at its end, or takes it out.
    pub(super) fn refresh_idle(&mut self, channel: ChannelNo) {
        let record = &self.channels[channel];
        let waits = record.presence == Presence::Active
            && record.readiness.availability == Availability::Ready
            && record.pending.is_none()
            && self.is_at_work(record.agent)
            && self.has_room(channel);
        let line = place(record.kind);
        match (waits, record.idle_since) {
            (true, None) => {
                let since = self.number();
                self.idle[line].insert((since, channel));
                self.channels[channel].idle_since = Some(since);
                self.lists.changed(ListKind::Queues);
                if self.waiting_count[line] > 0 {
                    self.to_match.push_back(ToMatch::Channel(channel));
                }
            }
            (false, Some(_)) => self.leave_line(channel),
            _ => {}
        }
    }

    pub(super) fn leave_line(&mut self, channel: ChannelNo) {
        let record = &mut self.channels[channel];
        if let Some(since) = record.idle_since.take() {
            self.idle[place(record.kind)].remove(&(since, channel));
            self.lists.changed(ListKind::Queues);
        }
    }

    pub(super) fn queue_place(&self, name: &str) -> Result<usize, Failure> {
        self.settings
            .queues
            .iter()
            .position(|queue| queue.name() == name)
            .ok_or_else(|| rejected(format!("there is no queue {name:?}")))
    }
}
