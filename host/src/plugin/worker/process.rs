//! The inside of a worker process: one plugin at one socket.
//!
//! Owns: the process's set-up, and the two threads that carry frames between the socket and the plugin. Must never:
//! outlive the host (the end of the socket ends the process, whatever the plugin is doing), end at a signal that is meant
//! for the host, read anything but the socket, or carry frames by tokio: the plugin has its own runtime, and everything
//! here is one read and one write at a time.

use std::{
    borrow::Cow,
    fs::File,
    io::{ErrorKind, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::Arc,
};

use bytes::BytesMut;
use jackfield_plugin_api::{
    Code, Failure, Outcome,
    wire::{self, Answer, BareRequest, Done, Kind, MessageSink, Status},
};
use parking_lot::{Condvar, Mutex};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::codec::Decoder as _;

use super::{
    ALLOCATOR,
    frame::{self, Frame, FrameDecoder, READY, Ready, SETUP, Setup},
    sandbox,
};
use crate::plugin::load::{self, LoadFailure};

/// How much is read at once.
const READ: usize = 64 << 10;
/// How many bytes may wait for the host; then the plugin is told [`Status::FULL`], and waits inside.
const MAX_UNSENT: usize = 4 << 20;

/// Runs this process as a worker. Standard input is the socket.
#[must_use]
pub fn run() -> ExitCode {
    tidy_environment();
    if let Err(error) = outlast_signals() {
        complain(&format!("worker: signals cannot be caught: {error}"));
        return ExitCode::FAILURE;
    }
    let socket = match take_socket() {
        Ok(socket) => socket,
        Err(error) => {
            complain(&format!("this command is the host's own: it wants a socket as its standard input ({error})"));
            return ExitCode::from(2);
        }
    };
    match serve(socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("worker: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line on the standard error, if anybody can read it.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Leaves the plugin nothing in the environment that was for us.
#[allow(unsafe_code)]
fn tidy_environment() {
    // SAFETY: this is the first thing that the process does: there is no other thread that could read the environment.
    unsafe { std::env::remove_var(ALLOCATOR.0) };
}

/// Leaves it to the host what a signal to the whole control group means, as systemd sends it: it still has calls to leave
/// and platforms to say goodbye to, and ends this process after that.
///
/// By handlers that do nothing, and not by ignoring, which a program that the plugin starts would inherit. Tokio's stay
/// when the runtime that they were made in is gone.
fn outlast_signals() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Moves the socket away from standard input, so that the plugin finds nothing there.
fn take_socket() -> std::io::Result<UnixStream> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

fn serve(mut socket: UnixStream) -> Result<(), String> {
    let mut frames = FrameReader::new(socket.try_clone().map_err(|error| error.to_string())?);
    let setup: Setup = match frames.next()? {
        Some(Frame { kind: SETUP, payload, .. }) => serde_json::from_str(&payload).map_err(|e| e.to_string())?,
        Some(Frame { kind, .. }) => return Err(format!("{kind:?} before the set-up")),
        None => return Ok(()),
    };
    let unconfined = sandbox::enter(&setup.confinement, &setup.library);
    let plugin = match load::open(&setup.library, &setup.api) {
        Ok(plugin) => plugin,
        Err(error) => return say_ready(&mut socket, Some(error), unconfined),
    };
    // Before the plugin is made: it talks at once.
    say_ready(&mut socket, None, unconfined)?;
    let to_host = Arc::new(ToHost::default());
    start_writer(&to_host, socket.try_clone().map_err(|error| error.to_string())?)?;
    let host: Arc<dyn MessageSink> = to_host.clone();
    let Some(plugin) = plugin.create(host, &setup.hello) else {
        return Err("the plugin could not be started".to_owned());
    };
    carry(&mut frames, &plugin, &to_host)?;
    // The host is gone, or has let go of this worker. The plugin's threads may hold any lock, so nothing of it is run.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    Ok(())
}

fn say_ready(socket: &mut UnixStream, failure: Option<LoadFailure>, unconfined: Vec<String>) -> Result<(), String> {
    let ready = Ready { frames: frame::VERSION, failure, unconfined };
    let mut bytes = Vec::new();
    frame::put(&mut bytes, READY, 0, &serde_json::to_string(&ready).map_err(|error| error.to_string())?);
    socket.write_all(&bytes).map_err(|error| error.to_string())
}

/// Reads frames, one thread waiting for them.
struct FrameReader {
    socket: UnixStream,
    decoder: FrameDecoder,
    unread: BytesMut,
    chunk: Vec<u8>,
}

impl FrameReader {
    fn new(socket: UnixStream) -> Self {
        Self { socket, decoder: FrameDecoder::default(), unread: BytesMut::new(), chunk: vec![0; READ] }
    }

    /// The next frame; `None`: the host has closed the socket.
    fn next(&mut self) -> Result<Option<Frame>, String> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.unread).map_err(|error| error.to_string())? {
                return Ok(Some(frame));
            }
            match self.socket.read(&mut self.chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.unread.extend_from_slice(&self.chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Hands the host's messages to the plugin until the host closes the socket.
fn carry(frames: &mut FrameReader, plugin: &dyn MessageSink, to_host: &ToHost) -> Result<(), String> {
    while let Some(Frame { kind, id, payload }) = frames.next()? {
        let status = plugin.send(kind, id, &payload);
        // Nobody waits for what becomes of the log's level, which an older plugin does not know.
        if status != Status::ACCEPTED && kind != Kind::LOG_LEVEL {
            refuse(to_host, kind, id, &payload, status);
        }
    }
    Ok(())
}

/// Answers in the plugin's place what it did not take: in the host's own process the caller sees the status at once.
fn refuse(to_host: &ToHost, kind: Kind, id: u64, payload: &str, status: Status) {
    let failure = match status {
        Status::FULL => Failure::new(Code::RateLimited, "the adapter has too much to do"),
        _ => Failure::new(Code::AdapterFailed, "the adapter did not take the request"),
    };
    let written = match wire::read::<BareRequest>(payload) {
        Ok(BareRequest { request }) => {
            let outcome = Cow::Owned(Outcome::Failure(failure));
            wire::write(&Answer { request, report: None, outcome }).map(|it| (Kind::ANSWER, it))
        }
        Err(_) => wire::write(&Done { of: kind, failure: Some(failure) }).map(|it| (Kind::DONE, it)),
    };
    if let Ok((kind, payload)) = written {
        to_host.put(kind, id, &payload, usize::MAX);
    }
}

/// What waits to be written to the host.
#[derive(Default)]
struct ToHost {
    unsent: Mutex<Vec<u8>>,
    something: Condvar,
}

impl ToHost {
    fn put(&self, kind: Kind, id: u64, payload: &str, bound: usize) -> Status {
        let mut unsent = self.unsent.lock();
        if unsent.len() >= bound {
            return Status::FULL;
        }
        let was_empty = unsent.is_empty();
        frame::put(&mut unsent, kind, id, payload);
        drop(unsent);
        if was_empty {
            self.something.notify_one();
        }
        Status::ACCEPTED
    }
}

impl MessageSink for ToHost {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        if payload.len() > wire::MAX_PAYLOAD {
            return Status::REFUSED;
        }
        let bound = match kind {
            // Nothing sends it again, and there is no more of it than was asked for.
            Kind::DONE => usize::MAX,
            // A log line or an observation is not worth waiting for, and nothing sends it again either.
            _ => MAX_UNSENT,
        };
        self.put(kind, id, payload, bound)
    }
}

fn start_writer(to_host: &Arc<ToHost>, mut socket: UnixStream) -> Result<(), String> {
    let to_host = Arc::clone(to_host);
    let write = move || {
        let mut sending = Vec::new();
        loop {
            let mut unsent = to_host.unsent.lock();
            to_host.something.wait_while(&mut unsent, |unsent| unsent.is_empty());
            std::mem::swap(&mut *unsent, &mut sending);
            drop(unsent);
            if socket.write_all(&sending).is_err() {
                // The reading side notices as well, and ends the process.
                return;
            }
            sending.clear();
            if sending.capacity() > 1 << 20 {
                sending = Vec::new();
            }
        }
    };
    std::thread::Builder::new()
        .name("to-host".to_owned())
        .spawn(write)
        .map(|_| ())
        .map_err(|error| format!("no thread can be started: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_told_however_much_waits() {
        let to_host = ToHost::default();
        let report = "x".repeat(MAX_UNSENT);
        assert_eq!(to_host.send(Kind::REPORT, 1, &report), Status::ACCEPTED);
        assert_eq!(to_host.send(Kind::REPORT, 1, "x"), Status::FULL);
        assert_eq!(to_host.send(Kind::DONE, 1, "x"), Status::ACCEPTED);
    }
}
