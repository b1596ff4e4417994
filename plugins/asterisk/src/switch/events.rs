//! What Asterisk tells, and what it means for the model.
//!
//! Owns: the reading of events. Must never: rely on an order that Asterisk does not promise. A channel's end is told
//! up to three times (hang-up request, end of Stasis, destroyed); the first that says enough counts, the others find
//! nothing.

use std::time::{Duration, Instant};

use jackfield_plugin_api::{Code, Failure, Outcome, report::ConversationState};

use super::{
    Effect, Switch, What,
    dialing::cause_of,
    model::{Owner, PartyState, Phone},
    resync::LOOK_AGAIN_AFTER,
    rooms::{Left, segment},
    supervise::SUPERVISES,
};
use crate::ari::{Channel, Event, Request};

/// Commands of the phone itself are nobody's: their answers go nowhere.
pub(super) const NOBODY: super::CommandId = 0;
/// One press of the transfer key.
const REFER_ONCE: Duration = Duration::from_secs(1);
/// The hang-up cause (Q.850) of a call that was not answered.
const NO_ANSWER: u16 = 19;

impl Switch {
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Start { channel, args, replaces } => self.channel_enters(&channel, &args, replaces.as_deref()),
            Event::End { channel } => self.channel_leaves(&channel),
            Event::Destroyed { channel, cause } => self.channel_over(&channel, Some(cause)),
            Event::HangupRequest { channel, cause } => {
                if let Some(party) = self.parties.get_mut(&channel) {
                    party.cause = cause.or(party.cause);
                } else if let Some(Owner::Leg(key)) = self.owners.get(&channel)
                    && let Some(phone) = self.phones.get_mut(key)
                {
                    phone.hanging_up = true;
                }
            }
            Event::State { channel } => self.state_changed(&channel),
            Event::Key { channel, key } => self.key_pressed(&channel, &key),
            Event::Hold { channel } => self.phone_hold(&channel, true),
            Event::Unhold { channel } => self.phone_hold(&channel, false),
            Event::Varset { channel, variable, value } => self.variable_set(&channel, &variable, value),
            Event::Transfer { channel, to, attended } => self.phone_transfers(&channel, to, attended),
            Event::CallerId { channel } => self.party_renamed(&channel),
            Event::Endpoint { endpoint } => self.endpoint_changed(&endpoint),
            Event::BridgeDestroyed { bridge } => self.bridge_destroyed(&bridge),
            Event::RecordingEnded { name, failed } => self.recording_ended(&name, failed),
            Event::PlaybackEnded { id, channel } => {
                self.announcing.retain(|_, playback| *playback != id);
                self.music_ended(&channel);
                self.confirmation_heard(&id);
            }
            Event::Replaced => {
                self.disconnected();
                self.fenced = true;
                self.effects.push(Effect::Fenced);
            }
            Event::Other => {}
        }
    }

    fn channel_enters(&mut self, channel: &Channel, args: &[String], replaces: Option<&str>) {
        if let Some(old) = replaces.filter(|old| self.parties.contains_key(*old)) {
            return self.party_replaced(old, channel);
        }
        if let Some(Owner::Leg(phone)) = replaces.and_then(|old| self.owners.get(old)).cloned() {
            return self.leg_replaced(&phone, replaces.unwrap_or_default(), channel);
        }
        match self.owners.get(&channel.id).cloned() {
            Some(Owner::Leg(phone)) => self.leg_up(&phone, &channel.id),
            Some(Owner::Party) if args.first().is_some_and(|kind| kind == SUPERVISES) => self.supervised(&channel.id),
            Some(Owner::Party) if self.calls.contains_key(&channel.id) => self.made(&channel.id),
            Some(Owner::Party) if channel.is_up() => self.party_answers(&channel.id),
            Some(Owner::Party) => {}
            None if args.first().is_some_and(|kind| kind == "leg") => self.leg_picked_up(channel, args),
            None => self.stranger_enters(channel, args),
        }
    }

    pub(super) fn stranger_enters(&mut self, channel: &Channel, args: &[String]) {
        let prefix = self.own_prefix();
        if let Some(rest) = channel.id.strip_prefix(&prefix) {
            if rest.starts_with(&self.nonce) {
                // Answered after we gave it up.
                self.hang_up_channel(&channel.id, "normal");
            } else {
                // An earlier life's: what Asterisk keeps on it says what it is.
                self.list_again();
            }
            return;
        }
        let args: Vec<String> = args.iter().map(|arg| arg.trim().to_owned()).collect();
        match args.as_slice() {
            [kind, queue, rest @ ..] if kind == "queue" => self.customer_enters(channel, queue, rest),
            [kind, extension, rest @ ..] if kind == "agent" => self.caller_for_agent(channel, extension, rest),
            _ => {
                self.warn(format!(
                    "a call entered by Stasis({},{}): neither \"queue,NAME\" nor \"agent,EXTENSION\"; it goes on in the \
                     dialplan",
                    self.settings.address.application,
                    args.join(",")
                ));
                self.send_back(&channel.id);
            }
        }
    }

    pub(super) fn party_answers(&mut self, channel: &str) {
        let Some(party) = self.parties.get_mut(channel) else {
            // Given up meanwhile.
            return self.hang_up_channel(channel, "normal");
        };
        if party.state == PartyState::Up {
            return;
        }
        party.state = PartyState::Up;
        let (room, waiter) = (party.room, party.waiter.take());
        if let Some(command) = waiter {
            self.reply(command, Outcome::success());
        }
        self.callback_reached(channel);
        self.someone_answered(room);
    }

    /// Whom we called has answered; or the dialplan, or an operator, answered a caller who waits here.
    fn state_changed(&mut self, channel: &Channel) {
        self.note_while_listing(&channel.id, Some(channel));
        let Some(party) = self.parties.get_mut(&channel.id).filter(|_| channel.is_up()) else { return };
        match party.state {
            PartyState::Dialing => self.party_answers(&channel.id),
            PartyState::Waiting => {
                party.state = PartyState::Up;
                let room = party.room;
                self.touch_room(room);
            }
            PartyState::Up | PartyState::Away => {}
        }
    }

    /// A channel leaves the application: hung up (then [`Event::Destroyed`] follows), or taken elsewhere by somebody.
    /// For an agent's leg and for somebody who has not answered the cause matters, and only the former names it.
    fn channel_leaves(&mut self, channel: &str) {
        if self.parties.get(channel).is_some_and(|party| party.state == PartyState::Dialing && party.cause.is_none()) {
            // Should it not follow, Asterisk is asked.
            self.look_at.get_or_insert(self.now + LOOK_AGAIN_AFTER);
            return;
        }
        if let Some(Owner::Leg(key)) = self.owners.get(channel)
            && self.phones.get(key).is_some_and(|phone| phone.hanging_up)
        {
            return;
        }
        if self.is_to_go_on(channel) {
            return;
        }
        self.channel_over(channel, None);
    }

    pub(super) fn channel_over(&mut self, channel: &str, cause: Option<u16>) {
        self.note_while_listing(channel, None);
        match self.owners.get(channel).cloned() {
            Some(Owner::Leg(phone)) => {
                let rings_until = self.phones.get(&phone).and_then(|phone| phone.rings_until);
                self.leg_ended(&phone, channel, why(self.now, cause, None, rings_until), None);
            }
            Some(Owner::Party) => self.party_over(channel, cause, false),
            None => {}
        }
    }

    /// Somebody has left. `unseen`: while nobody listened.
    pub(super) fn party_over(&mut self, channel: &str, cause: Option<u16>, unseen: bool) {
        self.caller_hangs_up(channel);
        self.log_caller_gone(channel);
        let Some((room, party)) = self.remove_party(channel) else {
            self.not_supervised(channel, Failure::new(Code::InvalidState, "the call has ended"));
            self.not_made(channel, Failure::new(Code::Unreachable, "the destination cannot be called"));
            self.disown(channel, false);
            return;
        };
        let left = match party.state {
            PartyState::Dialing => {
                let cause = why(self.now, cause, party.cause, party.rings_until);
                Left::by_accident(cause_of(cause))
            }
            _ => Left::hung_up(),
        };
        self.answer_waiter(party.waiter, left.cause);
        if party.callback.is_some() && party.state == PartyState::Dialing {
            self.tell_not_reached(room, left.cause);
        }
        self.settle(room, if unseen { left.unseen() } else { left });
    }

    /// The phone's own hold key does what the desktop's button does.
    fn phone_hold(&mut self, channel: &str, hold: bool) {
        let Some(Owner::Leg(key)) = self.owners.get(channel).cloned() else { return };
        let Some(live) = self.phones.get(&key).and_then(Phone::live) else { return };
        let in_state = |state| live.conversations.iter().filter(move |it| it.state == state);
        let (from, to) = if hold {
            (ConversationState::Talking, ConversationState::Held)
        } else if in_state(ConversationState::Talking).next().is_none() {
            (ConversationState::Held, ConversationState::Talking)
        } else {
            return;
        };
        // With two calls on hold the phone means the newer one.
        let Some(conversation) = in_state(from).next_back().map(|it| it.key.clone()) else { return };
        if let Some(seat) = self.seat_of(&key, &conversation) {
            self.set_state(&seat, to);
        }
    }

    fn variable_set(&mut self, channel: &str, variable: &str, value: String) {
        let Some(party) = self.parties.get_mut(channel) else { return };
        let known = party.data.get(variable);
        if (known.is_none() && !self.settings.variables.contains(variable))
            || known.is_some_and(|known| variable_text(known) == value)
        {
            return;
        }
        let value: jackfield_plugin_api::Json = value.into();
        party.data.insert(variable.to_owned(), value.clone());
        let room = party.room;
        self.data_changed(room, variable, &value);
    }

    /// Every agent in a room sees a new entry of the call data.
    pub(super) fn data_changed(&mut self, room: super::RoomId, key: &str, value: &jackfield_plugin_api::Json) {
        let seats = self.rooms.get(&room).map(|room| room.seats.clone()).unwrap_or_default();
        for seat in seats {
            if let Some(it) = self.phones.get_mut(&seat.phone).and_then(|it| it.interaction_mut(&seat.interaction)) {
                it.data.insert(key.to_owned(), value.clone());
            }
        }
        self.touch_room(room);
    }

    /// REFER: a blind transfer by the phone.
    fn phone_transfers(&mut self, channel: &str, to: Option<String>, attended: bool) {
        let Some(Owner::Leg(key)) = self.owners.get(channel).cloned() else { return };
        // Asterisk tells it once for each channel of the call, and all of them are ours.
        let now = self.now;
        let Some(phone) = self.phones.get_mut(&key) else { return };
        if phone.refer_at.is_some_and(|at| now.duration_since(at) < REFER_ONCE) {
            return;
        }
        phone.refer_at = Some(now);
        let at_hand = self.phones.get(&key).and_then(Phone::at_hand);
        let at_hand = at_hand.filter(|it| it.state != ConversationState::Dialing).map(|it| it.key.clone());
        let progress = |states: &str| {
            Request::post(format!("channels/{}/transfer_progress", segment(channel))).with("states", states)
        };
        match (at_hand, to) {
            (Some(conversation), Some(to)) if !attended => {
                self.send(progress("channel_answered"), What::Lenient);
                if let Some(seat) = self.seat_of(&key, &conversation) {
                    self.blind_transfer(NOBODY, &seat, &to);
                }
            }
            // An attended transfer to a call that the phone has begun just now; else Asterisk would have carried it out
            // (see `TransfersBy`).
            _ => self.send(progress("channel_declined"), What::Lenient),
        }
    }

    /// Somebody else destroyed a bridge of ours: it is made again, with all who belong in it.
    fn bridge_destroyed(&mut self, bridge: &str) {
        let Some((id, room)) = self.rooms.iter_mut().find(|(_, room)| room.bridge == bridge) else { return };
        room.told_bridge = false;
        room.told_music = false;
        room.recording = None;
        room.placed.clear();
        let id = *id;
        self.touch_room(id);
    }

    fn recording_ended(&mut self, name: &str, failed: Option<String>) {
        let room = self
            .rooms
            .iter_mut()
            .find(|(_, room)| room.recording.as_ref().is_some_and(|recording| recording.name == name));
        let Some((id, room)) = room else { return };
        let id = *id;
        room.recording = None;
        self.touch_room(id);
        if let Some(cause) = failed {
            self.warn(format!("a recording failed: {cause}"));
        }
    }

    pub(super) fn handle_late(&mut self, id: super::CommandId) {
        self.refuse(id, Code::LinkDown, "there is no connection to Asterisk");
    }
}

/// Why a call ended: 0 means unknown, so that what was told before holds, and else that our own time limit ran out.
fn why(now: Instant, cause: Option<u16>, before: Option<u16>, rings_until: Option<Instant>) -> Option<u16> {
    let known = |cause: Option<u16>| cause.filter(|cause| *cause != 0);
    let ran_out = rings_until.is_some_and(|until| until <= now);
    known(cause).or(known(before)).or(ran_out.then_some(NO_ANSWER))
}

/// A value as the text of a channel variable: a string as it is, anything else as JSON.
pub(super) fn variable_text(value: &jackfield_plugin_api::Json) -> String {
    value.parse::<String>().unwrap_or_else(|_| value.get().to_owned())
}
