//! A bound on log lines whose number strangers decide.
//!
//! Owns: how many such lines are written a minute. Must never: lose count of those that are not; the next line that is
//! written says how many were left out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// Lets a number of lines a minute pass.
#[derive(Debug)]
pub(crate) struct LogLimit {
    lines: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl LogLimit {
    /// So many lines a minute.
    pub(crate) fn per_minute(lines: u32) -> Self {
        Self { lines, state: Mutex::default() }
    }

    /// Whether a line may be written: then with how many were left out before it.
    pub(crate) fn pass(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            state.since = Some(now);
            state.written = 0;
        }
        if state.written >= self.lines {
            state.left_out += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_left_out_in_a_minute_is_told_in_the_next() {
        let limit = LogLimit::per_minute(2);
        let passed: Vec<_> = (0..5).map(|_| limit.pass()).collect();
        assert_eq!(passed, [Some(0), Some(0), None, None, None]);
        tokio::time::sleep(WINDOW).await;
        assert_eq!([limit.pass(), limit.pass(), limit.pass()], [Some(3), Some(0), None]);
    }
}
