//! An adapter without a platform: whatever the host asks of it, it asks a test, over one socket a tenant, and whatever
//! the test says, it reports. So a test can make every state, every refusal and every silence that a platform could.
//!
//! It decides nothing itself but one thing: `session.request.puppet.ping` is answered here, so that a test can wait for
//! all that the adapter has said before. The lines of the socket are described in `jackfield_tests::puppet`, which
//! is its other end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use jackfield_plugin_api::{
    Adapter, Agent, AgentHost, Code, Command, Ending, Failure, Link, Login, Outcome, Platform, PlatformHost, Report,
    StartOptions, Tenant, export_adapter,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

export_adapter!(Puppet, manifest = "../manifest.json");

/// The library.
struct Puppet;

impl Adapter for Puppet {
    type Platform = Stage;

    fn load() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn connect(&self, tenant: Tenant, host: PlatformHost) -> Result<Stage, Failure> {
        #[derive(Deserialize)]
        struct Settings {
            port: u16,
            secret: Option<String>,
        }
        let Settings { port, secret } = tenant.settings.parse()?;
        let socket = TcpStream::connect(("127.0.0.1", port))
            .await
            .map_err(|error| Failure::new(Code::Unreachable, format!("the test does not listen: {error}")))?;
        let (read, write) = socket.into_split();
        let (lines, queue) = mpsc::channel(1024);
        let stage = Stage(Arc::new(Inner {
            lines,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            agents: Mutex::default(),
            host,
        }));
        tokio::spawn(write_lines(write, queue));
        tokio::spawn(read_lines(read, stage.clone()));
        stage.ask(json!({"ask": "connect", "tenant": tenant.id, "secret": secret})).await.map(|_| stage)
    }
}

/// One tenant's connection to its test.
#[derive(Clone)]
struct Stage(Arc<Inner>);

struct Inner {
    lines: mpsc::Sender<Value>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Line>>>,
    agents: Mutex<HashMap<String, AgentHost>>,
    host: PlatformHost,
}

/// A line from the test. Every line but an answer is acknowledged by a line `{"ack":N}` when its effect is handed over.
#[derive(Deserialize)]
struct Line {
    /// Of the question that this answers.
    answer: Option<u64>,
    outcome: Option<Outcome>,
    #[serde(default)]
    panic: bool,
    /// Acknowledge with this number.
    ack: Option<u64>,
    /// The session that it is about.
    session: Option<String>,
    report: Option<Report>,
    link: Option<Link>,
    metric: Option<(String, Vec<String>, f64)>,
}

impl Stage {
    /// Asks the test and waits for its answer, for ever if need be.
    async fn ask(&self, mut question: Value) -> Result<Outcome, Failure> {
        let gone = || Failure::new(Code::AdapterFailed, "the test is gone");
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        question["id"] = json!(id);
        let (answer, wait) = oneshot::channel();
        self.0.waiting.lock().expect("never poisoned").insert(id, answer);
        self.0.lines.send(question).await.map_err(|_| gone())?;
        let line = wait.await.map_err(|_| gone())?;
        assert!(!line.panic, "the test asked for a panic");
        match line.outcome.unwrap_or(Outcome::success()) {
            Outcome::Failure(failure) => Err(failure),
            other => Ok(other),
        }
    }

    async fn take(&self, line: Line) {
        if let Some(report) = line.report {
            let host = line.session.as_ref().and_then(|session| self.agent_host(session));
            if let Some(host) = host {
                host.report(report);
            }
        }
        if let Some(link) = line.link {
            match line.session.as_ref() {
                None => self.0.host.link(link),
                Some(session) => {
                    if let Some(host) = self.agent_host(session) {
                        host.link(link);
                    }
                }
            }
        }
        if let Some((name, labels, value)) = line.metric {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            self.0.host.metric(&name, &labels, value);
        }
        if let Some(ack) = line.ack {
            let _ = self.0.lines.send(json!({"ack": ack})).await;
        }
    }

    fn agent_host(&self, session: &str) -> Option<AgentHost> {
        self.0.agents.lock().expect("never poisoned").get(session).cloned()
    }
}

async fn write_lines(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Value>) {
    while let Some(line) = queue.recv().await {
        if socket.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_lines(socket: OwnedReadHalf, stage: Stage) {
    let mut lines = BufReader::new(socket).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let mut line: Line = match serde_json::from_str(&text) {
            Ok(line) => line,
            Err(error) => panic!("a line from the test that is none: {error}: {text}"),
        };
        match line.answer.take() {
            None => stage.take(line).await,
            Some(id) => {
                let waiting = stage.0.waiting.lock().expect("never poisoned").remove(&id);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(line);
                }
            }
        }
    }
}

impl Platform for Stage {
    type Agent = Actor;

    async fn log_in(&self, login: Login, host: AgentHost) -> Result<Actor, Failure> {
        self.0.agents.lock().expect("never poisoned").insert(login.session.clone(), host);
        let actor = Actor { stage: self.clone(), agent: login.agent.clone(), session: login.session.clone() };
        let password = login.password.as_ref().map(|password| password.reveal().to_owned());
        let question = json!({"ask": "log_in", "password": password, "model": login.model,
            "resume": login.resume.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())});
        actor.ask(question).await?;
        Ok(actor)
    }

    async fn disconnect(&self) {
        let _ = self.ask(json!({"ask": "disconnect"})).await;
    }
}

/// One session.
struct Actor {
    stage: Stage,
    agent: String,
    session: String,
}

impl Actor {
    async fn ask(&self, mut question: Value) -> Result<Outcome, Failure> {
        question["agent"] = json!(self.agent);
        question["session"] = json!(self.session);
        self.stage.ask(question).await
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stage.0.agents.lock().expect("never poisoned").remove(&self.session);
    }
}

impl Agent for Actor {
    async fn start(&self, options: StartOptions) -> Result<(), Failure> {
        self.ask(json!({"ask": "start", "extension": options.extension})).await.map(drop)
    }

    async fn command(&self, command: Command) -> Outcome {
        if matches!(&command, Command::Extension { name, .. } if name == "session.request.puppet.ping") {
            return Outcome::success();
        }
        self.ask(json!({"ask": "command", "command": command})).await.unwrap_or_else(Outcome::Failure)
    }

    async fn snapshot(&self) -> Result<(), Failure> {
        self.ask(json!({"ask": "snapshot"})).await.map(drop)
    }

    async fn log_out(&self, ending: Ending) -> Result<(), Failure> {
        self.ask(json!({"ask": "log_out", "ending": ending})).await.map(drop)
    }
}
