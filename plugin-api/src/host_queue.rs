//! What one agent has to tell the host, in order, and what waits while the host cannot take it.
//!
//! Owns: the order of reports, answers, link changes and resume states of one session; the bound on what waits. Must
//! never: wait itself, overtake a report by a later answer, or grow. Data comes from the adapter through
//! [`AgentHost`](crate::AgentHost) and from the tasks that run its commands, and goes out through the
//! [`MessageSink`](crate::wire::MessageSink); what cannot go now waits here, later reports merged into the waiting one.
//!
//! When more than [`MAX_WAITING`] reports wait that cannot be merged, or would say too much as one, all of them are
//! dropped and their place is kept for one snapshot, which the [`agent_task`](crate::agent_task) asks the agent for as
//! soon as that place is reached. Answers behind it wait for it: once a success is sent, its effect must hold. A lost
//! link does not wait for it: while the link is lost, a snapshot may not be had.
//!
//! Of link changes at most two wait, that it was lost and that it is back: what was before them does not matter any more,
//! but a loss that is over must be seen, because the host asks for a snapshot after it.
//!
//! While a request of the agent is being polled the queue is held: what that reports goes out when the poll is over, and
//! with the answer, if that is given by then, as one message. Most commands are carried out in one poll. What comes from
//! elsewhere meanwhile does not wait for it.

use std::{borrow::Cow, collections::VecDeque};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    command::Outcome,
    failure::Code,
    host::Link,
    host_sender::HostSender,
    lists::ListChange,
    merge::merge,
    report::{Channel, Interaction, Report},
    wire::{self, Answer, Kind, Status},
};

/// How many reports that cannot be merged may wait.
pub(crate) const MAX_WAITING: usize = 32;

/// Up to how many statements a waiting report may grow by what is merged into it.
const MAX_MERGED: usize = 64;

/// How much may wait because the queue is held.
const MAX_HELD: usize = 8;

/// What an agent tells the host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum QueueItem {
    Report(Report),
    Answer {
        request: u64,
        outcome: Outcome,
    },
    /// At most two, that it was lost and that it is back.
    Link(Link),
    Resume(wire::Resume),
    /// Reports were dropped here; a snapshot must stand here.
    Missing,
}

impl QueueItem {
    /// Whether a later report may be merged into one in front of this.
    fn lets_reports_pass(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Resume(_))
    }
}

/// What a flush has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing is in the queue; whoever flushes it can stop.
    Empty,
    /// The host takes no more at the moment; flush again after a while.
    HostIsFull,
    /// The agent must be asked for a snapshot before anything else can be sent.
    SnapshotWanted,
}

/// Something waits now and nobody flushes the queue yet: whoever gets this must, until it waits for nothing.
pub(crate) type MustFlush = bool;

pub(crate) struct HostQueue {
    agent: u64,
    host: HostSender,
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<QueueItem>,
    closed: bool,
    link: Option<Link>,
    resume: Vec<u8>,
    /// Which asking gave it.
    resume_asked: u64,
    /// Something was reported in a poll for which the queue is held.
    reported: bool,
    /// Someone calls [`HostQueue::flush`] until nothing waits.
    flushed: bool,
    /// How many requests are being polled.
    holders: usize,
    /// Reports dropped since the last time someone asked.
    dropped: usize,
}

impl HostQueue {
    pub(crate) fn new(agent: u64, host: HostSender) -> Self {
        Self { agent, host, state: Mutex::default() }
    }

    /// A request of the agent is being polled from now on, until [`Self::release`].
    pub(crate) fn hold(&self) {
        let mut state = self.lock();
        // Of what was reported in polls that ended their requests the resume state has been asked.
        state.reported &= state.holders > 0;
        state.holders += 1;
    }

    /// The poll is over: sends what waits, be it another's that is still being polled. Also returns whether something was
    /// reported in a poll.
    pub(crate) fn release(&self) -> (MustFlush, bool) {
        let mut state = self.lock();
        state.holders -= 1;
        let reported = std::mem::take(&mut state.reported);
        (self.send_waiting(&mut state), reported)
    }

    /// [`Self::answer`] and [`Self::release`] in one.
    pub(crate) fn release_with_answer(&self, request: u64, outcome: Outcome) -> MustFlush {
        let mut state = self.lock();
        state.holders -= 1;
        self.put(&mut state, QueueItem::Answer { request, outcome }, false)
    }

    /// Nothing is told any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// `polled`: in a poll for which the queue is held.
    pub(crate) fn report(&self, report: Report, polled: bool) -> MustFlush {
        let mut state = self.lock();
        if state.closed || report.is_empty() {
            return false;
        }
        state.reported |= polled;
        if !state.flushed {
            self.put(&mut state, QueueItem::Report(report), polled)
        } else {
            state.wait_with(report);
            self.send_waiting(&mut state)
        }
    }

    pub(crate) fn answer(&self, request: u64, outcome: Outcome) -> MustFlush {
        let mut state = self.lock();
        self.put(&mut state, QueueItem::Answer { request, outcome }, true)
    }

    /// Telling the same again is nothing.
    pub(crate) fn link(&self, link: Link) -> MustFlush {
        let mut state = self.lock();
        if state.closed || state.link.as_ref() == Some(&link) {
            return false;
        }
        state.link = Some(link.clone());
        let is_lost = link != Link::Up;
        if is_lost {
            state.waiting.retain(|item| !matches!(item, QueueItem::Link(_)));
        }
        state.waiting.push_back(QueueItem::Link(link));
        if is_lost {
            state.tell_loss_first();
        }
        self.send_waiting(&mut state)
    }

    /// Takes a resume state; tells it if it is another one than before. `asked` counts how often the agent was asked for
    /// one: whoever was asked earlier may come later with an older one.
    pub(crate) fn resume(&self, bytes: Vec<u8>, asked: u64) -> MustFlush {
        let mut state = self.lock();
        if asked < state.resume_asked {
            return false;
        }
        state.resume_asked = asked;
        if state.resume == bytes {
            return false;
        }
        state.resume.clone_from(&bytes);
        state.waiting.retain(|item| !matches!(item, QueueItem::Resume(_)));
        self.put(&mut state, QueueItem::Resume(wire::Resume { state: bytes }), false)
    }

    /// Sends what waits, as far as the host takes it.
    pub(crate) fn flush(&self) -> Flushed {
        let mut state = self.lock();
        let _ = self.send_waiting(&mut state);
        let waits = state.waits();
        state.flushed = waits != Flushed::Empty;
        waits
    }

    /// The same for whoever flushes and waits for a snapshot meanwhile: a lost link may have come in front of its place.
    pub(crate) fn flush_on(&self) {
        let _ = self.send_waiting(&mut self.lock());
    }

    /// How many reports were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> usize {
        std::mem::take(&mut self.lock().dropped)
    }

    /// `may_be_held`: it may wait for the end of a poll.
    fn put(&self, state: &mut QueueState, item: QueueItem, may_be_held: bool) -> MustFlush {
        if state.closed {
            return false;
        }
        state.waiting.push_back(item);
        if may_be_held && state.is_held() { false } else { self.send_waiting(state) }
    }

    fn send_waiting(&self, state: &mut QueueState) -> MustFlush {
        while let Some(item) = state.waiting.front() {
            if *item == QueueItem::Missing {
                break;
            }
            let (status, sent) = match (item, state.waiting.get(1)) {
                (QueueItem::Report(report), Some(QueueItem::Answer { request, outcome })) => {
                    match self.answer_with(*request, Some(report), outcome) {
                        // Together they may be too long, or the answer alone.
                        Status::REFUSED => (self.send(item), 1),
                        status => (status, 2),
                    }
                }
                (item, _) => (self.send(item), 1),
            };
            match status {
                Status::FULL => {
                    if !state.flushed {
                        // What was held was not merged, because it was going to be sent.
                        state.merge_waiting();
                    }
                    break;
                }
                Status::CLOSED => {
                    state.closed = true;
                    state.waiting.clear();
                }
                Status::REFUSED if state.answer_otherwise() => {}
                // What was refused would be refused again; the host has counted it.
                _ => drop(state.waiting.drain(..sent)),
            }
        }
        !state.waiting.is_empty() && !std::mem::replace(&mut state.flushed, true)
    }

    fn send(&self, item: &QueueItem) -> Status {
        match item {
            QueueItem::Report(report) => self.host.send(Kind::REPORT, self.agent, report),
            QueueItem::Answer { request, outcome } => self.answer_with(*request, None, outcome),
            QueueItem::Link(link) => self.host.send(Kind::LINK, self.agent, link),
            QueueItem::Resume(resume) => self.host.send(Kind::RESUME, self.agent, resume),
            QueueItem::Missing => Status::FULL,
        }
    }

    fn answer_with(&self, request: u64, report: Option<&Report>, outcome: &Outcome) -> Status {
        let answer = Answer { request, report: report.map(Cow::Borrowed), outcome: Cow::Borrowed(outcome) };
        self.host.send(Kind::ANSWER, self.agent, &answer)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock()
    }
}

impl QueueState {
    fn is_held(&self) -> bool {
        self.holders > 0 && self.waiting.len() <= MAX_HELD
    }

    fn waits(&self) -> Flushed {
        match self.waiting.front() {
            None => Flushed::Empty,
            Some(QueueItem::Missing) => Flushed::SnapshotWanted,
            Some(_) => Flushed::HostIsFull,
        }
    }

    /// Makes an answer that was refused another one, which is taken, so that nobody waits for it until the deadline.
    fn answer_otherwise(&mut self) -> bool {
        let Some(QueueItem::Answer { outcome, .. }) = self.waiting.front_mut() else { return false };
        let instead = Outcome::failure(Code::AdapterFailed, "the adapter's answer is too long, or cannot be written");
        let is_another = *outcome != instead;
        *outcome = instead;
        is_another
    }

    /// Merges the reports that wait.
    fn merge_waiting(&mut self) {
        for item in std::mem::take(&mut self.waiting) {
            match item {
                QueueItem::Report(report) => self.wait_with(report),
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Puts a report behind what waits already.
    fn wait_with(&mut self, report: Report) {
        if let Some(missing) = self.waiting.iter_mut().find(|item| **item == QueueItem::Missing) {
            if report.snapshot {
                *missing = QueueItem::Report(report);
            } else {
                // The snapshot that is still to come tells this as well.
                self.dropped += 1;
            }
            return;
        }
        // The answer to a list must not be older than the changes in front of it.
        let passes = report.lists.is_empty();
        let last = self.waiting.iter_mut().rev().find(|item| !(passes && item.lets_reports_pass()));
        if let Some(QueueItem::Report(waiting)) = last
            && let Some(merged) = merge(waiting, &report)
            && !outgrows(&merged, waiting, &report)
        {
            *waiting = merged;
            return;
        }
        self.waiting.push_back(QueueItem::Report(report));
        if self.waiting.iter().filter(|item| matches!(item, QueueItem::Report(_))).count() > MAX_WAITING {
            self.drop_reports();
        }
    }

    /// Drops all reports and keeps the place of the first for a snapshot.
    fn drop_reports(&mut self) {
        let mut place_kept = false;
        let before = self.waiting.len();
        self.waiting.retain_mut(|item| {
            let is_report = matches!(item, QueueItem::Report(_));
            if is_report && !place_kept {
                place_kept = true;
                *item = QueueItem::Missing;
                return true;
            }
            !is_report
        });
        self.dropped += before - self.waiting.len() + 1;
        self.tell_loss_first();
    }

    /// Puts a lost link in front of the place for a snapshot.
    fn tell_loss_first(&mut self) {
        let Some(missing) = self.waiting.iter().position(|item| *item == QueueItem::Missing) else { return };
        let lost = self.waiting.iter().position(|item| matches!(item, QueueItem::Link(Link::Down { .. })));
        if let Some(lost) = lost.filter(|lost| *lost > missing)
            && let Some(lost) = self.waiting.remove(lost)
        {
            self.waiting.insert(missing, lost);
        }
    }
}

/// Whether a merged report is too much for one: events, and what is said of ever new objects, add up.
fn outgrows(merged: &Report, earlier: &Report, later: &Report) -> bool {
    let size = statements(merged);
    size > MAX_MERGED && size > statements(earlier).max(statements(later))
}

/// How much a report says.
fn statements(report: &Report) -> usize {
    let of_interaction = |it: &Interaction| 1 + it.data.len() + it.conversations.as_ref().map_or(0, Vec::len);
    let of_channel = |it: &Channel| 1 + it.interactions.iter().map(of_interaction).sum::<usize>();
    let of_list = |it: &ListChange| it.changed.len() + it.removed.len();
    report.groups.len()
        + report.events.len()
        + report.channels.iter().map(of_channel).sum::<usize>()
        + report.lists.iter().map(of_list).sum::<usize>()
}

#[cfg(test)]
mod tests;
