//! Calling others: outside numbers and colleagues, for a new call, a consultation, a transfer or a conference.
//!
//! Owns: what is called and what becomes of it. The model changes only when Asterisk has made the call's channel
//! ([`Switch::called`]), so a call that cannot be placed leaves no trace.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Code, Failure, Json, Outcome,
    report::{Cause, ConversationState, Direction, Reason, Role},
};

use serde_json::json;

use super::{
    Switch, What,
    model::{ChannelId, CommandId, LegWaiter, Owner, Party, PartyState, Phone, PhoneKey, RoomId, Seat, Work},
    rooms::Left,
};
use crate::{
    ari::{Caller, Request},
    settings::{LegMode, Place, is_dialable},
};

/// A call that Asterisk is asked to make.
#[derive(Debug, Clone)]
pub(crate) struct Calling {
    pub(super) command: CommandId,
    pub(super) phone: PhoneKey,
    pub(super) purpose: Purpose,
    pub(super) destination: String,
    pub(super) callee: Callee,
    /// Who is at the other end, where that is known before.
    pub(super) found: Option<Found>,
}

/// Whom a call finds, and the call data that come with him.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(super) who: Caller,
    pub(super) data: BTreeMap<String, Json>,
}

/// What for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    Dial {
        queue: Option<String>,
    },
    Consult {
        interaction: String,
    },
    BlindTransfer {
        conversation: String,
    },
    BlindConference {
        conversation: String,
    },
    /// An agent takes a callback: who is called by which channel.
    Callback {
        id: String,
        queue: String,
        channel: ChannelId,
    },
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Callee {
    Channel(ChannelId),
    /// A colleague who works here.
    Phone(PhoneKey),
}

impl Switch {
    /// Calls a destination; goes on in [`called`](Self::called) or [`not_called`](Self::not_called).
    pub(super) fn call(&mut self, command: CommandId, phone: &str, destination: &str, purpose: Purpose) {
        let calling = Calling {
            command,
            phone: phone.to_owned(),
            purpose,
            destination: destination.to_owned(),
            callee: Callee::Phone(destination.to_owned()),
            found: None,
        };
        if let Some(colleague) = self.phones.get(destination).filter(|colleague| colleague.work == Work::Active) {
            let free = colleague.is_free() && self.is_watched(colleague) && colleague.key != phone;
            return if free {
                self.called(calling);
            } else {
                self.not_called(calling, Failure::new(Code::Busy, "the colleague is in a call"));
            };
        }
        if self.is_parking_space(destination) {
            return self.call_parked(calling);
        }
        self.place(calling);
    }

    /// Lets Asterisk make the channel of a call.
    pub(super) fn place(&mut self, mut calling: Calling) {
        let way = self.way_to(&calling.phone, &calling.destination, &calling.purpose);
        let (endpoint, caller_id) = match way {
            Ok(way) => way,
            Err(failure) => return self.not_called(calling, failure),
        };
        let channel = match &calling.purpose {
            Purpose::Callback { channel, .. } => channel.clone(),
            _ => self.new_channel_id(),
        };
        calling.callee = Callee::Channel(channel.clone());
        let mut variables = self.callback_variables(&channel);
        variables.insert("CONNECTEDLINE(all,i)".to_owned(), caller_id.into());
        // Made first and called when it is in its place: so it is in Asterisk's keeping, and ours, whatever happens to
        // this process before it answers.
        let request = Request::post("channels/create")
            .with("endpoint", endpoint)
            .with("app", self.settings.address.application.clone())
            .with("appArgs", "called")
            .with("channelId", channel.clone())
            .body(json!({"variables": variables}));
        self.owners.insert(channel.clone(), Owner::Party);
        self.calls.insert(channel.clone(), calling);
        self.send(request, What::Made(channel));
    }

    /// A channel has entered that was made to call somebody. Only now Asterisk takes requests for it: its answer to the
    /// request that makes it may come before.
    pub(super) fn made(&mut self, channel: &str) {
        if let Some(calling) = self.calls.remove(channel) {
            self.called(calling);
        }
    }

    /// Asterisk has not made a channel, or it is gone before it entered.
    pub(super) fn not_made(&mut self, channel: &str, failure: Failure) {
        if let Some(calling) = self.calls.remove(channel) {
            self.not_called(calling, failure);
        }
    }

    /// What Asterisk calls for a number or for a place of the settings, and who it says calls.
    fn way_to(&self, phone: &str, destination: &str, purpose: &Purpose) -> Result<(String, String), Failure> {
        // A place is the own Asterisk's, which knows by the extension who it is: whose mailbox, for one.
        let own = format!("<{phone}>");
        let is_callback = matches!(purpose, Purpose::Callback { .. });
        let destinations = Some(&self.settings.destinations).filter(|_| !is_callback);
        if let Some(Place { context, extension, priority }) = destinations.and_then(|all| all.get(destination)) {
            return match priority {
                1 => Ok((format!("Local/{extension}@{context}/n"), own)),
                _ => Err(Failure::new(Code::Rejected, "this place can be transferred to only: its priority is not 1")),
            };
        }
        let parking = self.settings.parking.as_ref().filter(|_| !is_callback);
        if let Some(parking) = parking.filter(|parking| parking.has(destination)) {
            return Ok((format!("Local/{destination}@{}/n", parking.place.context), own));
        }
        if !is_dialable(destination) {
            return Err(Failure::new(Code::Rejected, "this is neither a number nor a colleague nor a place"));
        }
        let Some(template) = &self.settings.dial else {
            return Err(Failure::new(Code::Unreachable, "no such colleague, and no way out is configured (dial)"));
        };
        // Without a caller id of the queue the call shows the agent's extension; it is never anonymous.
        Ok((template.replace("{number}", destination), self.caller_id_for(phone, purpose).unwrap_or(own)))
    }

    /// The caller id of the queue that the call is made for.
    fn caller_id_for(&self, phone: &str, purpose: &Purpose) -> Option<String> {
        let phone = self.phones.get(phone)?;
        let queue = match purpose {
            Purpose::Dial { queue } => queue.as_ref(),
            Purpose::Callback { queue, .. } => Some(queue),
            _ => phone.live().and_then(|live| live.queue.as_ref()),
        };
        let queue = queue.or_else(|| phone.queues.first())?;
        self.settings.queues.get(queue)?.caller_id.clone()
    }

    pub(super) fn dial(&mut self, command: CommandId, phone: &str, destination: &str, queue: Option<String>) {
        let Some(state) = self.phones.get(phone) else {
            return self.refuse(command, Code::NotFound, "no such phone");
        };
        if state.live().is_some() || state.waiting.is_some() {
            return self.refuse(command, Code::Rejected, "the phone is in a call");
        }
        if state.leg.up().is_none() {
            if self.settings.leg == LegMode::Stay {
                return self.refuse(command, Code::Unreachable, "the phone is not connected");
            }
            let waiter = LegWaiter::Dial { command, destination: destination.to_owned(), queue };
            return self.call_leg(phone, Some(waiter), self.settings.phone_timeout);
        }
        self.call(command, phone, destination, Purpose::Dial { queue });
    }

    /// Asterisk has taken the call on.
    pub(super) fn called(&mut self, calling: Calling) {
        let Some(phone) = self.phones.get(&calling.phone) else {
            return self.too_late(calling, "the phone is gone");
        };
        match calling.purpose.clone() {
            Purpose::Dial { queue } => {
                if phone.live().is_some() || phone.leg.up().is_none() {
                    return self.too_late(calling, "the phone has another call now");
                }
                let queue = queue.or_else(|| phone.queues.first().cloned());
                let direction = match calling.callee {
                    Callee::Channel(_) => Direction::Outbound,
                    Callee::Phone(_) => Direction::Internal,
                };
                let room = self.new_room(None);
                self.open_interaction(&calling.phone, room, direction, ConversationState::Dialing, queue);
                self.add_callee(room, &calling, true, None);
                self.reply(calling.command, Outcome::success());
            }
            Purpose::Consult { interaction } => {
                let live =
                    phone.live().filter(|live| live.key == interaction && live.with_role(Role::Consult).is_none());
                let Some(original) = live.and_then(|live| live.with_role(Role::Primary)).map(|it| it.key.clone())
                else {
                    return self.too_late(calling, "the call has ended");
                };
                if let Some(seat) = self.seat_of(&calling.phone, &original) {
                    self.set_state(&seat, ConversationState::Held);
                }
                let room = self.new_room_of_call(&calling.phone, &interaction);
                let key = self.new_key();
                let state = ConversationState::Dialing;
                self.open_conversation(&calling.phone, &interaction, &key, Role::Consult, state, room);
                self.add_callee(room, &calling, false, None);
                self.reply(calling.command, Outcome::success());
            }
            Purpose::Callback { id, channel, .. } => self.calls_back(calling, &id, &channel),
            Purpose::BlindTransfer { conversation } => self.transfer_to(calling, &conversation),
            Purpose::BlindConference { conversation } => {
                let Some(seat) = self.seat_of(&calling.phone, &conversation) else {
                    return self.too_late(calling, "the call has ended");
                };
                let Some(room) = self.conversation(&seat).map(|it| it.room) else { return };
                self.add_callee(room, &calling, false, Some(calling.command));
            }
        }
    }

    fn transfer_to(&mut self, calling: Calling, conversation: &str) {
        let Some(seat) = self.seat_of(&calling.phone, conversation) else {
            return self.too_late(calling, "the call has ended");
        };
        let Some(room) = self.conversation(&seat).map(|it| it.room) else { return };
        self.add_callee(room, &calling, false, None);
        self.log_transferred(&seat, &calling.destination, "");
        self.leave_room(&seat, Reason::Transferred, None);
        self.settle(room, Left::by_accident(Cause::Unreachable));
        self.reply(calling.command, Outcome::success());
    }

    /// What was to be called for is no more.
    pub(super) fn too_late(&mut self, calling: Calling, why: &str) {
        if let Callee::Channel(channel) = &calling.callee {
            self.hang_up_channel(channel, "normal");
        }
        if let Purpose::Callback { id, channel, .. } = &calling.purpose {
            self.not_called_after_all(id, channel);
        }
        self.release_idle_leg(&calling.phone);
        self.refuse(calling.command, Code::InvalidState, why);
    }

    /// With `leg = "per-call"` a leg is for one call; when that comes to nothing, the leg goes.
    fn release_idle_leg(&mut self, phone: &str) {
        if self.settings.leg == LegMode::PerCall && self.phones.get(phone).is_some_and(|it| it.live().is_none()) {
            self.drop_leg(phone);
        }
    }

    /// Nothing was called.
    pub(super) fn not_called(&mut self, calling: Calling, failure: Failure) {
        if let Callee::Channel(channel) = &calling.callee {
            self.disown(channel, false);
        }
        if let Purpose::Callback { id, channel, .. } = &calling.purpose {
            self.not_called_back(id, channel);
        }
        // A blind transfer disconnects the agent in any case; the customer goes back to the queue if there is one.
        if let Purpose::BlindTransfer { conversation } = &calling.purpose
            && matches!(calling.callee, Callee::Channel(_))
            && self.up
            && let Some(seat) = self.seat_of(&calling.phone, conversation)
        {
            let cause = if failure.code == Code::Busy { Cause::Busy } else { Cause::Unreachable };
            if let Some(room) = self.leave_room(&seat, Reason::Failed, Some(cause)) {
                self.settle(room, Left::by_accident(cause));
            }
        }
        self.release_idle_leg(&calling.phone);
        self.reply(calling.command, failure);
    }

    fn add_callee(&mut self, room: RoomId, calling: &Calling, primary: bool, waiter: Option<CommandId>) {
        match &calling.callee {
            Callee::Channel(channel) => {
                let dialled = Caller { number: calling.destination.clone(), name: String::new() };
                let found = calling.found.clone().unwrap_or_else(|| Found { who: dialled, data: BTreeMap::new() });
                let party = Party::new(&found.who, Self::role_of_called(primary), PartyState::Dialing, room);
                let rings_until = Some(self.now + self.settings.dial_timeout);
                self.add_party(room, channel.clone(), Party { waiter, rings_until, data: found.data, ..party });
                self.share_data(room);
                self.to_dial.push(channel.clone());
            }
            Callee::Phone(colleague) => {
                // A colleague sees the data of the call that the question is about.
                let data = self.phones.get(&calling.phone).and_then(Phone::live).map(|live| live.data.clone());
                let queue = self.phones.get(&calling.phone).and_then(Phone::live).and_then(|live| live.queue.clone());
                self.offer_to(colleague, room, Direction::Internal, queue);
                if let Some(seat) = self.alerting_seat(colleague) {
                    if let Some(live) = self.phones.get_mut(colleague).and_then(Phone::live_mut) {
                        live.data.extend(data.unwrap_or_default());
                    }
                    if let Some(room) = self.rooms.get_mut(&room) {
                        for other in room.seats.iter_mut().filter(|other| other.conversation == seat.conversation) {
                            other.waiter = waiter;
                        }
                    }
                }
            }
        }
    }

    /// Answers the command that waits for somebody to join a conference.
    pub(super) fn answer_waiter(&mut self, waiter: Option<CommandId>, cause: Cause) {
        if let Some(command) = waiter {
            let (code, message) = match cause {
                Cause::Busy => (Code::Busy, "the destination is busy"),
                Cause::NoAnswer => (Code::Unreachable, "the destination does not answer"),
                Cause::Unreachable => (Code::Unreachable, "the destination cannot be reached"),
                Cause::Cancelled => (Code::InvalidState, "the call has ended"),
            };
            self.refuse(command, code, message);
        }
    }

    /// The agent of a ringing seat takes the call.
    pub(super) fn connect(&mut self, seat: &Seat) {
        let Some(room) = self.conversation(seat).map(|it| it.room) else { return };
        self.set_state(seat, ConversationState::Talking);
        if let Some(command) = seat.waiter {
            self.reply(command, Outcome::success());
        }
        self.answer_waiting(room);
        let mut taken = false;
        if let Some(room) = self.rooms.get_mut(&room) {
            if let Some(ticket) = room.ticket.as_mut() {
                taken = ticket.waiting;
                ticket.waiting = false;
                ticket.refused.clear();
            }
            for other in room.seats.iter_mut().filter(|other| other.conversation == seat.conversation) {
                other.waiter = None;
            }
        }
        if let Some(phone) = self.phones.get_mut(&seat.phone).filter(|_| taken) {
            phone.taken += 1;
        }
        if taken {
            self.log_connected(room, seat);
        }
        self.queues_touched = true;
        self.someone_answered(room);
    }
}

/// What a hang-up cause (Q.850) means for a call that was not answered.
pub(super) fn cause_of(cause: Option<u16>) -> Cause {
    match cause {
        Some(17) => Cause::Busy,
        // 18 no user responding, 19 no answer; 16 or 26 and 32 come when our own time limit ends it.
        Some(16 | 18 | 19 | 26 | 32) => Cause::NoAnswer,
        // 21 rejected: the called person pressed the button.
        Some(21) => Cause::Busy,
        _ => Cause::Unreachable,
    }
}
