//! One tenant's platform on the other side.
//!
//! Owns: connecting it, logging agents in on it, and its end: when the last handle goes, the plugin is told to
//! disconnect. Must never: wait without a deadline.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use jackfield_plugin_api::{
    Failure, Login, Manifest, Tenant,
    wire::{self, Kind},
};

use super::{AgentHandle, AgentPort, AgentSink, PlatformSink, contract::InFlight, running::RunningPlugin};

/// A log-in under way. Dropping it undoes the log-in, however far it has come.
pub type LogInFuture = Pin<Box<dyn Future<Output = Result<Box<dyn AgentPort>, Failure>> + Send>>;

/// A tenant's platform, as its sessions need it: a [`PlatformHandle`], or that of a test.
pub trait PlatformPort: Send + Sync + 'static {
    /// What the adapter says of itself.
    fn manifest(&self) -> &Arc<Manifest>;
    /// Logs an agent in. What is reported for it, and what answers its requests, goes to the sink.
    ///
    /// # Errors
    /// The future's: what the adapter says, `timeout` after the deadline, `adapter_failed`.
    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> LogInFuture;
}

/// The platform of a plugin. Cheap to clone.
#[derive(Clone)]
pub struct PlatformHandle {
    inner: Arc<Connected>,
}

/// A platform that the plugin has, or is just making.
struct Connected {
    plugin: Arc<RunningPlugin>,
    id: u64,
    tenant: String,
    in_flight: Arc<InFlight>,
    gone: AtomicBool,
}

impl PlatformHandle {
    pub(super) async fn connect(
        plugin: Arc<RunningPlugin>,
        tenant: Tenant,
        sink: Arc<dyn PlatformSink>,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let id = plugin.new_id();
        plugin.dispatcher.add_platform(id, tenant.id.clone(), sink);
        // Made before the call, so that whatever ends it (a failure, the deadline, a caller who gives up) undoes it.
        let (in_flight, gone) = (Arc::default(), AtomicBool::new(false));
        let inner = Connected { plugin, id, tenant: tenant.id.clone(), in_flight, gone };
        let connected = inner.plugin.call(Kind::CONNECT, id, &wire::Connect { tenant }, deadline).await;
        if let Err(failure) = &connected {
            inner.plugin.dispatcher.failed("connect", &format!("tenant {}: {failure}", inner.tenant));
        }
        connected.map(|()| Self { inner: Arc::new(inner) })
    }

    /// Disconnects the tenant. After the deadline it is no longer waited for.
    pub async fn disconnect(&self, deadline: Duration) {
        let Connected { plugin, id, tenant, gone, .. } = &*self.inner;
        if gone.swap(true, Relaxed) {
            return;
        }
        if let Err(failure) = plugin.call(Kind::DISCONNECT, *id, &(), deadline).await {
            tracing::warn!(adapter = %plugin.manifest().id, tenant, "disconnecting: {failure}");
        }
        plugin.dispatcher.remove(*id);
    }
}

impl PlatformPort for PlatformHandle {
    fn manifest(&self) -> &Arc<Manifest> {
        self.inner.plugin.manifest()
    }

    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> LogInFuture {
        let connected = Arc::clone(&self.inner);
        Box::pin(async move {
            let Connected { plugin, id: platform, tenant, in_flight, .. } = &*connected;
            let (plugin, platform, agent) = (Arc::clone(plugin), *platform, plugin.new_id());
            let session = login.session.clone();
            let route = plugin.dispatcher.add_agent(agent, Arc::clone(in_flight), tenant.clone(), session, sink);
            // Made before the call: dropping it undoes the log-in, however far it has come.
            let handle = AgentHandle::new(connected, Arc::clone(&plugin), agent, route);
            plugin.call(Kind::LOG_IN, agent, &wire::LogIn { platform, login }, deadline).await?;
            Ok(Box::new(handle) as Box<dyn AgentPort>)
        })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if !self.gone.swap(true, Relaxed) {
            self.plugin.tell(Kind::DISCONNECT, self.id);
            self.plugin.dispatcher.remove(self.id);
        }
    }
}

impl std::fmt::Debug for PlatformHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Platform({} of {})", self.manifest().id, self.inner.tenant)
    }
}
