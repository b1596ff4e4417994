//! The messages of a plugin for one session.
//!
//! Owns: the agent's requests that have no answer yet, and the reading of its reports and answers. Must never: trust a
//! plugin. What cannot be read or answers what was not asked is counted and reaches no session.
//!
//! A report or an answer is taken on the plugin's thread and read by whoever works the session: one plugin may have one
//! thread for all its agents, and what is made of a text is best made where it is used and freed.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use jackfield_plugin_api::{
    Code, Failure, Outcome, Report,
    wire::{self, BreachKind, Kind, Status},
};
use parking_lot::Mutex;
use serde::Deserialize;

use super::{
    AgentSink, Delivery, FromAgent, RequestId,
    contract::{ContractGuard, InFlight, cut_failure},
};

/// How many requests of one agent may be unanswered. A session allows itself fewer; this is for what it gave up on.
pub(super) const MAX_UNANSWERED: usize = 256;

/// A message for a session, which is read by opening it.
#[derive(Debug)]
pub struct AdapterMessage(Content);

#[derive(Debug)]
enum Content {
    Read(Box<FromAgent>),
    Report(RawMessage),
    Answer(RawMessage),
}

/// A payload as the plugin wrote it.
struct RawMessage {
    from: Arc<AgentRoute>,
    payload: Box<str>,
}

/// The way to one session.
pub(super) struct AgentRoute {
    contract: Arc<ContractGuard>,
    /// Those of all agents of the tenant.
    pub(super) in_flight: Arc<InFlight>,
    pub(super) tenant: String,
    pub(super) session: String,
    sink: Arc<dyn AgentSink>,
    unanswered: Mutex<Vec<PendingRequest>>,
    /// How many snapshots were read.
    snapshots: AtomicU64,
}

/// A request that has no answer yet.
pub(super) struct PendingRequest {
    request: RequestId,
    until: Option<Instant>,
    /// Of a request that a snapshot must be reported for: how many were, when it was made.
    snapshots: Option<u64>,
}

/// An answer whose report cannot be read.
#[derive(Deserialize)]
struct AnswerWithoutReport {
    request: RequestId,
    outcome: Outcome,
}

impl From<FromAgent> for AdapterMessage {
    fn from(message: FromAgent) -> Self {
        Self(Content::Read(Box::new(message)))
    }
}

impl AdapterMessage {
    pub(super) fn report(from: &Arc<AgentRoute>, payload: &str) -> Self {
        Self(Content::Report(RawMessage { from: Arc::clone(from), payload: payload.into() }))
    }

    pub(super) fn answer(from: &Arc<AgentRoute>, payload: &str) -> Self {
        Self(Content::Answer(RawMessage { from: Arc::clone(from), payload: payload.into() }))
    }

    /// How many bytes it keeps, as far as the plugin decides that.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Content::Read(message) => match &**message {
                FromAgent::Resume(state) => state.len(),
                _ => 0,
            },
            Content::Report(raw) | Content::Answer(raw) => raw.payload.len(),
        }
    }

    /// Reads it; `None` where nothing in it is for the session.
    #[must_use]
    pub fn open(self) -> Option<FromAgent> {
        match self.0 {
            Content::Read(message) => Some(*message),
            Content::Report(RawMessage { from, payload }) => {
                let mut report = from.contract.read(Kind::REPORT, || from.tenant.clone(), &payload)?;
                from.check(&mut report);
                Some(FromAgent::Report(report))
            }
            Content::Answer(RawMessage { from, payload }) => from.read_answer(&payload),
        }
    }
}

impl AgentRoute {
    pub(super) fn new(
        contract: Arc<ContractGuard>,
        in_flight: Arc<InFlight>,
        tenant: String,
        session: String,
        sink: Arc<dyn AgentSink>,
    ) -> Self {
        Self { contract, in_flight, tenant, session, sink, unanswered: Mutex::default(), snapshots: AtomicU64::new(0) }
    }

    /// Hands something to the session.
    pub(super) fn deliver(&self, message: AdapterMessage) -> Status {
        match self.sink.deliver(message) {
            Delivery::Accepted => Status::ACCEPTED,
            Delivery::Full => Status::FULL,
            Delivery::Closed => Status::CLOSED,
        }
    }

    /// Records a request that is being made. `until`: when its answer is no longer delivered. `wants_snapshot`: the plugin
    /// must report a snapshot before it answers.
    ///
    /// # Errors
    /// Too many have no answer.
    pub(super) fn begin(
        &self,
        request: RequestId,
        until: Option<Instant>,
        wants_snapshot: bool,
    ) -> Result<(), Failure> {
        let mut unanswered = self.unanswered.lock();
        if unanswered.len() >= MAX_UNANSWERED || !self.in_flight.begin() {
            return Err(Failure::new(Code::RateLimited, "too many commands wait for the adapter"));
        }
        let snapshots = wants_snapshot.then(|| self.snapshots.load(Relaxed));
        unanswered.push(PendingRequest { request, until, snapshots });
        Ok(())
    }

    /// Takes a request back: it was answered, or never handed over.
    pub(super) fn settle(&self, request: RequestId) -> Option<PendingRequest> {
        let mut unanswered = self.unanswered.lock();
        let at = unanswered.iter().position(|it| it.request == request)?;
        self.in_flight.end(1);
        Some(unanswered.swap_remove(at))
    }

    /// Takes back what was not answered.
    pub(super) fn give_up(&self) {
        let given_up = self.unanswered.lock().drain(..).count();
        self.in_flight.end(given_up);
    }

    fn read_answer(&self, payload: &str) -> Option<FromAgent> {
        let wire::Answer { request, report, outcome } = self.read_whole(payload)?;
        let (mut report, mut outcome) = (report.map(Cow::into_owned), outcome.into_owned());
        if let Outcome::Failure(failure) = &mut outcome {
            cut_failure(failure);
        }
        if let Some(report) = &mut report {
            self.check(report);
        }
        match self.settle(request) {
            Some(pending) if pending.until.is_none_or(|until| until >= Instant::now()) => {
                if pending.snapshots == Some(self.snapshots.load(Relaxed)) && matches!(outcome, Outcome::Success(_)) {
                    let detail = "start or snapshot succeeded, and no snapshot was reported before";
                    self.contract.breach(BreachKind::NoSnapshot, &self.tenant, detail, 1);
                }
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

    fn read_whole(&self, payload: &str) -> Option<wire::Answer<'static>> {
        if let Some(answer) = self.contract.read(Kind::ANSWER, || self.tenant.clone(), payload) {
            return Some(answer);
        }
        // Whoever waits for the answer need not wait for the deadline because of the report, or of what became of it.
        let AnswerWithoutReport { request, outcome } = wire::read(payload)
            .or_else(|_| {
                let outcome = Outcome::failure(Code::AdapterFailed, "the adapter's answer cannot be read");
                wire::read(payload).map(|wire::BareRequest { request }| AnswerWithoutReport { request, outcome })
            })
            .ok()?;
        Some(wire::Answer { request, report: None, outcome: Cow::Owned(outcome) })
    }

    fn late(&self, request: RequestId, unknown: bool) {
        self.contract.metrics.late_answer();
        if unknown {
            let (tenant, session) = (&*self.tenant, &*self.session);
            tracing::debug!(adapter = %self.contract.manifest.id, tenant, session, request,
                "an answer to what was not asked, or was answered before");
        }
    }

    /// Counts a snapshot, and leaves out the events that the manifest does not declare.
    fn check(&self, report: &mut Report) {
        self.snapshots.fetch_add(u64::from(report.snapshot), Relaxed);
        let declared = &self.contract.manifest.extension_events;
        report.events.retain(|event| {
            let known = declared.iter().any(|kind| kind.name == event.name);
            if !known && !self.contract.manifest.left_out.contains(&event.name) {
                let detail = format!("the event {:?} is not declared", event.name);
                self.contract.breach(BreachKind::UndeclaredEvent, &self.tenant, &detail, 1);
            }
            known
        });
    }
}

impl std::fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes for {}", self.payload.len(), self.from.session)
    }
}
