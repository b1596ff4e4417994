//! What the operating system asks of the host.
//!
//! Owns: the meaning of each signal. Must never: let one that means nothing here end the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// SIGTERM or SIGINT: the host is to end.
    End(&'static str),
    /// SIGHUP: the configuration is to be read again.
    Reload,
    /// SIGUSR1 or SIGUSR2, which other servers use to reopen their logs: nothing; the log is the standard error.
    Nothing(&'static str),
}

/// The signals that are caught.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: [Signal; 2],
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The operating system does not let them be caught.
    pub(super) fn catch() -> Result<Self, String> {
        let catch = |kind| signal(kind).map_err(|error| format!("signals cannot be caught: {error}"));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
            user: [catch(SignalKind::user_defined1())?, catch(SignalKind::user_defined2())?],
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> SignalRequest {
        let [user1, user2] = &mut self.user;
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::End("SIGTERM"),
            _ = self.interrupt.recv() => SignalRequest::End("SIGINT"),
            _ = self.hangup.recv() => SignalRequest::Reload,
            _ = user1.recv() => SignalRequest::Nothing("SIGUSR1"),
            _ = user2.recv() => SignalRequest::Nothing("SIGUSR2"),
        }
    }

    /// Waits for one that asks to end.
    pub(super) async fn end(&mut self) {
        while !matches!(self.next().await, SignalRequest::End(_)) {}
    }
}
