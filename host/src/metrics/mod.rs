//! The metrics for Prometheus. With its children the only file that names the `prometheus` crate.
//!
//! Owns: every metric family, its name and its labels; the cap on tenants; the families that adapters declare. A tenant's
//! handle begins the traces of its commands as well, so that all that is noted of a command goes one way. Must never: take
//! a label's value from a desktop or a platform (agents, numbers, calls), or make a caller wait.
//!
//! The other parts hold cheap handles ([`AdapterMetrics`], [`TenantMetrics`]) and call plain methods; the operations
//! listener calls [`Metrics::render`]. Depths of queues are not updated as queues fill: they are read just before a scrape
//! and set with [`TenantMetrics::set_depths`].
//!
//! ```text
//! families.rs  the host's own families
//! labels.rs    labels' values
//! adapter.rs   what is counted by adapter
//! tenant.rs    what is counted by tenant
//! declared.rs  what adapters declare
//! ```

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use jackfield_plugin_api::manifest::MetricKind;
use parking_lot::Mutex;
use prometheus::{GaugeVec, Opts, Registry, TextEncoder, process_collector::ProcessCollector, proto::LabelPair};

mod adapter;
mod declared;
mod families;
pub(crate) mod labels;
mod tenant;

pub use adapter::AdapterMetrics;
use declared::Declared;
use families::Families;
use labels::OVERFLOW;
pub use labels::{CommandLabel, LimitLabel, OutcomeClass, OutcomeLabel};
use tenant::TenantSeries;
pub use tenant::{Depths, TenantMetrics};

use crate::{audit::LimitAudit, traces::Traces};

/// The label that names a tenant.
const TENANT: &str = "tenant";
/// The label value of tenants that do not exist.
const UNKNOWN: &str = "_unknown";

/// All metrics of the host. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    families: Families,
    max_tenants: AtomicUsize,
    adapters: Mutex<HashMap<String, AdapterMetrics>>,
    /// Those with series of their own, by name.
    tenants: Mutex<HashMap<String, Weak<TenantSeries>>>,
    declared: Arc<Declared>,
    traces: OnceLock<Traces>,
}

impl Metrics {
    /// The families of this host; at most `max_tenants` tenants get series of their own.
    ///
    /// # Panics
    /// Never, unless two families of this file have the same name.
    #[must_use]
    pub fn new(max_tenants: usize) -> Self {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self())).expect("the registry is empty");
        let build = GaugeVec::new(
            Opts::new("jackfield_build_info", "Always 1; its labels say what is running."),
            &["version", "plugin_api"],
        )
        .expect("the family is well formed");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), jackfield_plugin_api::VERSION]).set(1.0);
        registry.register(Box::new(build)).expect("each family is registered once");
        let families = Families::register(&registry);
        Self {
            inner: Arc::new(Inner {
                declared: Arc::new(Declared::new(registry.clone())),
                registry,
                families,
                max_tenants: AtomicUsize::new(max_tenants),
                adapters: Mutex::default(),
                tenants: Mutex::default(),
                traces: OnceLock::new(),
            }),
        }
    }

    /// The text that a scrape gets.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.inner.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            String::new()
        })
    }

    /// The text that a tenant's own scrape gets: its series, and no other tenant's. `None`: it has none of its own, because
    /// there are more tenants than `metrics.max_tenants`.
    #[must_use]
    pub fn render_tenant(&self, tenant: &TenantMetrics) -> Option<String> {
        let label = &*tenant.series.label;
        if label == OVERFLOW {
            return None;
        }
        let mut families = self.inner.registry.gather();
        for family in &mut families {
            let is_its = |label_of: &LabelPair| label_of.name() == TENANT && label_of.value() == label;
            family.mut_metric().retain(|series| series.get_label().iter().any(is_its));
        }
        families.retain(|family| !family.get_metric().is_empty());
        Some(TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "a tenant's metrics cannot be written");
            String::new()
        }))
    }

    /// The handle of an adapter, by the id in its manifest.
    #[must_use]
    pub fn adapter(&self, id: &str) -> AdapterMetrics {
        let mut adapters = self.inner.adapters.lock();
        if let Some(known) = adapters.get(id) {
            return known.clone();
        }
        let made = AdapterMetrics::new(id, &self.inner.families.adapter);
        adapters.insert(id.to_owned(), made.clone());
        made
    }

    /// Registers the metrics that an adapter's manifest declares, and returns one line for each that cannot be had.
    pub fn declare(&self, adapter: &str, metrics: &[MetricKind]) -> Vec<String> {
        metrics.iter().filter_map(|metric| self.inner.declared.register(adapter, metric).err()).collect()
    }

    /// The handle of a tenant that uses an adapter. Its series go with the last clone of it.
    #[must_use]
    pub fn tenant(&self, name: &str, adapter: &str) -> TenantMetrics {
        let series = self.series(name);
        let declared = self.inner.declared.series(adapter, &series.label);
        let audit = Arc::new(LimitAudit::new(name));
        let traces = self.inner.traces.get().and_then(Traces::of_tenant).map(Arc::new);
        TenantMetrics { series, declared, audit, adapter: self.adapter(adapter), traces }
    }

    fn series(&self, name: &str) -> Arc<TenantSeries> {
        let mut tenants = self.inner.tenants.lock();
        if let Some(alive) = tenants.get(name).and_then(Weak::upgrade) {
            return alive;
        }
        if tenants.len() >= self.inner.max_tenants.load(Ordering::Relaxed) && !tenants.contains_key(name) {
            self.inner.families.host.tenants_overflowed.inc();
            tracing::warn!(tenant = name, "metrics.max_tenants is reached: the tenant is counted under _other");
            return Arc::new(TenantSeries::new(OVERFLOW, &self.inner));
        }
        let made = Arc::new(TenantSeries::new(name, &self.inner));
        tenants.insert(name.to_owned(), Arc::downgrade(&made));
        made
    }

    /// How many tenants are in a state, one of the words of the tenants' states.
    pub fn set_tenants(&self, state: &'static str, count: usize) {
        self.inner.families.host.tenants.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An attempt to move a tenant to another version has ended: `moved`, `failed` or `taken_back`.
    pub fn upgraded(&self, outcome: &'static str) {
        self.inner.families.host.upgrades.with_label_values(&[outcome]).inc();
    }

    /// The commands of tenants that come from now on are traced, too; once.
    pub fn trace_by(&self, traces: Traces) {
        // A second one would be a mistake of ours; the first stays.
        let _ = self.inner.traces.set(traces);
    }

    /// So many spans are with the collector.
    pub fn spans_exported(&self, spans: u64) {
        self.inner.families.host.trace_spans.with_label_values(&["exported"]).inc_by(spans);
    }

    /// So many spans could not be kept until the collector took them, or it did not take them.
    pub fn spans_lost(&self, spans: u64) {
        self.inner.families.host.trace_spans.with_label_values(&["lost"]).inc_by(spans);
    }

    /// How many lines of the log have been lost since the start.
    pub fn set_log_lines_lost(&self, total: u64) {
        let counter = &self.inner.families.host.log_lines_lost;
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// An HTTP request was answered.
    pub fn http_request(&self, route: &'static str, status: &str) {
        self.inner.families.host.http_requests.with_label_values(&[route, status]).inc();
    }

    /// A request named a tenant that does not exist.
    pub fn unknown_tenant(&self) {
        self.inner.families.tenant.auth_failures.with_label_values(&[UNKNOWN]).inc();
    }

    /// The configuration was read, at the start or again; whether all of it was right.
    pub fn configuration_read(&self, right: bool) {
        let families = &self.inner.families.host;
        families.reload_success.set(i64::from(right));
        if right {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            families.reload_time.set(i64::try_from(now).unwrap_or(i64::MAX));
        }
    }

    /// How many tenants that come from now on get series of their own.
    pub fn set_max_tenants(&self, max_tenants: usize) {
        self.inner.max_tenants.store(max_tenants, Ordering::Relaxed);
    }

    /// A WebSocket connection or an event stream was closed.
    pub fn connection_closed(&self, reason: &'static str) {
        self.inner.families.host.connections_closed.with_label_values(&[reason]).inc();
    }

    /// When the first of the certificates runs out that a listener shows, in seconds since 1970. `listener`: the table of the
    /// configuration that names them.
    pub fn set_certificate(&self, listener: &'static str, not_after: u64) {
        let not_after = i64::try_from(not_after).unwrap_or(i64::MAX);
        self.inner.families.host.certificate_not_after.with_label_values(&[listener]).set(not_after);
    }

    /// A connection was refused because a bound was reached.
    pub fn connection_refused(&self, reason: &'static str) {
        self.inner.families.host.connections_refused.with_label_values(&[reason]).inc();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests;
