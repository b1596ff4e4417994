//! How a session starts, loses and regains its link and its agent, and ends.
//!
//! Owns: session.start and logout with what they hold back, the end by the clock, by replacement or by the host, and the
//! agent's leaving. Must never: tell a client that something has succeeded that has not, or leave a command without an
//! answer. Works on the [`Core`] in `actor.rs`.

use std::sync::Arc;

use jackfield_plugin_api::{Code, Ending, Failure, Link, Outcome, Report, StartOptions};
use tokio::{sync::oneshot, time::Instant};

use super::{
    DisposedReason,
    actor::{Closing, Core, Entry, LEAVE_DEADLINE, Phase, State},
    commands::{Known, LOGOUT, Repertoire, START},
    journal::Journal,
    message::Response,
    outbox::CloseCode,
    port::AgentPort,
    tree::{Event, Events, Notes, Tree},
};
use crate::plugin::RequestId;

impl Core {
    pub(super) fn begin_start(&mut self, at: usize, options: &StartOptions, actions: bool) {
        self.reset_tree(actions);
        self.phase = Phase::Starting;
        let until = Instant::now() + self.limits.command_deadline;
        self.ask_agent(at, until, None, |agent, request| agent.start(request, options));
        if !self.commands.iter().any(|entry| entry.command.is(START) && matches!(entry.state, State::Asked { .. })) {
            self.phase = Phase::Prepared;
        }
    }

    pub(super) fn reset_tree(&mut self, actions: bool) {
        self.first = Events::default();
        self.tree = Tree::new(&self.id, Arc::clone(&self.repertoire.capabilities), actions);
    }

    pub(super) fn start_answered(&mut self, at: usize, outcome: Outcome) {
        match outcome {
            Outcome::Success(_) => {
                self.phase = Phase::Started;
                self.answer(at, Response::Success);
                if !self.tree.is_started() {
                    // The adapter has started without a snapshot: there is nothing yet.
                    self.first = self.tree.apply(&Report::snapshot(), &mut Notes::new());
                }
                self.say_first();
            }
            Outcome::NeedInfo(info) => self.answer(at, Response::NeedInfo(info.get())),
            Outcome::Failure(failure) => self.answer(at, Response::Failure(&failure)),
        }
        self.unless_started();
    }

    /// Sends the first snapshot and what has followed it already.
    pub(super) fn say_first(&mut self) {
        let mut snapshot = std::mem::take(&mut self.first);
        let end = snapshot.iter().position(|event| event.name == "session.initialized").map_or(0, |at| at + 1);
        let rest = snapshot.split_off(end);
        let snapshot = self.journal.append_to_snapshot(&snapshot);
        if let Some(outbox) = &self.connection {
            outbox.replay([snapshot]);
        }
        self.say(&rest);
    }

    /// Holds events back until session.start is answered, as many as a returning client may have waiting. Where an adapter
    /// goes on for longer, a newer snapshot stands for all that it has said.
    pub(super) fn say_later(&mut self, events: &Events) {
        let goes_on = !self.first.is_empty();
        self.first.append(events);
        let most = self.limits.journal;
        if goes_on && (self.first.len() > most.events || self.first.bytes() > most.bytes) {
            self.first = self.tree.replay();
        }
    }

    /// A start that has come to nothing leaves nothing behind.
    pub(super) fn unless_started(&mut self) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Prepared;
            self.reset_tree(false);
        }
    }

    pub(super) fn begin_logout(&mut self, at: usize) {
        if self.agent.is_none() {
            let failure = Failure::new(Code::AdapterFailed, "the adapter is being started again; try again");
            return self.answer(at, Response::Failure(&failure));
        }
        if self.phase == Phase::Prepared {
            self.answer(at, Response::SuccessBare);
            return self.end(None, true, None);
        }
        self.held.get_or_insert(self.journal.last());
        let until = Instant::now() + self.limits.command_deadline;
        self.ask_agent(at, until, None, |agent, request| agent.log_out(request, Ending::LogOut));
        self.release_held();
    }

    pub(super) fn logout_answered(&mut self, at: usize, outcome: Outcome) {
        match outcome {
            Outcome::Success(_) => {
                self.answer(at, Response::SuccessBare);
                return self.end(None, false, None);
            }
            Outcome::NeedInfo(info) => self.answer(at, Response::NeedInfo(info.get())),
            Outcome::Failure(failure) => self.answer(at, Response::Failure(&failure)),
        }
        self.release_held();
    }

    /// Sends the events that a logout has held back, unless one is still in flight.
    pub(super) fn release_held(&mut self) {
        let in_flight = |entry: &Entry| entry.command.is(LOGOUT) && matches!(entry.state, State::Asked { .. });
        if self.commands.iter().any(in_flight) {
            return;
        }
        let Some(held) = self.held.take() else { return };
        let Some(outbox) = &self.connection else { return };
        let complete = match self.journal.between(held, self.journal.last()) {
            Some(events) => {
                outbox.replay([events]);
                true
            }
            // More than the journal keeps: the client has to come back for a snapshot.
            None => false,
        };
        if !complete {
            outbox.close(CloseCode::TOO_SLOW, "events were lost; bind again");
            self.connection = None;
        }
    }

    /// The session is over. `reason`: told to the client, where it is not by its own logout. `leave`: the agent is still
    /// to leave; `told` is dropped when it has.
    pub(super) fn end(&mut self, reason: Option<DisposedReason>, leave: bool, told: Option<oneshot::Sender<()>>) {
        if self.is_ended() {
            return;
        }
        self.fail_all(reason);
        if reason.is_some() {
            // A logout that is overtaken has failed, so what it held back follows: numbers have no gaps.
            self.release_held();
        }
        self.held = None;
        if let Some(reason) = reason {
            let mut disposed = Events::default();
            let data = format!(r#"{{"reason":"{}"}}"#, reason.as_str());
            disposed.push(Event { target: &self.id, name: "session.disposed", data: &data });
            let disposed = self.journal.append(&disposed);
            if let Some(outbox) = &self.connection {
                outbox.send(disposed);
                if matches!(reason, DisposedReason::ShuttingDown | DisposedReason::TenantRemoved) {
                    outbox.close(CloseCode::GOING_AWAY, reason.as_str());
                }
            }
        }
        if let Some(outbox) = self.connection.take() {
            outbox.session_over();
        }
        self.phase = Phase::Ended;
        self.closing = Closing::No;
        self.link.forget();
        self.reset_tree(false);
        self.journal = Journal::new(self.limits.journal);
        self.resume = Vec::new();
        self.chores.ended = Some(reason);
        if leave && self.agent.is_some() {
            self.leave = Some(told);
        } else {
            self.let_go();
        }
    }

    /// Answers everything that has no answer, as the session ends.
    pub(super) fn fail_all(&mut self, reason: Option<DisposedReason>) {
        while !self.commands.is_empty() {
            let tried = !matches!(self.commands[0].state, State::Waits);
            let failure = match reason {
                Some(DisposedReason::ShuttingDown | DisposedReason::TenantRemoved) => {
                    Failure::new(Code::ShuttingDown, "the session has ended")
                }
                Some(DisposedReason::AdapterFailed) => Failure::new(Code::AdapterFailed, "the session has ended"),
                _ if tried => Failure::new(Code::Timeout, "the session ended before the platform answered"),
                _ => Failure::new(Code::NotFound, "the session has ended"),
            };
            self.answer(0, Response::Failure(&failure));
        }
    }

    /// Nothing is left to be done with the agent.
    pub(super) fn let_go(&mut self) {
        self.discarded.extend(self.agent.take());
        // What it still says is not heard.
        self.generation = self.generation.wrapping_add(1);
        self.closing = Closing::No;
        self.chores.done = true;
    }

    pub(super) fn ask_to_leave(&mut self, told: Option<oneshot::Sender<()>>) {
        let request = self.new_request();
        let asked = self.agent.as_ref().map(|agent| agent.log_out(request, Ending::Leave));
        if let Some(Ok(())) = asked {
            self.closing = Closing::Leaving { request, until: Instant::now() + LEAVE_DEADLINE, _told: told };
        } else {
            self.let_go();
        }
    }

    /// Nobody came back in time: the agent is logged out.
    pub(super) fn expire(&mut self) {
        let request = self.new_request();
        let started = self.phase == Phase::Started;
        let asked = self.agent.as_ref().filter(|_| started).map(|agent| agent.log_out(request, Ending::LogOut));
        match asked {
            Some(Ok(())) => {
                self.closing = Closing::Expiring { request, until: Instant::now() + self.limits.command_deadline };
            }
            _ => self.end(Some(DisposedReason::Expired), true, None),
        }
    }

    /// An answer to what no desktop has asked for.
    pub(super) fn chore_answered(&mut self, request: RequestId, outcome: Outcome) {
        if self.move_answered(request, &outcome) {
            return;
        }
        match self.closing {
            Closing::Expiring { request: own, .. } if own == request => {
                // Where the platform refuses, the session goes all the same and the calls stay.
                let refused = !matches!(outcome, Outcome::Success(_));
                self.end(Some(DisposedReason::Expired), refused, None);
            }
            Closing::Leaving { request: own, .. } if own == request => self.let_go(),
            _ if self.link.snapshot_answered(request, &outcome) => self.follow_link(),
            _ => {}
        }
    }

    /// Tells the client what has become of the link.
    pub(super) fn follow_link(&mut self) {
        if self.is_ended() {
            return;
        }
        let started = self.phase == Phase::Started;
        while let Some(change) = self.link.follow(self.agent.is_some(), started) {
            let said = self.tree.set_link(&change);
            if let Link::Down { reason } = &change {
                let failure = Failure::new(Code::Timeout, "the link to the platform was lost: the outcome is unknown");
                self.fail_asked(&failure.context(reason.clone()), |command| !command.is(LOGOUT));
            }
            self.say(&said);
        }
    }

    /// Answers what the platform was asked for and will not answer.
    pub(super) fn fail_asked(&mut self, failure: &Failure, which: impl Fn(&Known) -> bool) {
        let mut at = 0;
        while at < self.commands.len() {
            if matches!(self.commands[at].state, State::Waits) || !which(&self.commands[at].command) {
                at += 1;
            } else {
                self.answer(at, Response::Failure(failure));
            }
        }
        self.unless_started();
        self.release_held();
    }

    pub(super) fn ask_for_snapshot(&mut self) {
        let request = self.new_request();
        let asked = match &self.agent {
            Some(agent) => agent.snapshot(request),
            None => return,
        };
        self.link.snapshot_asked(request, asked.is_ok(), self.limits.command_deadline);
    }

    /// The adapter has lost the agent: it has to be logged in again.
    pub(super) fn lose_agent(&mut self, reason: &str) {
        if self.is_ended() {
            return self.let_go();
        }
        self.generation = self.generation.wrapping_add(1);
        self.discarded.extend(self.agent.take());
        self.late_logout = None;
        self.moving = None;
        let failure = Failure::new(Code::AdapterFailed, "the adapter was lost: the outcome is unknown").context(reason);
        self.fail_asked(&failure, |_| true);
        if matches!(self.closing, Closing::Expiring { .. }) {
            return self.end(Some(DisposedReason::Expired), false, None);
        }
        self.link.lose_agent(reason);
        self.follow_link();
        // The adapter may be lost again while that is under way: it is tried again then, by the same task.
        self.chores.log_in_again |= !std::mem::replace(&mut self.returning, true);
    }

    /// The agent may be one of another version of the adapter, which can do other things.
    pub(super) fn set_repertoire(&mut self, repertoire: &Arc<Repertoire>) {
        self.repertoire = Arc::clone(repertoire);
        self.tree.set_capabilities(&repertoire.capabilities);
    }

    /// The agent has been logged in, for the first time or again. False: that came to nothing, because it was lost
    /// meanwhile or the session is over.
    pub(super) fn regain_agent(
        &mut self,
        agent: Box<dyn AgentPort>,
        generation: u32,
        repertoire: &Arc<Repertoire>,
    ) -> bool {
        if self.is_ended() || generation != self.generation {
            self.discarded.push(agent);
            return false;
        }
        self.agent = Some(agent);
        self.returning = false;
        self.set_repertoire(repertoire);
        self.follow_link();
        true
    }
}
