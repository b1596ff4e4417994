//! One tenant: its task, which keeps the connection to Asterisk and carries everything to and from the switch.
//!
//! Owns: the connection, the clock and the hosts' handles. Must never: decide anything about calls. One task for a
//! tenant; all that reaches it comes through one bounded mailbox or from Asterisk, and nothing in it waits for anything
//! but the next of those.

use std::{
    collections::HashMap,
    future::pending,
    time::{Duration, Instant},
};

use jackfield_plugin_api::{
    AgentHost, Backoff, Code, Command, Failure, Link, Login, Outcome, Platform, PlatformHost, Secret, StartOptions,
    Tenant, tracing,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until, timeout},
};

use crate::{
    agent::{AsteriskAgent, Memory},
    ari::{
        Request,
        connection::{Connection, Refused},
    },
    manager::{Manager, News, Order},
    settings::{KnownAgent, Settings},
    switch::{CommandId, Effect, Input, Switch},
};

/// How many requests of a tenant's agents may wait.
const MAILBOX: usize = 1024;
/// The pauses before attempts to connect.
const CONNECT_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// A connection on which nothing arrived for this long is asked for a sign of life …
const ASK_AFTER: Duration = Duration::from_secs(5);
/// … and is given up after this long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(12);
/// How long the end may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);

/// What a session, or the host, asks of a tenant's task.
pub(crate) enum Ask {
    Start {
        agent: String,
        session: String,
        options: StartOptions,
        host: AgentHost,
        memory: Memory,
        done: oneshot::Sender<Outcome>,
    },
    Resume {
        agent: String,
        session: String,
        state: Vec<u8>,
        host: AgentHost,
        memory: Memory,
        done: oneshot::Sender<Outcome>,
    },
    Command {
        agent: String,
        command: Command,
        done: oneshot::Sender<Outcome>,
    },
    Snapshot {
        agent: String,
        done: oneshot::Sender<Outcome>,
    },
    LogOut {
        agent: String,
        session: String,
        done: oneshot::Sender<Outcome>,
    },
    Leave {
        agent: String,
        session: String,
        done: oneshot::Sender<Outcome>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

/// A tenant on an Asterisk.
pub struct AsteriskPlatform {
    agents: std::collections::BTreeMap<String, KnownAgent>,
    tenant: mpsc::Sender<Ask>,
}

impl AsteriskPlatform {
    /// Checks the settings, tries the first connection and starts the tenant's task. Asterisk need not be there yet,
    /// but if it is and refuses the credentials, that is an error of the settings.
    pub(crate) async fn connect(tenant: &Tenant, host: PlatformHost) -> Result<Self, Failure> {
        let settings = Settings::read(tenant)?;
        let mut nonce = [0; 4];
        getrandom::fill(&mut nonce).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        let connection = match Connection::open(&settings.address).await {
            Ok(connection) => Some(connection),
            Err(Refused::Settings(reason)) => return Err(Failure::new(Code::Rejected, reason)),
            Err(Refused::Unreachable(reason)) => {
                tracing::warn!("no connection to Asterisk: {reason}");
                host.link(Link::Down { reason: format!("no connection to Asterisk: {reason}") });
                None
            }
        };
        let agents = settings.agents.clone();
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let (now, mut backoff) = (Instant::now(), CONNECT_AGAIN);
        let (manager, news) = settings.manager.clone().map(Manager::start).unzip();
        let task = Task {
            manager,
            news,
            switch: Switch::new(settings.clone(), format!("{:08x}", u32::from_be_bytes(nonce)), now),
            settings,
            host,
            mailbox,
            connection: None,
            heard: now,
            asked: false,
            pause: backoff.next_pause(),
            backoff,
            why_not: String::new(),
            fenced: false,
            sessions: HashMap::new(),
            waiting: HashMap::new(),
            last_id: 0,
        };
        tokio::spawn(task.run(connection));
        Ok(Self { agents, tenant: sender })
    }

    fn is_known(&self, login: &Login) -> bool {
        if self.agents.is_empty() || login.resume.is_some() {
            return true;
        }
        let Some(agent) = self.agents.get(&login.agent) else { return false };
        match (&agent.password, &login.password) {
            (None, _) => true,
            (Some(wanted), Some(given)) => same(wanted, given),
            (Some(_), None) => false,
        }
    }
}

/// Compares without telling by its duration how much was right.
fn same(a: &Secret, b: &Secret) -> bool {
    let (a, b) = (a.reveal().as_bytes(), b.reveal().as_bytes());
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl Platform for AsteriskPlatform {
    type Agent = AsteriskAgent;

    async fn log_in(&self, login: Login, host: AgentHost) -> Result<AsteriskAgent, Failure> {
        if !self.is_known(&login) {
            return Err(Failure::new(Code::Unauthorized, "unknown agent or wrong password"));
        }
        let agent = AsteriskAgent::new(login.agent, login.session, host, self.tenant.clone());
        if let Some(state) = login.resume {
            agent.resume(state).await?;
        }
        Ok(agent)
    }

    async fn disconnect(&self) {
        let (done, closed) = oneshot::channel();
        if self.tenant.send(Ask::Close { done }).await.is_ok() {
            let _ = timeout(CLOSE_WITHIN, closed).await;
        }
    }
}

struct Task {
    manager: Option<Manager>,
    news: Option<mpsc::Receiver<News>>,
    switch: Switch,
    settings: Settings,
    host: PlatformHost,
    mailbox: mpsc::Receiver<Ask>,
    connection: Option<Connection>,
    heard: Instant,
    asked: bool,
    /// Before the next attempt to connect.
    pause: Duration,
    backoff: Backoff,
    /// Why the last attempt to connect failed.
    why_not: String,
    fenced: bool,
    sessions: HashMap<String, (AgentHost, Memory)>,
    waiting: HashMap<CommandId, oneshot::Sender<Outcome>>,
    last_id: CommandId,
}

impl Task {
    async fn run(mut self, first: Option<Connection>) {
        if let Some(connection) = first {
            self.connected(connection);
        }
        loop {
            let deadline = self.deadline();
            let connecting = connect(&self.settings, self.connection.is_none() && !self.fenced, self.pause);
            // `connecting` starts over when something else happens first; with at most MAILBOX waiting and nobody able
            // to do anything while the link is down, that is rare and only delays.
            tokio::select! {
                ask = self.mailbox.recv() => match ask {
                    Some(Ask::Close { done }) => return self.close(done).await,
                    Some(ask) => self.asked(ask),
                    // Every handle is gone: the host dropped the tenant without saying so.
                    None => return self.close(oneshot::channel().0).await,
                },
                message = next(&mut self.connection) => {
                    self.heard = Instant::now();
                    self.asked = false;
                    match message {
                        Ok(message) => self.step(Input::Ari(message)),
                        Err(reason) => self.lost(&reason),
                    }
                }
                news = next_news(&mut self.news) => self.step(Input::Manager(news)),
                outcome = connecting => match outcome {
                    Ok(connection) => self.connected(connection),
                    Err(Refused::Settings(reason) | Refused::Unreachable(reason)) => {
                        self.not_connected(reason);
                    }
                },
                () = sleep_until(deadline.into()) => self.time_passed(),
            }
        }
    }

    fn deadline(&self) -> Instant {
        let alive = match (&self.connection, self.asked) {
            (None, _) => self.heard + Duration::from_secs(3600),
            (Some(_), false) => self.heard + ASK_AFTER,
            (Some(_), true) => self.heard + GIVE_UP_AFTER,
        };
        self.switch.next_deadline().map_or(alive, |deadline| deadline.min(alive))
    }

    fn time_passed(&mut self) {
        let silent = self.heard.elapsed();
        if let Some(connection) = &self.connection {
            if self.asked && silent >= GIVE_UP_AFTER {
                self.lost("Asterisk does not answer");
            } else if !self.asked && silent >= ASK_AFTER {
                // No number of the switch's: the answer only shows that somebody is there.
                self.asked = true;
                connection.send(0, Request::ping());
                return self.step(Input::Silent { since: self.heard });
            }
        } else {
            self.heard = Instant::now();
        }
        self.step(Input::Tick);
    }

    fn connected(&mut self, connection: Connection) {
        let (found, application) = (&connection.found, &self.settings.address.application);
        tracing::info!("connected to Asterisk {} as application {application}", found.version);
        for missing in &found.missing {
            tracing::warn!("{missing}");
        }
        let (leaves_transfers, marks_records) = (found.leaves_transfers, found.marks_records);
        self.why_not.clear();
        self.connection = Some(connection);
        self.heard = Instant::now();
        self.asked = false;
        self.backoff.reset();
        self.pause = self.backoff.next_pause();
        self.step(Input::Connected { leaves_transfers, marks_records });
    }

    /// Said once, and again when it is for another reason.
    fn not_connected(&mut self, reason: String) {
        self.pause = self.backoff.next_pause();
        if self.why_not != reason {
            tracing::warn!("no connection to Asterisk: {reason}");
            self.host.link(Link::Down { reason: format!("no connection to Asterisk: {reason}") });
            self.why_not = reason;
        }
    }

    fn lost(&mut self, reason: &str) {
        tracing::warn!("the connection to Asterisk is lost: {reason}");
        self.connection = None;
        self.host.metric("connections_lost_total", &[], 1.0);
        self.host.link(Link::Down { reason: format!("the connection to Asterisk is lost: {reason}") });
        self.step(Input::Disconnected);
    }

    fn asked(&mut self, ask: Ask) {
        self.last_id += 1;
        let id = self.last_id;
        match ask {
            Ask::Start { agent, session, options, host, memory, done } => {
                self.sessions.insert(session.clone(), (host, memory));
                self.waiting.insert(id, done);
                self.step(Input::Start { id, agent, session, options });
            }
            Ask::Resume { agent, session, state, host, memory, done } => {
                self.sessions.insert(session.clone(), (host, memory));
                self.waiting.insert(id, done);
                self.step(Input::Resume { id, agent, session, memory: state });
            }
            Ask::Command { agent, command, done } => {
                self.waiting.insert(id, done);
                self.step(Input::Command { id, agent, command });
            }
            Ask::Snapshot { agent, done } => {
                self.waiting.insert(id, done);
                self.step(Input::Snapshot { id, agent });
            }
            Ask::LogOut { agent, session, done } => {
                self.sessions.remove(&session);
                self.waiting.insert(id, done);
                self.step(Input::LogOut { id, agent });
            }
            Ask::Leave { agent, session, done } => {
                self.sessions.remove(&session);
                self.step(Input::Leave { agent, session });
                let _ = done.send(Outcome::success());
            }
            Ask::Close { .. } => {}
        }
    }

    fn step(&mut self, input: Input) {
        let effects = self.switch.handle(Instant::now(), input);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { id, request } => {
                let sent = self.connection.as_ref().is_some_and(|connection| connection.send(id, request));
                if !sent && self.connection.is_some() {
                    // Noticed at the next turn, so that this input's effects stay in order.
                    self.asked = true;
                    self.heard = Instant::now().checked_sub(GIVE_UP_AFTER).unwrap_or(self.heard);
                }
            }
            Effect::Report { session, report } => {
                if let Some((host, _)) = self.sessions.get(&session) {
                    host.report(report);
                }
            }
            Effect::Remember { session, memory: bytes } => {
                if let Some((_, memory)) = self.sessions.get(&session) {
                    memory.put(bytes);
                }
            }
            Effect::Reply { id, outcome } => {
                if let Some(done) = self.waiting.remove(&id) {
                    let _ = done.send(outcome);
                }
            }
            Effect::Ready => self.host.link(Link::Up),
            Effect::Fenced => {
                self.fenced = true;
                self.connection = None;
                let application = &self.settings.address.application;
                let reason = format!("another client has taken over the application {application}");
                tracing::error!("{reason}; nothing is done any more until the tenant is restarted");
                self.host.link(Link::Down { reason });
            }
            Effect::Waiting { metric, queue, count } => {
                self.host.metric(metric, &[&queue], u32::try_from(count).unwrap_or(u32::MAX).into());
            }
            Effect::Count { metric, label } => self.host.metric(metric, &[label], 1.0),
            Effect::Manager(order) => {
                let stores = match &order {
                    Order::Keep { id, .. } | Order::Forget { id, .. } => *id,
                    _ => None,
                };
                if self.manager.as_ref().is_some_and(|manager| !manager.send(order)) {
                    self.host.metric("manager_orders_lost_total", &[], 1.0);
                    if let Some(id) = stores {
                        let done = Err("too much waits for the manager interface".to_owned());
                        self.step(Input::Manager(News::Stored { id, done }));
                    }
                }
            }
            Effect::Warn(text) => tracing::warn!("{text}"),
        }
    }

    /// Hangs everything up and waits until Asterisk has confirmed it.
    async fn close(mut self, done: oneshot::Sender<()>) {
        self.step(Input::Close);
        let _ = timeout(CLOSE_WITHIN, async {
            while !self.switch.is_quiet() && self.connection.is_some() {
                match next(&mut self.connection).await {
                    Ok(message) => self.step(Input::Ari(message)),
                    Err(_) => self.connection = None,
                }
            }
            if let Some(manager) = self.manager.take() {
                manager.close().await;
            }
        })
        .await;
        let _ = done.send(());
    }
}

async fn next(connection: &mut Option<Connection>) -> Result<crate::ari::Message, String> {
    match connection {
        Some(connection) => connection.next().await,
        None => pending().await,
    }
}

async fn next_news(news: &mut Option<mpsc::Receiver<News>>) -> News {
    match news {
        Some(news) => match news.recv().await {
            Some(news) => news,
            None => pending().await,
        },
        None => pending().await,
    }
}

async fn connect(settings: &Settings, wanted: bool, pause: Duration) -> Result<Connection, Refused> {
    if !wanted {
        return pending().await;
    }
    sleep(pause).await;
    Connection::open(&settings.address).await
}
