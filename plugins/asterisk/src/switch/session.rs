//! Sessions: an agent sits down, comes back to calls that went on, and goes home.
//!
//! Owns: [`Desk`]s and what stands on them. An agent's phones and calls belong to the agent, not to the session, so that
//! a session that takes over finds them.

use std::{collections::BTreeSet, time::Duration};

use jackfield_plugin_api::{
    Code, Outcome, StartOptions,
    report::{Cause, ConversationState, Reason},
};

use super::{
    CommandId, Switch, What,
    legs::watched,
    model::{Availability, Desk, Leg, PartyState, Phone, PhoneKey, RoomId, Work},
    rooms::{Left, segment},
};
use crate::{
    ari::{Request, Response},
    settings::is_number,
};

/// How long an agent's calls stay when the session went without logging out.
pub(super) const KEEP: Duration = Duration::from_secs(60);

impl Switch {
    pub(super) fn start(&mut self, id: CommandId, agent: String, session: String, options: &StartOptions) {
        if !self.up {
            return self.handle_late(id);
        }
        let desk =
            self.desks.entry(agent.clone()).or_insert(Desk { session: None, phones: Vec::new(), keep_until: None });
        desk.session = Some(session);
        desk.keep_until = None;
        let configured = self.settings.agents.get(&agent).and_then(|known| known.extension.clone());
        for extension in [configured, options.extension.clone()].into_iter().flatten() {
            if let Some(owner) = self.phones.get(&extension).map(|phone| phone.agent.clone()) {
                if owner != agent {
                    return self.refuse(id, Code::Conflict, "another agent uses this extension");
                }
            } else if is_number(&extension) {
                self.add_phone(&agent, &extension);
            } else {
                return self.refuse(id, Code::Rejected, "this is not an extension");
            }
        }
        self.queues_touched = true;
        self.touched_phones.extend(self.phones_of(&agent));
        self.report_snapshot(&agent);
        self.reply(id, Outcome::success());
    }

    pub(super) fn add_phone(&mut self, agent: &str, extension: &str) {
        self.phones.insert(
            extension.to_owned(),
            Phone {
                key: extension.to_owned(),
                agent: agent.to_owned(),
                endpoint: self.settings.phone.replace("{extension}", extension),
                work: Work::Inactive,
                leg: Leg::None,
                waiting: None,
                hanging_up: false,
                refer_at: None,
                recall_at: None,
                rings_until: None,
                unreachable: None,
                elsewhere: false,
                recalls: 0,
                queues: BTreeSet::new(),
                availability: Availability::NOT_READY,
                pending: None,
                wrap_up: None,
                ready_since: self.now,
                taken: 0,
                muted: false,
                interactions: Vec::new(),
                gone: Vec::new(),
                holds: 0,
                told_ringing: false,
                told_music: false,
                told_muted: false,
                told_record: String::new(),
                told_call: None,
                told_transfers: None,
            },
        );
        if let Some(desk) = self.desks.get_mut(agent) {
            desk.phones.push(extension.to_owned());
        }
        self.touch_phone(extension);
        self.watch_phone(extension);
    }

    /// `session.request.addchannel`: Asterisk is asked whether it has such an endpoint.
    pub(super) fn add_channel(&mut self, id: CommandId, agent: &str, extension: &str) {
        if !is_number(extension) {
            return self.refuse(id, Code::Rejected, "this is not an extension");
        }
        if self.phones.contains_key(extension) {
            return self.refuse(id, Code::Conflict, "the extension is in use");
        }
        let endpoint = self.settings.phone.replace("{extension}", extension);
        let Some((technology, resource)) = watched(&endpoint) else {
            // Asterisk knows nothing of it before it is called.
            self.add_phone(agent, extension);
            return self.reply(id, Outcome::success());
        };
        let uri = format!("endpoints/{}/{}", segment(technology), segment(resource));
        let what = What::Endpoint { command: id, agent: agent.to_owned(), extension: extension.to_owned() };
        self.send(Request::get(uri), what);
    }

    pub(super) fn endpoint_checked(&mut self, id: CommandId, agent: &str, extension: &str, response: &Response) {
        if !response.is_ok() {
            let failure = jackfield_plugin_api::Failure::new(Code::Rejected, "Asterisk does not know this extension");
            return self.reply(id, failure.context(response.words()));
        }
        if self.phones.contains_key(extension) {
            return self.refuse(id, Code::Conflict, "the extension is in use");
        }
        if !self.desks.contains_key(agent) {
            return self.refuse(id, Code::InvalidState, "the session has ended");
        }
        self.add_phone(agent, extension);
        self.reply(id, Outcome::success());
    }

    pub(super) fn remove_channel(&mut self, id: CommandId, agent: &str, key: &str) {
        self.clear_phone(key);
        self.forget_phone(agent, key);
        self.removed_channel(agent, key);
        self.reply(id, Outcome::success());
    }

    fn forget_phone(&mut self, agent: &str, key: &str) {
        self.phones.remove(key);
        self.unreported.remove(key);
        if let Some(desk) = self.desks.get_mut(agent) {
            desk.phones.retain(|phone| phone != key);
        }
    }

    /// Ends what is on a phone: offers go back, calls are released, the leg is hung up.
    pub(super) fn clear_phone(&mut self, key: &str) {
        let conversations: Vec<_> = self
            .phones
            .get(key)
            .and_then(Phone::live)
            .map(|live| live.conversations.iter().map(|it| (it.key.clone(), it.state)).collect())
            .unwrap_or_default();
        for (conversation, state) in conversations {
            let Some(seat) = self.seat_of(key, &conversation) else { continue };
            match state {
                ConversationState::Alerting => self.refuse_offer(&seat),
                _ => self.release(&seat, state),
            }
        }
        self.drop_leg(key);
        if let Some(phone) = self.phones.get_mut(key) {
            phone.work = Work::Inactive;
            phone.availability = Availability::NOT_READY;
            phone.pending = None;
            phone.wrap_up = None;
            phone.queues.clear();
        }
        self.touch_phone(key);
    }

    /// The agent is done with a conversation.
    pub(super) fn release(&mut self, seat: &super::model::Seat, state: ConversationState) {
        let (reason, cause) = match state {
            ConversationState::Dialing => (Reason::Failed, Some(Cause::Cancelled)),
            _ => (Reason::Released, None),
        };
        if let Some(room) = self.leave_room(seat, reason, cause) {
            self.settle(room, Left::because(Cause::Cancelled));
        }
    }

    pub(super) fn log_out(&mut self, id: CommandId, agent: &str) {
        self.remove_desk(agent);
        self.reply(id, Outcome::success());
    }

    fn remove_desk(&mut self, agent: &str) {
        let phones: Vec<PhoneKey> = self.phones_of(agent);
        if let Some(desk) = self.desks.get_mut(agent) {
            desk.session = None;
        }
        for phone in phones {
            self.clear_phone(&phone);
            self.forget_phone(agent, &phone);
        }
        self.desks.remove(agent);
        self.queues_touched = true;
    }

    /// The session goes, the calls stay: another session may take them over.
    pub(super) fn leave(&mut self, agent: &str, session: &str) {
        let keep_until = self.now + KEEP;
        let Some(desk) = self.desks.get_mut(agent) else { return };
        if desk.session.as_deref() != Some(session) {
            return;
        }
        desk.session = None;
        desk.keep_until = Some(keep_until);
        for phone in self.phones_of(agent) {
            if let Some(seat) = self.alerting_seat(&phone) {
                self.refuse_offer(&seat);
            }
            self.touched_phones.insert(phone);
        }
    }

    /// Whether anybody is at the desktop of a phone.
    pub(super) fn is_watched(&self, phone: &Phone) -> bool {
        self.desks.get(&phone.agent).is_some_and(|desk| desk.session.is_some())
    }

    /// Whether the agent of a phone has something to do on another one: a person has one mouth.
    pub(super) fn is_busy_elsewhere(&self, phone: &Phone) -> bool {
        let others = self.desks.get(&phone.agent).into_iter().flat_map(|desk| &desk.phones);
        let mut others = others.filter(|key| **key != phone.key).filter_map(|key| self.phones.get(key));
        others.any(|other| {
            other.live().is_some() || other.waiting.is_some() || other.elsewhere || other.wrap_up.is_some()
        })
    }

    /// Whether one of an agent's phones is in a call.
    pub(super) fn in_call(&self, agent: &str) -> bool {
        self.phones.values().any(|phone| phone.agent == agent && phone.live().is_some_and(|live| live.taken))
    }

    /// Agents whom nobody has come back for go; who talks to one goes on, and the agent goes with the call.
    pub(super) fn expire_desks(&mut self) {
        let expired: Vec<String> = self
            .desks
            .iter()
            .filter(|(_, desk)| desk.keep_until.is_some_and(|until| until <= self.now))
            .map(|(agent, _)| agent.clone())
            .collect();
        for agent in expired {
            if self.in_call(&agent) {
                self.connect_held(&agent);
            } else {
                self.remove_desk(&agent);
            }
        }
    }

    /// Whoever an agent holds is talked to again: there is no desktop that could do it.
    fn connect_held(&mut self, agent: &str) {
        for key in self.phones_of(agent) {
            let Some(phone) = self.phones.get(&key).filter(|phone| phone.engaged().is_none()) else { continue };
            let held = phone.live().into_iter().flat_map(|live| &live.conversations);
            let held = held.filter(|it| it.state == ConversationState::Held).map(|it| it.key.clone()).next_back();
            if let Some(seat) = held.and_then(|conversation| self.seat_of(&key, &conversation)) {
                self.set_state(&seat, ConversationState::Talking);
            }
        }
    }

    /// The tenant is removed or the host ends. Who talks to somebody goes on talking, who waits goes on in the dialplan,
    /// and what nobody hears goes. Asterisk keeps who is who, so that a host that comes back takes all of it over.
    pub(super) fn close(&mut self) {
        self.leaving = true;
        for key in self.told_memberships.keys().cloned().collect::<Vec<_>>() {
            self.log_membership(&key);
        }
        // While Asterisk is being asked how things are, it is not known who is there: it is done when that is known.
        if !self.up || self.resync.is_some() {
            return;
        }
        self.give_up_calling();
        for agent in self.desks.keys().cloned().collect::<Vec<_>>() {
            self.connect_held(&agent);
        }
        for channel in self.parties.keys().cloned().collect::<Vec<_>>() {
            self.set_party_held(&channel, false);
        }
        for room in self.rooms.keys().copied().collect::<Vec<_>>() {
            if !self.is_kept(room) {
                self.clear_room(room);
            }
        }
        for key in self.phones.keys().cloned().collect::<Vec<_>>() {
            if self.phones.get(&key).is_some_and(|phone| phone.engaged().is_none()) {
                self.drop_leg(&key);
            }
        }
        self.touched_rooms.extend(self.rooms.keys());
        self.touched_phones.extend(self.phones.keys().cloned());
        self.converge();
        self.closing = true;
    }

    /// Nobody will be there who could connect whom an agent calls with the agent.
    fn give_up_calling(&mut self) {
        let cancelled = Left::because(Cause::Cancelled);
        for (id, seats) in self.rooms.iter().map(|(id, room)| (*id, room.seats.clone())).collect::<Vec<_>>() {
            if seats.is_empty() {
                continue;
            }
            let is_called = |it: &&String| self.parties.get(*it).is_some_and(|it| it.state == PartyState::Dialing);
            let called = self.rooms.get(&id).into_iter().flat_map(|room| &room.parties).filter(is_called).cloned();
            for channel in called.collect::<Vec<_>>() {
                self.hang_up_party(&channel);
            }
            for seat in &seats {
                if self.conversation(seat).is_some_and(|it| it.state == ConversationState::Dialing) {
                    self.leave_room(seat, Reason::Failed, Some(Cause::Cancelled));
                }
            }
            self.settle(id, cancelled);
        }
    }

    /// Whether somebody in a room hears somebody, or is on hold for somebody who is being asked.
    fn is_kept(&self, room: RoomId) -> bool {
        let held = || {
            let seats = self.rooms.get(&room).map(|room| room.seats.as_slice()).unwrap_or_default();
            seats.iter().any(|seat| {
                let is_held = self.conversation(seat).is_some_and(|it| it.state == ConversationState::Held);
                is_held && self.phones.get(&seat.phone).and_then(Phone::engaged).is_some_and(|other| self.talks(other))
            })
        };
        self.talks(room) || held()
    }

    fn talks(&self, room: RoomId) -> bool {
        self.wanted(room).inside.len() > 1
    }

    /// Nobody hears anybody here.
    fn clear_room(&mut self, room: RoomId) {
        let parties = self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default();
        let prefix = self.own_prefix();
        if self.rooms.get(&room).and_then(|room| room.ticket.as_ref()).is_some_and(|ticket| ticket.waiting) {
            self.log_unserved(room, "EXITEMPTY");
        }
        for channel in parties {
            let Some((_, party)) = self.remove_party(&channel) else { continue };
            self.answer_waiter(party.waiter, Cause::Cancelled);
            if party.state == PartyState::Away {
                continue;
            }
            if channel.starts_with(&prefix) {
                self.hang_up_channel(&channel, "normal");
            } else {
                self.send_back(&channel);
            }
        }
        self.settle(room, Left::because(Cause::Cancelled));
    }
}
