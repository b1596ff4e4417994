//! Which sessions a tenant has.
//!
//! Owns: the sessions by id and by agent, how many there may be, and how fast agents may log in. Must never: do anything
//! with a session. The manager and prepareSession put sessions in; a session's task takes its own out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jackfield_plugin_api::{Code, Failure};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::{
    DisposedReason, Identity, SessionLimits, handle::SessionHandle, password_attempts::PasswordAttempts,
    queued::QueuedBytes, throttle::TenantThrottle,
};
use crate::{
    audit::LogInAudit,
    metrics::{LimitLabel, TenantMetrics},
    rate::{Rate, TokenBucket},
};

/// How many agents of a tenant are logged in again, or moved, at the same time.
pub(super) const LOGINS_AGAIN: usize = 8;

/// How many agents of a tenant are logged in at the same time. Their passwords are checked by the platform.
const LOGINS: usize = 64;

/// How long a log-in waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// All sessions of one tenant.
pub(super) struct Registry {
    pub(super) tenant: Box<str>,
    pub(super) metrics: TenantMetrics,
    pub(super) logins_again: Semaphore,
    logins: Semaphore,
    /// The lines that tell who logs in.
    pub(super) audit: LogInAudit,
    pub(super) passwords: PasswordAttempts,
    /// How fast commands may come.
    pub(super) throttle: TenantThrottle,
    /// What waits for its clients.
    pub(super) queued: Arc<QueuedBytes>,
    limits: RwLock<Arc<SessionLimits>>,
    state: Mutex<State>,
    /// Notified when a session is removed.
    gone: Notify,
}

struct State {
    by_id: HashMap<Box<str>, SessionHandle>,
    by_agent: HashMap<Box<str>, SessionHandle>,
    /// Sessions that are over whose agents have not left yet.
    leaving: HashMap<Box<str>, SessionHandle>,
    /// Being prepared: they count as sessions.
    preparing: usize,
    login_tokens: TokenBucket,
    /// From then on no session is begun.
    closing: Option<Closing>,
}

/// Why no session is begun any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closing {
    /// After how many seconds it is worth another try; `None`: it is not, the tenant is gone.
    pub(super) retry_after: Option<u32>,
}

impl Closing {
    /// All sessions are about to end for this reason.
    pub(super) const fn before(reason: DisposedReason) -> Self {
        match reason {
            DisposedReason::ShuttingDown { retry_after } => Self { retry_after: Some(retry_after) },
            _ => Self { retry_after: None },
        }
    }
}

/// Why a session is not added.
pub(super) enum NotAdded {
    /// The agent has this session already.
    Other(SessionHandle),
    /// The tenant begins no more sessions.
    Closing(Closing),
}

/// Room for a session that is being prepared.
pub(super) struct Reservation<'a>(&'a Registry);

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.0.lock().preparing -= 1;
    }
}

impl Registry {
    pub(super) fn new(tenant: &str, limits: SessionLimits, metrics: TenantMetrics) -> Self {
        Self {
            tenant: tenant.into(),
            logins_again: Semaphore::new(LOGINS_AGAIN),
            logins: Semaphore::new(LOGINS),
            audit: LogInAudit::new(),
            passwords: PasswordAttempts::new(),
            throttle: TenantThrottle::new(limits.commands),
            queued: Arc::new(QueuedBytes::new(limits.queued_bytes, metrics.clone())),
            metrics,
            state: Mutex::new(State {
                by_id: HashMap::new(),
                by_agent: HashMap::new(),
                leaving: HashMap::new(),
                preparing: 0,
                login_tokens: TokenBucket::full(log_ins(&limits), Instant::now()),
                closing: None,
            }),
            limits: RwLock::new(Arc::new(limits)),
            gone: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What sessions may have that begin now.
    pub(super) fn limits(&self) -> Arc<SessionLimits> {
        Arc::clone(&self.limits.read())
    }

    pub(super) fn set_limits(&self, limits: SessionLimits) {
        self.throttle.set(limits.commands);
        self.queued.set(limits.queued_bytes);
        *self.limits.write() = Arc::new(limits);
    }

    pub(super) fn all(&self) -> Vec<SessionHandle> {
        self.lock().by_id.values().cloned().collect()
    }

    /// The session with this id, if it is for this identity.
    pub(super) fn find(&self, id: &str, identity: &Identity) -> Option<SessionHandle> {
        let session = self.lock().by_id.get(id).cloned()?;
        (session.belongs_to(identity) && !session.is_ended()).then_some(session)
    }

    /// Whether no session is begun any more, and why.
    pub(super) fn closing(&self) -> Option<Closing> {
        self.lock().closing
    }

    /// Takes no session in from now on.
    pub(super) fn close(&self, closing: Closing) {
        self.lock().closing = Some(closing);
    }

    /// Takes sessions in again.
    pub(super) fn reopen(&self) {
        self.lock().closing = None;
    }

    /// Makes room for one more session.
    ///
    /// # Errors
    /// `quota_exceeded`: the tenant has as many as it may have, and none of them would go for it. `rate_limited`: its
    /// agents log in faster than they may.
    pub(super) fn reserve(&self, agent: &str, replace: bool) -> Result<Reservation<'_>, Failure> {
        let limits = self.limits();
        let mut state = self.lock();
        let replaces = replace && state.by_agent.contains_key(agent);
        if state.by_id.len() + state.preparing >= limits.sessions && !replaces {
            self.metrics.limited(LimitLabel::Sessions);
            let words = format!("the tenant may have {} sessions at the same time", limits.sessions);
            return Err(Failure::new(Code::QuotaExceeded, words));
        }
        if !state.login_tokens.take(log_ins(&limits), 1, 0, Instant::now()) {
            self.metrics.limited(LimitLabel::LoginsPerSecond);
            let words = format!("the tenant's agents may log in {} times a second", limits.logins_per_second);
            return Err(Failure::new(Code::RateLimited, words));
        }
        state.preparing += 1;
        Ok(Reservation(self))
    }

    /// Waits until an agent may be logged in.
    ///
    /// # Errors
    /// `rate_limited`: too many are being logged in, and the platform takes its time.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match timeout(TURN, self.logins.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                self.metrics.limited(LimitLabel::LoginsPerSecond);
                Err(Failure::new(Code::RateLimited, "too many of the tenant's agents are being logged in"))
            }
        }
    }

    /// Takes a session in.
    ///
    /// # Errors
    /// There is one of the agent already, or the tenant comes to its end.
    pub(super) fn add(&self, session: &SessionHandle) -> Result<(), NotAdded> {
        let mut state = self.lock();
        // Under this lock, so that a session is either among those that are ended or not taken in.
        if let Some(closing) = state.closing {
            return Err(NotAdded::Closing(closing));
        }
        if let Some(other) = state.by_agent.get(session.agent()) {
            return Err(NotAdded::Other(other.clone()));
        }
        state.by_agent.insert(session.agent().into(), session.clone());
        state.by_id.insert(session.id().into(), session.clone());
        drop(state);
        self.metrics.session_opened();
        Ok(())
    }

    /// Removes a session that is over. It counts as leaving until it is [`Self::done`].
    pub(super) fn ended(&self, session: &SessionHandle, reason: Option<DisposedReason>) {
        session.set_ended();
        let mut state = self.lock();
        let was_in = state.by_id.remove(session.id()).is_some();
        if was_in {
            state.by_agent.remove(session.agent());
            if state.by_id.is_empty() {
                state.by_id = HashMap::new();
                state.by_agent = HashMap::new();
            }
        }
        state.leaving.insert(session.id().into(), session.clone());
        drop(state);
        if was_in {
            let reason = reason.map_or("logged_out", DisposedReason::as_str);
            self.metrics.session_ended(reason);
            self.audit.ended(&self.tenant, session.agent(), session.short_id(), reason);
        }
        self.gone.notify_waiters();
    }

    /// A session's agent has left.
    pub(super) fn done(&self, session: &SessionHandle) {
        self.lock().leaving.remove(session.id());
        self.gone.notify_waiters();
    }

    /// The sessions that are over whose agents have not left yet.
    pub(super) fn leaving(&self) -> Vec<SessionHandle> {
        self.lock().leaving.values().cloned().collect()
    }

    /// Waits until there is no session, and none of them is leaving.
    pub(super) async fn empty(&self) {
        loop {
            let mut gone = std::pin::pin!(self.gone.notified());
            gone.as_mut().enable();
            {
                let state = self.lock();
                if state.by_id.is_empty() && state.leaving.is_empty() {
                    return;
                }
            }
            gone.await;
        }
    }
}

/// The rate of log-ins: as many at once as a tenant may have sessions.
fn log_ins(limits: &SessionLimits) -> Rate {
    let sessions = u32::try_from(limits.sessions).unwrap_or(u32::MAX);
    Rate { per_second: limits.logins_per_second, burst: sessions.max(limits.logins_per_second) }
}
