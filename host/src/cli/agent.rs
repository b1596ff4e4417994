//! `jackfield agent`: a desktop for a terminal.
//!
//! Owns: one WebSocket connection, one session, and what is sent and printed. Lines come from the terminal and go out as
//! messages; what arrives is printed. Must never: know what a platform is (all of that is the host's), or leave a session
//! behind when it ends.
//!
//! A connection that is lost is made again, and the session bound again. What was not answered by then is not sent again:
//! it may have been carried out, and the events tell.
//!
//! Lines that do not come from a terminal are a script: each waits for the answer to the one before it, one that names
//! an object which is not there yet waits a while for it, and the exit status tells whether all went well.

use std::{collections::HashMap, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use jackfield_plugin_api::Backoff;
use jackfield_protocol::close::CloseCode;
use serde_json::{Value, json};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    AgentArguments,
    connect::{Socket, connect},
    model::Model,
    short::{self, InputError, InputLine},
    terminal::Terminal,
};

/// How long answers that are still expected are awaited once the input has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(35);
/// How long a script's line waits for its object.
const OBJECT_COMES: Duration = Duration::from_secs(5);
/// How long the host may take to log out an agent who was interrupted.
const LOGOUT: Duration = Duration::from_secs(5);
/// How long a lost connection is tried to be made again. A host keeps a session for a minute, longer during a call.
const COME_BACK: Duration = Duration::from_secs(120);
/// The pauses between the attempts: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Runs the client until its session or its input ends, or it is interrupted.
///
/// # Errors
/// The agent could not be logged in, the connection was lost, a script's command failed, or nothing could be printed.
pub(super) fn run(arguments: AgentArguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let mut interrupts = Interrupts::catch()?;
        let socket = tokio::select! {
            socket = connect(&arguments) => socket?,
            () = interrupts.next() => return Err("interrupted".to_owned()),
        };
        let mut client = Client {
            socket,
            terminal: Terminal::open(),
            model: Model::default(),
            sent: HashMap::new(),
            next_id: 0,
            seq: 0,
            initialized: false,
            awaited: Some("session.initialized".to_owned()),
            held: None,
            stage: Stage::Working,
            interrupted: false,
            failures: 0,
            arguments,
        };
        client.log_in().await?;
        client.work(interrupts).await?;
        client.verdict()
    })
}

/// The signals that ask the client to end.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn catch() -> Result<Self, String> {
        let catch = |kind| signal(kind).map_err(|error| error.to_string());
        Ok(Self([catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?, catch(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// How far the client is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Lines are read and sent.
    Working,
    /// The input has ended; answers that are still missing are awaited until then.
    InputEnded(Instant),
    /// Logout was sent; it is awaited until then, or as long as the host takes.
    LoggingOut(Option<Instant>),
}

struct Client {
    socket: Socket,
    terminal: Terminal,
    model: Model,
    /// What is not answered yet: request id to command and short target.
    sent: HashMap<String, String>,
    next_id: u64,
    /// The number of the last event.
    seq: u64,
    /// The session has begun: it can be come back to.
    initialized: bool,
    /// An event that must come before the next line is read.
    awaited: Option<String>,
    /// A line whose object is not there yet, and how long it may wait.
    held: Option<(String, Instant)>,
    stage: Stage,
    interrupted: bool,
    /// Commands that failed, and lines that could not be sent.
    failures: usize,
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
        if self.arguments.verbose {
            self.terminal.print(&format!(" sent  {}", without_password(&text)));
        }
        // That the connection is lost is also heard by reading, and dealt with there.
        let _ = self.socket.send(Message::text(text)).await;
        Ok(())
    }

    /// Until the session, the connection or the input ends, or somebody interrupts.
    async fn work(&mut self, mut interrupts: Interrupts) -> Result<(), String> {
        let typed = self.terminal.interrupted();
        loop {
            let idle = self.awaited.is_none() && self.held.is_none();
            match self.stage {
                Stage::InputEnded(until) if idle && self.sent.is_empty() => self.log_out(Some(until)).await?,
                Stage::Working if self.terminal.broken().is_some() => self.interrupt().await?,
                _ => {}
            }
            let may_read = self.stage == Stage::Working && idle && (!self.terminal.is_script() || self.sent.is_empty());
            let deadline = match (self.stage, &self.held) {
                (Stage::LoggingOut(until), _) => until,
                (_, Some((_, until))) => Some(*until),
                (Stage::InputEnded(until), None) => Some(until),
                (Stage::Working, None) => None,
            };
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if self.receive(text.as_str()).await? {
                            return Ok(());
                        }
                    }
                    Some(Ok(message)) if !message.is_close() => {}
                    end => tokio::select! {
                        came_back = self.come_back(end) => came_back?,
                        () = interrupts.next() => return Err("interrupted".to_owned()),
                        () = typed.notified() => return Err("interrupted".to_owned()),
                    },
                },
                line = self.terminal.line(), if may_read => match line {
                    Some(line) => self.type_in(line).await?,
                    None => self.stage = Stage::InputEnded(Instant::now() + LAST_ANSWERS),
                },
                () = interrupts.next() => self.interrupt().await?,
                () = typed.notified() => self.interrupt().await?,
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.give_up()?;
                }
            }
        }
    }

    /// Connects again and binds the session, unless the connection was ended for good. `end`: how it ended.
    async fn come_back(&mut self, end: Option<Result<Message, tungstenite::Error>>) -> Result<(), String> {
        let (why, for_good) = why_it_ended(end);
        let session = self.model.session().filter(|_| self.initialized && !for_good).map(str::to_owned);
        let Some(session) = session else { return Err(why) };
        self.terminal.print(&format!("! {why}; coming back"));
        for (_, what) in self.sent.drain() {
            self.failures += 1;
            self.terminal
                .print(&format!(" lost  {what}: whether it was carried out is not known; the events will tell"));
        }
        let give_up = Instant::now() + COME_BACK;
        let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
        self.socket = loop {
            tokio::time::sleep(pauses.next_pause()).await;
            match connect(&self.arguments).await {
                Ok(socket) => break socket,
                Err(error) if Instant::now() > give_up => return Err(error),
                Err(_) => {}
            }
        };
        let data = json!({"session": {"id": session}, "after": self.seq});
        self.send(json!({"command": "bindSession", "data": data})).await
    }

    /// What was waited for has not come.
    fn give_up(&mut self) -> Result<(), String> {
        match (self.stage, self.held.take()) {
            (Stage::LoggingOut(_), _) => Err("the agent could not be logged out in time".to_owned()),
            (_, Some((line, _))) => {
                self.refuse(&format!("{line}: the object did not come"));
                Ok(())
            }
            (_, None) => Err("the input has ended, and answers are still missing".to_owned()),
        }
    }

    /// Logs the agent out at once; the second time ends without.
    async fn interrupt(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.interrupted, true) || self.model.session().is_none() {
            return Err("interrupted".to_owned());
        }
        self.held = None;
        match self.stage {
            Stage::LoggingOut(_) => self.stage = Stage::LoggingOut(Some(Instant::now() + LOGOUT)),
            _ => self.log_out(Some(Instant::now() + LOGOUT)).await?,
        }
        Ok(())
    }

    async fn log_out(&mut self, until: Option<Instant>) -> Result<(), String> {
        let session = self.model.session().unwrap_or_default().to_owned();
        self.stage = Stage::LoggingOut(until);
        self.send(json!({"command": "session.request.logout", "target": session})).await
    }

    async fn type_in(&mut self, line: String) -> Result<(), String> {
        match short::read(&line, &self.model) {
            Ok(InputLine::Send(message)) => {
                if message["command"] == "session.request.logout" {
                    self.stage = Stage::LoggingOut(None);
                }
                self.send(message).await?;
            }
            Ok(InputLine::Raw(text)) => self.send_text(text).await?,
            Ok(InputLine::Tree) => {
                for line in self.model.lines() {
                    self.terminal.print(&line);
                }
            }
            Ok(InputLine::Help) => self.terminal.print(short::help().trim_end()),
            Ok(InputLine::Wait(event)) => self.awaited = Some(event),
            Ok(InputLine::Nothing) => {}
            Err(InputError::NoObject(_)) if self.terminal.is_script() => {
                self.held = Some((line, Instant::now() + OBJECT_COMES));
            }
            Err(problem) => self.refuse(&problem.to_string()),
        }
        Ok(())
    }

    /// A line that cannot be sent.
    fn refuse(&mut self, why: &str) {
        self.failures += 1;
        self.terminal.print(&format!("! {why}"));
    }

    /// Takes one message in; true at the session's end.
    async fn receive(&mut self, text: &str) -> Result<bool, String> {
        let message: Value = serde_json::from_str(text).map_err(|error| format!("the host sent no JSON: {error}"))?;
        if self.arguments.json {
            self.terminal.print(text);
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
        self.seq = event["seq"].as_u64().unwrap_or(self.seq);
        self.initialized |= name == "session.initialized";
        if self.awaited.as_deref() == Some(name) {
            self.awaited = None;
        }
        if !self.arguments.json {
            let line =
                format!("{:>5}  {:<4} {name} {}", event["seq"].to_string(), self.short_id(target), event["data"]);
            self.terminal.print(&line);
        }
        if name == "session.disposed" {
            self.terminal.leave_editor();
            let reason = event["data"]["reason"].as_str().unwrap_or("no reason is given");
            self.terminal.print(&format!("the session is over: {reason}"));
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
            self.terminal.print(&describe(&what, result, response));
        }
        if result == "failure" {
            self.failures += 1;
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
            ("bindSession", "success") => {
                if response["data"]["replay"] == "snapshot" {
                    // All objects are told anew.
                    let session = self.model.session().unwrap_or_default().to_owned();
                    self.model.set_session(&session);
                }
                self.seq = response["data"]["seq"].as_u64().unwrap_or_default();
                if let Stage::LoggingOut(until) = self.stage {
                    self.log_out(until).await?;
                }
            }
            // Logged out by the command whose answer was lost.
            ("bindSession", _) if matches!(self.stage, Stage::LoggingOut(_)) => return Ok(true),
            ("bindSession", _) => return Err(format!("the session is over: {}", response["failure"]["message"])),
            ("session.request.logout", "success") => return Ok(true),
            ("session.request.logout", _) => match self.stage {
                Stage::LoggingOut(Some(_)) => {
                    return Err(format!("the agent cannot be logged out: {}", response["failure"]["message"]));
                }
                _ => self.stage = Stage::Working,
            },
            _ => {}
        }
        Ok(false)
    }

    /// What the exit status tells. A person has seen what failed; whoever runs a script has not.
    fn verdict(&self) -> Result<(), String> {
        if let Some(broken) = self.terminal.broken() {
            return Err(broken.to_owned());
        }
        match self.failures {
            _ if !self.terminal.is_script() => Ok(()),
            _ if self.interrupted => Err("interrupted".to_owned()),
            0 => Ok(()),
            1 => Err("1 command failed".to_owned()),
            failures => Err(format!("{failures} commands failed")),
        }
    }
}

/// Why a connection ended, in words, and whether it is no use to come back.
fn why_it_ended(end: Option<Result<Message, tungstenite::Error>>) -> (String, bool) {
    const FOR_ANOTHER: u16 = CloseCode::TakenOver.number();
    const PASSING: [u16; 2] = [CloseCode::GoingAway.number(), CloseCode::TooSlow.number()];
    match end {
        Some(Ok(Message::Close(Some(frame)))) => match u16::from(frame.code) {
            FOR_ANOTHER => ("the session is open somewhere else now".to_owned(), true),
            code => (format!("the host closed the connection: {code} {}", frame.reason), !PASSING.contains(&code)),
        },
        Some(Err(error)) => (format!("the connection is lost: {error}"), false),
        _ => ("the connection is lost".to_owned(), false),
    }
}

/// A message as it may be shown.
fn without_password(text: &str) -> String {
    let Ok(mut message) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let Some(password) = message.pointer_mut("/data/agent/password") else { return text.to_owned() };
    *password = "***".into();
    message.to_string()
}

/// One response for people.
fn describe(what: &str, result: &str, response: &Value) -> String {
    // What was no command has no name to be called by.
    let what = if what.is_empty() { "the message" } else { what };
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
