//! The commands of the protocol, each with all that is fixed about it.
//!
//! Owns: names and their aliases, who carries a command out, whether it waits for others, how long it may take, on which
//! channels it exists, what must hold for it, and its short form in the terminal client. Everything else (checks,
//! `actions`, help, metrics' labels) reads it from here. Must never: look at a command's data (`data.rs`) or at an object.

use std::{collections::HashMap, sync::LazyLock};

use jackfield_plugin_api::command::{ObjectKind, StandardCommand};

use Precondition::{
    Alerting, CallAlerting, CallHeld, CallLive, CallTalking, ChannelActive, ChannelInactive, Conference,
    ConsultConnected, MemberHeld, MemberMuted, NoConsult, NoOtherTalks, NoSupervision, Over, Recorded, Started, Taken,
};

/// A command of the protocol with a name of its own. Extension commands are the adapters'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolCommand {
    /// A client asks for a session.
    PrepareSession,
    /// A client comes back to its session.
    BindSession,
    /// The session begins.
    Start,
    /// The session ends.
    Logout,
    /// One that an adapter carries out.
    Standard(StandardCommand),
}

/// Whether a command waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Behind unanswered commands to its object, its parents and its children.
    Ordered,
    /// For none.
    Urgent,
    /// For none, and none but a logout for it: it changes nothing of any object. Those that begin and end a watch keep
    /// their order among each other.
    Aside,
}

/// How long the platform may take over a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// 30 s unless configured otherwise.
    Normal,
    /// 60 s unless configured otherwise: somebody has to answer a call first.
    Slow,
}

/// The channels on which a command exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelTypes {
    /// All of them, or no channel at all.
    Any,
    /// Telephony alone; elsewhere the command is `unsupported`.
    Telephony,
}

/// What must hold of a command's object; else it fails with `invalid_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// The channel is not active.
    ChannelInactive,
    /// The channel is active.
    ChannelActive,
    /// The interaction is offered.
    Alerting,
    /// The interaction is not offered any more.
    Taken,
    /// The interaction has ended; of a chat or an e-mail: it was accepted.
    Over,
    /// The interaction is started.
    Started,
    /// There is no consult.
    NoConsult,
    /// The primary lives, and the consult is talking or held.
    ConsultConnected,
    /// The interaction is recorded, or was until it was paused.
    Recorded,
    /// The conversation rings at the agent.
    CallAlerting,
    /// The conversation is talking.
    CallTalking,
    /// The conversation is held.
    CallHeld,
    /// No conversation of the interaction is talking.
    NoOtherTalks,
    /// The conversation is talking or held.
    CallLive,
    /// The conversation has more than one member.
    Conference,
    /// A member of the conversation is muted.
    MemberMuted,
    /// A member of the conversation is held.
    MemberHeld,
    /// The call is the agent's own, and not one of a colleague that he hears.
    NoSupervision,
}

impl Precondition {
    /// The words of `failure.message` where it does not hold.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ChannelInactive => "the channel is active already",
            Self::ChannelActive => "the channel is not active",
            Self::Alerting => "the interaction is not alerting",
            Self::Taken => "the interaction is still alerting",
            Self::Over => "the interaction has not ended (a chat or an e-mail: was not accepted)",
            Self::Started => "the interaction is not started",
            Self::NoConsult => "there is a consult already",
            Self::ConsultConnected => "there is no connected consult",
            Self::Recorded => "the interaction is not recorded",
            Self::CallAlerting => "the conversation is not alerting",
            Self::CallTalking => "the conversation is not talking",
            Self::CallHeld => "the conversation is not held",
            Self::NoOtherTalks => "the other conversation is talking; use alternate",
            Self::CallLive => "the conversation is neither talking nor held",
            Self::Conference => "the conversation is not a conference",
            Self::MemberMuted => "no member of the conversation is muted",
            Self::MemberHeld => "no member of the conversation is held",
            Self::NoSupervision => "the call is a supervision; it can be muted and released",
        }
    }
}

/// How the terminal client writes a command in one line: a word, the object unless that is the session, the arguments.
#[derive(Debug, Clone, Copy)]
pub struct ShortForm {
    /// The first word.
    pub word: &'static str,
    /// Members of `data`: `name`, `name?` for one that may be missing, `name…` for the rest of the line, `name?…` for
    /// both; `=word` stands for itself.
    pub arguments: &'static [&'static str],
    /// The member of `data` that holds them, if they are not at its top.
    pub inside: Option<&'static str>,
    /// Members that are always set, to true.
    pub always: &'static [&'static str],
}

/// All that is fixed about a command beside its name and the kind of its object.
#[derive(Debug, Clone, Copy)]
pub struct Specification {
    /// Whether it waits for others.
    pub lane: Lane,
    /// How long the platform may take.
    pub deadline: Deadline,
    /// Where it exists.
    pub channels: ChannelTypes,
    /// What must hold, the first that does not is told.
    pub preconditions: &'static [Precondition],
    /// How the terminal client writes it; `None`: only as JSON.
    pub short: Option<ShortForm>,
    /// One line for whoever looks it up.
    pub summary: &'static str,
}

impl Specification {
    const fn new(summary: &'static str) -> Self {
        Self {
            lane: Lane::Ordered,
            deadline: Deadline::Normal,
            channels: ChannelTypes::Any,
            preconditions: &[],
            short: None,
            summary,
        }
    }

    const fn short(mut self, word: &'static str, arguments: &'static [&'static str]) -> Self {
        self.short = Some(ShortForm { word, arguments, inside: None, always: &[] });
        self
    }

    /// The arguments of the short form are members of this member of the data.
    const fn inside(mut self, member: &'static str) -> Self {
        if let Some(short) = &mut self.short {
            short.inside = Some(member);
        }
        self
    }

    /// The short form sets these members to `true`, whatever its arguments are.
    const fn always(mut self, members: &'static [&'static str]) -> Self {
        if let Some(short) = &mut self.short {
            short.always = members;
        }
        self
    }

    const fn needs(mut self, preconditions: &'static [Precondition]) -> Self {
        self.preconditions = preconditions;
        self
    }

    const fn urgent(mut self) -> Self {
        self.lane = Lane::Urgent;
        self
    }

    const fn aside(mut self) -> Self {
        self.lane = Lane::Aside;
        self
    }

    const fn slow(mut self) -> Self {
        self.deadline = Deadline::Slow;
        self
    }

    const fn telephony(mut self) -> Self {
        self.channels = ChannelTypes::Telephony;
        self
    }
}

impl ProtocolCommand {
    /// All of them, in the order of the protocol's page.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = [Self::PrepareSession, Self::BindSession, Self::Start, Self::Logout];
        own.into_iter().chain(StandardCommand::ALL.iter().copied().map(Self::Standard))
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrepareSession => "prepareSession",
            Self::BindSession => "bindSession",
            Self::Start => "session.start",
            Self::Logout => "session.request.logout",
            Self::Standard(command) => command.name(),
        }
    }

    /// The other name that is accepted: the one without `request`, or with it.
    #[must_use]
    pub fn alias(self) -> Option<String> {
        match self {
            Self::PrepareSession | Self::BindSession => None,
            Self::Start => Some("session.request.start".to_owned()),
            Self::Logout | Self::Standard(_) => Some(self.name().replacen(".request.", ".", 1)),
        }
    }

    /// The command with a name, under which it is known or accepted.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        static NAMES: LazyLock<HashMap<String, ProtocolCommand>> = LazyLock::new(|| {
            let names = |command: ProtocolCommand| [Some(command.name().to_owned()), command.alias()];
            let all = ProtocolCommand::all();
            all.flat_map(|command| names(command).into_iter().flatten().map(move |name| (name, command))).collect()
        });
        NAMES.get(name).copied()
    }

    /// The kind of object that it is sent to.
    #[must_use]
    pub fn object(self) -> ObjectKind {
        match self {
            Self::PrepareSession | Self::BindSession | Self::Start | Self::Logout => ObjectKind::Session,
            Self::Standard(command) => command.object(),
        }
    }

    /// All else that is fixed about it.
    #[must_use]
    pub const fn specification(self) -> Specification {
        match self {
            Self::PrepareSession => Specification::new("ask for a session of an agent"),
            Self::BindSession => Specification::new("come back to a session"),
            Self::Start => Specification::new("begin the session; a snapshot follows"),
            Self::Logout => Specification::new("end the session").urgent().short("logout", &[]),
            Self::Standard(command) => standard(command),
        }
    }
}

/// A specification that says nothing yet but what a command does.
const fn does(summary: &'static str) -> Specification {
    Specification::new(summary)
}

const fn standard(command: StandardCommand) -> Specification {
    use StandardCommand as S;
    match command {
        S::AddChannel => {
            does("add a channel to the session").short("addchannel", &["type", "endpoint"]).inside("channel")
        }
        S::RemoveChannel => does("remove a standalone channel").short("removechannel", &["id"]).inside("channel"),
        S::AddChannelGroup => does("add a group with its channels")
            .short("addgroup", &["name"])
            .inside("channelgroup")
            .always(&["chat", "email"]),
        S::RemoveChannelGroup => {
            does("remove a group with its channels").short("removegroup", &["id"]).inside("channelgroup")
        }
        S::ActivateAll => does("activate each channel of a group").short("activateall", &[]),
        S::DeactivateAll => does("deactivate each channel of a group").short("deactivateall", &[]),
        S::Activate => does("log the agent in on a channel")
            .needs(&[ChannelInactive])
            .short("activate", &["queue?"])
            .inside("channeloptions"),
        S::Deactivate => does("log the agent out on a channel").needs(&[ChannelActive]).short("deactivate", &[]),
        S::Ready => does("take contacts").needs(&[ChannelActive]).short("ready", &[]),
        S::NotReady => {
            does("take no contacts").needs(&[ChannelActive]).short("notready", &["reasoncode", "reasondesc?…"])
        }
        S::Dial => does("place a call").telephony().needs(&[ChannelActive]).short("dial", &["destination"]),
        S::Accept => does("take what is offered").needs(&[Alerting]).short("accept", &[]),
        S::Reject => does("refuse what is offered").urgent().needs(&[Alerting]).short("reject", &[]),
        S::SetInteractionData => does("set an entry of the call data").needs(&[Taken]).short("set", &["key", "value…"]),
        S::SetDisposition => does("note how the contact ended").needs(&[Taken]).short("disposition", &["disposition…"]),
        S::Complete => does("be done with the contact").needs(&[Over]).short("complete", &[]),
        S::Consult => does("hold the call and call somebody for advice")
            .telephony()
            .needs(&[NoSupervision, Started, NoConsult])
            .short("consult", &["destination"]),
        S::Alternate => {
            does("hold one call and retrieve the other").telephony().needs(&[ConsultConnected]).short("alternate", &[])
        }
        S::ConsultTransfer => {
            does("connect the two others and leave").telephony().needs(&[ConsultConnected]).short("transfer", &[])
        }
        S::ConsultConference => {
            does("bring the consulted party in").telephony().needs(&[ConsultConnected]).short("conference", &[])
        }
        S::RecordingStart => recording("begin to record", &[NoSupervision, Started], &["=start"]),
        S::RecordingStop => recording("end recording", &[Started], &["=stop"]),
        S::RecordingPause => recording("interrupt recording", &[Started, Recorded], &["=pause"]),
        S::RecordingResume => recording("go on recording", &[Started, Recorded], &["=resume"]),
        S::Answer => does("answer a ringing call").needs(&[CallAlerting]).short("answer", &[]),
        S::Release => does("leave a call").urgent().short("release", &[]),
        S::Hold => does("hold a call").needs(&[NoSupervision, CallTalking]).short("hold", &[]),
        S::Retrieve => does("go on with a held call").needs(&[CallHeld, NoOtherTalks]).short("retrieve", &[]),
        S::Mute => does("mute the agent").needs(&[CallLive]).short("mute", &[]),
        S::Unmute => does("unmute the agent").needs(&[CallLive]).short("unmute", &[]),
        S::SendDtmf => does("send tones").needs(&[NoSupervision, CallTalking]).short("dtmf", &["digits"]),
        S::BlindTransfer => {
            does("hand the call to a number").needs(&[NoSupervision, CallLive]).short("blindtransfer", &["destination"])
        }
        S::BlindConference => does("call a number into the call")
            .slow()
            .needs(&[NoSupervision, CallTalking])
            .short("blindconference", &["destination"]),
        S::MemberRemove => member("take a member out of a conference", &[Conference], &["=remove", "id"]),
        S::MemberMute => member("let the others of a conference not hear a member", &[Conference], &["=mute", "id"]),
        S::MemberUnmute => member("let the others hear a member again", &[MemberMuted], &["=unmute", "id"]),
        S::MemberHold => member("let a member of a conference wait", &[Conference], &["=hold", "id"]),
        S::MemberRetrieve => member("bring a member back that waits", &[MemberHeld], &["=retrieve", "id"]),
        S::Supervise => {
            does("hear a colleague's call, speak to him alone, or to all").short("supervise", &["agent", "mode"])
        }
        S::ColleagueReady => {
            does("let a colleague take contacts again").aside().short("colleague", &["=ready", "agent"])
        }
        S::ColleagueNotReady => does("let a colleague take no contacts")
            .aside()
            .short("colleague", &["=notready", "agent", "reasoncode", "reasondesc?…"]),
        S::List => does("read a list for a menu").aside().short("list", &["kind", "query?…"]),
        S::Watch => does("be told what changes in a list").aside().short("watch", &["kind"]),
        S::Unwatch => does("be told it no more").aside().short("unwatch", &["kind"]),
    }
}

const fn member(
    summary: &'static str,
    preconditions: &'static [Precondition],
    arguments: &'static [&'static str],
) -> Specification {
    Specification::new(summary).needs(preconditions).short("member", arguments).inside("member")
}

const fn recording(
    summary: &'static str,
    preconditions: &'static [Precondition],
    action: &'static [&'static str],
) -> Specification {
    Specification::new(summary).telephony().needs(preconditions).short("record", action)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_commands_share_a_name() {
        let mut names = HashSet::new();
        for command in ProtocolCommand::all() {
            assert!(names.insert(command.name().to_owned()), "{command:?}");
            assert!(command.alias().is_none_or(|alias| names.insert(alias)), "{command:?}");
        }
        assert!(names.contains("channel.activate") && names.contains("session.logout"));
    }

    #[test]
    fn a_command_is_found_by_its_name_and_without_request() {
        for command in ProtocolCommand::all() {
            assert_eq!(ProtocolCommand::from_name(command.name()), Some(command));
            assert!(command.alias().is_none_or(|alias| ProtocolCommand::from_name(&alias) == Some(command)));
        }
        for name in ["Channel.request.ready", "channel.request.ready ", "", "ready"] {
            assert_eq!(ProtocolCommand::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_begins_with_the_kind_of_its_object() {
        for command in ProtocolCommand::all().skip(2) {
            assert!(command.name().starts_with(&format!("{}.", command.object())), "{command:?}");
        }
    }

    #[test]
    fn every_standard_command_has_a_short_form_of_its_own() {
        let mut forms = HashSet::new();
        for command in StandardCommand::ALL {
            let short = ProtocolCommand::Standard(*command).specification().short.unwrap();
            let literals: Vec<_> = short.arguments.iter().filter(|argument| argument.starts_with('=')).collect();
            assert!(forms.insert((short.word, literals)), "{command:?}");
        }
    }
}
