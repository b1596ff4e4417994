//! Which standard commands an object is in a state for.
//!
//! Owns: whether a command's preconditions hold, and whether it would change nothing. Which preconditions a command has
//! stands in its [`Specification`](jackfield_protocol::command::Specification). The check of a command and the `actions`
//! that a desktop is told are both made from here, so they cannot differ. Must never change anything or look at a
//! command's data.

use jackfield_plugin_api::{
    command::StandardCommand,
    report::{Availability, ChannelStatus, ChannelType, ConversationState, InteractionState, Recording},
};
use jackfield_protocol::command::{ChannelTypes, Precondition, ProtocolCommand};

use crate::{Capabilities, ChannelNode, ConversationNode, InteractionNode, Object};

/// Whether the command is telephony's and the object is not: `unsupported`.
#[must_use]
pub fn wrong_channel_type(command: StandardCommand, object: Object<'_>) -> bool {
    ProtocolCommand::Standard(command).specification().channels == ChannelTypes::Telephony
        && object.channel().is_some_and(|channel| channel.kind != ChannelType::Telephony)
}

/// The first precondition of the command that does not hold of its object: it would fail with `invalid_state` now.
#[must_use]
pub fn refusal(command: StandardCommand, object: Object<'_>) -> Option<Precondition> {
    let all = ProtocolCommand::Standard(command).specification().preconditions;
    all.iter().copied().find(|precondition| !holds(*precondition, object))
}

/// Whether a precondition holds of an object. One that is of another kind of object holds.
fn holds(precondition: Precondition, object: Object<'_>) -> bool {
    match object {
        Object::Session | Object::Group(_) => true,
        Object::Channel(channel) => holds_of_channel(precondition, channel),
        Object::Interaction(channel, interaction) => holds_of_interaction(precondition, channel, interaction),
        Object::Conversation(_, interaction, conversation) => {
            holds_of_conversation(precondition, interaction, conversation)
        }
    }
}

fn holds_of_channel(precondition: Precondition, channel: &ChannelNode) -> bool {
    match precondition {
        Precondition::ChannelInactive => !channel.is_active(),
        Precondition::ChannelActive => channel.is_active(),
        _ => true,
    }
}

fn holds_of_interaction(precondition: Precondition, channel: &ChannelNode, interaction: &InteractionNode) -> bool {
    let state = interaction.state;
    match precondition {
        Precondition::Alerting => state == InteractionState::Alerting,
        Precondition::Taken => state != InteractionState::Alerting,
        Precondition::Over if channel.kind == ChannelType::Telephony => state == InteractionState::Ended,
        Precondition::Over => state >= InteractionState::Started,
        Precondition::Started => state == InteractionState::Started,
        Precondition::NoConsult => interaction.consult().is_none(),
        Precondition::ConsultConnected => {
            interaction.primary().is_some() && interaction.consult().is_some_and(ConversationNode::is_live)
        }
        Precondition::Recorded => interaction.recording != Some(Recording::Off),
        Precondition::NoSupervision => interaction.supervises.is_none(),
        _ => true,
    }
}

fn holds_of_conversation(
    precondition: Precondition,
    interaction: &InteractionNode,
    conversation: &ConversationNode,
) -> bool {
    match precondition {
        Precondition::CallAlerting => conversation.state == ConversationState::Alerting,
        Precondition::CallTalking => conversation.state == ConversationState::Talking,
        Precondition::CallHeld => conversation.state == ConversationState::Held,
        Precondition::NoOtherTalks => {
            !interaction.conversations.iter().any(|one| one.state == ConversationState::Talking)
        }
        Precondition::CallLive => conversation.is_live(),
        Precondition::NoSupervision => interaction.supervises.is_none(),
        Precondition::Conference => conversation.members.len() > 1,
        Precondition::MemberMuted => conversation.members.iter().any(|member| member.muted),
        Precondition::MemberHeld => conversation.members.iter().any(|member| member.held),
        _ => true,
    }
}

/// Why a channel cannot be removed now, by `removechannel` or with its group.
#[must_use]
pub fn removal_refusal(channel: &ChannelNode) -> Option<&'static str> {
    (!channel.interactions.is_empty()).then_some("the channel has an interaction")
}

/// Whether the command would change nothing now: it succeeds without asking the platform.
#[must_use]
pub fn changes_nothing(command: StandardCommand, object: Object<'_>) -> bool {
    match (command, object) {
        (StandardCommand::Ready, Object::Channel(channel)) => match &channel.status {
            ChannelStatus::Active(info) => info.availability == Some(Availability::Ready) && info.pending.is_none(),
            ChannelStatus::Inactive | ChannelStatus::Unavailable => false,
        },
        (StandardCommand::RecordingStart | StandardCommand::RecordingResume, o) => is_recorded(o, Recording::On),
        (StandardCommand::RecordingStop, o) => is_recorded(o, Recording::Off),
        (StandardCommand::RecordingPause, o) => is_recorded(o, Recording::Paused),
        (StandardCommand::Mute, Object::Conversation(_, _, conversation)) => conversation.muted,
        (StandardCommand::Unmute, Object::Conversation(_, _, conversation)) => !conversation.muted,
        _ => false,
    }
}

fn is_recorded(object: Object<'_>, recording: Recording) -> bool {
    matches!(object, Object::Interaction(_, interaction) if interaction.recording == Some(recording))
}

/// A set of standard commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u64);

const _: () = assert!(StandardCommand::ALL.len() <= 64, "a set of commands is one word");

impl Actions {
    fn has(self, command: StandardCommand) -> bool {
        self.0 >> command as u64 & 1 == 1
    }

    /// The names, in the order of the protocol's table.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        StandardCommand::ALL.iter().filter(move |command| self.has(**command)).map(|command| command.name())
    }
}

impl FromIterator<StandardCommand> for Actions {
    fn from_iter<I: IntoIterator<Item = StandardCommand>>(commands: I) -> Self {
        Self(commands.into_iter().fold(0, |set, command| set | 1 << command as u64))
    }
}

/// The standard commands of this session that would not fail with `invalid_state` (or `unsupported`) now.
#[must_use]
pub fn actions(object: Object<'_>, capabilities: &Capabilities) -> Actions {
    let own = StandardCommand::ALL.iter().copied().filter(|command| command.object() == object.kind());
    own.filter(|command| {
        capabilities.standard.has(*command)
            && !wrong_channel_type(*command, object)
            && refusal(*command, object).is_none()
    })
    .collect()
}
