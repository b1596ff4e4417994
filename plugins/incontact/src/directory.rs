//! The address book: books, agents with their states, skills with their counts.
//!
//! Owns the one poller of a tenant: it runs while a session listens, asks CXone for what has changed since it asked
//! last, and tells all listeners. However many listen, CXone is asked once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use jackfield_plugin_api::{
    AgentHost, Failure, Report,
    lists::{Address, DestinationType, ListEntry, Presence, PresenceState},
    report::{ExtensionEvent, Target},
};
use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;

use crate::{
    api::{Api, Group, Pages, RETRY, Refusal, active, count, inside, text, truth},
    token::Key,
};

/// The event that tells what has changed.
pub(crate) const UPDATED: &str = "session.incontact.addressbook.updated";

/// Who listens, and with whose key CXone could be asked.
struct Listener {
    host: AgentHost,
    key: Key,
    agent: String,
    /// He knows the address book from before a crash, and is told all of it once.
    behind: bool,
}

/// The address book of a tenant.
pub(crate) struct Directory {
    api: Arc<Api>,
    /// The tenant's own key and number, which is preferred for polling.
    service: Option<Key>,
    listeners: Mutex<HashMap<String, Listener>>,
    poller: Mutex<Option<AbortHandle>>,
    /// What was read last for a list, for whom, and when: who types a name asks again and again.
    recent: Mutex<Option<(Instant, String, Arc<Contents>)>>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry, and where it stands.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    book: String,
    group: Option<String>,
    value: Value,
}

/// Where an entry stands: its kind, its book, its number.
type Place = (u8, String, String);

/// All that is known, by kind and number.
#[derive(Debug, Default, Clone)]
struct Contents {
    entries: BTreeMap<Place, Entry>,
    /// Names of agents, by number; states do not always carry them.
    names: BTreeMap<String, String>,
    /// When each kind was asked for last, in CXone's words.
    asked: BTreeMap<String, String>,
    books: Vec<(String, String, bool)>,
    /// All of it was read once.
    begun: bool,
    /// What cannot be read.
    left_out: BTreeSet<String>,
}

impl Directory {
    pub(crate) fn new(api: Arc<Api>, service: Option<Key>) -> Arc<Self> {
        Arc::new(Self { api, service, listeners: Mutex::default(), poller: Mutex::default(), recent: Mutex::default() })
    }

    /// Reads the whole address book for one agent.
    ///
    /// # Errors
    /// CXone refuses or cannot be asked.
    pub(crate) async fn read(&self, key: &Key, agent: &str) -> Result<Value, Failure> {
        let mut contents = Contents::default();
        self.refresh(&mut contents, self.service.as_ref().unwrap_or(key), agent).await?;
        Ok(compose(contents.entries.values()))
    }

    /// Whom an agent can call, each with the id of the book in which it stands; asked anew only after a while.
    ///
    /// # Errors
    /// CXone refuses or cannot be asked.
    pub(crate) async fn destinations(
        &self,
        key: &Key,
        agent: &str,
    ) -> Result<Vec<(Option<String>, ListEntry)>, Failure> {
        let asker = self.service.as_ref().unwrap_or(key);
        let fresh = |(at, whose, _): &&(Instant, String, _)| {
            *whose == asker.id && at.elapsed() < self.api.settings.timing.directory()
        };
        let recent = open(&self.recent).as_ref().filter(fresh).map(|(_, _, contents)| contents.clone());
        let contents = match recent {
            Some(contents) => contents,
            None => {
                let mut contents = Contents::default();
                self.refresh(&mut contents, asker, agent).await?;
                let contents = Arc::new(contents);
                *open(&self.recent) = Some((Instant::now(), asker.id.clone(), contents.clone()));
                contents
            }
        };
        Ok(contents.destinations())
    }

    /// A session wants to be told of changes; one that is behind did so before a crash, and may have missed some.
    pub(crate) fn listen(self: &Arc<Self>, session: &str, host: AgentHost, key: Key, agent: String, behind: bool) {
        open(&self.listeners).insert(session.to_owned(), Listener { host, key, agent, behind });
        let mut poller = open(&self.poller);
        if poller.as_ref().is_none_or(AbortHandle::is_finished) {
            *poller = Some(tokio::spawn(poll(Arc::downgrade(self))).abort_handle());
        }
    }

    /// Whether a session is told of changes.
    pub(crate) fn listens(&self, session: &str) -> bool {
        open(&self.listeners).contains_key(session)
    }

    /// A session does not any more.
    pub(crate) fn stop_listening(&self, session: &str) {
        let mut listeners = open(&self.listeners);
        listeners.remove(session);
        if listeners.is_empty()
            && let Some(poller) = open(&self.poller).take()
        {
            poller.abort();
        }
    }

    /// The key to poll with, and the agent whose books are read.
    fn asker(&self) -> Option<(Key, String)> {
        let listeners = open(&self.listeners);
        let first = listeners.iter().min_by_key(|(session, _)| *session).map(|(_, listener)| listener)?;
        Some((self.service.clone().unwrap_or_else(|| first.key.clone()), first.agent.clone()))
    }

    /// Tells what has changed; to those who are behind, all.
    fn tell(&self, changed: Option<&Value>, all: impl Fn() -> Value) {
        for listener in open(&self.listeners).values_mut() {
            let told = if std::mem::take(&mut listener.behind) { Some(all()) } else { changed.cloned() };
            if let Some(told) = told {
                listener.host.report(Report::new().event(ExtensionEvent::new(Target::Session, UPDATED, told)));
            }
        }
    }

    async fn pages(&self, key: &Key, group: Group, path: &str, params: Value) -> Result<Pages, Refusal> {
        self.api.all_pages(key, group, path, params).await
    }

    /// Brings the contents up to date; gives the keys of what changed. What this user may not read is left out; that CXone
    /// cannot be asked is a failure.
    async fn refresh(&self, contents: &mut Contents, key: &Key, agent: &str) -> Result<Vec<Place>, Refusal> {
        let mut changed = Vec::new();
        if !contents.begun {
            contents.books.clear();
            let names = self.read_names(contents, key).await;
            contents.note("agents' names", names)?;
            let books = self.read_books(contents, key, agent, &mut changed).await;
            contents.note("address books", books)?;
        }
        self.read_dynamic(contents, key, &mut changed).await?;
        let agents = self.read_agents(contents, key, &mut changed).await;
        contents.note("states of agents", agents)?;
        let skills = self.read_skills(contents, key, &mut changed).await;
        contents.note("activity of skills", skills)?;
        contents.begun = true;
        Ok(changed)
    }

    async fn read_names(&self, contents: &mut Contents, key: &Key) -> Result<(), Refusal> {
        for agent in self.pages(key, Group::Admin, "agents", json!({})).await?.items {
            let name = format!("{} {}", text(&agent, "firstName"), text(&agent, "lastName"));
            contents.names.insert(text(&agent, "agentId"), name.trim().to_owned());
        }
        Ok(())
    }

    async fn read_books(
        &self,
        contents: &mut Contents,
        key: &Key,
        agent: &str,
        changed: &mut Vec<Place>,
    ) -> Result<(), Refusal> {
        let path = format!("agents/{agent}/address-books");
        let books = self.pages(key, Group::Admin, &path, json!({"includeEntries": false})).await?;
        for book in books.items {
            let (id, name) = (text(&book, "addressBookId"), text(&book, "addressBookName"));
            let dynamic = text(&book, "addressBookType").eq_ignore_ascii_case("Dynamic");
            contents.books.push((id.clone(), name.clone(), dynamic));
            if !dynamic {
                let path = format!("address-books/{id}/entries");
                let entries = self.pages(key, Group::Admin, &path, json!({})).await;
                let entries = contents.note(&name, entries)?.map(|pages| pages.items).unwrap_or_default();
                for entry in &entries {
                    contents.put((0, id.clone(), entry_id(entry)), external(&name, entry), changed);
                }
            }
        }
        Ok(())
    }

    async fn read_dynamic(&self, contents: &mut Contents, key: &Key, changed: &mut Vec<Place>) -> Result<(), Refusal> {
        let books: Vec<_> = contents.books.iter().filter(|book| book.2).cloned().collect();
        for (id, name, _) in books {
            let asked = format!("book {id}");
            let params = contents.since(&asked, json!({"fullLoad": true}));
            let full = params.get("fullLoad").is_some();
            let path = format!("address-books/{id}/dynamic-entries");
            let read = self.pages(key, Group::Admin, &path, params).await;
            let Some(Pages { items, answer }) = contents.note(&name, read)? else { continue };
            let mut named = BTreeSet::new();
            for entry in &items {
                let place = (0, id.clone(), entry_id(entry));
                if truth(entry, "isDeleted") {
                    contents.remove(&place, changed);
                } else {
                    named.insert(place.clone());
                    contents.put(place, external(&name, entry), changed);
                }
            }
            if full {
                // What a full list does not name is gone.
                let mine = |place: &&Place| place.0 == 0 && place.1 == id && !named.contains(*place);
                let gone: Vec<_> = contents.entries.keys().filter(mine).cloned().collect();
                gone.iter().for_each(|place| contents.remove(place, changed));
            }
            let said = inside(&answer);
            let times =
                [text(&said["addressBook"], "serverTime"), text(said, "serverTime"), text(said, "lastPollTime")];
            contents.asked.insert(asked, times.into_iter().find(|time| !time.is_empty()).unwrap_or_default());
        }
        Ok(())
    }

    async fn read_agents(&self, contents: &mut Contents, key: &Key, changed: &mut Vec<Place>) -> Result<(), Refusal> {
        let params = contents.since("agents", json!({}));
        let Pages { items, answer } = self.pages(key, Group::Realtime, "agents/states", params).await?;
        for state in items {
            let id = text(&state, "agentId");
            let name = contents.names.get(&id).cloned().unwrap_or_else(|| {
                format!("{} {}", text(&state, "firstName"), text(&state, "lastName")).trim().to_owned()
            });
            let mut shown = text(&state, "agentStateName");
            let reason = text(&state, "outStateDescription");
            if truth(&state, "isACW") {
                "ACW".clone_into(&mut shown);
            } else if !reason.is_empty() {
                shown = format!("{shown}: {reason}");
            }
            let value = json!({
                "name": name, "type": "agent", "destinations": [{"label": "agent", "value": format!("agent:{id}")}],
                "properties": {"state": shown},
            });
            let group = Some(format!("Team {}", text(&state, "teamId")));
            contents.put((1, String::new(), id), Entry { book: "Agents".to_owned(), group, value }, changed);
        }
        contents.asked.insert("agents".to_owned(), text(inside(&answer), "lastPollTime"));
        Ok(())
    }

    async fn read_skills(&self, contents: &mut Contents, key: &Key, changed: &mut Vec<Place>) -> Result<(), Refusal> {
        let params = contents.since("skills", json!({}));
        let Pages { items, answer } = self.pages(key, Group::Realtime, "skills/activity", params).await?;
        for skill in items {
            let id = text(&skill, "skillId");
            let place = (2, String::new(), id.clone());
            if !active(&skill) {
                contents.remove(&place, changed);
                continue;
            }
            let media = text(&skill, "mediaTypeName");
            let mut properties = Map::new();
            properties.insert("mediaType".to_owned(), json!(media));
            for (ours, theirs) in [("numAvailable", "agentsAvailable"), ("numUnavailable", "agentsUnavailable")] {
                if let Some(count) = count(&skill[theirs]) {
                    properties.insert(ours.to_owned(), json!(count));
                }
            }
            let value = json!({
                "name": text(&skill, "skillName"), "type": "skill",
                "destinations": [{"label": "skill", "value": format!("skill:{id}")}], "properties": properties,
            });
            contents.put(place, Entry { book: "Skills".to_owned(), group: Some(media), value }, changed);
        }
        contents.asked.insert("skills".to_owned(), text(inside(&answer), "lastPollTime"));
        Ok(())
    }
}

/// Polls while anybody listens.
async fn poll(directory: Weak<Directory>) {
    let mut contents = Contents::default();
    let mut backoff = RETRY;
    let mut first = true;
    loop {
        let Some(directory) = directory.upgrade() else { return };
        let pause = directory.api.settings.timing.directory();
        let Some((key, agent)) = directory.asker() else { return };
        let refreshed = directory.refresh(&mut contents, &key, &agent).await;
        let pause = match refreshed {
            Ok(changed) => {
                backoff.reset();
                // The first time all is new; the listener has just read it.
                let news = !std::mem::take(&mut first) && !changed.is_empty();
                let changed = news.then(|| contents.changes(&changed));
                directory.tell(changed.as_ref(), || compose(contents.entries.values()));
                pause
            }
            Err(refusal) => {
                tracing::warn!("address book: {}", refusal.failure());
                pause.max(backoff.next_pause())
            }
        };
        drop(directory);
        tokio::time::sleep(pause).await;
    }
}

impl Contents {
    fn destinations(&self) -> Vec<(Option<String>, ListEntry)> {
        let books = self.books.iter().map(|(id, name, _)| {
            (None, ListEntry::new(format!("book:{id}")).name(name).destination(DestinationType::Book))
        });
        let entries = self.entries.iter().map(|((kind, book, id), entry)| {
            let name = text(&entry.value, "name");
            match kind {
                1 => {
                    let address = format!("agent:{id}");
                    let listed = ListEntry::new(&address).name(name).destination(DestinationType::Colleague);
                    let presence = presence(&text(&entry.value["properties"], "state"));
                    (None, listed.address(Address::new(address)).presence(presence))
                }
                2 => {
                    let address = format!("skill:{id}");
                    let listed = ListEntry::new(&address).name(name).destination(DestinationType::Queue);
                    (None, listed.address(Address::new(address)))
                }
                _ => {
                    let listed = ListEntry::new(format!("entry:{book}:{id}")).name(name);
                    let given = entry.value["destinations"].as_array().into_iter().flatten();
                    let numbers = given.filter(|given| given["label"] != "email");
                    let numbers = numbers.map(|it| Address::new(text(it, "value")).label(text(it, "label")));
                    let listed = numbers.fold(listed.destination(DestinationType::External), ListEntry::address);
                    (Some(format!("book:{book}")), listed)
                }
            }
        });
        books.chain(entries).collect()
    }

    /// What this user may not read, or this CXone does not have, is left out and said once.
    fn note<T>(&mut self, what: &str, read: Result<T, Refusal>) -> Result<Option<T>, Refusal> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(refusal) if matches!(refusal.status(), Some(400 | 403 | 404)) => {
                if self.left_out.insert(what.to_owned()) {
                    tracing::warn!("address book: {what} are left out: {}", refusal.failure());
                }
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn put(&mut self, place: Place, entry: Entry, changed: &mut Vec<Place>) {
        if self.entries.get(&place) != Some(&entry) {
            self.entries.insert(place.clone(), entry);
            changed.push(place);
        }
    }

    fn remove(&mut self, place: &Place, changed: &mut Vec<Place>) {
        if self.entries.remove(place).is_some() {
            changed.push(place.clone());
        }
    }

    /// Entries that have changed, as the desktop gets them.
    fn changes(&self, changed: &[Place]) -> Value {
        let entries = self.entries.iter().filter(|(place, _)| changed.contains(place));
        let mut told = compose(entries.map(|(_, entry)| entry));
        let gone = changed.iter().filter(|place| !self.entries.contains_key(*place));
        mark_gone(&mut told, gone, &self.books);
        told
    }

    fn since(&self, asked: &str, first: Value) -> Value {
        match self.asked.get(asked).filter(|time| !time.is_empty()) {
            Some(time) => json!({"updatedSince": time}),
            None => first,
        }
    }
}

/// A book while it is put together: its own entries, and those of its groups.
type Book<'a> = (Vec<&'a Value>, BTreeMap<&'a str, Vec<&'a Value>>);

/// The books as the desktop gets them: agents grouped by team, skills by media type.
fn compose<'a>(entries: impl Iterator<Item = &'a Entry>) -> Value {
    let mut books: BTreeMap<&str, Book<'_>> = BTreeMap::new();
    for entry in entries {
        let (plain, groups) = books.entry(&entry.book).or_default();
        match &entry.group {
            Some(group) => groups.entry(group).or_default().push(&entry.value),
            None => plain.push(&entry.value),
        }
    }
    let books = books.into_iter().map(|(name, (plain, groups))| {
        let groups = groups.into_iter().map(|(name, entries)| json!({"name": name, "groups": [], "entries": entries}));
        json!({"name": name, "groups": groups.collect::<Vec<_>>(), "entries": plain})
    });
    json!({"addressbooks": books.collect::<Vec<_>>()})
}

/// Entries that are gone stand in the change without destinations.
fn mark_gone<'a>(told: &mut Value, gone: impl Iterator<Item = &'a Place>, books: &[(String, String, bool)]) {
    for (_, book, id) in gone {
        let name = books.iter().find(|(known, ..)| known == book).map(|(_, name, _)| name.as_str()).unwrap_or_default();
        let entry = json!({"name": "", "type": "external", "destinations": [],
                           "properties": {"id": id, "deleted": true}});
        let book = json!({"name": name, "groups": [], "entries": [entry]});
        if let Some(list) = told["addressbooks"].as_array_mut() {
            list.push(book);
        }
    }
}

/// What an entry is known by; other systems' entries have a number of those.
fn entry_id(entry: &Value) -> String {
    let ids = ["addressBookEntryId", "externalId"].into_iter().map(|name| text(entry, name));
    ids.into_iter().find(|id| !id.is_empty()).unwrap_or_default()
}

fn external(book: &str, entry: &Value) -> Entry {
    let person = format!("{} {}", text(entry, "firstName"), text(entry, "lastName"));
    let company = text(entry, "company");
    let name = if person.trim().is_empty() { company.clone() } else { person.trim().to_owned() };
    let destinations: Vec<_> = ["phone", "mobile", "email"]
        .into_iter()
        .map(|label| (label, text(entry, label)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| json!({"label": label, "value": value}))
        .collect();
    let mut properties = Map::new();
    properties.insert("id".to_owned(), json!(entry_id(entry)));
    for (ours, value) in [("company", company), ("state", text(entry, "externalState"))] {
        if !value.is_empty() {
            properties.insert(ours.to_owned(), json!(value));
        }
    }
    let value = json!({"name": name, "type": "external", "destinations": destinations, "properties": properties});
    Entry { book: book.to_owned(), group: None, value }
}

/// A state as the address book shows it, in the protocol's words.
fn presence(shown: &str) -> Presence {
    let (state, reason) = shown.split_once(": ").map_or((shown, None), |(state, reason)| (state, Some(reason)));
    let reason = reason.map(str::to_owned);
    Presence::new(match state {
        "Available" => PresenceState::Ready,
        "Unavailable" | "LoggedIn" => PresenceState::NotReady,
        "ACW" => PresenceState::Acw,
        "LoggedOut" | "" => PresenceState::Offline,
        _ => PresenceState::Busy,
    })
    .reason(reason.clone(), reason)
}
