//! The adapter for NICE CXone (inContact).
//!
//! Owns: everything that is CXone's: tokens, the long poll, contacts and what they mean for an agent's channels and
//! calls. Must never: use anything of Jackfield but `jackfield-plugin-api`; it is built, shipped and loaded as any
//! vendor's. Facts come from CXone's public documents; it was proven on an emulator of them, see the README.
//!
//! ```text
//! agent.rs      the contract's traits
//! settings.rs   what a tenant's file says
//! api.rs        discovery, addresses, versions, what an answer means
//! http.rs, token.rs, circuit.rs   what it stands on
//! sign_in.rs    signing in at CXone's own page
//! line/         one agent's session and long poll
//! model/        what CXone told, and what the host is told of it
//! commands/     which calls and events a command is made of
//! directory.rs  the address book, polled once a tenant
//! ```

#![forbid(unsafe_code)]

mod agent;
mod api;
mod circuit;
mod commands;
mod directory;
mod http;
mod line;
mod model;
mod settings;
mod sign_in;
mod token;

pub use agent::{Cxone, InContact, Seat};

jackfield_plugin_api::export_adapter!(InContact, manifest = "../manifest.json", threads = 2);
