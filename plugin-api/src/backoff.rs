//! Growing pauses between attempts.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The pauses between attempts that fail: each twice as long as the one before, up to a longest one.
///
/// ```
/// use std::time::Duration;
/// use jackfield_plugin_api::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
/// let pauses: Vec<u128> = (0..4).map(|_| backoff.next_pause().as_millis()).collect();
/// assert_eq!(pauses, [200, 400, 800, 1000]);
/// backoff.reset();
/// assert_eq!(backoff.next_pause(), Duration::from_millis(200));
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    jitter: bool,
    failures: u32,
}

impl Backoff {
    /// Pauses that begin with `first` and do not exceed `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, jitter: false, failures: 0 }
    }

    /// Makes each pause a random one between half and the whole of its length, so that many who failed together do not
    /// come back together.
    #[must_use]
    pub const fn with_jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// How many pauses were taken since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt has succeeded: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// An attempt has failed: how long to wait before the next one.
    pub fn next_pause(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(30));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(self.longest);
        if self.jitter { pause / 2 + (pause / 2).mul_f64(random_fraction()) } else { pause }
    }
}

/// A number from 0 to 1. Nothing secret depends on it, so the seed of a hash map is random enough.
fn random_fraction() -> f64 {
    f64::from(u16::try_from(RandomState::new().hash_one(()) & 0xffff).unwrap_or(0)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_with_jitter_lies_between_its_half_and_its_whole() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15)).with_jitter();
        let mut pauses = Vec::new();
        for whole in [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000].map(Duration::from_millis) {
            let pause = backoff.next_pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            pauses.push(pause.as_secs_f64() / whole.as_secs_f64());
        }
        pauses.dedup();
        assert!(pauses.len() > 1, "the pauses are spread");
    }

    #[test]
    fn pauses_stay_the_longest_however_often_an_attempt_fails() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(u64::MAX));
        (0..100).for_each(|_| _ = backoff.next_pause());
        backoff.longest = Duration::from_secs(60);
        assert_eq!((backoff.next_pause(), backoff.failures()), (Duration::from_secs(60), 101));
    }
}
