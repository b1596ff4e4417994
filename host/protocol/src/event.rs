//! The events of the protocol: their names, and the data of each.
//!
//! Owns: section 5 of `protocol.md` as types. They are serialised once, by the journal, which puts the number in. Must
//! never: say when an event is due or in which order; the model does.

use std::{fmt, sync::Arc};

use jackfield_plugin_api::{
    Json, Timestamp,
    lists::{ListChange, ListDeclaration, ListEntry},
    report::{Availability, Cause, ChannelType, Direction, InteractionState, MemberRole, Reason, Role},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

mod state;

pub use state::{Calls, ChannelState, GroupState, ObjectState, StateOf};

/// An object's id: the letter of its kind and its number, as in `c12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId(pub char, pub u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(8);
        push_numbered(&mut text, self.0, self.1);
        serializer.serialize_str(&text)
    }
}

/// A letter and a number behind it.
fn push_numbered(text: &mut String, letter: char, number: u64) {
    text.push(letter);
    text.push_str(itoa::Buffer::new().format(number));
}

/// Where an object stands in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// The session itself.
    Session,
    /// A group, by its number.
    Group(u64),
    /// A channel: the number of its group if it is in one, and its own.
    Channel(Option<u64>, u64),
    /// An interaction: its channel's numbers, and its own.
    Interaction(Option<u64>, u64, u64),
    /// A conversation: its interaction's numbers, and its own.
    Conversation(Option<u64>, u64, u64, u64),
}

impl Path {
    /// The path below a session's id, as clients write it: `S.g1.c2.i3.v4`.
    #[must_use]
    pub fn below<'s>(&self, session: &'s str) -> TargetPath<'s> {
        TargetPath { session, path: *self }
    }
}

/// A path and the session that it is in: written as the `target` of a message.
#[derive(Debug, Clone, Copy)]
pub struct TargetPath<'s> {
    session: &'s str,
    path: Path,
}

impl TargetPath<'_> {
    /// As text, into a buffer that is emptied before.
    pub fn write_to(self, text: &mut String) {
        let (group, rest) = match self.path {
            Path::Session => (None, [None; 3]),
            Path::Group(group) => (Some(group), [None; 3]),
            Path::Channel(group, channel) => (group, [Some(channel), None, None]),
            Path::Interaction(group, channel, interaction) => (group, [Some(channel), Some(interaction), None]),
            Path::Conversation(group, channel, interaction, conversation) => {
                (group, [Some(channel), Some(interaction), Some(conversation)])
            }
        };
        // Each event has a target; formatting it took a third of the time in which an event is written.
        text.clear();
        text.push_str(self.session);
        for (letter, number) in ['g', 'c', 'i', 'v'].into_iter().zip([group, rest[0], rest[1], rest[2]]) {
            if let Some(number) = number {
                text.push('.');
                push_numbered(text, letter, number);
            }
        }
    }
}

impl fmt::Display for TargetPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

/// The name of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventName {
    /// The snapshot is complete.
    SessionInitialized,
    /// The session has ended without a logout.
    SessionDisposed,
    /// The link to the platform was lost or is back.
    SessionLinkChanged,
    /// A watched list has changed.
    SessionListChanged,
    /// A group is created.
    GroupCreated,
    /// All of a new group was told.
    GroupInitialized,
    /// A group is gone.
    GroupDisposed,
    /// A channel is created.
    ChannelCreated,
    /// A channel's details have changed.
    ChannelInfoChanged,
    /// All of a new channel was told.
    ChannelInitialized,
    /// A channel is gone.
    ChannelDisposed,
    /// An interaction is created.
    InteractionCreated,
    /// A contact is offered, or dialled.
    InteractionPreview,
    /// A contact is the agent's now.
    InteractionScreenPop,
    /// Call data has changed.
    InteractionDataChanged,
    /// Another conversation has the focus.
    InteractionFocusChanged,
    /// All of a new interaction was told.
    InteractionInitialized,
    /// A contact is over.
    InteractionEnded,
    /// Nothing is left to do for a contact.
    InteractionComplete,
    /// An interaction is gone.
    InteractionDisposed,
    /// A conversation is created.
    ConversationCreated,
    /// A party has joined.
    MemberAdded,
    /// A party has left.
    MemberRemoved,
    /// A party is muted or held, or is so no more.
    MemberChanged,
    /// All of a new conversation was told.
    ConversationInitialized,
    /// A conversation is gone.
    ConversationDisposed,
    /// An object's state has changed.
    StateUpdated,
    /// One of the adapter's own.
    Extension(Box<str>),
}

impl EventName {
    /// Those of the protocol itself.
    pub const STANDARD: [Self; 27] = [
        Self::SessionInitialized,
        Self::SessionDisposed,
        Self::SessionLinkChanged,
        Self::SessionListChanged,
        Self::GroupCreated,
        Self::GroupInitialized,
        Self::GroupDisposed,
        Self::ChannelCreated,
        Self::ChannelInfoChanged,
        Self::ChannelInitialized,
        Self::ChannelDisposed,
        Self::InteractionCreated,
        Self::InteractionPreview,
        Self::InteractionScreenPop,
        Self::InteractionDataChanged,
        Self::InteractionFocusChanged,
        Self::InteractionInitialized,
        Self::InteractionEnded,
        Self::InteractionComplete,
        Self::InteractionDisposed,
        Self::ConversationCreated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::MemberChanged,
        Self::ConversationInitialized,
        Self::ConversationDisposed,
        Self::StateUpdated,
    ];

    /// The name as the protocol writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::SessionInitialized => "session.initialized",
            Self::SessionDisposed => "session.disposed",
            Self::SessionLinkChanged => "session.linkchanged",
            Self::SessionListChanged => "session.listchanged",
            Self::GroupCreated => "channelgroup.created",
            Self::GroupInitialized => "channelgroup.initialized",
            Self::GroupDisposed => "channelgroup.disposed",
            Self::ChannelCreated => "channel.created",
            Self::ChannelInfoChanged => "channel.infochanged",
            Self::ChannelInitialized => "channel.initialized",
            Self::ChannelDisposed => "channel.disposed",
            Self::InteractionCreated => "interaction.created",
            Self::InteractionPreview => "interaction.preview",
            Self::InteractionScreenPop => "interaction.screenpop",
            Self::InteractionDataChanged => "interaction.datachanged",
            Self::InteractionFocusChanged => "interaction.focuschanged",
            Self::InteractionInitialized => "interaction.initialized",
            Self::InteractionEnded => "interaction.ended",
            Self::InteractionComplete => "interaction.complete",
            Self::InteractionDisposed => "interaction.disposed",
            Self::ConversationCreated => "conversation.created",
            Self::MemberAdded => "conversation.member.added",
            Self::MemberRemoved => "conversation.member.removed",
            Self::MemberChanged => "conversation.member.changed",
            Self::ConversationInitialized => "conversation.initialized",
            Self::ConversationDisposed => "conversation.disposed",
            Self::StateUpdated => "state.updated",
            Self::Extension(name) => name,
        }
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum EventData {
    /// Nothing more than its name.
    #[cfg_attr(feature = "schema", schemars(title = "Nothing"))]
    Nothing {},
    /// Of session.initialized.
    #[cfg_attr(feature = "schema", schemars(title = "Initialized"))]
    Initialized {
        /// What the session can do.
        #[serde(serialize_with = "shared")]
        #[cfg_attr(feature = "schema", schemars(with = "CapabilityList"))]
        capabilities: Arc<CapabilityList>,
    },
    /// Of session.disposed.
    #[cfg_attr(feature = "schema", schemars(title = "SessionDisposed"))]
    SessionDisposed(DisposedReason),
    /// Of session.linkchanged.
    #[cfg_attr(feature = "schema", schemars(title = "Link"))]
    Link {
        /// Whether it is up.
        link: LinkWord,
        /// Why it is down.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Box<str>>,
    },
    /// Of session.listchanged.
    #[cfg_attr(feature = "schema", schemars(title = "List"))]
    List(Box<ListChange>),
    /// Of channelgroup.created.
    #[cfg_attr(feature = "schema", schemars(title = "Group"))]
    Group {
        /// The group.
        channelgroup: GroupCard,
    },
    /// Of channel.created.
    #[cfg_attr(feature = "schema", schemars(title = "Channel"))]
    Channel {
        /// The channel.
        channel: ChannelCard,
    },
    /// Of channel.infochanged.
    #[cfg_attr(feature = "schema", schemars(title = "Info"))]
    Info {
        /// The details.
        channel: ChannelDetails,
    },
    /// Of interaction.created.
    #[cfg_attr(feature = "schema", schemars(title = "Interaction"))]
    Interaction {
        /// The interaction.
        interaction: InteractionCard,
    },
    /// Of interaction.preview and interaction.screenpop.
    #[cfg_attr(feature = "schema", schemars(title = "Shown"))]
    Shown(Box<Shown>),
    /// Of interaction.datachanged.
    #[cfg_attr(feature = "schema", schemars(title = "Data"))]
    Data {
        /// The entries that were set.
        data: CallEntries,
    },
    /// Of interaction.focuschanged.
    #[cfg_attr(feature = "schema", schemars(title = "Focus"))]
    Focus {
        /// The conversation that has it; none has where calls were transferred away.
        conversation: Option<Reference>,
    },
    /// Of interaction.ended, and of conversation.disposed where nothing else tells why.
    #[cfg_attr(feature = "schema", schemars(title = "End"))]
    End {
        /// Why it ended.
        reason: Reason,
        /// Why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// Of conversation.created.
    #[cfg_attr(feature = "schema", schemars(title = "Conversation"))]
    Conversation {
        /// The conversation.
        conversation: ConversationCard,
    },
    /// Of conversation.member.added, .removed and .changed.
    #[cfg_attr(feature = "schema", schemars(title = "Member"))]
    Member {
        /// The party.
        member: MemberCard,
    },
    /// Of state.updated.
    #[cfg_attr(feature = "schema", schemars(title = "State"))]
    State(ObjectState),
    /// Of an adapter's own event.
    #[cfg_attr(feature = "schema", schemars(title = "Extension"))]
    Extension(Json),
}

fn shared<T: Serialize, S: Serializer>(shared: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    shared.as_ref().serialize(serializer)
}

/// What a session can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CapabilityList {
    /// The names of its commands.
    pub commands: Vec<String>,
    /// The types of channel that it can have.
    pub channel_types: Vec<ChannelType>,
    /// The lists that it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListDeclaration>,
}

/// Why a session ended without a logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "reason", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum DisposedReason {
    /// The agent has a new session.
    Replaced,
    /// Nobody came back in time.
    Expired,
    /// An operator has ended it.
    EndedByOperator,
    /// The tenant is served no more.
    TenantRemoved,
    /// The host ends.
    ShuttingDown {
        /// After how many seconds a log-in is worth a try.
        retry_after: u32,
    },
    /// The adapter cannot go on with it.
    AdapterFailed,
}

impl DisposedReason {
    /// The reason as the protocol writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::EndedByOperator => "ended_by_operator",
            Self::TenantRemoved => "tenant_removed",
            Self::ShuttingDown { .. } => "shutting_down",
            Self::AdapterFailed => "adapter_failed",
        }
    }
}

/// Whether the link to the platform is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LinkWord {
    /// Commands can be carried out.
    Up,
    /// They cannot.
    Down,
}

/// An object by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reference {
    /// The id.
    pub id: ObjectId,
}

/// What never changes of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupCard {
    /// Its id.
    pub id: ObjectId,
    /// What a desktop shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

/// What never changes of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelCard {
    /// Its id.
    pub id: ObjectId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ChannelType,
    /// The extension, address or station.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Box<str>>,
    /// What a desktop shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

/// All details of a channel beside its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelDetails {
    /// Whether the agent takes contacts on it, why not, where from, and what comes after the current call; none of it
    /// where the channel is not active.
    #[serde(flatten)]
    pub info: Option<Details>,
    /// Whether an interaction is alerting, dialing or started.
    pub occupied: bool,
}

/// The details of an active channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Details {
    /// Whether the agent takes contacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Why not, as the platform's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoncode: Option<Box<str>>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasondesc: Option<Box<str>>,
    /// The queue or queues that it takes contacts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Box<str>>,
    /// What will hold after the current call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingDetails>,
}

/// What will hold of a channel after the current call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PendingDetails {
    /// Whether the agent will take contacts.
    pub availability: Availability,
    /// Why not, as the platform's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoncode: Option<Box<str>>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasondesc: Option<Box<str>>,
}

/// What never changes of an interaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InteractionCard {
    /// Its id.
    pub id: ObjectId,
    /// The type of its channel.
    #[serde(rename = "type")]
    pub kind: ChannelType,
    /// Who began it.
    pub direction: Direction,
}

/// An interaction as it is shown to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shown {
    /// The interaction.
    pub interaction: ShownInteraction,
    /// The address that the desktop should open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
}

/// What is shown of an interaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShownInteraction {
    /// What never changes of it.
    #[serde(flatten)]
    pub card: InteractionCard,
    /// Its state.
    pub state: InteractionState,
    /// Its call data.
    pub data: CallEntries,
}

/// Entries of call data, in the order in which they came; `null`: the entry was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct CallEntries(
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, Json>"))]
    pub  Vec<(Box<str>, Option<Json>)>,
);

impl Serialize for CallEntries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// What never changes of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConversationCard {
    /// Its id.
    pub id: ObjectId,
    /// What it is for.
    pub role: Role,
}

/// A party of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberCard {
    /// Its id.
    pub id: ObjectId,
    /// The number or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Box<str>>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Who it is.
    pub role: MemberRole,
    /// The others do not hear it, because one of them wanted that.
    #[serde(skip_serializing_if = "is_false")]
    pub muted: bool,
    /// It waits while the others go on.
    #[serde(skip_serializing_if = "is_false")]
    pub held: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde wants
fn is_false(value: &bool) -> bool {
    !value
}

/// An event, all but its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The object that it is about; of a creation, its parent.
    pub on: Path,
    /// Its name.
    pub name: EventName,
    /// What it tells.
    pub data: EventData,
}

impl Event {
    /// An event that tells nothing more than its name.
    #[must_use]
    pub fn bare(on: Path, name: EventName) -> Self {
        Self { on, name, data: EventData::Nothing {} }
    }

    /// About how many bytes it takes, for whoever must bound many of them.
    #[must_use]
    pub fn weight(&self) -> usize {
        /// An event of the protocol without call data.
        const ORDINARY: usize = 256;
        let entries = |data: &CallEntries| {
            let weight = |(key, value): &(Box<str>, Option<Json>)| {
                key.len() + value.as_ref().map_or(4, |value| value.get().len())
            };
            data.0.iter().map(weight).sum()
        };
        ORDINARY
            + match &self.data {
                EventData::Data { data } => entries(data),
                EventData::Shown(shown) => {
                    entries(&shown.interaction.data) + shown.url.as_ref().map_or(0, |url| url.len())
                }
                EventData::Extension(data) => data.get().len(),
                EventData::List(change) => change.changed.len() * std::mem::size_of::<ListEntry>(),
                _ => 0,
            }
    }

    /// The message of the protocol. `target`: [`Self::on`] below the session's id. `seq`: the event's number. `at`: when it
    /// is told.
    #[must_use]
    pub fn message<'e>(&'e self, target: &'e str, seq: u64, at: Timestamp) -> EventMessage<'e> {
        EventMessage { message_type: "objectEvent", seq, at, target, name: &self.name, data: &self.data }
    }
}

/// An event as it goes to a client.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMessage<'e> {
    message_type: &'static str,
    seq: u64,
    at: Timestamp,
    target: &'e str,
    name: &'e EventName,
    data: &'e EventData,
}
