//! A bound on how fast something may go: a token bucket.
//!
//! Owns: how many tokens there are at a moment. Must never: read a clock or wait; whoever asks says what time it is, and
//! what is to be done where there are none.

use std::time::Duration;

use tokio::time::Instant;

/// So many tokens come each second, and so many are kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Tokens that come each second; 0: there is no bound.
    pub per_second: u32,
    /// The most that are kept: what may be taken at once.
    pub burst: u32,
}

impl Rate {
    /// No bound.
    #[cfg(test)]
    pub(crate) const UNBOUNDED: Self = Self { per_second: 0, burst: 0 };

    /// Whether there is a bound at all.
    #[must_use]
    pub(crate) const fn is_bounded(self) -> bool {
        self.per_second > 0
    }
}

/// The tokens of one that is bounded. It may owe some: what costs more than there is left is taken all the same, and the
/// next waits the longer.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    left: f64,
    since: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst.into(), since: now }
    }

    /// Takes this many, if at least one is left. `credit`: how many may be owed before that.
    pub(crate) fn take(&mut self, rate: Rate, cost: u32, credit: u32, now: Instant) -> bool {
        self.refill(rate, now);
        let may = self.left + f64::from(credit) >= 1.0;
        if may {
            self.left -= f64::from(cost);
        }
        may
    }

    /// Takes this many, whatever is left, but owes at most `debt` of them; for how long the next must wait until nothing is
    /// owed any more.
    pub(crate) fn spend(&mut self, rate: Rate, cost: u32, debt: u32, now: Instant) -> Option<Duration> {
        self.refill(rate, now);
        self.left = (self.left - f64::from(cost)).max(-f64::from(debt));
        (self.left < 0.0 && rate.is_bounded()).then(|| Duration::from_secs_f64(-self.left / f64::from(rate.per_second)))
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let more = now.saturating_duration_since(self.since).as_secs_f64() * f64::from(rate.per_second);
        self.left = (self.left + more).min(rate.burst.into());
        self.since = self.since.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_so_many_a_second() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::full(RATE, begin);
        let mut taken = |at: u64| bucket.take(RATE, 1, 0, begin + Duration::from_millis(at));
        assert_eq!((0..7).filter(|_| taken(0)).count(), 5);
        assert!(!taken(99) && taken(101) && !taken(102));
        assert_eq!((0..7).filter(|_| taken(60_000)).count(), 5, "no more is kept than the burst");
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_more_than_is_left_passes_and_the_next_waits_the_longer() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::full(RATE, begin);
        assert!(bucket.take(RATE, 25, 0, begin));
        assert!(!bucket.take(RATE, 1, 0, begin + Duration::from_secs(2)));
        assert!(bucket.take(RATE, 1, 1, begin + Duration::from_secs(2)), "on credit");
        assert!(bucket.take(RATE, 1, 0, begin + Duration::from_millis(2_300)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_spends_more_than_there_is_is_told_how_long_to_wait_and_never_for_too_long() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::full(RATE, begin);
        assert_eq!(bucket.spend(RATE, 5, 100, begin), None);
        assert_eq!(bucket.spend(RATE, 20, 100, begin), Some(Duration::from_secs(2)));
        assert_eq!(bucket.spend(RATE, 10_000, 100, begin), Some(Duration::from_secs(10)));
        assert_eq!(bucket.spend(RATE, 0, 100, begin + Duration::from_secs(10)), None);
    }
}
