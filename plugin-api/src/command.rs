//! What the host asks of an adapter on an agent's behalf, and what it answers.
//!
//! The host has checked each command before it arrives: its data is well formed, its object exists and is in a state
//! in which the command makes sense. What only the platform can know is the adapter's to find out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Code, Failure},
    json::Json,
    lists::{ListKind, ListPage, ListRequest},
    report::{ChannelType, ConversationAt, InteractionAt, Key, SupervisionMode, Target},
};

/// One command to the platform. Match what you support and answer the rest with [`Outcome::unsupported`].
///
/// Some commands of the protocol never arrive here, because the host makes them out of others: `activateall` and
/// `deactivateall` come as one [`Activate`](Self::Activate) or [`Deactivate`](Self::Deactivate) a channel, in order of
/// creation; `interaction.request.accept` and `.reject` on a call come as [`Answer`](Self::Answer) and
/// [`Reject`](Self::Reject); `conversation.request.release` on a ringing call comes as [`Reject`](Self::Reject). A
/// command that would change nothing (ready when ready) is answered by the host.
///
/// In all of 1.x commands are only added: none of these gets another member, so a pattern may name them all. What needs
/// more comes as a command of its own, and is answered with `unsupported` by whoever does not know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Add a standalone channel. Success: it has been reported.
    AddChannel {
        /// Extension, station or address.
        endpoint: String,
        /// Its type.
        kind: ChannelType,
    },
    /// Remove a standalone channel, deactivating it first if it is active. Success: it has been reported as gone.
    RemoveChannel {
        /// Which.
        channel: Key,
    },
    /// Add a channel group with the channels that the platform has for it, of the types asked for.
    AddChannelGroup {
        /// The platform's name of the group.
        name: String,
        /// Chat channels too.
        chat: bool,
        /// E-mail channels too.
        email: bool,
        /// Call-back channels too.
        callback: bool,
    },
    /// Remove a channel group with its channels, deactivating those that are active. All or none: on a failure report
    /// which channels are inactive now.
    RemoveChannelGroup {
        /// Which.
        group: Key,
    },
    /// Log the agent in on a channel. It becomes active, and not ready unless the platform says otherwise.
    Activate {
        /// Which.
        channel: Key,
        /// The queue to take contacts from.
        queue: Option<String>,
        /// All options as they were sent, `queue` among them: a JSON object.
        options: Json,
    },
    /// Log the agent out on a channel; it becomes inactive whatever the options say.
    Deactivate {
        /// Which.
        channel: Key,
        /// The queues to leave.
        queues: Vec<String>,
        /// The platform's code for the reason.
        reason: Option<i64>,
    },
    /// Take contacts.
    Ready {
        /// On which channel.
        channel: Key,
    },
    /// Take no contacts.
    NotReady {
        /// On which channel.
        channel: Key,
        /// The platform's reason code, or `acw` for after-call work. Unknown: [`Code::Rejected`].
        reason_code: String,
        /// For the record.
        reason_desc: Option<String>,
    },
    /// Place a call. Success: the party is being called; the interaction has been reported. A platform that must know
    /// more answers [`Outcome::NeedInfo`].
    Dial {
        /// From which channel.
        channel: Key,
        /// The number.
        destination: String,
        /// The platform's own options, among them the answer to an earlier [`Outcome::NeedInfo`]: a JSON object.
        extensions: Json,
    },
    /// Take an offered chat or e-mail.
    Accept {
        /// Which.
        interaction: InteractionAt,
    },
    /// Do not take an offered contact, of whatever type. Report it gone with
    /// [`Reason::Rejected`](crate::report::Reason::Rejected).
    Reject {
        /// Which.
        interaction: InteractionAt,
    },
    /// Set one entry of the call data.
    SetInteractionData {
        /// Of which interaction.
        interaction: InteractionAt,
        /// The entry.
        key: String,
        /// Any JSON value.
        value: Json,
    },
    /// Note how the contact ended.
    SetDisposition {
        /// Of which interaction.
        interaction: InteractionAt,
        /// The disposition's text. Unknown: [`Code::Rejected`].
        disposition: String,
    },
    /// The agent is done with the contact. Report it gone.
    Complete {
        /// Which.
        interaction: InteractionAt,
    },
    /// Hold the call and place a second one in the same interaction. Success: the party is being called.
    Consult {
        /// In which interaction.
        interaction: InteractionAt,
        /// The number.
        destination: String,
    },
    /// Hold one conversation and retrieve the other.
    Alternate {
        /// In which interaction.
        interaction: InteractionAt,
        /// The conversation to hold; `None` when both are held.
        hold: Option<Key>,
        /// The conversation to retrieve.
        retrieve: Key,
    },
    /// Connect the two other parties and leave. End both conversations with
    /// [`Reason::Transferred`](crate::report::Reason::Transferred).
    ConsultTransfer {
        /// In which interaction.
        interaction: InteractionAt,
    },
    /// Bring the consulted party into the original conversation, which is then a conference.
    ConsultConference {
        /// In which interaction.
        interaction: InteractionAt,
    },
    /// Start, stop, pause or resume recording. Not possible: [`Code::Unsupported`].
    Record {
        /// Of which interaction.
        interaction: InteractionAt,
        /// What to do.
        action: RecordAction,
    },
    /// Answer a ringing call.
    Answer {
        /// Which.
        conversation: ConversationAt,
    },
    /// Leave a call: cancel one that is being dialled; end a two-party call for both; leave a conference alone.
    Release {
        /// Which.
        conversation: ConversationAt,
    },
    /// Hold.
    Hold {
        /// Which.
        conversation: ConversationAt,
    },
    /// Retrieve from hold.
    Retrieve {
        /// Which.
        conversation: ConversationAt,
    },
    /// Mute the agent. Report every conversation that it holds for.
    Mute {
        /// Which.
        conversation: ConversationAt,
    },
    /// Unmute the agent. Report every conversation that it holds for.
    Unmute {
        /// Which.
        conversation: ConversationAt,
    },
    /// Send tones to the other parties.
    SendDtmf {
        /// In which conversation.
        conversation: ConversationAt,
        /// `0-9`, `*`, `#`, `A-D`; at least one.
        digits: String,
    },
    /// Hand the call to a number without waiting for its answer. Once this is handed to the platform, the agent is
    /// disconnected, also when it fails (then end with [`Reason::Failed`](crate::report::Reason::Failed)).
    BlindTransfer {
        /// Which.
        conversation: ConversationAt,
        /// The number.
        destination: String,
    },
    /// Call a number into the conversation. Success: the party has joined.
    BlindConference {
        /// Which.
        conversation: ConversationAt,
        /// The number.
        destination: String,
    },
    /// Do something with one member of a conference. Report it before you answer: with
    /// [`Member::muted`](crate::report::Member::muted) or [`Member::held`](crate::report::Member::held), or no more.
    /// Since 1.1.
    Member {
        /// In which conversation.
        conversation: ConversationAt,
        /// Which of its members.
        member: Key,
        /// What to do.
        action: MemberAction,
    },
    /// Let the agent hear a colleague's call. Success: it is heard. Report it as a call of direction
    /// [`Internal`](crate::report::Direction::Internal) that [`supervises`](crate::report::Interaction::supervises) the
    /// colleague; it ends with the interaction in which the colleague talks. Who supervises this colleague already goes on in
    /// the mode that is asked for. Who may not supervise: [`Code::Forbidden`]; no such colleague: [`Code::NotFound`]; one
    /// who talks to nobody: [`Code::InvalidState`]. Since 1.1.
    Supervise {
        /// The colleague: the id of an entry of [`ListKind::Destinations`], or the name that he logs in with.
        agent: String,
        /// How to take part.
        mode: SupervisionMode,
    },
    /// Let a colleague take contacts again, on each channel on which he is active. Success: he does, or will after the call
    /// that he is in; his own session is told as if he had said so. Who may not do that: [`Code::Forbidden`]; no such
    /// colleague: [`Code::NotFound`]; one who is not active: [`Code::InvalidState`]. Since 1.1.
    ColleagueReady {
        /// The colleague, as in [`Supervise`](Self::Supervise).
        agent: String,
    },
    /// Let a colleague take no contacts, on each channel on which he is active; a call that he is in goes on. Success and
    /// failures as for [`ColleagueReady`](Self::ColleagueReady). Since 1.1.
    ColleagueNotReady {
        /// The colleague, as in [`Supervise`](Self::Supervise).
        agent: String,
        /// The platform's reason code. Unknown: [`Code::Rejected`].
        reason_code: String,
        /// For the record.
        reason_desc: Option<String>,
    },
    /// Give one page of a list that the manifest declares: answer with a [`ListPage`](crate::ListPage). An entry under
    /// which nothing is listed, or that is not there: [`Code::NotFound`]. Since 1.1.
    List(ListRequest),
    /// Report what changes in a list from now on, see [`lists`](crate::lists). Since 1.1.
    Watch {
        /// Which list.
        kind: ListKind,
    },
    /// Report the changes of a list no more. Since 1.1.
    Unwatch {
        /// Which list.
        kind: ListKind,
    },
    /// A command that the manifest declares; its data has passed the declared schema.
    Extension {
        /// Its name, as declared.
        name: String,
        /// The object it is sent to.
        target: Target,
        /// Its data: a JSON object.
        data: Json,
    },
}

impl Command {
    /// The standard commands of the protocol that lead to it; none for an extension command.
    pub(crate) fn standard(&self) -> &'static [StandardCommand] {
        use StandardCommand as S;
        match self {
            Self::AddChannel { .. } => &[S::AddChannel],
            Self::RemoveChannel { .. } => &[S::RemoveChannel],
            Self::AddChannelGroup { .. } => &[S::AddChannelGroup],
            Self::RemoveChannelGroup { .. } => &[S::RemoveChannelGroup],
            Self::Activate { .. } => &[S::Activate, S::ActivateAll],
            Self::Deactivate { .. } => &[S::Deactivate, S::DeactivateAll],
            Self::Ready { .. } => &[S::Ready],
            Self::NotReady { .. } => &[S::NotReady],
            Self::Dial { .. } => &[S::Dial],
            Self::Accept { .. } => &[S::Accept],
            Self::Reject { .. } => &[S::Reject, S::Release],
            Self::SetInteractionData { .. } => &[S::SetInteractionData],
            Self::SetDisposition { .. } => &[S::SetDisposition],
            Self::Complete { .. } => &[S::Complete],
            Self::Consult { .. } => &[S::Consult],
            Self::Alternate { .. } => &[S::Alternate],
            Self::ConsultTransfer { .. } => &[S::ConsultTransfer],
            Self::ConsultConference { .. } => &[S::ConsultConference],
            Self::Record { action, .. } => match action {
                RecordAction::Start => &[S::RecordingStart],
                RecordAction::Stop => &[S::RecordingStop],
                RecordAction::Pause => &[S::RecordingPause],
                RecordAction::Resume => &[S::RecordingResume],
            },
            Self::Answer { .. } => &[S::Answer, S::Accept],
            Self::Release { .. } => &[S::Release],
            Self::Hold { .. } => &[S::Hold],
            Self::Retrieve { .. } => &[S::Retrieve],
            Self::Mute { .. } => &[S::Mute],
            Self::Unmute { .. } => &[S::Unmute],
            Self::SendDtmf { .. } => &[S::SendDtmf],
            Self::BlindTransfer { .. } => &[S::BlindTransfer],
            Self::BlindConference { .. } => &[S::BlindConference],
            Self::Member { action, .. } => match action {
                MemberAction::Remove => &[S::MemberRemove],
                MemberAction::Mute => &[S::MemberMute],
                MemberAction::Unmute => &[S::MemberUnmute],
                MemberAction::Hold => &[S::MemberHold],
                MemberAction::Retrieve => &[S::MemberRetrieve],
            },
            Self::Supervise { .. } => &[S::Supervise],
            Self::ColleagueReady { .. } => &[S::ColleagueReady],
            Self::ColleagueNotReady { .. } => &[S::ColleagueNotReady],
            Self::List(_) => &[S::List],
            Self::Watch { .. } => &[S::Watch],
            Self::Unwatch { .. } => &[S::Unwatch],
            Self::Extension { .. } => &[],
        }
    }
}

/// What to do with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordAction {
    /// Begin.
    Start,
    /// End.
    Stop,
    /// Interrupt.
    Pause,
    /// Go on.
    Resume,
}

/// What to do with one member of a conference. Since 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MemberAction {
    /// Take it out; the others go on.
    Remove,
    /// Let the others not hear it.
    Mute,
    /// Let them hear it again.
    Unmute,
    /// Let it wait; the others go on without it.
    Hold,
    /// Bring it back.
    Retrieve,
}

/// The kinds of object of the protocol that a command can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObjectKind {
    /// The session.
    Session,
    /// A channel group.
    ChannelGroup,
    /// A channel.
    Channel,
    /// An interaction.
    Interaction,
    /// A conversation.
    Conversation,
}

impl ObjectKind {
    /// The first word of the names of its commands and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::ChannelGroup => "channelgroup",
            Self::Channel => "channel",
            Self::Interaction => "interaction",
            Self::Conversation => "conversation",
        }
    }

    /// The kind whose names begin with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Session, Self::ChannelGroup, Self::Channel, Self::Interaction, Self::Conversation]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The standard commands of the protocol (section 4) that an adapter may support; a manifest lists them by their names.
/// `session.start`, `session.request.logout`, `prepareSession` and `bindSession` are the host's own.
///
/// It grows with the protocol, so leave room in a `match`. What else is fixed about each is the host's to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the protocol's page tells what each does; Command tells what an adapter is asked for
pub enum StandardCommand {
    AddChannel,
    RemoveChannel,
    AddChannelGroup,
    RemoveChannelGroup,
    ActivateAll,
    DeactivateAll,
    Activate,
    Deactivate,
    Ready,
    NotReady,
    Dial,
    Accept,
    Reject,
    SetInteractionData,
    SetDisposition,
    Complete,
    Consult,
    Alternate,
    ConsultTransfer,
    ConsultConference,
    RecordingStart,
    RecordingStop,
    RecordingPause,
    RecordingResume,
    Answer,
    Release,
    Hold,
    Retrieve,
    Mute,
    Unmute,
    SendDtmf,
    BlindTransfer,
    BlindConference,
    MemberRemove,
    MemberMute,
    MemberUnmute,
    MemberHold,
    MemberRetrieve,
    Supervise,
    ColleagueReady,
    ColleagueNotReady,
    List,
    Watch,
    Unwatch,
}

impl StandardCommand {
    /// All of them, in the order of the protocol's table.
    pub const ALL: &[Self] = &[
        Self::AddChannel,
        Self::RemoveChannel,
        Self::AddChannelGroup,
        Self::RemoveChannelGroup,
        Self::ActivateAll,
        Self::DeactivateAll,
        Self::Activate,
        Self::Deactivate,
        Self::Ready,
        Self::NotReady,
        Self::Dial,
        Self::Accept,
        Self::Reject,
        Self::SetInteractionData,
        Self::SetDisposition,
        Self::Complete,
        Self::Consult,
        Self::Alternate,
        Self::ConsultTransfer,
        Self::ConsultConference,
        Self::RecordingStart,
        Self::RecordingStop,
        Self::RecordingPause,
        Self::RecordingResume,
        Self::Answer,
        Self::Release,
        Self::Hold,
        Self::Retrieve,
        Self::Mute,
        Self::Unmute,
        Self::SendDtmf,
        Self::BlindTransfer,
        Self::BlindConference,
        Self::MemberRemove,
        Self::MemberMute,
        Self::MemberUnmute,
        Self::MemberHold,
        Self::MemberRetrieve,
        Self::Supervise,
        Self::ColleagueReady,
        Self::ColleagueNotReady,
        Self::List,
        Self::Watch,
        Self::Unwatch,
    ];

    /// Those that a manifest does not name: who declares lists has them.
    pub const OF_LISTS: &[Self] = &[Self::List, Self::Watch, Self::Unwatch];

    /// Its name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddChannel => "session.request.addchannel",
            Self::RemoveChannel => "session.request.removechannel",
            Self::AddChannelGroup => "session.request.addchannelgroup",
            Self::RemoveChannelGroup => "session.request.removechannelgroup",
            Self::ActivateAll => "channelgroup.request.activateall",
            Self::DeactivateAll => "channelgroup.request.deactivateall",
            Self::Activate => "channel.request.activate",
            Self::Deactivate => "channel.request.deactivate",
            Self::Ready => "channel.request.ready",
            Self::NotReady => "channel.request.notready",
            Self::Dial => "channel.request.dial",
            Self::Accept => "interaction.request.accept",
            Self::Reject => "interaction.request.reject",
            Self::SetInteractionData => "interaction.request.setinteractiondata",
            Self::SetDisposition => "interaction.request.setdisposition",
            Self::Complete => "interaction.request.complete",
            Self::Consult => "interaction.request.consult",
            Self::Alternate => "interaction.request.alternate",
            Self::ConsultTransfer => "interaction.request.consulttransfer",
            Self::ConsultConference => "interaction.request.consultconference",
            Self::RecordingStart => "interaction.request.recording.start",
            Self::RecordingStop => "interaction.request.recording.stop",
            Self::RecordingPause => "interaction.request.recording.pause",
            Self::RecordingResume => "interaction.request.recording.resume",
            Self::Answer => "conversation.request.answer",
            Self::Release => "conversation.request.release",
            Self::Hold => "conversation.request.hold",
            Self::Retrieve => "conversation.request.retrieve",
            Self::Mute => "conversation.request.mute",
            Self::Unmute => "conversation.request.unmute",
            Self::SendDtmf => "conversation.request.senddtmf",
            Self::BlindTransfer => "conversation.request.blindtransfer",
            Self::BlindConference => "conversation.request.blindconference",
            Self::MemberRemove => "conversation.request.member.remove",
            Self::MemberMute => "conversation.request.member.mute",
            Self::MemberUnmute => "conversation.request.member.unmute",
            Self::MemberHold => "conversation.request.member.hold",
            Self::MemberRetrieve => "conversation.request.member.retrieve",
            Self::Supervise => "session.request.supervise",
            Self::ColleagueReady => "session.request.colleague.ready",
            Self::ColleagueNotReady => "session.request.colleague.notready",
            Self::List => "session.request.list",
            Self::Watch => "session.request.watch",
            Self::Unwatch => "session.request.unwatch",
        }
    }

    /// The command with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|command| command.name() == name)
    }

    /// The kind of object that it is sent to: the first word of its name.
    #[must_use]
    pub fn object(self) -> ObjectKind {
        let word = self.name().split('.').next();
        word.and_then(ObjectKind::from_word).expect("each name begins with a kind of object")
    }
}

const _: () = assert!(
    StandardCommand::ALL.len() == StandardCommand::Unwatch as usize + 1,
    "each standard command stands in the list of all"
);

/// What became of a command.
///
/// Report the new state *before* you return: once a success is sent, its effect holds for every later command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The platform has carried it out. `None`: the desktop gets its own data back, as the protocol has it for every
    /// standard command. An extension command answers with data of its own, a JSON object.
    Success(Option<Json>),
    /// The platform must know more; the desktop asks the agent and sends the command again with the answer in
    /// `data.extensions`. A JSON object with an `id` that tells the desktop what to ask.
    NeedInfo(Json),
    /// It was not done.
    Failure(Failure),
}

impl Outcome {
    /// Done.
    #[must_use]
    pub const fn success() -> Self {
        Self::Success(None)
    }

    /// Done, with data of its own.
    pub fn data(data: impl Into<Json>) -> Self {
        Self::Success(Some(data.into()))
    }

    /// Not done.
    pub fn failure(code: Code, message: impl Into<String>) -> Self {
        Self::Failure(Failure::new(code, message))
    }

    /// This adapter does not do that.
    #[must_use]
    pub fn unsupported() -> Self {
        Self::failure(Code::Unsupported, "the adapter does not support this command")
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Result<(), Failure>> for Outcome {
    fn from(result: Result<(), Failure>) -> Self {
        result.map_or_else(Self::Failure, |()| Self::success())
    }
}

impl From<ListPage> for Outcome {
    fn from(page: ListPage) -> Self {
        Self::data(Json::of(&page).expect("a page has text keys only"))
    }
}
