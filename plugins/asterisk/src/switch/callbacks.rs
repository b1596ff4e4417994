//! Callbacks: a caller who waits presses a key, hangs up, keeps the place, and is called when it is his turn.
//!
//! Owns: who asked for one, the way from the key to AstDB, and what agents see and cancel. What becomes of it then is
//! [`callback_turn`](super::callback_turn)'s. Must never: end a caller's call before AstDB has confirmed the callback.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jackfield_plugin_api::{Code, Failure, Json, Outcome, Timestamp, report::Reason};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommandId, Effect, Switch, What,
    callback_store::{KeptCallback, can_be_called_back},
    dialing::{Calling, Purpose},
    model::{ChannelId, Party, PartyState, Phone, RoomId, Seat, Wish, Work},
    parking::no_manager,
    rooms::{Left, segment},
};
use crate::{ari::Request, manager::NOT_THERE};

/// How long a confirmation may take to be played.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// How many callbacks a queue keeps: more than its agents make in a day, and few enough for each to be looked at often.
pub(super) const MOST: usize = 1000;
/// What the user of the manager interface needs.
pub(super) const RIGHT: &str = "(manager.conf: the user needs write = system)";
/// The metrics.
const WAITING: &str = "waiting_callbacks";
pub(super) const TOTAL: &str = "callbacks_total";

/// All callbacks, and what is under way for them.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    pub(super) known: BTreeMap<String, Callback>,
    /// AstDB was read, and there is a connection to it.
    pub(super) is_read: bool,
    /// What AstDB is asked to write or remove.
    pub(super) storing: BTreeMap<u64, Storing>,
    /// Callers who hear that they will be called: what is played, and until when at the most.
    confirming: BTreeMap<ChannelId, (String, Instant)>,
    /// When it was last looked which are due.
    looked_at: Option<Instant>,
    /// What cannot be served and was said in the log: entries, and queues.
    pub(super) named: BTreeSet<String>,
    /// Why they cannot be read.
    pub(super) refused: Option<String>,
    /// It was said why nobody can ask for one.
    told_why_not: bool,
}

/// A callback.
#[derive(Debug, Clone)]
pub(super) struct Callback {
    pub(super) kept: KeptCallback,
    pub(super) data: BTreeMap<String, Json>,
    /// When it is to stand in its queue.
    pub(super) due: Instant,
}

/// What follows when AstDB has confirmed something.
#[derive(Debug)]
pub(super) enum Storing {
    /// The caller's call ends.
    Asked { room: RoomId, id: String, callback: Callback },
    /// The number is called.
    Attempt { command: CommandId, seat: Seat, id: String, counted: KeptCallback },
    /// It was cancelled.
    Cancelled { command: CommandId, id: String },
    /// Nothing more: the customer was reached.
    Reached { channel: ChannelId, id: String },
}

/// `session.request.asterisk.callback.cancel`.
#[derive(Debug, Deserialize)]
struct Cancel {
    id: String,
}

impl Callbacks {
    /// All are known, and new ones can be asked for.
    pub(super) fn are_known(&mut self) {
        self.is_read = true;
        self.refused = None;
        self.told_why_not = false;
    }

    /// When something is to be done next.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let due = self.known.values().map(|callback| callback.due).filter(|due| self.is_read && *due > now);
        due.chain(self.confirming.values().map(|(_, until)| *until)).min()
    }

    /// Nobody hears any more when a confirmation is over.
    pub(super) fn end_confirmations(&mut self, now: Instant) {
        self.confirming.values_mut().for_each(|(_, until)| *until = now);
    }

    /// A channel is no more. `true`: its caller has heard that he will be called.
    pub(super) fn caller_is_gone(&mut self, channel: &str) -> bool {
        self.confirming.remove(channel).is_some()
    }

    /// The callback of a number in a queue.
    fn of_number(&self, queue: &str, number: &str) -> bool {
        self.known.values().any(|it| it.kept.queue == queue && it.kept.number == number)
    }

    /// Whether the customer of a callback is being called for somebody who has taken it.
    pub(super) fn is_taken(&self, id: &str) -> bool {
        self.storing.values().any(|it| matches!(it, Storing::Attempt { id: other, .. } if other == id))
    }
}

// From the key to AstDB.

impl Switch {
    /// A caller who waits pressed a key. While an agent's phone rings for him it counts if that agent does not answer.
    pub(super) fn key_pressed(&mut self, channel: &str, key: &str) {
        let Some(party) = self.parties.get(channel) else { return };
        if party.state != PartyState::Up || !can_be_called_back(&party.number) {
            return;
        }
        let Some(ticket) = self.rooms.get_mut(&party.room).and_then(|room| room.ticket.as_mut()) else { return };
        let settings = self.settings.queues.get(&ticket.queue).and_then(|queue| queue.callback.as_ref());
        let is_it = settings.is_some_and(|callback| key.chars().eq([callback.key]));
        if is_it && ticket.is_on_line() && ticket.wish == Wish::None {
            ticket.wish = Wish::Wanted;
            self.queues_touched = true;
        }
    }

    /// A caller on the line who waits and is gone: who pressed the key before is called back.
    pub(super) fn caller_hangs_up(&mut self, channel: &str) {
        let Some(room) = self.parties.get(channel).map(|party| party.room) else { return };
        if self.wish(room) == Some(Wish::Wanted) {
            self.ask_for_callback(room);
        }
    }

    /// What a caller on the line who waits wants.
    pub(super) fn wish(&self, room: RoomId) -> Option<Wish> {
        let ticket = self.rooms.get(&room)?.ticket.as_ref()?;
        ticket.is_on_line().then_some(ticket.wish)
    }

    pub(super) fn set_wish(&mut self, room: RoomId, wish: Wish) {
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.wish = wish;
        }
        self.queues_touched = true;
    }

    /// Whether AstDB is being asked to keep a caller's place.
    pub(super) fn asks_to_be_called(&self, room: RoomId) -> bool {
        self.wish(room) == Some(Wish::Asked)
    }

    /// The key that a caller has pressed whose place AstDB is being asked to keep.
    pub(super) fn key_to_be_called(&self, room: RoomId) -> Option<char> {
        let ticket = self.rooms.get(&room)?.ticket.as_ref().filter(|_| self.asks_to_be_called(room))?;
        self.settings.queues.get(&ticket.queue)?.callback.as_ref().map(|callback| callback.key)
    }

    pub(super) fn ask_for_callback(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get(&room) else { return };
        let Some((channel, ticket)) = state.parties.first().cloned().zip(state.ticket.clone()) else { return };
        let Some(party) = self.parties.get(&channel) else { return };
        let (queue, number) = (ticket.queue, party.number.clone());
        if !self.callbacks.is_read {
            return match self.callbacks.refused.clone() {
                Some(why) => {
                    self.set_wish(room, Wish::None);
                    self.tell_why_not(&queue, &format!("{why} {RIGHT}"));
                }
                // It is asked for as soon as that can be.
                None if self.manager_up => {}
                None => self.tell_why_not(&queue, "the manager interface cannot be reached"),
            };
        }
        let is_same = |it: &Storing| matches!(it, Storing::Asked { callback, .. } if callback.kept.queue == queue && callback.kept.number == number);
        if self.callbacks.storing.values().any(is_same) {
            return;
        }
        if self.callbacks.of_number(&queue, &number) {
            return self.leaves_by_key(room);
        }
        if self.callbacks_in(&queue) >= Some(MOST) {
            self.set_wish(room, Wish::None);
            return self.tell_why_not(&queue, &format!("{MOST} callbacks are waiting there"));
        }
        let (name, since) = (party.name.clone(), ticket.arrived);
        let kept = KeptCallback { queue, number, name, since, caller: channel, attempts: 0, not_before: 0, parts: 0 };
        let mut callback = Callback { kept, data: party.data.clone(), due: self.now };
        let (id, store) = (self.new_key(), self.number());
        self.keep_callback(Some(store), &id, &mut callback);
        self.callbacks.storing.insert(store, Storing::Asked { room, id, callback });
        self.set_wish(room, Wish::Asked);
    }

    /// Said once, and again when it was possible meanwhile.
    pub(super) fn tell_why_not(&mut self, queue: &str, why: &str) {
        if !std::mem::replace(&mut self.callbacks.told_why_not, true) {
            self.warn(format!("a caller in queue {queue} who wants to be called back stays on the line: {why}"));
        }
    }

    /// AstDB has done what it was asked for, or not.
    pub(super) fn stored(&mut self, store: u64, done: Result<(), String>) {
        // What is to be removed and is not there is removed.
        let done = match done {
            Err(why) if !why.contains(NOT_THERE) => Err(why),
            _ => Ok(()),
        };
        match self.callbacks.storing.remove(&store) {
            Some(Storing::Asked { room, id, callback }) => self.callback_stored(room, id, callback, done),
            Some(Storing::Attempt { command, seat, id, counted }) => {
                self.attempt_stored(command, &seat, &id, counted, done);
            }
            Some(Storing::Cancelled { command, id }) => match done {
                Ok(()) => {
                    self.callbacks.known.remove(&id);
                    self.withdraw_callbacks(Some(&id), Reason::Abandoned);
                    self.queues_touched = true;
                    self.effects.push(Effect::Count { metric: TOTAL, label: "cancelled" });
                    self.reply(command, Outcome::success());
                }
                Err(why) => {
                    let failure = Failure::new(Code::Rejected, "Asterisk does not remove the callback");
                    self.reply(command, failure.context(why));
                }
            },
            Some(Storing::Reached { channel, id }) => match done {
                Ok(()) => {
                    if let Some(party) = self.parties.get_mut(&channel) {
                        party.callback = None;
                        let room = party.room;
                        self.touch_room(room);
                    }
                }
                Err(why) => self.warn(format!("Asterisk does not remove the callback {id}, who was reached: {why}")),
            },
            None => {}
        }
    }

    fn callback_stored(&mut self, room: RoomId, id: String, callback: Callback, done: Result<(), String>) {
        let queue = callback.kept.queue.clone();
        let waits = self.asks_to_be_called(room);
        if waits {
            self.set_wish(room, Wish::None);
        }
        match done {
            // Goes with the queue's next turn, or has hung up by himself.
            Ok(()) if waits || !self.rooms.contains_key(&room) => {
                self.callbacks.known.insert(id, callback);
                self.queues_touched = true;
                self.effects.push(Effect::Count { metric: TOTAL, label: "requested" });
            }
            Ok(()) => self.forget_callback(None, &id),
            Err(why) => {
                self.forget_callback(None, &id);
                self.tell_why_not(&queue, &format!("{why} {RIGHT}"));
            }
        }
    }

    /// A caller whose place is kept hears that, if something is configured, and is hung up.
    pub(super) fn leaves_by_key(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get(&room) else { return };
        let Some((channel, ticket)) = state.parties.first().cloned().zip(state.ticket.as_ref()) else { return };
        let settings = self.settings.queues.get(&ticket.queue).and_then(|queue| queue.callback.clone());
        self.log_left_by_key(room, settings.as_ref().map_or('?', |callback| callback.key));
        if let Some(room) = self.rooms.get_mut(&room) {
            room.ticket = None;
        }
        self.queues_touched = true;
        self.touch_room(room);
        let Some(media) = settings.and_then(|callback| callback.confirmation) else {
            return self.end_call(&channel);
        };
        let playback = self.new_channel_id();
        let request = Request::post(format!("channels/{}/play", segment(&channel))).with("media", media);
        self.send(request.with("playbackId", playback.clone()), What::Lenient);
        self.callbacks.confirming.insert(channel, (playback, self.now + CONFIRMED_WITHIN));
    }

    fn end_call(&mut self, channel: &str) {
        if let Some(room) = self.parties.get(channel).map(|party| party.room) {
            self.hang_up_party(channel);
            self.settle(room, Left::hung_up());
        }
    }

    /// What was played to a caller is over.
    pub(super) fn confirmation_heard(&mut self, playback: &str) {
        let heard = self.callbacks.confirming.iter().find(|(_, (it, _))| it == playback);
        if let Some(channel) = heard.map(|(channel, _)| channel.clone()) {
            self.end_call(&channel);
        }
    }

    /// What time has brought.
    pub(super) fn callbacks_due(&mut self) {
        let now = self.now;
        let over = self.callbacks.confirming.iter().filter(|(_, (_, until))| *until <= now);
        for channel in over.map(|(channel, _)| channel.clone()).collect::<Vec<_>>() {
            self.callbacks.confirming.remove(&channel);
            self.end_call(&channel);
        }
        let before = self.callbacks.looked_at.replace(now);
        let is_due = |it: &Callback| it.due <= now && before.is_none_or(|before| it.due > before);
        self.queues_touched |= self.callbacks.known.values().any(is_due);
    }
}

pub(super) fn is_for(calling: &Calling, id: &str) -> bool {
    matches!(&calling.purpose, Purpose::Callback { id: other, .. } if other == id)
}

// What agents see and do.

impl Switch {
    /// For the metric: how many callbacks each queue has.
    pub(super) fn count_callbacks(&self) -> BTreeMap<(&'static str, String), usize> {
        let queues = self.settings.queues.keys();
        queues.filter_map(|queue| Some(((WAITING, queue.clone()), self.callbacks_in(queue)?))).collect()
    }

    /// How many callbacks a queue has; `None`: it has none, and its callers cannot ask for one.
    pub(super) fn callbacks_in(&self, queue: &str) -> Option<usize> {
        let count = self.callbacks.known.values().filter(|callback| callback.kept.queue == queue).count();
        let offers = self.settings.queues.get(queue).is_some_and(|queue| queue.callback.is_some());
        (count > 0 || offers).then_some(count)
    }

    /// Whether an agent sees a queue's callbacks, and may cancel them: who works for it, and supervisors.
    fn sees_callbacks(&self, agent: &str, queue: &str) -> bool {
        let works =
            |phone: &Phone| phone.agent == agent && phone.work != Work::Inactive && phone.queues.contains(queue);
        self.is_supervisor(agent) || self.phones.values().any(works)
    }

    fn knows_callbacks(&mut self, command: CommandId) -> bool {
        if !self.uses_callbacks() {
            self.refuse(command, Code::Unsupported, "no queue has callbacks (queues.NAME.callback)");
        } else if !self.callbacks.is_read {
            self.reply(command, no_manager());
        }
        self.uses_callbacks() && self.callbacks.is_read
    }

    pub(super) fn list_callbacks(&mut self, command: CommandId, agent: &str) {
        if !self.knows_callbacks(command) {
            return;
        }
        let seen = self.callbacks.known.iter().filter(|(_, it)| self.sees_callbacks(agent, &it.kept.queue));
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by_key(|(_, callback)| callback.kept.since);
        let now = Timestamp::now().0;
        let callbacks: Vec<Value> = seen.into_iter().map(|(id, it)| shown(id, &it.kept, now)).collect();
        self.reply(command, Outcome::data(json!({"callbacks": callbacks})));
    }

    pub(super) fn cancel_callback(&mut self, command: CommandId, agent: &str, data: &Json) {
        let Ok(Cancel { id }) = data.parse() else {
            return self.refuse(command, Code::Rejected, "id: the callback's");
        };
        if !self.knows_callbacks(command) {
            return;
        }
        let queue = self.callbacks.known.get(&id).map(|callback| &callback.kept.queue);
        if !queue.is_some_and(|queue| self.sees_callbacks(agent, queue)) {
            return self.refuse(command, Code::NotFound, "there is no such callback");
        }
        let is_called = |party: &Party| party.state == PartyState::Dialing && party.callback.as_ref() == Some(&id);
        let is_placed = self.calls.values().any(|calling| is_for(calling, &id));
        if self.callbacks.is_taken(&id) || is_placed || self.parties.values().any(is_called) {
            return self.refuse(command, Code::InvalidState, "the customer is being called");
        }
        let store = self.number();
        self.forget_callback(Some(store), &id);
        self.callbacks.storing.insert(store, Storing::Cancelled { command, id });
    }
}

/// A callback, as desktops see it.
fn shown(id: &str, kept: &KeptCallback, now: u64) -> Value {
    let KeptCallback { queue, number, name, since, attempts, not_before, .. } = kept;
    let mut shown = json!({"id": id, "queue": queue, "number": number, "name": name, "since": since,
        "attempts": attempts});
    if *not_before > now {
        shown["nextAt"] = json!(not_before);
    }
    shown
}
