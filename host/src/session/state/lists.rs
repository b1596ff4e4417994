//! The lists that a session's desktop reads and watches.
//!
//! Owns: which lists are watched, and that they are watched again where the adapter may have forgotten it or the desktop
//! may have missed a change. Must never: keep an entry (what a list holds is the adapter's and the desktop's), or take a
//! list for watched that the adapter does not watch: where it fails to, it is asked again, at growing intervals.

use std::time::Duration;

use jackfield_plugin_api::{
    Backoff, Code, Command, Failure, Json, ListPage, Report,
    command::StandardCommand,
    lists::{ListChange, ListKind},
};
use jackfield_protocol::{
    data,
    event::{Event, EventData, EventName, Path},
    list::{ListAnswer, ListArguments, MAX_BYTES, WatchedList},
    message::Response,
};
use tokio::time::Instant;

use super::SessionState;
use crate::{
    plugin::RequestId,
    session::{
        commands::SessionCommand,
        effects::{Ask, Effect, Effects},
    },
};

/// The pauses before the adapter is asked once more for what it did not watch again.
const WATCH_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// The lists that are watched.
#[derive(Debug)]
pub(super) struct WatchedLists {
    kinds: Vec<ListKind>,
    /// What the adapter must be asked to watch again: a snapshot has been taken, or it did not when it was asked.
    stale: Vec<ListKind>,
    /// It is not asked for these before this.
    pause: Option<Instant>,
    /// What it has been asked to watch again.
    asked: Vec<(RequestId, ListKind)>,
    /// Until when it must have.
    until: Option<Instant>,
    backoff: Backoff,
}

impl Default for WatchedLists {
    fn default() -> Self {
        Self { kinds: Vec::new(), stale: Vec::new(), pause: None, asked: Vec::new(), until: None, backoff: WATCH_AGAIN }
    }
}

impl WatchedLists {
    fn has(&self, kind: ListKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// A snapshot says nothing of lists, and may be another agent's than the one who was asked to watch.
    pub(super) fn snapshot_taken(&mut self) {
        *self = Self { stale: self.kinds.clone(), kinds: std::mem::take(&mut self.kinds), ..Self::default() };
    }

    /// Keeps whether a list is watched, which the adapter has just been told.
    fn set(&mut self, kind: ListKind, watched: bool) {
        self.kinds.retain(|other| *other != kind);
        self.stale.retain(|other| *other != kind);
        self.asked.retain(|(_, other)| *other != kind);
        if watched {
            self.kinds.push(kind);
        }
    }

    /// Takes the list out that an answer is about, if it is about one that is watched again.
    fn take_asked(&mut self, answered: RequestId) -> Option<ListKind> {
        let at = self.asked.iter().position(|(request, _)| *request == answered)?;
        Some(self.asked.swap_remove(at).1)
    }

    /// The adapter does not watch a list again: it is asked once more after a pause.
    fn not_watched(&mut self, kind: ListKind, now: Instant) {
        self.stale.push(kind);
        let Self { pause, backoff, .. } = self;
        pause.get_or_insert_with(|| now + backoff.next_pause());
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = self.until.filter(|_| !self.asked.is_empty());
        until.into_iter().chain(self.pause).min()
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.pause = self.pause.filter(|pause| *pause > now);
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            for (_, kind) in std::mem::take(&mut self.asked) {
                self.not_watched(kind, now);
            }
        }
    }
}

impl SessionState {
    /// Has all that is watched watched again, where that is necessary.
    pub(super) fn watch_again(&mut self, now: Instant, effects: &mut Effects) {
        let waits = self.lists.stale.is_empty() || self.lists.pause.is_some();
        if waits || !self.link.is_up() || !self.agent.is_present() || self.agent.is_migrating() {
            return;
        }
        let until = now + self.limits.command_deadline;
        self.lists.until = Some(until);
        for kind in std::mem::take(&mut self.lists.stale) {
            let request = self.new_request();
            self.lists.asked.push((request, kind));
            effects.push(Effect::Ask(request, Ask::Command(Command::Watch { kind }, until.into_std())));
        }
    }

    /// Takes an answer, if it is to what is watched again. What changed meanwhile nobody knows, so the desktop reads it
    /// anew, also where the adapter has no such list any more. `failed`: why it is not watched.
    pub(super) fn watched_again(
        &mut self,
        answered: RequestId,
        failed: Option<Code>,
        now: Instant,
        effects: &mut Effects,
    ) -> bool {
        let Some(kind) = self.lists.take_asked(answered) else { return false };
        match failed {
            None | Some(Code::Unsupported) => self.emit(&[list_changed(ListChange::reload(kind))], effects),
            Some(_) => self.lists.not_watched(kind, now),
        }
        true
    }

    /// What the desktop is told of the changes in a report: those of lists that it watches.
    pub(super) fn list_events(&self, report: &Report) -> Vec<Event> {
        let watched = report.lists.iter().filter(|change| self.lists.has(change.kind));
        let told = watched.map(|change| {
            let is_long = || Json::of(change).map_or(true, |text| text.get().len() > MAX_BYTES);
            list_changed(if change.reload || is_long() { ListChange::reload(change.kind) } else { change.clone() })
        });
        told.collect()
    }

    /// A list was given: answers with its page.
    pub(super) fn list_answered(&mut self, at: usize, page: Option<&Json>, effects: &mut Effects) {
        let asked = data::parse::<ListArguments>(self.commands.get(at).request.data());
        let limit = asked.map_or(0, |asked| asked.limit);
        let page = page.filter(|page| page.get().len() <= MAX_BYTES).and_then(|page| page.parse::<ListPage>().ok());
        let answer = page.filter(|page| page.entries.len() <= limit).and_then(|page| {
            // What was reported before the page is in it.
            Json::of(&ListAnswer::new(&page, self.journal.last())).ok()
        });
        match answer {
            Some(answer) => self.answer(at, Response::SuccessWith(&answer), effects),
            None => {
                let failure = Failure::new(Code::AdapterFailed, "the adapter's answer is no page of this list");
                self.answer(at, Response::Failure(&failure), effects);
            }
        }
    }

    /// A watch has begun or ended.
    pub(super) fn watch_answered(&mut self, at: usize, effects: &mut Effects) {
        let pending = self.commands.get(at);
        if let Ok(WatchedList { kind }) = data::parse(pending.request.data()) {
            let begins = matches!(pending.command, SessionCommand::Standard(StandardCommand::Watch));
            self.lists.set(kind, begins);
        }
        self.answer(at, Response::Success, effects);
    }
}

fn list_changed(change: ListChange) -> Event {
    let data = EventData::List(Box::new(change));
    Event { on: Path::Session, name: EventName::SessionListChanged, data }
}
