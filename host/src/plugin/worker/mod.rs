//! A plugin in a process of its own, as the host sees it.
//!
//! Owns: starting the process, the socket to it, and noticing that it is gone, hangs, floods or grows. Must never: load
//! the plugin into the host, read the worker's standard output, or let one worker's end reach another. Messages go out
//! through [`Worker`], an [`MessageSink`] like a plugin inside the host; they come back to the same routes. What follows a
//! death is decided elsewhere ([`restart`]); here it is only told apart and reported once.
//!
//! ```text
//! frame.rs     the bytes on the socket
//! process.rs   the inside of the worker process
//! sandbox.rs   what it may use
//! syscalls.rs  what it is refused
//! monitor.rs   whether it is alive, and why it died
//! usage.rs     what it uses
//! recorder.rs  what was said last
//! restart.rs   how often it may die, and when it is started again
//! ```

pub mod frame;
mod monitor;
pub mod process;
pub mod recorder;
pub mod restart;
pub mod sandbox;
mod syscalls;
mod usage;

use std::{
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::StreamExt;
use jackfield_plugin_api::{
    Backoff,
    wire::{Kind, MAX_PAYLOAD, MessageSink, Status},
};
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::Notify,
};
use tokio_util::codec::FramedRead;

pub use self::monitor::{Death, DeathKind};
use self::{
    frame::{Frame, FrameDecoder, READY, Ready, SETUP, Setup},
    monitor::{ProcessGroup, WorkerActivity, WorkerMonitor},
    recorder::Recorder,
    sandbox::Confinement,
};
use super::load::LoadFailure;

/// The argument that makes the host's binary a worker.
pub const COMMAND: &str = "worker";

/// How many bytes may wait for a worker; then its callers are told [`Status::FULL`].
const MAX_UNSENT: usize = 4 << 20;
/// How long a worker may take to load its library.
const READY_DEADLINE: Duration = Duration::from_secs(10);

/// What stands in a worker's name in place of a tenant, where it works for several. A tenant's name may be the same; then
/// its lines name the worker only.
pub const SHARED: &str = "shared";

/// How a worker is run.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// For whom it works, in logs and in the list of processes: `tenant:adapter`.
    pub name: String,
    /// The program to run with [`COMMAND`]; the host's own.
    pub program: PathBuf,
    /// What it may use.
    pub confinement: Confinement,
    /// How long it may be silent before it is taken for hung.
    pub patience: Duration,
    /// How many messages a second it may send that nobody asked for.
    pub unsolicited_per_second: u64,
    /// Where the flight recorder's files go; `None`: none are written.
    pub recordings: Option<PathBuf>,
}

impl WorkerOptions {
    /// The tenant that it works for, where there is only one.
    pub(super) fn tenant(&self) -> Option<&str> {
        tenant_of(&self.name)
    }
}

/// The tenant in a worker's name.
fn tenant_of(name: &str) -> Option<&str> {
    name.split_once(':').map(|(tenant, _)| tenant).filter(|tenant| *tenant != SHARED)
}

/// Called once, when the worker has died.
pub type OnDeath = Box<dyn FnOnce(Death) + Send>;

/// A running worker. Dropping it closes its socket, and the process ends.
pub struct Worker {
    shared: Arc<Shared>,
    pid: u32,
}

/// What the tasks of one worker share.
#[derive(Default)]
struct Shared {
    unsent: Mutex<Vec<u8>>,
    something: Notify,
    closed: AtomicBool,
    /// The host wants the worker to end.
    let_go: AtomicBool,
    recorder: Recorder,
    activity: WorkerActivity,
}

impl Worker {
    /// Starts a worker and waits until it has loaded the library.
    ///
    /// Must be called on a thread that lives as long as the host, because the kernel ends a worker with the *thread*
    /// that started it: a thread of the runtime does, one of its blocking pool does not.
    ///
    /// # Errors
    /// One line: the process cannot be started, or the library cannot be loaded in it.
    pub async fn start(
        library: &Path,
        api: &str,
        hello: &str,
        options: &WorkerOptions,
        host: Arc<dyn MessageSink>,
        on_death: OnDeath,
    ) -> Result<Self, LoadFailure> {
        let begun = std::time::Instant::now();
        let (mut child, socket) = spawn(options).map_err(|error| format!("a worker cannot be started: {error}"))?;
        let pid = child.id().ok_or_else(|| "the worker ended at once".to_owned())?;
        let group = ProcessGroup::of(pid);
        let (stderr, reading_stderr) = monitor::follow_stderr(&mut child, &options.name);
        let (read, mut write) = socket.into_split();
        let mut frames = FramedRead::new(read, FrameDecoder::default());
        let setup = Setup {
            frames: frame::VERSION,
            library: library.to_owned(),
            api: api.to_owned(),
            hello: hello.to_owned(),
            confinement: options.confinement.clone(),
        };
        let set_up = set_up(&setup, &mut frames, &mut write);
        let ready = match tokio::time::timeout(READY_DEADLINE, set_up).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(error)) => return Err(monitor::why_not_ready(child, &stderr, &error).await.into()),
            Err(_) => return Err("the worker did not load the library in time".to_owned().into()),
        };
        if let Some(failure) = ready.failure {
            return Err(failure);
        }
        if !ready.unconfined.is_empty() {
            tracing::warn!(
                worker = options.name,
                tenant = options.tenant(),
                "not confined: {}",
                ready.unconfined.join("; ")
            );
        }
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(worker = options.name, tenant = options.tenant(), pid, micros, "the worker is started");
        let shared = Arc::new(Shared::default());
        tokio::spawn(send(Arc::clone(&shared), write));
        let reading = tokio::spawn(receive(Arc::clone(&shared), frames, host));
        let (group, options) = (Some(group), options.clone());
        let monitor =
            WorkerMonitor { shared: Arc::clone(&shared), child, group, reading, stderr, reading_stderr, options };
        tokio::spawn(monitor.until_the_end(on_death));
        Ok(Self { shared, pid })
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl MessageSink for Worker {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        self.shared.put(kind, id, payload)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.let_go.store(true, Relaxed);
        self.shared.close();
    }
}

impl Shared {
    fn put(&self, kind: Kind, id: u64, payload: &str) -> Status {
        if payload.len() > MAX_PAYLOAD {
            return Status::REFUSED;
        }
        let mut unsent = self.unsent.lock();
        if self.closed.load(Relaxed) {
            return Status::CLOSED;
        }
        // Nothing sends these again, and each is small and comes once for what there is.
        let must_go = matches!(kind, Kind::PING | Kind::DROP_AGENT | Kind::DISCONNECT);
        if unsent.len() >= MAX_UNSENT && !must_go {
            return Status::FULL;
        }
        let was_empty = unsent.is_empty();
        frame::put(&mut unsent, kind, id, payload);
        drop(unsent);
        self.recorder.note(true, kind, id, payload);
        if was_empty {
            self.something.notify_one();
        }
        Status::ACCEPTED
    }

    /// What is unsent is still sent; nothing more is taken.
    fn close(&self) {
        let _unsent = self.unsent.lock();
        self.closed.store(true, Relaxed);
        self.something.notify_one();
    }
}

/// Our allocator asks for a gibibyte of addresses at once, which the limit of a worker's memory would count; a worker has
/// it ask for little, and takes this out of the environment before the plugin can see it.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "16MiB");

/// Starts the process. Its standard input is the socket, its standard output leads nowhere.
fn spawn(options: &WorkerOptions) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(&options.program);
    command
        .arg0(format!("jackfield:{}", options.name))
        .arg(COMMAND)
        .env_clear()
        .env(ALLOCATOR.0, ALLOCATOR.1)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // A backtrace of a panic is worth having; nothing else of the host's environment is the plugin's business.
    if let Some(value) = std::env::var_os("RUST_BACKTRACE") {
        command.env("RUST_BACKTRACE", value);
    }
    let child = command.spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// What a worker sends.
type FromWorker = FramedRead<OwnedReadHalf, FrameDecoder>;

async fn set_up(setup: &Setup, frames: &mut FromWorker, write: &mut OwnedWriteHalf) -> Result<Ready, String> {
    let text = serde_json::to_string(setup).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    frame::put(&mut bytes, SETUP, 0, &text);
    write.write_all(&bytes).await.map_err(|error| error.to_string())?;
    let Frame { kind, payload, .. } = match frames.next().await {
        Some(frame) => frame.map_err(|error| error.to_string())?,
        None => return Err("it closed the socket".to_owned()),
    };
    if kind != READY {
        return Err(format!("{kind:?} before it was ready"));
    }
    let ready: Ready = serde_json::from_str(&payload).map_err(|error| error.to_string())?;
    if ready.frames != frame::VERSION {
        return Err(format!("it speaks frames {}, this host {}", ready.frames, frame::VERSION));
    }
    Ok(ready)
}

/// Writes to the worker until it is gone or let go of.
async fn send(shared: Arc<Shared>, mut socket: OwnedWriteHalf) {
    let mut sending = Vec::new();
    loop {
        shared.something.notified().await;
        loop {
            std::mem::swap(&mut sending, &mut *shared.unsent.lock());
            if sending.is_empty() {
                break;
            }
            if socket.write_all(&sending).await.is_err() {
                // The reading side sees the end as well, and tells it.
                return shared.close();
            }
            sending.clear();
            sending.shrink_to(256 << 10);
        }
        if shared.closed.load(Relaxed) {
            return;
        }
    }
}

/// Why reading from a worker has ended.
#[derive(Debug, PartialEq, Eq)]
enum ReadEnd {
    Closed,
    Nonsense(String),
}

/// Hands the worker's messages to the host until the socket ends.
async fn receive(shared: Arc<Shared>, mut frames: FromWorker, host: Arc<dyn MessageSink>) -> ReadEnd {
    loop {
        let Frame { kind, id, payload } = match frames.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                return ReadEnd::Nonsense(error.to_string());
            }
            Some(Err(_)) | None => return ReadEnd::Closed,
        };
        if shared.activity.note(kind, id) {
            continue;
        }
        shared.recorder.note(false, kind, id, &payload);
        deliver(&shared, &*host, kind, id, &payload).await;
    }
}

/// Hands one message on. While a session cannot take it, the worker is not read from: its plugin then merges its
/// reports inside, as it does in the host's own process.
async fn deliver(shared: &Shared, host: &dyn MessageSink, kind: Kind, id: u64, payload: &str) {
    let mut backoff = Backoff::new(Duration::from_micros(100), Duration::from_millis(20));
    while host.send(kind, id, payload) == Status::FULL {
        shared.activity.set_waiting(true);
        tokio::time::sleep(backoff.next_pause()).await;
    }
    shared.activity.set_waiting(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_something_or_asks_for_life_is_sent_however_much_waits() {
        let shared = Shared::default();
        assert_eq!(shared.put(Kind::COMMAND, 1, &"x".repeat(MAX_UNSENT)), Status::ACCEPTED);
        assert_eq!(shared.put(Kind::COMMAND, 1, "x"), Status::FULL);
        for kind in [Kind::PING, Kind::DROP_AGENT, Kind::DISCONNECT] {
            assert_eq!(shared.put(kind, 1, ""), Status::ACCEPTED, "{kind:?}");
        }
    }
}
