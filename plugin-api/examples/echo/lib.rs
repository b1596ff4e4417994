//! The adapter of the documentation as a library that a host can load: `cargo build --example echo`.

include!("adapter.rs");
