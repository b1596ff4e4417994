//! One adapter, as the rest of the host sees it: the same whether the plugin runs inside the host or in a worker.
//!
//! Owns: loading, negotiation of the contract's version, the life of platforms and agents on the other side, and the
//! translation of calls into what crosses the boundary. Must never: block its caller, or let what the plugin does reach
//! anything but the sinks that were given for it. Data goes out by the methods of [`Platform`] and [`Agent`], and comes
//! back through [`PlatformSink`] and [`AgentSink`], in the order in which the plugin sent it.

use jackfield_plugin_api::{Link, Outcome, Report};

/// Names one request to an agent; the caller chooses it, the answer carries it.
pub type RequestId = u64;

/// What comes from the adapter for one session, in order.
#[derive(Debug)]
pub enum FromAgent {
    /// How things are.
    Report(Report),
    /// What became of a request: of a command, or of start, snapshot and log_out (success without data).
    Answer {
        /// The request.
        request: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// This agent's own link.
    Link(Link),
    /// The newest resume state.
    Resume(Vec<u8>),
    /// The other side is gone (a crashed worker): no answer will come any more to what was asked before.
    Lost {
        /// One sentence for log and `failure.message`.
        reason: String,
    },
}

/// What comes from the adapter for a tenant, in order.
#[derive(Debug)]
pub enum FromPlatform {
    /// The tenant's link.
    Link(Link),
    /// The other side is gone.
    Lost {
        /// One sentence for the log.
        reason: String,
    },
}

/// Whether something from the adapter was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Taken.
    Accepted,
    /// Not now: the same again later, nothing else in between.
    Full,
    /// Never more.
    Closed,
}

/// Takes what comes for one session. Called on any thread; returns at once.
pub trait AgentSink: Send + Sync + 'static {
    /// Takes one message, or refuses it.
    fn deliver(&self, message: FromAgent) -> Result<(), (Delivery, FromAgent)>;
}

/// Takes what comes for one tenant. Called on any thread; returns at once.
pub trait PlatformSink: Send + Sync + 'static {
    /// Takes one message.
    fn deliver(&self, message: FromPlatform);
}

// To be built here (signatures fixed; internals free). `Library` is one loaded plugin file:
//   impl Library {
//       pub fn manifest(&self) -> &Manifest;
//       pub async fn connect(&self, tenant: Tenant, sink: Arc<dyn PlatformSink>, deadline: Duration) -> Result<Platform, Failure>;
//   }
//   #[derive(Clone)] pub struct Platform;
//   impl Platform {
//       pub fn manifest(&self) -> &Arc<Manifest>;
//       pub async fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> Result<Agent, Failure>;
//       pub async fn disconnect(&self, deadline: Duration);
//   }
//   pub struct Agent;      // dropping it drops the plugin's agent
//   impl Agent {           // never block; Err: not handed over (queue full: rate_limited, gone: adapter_failed)
//       pub fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure>;
//       pub fn command(&self, request: RequestId, command: &Command, deadline: Duration) -> Result<(), Failure>;
//       pub fn snapshot(&self, request: RequestId) -> Result<(), Failure>;
//       pub fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure>;
//   }
