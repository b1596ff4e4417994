//! How far the end of the host is, told to all who must know.
//!
//! Owns: the two steps of the end, in their order: nobody new is let in; then, when the sessions have been ended and
//! told, all connections close. Must never: take a step back.

use tokio::sync::watch;

/// The steps of the end.
#[derive(Debug)]
pub(super) struct Drain {
    refusing: watch::Sender<bool>,
    closing: watch::Sender<bool>,
}

impl Drain {
    /// Nothing ends yet.
    pub(super) fn new() -> Self {
        Self { refusing: watch::Sender::new(false), closing: watch::Sender::new(false) }
    }

    /// Nobody new is let in from now on.
    pub(super) fn refuse(&self) {
        self.refusing.send_replace(true);
    }

    /// All connections close from now on.
    pub(super) fn close(&self) {
        self.refuse();
        self.closing.send_replace(true);
    }

    /// Waits until nobody new is let in.
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
