//! A plugin in a process of its own: what it does to itself stays there, and the host can say what it was.
//!
//! The worker is the real binary and the plugin a real library, `tests/plugins/odd`; only the desktop's side is played
//! by the test.

#![allow(clippy::unwrap_used)]

use std::{
    path::PathBuf,
    process::Command as Program,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use jackfield::{
    metrics::Metrics,
    plugin::{
        AdapterMessage, AgentPort, AgentSink, Delivery, FromAgent, FromPlatform, Libraries, Library, PlatformHandle,
        PlatformPort, PlatformSink,
        worker::{Death, DeathKind, WorkerOptions, sandbox::Confinement},
    },
};
use jackfield_plugin_api::{
    Command, Json, Login, Outcome, Settings, StartOptions, Tenant,
    report::{Report, Target},
};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

const LONG: Duration = Duration::from_secs(30);

/// Builds the plugin once.
fn odd() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let status = Program::new(env!("CARGO")).args(["build", "--quiet", "-p", "jackfield-odd"]).status().unwrap();
        assert!(status.success(), "the plugin does not build");
        PathBuf::from(env!("CARGO_BIN_EXE_jackfield")).with_file_name("libjackfield_odd.so")
    };
    BUILT.get_or_init(build).clone()
}

/// A store that goes with the test.
struct Store(PathBuf);

impl Store {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("jackfield-workers-{}-{number}", std::process::id())))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Session(mpsc::Sender<AdapterMessage>);

impl AgentSink for Session {
    fn deliver(&self, message: AdapterMessage) -> Delivery {
        match self.0.try_send(message) {
            Ok(()) => Delivery::Accepted,
            Err(mpsc::error::TrySendError::Full(_)) => Delivery::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Delivery::Closed,
        }
    }
}

struct Owner(mpsc::Sender<Death>);

impl PlatformSink for Owner {
    fn deliver(&self, message: FromPlatform) {
        if let FromPlatform::Lost(death) = message {
            self.0.try_send(death).unwrap();
        }
    }
}

/// One agent of a tenant of the odd adapter in a worker.
struct Desk {
    agent: Box<dyn AgentPort>,
    from_agent: mpsc::Receiver<AdapterMessage>,
    deaths: mpsc::Receiver<Death>,
    requests: u64,
    _platform: PlatformHandle,
    library: Library,
    _store: Store,
}

fn options(store: &Store) -> WorkerOptions {
    WorkerOptions {
        name: "test:odd".to_owned(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_jackfield")),
        confinement: Confinement { memory: Some(200 << 20), files: Some(256), ..Confinement::default() },
        patience: Duration::from_secs(2),
        unsolicited_per_second: 20_000,
        recordings: Some(store.0.join("recordings")),
    }
}

impl Desk {
    async fn open() -> Self {
        let store = Store::new();
        let libraries = Libraries::new(store.0.join("plugins"), &Metrics::new(10));
        let file = libraries.find(&odd()).await.unwrap();
        let library = file.run_in_worker(&options(&store)).await.unwrap();
        let (to_owner, deaths) = mpsc::channel(8);
        let tenant = Tenant::new("test", Settings::new(json!({})));
        let platform = library.connect(tenant, Arc::new(Owner(to_owner)), LONG).await.unwrap();
        let (to_session, from_agent) = mpsc::channel(64);
        let login = Login::new("1001", "secret", "S");
        let agent = platform.log_in(login, Arc::new(Session(to_session)), LONG).await.unwrap();
        let mut desk = Self { agent, from_agent, deaths, requests: 1, _platform: platform, library, _store: store };
        desk.agent.start(1, &StartOptions::default()).unwrap();
        desk.answer(1).await;
        desk
    }

    fn ask(&mut self, data: serde_json::Value) -> u64 {
        self.requests += 1;
        let command = Command::Extension {
            name: "session.request.odd.do".to_owned(),
            target: Target::Session,
            data: Json::from(data),
        };
        self.agent.command(self.requests, &command, Instant::now() + LONG).unwrap();
        self.requests
    }

    async fn next(&mut self) -> FromAgent {
        let next = async {
            loop {
                let message = self.from_agent.recv().await.expect("the session lives");
                if let Some(message) = message.open() {
                    return message;
                }
            }
        };
        timeout(LONG, next).await.expect("nothing came")
    }

    async fn answer(&mut self, wanted: u64) -> Outcome {
        loop {
            if let FromAgent::Answer { request, outcome, .. } = self.next().await
                && request == wanted
            {
                return outcome;
            }
        }
    }

    /// What the session and the tenant are told of the worker's death.
    async fn death(&mut self) -> Death {
        loop {
            if let FromAgent::Lost { .. } = self.next().await {
                break;
            }
        }
        timeout(LONG, self.deaths.recv()).await.expect("the tenant is told").unwrap()
    }
}

/// The death that follows a misdeed, with the flight recording.
async fn death_by(what: &str) -> (Death, String) {
    let mut desk = Desk::open().await;
    desk.ask(json!({"what": what}));
    let death = desk.death().await;
    assert!(desk.agent.start(99, &StartOptions::default()).is_err(), "nothing is handed to a dead worker");
    let recording = std::fs::read_to_string(death.recording.as_ref().unwrap()).unwrap();
    (death, recording)
}

#[tokio::test]
async fn commands_are_answered_and_reports_arrive_as_from_inside_the_host() {
    let mut desk = Desk::open().await;
    desk.requests += 1;
    desk.agent.command(desk.requests, &Command::Ready { channel: "c1".into() }, Instant::now() + LONG).unwrap();
    let mut reports: Vec<Report> = Vec::new();
    loop {
        match desk.next().await {
            FromAgent::Report(report) => reports.push(report),
            FromAgent::Answer { outcome, report, .. } => {
                reports.extend(report);
                break assert_eq!(outcome, Outcome::success());
            }
            _ => {}
        }
    }
    assert_eq!(reports.len(), 1, "the report comes before the answer, or with it");
    assert_eq!(desk.library.manifest().id, "odd");
}

#[tokio::test]
async fn a_panic_costs_one_command() {
    let mut desk = Desk::open().await;
    let request = desk.ask(json!({"what": "panic"}));
    assert!(matches!(desk.answer(request).await, Outcome::Failure(_)));
    let request = desk.ask(json!({"what": "version"}));
    assert!(matches!(desk.answer(request).await, Outcome::Success(_)));
}

#[tokio::test]
async fn a_segmentation_fault_is_told_by_its_signal_and_the_command_is_named() {
    let (death, recording) = death_by("segfault").await;
    assert_eq!(death.kind, DeathKind::Signal);
    assert!(death.detail.contains("SIGSEGV"), "{death}");
    assert!(death.in_flight.contains("session.request.odd.do"), "{:?}", death.in_flight);
    assert!(recording.contains("SIGSEGV") && recording.contains("session.request.odd.do"), "{recording}");
}

#[tokio::test]
async fn an_abort_is_told_by_its_signal() {
    let (death, _) = death_by("abort").await;
    assert_eq!(death.kind, DeathKind::Signal);
    assert!(death.detail.contains("SIGABRT"), "{death}");
}

#[tokio::test]
async fn an_exit_is_told_by_its_status() {
    let (death, _) = death_by("exit").await;
    assert_eq!(death.kind, DeathKind::Exit);
    assert!(death.detail.contains("exit status 3"), "{death}");
}

#[tokio::test]
async fn a_worker_that_spins_is_ended_as_hung() {
    assert_eq!(death_by("spin").await.0.kind, DeathKind::Hang);
}

#[tokio::test]
async fn a_worker_that_deadlocks_is_ended_as_hung() {
    assert_eq!(death_by("deadlock").await.0.kind, DeathKind::Hang);
}

#[tokio::test]
async fn a_worker_that_leaks_is_ended_at_its_limit() {
    assert_eq!(death_by("leak").await.0.kind, DeathKind::Memory);
}

#[tokio::test]
async fn a_worker_that_floods_is_ended() {
    assert_eq!(death_by("storm").await.0.kind, DeathKind::Flood);
}

#[tokio::test]
async fn what_a_plugin_prints_is_not_taken_for_a_message() {
    let mut desk = Desk::open().await;
    let request = desk.ask(json!({"what": "print"}));
    assert!(matches!(desk.answer(request).await, Outcome::Success(_)));
    let request = desk.ask(json!({"what": "version"}));
    assert!(matches!(desk.answer(request).await, Outcome::Success(_)));
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_refused_without_being_loaded() {
    let store = Store::new();
    let libraries = Libraries::new(store.0.join("plugins"), &Metrics::new(10));
    let error = libraries.find(std::path::Path::new(env!("CARGO_BIN_EXE_jackfield"))).await.unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
async fn letting_go_of_a_worker_ends_it_without_anyone_being_told_of_a_death() {
    let desk = Desk::open().await;
    let Desk { agent, _platform, library, mut deaths, .. } = desk;
    drop((agent, _platform, library));
    assert!(timeout(LONG, deaths.recv()).await.expect("the sinks are dropped").is_none());
}
