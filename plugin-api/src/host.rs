//! The host, as an adapter sees it: one handle for a tenant, one for a session.
//!
//! All methods return at once. Reports that the host cannot take at the moment wait inside the plugin, where each
//! later one is merged into them ([`merge`](crate::merge)), so an adapter never waits and never floods.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::report::Report;

/// Whether the platform can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Commands can be carried out, and every session's model is complete or will be when
    /// [`Agent::snapshot`](crate::Agent::snapshot) returns, which the host calls for each session now.
    Up,
    /// They cannot; the reason is told to the agents.
    Down {
        /// One sentence, without secrets.
        reason: String,
    },
}

/// What a [`PlatformHost`] calls: the host behind the ABI, or the [`testkit`](crate::testkit).
pub(crate) trait PlatformBackend: Send + Sync {
    fn link(&self, link: Link);
    fn metric(&self, name: &str, labels: &[&str], value: f64);
}

/// What an [`AgentHost`] calls.
pub(crate) trait AgentBackend: Send + Sync {
    fn report(&self, report: Report);
    fn link(&self, link: Link);
}

/// The host, for one tenant. Cheap to clone.
#[derive(Clone)]
pub struct PlatformHost {
    backend: Arc<dyn PlatformBackend>,
}

impl PlatformHost {
    pub(crate) fn new(backend: Arc<dyn PlatformBackend>) -> Self {
        Self { backend }
    }

    /// Tells whether the platform can be reached; until the first call it cannot. Telling the same again is nothing.
    pub fn link(&self, link: Link) {
        self.backend.link(link);
    }

    /// Adds to a counter, sets a gauge or observes into a histogram that the manifest declares; `labels` in the
    /// declared order. One that is not declared, and a series beyond the declared `maxSeries`, is dropped and counted.
    pub fn metric(&self, name: &str, labels: &[&str], value: f64) {
        self.backend.metric(name, labels, value);
    }
}

impl fmt::Debug for PlatformHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformHost")
    }
}

/// The host, for one session. Cheap to clone.
#[derive(Clone)]
pub struct AgentHost {
    backend: Arc<dyn AgentBackend>,
}

impl AgentHost {
    pub(crate) fn new(backend: Arc<dyn AgentBackend>) -> Self {
        Self { backend }
    }

    /// Reports how things are. Never blocks, never fails. After the session's end it does nothing. What is reported while
    /// a request of this agent is being polled goes out when that poll is over, together with the answer if that is given
    /// by then.
    pub fn report(&self, report: Report) {
        self.backend.report(report);
    }

    /// Tells that *this agent's* link to the platform is lost or back, where a platform has one for each agent. The
    /// tenant's link, told by [`PlatformHost::link`], counts as well: both must be up.
    pub fn link(&self, link: Link) {
        self.backend.link(link);
    }
}

impl fmt::Debug for AgentHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentHost")
    }
}
