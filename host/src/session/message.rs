//! One message from a desktop, and what it is answered.
//!
//! Owns: reading the envelope of hostile input, and writing responses. Must never: change a byte of what is echoed
//! (numbers survive, unknown members too), show a password, or recurse on what a desktop sent. Text comes in from a
//! [`Desk`](super::Desk); a [`Request`] goes to the session, a response goes back as text.

use std::{borrow::Cow, fmt, ops::Range};

use hyper::body::Bytes;
use jackfield_plugin_api::{Code, Failure};
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// How deep a message may be nested, itself included.
const MAX_DEPTH: usize = 64;

/// A place in the message's text.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(part: &str, text: &str) -> Self {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        Self { start: index(start), end: index(start + part.len()) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Longer messages are refused before, so the clamp never bites.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// A well-formed message: its text, and where its members are in it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    text: Box<str>,
    command: Span,
    target: Option<Span>,
    data: Option<Span>,
    request_id: Option<Span>,
    /// There is no escape in it: its strings are what they look like.
    plain: bool,
}

/// The answer to what is no well-formed message.
#[derive(Debug)]
pub(super) struct BadMessage {
    /// The response.
    pub(super) response: Bytes,
    /// It could not even be taken apart: not JSON, not an object, too deep.
    pub(super) unparsable: bool,
}

/// What a request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Response<'a> {
    /// Carried out; the request's data are repeated.
    Success,
    /// Carried out, with data of its own: a JSON object.
    SuccessWith(&'a str),
    /// Carried out, without data.
    SuccessBare,
    /// The platform must know more: a JSON object.
    NeedInfo(&'a str),
    /// The agent has to confirm.
    Confirm(&'a str),
    /// Not done.
    Failure(&'a Failure),
}

impl Request {
    /// Reads a message.
    pub(super) fn parse(text: &str) -> Result<Self, Box<BadMessage>> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.len() > u32::MAX as usize {
            return Err(Envelope::default().refuse("", "the message is too long", true));
        }
        let envelope = match serde_json::from_str::<Envelope<'_>>(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                let what = match serde_json::from_str::<IgnoredAny>(text) {
                    Ok(_) => "the message is not a JSON object".to_owned(),
                    Err(_) => format!("the message is not JSON: {error}"),
                };
                return Err(Envelope::default().refuse("", &what, true));
            }
        };
        let plain = !text.contains('\\');
        match flaw(text, plain) {
            Some(Flaw::TooDeep) => return Err(envelope.refuse(text, "the message is nested deeper than 64", true)),
            // Not repeated: the response could not be read either.
            Some(Flaw::HalfPair) => {
                return Err(Envelope::default().refuse("", "the message contains half a surrogate pair", true));
            }
            None => {}
        }
        match envelope.check(plain) {
            Ok(()) => {}
            Err(what) => return Err(envelope.refuse(text, &what, false)),
        }
        let span = |part: Option<&RawValue>| part.map(|part| Span::of(part.get(), text));
        Ok(Self {
            command: span(envelope.command).expect("check requires a command"),
            target: span(envelope.target),
            data: span(envelope.data),
            request_id: span(envelope.request_id),
            text: text.into(),
            plain,
        })
    }

    /// The name of the command.
    pub(super) fn command(&self) -> Cow<'_, str> {
        self.string(self.command).unwrap_or_default()
    }

    /// The target, if there is one.
    pub(super) fn target(&self) -> Option<Cow<'_, str>> {
        self.target.and_then(|span| self.string(span))
    }

    fn string(&self, span: Span) -> Option<Cow<'_, str>> {
        string(&self.text[span.range()], self.plain)
    }

    /// The data, a JSON object.
    pub(super) fn data(&self) -> &str {
        self.data.map_or("{}", |span| &self.text[span.range()])
    }

    fn raw(&self, span: Option<Span>) -> Option<&str> {
        span.map(|span| &self.text[span.range()])
    }

    /// Writes the response to this request.
    pub(super) fn respond(&self, response: Response<'_>) -> Bytes {
        write(
            Echo {
                command: self.raw(Some(self.command)),
                target: self.raw(self.target),
                request_id: self.raw(self.request_id),
            },
            response,
            self.data(),
            || Some(masked(&self.text)),
        )
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

impl<'a> Envelope<'a> {
    /// What is wrong with it.
    fn check(&self, plain: bool) -> Result<(), String> {
        if let Some(name) = self.doubled {
            return Err(format!("{name} stands twice"));
        }
        match self.command {
            None => return Err("command is missing".to_owned()),
            Some(command) if string(command.get(), plain).is_none() => return Err("command is not a string".to_owned()),
            Some(_) => {}
        }
        if self.target.is_some_and(|target| string(target.get(), plain).is_none()) {
            return Err("target is not a string".to_owned());
        }
        if self.data.is_some_and(|data| !data.get().starts_with('{')) {
            return Err("data is not an object".to_owned());
        }
        if self.request_id.is_some_and(|id| !is_request_id(id.get())) {
            return Err("requestId is neither a string nor a number".to_owned());
        }
        Ok(())
    }

    /// The answer to a message that is not well formed: `text` is empty where it is no object.
    fn refuse(&self, text: &str, what: &str, unparsable: bool) -> Box<BadMessage> {
        let string = |part: Option<&'a RawValue>| part.map(RawValue::get).filter(|part| unquoted(part).is_some());
        let failure = Failure::new(Code::BadRequest, what);
        let response = write(
            Echo {
                command: string(self.command),
                target: string(self.target),
                request_id: self.request_id.map(RawValue::get).filter(|id| is_request_id(id)),
            },
            Response::Failure(&failure),
            "{}",
            || (!text.is_empty()).then(|| masked(text)),
        );
        Box::new(BadMessage { response, unparsable })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(Name(name)) = map.next_key()? {
                    let (place, name) = match name.as_ref() {
                        "command" => (&mut envelope.command, "command"),
                        "target" => (&mut envelope.target, "target"),
                        "data" => (&mut envelope.data, "data"),
                        "requestId" => (&mut envelope.request_id, "requestId"),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if place.replace(map.next_value::<&RawValue>()?).is_some() {
                        envelope.doubled.get_or_insert(name);
                    }
                }
                Ok(envelope)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The name of a member, not copied where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text of a JSON string; `None` for other values.
fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    string(raw, !raw.contains('\\'))
}

/// The same of one that is known to have no escapes, or may have some.
fn string(raw: &str, plain: bool) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if plain { Some(Cow::Borrowed(inner)) } else { serde_json::from_str::<String>(raw).ok().map(Cow::Owned) }
}

fn is_request_id(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

/// What makes a JSON text one that is not taken.
enum Flaw {
    TooDeep,
    /// Half a surrogate pair: allowed by JSON's grammar, but no text; many readers choke on it.
    HalfPair,
}

/// Looks through a JSON text, which may be known to have no escapes. Loops, because the text decides how deep it is.
fn flaw(text: &str, plain: bool) -> Option<Flaw> {
    let bytes = text.as_bytes();
    // What nearly all texts are: without an escape, and with fewer brackets altogether than may stand in each other.
    let opened = bytes.iter().filter(|&&byte| byte == b'{' || byte == b'[').count();
    if opened <= MAX_DEPTH && plain {
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

/// The message as it is repeated in `original`: as it was sent, but for the password of prepareSession.
fn masked(text: &str) -> Cow<'_, str> {
    if !text.contains("prepareSession") && !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let top = members(text);
    if !top.iter().any(|(name, value)| name == "command" && unquoted(value).as_deref() == Some("prepareSession")) {
        return Cow::Borrowed(text);
    }
    let mut secrets: Vec<Range<usize>> = Vec::new();
    for data in named(&top, "data") {
        for agent in named(&members(data), "agent") {
            secrets.extend(named(&members(agent), "password").map(|value| Span::of(value, text).range()));
        }
    }
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for secret in secrets {
        masked.push_str(&text[copied..secret.start]);
        masked.push_str("\"***\"");
        copied = secret.end;
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

fn named<'a>(members: &[(Cow<'a, str>, &'a str)], wanted: &str) -> impl Iterator<Item = &'a str> {
    members.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| *value)
}

/// All members of an object as they stand in its text; none for what is no object.
fn members(object: &str) -> Vec<(Cow<'_, str>, &str)> {
    struct All<'a>(Vec<(Cow<'a, str>, &'a str)>);

    impl<'de: 'a, 'a> Deserialize<'de> for All<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Members;

            impl<'de> Visitor<'de> for Members {
                type Value = All<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut all = Vec::new();
                    while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                        all.push((name, value.get()));
                    }
                    Ok(All(all))
                }
            }

            deserializer.deserialize_map(Members)
        }
    }

    serde_json::from_str::<All<'_>>(object).map(|all| all.0).unwrap_or_default()
}

/// The members of a request that every response repeats.
struct Echo<'a> {
    command: Option<&'a str>,
    target: Option<&'a str>,
    request_id: Option<&'a str>,
}

/// Writes a response in one allocation.
fn write<'a>(
    echo: Echo<'_>,
    response: Response<'_>,
    data: &str,
    original: impl FnOnce() -> Option<Cow<'a, str>>,
) -> Bytes {
    let (result, name, body, original) = match response {
        Response::Success => ("success", "data", Cow::Borrowed(data), None),
        Response::SuccessWith(data) => ("success", "data", Cow::Borrowed(data), None),
        Response::SuccessBare => ("success", "", Cow::Borrowed(""), None),
        Response::NeedInfo(info) => ("needinfo", "uiExtension", Cow::Borrowed(info), original()),
        Response::Confirm(message) => ("confirm", "message", Cow::Owned(json(message)), original()),
        Response::Failure(failure) => ("failure", "failure", Cow::Owned(json(failure)), original()),
    };
    let parts = [echo.command, echo.target, echo.request_id, Some(&*body), original.as_deref()];
    let size = 80 + parts.into_iter().flatten().map(str::len).sum::<usize>();
    let mut text = String::with_capacity(size);
    let mut member = |name: &str, value: &str| {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    };
    if let Some(command) = echo.command {
        member("command", command);
    }
    if let Some(target) = echo.target {
        member("target", target);
    }
    member("result", &format_result(result));
    if !name.is_empty() {
        member(name, &body);
    }
    if let Some(original) = &original {
        member("original", original);
    }
    if let Some(id) = echo.request_id {
        member("requestId", id);
    }
    text.push('}');
    Bytes::from(text)
}

fn format_result(result: &str) -> Cow<'static, str> {
    match result {
        "success" => Cow::Borrowed("\"success\""),
        other => Cow::Owned(format!("\"{other}\"")),
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and failures can be written")
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
