//! Transfers to places instead of people: a queue, or an extension of the dialplan that the settings name; and what
//! else an agent can do with the parties of a call beyond the standard commands.
//!
//! Owns: the commands of this adapter's own, but for the ping. Must never: let an agent choose a dialplan context: only
//! the settings name them.

use jackfield_plugin_api::{
    Code, Json, Outcome,
    report::{Cause, ConversationState, Reason, Role, Target},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommandId, Switch, What,
    confirm::Act,
    dialing::Purpose,
    model::{ChannelId, PartyState, RoomId, Seat, Ticket, Work},
    rooms::{Left, segment},
};
use crate::{
    ari::{Request, Response},
    settings::Place,
};

/// `conversation.request.asterisk.removemember`.
#[derive(Debug, Deserialize)]
struct RemoveMember {
    address: String,
}

impl Switch {
    /// Hands a call to whom the agent is calling to consult; to a queue or a place in the dialplan, by the names of the
    /// settings; else to a number or a colleague.
    pub(super) fn blind_transfer(&mut self, id: CommandId, seat: &Seat, destination: &str) {
        if self.is_being_called_back(seat) {
            return self.refuse(id, Code::InvalidState, "the customer has not answered yet");
        }
        if let Some((consult, ringing)) = self.ringing_consult(seat, destination) {
            return self.transfer_to_ringing(id, seat, &consult, ringing, destination);
        }
        if self.phones.get(destination).is_none_or(|phone| phone.work != Work::Active) {
            if self.is_app_queue(destination) {
                let why = "this queue is Asterisk's own: a transfer goes to a place in the dialplan that leads there";
                return self.refuse(id, Code::Rejected, why);
            }
            if self.settings.queues.contains_key(destination) {
                return self.transfer_to_queue(id, seat, destination);
            }
            if let Some(place) = self.settings.destinations.get(destination).cloned() {
                return match self.only_party(seat) {
                    Some((_, channel)) => self.ask(id, Act::ToPlace { seat: seat.clone(), channel, place }),
                    None => self.refuse_places(id),
                };
            }
        }
        let purpose = Purpose::BlindTransfer { conversation: seat.conversation.clone() };
        self.call(id, &seat.phone, destination, purpose);
    }

    /// The consultation of a call that rings at an address, and its room.
    fn ringing_consult(&self, seat: &Seat, address: &str) -> Option<(Seat, RoomId)> {
        let (consult, id) = self.room_of(&seat.phone, Role::Consult)?;
        let rings = self.conversation(&consult)?.state == ConversationState::Dialing;
        let room = self.rooms.get(&id).filter(|_| rings && consult.conversation != seat.conversation)?;
        let mut called = room.parties.iter().filter_map(|channel| self.parties.get(channel));
        let is_called = called.any(|party| party.number == address) || room.seats.iter().any(|it| it.phone == address);
        is_called.then_some((consult, id))
    }

    /// Whom the agent has called to consult gets the call without the agent having spoken to him; it goes on ringing.
    fn transfer_to_ringing(&mut self, id: CommandId, seat: &Seat, consult: &Seat, ringing: RoomId, to: &str) {
        let Some(room) = self.conversation(seat).map(|it| it.room) else { return };
        self.log_transferred(seat, to, "");
        self.leave_room(seat, Reason::Transferred, None);
        self.leave_room(consult, Reason::Transferred, None);
        self.merge_rooms(ringing, room);
        self.settle(room, Left::by_accident(Cause::Unreachable));
        self.reply(id, Outcome::success());
    }

    fn refuse_places(&mut self, id: CommandId) {
        self.refuse(id, Code::Rejected, "only a call of two can be transferred to a queue or into the dialplan");
    }

    /// The other side of a call of two.
    pub(super) fn only_party(&self, seat: &Seat) -> Option<(RoomId, ChannelId)> {
        let id = self.conversation(seat)?.room;
        let room = self.rooms.get(&id)?;
        let [channel] = room.parties.as_slice() else { return None };
        let is_up = self.parties.get(channel).is_some_and(|party| party.state == PartyState::Up);
        (is_up && room.seats.len() == 1).then(|| (id, channel.clone()))
    }

    fn transfer_to_queue(&mut self, id: CommandId, seat: &Seat, queue: &str) {
        let Some((room, _)) = self.only_party(seat) else { return self.refuse_places(id) };
        let again = self.now + self.settings.offer_again;
        self.log_transferred(seat, queue, "");
        if let Some(room) = self.rooms.get_mut(&room) {
            room.ticket = Some(Ticket::new(queue, self.now));
        }
        self.leave_room(seat, Reason::Transferred, None);
        self.enter_queue(room, queue);
        // Whoever hands it on does not want it back at once.
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.refused.insert(seat.phone.clone(), again);
        }
        self.reply(id, Outcome::success());
    }

    /// The dialplan has the customer.
    pub(super) fn handed_to_dialplan(&mut self, seat: &Seat, channel: &str, place: &Place) -> Option<()> {
        let room = self.conversation(seat)?.room;
        self.log_transferred(seat, &place.extension, &place.context);
        self.leave_room(seat, Reason::Transferred, None);
        self.remove_party(channel);
        self.settle(room, Left::hung_up());
        Some(())
    }

    // Commands of our own.

    pub(super) fn extension_command(&mut self, id: CommandId, agent: &str, name: &str, target: Target, data: &Json) {
        match (name, target) {
            ("session.request.asterisk.ping", _) => {
                self.send(Request::ping(), What::Plain);
                self.reply(id, Outcome::data(Json::empty_object()));
            }
            ("session.request.asterisk.directory", _) => {
                self.send(Request::get("endpoints"), What::Directory(id));
            }
            ("session.request.asterisk.queues", _) => self.work_for(id, agent, data),
            ("session.request.asterisk.voicemail", _) => self.ask_for_messages(id, agent),
            ("session.request.asterisk.callbacks", _) => self.list_callbacks(id, agent),
            ("session.request.asterisk.callback.cancel", _) => self.cancel_callback(id, agent, data),
            ("session.request.asterisk.parked", _) => self.list_parked(id),
            ("conversation.request.asterisk.park", Target::Conversation(conversation)) => {
                self.with_seat(id, agent, &conversation, |switch, seat| switch.park(id, seat));
            }
            ("conversation.request.asterisk.removemember", Target::Conversation(conversation)) => {
                let Ok(RemoveMember { address }) = data.parse() else {
                    return self.refuse(id, Code::Rejected, "address: the member's");
                };
                self.with_seat(id, agent, &conversation, |switch, seat| switch.remove_member(id, seat, &address));
            }
            _ => self.reply(id, Outcome::unsupported()),
        }
    }

    /// Whom an agent can call: the extensions that Asterisk has, and how they are; queues and places by name.
    pub(super) fn directory(&mut self, id: CommandId, response: &Response) {
        let extensions = match self.extensions(response) {
            Ok(extensions) => extensions,
            Err(failure) => return self.reply(id, failure),
        };
        let people = extensions.into_iter().map(|(address, state)| {
            match self.phones.get(&address).filter(|phone| phone.work == Work::Active) {
                Some(phone) => json!({"address": address, "state": state, "agent": phone.agent}),
                None => json!({"address": address, "state": state}),
            }
        });
        let people: Vec<Value> = people.collect();
        let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
        let data = json!({
            "people": people,
            "queues": names(self.settings.queues.iter().filter(|(_, queue)| !queue.app_queue).map(|(name, _)| name).collect()),
            "destinations": names(self.settings.destinations.keys().collect()),
        });
        self.reply(id, Outcome::data(data));
    }
}

/// The request that lets a channel go on in the dialplan at a place.
pub(super) fn continue_at(channel: &str, place: &Place) -> Request {
    Request::post(format!("channels/{}/continue", segment(channel)))
        .with("context", place.context.clone())
        .with("extension", place.extension.clone())
        .with("priority", place.priority.to_string())
}
