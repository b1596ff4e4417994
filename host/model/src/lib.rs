//! The objects of one session: what the host knows, and what every event is a difference of.
//!
//! Owns channels, interactions and conversations with their ids and their platform's keys. A
//! [report](jackfield_plugin_api::Report) comes in from the adapter, the [`Event`]s that say what changed go out to the
//! journal. Must never: fail on a report, wait, know a socket, a clock or a platform.
//!
//! ```text
//! lib.rs          the objects, and finding them by a desktop's target
//! apply.rs        what a report makes of the groups and channels
//! context.rs      what is needed while it is applied
//! statements.rs   which statement is about which object
//! status.rs       a channel's status as it is kept
//! plan.rs         what a report makes of one interaction
//! order.rs        in which order the events of one interaction come
//! emit.rs         the events of each object
//! snapshot.rs     the whole tree for a client that begins or comes back
//! rules.rs        which commands an object is in a state for
//! call_data.rs    the call data of an interaction
//! keys.rs         keys and where they stand in a list
//! limits.rs       how much a session may hold
//! diagnostics.rs  why something in a report was left out
//! ```

mod apply;
mod call_data;
mod context;
mod diagnostics;
mod emit;
mod keys;
pub mod limits;
mod order;
mod plan;
pub mod rules;
mod snapshot;
mod statements;
mod status;

use std::{collections::HashSet, sync::Arc};

use jackfield_plugin_api::{
    Json, Link, Manifest, Timestamp,
    command::ObjectKind,
    report::{
        Availability, ChannelStatus, ChannelType, ConversationAt, ConversationState, Direction, InteractionAt,
        InteractionState, MemberRole, Recording, Role, Supervision, Target,
    },
};
use jackfield_protocol::event::{CapabilityList, Event, Path};

use self::rules::Actions;
pub use self::{
    call_data::CallData,
    diagnostics::{Diagnostic, DiagnosticKind, Diagnostics},
};

/// What the sessions of one adapter can do: from its manifest, shared by all of them.
#[derive(Debug)]
pub struct Capabilities {
    /// The list that a desktop gets.
    list: Arc<CapabilityList>,
    /// The standard commands.
    standard: Actions,
    /// The names of the extension events that are declared.
    events: HashSet<String>,
    /// The keys of call data that are the platform's own.
    own_data: HashSet<String>,
}

impl Capabilities {
    /// What a manifest declares.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let extensions = manifest.extension_commands.iter().map(|command| &command.name);
        let logout = jackfield_protocol::command::ProtocolCommand::Logout.name().to_owned();
        let standard = manifest.standard_commands().map(|command| command.name().to_owned());
        let commands = standard.chain([logout]).chain(extensions.cloned()).collect();
        let (channel_types, lists) = (manifest.channel_types.clone(), manifest.lists.clone());
        Self {
            list: Arc::new(CapabilityList { commands, channel_types, lists }),
            standard: manifest.standard_commands().collect(),
            events: manifest.extension_events.iter().map(|event| event.name.clone()).collect(),
            own_data: manifest.own_data.iter().cloned().collect(),
        }
    }

    /// The types of channel that there can be.
    pub(crate) fn channel_types(&self) -> &[ChannelType] {
        &self.list.channel_types
    }
}

/// All that one session knows of its agent's work.
#[derive(Debug)]
pub struct Tree {
    session: Box<str>,
    capabilities: Arc<Capabilities>,
    /// Whether the desktop asked for `actions`.
    actions: bool,
    /// The first snapshot was applied.
    started: bool,
    /// Ids are never used again.
    next_id: u64,
    /// Why the link is down, if it is.
    down: Option<Box<str>>,
    /// In order of creation.
    groups: Vec<GroupNode>,
    /// In order of creation, those of a group at the group's place.
    channels: Vec<ChannelNode>,
    /// Extension events that came before the first snapshot; they are emitted behind it.
    early: Vec<Event>,
}

/// A channel group.
#[derive(Debug)]
pub struct GroupNode {
    /// Its number; the id is `g` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// What the desktop shows.
    pub name: Option<Box<str>>,
    /// Whether it has channels, as it was last emitted.
    pub populated: bool,
}

/// A channel.
#[derive(Debug)]
pub struct ChannelNode {
    /// Its number; the id is `c` and this.
    pub id: u64,
    /// The number of its group.
    pub group: Option<u64>,
    /// The platform's key.
    pub key: Box<str>,
    /// Its type.
    pub kind: ChannelType,
    /// The extension, address or station.
    pub endpoint: Option<Box<str>>,
    /// What the desktop shows.
    pub name: Option<Box<str>>,
    /// Its state with all that goes with it; an active one always has an availability.
    pub status: ChannelStatus,
    /// Since when its state, its availability and their reason hold.
    pub since: Timestamp,
    /// An interaction is alerting, dialing or started.
    pub occupied: bool,
    /// In order of creation.
    pub interactions: Vec<InteractionNode>,
    emitted_actions: Actions,
    /// Its new key was known already: this one is gone.
    vanished: bool,
}

/// An interaction.
#[derive(Debug)]
pub struct InteractionNode {
    /// Its number; the id is `i` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// Who began it.
    pub direction: Direction,
    /// Its state.
    pub state: InteractionState,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is recorded.
    pub recording: Option<Recording>,
    /// The disposition that was set.
    pub disposition: Option<Box<str>>,
    /// It lets the agent hear a colleague's call: whose, and how.
    pub supervises: Option<Box<Supervision>>,
    /// The address that the desktop should open.
    pub url: Option<Box<str>>,
    /// The call data.
    pub data: CallData,
    /// One or two: the primary first.
    pub conversations: Vec<ConversationNode>,
    /// The number of the conversation that has the focus.
    pub focus: Option<u64>,
    emitted_actions: Actions,
    vanished: bool,
}

/// A conversation.
#[derive(Debug)]
pub struct ConversationNode {
    /// Its number; the id is `v` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// What it is for.
    pub role: Role,
    /// Its state, never `Ended`.
    pub state: ConversationState,
    /// Since when.
    pub since: Timestamp,
    /// Whether the agent is muted in it.
    pub muted: bool,
    /// The other parties.
    pub members: Vec<MemberNode>,
    emitted_actions: Actions,
}

/// A party of a conversation.
#[derive(Debug)]
pub struct MemberNode {
    /// Its number; the id is `m` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// The number or address.
    pub address: Option<Box<str>>,
    /// The name.
    pub name: Option<Box<str>>,
    /// Who it is.
    pub role: MemberRole,
    /// The others do not hear it.
    pub muted: bool,
    /// It waits while the others go on.
    pub held: bool,
}

impl ChannelNode {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> Path {
        Path::Channel(self.group, self.id)
    }

    /// Where it stands among the channels: a group's channels stand at the group's place.
    fn place(&self) -> (u64, u64) {
        (self.group.unwrap_or(self.id), self.id)
    }

    /// Whether the agent is logged in on it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.status, ChannelStatus::Active(_))
    }

    /// Whether the agent takes contacts on it; `None` when it is not active.
    #[must_use]
    pub fn availability(&self) -> Option<Availability> {
        match &self.status {
            ChannelStatus::Active(info) => info.availability,
            _ => None,
        }
    }
}

impl InteractionNode {
    /// Whether it keeps its channel occupied.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        is_busy(self.state)
    }

    /// The customer's call.
    #[must_use]
    pub fn primary(&self) -> Option<&ConversationNode> {
        self.conversations.iter().find(|conversation| conversation.role == Role::Primary)
    }

    /// The call for advice.
    #[must_use]
    pub fn consult(&self) -> Option<&ConversationNode> {
        self.conversations.iter().find(|conversation| conversation.role == Role::Consult)
    }
}

impl ConversationNode {
    /// Whether it is talking or held.
    #[must_use]
    pub fn is_live(&self) -> bool {
        is_live(self.state)
    }
}

fn is_busy(state: InteractionState) -> bool {
    state < InteractionState::Ended
}

fn is_live(state: ConversationState) -> bool {
    matches!(state, ConversationState::Talking | ConversationState::Held)
}

/// One object of the tree, with its parents.
#[derive(Debug, Clone, Copy)]
pub enum Object<'a> {
    /// The session.
    Session,
    /// A group.
    Group(&'a GroupNode),
    /// A channel.
    Channel(&'a ChannelNode),
    /// An interaction and its channel.
    Interaction(&'a ChannelNode, &'a InteractionNode),
    /// A conversation, its interaction and its channel.
    Conversation(&'a ChannelNode, &'a InteractionNode, &'a ConversationNode),
}

impl<'a> Object<'a> {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Session => ObjectKind::Session,
            Self::Group(_) => ObjectKind::ChannelGroup,
            Self::Channel(_) => ObjectKind::Channel,
            Self::Interaction(..) => ObjectKind::Interaction,
            Self::Conversation(..) => ObjectKind::Conversation,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> Path {
        match self {
            Self::Session => Path::Session,
            Self::Group(group) => Path::Group(group.id),
            Self::Channel(channel) => channel.path(),
            Self::Interaction(channel, interaction) => Path::Interaction(channel.group, channel.id, interaction.id),
            Self::Conversation(channel, interaction, conversation) => {
                Path::Conversation(channel.group, channel.id, interaction.id, conversation.id)
            }
        }
    }

    /// The channel that it is or belongs to.
    #[must_use]
    pub fn channel(&self) -> Option<&'a ChannelNode> {
        match *self {
            Self::Session | Self::Group(_) => None,
            Self::Channel(channel) | Self::Interaction(channel, _) | Self::Conversation(channel, ..) => Some(channel),
        }
    }

    /// The object by the platform's keys, as the adapter knows it.
    #[must_use]
    pub fn keys(&self) -> Target {
        match self {
            Self::Session => Target::Session,
            Self::Group(group) => Target::Group(group.key.clone().into()),
            Self::Channel(channel) => Target::Channel(channel.key.clone().into()),
            Self::Interaction(channel, interaction) => Target::Interaction(InteractionAt {
                channel: channel.key.clone().into(),
                interaction: interaction.key.clone().into(),
            }),
            Self::Conversation(channel, interaction, conversation) => Target::Conversation(ConversationAt {
                channel: channel.key.clone().into(),
                interaction: interaction.key.clone().into(),
                conversation: conversation.key.clone().into(),
            }),
        }
    }
}

impl Tree {
    /// An empty tree. `actions`: the desktop asked for the commands that an object is in a state for.
    #[must_use]
    pub fn new(session: &str, capabilities: Arc<Capabilities>, actions: bool) -> Self {
        Self {
            session: session.into(),
            capabilities,
            actions,
            started: false,
            next_id: 1,
            down: None,
            groups: Vec::new(),
            channels: Vec::new(),
            early: Vec::new(),
        }
    }

    /// Sets what another version of the adapter can do. What that changes is emitted with the next report.
    pub fn set_capabilities(&mut self, capabilities: &Arc<Capabilities>) {
        self.capabilities = Arc::clone(capabilities);
    }

    /// Whether the first snapshot was applied. Events are emitted from then on.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// The groups, in order of creation.
    #[must_use]
    pub fn groups(&self) -> &[GroupNode] {
        &self.groups
    }

    /// The channels, in order of creation; those of a group stand at the group's place.
    #[must_use]
    pub fn channels(&self) -> &[ChannelNode] {
        &self.channels
    }

    /// The channels of a group, in order of creation.
    pub fn channels_of(&self, group: u64) -> impl Iterator<Item = &ChannelNode> {
        self.channels.iter().filter(move |channel| channel.group == Some(group))
    }

    /// Why a desktop may not place another call on this channel.
    #[must_use]
    pub fn no_room_for_a_call(&self, channel: &ChannelNode) -> Option<String> {
        let live = |channel: &ChannelNode| channel.interactions.iter().filter(|one| one.is_busy()).count();
        if live(channel) >= limits::LIVE.command {
            return Some(format!("the channel has {} live interactions", limits::LIVE.command));
        }
        let all: usize = self.channels.iter().map(live).sum();
        (all >= limits::LIVE_IN_SESSION.command)
            .then(|| format!("the session has {} live interactions", limits::LIVE_IN_SESSION.command))
    }

    /// Whether an entry of call data is the platform's own, which a desktop may not set.
    #[must_use]
    pub fn is_own_data(&self, key: &str) -> bool {
        self.capabilities.own_data.contains(key)
    }

    /// Why a desktop may not set an entry of an interaction's call data.
    #[must_use]
    pub fn no_room_for_data(&self, interaction: &InteractionNode, key: &str, value: &Json) -> Option<String> {
        let after = interaction.data.weight_with(key, value);
        if after <= interaction.data.weight() {
            return None;
        }
        if after > limits::DATA.command {
            return Some(format!("the interaction's data would be more than {} bytes", limits::DATA.command));
        }
        let all = self.channels.iter().flat_map(|channel| &channel.interactions).map(|one| one.data.weight());
        (all.sum::<usize>() + after - interaction.data.weight() > limits::DATA_IN_SESSION.command)
            .then(|| format!("the session's data would be more than {} bytes", limits::DATA_IN_SESSION.command))
    }

    /// Whether a conversation lives in this session.
    #[must_use]
    pub fn has_live_calls(&self) -> bool {
        self.channels.iter().flat_map(|channel| &channel.interactions).any(|i| !i.conversations.is_empty())
    }

    /// All objects with their paths, parents first.
    #[must_use]
    pub fn objects(&self) -> Vec<(Path, Object<'_>)> {
        let mut all = vec![Object::Session];
        all.extend(self.groups.iter().map(Object::Group));
        for channel in &self.channels {
            all.push(Object::Channel(channel));
            for interaction in &channel.interactions {
                all.push(Object::Interaction(channel, interaction));
                let calls = interaction.conversations.iter();
                all.extend(calls.map(|conversation| Object::Conversation(channel, interaction, conversation)));
            }
        }
        all.into_iter().map(|object| (object.path(), object)).collect()
    }

    /// The object that a desktop's target names, if it is there now.
    #[must_use]
    pub fn find(&self, target: &str) -> Option<Object<'_>> {
        self.at(self.parse(target)?)
    }

    /// The object at a path, if it is there now.
    #[must_use]
    pub fn at(&self, path: Path) -> Option<Object<'_>> {
        let (group, channel) = match path {
            Path::Session => return Some(Object::Session),
            Path::Group(id) => return self.groups.iter().find(|group| group.id == id).map(Object::Group),
            Path::Channel(group, channel)
            | Path::Interaction(group, channel, _)
            | Path::Conversation(group, channel, ..) => (group, channel),
        };
        let channel = self.channels.iter().find(|one| one.id == channel && one.group == group)?;
        let (Path::Interaction(_, _, id) | Path::Conversation(_, _, id, _)) = path else {
            return Some(Object::Channel(channel));
        };
        let interaction = channel.interactions.iter().find(|one| one.id == id)?;
        let Path::Conversation(.., id) = path else { return Some(Object::Interaction(channel, interaction)) };
        let conversation = interaction.conversations.iter().find(|one| one.id == id)?;
        Some(Object::Conversation(channel, interaction, conversation))
    }

    /// The path that a target spells, if it is one of this session.
    fn parse(&self, target: &str) -> Option<Path> {
        let mut rest = target.as_bytes().strip_prefix(self.session.as_bytes())?;
        if rest.is_empty() {
            return Some(Path::Session);
        }
        let mut group = None;
        if let [b'.', b'g', ..] = rest {
            let id = step(&mut rest, b'g')?;
            if rest.is_empty() {
                return Some(Path::Group(id));
            }
            group = Some(id);
        }
        let channel = step(&mut rest, b'c')?;
        if rest.is_empty() {
            return Some(Path::Channel(group, channel));
        }
        let interaction = step(&mut rest, b'i')?;
        if rest.is_empty() {
            return Some(Path::Interaction(group, channel, interaction));
        }
        let conversation = step(&mut rest, b'v')?;
        rest.is_empty().then_some(Path::Conversation(group, channel, interaction, conversation))
    }

    /// Keeps the disposition that a desktop has set. The next state of the interaction tells it.
    pub fn set_disposition(&mut self, target: &str, disposition: &str) {
        let Some(Path::Interaction(_, channel, interaction)) = self.parse(target) else { return };
        let mut channels = self.channels.iter_mut();
        let interactions = channels.find(|one| one.id == channel).map(|channel| &mut channel.interactions);
        let interaction = interactions.into_iter().flatten().find(|one| one.id == interaction);
        if let Some(interaction) = interaction {
            interaction.disposition = Some(limits::cut(disposition).into());
        }
    }

    /// Sets that the link is lost or back. Returns the event, if the link has changed. Whoever calls it for a link that
    /// is back has applied a snapshot before. Before the session has started nothing is emitted: the first snapshot
    /// tells it.
    pub fn set_link(&mut self, link: &Link) -> Option<Event> {
        match link {
            Link::Up if self.down.is_none() => return None,
            Link::Up => self.down = None,
            Link::Down { .. } if self.down.is_some() => return None,
            Link::Down { reason } => self.down = Some(limits::cut(reason).into()),
        }
        self.started.then(|| self.link_event())
    }
}

/// Takes the first id off a path, `.c12` with the letter `c`: its number, if it is written in the one way in which the
/// host writes it.
fn step(path: &mut &[u8], letter: u8) -> Option<u64> {
    let [b'.', first, digits @ ..] = *path else { return None };
    if *first != letter || !matches!(digits, [b'1'..=b'9', ..]) {
        return None;
    }
    let (mut number, mut rest) = (0_u64, digits);
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        number = number.checked_mul(10)?.checked_add((digit - b'0').into())?;
        rest = more;
    }
    *path = rest;
    Some(number)
}

/// Appends without spare room where there are few: most lists of a session have one or two items, and there are ten
/// thousand sessions.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < 4 {
        list.reserve_exact(1);
    }
    list.push(item);
}
