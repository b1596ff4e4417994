//! CXone's events, read.
//!
//! Owns: which members of an event mean what. CXone writes every value as a string and booleans as `True` and `False`, and
//! its own clients read the names of members with and without capitals: here a value may be of its own type, and the case
//! of a name does not count. What an event of a contact leaves out holds on from the word before; what is missing or strange
//! otherwise is read as the harmless thing, because an event that cannot be read must not stop those behind it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::StationKind;

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
    /// The session was to end, and has not.
    SessionGoesOn {
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
    /// The station's telephone number; empty where it is not told.
    pub(crate) station: String,
    /// The station's id; empty where it is not told.
    pub(crate) station_id: String,
    /// Whether recordings can be masked. `None`: not told, and CXone decides.
    pub(crate) can_mask: Option<bool>,
    /// Whether the agent may record, likewise.
    pub(crate) can_record: Option<bool>,
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

/// What kind of call it is, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CallType {
    /// With somebody outside, or of a kind that makes no difference.
    #[default]
    Regular,
    /// With a colleague who is asked for advice.
    Consult,
    /// From an agent's own queue.
    PersonalQueue,
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
    /// Over, and nothing is left to be done.
    pub(crate) done: bool,
    pub(crate) call_type: CallType,
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

/// A member of an event, however its name is written.
fn member<'a>(event: &'a Value, name: &str) -> &'a Value {
    let of_another_case = || {
        let mut members = event.as_object()?.iter();
        members.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    event.get(name).or_else(of_another_case).unwrap_or(&Value::Null)
}

fn text(event: &Value, name: &str) -> String {
    match member(event, name) {
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

/// A boolean; `None` where it is not told.
fn told(event: &Value, name: &str) -> Option<bool> {
    match text(event, name).to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn truth(event: &Value, name: &str) -> bool {
    told(event, name).unwrap_or_default()
}

/// A word of CXone's for comparing: without capitals and spaces.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl Event {
    /// Whether an event is the start of a session, behind which the rest of its batch belongs.
    pub(crate) fn is_start(event: &Value) -> bool {
        text(event, "Type").eq_ignore_ascii_case("AgentSessionStart")
    }

    /// Reads an event; `known` gives the last word on a contact.
    pub(crate) fn read<'a>(event: &Value, known: impl FnOnce(&str) -> Option<&'a ContactEvent>) -> Self {
        let message = || text(event, "Message");
        let media = match text(event, "Type").to_ascii_lowercase().as_str() {
            // The agent's own phone may come as a contact too; AgentLeg tells of it.
            "callcontactevent" if plain(&text(event, "CallType")) == "agentleg" => return Self::Other,
            "callcontactevent" => Media::Call,
            "chatcontactevent" | "textcontactevent" => Media::Chat,
            "emailcontactevent" => Media::Email,
            "voicemailcontactevent" => Media::Voicemail,
            "workitemcontactevent" => Media::WorkItem,
            "digitalcontactevent" => Media::Digital,
            "agentsessionstart" => return Self::SessionStart(SessionStart::read(event)),
            "agentsessionend" if told(event, "Success") == Some(false) => {
                return Self::SessionGoesOn { message: message() };
            }
            "agentsessionend" | "remoteagentsessionend" => return Self::SessionEnd { message: message() },
            "agentstate" => return Self::State(AgentState::read(event)),
            "agentleg" => return AgentLeg::read(event).map_or(Self::Other, Self::Leg),
            "mute" => return told(event, "AgentMuted").map_or(Self::Other, Self::Mute),
            "sessionstartfailed" => return Self::StartFailed { message: message() },
            "conference" => return some(event, "ConferenceNo").map_or(Self::Other, Self::Conference),
            "updatemessages" => return Self::Messages,
            "promisekeeper" => return Self::CallbackDue(event.clone()),
            "promisekeeperstatus" => return Self::CallbackStatus(text(event, "Status")),
            "updatecallbacks" => return Self::Callbacks,
            "popurl" => return Self::Pop { contact: text(event, "ContactId"), url: text(event, "URL") },
            "pageopen" => return Self::Pop { contact: text(event, "ContactID"), url: text(event, "PageUri") },
            "updateunavailablecodes" | "updateskills" | "updateteams" => return Self::ReadAgain,
            _ => return Self::Other,
        };
        let contact = some(event, "ContactID").map(|id| ContactEvent::read(event, media, known(&id), id));
        contact.map_or(Self::Other, |contact| Self::Contact(Box::new(contact)))
    }
}

impl SessionStart {
    /// The station as the tenant's agents name it; empty where CXone does not tell.
    pub(crate) fn endpoint(&self, kind: StationKind) -> &str {
        let (first, second) = match kind {
            StationKind::PhoneNumber => (&self.station, &self.station_id),
            StationKind::StationId => (&self.station_id, &self.station),
        };
        if first.is_empty() { second } else { first }
    }

    fn read(event: &Value) -> Self {
        Self {
            station: some(event, "StationPhoneNumber").unwrap_or_default(),
            station_id: some(event, "StationId").unwrap_or_default(),
            can_mask: told(event, "CanMask"),
            can_record: told(event, "CanRecord"),
        }
    }
}

impl AgentLeg {
    /// `None`: nothing that is understood is said of it.
    fn read(event: &Value) -> Option<Self> {
        let status = match plain(&text(event, "Status")).as_str() {
            "active" | "connected" => LegStatus::Up,
            "dialing" | "ringing" => LegStatus::Dialing,
            "disconnected" | "" => LegStatus::Down,
            _ if truth(event, "FinalState") => LegStatus::Down,
            _ => return None,
        };
        Some(Self { id: text(event, "AgentLegId"), status })
    }
}

impl AgentState {
    fn read(event: &Value) -> Self {
        // The first is the next one; what stands behind it comes after that.
        let next = member(event, "NextStates").as_array().and_then(|states| states.first());
        let next = next.map(|next| (text(next, "State"), text(next, "OutReason")));
        let current = text(event, "CurrentState");
        Self {
            reason: text(event, "CurrentOutReason"),
            acw: told(event, "IsAcw").unwrap_or_else(|| matches!(plain(&current).as_str(), "aftercallwork" | "acw")),
            since: text(event, "StartTimeUTC"),
            acw_seconds: text(event, "AcwTimeout").parse().ok().filter(|seconds| *seconds > 0),
            next: next.filter(|(state, _)| !state.is_empty()),
            next_acw: truth(event, "NextIsAcw"),
            current,
        }
    }

    /// The agent handles a contact.
    pub(crate) fn working(&self) -> bool {
        let idle = ["available", "unavailable", "loggedin", "loggedout", ""];
        !self.acw && !idle.contains(&plain(&self.current).as_str())
    }
}

impl ContactEvent {
    /// It tells of a call that is made, and not of one that is offered.
    pub(crate) fn is_called(&self) -> bool {
        self.stage == Stage::Dialing || self.stage != Stage::Offered && !self.inbound
    }

    fn read(event: &Value, media: Media, before: Option<&Self>, id: String) -> Self {
        let inbound = told(event, "IsInbound").or(before.map(|before| before.inbound));
        let called = before.is_some_and(|before| before.stage == Stage::Dialing) || inbound == Some(false);
        // CXone's own clients write them now with capitals and now without.
        let known = match plain(&text(event, "Status")).as_str() {
            "dialing" | "naturalcalldialing" | "naturalcallringing" | "naturalcallamd" => Some(Stage::Dialing),
            "ringing" if called => Some(Stage::Dialing),
            "incoming" | "ringing" | "inviting" | "waiting" | "preview" => Some(Stage::Offered),
            "active" | "interrupted" => Some(Stage::Active),
            "holding" | "hold" | "parked" => Some(Stage::Held),
            "joined" | "conference" => Some(Stage::Joined),
            "masking" => Some(Stage::Masked),
            "disconnected" | "callbackdisconnected" | "discarded" | "transfer" | "closed" => Some(Stage::Over),
            // It is not understood, but nothing is left of it.
            _ if truth(event, "FinalState") => Some(Stage::Over),
            _ => before.map(|before| before.stage),
        };
        let stage = known.unwrap_or_default();
        let held = |member: fn(&Self) -> &String| before.map(member).cloned().filter(|text| !text.is_empty());
        let either = |one: &str, other: &str| some(event, one).or_else(|| some(event, other));
        let parent = match some(event, "ParentContactId") {
            Some(parent) => Some(parent).filter(|parent| *parent != id),
            None => before.and_then(|before| before.parent.clone()),
        };
        let call_type = match plain(&text(event, "CallType")).as_str() {
            "" => before.map(|before| before.call_type).unwrap_or_default(),
            "consult" => CallType::Consult,
            "personalqueue" => CallType::PersonalQueue,
            _ => CallType::Regular,
        };
        Self {
            media,
            master: some(event, "MasterID").or_else(|| held(|it| &it.master)).unwrap_or_else(|| id.clone()),
            parent,
            id,
            stage,
            done: stage == Stage::Over && truth(event, "FinalState"),
            call_type,
            inbound: inbound.unwrap_or(stage == Stage::Offered),
            ani: either("ANI", "FromAddress")
                .or_else(|| some(event, "From"))
                .or_else(|| held(|it| &it.ani))
                .unwrap_or_default(),
            dnis: either("DNIS", "To").or_else(|| held(|it| &it.dnis)).unwrap_or_default(),
            skill: skill(event).or_else(|| held(|it| &it.skill)).unwrap_or_default(),
            started: some(event, "StartTimeUTC").or_else(|| held(|it| &it.started)).unwrap_or_default(),
            changed: text(event, "LastStateChangeTimeUTC"),
            url: some(event, "ScreenPopUrl").or_else(|| before.and_then(|before| before.url.clone())),
            code: some(event, "DisconnectCode").or_else(|| held(|it| &it.code)).unwrap_or_default(),
            recording: told(event, "IsLogging").or(before.map(|before| before.recording)).unwrap_or_default(),
            manual: told(event, "IsRequireManualAccept").or(before.map(|before| before.manual)).unwrap_or_default(),
            details: details(event, media, before),
        }
    }
}

/// The skill's number, where it is told; else its name, which the documents have under the same member.
fn skill(event: &Value) -> Option<String> {
    let given = ["Skill", "SkillId", "SkillNo"].into_iter().filter_map(|name| some(event, name));
    let given: Vec<_> = given.collect();
    let number = given.iter().find(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.or(given.first()).cloned()
}

/// What the desktop is shown of a contact that is no call, under its own name and CXone's.
fn details(event: &Value, media: Media, before: Option<&ContactEvent>) -> Vec<(&'static str, String)> {
    let names: &[(&str, &str)] = match media {
        Media::Voicemail => {
            &[("fileName", "FileName"), ("durationSeconds", "FileDuration"), ("voicemailType", "VoiceMailType")]
        }
        Media::WorkItem => {
            &[("workItemId", "WorkItemId"), ("workItemType", "WorkItemType"), ("workItemPayload", "WorkItemPayload")]
        }
        Media::Call | Media::Chat | Media::Email | Media::Digital => &[],
    };
    let held = |ours: &str| before?.details.iter().find(|(name, _)| *name == ours).map(|(_, value)| value.clone());
    let given = names.iter().filter_map(|(ours, theirs)| Some((*ours, some(event, theirs).or_else(|| held(ours))?)));
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
