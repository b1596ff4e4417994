//! Who and what the emulated CXone knows: business units, agents, skills, books, scripts.
//!
//! Owns the shape of the data file and the demonstration data. Never changes while the emulator runs, but for what the
//! control endpoint edits (entries of dynamic address books, counts of skills).

use std::path::Path;

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviour;

/// An agent's number in CXone, unique in the whole emulator.
pub type AgentId = u64;
/// A skill's number.
pub type SkillId = u64;

/// The data file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Applications that may ask for tokens.
    pub client: Vec<Client>,
    /// The tenants of the emulated CXone.
    pub business_unit: Vec<BusinessUnit>,
    /// How quick things happen.
    #[serde(default)]
    pub timing: Timing,
    /// What is assumed where the documents are silent.
    #[serde(default)]
    pub behaviour: Behaviour,
}

/// An application: id and secret of HTTP Basic at the token endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The id.
    pub id: String,
    /// The secret.
    pub secret: String,
}

/// How quick things happen, in milliseconds unless the name says otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// From the 202 of a command to what it causes.
    pub event_delay: u64,
    /// How long a called party's phone rings before it answers, and before it turns out to be busy.
    pub ring: u64,
    /// How long the agent's own phone rings before it is answered.
    pub agent_phone_ring: u64,
    /// Life of an access token, in seconds.
    pub token_seconds: u64,
    /// One answer in so many hands out a new session id.
    pub new_session_id_every: u64,
    /// Overrides a session's inactivity timeout, in seconds.
    pub inactivity_seconds: Option<u64>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            event_delay: 20,
            ring: 300,
            agent_phone_ring: 100,
            token_seconds: 3600,
            new_session_id_every: 2,
            inactivity_seconds: None,
        }
    }
}

/// A tenant of CXone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessUnit {
    /// Its number.
    pub id: String,
    /// Its tenant id, as in the id token.
    pub tenant_id: String,
    /// How many parties a conference may have.
    #[serde(default = "three")]
    pub max_conference_parties: usize,
    /// Unavailable codes, the same for all teams.
    #[serde(default)]
    pub unavailable_code: Vec<UnavailableCode>,
    /// Skills.
    #[serde(default)]
    pub skill: Vec<Skill>,
    /// Agents.
    #[serde(default)]
    pub agent: Vec<Agent>,
    /// More agents, all alike.
    #[serde(default)]
    pub crowd: Option<Crowd>,
    /// Address books.
    #[serde(default)]
    pub address_book: Vec<AddressBook>,
    /// Scripts.
    #[serde(default)]
    pub script: Vec<Script>,
}

fn three() -> usize {
    3
}

/// A reason for being unavailable.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnavailableCode {
    /// Its number.
    pub id: u64,
    /// Its name, which commands and events use.
    pub name: String,
    /// After-contact work: only while a contact is handled.
    #[serde(default)]
    pub acw: bool,
}

/// A skill: a queue, or what an outbound call is made for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skill {
    /// Its number.
    pub id: SkillId,
    /// Its name.
    pub name: String,
    /// `phone`, `chat`, `email`, `voicemail`, `workitem` or `digital`.
    pub media: Media,
    /// For calls that agents make.
    #[serde(default)]
    pub outbound: bool,
    /// `Manual`, or a dialler's.
    #[serde(default = "manual")]
    pub strategy: String,
    /// Whether its contacts are followed by after-contact work.
    #[serde(default)]
    pub acw: bool,
    /// Its dispositions.
    #[serde(default)]
    pub disposition: Vec<Disposition>,
    /// Whether a contact must be given a disposition.
    #[serde(default)]
    pub require_disposition: bool,
    /// Tags that its contacts can be given.
    #[serde(default)]
    pub tag: Vec<Tag>,
    /// It is still used.
    #[serde(default = "yes")]
    pub active: bool,
    /// Agents may not choose it for calls that they make.
    #[serde(default)]
    pub restricted: bool,
    /// Contacts that wait.
    #[serde(default)]
    pub queued: u64,
}

/// A mark for a contact.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Its number.
    pub id: u64,
    /// Its text.
    pub name: String,
}

fn manual() -> String {
    "Manual".to_owned()
}

/// What a skill's contacts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Calls.
    Phone,
    /// Chats.
    Chat,
    /// E-mails.
    Email,
    /// Recorded messages.
    Voicemail,
    /// Things to do that some system has sent.
    WorkItem,
    /// Contacts of the digital channels, which another API handles.
    Digital,
}

impl Media {
    /// CXone's number of it.
    #[must_use]
    pub const fn id(self) -> u64 {
        match self {
            Self::Email => 1,
            Self::Chat => 3,
            Self::Phone => 4,
            Self::Voicemail => 5,
            Self::WorkItem => 6,
            Self::Digital => 9,
        }
    }

    /// CXone's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "E-Mail",
            Self::Chat => "Chat",
            Self::Phone => "Phone Call",
            Self::Voicemail => "Voice Mail",
            Self::WorkItem => "Work Item",
            Self::Digital => "Digital",
        }
    }
}

/// How a contact can have ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disposition {
    /// Its number.
    pub id: u64,
    /// Its text.
    pub name: String,
}

/// An agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its number.
    pub id: AgentId,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// The team's number.
    pub team: u64,
    /// The skills' numbers.
    #[serde(default)]
    pub skills: Vec<SkillId>,
    /// The access key's id.
    pub key_id: String,
    /// The access key's secret.
    pub key_secret: String,
    /// May act for other agents (`asAgentId`).
    #[serde(default)]
    pub supervisor: bool,
    /// May record and mask.
    #[serde(default = "yes")]
    pub can_record: bool,
    /// Calls that this user may not make, as the counts name them.
    #[serde(default)]
    pub denied: Vec<String>,
    /// May see skills as an administrator does, which newer versions of some calls want.
    #[serde(default)]
    pub views_skills: bool,
    /// Calls to this agent must be accepted by the client (`IsRequireManualAccept`).
    #[serde(default)]
    pub manual_accept: bool,
}

fn yes() -> bool {
    true
}

/// Agents that are all alike: `count` of them from `first_id`, with keys `<key>-<id>` and secrets `secret-<id>`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// How many.
    pub count: u64,
    /// The first one's number.
    pub first_id: AgentId,
    /// How the ids of their keys begin.
    pub key: String,
    /// The team's number.
    pub team: u64,
    /// The skills' numbers.
    #[serde(default)]
    pub skills: Vec<SkillId>,
}

/// An address book.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressBook {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether its entries change all the time.
    #[serde(default)]
    pub dynamic: bool,
    /// Its entries.
    #[serde(default)]
    pub entry: Vec<Entry>,
}

/// An entry of an address book.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entry {
    /// Its number; a dynamic book's may have any text.
    pub id: String,
    /// First name.
    #[serde(default)]
    pub first_name: String,
    /// Last name.
    #[serde(default)]
    pub last_name: String,
    /// Company.
    #[serde(default)]
    pub company: String,
    /// Telephone.
    #[serde(default)]
    pub phone: String,
    /// Mobile telephone.
    #[serde(default)]
    pub mobile: String,
    /// E-mail address.
    #[serde(default)]
    pub email: String,
    /// State, in a dynamic book.
    #[serde(default)]
    pub state: String,
}

/// A script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub media: Media,
}

impl Data {
    /// The demonstration data: two business units, `Blue` with five agents and `Green` with two.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn demo() -> Self {
        Self::read(Toml::string(include_str!("demo.toml"))).expect("the demonstration data is valid")
    }

    /// Reads a data file.
    ///
    /// # Errors
    /// The file cannot be read or has another shape; the text says where.
    pub fn file(path: &Path) -> Result<Self, String> {
        Self::read(Toml::file_exact(path))
    }

    fn read(provider: impl figment::Provider) -> Result<Self, String> {
        let mut data: Self = Figment::from(provider).extract().map_err(|error| error.to_string())?;
        for unit in &mut data.business_unit {
            if let Some(crowd) = unit.crowd.take() {
                unit.agent.extend(crowd.agents());
            }
        }
        Ok(data)
    }

    /// Adds `count` agents to the first business unit, with the ids, keys and secrets that [`Crowd`] says.
    pub fn add_crowd(&mut self, crowd: Crowd) {
        self.business_unit[0].agent.extend(crowd.agents());
    }

    /// An agent and its business unit.
    #[must_use]
    pub fn agent(&self, id: AgentId) -> Option<(&BusinessUnit, &Agent)> {
        self.business_unit.iter().find_map(|unit| Some((unit, unit.agent.iter().find(|agent| agent.id == id)?)))
    }
}

impl Crowd {
    fn agents(self) -> impl Iterator<Item = Agent> {
        (self.first_id..self.first_id + self.count).map(move |id| Agent {
            id,
            first_name: "Agent".to_owned(),
            last_name: id.to_string(),
            team: self.team,
            skills: self.skills.clone(),
            key_id: format!("{}-{id}", self.key),
            key_secret: format!("secret-{id}"),
            supervisor: false,
            can_record: true,
            denied: Vec::new(),
            views_skills: false,
            manual_accept: false,
        })
    }
}

impl BusinessUnit {
    /// A skill by its number.
    #[must_use]
    pub fn skill(&self, id: SkillId) -> Option<&Skill> {
        self.skill.iter().find(|skill| skill.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::Data;

    #[test]
    fn the_demonstration_data_is_valid_and_its_agents_have_numbers_of_their_own() {
        let data = Data::demo();
        let mut ids: Vec<_> = data.business_unit.iter().flat_map(|unit| &unit.agent).map(|agent| agent.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
