//! A session's agent at the adapter: there, or lost and logged in again for as long as it takes.
//!
//! Owns: where the agent is, and when it is logged in again. Must never: leave a session without an agent, but for its
//! end, or have two.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Backoff, Code, Failure, Link};
use tokio::time::Instant;

use super::{SessionState, lifecycle::Lifecycle, migration::Migration, pending::HeldBack};
use crate::session::{
    DisposedReason,
    adapter_connection::AdapterConnection,
    commands::{CommandSet, LOGOUT},
    effects::{AgentLogIn, Effect, Effects},
};

/// The pauses before a lost agent is logged in again.
pub(super) const LOG_IN_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));

/// Where an agent is.
pub(super) enum AgentPresence {
    /// Logged in.
    Present,
    /// Lost, and being logged in again.
    LoggingIn,
    /// Lost, and logged in again after a pause.
    Pausing { until: Instant },
    /// On its way to another adapter connection.
    Migrating(Migration),
    /// The session is over.
    Gone,
}

impl AgentPresence {
    /// Whether there is one that can be asked for something.
    pub(super) fn is_present(&self) -> bool {
        match self {
            Self::Present => true,
            Self::Migrating(migration) => migration.has_agent(),
            _ => false,
        }
    }

    /// Which commands wait until it has arrived. As long as it has not begun to leave, a call can be ended.
    pub(super) fn holds_back(&self) -> HeldBack {
        match self {
            Self::Migrating(migration) if migration.is_holding() => HeldBack::AllButUrgent,
            Self::Migrating(_) => HeldBack::All,
            _ => HeldBack::None,
        }
    }

    /// Whether it is on its way.
    pub(super) fn is_migrating(&self) -> bool {
        matches!(self, Self::Migrating(_))
    }

    /// It stays where it is.
    pub(super) fn end_migration(&mut self) {
        if self.is_migrating() {
            *self = Self::Present;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Pausing { until, .. } => Some(*until),
            Self::Migrating(migration) => migration.deadline(),
            _ => None,
        }
    }
}

impl SessionState {
    /// The adapter has lost the agent, who has to be logged in again.
    pub(super) fn lose_agent(&mut self, reason: &str, now: Instant, effects: &mut Effects) {
        if self.lifecycle.has_ended() {
            return self.let_go(effects);
        }
        if matches!(self.agent, AgentPresence::LoggingIn) {
            // The adapter is gone again before it was through.
            self.drop_agent(effects);
            return self.pause_log_in(now);
        }
        self.drop_agent(effects);
        self.agent = AgentPresence::Gone;
        let failure = Failure::new(Code::AdapterFailed, "the adapter was lost: the outcome is unknown").context(reason);
        self.fail_asked(&failure, effects, |_| true);
        match &mut self.lifecycle {
            Lifecycle::Expiring { .. } => {
                return self.end(Some(DisposedReason::Expired), false, None, now, effects);
            }
            Lifecycle::Started { late_logout } => *late_logout = None,
            _ => {}
        }
        self.link.lose_agent(reason);
        self.follow_link(effects);
        self.log_in_backoff.reset();
        self.log_in(effects);
    }

    /// Drops the agent, or the log-in under way; messages of either are ignored from now on.
    pub(super) fn drop_agent(&mut self, effects: &mut Effects) {
        effects.push(Effect::DropAgent);
        self.generation = self.generation.wrapping_add(1);
    }

    fn log_in(&mut self, effects: &mut Effects) {
        self.agent = AgentPresence::LoggingIn;
        let connection = Arc::clone(&self.adapter_connection);
        self.push_log_in(connection, true, effects);
    }

    /// Has the agent logged in on a connection. Messages of earlier log-ins are ignored from now on.
    pub(super) fn push_log_in(&mut self, connection: Arc<AdapterConnection>, patient: bool, effects: &mut Effects) {
        self.generation = self.generation.wrapping_add(1);
        let (generation, resume) = (self.generation, self.resume.clone());
        effects.push(Effect::LogIn(AgentLogIn { connection, generation, resume, patient }));
    }

    fn pause_log_in(&mut self, now: Instant) {
        self.agent = AgentPresence::Pausing { until: now + self.log_in_backoff.next_pause() };
    }

    /// Handles the outcome of a log-in.
    pub(super) fn logged_in(&mut self, outcome: Result<Arc<CommandSet>, Failure>, now: Instant, effects: &mut Effects) {
        match (&self.agent, outcome) {
            (AgentPresence::Migrating(_), outcome) => self.arrived(outcome, now, effects),
            (AgentPresence::LoggingIn, Ok(command_set)) => {
                self.agent = AgentPresence::Present;
                let (link, losses) = self.adapter_connection.link();
                self.link.set_tenant(link, losses);
                self.set_command_set(command_set);
                self.follow_link(effects);
            }
            (AgentPresence::LoggingIn, Err(failure)) if is_final(failure.code) => {
                let (tenant, session) = (self.metrics.tenant(), super::short(&self.id));
                tracing::warn!(tenant, session, "an agent cannot be logged in again: {failure}");
                self.end(Some(DisposedReason::AdapterFailed), false, None, now, effects);
            }
            (AgentPresence::LoggingIn, Err(failure)) => {
                let failed = self.log_in_backoff.failures();
                let (tenant, session) = (self.metrics.tenant(), super::short(&self.id));
                tracing::info!(tenant, session, failed, "logging an agent in again: {failure}");
                self.pause_log_in(now);
            }
            // Nobody has asked for one.
            (_, Ok(_)) => effects.push(Effect::DropAgent),
            (_, Err(_)) => {}
        }
    }

    /// The agent may be one of another version of the adapter, which can do other things.
    pub(super) fn set_command_set(&mut self, command_set: Arc<CommandSet>) {
        self.tree.set_capabilities(&command_set.capabilities);
        self.command_set = command_set;
    }

    /// The session is on another adapter connection from now on, as after a crash.
    pub(super) fn replace_connection(
        &mut self,
        connection: &Arc<AdapterConnection>,
        now: Instant,
        effects: &mut Effects,
    ) {
        if !self.lifecycle.is_bindable() {
            return;
        }
        self.adapter_connection = Arc::clone(connection);
        match self.agent {
            AgentPresence::Present | AgentPresence::Migrating(_) => {
                self.lose_agent("the adapter is replaced by another version", now, effects);
            }
            AgentPresence::LoggingIn | AgentPresence::Pausing { .. } => self.log_in(effects),
            AgentPresence::Gone => {}
        }
    }

    /// Does what is due at this time.
    pub(super) fn agent_due(&mut self, now: Instant, effects: &mut Effects) {
        if self.agent.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.agent {
            AgentPresence::Pausing { .. } => self.log_in(effects),
            AgentPresence::Migrating(_) => self.migration_due(now, effects),
            _ => {}
        }
    }

    /// Emits the link's state if it has changed for the client.
    pub(super) fn follow_link(&mut self, effects: &mut Effects) {
        if self.lifecycle.has_ended() {
            return;
        }
        let started = self.lifecycle.is_started();
        while let Some(change) = self.link.follow(self.agent.is_present(), started) {
            let event = self.tree.set_link(&change);
            if let Link::Down { reason } = &change {
                let failure = Failure::new(Code::Timeout, "the link to the platform was lost: the outcome is unknown");
                self.fail_asked(&failure.context(reason.clone()), effects, |command| !command.is(LOGOUT));
            }
            // A start that has failed by it is as if it had not begun.
            if self.lifecycle.is_started() {
                self.emit(event.as_slice(), effects);
            }
        }
    }
}

/// Whether asking again is no use.
fn is_final(code: Code) -> bool {
    matches!(code, Code::Unauthorized | Code::Forbidden | Code::Conflict | Code::NotFound)
}
