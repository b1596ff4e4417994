//! CXone's events, read.
//!
//! Owns: which members of an event mean what. Every value is a string, booleans are `True` and `False`; what is missing
//! or strange is read as the harmless thing, because an event that cannot be read must not stop those behind it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event of the long poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A session begins, or its state is replayed from here on.
    SessionStart(SessionStart),
    /// The session is over.
    SessionEnd {
        /// CXone's words.
        message: String,
    },
    /// The agent's state.
    State(AgentState),
    /// The agent's own phone.
    Leg(AgentLeg),
    /// The agent's own phone is mute, or not.
    Mute(bool),
    /// A contact.
    Contact(Box<ContactEvent>),
    /// A screen-pop address.
    Pop {
        /// The contact.
        contact: String,
        /// The address.
        url: String,
    },
    /// Unavailable codes, skills or dispositions should be read again.
    ReadAgain,
    /// The session could not be started.
    StartFailed {
        /// CXone's words.
        message: String,
    },
    /// The number by which the agent's conference is held and resumed.
    Conference(String),
    /// There are messages for the agent.
    Messages,
    /// A callback that was promised is due: the agent is to make it, or put it off.
    CallbackDue(Value),
    /// What has become of it.
    CallbackStatus(String),
    /// There are other callbacks than before.
    Callbacks,
    /// Nothing to this adapter.
    Other,
}

/// What AgentSessionStart says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionStart {
    /// Station id or number.
    pub(crate) station: String,
    /// Whether recordings can be masked.
    pub(crate) can_mask: bool,
    /// Whether the agent may record.
    pub(crate) can_record: bool,
}

/// What AgentState says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AgentState {
    /// `Available`, `Unavailable`, or what he works on.
    pub(crate) current: String,
    /// The unavailable code's name.
    pub(crate) reason: String,
    /// After-contact work.
    pub(crate) acw: bool,
    /// Since when.
    pub(crate) since: String,
    /// How long after-contact work may take from then on, where it is limited.
    pub(crate) acw_seconds: Option<u64>,
    /// What is to hold after the contact: state and reason.
    pub(crate) next: Option<(String, String)>,
    /// It is after-contact work.
    pub(crate) next_acw: bool,
}

/// What AgentLeg says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentLeg {
    /// A number of its own for each call to the agent.
    pub(crate) id: String,
    /// How far it is.
    pub(crate) status: LegStatus,
}

/// How far the agent's own phone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LegStatus {
    /// Not connected.
    #[default]
    Down,
    /// It rings.
    Dialing,
    /// Connected.
    Up,
}

/// What a contact is. Kept as CXone's number of the media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(into = "u64", from = "u64")]
pub(crate) enum Media {
    /// A call.
    #[default]
    Call,
    /// A chat.
    Chat,
    /// An e-mail.
    Email,
    /// A recorded message.
    Voicemail,
    /// Something to do that another system has sent.
    WorkItem,
    /// A contact of the digital channels, which another API of CXone's handles.
    Digital,
}

impl Media {
    /// All.
    pub(crate) const ALL: [Self; 6] =
        [Self::Call, Self::Chat, Self::Email, Self::Voicemail, Self::WorkItem, Self::Digital];

    /// CXone's number of the media type.
    pub(crate) const fn id(self) -> u64 {
        match self {
            Self::Email => 1,
            Self::Chat => 3,
            Self::Call => 4,
            Self::Voicemail => 5,
            Self::WorkItem => 6,
            Self::Digital => 9,
        }
    }

    /// What CXone's lists call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Email => "E-Mail",
            Self::Chat => "Chat",
            Self::Call => "Phone Call",
            Self::Voicemail => "Voice Mail",
            Self::WorkItem => "Work Item",
            Self::Digital => "Digital",
        }
    }

    /// The desktop can take and end it. What it cannot is shown, so that the agent sees whose turn it is.
    pub(crate) const fn handled(self) -> bool {
        !matches!(self, Self::Digital)
    }
}

impl From<Media> for u64 {
    fn from(media: Media) -> Self {
        media.id()
    }
}

impl From<u64> for Media {
    fn from(id: u64) -> Self {
        Self::ALL.into_iter().find(|media| media.id() == id).unwrap_or_default()
    }
}

/// How far a contact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    /// Offered to the agent.
    #[default]
    Offered,
    /// The agent calls out.
    Dialing,
    /// Going on.
    Active,
    /// On hold.
    Held,
    /// Part of a conference.
    Joined,
    /// Going on, with the recording masked.
    Masked,
    /// Over.
    Over,
}

impl Stage {
    /// Somebody was or is spoken to.
    pub(crate) const fn spoken(self) -> bool {
        matches!(self, Self::Active | Self::Held | Self::Joined | Self::Masked)
    }

    /// The agent hears the other party now.
    pub(crate) const fn talking(self) -> bool {
        matches!(self, Self::Active | Self::Joined | Self::Masked)
    }
}

/// What an event says of a contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ContactEvent {
    pub(crate) media: Media,
    /// ContactID.
    pub(crate) id: String,
    /// MasterID.
    pub(crate) master: String,
    /// ParentContactId, where that is another contact: one that was never transferred names itself.
    pub(crate) parent: Option<String>,
    pub(crate) stage: Stage,
    /// Its status is none of those that are known: `stage` says nothing of a contact that was there before.
    pub(crate) strange: bool,
    /// Over, and nothing is left to be done.
    pub(crate) done: bool,
    pub(crate) call_type: String,
    pub(crate) inbound: bool,
    pub(crate) ani: String,
    pub(crate) dnis: String,
    pub(crate) skill: String,
    pub(crate) started: String,
    /// When its status changed last.
    pub(crate) changed: String,
    pub(crate) url: Option<String>,
    pub(crate) code: String,
    /// The agent has asked for the recording. What a script records is not told.
    pub(crate) recording: bool,
    /// The client must accept it; else it is the agent's once his phone is answered.
    pub(crate) manual: bool,
    /// What else the desktop is shown of it.
    pub(crate) details: Vec<(&'static str, String)>,
}

fn text(event: &Value, name: &str) -> String {
    match &event[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}

fn some(event: &Value, name: &str) -> Option<String> {
    // An id of 0 is CXone's way to say that there is none.
    Some(text(event, name)).filter(|text| !text.is_empty() && text != "0")
}

fn truth(event: &Value, name: &str) -> bool {
    let text = text(event, name);
    text.eq_ignore_ascii_case("true") || text == "1"
}

impl Event {
    /// Reads an event.
    pub(crate) fn read(event: &Value) -> Self {
        match text(event, "Type").as_str() {
            "AgentSessionStart" => Self::SessionStart(SessionStart {
                station: some(event, "StationPhoneNumber").or_else(|| some(event, "StationId")).unwrap_or_default(),
                can_mask: truth(event, "CanMask"),
                can_record: truth(event, "CanRecord"),
            }),
            "AgentSessionEnd" | "RemoteAgentSessionEnd" => Self::SessionEnd { message: text(event, "Message") },
            "AgentState" => Self::State(AgentState::read(event)),
            "AgentLeg" => Self::Leg(AgentLeg {
                id: text(event, "AgentLegId"),
                status: match text(event, "Status").to_ascii_lowercase().as_str() {
                    "active" => LegStatus::Up,
                    "dialing" | "ringing" => LegStatus::Dialing,
                    _ => LegStatus::Down,
                },
            }),
            "Mute" => Self::Mute(truth(event, "AgentMuted")),
            // The agent's own phone may come as a contact too; AgentLeg tells of it.
            "CallContactEvent" if text(event, "CallType") == "AgentLeg" => Self::Other,
            "CallContactEvent" => Self::Contact(Box::new(ContactEvent::read(event, Media::Call))),
            "ChatContactEvent" | "TextContactEvent" => Self::Contact(Box::new(ContactEvent::read(event, Media::Chat))),
            "EmailContactEvent" => Self::Contact(Box::new(ContactEvent::read(event, Media::Email))),
            "VoiceMailContactEvent" => Self::Contact(Box::new(ContactEvent::read(event, Media::Voicemail))),
            "WorkItemContactEvent" => Self::Contact(Box::new(ContactEvent::read(event, Media::WorkItem))),
            "DigitalContactEvent" => Self::Contact(Box::new(ContactEvent::read(event, Media::Digital))),
            "SessionStartFailed" => Self::StartFailed { message: text(event, "Message") },
            "Conference" => Self::Conference(text(event, "ConferenceNo")),
            "UpdateMessages" => Self::Messages,
            "PromiseKeeper" => Self::CallbackDue(event.clone()),
            "PromiseKeeperStatus" => Self::CallbackStatus(text(event, "Status")),
            "UpdateCallbacks" => Self::Callbacks,
            "PopURL" => Self::Pop { contact: text(event, "ContactId"), url: text(event, "URL") },
            "PageOpen" => Self::Pop { contact: text(event, "ContactID"), url: text(event, "PageUri") },
            "UpdateUnavailableCodes" | "UpdateSkills" | "UpdateTeams" => Self::ReadAgain,
            _ => Self::Other,
        }
    }
}

impl AgentState {
    fn read(event: &Value) -> Self {
        // The first is the next one; what stands behind it comes after that.
        let next = event["NextStates"].as_array().and_then(|states| states.first());
        Self {
            current: text(event, "CurrentState"),
            reason: text(event, "CurrentOutReason"),
            acw: truth(event, "IsAcw"),
            since: text(event, "StartTimeUTC"),
            acw_seconds: text(event, "AcwTimeout").parse().ok().filter(|seconds| *seconds > 0),
            next: next.map(|next| (text(next, "State"), text(next, "OutReason"))),
            next_acw: truth(event, "NextIsAcw"),
        }
    }

    /// The agent handles a contact.
    pub(crate) fn working(&self) -> bool {
        let idle = ["Available", "Unavailable", "LoggedIn", "LoggedOut", ""];
        !self.acw && !idle.iter().any(|name| self.current.eq_ignore_ascii_case(name))
    }
}

impl ContactEvent {
    fn read(event: &Value, media: Media) -> Self {
        let inbound = truth(event, "IsInbound");
        // CXone's own clients write them now with capitals and now without.
        let known = match text(event, "Status").to_ascii_lowercase().as_str() {
            "dialing" | "naturalcalldialing" | "naturalcallringing" | "naturalcallamd" => Some(Stage::Dialing),
            "ringing" if !inbound => Some(Stage::Dialing),
            "incoming" | "ringing" | "inviting" | "waiting" | "preview" => Some(Stage::Offered),
            "active" | "interrupted" => Some(Stage::Active),
            "holding" | "hold" | "parked" => Some(Stage::Held),
            "joined" | "conference" => Some(Stage::Joined),
            "masking" => Some(Stage::Masked),
            "disconnected" | "callbackdisconnected" | "discarded" | "transfer" | "closed" => Some(Stage::Over),
            _ => None,
        };
        let stage = known.unwrap_or_default();
        let id = some(event, "ContactID").or_else(|| some(event, "ContactId")).unwrap_or_default();
        let either = |one: &str, other: &str| some(event, one).or_else(|| some(event, other));
        Self {
            media,
            master: either("MasterID", "MasterId").unwrap_or_else(|| id.clone()),
            parent: either("ParentContactId", "ParentContactID").filter(|parent| *parent != id),
            id,
            stage,
            strange: known.is_none(),
            done: stage == Stage::Over && truth(event, "FinalState"),
            call_type: text(event, "CallType"),
            inbound,
            ani: either("ANI", "FromAddress").or_else(|| some(event, "From")).unwrap_or_default(),
            dnis: either("DNIS", "To").unwrap_or_default(),
            skill: either("Skill", "SkillId").unwrap_or_default(),
            started: text(event, "StartTimeUTC"),
            changed: text(event, "LastStateChangeTimeUTC"),
            url: some(event, "ScreenPopUrl"),
            code: text(event, "DisconnectCode"),
            recording: truth(event, "IsLogging"),
            manual: truth(event, "IsRequireManualAccept"),
            details: details(event, media),
        }
    }
}

/// What the desktop is shown of a contact that is no call, under its own name and CXone's.
fn details(event: &Value, media: Media) -> Vec<(&'static str, String)> {
    let names: &[(&str, &str)] = match media {
        Media::Voicemail => {
            &[("fileName", "FileName"), ("durationSeconds", "FileDuration"), ("voicemailType", "VoiceMailType")]
        }
        Media::WorkItem => {
            &[("workItemId", "WorkItemId"), ("workItemType", "WorkItemType"), ("workItemPayload", "WorkItemPayload")]
        }
        Media::Call | Media::Chat | Media::Email | Media::Digital => &[],
    };
    let given = names.iter().filter_map(|(ours, theirs)| Some((*ours, some(event, theirs)?)));
    let mut details: Vec<_> = given.collect();
    match media {
        Media::Voicemail => details.push(("mediaType", "voicemail".to_owned())),
        Media::WorkItem => details.push(("mediaType", "workitem".to_owned())),
        Media::Digital => {
            details.push(("mediaType", "digital".to_owned()));
            let words = "This contact can only be handled in NICE's own client.";
            details.push(("notHandledHere", words.to_owned()));
        }
        Media::Call | Media::Chat | Media::Email => {}
    }
    details
}
