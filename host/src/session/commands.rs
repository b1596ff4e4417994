//! Which commands the sessions of an adapter have.
//!
//! Owns: finding a command by its name among those of the protocol and those that the adapter declares, and the checks of
//! an extension command's data. What is fixed about the protocol's commands stands in `jackfield_protocol::command`. Must
//! never: look at an object's state, or say what a platform is asked for (`translate.rs`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jackfield_model::Capabilities;
use jackfield_plugin_api::{
    Code, Failure, Manifest,
    command::{ObjectKind, StandardCommand},
};
use jackfield_protocol::command::{Deadline, Lane, ProtocolCommand};
use jsonschema::PatternOptions;

use crate::metrics::CommandLabel;

pub(super) const PREPARE: &str = ProtocolCommand::PrepareSession.name();
pub(super) const BIND: &str = ProtocolCommand::BindSession.name();
pub(super) const START: ProtocolCommand = ProtocolCommand::Start;
pub(super) const LOGOUT: ProtocolCommand = ProtocolCommand::Logout;

/// A command's name, looked up.
#[derive(Debug, Clone)]
pub(super) enum SessionCommand {
    /// `session.start`.
    Start,
    /// `session.request.logout`.
    Logout,
    /// One of the protocol that the adapter carries out.
    Standard(StandardCommand),
    /// One that the adapter declares.
    Extension(Arc<Extension>),
}

/// Why a name leads to no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCommand {
    /// Neither a standard command nor of the form of an extension command.
    Unknown,
    /// The adapter does not have it.
    Unsupported,
}

impl NoCommand {
    /// The failure that the desktop gets.
    #[cold]
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Unknown => Failure::new(Code::UnknownCommand, "there is no such command"),
            Self::Unsupported => Failure::new(Code::Unsupported, "the adapter does not support this command"),
        }
    }
}

impl SessionCommand {
    /// The same as a command of the protocol; `None`: it is the adapter's own.
    fn protocol(&self) -> Option<ProtocolCommand> {
        match self {
            Self::Start => Some(ProtocolCommand::Start),
            Self::Logout => Some(ProtocolCommand::Logout),
            Self::Standard(command) => Some(ProtocolCommand::Standard(*command)),
            Self::Extension(_) => None,
        }
    }

    /// The kind of object that it is sent to.
    pub(super) fn kind(&self) -> ObjectKind {
        match self {
            Self::Start | Self::Logout => ObjectKind::Session,
            Self::Standard(command) => command.object(),
            Self::Extension(extension) => extension.kind,
        }
    }

    /// Whether it never waits behind unanswered commands.
    pub(super) fn is_urgent(&self) -> bool {
        self.protocol().is_some_and(|command| command.specification().lane == Lane::Urgent)
    }

    /// Whether it waits for no command and none for it.
    pub(super) fn is_aside(&self) -> bool {
        self.protocol().is_some_and(|command| command.specification().lane == Lane::Aside)
    }

    /// Whether the platform may take longer over it than over others.
    pub(super) fn is_slow(&self) -> bool {
        self.protocol().is_some_and(|command| command.specification().deadline == Deadline::Slow)
    }

    /// Whether this is the protocol's `command`.
    pub(super) fn is(&self, command: ProtocolCommand) -> bool {
        self.protocol() == Some(command)
    }

    /// The label that it has in the metrics.
    pub(super) fn label(&self) -> CommandLabel {
        self.protocol().map_or(CommandLabel::EXTENSION, |command| CommandLabel::of(command.name()))
    }
}

/// A command that the adapter declares.
pub(super) struct Extension {
    pub(super) name: String,
    pub(super) kind: ObjectKind,
    /// What its data must look like.
    schema: Result<jsonschema::Validator, String>,
}

impl std::fmt::Debug for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// How many steps back a pattern may take that cannot be matched without them.
const STEPS_BACK: usize = 10_000;

/// A schema, made so that checking takes no longer than the data are long: its patterns are matched in one pass. Those
/// that cannot be, with a bound on their steps.
fn validator(schema: &serde_json::Value) -> Result<jsonschema::Validator, String> {
    let options = jsonschema::draft202012::options;
    let in_one_pass = options().with_pattern_options(PatternOptions::regex()).build(schema);
    in_one_pass.map_err(|error| error.to_string()).or_else(|_| {
        let bounded = PatternOptions::fancy_regex().backtrack_limit(STEPS_BACK);
        options().with_pattern_options(bounded).build(schema).map_err(|error| error.to_string())
    })
}

impl Extension {
    /// Checks data against the declared schema.
    ///
    /// # Errors
    /// What does not fit; `Err(None)`: the schema itself is broken.
    pub(super) fn check(&self, data: &str) -> Result<(), Option<String>> {
        let schema = self.schema.as_ref().map_err(|_| None)?;
        let value = serde_json::from_str(data).map_err(|error| Some(error.to_string()))?;
        schema.validate(&value).map_err(|error| {
            let at = error.instance_path().to_string();
            Some(if at.is_empty() { error.to_string() } else { format!("{at}: {error}") })
        })
    }
}

/// All that the sessions of one adapter can do: made once from its manifest, shared by all of them.
#[derive(Debug)]
pub(super) struct CommandSet {
    pub(super) manifest: Arc<Manifest>,
    pub(super) capabilities: Arc<Capabilities>,
    standard: HashSet<StandardCommand>,
    extensions: HashMap<String, Arc<Extension>>,
}

impl CommandSet {
    /// The commands that a manifest declares. A schema that is none is logged, and its command fails.
    pub(super) fn of(manifest: &Arc<Manifest>) -> Self {
        let extensions = manifest.extension_commands.iter().map(|declared| {
            let schema = declared
                .data
                .parse::<serde_json::Value>()
                .map_err(|error| error.to_string())
                .and_then(|schema| validator(&schema));
            if let Err(error) = &schema {
                tracing::error!(adapter = %manifest.id, command = %declared.name, "its schema cannot be used: {error}");
            }
            let extension = Extension { name: declared.name.clone(), kind: declared.target, schema };
            (declared.name.clone(), Arc::new(extension))
        });
        Self {
            capabilities: Arc::new(Capabilities::of(manifest)),
            standard: manifest.standard_commands().collect(),
            extensions: extensions.collect(),
            manifest: Arc::clone(manifest),
        }
    }

    /// The command with a name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(&self, name: &str) -> Result<SessionCommand, NoCommand> {
        match find_without_adapter(name) {
            Ok(SessionCommand::Standard(command)) if !self.standard.contains(&command) => Err(NoCommand::Unsupported),
            Ok(known) => Ok(known),
            Err(none) => self.extensions.get(name).map(|own| SessionCommand::Extension(Arc::clone(own))).ok_or(none),
        }
    }
}

/// The command with a name where there is no adapter.
pub(super) fn find_without_adapter(name: &str) -> Result<SessionCommand, NoCommand> {
    match ProtocolCommand::from_name(name) {
        Some(ProtocolCommand::Start) => Ok(SessionCommand::Start),
        Some(ProtocolCommand::Logout) => Ok(SessionCommand::Logout),
        Some(ProtocolCommand::Standard(command)) => Ok(SessionCommand::Standard(command)),
        // A connection's commands, not a session's: whoever reads a connection has taken them out before.
        Some(ProtocolCommand::PrepareSession | ProtocolCommand::BindSession) => Err(NoCommand::Unknown),
        None if has_extension_form(name) => Err(NoCommand::Unsupported),
        None => Err(NoCommand::Unknown),
    }
}

/// `<object>.request.<platform>.<verb…>`
fn has_extension_form(name: &str) -> bool {
    let words: Vec<&str> = name.split('.').collect();
    words.len() >= 4
        && words.iter().all(|word| !word.is_empty())
        && words[1] == "request"
        && ObjectKind::from_word(words[0]).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pattern_cannot_make_the_check_of_data_long() {
        let schema = |pattern: &str| {
            let object = serde_json::json!({"properties": {"a": {"type": "string", "pattern": pattern}}});
            let (name, kind) = ("session.request.acme.do".to_owned(), ObjectKind::Session);
            Extension { name, kind, schema: validator(&object) }
        };
        let data = serde_json::json!({"a": format!("{}!", "a".repeat(60_000))}).to_string();
        // Both would be looked at for longer than anybody lives, if each way were tried.
        assert!(schema("^(a+)+$").check(&data).is_err());
        assert!(schema("^(?=a)(a+)+$").check(&data).is_err());
        assert!(schema("^a").check(&data).is_ok());
    }

    #[test]
    fn names_are_matched_exactly() {
        for name in ["Channel.request.ready", "channel.request.ready ", "", "ready", "channel.request", "x.request.a.b"]
        {
            assert_eq!(find_without_adapter(name).unwrap_err(), NoCommand::Unknown, "{name}");
        }
        assert!(matches!(find_without_adapter("channel.ready"), Ok(SessionCommand::Standard(StandardCommand::Ready))));
    }

    #[test]
    fn the_form_of_an_extension_command_is_an_object_request_a_platform_and_a_verb() {
        for name in ["channel.request.acme.do", "session.request.acme.agentleg.connect"] {
            assert_eq!(find_without_adapter(name).unwrap_err(), NoCommand::Unsupported, "{name}");
        }
        for name in ["channel.request.acme", "channel.request..do", "thing.request.acme.do", "channel.acme.do.it"] {
            assert_eq!(find_without_adapter(name).unwrap_err(), NoCommand::Unknown, "{name}");
        }
    }
}
