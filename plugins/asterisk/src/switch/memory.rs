//! What must outlive this process: the host keeps it and hands it back when the agents are logged in again.
//!
//! Owns: [`Memory`], how it is written and how the model is made from it. Calls live on in Asterisk when this process
//! dies, but Asterisk does not know who was whose. After [`recall`](Switch::recall) the model is as it was, as after a
//! lost link, and [`resync`](super::resync) finds out what has changed since.

use std::collections::{BTreeSet, HashMap};

use jackfield_plugin_api::{Outcome, report::ConversationState};
use serde::{Deserialize, Serialize};

use super::{
    CommandId, Switch,
    model::{
        Availability, ChannelId, Desk, Interaction, Leg, LegWaiter, Owner, Party, Phone, PhoneKey, Recording, RoomId,
        Seat, Ticket, Work, WrapUp,
    },
    session::KEEP,
};

/// The host keeps no more than 64 KiB; an agent with more call data than that finds no call again.
const LARGEST: usize = 64 << 10;

/// An agent, and whoever is in a call with that agent.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    phones: Vec<KnownPhone>,
    rooms: Vec<KnownRoom>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KnownPhone {
    key: PhoneKey,
    agent: String,
    work: Work,
    leg: Leg,
    /// The leg is being called for an offer.
    offer: bool,
    queues: BTreeSet<String>,
    availability: Availability,
    pending: Option<Availability>,
    /// After-call work, which has an end or has none.
    wrap_up: Option<bool>,
    muted: bool,
    interactions: Vec<Interaction>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KnownRoom {
    /// As the conversations and parties in this memory name it.
    id: RoomId,
    bridge: String,
    parties: Vec<(ChannelId, Party)>,
    seats: Vec<Seat>,
    /// The queue, and whether the customer waits in it.
    ticket: Option<(String, bool)>,
    recording: Option<Recording>,
}

impl Switch {
    /// What must be known of an agent to go on in another process.
    pub(super) fn memory_of(&self, agent: &str) -> Vec<u8> {
        let mut phones = self.phones_of(agent);
        let mut rooms = BTreeSet::new();
        let mut at = 0;
        // A call's other agents belong to it, and what they hold meanwhile.
        while let Some(phone) = phones.get(at).and_then(|key| self.phones.get(key)) {
            at += 1;
            for conversation in phone.interactions.iter().flat_map(|it| &it.conversations) {
                let Some(room) = self.rooms.get(&conversation.room).filter(|_| rooms.insert(conversation.room)) else {
                    continue;
                };
                for seat in &room.seats {
                    if !phones.contains(&seat.phone) {
                        phones.push(seat.phone.clone());
                    }
                }
            }
        }
        let memory = Memory {
            phones: phones.iter().filter_map(|key| self.phones.get(key)).map(|it| known_phone(it, agent)).collect(),
            rooms: rooms.into_iter().filter_map(|id| self.known_room(id)).collect(),
        };
        serde_json::to_vec(&memory).ok().filter(|bytes| bytes.len() <= LARGEST).unwrap_or_default()
    }

    fn known_room(&self, id: RoomId) -> Option<KnownRoom> {
        let room = self.rooms.get(&id)?;
        let party = |channel: &ChannelId| Some((channel.clone(), self.parties.get(channel)?.clone()));
        Some(KnownRoom {
            id,
            bridge: room.bridge.clone(),
            parties: room.parties.iter().filter_map(party).collect(),
            seats: room.seats.clone(),
            ticket: room.ticket.as_ref().map(|ticket| (ticket.queue.clone(), ticket.waiting)),
            recording: room.recording.clone(),
        })
    }

    /// An agent whom an earlier process knew is here again.
    pub(super) fn resume(&mut self, id: CommandId, agent: String, session: String, memory: &[u8]) {
        if !memory.is_empty() {
            match serde_json::from_slice(memory) {
                Ok(memory) => self.recall(memory, &agent),
                Err(error) => self.warn(format!("what was remembered of an agent cannot be read: {error}")),
            }
        }
        let desk = self.desks.entry(agent).or_insert(Desk { session: None, phones: Vec::new(), keep_until: None });
        desk.session = Some(session);
        desk.keep_until = None;
        self.list_again();
        self.reply(id, Outcome::success());
    }

    /// Makes the model what it was.
    fn recall(&mut self, memory: Memory, agent: &str) {
        let mut rooms = HashMap::new();
        let mut seats = Vec::new();
        for room in memory.rooms {
            let known = self.rooms.iter().find(|(_, known)| known.bridge == room.bridge).map(|(id, _)| *id);
            let id = known.unwrap_or_else(|| self.recall_room(&room));
            rooms.insert(room.id, id);
            seats.extend(room.seats.into_iter().map(|seat| (id, seat)));
        }
        for phone in memory.phones {
            self.recall_phone(phone, agent, &rooms);
        }
        for (id, seat) in seats {
            self.recall_seat(id, seat);
        }
    }

    fn recall_room(&mut self, known: &KnownRoom) -> RoomId {
        let now = self.now;
        let ticket = known.ticket.as_ref().map(|(queue, waiting)| Ticket {
            queue: queue.clone(),
            since: now,
            waiting: *waiting,
            overflow_at: None,
            unread: 0,
            refused: std::collections::BTreeMap::new(),
        });
        let id = self.new_room(ticket);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.bridge.clone_from(&known.bridge);
            room.recording.clone_from(&known.recording);
        }
        for (channel, party) in &known.parties {
            if !self.owners.contains_key(channel) {
                self.add_party(id, channel.clone(), Party { room: id, ..party.clone() });
            }
        }
        id
    }

    /// A phone of this agent's, or of another's who is in the same call and may come back any moment.
    fn recall_phone(&mut self, known: KnownPhone, agent: &str, rooms: &HashMap<RoomId, RoomId>) {
        let keep_until = self.now + KEEP;
        let is_new = !self.phones.contains_key(&known.key);
        if is_new {
            let empty = Desk { session: None, phones: Vec::new(), keep_until: Some(keep_until) };
            self.desks.entry(known.agent.clone()).or_insert(empty);
            self.add_phone(&known.agent, &known.key);
        }
        let wrap_up_ends = self.now + self.settings.wrap_up;
        let Some(phone) = self.phones.get_mut(&known.key).filter(|phone| phone.agent == known.agent) else { return };
        if is_new {
            phone.work = known.work;
            phone.leg = known.leg;
            phone.waiting = known.offer.then_some(LegWaiter::Offer);
        }
        if is_new || known.agent == agent {
            phone.queues = known.queues;
            phone.availability = known.availability;
            phone.pending = known.pending;
            phone.wrap_up = known.wrap_up.map(|ends| WrapUp { until: ends.then_some(wrap_up_ends) });
            phone.muted = known.muted;
        }
        for mut interaction in known.interactions {
            if phone.interactions.iter().any(|other| other.key == interaction.key) {
                continue;
            }
            for conversation in &mut interaction.conversations {
                conversation.room = rooms.get(&conversation.room).copied().unwrap_or_default();
            }
            phone.interactions.push(interaction);
        }
        // The one that goes on is the newest.
        phone.interactions.sort_by_key(|interaction| interaction.ended.is_none());
        if let Some(channel) = phone.leg.channel().filter(|_| is_new) {
            self.owners.insert(channel.clone(), Owner::Leg(known.key));
        }
    }

    fn recall_seat(&mut self, id: RoomId, mut seat: Seat) {
        let Some(state) = self.conversation(&seat).map(|conversation| conversation.state) else { return };
        seat.until = (state == ConversationState::Alerting).then(|| self.now + self.settings.offer_timeout);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.seats.iter().all(|other| other.conversation != seat.conversation) {
            room.seats.push(seat);
        }
        self.touch_room(id);
    }
}

fn known_phone(phone: &Phone, agent: &str) -> KnownPhone {
    let offer = phone.waiting == Some(LegWaiter::Offer);
    let wanted = phone.leg.up().is_some() || phone.work == Work::Lost || offer;
    KnownPhone {
        key: phone.key.clone(),
        agent: phone.agent.clone(),
        work: phone.work,
        // A leg that is called for a command goes with the command.
        leg: if wanted { phone.leg.clone() } else { Leg::None },
        offer,
        queues: phone.queues.clone(),
        availability: phone.availability.clone(),
        pending: phone.pending.clone(),
        wrap_up: phone.wrap_up.as_ref().map(|wrap_up| wrap_up.until.is_some()),
        muted: phone.muted,
        // Of others only the call itself: what else they have, they remember themselves.
        interactions: phone
            .interactions
            .iter()
            .filter(|interaction| phone.agent == agent || interaction.ended.is_none())
            .cloned()
            .collect(),
    }
}
