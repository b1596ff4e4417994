//! The page with an example of every message (`host/docs/examples.md`), played against a real host line by line.
//!
//! With `JACKFIELD_WRITE_EXAMPLES` set the page is written anew from what the host says.

use std::{collections::BTreeSet, path::PathBuf};

use futures_util::{SinkExt as _, StreamExt as _};
use jackfield_tests::{
    host::{Host, Setup, Tenant},
    patience,
};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Duration, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../host/docs").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(page(name)).unwrap()
}

/// One step of the page: what the desktop does, and what it hears then.
struct Step {
    /// The line of the page that says what is done; `None` for other text.
    does: Option<String>,
    hears: Vec<String>,
    /// What it hears on its first connection, when it has a second.
    hears_behind: Vec<String>,
    /// The line as it stands, where it is neither.
    text: String,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in page.lines() {
        if let Some(heard) = line.strip_prefix("← ") {
            steps.last_mut().expect("something is done first").hears.push(heard.to_owned());
            continue;
        }
        if let Some(heard) = line.strip_prefix("⇠ ") {
            steps.last_mut().expect("something is done first").hears_behind.push(heard.to_owned());
            continue;
        }
        let does = line.starts_with(['→', '✂', '⧉', '⇄']).then(|| line.to_owned());
        steps.push(Step { does, hears: Vec::new(), hears_behind: Vec::new(), text: line.to_owned() });
    }
    steps
}

type Connection = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(host: &Host) -> Connection {
    connect_async(format!("ws://{}/v1/tenants/demo/ws", host.address)).await.unwrap().0
}

/// The moment at which everything on the page happens.
const MOMENT: &str = "1767225600000";

/// How long the host is silent when it has said all, where the page is written anew.
const SILENCE: Duration = Duration::from_secs(2);

/// A desktop that plays the page.
struct Player<'a> {
    host: &'a Host,
    connection: Connection,
    /// The first connection, when there is a second.
    behind: Option<Connection>,
    /// The ids of its sessions: on the page `S`, `S2` and `S3`.
    sessions: Vec<String>,
}

impl Player<'_> {
    async fn does(&mut self, line: &str) {
        if let Some(message) = line.strip_prefix("→ ") {
            let message = Message::text(self.with_session(message));
            self.connection.send(message).await.unwrap();
            return;
        }
        if line == "⇄" {
            std::mem::swap(&mut self.connection, self.behind.as_mut().expect("a second connection was made"));
            return;
        }
        let before = std::mem::replace(&mut self.connection, connect(self.host).await);
        self.behind = (line == "⧉").then_some(before);
    }

    /// The next message, as the page has it: with `S` for the session's id.
    async fn hears(&mut self) -> String {
        let text = patience("the next message", text(&mut self.connection)).await;
        self.without_session(text.expect("the host keeps the connection"))
    }

    /// The same on the first connection.
    async fn hears_behind(&mut self) -> String {
        let behind = self.behind.as_mut().expect("a second connection was made");
        let text = patience("the next message on the first connection", text(behind)).await;
        self.without_session(text.expect("the host keeps the connection"))
    }

    /// All that is said until the host is silent, on this connection and on the first.
    async fn hears_all(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut heard, mut heard_behind) = (Vec::new(), Vec::new());
        while let Ok(Some(text)) = timeout(SILENCE, text(&mut self.connection)).await {
            heard.push(self.without_session(text));
        }
        while let Some(behind) = &mut self.behind
            && let Ok(Some(text)) = timeout(SILENCE, text(behind)).await
        {
            heard_behind.push(self.without_session(text));
        }
        (heard, heard_behind)
    }

    fn without_session(&mut self, text: String) -> String {
        let message: Value = serde_json::from_str(&text).unwrap();
        if let Some(session) = message["data"]["session"]["id"].as_str()
            && message["command"] == "prepareSession"
        {
            self.sessions.push(session.to_owned());
        }
        let names = self.sessions.iter().zip(NAMES);
        names.fold(with_one_time(&text), |text, (session, name)| text.replace(session.as_str(), name))
    }

    fn with_session(&self, message: &str) -> String {
        let names = self.sessions.iter().zip(NAMES);
        names.fold(message.to_owned(), |message, (session, name)| {
            let message = message.replace(&format!("\"target\":\"{name}\""), &format!("\"target\":\"{session}\""));
            message.replace(&format!("\"target\":\"{name}."), &format!("\"target\":\"{session}.")).replace(
                &format!("\"session\":{{\"id\":\"{name}\"}}"),
                &format!("\"session\":{{\"id\":\"{session}\"}}"),
            )
        })
    }
}

/// What the page calls the sessions.
const NAMES: [&str; 3] = ["S", "S2", "S3"];

/// The next message of text; `None`: the host closes the connection.
async fn text(connection: &mut Connection) -> Option<String> {
    loop {
        match connection.next().await?.unwrap() {
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// The message with the same moment wherever it tells one.
fn with_one_time(text: &str) -> String {
    let mut told = text.to_owned();
    for member in ["\"at\":", "\"since\":", "\"waitingSince\":"] {
        let mut parts = told.split(member);
        let mut fixed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            fixed.push_str(member);
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            fixed.push_str(if rest.len() == part.len() { "" } else { MOMENT });
            fixed.push_str(rest);
        }
        told = fixed;
    }
    told
}

/// Responses and events each in their order: a response may stand before, between or behind its events.
fn sorted(messages: &[String]) -> (Vec<Value>, Vec<Value>) {
    let all = messages.iter().map(|text| serde_json::from_str::<Value>(text).unwrap());
    all.partition(|message| message["messageType"].is_null())
}

#[tokio::test]
async fn the_page_with_an_example_of_every_message_is_what_the_host_says() {
    let write = std::env::var_os("JACKFIELD_WRITE_EXAMPLES").is_some();
    let demo = std::fs::read_to_string(page("../../config/tenants/demo.toml")).unwrap();
    let host = Setup::new().tenant(Tenant::new("demo", "simulator").written(&demo)).start().await;
    let mut player = Player { host: &host, connection: connect(&host).await, behind: None, sessions: Vec::new() };
    let mut written = String::new();
    for step in steps(&read("examples.md")) {
        written.push_str(&step.text);
        written.push('\n');
        let Some(does) = &step.does else { continue };
        player.does(does).await;
        let (heard, heard_behind) = if write {
            player.hears_all().await
        } else {
            let (mut heard, mut heard_behind) = (Vec::new(), Vec::new());
            for _ in &step.hears {
                heard.push(player.hears().await);
            }
            for _ in &step.hears_behind {
                heard_behind.push(player.hears_behind().await);
            }
            assert_eq!(sorted(&heard), sorted(&step.hears), "after {does}");
            assert_eq!(heard_behind, step.hears_behind, "after {does}, on the first connection");
            (heard, heard_behind)
        };
        for line in heard {
            written.push_str(&format!("← {line}\n"));
        }
        for line in heard_behind {
            written.push_str(&format!("⇠ {line}\n"));
        }
    }
    if write {
        std::fs::write(page("examples.md"), written).unwrap();
    }
}

/// The names in the first column of the tables of a section of the protocol's page.
fn names(section: &str, next: &str) -> BTreeSet<String> {
    let protocol = read("protocol.md");
    let (_, rest) = protocol.split_once(section).unwrap();
    let (section, _) = rest.split_once(next).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let mut names = BTreeSet::new();
    for row in rows {
        let mut family = "";
        for word in row.split([' ', ',', ';', '/']).filter(|word| !word.is_empty()) {
            if let Some((start, _)) = word.rsplit_once('.') {
                family = start;
                names.insert(word.to_owned());
            } else if !family.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
                names.insert(format!("{family}.{word}"));
            }
        }
    }
    names
}

#[test]
fn every_command_and_event_of_the_protocol_has_an_example() {
    let examples = read("examples.md");
    let has = |member: &str, name: &str| examples.contains(&format!("\"{member}\":\"{name}\""));
    let commands = names("## 4. Commands", "**What happens by itself**");
    assert!(commands.len() > 30, "{commands:?}");
    let missing: Vec<_> = commands.iter().filter(|name| !has("command", name)).collect();
    assert!(missing.is_empty(), "commands without an example: {missing:?}");
    let events = names("## 5. Events", "## 6.");
    assert!(events.len() > 15, "{events:?}");
    // These are of platforms with agents' legs.
    let elsewhere = |name: &str| name.starts_with("session.agentleg.");
    let missing: Vec<_> = events.iter().filter(|name| !has("name", name) && !elsewhere(name)).collect();
    assert!(missing.is_empty(), "events without an example: {missing:?}");
}
