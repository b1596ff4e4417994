//! Jackfield: a multi-tenant host for telephony adapters.
//!
//! The folders are in the order in which data flows: `server` (sockets, HTTP, WebSocket) → `tenant` (who is served,
//! with what settings and limits) → `session` (the protocol) → `plugin` (the adapters).

// Allowed in plugin/load.rs, which opens plugins' files, and for one line of plugin/worker/process.rs.
#![deny(unsafe_code)]

pub mod app;
mod audit;
pub mod cli;
pub mod config;
mod descriptors;
mod failed_attempts;
mod https;
mod log_filter;
mod log_limit;
pub mod logging;
pub mod metrics;
mod operator_tokens;
pub mod plugin;
mod rate;
pub mod reload;
pub mod server;
pub mod session;
pub mod tenant;
pub mod traces;
