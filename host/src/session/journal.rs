//! The numbered events of one session that a returning client may still need.
//!
//! Owns: the numbers, the buffer and its bounds, and whether a client can go on from where it was. Must never: hand out a
//! number twice or forget that it has forgotten something. Events come in without a number and are written here, all of a
//! report into one piece, which goes out to the session's connection and, later, to whoever binds it.

use std::collections::VecDeque;

use super::{
    outbox::Batch,
    text::{Lengths, Text},
    tree::Events,
};

/// How much a session keeps for a client that returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Events.
    pub events: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { events: 1000, bytes: 256 * 1024 }
    }
}

/// The events of one session, the newest ones kept: the last ones, without a gap.
///
/// They stand in one ring, so that an event costs a copy of its text and neither an allocation when it comes nor one
/// that has long left the processor's caches when it goes.
#[derive(Debug)]
pub(super) struct Journal {
    limits: JournalLimits,
    /// The last number that was given.
    last: u64,
    /// The texts of the kept events, one behind the other.
    text: VecDeque<u8>,
    /// How long each of them is.
    lengths: VecDeque<u32>,
}

impl Journal {
    pub(super) fn new(limits: JournalLimits) -> Self {
        Self { limits, last: 0, text: VecDeque::new(), lengths: VecDeque::new() }
    }

    /// The last number that was given; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Gives events the next numbers, writes them and keeps them.
    pub(super) fn append(&mut self, events: &Events) -> Batch {
        let (first, text, lengths) = self.write(events);
        self.keep(&text, &lengths);
        Batch::of_events(first, text, lengths)
    }

    /// Gives the events of a snapshot the next numbers and writes them. They are not kept: a client that has seen only a
    /// part of a snapshot needs a new one.
    pub(super) fn append_to_snapshot(&mut self, events: &Events) -> Batch {
        (self.text, self.lengths) = (VecDeque::new(), VecDeque::new());
        let (first, text, lengths) = self.write(events);
        Batch::of_events(first, text, lengths)
    }

    /// The events after a number up to another, oldest first; `None` where they are not all there any more.
    pub(super) fn between(&self, after: u64, end: u64) -> Option<Batch> {
        let first_kept = self.last - self.lengths.len() as u64 + 1;
        if after > self.last || after + 1 < first_kept {
            return None;
        }
        let (skip, count) = ((after + 1 - first_kept) as usize, end.saturating_sub(after) as usize);
        let start: usize = self.lengths.range(..skip).map(|&length| length as usize).sum();
        let lengths: Lengths = self.lengths.range(skip..).take(count).copied().collect();
        let size: usize = lengths.iter().map(|&length| length as usize).sum();
        let text: Vec<u8> = self.text.range(start..start + size).copied().collect();
        Some(Batch::of_events(after + 1, text.into(), lengths))
    }

    /// The first number, the texts one behind the other, and how long each is.
    fn write(&mut self, events: &Events) -> (u64, Text, Lengths) {
        let first = self.last + 1;
        let (text, lengths) = events.number(first);
        self.last += lengths.len() as u64;
        (first, text, lengths)
    }

    /// Keeps events: of these and of those that are kept already the newest, as many as may be, and at least the last.
    fn keep(&mut self, events: &[u8], lengths: &[u32]) {
        let most = self.limits.events.max(1);
        let (mut count, mut bytes) = (lengths.len(), events.len());
        while count > 1 && (count > most || bytes > self.limits.bytes) {
            bytes -= lengths[lengths.len() - count] as usize;
            count -= 1;
        }
        let (mut forgotten, mut gone) = (0, 0);
        for &length in &self.lengths {
            let all_fit = self.lengths.len() - forgotten + count <= most
                && self.text.len() - gone + bytes <= self.limits.bytes
                && count == lengths.len();
            if all_fit {
                break;
            }
            forgotten += 1;
            gone += length as usize;
        }
        self.lengths.drain(..forgotten);
        self.text.drain(..gone);
        let needed = self.text.len() + bytes;
        if needed > self.text.capacity() {
            // Doubled like any list, but not beyond what may be kept.
            let room = (2 * self.text.capacity()).min(self.limits.bytes).max(needed);
            self.text.reserve_exact(room - self.text.len());
        }
        self.text.extend(&events[events.len() - bytes..]);
        self.lengths.extend(&lengths[lengths.len() - count..]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{
        super::{outbox::Message, tree::Event},
        *,
    };

    fn journal(events: usize, bytes: usize) -> Journal {
        Journal::new(JournalLimits { events, bytes })
    }

    fn events(count: usize) -> Events {
        let mut events = Events::default();
        (0..count).for_each(|_| events.push(Event { target: "S", name: "x", data: "{}" }));
        events
    }

    /// The numbers of the events after one, each read from where it stands.
    fn numbers(journal: &Journal, after: u64) -> Option<Vec<u64>> {
        let number = |message: Message| {
            let event: serde_json::Value = serde_json::from_slice(&message.text).unwrap();
            assert_eq!(event["seq"].as_u64(), message.seq);
            message.seq.unwrap()
        };
        Some(journal.between(after, u64::MAX)?.map(number).collect())
    }

    #[test]
    fn what_follows_a_number_is_there_once_and_in_order() {
        let mut journal = journal(10, 1000);
        journal.append(&events(3));
        journal.append(&events(1));
        assert_eq!(numbers(&journal, 0), Some(vec![1, 2, 3, 4]));
        assert_eq!(numbers(&journal, 2), Some(vec![3, 4]));
        assert_eq!(numbers(&journal, 4), Some(vec![]));
        assert_eq!(journal.between(1, 3).unwrap().count(), 2);
        assert_eq!(journal.between(3, 1).unwrap().count(), 0);
    }

    #[test]
    fn it_says_when_it_does_not_reach_back() {
        let mut journal = journal(2, 1000);
        journal.append(&events(5));
        assert_eq!(numbers(&journal, 2), None);
        assert_eq!(numbers(&journal, 3), Some(vec![4, 5]));
    }

    #[test]
    fn its_bytes_are_bounded_too() {
        let size = journal(1, 0).append(&events(1)).next().unwrap().text.len();
        let mut journal = journal(100, 2 * size + 1);
        journal.append(&events(5));
        assert_eq!(numbers(&journal, 2), None);
        assert_eq!(numbers(&journal, 3), Some(vec![4, 5]));
    }

    #[test]
    fn a_snapshot_empties_the_buffer_and_cannot_be_resumed_from_its_middle() {
        let mut journal = journal(100, 1000);
        journal.append(&events(2));
        journal.append_to_snapshot(&events(3));
        journal.append(&events(1));
        for after in [0, 1, 2, 3, 4] {
            assert_eq!(numbers(&journal, after), None, "after {after}");
        }
        assert_eq!(numbers(&journal, 5), Some(vec![6]));
    }

    #[test]
    fn the_ring_goes_round_without_mixing_events_up() {
        let mut journal = journal(7, 1000);
        for round in 0..200 {
            journal.append(&events(round % 5));
            let last = journal.last();
            let kept = journal.len() as u64;
            assert_eq!(numbers(&journal, last - kept), Some((last - kept + 1..=last).collect()));
        }
    }
}
