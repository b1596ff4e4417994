//! Makes Asterisk agree with the model: who is in which bridge, who hears music or a ringing tone, who is muted.
//!
//! Owns: the difference between what Asterisk was told and what should be, and its order. Must never: change the model.
//! Only rooms and phones that were touched are looked at.

use std::collections::BTreeSet;

use jackfield_plugin_api::report::ConversationState;

use super::{
    Switch, What,
    confirm::mute_request,
    model::{ChannelId, Leg, PartyState, PhoneKey, RoomId},
    rooms::segment,
};
use crate::ari::Request;

/// How a room should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) inside: BTreeSet<ChannelId>,
    pub(super) music: bool,
    /// A leg that hears a ringing tone while the others' phones ring.
    ringing: Option<PhoneKey>,
}

impl Switch {
    /// Sends the differences. The order matters: a leg that moves is added to its new bridge without being removed from
    /// the old one, a bridge's music stops before someone talks in it, and a bridge goes when all have left it.
    pub(super) fn converge(&mut self) {
        // What was touched while Asterisk is being asked how things are waits for its answer.
        if !self.up || self.closing || self.resync.is_some() {
            return;
        }
        let phones: Vec<_> = std::mem::take(&mut self.touched_phones).into_iter().collect();
        for phone in &phones {
            if let Some(room) = self.phones.get(phone).and_then(super::model::Phone::engaged) {
                self.touched_rooms.insert(room);
            }
        }
        let rooms: Vec<(RoomId, Wanted)> = std::mem::take(&mut self.touched_rooms)
            .into_iter()
            .filter(|id| self.rooms.contains_key(id))
            .map(|id| (id, self.wanted(id)))
            .collect();
        for (id, wanted) in &rooms {
            self.prepare_bridge(*id, wanted);
        }
        for phone in &phones {
            self.stop_ringing(phone);
        }
        for (id, _) in &rooms {
            self.name_call_to_parties(*id);
        }
        for phone in &phones {
            self.name_call_to_leg(phone);
        }
        for (id, wanted) in &rooms {
            self.stop_members_music(*id);
            self.enter(*id, wanted);
        }
        for (id, wanted) in &rooms {
            self.withdraw(*id, wanted);
        }
        for (id, wanted) in &rooms {
            self.start_music(*id, wanted);
            self.start_members_music(*id);
        }
        for phone in &phones {
            self.start_ringing(phone);
            self.mute(phone);
        }
        for (bridge, inside) in std::mem::take(&mut self.dead_bridges) {
            self.take_legs_out(&bridge, &inside);
            self.send(Request::delete(bridge_uri(&bridge)), What::Lenient);
        }
        for (id, _) in &rooms {
            self.keep_parties(*id);
        }
        for phone in &phones {
            self.take_call_from_leg(phone);
            self.keep_leg(phone);
            self.tell_device_state(phone);
            self.log_membership(phone);
        }
        self.dial_made();
    }

    /// Calls those who were made, now that they are in their bridge if there is one for them.
    fn dial_made(&mut self) {
        for channel in std::mem::take(&mut self.to_dial) {
            if self.parties.contains_key(&channel) {
                let uri = format!("channels/{}/dial", segment(&channel));
                let timeout = self.settings.dial_timeout.as_secs().max(1).to_string();
                self.send(Request::post(uri).with("timeout", timeout), What::Dialed(channel));
            }
        }
    }

    pub(super) fn wanted(&self, id: RoomId) -> Wanted {
        let Some(room) = self.rooms.get(&id) else { return Wanted::default() };
        let member_held = room.parties.iter().any(|channel| self.parties.get(channel).is_some_and(|it| it.held));
        let is_up = |channel: &&ChannelId| {
            self.parties.get(*channel).is_some_and(|party| party.state == PartyState::Up && !party.held)
        };
        let parties: Vec<&ChannelId> = room.parties.iter().filter(is_up).collect();
        // When we go, nobody is left who could connect whom a transfer rings with who waits for it.
        let is_called =
            |channel: &&ChannelId| self.parties.get(*channel).is_some_and(|p| p.state == PartyState::Dialing);
        let called = room.parties.iter().filter(is_called).filter(|_| self.leaving && room.seats.is_empty());
        let mut talking: Vec<(&PhoneKey, &ChannelId)> = Vec::new();
        let mut held = member_held;
        for seat in &room.seats {
            let Some(conversation) = self.conversation(seat) else { continue };
            held |= conversation.state == ConversationState::Held;
            let phone = self.phones.get(&seat.phone).filter(|phone| phone.engaged() == Some(id));
            if let Some((key, channel)) = phone.and_then(|phone| phone.leg.up().map(|channel| (&phone.key, channel))) {
                talking.push((key, channel));
            }
        }
        let alone = parties.len() + talking.len() == 1;
        let is_agent_alone = talking.len() == 1 && parties.is_empty();
        let ringing = (alone && !held).then(|| talking.first().map(|(phone, _)| (*phone).clone())).flatten();
        let inside = if ringing.is_some() {
            BTreeSet::new()
        } else {
            parties.into_iter().chain(called).chain(talking.into_iter().map(|(_, channel)| channel)).cloned().collect()
        };
        // Who is supervised hears no music of ours, and neither does who is alone because the others are held one by one.
        let heard = room.parties.iter().any(|channel| self.supervising.contains(channel));
        let quiet = heard || member_held && is_agent_alone;
        Wanted { music: alone && ringing.is_none() && inside.len() == 1 && !quiet, inside, ringing }
    }

    fn prepare_bridge(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let bridge = room.bridge.clone();
        if !room.told_bridge && !wanted.inside.is_empty() {
            room.told_bridge = true;
            let request = Request::post("bridges").with("type", "mixing").with("bridgeId", bridge);
            self.send(request, What::Plain);
        } else if room.told_music && !wanted.music {
            room.told_music = false;
            self.send(Request::delete(format!("{}/moh", bridge_uri(&bridge))), What::Lenient);
        }
    }

    fn enter(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get(&id) else { return };
        let uri = format!("{}/addChannel", bridge_uri(&room.bridge));
        let coming: Vec<_> = wanted.inside.difference(&room.placed).cloned().collect();
        for channel in coming {
            for room in self.rooms.values_mut() {
                room.placed.remove(&channel);
            }
            if let Some(room) = self.rooms.get_mut(&id) {
                room.placed.insert(channel.clone());
            }
            self.send(Request::post(uri.clone()).with("channel", channel), What::Plain);
        }
    }

    /// Those who leave without going into another bridge.
    fn withdraw(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let uri = format!("{}/removeChannel", bridge_uri(&room.bridge));
        let going: Vec<_> = room.placed.difference(&wanted.inside).cloned().collect();
        room.placed.retain(|channel| wanted.inside.contains(channel));
        for channel in going {
            // Refused, it is out already.
            if self.owners.contains_key(&channel) {
                self.send(Request::post(uri.clone()).with("channel", channel), What::Lenient);
            }
        }
    }

    fn start_music(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if wanted.music && !room.told_music {
            room.told_music = true;
            let uri = format!("{}/moh", bridge_uri(&room.bridge));
            self.send(Request::post(uri), What::Lenient);
        }
    }

    /// A member who is held is in no bridge, so the music is the channel's own.
    fn start_members_music(&mut self, id: RoomId) {
        for channel in self.members_whose_music(id, true) {
            self.send(Request::post(music_uri(&channel)), What::Lenient);
        }
    }

    fn stop_members_music(&mut self, id: RoomId) {
        for channel in self.members_whose_music(id, false) {
            self.send(Request::delete(music_uri(&channel)), What::Lenient);
        }
    }

    /// Those in a room whose music is to start, or to stop.
    fn members_whose_music(&mut self, id: RoomId, starts: bool) -> Vec<ChannelId> {
        let channels = self.rooms.get(&id).map(|room| room.parties.clone()).unwrap_or_default();
        let changes = |channel: &ChannelId| {
            let party = self.parties.get_mut(channel);
            let party = party.filter(|party| party.held == starts && party.told_music != starts);
            party.map(|party| party.told_music = starts).is_some()
        };
        channels.into_iter().filter(changes).collect()
    }

    /// Whether the agent should hear a ringing tone: a call is offered to an idle leg, or the other's phone rings.
    pub(super) fn wants_ringing(&self, key: &str) -> bool {
        let Some(phone) = self.phones.get(key) else { return false };
        match phone.engaged() {
            Some(room) => self.wanted(room).ringing.is_some_and(|ringing| ringing == key),
            None => phone.is_offered(),
        }
    }

    fn stop_ringing(&mut self, key: &str) {
        let wants = self.wants_ringing(key);
        let Some(phone) = self.phones.get_mut(key) else { return };
        let Leg::Up(channel) = &phone.leg else { return };
        if phone.told_ringing && !wants {
            phone.told_ringing = false;
            let request = Request::delete(format!("channels/{}/ring", segment(channel)));
            self.send(request, What::Lenient);
        }
    }

    fn start_ringing(&mut self, key: &str) {
        let wants = self.wants_ringing(key);
        let Some(phone) = self.phones.get_mut(key) else { return };
        let Leg::Up(channel) = &phone.leg else { return };
        if wants && !phone.told_ringing {
            phone.told_ringing = true;
            let request = Request::post(format!("channels/{}/ring", segment(channel)));
            self.send(request, What::Lenient);
        }
    }

    fn mute(&mut self, key: &str) {
        let Some(phone) = self.phones.get_mut(key) else { return };
        let Leg::Up(channel) = &phone.leg else { return };
        if phone.muted == phone.told_muted {
            return;
        }
        phone.told_muted = phone.muted;
        let request = mute_request(channel, phone.muted);
        self.send(request, What::Plain);
    }
}

/// The path of the music that a channel hears outside of a bridge.
pub(super) fn music_uri(channel: &str) -> String {
    format!("channels/{}/moh", segment(channel))
}

/// The path of a bridge.
pub(super) fn bridge_uri(bridge: &str) -> String {
    format!("bridges/{}", segment(bridge))
}
