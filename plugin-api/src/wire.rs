//! The messages between the host and a plugin: their numbers, and their payloads.
//!
//! A payload is JSON, or the same in the [compact form](crate::compact) where the other side has said that it reads it.
//!
//! Owns: what crosses the boundary, once for both ways of crossing it: the two function calls of the ABI, and the
//! frames of a worker's socket. A message is `(kind, id, payload)`; `id` says whom it is for (a platform, an agent, or
//! nobody) without reading the payload. Must never: change the meaning of a number or drop a member; new members get a
//! default, so that either side may be the older one.
//!
//! Ids are the host's: unique among the platforms and agents of one plugin, never 0, never used again.

use std::{cell::Cell, fmt, io};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    adapter::{Ending, Length, Login, StartOptions, Tenant},
    command::{Command, Outcome},
    compact,
    failure::Failure,
    host::Link,
    report::Report,
};

/// What a message is. The set is open: either side answers a kind that it does not know with [`Status::REFUSED`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub u32);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl Kind {
            $($(#[$doc])* pub const $name: Self = Self($number);)*
        }

        impl fmt::Debug for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => f.write_str(stringify!($name)),)*
                    Self(other) => write!(f, "kind {other}"),
                }
            }
        }
    };
}

kinds! {
    /// Answered by the plugin of its own accord once it is made: the `of` of the first [`Done`].
    LOAD = 1;
    /// [`Connect`]; id: the platform. Answered by [`Done`].
    CONNECT = 2;
    /// No payload; id: the platform. Gives up a connect under way, too. Answered by [`Done`].
    DISCONNECT = 3;
    /// [`LogIn`]; id: the agent. Answered by [`Done`].
    LOG_IN = 4;
    /// [`Start`]; id: the agent. Answered by [`Answer`].
    START = 5;
    /// [`Execute`]; id: the agent. Answered by [`Answer`].
    COMMAND = 6;
    /// [`Request`]; id: the agent. Answered by [`Answer`].
    SNAPSHOT = 7;
    /// [`LogOut`]; id: the agent. Answered by [`Answer`].
    LOG_OUT = 8;
    /// No payload; id: the agent, of which nothing is heard any more.
    DROP_AGENT = 9;
    /// No payload; id: any number. Answered by [`Done`] from the plugin's own runtime.
    PING = 10;
    /// No payload. Every platform is disconnected. Answered by [`Done`]. For a host that ends a plugin at once; this one
    /// disconnects each platform by itself.
    SHUTDOWN = 11;

    /// [`Done`]; id: that of the message.
    DONE = 101;
    /// [`Answer`]; id: the agent.
    ANSWER = 102;
    /// [`Report`]; id: the agent.
    REPORT = 103;
    /// [`Link`](crate::Link); id: the platform or the agent.
    LINK = 104;
    /// [`Resume`]; id: the agent.
    RESUME = 105;
    /// [`Log`]; id: the platform or agent in whose name the code ran, or 0.
    LOG = 106;
    /// [`Metric`]; id: the platform.
    METRIC = 107;
    /// [`Breach`]; id: the platform, the agent, or 0.
    BREACH = 108;
}

/// Whether a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// Taken.
    pub const ACCEPTED: Self = Self(0);
    /// Not now; the same again later.
    pub const FULL: Self = Self(1);
    /// Whom it is for is gone for ever.
    pub const CLOSED: Self = Self(2);
    /// This message will never be taken: an unknown kind, an unreadable payload, too large. A host may take a report or an
    /// answer before it reads it; one that cannot be read is then dropped and counted.
    pub const REFUSED: Self = Self(3);
}

/// The longest payload that either side takes.
pub const MAX_PAYLOAD: usize = 8 << 20;

/// What there is by id. Ids are counted by the host, so nobody can choose them to collide: they need no keyed hash.
pub type ById<V> = FxHashMap<u64, V>;

/// Where messages go: to the host, or to the plugin. Never blocks.
pub trait Outlet: Send + Sync + 'static {
    /// Hands one message over.
    fn emit(&self, kind: Kind, id: u64, payload: &str) -> Status;
}

/// How a payload is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// As JSON, which everybody reads.
    #[default]
    Json,
    /// In the [compact form](crate::compact), for a side that has said that it reads it.
    Compact,
}

/// Why a payload cannot be written or read.
#[derive(Debug)]
pub enum Bad {
    /// As JSON.
    Json(serde_json::Error),
    /// In the compact form.
    Compact(compact::Error),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Compact(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Bad {}

/// A message that can be written.
pub trait Payload: Serialize {
    /// Appends it to a text in the compact form.
    ///
    /// # Errors
    /// It cannot be written in this form.
    fn write_compact(&self, text: &mut String) -> Result<(), compact::Error> {
        compact::write(self, text)
    }
}

/// A message that can be read.
pub trait PayloadOwned: DeserializeOwned {
    /// Reads it from the compact form.
    ///
    /// # Errors
    /// The text is not in this form, or is another message.
    fn read_compact(text: &str) -> Result<Self, compact::Error> {
        compact::read(text)
    }
}

// Those that each command brings have ways of their own to be written and read, in `compact/direct.rs`.
macro_rules! payloads {
    ($($message:ident)+) => {
        $(
            impl Payload for $message {}
            impl PayloadOwned for $message {}
        )+
    };
}
payloads! { Hello Connect LogIn Start Request LogOut Done Link Resume Log Metric Breach }

impl Payload for MetricRef<'_> {}

/// Nothing.
impl Payload for () {}

/// Any message, for whoever only looks on.
impl PayloadOwned for serde_json::Value {}

/// Reads a payload, whichever its form.
///
/// # Errors
/// It is in neither form, or another message.
pub fn read<T: PayloadOwned>(payload: &str) -> Result<T, Bad> {
    if payload.as_bytes().first() == Some(&compact::MARK) {
        T::read_compact(payload).map_err(Bad::Compact)
    } else {
        serde_json::from_str(payload).map_err(Bad::Json)
    }
}

/// Writes a message into a buffer that the thread keeps, and hands the text on: a message costs no allocation.
///
/// # Errors
/// The message cannot be written in this form.
pub fn write<T: Payload + ?Sized, R>(form: Form, message: &T, hand_on: impl FnOnce(&str) -> R) -> Result<R, Bad> {
    thread_local! {
        static BUFFER: Cell<String> = const { Cell::new(String::new()) };
    }
    // Taken out while it is used: whoever gets the text may write a message of its own.
    let mut buffer = BUFFER.take();
    buffer.clear();
    let written = match form {
        Form::Json => serde_json::to_writer(Text(&mut buffer), message).map_err(Bad::Json),
        Form::Compact => message.write_compact(&mut buffer).map_err(Bad::Compact),
    };
    let result = written.map(|()| hand_on(&buffer));
    if buffer.capacity() <= 64 << 10 {
        BUFFER.set(buffer);
    }
    result
}

/// Takes what `serde_json` writes, which is text piece by piece.
struct Text<'a>(&'a mut String);

impl io::Write for Text<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.push_str(std::str::from_utf8(piece).map_err(io::Error::other)?);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the plugin is told when it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The most detailed level of log that the host wants.
    #[serde(default)]
    pub log: Level,
    /// The host reads the [compact form](crate::compact).
    #[serde(default)]
    pub compact: bool,
}

/// How important a line of log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is wrong and was dealt with.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// Connect a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// Which.
    pub tenant: Tenant,
}

/// Log an agent in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogIn {
    /// On which platform.
    pub platform: u64,
    /// Who.
    pub login: Login,
}

/// Begin a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// Names the answer.
    pub request: u64,
    /// What the desktop said.
    pub options: StartOptions,
}

/// Carry out a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execute {
    /// Names the answer.
    pub request: u64,
    /// Which command.
    pub command: Command,
}

/// [`Execute`] as it is written, without a copy of the command.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ExecuteRef<'a> {
    /// Names the answer.
    pub request: u64,
    /// Which command.
    pub command: &'a Command,
}

/// A request that needs no more than its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Names the answer.
    pub request: u64,
}

/// End a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogOut {
    /// Names the answer.
    pub request: u64,
    /// How.
    pub ending: Ending,
}

/// What became of a message that is not a request of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The message's kind.
    pub of: Kind,
    /// `None`: it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Of [`Kind::LOAD`]: the plugin reads the [compact form](crate::compact).
    #[serde(default, skip_serializing_if = "is_false")]
    pub compact: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde wants
fn is_false(value: &bool) -> bool {
    !value
}

/// What became of a request of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request.
    pub request: u64,
    /// What was reported before it: one message for what mostly comes together. Only in the
    /// [compact form](crate::compact), because a host that does not read that does not know this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What became of it.
    pub outcome: Outcome,
}

/// [`Answer`] as it is written, without a copy of its parts.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AnswerRef<'a> {
    /// The request.
    pub request: u64,
    /// What was reported before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<&'a Report>,
    /// What became of it.
    pub outcome: &'a Outcome,
}

/// The longest resume state that the host keeps.
pub const MAX_RESUME_STATE: usize = 64 << 10;

/// The newest resume state. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Bytes of the adapter's own.
    #[serde(with = "hex")]
    pub state: Vec<u8>,
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume").field("state", &Length(self.state.len())).finish()
    }
}

/// One line of log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How important.
    pub level: Level,
    /// Where it was written: a module's path.
    pub target: String,
    /// The line with its fields.
    pub message: String,
    /// How many lines were left out before it because there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde wants
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// One observation of a metric that the manifest declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Values of its labels, in the declared order.
    pub labels: Vec<String>,
    /// What is added, set or observed.
    pub value: f64,
}

/// [`Metric`] as it is written.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MetricRef<'a> {
    /// Its name.
    pub name: &'a str,
    /// Values of its labels, in the declared order.
    pub labels: &'a [&'a str],
    /// What is added, set or observed.
    pub value: f64,
}

/// The adapter did what the contract forbids; what came of it was stopped inside the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// What it did.
    pub what: Wrong,
    /// One sentence for the log.
    pub detail: String,
    /// How often since it was told last.
    #[serde(default = "once")]
    pub times: u64,
}

fn once() -> u64 {
    1
}

/// How an adapter can break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Wrong {
    /// It panicked.
    Panic,
    /// It used a metric that its manifest does not declare.
    UndeclaredMetric,
    /// It raised an event that its manifest does not declare.
    UndeclaredEvent,
    /// It reported so much, so differently, that reports were dropped and a snapshot taken instead.
    ReportsDropped,
    /// Its resume state is too long.
    ResumeTooLong,
    /// A message could not be written or read.
    BadMessage,
    /// Something that a newer plugin knows.
    #[serde(other)]
    Other,
}

/// Bytes as hexadecimal digits: half the length of a JSON array of numbers, and nothing to depend on.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        serializer.serialize_str(&digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
            _ => Err(D::Error::custom("not a text of hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Code, Json};

    fn there_and_back<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    #[test]
    fn values_inside_a_command_keep_their_text() {
        let value = Json::from_text("[2.50, 123456789012345678901234567890]".to_owned()).unwrap();
        let interaction = crate::report::InteractionAt { channel: "c".into(), interaction: "i".into() };
        let command = Command::SetInteractionData { interaction, key: "k".into(), value };
        let sent = serde_json::to_string(&ExecuteRef { request: 7, command: &command }).unwrap();
        let got: Execute = serde_json::from_str(&sent).unwrap();
        assert_eq!((got.request, got.command), (7, command));
    }

    #[test]
    fn every_outcome_survives() {
        for outcome in [
            Outcome::success(),
            Outcome::Success(Some(Json::from_text(r#"{"a":1.0}"#.to_owned()).unwrap())),
            Outcome::NeedInfo(Json::from_text(r#"{"id":"skill"}"#.to_owned()).unwrap()),
            Outcome::Failure(Failure::new(Code::Busy, "busy").context("486")),
        ] {
            let answer = Answer { request: 1, report: None, outcome };
            assert_eq!(there_and_back(&answer), answer);
        }
    }

    #[test]
    fn resume_state_survives_whatever_its_bytes() {
        let resume = Resume { state: (0..=255).collect() };
        assert_eq!(there_and_back(&resume), resume);
        assert!(serde_json::from_str::<Resume>(r#"{"state":"abc"}"#).is_err());
        assert!(serde_json::from_str::<Resume>(r#"{"state":"zz"}"#).is_err());
    }

    #[test]
    fn a_breach_of_a_kind_not_known_yet_is_read() {
        let breach: Breach = serde_json::from_str(r#"{"what":"something_new","detail":"d"}"#).unwrap();
        assert_eq!(breach.what, Wrong::Other);
    }
}
