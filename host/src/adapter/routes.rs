//! What comes from one plugin: checked, and handed to whom it is for.
//!
//! Owns: who is addressed by which id, which requests are unanswered, and what a plugin is caught at. Must never: trust
//! a plugin. What cannot be read, is too long, answers what was not asked, or is for nobody is refused and counted; it
//! reaches no session. Called on the plugin's threads (or by the reader of a worker's socket); never blocks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jackfield_plugin_api::{
    Code, Failure, Link, Manifest, Report,
    wire::{
        self, Breach, ById, Done, Form, Kind, Level, Log, MAX_PAYLOAD, MAX_RESUME_STATE, Metric, Outlet, Resume,
        Status, Wrong,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{AgentSink, Delivery, FromAgent, FromPlatform, PlatformSink, RequestId, worker::Death};
use crate::metrics::AdapterMetrics;

/// How many requests of one agent may be unanswered. A session allows itself fewer; this is for what it gave up on.
const MAX_ASKED: usize = 256;

/// How many requests of all agents of one plugin may be unanswered.
const MAX_IN_FLIGHT: usize = 16_384;

/// Who waits for a plugin to be done with something.
type Waiting = oneshot::Sender<Option<Failure>>;

pub(super) struct Routes {
    pub(super) manifest: Arc<Manifest>,
    metrics: AdapterMetrics,
    table: RwLock<ById<Route>>,
    done: Mutex<HashMap<(Kind, u64), Waiting>>,
    in_flight: AtomicUsize,
    responsive: AtomicBool,
    lost: AtomicBool,
    /// The plugin has said that it reads the compact form.
    compact: AtomicBool,
}

#[derive(Clone)]
enum Route {
    Platform(Arc<PlatformRoute>),
    Agent(Arc<AgentRoute>),
}

struct PlatformRoute {
    tenant: String,
    sink: Arc<dyn PlatformSink>,
}

pub(super) struct AgentRoute {
    tenant: String,
    session: String,
    sink: Arc<dyn AgentSink>,
    asked: Mutex<Vec<Asked>>,
}

/// A request that has no answer yet.
struct Asked {
    request: RequestId,
    until: Option<Instant>,
}

impl Routes {
    pub(super) fn new(manifest: Arc<Manifest>, metrics: AdapterMetrics) -> Self {
        Self {
            manifest,
            metrics,
            table: RwLock::default(),
            done: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            responsive: AtomicBool::new(true),
            lost: AtomicBool::new(false),
            compact: AtomicBool::new(false),
        }
    }

    pub(super) fn add_platform(&self, id: u64, tenant: String, sink: Arc<dyn PlatformSink>) {
        let route = Route::Platform(Arc::new(PlatformRoute { tenant, sink }));
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(id, route);
    }

    pub(super) fn add_agent(
        &self,
        id: u64,
        tenant: String,
        session: String,
        sink: Arc<dyn AgentSink>,
    ) -> Arc<AgentRoute> {
        let route = Arc::new(AgentRoute { tenant, session, sink, asked: Mutex::default() });
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(id, Route::Agent(Arc::clone(&route)));
        route
    }

    /// From now on nothing is for this id.
    pub(super) fn remove(&self, id: u64) {
        let route = self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(Route::Agent(agent)) = route {
            let given_up = agent.lock().drain(..).count();
            self.in_flight.fetch_sub(given_up, Relaxed);
        }
    }

    /// Notes that a request is being made.
    ///
    /// # Errors
    /// Too many have no answer.
    pub(super) fn ask(
        &self,
        agent: &AgentRoute,
        request: RequestId,
        deadline: Option<Duration>,
    ) -> Result<(), Failure> {
        let mut asked = agent.lock();
        if asked.len() >= MAX_ASKED || self.in_flight.load(Relaxed) >= MAX_IN_FLIGHT {
            return Err(Failure::new(Code::RateLimited, "too many commands wait for the adapter"));
        }
        asked.push(Asked { request, until: deadline.map(|deadline| Instant::now() + deadline) });
        self.in_flight.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Takes a request back: it was answered, or never handed over.
    pub(super) fn unask(&self, agent: &AgentRoute, request: RequestId) -> Option<Option<Instant>> {
        let mut asked = agent.lock();
        let at = asked.iter().position(|it| it.request == request)?;
        self.in_flight.fetch_sub(1, Relaxed);
        Some(asked.swap_remove(at).until)
    }

    /// Waits from now on for the plugin to say that it is done with a message.
    ///
    /// # Errors
    /// Someone waits for the same already.
    pub(super) fn await_done(self: &Arc<Self>, of: Kind, id: u64) -> Result<AwaitedDone, Failure> {
        let (sender, receiver) = oneshot::channel();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.contains_key(&(of, id)) {
            return Err(Failure::new(Code::Internal, "the same is asked of the adapter already"));
        }
        done.insert((of, id), sender);
        Ok(AwaitedDone { routes: Arc::clone(self), of, id, receiver })
    }

    /// The plugin is gone: everybody is told, and nobody waits for it any more.
    pub(super) fn lost(&self, death: &Death) {
        self.lost.store(true, Relaxed);
        self.metrics.worker_died(death.kind.as_str());
        let routes = std::mem::take(&mut *self.table.write().unwrap_or_else(PoisonError::into_inner));
        self.in_flight.store(0, Relaxed);
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for route in routes.into_values() {
            match route {
                Route::Platform(platform) => platform.sink.deliver(FromPlatform::Lost(death.clone())),
                Route::Agent(agent) => {
                    agent.lock().clear();
                    tell_lost(agent, death.to_string());
                }
            }
        }
    }

    pub(super) fn failed(&self, kind: &'static str, what: &str) {
        self.metrics.failure(kind);
        tracing::error!(adapter = %self.manifest.id, "{what}");
    }

    pub(super) fn set_responsive(&self, responsive: bool) {
        if self.responsive.swap(responsive, Relaxed) == responsive {
            return;
        }
        if responsive {
            tracing::info!(adapter = %self.manifest.id, "the adapter answers again");
        } else {
            self.failed("unresponsive", "the adapter does not answer: its threads are blocked or busy");
        }
    }

    /// How the plugin wants to be told.
    pub(super) fn form(&self) -> Form {
        if self.compact.load(Relaxed) { Form::Compact } else { Form::Json }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    pub(super) fn is_responsive(&self) -> bool {
        self.responsive.load(Relaxed)
    }

    fn done(&self, id: u64, payload: &str) -> Status {
        let Some(Done { of, failure, compact }) = self.read(Kind::DONE, id, payload) else { return Status::REFUSED };
        if of == Kind::LOAD && compact {
            self.compact.store(true, Relaxed);
        }
        let waiting = self.done.lock().unwrap_or_else(PoisonError::into_inner).remove(&(of, id));
        match waiting {
            Some(waiting) => drop(waiting.send(failure)),
            // Nobody waits for the end of what was given up.
            None if of == Kind::DISCONNECT => {}
            None => self.metrics.late_answer(),
        }
        Status::ACCEPTED
    }

    fn answer(&self, id: u64, payload: &str) -> Status {
        let Some(Route::Agent(agent)) = self.route(id) else { return Status::CLOSED };
        let Some(wire::Answer { request, mut report, outcome }) = self.read(Kind::ANSWER, id, payload) else {
            return Status::REFUSED;
        };
        if let Some(report) = &mut report {
            self.drop_undeclared(&agent, report);
        }
        let until = match self.unask(&agent, request) {
            // The session has given up on it at the same deadline.
            Some(until) if until.is_none_or(|until| until >= Instant::now()) => until,
            found => {
                self.metrics.late_answer();
                if found.is_none() {
                    tracing::debug!(adapter = %self.manifest.id, tenant = agent.tenant, session = agent.session,
                        request, "an answer to what was not asked, or was answered before");
                }
                // What goes with an answer that comes too late holds all the same.
                return match report {
                    Some(report) => deliver(&agent, FromAgent::Report(report)),
                    None if found.is_none() => Status::REFUSED,
                    None => Status::ACCEPTED,
                };
            }
        };
        let status = deliver(&agent, FromAgent::Answer { request, report, outcome });
        if status == Status::FULL {
            agent.lock().push(Asked { request, until });
            self.in_flight.fetch_add(1, Relaxed);
        }
        status
    }

    fn report(&self, id: u64, payload: &str) -> Status {
        let Some(Route::Agent(agent)) = self.route(id) else { return Status::CLOSED };
        let Some(mut report) = self.read::<Report>(Kind::REPORT, id, payload) else { return Status::REFUSED };
        self.drop_undeclared(&agent, &mut report);
        deliver(&agent, FromAgent::Report(report))
    }

    /// Leaves out the events that the manifest does not declare.
    fn drop_undeclared(&self, agent: &AgentRoute, report: &mut Report) {
        let declared = &self.manifest.extension_events;
        report.events.retain(|event| {
            let known = declared.iter().any(|kind| kind.name == event.name);
            if !known {
                self.breach(Wrong::UndeclaredEvent, &agent.tenant, &format!("the event {:?}", event.name), 1);
            }
            known
        });
    }

    fn link(&self, id: u64, payload: &str) -> Status {
        let Some(link) = self.read::<Link>(Kind::LINK, id, payload) else { return Status::REFUSED };
        match self.route(id) {
            Some(Route::Agent(agent)) => deliver(&agent, FromAgent::Link(link)),
            Some(Route::Platform(platform)) => {
                platform.sink.deliver(FromPlatform::Link(link));
                Status::ACCEPTED
            }
            None => Status::CLOSED,
        }
    }

    fn resume(&self, id: u64, payload: &str) -> Status {
        let Some(Route::Agent(agent)) = self.route(id) else { return Status::CLOSED };
        let Some(Resume { state }) = self.read(Kind::RESUME, id, payload) else { return Status::REFUSED };
        if state.len() > MAX_RESUME_STATE {
            self.breach(Wrong::ResumeTooLong, &agent.tenant, "a resume state that is too long", 1);
            return Status::REFUSED;
        }
        deliver(&agent, FromAgent::Resume(state))
    }

    fn metric(&self, id: u64, payload: &str) -> Status {
        let Some(Route::Platform(platform)) = self.route(id) else { return Status::CLOSED };
        let Some(Metric { name, labels, value }) = self.read(Kind::METRIC, id, payload) else {
            return Status::REFUSED;
        };
        if let Err(wrong) = self.manifest.check_metric(&name, labels.len(), value) {
            self.breach(Wrong::UndeclaredMetric, &platform.tenant, &wrong, 1);
            return Status::REFUSED;
        }
        platform.sink.deliver(FromPlatform::Metric { name, labels, value });
        Status::ACCEPTED
    }

    fn log(&self, id: u64, payload: &str) -> Status {
        let Some(log) = self.read::<Log>(Kind::LOG, id, payload) else { return Status::REFUSED };
        write_log(&self.manifest.id, &self.tenant(id), &log);
        Status::ACCEPTED
    }

    #[cold]
    fn breach(&self, what: Wrong, tenant: &str, detail: &str, times: u64) {
        let kind = match what {
            Wrong::Panic => {
                self.metrics.failure("panic");
                tracing::error!(adapter = %self.manifest.id, tenant, "the adapter panicked: {detail}");
                return;
            }
            Wrong::UndeclaredMetric => "undeclared_metric",
            Wrong::UndeclaredEvent => "undeclared_event",
            Wrong::ReportsDropped => "reports_dropped",
            Wrong::ResumeTooLong => "resume_too_long",
            Wrong::BadMessage => "bad_message",
            _ => "other",
        };
        // One message can stand for many; a plugin that says so of itself cannot make us count for long.
        (0..times.min(1000)).for_each(|_| self.metrics.breach(kind));
        tracing::warn!(adapter = %self.manifest.id, tenant, kind, times, "the adapter broke the contract: {detail}");
    }

    fn read<T: DeserializeOwned>(&self, kind: Kind, id: u64, payload: &str) -> Option<T> {
        wire::read(payload)
            .map_err(|error| self.breach(Wrong::BadMessage, &self.tenant(id), &format!("{kind:?}: {error}"), 1))
            .ok()
    }

    fn route(&self, id: u64) -> Option<Route> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn tenant(&self, id: u64) -> String {
        match self.route(id) {
            Some(Route::Platform(platform)) => platform.tenant.clone(),
            Some(Route::Agent(agent)) => agent.tenant.clone(),
            None => String::new(),
        }
    }
}

impl Outlet for Routes {
    fn emit(&self, kind: Kind, id: u64, payload: &str) -> Status {
        if payload.len() > MAX_PAYLOAD {
            let detail = format!("{kind:?} with {} bytes; at most {MAX_PAYLOAD} are taken", payload.len());
            self.breach(Wrong::BadMessage, &self.tenant(id), &detail, 1);
            return Status::REFUSED;
        }
        match kind {
            Kind::ANSWER => self.answer(id, payload),
            Kind::REPORT => self.report(id, payload),
            Kind::RESUME => self.resume(id, payload),
            Kind::LINK => self.link(id, payload),
            Kind::METRIC => self.metric(id, payload),
            Kind::LOG => self.log(id, payload),
            Kind::DONE => self.done(id, payload),
            Kind::BREACH => {
                let Some(Breach { what, detail, times }) = self.read(kind, id, payload) else {
                    return Status::REFUSED;
                };
                self.breach(what, &self.tenant(id), &detail, times);
                Status::ACCEPTED
            }
            // A newer plugin's own.
            _ => Status::REFUSED,
        }
    }
}

impl AgentRoute {
    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self) -> &str {
        &self.session
    }
}

fn deliver(agent: &AgentRoute, message: FromAgent) -> Status {
    match agent.sink.deliver(message) {
        Delivery::Accepted => Status::ACCEPTED,
        Delivery::Full => Status::FULL,
        Delivery::Closed => Status::CLOSED,
    }
}

/// Tells a session that its agent is gone; one that cannot take it now is told as soon as it can.
fn tell_lost(agent: Arc<AgentRoute>, reason: String) {
    if deliver(&agent, FromAgent::Lost { reason: reason.clone() }) == Status::FULL {
        tokio::spawn(async move {
            while deliver(&agent, FromAgent::Lost { reason: reason.clone() }) == Status::FULL {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}

/// Writes a plugin's line into the host's log.
fn write_log(adapter: &str, tenant: &str, log: &Log) {
    let Log { level, target, message, suppressed } = log;
    macro_rules! write_at {
        ($level:ident) => {
            if *suppressed == 0 {
                tracing::$level!(target: "jackfield::plugin", adapter, tenant, module = target, "{message}")
            } else {
                tracing::$level!(target: "jackfield::plugin", adapter, tenant, module = target, suppressed, "{message}")
            }
        };
    }
    match level {
        Level::Error => write_at!(error),
        Level::Warn => write_at!(warn),
        Level::Info => write_at!(info),
        Level::Debug => write_at!(debug),
        Level::Trace => write_at!(trace),
    }
}

/// Something that the plugin will say it is done with.
pub(super) struct AwaitedDone {
    routes: Arc<Routes>,
    of: Kind,
    id: u64,
    receiver: oneshot::Receiver<Option<Failure>>,
}

impl AwaitedDone {
    /// Waits until it is done, or not much longer than that.
    pub(super) async fn within(mut self, deadline: Duration) -> Result<(), Failure> {
        match tokio::time::timeout(deadline, &mut self.receiver).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(failure))) => Err(failure),
            Ok(Err(_)) => Err(Failure::new(Code::AdapterFailed, "the adapter is gone")),
            Err(_) => Err(Failure::new(Code::Timeout, "the adapter did not answer in time")),
        }
    }
}

impl Drop for AwaitedDone {
    fn drop(&mut self) {
        self.routes.done.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.of, self.id));
    }
}

#[cfg(test)]
mod tests;
