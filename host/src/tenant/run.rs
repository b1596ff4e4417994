//! One plugin at work for a tenant: its file, its settings, its platform.
//!
//! Owns: what belongs to one version of a tenant's adapter. A tenant has one run; while it is moved to another version,
//! two. Must never: touch sessions that are not on its connection. `platform.rs` keeps it connected; `upgrade.rs` starts a
//! second one and ends the first.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Link, Manifest};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{launch::TenantPlugin, platform, state::TenantState};
use crate::{
    config::TenantConfig,
    metrics::TenantMetrics,
    plugin::Library,
    session::{AdapterConnection, SessionManager},
};

/// Tells settings apart without keeping them.
pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint(settings: &Value) -> Fingerprint {
    Sha256::digest(settings.to_string()).into()
}

/// The state of a run's platform, and its link; `None` until the adapter has reported it.
pub(super) type RunStatus = (TenantState, Option<Link>);

pub(super) struct Run {
    pub(super) config: Arc<TenantConfig>,
    pub(super) plugin: TenantPlugin,
    pub(super) sessions: SessionManager,
    pub(super) connection: Arc<AdapterConnection>,
    pub(super) metrics: TenantMetrics,
    pub(super) running: Mutex<Option<Library>>,
    pub(super) released: Notify,
    /// The settings of the last attempt to connect, secrets filled in.
    pub(super) tried: Mutex<Option<Fingerprint>>,
    status: watch::Sender<RunStatus>,
    /// How often its worker has died.
    deaths: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    life: Mutex<Option<JoinHandle<()>>>,
}

impl Run {
    /// Begins to connect a platform.
    pub(super) fn start(
        config: Arc<TenantConfig>,
        plugin: TenantPlugin,
        sessions: SessionManager,
        connection: Arc<AdapterConnection>,
        metrics: TenantMetrics,
    ) -> Arc<Self> {
        let (stop, stopped) = watch::channel(false);
        let run = Arc::new(Self {
            config,
            plugin,
            sessions,
            connection,
            metrics,
            running: Mutex::new(None),
            released: Notify::new(),
            tried: Mutex::new(None),
            status: watch::Sender::new((TenantState::Connecting, None)),
            deaths: watch::Sender::new(0),
            stop,
            life: Mutex::new(None),
        });
        *run.life.lock() = Some(tokio::spawn(platform::keep_connected(Arc::clone(&run), stopped)));
        run
    }

    /// The tenant's name.
    pub(super) fn id(&self) -> &str {
        &self.config.id
    }

    pub(super) fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    pub(super) fn status(&self) -> RunStatus {
        self.status.borrow().clone()
    }

    /// Whether its platform is connected and the link is up, whatever was before.
    pub(super) fn is_up(&self) -> bool {
        is_up(&self.status.borrow())
    }

    /// Waits until its platform is connected and the link is up.
    ///
    /// # Errors
    /// What it is instead: it is refused, its worker has died, or nothing of all this within the deadline.
    pub(super) async fn up(&self, deadline: Duration) -> Result<(), String> {
        let (mut status, mut deaths) = (self.status.subscribe(), self.deaths.subscribe());
        let ready = async {
            let settled = |status: &RunStatus| {
                matches!(status.0, TenantState::Refused { .. } | TenantState::Quarantined { .. }) || is_up(status)
            };
            status.wait_for(settled).await.map(|status| status.0.clone())
        };
        tokio::select! {
            died = deaths.wait_for(|deaths| *deaths > 0) => {
                drop(died);
                Err("its worker died".to_owned())
            }
            ready = tokio::time::timeout(deadline, ready) => match ready {
                Ok(Ok(TenantState::Connected)) => Ok(()),
                Ok(Ok(TenantState::Refused { reason } | TenantState::Quarantined { reason })) => Err(reason),
                Ok(_) => Err("it was stopped".to_owned()),
                Err(_) => Err(match self.status() {
                    (TenantState::Waiting { reason }, _) | (_, Some(Link::Down { reason })) => {
                        format!("its link is not up after {deadline:?}: {reason}")
                    }
                    _ => format!("its link is not up after {deadline:?}"),
                }),
            },
        }
    }

    /// How often its worker has died so far.
    pub(super) fn deaths(&self) -> u64 {
        *self.deaths.borrow()
    }

    pub(super) fn worker_died(&self) {
        self.deaths.send_modify(|deaths| *deaths += 1);
    }

    pub(super) fn set_state(&self, state: TenantState) {
        self.status.send_modify(|status| status.0 = state);
    }

    /// The link as the adapter tells it: to the sessions on its connection, the metrics and the log.
    pub(super) fn link(&self, link: &Link) {
        match link {
            Link::Up => tracing::info!(tenant = self.id(), "the link to the platform is up"),
            Link::Down { reason } => tracing::warn!(tenant = self.id(), reason, "the link to the platform is down"),
        }
        self.status.send_modify(|status| status.1 = Some(link.clone()));
        self.sessions.set_link(&self.connection, link.clone());
    }

    /// Disconnects its platform, within a deadline. Its worker ends when the last agent is gone.
    pub(super) async fn stop(&self, deadline: Duration) {
        self.stop.send_replace(true);
        let life = self.life.lock().take();
        if let Some(mut life) = life
            && tokio::time::timeout(deadline, &mut life).await.is_err()
        {
            tracing::warn!(tenant = self.id(), "the platform could not be disconnected in time");
            life.abort();
        }
        *self.running.lock() = None;
    }
}

fn is_up((state, link): &RunStatus) -> bool {
    *state == TenantState::Connected && *link == Some(Link::Up)
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({} {} of {})", self.manifest().id, self.manifest().version, self.id())
    }
}
