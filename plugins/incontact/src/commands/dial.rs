//! Calls out, and the question for the outbound skill.

use jackfield_plugin_api::{Code, Failure, Json, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{act, number, phone, rejected};
use crate::{
    api::{Group, active, text, truth},
    line::Line,
    model::{After, Facts, Stage, Verdict, cause},
};

/// Where a call goes.
pub(super) enum Destination {
    Phone(String),
    Agent(String),
    Skill(String),
}

impl Destination {
    /// Agents and skills are written as the address book gives them: `agent:1002`, `skill:101`.
    pub(super) fn read(text: &str) -> Self {
        match text.split_once(':') {
            Some(("agent", id)) => Self::Agent(id.to_owned()),
            Some(("skill", id)) => Self::Skill(id.to_owned()),
            _ => Self::Phone(text.to_owned()),
        }
    }
}

/// What the desktop has been told to answer with.
#[derive(Deserialize)]
struct Answered {
    skill: Option<Chosen>,
}

#[derive(Deserialize)]
struct Chosen {
    id: Value,
}

/// A skill that an agent can call out with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutboundSkill {
    pub(super) id: String,
    name: String,
}

pub(super) async fn dial(line: &Line, destination: &str, extensions: &Json) -> Outcome {
    match Destination::read(destination) {
        Destination::Phone(phone) => {
            let skill = match skill_for(line, extensions).await {
                Ok(Some(skill)) => skill,
                Ok(None) => return ask_for_skill(line).await,
                Err(failure) => return failure.into(),
            };
            let params = json!({"phoneNumber": phone, "skillId": number(&skill)});
            place(line, Group::Interaction, "dial-phone", params).await.into()
        }
        Destination::Agent(id) => {
            place(line, Group::Interaction, "dial-agent", json!({"targetAgentId": number(&id)})).await.into()
        }
        Destination::Skill(id) => {
            place(line, Group::Interaction, "dial-skill", json!({"skillId": number(&id)})).await.into()
        }
    }
}

/// Makes a call that becomes an interaction of its own.
pub(super) async fn place(line: &Line, group: Group, path: &str, params: Value) -> Result<(), Failure> {
    phone::phone_up(line).await?;
    let known = known_contacts(line);
    let contact = act(line, After::Nothing, group, path, params, new_call(known)).await?;
    // It has been reported by now unless it is held back; nothing of ours holds it.
    let key = line.with(|model| model.cases.key_of(&model.facts, &contact));
    let waiting = super::Waiting::new(line, After::Case(key), move |_| Some(Ok(contact.clone())));
    waiting.come(path).await.map(drop)
}

pub(super) fn known_contacts(line: &Line) -> Vec<String> {
    line.look(|facts| facts.contacts.iter().map(|contact| contact.now.id.clone()).collect())
}

/// Looks for a call out that was not there before: CXone carries commands out in order, so it is the one that was asked
/// for. One that is over at once is a failure.
pub(super) fn new_call(known: Vec<String>) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    move |facts| {
        let new = facts.contacts.iter().find(|contact| contact.made_here() && !known.contains(&contact.now.id))?;
        if new.now.stage == Stage::Over && !new.spoken {
            return Some(Err(failed(&new.now.code)));
        }
        Some(Ok(new.now.id.clone()))
    }
}

/// Why a called party was not reached.
pub(super) fn failed(code: &str) -> Failure {
    use jackfield_plugin_api::report::Cause;
    let (ours, words) = match cause(code) {
        Some(Cause::Busy) => (Code::Busy, "the called party is busy"),
        _ => (Code::Unreachable, "the called party was not reached"),
    };
    Failure::new(ours, words).context(format!("CXone: DisconnectCode {code:?}"))
}

/// The skill that a dial goes out with: the chosen one, or the only one. `None`: the agent must be asked.
async fn skill_for(line: &Line, extensions: &Json) -> Result<Option<String>, Failure> {
    let skills = outbound_skills(line).await?;
    let answered: Option<Answered> = extensions.parse().ok();
    if let Some(chosen) = answered.and_then(|answered| answered.skill) {
        let id = chosen.id.as_str().map_or_else(|| chosen.id.to_string(), str::to_owned);
        if skills.iter().any(|skill| skill.id == id) {
            return Ok(Some(id));
        }
        let failure = rejected(format!("{id} is not an outbound skill of this agent"));
        return Err(failure.context(format!("CXone: the agent's are {}", names(&skills))));
    }
    match &skills[..] {
        [] => Err(rejected("the agent has no skill to call out with").context(
            "CXone: none of the agent's skills is active, outbound, manual or SmartReach, for calls and not restricted",
        )),
        [only] => Ok(Some(only.id.clone())),
        _ => Ok(None),
    }
}

fn names(skills: &[OutboundSkill]) -> String {
    skills.iter().map(|skill| format!("{} ({})", skill.id, skill.name)).collect::<Vec<_>>().join(", ")
}

async fn ask_for_skill(line: &Line) -> Outcome {
    match outbound_skills(line).await {
        Ok(skills) => {
            let skills = skills.iter().map(|skill| json!({"id": skill.id, "skillName": skill.name}));
            let question = json!({"id": "inContact.outboundskill", "skills": skills.collect::<Vec<_>>()});
            Outcome::NeedInfo(question.into())
        }
        Err(failure) => failure.into(),
    }
}

/// The skill of a call that the desktop cannot be asked about: a consult, a blind call.
pub(super) async fn skill_without_asking(line: &Line) -> Result<String, Failure> {
    let skills = outbound_skills(line).await?;
    let preferred = line.api.settings.consult_skill.map(|id| id.to_string());
    let preferred = preferred.and_then(|id| skills.iter().find(|skill| skill.id == id));
    match preferred.or(skills.first()) {
        Some(skill) => Ok(skill.id.clone()),
        None => Err(rejected("the agent has no skill to call out with")),
    }
}

/// The agent's skills that he can call out with: active, outbound, for calls, dialled by agents, and not restricted.
async fn outbound_skills(line: &Line) -> Result<Vec<OutboundSkill>, Failure> {
    let skills = skills(line).await?;
    // Who has no member that says no is taken: CXone refuses what it does not want.
    let usable = skills.iter().filter(|skill| {
        let is = |name: &str, wanted: &[&str]| {
            let told = text(skill, name).replace(' ', "");
            told.is_empty() || wanted.iter().any(|wanted| told.eq_ignore_ascii_case(wanted))
        };
        let active = active(skill) && is("isSkillActive", &["true"]);
        let by_agents = is("outboundStrategy", &["Manual", "SmartReach"]);
        let for_calls = match text(skill, "mediaTypeId").as_str() {
            "" => is("mediaTypeName", &["PhoneCall", "Phone", "Voice"]),
            id => id == "4",
        };
        active && truth(skill, "isOutbound") && by_agents && for_calls && !truth(skill, "isRestricted")
    });
    Ok(usable.map(|skill| OutboundSkill { id: text(skill, "skillId"), name: text(skill, "skillName") }).collect())
}

/// The agent's skills, as CXone tells of them.
pub(super) async fn skills(line: &Line) -> Result<Vec<Value>, Failure> {
    if let Some(skills) = line.lists().skills.clone() {
        return Ok(skills);
    }
    let path = format!("agents/{}/skills", line.agent);
    let skills = line.api.all_pages(&line.key, Group::Admin, &path, json!({})).await?.items;
    line.lists().skills = Some(skills.clone());
    Ok(skills)
}
