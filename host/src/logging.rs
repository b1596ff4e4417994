//! The log: for people on a terminal, one JSON object a line otherwise, always on the standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts the log. The filter has been checked with the configuration.
///
/// # Errors
/// There is a log already.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log.filter: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    let people = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    let started = if people { builder.try_init() } else { builder.json().flatten_event(true).try_init() };
    started.map_err(|error| format!("the log cannot be started: {error}"))
}
