//! Two calls of one agent: consult, alternate, transfer, conference, and their blind kinds.
//!
//! CXone's own steps are smaller than the protocol's: each command here is several of them, and the interaction is held
//! back, or the second call hidden, until all are done. What was begun and cannot be finished is undone; but not where it
//! is unknown whether it was finished: the effect may still come, and undoing would break it. Then the snapshot tells.

use std::time::Duration;

use jackfield_plugin_api::{Code, Failure, report::Reason};
use serde_json::{Value, json};

use super::{
    A_MOMENT, Failed, Waiting, act,
    dial::{Destination, failed, known_contacts, new_call, skill_without_asking},
    no_params, number, path, phone, rejected, step,
    talk::{self, Talk},
    two_calls, until, with_case,
};
use crate::{
    api::Group,
    line::Line,
    model::{After, Blind, Facts, Stage, Verdict},
};

/// How long a blind conference waits for the called party; the host's own deadline is a little longer.
const ANSWER: Duration = Duration::from_secs(55);
/// The same of a blind transfer that CXone does not make while the called party's phone rings.
const ANSWER_FOR_TRANSFER: Duration = Duration::from_secs(25);

/// The call that leads to a destination from another call.
async fn second_call(line: &Line, parent: &str, destination: &str) -> Result<(&'static str, Value), Failure> {
    let parent = number(parent);
    Ok(match Destination::read(destination) {
        Destination::Phone(phone) => {
            let skill = number(&skill_without_asking(line).await?);
            ("dial-phone", json!({"phoneNumber": phone, "skillId": skill, "parentContactId": parent}))
        }
        // `dial-agent` would wait in the colleague's own queue until he is available.
        Destination::Agent(id) => ("consult-agent", json!({"targetAgentId": number(&id), "parentContactId": parent})),
        Destination::Skill(id) => ("dial-skill", json!({"skillId": number(&id), "parentContactId": parent})),
    })
}

/// While this lives, the next call that is made belongs to the interaction.
struct Expecting<'a> {
    line: &'a Line,
    key: &'a str,
}

impl<'a> Expecting<'a> {
    fn new(line: &'a Line, key: &'a str) -> Self {
        line.with(|model| model.cases.expect(key));
        Self { line, key }
    }
}

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        self.line.with(|model| model.cases.expect_no_more(self.key));
    }
}

/// Holds what goes on if it is active, and calls somebody from it; gives the new contact. What was begun is undone where
/// it fails.
async fn call_from(line: &Line, key: &str, original: &Talk, destination: &str) -> Result<String, Failed> {
    let (dial, params) = second_call(line, original.contact(), destination).await?;
    phone::phone_up(line).await?;
    let known = known_contacts(line);
    let _expecting = Expecting::new(line, key);
    let active = line.look(|facts| original.talking(facts));
    let called = async {
        if active {
            original.set_held(line, After::Nothing, true).await?;
        }
        step(line, dial, params, new_call(known.clone())).await
    };
    let called = called.await;
    if called.as_ref().is_err_and(|failed| failed.certain) {
        if let Some(Ok(second)) = line.look(new_call(known)) {
            hang_up(line, &second).await;
        }
        if active {
            take_back(line, original).await;
        }
    }
    called
}

/// It is certain that it has failed; where the outcome is unknown nothing may be undone.
fn refused<T>(done: &Result<T, Failed>) -> bool {
    done.as_ref().is_err_and(|failed| failed.certain)
}

/// Resumes what was held for something that did not come about.
async fn take_back(line: &Line, original: &Talk) {
    if line.look(|facts| original.held(facts))
        && let Err(failed) = original.set_held(line, After::Nothing, false).await
    {
        tracing::warn!("a call stays on hold: {}", failed.failure);
    }
}

/// Ends a call that was begun for something that did not come about.
async fn hang_up(line: &Line, contact: &str) {
    if line.look(|facts| facts.stage(contact)) != Stage::Over {
        let ended = until(contact, |stage| stage == Stage::Over);
        if let Err(failed) = step(line, &path(contact, "end"), no_params(), ended).await {
            tracing::warn!("a second call goes on: {}", failed.failure);
        }
    }
}

pub(super) async fn consult(line: &Line, key: &str, destination: &str) -> Result<(), Failure> {
    let primary = with_case(line, key, |case, _| {
        let primary = case.convs.iter().find(|conv| !conv.consult).map(|conv| conv.key.clone());
        primary.ok_or_else(|| rejected("the original call is over"))
    })?;
    let original = Talk::of(line, key, &primary)?;
    let (first, known) = (original.clone(), known_contacts(line));
    let both = move |facts: &Facts| {
        let new = new_call(known.clone())(facts)?;
        (!first.talking(facts)).then_some(new)
    };
    let waiting = Waiting::new(line, After::Case(key.to_owned()), both);
    call_from(line, key, &original, destination).await?;
    waiting.come("the call").await.map(drop)
}

pub(super) async fn alternate(line: &Line, key: &str, hold: Option<&str>, retrieve: &str) -> Result<(), Failure> {
    let held = hold.map(|hold| Talk::of(line, key, hold)).transpose()?;
    let taken = Talk::of(line, key, retrieve)?;
    let (one, other) = (held.clone(), taken.clone());
    let both = move |facts: &Facts| {
        (one.as_ref().is_none_or(|one| one.held(facts)) && other.talking(facts)).then(|| Ok(String::new()))
    };
    let waiting = Waiting::new(line, After::Case(key.to_owned()), both);
    if let Some(held) = &held
        && line.look(|facts| held.talking(facts))
    {
        held.set_held(line, After::Nothing, true).await?;
    }
    let resumed = taken.set_held(line, After::Nothing, false).await;
    if let Some(held) = held.filter(|_| refused(&resumed)) {
        take_back(line, &held).await;
    }
    resumed?;
    waiting.come("resume").await.map(drop)
}

/// Waits for the end of all these contacts.
fn over(contacts: Vec<String>) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    move |facts| contacts.iter().all(|id| facts.stage(id) == Stage::Over).then(|| Ok(String::new()))
}

/// Connects the agent's two calls and takes him out.
async fn connect(line: &Line, key: &str, contacts: &[String], reason: Reason) -> Result<(), Failed> {
    let only = line.look(Facts::own_calls);
    if only != 2 {
        let failure = Failure::new(Code::InvalidState, "CXone connects exactly two calls with each other");
        return Err(failure.context(format!("the agent has {only}")).into());
    }
    for contact in contacts {
        talk::intend(line, key, contact, (reason, None));
    }
    let after = After::Case(key.to_owned());
    let ended = over(contacts.to_vec());
    let done = act(line, after, Group::Interaction, "interactions/transfer-calls", no_params(), ended).await;
    let mut done = done.map(drop);
    for contact in contacts {
        done = talk::forget_intent_of_failure(line, key, contact, done);
    }
    done
}

/// The same for a call that may still ring: where CXone does not connect it yet, its answer is waited for.
async fn connect_ringing(line: &Line, key: &str, original: &Talk, second: &str) -> Result<(), Failed> {
    let contacts = [original.contact().to_owned(), second.to_owned()];
    let rang = line.look(|facts| facts.stage(second)) == Stage::Dialing;
    match connect(line, key, &contacts, Reason::Transferred).await {
        // It may have been answered since.
        Err(refused) if refused.is_refusal() && rang => {
            answered(line, original, second, ANSWER_FOR_TRANSFER).await?;
            connect(line, key, &contacts, Reason::Transferred).await
        }
        done => done,
    }
}

pub(super) async fn transfer(line: &Line, key: &str) -> Result<(), Failure> {
    let (first, second) = with_case(line, key, two_calls)?;
    connect(line, key, &[first, second], Reason::Transferred).await?;
    Ok(())
}

/// The agent leaves a conference; the others stay together.
pub(super) async fn leave(line: &Line, key: &str) -> Result<(), Failure> {
    let contacts = with_case(line, key, |case, facts| {
        let all = case.convs.iter().flat_map(|conv| &conv.contacts).filter(|id| facts.stage(id) != Stage::Over);
        Ok(all.cloned().collect::<Vec<_>>())
    })?;
    connect(line, key, &contacts, Reason::Released).await?;
    Ok(())
}

/// Waits until all are joined; the end of one is a failure.
fn joined(original: &Talk, second: &str) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    let (original, second) = (original.clone(), second.to_owned());
    move |facts| {
        if original.over(facts) || facts.stage(&second) == Stage::Over {
            return Some(Err(Failure::new(Code::InvalidState, "a party left meanwhile")));
        }
        let all = original.parties.iter().chain([&second]).map(|id| facts.stage(id));
        let mut there = all.filter(|stage| *stage != Stage::Over);
        there.all(|stage| stage == Stage::Joined).then(|| Ok(String::new()))
    }
}

pub(super) async fn conference(line: &Line, key: &str) -> Result<(), Failure> {
    let (primary, second) = with_case(line, key, |case, facts| {
        let primary = case.convs.iter().find(|conv| !conv.consult).map(|conv| conv.key.clone());
        Ok((primary.unwrap_or_default(), two_calls(case, facts)?.1))
    })?;
    let original = Talk::of(line, key, &primary)?;
    let waiting = Waiting::new(line, After::Case(key.to_owned()), joined(&original, &second));
    Ok(make_one(line, &original, &second, waiting).await?)
}

/// A second call becomes part of the first, or of the conference that it is, to which the agent comes back with it.
async fn make_one(line: &Line, original: &Talk, second: &str, waiting: Waiting<'_>) -> Result<(), Failed> {
    let Some(number) = original.number(line).await else {
        // Whatever number an earlier one had.
        line.with(|model| model.facts.conference = None);
        step(line, "interactions/conference-calls", no_params(), joined(original, second)).await?;
        return Ok(waiting.come("conference-calls").await.map(drop)?);
    };
    let params = json!({"conferenceNo": super::number(&number)});
    let in_it = until(second, |stage| stage == Stage::Joined);
    act(line, After::Nothing, Group::Conference, &path(second, "join-conference"), params, in_it).await?;
    // The documents do not say whether CXone takes the agent back into it together with the new party.
    let all = Waiting::new(line, After::Nothing, joined(original, second));
    if all.come_soon(A_MOMENT).await.is_none() {
        original.set_held(line, After::Nothing, false).await?;
    }
    Ok(waiting.come("join-conference").await.map(drop)?)
}

/// Hides the second call of an interaction while this lives.
struct Hidden<'a> {
    line: &'a Line,
    key: &'a str,
}

impl<'a> Hidden<'a> {
    fn new(line: &'a Line, key: &'a str, talking: bool) -> Self {
        line.with(|model| {
            if let Some(case) = model.cases.get_mut(key) {
                case.blind = Some(Blind { talking });
            }
        });
        Self { line, key }
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        self.line.with(|model| {
            if let Some(case) = model.cases.get_mut(self.key) {
                case.blind = None;
                model.touch_case(self.key, std::time::Instant::now());
            }
        });
    }
}

fn blind<'a>(line: &'a Line, key: &'a str, conversation: &str) -> Result<(Talk, Hidden<'a>), Failure> {
    let original = Talk::of(line, key, conversation)?;
    if line.look(Facts::own_calls) > original.parties.len() {
        return Err(rejected("CXone connects exactly two calls: the agent has a second one already"));
    }
    let talking = line.look(|facts| original.talking(facts));
    Ok((original, Hidden::new(line, key, talking)))
}

pub(super) async fn blind_transfer(line: &Line, key: &str, conversation: &str, to: &str) -> Result<(), Failure> {
    let (original, _hidden) = blind(line, key, conversation)?;
    if original.parties.len() > 1 {
        return Err(rejected("CXone connects exactly two calls: a conference cannot be transferred"));
    }
    let talking = line.look(|facts| original.talking(facts));
    let second = call_from(line, key, &original, to).await?;
    let done = connect_ringing(line, key, &original, &second).await;
    if refused(&done) {
        // CXone has not taken the call: the agent keeps it.
        hang_up(line, &second).await;
        if talking {
            take_back(line, &original).await;
        }
    }
    Ok(done?)
}

pub(super) async fn blind_conference(line: &Line, key: &str, conversation: &str, to: &str) -> Result<(), Failure> {
    let (original, _hidden) = blind(line, key, conversation)?;
    let second = call_from(line, key, &original, to).await?;
    let answered = answered(line, &original, &second, ANSWER).await;
    let joined = match &answered {
        Ok(()) => join(line, key, &original, &second).await,
        Err(failure) => Err(failure.clone().into()),
    };
    if refused(&joined) {
        hang_up(line, &second).await;
        take_back(line, &original).await;
    }
    Ok(joined?)
}

/// Waits until the called party is there.
async fn answered(line: &Line, original: &Talk, second: &str, patience: Duration) -> Result<(), Failure> {
    let (first, id) = (original.clone(), second.to_owned());
    let answered = move |facts: &Facts| {
        if first.over(facts) {
            return Some(Err(Failure::new(Code::InvalidState, "the call ended meanwhile")));
        }
        match facts.contact(&id) {
            Some(contact) if contact.now.stage.talking() => Some(Ok(String::new())),
            Some(contact) if contact.live() => None,
            Some(contact) => Some(Err(failed(&contact.now.code))),
            None => Some(Err(failed(""))),
        }
    };
    let waiting = Waiting::new(line, After::Nothing, answered);
    match waiting.come_soon(patience).await {
        Some(answered) => answered.map(drop),
        None => {
            let failure = Failure::new(Code::Unreachable, "the called party did not answer");
            Err(failure.context(format!("CXone: still dialling after {} s", patience.as_secs())))
        }
    }
}

async fn join(line: &Line, key: &str, original: &Talk, second: &str) -> Result<(), Failed> {
    // From here on the second call is to be seen: as a member.
    let waiting = Waiting::new(line, After::Case(key.to_owned()), joined(original, second));
    line.with(|model| {
        if let Some(case) = model.cases.get_mut(key) {
            case.blind = None;
            // Nothing changes for the desktop until all are joined.
            model.touch_case(key, std::time::Instant::now());
        }
    });
    make_one(line, original, second, waiting).await
}
