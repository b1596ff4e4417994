//! Jackfield: a multi-tenant host for telephony adapters.
//!
//! The folders are in the order in which data flows: `server` (sockets, HTTP, WebSocket) → `tenant` (who is served,
//! with what settings and limits) → `session` (the protocol) → `plugin` (the adapters).

// Allowed in plugin/load.rs, which opens plugins' files, and for one line of plugin/worker/process.rs.
#![deny(unsafe_code)]

mod app;
mod audit;
pub mod cli;
mod config;
mod descriptors;
mod failed_attempts;
mod https;
mod log_filter;
mod log_limit;
mod logging;
pub mod metrics;
mod operator_tokens;
pub mod plugin;
mod rate;
mod reload;
mod server;
mod session;
mod tenant;
mod traces;

pub use server::websocket;
