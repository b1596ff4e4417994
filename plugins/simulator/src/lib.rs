//! A telephone switch in memory, as an adapter.
//!
//! Owns: agents, queues, contacts and calls that exist nowhere else: for demonstrations, tests and benchmarks. Must
//! never: use anything of Jackfield but `jackfield-plugin-api`: it is built, shipped and loaded as any vendor's.
//!
//! ```text
//! adapter.rs    the contract's traits
//! exchange/     the way from a session to the switch, here or in another process
//! drive.rs      a switch at work: one lock, one clock
//! house.rs      switches in a process of their own; frames.rs: how they are spoken with
//! settings.rs   what a tenant can configure
//! switch/       the switch: a pure model, requests and time in, effects out
//! ```

#![forbid(unsafe_code)]

mod adapter;
mod drive;
mod exchange;
mod frames;
pub mod house;
pub mod settings;
pub mod switch;

pub use adapter::{Seat, Simulator, Tenancy};

jackfield_plugin_api::export_adapter!(Simulator, manifest = "../manifest.json", threads = 1);
