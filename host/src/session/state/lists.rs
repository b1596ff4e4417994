//! The lists that a session's desktop reads and watches.
//!
//! Owns: which lists are watched, and that they are watched again where the adapter may have forgotten it or the desktop
//! may have missed a change. Must never: keep an entry; what a list holds is the adapter's and the desktop's.

use jackfield_plugin_api::{
    Code, Command, Failure, Json, ListPage, Report,
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

/// The lists that are watched.
#[derive(Debug, Default)]
pub(super) struct WatchedLists {
    kinds: Vec<ListKind>,
    /// The adapter must be asked to watch again, because a snapshot has been taken.
    stale: bool,
    /// What it has been asked to watch again.
    asked: Vec<(RequestId, ListKind)>,
}

impl WatchedLists {
    fn has(&self, kind: ListKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// A snapshot says nothing of lists, and may be another agent's than the one who was asked to watch.
    pub(super) fn snapshot_taken(&mut self) {
        self.stale = !self.kinds.is_empty();
    }

    /// Takes the list out that an answer is about, if it is about one that is watched again.
    fn take_asked(&mut self, answered: RequestId) -> Option<ListKind> {
        let at = self.asked.iter().position(|(request, _)| *request == answered)?;
        Some(self.asked.swap_remove(at).1)
    }
}

impl SessionState {
    /// Has all that is watched watched again, where that is necessary.
    pub(super) fn watch_again(&mut self, now: Instant, effects: &mut Effects) {
        if !self.lists.stale || !self.link.is_up() || !self.agent.is_present() || self.agent.is_migrating() {
            return;
        }
        self.lists.stale = false;
        self.lists.asked.clear();
        let until = (now + self.limits.command_deadline).into_std();
        for kind in self.lists.kinds.clone() {
            let request = self.new_request();
            self.lists.asked.push((request, kind));
            effects.push(Effect::Ask(request, Ask::Command(Command::Watch { kind }, until)));
        }
    }

    /// Takes an answer, if it is to what is watched again. What changed meanwhile nobody knows, so the desktop reads it
    /// anew, also where the adapter has no such list any more.
    pub(super) fn watched_again(&mut self, answered: RequestId, effects: &mut Effects) -> bool {
        let Some(kind) = self.lists.take_asked(answered) else { return false };
        if self.lists.has(kind) {
            self.emit(&[list_changed(ListChange::reload(kind))], effects);
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
            self.lists.kinds.retain(|watched| *watched != kind);
            if begins {
                self.lists.kinds.push(kind);
            }
        }
        self.answer(at, Response::Success, effects);
    }
}

fn list_changed(change: ListChange) -> Event {
    let data = EventData::List(Box::new(change));
    Event { on: Path::Session, name: EventName::SessionListChanged, data }
}
