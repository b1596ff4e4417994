//! What waits to be read by all clients of a tenant together.
//!
//! Owns: its bound, and whose queue is too long once that is reached. Must never: let clients that do not read cost one
//! that does its connection. Each queue counts what it holds here; a queue that is longer than an equal share of the bound
//! takes nothing more while all together are beyond it, so there is always one that gives way, and never a short one.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::metrics::{LimitLabel, TenantMetrics};

/// The bytes in the queues of one tenant's clients.
pub(super) struct QueuedBytes {
    most: AtomicUsize,
    now: AtomicUsize,
    queues: AtomicUsize,
    metrics: TenantMetrics,
}

impl QueuedBytes {
    /// `most`: bytes of all queues.
    pub(super) fn new(most: usize, metrics: TenantMetrics) -> Self {
        Self { most: AtomicUsize::new(most), now: AtomicUsize::new(0), queues: AtomicUsize::new(0), metrics }
    }

    /// Sets the bound.
    pub(super) fn set(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// How many bytes wait now.
    pub(super) fn now(&self) -> usize {
        self.now.load(Relaxed)
    }

    /// Counts a queue that is new.
    pub(super) fn opened(&self) {
        self.queues.fetch_add(1, Relaxed);
    }

    /// Takes back what a queue counted that is gone.
    pub(super) fn closed(&self, counted: usize) {
        self.now.fetch_sub(counted, Relaxed);
        self.queues.fetch_sub(1, Relaxed);
    }

    /// Counts what a queue `holds` now in place of what it held, which is in `counted`.
    pub(super) fn count(&self, counted: &mut usize, holds: usize) {
        let before = std::mem::replace(counted, holds);
        if holds >= before {
            self.now.fetch_add(holds - before, Relaxed);
        } else {
            self.now.fetch_sub(before - holds, Relaxed);
        }
    }

    /// Whether a queue may grow to this.
    pub(super) fn may_hold(&self, bytes: usize) -> bool {
        let most = self.most.load(Relaxed);
        self.now.load(Relaxed) <= most || bytes <= most / self.queues.load(Relaxed).max(1)
    }

    /// A client's connection is closed, because of this limit.
    #[cold]
    pub(super) fn gave_way(&self, limit: LimitLabel) {
        self.metrics.limited(limit);
    }
}
