//! The session protocol, version 1, as types: what desktops and the host say to each other (`protocol.md`).
//!
//! Owns: commands with all that is fixed about them, what their data must look like, requests and responses, events and
//! their data. serde reads and writes all of it. Must never: know a session, a socket or a platform.
//!
//! ```text
//! command.rs  every command: names, object, lane, deadline, preconditions, short form
//! data.rs     what the data of each command must look like
//! members.rs  what the members of data may be
//! message.rs  requests read without changing a byte, and responses
//! list.rs     what lists are asked for with, and answered
//! event.rs    the events and their data
//! close.rs    why a connection is closed
//! schema.rs   all of it as JSON Schemas and as an AsyncAPI description; only with the feature `schema`
//! ```

pub mod close;
pub mod command;
pub mod data;
pub mod event;
pub mod list;
mod members;
pub mod message;
#[cfg(feature = "schema")]
pub mod schema;
pub mod schema_files;
#[cfg(feature = "schema")]
mod schema_members;

/// Bytes of an endpoint, a destination, a reason, a queue, a name. Longer ones are refused in a command, and cut in what
/// an adapter reports.
pub const MAX_TEXT: usize = 256;

/// Channels that `activateall` may have options for.
pub const MAX_CHANNEL_OPTIONS: usize = 128;

/// How deep a message may be nested, itself included.
pub const MAX_DEPTH: usize = 64;
