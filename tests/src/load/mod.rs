//! The load generator: a working day of many agents, against the host and against a bare server in the same run.
//!
//! The bare server is the least that a WebSocket server on the same library can be: it answers each command with the
//! very frames that the host gave when the script was recorded, and does nothing else. What the host costs beyond that
//! is what the ratios show.
//!
//! ```text
//! script.rs   the working day, and its recording against a real host
//! client.rs   sessions that play the script and measure
//! desktop.rs  a desktop with a call that checks all that it is told
//! bare.rs     the bare server
//! lines.rs    times that the host's log tells
//! process.rs  processor time and memory of a process
//! scrapes.rs  what a scrape of the metrics costs
//! ```

pub mod bare;
pub mod client;
pub mod desktop;
pub mod lines;
pub mod process;
pub mod scrapes;
pub mod script;
