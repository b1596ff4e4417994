//! Commands that Asterisk may refuse: it is asked for the decisive part first, and only then the model changes.
//!
//! Owns: which request decides what ([`Act`]), and what follows when it is confirmed. Must never: change the model before.
//! A refused command changes nothing, so it causes no report; whatever it shows to be otherwise than the model says is
//! repaired by asking Asterisk how things are ([`Switch::look_soon`]). While Asterisk is asked anything can happen, so
//! when it answers, all is looked up again.

use jackfield_plugin_api::{
    Code, Failure, Json, Outcome,
    report::{ConversationState, Reason, Role},
};

use super::{
    CommandId, Effect, Switch, What,
    converge::{bridge_uri, music_uri},
    events::variable_text,
    model::{ChannelId, Party, PartyState, Phone, PhoneKey, RoomId, Seat},
    places::continue_at,
    rooms::{Left, segment},
};
use crate::{
    ari::{Request, Response},
    settings::Place,
};

/// What a command does once Asterisk has confirmed it.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Hold(Seat),
    Retrieve(Seat),
    Alternate {
        hold: Option<Seat>,
        retrieve: Seat,
    },
    Mute {
        phone: PhoneKey,
        muted: bool,
    },
    /// One party of a conference.
    MuteParty {
        channel: ChannelId,
        muted: bool,
    },
    /// One party of a conference waits while the others go on.
    HoldParty {
        channel: ChannelId,
        room: RoomId,
    },
    RetrieveParty(ChannelId),
    Connect(Seat),
    ConsultTransfer(PhoneKey),
    ConsultConference(PhoneKey),
    SetData {
        phone: PhoneKey,
        key: String,
        value: Json,
    },
    /// Into the dialplan.
    ToPlace {
        seat: Seat,
        channel: ChannelId,
        place: Place,
    },
    /// Into the parking lot, which says where the call is.
    Park {
        seat: Seat,
        channel: ChannelId,
        place: Place,
    },
}

/// What the decisive request does to Asterisk.
#[derive(Debug)]
pub(crate) enum Effected {
    /// A channel goes into a room's bridge, out of any other.
    Enters(ChannelId, RoomId),
    /// A channel leaves a room's bridge.
    Leaves(ChannelId, RoomId),
    /// A caller is answered.
    Answers(ChannelId),
    /// A channel leaves the application and goes on in the dialplan.
    GoesOn(ChannelId),
    Other,
}

impl Switch {
    /// Asks for the decisive part of a command; goes on in [`confirmed`](Self::confirmed).
    pub(super) fn ask(&mut self, command: CommandId, act: Act) {
        match self.decisive(&act) {
            Some((request, effected)) => {
                match &effected {
                    Effected::GoesOn(channel) => self.end_music(channel),
                    Effected::Enters(_, room) => self.prepare_mixing(*room),
                    _ => {}
                }
                self.send(request, What::Decides { command, act, effected });
            }
            // Nothing in Asterisk decides it.
            None => self.act(command, act),
        }
    }

    pub(super) fn confirmed(&mut self, command: CommandId, act: Act, effected: Effected, response: &Response) {
        if !response.is_ok() {
            if response.status >= 500 {
                self.effects.push(Effect::Warn(response.words()));
            }
            self.reply(command, Failure::new(Code::Rejected, "Asterisk refused").context(response.words()));
            return self.look_soon();
        }
        match effected {
            Effected::Enters(channel, into) => {
                for room in self.rooms.values_mut() {
                    room.placed.remove(&channel);
                }
                if let Some(room) = self.rooms.get_mut(&into) {
                    room.placed.insert(channel);
                    self.touch_room(into);
                }
            }
            Effected::Leaves(channel, room) => {
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.placed.remove(&channel);
                    self.touch_room(room);
                }
            }
            Effected::Answers(channel) => {
                if let Some(party) = self.parties.get_mut(&channel) {
                    party.state = PartyState::Up;
                    let room = party.room;
                    self.touch_room(room);
                }
            }
            Effected::GoesOn(_) | Effected::Other => {}
        }
        self.act(command, act);
    }

    /// Whether Asterisk is asked to let a channel go on in the dialplan: it may tell that the channel has left the
    /// application before it answers.
    pub(super) fn is_to_go_on(&self, channel: &str) -> bool {
        let goes_on = |what: &What| match what {
            What::Decides { effected: Effected::GoesOn(other), .. } => other == channel,
            _ => false,
        };
        self.requests.values().any(|pending| goes_on(&pending.what))
    }

    /// Whether Asterisk is asked to connect an agent who has answered.
    pub(super) fn is_being_answered(&self, seat: &Seat) -> bool {
        let answers = |what: &What| match what {
            What::Decides { act: Act::Connect(other), .. } => other.conversation == seat.conversation,
            _ => false,
        };
        self.requests.values().any(|pending| answers(&pending.what))
    }

    fn decisive(&mut self, act: &Act) -> Option<(Request, Effected)> {
        match act {
            Act::Hold(seat) => self.leaving(self.leg_of(seat)?, self.conversation(seat)?.room),
            Act::HoldParty { channel, room } => self.leaving(channel.clone(), *room),
            Act::RetrieveParty(channel) => Some((Request::delete(music_uri(channel)), Effected::Other)),
            Act::Retrieve(seat) | Act::Alternate { retrieve: seat, .. } => {
                let (room, leg) = (self.conversation(seat)?.room, self.leg_of(seat)?);
                self.entering(leg, room)
            }
            Act::Mute { phone, muted } => {
                Some((mute_request(self.phones.get(phone)?.leg.up()?, *muted), Effected::Other))
            }
            Act::MuteParty { channel, muted } => Some((mute_request(channel, *muted), Effected::Other)),
            Act::Connect(seat) => self.answering(seat),
            Act::ConsultTransfer(phone) | Act::ConsultConference(phone) => {
                let (_, into) = self.room_of(phone, Role::Primary)?;
                let (_, from) = self.room_of(phone, Role::Consult)?;
                let other = self.other_in(from, phone)?;
                self.entering(other, into)
            }
            Act::ToPlace { channel, place, .. } | Act::Park { channel, place, .. } => {
                Some((continue_at(channel, place), Effected::GoesOn(channel.clone())))
            }
            Act::SetData { phone, key, value } => {
                let (_, room) = self.any_room_of(phone)?;
                let customer = self.rooms.get(&room)?.parties.first()?;
                Some((set_variable(customer, key, value), Effected::Other))
            }
        }
    }

    /// A caller who is not answered is answered; else the agent comes into the caller's bridge.
    fn answering(&mut self, seat: &Seat) -> Option<(Request, Effected)> {
        let room = self.conversation(seat)?.room;
        let parties = &self.rooms.get(&room)?.parties;
        let waits = parties.iter().find(|it| self.parties.get(*it).is_some_and(|it| it.state == PartyState::Waiting));
        if let Some(caller) = waits.cloned() {
            let request = Request::post(format!("channels/{}/answer", segment(&caller)));
            return Some((request, Effected::Answers(caller)));
        }
        let leg = self.leg_of(seat)?;
        self.entering(leg, room)
    }

    fn entering(&self, channel: ChannelId, into: RoomId) -> Option<(Request, Effected)> {
        let room = self.rooms.get(&into).filter(|room| room.told_bridge && !room.placed.contains(&channel))?;
        let request = Request::post(format!("{}/addChannel", bridge_uri(&room.bridge)));
        Some((request.with("channel", channel.clone()), Effected::Enters(channel, into)))
    }

    fn leaving(&self, channel: ChannelId, from: RoomId) -> Option<(Request, Effected)> {
        let room = self.rooms.get(&from).filter(|room| room.placed.contains(&channel))?;
        let request = Request::post(format!("{}/removeChannel", bridge_uri(&room.bridge)));
        Some((request.with("channel", channel.clone()), Effected::Leaves(channel, from)))
    }

    fn leg_of(&self, seat: &Seat) -> Option<ChannelId> {
        self.phones.get(&seat.phone)?.leg.up().cloned()
    }

    /// Somebody who can be spoken to in a room, but for one agent.
    fn other_in(&self, room: RoomId, but: &str) -> Option<ChannelId> {
        let room = self.rooms.get(&room)?;
        let is_there = |party: &Party| party.state == PartyState::Up && !party.held;
        let is_up = |it: &&ChannelId| self.parties.get(*it).is_some_and(is_there);
        let colleague = || {
            let talks = |seat: &&Seat| self.conversation(seat).is_some_and(|it| it.state == ConversationState::Talking);
            room.seats.iter().filter(|seat| seat.phone != but).find(talks).and_then(|seat| self.leg_of(seat))
        };
        room.parties.iter().find(is_up).cloned().or_else(colleague)
    }

    fn act(&mut self, command: CommandId, act: Act) {
        let ended = match act {
            Act::Hold(seat) => self.change_state(&seat, ConversationState::Held),
            Act::Retrieve(seat) => self.change_state(&seat, ConversationState::Talking),
            Act::Alternate { hold, retrieve } => {
                if let Some(hold) = hold.filter(|seat| self.conversation(seat).is_some()) {
                    self.set_state(&hold, ConversationState::Held);
                }
                self.change_state(&retrieve, ConversationState::Talking)
            }
            Act::Mute { phone, muted } => self.set_muted(&phone, muted),
            Act::MuteParty { channel, muted } => self.set_party_muted(&channel, muted),
            Act::HoldParty { channel, .. } => self.set_party_held(&channel, true),
            Act::RetrieveParty(channel) => {
                if let Some(party) = self.parties.get_mut(&channel) {
                    party.told_music = false;
                }
                self.set_party_held(&channel, false)
            }
            Act::Connect(seat) => {
                let rings = self.conversation(&seat).is_some_and(|it| it.state == ConversationState::Alerting);
                if rings {
                    self.connect(&seat);
                }
                rings.then_some(())
            }
            Act::ConsultTransfer(phone) => self.consult_transfer(&phone),
            Act::ConsultConference(phone) => self.consult_conference(&phone),
            Act::ToPlace { seat, channel, place } => self.handed_to_dialplan(&seat, &channel, &place),
            Act::Park { seat, channel, place } => {
                let handed = self.handed_to_dialplan(&seat, &channel, &place);
                if handed.is_some() {
                    return self.parked(command, channel);
                }
                handed
            }
            Act::SetData { phone, key, value } => self.set_data(&phone, &key, value),
        };
        match ended {
            Some(()) => self.reply(command, Outcome::success()),
            None => {
                self.refuse(command, Code::InvalidState, "the call has ended");
                self.look_soon();
            }
        }
    }

    fn change_state(&mut self, seat: &Seat, state: ConversationState) -> Option<()> {
        self.conversation(seat)?;
        self.set_state(seat, state);
        Some(())
    }

    fn set_muted(&mut self, key: &str, muted: bool) -> Option<()> {
        let phone = self.phones.get_mut(key)?;
        phone.live()?;
        phone.muted = muted;
        phone.told_muted = muted;
        self.touch_phone(key);
        Some(())
    }

    fn set_party_muted(&mut self, channel: &str, muted: bool) -> Option<()> {
        let party = self.parties.get_mut(channel)?;
        party.muted = muted;
        let room = party.room;
        self.touch_room(room);
        Some(())
    }

    fn consult_transfer(&mut self, phone: &str) -> Option<()> {
        let (original, into) = self.room_of(phone, Role::Primary)?;
        let (consult, from) = self.room_of(phone, Role::Consult)?;
        self.leave_room(&original, Reason::Transferred, None);
        self.leave_room(&consult, Reason::Transferred, None);
        self.merge_rooms(from, into);
        self.settle(into, Left::hung_up());
        Some(())
    }

    fn consult_conference(&mut self, phone: &str) -> Option<()> {
        let (original, into) = self.room_of(phone, Role::Primary)?;
        let (consult, from) = self.room_of(phone, Role::Consult)?;
        self.leave_room(&consult, Reason::Released, None);
        self.merge_rooms(from, into);
        self.set_state(&original, ConversationState::Talking);
        Some(())
    }

    fn set_data(&mut self, phone: &str, key: &str, value: Json) -> Option<()> {
        let (_, room) = self.any_room_of(phone)?;
        let customers = self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default();
        for (index, channel) in customers.iter().enumerate() {
            if let Some(party) = self.parties.get_mut(channel) {
                party.data.insert(key.to_owned(), value.clone());
            }
            if index > 0 {
                self.send(set_variable(channel, key, &value), What::Lenient);
            }
        }
        self.data_changed(room, key, &value);
        Some(())
    }

    pub(super) fn room_of(&self, phone: &str, role: Role) -> Option<(Seat, RoomId)> {
        let conversation = self.phones.get(phone).and_then(Phone::live)?.with_role(role)?;
        Some((self.seat_of(phone, &conversation.key)?, conversation.room))
    }

    /// The room of the call itself; when only the consultation is left, of that.
    pub(super) fn any_room_of(&self, phone: &str) -> Option<(Seat, RoomId)> {
        [Role::Primary, Role::Consult].into_iter().find_map(|role| self.room_of(phone, role))
    }
}

/// Lets the others not hear a channel, or hear it again.
pub(super) fn mute_request(channel: &str, muted: bool) -> Request {
    let uri = format!("channels/{}/mute", segment(channel));
    // Without `direction` Asterisk answers 400, whatever its documentation says.
    if muted { Request::post(uri) } else { Request::delete(uri) }.with("direction", "in")
}

pub(super) fn set_variable(channel: &str, key: &str, value: &Json) -> Request {
    let request = Request::post(format!("channels/{}/variable", segment(channel)));
    request.with("variable", key).with("value", variable_text(value))
}
