//! Growing pauses with jitter, so that many agents do not come back in the same moment.

use std::time::Duration;

/// The next pause.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    failed: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(15);

    /// How many times it has failed in a row.
    pub(crate) const fn failed(&self) -> u32 {
        self.failed
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }

    /// It failed: how long to wait now. Between half and the whole of a pause that doubles.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = (Self::FIRST * 2_u32.pow(self.failed.min(10))).min(Self::LONGEST);
        self.failed = self.failed.saturating_add(1);
        let mut random = [0_u8; 2];
        // Without random numbers the pause is just not spread.
        let _ = getrandom::fill(&mut random);
        whole / 2 + whole.mul_f64(f64::from(u16::from_le_bytes(random)) / 131_072.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::default();
        for whole in [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000] {
            let pause = backoff.next();
            let whole = Duration::from_millis(whole);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(200));
    }
}
