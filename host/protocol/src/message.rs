//! One message from a desktop, and what it is answered.
//!
//! Owns: reading the envelope of hostile input, and writing responses. Must never: change a byte of what is echoed
//! (numbers survive, unknown members too), show a password, or recurse on what a desktop sent. serde reads and writes
//! the JSON; what is echoed is kept as the text that it came in. Each byte is looked at a fixed number of times.

use std::fmt;

use jackfield_plugin_api::{Code, Failure, Json};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{MAX_DEPTH, command::ProtocolCommand};

/// The longest target that is looked for; no object has a longer path.
const MAX_TARGET: usize = 256;

/// A well-formed message.
#[derive(Debug, Clone)]
pub struct Request(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    command: String,
    target: Option<String>,
    echo: Echo<Box<RawValue>>,
    data: Option<Box<RawValue>>,
    /// All of it, which is JSON.
    text: Box<str>,
}

/// The members of a request that every response repeats, as they were sent.
#[derive(Debug, Clone, Default)]
struct Echo<T> {
    command: Option<T>,
    target: Option<T>,
    request_id: Option<T>,
}

/// The answer to what is no well-formed message.
#[derive(Debug)]
pub struct BadMessage {
    /// The response.
    pub response: String,
    /// It could not even be taken apart: not JSON, not an object, too deep.
    pub unparsable: bool,
}

/// What a request is answered.
#[derive(Debug, Clone, Copy)]
pub enum Response<'a> {
    /// Carried out; the request's data are repeated.
    Success,
    /// Carried out, with data of its own: a JSON object.
    SuccessWith(&'a Json),
    /// Carried out, without data.
    SuccessBare,
    /// The platform must know more: a JSON object.
    NeedInfo(&'a Json),
    /// The agent has to confirm.
    Confirm(&'a str),
    /// Not done.
    Failure(&'a Failure),
}

impl Request {
    /// Reads a message.
    ///
    /// # Errors
    /// The answer to a message that is not well formed.
    pub fn parse(text: &str) -> Result<Self, Box<BadMessage>> {
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| {
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            let what = if is_json {
                "the message is not a JSON object".to_owned()
            } else {
                format!("the message is not JSON: {error}")
            };
            Envelope::default().refuse(None, &what, true)
        })?;
        match flaw(text) {
            Some(Flaw::TooDeep) => {
                let what = format!("the message is nested deeper than {MAX_DEPTH}");
                return Err(envelope.refuse(Some(text), &what, true));
            }
            // Neither the message nor a member with one in it is repeated: the response could not be read either.
            Some(Flaw::HalfPair) => {
                return Err(envelope.refuse(None, "the message contains half a surrogate pair", true));
            }
            None => {}
        }
        let (command, target) = envelope.check().map_err(|what| envelope.refuse(Some(text), &what, false))?;
        let owned = |part: Option<&RawValue>| part.map(ToOwned::to_owned);
        Ok(Self(Box::new(Parts {
            command,
            target,
            echo: Echo {
                command: owned(envelope.command),
                target: owned(envelope.target),
                request_id: owned(envelope.request_id),
            },
            data: owned(envelope.data),
            text: text.into(),
        })))
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.text.len()
    }

    /// The name of the command.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.0.command
    }

    /// The target, if there is one. Of one that is longer than any object's path the beginning, which is no object's.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The data, a JSON object.
    #[must_use]
    pub fn data(&self) -> &str {
        self.0.data.as_deref().map_or("{}", RawValue::get)
    }

    /// The trace that the message says it belongs to: `traceparent` of W3C Trace Context, as it was sent. Reads the message
    /// again, so that it costs only whoever traces.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Traced {
            #[serde(default)]
            traceparent: Option<String>,
        }
        serde_json::from_str::<Traced>(&self.0.text).ok()?.traceparent
    }

    /// Writes the response to this request.
    #[must_use]
    pub fn respond(&self, response: Response<'_>) -> String {
        let echo = Echo {
            command: self.0.echo.command.as_deref(),
            target: self.0.echo.target.as_deref(),
            request_id: self.0.echo.request_id.as_deref(),
        };
        write(echo, response, self.0.data.as_deref(), Some(&self.0.text))
    }
}

/// The members of a message that have a meaning, as they stand in it.
#[derive(Default)]
struct Envelope<'a> {
    command: Option<&'a RawValue>,
    target: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    request_id: Option<&'a RawValue>,
    /// The first member that stands twice.
    doubled: Option<&'static str>,
}

/// The names of those members.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Name {
    Command,
    Target,
    Data,
    RequestId,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(name) = map.next_key()? {
                    let (place, name) = match name {
                        Name::Command => (&mut envelope.command, "command"),
                        Name::Target => (&mut envelope.target, "target"),
                        Name::Data => (&mut envelope.data, "data"),
                        Name::RequestId => (&mut envelope.request_id, "requestId"),
                        Name::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if place.replace(map.next_value()?).is_some() {
                        envelope.doubled.get_or_insert(name);
                    }
                }
                Ok(envelope)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl Envelope<'_> {
    /// The command and the target.
    ///
    /// # Errors
    /// What is wrong with the message.
    fn check(&self) -> Result<(String, Option<String>), String> {
        if let Some(name) = self.doubled {
            return Err(format!("{name} stands twice"));
        }
        let command = self.command.ok_or("command is missing")?;
        let command = text(command).ok_or("command is not a string")?;
        let target = self.target.map(|target| text(target).ok_or("target is not a string")).transpose()?;
        if self.data.is_some_and(|data| !data.get().starts_with('{')) {
            return Err("data is not an object".to_owned());
        }
        if self.request_id.is_some_and(|id| !is_request_id(id)) {
            return Err("requestId is neither a string nor a number".to_owned());
        }
        Ok((command, target.map(cut)))
    }

    /// The answer to a message that is not well formed. `original`: the message, where it can be repeated.
    #[cold]
    fn refuse(&self, original: Option<&str>, what: &str, unparsable: bool) -> Box<BadMessage> {
        let failure = Failure::new(Code::BadRequest, what);
        let echo = Echo {
            command: self.command.filter(|command| text(command).is_some()),
            target: self.target.filter(|target| text(target).is_some()),
            request_id: self.request_id.filter(|id| is_request_id(id)),
        };
        Box::new(BadMessage { response: write(echo, Response::Failure(&failure), None, original), unparsable })
    }
}

/// The text of a JSON string; `None` for other values.
fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn cut(mut target: String) -> String {
    while target.len() > MAX_TARGET {
        let end = (0..=MAX_TARGET).rev().find(|&end| target.is_char_boundary(end)).unwrap_or_default();
        target.truncate(end);
    }
    target
}

fn is_request_id(raw: &RawValue) -> bool {
    raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()) || text(raw).is_some()
}

/// What makes a JSON text one that is not taken.
enum Flaw {
    TooDeep,
    /// Half a surrogate pair: allowed by JSON's grammar, but no text; many readers choke on it.
    HalfPair,
}

/// Looks through a JSON text. Loops, because the text decides how deep it is.
fn flaw(text: &str) -> Option<Flaw> {
    let bytes = text.as_bytes();
    let opens = bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opens <= MAX_DEPTH && !text.contains("\\u") {
        return None;
    }
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut at = 0;
    let mut too_deep = false;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => in_text = !in_text,
            b'\\' => {
                let Some(unit) = utf16_unit(bytes, at - 1) else {
                    at += 1;
                    continue;
                };
                at += 5;
                match unit {
                    0xD800..=0xDBFF if matches!(utf16_unit(bytes, at), Some(0xDC00..=0xDFFF)) => at += 6,
                    0xD800..=0xDFFF => return Some(Flaw::HalfPair),
                    _ => {}
                }
            }
            b'{' | b'[' if !in_text => {
                depth += 1;
                too_deep |= depth > MAX_DEPTH;
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    too_deep.then_some(Flaw::TooDeep)
}

/// The unit that an escape `\uXXXX` at this place stands for.
fn utf16_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The message as it is repeated in `original`: as it was sent, but for the password of prepareSession. `None`: as it is.
fn masked(message: &str) -> Option<Box<RawValue>> {
    let commands = values(message, "command");
    let prepares = |raw: &&RawValue| text(raw).as_deref() == Some(ProtocolCommand::PrepareSession.name());
    commands.iter().find(|raw| prepares(raw))?;
    let agents = values(message, "data").into_iter().flat_map(|data| values(data.get(), "agent"));
    let passwords = agents.flat_map(|agent| values(agent.get(), "password"));
    let mut masked = String::with_capacity(message.len());
    let mut copied = 0;
    for password in passwords {
        let start = password.get().as_ptr() as usize - message.as_ptr() as usize;
        masked.push_str(&message[copied..start]);
        masked.push_str("\"***\"");
        copied = start + password.get().len();
    }
    masked.push_str(&message[copied..]);
    RawValue::from_string(masked).ok()
}

/// The values of all members of an object that have a name, in their order; none of what is no object.
fn values<'a>(object: &'a str, name: &str) -> Vec<&'a RawValue> {
    struct Named<'n>(&'n str);

    impl<'de> Visitor<'de> for Named<'_> {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                if name == self.0 {
                    found.push(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    impl<'de> DeserializeSeed<'de> for Named<'_> {
        type Value = Vec<&'de RawValue>;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    Named(name).deserialize(&mut serde_json::Deserializer::from_str(object)).unwrap_or_default()
}

/// A response as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a RawValue>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ui_extension: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a RawValue>,
}

/// The data of a success.
#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Sent(&'a RawValue),
    Own(&'a Json),
}

/// Writes a response. `data`: the request's, as it was sent. `original`: the request itself, which is JSON.
fn write(echo: Echo<&RawValue>, response: Response<'_>, data: Option<&RawValue>, original: Option<&str>) -> String {
    let nothing: &RawValue = serde_json::from_str("{}").expect("an empty object is JSON");
    let mut written = Written {
        command: echo.command,
        target: echo.target,
        result: "success",
        data: None,
        ui_extension: None,
        message: None,
        failure: None,
        original: None,
        request_id: echo.request_id,
    };
    // What is repeated is most of a response; one that grows is copied each time.
    let mut text = Vec::with_capacity(original.map_or(0, str::len) + 256);
    let repeated = match response {
        Response::Success | Response::SuccessWith(_) | Response::SuccessBare => None,
        Response::NeedInfo(_) | Response::Confirm(_) | Response::Failure(_) => original,
    };
    let hidden = repeated.and_then(masked);
    let original = hidden.as_deref().or(repeated.map(|text| serde_json::from_str(text).expect("it was read before")));
    match response {
        Response::Success => written.data = Some(Data::Sent(data.unwrap_or(nothing))),
        Response::SuccessWith(data) => written.data = Some(Data::Own(data)),
        Response::SuccessBare => {}
        Response::NeedInfo(info) => {
            (written.result, written.ui_extension, written.original) = ("needinfo", Some(info), original);
        }
        Response::Confirm(message) => {
            (written.result, written.message, written.original) = ("confirm", Some(message), original);
        }
        Response::Failure(failure) => {
            (written.result, written.failure, written.original) = ("failure", Some(failure), original);
        }
    }
    serde_json::to_writer(&mut text, &written).expect("texts and JSON can be written");
    String::from_utf8(text).expect("serde_json writes UTF-8")
}

#[cfg(test)]
mod tests;
