//! What waits for one connection to be written.
//!
//! Owns: the queue between a session and the one who writes to its client, its bounds, and the wake-up. Must never: make
//! the session wait, or grow with a client that does not read. Messages come from connections and sessions; the server
//! takes them from the [`Outlet`]. When the queue is full everything in it is dropped and the connection is closed with
//! [`CloseCode::TooSlow`]: a client that comes back finds the events in its session's journal. So is one that has more than
//! its share when all of the tenant's clients together leave too much unread.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use hyper::body::Bytes;
use jackfield_protocol::close::CloseCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::queued::QueuedBytes;
use crate::metrics::LimitLabel;

/// One message to a client: UTF-8 JSON, with its number if it is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The event's number; `None` for a response.
    pub seq: Option<u64>,
    /// The text. Cloning it copies nothing.
    pub text: Bytes,
}

impl Message {
    /// A response.
    pub(super) fn response(text: String) -> Self {
        Self { seq: None, text: text.into() }
    }
}

/// What the server writes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutboxItem {
    /// A message.
    Message(Message),
    /// Nothing follows: close the connection with this code and reason.
    Close(CloseCode, &'static str),
}

/// How much may wait for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutboxLimits {
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
pub(crate) struct Outbox(Arc<Shared>);

/// The server's end. Dropping it says that the connection is gone.
pub(crate) struct Outlet(Arc<Shared>);

struct Shared {
    limits: OutboxLimits,
    /// What all of the tenant's clients have waiting.
    all: Arc<QueuedBytes>,
    /// The connection ends with its session: an event stream.
    one_session: bool,
    queue: Mutex<Queue>,
    /// Told when the queue is busy no more.
    drained: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// How many of them count for the tenant.
    counted: usize,
    /// How many messages a replay has put in beyond the bounds, and how many bytes; both go down as the client reads.
    replayed_messages: usize,
    replayed_bytes: usize,
    taken: u64,
    close: Option<(CloseCode, &'static str)>,
    gone: bool,
    waker: Option<Waker>,
}

impl Shared {
    /// Counts for the tenant what waits. A replay does not: it is what the session's journal keeps anyway.
    fn count(&self, queue: &mut Queue) {
        let holds = queue.of_client();
        self.all.count(&mut queue.counted, holds);
    }

    fn is_busy(&self, queue: &Queue) -> bool {
        queue.waiting.len() * 4 >= self.limits.messages || queue.bytes * 4 >= self.limits.bytes
    }
}

impl Outbox {
    /// Both ends of a connection's queue. `all`: where what waits is counted. `one_session`: the connection ends with its
    /// session.
    pub(super) fn new(limits: OutboxLimits, all: Arc<QueuedBytes>, one_session: bool) -> (Self, Outlet) {
        all.opened();
        let shared = Arc::new(Shared { limits, all, one_session, queue: Mutex::default(), drained: Notify::new() });
        (Self(Arc::clone(&shared)), Outlet(shared))
    }

    /// Puts a message in. False: it is not taken, because the connection is closing, or closes now as its queue is full.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.put(1, message.text.len(), |waiting| waiting.push_back(message))
    }

    /// Puts messages in, all or none of them.
    pub(crate) fn send_all(&self, messages: Vec<Message>) -> bool {
        let bytes = messages.iter().map(|message| message.text.len()).sum();
        self.put(messages.len(), bytes, |waiting| waiting.extend(messages))
    }

    fn put(&self, count: usize, bytes: usize, push: impl FnOnce(&mut VecDeque<Message>)) -> bool {
        let mut queue = self.0.queue.lock();
        if queue.is_closing() {
            return false;
        }
        let limits = self.0.limits;
        // What is larger than the bound must still reach a client that reads.
        let its_own = queue.waiting.is_empty()
            || (queue.waiting.len() + count <= limits.messages + queue.replayed_messages
                && queue.bytes + bytes <= limits.bytes + queue.replayed_bytes);
        let fits = its_own && (queue.waiting.is_empty() || self.0.all.may_hold(queue.of_client() + bytes));
        if fits {
            queue.bytes += bytes;
            push(&mut queue.waiting);
        } else {
            self.0.all.gave_way(if its_own { LimitLabel::QueuedBytes } else { LimitLabel::OutboxMessages });
            queue.close(CloseCode::TooSlow, "the client does not read", true);
            self.0.drained.notify_one();
        }
        self.0.count(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
        fits
    }

    /// Puts in what a client asked for by binding: it is bounded by the journal and the tree, not by how fast the
    /// client reads, so it always fits.
    pub(crate) fn replay(&self, messages: Vec<Message>) {
        let bytes: usize = messages.iter().map(|message| message.text.len()).sum();
        let mut queue = self.0.queue.lock();
        if queue.is_closing() {
            return;
        }
        queue.replayed_messages += messages.len();
        queue.replayed_bytes += bytes;
        queue.bytes += bytes;
        queue.waiting.extend(messages);
        self.0.count(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
    }

    /// Closes the connection after what is waiting.
    pub(crate) fn close(&self, code: CloseCode, reason: &'static str) {
        let mut queue = self.0.queue.lock();
        queue.close(code, reason, false);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
    }

    /// The session is over: closes a connection that was for it alone.
    pub(super) fn session_over(&self) {
        if self.0.one_session {
            self.close(CloseCode::Normal, "the session is over");
        }
    }

    /// Whether nothing more is taken.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.queue.lock().is_closing()
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.0.queue.lock().bytes
    }

    /// How many messages wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.0.queue.lock().waiting.len()
    }

    /// Whether so much waits that no more should be put in until some of it is written, see [`Outlet::is_busy`].
    pub(super) fn is_busy(&self) -> bool {
        let queue = self.0.queue.lock();
        !queue.is_closing() && self.0.is_busy(&queue)
    }

    /// Waits until it is busy no more, or closed. Only its session waits for it.
    pub(super) async fn drained(&self) {
        while self.is_busy() {
            self.0.drained.notified().await;
        }
    }

    /// How many messages have been put in so far; see [`Self::delivered`].
    pub(super) fn sent(&self) -> u64 {
        let queue = self.0.queue.lock();
        queue.taken + queue.waiting.len() as u64
    }

    /// Whether the server has taken the first `count` messages.
    pub(super) fn delivered(&self, count: u64) -> bool {
        self.0.queue.lock().taken >= count
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
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
    /// What to write next, if there is something. After [`OutboxItem::Close`] there is nothing.
    #[cfg(test)]
    pub(crate) fn try_next(&mut self) -> Option<OutboxItem> {
        let mut queue = self.0.queue.lock();
        self.take(&mut queue)
    }

    /// What to write next; after [`OutboxItem::Close`] there is nothing. Pending: the task is woken when there is something.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<OutboxItem> {
        let mut queue = self.0.queue.lock();
        match self.take(&mut queue) {
            Some(out) => Poll::Ready(out),
            None => {
                queue.wake_later(context);
                Poll::Pending
            }
        }
    }

    /// For a client that cannot be written to now: how the connection is to be closed all the same, if nothing waits and
    /// it is. Pending: the task is woken when that may have changed.
    pub(crate) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<(CloseCode, &'static str)> {
        let mut queue = self.0.queue.lock();
        match queue.end() {
            Some(close) => Poll::Ready(close),
            None => {
                queue.wake_later(context);
                Poll::Pending
            }
        }
    }

    /// Waits until [`Self::try_next`] has something. May be dropped and called again at any time.
    #[cfg(test)]
    pub(crate) async fn ready(&mut self) {
        std::future::poll_fn(|context| {
            let mut queue = self.0.queue.lock();
            if !queue.waiting.is_empty() || (queue.close.is_some() && !queue.gone) {
                return Poll::Ready(());
            }
            queue.wake_later(context);
            Poll::Pending
        })
        .await;
    }

    /// Whether so much waits that incoming messages should be left unread until some of it is written. A server that
    /// reads many messages at once asks this between them, so that a client that does read is never taken for one
    /// that does not.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        self.0.is_busy(&self.0.queue.lock())
    }

    fn take(&self, queue: &mut Queue) -> Option<OutboxItem> {
        let was_busy = self.0.is_busy(queue);
        let Some(message) = queue.pop() else {
            return queue.end().map(|(code, reason)| OutboxItem::Close(code, reason));
        };
        self.0.count(queue);
        if was_busy && !self.0.is_busy(queue) {
            self.0.drained.notify_one();
        }
        Some(OutboxItem::Message(message))
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.gone = true;
        // What was not taken stays counted as not taken.
        queue.clear();
        self.0.count(&mut queue);
        queue.waker = None;
        drop(queue);
        self.0.drained.notify_one();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.all.closed(self.queue.get_mut().counted);
    }
}

impl Queue {
    /// Bytes that wait because the client has not read them, and not because it has asked for them all at once.
    fn of_client(&self) -> usize {
        self.bytes.saturating_sub(self.replayed_bytes)
    }

    fn is_closing(&self) -> bool {
        self.gone || self.close.is_some()
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

    fn pop(&mut self) -> Option<Message> {
        let message = self.waiting.pop_front()?;
        self.taken += 1;
        self.bytes -= message.text.len();
        self.replayed_messages = self.replayed_messages.saturating_sub(1);
        self.replayed_bytes = self.replayed_bytes.saturating_sub(message.text.len());
        if self.waiting.is_empty() {
            (self.replayed_messages, self.replayed_bytes) = (0, 0);
            // An idle connection keeps no buffer that a burst has made.
            if self.waiting.capacity() > 8 {
                self.waiting = VecDeque::new();
            }
        }
        Some(message)
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
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(text: &str) -> Message {
        Message { seq: None, text: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn queued(most: usize) -> Arc<QueuedBytes> {
        Arc::new(QueuedBytes::new(most, crate::metrics::Metrics::new(1).tenant("acme", "fake")))
    }

    fn new(limits: OutboxLimits) -> (Outbox, Outlet) {
        Outbox::new(limits, queued(usize::MAX), false)
    }

    fn bounded(messages: usize) -> (Outbox, Outlet) {
        new(OutboxLimits { messages, bytes: 1000 })
    }

    #[test]
    fn a_client_that_does_not_read_is_closed_with_4008() {
        let (outbox, mut outlet) = bounded(2);
        assert!(outbox.send(message("a")) && outbox.send(message("b")));
        assert!(!outbox.send(message("c")));
        assert!(outbox.is_closed());
        assert_eq!(outlet.try_next(), Some(OutboxItem::Close(CloseCode::TooSlow, "the client does not read")));
        assert_eq!(outlet.try_next(), None);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let (outbox, mut outlet) = new(OutboxLimits { messages: 100, bytes: 10 });
        assert!(outbox.send(message("sixteen bytes...")), "a client that reads gets one message, however long it is");
        assert!(!outbox.send(message("c")));
        assert!(matches!(outlet.try_next(), Some(OutboxItem::Close(CloseCode::TooSlow, _))));
    }

    #[test]
    fn a_client_with_more_than_its_share_gives_way_when_all_leave_too_much_unread() {
        let all = queued(1000);
        let client = || Outbox::new(OutboxLimits { messages: 100, bytes: 10_000 }, Arc::clone(&all), false);
        let ((idle, _idle), (slow, slow_outlet), (reads, mut reader)) = (client(), client(), client());
        let long = message(&"x".repeat(450));
        assert!(idle.send(message("a")) && slow.send(long.clone()) && slow.send(long.clone()));
        assert!(reads.send(long.clone()), "nothing else waits for it");
        assert!(all.now() > 1000 && idle.send(message("b")), "it has less than a third");
        reader.try_next();
        assert!(slow.send(long.clone()), "there is room again");
        reads.replay(vec![long.clone(), long.clone(), long.clone()]);
        assert!(reads.send(message("c")), "what a client has asked for does not count");
        assert!(!slow.send(message("d")) && slow.is_closed());
        assert_eq!(all.now(), 3, "what was dropped does not count any more");
        drop((slow, slow_outlet, idle, _idle, reads, reader));
        assert_eq!(all.now(), 0);
    }

    #[test]
    fn a_replay_larger_than_the_bounds_fits_and_leaves_room_for_what_follows() {
        let (outbox, mut outlet) = bounded(2);
        outbox.replay((0..5).map(|n| message(&n.to_string())).collect());
        assert!(outbox.send(message("x")) && outbox.send(message("y")));
        for expected in ["0", "1", "2", "3", "4", "x", "y"] {
            assert_eq!(outlet.try_next(), Some(OutboxItem::Message(message(expected))));
        }
    }

    #[test]
    fn the_allowance_of_a_replay_goes_as_it_is_read() {
        let (outbox, mut outlet) = bounded(2);
        outbox.replay((0..3).map(|n| message(&n.to_string())).collect());
        outlet.try_next();
        outlet.try_next();
        assert!(outbox.send(message("a")) && outbox.send(message("b")));
        assert!(!outbox.send(message("c")));
    }

    #[test]
    fn closing_comes_after_what_is_waiting_and_nothing_after_it() {
        let (outbox, mut outlet) = bounded(4);
        outbox.send(message("a"));
        outbox.close(CloseCode::TakenOver, "taken over");
        assert!(!outbox.send(message("b")));
        assert_eq!(outlet.try_next(), Some(OutboxItem::Message(message("a"))));
        assert_eq!(outlet.try_next(), Some(OutboxItem::Close(CloseCode::TakenOver, "taken over")));
        assert_eq!(outlet.try_next(), None);
    }

    #[test]
    fn messages_fit_together_or_not_at_all_unless_nothing_waits() {
        let three = || ["a", "b", "c"].map(message).to_vec();
        let (outbox, mut outlet) = bounded(2);
        assert!(outbox.send_all(three()), "a client that reads gets what one report made, however much it is");
        assert_eq!(outbox.len(), 3);
        assert!(!outbox.send_all(three()));
        assert_eq!(outlet.try_next(), Some(OutboxItem::Close(CloseCode::TooSlow, "the client does not read")));
    }

    #[test]
    fn an_event_stream_ends_with_its_session_and_a_websocket_goes_on() {
        let (outbox, mut outlet) = Outbox::new(OutboxLimits::default(), queued(usize::MAX), true);
        outbox.send(message("a"));
        outbox.session_over();
        assert_eq!(outlet.try_next(), Some(OutboxItem::Message(message("a"))));
        assert_eq!(outlet.try_next(), Some(OutboxItem::Close(CloseCode::Normal, "the session is over")));
        let (outbox, mut outlet) = bounded(2);
        outbox.session_over();
        assert_eq!(outlet.try_next(), None);
    }

    #[tokio::test]
    async fn the_server_is_woken_by_a_message() {
        let (outbox, mut outlet) = bounded(4);
        let reader = tokio::spawn(async move { std::future::poll_fn(|context| outlet.poll_next(context)).await });
        tokio::task::yield_now().await;
        outbox.send(message("a"));
        assert_eq!(reader.await.unwrap(), OutboxItem::Message(message("a")));
    }

    #[tokio::test]
    async fn the_session_is_told_when_the_client_has_read_or_is_gone() {
        let (outbox, mut outlet) = bounded(4);
        outbox.send(message("a"));
        let waiting = tokio::spawn(async move {
            outbox.drained().await;
            outbox
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        outlet.try_next();
        let outbox = waiting.await.unwrap();
        outbox.send(message("b"));
        drop(outlet);
        outbox.drained().await;
    }

    #[test]
    fn what_the_server_has_not_taken_when_it_goes_was_not_delivered() {
        let (outbox, mut outlet) = bounded(4);
        outbox.send(message("a"));
        outlet.try_next();
        outbox.send(message("b"));
        assert_eq!(outbox.sent(), 2);
        drop(outlet);
        assert!(outbox.delivered(1) && !outbox.delivered(2));
        assert!(!outbox.send(message("c")));
    }
}
