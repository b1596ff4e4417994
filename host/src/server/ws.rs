//! One WebSocket connection, from the upgrade to its end.
//!
//! Owns: frames, pings, close codes, and how much is written at once. Must never: know what a message means (the
//! [`ClientConnection`] takes it as text), or wait for a client that does not read: its queue is bounded, and full means
//! the end.
//!
//! One wake-up takes what is ready on either side, feeds all of it and flushes once.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::coop::unconstrained,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::{CapacityError, ProtocolError},
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    socket::{Came, Socket},
    wire::Wire,
};
use crate::{
    metrics::Metrics,
    session::{ClientConnection, Outlet, Taken},
    tenant::Connection,
};

const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
const BIND_WITHIN: Duration = Duration::from_secs(30);
/// How long a closing connection waits for the client to read what is left and to close as well.
const LINGER: Duration = Duration::from_secs(5);
/// The same for a client that has not been reading.
const LINGER_SLOW: Duration = Duration::from_secs(15);
/// Frames that one wake-up takes from a client.
const TAKEN_AT_ONCE: usize = 32;
/// Bytes that one wake-up feeds before it flushes.
const FED_AT_ONCE: usize = 64 * 1024;

/// Why a connection ends.
struct End {
    /// The close code and reason, unless the client is gone or has closed by itself.
    close: Option<(u16, &'static str)>,
    /// For the metrics: one of few words.
    why: &'static str,
}

impl End {
    const fn close(code: u16, reason: &'static str, why: &'static str) -> Self {
        Self { close: Some((code, reason)), why }
    }

    const fn gone(why: &'static str) -> Self {
        Self { close: None, why }
    }

    #[cold]
    fn of_error(error: &Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Self::close(1009, "the message is too large", "too_large")
            }
            Error::Capacity(_) => Self::close(1009, "too large", "too_large"),
            Error::Utf8(_) => Self::close(1007, "the text is not UTF-8", "not_utf8"),
            // How most clients go: without a word.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::gone("lost"),
            Error::Protocol(_) | Error::AttackAttempt => Self::close(1002, "not WebSocket", "protocol_error"),
            _ => Self::gone("lost"),
        }
    }
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) stream: TcpStream,
    /// What the client sent right behind its handshake.
    pub(super) early: Bytes,
    pub(super) client: ClientConnection,
    pub(super) outlet: Outlet,
    pub(super) connection: Connection,
    pub(super) metrics: Metrics,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) max_message: usize,
}

/// Serves a connection until it ends.
pub(super) async fn serve(parts: Parts) {
    let Parts { stream, early, client, mut outlet, connection, metrics, closing, max_message } = parts;
    outlet.will_work();
    let socket = Socket::new(Wire::new(stream, &early), max_message).await;
    let mut link = Link { socket, unflushed: false, failed: false, last_sign: Instant::now() };
    let end = link.work(client, &mut outlet, &connection, closing).await;
    // The queue and the tenant's room are free before the last words are said.
    drop(outlet);
    drop(connection);
    metrics.connection_closed(end.why);
    // Boxed: it is needed once, and its buffers should not be a part of every idle connection.
    Box::pin(link.finish(end)).await;
}

/// What a connection must look up from reading and writing for.
enum Wake {
    End(End),
    Clock,
    Closing,
}

struct Link {
    socket: Socket,
    /// Something was fed and is not flushed yet.
    unflushed: bool,
    /// Reading has failed: the socket is good for last words only.
    failed: bool,
    last_sign: Instant,
}

impl Link {
    async fn work(
        &mut self,
        mut client: ClientConnection,
        outlet: &mut Outlet,
        connection: &Connection,
        mut closing: watch::Receiver<bool>,
    ) -> End {
        let begun = Instant::now();
        let mut bind_by = Some(begun + BIND_WITHIN);
        let mut next_ping = begun + PING_EVERY;
        let mut clock = pin!(sleep_until(begun + PING_EVERY.min(BIND_WITHIN)));
        let closed = closing.clone();
        let mut shutdown = pin!(closing.wait_for(|closing| *closing).map(drop));
        // Both have noted whom to wake, and need no more than a look. Noted outside of the task's turn: where that is used
        // up, nothing is noted.
        let mut noted = false;
        loop {
            let wake = poll_fn(|cx| {
                if let Poll::Ready(end) = self.poll_traffic(cx, &mut client, outlet, connection) {
                    return Poll::Ready(Wake::End(end));
                }
                if (!noted || clock.is_elapsed()) && unconstrained(clock.as_mut()).poll_unpin(cx).is_ready() {
                    noted = false;
                    return Poll::Ready(Wake::Clock);
                }
                if (!noted || !matches!(closed.has_changed(), Ok(false)))
                    && unconstrained(shutdown.as_mut()).poll_unpin(cx).is_ready()
                {
                    return Poll::Ready(Wake::Closing);
                }
                noted = true;
                Poll::Pending
            });
            match wake.await {
                Wake::End(end) => return end,
                Wake::Closing => {
                    client.work(false);
                    let wire = self.socket.wire();
                    let fed = outlet.take(FED_AT_ONCE, |text| wire.put_text(text));
                    if let Some(end) = self.has_fed(fed) {
                        return end;
                    }
                    return End::close(1001, "the host is shutting down", "shutdown");
                }
                Wake::Clock => {
                    let now = Instant::now();
                    if now.duration_since(self.last_sign) >= SILENCE {
                        return End::close(1001, "no sign of life", "silent");
                    }
                    if bind_by.is_some_and(|by| now >= by) {
                        if !client.is_bound() {
                            return End::close(4002, "no prepareSession or bindSession in time", "unbound");
                        }
                        bind_by = None;
                    }
                    if now >= next_ping {
                        next_ping = now + PING_EVERY;
                        self.socket.wire().put_ping();
                        self.unflushed = true;
                    }
                    clock.as_mut().reset(bind_by.map_or(next_ping, |by| by.min(next_ping)));
                }
            }
        }
    }

    /// Reads what has come and writes what waits, until there is nothing to do on either side; ready: the end.
    fn poll_traffic(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut ClientConnection,
        outlet: &mut Outlet,
        connection: &Connection,
    ) -> Poll<End> {
        loop {
            let more = match self.poll_take(cx, client, outlet, connection) {
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            client.work(!self.unflushed);
            if let Poll::Ready(end) = self.poll_write(cx, outlet) {
                return Poll::Ready(end);
            }
            // Whatever comes after this look wakes the task; what has come before has its turn behind the others.
            if client.has_work() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // A client that does not read its answers is not read from either; it is when it has read.
            if !more || outlet.is_busy() && self.unflushed {
                return Poll::Pending;
            }
        }
    }

    /// Hands on what the client has sent. Ready: there may be more.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut ClientConnection,
        outlet: &Outlet,
        connection: &Connection,
    ) -> Poll<Result<(), End>> {
        let (mut taken, mut now) = (0, None);
        // Before the next one is fetched: one that is fetched must be handed on.
        while taken < TAKEN_AT_ONCE && !outlet.is_busy() {
            let came = ready!(self.socket.poll_next(cx, |text| {
                client.receive(text, *now.get_or_insert_with(Instant::now));
                taken += 1;
                taken < TAKEN_AT_ONCE && !outlet.is_busy()
            }));
            self.last_sign = *now.get_or_insert_with(Instant::now);
            let Came::Other(message) = came else { continue };
            taken += 1;
            match message {
                Some(Ok(Message::Binary(_))) => {
                    connection.tenant().metrics().bad_message();
                    return Poll::Ready(Err(End::close(1003, "messages are text", "binary")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.failed = true;
                    let end = End::of_error(&error);
                    if end.close.is_some() {
                        connection.tenant().metrics().bad_message();
                    }
                    return Poll::Ready(Err(end));
                }
                None => return Poll::Ready(Err(End::gone("client"))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits; pending: it is written, or cannot be written now. One flush carries what has come together.
    fn poll_write(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet) -> Poll<End> {
        loop {
            if self.unflushed {
                // What the library has to write of its own it writes when it reads.
                match Pin::new(self.socket.wire()).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "a connection cannot be written to");
                        return Poll::Ready(End::gone("lost"));
                    }
                    Poll::Pending => {
                        outlet.wake_later(cx);
                        // After an overflow there is nothing in the queue but its closing.
                        let Some((code, reason)) = outlet.try_close() else { return Poll::Pending };
                        return Poll::Ready(End::close(code.0, reason, why(code.0)));
                    }
                }
            }
            // As far as one flush should carry. The session writes JSON, which is UTF-8.
            let wire = self.socket.wire();
            let fed = ready!(outlet.poll_take(cx, FED_AT_ONCE, |text| wire.put_text(text)));
            if let Some(end) = self.has_fed(fed) {
                return Poll::Ready(end);
            }
        }
    }

    /// Something that waits to be written was fed.
    fn has_fed(&mut self, fed: Taken) -> Option<End> {
        self.unflushed |= fed.bytes > 0;
        let (code, reason) = fed.close?;
        Some(End::close(code.0, reason, why(code.0)))
    }

    /// Says the last words and waits a little for the client to take them.
    async fn finish(self, end: End) {
        let Some((code, reason)) = end.close else { return };
        let mut socket = self.socket.into_library();
        let linger = if code == 4008 { LINGER_SLOW } else { LINGER };
        let _ = timeout(linger, async {
            let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static(reason) };
            if socket.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            if !self.failed {
                while let Some(Ok(_)) = socket.next().await {}
            }
            // Closing with something unread would reset the connection, and the client might not see the code.
            let stream = socket.get_mut();
            if stream.shutdown().await.is_ok() {
                let mut rest = [0; 1024];
                while matches!(stream.read(&mut rest).await, Ok(1..)) {}
            }
        })
        .await;
    }
}

/// A session's close code as a word for the metrics.
const fn why(code: u16) -> &'static str {
    match code {
        1001 => "shutdown",
        4001 => "taken_over",
        4008 => "slow",
        _ => "other",
    }
}
