//! The queues: who waits, who has been ready longest, who is offered what and for how long.
//!
//! Owns: tickets and offers. A contact waits in order of arrival, behind those of queues of a higher priority; it is
//! offered to the agent of its queue whom the strategy names (ready longest, unless configured otherwise); who does not
//! answer goes not ready (unless configured otherwise) and it is offered to the next.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Outcome,
    report::{Cause, ConversationState, Direction, MemberRole, Reason},
};

use super::{
    Effect, Switch, What,
    model::{Availability, LegWaiter, Party, PartyState, Phone, PhoneKey, Room, RoomId, Seat, Ticket, Wish, Work},
    places::continue_at,
    resync::LOOK_AGAIN_AFTER,
    rooms::{Left, segment},
};
use crate::{
    ari::{Channel, Request, Response},
    settings::{AfterNoAnswer, LegMode, Overflow, Strategy, is_variable},
};

/// The metric of callers on the line.
const WAITING: &str = "waiting_calls";

impl Switch {
    /// A customer enters from the dialplan: `Stasis(application,queue,NAME,KEY=VALUE,…)`.
    pub(super) fn customer_enters(&mut self, channel: &Channel, queue: &str, rest: &[String]) {
        if self.settings.queues.get(queue).is_none_or(|queue| queue.app_queue) {
            self.warn(format!("a call for queue {queue:?}, which is none of the adapter's own in the settings, goes on in the dialplan"));
            return self.send_back(&channel.id);
        }
        let data = call_data(rest);
        if let Err(status) = self.lets_in(queue) {
            return self.leaves_queue(&channel.id, status);
        }
        let ticket = Ticket { unread: self.settings.variables.len(), ..Ticket::new(queue, self.now) };
        let state = if channel.is_up() { PartyState::Up } else { PartyState::Waiting };
        let room = self.new_room(Some(ticket));
        let party = Party { data, ..Party::new(&channel.caller, MemberRole::Customer, state, room) };
        self.add_party(room, channel.id.clone(), party);
        self.enter_queue(room, queue);
        if state == PartyState::Waiting {
            self.send(Request::post(format!("channels/{}/ring", segment(&channel.id))), What::Lenient);
        }
        self.mark_record(&channel.id);
        self.read_variables(&channel.id);
        self.effects.push(Effect::Count { metric: "calls_total", label: "inbound" });
    }

    /// Asks for the channel variables that are call data.
    fn read_variables(&mut self, channel: &str) {
        for name in self.settings.variables.clone() {
            let uri = format!("channels/{}/variable", segment(channel));
            let what = What::Variable { channel: channel.to_owned(), name: name.clone() };
            self.send(Request::get(uri).with("variable", name), what);
        }
    }

    pub(super) fn enter_queue(&mut self, room: RoomId, queue: &str) {
        self.wait_in_queue(room, queue);
        self.log_entered(room);
    }

    /// The same for who waits there already, as an earlier life knew.
    pub(super) fn wait_in_queue(&mut self, room: RoomId, queue: &str) {
        let settings = self.settings.queues.get(queue);
        let overflow_at = settings.and_then(|queue| queue.overflow.as_ref()).map(|(after, _)| self.now + *after);
        let announce_at = settings.and_then(|queue| queue.announce).map(|every| self.now + every);
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            queue.clone_into(&mut ticket.queue);
            ticket.waiting = true;
            ticket.overflow_at = overflow_at;
            ticket.announce_at = announce_at;
            ticket.refused.clear();
            ticket.wish = Wish::None;
        }
        self.queues_touched = true;
        self.touch_room(room);
    }

    /// A customer who was cut off waits again, at the head: the ticket keeps its age.
    pub(super) fn wait_again(&mut self, room: RoomId) {
        let queue = self.rooms.get(&room).and_then(|room| room.ticket.as_ref()).map(|ticket| ticket.queue.clone());
        if let Some(queue) = queue {
            self.enter_queue(room, &queue);
            self.leave_lost_queues();
        }
    }

    /// Lets a channel go on in the dialplan behind the `Stasis()` that brought it here.
    pub(super) fn send_back(&mut self, channel: &str) {
        self.disown(channel, false);
        self.send(Request::post(format!("channels/{}/continue", segment(channel))), What::Lenient);
    }

    /// A channel variable was read; after the last one the contact can be offered.
    pub(super) fn variable_read(&mut self, channel: &str, name: &str, response: &Response) {
        let value = response.is_ok().then(|| response.body.get("value").and_then(serde_json::Value::as_str)).flatten();
        let Some(party) = self.parties.get_mut(channel) else { return };
        let room = party.room;
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            party.data.insert(name.to_owned(), value.into());
            // Who is called without waiting is offered the call already.
            self.data_changed(room, name, &value.into());
        }
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.unread = ticket.unread.saturating_sub(1);
        }
        self.touch_room(room);
        self.queues_touched = true;
    }

    /// Gives waiting contacts to ready agents.
    pub(super) fn dispatch(&mut self) {
        if !std::mem::take(&mut self.queues_touched) {
            return;
        }
        if self.up && self.resync.is_none() && !self.closing {
            self.leave_empty_queues();
            self.turn_callbacks();
            for room in self.waiting_rooms() {
                if let Some(phone) = self.next_agent(room) {
                    let queue = self.rooms.get(&room).and_then(|it| it.ticket.as_ref()).map(|it| it.queue.clone());
                    self.offer_to(&phone, room, Direction::Inbound, queue);
                }
            }
        }
        self.tell_waiting();
    }

    /// Rooms that wait for an agent and are offered to none, in order.
    fn waiting_rooms(&self) -> Vec<RoomId> {
        let is_free = |ticket: &Ticket| ticket.unread == 0 && ticket.wish != Wish::Asked;
        let is_offerable = |room: &Room| room.seats.is_empty() && room.ticket.as_ref().is_some_and(is_free);
        let waiting = self.waiting_in_order().into_iter();
        waiting.filter(|id| self.rooms.get(id).is_some_and(is_offerable)).collect()
    }

    /// Who gets the next call, by the queue's strategy.
    fn next_agent(&self, room: RoomId) -> Option<PhoneKey> {
        let ticket = self.rooms.get(&room)?.ticket.as_ref()?;
        let free = self
            .phones
            .values()
            .filter(|phone| self.takes_contacts(phone) && phone.queues.contains(&ticket.queue))
            .filter(|phone| !ticket.refused.contains_key(&phone.key));
        let next = match self.settings.queues.get(&ticket.queue).map(|queue| queue.strategy).unwrap_or_default() {
            Strategy::LongestIdle => free.min_by_key(|phone| phone.ready_since),
            Strategy::FewestCalls => free.min_by_key(|phone| (phone.taken, phone.ready_since)),
            Strategy::Linear => free.min_by_key(|phone| &phone.key),
        };
        next.map(|phone| phone.key.clone())
    }

    // Who may wait.

    fn has_agents(&self, queue: &str) -> bool {
        self.phones.values().any(|phone| phone.work != Work::Inactive && phone.queues.contains(queue))
    }

    /// Callers on the line who wait in a queue.
    fn is_waiting_in<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = RoomId> + 'a {
        let waits = move |ticket: &Ticket| ticket.is_on_line() && ticket.queue == queue;
        self.rooms.iter().filter(move |(_, room)| room.ticket.as_ref().is_some_and(waits)).map(|(id, _)| *id)
    }

    /// Whether a queue takes another caller; else why not, in `app_queue`'s words.
    fn lets_in(&self, queue: &str) -> Result<(), &'static str> {
        let Some(settings) = self.settings.queues.get(queue) else { return Ok(()) };
        if settings.max_waiting.is_some_and(|most| self.is_waiting_in(queue).count() >= most) {
            return Err("FULL");
        }
        if !settings.join_when_empty && !self.has_agents(queue) {
            return Err("JOINEMPTY");
        }
        Ok(())
    }

    /// A caller goes on in the dialplan, which can read why.
    fn leaves_queue(&mut self, channel: &str, status: &str) {
        self.tell_status(channel, status);
        self.send_back(channel);
    }

    fn tell_status(&mut self, channel: &str, status: &str) {
        let request = Request::post(format!("channels/{}/variable", segment(channel)));
        self.send(request.with("variable", "QUEUESTATUS").with("value", status), What::Lenient);
    }

    /// Nobody is there any more who could come to an end with the call.
    fn leave_empty_queues(&mut self) {
        // Agents of an earlier life may still come back.
        if self.strays_stay_until.is_some() {
            return;
        }
        let leaves =
            self.settings.queues.iter().filter(|(name, queue)| queue.leave_when_empty && !self.has_agents(name));
        let empty: Vec<String> = leaves.map(|(name, _)| name.clone()).collect();
        let empty: Vec<RoomId> = empty.iter().flat_map(|queue| self.is_waiting_in(queue)).collect();
        for room in empty.into_iter().filter(|room| !self.asks_to_be_called(*room)).collect::<Vec<_>>() {
            self.let_go_on(room, "LEAVEEMPTY");
        }
    }

    /// Callers who wait in a queue that the settings do not have any more, where nobody would ever take them.
    pub(super) fn leave_lost_queues(&mut self) {
        let is_lost = |ticket: &Ticket| {
            ticket.waiting && self.settings.queues.get(&ticket.queue).is_none_or(|queue| queue.app_queue)
        };
        let lost = self.rooms.iter().filter(|(_, room)| room.ticket.as_ref().is_some_and(is_lost));
        for room in lost.map(|(id, _)| *id).filter(|id| !self.asks_to_be_called(*id)).collect::<Vec<_>>() {
            self.let_go_on(room, "LEAVEUNAVAIL");
        }
    }

    fn let_go_on(&mut self, room: RoomId, status: &str) {
        self.log_unserved(room, "EXITEMPTY");
        for channel in self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default() {
            self.remove_party(&channel);
            self.leaves_queue(&channel, status);
        }
        self.settle(room, Left::hung_up());
    }

    /// All who wait, those of the highest priority first, then those who came first.
    pub(super) fn waiting_in_order(&self) -> Vec<RoomId> {
        let tickets = self.rooms.iter().filter_map(|(id, room)| Some((*id, room.ticket.as_ref()?)));
        let mut waiting: Vec<_> = tickets
            .filter(|(_, ticket)| ticket.waiting)
            .map(|(id, ticket)| (std::cmp::Reverse(self.priority(&ticket.queue)), ticket.since, id))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, _, id)| id).collect()
    }

    fn priority(&self, queue: &str) -> i64 {
        self.settings.queues.get(queue).map_or(0, |queue| queue.priority)
    }

    pub(super) fn takes_contacts(&self, phone: &Phone) -> bool {
        self.can_be_offered(phone)
            && (phone.leg.up().is_some() || self.settings.leg == LegMode::PerCall)
            && phone.availability == Availability::Ready
            && phone.wrap_up.is_none()
    }

    /// Whether somebody is there who can take a call, ready or not.
    fn can_be_offered(&self, phone: &Phone) -> bool {
        phone.is_free() && self.is_watched(phone) && !self.is_busy_elsewhere(phone)
    }

    /// Until when an agent is offered what rings; `None`: as long as it takes.
    pub(super) fn set_offer_end(&mut self, seat: &Seat, until: Option<std::time::Instant>) {
        let room = self.conversation(seat).map(|it| it.room);
        let seats = room.and_then(|room| self.rooms.get_mut(&room)).into_iter().flat_map(|room| &mut room.seats);
        seats.filter(|other| other.conversation == seat.conversation).for_each(|seat| seat.until = until);
    }

    /// Offers what is in a room to an agent.
    pub(super) fn offer_to(&mut self, phone: &str, room: RoomId, direction: Direction, queue: Option<String>) {
        self.open_interaction(phone, room, direction, ConversationState::Alerting, queue);
        if self.settings.leg == LegMode::PerCall && self.phones.get(phone).is_some_and(|it| it.leg.up().is_none()) {
            self.call_leg(phone, Some(LegWaiter::Offer), self.settings.offer_timeout);
        }
    }

    /// The agent does not want it.
    pub(super) fn refuse_offer(&mut self, seat: &Seat) {
        let again = self.now + self.settings.offer_again;
        self.take_offer_back(seat, Reason::Rejected, Cause::Busy, again);
    }

    /// The agent does not answer.
    pub(super) fn offer_timed_out(&mut self, seat: &Seat) {
        let now = self.now;
        if self.settings.after_no_answer == AfterNoAnswer::NotReady
            && let Some(phone) = self.phones.get_mut(&seat.phone)
            // What the agent has chosen meanwhile holds.
            && phone.availability == Availability::Ready
        {
            let code = self.settings.no_answer_reason.clone();
            let desc = self.settings.reasons.get(&code).cloned();
            phone.availability = Availability::NotReady { code: Some(code), desc };
        }
        // Ready again behind all others.
        if let Some(phone) = self.phones.get_mut(&seat.phone) {
            phone.ready_since = now;
        }
        self.take_offer_back(seat, Reason::Redirected, Cause::NoAnswer, now + self.settings.offer_again);
    }

    fn take_offer_back(&mut self, seat: &Seat, reason: Reason, cause: Cause, again: std::time::Instant) {
        self.log_not_answered(seat);
        let Some(room) = self.leave_room(seat, reason, Some(cause)) else { return };
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.refused.insert(seat.phone.clone(), again);
        }
        self.queues_touched = true;
        self.settle(room, Left::by_accident(cause));
    }

    /// All that is due.
    pub(super) fn timers(&mut self) {
        // While nobody can do anything about it, no time passes.
        if !self.up || self.silent.is_some() || self.resync.is_some() {
            return;
        }
        let now = self.now;
        let due = |at: &Option<std::time::Instant>| at.is_some_and(|at| at <= now);
        let unanswered: Vec<Seat> =
            self.rooms.values().flat_map(|room| &room.seats).filter(|seat| due(&seat.until)).cloned().collect();
        for seat in &unanswered {
            if self.is_being_answered(seat) {
                self.set_offer_end(seat, Some(now + LOOK_AGAIN_AFTER));
            } else {
                self.offer_timed_out(seat);
            }
        }
        for room in self.rooms.values_mut() {
            if let Some(ticket) = room.ticket.as_mut().filter(|ticket| ticket.waiting) {
                let before = ticket.refused.len();
                ticket.refused.retain(|_, until| *until > now);
                self.queues_touched |= ticket.refused.len() != before;
            }
        }
        let over: Vec<RoomId> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.ticket.as_ref().is_some_and(|it| it.waiting && due(&it.overflow_at)))
            .map(|(id, _)| *id)
            .collect();
        for room in over {
            self.overflow(room);
        }
        self.announce();
        self.callbacks_due();
        self.ask_parking_again();
        let rested: Vec<PhoneKey> = self
            .phones
            .values()
            .filter(|phone| phone.wrap_up.as_ref().is_some_and(|it| due(&it.until)))
            .map(|phone| phone.key.clone())
            .collect();
        for phone in rested {
            self.end_wrap_up(&phone);
        }
        self.give_up_unreachable();
        self.give_up_picked_up();
        self.recall_legs();
        self.expire_desks();
        self.look_for_strays();
        self.look();
    }

    /// Nobody had time.
    fn overflow(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        let Some(ticket) = &mut state.ticket else { return };
        ticket.overflow_at = None;
        // Ringing at an agent already: that attempt is not cut short; the next is not made. The same of a callback.
        if !state.seats.is_empty() || ticket.wish == Wish::Asked {
            ticket.overflow_at = Some(self.now + std::time::Duration::from_secs(1));
            return;
        }
        let queue = ticket.queue.clone();
        let to = self.settings.queues.get(&queue).and_then(|queue| queue.overflow.clone()).map(|(_, to)| to);
        let channels = state.parties.clone();
        self.log_unserved(room, "EXITWITHTIMEOUT");
        match to {
            Some(Overflow::Queue(other)) => self.enter_queue(room, &other),
            Some(Overflow::Dialplan(place)) => {
                for channel in channels {
                    self.remove_party(&channel);
                    self.tell_status(&channel, "TIMEOUT");
                    self.send(continue_at(&channel, &place), What::Lenient);
                }
                self.settle(room, Left::hung_up());
            }
            Some(Overflow::HangUp) | None => {
                for channel in channels {
                    self.remove_party(&channel);
                    self.hang_up_channel(&channel, "congestion");
                }
                self.settle(room, Left::hung_up());
            }
        }
        self.effects.push(Effect::Count { metric: "calls_total", label: "overflowed" });
    }

    fn tell_waiting(&mut self) {
        let own = self.settings.queues.iter().filter(|(_, queue)| !queue.app_queue);
        let mut waiting: BTreeMap<_, usize> = own.map(|(name, _)| ((WAITING, name.clone()), 0)).collect();
        for ticket in self.rooms.values().filter_map(|room| room.ticket.as_ref()).filter(|it| it.is_on_line()) {
            *waiting.entry((WAITING, ticket.queue.clone())).or_default() += 1;
        }
        waiting.extend(self.count_callbacks());
        for (series, count) in &waiting {
            if self.told_waiting.get(series) != Some(count) {
                let (metric, queue) = series.clone();
                self.effects.push(Effect::Waiting { metric, queue, count: *count });
            }
        }
        self.told_waiting = waiting;
    }

    /// Somebody calls an agent's extension: `Stasis(application,agent,EXTENSION,KEY=VALUE,…)`.
    pub(super) fn caller_for_agent(&mut self, channel: &Channel, extension: &str, rest: &[String]) {
        if !self.phones.get(extension).is_some_and(|phone| self.can_be_offered(phone)) {
            // The dialplan knows what else to do: voice mail, another extension, busy.
            return self.send_back(&channel.id);
        }
        let state = if channel.is_up() { PartyState::Up } else { PartyState::Waiting };
        let room = self.new_room(None);
        let party = Party::new(&channel.caller, MemberRole::Customer, state, room);
        self.add_party(room, channel.id.clone(), Party { data: call_data(rest), ..party });
        if state == PartyState::Waiting {
            self.send(Request::post(format!("channels/{}/ring", segment(&channel.id))), What::Lenient);
        }
        self.mark_record(&channel.id);
        self.read_variables(&channel.id);
        self.offer_to(extension, room, Direction::Inbound, None);
        self.effects.push(Effect::Count { metric: "calls_total", label: "inbound" });
    }

    pub(super) fn ready_outcome(&mut self, id: super::CommandId, phone: &str, availability: Availability) {
        self.make_available(phone, availability);
        self.reply(id, Outcome::success());
    }

    /// Whether an agent takes contacts; in a call, afterwards.
    pub(super) fn make_available(&mut self, phone: &str, availability: Availability) {
        let now = self.now;
        let Some(state) = self.phones.get_mut(phone) else { return };
        let in_call = state.live().is_some_and(|live| live.taken);
        if in_call {
            state.pending = (state.availability != availability).then_some(availability);
        } else {
            state.wrap_up = None;
            state.pending = None;
            if availability == Availability::Ready && state.availability != Availability::Ready {
                state.ready_since = now;
            }
            state.availability = availability;
        }
        self.queues_touched = true;
        self.touch_phone(phone);
    }
}

/// The call data among the arguments of `Stasis()`.
fn call_data(arguments: &[String]) -> BTreeMap<String, jackfield_plugin_api::Json> {
    let pairs = arguments.iter().filter_map(|argument| argument.split_once('='));
    pairs.filter(|(name, _)| is_variable(name)).map(|(name, value)| (name.to_owned(), value.into())).collect()
}
