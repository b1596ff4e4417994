//! The log: for people on a terminal, one JSON object a line otherwise, always on the standard error.
//!
//! Owns: the way of a line from its caller to the standard error, and the count of lines that did not arrive. Must
//! never: fail, or make a caller wait. A full disk, a pipe whose reader is gone and a pipe whose reader is stuck cost
//! lines, never work: a thread of the log's own writes, up to [`WAITING_LINES`] wait for it, and what comes beyond that
//! or cannot be written is counted and dropped. One event is one line, whatever a value in it contains.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use parking_lot::Mutex;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer as _, Registry, fmt::MakeWriter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::{
    config::LogFormat,
    log_filter::{LogDetail, LogFilter},
};

/// How many lines may wait to be written.
const WAITING_LINES: usize = 8_192;
/// How long the lines that still wait may take to be written when the host ends.
const LAST_LINES: Duration = Duration::from_millis(1_200);

/// The running log.
pub(crate) struct HostLog {
    writer: Mutex<Option<WorkerGuard>>,
    overflowed: ErrorCounter,
    unwritable: Arc<AtomicU64>,
    filter: reload::Handle<LogFilter, Registry>,
}

impl HostLog {
    /// Starts the log. `details`: of whom more is written than the filter says.
    ///
    /// # Errors
    /// The filter, which has been checked with the configuration, is wrong; or there is a log already.
    pub(crate) fn start(filter: &str, details: &[LogDetail], format: LogFormat) -> Result<Self, String> {
        let filter = LogFilter::new(filter, details.to_vec()).map_err(|error| format!("log.filter: {error}"))?;
        let terminal = io::stderr().is_terminal();
        let unwritable = Arc::new(AtomicU64::new(0));
        let (lines, writer) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(Unfailing { inner: io::stderr(), failures: Arc::clone(&unwritable) });
        let overflowed = lines.error_counter();
        let text = match format {
            LogFormat::Text => true,
            LogFormat::Json => false,
            LogFormat::Auto => terminal,
        };
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(Lines(lines))
            .with_ansi(terminal)
            // What it would say of a line that cannot be written would go to the standard error too, and panic there.
            .log_internal_errors(false);
        let layer = if text { layer.boxed() } else { layer.json().flatten_event(true).boxed() };
        let (filter, filter_handle) = reload::Layer::new(filter);
        let started = tracing_subscriber::registry().with(filter).with(layer).try_init();
        started.map_err(|error| format!("the log cannot be started: {error}"))?;
        Ok(Self { writer: Mutex::new(Some(writer)), overflowed, unwritable, filter: filter_handle })
    }

    /// Writes other lines from now on: directives as in `RUST_LOG`.
    ///
    /// # Errors
    /// The directives are wrong; the log goes on as before.
    pub(crate) fn set_filter(&self, filter: &str, details: &[LogDetail]) -> Result<(), String> {
        let filter = LogFilter::new(filter, details.to_vec())?;
        self.filter.reload(filter).map_err(|error| error.to_string())
    }

    /// Writes what still waits; called at the host's end. Lines that come later are lost.
    pub(crate) fn end(&self) {
        let Some(writer) = self.writer.lock().take() else { return };
        // On a thread of its own: while nobody reads the standard error, the last lines would keep the host from ending.
        let (done, written) = mpsc::channel();
        let last = std::thread::Builder::new().spawn(move || {
            drop(writer);
            let _ = done.send(());
        });
        if last.is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }

    /// How many lines could not be written so far.
    #[must_use]
    pub(crate) fn lost_lines(&self) -> u64 {
        self.unwritable.load(Ordering::Relaxed) + self.overflowed.dropped_lines() as u64
    }
}

impl std::fmt::Debug for HostLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

/// A writer that counts what it cannot write and reports it as written: there is no place left to report an error.
struct Unfailing<W> {
    inner: W,
    failures: Arc<AtomicU64>,
}

impl<W: Write> Write for Unfailing<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.inner.write_all(line).is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.inner.flush();
        Ok(())
    }
}

/// Makes each event one line.
struct Lines(NonBlocking);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.clone())
    }
}

/// Takes one formatted event. A line's end inside of it, from a value such as a caller's number, is written as `\n` or
/// `\r`: otherwise whoever chooses the value could forge lines.
struct OneLine<W = NonBlocking>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        if !body.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return self.0.write_all(event).map(|()| event.len());
        }
        let mut line = Vec::with_capacity(event.len() + 16);
        for byte in body {
            match byte {
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                other => line.push(*other),
            }
        }
        line.push(b'\n');
        self.0.write_all(&line).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_a_line() {
        for (event, line) in [
            ("plain\n", "plain\n"),
            ("number=1\nINFO forged\r\n", "number=1\\nINFO forged\\r\n"),
            ("no end\nat all", "no end\\nat all\n"),
        ] {
            let mut written = Vec::new();
            OneLine(&mut written).write_all(event.as_bytes()).expect("memory takes all");
            assert_eq!(String::from_utf8_lossy(&written), line);
        }
    }
}
