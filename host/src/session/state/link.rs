//! Whether one session's commands can be carried out, and how it gets from down to up.
//!
//! Owns: the tenant's link and the agent's own as this session knows them, and the snapshot between a link that is back
//! and the client's being told so. Must never: tell the client anything itself. A snapshot that cannot be had is asked
//! for again, at growing intervals, as long as the link stays up.

use std::time::Duration;

use jackfield_plugin_api::{Backoff, Code, Failure, Link};
use tokio::time::Instant;

use crate::plugin::RequestId;

/// The pauses before a snapshot is asked for again.
const SNAPSHOT_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// The link of one session.
#[derive(Debug)]
pub(super) struct LinkState {
    tenant: Link,
    /// Counts how often the tenant's link was lost, so that a short loss is not overlooked.
    losses: u64,
    agent: Link,
    lost: Option<String>,
    /// What the session goes by: up only when a snapshot has been applied.
    up: bool,
    /// Something was lost since the last snapshot.
    stale: bool,
    /// Why it is down.
    reason: String,
    recovery: Recovery,
    backoff: Backoff,
}

#[derive(Debug, PartialEq, Eq)]
enum Recovery {
    No,
    /// A snapshot must be asked for now.
    Due,
    Asked {
        request: RequestId,
        until: Instant,
    },
    Waits {
        until: Instant,
    },
    /// The snapshot has been applied.
    Done,
}

impl LinkState {
    /// The link of a session that begins. Losses before that do not count.
    pub(super) fn new(tenant: Link, losses: u64) -> Self {
        Self {
            tenant,
            losses,
            agent: Link::Up,
            lost: None,
            up: true,
            stale: false,
            reason: String::new(),
            recovery: Recovery::No,
            backoff: SNAPSHOT_AGAIN,
        }
    }

    /// Takes over the tenant's link, and how often it was lost so far.
    pub(super) fn set_tenant(&mut self, link: Link, losses: u64) {
        self.stale |= self.losses != losses;
        self.losses = losses;
        self.tenant = link;
    }

    /// Takes over the link of another adapter connection, and how often that was lost so far. The new agent has a link of
    /// its own, which is up unless it says otherwise. Returns whether the session's link is up as before; one that is down
    /// comes up by a snapshot of its own.
    pub(super) fn change_connection(&mut self, link: Link, losses: u64) -> bool {
        (self.tenant, self.losses) = (link, losses);
        self.agent = Link::Up;
        self.lost = None;
        if self.up && self.is_platform_reached() {
            return true;
        }
        self.stale |= !self.up;
        false
    }

    pub(super) fn set_agent(&mut self, link: Link) {
        self.stale |= link != Link::Up;
        self.agent = link;
    }

    pub(super) fn lose_agent(&mut self, reason: &str) {
        self.agent = Link::Up;
        self.stale = true;
        self.lost = Some(reason.to_owned());
    }

    pub(super) fn forget(&mut self) {
        self.recovery = Recovery::No;
    }

    /// Whether the session's commands can be carried out.
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// # Errors
    /// `link_down`.
    pub(super) fn must_be_up(&self) -> Result<(), Failure> {
        if self.up {
            return Ok(());
        }
        Err(Failure::new(Code::LinkDown, "the link to the platform is down").context(self.reason.clone()))
    }

    /// Works out the link's state, and returns it if it has changed for the client. Called until it returns nothing.
    pub(super) fn follow(&mut self, has_agent: bool, started: bool) -> Option<Link> {
        if has_agent {
            self.lost = None;
        }
        let down = match (&self.lost, &self.tenant, &self.agent) {
            (Some(reason), ..) | (None, Link::Down { reason }, _) | (None, _, Link::Down { reason }) => {
                Some(reason.clone())
            }
            (None, Link::Up, Link::Up) => None,
        };
        if self.up && (down.is_some() || self.stale) {
            self.up = false;
            self.stale = false;
            self.reason = down.unwrap_or_else(|| "the link was interrupted".to_owned());
            // The client is told of the loss before a snapshot is asked for.
            self.recovery = if self.is_platform_reached() { self.first_snapshot() } else { Recovery::No };
            return Some(Link::Down { reason: self.reason.clone() });
        }
        if self.up {
            return None;
        }
        if let Some(reason) = down {
            self.reason = reason;
            self.stale = false;
            self.recovery = Recovery::No;
            return None;
        }
        if !started {
            self.stale = false;
            self.recovery = Recovery::No;
            self.up = true;
            return Some(Link::Up);
        }
        if self.recovery == Recovery::No || self.stale {
            self.stale = false;
            self.recovery = self.first_snapshot();
        }
        if self.recovery == Recovery::Done {
            self.recovery = Recovery::No;
            self.up = true;
            return Some(Link::Up);
        }
        None
    }

    fn first_snapshot(&mut self) -> Recovery {
        self.backoff.reset();
        Recovery::Due
    }

    /// Whether nothing is known to be in the way, be the snapshot applied or not.
    fn is_platform_reached(&self) -> bool {
        self.lost.is_none() && self.tenant == Link::Up && self.agent == Link::Up
    }

    /// Whether the agent must be asked for a snapshot now.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.recovery == Recovery::Due
    }

    /// The agent was asked for a snapshot, and must answer until then.
    pub(super) fn snapshot_asked(&mut self, request: RequestId, until: Instant) {
        if self.recovery == Recovery::Due {
            self.recovery = Recovery::Asked { request, until };
        }
    }

    /// Takes an answer, if it is to the snapshot; [`Self::follow`] returns the link's new state then.
    pub(super) fn snapshot_answered(&mut self, answered: RequestId, success: bool, now: Instant) -> bool {
        let Recovery::Asked { request, .. } = self.recovery else { return false };
        if request != answered {
            return false;
        }
        self.recovery = if success { Recovery::Done } else { self.next_snapshot(now) };
        true
    }

    pub(super) fn tick(&mut self, now: Instant) {
        match self.recovery {
            Recovery::Asked { until, .. } if until <= now => self.recovery = self.next_snapshot(now),
            Recovery::Waits { until } if until <= now => self.recovery = Recovery::Due,
            _ => {}
        }
    }

    fn next_snapshot(&mut self, now: Instant) -> Recovery {
        Recovery::Waits { until: now + self.backoff.next_pause() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.recovery {
            Recovery::Asked { until, .. } | Recovery::Waits { until } => Some(until),
            Recovery::No | Recovery::Due | Recovery::Done => None,
        }
    }
}
