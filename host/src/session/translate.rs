//! What the platform is asked for when a standard command's turn has come.
//!
//! Owns: the translation of a command and its data into the adapter's commands, and the checks that need both the data
//! and the tree, the limits of the host among them. Must never: change anything. Comes behind the checks of target,
//! channel type and data; the state of the object itself is checked by the model's rules.

use jackfield_model::{ChannelNode, ConversationNode, GroupNode, InteractionNode, Object, Tree, limits, rules};
use jackfield_plugin_api::{
    Code, Command, Failure, Json,
    command::{MemberAction, ObjectKind},
    lists::{ListDeclaration, ListKind, ListParent, ListRequest},
    report::{ChannelType, ConversationAt, ConversationState, InteractionAt},
};
use jackfield_protocol::{
    data::{Arguments, ChannelOptions, NewGroup},
    list::ListArguments,
};

use super::commands::CommandSet;

/// What a command is for the platform.
#[derive(Debug)]
pub(super) enum Translation {
    /// Nothing: it is so already.
    Nothing,
    /// One thing for the platform to do.
    Ask(Command),
    /// One after the other, by the numbers of their channels.
    Each(Each, Vec<ChannelStep>),
}

/// What is done with each channel of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    Activate,
    Deactivate,
}

/// One channel of many.
#[derive(Debug)]
pub(super) struct ChannelStep {
    channel: u64,
    options: Option<ChannelOptions>,
}

impl ChannelStep {
    /// The command for the platform; `None`: there is nothing left to do on this channel.
    pub(super) fn command(self, each: Each, tree: &Tree) -> Option<Command> {
        let channel = tree.channels().iter().find(|channel| channel.id == self.channel)?;
        if channel.is_active() == (each == Each::Activate) {
            return None;
        }
        let key = channel.key.clone().into_string();
        Some(match each {
            Each::Activate => {
                let (queue, options) = self.options.map_or((None, None), |it| (it.queue, Some(it.options)));
                Command::Activate { channel: key, queue, options: options.unwrap_or_else(Json::empty_object) }
            }
            Each::Deactivate => Command::Deactivate { channel: key, queues: Vec::new(), reason: None },
        })
    }
}

/// Checks what needs both the data and the tree, and translates.
///
/// # Errors
/// The command fails without the platform's being asked.
pub(super) fn translate(
    arguments: Arguments,
    object: Object<'_>,
    tree: &Tree,
    command_set: &CommandSet,
) -> Result<Translation, Failure> {
    use Arguments as A;
    Ok(Translation::Ask(match arguments {
        A::AddChannel { endpoint, kind } => add_channel(endpoint, kind, tree, command_set)?,
        A::RemoveChannel { id } => remove_channel(&id, tree)?,
        A::AddChannelGroup(group) => add_group(group, tree)?,
        A::RemoveChannelGroup { id } => remove_group(&id, tree)?,
        A::ActivateAll(options) => return activate_all(on_group(object)?.id, options, tree),
        A::DeactivateAll => return Ok(deactivate_all(on_group(object)?.id, tree)),
        A::Activate { queue, options } => Command::Activate { channel: key_of(object)?, queue, options },
        A::Deactivate { queues, reason } => Command::Deactivate { channel: key_of(object)?, queues, reason },
        A::Ready => Command::Ready { channel: key_of(object)? },
        A::NotReady { code: reason_code, text: reason_desc } => {
            Command::NotReady { channel: key_of(object)?, reason_code, reason_desc }
        }
        A::Dial { destination, extensions } => dial(object, destination, extensions, tree)?,
        A::Accept => accept(object)?,
        A::Reject => Command::Reject { interaction: interaction_at(object)? },
        A::SetInteractionData { key, value } => set_data(object, key, value, tree)?,
        A::SetDisposition { disposition } => {
            Command::SetDisposition { interaction: interaction_at(object)?, disposition }
        }
        A::Complete => Command::Complete { interaction: interaction_at(object)? },
        A::Consult { destination } => Command::Consult { interaction: interaction_at(object)?, destination },
        A::Alternate => alternate(object)?,
        A::ConsultTransfer => Command::ConsultTransfer { interaction: interaction_at(object)? },
        A::ConsultConference => consult_conference(object)?,
        A::Record(action) => Command::Record { interaction: interaction_at(object)?, action },
        A::Answer => Command::Answer { conversation: conversation_at(object)? },
        A::Release => release(object)?,
        A::Hold => Command::Hold { conversation: conversation_at(object)? },
        A::Retrieve => Command::Retrieve { conversation: conversation_at(object)? },
        A::Mute => Command::Mute { conversation: conversation_at(object)? },
        A::Unmute => Command::Unmute { conversation: conversation_at(object)? },
        A::SendDtmf { digits } => Command::SendDtmf { conversation: conversation_at(object)?, digits },
        A::BlindTransfer { destination } => {
            Command::BlindTransfer { conversation: conversation_at(object)?, destination }
        }
        A::BlindConference { destination } => blind_conference(object, destination)?,
        A::Member { id, action } => match member(object, &id, action)? {
            Some(command) => command,
            None => return Ok(Translation::Nothing),
        },
        A::Supervise { agent, mode } => Command::Supervise { agent, mode },
        A::ColleagueReady { agent } => Command::ColleagueReady { agent },
        A::ColleagueNotReady { agent, code: reason_code, text: reason_desc } => {
            Command::ColleagueNotReady { agent, reason_code, reason_desc }
        }
        A::List(asked) => list(asked, tree, command_set)?,
        A::Watch { kind } => Command::Watch { kind: watchable(kind, command_set)? },
        A::Unwatch { kind } => Command::Unwatch { kind: watchable(kind, command_set)? },
    }))
}

// ---- failures ----

/// Checks a limit of the host before the platform is asked, so that nothing happens there that could not be shown here.
fn within_quota(count: usize, most: usize, of_what: &str) -> Result<(), Failure> {
    if count < most { Ok(()) } else { Err(quota_exceeded(format!("there are {most} {of_what} already"))) }
}

fn quota_exceeded(words: String) -> Failure {
    Failure::new(Code::QuotaExceeded, words)
}

fn invalid_state(words: &str) -> Failure {
    Failure::new(Code::InvalidState, words)
}

/// A target that names no object of the kind that the command is for.
pub(super) fn no_target(kind: ObjectKind, target: &str) -> Failure {
    let hint = if kind == ObjectKind::Session || target.contains('.') {
        ""
    } else {
        "; a target is the whole path from the session's id on, such as <session>.c1.i2"
    };
    let shown: String = target.chars().take(100).collect();
    Failure::new(Code::NotFound, format!("there is no {kind} {shown:?} in this session{hint}"))
}

fn not_found(id: &str) -> Failure {
    Failure::new(Code::NotFound, format!("there is no {id} here"))
}

// ---- the command's object; its kind was checked with the target ----

fn of_another_kind() -> Failure {
    Failure::new(Code::Internal, "the command's object is of another kind than its target")
}

fn on_group(object: Object<'_>) -> Result<&GroupNode, Failure> {
    if let Object::Group(group) = object { Ok(group) } else { Err(of_another_kind()) }
}

fn on_channel(object: Object<'_>) -> Result<&ChannelNode, Failure> {
    if let Object::Channel(channel) = object { Ok(channel) } else { Err(of_another_kind()) }
}

fn on_interaction(object: Object<'_>) -> Result<(&ChannelNode, &InteractionNode), Failure> {
    match object {
        Object::Interaction(channel, interaction) | Object::Conversation(channel, interaction, _) => {
            Ok((channel, interaction))
        }
        Object::Session | Object::Group(_) | Object::Channel(_) => Err(of_another_kind()),
    }
}

fn on_conversation(object: Object<'_>) -> Result<&ConversationNode, Failure> {
    if let Object::Conversation(.., conversation) = object { Ok(conversation) } else { Err(of_another_kind()) }
}

fn key_of(object: Object<'_>) -> Result<String, Failure> {
    Ok(on_channel(object)?.key.clone().into())
}

fn interaction_at(object: Object<'_>) -> Result<InteractionAt, Failure> {
    let (channel, interaction) = on_interaction(object)?;
    Ok(InteractionAt { channel: channel.key.clone().into(), interaction: interaction.key.clone().into() })
}

fn conversation_at(object: Object<'_>) -> Result<ConversationAt, Failure> {
    let (InteractionAt { channel, interaction }, conversation) = (interaction_at(object)?, on_conversation(object)?);
    Ok(ConversationAt { channel, interaction, conversation: conversation.key.clone().into() })
}

// ---- those that need more than a translation ----

fn add_channel(endpoint: String, kind: ChannelType, tree: &Tree, command_set: &CommandSet) -> Result<Command, Failure> {
    if !command_set.manifest.channel_types.contains(&kind) {
        return Err(Failure::new(Code::Unsupported, "the adapter has no channels of this type"));
    }
    if tree.channels().iter().any(|channel| channel.endpoint.as_deref() == Some(&*endpoint)) {
        return Err(Failure::new(Code::Conflict, "the endpoint is in this session already"));
    }
    within_quota(tree.channels().len(), limits::CHANNELS.command, "channels in this session")?;
    Ok(Command::AddChannel { endpoint, kind })
}

fn remove_channel(id: &str, tree: &Tree) -> Result<Command, Failure> {
    let standalone = |channel: &&ChannelNode| channel.group.is_none() && is_id(id, 'c', channel.id);
    let channel = tree.channels().iter().find(standalone).ok_or_else(|| not_found(id))?;
    rules::removal_refusal(channel).map_or(Ok(()), |words| Err(invalid_state(words)))?;
    Ok(Command::RemoveChannel { channel: channel.key.clone().into() })
}

fn add_group(group: NewGroup, tree: &Tree) -> Result<Command, Failure> {
    within_quota(tree.groups().len(), limits::GROUPS.command, "groups in this session")?;
    within_quota(tree.channels().len(), limits::CHANNELS.command, "channels in this session")?;
    let NewGroup { name, chat, email, callback } = group;
    Ok(Command::AddChannelGroup { name, chat, email, callback })
}

fn remove_group(id: &str, tree: &Tree) -> Result<Command, Failure> {
    let group = tree.groups().iter().find(|group| is_id(id, 'g', group.id)).ok_or_else(|| not_found(id))?;
    match tree.channels_of(group.id).find_map(rules::removal_refusal) {
        Some(words) => Err(invalid_state(words)),
        None => Ok(Command::RemoveChannelGroup { group: group.key.clone().into() }),
    }
}

fn activate_all(group: u64, mut options: Vec<ChannelOptions>, tree: &Tree) -> Result<Translation, Failure> {
    let mut steps = Vec::new();
    for channel in tree.channels_of(group) {
        let own = options.iter().position(|it| is_id(&it.id, 'c', channel.id));
        let options = own.map(|at| options.swap_remove(at));
        steps.push(ChannelStep { channel: channel.id, options });
    }
    match options.first() {
        Some(unknown) => {
            let words = format!("data.channeloptions: {} is no channel of this group", unknown.id);
            Err(Failure::new(Code::BadRequest, words))
        }
        None => Ok(Translation::Each(Each::Activate, steps)),
    }
}

fn deactivate_all(group: u64, tree: &Tree) -> Translation {
    let steps = tree.channels_of(group).map(|channel| ChannelStep { channel: channel.id, options: None });
    Translation::Each(Each::Deactivate, steps.collect())
}

fn dial(object: Object<'_>, destination: String, extensions: Json, tree: &Tree) -> Result<Command, Failure> {
    tree.no_room_for_a_call(on_channel(object)?).map_or(Ok(()), |words| Err(quota_exceeded(words)))?;
    Ok(Command::Dial { channel: key_of(object)?, destination, extensions })
}

fn accept(object: Object<'_>) -> Result<Command, Failure> {
    let (channel, interaction) = on_interaction(object)?;
    if channel.kind != ChannelType::Telephony {
        return Ok(Command::Accept { interaction: interaction_at(object)? });
    }
    let primary = interaction.primary().ok_or_else(|| invalid_state("the call is not ringing"))?;
    Ok(Command::Answer { conversation: conversation_at(Object::Conversation(channel, interaction, primary))? })
}

fn set_data(object: Object<'_>, key: String, value: Json, tree: &Tree) -> Result<Command, Failure> {
    if tree.is_own_data(&key) {
        return Err(Failure::new(Code::Forbidden, format!("data.key: {key} is the platform's own")));
    }
    let (_, interaction) = on_interaction(object)?;
    tree.no_room_for_data(interaction, &key, &value).map_or(Ok(()), |words| Err(quota_exceeded(words)))?;
    Ok(Command::SetInteractionData { interaction: interaction_at(object)?, key, value })
}

fn alternate(object: Object<'_>) -> Result<Command, Failure> {
    let (hold, retrieve) =
        alternation(on_interaction(object)?.1).ok_or_else(|| invalid_state("there is no connected consult"))?;
    Ok(Command::Alternate {
        interaction: interaction_at(object)?,
        hold: hold.map(|conversation| conversation.key.clone().into()),
        retrieve: retrieve.key.clone().into(),
    })
}

/// Which conversation is held and which retrieved. Both held: the one without the focus is retrieved.
fn alternation(it: &InteractionNode) -> Option<(Option<&ConversationNode>, &ConversationNode)> {
    let (primary, consult) = (it.primary()?, it.consult()?);
    let talks = |conversation: &ConversationNode| conversation.state == ConversationState::Talking;
    Some(if talks(primary) {
        (Some(primary), consult)
    } else if talks(consult) {
        (Some(consult), primary)
    } else if it.focus == Some(primary.id) {
        (None, consult)
    } else {
        (None, primary)
    })
}

fn consult_conference(object: Object<'_>) -> Result<Command, Failure> {
    let conversations = &on_interaction(object)?.1.conversations;
    let members: usize = conversations.iter().map(|conversation| conversation.members.len()).sum();
    within_quota(members.saturating_sub(1), limits::MEMBERS.command, "members in these conversations")?;
    Ok(Command::ConsultConference { interaction: interaction_at(object)? })
}

fn blind_conference(object: Object<'_>, destination: String) -> Result<Command, Failure> {
    let members = on_conversation(object)?.members.len();
    within_quota(members, limits::MEMBERS.command, "members in this conversation")?;
    Ok(Command::BlindConference { conversation: conversation_at(object)?, destination })
}

/// Who leaves a call that still rings refuses it.
fn release(object: Object<'_>) -> Result<Command, Failure> {
    Ok(match on_conversation(object)?.state {
        ConversationState::Alerting => Command::Reject { interaction: interaction_at(object)? },
        _ => Command::Release { conversation: conversation_at(object)? },
    })
}

/// What is asked about a member; `None`: it is so already.
fn member(object: Object<'_>, id: &str, action: MemberAction) -> Result<Option<Command>, Failure> {
    let members = &on_conversation(object)?.members;
    let member = members.iter().find(|member| is_id(id, 'm', member.id)).ok_or_else(|| not_found(id))?;
    let is_so = match action {
        MemberAction::Mute => member.muted,
        MemberAction::Unmute => !member.muted,
        MemberAction::Hold => member.held,
        MemberAction::Retrieve => !member.held,
        _ => false,
    };
    let conversation = conversation_at(object)?;
    Ok((!is_so).then(|| Command::Member { conversation, member: member.key.clone().into(), action }))
}

fn list(asked: ListArguments, tree: &Tree, command_set: &CommandSet) -> Result<Command, Failure> {
    let ListArguments { kind, query, under, limit, after } = asked;
    declared(kind, command_set)?;
    let mut request = ListRequest::new(kind, limit);
    (request.query, request.after) = (query, after);
    request.under = match under {
        None => None,
        Some(target) if kind == ListKind::Dispositions => match tree.find(&target) {
            Some(object @ Object::Interaction(..)) => Some(ListParent::Interaction(interaction_at(object)?)),
            _ => return Err(Failure::new(Code::NotFound, format!("data.under: there is no interaction {target}"))),
        },
        Some(entry) => Some(ListParent::Entry(entry)),
    };
    Ok(Command::List(request))
}

fn declared(kind: ListKind, command_set: &CommandSet) -> Result<&ListDeclaration, Failure> {
    let list = command_set.manifest.lists.iter().find(|list| list.kind == kind);
    list.ok_or_else(|| Failure::new(Code::Unsupported, format!("the adapter has no list of {}", kind.as_str())))
}

fn watchable(kind: ListKind, command_set: &CommandSet) -> Result<ListKind, Failure> {
    if declared(kind, command_set)?.watch {
        return Ok(kind);
    }
    Err(Failure::new(Code::Unsupported, format!("the list of {} cannot be watched", kind.as_str())))
}

/// Whether a desktop's id is this letter and number.
fn is_id(id: &str, letter: char, number: u64) -> bool {
    id.strip_prefix(letter).is_some_and(|digits| !digits.starts_with(['0', '+']) && digits.parse() == Ok(number))
}
