//! A bound on how often somebody may be wrong.
//!
//! Owns: how many wrong attempts there have been lately, by whoever makes them, and when the next one may be made. Must
//! never: grow with the number of those who try, or hold anybody up for longer than one pause.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Of so many who were wrong lately something is kept; who was wrong last is known longest.
const MOST: usize = 10_000;

/// So many wrong attempts at once, then one each pause.
#[derive(Debug)]
pub(crate) struct FailedAttempts<K> {
    at_once: u32,
    pause: Duration,
    kept: Mutex<Kept<K>>,
}

/// When all that somebody has done wrong is forgotten: a pause later for each attempt. In two parts, so that what is old is
/// let go of without looking for it: whoever was wrong is in the recent one, which becomes the earlier one when it is full
/// or as old as what is kept longest.
#[derive(Debug)]
struct Kept<K> {
    recent: HashMap<K, Instant>,
    earlier: HashMap<K, Instant>,
    /// When the recent part was begun.
    since: Instant,
}

impl<K: Eq + Hash> Kept<K> {
    fn get(&mut self, who: &K) -> Option<&mut Instant> {
        let Self { recent, earlier, .. } = self;
        recent.get_mut(who).or_else(|| earlier.get_mut(who))
    }

    fn remove(&mut self, who: &K) -> Option<Instant> {
        self.recent.remove(who).or_else(|| self.earlier.remove(who))
    }
}

impl<K: Eq + Hash> FailedAttempts<K> {
    pub(crate) fn new(at_once: u32, pause: Duration) -> Self {
        let kept = Kept { recent: HashMap::new(), earlier: HashMap::new(), since: Instant::now() };
        Self { at_once, pause, kept: Mutex::new(kept) }
    }

    /// How long somebody must wait before his next attempt; `None`: he need not. Never longer than a pause.
    pub(crate) fn must_wait(&self, who: &K) -> Option<Duration> {
        let forgotten = *self.kept.lock().get(who)?;
        let allowed = self.pause * self.at_once.saturating_sub(1);
        let wait = forgotten.saturating_duration_since(Instant::now()).saturating_sub(allowed);
        Some(wait.min(self.pause)).filter(|wait| !wait.is_zero())
    }

    /// Somebody was right: what he did wrong before counts no more.
    pub(crate) fn forget(&self, who: &K) {
        self.kept.lock().remove(who);
    }

    /// Somebody who was said to be wrong was not.
    pub(crate) fn take_back(&self, who: &K) {
        if let Some(forgotten) = self.kept.lock().get(who) {
            *forgotten -= self.pause;
        }
    }

    /// Somebody was wrong.
    pub(crate) fn failed(&self, who: K) {
        let (now, longest) = (Instant::now(), self.pause * self.at_once);
        let mut kept = self.kept.lock();
        let before = kept.remove(&who).map_or(now, |forgotten| forgotten.max(now));
        if kept.recent.len() >= MOST / 2 || now.duration_since(kept.since) >= longest {
            kept.earlier = std::mem::take(&mut kept.recent);
            kept.since = now;
        }
        kept.recent.insert(who, (before + self.pause).min(now + longest));
    }
}

/// The network that an address is counted under: of IPv6, whoever has one address has the 2^64 beside it.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn after_so_many_wrong_attempts_there_is_one_each_pause() {
        let attempts = FailedAttempts::new(3, PAUSE);
        for _ in 0..3 {
            assert_eq!(attempts.must_wait(&"mallory"), None);
            attempts.failed("mallory");
        }
        assert_eq!(attempts.must_wait(&"mallory"), Some(PAUSE));
        assert_eq!(attempts.must_wait(&"alice"), None, "others are not held up");
        for _ in 0..1000 {
            attempts.failed("mallory");
        }
        assert_eq!(attempts.must_wait(&"mallory"), Some(PAUSE), "however often he tries meanwhile");
        tokio::time::sleep(PAUSE).await;
        assert_eq!(attempts.must_wait(&"mallory"), None);
        attempts.failed("mallory");
        assert_eq!(attempts.must_wait(&"mallory"), Some(PAUSE));
        tokio::time::sleep(3 * PAUSE).await;
        for _ in 0..3 {
            assert_eq!(attempts.must_wait(&"mallory"), None, "in the end all is forgotten");
            attempts.failed("mallory");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_wrong_after_all_does_not_count() {
        let attempts = FailedAttempts::new(2, PAUSE);
        let twice = || (0..2).for_each(|_| attempts.failed("alice"));
        twice();
        attempts.take_back(&"alice");
        assert_eq!(attempts.must_wait(&"alice"), None);
        attempts.failed("alice");
        assert_eq!(attempts.must_wait(&"alice"), Some(PAUSE));
        attempts.forget(&"alice");
        attempts.failed("alice");
        assert_eq!(attempts.must_wait(&"alice"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_does_not_grow_with_those_who_try_and_who_tried_last_is_known() {
        let attempts = FailedAttempts::new(1, PAUSE);
        let kept = || {
            let kept = attempts.kept.lock();
            kept.recent.len() + kept.earlier.len()
        };
        for who in 0..3 * MOST {
            attempts.failed(who);
            assert!(kept() <= MOST);
        }
        for who in (0..3 * MOST).rev().take(MOST / 2) {
            assert_eq!(attempts.must_wait(&who), Some(PAUSE), "{who}");
        }
        assert_eq!(attempts.must_wait(&0), None);
        for who in 0..2 {
            tokio::time::sleep(PAUSE).await;
            attempts.failed(who);
        }
        assert_eq!(kept(), 2, "what is over is let go of");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_on_being_wrong_is_not_let_go_of() {
        let attempts = FailedAttempts::new(2, PAUSE);
        for _ in 0..20 {
            attempts.failed("mallory");
            attempts.failed("mallory");
            assert_eq!(attempts.must_wait(&"mallory"), Some(PAUSE));
            tokio::time::sleep(PAUSE / 2).await;
        }
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2::"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
