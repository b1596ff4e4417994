//! How fast commands may come: those of a tenant, and those of one of its connections.
//!
//! Owns: what a command costs, and both bounds. The work that a message makes grows with its length, so its length is what
//! is counted, and no clock is needed to say who takes more than his share. Must never: refuse what ends a call because
//! others have sent too much.
//!
//! A tenant that is at its bound is answered `rate_limited`. A connection that is at its own is not read from for a while:
//! so an agent whose messages are costly waits, and its colleagues do not.

use std::{
    future::Future as _,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use jackfield_plugin_api::{Code, Failure};
use jackfield_protocol::{
    command::{Lane, ProtocolCommand},
    message::Request,
};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::rate::{Rate, TokenBucket};

/// Bytes of a message that cost one token more.
const UNIT: usize = 1024;

/// For how many seconds of its rate a connection may be kept waiting. A client that waits is not heard, and one that is not
/// heard for a minute is taken for gone.
const LONGEST_WAIT: u32 = 10;

/// How long a connection waits after a command that was refused: an answer costs something, too.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// What a message of this many bytes costs.
pub(super) fn cost(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX - 1) + 1
}

/// The bound of a tenant.
pub(super) struct TenantThrottle {
    /// Nothing else is looked at where there is no bound.
    is_bounded: AtomicBool,
    state: Mutex<(Rate, TokenBucket)>,
}

impl TenantThrottle {
    pub(super) fn new(rate: Rate) -> Self {
        let is_bounded = AtomicBool::new(rate.is_bounded());
        Self { is_bounded, state: Mutex::new((rate, TokenBucket::full(rate, Instant::now()))) }
    }

    /// Sets the rate of all that come from now on.
    pub(super) fn set(&self, rate: Rate) {
        let mut state = self.state.lock();
        if state.0 != rate {
            *state = (rate, TokenBucket::full(rate, Instant::now()));
            self.is_bounded.store(rate.is_bounded(), Relaxed);
        }
    }

    /// Counts a message that was no request.
    pub(super) fn count(&self, bytes: usize, now: Instant) {
        if self.is_bounded.load(Relaxed) {
            let (rate, bucket) = &mut *self.state.lock();
            bucket.take(*rate, cost(bytes), 0, now);
        }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// `rate_limited`: the tenant's agents send more than they may.
    pub(super) fn admit(&self, request: &Request, now: Instant) -> Result<(), Failure> {
        if !self.is_bounded.load(Relaxed) {
            return Ok(());
        }
        let (rate, bucket) = &mut *self.state.lock();
        if bucket.take(*rate, cost(request.bytes()), credit(*rate, request), now) {
            return Ok(());
        }
        let words = format!("the tenant's agents may send {} commands a second", rate.per_second);
        Err(Failure::new(Code::RateLimited, words))
    }
}

/// How far beyond a rate a command may go: what ends a call is let in on credit, so that nobody is kept in one because a
/// colleague floods, or a part of his own desktop.
pub(super) fn credit(rate: Rate, request: &Request) -> u32 {
    let command = ProtocolCommand::from_name(request.command());
    let is_urgent = command.is_some_and(|command| command.specification().lane == Lane::Urgent);
    if is_urgent { rate.burst } else { 0 }
}

/// The bound of one connection.
pub(super) struct ConnectionThrottle {
    rate: Rate,
    bucket: TokenBucket,
    /// It is not read from before this.
    wait: Option<Pin<Box<Sleep>>>,
}

impl ConnectionThrottle {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, bucket: TokenBucket::full(rate, Instant::now()), wait: None }
    }

    /// Counts a message. True: the next one has to wait.
    pub(super) fn count(&mut self, bytes: usize, now: Instant) -> bool {
        if !self.rate.is_bounded() {
            return false;
        }
        let debt = self.rate.per_second.saturating_mul(LONGEST_WAIT);
        let wait = self.bucket.spend(self.rate, cost(bytes), debt, now);
        if let Some(wait) = wait {
            self.wait = Some(Box::pin(sleep_until(now + wait)));
        }
        wait.is_some()
    }

    /// A command was refused because its tenant is at its bound.
    pub(super) fn refused(&mut self, now: Instant) {
        let until = now + AFTER_REFUSAL;
        if self.wait.as_ref().is_none_or(|wait| wait.deadline() < until) {
            self.wait = Some(Box::pin(sleep_until(until)));
        }
    }

    /// Whether the next message may be read. Pending: the task is woken when it may.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        Poll::Ready(())
    }
}
