//! Rooms: who comes, who goes, and what becomes of those who stay.
//!
//! Owns: the rule that nobody is left alone in a bridge for ever ([`Switch::settle`]), and the end of conversations and
//! interactions. Every way in which someone leaves (a command, a hang-up, a lost phone, a lost link) goes through here.

use jackfield_plugin_api::report::{Cause, ConversationState, Direction, MemberRole, Reason, Role};

use super::{
    Effect, Switch, What,
    model::{
        Availability, ChannelId, Closed, Conversation, Interaction, Owner, Party, PartyState, PhoneKey, Room, RoomId,
        Seat, Ticket, WrapUp,
    },
};
use crate::{ari::Request, settings::LegMode};

/// How many calls that are over a phone has until they are completed; one more, and the oldest of them is.
const ENDED: usize = 50;

/// Why somebody left, as far as those who stay must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Why a call that never came about did not.
    pub(crate) cause: Cause,
    /// The agent did not mean to: a customer who came from a queue goes back to it.
    pub(crate) keep_customer: bool,
    /// It was found out later: nobody knows how the call ended.
    pub(crate) unseen: bool,
}

impl Left {
    pub(crate) const fn because(cause: Cause) -> Self {
        Self { cause, keep_customer: false, unseen: false }
    }

    pub(crate) const fn hung_up() -> Self {
        Self::because(Cause::Unreachable)
    }

    /// Nobody saw how.
    pub(crate) const fn lost() -> Self {
        Self::by_accident(Cause::Unreachable)
    }

    pub(crate) const fn by_accident(cause: Cause) -> Self {
        Self { cause, keep_customer: true, unseen: false }
    }

    /// The same, told of what was over when the link came back.
    pub(crate) const fn unseen(self) -> Self {
        Self { unseen: true, ..self }
    }
}

impl Switch {
    pub(super) fn new_room(&mut self, ticket: Option<Ticket>) -> RoomId {
        let id = self.number();
        let bridge = self.new_channel_id();
        self.rooms.insert(
            id,
            Room {
                parties: Vec::new(),
                seats: Vec::new(),
                ticket,
                recording: None,
                starts_recording: false,
                call: None,
                bridge,
                told_bridge: false,
                told_music: false,
                placed: std::collections::BTreeSet::new(),
                mixed: false,
            },
        );
        id
    }

    pub(super) fn add_party(&mut self, room: RoomId, channel: ChannelId, party: Party) {
        if party.state != PartyState::Away {
            self.owners.insert(channel.clone(), Owner::Party);
        }
        if party.supervises.is_some() {
            self.supervising.insert(channel.clone());
        }
        self.parties.insert(channel.clone(), party);
        if let Some(room) = self.rooms.get_mut(&room) {
            room.call.get_or_insert_with(|| channel.clone());
            room.parties.push(channel);
        }
        self.touch_room(room);
    }

    /// Opens an interaction on a phone that has none, with a conversation in a room.
    pub(super) fn open_interaction(
        &mut self,
        phone: &str,
        room: RoomId,
        direction: Direction,
        state: ConversationState,
        queue: Option<String>,
    ) -> Option<(String, String)> {
        let (key, conversation) = (self.new_key(), self.new_key());
        let mut data = std::collections::BTreeMap::new();
        for party in self.rooms.get(&room)?.parties.iter().filter_map(|channel| self.parties.get(channel)) {
            data.extend(party.data.clone());
        }
        self.phones.get_mut(phone)?.interactions.push(Interaction {
            key: key.clone(),
            direction,
            taken: state != ConversationState::Alerting,
            queue,
            data,
            conversations: Vec::new(),
            supervises: None,
            closed: Vec::new(),
            ended: None,
        });
        self.open_conversation(phone, &key, &conversation, Role::Primary, state, room);
        Some((key, conversation))
    }

    pub(super) fn open_conversation(
        &mut self,
        phone: &str,
        interaction: &str,
        key: &str,
        role: Role,
        state: ConversationState,
        room: RoomId,
    ) {
        let until = (state == ConversationState::Alerting).then(|| self.now + self.settings.offer_timeout);
        if let Some(interaction) = self.phones.get_mut(phone).and_then(|phone| phone.interaction_mut(interaction)) {
            interaction.conversations.push(Conversation { key: key.to_owned(), role, state, room });
        }
        if let Some(room) = self.rooms.get_mut(&room) {
            room.seats.push(Seat {
                phone: phone.to_owned(),
                interaction: interaction.to_owned(),
                conversation: key.to_owned(),
                until,
                waiter: None,
            });
        }
        self.touch_phone(phone);
        self.touch_room(room);
    }

    pub(super) fn conversation(&self, seat: &Seat) -> Option<&Conversation> {
        let phone = self.phones.get(&seat.phone)?;
        phone
            .interactions
            .iter()
            .find(|interaction| interaction.key == seat.interaction)?
            .conversation(&seat.conversation)
    }

    pub(super) fn set_state(&mut self, seat: &Seat, state: ConversationState) {
        let interaction = self.phones.get_mut(&seat.phone).and_then(|phone| phone.interaction_mut(&seat.interaction));
        let Some(interaction) = interaction else { return };
        interaction.taken |= state != ConversationState::Alerting;
        let Some(conversation) = interaction.conversation_mut(&seat.conversation) else { return };
        conversation.state = state;
        let room = conversation.room;
        if state != ConversationState::Alerting
            && let Some(room) = self.rooms.get_mut(&room)
        {
            for other in room.seats.iter_mut().filter(|other| other.conversation == seat.conversation) {
                other.until = None;
            }
        }
        self.touch_room(room);
    }

    /// Somebody can be spoken to now: whoever waited for that talks.
    pub(super) fn someone_answered(&mut self, room: RoomId) {
        let seats = self.rooms.get(&room).map(|room| room.seats.clone()).unwrap_or_default();
        for seat in &seats {
            if self.conversation(seat).is_some_and(|conversation| conversation.state == ConversationState::Dialing) {
                // The agent may have gone back to the other call while this one rang.
                let talks = self.phones.get(&seat.phone).and_then(super::model::Phone::live).is_some_and(|live| {
                    live.conversations.iter().any(|conversation| conversation.state == ConversationState::Talking)
                });
                let state = if talks { ConversationState::Held } else { ConversationState::Talking };
                self.set_state(seat, state);
            }
        }
        self.touch_room(room);
    }

    /// An agent leaves a room; the caller settles it.
    pub(super) fn leave_room(&mut self, seat: &Seat, reason: Reason, cause: Option<Cause>) -> Option<RoomId> {
        self.log_agent_left(seat, reason);
        let phone = self.phones.get_mut(&seat.phone)?;
        let interaction = phone.interaction_mut(&seat.interaction)?;
        let at = interaction.conversations.iter().position(|conversation| conversation.key == seat.conversation)?;
        let conversation = interaction.conversations.remove(at);
        interaction.closed.push(Closed { key: conversation.key, reason, cause });
        let over = interaction.conversations.is_empty();
        if over {
            interaction.ended = Some((reason, cause));
        }
        let room_id = conversation.room;
        self.touch_room(room_id);
        let mut waiter = None;
        if let Some(room) = self.rooms.get_mut(&room_id) {
            let at = room.seats.iter().position(|other| other.conversation == seat.conversation);
            waiter = at.and_then(|at| room.seats.remove(at).waiter);
        }
        self.answer_waiter(waiter, cause.unwrap_or(Cause::Cancelled));
        self.retrieve_members(room_id);
        self.touch_phone(&seat.phone);
        if over {
            self.interaction_over(&seat.phone, &seat.interaction);
        }
        Some(room_id)
    }

    /// After a call: the pending availability, after-call work, the next in the queue.
    fn interaction_over(&mut self, phone: &str, interaction: &str) {
        let now = self.now;
        self.queues_touched = true;
        let Some(phone) = self.phones.get_mut(phone) else { return };
        phone.muted = false;
        let Some(at) = phone.interactions.iter().position(|other| other.key == interaction) else { return };
        let over = &phone.interactions[at];
        if !over.taken {
            let over = phone.interactions.remove(at);
            phone.gone.push(over);
        } else {
            let queue = over.queue.as_ref().and_then(|queue| self.settings.queues.get(queue));
            let wrap_up = queue.map_or(self.settings.wrap_up, |queue| queue.wrap_up);
            if !wrap_up.is_zero() && phone.work == super::model::Work::Active {
                phone.wrap_up = Some(WrapUp { until: Some(now + wrap_up) });
            }
            phone.ready_since = now;
            let ended = |it: &Interaction| it.ended.is_some();
            if phone.interactions.iter().filter(|it| ended(it)).count() > ENDED
                && let Some(oldest) = phone.interactions.iter().position(ended)
            {
                let oldest = phone.interactions.remove(oldest);
                phone.gone.push(oldest);
            }
        }
        if phone.wrap_up.is_none()
            && let Some(pending) = phone.pending.take()
        {
            phone.availability = pending;
        }
        if self.settings.leg == LegMode::PerCall
            && let Some(channel) = phone.leg.channel().cloned()
        {
            phone.leg = super::model::Leg::None;
            phone.waiting = None;
            self.hang_up_channel(&channel, "normal");
        }
    }

    /// After-call work is over.
    pub(super) fn end_wrap_up(&mut self, phone: &str) {
        let now = self.now;
        let Some(state) = self.phones.get_mut(phone) else { return };
        if state.wrap_up.take().is_none() {
            return;
        }
        if let Some(pending) = state.pending.take() {
            state.availability = pending;
        }
        if state.availability == Availability::Ready {
            state.ready_since = now;
        }
        self.queues_touched = true;
        self.touch_phone(phone);
    }

    /// A party leaves; the caller settles the room. Its channel is gone, or is to be hung up by the caller.
    pub(super) fn remove_party(&mut self, channel: &str) -> Option<(RoomId, Party)> {
        self.end_music(channel);
        let party = self.parties.remove(channel)?;
        self.disown(channel, false);
        self.touch_room(party.room);
        if let Some(room) = self.rooms.get_mut(&party.room) {
            room.parties.retain(|other| other != channel);
            room.placed.remove(channel);
        }
        self.queues_touched |= self.callbacks.caller_is_gone(channel);
        if party.state == PartyState::Dialing
            && let Some(callback) = &party.callback
        {
            self.callback_failed(callback);
        }
        Some((party.room, party))
    }

    pub(super) fn hang_up_channel(&mut self, channel: &str, reason: &str) {
        self.disown(channel, true);
        for room in self.rooms.values_mut() {
            room.placed.remove(channel);
        }
        self.send(Request::delete(format!("channels/{}", segment(channel))).with("reason", reason), What::Lenient);
    }

    pub(super) fn hang_up_party(&mut self, channel: &str) {
        if let Some((_, party)) = self.remove_party(channel) {
            self.answer_waiter(party.waiter, Cause::Cancelled);
            self.hang_up_channel(channel, "normal");
        }
    }

    /// Sees that nobody is left alone, and that a room without anybody goes.
    pub(super) fn settle(&mut self, id: RoomId, left: Left) {
        self.touch_room(id);
        let Some(room) = self.rooms.get(&id) else { return };
        let (parties, seats) = (room.parties.clone(), room.seats.clone());
        let anyone = parties
            .iter()
            .any(|party| self.parties.get(party).is_some_and(|p| p.state != PartyState::Dialing))
            || seats.iter().any(|seat| {
                self.conversation(seat).is_some_and(|conversation| conversation.state != ConversationState::Alerting)
            });
        if anyone && parties.len() + seats.len() > 1 {
            return;
        }
        if seats.is_empty() && parties.len() == 1 && anyone {
            let is_called = parties[0].starts_with(&self.own_prefix());
            match &room.ticket {
                Some(ticket) if ticket.waiting => {
                    self.queues_touched = true;
                    return;
                }
                Some(_) if left.keep_customer => return self.wait_again(id),
                // The dialplan that brought him knows what else to do: voice mail, another extension.
                None if left.keep_customer && !is_called => {
                    self.remove_party(&parties[0]);
                    self.send_back(&parties[0]);
                    return self.destroy_room(id);
                }
                _ => {}
            }
        }
        for seat in &seats {
            self.end_alone(seat, left);
        }
        for party in &parties {
            self.hang_up_party(party);
        }
        self.destroy_room(id);
    }

    /// Ends the conversation of an agent who has nobody to talk to.
    fn end_alone(&mut self, seat: &Seat, left: Left) {
        let (reason, cause) = match self.conversation(seat).map(|conversation| conversation.state) {
            Some(ConversationState::Dialing) => (Reason::Failed, Some(left.cause)),
            _ if left.unseen => (Reason::Lost, None),
            Some(ConversationState::Alerting) => (Reason::Abandoned, None),
            _ => (Reason::Released, None),
        };
        self.leave_room(seat, reason, cause);
    }

    fn destroy_room(&mut self, id: RoomId) {
        self.log_served(id, "COMPLETEAGENT", Vec::new());
        let Some(room) = self.rooms.remove(&id) else { return };
        self.touched_rooms.remove(&id);
        self.queues_touched |= room.ticket.is_some();
        if room.told_bridge {
            self.dead_bridges.insert(room.bridge, room.placed);
        }
    }

    /// All of one room go into another; the first is no more.
    pub(super) fn merge_rooms(&mut self, from: RoomId, into: RoomId) {
        self.touch_room(from);
        let Some(room) = self.rooms.get_mut(&from) else { return };
        let (parties, seats) = (std::mem::take(&mut room.parties), std::mem::take(&mut room.seats));
        for channel in &parties {
            if let Some(party) = self.parties.get_mut(channel) {
                party.room = into;
            }
        }
        for seat in &seats {
            let interaction =
                self.phones.get_mut(&seat.phone).and_then(|phone| phone.interaction_mut(&seat.interaction));
            if let Some(conversation) = interaction.and_then(|it| it.conversation_mut(&seat.conversation)) {
                conversation.room = into;
            }
        }
        if let Some(room) = self.rooms.get_mut(&into) {
            room.parties.extend(parties);
            room.seats.extend(seats);
        }
        self.share_data(into);
        self.touch_room(into);
        self.destroy_room(from);
    }

    /// Each agent in a room sees the call data of the parties in it.
    pub(super) fn share_data(&mut self, room: RoomId) {
        let Some(room) = self.rooms.get(&room) else { return };
        let mut data = std::collections::BTreeMap::new();
        for party in room.parties.iter().filter_map(|channel| self.parties.get(channel)) {
            data.extend(party.data.clone());
        }
        for seat in &room.seats {
            if let Some(it) =
                self.phones.get_mut(&seat.phone).and_then(|phone| phone.interaction_mut(&seat.interaction))
            {
                it.data.extend(data.clone());
            }
        }
    }

    /// Who a party is to the agents: the customer of a call from a queue, or of a dialled one.
    pub(super) fn role_of_called(primary: bool) -> MemberRole {
        if primary { MemberRole::Customer } else { MemberRole::External }
    }

    pub(super) fn seat_of(&self, phone: &str, conversation: &str) -> Option<Seat> {
        let phone = self.phones.get(phone)?;
        let interaction =
            phone.interactions.iter().find(|interaction| interaction.conversation(conversation).is_some())?;
        let room = interaction.conversation(conversation)?.room;
        self.rooms.get(&room)?.seats.iter().find(|seat| seat.conversation == conversation).cloned()
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Warn(text.into()));
    }

    pub(super) fn phones_of(&self, agent: &str) -> Vec<PhoneKey> {
        self.desks.get(agent).map(|desk| desk.phones.clone()).unwrap_or_default()
    }
}

/// A text as one part of a path.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:;".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
