//! What the files may contain, as it is written: every key, none checked beyond its type.
//!
//! What each means stands in `config/jackfield.toml` and `config/tenants/demo.toml`. `jackfield.toml` is read on top of the
//! shipped one (see `layers.rs`), which has a value for every key that always has one.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::units::{Size, Span};

/// `jackfield.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHost {
    pub(super) listener: RawListener,
    pub(super) operations: RawOperations,
    pub(super) tenants: RawTenants,
    pub(super) plugins: RawPlugins,
    pub(super) limits: RawLimits,
    pub(super) metrics: RawMetrics,
    pub(super) log: RawLog,
    pub(super) traces: RawTraces,
    pub(super) shutdown: RawShutdown,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    pub(super) address: SocketAddr,
    pub(super) max_connections: usize,
    pub(super) header_timeout: Span,
    pub(super) idle_timeout: Span,
    pub(super) origins: Vec<String>,
    pub(super) trusted_proxies: Vec<String>,
    #[serde(default)]
    pub(super) console: Option<bool>,
    #[serde(default)]
    pub(super) tls: Option<RawTls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOperations {
    pub(super) address: SocketAddr,
    pub(super) enabled: bool,
    pub(super) hosts: Vec<String>,
    pub(super) tokens: Vec<RawOperatorToken>,
    #[serde(default)]
    pub(super) tls: Option<RawTls>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOperatorToken {
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) may: OperatorRight,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OperatorRight {
    /// Look: metrics and lists.
    Read,
    /// Look, and change what runs.
    Act,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenants {
    pub(super) directory: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlugins {
    pub(super) path: Vec<String>,
    #[serde(default)]
    pub(super) store: Option<String>,
    pub(super) keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    pub(super) max_tenants: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) filter: String,
    pub(super) details: Vec<String>,
    pub(super) format: LogFormat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTraces {
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    pub(super) ratio: f64,
    pub(super) commands_per_second: usize,
    #[serde(default)]
    pub(super) headers_file: Option<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShutdown {
    pub(super) drain: Span,
    pub(super) retry_after: Span,
    pub(super) deadline: Span,
}

/// In `jackfield.toml` for all tenants; a tenant's file is read on top of that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) sessions: usize,
    pub(super) connections: usize,
    pub(super) logins_per_second: usize,
    pub(super) commands_per_second: usize,
    pub(super) commands_burst: usize,
    pub(super) connection_commands_per_second: usize,
    pub(super) resume_grace: Span,
    pub(super) token_grace: Span,
    pub(super) prepared_grace: Span,
    pub(super) start_within: Span,
    pub(super) command_deadline: Span,
    pub(super) conference_deadline: Span,
    pub(super) connect_deadline: Span,
    pub(super) commands_in_flight: usize,
    pub(super) journal_events: usize,
    pub(super) outbox_messages: usize,
    pub(super) queued_bytes: Size,
    pub(super) message_bytes: usize,
}

/// A tenant's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    pub(super) adapter: String,
    #[serde(default)]
    pub(super) suspended: bool,
    /// A text and no choice, so that a wrong one does not hide what else is wrong.
    #[serde(default)]
    pub(super) isolation: Option<String>,
    #[serde(default)]
    pub(super) worker: RawWorker,
    pub(super) auth: RawAuth,
    #[serde(default)]
    pub(super) upgrade: RawUpgrade,
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) settings: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWorker {
    pub(super) memory: Option<Size>,
    pub(super) tasks: Option<usize>,
    pub(super) files: Option<u64>,
    pub(super) nice: Option<i32>,
    pub(super) read: Vec<std::path::PathBuf>,
    pub(super) write: Vec<std::path::PathBuf>,
    pub(super) patience: Option<Span>,
    pub(super) crashes: Option<usize>,
    pub(super) within: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawUpgrade {
    pub(super) canary: Option<f64>,
    pub(super) observe: Option<Span>,
    pub(super) deadline: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) kind: AuthKind,
    #[serde(default)]
    pub(super) tokens: Option<Vec<RawToken>>,
    #[serde(default)]
    pub(super) jwt: Option<RawJwt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthKind {
    None,
    Token,
    Jwt,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJwt {
    pub(super) issuer: String,
    pub(super) audience: String,
    #[serde(default)]
    pub(super) keys_file: Option<std::path::PathBuf>,
    #[serde(default)]
    pub(super) keys_url: Option<String>,
    #[serde(default)]
    pub(super) tenant_claim: Option<String>,
    #[serde(default)]
    pub(super) agent_claim: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    pub(super) name: String,
    pub(super) hash: String,
}
