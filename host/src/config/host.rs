//! `jackfield.toml`, checked.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Problem, TenantLimits, TlsConfig, TracesConfig,
    layers::Layers,
    limits::{Bounds, HOUR, SECOND},
    raw::{self, LogFormat, OperatorRight},
    token::{Token, check_token},
};
use crate::{log_filter::LogDetail, plugin::Trust};

/// The host's own part of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct HostConfig {
    /// Where desktops connect.
    pub listener: ListenerConfig,
    /// Where operators and Prometheus ask; `None`: nowhere.
    pub operations: Option<OperationsConfig>,
    /// The folder of the tenants' files.
    pub tenants: PathBuf,
    /// Folders in which adapters are looked for after the one of the executable.
    pub plugin_path: Vec<PathBuf>,
    /// Where libraries are copied to before they are loaded.
    pub plugin_store: PathBuf,
    /// Whose signatures libraries must carry; none: no signature is asked for.
    pub plugin_trust: Trust,
    /// How many tenants get series of their own.
    pub metrics_max_tenants: usize,
    /// Which log lines are written: directives as in `RUST_LOG`.
    pub log_filter: String,
    /// Of whom more are written.
    pub log_details: Vec<LogDetail>,
    /// How they are written.
    pub log_format: LogFormat,
    /// Where spans go; `None`: there are none.
    pub traces: Option<TracesConfig>,
    /// How it ends.
    pub shutdown: ShutdownConfig,
}

/// How the host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShutdownConfig {
    /// How long, before anything else, sessions go on while none is begun and the host says that it is not ready.
    pub drain: Duration,
    /// After how long a desktop whose session the end has cost should come back.
    pub retry_after: Duration,
    /// How long the end may take from then on.
    pub deadline: Duration,
}

/// Where and how desktops connect.
#[derive(Debug, Clone)]
pub(crate) struct ListenerConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Connections of all tenants together.
    pub max_connections: usize,
    /// How long a request's head, and its body, may take to arrive.
    pub header_timeout: Duration,
    /// How long a connection may be kept between two requests.
    pub idle_timeout: Duration,
    /// Which browsers' pages may connect.
    pub origins: Origins,
    /// Whose word of a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the console is served.
    pub console: bool,
    /// With what it speaks TLS; `None`: it does not.
    pub tls: Option<TlsConfig>,
}

/// Where operators ask, and who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperationsConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Names by which it is reached, beside `localhost` and every address: in lower case, without a port.
    pub hosts: Vec<String>,
    /// Who may do what; none: whoever reaches the listener may do all.
    pub tokens: Vec<OperatorToken>,
    /// With what it speaks TLS; `None`: it does not.
    pub tls: Option<TlsConfig>,
}

impl OperationsConfig {
    /// Whether whoever reaches the listener may do all.
    #[must_use]
    pub(crate) fn lets_anybody_in(&self) -> bool {
        self.tokens.is_empty() && self.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none())
    }
}

/// A token of an operator or of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorToken {
    /// Who has it, and its hash.
    pub token: Token,
    /// What its holder may do.
    pub may: OperatorRight,
}

/// Which values of a browser's `Origin` header are let in; a request without one is not from a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    /// All.
    Any,
    /// These and no others.
    Listed(Vec<String>),
}

impl HostConfig {
    /// Checks what was read. Relative paths start at the file's own folder.
    pub(super) fn check(layers: &Layers, raw: raw::RawHost) -> Result<Self, Vec<Problem>> {
        // Absolute from here on: a worker has another working folder than the host.
        let absolute = std::path::absolute(layers.file()).unwrap_or_else(|_| layers.file().to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("."));
        let mut bounds = Bounds::new(layers);
        let from = raw.listener;
        let tls = from.tls.as_ref().and_then(|raw| tls(&mut bounds, folder, "listener.tls", raw));
        let listener = ListenerConfig {
            address: from.address,
            max_connections: bounds.count("listener.max_connections", from.max_connections, 1..=1_000_000),
            header_timeout: bounds.span("listener.header_timeout", from.header_timeout, 100..=60 * SECOND),
            idle_timeout: bounds.span("listener.idle_timeout", from.idle_timeout, 100..=HOUR),
            origins: origins(from.origins),
            trusted_proxies: networks(&mut bounds, "listener.trusted_proxies", &from.trusted_proxies),
            console: from.console.unwrap_or_else(|| from.address.ip().is_loopback()),
            tls,
        };
        let metrics_max_tenants = bounds.count("metrics.max_tenants", raw.metrics.max_tenants, 0..=100_000);
        let shutdown = ShutdownConfig {
            drain: bounds.span("shutdown.drain", raw.shutdown.drain, 0..=HOUR),
            retry_after: bounds.span("shutdown.retry_after", raw.shutdown.retry_after, 0..=HOUR),
            deadline: bounds.span("shutdown.deadline", raw.shutdown.deadline, 100..=HOUR),
        };
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&raw.log.filter) {
            bounds.wrong("log.filter", error.to_string());
        }
        let details: Result<Vec<_>, String> = raw.log.details.iter().map(|detail| LogDetail::parse(detail)).collect();
        let log_details = details.unwrap_or_else(|error| {
            bounds.wrong("log.details", error);
            Vec::new()
        });
        let plugin_trust = Trust::new(&raw.plugins.keys).unwrap_or_else(|error| {
            bounds.wrong("plugins.keys", error);
            Trust::default()
        });
        // Each tenant's are read from these layers; what is wrong with them is told here, too.
        TenantLimits::check(&mut bounds, raw.limits);
        let operations = operations(&mut bounds, layers.file(), folder, raw.operations);
        let traces = TracesConfig::check(&mut bounds, folder, &raw.traces);
        if !bounds.problems.is_empty() {
            return Err(bounds.problems);
        }
        Ok(Self {
            listener,
            operations,
            tenants: folder.join(raw.tenants.directory),
            plugin_path: raw.plugins.path.iter().map(|entry| folder.join(entry)).collect(),
            plugin_store: raw.plugins.store.map_or_else(default_store, |store| folder.join(store)),
            plugin_trust,
            metrics_max_tenants,
            log_filter: raw.log.filter,
            log_details,
            log_format: raw.log.format,
            traces,
            shutdown,
        })
    }
}

/// Who may ask as an operator. `None`: nobody, or something is wrong.
fn operations(
    bounds: &mut Bounds<'_>,
    file: &Path,
    folder: &Path,
    raw: raw::RawOperations,
) -> Option<OperationsConfig> {
    if !raw.enabled {
        return None;
    }
    let tls = raw.tls.as_ref().and_then(|raw| tls(bounds, folder, "operations.tls", raw));
    let mut tokens = Vec::new();
    for (index, raw::RawOperatorToken { name, hash, may }) in raw.tokens.into_iter().enumerate() {
        match check_token(file, "operations.tokens", index, raw::RawToken { name, hash }) {
            Ok(token) => tokens.push(OperatorToken { token, may }),
            Err(problem) => bounds.problems.push(problem),
        }
    }
    let hosts = raw.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let operations = OperationsConfig { address: raw.address, hosts, tokens, tls };
    if !raw.address.ip().is_loopback() && operations.lets_anybody_in() {
        let message = "beyond loopback operators must show who they are: by operations.tokens, or by certificates, with \
                       client_ca in [operations.tls]";
        bounds.wrong("operations.address", message);
    }
    Some(operations)
}

/// Where the certificates are, if what is there can be used.
fn tls(bounds: &mut Bounds<'_>, folder: &Path, table: &'static str, raw: &raw::RawTls) -> Option<TlsConfig> {
    let named = |bounds: &mut Bounds<'_>, key: &str, path: &Option<String>| {
        if path.is_none() {
            bounds.wrong(&format!("{table}.{key}"), format!("it must be named where there is [{table}]"));
        }
        path.as_ref().map(|path| folder.join(path))
    };
    let certificate = named(bounds, "certificate", &raw.certificate);
    let key = named(bounds, "key", &raw.key);
    let client_ca = raw.client_ca.as_ref().map(|path| folder.join(path));
    let tls = TlsConfig { table, certificate: certificate?, key: key?, client_ca };
    match tls.read().and_then(|files| files.server()) {
        Ok(_) => Some(tls),
        Err((key, wrong)) => {
            bounds.wrong(&key, wrong);
            None
        }
    }
}

/// Addresses, and networks as an address and the bits that count.
fn networks(bounds: &mut Bounds<'_>, key: &str, listed: &[String]) -> Vec<IpNet> {
    let read = |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    let networks: Option<Vec<IpNet>> = listed.iter().map(read).collect();
    networks.unwrap_or_else(|| {
        bounds.wrong(key, "addresses, and networks such as \"10.0.0.0/8\"");
        Vec::new()
    })
}

fn origins(listed: Vec<String>) -> Origins {
    if listed.iter().any(|origin| origin == "*") { Origins::Any } else { Origins::Listed(listed) }
}

/// The user's cache folder, where others cannot put a library in place of ours.
fn default_store() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("jackfield").join("plugins")
}
