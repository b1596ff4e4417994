//! What must outlive this process, and how the model is made from it again.
//!
//! Owns: [`Memory`] and its two places. Calls live on in Asterisk when this process dies, so what belongs to a call is
//! kept there too: each channel carries in the variable [`VARIABLE`] who it is (a party, or an agent's leg with all that
//! the agent has) and which bridge it belongs to. The host keeps the rest: what an agent has whose phone has no leg.
//! Must never: trust what it reads to be whole; whatever is missing is made up for by [`resync`](super::resync).

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jackfield_plugin_api::{Outcome, report::ConversationState};
use serde::{Deserialize, Serialize};

use super::{
    CommandId, Switch, What,
    model::{
        Availability, ChannelId, Desk, Interaction, Leg, LegWaiter, Owner, Party, PartyState, Phone, PhoneKey,
        Recording, RoomId, Seat, Ticket, Work, WrapUp,
    },
    queue_history::{Entry, seconds_since},
    rooms::segment,
    session::KEEP,
};
use crate::ari::{Channel, Request};

/// The channel variable in which Asterisk keeps what we must know of a channel.
pub(super) const VARIABLE: &str = "JACKFIELD";
/// The host keeps no more than 64 KiB of an agent.
const LARGEST: usize = 64 << 10;
/// Asterisk takes no frame above 64 KiB, and quotes are escaped twice on the way.
const LARGEST_RECORD: usize = 16 << 10;

/// Phones and parties, and the rooms that they name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    phones: Vec<KnownPhone>,
    rooms: Vec<KnownRoom>,
    party: Option<Party>,
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
    /// The queue, and whether the customer waits in it.
    ticket: Option<(String, bool)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Entry>,
    /// When the customer came, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrived: Option<u64>,
    recording: Option<Recording>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<ChannelId>,
}

// Writing.

impl Switch {
    /// What the host must know of an agent for another process to go on.
    pub(super) fn memory_of(&self, agent: &str) -> Vec<u8> {
        let phones: Vec<&Phone> = self.phones_of(agent).iter().filter_map(|key| self.phones.get(key)).collect();
        let memory =
            Memory { rooms: self.rooms_of(&phones), phones: phones.iter().map(|it| known(it)).collect(), party: None };
        memory.text(LARGEST).into_bytes()
    }

    fn rooms_of(&self, phones: &[&Phone]) -> Vec<KnownRoom> {
        let conversations = phones.iter().flat_map(|it| &it.interactions).flat_map(|it| &it.conversations);
        let rooms: BTreeSet<RoomId> = conversations.map(|it| it.room).collect();
        rooms.into_iter().filter_map(|id| self.known_room(id)).collect()
    }

    fn known_room(&self, id: RoomId) -> Option<KnownRoom> {
        let room = self.rooms.get(&id)?;
        Some(KnownRoom {
            id,
            bridge: room.bridge.clone(),
            ticket: room.ticket.as_ref().map(|ticket| (ticket.queue.clone(), ticket.waiting)),
            entry: room.ticket.as_ref().and_then(|ticket| ticket.entry.clone()),
            arrived: room.ticket.as_ref().map(|ticket| ticket.arrived),
            recording: room.recording.clone(),
            call: room.call.clone(),
        })
    }

    /// What Asterisk keeps on an agent's leg. `None`: the leg goes with the command that it is called for.
    pub(super) fn leg_record(&self, key: &str) -> Option<String> {
        let phone = self.phones.get(key)?;
        let kept = !matches!(phone.waiting, Some(LegWaiter::Activate(_) | LegWaiter::Dial { .. }));
        kept.then(|| {
            Memory { phones: vec![known(phone)], rooms: self.rooms_of(&[phone]), party: None }.text(LARGEST_RECORD)
        })
    }

    fn party_record(&self, channel: &str) -> Option<String> {
        let party = self.parties.get(channel).filter(|party| party.state != PartyState::Away)?;
        let rooms = self.known_room(party.room).into_iter().collect();
        Some(Memory { phones: Vec::new(), rooms, party: Some(party.clone()) }.text(LARGEST_RECORD))
    }

    /// Tells Asterisk what changed of what it keeps on a leg.
    pub(super) fn keep_leg(&mut self, key: &str) {
        let Some(channel) = self.phones.get(key).and_then(|phone| phone.leg.up().cloned()) else { return };
        let Some(record) = self.leg_record(key) else { return };
        let Some(phone) = self.phones.get_mut(key).filter(|phone| phone.told_record != record) else { return };
        phone.told_record.clone_from(&record);
        self.keep(&channel, record);
    }

    /// The same on the parties of a room.
    pub(super) fn keep_parties(&mut self, room: RoomId) {
        let channels = self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default();
        for channel in channels {
            let Some(record) = self.party_record(&channel) else { continue };
            let Some(party) = self.parties.get_mut(&channel).filter(|party| party.told_record != record) else {
                continue;
            };
            party.told_record.clone_from(&record);
            self.keep(&channel, record);
        }
    }

    fn keep(&mut self, channel: &str, record: String) {
        let request = Request::post(format!("channels/{}/variable", segment(channel)));
        self.send(request.with("variable", VARIABLE).with("value", record), What::Lenient);
    }
}

impl Memory {
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As a text of so many bytes at the most. Call data that is too much for it is left out: better that than the call.
    fn text(mut self, most: usize) -> String {
        let text = serde_json::to_string(&self).unwrap_or_default();
        if text.len() <= most {
            return text;
        }
        for interaction in self.phones.iter_mut().flat_map(|phone| &mut phone.interactions) {
            interaction.data.clear();
        }
        if let Some(party) = &mut self.party {
            party.data.clear();
        }
        serde_json::to_string(&self).unwrap_or_default()
    }
}

fn known(phone: &Phone) -> KnownPhone {
    KnownPhone {
        key: phone.key.clone(),
        agent: phone.agent.clone(),
        work: phone.work,
        leg: phone.leg.clone(),
        offer: phone.waiting == Some(LegWaiter::Offer),
        queues: phone.queues.clone(),
        availability: phone.availability.clone(),
        pending: phone.pending.clone(),
        wrap_up: phone.wrap_up.as_ref().map(|wrap_up| wrap_up.until.is_some()),
        muted: phone.muted,
        interactions: phone.interactions.clone(),
    }
}

// Reading.

impl Switch {
    /// An agent whom an earlier process knew is here again.
    pub(super) fn resume(&mut self, id: CommandId, agent: String, session: String, memory: &[u8]) {
        let desk =
            self.desks.entry(agent.clone()).or_insert(Desk { session: None, phones: Vec::new(), keep_until: None });
        desk.session = Some(session);
        desk.keep_until = None;
        if !memory.is_empty() {
            match serde_json::from_slice(memory) {
                // What Asterisk keeps is newer, so it is read first.
                Ok(memory) => self.resumes.push((agent, memory)),
                Err(error) => self.warn(format!("what was remembered of an agent cannot be read: {error}")),
            }
        }
        if self.up && self.resync.is_none() {
            self.recall_agents();
        }
        self.queues_touched = true;
        self.reply(id, Outcome::success());
    }

    /// Takes over what the host kept of agents, as far as Asterisk did not know it.
    pub(super) fn recall_agents(&mut self) {
        for (agent, memory) in std::mem::take(&mut self.resumes) {
            let rooms = self.recall_rooms(&memory.rooms);
            for known in memory.phones.into_iter().filter(|known| known.agent == agent) {
                let key = known.key.clone();
                self.recall_phone(known, &rooms, None);
                // A call on a phone without a leg is over.
                if self.phones.get(&key).is_some_and(|phone| phone.leg == Leg::None) {
                    self.end_calls_of(&key, None);
                    self.schedule_recall(&key);
                    self.restore_leg(&key);
                }
            }
            for room in rooms.into_values() {
                self.settle(room, super::rooms::Left::lost());
            }
        }
    }

    /// Takes over a channel by what Asterisk keeps on it.
    pub(super) fn recall_channel(&mut self, channel: &Channel, memory: Memory) -> Vec<RoomId> {
        let rooms = self.recall_rooms(&memory.rooms);
        if let Some(mut party) = memory.party {
            let Some(room) = rooms.get(&party.room).copied() else { return Vec::new() };
            party.room = room;
            if party.state == PartyState::Waiting && channel.is_up() {
                party.state = PartyState::Up;
            }
            self.add_party(room, channel.id.clone(), party);
        }
        for known in memory.phones.into_iter().filter(|known| known.leg.channel() == Some(&channel.id)) {
            self.recall_phone(known, &rooms, Some(channel));
        }
        rooms.into_values().collect()
    }

    /// The rooms by the names that a memory gives them; those that are not known are made.
    fn recall_rooms(&mut self, rooms: &[KnownRoom]) -> HashMap<RoomId, RoomId> {
        let mut ids = HashMap::new();
        for known in rooms {
            let there = self.rooms.iter().find(|(_, room)| room.bridge == known.bridge).map(|(id, _)| *id);
            ids.insert(known.id, there.unwrap_or_else(|| self.recall_room(known)));
        }
        ids
    }

    fn recall_room(&mut self, known: &KnownRoom) -> RoomId {
        let ticket = known.ticket.as_ref();
        let ticket = ticket.map(|(queue, waiting)| Ticket {
            waiting: *waiting,
            entry: known.entry.clone(),
            ..self.ticket_since(queue, known.arrived)
        });
        let id = self.new_room(ticket);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.bridge.clone_from(&known.bridge);
            room.recording.clone_from(&known.recording);
            room.call.clone_from(&known.call);
            // Nobody knows.
            room.mixed = true;
        }
        match &known.ticket {
            Some((queue, true)) => {
                self.wait_in_queue(id, queue);
                self.overflows_as_before(id);
            }
            _ => self.touch_room(id),
        }
        id
    }

    /// What a caller has waited before counts; but agents may still come back.
    fn overflows_as_before(&mut self, room: RoomId) {
        let not_before = self.strays_stay_until.unwrap_or(self.now);
        let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) else { return };
        let waited = ticket.entry.as_ref().map_or(0, |entry| seconds_since(entry.entered));
        let at = ticket.overflow_at.map(|at| at.checked_sub(Duration::from_secs(waited)).unwrap_or(not_before));
        ticket.overflow_at = at.map(|at| at.max(not_before));
    }

    /// A phone, by the leg that Asterisk has or by what the host kept.
    fn recall_phone(&mut self, known: KnownPhone, rooms: &HashMap<RoomId, RoomId>, leg: Option<&Channel>) {
        let keep_until = self.now + KEEP;
        if !self.phones.contains_key(&known.key) {
            let empty = Desk { session: None, phones: Vec::new(), keep_until: Some(keep_until) };
            self.desks.entry(known.agent.clone()).or_insert(empty);
            self.add_phone(&known.agent, &known.key);
        }
        let wrap_up_ends = self.now + self.settings.wrap_up;
        let Some(phone) = self.phones.get_mut(&known.key).filter(|phone| phone.agent == known.agent) else { return };
        if phone.leg == Leg::None {
            phone.work = known.work;
            phone.queues = known.queues;
            phone.availability = known.availability;
            phone.pending = known.pending;
            phone.wrap_up = known.wrap_up.map(|ends| WrapUp { until: ends.then_some(wrap_up_ends) });
            phone.muted = known.muted;
            phone.told_call = None;
            phone.told_transfers = None;
            if let Some(channel) = leg {
                phone.leg = if matches!(known.leg, Leg::Up(_)) { Leg::Up(channel.id.clone()) } else { known.leg };
                phone.waiting = known.offer.then_some(LegWaiter::Offer);
                self.owners.insert(channel.id.clone(), Owner::Leg(known.key.clone()));
            }
        }
        let mut seats = Vec::new();
        for mut interaction in known.interactions {
            if phone.interactions.iter().any(|other| other.key == interaction.key) {
                continue;
            }
            // At most one goes on.
            if interaction.ended.is_none() && phone.live().is_some() {
                continue;
            }
            interaction.conversations.retain_mut(|conversation| match rooms.get(&conversation.room) {
                Some(room) => {
                    conversation.room = *room;
                    true
                }
                None => false,
            });
            for conversation in &interaction.conversations {
                let until =
                    (conversation.state == ConversationState::Alerting).then(|| self.now + self.settings.offer_timeout);
                let (phone, interaction) = (known.key.clone(), interaction.key.clone());
                let seat = Seat { phone, interaction, conversation: conversation.key.clone(), until, waiter: None };
                seats.push((conversation.room, seat));
            }
            phone.interactions.push(interaction);
        }
        // The one that goes on is the newest.
        phone.interactions.sort_by_key(|interaction| interaction.ended.is_none());
        for (room, seat) in seats {
            if let Some(room) = self.rooms.get_mut(&room) {
                room.seats.push(seat);
            }
            self.touch_room(room);
        }
        self.touch_phone(&known.key);
    }
}
