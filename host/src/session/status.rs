//! What is told of a session to operators and metrics.
//!
//! Owns: the shape of it, and no more. The session's task sums its state up after each input; a
//! [`SessionHandle`](super::handle::SessionHandle) keeps that, and puts it together with what it knows itself.

use std::time::Duration;

use serde::Serialize;

/// What operators and the metrics are told of a session's state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StateSummary {
    pub(super) state: &'static str,
    pub(super) link_up: bool,
    pub(super) channels: usize,
    pub(super) interactions: usize,
    pub(super) unanswered: usize,
    /// The last event's number.
    pub(super) seq: u64,
    /// Events kept for a client that returns.
    pub(super) journal: usize,
}

/// One session, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SessionStatus {
    /// The beginning of its id: enough to find it, too little to bind it.
    pub id: String,
    /// The agent.
    pub agent: String,
    /// `prepared`, `starting`, `started` or `ended`.
    pub state: &'static str,
    /// A client is connected.
    pub connected: bool,
    /// `up` or `down`.
    pub link: &'static str,
    /// Channels.
    pub channels: usize,
    /// Interactions.
    pub interactions: usize,
    /// Commands without an answer.
    pub unanswered: usize,
    /// The last event's number.
    pub seq: u64,
    /// Events kept for a client that returns.
    pub journal: usize,
    /// Messages waiting to be read by the client.
    pub outbox: usize,
    /// Messages of the adapter waiting to be handled.
    pub mailbox: usize,
}

/// One session by itself, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionDetails {
    /// What the list of all shows.
    #[serde(flatten)]
    pub status: SessionStatus,
    /// The desktop's `model`.
    pub model: Option<String>,
    /// The name of the token that prepared it, or the issuer of one; none where the tenant asks for none.
    pub by: Option<String>,
    /// Bytes that its client has not read yet.
    pub queued_bytes: usize,
    /// How long it has been there.
    #[serde(skip)]
    pub age: Duration,
}
