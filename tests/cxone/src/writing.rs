//! How the emulated CXone writes what it says.
//!
//! Owns what changes no fact: types of values, case of names, what is left out or added, how answers are wrapped. The
//! documents write strings and capitals; NICE's own clients take both and more, and so must everybody. Each is a switch.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::request::Answer;

/// The ways to write. The documents' own is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Writing {
    /// Numbers and booleans of events are numbers and booleans.
    pub typed: bool,
    /// Names of an event's members begin with a small letter.
    pub small: bool,
    /// Words for states are in capitals.
    pub loud: bool,
    /// Further events of a contact name only what may change, and empty members are left out.
    pub sparse: bool,
    /// What is empty is `null`.
    pub nulls: bool,
    /// There are members and events that nobody knows.
    pub more: bool,
    /// Each event comes twice.
    pub twice: bool,
    /// Events have no times.
    pub untimed: bool,
    /// Answers to questions stand in a `resultSet`.
    pub wrapped: bool,
    /// Numbers and booleans of answers to questions are strings.
    pub quoted: bool,
    /// What is accepted is answered with 200 and an empty object, and what is refused for a state with 400.
    pub plain: bool,
    /// Addresses end in a slash, and the API's has its whole path.
    pub slashes: bool,
    /// The next page is known by its link alone, which has a token in place of a number.
    pub tokens: bool,
}

/// Members that tell an event's contact from others, or what has become of it: a further event has no more.
const CHANGING: [&str; 8] = [
    "Type",
    "ContactID",
    "Status",
    "FinalState",
    "LastStateChangeTimeUTC",
    "DisconnectCode",
    "IsLogging",
    "CustomData",
];

impl Writing {
    /// All ways alone, each with its name.
    #[must_use]
    pub fn each() -> Vec<(&'static str, Self)> {
        let none = Self::default();
        vec![
            ("typed", Self { typed: true, ..none }),
            ("small", Self { small: true, ..none }),
            ("loud", Self { loud: true, ..none }),
            ("sparse", Self { sparse: true, ..none }),
            ("nulls", Self { nulls: true, ..none }),
            ("more", Self { more: true, ..none }),
            ("twice", Self { twice: true, ..none }),
            ("untimed", Self { untimed: true, ..none }),
            ("wrapped", Self { wrapped: true, ..none }),
            ("quoted", Self { quoted: true, ..none }),
            ("plain", Self { plain: true, ..none }),
            ("slashes", Self { slashes: true, ..none }),
            ("tokens", Self { tokens: true, ..none }),
        ]
    }

    /// All of them at once.
    #[must_use]
    pub fn all() -> Self {
        Self {
            typed: true,
            small: true,
            loud: true,
            sparse: true,
            nulls: true,
            more: true,
            twice: true,
            untimed: true,
            wrapped: true,
            quoted: true,
            plain: true,
            slashes: true,
            tokens: true,
        }
    }

    /// Some of them, by the bits of a number.
    #[must_use]
    pub fn some(bits: u64) -> Self {
        let is = |bit: u32| bits >> bit & 1 == 1;
        Self {
            typed: is(0),
            small: is(1),
            loud: is(2),
            sparse: is(3),
            nulls: is(4),
            more: is(5),
            twice: is(6),
            untimed: is(7),
            wrapped: is(8),
            quoted: is(9),
            plain: is(10),
            slashes: is(11),
            tokens: is(12),
        }
    }

    /// A further event of a contact that was told of before.
    pub(crate) fn further(self, event: &mut Value) {
        if let (true, Some(members)) = (self.sparse, event.as_object_mut()) {
            members.retain(|name, _| CHANGING.contains(&name.as_str()));
        }
    }

    /// The batch of a poll.
    pub(crate) fn events(self, events: Vec<Value>) -> Vec<Value> {
        let times = if self.twice { 2 } else { 1 };
        let mut written: Vec<Value> = Vec::new();
        if self.more {
            let leg = json!({"Type": "CallContactEvent", "ContactID": "69999999", "CallType": "AgentLeg", "Status": "Active"});
            let news = [json!({"Type": "HoursOfOperation", "ShowContinueReskill": "False"}), leg];
            written.extend(news.into_iter().map(|event| self.event(event)));
        }
        for event in events {
            written.extend(std::iter::repeat_n(self.event(event), times));
        }
        if self.more {
            written.push(self.event(json!({"Type": "CustomEvent", "eventName": "", "data": "{}"})));
        }
        written
    }

    fn event(self, event: Value) -> Value {
        let Value::Object(mut members) = event else { return event };
        if self.untimed {
            members.retain(|name, _| !name.ends_with("TimeUTC"));
        }
        if self.sparse {
            members.retain(|_, value| value != "");
        }
        for (name, value) in &mut members {
            self.member(name, value);
        }
        if self.more {
            members.insert("Entity".to_owned(), json!({"Id": ["1"], "Status": "Active"}));
            members.insert("EntityMode".to_owned(), Value::Null);
        }
        if self.small {
            let small = |name: String| {
                let mut letters = name.chars();
                letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect::<String>()
            };
            members = members.into_iter().map(|(name, value)| (small(name), value)).collect::<Map<_, _>>();
        }
        Value::Object(members)
    }

    fn member(self, name: &str, value: &mut Value) {
        if let Value::Array(inner) = value {
            inner.iter_mut().for_each(|one| *one = self.event(one.take()));
        }
        if self.nulls && (*value == "" || value.as_array().is_some_and(Vec::is_empty)) {
            *value = Value::Null;
        }
        let Some(text) = value.as_str().map(str::to_owned) else { return };
        if self.loud && ["Status", "CallType", "CurrentState", "State"].contains(&name) {
            *value = json!(text.to_uppercase());
        }
        // What is a telephone number to people is a text.
        let numbers = ["ID", "Id", "No", "Skill", "Timeout"];
        match text.as_str() {
            "True" | "False" if self.typed => *value = json!(text == "True"),
            _ if self.typed && numbers.iter().any(|end| name.ends_with(end)) => {
                if let Ok(number) = text.parse::<u64>() {
                    *value = json!(number);
                }
            }
            _ => {}
        }
    }

    /// The answer to a call.
    pub(crate) fn answer(self, mut answer: Answer, question: bool) -> Answer {
        if question && answer.status == 200 {
            if self.quoted {
                quote(&mut answer.body);
            }
            if self.wrapped && answer.body["resultSet"].is_null() {
                answer.body = json!({"resultSet": answer.body});
            }
        }
        if self.plain {
            match answer.status {
                202 => {
                    answer.status = 200;
                    if answer.body.is_null() {
                        answer.body = json!({});
                    }
                }
                409 => answer.status = 400,
                _ => {}
            }
        }
        answer
    }

    /// An address as discovery tells it.
    pub(crate) fn address(self, base: &str) -> String {
        if self.slashes { format!("{base}/inContactAPI/") } else { base.to_owned() }
    }
}

fn quote(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(quote),
        Value::Object(members) => members.values_mut().for_each(quote),
        Value::Number(number) => *value = json!(number.to_string()),
        Value::Bool(truth) => *value = json!(if *truth { "True" } else { "False" }),
        Value::String(_) | Value::Null => {}
    }
}
