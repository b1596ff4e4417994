//! `jackfield agent`: a desktop for a terminal.
//!
//! Owns: one WebSocket connection, one session, and the terminal. Lines come from the standard input and go out as
//! messages; what arrives is printed. Must never: know what a platform is; all of that is the host's.
//!
//! Lines that do not come from a terminal are a script: each waits for the answer to the one before it, and one that
//! names an object which is not there yet waits a while for it.

use std::{
    collections::HashMap,
    io::{BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, time::Instant};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::{
    AgentArguments,
    model::Model,
    short::{self, Line, Trouble},
};

/// How long answers that are still expected are awaited once the input has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(35);
/// How long a script's line waits for its object.
const OBJECT_COMES: Duration = Duration::from_secs(5);

/// Runs the client until its session or its input ends.
pub(super) fn run(arguments: AgentArguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let socket = connect(&arguments).await?;
        let mut client = Client {
            socket,
            model: Model::default(),
            sent: HashMap::new(),
            next_id: 0,
            awaited: Some("session.initialized".to_owned()),
            held: None,
            script: !std::io::stdin().is_terminal(),
            leaving: false,
            arguments,
        };
        client.log_in().await?;
        client.work(read_lines()).await
    })
}

/// The URL of the WebSocket, whichever way it was written.
fn websocket_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_prefix("http://").map_or_else(|| url.to_owned(), |rest| format!("ws://{rest}"));
    if url.ends_with("/ws") { url } else { format!("{url}/ws") }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(arguments: &AgentArguments) -> Result<Socket, String> {
    let url = websocket_url(&arguments.url);
    let mut request = url.as_str().into_client_request().map_err(|error| format!("{url}: {error}"))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("jackfield.v1"));
    if let Some(token) = token(arguments)? {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| "the token has characters that no token has".to_owned())?;
        bearer.set_sensitive(true);
        request.headers_mut().insert("Authorization", bearer);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) if response.status() == 401 => {
            Err(format!("{url}: there is no such tenant, or the token is wrong (--token-file, JACKFIELD_TOKEN)"))
        }
        Err(tungstenite::Error::Http(response)) => Err(format!("{url}: the host answers {}", response.status())),
        Err(error) => Err(format!("{url}: {error}")),
    }
}

fn token(arguments: &AgentArguments) -> Result<Option<String>, String> {
    let Some(file) = &arguments.token_file else { return Ok(std::env::var("JACKFIELD_TOKEN").ok()) };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}

/// The lines of the standard input; a thread of its own reads them, as they cannot be waited for otherwise.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Client {
    socket: Socket,
    model: Model,
    /// What is not answered yet: request id to command and short target.
    sent: HashMap<String, String>,
    next_id: u64,
    /// An event that must come before the next line is read.
    awaited: Option<String>,
    /// A line whose object is not there yet, and how long it may wait.
    held: Option<(String, Instant)>,
    /// Whether no person is typing.
    script: bool,
    /// Whether logout was sent.
    leaving: bool,
    arguments: AgentArguments,
}

impl Client {
    async fn log_in(&mut self) -> Result<(), String> {
        let environment = || std::env::var("JACKFIELD_PASSWORD").unwrap_or_default();
        let password = self.arguments.password.clone().unwrap_or_else(environment);
        let agent = json!({"id": self.arguments.agent, "password": password});
        let data = json!({"model": "jackfield agent", "override": self.arguments.takeover, "agent": agent});
        self.send(json!({"command": "prepareSession", "data": data})).await
    }

    async fn send(&mut self, mut message: Value) -> Result<(), String> {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let target = message["target"].as_str().map_or("", |target| self.short_id(target));
        let what = format!("{} {target}", message["command"].as_str().unwrap_or_default());
        message["requestId"] = id.as_str().into();
        self.sent.insert(id, what.trim_end().to_owned());
        self.send_text(message.to_string()).await
    }

    /// The last part of a target; `S` for the session.
    fn short_id<'a>(&self, target: &'a str) -> &'a str {
        let last = target.rsplit('.').next().unwrap_or(target);
        if Some(last) == self.model.session() { "S" } else { last }
    }

    async fn send_text(&mut self, text: String) -> Result<(), String> {
        self.socket.send(Message::text(text)).await.map_err(|error| format!("the connection is lost: {error}"))
    }

    /// Until the session, the connection or the input ends.
    async fn work(&mut self, mut lines: mpsc::Receiver<String>) -> Result<(), String> {
        let mut ended: Option<Instant> = None;
        loop {
            let idle = self.awaited.is_none() && self.held.is_none() && !self.leaving;
            let may_read = ended.is_none() && idle && (!self.script || self.sent.is_empty());
            if ended.is_some() && idle && self.sent.is_empty() {
                self.leave().await?;
            }
            let deadline = self.held.as_ref().map(|(_, until)| *until).or(ended.map(|at| at + LAST_ANSWERS));
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if self.receive(text.as_str()).await? {
                            return Ok(());
                        }
                    }
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return Err(format!("the host closed the connection: {} {}", u16::from(frame.code), frame.reason));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(format!("the connection is lost: {error}")),
                    None => return Err("the host closed the connection".to_owned()),
                },
                line = lines.recv(), if may_read => match line {
                    Some(line) => self.type_in(line).await?,
                    None => ended = Some(Instant::now()),
                },
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    match self.held.take() {
                        Some((line, _)) => say(&format!("! {line}: the object did not come")),
                        None => return Err("the input has ended, and answers are still missing".to_owned()),
                    }
                }
            }
        }
    }

    async fn leave(&mut self) -> Result<(), String> {
        let session = self.model.session().unwrap_or_default().to_owned();
        self.leaving = true;
        self.send(json!({"command": "session.request.logout", "target": session})).await
    }

    async fn type_in(&mut self, line: String) -> Result<(), String> {
        match short::read(&line, &self.model) {
            Ok(Line::Send(message)) => {
                self.leaving = message["command"] == "session.request.logout";
                self.send(message).await?;
            }
            Ok(Line::Raw(text)) => self.send_text(text).await?,
            Ok(Line::Tree) => self.model.lines().iter().for_each(|line| say(line)),
            Ok(Line::Help) => say(short::help().trim_end()),
            Ok(Line::Wait(event)) => self.awaited = Some(event),
            Ok(Line::Nothing) => {}
            Err(Trouble::NoObject(_)) if self.script => self.held = Some((line, Instant::now() + OBJECT_COMES)),
            Err(problem) => say(&format!("! {problem}")),
        }
        Ok(())
    }

    /// Takes one message in; true at the session's end.
    async fn receive(&mut self, text: &str) -> Result<bool, String> {
        let message: Value = serde_json::from_str(text).map_err(|error| format!("the host sent no JSON: {error}"))?;
        if self.arguments.json {
            say(text);
        }
        if message["messageType"] != "objectEvent" {
            return self.response(&message).await;
        }
        if self.event(&message) {
            return Ok(true);
        }
        if let Some((line, until)) = self.held.take() {
            self.type_in(line).await?;
            if let Some(held) = &mut self.held {
                held.1 = until;
            }
        }
        Ok(false)
    }

    fn event(&mut self, event: &Value) -> bool {
        let name = event["name"].as_str().unwrap_or_default();
        let target = event["target"].as_str().unwrap_or_default();
        self.model.apply(event);
        if self.awaited.as_deref() == Some(name) {
            self.awaited = None;
        }
        if !self.arguments.json {
            let id = self.short_id(target);
            say(&format!("{:>5}  {id:<4} {name} {}", event["seq"].to_string(), event["data"]));
        }
        if name == "session.disposed" {
            say(&format!("the session is over: {}", event["data"]["reason"].as_str().unwrap_or("no reason is given")));
            return true;
        }
        false
    }

    async fn response(&mut self, response: &Value) -> Result<bool, String> {
        let id = response["requestId"].as_str().unwrap_or_default();
        let command = response["command"].as_str().unwrap_or_default().to_owned();
        let what = self.sent.remove(id).unwrap_or_else(|| command.clone());
        let result = response["result"].as_str().unwrap_or_default();
        if !self.arguments.json {
            say(&describe(&what, result, response));
        }
        match (command.as_str(), result) {
            ("prepareSession", "success") => {
                let session = response["data"]["session"]["id"].as_str().unwrap_or_default().to_owned();
                self.model.set_session(&session);
                let mut data = json!({});
                if let Some(extension) = &self.arguments.extension {
                    data["extension"] = extension.as_str().into();
                }
                self.send(json!({"command": "session.start", "target": session, "data": data})).await?;
            }
            ("prepareSession", "confirm") => {
                return Err("the agent has a session already; --override ends it".to_owned());
            }
            ("prepareSession" | "session.start", _) if result != "success" => {
                return Err(format!("the agent cannot be logged in: {}", response["failure"]["message"]));
            }
            ("session.request.logout", "success") => return Ok(true),
            ("session.request.logout", _) => self.leaving = false,
            _ => {}
        }
        Ok(false)
    }
}

/// One response for people.
fn describe(what: &str, result: &str, response: &Value) -> String {
    match result {
        "success" if response["data"].as_object().is_none_or(serde_json::Map::is_empty) => format!("   ok  {what}"),
        "success" => format!("   ok  {what} {}", response["data"]),
        "needinfo" => format!(" more  {what} {}", response["uiExtension"]),
        "confirm" => format!("  ask  {what} {}", response["message"]),
        _ => {
            let failure = &response["failure"];
            let text = |member: &str| failure[member].as_str().unwrap_or_default().to_owned();
            let context = failure["context"].as_str().map_or_else(String::new, |context| format!(" ({context})"));
            format!(" FAIL  {what}: {}: {}{context}", text("code"), text("message"))
        }
    }
}

/// One line to the terminal. A closed pipe is no reason to crash.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_written_in_several_ways() {
        let full = "ws://127.0.0.1:8080/v1/tenants/demo/ws";
        for written in [full, "http://127.0.0.1:8080/v1/tenants/demo", "ws://127.0.0.1:8080/v1/tenants/demo/"] {
            assert_eq!(websocket_url(written), full);
        }
    }
}
