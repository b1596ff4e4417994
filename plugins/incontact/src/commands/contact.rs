//! Contacts that are no calls, rejected offers, call data, completion.

use jackfield_plugin_api::{Code, Failure, Json, report::Reason};
use serde_json::json;

use super::{act, is_call, no_params, path, rejected, state, talk, until, with_case};
use crate::{
    api::Group,
    line::Line,
    model::{After, Facts, Media, Stage},
};

/// A contact that only NICE's own client handles is shown, and that is all.
fn handled(line: &Line, key: &str) -> Result<(), Failure> {
    let media = with_case(line, key, |case, _| Ok(case.media))?;
    if media.handled() {
        return Ok(());
    }
    Err(Failure::new(Code::Unsupported, "this contact can only be handled in NICE's own client"))
}

/// The contact that stands for an interaction.
pub(super) fn lead(line: &Line, key: &str) -> Result<String, Failure> {
    with_case(line, key, |case, facts| {
        let living = case.convs.iter().find_map(|conv| conv.contact(facts));
        Ok(living.map_or_else(|| case.lead.clone(), |contact| contact.now.id.clone()))
    })
}

pub(super) async fn accept(line: &Line, key: &str) -> Result<(), Failure> {
    handled(line, key)?;
    let contact = lead(line, key)?;
    let after = After::Case(key.to_owned());
    let taken = until(&contact, Stage::talking);
    act(line, after, Group::Interaction, &path(&contact, "accept"), no_params(), taken).await?;
    Ok(())
}

pub(super) async fn reject(line: &Line, key: &str) -> Result<(), Failure> {
    handled(line, key)?;
    let contact = lead(line, key)?;
    talk::intend(line, key, &contact, (Reason::Rejected, None));
    let (after, over) = (After::Case(key.to_owned()), until(&contact, |stage| stage == Stage::Over));
    let done = act(line, after, Group::Interaction, &path(&contact, "reject"), no_params(), over).await;
    talk::forget_intent_of_failure(line, key, &contact, done)?;
    Ok(())
}

/// Call data goes to the script that handles the indicator; CXone confirms nothing but that it took it.
pub(super) async fn set_data(line: &Line, key: &str, name: &str, value: Json) -> Result<(), Failure> {
    let contact = lead(line, key)?;
    let text = value.parse::<String>().unwrap_or_else(|_| value.get().to_owned());
    if name.contains('|') || text.contains('|') {
        return Err(rejected("CXone's call data cannot hold a vertical bar: it separates keys and values"));
    }
    let indicator = &line.api.settings.data_indicator;
    let params = json!({"indicatorName": indicator, "data": format!("{name}|{text}")});
    line.post(Group::Interaction, &path(&contact, "custom-data"), params).await?;
    line.with(|model| {
        if let Some(case) = model.cases.get_mut(key) {
            case.data.insert(name.to_owned(), value);
            model.touch_case(key, std::time::Instant::now());
        }
    });
    Ok(())
}

pub(super) async fn complete(line: &Line, key: &str) -> Result<(), Failure> {
    handled(line, key)?;
    let contact = lead(line, key)?;
    let (call, live) = with_case(line, key, |case, facts| Ok((is_call(case), facts.stage(&contact) != Stage::Over)))?;
    if call && live {
        return Err(Failure::new(Code::InvalidState, "the call is not over"));
    }
    if live {
        let over = until(&contact, |stage| stage == Stage::Over);
        let after = After::Case(key.to_owned());
        act(line, after, Group::Interaction, &path(&contact, "end"), no_params(), over).await?;
    }
    let left =
        move |facts: &Facts| facts.contact(&contact).is_some_and(|contact| !contact.now.done).then(|| contact.clone());
    if let Some(contact) = line.look(left) {
        state::end_after_contact_work(line, &contact).await?;
    }
    // A disposition may have ended it at CXone already.
    line.with(|model| {
        if let Some(case) = model.cases.get_mut(key).filter(|case| case.kept) {
            case.kept = false;
            model.touch_case(key, std::time::Instant::now());
        }
    });
    Ok(())
}

/// Sets an e-mail aside, or takes it up again: the agent has room for other contacts meanwhile.
pub(super) async fn park(line: &Line, key: &str, parked: bool) -> Result<(), Failure> {
    let contact = lead(line, key)?;
    if with_case(line, key, |case, _| Ok(case.media))? != Media::Email {
        return Err(Failure::new(Code::Unsupported, "CXone parks e-mails only"));
    }
    let verb = if parked { "email-park" } else { "email-unpark" };
    let there = until(&contact, move |stage| stage == if parked { Stage::Held } else { Stage::Active });
    act(line, After::Case(key.to_owned()), Group::Interaction, &path(&contact, verb), no_params(), there).await?;
    Ok(())
}
