//! Makes Asterisk agree with the model: who is in which bridge, who hears music or a ringing tone, who is muted.
//!
//! Owns: the difference between what Asterisk was told and what should be, and its order. Must never: change the model.
//! Only rooms and phones that were touched are looked at.
//!
//! Asterisk mixes the sound of three, and passes it on between two. Its packages of Debian and Ubuntu carry a patch
//! (`opus_plc`) with which a channel can hear nothing of what is mixed if anything was passed on to it in the mixer's format
//! before: that has sequence numbers, what is mixed has none, and so it counts as late until the channel leaves the bridge.
//! It happens when a packet is under way while three become two. So music is the channel's own, as a bridge's would be a
//! third member on each hold, and two who have been three come into the bridge anew before they are three again. Who hears
//! music of his own leaves the bridge for it: inside, Asterisk sometimes does not stop it. But a recording, which is a
//! member too, ends when everybody else has left, so in its bridge the music is the bridge's.

use std::collections::BTreeSet;

use jackfield_plugin_api::report::ConversationState;

use super::{
    Switch, What,
    confirm::mute_request,
    model::{ChannelId, Leg, PartyState, PhoneKey, Room, RoomId},
    rooms::segment,
};
use crate::ari::Request;

/// How a room should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) inside: BTreeSet<ChannelId>,
    /// Those who hear music instead.
    pub(super) music: BTreeSet<ChannelId>,
    /// Music for the one who is inside, and for the recording.
    pub(super) bridge_music: bool,
    /// A leg that hears a ringing tone while the others' phones ring.
    ringing: Option<PhoneKey>,
}

impl Switch {
    /// Sends the differences. The order matters: a leg that moves is added to its new bridge without being removed from
    /// the old one, music stops before its hearer comes into a bridge and starts after he has left it, and a bridge goes
    /// when all have left it.
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
        for channel in self.whose_music(&rooms, &phones, false) {
            self.send(Request::delete(music_uri(&channel)), What::Lenient);
        }
        for (id, wanted) in &rooms {
            self.enter(*id, wanted);
        }
        for (id, wanted) in &rooms {
            self.withdraw(*id, wanted);
        }
        for (id, wanted) in &rooms {
            self.start_bridge_music(*id, wanted);
        }
        for channel in self.whose_music(&rooms, &phones, true) {
            self.send(Request::post(music_uri(&channel)), What::Lenient);
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
            self.tell_transfers(phone);
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
        let is_held = |channel: &&ChannelId| self.parties.get(*channel).is_some_and(|it| it.held);
        let mut music: BTreeSet<ChannelId> = room.parties.iter().filter(is_held).cloned().collect();
        let member_held = !music.is_empty();
        let mut bridge_music = false;
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
        let mut inside: BTreeSet<ChannelId> = if ringing.is_some() {
            BTreeSet::new()
        } else {
            parties.into_iter().chain(called).chain(talking.into_iter().map(|(_, channel)| channel)).cloned().collect()
        };
        // Who is supervised hears no music of ours, and neither does who is alone because the others are held one by one.
        let heard = room.parties.iter().any(|channel| self.supervising.contains(channel));
        let quiet = heard || member_held && is_agent_alone;
        if alone && ringing.is_none() && inside.len() == 1 && !quiet {
            if room.is_recorded() {
                bridge_music = true;
            } else {
                music.append(&mut inside);
            }
        }
        Wanted { inside, music, bridge_music, ringing }
    }

    fn prepare_bridge(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let bridge = room.bridge.clone();
        // Also where all hear music: the request that brings an agent in decides whether the call can be taken.
        let is_needed = !wanted.inside.is_empty() || !wanted.music.is_empty();
        if is_needed && !room.told_bridge {
            room.told_bridge = true;
            let request = Request::post("bridges").with("type", "mixing").with("bridgeId", bridge);
            self.send(request, What::Plain);
        } else if room.told_music && !wanted.bridge_music {
            room.told_music = false;
            self.send(Request::delete(format!("{}/moh", bridge_uri(&bridge))), What::Lenient);
        }
    }

    fn enter(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get(&id) else { return };
        let uri = format!("{}/addChannel", bridge_uri(&room.bridge));
        let mut coming: Vec<_> = wanted.inside.difference(&room.placed).cloned().collect();
        if !coming.is_empty() {
            // The customer comes last: his record then names whom he finds. If he is alone, and whom he talked to before hung
            // up in this bridge, Asterisk begins another record with the next one, and that of being alone names nobody.
            let own = self.own_prefix();
            coming.sort_by_key(|channel| !channel.starts_with(&own));
            self.prepare_mixing(id);
        }
        for channel in coming {
            for room in self.rooms.values_mut() {
                room.placed.remove(&channel);
            }
            if let Some(room) = self.rooms.get_mut(&id) {
                room.placed.insert(channel.clone());
            }
            self.send(Request::post(uri.clone()).with("channel", channel), What::Plain);
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.mixed |= room.is_mixed();
        }
    }

    /// Before somebody comes into a bridge: those who are left there of three leave it and come back, one after the other.
    /// Not out of a recording, which would end.
    pub(super) fn prepare_mixing(&mut self, id: RoomId) {
        let is_due = |room: &&mut Room| room.mixed && !room.is_mixed() && room.recording.is_none();
        let Some(room) = self.rooms.get_mut(&id).filter(is_due) else { return };
        room.mixed = false;
        let (bridge, inside) = (bridge_uri(&room.bridge), room.placed.clone());
        for channel in inside {
            for request in ["removeChannel", "addChannel"].map(|it| Request::post(format!("{bridge}/{it}"))) {
                self.send(request.with("channel", channel.clone()), What::Lenient);
            }
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

    fn start_bridge_music(&mut self, id: RoomId, wanted: &Wanted) {
        let Some(room) = self.rooms.get_mut(&id).filter(|it| wanted.bridge_music && !it.told_music) else { return };
        room.told_music = true;
        let request = Request::post(format!("{}/moh", bridge_uri(&room.bridge)));
        self.send(request, What::Lenient);
    }

    /// Those whose music is to start, or to stop.
    fn whose_music(&mut self, rooms: &[(RoomId, Wanted)], phones: &[PhoneKey], starts: bool) -> Vec<ChannelId> {
        let mut channels = Vec::new();
        for (id, wanted) in rooms {
            for channel in self.rooms.get(id).map(|room| room.parties.clone()).unwrap_or_default() {
                let Some(party) = self.parties.get_mut(&channel) else { continue };
                if party.told_music != starts && wanted.music.contains(&channel) == starts {
                    party.told_music = starts;
                    channels.push(channel);
                }
            }
        }
        for key in phones {
            let wants = self.wants_music(key);
            let Some(phone) = self.phones.get_mut(key).filter(|it| it.told_music != starts && wants == starts) else {
                continue;
            };
            if let Some(channel) = phone.leg.up().cloned() {
                phone.told_music = starts;
                channels.push(channel);
            }
        }
        channels
    }

    /// What is played to a channel ends the music there.
    pub(super) fn music_ended(&mut self, channel: &str) {
        let Some(party) = self.parties.get_mut(channel).filter(|party| party.told_music) else { return };
        party.told_music = false;
        let room = party.room;
        self.touch_room(room);
    }

    /// Ends the music of a channel that is to go on in the dialplan: there it would be heard for ever.
    pub(super) fn end_music(&mut self, channel: &str) {
        if let Some(party) = self.parties.get_mut(channel).filter(|party| party.told_music) {
            party.told_music = false;
            self.send(Request::delete(music_uri(channel)), What::Lenient);
        }
    }

    /// Whether an agent is to hear music: all others of the call have put it on hold.
    pub(super) fn wants_music(&self, key: &str) -> bool {
        let Some(phone) = self.phones.get(key) else { return false };
        let Some((room, leg)) = phone.engaged().zip(phone.leg.up()) else { return false };
        self.wanted(room).music.contains(leg)
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
