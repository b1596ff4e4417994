//! Chance, where nothing secret hangs on it: jitter, shares.

/// A number from 0 to 1. Without a source of randomness it is always 0.
pub(crate) fn random() -> f64 {
    let mut random = [0; 4];
    let _ = getrandom::fill(&mut random);
    f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX)
}
