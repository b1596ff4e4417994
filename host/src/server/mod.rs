//! Sockets: where desktops and operators connect.
//!
//! Owns: listening, HTTP, the WebSocket upgrade, and the bounds on connections and on how slow a peer may be. Must
//! never: know anything of telephony; it checks who comes in and then carries texts between a socket and a session's
//! [`ClientConnection`](crate::session::ClientConnection). Bytes come from sockets; tenants come from [`Tenants`].
//!
//! ```text
//! io_guard.rs    a stream whose writes fail in the end when the peer does not read
//! routes.rs      which address is whose: tenant and token are checked here, before anything else
//! handshake.rs   what a request's head says
//! console.rs     the files of the console
//! desktop.rs     a desktop on a WebSocket
//! websocket.rs   one WebSocket connection, whatever it carries
//! http.rs        commands and events over plain HTTP
//! operations.rs  the operators' listener: metrics, health, lists, and what operators can do
//! ```

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{config::ListenerConfig, metrics::Metrics, tenant::Tenants};

mod console;
mod desktop;
mod handshake;
mod http;
mod io_guard;
mod operations;
mod routes;
mod tokens;
pub mod websocket;

pub use operations::Operations;

use http::Body;
use io_guard::Guarded;

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// The most lines in it.
const MAX_HEADERS: usize = 64;
/// Connections to the operators' listener.
const OPERATIONS_CONNECTIONS: usize = 64;
/// The pause after a failed accept: usually there are no file descriptors left, and some are about to be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections of desktops share.
#[derive(Debug)]
pub struct Desktops {
    /// Where they come from and what is allowed.
    pub config: ListenerConfig,
    /// Who they come to.
    pub tenants: Arc<Tenants>,
    /// What is counted.
    pub metrics: Metrics,
    /// True once the host is shutting down and the sessions have been ended.
    pub closing: watch::Receiver<bool>,
}

/// A listener and its connections.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    room: Arc<Semaphore>,
    size: usize,
    header_timeout: Duration,
    closing: watch::Receiver<bool>,
}

/// Room for one connection; shared by all that are part of it.
type Room = Arc<OwnedSemaphorePermit>;

impl Listener {
    /// Listens for desktops.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn desktops(config: &ListenerConfig, closing: watch::Receiver<bool>) -> io::Result<Self> {
        Self::new(config.address, config.max_connections, config.header_timeout, closing).await
    }

    /// Listens for operators.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn operations(address: SocketAddr, closing: watch::Receiver<bool>) -> io::Result<Self> {
        Self::new(address, OPERATIONS_CONNECTIONS, Duration::from_secs(10), closing).await
    }

    async fn new(
        address: SocketAddr,
        size: usize,
        header_timeout: Duration,
        closing: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let size = size.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Ok(Self { socket, room: Arc::new(Semaphore::new(size)), size, header_timeout, closing })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves desktops until `stop`; then waits until all connections are gone.
    pub async fn serve_desktops(self, desktops: Arc<Desktops>, stop: impl Future<Output = ()>) {
        let metrics = desktops.metrics.clone();
        let answer = move |request, room: Room| {
            let desktops = Arc::clone(&desktops);
            async move { routes::answer(&desktops, request, room).await }
        };
        self.serve(answer, &metrics, stop).await;
    }

    /// Serves operators until `stop`; then waits as [`Self::serve_desktops`] does.
    pub async fn serve_operations(self, operations: Arc<Operations>, stop: impl Future<Output = ()>) {
        let metrics = operations.metrics.clone();
        let answer = move |request: Request<Incoming>, _| {
            let operations = Arc::clone(&operations);
            async move { operations.answer(&request).await }
        };
        self.serve(answer, &metrics, stop).await;
    }

    async fn serve<A, F>(self, answer: A, metrics: &Metrics, stop: impl Future<Output = ()>)
    where
        A: Fn(Request<Incoming>, Room) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.as_mut() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&self.room).try_acquire_owned() {
                Ok(room) => {
                    let connection = Self::connection(
                        stream,
                        Arc::new(room),
                        answer.clone(),
                        self.header_timeout,
                        self.closing.clone(),
                    );
                    tokio::spawn(connection);
                }
                Err(_) => {
                    metrics.connection_refused("total");
                    // Best effort: whoever cannot take these few bytes at once sees the connection close.
                    let _ = stream.try_write(
                        b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                    );
                }
            }
        }
        drop(self.socket);
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        // Never closed, so there is nothing that could go wrong.
        let _ = self.room.acquire_many(all).await;
    }

    /// One connection, up to its end or its upgrade.
    async fn connection<A, F>(
        stream: TcpStream,
        room: Room,
        answer: A,
        header_timeout: Duration,
        mut closing: watch::Receiver<bool>,
    ) where
        A: Fn(Request<Incoming>, Room) -> F,
        F: Future<Output = Response<Body>>,
    {
        // Small messages must not wait for each other; if that cannot be had, they do.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| {
            let answered = answer(request, Arc::clone(&room));
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Guarded::new(stream)), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = closing.wait_for(|closing| *closing).map(drop) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended early");
        }
    }
}

/// A session's close code as a word for the metrics.
const fn closed_by_session(code: u16) -> &'static str {
    match code {
        1000 => "session_over",
        1001 => "shutdown",
        4001 => "taken_over",
        4008 => "slow",
        _ => "other",
    }
}

/// A text as a response's body.
fn text(text: impl Into<Bytes>) -> Body {
    Body::whole(text.into())
}

#[cfg(test)]
mod tests;
