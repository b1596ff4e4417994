//! Labels' values: each one of a closed set.

use jackfield_plugin_api::{Code, command::StandardCommand};
use jackfield_protocol::{command::ProtocolCommand, message::Response};

/// The label value that tenants beyond the cap share. No tenant can have this name.
pub(super) const OVERFLOW: &str = "_other";

/// A command, as a label: one of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandLabel(u8);

/// How many commands of the protocol are the host's own.
const OWN_COMMANDS: usize = 4;
/// The labels of other names: of any command that an adapter declares, and of an unknown name.
const OTHER_COMMANDS: [&str; 2] = ["extension", "unknown"];

impl CommandLabel {
    /// Any command that an adapter declares.
    pub const EXTENSION: Self = Self::at(0);
    /// An unknown name.
    pub const UNKNOWN: Self = Self::at(1);

    const fn at(other: usize) -> Self {
        Self((OWN_COMMANDS + StandardCommand::ALL.len() + other) as u8)
    }

    /// The label of a command of the protocol, by its name or its alias; everything else is [`Self::UNKNOWN`].
    #[must_use]
    pub fn of(name: &str) -> Self {
        ProtocolCommand::from_name(name).map_or(Self::UNKNOWN, Self::from)
    }

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let names = ProtocolCommand::all().map(ProtocolCommand::name).chain(OTHER_COMMANDS);
        names.into_iter().nth(self.0.into()).unwrap_or("unknown")
    }
}

impl From<ProtocolCommand> for CommandLabel {
    fn from(command: ProtocolCommand) -> Self {
        Self(match command {
            ProtocolCommand::PrepareSession => 0,
            ProtocolCommand::BindSession => 1,
            ProtocolCommand::Start => 2,
            ProtocolCommand::Logout => 3,
            ProtocolCommand::Standard(command) => (OWN_COMMANDS + command as usize) as u8,
        })
    }
}

/// What became of a command, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeLabel {
    /// Carried out.
    Success,
    /// The platform must know more.
    NeedInfo,
    /// prepareSession asks back.
    Confirm,
    /// Failed.
    Failure(Code),
}

impl OutcomeLabel {
    /// What a response is counted as.
    #[must_use]
    pub fn of(response: &Response<'_>) -> Self {
        match response {
            Response::Success | Response::SuccessWith(_) | Response::SuccessBare => Self::Success,
            Response::NeedInfo(_) => Self::NeedInfo,
            Response::Confirm(_) => Self::Confirm,
            Response::Failure(failure) => Self::Failure(failure.code),
        }
    }

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NeedInfo => "needinfo",
            Self::Confirm => "confirm",
            Self::Failure(code) => code.as_str(),
        }
    }

    /// The label's value where outcomes are counted by tenant: few, so that tenants may be many.
    #[must_use]
    pub const fn class(self) -> OutcomeClass {
        match self {
            Self::Success | Self::NeedInfo | Self::Confirm => OutcomeClass::Success,
            Self::Failure(Code::RateLimited | Code::QuotaExceeded) => OutcomeClass::Limited,
            Self::Failure(Code::Rejected | Code::Unreachable | Code::Busy) => OutcomeClass::Declined,
            Self::Failure(
                Code::Timeout | Code::LinkDown | Code::AdapterFailed | Code::ShuttingDown | Code::Internal,
            ) => OutcomeClass::Fault,
            // What the desktop asked for could not be.
            Self::Failure(_) => OutcomeClass::Refused,
        }
    }
}

/// What became of a command, in few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeClass {
    /// It was carried out, or asked back.
    Success,
    /// What was asked for could not be: not there, not now, not allowed, not well formed.
    Refused,
    /// A bound of the tenant was reached.
    Limited,
    /// The platform or the other party refused.
    Declined,
    /// The platform, its adapter or the host did not do its part.
    Fault,
}

impl OutcomeClass {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Success, Self::Refused, Self::Limited, Self::Declined, Self::Fault];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Declined => "declined",
            Self::Fault => "fault",
        }
    }
}

/// A limit of a tenant that was reached, as a label: its key in `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitLabel {
    /// A session was refused.
    Sessions,
    /// A connection was refused.
    Connections,
    /// A log-in was refused.
    LoginsPerSecond,
    /// A command was refused.
    CommandsPerSecond,
    /// A connection was not read from for a while; or a command by HTTP was refused.
    ConnectionCommandsPerSecond,
    /// A command was refused.
    CommandsInFlight,
    /// A message was larger; its connection was closed, or its request refused.
    MessageBytes,
    /// A client did not read, and its connection was closed.
    OutboxMessages,
    /// The same, because its queue was longer than its share.
    QueuedBytes,
    /// A command was carried out, but not traced.
    TracedCommandsPerSecond,
}

impl LimitLabel {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Sessions,
        Self::Connections,
        Self::LoginsPerSecond,
        Self::CommandsPerSecond,
        Self::ConnectionCommandsPerSecond,
        Self::CommandsInFlight,
        Self::MessageBytes,
        Self::OutboxMessages,
        Self::QueuedBytes,
        Self::TracedCommandsPerSecond,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Connections => "connections",
            Self::LoginsPerSecond => "logins_per_second",
            Self::CommandsPerSecond => "commands_per_second",
            Self::ConnectionCommandsPerSecond => "connection_commands_per_second",
            Self::CommandsInFlight => "commands_in_flight",
            Self::MessageBytes => "message_bytes",
            Self::OutboxMessages => "outbox_messages",
            Self::QueuedBytes => "queued_bytes",
            Self::TracedCommandsPerSecond => "traced_commands_per_second",
        }
    }
}
