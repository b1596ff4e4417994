//! Whether the platform can be reached, judged by all requests of a tenant.
//!
//! After a number of failures in a row the circuit opens: the host is told that the link is down, no request but the
//! probe's is made, and when the probe gets an answer the circuit closes again. A single success anywhere ends the row.
//! One resource that fails is that resource's trouble: what is answered with an error counts only where more than one
//! resource is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_plugin_api::{Code, Failure, Link, PlatformHost};
use tokio::sync::watch;

/// The circuit.
pub(crate) struct Circuit {
    host: PlatformHost,
    row: Mutex<Row>,
    limit: u32,
    reason: Mutex<String>,
    closed: watch::Sender<bool>,
}

/// Failures since the last success.
#[derive(Default)]
struct Row {
    failures: u32,
    /// The first resource that was answered with an error.
    resource: Option<String>,
    /// The platform was not reached at all, or another resource failed too.
    general: bool,
}

impl Circuit {
    /// An open circuit: nothing is known of the platform yet.
    pub(crate) fn new(host: PlatformHost, limit: u32) -> Self {
        let reason = Mutex::new("CXone has not been reached yet".to_owned());
        Self { host, row: Mutex::default(), limit: limit.max(1), reason, closed: watch::Sender::new(false) }
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> MutexGuard<'_, String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered.
    pub(crate) fn worked(&self) {
        *self.row() = Row::default();
    }

    /// A request failed for a reason of the platform's or the way to it. `resource`: it was answered, with an error.
    pub(crate) fn failed(&self, reason: &str, resource: Option<&str>) {
        let open = {
            let mut row = self.row();
            row.failures += 1;
            match (resource, &row.resource) {
                (None, _) => row.general = true,
                (Some(one), None) => row.resource = Some(one.to_owned()),
                (Some(one), Some(first)) => row.general |= one != first,
            }
            row.general && row.failures >= self.limit
        };
        if open && self.closed.send_if_modified(|closed| std::mem::replace(closed, false)) {
            tracing::warn!(reason, "CXone cannot be reached");
            reason.clone_into(&mut self.reason());
            self.host.link(Link::Down { reason: format!("CXone cannot be reached: {reason}") });
        }
    }

    /// The probe failed while the circuit is open.
    pub(crate) fn stays_open(&self, reason: &str) {
        reason.clone_into(&mut self.reason());
        self.host.link(Link::Down { reason: format!("CXone cannot be reached: {reason}") });
    }

    /// The probe was answered.
    pub(crate) fn close(&self) {
        self.worked();
        if self.closed.send_if_modified(|closed| !std::mem::replace(closed, true)) {
            tracing::info!("CXone is reached");
            self.host.link(Link::Up);
        }
    }

    /// Whether requests may be made.
    ///
    /// # Errors
    /// `link_down`.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if *self.closed.borrow() {
            return Ok(());
        }
        Err(Failure::new(Code::LinkDown, "CXone cannot be reached").context(self.reason().clone()))
    }

    /// Waits until it is open (`false`) or closed (`true`).
    pub(crate) async fn until(&self, closed: bool) {
        let mut watch = self.closed.subscribe();
        // The sender lives as long as this.
        let _ = watch.wait_for(|now| *now == closed).await;
    }
}
