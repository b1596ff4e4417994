//! Sessions: what one agent's desktop and one adapter say to each other, and all that is kept in between.
//!
//! Owns: the protocol (`protocol.md`) but for its transports: messages, checks, the tree, the order of events, the
//! journal, resume and takeover, deadlines. Must never: know a platform, a socket or a configuration file.
//!
//! In the order in which a message goes through:
//!
//! ```text
//! client_connection.rs       one connection: nothing yet, or bound to a session
//! message.rs    what a desktop sent, read without changing a byte; what it is answered
//! commands.rs   the table of commands: name, target, data, what becomes of it
//! manager.rs   all sessions of a tenant: by id and by agent, quotas, who may bind
//! adapter_connection.rs      one connection to the tenant's platform; two while it is moved to another version of its adapter
//! prepare.rs    how a session comes to be, and gets a new agent after a crash
//! timer.rs      one clock for all sessions of a tenant
//! cell.rs       one session, worked by whoever brings it something: desktop, adapter or clock
//! actor.rs      what a session does with it: order, checks, deadlines, answers
//! data.rs       what a command's data must look like
//! plan.rs       what the platform is asked for
//! life.rs       how a session starts, loses and regains its link, and ends
//! handover.rs   how an agent is moved to another trunk
//! link.rs       whether commands can be carried out
//! client.rs     what the client is sent, how it comes back, how long its session waits for it
//! port.rs       the adapter as a session needs it
//! tree.rs …     the objects of one session and what a report makes of them
//! journal.rs    the numbered events that a returning client may still need
//! outbox.rs     what waits for a connection to be written
//! ```
//!
//! # For the server
//!
//! ```text
//! let board = SessionManager::new("acme", limits, metrics);      // inside a tokio runtime
//! let trunk = board.serving();
//! board.set_platform(&trunk, Some(platform)); board.set_link(&trunk, link);   // as the adapter comes and goes
//!
//! // a WebSocket
//! let (outbox, mut outlet) = Outbox::new(limits.outbox);
//! let mut desk = board.desk(identity, outbox);
//! outlet.will_work();                 // this task does what the adapter brings for the session
//! desk.receive(text, at);             // each text frame, and when it came; returns at once
//! desk.work(patient);                 // whenever the task is woken
//! outlet.poll_take(cx, bytes, |text| …); // what is to be written, and whether the connection is to be closed behind it;
//!                                     // pending until there is something to be written, or (look again) to be done
//! drop(desk);                         // the connection is gone: the grace begins
//!
//! // HTTP
//! board.prepare(identity, body).await                 -> Answer
//! board.command(&identity, session_id, body).await    -> Option<Answer>      (None: 404)
//! board.stream(&identity, session_id, last_event_id, outbox) -> Result<EventStream, StreamRefused>
//! ```

mod actor;
mod adapter_connection;
mod cell;
mod client;
mod client_connection;
mod commands;
mod data;
mod handover;
mod identity;
mod journal;
mod life;
mod link;
mod manager;
mod message;
mod outbox;
mod plan;
mod port;
mod prepare;
mod text;
mod timer;
pub mod tree;

use std::time::Duration;

use serde::Serialize;

pub use adapter_connection::{AdapterConnection, Tally};
pub use client_connection::{ClientConnection, EventStream};
pub use handover::Moved;
pub use identity::Identity;
pub use journal::JournalLimits;
pub use manager::{Answer, SessionManager, SessionStatus, StreamRefused};
pub use outbox::{Batch, CloseCode, Message, Out, Outbox, OutboxLimits, Outlet, Taken};
pub use port::{AgentPort, LoggedIn, PlatformPort};
pub use text::{Lengths, Text};

/// What a tenant's sessions may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at the same time.
    pub sessions: usize,
    /// Commands of a session without an answer; one more is `rate_limited`.
    pub unanswered: usize,
    /// How long the platform may take over a command.
    pub command_deadline: Duration,
    /// How long it may take over a blind conference, where the party has to answer first.
    pub slow_deadline: Duration,
    /// How long a session outlives its connection.
    pub resume_grace: Duration,
    /// What a session keeps for a client that returns.
    pub journal: JournalLimits,
    /// What waits for a client that reads slowly.
    pub outbox: OutboxLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 1000,
            unanswered: 32,
            command_deadline: Duration::from_secs(30),
            slow_deadline: Duration::from_secs(60),
            resume_grace: Duration::from_secs(60),
            journal: JournalLimits::default(),
            outbox: OutboxLimits::default(),
        }
    }
}

/// Why a session ended without a logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisposedReason {
    /// The agent has a new session.
    Replaced,
    /// Nobody came back in time.
    Expired,
    /// The tenant is served no more.
    TenantRemoved,
    /// The host ends.
    ShuttingDown,
    /// The adapter cannot go on with it.
    AdapterFailed,
}

impl DisposedReason {
    /// The reason as the protocol writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::TenantRemoved => "tenant_removed",
            Self::ShuttingDown => "shutting_down",
            Self::AdapterFailed => "adapter_failed",
        }
    }
}

#[cfg(test)]
mod tests;
