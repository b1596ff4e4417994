//! What waits for one connection to be written.
//!
//! Owns: the queue between a session and the one who writes to its client, its bounds, and the wake-up. Must never: make
//! the session wait, or grow with a client that does not read. Messages come from desks and sessions; the server drains
//! them through the [`Outlet`]. When the queue is full everything in it is dropped and the connection is closed with
//! [`CloseCode::TOO_SLOW`]: a client that comes back finds the events in its session's journal.

use std::{
    collections::VecDeque,
    future::poll_fn,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

use hyper::body::Bytes;

use super::text::{Lengths, Text};

/// One message to a client: UTF-8 JSON, with its number if it is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's number; `None` for a response.
    pub seq: Option<u64>,
    /// The text. Cloning it copies nothing.
    pub text: Bytes,
}

impl Message {
    /// The text as such.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

/// Messages to one client, one behind the other in one text: what one report made, or one response. It goes into the
/// queue under one lock and wakes its reader once; as an iterator it gives them one by one.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The number of the next event; `None` for a response.
    seq: Option<u64>,
    text: Text,
    /// Where the next message begins.
    at: usize,
    /// Of each event; a response is the whole text.
    lengths: smallvec::IntoIter<[u32; 8]>,
}

impl Batch {
    /// A response.
    #[must_use]
    pub fn response(text: Text) -> Self {
        Self { seq: None, text, at: 0, lengths: Lengths::new().into_iter() }
    }

    /// Events with consecutive numbers, `lengths` bytes of the text each.
    #[must_use]
    pub fn of_events(first: u64, text: Text, lengths: Lengths) -> Self {
        Self { seq: Some(first), text, at: 0, lengths: lengths.into_iter() }
    }

    /// How many bytes are left.
    fn bytes(&self) -> usize {
        self.text.len() - self.at
    }

    /// Goes on to the next message: its number, if it is an event, and where it is in the text.
    fn step(&mut self) -> Option<(Option<u64>, Range<usize>)> {
        let seq = self.seq;
        let end = match &mut self.seq {
            Some(next) => {
                *next += 1;
                self.at + self.lengths.next()? as usize
            }
            None if self.at == self.text.len() => return None,
            None => self.text.len(),
        };
        Some((seq, std::mem::replace(&mut self.at, end)..end))
    }
}

impl Iterator for Batch {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let (seq, place) = self.step()?;
        Some(Message { seq, text: Bytes::copy_from_slice(&self.text[place]) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.seq.is_some() { self.lengths.len() } else { usize::from(self.bytes() > 0) };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batch {}

/// A close code of WebSocket, as section 6 of the protocol uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The session is over, and the connection was for it alone.
    pub const NORMAL: Self = Self(1000);
    /// The host is shutting down, or the tenant is removed.
    pub const GOING_AWAY: Self = Self(1001);
    /// Another connection has bound the session.
    pub const TAKEN_OVER: Self = Self(4001);
    /// The client did not read.
    pub const TOO_SLOW: Self = Self(4008);
}

/// How many batches are about to be taken; what waits behind them takes no more room than it needs.
const SOON: usize = 8;

/// What the server writes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// A message.
    Message(Message),
    /// Nothing follows: close the connection with this code and reason.
    Close(CloseCode, &'static str),
}

/// How much may wait for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { messages: 1024, bytes: 1024 * 1024 }
    }
}

/// Where a connection's messages go. Cheap to clone; equal is what leads to the same connection.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

/// The server's end. Dropping it says that the connection is gone.
pub struct Outlet(Arc<Shared>);

struct Shared {
    limits: OutboxLimits,
    /// The connection ends with its session: an event stream.
    one_session: bool,
    /// Whoever writes to the client also works for its session: see [`Outlet::will_work`].
    works: AtomicBool,
    /// So much waits that no more should be put in. Written under the queue's lock, read without it.
    busy: AtomicBool,
    queue: Mutex<Queue>,
}

/// What was taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of messages.
    pub bytes: usize,
    /// How the connection is to be closed: nothing follows.
    pub close: Option<(CloseCode, &'static str)>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Batch>,
    messages: usize,
    bytes: usize,
    /// What a replay has put in beyond the bounds; it goes down as the client reads.
    allowance: (usize, usize),
    taken: u64,
    close: Option<(CloseCode, &'static str)>,
    gone: bool,
    waker: Option<Waker>,
}

impl Shared {
    fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// To be called when the queue has become longer or shorter.
    fn measure(&self, queue: &Queue) {
        let busy = queue.messages * 4 >= self.limits.messages || queue.bytes * 4 >= self.limits.bytes;
        self.busy.store(busy, Relaxed);
    }
}

/// The queue is left whole by every step, so a panic elsewhere does not spoil it.
fn locked(shared: &Shared) -> MutexGuard<'_, Queue> {
    shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// Both ends of a connection's queue.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> (Self, Outlet) {
        Self::make(limits, false)
    }

    /// The same for a connection that ends with its session: an event stream.
    #[must_use]
    pub fn of_stream(limits: OutboxLimits) -> (Self, Outlet) {
        Self::make(limits, true)
    }

    fn make(limits: OutboxLimits, one_session: bool) -> (Self, Outlet) {
        let (works, busy) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { limits, one_session, works, busy, queue: Mutex::default() });
        (Self(Arc::clone(&shared)), Outlet(shared))
    }

    /// Puts messages in. False: they are not taken, because the connection is closing, or closes now as it is full.
    pub fn send(&self, batch: Batch) -> bool {
        let mut wakers = Vec::new();
        let fits = self.put(batch, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        fits
    }

    /// The same, but who waits for the messages is woken by the caller, when it has put in all that it has.
    pub(super) fn put(&self, batch: Batch, wakers: &mut Vec<Waker>) -> bool {
        let mut queue = locked(&self.0);
        if queue.is_closing() {
            return false;
        }
        let limits = self.0.limits;
        // What is larger than the bound must still reach a client that reads.
        let fits = queue.waiting.is_empty()
            || (queue.messages + batch.len() <= limits.messages + queue.allowance.0
                && queue.bytes + batch.bytes() <= limits.bytes + queue.allowance.1);
        if fits {
            queue.push(batch);
        } else {
            queue.close(CloseCode::TOO_SLOW, "the client does not read", true);
        }
        self.0.measure(&queue);
        wakers.extend(queue.waker.take());
        fits
    }

    /// Wakes whoever writes to the client: there is something for it to write, or to do for the session.
    pub(super) fn call(&self) {
        self.take_waker().into_iter().for_each(Waker::wake);
    }

    /// The same, but who writes to the client is woken by the caller.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        locked(&self.0).waker.take()
    }

    /// Whether whoever writes to the client also works for its session.
    pub(super) fn works(&self) -> bool {
        self.0.works.load(Relaxed)
    }

    /// Whether so much waits that no more should be put in until some of it is written, see [`Outlet::is_busy`].
    pub(super) fn is_busy(&self) -> bool {
        self.0.is_busy()
    }

    /// Puts in what a client asked for by binding: it is bounded by the journal and the tree, not by how fast the
    /// client reads, so it always fits.
    pub fn replay(&self, batches: impl IntoIterator<Item = Batch>) {
        let mut queue = locked(&self.0);
        if queue.is_closing() {
            return;
        }
        for batch in batches {
            queue.allowance.0 += batch.len();
            queue.allowance.1 += batch.bytes();
            queue.push(batch);
        }
        self.0.measure(&queue);
        drop(queue);
        self.call();
    }

    /// Closes the connection after what is waiting.
    pub fn close(&self, code: CloseCode, reason: &'static str) {
        let mut queue = locked(&self.0);
        queue.close(code, reason, false);
        drop(queue);
        self.call();
    }

    /// The session is over: closes a connection that was for it alone.
    pub(super) fn session_over(&self) {
        if self.0.one_session {
            self.close(CloseCode::NORMAL, "the session is over");
        }
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        locked(&self.0).is_closing()
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        locked(&self.0).messages
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages have been put in so far; see [`Self::delivered`].
    pub(super) fn sent(&self) -> u64 {
        let queue = locked(&self.0);
        queue.taken + queue.messages as u64
    }

    /// Whether the server has taken the first `count` messages.
    pub(super) fn delivered(&self, count: u64) -> bool {
        locked(&self.0).taken >= count
    }
}

impl PartialEq for Outbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outlet {
    /// From now on whoever holds this also calls [`ClientConnection::work`](super::ClientConnection::work) when it is woken.
    pub fn will_work(&mut self) {
        self.0.works.store(true, Relaxed);
    }

    /// What to write next, if there is something. After [`Out::Close`] there is nothing.
    pub fn try_next(&mut self) -> Option<Out> {
        let mut queue = locked(&self.0);
        if let Some(message) = queue.pop() {
            self.0.measure(&queue);
            return Some(Out::Message(message));
        }
        queue.end().map(|(code, reason)| Out::Close(code, reason))
    }

    /// How the connection is to be closed, if nothing waits and it is.
    pub fn try_close(&mut self) -> Option<(CloseCode, &'static str)> {
        locked(&self.0).end()
    }

    /// Hands out all messages that wait, one by one, until so many bytes were given.
    pub fn take(&mut self, bytes: usize, each: impl FnMut(&[u8])) -> Taken {
        self.take_from(&mut locked(&self.0), bytes, each)
    }

    /// The same when there is something; pending: the task is woken when there is, or something is to be done.
    pub fn poll_take(&mut self, context: &mut Context<'_>, bytes: usize, each: impl FnMut(&[u8])) -> Poll<Taken> {
        let mut queue = locked(&self.0);
        ready!(queue.poll_ready(context));
        Poll::Ready(self.take_from(&mut queue, bytes, each))
    }

    fn take_from(&self, queue: &mut Queue, bytes: usize, mut each: impl FnMut(&[u8])) -> Taken {
        let (mut count, mut given) = (0, 0);
        while given < bytes
            && let Some(batch) = queue.waiting.front_mut()
        {
            while given < bytes
                && let Some((_, place)) = batch.step()
            {
                count += 1;
                given += place.len();
                each(&batch.text[place]);
            }
            if batch.len() == 0 {
                queue.waiting.pop_front();
            }
        }
        queue.has_given(count, given);
        self.0.measure(queue);
        Taken { bytes: given, close: queue.end() }
    }

    /// Waits until [`Self::try_next`] has something. May be dropped and called again at any time.
    pub async fn ready(&mut self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    /// The same, to be polled.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        locked(&self.0).poll_ready(context)
    }

    /// Wakes the task when something more is put in, or is to be done.
    pub fn wake_later(&mut self, context: &mut Context<'_>) {
        locked(&self.0).wake_later(context);
    }

    /// Whether so much waits that incoming messages should be left unread until some of it is written. A server that
    /// reads many messages at once asks this between them, so that a client that does read is never taken for one
    /// that does not.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.is_busy()
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut queue = locked(&self.0);
        queue.gone = true;
        // What was not taken stays counted as not taken.
        queue.clear();
        queue.waker = None;
    }
}

impl Queue {
    fn is_closing(&self) -> bool {
        self.gone || self.close.is_some()
    }

    /// Whether there is something to write, or the end.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.waiting.is_empty() || (self.close.is_some() && !self.gone) {
            return Poll::Ready(());
        }
        self.wake_later(context);
        Poll::Pending
    }

    /// How the connection is to be closed, if nothing waits and it is.
    fn end(&mut self) -> Option<(CloseCode, &'static str)> {
        let close = self.close.filter(|_| !self.gone && self.waiting.is_empty())?;
        self.gone = true;
        Some(close)
    }

    fn wake_later(&mut self, context: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    fn push(&mut self, mut batch: Batch) {
        if batch.len() == 0 {
            return;
        }
        if self.waiting.len() >= SOON {
            batch.text.shrink();
        }
        self.messages += batch.len();
        self.bytes += batch.bytes();
        self.waiting.push_back(batch);
    }

    fn pop(&mut self) -> Option<Message> {
        let first = self.waiting.front_mut()?;
        let message = first.next()?;
        if first.len() == 0 {
            self.waiting.pop_front();
        }
        self.has_given(1, message.text.len());
        Some(message)
    }

    /// So much has been taken out.
    fn has_given(&mut self, messages: usize, bytes: usize) {
        self.messages -= messages;
        self.taken += messages as u64;
        self.bytes -= bytes;
        self.allowance.0 = self.allowance.0.saturating_sub(messages);
        self.allowance.1 = self.allowance.1.saturating_sub(bytes);
        if self.waiting.is_empty() {
            self.allowance = (0, 0);
            // An idle connection keeps no buffer that a burst has made.
            if self.waiting.capacity() > 8 {
                self.waiting = VecDeque::new();
            }
        }
    }

    fn close(&mut self, code: CloseCode, reason: &'static str, drop_waiting: bool) {
        if self.is_closing() {
            return;
        }
        if drop_waiting {
            self.clear();
        }
        self.close = Some((code, reason));
    }

    fn clear(&mut self) {
        self.waiting = VecDeque::new();
        (self.messages, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use smallvec::smallvec;

    use super::*;

    fn message(text: &str) -> Message {
        Message { seq: None, text: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn text(text: &str) -> Batch {
        Batch::response(text.into())
    }

    fn bounded(messages: usize) -> (Outbox, Outlet) {
        Outbox::new(OutboxLimits { messages, bytes: 1000 })
    }

    #[test]
    fn a_client_that_does_not_read_is_closed_with_4008() {
        let (outbox, mut outlet) = bounded(2);
        assert!(outbox.send(text("a")) && outbox.send(text("b")));
        assert!(!outbox.send(text("c")));
        assert!(outbox.is_closed());
        assert_eq!(outlet.try_next(), Some(Out::Close(CloseCode::TOO_SLOW, "the client does not read")));
        assert_eq!(outlet.try_next(), None);
    }

    #[test]
    fn what_waits_long_takes_no_more_room_than_it_needs() {
        let (outbox, _outlet) = bounded(100);
        for _ in 0..100 {
            let mut text = Text::with_room(1);
            text.push_str("a");
            assert!(outbox.send(Batch::response(text)));
        }
        let queue = locked(&outbox.0);
        let room: Vec<usize> = queue.waiting.iter().skip(SOON).map(|batch| batch.text.capacity()).collect();
        assert_eq!(room, vec![1; 100 - SOON]);
    }

    #[test]
    fn a_replay_larger_than_the_bounds_fits_and_leaves_room_for_what_follows() {
        let (outbox, mut outlet) = bounded(2);
        outbox.replay((0..5).map(|n| text(&n.to_string())));
        assert!(outbox.send(text("x")) && outbox.send(text("y")));
        for expected in ["0", "1", "2", "3", "4", "x", "y"] {
            assert_eq!(outlet.try_next(), Some(Out::Message(message(expected))));
        }
    }

    #[test]
    fn the_allowance_of_a_replay_goes_as_it_is_read() {
        let (outbox, mut outlet) = bounded(2);
        outbox.replay((0..3).map(|n| text(&n.to_string())));
        outlet.try_next();
        outlet.try_next();
        assert!(outbox.send(text("a")) && outbox.send(text("b")));
        assert!(!outbox.send(text("c")));
    }

    #[test]
    fn closing_comes_after_what_is_waiting_and_nothing_after_it() {
        let (outbox, mut outlet) = bounded(4);
        outbox.send(text("a"));
        outbox.close(CloseCode::TAKEN_OVER, "taken over");
        assert!(!outbox.send(text("b")));
        assert_eq!(outlet.try_next(), Some(Out::Message(message("a"))));
        assert_eq!(outlet.try_next(), Some(Out::Close(CloseCode::TAKEN_OVER, "taken over")));
        assert_eq!(outlet.try_next(), None);
    }

    #[test]
    fn events_that_went_in_together_come_out_one_by_one_with_their_numbers() {
        let (outbox, mut outlet) = bounded(4);
        assert!(outbox.send(Batch::of_events(7, "aabbb".into(), smallvec![2, 3])));
        assert!(outbox.send(Batch::of_events(9, Text::default(), Lengths::new())), "nothing fits everywhere");
        assert_eq!(outbox.len(), 2);
        for (seq, text) in [(7, "aa"), (8, "bbb")] {
            assert_eq!(outlet.try_next(), Some(Out::Message(Message { seq: Some(seq), text: text.into() })));
        }
        assert_eq!((outlet.try_next(), outbox.sent()), (None, 2));
    }

    #[test]
    fn events_fit_together_or_not_at_all_unless_nothing_waits() {
        let three = || Batch::of_events(1, "abc".into(), smallvec![1, 1, 1]);
        let (outbox, mut outlet) = bounded(2);
        assert!(outbox.send(three()), "a client that reads gets what one report made, however much it is");
        assert!(!outbox.send(three()));
        assert_eq!(outlet.try_next(), Some(Out::Close(CloseCode::TOO_SLOW, "the client does not read")));
    }

    #[test]
    fn an_event_stream_ends_with_its_session_and_a_websocket_goes_on() {
        let (outbox, mut outlet) = Outbox::of_stream(OutboxLimits::default());
        outbox.send(text("a"));
        outbox.session_over();
        assert_eq!(outlet.try_next(), Some(Out::Message(message("a"))));
        assert_eq!(outlet.try_next(), Some(Out::Close(CloseCode::NORMAL, "the session is over")));
        let (outbox, mut outlet) = bounded(2);
        outbox.session_over();
        assert_eq!(outlet.try_next(), None);
    }

    #[tokio::test]
    async fn the_server_is_woken_by_a_message() {
        let (outbox, mut outlet) = bounded(4);
        let reader = tokio::spawn(async move {
            outlet.ready().await;
            outlet.try_next()
        });
        tokio::task::yield_now().await;
        outbox.send(text("a"));
        assert_eq!(reader.await.unwrap(), Some(Out::Message(message("a"))));
    }

    #[test]
    fn what_the_server_has_not_taken_when_it_goes_was_not_delivered() {
        let (outbox, mut outlet) = bounded(4);
        outbox.send(text("a"));
        outlet.try_next();
        outbox.send(text("b"));
        drop(outlet);
        assert!(outbox.delivered(1) && !outbox.delivered(2));
        assert!(!outbox.send(text("c")));
    }
}
