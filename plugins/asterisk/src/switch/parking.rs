//! Parking (`res_parking`): a call waits at a number where anybody takes it who calls that, with a desktop or without.
//!
//! Owns: what is asked of the parking lot before a call is handed to it, and after. A parked call is Asterisk's own: it
//! outlives this process, and the dialplan brings it back when nobody takes it. Must never: hand over a call for which
//! there is no space, for Asterisk would hang it up.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jackfield_plugin_api::{Code, Failure, Json, Outcome};
use serde_json::{Value, json};

use super::{
    CommandId, Effect, Switch, What,
    confirm::{Act, set_variable},
    dialing::{Calling, Found},
    model::{ChannelId, Seat},
    rooms::segment,
};
use crate::{
    ari::{self, Bridge, Caller, Request, Response},
    manager::{Order, ParkedCall},
};

/// How soon Asterisk is asked again where it has put a call, …
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// … and for how long.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// The channel variable by which `res_parking` knows who has parked a call: a channel's name.
const PARKER: &str = "BLINDTRANSFER";

/// Something to know of the parking lot, for a command.
#[derive(Debug)]
pub(super) enum Question {
    /// All that is parked.
    All(CommandId),
    /// Whether there is a space for a call.
    Space { command: CommandId, seat: Seat },
    /// Where a call is.
    Where { command: CommandId, channel: ChannelId, until: Instant, again: Option<Instant> },
    /// Who is at the number that is called.
    Who(Box<Calling>),
    /// The call data of who is there; how many are still to come.
    Data { calling: Box<Calling>, left: usize },
}

impl Question {
    /// When it is to be asked again.
    pub(super) fn again(&self) -> Option<Instant> {
        match self {
            Self::Where { again, .. } => *again,
            _ => None,
        }
    }
}

impl Switch {
    /// Whether a number is one at which calls are parked.
    pub(super) fn is_parking_space(&self, number: &str) -> bool {
        self.settings.parking.as_ref().is_some_and(|parking| parking.has(number))
    }

    pub(super) fn park(&mut self, command: CommandId, seat: &Seat) {
        if self.only_party(seat).is_none() {
            return self.refuse(command, Code::Rejected, "only a call of two can be parked");
        }
        if self.has_parking(command) {
            self.ask_parking(Question::Space { command, seat: seat.clone() });
        }
    }

    pub(super) fn list_parked(&mut self, command: CommandId) {
        if self.has_parking(command) {
            self.ask_parking(Question::All(command));
        }
    }

    /// A number at which calls are parked is called: who is there is asked first.
    pub(super) fn call_parked(&mut self, calling: Calling) {
        if self.manager_up {
            self.ask_parking(Question::Who(Box::new(calling)));
        } else {
            self.not_called(calling, no_manager());
        }
    }

    fn has_parking(&mut self, command: CommandId) -> bool {
        if self.settings.parking.is_none() {
            self.refuse(command, Code::Unsupported, "no parking lot is configured (parking)");
        } else if !self.manager_up {
            self.reply(command, no_manager());
        }
        self.settings.parking.is_some() && self.manager_up
    }

    fn ask_parking(&mut self, question: Question) {
        let id = self.number();
        self.parking.insert(id, question);
        self.effects.push(Effect::Manager(Order::Parked(id)));
    }

    /// Asks again where a call is that Asterisk has not put anywhere yet.
    pub(super) fn ask_parking_again(&mut self) {
        let now = self.now;
        for (id, question) in &mut self.parking {
            if let Question::Where { again, .. } = question
                && again.is_some_and(|at| at <= now)
            {
                *again = None;
                self.effects.push(Effect::Manager(Order::Parked(*id)));
            }
        }
    }

    pub(super) fn parking_told(&mut self, id: u64, calls: Result<Vec<ParkedCall>, String>) {
        let Some(question) = self.parking.remove(&id) else { return };
        let (calls, refused) = match calls {
            Ok(calls) => (calls, None),
            Err(words) => {
                let failure = Failure::new(Code::Rejected, "Asterisk does not say which calls are parked");
                (Vec::new(), Some(failure.context(words)))
            }
        };
        match (question, refused) {
            (Question::Who(calling) | Question::Data { calling, .. }, Some(failure)) => {
                self.not_called(*calling, failure);
            }
            (
                Question::All(command) | Question::Space { command, .. } | Question::Where { command, .. },
                Some(failure),
            ) => self.reply(command, failure),
            (Question::All(command), None) => {
                let calls: Vec<Value> = calls.iter().map(shown).collect();
                self.reply(command, Outcome::data(json!({"calls": calls})));
            }
            (Question::Space { command, seat }, None) => self.park_if_there_is_space(command, &seat, &calls),
            (Question::Where { command, channel, until, .. }, None) => {
                match calls.into_iter().find(|call| call.channel_id == channel) {
                    Some(call) => self.reply(command, Outcome::data(json!({"space": call.space}))),
                    None if until <= self.now => {
                        self.refuse(command, Code::Timeout, "Asterisk does not say where it has parked the call");
                    }
                    // Not yet, or not any more.
                    None => {
                        let uri = format!("channels/{}", segment(&channel));
                        self.parking.insert(id, Question::Where { command, channel, until, again: None });
                        self.send(Request::get(uri), What::ParkedChannel(id));
                    }
                }
            }
            (Question::Who(calling), None) => match calls.into_iter().find(|call| call.space == calling.destination) {
                Some(call) => self.ask_for_data(id, *calling, &call),
                None => self.not_called(*calling, Failure::new(Code::NotFound, "nobody is parked there")),
            },
            (question @ Question::Data { .. }, None) => drop(self.parking.insert(id, question)),
        }
    }

    fn park_if_there_is_space(&mut self, command: CommandId, seat: &Seat, calls: &[ParkedCall]) {
        let Some((_, channel)) = self.only_party(seat) else {
            return self.refuse(command, Code::InvalidState, "the call has ended");
        };
        let Some(parking) = self.settings.parking.clone() else { return };
        let taken = calls.iter().filter(|call| parking.has(&call.space)).count();
        if taken as u64 >= parking.count() {
            return self.refuse(command, Code::Busy, "all parking spaces are taken");
        }
        if let Some(phone) = self.phones.get(&seat.phone) {
            // The name of a channel ends with a number of its own, which Asterisk takes off.
            let parker: Json = format!("{}-0", phone.endpoint).into();
            self.send(set_variable(&channel, PARKER, &parker), What::Lenient);
        }
        self.ask(command, Act::Park { seat: seat.clone(), channel, place: parking.place });
    }

    /// Asterisk has the call; the command is answered with its space.
    pub(super) fn parked(&mut self, command: CommandId, channel: ChannelId) {
        self.ask_parking(Question::Where { command, channel, until: self.now + FOUND_WITHIN, again: None });
    }

    /// Whether there is still a call whose place in the lot is asked for.
    pub(super) fn parked_channel_told(&mut self, id: u64, response: &Response) {
        if response.is_ok() {
            return self.send(Request::get("bridges"), What::ParkedBridges(id));
        }
        if let Some(Question::Where { command, .. }) = self.parking.remove(&id) {
            self.refuse(command, Code::InvalidState, "the call has ended");
        }
    }

    /// A parked call is in a bridge that holds those who are parked; one that is in another, or in our keeping, was taken or
    /// is back.
    pub(super) fn parked_bridges_told(&mut self, id: u64, response: &Response) {
        let Some(Question::Where { command, channel, again, .. }) = self.parking.get_mut(&id) else { return };
        let bridges = ari::bridges(&response.body);
        let elsewhere = |bridge: &Bridge| bridge.bridge_type != "holding" && bridge.channels.contains(channel);
        if bridges.iter().any(elsewhere) || self.owners.contains_key(channel) {
            let command = *command;
            self.parking.remove(&id);
            self.reply(command, Outcome::data(Json::empty_object()));
        } else {
            *again = Some(self.now + ASK_AGAIN);
        }
    }

    /// The call data of a parked call stand on a channel that is not ours.
    fn ask_for_data(&mut self, id: u64, mut calling: Calling, call: &ParkedCall) {
        let who = Caller { number: call.number.clone(), name: call.name.clone() };
        calling.found = Some(Found { who, data: BTreeMap::new() });
        let left = self.settings.variables.len();
        if left == 0 {
            return self.place(calling);
        }
        for variable in &self.settings.variables {
            let (channel, name) = (call.channel.clone(), variable.clone());
            self.effects.push(Effect::Manager(Order::Variable { id, channel, name }));
        }
        self.parking.insert(id, Question::Data { calling: Box::new(calling), left });
    }

    pub(super) fn parked_data_told(&mut self, id: u64, name: String, value: String) {
        let Some(Question::Data { calling, left }) = self.parking.get_mut(&id) else { return };
        if let Some(found) = calling.found.as_mut().filter(|_| !value.is_empty()) {
            found.data.insert(name, value.into());
        }
        *left -= 1;
        if *left == 0
            && let Some(Question::Data { calling, .. }) = self.parking.remove(&id)
        {
            self.place(*calling);
        }
    }

    /// A connection is gone by which it was asked.
    pub(super) fn give_up_parking(&mut self) {
        for question in std::mem::take(&mut self.parking).into_values() {
            match question {
                Question::All(command) | Question::Space { command, .. } | Question::Where { command, .. } => {
                    self.reply(command, no_manager());
                }
                Question::Who(calling) | Question::Data { calling, .. } => self.not_called(*calling, no_manager()),
            }
        }
    }
}

pub(super) fn no_manager() -> Failure {
    Failure::new(Code::LinkDown, "there is no connection to Asterisk's manager interface")
}

fn shown(call: &ParkedCall) -> Value {
    json!({"space": call.space, "address": call.number, "name": call.name, "seconds": call.seconds})
}
