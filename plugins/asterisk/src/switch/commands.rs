//! The agent's commands.
//!
//! Owns: what each command does to the model. The host has checked form and state; between its check and this the model
//! may have moved on, so everything is looked up again and what is gone is refused.

use std::collections::BTreeSet;

use jackfield_plugin_api::{
    Code, Command, Json, Outcome,
    command::RecordAction,
    report::{ChannelType, ConversationAt, ConversationState, InteractionAt},
};
use serde::Deserialize;

use super::{
    CommandId, Switch, What,
    confirm::{Act, set_variable},
    converge::bridge_uri,
    dialing::Purpose,
    model::{Availability, Interaction, LegWaiter, Party, PartyState, Phone, Recording, RoomId, Seat, Work, WrapUp},
    rooms::segment,
};
use crate::{
    ari::{Request, Response},
    settings::{LegMode, is_variable},
};

/// The key in call data, and the channel variable, that names the newest recording of a call.
const RECORDING: &str = "JACKFIELD_RECORDING";

/// `data.extensions` of a dial.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DialExtensions {
    queue: Option<String>,
}

impl Switch {
    pub(super) fn command(&mut self, id: CommandId, agent: &str, command: Command) {
        if !self.up || self.closing {
            return self.handle_late(id);
        }
        match command {
            Command::AddChannel { endpoint, kind: ChannelType::Telephony } => self.add_channel(id, agent, &endpoint),
            Command::AddChannel { .. } => self.refuse(id, Code::Unsupported, "Asterisk has telephony channels only"),
            Command::RemoveChannel { channel } => self.with_phone(id, agent, &channel, |switch, key| {
                switch.remove_channel(id, agent, key);
            }),
            Command::Activate { channel, queue, .. } => self.with_phone(id, agent, &channel, |switch, key| {
                switch.activate(id, key, queue.as_deref());
            }),
            Command::Deactivate { channel, .. } => self.with_phone(id, agent, &channel, |switch, key| {
                switch.clear_phone(key);
                switch.reply(id, Outcome::success());
            }),
            Command::Ready { channel } => self.with_phone(id, agent, &channel, |switch, key| {
                switch.ready_outcome(id, key, Availability::Ready);
            }),
            Command::NotReady { channel, reason_code, reason_desc } => {
                self.with_phone(id, agent, &channel, |switch, key| switch.not_ready(id, key, reason_code, reason_desc));
            }
            Command::Dial { channel, destination, extensions } => {
                self.with_phone(id, agent, &channel, |switch, key| switch.dial_for(id, key, &destination, &extensions));
            }
            Command::Reject { interaction } => {
                self.with_interaction(id, agent, &interaction, |switch, key| match switch.alerting_seat(key) {
                    Some(seat) => {
                        switch.refuse_offer(&seat);
                        switch.reply(id, Outcome::success());
                    }
                    None => switch.refuse(id, Code::InvalidState, "the call does not ring any more"),
                })
            }
            Command::SetInteractionData { interaction, key, value } => {
                self.with_interaction(id, agent, &interaction, |switch, phone| {
                    switch.set_interaction_data(id, phone, key, value);
                });
            }
            Command::Complete { interaction } => self.complete(id, agent, &interaction),
            Command::Consult { interaction, destination } => {
                self.with_interaction(id, agent, &interaction, |switch, phone| {
                    let purpose = Purpose::Consult { interaction: interaction.interaction.clone() };
                    switch.call(id, phone, &destination, purpose);
                });
            }
            Command::Alternate { interaction, hold, retrieve } => {
                self.with_interaction(id, agent, &interaction, |switch, phone| {
                    switch.alternate(id, phone, hold.as_deref(), &retrieve);
                });
            }
            Command::ConsultTransfer { interaction } => {
                self.with_interaction(id, agent, &interaction, |switch, phone| {
                    switch.ask(id, Act::ConsultTransfer(phone.to_owned()));
                });
            }
            Command::ConsultConference { interaction } => {
                self.with_interaction(id, agent, &interaction, |switch, phone| {
                    switch.ask(id, Act::ConsultConference(phone.to_owned()));
                });
            }
            Command::Record { interaction, action } => {
                self.with_interaction(id, agent, &interaction, |switch, phone| switch.record(id, phone, action));
            }
            Command::Supervise { agent: whom, mode } => self.supervise(id, agent, &whom, mode),
            Command::ColleagueReady { agent: whom } => self.colleague_ready(id, agent, &whom),
            Command::ColleagueNotReady { agent: whom, reason_code, reason_desc } => {
                self.colleague_not_ready(id, agent, &whom, reason_code, reason_desc);
            }
            Command::List(request) => self.show_list(id, request),
            Command::Extension { name, target, data } => self.extension_command(id, agent, &name, target, &data),
            other => self.conversation_command(id, agent, other),
        }
    }

    fn conversation_command(&mut self, id: CommandId, agent: &str, command: Command) {
        match command {
            Command::Answer { conversation } => self.with_seat(id, agent, &conversation, |switch, seat| {
                switch.answer(id, seat);
            }),
            Command::Release { conversation } => self.with_seat(id, agent, &conversation, |switch, seat| {
                let state = switch.conversation(seat).map_or(ConversationState::Ended, |it| it.state);
                switch.release(seat, state);
                switch.reply(id, Outcome::success());
            }),
            Command::Hold { conversation } => self.with_seat(id, agent, &conversation, |switch, seat| {
                switch.ask(id, Act::Hold(seat.clone()));
            }),
            Command::Retrieve { conversation } => self.with_seat(id, agent, &conversation, |switch, seat| {
                switch.ask(id, Act::Retrieve(seat.clone()));
            }),
            Command::Mute { conversation } => self.with_seat(id, agent, &conversation, |switch, seat| {
                switch.ask(id, Act::Mute { phone: seat.phone.clone(), muted: true });
            }),
            Command::Unmute { conversation } => self.with_seat(id, agent, &conversation, |switch, seat| {
                switch.ask(id, Act::Mute { phone: seat.phone.clone(), muted: false });
            }),
            Command::SendDtmf { conversation, digits } => self.with_seat(id, agent, &conversation, |switch, seat| {
                switch.send_dtmf(id, seat, &digits);
            }),
            Command::Member { conversation, member, action } => {
                self.with_seat(id, agent, &conversation, |switch, seat| switch.member(id, seat, &member, action));
            }
            Command::BlindTransfer { conversation, destination } => {
                self.with_seat(id, agent, &conversation, |switch, seat| {
                    switch.blind_transfer(id, seat, &destination);
                });
            }
            Command::BlindConference { conversation, destination } => {
                self.with_seat(id, agent, &conversation, |switch, seat| {
                    let purpose = Purpose::BlindConference { conversation: seat.conversation.clone() };
                    switch.call(id, &seat.phone, &destination, purpose);
                });
            }
            _ => self.reply(id, Outcome::unsupported()),
        }
    }

    // Finding what a command is about.

    fn with_phone(&mut self, id: CommandId, agent: &str, key: &str, act: impl FnOnce(&mut Self, &str)) {
        if self.phones.get(key).is_some_and(|phone| phone.agent == agent) {
            act(self, key);
        } else {
            self.refuse(id, Code::NotFound, "no such channel");
        }
    }

    /// The interaction must still be going on.
    fn with_interaction(&mut self, id: CommandId, agent: &str, at: &InteractionAt, act: impl FnOnce(&mut Self, &str)) {
        self.with_phone(id, agent, &at.channel, |switch, key| {
            let live = switch.phones.get(key).and_then(Phone::live).is_some_and(|live| live.key == at.interaction);
            if live {
                act(switch, key);
            } else {
                switch.refuse(id, Code::InvalidState, "the call has ended");
            }
        });
    }

    pub(super) fn with_seat(
        &mut self,
        id: CommandId,
        agent: &str,
        at: &ConversationAt,
        act: impl FnOnce(&mut Self, &Seat),
    ) {
        self.with_phone(id, agent, &at.channel, |switch, key| match switch.seat_of(key, &at.conversation) {
            Some(seat) => act(switch, &seat),
            None => switch.refuse(id, Code::InvalidState, "the call has ended"),
        });
    }

    // The channel.

    fn activate(&mut self, id: CommandId, key: &str, queue: Option<&str>) {
        let Some(phone) = self.phones.get(key) else { return };
        if phone.work != Work::Inactive || phone.waiting.is_some() {
            return self.refuse(id, Code::Conflict, "the phone is being activated already");
        }
        let queues: BTreeSet<String> = match queue {
            Some(queues) => {
                queues.split(',').map(|queue| queue.trim().to_owned()).filter(|it| !it.is_empty()).collect()
            }
            None => match self.settings.agents.get(&phone.agent).filter(|agent| !agent.queues.is_empty()) {
                Some(agent) => agent.queues.iter().cloned().collect(),
                None => self.settings.queues.keys().cloned().collect(),
            },
        };
        if let Some(unknown) = queues.iter().find(|queue| !self.settings.queues.contains_key(*queue)) {
            return self.refuse(id, Code::Rejected, format!("no queue {unknown:?}"));
        }
        let (now, mode, timeout) = (self.now, self.settings.leg, self.settings.phone_timeout);
        if let Some(phone) = self.phones.get_mut(key) {
            phone.queues = queues;
            phone.availability = Availability::NOT_READY;
            phone.ready_since = now;
            if mode == LegMode::PerCall {
                phone.work = Work::Active;
            }
        }
        match mode {
            LegMode::Stay => self.call_leg(key, Some(LegWaiter::Activate(id)), timeout),
            LegMode::PerCall => {
                self.touch_phone(key);
                self.reply(id, Outcome::success());
            }
        }
    }

    fn not_ready(&mut self, id: CommandId, key: &str, code: String, desc: Option<String>) {
        if code == "acw" {
            if let Some(phone) = self.phones.get_mut(key) {
                phone.wrap_up = Some(WrapUp { until: None });
            }
            self.queues_touched = true;
            self.touch_phone(key);
            return self.reply(id, Outcome::success());
        }
        match self.reason(code, desc) {
            Ok(availability) => self.ready_outcome(id, key, availability),
            Err(failure) => self.reply(id, failure),
        }
    }

    fn dial_for(&mut self, id: CommandId, key: &str, destination: &str, extensions: &Json) {
        let extensions: DialExtensions = extensions.parse().unwrap_or_default();
        if let Some(queue) = extensions.queue.as_ref().filter(|queue| !self.settings.queues.contains_key(*queue)) {
            return self.refuse(id, Code::Rejected, format!("no queue {queue:?}"));
        }
        self.dial(id, key, destination, extensions.queue);
    }

    // The interaction.

    fn set_interaction_data(&mut self, id: CommandId, phone: &str, key: String, value: Json) {
        if is_variable(&key) {
            self.ask(id, Act::SetData { phone: phone.to_owned(), key, value });
        } else {
            let message = "a key must be the name of a channel variable: letters, digits and '_'";
            self.refuse(id, Code::Rejected, message);
        }
    }

    /// Gone for good; after-call work ends with it.
    fn complete(&mut self, id: CommandId, agent: &str, at: &InteractionAt) {
        self.with_phone(id, agent, &at.channel, |switch, key| {
            let Some(phone) = switch.phones.get_mut(key) else { return };
            let over = |it: &Interaction| it.key == at.interaction && it.ended.is_some();
            let Some(index) = phone.interactions.iter().position(over) else {
                return switch.refuse(id, Code::InvalidState, "the call goes on");
            };
            let done = phone.interactions.remove(index);
            phone.gone.push(done);
            switch.touch_phone(key);
            switch.end_wrap_up(key);
            switch.reply(id, Outcome::success());
        });
    }

    fn alternate(&mut self, id: CommandId, phone: &str, hold: Option<&str>, retrieve: &str) {
        match self.seat_of(phone, retrieve) {
            Some(retrieve) => {
                let hold = hold.and_then(|hold| self.seat_of(phone, hold));
                self.ask(id, Act::Alternate { hold, retrieve });
            }
            None => self.refuse(id, Code::InvalidState, "the call has ended"),
        }
    }

    fn record(&mut self, id: CommandId, phone: &str, action: RecordAction) {
        let name = self.recording_name(phone);
        let Some((room, state)) = self.any_room_of(phone).and_then(|(_, id)| Some((id, self.rooms.get(&id)?))) else {
            return self.refuse(id, Code::InvalidState, "the call has ended");
        };
        let (request, then) = match (action, &state.recording) {
            (RecordAction::Start, None) if state.told_bridge => {
                let request = Request::post(format!("{}/record", bridge_uri(&state.bridge)))
                    .with("name", name.clone())
                    .with("format", self.settings.recording_format.clone())
                    .with("ifExists", "fail");
                (request, Some(Recording { name, paused: false }))
            }
            (RecordAction::Stop, Some(recording)) => (Request::post(format!("{}/stop", live(&recording.name))), None),
            (RecordAction::Pause, Some(recording)) => {
                let then = Recording { paused: true, ..recording.clone() };
                (Request::post(format!("{}/pause", live(&recording.name))), Some(then))
            }
            (RecordAction::Resume, Some(recording)) => {
                let then = Recording { paused: false, ..recording.clone() };
                (Request::delete(format!("{}/pause", live(&recording.name))), Some(then))
            }
            _ => return self.refuse(id, Code::InvalidState, "the recording is not in that state"),
        };
        if action == RecordAction::Start {
            // Who hears music of his own comes into the bridge: with nobody inside, Asterisk ends the recording at once.
            if let Some(state) = self.rooms.get_mut(&room) {
                state.starts_recording = true;
            }
            self.touch_room(room);
            self.converge();
            self.prepare_mixing(room);
        }
        self.send(request, What::Record { command: id, room, then });
    }

    /// What a recording is called: by the pattern of the settings, and never twice the same.
    fn recording_name(&mut self, phone: &str) -> String {
        let id = self.new_key();
        let live = self.phones.get(phone).and_then(Phone::live);
        let queue = live.and_then(|live| live.queue.clone()).unwrap_or_default();
        let room = self.any_room_of(phone).and_then(|(_, id)| self.rooms.get(&id));
        let party = room.and_then(|room| room.parties.first()).and_then(|channel| self.parties.get(channel));
        let number = party.map(|party| party.number.clone()).unwrap_or_default();
        let agent = self.phones.get(phone).map(|phone| phone.agent.clone()).unwrap_or_default();
        let application = self.settings.address.application.clone();
        let mut name = self.settings.recording_name.clone();
        for (place, value) in [
            ("{application}", application),
            ("{queue}", queue),
            ("{number}", number),
            ("{agent}", agent),
            ("{extension}", phone.to_owned()),
            ("{id}", id),
        ] {
            // Nothing that comes from outside may lead out of the folder.
            let value = value.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' });
            name = name.replace(place, &value.collect::<String>());
        }
        name
    }

    pub(super) fn recorded(&mut self, id: CommandId, room: RoomId, then: Option<Recording>, response: &Response) {
        if let Some(state) = self.rooms.get_mut(&room) {
            state.starts_recording = false;
            self.touch_room(room);
        }
        if !response.is_ok() {
            // It may have ended while nobody listened; another can be begun then.
            if response.status == 404
                && let Some(state) = self.rooms.get_mut(&room).filter(|state| state.recording.is_some())
            {
                state.recording = None;
                self.touch_room(room);
            }
            let failure = jackfield_plugin_api::Failure::new(Code::Rejected, "Asterisk does not record this");
            return self.reply(id, failure.context(response.words()));
        }
        let Some(state) = self.rooms.get_mut(&room) else {
            return self.refuse(id, Code::InvalidState, "the call has ended");
        };
        let started = then.as_ref().filter(|_| state.recording.is_none()).map(|recording| recording.name.clone());
        state.recording = then;
        self.touch_room(room);
        if let Some(name) = started {
            self.tell_recording(room, &name);
        }
        self.reply(id, Outcome::success());
    }

    /// Everybody who must find a recording is told its name: agents by call data, the dialplan by a variable.
    fn tell_recording(&mut self, room: RoomId, name: &str) {
        let value: Json = format!("{name}.{}", self.settings.recording_format).into();
        let parties = self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default();
        for channel in parties {
            if let Some(party) = self.parties.get_mut(&channel) {
                party.data.insert(RECORDING.to_owned(), value.clone());
            }
            self.send(set_variable(&channel, RECORDING, &value), What::Lenient);
        }
        self.data_changed(room, RECORDING, &value);
    }

    // The conversation.

    fn answer(&mut self, id: CommandId, seat: &Seat) {
        if self.settings.leg == LegMode::PerCall {
            return self.refuse(id, Code::Unsupported, "the call is answered on the phone");
        }
        if self.phones.get(&seat.phone).is_none_or(|phone| phone.leg.up().is_none() || phone.unreachable.is_some()) {
            return self.refuse(id, Code::Unreachable, "the phone is not connected");
        }
        self.take(id, seat);
    }

    fn send_dtmf(&mut self, id: CommandId, seat: &Seat, digits: &str) {
        let Some(room) = self.conversation(seat).and_then(|it| self.rooms.get(&it.room)) else {
            return self.refuse(id, Code::InvalidState, "the call has ended");
        };
        let is_there = |party: &Party| party.state == PartyState::Up && !party.held;
        let parties = room.parties.iter().filter(|it| self.parties.get(*it).is_some_and(is_there));
        let colleagues = room.seats.iter().filter(|other| other.phone != seat.phone);
        let colleagues = colleagues.filter_map(|other| self.phones.get(&other.phone)?.leg.up());
        let to: Vec<_> = parties.chain(colleagues).cloned().collect();
        for channel in to {
            let request = Request::post(format!("channels/{}/dtmf", segment(&channel))).with("dtmf", digits);
            self.send(request, What::Plain);
        }
        self.reply(id, Outcome::success());
    }
}

/// The path of a recording that runs.
fn live(name: &str) -> String {
    format!("recordings/live/{}", segment(name))
}
