//! The client of a session: what it is sent, how it comes back, and how long its session waits for it.
//!
//! Owns: the numbering and sending of events, bindSession's answer with what follows it, takeover, and the grace. Must
//! never: send an event twice or leave one out that the client has not been told is missing. Works on the [`Core`] in
//! `actor.rs`.

use std::time::Duration;

use jackfield_plugin_api::{Code, Failure};
use tokio::time::Instant;

use super::{
    actor::{Closing, Core, Phase},
    outbox::{Batch, CloseCode, Outbox},
    text::Text,
    tree::Events,
};

/// The grace of a session without a client: it runs only while none is connected and no conversation lives.
pub(super) struct Grace {
    pub(super) left: Duration,
    pub(super) since: Option<Instant>,
}

impl Core {
    /// Gives events their numbers and sends them.
    pub(super) fn say(&mut self, events: &Events) {
        if events.is_empty() {
            return;
        }
        let batch = self.journal.append(events);
        let sent =
            self.held.is_some() || self.connection.as_ref().is_none_or(|outbox| outbox.put(batch, &mut self.wakers));
        if !sent {
            self.connection = None;
        }
    }

    /// A client binds the session. What it is told first is made by `respond` from the data of bindSession's success;
    /// then the events follow.
    pub(super) fn bind(
        &mut self,
        outbox: Outbox,
        after: Option<u64>,
        respond: impl FnOnce(&str) -> Option<Text>,
    ) -> Result<(), Failure> {
        if !self.is_bindable() {
            return Err(Failure::new(Code::NotFound, "there is no such session"));
        }
        let last = self.journal.last();
        // What a logout holds back no client can have seen.
        let end = self.held.unwrap_or(last);
        if after.is_some_and(|after| after > end) {
            return Err(Failure::new(Code::BadRequest, "data.after is beyond the last event"));
        }
        // Before its start a session has no events, so there is nothing that a snapshot could be made of.
        let started = self.phase == Phase::Started;
        let after = if started { after } else { Some(after.unwrap_or(last)) };
        let missed = after.and_then(|after| self.journal.between(after, end));
        let (replay, seq) = if missed.is_some() { ("events", after.unwrap_or(last)) } else { ("snapshot", last) };
        let response = respond(&format!(r#"{{"replay":"{replay}","seq":{seq}}}"#));
        let events = missed.unwrap_or_else(|| {
            let events = self.tree.replay();
            self.journal.append_to_snapshot(&events)
        });
        if self.held.is_some() && replay == "snapshot" {
            self.held = Some(self.journal.last());
        }
        outbox.replay(response.map(Batch::response).into_iter().chain([events]));
        self.connect(outbox);
        Ok(())
    }

    /// A connection takes the session over.
    pub(super) fn connect(&mut self, outbox: Outbox) {
        if let Some(old) = self.connection.replace(outbox) {
            old.close(CloseCode::TAKEN_OVER, "another connection has bound the session");
        }
        self.restart_grace();
    }

    /// A connection is gone.
    pub(super) fn disconnect(&mut self, outbox: &Outbox) {
        if self.connection.as_ref() == Some(outbox) {
            self.connection = None;
        }
    }

    /// The client has shown that it is there.
    pub(super) fn restart_grace(&mut self) {
        self.grace = Grace { left: self.limits.resume_grace, since: None };
    }

    /// Lets the grace run, or not.
    pub(super) fn settle_grace(&mut self, now: impl Fn() -> Instant) {
        let runs = self.connection.is_none()
            && !self.is_ended()
            && matches!(self.closing, Closing::No)
            && self.held.is_none()
            && !self.tree.has_live_calls();
        match (runs, self.grace.since) {
            (true, None) => self.grace.since = Some(now()),
            (false, Some(since)) => {
                self.grace.left = self.grace.left.saturating_sub(now().saturating_duration_since(since));
                self.grace.since = None;
            }
            _ => {}
        }
    }
}
