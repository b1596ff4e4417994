//! One agent's line to CXone: the session id, the long poll, and what it takes to be in step again.
//!
//! Owns: the only poller of a session id. Events go into the [`Model`]; what is at rest goes to the host from under the
//! same lock, so reports keep their order. After anything that may have lost an event (a broken poll, a word out of
//! order, a command whose outcome is unknown) the state is replayed and the difference reported. Must never: poll twice
//! at a time, or tell of a session's end before CXone was asked whether it can be joined.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Method;
use jackfield_plugin_api::{AgentHost, Code, Failure, Link, Report};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use crate::{
    api::{Api, Call, Group, Refusal},
    backoff::Backoff,
    directory::Directory,
    http::encode,
    model::{After, Event, Facts, Model, Verdict},
    settings::StationKind,
    token::Key,
};

/// Polls of an agent that may fail in a row before his link counts as down.
const FAILURES_UNTIL_DOWN: u32 = 3;
/// Polls that a replay may take before it is taken for whole.
const LONGEST_REPLAY: usize = 50;

/// An agent's line.
pub(crate) struct Line {
    pub(crate) api: Arc<Api>,
    pub(crate) host: AgentHost,
    pub(crate) key: Key,
    /// His number in CXone.
    pub(crate) agent: String,
    /// The key is not his own: calls name him.
    pub(crate) acting: bool,
    pub(crate) directory: Arc<Directory>,
    /// Names the session to the directory.
    pub(crate) session: String,
    model: Mutex<Model>,
    ids: Mutex<Ids>,
    /// The session id has come or gone, or the state must be replayed.
    turn: Notify,
    /// Somebody waits for the state: the poller's pause ends.
    hurry: Notify,
    synced: watch::Sender<Sync>,
    /// Outbound skills and unavailable codes should be read again.
    lists: Mutex<Lists>,
    poller: Mutex<Option<JoinHandle<()>>>,
    closed: AtomicBool,
}

/// The session ids.
#[derive(Debug, Default)]
struct Ids {
    current: Option<String>,
    /// The one before: polling it replays the state.
    older: Option<String>,
    /// It has not been polled yet: its first answer is a replay.
    fresh: bool,
    /// The session is being ended by us.
    leaving: bool,
}

/// Whether the model is what CXone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Yes, or there is no session.
    Whole,
    /// The state must be replayed.
    Needed,
}

/// Lists of CXone that an agent needs now and then.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) skills: Option<Vec<Value>>,
    pub(crate) codes: Option<Vec<Value>>,
}

/// What became of a poll.
enum Polled {
    Events(Vec<Value>),
    Nothing,
    Over,
    Failed,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who a line is for.
pub(crate) struct Who {
    pub(crate) key: Key,
    pub(crate) agent: String,
    pub(crate) acting: bool,
    pub(crate) session: String,
}

impl Line {
    pub(crate) fn new(api: Arc<Api>, directory: Arc<Directory>, host: AgentHost, who: Who, model: Model) -> Arc<Self> {
        let Who { key, agent, acting, session } = who;
        Arc::new(Self {
            api,
            host,
            key,
            agent,
            acting,
            directory,
            session,
            model: Mutex::new(model),
            ids: Mutex::default(),
            turn: Notify::new(),
            hurry: Notify::new(),
            synced: watch::Sender::new(Sync::Whole),
            lists: Mutex::default(),
            poller: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Does something with the model, and reports what has come of it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        let mut model = open(&self.model);
        let value = act(&mut model);
        self.flush(&mut model);
        value
    }

    /// Looks at the model.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&open(&self.model))
    }

    /// Lists that were read before.
    pub(crate) fn lists(&self) -> MutexGuard<'_, Lists> {
        open(&self.lists)
    }

    /// Lets the session be told of changes of the address book.
    pub(crate) fn listen(&self, behind: bool) {
        let (host, key, agent) = (self.host.clone(), self.key.clone(), self.agent.clone());
        self.directory.listen(&self.session, host, key, agent, behind);
    }

    /// A report that does not come from the model.
    pub(crate) fn report_extra(&self, report: Report) {
        // Under the model's lock, so that it keeps its place among the others.
        let _model = open(&self.model);
        self.report(report);
    }

    /// Nothing is reported any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.stop();
    }

    fn tell_link(&self, link: Link) {
        if !self.closed.load(Ordering::Relaxed) {
            self.host.link(link);
        }
    }

    fn report(&self, report: Report) {
        if !self.closed.load(Ordering::Relaxed) {
            self.host.report(report);
        }
    }

    /// Looks at the facts.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Facts) -> T) -> T {
        look(&open(&self.model).facts)
    }

    fn flush(&self, model: &mut Model) {
        while let Some(report) = model.due(Instant::now()) {
            self.report(report);
        }
        model.answer();
        // The poller sleeps until the next deadline, which may have come nearer.
        self.turn.notify_waiters();
    }

    /// The session id for commands.
    ///
    /// # Errors
    /// `invalid_state`: there is no agent session.
    pub(crate) fn id(&self) -> Result<String, Failure> {
        let id = open(&self.ids).current.clone();
        id.ok_or_else(|| Failure::new(Code::InvalidState, "the agent has no session in CXone"))
    }

    /// Ids that help to go on after a crash.
    pub(crate) fn resume_id(&self) -> Option<String> {
        open(&self.ids).current.clone()
    }

    /// Begins to poll. The task lives as long as the line.
    pub(crate) fn spawn(self: &Arc<Self>) {
        let line = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            loop {
                let Some(line) = line.upgrade() else { return };
                line.turn().await;
            }
        });
        if let Some(old) = open(&self.poller).replace(task) {
            old.abort();
        }
    }

    /// Polls no more.
    pub(crate) fn stop(&self) {
        if let Some(task) = open(&self.poller).take() {
            task.abort();
        }
    }

    /// One round of the poller: waits for a session, gets in step, polls until something stops it.
    async fn turn(&self) {
        let turn = self.turn.notified();
        if open(&self.ids).current.is_none() {
            // A bounded wait, so that the task sees the line's end.
            let _ = tokio::time::timeout(Duration::from_secs(5), turn).await;
            return;
        }
        let mut backoff = Backoff::default();
        while open(&self.ids).current.is_some() {
            if self.api.circuit.check().is_err() {
                self.api.circuit.until(true).await;
                self.need_replay();
            }
            let needed = *self.synced.borrow() == Sync::Needed;
            let went_well = if needed { self.replay().await } else { self.poll_on().await };
            if went_well {
                backoff.reset();
                self.tell_link(Link::Up);
            } else {
                self.need_replay();
                let pause = backoff.next();
                if backoff.failed() == FAILURES_UNTIL_DOWN {
                    self.tell_link(Link::Down { reason: "CXone does not answer the agent's polls".to_owned() });
                }
                // A pause spares CXone; it does not keep anybody waiting who needs the state now.
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.hurry.notified() => {}
                }
            }
        }
    }

    /// The state must be replayed: something may have been missed.
    pub(crate) fn need_replay(&self) {
        if open(&self.ids).current.is_some() {
            self.synced.send_replace(Sync::Needed);
            self.turn.notify_waiters();
        }
    }

    /// Waits until the model is what CXone has.
    ///
    /// # Errors
    /// `timeout`.
    pub(crate) async fn in_step(&self, patience: Duration) -> Result<(), Failure> {
        let mut watch = self.synced.subscribe();
        if *watch.borrow() != Sync::Whole {
            self.hurry.notify_one();
        }
        let waited = tokio::time::timeout(patience, watch.wait_for(|now| *now == Sync::Whole)).await;
        match waited {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::new(Code::Timeout, "CXone has not told the agent's state in time")),
        }
    }

    /// Polls until something is wrong (`false`) or should be looked at (`true`).
    async fn poll_on(&self) -> bool {
        loop {
            let Ok(id) = self.id() else { return true };
            let poll = self.poll(&id, self.api.settings.timing.poll());
            let mut poll = std::pin::pin!(poll);
            let polled = loop {
                let turn = self.turn.notified();
                if *self.synced.borrow() == Sync::Needed || open(&self.ids).current.as_ref() != Some(&id) {
                    return true;
                }
                let deadline = open(&self.model).next_deadline();
                tokio::select! {
                    polled = &mut poll => break polled,
                    () = turn => {}
                    () = until(deadline) => self.with(|_| ()),
                }
            };
            match polled {
                Polled::Events(events) => {
                    let replaying = self.take(&events);
                    if replaying {
                        return self.drain().await;
                    }
                }
                Polled::Nothing => {}
                Polled::Over => return self.rejoin().await,
                Polled::Failed => return false,
            }
            // It has been answered, so the agent's line is good.
            self.tell_link(Link::Up);
        }
    }

    /// Takes a batch in. Whether it began a replay.
    fn take(&self, events: &[Value]) -> bool {
        let mut over = None;
        let replaying = self.with(|model| {
            for event in events {
                match model.apply(event, Instant::now()) {
                    Event::SessionEnd { message } => over = Some(message),
                    Event::ReadAgain => *open(&self.lists) = Lists::default(),
                    _ => {}
                }
            }
            if std::mem::take(&mut model.facts.out_of_order) && !model.facts.replaying {
                self.synced.send_replace(Sync::Needed);
            }
            model.facts.replaying
        });
        if let Some(message) = over {
            self.over(&message);
        }
        replaying
    }

    /// The agent session is over, and CXone has said so.
    fn over(&self, message: &str) {
        *open(&self.ids) = Ids::default();
        let failure = Failure::new(Code::Rejected, "CXone has ended the agent session").context(message.to_owned());
        self.with(|model| {
            model.facts.end();
            model.finish_replay(Instant::now());
            model.fail_wants(&failure);
        });
        self.synced.send_replace(Sync::Whole);
    }

    /// CXone does not know the session id: whether there is still a session to join.
    async fn rejoin(&self) -> bool {
        if open(&self.ids).leaving {
            self.over("logged out");
            return true;
        }
        match self.join().await {
            Ok(true) => {
                self.synced.send_replace(Sync::Needed);
                true
            }
            Ok(false) => {
                self.over("the agent session was lost");
                true
            }
            Err(_) => false,
        }
    }

    /// Gets the state told anew. Whether that went well.
    async fn replay(&self) -> bool {
        let (first, older) = {
            let mut ids = open(&self.ids);
            (ids.current.clone().filter(|_| ids.fresh), ids.older.take())
        };
        if let Some(id) = first.or(older) {
            match self.poll(&id, 1).await {
                Polled::Events(events) => {
                    if self.take(&events) {
                        return self.drain().await;
                    }
                }
                Polled::Nothing => {}
                Polled::Over => return self.rejoin().await,
                Polled::Failed => return false,
            }
        }
        if open(&self.ids).current.is_none() {
            return true;
        }
        // That id was not an older one. A further client of the session gets a replay for certain.
        self.rejoin().await
    }

    /// Polls without waiting until CXone has nothing more to tell: then the replay is whole.
    async fn drain(&self) -> bool {
        for _ in 0..LONGEST_REPLAY {
            let Ok(id) = self.id() else { return true };
            match self.poll(&id, 0).await {
                Polled::Events(events) => drop(self.take(&events)),
                Polled::Nothing => break,
                Polled::Over => return self.rejoin().await,
                Polled::Failed => return false,
            }
        }
        let begun = self.with(|model| {
            let begun = model.facts.replaying;
            model.finish_replay(Instant::now());
            begun
        });
        if begun {
            self.synced.send_replace(Sync::Whole);
        }
        begun
    }

    async fn poll(&self, id: &str, wait: u64) -> Polled {
        let path = format!("agent-sessions/{}/get-next-event", encode(id));
        let patience = Duration::from_secs(wait + 15);
        let params = json!({"timeout": wait});
        let call = Call { group: Group::Session, method: Method::GET, path: &path, params, patience };
        match self.api.call(&self.key, call).await {
            Ok((200, body)) => {
                if let Some(new) = body["sessionId"].as_str() {
                    self.renamed(id, new);
                }
                match body["events"].as_array() {
                    Some(events) if !events.is_empty() => Polled::Events(events.clone()),
                    _ => Polled::Nothing,
                }
            }
            Ok(_) => Polled::Nothing,
            Err(refusal) if matches!(refusal.status(), Some(404 | 409)) => Polled::Over,
            Err(refusal) => {
                tracing::debug!(agent = %self.agent, "poll: {}", refusal.failure());
                Polled::Failed
            }
        }
    }

    /// An answer carried this session id; it replaces the one that was polled, for everything.
    fn renamed(&self, polled: &str, new: &str) {
        let mut ids = open(&self.ids);
        ids.fresh = false;
        // The session may have ended meanwhile.
        if ids.current.is_some() && polled != new {
            ids.older = Some(polled.to_owned());
            ids.current = Some(new.to_owned());
        }
    }

    fn adopt(&self, id: Option<&str>) -> Result<(), Refusal> {
        let Some(id) = id else {
            let failure = Failure::new(Code::Rejected, "CXone has given no session id");
            return Err(Refusal::NotAsked(failure));
        };
        *open(&self.ids) = Ids { current: Some(id.to_owned()), fresh: true, ..Ids::default() };
        Ok(())
    }

    /// Goes on with a session id from before a crash; polling it replays the state.
    pub(crate) fn resume(&self, id: String) {
        *open(&self.ids) = Ids { current: Some(id.clone()), older: Some(id), ..Ids::default() };
        self.need_replay();
    }

    /// Joins the agent's session. Whether there is one.
    async fn join(&self) -> Result<bool, Refusal> {
        match self.session_call("agent-sessions/join", json!({})).await {
            Ok(answer) => self.adopt(answer["sessionId"].as_str()).map(|()| true),
            // Which of these means "none" is not documented.
            Err(Refusal::Answered { status: 400 | 404 | 409, .. }) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// Joins the agent's session and waits for its state. Whether there is one.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) async fn find_session(&self) -> Result<bool, Failure> {
        if !self.join().await? {
            return Ok(false);
        }
        self.begin().await?;
        Ok(true)
    }

    /// Starts an agent session at a station and waits for its state.
    ///
    /// # Errors
    /// CXone refuses.
    pub(crate) async fn start_session(&self, station: &str) -> Result<(), Failure> {
        let name = match self.api.settings.station {
            StationKind::PhoneNumber => "stationPhoneNumber",
            StationKind::StationId => "stationId",
        };
        let params = json!({name: station, "inactivityTimeout": self.api.settings.inactivity_minutes});
        match self.session_call("agent-sessions", params).await {
            Ok(answer) => self.adopt(answer["sessionId"].as_str())?,
            Err(refusal @ Refusal::Answered { status: 409, .. }) => {
                let failure = refusal.failure();
                let told = Failure::new(Code::Conflict, "the agent or the station is in use");
                return Err(told.context(failure.context.unwrap_or_default()));
            }
            // It may have been started: join it.
            Err(Refusal::Unknown(why)) => {
                if !self.join().await.unwrap_or(false) {
                    return Err(Refusal::Unknown(why).failure());
                }
            }
            Err(refusal) => return Err(refusal.failure()),
        }
        self.begin().await
    }

    async fn begin(&self) -> Result<(), Failure> {
        self.need_replay();
        self.in_step(self.api.settings.timing.event()).await
    }

    async fn session_call(&self, path: &str, mut params: Value) -> Result<Value, Refusal> {
        if self.acting {
            params["asAgentId"] = json!(self.agent);
        }
        let patience = self.api.settings.timing.request();
        let call = Call { group: Group::Session, method: Method::POST, path, params, patience };
        self.api.call(&self.key, call).await.map(|(_, body)| body)
    }

    /// Ends the agent session and everything in it.
    ///
    /// # Errors
    /// CXone refuses.
    pub(crate) async fn end_session(&self) -> Result<(), Failure> {
        let Ok(id) = self.id() else { return Ok(()) };
        open(&self.ids).leaving = true;
        let path = format!("agent-sessions/{}", encode(&id));
        let params = json!({"forceLogoff": true, "endContacts": true, "ignorePersonalQueue": true});
        let patience = self.api.settings.timing.request();
        let call = Call { group: Group::Session, method: Method::DELETE, path: &path, params, patience };
        match self.api.call(&self.key, call).await {
            Ok(_) => {}
            Err(Refusal::Answered { status: 404 | 409, .. }) if self.rejoin_to_end().await => {}
            Err(Refusal::Answered { status: 404, .. }) => {}
            Err(refusal) => {
                open(&self.ids).leaving = false;
                let failure = refusal.failure();
                return Err(Failure::new(Code::Rejected, "CXone does not end the agent session")
                    .context(failure.context.unwrap_or(failure.message)));
            }
        }
        // Its events say the rest; the host does not wait for them.
        *open(&self.ids) = Ids::default();
        Ok(())
    }

    async fn rejoin_to_end(&self) -> bool {
        // A session that cannot be joined is over, which is what was wanted.
        matches!(self.join().await, Ok(false))
    }

    /// A call of the agent API, by its path behind the session id.
    ///
    /// # Errors
    /// CXone refuses, or the outcome is unknown; then the state is replayed.
    pub(crate) async fn post(&self, group: Group, path: &str, params: Value) -> Result<(), Failure> {
        let path = format!("agent-sessions/{}/{path}", encode(&self.id()?));
        let patience = self.api.settings.timing.request();
        let call = Call { group, method: Method::POST, path: &path, params, patience };
        match self.api.call(&self.key, call).await {
            Ok(_) => Ok(()),
            Err(refusal) => {
                if matches!(refusal, Refusal::Unknown(_) | Refusal::Answered { status: 500.., .. }) {
                    self.need_replay();
                }
                Err(refusal.failure())
            }
        }
    }

    /// Reads something outside the agent session.
    ///
    /// # Errors
    /// CXone refuses or cannot be asked.
    pub(crate) async fn read(&self, group: Group, path: &str, params: Value) -> Result<Value, Failure> {
        let patience = self.api.settings.timing.request();
        let call = Call { group, method: Method::GET, path, params, patience };
        Ok(self.api.call(&self.key, call).await?.1)
    }

    /// Waits for something; see [`Model::want`].
    pub(crate) fn want(
        &self,
        after: After,
        look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
    ) -> (u64, tokio::sync::oneshot::Receiver<Verdict>) {
        open(&self.model).want(after, look)
    }

    /// The model's snapshot goes to the host.
    pub(crate) fn report_snapshot(&self) {
        let mut model = open(&self.model);
        let report = model.snapshot();
        self.report(report);
        model.answer();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop();
        self.directory.stop_listening(&self.session);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
