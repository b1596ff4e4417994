//! The plugin's logs, on their way to the host.
//!
//! Owns: what becomes of the `tracing` macros and of panics inside a plugin. A library has its own copy of `tracing`,
//! which nobody listens to unless this does. Must never: block the code that logs, or send without bound: lines are cut
//! at [`MAX_LINE`] and beyond [`MAX_PER_SECOND`] they are counted instead.

use std::{
    cell::Cell,
    fmt::{self, Write as _},
    panic::PanicHookInfo,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use parking_lot::RwLock;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::wire::{self, Kind, Level, Log, MessageSink};

const MAX_LINE: usize = 4096;
const MAX_PER_SECOND: u64 = 200;

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// In whose name (a platform's or an agent's id, or 0) the thread works at the moment.
pub(crate) fn current() -> u64 {
    CURRENT.get()
}

/// Works in someone's name.
pub(crate) fn on_behalf_of<R>(id: u64, work: impl FnOnce() -> R) -> R {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(id));
    work()
}

static HOST: RwLock<Option<Arc<dyn MessageSink>>> = RwLock::new(None);

/// The most detailed level that the host wants.
static LEVEL: RwLock<LevelFilter> = RwLock::new(LevelFilter::INFO);

/// Sends all that this library logs from now on to a host, and panics too.
pub(crate) fn forward_to(host: Arc<dyn MessageSink>, level: Level) {
    *HOST.write() = Some(host);
    set_level(level);
    let subscriber = HostSubscriber { limit: RateLimit::default() };
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// The host wants this level, and what is more important, from now on.
pub(crate) fn set_level(level: Level) {
    *LEVEL.write() = filter(level);
    // What each place in the code was told is told anew.
    tracing::callsite::rebuild_interest_cache();
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = text_of(info.payload());
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: "panic", "panicked at {place}: {message}");
}

/// The words of a panic.
pub(crate) fn text_of(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no words)")
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

struct HostSubscriber {
    limit: RateLimit,
}

impl Subscriber for HostSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= *LEVEL.read()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(*LEVEL.read())
    }

    fn event(&self, event: &Event<'_>) {
        let Some(suppressed) = self.limit.take() else { return };
        let mut line = Line::default();
        event.record(&mut line);
        let log = Log {
            level: level_of(*event.metadata().level()),
            target: event.metadata().target().to_owned(),
            message: line.finish(),
            suppressed,
        };
        let host = HOST.read().clone();
        if let (Some(host), Ok(payload)) = (host, wire::write(&log)) {
            // Nobody can be told that a line was lost.
            let _ = host.send(Kind::LOG, current(), &payload);
        }
    }

    // Spans are not forwarded: the host names adapter, tenant and session of a line itself.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The message of an event, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > MAX_LINE {
            let end = (0..=MAX_LINE).rev().find(|&at| self.message.is_char_boundary(at)).unwrap_or(0);
            self.message.truncate(end);
            self.message.push('…');
        }
        self.message
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail; a failing Debug only loses its own field.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Lets so many lines through a second.
#[derive(Default)]
struct RateLimit {
    second: AtomicU64,
    taken: AtomicU64,
    suppressed: AtomicU64,
}

impl RateLimit {
    /// `None`: too many. Otherwise how many were too many before this one.
    fn take(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        self.take_in(START.get_or_init(Instant::now).elapsed().as_secs())
    }

    fn take_in(&self, second: u64) -> Option<u64> {
        // Two threads may meet at the turn of a second; a few lines more or less are not worth a lock.
        if self.second.swap(second, Relaxed) != second {
            self.taken.store(0, Relaxed);
        }
        if self.taken.fetch_add(1, Relaxed) < MAX_PER_SECOND {
            Some(self.suppressed.swap(0, Relaxed))
        } else {
            self.suppressed.fetch_add(1, Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_counted() {
        let limit = RateLimit::default();
        let through = (0..1000).filter(|_| limit.take_in(1).is_some()).count() as u64;
        assert_eq!(through, MAX_PER_SECOND);
        assert_eq!(limit.take_in(2), Some(1000 - MAX_PER_SECOND));
        assert_eq!(limit.take_in(2), Some(0));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = Line { message: "é".repeat(MAX_LINE), fields: String::new() }.finish();
        assert!(line.len() <= MAX_LINE + '…'.len_utf8());
        assert!(line.ends_with("é…"));
    }
}
