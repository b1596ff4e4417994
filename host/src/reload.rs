//! Applies a changed configuration while the host runs.
//!
//! Owns: which keys of `jackfield.toml` are taken over, what happens to each tenant when its file is new, changed, wrong
//! or gone, and the tenants that could not be started yet. Must never: touch a tenant whose file is unchanged, end
//! one because its file has become wrong, or keep silent about what it could not do. Asked for by SIGHUP and by
//! operators.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_plugin_api::Backoff;
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    audit::TARGET,
    config::{
        self, Auth, Changes, HostConfig, Loaded, OperatorToken, Problem, ShutdownConfig, Source, TenantConfig, Values,
        tenant_of,
    },
    logging::HostLog,
    metrics::Metrics,
    operator_tokens::OperatorTokens,
    plugin::Libraries,
    session::DisposedReason,
    tenant::{HostedTenant, Refusal, Suspended, Tenants, Workers},
};

/// How long a tenant whose file is gone may take to end.
const REMOVAL: Duration = Duration::from_secs(15);

/// The pauses before a tenant that could not be started is tried again.
const START_AGAIN: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(300)).with_jitter();

/// What is needed to start tenants and to change them.
#[derive(Debug)]
pub(crate) struct Reload {
    /// Where the configuration is read from.
    source: Source,
    /// Where desktops connect; a changed address in the file does not count before the next start.
    listener: SocketAddr,
    shutdown: Mutex<ShutdownConfig>,
    tenants: Arc<Tenants>,
    operators: OperatorTokens,
    libraries: Libraries,
    workers: Workers,
    metrics: Metrics,
    log: Arc<HostLog>,
    /// One change at a time.
    turn: tokio::sync::Mutex<Turn>,
    /// Notified when there are tenants that could not be started.
    unstarted: tokio::sync::Notify,
}

/// What only one change at a time may touch.
#[derive(Debug)]
struct Turn {
    /// The values that the host runs with.
    values: Values,
    /// Tenants whose files are right and that could not be started all the same: a store that cannot be written, a secret
    /// that is not there yet.
    unstarted: Vec<TenantConfig>,
}

/// What a reload has done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ReloadOutcome {
    /// By tenant: `started`, `removed`, `replaced` (another adapter: its sessions have ended), `moving` (another version
    /// or other settings: see `/tenants`), `adopted` (limits or tokens), `retried` (its adapter had refused settings that
    /// point to something else now), `suspended`, `draining`, `unchanged`.
    pub tenants: BTreeMap<String, &'static str>,
    /// Keys of `jackfield.toml` that have changed since the last time and hold from now on.
    pub applied: Vec<String>,
    /// Keys of `jackfield.toml` that differ from what the host runs with and hold only when it is started again.
    pub restart: Vec<String>,
    /// What is wrong; a tenant that it is about runs on as before.
    pub problems: Vec<String>,
}

impl Reload {
    /// A host that runs with this configuration, and no tenants yet.
    #[must_use]
    pub(crate) fn new(
        source: Source,
        host: &HostConfig,
        values: Values,
        libraries: Libraries,
        workers: Workers,
        metrics: Metrics,
        log: Arc<HostLog>,
    ) -> Self {
        Self {
            source,
            listener: host.listener.address,
            shutdown: Mutex::new(host.shutdown),
            tenants: Arc::default(),
            operators: OperatorTokens::new(tokens(host)),
            libraries,
            workers,
            metrics,
            log,
            turn: tokio::sync::Mutex::new(Turn { values, unstarted: Vec::new() }),
            unstarted: tokio::sync::Notify::new(),
        }
    }

    /// The tenants that run.
    #[must_use]
    pub(crate) fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// Who may ask as an operator.
    pub(crate) fn operators(&self) -> &OperatorTokens {
        &self.operators
    }

    /// How the host is to end.
    #[must_use]
    pub(crate) fn shutdown(&self) -> ShutdownConfig {
        *self.shutdown.lock()
    }

    /// Starts the tenants for the first time, side by side. What is wrong with some is logged and kept, and those that
    /// could not be started are tried again.
    pub(crate) async fn start(&self, configs: Vec<TenantConfig>, mut problems: Vec<Problem>) {
        let mut turn = self.turn.lock().await;
        let (suspended, configs): (Vec<_>, Vec<_>) = configs.into_iter().partition(|config| config.suspended);
        for config in suspended {
            self.tenants.set_suspended(&config.id, Some(Suspended::ByFile));
        }
        let starting = configs.into_iter().map(|config| async move { (self.begin(config.clone()).await, config) });
        for (started, config) in futures_util::future::join_all(starting).await {
            if let Err(found) = started {
                problems.extend(found);
                turn.unstarted.push(config);
            }
        }
        for problem in &problems {
            tracing::error!(%problem, "a tenant is not started");
        }
        self.metrics.configuration_read(problems.is_empty());
        self.tenants.set_problems(problems);
        self.unstarted.notify_one();
    }

    /// Reads the configuration again and carries out what is new.
    ///
    /// # Errors
    /// `jackfield.toml` is wrong, the tenants' folder cannot be read, or has become empty; nothing has changed then.
    pub(crate) async fn run(&self) -> Result<ReloadOutcome, Vec<Problem>> {
        let mut turn = self.turn.lock().await;
        let read = self.read().await;
        let loaded = read.inspect_err(|problems| {
            self.metrics.configuration_read(false);
            for problem in problems {
                tracing::error!(%problem, "the configuration is not read again");
            }
        })?;
        let Changes { applied, restart } = self.take_over(&mut turn, &loaded);
        let mut outcome = ReloadOutcome { applied, restart, ..ReloadOutcome::default() };
        let problems = self.change_tenants(&mut turn, loaded, &mut outcome).await;
        for problem in &problems {
            tracing::error!(%problem, "not taken over");
        }
        self.metrics.configuration_read(problems.is_empty());
        outcome.problems = problems.iter().map(ToString::to_string).collect();
        self.tenants.set_problems(problems);
        self.unstarted.notify_one();
        if !outcome.restart.is_empty() {
            tracing::warn!(keys = outcome.restart.join(" "), "changed keys hold only when the host is started again");
        }
        for (tenant, done) in outcome.tenants.iter().filter(|(_, done)| **done != "unchanged") {
            tracing::info!(target: TARGET, tenant, done, "a reload has changed a tenant");
        }
        if !outcome.applied.is_empty() || !outcome.restart.is_empty() {
            let (applied, restart) = (outcome.applied.join(" "), outcome.restart.join(" "));
            tracing::info!(target: TARGET, applied, restart, "a reload has changed the host's configuration");
        }
        tracing::info!(
            tenants = ?outcome.tenants,
            applied = outcome.applied.join(" "),
            problems = outcome.problems.len(),
            "the configuration was read again"
        );
        Ok(outcome)
    }

    async fn read(&self) -> Result<Loaded, Vec<Problem>> {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&source)).await;
        let loaded = loaded.map_err(|error| vec![Problem::file(&self.source.file, error.to_string())])??;
        let running = self.tenants.all().len();
        if running > 0 && loaded.tenants.is_empty() && loaded.problems.is_empty() {
            // Rather a folder that is not mounted than one whose tenants have all gone at once.
            let message = format!(
                "there is no tenant's file in {}, and {running} tenants run; to end the last tenant use \
                 POST /tenants/TENANT/remove",
                loaded.host.tenants.display()
            );
            return Err(vec![Problem::key(&self.source.file, "tenants.directory", message)]);
        }
        Ok(loaded)
    }

    /// Takes over what can be of the host's own part.
    fn take_over(&self, turn: &mut Turn, loaded: &Loaded) -> Changes {
        let changes = config::changes(&turn.values, &loaded.values);
        turn.values = config::taken_over(&turn.values, &loaded.values);
        self.metrics.set_max_tenants(loaded.host.metrics_max_tenants);
        if changes.applied.iter().any(|key| key == "log.filter" || key == "log.details") {
            match self.log.set_filter(&loaded.host.log_filter, &loaded.host.log_details) {
                Ok(()) => self.libraries.log_level_changed(),
                Err(error) => tracing::error!(error, "log.filter is not taken over"),
            }
        }
        if changes.applied.iter().any(|key| key == "operations.tokens") {
            self.operators.set(tokens(&loaded.host));
        }
        *self.shutdown.lock() = loaded.host.shutdown;
        changes
    }

    /// Starts, ends and changes tenants, and returns what is wrong with some.
    async fn change_tenants(&self, turn: &mut Turn, loaded: Loaded, outcome: &mut ReloadOutcome) -> Vec<Problem> {
        let mut problems = loaded.problems;
        // A file that has become wrong is no reason to end who is at work.
        let wrong: Vec<String> = problems.iter().map(|problem| tenant_of(&problem.file)).collect();
        let mut gone = self.tenants.all();
        gone.retain(|tenant| {
            let id = tenant.id();
            !loaded.tenants.iter().any(|config| config.id == id) && !wrong.iter().any(|wrong| wrong == id)
        });
        for tenant in &gone {
            tracing::info!(tenant = tenant.id(), "the tenant's file is gone; the tenant ends");
            outcome.tenants.insert(tenant.id().to_owned(), "removed");
        }
        // Side by side: one that takes its time must not keep the others.
        futures_util::future::join_all(gone.iter().map(|tenant| self.end(tenant))).await;
        turn.unstarted.clear();
        let (files, suspended) = (&loaded.tenants, self.tenants.suspended());
        // One whose file is gone is forgotten.
        for id in suspended.iter().filter(|id| !files.iter().any(|config| config.id == **id)) {
            self.tenants.set_suspended(id, None);
        }
        for config in loaded.tenants {
            let id = config.id.clone();
            if self.stays_suspended(&config).await {
                outcome.tenants.insert(id, "suspended");
                continue;
            }
            match self.make_true(config.clone()).await {
                Ok(done) => drop(outcome.tenants.insert(id, done)),
                Err(found) => {
                    problems.extend(found);
                    if self.tenants.find(&id).is_none() {
                        turn.unstarted.push(config);
                    }
                }
            }
        }
        problems
    }

    /// Whether a tenant is not to run; it is ended if it does.
    async fn stays_suspended(&self, config: &TenantConfig) -> bool {
        let suspended = match self.tenants.suspension(&config.id) {
            Some(Suspended::ByOperator) => return true,
            _ => config.suspended,
        };
        self.tenants.set_suspended(&config.id, suspended.then_some(Suspended::ByFile));
        if suspended && let Some(running) = self.tenants.find(&config.id) {
            tracing::info!(tenant = running.id(), "the tenant is suspended by its file");
            self.end(&running).await;
        }
        suspended
    }

    async fn make_true(&self, config: TenantConfig) -> Result<&'static str, Vec<Problem>> {
        must_be_safe(&config.auth, &config.file, self.listener)?;
        let Some(tenant) = self.tenants.find(&config.id) else {
            self.begin(config).await?;
            return Ok("started");
        };
        let now = tenant.config();
        let content = self.libraries.find(&config.adapter.path).await;
        let content = content.map_err(|error| vec![Problem::key(&config.file, "adapter", error.to_string())])?;
        let parts = now.differs_in(&config);
        if !parts.is_empty() {
            tracing::info!(target: TARGET, tenant = config.id, parts = parts.join(" "), "a tenant's file has changed");
        }
        // Who may come in and how much they may have needs no other plugin.
        let mut adopted = TenantConfig::clone(&now);
        adopted.take_rules_of(&config);
        let adopts = adopted != *now;
        if adopts {
            tenant.adopt(adopted);
        }
        if tenant.drained_by().is_some() {
            return Ok("draining");
        }
        if *tenant.config() == config && content.digest() == tenant.version().digest {
            // What the file points to may have changed all the same.
            let retries = tenant.retry_if_refused()?;
            return Ok(if retries {
                "retried"
            } else if adopts {
                "adopted"
            } else {
                "unchanged"
            });
        }
        match tenant.upgrade(config.clone(), &self.libraries, &self.workers, &self.metrics).await {
            Ok(()) => Ok("moving"),
            Err(Refusal::OtherAdapter { .. }) => {
                // A new one whose settings are wrong must not cost the old one.
                config.settings.resolve(&content.manifest().settings)?;
                self.end(&tenant).await;
                self.begin(config).await?;
                Ok("replaced")
            }
            Err(Refusal::Wrong(problems)) => Err(problems),
            Err(refusal) => Err(vec![Problem::file(&config.file, refusal.to_string())]),
        }
    }

    async fn begin(&self, config: TenantConfig) -> Result<(), Vec<Problem>> {
        let tenant = HostedTenant::start(config, &self.libraries, &self.workers, &self.metrics).await?;
        self.tenants.add(tenant);
        Ok(())
    }

    async fn end(&self, tenant: &HostedTenant) {
        self.tenants.remove(tenant.id());
        tenant.shut_down(DisposedReason::TenantRemoved, REMOVAL).await;
        // Those who had a session know by that; the others do now.
        tenant.close();
    }

    /// Ends a tenant whatever its file says, until the configuration is read again. Returns whether there is such a tenant.
    pub(crate) async fn remove(&self, tenant: &str) -> bool {
        let _turn = self.turn.lock().await;
        let Some(tenant) = self.tenants.find(tenant) else { return false };
        tracing::info!(tenant = tenant.id(), "the tenant is removed by an operator");
        self.end(&tenant).await;
        true
    }

    /// Ends a tenant and keeps it from running, reloads included, until it is resumed or the host starts again. False:
    /// there is no such tenant.
    pub(crate) async fn suspend(&self, tenant: &str) -> bool {
        let mut turn = self.turn.lock().await;
        let Some(tenant) = self.tenants.find(tenant) else { return false };
        tracing::info!(tenant = tenant.id(), "the tenant is suspended by an operator");
        self.suspend_running(&mut turn, &tenant).await;
        true
    }

    /// Takes no new sessions of a tenant from now on, and suspends it when its sessions have gone, or when this time is over.
    /// Reloads do not change that, but for who may come in and how much there may be. False: there is no such tenant.
    pub(crate) async fn drain(self: &Arc<Self>, tenant: &str, within: Duration) -> bool {
        let _turn = self.turn.lock().await;
        let Some(tenant) = self.tenants.find(tenant) else { return false };
        tracing::info!(tenant = tenant.id(), ?within, "the tenant is drained by an operator");
        let until = Instant::now() + within;
        tenant.begin_drain(until);
        let reload = Arc::clone(self);
        tokio::spawn(async move {
            let gone = tokio::time::timeout_at(until.into(), tenant.sessions().all_gone()).await.is_ok();
            let mut turn = reload.turn.lock().await;
            // It may have been resumed meanwhile, or drained anew.
            let runs = reload.tenants.find(tenant.id()).is_some_and(|running| Arc::ptr_eq(&running, &tenant));
            if runs && tenant.drained_by() == Some(until) {
                tracing::info!(tenant = tenant.id(), gone, "the tenant is drained, and suspended");
                reload.suspend_running(&mut turn, &tenant).await;
            }
        });
        true
    }

    async fn suspend_running(&self, turn: &mut Turn, tenant: &HostedTenant) {
        self.tenants.set_suspended(tenant.id(), Some(Suspended::ByOperator));
        turn.unstarted.retain(|config| config.id != tenant.id());
        self.end(tenant).await;
    }

    /// Starts a suspended tenant with its file as it is now; one that is drained takes new sessions again. False: it is
    /// neither.
    ///
    /// # Errors
    /// What is wrong with its file, or that its file says that it is suspended; it stays suspended.
    pub(crate) async fn resume(&self, tenant: &str) -> Result<bool, Vec<Problem>> {
        let _turn = self.turn.lock().await;
        if self.tenants.find(tenant).is_some_and(|running| running.end_drain()) {
            tracing::info!(tenant, "the tenant is resumed by an operator");
            return Ok(true);
        }
        if self.tenants.suspension(tenant).is_none() {
            return Ok(false);
        }
        let loaded = self.read().await?;
        let mut wrong = loaded.problems;
        let Some(config) = loaded.tenants.into_iter().find(|config| config.id == tenant) else {
            wrong.retain(|problem| tenant_of(&problem.file) == tenant);
            let gone = || vec![Problem::file(&loaded.host.tenants, format!("there is no file of tenant {tenant}"))];
            return Err(if wrong.is_empty() { gone() } else { wrong });
        };
        if config.suspended {
            return Err(vec![Problem::key(&config.file, "suspended", "the file says that it does not run")]);
        }
        must_be_safe(&config.auth, &config.file, self.listener)?;
        self.begin(config).await?;
        self.tenants.set_suspended(tenant, None);
        tracing::info!(tenant, "the tenant is resumed by an operator");
        Ok(true)
    }

    /// Tries to start those tenants again that could not be started, as long as there are any; never returns.
    pub(crate) async fn keep_trying(&self) {
        loop {
            self.unstarted.notified().await;
            let mut backoff = START_AGAIN;
            loop {
                // A reload tries them itself, and the pauses begin anew after it.
                let pause = backoff.next_pause();
                let reloaded = tokio::time::timeout(pause, self.unstarted.notified()).await.is_ok();
                if reloaded || self.try_again().await {
                    self.unstarted.notify_one();
                    break;
                }
                if self.turn.lock().await.unstarted.is_empty() {
                    break;
                }
            }
        }
    }

    /// Tries to start those that could not be started; true if some are left and others have been started.
    async fn try_again(&self) -> bool {
        let mut turn = self.turn.lock().await;
        let waiting = std::mem::take(&mut turn.unstarted);
        let before = waiting.len();
        for config in waiting {
            match self.begin(config.clone()).await {
                Ok(()) => {
                    tracing::info!(tenant = config.id, "the tenant could be started now");
                    let problems = self.tenants.problems();
                    self.tenants.set_problems(problems.into_iter().filter(|it| it.file != config.file).collect());
                }
                Err(_) => turn.unstarted.push(config),
            }
        }
        !turn.unstarted.is_empty() && turn.unstarted.len() < before
    }

    /// Moves a tenant to an adapter's file as it is now, or to another file: as if its own file named it, until the
    /// configuration is read again.
    ///
    /// # Errors
    /// Why it is not begun.
    pub(crate) async fn upgrade(&self, tenant: &Arc<HostedTenant>, wanted: &UpgradeRequest) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        let mut config = TenantConfig::clone(&tenant.config());
        if let Some(name) = &wanted.adapter {
            let (source, of, name) = (self.source.clone(), config.file.clone(), name.clone());
            let found = tokio::task::spawn_blocking(move || config::adapter(&source, &of, &name)).await;
            let wrong = |error: String| Refusal::Wrong(vec![Problem::file(&config.file, error)]);
            config.adapter = found.map_err(|error| wrong(error.to_string()))?.map_err(Refusal::Wrong)?;
        }
        if let Some(canary) = wanted.canary {
            config.upgrade.canary = canary;
        }
        if let Some(observe) = wanted.observe {
            config.upgrade.observe = observe;
        }
        tenant.upgrade(config, &self.libraries, &self.workers, &self.metrics).await
    }
}

fn tokens(host: &HostConfig) -> Vec<OperatorToken> {
    host.operations.as_ref().map(|operations| operations.tokens.clone()).unwrap_or_default()
}

/// What an operator wants a tenant to be moved to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct UpgradeRequest {
    /// An adapter, as a tenant's file names it; otherwise the same as before: its file may have changed. No path: whoever
    /// reaches the operations listener must not be able to run a file of his own.
    pub adapter: Option<String>,
    /// The share of agents who try it first.
    pub canary: Option<f64>,
    /// For how long.
    pub observe: Option<Duration>,
}

/// A file that moves the listener to loopback lets everybody in at once, while the listener stays where it is until the next
/// start.
fn must_be_safe(auth: &Auth, file: &Path, listener: SocketAddr) -> Result<(), Vec<Problem>> {
    if *auth != Auth::None || listener.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("\"none\" is not possible before the next start: the host listens on {listener} until then");
    Err(vec![Problem::key(file, "auth.kind", message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_let_in_without_a_token_where_the_listener_still_is_open_to_others() {
        let (file, open, loopback) = (Path::new("acme.toml"), "0.0.0.0:8080", "127.0.0.1:8080");
        let judged = |auth: &Auth, listener: &str| must_be_safe(auth, file, listener.parse().expect("an address"));
        let problems = judged(&Auth::None, open).expect_err("it must be refused");
        assert!(problems[0].to_string().contains("0.0.0.0:8080"), "{problems:?}");
        assert_eq!(judged(&Auth::None, loopback), Ok(()));
        assert_eq!(judged(&Auth::Tokens(Vec::new()), open), Ok(()));
    }
}
