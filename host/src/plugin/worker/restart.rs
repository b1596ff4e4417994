//! How often a worker may die.
//!
//! Owns: the decision what follows the death of a worker: a restart after a pause, or quarantine. Must never: look at a
//! clock of its own; the caller says what time it is.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use jackfield_plugin_api::Backoff;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartRules {
    /// The pause before the first restart; it doubles with each death that follows soon after another. Each pause is
    /// shortened at random by up to half, so that many tenants of one bad library do not all start at the same moment.
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
    /// The pauses after deaths that followed one another soon, and the last of them.
    backoff: Option<(Backoff, Duration)>,
    in_flight: BTreeSet<String>,
}

impl RestartBudget {
    /// Records a death, and decides what follows it.
    pub fn died(&mut self, rules: &RestartRules, now: Instant, in_flight: BTreeSet<String>) -> RestartDecision {
        while self.deaths.front().is_some_and(|first| now.duration_since(*first) > rules.within) {
            self.deaths.pop_front();
        }
        let culprits = if self.deaths.is_empty() {
            Vec::new()
        } else {
            self.in_flight.intersection(&in_flight).cloned().collect()
        };
        // A worker that dies as soon as it is started again has not lived, however long the pause before it was.
        let last = self.deaths.back().map(|last| now.duration_since(*last));
        let soon = |(_, pause): &(Backoff, Duration)| last.is_some_and(|last| last < rules.steady.max(*pause * 2));
        let mut backoff = match self.backoff.take().filter(soon) {
            Some((backoff, _)) => backoff,
            None => Backoff::new(rules.first_pause, rules.longest_pause).with_jitter(),
        };
        let pause = backoff.next_pause();
        self.backoff = Some((backoff, pause));
        self.deaths.push_back(now);
        self.in_flight = in_flight;
        let restart_after = (self.deaths.len() < rules.crashes).then_some(pause);
        RestartDecision { restart_after, culprits }
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

    /// Asserts that the worker is started again after a pause of half to all of so many milliseconds.
    fn assert_pause(decision: RestartDecision, milliseconds: u64) -> Duration {
        let (pause, whole) =
            (decision.restart_after.expect("it is started again"), Duration::from_millis(milliseconds));
        assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        pause
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let rules = RestartRules { crashes: 100, longest_pause: Duration::from_millis(350), ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        for whole in [50, 100, 200, 350, 350] {
            assert_pause(budget.died(&rules, now, names(&[])), whole);
        }
    }

    #[test]
    fn pauses_begin_anew_once_a_worker_has_lived_for_a_while() {
        let (rules, mut budget, now) = (RestartRules::default(), RestartBudget::default(), Instant::now());
        for (seconds, whole) in [(0, 50), (1, 100), (7, 50)] {
            assert_pause(budget.died(&rules, now + Duration::from_secs(seconds), names(&[])), whole);
        }
    }

    #[test]
    fn a_long_pause_does_not_count_as_a_life() {
        let rules = RestartRules { first_pause: Duration::from_secs(6), crashes: 100, ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        let first = assert_pause(budget.died(&rules, now, names(&[])), 6_000);
        // It died as soon as it was started again.
        assert_pause(budget.died(&rules, now + first + Duration::from_secs(1), names(&[])), 12_000);
    }

    #[test]
    fn too_many_deaths_in_a_short_time_end_in_quarantine_until_it_is_released() {
        let rules = RestartRules { crashes: 3, ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        assert!(budget.died(&rules, now, names(&[])).restart_after.is_some());
        assert!(budget.died(&rules, now, names(&[])).restart_after.is_some());
        assert_eq!(budget.died(&rules, now, names(&[])).restart_after, None);
        budget.release();
        assert!(budget.died(&rules, now, names(&[])).restart_after.is_some());
    }

    #[test]
    fn deaths_of_long_ago_do_not_count() {
        let rules = RestartRules { crashes: 2, within: Duration::from_secs(60), ..RestartRules::default() };
        let (mut budget, now) = (RestartBudget::default(), Instant::now());
        assert!(budget.died(&rules, now, names(&[])).restart_after.is_some());
        let later = now + Duration::from_secs(61);
        assert!(budget.died(&rules, later, names(&[])).restart_after.is_some());
    }

    #[test]
    fn a_command_in_flight_at_two_deaths_in_a_row_is_named() {
        let (rules, mut budget, now) = (RestartRules::default(), RestartBudget::default(), Instant::now());
        assert!(budget.died(&rules, now, names(&["dial", "ready"])).culprits.is_empty());
        assert_eq!(budget.died(&rules, now, names(&["dial", "hold"])).culprits, ["dial"]);
        assert!(budget.died(&rules, now, names(&["ready"])).culprits.is_empty());
    }
}
