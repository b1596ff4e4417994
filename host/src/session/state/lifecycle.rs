//! How far a session has come, from prepareSession to its end.
//!
//! Owns: the phases with what belongs to each of them; session.start and logout with what they hold back, and the end by
//! the clock, by replacement or by the host. Must never: tell a client that something has succeeded that has not, or leave
//! a command without an answer.

use std::{sync::Arc, time::Duration};

use jackfield_model::{Diagnostics, Tree};
use jackfield_plugin_api::{Code, Ending, Failure, Outcome, Report, StartOptions};
use jackfield_protocol::{
    close::CloseCode,
    event::{Event, EventData, EventName, Path},
    message::Response,
};
use tokio::{sync::oneshot, time::Instant};

use super::{AgentPresence, SessionState, lists::WatchedLists};
use crate::{
    plugin::RequestId,
    session::{
        DisposedReason,
        commands::START,
        effects::{Ask, Effect, Effects},
        journal::Journal,
    },
};

/// How long an agent may take to leave when its session ends without a logout.
const LEAVE_DEADLINE: Duration = Duration::from_secs(5);

/// How far a session has come.
pub(super) enum Lifecycle {
    /// session.start has not succeeded yet, and must in time.
    Prepared(StartBy),
    /// The adapter was asked to start.
    Starting {
        request: RequestId,
        start_by: StartBy,
        /// What its first reports came to, held until session.start is answered.
        first: Vec<Event>,
    },
    /// At work. A logout that timed out may still succeed.
    Started { late_logout: Option<RequestId> },
    /// A logout is with the adapter.
    LoggingOut {
        request: RequestId,
        /// Events after this number are held back.
        held_after: u64,
        /// Where it goes on if that fails.
        before: BeforeLogout,
    },
    /// No client came back in time: the agent is being logged out.
    Expiring { request: RequestId, until: Instant },
    /// The session is over for its client; its agent is leaving.
    Leaving {
        request: RequestId,
        until: Instant,
        /// Dropped when the agent has left.
        _done: Option<oneshot::Sender<()>>,
    },
    /// The session is over, and its agent has left.
    Over,
}

/// When a session that has not been started ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartBy(pub(super) Instant);

/// What a session does before a logout.
#[derive(Debug, Clone, Copy)]
pub(super) enum BeforeLogout {
    /// It was being started, which was given up for the logout.
    Prepared(StartBy),
    Started,
}

impl Lifecycle {
    /// One word for operators.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Prepared(_) => "prepared",
            Self::Starting { .. } => "starting",
            Self::Started { .. } | Self::LoggingOut { .. } | Self::Expiring { .. } => "started",
            Self::Leaving { .. } | Self::Over => "ended",
        }
    }

    /// Whether the session is over for its client.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self, Self::Leaving { .. } | Self::Over)
    }

    /// Whether a client may bind it.
    pub(super) const fn is_bindable(&self) -> bool {
        !self.has_ended() && !matches!(self, Self::Expiring { .. })
    }

    /// Whether the session waits for its client for a limited time only.
    pub(super) const fn has_grace(&self) -> bool {
        matches!(self, Self::Prepared(_) | Self::Starting { .. } | Self::Started { .. })
    }

    /// Whether session.start has succeeded.
    pub(super) const fn is_started(&self) -> bool {
        matches!(self, Self::Started { .. } | Self::LoggingOut { before: BeforeLogout::Started, .. })
    }

    /// After which number events are held back, because a logout was accepted.
    pub(super) const fn held_after(&self) -> Option<u64> {
        match self {
            Self::LoggingOut { held_after, .. } => Some(*held_after),
            _ => None,
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Prepared(start_by) => Some(start_by.0),
            Self::Expiring { until, .. } | Self::Leaving { until, .. } => Some(*until),
            _ => None,
        }
    }
}

impl SessionState {
    pub(super) fn begin_start(
        &mut self,
        at: usize,
        options: StartOptions,
        actions: bool,
        now: Instant,
        effects: &mut Effects,
    ) {
        let Lifecycle::Prepared(start_by) = self.lifecycle else { return };
        self.reset_tree(actions);
        let until = now + self.limits.command_deadline;
        let request = self.ask(at, Ask::Start(options), until, None, effects);
        self.lifecycle = Lifecycle::Starting { request, start_by, first: Vec::new() };
    }

    pub(super) fn reset_tree(&mut self, actions: bool) {
        self.tree = Tree::new(&self.id, Arc::clone(&self.command_set.capabilities), actions);
    }

    pub(super) fn start_answered(&mut self, at: usize, outcome: Outcome, effects: &mut Effects) {
        let Outcome::Success(_) = outcome else { return self.answer_unsuccessful(at, outcome, effects) };
        let started = Lifecycle::Started { late_logout: None };
        let Lifecycle::Starting { mut first, .. } = std::mem::replace(&mut self.lifecycle, started) else { return };
        self.restart_grace();
        self.answer(at, Response::Success, effects);
        if !self.tree.is_started() {
            // The adapter has started without a snapshot: there is nothing yet.
            first = self.tree.apply(&Report::snapshot(), self.time, &mut Diagnostics::new());
        }
        // The first snapshot, and what has followed it already.
        let end = first.iter().position(|event| event.name == EventName::SessionInitialized).map_or(0, |at| at + 1);
        let rest = first.split_off(end);
        let snapshot = self.journal.append_to_snapshot(&self.id, &first, self.time);
        if let Some(outbox) = self.client.outbox() {
            effects.push(Effect::Replay(outbox.clone(), snapshot));
        }
        self.emit(&rest, effects);
    }

    /// Holds events back until session.start is answered, as many as a returning client may have waiting. Where an adapter
    /// goes on for longer, a newer snapshot stands for all that it has said.
    pub(super) fn hold_until_started(first: &mut Vec<Event>, events: &[Event], tree: &Tree, journal: &Journal) {
        let goes_on = !first.is_empty();
        first.extend_from_slice(events);
        let most = journal.limits();
        if goes_on && (first.len() > most.events || first.iter().map(Event::weight).sum::<usize>() > most.bytes) {
            *first = tree.snapshot();
        }
    }

    pub(super) fn begin_logout(&mut self, at: usize, now: Instant, effects: &mut Effects) {
        if !self.agent.is_present() {
            let failure = Failure::new(Code::AdapterFailed, "the adapter is being started again; try again");
            return self.answer(at, Response::Failure(&failure), effects);
        }
        let before = match self.lifecycle {
            Lifecycle::Prepared(_) => {
                self.answer(at, Response::SuccessBare, effects);
                return self.end(None, true, None, now, effects);
            }
            Lifecycle::Starting { start_by, .. } => BeforeLogout::Prepared(start_by),
            Lifecycle::Started { .. } => BeforeLogout::Started,
            _ => {
                let failure = Failure::new(Code::NotFound, "the session is ending");
                return self.answer(at, Response::Failure(&failure), effects);
            }
        };
        let until = now + self.limits.command_deadline;
        let request = self.ask(at, Ask::LogOut(Ending::LogOut), until, None, effects);
        self.lifecycle = Lifecycle::LoggingOut { request, held_after: self.journal.last(), before };
        if let BeforeLogout::Prepared(_) = before {
            self.reset_tree(false);
            let failure = Failure::new(Code::Timeout, "the session is being logged out: the outcome is unknown");
            self.fail_asked(&failure, effects, |command| command.is(START));
        }
    }

    pub(super) fn logout_answered(&mut self, at: usize, outcome: Outcome, now: Instant, effects: &mut Effects) {
        let Outcome::Success(_) = outcome else { return self.answer_unsuccessful(at, outcome, effects) };
        // What was held back is dropped.
        self.lifecycle = Lifecycle::Started { late_logout: None };
        self.answer(at, Response::SuccessBare, effects);
        self.end(None, false, None, now, effects);
    }

    fn answer_unsuccessful(&mut self, at: usize, outcome: Outcome, effects: &mut Effects) {
        match outcome {
            Outcome::Success(_) => self.answer(at, Response::Success, effects),
            Outcome::NeedInfo(info) => self.answer(at, Response::NeedInfo(&info), effects),
            Outcome::Failure(failure) => self.answer(at, Response::Failure(&failure), effects),
        }
    }

    /// Handles that a request which a command waited for did not succeed. After a start the tree is empty again; after a
    /// logout the events that it held back follow.
    pub(super) fn request_came_to_nothing(&mut self, gone: RequestId, effects: &mut Effects) {
        match self.lifecycle {
            Lifecycle::Starting { request, start_by, .. } if request == gone => {
                self.lifecycle = Lifecycle::Prepared(start_by);
                self.reset_tree(false);
            }
            Lifecycle::LoggingOut { request, held_after, before } if request == gone => {
                self.lifecycle = match before {
                    BeforeLogout::Prepared(start_by) => Lifecycle::Prepared(start_by),
                    BeforeLogout::Started => Lifecycle::Started { late_logout: None },
                };
                self.release_held(held_after, effects);
            }
            _ => {}
        }
    }

    /// Sends the events that a logout has held back.
    fn release_held(&mut self, held_after: u64, effects: &mut Effects) {
        let Some(outbox) = self.client.outbox().cloned() else { return };
        match self.journal.between(held_after, self.journal.last()) {
            Some(events) => effects.push(Effect::Replay(outbox, events)),
            None => {
                // More than the journal keeps: the client has to come back for a snapshot.
                effects.push(Effect::Close(outbox.clone(), CloseCode::TooSlow, "events were lost; bind again"));
                self.client.disconnect(&outbox);
            }
        }
    }

    /// Ends the session. `reason`: told to the client; `None`: it ends by the client's own logout. `leave`: the agent is
    /// asked to leave, and `done` is dropped when it has.
    pub(super) fn end(
        &mut self,
        reason: Option<DisposedReason>,
        leave: bool,
        done: Option<oneshot::Sender<()>>,
        now: Instant,
        effects: &mut Effects,
    ) {
        if self.lifecycle.has_ended() {
            return;
        }
        self.fail_all(reason, effects);
        if let Some(reason) = reason {
            self.tell_disposed(reason, effects);
        }
        if let Some(outbox) = self.client.leave() {
            effects.push(Effect::SessionOver(outbox));
        }
        effects.ended = Some(reason);
        self.link.forget();
        self.lists = WatchedLists::default();
        self.reset_tree(false);
        self.journal = Journal::new(self.limits.journal);
        self.resume = Vec::new();
        if leave && self.agent.is_present() {
            let request = self.new_request();
            effects.push(Effect::Ask(request, Ask::LogOut(Ending::Leave)));
            self.lifecycle = Lifecycle::Leaving { request, until: now + LEAVE_DEADLINE, _done: done };
            self.agent.end_migration();
        } else {
            self.let_go(effects);
        }
    }

    fn tell_disposed(&mut self, reason: DisposedReason, effects: &mut Effects) {
        let data = EventData::SessionDisposed(reason);
        let disposed = Event { on: Path::Session, name: EventName::SessionDisposed, data };
        let disposed = self.journal.append(&self.id, &[disposed], self.time);
        let Some(outbox) = self.client.outbox().cloned() else { return };
        effects.send(&outbox, disposed);
        if matches!(reason, DisposedReason::ShuttingDown { .. } | DisposedReason::TenantRemoved) {
            effects.push(Effect::Close(outbox, CloseCode::GoingAway, reason.as_str()));
        }
    }

    /// Answers everything that has no answer, as the session ends.
    fn fail_all(&mut self, reason: Option<DisposedReason>, effects: &mut Effects) {
        while !self.commands.is_empty() {
            let failure = match reason {
                Some(DisposedReason::ShuttingDown { .. } | DisposedReason::TenantRemoved) => {
                    Failure::new(Code::ShuttingDown, "the session has ended")
                }
                Some(DisposedReason::AdapterFailed) => Failure::new(Code::AdapterFailed, "the session has ended"),
                _ if self.commands.get(0).is_tried() => {
                    Failure::new(Code::Timeout, "the session ended before the platform answered")
                }
                _ => Failure::new(Code::NotFound, "the session has ended"),
            };
            self.answer(0, Response::Failure(&failure), effects);
        }
    }

    /// Drops the agent, whose messages are ignored from now on. The session is over.
    pub(super) fn let_go(&mut self, effects: &mut Effects) {
        self.lifecycle = Lifecycle::Over;
        self.drop_agent(effects);
        self.agent = AgentPresence::Gone;
    }

    /// Logs the agent out, because no client came back in time.
    pub(super) fn expire(&mut self, now: Instant, effects: &mut Effects) {
        if !self.lifecycle.is_started() || !self.agent.is_present() {
            return self.end(Some(DisposedReason::Expired), true, None, now, effects);
        }
        let request = self.new_request();
        effects.push(Effect::Ask(request, Ask::LogOut(Ending::LogOut)));
        self.lifecycle = Lifecycle::Expiring { request, until: now + self.limits.command_deadline };
    }

    /// Takes an answer, if it is to what the session asked for at its end. Returns whether it was.
    pub(super) fn end_answered(
        &mut self,
        answered: RequestId,
        success: bool,
        now: Instant,
        effects: &mut Effects,
    ) -> bool {
        match self.lifecycle {
            // Where the platform refuses, the session goes all the same and the calls stay.
            Lifecycle::Expiring { request, .. } if request == answered => {
                self.end(Some(DisposedReason::Expired), !success, None, now, effects);
            }
            Lifecycle::Leaving { request, .. } if request == answered => self.let_go(effects),
            Lifecycle::Started { late_logout: Some(request) } if request == answered => {
                self.lifecycle = Lifecycle::Started { late_logout: None };
                // The client was told that the outcome is unknown; the session's end tells it now.
                if success {
                    self.end(Some(DisposedReason::Expired), false, None, now, effects);
                }
            }
            _ => return false,
        }
        true
    }

    /// A phase has taken too long.
    pub(super) fn lifecycle_due(&mut self, now: Instant, effects: &mut Effects) {
        if self.lifecycle.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.lifecycle {
            Lifecycle::Prepared(_) | Lifecycle::Expiring { .. } => {
                self.end(Some(DisposedReason::Expired), true, None, now, effects);
            }
            Lifecycle::Leaving { .. } => self.let_go(effects),
            _ => {}
        }
    }
}
