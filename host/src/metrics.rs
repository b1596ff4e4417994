//! What Prometheus is told; with its children the only file that names the `prometheus` crate.
//!
//! Owns: every metric family, its name and its labels; the cap on tenants; the families that adapters declare. Must
//! never: take a label's value from a desktop or a platform (agents, numbers, calls), or make the one who counts wait.
//! The other parts hold cheap handles ([`AdapterMetrics`], [`TenantMetrics`]) and call plain methods; the operations
//! listener calls [`Metrics::render`]. Depths of queues are not kept up to date by those who fill them: they are asked
//! for just before a scrape and set with [`TenantMetrics::set_depths`].
//!
//! A tenant's series live as long as its handle: when the last clone is dropped they are removed. Beyond the cap,
//! tenants share the label value `_other`; shared gauges are sums, because each handle adds its own share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jackfield_plugin_api::{Code, command::STANDARD_COMMANDS, manifest::MetricKind};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, process_collector::ProcessCollector,
};

mod declared;

use declared::{Declared, DeclaredSeries};

/// The label value that tenants beyond the cap share. No tenant can have this name.
const OVERFLOW: &str = "_other";

/// From half a millisecond (an adapter in memory) to beyond the longest deadline that is usual.
const DURATION_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A command, as a label: one of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandLabel(u8);

/// The host's own commands, then three for what is no standard command.
const OTHER_COMMANDS: &[&str] =
    &["prepareSession", "bindSession", "session.start", "session.request.logout", "extension", "unknown"];

impl CommandLabel {
    /// Any command that an adapter declares.
    pub const EXTENSION: Self = Self::at(4);
    /// A name that nobody knows.
    pub const UNKNOWN: Self = Self::at(5);

    const fn at(other: usize) -> Self {
        Self((STANDARD_COMMANDS.len() + other) as u8)
    }

    /// The label of a standard command or one of the host's own, by its protocol name; everything else is
    /// [`Self::UNKNOWN`].
    #[must_use]
    pub fn of(name: &str) -> Self {
        let all = STANDARD_COMMANDS.iter().chain(&OTHER_COMMANDS[..4]);
        all.zip(0u8..).find_map(|(known, index)| (*known == name).then_some(Self(index))).unwrap_or(Self::UNKNOWN)
    }

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let index = usize::from(self.0);
        STANDARD_COMMANDS.get(index).unwrap_or_else(|| &OTHER_COMMANDS[index - STANDARD_COMMANDS.len()])
    }
}

const COMMANDS: usize = STANDARD_COMMANDS.len() + OTHER_COMMANDS.len();

/// What became of a command, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeLabel {
    /// Carried out.
    Success,
    /// The platform must know more.
    NeedInfo,
    /// prepareSession asks back.
    Confirm,
    /// Failed.
    Failure(Code),
}

impl OutcomeLabel {
    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NeedInfo => "needinfo",
            Self::Confirm => "confirm",
            Self::Failure(code) => code.as_str(),
        }
    }

    /// Its place among the outcomes of one command; a code newer than this table shares the last one with `internal`.
    const fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::NeedInfo => 1,
            Self::Confirm => 2,
            Self::Failure(code) => {
                3 + match code {
                    Code::BadRequest => 0,
                    Code::UnknownCommand => 1,
                    Code::NotFound => 2,
                    Code::InvalidState => 3,
                    Code::Unsupported => 4,
                    Code::Unauthorized => 5,
                    Code::Forbidden => 6,
                    Code::Conflict => 7,
                    Code::RateLimited => 8,
                    Code::QuotaExceeded => 9,
                    Code::Rejected => 10,
                    Code::Unreachable => 11,
                    Code::Busy => 12,
                    Code::Timeout => 13,
                    Code::LinkDown => 14,
                    Code::AdapterFailed => 15,
                    Code::ShuttingDown => 16,
                    _ => 17,
                }
            }
        }
    }
}

const OUTCOMES: usize = 21;

/// The families that the host itself has.
struct Families {
    commands: IntCounterVec,
    command_duration: HistogramVec,
    reports: IntCounterVec,
    report_notes: IntCounterVec,
    events: IntCounterVec,
    plugin_failures: IntCounterVec,
    worker_deaths: IntCounterVec,
    plugin_breaches: IntCounterVec,
    plugin_late_answers: IntCounterVec,
    plugin_metrics_dropped: IntCounterVec,
    sessions: IntGaugeVec,
    sessions_limit: IntGaugeVec,
    sessions_ended: IntCounterVec,
    connections: IntGaugeVec,
    connections_closed: IntCounterVec,
    connections_refused: IntCounterVec,
    journal: IntGaugeVec,
    outbox: IntGaugeVec,
    outbox_longest: IntGaugeVec,
    mailbox: IntGaugeVec,
    link_up: IntGaugeVec,
    bad_messages: IntCounterVec,
    http_requests: IntCounterVec,
    auth_failures: IntCounter,
    tenants: IntGaugeVec,
    upgrades: IntCounterVec,
    tenants_overflowed: IntCounter,
    log_lines_lost: IntCounter,
}

impl Families {
    fn register(registry: &Registry) -> Self {
        let counters = |name, help, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels).expect("the family is well formed");
            registry.register(Box::new(family.clone())).expect("each family is registered once");
            family
        };
        let counter = |name, help| {
            let counter = IntCounter::new(name, help).expect("the counter is well formed");
            registry.register(Box::new(counter.clone())).expect("each family is registered once");
            counter
        };
        let gauges = |name, help, labels: &[&str]| {
            let family = IntGaugeVec::new(Opts::new(name, help), labels).expect("the family is well formed");
            registry.register(Box::new(family.clone())).expect("each family is registered once");
            family
        };
        let duration = HistogramVec::new(
            HistogramOpts::new("jackfield_command_duration_seconds", "Time from a command's arrival to its response.")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["adapter"],
        )
        .expect("the family is well formed");
        registry.register(Box::new(duration.clone())).expect("each family is registered once");
        Self {
            commands: counters(
                "jackfield_commands_total",
                "Commands answered, by adapter, command and outcome (success, needinfo, confirm or the failure's code).",
                &["adapter", "command", "outcome"],
            ),
            command_duration: duration,
            reports: counters("jackfield_reports_total", "Reports applied, by adapter.", &["adapter"]),
            report_notes: counters(
                "jackfield_report_notes_total",
                "Statements in reports that could not be and were left out, by adapter and kind.",
                &["adapter", "note"],
            ),
            events: counters("jackfield_events_total", "Events said to sessions, by adapter.", &["adapter"]),
            plugin_failures: counters(
                "jackfield_plugin_failures_total",
                "Failures of plugins (panics, failed loads and connects, lost workers), by adapter and kind.",
                &["adapter", "kind"],
            ),
            worker_deaths: counters(
                "jackfield_worker_deaths_total",
                "Ends of workers, by adapter and kind (exit, signal, hang, flood, memory, protocol; released: on purpose).",
                &["adapter", "kind"],
            ),
            plugin_breaches: counters(
                "jackfield_plugin_breaches_total",
                "Breaches of the plugin contract, by adapter and kind.",
                &["adapter", "kind"],
            ),
            plugin_late_answers: counters(
                "jackfield_plugin_late_answers_total",
                "Answers that came after their deadline, or to no question, by adapter.",
                &["adapter"],
            ),
            plugin_metrics_dropped: counters(
                "jackfield_plugin_metrics_dropped_total",
                "Metric values from plugins that were not declared, ill-formed or beyond the declared series.",
                &["adapter"],
            ),
            sessions: gauges("jackfield_sessions", "Sessions, connected or waiting for their client.", &["tenant"]),
            sessions_limit: gauges("jackfield_sessions_limit", "Sessions that the tenant may have.", &["tenant"]),
            sessions_ended: counters("jackfield_sessions_ended_total", "Sessions ended, by reason.", &["reason"]),
            connections: gauges("jackfield_connections", "Open WebSocket connections and event streams.", &["tenant"]),
            connections_closed: counters(
                "jackfield_connections_closed_total",
                "WebSocket connections and event streams closed, by reason.",
                &["reason"],
            ),
            connections_refused: counters(
                "jackfield_connections_refused_total",
                "Connections refused, by the bound that was reached.",
                &["reason"],
            ),
            journal: gauges("jackfield_journal_events", "Events kept for clients that return.", &["tenant"]),
            outbox: gauges("jackfield_outbox_messages", "Messages waiting to be read by clients.", &["tenant"]),
            outbox_longest: gauges(
                "jackfield_outbox_longest_messages",
                "Messages waiting for the client that reads slowest.",
                &["tenant"],
            ),
            mailbox: gauges("jackfield_mailbox_messages", "Messages waiting to be handled by sessions.", &["tenant"]),
            link_up: gauges("jackfield_link_up", "Whether the tenant's platform can be reached.", &["tenant"]),
            bad_messages: counters(
                "jackfield_bad_messages_total",
                "Messages from clients that were no well-formed message of the protocol.",
                &["tenant"],
            ),
            http_requests: counters(
                "jackfield_http_requests_total",
                "HTTP requests answered, WebSocket handshakes included, by route and status.",
                &["route", "status"],
            ),
            auth_failures: counter("jackfield_auth_failures_total", "Requests without a valid tenant and token."),
            tenants: gauges("jackfield_tenants", "Tenants configured, by state.", &["state"]),
            upgrades: counters(
                "jackfield_upgrades_total",
                "Attempts to move a tenant to another version of its adapter, by outcome.",
                &["outcome"],
            ),
            tenants_overflowed: counter(
                "jackfield_metrics_tenants_overflowed_total",
                "Tenants that got no series of their own because the cap was reached; they share the label _other.",
            ),
            log_lines_lost: counter(
                "jackfield_log_lines_lost_total",
                "Lines of the log that could not be written to the standard error.",
            ),
        }
    }
}

/// All metrics of the host. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    families: Families,
    max_tenants: usize,
    adapters: Mutex<HashMap<String, AdapterMetrics>>,
    /// Those with series of their own, by name.
    tenants: Mutex<HashMap<String, Weak<TenantSeries>>>,
    declared: Arc<Declared>,
}

/// None of what a lock guards here can be left half done, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
                max_tenants,
                adapters: Mutex::default(),
                tenants: Mutex::default(),
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

    /// The handle of an adapter, by the id in its manifest.
    #[must_use]
    pub fn adapter(&self, id: &str) -> AdapterMetrics {
        let mut adapters = locked(&self.inner.adapters);
        if let Some(known) = adapters.get(id) {
            return known.clone();
        }
        let made = AdapterMetrics::new(id, &self.inner.families);
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
        TenantMetrics { series, declared, adapter: self.adapter(adapter) }
    }

    fn series(&self, name: &str) -> Arc<TenantSeries> {
        let mut tenants = locked(&self.inner.tenants);
        if let Some(alive) = tenants.get(name).and_then(Weak::upgrade) {
            return alive;
        }
        if tenants.len() >= self.inner.max_tenants && !tenants.contains_key(name) {
            self.inner.families.tenants_overflowed.inc();
            tracing::warn!(tenant = name, "metrics.max_tenants is reached: the tenant is counted under _other");
            return Arc::new(TenantSeries::new(OVERFLOW, &self.inner));
        }
        let made = Arc::new(TenantSeries::new(name, &self.inner));
        tenants.insert(name.to_owned(), Arc::downgrade(&made));
        made
    }

    /// How many tenants are in a state, one of [`State::ALL`](crate::tenant::State::ALL).
    pub fn set_tenants(&self, state: &'static str, count: usize) {
        self.inner.families.tenants.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An attempt to move a tenant to another version has ended: `moved`, `failed` or `taken_back`.
    pub fn upgraded(&self, outcome: &'static str) {
        self.inner.families.upgrades.with_label_values(&[outcome]).inc();
    }

    /// How many lines of the log have been lost since the start.
    pub fn set_log_lines_lost(&self, total: u64) {
        let counter = &self.inner.families.log_lines_lost;
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// An HTTP request was answered.
    pub fn http_request(&self, route: &'static str, status: &str) {
        self.inner.families.http_requests.with_label_values(&[route, status]).inc();
    }

    /// A request named no tenant that exists, or proved nothing.
    pub fn auth_failed(&self) {
        self.inner.families.auth_failures.inc();
    }

    /// A WebSocket connection or an event stream was closed.
    pub fn connection_closed(&self, reason: &'static str) {
        self.inner.families.connections_closed.with_label_values(&[reason]).inc();
    }

    /// A connection was refused because a bound was reached.
    pub fn connection_refused(&self, reason: &'static str) {
        self.inner.families.connections_refused.with_label_values(&[reason]).inc();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts what concerns one adapter. Cheap to clone; no method waits.
#[derive(Clone)]
pub struct AdapterMetrics(Arc<AdapterSeries>);

struct AdapterSeries {
    id: String,
    /// By command, then outcome; a series appears with its first count.
    commands: Box<[OnceLock<IntCounter>]>,
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
    fn new(id: &str, families: &Families) -> Self {
        // There from the start, so that the first failure is an increase and not a new series.
        for kind in ["load", "connect", "panic", "unresponsive"] {
            families.plugin_failures.with_label_values(&[id, kind]);
        }
        Self(Arc::new(AdapterSeries {
            id: id.to_owned(),
            commands: (0..COMMANDS * OUTCOMES).map(|_| OnceLock::new()).collect(),
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

    /// A command was answered, so long after it arrived.
    pub fn command(&self, command: CommandLabel, outcome: OutcomeLabel, took: Duration) {
        let series = &*self.0;
        series.commands[usize::from(command.0) * OUTCOMES + outcome.index()]
            .get_or_init(|| {
                series.commands_family.with_label_values(&[series.id.as_str(), command.as_str(), outcome.as_str()])
            })
            .inc();
        series.duration.observe(took.as_secs_f64());
    }

    /// A report was applied and said so many events.
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

/// Depths of a tenant's queues, summed over its sessions and connections just before a scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depths {
    /// Events kept for clients that return.
    pub journal: usize,
    /// Messages waiting to be read by clients.
    pub outbox: usize,
    /// The longest of those queues.
    pub outbox_longest: usize,
    /// Messages waiting to be handled by sessions.
    pub mailbox: usize,
}

/// Counts what concerns one tenant. Cheap to clone; no method waits.
#[derive(Clone)]
pub struct TenantMetrics {
    series: Arc<TenantSeries>,
    adapter: AdapterMetrics,
    declared: Arc<DeclaredSeries>,
}

impl TenantMetrics {
    /// The adapter that the tenant uses.
    #[must_use]
    pub fn adapter(&self) -> &AdapterMetrics {
        &self.adapter
    }

    /// A session was prepared.
    pub fn session_opened(&self) {
        self.series.sessions.add(1);
    }

    /// A session ended, and why.
    pub fn session_ended(&self, reason: &'static str) {
        self.series.sessions.add(-1);
        self.series.sessions_ended.with_label_values(&[reason]).inc();
    }

    /// How many sessions the tenant may have.
    pub fn set_session_limit(&self, limit: usize) {
        self.series.sessions_limit.set(limit);
    }

    /// A WebSocket connection or an event stream was opened.
    pub fn connection_opened(&self) {
        self.series.connections.add(1);
    }

    /// A WebSocket connection or an event stream is gone.
    pub fn connection_gone(&self) {
        self.series.connections.add(-1);
    }

    /// Whether the tenant's platform can be reached.
    pub fn set_link(&self, up: bool) {
        self.series.link_up.set(usize::from(up));
    }

    /// A client sent what is no well-formed message of the protocol.
    pub fn bad_message(&self) {
        self.series.bad_messages.inc();
    }

    /// How deep the tenant's queues are now.
    pub fn set_depths(&self, depths: Depths) {
        self.series.journal.set(depths.journal);
        self.series.outbox.set(depths.outbox);
        self.series.outbox_longest.set(depths.outbox_longest);
        self.series.mailbox.set(depths.mailbox);
    }

    /// The adapter reports one of its own metrics for this tenant. One that is not declared, is ill-formed or goes
    /// beyond the declared number of series is dropped and counted.
    pub fn plugin_metric<L: AsRef<str>>(&self, name: &str, labels: &[L], value: f64) {
        if !self.declared.observe(name, labels, value) {
            self.adapter.0.metrics_dropped.inc();
        }
    }
}

impl std::fmt::Debug for TenantMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantMetrics({})", self.series.label)
    }
}

/// One handle's part of a gauge that others may share; it is taken back when the handle goes.
struct Share {
    gauge: IntGauge,
    own: AtomicI64,
}

impl Share {
    fn new(gauge: IntGauge) -> Self {
        Self { gauge, own: AtomicI64::new(0) }
    }

    fn add(&self, by: i64) {
        self.own.fetch_add(by, Ordering::Relaxed);
        self.gauge.add(by);
    }

    fn set(&self, value: usize) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let before = self.own.swap(value, Ordering::Relaxed);
        self.gauge.add(value - before);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.sub(*self.own.get_mut());
    }
}

/// The series of one tenant; removed when this is dropped.
struct TenantSeries {
    label: String,
    home: Weak<Inner>,
    sessions: Share,
    sessions_limit: Share,
    connections: Share,
    journal: Share,
    outbox: Share,
    outbox_longest: Share,
    mailbox: Share,
    link_up: Share,
    bad_messages: IntCounter,
    sessions_ended: IntCounterVec,
}

impl TenantSeries {
    fn new(label: &str, home: &Arc<Inner>) -> Self {
        let families = &home.families;
        let share = |family: &IntGaugeVec| Share::new(family.with_label_values(&[label]));
        Self {
            label: label.to_owned(),
            home: Arc::downgrade(home),
            sessions: share(&families.sessions),
            sessions_limit: share(&families.sessions_limit),
            connections: share(&families.connections),
            journal: share(&families.journal),
            outbox: share(&families.outbox),
            outbox_longest: share(&families.outbox_longest),
            mailbox: share(&families.mailbox),
            link_up: share(&families.link_up),
            bad_messages: families.bad_messages.with_label_values(&[label]),
            sessions_ended: families.sessions_ended.clone(),
        }
    }
}

impl Drop for TenantSeries {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        if self.label == OVERFLOW {
            return;
        }
        let mut tenants = locked(&home.tenants);
        // A tenant of the same name may have come meanwhile: then the series are its own now.
        if tenants.get(&self.label).is_none_or(|entry| entry.strong_count() > 0) {
            return;
        }
        tenants.remove(&self.label);
        let families = &home.families;
        for family in [
            &families.sessions,
            &families.sessions_limit,
            &families.connections,
            &families.journal,
            &families.outbox,
            &families.outbox_longest,
            &families.mailbox,
            &families.link_up,
        ] {
            // An error only says that there was no such series.
            let _ = family.remove_label_values(&[self.label.as_str()]);
        }
        let _ = families.bad_messages.remove_label_values(&[self.label.as_str()]);
    }
}

#[cfg(test)]
mod tests;
