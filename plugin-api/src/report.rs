//! What an adapter tells the host: how things are.
//!
//! An adapter never says *what happened*. It states how channels, interactions and conversations *are*, under its
//! platform's own keys, several in one [`Report`]; the host compares with what it knew and raises the protocol's
//! events, in the protocol's order. Three conditions make that come out right:
//!
//! - **Statements are whole.** `None` makes no statement. What is stated is stated whole: a channel's
//!   [`status`](Channel::status) says everything about it, an interaction's
//!   [`conversations`](Interaction::conversations) are *all there are*, a conversation's
//!   [`members`](Conversation::members) are *all there are*. Only an interaction's [`data`](Interaction::data) is a
//!   patch: `None` under a key removes it.
//! - **One transition, one report.** A platform tells a transfer in several messages. Keep your own model, and report
//!   when it is at rest; [`AgentHost::report`](crate::AgentHost::report) takes the whole model.
//! - **What ends carries its reason**, see [`Reason`]: `Transferred` and `Failed` decide the focus, `Rejected` the
//!   words. An offer that ends with `Rejected`, `Abandoned` or `Redirected` was never the agent's: nothing pops up, and
//!   nothing is left to complete, whether it is reported as gone or as [`InteractionState::Ended`]. By absence alone a
//!   rejected call comes out as abandoned and a transfer as released; what a snapshot does not name, as lost.
//!
//! The same report again says nothing. An *older* one does: fold late and repeated messages of the platform before
//! you report. Applying a report never fails; what cannot be is left out, counted and logged with the adapter's name.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{json::Json, lists::ListChange, timestamp::Timestamp};

mod group;
mod member;
mod place;
mod supervision;

pub use group::Group;
pub use member::{Member, MemberRole};
pub use place::{ConversationAt, ExtensionEvent, InteractionAt, Key, Target};
pub use supervision::{Supervision, SupervisionMode};

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde wants
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

/// Appends to a list that mostly has one item: the least that a list grows by, room for four, is more than a kilobyte of
/// channels.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(item);
}

/// How things are, in one atomic statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The report is complete: what it does not name is gone. Only when the model is complete (the platform's replay
    /// has finished, every link is up), else live calls would be disposed of.
    #[serde(default, skip_serializing_if = "is_false")]
    pub snapshot: bool,
    /// Channel groups, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Channels, in groups and alone, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// Extension events that the manifest declares; they follow the state changes of this report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<ExtensionEvent>,
    /// What has changed in lists that are watched, see [`lists`](crate::lists). Since 1.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListChange>,
}

impl Report {
    /// A report of changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A complete report: what it does not name is gone.
    #[must_use]
    pub fn snapshot() -> Self {
        Self { snapshot: true, ..Self::default() }
    }

    /// Adds a group.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        push(&mut self.groups, group);
        self
    }

    /// Adds a channel.
    #[must_use]
    pub fn channel(mut self, channel: Channel) -> Self {
        push(&mut self.channels, channel);
        self
    }

    /// Adds an extension event.
    #[must_use]
    pub fn event(mut self, event: ExtensionEvent) -> Self {
        push(&mut self.events, event);
        self
    }

    /// Adds what has changed in a list that is watched.
    #[must_use]
    pub fn list(mut self, change: ListChange) -> Self {
        push(&mut self.lists, change);
        self
    }

    /// Whether the report states nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.snapshot
            && self.groups.is_empty()
            && self.channels.is_empty()
            && self.events.is_empty()
            && self.lists.is_empty()
    }
}

/// The type of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum ChannelType {
    /// Calls. Only these interactions have conversations.
    Telephony,
    /// Chats.
    Chat,
    /// E-mails.
    Email,
}

impl ChannelType {
    /// The name of the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Telephony => "Telephony",
            Self::Chat => "Chat",
            Self::Email => "Email",
        }
    }
}

/// Reads a type; one that only a newer version knows is none.
fn known_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ChannelType>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Known(ChannelType),
        Unknown(#[allow(dead_code)] String),
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(Word::Known(kind)) => Some(kind),
        Some(Word::Unknown(_)) | None => None,
    })
}

/// A channel: a phone, a chat or an e-mail endpoint of this agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Channel {
    /// The platform's key.
    pub key: Key,
    /// Its former key, when the platform has just given it another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Key>,
    /// Nothing is left of it; its interactions end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gone: bool,
    /// The key of its group; `None` for a standalone channel. Read when the channel is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Key>,
    /// Read when the channel is created, which needs it. A type that an older host does not know makes no statement there:
    /// the channel is left out, the rest of the report counts.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none", deserialize_with = "known_type")]
    pub kind: Option<ChannelType>,
    /// The extension, address or station. Read when the channel is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What the desktop shows. Read when the channel is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its state and all that goes with it, as one statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ChannelStatus>,
    /// Since when the state that it is in holds: its state, its availability and their reason. Where an adapter does
    /// not say so, the host takes the moment at which it learns of the state. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Statements about some of its interactions (in a snapshot: about all of them).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<Interaction>,
}

impl Channel {
    /// A statement about a channel that the host knows.
    pub fn new(key: impl Into<Key>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// A channel with all that is needed to create it.
    pub fn create(
        key: impl Into<Key>,
        kind: ChannelType,
        endpoint: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            kind: Some(kind),
            endpoint: Some(endpoint.into()),
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// A channel that is gone.
    pub fn gone(key: impl Into<Key>) -> Self {
        Self { key: key.into(), gone: true, ..Self::default() }
    }

    /// Puts it into a group.
    #[must_use]
    pub fn group(mut self, group: impl Into<Key>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// States its state.
    #[must_use]
    pub fn status(mut self, status: ChannelStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Says since when its state holds.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Adds a statement about an interaction.
    #[must_use]
    pub fn interaction(mut self, interaction: Interaction) -> Self {
        push(&mut self.interactions, interaction);
        self
    }
}

/// A channel's state with all that goes with it. `occupied` is the host's to derive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChannelStatus {
    /// The agent is not logged in on it.
    Inactive,
    /// The agent is logged in on it.
    Active(ChannelInfo),
    /// Someone else is logged in on it, or the endpoint is gone.
    Unavailable,
}

/// What is said of an active channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// `None` is taken for [`Availability::NotReady`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Why the agent is not ready: the platform's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Why the agent is not ready, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_desc: Option<String>,
    /// The queue or queues that the channel takes contacts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What the platform will make of the availability after the current call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

impl ChannelInfo {
    /// Ready for contacts.
    #[must_use]
    pub fn ready() -> Self {
        Self { availability: Some(Availability::Ready), ..Self::default() }
    }

    /// Not ready, with the platform's reason code if it has one.
    #[must_use]
    pub fn not_ready(reason_code: Option<String>, reason_desc: Option<String>) -> Self {
        Self { availability: Some(Availability::NotReady), reason_code, reason_desc, ..Self::default() }
    }

    /// In after-call work.
    #[must_use]
    pub fn acw() -> Self {
        Self { availability: Some(Availability::Acw), ..Self::default() }
    }

    /// Names the queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Adds what will hold after the current call.
    #[must_use]
    pub fn pending(mut self, pending: Pending) -> Self {
        self.pending = Some(pending);
        self
    }
}

/// Whether the agent takes contacts on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Availability {
    /// Takes contacts.
    Ready,
    /// Takes none.
    NotReady,
    /// After-call work.
    Acw,
}

/// An availability that the platform will put into force after the current call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pending {
    /// What it will be.
    pub availability: Availability,
    /// The platform's reason code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_desc: Option<String>,
}

impl Pending {
    /// What will be.
    #[must_use]
    pub fn new(availability: Availability, reason_code: Option<String>, reason_desc: Option<String>) -> Self {
        Self { availability, reason_code, reason_desc }
    }
}

/// An interaction: one customer contact on a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interaction {
    /// The platform's key.
    pub key: Key,
    /// Its former key, when the platform has just given it another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Key>,
    /// Over, and nothing is left for the agent to do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gone: bool,
    /// Read when the interaction is created, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Its state. Of a telephony interaction only [`InteractionState::Ended`] and
    /// [`InteractionState::Completed`] need saying; the others follow from its conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<InteractionState>,
    /// Since when the state that it is in holds: of a call that goes on already, since when it does. Where an adapter
    /// does not say so, the host takes the moment at which it learns of the state. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it failed, with [`Reason::Failed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Whether it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// Read when the interaction is created: the platform does not tell whether it records. The desktop is told nothing
    /// of it until [`recording`](Self::recording) is stated. Else what is not stated is [`Recording::Off`], which a host
    /// of version 1.0 takes it for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recording_unknown: bool,
    /// The disposition that was set. Read when the interaction is created; what is set later the host knows from the
    /// command. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// It lets the agent hear a colleague's call: whose, and how. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervises: Option<Supervision>,
    /// The address that the desktop should open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Call data to set; `None` under a key removes it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Option<Json>>,
    /// All conversations that there are; telephony only. `Some(vec![])`: none is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversations: Option<Vec<Conversation>>,
}

impl Interaction {
    /// A statement about an interaction that the host knows.
    pub fn new(key: impl Into<Key>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// An interaction with what is needed to create it.
    pub fn create(key: impl Into<Key>, direction: Direction) -> Self {
        Self { key: key.into(), direction: Some(direction), ..Self::default() }
    }

    /// Over, and nothing is left for the agent to do.
    pub fn gone(key: impl Into<Key>) -> Self {
        Self { key: key.into(), gone: true, ..Self::default() }
    }

    /// States its state.
    #[must_use]
    pub fn state(mut self, state: InteractionState) -> Self {
        self.state = Some(state);
        self
    }

    /// Says since when its state holds.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// States why it ended.
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// States why it failed.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// States whether it is recorded.
    #[must_use]
    pub fn recording(mut self, recording: Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    /// States that the platform does not tell whether it records.
    #[must_use]
    pub fn recording_unknown(mut self) -> Self {
        self.recording_unknown = true;
        self
    }

    /// States the disposition that was set before.
    #[must_use]
    pub fn disposition(mut self, disposition: impl Into<String>) -> Self {
        self.disposition = Some(disposition.into());
        self
    }

    /// States whose call it lets the agent hear.
    #[must_use]
    pub fn supervises(mut self, supervision: Supervision) -> Self {
        self.supervises = Some(supervision);
        self
    }

    /// Sets one entry of the call data.
    #[must_use]
    pub fn data(mut self, key: impl Into<String>, value: impl Into<Json>) -> Self {
        self.data.insert(key.into(), Some(value.into()));
        self
    }

    /// States one of its conversations; those that are not stated then are over.
    #[must_use]
    pub fn conversation(mut self, conversation: Conversation) -> Self {
        push(self.conversations.get_or_insert_default(), conversation);
        self
    }

    /// States that no conversation is left.
    #[must_use]
    pub fn no_conversations(mut self) -> Self {
        self.conversations = Some(Vec::new());
        self
    }
}

/// Who began an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The customer.
    Inbound,
    /// The agent.
    Outbound,
    /// A colleague.
    Internal,
}

/// The state of an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum InteractionState {
    /// Offered to the agent.
    Alerting,
    /// The agent calls out.
    Dialing,
    /// Going on.
    Started,
    /// Over, with work left for the agent.
    Ended,
    /// Over, with nothing left: the same as `gone`.
    Completed,
}

/// Why an interaction or a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Someone hung up, or the agent was done.
    Released,
    /// The agent did not want it.
    Rejected,
    /// It lives on with someone else.
    Transferred,
    /// The customer gave up before it was taken.
    Abandoned,
    /// It was offered, and not taken in time or offered to someone else.
    Redirected,
    /// The platform has cut it, and neither party wanted that: the agent was logged off by a supervisor, a line was lost.
    /// The host itself says so of what a snapshot no longer names.
    Lost,
    /// It could not be set up; see [`Cause`].
    Failed,
}

/// Why an interaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The called party is busy.
    Busy,
    /// The called party did not answer.
    NoAnswer,
    /// There is no such party, or no way to it.
    Unreachable,
    /// The agent gave up.
    Cancelled,
}

/// Whether an interaction is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Recording {
    /// Not recorded.
    Off,
    /// Being recorded.
    On,
    /// Recording is interrupted.
    Paused,
}

/// A conversation: one call leg of a telephony interaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Conversation {
    /// The platform's key.
    pub key: Key,
    /// Its former key, when the platform has just given it another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Key>,
    /// Read when the conversation is created, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Its state; needed when it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ConversationState>,
    /// Since when the state that it is in holds: since when it rings, talks or is held. Where an adapter does not say
    /// so, the host takes the moment at which it learns of the state. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it ended, with [`ConversationState::Ended`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it failed, with [`Reason::Failed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Whether the agent is muted in it. A muted agent leg mutes every conversation on it: state it in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<bool>,
    /// All parties that there are, without the session's own agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Member>>,
}

impl Conversation {
    /// A conversation in a state.
    pub fn new(key: impl Into<Key>, role: Role, state: ConversationState) -> Self {
        Self { key: key.into(), role: Some(role), state: Some(state), ..Self::default() }
    }

    /// A conversation that is over, and why.
    pub fn ended(key: impl Into<Key>, reason: Reason) -> Self {
        Self { key: key.into(), state: Some(ConversationState::Ended), reason: Some(reason), ..Self::default() }
    }

    /// Says since when its state holds.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// States whether the agent is muted.
    #[must_use]
    pub fn muted(mut self, muted: bool) -> Self {
        self.muted = Some(muted);
        self
    }

    /// States one of its members; those that are not stated then have left.
    #[must_use]
    pub fn member(mut self, member: Member) -> Self {
        push(self.members.get_or_insert_default(), member);
        self
    }

    /// States its former key.
    #[must_use]
    pub fn was(mut self, was: impl Into<Key>) -> Self {
        self.was = Some(was.into());
        self
    }
}

/// What a conversation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The customer's call.
    Primary,
    /// The call for advice beside it.
    Consult,
}

/// The state of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ConversationState {
    /// Rings at the agent.
    Alerting,
    /// Rings at the other party.
    Dialing,
    /// The parties hear each other.
    Talking,
    /// The other party waits.
    Held,
    /// Over.
    Ended,
}
