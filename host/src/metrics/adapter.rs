//! What is counted by adapter.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use prometheus::{Histogram, IntCounter, IntCounterVec};
use rustc_hash::FxHashMap;

use super::{
    families::AdapterFamilies,
    labels::{CommandLabel, OutcomeLabel},
};

/// Counts what concerns one adapter. Cheap to clone; no method waits.
#[derive(Clone)]
pub struct AdapterMetrics(Arc<AdapterSeries>);

struct AdapterSeries {
    id: String,
    /// By command and outcome; a series appears with its first count.
    commands: RwLock<FxHashMap<(CommandLabel, &'static str), IntCounter>>,
    commands_family: IntCounterVec,
    duration: Histogram,
    reports: IntCounter,
    events: IntCounter,
    late_answers: IntCounter,
    metrics_dropped: IntCounter,
    notes: IntCounterVec,
    failures: IntCounterVec,
    breaches: IntCounterVec,
    worker_deaths: IntCounterVec,
}

impl AdapterMetrics {
    pub(super) fn new(id: &str, families: &AdapterFamilies) -> Self {
        // There from the start, so that the first failure is an increase and not a new series.
        for kind in ["load", "connect", "panic", "unresponsive"] {
            families.plugin_failures.with_label_values(&[id, kind]);
        }
        Self(Arc::new(AdapterSeries {
            id: id.to_owned(),
            commands: RwLock::default(),
            commands_family: families.commands.clone(),
            duration: families.command_duration.with_label_values(&[id]),
            reports: families.reports.with_label_values(&[id]),
            events: families.events.with_label_values(&[id]),
            late_answers: families.plugin_late_answers.with_label_values(&[id]),
            metrics_dropped: families.plugin_metrics_dropped.with_label_values(&[id]),
            notes: families.report_notes.clone(),
            failures: families.plugin_failures.clone(),
            breaches: families.plugin_breaches.clone(),
            worker_deaths: families.worker_deaths.clone(),
        }))
    }

    /// Its id, as in its manifest.
    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    /// A command was answered, so long after it arrived.
    pub(super) fn command(&self, command: CommandLabel, outcome: OutcomeLabel, took: Duration) {
        let (series, outcome) = (&*self.0, outcome.as_str());
        series.duration.observe(took.as_secs_f64());
        if let Some(known) = series.commands.read().get(&(command, outcome)) {
            return known.inc();
        }
        let made = series.commands_family.with_label_values(&[series.id.as_str(), command.as_str(), outcome]);
        series.commands.write().entry((command, outcome)).or_insert(made).inc();
    }

    /// A value of the adapter's own metrics was dropped.
    pub(super) fn metric_dropped(&self) {
        self.0.metrics_dropped.inc();
    }

    /// A report was applied and so many events emitted.
    pub fn report(&self, events: usize) {
        self.0.reports.inc();
        self.0.events.inc_by(events as u64);
    }

    /// A statement in a report could not be and was left out.
    pub fn report_note(&self, note: &'static str) {
        self.0.notes.with_label_values(&[self.0.id.as_str(), note]).inc();
    }

    /// The plugin failed: a panic, a failed load or connect, a lost worker.
    pub fn failure(&self, kind: &'static str) {
        self.0.failures.with_label_values(&[self.0.id.as_str(), kind]).inc();
    }

    /// A worker of the plugin ended.
    pub fn worker_died(&self, kind: &'static str) {
        self.0.worker_deaths.with_label_values(&[self.0.id.as_str(), kind]).inc();
    }

    /// The plugin broke the contract.
    pub fn breach(&self, kind: &'static str) {
        self.0.breaches.with_label_values(&[self.0.id.as_str(), kind]).inc();
    }

    /// An answer came after its deadline, or to no question.
    pub fn late_answer(&self) {
        self.0.late_answers.inc();
    }
}

impl std::fmt::Debug for AdapterMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AdapterMetrics({})", self.0.id)
    }
}
