//! The other end of a connection, as its requests see it.
//!
//! Owns: where it is, and for whom the connection counts. Must never: read or write the connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::unauthenticated::UnauthenticatedSlot;
use crate::tenant::{Connection, HostedTenant};

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Where it really is; another address where a trusted proxy has said so.
    pub(super) client: IpAddr,
    /// Room for the connection; kept by all that is part of it.
    _room: Arc<OwnedSemaphorePermit>,
    /// For whom it counts.
    holder: Arc<Mutex<Holder>>,
}

/// For whom a connection counts.
#[derive(Debug)]
enum Holder {
    /// For nobody: it is an operator's, or counts as the WebSocket that it has become.
    Nobody,
    /// No request was let in yet.
    Unauthenticated { _slot: UnauthenticatedSlot },
    /// For the tenant whose request was let in last.
    Tenant(Connection),
}

impl Peer {
    /// The peer at an address. `room`: its room among all connections; `slot`: its place among those of which no request
    /// was let in.
    pub(super) fn new(address: SocketAddr, room: OwnedSemaphorePermit, slot: Option<UnauthenticatedSlot>) -> Self {
        let holder = slot.map_or(Holder::Nobody, |slot| Holder::Unauthenticated { _slot: slot });
        let client = address.ip().to_canonical();
        Self { address, client, _room: Arc::new(room), holder: Arc::new(Mutex::new(holder)) }
    }

    /// A request of this tenant was let in: the connection is the tenant's from now on. False: the tenant has as many as it
    /// may have.
    #[must_use]
    pub(super) fn belongs_to(&self, tenant: &Arc<HostedTenant>) -> bool {
        let mut holder = self.holder.lock();
        if !matches!(&*holder, Holder::Tenant(connection) if connection.is_of(tenant)) {
            let Some(connection) = tenant.connection() else { return false };
            *holder = Holder::Tenant(connection);
        }
        true
    }

    /// The connection goes on as something else, which counts from now on.
    pub(super) fn take_connection(&self) -> Option<Connection> {
        match std::mem::replace(&mut *self.holder.lock(), Holder::Nobody) {
            Holder::Tenant(connection) => Some(connection),
            Holder::Nobody | Holder::Unauthenticated { .. } => None,
        }
    }

    pub(super) fn is_unauthenticated(&self) -> bool {
        matches!(*self.holder.lock(), Holder::Unauthenticated { .. })
    }
}
