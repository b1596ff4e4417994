//! `jackfield.toml`, checked.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Problem, raw, units::Span};
use crate::plugin::Trust;

/// The host's own part of the configuration.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Where desktops connect.
    pub listener: ListenerConfig,
    /// Where operators and Prometheus ask; `None`: nowhere.
    pub operations: Option<SocketAddr>,
    /// The folder of the tenants' files.
    pub tenants: PathBuf,
    /// Folders in which adapters are looked for after the one of the executable.
    pub plugin_path: Vec<PathBuf>,
    /// Where libraries are copied to before they are loaded.
    pub plugin_store: PathBuf,
    /// Whose signatures libraries must carry; none: no signature is asked for.
    pub plugin_trust: Trust,
    /// What a tenant may have unless its file says otherwise.
    pub limits: Limits,
    /// How many tenants get series of their own.
    pub metrics_max_tenants: usize,
    /// Which log lines are written: directives as in `RUST_LOG`.
    pub log_filter: String,
    /// How they are written.
    pub log_format: LogFormat,
    /// How long the end may take.
    pub shutdown_deadline: Duration,
}

/// Where and how desktops connect.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Connections of all tenants together.
    pub max_connections: usize,
    /// The largest message that a desktop may send.
    pub max_frame_bytes: usize,
    /// How long a request's head, and its body, may take to arrive.
    pub header_timeout: Duration,
    /// How long a connection may be kept between two requests.
    pub idle_timeout: Duration,
    /// Which browsers' pages may connect.
    pub origins: Origins,
    /// Whether the console is served.
    pub console: bool,
}

/// Which values of a browser's `Origin` header are let in; a request without one is not from a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These and no others.
    Listed(Vec<String>),
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a tenant may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions.
    pub sessions: usize,
    /// WebSocket connections and event streams.
    pub connections: usize,
    /// How long a session waits for its client to return.
    pub resume_grace: Duration,
    /// How long a command may take.
    pub command_deadline: Duration,
    /// How long a blindconference may take.
    pub conference_deadline: Duration,
    /// How long connecting to the platform may take.
    pub connect_deadline: Duration,
    /// Unanswered commands of a session.
    pub commands_in_flight: usize,
    /// Events that a session keeps for a client that returns.
    pub journal_events: usize,
    /// Messages that wait for a client to read.
    pub outbox_messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 1_000,
            connections: 2_000,
            resume_grace: Duration::from_secs(60),
            command_deadline: Duration::from_secs(30),
            conference_deadline: Duration::from_secs(60),
            connect_deadline: Duration::from_secs(30),
            commands_in_flight: 32,
            journal_events: 1_000,
            outbox_messages: 1_024,
        }
    }
}

/// Takes over what a file says where it lies within its bounds, and notes what does not.
struct Bounds<'a> {
    file: &'a Path,
    problems: Vec<Problem>,
}

impl Bounds<'_> {
    fn count(&mut self, key: &str, into: &mut usize, value: Option<usize>, least: usize, most: usize) {
        match value {
            Some(value) if (least..=most).contains(&value) => *into = value,
            Some(value) => {
                let message = format!("{value} is not between {least} and {most}");
                self.problems.push(Problem::key(self.file, key, message));
            }
            None => {}
        }
    }

    fn span(&mut self, key: &str, into: &mut Duration, value: Option<Span>, least: u64, most: u64) {
        match value {
            Some(Span(value)) if (Duration::from_millis(least)..=Duration::from_millis(most)).contains(&value) => {
                *into = value;
            }
            Some(Span(value)) => {
                let show = Duration::from_millis;
                let message = format!("{value:?} is not between {:?} and {:?}", show(least), show(most));
                self.problems.push(Problem::key(self.file, key, message));
            }
            None => {}
        }
    }
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600_000;

impl Limits {
    /// These limits with what a file says on top.
    pub(super) fn with(mut self, file: &Path, raw: &raw::Limits) -> Result<Self, Vec<Problem>> {
        let mut bounds = Bounds { file, problems: Vec::new() };
        bounds.count("limits.sessions", &mut self.sessions, raw.sessions, 1, 1_000_000);
        bounds.count("limits.connections", &mut self.connections, raw.connections, 1, 1_000_000);
        bounds.span("limits.resume_grace", &mut self.resume_grace, raw.resume_grace, 0, 24 * HOUR);
        bounds.span("limits.command_deadline", &mut self.command_deadline, raw.command_deadline, 10, HOUR);
        bounds.span("limits.conference_deadline", &mut self.conference_deadline, raw.conference_deadline, 10, HOUR);
        bounds.span("limits.connect_deadline", &mut self.connect_deadline, raw.connect_deadline, 10, HOUR);
        bounds.count("limits.commands_in_flight", &mut self.commands_in_flight, raw.commands_in_flight, 1, 10_000);
        bounds.count("limits.journal_events", &mut self.journal_events, raw.journal_events, 1, 1_000_000);
        bounds.count("limits.outbox_messages", &mut self.outbox_messages, raw.outbox_messages, 16, 1_000_000);
        if bounds.problems.is_empty() { Ok(self) } else { Err(bounds.problems) }
    }
}

impl HostConfig {
    /// Checks what was read from a file. Relative paths in it start at the file's own folder.
    pub(super) fn check(file: &Path, raw: raw::Host) -> Result<Self, Vec<Problem>> {
        // Absolute from here on: a worker has another working folder than the host.
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("."));
        let mut bounds = Bounds { file, problems: Vec::new() };
        let address = raw.listener.address.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        let mut listener = ListenerConfig {
            address,
            max_connections: 20_000,
            max_frame_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            origins: origins(raw.listener.origins.clone()),
            console: raw.listener.console.unwrap_or_else(|| address.ip().is_loopback()),
        };
        let from = &raw.listener;
        bounds.count("listener.max_connections", &mut listener.max_connections, from.max_connections, 1, 1_000_000);
        bounds.count("listener.max_frame_bytes", &mut listener.max_frame_bytes, from.max_frame_bytes, 1_024, 1 << 24);
        bounds.span("listener.header_timeout", &mut listener.header_timeout, from.header_timeout, 100, 60 * SECOND);
        bounds.span("listener.idle_timeout", &mut listener.idle_timeout, from.idle_timeout, 100, HOUR);
        let mut metrics_max_tenants = 1_000;
        bounds.count("metrics.max_tenants", &mut metrics_max_tenants, raw.metrics.max_tenants, 0, 100_000);
        let mut shutdown_deadline = Duration::from_secs(10);
        bounds.span("shutdown.deadline", &mut shutdown_deadline, raw.shutdown.deadline, 100, HOUR);
        let log_filter = raw.log.filter.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log_filter) {
            bounds.problems.push(Problem::key(file, "log.filter", error.to_string()));
        }
        let plugin_trust = Trust::new(&raw.plugins.keys.unwrap_or_default()).unwrap_or_else(|error| {
            bounds.problems.push(Problem::key(file, "plugins.keys", error));
            Trust::default()
        });
        let limits = Limits::default().with(file, &raw.limits).unwrap_or_else(|problems| {
            bounds.problems.extend(problems);
            Limits::default()
        });
        if !bounds.problems.is_empty() {
            return Err(bounds.problems);
        }
        Ok(Self {
            listener,
            operations: raw
                .operations
                .enabled
                .unwrap_or(true)
                .then(|| raw.operations.address.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)))),
            tenants: folder.join(raw.tenants.directory.as_deref().unwrap_or("tenants")),
            plugin_path: raw.plugins.path.unwrap_or_default().iter().map(|entry| folder.join(entry)).collect(),
            plugin_store: raw.plugins.store.map_or_else(default_store, |store| folder.join(store)),
            plugin_trust,
            limits,
            metrics_max_tenants,
            log_filter,
            log_format: match raw.log.format {
                Some(raw::LogFormat::Text) => LogFormat::Text,
                Some(raw::LogFormat::Json) => LogFormat::Json,
                Some(raw::LogFormat::Auto) | None => LogFormat::Auto,
            },
            shutdown_deadline,
        })
    }
}

fn origins(listed: Option<Vec<String>>) -> Origins {
    let listed = listed.unwrap_or_default();
    if listed.iter().any(|origin| origin == "*") { Origins::Any } else { Origins::Listed(listed) }
}

/// The user's cache folder, where others cannot put a library in place of ours.
fn default_store() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("jackfield").join("plugins")
}
