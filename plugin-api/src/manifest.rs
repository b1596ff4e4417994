//! What an adapter says of itself before any of its code runs.
//!
//! A vendor writes it as JSON beside its sources; `export_adapter!` puts it into a link section of the library, from
//! where the host reads it without loading the library.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{
    command::{ObjectKind, StandardCommand},
    json::Json,
    lists::ListDeclaration,
    report::ChannelType,
};

/// The events of the protocol itself (section 5), which only the host raises.
pub const PROTOCOL_EVENTS: &[&str] = &[
    "session.initialized",
    "session.disposed",
    "session.linkchanged",
    "session.listchanged",
    "channelgroup.created",
    "channelgroup.initialized",
    "channelgroup.disposed",
    "channel.created",
    "channel.infochanged",
    "channel.initialized",
    "channel.disposed",
    "interaction.created",
    "interaction.preview",
    "interaction.screenpop",
    "interaction.datachanged",
    "interaction.focuschanged",
    "interaction.initialized",
    "interaction.ended",
    "interaction.complete",
    "interaction.disposed",
    "conversation.created",
    "conversation.member.added",
    "conversation.member.removed",
    "conversation.member.changed",
    "conversation.initialized",
    "conversation.disposed",
    "state.updated",
];

/// The manifest. Unknown members are ignored, so that a newer adapter's manifest can be read by an older host; what such
/// a host does not know of commands, types of channel, kinds of object and types of metric it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Manifest {
    /// The adapter's name in tenants' files and in metrics: `[a-z][a-z0-9_]{0,31}`.
    pub id: String,
    /// The library's version; `export_adapter!` fills it in from the crate.
    #[serde(default)]
    pub version: String,
    /// Who makes it.
    pub vendor: String,
    /// What it connects to; also the `<platform>` word in the names of its extension commands and events.
    pub platform: String,
    /// The types of channel that it can have. A channel of another type is left out of a report.
    pub channel_types: Vec<ChannelType>,
    /// The standard commands that it supports, by their protocol names
    /// ([`StandardCommand`]).
    pub commands: Vec<String>,
    /// Commands of its own.
    #[serde(default)]
    pub extension_commands: Vec<ExtensionCommand>,
    /// The lists that it has, for the menus of desktops, see [`lists`](crate::lists). Since 1.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListDeclaration>,
    /// Events of its own.
    #[serde(default)]
    pub extension_events: Vec<ExtensionEventKind>,
    /// The keys of call data that are the platform's own, such as its number of the contact. A desktop may not set them
    /// (`forbidden`), and they are kept where other call data is too long to be.
    #[serde(default)]
    pub own_data: Vec<String>,
    /// JSON Schema (draft 2020-12) of a tenant's settings. Mark what is secret with `"writeOnly": true`: a host takes it
    /// from a file or from its environment only, and refuses it where it stands in the tenant's file itself.
    pub settings: Json,
    /// Metrics that it reports.
    #[serde(default)]
    pub metrics: Vec<MetricKind>,
    /// The host's own: what it left out because only a newer version of the plugin API knows it.
    #[serde(skip)]
    pub left_out: Vec<String>,
}

impl Manifest {
    /// The standard commands that it supports: those that it names, and those that come with its lists.
    pub fn standard_commands(&self) -> impl Iterator<Item = StandardCommand> + '_ {
        let of_lists = StandardCommand::OF_LISTS.iter().copied().filter(|command| match command {
            StandardCommand::List => !self.lists.is_empty(),
            _ => self.lists.iter().any(|list| list.watch),
        });
        self.commands.iter().filter_map(|name| StandardCommand::from_name(name)).chain(of_lists)
    }

    /// All that is wrong with the manifest, one sentence each; empty when a host takes it.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !is_word(&self.id) || self.id.len() > 32 {
            wrong.push(format!("id {:?} is not a word of a-z, 0-9 and _ that begins with a letter", self.id));
        }
        if !is_word(&self.platform) {
            wrong.push(format!(
                "platform {:?} is not a word of a-z, 0-9 and _ that begins with a letter",
                self.platform
            ));
        }
        if !is_object(&self.settings) {
            wrong.push("settings is not a JSON Schema (an object)".to_owned());
        }
        for command in &self.commands {
            match StandardCommand::from_name(command) {
                None => wrong.push(format!("commands: {command:?} is not a standard command of the protocol")),
                Some(known) if StandardCommand::OF_LISTS.contains(&known) => {
                    wrong.push(format!("commands: {command:?} comes with what is declared in lists"));
                }
                Some(_) => {}
            }
        }
        wrong.extend(self.extension_commands.iter().filter_map(|it| it.check(&self.platform).err()));
        wrong.extend(self.extension_events.iter().filter_map(|it| it.check().err()));
        wrong.extend(self.metrics.iter().filter_map(|it| it.check().err()));
        wrong.extend(twice("commands", self.commands.iter()));
        wrong.extend(twice("extensionCommands", self.extension_commands.iter().map(|it| &it.name)));
        wrong.extend(twice("extensionEvents", self.extension_events.iter().map(|it| &it.name)));
        let lists: Vec<String> = self.lists.iter().map(|it| it.kind.as_str().to_owned()).collect();
        wrong.extend(twice("lists", lists.iter()));
        wrong.extend(twice("metrics", self.metrics.iter().map(|it| &it.name)));
        wrong
    }

    /// Whether an observation fits what is declared.
    ///
    /// # Errors
    /// One sentence that says what does not fit.
    pub fn check_metric(&self, name: &str, labels: usize, value: f64) -> Result<&MetricKind, String> {
        let Some(kind) = self.metrics.iter().find(|kind| kind.name == name) else {
            return Err(format!("the metric {name:?} is not declared"));
        };
        if kind.labels.len() != labels {
            return Err(format!("the metric {name:?} was given {labels} labels of {}", kind.labels.len()));
        }
        if !value.is_finite() || kind.kind == MetricType::Counter && value < 0.0 {
            return Err(format!("the metric {name:?} was given {value}"));
        }
        Ok(kind)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

pub(crate) fn is_object(json: &Json) -> bool {
    json.get().starts_with('{')
}

fn twice<'a>(list: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| !seen.insert(*name)).map(|name| format!("{list}: {name:?} stands twice")).collect()
}

/// A command of the adapter's own: `<object>.request.<platform>.<verb…>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExtensionCommand {
    /// Its name.
    pub name: String,
    /// The kind of object it is sent to: the first word of the name.
    pub target: ObjectKind,
    /// JSON Schema of its data.
    pub data: Json,
}

impl ExtensionCommand {
    fn check(&self, platform: &str) -> Result<(), String> {
        let Self { name, target, data } = self;
        let words: Vec<&str> = name.split('.').collect();
        let is_well_formed = matches!(&words[..], [_, "request", word, verbs @ ..]
            if *word == platform && !verbs.is_empty() && verbs.iter().all(|verb| is_word(verb)));
        if !is_well_formed {
            return Err(format!("extensionCommands: {name:?} is not <object>.request.{platform}.<verb…>"));
        }
        if ObjectKind::from_word(words[0]) != Some(*target) {
            return Err(format!("extensionCommands: {name:?} begins with another word than its target {target}"));
        }
        if !is_object(data) {
            return Err(format!("extensionCommands: the data of {name:?} is not a JSON Schema (an object)"));
        }
        Ok(())
    }
}

/// An event of the adapter's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExtensionEventKind {
    /// Its name; the first word is the kind of object that it is about. It must not be one of the protocol's own.
    pub name: String,
}

impl ExtensionEventKind {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let mut words = name.split('.');
        let object = words.next().and_then(ObjectKind::from_word);
        if object.is_none() || name.split('.').count() < 2 || !words.all(is_word) {
            return Err(format!("extensionEvents: {name:?} is not <object>.<word…>"));
        }
        if PROTOCOL_EVENTS.contains(&name.as_str()) {
            return Err(format!("extensionEvents: {name:?} is the protocol's own"));
        }
        Ok(())
    }
}

/// A metric of the adapter's own; the host adds the prefix `jackfield_adapter_<id>_` and the label `tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MetricKind {
    /// Its name, in the way of Prometheus: base unit at the end, `_total` for a counter.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// What it means.
    pub help: String,
    /// The names of its labels. Never an agent, a number or a call among them.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How many series a tenant may have of it.
    #[serde(default = "default_max_series")]
    pub max_series: usize,
}

fn default_max_series() -> usize {
    20
}

impl MetricKind {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let wrong = |what: &str| Err(format!("metrics: {name:?} {what}"));
        if !is_word(name) {
            return wrong("is not a word of a-z, 0-9 and _ that begins with a letter");
        }
        if (self.kind == MetricType::Counter) != name.ends_with("_total") {
            return wrong("ends with _total and is no counter, or the other way round");
        }
        if ["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end)) {
            return wrong("ends like a part of a histogram");
        }
        if self.help.trim().is_empty() {
            return wrong("has no help");
        }
        let taken = |label: &&String| !is_word(label) || ["tenant", "le", "quantile"].contains(&label.as_str());
        if let Some(label) = self.labels.iter().find(taken) {
            return Err(format!("metrics: {name:?} cannot have a label {label:?}"));
        }
        if let Some(label) = twice(name, self.labels.iter()).pop() {
            return Err(format!("metrics: label {label}"));
        }
        if self.labels.len() > 8 || !(1..=1000).contains(&self.max_series) {
            return wrong("has more than 8 labels, or a maxSeries that is not within 1 to 1000");
        }
        Ok(())
    }
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// Only grows; each call adds.
    Counter,
    /// Goes up and down; each call sets.
    Gauge,
    /// Each call observes.
    Histogram,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::Manifest;

    fn good() -> Value {
        json!({
            "id": "acme", "vendor": "Acme", "platform": "acme", "channelTypes": ["Telephony"],
            "commands": ["channel.request.dial"],
            "extensionCommands": [{"name": "session.request.acme.park.call", "target": "session", "data": {}}],
            "lists": [{"kind": "queues", "watch": true}],
            "extensionEvents": [{"name": "session.acme.parked"}, {"name": "session.agentleg.connected"}],
            "settings": {},
            "metrics": [{"name": "calls_total", "type": "counter", "help": "Calls.", "labels": ["direction"]}],
        })
    }

    fn wrong_with(path: &str, value: Value) -> Vec<String> {
        let mut manifest = good();
        *manifest.pointer_mut(path).unwrap() = value;
        serde_json::from_value::<Manifest>(manifest).unwrap().check()
    }

    #[test]
    fn a_good_manifest_is_taken() {
        assert_eq!(serde_json::from_value::<Manifest>(good()).unwrap().check(), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_is_named() {
        for (path, value, named) in [
            ("/id", json!("Acme"), "\"Acme\""),
            ("/platform", json!("a.b"), "\"a.b\""),
            ("/settings", json!([]), "settings"),
            ("/commands/0", json!("channel.request.fly"), "fly"),
            ("/commands", json!(["channel.request.dial", "channel.request.dial"]), "twice"),
            ("/commands/0", json!("session.request.list"), "lists"),
            ("/lists", json!([{"kind": "queues"}, {"kind": "queues"}]), "\"queues\" stands twice"),
            ("/extensionCommands/0/name", json!("session.request.other.park"), "other"),
            ("/extensionCommands/0/name", json!("session.request.acme"), "session.request.acme"),
            ("/extensionCommands/0/name", json!("session.request.acme."), "session.request.acme."),
            ("/extensionCommands/0/target", json!("channel"), "target channel"),
            ("/extensionCommands/0/data", json!(true), "JSON Schema"),
            ("/extensionEvents/0/name", json!("channel.created"), "the protocol's own"),
            ("/extensionEvents/0/name", json!("nothing.acme"), "nothing.acme"),
            ("/extensionEvents/0/name", json!("session"), "\"session\""),
            ("/metrics/0/name", json!("calls"), "_total"),
            ("/metrics/0/name", json!("calls-total"), "calls-total"),
            ("/metrics/0/type", json!("gauge"), "_total"),
            ("/metrics/0/labels/0", json!("tenant"), "tenant"),
            ("/metrics/0/help", json!(" "), "help"),
        ] {
            let wrong = wrong_with(path, value.clone());
            assert!(wrong.iter().any(|it| it.contains(named)), "{path} {value}: {wrong:?}");
        }
    }
}
