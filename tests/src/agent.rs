//! An agent's desktop on a WebSocket, with small verbs for tests.
//!
//! It reads only when a test waits for something (so a test can also be a client that does not read). Every event is
//! checked as it comes: numbered without gaps, legal by the protocol (the model refuses an illegal stream), and, as every
//! response, of the form that the published schemas say.
//! Events wait in `heard` until a test has said that it expects them.

use std::collections::{HashMap, VecDeque};

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        protocol::frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use crate::{client_model::ClientModel, host::Host, patience, schema};

/// Events of adapters' own, which may come at any time.
const EXTENSION_EVENTS: &[&str] = &[
    "session.puppet.said",
    "channelgroup.puppet.said",
    "channel.puppet.said",
    "interaction.puppet.said",
    "conversation.puppet.said",
    "session.odd.happened",
    "session.incontact.addressbook.updated",
    "session.agentleg.connected",
    "session.agentleg.disconnected",
    "session.agentleg.failed",
    "session.incontact.agentsession.ended",
    "session.incontact.messages",
];

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An event as it came.
#[derive(Debug, Clone)]
pub struct Event {
    pub seq: u64,
    /// When the host told it, in milliseconds since 1970.
    pub at: u64,
    /// Since when the state that it tells holds; `data` is without it.
    pub since: Option<u64>,
    pub target: String,
    pub name: String,
    pub data: Value,
    /// The name, with the object in brackets where the name alone does not tell it.
    pub word: String,
}

/// Events that were expected and came.
#[derive(Debug, Clone)]
pub struct Heard(pub Vec<Event>);

impl Heard {
    /// The last event that goes by this word.
    pub fn event(&self, word: &str) -> &Event {
        self.0.iter().rev().find(|event| event.word == word).unwrap_or_else(|| panic!("no {word} in {:?}", self.0))
    }

    /// Its data.
    pub fn data(&self, word: &str) -> &Value {
        &self.event(word).data
    }

    /// The words, for comparison.
    pub fn words(&self) -> Vec<&str> {
        self.0.iter().map(|event| event.word.as_str()).collect()
    }
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The close code; `None`: the connection just ended.
    pub code: Option<u16>,
}

/// A connection, and the session on it once it is bound.
pub struct Agent {
    socket: Socket,
    /// A command that changes nothing and goes the whole way to the adapter and back.
    ping: (&'static str, Value),
    url: String,
    token: Option<String>,
    /// The session's id, once there is one.
    pub session: String,
    names: HashMap<String, String>,
    newest: HashMap<String, String>,
    model: ClientModel,
    /// Whether the session was started with `actions`.
    actions: bool,
    heard: VecDeque<Event>,
    responses: VecDeque<Value>,
    /// Commands that were sent and not answered yet, by their requestId as text.
    unanswered: HashMap<String, Value>,
    closed: Option<Closed>,
    next_request: u64,
    ponged: bool,
    /// The subprotocol that the host selected.
    pub subprotocol: Option<String>,
    /// The last frame that was no event, as it came.
    last_text: String,
    /// The number of the last event.
    pub seq: u64,
}

/// How to connect.
#[derive(Debug, Default, Clone)]
pub struct Connect {
    pub token: Option<String>,
    pub subprotocols: Option<String>,
}

impl Host {
    /// An agent's connection to the tenant `demo`.
    pub async fn connect(&self) -> Agent {
        Agent::connect(self, "demo").await
    }

    /// An agent who is logged in to the tenant `demo`.
    pub async fn log_in(&self, agent: &str) -> Agent {
        let mut connected = self.connect().await;
        connected.log_in(agent).await;
        connected
    }
}

impl Agent {
    /// Connects to a tenant of a host.
    pub async fn connect(host: &Host, tenant: &str) -> Self {
        Self::connect_with(host, tenant, Connect::default()).await.expect("the connection is accepted")
    }

    /// Connects with a token or with subprotocols of the test's choice.
    ///
    /// # Errors
    /// The status of the HTTP answer that refused it.
    pub async fn connect_with(host: &Host, tenant: &str, how: Connect) -> Result<Self, u16> {
        let url = format!("ws://{}/v1/tenants/{tenant}/ws", host.address);
        Self::open(url, how, host.ping(tenant)).await
    }

    async fn open(url: String, how: Connect, ping: (&'static str, Value)) -> Result<Self, u16> {
        let mut request = url.as_str().into_client_request().expect("a URL");
        let headers = request.headers_mut();
        if let Some(token) = &how.token {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let offered = how.subprotocols.clone().unwrap_or_else(|| "jackfield.v1".into());
        if !offered.is_empty() {
            headers.insert("sec-websocket-protocol", offered.parse().unwrap());
        }
        let connected = patience("the connection", tokio_tungstenite::connect_async(request)).await;
        let (socket, subprotocol) = match connected {
            Ok((socket, response)) => {
                let selected = response.headers().get("sec-websocket-protocol");
                (socket, selected.map(|value| value.to_str().expect("text").to_owned()))
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("cannot connect: {error}"),
        };
        Ok(Self {
            socket,
            ping,
            url,
            token: how.token,
            session: String::new(),
            names: HashMap::new(),
            newest: HashMap::new(),
            model: ClientModel::new("", false, &[]),
            actions: false,
            heard: VecDeque::new(),
            responses: VecDeque::new(),
            unanswered: HashMap::new(),
            closed: None,
            next_request: 1,
            ponged: false,
            subprotocol,
            last_text: String::new(),
            seq: 0,
        })
    }

    // ---- logging in

    /// prepareSession, as it is answered.
    pub async fn prepare(&mut self, agent: &str, over: bool) -> Value {
        self.prepare_with(agent, "secret", over).await
    }

    /// The same with another password than all test agents have.
    pub async fn prepare_with(&mut self, agent: &str, password: &str, over: bool) -> Value {
        let data = json!({"override": over, "agent": {"id": agent, "password": password}});
        let response = self.command("prepareSession", "", data).await;
        if let Some(session) = response["data"]["session"]["id"].as_str() {
            self.begin(session, 0);
        }
        response
    }

    /// session.start, and all events up to session.initialized.
    pub async fn start(&mut self, data: Value) -> Heard {
        let session = self.session.clone();
        self.actions = data["actions"] == true;
        self.forget_all_objects();
        let response = self.command("session.start", &session, data).await;
        assert_eq!(response["result"], "success", "{response}");
        self.hears_until("session.initialized").await
    }

    /// Prepares and starts a session.
    pub async fn log_in(&mut self, agent: &str) -> Heard {
        let response = self.prepare(agent, false).await;
        assert_eq!(response["result"], "success", "{response}");
        self.start(json!({})).await
    }

    /// bindSession, as it is answered. `after`: `None` leaves it out.
    pub async fn bind(&mut self, session: &str, after: Option<u64>) -> Value {
        self.session = session.to_owned();
        let data = match after {
            None => json!({"session": {"id": session}}),
            Some(after) => json!({"session": {"id": session}, "after": after}),
        };
        self.command("bindSession", "", data).await
    }

    /// A new connection instead of this one, which is cut; the session is not bound yet.
    pub async fn reconnect(&mut self) {
        let other = self.another_connection().await;
        self.socket = other.socket;
        self.closed = None;
    }

    /// A second connection beside this one, in the same way.
    pub async fn another_connection(&self) -> Self {
        let how = Connect { token: self.token.clone(), subprotocols: None };
        Self::open(self.url.clone(), how, self.ping.clone()).await.expect("the connection is accepted")
    }

    fn begin(&mut self, session: &str, seq: u64) {
        self.session = session.to_owned();
        self.seq = seq;
        self.newest.insert("session".into(), session.to_owned());
        self.forget_all_objects();
    }

    /// A session begins, or a snapshot will tell all anew.
    fn forget_all_objects(&mut self) {
        self.names.clear();
        self.names.insert(self.session.clone(), "session".into());
        self.model = ClientModel::new(&self.session, self.actions, EXTENSION_EVENTS);
    }

    // ---- talking

    /// Sends a command; an empty target is left out. Returns its requestId.
    pub async fn send(&mut self, command: &str, target: &str, data: Value) -> u64 {
        let request = self.next_request;
        self.next_request += 1;
        let mut message = json!({"command": command, "data": data, "requestId": request});
        if !target.is_empty() {
            message["target"] = json!(target);
        }
        self.send_text(&message.to_string()).await;
        request
    }

    /// Sends a text frame.
    pub async fn send_text(&mut self, text: &str) {
        if let Ok(command) = serde_json::from_str::<Value>(text) {
            self.unanswered.insert(command["requestId"].to_string(), command);
        }
        self.send_raw(Message::text(text)).await;
    }

    /// Sends any frame. One that cannot be sent any more is noticed by whoever waits for its effect.
    pub async fn send_raw(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    /// Waits for the response to a command that was sent.
    pub async fn response(&mut self, request: u64) -> Value {
        self.response_where(&format!("the response to request {request}"), |response| response["requestId"] == request)
            .await
    }

    /// Waits for the next response, whichever it is.
    pub async fn any_response(&mut self) -> Value {
        self.response_where("a response", |_| true).await
    }

    /// Waits for so many responses and forgets them; false: the connection is closed before.
    pub async fn gets_responses(&mut self, count: usize) -> bool {
        let wait = async {
            while self.responses.len() < count && self.closed.is_none() {
                self.read().await;
            }
        };
        patience("responses", wait).await;
        self.responses.clear();
        self.closed.is_none()
    }

    async fn response_where(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                if let Some(at) = self.responses.iter().position(&fits) {
                    return self.responses.remove(at).expect("it is there");
                }
                if let Some(closed) = &self.closed {
                    panic!("{what} will not come: {closed:?}");
                }
                self.read().await;
            }
        };
        patience(what, wait).await
    }

    /// Sends one text message in fragments of this many bytes.
    pub async fn send_fragments(&mut self, text: &str, length: usize) {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(length).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let kind = if at == 0 { Data::Text } else { Data::Continue };
            let last = at + 1 == pieces.len();
            self.send_raw(Message::Frame(Frame::message(piece.to_vec(), OpCode::Data(kind), last))).await;
        }
    }

    /// Sends bytes past the WebSocket library.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.expect("the connection is there");
    }

    /// Waits for a pong.
    pub async fn pong(&mut self) {
        let wait = async {
            while !self.ponged {
                assert!(self.closed.is_none(), "the connection is closed");
                self.read().await;
            }
        };
        patience("a pong", wait).await;
    }

    /// Forgets what came and was not asked for.
    pub fn forget_heard(&mut self) {
        self.heard.clear();
    }

    /// Sends a text frame and returns the text of the next frame that is no event.
    pub async fn raw_response(&mut self, text: &str) -> String {
        self.send_text(text).await;
        let known = self.responses.len();
        let wait = async {
            while self.responses.len() == known {
                assert!(self.closed.is_none(), "the connection is closed");
                self.read().await;
            }
        };
        patience("a response", wait).await;
        self.responses.pop_back();
        self.last_text.clone()
    }

    /// Sends a command and waits for its response.
    pub async fn command(&mut self, command: &str, target: &str, data: Value) -> Value {
        let request = self.send(command, target, data).await;
        self.response(request).await
    }

    /// A command succeeds, repeats its data, and raises exactly these events.
    pub async fn does(&mut self, command: &str, target: &str, data: Value, words: &str) -> Heard {
        let response = self.command(command, target, data.clone()).await;
        assert_eq!(response["result"], "success", "{command}: {response}");
        assert_eq!(response["command"], command);
        assert_eq!(response["target"], target);
        assert_eq!(response["data"], data, "{command}: a success repeats the request's data");
        assert_eq!(members(&response), ["command", "data", "requestId", "result", "target"]);
        let heard = self.hears(words).await;
        self.hears_no_more().await;
        heard
    }

    /// A command fails with this code, repeats the request as `original`, and raises no event. Returns the failure.
    pub async fn fails(&mut self, command: &str, target: &str, data: Value, code: &str) -> Value {
        let failure = self.fails_quickly(command, target, data, code).await;
        self.hears_no_more().await;
        failure
    }

    /// The same without waiting for the adapter afterwards: for when it does not answer.
    pub async fn fails_quickly(&mut self, command: &str, target: &str, data: Value, code: &str) -> Value {
        let response = self.command(command, target, data.clone()).await;
        assert_eq!(response["result"], "failure", "{command}: {response}");
        assert_eq!(response["failure"]["code"], code, "{command}: {response}");
        assert!(!response["failure"]["message"].as_str().unwrap_or_default().is_empty(), "{response}");
        assert_eq!(response["command"], command);
        let mut original = json!({"command": command, "data": data, "requestId": response["requestId"]});
        if !target.is_empty() {
            original["target"] = json!(target);
            assert_eq!(response["target"], target);
        }
        assert_eq!(response["original"], original, "a failure repeats the request");
        response["failure"].clone()
    }

    // ---- listening

    /// Exactly these events come, in this order.
    pub async fn hears(&mut self, words: &str) -> Heard {
        let expected: Vec<&str> = words.split_whitespace().collect();
        let mut heard = Vec::new();
        for (at, word) in expected.iter().enumerate() {
            let event = self.next_event(&format!("event {} of: {words}", at + 1)).await;
            heard.push(event);
            let last = heard.last().expect("just pushed");
            assert_eq!(
                &last.word,
                word,
                "expected: {}\n     came: {}\n  and then: {:?}\n  with: {}",
                expected.join(" "),
                heard.iter().map(|event| event.word.as_str()).collect::<Vec<_>>().join(" "),
                self.heard.iter().map(|event| event.word.as_str()).collect::<Vec<_>>(),
                last.data
            );
        }
        Heard(heard)
    }

    /// All events up to and with this one.
    pub async fn hears_until(&mut self, word: &str) -> Heard {
        let mut heard = Vec::new();
        loop {
            let event = self.next_event(word).await;
            let last = event.word == word;
            heard.push(event);
            if last {
                return Heard(heard);
            }
        }
    }

    /// Exactly these events have come, in this order, and no others: one that is missing is not waited for. Only for
    /// what the adapter has reported before it answered.
    pub async fn has_heard(&mut self, words: &str) -> Heard {
        self.hears_all_that_was_said().await;
        let heard = Heard(self.heard.drain(..).collect());
        let expected: Vec<&str> = words.split_whitespace().collect();
        assert_eq!(heard.words(), expected, "not what was expected came: {:?}", heard.0);
        self.is_at_rest();
        heard
    }

    /// No event came that was not expected: all that the adapter has said so far has arrived.
    pub async fn hears_no_more(&mut self) {
        self.hears_all_that_was_said().await;
        let words: Vec<_> = self.heard.iter().map(|event| (&event.word, &event.data)).collect();
        assert!(words.is_empty(), "came without being expected: {words:?}");
        self.is_at_rest();
    }

    async fn hears_all_that_was_said(&mut self) {
        let (ping, data) = self.ping.clone();
        let session = self.session.clone();
        let response = self.command(ping, &session, data).await;
        assert_eq!(response["result"], "success", "{response}");
    }

    fn is_at_rest(&self) {
        if let Err(why) = self.model.is_at_rest() {
            panic!("a list is incomplete: {why}");
        }
    }

    /// Events that came while something else was waited for.
    pub fn unexpected(&self) -> Vec<String> {
        self.heard.iter().map(|event| event.word.clone()).collect()
    }

    /// The next event, whichever it is.
    pub async fn next_event(&mut self, what: &str) -> Event {
        let wait = async {
            loop {
                if let Some(event) = self.heard.pop_front() {
                    return event;
                }
                if let Some(closed) = &self.closed {
                    panic!("{what} will not come: {closed:?}");
                }
                self.read().await;
            }
        };
        patience(what, wait).await
    }

    /// The connection is closed by the host. What comes before it stays to be heard.
    pub async fn is_closed(&mut self) -> Closed {
        let wait = async {
            loop {
                if let Some(closed) = &self.closed {
                    return closed.clone();
                }
                self.read().await;
            }
        };
        patience("the connection is closed", wait).await
    }

    /// Hangs up without a word.
    pub fn cut(self) {
        drop(self);
    }

    /// Takes the next frame. The caller bounds the whole wait: the host's pings alone must not keep it going.
    /// Reads what has come: a desktop that leaves the host's pings unanswered for a minute is taken for gone.
    pub async fn stays_connected(&mut self) {
        while self.closed.is_none() && self.read().now_or_never().is_some() {}
        // An answer to a ping is written when it is flushed; a connection that is closed is found by the next read.
        let _ = self.socket.flush().await;
    }

    async fn read(&mut self) {
        let message = match self.socket.next().await {
            Some(Ok(message)) => message,
            Some(Err(_)) | None => {
                self.closed.get_or_insert(Closed { code: None });
                return;
            }
        };
        match message {
            Message::Text(text) => {
                let message: Value = parse(text.as_str());
                self.fits_its_schema(text.as_str());
                if message["messageType"] == "objectEvent" {
                    self.take_event(message);
                } else {
                    text.as_str().clone_into(&mut self.last_text);
                    self.take(message);
                }
            }
            Message::Close(frame) => {
                let code = frame.map_or(CloseCode::Status, |frame| frame.code);
                self.closed.get_or_insert(Closed { code: Some(code.into()) });
            }
            Message::Pong(_) => self.ponged = true,
            Message::Ping(_) => {}
            other => panic!("the host sent {other:?}"),
        }
    }

    /// The message is as the published schemas say; one with an echo that no reader takes is left out.
    fn fits_its_schema(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        if message["messageType"] == "objectEvent" {
            schema::fits("event", &message);
        } else {
            let command = self.unanswered.remove(&message["requestId"].to_string());
            schema::response_fits(&message, command.as_ref());
        }
    }

    fn take(&mut self, response: Value) {
        if response["command"] == "bindSession" && response["result"] == "success" {
            let data = &response["data"];
            assert_eq!(members(data), ["replay", "seq"], "{response}");
            let seq = data["seq"].as_u64().expect("a number");
            match data["replay"].as_str() {
                Some("snapshot") => self.begin(&self.session.clone(), seq),
                Some("events") => self.seq = seq,
                other => panic!("replay: {other:?}"),
            }
        }
        if response["command"] == "interaction.request.setdisposition" && response["result"] == "success" {
            let target = response["target"].as_str().expect("a target");
            self.model.set_disposition(target, &response["data"]["disposition"]);
        }
        self.responses.push_back(response);
    }

    fn take_event(&mut self, event: Value) {
        let seq = event["seq"].as_u64().expect("an event has a number");
        assert_eq!(seq, self.seq + 1, "events are numbered without gaps: {event}");
        assert_eq!(members(&event), ["at", "data", "messageType", "name", "seq", "target"], "{event}");
        self.seq = seq;
        let name = event["name"].as_str().expect("a name").to_owned();
        let target = event["target"].as_str().expect("a target").to_owned();
        let at = event["at"].as_u64().expect("an event has a time");
        let mut data = event["data"].clone();
        if let Err(why) = self.model.take(&target, &name, &data) {
            panic!("the protocol does not allow event {seq}: {why}");
        }
        let since = data.as_object_mut().and_then(|data| data.remove("since")).map(|since| {
            let since = since.as_u64().expect("a time");
            assert!(since <= at, "a state holds since a moment that is still to come: {event}");
            since
        });
        self.name_new_object(&name, &target, &data);
        let object = self.names.get(&target).unwrap_or_else(|| panic!("{name} on unknown {target}")).clone();
        let told = name == "state.updated" || name == "conversation.disposed" || name.contains(".member.");
        let word = if told { format!("{name}({object})") } else { name.clone() };
        if name.ends_with(".disposed") && name != "session.disposed" {
            self.names.remove(&target);
        }
        self.heard.push_back(Event { seq, at, since, target, name, data, word });
    }

    fn name_new_object(&mut self, name: &str, target: &str, data: &Value) {
        let Some(kind) = name.strip_suffix(".created") else { return };
        let id = data[kind]["id"].as_str().expect("a created event names the object");
        let path = format!("{target}.{id}");
        let called = data[kind]["role"].as_str().unwrap_or(kind).to_owned();
        self.newest.insert(called.clone(), path.clone());
        self.names.insert(path, called);
    }

    // ---- objects

    /// The target of the newest object that goes by this word: `channel`, `interaction`, `primary`, `consult`…
    pub fn the(&self, word: &str) -> String {
        self.newest.get(word).unwrap_or_else(|| panic!("there was never a {word}")).clone()
    }

    /// The same, where there was one.
    pub fn newest(&self, word: &str) -> Option<String> {
        self.newest.get(word).cloned()
    }

    /// The kind of a living object: the first word of its commands.
    pub fn kind_of(&self, target: &str) -> &str {
        match self.names.get(target).unwrap_or_else(|| panic!("there is no {target}")).as_str() {
            "primary" | "consult" => "conversation",
            other => other,
        }
    }

    // ---- the end

    /// What this client knows is what a newcomer is told: folds a fresh snapshot and compares. Ends the connection.
    pub async fn finish(mut self) {
        self.hears_no_more().await;
        let mut other = self.another_connection().await;
        other.actions = self.actions;
        let response = other.bind(&self.session.clone(), None).await;
        assert_eq!(response["result"], "success", "{response}");
        assert_eq!(response["data"]["replay"], "snapshot");
        other.hears_until("session.initialized").await;
        other.hears_no_more().await;
        assert_eq!(self.model.view(), other.model.view(), "what was folded, and what a newcomer is told");
        assert_eq!(self.is_closed().await.code, Some(4001), "a new bind takes the session over");
    }
}

/// Reads a message. What the host echoes as it came may hold what no reader takes, such as a number beyond every
/// machine type or very deep nesting: then without the echo.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| {
        let end = text.find(",\"original\":").or_else(|| text.find(",\"data\":")).unwrap_or(text.len());
        let tamed = format!("{}}}", &text[..end]);
        serde_json::from_str(&tamed).unwrap_or_else(|_| panic!("the host writes JSON: {error}: {text}"))
    })
}

/// The names of an object's members, sorted.
pub fn members(value: &Value) -> Vec<String> {
    let mut names: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
    names.sort();
    names
}
