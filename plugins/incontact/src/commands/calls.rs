//! One call: answer, release, hold, mute, tones, recording.

use std::time::Duration;

use jackfield_plugin_api::{
    Code, Failure,
    command::RecordAction,
    report::{Cause, Reason},
};
use serde_json::json;

use super::{
    Failed, Waiting, act, contact_of, no_params, path, phone, rejected, step,
    talk::{self, Talk},
    two, until, with_case,
};
use crate::{
    api::Group,
    line::Line,
    model::{After, CallType, Facts, LegStatus, Stage},
};

/// How long an accepted call may take to be told of where CXone has refused to accept it.
const TAKEN: Duration = Duration::from_millis(1500);
/// The same of one that need not be accepted: CXone connects it to the agent's phone when that is ready.
const CONNECTED: Duration = Duration::from_secs(4);
/// How long a call may take to become the agent's by itself, once he has answered his phone.
const BY_ITSELF: Duration = Duration::from_millis(400);

/// Takes an offered call. It may become the agent's without that, by his phone or by CXone itself: what counts is that he
/// talks.
pub(super) async fn answer(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    let (contact, consult, manual) = with_case(line, key, |case, facts| {
        let id = contact_of(case, facts, conversation)?;
        let contact = facts.contact(&id);
        let consult = contact.is_some_and(|contact| contact.now.call_type == CallType::Consult);
        Ok((id, consult, contact.is_some_and(|contact| contact.now.manual)))
    })?;
    let was_up = line.look(|facts| facts.leg == LegStatus::Up);
    phone::phone_up_for(line, Some(&contact)).await?;
    let after = || After::Case(key.to_owned());
    if !was_up && !manual {
        let by_itself = Waiting::new(line, after(), until(&contact, Stage::talking));
        if let Some(taken) = by_itself.come_soon(BY_ITSELF).await {
            return taken.map(drop);
        }
    }
    if line.look(|facts| facts.stage(&contact)) != Stage::Offered {
        return Waiting::new(line, after(), until(&contact, Stage::talking)).come("the offer").await.map(drop);
    }
    let take = async |verb: &str| {
        let talking = until(&contact, Stage::talking);
        act(line, after(), Group::Interaction, &path(&contact, verb), no_params(), talking).await
    };
    let taken = match take(if consult { "accept-consult" } else { "accept" }).await {
        // Where that is not known, a consult is accepted as any other call.
        Err(Failed { status: Some(404 | 405), .. }) if consult => take("accept").await,
        taken => taken,
    };
    match taken {
        // It may become the agent's by itself all the same.
        Err(failed) if failed.is_refusal() => {
            let by_itself = Waiting::new(line, after(), until(&contact, Stage::talking));
            let taken = by_itself.come_soon(if manual { TAKEN } else { CONNECTED }).await;
            if matches!(taken, Some(Ok(_))) { Ok(()) } else { Err(failed.into()) }
        }
        taken => Ok(taken.map(drop)?),
    }
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
    talk::intend(line, key, &contact, intent);
    let end = async || {
        let ended = until(&contact, |stage| stage == Stage::Over);
        let after = After::Case(key.to_owned());
        act(line, after, Group::Interaction, &path(&contact, "end"), no_params(), ended).await.map(drop)
    };
    let done = match end().await {
        // NICE's own client does not end a call that is on hold or masked; where CXone does not either, it is taken back.
        Err(refused) if refused.is_refusal() && matches!(stage, Stage::Held | Stage::Masked) => {
            let alone =
                line.look(|facts| facts.calls().all(|call| call.now.id == contact || !call.now.stage.talking()));
            let verb = path(&contact, if stage == Stage::Held { "resume" } else { "unmask" });
            let talking = until(&contact, |stage| stage == Stage::Active);
            match alone && step(line, &verb, no_params(), talking).await.is_ok() {
                true => end().await,
                false => Err(refused),
            }
        }
        done => done,
    };
    Ok(talk::forget_intent_of_failure(line, key, &contact, done)?)
}

pub(super) async fn hold(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    Ok(Talk::of(line, key, conversation)?.set_held(line, After::Case(key.to_owned()), true).await?)
}

pub(super) async fn retrieve(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    Ok(Talk::of(line, key, conversation)?.set_held(line, After::Case(key.to_owned()), false).await?)
}

/// The agent's own phone is muted, with every call on it.
pub(super) async fn mute(line: &Line, muted: bool) -> Result<(), Failure> {
    let verb = if muted { "agent-phone/mute" } else { "agent-phone/unmute" };
    let look = move |facts: &Facts| (facts.muted == muted).then(|| Ok(String::new()));
    act(line, After::State, Group::Phone, verb, no_params(), look).await?;
    Ok(())
}

pub(super) async fn tones(line: &Line, digits: &str) -> Result<(), Failure> {
    let params = json!({"dtmfSequence": digits, "toneDurationMS": 340, "toneSpacingMS": 0});
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
    if allowed == Some(false) {
        let failure = Failure::new(Code::Unsupported, "the agent may not record or mask calls");
        return Err(failure.context("CXone: CanRecord or CanMask is False"));
    }
    let (verb, look): (_, fn(&crate::model::Contact) -> bool) = match action {
        RecordAction::Start => ("record", |contact| contact.now.recording),
        RecordAction::Stop => ("stop-record", |contact| !contact.now.recording),
        RecordAction::Pause => ("mask", |contact| contact.now.stage == Stage::Masked),
        RecordAction::Resume => ("unmask", |contact| contact.now.stage.spoken() && contact.now.stage != Stage::Masked),
    };
    let id = contact.clone();
    let looked = move |facts: &Facts| match facts.contact(&id) {
        Some(contact) if contact.live() => look(contact).then(|| Ok(id.clone())),
        _ => Some(Err(Failure::new(Code::InvalidState, "the call ended meanwhile"))),
    };
    let group = if action == RecordAction::Stop { Group::StopRecord } else { Group::Interaction };
    let after = After::Case(key.to_owned());
    act(line, after, group, &path(&contact, verb), no_params(), looked).await?;
    if action == RecordAction::Stop {
        line.with(|model| {
            if let Some(case) = model.cases.get_mut(key) {
                case.recording_stopped();
                model.touch_case(key, std::time::Instant::now());
            }
        });
    }
    Ok(())
}
