//! A telephone switch in memory, as an adapter.
//!
//! Owns: agents, queues, contacts and calls that exist nowhere else: for demonstrations, tests and benchmarks. Must
//! never: use anything of Jackfield but `jackfield-plugin-api`: it is built, shipped and loaded as any vendor's.
//!
//! ```text
//! adapter.rs    the contract's traits
//! exchange.rs   where the switch stands; the clock that drives it, the way of its effects
//! settings.rs   what a tenant can configure
//! switch/       the switch: a pure model, requests and time in, effects out
//! ```

#![forbid(unsafe_code)]

mod adapter;
mod exchange;
pub mod settings;
pub mod switch;

pub use adapter::{Seat, Simulator, Tenancy};

jackfield_plugin_api::export_adapter!(Simulator, manifest = "../manifest.json", threads = 1);
