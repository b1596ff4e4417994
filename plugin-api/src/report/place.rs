//! Objects of a session, named by the platform's keys, and the events of an adapter's own about them.

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// The platform's own name of an object: any text, unique among its siblings in one session (channels: in the whole
/// session, whatever their group).
pub type Key = String;

/// An event of the adapter's own, which its manifest declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExtensionEvent {
    /// The object that it is about.
    pub on: Target,
    /// Its name, as declared.
    pub name: String,
    /// Its data: a JSON object.
    pub data: Json,
}

impl ExtensionEvent {
    /// An event about an object.
    pub fn new(on: Target, name: impl Into<String>, data: impl Into<Json>) -> Self {
        Self { on, name: name.into(), data: data.into() }
    }
}

/// An object of a session, by the platform's keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The session itself.
    Session,
    /// A channel group.
    Group(Key),
    /// A channel, in a group or alone.
    Channel(Key),
    /// An interaction.
    Interaction(InteractionAt),
    /// A conversation.
    Conversation(ConversationAt),
}

/// Where an interaction is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InteractionAt {
    /// The channel's key.
    pub channel: Key,
    /// The interaction's key.
    pub interaction: Key,
}

/// Where a conversation is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConversationAt {
    /// The channel's key.
    pub channel: Key,
    /// The interaction's key.
    pub interaction: Key,
    /// The conversation's key.
    pub conversation: Key,
}
