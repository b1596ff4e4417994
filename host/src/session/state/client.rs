//! The client of a session: what it is sent, how it comes back, and how long its session waits for it.
//!
//! Owns: the connection, the numbering and sending of events, bindSession's answer with what follows it, takeover, and the
//! grace. Must never: send an event twice or leave one out that the client has not been told is missing.

use std::time::Duration;

use jackfield_plugin_api::{Code, Failure, Json};
use jackfield_protocol::{close::CloseCode, event::Event, message::Response};
use serde_json::json;
use tokio::time::Instant;

use super::{SessionState, lifecycle::Lifecycle};
use crate::{
    metrics::{CommandLabel, OutcomeLabel},
    session::{
        commands::BIND,
        effects::{Effect, Effects},
        input::Bind,
        outbox::{Message, Outbox},
    },
};

/// The connection of a session's client, and its grace: that runs only while none is connected and no conversation lives.
pub(super) struct Client {
    outbox: Option<Outbox>,
    left: Duration,
    since: Option<Instant>,
}

impl Client {
    /// None is connected yet.
    pub(super) fn new(grace: Duration, now: Instant) -> Self {
        Self { outbox: None, left: grace, since: Some(now) }
    }

    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// Forgets a connection that is closed, if it is the client's.
    pub(super) fn disconnect(&mut self, outbox: &Outbox) {
        if self.outbox.as_ref() == Some(outbox) {
            self.outbox = None;
        }
    }

    /// Takes the client's connection away, because the session is over.
    pub(super) fn leave(&mut self) -> Option<Outbox> {
        self.since = None;
        self.outbox.take()
    }

    /// Runs or stops the grace. `may_run`: whether the session's own state lets it run.
    pub(super) fn run_grace(&mut self, may_run: bool, now: Instant) {
        match (may_run && self.outbox.is_none(), self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                self.left = self.left.saturating_sub(now.saturating_duration_since(since));
                self.since = None;
            }
            _ => {}
        }
    }

    /// Whether no client has come back in time.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }
}

impl SessionState {
    /// Gives events their numbers and sends them.
    pub(super) fn emit(&mut self, events: &[Event], effects: &mut Effects) {
        if events.is_empty() {
            return;
        }
        let messages = self.journal.append(&self.id, events, self.time);
        if let Some(outbox) = self.client.outbox().filter(|_| self.lifecycle.held_after().is_none()) {
            effects.send(outbox, messages);
        }
    }

    /// A client binds the session: it is told what it has missed.
    pub(super) fn bind(&mut self, bind: Bind, now: Instant, effects: &mut Effects) {
        let Bind { outbox, after, request, done } = bind;
        let (data, missed) = match self.missed(after) {
            Ok(missed) => missed,
            Err(failure) => return effects.push(Effect::Bound(done, Err(failure))),
        };
        let response = request.map(|(request, received)| {
            let response = Response::SuccessWith(&data);
            let label = CommandLabel::of(BIND);
            self.metrics.command(label, OutcomeLabel::of(&response), now - received);
            Message::response(request.respond(response))
        });
        effects.push(Effect::Replay(outbox.clone(), response.into_iter().chain(missed).collect()));
        effects.push(Effect::Bound(done, Ok(data.get().to_owned())));
        self.connect(outbox, effects);
    }

    /// The data of bindSession's success, and what follows it.
    fn missed(&mut self, after: Option<u64>) -> Result<(Json, Vec<Message>), Failure> {
        if !self.lifecycle.is_bindable() {
            return Err(Failure::new(Code::NotFound, "there is no such session"));
        }
        let last = self.journal.last();
        // What a logout holds back no client can have seen.
        let end = self.lifecycle.held_after().unwrap_or(last);
        if after.is_some_and(|after| after > end) {
            return Err(Failure::new(Code::BadRequest, "data.after is beyond the last event"));
        }
        // Before its start a session has no events, so there is nothing that a snapshot could be made of.
        let after = if self.lifecycle.is_started() { after } else { Some(after.unwrap_or(last)) };
        let missed = after.and_then(|after| Some((after, self.journal.between(after, end)?)));
        if let Some((after, events)) = missed {
            return Ok((json!({"replay": "events", "seq": after}).into(), events));
        }
        let events = self.tree.snapshot();
        let events = self.journal.append_to_snapshot(&self.id, &events, self.time);
        if let Lifecycle::LoggingOut { held_after, .. } = &mut self.lifecycle {
            *held_after = self.journal.last();
        }
        Ok((json!({"replay": "snapshot", "seq": last}).into(), events))
    }

    /// A connection is the session's client, and no other is.
    pub(super) fn connect(&mut self, outbox: Outbox, effects: &mut Effects) {
        if self.lifecycle.has_ended() {
            return;
        }
        if let Some(old) = self.client.outbox.replace(outbox) {
            effects.push(Effect::Close(old, CloseCode::TakenOver, "another connection has bound the session"));
        }
        self.restart_grace();
    }

    /// The client has shown that it is there.
    pub(super) fn restart_grace(&mut self) {
        let mut left = self.limits.resume_grace;
        if let Lifecycle::Prepared(_) = self.lifecycle {
            left = left.min(self.limits.prepared_grace);
        }
        // It begins anew where it runs.
        (self.client.left, self.client.since) = (left, None);
    }
}
