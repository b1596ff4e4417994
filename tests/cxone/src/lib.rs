//! An emulator of NICE CXone's agent API, on real sockets.
//!
//! It behaves as the public documents say, not as the adapter would like: commands are accepted with an empty 202 and
//! what they cause comes later, by the long poll, under session ids that change. [`Emulator`] runs it inside a test;
//! the program `cxone-emulator` runs it alone. It keeps no secrets and checks only what CXone checks: never expose it.

mod admin;
mod agent_api;
mod auth;
pub mod behaviour;
mod callbacks;
mod calls;
pub mod clock;
mod contacts;
mod control;
pub mod data;
mod faults;
mod queue;
mod request;
mod server;
mod tls;
mod versions;
mod world;
pub mod writing;

pub use server::Emulator;
pub use tls::TlsKey;
