//! Lists: what agents choose from, and who watches which.
//!
//! Owns: the entries of each list, made of the settings and of what is going on, and the difference that those who watch
//! one are told at the end of a transition. Must never: cost anything where nobody watches, beyond a mark that something
//! has changed. Commands come from [`commands`](super::commands).

use std::{collections::BTreeSet, mem};

use jackfield_plugin_api::{
    Code, Failure, Outcome, Report, Timestamp,
    lists::{
        Address, DestinationType, ListChange, ListEntry, ListKind, ListParent, ListRequest, Presence as PresenceTold,
        PresenceState,
    },
    report::{Availability, ChannelType},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Done, Switch,
    message::{Effect, SessionNo},
    model::{AgentNo, ChannelNo, Presence},
    rejected,
};
use crate::settings::{Endpoint, Group, GroupChannel, Number, Reason};

/// One list, as those who watch it know it.
#[derive(Debug, Default)]
struct Watched {
    by: BTreeSet<SessionNo>,
    /// The entries that they were told last.
    told: Vec<ListEntry>,
    /// Something may be different now.
    dirty: bool,
}

/// All lists that somebody watches.
#[derive(Debug, Default)]
pub(super) struct Lists([Watched; ListKind::ALL.len()]);

impl Lists {
    fn of(&mut self, kind: ListKind) -> &mut Watched {
        &mut self.0[ListKind::ALL.iter().position(|other| *other == kind).unwrap_or_default()]
    }

    /// Something of this list may be different now.
    pub(super) fn changed(&mut self, kind: ListKind) {
        self.of(kind).dirty = true;
    }

    /// The session is over, and watches nothing.
    pub(super) fn forget(&mut self, session: SessionNo) {
        for list in &mut self.0 {
            list.by.remove(&session);
        }
    }
}

/// How an agent is, as colleagues see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AgentPresence {
    state: Option<PresenceState>,
    code: Option<String>,
    desc: Option<String>,
    since: u64,
}

/// What an extension command does to a list.
#[derive(Deserialize)]
pub(super) struct SetEntry {
    kind: ListKind,
    id: String,
    name: Option<String>,
    book: Option<String>,
    #[serde(default)]
    gone: bool,
}

impl Switch {
    // ---- commands -----------------------------------------------------------------------------------------------

    pub(super) fn list(&self, agent: AgentNo, request: &ListRequest) -> Done {
        let all = match (request.kind, &request.under) {
            (kind, None) => self.entries(kind, Some(agent), request.query.is_some()),
            (ListKind::Dispositions, Some(ListParent::Interaction(at))) => {
                self.dispositions(self.interactions[self.interaction_at(agent, at)?].contact.queue)
            }
            (ListKind::Destinations, Some(ListParent::Entry(id))) => self.in_book(id)?,
            (kind, Some(_)) => {
                let words = format!("nothing of {} is under that", kind.as_str());
                return Err(Failure::new(Code::NotFound, words));
            }
        };
        Ok(Some(Outcome::from(request.page(all))))
    }

    pub(super) fn watch(&mut self, session: SessionNo, kind: ListKind, begins: bool) -> Done {
        if begins && self.lists.of(kind).by.is_empty() {
            let entries = self.entries(kind, None, true);
            let list = self.lists.of(kind);
            (list.told, list.dirty) = (entries, false);
        }
        let list = self.lists.of(kind);
        if begins {
            list.by.insert(session);
        } else {
            list.by.remove(&session);
        }
        Ok(Some(Outcome::success()))
    }

    /// An entry is added, changed or taken away, as an administrator does.
    pub(super) fn set_entry(&mut self, set: SetEntry) -> Done {
        let SetEntry { kind, id, name, book, gone } = set;
        let settings = &mut self.settings;
        match kind {
            ListKind::Reasons => {
                settings.reasons.retain(|reason| reason.code != id);
                settings.reasons.extend((!gone).then_some(Reason { code: id, desc: name }));
            }
            ListKind::Dispositions => {
                settings.dispositions.retain(|disposition| *disposition != id);
                settings.dispositions.extend((!gone).then_some(id));
            }
            ListKind::Groups => {
                let phone = GroupChannel { kind: ChannelType::Telephony, endpoint: None, name: None, callback: false };
                settings.groups.retain(|group| group.name != id);
                settings.groups.extend((!gone).then(|| Group { name: id, channels: vec![phone] }));
            }
            ListKind::Endpoints => {
                settings.endpoints.retain(|endpoint| endpoint.endpoint != id);
                let added = Endpoint { endpoint: id, kind: ChannelType::Telephony, name };
                settings.endpoints.extend((!gone).then_some(added));
            }
            ListKind::Destinations => {
                settings.directory.retain(|number| number.number != id);
                let name = name.unwrap_or_else(|| id.clone());
                settings.directory.extend((!gone).then_some(Number { number: id, name, book }));
            }
            _ => return Err(rejected(format!("entries of {} come from the settings alone", kind.as_str()))),
        }
        self.lists.changed(kind);
        Ok(Some(Outcome::data(json!({}))))
    }

    // ---- what is told -------------------------------------------------------------------------------------------

    /// Tells those who watch what is different now.
    pub(super) fn tell_lists(&mut self) {
        for kind in ListKind::ALL {
            let list = self.lists.of(kind);
            if !mem::take(&mut list.dirty) || list.by.is_empty() {
                continue;
            }
            let entries = self.entries(kind, None, true);
            let list = self.lists.of(kind);
            let before = mem::replace(&mut list.told, entries);
            let told = &list.told;
            let mut change = ListChange::new(kind);
            change.changed = told.iter().filter(|entry| !before.contains(entry)).cloned().collect();
            let is_gone = |entry: &&ListEntry| !told.iter().any(|now| now.id == entry.id);
            change.removed = before.iter().filter(is_gone).map(|entry| entry.id.clone()).collect();
            if change.changed.is_empty() && change.removed.is_empty() {
                continue;
            }
            for session in list.by.clone() {
                self.tell_change(session, change.clone());
            }
        }
    }

    /// Nobody is a colleague of oneself; and whose picture is old reads the list anew.
    fn tell_change(&mut self, session: SessionNo, mut change: ListChange) {
        let Ok(agent) = self.agent_at_work(session) else { return };
        if self.agents[agent].stale {
            return;
        }
        let own = colleague_id(&self.agents[agent].id);
        change.changed.retain(|entry| entry.id != own);
        if !change.changed.is_empty() || !change.removed.is_empty() {
            self.effects.push(Effect::Report { session, report: Report::new().list(change) });
        }
    }

    // ---- the entries --------------------------------------------------------------------------------------------

    /// All entries of a list, for an agent or for everybody; `whole`: with those that are under others.
    fn entries(&self, kind: ListKind, agent: Option<AgentNo>, whole: bool) -> Vec<ListEntry> {
        let settings = &self.settings;
        match kind {
            ListKind::Reasons => settings.reasons.iter().map(reason).collect(),
            ListKind::Dispositions => self.dispositions(None),
            ListKind::Queues => (0..settings.queues.len()).map(|queue| self.queue_entry(queue)).collect(),
            ListKind::Groups => settings.groups.iter().map(|group| ListEntry::new(&group.name)).collect(),
            ListKind::Endpoints => settings.endpoints.iter().map(|endpoint| self.endpoint_entry(endpoint)).collect(),
            ListKind::Destinations => self.destinations(agent, whole),
            _ => Vec::new(),
        }
    }

    /// Those that a queue's contacts can have; without a queue: all.
    fn dispositions(&self, queue: Option<usize>) -> Vec<ListEntry> {
        self.dispositions_of(queue).iter().map(ListEntry::new).collect()
    }

    pub(super) fn dispositions_of(&self, queue: Option<usize>) -> &[String] {
        let own = queue.map_or(&[][..], |queue| self.settings.queues[queue].dispositions());
        if own.is_empty() { &self.settings.dispositions } else { own }
    }

    fn queue_entry(&self, queue: usize) -> ListEntry {
        let lines = &self.waiting[queue];
        let waiting: usize = lines.iter().map(std::collections::VecDeque::len).sum();
        let longest = lines.iter().flatten().map(|contact| contact.waits_since).min();
        let ready = self.idle.iter().flatten().filter(|(_, channel)| self.serves(*channel, queue)).count();
        let mut entry = ListEntry::new(self.settings.queues[queue].name());
        entry.waiting = Some(waiting as u64);
        entry.waiting_since = longest.map(|since| self.moment(since));
        entry.ready = Some(ready as u64);
        entry
    }

    fn endpoint_entry(&self, endpoint: &Endpoint) -> ListEntry {
        let mut entry = ListEntry::new(&endpoint.endpoint).channel_type(endpoint.kind);
        entry.name.clone_from(&endpoint.name);
        let owner = self.channel_by_endpoint.get(&endpoint.endpoint).map(|channel| self.channels[*channel].agent);
        entry.in_use = Some(owner.is_some_and(|agent| self.is_at_work(agent)));
        entry
    }

    fn destinations(&self, agent: Option<AgentNo>, whole: bool) -> Vec<ListEntry> {
        let own = agent.map(|agent| self.agents[agent].id.as_str());
        let known = self.settings.agents.iter().map(|account| account.id.as_str());
        let ids: BTreeSet<&str> = known.chain(self.agent_by_id.keys().map(String::as_str)).collect();
        let mut all: Vec<ListEntry> =
            ids.into_iter().filter(|id| own != Some(*id)).map(|id| self.colleague(id)).collect();
        all.extend(self.settings.queues.iter().map(|queue| {
            let name = queue.name();
            ListEntry::new(format!("queue:{name}"))
                .name(name)
                .destination(DestinationType::Queue)
                .address(Address::new(name))
        }));
        let directory = &self.settings.directory;
        all.extend(directory.iter().filter(|number| whole || number.book.is_none()).map(outside));
        let books: BTreeSet<&String> = directory.iter().filter_map(|number| number.book.as_ref()).collect();
        all.extend(
            books
                .into_iter()
                .map(|book| ListEntry::new(format!("book:{book}")).name(book).destination(DestinationType::Book)),
        );
        all
    }

    fn in_book(&self, id: &str) -> Result<Vec<ListEntry>, Failure> {
        let book = id.strip_prefix("book:").unwrap_or_default();
        let numbers = self.settings.directory.iter().filter(|number| number.book.as_deref() == Some(book));
        let all: Vec<ListEntry> = numbers.map(outside).collect();
        if all.is_empty() { Err(Failure::new(Code::NotFound, format!("there is no book {id:?}"))) } else { Ok(all) }
    }

    fn colleague(&self, id: &str) -> ListEntry {
        let account = self.settings.agents.iter().find(|account| account.id == id);
        let name = account.and_then(|account| account.name.as_deref()).unwrap_or(id);
        let mut entry = ListEntry::new(colleague_id(id)).name(name).destination(DestinationType::Colleague);
        let Some(record) = self.agent_by_id.get(id).map(|agent| &self.agents[*agent]) else {
            return entry.presence(PresenceTold::new(PresenceState::Offline));
        };
        let phones = record.channels.iter().map(|channel| &self.channels[*channel]);
        let phones = phones.filter(|channel| channel.kind == ChannelType::Telephony);
        let numbers: BTreeSet<&String> = record.extension.iter().chain(phones.map(|phone| &phone.endpoint)).collect();
        entry.addresses.extend(numbers.into_iter().map(Address::new));
        let AgentPresence { state, code, desc, since } = &record.presence;
        let presence = PresenceTold::new(state.unwrap_or(PresenceState::Offline));
        entry.presence(presence.reason(code.clone(), desc.clone()).since(self.moment(*since)))
    }

    /// Looks how an agent is now, as colleagues see it.
    pub(super) fn refresh_presence(&mut self, agent: AgentNo) {
        let record = &self.agents[agent];
        let busy = |channel: &ChannelNo| self.live_on(*channel) > 0;
        let at_work = record.session.is_some();
        // The telephone is what a colleague is called on.
        let active = |channel: &&ChannelNo| self.channels[**channel].presence == Presence::Active;
        let is_phone = |channel: &&&ChannelNo| self.channels[***channel].kind == ChannelType::Telephony;
        let mut channels = record.channels.iter().filter(active);
        let shown = channels.clone().find(|channel| is_phone(&channel)).or_else(|| channels.next());
        let readiness = shown.map(|channel| &self.channels[*channel].readiness);
        let (state, code, desc) = match readiness {
            _ if !at_work => (PresenceState::Offline, &None, &None),
            _ if record.channels.iter().any(busy) => (PresenceState::Busy, &None, &None),
            None => (PresenceState::NotReady, &None, &None),
            Some(readiness) => {
                let state = match readiness.availability {
                    Availability::Ready => PresenceState::Ready,
                    Availability::Acw => PresenceState::Acw,
                    Availability::NotReady => PresenceState::NotReady,
                };
                (state, &readiness.code, &readiness.desc)
            }
        };
        let before = &record.presence;
        if (before.state, &before.code, &before.desc) != (Some(state), code, desc) {
            let presence =
                AgentPresence { state: Some(state), code: code.clone(), desc: desc.clone(), since: self.now };
            self.agents[agent].presence = presence;
            self.lists.changed(ListKind::Destinations);
        }
    }

    /// A moment of the switch's clock.
    pub(super) fn moment(&self, at: u64) -> Timestamp {
        Timestamp(self.opened.0 + at)
    }
}

fn colleague_id(agent: &str) -> String {
    format!("agent:{agent}")
}

/// The agent whom a colleague's entry is of, by its id or by the agent's own.
pub(super) fn agent_id(entry: &str) -> &str {
    entry.strip_prefix("agent:").unwrap_or(entry)
}

fn reason(reason: &Reason) -> ListEntry {
    let mut entry = ListEntry::new(&reason.code);
    entry.name.clone_from(&reason.desc);
    entry
}

fn outside(number: &Number) -> ListEntry {
    let entry = ListEntry::new(&number.number).name(&number.name).destination(DestinationType::External);
    entry.address(Address::new(&number.number))
}
