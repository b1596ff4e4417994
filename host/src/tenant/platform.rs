//! The life of a run's platform: connect, try again, tell the sessions, disconnect.
//!
//! Owns: the back-off between attempts, and what comes from the adapter for the tenant as a whole. Must never: give up
//! on what may pass, or try again what the adapter says cannot work. Links and metrics go to the tenant's
//! [`SessionManager`](crate::session::SessionManager) and handles.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Backoff, Code, Failure, Json, Link, Settings, Tenant as TenantForAdapter};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::{
    run::{self, Run},
    state::TenantState,
};
use crate::plugin::{
    FromPlatform, Library, LoadError, PlatformHandle, PlatformSink,
    worker::{Death, restart::RestartBudget},
};

/// The pauses between attempts. They have jitter, so that tenants that failed together do not come back together.
const CONNECT_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60)).with_jitter();
/// A platform that was connected for so long failed for a new reason: the pauses begin anew.
const STABLE: Duration = Duration::from_secs(120);

/// The outcome of one attempt.
enum Attempt {
    /// It was connected, and no longer is; or its worker died on the way.
    Lost { after: Duration, death: Option<Death> },
    /// It could not be connected.
    Failed(Failure),
    /// Its library cannot be loaded, and that will not pass.
    Unloadable(LoadError),
    /// The tenant ends.
    Stopped,
}

/// When the next attempt is made.
enum Next {
    /// After a pause.
    After(Duration),
    /// When an operator says so, or what the settings point to has changed.
    Released,
}

/// Keeps a run connected until it is told to stop, and disconnects it then.
pub(super) async fn keep_connected(run: Arc<Run>, mut stop: watch::Receiver<bool>) {
    let mut backoff = CONNECT_AGAIN;
    let mut budget = RestartBudget::default();
    loop {
        let next = match attempt(&run, &mut stop).await {
            Attempt::Stopped => return,
            Attempt::Lost { death: Some(death), .. } => after_death(&run, &mut budget, death),
            Attempt::Lost { after, death: None } => {
                if after > STABLE {
                    backoff.reset();
                }
                Next::After(backoff.next_pause())
            }
            Attempt::Failed(failure) if failure.code == Code::Rejected => {
                let why = "the adapter refuses these settings; the tenant stays down until they change";
                tracing::error!(tenant = run.id(), %failure, "{why}");
                run.set_state(TenantState::Refused { reason: failure.to_string() });
                Next::Released
            }
            Attempt::Unloadable(error) => {
                let why = "the library cannot be loaded; the tenant is in quarantine until an operator releases it";
                tracing::error!(tenant = run.id(), %error, "{why}");
                run.set_state(TenantState::Quarantined { reason: error.to_string() });
                Next::Released
            }
            Attempt::Failed(failure) => {
                let pause = backoff.next_pause();
                let why = "the platform cannot be connected; it is tried again";
                tracing::warn!(tenant = run.id(), %failure, ?pause, "{why}");
                run.set_state(TenantState::Waiting { reason: failure.to_string() });
                Next::After(pause)
            }
        };
        let waited = async {
            match next {
                Next::After(pause) => tokio::time::sleep(pause).await,
                Next::Released => {
                    run.released.notified().await;
                    tracing::info!(tenant = run.id(), "the tenant is tried again");
                    run.set_state(TenantState::Connecting);
                    budget.release();
                }
            }
        };
        tokio::select! {
            () = waited => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Decides what follows the death of the tenant's worker.
fn after_death(run: &Run, budget: &mut RestartBudget, death: Death) -> Next {
    run.worker_died();
    let rules = &run.config.worker.rules;
    let reason = death.to_string();
    let recording = death.recording.map_or_else(String::new, |path| path.display().to_string());
    let decision = budget.died(rules, std::time::Instant::now(), death.in_flight);
    let culprits = decision.culprits.join(", ");
    let tenant = run.id();
    match decision.restart_after {
        Some(wait) => {
            tracing::error!(tenant, reason, recording, culprits, ?wait, "the worker died; it is started again");
            Next::After(wait)
        }
        None => {
            let why = "the worker died too often; it is in quarantine until an operator releases it";
            tracing::error!(tenant, reason, recording, culprits, "{why}");
            run.set_state(TenantState::Quarantined { reason });
            Next::Released
        }
    }
}

/// Runs the plugin, connects the platform and stays with it as long as it lasts.
async fn attempt(run: &Arc<Run>, stop: &mut watch::Receiver<bool>) -> Attempt {
    let (lost, mut lost_seen) = watch::channel(None);
    let begun = async {
        let library = run.plugin.run(&run.config).await;
        let library = library.map_err(|error| match error.may_pass {
            true => Attempt::Failed(Failure::new(Code::AdapterFailed, error.to_string())),
            false => Attempt::Unloadable(error),
        })?;
        *run.running.lock() = Some(library.clone());
        connect(run, &library, lost).await.map_err(Attempt::Failed)
    };
    let begun = tokio::select! {
        begun = begun => begun,
        _ = stop.wait_for(|stop| *stop) => return Attempt::Stopped,
    };
    let (platform, sink) = match begun {
        Ok(connected) => connected,
        Err(attempt) => {
            *run.running.lock() = None;
            let death = lost_seen.borrow().clone();
            return match death {
                Some(death) => Attempt::Lost { after: Duration::ZERO, death: Some(death) },
                None => attempt,
            };
        }
    };
    let since = tokio::time::Instant::now();
    tracing::info!(tenant = run.id(), adapter = %run.manifest().id, "the platform is connected");
    run.sessions.set_platform(&run.connection, Some(Arc::new(platform.clone())));
    run.set_state(TenantState::Connected);
    sink.connected();
    let death = tokio::select! {
        lost = lost_seen.wait_for(Option::is_some) => lost.ok().and_then(|death| death.clone()),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    sink.close();
    run.sessions.set_platform(&run.connection, None);
    if *stop.borrow() {
        platform.disconnect(run.config.limits.connect_deadline).await;
        return Attempt::Stopped;
    }
    *run.running.lock() = None;
    let gone = || "the adapter is gone".to_owned();
    run.link(&Link::Down { reason: death.as_ref().map_or_else(gone, Death::for_clients) });
    run.set_state(TenantState::Waiting { reason: death.as_ref().map_or_else(gone, ToString::to_string) });
    Attempt::Lost { after: since.elapsed(), death }
}

/// One attempt, with the secrets as they are now.
async fn connect(
    run: &Arc<Run>,
    library: &Library,
    lost: watch::Sender<Option<Death>>,
) -> Result<(PlatformHandle, Arc<Sink>), Failure> {
    let settings = run.config.settings.resolve(&library.manifest().settings).map_err(|problems| {
        // Not refused: a secret's file may be on its way.
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Code::Internal, problems.join("; "))
    })?;
    *run.tried.lock() = Some(run::fingerprint(&settings));
    let settings = Settings::new(Json::from(settings));
    let heard = Heard { lost: Some(lost), connected: false, early: None };
    let sink = Arc::new(Sink { run: Arc::clone(run), heard: Mutex::new(heard) });
    let for_adapter = TenantForAdapter::new(run.id(), settings);
    let deadline = run.config.limits.connect_deadline;
    let connected = library.connect(for_adapter, Arc::clone(&sink) as Arc<dyn PlatformSink>, deadline).await;
    if connected.is_err() {
        sink.close();
    }
    Ok((connected?, sink))
}

/// Takes what the adapter says about the tenant as a whole, until the platform is lost.
struct Sink {
    run: Arc<Run>,
    heard: Mutex<Heard>,
}

struct Heard {
    /// `None` once the platform is lost: what comes afterwards is about one that is gone.
    lost: Option<watch::Sender<Option<Death>>>,
    /// An adapter may report its link before it has returned from `connect`; it is passed on once there is a platform.
    connected: bool,
    early: Option<Link>,
}

impl Sink {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock()
    }

    /// There is a platform now.
    fn connected(&self) {
        let mut heard = self.heard();
        heard.connected = true;
        if let Some(link) = heard.early.take() {
            self.run.link(&link);
        }
    }

    fn close(&self) -> Option<watch::Sender<Option<Death>>> {
        self.heard().lost.take()
    }
}

impl PlatformSink for Sink {
    fn deliver(&self, message: FromPlatform) {
        match message {
            FromPlatform::Metric { name, labels, value } => self.run.metrics.plugin_metric(&name, &labels, value),
            FromPlatform::Link(link) => {
                let mut heard = self.heard();
                if heard.lost.is_none() {
                    return;
                }
                // Under the lock, so that links are passed on in the order in which they came.
                if heard.connected { self.run.link(&link) } else { heard.early = Some(link) }
            }
            FromPlatform::Lost(death) => {
                if let Some(lost) = self.close() {
                    lost.send_replace(Some(death));
                }
            }
        }
    }
}
