//! Why a command failed: the protocol's failure codes and what goes with them (protocol, section 7).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A failure code of the protocol. The set is open: a newer host or plugin may know more. A code that this version does
/// not know is read as [`AdapterFailed`](Self::AdapterFailed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// The message, or its data, is malformed.
    BadRequest,
    /// Neither a standard command nor of the form of an extension command.
    UnknownCommand,
    /// No such object in this session.
    NotFound,
    /// The object is not in a state in which this can be done.
    InvalidState,
    /// Not supported by this adapter or this type of channel.
    Unsupported,
    /// The agent's credentials are wrong.
    Unauthorized,
    /// Known, but not allowed.
    Forbidden,
    /// The endpoint or the agent is in use.
    Conflict,
    /// Too many commands are waiting for their answer.
    RateLimited,
    /// A quota of the tenant is used up.
    QuotaExceeded,
    /// The platform refused.
    Rejected,
    /// The destination cannot be reached.
    Unreachable,
    /// The destination is busy.
    Busy,
    /// No answer in time; the outcome is unknown.
    Timeout,
    /// The link to the platform is down.
    LinkDown,
    /// The host is shutting down.
    ShuttingDown,
    /// The host itself is at fault.
    Internal,
    /// The adapter crashed or broke the contract.
    #[serde(other)]
    AdapterFailed,
}

impl Code {
    /// All codes that this version knows.
    pub const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::UnknownCommand,
        Self::NotFound,
        Self::InvalidState,
        Self::Unsupported,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Conflict,
        Self::RateLimited,
        Self::QuotaExceeded,
        Self::Rejected,
        Self::Unreachable,
        Self::Busy,
        Self::Timeout,
        Self::LinkDown,
        Self::ShuttingDown,
        Self::Internal,
        Self::AdapterFailed,
    ];

    /// The code as the protocol writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownCommand => "unknown_command",
            Self::NotFound => "not_found",
            Self::InvalidState => "invalid_state",
            Self::Unsupported => "unsupported",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::LinkDown => "link_down",
            Self::AdapterFailed => "adapter_failed",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed command, as the agent's desktop is told of it. A host cuts texts of more than 1 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Failure {
    /// The protocol's code.
    pub code: Code,
    /// One sentence for the agent or whoever reads the desktop's log.
    pub message: String,
    /// The platform's own code and words, or a chain of causes, for whoever debugs. Never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

impl Failure {
    /// A failure without context.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), context: None }
    }

    /// Adds the platform's own words, or the cause. Never put a secret here: the desktop sees it.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.context {
            Some(context) => write!(f, " ({context})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    #[test]
    fn every_code_survives() {
        // The last one of the enum stands last in the list: none is left out.
        assert_eq!(Code::ALL.len(), Code::AdapterFailed as usize + 1);
        for code in Code::ALL {
            let written = serde_json::to_string(&code).unwrap();
            assert_eq!(written, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<Code>(&written).unwrap(), code);
        }
    }

    #[test]
    fn a_code_not_known_yet_is_read_as_a_failure_of_the_adapter() {
        let failure: Failure = serde_json::from_str(r#"{"code":"bad_weather","message":"words"}"#).unwrap();
        assert_eq!(failure, Failure::new(Code::AdapterFailed, "words"));
    }
}
