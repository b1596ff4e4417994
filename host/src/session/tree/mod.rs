//! The objects of one session: what the host knows, and what every event is a difference of.
//!
//! Owns channels, interactions and conversations with their ids and their platform's keys. A [report](jackfield_plugin_api::Report) comes in from
//! the adapter, the [`Event`]s that say what changed go out to the journal. Must never: fail on a report, wait, know a
//! socket, a clock or a platform.
//!
//! ```text
//! mod.rs      the objects, and finding them by a desktop's target
//! apply.rs    what a report makes of the groups and channels
//! plan.rs     what a report makes of one interaction
//! order.rs    in which order the difference is said
//! say.rs      what the events tell of each object
//! replay.rs   the snapshot for a client that comes back
//! rules.rs    which commands an object is in a state for
//! call_data.rs  the call data of an interaction
//! keys.rs     keys and where they stand in a list
//! event.rs    an event and its JSON
//! notes.rs    what a report said that cannot be
//! bounds.rs   how much a session may hold
//! ```

mod apply;
pub mod bounds;
mod call_data;
mod event;
mod keys;
mod notes;
mod order;
mod plan;
mod replay;
pub mod rules;
mod say;

use std::{collections::HashSet, sync::Arc};

use jackfield_plugin_api::{
    Json, Link, Manifest,
    command::ObjectKind,
    report::{
        Availability, ChannelStatus, ChannelType, ConversationAt, ConversationState, Direction, InteractionAt,
        InteractionState, MemberRole, Recording, Role, Target,
    },
};

pub use self::{
    call_data::CallData,
    event::{Event, Events},
    notes::{Note, NoteKind, Notes},
};
use self::{
    event::{Members, event, member},
    rules::Actions,
};

/// What the sessions of one adapter can do: from its manifest, shared by all of them.
#[derive(Debug)]
pub struct Capabilities {
    /// The data of `session.initialized`.
    text: Box<str>,
    /// The types of channel.
    channel_types: Vec<ChannelType>,
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
        let standard = manifest.commands.iter().map(String::as_str);
        let extensions = manifest.extension_commands.iter().map(|command| command.name.as_str());
        let mut text = String::new();
        Members::write(&mut text, |data| {
            data.object(member!("capabilities"), |data| {
                data.texts(member!("commands"), standard.clone().chain(["session.request.logout"]).chain(extensions));
                data.texts(member!("channelTypes"), manifest.channel_types.iter().map(|kind| kind.as_str()));
            });
        });
        Self {
            text: text.into(),
            channel_types: manifest.channel_types.clone(),
            standard: Actions::of(standard),
            events: manifest.extension_events.iter().map(|event| event.name.clone()).collect(),
            own_data: manifest.own_data.iter().cloned().collect(),
        }
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
    groups: Vec<Group>,
    /// In order of creation, those of a group at the group's place.
    channels: Vec<Channel>,
    /// Extension events that came before the first snapshot: told behind it.
    early: Events,
    /// Where the paths of the objects that a report is about are written: kept from report to report.
    path: String,
}

/// A channel group.
#[derive(Debug)]
pub struct Group {
    /// Its number; the id is `g` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// What the desktop shows.
    pub name: Option<Box<str>>,
    /// Whether it has channels, as it was last told.
    pub populated: bool,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
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
    /// An interaction is alerting, dialing or started.
    pub occupied: bool,
    /// In order of creation.
    pub interactions: Vec<Interaction>,
    told: Actions,
    /// Its new key was known already: this one is gone.
    vanished: bool,
}

/// An interaction.
#[derive(Debug)]
pub struct Interaction {
    /// Its number; the id is `i` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// Who began it.
    pub direction: Direction,
    /// Its state.
    pub state: InteractionState,
    /// Whether it is recorded.
    pub recording: Recording,
    /// The address that the desktop should open.
    pub url: Option<Box<str>>,
    /// The call data.
    pub data: CallData,
    /// One or two: the primary first.
    pub conversations: Vec<Conversation>,
    /// The number of the conversation that has the focus.
    pub focus: Option<u64>,
    told: Actions,
    vanished: bool,
}

/// A conversation.
#[derive(Debug)]
pub struct Conversation {
    /// Its number; the id is `v` and this.
    pub id: u64,
    /// The platform's key.
    pub key: Box<str>,
    /// What it is for.
    pub role: Role,
    /// Its state, never `Ended`.
    pub state: ConversationState,
    /// Whether the agent is muted in it.
    pub muted: bool,
    /// The other parties.
    pub members: Vec<Member>,
    told: Actions,
}

/// A party of a conversation.
#[derive(Debug)]
pub struct Member {
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
}

impl Channel {
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

impl Interaction {
    /// Whether it keeps its channel occupied.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        is_busy(self.state)
    }

    /// The customer's call.
    #[must_use]
    pub fn primary(&self) -> Option<&Conversation> {
        self.conversations.iter().find(|conversation| conversation.role == Role::Primary)
    }

    /// The call for advice.
    #[must_use]
    pub fn consult(&self) -> Option<&Conversation> {
        self.conversations.iter().find(|conversation| conversation.role == Role::Consult)
    }
}

impl Conversation {
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
    Group(&'a Group),
    /// A channel.
    Channel(&'a Channel),
    /// An interaction and its channel.
    Interaction(&'a Channel, &'a Interaction),
    /// A conversation, its interaction and its channel.
    Conversation(&'a Channel, &'a Interaction, &'a Conversation),
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

    /// Its protocol id; the session's is the tree's.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Session => String::new(),
            Self::Group(group) => format!("g{}", group.id),
            Self::Channel(channel) => format!("c{}", channel.id),
            Self::Interaction(_, interaction) => format!("i{}", interaction.id),
            Self::Conversation(_, _, conversation) => format!("v{}", conversation.id),
        }
    }

    /// The channel that it is or belongs to.
    #[must_use]
    pub fn channel(&self) -> Option<&'a Channel> {
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
    /// An empty tree. `actions`: the desktop wants to be told which commands an object is in a state for.
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
            early: Events::default(),
            path: String::new(),
        }
    }

    /// Another version of the adapter can do other things; what that changes is said with the next report.
    pub fn set_capabilities(&mut self, capabilities: &Arc<Capabilities>) {
        self.capabilities = Arc::clone(capabilities);
    }

    /// Whether the first snapshot was applied: from then on the desktop is told everything.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// The groups, in order of creation.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The channels, in order of creation; those of a group stand at the group's place.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The channels of a group, in order of creation.
    pub fn channels_of(&self, group: u64) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(move |channel| channel.group == Some(group))
    }

    /// Why a desktop may not place another call on this channel.
    #[must_use]
    pub fn no_room_for_a_call(&self, channel: &Channel) -> Option<String> {
        let live = |channel: &Channel| channel.interactions.iter().filter(|one| one.is_busy()).count();
        if live(channel) >= bounds::LIVE.command {
            return Some(format!("the channel has {} live interactions", bounds::LIVE.command));
        }
        let all: usize = self.channels.iter().map(live).sum();
        (all >= bounds::LIVE_IN_SESSION.command)
            .then(|| format!("the session has {} live interactions", bounds::LIVE_IN_SESSION.command))
    }

    /// Whether an entry of call data is the platform's own, which a desktop may not set.
    #[must_use]
    pub fn is_own_data(&self, key: &str) -> bool {
        self.capabilities.own_data.contains(key)
    }

    /// Why a desktop may not set an entry of an interaction's call data.
    #[must_use]
    pub fn no_room_for_data(&self, interaction: &Interaction, key: &str, value: &Json) -> Option<String> {
        let after = interaction.data.weight_with(key, value);
        if after > bounds::DATA.command {
            return Some(format!("the interaction's data would be more than {} bytes", bounds::DATA.command));
        }
        let all = self.channels.iter().flat_map(|channel| &channel.interactions).map(|one| one.data.weight());
        (all.sum::<usize>() + after.saturating_sub(interaction.data.weight()) > bounds::DATA_IN_SESSION.command)
            .then(|| format!("the session's data would be more than {} bytes", bounds::DATA_IN_SESSION.command))
    }

    /// Whether a conversation lives in this session.
    #[must_use]
    pub fn has_live_calls(&self) -> bool {
        self.channels.iter().flat_map(|channel| &channel.interactions).any(|i| !i.conversations.is_empty())
    }

    /// All objects with their paths, parents first.
    #[must_use]
    pub fn objects(&self) -> Vec<(String, Object<'_>)> {
        let mut all = vec![(self.session.to_string(), Object::Session)];
        all.extend(self.groups.iter().map(|group| (format!("{}.g{}", self.session, group.id), Object::Group(group))));
        for channel in &self.channels {
            let path = self.path(channel);
            all.push((path.clone(), Object::Channel(channel)));
            for interaction in &channel.interactions {
                let path = format!("{path}.i{}", interaction.id);
                all.push((path.clone(), Object::Interaction(channel, interaction)));
                for conversation in &interaction.conversations {
                    let path = format!("{path}.v{}", conversation.id);
                    all.push((path, Object::Conversation(channel, interaction, conversation)));
                }
            }
        }
        all
    }

    /// The path of a channel: `S.c1` or `S.g1.c2`.
    #[must_use]
    pub fn path(&self, channel: &Channel) -> String {
        match channel.group {
            None => format!("{}.c{}", self.session, channel.id),
            Some(group) => format!("{}.g{group}.c{}", self.session, channel.id),
        }
    }

    /// The object that a desktop's target names, if it is there now.
    #[must_use]
    pub fn find(&self, target: &str) -> Option<Object<'_>> {
        let mut path = target.as_bytes().strip_prefix(self.session.as_bytes())?;
        if path.is_empty() {
            return Some(Object::Session);
        }
        let mut group = None;
        if let [b'.', b'g', ..] = path {
            let id = step(&mut path, b'g')?;
            let found = self.groups.iter().find(|group| group.id == id)?;
            if path.is_empty() {
                return Some(Object::Group(found));
            }
            group = Some(id);
        }
        let id = step(&mut path, b'c')?;
        let channel = self.channels.iter().find(|channel| channel.id == id && channel.group == group)?;
        if path.is_empty() {
            return Some(Object::Channel(channel));
        }
        let id = step(&mut path, b'i')?;
        let interaction = channel.interactions.iter().find(|interaction| interaction.id == id)?;
        if path.is_empty() {
            return Some(Object::Interaction(channel, interaction));
        }
        let id = step(&mut path, b'v')?;
        let conversation = interaction.conversations.iter().find(|conversation| conversation.id == id)?;
        path.is_empty().then_some(Object::Conversation(channel, interaction, conversation))
    }

    /// Takes down that the link is lost or back, and says so if that is news. Whoever calls it for a link that is back
    /// has applied a snapshot before. Before the session has started nothing is said: the first snapshot tells it.
    pub fn set_link(&mut self, link: &Link) -> Events {
        let mut said = Events::default();
        match link {
            Link::Up if self.down.is_none() => return said,
            Link::Up => self.down = None,
            Link::Down { .. } if self.down.is_some() => return said,
            Link::Down { reason } => self.down = Some(bounds::cut(reason).into()),
        }
        if self.started {
            self.say_link(&mut said);
        }
        said
    }

    fn say_link(&self, said: &mut Events) {
        said.write(&self.session, event!("session.linkchanged"), |data| {
            data.whole(if self.down.is_some() { member!("link": "down") } else { member!("link": "up") });
            data.text_if(member!("reason"), self.down.as_deref());
        });
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

/// Appends without spare room where there are few: most lists of a session have one or two items, and there are ten thousand sessions.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < 4 {
        list.reserve_exact(1);
    }
    list.push(item);
}
