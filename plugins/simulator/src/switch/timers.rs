//! What will happen by itself, and when.
//!
//! Owns: the timers of the switch, in the order in which they are due. Must never: look at a clock: whoever drives the
//! switch says what time it is. Timers are set by the other files of this folder, and fired by
//! [`Switch::tick`](super::Switch::tick).

use std::collections::BTreeMap;

use jackfield_plugin_api::report::{Cause, ChannelType};

use super::model::{ChannelNo, InteractionNo, PartyNo, TimerKey};

/// What will happen.
#[derive(Debug, Clone)]
pub(super) enum Timer {
    /// A called party answers.
    Answers(PartyNo),
    /// A called party does not answer.
    Fails(PartyNo, Cause),
    /// A chat or an e-mail was not taken in time.
    OfferEnds(InteractionNo),
    /// After-call work has lasted long enough.
    Completes(InteractionNo),
    /// A contact may be offered again to a channel that refused it.
    Reoffer(String, ChannelNo),
    /// A customer who waits in a queue gives up.
    GivesUp(usize, ChannelType, String),
    /// The link is lost, and comes back after so many milliseconds.
    LinkLost(u64),
    /// The link is back.
    LinkBack,
}

/// All timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    set: BTreeMap<TimerKey, Timer>,
    count: u64,
}

impl Timers {
    /// Sets one.
    pub(super) fn set(&mut self, due: u64, timer: Timer) -> TimerKey {
        self.count += 1;
        let key = (due, self.count);
        self.set.insert(key, timer);
        key
    }

    /// It shall not happen.
    pub(super) fn cancel(&mut self, key: Option<TimerKey>) {
        if let Some(key) = key {
            self.set.remove(&key);
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.set.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes one that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Timer> {
        let first = self.set.first_entry()?;
        if first.key().0 > now { None } else { Some(first.remove()) }
    }

    /// How many are set.
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }
}
