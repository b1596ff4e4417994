//! One WebSocket connection, from the upgrade to its end.
//!
//! Owns: frames, pings, close codes, and how much is written at once. Must never: know what a message means (a [`Desk`]
//! takes it as text), or wait for a client that does not read: its queue is bounded, and full means the end.
//!
//! One wake-up takes what is ready on either side, feeds all of it and flushes once.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::wire::Wire;
use crate::{
    metrics::Metrics,
    session::{Desk, Out, Outlet},
    tenant::Connection,
};

const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
const BIND_WITHIN: Duration = Duration::from_secs(30);
/// How often a connection that cannot be written to looks whether its queue has overflowed.
const STALL_CHECK: Duration = Duration::from_secs(1);
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
    pub(super) desk: Desk,
    pub(super) outlet: Outlet,
    pub(super) connection: Connection,
    pub(super) metrics: Metrics,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) max_message: usize,
}

/// Serves a connection until it ends.
pub(super) async fn serve(parts: Parts) {
    let Parts { stream, early, desk, mut outlet, connection, metrics, closing, max_message } = parts;
    let config = WebSocketConfig::default()
        .read_buffer_size(2048)
        // For pings, pongs and the closing only: a client that sends pings and reads no pongs must not cost more.
        .write_buffer_size(1024)
        .max_write_buffer_size(16 * 1024)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let wire = Wire::new(stream);
    let socket = if early.is_empty() {
        WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await
    } else {
        WebSocketStream::from_partially_read(wire, early.to_vec(), Role::Server, Some(config)).await
    };
    let mut link = Link { socket, unflushed: false, failed: false, last_sign: Instant::now() };
    let end = link.work(desk, &mut outlet, &connection, closing).await;
    // The queue and the tenant's room are free before the last words are said.
    drop(outlet);
    drop(connection);
    metrics.connection_closed(end.why);
    // Boxed: it is needed once, and its buffers should not be a part of every idle connection.
    Box::pin(link.finish(end)).await;
}

/// What woke a connection up.
enum Wake {
    Incoming(Option<Result<Message, Error>>),
    Outgoing,
    Unwritable(Error),
    Clock,
    Closing,
}

struct Link {
    socket: WebSocketStream<Wire>,
    /// Something was fed and is not flushed yet.
    unflushed: bool,
    /// Reading has failed: the socket is good for last words only.
    failed: bool,
    last_sign: Instant,
}

impl Link {
    async fn work(
        &mut self,
        mut desk: Desk,
        outlet: &mut Outlet,
        connection: &Connection,
        mut closing: watch::Receiver<bool>,
    ) -> End {
        let begun = Instant::now();
        let mut bind_by = Some(begun + BIND_WITHIN);
        let mut next_ping = begun + PING_EVERY;
        let mut clock = pin!(sleep_until(next_ping));
        let mut shutdown = pin!(closing.wait_for(|closing| *closing).map(drop));
        loop {
            match self.wake(outlet, clock.as_mut(), shutdown.as_mut()).await {
                Wake::Incoming(first) => {
                    if let Some(end) = self.take(first, &mut desk, outlet, connection) {
                        return end;
                    }
                }
                Wake::Outgoing => {
                    if let Some(end) = self.feed(outlet) {
                        return end;
                    }
                }
                Wake::Unwritable(error) => {
                    tracing::debug!(%error, "a connection cannot be written to");
                    return End::gone("lost");
                }
                Wake::Closing => {
                    if let Some(end) = self.feed(outlet) {
                        return end;
                    }
                    return End::close(1001, "the host is shutting down", "shutdown");
                }
                Wake::Clock => {
                    let now = Instant::now();
                    // After an overflow there is nothing in the queue but its closing.
                    if self.unflushed
                        && outlet.is_empty()
                        && let Some(end) = self.feed(outlet)
                    {
                        return end;
                    }
                    if now.duration_since(self.last_sign) >= SILENCE {
                        return End::close(1001, "no sign of life", "silent");
                    }
                    if bind_by.is_some_and(|by| now >= by) {
                        if !desk.is_bound() {
                            return End::close(4002, "no prepareSession or bindSession in time", "unbound");
                        }
                        bind_by = None;
                    }
                    if now >= next_ping {
                        next_ping = now + PING_EVERY;
                        if let Err(error) = self.socket.start_send_unpin(Message::Ping(Bytes::new())) {
                            return End::of_error(&error);
                        }
                        self.unflushed = true;
                    }
                }
            }
            self.set_clock(clock.as_mut(), next_ping, bind_by);
        }
    }

    /// The clock rings for the next ping, the deadline for binding, or a look at a queue that is not moving.
    fn set_clock(&self, mut clock: Pin<&mut Sleep>, next_ping: Instant, bind_by: Option<Instant>) {
        let mut next = bind_by.map_or(next_ping, |by| by.min(next_ping));
        if self.unflushed {
            next = next.min(Instant::now() + STALL_CHECK);
        }
        if clock.deadline() != next {
            clock.as_mut().reset(next);
        }
    }

    /// Flushes what was fed, and waits for something to do.
    async fn wake(
        &mut self,
        outlet: &mut Outlet,
        mut clock: Pin<&mut Sleep>,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Wake {
        // A client that does not read its answers is not read from either.
        let hold_back = outlet.is_busy();
        let mut ready = pin!(outlet.ready());
        poll_fn(|cx| {
            if self.unflushed {
                match self.socket.poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(error)) => return Poll::Ready(Wake::Unwritable(error)),
                    Poll::Pending => {}
                }
            }
            if !self.unflushed && ready.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Outgoing);
            }
            if !hold_back && let Poll::Ready(incoming) = self.socket.poll_next_unpin(cx) {
                return Poll::Ready(Wake::Incoming(incoming));
            }
            if clock.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Clock);
            }
            if shutdown.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Closing);
            }
            Poll::Pending
        })
        .await
    }

    /// Hands what the client sent to its desk: this frame and those that are there already.
    fn take(
        &mut self,
        first: Option<Result<Message, Error>>,
        desk: &mut Desk,
        outlet: &Outlet,
        connection: &Connection,
    ) -> Option<End> {
        self.last_sign = Instant::now();
        let mut next = first;
        for taken in 1..=TAKEN_AT_ONCE {
            match next {
                Some(Ok(Message::Text(text))) => desk.receive(text.as_str()),
                Some(Ok(Message::Binary(_))) => {
                    connection.tenant().metrics().bad_message();
                    return Some(End::close(1003, "messages are text", "binary"));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.failed = true;
                    let end = End::of_error(&error);
                    if end.close.is_some() {
                        connection.tenant().metrics().bad_message();
                    }
                    return Some(end);
                }
                None => return Some(End::gone("client")),
            }
            // Before the next one is fetched: a frame that is fetched must be handed on.
            if taken == TAKEN_AT_ONCE || outlet.is_busy() {
                break;
            }
            match self.socket.next().now_or_never() {
                Some(following) => next = following,
                None => break,
            }
        }
        None
    }

    /// Feeds what waits to be written, as far as one flush should carry.
    fn feed(&mut self, outlet: &mut Outlet) -> Option<End> {
        let mut fed = 0;
        while fed < FED_AT_ONCE {
            match outlet.try_next() {
                Some(Out::Message(message)) => {
                    fed += message.text.len();
                    // The session writes JSON, which is UTF-8.
                    self.socket.get_mut().put_text(&message.text);
                    self.unflushed = true;
                }
                Some(Out::Close(code, reason)) => return Some(End::close(code.0, reason, why(code.0))),
                None => break,
            }
        }
        None
    }

    /// Says the last words and waits a little for the client to take them.
    async fn finish(mut self, end: End) {
        let Some((code, reason)) = end.close else { return };
        let linger = if code == 4008 { LINGER_SLOW } else { LINGER };
        let _ = timeout(linger, async {
            let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static(reason) };
            if self.socket.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            if !self.failed {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
            // Closing with something unread would reset the connection, and the client might not see the code.
            let stream = self.socket.get_mut();
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
