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

use super::{State, Tenant};
use crate::{
    adapter::{FromPlatform, Library, Platform, PlatformSink, worker::Death},
    metrics::TenantMetrics,
};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A platform that was there for so long failed for a new reason: the pauses begin anew.
const STABLE: Duration = Duration::from_secs(120);

/// Keeps a tenant connected until it is told to stop, and disconnects it then.
pub(super) async fn keep_connected(tenant: Arc<Tenant>, library: Library, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let (lost, mut lost_seen) = watch::channel(None);
        let attempt = tokio::select! {
            attempt = connect(&tenant, &library, lost) => attempt,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match attempt {
            Ok((platform, sink)) => {
                let since = tokio::time::Instant::now();
                tracing::info!(tenant = tenant.id(), adapter = %library.manifest().id, "the platform is connected");
                tenant.set_state(State::Connected);
                tenant.board.set_platform(Some(platform.clone()));
                let death = tokio::select! {
                    lost = lost_seen.wait_for(Option::is_some) => lost.ok().and_then(|death| death.clone()),
                    _ = stop.wait_for(|stop| *stop) => None,
                };
                sink.close();
                tenant.board.set_platform(None);
                if *stop.borrow() {
                    platform.disconnect(tenant.config.limits.connect_deadline).await;
                    return;
                }
                let reason = death.map_or_else(|| "the adapter is gone".to_owned(), |death| death.to_string());
                tracing::error!(tenant = tenant.id(), reason, "the platform is lost; it is connected again");
                tenant.link(&Link::Down { reason: reason.clone() });
                tenant.set_state(State::Waiting { reason });
                if since.elapsed() > STABLE {
                    pause = FIRST_PAUSE;
                }
            }
            Err(failure) if failure.code == Code::Rejected => {
                tracing::error!(tenant = tenant.id(), %failure, "the adapter refuses these settings; the tenant stays down");
                tenant.set_state(State::Refused { reason: failure.to_string() });
                let _ = stop.wait_for(|stop| *stop).await;
                return;
            }
            Err(failure) => {
                tracing::warn!(tenant = tenant.id(), %failure, ?pause, "the platform cannot be connected; it is tried again");
                tenant.set_state(State::Waiting { reason: failure.to_string() });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => pause = (pause * 2).min(LONGEST_PAUSE),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
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
    let mut random = [0; 4];
    // Without randomness the pause is as it is.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.8 + 0.4 * f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX))
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
