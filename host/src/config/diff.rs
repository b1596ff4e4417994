//! What has changed in `jackfield.toml`, and whether a running host can take it over.
//!
//! Owns: for each key, when a changed value takes effect. Must never: leave a key out; a test compares this list with
//! the keys of the shipped file.

use super::Values;

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// When the configuration is read again.
    Reload,
    /// When the host is started again.
    Restart,
}

/// Every key of `jackfield.toml`.
pub(super) const KEYS: &[(&str, Effect)] = &[
    ("listener.address", Effect::Restart),
    ("listener.max_connections", Effect::Restart),
    ("listener.max_frame_bytes", Effect::Restart),
    ("listener.header_timeout", Effect::Restart),
    ("listener.idle_timeout", Effect::Restart),
    ("listener.origins", Effect::Restart),
    ("listener.console", Effect::Restart),
    ("listener.tls.certificate", Effect::Restart),
    ("listener.tls.key", Effect::Restart),
    ("listener.tls.client_ca", Effect::Restart),
    ("operations.enabled", Effect::Restart),
    ("operations.address", Effect::Restart),
    ("tenants.directory", Effect::Reload),
    ("plugins.path", Effect::Reload),
    ("plugins.store", Effect::Restart),
    ("plugins.keys", Effect::Restart),
    ("limits.sessions", Effect::Reload),
    ("limits.connections", Effect::Reload),
    ("limits.resume_grace", Effect::Reload),
    ("limits.command_deadline", Effect::Reload),
    ("limits.conference_deadline", Effect::Reload),
    ("limits.connect_deadline", Effect::Reload),
    ("limits.commands_in_flight", Effect::Reload),
    ("limits.journal_events", Effect::Reload),
    ("limits.outbox_messages", Effect::Reload),
    ("metrics.max_tenants", Effect::Reload),
    ("log.filter", Effect::Reload),
    ("log.format", Effect::Restart),
    ("shutdown.deadline", Effect::Reload),
];

/// When a changed value of a key takes effect; a key that is not listed is safe to call one that needs a restart.
#[must_use]
pub(super) fn effect(key: &str) -> Effect {
    KEYS.iter().find(|(known, _)| *known == key).map_or(Effect::Restart, |(_, effect)| *effect)
}

/// Keys whose values differ, by when that takes effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that a running host takes over.
    pub applied: Vec<String>,
    /// Those that hold only when the host is started again.
    pub restart: Vec<String>,
}

/// What differs between the values that a host runs with and those of its files.
#[must_use]
pub fn changes(running: &Values, read: &Values) -> Changes {
    let mut changes = Changes::default();
    let differs = |key: &&String| running.get(*key) != read.get(*key);
    let mut keys: Vec<&String> = running.keys().chain(read.keys()).filter(differs).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        match effect(key) {
            Effect::Reload => changes.applied.push(key.clone()),
            Effect::Restart => changes.restart.push(key.clone()),
        }
    }
    changes
}

/// The values that the host runs with once it has taken over what it can.
#[must_use]
pub fn taken_over(running: &Values, read: &Values) -> Values {
    let kept = running.iter().filter(|(key, _)| effect(key) == Effect::Restart);
    let taken = read.iter().filter(|(key, _)| effect(key) == Effect::Reload);
    kept.chain(taken).map(|(key, value)| (key.clone(), value.clone())).collect()
}
