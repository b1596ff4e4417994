//! Many agents of one tenant on one adapter, against the emulator as a program of its own: requests to the platform,
//! memory and CPU an agent. Linux only.
//!
//! ```sh
//! cargo build --release -p jackfield-cxone-emulator
//! cargo run --release -p jackfield-incontact --example crowd -- 500
//! ```
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command as Process, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_incontact::{Cxone, InContact, Seat};
use jackfield_plugin_api::{
    Command, Json, Outcome, StartOptions,
    report::{ConversationAt, InteractionAt, Target},
    testkit::{Session, Tenant},
};
use serde_json::{Value, json};

/// How long each state of things is measured; twice as long as a poll waits, and longer than the address book rests.
const WINDOW: Duration = Duration::from_secs(120);

struct Emulator(Child, SocketAddr);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

impl Emulator {
    fn start(agents: usize) -> Self {
        let own = std::env::current_exe().unwrap();
        let binary = own.parent().unwrap().parent().unwrap().join("cxone-emulator");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Process::new(&binary);
        command.args(["--listen", &address.to_string(), "--crowd", &agents.to_string()]).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}; build it first", binary.display()));
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child, address)
    }

    fn control(&self, verb: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(self.1).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /control/{verb} HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Requests since the counts were reset: all, polls, and those of the address book.
    fn requests(&self) -> (u64, u64, u64) {
        let counts = self.control("counts", &json!({}));
        let of = |names: &[&str]| names.iter().filter_map(|name| counts[*name].as_u64()).sum();
        let all = counts.as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let directory = ["agents/states", "skills/activity", "address-books/dynamic-entries"];
        (all, of(&["get-next-event"]), of(&directory))
    }
}

/// Resident memory of this process, in KiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of this process, in milliseconds (the kernel counts in hundredths of a second).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10.0
}

async fn done(session: &Session<Seat>, command: Command) {
    let outcome = session.command(command).await;
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
}

async fn log_in(tenant: Arc<Tenant<Cxone>>, id: u64) -> Session<Seat> {
    let session = tenant.log_in(&format!("crowd-{id}"), &format!("secret-{id}")).await.unwrap();
    session.start_with(StartOptions::new(Some(format!("7{id}")))).await.unwrap();
    let channel = || "telephony".to_owned();
    done(&session, Command::Activate { channel: channel(), queue: None, options: Json::empty_object() }).await;
    done(&session, Command::Ready { channel: channel() }).await;
    session
}

async fn listen(session: Arc<Session<Seat>>) {
    done(
        &session,
        Command::Extension {
            name: "session.request.incontact.addressbook".to_owned(),
            target: Target::Session,
            data: json!({"realtime": true}).into(),
        },
    )
    .await;
}

async fn measured(emulator: &Emulator, what: &str, agents: usize) {
    emulator.control("reset-counts", &json!({}));
    let (before, begun) = (cpu(), Instant::now());
    tokio::time::sleep(WINDOW).await;
    let (passed, (all, polls, directory)) = (begun.elapsed().as_secs_f64(), emulator.requests());
    let per_agent = (cpu() - before) / passed / agents as f64;
    println!(
        "{what}: {:.1} requests/s ({:.1} polls, {:.1} address book), {per_agent:.3} ms CPU an agent and second",
        all as f64 / passed,
        polls as f64 / passed,
        directory as f64 / passed
    );
}

async fn one_call(session: Arc<Session<Seat>>, key: String) {
    session.wait_until("the offer", |view| view.conversation(&key).is_some()).await;
    let channel = || "telephony".to_owned();
    let interaction = InteractionAt { channel: channel(), interaction: key.clone() };
    let call = || ConversationAt { channel: channel(), interaction: key.clone(), conversation: key.clone() };
    done(&session, Command::Answer { conversation: call() }).await;
    done(&session, Command::Hold { conversation: call() }).await;
    done(&session, Command::Retrieve { conversation: call() }).await;
    done(&session, Command::Release { conversation: call() }).await;
    if session.view().interaction(&key).is_some() {
        done(&session, Command::Complete { interaction }).await;
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let agents: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(500);
    let emulator = Emulator::start(agents);
    let settings = json!({
        "issuer": format!("http://{}", emulator.1), "tenant_id": "11111111-aaaa-4bbb-8ccc-000000000001",
        "client_id": "jackfield", "client_secret": "jackfield-client-secret",
        "timing": {"directory_seconds": 5},
    });
    let tenant = Tenant::connect::<InContact>(include_str!("../manifest.json"), settings).await.unwrap();
    while tenant.link() != Some(jackfield_plugin_api::Link::Up) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tenant = Arc::new(tenant);
    let (memory_before, begun) = (memory(), Instant::now());
    let mut sessions = Vec::new();
    for chunk in (0..agents as u64).collect::<Vec<_>>().chunks(25) {
        let tasks: Vec<_> = chunk.iter().map(|id| tokio::spawn(log_in(tenant.clone(), 100_000 + id))).collect();
        for task in tasks {
            sessions.push(Arc::new(task.await.unwrap()));
        }
    }
    println!("{agents} agents at work in {:.1} s", begun.elapsed().as_secs_f64());
    println!("memory: {:.1} KiB an agent", (memory() - memory_before) / agents as f64);
    measured(&emulator, "listeners of the address book: 0", agents).await;
    let mut listening = 0;
    for count in [1, agents / 5, agents] {
        for chunk in sessions[listening..count].chunks(25) {
            let tasks: Vec<_> = chunk.iter().map(|session| tokio::spawn(listen(session.clone()))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        listening = count;
        measured(&emulator, &format!("listeners of the address book: {count}"), agents).await;
    }
    println!("memory: {:.1} KiB an agent", (memory() - memory_before) / agents as f64);
    emulator.control("reset-counts", &json!({}));
    let (before, begun) = (cpu(), Instant::now());
    let mut calls = Vec::new();
    for (id, session) in sessions.iter().enumerate() {
        let arrived = emulator.control("arrive", &json!({"agent": 100_000 + id, "kind": "call"}));
        calls.push(tokio::spawn(one_call(session.clone(), arrived["contact"].to_string())));
    }
    for call in calls {
        call.await.unwrap();
    }
    let (passed, count) = (begun.elapsed().as_secs_f64(), agents as f64);
    let (all, polls, _) = emulator.requests();
    println!(
        "a call (answer, hold, retrieve, release) each: {passed:.1} s, {:.1} requests ({:.1} polls) and {:.2} \
         ms CPU a call",
        all as f64 / count,
        polls as f64 / count,
        (cpu() - before) / count
    );
    println!("memory at the end: {:.1} KiB an agent", (memory() - memory_before) / count);
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}
