//! From one version of a tenant's adapter to another, or to other settings, while its agents work on.
//!
//! Owns: the order of a change and its undoing. The new version is started beside the old one and must be up before
//! anything else happens; a share of the agents may try it out for a while, and is taken back when it does worse than
//! the old one; then everybody is moved, and the old one ends. Must never: end the old version while anybody needs it, or
//! leave two versions running for good. How one agent is moved is `session`'s.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::{task::JoinHandle, time::Instant};

use super::{HostedTenant, Run, TenantPlugin, TenantState, Workers, declare, session_limits};
use crate::{
    config::{Problem, TenantConfig, UpgradeConfig},
    metrics::Metrics,
    plugin::{Libraries, PluginFile},
    session::AnswerCounts,
};

/// So many faults at least speak against a version; fewer may be anybody's.
const FAULTS: u64 = 3;

/// How often a trial is judged.
const JUDGED: Duration = Duration::from_secs(1);

/// Where a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The new version is being started.
    Starting,
    /// Some agents are on it.
    Trial,
    /// All agents are moved.
    Moving,
    /// All agents are moved back.
    TakingBack,
}

/// A change that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// The version that serves the tenant.
    pub from: String,
    /// The version that is to.
    pub to: String,
    /// Where it is.
    pub stage: Stage,
    /// Agents moved so far.
    pub moved: usize,
}

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ChangeOutcome {
    /// The version that was to be left.
    pub from: String,
    /// The version that was wanted.
    pub to: String,
    /// `moved`, `failed` (it could not be started) or `taken_back`.
    pub outcome: &'static str,
    /// Why it was not moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Agents that were moved without noticing.
    pub moved: usize,
    /// Agents whose commands in flight failed, because they would not end in time.
    pub forced: usize,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Why a change is not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another one is under way.
    UnderWay,
    /// It is not another version of the same adapter.
    OtherAdapter {
        /// The adapter that serves the tenant.
        serving: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// The file or the settings are wrong.
    Wrong(Vec<Problem>),
    /// There is no version to go back to.
    NothingBefore,
    /// The tenant is being ended.
    Ending,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay => f.write_str("the tenant is being moved to another version already"),
            Self::OtherAdapter { serving, wanted } => {
                write!(f, "{wanted} is not a version of {serving}: only versions of one adapter can take over")
            }
            Self::Wrong(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&problems.join("; "))
            }
            Self::NothingBefore => f.write_str("there is no version to go back to"),
            Self::Ending => f.write_str("the tenant is served no more"),
        }
    }
}

/// A tenant's change of version, if there is one, and the outcome of the last.
#[derive(Default)]
pub(super) struct VersionChange {
    under_way: Mutex<Option<UnderWay>>,
    last: Mutex<Option<ChangeOutcome>>,
    previous: Mutex<Option<(Arc<TenantConfig>, PluginFile, Workers)>>,
    /// Nothing more is begun. Written and read under the lock of what is under way.
    closed: AtomicBool,
}

struct UnderWay {
    progress: Arc<Mutex<Progress>>,
    task: JoinHandle<()>,
    run: Arc<Run>,
}

impl VersionChange {
    /// Stops whatever is under way, for good, and returns the version that was not to be.
    pub(super) async fn abandon(&self) -> Option<Arc<Run>> {
        let under_way = {
            let mut under_way = self.under_way.lock();
            self.closed.store(true, Relaxed);
            under_way.take()
        };
        let UnderWay { task, run, .. } = under_way?;
        task.abort();
        let _ = task.await;
        Some(run)
    }
}

impl HostedTenant {
    /// Begins to move the tenant to another version of its adapter or to other settings. Returns when it is under way;
    /// how it goes is told by [`Self::change`].
    ///
    /// # Errors
    /// Why it is not begun; nothing has changed then.
    pub(crate) async fn upgrade(
        self: &Arc<Self>,
        config: TenantConfig,
        libraries: &Libraries,
        workers: &Workers,
        metrics: &Metrics,
    ) -> Result<(), Refusal> {
        let plugin = TenantPlugin::find(&config, libraries, workers).await.map_err(Refusal::Wrong)?;
        self.change_to(Arc::new(config), plugin, metrics)
    }

    /// Begins to move the tenant back to the version and the settings that it had before its last change, all agents
    /// at once.
    ///
    /// # Errors
    /// Why it is not begun; nothing has changed then.
    pub(crate) fn roll_back(self: &Arc<Self>, metrics: &Metrics) -> Result<(), Refusal> {
        let before = self.change.previous.lock().clone();
        let (config, file, workers) = before.ok_or(Refusal::NothingBefore)?;
        let mut config = TenantConfig::clone(&config);
        config.take_rules_of(&self.config());
        config.upgrade.canary = 0.0;
        self.change_to(Arc::new(config), TenantPlugin::File(file, workers), metrics)
    }

    /// The change that is under way, and how the last one ended.
    #[must_use]
    pub(crate) fn change(&self) -> (Option<Progress>, Option<ChangeOutcome>) {
        let under_way = self.change.under_way.lock();
        let progress = under_way.as_ref().map(|under_way| under_way.progress.lock().clone());
        (progress, self.change.last.lock().clone())
    }

    fn change_to(
        self: &Arc<Self>,
        config: Arc<TenantConfig>,
        plugin: TenantPlugin,
        metrics: &Metrics,
    ) -> Result<(), Refusal> {
        let (old, manifest) = (self.serving(), plugin.manifest());
        if old.manifest().id != manifest.id {
            let (serving, wanted) = (old.manifest().id.clone(), manifest.id.clone());
            return Err(Refusal::OtherAdapter { serving, wanted });
        }
        config.settings.resolve(&manifest.settings).map_err(Refusal::Wrong)?;
        let mut under_way = self.change.under_way.lock();
        if self.change.closed.load(Relaxed) {
            return Err(Refusal::Ending);
        }
        if under_way.is_some() {
            return Err(Refusal::UnderWay);
        }
        declare(&self.id, manifest, metrics);
        let progress = Progress {
            from: old.manifest().version.clone(),
            to: manifest.version.clone(),
            stage: Stage::Starting,
            moved: 0,
        };
        tracing::info!(tenant = self.id(), from = progress.from, to = progress.to, "another version is started");
        let progress = Arc::new(Mutex::new(progress));
        let connection = self.sessions.open_connection();
        let run = Run::start(config, plugin, self.sessions.clone(), connection, self.metrics.clone());
        let carried_out = carry_out(Arc::clone(self), old, Arc::clone(&run), Arc::clone(&progress), metrics.clone());
        *under_way = Some(UnderWay { progress, task: tokio::spawn(carried_out), run });
        Ok(())
    }
}

/// What has become of an attempt to change.
enum Ended {
    Moved { moved: usize, forced: usize },
    Failed(String),
    TakenBack(String),
}

async fn carry_out(
    tenant: Arc<HostedTenant>,
    old: Arc<Run>,
    new: Arc<Run>,
    progress: Arc<Mutex<Progress>>,
    metrics: Metrics,
) {
    let ended = Move { tenant: &tenant, old: &old, new: &new, progress: &progress }.through().await;
    let Progress { from, to, .. } = progress.lock().clone();
    let (outcome, reason, moved, forced) = match ended {
        Ended::Moved { moved, forced } => ("moved", None, moved, forced),
        Ended::Failed(reason) => ("failed", Some(reason), 0, 0),
        Ended::TakenBack(reason) => ("taken_back", Some(reason), 0, 0),
    };
    match &reason {
        None => tracing::info!(tenant = tenant.id(), from, to, moved, forced, "the tenant is on another version"),
        Some(reason) => {
            tracing::error!(tenant = tenant.id(), from, to, outcome, reason, "the tenant stays on its version");
        }
    }
    metrics.upgraded(outcome);
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    *tenant.change.last.lock() = Some(ChangeOutcome { from, to, outcome, reason, moved, forced, at });
    *tenant.change.under_way.lock() = None;
}

/// A change under way.
struct Move<'a> {
    tenant: &'a Arc<HostedTenant>,
    old: &'a Arc<Run>,
    new: &'a Arc<Run>,
    progress: &'a Mutex<Progress>,
}

impl Move<'_> {
    async fn through(&self) -> Ended {
        let UpgradeConfig { canary, observe, deadline } = self.new.config.upgrade;
        if let Err(reason) = self.new.up(deadline).await {
            let refused = matches!(self.new.status().0, TenantState::Refused { .. } | TenantState::Quarantined { .. });
            // Where the old version does not work either there is nothing to lose by going on.
            if refused || self.new.deaths() > 0 || self.old.is_up() {
                self.end(self.new).await;
                return Ended::Failed(reason);
            }
        }
        if canary > 0.0
            && let Err(reason) = self.try_out(canary, observe).await
        {
            return self.take_back(reason).await;
        }
        self.stage(Stage::Moving);
        self.tenant.sessions.serve_by(&self.new.connection);
        let moved =
            self.tenant.sessions.move_sessions(&self.old.connection, &self.new.connection, 1.0, self.patience()).await;
        self.progress().moved += moved.moved;
        if moved.refused > 0 {
            return self.take_back(format!("it refused {} agents", moved.refused)).await;
        }
        if self.new.deaths() > 0 {
            return self.take_back("its worker died".to_owned()).await;
        }
        self.settle();
        self.end(self.old).await;
        Ended::Moved { moved: self.progress().moved, forced: moved.forced }
    }

    /// Lets a share of the agents try the new version.
    async fn try_out(&self, share: f64, observe: Duration) -> Result<(), String> {
        self.stage(Stage::Trial);
        let sessions = &self.tenant.sessions;
        let until = Instant::now() + observe;
        let before = (self.old.connection.tally(), self.new.connection.tally());
        sessions.try_out(&self.new.connection, share);
        let patience = self.patience().min(observe);
        let moved = sessions.move_sessions(&self.old.connection, &self.new.connection, share, patience).await;
        self.progress().moved += moved.moved;
        if moved.refused > 0 {
            return Err(format!("it refused {} agents", moved.refused));
        }
        loop {
            let tallies = (self.old.connection.tally().since(before.0), self.new.connection.tally().since(before.1));
            if self.new.deaths() > 0 {
                return Err("its worker died".to_owned());
            }
            if let Some(reason) = does_worse(tallies.0, tallies.1) {
                return Err(reason);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            tokio::time::sleep_until(until.min(now + JUDGED)).await;
        }
    }

    async fn take_back(&self, reason: String) -> Ended {
        tracing::warn!(tenant = self.tenant.id(), reason, "the new version is taken back");
        self.stage(Stage::TakingBack);
        let sessions = &self.tenant.sessions;
        sessions.serve_by(&self.old.connection);
        sessions.move_sessions(&self.new.connection, &self.old.connection, 1.0, self.patience()).await;
        self.end(self.new).await;
        Ended::TakenBack(reason)
    }

    /// The new version is the tenant's from now on.
    fn settle(&self) {
        let (tenant, config) = (self.tenant, &self.new.config);
        *tenant.serving.write() = Arc::clone(self.new);
        let mut config = TenantConfig::clone(config);
        // They may have been changed meanwhile.
        config.take_rules_of(&tenant.config());
        tenant.set_config(Arc::new(config));
        if let TenantPlugin::File(file, workers) = &self.old.plugin {
            *tenant.change.previous.lock() = Some((Arc::clone(&self.old.config), file.clone(), workers.clone()));
        }
    }

    /// Ends a version that no session uses.
    async fn end(&self, run: &Arc<Run>) {
        self.tenant.sessions.retire(&run.connection);
        run.stop(run.config.limits.connect_deadline).await;
    }

    /// The longest that a command may take: then everybody has been free to go.
    fn patience(&self) -> Duration {
        let limits = session_limits(&self.old.config.limits);
        limits.command_deadline.max(limits.slow_deadline) + Duration::from_secs(5)
    }

    fn stage(&self, stage: Stage) {
        self.progress().stage = stage;
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }
}

/// Why the new version is not to be kept, judged by how both have answered in the same time.
fn does_worse(old: AnswerCounts, new: AnswerCounts) -> Option<String> {
    (new.faults >= FAULTS && new.rate() > old.rate()).then(|| {
        format!(
            "{} of {} answers were faults of the adapter; of the old version's {} of {}",
            new.faults, new.answers, old.faults, old.answers
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answers: u64, faults: u64) -> AnswerCounts {
        AnswerCounts { answers, faults }
    }

    #[test]
    fn a_version_that_fails_more_often_than_the_old_one_is_taken_back() {
        assert!(does_worse(tally(900, 0), tally(100, 3)).is_some());
        assert!(does_worse(tally(900, 9), tally(100, 4)).is_some());
        assert!(does_worse(tally(0, 0), tally(3, 3)).is_some());
    }

    #[test]
    fn a_version_that_is_no_worse_stays() {
        assert_eq!(does_worse(tally(900, 0), tally(100, 0)), None);
        assert_eq!(does_worse(tally(900, 0), tally(100, 2)), None, "two may be anybody's");
        assert_eq!(does_worse(tally(90, 45), tally(10, 4)), None, "the platform is in trouble, not the version");
        assert_eq!(does_worse(tally(0, 0), tally(0, 0)), None);
    }
}
