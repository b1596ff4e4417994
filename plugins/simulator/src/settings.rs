//! A tenant's settings, as the manifest's schema describes them; every one has a default.
//!
//! Owns: what a tenant can configure, and the behaviour of each destination. Must never: be changed while the switch
//! runs. Data comes from the tenant's file, checked against the schema by the host, and goes to the switch.

use std::collections::BTreeMap;

use jackfield_plugin_api::{Code, Failure, Secret, report::ChannelType};
use serde::{Deserialize, Serialize};

/// All settings of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The address of a switch in another process, which outlives this one; none: the switch is here.
    pub switch: Option<String>,
    /// How long a destination rings before it answers, or says that it is busy or unreachable.
    pub ring_ms: u64,
    /// How long a call rings before it counts as unanswered.
    pub no_answer_ms: u64,
    /// How long a contact is offered to an agent before it is offered elsewhere.
    pub offer_ms: u64,
    /// After how long an agent who refused a contact, or let it ring, may be offered it again.
    pub reoffer_ms: u64,
    /// How long a contact waits in a queue before it is gone; 0: for ever.
    pub patience_ms: u64,
    /// An artificial delay of every command.
    pub latency_ms: u64,
    /// How long the link stays down when `link` does not say.
    pub link_ms: u64,
    /// What destinations do that are not listed.
    pub answer: Behaviour,
    /// What certain destinations do.
    pub destinations: BTreeMap<String, Destination>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// The channel groups.
    pub groups: Vec<Group>,
    /// The known dispositions; none: any.
    pub dispositions: Vec<String>,
    /// The known reasons for being not ready; none: any.
    pub reasons: Vec<Reason>,
    /// Endpoints that agents can choose from; they can add others too.
    pub endpoints: Vec<Endpoint>,
    /// Numbers outside that agents can choose from.
    pub directory: Vec<Number>,
    /// Whether agents go into after-call work when a contact has ended.
    pub acw: bool,
    /// How long after-call work lasts at most; 0: until the contact is completed.
    pub acw_ms: u64,
    /// The agents who may log in; none: anyone, with any password, and all may supervise.
    pub agents: Vec<Account>,
    /// Whether calls can be recorded.
    pub recording: bool,
    /// How many contacts a channel takes at a time.
    pub capacity: Capacity,
    /// What `askskill` asks for.
    pub skills: Vec<Skill>,
}

impl Default for Settings {
    fn default() -> Self {
        let member = |kind| GroupChannel { kind, endpoint: None, name: None, callback: false };
        Self {
            switch: None,
            ring_ms: 300,
            no_answer_ms: 20_000,
            offer_ms: 20_000,
            reoffer_ms: 10_000,
            patience_ms: 600_000,
            latency_ms: 0,
            link_ms: 1_000,
            answer: Behaviour::Answer,
            destinations: BTreeMap::new(),
            queues: vec![Queue::named("sales"), Queue::named("web")],
            groups: vec![Group {
                name: "all".to_owned(),
                channels: vec![
                    member(ChannelType::Telephony),
                    member(ChannelType::Chat),
                    member(ChannelType::Email),
                    GroupChannel {
                        kind: ChannelType::Telephony,
                        endpoint: None,
                        name: Some("Call-back".to_owned()),
                        callback: true,
                    },
                ],
            }],
            dispositions: Vec::new(),
            reasons: Vec::new(),
            endpoints: Vec::new(),
            directory: Vec::new(),
            acw: false,
            acw_ms: 0,
            agents: Vec::new(),
            recording: true,
            capacity: Capacity::default(),
            skills: vec![Skill::new("101", "Outbound sales"), Skill::new("102", "Outbound service")],
        }
    }
}

impl Settings {
    /// What the schema cannot say: names are used once.
    ///
    /// # Errors
    /// [`Code::Rejected`], naming what is there twice.
    pub fn check(&self) -> Result<(), Failure> {
        only_once("queue", self.queues.iter().map(|queue| queue.name()))?;
        only_once("group", self.groups.iter().map(|group| group.name.as_str()))?;
        only_once("agent", self.agents.iter().map(|agent| agent.id.as_str()))
    }

    /// The queue of that name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name() == name)
    }

    /// What happens when a number is called.
    #[must_use]
    pub fn plan(&self, number: &str) -> Plan {
        let listed = self.destinations.get(number);
        let behaviour = listed.and_then(|destination| destination.answer).unwrap_or(match number {
            "404" => Behaviour::Unreachable,
            "480" => Behaviour::NoAnswer,
            "486" => Behaviour::Busy,
            "503" => Behaviour::Refused,
            _ => self.answer,
        });
        Plan { behaviour, ring_ms: listed.and_then(|destination| destination.ring_ms).unwrap_or(self.ring_ms) }
    }
}

fn only_once<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Failure::new(Code::Rejected, format!("settings: {what} {name:?} is there twice")));
        }
    }
    Ok(())
}

/// What a destination does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaviour {
    /// Rings and answers.
    Answer,
    /// Is busy.
    Busy,
    /// Rings and is never answered.
    NoAnswer,
    /// Does not exist.
    Unreachable,
    /// The switch refuses to place the call.
    Refused,
}

/// What happens when a number is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How it ends.
    pub behaviour: Behaviour,
    /// After how long.
    pub ring_ms: u64,
}

/// A destination with a behaviour of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// What it does.
    #[serde(default)]
    pub answer: Option<Behaviour>,
    /// How long it rings.
    #[serde(default)]
    pub ring_ms: Option<u64>,
}

/// A queue: its name, or more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Queue {
    /// Only its name.
    Name(String),
    /// With what belongs to it.
    Full(QueueDetails),
}

/// A queue with what belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueDetails {
    /// Its name.
    pub name: String,
    /// The address that a desktop opens for its contacts; `{contact}` and `{from}` are filled in.
    #[serde(default)]
    pub url: Option<String>,
    /// The dispositions of its contacts; none: all that there are.
    #[serde(default)]
    pub dispositions: Vec<String>,
}

impl Queue {
    fn named(name: &str) -> Self {
        Self::Name(name.to_owned())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Full(details) => &details.name,
        }
    }

    /// The address for its contacts, with blanks.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Full(details) => details.url.as_deref(),
        }
    }

    /// The dispositions of its contacts; none: all that there are.
    #[must_use]
    pub fn dispositions(&self) -> &[String] {
        match self {
            Self::Name(_) => &[],
            Self::Full(details) => &details.dispositions,
        }
    }
}

/// An endpoint that agents can choose.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The endpoint.
    pub endpoint: String,
    /// The type of channel that it is for.
    #[serde(rename = "type")]
    pub kind: ChannelType,
    /// What a desktop shows.
    #[serde(default)]
    pub name: Option<String>,
}

/// A number outside that agents can choose.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The number.
    pub number: String,
    /// Whose it is.
    pub name: String,
    /// The book in which it stands; none: in none.
    #[serde(default)]
    pub book: Option<String>,
}

/// A channel group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its channels, in order.
    pub channels: Vec<GroupChannel>,
}

/// A channel of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupChannel {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ChannelType,
    /// Its endpoint; `{agent}` and `{extension}` are filled in.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What the desktop shows.
    #[serde(default)]
    pub name: Option<String>,
    /// It is there only when call-back channels are asked for.
    #[serde(default)]
    pub callback: bool,
}

/// A reason for being not ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Its code.
    pub code: String,
    /// In words.
    #[serde(default)]
    pub desc: Option<String>,
}

/// An agent who may log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The agent.
    pub id: String,
    /// What colleagues are shown; none: the id.
    #[serde(default)]
    pub name: Option<String>,
    /// The password.
    pub password: Secret,
    /// May hear colleagues' calls.
    #[serde(default)]
    pub supervisor: bool,
}

/// How many contacts a channel takes at a time; a telephone always one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capacity {
    /// Chats.
    pub chat: usize,
    /// E-mails.
    pub email: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { chat: 1, email: 1 }
    }
}

/// A skill that `askskill` asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skill {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Skill {
    fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned() }
    }
}
