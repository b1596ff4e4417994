//! Callbacks that were promised to customers: CXone calls them commitments. Read, made, dialled, put off, cancelled.
//!
//! CXone offers the agent one that is due by an event; what he does about it, he does by its number. The call that comes of
//! it is an interaction like any other that he dials.

use jackfield_plugin_api::{Code, Failure, Outcome};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    dial::{place, skill_without_asking},
    number, path,
};
use crate::{
    api::{Group, text},
    line::Line,
};

/// A callback as the desktop sees it. An event's members begin with capitals, a list's do not.
pub(crate) fn shown(callback: &Value) -> Value {
    let either = |name: &str| {
        let told = text(callback, name);
        let mut letters = name.chars();
        let capital = letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters);
        if told.is_empty() { text(callback, &capital.collect::<String>()) } else { told }
    };
    let name = format!("{} {}", either("firstName"), either("lastName"));
    json!({
        "id": either("callbackId"), "number": either("dialNumber"), "name": name.trim(), "notes": either("notes"),
        "time": either("callbackTime"), "expires": either("callbackExpireTime"), "skillId": either("skillId"),
    })
}

/// Where the agent's callbacks are listed.
pub(crate) fn list_of(agent: &str) -> String {
    format!("agents/{agent}/scheduled-callbacks")
}

/// The extension command: all that are promised in the agent's name.
pub(super) async fn all(line: &Line) -> Outcome {
    match line.api.all_pages(&line.key, Group::Callbacks, &list_of(&line.agent), json!({})).await {
        Ok(pages) => Outcome::data(json!({"callbacks": pages.items.iter().map(shown).collect::<Vec<_>>()})),
        Err(refusal) => refusal.failure().into(),
    }
}

/// What a desktop says of a callback.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    id: Value,
    number: String,
    first_name: String,
    last_name: String,
    notes: String,
    time: String,
    skill_id: Value,
}

/// The extension commands on one callback, by their last words.
pub(super) async fn act(line: &Line, verb: &str, data: &Map<String, Value>) -> Result<(), Failure> {
    let given: Given = serde_json::from_value(Value::Object(data.clone()))
        .map_err(|error| Failure::new(Code::BadRequest, format!("the callback: {error}")))?;
    let callback = plain(&given.id);
    match verb {
        "dial" => place(line, Group::CallbackCalls, &path(&callback, "dial"), json!({})).await,
        "reschedule" => {
            let params = json!({"rescheduleDate": given.time});
            line.post(Group::CallbackCalls, &path(&callback, "reschedule"), params).await
        }
        "cancel" => line.post(Group::CallbackCalls, &path(&callback, "cancel"), json!({"notes": given.notes})).await,
        "create" => {
            let skill = match plain(&given.skill_id) {
                skill if skill.is_empty() => skill_without_asking(line).await?,
                skill => skill,
            };
            let params = json!({
                "phoneNumber": given.number, "firstName": given.first_name, "lastName": given.last_name,
                "notes": given.notes, "scheduleDate": given.time, "skillId": number(&skill),
                "targetAgentId": number(&line.agent),
            });
            line.send_to(Group::Callbacks, "scheduled-callbacks", params).await.map_err(Failure::from)
        }
        _ => Err(Failure::new(Code::Unsupported, format!("a callback has no {verb}"))),
    }
}

/// A number that a desktop may send as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
