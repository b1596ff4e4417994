//! What the files may contain, as it is written: every key, none checked beyond its type.
//!
//! What each means and what it is when it is missing stands in `config/jackfield.toml` and `config/tenants/demo.toml`.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::units::{Size, Span};

/// `jackfield.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Host {
    pub(super) listener: Listener,
    pub(super) operations: Operations,
    pub(super) tenants: Tenants,
    pub(super) plugins: Plugins,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) log: Log,
    pub(super) shutdown: Shutdown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listener {
    pub(super) address: Option<SocketAddr>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_frame_bytes: Option<usize>,
    pub(super) header_timeout: Option<Span>,
    pub(super) idle_timeout: Option<Span>,
    pub(super) origins: Option<Vec<String>>,
    pub(super) console: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Operations {
    pub(super) address: Option<SocketAddr>,
    pub(super) enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tenants {
    pub(super) directory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Plugins {
    pub(super) path: Option<Vec<String>>,
    pub(super) store: Option<String>,
    pub(super) keys: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) max_tenants: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) filter: Option<String>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Auto,
    Text,
    Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shutdown {
    pub(super) deadline: Option<Span>,
}

/// In `jackfield.toml` for all tenants, in a tenant's file for this one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) sessions: Option<usize>,
    pub(super) connections: Option<usize>,
    pub(super) resume_grace: Option<Span>,
    pub(super) command_deadline: Option<Span>,
    pub(super) conference_deadline: Option<Span>,
    pub(super) connect_deadline: Option<Span>,
    pub(super) commands_in_flight: Option<usize>,
    pub(super) journal_events: Option<usize>,
    pub(super) outbox_messages: Option<usize>,
}

/// A tenant's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) adapter: String,
    #[serde(default)]
    pub(super) isolation: Option<String>,
    #[serde(default)]
    pub(super) worker: Worker,
    pub(super) auth: Auth,
    #[serde(default)]
    pub(super) upgrade: Upgrade,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) settings: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Worker {
    pub(super) memory: Option<Size>,
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
pub(super) struct Upgrade {
    pub(super) canary: Option<f64>,
    pub(super) observe: Option<Span>,
    pub(super) deadline: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) kind: AuthKind,
    #[serde(default)]
    pub(super) tokens: Option<Vec<Token>>,
    #[serde(default)]
    pub(super) jwt: Option<Jwt>,
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
pub(super) struct Jwt {
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
pub(super) struct Token {
    pub(super) name: String,
    pub(super) hash: String,
}
