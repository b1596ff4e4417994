//! A session from both ends: a client that sees what a desktop would see, and an adapter made of a few lines whose every
//! answer the test decides.

#![allow(clippy::unwrap_used)]

mod checks;
mod faults;
mod http;
mod lifecycle;
mod limits;
mod link;
mod lists;
mod migration;
mod order;
mod resume;

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use jackfield_plugin_api::{
    Code, Command, Ending, Failure, Link, Login, Manifest, Outcome, Report, StartOptions,
    command::StandardCommand,
    report::{
        Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction, Interaction,
        Member, MemberRole, Role,
    },
};
use serde_json::{Value, json};

use super::*;
use crate::{
    metrics::Metrics,
    plugin::{AgentPort, AgentSink, Delivery, FromAgent, LogInFuture, PlatformPort, RequestId},
};

/// Where all clients of these tests are.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the adapter was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Start(StartOptions),
    Command(Command),
    Snapshot,
    LogOut(Ending),
}

/// One agent at the adapter.
struct Line {
    login: Login,
    sink: Arc<dyn AgentSink>,
    asked: Mutex<VecDeque<(RequestId, Asked)>>,
    /// Answers start and the leaving agent by itself, while it is being called.
    obliging: bool,
    gone: AtomicBool,
    /// Fails what is handed over.
    jammed: AtomicBool,
    /// Stands for a fault of the host's: panics where a command is handed over.
    panics: AtomicBool,
}

impl Line {
    fn tell(&self, message: FromAgent) {
        assert_eq!(self.sink.deliver(message.into()), Delivery::Accepted);
    }

    fn report(&self, report: Report) {
        self.tell(FromAgent::Report(report));
    }

    fn answer(&self, request: RequestId, outcome: Outcome) {
        self.tell(FromAgent::Answer { request, report: None, outcome });
    }

    /// The oldest thing that the adapter was asked for and this test has not looked at.
    async fn next(&self) -> Option<(RequestId, Asked)> {
        settle().await;
        self.asked.lock().unwrap().pop_front()
    }

    async fn next_command(&self) -> (RequestId, Command) {
        match self.next().await {
            Some((request, Asked::Command(command))) => (request, command),
            other => panic!("no command but {other:?}"),
        }
    }

    async fn is_idle(&self) -> bool {
        settle().await;
        self.asked.lock().unwrap().is_empty()
    }

    async fn is_gone(&self) -> bool {
        settle().await;
        self.gone.load(SeqCst)
    }
}

struct Handle(Arc<Line>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    fn take(&self, request: RequestId, asked: Asked) -> Result<(), Failure> {
        let line = &self.0;
        assert!(!(line.panics.load(SeqCst) && matches!(asked, Asked::Command(_))), "a fault");
        if line.jammed.load(SeqCst) {
            return Err(Failure::new(Code::RateLimited, "jammed"));
        }
        match asked {
            Asked::Start(_) if line.obliging => {
                line.report(shop());
                line.answer(request, Outcome::success());
            }
            Asked::LogOut(Ending::Leave) if line.obliging => line.answer(request, Outcome::success()),
            asked => line.asked.lock().unwrap().push_back((request, asked)),
        }
        Ok(())
    }
}

impl AgentPort for Handle {
    fn start(&self, request: RequestId, options: &StartOptions) -> Result<(), Failure> {
        self.take(request, Asked::Start(options.clone()))
    }
    fn command(&self, request: RequestId, command: &Command, _: std::time::Instant) -> Result<(), Failure> {
        self.take(request, Asked::Command(command.clone()))
    }
    fn snapshot(&self, request: RequestId) -> Result<(), Failure> {
        self.take(request, Asked::Snapshot)
    }
    fn log_out(&self, request: RequestId, ending: Ending) -> Result<(), Failure> {
        self.take(request, Asked::LogOut(ending))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.gone.store(true, SeqCst);
    }
}

struct Adapter {
    manifest: Arc<Manifest>,
    lines: Mutex<Vec<Arc<Line>>>,
    /// Where each log-in's agent would report to, successful or not.
    sinks: Mutex<Vec<Arc<dyn AgentSink>>>,
    refuse: Mutex<Option<Failure>>,
    obliging: AtomicBool,
    /// Log-ins take this long.
    slow: Mutex<Duration>,
}

impl Adapter {
    fn new(manifest: Arc<Manifest>) -> Arc<Self> {
        Arc::new(Self {
            manifest,
            lines: Mutex::default(),
            sinks: Mutex::default(),
            refuse: Mutex::default(),
            obliging: AtomicBool::new(true),
            slow: Mutex::default(),
        })
    }

    fn like(other: &Self) -> Arc<Self> {
        Self::new(Arc::clone(&other.manifest))
    }

    fn refuse(&self, code: Code) {
        *self.refuse.lock().unwrap() = Some(Failure::new(code, "refused"));
    }

    fn accept(&self) {
        *self.refuse.lock().unwrap() = None;
    }

    /// The newest agent.
    fn line(&self) -> Arc<Line> {
        Arc::clone(self.lines.lock().unwrap().last().unwrap())
    }

    fn logins(&self) -> usize {
        self.lines.lock().unwrap().len()
    }
}

struct Port(Arc<Adapter>);

impl PlatformPort for Port {
    fn manifest(&self) -> &Arc<Manifest> {
        &self.0.manifest
    }

    fn log_in(&self, login: Login, sink: Arc<dyn AgentSink>, _: Duration) -> LogInFuture {
        let adapter = Arc::clone(&self.0);
        adapter.sinks.lock().unwrap().push(Arc::clone(&sink));
        Box::pin(async move {
            let slow = *adapter.slow.lock().unwrap();
            tokio::time::sleep(slow).await;
            if let Some(failure) = adapter.refuse.lock().unwrap().clone() {
                return Err(failure);
            }
            let line = Arc::new(Line {
                login,
                sink,
                asked: Mutex::default(),
                obliging: adapter.obliging.load(SeqCst),
                gone: AtomicBool::new(false),
                jammed: AtomicBool::new(false),
                panics: AtomicBool::new(false),
            });
            adapter.lines.lock().unwrap().push(Arc::clone(&line));
            Ok(Box::new(Handle(line)) as Box<dyn AgentPort>)
        })
    }
}

/// A tenant with its adapter.
struct Tenant {
    manager: SessionManager,
    adapter: Arc<Adapter>,
    metrics: Metrics,
}

impl Tenant {
    fn new() -> Self {
        Self::with(SessionLimits::default())
    }

    fn with(limits: SessionLimits) -> Self {
        let metrics = Metrics::new(10);
        let manager = SessionManager::new("acme", limits, metrics.tenant("acme", "fake"));
        let manifest = Arc::new(
            serde_json::from_value(json!({
                "id": "fake", "version": "1.0.0", "vendor": "us", "platform": "acme",
                "channelTypes": ["Telephony", "Chat"],
                "commands": StandardCommand::ALL.iter().map(|command| command.name()).filter(|name| !name.contains("recording")).collect::<Vec<_>>(),
                "extensionCommands": [{
                    "name": "channel.request.acme.count",
                    "target": "channel",
                    "data": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
                }],
                "lists": [{"kind": "queues", "watch": true}],
                "settings": {},
            }))
            .unwrap(),
        );
        let adapter = Adapter::new(manifest);
        manager.set_platform(&manager.serving(), Some(Arc::new(Port(Arc::clone(&adapter)))));
        manager.set_link(&manager.serving(), Link::Up);
        Self { manager, adapter, metrics }
    }

    fn set_link(&self, link: Link) {
        self.manager.set_link(&self.manager.serving(), link);
    }

    fn set_platform(&self, port: Option<Arc<dyn PlatformPort>>) {
        self.manager.set_platform(&self.manager.serving(), port);
    }

    /// What operators are told of its sessions.
    async fn list(&self) -> Vec<SessionStatus> {
        settle().await;
        self.manager.list()
    }

    fn client(&self) -> Client {
        self.client_of(Identity::Anyone)
    }

    fn client_of(&self, identity: Identity) -> Client {
        self.client_with(identity, OutboxLimits::default())
    }

    fn client_with(&self, identity: Identity, limits: OutboxLimits) -> Client {
        let (outbox, outlet) = Outbox::new(limits, Arc::clone(&self.manager.registry().queued), false);
        let connection = ClientConnection::new(&self.manager, identity, HERE, outbox);
        Client { connection, outlet, session: String::new(), seq: 0 }
    }

    /// A client whose start the adapter was asked for: it has reported a snapshot and not answered.
    async fn at_the_start(&self) -> (Client, Arc<Line>) {
        self.adapter.obliging.store(false, SeqCst);
        let mut client = self.client();
        client.prepare("ann").await;
        client.send("session.start", "", json!({}));
        settle().await;
        let line = self.adapter.line();
        line.report(shop());
        (client, line)
    }

    /// A client with a started session, its snapshot read; channels `c1` (a ready phone) and `c2` (a chat).
    async fn at_work(&self) -> (Client, Arc<Line>) {
        self.at_work_as("ann").await
    }

    /// The same for another agent.
    async fn at_work_as(&self, agent: &str) -> (Client, Arc<Line>) {
        let mut client = self.client();
        client.prepare(agent).await;
        client.start().await;
        let line = self.adapter.line();
        (client, line)
    }
}

/// What a desktop sees.
struct Client {
    connection: ClientConnection,
    outlet: Outlet,
    session: String,
    /// The last event's number.
    seq: u64,
}

impl Client {
    /// Sends, whether the last message is through or not.
    fn send(&mut self, command: &str, target: &str, data: Value) {
        let target = format!("{}{target}", self.session);
        let message = json!({"command": command, "target": target, "data": data, "requestId": command});
        self.connection.receive(&message.to_string(), tokio::time::Instant::now());
    }

    /// Waits until the last message is through, as a server does before it takes the next.
    async fn through(&mut self) {
        std::future::poll_fn(|context| self.connection.poll_ready(context)).await;
    }

    fn send_raw(&mut self, message: &Value) {
        self.connection.receive(&message.to_string(), tokio::time::Instant::now());
    }

    fn try_next(&mut self) -> Option<Value> {
        match self.outlet.try_next()? {
            OutboxItem::Message(message) => {
                let value: Value = serde_json::from_slice(&message.text).unwrap();
                assert_eq!(message.seq, value["seq"].as_u64());
                if let Some(seq) = message.seq {
                    assert_eq!(seq, self.seq + 1, "events have no gaps");
                    self.seq = seq;
                }
                Some(value)
            }
            OutboxItem::Close(code, _) => Some(json!({"close": code.number()})),
        }
    }

    /// What is there now, which must be something.
    async fn next(&mut self) -> Value {
        settle().await;
        self.try_next().expect("a message is there")
    }

    /// What comes.
    async fn wait(&mut self) -> Value {
        tokio::time::timeout(Duration::from_secs(300), self.outlet.ready()).await.expect("a message comes");
        self.next().await
    }

    /// All that is there now: events by name, responses by result and code.
    async fn heard(&mut self) -> Vec<String> {
        settle().await;
        std::iter::from_fn(|| self.try_next()).map(|message| words(&message)).collect()
    }

    fn prepare_message(agent: &str, replace: bool) -> Value {
        json!({"command": "prepareSession", "data": {"override": replace, "agent": {"id": agent, "password": "pw"}}})
    }

    async fn prepare(&mut self, agent: &str) {
        self.send_raw(&Self::prepare_message(agent, false));
        let answer = self.wait().await;
        self.session = answer["data"]["session"]["id"].as_str().expect("there is a session").to_owned();
    }

    async fn start(&mut self) {
        self.send("session.start", "", json!({}));
        assert_eq!(words(&self.wait().await), "success session.start");
        while words(&self.wait().await) != "session.initialized" {}
        assert_eq!(self.heard().await, [""; 0]);
    }

    /// Binds a session that another client has prepared.
    async fn bind(&mut self, session: &str, after: Option<u64>) -> Value {
        let mut data = json!({"session": {"id": session}});
        if let Some(after) = after {
            data["after"] = after.into();
        }
        settle().await;
        self.send_raw(&json!({"command": "bindSession", "data": data}));
        self.through().await;
        let answer = self.next().await;
        if let Some(seq) = answer["data"]["seq"].as_u64() {
            self.seq = seq;
            self.session = session.to_owned();
        }
        answer
    }
}

/// A message in short.
fn words(message: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(code) = message["close"].as_u64() {
        return format!("close {code}");
    }
    match message["result"].as_str() {
        None => text(&message["name"]),
        Some("failure") => format!("{} {}", text(&message["failure"]["code"]), text(&message["command"])),
        Some(result) => format!("{result} {}", text(&message["command"])),
    }
}

/// A ready phone and an inactive chat channel.
fn shop() -> Report {
    Report::snapshot()
        .channel(
            Channel::create("phone", ChannelType::Telephony, "5001", "Phone")
                .status(ChannelStatus::Active(ChannelInfo::ready())),
        )
        .channel(Channel::create("chat", ChannelType::Chat, "ann@shop", "Chat").status(ChannelStatus::Inactive))
}

/// A call on the phone, in a state.
fn call(key: &str, state: ConversationState) -> Report {
    let conversation =
        Conversation::new("leg", Role::Primary, state).member(Member::new("m", "555", MemberRole::Customer));
    let interaction = Interaction::create(key, Direction::Inbound).conversation(conversation);
    Report::new().channel(Channel::new("phone").interaction(interaction))
}

fn ready(available: bool) -> Report {
    let info = if available { ChannelInfo::ready() } else { ChannelInfo::not_ready(None, None) };
    Report::new().channel(Channel::new("phone").status(ChannelStatus::Active(info)))
}

/// Lets tasks that are due run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
