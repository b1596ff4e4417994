//! Tenants: who is served, with which adapter, settings and limits.
//!
//! Owns: each tenant's life from its checked configuration to its end, who may come in, and how many connections it
//! may have. Must never: let one tenant's trouble reach another. Configuration comes from `config`; the server finds a
//! tenant through [`Tenants::admit`] and hands its desktops to the tenant's [`SessionManager`].
//!
//! ```text
//! auth/         who may come in
//! launch.rs     where its plugin runs
//! run.rs        one plugin at work for a tenant
//! platform.rs   connecting its platform, and again
//! state.rs      what is said of a tenant's platform in a word
//! upgrade.rs    from one version of the adapter to another, while its agents work on
//! ```

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use hyper::body::Bytes;
use jackfield_plugin_api::{Link, Manifest, manifest::ExtensionCommand};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

mod auth;
mod launch;
mod platform;
mod run;
mod state;
mod upgrade;

use auth::Authenticator;
pub(crate) use auth::{AGENT_TOKEN_PREFIX, LONGEST_AGENT_TOKEN, USUAL_AGENT_TOKEN};
pub(crate) use auth::{Admission, Admitted, NotHolder, hash_token};
pub(crate) use launch::Workers;
use launch::{TenantPlugin, unusable};
use run::Run;
use state::DRAINING;
pub(crate) use state::TenantState;
pub(crate) use upgrade::Refusal;

use crate::{
    config::{Isolation, Problem, TenantConfig, TenantLimits},
    metrics::{LimitLabel, Metrics, TenantMetrics},
    plugin::{self, Libraries, Library, Trust},
    session::{self, DisposedReason, Identity, JournalLimits, OutboxLimits, SessionManager},
};

/// Checks all of a tenant's configuration that can be checked without running its adapter.
///
/// # Errors
/// What is wrong, by file and key.
pub(crate) fn check(config: &TenantConfig, trust: &Trust) -> Result<(), Vec<Problem>> {
    let about = plugin::describe(&config.adapter.path, trust).map_err(|error| vec![unusable(config, &error)])?;
    let file = config.adapter.path.display();
    let mut problems: Vec<Problem> = Vec::new();
    for missing in &about.missing {
        problems.push(Problem::key(&config.file, "adapter", format!("{file}: cannot be loaded here: {missing}")));
    }
    if config.isolation == Isolation::None
        && let Err(reason) = about.can_run_inside()
    {
        problems.push(Problem::key(&config.file, "isolation", format!("{file}: {reason}")));
    }
    problems.extend(config.settings.resolve(&about.manifest.settings).err().into_iter().flatten());
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// In how many seconds a log-in to a tenant that takes no new sessions is worth another try: it may be resumed.
const DRAIN_RETRY: u32 = 30;

/// How old the text of a tenant's own metrics may be.
const SCRAPE_AGE: Duration = Duration::from_secs(1);

/// One tenant at work.
pub(crate) struct HostedTenant {
    id: Box<str>,
    config: RwLock<Arc<TenantConfig>>,
    serving: RwLock<Arc<Run>>,
    /// The run on trial, or the last one's fate.
    change: upgrade::VersionChange,
    sessions: SessionManager,
    metrics: TenantMetrics,
    connections: AtomicUsize,
    /// Who may come in; `None`: nobody any more, and whoever is there has to go.
    auth: watch::Sender<Option<Arc<Authenticator>>>,
    /// Until when its sessions may go on, while it takes no new ones.
    draining: Mutex<Option<Instant>>,
    /// The last text of its own metrics, and when it was made.
    scraped: Mutex<Option<(Instant, Bytes)>>,
}

impl HostedTenant {
    /// Starts a tenant: loads its adapter, checks its settings, and begins to connect its platform.
    ///
    /// # Errors
    /// What is wrong, by file and key; nothing is left running then.
    pub(crate) async fn start(
        config: TenantConfig,
        libraries: &Libraries,
        workers: &Workers,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Vec<Problem>> {
        let plugin = TenantPlugin::find(&config, libraries, workers).await?;
        Self::with_plugin(config, plugin, metrics)
    }

    /// Starts a tenant whose adapter is loaded already. Must be called inside a runtime.
    ///
    /// # Errors
    /// What is wrong with its settings, by file and key.
    #[cfg(test)]
    pub(crate) fn with_library(
        config: TenantConfig,
        library: Library,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Vec<Problem>> {
        Self::with_plugin(config, TenantPlugin::Loaded(library), metrics)
    }

    fn with_plugin(config: TenantConfig, plugin: TenantPlugin, metrics: &Metrics) -> Result<Arc<Self>, Vec<Problem>> {
        let manifest = plugin.manifest();
        config.settings.resolve(&manifest.settings)?;
        declare(&config.id, manifest, metrics);
        let tenant_metrics = metrics.tenant(&config.id, &manifest.id);
        let auth = watch::Sender::new(Some(Arc::new(Authenticator::new(&config.id, config.auth.clone()))));
        let config = Arc::new(config);
        tenant_metrics.set_connection_limit(config.limits.connections);
        let sessions = SessionManager::new(&config.id, session_limits(&config.limits), tenant_metrics.clone());
        let run = Run::start(Arc::clone(&config), plugin, sessions.clone(), sessions.serving(), tenant_metrics.clone());
        Ok(Arc::new(Self {
            id: config.id.as_str().into(),
            config: RwLock::new(config),
            serving: RwLock::new(run),
            change: upgrade::VersionChange::default(),
            sessions,
            metrics: tenant_metrics,
            connections: AtomicUsize::new(0),
            auth,
            draining: Mutex::default(),
            scraped: Mutex::default(),
        }))
    }

    /// Its name.
    #[must_use]
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its configuration.
    #[must_use]
    pub(crate) fn config(&self) -> Arc<TenantConfig> {
        Arc::clone(&self.config.read())
    }

    fn set_config(&self, config: Arc<TenantConfig>) {
        self.auth.send_if_modified(|auth| match auth {
            Some(now) if *now.rules() != config.auth => {
                *now = Arc::new(now.changed(config.auth.clone()));
                true
            }
            _ => false,
        });
        *self.config.write() = config;
    }

    fn auth(&self) -> Option<Arc<Authenticator>> {
        self.auth.borrow().clone()
    }

    /// Waits until a client may stay no longer that was let in by this, and returns why: its token has expired or counts no
    /// more, and `limits.token_grace` is over, or the tenant has ended.
    pub(crate) async fn no_longer_admits(&self, admission: &Admission) -> &'static str {
        const ENDED: &str = "the tenant has ended";
        let mut auth = self.auth.subscribe();
        // Every idle connection waits here: what only some need is boxed.
        let expired = async {
            match admission.until {
                Some(until) => Box::pin(tokio::time::sleep_until(until.into())).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            auth = auth.wait_for(|auth| auth.as_ref().is_none_or(|auth| !auth.still_admits(admission))).map(is_there) => {
                if !auth {
                    return ENDED;
                }
                "the token counts no more"
            }
            () = expired => "the token has expired",
        };
        let grace = Box::pin(tokio::time::sleep(self.config().limits.token_grace));
        tokio::select! {
            () = grace => why,
            _ = auth.wait_for(Option::is_none).map(is_there) => ENDED,
        }
    }

    /// Nobody is let in from now on, and whoever is there goes at once.
    pub(crate) fn close(&self) {
        self.auth.send_replace(None);
    }

    /// A short-lived token for one agent. `None`: there are too many.
    ///
    /// # Errors
    /// Only the holder of a token for all agents may ask for one.
    pub(crate) fn issue_agent_token(
        &self,
        asking: &Identity,
        agent: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, NotHolder> {
        self.auth().map_or(Err(NotHolder), |auth| auth.issue(asking, agent, lifetime))
    }

    fn serving(&self) -> Arc<Run> {
        Arc::clone(&self.serving.read())
    }

    /// The version of its adapter that serves it now.
    #[must_use]
    pub(crate) fn version(&self) -> Version {
        Version::of(&self.serving())
    }

    /// What its adapter can do beyond the standard commands.
    #[must_use]
    pub(crate) fn extension_commands(&self) -> Vec<ExtensionCommand> {
        self.serving().manifest().extension_commands.clone()
    }

    /// Who may come in and how much of everything there may be are these from now on. Limits of sessions that are there
    /// stay as they are, but for how many there may be.
    pub(crate) fn adopt(&self, config: TenantConfig) {
        self.sessions.set_limits(session_limits(&config.limits));
        self.metrics.set_connection_limit(config.limits.connections);
        self.set_config(Arc::new(config));
    }

    /// Lets a tenant try again that is in quarantine or whose settings were refused. Returns whether it was.
    pub(crate) fn release(&self) -> bool {
        let run = self.serving();
        let given_up = matches!(run.status().0, TenantState::Quarantined { .. } | TenantState::Refused { .. });
        if given_up {
            run.released.notify_one();
        }
        given_up
    }

    /// Lets a tenant try again whose settings were refused, if what they point to has changed: the file of a secret, or
    /// an environment variable. Returns whether it does.
    ///
    /// # Errors
    /// What the settings point to is not there, by file and key.
    pub(crate) fn retry_if_refused(&self) -> Result<bool, Vec<Problem>> {
        let run = self.serving();
        if !matches!(run.status().0, TenantState::Refused { .. }) {
            return Ok(false);
        }
        let settings = run.config.settings.resolve(&run.manifest().settings)?;
        let changed = run.tried.lock().as_ref() != Some(&run::fingerprint(&settings));
        if changed {
            run.released.notify_one();
        }
        Ok(changed)
    }

    /// Its sessions.
    #[must_use]
    pub(crate) fn sessions(&self) -> &SessionManager {
        &self.sessions
    }

    /// Its metrics.
    #[must_use]
    pub(crate) fn metrics(&self) -> &TenantMetrics {
        &self.metrics
    }

    /// The state of its platform, and the link; `None` until the adapter has reported it.
    #[must_use]
    pub(crate) fn status(&self) -> (TenantState, Option<Link>) {
        self.serving().status()
    }

    /// Its state in one word, one of [`TenantState::WORDS`].
    #[must_use]
    pub(crate) fn state_word(&self) -> &'static str {
        match self.status().0 {
            TenantState::Connected if self.drained_by().is_some() => DRAINING,
            state => state.as_str(),
        }
    }

    /// How many connections it has.
    #[must_use]
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Takes no new sessions from now on. Those that are there go on, until this moment at most.
    pub(crate) fn begin_drain(&self, until: Instant) {
        *self.draining.lock() = Some(until);
        self.sessions.refuse_newcomers(DisposedReason::ShuttingDown { retry_after: DRAIN_RETRY });
    }

    /// Takes new sessions again. Returns whether it did not.
    pub(crate) fn end_drain(&self) -> bool {
        let was_draining = self.draining.lock().take().is_some();
        if was_draining {
            self.sessions.take_newcomers();
        }
        was_draining
    }

    /// Until when its sessions may go on, if it takes no new ones.
    pub(crate) fn drained_by(&self) -> Option<Instant> {
        *self.draining.lock()
    }

    /// The same as the time that is left.
    #[must_use]
    pub(crate) fn drained_within(&self) -> Option<Duration> {
        self.drained_by().map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Makes room for one more connection, if there is any.
    #[must_use]
    pub(crate) fn connection(self: &Arc<Self>) -> Option<Connection> {
        let limit = self.config().limits.connections;
        let one_more = |open: usize| (open < limit).then_some(open + 1);
        if self.connections.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            self.metrics.limited(LimitLabel::Connections);
            return None;
        }
        self.metrics.connection_opened();
        Some(Connection { tenant: Arc::downgrade(self) })
    }

    /// Counts a WebSocket or an event stream until what is returned is dropped.
    #[must_use]
    pub(crate) fn client(self: &Arc<Self>) -> CountedClient {
        self.metrics.client_came();
        CountedClient { tenant: Arc::downgrade(self) }
    }

    /// Ends its sessions and disconnects its platform, within a deadline.
    pub(crate) async fn shut_down(&self, reason: DisposedReason, deadline: Duration) {
        let end = tokio::time::Instant::now() + deadline;
        let candidate = self.change.abandon().await;
        // Agents that do not leave must not take the platform's time as well.
        self.sessions.shut_down(reason, deadline.mul_f32(0.7)).await;
        let left = || end.saturating_duration_since(tokio::time::Instant::now());
        if let Some(candidate) = candidate {
            candidate.stop(left()).await;
        }
        self.serving().stop(left()).await;
    }

    /// Its own metrics as text, at most [`SCRAPE_AGE`] old: whoever asks all the time must not cost the host more than
    /// others. `None`: it has no series of its own.
    #[must_use]
    pub(crate) fn scrape(&self, metrics: &Metrics) -> Option<Bytes> {
        let mut scraped = self.scraped.lock();
        if let Some((_, text)) = scraped.as_ref().filter(|(made, _)| made.elapsed() < SCRAPE_AGE) {
            return Some(text.clone());
        }
        self.measure();
        let text = Bytes::from(metrics.render_tenant(&self.metrics)?);
        *scraped = Some((Instant::now(), text.clone()));
        Some(text)
    }

    /// Brings the gauges of its queues and its state up to date.
    pub(crate) fn measure(&self) {
        self.metrics.set_depths(self.sessions.depths());
        self.metrics.set_state(self.state_word());
    }
}

/// Whether there is one, of a value that is watched and cannot be gone.
fn is_there<T, E>(value: Result<watch::Ref<'_, Option<T>>, E>) -> bool {
    value.is_ok_and(|value| value.is_some())
}

/// Metrics that an adapter declares are served from now on.
fn declare(tenant: &str, manifest: &Manifest, metrics: &Metrics) {
    for refused in metrics.declare(&manifest.id, &manifest.metrics) {
        tracing::warn!(tenant, refused, "a metric that the adapter declares is not taken");
    }
}

/// One version of an adapter, as a tenant runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The adapter's id.
    pub adapter: String,
    /// Its version.
    pub version: String,
    /// Its vendor.
    pub vendor: String,
    /// Its platform.
    pub platform: String,
    /// The version of the plugin API that it was built with.
    pub api: String,
    /// The file that the tenant's configuration names.
    pub file: PathBuf,
    /// The SHA-256 of the file when it was loaded; empty for one that is compiled into the host.
    pub digest: String,
    /// Where it runs.
    pub isolation: Isolation,
    /// The process of its worker.
    pub worker: Option<u32>,
    /// Whether its threads answer.
    pub responsive: bool,
}

impl Version {
    fn of(run: &Run) -> Self {
        let (manifest, library) = (run.manifest(), run.running.lock().clone());
        Self {
            adapter: manifest.id.clone(),
            version: manifest.version.clone(),
            vendor: manifest.vendor.clone(),
            platform: manifest.platform.clone(),
            api: run.plugin.api_version().to_owned(),
            file: run.config.adapter.path.clone(),
            digest: run.plugin.digest().to_owned(),
            isolation: run.config.isolation,
            worker: library.as_ref().and_then(Library::worker),
            responsive: library.is_some_and(|library| library.is_responsive()),
        }
    }
}

impl std::fmt::Debug for HostedTenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tenant({})", self.id)
    }
}

/// The limits as sessions know them.
fn session_limits(limits: &TenantLimits) -> session::SessionLimits {
    session::SessionLimits {
        sessions: limits.sessions,
        logins_per_second: limits.logins_per_second,
        commands: limits.commands,
        connection_commands: limits.connection_commands,
        unanswered: limits.commands_in_flight,
        command_deadline: limits.command_deadline,
        slow_deadline: limits.conference_deadline,
        resume_grace: limits.resume_grace,
        prepared_grace: limits.prepared_grace,
        start_within: limits.start_within,
        journal: JournalLimits { events: limits.journal_events, ..JournalLimits::default() },
        outbox: OutboxLimits { messages: limits.outbox_messages, ..OutboxLimits::default() },
        queued_bytes: limits.queued_bytes,
    }
}

/// One of a tenant's connections; the room is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    /// One that is kept open must not keep a tenant that has ended.
    tenant: Weak<HostedTenant>,
}

impl Connection {
    /// Whether it is this tenant's.
    #[must_use]
    pub(crate) fn is_of(&self, tenant: &Arc<HostedTenant>) -> bool {
        std::ptr::eq(self.tenant.as_ptr(), Arc::as_ptr(tenant))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(tenant) = self.tenant.upgrade() {
            tenant.connections.fetch_sub(1, Relaxed);
            tenant.metrics.connection_gone();
        }
    }
}

/// One of a tenant's WebSockets and event streams; it counts no more when this is dropped.
#[derive(Debug)]
pub(crate) struct CountedClient {
    tenant: Weak<HostedTenant>,
}

impl Drop for CountedClient {
    fn drop(&mut self) {
        if let Some(tenant) = self.tenant.upgrade() {
            tenant.metrics.client_gone();
        }
    }
}

/// All tenants of the host.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    running: RwLock<BTreeMap<String, Arc<HostedTenant>>>,
    /// What is wrong with the files of those that do not run.
    problems: RwLock<Vec<Problem>>,
    /// Those that do not run because an operator or their file says so.
    suspended: RwLock<BTreeMap<String, Suspended>>,
}

/// Who says that a tenant does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspended {
    /// Its file.
    ByFile,
    /// An operator, until he says otherwise.
    ByOperator,
}

impl Tenants {
    /// Tenants that run, and what is wrong with those that do not.
    #[cfg(test)]
    pub(crate) fn new(running: impl IntoIterator<Item = Arc<HostedTenant>>, problems: Vec<Problem>) -> Self {
        let running = running.into_iter().map(|tenant| (tenant.id().to_owned(), tenant)).collect();
        Self { running: RwLock::new(running), problems: RwLock::new(problems), suspended: RwLock::default() }
    }

    /// The tenant, and who is coming in, if there is such a tenant and it lets them in. What fails does not say why.
    pub(crate) async fn admit(
        &self,
        tenant: &str,
        presented: Option<&str>,
        metrics: &Metrics,
    ) -> Option<(Arc<HostedTenant>, Admitted)> {
        let Some(tenant) = self.find(tenant) else {
            auth::hash_for_nothing(presented);
            metrics.unknown_tenant();
            return None;
        };
        let admitted = match tenant.auth() {
            Some(auth) => auth.identify(presented).await,
            None => None,
        };
        if admitted.is_none() {
            tenant.metrics.auth_failed();
        }
        Some((tenant, admitted?))
    }

    /// Counts a request that was refused before its token was looked at.
    pub(crate) fn not_admitted(&self, tenant: &str, metrics: &Metrics) {
        match self.find(tenant) {
            Some(tenant) => tenant.metrics.auth_failed(),
            None => metrics.unknown_tenant(),
        }
    }

    /// The tenant with this name, if it runs.
    #[must_use]
    pub(crate) fn find(&self, tenant: &str) -> Option<Arc<HostedTenant>> {
        self.running.read().get(tenant).cloned()
    }

    /// Those that run, in order of their names.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<HostedTenant>> {
        self.running.read().values().cloned().collect()
    }

    /// One more runs.
    pub(crate) fn add(&self, tenant: Arc<HostedTenant>) {
        self.running.write().insert(tenant.id().to_owned(), tenant);
    }

    /// Removes a tenant: it cannot be found from now on.
    pub(crate) fn remove(&self, tenant: &str) {
        self.running.write().remove(tenant);
    }

    /// Those that do not run because an operator or their file says so, in order of their names.
    #[must_use]
    pub(crate) fn suspended(&self) -> Vec<String> {
        self.suspended.read().keys().cloned().collect()
    }

    /// Who says that a tenant does not run, if anybody does.
    pub(crate) fn suspension(&self, tenant: &str) -> Option<Suspended> {
        self.suspended.read().get(tenant).copied()
    }

    pub(crate) fn set_suspended(&self, tenant: &str, suspended: Option<Suspended>) {
        let mut all = self.suspended.write();
        match suspended {
            Some(by) => drop(all.insert(tenant.to_owned(), by)),
            None => drop(all.remove(tenant)),
        }
    }

    pub(crate) fn set_problems(&self, problems: Vec<Problem>) {
        *self.problems.write() = problems;
    }

    /// What is wrong with the files of those that do not run.
    #[must_use]
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems.read().clone()
    }

    /// None of them begins a session from now on, because all are about to end for this reason.
    pub(crate) fn refuse_newcomers(&self, reason: DisposedReason) {
        for tenant in self.all() {
            tenant.sessions.refuse_newcomers(reason);
        }
    }

    /// Ends all of them, side by side, within a deadline.
    pub(crate) async fn shut_down(&self, reason: DisposedReason, deadline: Duration) {
        let all = self.all();
        futures_util::future::join_all(all.iter().map(|tenant| tenant.shut_down(reason, deadline))).await;
    }
}
