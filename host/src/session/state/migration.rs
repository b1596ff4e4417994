//! How an agent is moved from one adapter connection to another while its desktop works on.
//!
//! Owns: the order of a move. New commands are held back (they wait, as behind another command), but for those that end a
//! call; when those in flight are answered, the agent leaves the old adapter ([`Ending::Leave`]: its calls stay), is logged
//! in at the new one with its resume state, and a snapshot is applied; then the commands go on. So none is sent twice and
//! none fails. Must never: hold a session back without a deadline, or leave it without an agent: what cannot be moved goes
//! back where it was, and where that fails too it is logged in again as after a crash.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Code, Ending, Failure};
use tokio::{sync::oneshot, time::Instant};

use super::{SessionState, agent::AgentPresence};
use crate::{
    plugin::RequestId,
    session::{
        adapter_connection::AdapterConnection,
        commands::CommandSet,
        effects::{Ask, Effect, Effects},
        input::{Migrate, NotMoved},
    },
};

/// How long new commands are held back, at one attempt, for those in flight to be answered.
const HOLD: Duration = Duration::from_secs(1);

/// How long an agent may take to leave the old adapter.
const LEAVE_DEADLINE: Duration = Duration::from_secs(5);

/// A move under way.
pub(super) struct Migration {
    from: Arc<AdapterConnection>,
    to: Arc<AdapterConnection>,
    step: Step,
    /// Why the new adapter does not take the agent, who is on its way back.
    refused: Option<Failure>,
    done: oneshot::Sender<Result<(), NotMoved>>,
}

/// How far it has come.
enum Step {
    /// Commands in flight are waited for.
    Holding { until: Instant },
    /// The agent was asked to leave.
    Leaving { request: RequestId, until: Instant },
    /// The agent is being logged in.
    Arriving,
    /// The agent was asked for a snapshot.
    Settling { request: RequestId, until: Instant },
}

impl Migration {
    pub(super) fn is_holding(&self) -> bool {
        matches!(self.step, Step::Holding { .. })
    }

    pub(super) fn has_agent(&self) -> bool {
        !matches!(self.step, Step::Arriving)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.step {
            Step::Holding { until } | Step::Leaving { until, .. } | Step::Settling { until, .. } => Some(until),
            // The log-in has one of its own.
            Step::Arriving => None,
        }
    }

    /// Where the agent is going now.
    fn destination(&self) -> &Arc<AdapterConnection> {
        if self.refused.is_some() { &self.from } else { &self.to }
    }
}

impl SessionState {
    pub(super) fn begin_migration(&mut self, migrate: Migrate, now: Instant, effects: &mut Effects) {
        let Migrate { from, to, done } = migrate;
        let outcome = match self.agent {
            _ if !self.lifecycle.is_bindable() || !Arc::ptr_eq(&self.adapter_connection, &from) => Err(NotMoved::Gone),
            AgentPresence::Present => {
                let step = Step::Holding { until: now + HOLD };
                self.agent = AgentPresence::Migrating(Migration { from, to, step, refused: None, done });
                return;
            }
            AgentPresence::Migrating(_) => Err(NotMoved::Busy),
            // It is being logged in again: let that be on the new one.
            AgentPresence::LoggingIn | AgentPresence::Pausing { .. } | AgentPresence::Gone => {
                self.replace_connection(&to, now, effects);
                Ok(())
            }
        };
        effects.push(Effect::Migrated(done, outcome));
    }

    /// The agent leaves when no command is in flight.
    pub(super) fn advance_migration(&mut self, now: Instant, effects: &mut Effects) {
        let AgentPresence::Migrating(Migration { step: Step::Holding { .. }, .. }) = self.agent else { return };
        if self.commands.in_flight() {
            return;
        }
        let request = self.new_request();
        effects.push(Effect::Ask(request, Ask::LogOut(Ending::Leave)));
        self.set_step(Step::Leaving { request, until: now + LEAVE_DEADLINE });
    }

    fn set_step(&mut self, step: Step) {
        if let AgentPresence::Migrating(migration) = &mut self.agent {
            migration.step = step;
        }
    }

    /// Logs the agent in where it is going.
    fn arrive(&mut self, effects: &mut Effects) {
        let AgentPresence::Migrating(migration) = &mut self.agent else { return };
        migration.step = Step::Arriving;
        let destination = Arc::clone(migration.destination());
        effects.push(Effect::DropAgent);
        self.push_log_in(destination, false, effects);
    }

    /// Handles the outcome of the log-in.
    pub(super) fn arrived(&mut self, outcome: Result<Arc<CommandSet>, Failure>, now: Instant, effects: &mut Effects) {
        let AgentPresence::Migrating(migration) = &self.agent else { return };
        let command_set = match outcome {
            Ok(command_set) => command_set,
            Err(failure) => return self.not_taken(failure, now, effects),
        };
        self.adapter_connection = Arc::clone(migration.destination());
        self.set_command_set(command_set);
        let (link, losses) = self.adapter_connection.link();
        let stays_up = self.link.change_connection(link, losses);
        // From this step on there is an agent.
        let request = self.new_request();
        self.set_step(Step::Settling { request, until: now + self.limits.command_deadline });
        self.follow_link(effects);
        if stays_up && self.lifecycle.is_started() {
            effects.push(Effect::Ask(request, Ask::Snapshot));
        } else {
            // A link that was down comes up by a snapshot of its own, and what is not started needs none.
            self.settled(effects);
        }
    }

    /// The move is over: the agent works where it is.
    fn settled(&mut self, effects: &mut Effects) {
        if let AgentPresence::Migrating(migration) = std::mem::replace(&mut self.agent, AgentPresence::Present) {
            let outcome = migration.refused.map_or(Ok(()), |failure| Err(NotMoved::Refused(failure)));
            effects.push(Effect::Migrated(migration.done, outcome));
        }
    }

    /// An adapter does not take the agent.
    fn not_taken(&mut self, failure: Failure, now: Instant, effects: &mut Effects) {
        let AgentPresence::Migrating(migration) = &mut self.agent else { return };
        if migration.refused.is_none() {
            migration.refused = Some(failure);
            return self.arrive(effects);
        }
        self.adapter_connection = Arc::clone(&migration.from);
        self.settled(effects);
        self.lose_agent("the agent could not be moved to another version of the adapter", now, effects);
    }

    /// Takes an answer, if a move waits for it.
    pub(super) fn migration_answered(
        &mut self,
        answered: RequestId,
        success: bool,
        now: Instant,
        effects: &mut Effects,
    ) -> bool {
        let AgentPresence::Migrating(migration) = &self.agent else { return false };
        match migration.step {
            Step::Leaving { request, .. } if request == answered => self.arrive(effects),
            Step::Settling { request, .. } if request == answered && success => self.settled(effects),
            Step::Settling { request, .. } if request == answered => {
                let failure = Failure::new(Code::AdapterFailed, "the new adapter has no snapshot");
                self.not_taken(failure, now, effects);
            }
            _ => return false,
        }
        true
    }

    /// A step has taken too long.
    pub(super) fn migration_due(&mut self, now: Instant, effects: &mut Effects) {
        let AgentPresence::Migrating(migration) = &self.agent else { return };
        match migration.step {
            Step::Holding { .. } => {
                if let AgentPresence::Migrating(migration) = std::mem::replace(&mut self.agent, AgentPresence::Present)
                {
                    effects.push(Effect::Migrated(migration.done, Err(NotMoved::Busy)));
                }
            }
            // An agent that does not leave in time is dropped.
            Step::Leaving { .. } => self.arrive(effects),
            Step::Settling { .. } => {
                let failure = Failure::new(Code::Timeout, "the new adapter has no snapshot in time");
                self.not_taken(failure, now, effects);
            }
            Step::Arriving => {}
        }
    }
}
