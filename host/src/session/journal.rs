//! The numbered events of one session that a returning client may still need.
//!
//! Owns: the numbers, the buffer and its bounds, and whether a client can go on from where it was. Must never: hand out a
//! number twice or forget that it has forgotten something. Events come in as text without their number's place filled
//! in by anyone else; they go out to the session's connection and, later, to whoever binds it.

use std::collections::VecDeque;

use hyper::body::Bytes;

use super::outbox::Message;

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

/// The events of one session, the newest ones kept.
#[derive(Debug)]
pub(super) struct Journal {
    limits: JournalLimits,
    /// The last number that was given.
    last: u64,
    /// The kept events are the last ones, without a gap.
    kept: VecDeque<Bytes>,
    bytes: usize,
}

impl Journal {
    pub(super) fn new(limits: JournalLimits) -> Self {
        Self { limits, last: 0, kept: VecDeque::new(), bytes: 0 }
    }

    /// The last number that was given; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Gives the next number to an event, whose text is made for that number, and keeps it.
    pub(super) fn append(&mut self, write: impl FnOnce(u64) -> Bytes) -> Message {
        let message = self.number(write);
        self.bytes += message.text.len();
        self.kept.push_back(message.text.clone());
        while self.kept.len() > self.limits.events || (self.bytes > self.limits.bytes && self.kept.len() > 1) {
            self.forget_oldest();
        }
        message
    }

    /// Gives the next number to an event of a snapshot. It is not kept: a client that has seen only a part of a
    /// snapshot needs a new one.
    pub(super) fn append_to_snapshot(&mut self, write: impl FnOnce(u64) -> Bytes) -> Message {
        self.kept = VecDeque::new();
        self.bytes = 0;
        self.number(write)
    }

    /// The events after a number, oldest first; `None` where they are not all there any more.
    pub(super) fn after(&self, seq: u64) -> Option<impl Iterator<Item = Message> + '_> {
        let first_kept = self.last - self.kept.len() as u64 + 1;
        (seq <= self.last && seq + 1 >= first_kept).then(|| {
            (first_kept..)
                .zip(&self.kept)
                .skip((seq + 1 - first_kept) as usize)
                .map(|(seq, text)| Message { seq: Some(seq), text: text.clone() })
        })
    }

    fn number(&mut self, write: impl FnOnce(u64) -> Bytes) -> Message {
        self.last += 1;
        Message { seq: Some(self.last), text: write(self.last) }
    }

    fn forget_oldest(&mut self) {
        if let Some(text) = self.kept.pop_front() {
            self.bytes -= text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn journal(events: usize, bytes: usize) -> Journal {
        Journal::new(JournalLimits { events, bytes })
    }

    fn write(seq: u64) -> Bytes {
        Bytes::from(format!("event {seq}"))
    }

    fn numbers(journal: &Journal, after: u64) -> Option<Vec<u64>> {
        journal.after(after).map(|events| events.map(|event| event.seq.unwrap()).collect())
    }

    #[test]
    fn what_follows_a_number_is_there_once_and_in_order() {
        let mut journal = journal(10, 1000);
        for _ in 0..4 {
            journal.append(write);
        }
        assert_eq!(numbers(&journal, 0), Some(vec![1, 2, 3, 4]));
        assert_eq!(numbers(&journal, 2), Some(vec![3, 4]));
        assert_eq!(numbers(&journal, 4), Some(vec![]));
        let third = journal.after(2).unwrap().next().unwrap();
        assert_eq!(third.as_str(), "event 3");
    }

    #[test]
    fn it_says_when_it_does_not_reach_back() {
        let mut journal = journal(2, 1000);
        for _ in 0..5 {
            journal.append(write);
        }
        assert_eq!(numbers(&journal, 2), None);
        assert_eq!(numbers(&journal, 3), Some(vec![4, 5]));
    }

    #[test]
    fn its_bytes_are_bounded_too() {
        let mut journal = journal(100, 20);
        for _ in 0..5 {
            journal.append(write);
        }
        assert_eq!(numbers(&journal, 2), None);
        assert_eq!(numbers(&journal, 3), Some(vec![4, 5]));
    }

    #[test]
    fn a_snapshot_empties_the_buffer_and_cannot_be_resumed_from_its_middle() {
        let mut journal = journal(100, 1000);
        journal.append(write);
        journal.append(write);
        for _ in 0..3 {
            journal.append_to_snapshot(write);
        }
        journal.append(write);
        for after in [0, 1, 2, 3, 4] {
            assert_eq!(numbers(&journal, after), None, "after {after}");
        }
        assert_eq!(numbers(&journal, 5), Some(vec![6]));
    }
}
