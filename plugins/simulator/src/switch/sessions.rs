//! Agents come and go.
//!
//! Owns: log-in, start, log-out, and what becomes of an agent's things when the session is left. Must never: end a
//! call when a session is only left. Requests come from [`Switch::handle`](super::Switch::handle).

use jackfield_plugin_api::{Code, Ending, Failure, Link, Outcome, Secret, lists::ListKind};

use super::{
    Done, Switch,
    lists::AgentPresence,
    message::{Effect, SessionNo},
    model::{Agent, AgentNo, ChannelNo, Session, Trouble},
    timers::Timer,
};

impl Switch {
    pub(super) fn log_in(
        &mut self,
        session: SessionNo,
        agent: String,
        password: Option<&Secret>,
        goes_on: Option<Option<String>>,
    ) -> Done {
        self.link_is_up()?;
        let accounts = &self.settings.agents;
        if let Some(password) = password
            && !accounts.is_empty()
            && !accounts.iter().any(|account| account.id == agent && account.password == *password)
        {
            return Err(Failure::new(Code::Unauthorized, "unknown agent or wrong password"));
        }
        self.sessions.insert(session, Session { agent_id: agent, agent: None });
        if let Some(extension) = goes_on
            && let Err(failure) = self.attach(session, extension)
        {
            self.sessions.remove(&session);
            return Err(failure);
        }
        Ok(Some(Outcome::success()))
    }

    pub(super) fn start(&mut self, session: SessionNo, extension: Option<String>) -> Done {
        self.link_is_up()?;
        let agent = self.attach(session, extension)?;
        self.report_snapshot(agent);
        Ok(Some(Outcome::success()))
    }

    pub(super) fn snapshot(&mut self, session: SessionNo) -> Done {
        self.link_is_up()?;
        let agent = self.agent_at_work(session)?;
        self.agents[agent].stale = false;
        self.report_snapshot(agent);
        for channel in self.agents[agent].channels.clone() {
            self.refresh_idle(channel);
        }
        Ok(Some(Outcome::success()))
    }

    pub(super) fn log_out(&mut self, session: SessionNo, ending: Ending) -> Done {
        let Some(record) = self.sessions.get(&session) else { return Ok(Some(Outcome::success())) };
        let agent = record.agent.filter(|agent| self.agents.get(*agent).is_some_and(|it| it.session == Some(session)));
        if let Some(agent) = agent {
            if ending == Ending::LogOut {
                if let Some(Trouble::Refuse(code)) = self.agents[agent].trouble.take() {
                    return Err(Failure::new(code, "the switch was told to refuse"));
                }
                self.agents[agent].session = None;
                self.remove_agent(agent);
            } else {
                self.agents[agent].session = None;
                self.forget_told(agent);
                self.came_or_went(agent);
            }
        }
        self.sessions.remove(&session);
        self.lists.forget(session);
        Ok(Some(Outcome::success()))
    }

    /// The agent whose session this is, at work.
    pub(super) fn agent_at_work(&self, session: SessionNo) -> Result<AgentNo, Failure> {
        let agent = self.sessions.get(&session).and_then(|record| record.agent);
        agent
            .filter(|agent| self.agents.get(*agent).is_some_and(|record| record.session == Some(session)))
            .ok_or_else(|| Failure::new(Code::InvalidState, "the session is not at work, or another one replaced it"))
    }

    /// From now on the agent works in this session.
    fn attach(&mut self, session: SessionNo, extension: Option<String>) -> Result<AgentNo, Failure> {
        let Some(record) = self.sessions.get(&session) else {
            return Err(Failure::new(Code::NotFound, "no such session"));
        };
        let id = record.agent_id.clone();
        let known = self.agent_by_id.get(&id).copied();
        if let Some(extension) = &extension {
            self.extension_is_free(extension, known)?;
        }
        let agent = known.unwrap_or_else(|| self.new_agent(id));
        if let Some(record) = self.sessions.get_mut(&session) {
            record.agent = Some(agent);
        }
        if let Some(extension) = extension {
            self.set_extension(agent, Some(extension));
        }
        self.agents[agent].session = Some(session);
        self.agents[agent].stale = false;
        self.forget_told(agent);
        self.came_or_went(agent);
        Ok(agent)
    }

    fn new_agent(&mut self, id: String) -> AgentNo {
        let agent = Agent {
            id: id.clone(),
            session: None,
            extension: None,
            groups: Vec::new(),
            channels: Vec::new(),
            gone_groups: Vec::new(),
            gone_channels: Vec::new(),
            stale: false,
            dirty: false,
            trouble: None,
            presence: AgentPresence::default(),
        };
        let number = self.number();
        let no = self.agents.insert(number, agent);
        self.agent_by_id.insert(id, no);
        no
    }

    fn extension_is_free(&self, extension: &str, agent: Option<AgentNo>) -> Result<(), Failure> {
        let taken = self.agent_by_extension.get(extension).copied().or_else(|| {
            let channel = self.channel_by_endpoint.get(extension)?;
            Some(self.channels[*channel].agent)
        });
        match taken {
            Some(owner) if Some(owner) != agent && self.agents[owner].session.is_some() => {
                Err(Failure::new(Code::Conflict, format!("extension {extension} is in use")))
            }
            _ => Ok(()),
        }
    }

    fn set_extension(&mut self, agent: AgentNo, extension: Option<String>) {
        if let Some(old) = self.agents[agent].extension.take()
            && self.agent_by_extension.get(&old) == Some(&agent)
        {
            self.agent_by_extension.remove(&old);
        }
        if let Some(extension) = extension {
            self.agent_by_extension.insert(extension.clone(), agent);
            self.agents[agent].extension = Some(extension);
        }
    }

    /// The agent's host knows nothing any more: what is over needs no telling, and what is there is new.
    fn forget_told(&mut self, agent: AgentNo) {
        let record = &mut self.agents[agent];
        record.gone_channels.clear();
        record.gone_groups.clear();
        for group in &mut record.groups {
            group.told = false;
        }
        for channel in record.channels.clone() {
            self.forget_channel_told(channel);
            self.refresh_idle(channel);
        }
    }

    fn forget_channel_told(&mut self, channel: ChannelNo) {
        self.channels[channel].told = false;
        for interaction in self.channels[channel].interactions.clone() {
            let record = &mut self.interactions[interaction];
            record.told = false;
            for leg in &mut record.legs {
                leg.told = false;
                leg.was = None;
            }
            self.purge(interaction);
        }
    }

    /// The agent goes home: offers are returned, calls released, channels closed.
    fn remove_agent(&mut self, agent: AgentNo) {
        for channel in self.agents[agent].channels.clone() {
            self.close_channel(channel);
        }
        self.set_extension(agent, None);
        self.report_all();
        if let Some(record) = self.agents.remove(agent) {
            self.agent_by_id.remove(&record.id);
        }
        self.lists.changed(ListKind::Destinations);
        self.lists.changed(ListKind::Endpoints);
    }

    /// Colleagues see the agent otherwise from now on, and what the agent has is in use or not.
    fn came_or_went(&mut self, agent: AgentNo) {
        self.refresh_presence(agent);
        self.lists.changed(ListKind::Destinations);
        self.lists.changed(ListKind::Endpoints);
    }

    fn link_is_up(&self) -> Result<(), Failure> {
        match &self.link {
            Link::Up => Ok(()),
            Link::Down { reason } => Err(Failure::new(Code::LinkDown, reason.clone())),
        }
    }

    /// The link between adapter and switch is lost; what happens here goes on.
    pub(super) fn lose_link(&mut self, ms: u64) {
        if self.link == Link::Up {
            self.link = Link::Down { reason: "the simulator was told to drop the link".to_owned() };
            self.effects.push(Effect::Link(self.link.clone()));
        }
        for agent in self.agents.values_mut() {
            agent.stale = true;
        }
        self.link_timer = Some(self.timers.set(self.now + ms, Timer::LinkBack));
    }

    pub(super) fn regain_link(&mut self) {
        if self.link != Link::Up {
            self.link = Link::Up;
            self.effects.push(Effect::Link(Link::Up));
        }
    }

    /// An agent can be offered contacts only where somebody sees them.
    pub(super) fn is_at_work(&self, agent: AgentNo) -> bool {
        self.agents[agent].session.is_some()
    }
}
