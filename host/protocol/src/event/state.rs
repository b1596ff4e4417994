//! What state.updated tells.

use jackfield_plugin_api::{
    Timestamp,
    report::{Availability, ConversationState, InteractionState, Recording, Supervision},
};
use serde::Serialize;

/// The state of an object, with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ObjectState {
    /// The state and what else it tells.
    #[serde(flatten)]
    pub of: StateOf,
    /// Since when it holds; of a group nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The commands that would not fail with `invalid_state` now, where session.start asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<&'static str>>,
}

/// The state of an object by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum StateOf {
    /// Of a group.
    Group {
        /// Whether it has channels.
        state: GroupState,
    },
    /// Of a channel.
    Channel {
        /// Its state.
        state: ChannelState,
        /// Whether the agent takes contacts on it; none where it is not active.
        #[serde(skip_serializing_if = "Option::is_none")]
        availability: Option<Availability>,
    },
    /// Of an interaction.
    Interaction {
        /// Its state.
        state: InteractionState,
        /// How many calls it has; none where there are no calls.
        #[serde(skip_serializing_if = "Option::is_none")]
        calls: Option<Calls>,
        /// Whether it is recorded; only of a call.
        #[serde(skip_serializing_if = "Option::is_none")]
        recording: Option<Recording>,
        /// The disposition that was set.
        #[serde(skip_serializing_if = "Option::is_none")]
        disposition: Option<Box<str>>,
        /// It lets the agent hear a colleague's call: whose, and how.
        #[serde(skip_serializing_if = "Option::is_none")]
        supervises: Option<Box<Supervision>>,
    },
    /// Of a conversation.
    Conversation {
        /// Its state.
        state: ConversationState,
        /// Whether the agent is muted.
        muted: bool,
    },
}

/// Whether a group has channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum GroupState {
    /// It has none.
    Empty,
    /// It has some.
    Populated,
}

/// The state of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ChannelState {
    /// The agent is not logged in on it.
    Inactive,
    /// The agent is logged in on it.
    Active,
    /// Someone else is, or the endpoint is gone.
    Unavailable,
}

/// How many calls an interaction has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Calls {
    /// One with one other party.
    Single,
    /// The original and a consult.
    Consult,
    /// One with several others.
    Conference,
}
