//! One session's agent on the other side.
//!
//! Owns: handing its requests over, and its end: dropping the handle drops the plugin's agent, whose messages are refused
//! from then on. Must never: block, or wait for an answer; answers come to the [`AgentSink`](super::AgentSink).

use std::{borrow::Cow, sync::Arc, time::Instant};

use jackfield_plugin_api::{
    Command, Ending, Failure, StartOptions,
    wire::{self, Kind},
};
use serde::Serialize;

use super::{AgentPort, PlatformHandle, RequestId, message::AgentRoute, running::RunningPlugin};

/// A session's agent. Dropping it drops the plugin's agent.
pub struct AgentHandle {
    /// Keeps the tenant connected as long as it has agents.
    _platform: PlatformHandle,
    plugin: Arc<RunningPlugin>,
    id: u64,
    route: Arc<AgentRoute>,
}

impl AgentHandle {
    pub(super) fn new(platform: PlatformHandle, plugin: Arc<RunningPlugin>, id: u64, route: Arc<AgentRoute>) -> Self {
        Self { _platform: platform, plugin, id, route }
    }

    fn ask<T: Serialize>(
        &self,
        kind: Kind,
        request: RequestId,
        message: &T,
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        self.route.begin(request, until, matches!(kind, Kind::START | Kind::SNAPSHOT))?;
        self.plugin.send(kind, self.id, message).inspect_err(|_| {
            // It may have been answered already all the same; then there is nothing to take back.
            let _ = self.route.settle(request);
        })
    }
}

impl AgentPort for AgentHandle {
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure> {
        let message = wire::Start { request, options: options.clone() };
        self.ask(Kind::START, request, &message, None)
    }

    fn command(&self, request: RequestId, command: &Command, until: Instant) -> Result<(), Failure> {
        self.ask(Kind::COMMAND, request, &wire::Execute { request, command: Cow::Borrowed(command) }, Some(until))
    }

    fn snapshot(&self, request: RequestId) -> Result<(), Failure> {
        self.ask(Kind::SNAPSHOT, request, &wire::BareRequest { request }, None)
    }

    fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure> {
        self.ask(Kind::LOG_OUT, request, &wire::LogOut { request, ending }, None)
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        self.plugin.dispatcher.remove(self.id);
        self.plugin.tell(Kind::DROP_AGENT, self.id);
    }
}

impl std::fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agent({})", self.route.session)
    }
}
