//! What a desktop of CXone has beside calls and contacts: queues, supervision, voice mail, single parties of a conference,
//! and signing in again.

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    report::{ConversationAt, SupervisionMode},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{act, contact, dial, no_params, number, path, rejected, until, with_case};
use crate::{
    api::{Group, text},
    line::Line,
    model::{After, Contact, Media, Stage},
    sign_in::{self, CodeAnswer},
};

/// The queues of the agent's skills: how many wait, since when, and who is there to serve them.
pub(super) async fn queues(line: &Line) -> Outcome {
    match read_queues(line).await {
        Ok(queues) => Outcome::data(json!({"queues": queues})),
        Err(failure) => failure.into(),
    }
}

async fn read_queues(line: &Line) -> Result<Vec<Value>, Failure> {
    let activity = line.api.all_pages(&line.key, Group::Realtime, "skills/activity", json!({})).await;
    let activity = match activity {
        Ok(pages) => pages.items,
        // Who may not read it of all skills may read his own queues, without who serves them.
        Err(refusal) if matches!(refusal.status(), Some(403 | 404)) => return own_queues(line).await,
        Err(refusal) => return Err(refusal.into()),
    };
    let mine: Vec<_> = dial::skills(line).await?.iter().map(|skill| text(skill, "skillId")).collect();
    let shown = activity.iter().filter(|skill| mine.contains(&text(skill, "skillId"))).map(|skill| {
        let mut queue = json!({
            "skillId": text(skill, "skillId"), "skillName": text(skill, "skillName"),
            "mediaType": text(skill, "mediaTypeName"),
        });
        for (ours, theirs) in [
            ("waiting", "queueCount"),
            ("numAvailable", "agentsAvailable"),
            ("numUnavailable", "agentsUnavailable"),
            ("numWorking", "agentsWorking"),
            ("oldestSince", "earliestQueueTime"),
        ] {
            if !skill[theirs].is_null() {
                queue[ours] = skill[theirs].clone();
            }
        }
        queue
    });
    Ok(shown.collect())
}

async fn own_queues(line: &Line) -> Result<Vec<Value>, Failure> {
    let path = format!("agents/{}/queues", line.agent);
    let since = json!({"updatedSince": "1970-01-01T00:00:00.000Z"});
    let queues = line.api.all_pages(&line.key, Group::Admin, &path, since).await?.items;
    let shown = queues.iter().map(|queue| {
        let media = text(queue, "mediaType").parse::<u64>().map(Media::from);
        let mut shown = json!({
            "skillId": text(queue, "skillId"), "skillName": text(queue, "skillName"),
            "mediaType": media.map(|media| media.name()).unwrap_or_default(), "waiting": queue["queueCount"],
        });
        if !queue["earliestQueueTimeInUTC"].is_null() {
            shown["oldestSince"] = queue["earliestQueueTimeInUTC"].clone();
        }
        shown
    });
    Ok(shown.collect())
}

/// Asks for one more contact of a kind.
pub(super) async fn add_contact(line: &Line, data: &Map<String, Value>) -> Result<(), Failure> {
    let name = match data.get("kind").and_then(Value::as_str) {
        Some("chat") => "chat",
        Some("email") => "email",
        Some("workitem") => "workItem",
        _ => return Err(Failure::new(Code::BadRequest, "kind is chat, email or workitem")),
    };
    line.post(Group::Session, "add-contact", json!({name: true})).await
}

/// Listens to a colleague's call, speaks to him alone, or joins it.
pub(super) async fn supervise(line: &Line, agent: &str, mode: SupervisionMode) -> Result<(), Failure> {
    let call = match mode {
        SupervisionMode::Listen => "monitor",
        SupervisionMode::Whisper => "coach",
        SupervisionMode::Barge => "barge",
        _ => return Err(Failure::new(Code::Unsupported, "CXone has no such supervision")),
    };
    to_call_of(line, agent, call).await
}

/// Takes a colleague's call over.
pub(super) async fn take_over(line: &Line, data: &Map<String, Value>) -> Result<(), Failure> {
    let agent = match data.get("agent") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(Failure::new(Code::BadRequest, "agent is the number of an agent")),
    };
    to_call_of(line, &agent, "take-over").await
}

/// Asks CXone for a part in a colleague's call: by his number, or his address in the directory.
async fn to_call_of(line: &Line, agent: &str, call: &str) -> Result<(), Failure> {
    let agent = agent.strip_prefix("agent:").unwrap_or(agent);
    super::phone::phone_up(line).await?;
    line.post(Group::Session, call, json!({"targetAgentId": number(agent)})).await
}

/// Plays a voice mail to the agent's phone, from a position in seconds.
pub(super) async fn play(line: &Line, key: &str, data: &Map<String, Value>) -> Result<(), Failure> {
    if with_case(line, key, |case, _| Ok(case.media))? != Media::Voicemail {
        return Err(Failure::new(Code::Unsupported, "this is no voice mail"));
    }
    let contact = contact::lead(line, key)?;
    super::phone::phone_up(line).await?;
    let position = data.get("position").and_then(Value::as_u64).unwrap_or(0);
    let params = json!({"playtimestamp": "", "position": position});
    line.post(Group::Voicemail, &path(&contact, "play-voicemail"), params).await
}

/// Ends the call of one party of a conference, by its address; the others stay.
pub(super) async fn release_party(line: &Line, at: &ConversationAt, data: &Map<String, Value>) -> Result<(), Failure> {
    let address = data.get("address").and_then(Value::as_str).unwrap_or_default();
    let is = |it: &Contact| address == if it.now.inbound { &it.now.ani } else { &it.now.dnis };
    let nobody = || rejected(format!("{address:?} is no party of the conference"));
    end_party(line, at, is, nobody).await
}

/// The same, by its key as a member.
pub(super) async fn remove_member(line: &Line, at: &ConversationAt, member: &str) -> Result<(), Failure> {
    let nobody = || Failure::new(Code::NotFound, "CXone no longer has this party");
    end_party(line, at, |it| it.now.id == member, nobody).await
}

async fn end_party(
    line: &Line,
    at: &ConversationAt,
    is: impl Fn(&Contact) -> bool,
    nobody: impl Fn() -> Failure,
) -> Result<(), Failure> {
    let contact = with_case(line, &at.interaction, |case, facts| {
        let conv = case.convs.iter().find(|conv| conv.key == at.conversation && conv.is_conference(facts));
        let conv = conv.ok_or_else(|| Failure::new(Code::InvalidState, "the conversation is no conference"))?;
        let mut parties = conv.contacts.iter().filter_map(|id| facts.contact(id)).filter(|contact| contact.live());
        parties.find(|it| is(it)).map(|it| it.now.id.clone()).ok_or_else(&nobody)
    })?;
    let over = until(&contact, |stage| stage == Stage::Over);
    let after = After::Case(at.interaction.clone());
    act(line, after, Group::Interaction, &path(&contact, "end"), no_params(), over).await?;
    Ok(())
}

/// What the desktop answers the question where to sign in with.
#[derive(Deserialize)]
struct Extensions {
    extensions: CodeAnswer,
}

/// Signs the agent in at CXone again: his sign-in may end before his day does.
pub(super) async fn sign_in(line: &Line, data: &Map<String, Value>) -> Outcome {
    let answered: Option<Extensions> = serde_json::from_value(Value::Object(data.clone())).ok();
    let Some(answered) = answered else {
        return match sign_in::ask(&line.api).await {
            Ok(question) => question.into_outcome(),
            Err(failure) => failure.into(),
        };
    };
    match sign_in::redeem(&line.api, &answered.extensions, |claims| claims.agent == line.agent).await {
        Ok(_) => {
            line.need_replay();
            Outcome::data(json!({}))
        }
        Err(failure) => failure.into(),
    }
}
