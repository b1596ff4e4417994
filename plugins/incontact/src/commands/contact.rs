//! Chat and e-mail, rejected offers, call data, dispositions, completion.

use jackfield_plugin_api::{Code, Failure, Json, report::Reason};
use serde_json::{Value, json};

use super::{act, calls, is_call, no_params, number, path, rejected, state, until, with_case};
use crate::{
    api::{Group, list},
    line::Line,
    model::{After, Facts, Stage},
};

/// The contact that stands for an interaction.
fn lead(line: &Line, key: &str) -> Result<String, Failure> {
    with_case(line, key, |case, facts| {
        let living = case.convs.iter().find_map(|conv| conv.contact(facts));
        Ok(living.map_or_else(|| case.lead.clone(), |contact| contact.now.id.clone()))
    })
}

pub(super) async fn accept(line: &Line, key: &str) -> Result<(), Failure> {
    let contact = lead(line, key)?;
    let after = After::Case(key.to_owned());
    act(line, after, Group::Interaction, &path(&contact, "accept"), no_params(), until(&contact, Stage::talking))
        .await
        .map(drop)
}

pub(super) async fn reject(line: &Line, key: &str) -> Result<(), Failure> {
    let contact = lead(line, key)?;
    calls::intend(line, key, &contact, (Reason::Rejected, None));
    let (after, over) = (After::Case(key.to_owned()), until(&contact, |stage| stage == Stage::Over));
    let done = act(line, after, Group::Interaction, &path(&contact, "reject"), no_params(), over).await.map(drop);
    calls::forget_intent_of_failure(line, key, &contact, done)
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

pub(super) async fn set_disposition(line: &Line, key: &str, disposition: &str) -> Result<(), Failure> {
    let contact = lead(line, key)?;
    let skill = line.look(|facts| facts.contact(&contact).map(|contact| contact.now.skill.clone()));
    let skill = skill.filter(|skill| !skill.is_empty());
    let skill = skill.ok_or_else(|| rejected("the contact has no skill, and so no dispositions"))?;
    let known = list(line.read(Group::Admin, &format!("skills/{skill}/dispositions"), json!({})).await?);
    let names: Vec<_> = known.iter().filter_map(|one| one["dispositionName"].as_str()).collect();
    let found = known.iter().find(|one| {
        one["dispositionName"].as_str().is_some_and(|name| name.trim().eq_ignore_ascii_case(disposition.trim()))
    });
    let Some(found) = found else {
        let failure = rejected(format!("CXone has no disposition {disposition:?} for this contact's skill"));
        return Err(failure.context(format!("nearest: {}", nearest(disposition, &names).join(", "))));
    };
    let id = match &found["dispositionId"] {
        Value::String(text) => number(text),
        other => other.clone(),
    };
    line.post(Group::Interaction, &path(&contact, "disposition"), json!({"primaryDispositionId": id})).await
}

/// The three names that are nearest to a text.
fn nearest<'a>(text: &str, names: &[&'a str]) -> Vec<&'a str> {
    let mut ranked: Vec<_> = names.iter().map(|name| (distance(text, name), *name)).collect();
    ranked.sort();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many letters must be changed, put in or taken out to make one text the other; case does not count.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, theirs) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *theirs);
            diagonal = row[column + 1];
            row[column + 1] = change.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

pub(super) async fn complete(line: &Line, key: &str) -> Result<(), Failure> {
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
    match line.look(left) {
        Some(contact) => state::end_after_contact_work(line, &contact).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_dispositions_come_first() {
        let names = ["Not interested", "Sold", "Call back later"];
        assert_eq!(nearest("sould", &names)[0], "Sold");
        assert_eq!(nearest("callback later", &names)[0], "Call back later");
    }
}
