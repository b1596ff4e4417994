//! The bound on connections of which no request was let in yet.
//!
//! Owns: how many of them there may be, and of one address. Must never: count a connection of which a request was let in:
//! from then on it is its tenant's. So clients that only connect, and send nothing or something wrong, take a part of
//! the room and leave the rest to desktops.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use parking_lot::Mutex;

use super::client_address::is_trusted;
use crate::failed_attempts::network;

/// One of so many connections may be unauthenticated, and of those one of so many from one address.
const SHARE: usize = 2;

#[derive(Debug)]
pub(super) struct UnauthenticatedConnections {
    most: usize,
    of_one: usize,
    /// Each brings many clients by one address.
    proxies: Vec<IpNet>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// Room for one; freed when it is dropped.
#[derive(Debug)]
pub(super) struct UnauthenticatedSlot {
    connections: Arc<UnauthenticatedConnections>,
    network: IpAddr,
}

impl UnauthenticatedConnections {
    /// `all`: how many connections there may be, authenticated or not. `proxies`: addresses with no bound of their own.
    pub(super) fn new(all: usize, proxies: Vec<IpNet>) -> Arc<Self> {
        let most = (all / SHARE).max(1);
        Arc::new(Self { most, of_one: (most / SHARE).max(1), proxies, now: Mutex::default() })
    }

    /// Room for a connection from this address; `None`: there are as many as there may be.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<UnauthenticatedSlot> {
        let of_one = if is_trusted(address, &self.proxies) { self.most } else { self.of_one };
        let network = network(address);
        let mut now = self.now.lock();
        let of_it = now.by_network.get(&network).copied().unwrap_or_default();
        if now.all >= self.most || of_it >= of_one {
            return None;
        }
        now.all += 1;
        now.by_network.insert(network, of_it + 1);
        Some(UnauthenticatedSlot { connections: Arc::clone(self), network })
    }
}

impl Drop for UnauthenticatedSlot {
    fn drop(&mut self) {
        let mut now = self.connections.now.lock();
        now.all -= 1;
        if let Some(of_it) = now.by_network.get_mut(&self.network) {
            *of_it -= 1;
            if *of_it == 0 {
                now.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_address_takes_half_of_what_the_unauthenticated_may_have_and_they_half_of_all() {
        let connections = UnauthenticatedConnections::new(32, Vec::new());
        let from = |address: &str| connections.admit(address.parse().unwrap());
        let mut held: Vec<_> = (0..10).filter_map(|_| from("192.0.2.1")).collect();
        assert_eq!(held.len(), 8);
        // The same network, and one that is written as IPv6.
        held.extend((0..10).filter_map(|at| from(&format!("2001:db8::{at}"))));
        assert_eq!(held.len(), 16);
        assert!(from("198.51.100.1").is_none(), "the other half is for those who are let in");
        held.pop();
        assert!(from("::ffff:192.0.2.1").is_none(), "the first address, written as IPv6");
        assert!(from("198.51.100.1").is_some());
        drop(held);
        assert!(from("192.0.2.1").is_some());
        assert!(connections.now.lock().by_network.is_empty(), "nothing is kept of who is gone");
    }

    #[test]
    fn a_proxy_brings_many_clients_by_one_address() {
        let connections = UnauthenticatedConnections::new(32, vec!["10.0.0.0/8".parse().unwrap()]);
        let held: Vec<_> = (0..20).filter_map(|_| connections.admit("10.0.0.1".parse().unwrap())).collect();
        assert_eq!(held.len(), 16, "all that may be unauthenticated");
    }
}
