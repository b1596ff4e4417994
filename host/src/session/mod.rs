//! Sessions: what one agent's desktop and one adapter say to each other, and all that is kept in between.
//!
//! Owns: the protocol (`protocol.md`) but for its transports: checks, the order of commands, the journal, resume and
//! takeover, deadlines. Its messages are `jackfield_protocol`'s, the objects and their events
//! `jackfield_model`'s; the adapter is a [`PlatformPort`](crate::plugin::PlatformPort). Must never: know a platform, a socket
//! or a configuration file.
//!
//! In the order in which a message goes through:
//!
//! ```text
//! client_connection.rs   one connection: nothing yet, or bound to a session
//! commands.rs            which commands the sessions of an adapter have
//! mailbox.rs, input.rs   what waits for a session, within bounds
//! task.rs                the session's task: handles what waits, keeps its deadlines, does what comes of it
//! state/                 the session itself: inputs in, effects out
//! effects.rs             what a session wants done
//! translate.rs           what the platform is asked for
//! journal.rs             the numbered events that a returning client may still need
//! outbox.rs, queued.rs   what waits for a connection to be written, and for all of a tenant's
//! ```
//!
//! Around it:
//!
//! ```text
//! manager.rs             all sessions of a tenant, for the rest of the host
//! registry.rs            which there are, by id and by agent; quotas
//! throttle.rs            how fast commands may come
//! handle.rs              a session as others know it
//! status.rs              what is told of it to operators and metrics
//! prepare.rs             how a session comes to be
//! password_attempts.rs   how often an agent's password may be wrong
//! adapter_connection.rs  one connection to the tenant's platform; two while it is moved to another version of its adapter
//! ```
//!
//! # For the server
//!
//! ```text
//! let manager = SessionManager::new("acme", limits, metrics);
//! let connection = manager.serving();
//! manager.set_platform(&connection, Some(platform)); manager.set_link(&connection, link);   // as the adapter comes and goes
//!
//! // a WebSocket
//! let (outbox, mut outlet) = manager.outbox();
//! let mut client = ClientConnection::new(&manager, identity, address, outbox);
//! client.poll_ready(cx);              // pending: its client is not read from
//! client.receive(text, at);           // each text frame, and when it came; returns at once
//! outlet.poll_next(cx);               // what is to be written next, or how the connection is to be closed
//! drop(client);                       // the connection is gone: the grace begins
//!
//! // HTTP
//! manager.prepare(identity, address, body).await                       -> HttpAnswer
//! manager.command(&identity, session_id, body).await                   -> Option<HttpAnswer>   (None: 404)
//! manager.stream(&identity, session_id, last_event_id, outbox).await   -> Result<EventStream, StreamRefused>
//! ```

mod adapter_connection;
mod client_connection;
mod commands;
mod effects;
mod handle;
mod identity;
mod input;
mod journal;
mod mailbox;
mod manager;
mod outbox;
mod password_attempts;
mod prepare;
mod queued;
mod registry;
mod state;
mod status;
mod task;
mod throttle;
mod translate;

use std::time::Duration;

pub(crate) use adapter_connection::{AdapterConnection, AnswerCounts};
pub(crate) use client_connection::ClientConnection;
pub(crate) use identity::Identity;
pub(crate) use jackfield_protocol::event::DisposedReason;
pub(crate) use journal::JournalLimits;
pub(crate) use manager::{EventStream, HttpAnswer, HttpOutcome, SessionManager, StreamRefused};
pub(crate) use outbox::{Message, Outbox, OutboxItem, OutboxLimits, Outlet};
pub(crate) use status::{SessionDetails, SessionStatus};

use crate::rate::Rate;

/// What a tenant's sessions may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionLimits {
    /// Sessions at the same time.
    pub sessions: usize,
    /// How many agents may log in each second, once as many as there may be sessions have.
    pub logins_per_second: u32,
    /// Commands of all agents.
    pub commands: Rate,
    /// Those of one connection, or of one agent without a connection.
    pub connection_commands: Rate,
    /// Commands of a session without an answer; one more is `rate_limited`.
    pub unanswered: usize,
    /// How long the platform may take over a command.
    pub command_deadline: Duration,
    /// How long it may take over a blind conference, where the party has to answer first.
    pub slow_deadline: Duration,
    /// How long a session outlives its connection.
    pub resume_grace: Duration,
    /// The same of one that was prepared and not started. It is short, because such a session uses up a place and does no
    /// work.
    pub prepared_grace: Duration,
    /// How long a session may be prepared and not started, connected or not.
    pub start_within: Duration,
    /// What a session keeps for a client that returns.
    pub journal: JournalLimits,
    /// What waits for a client that reads slowly.
    pub outbox: OutboxLimits,
    /// Bytes that wait for all clients together.
    pub queued_bytes: usize,
}

/// Those of the tests of sessions.
#[cfg(test)]
impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions: 1000,
            logins_per_second: 200,
            commands: Rate::UNBOUNDED,
            connection_commands: Rate::UNBOUNDED,
            unanswered: 32,
            command_deadline: Duration::from_secs(30),
            slow_deadline: Duration::from_secs(60),
            resume_grace: Duration::from_secs(60),
            prepared_grace: Duration::from_secs(15),
            start_within: Duration::from_secs(120),
            journal: JournalLimits::default(),
            outbox: OutboxLimits::default(),
            queued_bytes: usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests;
