//! Where a tenant's switch stands: here, in the adapter's own process, behind one lock.
//!
//! Owns: the switch, the clock that drives it, and the way of its effects to the sessions. Must never: hold the lock
//! across an await, or set a timer for a single command. Requests come from [`adapter`](crate::adapter); reports,
//! link changes and metrics go to the host while the lock is held, so that they keep the order of the transitions.
//!
//! All that is said to the switch and by it are [messages](crate::switch::message): this is the only file to change for
//! a switch that stands elsewhere.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jackfield_plugin_api::{AgentHost, Code, Ending, Outcome, PlatformHost};
use tokio::sync::{Notify, oneshot};

use crate::{
    settings::Settings,
    switch::{
        Switch,
        message::{Effect, Request, SessionNo, Ticket},
    },
};

/// A tenant's switch.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Mutex<State>,
    /// A timer was set that is due before all others.
    sooner: Notify,
    opened: Instant,
}

#[derive(Debug)]
struct State {
    switch: Switch,
    host: PlatformHost,
    sessions: HashMap<SessionNo, AgentHost>,
    /// Requests whose answer comes later.
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
    last_number: u64,
    /// Kept for its room.
    effects: Vec<Effect>,
}

impl Exchange {
    /// Opens a switch. Nothing happens by itself in it before [`run`](Self::run).
    pub(crate) fn open(settings: Settings, host: PlatformHost) -> Arc<Self> {
        let state = State {
            switch: Switch::new(settings),
            host,
            sessions: HashMap::new(),
            waiting: HashMap::new(),
            last_number: 0,
            effects: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), sooner: Notify::new(), opened: Instant::now() })
    }

    /// Lets happen what is due, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            match self.tick() {
                None => self.sooner.notified().await,
                Some(wait) => {
                    tokio::select! {
                        () = self.sooner.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Lets happen what is due, and says how long nothing will be.
    pub(crate) fn tick(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.switch.tick(self.now());
        state.deliver(None);
        let due = state.switch.next_due()?;
        Some(Duration::from_millis(due).saturating_sub(self.opened.elapsed()).max(Duration::from_micros(100)))
    }

    /// A new session, which the host listens to.
    pub(crate) fn new_session(&self, host: AgentHost) -> SessionNo {
        let mut state = self.lock();
        let session = SessionNo(state.number());
        state.sessions.insert(session, host);
        session
    }

    /// Asks the switch something and waits for its answer.
    pub(crate) async fn ask(&self, session: SessionNo, request: Request) -> Outcome {
        let (ticket, answer) = match self.submit(session, request) {
            Ok(outcome) => return outcome,
            Err(later) => later,
        };
        let _given_up = GivenUp { exchange: self, ticket };
        answer.await.unwrap_or_else(|_| Outcome::failure(Code::Internal, "the switch has closed"))
    }

    /// The session goes and its calls stay. Nothing is heard of it any more.
    pub(crate) fn leave(&self, session: SessionNo) {
        // A session that is only left is never refused, and answered at once.
        let _ = self.submit(session, Request::LogOut(Ending::Leave));
        self.forget(session);
    }

    /// Nothing is heard of the session any more.
    pub(crate) fn forget(&self, session: SessionNo) {
        self.lock().sessions.remove(&session);
    }

    fn submit(&self, session: SessionNo, request: Request) -> Result<Outcome, (Ticket, oneshot::Receiver<Outcome>)> {
        let mut state = self.lock();
        let ticket = Ticket(state.number());
        let due = state.switch.next_due();
        state.switch.handle(self.now(), session, ticket, request);
        let answer = state.deliver(Some(ticket));
        if let Some(next) = state.switch.next_due()
            && due.is_none_or(|due| next < due)
        {
            self.sooner.notify_one();
        }
        answer.ok_or_else(|| {
            let (sender, receiver) = oneshot::channel();
            state.waiting.insert(ticket, sender);
            (ticket, receiver)
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Sends the effects where they belong; the answer to `mine` is handed back.
    fn deliver(&mut self, mine: Option<Ticket>) -> Option<Outcome> {
        let mut effects = mem::take(&mut self.effects);
        self.switch.take_effects(&mut effects);
        let mut answer = None;
        for effect in effects.drain(..) {
            match effect {
                Effect::Answer { ticket, outcome } if Some(ticket) == mine => answer = Some(outcome),
                Effect::Answer { ticket, outcome } => {
                    if let Some(sender) = self.waiting.remove(&ticket) {
                        // Whoever asked may have given up.
                        let _ = sender.send(outcome);
                    }
                }
                Effect::Report { session, report } => {
                    if let Some(host) = self.sessions.get(&session) {
                        host.report(report);
                    }
                }
                Effect::Link(link) => self.host.link(link),
                Effect::Metric { name, labels, value } => {
                    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                    self.host.metric(&name, &labels, value);
                }
            }
        }
        self.effects = effects;
        answer
    }
}

/// Whoever waits for an answer gives it up: nobody keeps a place for it.
struct GivenUp<'a> {
    exchange: &'a Exchange,
    ticket: Ticket,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.exchange.lock().waiting.remove(&self.ticket);
    }
}
