//! One connection to a tenant's platform, as its sessions see it.
//!
//! Owns: the platform behind it, its link, and how well it answers. A tenant has one such connection; while it
//! is moved to another version of its adapter it has two, and each session is on one of them. Must never: know a session.
//! `tenant` sets it through the [`SessionManager`](super::SessionManager).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use jackfield_plugin_api::{Code, Link};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::commands::CommandSet;
use crate::plugin::PlatformPort;

/// A tenant's platform, and what its adapter can do.
#[derive(Clone)]
pub(super) struct CurrentPlatform {
    pub(super) platform: Arc<dyn PlatformPort>,
    pub(super) command_set: Arc<CommandSet>,
}

/// One connection to a tenant's platform.
pub(crate) struct AdapterConnection {
    state: watch::Sender<ConnectionState>,
    link: Mutex<(Link, u64)>,
    answers: AtomicU64,
    faults: AtomicU64,
}

#[derive(Default)]
struct ConnectionState {
    current: Option<CurrentPlatform>,
    retired: bool,
}

/// How a connection has answered since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AnswerCounts {
    /// Commands and log-ins that have an answer.
    pub answers: u64,
    /// Those of them that failed by a fault of the adapter: `timeout`, `adapter_failed`, `internal`.
    pub faults: u64,
}

impl AnswerCounts {
    /// What was counted after an earlier tally of the same connection.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            answers: self.answers.saturating_sub(earlier.answers),
            faults: self.faults.saturating_sub(earlier.faults),
        }
    }

    /// The share of faults.
    #[must_use]
    pub(crate) fn rate(self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // no connection answers 2^52 commands
        if self.answers == 0 { 0.0 } else { self.faults as f64 / self.answers as f64 }
    }
}

impl AdapterConnection {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::default(),
            link: Mutex::new((Link::Down { reason: "the platform is not connected yet".to_owned() }, 0)),
            answers: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }

    /// How it has answered so far.
    #[must_use]
    pub(crate) fn tally(&self) -> AnswerCounts {
        AnswerCounts { answers: self.answers.load(Relaxed), faults: self.faults.load(Relaxed) }
    }

    /// Counts an answer; `failed`: what it failed with.
    pub(super) fn answered(&self, failed: Option<Code>) {
        self.answers.fetch_add(1, Relaxed);
        if failed.is_some_and(|code| matches!(code, Code::Timeout | Code::AdapterFailed | Code::Internal)) {
            self.faults.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn current(&self) -> Option<CurrentPlatform> {
        self.state.borrow().current.clone()
    }

    /// Waits until there is a platform. `None`: the connection is retired and never has one again.
    pub(super) async fn connected(&self) -> Option<CurrentPlatform> {
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| state.retired || state.current.is_some()).await.ok()?;
        if state.retired { None } else { state.current.clone() }
    }

    pub(super) fn set_platform(&self, platform: Option<Arc<dyn PlatformPort>>) {
        self.state.send_modify(|state| {
            let known = state.current.take();
            state.current = platform.map(|platform| {
                let command_set = known.map(|known| known.command_set).filter(|it| it.manifest == *platform.manifest());
                let command_set = command_set.unwrap_or_else(|| Arc::new(CommandSet::of(platform.manifest())));
                CurrentPlatform { platform, command_set }
            });
        });
    }

    pub(super) fn is_retired(&self) -> bool {
        self.state.borrow().retired
    }

    /// Ends its use: whoever waits for its platform looks for another connection.
    pub(super) fn retire(&self) {
        self.state.send_modify(|state| *state = ConnectionState { current: None, retired: true });
    }

    /// The link, and how often it was lost.
    pub(super) fn link(&self) -> (Link, u64) {
        self.link.lock().clone()
    }

    /// Returns whether this is news.
    pub(super) fn set_link(&self, link: Link) -> bool {
        let mut known = self.link.lock();
        if known.0 == link {
            return false;
        }
        if link != Link::Up {
            known.1 += 1;
        }
        known.0 = link;
        true
    }
}

impl std::fmt::Debug for AdapterConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdapterConnection").field("link", &self.link().0).field("tally", &self.tally()).finish()
    }
}
