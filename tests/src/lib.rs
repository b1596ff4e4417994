//! The harness of the end-to-end tests: the real `jackfield` binary, real plugin files, real sockets.
//!
//! A test starts a [`host::Host`] with its tenants, lets agents log in ([`agent::Agent`] over a WebSocket,
//! [`http::Http`] without), sends commands and says which events must come. Nothing here sleeps: everything waits for a
//! condition, and gives up after one generous time for all ([`patience`]), saying what it waited for.
//!
//! Platforms are the `simulator` adapter, which behaves like a small switch, and the `puppet` adapter
//! ([`puppet::Puppet`]), which does exactly what the test says.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a harness is made of expectations
#![allow(missing_docs)] // its names are read in the tests

use std::{future::Future, io::Write as _, time::Duration};

pub mod agent;
pub mod artifacts;
pub mod asterisk;
pub mod client_model;
pub mod day;
pub mod host;
pub mod http;
pub mod load;
pub mod puppet;
pub mod schema;
pub mod words;

/// How long anything may take before a test fails: long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
///
/// # Panics
/// When it does not, naming it.
pub async fn patience<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Says that the test that calls this cannot run here, and why; `.ci/run` counts these lines. Not by `eprintln!`: what a
/// test prints by that is shown only if it fails.
pub fn skipped(why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}

/// Asks again and again until the answer is good; for what no event tells, such as a file or a metric.
///
/// # Panics
/// When it never is.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            // Between two questions only: the loop ends with the condition, not with the time.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    patience(what, wait).await
}
