//! What a session is told: by its client, its adapter, its manager and its clock.
//!
//! Owns: the shape of these inputs, and where an answer goes. Must never: do anything. They wait in the session's
//! [`Mailbox`](super::mailbox::Mailbox) and are handled one after the other by its
//! [`SessionState`](super::state::SessionState).

use jackfield_protocol::message::Request;
use std::sync::Arc;

use jackfield_plugin_api::Failure;
use tokio::{sync::oneshot, time::Instant};

use super::{DisposedReason, Outbox, adapter_connection::AdapterConnection, commands::CommandSet};
use crate::plugin::{AdapterMessage, RequestId};

/// One input of a session.
pub(super) enum Input {
    /// A client's command.
    Command(ClientCommand),
    /// A message of the agent that was logged in as this one. Messages of an earlier log-in are ignored.
    Adapter {
        generation: u32,
        message: AdapterMessage,
    },
    /// The link of its adapter connection has changed.
    LinkChanged,
    Control(Control),
    /// The outcome of the log-in that it asked for.
    LoggedIn(Result<Arc<CommandSet>, Failure>),
    /// The adapter could not be asked, and will not answer.
    NotAsked(RequestId, Failure),
    /// A deadline has come.
    Tick,
}

/// A command on its way to the session.
pub(super) struct ClientCommand {
    pub(super) request: Request,
    pub(super) reply: Reply,
    /// When it came.
    pub(super) received: Instant,
}

/// Where a response goes.
#[derive(Debug)]
pub(super) enum Reply {
    /// To the connection that sent the command.
    Outbox(Outbox),
    /// To one HTTP request.
    Once(oneshot::Sender<String>),
}

/// A request of a connection or the manager. Each of them waits until one is done before it sends another, so there are
/// never many.
pub(super) enum Control {
    /// The connection that has prepared the session becomes its client.
    Connect(Outbox),
    /// A client comes back.
    Bind(Bind),
    /// A connection is gone.
    Disconnect(Outbox),
    /// The session is to end.
    End {
        /// What its client is told; `None`: it has no client yet.
        reason: Option<DisposedReason>,
        /// Dropped when the agent has left.
        done: Option<oneshot::Sender<()>>,
    },
    /// The agent is to be moved to another adapter connection; its client does not notice.
    Migrate(Migrate),
    /// The agent is to be logged in on this adapter connection at once, as after a crash.
    Replace(Arc<AdapterConnection>),
    /// The session is to end at once; its agent is dropped without a logout.
    Abandon,
}

/// A client that binds a session.
pub(super) struct Bind {
    pub(super) outbox: Outbox,
    /// The number of the last event that it has.
    pub(super) after: Option<u64>,
    /// bindSession and when it came, where it came as a message: it is answered in front of the events.
    pub(super) request: Option<(Request, Instant)>,
    /// Gets the data of bindSession's success, or why it is not bound.
    pub(super) done: oneshot::Sender<Result<String, Failure>>,
}

/// A move to another adapter connection.
pub(super) struct Migrate {
    pub(super) from: Arc<AdapterConnection>,
    pub(super) to: Arc<AdapterConnection>,
    /// Dropped where the session ends or loses its agent on the way.
    pub(super) done: oneshot::Sender<Result<(), NotMoved>>,
}

/// Why a session was not moved.
#[derive(Debug)]
pub(super) enum NotMoved {
    /// A command is in flight; later.
    Busy,
    /// It needs no move: it is over, or not on that connection.
    Gone,
    /// The new adapter does not take the agent, who stays where it was.
    Refused(Failure),
}
