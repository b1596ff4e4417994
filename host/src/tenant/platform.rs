//! The life of one tenant's platform: connect, try again, tell the sessions, disconnect.
//!
//! Owns: the back-off between attempts, and what comes from the adapter for the tenant as a whole. Must never: give up
//! on what may pass, or try again what the adapter says cannot work. Links and metrics go to the tenant's
//! [`Switchboard`](crate::session::Switchboard) and handles.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jackfield_plugin_api::{Code, Failure, Json, Link, Settings, Tenant as TenantForAdapter};
use tokio::sync::watch;

use super::{State, Tenant, locked};
use crate::{
    adapter::{
        FromPlatform, Library, Platform, PlatformSink,
        worker::{Death, budget::Budget},
    },
    metrics::TenantMetrics,
};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A platform that was there for so long failed for a new reason: the pauses begin anew.
const STABLE: Duration = Duration::from_secs(120);

/// What became of one attempt.
enum Attempt {
    /// It was connected, and no longer is; or its worker died on the way.
    Lost { after: Duration, death: Option<Death> },
    /// It could not be connected.
    Failed(Failure),
    /// The tenant ends.
    Stopped,
}

/// Keeps a tenant connected until it is told to stop, and disconnects it then.
pub(super) async fn keep_connected(tenant: Arc<Tenant>, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    let mut budget = Budget::default();
    loop {
        let wait = match attempt(&tenant, &mut stop).await {
            Attempt::Stopped => return,
            Attempt::Lost { death: Some(death), .. } => bury(&tenant, &mut budget, death),
            Attempt::Lost { after, death: None } => {
                pause = if after > STABLE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                Some(jittered(pause))
            }
            Attempt::Failed(failure) if failure.code == Code::Rejected => {
                let why = "the adapter refuses these settings; the tenant stays down";
                tracing::error!(tenant = tenant.id(), %failure, "{why}");
                tenant.set_state(State::Refused { reason: failure.to_string() });
                let _ = stop.wait_for(|stop| *stop).await;
                return;
            }
            Attempt::Failed(failure) => {
                let why = "the platform cannot be connected; it is tried again";
                tracing::warn!(tenant = tenant.id(), %failure, ?pause, "{why}");
                tenant.set_state(State::Waiting { reason: failure.to_string() });
                let now = jittered(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
                Some(now)
            }
        };
        let waited = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => {
                    tenant.released.notified().await;
                    tracing::info!(tenant = tenant.id(), "released from quarantine");
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

/// Decides what follows the death of the tenant's worker; `None`: quarantine.
fn bury(tenant: &Tenant, budget: &mut Budget, death: Death) -> Option<Duration> {
    let rules = &tenant.config.worker.rules;
    let reason = death.to_string();
    let recording = death.recording.map_or_else(String::new, |path| path.display().to_string());
    let verdict = budget.died(rules, std::time::Instant::now(), death.in_flight, random());
    let culprits = verdict.culprits.join(", ");
    let about = (tenant.id(), &reason, recording, culprits);
    if let Some(wait) = verdict.restart_after {
        let (tenant, reason, recording, culprits) = about;
        tracing::error!(tenant, reason, recording, culprits, ?wait, "the worker died; it is started again");
    } else {
        let (id, reason, recording, culprits) = about;
        let why = "the worker died too often; it is in quarantine until an operator releases it";
        tracing::error!(tenant = id, reason, recording, culprits, "{why}");
        tenant.set_state(State::Quarantined { reason: reason.clone() });
    }
    verdict.restart_after
}

/// Runs the plugin, connects the platform and stays with it as long as it lasts.
async fn attempt(tenant: &Arc<Tenant>, stop: &mut watch::Receiver<bool>) -> Attempt {
    let (lost, mut lost_seen) = watch::channel(None);
    let begun = async {
        let library = tenant.plugin.run(&tenant.config).await;
        let library = library.map_err(|error| Failure::new(Code::AdapterFailed, error.to_string()))?;
        *locked(&tenant.running) = Some(library.clone());
        connect(tenant, &library, lost).await
    };
    let begun = tokio::select! {
        begun = begun => begun,
        _ = stop.wait_for(|stop| *stop) => return Attempt::Stopped,
    };
    let (platform, sink) = match begun {
        Ok(connected) => connected,
        Err(failure) => {
            *locked(&tenant.running) = None;
            let death = lost_seen.borrow().clone();
            return match death {
                Some(death) => Attempt::Lost { after: Duration::ZERO, death: Some(death) },
                None => Attempt::Failed(failure),
            };
        }
    };
    let since = tokio::time::Instant::now();
    tracing::info!(tenant = tenant.id(), adapter = %tenant.manifest().id, "the platform is connected");
    tenant.board.set_platform(Some(platform.clone()));
    tenant.set_state(State::Connected);
    let death = tokio::select! {
        lost = lost_seen.wait_for(Option::is_some) => lost.ok().and_then(|death| death.clone()),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    sink.close();
    tenant.board.set_platform(None);
    if *stop.borrow() {
        platform.disconnect(tenant.config.limits.connect_deadline).await;
        return Attempt::Stopped;
    }
    *locked(&tenant.running) = None;
    let reason = death.as_ref().map_or_else(|| "the adapter is gone".to_owned(), ToString::to_string);
    tenant.link(&Link::Down { reason: reason.clone() });
    tenant.set_state(State::Waiting { reason });
    Attempt::Lost { after: since.elapsed(), death }
}

/// One attempt, with the secrets as they are now.
async fn connect(
    tenant: &Arc<Tenant>,
    library: &Library,
    lost: watch::Sender<Option<Death>>,
) -> Result<(Platform, Arc<Sink>), Failure> {
    let settings = tenant.config.settings.resolve(&library.manifest().settings).map_err(|problems| {
        // Not refused: a secret's file may be on its way.
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Code::Internal, problems.join("; "))
    })?;
    let settings = Settings::new(Json::from(settings));
    let sink =
        Arc::new(Sink { tenant: Arc::clone(tenant), metrics: tenant.metrics.clone(), lost: Mutex::new(Some(lost)) });
    let for_adapter = TenantForAdapter::new(tenant.id(), settings);
    let deadline = tenant.config.limits.connect_deadline;
    let connected = library.connect(for_adapter, Arc::clone(&sink) as Arc<dyn PlatformSink>, deadline).await;
    if connected.is_err() {
        sink.close();
    }
    Ok((connected?, sink))
}

/// Up to a fifth more or less, so that tenants that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.4 * random())
}

/// A number from 0 to 1.
fn random() -> f64 {
    let mut random = [0; 4];
    // Without randomness every pause is its shortest.
    let _ = getrandom::fill(&mut random);
    f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX)
}

/// Takes what the adapter says about the tenant as a whole, until the platform is lost.
struct Sink {
    tenant: Arc<Tenant>,
    metrics: TenantMetrics,
    /// `None` once the platform is lost: what comes afterwards is about one that is gone.
    lost: Mutex<Option<watch::Sender<Option<Death>>>>,
}

impl Sink {
    fn close(&self) -> Option<watch::Sender<Option<Death>>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_open(&self) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl PlatformSink for Sink {
    fn deliver(&self, message: FromPlatform) {
        match message {
            FromPlatform::Metric { name, labels, value } => self.metrics.plugin_metric(&name, &labels, value),
            FromPlatform::Link(link) if self.is_open() => self.tenant.link(&link),
            FromPlatform::Link(_) => {}
            FromPlatform::Lost(death) => {
                if let Some(lost) = self.close() {
                    lost.send_replace(Some(death));
                }
            }
        }
    }
}

impl Tenant {
    /// The link as the adapter tells it: to the sessions, the metrics and the log.
    fn link(&self, link: &Link) {
        let up = *link == Link::Up;
        match link {
            Link::Up => tracing::info!(tenant = self.id(), "the link to the platform is up"),
            Link::Down { reason } => tracing::warn!(tenant = self.id(), reason, "the link to the platform is down"),
        }
        self.metrics.set_link(up);
        self.set_link_known(link.clone());
        self.board.set_link(link.clone());
    }
}
