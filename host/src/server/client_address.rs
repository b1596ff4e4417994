//! Where a client really is, behind the proxies in front of the host.
//!
//! Owns: which of the addresses in `X-Forwarded-For` is believed. Must never: believe one that no trusted proxy has
//! written, for whoever could choose his address could choose whom he is taken for.

use std::net::{IpAddr, SocketAddr};

use hyper::{HeaderMap, header::HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of a client. Each proxy writes whom it was asked by behind what stands there, so the list is read from its
/// end for as long as it was written by a trusted one.
pub(super) fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.ip().to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut written =
        lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')).map(|entry| address(entry.trim()));
    while is_trusted(client, trusted)
        && let Some(Some(before)) = written.next()
    {
        client = before.to_canonical();
    }
    client
}

/// Whether an address is that of a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// An entry of the list: an address, with a port or without.
fn address(entry: &str) -> Option<IpAddr> {
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    entry.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The client's address, of a request from an address with these lines.
    fn client(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()];
        client_address(SocketAddr::new(peer.parse().unwrap(), 5), &headers, &trusted).to_string()
    }

    #[test]
    fn what_a_trusted_proxy_has_written_is_believed() {
        assert_eq!(client("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1", "a socket for both families");
        assert_eq!(client("10.0.0.1", &["192.0.2.1, 10.0.0.2"]), "192.0.2.1", "two proxies");
        assert_eq!(client("10.0.0.1", &["192.0.2.1", "2001:db8::1"]), "192.0.2.1", "on two lines");
        assert_eq!(client("10.0.0.1", &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::5]:4711"]), "2001:db8::5");
    }

    #[test]
    fn what_anybody_else_has_written_is_not() {
        assert_eq!(client("192.0.2.9", &["192.0.2.1"]), "192.0.2.9", "no proxy of ours");
        assert_eq!(client("10.0.0.1", &["127.0.0.1, 192.0.2.1"]), "192.0.2.1", "the client wrote the first");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1, \u{e4}"]), "10.0.0.1");
    }
}
