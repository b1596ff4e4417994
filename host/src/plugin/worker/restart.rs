//! How often a worker may die.
//!
//! Owns: the decision what follows the death of a worker: a restart after a pause, or quarantine. Must never: look at a
//! clock of its own; the caller says what time it is.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartRules {
    /// The pause before the first restart; it doubles with each death that follows soon after another.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// After so long without a death the pauses begin anew.
    pub steady: Duration,
    /// So many deaths …
    pub crashes: usize,
    /// … within this time, and the adapter is quarantined. A death older than this is forgotten.
    pub within: Duration,
}

impl Default for RestartRules {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(30),
            steady: Duration::from_secs(5),
            crashes: 8,
            within: Duration::from_secs(300),
        }
    }
}

/// What follows a death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartDecision {
    /// How long to wait before the next start; `None`: quarantine, no start until someone releases it.
    pub restart_after: Option<Duration>,
    /// Commands that were in flight at this death and at the one before: the likely culprits.
    pub culprits: Vec<String>,
}

/// The deaths of one tenant's workers.
#[derive(Debug, Default)]
pub struct RestartBudget {
    deaths: VecDeque<Instant>,
    /// Deaths that followed one another soon.
    in_a_row: u32,
    in_flight: BTreeSet<String>,
}

impl RestartBudget {
    /// Notes a death and decides. `jitter` is a random number from 0 to 1: many tenants of one bad library must not all
    /// start at the same moment.
    pub fn died(
        &mut self,
        rules: &RestartRules,
        now: Instant,
        in_flight: BTreeSet<String>,
        jitter: f64,
    ) -> RestartDecision {
        while self.deaths.front().is_some_and(|first| now.duration_since(*first) > rules.within) {
            self.deaths.pop_front();
        }
        let culprits = if self.deaths.is_empty() {
            Vec::new()
        } else {
            self.in_flight.intersection(&in_flight).cloned().collect()
        };
        let soon =
            self.deaths.back().is_some_and(|last| now.duration_since(*last) < rules.steady.max(self.pause(rules) * 2));
        self.in_a_row = if soon { self.in_a_row + 1 } else { 0 };
        self.deaths.push_back(now);
        self.in_flight = in_flight;
        let pause = self.pause(rules);
        let restart_after =
            (self.deaths.len() < rules.crashes).then(|| pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0));
        RestartDecision { restart_after, culprits }
    }

    /// The pause after the last death.
    fn pause(&self, rules: &RestartRules) -> Duration {
        rules.first_pause.saturating_mul(1 << self.in_a_row.min(16)).min(rules.longest_pause)
    }

    /// Forgets everything: an operator or a new version releases the adapter.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let rules = RestartRules { crashes: 100, longest_pause: Duration::from_millis(350), ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        let pauses: Vec<_> = (0..5)
            .filter_map(|_| budget.died(&rules, now, names(&[]), 1.0).restart_after)
            .map(|it| it.as_millis())
            .collect();
        assert_eq!(pauses, [50, 100, 200, 350, 350]);
    }

    #[test]
    fn pauses_begin_anew_once_a_worker_has_lived_for_a_while() {
        let (rules, mut budget, now) = (RestartRules::default(), RestartBudget::default(), Instant::now());
        let mut pause = |after| budget.died(&rules, now + Duration::from_secs(after), names(&[]), 1.0).restart_after;
        assert_eq!(pause(0), Some(Duration::from_millis(50)));
        assert_eq!(pause(1), Some(Duration::from_millis(100)));
        assert_eq!(pause(7), Some(Duration::from_millis(50)));
    }

    #[test]
    fn a_long_pause_does_not_count_as_a_life() {
        let rules = RestartRules { first_pause: Duration::from_secs(6), crashes: 100, ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        let mut pause = |after| budget.died(&rules, now + Duration::from_secs(after), names(&[]), 1.0).restart_after;
        assert_eq!(pause(0), Some(Duration::from_secs(6)));
        assert_eq!(pause(7), Some(Duration::from_secs(12)), "it died as soon as it was started again");
    }

    #[test]
    fn too_many_deaths_in_a_short_time_end_in_quarantine_until_it_is_released() {
        let rules = RestartRules { crashes: 3, ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        assert!(budget.died(&rules, now, names(&[]), 0.0).restart_after.is_some());
        assert!(budget.died(&rules, now, names(&[]), 0.0).restart_after.is_some());
        assert_eq!(budget.died(&rules, now, names(&[]), 0.0).restart_after, None);
        budget.release();
        assert!(budget.died(&rules, now, names(&[]), 0.0).restart_after.is_some());
    }

    #[test]
    fn deaths_of_long_ago_do_not_count() {
        let rules = RestartRules { crashes: 2, within: Duration::from_secs(60), ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        assert!(budget.died(&rules, now, names(&[]), 0.0).restart_after.is_some());
        let later = now + Duration::from_secs(61);
        assert!(budget.died(&rules, later, names(&[]), 0.0).restart_after.is_some());
    }

    #[test]
    fn a_command_in_flight_at_two_deaths_in_a_row_is_named() {
        let (rules, mut budget, now) = (RestartRules::default(), RestartBudget::default(), Instant::now());
        assert!(budget.died(&rules, now, names(&["dial", "ready"]), 0.0).culprits.is_empty());
        assert_eq!(budget.died(&rules, now, names(&["dial", "hold"]), 0.0).culprits, ["dial"]);
        assert!(budget.died(&rules, now, names(&["ready"]), 0.0).culprits.is_empty());
    }
}
