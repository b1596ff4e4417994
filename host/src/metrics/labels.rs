//! Labels' values: each one of a closed set.

use jackfield_plugin_api::{Code, command::STANDARD_COMMANDS};

/// A command, as a label: one of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandLabel(u8);

/// The host's own commands, then three for what is no standard command.
pub(super) const OTHER_COMMANDS: &[&str] =
    &["prepareSession", "bindSession", "session.start", "session.request.logout", "extension", "unknown"];

impl CommandLabel {
    /// Any command that an adapter declares.
    pub const EXTENSION: Self = Self::at(4);
    /// A name that nobody knows.
    pub const UNKNOWN: Self = Self::at(5);

    const fn at(other: usize) -> Self {
        Self((STANDARD_COMMANDS.len() + other) as u8)
    }

    /// The label of a standard command or one of the host's own, by its protocol name; everything else is
    /// [`Self::UNKNOWN`].
    #[must_use]
    pub fn of(name: &str) -> Self {
        let all = STANDARD_COMMANDS.iter().chain(&OTHER_COMMANDS[..4]);
        all.zip(0u8..).find_map(|(known, index)| (*known == name).then_some(Self(index))).unwrap_or(Self::UNKNOWN)
    }

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let index = usize::from(self.0);
        STANDARD_COMMANDS.get(index).unwrap_or_else(|| &OTHER_COMMANDS[index - STANDARD_COMMANDS.len()])
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
    /// The platform or the other party said no.
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
