//! What one agent has to tell the host, in order, and what waits while the host cannot take it.
//!
//! Owns: the order of reports, answers, link changes and resume states of one session; the bound on what waits. Must
//! never: wait itself, overtake a report by a later answer, or grow. Data comes from the adapter through
//! [`AgentHost`](crate::AgentHost) and from the tasks that run its commands, and goes out through the
//! [`Outlet`](crate::wire::Outlet); what cannot go now waits here, later reports merged into the waiting one.
//!
//! When more than [`MAX_WAITING`] reports that cannot be merged wait, all of them are dropped and their place is kept
//! for one snapshot, which the [`runtime`](crate::runtime) asks the agent for as soon as that place is reached. Answers
//! behind it wait for it: once a success is sent, its effect must hold.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::{
    command::Outcome,
    host::Link,
    merge::merge,
    report::Report,
    wire::{self, Kind, Outlet, Status},
};

/// How many reports that cannot be merged may wait.
pub(crate) const MAX_WAITING: usize = 32;

/// What an agent tells the host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Report(Report),
    Answer(wire::Answer),
    Link(Link),
    Resume(wire::Resume),
    /// Reports were dropped here; a snapshot must stand here.
    Missing,
}

impl Item {
    /// Whether a later report may be merged into one in front of this.
    fn lets_reports_pass(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Resume(_))
    }
}

/// What an outbox waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Nothing is in it; whoever flushes it can stop.
    No,
    /// The host; flush again after a while.
    ForRoom,
    /// A snapshot, which the agent must be asked for.
    ForSnapshot,
}

/// Something waits now and nobody flushes the outbox yet: whoever gets this must, until it waits for nothing.
pub(crate) type MustFlush = bool;

pub(crate) struct Outbox {
    agent: u64,
    outlet: Arc<dyn Outlet>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Item>,
    closed: bool,
    link: Option<Link>,
    resume: Vec<u8>,
    /// Someone calls [`Outbox::flush`] until nothing waits.
    flushed: bool,
    /// Reports dropped since the last time someone asked.
    dropped: usize,
}

impl Outbox {
    pub(crate) fn new(agent: u64, outlet: Arc<dyn Outlet>) -> Self {
        Self { agent, outlet, state: Mutex::default() }
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

    pub(crate) fn report(&self, report: Report) -> MustFlush {
        let mut state = self.lock();
        if state.closed || report.is_empty() {
            return false;
        }
        if state.waiting.is_empty() {
            self.put(&mut state, Item::Report(report))
        } else {
            state.wait_with(report);
            self.send_waiting(&mut state)
        }
    }

    pub(crate) fn answer(&self, request: u64, outcome: Outcome) -> MustFlush {
        let mut state = self.lock();
        self.put(&mut state, Item::Answer(wire::Answer { request, outcome }))
    }

    /// Telling the same again is nothing.
    pub(crate) fn link(&self, link: Link) -> MustFlush {
        let mut state = self.lock();
        if state.link.as_ref() == Some(&link) {
            return false;
        }
        state.link = Some(link.clone());
        self.put(&mut state, Item::Link(link))
    }

    /// Takes the newest resume state; tells it if it is another one than before.
    pub(crate) fn resume(&self, bytes: Vec<u8>) -> MustFlush {
        let mut state = self.lock();
        if state.resume == bytes {
            return false;
        }
        state.resume.clone_from(&bytes);
        state.waiting.retain(|item| !matches!(item, Item::Resume(_)));
        self.put(&mut state, Item::Resume(wire::Resume { state: bytes }))
    }

    /// Sends what waits, as far as the host takes it.
    pub(crate) fn flush(&self) -> Waits {
        let mut state = self.lock();
        let _ = self.send_waiting(&mut state);
        let waits = state.waits();
        state.flushed = waits != Waits::No;
        waits
    }

    /// How many reports were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> usize {
        std::mem::take(&mut self.lock().dropped)
    }

    fn put(&self, state: &mut State, item: Item) -> MustFlush {
        if state.closed {
            return false;
        }
        state.waiting.push_back(item);
        self.send_waiting(state)
    }

    fn send_waiting(&self, state: &mut State) -> MustFlush {
        while let Some(item) = state.waiting.front() {
            if *item == Item::Missing {
                break;
            }
            match self.send(item) {
                Status::FULL => break,
                Status::CLOSED => {
                    state.closed = true;
                    state.waiting.clear();
                }
                // What was refused would be refused again; the host has counted it.
                _ => drop(state.waiting.pop_front()),
            }
        }
        !state.waiting.is_empty() && !std::mem::replace(&mut state.flushed, true)
    }

    fn send(&self, item: &Item) -> Status {
        match item {
            Item::Report(report) => self.emit(Kind::REPORT, report),
            Item::Answer(answer) => self.emit(Kind::ANSWER, answer),
            Item::Link(link) => self.emit(Kind::LINK, link),
            Item::Resume(resume) => self.emit(Kind::RESUME, resume),
            Item::Missing => Status::FULL,
        }
    }

    fn emit<T: Serialize>(&self, kind: Kind, message: &T) -> Status {
        wire::write(message, |payload| self.outlet.emit(kind, self.agent, payload)).unwrap_or(Status::REFUSED)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of the adapter's runs under this lock; a panic in it is our own and leaves the queue whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waits(&self) -> Waits {
        match self.waiting.front() {
            None => Waits::No,
            Some(Item::Missing) => Waits::ForSnapshot,
            Some(_) => Waits::ForRoom,
        }
    }

    /// Puts a report behind what waits already.
    fn wait_with(&mut self, report: Report) {
        if let Some(missing) = self.waiting.iter_mut().find(|item| **item == Item::Missing) {
            if report.snapshot {
                *missing = Item::Report(report);
            } else {
                // The snapshot that is still to come tells this as well.
                self.dropped += 1;
            }
            return;
        }
        let last = self.waiting.iter_mut().rev().find(|item| !item.lets_reports_pass());
        if let Some(Item::Report(waiting)) = last
            && let Some(merged) = merge(waiting, &report)
        {
            *waiting = merged;
            return;
        }
        self.waiting.push_back(Item::Report(report));
        if self.waiting.iter().filter(|item| matches!(item, Item::Report(_))).count() > MAX_WAITING {
            self.drop_reports();
        }
    }

    /// Drops all reports and keeps the place of the first for a snapshot.
    fn drop_reports(&mut self) {
        let mut place_kept = false;
        let before = self.waiting.len();
        self.waiting.retain_mut(|item| {
            let is_report = matches!(item, Item::Report(_));
            if is_report && !place_kept {
                place_kept = true;
                *item = Item::Missing;
                return true;
            }
            !is_report
        });
        self.dropped += before - self.waiting.len() + 1;
    }
}

#[cfg(test)]
mod tests;
