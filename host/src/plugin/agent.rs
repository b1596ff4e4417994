//! One session's agent on the other side: what it is asked for, and what comes from it.
//!
//! Owns: its requests that have no answer yet, the reading of its reports and answers, and its end: dropping the
//! [`AgentHandle`] drops the plugin's agent, whose messages are refused from then on. Must never: block, wait for an answer
//! (it comes to the [`AgentSink`]), or trust a plugin: what cannot be read or answers what was not asked is counted and
//! reaches no session.
//!
//! A report or an answer is taken on the plugin's thread and read by the session's task: one plugin may have one thread for
//! all its agents, and what is made of a text is best made where it is used and freed.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use jackfield_plugin_api::{
    Code, Command, Ending, Failure, Outcome, Report, StartOptions,
    wire::{self, BreachKind, Kind, Status},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    AgentSink, Delivery, FromAgent, RequestId,
    contract::{ContractGuard, InFlight, cut_failure},
    running::RunningPlugin,
};

/// How many requests of one agent may be unanswered. A session allows itself fewer; this is for what it gave up on.
pub(super) const MAX_UNANSWERED: usize = 256;

/// A session's agent, as the session needs it: an [`AgentHandle`], or that of a test. Dropping it drops the plugin's agent.
///
/// An error of any method means that the request was not handed over and that no answer will come: `rate_limited` or
/// `adapter_failed`.
pub trait AgentPort: fmt::Debug + Send + 'static {
    /// Begins the session.
    ///
    /// # Errors
    /// It was not handed over.
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure>;
    /// Hands a command over. An answer that is read after `until` is not delivered any more.
    ///
    /// # Errors
    /// It was not handed over.
    fn command(&self, request: RequestId, command: &Command, until: Instant) -> Result<(), Failure>;
    /// Asks for a snapshot.
    ///
    /// # Errors
    /// It was not handed over.
    fn snapshot(&self, request: RequestId) -> Result<(), Failure>;
    /// Ends the session.
    ///
    /// # Errors
    /// It was not handed over.
    fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure>;
}

// ---- what it is asked for ----

/// The agent of a plugin.
pub struct AgentHandle {
    /// The tenant's platform, which stays connected as long as it has agents.
    _platform: Arc<dyn Send + Sync>,
    plugin: Arc<RunningPlugin>,
    id: u64,
    route: Arc<AgentRoute>,
}

impl AgentHandle {
    pub(super) fn new(
        platform: Arc<dyn Send + Sync>,
        plugin: Arc<RunningPlugin>,
        id: u64,
        route: Arc<AgentRoute>,
    ) -> Self {
        Self { _platform: platform, plugin, id, route }
    }

    fn ask<T: Serialize>(
        &self,
        kind: Kind,
        request: RequestId,
        message: &T,
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        self.route.begin(request, until, matches!(kind, Kind::START | Kind::SNAPSHOT))?;
        self.plugin.send(kind, self.id, message).inspect_err(|_| {
            // It may have been answered already all the same; then there is nothing to take back.
            let _ = self.route.settle(request);
        })
    }
}

impl AgentPort for AgentHandle {
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure> {
        let message = wire::Start { request, options: options.clone() };
        self.ask(Kind::START, request, &message, None)
    }

    fn command(&self, request: RequestId, command: &Command, until: Instant) -> Result<(), Failure> {
        self.ask(Kind::COMMAND, request, &wire::Execute { request, command: Cow::Borrowed(command) }, Some(until))
    }

    fn snapshot(&self, request: RequestId) -> Result<(), Failure> {
        self.ask(Kind::SNAPSHOT, request, &wire::BareRequest { request }, None)
    }

    fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure> {
        self.ask(Kind::LOG_OUT, request, &wire::LogOut { request, ending }, None)
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        self.plugin.dispatcher.remove(self.id);
        self.plugin.tell(Kind::DROP_AGENT, self.id);
    }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({})", self.route.session)
    }
}

// ---- what comes from it ----

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
    unanswered: Mutex<SmallVec<[PendingRequest; 1]>>,
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

impl fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes for {}", self.payload.len(), self.from.session)
    }
}
