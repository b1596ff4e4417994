//! A switch at work: one lock, one clock.
//!
//! Owns: the lock around a switch, the time that passes in it, and the moment at which its effects are handed on: while
//! the lock is held, so that they keep the order of the transitions. Must never: hold the lock across an await, or set a
//! timer for a single request. Where effects go is the business of whoever implements [`Deliver`].

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jackfield_plugin_api::Timestamp;
use tokio::sync::Notify;

use crate::{
    settings::Settings,
    switch::{
        Switch,
        message::{Effect, Request, SessionNo, Ticket},
    },
};

/// Takes what comes from a switch. Called with the switch locked: it must return at once.
pub(crate) trait Deliver: Send + 'static {
    /// Takes one effect.
    fn deliver(&mut self, effect: Effect);
}

/// A switch with its clock.
#[derive(Debug)]
pub(crate) struct Driven<D> {
    state: Mutex<State<D>>,
    /// A timer was set that is due before all others.
    sooner: Notify,
    opened: Instant,
}

#[derive(Debug)]
struct State<D> {
    switch: Switch,
    deliver: D,
}

impl<D: Deliver> Driven<D> {
    /// Opens a switch. Its link is up after the first [`tick`](Self::tick).
    pub(crate) fn open(settings: Settings, deliver: D) -> Arc<Self> {
        let state = State { switch: Switch::new(settings).opened_at(Timestamp::now()), deliver };
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
        state.hand_on();
        let due = state.switch.next_due()?;
        Some(Duration::from_millis(due).saturating_sub(self.opened.elapsed()).max(Duration::from_micros(100)))
    }

    /// Asks the switch something. `prepare` names the request before, `conclude` sees what has come of it.
    pub(crate) fn submit<R>(
        &self,
        session: SessionNo,
        request: Request,
        prepare: impl FnOnce(&mut D) -> Ticket,
        conclude: impl FnOnce(&mut D, Ticket) -> R,
    ) -> R {
        let mut state = self.lock();
        let ticket = prepare(&mut state.deliver);
        let due = state.switch.next_due();
        state.switch.handle(self.now(), session, ticket, request);
        state.hand_on();
        if let Some(next) = state.switch.next_due()
            && due.is_none_or(|due| next < due)
        {
            self.sooner.notify_one();
        }
        conclude(&mut state.deliver, ticket)
    }

    /// Whether the session is one of the switch's.
    pub(crate) fn knows(&self, session: SessionNo) -> bool {
        self.lock().switch.knows(session)
    }

    /// Looks after where effects go.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut D) -> R) -> R {
        look(&mut self.lock().deliver)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Deliver> State<D> {
    fn hand_on(&mut self) {
        for effect in self.switch.take_effects() {
            self.deliver.deliver(effect);
        }
    }
}
