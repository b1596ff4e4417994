//! What an adapter says of itself before any of its code runs.
//!
//! A vendor writes it as JSON beside its sources; `export_adapter!` puts it into a link section of the library, from
//! where the host reads it without loading the library.

use serde::{Deserialize, Serialize};

use crate::{command::ObjectKind, json::Json, report::ChannelType};

/// The manifest. Unknown members are ignored, so that a newer adapter's manifest can be read by an older host.
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
    /// The types of channel that it can have.
    pub channel_types: Vec<ChannelType>,
    /// The standard commands that it supports, by their protocol names
    /// ([`STANDARD_COMMANDS`](crate::command::STANDARD_COMMANDS)).
    pub commands: Vec<String>,
    /// Commands of its own.
    #[serde(default)]
    pub extension_commands: Vec<ExtensionCommand>,
    /// Events of its own.
    #[serde(default)]
    pub extension_events: Vec<ExtensionEventKind>,
    /// JSON Schema (draft 2020-12) of a tenant's settings.
    pub settings: Json,
    /// Metrics that it reports.
    #[serde(default)]
    pub metrics: Vec<MetricKind>,
}

impl Manifest {
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

/// An event of the adapter's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExtensionEventKind {
    /// Its name; the first word is the kind of object that it is about. It must not be one of the protocol's own.
    pub name: String,
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
