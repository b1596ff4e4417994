//! What the platform is asked for when a standard command's turn has come.
//!
//! Owns: the translation of a command and its data into the adapter's commands, and the checks that need both the data
//! and the tree. Must never: change anything. Comes behind the checks of target, channel type and data; the state of the
//! object itself is checked by `tree/rules.rs`.

use jackfield_plugin_api::{
    Code, Command, Failure, Json,
    command::ObjectKind,
    report::{ChannelType, ConversationAt, ConversationState, InteractionAt},
};

use super::{
    commands::Repertoire,
    data::{Args, ChannelOptions},
    tree::{Channel, Conversation, Interaction, Object, Tree, bounds, rules},
};

/// What a command comes down to.
#[derive(Debug)]
pub(super) enum Plan {
    /// One thing for the platform to do.
    Ask(Command),
    /// One after the other, by the numbers of their channels.
    Each(Each, Vec<Step>),
}

/// What is done with each channel of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    Activate,
    Deactivate,
}

/// One channel of many.
#[derive(Debug)]
pub(super) struct Step {
    channel: u64,
    options: Option<ChannelOptions>,
}

impl Step {
    /// What the platform is asked for now; `None`: there is nothing to do on this channel any more.
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
pub(super) fn plan(
    name: &str,
    args: Args,
    object: Object<'_>,
    tree: &Tree,
    repertoire: &Repertoire,
) -> Result<Plan, Failure> {
    match object {
        Object::Session => on_session(args, tree, repertoire).map(Plan::Ask),
        Object::Group(group) => on_group(name, args, group.id, tree),
        Object::Channel(channel) => on_channel(name, args, channel, tree).map(Plan::Ask),
        Object::Interaction(channel, interaction) => {
            on_interaction(name, args, channel, interaction, tree).map(Plan::Ask)
        }
        Object::Conversation(channel, interaction, conversation) => {
            on_conversation(name, args, channel, interaction, conversation).map(Plan::Ask)
        }
    }
}

fn no_such_command(name: &str) -> Failure {
    Failure::new(Code::Internal, format!("{name} is not translated"))
}

fn invalid_state(words: &str) -> Failure {
    Failure::new(Code::InvalidState, words)
}

/// A limit of the host, told before the platform is asked: nothing happens there that could not be shown here.
fn within_quota(count: usize, most: usize, of_what: &str) -> Result<(), Failure> {
    if count < most { Ok(()) } else { Err(quota_exceeded(format!("there are {most} {of_what} already"))) }
}

fn quota_exceeded(words: String) -> Failure {
    Failure::new(Code::QuotaExceeded, words)
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

fn on_session(args: Args, tree: &Tree, repertoire: &Repertoire) -> Result<Command, Failure> {
    match args {
        Args::AddChannel { endpoint, kind } => {
            if !repertoire.manifest.channel_types.contains(&kind) {
                return Err(Failure::new(Code::Unsupported, "the adapter has no channels of this type"));
            }
            if tree.channels().iter().any(|channel| channel.endpoint.as_deref() == Some(&*endpoint)) {
                return Err(Failure::new(Code::Conflict, "the endpoint is in this session already"));
            }
            within_quota(tree.channels().len(), bounds::CHANNELS.command, "channels in this session")?;
            Ok(Command::AddChannel { endpoint, kind })
        }
        Args::RemoveChannel { id } => {
            let channel = tree
                .channels()
                .iter()
                .find(|channel| channel.group.is_none() && is_id(&id, 'c', channel.id))
                .ok_or_else(|| not_found(&id))?;
            rules::removal_refusal(channel).map_or(Ok(()), |words| Err(invalid_state(words)))?;
            Ok(Command::RemoveChannel { channel: channel.key.clone().into() })
        }
        Args::AddGroup(group) => {
            within_quota(tree.groups().len(), bounds::GROUPS.command, "groups in this session")?;
            within_quota(tree.channels().len(), bounds::CHANNELS.command, "channels in this session")?;
            Ok(Command::AddChannelGroup {
                name: group.name,
                chat: group.chat,
                email: group.email,
                callback: group.callback,
            })
        }
        Args::RemoveGroup { id } => {
            let group = tree.groups().iter().find(|group| is_id(&id, 'g', group.id)).ok_or_else(|| not_found(&id))?;
            match tree.channels_of(group.id).find_map(rules::removal_refusal) {
                Some(words) => Err(invalid_state(words)),
                None => Ok(Command::RemoveChannelGroup { group: group.key.clone().into() }),
            }
        }
        _ => Err(no_such_command("the command")),
    }
}

fn on_group(name: &str, args: Args, group: u64, tree: &Tree) -> Result<Plan, Failure> {
    match (name, args) {
        ("channelgroup.request.activateall", Args::ActivateAll(mut options)) => {
            let mut steps = Vec::new();
            for channel in tree.channels_of(group) {
                let own = options.iter().position(|it| is_id(&it.id, 'c', channel.id));
                let options = own.map(|at| options.swap_remove(at));
                steps.push(Step { channel: channel.id, options });
            }
            match options.first() {
                Some(unknown) => Err(Failure::new(
                    Code::BadRequest,
                    format!("data.channeloptions: {} is no channel of this group", unknown.id),
                )),
                None => Ok(Plan::Each(Each::Activate, steps)),
            }
        }
        ("channelgroup.request.deactivateall", _) => {
            let steps = tree.channels_of(group).map(|channel| Step { channel: channel.id, options: None });
            Ok(Plan::Each(Each::Deactivate, steps.collect()))
        }
        _ => Err(no_such_command(name)),
    }
}

fn on_channel(name: &str, args: Args, channel: &Channel, tree: &Tree) -> Result<Command, Failure> {
    let key = channel.key.clone().into_string();
    Ok(match (name, args) {
        (_, Args::Activate { queue, options }) => Command::Activate { channel: key, queue, options },
        (_, Args::Deactivate { queues, reason }) => Command::Deactivate { channel: key, queues, reason },
        ("channel.request.ready", _) => Command::Ready { channel: key },
        (_, Args::NotReady { code, text }) => Command::NotReady { channel: key, reason_code: code, reason_desc: text },
        (_, Args::Dial { destination, extensions }) => {
            tree.no_room_for_a_call(channel).map_or(Ok(()), |words| Err(quota_exceeded(words)))?;
            Command::Dial { channel: key, destination, extensions }
        }
        _ => return Err(no_such_command(name)),
    })
}

fn on_interaction(
    name: &str,
    args: Args,
    channel: &Channel,
    it: &Interaction,
    tree: &Tree,
) -> Result<Command, Failure> {
    let interaction = interaction_at(channel, it);
    Ok(match (name, args) {
        ("interaction.request.accept", _) if channel.kind == ChannelType::Telephony => {
            let primary = it.primary().ok_or_else(|| invalid_state("the call is not ringing"))?;
            Command::Answer { conversation: conversation_at(channel, it, primary) }
        }
        ("interaction.request.accept", _) => Command::Accept { interaction },
        ("interaction.request.reject", _) => Command::Reject { interaction },
        (_, Args::SetData { key, value }) => {
            if tree.is_own_data(&key) {
                return Err(Failure::new(Code::Forbidden, format!("data.key: {key} is the platform's own")));
            }
            tree.no_room_for_data(it, &key, &value).map_or(Ok(()), |words| Err(quota_exceeded(words)))?;
            Command::SetInteractionData { interaction, key, value }
        }
        (_, Args::Disposition(disposition)) => Command::SetDisposition { interaction, disposition },
        ("interaction.request.complete", _) => Command::Complete { interaction },
        ("interaction.request.consult", Args::Destination(destination)) => {
            Command::Consult { interaction, destination }
        }
        ("interaction.request.alternate", _) => {
            let (hold, retrieve) = alternation(it).ok_or_else(|| invalid_state("there is no connected consult"))?;
            Command::Alternate {
                interaction,
                hold: hold.map(|conversation| conversation.key.clone().into()),
                retrieve: retrieve.key.clone().into(),
            }
        }
        ("interaction.request.consulttransfer", _) => Command::ConsultTransfer { interaction },
        ("interaction.request.consultconference", _) => {
            let members = it.conversations.iter().map(|conversation| conversation.members.len()).sum::<usize>();
            within_quota(members.saturating_sub(1), bounds::MEMBERS.command, "members in these conversations")?;
            Command::ConsultConference { interaction }
        }
        (_, Args::Record(action)) => Command::Record { interaction, action },
        _ => return Err(no_such_command(name)),
    })
}

/// Which conversation is held and which retrieved. Both held: the one without the focus is retrieved.
fn alternation(it: &Interaction) -> Option<(Option<&Conversation>, &Conversation)> {
    let (primary, consult) = (it.primary()?, it.consult()?);
    let talks = |conversation: &Conversation| conversation.state == ConversationState::Talking;
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

fn on_conversation(
    name: &str,
    args: Args,
    channel: &Channel,
    it: &Interaction,
    own: &Conversation,
) -> Result<Command, Failure> {
    let conversation = conversation_at(channel, it, own);
    Ok(match (name, args) {
        ("conversation.request.answer", _) => Command::Answer { conversation },
        ("conversation.request.release", _) if own.state == ConversationState::Alerting => {
            Command::Reject { interaction: interaction_at(channel, it) }
        }
        ("conversation.request.release", _) => Command::Release { conversation },
        ("conversation.request.hold", _) => Command::Hold { conversation },
        ("conversation.request.retrieve", _) => Command::Retrieve { conversation },
        ("conversation.request.mute", _) => Command::Mute { conversation },
        ("conversation.request.unmute", _) => Command::Unmute { conversation },
        (_, Args::Digits(digits)) => Command::SendDtmf { conversation, digits },
        ("conversation.request.blindtransfer", Args::Destination(destination)) => {
            Command::BlindTransfer { conversation, destination }
        }
        ("conversation.request.blindconference", Args::Destination(destination)) => {
            within_quota(own.members.len(), bounds::MEMBERS.command, "members in this conversation")?;
            Command::BlindConference { conversation, destination }
        }
        _ => return Err(no_such_command(name)),
    })
}

fn interaction_at(channel: &Channel, interaction: &Interaction) -> InteractionAt {
    InteractionAt { channel: channel.key.clone().into(), interaction: interaction.key.clone().into() }
}

fn conversation_at(channel: &Channel, interaction: &Interaction, conversation: &Conversation) -> ConversationAt {
    ConversationAt {
        channel: channel.key.clone().into(),
        interaction: interaction.key.clone().into(),
        conversation: conversation.key.clone().into(),
    }
}

/// Whether a desktop's id is this letter and number.
fn is_id(id: &str, letter: char, number: u64) -> bool {
    id.strip_prefix(letter).is_some_and(|digits| !digits.starts_with(['0', '+']) && digits.parse() == Ok(number))
}
