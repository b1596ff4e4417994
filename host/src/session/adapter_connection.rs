//! One connection to a tenant's platform, as its sessions see it.
//!
//! Owns: the platform behind it, its link, and how well it answers. A tenant has one trunk; while it is moved to another
//! version of its adapter it has two, and each session is on one of them. Must never: know a session. Set by the
//! [`SessionManager`](super::SessionManager) at the word of `tenant`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use jackfield_plugin_api::{Code, Link};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{commands::Repertoire, port::PlatformPort};

/// A tenant's platform, and what its adapter can do.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) port: Arc<dyn PlatformPort>,
    pub(super) repertoire: Arc<Repertoire>,
}

/// One connection to a tenant's platform.
pub struct AdapterConnection {
    line: watch::Sender<Line>,
    link: Mutex<(Link, u64)>,
    answers: AtomicU64,
    faults: AtomicU64,
}

#[derive(Default)]
struct Line {
    current: Option<Current>,
    retired: bool,
}

/// How a trunk has answered since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands and log-ins that have an answer.
    pub answers: u64,
    /// Those of them that failed by a fault of the adapter: `timeout`, `adapter_failed`, `internal`.
    pub faults: u64,
}

impl Tally {
    /// What came after an earlier tally of the same trunk.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            answers: self.answers.saturating_sub(earlier.answers),
            faults: self.faults.saturating_sub(earlier.faults),
        }
    }

    /// The share of faults.
    #[must_use]
    pub fn rate(self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // no trunk answers 2^52 commands
        if self.answers == 0 { 0.0 } else { self.faults as f64 / self.answers as f64 }
    }
}

impl AdapterConnection {
    pub(super) fn new() -> Self {
        Self {
            line: watch::Sender::default(),
            link: Mutex::new((Link::Down { reason: "the platform is not connected yet".to_owned() }, 0)),
            answers: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }

    /// How it has answered so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally { answers: self.answers.load(Relaxed), faults: self.faults.load(Relaxed) }
    }

    /// Counts an answer; `failed`: what it failed with.
    pub(super) fn answered(&self, failed: Option<Code>) {
        self.answers.fetch_add(1, Relaxed);
        if failed.is_some_and(|code| matches!(code, Code::Timeout | Code::AdapterFailed | Code::Internal)) {
            self.faults.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn current(&self) -> Option<Current> {
        self.line.borrow().current.clone()
    }

    /// Waits until there is a platform. `None`: there never will be one again.
    pub(super) async fn connected(&self) -> Option<Current> {
        let mut line = self.line.subscribe();
        let line = line.wait_for(|line| line.retired || line.current.is_some()).await.ok()?;
        if line.retired { None } else { line.current.clone() }
    }

    pub(super) fn set_port(&self, port: Option<Arc<dyn PlatformPort>>) {
        self.line.send_modify(|line| {
            let known = line.current.take();
            line.current = port.map(|port| {
                let repertoire = known.map(|known| known.repertoire).filter(|it| it.manifest == *port.manifest());
                let repertoire = repertoire.unwrap_or_else(|| Arc::new(Repertoire::of(port.manifest())));
                Current { port, repertoire }
            });
        });
    }

    pub(super) fn is_retired(&self) -> bool {
        self.line.borrow().retired
    }

    /// It is used no more: whoever waits for its platform looks for another trunk.
    pub(super) fn retire(&self) {
        self.line.send_modify(|line| *line = Line { current: None, retired: true });
    }

    /// The link, and how often it was lost.
    pub(super) fn link(&self) -> (Link, u64) {
        self.link.lock().clone()
    }

    /// Returns whether this is news.
    pub(super) fn set_link(&self, link: Link) -> bool {
        let mut state = self.link.lock();
        if state.0 == link {
            return false;
        }
        if link != Link::Up {
            state.1 += 1;
        }
        state.0 = link;
        true
    }
}

impl std::fmt::Debug for AdapterConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdapterConnection").field("link", &self.link().0).field("tally", &self.tally()).finish()
    }
}
