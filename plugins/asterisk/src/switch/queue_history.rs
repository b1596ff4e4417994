//! What happened in the queues: the lines of `queue_log`, by which reports for Asterisk's own queues read these too, and
//! the figures of the list of queues, counted since the adapter's start.
//!
//! Owns: which line is written when, and what its fields mean: what they mean in Asterisk's documentation of `queue_log`.
//! A member is named by the agent's name. Must never: change what happens. Each time that a caller enters a queue ends in
//! exactly one line: CONNECT (and then one that says how the call ended), ABANDON, EXITWITHTIMEOUT, EXITEMPTY or
//! EXITWITHKEY.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jackfield_plugin_api::{Json, Timestamp, report::Reason};
use serde::{Deserialize, Serialize};

use super::{
    Effect, Switch,
    lists::listed_figures,
    model::{Availability, Phone, PhoneKey, RoomId, Seat, Work},
};
use crate::manager::Order;

/// A line of `queue_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueLogLine {
    pub(crate) queue: String,
    pub(crate) event: &'static str,
    /// The caller's channel, where the line is about one.
    pub(crate) caller: Option<String>,
    /// The agent's name, where it is about one.
    pub(crate) agent: Option<String>,
    /// The event's own fields.
    pub(crate) data: Vec<String>,
}

/// A caller's way into a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The channel by which the lines name the caller; another may have taken its place.
    caller: String,
    /// The place at which the caller entered.
    position: usize,
    /// In milliseconds since 1970, as it outlives this process.
    pub(super) entered: u64,
    served: Option<Served>,
}

/// Who took the call, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Served {
    agent: String,
    phone: PhoneKey,
    waited_seconds: u64,
    since: u64,
}

/// What is counted of a queue.
#[derive(Debug, Default)]
pub(super) struct Figures {
    answered: u64,
    /// Of them, those that did not wait longer than they should.
    in_time: u64,
    abandoned: u64,
    /// How many seconds those who were served waited, the latest most, as `app_queue` counts.
    pub(super) holdtime: Option<u64>,
    answered_by: BTreeMap<String, u64>,
}

/// What was said of an agent as a member of queues.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) agent: String,
    pub(super) queues: BTreeSet<String>,
    /// The reason, if the agent is not ready.
    pub(super) paused: Option<String>,
}

/// A caller who waited hung up.
const ABANDONED: &str = "ABANDON";

impl Switch {
    /// What else the list of queues tells of one of the adapter's own.
    pub(super) fn figures_of(&self, queue: &str) -> BTreeMap<String, Json> {
        let (none, seconds) =
            (Figures::default(), self.settings.queues.get(queue).map(|it| it.service_level.as_secs()));
        let figures = self.figures.get(queue).unwrap_or(&none);
        // Counts of calls are far below what a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let share = (figures.answered > 0).then(|| figures.in_time as f64 / figures.answered as f64);
        listed_figures(figures.answered, figures.abandoned, &figures.answered_by, share, seconds.unwrap_or_default())
    }

    fn log(&mut self, queue: &str, event: &'static str, entry: Option<&Entry>, agent: Option<&str>, data: Vec<String>) {
        if self.settings.manager.is_some() {
            self.effects.push(Effect::Manager(Order::Log(QueueLogLine {
                queue: queue.to_owned(),
                event,
                caller: entry.map(|entry| entry.caller.clone()),
                agent: agent.map(str::to_owned),
                data,
            })));
        }
    }

    /// The queue and the way into it of a room's caller.
    fn entry(&self, room: RoomId) -> Option<(String, Entry)> {
        let ticket = self.rooms.get(&room)?.ticket.as_ref()?;
        Some((ticket.queue.clone(), ticket.entry.clone()?))
    }

    fn place_of(&self, room: RoomId, queue: &str) -> usize {
        let in_queue = |id: &RoomId| {
            self.rooms.get(id).and_then(|it| it.ticket.as_ref()).is_some_and(|ticket| ticket.queue == queue)
        };
        let before = self.waiting_in_order().into_iter().filter(in_queue).position(|id| id == room);
        before.map_or(1, |before| before + 1)
    }

    /// A caller waits from now on.
    pub(super) fn log_entered(&mut self, room: RoomId) {
        let Some(ticket) = self.rooms.get(&room).and_then(|room| room.ticket.as_ref()) else { return };
        let queue = ticket.queue.clone();
        let caller = self.rooms.get(&room).and_then(|room| room.parties.first()).cloned().unwrap_or_default();
        let number = self.parties.get(&caller).map(|party| party.number.clone()).unwrap_or_default();
        let position = self.place_of(room, &queue);
        let entry = Entry { caller, position, entered: Timestamp::now().0, served: None };
        self.log(&queue, "ENTERQUEUE", Some(&entry), None, vec![String::new(), number, position.to_string()]);
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.entry = Some(entry);
        }
    }

    /// An agent takes the call, who was offered it as `seat` says.
    pub(super) fn log_connected(&mut self, room: RoomId, seat: &Seat) {
        let Some((queue, mut entry)) = self.entry(room) else { return };
        let Some(phone) = self.phones.get(&seat.phone) else { return };
        let (agent, leg) = (phone.agent.clone(), phone.leg.channel().cloned().unwrap_or_default());
        let waited_seconds = seconds_since(entry.entered);
        let rang = self.rang(seat).as_secs().to_string();
        self.log(&queue, "CONNECT", Some(&entry), Some(&agent), vec![waited_seconds.to_string(), leg, rang]);
        let in_time = self.settings.queues.get(&queue).is_some_and(|it| waited_seconds <= it.service_level.as_secs());
        let figures = self.figures.entry(queue).or_default();
        figures.answered += 1;
        figures.in_time += u64::from(in_time);
        figures.holdtime = Some(figures.holdtime.map_or(waited_seconds, |before| (3 * before + waited_seconds) / 4));
        *figures.answered_by.entry(agent.clone()).or_default() += 1;
        let since = Timestamp::now().0;
        entry.served = Some(Served { agent, phone: seat.phone.clone(), waited_seconds, since });
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.entry = Some(entry);
        }
    }

    /// A customer who is called back has answered; the agent who took that is `seat`'s. Nobody has waited for it on the
    /// line, so it says nothing of how long that takes.
    pub(super) fn log_called_back(&mut self, room: RoomId, seat: &Seat) {
        let queue = self.rooms.get(&room).and_then(|it| it.ticket.as_ref()).map(|it| it.queue.clone());
        let holdtime = |switch: &Self| switch.figures.get(queue.as_deref()?)?.holdtime;
        let before = holdtime(self);
        self.log_entered(room);
        self.log_connected(room, seat);
        if let Some(figures) = queue.as_deref().and_then(|queue| self.figures.get_mut(queue)) {
            figures.holdtime = before;
        }
    }

    /// An agent was offered the call and did not take it.
    pub(super) fn log_not_answered(&mut self, seat: &Seat) {
        let Some(room) = self.conversation(seat).map(|it| it.room) else { return };
        let waits = self.rooms.get(&room).and_then(|room| room.ticket.as_ref()).is_some_and(|ticket| ticket.waiting);
        let Some((queue, entry)) = self.entry(room).filter(|_| waits) else { return };
        let Some(agent) = self.phones.get(&seat.phone).map(|phone| phone.agent.clone()) else { return };
        let rang = self.rang(seat).as_millis().to_string();
        self.log(&queue, "RINGNOANSWER", Some(&entry), Some(&agent), vec![rang]);
    }

    /// The caller did not wait for the agents whose phones ring.
    fn log_ring_canceled(&mut self, room: RoomId) {
        let Some((queue, entry)) = self.entry(room) else { return };
        for seat in self.rooms.get(&room).map(|room| room.seats.clone()).unwrap_or_default() {
            if let Some(agent) = self.phones.get(&seat.phone).map(|phone| phone.agent.clone()) {
                let rang = self.rang(&seat).as_millis().to_string();
                self.log(&queue, "RINGCANCELED", Some(&entry), Some(&agent), vec![rang]);
            }
        }
    }

    fn rang(&self, seat: &Seat) -> Duration {
        let left = |until: Instant| until.saturating_duration_since(self.now);
        seat.until.map_or(Duration::ZERO, |until| self.settings.offer_timeout.saturating_sub(left(until)))
    }

    /// A caller goes without having been served, or after it.
    pub(super) fn log_caller_gone(&mut self, channel: &str) {
        let Some(room) = self.parties.get(channel).map(|party| party.room) else { return };
        if self.rooms.get(&room).is_none_or(|room| room.parties.first().is_none_or(|first| first != channel)) {
            return;
        }
        if self.rooms.get(&room).and_then(|room| room.ticket.as_ref()).is_some_and(|ticket| ticket.waiting) {
            self.log_ring_canceled(room);
            match self.key_to_be_called(room) {
                Some(key) => self.log_left_by_key(room, key),
                None => self.log_unserved(room, ABANDONED),
            }
        } else {
            self.log_served(room, "COMPLETECALLER", Vec::new());
        }
    }

    /// A caller who waits goes, as the event says: ABANDON, EXITWITHTIMEOUT or EXITEMPTY.
    pub(super) fn log_unserved(&mut self, room: RoomId, event: &'static str) {
        self.log_left(room, event, Vec::new());
    }

    /// A caller who waits goes and keeps the place: pressed the key for it.
    pub(super) fn log_left_by_key(&mut self, room: RoomId, key: char) {
        self.log_left(room, "EXITWITHKEY", vec![key.to_string()]);
    }

    /// `how` stands before the fields that all of these lines have.
    fn log_left(&mut self, room: RoomId, event: &'static str, how: Vec<String>) {
        let Some((queue, entry)) = self.entry(room) else { return };
        let place = self.place_of(room, &queue).to_string();
        let mut data = how;
        data.extend([place, entry.position.to_string(), seconds_since(entry.entered).to_string()]);
        self.log(&queue, event, Some(&entry), None, data);
        if event == ABANDONED {
            self.figures.entry(queue).or_default().abandoned += 1;
        }
        self.forget_entry(room);
    }

    /// What an agent took is over, as the event says; `how` stands before the fields that all of them have.
    pub(super) fn log_served(&mut self, room: RoomId, event: &'static str, how: Vec<String>) {
        let Some((queue, entry)) = self.entry(room) else { return };
        let Some(served) = &entry.served else { return };
        let mut data = how;
        data.extend(
            [served.waited_seconds, seconds_since(served.since), entry.position as u64].map(|it| it.to_string()),
        );
        self.log(&queue, event, Some(&entry), Some(&served.agent), data);
        self.forget_entry(room);
    }

    fn forget_entry(&mut self, room: RoomId) {
        if let Some(ticket) = self.rooms.get_mut(&room).and_then(|room| room.ticket.as_mut()) {
            ticket.entry = None;
        }
    }

    /// An agent hands the caller on, to an extension of a context or to a number or name.
    pub(super) fn log_transferred(&mut self, seat: &Seat, to: &str, context: &str) {
        if let Some(room) = self.served_room(seat) {
            self.log_served(room, "BLINDTRANSFER", vec![to.to_owned(), context.to_owned()]);
        }
    }

    /// The agent who took the call leaves it.
    pub(super) fn log_agent_left(&mut self, seat: &Seat, reason: Reason) {
        let Some(room) = self.served_room(seat) else { return };
        if reason == Reason::Transferred {
            let bridge = self.rooms.get(&room).map(|room| room.bridge.clone()).unwrap_or_default();
            self.log_served(room, "ATTENDEDTRANSFER", vec!["BRIDGE".to_owned(), bridge]);
        } else {
            self.log_served(room, "COMPLETEAGENT", Vec::new());
        }
    }

    /// The room of an agent's conversation, if it was that agent who took the call.
    fn served_room(&self, seat: &Seat) -> Option<RoomId> {
        let room = self.conversation(seat)?.room;
        let (_, entry) = self.entry(room)?;
        entry.served.is_some_and(|served| served.phone == seat.phone).then_some(room)
    }

    /// Says what changed of an agent as a member of queues.
    pub(super) fn log_membership(&mut self, key: &str) {
        if self.settings.manager.is_none() {
            return;
        }
        let new = self.phones.get(key).filter(|phone| !self.leaving && phone.work != Work::Inactive).map(membership);
        let old = self.told_memberships.remove(key);
        if new == old {
            self.told_memberships.extend(new.map(|new| (key.to_owned(), new)));
            return;
        }
        let (none, same_agent) =
            (BTreeSet::new(), old.as_ref().map(|it| &it.agent) == new.as_ref().map(|it| &it.agent));
        let after = new.as_ref().filter(|_| same_agent).map_or(&none, |it| &it.queues);
        let before = old.as_ref().filter(|_| same_agent).map_or(&none, |it| &it.queues);
        if let Some(old) = &old {
            for queue in old.queues.difference(after) {
                self.member_removed(queue, key, &old.agent);
            }
        }
        if let Some(new) = &new {
            for queue in &new.queues {
                if !before.contains(queue) {
                    self.member_added(queue, key, new);
                } else if old.as_ref().is_none_or(|old| old.paused != new.paused) {
                    self.member_paused(queue, key, new);
                }
            }
        }
        self.told_memberships.extend(new.map(|new| (key.to_owned(), new)));
    }
}

impl Switch {
    fn member_added(&mut self, queue: &str, key: &str, member: &Membership) {
        if self.is_app_queue(queue) {
            return self.add_member(queue, key, &member.agent, member.paused.as_ref());
        }
        let how = if member.paused.is_some() { "PAUSED" } else { "" };
        self.log(queue, "ADDMEMBER", None, Some(&member.agent), vec![how.to_owned()]);
        if member.paused.is_some() {
            self.member_paused(queue, key, member);
        }
    }

    fn member_removed(&mut self, queue: &str, key: &str, agent: &str) {
        if self.is_app_queue(queue) {
            self.remove_member_of(queue, key);
        } else {
            self.log(queue, "REMOVEMEMBER", None, Some(agent), vec![String::new()]);
        }
    }

    fn member_paused(&mut self, queue: &str, key: &str, member: &Membership) {
        if self.is_app_queue(queue) {
            return self.pause_member(queue, key, member.paused.as_ref());
        }
        let event = if member.paused.is_some() { "PAUSE" } else { "UNPAUSE" };
        self.log(queue, event, None, Some(&member.agent), vec![member.paused.clone().unwrap_or_default()]);
    }
}

fn membership(phone: &Phone) -> Membership {
    let paused = match &phone.availability {
        Availability::Ready => None,
        Availability::NotReady { code, .. } => Some(code.clone().unwrap_or_default()),
    };
    Membership { agent: phone.agent.clone(), queues: phone.queues.clone(), paused }
}

pub(super) fn seconds_since(timestamp: u64) -> u64 {
    Timestamp::now().0.saturating_sub(timestamp) / 1000
}
