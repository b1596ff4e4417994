//! A tenant's settings: as they are written, and as they are used.
//!
//! Owns: the reading and every default. What a JSON Schema cannot say is checked here; everything behind this file
//! relies on it.

mod callback;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use jackfield_plugin_api::{Code, Failure, Secret, Tenant};
use serde::Deserialize;

use crate::{
    ari::{connection::Address, tls},
    manager::{self, Mailbox},
};
use callback::{Callback, RawCallback};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    url: String,
    #[serde(default)]
    tls: RawTls,
    user: String,
    password: Secret,
    application: Option<String>,
    phone: Option<String>,
    dial: Option<String>,
    #[serde(default)]
    leg: LegMode,
    #[serde(default = "yes")]
    auto_answer: bool,
    phone_timeout_seconds: Option<u64>,
    dial_timeout_seconds: Option<u64>,
    offer_timeout_seconds: Option<u64>,
    offer_again_seconds: Option<u64>,
    #[serde(default)]
    after_no_answer: AfterNoAnswer,
    no_answer_reason: Option<String>,
    wrap_up_seconds: Option<u64>,
    #[serde(default)]
    reasons: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeSet<String>,
    call_id: Option<String>,
    recording_format: Option<String>,
    recording_name: Option<String>,
    /// `name = "CONTEXT,EXTENSION,PRIORITY"`.
    #[serde(default)]
    destinations: BTreeMap<String, String>,
    /// Name and number.
    #[serde(default)]
    contacts: BTreeMap<String, String>,
    #[serde(default)]
    hidden: BTreeSet<String>,
    manager: Option<RawManager>,
    member: Option<String>,
    mailbox: Option<String>,
    parking: Option<RawParking>,
    #[serde(default)]
    queues: BTreeMap<String, RawQueue>,
    #[serde(default)]
    agents: BTreeMap<String, RawAgent>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawTls {
    roots: Option<String>,
}

/// A parking lot, in the words of `res_parking.conf`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParking {
    context: String,
    parkext: String,
    parkpos: String,
}

/// The manager interface (AMI).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManager {
    url: String,
    user: String,
    password: Secret,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
struct RawQueue {
    caller_id: Option<String>,
    priority: i64,
    strategy: Strategy,
    max_waiting: Option<usize>,
    join_when_empty: Option<bool>,
    leave_when_empty: bool,
    announce_seconds: Option<u64>,
    announce_holdtime: AnnounceHoldtime,
    overflow_seconds: Option<u64>,
    overflow: Option<String>,
    wrap_up_seconds: Option<u64>,
    service_level_seconds: Option<u64>,
    app_queue: bool,
    mailbox: Option<String>,
    callback: Option<RawCallback>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawAgent {
    password: Option<Secret>,
    extension: Option<String>,
    queues: Vec<String>,
    supervisor: bool,
}

/// Whether the agent's phone stays connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LegMode {
    /// Called when the channel is activated, and kept: full control of any phone.
    #[default]
    Stay,
    /// Called for each call.
    PerCall,
}

/// What becomes of an agent who did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AfterNoAnswer {
    /// Takes no more contacts.
    #[default]
    NotReady,
    /// Is offered the next one.
    Ready,
}

/// What becomes of a caller for whom nobody had time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// Waits in another queue.
    Queue(String),
    /// Goes on in the dialplan.
    Dialplan(Place),
    /// Is hung up.
    HangUp,
}

/// Where a call goes on in the dialplan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) context: String,
    pub(crate) extension: String,
    pub(crate) priority: u32,
}

/// A parking lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parking {
    /// Where the dialplan parks.
    pub(crate) place: Place,
    /// The numbers at which calls are parked.
    spaces: RangeInclusive<u32>,
}

impl Parking {
    /// Whether a number is one of its spaces, as Asterisk writes them: without zeros before.
    pub(crate) fn has(&self, number: &str) -> bool {
        number.parse().is_ok_and(|space| self.spaces.contains(&space) && space.to_string() == number)
    }

    /// How many spaces there are.
    pub(crate) fn count(&self) -> u64 {
        u64::from(*self.spaces.end() - *self.spaces.start()) + 1
    }
}

/// Which of the free agents gets the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strategy {
    /// Who has been ready longest.
    #[default]
    LongestIdle,
    /// Who has taken the fewest.
    FewestCalls,
    /// The first by extension.
    Linear,
}

/// Whether callers are told with their position how long they will wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnnounceHoldtime {
    #[default]
    No,
    /// Each time.
    Yes,
    /// The first time that it is known.
    Once,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) caller_id: Option<String>,
    /// Calls of a higher one go first.
    pub(crate) priority: i64,
    pub(crate) strategy: Strategy,
    pub(crate) max_waiting: Option<usize>,
    /// Whether callers may come while no agent is at work for it.
    pub(crate) join_when_empty: bool,
    /// Whether callers go when the last agent has gone.
    pub(crate) leave_when_empty: bool,
    /// How often a caller is told the position.
    pub(crate) announce: Option<Duration>,
    pub(crate) announce_holdtime: AnnounceHoldtime,
    pub(crate) overflow: Option<(Duration, Overflow)>,
    pub(crate) wrap_up: Duration,
    /// How long a caller should wait at the most.
    pub(crate) service_level: Duration,
    /// It is one of `app_queue`'s: Asterisk distributes its calls.
    pub(crate) app_queue: bool,
    /// Where its callers leave messages.
    pub(crate) mailbox: Option<Mailbox>,
    /// Its callers may hang up and be called back.
    pub(crate) callback: Option<Callback>,
}

/// An agent whom the settings name.
#[derive(Debug, Clone)]
pub(crate) struct KnownAgent {
    pub(crate) password: Option<Secret>,
    pub(crate) extension: Option<String>,
    pub(crate) queues: Vec<String>,
    /// May hear colleagues' calls.
    pub(crate) supervisor: bool,
}

/// The settings, checked.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) phone: String,
    pub(crate) dial: Option<String>,
    pub(crate) leg: LegMode,
    pub(crate) auto_answer: bool,
    pub(crate) phone_timeout: Duration,
    pub(crate) dial_timeout: Duration,
    pub(crate) offer_timeout: Duration,
    pub(crate) offer_again: Duration,
    pub(crate) after_no_answer: AfterNoAnswer,
    pub(crate) no_answer_reason: String,
    pub(crate) wrap_up: Duration,
    pub(crate) reasons: BTreeMap<String, String>,
    pub(crate) variables: BTreeSet<String>,
    /// Where each channel of a call is told which customer's it is: a variable, or a function of the dialplan.
    pub(crate) call_id: Option<String>,
    pub(crate) recording_format: String,
    pub(crate) recording_name: String,
    pub(crate) destinations: BTreeMap<String, Place>,
    /// Numbers for everybody's menu, by name.
    pub(crate) contacts: BTreeMap<String, String>,
    /// Endpoints that are not in the directory, such as trunks.
    pub(crate) hidden: BTreeSet<String>,
    /// Who writes `queue_log`; without it nobody does.
    pub(crate) manager: Option<manager::Address>,
    /// What `app_queue` rings for an agent, with `{extension}`.
    pub(crate) member: Option<String>,
    /// Where messages for an extension are left, with `{extension}`.
    pub(crate) mailbox: Option<Mailbox>,
    pub(crate) parking: Option<Parking>,
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) agents: BTreeMap<String, KnownAgent>,
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::new(Code::Rejected, what)
}

fn seconds(value: Option<u64>, default: u64) -> Duration {
    Duration::from_secs(value.unwrap_or(default))
}

impl Settings {
    /// Reads and checks a tenant's settings.
    pub(crate) fn read(tenant: &Tenant) -> Result<Self, Failure> {
        let raw: Raw = tenant.settings.parse()?;
        let application = raw.application.clone().unwrap_or_else(|| format!("jackfield-{}", tenant.id));
        if !is_word(&application) {
            return Err(wrong("settings: application: only letters, digits, '-', '_' and '.'"));
        }
        let wrap_up = seconds(raw.wrap_up_seconds, 0);
        let queues = raw
            .queues
            .iter()
            .map(|(name, queue)| Ok((name.clone(), checked_queue(name, queue, wrap_up)?)))
            .collect::<Result<BTreeMap<_, _>, Failure>>()?;
        for (name, queue) in &queues {
            if let Some((_, Overflow::Queue(other))) = &queue.overflow
                && (other == name || queues.get(other).is_none_or(|queue| queue.app_queue))
            {
                return Err(wrong(format!("settings: queues.{name}.overflow: no other queue {other:?}")));
            }
        }
        let agents = raw.agents.into_iter().map(|(name, agent)| (name, known_agent(agent))).collect::<BTreeMap<_, _>>();
        for (name, agent) in &agents {
            if let Some(queue) = agent.queues.iter().find(|queue| !queues.contains_key(*queue)) {
                return Err(wrong(format!("settings: agents.{name}.queues: no queue {queue:?}")));
            }
            let Some(extension) = &agent.extension else { continue };
            if !is_number(extension) {
                return Err(wrong(format!("settings: agents.{name}.extension: {extension:?} is not an extension")));
            }
            let shares = |(other, it): &(&String, &KnownAgent)| *other != name && it.extension == agent.extension;
            if let Some((other, _)) = agents.iter().find(shares) {
                return Err(wrong(format!("settings: agents.{name}.extension: {extension:?} is {other}'s already")));
            }
        }
        if let Some(variable) = raw.variables.iter().find(|name| !is_variable(name)) {
            return Err(wrong(format!("settings: variables: {variable:?} is not the name of a channel variable")));
        }
        if let Some(name) = raw.call_id.as_ref().filter(|name| !is_variable(name) && !is_function(name)) {
            let like = "must be the name of a channel variable, or like \"CHANNEL(userfield)\"";
            return Err(wrong(format!("settings: call_id: {name:?} {like}")));
        }
        let phone = raw.phone.unwrap_or_else(|| "PJSIP/{extension}".to_owned());
        if !phone.contains("{extension}") || !phone.contains('/') {
            return Err(wrong("settings: phone: must be like \"PJSIP/{extension}\""));
        }
        if raw.dial.as_ref().is_some_and(|dial| !dial.contains("{number}") || !dial.contains('/')) {
            return Err(wrong("settings: dial: must be like \"PJSIP/{number}@trunk\""));
        }
        let is_encrypted =
            raw.url.starts_with("https:") || raw.manager.as_ref().is_some_and(|it| it.url.starts_with("tls:"));
        if raw.tls.roots.is_some() && !is_encrypted {
            return Err(wrong("settings: tls.roots: url is not https"));
        }
        if raw.member.as_ref().is_some_and(|member| !member.contains("{extension}") || !member.contains('/')) {
            return Err(wrong("settings: member: must be like \"Local/{extension}@agents/n\""));
        }
        let is_usable = raw.member.is_some() && raw.manager.is_some();
        if let Some((name, _)) = queues.iter().find(|(_, queue)| queue.app_queue && !is_usable) {
            return Err(wrong(format!("settings: queues.{name}: app_queue needs manager and member")));
        }
        let mailbox = raw.mailbox.as_deref().map(|text| mailbox("mailbox", text)).transpose()?;
        if mailbox.as_ref().is_some_and(|mailbox| !mailbox.to_string().contains("{extension}")) {
            return Err(wrong("settings: mailbox: must be like \"{extension}@default\""));
        }
        if raw.manager.is_none() && (mailbox.is_some() || queues.values().any(|queue| queue.mailbox.is_some())) {
            return Err(wrong("settings: mailbox needs manager"));
        }
        let can_call_back = raw.dial.is_some() && raw.manager.is_some();
        if let Some((name, _)) = queues.iter().find(|(_, queue)| queue.callback.is_some() && !can_call_back) {
            return Err(wrong(format!("settings: queues.{name}: callback needs dial and manager")));
        }
        let parking = raw.parking.as_ref().map(parking_lot).transpose()?;
        if raw.manager.is_none() && parking.is_some() {
            return Err(wrong("settings: parking needs manager"));
        }
        let mut destinations = BTreeMap::new();
        for (name, to) in raw.destinations {
            let place = place(&to).filter(|_| is_word(&name) && !queues.contains_key(&name)).ok_or_else(|| {
                wrong(format!(
                    "settings: destinations.{name}: must be \"CONTEXT,EXTENSION,PRIORITY\", its name a word and no queue's"
                ))
            })?;
            destinations.insert(name, place);
        }
        let is_callable = |to: &String| is_dialable(to) || destinations.contains_key(to) || queues.contains_key(to);
        if let Some((name, number)) = raw.contacts.iter().find(|(_, number)| !is_callable(number)) {
            return Err(wrong(format!("settings: contacts.{name}: {number:?} cannot be called")));
        }
        let recording_name =
            raw.recording_name.unwrap_or_else(|| "{application}-{queue}-{number}-{extension}-{id}".to_owned());
        if !recording_name.contains("{id}") || recording_name.split('/').any(|part| part == ".." || part.is_empty()) {
            return Err(wrong("settings: recording_name: must contain {id}, and no \"..\""));
        }
        Ok(Self {
            member: raw.member,
            mailbox,
            parking,
            manager: raw.manager.as_ref().map(|manager| manager_address(manager, &raw.tls)).transpose()?,
            address: address(&raw.url, &raw.tls, raw.user, &raw.password, application)?,
            phone,
            dial: raw.dial,
            leg: raw.leg,
            auto_answer: raw.auto_answer,
            phone_timeout: seconds(raw.phone_timeout_seconds, 25),
            dial_timeout: seconds(raw.dial_timeout_seconds, 60),
            offer_timeout: seconds(raw.offer_timeout_seconds, 20),
            offer_again: seconds(raw.offer_again_seconds, 10),
            after_no_answer: raw.after_no_answer,
            no_answer_reason: raw.no_answer_reason.unwrap_or_else(|| "noanswer".to_owned()),
            wrap_up,
            reasons: raw.reasons,
            variables: raw.variables,
            call_id: raw.call_id,
            recording_format: raw.recording_format.unwrap_or_else(|| "wav".to_owned()),
            recording_name,
            destinations,
            contacts: raw.contacts,
            hidden: raw.hidden,
            queues,
            agents,
        })
    }
}

fn address(url: &str, tls: &RawTls, user: String, password: &Secret, application: String) -> Result<Address, Failure> {
    let (rest, port, encrypted) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 8088, false),
        (_, Some(rest)) => (rest, 8089, true),
        _ => {
            return Err(wrong("settings: url: must be like \"http://127.0.0.1:8088\" or \"https://pbx.example:8089\""));
        }
    };
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() || authority.contains(['@', '?', '#', ' ']) || prefix.contains(['?', '#', ' ']) {
        return Err(wrong("settings: url: must be like \"http://127.0.0.1:8088\""));
    }
    let authority = with_port(authority, port);
    let prefix = prefix.trim_end_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let tls = encrypted.then(|| tls::client(tls.roots.as_deref())).transpose()?;
    Ok(Address { authority, tls, prefix, user, password: password.reveal().to_owned(), application })
}

fn manager_address(raw: &RawManager, tls: &RawTls) -> Result<manager::Address, Failure> {
    let (authority, port, encrypted) = match (raw.url.strip_prefix("tcp://"), raw.url.strip_prefix("tls://")) {
        (Some(rest), _) => (rest, 5038, false),
        (_, Some(rest)) => (rest, 5039, true),
        _ => ("", 0, false),
    };
    if authority.is_empty() || authority.contains(['@', '/', '?', '#', ' ']) {
        let like = "must be like \"tcp://127.0.0.1:5038\" or \"tls://pbx.example:5039\"";
        return Err(wrong(format!("settings: manager.url: {like}")));
    }
    let tls = encrypted.then(|| tls::client(tls.roots.as_deref())).transpose()?;
    let (user, password) = (raw.user.clone(), raw.password.reveal().to_owned());
    Ok(manager::Address { authority: with_port(authority, port), tls, user, password })
}

/// Host and port; the usual one if none is given.
fn with_port(authority: &str, usual: u16) -> String {
    if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:{usual}")
    }
}

fn checked_queue(name: &str, raw: &RawQueue, wrap_up: Duration) -> Result<Queue, Failure> {
    let own = RawQueue { app_queue: true, mailbox: raw.mailbox.clone(), ..RawQueue::default() };
    if raw.app_queue && *raw != own {
        return Err(wrong(format!("settings: queues.{name}: what a queue of app_queue does stands in queues.conf")));
    }
    if !is_word(name) {
        return Err(wrong(format!("settings: queues: {name:?}: only letters, digits, '-', '_' and '.'")));
    }
    let overflow = match (raw.overflow_seconds, &raw.overflow) {
        (None, None) => None,
        (None, Some(_)) => return Err(wrong(format!("settings: queues.{name}: overflow needs overflow_seconds"))),
        (Some(after), to) => {
            let to = match to.as_deref() {
                None | Some("hangup") => Overflow::HangUp,
                Some(to) => overflow(to).ok_or_else(|| {
                    wrong(format!(
                        "settings: queues.{name}.overflow: \"queue:NAME\", \"dialplan:CONTEXT,EXTENSION,PRIORITY\" or \
                         \"hangup\""
                    ))
                })?,
            };
            Some((Duration::from_secs(after), to))
        }
    };
    if raw.announce_holdtime != AnnounceHoldtime::No && raw.announce_seconds.is_none() {
        return Err(wrong(format!("settings: queues.{name}: announce_holdtime needs announce_seconds")));
    }
    let callback = raw.callback.as_ref().map(|callback| callback.checked(name)).transpose()?;
    if callback.as_ref().is_some_and(|it| it.prompt.is_some()) && raw.announce_seconds.is_none() {
        return Err(wrong(format!("settings: queues.{name}: callback.prompt needs announce_seconds")));
    }
    Ok(Queue {
        callback,
        caller_id: raw.caller_id.clone(),
        priority: raw.priority,
        strategy: raw.strategy,
        max_waiting: raw.max_waiting,
        join_when_empty: raw.join_when_empty.unwrap_or(true),
        leave_when_empty: raw.leave_when_empty,
        announce: raw.announce_seconds.filter(|every| *every > 0).map(Duration::from_secs),
        announce_holdtime: raw.announce_holdtime,
        overflow,
        wrap_up: raw.wrap_up_seconds.map_or(wrap_up, Duration::from_secs),
        service_level: seconds(raw.service_level_seconds, 20),
        app_queue: raw.app_queue,
        mailbox: raw.mailbox.as_deref().map(|text| mailbox(&format!("queues.{name}.mailbox"), text)).transpose()?,
    })
}

fn parking_lot(raw: &RawParking) -> Result<Parking, Failure> {
    let spaces = raw.parkpos.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(first..=last)
    });
    let spaces = spaces.ok_or_else(|| wrong("settings: parking.parkpos: must be like \"601-620\""))?;
    let place = Place { context: raw.context.clone(), extension: raw.parkext.clone(), priority: 1 };
    if !is_word(&place.context) || !is_number(&place.extension) {
        return Err(wrong("settings: parking: context must be a word, parkext an extension"));
    }
    Ok(Parking { place, spaces })
}

fn mailbox(key: &str, text: &str) -> Result<Mailbox, Failure> {
    Mailbox::read(text).ok_or_else(|| wrong(format!("settings: {key}: must be like \"1001@default\"")))
}

fn overflow(text: &str) -> Option<Overflow> {
    if let Some(queue) = text.strip_prefix("queue:") {
        return Some(Overflow::Queue(queue.to_owned()));
    }
    place(text.strip_prefix("dialplan:")?).map(Overflow::Dialplan)
}

fn place(text: &str) -> Option<Place> {
    let mut parts = text.split(',').map(str::trim);
    let (context, extension, priority) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    let whole = parts.next().is_none() && !context.is_empty() && !extension.is_empty();
    whole.then(|| Place { context: context.to_owned(), extension: extension.to_owned(), priority })
}

fn known_agent(raw: RawAgent) -> KnownAgent {
    KnownAgent { password: raw.password, extension: raw.extension, queues: raw.queues, supervisor: raw.supervisor }
}

/// Safe in a path, in a query and in an argument of `Stasis()`.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Whether a text can be the name of a channel variable. Functions (`CDR(userfield)`) cannot: they do things.
pub(crate) fn is_variable(text: &str) -> bool {
    !text.is_empty() && text.len() <= 79 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a text names something that a function of the dialplan sets.
fn is_function(text: &str) -> bool {
    let parts = text.split_once('(').and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?)));
    parts.is_some_and(|(name, of)| is_variable(name) && is_variable(of))
}

/// Whether a text can be the name of an extension. Anything that means something in a dial string cannot.
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+*#-_.".contains(&b))
}

/// Whether a text can be dialled outside: an extension's name that does not begin like a word.
pub(crate) fn is_dialable(text: &str) -> bool {
    is_number(text) && text.starts_with(|first: char| first.is_ascii_digit() || "+*#".contains(first))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Settings for tests: what matters to a test is written over it.
    pub(crate) fn settings(json: serde_json::Value) -> Result<Settings, Failure> {
        let mut all = serde_json::json!({"url": "http://127.0.0.1:8088", "user": "u", "password": "p",
            "dial": "PJSIP/{number}@trunk", "queues": {"sales": {"caller_id": "Sales <5550100>"}, "web": {}}});
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        let json: jackfield_plugin_api::Json = all.into();
        Settings::read(&Tenant::new("acme", jackfield_plugin_api::Settings::new(json)))
    }

    #[test]
    fn defaults_are_those_of_the_readme() {
        let settings = settings(serde_json::json!({})).unwrap();
        assert_eq!(settings.address.application, "jackfield-acme");
        assert_eq!(settings.address.authority, "127.0.0.1:8088");
        assert_eq!(settings.leg, LegMode::Stay);
        assert_eq!(settings.offer_timeout, Duration::from_secs(20));
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (json, named) in [
            (serde_json::json!({"url": "ftp://x"}), "url"),
            (serde_json::json!({"dial": "PJSIP/1"}), "dial"),
            (serde_json::json!({"phone": "1001"}), "phone"),
            (serde_json::json!({"variables": ["CDR(x)"]}), "variables"),
            (serde_json::json!({"call_id": "CHANNEL(userfield"}), "call_id"),
            (serde_json::json!({"call_id": "SHELL(rm -r x)"}), "call_id"),
            (serde_json::json!({"queues": {"a": {"overflow": "queue:b"}}}), "queues.a"),
            (serde_json::json!({"queues": {"a": {"announce_holdtime": "yes"}}}), "announce_holdtime"),
            (serde_json::json!({"queues": {"a": {"overflow_seconds": 1, "overflow": "queue:b"}}}), "queues.a.overflow"),
            (serde_json::json!({"agents": {"x": {"queues": ["none"]}}}), "agents.x.queues"),
            (serde_json::json!({"agents": {"x": {"extension": "PJSIP/1001"}}}), "agents.x.extension"),
            (serde_json::json!({"agents": {"x": {"extension": "1"}, "y": {"extension": "1"}}}), "x.extension"),
            (serde_json::json!({"contacts": {"Help desk": "help"}}), "contacts.Help desk"),
            (serde_json::json!({"manager": {"url": "x:1", "user": "u", "password": "p"}}), "manager.url"),
            (serde_json::json!({"queues": {"a": {"app_queue": true}}}), "queues.a: app_queue needs manager"),
            (serde_json::json!({"queues": {"a": {"app_queue": true, "priority": 1}}}), "queues.conf"),
            (serde_json::json!({"contacts": {"Help desk": "SIP/x&SIP/y"}}), "contacts.Help desk"),
            (serde_json::json!({"mailbox": "1001"}), "mailbox"),
            (serde_json::json!({"mailbox": "{extension}@default"}), "mailbox needs manager"),
            (serde_json::json!({"queues": {"a": {"mailbox": "a b"}}}), "queues.a.mailbox"),
            (serde_json::json!({"parking": {"context": "p", "parkext": "1", "parkpos": "9-2"}}), "parking.parkpos"),
            (
                serde_json::json!({"parking": {"context": "p", "parkext": "1", "parkpos": "1-2"}}),
                "parking needs manager",
            ),
            (
                serde_json::json!({"queues": {"a": {"callback": {"key": "1"}}}}),
                "queues.a: callback needs dial and manager",
            ),
            (serde_json::json!({"queues": {"a": {"callback": {"key": "12"}}}}), "queues.a.callback.key"),
            (serde_json::json!({"queues": {"a": {"callback": {"key": "x"}}}}), "queues.a.callback.key"),
            (
                serde_json::json!({"queues": {"a": {"callback": {"key": "1", "prompt": "sound:x"}}}}),
                "callback.prompt needs announce_seconds",
            ),
            (
                serde_json::json!({"queues": {"a": {"callback": {"key": "1", "confirmation": "x"}}}}),
                "callback.confirmation",
            ),
            (serde_json::json!({"nonsense": 1}), "nonsense"),
        ] {
            let failure = settings(json).err().expect("refused");
            assert!(failure.message.contains(named), "{failure} does not name {named}");
        }
    }

    #[test]
    fn a_prefix_and_a_missing_port_are_understood() {
        let settings = settings(serde_json::json!({"url": "http://pbx.example/asterisk/"})).unwrap();
        assert_eq!(settings.address.authority, "pbx.example:8088");
        assert_eq!(settings.address.prefix, "/asterisk");
    }
}
