//! What is counted by tenant.
//!
//! A tenant's series live as long as its handle: when the last clone is dropped they are removed. Beyond the cap,
//! tenants share the label value `_other`; shared gauges are sums, because each handle adds its own share.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jackfield_protocol::message::Request;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use tokio::time::Instant;

use super::{
    AdapterMetrics, Inner,
    declared::DeclaredSeries,
    labels::{CommandLabel, LimitLabel, OVERFLOW, OutcomeClass, OutcomeLabel},
};
use crate::{
    audit::LimitAudit,
    traces::{CommandTrace, TenantTraces, TooManyTraced},
};

/// Depths of a tenant's queues, summed over its sessions and connections just before a scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depths {
    /// Events kept for clients that return.
    pub journal: usize,
    /// Messages waiting to be read by clients.
    pub outbox: usize,
    /// The longest of those queues.
    pub outbox_longest: usize,
    /// Bytes waiting to be read by clients.
    pub outbox_bytes: usize,
    /// Messages waiting to be handled by sessions.
    pub mailbox: usize,
}

/// Counts what concerns one tenant. Cheap to clone; no method waits.
#[derive(Clone)]
pub struct TenantMetrics {
    pub(super) audit: Arc<LimitAudit>,
    pub(super) series: Arc<TenantSeries>,
    pub(super) adapter: AdapterMetrics,
    pub(super) declared: Arc<DeclaredSeries>,
    pub(super) traces: Option<Arc<TenantTraces>>,
}

impl TenantMetrics {
    /// The adapter that the tenant uses.
    #[must_use]
    pub fn adapter(&self) -> &AdapterMetrics {
        &self.adapter
    }

    /// A command was answered, so long after it arrived.
    pub fn command(&self, command: CommandLabel, outcome: OutcomeLabel, took: Duration) {
        self.adapter.command(command, outcome, took);
        self.series.commands[outcome.class() as usize].inc();
    }

    /// Begins the trace of a command that has come. `None`: it is not traced.
    #[must_use]
    pub fn trace(&self, request: &Request, command: CommandLabel, received: Instant) -> Option<Box<CommandTrace>> {
        let begun = self.traces.as_ref()?.begin(request, command, (self.tenant(), self.adapter.id()), received);
        begun.unwrap_or_else(|TooManyTraced| {
            self.limited(LimitLabel::TracedCommandsPerSecond);
            None
        })
    }

    /// The tenant's name, whatever its series are called.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.audit.tenant()
    }

    /// A limit was reached, and something was refused, delayed or closed because of it. The audit log tells it once a minute.
    #[cold]
    pub fn limited(&self, limit: LimitLabel) {
        let series = &self.series;
        // Made with the first count: most tenants never reach most of their limits.
        series.limited.with_label_values(&[series.label.as_str(), limit.as_str()]).inc();
        self.audit.reached(limit);
    }

    /// Somebody came without a valid token.
    pub fn auth_failed(&self) {
        self.series.auth_failures.inc();
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

    /// How many connections the tenant may have.
    pub fn set_connection_limit(&self, limit: usize) {
        self.series.connections_limit.set(limit);
    }

    /// A connection of the tenant was let in.
    pub fn connection_opened(&self) {
        self.series.connections.add(1);
    }

    /// A connection of the tenant is gone.
    pub fn connection_gone(&self) {
        self.series.connections.add(-1);
    }

    /// A WebSocket or an event stream was opened.
    pub fn client_came(&self) {
        self.series.clients.add(1);
    }

    /// It is gone.
    pub fn client_gone(&self) {
        self.series.clients.add(-1);
    }

    /// Whether the tenant's platform can be reached.
    pub fn set_link(&self, up: bool) {
        self.series.link_up.set(usize::from(up));
    }

    /// How it is with the tenant, one of the words of the tenants' states.
    pub fn set_state(&self, state: &'static str) {
        self.series.set_state(Some(state));
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
        self.series.outbox_bytes.set(depths.outbox_bytes);
        self.series.mailbox.set(depths.mailbox);
    }

    /// The adapter reports one of its own metrics for this tenant. One that is not declared, is ill-formed or goes
    /// beyond the declared number of series is dropped and counted.
    pub fn plugin_metric<L: AsRef<str>>(&self, name: &str, labels: &[L], value: f64) {
        if !self.declared.observe(name, labels, value) {
            self.adapter.metric_dropped();
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
pub(super) struct TenantSeries {
    pub(super) label: String,
    home: Weak<Inner>,
    sessions: Share,
    sessions_limit: Share,
    connections: Share,
    clients: Share,
    journal: Share,
    outbox: Share,
    outbox_longest: Share,
    outbox_bytes: Share,
    mailbox: Share,
    connections_limit: Share,
    link_up: Share,
    bad_messages: IntCounter,
    auth_failures: IntCounter,
    /// The state that has a series now, for tenants that have series of their own.
    state: Mutex<Option<&'static str>>,
    /// In the order of [`OutcomeClass::ALL`]; all there from the start, so that the first fault is an increase.
    commands: [IntCounter; OutcomeClass::ALL.len()],
    sessions_ended: IntCounterVec,
    limited: IntCounterVec,
}

impl TenantSeries {
    pub(super) fn new(label: &str, home: &Arc<Inner>) -> Self {
        let families = &home.families.tenant;
        let share = |family: &IntGaugeVec| Share::new(family.with_label_values(&[label]));
        Self {
            label: label.to_owned(),
            home: Arc::downgrade(home),
            sessions: share(&families.sessions),
            sessions_limit: share(&families.sessions_limit),
            connections: share(&families.connections),
            clients: share(&families.clients),
            journal: share(&families.journal),
            outbox: share(&families.outbox),
            outbox_longest: share(&families.outbox_longest),
            outbox_bytes: share(&families.outbox_bytes),
            mailbox: share(&families.mailbox),
            connections_limit: share(&families.connections_limit),
            link_up: share(&families.link_up),
            bad_messages: families.bad_messages.with_label_values(&[label]),
            auth_failures: families.auth_failures.with_label_values(&[label]),
            state: Mutex::new(None),
            commands: OutcomeClass::ALL.map(|outcome| families.outcomes.with_label_values(&[label, outcome.as_str()])),
            sessions_ended: home.families.host.sessions_ended.clone(),
            limited: families.limited.clone(),
        }
    }
}

impl TenantSeries {
    /// One series a tenant: the one of the state before goes. Those that share a label have no state in common.
    fn set_state(&self, state: Option<&'static str>) {
        let Some(home) = self.home.upgrade().filter(|_| self.label != OVERFLOW) else { return };
        let family = &home.families.tenant.state;
        let mut now = self.state.lock();
        if *now == state {
            return;
        }
        if let Some(before) = std::mem::replace(&mut *now, state) {
            // An error only says that there was no such series.
            let _ = family.remove_label_values(&[self.label.as_str(), before]);
        }
        if let Some(state) = state {
            family.with_label_values(&[self.label.as_str(), state]).set(1);
        }
    }
}

impl Drop for TenantSeries {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        if self.label == OVERFLOW {
            return;
        }
        let mut tenants = home.tenants.lock();
        // A tenant of the same name may have come meanwhile: then the series are its own now.
        if tenants.get(&self.label).is_none_or(|entry| entry.strong_count() > 0) {
            return;
        }
        tenants.remove(&self.label);
        self.set_state(None);
        let families = &home.families.tenant;
        for family in [
            &families.sessions,
            &families.sessions_limit,
            &families.connections,
            &families.clients,
            &families.journal,
            &families.outbox,
            &families.outbox_longest,
            &families.outbox_bytes,
            &families.mailbox,
            &families.connections_limit,
            &families.link_up,
        ] {
            // An error only says that there was no such series.
            let _ = family.remove_label_values(&[self.label.as_str()]);
        }
        for family in [&families.bad_messages, &families.auth_failures] {
            let _ = family.remove_label_values(&[self.label.as_str()]);
        }
        for limit in LimitLabel::ALL {
            let _ = families.limited.remove_label_values(&[self.label.as_str(), limit.as_str()]);
        }
        for outcome in OutcomeClass::ALL {
            let _ = families.outcomes.remove_label_values(&[self.label.as_str(), outcome.as_str()]);
        }
    }
}
