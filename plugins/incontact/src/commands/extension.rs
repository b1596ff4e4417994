//! The adapter's own commands: agent leg, address book, scripts, signals.

use hyper::Method;
use jackfield_plugin_api::{Code, Failure, Json, Outcome, report::Target};
use serde_json::{Map, Value, json};

use super::{act, callbacks, contact, desk, disposition, no_params, phone};
use crate::{
    api::{Call, Group, Refusal, active, text},
    http::{encode, query},
    line::Line,
    model::{After, DeskChannel, Facts, LegStatus},
};

/// Parameters that a signal can have.
const SIGNAL_PARAMETERS: u32 = 9;

pub(super) async fn carry_out(line: &Line, name: &str, target: &Target, data: &Json) -> Outcome {
    let Some(name) = name.split_once(".request.incontact.").map(|(_, verb)| verb) else {
        return Outcome::unsupported();
    };
    let members: Map<String, Value> = data.parse().unwrap_or_default();
    let done = match (name, target) {
        ("agentleg.connect", _) => phone::phone_up(line).await,
        ("agentleg.disconnect", _) => disconnect(line).await,
        ("addressbook", _) => return address_book(line, &members).await,
        ("addressbook.stop", _) => {
            line.directory.stop_listening(&line.session);
            Ok(())
        }
        ("queues", _) => return desk::queues(line).await,
        ("callbacks", _) => return callbacks::all(line).await,
        ("callback.create" | "callback.dial" | "callback.reschedule" | "callback.cancel", _) => {
            callbacks::act(line, name.trim_start_matches("callback."), &members).await
        }
        ("signin", _) => return desk::sign_in(line, &members).await,
        ("addcontact", _) => desk::add_contact(line, &members).await,
        ("takeover", _) => desk::take_over(line, &members).await,
        ("getscripts", Target::Channel(channel)) => return scripts(line, channel).await,
        ("signal", Target::Interaction(at)) => signal(line, &at.interaction, &members).await,
        ("dispositions", Target::Interaction(at)) => return disposition::choices(line, &at.interaction).await,
        ("setdisposition", Target::Interaction(at)) => disposition::set_with(line, &at.interaction, data).await,
        ("park", Target::Interaction(at)) => contact::park(line, &at.interaction, true).await,
        ("unpark", Target::Interaction(at)) => contact::park(line, &at.interaction, false).await,
        ("playvoicemail", Target::Interaction(at)) => desk::play(line, &at.interaction, &members).await,
        ("releaseparty", Target::Conversation(at)) => desk::release_party(line, at, &members).await,
        _ => return Outcome::unsupported(),
    };
    match done {
        Ok(()) => Outcome::data(Json::empty_object()),
        Err(failure) => failure.into(),
    }
}

async fn disconnect(line: &Line) -> Result<(), Failure> {
    if line.look(|facts| facts.leg == LegStatus::Down) {
        return Ok(());
    }
    let down = |facts: &Facts| (facts.leg == LegStatus::Down).then(|| Ok(String::new()));
    act(line, After::State, Group::Phone, "agent-phone/end", no_params(), down).await?;
    Ok(())
}

async fn address_book(line: &Line, data: &Map<String, Value>) -> Outcome {
    let realtime = data.get("realtime").and_then(Value::as_bool).unwrap_or_default();
    if realtime {
        // Before reading, so that nothing is missed in between.
        line.listen(false);
    }
    match line.directory.read(&line.key, &line.agent).await {
        Ok(books) => Outcome::data(books),
        Err(failure) => {
            if realtime {
                line.directory.stop_listening(&line.session);
            }
            failure.into()
        }
    }
}

async fn scripts(line: &Line, channel: &str) -> Outcome {
    let Some(media) = DeskChannel::media_of(channel) else {
        return Outcome::failure(Code::NotFound, "no such channel");
    };
    let scripts = match list_scripts(line, json!({"mediaTypeId": media.id()})).await {
        Ok(scripts) => scripts,
        Err(refusal) => return refusal.failure().into(),
    };
    // CXone may list all, whatever was asked for.
    let fits = |script: &&Value| {
        let of = text(script, "mediaTypeId");
        active(script) && (of.is_empty() || of == media.id().to_string())
    };
    let shown = scripts.iter().filter(fits);
    let shown =
        shown.map(|script| json!({"scriptId": text(script, "scriptId"), "scriptName": text(script, "scriptName")}));
    Outcome::data(json!({"scripts": shown.collect::<Vec<_>>()}))
}

/// The list of scripts stands elsewhere in the newest versions.
async fn list_scripts(line: &Line, params: Value) -> Result<Vec<Value>, Refusal> {
    let pages = match line.api.all_pages(&line.key, Group::Scripts, "scripts", params.clone()).await {
        Err(refusal) if matches!(refusal.status(), Some(400 | 404 | 405 | 410)) => {
            line.api.all_pages(&line.key, Group::ScriptSearch, "scripts/search", params).await
        }
        read => read,
    };
    Ok(pages?.items)
}

/// Signals of one interaction go out one behind the other: the host sends commands to one object in order, and this
/// answers only when CXone has taken it.
async fn signal(line: &Line, key: &str, data: &Map<String, Value>) -> Result<(), Failure> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let given = |number: u32| data.get(&format!("p{number}")).filter(|value| !value.is_null());
    if let Some(number) = (SIGNAL_PARAMETERS + 1..=20).find(|number| given(*number).is_some()) {
        let failure = Failure::new(Code::Unsupported, format!("p{number}: a signal has nine parameters in CXone"));
        return Err(failure.context("CXone: the action SIGNAL reads p1 to p9"));
    }
    let contact = contact::lead(line, key)?;
    let values = (1..=SIGNAL_PARAMETERS).filter_map(|number| Some((format!("p{number}"), text(given(number)?))));
    let values: Vec<_> = values.collect();
    let path = format!("interactions/{}/signal?{}", encode(&contact), query(&values));
    let patience = line.api.settings.timing.request();
    let call = Call { group: Group::Signal, method: Method::POST, path: &path, params: json!({}), patience };
    line.api.call(&line.key, call).await?;
    Ok(())
}
