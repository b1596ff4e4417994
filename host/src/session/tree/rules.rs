//! Which standard commands an object is in a state for.
//!
//! Owns the preconditions of `protocol.md` section 4 that can be read from the tree. The check of a command and the
//! `actions` that a desktop is told are both made from here, so they cannot differ. Must never change anything or look
//! at a command's data. Commands are called by their full protocol names (aliases are resolved before).

use jackfield_plugin_api::{
    command::{ObjectKind, STANDARD_COMMANDS},
    report::{Availability, ChannelStatus, ChannelType, ConversationState, InteractionState, Recording},
};

use super::{Capabilities, Channel, Conversation, Interaction, Object};

/// Whether the command is telephony's and the object is not: `unsupported`.
#[must_use]
pub fn wrong_channel_type(command: &str, object: Object<'_>) -> bool {
    let telephony_only = matches!(
        command,
        "channel.request.dial"
            | "interaction.request.consult"
            | "interaction.request.alternate"
            | "interaction.request.consulttransfer"
            | "interaction.request.consultconference"
            | "interaction.request.recording.start"
            | "interaction.request.recording.stop"
            | "interaction.request.recording.pause"
            | "interaction.request.recording.resume"
    );
    telephony_only && object.channel().is_some_and(|channel| channel.kind != ChannelType::Telephony)
}

/// Why the command would fail with `invalid_state` now. `None`: it would not, or it is not a command for this kind of
/// object. The words are meant for `failure.message`.
#[must_use]
pub fn refusal(command: &str, object: Object<'_>) -> Option<&'static str> {
    match object {
        Object::Session | Object::Group(_) => None,
        Object::Channel(channel) => refused_by_channel(command, channel),
        Object::Interaction(channel, interaction) => refused_by_interaction(command, channel, interaction),
        Object::Conversation(_, interaction, conversation) => {
            refused_by_conversation(command, interaction, conversation)
        }
    }
}

/// Why a channel cannot be removed now, by `removechannel` or with its group.
#[must_use]
pub fn removal_refusal(channel: &Channel) -> Option<&'static str> {
    unless(channel.interactions.is_empty(), "the channel has an interaction")
}

fn unless(holds: bool, words: &'static str) -> Option<&'static str> {
    (!holds).then_some(words)
}

fn refused_by_channel(command: &str, channel: &Channel) -> Option<&'static str> {
    match command {
        "channel.request.activate" => unless(!channel.is_active(), "the channel is active already"),
        "channel.request.deactivate"
        | "channel.request.ready"
        | "channel.request.notready"
        | "channel.request.dial" => unless(channel.is_active(), "the channel is not active"),
        _ => None,
    }
}

fn refused_by_interaction(command: &str, channel: &Channel, interaction: &Interaction) -> Option<&'static str> {
    let state = interaction.state;
    match command {
        "interaction.request.accept" | "interaction.request.reject" => {
            unless(state == InteractionState::Alerting, "the interaction is not alerting")
        }
        "interaction.request.setinteractiondata" | "interaction.request.setdisposition" => {
            unless(state != InteractionState::Alerting, "the interaction is still alerting")
        }
        "interaction.request.complete" if channel.kind == ChannelType::Telephony => {
            unless(state == InteractionState::Ended, "the interaction has not ended")
        }
        "interaction.request.complete" => {
            unless(state >= InteractionState::Started, "the interaction was not accepted")
        }
        "interaction.request.consult" => unless(state == InteractionState::Started, "the interaction is not started")
            .or_else(|| unless(interaction.consult().is_none(), "there is a consult already")),
        "interaction.request.alternate"
        | "interaction.request.consulttransfer"
        | "interaction.request.consultconference" => {
            let connected = interaction.primary().is_some() && interaction.consult().is_some_and(Conversation::is_live);
            unless(connected, "there is no connected consult")
        }
        "interaction.request.recording.start" | "interaction.request.recording.stop" => {
            unless(state == InteractionState::Started, "the interaction is not started")
        }
        "interaction.request.recording.pause" | "interaction.request.recording.resume" => {
            unless(state == InteractionState::Started, "the interaction is not started")
                .or_else(|| unless(interaction.recording != Recording::Off, "the interaction is not recorded"))
        }
        _ => None,
    }
}

fn refused_by_conversation(
    command: &str,
    interaction: &Interaction,
    conversation: &Conversation,
) -> Option<&'static str> {
    let state = conversation.state;
    match command {
        "conversation.request.answer" => {
            unless(state == ConversationState::Alerting, "the conversation is not alerting")
        }
        "conversation.request.hold" | "conversation.request.senddtmf" | "conversation.request.blindconference" => {
            unless(state == ConversationState::Talking, "the conversation is not talking")
        }
        "conversation.request.retrieve" => {
            let another_talks = interaction.conversations.iter().any(|one| one.state == ConversationState::Talking);
            unless(state == ConversationState::Held, "the conversation is not held")
                .or_else(|| unless(!another_talks, "the other conversation is talking; use alternate"))
        }
        "conversation.request.mute" | "conversation.request.unmute" | "conversation.request.blindtransfer" => {
            unless(conversation.is_live(), "the conversation is neither talking nor held")
        }
        _ => None,
    }
}

/// Whether the command would change nothing now: it succeeds without asking the platform.
#[must_use]
pub fn changes_nothing(command: &str, object: Object<'_>) -> bool {
    match (command, object) {
        ("channel.request.ready", Object::Channel(channel)) => match &channel.status {
            ChannelStatus::Active(info) => info.availability == Some(Availability::Ready) && info.pending.is_none(),
            _ => false,
        },
        ("interaction.request.recording.start" | "interaction.request.recording.resume", o) => {
            is_recorded(o, Recording::On)
        }
        ("interaction.request.recording.stop", o) => is_recorded(o, Recording::Off),
        ("interaction.request.recording.pause", o) => is_recorded(o, Recording::Paused),
        ("conversation.request.mute", Object::Conversation(_, _, conversation)) => conversation.muted,
        ("conversation.request.unmute", Object::Conversation(_, _, conversation)) => !conversation.muted,
        _ => false,
    }
}

fn is_recorded(object: Object<'_>, recording: Recording) -> bool {
    matches!(object, Object::Interaction(_, interaction) if interaction.recording == recording)
}

/// A set of standard commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u64);

const _: () = assert!(STANDARD_COMMANDS.len() <= 64, "a set of commands is one word");

impl Actions {
    /// These commands; names that are no standard commands are left out.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let place = |name| STANDARD_COMMANDS.iter().position(|&command| command == name);
        Self(names.filter_map(place).fold(0, |set, place| set | 1 << place))
    }

    fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    /// The names, in the order of the protocol's table.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        STANDARD_COMMANDS.iter().enumerate().filter(move |&(place, _)| self.has(place)).map(|(_, &name)| name)
    }
}

/// The standard commands of this session that would not fail with `invalid_state` (or `unsupported`) now.
#[must_use]
pub fn actions(object: Object<'_>, capabilities: &Capabilities) -> Actions {
    let mut set = 0;
    for place in range(object.kind()) {
        let command = STANDARD_COMMANDS[place];
        if capabilities.standard.has(place)
            && !wrong_channel_type(command, object)
            && refusal(command, object).is_none()
        {
            set |= 1 << place;
        }
    }
    Actions(set)
}

/// Where the commands of a kind of object stand in the list of all.
fn range(kind: ObjectKind) -> std::ops::Range<usize> {
    let is_its = |name: &&str| name.split_once('.').is_some_and(|(word, _)| word == kind.as_str());
    let start = STANDARD_COMMANDS.iter().position(is_its).unwrap_or(0);
    start..start + STANDARD_COMMANDS[start..].iter().take_while(|name| is_its(name)).count()
}
