//! The numbered events of one session that a returning client may still need.
//!
//! Owns: the numbers, the buffer and its bounds, and whether a client can go on from where it was. Must never: hand out a
//! number twice or forget that it has forgotten something. Events come in without a number and are written here; the
//! messages go out to the session's connection and, later, to whoever binds it.

use std::collections::VecDeque;

use hyper::body::Bytes;

use jackfield_plugin_api::Timestamp;
use jackfield_protocol::event::Event;

use super::outbox::Message;

/// About how long an event is that carries no call data.
const ORDINARY: usize = 256;

/// How much a session keeps for a client that returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalLimits {
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
#[derive(Debug)]
pub(super) struct Journal {
    limits: JournalLimits,
    /// The last number that was given.
    last: u64,
    /// The texts of the kept events, oldest first.
    kept: VecDeque<Bytes>,
    /// How long they are together.
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

    /// How much it keeps.
    pub(super) fn limits(&self) -> JournalLimits {
        self.limits
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Gives events the next numbers, writes them and keeps them.
    pub(super) fn append(&mut self, session: &str, events: &[Event], at: Timestamp) -> Vec<Message> {
        let messages = self.write(session, events, at);
        for message in &messages {
            self.bytes += message.text.len();
            self.kept.push_back(message.text.clone());
        }
        let most = self.limits;
        // The last one stays, however long it is.
        while self.kept.len() > 1 && (self.kept.len() > most.events || self.bytes > most.bytes) {
            self.bytes -= self.kept.pop_front().map_or(0, |text| text.len());
        }
        messages
    }

    /// Gives the events of a snapshot the next numbers and writes them. They are not kept: a client that has seen only a
    /// part of a snapshot needs a new one.
    pub(super) fn append_to_snapshot(&mut self, session: &str, events: &[Event], at: Timestamp) -> Vec<Message> {
        (self.kept, self.bytes) = (VecDeque::new(), 0);
        self.write(session, events, at)
    }

    /// The events after a number up to another, oldest first; `None` where the journal does not keep all of them.
    pub(super) fn between(&self, after: u64, end: u64) -> Option<Vec<Message>> {
        let first_kept = self.last - self.kept.len() as u64 + 1;
        if after > self.last || after + 1 < first_kept {
            return None;
        }
        let (skip, count) = ((after + 1 - first_kept) as usize, end.saturating_sub(after) as usize);
        let texts = self.kept.range(skip..).take(count).cloned();
        Some((after + 1..).zip(texts).map(|(seq, text)| Message { seq: Some(seq), text }).collect())
    }

    /// Writes the messages of events, with the next numbers. This is where an event becomes text.
    fn write(&mut self, session: &str, events: &[Event], at: Timestamp) -> Vec<Message> {
        let mut text = Vec::with_capacity(events.len() * ORDINARY);
        let mut ends = Vec::with_capacity(events.len());
        let (mut target, mut written) = (String::with_capacity(session.len() + 24), None);
        for (event, seq) in events.iter().zip(self.last + 1..) {
            // Most events of one report are about one object.
            if written != Some(event.on) {
                event.on.below(session).write_to(&mut target);
                written = Some(event.on);
            }
            serde_json::to_writer(&mut text, &event.message(&target, seq, at)).expect("an event can be written");
            ends.push(text.len());
        }
        // What one report made is one text, which its messages share. It may be kept for days, so it is copied to where it
        // just fits.
        let text = Bytes::copy_from_slice(&text);
        let mut start = 0;
        let message = |end: usize| {
            self.last += 1;
            Message { seq: Some(self.last), text: text.slice(std::mem::replace(&mut start, end)..end) }
        };
        ends.into_iter().map(message).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jackfield_protocol::event::{EventName, Path};

    use super::*;

    const AT: Timestamp = Timestamp(1_767_225_600_000);

    fn journal(events: usize, bytes: usize) -> Journal {
        Journal::new(JournalLimits { events, bytes })
    }

    fn events(count: usize) -> Vec<Event> {
        (0..count).map(|_| Event::bare(Path::Session, EventName::ChannelDisposed)).collect()
    }

    /// The numbers of the events after one, each read from where it stands.
    fn numbers(journal: &Journal, after: u64) -> Option<Vec<u64>> {
        let number = |message: Message| {
            let event: serde_json::Value = serde_json::from_slice(&message.text).unwrap();
            assert_eq!(event["seq"].as_u64(), message.seq);
            message.seq.unwrap()
        };
        Some(journal.between(after, u64::MAX)?.into_iter().map(number).collect())
    }

    #[test]
    fn what_follows_a_number_is_there_once_and_in_order() {
        let mut journal = journal(10, 1000);
        journal.append("S", &events(3), AT);
        journal.append("S", &events(1), AT);
        assert_eq!(numbers(&journal, 0), Some(vec![1, 2, 3, 4]));
        assert_eq!(numbers(&journal, 2), Some(vec![3, 4]));
        assert_eq!(numbers(&journal, 4), Some(vec![]));
        assert_eq!(journal.between(1, 3).unwrap().len(), 2);
        assert_eq!(journal.between(3, 1).unwrap().len(), 0);
    }

    #[test]
    fn it_says_when_it_does_not_reach_back() {
        let mut journal = journal(2, 1000);
        journal.append("S", &events(5), AT);
        assert_eq!(numbers(&journal, 2), None);
        assert_eq!(numbers(&journal, 3), Some(vec![4, 5]));
    }

    #[test]
    fn its_bytes_are_bounded_too() {
        let size = journal(1, 0).append("S", &events(1), AT)[0].text.len();
        let mut journal = journal(100, 2 * size + 1);
        journal.append("S", &events(5), AT);
        assert_eq!(numbers(&journal, 2), None);
        assert_eq!(numbers(&journal, 3), Some(vec![4, 5]));
    }

    #[test]
    fn a_snapshot_empties_the_buffer_and_cannot_be_resumed_from_its_middle() {
        let mut journal = journal(100, 1000);
        journal.append("S", &events(2), AT);
        journal.append_to_snapshot("S", &events(3), AT);
        journal.append("S", &events(1), AT);
        for after in [0, 1, 2, 3, 4] {
            assert_eq!(numbers(&journal, after), None, "after {after}");
        }
        assert_eq!(numbers(&journal, 5), Some(vec![6]));
    }

    #[test]
    fn the_newest_stay_without_mixing_events_up() {
        let mut journal = journal(7, 1000);
        for round in 0..200 {
            journal.append("S", &events(round % 5), AT);
            let last = journal.last();
            let kept = journal.len() as u64;
            assert_eq!(numbers(&journal, last - kept), Some((last - kept + 1..=last).collect()));
        }
    }
}
