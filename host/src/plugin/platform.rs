//! One tenant's platform on the other side.
//!
//! Owns: connecting it, logging agents in on it, and its end: when the last handle goes, the plugin is told to
//! disconnect. Must never: wait without a deadline.

use std::{
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

use super::{
    AgentHandle, AgentPort, AgentSink, LogInFuture, PlatformPort, PlatformSink, contract::InFlight, peer::Peer,
};

/// A tenant's platform. Cheap to clone.
#[derive(Clone)]
pub struct PlatformHandle {
    inner: Arc<Connected>,
}

/// A platform that the plugin has, or is just making.
struct Connected {
    peer: Arc<Peer>,
    id: u64,
    tenant: String,
    in_flight: Arc<InFlight>,
    gone: AtomicBool,
}

impl PlatformHandle {
    pub(super) async fn connect(
        peer: Arc<Peer>,
        tenant: Tenant,
        sink: Arc<dyn PlatformSink>,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let id = peer.new_id();
        peer.routes.add_platform(id, tenant.id.clone(), sink);
        // Made before the call, so that whatever ends it (a failure, the deadline, a caller who gives up) undoes it.
        let (in_flight, gone) = (Arc::default(), AtomicBool::new(false));
        let inner = Connected { peer, id, tenant: tenant.id.clone(), in_flight, gone };
        let connected = inner.peer.call(Kind::CONNECT, id, &wire::Connect { tenant }, deadline).await;
        if let Err(failure) = &connected {
            inner.peer.routes.failed("connect", &format!("tenant {}: {failure}", inner.tenant));
        }
        connected.map(|()| Self { inner: Arc::new(inner) })
    }

    /// Disconnects the tenant. After the deadline it is no longer waited for.
    pub async fn disconnect(&self, deadline: Duration) {
        let Connected { peer, id, tenant, gone, .. } = &*self.inner;
        if gone.swap(true, Relaxed) {
            return;
        }
        if let Err(failure) = peer.call(Kind::DISCONNECT, *id, &(), deadline).await {
            tracing::warn!(adapter = %peer.manifest().id, tenant, "disconnecting: {failure}");
        }
        peer.routes.remove(*id);
    }
}

impl PlatformPort for PlatformHandle {
    fn manifest(&self) -> &Arc<Manifest> {
        self.inner.peer.manifest()
    }

    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, deadline: Duration) -> LogInFuture {
        let handle = self.clone();
        Box::pin(async move {
            let Connected { peer, id: platform, tenant, in_flight, .. } = &*handle.inner;
            let (peer, platform, agent) = (Arc::clone(peer), *platform, peer.new_id());
            let session = login.session.clone();
            let route = peer.routes.add_agent(agent, Arc::clone(in_flight), tenant.clone(), session, sink);
            // Made before the call: dropping it undoes the log-in, however far it has come.
            let handle = AgentHandle::new(handle, Arc::clone(&peer), agent, route);
            peer.call(Kind::LOG_IN, agent, &wire::LogIn { platform, login }, deadline).await?;
            Ok(Box::new(handle) as Box<dyn AgentPort>)
        })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if !self.gone.swap(true, Relaxed) {
            self.peer.tell(Kind::DISCONNECT, self.id);
            self.peer.routes.remove(self.id);
        }
    }
}

impl std::fmt::Debug for PlatformHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Platform({} of {})", self.manifest().id, self.inner.tenant)
    }
}
