//! What waits to be handled by one session.
//!
//! Owns: the bounds of what clients and the adapter may have waiting, and the wake-up. Must never: let one of them take
//! the other's room. A client that sends faster than its session works waits; an adapter is told that there is no room,
//! and keeps what it has until there is. [`Control`] always has room: ends, binds and moves are as many as there are
//! connections and managers who wait for them.

use std::{
    collections::VecDeque,
    pin::pin,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::input::{ClientCommand, Control, Input};
use crate::plugin::{AdapterMessage, Delivery};

/// How many commands of clients may wait.
const COMMANDS: usize = 32;

/// How many messages of the adapter.
const ADAPTER_MESSAGES: usize = 256;

/// How many bytes the commands may have together, unless it is one alone.
const COMMAND_BYTES: usize = 256 << 10;

/// The same of the messages of the adapter.
const ADAPTER_BYTES: usize = 16 << 20;

/// What waits for one session.
#[derive(Default)]
pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    /// Told when something has come.
    arrived: Notify,
    /// Told when there is room for commands again.
    room: Notify,
}

#[derive(Default)]
struct Queue {
    link_changed: bool,
    /// What clients and the manager have sent, in one order.
    requests: VecDeque<QueuedRequest>,
    commands: usize,
    command_bytes: usize,
    /// Commands that wait or are just being handled.
    unhandled: usize,
    /// Woken when there are none; hardly ever more than the one of the session's client.
    until_handled: SmallVec<[Waker; 1]>,
    adapter_messages: VecDeque<(u32, AdapterMessage)>,
    adapter_bytes: usize,
    /// Whose turn it is, where both have something. What an adapter has said before all others is heard first.
    requests_are_next: bool,
    /// A client has found no room.
    someone_waits: bool,
    /// The session is over: nothing is taken any more.
    closed: bool,
}

enum QueuedRequest {
    Command(ClientCommand),
    Control(Control),
}

/// Why a command was not taken.
pub(super) enum NotTaken {
    /// There is no room now.
    Full(ClientCommand),
    /// The session is over.
    Closed(ClientCommand),
}

impl Mailbox {
    /// Takes a client's command, if there is room.
    ///
    /// # Errors
    /// It comes back.
    pub(super) fn try_command(&self, command: ClientCommand) -> Result<(), NotTaken> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(NotTaken::Closed(command));
        }
        let bytes = queue.command_bytes + command.request.bytes();
        if queue.commands >= COMMANDS || bytes > COMMAND_BYTES && queue.commands > 0 {
            queue.someone_waits = true;
            return Err(NotTaken::Full(command));
        }
        queue.command_bytes = bytes;
        queue.commands += 1;
        queue.unhandled += 1;
        push(&mut queue.requests, QueuedRequest::Command(command));
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes a client's command, once there is room.
    ///
    /// # Errors
    /// The session is over, and the command comes back.
    pub(super) async fn command(&self, mut command: ClientCommand) -> Result<(), ClientCommand> {
        loop {
            let mut room = pin!(self.room.notified());
            // From here on no notice is missed.
            room.as_mut().enable();
            match self.try_command(command) {
                Ok(()) => return Ok(()),
                Err(NotTaken::Closed(command)) => return Err(command),
                Err(NotTaken::Full(back)) => command = back,
            }
            room.await;
        }
    }

    /// Takes what the adapter says of the agent that was logged in as this one.
    pub(super) fn deliver(&self, generation: u32, message: AdapterMessage) -> Delivery {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Delivery::Closed;
        }
        let bytes = queue.adapter_bytes + message.size();
        if queue.adapter_messages.len() >= ADAPTER_MESSAGES
            || bytes > ADAPTER_BYTES && !queue.adapter_messages.is_empty()
        {
            return Delivery::Full;
        }
        queue.adapter_bytes = bytes;
        push(&mut queue.adapter_messages, (generation, message));
        drop(queue);
        self.arrived.notify_one();
        Delivery::Accepted
    }

    /// Tells the session something of its connections or its manager. False: the session is over.
    pub(super) fn control(&self, control: Control) -> bool {
        let mut queue = self.queue.lock();
        if queue.closed {
            return false;
        }
        push(&mut queue.requests, QueuedRequest::Control(control));
        drop(queue);
        self.arrived.notify_one();
        true
    }

    /// Has the session look at its link. Several of these before it does are one.
    pub(super) fn link_changed(&self) {
        self.queue.lock().link_changed = true;
        self.arrived.notify_one();
    }

    /// How many messages of the adapter wait.
    pub(super) fn adapter_messages(&self) -> usize {
        self.queue.lock().adapter_messages.len()
    }

    /// What is to be handled next, if there is something. `without_adapter`: what the adapter has sent stays where it is.
    pub(super) fn try_recv(&self, without_adapter: bool) -> Option<Input> {
        let mut queue = self.queue.lock();
        let adapter_may = !without_adapter && !queue.adapter_messages.is_empty();
        if adapter_may && (!queue.requests_are_next || queue.requests.is_empty() && !queue.link_changed) {
            queue.requests_are_next = true;
            let (generation, message) = pop(&mut queue.adapter_messages)?;
            queue.adapter_bytes -= message.size();
            return Some(Input::Adapter { generation, message });
        }
        queue.requests_are_next = false;
        if std::mem::take(&mut queue.link_changed) {
            return Some(Input::LinkChanged);
        }
        match pop(&mut queue.requests)? {
            QueuedRequest::Control(control) => Some(Input::Control(control)),
            QueuedRequest::Command(command) => {
                queue.commands -= 1;
                queue.command_bytes -= command.request.bytes();
                if std::mem::take(&mut queue.someone_waits) {
                    self.room.notify_waiters();
                }
                Some(Input::Command(command))
            }
        }
    }

    /// Waits for what [`Self::try_recv`] gives. May be dropped and called again at any time.
    pub(super) async fn recv(&self, without_adapter: bool) -> Input {
        loop {
            let arrived = self.arrived.notified();
            if let Some(input) = self.try_recv(without_adapter) {
                return input;
            }
            arrived.await;
        }
    }

    /// A command has been handled: what it is answered at once has been sent.
    pub(super) fn command_handled(&self) {
        let mut queue = self.queue.lock();
        queue.unhandled -= 1;
        if queue.unhandled == 0 {
            let wakers = std::mem::take(&mut queue.until_handled);
            drop(queue);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Whether all commands that were taken have been handled. Pending: the task is woken when they have.
    pub(super) fn poll_all_handled(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.unhandled == 0 {
            return Poll::Ready(());
        }
        if !queue.until_handled.iter().any(|waker| waker.will_wake(context.waker())) {
            queue.until_handled.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Takes nothing any more. What waits can still be received.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.room.notify_waiters();
    }
}

/// Most of what waits waits alone: it gets room for one.
fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.capacity() == 0 {
        list.reserve_exact(1);
    }
    list.push_back(item);
}

/// An idle session keeps no room that a burst has needed.
fn pop<T>(list: &mut VecDeque<T>) -> Option<T> {
    let first = list.pop_front();
    if list.is_empty() && list.capacity() > 4 {
        *list = VecDeque::new();
    }
    first
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jackfield_plugin_api::Link;
    use tokio::{sync::oneshot, time::Instant};

    use super::{super::input::Reply, *};
    use crate::plugin::FromAgent;

    fn command(name: &str) -> ClientCommand {
        let request = jackfield_protocol::message::Request::parse(&format!(r#"{{"command":"{name}"}}"#)).unwrap();
        ClientCommand { request, reply: Reply::Once(oneshot::channel().0), received: Instant::now() }
    }

    fn adapter_message(bytes: usize) -> AdapterMessage {
        FromAgent::Resume(vec![0; bytes]).into()
    }

    fn name(input: Option<Input>) -> String {
        match input {
            Some(Input::Command(command)) => command.request.command().to_owned(),
            Some(Input::Adapter { .. }) => "adapter".to_owned(),
            Some(Input::Control(_)) => "control".to_owned(),
            Some(Input::LinkChanged) => "link".to_owned(),
            _ => "nothing".to_owned(),
        }
    }

    #[test]
    fn an_adapter_that_floods_is_told_to_wait_and_takes_no_clients_room() {
        let mailbox = Mailbox::default();
        let taken = (0..1000).filter(|_| mailbox.deliver(0, FromAgent::Link(Link::Up).into()) == Delivery::Accepted);
        assert_eq!(taken.count(), ADAPTER_MESSAGES);
        assert!(mailbox.try_command(command("a")).is_ok());
        assert!(mailbox.control(Control::Abandon));
        let order: Vec<String> = (0..4).map(|_| name(mailbox.try_recv(false))).collect();
        assert_eq!(order, ["adapter", "a", "adapter", "control"]);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_unless_it_is_one_alone() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.deliver(0, adapter_message(17 << 20)), Delivery::Accepted);
        assert_eq!(mailbox.deliver(0, adapter_message(1)), Delivery::Full);
        mailbox.try_recv(false);
        let taken = (0..10).filter(|_| mailbox.deliver(0, adapter_message(5 << 20)) == Delivery::Accepted);
        assert_eq!(taken.count(), 3);
    }

    #[test]
    fn client_and_adapter_take_turns_each_in_its_order() {
        let mailbox = Mailbox::default();
        for number in 0..3 {
            assert!(mailbox.try_command(command(&number.to_string())).is_ok());
            mailbox.deliver(0, adapter_message(0));
        }
        let order: Vec<String> = (0..6).map(|_| name(mailbox.try_recv(false))).collect();
        assert_eq!(order, ["adapter", "0", "adapter", "1", "adapter", "2"]);
        mailbox.deliver(0, adapter_message(0));
        assert_eq!(name(mailbox.try_recv(true)), "nothing", "the adapter's may be left where it is");
        assert_eq!(name(mailbox.try_recv(false)), "adapter");
    }

    #[tokio::test]
    async fn a_client_that_floods_waits_until_there_is_room() {
        let mailbox = std::sync::Arc::new(Mailbox::default());
        (0..COMMANDS).for_each(|_| assert!(mailbox.try_command(command("a")).is_ok()));
        assert!(matches!(mailbox.try_command(command("b")), Err(NotTaken::Full(_))));
        let waiting = {
            let mailbox = std::sync::Arc::clone(&mailbox);
            tokio::spawn(async move { mailbox.command(command("b")).await.is_ok() })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        mailbox.try_recv(false);
        assert!(waiting.await.unwrap());
        mailbox.close();
        assert!(mailbox.command(command("c")).await.is_err());
    }

    #[test]
    fn a_link_that_changes_often_is_looked_at_once() {
        let mailbox = Mailbox::default();
        (0..100).for_each(|_| mailbox.link_changed());
        assert_eq!((name(mailbox.try_recv(false)), name(mailbox.try_recv(false))), ("link".into(), "nothing".into()));
    }
}
