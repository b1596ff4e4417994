//! One message from a desktop, and what it is answered.
//!
//! Owns: reading the envelope of hostile input, and writing responses. Must never: change a byte of what is echoed
//! (numbers survive, unknown members too), show a password, or recurse on what a desktop sent. Text comes in from a
//! [`ClientConnection`](super::ClientConnection); a [`Request`] goes to the session, a response goes back as text.

use std::{borrow::Cow, ops::Range};

use jackfield_plugin_api::{Code, Failure};
use serde::de::IgnoredAny;

use super::text::Text;
use crate::metrics::OutcomeLabel;

/// How deep a message may be nested, itself included.
const MAX_DEPTH: usize = 64;

// The members that have a meaning, as they are written.
const COMMAND: &str = r#""command":"#;
const TARGET: &str = r#""target":"#;
const DATA: &str = r#""data":"#;
const ORIGINAL: &str = r#""original":"#;
const REQUEST_ID: &str = r#""requestId":"#;

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
    pub(super) response: Text,
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

impl Response<'_> {
    /// What it is counted as.
    pub(super) fn outcome(&self) -> OutcomeLabel {
        match self {
            Self::Success | Self::SuccessWith(_) | Self::SuccessBare => OutcomeLabel::Success,
            Self::NeedInfo(_) => OutcomeLabel::NeedInfo,
            Self::Confirm(_) => OutcomeLabel::Confirm,
            Self::Failure(failure) => OutcomeLabel::Failure(failure.code),
        }
    }
}

impl Request {
    /// Reads a message.
    pub(super) fn parse(text: &str) -> Result<Self, Box<BadMessage>> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.len() > u32::MAX as usize {
            return Err(Envelope::default().refuse("", "the message is too long", true));
        }
        let mut members = Members::of(text);
        let Ok(envelope) = Envelope::read(&mut members) else {
            let what = match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => "the message is not a JSON object".to_owned(),
                Err(error) => format!("the message is not JSON: {error}"),
            };
            return Err(Envelope::default().refuse("", &what, true));
        };
        let plain = members.plain;
        // Nearly no text has an escape, or as many brackets altogether as may stand in each other.
        let flaw = if plain && members.opened <= MAX_DEPTH { None } else { flaw(text) };
        match flaw {
            Some(Flaw::TooDeep) => return Err(envelope.refuse(text, "the message is nested deeper than 64", true)),
            // Neither the message nor a member with one in it is repeated: the response could not be read either.
            Some(Flaw::HalfPair) => {
                return Err(envelope.refuse("", "the message contains half a surrogate pair", true));
            }
            None => {}
        }
        match envelope.check(plain) {
            Ok(()) => {}
            Err(what) => return Err(envelope.refuse(text, &what, false)),
        }
        let span = |part: Option<&str>| part.map(|part| Span::of(part, text));
        Ok(Self {
            command: span(envelope.command).expect("check requires a command"),
            target: span(envelope.target),
            data: span(envelope.data),
            request_id: span(envelope.request_id),
            text: text.into(),
            plain,
        })
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.text.len()
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
    pub(super) fn respond(&self, response: Response<'_>) -> Text {
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
    command: Option<&'a str>,
    target: Option<&'a str>,
    data: Option<&'a str>,
    request_id: Option<&'a str>,
    /// The first member that stands twice.
    doubled: Option<&'static str>,
}

impl<'a> Envelope<'a> {
    fn read(members: &mut Members<'a>) -> Result<Self, NoObject> {
        let mut envelope = Self::default();
        while let Some((name, value)) = members.next()? {
            let (place, name) = match &*name {
                "command" => (&mut envelope.command, "command"),
                "target" => (&mut envelope.target, "target"),
                "data" => (&mut envelope.data, "data"),
                "requestId" => (&mut envelope.request_id, "requestId"),
                _ => continue,
            };
            if place.replace(value).is_some() {
                envelope.doubled.get_or_insert(name);
            }
        }
        Ok(envelope)
    }

    /// What is wrong with it.
    fn check(&self, plain: bool) -> Result<(), String> {
        if let Some(name) = self.doubled {
            return Err(format!("{name} stands twice"));
        }
        match self.command {
            None => return Err("command is missing".to_owned()),
            Some(command) if string(command, plain).is_none() => return Err("command is not a string".to_owned()),
            Some(_) => {}
        }
        if self.target.is_some_and(|target| string(target, plain).is_none()) {
            return Err("target is not a string".to_owned());
        }
        if self.data.is_some_and(|data| !data.starts_with('{')) {
            return Err("data is not an object".to_owned());
        }
        if self.request_id.is_some_and(|id| !is_request_id(id)) {
            return Err("requestId is neither a string nor a number".to_owned());
        }
        Ok(())
    }

    /// The answer to a message that is not well formed: `text` is empty where it is no object.
    #[cold]
    fn refuse(&self, text: &str, what: &str, unparsable: bool) -> Box<BadMessage> {
        let string = |part: Option<&'a str>| part.filter(|part| unquoted(part).is_some());
        let failure = Failure::new(Code::BadRequest, what);
        let response = write(
            Echo {
                command: string(self.command),
                target: string(self.target),
                request_id: self
                    .request_id
                    .filter(|id| is_request_id(id) && (!id.starts_with('"') || unquoted(id).is_some())),
            },
            Response::Failure(&failure),
            "{}",
            || (!text.is_empty()).then(|| masked(text)),
        );
        Box::new(BadMessage { response, unparsable })
    }
}

/// The members of an object, as they stand in its text.
///
/// What is around them is read here, and so are strings without escapes; `serde_json` reads everything else. A message
/// is little more than five strings.
struct Members<'a> {
    text: &'a str,
    /// As far as it is read; 0: nothing is.
    at: usize,
    /// No escape was seen.
    plain: bool,
    /// How many objects and lists were seen at most.
    opened: usize,
}

/// A text is not that of a JSON object.
struct NoObject;

impl<'a> Members<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, at: 0, plain: true, opened: 1 }
    }

    /// The next one; `None` when there is none and the text ends with the object.
    fn next(&mut self) -> Result<Option<(Cow<'a, str>, &'a str)>, NoObject> {
        let is_first = self.at == 0;
        if is_first {
            self.punctuation(b'{')?;
        }
        match self.token() {
            Some(b'}') => {
                self.at += 1;
                return if self.token().is_none() { Ok(None) } else { Err(NoObject) };
            }
            Some(b',') if !is_first => {
                self.at += 1;
                self.token();
            }
            _ if is_first => {}
            _ => return Err(NoObject),
        }
        let name = self.name()?;
        Ok(Some((name, self.value()?)))
    }

    /// The name of a member and its colon.
    fn name(&mut self) -> Result<Cow<'a, str>, NoObject> {
        let rest = &self.text.as_bytes()[self.at..];
        // As nearly every desktop writes those that have a meaning.
        for known in [COMMAND, TARGET, DATA, REQUEST_ID] {
            if rest.starts_with(known.as_bytes()) {
                self.at += known.len();
                return Ok(Cow::Borrowed(&known[1..known.len() - "\":".len()]));
            }
        }
        let (name, plain) = self.string()?;
        let name = string(name, plain).ok_or(NoObject)?;
        self.punctuation(b':')?;
        Ok(name)
    }

    /// Passes over blanks; what comes then.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn punctuation(&mut self, wanted: u8) -> Result<(), NoObject> {
        if self.token() != Some(wanted) {
            return Err(NoObject);
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self) -> Result<&'a str, NoObject> {
        match self.token() {
            Some(b'"') => return Ok(self.string()?.0),
            Some(b'{') if self.text[self.at..].starts_with("{}") => return Ok(self.take(2)),
            Some(b'1'..=b'9') => {
                let digits = self.text.as_bytes()[self.at..].iter();
                let length = digits.take_while(|byte| byte.is_ascii_digit()).count();
                if let Some(b',' | b'}') = self.text.as_bytes().get(self.at + length) {
                    return Ok(self.take(length));
                }
            }
            _ => {}
        }
        self.parsed()
    }

    /// A string with its quotes, and whether it is known to have no escape.
    fn string(&mut self) -> Result<(&'a str, bool), NoObject> {
        let inner = self.text.as_bytes()[self.at..].strip_prefix(b"\"").ok_or(NoObject)?;
        match end_of_plain(inner) {
            Some(end) if inner[end] == b'"' => Ok((self.take(end + 2), true)),
            _ => Ok((self.parsed()?, false)),
        }
    }

    /// As many bytes, which are whole characters.
    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + length];
        self.at += length;
        taken
    }

    /// Any value, as `serde_json` finds it.
    fn parsed(&mut self) -> Result<&'a str, NoObject> {
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        let Some(Ok(_)) = values.next() else { return Err(NoObject) };
        let value = &rest[..values.byte_offset()];
        self.at += value.len();
        self.plain &= !value.contains('\\');
        self.opened += value.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
        Ok(value)
    }
}

/// Where the first byte is that a JSON string cannot have as it is: a quote, a backslash, a control character.
fn end_of_plain(bytes: &[u8]) -> Option<usize> {
    /// The same byte eight times.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // Eight at a time: the highest bit of each byte that is 0 is set, and perhaps of some behind it.
    let zeros = |word: u64| word.wrapping_sub(all(1)) & !word;
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(all(b' ')) & !word;
        let found = (zeros(word ^ all(b'"')) | zeros(word ^ all(b'\\')) | control) & all(0x80);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let last = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '));
    last.map(|at| words.len() * 8 + at)
}

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

/// Looks through a JSON text. Loops, because the text decides how deep it is.
fn flaw(text: &str) -> Option<Flaw> {
    let bytes = text.as_bytes();
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

/// All members of an object; none for what is no object.
fn members(object: &str) -> Vec<(Cow<'_, str>, &str)> {
    let (mut members, mut all) = (Members::of(object), Vec::new());
    loop {
        match members.next() {
            Ok(Some(member)) => all.push(member),
            Ok(None) => return all,
            Err(NoObject) => return Vec::new(),
        }
    }
}

/// The members of a request that every response repeats.
struct Echo<'a> {
    command: Option<&'a str>,
    target: Option<&'a str>,
    request_id: Option<&'a str>,
}

/// Writes a response.
fn write<'a>(
    echo: Echo<'_>,
    response: Response<'_>,
    data: &str,
    original: impl FnOnce() -> Option<Cow<'a, str>>,
) -> Text {
    let (result, body, original) = match response {
        Response::Success => (r#""result":"success","data":"#, Cow::Borrowed(data), None),
        Response::SuccessWith(data) => (r#""result":"success","data":"#, Cow::Borrowed(data), None),
        Response::SuccessBare => (r#""result":"success""#, Cow::Borrowed(""), None),
        Response::NeedInfo(info) => (r#""result":"needinfo","uiExtension":"#, Cow::Borrowed(info), original()),
        Response::Confirm(message) => (r#""result":"confirm","message":"#, Cow::Owned(json(message)), original()),
        Response::Failure(failure) => (r#""result":"failure","failure":"#, Cow::Owned(json(failure)), original()),
    };
    let mut text = Text::with_room(result.len() + body.len());
    text.push(b'{');
    if let Some(command) = echo.command {
        text.push_str(COMMAND);
        text.push_str(command);
        text.push(b',');
    }
    if let Some(target) = echo.target {
        text.push_str(TARGET);
        text.push_str(target);
        text.push(b',');
    }
    text.push_str(result);
    text.push_str(&body);
    if let Some(original) = &original {
        text.push(b',');
        text.push_str(ORIGINAL);
        text.push_str(original);
    }
    if let Some(id) = echo.request_id {
        text.push(b',');
        text.push_str(REQUEST_ID);
        text.push_str(id);
    }
    text.push(b'}');
    text
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and failures can be written")
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
