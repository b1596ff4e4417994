//! A stream on which a peer that does not send its request, or does not read its answer, is given up in the end.
//!
//! Owns: how long a request's head may take, how long a connection may be kept without a request, and how long an answer
//! or an event stream may be left unread. WebSocket connections leave this behind when they are upgraded; they have bounds
//! of their own.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long a write may get nowhere.
const STALLED: Duration = Duration::from_secs(60);

/// How long a peer may take over its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestTimeouts {
    /// From a connection's first byte, or its beginning, to the end of the request's head.
    pub(super) head: Duration,
    /// From an answer's end to the next request's first byte.
    pub(super) idle: Duration,
}

/// Where a connection is between two requests. Shared by the stream, the guard of the answer and the listener.
#[derive(Debug)]
pub(super) struct ConnectionPhase {
    current: Mutex<Phase>,
    /// Who reads; woken when a request is answered, because the time until the next one is counted from then on, and when
    /// the connection is given up.
    reader: AtomicWaker,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The peer is to send a request's head.
    Head(Instant),
    /// A request is being answered.
    Answering,
    /// The peer may send another request.
    Idle(Instant),
    /// The listener needs the room.
    GivenUp,
}

impl ConnectionPhase {
    /// That of a connection that begins now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { current: Mutex::new(Phase::Head(Instant::now())), reader: AtomicWaker::new() })
    }

    /// Since when the peer has owed a request; `None`: one is being answered.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        match *self.current.lock() {
            Phase::Head(since) | Phase::Idle(since) => Some(since),
            Phase::Answering | Phase::GivenUp => None,
        }
    }

    /// Ends the connection if its peer owes a request. Returns whether it does.
    pub(super) fn give_up(&self) -> bool {
        let mut current = self.current.lock();
        let waits = matches!(*current, Phase::Head(_) | Phase::Idle(_));
        if waits {
            *current = Phase::GivenUp;
            drop(current);
            self.reader.wake();
        }
        waits
    }

    /// Waits until the connection is given up; for as long as nobody reads from its stream.
    pub(super) async fn given_up(&self) {
        std::future::poll_fn(|cx| {
            self.reader.register(cx.waker());
            if self.is_given_up() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn is_given_up(&self) -> bool {
        matches!(*self.current.lock(), Phase::GivenUp)
    }

    /// A request's head has arrived. It is being answered until the guard is dropped, when the answer's body has ended.
    pub(super) fn answering(self: &Arc<Self>) -> AnsweringGuard {
        let mut current = self.current.lock();
        if !matches!(*current, Phase::GivenUp) {
            *current = Phase::Answering;
        }
        drop(current);
        AnsweringGuard(Arc::clone(self))
    }
}

/// See [`ConnectionPhase::answering`].
#[derive(Debug)]
pub(super) struct AnsweringGuard(Arc<ConnectionPhase>);

impl Drop for AnsweringGuard {
    fn drop(&mut self) {
        let mut current = self.0.current.lock();
        if !matches!(*current, Phase::GivenUp) {
            *current = Phase::Idle(Instant::now());
        }
        drop(current);
        self.0.reader.wake();
    }
}

/// A stream with these timeouts.
pub(super) struct TimeoutStream<S> {
    stream: S,
    timeouts: RequestTimeouts,
    phase: Arc<ConnectionPhase>,
    read: Deadline,
    write: Deadline,
    /// A write waits; its deadline is set.
    stalled: bool,
}

impl<S> TimeoutStream<S> {
    pub(super) fn new(stream: S, timeouts: RequestTimeouts, phase: Arc<ConnectionPhase>) -> Self {
        Self { stream, timeouts, phase, read: Deadline::default(), write: Deadline::default(), stalled: false }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Passes a write's result on, or fails if the write has waited for too long.
    fn check_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.phase.is_given_up() {
            return Poll::Ready(Err(given_up()));
        }
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.write.set(Instant::now() + STALLED);
        }
        self.write.poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "another connection needs the room")
}

/// A time that is waited for; its timer is made when it is needed first.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    fn set(&mut self, at: Instant) {
        match &mut self.0 {
            Some(sleep) if sleep.deadline() == at => {}
            Some(sleep) => sleep.as_mut().reset(at),
            none => *none = Some(Box::pin(sleep_until(at))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        // Before the phase is read, so that no change of it is missed.
        self.phase.reader.register(cx.waker());
        let mut phase = self.phase.current.lock();
        if read.is_ready() {
            if buffer.filled().len() > before
                && let Phase::Idle(_) = *phase
            {
                *phase = Phase::Head(Instant::now());
            }
            return read;
        }
        let until = match *phase {
            Phase::Head(since) => since + self.timeouts.head,
            Phase::Idle(since) => since + self.timeouts.idle,
            Phase::Answering => return Poll::Pending,
            Phase::GivenUp => return Poll::Ready(Err(given_up())),
        };
        drop(phase);
        self.read.set(until);
        self.read.poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "no request comes")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_write(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.check_write(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.check_write(ended, cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_operators_connection_is_kept_from_one_scrape_to_the_next() {
        let (mut client, server) = duplex(64);
        let phase = ConnectionPhase::new();
        let mut server = TimeoutStream::new(server, super::super::OPERATIONS, Arc::clone(&phase));
        let mut head = [0; 4];
        client.write_all(b"GET ").await.unwrap();
        server.read_exact(&mut head).await.unwrap();
        drop(phase.answering());
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, server.read_exact(&mut head)).await.is_err(), "it was closed in between");
        client.write_all(b"GET ").await.unwrap();
        server.read_exact(&mut head).await.unwrap();
        drop(phase.answering());
        assert!(timeout(2 * minute, server.read_exact(&mut head)).await.is_ok_and(|read| read.is_err()));
    }
}
