//! An adapter that does what adapters must not do, as its tests tell it to.
//!
//! The settings say in which of its methods it panics or never returns; the extension command `session.request.odd.do`
//! says what to do at the moment. Everything else it does right: one channel `c1`, which can be made ready.

use std::{
    io::Write as _,
    os::{fd::BorrowedFd, unix::net::UnixStream},
    process,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use jackfield_plugin_api::{
    Adapter, Agent, AgentHost, Code, Command, Ending, Failure, Link, Login, Outcome, Platform, PlatformHost, Report,
    StartOptions, Tenant, export_adapter,
    report::{Channel, ChannelInfo, ChannelStatus, ChannelType, ExtensionEvent, Target},
    tracing,
};
use serde::Deserialize;
use serde_json::{Value, json};

mod reach;

export_adapter!(Odd, manifest = "../manifest.json");

/// The adapter.
pub struct Odd;

/// Where it goes wrong, by the name of the method.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// It panics there.
    panics: Vec<String>,
    /// It never returns from there.
    hangs: Vec<String>,
    /// It panics at once there, not in the future that it returns.
    panics_at_once: Vec<String>,
}

impl Settings {
    async fn go_wrong(&self, method: &str) {
        self.panic_in(method);
        if self.hangs.iter().any(|it| it == method) {
            std::future::pending::<()>().await;
        }
    }

    fn panic_in(&self, method: &str) {
        assert!(!self.panics.iter().any(|it| it == method), "odd in {method}");
    }

    fn panic_at_once_in(&self, method: &str) {
        assert!(!self.panics_at_once.iter().any(|it| it == method), "odd at once in {method}");
    }
}

impl Adapter for Odd {
    type Platform = OddPlatform;

    fn load() -> Result<Self, Failure> {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "the odd adapter is loaded");
        Ok(Self)
    }

    async fn connect(&self, tenant: Tenant, host: PlatformHost) -> Result<OddPlatform, Failure> {
        let settings: Settings = tenant.settings.parse()?;
        settings.go_wrong("connect").await;
        host.link(Link::Up);
        Ok(OddPlatform { settings, host })
    }
}

/// A tenant.
pub struct OddPlatform {
    settings: Settings,
    host: PlatformHost,
}

impl Platform for OddPlatform {
    type Agent = OddAgent;

    async fn log_in(&self, login: Login, host: AgentHost) -> Result<OddAgent, Failure> {
        self.settings.go_wrong("log_in").await;
        if login.password.as_ref().is_some_and(|password| password.reveal() == "wrong") {
            return Err(Failure::new(Code::Unauthorized, "the password is wrong"));
        }
        let resume = Mutex::new(login.resume.clone().unwrap_or_default());
        Ok(OddAgent {
            settings: self.settings.clone(),
            platform: self.host.clone(),
            host,
            ready: Mutex::new(false),
            resume,
            gate: (Mutex::new(true), Condvar::new()),
        })
    }

    async fn disconnect(&self) {
        self.settings.go_wrong("disconnect").await;
    }
}

/// A session.
pub struct OddAgent {
    settings: Settings,
    platform: PlatformHost,
    host: AgentHost,
    ready: Mutex<bool>,
    resume: Mutex<Vec<u8>>,
    /// Whether those who wait have to.
    gate: (Mutex<bool>, Condvar),
}

impl OddAgent {
    fn channel(&self) -> Channel {
        let is_ready = self.ready.lock().is_ok_and(|ready| *ready);
        let info = if is_ready { ChannelInfo::ready() } else { ChannelInfo::not_ready(None, None) };
        Channel::create("c1", ChannelType::Telephony, "100", "Odd").status(ChannelStatus::Active(info))
    }

    fn set_ready(&self, ready: bool) {
        if let Ok(mut it) = self.ready.lock() {
            *it = ready;
        }
        self.host.report(Report::new().channel(self.channel()));
    }

    async fn odd(&self, data: &Value) -> Outcome {
        let number = |name: &str| data[name].as_u64().unwrap_or(0);
        match data["what"].as_str().unwrap_or_default() {
            "version" => return Outcome::data(json!({"version": env!("CARGO_PKG_VERSION")})),
            "panic" => panic!("odd on command"),
            "late" => tokio::time::sleep(Duration::from_millis(number("ms"))).await,
            // Blocks the thread after telling the runtime, as an adapter may.
            "wait" => tokio::task::block_in_place(|| {
                let shut = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
                drop(self.gate.1.wait_while(shut, |shut| *shut));
            }),
            "open" => {
                *self.gate.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
                self.gate.1.notify_all();
            }
            // Blocks the thread, as an adapter must not, until a file is there; not for ever, so that a test can fail.
            "block" => {
                let gate = data["until"].as_str().unwrap_or_default();
                let is_open = |_: &u32| {
                    std::thread::sleep(Duration::from_millis(1));
                    std::path::Path::new(gate).exists()
                };
                if (0..10_000).find(is_open).is_none() {
                    return Outcome::failure(Code::Timeout, "nobody opened");
                }
            }
            "flood" => {
                for at in 0..number("reports") {
                    self.set_ready(at % 2 == 0);
                    let happened = ExtensionEvent::new(Target::Session, "session.odd.happened", json!({"at": at}));
                    self.host.report(Report::new().event(happened));
                }
                self.platform.metric("things_total", &["flooded"], 1.0);
            }
            "flap" => {
                (0..number("reports")).for_each(|at| self.set_ready(at % 2 == 0));
                self.platform.metric("things_total", &["flapped"], 1.0);
            }
            "log" => (0..number("lines")).for_each(|at| tracing::warn!(at, "a line of log")),
            "whisper" => tracing::debug!("a line for developers"),
            "undeclared" => {
                let event = ExtensionEvent::new(Target::Session, "session.odd.undeclared", json!({}));
                self.host.report(Report::new().event(event));
                self.platform.metric("undeclared_total", &[], 1.0);
                self.platform.metric("things_total", &["a", "b"], 1.0);
                self.platform.metric("things_total", &["a"], -1.0);
            }
            "metric" => self.platform.metric("things_total", &["a"], 2.0),
            "look" => return Outcome::data(look(data)),
            "reach" => return Outcome::data(reach::out(data)),
            "spawn" => return Outcome::data(json!({"pid": reach::spawn()})),
            "resume" => {
                let length = usize::try_from(number("length")).unwrap_or(0);
                if let Ok(mut resume) = self.resume.lock() {
                    *resume = vec![7; length];
                }
            }
            // What ends or blocks the whole process: for adapters in workers only.
            "segfault" => crash(),
            "abort" => std::process::abort(),
            "exit" => std::process::exit(3),
            #[allow(clippy::empty_loop)] // that is the point
            "spin" => loop {},
            "deadlock" => {
                let lock = Mutex::new(());
                let _first = lock.lock();
                let _second = lock.lock();
            }
            "leak" => leak().await,
            what @ ("threads" | "processes" | "memory file" | "memory of children") => {
                let what = what.to_owned();
                // Beside the runtime, which goes on answering.
                std::thread::spawn(move || tracing::info!(begun = ?spread(&what), "more than it may have"));
                std::future::pending::<()>().await;
            }
            "storm" => loop {
                self.set_ready(true);
                let happened = ExtensionEvent::new(Target::Session, "session.odd.happened", json!({}));
                self.host.report(Report::new().event(happened));
                tokio::task::yield_now().await;
            },
            // Writes to the host past the plugin API, as only a worker's plugin can.
            "forge" => {
                let id = |name: &str| u32::try_from(number(name)).unwrap_or(0);
                for request in 0..number("requests") {
                    let answer = json!({"request": request, "outcome": {"success": {"forged": true}}});
                    forge(id("kind"), number("id"), &data.get("payload").unwrap_or(&answer).to_string());
                }
            }
            // A frame that is none: its length is beyond every bound.
            "tear" => {
                forge_bytes(&[0xff; 16]);
                std::future::pending::<()>().await;
            }
            "print" => println!("an adapter that prints"),
            "complain" => eprintln!("an adapter that complains"),
            "link" => self.host.link(Link::Down { reason: "odd".to_owned() }),
            // A moment without a link: the host asks for a snapshot.
            "blink" => {
                self.host.link(Link::Down { reason: "odd".to_owned() });
                self.host.link(Link::Up);
            }
            "background" => {
                let host = self.host.clone();
                let channel = self.channel();
                tokio::spawn(async move {
                    host.report(Report::new().channel(channel));
                    panic!("odd in the background");
                });
            }
            _ => return Outcome::failure(Code::BadRequest, "odd does not do that"),
        }
        Outcome::data(json!({}))
    }
}

/// What the process has around it.
fn look(data: &Value) -> Value {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let try_path = |name: &str| data[name].as_str().map(std::path::PathBuf::from).unwrap_or_default();
    let environment: Vec<String> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let stdin = std::fs::read_link("/proc/self/fd/0").unwrap_or_default();
    json!({
        "environment": environment,
        "stdin": stdin,
        "status": text("/proc/self/status"),
        "limits": text("/proc/self/limits"),
        "stat": text("/proc/self/stat"),
        "reads": std::fs::read(try_path("read")).is_ok(),
        "writes": std::fs::write(try_path("write"), "odd was here").is_ok(),
    })
}

/// Reads where nothing may be read.
fn crash() {
    let nowhere: *const u8 = std::hint::black_box(std::ptr::without_provenance(8));
    // SAFETY: none; the process must die of this.
    let _ = std::hint::black_box(unsafe { nowhere.read_volatile() });
}

/// Puts a frame of the worker's own on its socket.
fn forge(kind: u32, id: u64, payload: &str) {
    let mut frame = Vec::new();
    frame.extend_from_slice(&u32::try_from(12 + payload.len()).unwrap_or(0).to_le_bytes());
    frame.extend_from_slice(&kind.to_le_bytes());
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(payload.as_bytes());
    forge_bytes(&frame);
}

fn forge_bytes(frame: &[u8]) {
    let is_socket = |fd: &i32| {
        std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    let Some(fd) = (0..64).find(is_socket) else { return };
    // SAFETY: the worker's socket stays open as long as the process.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
    if let Ok(mut socket) = socket.map(UnixStream::from) {
        // One write for the whole frame, so that no other gets in between.
        let _ = socket.write_all(frame);
    }
}

/// Takes more than it may have, where limits of its own process do not count it.
fn spread(what: &str) -> std::io::Result<()> {
    let shell = |script: &str| process::Command::new("sh").args(["-c", script]).spawn();
    match what {
        "threads" => (0..200).for_each(|_| drop(std::thread::spawn(|| std::thread::sleep(Duration::from_secs(1000))))),
        // One after the other has ended: they are nobody's children any more.
        "processes" => (0..200).try_for_each(|_| shell("sleep 1000 &")?.wait().map(drop))?,
        "memory file" => {
            let file = rustix::fs::memfd_create("odd", rustix::fs::MemfdFlags::empty())?;
            let mut file = std::fs::File::from(file);
            (0..300).try_for_each(|_| file.write_all(&vec![1; 1 << 20]))?;
            std::mem::forget(file);
        }
        // Each of them less than one process may have.
        _ => (0..4).try_for_each(|_| {
            shell("text=$(head -c 80000000 /dev/zero | tr '\\0' x); sleep 1000; echo $text").map(drop)
        })?,
    }
    Ok(())
}

/// Takes memory until something ends the process.
async fn leak() {
    loop {
        std::hint::black_box(vec![1u8; 1 << 20]).leak();
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

impl Agent for OddAgent {
    async fn start(&self, _: StartOptions) -> Result<(), Failure> {
        self.settings.go_wrong("start").await;
        self.host.report(Report::snapshot().channel(self.channel()));
        Ok(())
    }

    #[allow(clippy::manual_async_fn)] // what stands before the future is part of what is tried
    fn command(&self, command: Command) -> impl Future<Output = Outcome> + Send {
        self.settings.panic_at_once_in("command");
        async move {
            self.settings.go_wrong("command").await;
            match command {
                Command::Ready { .. } => {
                    self.set_ready(true);
                    Outcome::success()
                }
                Command::NotReady { .. } => {
                    self.set_ready(false);
                    Outcome::success()
                }
                Command::Extension { data, .. } => match data.parse() {
                    Ok(data) => self.odd(&data).await,
                    Err(error) => Outcome::failure(Code::BadRequest, error.to_string()),
                },
                _ => Outcome::unsupported(),
            }
        }
    }

    async fn snapshot(&self) -> Result<(), Failure> {
        self.settings.go_wrong("snapshot").await;
        self.host.report(Report::snapshot().channel(self.channel()));
        Ok(())
    }

    async fn log_out(&self, _: Ending) -> Result<(), Failure> {
        self.settings.go_wrong("log_out").await;
        Ok(())
    }

    fn resume_state(&self) -> Vec<u8> {
        self.settings.panic_in("resume_state");
        self.resume.lock().map(|resume| resume.clone()).unwrap_or_default()
    }
}

impl Drop for OddAgent {
    fn drop(&mut self) {
        self.settings.panic_in("drop");
    }
}

/// An adapter that cannot be loaded.
pub struct Unloadable;

impl Adapter for Unloadable {
    type Platform = OddPlatform;

    fn load() -> Result<Self, Failure> {
        panic!("odd in load");
    }

    async fn connect(&self, _: Tenant, _: PlatformHost) -> Result<OddPlatform, Failure> {
        Err(Failure::new(Code::Rejected, "never loaded"))
    }
}

/// The manifest, for tests that do not load the library from its file.
pub const MANIFEST: &str = include_str!("../manifest.json");
