//! Tenants: who is served, with which adapter, settings and limits.
//!
//! Owns: each tenant's life from its checked configuration to its end, who may come in, and how many connections it
//! may have. Must never: let one tenant's trouble reach another. Configuration comes from `config`; the server finds a
//! tenant through [`Tenants::admit`] and hands its desktops to the tenant's [`Switchboard`].
//!
//! ```text
//! auth.rs       who may come in
//! launch.rs     where its plugin runs
//! platform.rs   connecting to the platform, and again
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use jackfield_plugin_api::{Link, Manifest};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

mod auth;
mod launch;
mod platform;

pub use auth::hash_token;
use launch::Plugin;
pub use launch::Workers;

use crate::{
    adapter::{self, Libraries, Library, LoadError, Trust},
    config::{Isolation, Limits, Problem, TenantConfig},
    metrics::{Depths, Metrics, TenantMetrics},
    session::{self, DisposedReason, Identity, JournalLimits, OutboxLimits, Switchboard},
};

/// Checks all of a tenant's configuration that can be checked without running its adapter.
///
/// # Errors
/// What is wrong, by file and key.
pub fn check(config: &TenantConfig, trust: &Trust) -> Result<(), Vec<Problem>> {
    let manifest = adapter::inspect(&config.adapter.path, trust).map_err(|error| vec![unusable(config, &error)])?;
    config.settings.resolve(&manifest.settings).map(drop)
}

fn unusable(config: &TenantConfig, error: &LoadError) -> Problem {
    Problem::key(&config.file, "adapter", error.to_string())
}

/// How it is with a tenant's platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The first attempt to connect is under way.
    Connecting,
    /// The adapter has it.
    Connected,
    /// It is tried again after a pause.
    Waiting {
        /// Why the last attempt failed.
        reason: String,
    },
    /// Its worker has died too often; it waits for an operator.
    Quarantined {
        /// How it died last.
        reason: String,
    },
    /// The adapter says that these settings cannot work.
    Refused {
        /// Its words.
        reason: String,
    },
}

impl State {
    /// One word for metrics and the operations listener.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting { .. } => "waiting",
            Self::Quarantined { .. } => "quarantined",
            Self::Refused { .. } => "refused",
        }
    }

    /// All of those words.
    pub const ALL: [&'static str; 5] = ["connecting", "connected", "waiting", "quarantined", "refused"];
}

/// One tenant at work.
pub struct Tenant {
    config: TenantConfig,
    plugin: Plugin,
    running: Mutex<Option<Library>>,
    released: Notify,
    board: Switchboard,
    metrics: TenantMetrics,
    connections: Arc<Semaphore>,
    status: Mutex<(State, Option<Link>)>,
    stop: watch::Sender<bool>,
    life: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Tenant {
    /// Starts a tenant: loads its adapter, checks its settings, and begins to connect its platform.
    ///
    /// # Errors
    /// What is wrong, by file and key; nothing is left running then.
    pub async fn start(
        config: TenantConfig,
        libraries: &Libraries,
        workers: &Workers,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Vec<Problem>> {
        let file = libraries.find(&config.adapter.path).await.map_err(|error| vec![unusable(&config, &error)])?;
        if config.isolation == Isolation::None {
            // What cannot be loaded is told before the tenant is there. A worker is started by its first connect.
            file.run_here().await.map_err(|error| vec![unusable(&config, &error)])?;
        }
        Self::with_plugin(config, Plugin::File(file, workers.clone()), metrics)
    }

    /// Starts a tenant whose adapter is loaded already. Must be called inside a runtime.
    ///
    /// # Errors
    /// What is wrong with its settings, by file and key.
    pub fn with_library(config: TenantConfig, library: Library, metrics: &Metrics) -> Result<Arc<Self>, Vec<Problem>> {
        Self::with_plugin(config, Plugin::Loaded(library), metrics)
    }

    fn with_plugin(config: TenantConfig, plugin: Plugin, metrics: &Metrics) -> Result<Arc<Self>, Vec<Problem>> {
        let manifest = plugin.manifest();
        config.settings.resolve(&manifest.settings)?;
        for refused in metrics.declare(&manifest.id, &manifest.metrics) {
            tracing::warn!(tenant = config.id, refused, "a metric that the adapter declares is not taken");
        }
        let tenant_metrics = metrics.tenant(&config.id, &manifest.id);
        let (stop, stopped) = watch::channel(false);
        let tenant = Arc::new(Self {
            board: Switchboard::new(&config.id, session_limits(&config.limits), tenant_metrics.clone()),
            connections: Arc::new(Semaphore::new(config.limits.connections)),
            metrics: tenant_metrics,
            plugin,
            running: Mutex::new(None),
            released: Notify::new(),
            config,
            status: Mutex::new((State::Connecting, None)),
            stop,
            life: Mutex::new(None),
        });
        let life = tokio::spawn(platform::keep_connected(Arc::clone(&tenant), stopped));
        *locked(&tenant.life) = Some(life);
        Ok(tenant)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &TenantConfig {
        &self.config
    }

    /// What its adapter says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// The version of the plugin API that its adapter was built with.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.plugin.api_version()
    }

    /// Its adapter's library as it runs now; none while its worker is being started.
    #[must_use]
    pub fn library(&self) -> Option<Library> {
        locked(&self.running).clone()
    }

    /// Lets a tenant in quarantine try again. Returns whether it was in quarantine.
    pub fn release(&self) -> bool {
        let quarantined = matches!(self.status().0, State::Quarantined { .. });
        if quarantined {
            self.released.notify_one();
        }
        quarantined
    }

    /// Its sessions.
    #[must_use]
    pub fn board(&self) -> &Switchboard {
        &self.board
    }

    /// Its metrics.
    #[must_use]
    pub fn metrics(&self) -> &TenantMetrics {
        &self.metrics
    }

    /// How much may wait for each of its clients.
    #[must_use]
    pub fn outbox_limits(&self) -> OutboxLimits {
        session_limits(&self.config.limits).outbox
    }

    /// How it is with its platform; the link is `None` until the adapter has told it.
    #[must_use]
    pub fn status(&self) -> (State, Option<Link>) {
        locked(&self.status).clone()
    }

    fn set_state(&self, state: State) {
        locked(&self.status).0 = state;
    }

    fn set_link_known(&self, link: Link) {
        locked(&self.status).1 = Some(link);
    }

    /// Makes room for one more connection, if there is any.
    #[must_use]
    pub fn connection(self: &Arc<Self>) -> Option<Connection> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        self.metrics.connection_opened();
        Some(Connection { tenant: Arc::clone(self), _permit: permit })
    }

    /// Ends its sessions and disconnects its platform, within a deadline.
    pub async fn shut_down(&self, reason: DisposedReason, deadline: Duration) {
        let end = tokio::time::Instant::now() + deadline;
        // Agents that do not leave must not take the platform's time as well.
        self.board.shut_down(reason, deadline.mul_f32(0.7)).await;
        self.stop.send_replace(true);
        let life = locked(&self.life).take();
        if let Some(mut life) = life
            && tokio::time::timeout_at(end, &mut life).await.is_err()
        {
            tracing::warn!(tenant = self.id(), "the platform could not be disconnected in time");
            life.abort();
        }
    }

    /// Brings the gauges of its queues up to date.
    pub fn measure(&self) {
        let mut depths = Depths::default();
        for session in self.board.sessions() {
            depths.journal += session.journal;
            depths.outbox += session.outbox;
            depths.outbox_longest = depths.outbox_longest.max(session.outbox);
            depths.mailbox += session.mailbox;
        }
        self.metrics.set_depths(depths);
    }
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tenant({})", self.config.id)
    }
}

/// The limits as sessions know them.
fn session_limits(limits: &Limits) -> session::Limits {
    let session::Limits { journal, outbox, .. } = session::Limits::default();
    session::Limits {
        sessions: limits.sessions,
        unanswered: limits.commands_in_flight,
        command_deadline: limits.command_deadline,
        slow_deadline: limits.conference_deadline,
        resume_grace: limits.resume_grace,
        journal: JournalLimits { events: limits.journal_events, ..journal },
        outbox: OutboxLimits { messages: limits.outbox_messages, ..outbox },
    }
}

/// One of a tenant's connections; the room is free again when this is dropped.
#[derive(Debug)]
pub struct Connection {
    tenant: Arc<Tenant>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tenant.metrics.connection_gone();
    }
}

/// None of what a lock guards here can be left half done, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All tenants of the host.
#[derive(Debug, Default)]
pub struct Tenants {
    running: RwLock<BTreeMap<String, Arc<Tenant>>>,
    /// What is wrong with the files of those that do not run.
    problems: RwLock<Vec<Problem>>,
}

impl Tenants {
    /// Starts those whose configuration is right, side by side; what is wrong with the others is logged and kept.
    pub async fn start(
        configs: Vec<TenantConfig>,
        mut problems: Vec<Problem>,
        libraries: &Libraries,
        workers: &Workers,
        metrics: &Metrics,
    ) -> Self {
        let starting = configs.into_iter().map(|config| Tenant::start(config, libraries, workers, metrics));
        let mut running = BTreeMap::new();
        for started in futures_util::future::join_all(starting).await {
            match started {
                Ok(tenant) => {
                    running.insert(tenant.id().to_owned(), tenant);
                }
                Err(found) => problems.extend(found),
            }
        }
        for problem in &problems {
            tracing::error!(%problem, "a tenant is not started");
        }
        Self::new(running.into_values(), problems)
    }

    /// Tenants that run, and what is wrong with those that do not.
    pub fn new(running: impl IntoIterator<Item = Arc<Tenant>>, problems: Vec<Problem>) -> Self {
        let running = running.into_iter().map(|tenant| (tenant.id().to_owned(), tenant)).collect();
        Self { running: RwLock::new(running), problems: RwLock::new(problems) }
    }

    /// The tenant, and who is coming in, if there is such a tenant and it lets them in. What fails does not say why.
    #[must_use]
    pub fn admit(&self, tenant: &str, presented: Option<&str>) -> Option<(Arc<Tenant>, Identity)> {
        let Some(tenant) = self.find(tenant) else {
            auth::pretend(presented);
            return None;
        };
        let identity = auth::identify(&tenant.config.auth, presented)?;
        Some((tenant, identity))
    }

    /// The tenant with this name, if it runs.
    #[must_use]
    pub fn find(&self, tenant: &str) -> Option<Arc<Tenant>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// Those that run, in order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What is wrong with the files of those that do not run.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all of them, side by side, within a deadline.
    pub async fn shut_down(&self, reason: DisposedReason, deadline: Duration) {
        let all = self.all();
        futures_util::future::join_all(all.iter().map(|tenant| tenant.shut_down(reason, deadline))).await;
    }
}
