//! What a plugin says of one agent, and who reads it.
//!
//! Owns: the agent's requests that have no answer yet, and the reading of its reports and answers. Must never: trust a
//! plugin. What cannot be read or answers what was not asked is counted and reaches no session.
//!
//! A report or an answer is taken on the plugin's thread and read by whoever works the session: one plugin may have one
//! thread for all its agents, and what is made of a text is best made where it is used and freed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jackfield_plugin_api::{
    Code, Failure, Outcome, Report,
    wire::{self, Kind, PayloadOwned, Status, Wrong},
};
use serde::Deserialize;

use super::{
    AgentSink, Delivery, FromAgent, RequestId,
    conduct::{Conduct, InFlight, cut_failure},
};

/// How many requests of one agent may be unanswered. A session allows itself fewer; this is for what it gave up on.
pub(super) const MAX_ASKED: usize = 256;

/// A message for a session, which is read by opening it.
#[derive(Debug)]
pub struct Letter(Content);

#[derive(Debug)]
enum Content {
    Read(Box<FromAgent>),
    Report(Sealed),
    Answer(Sealed),
}

/// A payload as the plugin wrote it.
struct Sealed {
    from: Arc<AgentRoute>,
    payload: Box<str>,
}

/// The way to one session.
pub(super) struct AgentRoute {
    conduct: Arc<Conduct>,
    /// Those of all agents of the tenant.
    pub(super) in_flight: Arc<InFlight>,
    pub(super) tenant: String,
    pub(super) session: String,
    sink: Arc<dyn AgentSink>,
    asked: Mutex<Vec<Asked>>,
}

/// A request that has no answer yet.
struct Asked {
    request: RequestId,
    until: Option<Instant>,
}

/// An answer whose report cannot be read.
#[derive(Deserialize)]
struct Bare {
    request: RequestId,
    outcome: Outcome,
}

impl PayloadOwned for Bare {}

impl From<FromAgent> for Letter {
    fn from(message: FromAgent) -> Self {
        Self(Content::Read(Box::new(message)))
    }
}

impl Letter {
    pub(super) fn report(from: &Arc<AgentRoute>, payload: &str) -> Self {
        Self(Content::Report(Sealed { from: Arc::clone(from), payload: payload.into() }))
    }

    pub(super) fn answer(from: &Arc<AgentRoute>, payload: &str) -> Self {
        Self(Content::Answer(Sealed { from: Arc::clone(from), payload: payload.into() }))
    }

    /// How many bytes it keeps, as far as the plugin decides that.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Content::Read(message) => match &**message {
                FromAgent::Resume(state) => state.len(),
                _ => 0,
            },
            Content::Report(sealed) | Content::Answer(sealed) => sealed.payload.len(),
        }
    }

    /// Reads it; `None` where it says nothing that the session should hear.
    #[must_use]
    pub fn open(self) -> Option<FromAgent> {
        match self.0 {
            Content::Read(message) => Some(*message),
            Content::Report(Sealed { from, payload }) => {
                let mut report = from.conduct.read(Kind::REPORT, || from.tenant.clone(), &payload)?;
                from.drop_undeclared(&mut report);
                Some(FromAgent::Report(report))
            }
            Content::Answer(Sealed { from, payload }) => from.read_answer(&payload),
        }
    }
}

impl AgentRoute {
    pub(super) fn new(
        conduct: Arc<Conduct>,
        in_flight: Arc<InFlight>,
        tenant: String,
        session: String,
        sink: Arc<dyn AgentSink>,
    ) -> Self {
        Self { conduct, in_flight, tenant, session, sink, asked: Mutex::default() }
    }

    /// Hands something to the session.
    pub(super) fn deliver(&self, letter: Letter) -> Status {
        match self.sink.deliver(letter) {
            Delivery::Accepted => Status::ACCEPTED,
            Delivery::Full => Status::FULL,
            Delivery::Closed => Status::CLOSED,
        }
    }

    /// Notes that a request is being made, whose answer counts until then.
    ///
    /// # Errors
    /// Too many have no answer.
    pub(super) fn ask(&self, request: RequestId, until: Option<Instant>) -> Result<(), Failure> {
        let mut asked = self.lock();
        if asked.len() >= MAX_ASKED || !self.in_flight.begin() {
            return Err(Failure::new(Code::RateLimited, "too many commands wait for the adapter"));
        }
        asked.push(Asked { request, until });
        Ok(())
    }

    /// Takes a request back: it was answered, or never handed over.
    pub(super) fn unask(&self, request: RequestId) -> Option<Option<Instant>> {
        let mut asked = self.lock();
        let at = asked.iter().position(|it| it.request == request)?;
        self.in_flight.end(1);
        Some(asked.swap_remove(at).until)
    }

    /// Takes back what was not answered.
    pub(super) fn give_up(&self) {
        let given_up = self.lock().drain(..).count();
        self.in_flight.end(given_up);
    }

    fn read_answer(&self, payload: &str) -> Option<FromAgent> {
        let wire::Answer { request, mut report, mut outcome } = self.read_whole(payload)?;
        if let Outcome::Failure(failure) = &mut outcome {
            cut_failure(failure);
        }
        if let Some(report) = &mut report {
            self.drop_undeclared(report);
        }
        match self.unask(request) {
            Some(until) if until.is_none_or(|until| until >= Instant::now()) => {
                Some(FromAgent::Answer { request, report, outcome })
            }
            found => {
                // The session has given up on it at the same deadline.
                self.late(request, found.is_none());
                // What goes with an answer that comes too late holds all the same.
                report.map(FromAgent::Report)
            }
        }
    }

    fn read_whole(&self, payload: &str) -> Option<wire::Answer> {
        if let Some(answer) = self.conduct.read(Kind::ANSWER, || self.tenant.clone(), payload) {
            return Some(answer);
        }
        // Whoever waits for the answer need not wait for the deadline because of the report, or of what became of it.
        let Bare { request, outcome } = wire::read(payload)
            .or_else(|_| {
                let outcome = Outcome::failure(Code::AdapterFailed, "the adapter's answer cannot be read");
                wire::read(payload).map(|wire::Request { request }| Bare { request, outcome })
            })
            .ok()?;
        Some(wire::Answer { request, report: None, outcome })
    }

    #[cold]
    fn late(&self, request: RequestId, unknown: bool) {
        self.conduct.metrics.late_answer();
        if unknown {
            let (tenant, session) = (&*self.tenant, &*self.session);
            tracing::debug!(adapter = %self.conduct.manifest.id, tenant, session, request,
                "an answer to what was not asked, or was answered before");
        }
    }

    /// Leaves out the events that the manifest does not declare.
    fn drop_undeclared(&self, report: &mut Report) {
        let declared = &self.conduct.manifest.extension_events;
        report.events.retain(|event| {
            let known = declared.iter().any(|kind| kind.name == event.name);
            if !known && !self.conduct.manifest.left_out.contains(&event.name) {
                let detail = format!("the event {:?} is not declared", event.name);
                self.conduct.breach(Wrong::UndeclaredEvent, &self.tenant, &detail, 1);
            }
            known
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes for {}", self.payload.len(), self.from.session)
    }
}
