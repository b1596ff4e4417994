//! Sockets: where desktops and operators connect.
//!
//! Owns: listening, HTTP, the WebSocket upgrade, and the bounds on connections and on how slow a peer may be. Must
//! never: know anything of telephony; it checks who comes in and then carries texts between a socket and a session's
//! [`ClientConnection`](crate::session::ClientConnection). Bytes come from sockets; tenants come from [`Tenants`].
//!
//! ```text
//! stream.rs           a stream whose peer is given up when it does not send its request or does not read its answer
//! tls.rs              certificates, and the stream of a connection with TLS or without
//! peer.rs             the other end of a connection
//! client_address.rs   where a client is, behind proxies
//! unauthenticated.rs  the bound on connections of which no request was let in yet
//! refusals.rs         the log of requests that were not let in, and its bound
//! routes.rs           which address is whose: tenant and token are checked here, before anything else
//! handshake.rs        the WebSocket handshake, and the checks of a request's head
//! websocket.rs        one WebSocket connection, whatever it carries
//! desktop.rs          a desktop on a WebSocket
//! http.rs             commands and events over plain HTTP
//! tokens.rs           a short-lived token for one agent
//! response.rs         what a request is answered with
//! built_in.rs         files that were compiled in
//! console.rs          those of the console
//! schema.rs           those that describe the protocol
//! operations/         the operators' listener: metrics, health, lists, and what operators can do
//! ```

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt as _;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONNECTION, HeaderValue, TRANSFER_ENCODING},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jackfield_protocol::close::CloseCode;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    config::{ListenerConfig, OperationsConfig},
    failed_attempts::FailedAttempts,
    log_limit::LogLimit,
    metrics::Metrics,
    tenant::Tenants,
};

mod built_in;
mod client_address;
mod console;
mod desktop;
mod handshake;
mod http;
mod operations;
mod peer;
mod refusals;
mod response;
mod routes;
mod schema;
mod stream;
mod tls;
mod tokens;
mod unauthenticated;
pub mod websocket;

pub(crate) use operations::Operations;

use peer::Peer;
use refusals::Refusals;
use response::Body;
use stream::{ConnectionPhase, RequestTimeouts, TimeoutStream};
use tls::{Tls, Transport};
use unauthenticated::UnauthenticatedConnections;

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// The most lines in it.
const MAX_HEADERS: usize = 64;
/// So many wrong tokens may come from one network at once, then one each pause.
const WRONG_TOKENS: u32 = 30;
const WRONG_TOKENS_PAUSE: Duration = Duration::from_secs(1);
/// Connections to the operators' listener.
const OPERATIONS_CONNECTIONS: usize = 64;
/// The pause after a failed accept: usually there are no file descriptors left, and some are about to be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many milliseconds what was sent to a peer may stay unconfirmed before its connection is given up. To a client that
/// stays connected something is sent every 20 s, so one that has vanished is noticed within a minute.
const UNCONFIRMED: u32 = 40_000;
/// How long a connection that was given up for another one may take to go.
const GIVE_UP: Duration = Duration::from_millis(100);
/// What a connection is answered for which there is no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// How long operators' connections may take. One is kept for longer than the usual time between two scrapes, a minute, so
/// that it is not closed just when the next is sent; where there is no room it makes some.
const OPERATIONS: RequestTimeouts = RequestTimeouts { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

/// What all connections of desktops share.
#[derive(Debug)]
pub(crate) struct Desktops {
    /// Where they come from and what is allowed.
    pub config: ListenerConfig,
    /// Who they come to.
    pub tenants: Arc<Tenants>,
    /// What is counted.
    pub metrics: Metrics,
    /// True once the host is shutting down and the sessions have been ended.
    pub closing: watch::Receiver<bool>,
    refusals: Refusals,
    /// Wrong tokens, by network.
    wrong_tokens: FailedAttempts<IpAddr>,
}

impl Desktops {
    /// `config`: as it is for the listener. `closing`: see the field.
    #[must_use]
    pub(crate) fn new(
        config: ListenerConfig,
        tenants: Arc<Tenants>,
        metrics: Metrics,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            config,
            tenants,
            metrics,
            closing,
            refusals: Refusals::new(),
            wrong_tokens: FailedAttempts::new(WRONG_TOKENS, WRONG_TOKENS_PAUSE),
        }
    }
}

/// A listener and its connections.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    room: Arc<Semaphore>,
    size: usize,
    timeouts: RequestTimeouts,
    tls: Option<Arc<Tls>>,
    /// The bound on connections of which no request was let in; `None`: there is none of its own.
    unauthenticated: Option<Arc<UnauthenticatedConnections>>,
    /// Whether a new connection takes the place of the one that has owed a request for longest, when there is no room.
    replaces_idle: bool,
    closing: watch::Receiver<bool>,
}

impl Listener {
    /// Listens for desktops, `most` of them at the same time, on the socket that is given or else at its address.
    ///
    /// # Errors
    /// The address cannot be had, or a certificate cannot be used.
    pub(crate) async fn desktops(
        config: &ListenerConfig,
        socket: Option<std::net::TcpListener>,
        most: usize,
        closing: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let timeouts = RequestTimeouts { head: config.header_timeout, idle: config.idle_timeout };
        let tls = config.tls.as_ref().map(Tls::new).transpose()?;
        let unauthenticated = Some(UnauthenticatedConnections::new(most, config.trusted_proxies.clone()));
        let socket = listening(socket, config.address).await?;
        Ok(Self { tls, unauthenticated, ..Self::new(socket, most, timeouts, closing) })
    }

    /// Listens for operators, on the socket that is given or else at an address.
    ///
    /// # Errors
    /// The address cannot be had, or a certificate cannot be used.
    pub(crate) async fn operations(
        config: &OperationsConfig,
        socket: Option<std::net::TcpListener>,
        closing: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let tls = config.tls.as_ref().map(Tls::new).transpose()?;
        let socket = listening(socket, config.address).await?;
        let listener = Self::new(socket, OPERATIONS_CONNECTIONS, OPERATIONS, closing);
        Ok(Self { tls, replaces_idle: true, ..listener })
    }

    fn new(socket: TcpListener, size: usize, timeouts: RequestTimeouts, closing: watch::Receiver<bool>) -> Self {
        let size = size.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let room = Arc::new(Semaphore::new(size));
        Self { socket, room, size, timeouts, tls: None, unauthenticated: None, replaces_idle: false, closing }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves desktops until `stop`; then waits until all connections are gone.
    pub(crate) async fn serve_desktops(self, desktops: Arc<Desktops>, stop: impl Future<Output = ()>) {
        let metrics = desktops.metrics.clone();
        let answer = move |request, peer: Peer| {
            let desktops = Arc::clone(&desktops);
            async move { routes::answer(&desktops, request, peer).await }
        };
        self.serve(answer, &metrics, stop).await;
    }

    /// Serves operators until `stop`; then waits as [`Self::serve_desktops`] does.
    pub(crate) async fn serve_operations(self, operations: Arc<Operations>, stop: impl Future<Output = ()>) {
        let metrics = operations.metrics.clone();
        let answer = move |request: Request<Incoming>, peer: Peer| {
            let operations = Arc::clone(&operations);
            async move { operations.answer(&request, peer.address).await }
        };
        self.serve(answer, &metrics, stop).await;
    }

    async fn serve<A, F>(self, answer: A, metrics: &Metrics, stop: impl Future<Output = ()>)
    where
        A: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut stop = pin!(stop);
        let failures = LogLimit::per_minute(1);
        let mut phases = Vec::new();
        // Ends with this.
        let mut beside = JoinSet::new();
        beside.extend(self.tls.clone().map(|tls| tls.follow(metrics.clone())));
        loop {
            let accepted = tokio::select! {
                // Looked at first: once it has come, nobody who waits already is let in.
                biased;
                () = stop.as_mut() => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(left_out) = failures.pass() {
                        tracing::warn!(%error, left_out, "a connection cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let phase = ConnectionPhase::new();
            if self.replaces_idle {
                phases.retain(|phase: &Weak<ConnectionPhase>| phase.strong_count() > 0);
                self.make_room(&phases).await;
                phases.push(Arc::downgrade(&phase));
            }
            match self.admit(address) {
                Ok(peer) => self.begin(stream, phase, peer, answer.clone()),
                Err(bound) => {
                    metrics.connection_refused(bound);
                    // Best effort: a peer that cannot take these few bytes at once, or expects TLS, sees it close.
                    if self.tls.is_none() {
                        let _ = stream.try_write(NO_ROOM);
                    }
                }
            }
        }
        drop(self.socket);
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        // Never closed, so there is nothing that could go wrong.
        let _ = self.room.acquire_many(all).await;
    }

    /// Lets a connection in from an address.
    ///
    /// # Errors
    /// The bound that is reached, in a word for the metrics.
    fn admit(&self, address: SocketAddr) -> Result<Peer, &'static str> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| "total")?;
        let slot = self.unauthenticated.as_ref().map(|all| all.admit(address.ip()).ok_or("unauthenticated"));
        Ok(Peer::new(address, room, slot.transpose()?))
    }

    /// Serves one connection in a task of its own.
    fn begin<A, F>(&self, stream: TcpStream, phase: Arc<ConnectionPhase>, peer: Peer, answer: A)
    where
        A: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (tls, timeouts, closing) = (self.tls.clone(), self.timeouts, self.closing.clone());
        tokio::spawn(async move {
            let stream = tokio::select! {
                stream = prepared(stream, tls, timeouts) => stream,
                () = phase.given_up() => None,
            };
            if let Some(stream) = stream {
                let stream = TimeoutStream::new(stream, timeouts, Arc::clone(&phase));
                Self::connection(stream, phase, peer, answer, closing).await;
            }
        });
    }

    /// Ends the connection that has owed a request for longest, if there is no room for another one. So whoever only
    /// connects cannot keep out whoever asks.
    async fn make_room(&self, phases: &[Weak<ConnectionPhase>]) {
        if self.room.available_permits() > 0 {
            return;
        }
        let phases = phases.iter().filter_map(Weak::upgrade);
        let oldest = phases.filter_map(|phase| Some((phase.waits_since()?, phase))).min_by_key(|(since, _)| *since);
        if oldest.is_some_and(|(_, phase)| phase.give_up()) {
            // Given back at once: it is the connection's own that is waited for.
            let _ = timeout(GIVE_UP, self.room.acquire()).await;
        }
    }

    /// One connection, up to its end or its upgrade.
    async fn connection<A, F>(
        stream: TimeoutStream<Transport>,
        phase: Arc<ConnectionPhase>,
        peer: Peer,
        answer: A,
        mut closing: watch::Receiver<bool>,
    ) where
        A: Fn(Request<Incoming>, Peer) -> F,
        F: Future<Output = Response<Body>>,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let answering = phase.answering();
            // Of a chunked request the library may have hidden a length that a proxy in front went by: what follows the
            // body on this connection may be its client's invention.
            let is_last = request.headers().contains_key(TRANSFER_ENCODING);
            let answered = answer(request, peer.clone());
            async move {
                let mut response = answered.await;
                response.body_mut().keep(answering);
                if is_last {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        // How long a head may take is the stream's affair: for hyper, the pause before a request is a part of its head.
        let connection = hyper::server::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
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

/// The socket that is given, or one that listens at an address.
async fn listening(socket: Option<std::net::TcpListener>, address: SocketAddr) -> io::Result<TcpListener> {
    let Some(socket) = socket else { return TcpListener::bind(address).await };
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Makes a new connection what it should be; `None`: it does not speak TLS where it should.
async fn prepared(stream: TcpStream, tls: Option<Arc<Tls>>, timeouts: RequestTimeouts) -> Option<Transport> {
    // Small messages must not wait for each other; if that cannot be had, they do.
    let _ = stream.set_nodelay(true);
    // Where this cannot be had, the system's own patience of a quarter of an hour is left.
    let _ = set_tcp_user_timeout(&stream, UNCONFIRMED);
    let Some(tls) = tls else { return Some(Transport::Plain(stream)) };
    match timeout(timeouts.head, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, "a connection does not speak TLS as it should"),
        Err(_) => tracing::debug!("a connection takes too long over the TLS handshake"),
    }
    None
}

/// A session's close code as a word for the metrics.
const fn closed_by_session(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Normal => "session_over",
        CloseCode::GoingAway => "shutdown",
        CloseCode::TakenOver => "taken_over",
        CloseCode::TooSlow => "slow",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
