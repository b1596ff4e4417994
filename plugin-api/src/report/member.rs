//! The parties of a conversation.

use serde::{Deserialize, Serialize};

use super::Key;

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
}

impl Member {
    /// A party with a number or address.
    pub fn new(key: impl Into<Key>, address: impl Into<String>, role: MemberRole) -> Self {
        Self { key: key.into(), address: Some(address.into()), name: None, role }
    }

    /// Adds the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
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
