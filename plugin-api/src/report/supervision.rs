//! A supervision: one agent hears another one's call.

use serde::{Deserialize, Serialize};

/// Whose call an interaction lets its agent hear, and how. Since 1.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Supervision {
    /// The colleague, by the name that he logs in with.
    pub agent: String,
    /// How the supervisor takes part.
    pub mode: SupervisionMode,
}

impl Supervision {
    /// The supervision of a colleague.
    pub fn new(agent: impl Into<String>, mode: SupervisionMode) -> Self {
        Self { agent: agent.into(), mode }
    }
}

/// How a supervisor takes part in a colleague's call. Since 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SupervisionMode {
    /// Hears all, and is heard by nobody.
    Listen,
    /// Is heard by the colleague only.
    Whisper,
    /// Is heard by all.
    Barge,
}

impl SupervisionMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Listen, Self::Whisper, Self::Barge];

    /// The word of the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
        }
    }
}
