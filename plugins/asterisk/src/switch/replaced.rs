//! Channels that Asterisk puts into the place of others: transfers between two calls by the phone's own means, pickup
//! of a ringing phone, and callers whose number becomes known.
//!
//! Owns: who is who afterwards. Must never: end a call because the channel that we knew is no more.

use std::time::Duration;

use jackfield_plugin_api::report::{Cause, MemberRole, Reason};

use super::{
    RoomId, Switch, What,
    model::{ChannelId, Owner, Party, PartyState, Phone},
    rooms::{Left, segment},
};
use crate::ari::{Channel, Request};

/// The hang-up cause (Q.850) of a phone whose call was answered at another one.
pub(super) const ANSWERED_ELSEWHERE: u16 = 26;
/// How soon after it the channel that answered enters.
const PICKED_UP_WITHIN: Duration = Duration::from_secs(3);

impl Switch {
    /// Asterisk itself has put another channel into a party's place.
    pub(super) fn party_replaced(&mut self, old: &str, channel: &Channel) {
        let Some(room) = self.parties.get(old).map(|party| party.room) else { return };
        self.note_replaced(room, old, &channel.id);
        let Some((_, mut party)) = self.remove_party(old) else { return };
        // Often empty at first; then what is known stays, until the caller id is told.
        party.rename(&channel.caller);
        party.state = PartyState::Up;
        party.told_record.clear();
        party.told_music = false;
        self.add_party(room, channel.id.clone(), party);
    }

    /// Asterisk has put another channel into the place of an agent's leg: the agent has transferred the call with the
    /// phone's own means, and is out of it.
    pub(super) fn leg_replaced(&mut self, key: &str, old: &str, channel: &Channel) {
        let room = self.phones.get(key).and_then(Phone::at_hand).map(|it| it.room);
        let Some(room) = room else { return self.hang_up_channel(&channel.id, "normal") };
        let seats = self.rooms.get(&room).map(|room| room.seats.clone()).unwrap_or_default();
        for seat in seats.iter().filter(|seat| seat.phone == key) {
            self.leave_room(seat, Reason::Transferred, None);
        }
        self.note_replaced(room, old, &channel.id);
        let party = Party::new(&channel.caller, MemberRole::External, PartyState::Up, room);
        self.add_party(room, channel.id.clone(), party);
        self.leg_ended(key, old, None, None);
        // Asterisk leaves it to the phone to hang up the call on which it has asked.
        self.hang_up_channel(old, "normal");
        self.settle(room, Left::hung_up());
    }

    /// A channel is where another was, if that was in the bridge.
    fn note_replaced(&mut self, room: RoomId, old: &str, new: &str) {
        if let Some(room) = self.rooms.get_mut(&room)
            && room.placed.remove(old)
        {
            room.placed.insert(new.to_owned());
        }
    }

    pub(super) fn party_renamed(&mut self, channel: &Channel) {
        let Some(party) = self.parties.get_mut(&channel.id) else { return };
        // Whom we call is whom the agent dialled.
        if party.state != PartyState::Dialing && party.rename(&channel.caller) {
            let room = party.room;
            self.touch_room(room);
        }
    }

    /// The phone that rings was answered at another one, which enters next in its place.
    pub(super) fn offer_picked_up(&mut self, key: &str, leg: &ChannelId) {
        let Some(seat) = self.alerting_seat(key) else { return };
        // Nobody is on the line whom the other one could talk to.
        if self.callback_of(&seat).is_some() {
            return self.refuse_offer(&seat);
        }
        let Some(room) = self.leave_room(&seat, Reason::Redirected, Some(Cause::Cancelled)) else { return };
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.waiting = false;
        }
        self.log_connected(room, &seat);
        self.picked_up.insert(leg.clone(), (room, self.now + PICKED_UP_WITHIN));
    }

    /// The one who picked up: talks to whom was offered to the agent. No agent of ours is in that call.
    pub(super) fn leg_picked_up(&mut self, channel: &Channel, args: &[String]) {
        let Some(leg) = args.get(1).filter(|leg| **leg != channel.id) else {
            return self.stranger_enters(channel, args);
        };
        // The end of the leg may be told before this or after it.
        if let Some(Owner::Leg(key)) = self.owners.get(leg).cloned() {
            self.leg_ended(&key, leg, Some(ANSWERED_ELSEWHERE), None);
        }
        let room = self.picked_up.remove(leg).map(|(room, _)| room);
        let Some(room) = room.filter(|room| self.rooms.contains_key(room)) else {
            return self.hang_up_channel(&channel.id, "normal");
        };
        let party = Party::new(&channel.caller, MemberRole::External, PartyState::Up, room);
        self.add_party(room, channel.id.clone(), party);
        self.answer_waiting(room);
        self.someone_answered(room);
    }

    /// Whoever waits in a room unanswered is answered.
    pub(super) fn answer_waiting(&mut self, room: RoomId) {
        let parties = self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default();
        for channel in parties {
            if let Some(party) = self.parties.get_mut(&channel).filter(|party| party.state == PartyState::Waiting) {
                party.state = PartyState::Up;
                self.send(Request::post(format!("channels/{}/answer", segment(&channel))), What::Plain);
            }
        }
    }

    /// Nobody came who had picked up: the customer waits again.
    pub(super) fn give_up_picked_up(&mut self) {
        let due = self.picked_up.iter().filter(|(_, (_, until))| *until <= self.now);
        for leg in due.map(|(leg, _)| leg.clone()).collect::<Vec<_>>() {
            if let Some((room, _)) = self.picked_up.remove(&leg) {
                self.settle(room, Left::lost());
            }
        }
    }
}
