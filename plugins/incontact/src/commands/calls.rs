//! One call: answer, release, hold, mute, tones, recording.

use jackfield_plugin_api::{
    Code, Failure,
    command::RecordAction,
    report::{Cause, Reason},
};
use serde_json::json;

use super::{act, contact, contact_of, no_params, path, rejected, two, until, with_case};
use crate::{
    api::Group,
    line::Line,
    model::{After, Facts, LegStatus, Stage},
};

/// Connects the agent's own phone, which calls need.
pub(super) async fn phone_up(line: &Line) -> Result<(), Failure> {
    if line.look(|facts| facts.leg == LegStatus::Up) {
        return Ok(());
    }
    let rang = std::sync::atomic::AtomicBool::new(false);
    let look = move |facts: &Facts| match facts.leg {
        LegStatus::Up => Some(Ok(String::new())),
        LegStatus::Dialing => {
            rang.store(true, std::sync::atomic::Ordering::Relaxed);
            None
        }
        LegStatus::Down if rang.load(std::sync::atomic::Ordering::Relaxed) => {
            Some(Err(Failure::new(Code::Unreachable, "the agent's phone was not answered")))
        }
        LegStatus::Down => None,
    };
    act(line, After::State, Group::Phone, "agent-phone/dial", no_params(), look).await.map(drop)
}

pub(super) async fn answer(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    let (contact, consult) = with_case(line, key, |case, facts| {
        let id = contact_of(case, facts, conversation)?;
        let consult = facts.contact(&id).is_some_and(|contact| contact.now.call_type == "Consult");
        Ok((id, consult))
    })?;
    phone_up(line).await?;
    let verb = if consult { "accept-consult" } else { "accept" };
    let after = After::Case(key.to_owned());
    act(line, after, Group::Interaction, &path(&contact, verb), no_params(), until(&contact, Stage::talking))
        .await
        .map(drop)
}

pub(super) async fn release(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    let (contact, stage, conference) = with_case(line, key, |case, facts| {
        let id = contact_of(case, facts, conversation)?;
        let conference = case.convs.iter().any(|conv| conv.key == conversation && conv.is_conference(facts));
        Ok((id.clone(), facts.stage(&id), conference))
    })?;
    if conference {
        return two::leave(line, key).await;
    }
    let intent = match stage {
        Stage::Dialing => (Reason::Failed, Some(Cause::Cancelled)),
        _ => (Reason::Released, None),
    };
    intend(line, key, &contact, intent);
    let ended = until(&contact, |stage| stage == Stage::Over);
    let after = After::Case(key.to_owned());
    let done = act(line, after, Group::Interaction, &path(&contact, "end"), no_params(), ended).await;
    forget_intent_of_failure(line, key, &contact, done.map(drop))
}

/// Says beforehand why a contact ends.
pub(super) fn intend(line: &Line, key: &str, contact: &str, intent: crate::model::Intent) {
    line.with(|model| {
        if let Some(case) = model.cases.get_mut(key) {
            case.intend(contact, intent);
        }
    });
}

/// A command failed: the contact does not end for its sake.
pub(super) fn forget_intent_of_failure(
    line: &Line,
    key: &str,
    contact: &str,
    done: Result<(), Failure>,
) -> Result<(), Failure> {
    if done.is_err() {
        line.with(|model| {
            if let Some(case) = model.cases.get_mut(key) {
                case.intend_nothing(contact);
            }
        });
    }
    done
}

pub(super) async fn hold(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    let contact = contact(line, key, conversation)?;
    let held = until(&contact, |stage| stage == Stage::Held);
    let after = After::Case(key.to_owned());
    act(line, after, Group::Interaction, &path(&contact, "hold"), no_params(), held).await.map(drop)
}

pub(super) async fn retrieve(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    let contact = contact(line, key, conversation)?;
    let after = After::Case(key.to_owned());
    act(line, after, Group::Interaction, &path(&contact, "resume"), no_params(), until(&contact, Stage::talking))
        .await
        .map(drop)
}

/// The agent's own phone is muted, with every call on it.
pub(super) async fn mute(line: &Line, muted: bool) -> Result<(), Failure> {
    let verb = if muted { "agent-phone/mute" } else { "agent-phone/unmute" };
    let look = move |facts: &Facts| (facts.muted == muted).then(|| Ok(String::new()));
    act(line, After::State, Group::Phone, verb, no_params(), look).await.map(drop)
}

pub(super) async fn tones(line: &Line, digits: &str) -> Result<(), Failure> {
    let params = json!({"dtmfSequence": digits, "toneDurationMS": 100, "toneSpacingMS": 50});
    line.post(Group::Interaction, "send-dtmf", params).await
}

pub(super) async fn record(line: &Line, key: &str, action: RecordAction) -> Result<(), Failure> {
    let contact = with_case(line, key, |case, facts| {
        let primary = case.convs.iter().find(|conv| !conv.consult).or(case.convs.first());
        let contact = primary.and_then(|conv| conv.contact(facts)).map(|contact| contact.now.id.clone());
        contact.ok_or_else(|| rejected("CXone no longer has this call"))
    })?;
    let allowed = line.look(|facts| {
        let session = facts.session.clone().unwrap_or_default();
        match action {
            RecordAction::Start | RecordAction::Stop => session.can_record,
            RecordAction::Pause | RecordAction::Resume => session.can_mask,
        }
    });
    if !allowed {
        let failure = Failure::new(Code::Unsupported, "the agent may not record or mask calls");
        return Err(failure.context("CXone: CanRecord or CanMask is False"));
    }
    let (verb, look): (_, fn(&crate::model::Contact) -> bool) = match action {
        RecordAction::Start => ("record", |contact| contact.now.recording),
        RecordAction::Stop => ("stop-record", |contact| !contact.now.recording),
        RecordAction::Pause => ("mask", |contact| contact.now.stage == Stage::Masked),
        RecordAction::Resume => ("unmask", |contact| contact.now.stage == Stage::Active),
    };
    let id = contact.clone();
    let looked = move |facts: &Facts| match facts.contact(&id) {
        Some(contact) if contact.live() => look(contact).then(|| Ok(id.clone())),
        _ => Some(Err(Failure::new(Code::InvalidState, "the call ended meanwhile"))),
    };
    let after = After::Case(key.to_owned());
    act(line, after, Group::Interaction, &path(&contact, verb), no_params(), looked).await.map(drop)
}
