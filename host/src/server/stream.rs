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
pub(super) struct Patience {
    /// From a connection's first byte, or its beginning, to the end of the request's head.
    pub(super) head: Duration,
    /// From an answer's end to the next request's first byte.
    pub(super) idle: Duration,
}

/// Whose turn it is, and since when it is the peer's. Shared by the stream and by whoever answers.
#[derive(Debug)]
pub(super) struct Turn {
    whose: Mutex<Whose>,
    /// Who reads; to be woken when it becomes the peer's turn, whose time must then be counted.
    reader: AtomicWaker,
}

#[derive(Debug, Clone, Copy)]
enum Whose {
    /// The peer is to send a request's head.
    Head(Instant),
    /// A request is being answered.
    Ours,
    /// The peer may send another request.
    Idle(Instant),
}

impl Turn {
    /// A request's head is there. It is our turn until the guard is dropped, which is when the answer's body has ended.
    pub(super) fn take(self: &Arc<Self>) -> Answering {
        *self.whose.lock() = Whose::Ours;
        Answering(Arc::clone(self))
    }
}

/// See [`Turn::take`].
#[derive(Debug)]
pub(super) struct Answering(Arc<Turn>);

impl Drop for Answering {
    fn drop(&mut self) {
        *self.0.whose.lock() = Whose::Idle(Instant::now());
        self.0.reader.wake();
    }
}

/// See the file's own words.
pub(super) struct Guarded<S> {
    stream: S,
    patience: Patience,
    turn: Arc<Turn>,
    read: Deadline,
    write: Deadline,
    /// A write waits; its deadline is set.
    stalled: bool,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        let turn = Turn { whose: Mutex::new(Whose::Head(Instant::now())), reader: AtomicWaker::new() };
        let turn = Arc::new(turn);
        Self { stream, patience, turn, read: Deadline::default(), write: Deadline::default(), stalled: false }
    }

    pub(super) fn turn(&self) -> Arc<Turn> {
        Arc::clone(&self.turn)
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Passes on what became of a write, or fails if it has waited for too long.
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
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

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        // Before the look at whose turn it is: who ends it then wakes us.
        self.turn.reader.register(cx.waker());
        let mut whose = self.turn.whose.lock();
        if read.is_ready() {
            if buffer.filled().len() > before
                && let Whose::Idle(_) = *whose
            {
                *whose = Whose::Head(Instant::now());
            }
            return read;
        }
        let until = match *whose {
            Whose::Head(since) => since + self.patience.head,
            Whose::Idle(since) => since + self.patience.idle,
            Whose::Ours => return Poll::Pending,
        };
        drop(whose);
        self.read.set(until);
        self.read.poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "no request comes")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(ended, cx)
    }
}
