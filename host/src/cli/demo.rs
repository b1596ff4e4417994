//! `jackfield demo`: a host to look at, without a file: two consoles, a switch in memory, and contacts that arrive by
//! themselves.
//!
//! Owns: the configuration that is written for it and is gone with it, and the caller, an agent of its own who never
//! works and only lets contacts arrive. Must never: do anything that a desktop could not; the caller speaks the protocol
//! over a WebSocket like everybody.

use std::{
    fs,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::DemoArguments;
use crate::{app, config::Source};

/// Between two contacts: long enough to take one and look at it.
const EVERY: Duration = Duration::from_secs(12);
/// How long the host may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// The demo's tenant. What nobody takes goes away, so that there is never a crowd.
const TENANT: &str = r#"adapter = "simulator"
[auth]
kind = "none"
[settings]
queues = ["sales", "service"]
ring_ms = 2000
patience_ms = 40000
reasons = [{ code = "lunch", desc = "Lunch" }, { code = "break", desc = "Short break" }]
dispositions = ["Sold", "Call back", "Wrong number"]
directory = [
    { number = "+15550190", name = "Head office" },
    { number = "+15550191", name = "Night desk" },
    { number = "486", name = "Always engaged" },
]
"#;

/// Who calls and writes: type, address, name, queue, and what is known of them.
const CONTACTS: [(&str, &str, &str, &str, &str); 5] = [
    ("Telephony", "+15550101", "Ada Example", "sales", "Asks for the price of forty desks"),
    ("Chat", "visitor-7", "Ben Example", "service", "Cannot find the invoice"),
    ("Telephony", "+15550102", "Cara Example", "service", "Waits for a delivery"),
    ("Email", "dan@customer.example", "Dan Example", "sales", "Wants to change an order"),
    ("Telephony", "+15550103", "Eve Example", "sales", "Calls back as agreed"),
];

/// Runs the demo until it is told to stop.
pub(super) fn run(arguments: &DemoArguments) -> Result<(), String> {
    let address = free(arguments.address)?;
    let folder = Folder::new().map_err(|error| format!("no folder can be made for the configuration: {error}"))?;
    // A few connections, which any system has room for; and of the log only what is wrong, so that the addresses stand out.
    let host = format!(
        "[listener]\naddress = \"{address}\"\nmax_connections = 100\n\
         [operations]\nenabled = false\n[log]\nfilter = \"warn,audit=off\"\n"
    );
    folder.write("jackfield.toml", &host)?;
    folder.write("tenants/demo.toml", TENANT)?;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(call(address)));
        if let Err(error) = outcome {
            say(&format!("no more contacts arrive: {error}"));
        }
    });
    app::run(Source::file(&folder.0.join("jackfield.toml")))
}

/// The address with its port: one that is free where none was named.
fn free(wanted: SocketAddr) -> Result<SocketAddr, String> {
    let bound = TcpListener::bind(wanted).and_then(|listener| listener.local_addr());
    bound.map_err(|error| format!("{wanted}: {error} (--address takes another one)"))
}

/// A folder that is gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("jackfield-demo-{}", std::process::id()));
        fs::create_dir(&path)?;
        fs::create_dir(path.join("tenants"))?;
        Ok(Self(path))
    }

    fn write(&self, name: impl AsRef<Path>, text: &str) -> Result<(), String> {
        let file = self.0.join(name);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: it holds no secret, and the system empties this place.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Best effort: the demo goes on where nobody reads.
fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// The address of one agent's console, with the channels that he works with.
fn console(host: SocketAddr, agent: u16) -> String {
    let telephone = agent + 1000;
    format!(
        "http://{host}/console/?tenant=demo&agent={agent}&ready=yes\
         &channels=Telephony:{telephone},Chat:{agent}-chat,Email:{agent}@desk.example"
    )
}

/// Tells where the consoles are once the host is up, and lets contacts arrive.
async fn call(host: SocketAddr) -> Result<(), String> {
    let url = format!("ws://{host}/v1/tenants/demo/ws");
    let deadline = tokio::time::Instant::now() + UP_WITHIN;
    let mut caller = loop {
        match Caller::log_in(&url).await {
            Ok(caller) => break caller,
            Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    say(&format!(
        "Two agents, each in a window of his own; any password will do:\n\n  {}\n  {}\n\n\
         A contact arrives every {} seconds for whoever is ready; what nobody takes goes away.\n\
         The agents can call each other (2001, 2002) and consult, transfer and confer. Ctrl-C ends it.",
        console(host, 1001),
        console(host, 1002),
        EVERY.as_secs(),
    ));
    for (kind, from, name, queue, about) in CONTACTS.iter().cycle() {
        let data = json!({"type": kind, "from": from, "name": name, "queue": queue, "data": {"about": about}});
        if caller.send("session.request.simulator.inbound", data).await?.is_none() {
            // The demo ends.
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

/// An agent of the demo's own, who only lets contacts arrive.
struct Caller {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    session: String,
}

impl Caller {
    async fn log_in(url: &str) -> Result<Self, String> {
        let (socket, _) = connect_async(url).await.map_err(|error| error.to_string())?;
        let mut caller = Self { socket, session: String::new() };
        let agent = json!({"id": "demo", "password": ""});
        let prepared = caller.send("prepareSession", json!({"model": "jackfield demo", "agent": agent})).await?;
        let prepared = prepared.ok_or("the host has closed the connection")?;
        caller.session = prepared["data"]["session"]["id"].as_str().unwrap_or_default().to_owned();
        caller.send("session.start", json!({})).await?;
        Ok(caller)
    }

    /// Sends a command and waits for its success, which it returns; events are nothing to it. `None`: the host has closed
    /// the connection, as it does at its end.
    ///
    /// # Errors
    /// The command failed, or the connection did.
    async fn send(&mut self, command: &str, data: Value) -> Result<Option<Value>, String> {
        let mut message = json!({"command": command, "data": data, "requestId": command});
        if !self.session.is_empty() {
            message["target"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).await.map_err(|error| error.to_string())?;
        while let Some(received) = self.socket.next().await {
            let Ok(text) = received.map_err(|error| error.to_string())?.into_text() else { continue };
            let Ok(answer) = serde_json::from_str::<Value>(&text) else { continue };
            if answer["requestId"] != command {
                continue;
            }
            return match answer["result"].as_str() {
                Some("success") => Ok(Some(answer)),
                _ => Err(format!("{command}: {}", answer["failure"]["message"])),
            };
        }
        Ok(None)
    }
}
