//! Lists: what a desktop shows in its menus and its directory.
//!
//! An adapter declares in its manifest which kinds it has ([`ListDeclaration`]) and gives one page of a list for each
//! [`Command::List`](crate::Command::List). Most lists are short: hand all entries to [`ListRequest::page`], which
//! searches them and cuts the page out. Who has thousands of entries searches where they are, and makes a [`ListPage`] of
//! what was found.
//!
//! A kind that is declared with `watch` can be watched: from the success of [`Command::Watch`](crate::Command::Watch) to
//! that of [`Command::Unwatch`](crate::Command::Unwatch) report each change of the list
//! ([`Report::list`](crate::Report::list)), at any level of it. Watching twice is as watching once. An agent who was
//! logged in again is asked to watch again, once more where that fails otherwise than with `unsupported`; a snapshot says
//! nothing of lists, and after one the host lets desktops read what they watch anew.
//!
//! Since 1.1. An older host never asks for a list.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{
    json::Json,
    report::{ChannelType, InteractionAt},
    timestamp::Timestamp,
};

/// The kinds of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ListKind {
    /// Reasons for being not ready; an entry's id is the `reasoncode` of `notready`.
    Reasons,
    /// How a contact can have turned out; an entry's id is what `setdisposition` takes. Under an interaction: those that
    /// this interaction can have.
    Dispositions,
    /// Queues, with what goes on in them; an entry's id is what `activate` takes.
    Queues,
    /// Channel groups that can be added; an entry's id is the name that `addchannelgroup` takes.
    Groups,
    /// Endpoints that can be added; an entry's id is the endpoint that `addchannel` takes.
    Endpoints,
    /// Who can be called: colleagues, queues, numbers outside, and books with more of them.
    Destinations,
}

impl ListKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Reasons, Self::Dispositions, Self::Queues, Self::Groups, Self::Endpoints, Self::Destinations];

    /// The word of the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reasons => "reasons",
            Self::Dispositions => "dispositions",
            Self::Queues => "queues",
            Self::Groups => "groups",
            Self::Endpoints => "endpoints",
            Self::Destinations => "destinations",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A kind of list that an adapter has, as its manifest says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListDeclaration {
    /// Which.
    pub kind: ListKind,
    /// It can be watched.
    #[serde(default, skip_serializing_if = "crate::report::is_false")]
    pub watch: bool,
}

/// What a desktop wants of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListRequest {
    /// Which list.
    pub kind: ListKind,
    /// What entries are to contain, whatever the case of its letters: in their id, their name or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What the list is under; `None`: the whole list, or its top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<ListParent>,
    /// How many entries at most, from 1 to 200.
    pub limit: usize,
    /// [`ListPage::next`] of the page before; `None`: the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a list is under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ListParent {
    /// An entry of the same list: a book of destinations.
    Entry(String),
    /// An interaction, of dispositions.
    Interaction(InteractionAt),
}

impl ListRequest {
    /// Asks for the first entries of a list.
    #[must_use]
    pub fn new(kind: ListKind, limit: usize) -> Self {
        Self { kind, query: None, under: None, limit, after: None }
    }

    /// The page that is asked for, cut out of all entries of the list, which stand in an order that lasts. `next` names the
    /// last entry of the page, so that the next page goes on behind it though entries came and went.
    #[must_use]
    pub fn page(&self, all: impl IntoIterator<Item = ListEntry>) -> ListPage {
        let all: Vec<ListEntry> = all.into_iter().collect();
        let begin = match &self.after {
            // What is not there any more is no place to go on behind: from the top again is better than nothing.
            Some(last) => all.iter().position(|entry| entry.id == *last).map_or(0, |at| at + 1),
            None => 0,
        };
        let query = self.query.as_ref().map(|query| query.to_lowercase());
        let mut found =
            all.into_iter().skip(begin).filter(|entry| query.as_ref().is_none_or(|query| entry.contains(query)));
        let entries: Vec<ListEntry> = found.by_ref().take(self.limit).collect();
        let next = found.next().and(entries.last()).map(|entry| entry.id.clone());
        ListPage { entries, next }
    }
}

/// One page of a list: the answer to [`Command::List`](crate::Command::List), as `page.into()`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListPage {
    /// No more than were asked for.
    pub entries: Vec<ListEntry>,
    /// What to go on after; `None`: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl ListPage {
    /// The last page of a list.
    #[must_use]
    pub fn new(entries: Vec<ListEntry>) -> Self {
        Self { entries, next: None }
    }

    /// Says that there is more, and what to go on after.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// An entry of a list. Its id is unique in its list, at all levels; which other members it has depends on the kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListEntry {
    /// What commands take, see [`ListKind`].
    pub id: String,
    /// What a desktop shows; without it the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of destinations: what it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<DestinationType>,
    /// Of queues and endpoints: the type of channel that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_type: Option<ChannelType>,
    /// Of destinations: what `dial`, `consult` and their like take; the first is the one to take where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Of colleagues: whether they can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
    /// Of queues: how many contacts wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Of queues: when the contact that has waited longest began to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// Of queues: how many agents would take a contact now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// Of endpoints: someone has it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<bool>,
    /// What else the platform tells, in its own words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Json>,
}

impl ListEntry {
    /// An entry with an id alone.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// What a desktop shows.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A destination of this type.
    #[must_use]
    pub fn destination(mut self, kind: DestinationType) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The type of channel that it is for.
    #[must_use]
    pub fn channel_type(mut self, kind: ChannelType) -> Self {
        self.channel_type = Some(kind);
        self
    }

    /// Adds an address at which it can be reached.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Whether a colleague can be reached.
    #[must_use]
    pub fn presence(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }

    /// Whether a text in small letters is found in it.
    fn contains(&self, query: &str) -> bool {
        let addresses = self.addresses.iter().map(|address| &address.address);
        let mut texts = std::iter::once(&self.id).chain(&self.name).chain(addresses);
        texts.any(|text| text.to_lowercase().contains(query))
    }
}

/// What a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DestinationType {
    /// An agent.
    Colleague,
    /// A queue.
    Queue,
    /// A number outside.
    External,
    /// A book: what is in it is listed under its id.
    Book,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Address {
    /// The number or address, as `dial` takes it.
    pub address: String,
    /// Which it is of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Address {
    /// An address without a label.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), label: None }
    }

    /// Says which it is of several.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
}

/// Whether a colleague can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Presence {
    /// Whether.
    pub state: PresenceState,
    /// Why not: the platform's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoncode: Option<String>,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasondesc: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Presence {
    /// A presence without a reason.
    #[must_use]
    pub fn new(state: PresenceState) -> Self {
        Self { state, reasoncode: None, reasondesc: None, since: None }
    }

    /// Says why not.
    #[must_use]
    pub fn reason(mut self, code: Option<String>, desc: Option<String>) -> Self {
        (self.reasoncode, self.reasondesc) = (code, desc);
        self
    }

    /// Says since when.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }
}

/// How a colleague is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum PresenceState {
    /// Takes contacts.
    Ready,
    /// Is at work and takes none.
    NotReady,
    /// In after-call work.
    Acw,
    /// Has a contact.
    Busy,
    /// Not at work.
    Offline,
}

/// What has changed in a list that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ListChange {
    /// Which list.
    pub kind: ListKind,
    /// Entries that are new or tell something else than before, each whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ListEntry>,
    /// The ids of entries that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What has changed is not known, or too much to be told: the list is to be read anew.
    #[serde(default, skip_serializing_if = "crate::report::is_false")]
    pub reload: bool,
}

impl ListChange {
    /// No change yet.
    #[must_use]
    pub fn new(kind: ListKind) -> Self {
        Self { kind, changed: Vec::new(), removed: Vec::new(), reload: false }
    }

    /// The list is to be read anew.
    #[must_use]
    pub fn reload(kind: ListKind) -> Self {
        Self { reload: true, ..Self::new(kind) }
    }

    /// An entry is new or tells something else.
    #[must_use]
    pub fn changed(mut self, entry: ListEntry) -> Self {
        self.changed.push(entry);
        self
    }

    /// An entry is gone.
    #[must_use]
    pub fn removed(mut self, id: impl Into<String>) -> Self {
        self.removed.push(id.into());
        self
    }

    /// Adds what has changed later in the same list.
    pub(crate) fn extend(&mut self, later: &Self) {
        if self.reload || later.reload {
            *self = Self::reload(self.kind);
            return;
        }
        // Looked up, not looked for: both may be long.
        let named: HashSet<&str> =
            later.removed.iter().chain(later.changed.iter().map(|entry| &entry.id)).map(String::as_str).collect();
        self.changed.retain(|entry| !named.contains(&*entry.id));
        self.removed.retain(|id| !named.contains(&**id));
        self.changed.extend(later.changed.iter().cloned());
        self.removed.extend(later.removed.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ListRequest {
        ListRequest::new(ListKind::Destinations, 2)
    }

    fn all() -> Vec<ListEntry> {
        let entry = |id: &str, name: &str| ListEntry::new(id).name(name).address(Address::new(format!("+1{id}")));
        vec![entry("1", "Ada"), entry("2", "Ben"), entry("3", "Älva"), entry("4", "Ada B.")]
    }

    fn ids(page: &ListPage) -> Vec<&str> {
        page.entries.iter().map(|entry| &*entry.id).collect()
    }

    #[test]
    fn pages_follow_each_other_until_all_has_been_given() {
        let first = request().page(all());
        assert_eq!((ids(&first), first.next.as_deref()), (vec!["1", "2"], Some("2")));
        let second = ListRequest { after: first.next, ..request() }.page(all());
        assert_eq!((ids(&second), &second.next), (vec!["3", "4"], &None));
    }

    #[test]
    fn a_search_looks_at_names_ids_and_addresses_whatever_the_case() {
        for (query, found) in [("ADA", vec!["1", "4"]), ("älv", vec!["3"]), ("+12", vec!["2"]), ("zz", vec![])] {
            let page = ListRequest { query: Some(query.to_owned()), ..request() }.page(all());
            assert_eq!((ids(&page), &page.next), (found, &None), "{query}");
        }
    }

    #[test]
    fn later_changes_take_the_place_of_earlier_ones() {
        let entry = |id: &str, name: &str| ListEntry::new(id).name(name);
        let mut change =
            ListChange::new(ListKind::Queues).changed(entry("a", "1")).changed(entry("b", "1")).removed("c");
        change
            .extend(&ListChange::new(ListKind::Queues).changed(entry("a", "2")).changed(entry("c", "2")).removed("b"));
        let merged = ListChange::new(ListKind::Queues).changed(entry("a", "2")).changed(entry("c", "2")).removed("b");
        assert_eq!(change, merged);
        change.extend(&ListChange::reload(ListKind::Queues));
        change.extend(&merged);
        assert_eq!(change, ListChange::reload(ListKind::Queues));
    }

    /// Compared each with each, these would take minutes.
    #[test]
    fn changes_of_a_long_list_are_put_together_without_comparing_each_with_each() {
        let half = |from: usize| (from..from + 50_000).map(|n| ListEntry::new(n.to_string()));
        let mut change = ListChange { changed: half(0).collect(), ..ListChange::new(ListKind::Destinations) };
        change.extend(&ListChange { changed: half(25_000).collect(), ..ListChange::new(ListKind::Destinations) });
        assert_eq!(change.changed.len(), 75_000);
    }
}
