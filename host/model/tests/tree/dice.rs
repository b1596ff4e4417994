//! Random choices that come out the same for the same seed.

pub struct Dice(u64);

/// The seeds of a test: few enough for every day. `JACKFIELD_TREE_EFFORT=20` runs twenty times as many.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let effort = std::env::var("JACKFIELD_TREE_EFFORT").ok().and_then(|effort| effort.parse().ok()).unwrap_or(1);
    0..usual * effort
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).unwrap()
    }

    pub fn up_to(&mut self, n: usize) -> usize {
        self.below(n + 1)
    }

    /// In so many cases of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn one_of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// One of them, in so many cases of a hundred.
    pub fn maybe<T: Clone>(&mut self, percent: usize, from: &[T]) -> Option<T> {
        self.chance(percent).then(|| self.one_of(from))
    }
}
