//! The host's side of an adapter, for tests without sessions: sinks that record, and conditions to wait for.
#![allow(unreachable_pub, dead_code)] // a module of a test binary

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use jackfield::{
    metrics::Metrics,
    plugin::{
        AdapterMessage, AgentPort, AgentSink, Delivery, FromAgent, FromPlatform, Libraries, Library, PlatformHandle,
        PlatformPort, PlatformSink,
    },
};
use jackfield_plugin_api::{
    Code, Command, Json, Link, Login, Outcome, Report, Settings, StartOptions, Tenant,
    report::{Availability, ChannelStatus, Target},
};
use serde_json::Value;

/// Far longer than anything takes that works.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Until when an answer counts that is asked for now.
pub fn in_time() -> Instant {
    Instant::now() + DEADLINE
}

/// The shared library of the odd adapter, which cargo builds beside this test.
pub fn odd_library() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().unwrap().join("libjackfield_odd.so")
}

/// Waits until something holds.
pub async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(it) = condition() {
                return it;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// A directory for one test's plugin copies, and its metrics.
pub struct Place {
    pub directory: PathBuf,
    pub metrics: Metrics,
    libraries: Libraries,
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("jackfield-adapters-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let metrics = Metrics::new(10);
        let libraries = Libraries::new(directory.join("store"), &metrics);
        Self { directory, metrics, libraries }
    }

    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub async fn connect(&self, library: &Library, settings: Value) -> (PlatformHandle, Arc<Sink>) {
        let sink = Sink::new();
        let platform = library.connect(tenant(settings), Arc::clone(&sink) as Arc<dyn PlatformSink>, DEADLINE).await;
        (platform.unwrap(), sink)
    }

    /// Waits until the metrics have a line.
    pub async fn metrics_say(&self, line: &str) {
        until(line, || self.metrics.render().lines().any(|it| it == line).then_some(())).await;
    }

    /// Waits until a counter is at least so high.
    pub async fn counted(&self, series: &str, at_least: u64) {
        let value = |line: &str| line.strip_prefix(series)?.trim().parse::<u64>().ok();
        let what = format!("{series} >= {at_least}");
        until(&what, || self.metrics.render().lines().find_map(value).filter(|it| *it >= at_least)).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub fn tenant(settings: Value) -> Tenant {
    Tenant::new("acme", Settings::new(settings))
}

pub fn login(password: &str) -> Login {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Login::new("agent", password, format!("session-{}", NEXT.fetch_add(1, SeqCst)))
}

pub fn ready() -> Command {
    Command::Ready { channel: "c1".to_owned() }
}

pub fn failure_code(outcome: &Outcome) -> Option<Code> {
    match outcome {
        Outcome::Failure(failure) => Some(failure.code),
        _ => None,
    }
}

/// What a report says of the availability on the odd adapter's channel.
pub fn availability(report: &Report) -> Option<Availability> {
    match report.channels.first()?.status.as_ref()? {
        ChannelStatus::Active(info) => info.availability,
        _ => None,
    }
}

/// Records what comes, and can be full.
pub struct Sink {
    agent: Mutex<Vec<FromAgent>>,
    platform: Mutex<Vec<FromPlatform>>,
    /// How many more messages are taken from the agent.
    room: AtomicUsize,
    /// How often a message was refused because there was no room.
    refused: AtomicUsize,
}

impl Sink {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            agent: Mutex::default(),
            platform: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
            refused: AtomicUsize::new(0),
        })
    }

    /// Takes so many more messages, then none.
    pub fn has_room_for(&self, messages: usize) {
        self.room.store(messages, SeqCst);
    }

    pub fn refused(&self) -> usize {
        self.refused.load(SeqCst)
    }

    pub fn with<T>(&self, look: impl FnOnce(&[FromAgent]) -> T) -> T {
        look(&self.agent.lock().unwrap())
    }

    pub fn with_platform<T>(&self, look: impl FnOnce(&[FromPlatform]) -> T) -> T {
        look(&self.platform.lock().unwrap())
    }

    pub fn resume_state(&self) -> Option<Vec<u8>> {
        let state = |it: &FromAgent| match it {
            FromAgent::Resume(state) => Some(state.clone()),
            _ => None,
        };
        self.with(|all| all.iter().rev().find_map(state))
    }

    pub async fn link_is_up(&self) {
        let is_up = |it: &FromPlatform| matches!(it, FromPlatform::Link(Link::Up));
        until("link up", || self.platform.lock().unwrap().iter().any(is_up).then_some(())).await;
    }
}

impl AgentSink for Sink {
    fn deliver(&self, message: AdapterMessage) -> Delivery {
        let mut taken = self.agent.lock().unwrap();
        let room = self.room.load(SeqCst);
        if room == 0 {
            self.refused.fetch_add(1, SeqCst);
            return Delivery::Full;
        }
        if room != usize::MAX {
            self.room.store(room - 1, SeqCst);
        }
        match message.open() {
            // As if they had come one by one.
            Some(FromAgent::Answer { request, report: Some(report), outcome }) => {
                taken.push(FromAgent::Report(report));
                taken.push(FromAgent::Answer { request, report: None, outcome });
            }
            other => taken.extend(other),
        }
        Delivery::Accepted
    }
}

impl PlatformSink for Sink {
    fn deliver(&self, message: FromPlatform) {
        self.platform.lock().unwrap().push(message);
    }
}

/// One agent, logged in.
pub struct Desk {
    pub agent: Box<dyn AgentPort>,
    pub sink: Arc<Sink>,
    next: AtomicU64,
}

impl Desk {
    /// Logs in, no more.
    pub async fn sit_down(platform: &PlatformHandle) -> Self {
        Self::sit_down_with(platform, "right").await
    }

    /// The same with a password.
    pub async fn sit_down_with(platform: &PlatformHandle, password: &str) -> Self {
        let sink = Sink::new();
        let agent = platform.log_in(login(password), Arc::clone(&sink) as Arc<dyn AgentSink>, DEADLINE).await.unwrap();
        Self { agent, sink, next: AtomicU64::new(1_000_000) }
    }

    /// Logs in and starts.
    pub async fn at_work(platform: &PlatformHandle) -> Self {
        let desk = Self::sit_down(platform).await;
        desk.agent.start(0, &StartOptions::default()).unwrap();
        assert_eq!(desk.answer(0).await, Outcome::success());
        desk
    }

    /// Waits for an answer.
    pub async fn answer(&self, wanted: u64) -> Outcome {
        let answer = |it: &FromAgent| match it {
            FromAgent::Answer { request, outcome, .. } if *request == wanted => Some(outcome.clone()),
            _ => None,
        };
        until(&format!("answer {wanted}"), || self.sink.with(|all| all.iter().find_map(answer))).await
    }

    /// Sends the odd adapter's own command; its number.
    pub fn ask_odd(&self, data: Value) -> u64 {
        self.ask_odd_within(data, DEADLINE)
    }

    pub fn ask_odd_within(&self, data: Value, deadline: Duration) -> u64 {
        let request = self.next.fetch_add(1, SeqCst);
        let data = Json::from(data);
        let command = Command::Extension { name: "session.request.odd.do".to_owned(), target: Target::Session, data };
        self.agent.command(request, &command, Instant::now() + deadline).unwrap();
        request
    }

    /// Sends the odd adapter's own command and waits for its answer.
    pub async fn odd(&self, data: Value) -> Outcome {
        let request = self.ask_odd(data);
        self.answer(request).await
    }

    pub fn reports(&self) -> Vec<Report> {
        let report = |it: &FromAgent| match it {
            FromAgent::Report(report) => Some(report.clone()),
            _ => None,
        };
        self.sink.with(|all| all.iter().filter_map(report).collect())
    }

    pub async fn last_report(&self) -> Report {
        until("a report", || self.reports().pop()).await
    }

    pub fn resume_state(&self) -> Option<Vec<u8>> {
        self.sink.resume_state()
    }

    pub fn has_answer(&self, wanted: u64) -> bool {
        self.sink.with(|all| all.iter().any(|it| matches!(it, FromAgent::Answer { request, .. } if *request == wanted)))
    }

    /// How many answers came.
    pub fn answers(&self) -> usize {
        self.sink.with(|all| all.iter().filter(|it| matches!(it, FromAgent::Answer { .. })).count())
    }

    pub fn position_of_answer(&self, wanted: u64) -> usize {
        let is_it = |it: &FromAgent| matches!(it, FromAgent::Answer { request, .. } if *request == wanted);
        self.sink.with(|all| all.iter().position(is_it)).unwrap()
    }

    pub fn is_report_at(&self, position: usize) -> bool {
        self.sink.with(|all| matches!(all[position], FromAgent::Report(_)))
    }
}

/// What this process logs.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Waits for a line that contains all of this.
    pub async fn has(&self, parts: &[&str]) {
        let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
        let look = || String::from_utf8_lossy(&self.0.lock().unwrap()).lines().any(is_it).then_some(());
        until(&format!("a line of log with {parts:?}"), look).await;
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this process, which all tests share.
pub fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let make = || {
        let log = Log(Arc::default());
        let writer = log.clone();
        let layer = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        layer.with_max_level(tracing::Level::DEBUG).init();
        log
    };
    LOG.get_or_init(make).clone()
}

/// The bytes of a file.
pub fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
