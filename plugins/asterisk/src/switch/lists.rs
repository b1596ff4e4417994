//! Lists for the menus of desktops: reasons, queues, phones, and whom one can call.
//!
//! Owns: how the settings, the model and Asterisk's endpoints make entries. Must never: change anything.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Code, Failure, Json, Timestamp,
    lists::{Address, DestinationType, ListEntry, ListKind, ListRequest, Presence, PresenceState},
    report::ChannelType,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Switch, What,
    model::{Availability, CommandId, Phone, Work},
};
use crate::ari::{Endpoint, Request, Response};

impl Switch {
    pub(super) fn show_list(&mut self, id: CommandId, request: ListRequest) {
        if request.under.is_some() {
            return self.refuse(id, Code::NotFound, "nothing is listed under that");
        }
        let all: Vec<ListEntry> = match request.kind {
            ListKind::Reasons => {
                self.settings.reasons.iter().map(|(code, words)| ListEntry::new(code).name(words)).collect()
            }
            ListKind::Queues => return self.show_queues(id, request),
            ListKind::Endpoints | ListKind::Destinations => {
                return self.send(Request::get("endpoints"), What::Listed(id, Box::new(request)));
            }
            _ => return self.refuse(id, Code::Unsupported, "Asterisk has no such list"),
        };
        self.reply(id, request.page(all));
    }

    /// One of the adapter's own queues.
    pub(super) fn listed_queue(&self, name: &str) -> ListEntry {
        let tickets = self.rooms.values().filter_map(|room| room.ticket.as_ref());
        let waiting = || tickets.clone().filter(|ticket| ticket.is_on_line() && ticket.queue == *name);
        let ready = self.phones.values().filter(|it| self.takes_contacts(it) && it.queues.contains(name));
        let mut entry = ListEntry::new(name).channel_type(ChannelType::Telephony);
        entry.waiting = Some(waiting().count() as u64);
        entry.waiting_since = waiting().map(|ticket| ticket.since).min().map(|since| {
            let waited = self.now.saturating_duration_since(since).as_millis();
            Timestamp(Timestamp::now().0.saturating_sub(u64::try_from(waited).unwrap_or_default()))
        });
        entry.ready = Some(ready.count() as u64);
        entry.data = self.figures_of(name);
        let callbacks = self.callbacks_in(name).map(|count| ("callbacks".to_owned(), json!(count).into()));
        entry.data.extend(callbacks);
        entry
    }

    /// The phones that Asterisk has, and how each is, in its own word where none of ours is at work on it.
    pub(super) fn extensions(&self, response: &Response) -> Result<BTreeMap<String, &'static str>, Failure> {
        if !response.is_ok() {
            let failure = Failure::new(Code::Rejected, "Asterisk does not list its endpoints");
            return Err(failure.context(response.words()));
        }
        let endpoints = response.body.as_array().into_iter().flatten();
        let endpoints = endpoints.filter_map(|endpoint| Endpoint::deserialize(endpoint).ok());
        let phones = endpoints.filter(|endpoint| {
            let name = format!("{}/{}", endpoint.technology, endpoint.resource);
            let is_phone = self.settings.phone.replace("{extension}", &endpoint.resource) == name;
            is_phone && !self.settings.hidden.contains(&endpoint.resource)
        });
        let mut found: BTreeMap<String, &'static str> = phones
            .map(|endpoint| {
                let state = match (endpoint.state.as_str(), endpoint.channel_ids.is_empty()) {
                    ("offline", _) => "offline",
                    (_, true) => "free",
                    (_, false) => "busy",
                };
                (endpoint.resource, state)
            })
            .collect();
        // An idle leg is no call: of agents at work we know better.
        for phone in self.phones.values().filter(|phone| phone.work == Work::Active) {
            found.insert(phone.key.clone(), if phone.is_free() { "free" } else { "busy" });
        }
        Ok(found)
    }

    /// Asterisk has said which phones it has.
    pub(super) fn endpoints_listed(&mut self, id: CommandId, request: &ListRequest, response: &Response) {
        let extensions = match self.extensions(response) {
            Ok(extensions) => extensions,
            Err(failure) => return self.reply(id, failure),
        };
        let all: Vec<ListEntry> = if request.kind == ListKind::Endpoints {
            let endpoint = |(extension, _): (String, _)| {
                let mut entry = ListEntry::new(&extension).channel_type(ChannelType::Telephony);
                entry.in_use = Some(self.phones.contains_key(&extension));
                entry
            };
            extensions.into_iter().map(endpoint).collect()
        } else {
            let own = self.settings.queues.iter().filter(|(_, queue)| !queue.app_queue);
            let queues = own.map(|(name, _)| {
                let entry = ListEntry::new(format!("queue:{name}")).name(name).destination(DestinationType::Queue);
                entry.address(Address::new(name))
            });
            let places = self.settings.destinations.keys().map(|name| {
                let entry = ListEntry::new(format!("place:{name}")).name(name).destination(DestinationType::External);
                entry.address(Address::new(name))
            });
            let contacts = self.settings.contacts.iter().map(|(name, number)| {
                let entry = ListEntry::new(format!("contact:{name}")).name(name);
                entry.destination(DestinationType::External).address(Address::new(number))
            });
            let people = extensions.iter().map(|(extension, state)| self.person(extension, state));
            people.chain(queues).chain(places).chain(contacts).collect()
        };
        self.reply(id, request.page(all));
    }

    fn person(&self, extension: &str, state: &str) -> ListEntry {
        let entry = ListEntry::new(extension).destination(DestinationType::Colleague).address(Address::new(extension));
        match self.phones.get(extension).filter(|phone| phone.work == Work::Active) {
            Some(phone) => entry.name(&phone.agent).presence(presence(phone)),
            None => entry.presence(Presence::new(match state {
                "busy" => PresenceState::Busy,
                "free" => PresenceState::NotReady,
                _ => PresenceState::Offline,
            })),
        }
    }
}

/// The figures of a queue, as both kinds of queues have them. `share`: of the answered calls, those that did not wait longer
/// than `seconds`.
pub(super) fn listed_figures(
    answered: u64,
    abandoned: u64,
    answered_by: &BTreeMap<String, u64>,
    share: Option<f64>,
    seconds: u64,
) -> BTreeMap<String, Json> {
    let mut data = BTreeMap::from([
        ("answered".to_owned(), json!(answered).into()),
        ("abandoned".to_owned(), json!(abandoned).into()),
        ("answeredBy".to_owned(), json!(answered_by).into()),
        ("serviceLevelSeconds".to_owned(), json!(seconds).into()),
    ]);
    data.extend(share.map(|share| ("serviceLevel".to_owned(), json!(share).into())));
    data
}

fn presence(phone: &Phone) -> Presence {
    match &phone.availability {
        _ if phone.live().is_some() || phone.elsewhere => Presence::new(PresenceState::Busy),
        _ if phone.wrap_up.is_some() => Presence::new(PresenceState::Acw),
        Availability::Ready => Presence::new(PresenceState::Ready),
        Availability::NotReady { code, desc } => {
            Presence::new(PresenceState::NotReady).reason(code.clone(), desc.clone())
        }
    }
}
