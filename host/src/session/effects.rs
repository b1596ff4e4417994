//! The effects of an input on the world outside a session.
//!
//! Owns: the list of them, in order. Must never: do any of it; the session's [task](super::task) does.

use std::{sync::Arc, time::Instant};

use jackfield_plugin_api::{Command, Ending, Failure, StartOptions};
use jackfield_protocol::close::CloseCode;
use tokio::sync::oneshot;

use super::{
    DisposedReason, Outbox,
    adapter_connection::AdapterConnection,
    input::{NotMoved, Reply},
    outbox::Message,
};
use crate::plugin::RequestId;

/// The effects of one input.
#[derive(Default)]
pub(super) struct Effects {
    /// The session is over and removed from the registry. Done before everything else, because a client may act on the
    /// answers.
    pub(super) ended: Option<Option<DisposedReason>>,
    pub(super) list: Vec<Effect>,
}

/// One effect, which the session's task carries out.
pub(super) enum Effect {
    /// Messages for a client.
    Send(Outbox, Vec<Message>),
    /// Messages that a client has asked for by binding.
    Replay(Outbox, Vec<Message>),
    /// The connection is to be closed behind what waits for it.
    Close(Outbox, CloseCode, &'static str),
    /// The session is over: a connection that was for it alone is closed.
    SessionOver(Outbox),
    /// The answer to an HTTP request.
    Answer(oneshot::Sender<String>, String),
    /// The answer to a [`Bind`](super::input::Bind).
    Bound(oneshot::Sender<Result<String, Failure>>, Result<String, Failure>),
    /// The outcome of a [`Migrate`](super::input::Migrate).
    Migrated(oneshot::Sender<Result<(), NotMoved>>, Result<(), NotMoved>),
    /// The agent is to be asked for something.
    Ask(RequestId, Ask),
    /// Drop the agent, or the log-in under way.
    DropAgent,
    /// Log the agent in; the one that there may be is dropped.
    LogIn(AgentLogIn),
}

/// What an agent is asked for.
pub(super) enum Ask {
    Start(StartOptions),
    /// The command and until when its answer counts.
    Command(Command, Instant),
    Snapshot,
    LogOut(Ending),
}

/// A log-in without a password.
pub(super) struct AgentLogIn {
    pub(super) connection: Arc<AdapterConnection>,
    pub(super) generation: u32,
    /// What the adapter has left for this.
    pub(super) resume: Vec<u8>,
    /// Whether it waits for the platform to be connected, and for its turn among others.
    pub(super) patient: bool,
}

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Sends messages to a client: together with those that were going to be sent right before, so that its connection is
    /// woken once.
    pub(super) fn send(&mut self, outbox: &Outbox, messages: impl IntoIterator<Item = Message>) {
        match self.list.last_mut() {
            Some(Effect::Send(to, before)) if to == outbox => before.extend(messages),
            _ => self.push(Effect::Send(outbox.clone(), messages.into_iter().collect())),
        }
    }

    /// Answers a command.
    pub(super) fn reply(&mut self, reply: Reply, text: String) {
        match reply {
            Reply::Outbox(outbox) => self.send(&outbox, [Message::response(text)]),
            Reply::Once(sender) => self.push(Effect::Answer(sender, text)),
        }
    }
}
