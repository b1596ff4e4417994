//! A switch in another process: the adapter may end and begin again, and the calls stay.
//!
//! Owns: the connection to it, the sessions that must be told to it again when it was lost, and the requests that wait
//! for their answer. Must never: send a request twice. A connection that is lost is the tenant's link that is lost:
//! requests under way end with `timeout`, and the sessions go on once it is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jackfield_plugin_api::{AgentHost, Code, Link, Outcome, PlatformHost};
use tokio::{
    io::BufReader,
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    frames::{Said, WAITING, frame, read, write_all},
    settings::Settings,
    switch::message::{Effect, Request, SessionNo, Ticket},
};

/// How long to wait before the connection is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// A switch in another process.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    address: String,
    tenant: String,
    settings: Settings,
    host: PlatformHost,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where messages go while there is a connection.
    line: Option<mpsc::Sender<Vec<u8>>>,
    sessions: HashMap<SessionNo, Known>,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
    last_number: u64,
}

/// What is told to the switch again when the connection was lost.
#[derive(Debug)]
struct Known {
    host: AgentHost,
    agent: Option<String>,
    extension: Option<String>,
    started: bool,
}

impl Elsewhere {
    pub(crate) fn open(
        address: String,
        tenant: String,
        settings: Settings,
        host: PlatformHost,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let exchange = Arc::new(Self { address, tenant, settings, host, state: Mutex::default() });
        let line = tokio::spawn(Arc::clone(&exchange).run());
        (exchange, line)
    }

    pub(crate) fn new_session(&self, host: AgentHost) -> SessionNo {
        let mut state = self.lock();
        let session = SessionNo(state.number());
        state.sessions.insert(session, Known { host, agent: None, extension: None, started: false });
        session
    }

    pub(crate) async fn ask(&self, session: SessionNo, request: Request) -> Outcome {
        let noted = Noted::of(&request);
        let Some((ticket, answer)) = self.send(session, request) else {
            return Outcome::failure(Code::LinkDown, "there is no connection to the switch");
        };
        let _given_up = GivenUp { exchange: self, ticket };
        let outcome = answer
            .await
            .unwrap_or_else(|_| Outcome::failure(Code::Timeout, "the connection to the switch was lost meanwhile"));
        if matches!(outcome, Outcome::Success(_))
            && let Some(known) = self.lock().sessions.get_mut(&session)
        {
            noted.keep(known);
        }
        outcome
    }

    pub(crate) fn tell(&self, session: SessionNo, request: Request) {
        if let Some((ticket, _)) = self.send(session, request) {
            self.lock().waiting.remove(&ticket);
        }
    }

    pub(crate) fn forget(&self, session: SessionNo) {
        self.lock().sessions.remove(&session);
    }

    fn send(&self, session: SessionNo, request: Request) -> Option<(Ticket, oneshot::Receiver<Outcome>)> {
        let mut state = self.lock();
        let ticket = Ticket(state.number());
        let line = state.line.as_ref()?;
        line.try_send(frame(&Said::Ask { session, ticket, request: Box::new(request) })).ok()?;
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(ticket, sender);
        Some((ticket, receiver))
    }

    // ---- the connection -----------------------------------------------------------------------------------------

    async fn run(self: Arc<Self>) {
        loop {
            if let Ok(stream) = TcpStream::connect(&self.address).await {
                let lost = self.talk(stream).await;
                self.connection_lost(lost.err());
            } else {
                self.host.link(Link::Down { reason: "the switch cannot be reached".to_owned() });
            }
            sleep(PAUSE).await;
        }
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (from, to) = stream.into_split();
        let (line, waiting) = mpsc::channel(WAITING);
        let hello = Said::Hello { tenant: self.tenant.clone(), settings: Box::new(self.settings.clone()) };
        line.try_send(frame(&hello)).map_err(std::io::Error::other)?;
        self.lock().line = Some(line);
        let mut from = BufReader::new(from);
        let hear = async {
            loop {
                let effect = read::<Effect>(&mut from).await?;
                self.take(effect);
            }
        };
        tokio::select! {
            heard = hear => heard,
            written = write_all(waiting, to) => written,
        }
    }

    fn take(&self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, outcome } => {
                if let Some(sender) = self.lock().waiting.remove(&ticket) {
                    // Whoever asked may have given up.
                    let _ = sender.send(outcome);
                }
            }
            Effect::Report { session, report } => {
                let host = self.lock().sessions.get(&session).map(|known| known.host.clone());
                if let Some(host) = host {
                    host.report(report);
                }
            }
            Effect::Link(link) => {
                if link == Link::Up {
                    self.log_in_again();
                }
                self.host.link(link);
            }
            Effect::Metric { name, labels, value } => {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                self.host.metric(&name, &labels, value);
            }
        }
    }

    /// Tells the switch of all sessions that it may have forgotten. It knows them before it is asked for a snapshot.
    fn log_in_again(&self) {
        let mut state = self.lock();
        let Some(line) = state.line.clone() else { return };
        let first = state.last_number + 1;
        let known = state.sessions.iter().filter_map(|(session, known)| Some((*session, known, known.agent.clone()?)));
        let mut count = 0;
        for (ticket, (session, known, agent)) in (first..).zip(known) {
            count += 1;
            let request =
                Request::LogIn { agent, password: None, goes_on: known.started, extension: known.extension.clone() };
            let said = Said::Ask { session, ticket: Ticket(ticket), request: Box::new(request) };
            if line.try_send(frame(&said)).is_err() {
                break;
            }
        }
        state.last_number += count;
    }

    fn connection_lost(&self, why: Option<std::io::Error>) {
        let mut state = self.lock();
        state.line = None;
        // Whoever waits is told so by the end of the channel.
        state.waiting.clear();
        drop(state);
        let why = why.map_or_else(|| "it closed it".to_owned(), |error| error.kind().to_string());
        self.host.link(Link::Down { reason: format!("the connection to the switch is lost: {why}") });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// What a request changes of what is told to the switch again.
enum Noted {
    LoggedIn(String, bool, Option<String>),
    Started(Option<String>),
    Nothing,
}

impl Noted {
    fn of(request: &Request) -> Self {
        match request {
            Request::LogIn { agent, goes_on, extension, .. } => {
                Self::LoggedIn(agent.clone(), *goes_on, extension.clone())
            }
            Request::Start { extension } => Self::Started(extension.clone()),
            _ => Self::Nothing,
        }
    }

    fn keep(self, known: &mut Known) {
        match self {
            Self::LoggedIn(agent, started, extension) => {
                (known.agent, known.started, known.extension) = (Some(agent), started, extension);
            }
            Self::Started(extension) => (known.started, known.extension) = (true, extension),
            Self::Nothing => {}
        }
    }
}

/// Whoever waits for an answer gives it up: nobody keeps a place for it.
struct GivenUp<'a> {
    exchange: &'a Elsewhere,
    ticket: Ticket,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.exchange.lock().waiting.remove(&self.ticket);
    }
}
