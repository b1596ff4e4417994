//! What a vendor needs to write an adapter for Jackfield.

#[doc(hidden)]
pub mod abi;
mod adapter;
pub mod command;
#[doc(hidden)]
pub mod export;
mod failure;
mod host;
mod json;
mod logs;
pub mod manifest;
mod merge;
mod outbox;
pub mod report;
#[doc(hidden)]
pub mod runtime;
mod seat;
#[doc(hidden)]
pub mod wire;

pub use adapter::{Adapter, Agent, Ending, Login, Platform, Secret, Settings, StartOptions, Tenant};
pub use command::{Command, Outcome};
pub use failure::{Code, Failure};
pub use host::{AgentHost, Link, PlatformHost};
pub use json::Json;
pub use manifest::Manifest;
pub use merge::merge;
pub use report::Report;
/// For adapters that log: what they log appears in the host's log under their tenant's name.
pub use tracing;

/// The version of this contract that a library or a host was built with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
