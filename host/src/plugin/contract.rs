//! The contract with one plugin, and its breaches.
//!
//! Owns: the reading of payloads, the counting and logging of breaches, and the bound on the requests of one tenant that
//! have no answer. Must never: trust a plugin, or let a counter run away with what one message claims. Asked by
//! [`running`](super::running) when something comes, and by [`agent`](super::agent) when it is read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use jackfield_plugin_api::{
    Failure, Manifest,
    wire::{self, BreachKind, Kind},
};
use serde::de::DeserializeOwned;

use crate::metrics::AdapterMetrics;

/// How many requests of all agents of one tenant may be unanswered: a tenant whose platform hangs takes no other
/// tenant's of the same plugin.
pub(super) const MAX_IN_FLIGHT: usize = 16_384;

/// The longest text of an adapter that clients get, in bytes: a failure's message, its context, the reason of
/// a link that is down. What is longer is cut.
const MAX_TEXT: usize = 1024;

/// Cuts a text that clients get.
pub(super) fn cut(text: &mut String) {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
}

/// Cuts the texts of a failure that clients get.
pub(super) fn cut_failure(failure: &mut Failure) {
    cut(&mut failure.message);
    failure.context.as_mut().map(cut);
}

pub(super) struct ContractGuard {
    pub(super) manifest: Arc<Manifest>,
    pub(super) metrics: AdapterMetrics,
}

/// How many requests of one tenant have no answer.
#[derive(Default)]
pub(super) struct InFlight(AtomicUsize);

impl InFlight {
    /// Counts one more request; false where there are too many.
    pub(super) fn begin(&self) -> bool {
        let room = self.count() < MAX_IN_FLIGHT;
        if room {
            self.0.fetch_add(1, Relaxed);
        }
        room
    }

    /// Counts requests as answered.
    pub(super) fn end(&self, requests: usize) {
        self.0.fetch_sub(requests, Relaxed);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl ContractGuard {
    pub(super) fn new(manifest: Arc<Manifest>, metrics: AdapterMetrics) -> Self {
        Self { manifest, metrics }
    }

    /// Reads a payload; what cannot be read is a breach, in the name of a tenant.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        kind: Kind,
        tenant: impl FnOnce() -> String,
        payload: &str,
    ) -> Option<T> {
        wire::read(payload)
            .map_err(|error| {
                let detail = format!("{kind:?}: {}", wire::without_values(&error));
                self.breach(BreachKind::BadMessage, &tenant(), &detail, 1);
            })
            .ok()
    }

    pub(super) fn failed(&self, kind: &'static str, what: &str) {
        self.metrics.failure(kind);
        tracing::error!(adapter = %self.manifest.id, "{what}");
    }

    pub(super) fn breach(&self, what: BreachKind, tenant: &str, detail: &str, times: u64) {
        let kind = match what {
            BreachKind::Panic => {
                self.metrics.failure("panic");
                tracing::error!(adapter = %self.manifest.id, tenant, "the adapter panicked: {detail}");
                return;
            }
            BreachKind::UndeclaredMetric => "undeclared_metric",
            BreachKind::UndeclaredEvent => "undeclared_event",
            BreachKind::ReportsDropped => "reports_dropped",
            BreachKind::ResumeTooLong => "resume_too_long",
            BreachKind::BadMessage => "bad_message",
            BreachKind::NoSnapshot => "no_snapshot",
            _ => "other",
        };
        // One message can stand for many; a plugin that says so of itself cannot make us count for long.
        (0..times.min(1000)).for_each(|_| self.metrics.breach(kind));
        tracing::warn!(adapter = %self.manifest.id, tenant, kind, times, "the adapter broke the contract: {detail}");
    }
}
