//! What the events tell of each object.
//!
//! Owns the data of every standard event of `protocol.md` section 5, for the difference and for the snapshot alike. Must
//! never decide whether or when something is emitted. Data comes from the objects of the tree and becomes [`Event`]s.

use std::collections::HashSet;

use jackfield_plugin_api::{
    Json, Timestamp,
    report::{Cause, ChannelStatus, ChannelType, ConversationState, InteractionState, Reason},
};
use jackfield_protocol::event::{
    CallEntries, Calls, ChannelCard, ChannelDetails, ChannelState, ConversationCard, Details, Event, EventData,
    EventName, GroupCard, GroupState, InteractionCard, LinkWord, MemberCard, ObjectId, ObjectState, Path,
    PendingDetails, Reference, Shown, ShownInteraction, StateOf,
};

use crate::{
    ChannelNode, ConversationNode, GroupNode, InteractionNode, MemberNode, Object, Tree,
    call_data::Patch,
    rules::{self, Actions},
};

/// How many calls an interaction has, from the number of members of each conversation.
pub(crate) fn calls(mut members: impl Iterator<Item = usize>) -> Option<Calls> {
    match (members.next()?, members.next()) {
        (_, Some(_)) => Some(Calls::Consult),
        (members, None) if members > 1 => Some(Calls::Conference),
        _ => Some(Calls::Single),
    }
}

/// How many calls an interaction has now.
pub(crate) fn calls_now(interaction: &InteractionNode) -> Option<Calls> {
    calls(interaction.conversations.iter().map(|conversation| conversation.members.len()))
}

/// Emits events, each about the object that it is at.
pub(crate) struct Emitter {
    at: Path,
    pub(crate) emitted: Vec<Event>,
}

impl Emitter {
    /// At the session.
    pub(crate) fn new() -> Self {
        Self { at: Path::Session, emitted: Vec::new() }
    }

    /// Goes to a group from the session; the answer is the way back.
    pub(crate) fn enter_group(&mut self, id: u64) -> Path {
        self.go(Path::Group(id))
    }

    /// Goes to a channel from the session or its group.
    pub(crate) fn enter_channel(&mut self, channel: &ChannelNode) -> Path {
        self.go(channel.path())
    }

    /// Goes to an interaction from its channel.
    pub(crate) fn enter_interaction(&mut self, id: u64) -> Path {
        self.go(match self.at {
            Path::Channel(group, channel) => Path::Interaction(group, channel, id),
            elsewhere => unreachable!("an interaction is on a channel, not at {elsewhere:?}"),
        })
    }

    /// Goes to a conversation from its interaction.
    pub(crate) fn enter_conversation(&mut self, id: u64) -> Path {
        self.go(match self.at {
            Path::Interaction(group, channel, interaction) => Path::Conversation(group, channel, interaction, id),
            elsewhere => unreachable!("a conversation is in an interaction, not at {elsewhere:?}"),
        })
    }

    fn go(&mut self, to: Path) -> Path {
        std::mem::replace(&mut self.at, to)
    }

    /// Goes back.
    pub(crate) fn leave(&mut self, back: Path) {
        self.at = back;
    }

    fn emit(&mut self, name: EventName, data: EventData) {
        self.emitted.push(Event { on: self.at, name, data });
    }

    fn emit_state(&mut self, of: StateOf, since: Option<Timestamp>) {
        self.emit(EventName::StateUpdated, EventData::State(ObjectState { of, since, actions: None }));
    }

    /// An event of the adapter's own.
    pub(crate) fn extension(&mut self, on: Path, name: &str, data: &Json) {
        let (name, data) = (EventName::Extension(name.into()), EventData::Extension(data.clone()));
        self.emitted.push(Event { on, name, data });
    }

    /// An event without data.
    pub(crate) fn bare(&mut self, name: EventName) {
        self.emit(name, EventData::Nothing {});
    }

    // ---- groups ----

    pub(crate) fn group_created(&mut self, group: &GroupNode) {
        let channelgroup = GroupCard { id: ObjectId('g', group.id), name: group.name.clone() };
        self.emit(EventName::GroupCreated, EventData::Group { channelgroup });
    }

    pub(crate) fn group_state(&mut self, group: &GroupNode) {
        let state = if group.populated { GroupState::Populated } else { GroupState::Empty };
        self.emit_state(StateOf::Group { state }, None);
    }

    // ---- channels ----

    /// The whole bundle, from the parent.
    pub(crate) fn channel_created(&mut self, channel: &ChannelNode) {
        let card = ChannelCard {
            id: ObjectId('c', channel.id),
            kind: channel.kind,
            endpoint: channel.endpoint.clone(),
            name: channel.name.clone(),
        };
        self.emit(EventName::ChannelCreated, EventData::Channel { channel: card });
        let back = self.enter_channel(channel);
        if channel.is_active() || channel.occupied {
            self.channel_info(channel);
        }
        self.channel_state(channel);
        self.bare(EventName::ChannelInitialized);
        self.leave(back);
    }

    /// `channel.infochanged` and `state.updated`, which always come together.
    pub(crate) fn channel_pair(&mut self, channel: &ChannelNode) {
        self.channel_info(channel);
        self.channel_state(channel);
    }

    fn channel_info(&mut self, channel: &ChannelNode) {
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        let info = match &channel.status {
            ChannelStatus::Active(info) => Some(Details {
                availability: info.availability,
                reasoncode: text(&info.reason_code),
                reasondesc: text(&info.reason_desc),
                queue: text(&info.queue),
                pending: info.pending.as_ref().map(|pending| PendingDetails {
                    availability: pending.availability,
                    reasoncode: text(&pending.reason_code),
                    reasondesc: text(&pending.reason_desc),
                }),
            }),
            ChannelStatus::Inactive | ChannelStatus::Unavailable => None,
        };
        let details = ChannelDetails { info, occupied: channel.occupied };
        self.emit(EventName::ChannelInfoChanged, EventData::Info { channel: details });
    }

    pub(crate) fn channel_state(&mut self, channel: &ChannelNode) {
        let state = match channel.status {
            ChannelStatus::Inactive => ChannelState::Inactive,
            ChannelStatus::Active(_) => ChannelState::Active,
            ChannelStatus::Unavailable => ChannelState::Unavailable,
        };
        self.emit_state(StateOf::Channel { state, availability: channel.availability() }, Some(channel.since));
    }

    // ---- interactions ----

    /// From the channel.
    pub(crate) fn interaction_created(&mut self, kind: ChannelType, interaction: &InteractionNode) {
        let interaction = card(kind, interaction);
        self.emit(EventName::InteractionCreated, EventData::Interaction { interaction });
    }

    pub(crate) fn interaction_state(
        &mut self,
        kind: ChannelType,
        interaction: &InteractionNode,
        state: InteractionState,
        since: Timestamp,
        calls: Option<Calls>,
    ) {
        // Only calls can be recorded.
        let recording = interaction.recording.filter(|_| kind == ChannelType::Telephony);
        let disposition = interaction.disposition.clone();
        let supervises = interaction.supervises.clone();
        self.emit_state(StateOf::Interaction { state, calls, recording, disposition, supervises }, Some(since));
    }

    /// All call data.
    pub(crate) fn interaction_data(&mut self, interaction: &InteractionNode) {
        self.emit(EventName::InteractionDataChanged, EventData::Data { data: entries(interaction) });
    }

    /// The entries that were set (`None`: removed).
    pub(crate) fn data_changed(&mut self, patch: &Patch<'_>) {
        let data = CallEntries(patch.iter().map(|&(key, value)| (key.into(), value.cloned())).collect());
        self.emit(EventName::InteractionDataChanged, EventData::Data { data });
    }

    pub(crate) fn preview(&mut self, kind: ChannelType, interaction: &InteractionNode) {
        self.emit(EventName::InteractionPreview, shown(kind, interaction));
    }

    pub(crate) fn screen_pop(&mut self, kind: ChannelType, interaction: &InteractionNode) {
        self.emit(EventName::InteractionScreenPop, shown(kind, interaction));
    }

    pub(crate) fn focus(&mut self, interaction: &InteractionNode) {
        let conversation = interaction.focus.map(|id| Reference { id: ObjectId('v', id) });
        self.emit(EventName::InteractionFocusChanged, EventData::Focus { conversation });
    }

    pub(crate) fn interaction_ended(&mut self, reason: Reason, cause: Option<Cause>) {
        self.emit(EventName::InteractionEnded, end(reason, cause));
    }

    // ---- conversations ----

    /// The whole bundle, from the interaction.
    pub(crate) fn conversation_created(&mut self, conversation: &ConversationNode) {
        let card = ConversationCard { id: ObjectId('v', conversation.id), role: conversation.role };
        self.emit(EventName::ConversationCreated, EventData::Conversation { conversation: card });
        let back = self.enter_conversation(conversation.id);
        self.conversation_state(conversation.state, conversation.since, conversation.muted);
        for member in &conversation.members {
            self.member_added(member);
        }
        self.bare(EventName::ConversationInitialized);
        self.leave(back);
    }

    pub(crate) fn conversation_state(&mut self, state: ConversationState, since: Timestamp, muted: bool) {
        self.emit_state(StateOf::Conversation { state, muted }, Some(since));
    }

    /// `why`: where nothing else tells it.
    pub(crate) fn conversation_disposed(&mut self, why: Option<(Reason, Option<Cause>)>) {
        let data = why.map_or(EventData::Nothing {}, |(reason, cause)| end(reason, cause));
        self.emit(EventName::ConversationDisposed, data);
    }

    pub(crate) fn member_added(&mut self, member: &MemberNode) {
        self.emit(EventName::MemberAdded, EventData::Member { member: member_card(member) });
    }

    pub(crate) fn member_removed(&mut self, member: &MemberNode) {
        self.emit(EventName::MemberRemoved, EventData::Member { member: member_card(member) });
    }

    pub(crate) fn member_changed(&mut self, member: &MemberNode) {
        self.emit(EventName::MemberChanged, EventData::Member { member: member_card(member) });
    }
}

impl Tree {
    pub(crate) fn link_event(&self) -> Event {
        let link = if self.down.is_some() { LinkWord::Down } else { LinkWord::Up };
        let data = EventData::Link { link, reason: self.down.clone() };
        Event { on: Path::Session, name: EventName::SessionLinkChanged, data }
    }

    /// Puts the actions into every `state.updated`: those that hold when all of it has been emitted. An object that is
    /// gone by then has none.
    pub(crate) fn add_actions(&self, emitted: &mut [Event]) {
        for event in emitted {
            if let EventData::State(state) = &mut event.data {
                let actions = self.at(event.on).map(|object| rules::actions(object, &self.capabilities));
                state.actions = Some(actions.unwrap_or_default().names().collect());
            }
        }
    }

    /// Emits the state once more of each object of which nothing changed but what can be done with it now.
    pub(crate) fn emit_new_actions(&mut self, emitter: &mut Emitter) {
        let states = emitter.emitted.iter().filter(|event| event.name == EventName::StateUpdated);
        let emitted: HashSet<Path> = states.map(|event| event.on).collect();
        let mut again = Vec::new();
        for (path, object) in self.objects() {
            let (before, now) = (emitted_actions_of(object), rules::actions(object, &self.capabilities));
            if before != Some(now) && before.is_some() && !emitted.contains(&path) {
                again.push(path);
            }
        }
        for path in again {
            let back = emitter.go(path);
            match self.at(path) {
                Some(Object::Channel(channel)) => emitter.channel_state(channel),
                Some(Object::Interaction(channel, interaction)) => {
                    let (state, calls) = (interaction.state, calls_now(interaction));
                    emitter.interaction_state(channel.kind, interaction, state, interaction.since, calls);
                }
                Some(Object::Conversation(_, _, conversation)) => {
                    emitter.conversation_state(conversation.state, conversation.since, conversation.muted);
                }
                Some(Object::Session | Object::Group(_)) | None => {}
            }
            emitter.leave(back);
        }
        self.remember_actions();
    }

    /// Keeps the actions that were emitted.
    pub(crate) fn remember_actions(&mut self) {
        let all: Vec<Actions> =
            self.objects().into_iter().map(|(_, object)| rules::actions(object, &self.capabilities)).collect();
        let mut all = all.into_iter().skip(1 + self.groups.len());
        for channel in &mut self.channels {
            channel.emitted_actions = all.next().unwrap_or_default();
            for interaction in &mut channel.interactions {
                interaction.emitted_actions = all.next().unwrap_or_default();
                for conversation in &mut interaction.conversations {
                    conversation.emitted_actions = all.next().unwrap_or_default();
                }
            }
        }
    }
}

/// The actions of an object as they were emitted last; `None` for objects whose actions never change.
fn emitted_actions_of(object: Object<'_>) -> Option<Actions> {
    match object {
        Object::Session | Object::Group(_) => None,
        Object::Channel(channel) => Some(channel.emitted_actions),
        Object::Interaction(_, interaction) => Some(interaction.emitted_actions),
        Object::Conversation(_, _, conversation) => Some(conversation.emitted_actions),
    }
}

fn card(kind: ChannelType, interaction: &InteractionNode) -> InteractionCard {
    InteractionCard { id: ObjectId('i', interaction.id), kind, direction: interaction.direction }
}

/// The data of preview and screenpop.
fn shown(kind: ChannelType, interaction: &InteractionNode) -> EventData {
    EventData::Shown(Box::new(Shown {
        interaction: ShownInteraction {
            card: card(kind, interaction),
            state: interaction.state,
            data: entries(interaction),
        },
        url: interaction.url.clone(),
    }))
}

fn entries(interaction: &InteractionNode) -> CallEntries {
    CallEntries(interaction.data.iter().map(|(key, value)| (key.into(), Some(value.clone()))).collect())
}

fn member_card(member: &MemberNode) -> MemberCard {
    MemberCard {
        id: ObjectId('m', member.id),
        address: member.address.clone(),
        name: member.name.clone(),
        role: member.role,
        muted: member.muted,
        held: member.held,
    }
}

fn end(reason: Reason, cause: Option<Cause>) -> EventData {
    EventData::End { reason, cause: cause.filter(|_| reason == Reason::Failed) }
}
