//! A callback's turn: it stands in its queue, is offered to an agent, and its customer is called.
//!
//! Owns: the way from the queue to the customer's answer. A callback in its queue is a room whose customer is away; it is
//! offered as any contact. Must never: call a number before AstDB knows of the attempt, or call one twice at a time.

use std::time::{Duration, Instant};

use jackfield_plugin_api::{
    Code, Failure, Outcome, Timestamp,
    report::{Cause, MemberRole, Reason},
};
use serde_json::{Map, Value, json};

use super::{
    CommandId, Effect, Switch,
    callback_store::{KeptCallback, standing},
    callbacks::{Callback, Storing, TOTAL, is_for},
    confirm::Act,
    dialing::{Callee, Calling, Purpose},
    events::{NOBODY, variable_text},
    link_lost,
    model::{ChannelId, Party, PartyState, RoomId, Seat, Ticket, Wish},
    parking::no_manager,
    rooms::Left,
};
use crate::{ari::Caller, settings::is_variable};

/// The key in call data, and the channel variable, that says when the customer asked to be called.
const CALLBACK: &str = "JACKFIELD_CALLBACK";
/// What holds for a queue whose settings know of callbacks no more.
const ATTEMPTS: u32 = 3;
const RETRY: Duration = Duration::from_secs(900);

impl Switch {
    /// Who wants to be called back goes, and whose time has come stands in the queue.
    pub(super) fn turn_callbacks(&mut self) {
        for room in self.waiting_in_order() {
            let rings = self.rooms.get(&room).is_some_and(|room| !room.seats.is_empty());
            if self.wish(room) == Some(Wish::Wanted) && !rings {
                self.ask_for_callback(room);
            }
        }
        if self.callbacks.is_read && !self.callbacks.known.is_empty() {
            self.let_callers_go();
            self.enter_callbacks();
        }
    }

    /// Callers whose place is kept and who are on the line all the same: an earlier life of this adapter ended before it
    /// could end their calls. Who was served meanwhile is not called.
    fn let_callers_go(&mut self) {
        for (id, kept) in self.callbacks.known.iter().map(|(id, it)| (id.clone(), it.kept.clone())).collect::<Vec<_>>()
        {
            let Some(room) = self.parties.get(&kept.caller).map(|party| party.room) else { continue };
            let Some(state) = self.rooms.get(&room) else { continue };
            match &state.ticket {
                Some(ticket) if !ticket.waiting => {
                    self.callbacks.known.remove(&id);
                    self.forget_callback(None, &id);
                }
                Some(ticket) if state.seats.is_empty() && ticket.queue == kept.queue => self.leaves_by_key(room),
                _ => {}
            }
        }
    }

    fn enter_callbacks(&mut self) {
        let (now, standing) = (self.now, standing(self));
        let is_due = |(id, it): &(&String, &Callback)| {
            it.due <= now && !standing.contains(*id) && !self.parties.contains_key(&it.kept.caller)
        };
        let due = self.callbacks.known.iter().filter(is_due);
        for (id, callback) in due.map(|(id, it)| (id.clone(), it.clone())).collect::<Vec<_>>() {
            let queue = &callback.kept.queue;
            if self.settings.queues.get(queue).is_none_or(|queue| queue.app_queue) {
                if self.callbacks.named.insert(format!("queue {queue}")) {
                    self.warn(format!(
                        "callbacks wait for queue {queue:?}, which is none of the adapter's own in the settings"
                    ));
                }
            } else if callback.kept.attempts >= self.attempts(queue) {
                self.give_up(&id);
            } else {
                self.enter_callback(id, callback);
            }
        }
    }

    fn enter_callback(&mut self, id: String, callback: Callback) {
        let Callback { kept, mut data, .. } = callback;
        data.insert(CALLBACK.to_owned(), json!(kept.since).into());
        let ticket = Ticket { is_callback: true, ..self.ticket_since(&kept.queue, Some(kept.since)) };
        let (room, channel) = (self.new_room(Some(ticket)), self.new_channel_id());
        let who = Caller { number: kept.number, name: kept.name };
        let party = Party::new(&who, MemberRole::Customer, PartyState::Away, room);
        self.add_party(room, channel, Party { data, callback: Some(id), ..party });
    }

    /// A place in a queue since a moment in milliseconds since 1970, or since now.
    pub(super) fn ticket_since(&self, queue: &str, arrived: Option<u64>) -> Ticket {
        let new = Ticket::new(queue, self.now);
        match arrived {
            Some(arrived) => Ticket { arrived, since: self.instant_of(arrived).min(self.now), ..new },
            None => new,
        }
    }

    /// A moment in milliseconds since 1970, by the clock that nobody sets.
    pub(super) fn instant_of(&self, moment: u64) -> Instant {
        let now = Timestamp::now().0;
        match moment.checked_sub(now) {
            Some(ahead) => self.now.checked_add(Duration::from_millis(ahead)),
            None => self.now.checked_sub(Duration::from_millis(now - moment)),
        }
        .unwrap_or(self.now)
    }

    /// An offer that has no caller on the line who could be connected: the callback and the channel that it is made by.
    pub(super) fn callback_of(&self, seat: &Seat) -> Option<(String, ChannelId)> {
        let room = self.conversation(seat)?.room;
        let channel = self.rooms.get(&room)?.parties.first()?;
        let party = self.parties.get(channel).filter(|party| party.state == PartyState::Away)?;
        Some((party.callback.clone()?, channel.clone()))
    }

    /// Whether the customer of a call is being called back and has not answered yet.
    pub(super) fn is_being_called_back(&self, seat: &Seat) -> bool {
        let room = self.conversation(seat).and_then(|it| self.rooms.get(&it.room));
        let is_called = |party: &Party| party.callback.is_some() && party.state == PartyState::Dialing;
        room.is_some_and(|room| room.parties.iter().any(|it| self.parties.get(it).is_some_and(is_called)))
    }

    /// An agent takes what is offered.
    pub(super) fn take(&mut self, command: CommandId, seat: &Seat) {
        match self.callback_of(seat) {
            Some((id, _)) => self.take_callback(command, seat, id),
            None => self.ask(command, Act::Connect(seat.clone())),
        }
    }

    /// The attempt is counted before it is made, so that whatever ends this process does not lead to another one at once.
    fn take_callback(&mut self, command: CommandId, seat: &Seat, id: String) {
        if self.callbacks.is_taken(&id) || self.calls.values().any(|calling| is_for(calling, &id)) {
            return self.refuse(command, Code::InvalidState, "the customer is being called already");
        }
        let known = self.callbacks.known.get(&id).filter(|_| self.callbacks.is_read);
        let Some(mut counted) = known.map(|callback| callback.kept.clone()) else {
            let failure = Failure::new(Code::LinkDown, "there is no connection to Asterisk's manager interface");
            return self.not_taken(command, seat, failure);
        };
        let retry = u64::try_from(self.retry(&counted.queue).as_millis()).unwrap_or(u64::MAX);
        counted.attempts += 1;
        counted.not_before = Timestamp::now().0.saturating_add(retry);
        self.set_offer_end(seat, None);
        let store = self.number();
        self.keep_entry(Some(store), &id, &counted);
        self.callbacks.storing.insert(store, Storing::Attempt { command, seat: seat.clone(), id, counted });
    }

    /// The offer goes on; but a phone that was picked up for nothing is hung up.
    fn not_taken(&mut self, command: CommandId, seat: &Seat, failure: Failure) {
        self.set_offer_end(seat, Some(self.now + self.settings.offer_timeout));
        if command == NOBODY && self.conversation(seat).is_some() {
            self.refuse_offer(seat);
        }
        self.reply(command, failure);
    }

    pub(super) fn attempt_stored(
        &mut self,
        command: CommandId,
        seat: &Seat,
        id: &str,
        counted: KeptCallback,
        done: Result<(), String>,
    ) {
        if let Err(why) = done {
            let failure = Failure::new(Code::Rejected, "Asterisk does not keep that the customer is called");
            return self.not_taken(command, seat, failure.context(why));
        }
        let Some(callback) = self.callbacks.known.get_mut(id) else {
            // Cancelled meanwhile.
            self.forget_callback(None, id);
            return self.refuse(command, Code::InvalidState, "the call has ended");
        };
        callback.kept = counted;
        let (queue, number) = (callback.kept.queue.clone(), callback.kept.number.clone());
        if !self.up {
            self.uncount_attempt(id);
            return self.not_taken(command, seat, link_lost());
        }
        let Some((_, channel)) = self.callback_of(seat).filter(|(other, _)| other == id) else {
            self.uncount_attempt(id);
            return self.refuse(command, Code::InvalidState, "the call has ended");
        };
        let purpose = Purpose::Callback { id: id.to_owned(), queue, channel: channel.clone() };
        self.place(Calling {
            command,
            phone: seat.phone.clone(),
            purpose,
            destination: number,
            callee: Callee::Channel(channel),
            found: None,
        });
    }

    /// The call data of a callback are variables of the channel by which the customer is called.
    pub(super) fn callback_variables(&self, channel: &str) -> Map<String, Value> {
        let party = self.parties.get(channel).filter(|party| party.state == PartyState::Away);
        let data = party.into_iter().flat_map(|party| &party.data).filter(|(name, _)| is_variable(name));
        data.map(|(name, value)| (name.clone(), variable_text(value).into())).collect()
    }

    /// The channel is made by which the customer is called.
    pub(super) fn calls_back(&mut self, calling: Calling, id: &str, channel: &str) {
        let seat = self.alerting_seat(&calling.phone);
        let is_it = |seat: &Seat| self.callback_of(seat).is_some_and(|(other, its)| other == id && its == channel);
        let is_up = self.phones.get(&calling.phone).is_some_and(|phone| phone.leg.up().is_some());
        let Some(seat) = seat.filter(is_it).filter(|_| is_up) else {
            return self.too_late(calling, "the call has ended");
        };
        if let Some(party) = self.parties.get_mut(channel) {
            party.state = PartyState::Dialing;
            party.rings_until = Some(self.now + self.settings.dial_timeout);
        }
        self.mark_record(channel);
        self.to_dial.push(channel.to_owned());
        self.connect(&seat);
        self.reply(calling.command, Outcome::success());
    }

    /// Nobody was called, for a reason that is not the callback's.
    pub(super) fn uncount_attempt(&mut self, id: &str) {
        let Some(callback) = self.callbacks.known.get_mut(id) else { return };
        callback.kept.attempts = callback.kept.attempts.saturating_sub(1);
        callback.kept.not_before = 0;
        let kept = callback.kept.clone();
        self.keep_entry(None, id, &kept);
        self.queues_touched = true;
    }

    /// The channel was made for nothing: another one is to be made the next time, for the end of this one is still to be told.
    pub(super) fn not_called_after_all(&mut self, id: &str, channel: &str) {
        let new = self.new_channel_id();
        let Some(party) = self.parties.remove(channel) else { return self.uncount_attempt(id) };
        if let Some(room) = self.rooms.get_mut(&party.room) {
            room.parties.iter_mut().filter(|it| *it == channel).for_each(|it| it.clone_from(&new));
            room.call = room.call.take().map(|call| if call == channel { new.clone() } else { call });
        }
        self.touch_room(party.room);
        self.parties.insert(new, party);
        self.uncount_attempt(id);
    }

    /// Asterisk has not made the channel.
    pub(super) fn not_called_back(&mut self, id: &str, channel: &str) {
        let Some(room) = self.parties.get(channel).map(|party| party.room) else { return };
        let seats = self.rooms.get(&room).map(|room| room.seats.clone()).unwrap_or_default();
        if !self.up {
            for seat in seats {
                self.set_offer_end(&seat, Some(self.now + self.settings.offer_timeout));
            }
            return;
        }
        for seat in seats {
            self.leave_room(&seat, Reason::Redirected, Some(Cause::Unreachable));
        }
        self.remove_party(channel);
        self.settle(room, Left::hung_up());
        self.callback_failed(id);
    }

    /// The agent who called is told that the customer was not reached.
    pub(super) fn tell_not_reached(&mut self, room: RoomId, cause: Cause) {
        let Some(state) = self.rooms.get(&room).filter(|room| room.parties.is_empty()) else { return };
        if let [seat] = state.seats.as_slice() {
            let seat = seat.clone();
            self.leave_room(&seat, Reason::Failed, Some(cause));
        }
    }

    /// The customer was called and has not answered, or nobody waits for the answer any more.
    pub(super) fn callback_failed(&mut self, id: &str) {
        let Some(kept) = self.callbacks.known.get(id).map(|callback| callback.kept.clone()) else { return };
        if kept.attempts >= self.attempts(&kept.queue) {
            return self.give_up(id);
        }
        let due = self.instant_of(kept.not_before);
        if let Some(callback) = self.callbacks.known.get_mut(id) {
            callback.due = due;
        }
        self.queues_touched = true;
    }

    fn give_up(&mut self, id: &str) {
        let Some(callback) = self.callbacks.known.remove(id) else { return };
        self.forget_callback(None, id);
        let KeptCallback { queue, number, attempts, .. } = callback.kept;
        self.warn(format!(
            "{number}, who wants to be called back by queue {queue}, was not reached: {attempts} attempts"
        ));
        self.effects.push(Effect::Count { metric: TOTAL, label: "given_up" });
        self.queues_touched = true;
    }

    /// The customer has answered.
    pub(super) fn callback_reached(&mut self, channel: &str) {
        let Some((room, id)) = self.parties.get(channel).and_then(|it| Some((it.room, it.callback.clone()?))) else {
            return;
        };
        self.forget_reached(&id, channel.to_owned());
        self.effects.push(Effect::Count { metric: TOTAL, label: "reached" });
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if let Some(ticket) = &mut state.ticket {
            ticket.is_callback = false;
        }
        if let Some(seat) = state.seats.first().cloned() {
            self.log_called_back(room, &seat);
        }
    }

    /// A callback is over whose customer was reached; the channel says so until AstDB has forgotten it.
    pub(super) fn forget_reached(&mut self, id: &str, channel: ChannelId) {
        self.callbacks.known.remove(id);
        let store = self.number();
        self.callbacks.storing.insert(store, Storing::Reached { channel, id: id.to_owned() });
        self.forget_callback(Some(store), id);
        self.queues_touched = true;
    }

    fn attempts(&self, queue: &str) -> u32 {
        let settings = self.settings.queues.get(queue).and_then(|queue| queue.callback.as_ref());
        settings.map_or(ATTEMPTS, |callback| callback.attempts)
    }

    fn retry(&self, queue: &str) -> Duration {
        let settings = self.settings.queues.get(queue).and_then(|queue| queue.callback.as_ref());
        settings.map_or(RETRY, |callback| callback.retry)
    }

    /// One callback, or all, stand in their queues no more, and are offered to nobody.
    pub(super) fn withdraw_callbacks(&mut self, id: Option<&str>, reason: Reason) {
        let is_it = |party: &&Party| {
            party.state == PartyState::Away && id.is_none_or(|id| party.callback.as_deref() == Some(id))
        };
        for room in self.parties.values().filter(is_it).map(|party| party.room).collect::<Vec<_>>() {
            let Some(state) = self.rooms.get(&room) else { continue };
            let (seats, parties) = (state.seats.clone(), state.parties.clone());
            for seat in seats {
                self.leave_room(&seat, reason, None);
            }
            for channel in parties {
                self.remove_party(&channel);
            }
            self.settle(room, Left::hung_up());
        }
    }

    /// There is no connection to AstDB: callers stay on the line, and nobody is called.
    pub(super) fn suspend_callbacks(&mut self) {
        self.callbacks.is_read = false;
        self.callbacks.refused = None;
        if self.fenced {
            return;
        }
        for (store, storing) in std::mem::take(&mut self.callbacks.storing) {
            match storing {
                Storing::Asked { room, id, callback } if self.rooms.contains_key(&room) => {
                    // Asked for anew when there is a connection, and not twice, whatever has become of it.
                    self.set_wish(room, Wish::Wanted);
                    self.forget_callback(None, &id);
                    self.tell_why_not(&callback.kept.queue, "the connection to the manager interface was lost");
                }
                // Has hung up: it is asked for as soon as there is a connection.
                asked @ Storing::Asked { .. } => drop(self.callbacks.storing.insert(store, asked)),
                Storing::Attempt { command, seat, id, .. } => {
                    let kept = self.callbacks.known.get(&id).map(|callback| callback.kept.clone());
                    if let Some(kept) = kept {
                        self.keep_entry(None, &id, &kept);
                    }
                    self.not_taken(command, &seat, no_manager());
                }
                Storing::Cancelled { command, id } => {
                    if let Some(mut callback) = self.callbacks.known.get(&id).cloned() {
                        self.keep_callback(None, &id, &mut callback);
                    }
                    self.reply(command, no_manager());
                }
                // Goes on as soon as there is a connection.
                reached @ Storing::Reached { .. } => drop(self.callbacks.storing.insert(store, reached)),
            }
        }
        self.withdraw_callbacks(None, Reason::Redirected);
    }
}
