//! The families that the host itself has: names, help, labels.
//!
//! Owns: what each is called and by which labels it is told apart. Must never: have a label whose values a desktop or a
//! platform chooses, or `tenant` in more families than are needed to see which tenant is in trouble.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// From half a millisecond (an adapter in memory) to beyond the longest deadline that is usual.
pub(super) const DURATION_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The families that the host itself has.
pub(super) struct Families {
    pub(super) adapter: AdapterFamilies,
    pub(super) tenant: TenantFamilies,
    pub(super) host: HostFamilies,
}

impl Families {
    /// Makes all of them, in a registry that has none.
    pub(super) fn register(registry: &Registry) -> Self {
        let families = Registrar(registry);
        Self {
            adapter: AdapterFamilies::register(&families),
            tenant: TenantFamilies::register(&families),
            host: HostFamilies::register(&families),
        }
    }
}

/// What is counted by adapter.
pub(super) struct AdapterFamilies {
    pub(super) commands: IntCounterVec,
    pub(super) command_duration: HistogramVec,
    pub(super) reports: IntCounterVec,
    pub(super) report_notes: IntCounterVec,
    pub(super) events: IntCounterVec,
    pub(super) plugin_failures: IntCounterVec,
    pub(super) worker_deaths: IntCounterVec,
    pub(super) plugin_breaches: IntCounterVec,
    pub(super) plugin_late_answers: IntCounterVec,
    pub(super) plugin_metrics_dropped: IntCounterVec,
}

impl AdapterFamilies {
    fn register(families: &Registrar<'_>) -> Self {
        Self {
            commands: families.counters(
                "jackfield_commands_total",
                "Commands answered, by adapter, command and outcome (success, needinfo, confirm or the failure's code).",
                &["adapter", "command", "outcome"],
            ),
            command_duration: families.histogram(
                "jackfield_command_duration_seconds",
                "Time from a command's arrival to its response.",
                &["adapter"],
            ),
            reports: families.counters(
                "jackfield_reports_total",
                "Reports applied, by adapter.",
                &["adapter"],
            ),
            report_notes: families.counters(
                "jackfield_report_notes_total",
                "Statements in reports that could not be and were left out, by adapter and kind.",
                &["adapter", "note"],
            ),
            events: families.counters(
                "jackfield_events_total",
                "Events emitted to sessions, by adapter.",
                &["adapter"],
            ),
            plugin_failures: families.counters(
                "jackfield_plugin_failures_total",
                "Failures of plugins (panics, failed loads and connects, lost workers), by adapter and kind.",
                &["adapter", "kind"],
            ),
            worker_deaths: families.counters(
                "jackfield_worker_deaths_total",
                "Workers that died, by adapter and kind (exit, signal, hang, flood, memory, protocol).",
                &["adapter", "kind"],
            ),
            plugin_breaches: families.counters(
                "jackfield_plugin_breaches_total",
                "Breaches of the plugin contract, by adapter and kind.",
                &["adapter", "kind"],
            ),
            plugin_late_answers: families.counters(
                "jackfield_plugin_late_answers_total",
                "Answers that came after their deadline, or to no question, by adapter.",
                &["adapter"],
            ),
            plugin_metrics_dropped: families.counters(
                "jackfield_plugin_metrics_dropped_total",
                "Metric values from plugins that were not declared, ill-formed or beyond the declared series.",
                &["adapter"],
            ),
        }
    }
}

/// What is counted by tenant.
pub(super) struct TenantFamilies {
    pub(super) sessions: IntGaugeVec,
    pub(super) sessions_limit: IntGaugeVec,
    pub(super) connections: IntGaugeVec,
    pub(super) connections_limit: IntGaugeVec,
    pub(super) clients: IntGaugeVec,
    pub(super) journal: IntGaugeVec,
    pub(super) outbox: IntGaugeVec,
    pub(super) outbox_longest: IntGaugeVec,
    pub(super) outbox_bytes: IntGaugeVec,
    pub(super) mailbox: IntGaugeVec,
    pub(super) link_up: IntGaugeVec,
    pub(super) state: IntGaugeVec,
    pub(super) outcomes: IntCounterVec,
    pub(super) limited: IntCounterVec,
    pub(super) bad_messages: IntCounterVec,
    pub(super) auth_failures: IntCounterVec,
}

impl TenantFamilies {
    fn register(families: &Registrar<'_>) -> Self {
        Self {
            sessions: families.gauges(
                "jackfield_sessions",
                "Sessions, connected or waiting for their client.",
                &["tenant"],
            ),
            sessions_limit: families.gauges(
                "jackfield_sessions_limit",
                "Sessions that the tenant may have.",
                &["tenant"],
            ),
            connections: families.gauges(
                "jackfield_connections",
                "Open connections that were let in, by tenant.",
                &["tenant"],
            ),
            connections_limit: families.gauges(
                "jackfield_connections_limit",
                "Connections that the tenant may have.",
                &["tenant"],
            ),
            clients: families.gauges(
                "jackfield_client_connections",
                "Open WebSocket connections and event streams, by tenant.",
                &["tenant"],
            ),
            journal: families.gauges(
                "jackfield_journal_events",
                "Events kept for clients that return.",
                &["tenant"],
            ),
            outbox: families.gauges(
                "jackfield_outbox_messages",
                "Messages waiting to be read by clients.",
                &["tenant"],
            ),
            outbox_longest: families.gauges(
                "jackfield_outbox_longest_messages",
                "Messages waiting for the client that reads slowest.",
                &["tenant"],
            ),
            outbox_bytes: families.gauges(
                "jackfield_outbox_bytes",
                "Bytes waiting to be read by clients.",
                &["tenant"],
            ),
            mailbox: families.gauges(
                "jackfield_mailbox_messages",
                "Messages waiting to be handled by sessions.",
                &["tenant"],
            ),
            link_up: families.gauges(
                "jackfield_link_up",
                "Whether the tenant's platform can be reached.",
                &["tenant"],
            ),
            state: families.gauges(
                "jackfield_tenant_state",
                "Always 1; its label says the tenant's state (connecting, connected, draining, waiting, quarantined, refused).",
                &["tenant", "state"],
            ),
            outcomes: families.counters(
                "jackfield_tenant_commands_total",
                "Commands answered, by tenant and class of outcome (success, refused, limited, declined, fault).",
                &["tenant", "outcome"],
            ),
            limited: families.counters(
                "jackfield_limited_total",
                "What was refused, delayed or closed because a limit of the tenant was reached, by the limit's key.",
                &["tenant", "limit"],
            ),
            bad_messages: families.counters(
                "jackfield_bad_messages_total",
                "Messages from clients that were no well-formed message of the protocol.",
                &["tenant"],
            ),
            auth_failures: families.counters(
                "jackfield_auth_failures_total",
                "Requests without a valid token, by tenant; those for a tenant that does not exist under _unknown.",
                &["tenant"],
            ),
        }
    }
}

/// What is counted for the host as a whole.
pub(super) struct HostFamilies {
    pub(super) sessions_ended: IntCounterVec,
    pub(super) connections_closed: IntCounterVec,
    pub(super) connections_refused: IntCounterVec,
    pub(super) http_requests: IntCounterVec,
    pub(super) reload_success: IntGauge,
    pub(super) reload_time: IntGauge,
    pub(super) certificate_not_after: IntGaugeVec,
    pub(super) tenants: IntGaugeVec,
    pub(super) upgrades: IntCounterVec,
    pub(super) tenants_overflowed: IntCounter,
    pub(super) log_lines_lost: IntCounter,
    pub(super) trace_spans: IntCounterVec,
}

impl HostFamilies {
    fn register(families: &Registrar<'_>) -> Self {
        Self {
            sessions_ended: families.counters(
                "jackfield_sessions_ended_total",
                "Sessions ended, by reason.",
                &["reason"],
            ),
            connections_closed: families.counters(
                "jackfield_connections_closed_total",
                "WebSocket connections and event streams closed, by reason.",
                &["reason"],
            ),
            connections_refused: families.counters_from_zero(
                "jackfield_connections_refused_total",
                "Connections refused, by the bound that was reached.",
                "reason",
                &["total", "unauthenticated", "tenant"],
            ),
            http_requests: families.counters(
                "jackfield_http_requests_total",
                "HTTP requests answered, WebSocket handshakes included, by route and status.",
                &["route", "status"],
            ),
            reload_success: families.gauge(
                "jackfield_config_last_reload_successful",
                "Whether all files were right when the configuration was read last, at the start or at a reload.",
            ),
            reload_time: families.gauge(
                "jackfield_config_last_reload_success_timestamp_seconds",
                "When the configuration was last read with all files right, in seconds since 1970.",
            ),
            certificate_not_after: families.gauges(
                "jackfield_tls_certificate_not_after_timestamp_seconds",
                "When the first of a listener's certificates runs out, in seconds since 1970, by the table that names them.",
                &["listener"],
            ),
            tenants: families.gauges(
                "jackfield_tenants",
                "Tenants configured, by state.",
                &["state"],
            ),
            upgrades: families.counters(
                "jackfield_upgrades_total",
                "Attempts to move a tenant to another version of its adapter, by outcome.",
                &["outcome"],
            ),
            tenants_overflowed: families.counter(
                "jackfield_metrics_tenants_overflowed_total",
                "Tenants that got no series of their own because the cap was reached; they share the label _other.",
            ),
            log_lines_lost: families.counter(
                "jackfield_log_lines_lost_total",
                "Lines of the log that could not be written to the standard error.",
            ),
            trace_spans: families.counters_from_zero(
                "jackfield_trace_spans_total",
                "Spans for the collector of traces, by what became of them (exported, lost).",
                "outcome",
                &["exported", "lost"],
            ),
        }
    }
}

/// Makes families, each once.
struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn add<C: Collector + Clone + 'static>(&self, family: Result<C, prometheus::Error>) -> C {
        let family = family.expect("the family is well formed");
        self.0.register(Box::new(family.clone())).expect("each family is registered once");
        family
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// Counters that are there from the start, so that the first one is an increase: Prometheus sees none where a series
    /// begins at 1.
    fn counters_from_zero(&self, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
        let family = self.counters(name, help, &[label]);
        for value in values {
            family.with_label_values(&[value]);
        }
        family
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec()), labels))
    }
}
