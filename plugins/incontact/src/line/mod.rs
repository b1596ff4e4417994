//! One agent's line to CXone: the session id, the long poll, and what it takes to be in step again.
//!
//! Events go into the [`Model`]; what is at rest goes to the host from under the same lock, so reports keep their order.
//! After anything that may have lost an event (a broken poll, a word out of order, a command whose outcome is unknown)
//! the state is replayed and the difference reported.
//!
//! ```text
//! poll.rs     the long poll and replays
//! session.rs  joining, starting and ending the agent session
//! ```

mod poll;
mod session;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Method;
use jackfield_plugin_api::{AgentHost, Code, Failure, Link, Report};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use crate::{
    api::{Api, Call, Group, Refusal},
    directory::Directory,
    http::encode,
    model::{After, Facts, Model, Verdict},
    token::Key,
};

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
    /// Why the session could not be started, in CXone's words.
    start_failed: Mutex<Option<String>>,
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
            start_failed: Mutex::default(),
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

    /// Polls no more.
    pub(crate) fn stop(&self) {
        if let Some(task) = open(&self.poller).take() {
            task.abort();
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

    /// A call of the agent API, by its path behind the session id. Where CXone has given out a new id meanwhile and refuses
    /// the one before, it is made under the new one.
    ///
    /// # Errors
    /// CXone refuses, or the outcome is unknown; then the state is replayed.
    pub(crate) async fn send(&self, group: Group, path: &str, params: Value) -> Result<(), Refusal> {
        let to = |id: &str| format!("agent-sessions/{}/{path}", encode(id));
        let id = self.id().map_err(Refusal::NotAsked)?;
        let sent = self.send_to(group, &to(&id), params.clone()).await;
        match (&sent, self.id()) {
            (Err(Refusal::Answered { status: 400 | 404 | 409 | 410, .. }), Ok(newer)) if newer != id => {
                self.send_to(group, &to(&newer), params).await
            }
            _ => sent,
        }
    }

    /// A call outside the agent session.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn send_to(&self, group: Group, path: &str, params: Value) -> Result<(), Refusal> {
        let patience = self.api.settings.timing.request();
        let call = Call { group, method: Method::POST, path, params, patience };
        let sent = self.api.call(&self.key, call).await;
        if let Err(Refusal::Unknown(_) | Refusal::Answered { status: 500.., .. }) = &sent {
            self.need_replay();
        }
        sent.map(drop)
    }

    /// The same for who does not care why.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn post(&self, group: Group, path: &str, params: Value) -> Result<(), Failure> {
        self.send(group, path, params).await.map_err(Failure::from)
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
