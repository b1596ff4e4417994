//! The table of commands.
//!
//! Owns: which commands there are, by which names, for which kind of object, and which of them do not wait. Must never:
//! look at a command's data (`data.rs`), its object's state (`tree/rules.rs`), or say what a platform is asked for
//! (`plan.rs`). Extension commands come from the adapter's manifest, see [`Repertoire`].

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use jackfield_plugin_api::{
    Code, Failure, Manifest,
    command::{ObjectKind, STANDARD_COMMANDS},
};

use rustc_hash::FxHashMap;

use super::tree::Capabilities;
use crate::metrics::CommandLabel;

/// One command of the protocol that has a session for its scene.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name in the protocol, aliases resolved.
    pub(super) name: &'static str,
    /// The kind of object that it is sent to.
    pub(super) kind: ObjectKind,
    /// Its place among the standard commands; `None` for the host's own.
    place: Option<usize>,
    /// It never waits behind unanswered commands.
    pub(super) urgent: bool,
    /// The platform may take longer over it than over others.
    pub(super) slow: bool,
    /// How metrics call it.
    pub(super) label: CommandLabel,
}

pub(super) const PREPARE: &str = "prepareSession";
pub(super) const BIND: &str = "bindSession";
pub(super) const START: &str = "session.start";
pub(super) const LOGOUT: &str = "session.request.logout";

/// Those that never wait.
const URGENT: [&str; 3] = [LOGOUT, "interaction.request.reject", "conversation.request.release"];

/// Those with the longer deadline.
const SLOW: [&str; 1] = ["conversation.request.blindconference"];

/// All rows, by every name that a desktop may use.
static ROWS: LazyLock<FxHashMap<&'static str, &'static Row>> = LazyLock::new(|| {
    // Its keys are ours, so nobody can choose them to collide.
    let mut rows = FxHashMap::default();
    let own = [START, LOGOUT].into_iter().map(|name| (name, None));
    let standard = STANDARD_COMMANDS.iter().enumerate().map(|(place, &name)| (name, Some(place)));
    for (name, place) in own.chain(standard) {
        let word = name.split('.').next().unwrap_or_default();
        let row: &'static Row = Box::leak(Box::new(Row {
            name,
            kind: ObjectKind::from_word(word).expect("each name in the table begins with a kind"),
            place,
            urgent: URGENT.contains(&name),
            slow: SLOW.contains(&name),
            label: CommandLabel::of(name),
        }));
        rows.insert(name, row);
        let alias = if name == START { "session.request.start".to_owned() } else { name.replacen(".request.", ".", 1) };
        rows.insert(Box::leak(alias.into_boxed_str()), row);
    }
    rows
});

/// A command's name, looked up.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// One of the table.
    Standard(&'static Row),
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
    /// What the desktop is told.
    #[cold]
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Unknown => Failure::new(Code::UnknownCommand, "there is no such command"),
            Self::Unsupported => Failure::new(Code::Unsupported, "the adapter does not support this command"),
        }
    }
}

impl Known {
    /// The kind of object that it is sent to.
    pub(super) fn kind(&self) -> ObjectKind {
        match self {
            Self::Standard(row) => row.kind,
            Self::Extension(extension) => extension.kind,
        }
    }

    /// Whether it never waits behind unanswered commands.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::Standard(row) if row.urgent)
    }

    /// Whether it is this one of the table.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Standard(row) if row.name == name)
    }

    /// How metrics call it.
    pub(super) fn label(&self) -> CommandLabel {
        match self {
            Self::Standard(row) => row.label,
            Self::Extension(_) => CommandLabel::EXTENSION,
        }
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
pub(super) struct Repertoire {
    pub(super) manifest: Arc<Manifest>,
    pub(super) capabilities: Arc<Capabilities>,
    standard: Vec<bool>,
    extensions: HashMap<String, Arc<Extension>>,
}

impl Repertoire {
    /// What a manifest declares. A schema that is none is told to the log; its command fails.
    pub(super) fn of(manifest: &Arc<Manifest>) -> Self {
        let extensions = manifest.extension_commands.iter().map(|declared| {
            let schema = declared
                .data
                .parse::<serde_json::Value>()
                .map_err(|error| error.to_string())
                .and_then(|schema| jsonschema::draft202012::new(&schema).map_err(|error| error.to_string()));
            if let Err(error) = &schema {
                tracing::error!(adapter = %manifest.id, command = %declared.name, "its schema cannot be used: {error}");
            }
            let extension = Extension { name: declared.name.clone(), kind: declared.target, schema };
            (declared.name.clone(), Arc::new(extension))
        });
        Self {
            capabilities: Arc::new(Capabilities::of(manifest)),
            standard: STANDARD_COMMANDS.iter().map(|&name| manifest.commands.iter().any(|own| own == name)).collect(),
            extensions: extensions.collect(),
            manifest: Arc::clone(manifest),
        }
    }

    /// The command with a name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(&self, name: &str) -> Result<Known, NoCommand> {
        if let Some(&row) = ROWS.get(name) {
            let supported = row.place.is_none_or(|place| self.standard[place]);
            return if supported { Ok(Known::Standard(row)) } else { Err(NoCommand::Unsupported) };
        }
        match self.extensions.get(name) {
            Some(extension) => Ok(Known::Extension(Arc::clone(extension))),
            None if has_extension_form(name) => Err(NoCommand::Unsupported),
            None => Err(NoCommand::Unknown),
        }
    }
}

/// The command with a name where there is no adapter.
pub(super) fn find_without_adapter(name: &str) -> Result<Known, NoCommand> {
    match ROWS.get(name) {
        Some(row) => Ok(Known::Standard(row)),
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

    fn standard(name: &str) -> Option<&'static str> {
        match find_without_adapter(name) {
            Ok(Known::Standard(row)) => Some(row.name),
            _ => None,
        }
    }

    #[test]
    fn every_standard_command_is_found_by_its_name_and_without_request() {
        for name in STANDARD_COMMANDS {
            assert_eq!(standard(name), Some(*name));
            assert_eq!(standard(&name.replace(".request.", ".")), Some(*name));
        }
        assert_eq!(standard("session.request.start"), Some(START));
        assert_eq!(standard("session.logout"), Some(LOGOUT));
    }

    #[test]
    fn names_are_matched_exactly() {
        for name in ["Channel.request.ready", "channel.request.ready ", "", "ready", "channel.request", "x.request.a.b"]
        {
            assert_eq!(find_without_adapter(name).unwrap_err(), NoCommand::Unknown, "{name}");
        }
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
