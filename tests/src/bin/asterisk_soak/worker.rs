//! An agent: what the desktop shows, and what is done next, by dice.
//!
//! Owns: one agent's connection. Must never: send what the state that is shown forbids; what fails all the same has been
//! overtaken by what happened meanwhile.

use std::{collections::BTreeMap, time::Duration};

use jackfield_tests::{
    agent::{Agent, Event},
    host::Host,
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::dice::Dice;

/// What part of the day it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Everything is done.
    Day,
    /// What is there is brought to an end.
    Evening,
    /// It is over: what has ended is completed, and nothing else is there.
    Night,
}

/// How commands may be answered here: done, overtaken by what happened, or what a called number or Asterisk says to it.
pub(crate) const EXPECTED: [&str; 7] =
    ["success", "invalid_state", "not_found", "rejected", "unreachable", "busy", "unsupported"];

/// Numbers outside: one answers, the others are busy, nobody's, or ring for nothing.
const NUMBERS: [&str; 5] = ["800", "800", "486", "404", "480"];

#[derive(Default)]
struct Contact {
    state: String,
    /// By their targets.
    calls: BTreeMap<String, Call>,
}

#[derive(Default)]
struct Call {
    role: String,
    state: String,
    members: usize,
}

/// One agent.
pub(crate) struct Worker {
    agent: Agent,
    extension: String,
    colleagues: Vec<String>,
    dice: Dice,
    pace: Duration,
    channel: String,
    /// The channel's state and availability.
    is: (String, String),
    /// By their targets.
    contacts: BTreeMap<String, Contact>,
    /// How often a command was answered how.
    pub(crate) answers: BTreeMap<(String, String), usize>,
}

type Step = (&'static str, String, Value);

impl Worker {
    /// The agent logs in and adds the phone.
    pub(crate) async fn begin(
        host: &Host,
        extension: String,
        colleagues: Vec<String>,
        dice: Dice,
        pace: Duration,
    ) -> Self {
        let mut agent = Agent::connect(host, "acme").await;
        agent.log_in(&format!("agent-{extension}")).await;
        let channel = agent.adds_channel(&extension, "Telephony").await;
        let is = ("INACTIVE".to_owned(), String::new());
        let (contacts, answers) = (BTreeMap::new(), BTreeMap::new());
        Self { agent, extension, colleagues, dice, pace, channel, is, contacts, answers }
    }

    /// Works until it is night.
    pub(crate) async fn work(mut self, phases: watch::Receiver<Phase>) -> Self {
        loop {
            let pause = self.pace.mul_f64((1 + self.dice.below(100)) as f64 / 100.0);
            while let Ok(event) = timeout(pause, self.agent.next_event("something happens")).await {
                self.take(&event);
            }
            let phase = *phases.borrow();
            // What is over is completed first; what is not, at night, is stuck.
            let over = |contact: &Contact| contact.state == "ENDED";
            if phase == Phase::Night && (self.contacts.is_empty() || !self.contacts.values().all(over)) {
                return self;
            }
            if let Some((command, target, data)) = self.next(phase) {
                let answer = self.agent.command(command, &target, data).await;
                let answer = match answer["failure"]["code"].as_str() {
                    Some(code) => code.to_owned(),
                    None => answer["result"].as_str().unwrap_or_default().to_owned(),
                };
                *self.answers.entry((command.to_owned(), answer)).or_default() += 1;
            }
        }
    }

    /// Whether something is left of a contact, or the phone is not there, at night.
    pub(crate) fn stuck(&self) -> Option<String> {
        let states: Vec<&str> = self.contacts.values().map(|contact| contact.state.as_str()).collect();
        (!states.is_empty() || self.is.0 != "ACTIVE").then(|| format!("{} {} {states:?}", self.extension, self.is.0))
    }

    /// Logs out.
    pub(crate) async fn goes_home(mut self) -> bool {
        let session = self.agent.session.clone();
        self.agent.command("session.request.logout", &session, json!({})).await["result"] == "success"
    }

    // ---- what is shown

    fn take(&mut self, event: &Event) {
        let (target, data) = (&event.target, &event.data);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match event.name.as_str() {
            "interaction.created" => {
                let contact = format!("{target}.{}", text(&data["interaction"]["id"]));
                self.contacts.insert(contact, Contact::default());
            }
            "interaction.disposed" => drop(self.contacts.remove(target)),
            "conversation.created" => {
                let (id, role) = (text(&data["conversation"]["id"]), text(&data["conversation"]["role"]));
                if let Some(contact) = self.contacts.get_mut(target) {
                    contact.calls.insert(format!("{target}.{id}"), Call { role, ..Call::default() });
                }
            }
            "conversation.disposed" => {
                if let Some(contact) = self.contact_of(target) {
                    contact.calls.remove(target);
                }
            }
            "conversation.member.added" => self.members(target, 1),
            "conversation.member.removed" => self.members(target, -1),
            "state.updated" if *target == self.channel => {
                self.is = (text(&data["state"]), text(&data["availability"]));
            }
            "state.updated" => {
                let state = text(&data["state"]);
                if let Some(contact) = self.contacts.get_mut(target) {
                    contact.state = state;
                } else if let Some(call) = self.call(target) {
                    call.state = state;
                }
            }
            _ => {}
        }
    }

    fn contact_of(&mut self, call: &str) -> Option<&mut Contact> {
        self.contacts.get_mut(call.rsplit_once('.')?.0)
    }

    fn call(&mut self, target: &str) -> Option<&mut Call> {
        self.contact_of(target)?.calls.get_mut(target)
    }

    fn members(&mut self, call: &str, more: isize) {
        if let Some(call) = self.call(call) {
            call.members = call.members.saturating_add_signed(more);
        }
    }

    // ---- what is done

    fn next(&mut self, phase: Phase) -> Option<Step> {
        let on_channel = |command| Some((command, self.channel.clone(), json!({})));
        if self.is.0 == "INACTIVE" {
            return on_channel("channel.request.activate");
        }
        if self.is.0 != "ACTIVE" {
            return None;
        }
        let busy = self.contacts.iter().find(|(_, contact)| contact.state != "ENDED");
        if let Some((target, contact)) = busy {
            return in_contact(&mut self.dice, &self.colleagues, phase, target, contact);
        }
        if let Some(over) = self.contacts.keys().next() {
            return Some(("interaction.request.complete", over.clone(), json!({})));
        }
        if self.is.1 != "READY" {
            return on_channel("channel.request.ready");
        }
        if phase != Phase::Day {
            return None;
        }
        match self.dice.below(20) {
            0 => {
                let data = json!({"reasoncode": "break"});
                Some(("channel.request.notready", self.channel.clone(), data))
            }
            1 | 2 => {
                let data = json!({"destination": whom(&mut self.dice, &self.colleagues)});
                Some(("channel.request.dial", self.channel.clone(), data))
            }
            _ => None,
        }
    }
}

/// A colleague, or a number outside.
fn whom(dice: &mut Dice, colleagues: &[String]) -> String {
    match dice.below(2) {
        0 => dice.one_of(colleagues).cloned().unwrap_or_default(),
        _ => dice.one_of(&NUMBERS).map(ToString::to_string).unwrap_or_default(),
    }
}

fn in_contact(dice: &mut Dice, colleagues: &[String], phase: Phase, contact: &str, shown: &Contact) -> Option<Step> {
    let on_contact = |command| Some((command, contact.to_owned(), json!({})));
    let of_role = |role: &str| shown.calls.iter().find(|(_, call)| call.role == role);
    let (target, call) = of_role("primary").or_else(|| of_role("consult"))?;
    let on_call = |command| Some((command, target.clone(), json!({})));
    let consult = of_role("consult").filter(|_| call.role == "primary");
    let is_day = phase == Phase::Day;
    if let Some((consult, second)) = consult.filter(|_| is_day && shown.state == "STARTED") {
        let release = || Some(("conversation.request.release", consult.clone(), json!({})));
        return match (second.state.as_str(), dice.below(6)) {
            ("DIALING", 0) => release(),
            ("DIALING", _) => None,
            (_, 0) => on_contact("interaction.request.alternate"),
            (_, 1) => on_contact("interaction.request.consultconference"),
            (_, 2) => release(),
            _ => on_contact("interaction.request.consulttransfer"),
        };
    }
    match (shown.state.as_str(), call.state.as_str()) {
        ("ALERTING", _) => match dice.below(10) {
            0 if is_day => on_contact("interaction.request.reject"),
            // It rings on, until it is offered to somebody else.
            1 if is_day => None,
            _ => on_call("conversation.request.answer"),
        },
        ("STARTED", _) if !is_day => on_call("conversation.request.release"),
        ("DIALING", _) => (!is_day || dice.below(4) == 0).then(|| on_call("conversation.request.release")).flatten(),
        ("STARTED", "HELD") => on_call("conversation.request.retrieve"),
        ("STARTED", "TALKING") => {
            let to = |dice: &mut Dice| json!({"destination": whom(dice, colleagues)});
            match dice.below(24) {
                0..=5 => on_call("conversation.request.release"),
                6 | 7 => on_call("conversation.request.hold"),
                8 => on_call("conversation.request.mute"),
                9 => on_call("conversation.request.unmute"),
                10 => Some(("conversation.request.senddtmf", target.clone(), json!({"digits": "12#"}))),
                11 => on_contact("interaction.request.recording.start"),
                12 => on_contact("interaction.request.recording.stop"),
                13..=15 if call.members == 1 => Some(("interaction.request.consult", contact.to_owned(), to(dice))),
                16 if call.members == 1 => {
                    Some(("conversation.request.blindtransfer", target.clone(), json!({"destination": "sales"})))
                }
                17 if call.members == 1 => Some(("conversation.request.blindtransfer", target.clone(), to(dice))),
                18 if call.members < 3 => Some(("conversation.request.blindconference", target.clone(), to(dice))),
                _ => None,
            }
        }
        _ => None,
    }
}
