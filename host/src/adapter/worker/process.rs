//! The inside of a worker process: one plugin at one socket.
//!
//! Owns: the process's set-up, and the two threads that carry frames between the socket and the plugin. Must never:
//! outlive the host (the end of the socket ends the process, whatever the plugin is doing), end at a signal that is meant
//! for the host, read anything but the socket, or carry frames by tokio: the plugin has its own runtime, and everything
//! here is one read and one write at a time.

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    wire::{self, Answer, Done, Kind, Outlet, Request, Status},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    ALLOCATOR,
    frame::{self, Decoder, READY, Ready, SETUP, Setup},
    sandbox,
};
use crate::adapter::load;

/// How much is read at once.
const READ: usize = 64 << 10;
/// How many bytes may wait for the host; then the plugin is told [`Status::FULL`], and waits inside.
const MAX_UNSENT: usize = 4 << 20;

/// Runs this process as a worker. Standard input is the socket.
#[must_use]
pub fn run() -> ExitCode {
    tidy_environment();
    if let Err(error) = outlast_signals() {
        eprintln!("worker: signals cannot be caught: {error}");
        return ExitCode::FAILURE;
    }
    let socket = match take_socket() {
        Ok(socket) => socket,
        Err(error) => {
            eprintln!("this command is the host's own: it wants a socket as its standard input ({error})");
            return ExitCode::from(2);
        }
    };
    match serve(socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Leaves the plugin nothing in the environment that was for us.
#[allow(unsafe_code)]
fn tidy_environment() {
    // SAFETY: this is the first thing that the process does: there is no other thread that could read the environment.
    unsafe { std::env::remove_var(ALLOCATOR.0) };
}

/// Leaves it to the host what a signal to the whole process group or control group means, as Ctrl-C and systemd send them:
/// it still has calls to leave and platforms to say goodbye to, and ends this process after that.
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
    let mut decoder = Decoder::default();
    let setup = loop {
        if !fill(&mut socket, &mut decoder)? {
            return Ok(());
        }
        match decoder.frame().map_err(|bad| bad.0.to_owned())? {
            Some((SETUP, _, payload)) => break serde_json::from_str::<Setup>(payload).map_err(|e| e.to_string())?,
            Some((kind, ..)) => return Err(format!("{kind:?} before the set-up")),
            None => {}
        }
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
    let host: Arc<dyn Outlet> = to_host.clone();
    let Some(plugin) = plugin.create(host, &setup.hello) else {
        return Err("the plugin could not be started".to_owned());
    };
    carry(&mut socket, &mut decoder, &plugin, &to_host)?;
    // The host is gone, or has let go of this worker. The plugin's threads may hold any lock, so nothing of it is run.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    Ok(())
}

fn say_ready(socket: &mut UnixStream, failure: Option<String>, unconfined: Vec<String>) -> Result<(), String> {
    let ready = Ready { frames: frame::VERSION, failure, unconfined };
    let mut bytes = Vec::new();
    frame::put(&mut bytes, READY, 0, &serde_json::to_string(&ready).map_err(|error| error.to_string())?);
    socket.write_all(&bytes).map_err(|error| error.to_string())
}

/// Reads once; `false`: the host has closed the socket.
fn fill(socket: &mut UnixStream, decoder: &mut Decoder) -> Result<bool, String> {
    let room = decoder.room(READ);
    let read = loop {
        match socket.read(room) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break 0,
            result => break result.map_err(|error| error.to_string())?,
        }
    };
    decoder.filled(READ, read);
    Ok(read > 0)
}

/// Hands the host's messages to the plugin until the host closes the socket.
fn carry(socket: &mut UnixStream, decoder: &mut Decoder, plugin: &dyn Outlet, to_host: &ToHost) -> Result<(), String> {
    loop {
        while let Some((kind, id, payload)) = decoder.frame().map_err(|bad| bad.0.to_owned())? {
            let status = plugin.emit(kind, id, payload);
            if status != Status::ACCEPTED {
                refuse(to_host, kind, id, payload, status);
            }
        }
        if !fill(socket, decoder)? {
            return Ok(());
        }
    }
}

/// Answers in the plugin's place what it did not take: in the host's own process the caller sees the status at once.
fn refuse(to_host: &ToHost, kind: Kind, id: u64, payload: &str, status: Status) {
    let failure = match status {
        Status::FULL => Failure::new(Code::RateLimited, "the adapter has too much to do"),
        _ => Failure::new(Code::AdapterFailed, "the adapter did not take the request"),
    };
    let written = match wire::read::<Request>(payload) {
        Ok(Request { request }) => {
            serde_json::to_string(&Answer { request, report: None, outcome: Outcome::Failure(failure) })
                .map(|it| (Kind::ANSWER, it))
        }
        Err(_) => {
            serde_json::to_string(&Done { of: kind, failure: Some(failure), compact: false }).map(|it| (Kind::DONE, it))
        }
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
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Outlet for ToHost {
    fn emit(&self, kind: Kind, id: u64, payload: &str) -> Status {
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
            let unsent = to_host.unsent.lock().unwrap_or_else(PoisonError::into_inner);
            let mut unsent = to_host
                .something
                .wait_while(unsent, |unsent| unsent.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
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
        assert_eq!(to_host.emit(Kind::REPORT, 1, &report), Status::ACCEPTED);
        assert_eq!(to_host.emit(Kind::REPORT, 1, "x"), Status::FULL);
        assert_eq!(to_host.emit(Kind::DONE, 1, "x"), Status::ACCEPTED);
    }
}
