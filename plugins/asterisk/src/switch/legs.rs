//! The agents' legs: calling a phone, keeping it connected, losing it and calling it again.
//!
//! Owns: [`Leg`], [`Work`] and who waits for a leg. Must never: decide what becomes of the call on it (see
//! [`rooms`](super::rooms)).

use std::time::Duration;

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    report::{Cause, ConversationState, Reason},
};
use serde_json::json;

use super::{
    Switch, What,
    confirm::set_variable,
    dialing::cause_of,
    events::NOBODY,
    memory::VARIABLE,
    model::{ChannelId, Leg, LegWaiter, Owner, Phone, Seat, Work},
    replaced::ANSWERED_ELSEWHERE,
    rooms::{Left, segment},
};
use crate::{
    ari::{Endpoint, Request},
    settings::LegMode,
};

/// How long a phone may be out of reach, as while it registers anew, before its idle leg is given up.
const UNREACHABLE_FOR: Duration = Duration::from_secs(5);
/// The longest pause between two attempts to reach a lost phone.
const LONGEST_RECALL: Duration = Duration::from_secs(30);

/// The function of a SIP channel that says who carries out what its phone asks for with REFER.
const TRANSFER_HANDLING: &str = "PJSIP_TRANSFER_HANDLING()";

impl Switch {
    /// Calls an agent's phone.
    pub(super) fn call_leg(&mut self, key: &str, waiter: Option<LegWaiter>, timeout: Duration) {
        let channel = self.new_channel_id();
        let Some(phone) = self.phones.get_mut(key) else { return };
        phone.leg = Leg::Calling(channel.clone());
        phone.hanging_up = false;
        phone.waiting = waiter;
        phone.rings_until = Some(self.now + timeout);
        phone.recall_at = None;
        let mut variables = json!({});
        phone.told_transfers = self.leaves_transfers.then(|| phone.transfers_by()).flatten();
        if let Some(by) = phone.told_transfers {
            variables[TRANSFER_HANDLING] = by.word().into();
        }
        if self.settings.auto_answer && self.settings.leg == LegMode::Stay && phone.is_sip() {
            variables["PJSIP_HEADER(add,Call-Info)"] = "<sip:localhost>;answer-after=0".into();
            variables["PJSIP_HEADER(add,Alert-Info)"] = "<http://localhost>;info=alert-autoanswer".into();
        }
        phone.told_record.clear();
        let call = self.call_on(key);
        if let (Some(name), false) = (&self.settings.call_id, call.is_empty()) {
            variables[name] = call.clone().into();
        }
        if let Some(phone) = self.phones.get_mut(key) {
            phone.told_call = Some(call);
        }
        if let Some(record) = self.leg_record(key) {
            variables[VARIABLE] = record.into();
        }
        let Some(phone) = self.phones.get(key) else { return };
        let request = Request::post("channels")
            .with("endpoint", phone.endpoint.clone())
            .with("app", self.settings.address.application.clone())
            .with("appArgs", format!("leg,{channel}"))
            .with("channelId", channel.clone())
            .with("callerId", self.shown_to(phone))
            .with("timeout", timeout.as_secs().max(1).to_string())
            .body(json!({"variables": variables}));
        self.owners.insert(channel.clone(), Owner::Leg(key.to_owned()));
        self.send(request, What::LegCalled(key.to_owned(), channel));
    }

    /// What the phone shows when it rings: who calls, or whom the agent calls; else us.
    fn shown_to(&self, phone: &Phone) -> String {
        if let Some(LegWaiter::Dial { destination, .. }) = &phone.waiting {
            return format!("\"{destination}\" <{destination}>");
        }
        let offered = phone.live().and_then(|live| live.conversations.first()).map(|it| it.room);
        let room = offered.and_then(|room| self.rooms.get(&room));
        let party = room.and_then(|room| room.parties.first()).and_then(|channel| self.parties.get(channel));
        let colleague = room.and_then(|room| room.seats.iter().find(|seat| seat.phone != phone.key));
        let (name, number) = match (party, colleague.and_then(|seat| self.phones.get(&seat.phone))) {
            (Some(party), _) => (party.name.as_str(), party.number.as_str()),
            (None, Some(colleague)) => (colleague.agent.as_str(), colleague.key.as_str()),
            (None, None) => ("Jackfield", phone.key.as_str()),
        };
        let plain = |text: &str| text.replace(['"', '<', '>', '\\'], "");
        format!("\"{}\" <{}>", plain(if name.is_empty() { number } else { name }), plain(number))
    }

    /// Tells Asterisk who carries out the transfers of a phone, when that has changed.
    pub(super) fn tell_transfers(&mut self, key: &str) {
        let Some(phone) = self.phones.get_mut(key).filter(|_| self.leaves_transfers) else { return };
        let (Some(leg), Some(by)) = (phone.leg.up(), phone.transfers_by()) else { return };
        if phone.told_transfers != Some(by) {
            let request = set_variable(leg, TRANSFER_HANDLING, &json!(by.word()).into());
            phone.told_transfers = Some(by);
            self.send(request, What::Lenient);
        }
    }

    // Whether a phone can be reached, and what else goes on on it.

    /// Asks Asterisk how a phone is, and to say when that changes.
    pub(super) fn watch_phone(&mut self, key: &str) {
        let Some(phone) = self.phones.get(key) else { return };
        let Some((technology, resource)) = watched(&phone.endpoint) else { return };
        let uri = format!("endpoints/{}/{}", segment(technology), segment(resource));
        let source = format!("endpoint:{}", phone.endpoint);
        let application = format!("applications/{}/subscription", segment(&self.settings.address.application));
        self.send(Request::post(application).with("eventSource", source), What::Lenient);
        self.send(Request::get(uri), What::Watched);
    }

    /// How a phone is.
    pub(super) fn endpoint_changed(&mut self, endpoint: &Endpoint) {
        let name = format!("{}/{}", endpoint.technology, endpoint.resource);
        let Some(key) = self.phones.values().find(|phone| phone.endpoint == name).map(|phone| phone.key.clone()) else {
            return;
        };
        let prefix = self.own_prefix();
        let elsewhere = endpoint.channel_ids.iter().any(|channel| !channel.starts_with(&prefix));
        let (now, reachable) = (self.now, endpoint.state != "offline");
        let Some(phone) = self.phones.get_mut(&key) else { return };
        if phone.elsewhere != elsewhere {
            phone.elsewhere = elsewhere;
            phone.ready_since = now;
            self.queues_touched = true;
            self.touch_phone(&key);
        }
        let Some(phone) = self.phones.get_mut(&key) else { return };
        match (reachable, phone.unreachable) {
            (true, Some(_)) => {
                phone.unreachable = None;
                self.queues_touched = true;
                self.restore_leg(&key);
            }
            (false, None) => {
                phone.unreachable = Some(now + UNREACHABLE_FOR);
                self.touched_phones.insert(key.clone());
                // The customer goes on to the next agent.
                if let Some(seat) = self.alerting_seat(&key) {
                    self.refuse_offer(&seat);
                }
            }
            _ => {}
        }
    }

    /// Legs of phones that have been out of reach for a while are dead. One in a call is left to those who talk: their
    /// sound may flow all the same, and if it does not, Asterisk's `rtp_timeout` ends it.
    pub(super) fn give_up_unreachable(&mut self) {
        let is_due = |phone: &&Phone| phone.unreachable.is_some_and(|at| at <= self.now) && phone.leg.up().is_some();
        let due = self.phones.values().filter(is_due).filter(|phone| phone.live().is_none());
        for key in due.map(|phone| phone.key.clone()).collect::<Vec<_>>() {
            let Some(channel) = self.phones.get(&key).and_then(|phone| phone.leg.up().cloned()) else { continue };
            self.leg_ended(&key, &channel, None, None);
            self.hang_up_channel(&channel, "normal");
        }
    }

    /// The phone was picked up.
    pub(super) fn leg_up(&mut self, key: &str, channel: &str) {
        let now = self.now;
        let Some(phone) = self.phones.get_mut(key) else { return };
        if phone.leg.channel().is_none_or(|known| known != channel) {
            return self.hang_up_channel(channel, "normal");
        }
        phone.leg = Leg::Up(channel.to_owned());
        phone.rings_until = None;
        phone.recalls = 0;
        phone.told_ringing = false;
        phone.told_music = false;
        phone.told_muted = false;
        let lost = phone.work == Work::Lost;
        let waiter = phone.waiting.take();
        if lost || matches!(waiter, Some(LegWaiter::Activate(_))) {
            phone.work = Work::Active;
            phone.ready_since = now;
        }
        self.queues_touched = true;
        self.touch_phone(key);
        match waiter {
            Some(LegWaiter::Activate(command)) => self.reply(command, Outcome::success()),
            Some(LegWaiter::Dial { command, destination, queue }) => self.dial(command, key, &destination, queue),
            Some(LegWaiter::Offer) => self.answer_offer(key),
            None => {}
        }
    }

    fn answer_offer(&mut self, key: &str) {
        let offered = self.phones.get(key).and_then(Phone::live).and_then(|live| {
            live.conversations.iter().find(|it| it.state == ConversationState::Alerting).map(|it| it.key.clone())
        });
        if let Some(seat) = offered.and_then(|conversation| self.seat_of(key, &conversation)) {
            self.take(NOBODY, &seat);
        }
    }

    /// A leg is no more, or never came about.
    pub(super) fn leg_ended(&mut self, key: &str, channel: &str, cause: Option<u16>, words: Option<String>) {
        self.disown(channel, false);
        for room in self.rooms.values_mut() {
            room.placed.remove(channel);
        }
        let Some(phone) = self.phones.get_mut(key) else { return };
        if phone.leg.channel().is_none_or(|known| known != channel) {
            return;
        }
        let was_up = phone.leg.up().is_some();
        phone.leg = Leg::None;
        phone.told_ringing = false;
        phone.told_music = false;
        phone.told_muted = false;
        let waiter = phone.waiting.take();
        self.touch_phone(key);
        match waiter {
            Some(LegWaiter::Activate(command) | LegWaiter::Dial { command, .. }) => {
                self.reply(command, no_leg(cause, words));
                return;
            }
            Some(LegWaiter::Offer) if cause == Some(ANSWERED_ELSEWHERE) => {
                return self.offer_picked_up(key, &channel.to_owned());
            }
            Some(LegWaiter::Offer) => return self.offer_refused_on_phone(key, cause),
            None => {}
        }
        if was_up {
            self.end_calls_of(key, cause);
        }
        self.schedule_recall(key);
    }

    fn offer_refused_on_phone(&mut self, key: &str, cause: Option<u16>) {
        let Some(seat) = self.alerting_seat(key) else { return };
        if cause_of(cause) == Cause::NoAnswer {
            self.offer_timed_out(&seat);
        } else {
            self.refuse_offer(&seat);
        }
    }

    pub(super) fn alerting_seat(&self, key: &str) -> Option<Seat> {
        let live = self.phones.get(key)?.live()?;
        let conversation = live.conversations.iter().find(|it| it.state == ConversationState::Alerting)?;
        self.seat_of(key, &conversation.key)
    }

    /// The agent hung up the phone, or it was lost: the calls on it end. A customer from a queue who was cut off by
    /// accident goes back to the head of it.
    pub(super) fn end_calls_of(&mut self, key: &str, cause: Option<u16>) {
        let Some(live) = self.phones.get(key).and_then(Phone::live) else { return };
        let conversations: Vec<_> = live.conversations.iter().map(|it| (it.key.clone(), it.state)).collect();
        let (left, talked) = match cause {
            Some(16) => (Left::hung_up(), Reason::Released),
            _ => (Left::by_accident(Cause::Unreachable), Reason::Lost),
        };
        for (conversation, state) in conversations {
            let Some(seat) = self.seat_of(key, &conversation) else { continue };
            if state == ConversationState::Alerting {
                self.log_not_answered(&seat);
            }
            let (reason, cause) = match state {
                // The caller has not gone: somebody else is offered it.
                ConversationState::Alerting => (Reason::Redirected, None),
                ConversationState::Dialing => (Reason::Failed, Some(Cause::Cancelled)),
                _ => (talked, None),
            };
            if let Some(room) = self.leave_room(&seat, reason, cause) {
                self.settle(room, left);
            }
        }
    }

    pub(super) fn schedule_recall(&mut self, key: &str) {
        let now = self.now;
        let Some(phone) = self.phones.get_mut(key) else { return };
        if phone.work == Work::Inactive || self.settings.leg == LegMode::PerCall {
            return;
        }
        phone.work = Work::Lost;
        let pause = Duration::from_secs(2 << phone.recalls.min(4)).min(LONGEST_RECALL);
        phone.recalls += 1;
        phone.recall_at = Some(now + pause);
    }

    /// The agent goes: the leg goes.
    pub(super) fn drop_leg(&mut self, key: &str) {
        let Some(phone) = self.phones.get_mut(key) else { return };
        phone.recall_at = None;
        phone.recalls = 0;
        phone.told_ringing = false;
        phone.told_music = false;
        phone.told_muted = false;
        let waiter = phone.waiting.take();
        let leg = std::mem::replace(&mut phone.leg, Leg::None);
        if let Some(LegWaiter::Activate(command) | LegWaiter::Dial { command, .. }) = waiter {
            self.refuse(command, Code::Rejected, "the phone was deactivated");
        }
        if let Some(channel) = leg.channel() {
            let channel: ChannelId = channel.clone();
            self.hang_up_channel(&channel, "normal");
        }
    }

    pub(super) fn recall_legs(&mut self) {
        let due: Vec<_> = self
            .phones
            .values()
            .filter(|phone| phone.recall_at.is_some_and(|at| at <= self.now))
            .map(|phone| phone.key.clone())
            .collect();
        for key in due {
            self.call_leg(&key, None, self.settings.phone_timeout);
        }
    }
}

/// The technology and the resource of an endpoint, if it is one that Asterisk can watch.
pub(super) fn watched(endpoint: &str) -> Option<(&str, &str)> {
    endpoint.split_once('/').filter(|(technology, resource)| *technology == "PJSIP" && !resource.contains(['/', '@']))
}

fn no_leg(cause: Option<u16>, words: Option<String>) -> Failure {
    let failure = match cause.map(|cause| cause_of(Some(cause))) {
        Some(Cause::Busy) => Failure::new(Code::Busy, "the phone is busy"),
        Some(Cause::NoAnswer) => Failure::new(Code::Unreachable, "the phone was not answered"),
        _ => Failure::new(Code::Unreachable, "the phone cannot be reached"),
    };
    match (words, cause) {
        (Some(words), _) => failure.context(words),
        (None, Some(cause)) => failure.context(format!("hang-up cause {cause}")),
        (None, None) => failure,
    }
}
