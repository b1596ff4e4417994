//! Whether a worker is alive, and why it died.
//!
//! Owns: heartbeats, the bounds that a worker is ended for, and telling the ways to die apart. Must never: restart
//! anything.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jackfield_plugin_api::wire::Kind;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Child,
    task::JoinHandle,
};

use super::{OnDeath, ReadEnd, Shared, WorkerOptions, sandbox::Confinement, usage::Usage};

/// How often a worker is sent a heartbeat, and its bounds are checked.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long a worker whose socket is closed may take to exit.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);
/// How long the last words of one that has exited may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Ids from here on are those of heartbeats; no platform or agent gets so far.
const PING: u64 = 1 << 63;

/// How a worker died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeathKind {
    /// The host closed its socket, and it ended.
    Released,
    /// It ended by itself.
    Exit,
    /// A signal ended it: a crash, or someone from outside.
    Signal,
    /// It was silent for too long.
    Hang,
    /// It sent too much that nobody had asked for.
    Flood,
    /// It used more memory than it may.
    Memory,
    /// It had more processes and threads than it may.
    Tasks,
    /// It sent what is no frame.
    Protocol,
}

impl DeathKind {
    /// A word for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Hang => "hang",
            Self::Flood => "flood",
            Self::Memory => "memory",
            Self::Tasks => "tasks",
            Self::Protocol => "protocol",
        }
    }
}

/// The end of a worker.
#[derive(Debug, Clone)]
pub struct Death {
    /// How.
    pub kind: DeathKind,
    /// One sentence; the worker's own last words may be in it.
    pub detail: String,
    /// The commands that had no answer.
    pub in_flight: BTreeSet<String>,
    /// The flight recorder's file.
    pub recording: Option<PathBuf>,
}

impl Death {
    /// What the tenant's clients are told: how it died, and no word of what the worker itself wrote. That may hold
    /// anything, and is for the host's operators.
    #[must_use]
    pub fn for_clients(&self) -> String {
        format!("the adapter's process died ({})", self.kind.as_str())
    }
}

/// For the host's operators: the worker's last words may be in it.
impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

/// What the reading task records of a worker's messages.
#[derive(Debug, Default)]
pub(super) struct WorkerActivity {
    heartbeats_answered: AtomicU64,
    unsolicited: AtomicU64,
    /// The host does not read from the worker.
    waiting: AtomicBool,
}

impl WorkerActivity {
    /// Records a message. Returns whether it was the answer to a heartbeat, which is for nobody else.
    pub(super) fn note(&self, kind: Kind, id: u64) -> bool {
        if kind == Kind::DONE && id >= PING {
            self.heartbeats_answered.fetch_add(1, Relaxed);
            return true;
        }
        if kind != Kind::ANSWER && kind != Kind::DONE {
            self.unsolicited.fetch_add(1, Relaxed);
        } else {
            // Each answer pays for the report that goes with it.
            let _ = self.unsolicited.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        }
        false
    }

    /// Says whether the host has stopped reading from the worker, whose silence then means nothing.
    pub(super) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Relaxed);
    }
}

/// The last lines of a worker's standard error.
pub(super) type StderrTail = Arc<Mutex<VecDeque<String>>>;

/// Writes a worker's standard error into the host's log, under its name. The task ends when all of it has been read.
pub(super) fn follow_stderr(child: &mut Child, name: &str) -> (StderrTail, JoinHandle<()>) {
    const LINES_PER_SECOND: u32 = 100;
    const LONGEST: u64 = 2048;
    let tail = StderrTail::default();
    let stderr = child.stderr.take();
    let (name, kept) = (name.to_owned(), Arc::clone(&tail));
    let reading = tokio::spawn(async move {
        let Some(stderr) = stderr else { return };
        let mut stderr = BufReader::new(stderr);
        let (mut since, mut lines) = (Instant::now(), 0);
        loop {
            let mut line = Vec::new();
            match (&mut stderr).take(LONGEST).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if since.elapsed() >= Duration::from_secs(1) {
                (since, lines) = (Instant::now(), 0);
            }
            lines += 1;
            if lines <= LINES_PER_SECOND {
                tracing::warn!(target: "jackfield::worker", worker = name, tenant = super::tenant_of(&name), "{line}");
            }
            let mut kept = kept.lock();
            kept.push_back(line);
            if kept.len() > 10 {
                kept.pop_front();
            }
        }
    });
    (tail, reading)
}

/// What to say of a worker that ended before it was ready.
pub(super) async fn why_not_ready(mut child: Child, stderr: &StderrTail, error: &str) -> String {
    let status = tokio::time::timeout(EXIT_DEADLINE, child.wait()).await;
    let how = match status {
        Ok(Ok(status)) => format!("the worker ended while it loaded the library ({})", describe(status)),
        _ => format!("the worker did not start: {error}"),
    };
    match last_line(stderr) {
        Some(line) => format!("{how}: {line}"),
        None => how,
    }
}

/// The processes that a worker has started, and it itself. They end when this is dropped.
#[derive(Debug)]
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// That of a worker, which is the first of its own.
    pub(super) fn of(worker: u32) -> Self {
        Self(i32::try_from(worker).ok().and_then(Pid::from_raw))
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Mostly there is nobody left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Watches one worker, and ends it where it breaks a bound.
pub(super) struct WorkerMonitor {
    pub(super) shared: Arc<Shared>,
    pub(super) child: Child,
    /// Until the worker has ended.
    pub(super) group: Option<ProcessGroup>,
    pub(super) reading: JoinHandle<ReadEnd>,
    pub(super) stderr: StderrTail,
    pub(super) reading_stderr: JoinHandle<()>,
    pub(super) options: WorkerOptions,
}

impl WorkerMonitor {
    /// Waits for the worker's end, kills it where it breaks a bound, and reports its death.
    pub(super) async fn until_the_end(mut self, on_death: OnDeath) {
        let verdict = self.wait_for_end().await;
        // From here on the worker is sent nothing. Requests that still wait are failed by `on_death`.
        self.shared.close();
        let status = self.end(verdict.is_some()).await;
        self.group = None;
        // Its last words say how it died, and may still be on their way.
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.reading_stderr).await;
        let (kind, how) = verdict.unwrap_or_else(|| self.classify(status));
        let in_flight = self.shared.recorder.in_flight();
        let recording = if kind == DeathKind::Released { None } else { self.record(kind, &how, &in_flight).await };
        let is_by_itself = matches!(kind, DeathKind::Exit | DeathKind::Signal);
        let last_words = last_line(&self.stderr).filter(|_| is_by_itself);
        let detail = last_words.map_or_else(|| how.clone(), |line| format!("{how}: {line}"));
        on_death(Death { kind, detail, in_flight, recording });
    }

    /// Waits until the worker ends by itself (`None`) or must be ended.
    async fn wait_for_end(&mut self) -> Option<(DeathKind, String)> {
        let mut ticks = tokio::time::interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heartbeat = Heartbeat::new();
        loop {
            tokio::select! {
                _ = self.child.wait() => return None,
                end = &mut self.reading, if !self.reading.is_finished() => {
                    if let Ok(ReadEnd::Nonsense(what)) = end {
                        return Some((DeathKind::Protocol, what));
                    }
                    return None;
                }
                _ = ticks.tick() => {
                    if self.shared.closed.load(Relaxed) {
                        return None;
                    }
                    if let Some(verdict) = heartbeat.check(&self.shared, &self.options, self.child.id()) {
                        return Some(verdict);
                    }
                }
            }
        }
    }

    /// Waits for the process to exit, and kills it after the deadline or at once.
    async fn end(&mut self, at_once: bool) -> Option<ExitStatus> {
        if !at_once && let Ok(status) = tokio::time::timeout(EXIT_DEADLINE, self.child.wait()).await {
            return status.ok();
        }
        // It may have ended in this very moment; then there is nothing to kill.
        let _ = self.child.start_kill();
        self.child.wait().await.ok()
    }

    /// How the worker died, by its exit status.
    fn classify(&self, status: Option<ExitStatus>) -> (DeathKind, String) {
        if self.shared.let_go.load(Relaxed) {
            return (DeathKind::Released, "the host let go of it".to_owned());
        }
        let Some(status) = status else { return (DeathKind::Exit, "its end could not be seen".to_owned()) };
        // Not always the last one: a word on the backtrace may follow.
        if self.stderr.lock().iter().any(|line| line.starts_with("memory allocation of ")) {
            return (DeathKind::Memory, "the kernel gave it no more memory".to_owned());
        }
        let kind = if status.signal().is_some() { DeathKind::Signal } else { DeathKind::Exit };
        (kind, describe(status))
    }

    async fn record(&self, kind: DeathKind, how: &str, in_flight: &BTreeSet<String>) -> Option<PathBuf> {
        let folder = self.options.recordings.clone()?;
        let in_flight: Vec<_> = in_flight.iter().map(String::as_str).collect();
        // Without the worker's last words, which may hold anything; they stand in the log.
        let why = format!("{}; {}: {how}; in flight: {}", self.options.name, kind.as_str(), in_flight.join(", "));
        let (shared, name) = (Arc::clone(&self.shared), self.options.name.replace([':', '/'], "-"));
        let written = tokio::task::spawn_blocking(move || shared.recorder.write(&folder, &name, &why)).await;
        match written {
            Ok(Ok(path)) => Some(path),
            Ok(Err(error)) => {
                let tenant = self.options.tenant();
                tracing::warn!(
                    worker = self.options.name,
                    tenant,
                    "the flight recording could not be written: {error}"
                );
                None
            }
            Err(_) => None,
        }
    }
}

/// The heartbeats of one worker, and its rate of messages that nobody asked for.
struct Heartbeat {
    sent: u64,
    answered: u64,
    last_answer: Instant,
    unsolicited: u64,
    last_check: Instant,
    /// The last look found that it and what it has started use too much memory.
    was_too_large: bool,
}

impl Heartbeat {
    fn new() -> Self {
        let now = Instant::now();
        Self { sent: 0, answered: 0, last_answer: now, unsolicited: 0, last_check: now, was_too_large: false }
    }

    /// Checks the worker once. Returns why it must be ended, if it must.
    fn check(&mut self, shared: &Shared, options: &WorkerOptions, pid: Option<u32>) -> Option<(DeathKind, String)> {
        let now = Instant::now();
        let answered = shared.activity.heartbeats_answered.load(Relaxed);
        if answered != self.answered || self.sent == answered || shared.activity.waiting.load(Relaxed) {
            (self.answered, self.last_answer) = (answered, now);
        }
        if now - self.last_answer > options.patience {
            let seconds = (now - self.last_answer).as_secs_f64();
            return Some((DeathKind::Hang, format!("it has not answered for {seconds:.1} s")));
        }
        if self.sent == answered {
            self.sent += 1;
            shared.put(Kind::PING, PING + self.sent, "null");
        }
        let unsolicited = shared.activity.unsolicited.load(Relaxed);
        let allowed = options.unsolicited_per_second as f64 * (now - self.last_check).as_secs_f64().max(0.1);
        if unsolicited.saturating_sub(self.unsolicited) as f64 > allowed {
            return Some((
                DeathKind::Flood,
                format!("more than {} messages a second that nobody asked for", options.unsolicited_per_second),
            ));
        }
        (self.unsolicited, self.last_check) = (unsolicited, now);
        self.check_usage(pid?, &options.confinement)
    }

    fn check_usage(&mut self, pid: u32, confinement: &Confinement) -> Option<(DeathKind, String)> {
        let most = confinement.tasks.unwrap_or(usize::MAX);
        let Usage { memory, own_memory, tasks } = Usage::of(pid, most);
        if tasks > most {
            return Some((DeathKind::Tasks, format!("it has more than {most} processes and threads")));
        }
        let limit = confinement.memory?;
        // A process that is just being started has the memory of the one that starts it, for a moment.
        let was_too_large = std::mem::replace(&mut self.was_too_large, memory > limit);
        let too_large = own_memory > limit || memory > limit && was_too_large;
        too_large.then(|| (DeathKind::Memory, format!("it uses {memory} bytes of memory; {limit} are allowed")))
    }
}

fn last_line(stderr: &StderrTail) -> Option<String> {
    stderr.lock().iter().rev().find(|line| !line.is_empty()).cloned()
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}{}", signal_name(signal)),
        None => format!("exit status {}", status.code().unwrap_or(-1)),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
