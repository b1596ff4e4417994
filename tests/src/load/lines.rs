//! When things happened in the host, by its log.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// One line of the host's log.
#[derive(Debug)]
pub struct Line {
    /// The time of day.
    pub at: Duration,
    pub message: String,
    pub fields: Value,
}

/// The lines of a log that is written as JSON.
pub fn parse(log: &str) -> Vec<Line> {
    let line = |text: &str| {
        let fields: Value = serde_json::from_str(text).ok()?;
        let at = time_of_day(fields["timestamp"].as_str()?)?;
        Some(Line { at, message: fields["message"].as_str()?.to_owned(), fields })
    };
    log.lines().filter_map(line).collect()
}

/// The time of day now, as the log counts it.
pub fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    Duration::from_micros((since.as_micros() % (86_400 * 1_000_000)) as u64)
}

/// How long after one time of day another is, midnight or not.
pub fn between(earlier: Duration, later: Duration) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    later.checked_sub(earlier).unwrap_or_else(|| later + DAY - earlier)
}

/// `2026-01-31T12:00:00.123456Z`
fn time_of_day(timestamp: &str) -> Option<Duration> {
    let (_, time) = timestamp.trim_end_matches('Z').split_once('T')?;
    let mut parts = time.split(':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(hours * 3_600 + minutes * 60) + Duration::from_secs_f64(seconds))
}
