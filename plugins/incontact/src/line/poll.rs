//! The long poll: the only poller of a session id, and what it takes to be in step again.
//!
//! Owns: when the state is replayed, and when a replay is whole. A replay is always asked for, by an older session id or
//! as a further client, so that it is known which events belong to it. Must never: poll twice at a time, or tell of a
//! session's end before CXone was asked whether it can be joined.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::Method;
use jackfield_plugin_api::{
    Code, Failure, Link, Report,
    report::{ExtensionEvent, Target},
};
use serde_json::{Value, json};

use super::{Ids, Line, Lists, Sync, open};
use crate::{
    api::{Call, Group, RETRY, inside, list, session_id, text},
    commands::callbacks,
    http::encode,
    model::Event,
};

/// Polls of an agent that may fail in a row before his link counts as down.
const FAILURES_UNTIL_DOWN: u32 = 3;
/// Polls of a second that a session which has just begun may take to tell the first word.
const FIRST_WORDS: usize = 5;
/// Polls that a replay may take before it is taken for whole.
const LONGEST_REPLAY: usize = 50;
/// The event that tells why CXone has ended the agent session.
const SESSION_ENDED: &str = "session.incontact.agentsession.ended";
/// The event that tells of messages for the agent.
const MESSAGES: &str = "session.incontact.messages";
/// The event that tells of all callbacks that are promised.
const CALLBACKS: &str = "session.incontact.callbacks";
/// The event that tells of one that is due.
const CALLBACK_DUE: &str = "session.incontact.callback.due";
/// The event that tells what has become of it.
const CALLBACK_STATUS: &str = "session.incontact.callback.status";

/// What became of a poll.
enum Polled {
    Events(Vec<Value>),
    Nothing,
    Over,
    Failed,
}

impl Line {
    /// Begins to poll. The task lives as long as the line.
    pub(crate) fn spawn(self: &Arc<Self>) {
        let line = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            loop {
                let Some(line) = line.upgrade() else { return };
                line.turn().await;
            }
        });
        if let Some(old) = open(&self.poller).replace(task) {
            old.abort();
        }
    }

    /// One round of the poller: waits for a session, gets in step, polls until something stops it.
    async fn turn(&self) {
        let turn = self.turn.notified();
        if open(&self.ids).current.is_none() {
            // A bounded wait, so that the task sees the line's end.
            let _ = tokio::time::timeout(Duration::from_secs(5), turn).await;
            return;
        }
        let mut backoff = RETRY;
        while open(&self.ids).current.is_some() {
            if self.api.circuit.check().is_err() {
                self.api.circuit.until(true).await;
                self.need_replay();
            }
            let needed = *self.synced.borrow() == Sync::Needed;
            let went_well = if needed { self.replay().await } else { self.poll_on().await };
            if went_well {
                backoff.reset();
                self.tell_link(Link::Up);
            } else {
                self.need_replay();
                let pause = backoff.next_pause();
                if backoff.failures() == FAILURES_UNTIL_DOWN {
                    self.tell_link(Link::Down { reason: "CXone does not answer the agent's polls".to_owned() });
                }
                // A pause spares CXone; it does not keep anybody waiting who needs the state now.
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.hurry.notified() => {}
                }
            }
        }
    }

    /// Polls until something is wrong (`false`) or should be looked at (`true`).
    async fn poll_on(&self) -> bool {
        loop {
            let Ok(id) = self.id() else { return true };
            let poll = self.poll(&id, self.api.poll_seconds(&self.key));
            let mut poll = std::pin::pin!(poll);
            let polled = loop {
                let turn = self.turn.notified();
                if *self.synced.borrow() == Sync::Needed || open(&self.ids).current.as_ref() != Some(&id) {
                    return true;
                }
                let deadline = open(&self.model).next_deadline();
                tokio::select! {
                    polled = &mut poll => break polled,
                    () = turn => {}
                    () = until(deadline) => self.with(|_| ()),
                }
            };
            match polled {
                Polled::Events(events) => self.take(&events),
                Polled::Nothing => {}
                Polled::Over => return self.rejoin().await,
                Polled::Failed => return false,
            }
            // It has been answered, so the agent's line is good.
            self.tell_link(Link::Up);
        }
    }

    /// Takes a batch in.
    fn take(&self, events: &[Value]) {
        let (mut over, mut failed, mut own) = (None, None, Vec::new());
        self.with(|model| {
            for event in model.take(events, Instant::now()) {
                match event {
                    Event::SessionEnd { message } => over = Some(message),
                    Event::SessionGoesOn { message } if open(&self.ids).leaving => {
                        let failure = Failure::new(Code::Rejected, "CXone does not end the agent session");
                        model.fail_wants(&failure.context(format!("CXone: {message}")));
                    }
                    Event::StartFailed { message } => failed = Some(message),
                    Event::ReadAgain => *open(&self.lists) = Lists::default(),
                    Event::Messages => {
                        let path = format!("agents/{}/messages", self.agent);
                        self.read_and_tell(Group::Admin, path, (MESSAGES, "messages"), message);
                    }
                    Event::Callbacks => {
                        let path = callbacks::list_of(&self.agent);
                        self.read_and_tell(Group::Callbacks, path, (CALLBACKS, "callbacks"), callbacks::shown);
                    }
                    Event::CallbackDue(callback) => own.push((CALLBACK_DUE, callbacks::shown(&callback))),
                    Event::CallbackStatus(status) => own.push((CALLBACK_STATUS, json!({"status": status}))),
                    _ => {}
                }
            }
            if !model.facts.replaying && std::mem::take(&mut model.facts.out_of_order) {
                self.synced.send_replace(Sync::Needed);
            }
        });
        for (name, data) in own {
            self.report_extra(Report::new().event(ExtensionEvent::new(Target::Session, name, data)));
        }
        if let Some(message) = failed {
            *open(&self.start_failed) = Some(message.clone());
            self.over(&message);
        } else if let Some(message) = over {
            let ours = open(&self.ids).leaving;
            self.over(&message);
            if !ours && !message.is_empty() {
                let event = ExtensionEvent::new(Target::Session, SESSION_ENDED, json!({"message": message}));
                self.report_extra(Report::new().event(event));
            }
        }
    }

    /// Tells the desktop a list that has changed, by an event and a member of these names. Polling goes on meanwhile.
    fn read_and_tell(
        &self,
        group: Group,
        path: String,
        (event, member): (&'static str, &'static str),
        shown: fn(&Value) -> Value,
    ) {
        let (api, key, host) = (self.api.clone(), self.key.clone(), self.host.clone());
        tokio::spawn(async move {
            match api.all_pages(&key, group, &path, json!({})).await {
                Ok(pages) => {
                    let told = pages.items.iter().map(shown).collect::<Vec<_>>();
                    let event = ExtensionEvent::new(Target::Session, event, json!({member: told}));
                    host.report(Report::new().event(event));
                }
                Err(refusal) => tracing::warn!("{member} for the agent: {}", refusal.failure()),
            }
        });
    }

    /// The agent session is over, and CXone has said so.
    pub(super) fn over(&self, message: &str) {
        *open(&self.ids) = Ids::default();
        let failure = Failure::new(Code::Rejected, "CXone has ended the agent session").context(message.to_owned());
        self.with(|model| {
            model.facts.end();
            model.cases.release_kept();
            model.finish_replay(Instant::now());
            model.fail_wants(&failure);
        });
        self.synced.send_replace(Sync::Whole);
        self.turn.notify_waiters();
    }

    /// CXone does not know the session id: whether there is still a session to join.
    async fn rejoin(&self) -> bool {
        if open(&self.ids).leaving {
            self.over("logged out");
            return true;
        }
        match self.join().await {
            Ok(true) => {
                self.synced.send_replace(Sync::Needed);
                true
            }
            Ok(false) => {
                self.over("the agent session was lost");
                true
            }
            Err(_) => false,
        }
    }

    /// CXone knows the session id, and has told no replay: a further client of the session gets one for certain.
    async fn join_for_replay(&self) -> bool {
        match self.join().await {
            Ok(true) => {
                self.synced.send_replace(Sync::Needed);
                true
            }
            Ok(false) => self.go_on_or_end().await,
            Err(_) => false,
        }
    }

    /// There is no session to join: whether it goes on all the same is told by its next events, and what went on in it with
    /// them. Nobody is told before that the link is up.
    async fn go_on_or_end(&self) -> bool {
        let Ok(id) = self.id() else { return true };
        let events = match self.poll(&id, 0).await {
            Polled::Events(events) => events,
            Polled::Nothing => Vec::new(),
            Polled::Over => {
                self.over("the agent session was lost");
                return true;
            }
            Polled::Failed => return false,
        };
        tracing::warn!(agent = %self.agent, "CXone does not tell the agent's state anew; what it told is gone by");
        self.with(|model| {
            model.facts.assume_session();
            model.touch_all(Instant::now());
        });
        self.take(&events);
        self.synced.send_replace(Sync::Whole);
        true
    }

    /// Gets the state told anew. Whether that went well.
    async fn replay(&self) -> bool {
        let (first, older) = {
            let mut ids = open(&self.ids);
            (ids.current.clone().filter(|_| ids.fresh), ids.older.take())
        };
        let fresh = first.is_some();
        if let Some(id) = first.or(older) {
            // A session that has just begun may take a moment to tell the first word.
            for _ in 0..if fresh { FIRST_WORDS } else { 1 } {
                self.with(|model| model.facts.begin_replay());
                match self.poll(&id, 1).await {
                    Polled::Events(events) => {
                        self.take(&events);
                        return self.drain(fresh).await;
                    }
                    Polled::Nothing => self.no_replay(),
                    ended @ (Polled::Over | Polled::Failed) => return self.breaks_off(&ended).await,
                }
            }
            if fresh {
                open(&self.ids).fresh = false;
                return false;
            }
        }
        if open(&self.ids).current.is_none() {
            return true;
        }
        // That id was not an older one.
        self.join_for_replay().await
    }

    /// A replay ends before it is whole.
    async fn breaks_off(&self, ended: &Polled) -> bool {
        self.no_replay();
        matches!(ended, Polled::Over) && self.rejoin().await
    }

    fn no_replay(&self) {
        self.with(|model| model.facts.cancel_replay());
    }

    /// Polls without waiting until CXone has nothing more to tell: then the replay is whole, if it was one, as the first
    /// word to a new client is for `certain`. Before anything is taken for gone it is waited for a second.
    async fn drain(&self, certain: bool) -> bool {
        let mut wait = 0;
        for _ in 0..LONGEST_REPLAY {
            let Ok(id) = self.id() else { return true };
            match self.poll(&id, wait).await {
                Polled::Events(events) => {
                    self.take(&events);
                    wait = 0;
                }
                Polled::Nothing if wait == 0 && self.peek(|model| model.awaits_more(certain)) => wait = 1,
                Polled::Nothing => break,
                ended @ (Polled::Over | Polled::Failed) => return self.breaks_off(&ended).await,
            }
        }
        let whole = self.with(|model| {
            let whole = certain || model.facts.restarted;
            if whole {
                model.facts.assume_session();
                model.finish_replay(Instant::now());
            } else {
                model.facts.cancel_replay();
            }
            whole
        });
        if whole {
            self.synced.send_replace(Sync::Whole);
            return true;
        }
        // These were events like any others.
        self.join_for_replay().await
    }

    async fn poll(&self, id: &str, wait: u64) -> Polled {
        let path = format!("agent-sessions/{}/get-next-event", encode(id));
        let patience = Duration::from_secs(wait + 15);
        let params = json!({"timeout": wait});
        let call = Call { group: Group::Session, method: Method::GET, path: &path, params, patience };
        match self.api.call(&self.key, call).await {
            Ok((_, body)) => {
                if let Some(new) = session_id(&body) {
                    self.renamed(id, &new);
                }
                match list(inside(&body)["events"].clone()) {
                    events if events.is_empty() => Polled::Nothing,
                    events => {
                        open(&self.ids).fresh = false;
                        Polled::Events(events)
                    }
                }
            }
            Err(refusal) if matches!(refusal.status(), Some(404 | 409)) => Polled::Over,
            Err(refusal) => {
                tracing::debug!(agent = %self.agent, "poll: {}", refusal.failure());
                Polled::Failed
            }
        }
    }

    /// An answer carried this session id; it replaces the one that was polled, for everything.
    fn renamed(&self, polled: &str, new: &str) {
        let mut ids = open(&self.ids);
        // The session may have ended meanwhile.
        if ids.current.is_some() && polled != new {
            ids.older = Some(polled.to_owned());
            ids.current = Some(new.to_owned());
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// A message for an agent, as the desktop gets it.
fn message(message: &Value) -> Value {
    let either = |one: &str, other: &str| {
        Some(text(message, one)).filter(|text| !text.is_empty()).unwrap_or_else(|| text(message, other))
    };
    json!({
        "id": either("MessageId", "messageId"), "subject": either("Subject", "subject"),
        "text": either("MessageText", "message"), "validUntil": either("ValidUntil", "validUntil"),
    })
}
