//! The metrics that adapters declare in their manifests.
//!
//! Owns: their registration under `jackfield_adapter_<id>_`, the label `tenant`, and the bound on each tenant's series.
//! Must never: let what a plugin says break a scrape (names, labels and values are checked here, not trusted). Data
//! comes from [`Metrics::declare`](super::Metrics::declare) and
//! [`TenantMetrics::plugin_metric`](super::TenantMetrics::plugin_metric).

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Weak},
};

use jackfield_plugin_api::manifest::{MetricKind, MetricType};
use parking_lot::Mutex;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry,
    core::{MetricVec, MetricVecBuilder},
};

use super::{families::DURATION_BUCKETS, labels::OVERFLOW};

/// Longer label values are surely no closed set.
const LONGEST_LABEL: usize = 64;
/// No declaration gives a tenant more series of one metric than this.
const MOST_SERIES: usize = 200;

/// All declared families, by adapter and the name in the manifest.
pub(super) struct Declared {
    registry: Registry,
    families: Mutex<HashMap<(String, String), Arc<Family>>>,
    /// By adapter and tenant, so that a tenant that returns while its old handle lives goes on with its series.
    series: Mutex<HashMap<(String, String), Weak<DeclaredSeries>>>,
}

struct Family {
    kind: MetricKind,
    instruments: Instruments,
}

enum Instruments {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

#[derive(Clone)]
enum Instrument {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Declared {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, families: Mutex::default(), series: Mutex::default() }
    }

    /// Registers one metric; again is nothing. The error is one line that names it.
    pub(super) fn register(&self, adapter: &str, kind: &MetricKind) -> Result<(), String> {
        check(kind).map_err(|problem| format!("metric {:?} of adapter {adapter}: {problem}", kind.name))?;
        let mut families = self.families.lock();
        let Entry::Vacant(place) = families.entry((adapter.to_owned(), kind.name.clone())) else {
            return match &families[&(adapter.to_owned(), kind.name.clone())].kind {
                known if known.kind == kind.kind && known.labels == kind.labels => Ok(()),
                _ => Err(format!(
                    "metric {:?} of adapter {adapter} is declared differently by another version",
                    kind.name
                )),
            };
        };
        let name = format!("jackfield_adapter_{adapter}_{}", kind.name);
        let labels: Vec<&str> = std::iter::once("tenant").chain(kind.labels.iter().map(String::as_str)).collect();
        let instruments = self.make(&name, kind, &labels).map_err(|error| format!("metric {name}: {error}"))?;
        place.insert(Arc::new(Family { kind: kind.clone(), instruments }));
        Ok(())
    }

    fn make(&self, name: &str, kind: &MetricKind, labels: &[&str]) -> Result<Instruments, prometheus::Error> {
        Ok(match kind.kind {
            MetricType::Counter => {
                let family = CounterVec::new(Opts::new(name, &kind.help), labels)?;
                self.registry.register(Box::new(family.clone()))?;
                Instruments::Counter(family)
            }
            MetricType::Gauge => {
                let family = GaugeVec::new(Opts::new(name, &kind.help), labels)?;
                self.registry.register(Box::new(family.clone()))?;
                Instruments::Gauge(family)
            }
            MetricType::Histogram => {
                let options = HistogramOpts::new(name, &kind.help).buckets(DURATION_BUCKETS.to_vec());
                let family = HistogramVec::new(options, labels)?;
                self.registry.register(Box::new(family.clone()))?;
                Instruments::Histogram(family)
            }
        })
    }

    /// What one tenant may count into. Tenants beyond the cap come with the label that they share.
    pub(super) fn series(self: &Arc<Self>, adapter: &str, tenant: &str) -> Arc<DeclaredSeries> {
        let mut all = self.series.lock();
        let key = (adapter.to_owned(), tenant.to_owned());
        if let Some(alive) = all.get(&key).and_then(Weak::upgrade) {
            return alive;
        }
        let made = Arc::new(DeclaredSeries { key: key.clone(), home: Arc::clone(self), series: Mutex::default() });
        all.insert(key, Arc::downgrade(&made));
        made
    }
}

/// What the manifest's checks cannot know: what a scrape and `promtool check metrics` accept.
fn check(kind: &MetricKind) -> Result<(), &'static str> {
    let well_formed = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let ends_in = |suffixes: &[&str]| suffixes.iter().any(|suffix| kind.name.ends_with(suffix));
    if !well_formed(&kind.name) {
        Err("the name must match [a-z][a-z0-9_]*")
    } else if kind.kind == MetricType::Counter && !ends_in(&["_total"]) {
        Err("a counter's name ends in _total")
    } else if kind.kind != MetricType::Counter && ends_in(&["_total", "_count", "_sum", "_bucket"]) {
        Err("only a counter's name ends in _total, and none in _count, _sum or _bucket")
    } else if kind.help.trim().is_empty() {
        Err("help is missing")
    } else if !kind.labels.iter().all(|label| well_formed(label) && !["tenant", "le", "quantile"].contains(&&**label)) {
        Err("labels must match [a-z][a-z0-9_]* and be none of tenant, le, quantile")
    } else {
        Ok(())
    }
}

type Series = HashMap<Vec<String>, Instrument>;

/// The declared series of one tenant; removed when this is dropped.
pub(super) struct DeclaredSeries {
    /// Adapter and tenant.
    key: (String, String),
    home: Arc<Declared>,
    series: Mutex<HashMap<String, (Arc<Family>, Series)>>,
}

impl DeclaredSeries {
    /// Counts one value; false if it was dropped.
    pub(super) fn observe<L: AsRef<str>>(&self, name: &str, labels: &[L], value: f64) -> bool {
        let mut families = self.series.lock();
        if !families.contains_key(name) {
            let declared = self.home.families.lock().get(&(self.key.0.clone(), name.to_owned())).cloned();
            let Some(family) = declared else { return false };
            families.insert(name.to_owned(), (family, Series::new()));
        }
        let Some((family, series)) = families.get_mut(name) else { return false };
        if !value.is_finite() || labels.len() != family.kind.labels.len() {
            return false;
        }
        if labels.iter().any(|label| label.as_ref().len() > LONGEST_LABEL) {
            return false;
        }
        let key: Vec<String> = labels.iter().map(|label| label.as_ref().to_owned()).collect();
        let instrument = match series.get(&key) {
            Some(instrument) => instrument.clone(),
            None if series.len() >= family.kind.max_series.min(MOST_SERIES) => return false,
            None => {
                let Some(made) = family.instruments.with(&self.key.1, &key) else { return false };
                series.insert(key, made.clone());
                made
            }
        };
        match instrument {
            Instrument::Counter(_) if value < 0.0 => return false,
            Instrument::Counter(counter) => counter.inc_by(value),
            Instrument::Gauge(gauge) => gauge.set(value),
            Instrument::Histogram(histogram) => histogram.observe(value),
        }
        true
    }
}

impl Drop for DeclaredSeries {
    fn drop(&mut self) {
        let mut all = self.home.series.lock();
        // A successor may have been made meanwhile: then the series are its own now.
        if all.get(&self.key).is_none_or(|entry| entry.strong_count() > 0) {
            return;
        }
        all.remove(&self.key);
        if self.key.1 == OVERFLOW {
            return;
        }
        for (family, series) in self.series.lock().values() {
            for labels in series.keys() {
                family.instruments.remove(&self.key.1, labels);
            }
        }
    }
}

fn values<'a>(tenant: &'a str, labels: &'a [String]) -> Vec<&'a str> {
    std::iter::once(tenant).chain(labels.iter().map(String::as_str)).collect()
}

impl Instruments {
    fn with(&self, tenant: &str, labels: &[String]) -> Option<Instrument> {
        fn get<B: MetricVecBuilder>(family: &MetricVec<B>, tenant: &str, labels: &[String]) -> Option<B::M> {
            family.get_metric_with_label_values(&values(tenant, labels)).ok()
        }
        match self {
            Self::Counter(family) => get(family, tenant, labels).map(Instrument::Counter),
            Self::Gauge(family) => get(family, tenant, labels).map(Instrument::Gauge),
            Self::Histogram(family) => get(family, tenant, labels).map(Instrument::Histogram),
        }
    }

    fn remove(&self, tenant: &str, labels: &[String]) {
        let values = values(tenant, labels);
        // An error only says that there was no such series.
        let _ = match self {
            Self::Counter(family) => family.remove_label_values(&values),
            Self::Gauge(family) => family.remove_label_values(&values),
            Self::Histogram(family) => family.remove_label_values(&values),
        };
    }
}
