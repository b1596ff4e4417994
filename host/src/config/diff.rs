//! What has changed in `jackfield.toml`, and whether a running host can take it over.
//!
//! Owns: for each key, when a changed value takes effect. Must never: leave a key out; a test compares this list with
//! the keys of the shipped file.

use super::Values;

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenApplied {
    /// When the configuration is read again.
    Reload,
    /// When the host is started again.
    Restart,
}

/// Every key of `jackfield.toml`.
pub(super) const KEYS: &[(&str, WhenApplied)] = &[
    ("listener.address", WhenApplied::Restart),
    ("listener.max_connections", WhenApplied::Restart),
    ("listener.header_timeout", WhenApplied::Restart),
    ("listener.idle_timeout", WhenApplied::Restart),
    ("listener.origins", WhenApplied::Restart),
    ("listener.trusted_proxies", WhenApplied::Restart),
    ("listener.console", WhenApplied::Restart),
    ("listener.tls.certificate", WhenApplied::Restart),
    ("listener.tls.key", WhenApplied::Restart),
    ("listener.tls.client_ca", WhenApplied::Restart),
    ("operations.enabled", WhenApplied::Restart),
    ("operations.address", WhenApplied::Restart),
    ("operations.hosts", WhenApplied::Restart),
    ("operations.tokens", WhenApplied::Reload),
    ("operations.tls.certificate", WhenApplied::Restart),
    ("operations.tls.key", WhenApplied::Restart),
    ("operations.tls.client_ca", WhenApplied::Restart),
    ("tenants.directory", WhenApplied::Reload),
    ("plugins.path", WhenApplied::Reload),
    ("plugins.store", WhenApplied::Restart),
    ("plugins.keys", WhenApplied::Restart),
    ("limits.sessions", WhenApplied::Reload),
    ("limits.connections", WhenApplied::Reload),
    ("limits.logins_per_second", WhenApplied::Reload),
    ("limits.commands_per_second", WhenApplied::Reload),
    ("limits.commands_burst", WhenApplied::Reload),
    ("limits.connection_commands_per_second", WhenApplied::Reload),
    ("limits.resume_grace", WhenApplied::Reload),
    ("limits.token_grace", WhenApplied::Reload),
    ("limits.prepared_grace", WhenApplied::Reload),
    ("limits.start_within", WhenApplied::Reload),
    ("limits.command_deadline", WhenApplied::Reload),
    ("limits.conference_deadline", WhenApplied::Reload),
    ("limits.connect_deadline", WhenApplied::Reload),
    ("limits.commands_in_flight", WhenApplied::Reload),
    ("limits.journal_events", WhenApplied::Reload),
    ("limits.outbox_messages", WhenApplied::Reload),
    ("limits.queued_bytes", WhenApplied::Reload),
    ("limits.message_bytes", WhenApplied::Reload),
    ("metrics.max_tenants", WhenApplied::Reload),
    ("log.filter", WhenApplied::Reload),
    ("log.details", WhenApplied::Reload),
    ("log.format", WhenApplied::Restart),
    ("traces.endpoint", WhenApplied::Restart),
    ("traces.ratio", WhenApplied::Restart),
    ("traces.commands_per_second", WhenApplied::Restart),
    ("traces.headers_file", WhenApplied::Restart),
    ("shutdown.drain", WhenApplied::Reload),
    ("shutdown.retry_after", WhenApplied::Reload),
    ("shutdown.deadline", WhenApplied::Reload),
];

/// When a changed value of a key takes effect; a key that is not listed is safe to call one that needs a restart.
#[must_use]
pub(super) fn effect(key: &str) -> WhenApplied {
    KEYS.iter().find(|(known, _)| *known == key).map_or(WhenApplied::Restart, |(_, effect)| *effect)
}

/// Keys whose values differ, by when that takes effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that a running host takes over.
    pub applied: Vec<String>,
    /// Those that hold only when the host is started again.
    pub restart: Vec<String>,
}

/// What differs between the values that a host runs with and those of its files.
#[must_use]
pub(crate) fn changes(running: &Values, read: &Values) -> Changes {
    let mut changes = Changes::default();
    let differs = |key: &&String| running.get(*key) != read.get(*key);
    let mut keys: Vec<&String> = running.keys().chain(read.keys()).filter(differs).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        match effect(key) {
            WhenApplied::Reload => changes.applied.push(key.clone()),
            WhenApplied::Restart => changes.restart.push(key.clone()),
        }
    }
    changes
}

/// The values that the host runs with once it has taken over what it can.
#[must_use]
pub(crate) fn taken_over(running: &Values, read: &Values) -> Values {
    let kept = running.iter().filter(|(key, _)| effect(key) == WhenApplied::Restart);
    let taken = read.iter().filter(|(key, _)| effect(key) == WhenApplied::Reload);
    kept.chain(taken).map(|(key, value)| (key.clone(), value.clone())).collect()
}
