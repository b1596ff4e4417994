//! All sessions of one tenant.
//!
//! Owns: which sessions there are, by id and by agent; who may bind them; how many there may be; the tenant's platform
//! and link as sessions see them; their common clock and their common end. Must never: take a session's lock while it
//! has its own; a session takes it with its own held. The server makes one [`SessionManager`] a tenant and a [`ClientConnection`] a
//! connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use hyper::body::Bytes;
use jackfield_plugin_api::{Code, Failure, Link};
use serde::Serialize;
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    ClientConnection, DisposedReason, EventStream, Identity, Limits, Outbox,
    actor::Reply,
    adapter_connection::AdapterConnection,
    cell::Cell,
    commands::{BIND, PREPARE},
    data,
    message::{Request, Response},
    port::PlatformPort,
    prepare::Prepared,
    text::Text,
    timer::Timer,
};
use crate::{
    log_limit::LogLimit,
    metrics::{CommandLabel, TenantMetrics},
    plugin::PlatformHandle,
};

/// How many agents of a tenant are logged in again, or moved, at the same time.
pub(super) const LOGINS_AGAIN: usize = 8;

/// All sessions of one tenant. Cheap to clone.
#[derive(Clone)]
pub struct SessionManager(pub(super) Arc<Board>);

/// What is answered to one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response.
    pub text: Text,
    /// The body could not be taken apart at all: the request itself is answered with 400.
    pub unparsable: bool,
}

/// Why there is no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamRefused {
    /// There is no such session, or not for this identity.
    NotFound,
    /// `Last-Event-ID` is beyond the last event.
    BadAfter,
}

/// One session, for those who run the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// The beginning of its id: enough to find it, too little to bind it.
    pub id: String,
    /// The agent.
    pub agent: String,
    /// `prepared`, `starting`, `started` or `ended`.
    pub state: &'static str,
    /// A client is connected.
    pub connected: bool,
    /// `up` or `down`.
    pub link: &'static str,
    /// Channels.
    pub channels: usize,
    /// Interactions.
    pub interactions: usize,
    /// Commands without an answer.
    pub unanswered: usize,
    /// The last event's number.
    pub seq: u64,
    /// Events kept for a client that returns.
    pub journal: usize,
    /// Messages waiting to be read by the client.
    pub outbox: usize,
    /// Messages of the adapter waiting to be handled.
    pub mailbox: usize,
}

pub(super) struct Board {
    pub(super) tenant: Box<str>,
    limits: RwLock<Arc<Limits>>,
    pub(super) metrics: TenantMetrics,
    pub(super) runtime: Handle,
    pub(super) timer: Arc<Timer>,
    pub(super) logins_again: Semaphore,
    /// The bound on lines that tell of log-ins with wrong credentials.
    pub(super) refused_logins: LogLimit,
    state: Mutex<State>,
    left: Notify,
}

struct State {
    by_id: HashMap<Box<str>, Arc<Cell>>,
    by_agent: HashMap<Box<str>, Arc<Cell>>,
    /// Over, but their agents have not left yet.
    leaving: HashMap<Box<str>, Arc<Cell>>,
    /// Being prepared: they count as sessions.
    preparing: usize,
    /// What serves the tenant.
    serving: Arc<AdapterConnection>,
    /// What is tried out beside it, and the share of new sessions that it gets.
    candidate: Option<(Arc<AdapterConnection>, f64)>,
    closing: bool,
}

impl SessionManager {
    /// A tenant without sessions and, yet, without a platform. Called inside the host's runtime.
    #[must_use]
    pub fn new(tenant: &str, limits: Limits, metrics: TenantMetrics) -> Self {
        metrics.set_session_limit(limits.sessions);
        metrics.set_link(false);
        let timer = Arc::new(Timer::default());
        tokio::spawn(Arc::clone(&timer).run());
        Self(Arc::new(Board {
            tenant: tenant.into(),
            limits: RwLock::new(Arc::new(limits)),
            metrics,
            runtime: Handle::current(),
            timer,
            logins_again: Semaphore::new(LOGINS_AGAIN),
            refused_logins: LogLimit::per_minute(30),
            state: Mutex::new(State {
                by_id: HashMap::new(),
                by_agent: HashMap::new(),
                leaving: HashMap::new(),
                preparing: 0,
                serving: Arc::new(AdapterConnection::new()),
                candidate: None,
                closing: false,
            }),
            left: Notify::new(),
        }))
    }

    /// The trunk that serves the tenant: where agents are logged in.
    #[must_use]
    pub fn serving(&self) -> Arc<AdapterConnection> {
        self.0.serving()
    }

    /// A trunk beside the one that serves the tenant. Nobody is on it until [`Self::try_out`], [`Self::serve_by`] or
    /// [`Self::move_sessions`] says so.
    #[must_use]
    pub fn open_connection(&self) -> Arc<AdapterConnection> {
        Arc::new(AdapterConnection::new())
    }

    /// A share of the agents who log in from now on, 0 to 1, are logged in on this trunk.
    pub fn try_out(&self, trunk: &Arc<AdapterConnection>, share: f64) {
        self.0.lock().candidate = Some((Arc::clone(trunk), share));
    }

    /// All agents who log in from now on are logged in on this trunk, and none on trial.
    pub fn serve_by(&self, trunk: &Arc<AdapterConnection>) {
        let mut state = self.0.lock();
        state.serving = Arc::clone(trunk);
        state.candidate = None;
        drop(state);
        self.0.metrics.set_link(trunk.link().0 == Link::Up);
    }

    /// A trunk is used no more. Sessions that are still on it are logged in again where the tenant is served.
    pub fn retire(&self, trunk: &Arc<AdapterConnection>) {
        // First of all, so that whoever is being prepared on it either sees this or is found here.
        trunk.retire();
        let serving = self.serving();
        for cell in self.0.on(trunk) {
            cell.with(|core| core.force_over(&serving));
        }
    }

    /// A trunk's platform is this from now on. Sessions whose agent was lost are logged in again on it.
    pub fn set_platform(&self, trunk: &Arc<AdapterConnection>, platform: Option<PlatformHandle>) {
        self.set_port(trunk, platform.map(|platform| Arc::new(platform) as Arc<dyn PlatformPort>));
    }

    /// As [`Self::set_platform`], for any platform.
    pub fn set_port(&self, trunk: &Arc<AdapterConnection>, port: Option<Arc<dyn PlatformPort>>) {
        if port.is_none() {
            self.set_link(trunk, Link::Down { reason: "the adapter is being started".to_owned() });
        }
        trunk.set_port(port);
    }

    /// A trunk's link is this from now on; until the first call it is down.
    pub fn set_link(&self, trunk: &Arc<AdapterConnection>, link: Link) {
        let up = link == Link::Up;
        if !trunk.set_link(link) {
            return;
        }
        if Arc::ptr_eq(&self.0.lock().serving, trunk) {
            self.0.metrics.set_link(up);
        }
        // Beside the caller, who is the adapter: there may be ten thousand sessions.
        let (board, trunk) = (Arc::clone(&self.0), Arc::clone(trunk));
        self.0.runtime.spawn(async move {
            for (n, cell) in board.on(&trunk).into_iter().enumerate() {
                board.refresh_link(&cell);
                if n % 64 == 63 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }

    /// Sessions have these limits from now on; those that are there keep theirs, but for how many there may be.
    pub fn set_limits(&self, limits: Limits) {
        self.0.metrics.set_session_limit(limits.sessions);
        *self.0.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// One connection that can take messages at any time.
    #[must_use]
    pub fn connect(&self, identity: Identity, outbox: Outbox) -> ClientConnection {
        ClientConnection::new(Arc::clone(&self.0), identity, outbox)
    }

    /// prepareSession by HTTP. Dropping the future undoes it.
    pub async fn prepare(&self, identity: Identity, text: &str) -> Answer {
        let request = match self.0.parse(text) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        let text = if request.command() == PREPARE {
            match self.0.prepare(&request, &identity).await {
                Prepared::Session(_, text) | Prepared::Refused(text) => text,
            }
        } else {
            self.0.answer_unbound(&request)
        };
        Answer { text, unparsable: false }
    }

    /// A command by HTTP. `None`: there is no such session, or not for this identity.
    pub async fn command(&self, identity: &Identity, session: &str, text: &str) -> Option<Answer> {
        let cell = self.0.find(session, identity)?;
        let request = match self.0.parse(text) {
            Ok(request) => request,
            Err(answer) => return Some(answer),
        };
        let name = request.command();
        if name == PREPARE || name == BIND {
            return Some(Answer { text: self.0.refuse_second(&request), unparsable: false });
        }
        drop(name);
        let (reply, answer) = oneshot::channel();
        cell.with(|core| {
            // It may have ended since it was found; then nobody would answer.
            if !core.is_ended() {
                core.restart_grace();
                core.receive(request, Reply::Once(reply), Instant::now());
            }
        });
        let text = answer.await.ok()?;
        Some(Answer { text, unparsable: false })
    }

    /// An event stream by HTTP: what follows the number `after` goes to the outbox. Dropping the [`EventStream`] says that
    /// the connection is gone.
    ///
    /// # Errors
    /// There is no such session for this identity, or `after` is beyond its last event.
    pub fn stream(
        &self,
        identity: &Identity,
        session: &str,
        after: Option<u64>,
        outbox: Outbox,
    ) -> Result<EventStream, StreamRefused> {
        let cell = self.0.find(session, identity).ok_or(StreamRefused::NotFound)?;
        let mut bound = Bytes::new();
        let found = cell.with(|core| {
            // Before its start nothing was said, so that is all from the first event on.
            core.bind(outbox.clone(), after, |data| {
                bound = Bytes::copy_from_slice(data.as_bytes());
                None
            })
        });
        match found {
            Ok(()) => Ok(EventStream::new(cell, outbox, bound)),
            Err(failure) if failure.code == Code::BadRequest => Err(StreamRefused::BadAfter),
            Err(_) => Err(StreamRefused::NotFound),
        }
    }

    /// All sessions.
    #[must_use]
    pub fn list(&self) -> Vec<SessionStatus> {
        self.0.all().iter().map(|cell| cell.status()).collect()
    }

    /// Ends all sessions without ending their calls, tells their clients why, and waits until the agents have left, or
    /// the deadline. From then on nothing is prepared.
    pub async fn shut_down(&self, reason: DisposedReason, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.0.lock().closing = true;
        for (n, cell) in self.0.all().into_iter().enumerate() {
            cell.with(|core| core.end(Some(reason), true, None));
            if n % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
        loop {
            let left = self.0.left.notified();
            if self.0.lock().leaving.is_empty() {
                break;
            }
            if timeout_at(until, left).await.is_err() {
                tracing::warn!(tenant = %self.0.tenant, "not all agents have left in time");
                break;
            }
        }
        let stragglers: Vec<_> = self.0.lock().leaving.drain().map(|(_, cell)| cell).collect();
        stragglers.iter().for_each(|cell| cell.with(super::actor::Core::let_go));
    }
}

impl std::fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionManager({})", self.0.tenant)
    }
}

/// Why a session is not taken in.
pub(super) enum NotTaken {
    /// The agent has this one.
    Other(Arc<Cell>),
    /// No session begins any more.
    Closing,
}

/// Room for a session that is being prepared.
pub(super) struct Reservation(Arc<Board>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.lock().preparing -= 1;
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Cell>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// The session with this id, if it is for this identity.
    pub(super) fn find(&self, id: &str, identity: &Identity) -> Option<Arc<Cell>> {
        let cell = self.lock().by_id.get(id).cloned()?;
        (cell.belongs_to(identity) && !cell.is_ended()).then_some(cell)
    }

    /// The sessions on a trunk.
    pub(super) fn on(&self, trunk: &Arc<AdapterConnection>) -> Vec<Arc<Cell>> {
        let mut cells = self.all();
        cells.retain(|cell| cell.with(|core| Arc::ptr_eq(&core.trunk, trunk)));
        cells
    }

    /// What sessions may have that begin now.
    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The trunk that serves the tenant.
    pub(super) fn serving(&self) -> Arc<AdapterConnection> {
        Arc::clone(&self.lock().serving)
    }

    /// Where an agent who logs in now belongs.
    pub(super) fn connection_for_newcomer(&self) -> Arc<AdapterConnection> {
        let state = self.lock();
        match &state.candidate {
            Some((trunk, share)) if crate::random::random() < *share => Arc::clone(trunk),
            _ => Arc::clone(&state.serving),
        }
    }

    /// Tells a session of its trunk's link.
    pub(super) fn refresh_link(&self, cell: &Arc<Cell>) {
        cell.with(|core| {
            let (link, losses) = core.trunk.link();
            core.link.set_tenant(link, losses);
            core.follow_link();
        });
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Makes room for one more session.
    ///
    /// # Errors
    /// The tenant has as many as it may have, and none of them would go for it.
    pub(super) fn reserve(self: &Arc<Self>, agent: &str, replace: bool) -> Result<Reservation, Failure> {
        let limit = self.limits().sessions;
        let mut state = self.lock();
        let replaces = replace && state.by_agent.contains_key(agent);
        if state.by_id.len() + state.preparing >= limit && !replaces {
            let words = format!("the tenant may have {limit} sessions at the same time");
            return Err(Failure::new(Code::QuotaExceeded, words));
        }
        state.preparing += 1;
        Ok(Reservation(Arc::clone(self)))
    }

    /// Takes a session in.
    ///
    /// # Errors
    /// There is one of the agent already, or the tenant comes to its end.
    pub(super) fn take_in(&self, cell: &Arc<Cell>) -> Result<(), NotTaken> {
        let mut state = self.lock();
        // Under this lock, so that a session is either among those that are ended or not taken in.
        if state.closing {
            return Err(NotTaken::Closing);
        }
        if let Some(other) = state.by_agent.get(&cell.agent) {
            return Err(NotTaken::Other(Arc::clone(other)));
        }
        state.by_agent.insert(cell.agent.clone(), Arc::clone(cell));
        state.by_id.insert(cell.id.clone(), Arc::clone(cell));
        drop(state);
        self.metrics.session_opened();
        Ok(())
    }

    /// A session is over. Called with the session's lock held.
    pub(super) fn session_ended(&self, cell: &Arc<Cell>, reason: Option<DisposedReason>, done: bool) {
        let mut state = self.lock();
        let was_in = state.by_id.remove(&cell.id).is_some();
        if was_in {
            state.by_agent.remove(&cell.agent);
            if state.by_id.is_empty() {
                state.by_id = HashMap::new();
                state.by_agent = HashMap::new();
            }
        }
        if !done {
            state.leaving.insert(cell.id.clone(), Arc::clone(cell));
        }
        drop(state);
        if was_in {
            self.metrics.session_ended(reason.map_or("logged_out", DisposedReason::as_str));
        }
    }

    /// Nothing is left of a session.
    pub(super) fn session_done(&self, id: &str) {
        let gone = self.lock().leaving.remove(id);
        self.left.notify_waiters();
        // Outside of the lock: it may be the last handle.
        drop(gone);
    }

    /// Reads a message that came by HTTP.
    fn parse(&self, text: &str) -> Result<Request, Answer> {
        Request::parse(text).map_err(|bad| {
            self.metrics.bad_message();
            Answer { text: bad.response, unparsable: bad.unparsable }
        })
    }

    /// Answers what does not go through a session.
    pub(super) fn answer(
        &self,
        request: &Request,
        label: CommandLabel,
        since: Instant,
        response: Response<'_>,
    ) -> Text {
        self.metrics.adapter().command(label, response.outcome(), since.elapsed());
        request.respond(response)
    }

    /// Answers a command on a connection without a session.
    pub(super) fn answer_unbound(&self, request: &Request) -> Text {
        let name = request.command();
        let found = match self.lock().serving.current() {
            Some(current) => current.repertoire.find(&name),
            None => super::commands::find_without_adapter(&name),
        };
        let label = found.as_ref().map_or(CommandLabel::UNKNOWN, super::commands::Known::label);
        let failure = match found {
            Ok(_) => Failure::new(Code::NotFound, "there is no session on this connection"),
            Err(none) => none.failure(),
        };
        self.answer(request, label, Instant::now(), Response::Failure(&failure))
    }

    /// Answers prepareSession or bindSession where there is a session already.
    pub(super) fn refuse_second(&self, request: &Request) -> Text {
        let name = request.command();
        let checked = if name == PREPARE {
            data::parse::<data::Prepare>(request.data()).map(drop)
        } else {
            data::parse::<data::Bind>(request.data()).map(drop)
        };
        let failure = match checked {
            Err(what) => Failure::new(Code::BadRequest, what),
            Ok(()) => Failure::new(Code::InvalidState, "there is a session on this connection already"),
        };
        self.answer(request, CommandLabel::of(&name), Instant::now(), Response::Failure(&failure))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.timer.stop();
    }
}
