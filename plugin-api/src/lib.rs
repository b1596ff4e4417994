//! What a vendor needs to write an adapter for Jackfield.

mod adapter;
pub mod command;
mod failure;
mod host;
mod json;
pub mod manifest;
pub mod report;

pub use adapter::{Adapter, Agent, Ending, Login, Platform, Secret, Settings, StartOptions, Tenant};
pub use command::{Command, Outcome};
pub use failure::{Code, Failure};
pub use host::{AgentHost, Link, PlatformHost};
pub use json::Json;
pub use manifest::Manifest;
pub use report::Report;

/// The version of this contract that a library or a host was built with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
