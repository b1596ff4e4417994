//! The sessions of one tenant, as the rest of the host deals with them.
//!
//! Owns: the tenant's adapter connections, requests by HTTP, the move of sessions from one adapter connection to another,
//! and their common end. Must never: touch a session's state; it sends each what it wants of it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use hyper::body::Bytes;
use jackfield_plugin_api::{Code, Failure, Link};
use jackfield_protocol::{
    data,
    message::{Request, Response},
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    DisposedReason, Identity, Outbox, Outlet, SessionLimits,
    adapter_connection::AdapterConnection,
    commands::{self, BIND, PREPARE, SessionCommand},
    handle::SessionHandle,
    input::{Bind, ClientCommand, Control, Migrate, NotMoved, Reply},
    registry::{Closing, LOGINS_AGAIN, Registry},
    status::{SessionDetails, SessionStatus},
};
use crate::{
    metrics::{CommandLabel, Depths, LimitLabel, OutcomeLabel, TenantMetrics},
    plugin::PlatformPort,
};

/// How long to wait before the sessions that could not be moved are tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// How long a session that an operator has ended may take to go before he is answered all the same.
const ENDED: Duration = Duration::from_secs(6);

/// How long sessions that were told to end at once may take.
const ABANDONED: Duration = Duration::from_secs(1);

/// All sessions of one tenant. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionManager(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) registry: Arc<Registry>,
    connections: Mutex<Connections>,
}

struct Connections {
    /// What serves the tenant.
    serving: Arc<AdapterConnection>,
    /// What is tried out beside it, and the share of new sessions that it gets.
    candidate: Option<(Arc<AdapterConnection>, f64)>,
}

/// The answer to one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    /// The response.
    pub text: String,
    /// What the HTTP request comes to.
    pub outcome: HttpOutcome,
}

impl HttpAnswer {
    /// The answer to a message that was read, whatever it says.
    pub(super) const fn carried(text: String) -> Self {
        Self { text, outcome: HttpOutcome::Carried }
    }
}

/// What an HTTP request comes to that carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpOutcome {
    /// The message was read and has its answer.
    Carried,
    /// The body could not be taken apart at all: the request itself is wrong.
    Unparsable,
    /// Too much has come in the last seconds.
    RateLimited,
    /// No session is begun, because the host ends.
    ShuttingDown {
        /// After how many seconds it is worth another try.
        retry_after: u32,
    },
}

/// Why there is no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamRefused {
    /// There is no such session, or not for this identity.
    NotFound,
    /// `Last-Event-ID` is beyond the last event.
    BadAfter,
}

/// An event stream by HTTP. Dropping it says that the connection is gone.
pub(crate) struct EventStream {
    /// What the stream begins with: the data of bindSession's success.
    pub bound: Bytes,
    session: SessionHandle,
    outbox: Outbox,
}

impl EventStream {
    fn new(session: SessionHandle, outbox: Outbox) -> Self {
        Self { bound: Bytes::new(), session, outbox }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.session.control(Control::Disconnect(self.outbox.clone()));
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}

/// How many sessions of a tenant were moved, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MigrationCounts {
    /// On the new adapter connection; their clients noticed nothing.
    pub moved: usize,
    /// On the new adapter connection as after a crash: commands in flight failed, and the link was reported as lost.
    pub forced: usize,
    /// The new adapter did not take them; they stay where they were.
    pub refused: usize,
}

impl SessionManager {
    /// A tenant without sessions and, yet, without a platform.
    #[must_use]
    pub(crate) fn new(tenant: &str, limits: SessionLimits, metrics: TenantMetrics) -> Self {
        metrics.set_session_limit(limits.sessions);
        metrics.set_link(false);
        let connections = Connections { serving: Arc::new(AdapterConnection::new()), candidate: None };
        Self(Arc::new(Shared {
            registry: Arc::new(Registry::new(tenant, limits, metrics)),
            connections: Mutex::new(connections),
        }))
    }

    /// The adapter connection that serves the tenant: where agents are logged in.
    #[must_use]
    pub(crate) fn serving(&self) -> Arc<AdapterConnection> {
        Arc::clone(&self.0.connections.lock().serving)
    }

    /// An adapter connection beside the one that serves the tenant. Nobody is on it until [`Self::try_out`],
    /// [`Self::serve_by`] or [`Self::move_sessions`] says so.
    #[must_use]
    pub(crate) fn open_connection(&self) -> Arc<AdapterConnection> {
        Arc::new(AdapterConnection::new())
    }

    /// A share of the agents who log in from now on, 0 to 1, are logged in on this adapter connection.
    pub(crate) fn try_out(&self, connection: &Arc<AdapterConnection>, share: f64) {
        self.0.connections.lock().candidate = Some((Arc::clone(connection), share));
    }

    /// All agents who log in from now on are logged in on this adapter connection, and none on trial.
    pub(crate) fn serve_by(&self, connection: &Arc<AdapterConnection>) {
        *self.0.connections.lock() = Connections { serving: Arc::clone(connection), candidate: None };
        self.metrics().set_link(connection.link().0 == Link::Up);
    }

    /// Where an agent who logs in now belongs.
    pub(super) fn connection_for_newcomer(&self) -> Arc<AdapterConnection> {
        let connections = self.0.connections.lock();
        match &connections.candidate {
            Some((connection, share)) if is_drawn(*share) => Arc::clone(connection),
            _ => Arc::clone(&connections.serving),
        }
    }

    /// An adapter connection is used no more. Sessions that are still on it are logged in again where the tenant is
    /// served.
    pub(crate) fn retire(&self, connection: &Arc<AdapterConnection>) {
        // First of all, so that whoever is being prepared on it either sees this or is found here.
        connection.retire();
        let serving = self.serving();
        for session in self.on(connection) {
            session.control(Control::Replace(Arc::clone(&serving)));
        }
    }

    /// Sets an adapter connection's platform. Sessions whose agent was lost are logged in again on it.
    pub(crate) fn set_platform(&self, connection: &Arc<AdapterConnection>, platform: Option<Arc<dyn PlatformPort>>) {
        if platform.is_none() {
            self.set_link(connection, Link::Down { reason: "the adapter is being started".to_owned() });
        }
        connection.set_platform(platform);
    }

    /// Sets an adapter connection's link, which is down until the first call. Called on any thread.
    pub(crate) fn set_link(&self, connection: &Arc<AdapterConnection>, link: Link) {
        let up = link == Link::Up;
        if !connection.set_link(link) {
            return;
        }
        if Arc::ptr_eq(&self.serving(), connection) {
            self.metrics().set_link(up);
        }
        self.registry().all().iter().for_each(|session| session.mailbox().link_changed());
    }

    /// Sets the limits of sessions that begin from now on. Those that are there keep theirs, but for how many there may be.
    pub(crate) fn set_limits(&self, limits: SessionLimits) {
        self.metrics().set_session_limit(limits.sessions);
        self.registry().set_limits(limits);
    }

    /// Both ends of the queue of a connection that may begin one session after the other.
    #[must_use]
    pub(crate) fn outbox(&self) -> (Outbox, Outlet) {
        self.queue(false)
    }

    /// Both ends of the queue of a connection that ends with its session: an event stream.
    #[must_use]
    pub(crate) fn outbox_of_stream(&self) -> (Outbox, Outlet) {
        self.queue(true)
    }

    fn queue(&self, one_session: bool) -> (Outbox, Outlet) {
        let registry = self.registry();
        Outbox::new(registry.limits().outbox, Arc::clone(&registry.queued), one_session)
    }

    /// Bytes that wait to be read by its clients.
    #[must_use]
    pub(crate) fn queued_bytes(&self) -> usize {
        self.registry().queued.now()
    }

    /// A command by HTTP. `None`: there is no such session, or not for this identity.
    pub(crate) async fn command(&self, identity: &Identity, session: &str, text: &str) -> Option<HttpAnswer> {
        let session = self.registry().find(session, identity)?;
        let request = match self.parse(text) {
            Ok(request) => request,
            Err(answer) => return Some(answer),
        };
        if let Err(answer) = self.admit(&request, Some(&session)) {
            return Some(answer);
        }
        let name = request.command();
        if name == PREPARE || name == BIND {
            return Some(HttpAnswer::carried(self.refuse_second(&request)));
        }
        let (reply, answer) = oneshot::channel();
        let command = ClientCommand { request, reply: Reply::Once(reply), received: Instant::now() };
        session.mailbox().command(command).await.ok()?;
        // Without one the session has ended meanwhile.
        let text = answer.await.ok()?;
        Some(HttpAnswer::carried(text))
    }

    /// An event stream by HTTP: what follows the number `after` goes to the outbox. Dropping the [`EventStream`] says
    /// that the connection is gone.
    ///
    /// # Errors
    /// There is no such session for this identity, or `after` is beyond its last event.
    pub(crate) async fn stream(
        &self,
        identity: &Identity,
        session: &str,
        after: Option<u64>,
        outbox: Outbox,
    ) -> Result<EventStream, StreamRefused> {
        let session = self.registry().find(session, identity).ok_or(StreamRefused::NotFound)?;
        let (done, bound) = oneshot::channel();
        // From here on it is unbound again whatever happens.
        let mut stream = EventStream::new(session.clone(), outbox.clone());
        session.control(Control::Bind(Bind { outbox, after, request: None, done }));
        match bound.await {
            Ok(Ok(data)) => {
                stream.bound = data.into();
                Ok(stream)
            }
            Ok(Err(failure)) if failure.code == Code::BadRequest => Err(StreamRefused::BadAfter),
            _ => Err(StreamRefused::NotFound),
        }
    }

    /// All sessions.
    #[must_use]
    pub(crate) fn list(&self) -> Vec<SessionStatus> {
        self.registry().all().iter().map(SessionHandle::status).collect()
    }

    /// How deep the queues of all sessions are.
    #[must_use]
    pub(crate) fn depths(&self) -> Depths {
        let mut depths = Depths { outbox_bytes: self.queued_bytes(), ..Depths::default() };
        self.registry().all().iter().for_each(|session| session.add_depths(&mut depths));
        depths
    }

    /// Moves a share of the sessions of one adapter connection, or all, to another. Comes back when they are moved or
    /// refused. Those that are busy until the deadline are moved as after a crash if all are to be moved, and else stay.
    pub(crate) async fn move_sessions(
        &self,
        from: &Arc<AdapterConnection>,
        to: &Arc<AdapterConnection>,
        share: f64,
        deadline: Duration,
    ) -> MigrationCounts {
        let until = Instant::now() + deadline;
        let mut moved = MigrationCounts::default();
        let mut left = self.on(from);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        left.truncate((left.len() as f64 * share).ceil() as usize);
        let mut refused = Vec::new();
        loop {
            let attempts = stream::iter(left).map(|session| async {
                let outcome = migrate(&session, from, to).await;
                (session, outcome)
            });
            let mut attempts = attempts.buffer_unordered(LOGINS_AGAIN);
            let mut busy = Vec::new();
            while let Some((session, outcome)) = attempts.next().await {
                match outcome {
                    Ok(()) => moved.moved += 1,
                    Err(NotMoved::Busy) => busy.push(session),
                    Err(NotMoved::Gone) => {}
                    Err(NotMoved::Refused(failure)) => {
                        tracing::warn!(tenant = %self.registry().tenant, %failure, "an agent could not be moved");
                        moved.refused += 1;
                        refused.push(session);
                    }
                }
            }
            if share >= 1.0 {
                // Whoever logged in meanwhile, before the new connection served the tenant.
                let newcomers = self.on(from);
                // Looked up, not looked for: there may be ten thousand of each.
                let known: HashSet<String> = busy.iter().chain(&refused).map(|session| session.id().into()).collect();
                busy.extend(newcomers.into_iter().filter(|session| !known.contains(session.id())));
            }
            left = busy;
            if left.is_empty() {
                return moved;
            }
            if Instant::now() >= until {
                break;
            }
            sleep(AGAIN).await;
        }
        if share >= 1.0 {
            moved.forced = left.len();
            for session in left {
                session.control(Control::Replace(Arc::clone(to)));
            }
        }
        moved
    }

    /// Begins sessions again.
    pub(crate) fn take_newcomers(&self) {
        self.registry().reopen();
    }

    /// Waits until there is no session, and no agent is leaving.
    pub(crate) async fn all_gone(&self) {
        self.registry().empty().await;
    }

    /// The session that [`Self::list`] shows with this id.
    #[must_use]
    pub(crate) fn details(&self, id: &str) -> Option<SessionDetails> {
        self.with_short_id(id).map(|session| session.details())
    }

    /// Ends the session that [`Self::list`] shows with this id, without ending its calls, and waits until its agent has
    /// left, or some seconds. False: there is none.
    pub(crate) async fn end(&self, id: &str) -> bool {
        let Some(session) = self.with_short_id(id) else { return false };
        let (done, left) = oneshot::channel();
        let ends = session.control(Control::End { reason: Some(DisposedReason::EndedByOperator), done: Some(done) });
        // Closed without a word when it has left.
        let _ = timeout(ENDED, left).await;
        ends
    }

    fn with_short_id(&self, id: &str) -> Option<SessionHandle> {
        self.registry().all().into_iter().find(|session| session.short_id() == id)
    }

    /// Begins no session from now on, because all are about to end for this reason. Those that are there go on.
    pub(crate) fn refuse_newcomers(&self, reason: DisposedReason) {
        self.registry().close(Closing::before(reason));
    }

    /// Ends all sessions without ending their calls, tells their clients why, and waits until the agents have left, or
    /// the deadline. From then on nothing is prepared.
    pub(crate) async fn shut_down(&self, reason: DisposedReason, deadline: Duration) {
        let until = Instant::now() + deadline;
        let registry = self.registry();
        self.refuse_newcomers(reason);
        for session in registry.all() {
            session.control(Control::End { reason: Some(reason), done: None });
        }
        if timeout_at(until, registry.empty()).await.is_err() {
            tracing::warn!(tenant = %registry.tenant, "not all agents have left in time");
            for session in registry.leaving().into_iter().chain(registry.all()) {
                session.control(Control::Abandon);
            }
            let _ = timeout(ABANDONED, registry.empty()).await;
        }
    }

    /// The sessions on an adapter connection.
    fn on(&self, connection: &Arc<AdapterConnection>) -> Vec<SessionHandle> {
        let mut sessions = self.registry().all();
        sessions.retain(|session| session.is_on(connection));
        sessions
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    pub(super) fn metrics(&self) -> &TenantMetrics {
        &self.0.registry.metrics
    }

    // ---- answers that no session gives ----

    /// Reads a message that came by HTTP.
    pub(super) fn parse(&self, text: &str) -> Result<Request, HttpAnswer> {
        Request::parse(text).map_err(|bad| {
            self.metrics().bad_message();
            self.registry().throttle.count(text.len(), Instant::now());
            let outcome = if bad.unparsable { HttpOutcome::Unparsable } else { HttpOutcome::Carried };
            HttpAnswer { text: bad.response, outcome }
        })
    }

    /// Lets a request in that came by HTTP. `session`: the one that it is for.
    pub(super) fn admit(&self, request: &Request, session: Option<&SessionHandle>) -> Result<(), HttpAnswer> {
        let (registry, now) = (self.registry(), Instant::now());
        let refused =
            |failure| HttpAnswer { text: self.refuse_for_now(request, &failure), outcome: HttpOutcome::RateLimited };
        if let Some(session) = session {
            let rate = registry.limits().connection_commands;
            session.admit(rate, request, now).map_err(|failure| {
                self.metrics().limited(LimitLabel::ConnectionCommandsPerSecond);
                refused(failure)
            })?;
        }
        registry.throttle.admit(request, now).map_err(|failure| {
            self.metrics().limited(LimitLabel::CommandsPerSecond);
            refused(failure)
        })
    }

    /// Answers what does not go through a session.
    pub(super) fn answer(
        &self,
        request: &Request,
        label: CommandLabel,
        since: Instant,
        response: Response<'_>,
    ) -> String {
        self.metrics().command(label, OutcomeLabel::of(&response), since.elapsed());
        request.respond(response)
    }

    /// Answers a request of which there are too many now.
    #[cold]
    pub(super) fn refuse_for_now(&self, request: &Request, failure: &Failure) -> String {
        self.answer(request, CommandLabel::of(request.command()), Instant::now(), Response::Failure(failure))
    }

    /// Answers a command on a connection without a session.
    pub(super) fn answer_unbound(&self, request: &Request) -> String {
        let name = request.command();
        let found = match self.serving().current() {
            Some(current) => current.command_set.find(name),
            None => commands::find_without_adapter(name),
        };
        let label = found.as_ref().map_or(CommandLabel::UNKNOWN, SessionCommand::label);
        let failure = match found {
            Ok(_) => Failure::new(Code::NotFound, "there is no session on this connection"),
            Err(none) => none.failure(),
        };
        self.answer(request, label, Instant::now(), Response::Failure(&failure))
    }

    /// Answers prepareSession or bindSession where there is a session already.
    pub(super) fn refuse_second(&self, request: &Request) -> String {
        let name = request.command();
        let checked = if name == PREPARE {
            data::parse::<data::PrepareData>(request.data()).map(drop)
        } else {
            data::parse::<data::BindData>(request.data()).map(drop)
        };
        let failure = match checked {
            Err(what) => Failure::new(Code::BadRequest, what),
            Ok(()) => Failure::new(Code::InvalidState, "there is a session on this connection already"),
        };
        self.answer(request, CommandLabel::of(name), Instant::now(), Response::Failure(&failure))
    }
}

/// Whether the next of many belongs to this share of them, 0 to 1, by chance.
fn is_drawn(share: f64) -> bool {
    // Without a source of randomness none is drawn.
    getrandom::u32().is_ok_and(|random| f64::from(random) < share * f64::from(u32::MAX))
}

/// Moves one session.
async fn migrate(
    session: &SessionHandle,
    from: &Arc<AdapterConnection>,
    to: &Arc<AdapterConnection>,
) -> Result<(), NotMoved> {
    let (done, outcome) = oneshot::channel();
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    session.control(Control::Migrate(Migrate { from, to, done }));
    outcome.await.unwrap_or(Err(NotMoved::Gone))
}

impl std::fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionManager({})", self.registry().tenant)
    }
}

impl Drop for Shared {
    /// The tenant goes away, and nobody is left who could bind a session.
    fn drop(&mut self) {
        for session in self.registry.all().into_iter().chain(self.registry.leaving()) {
            session.control(Control::Abandon);
        }
    }
}
