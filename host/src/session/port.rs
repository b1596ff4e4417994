//! The adapter as a session needs it.
//!
//! Owns: nothing but these two traits, behind which stand the real adapter and, in tests, one made of a few lines. Must
//! never: block. Commands go out here; what comes back comes by the [`AgentSink`] that was given at the log-in.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_plugin_api::{Command, Ending, Failure, Login, Manifest, StartOptions};

use crate::plugin::{self, AgentSink, RequestId};

/// What a log-in leads to.
pub type LoggedIn = Pin<Box<dyn Future<Output = Result<Box<dyn AgentPort>, Failure>> + Send>>;

/// A tenant's platform.
pub trait PlatformPort: Send + Sync + 'static {
    /// What the adapter says of itself.
    fn manifest(&self) -> &Arc<Manifest>;
    /// Logs an agent in; gives up at the deadline.
    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> LoggedIn;
}

/// A session's agent. No method blocks; an error says that no answer will come. Dropping it drops the plugin's agent.
pub trait AgentPort: Send + 'static {
    /// Begins the session.
    ///
    /// # Errors
    /// It was not handed over.
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure>;
    /// Hands a command over, whose answer counts until then.
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

impl PlatformPort for plugin::PlatformHandle {
    fn manifest(&self) -> &Arc<Manifest> {
        self.manifest()
    }

    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> LoggedIn {
        let platform = self.clone();
        Box::pin(async move {
            let agent = plugin::PlatformHandle::log_in(&platform, login, sink, deadline).await?;
            Ok(Box::new(agent) as Box<dyn AgentPort>)
        })
    }
}

impl AgentPort for plugin::AgentHandle {
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure> {
        self.start(request, options)
    }

    fn command(&self, request: RequestId, command: &Command, until: Instant) -> Result<(), Failure> {
        self.command(request, command, until)
    }

    fn snapshot(&self, request: RequestId) -> Result<(), Failure> {
        self.snapshot(request)
    }

    fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure> {
        self.log_out(request, ending)
    }
}
