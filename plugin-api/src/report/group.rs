//! Channel groups.

use serde::{Deserialize, Serialize};

use super::{Key, is_false};

/// A channel group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Group {
    /// The platform's key.
    pub key: Key,
    /// Nothing is left of it, nor of its channels.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gone: bool,
    /// What the desktop shows. Read when the group is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Group {
    /// A group that is there.
    pub fn new(key: impl Into<Key>, name: impl Into<String>) -> Self {
        Self { key: key.into(), gone: false, name: Some(name.into()) }
    }

    /// A group that is gone, and its channels with it.
    pub fn gone(key: impl Into<Key>) -> Self {
        Self { key: key.into(), gone: true, name: None }
    }
}
