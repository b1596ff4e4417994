//! The adapter as a session needs it: a tenant's platform, and a session's agent on it.
//!
//! Owns: nothing but these two traits. [`PlatformHandle`](super::PlatformHandle) and [`AgentHandle`](super::AgentHandle)
//! implement them for a plugin; tests of sessions have an adapter of a few lines. Must never: block. Requests go out here;
//! what comes back comes by the [`AgentSink`] that was given at the log-in.

use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_plugin_api::{Command, Ending, Failure, Login, Manifest, StartOptions};

use super::{AgentSink, RequestId};

/// A log-in under way. Dropping it undoes the log-in, however far it has come.
pub type LogInFuture = Pin<Box<dyn Future<Output = Result<Box<dyn AgentPort>, Failure>> + Send>>;

/// A tenant's platform.
pub trait PlatformPort: Send + Sync + 'static {
    /// What the adapter says of itself.
    fn manifest(&self) -> &Arc<Manifest>;
    /// Logs an agent in. What is reported for it, and what answers its requests, goes to the sink.
    ///
    /// # Errors
    /// The future's: what the adapter says, `timeout` after the deadline, `adapter_failed`.
    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> LogInFuture;
}

/// A session's agent. Dropping it drops the plugin's agent.
///
/// An error of any method means that the request was not handed over and that no answer will come: `rate_limited` or
/// `adapter_failed`.
pub trait AgentPort: Debug + Send + 'static {
    /// Begins the session.
    ///
    /// # Errors
    /// It was not handed over.
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure>;
    /// Hands a command over. An answer that is read after `until` is not delivered any more.
    ///
    /// # Errors
    /// It was not handed over.
    fn command(&self, request: RequestId, command: &Command, until: Instant) -> Result<(), Failure>;
    /// Asks for a snapshot.
    ///
    /// # Errors
    /// It was not handed over.
    fn snapshot(&self, request: RequestId) -> Result<(), Failure>;
    /// Ends the session.
    ///
    /// # Errors
    /// It was not handed over.
    fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure>;
}
