//! Sockets that the service manager has opened for the host (systemd's socket activation).
//!
//! Owns: which of them is whose, by its name: `desktops` and `operations` (`FileDescriptorName=`). Must never: serve one
//! whose name it does not know. They stay open while the host is started again, so no connection is refused meanwhile:
//! those that come wait for the next host.

use std::net::TcpListener;

use listenfd::ListenFd;

use crate::config::{self, Origin, Source};

/// The variable in which the sockets' names stand; its words are separated by colons.
const NAMES: &str = "LISTEN_FDNAMES";

/// The sockets that were passed.
#[derive(Debug, Default)]
pub(super) struct PassedSockets {
    pub(super) desktops: Option<TcpListener>,
    pub(super) operations: Option<TcpListener>,
}

impl PassedSockets {
    /// Takes them. Once, and before there are threads: the environment is changed, so that nobody takes them again.
    ///
    /// # Errors
    /// One is no TCP socket, or has a name that means nothing here, or another's.
    pub(super) fn take() -> Result<Self, String> {
        let mut passed = ListenFd::from_env();
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let name = names.next().unwrap_or(["desktops", "operations"][index.min(1)]);
            let socket = passed.take_tcp_listener(index).map_err(|error| format!("the socket {name}: {error}"))?;
            let place = match name {
                "desktops" => &mut sockets.desktops,
                "operations" => &mut sockets.operations,
                _ => return Err(format!("the socket {name} is passed; there are only desktops and operations")),
            };
            if place.is_some() {
                return Err(format!("two sockets are passed with the name {name}; there is one of each"));
            }
            *place = socket;
        }
        Ok(sockets)
    }

    /// The configuration with the addresses that the sockets have, which stand on top of all others: what depends on
    /// where the host listens is checked against where it really does. Beside it a sentence for each address that somebody
    /// has set and that does not count for that.
    ///
    /// # Errors
    /// The operating system does not say where one listens.
    pub(super) fn addressed(&self, source: &Source) -> Result<(Source, Vec<String>), String> {
        let (mut addressed, mut overruled) = (source.clone(), Vec::new());
        for (key, socket) in [("listener.address", &self.desktops), ("operations.address", &self.operations)] {
            let Some(socket) = socket else { continue };
            let address = socket.local_addr().map_err(|error| format!("{key}: {error}"))?;
            let address = format!("\"{address}\"");
            // What is wrong with the configuration is told when it is read.
            let set = config::explain(source, None).unwrap_or_default();
            let set = set.into_iter().find(|set| set.key == key && set.origin != Origin::Default);
            if let Some(value) = set.and_then(|set| set.value).filter(|value| *value != address) {
                overruled.push(format!("{key} = {value} does not count: the service manager listens on {address}"));
            }
            addressed.arguments.push((key.to_owned(), address));
        }
        Ok((addressed, overruled))
    }
}
