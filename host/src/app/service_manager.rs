//! What the service manager is told (systemd's `Type=notify`): ready, reading the configuration again, stopping, alive.
//!
//! Owns: the words of `sd_notify`. Where nobody has asked for them (`NOTIFY_SOCKET` is not set) nothing is sent. Must
//! never: keep the host from doing its work because they cannot be sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// How much longer than it says the end may take before the service manager loses its patience.
const MARGIN: Duration = Duration::from_secs(5);

/// The host serves this many tenants.
pub(super) fn ready(tenants: usize) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving; tenants: {tenants}"))]);
}

/// The configuration is being read again; [`ready`] follows.
pub(super) fn reloading() {
    // Without the time systemd would not take the word.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration again")]);
    }
}

/// The host ends, and may take this long over it.
pub(super) fn stopping(within: Duration) {
    let within = u32::try_from((within + MARGIN).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within), NotifyState::Status("shutting down")]);
}

/// Says again and again that the host lives, where the service manager watches it (`WatchdogSec=`). It is a task like all
/// others: when no task runs any more, nothing is said.
pub(super) fn live() -> Option<JoinHandle<()>> {
    let within = sd_notify::watchdog_enabled()?;
    Some(tokio::spawn(async move {
        let mut clock = tokio::time::interval(within / 3);
        loop {
            clock.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }))
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, ?words, "the service manager cannot be told");
    }
}
