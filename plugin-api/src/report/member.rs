//! The parties of a conversation.

use serde::{Deserialize, Serialize};

use super::{Key, is_false};

/// A party of a conversation. The session's own agent is not one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// The platform's key.
    pub key: Key,
    /// The number or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who it is.
    pub role: MemberRole,
    /// The others do not hear it, and it was one of them who wanted that. Since 1.1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub muted: bool,
    /// It waits while the others go on. Since 1.1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
}

impl Member {
    /// A party with a number or address.
    pub fn new(key: impl Into<Key>, address: impl Into<String>, role: MemberRole) -> Self {
        Self { key: key.into(), address: Some(address.into()), name: None, role, muted: false, held: false }
    }

    /// Adds the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says whether the others hear it.
    #[must_use]
    pub fn muted(mut self, muted: bool) -> Self {
        self.muted = muted;
        self
    }

    /// Says whether it waits.
    #[must_use]
    pub fn held(mut self, held: bool) -> Self {
        self.held = held;
        self
    }
}

/// Who a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// The customer.
    Customer,
    /// Another agent.
    Agent,
    /// Someone else.
    External,
}
