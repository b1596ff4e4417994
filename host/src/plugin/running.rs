//! One running plugin, wherever it runs: what is sent to it, and whom what comes from it is for.
//!
//! Owns: the ids of its platforms and agents, who waits for it to be done with something, and whether it is alive. Must
//! never: block, know whether the plugin is in this process or in a worker (that is behind the [`MessageSink`] it was made
//! with), or trust it: what is too long, cannot be read or is for nobody is refused and counted. Calls come from
//! [`PlatformHandle`](super::PlatformHandle) and [`AgentHandle`](super::AgentHandle). The [`Dispatcher`] is called on the
//! plugin's threads, or by the reader of a worker's socket; reports and answers go on as they are, to be read by the
//! session's task (see [`agent`](super::agent)).

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jackfield_plugin_api::{
    Backoff, Code, Failure, Link, Manifest,
    wire::{
        self, Breach, BreachKind, Done, Hello, Kind, Level, Log, MAX_PAYLOAD, MAX_RESUME_STATE, MessageSink, Metric,
        Resume, Status,
    },
};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::{
    AdapterMessage, AgentSink, FromAgent, FromPlatform, PlatformSink,
    agent::AgentRoute,
    contract::{ContractGuard, InFlight, cut, cut_failure},
    worker::{Death, DeathKind},
};
use crate::metrics::AdapterMetrics;

/// How long a plugin may take to say that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A plugin, and the way to it.
pub(super) struct RunningPlugin {
    pub(super) dispatcher: Arc<Dispatcher>,
    backend: OnceLock<Box<dyn MessageSink>>,
    next_id: AtomicU64,
}

impl RunningPlugin {
    pub(super) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher, backend: OnceLock::new(), next_id: AtomicU64::new(1) }
    }

    /// Sets how messages reach the plugin; once.
    pub(super) fn set_backend(&self, backend: Box<dyn MessageSink>) {
        // A second one would be a mistake of ours; the first stays.
        let _ = self.backend.set(backend);
    }

    pub(super) fn manifest(&self) -> &Arc<Manifest> {
        self.dispatcher.manifest()
    }

    /// An id that was never used.
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Hands a message over.
    pub(super) fn send<T: Serialize + ?Sized>(&self, kind: Kind, id: u64, message: &T) -> Result<(), Failure> {
        let status = wire::write(message).map(|payload| self.submit(kind, id, &payload));
        match status {
            Ok(Status::ACCEPTED) => Ok(()),
            Ok(Status::FULL) => Err(Failure::new(Code::RateLimited, "the adapter has too much to do")),
            Ok(Status::CLOSED) => {
                Err(Failure::new(Code::AdapterFailed, "the adapter does not have this session any more"))
            }
            Ok(_) => Err(Failure::new(Code::AdapterFailed, "the adapter does not take this request")),
            Err(error) => {
                Err(Failure::new(Code::Internal, "a request could not be written").context(error.to_string()))
            }
        }
    }

    /// Hands a message over and forgets it.
    pub(super) fn tell(&self, kind: Kind, id: u64) {
        self.submit(kind, id, "");
    }

    /// Tells it which lines of its log are wanted.
    pub(super) fn set_log_level(&self, log: Level) {
        if let Err(failure) = self.send(Kind::LOG_LEVEL, 0, &Hello { log }) {
            let adapter = &*self.manifest().id;
            tracing::debug!(adapter, %failure, "a plugin does not change what it logs");
        }
    }

    /// Hands a message over and waits until it is done.
    pub(super) async fn call<T: Serialize + ?Sized>(
        &self,
        kind: Kind,
        id: u64,
        message: &T,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let done = self.dispatcher.await_done(kind, id)?;
        self.send(kind, id, message)?;
        done.within(deadline).await
    }

    fn submit(&self, kind: Kind, id: u64, payload: &str) -> Status {
        self.backend.get().map_or(Status::CLOSED, |backend| backend.send(kind, id, payload))
    }

    /// Sends heartbeats to the plugin as long as it is used, and records whether they are answered.
    pub(super) async fn watch(plugin: Weak<Self>) {
        let mut ping = 0;
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let Some(plugin) = plugin.upgrade() else { return };
            ping += 1;
            let alive = plugin.call(Kind::PING, ping, &(), HEARTBEAT).await.is_ok();
            plugin.dispatcher.set_responsive(alive);
        }
    }
}

/// Completes a request that waits until the plugin is done with it.
type DoneSender = oneshot::Sender<Option<Failure>>;

/// Hands each message of a plugin to the session or tenant that it is for.
pub(super) struct Dispatcher {
    contract: Arc<ContractGuard>,
    table: RwLock<FxHashMap<u64, Route>>,
    done: Mutex<HashMap<(Kind, u64), DoneSender>>,
    responsive: AtomicBool,
    lost: AtomicBool,
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

impl Dispatcher {
    pub(super) fn new(manifest: Arc<Manifest>, metrics: AdapterMetrics) -> Self {
        Self {
            contract: Arc::new(ContractGuard::new(manifest, metrics)),
            table: RwLock::default(),
            done: Mutex::default(),
            responsive: AtomicBool::new(true),
            lost: AtomicBool::new(false),
        }
    }

    pub(super) fn manifest(&self) -> &Arc<Manifest> {
        &self.contract.manifest
    }

    pub(super) fn add_platform(&self, id: u64, tenant: String, sink: Arc<dyn PlatformSink>) {
        let route = Route::Platform(Arc::new(PlatformRoute { tenant, sink }));
        self.table.write().insert(id, route);
    }

    pub(super) fn add_agent(
        &self,
        id: u64,
        in_flight: Arc<InFlight>,
        tenant: String,
        session: String,
        sink: Arc<dyn AgentSink>,
    ) -> Arc<AgentRoute> {
        let route = Arc::new(AgentRoute::new(Arc::clone(&self.contract), in_flight, tenant, session, sink));
        self.table.write().insert(id, Route::Agent(Arc::clone(&route)));
        route
    }

    /// Removes a platform or an agent; messages for it are refused from now on.
    pub(super) fn remove(&self, id: u64) {
        let route = self.table.write().remove(&id);
        if let Some(Route::Agent(agent)) = route {
            agent.give_up();
        }
    }

    /// Waits from now on for the plugin to say that it is done with a message.
    ///
    /// # Errors
    /// Someone waits for the same already.
    pub(super) fn await_done(self: &Arc<Self>, of: Kind, id: u64) -> Result<AwaitedDone, Failure> {
        let (sender, receiver) = oneshot::channel();
        let mut done = self.done.lock();
        if done.contains_key(&(of, id)) {
            return Err(Failure::new(Code::Internal, "the same is asked of the adapter already"));
        }
        done.insert((of, id), sender);
        Ok(AwaitedDone { dispatcher: Arc::clone(self), of, id, receiver })
    }

    /// The plugin's worker is dead: every session and tenant gets that as its last message, and every request that waits
    /// for the plugin fails.
    pub(super) fn lost(&self, death: &Death) {
        self.lost.store(true, Relaxed);
        // One that the host let go of has only ended, though somebody may be about to hear of it.
        if death.kind != DeathKind::Released {
            self.contract.metrics.worker_died(death.kind.as_str());
        }
        let routes = std::mem::take(&mut *self.table.write());
        self.done.lock().clear();
        for route in routes.into_values() {
            match route {
                Route::Platform(platform) => platform.sink.deliver(FromPlatform::Lost(death.clone())),
                Route::Agent(agent) => deliver_lost(agent, death.for_clients()),
            }
        }
    }

    pub(super) fn failed(&self, kind: &'static str, what: &str) {
        self.contract.failed(kind, what);
    }

    pub(super) fn set_responsive(&self, responsive: bool) {
        if self.responsive.swap(responsive, Relaxed) == responsive {
            return;
        }
        if responsive {
            tracing::info!(adapter = %self.manifest().id, "the adapter answers again");
        } else {
            self.failed("unresponsive", "the adapter does not answer: its threads are blocked or busy");
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    pub(super) fn is_responsive(&self) -> bool {
        self.responsive.load(Relaxed)
    }

    fn done(&self, id: u64, payload: &str) -> Status {
        let Some(Done { of, mut failure }) = self.read(Kind::DONE, id, payload) else { return Status::REFUSED };
        failure.as_mut().map(cut_failure);
        let waiting = self.done.lock().remove(&(of, id));
        match waiting {
            Some(waiting) => drop(waiting.send(failure)),
            // Nobody waits for the end of what was given up.
            None if of == Kind::DISCONNECT => {}
            None => self.contract.metrics.late_answer(),
        }
        Status::ACCEPTED
    }

    /// Hands on what is read later.
    fn forward(&self, id: u64, payload: &str, message: fn(&Arc<AgentRoute>, &str) -> AdapterMessage) -> Status {
        let Some(Route::Agent(agent)) = self.route(id) else { return Status::CLOSED };
        agent.deliver(message(&agent, payload))
    }

    fn link(&self, id: u64, payload: &str) -> Status {
        let Some(mut link) = self.read::<Link>(Kind::LINK, id, payload) else { return Status::REFUSED };
        if let Link::Down { reason } = &mut link {
            cut(reason);
        }
        match self.route(id) {
            Some(Route::Agent(agent)) => agent.deliver(FromAgent::Link(link).into()),
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
            self.contract.breach(BreachKind::ResumeTooLong, &agent.tenant, "a resume state that is too long", 1);
            return Status::REFUSED;
        }
        agent.deliver(FromAgent::Resume(state).into())
    }

    fn metric(&self, id: u64, payload: &str) -> Status {
        let Some(Route::Platform(platform)) = self.route(id) else { return Status::CLOSED };
        let Some(Metric { name, labels, value }) = self.read(Kind::METRIC, id, payload) else {
            return Status::REFUSED;
        };
        if self.manifest().left_out.contains(&name) {
            return Status::REFUSED;
        }
        if let Err(wrong) = self.manifest().check_metric(&name, labels.len(), value) {
            self.contract.breach(BreachKind::UndeclaredMetric, &platform.tenant, &wrong, 1);
            return Status::REFUSED;
        }
        platform.sink.deliver(FromPlatform::Metric { name, labels, value });
        Status::ACCEPTED
    }

    fn log(&self, id: u64, payload: &str) -> Status {
        let Some(log) = self.read::<Log>(Kind::LOG, id, payload) else { return Status::REFUSED };
        let tenant = match id {
            0 => self.only_tenant().unwrap_or_default(),
            id => self.tenant(id),
        };
        write_log(&self.manifest().id, &tenant, &log);
        Status::ACCEPTED
    }

    fn read<T: DeserializeOwned>(&self, kind: Kind, id: u64, payload: &str) -> Option<T> {
        self.contract.read(kind, || self.tenant(id), payload)
    }

    fn route(&self, id: u64) -> Option<Route> {
        self.table.read().get(&id).cloned()
    }

    /// The tenant of a line that a task of the adapter's own logged, which names nobody: with one tenant it is known.
    fn only_tenant(&self) -> Option<String> {
        let table = self.table.read();
        let mut tenants = table.values().filter_map(|route| match route {
            Route::Platform(platform) => Some(&platform.tenant),
            Route::Agent(_) => None,
        });
        let tenant = tenants.next()?;
        tenants.next().is_none().then(|| tenant.clone())
    }

    fn tenant(&self, id: u64) -> String {
        match self.route(id) {
            Some(Route::Platform(platform)) => platform.tenant.clone(),
            Some(Route::Agent(agent)) => agent.tenant.clone(),
            None => String::new(),
        }
    }
}

impl MessageSink for Dispatcher {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        if payload.len() > MAX_PAYLOAD {
            let detail = format!("{kind:?} with {} bytes; at most {MAX_PAYLOAD} are taken", payload.len());
            self.contract.breach(BreachKind::BadMessage, &self.tenant(id), &detail, 1);
            return Status::REFUSED;
        }
        match kind {
            Kind::ANSWER => self.forward(id, payload, AdapterMessage::answer),
            Kind::REPORT => self.forward(id, payload, AdapterMessage::report),
            Kind::RESUME => self.resume(id, payload),
            Kind::LINK => self.link(id, payload),
            Kind::METRIC => self.metric(id, payload),
            Kind::LOG => self.log(id, payload),
            Kind::DONE => self.done(id, payload),
            Kind::BREACH => {
                let Some(Breach { what, detail, times }) = self.read(kind, id, payload) else {
                    return Status::REFUSED;
                };
                self.contract.breach(what, &self.tenant(id), &detail, times);
                Status::ACCEPTED
            }
            // A newer plugin's own.
            _ => Status::REFUSED,
        }
    }
}

/// Delivers the loss of an agent to its session. One that has no room now gets it as soon as it has.
fn deliver_lost(agent: Arc<AgentRoute>, reason: String) {
    let tell = move || agent.deliver(FromAgent::Lost { reason: reason.clone() }.into());
    if tell() == Status::FULL {
        tokio::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(100));
            while tell() == Status::FULL {
                tokio::time::sleep(backoff.next_pause()).await;
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
    dispatcher: Arc<Dispatcher>,
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
        self.dispatcher.done.lock().remove(&(self.of, self.id));
    }
}

#[cfg(test)]
mod tests;
