//! The call data of one interaction, and how much of a patch it takes.
//!
//! Owns: the entries in the order in which they came, their weight, and what is left out where a report brings too much:
//! of the entries that are not the platform's own the largest first, because the small ones identify a contact. Must
//! never: take a step for each pair of entries.

use jackfield_plugin_api::Json;

use crate::{keys::KeyIndex, limits};

/// The entries of one interaction.
#[derive(Debug, Default)]
pub struct CallData {
    entries: Vec<(Box<str>, Json)>,
    weight: Weight,
}

/// Bytes of entries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Weight {
    /// Of the platform's own.
    own: usize,
    others: usize,
}

impl Weight {
    fn part(&mut self, own: bool) -> &mut usize {
        if own { &mut self.own } else { &mut self.others }
    }
}

/// An entry that a patch sets; `None`: that it removes.
pub(crate) type Patch<'r> = Vec<(&'r str, Option<&'r Json>)>;

/// An entry that differs from what a report states of it: its key, the value to be set (`None`: it is to be removed), and
/// where it stands (`None`: it is new).
type Change<'r> = (&'r str, Option<&'r Json>, Option<usize>);

/// What an entry weighs.
fn weight(key: &str, value: &Json) -> usize {
    key.len() + value.get().len() + limits::ENTRY
}

impl CallData {
    /// The entries, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// How many bytes they are, without the platform's own.
    pub(crate) fn weight(&self) -> usize {
        self.weight.others
    }

    /// How many bytes they would be, if this entry were set.
    pub(crate) fn weight_with(&self, key: &str, value: &Json) -> usize {
        let before = self.entries.iter().find(|(known, _)| **known == *key);
        self.weight.others + weight(key, value) - before.map_or(0, |(key, value)| weight(key, value))
    }

    /// Sets what a report says, as far as there is room. Returns what has changed, and how many entries were left out.
    /// `is_own`: whether a key is the platform's own. `room`: what the session has left for the others; it is used up.
    pub(crate) fn set<'r>(
        &mut self,
        stated: impl Iterator<Item = (&'r str, Option<&'r Json>)>,
        is_own: impl Fn(&str) -> bool,
        room: &mut usize,
    ) -> (Patch<'r>, usize) {
        let places: KeyIndex<&str> = self.entries.iter().map(|(key, _)| &**key).collect();
        let mut changes: Vec<Change<'r>> = stated
            .map(|(key, value)| (key, value, places.find(key)))
            .filter(|(_, value, at)| at.map(|at| &self.entries[at].1) != *value)
            .collect();
        drop(places);
        let stated = changes.len();
        let mut after = self.weight;
        for (key, value, at) in &changes {
            let part = after.part(is_own(key));
            *part += value.map_or(0, |value| weight(key, value));
            *part -= at.map_or(0, |at| weight(key, &self.entries[at].1));
        }
        let most = limits::DATA.report.min(self.weight.others.saturating_add(*room));
        let most = Weight { own: limits::OWN_DATA, others: most };
        if after.own > most.own || after.others > most.others {
            self.leave_out_largest(&mut changes, &mut after, most, is_own);
        }
        *room = room.saturating_sub(after.others.saturating_sub(self.weight.others));
        self.weight = after;
        self.make(&changes);
        let left_out = stated - changes.len();
        (changes.into_iter().map(|(key, value, _)| (key, value)).collect(), left_out)
    }

    /// Takes changes out, those that need most room first, until the rest fits. `after`: what all entries weigh then;
    /// `most`: what they may weigh.
    fn leave_out_largest(
        &self,
        changes: &mut Vec<Change<'_>>,
        after: &mut Weight,
        mut most: Weight,
        is_own: impl Fn(&str) -> bool,
    ) {
        let growth = |(key, value, at): &Change<'_>| {
            let before = at.map_or(0, |at| weight(key, &self.entries[at].1));
            value.map_or(0, |value| weight(key, value)).saturating_sub(before)
        };
        let mut largest: Vec<usize> = (0..changes.len()).collect();
        largest.sort_by_key(|&n| std::cmp::Reverse(growth(&changes[n])));
        let mut is_left_out = vec![false; changes.len()];
        for n in largest {
            let (own, grows) = (is_own(changes[n].0), growth(&changes[n]));
            if *after.part(own) > *most.part(own) && grows > 0 {
                *after.part(own) -= grows;
                is_left_out[n] = true;
            }
        }
        let mut is_left_out = is_left_out.into_iter();
        changes.retain(|_| !is_left_out.next().unwrap_or_default());
    }

    /// Makes changes that fit.
    fn make(&mut self, changes: &[Change<'_>]) {
        let mut gone = Vec::new();
        for &(key, value, at) in changes {
            match (at, value) {
                (Some(at), Some(value)) => self.entries[at].1 = value.clone(),
                // Removed below, so that the places hold until then.
                (Some(at), None) => gone.push(at),
                (None, Some(value)) => crate::push(&mut self.entries, (key.into(), value.clone())),
                (None, None) => {}
            }
        }
        if !gone.is_empty() {
            gone.sort_unstable();
            let mut places = 0..self.entries.len();
            self.entries.retain(|_| places.next().is_none_or(|at| gone.binary_search(&at).is_err()));
        }
    }
}
