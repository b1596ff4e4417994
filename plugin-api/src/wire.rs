//! The messages between the host and a plugin: their numbers, and their payloads.
//!
//! A payload is JSON, as serde derives it from the types below; `serde_json` writes and reads all of it.
//!
//! Owns: what crosses the boundary, once for both ways of crossing it: the two function calls of the ABI, and the
//! frames of a worker's socket. A message is `(kind, id, payload)`; `id` says whom it is for (a platform, an agent, or
//! nobody) without reading the payload. Must never: change the meaning of a number or drop a member; new members get a
//! default, so that either side may be the older one.
//!
//! Ids are the host's: unique among the platforms and agents of one plugin, never 0, never used again.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    adapter::{Ending, Length, Login, StartOptions, Tenant},
    command::{Command, Outcome},
    failure::Failure,
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
    /// [`BareRequest`]; id: the agent. Answered by [`Answer`].
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
    /// [`Hello`]: what it says of the log holds from now on. Not answered; a plugin that does not know it logs on as before.
    LOG_LEVEL = 12;

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

/// Where messages go: to the host, or to the plugin. Never blocks.
pub trait MessageSink: Send + Sync + 'static {
    /// Hands one message over.
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status;
}

/// Reads a payload.
///
/// # Errors
/// It is not JSON, or another message.
pub fn read<T: DeserializeOwned>(payload: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(payload)
}

/// What is wrong with a JSON text, without the value that stands in it: that may be a customer's number or a secret, and
/// these words end in a log. A field that nobody knows is named.
#[must_use]
pub fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") || found.starts_with("unknown variant ") => {
            let what = found.split([':', '`']).next().unwrap_or_default().trim_end();
            format!("{what}, expected {expected}")
        }
        _ => text,
    }
}

/// Writes a payload.
///
/// # Errors
/// The message has no JSON form, which the types of this module exclude.
pub fn write<T: Serialize + ?Sized>(message: &T) -> Result<String, serde_json::Error> {
    // Most messages fit: one that grows is copied each time.
    let mut payload = Vec::with_capacity(1024);
    serde_json::to_writer(&mut payload, message)?;
    Ok(String::from_utf8(payload).expect("serde_json writes UTF-8"))
}

/// What the plugin is told when it is made, and when that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The most detailed level of log that the host wants.
    #[serde(default)]
    pub log: Level,
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
pub struct Execute<'a> {
    /// Names the answer.
    pub request: u64,
    /// Which command.
    pub command: Cow<'a, Command>,
}

/// A request that needs no more than its number: a snapshot. Every other request can be read as this, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BareRequest {
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
}

/// What became of a request of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<'a> {
    /// The request.
    pub request: u64,
    /// What was reported right before it: one message for what mostly comes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Cow<'a, Report>>,
    /// What became of it.
    pub outcome: Cow<'a, Outcome>,
}

/// The longest resume state that the host keeps.
pub const MAX_RESUME_STATE: usize = 64 << 10;

/// The newest resume state. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Bytes of the adapter's own.
    #[serde(with = "crate::hex")]
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

/// The adapter did what the contract forbids; what came of it was stopped inside the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// What it did.
    pub what: BreachKind,
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
pub enum BreachKind {
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
    /// It said that it had reported a snapshot, and had not.
    NoSnapshot,
    /// Something that a newer plugin knows.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Json;

    #[test]
    fn values_inside_a_command_keep_their_text() {
        let value = Json::from_text("[2.50, 123456789012345678901234567890]".to_owned()).unwrap();
        let interaction = crate::report::InteractionAt { channel: "c".into(), interaction: "i".into() };
        let command = Command::SetInteractionData { interaction, key: "k".into(), value };
        let sent = write(&Execute { request: 7, command: Cow::Borrowed(&command) }).unwrap();
        let got: Execute<'_> = read(&sent).unwrap();
        assert_eq!((got.request, got.command.into_owned()), (7, command));
    }

    #[test]
    fn a_resume_state_of_any_bytes_is_read_as_it_was_written() {
        let resume = Resume { state: (0..=255).collect() };
        assert_eq!(read::<Resume>(&write(&resume).unwrap()).unwrap(), resume);
        assert!(read::<Resume>(r#"{"state":"abc"}"#).is_err());
        assert!(read::<Resume>(r#"{"state":"zz"}"#).is_err());
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[serde(rename = "kind")]
        _kind: StrictKind,
    }

    #[derive(Debug, Deserialize)]
    enum StrictKind {
        One,
        Other,
    }

    #[test]
    fn what_is_wrong_with_a_message_is_told_without_what_stands_in_it() {
        let wrong = |payload: &str| without_values(&read::<crate::Report>(payload).unwrap_err());
        assert_eq!(wrong(r#"{"channels":"5551234"}"#), "invalid type, expected a sequence at line 1 column 21");
        let wrong = [
            wrong(r#"{"channels":[{"key":5551234}]}"#),
            wrong(r#"{"channels":"5551234, expected 5551234"}"#),
            wrong(r#"{"snapshot":5551234}"#),
        ];
        for wrong in wrong {
            assert!(wrong.contains(", expected ") && !wrong.contains("555"), "{wrong}");
        }
        let unknown = without_values(&read::<Strict>(r#"{"colour":5551234}"#).unwrap_err());
        assert!(unknown.starts_with("unknown field `colour`, ") && !unknown.contains("555"), "{unknown}");
        let unknown = without_values(&read::<Strict>(r#"{"kind":"5551234"}"#).unwrap_err());
        assert!(unknown.starts_with("unknown variant, expected ") && !unknown.contains("555"), "{unknown}");
        let no_json = without_values(&read::<crate::Report>("nothing").unwrap_err());
        assert!(no_json.starts_with("expected ident at line 1"), "{no_json}");
    }

    #[test]
    fn a_breach_of_a_kind_not_known_yet_is_read() {
        let breach: Breach = read(r#"{"what":"something_new","detail":"d"}"#).unwrap();
        assert_eq!(breach.what, BreachKind::Other);
    }
}
