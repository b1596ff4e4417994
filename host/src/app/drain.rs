//! The steps of the host's shutdown, for all tasks that have to follow them.
//!
//! Owns: the two steps, in their order: no new desktop is let in; then, when the sessions have ended and their clients
//! know it, all connections close. Must never: take a step back.

use tokio::sync::watch;

/// The steps of the shutdown.
#[derive(Debug)]
pub(super) struct Drain {
    refusing: watch::Sender<bool>,
    closing: watch::Sender<bool>,
}

impl Drain {
    /// The host runs.
    pub(super) fn new() -> Self {
        Self { refusing: watch::Sender::new(false), closing: watch::Sender::new(false) }
    }

    /// Lets no new desktop in from now on.
    pub(super) fn refuse(&self) {
        self.refusing.send_replace(true);
    }

    /// Closes all connections from now on.
    pub(super) fn close(&self) {
        self.refuse();
        self.closing.send_replace(true);
    }

    /// Waits until no new desktop is let in.
    pub(super) fn refused(&self) -> impl Future<Output = ()> + use<> {
        wait(self.refusing.subscribe())
    }

    /// Waits until all connections close.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + use<> {
        wait(self.closing.subscribe())
    }

    /// True once all connections close.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }
}

async fn wait(mut step: watch::Receiver<bool>) {
    // An error means that the host is gone, which is an end as well.
    let _ = step.wait_for(|reached| *reached).await;
}
