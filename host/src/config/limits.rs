//! What a tenant may have, checked.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    Problem,
    layers::Layers,
    raw,
    units::{Size, Span},
};
use crate::rate::Rate;

/// What a tenant may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TenantLimits {
    /// Sessions.
    pub sessions: usize,
    /// Connections of which a request was let in.
    pub connections: usize,
    /// How many agents may log in each second, after as many at once as there may be sessions.
    pub logins_per_second: u32,
    /// Commands of all its agents.
    pub commands: Rate,
    /// Those of one connection, or of one agent without a connection.
    pub connection_commands: Rate,
    /// How long a session waits for its client to return.
    pub resume_grace: Duration,
    /// How long a connection stays whose token has expired or counts no more.
    pub token_grace: Duration,
    /// How long a session that is prepared and not started waits for its client.
    pub prepared_grace: Duration,
    /// How long a session may be prepared and not started, connected or not.
    pub start_within: Duration,
    /// How long a command may take.
    pub command_deadline: Duration,
    /// How long a blindconference may take.
    pub conference_deadline: Duration,
    /// How long connecting to the platform may take.
    pub connect_deadline: Duration,
    /// Unanswered commands of a session.
    pub commands_in_flight: usize,
    /// Events that a session keeps for a client that returns.
    pub journal_events: usize,
    /// Messages that wait for a client to read.
    pub outbox_messages: usize,
    /// Bytes that wait for all clients together.
    pub queued_bytes: usize,
    /// The largest message of a desktop.
    pub message_bytes: usize,
}

pub(super) const SECOND: u64 = 1_000;
pub(super) const HOUR: u64 = 3_600_000;
/// The most of anything that is counted one by one.
pub(super) const MOST: usize = 1_000_000;

/// Takes values that lie within their bounds, and notes those that do not.
pub(super) struct Bounds<'a> {
    layers: &'a Layers,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { layers, problems: Vec::new() }
    }

    pub(super) fn count(&mut self, key: &str, value: usize, bounds: RangeInclusive<usize>) -> usize {
        if !bounds.contains(&value) {
            self.wrong(key, format!("{value} is not between {} and {}", bounds.start(), bounds.end()));
        }
        value
    }

    /// The same for what is kept in fewer bits.
    pub(super) fn number(&mut self, key: &str, value: usize, bounds: RangeInclusive<usize>) -> u32 {
        self.count(key, value, bounds).try_into().unwrap_or(u32::MAX)
    }

    /// Bounds are in bytes.
    fn size(&mut self, key: &str, Size(value): Size, bounds: RangeInclusive<u64>) -> usize {
        if !bounds.contains(&value) {
            self.wrong(key, format!("{value} bytes are not between {} and {}", bounds.start(), bounds.end()));
        }
        usize::try_from(value).unwrap_or(usize::MAX)
    }

    /// Bounds are in milliseconds.
    pub(super) fn span(&mut self, key: &str, Span(value): Span, bounds: RangeInclusive<u64>) -> Duration {
        let [least, most] = [*bounds.start(), *bounds.end()].map(Duration::from_millis);
        if !(least..=most).contains(&value) {
            self.wrong(key, format!("{value:?} is not between {least:?} and {most:?}"));
        }
        value
    }

    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.layers.wrong(key, message));
    }
}

impl TenantLimits {
    /// Checks what was read; what is wrong is noted with the bounds.
    pub(super) fn check(bounds: &mut Bounds<'_>, raw: raw::RawLimits) -> Self {
        let logins_per_second = bounds.number("limits.logins_per_second", raw.logins_per_second, 1..=MOST);
        let commands = Rate {
            per_second: bounds.number("limits.commands_per_second", raw.commands_per_second, 0..=MOST),
            burst: bounds.number("limits.commands_burst", raw.commands_burst, 1..=MOST),
        };
        let of_connection = raw.connection_commands_per_second;
        let of_connection = bounds.number("limits.connection_commands_per_second", of_connection, 0..=MOST);
        Self {
            sessions: bounds.count("limits.sessions", raw.sessions, 1..=MOST),
            connections: bounds.count("limits.connections", raw.connections, 1..=MOST),
            logins_per_second,
            commands,
            connection_commands: Rate { per_second: of_connection, burst: of_connection },
            token_grace: bounds.span("limits.token_grace", raw.token_grace, 0..=24 * HOUR),
            resume_grace: bounds.span("limits.resume_grace", raw.resume_grace, 0..=24 * HOUR),
            prepared_grace: bounds.span("limits.prepared_grace", raw.prepared_grace, 0..=HOUR),
            start_within: bounds.span("limits.start_within", raw.start_within, SECOND..=24 * HOUR),
            command_deadline: bounds.span("limits.command_deadline", raw.command_deadline, 10..=HOUR),
            conference_deadline: bounds.span("limits.conference_deadline", raw.conference_deadline, 10..=HOUR),
            connect_deadline: bounds.span("limits.connect_deadline", raw.connect_deadline, 10..=HOUR),
            commands_in_flight: bounds.count("limits.commands_in_flight", raw.commands_in_flight, 1..=10_000),
            journal_events: bounds.count("limits.journal_events", raw.journal_events, 1..=1_000_000),
            queued_bytes: bounds.size("limits.queued_bytes", raw.queued_bytes, 1 << 20..=1 << 40),
            message_bytes: bounds.count("limits.message_bytes", raw.message_bytes, 1_024..=1 << 24),
            outbox_messages: bounds.count("limits.outbox_messages", raw.outbox_messages, 16..=1_000_000),
        }
    }
}

#[cfg(test)]
impl Default for TenantLimits {
    fn default() -> Self {
        let raw = super::layers::shipped().expect("the shipped configuration is right").limits;
        let layers = Layers::of_host(&super::Source::file(std::path::Path::new("jackfield.toml")));
        Self::check(&mut Bounds::new(&layers), raw)
    }
}
