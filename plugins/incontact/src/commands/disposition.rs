//! How a contact ended: its disposition, with notes, a second one, tags, a commitment and a callback.
//!
//! In after-contact work CXone takes a disposition for the end of the contact. The desktop completes it afterwards, so the
//! interaction is kept until it does. Nothing that was accepted is lost: it is at CXone before the desktop is told so.

use jackfield_plugin_api::{Code, Failure, Json, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{contact::lead, dial::skills, number, path, rejected};
use crate::{
    api::{Group, active, text, truth},
    http::encode,
    line::Line,
    model::Stage,
};

/// All that can be said of how a contact ended.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Disposition {
    /// Its text, or CXone's number of it.
    disposition: String,
    notes: Option<String>,
    /// The second one, as the first.
    secondary: Option<String>,
    /// Texts or numbers.
    tags: Vec<String>,
    commitment_amount: Option<f64>,
    callback_time: Option<String>,
    callback_number: Option<String>,
}

pub(super) async fn set(line: &Line, key: &str, disposition: String) -> Result<(), Failure> {
    dispose(line, key, Disposition { disposition, ..Disposition::default() }).await
}

/// The extension command: the same with all that goes with it.
pub(super) async fn set_with(line: &Line, key: &str, data: &Json) -> Result<(), Failure> {
    let given: Disposition =
        data.parse().map_err(|error| Failure::new(Code::BadRequest, format!("the disposition: {error}")))?;
    dispose(line, key, given).await
}

/// The extension command: what a contact can be given, whether it must be, and how long there is for that.
pub(super) async fn choices(line: &Line, key: &str) -> Outcome {
    match read_choices(line, key).await {
        Ok(choices) => Outcome::data(choices),
        Err(failure) => failure.into(),
    }
}

async fn read_choices(line: &Line, key: &str) -> Result<Value, Failure> {
    let contact = lead(line, key)?;
    let skill = skill_of(line, &contact).await?;
    let dispositions = of_skill(line, &skill).await?;
    let tags = tags_of(line, &skill).await?;
    let mine = skills(line).await?.into_iter().find(|one| text(one, "skillId") == skill).unwrap_or_default();
    let shown = dispositions.iter().map(|one| {
        json!({"id": text(one, "dispositionId"), "name": text(one, "dispositionName"),
               "needsCommitmentAmount": truth(one, "requireCommitmentAmount"),
               "needsCallbackTime": truth(one, "requireRescheduleDate")})
    });
    let tags = tags
        .iter()
        .filter(|tag| active(tag))
        .map(|one| json!({"id": text(one, "tagId"), "name": text(one, "tagName")}));
    let mut choices = json!({
        "dispositions": shown.collect::<Vec<_>>(), "tags": tags.collect::<Vec<_>>(),
        "required": truth(&mine, "requireDisposition"),
    });
    let (acw, since, seconds) =
        line.look(|facts| (facts.state.acw, facts.state.since.clone(), facts.state.acw_seconds));
    if let Some(seconds) = seconds.filter(|_| acw) {
        choices["afterContactWork"] = json!({"since": since, "seconds": seconds});
    }
    Ok(choices)
}

/// The number of a contact's skill. The documents call what the event tells of it now its number and now its name.
pub(super) async fn skill_of(line: &Line, contact: &str) -> Result<String, Failure> {
    let skill = line.look(|facts| facts.contact(contact).map(|contact| contact.now.skill.clone())).unwrap_or_default();
    if skill.is_empty() {
        return Err(rejected("the contact has no skill, and so no dispositions"));
    }
    if skill.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(skill);
    }
    let all = skills(line).await?;
    let named = all.iter().find(|one| text(one, "skillName").trim().eq_ignore_ascii_case(skill.trim()));
    let unknown =
        || rejected(format!("the contact's skill {skill:?} is none of the agent's, and so has no dispositions"));
    named.map(|one| text(one, "skillId")).ok_or_else(unknown)
}

/// The dispositions of a skill.
pub(super) async fn of_skill(line: &Line, skill: &str) -> Result<Vec<Value>, Failure> {
    of_its(line, skill, "dispositions").await
}

/// The tags of a skill.
async fn tags_of(line: &Line, skill: &str) -> Result<Vec<Value>, Failure> {
    of_its(line, skill, "tags").await
}

async fn of_its(line: &Line, skill: &str, what: &str) -> Result<Vec<Value>, Failure> {
    let path = format!("skills/{}/{what}", encode(skill));
    Ok(line.api.all_pages(&line.key, Group::Dispositions, &path, json!({})).await?.items)
}

async fn dispose(line: &Line, key: &str, given: Disposition) -> Result<(), Failure> {
    let contact = lead(line, key)?;
    let skill = skill_of(line, &contact).await?;
    let known = of_skill(line, &skill).await;
    let find = |wanted: &str| id_of(&known, wanted, "disposition");
    let mut params = json!({"primaryDispositionId": find(&given.disposition)?});
    if let Some(secondary) = &given.secondary {
        params["secondaryDispositionId"] = find(secondary)?;
    }
    for (name, value) in [
        ("primaryDispositionNotes", &given.notes),
        ("primaryCallbackTime", &given.callback_time),
        ("primaryCallbackNumber", &given.callback_number),
    ] {
        if let Some(value) = value {
            params[name] = json!(value);
        }
    }
    if let Some(amount) = given.commitment_amount {
        params["primaryCommitmentAmount"] = json!(amount);
    }
    if !given.tags.is_empty() {
        tag(line, &contact, &skill, &given.tags).await?;
    }
    // What CXone ends for that, the desktop has still to complete.
    let over = line.look(|facts| facts.stage(&contact)) == Stage::Over;
    keep(line, key, over);
    let path = path(&contact, "disposition");
    let mut done = line.send(Group::Disposition, &path, params.clone()).await;
    if done.as_ref().is_err_and(|refusal| matches!(refusal.status(), Some(404 | 405 | 410))) {
        done = line.send(Group::Interaction, &path, params).await;
    }
    if done.is_err() {
        keep(line, key, false);
    }
    Ok(done?)
}

fn keep(line: &Line, key: &str, kept: bool) {
    line.with(|model| {
        if let Some(case) = model.cases.get_mut(key) {
            case.kept = kept;
        }
    });
}

/// The tags of a contact go to another call than its disposition; both are at CXone before the contact ends.
async fn tag(line: &Line, contact: &str, skill: &str, names: &[String]) -> Result<(), Failure> {
    let known = tags_of(line, skill).await;
    let ids: Vec<_> = names.iter().map(|name| id_of(&known, name, "tag")).collect::<Result<_, _>>()?;
    let tags: Vec<_> = ids.into_iter().map(|id| json!({"tagId": id})).collect();
    let path = format!("contacts/{}/tags", encode(contact));
    line.send_to(Group::Admin, &path, json!({"tags": tags})).await?;
    Ok(())
}

/// CXone's number of a disposition or a tag, by its text or by the number itself. Who may not read the list can still
/// name the number: else he would be stuck in after-contact work.
fn id_of(known: &Result<Vec<Value>, Failure>, wanted: &str, kind: &str) -> Result<Value, Failure> {
    let (id, name) = (format!("{kind}Id"), format!("{kind}Name"));
    let wanted = wanted.trim();
    let by_number = wanted.parse::<u64>().ok();
    let known = match known {
        Ok(known) => known,
        Err(_) if by_number.is_some() => return Ok(json!(by_number)),
        Err(failure) => {
            let told = failure.context.clone().unwrap_or_else(|| failure.message.clone());
            let words = format!("the agent may not read the skill's {kind}s; the number of one is taken");
            return Err(Failure::new(failure.code, words).context(told));
        }
    };
    let by_name = known.iter().find(|one| text(one, &name).trim().eq_ignore_ascii_case(wanted));
    let found = by_name.or_else(|| known.iter().find(|one| text(one, &id) == wanted));
    if let Some(found) = found {
        return Ok(number(&text(found, &id)));
    }
    let names: Vec<_> = known.iter().filter_map(|one| one[name.as_str()].as_str()).collect();
    let failure = rejected(format!("CXone has no {kind} {wanted:?} for this contact's skill"));
    Err(failure.context(match names.is_empty() {
        true => format!("the skill has no {kind}s"),
        false => format!("nearest: {}", nearest(wanted, &names).join(", ")),
    }))
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

#[cfg(test)]
mod tests {
    use jackfield_plugin_api::{Code, Failure};
    use serde_json::json;

    use super::{id_of, nearest};

    #[test]
    fn the_nearest_dispositions_come_first() {
        let names = ["Not interested", "Sold", "Call back later"];
        assert_eq!(nearest("sould", &names)[0], "Sold");
        assert_eq!(nearest("callback later", &names)[0], "Call back later");
    }

    #[test]
    fn a_disposition_goes_by_its_text_or_its_number_and_a_missing_list_says_so() {
        let known = Ok(vec![json!({"dispositionId": 1, "dispositionName": "Sold"})]);
        assert_eq!(id_of(&known, " sold ", "disposition").ok(), Some(json!(1)));
        assert_eq!(id_of(&known, "1", "disposition").ok(), Some(json!(1)));
        let none = id_of(&Ok(Vec::new()), "Sold", "disposition").err();
        assert_eq!(none.and_then(|failure| failure.context).as_deref(), Some("the skill has no dispositions"));
        let closed = Err(Failure::new(Code::Forbidden, "CXone does not permit it"));
        assert_eq!(id_of(&closed, "7", "disposition").ok(), Some(json!(7)));
        assert_eq!(id_of(&closed, "Sold", "disposition").err().map(|failure| failure.code), Some(Code::Forbidden));
    }
}
