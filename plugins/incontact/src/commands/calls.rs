//! One call: answer, release, hold, mute, tones, recording.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jackfield_plugin_api::{
    Code, Failure,
    command::RecordAction,
    report::{Cause, Reason},
};
use serde_json::json;

use super::{Failed, Waiting, act, act_patiently, contact_of, no_params, path, rejected, two, until, with_case};
use crate::{
    api::Group,
    line::Line,
    model::{After, Facts, LegStatus, Stage, Verdict},
};

/// How long an accepted call may take to be told of where CXone has refused to accept it.
const TAKEN: Duration = Duration::from_millis(1500);
/// How long a call may take to become the agent's by itself, once he has answered his phone.
const BY_ITSELF: Duration = Duration::from_millis(400);

/// Looks whether the agent's own phone is connected, or was not answered. Who talks already needs none.
fn phone(offer: Option<&str>) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    let (rang, offer) = (AtomicBool::new(false), offer.map(str::to_owned));
    move |facts| match facts.leg {
        _ if offer.as_ref().is_some_and(|offer| facts.stage(offer) != Stage::Offered) => Some(Ok(String::new())),
        LegStatus::Up => Some(Ok(String::new())),
        LegStatus::Dialing => {
            rang.store(true, Ordering::Relaxed);
            None
        }
        LegStatus::Down if rang.load(Ordering::Relaxed) => {
            Some(Err(Failure::new(Code::Unreachable, "the agent's phone was not answered")))
        }
        LegStatus::Down => None,
    }
}

/// Connects the agent's own phone, which calls need.
pub(super) async fn phone_up(line: &Line) -> Result<(), Failure> {
    phone_up_for(line, None).await
}

/// The same for an offered call, unless that is the agent's before. A phone that rings already is waited for: CXone may
/// call it by itself, and refuses to do so twice.
async fn phone_up_for(line: &Line, offer: Option<&str>) -> Result<(), Failure> {
    match line.look(|facts| facts.leg) {
        LegStatus::Up => {}
        LegStatus::Dialing => drop(Waiting::new(line, After::State, phone(offer)).come("the agent's phone").await?),
        LegStatus::Down => {
            let dial = (Group::Phone, "agent-phone/dial", no_params());
            act_patiently(line, After::State, dial, line.api.settings.timing.event(), phone(offer)).await?;
        }
    }
    Ok(())
}

/// Takes an offered call. It may become the agent's without that, by his phone or by CXone itself: what counts is that he
/// talks.
pub(super) async fn answer(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    let (contact, consult, manual) = with_case(line, key, |case, facts| {
        let id = contact_of(case, facts, conversation)?;
        let contact = facts.contact(&id);
        let consult = contact.is_some_and(|contact| contact.now.call_type == "Consult");
        Ok((id, consult, contact.is_some_and(|contact| contact.now.manual)))
    })?;
    let was_up = line.look(|facts| facts.leg == LegStatus::Up);
    phone_up_for(line, Some(&contact)).await?;
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
    let verb = if consult { "accept-consult" } else { "accept" };
    let accept = path(&contact, verb);
    let accept = (Group::Interaction, accept.as_str(), no_params());
    act_patiently(line, after(), accept, TAKEN, until(&contact, Stage::talking)).await?;
    Ok(())
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
    Ok(forget_intent_of_failure(line, key, &contact, done).map(drop)?)
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
pub(super) fn forget_intent_of_failure<T, E>(
    line: &Line,
    key: &str,
    contact: &str,
    done: Result<T, E>,
) -> Result<T, E> {
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
    Ok(Talk::of(line, key, conversation)?.set_held(line, After::Case(key.to_owned()), true).await?)
}

pub(super) async fn retrieve(line: &Line, key: &str, conversation: &str) -> Result<(), Failure> {
    Ok(Talk::of(line, key, conversation)?.set_held(line, After::Case(key.to_owned()), false).await?)
}

/// What is held and taken back as one: a call, or a conference by the number that CXone has given it.
#[derive(Debug, Clone)]
pub(super) struct Talk {
    /// Its living contacts, the oldest first; there is one at least.
    pub(super) parties: Vec<String>,
    /// Of a conference.
    pub(super) number: Option<String>,
}

impl Talk {
    /// What a conversation is. A conference whose number CXone has not told is its first call.
    pub(super) fn of(line: &Line, key: &str, conversation: &str) -> Result<Self, Failure> {
        with_case(line, key, |case, facts| {
            let first = contact_of(case, facts, conversation)?;
            let conv = case.convs.iter().find(|conv| conv.key == conversation && conv.is_conference(facts));
            let (Some(conv), Some(number)) = (conv, &facts.conference) else {
                return Ok(Self { parties: vec![first], number: None });
            };
            let parties = conv.contacts.iter().filter(|id| facts.stage(id) != Stage::Over).cloned().collect();
            Ok(Self { parties, number: Some(number.clone()) })
        })
    }

    /// The contact that stands for all of it.
    pub(super) fn contact(&self) -> &str {
        &self.parties[0]
    }

    /// How far those are who have not left.
    fn stages<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = Stage> + 'a {
        self.parties.iter().map(|id| facts.stage(id)).filter(|stage| *stage != Stage::Over)
    }

    /// Nobody is there any more.
    pub(super) fn over(&self, facts: &Facts) -> bool {
        self.stages(facts).next().is_none()
    }

    /// Somebody hears the agent.
    pub(super) fn talking(&self, facts: &Facts) -> bool {
        self.stages(facts).any(Stage::talking)
    }

    /// All wait.
    pub(super) fn held(&self, facts: &Facts) -> bool {
        !self.over(facts) && self.stages(facts).all(|stage| stage == Stage::Held)
    }

    /// The agent leaves it for a while, and the others of a conference stay together; or he comes back.
    pub(super) async fn set_held(&self, line: &Line, after: After, held: bool) -> Result<(), Failed> {
        let me = self.clone();
        let look = move |facts: &Facts| {
            if me.over(facts) {
                return Some(Err(Failure::new(Code::InvalidState, "the call ended meanwhile")));
            }
            let done = if held { me.held(facts) } else { me.stages(facts).all(Stage::talking) };
            done.then(|| Ok(String::new()))
        };
        match &self.number {
            Some(number) => {
                let verb = if held { "interactions/conference-hold" } else { "interactions/conference-resume" };
                let params = json!({"conferenceNo": super::number(number)});
                act(line, after, Group::Conference, verb, params, look).await?;
            }
            None => {
                let verb = path(self.contact(), if held { "hold" } else { "resume" });
                act(line, after, Group::Interaction, &verb, no_params(), look).await?;
            }
        }
        Ok(())
    }
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
