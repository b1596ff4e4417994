//! The published schemas: what they are served as, what they refuse, and what they leave open. That all that is said fits
//! them is checked in every other test, by the agents of the harness.

use std::collections::BTreeSet;

use jackfield_tests::{host::Host, http::get, schema};
use serde_json::{Value, json};

/// The messages of the page of examples: the kind of each, and what it says. Without the commands that are refused as bad
/// requests.
fn examples() -> Vec<(&'static str, Value)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/docs/examples.md")).unwrap();
    let lines = page.lines().filter_map(|line| {
        let message = line.strip_prefix(['→', '←', '⇠'])?.trim_start();
        Some((line.starts_with('→'), serde_json::from_str::<Value>(message).unwrap()))
    });
    let (sent, heard): (Vec<_>, Vec<_>) = lines.partition(|(sent, _)| *sent);
    let refused = |command: &Value| {
        heard.iter().any(|(_, it)| it["requestId"] == command["requestId"] && it["failure"]["code"] == "bad_request")
    };
    let commands = sent.into_iter().map(|(_, command)| command).filter(|command| !refused(command));
    let commands: Vec<_> = commands.map(|command| ("command", command)).collect();
    commands.into_iter().chain(heard.into_iter().map(|(_, message)| (kind_of(&message), message))).collect()
}

fn kind_of(message: &Value) -> &'static str {
    match message["result"].as_str() {
        None if message["messageType"].is_null() => "command",
        None => "event",
        Some("success") => "success",
        Some("needinfo") => "needinfo",
        Some("confirm") => "confirm",
        Some(_) => "failure",
    }
}

#[test]
fn every_example_fits_its_schema_and_there_is_one_of_every_kind() {
    let examples = examples();
    for (kind, message) in &examples {
        schema::fits(kind, message);
    }
    let kinds: BTreeSet<&str> = examples.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, BTreeSet::from(["command", "success", "needinfo", "confirm", "failure", "event"]));
}

#[test]
fn what_the_protocols_page_shows_of_each_kind_fits_its_schema() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/docs/protocol.md")).unwrap();
    let mut kinds = BTreeSet::new();
    let mut entry = None;
    for line in page.lines().map(str::trim) {
        let (kind, text) = match (line.strip_prefix("data: "), line.strip_prefix("event: ")) {
            (Some(data), _) => (entry.take(), data),
            (_, Some(named)) => {
                entry = Some(named);
                continue;
            }
            _ if line.starts_with('{') => (None, line),
            _ => continue,
        };
        let message: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let kind = kind.unwrap_or_else(|| kind_of(&message));
        schema::fits(kind, &message);
        kinds.insert(kind);
    }
    let all = ["command", "success", "needinfo", "confirm", "failure", "event", "bind", "closed"];
    assert_eq!(kinds, BTreeSet::from(all));
}

#[test]
fn what_a_later_version_adds_still_fits() {
    for (kind, mut message) in examples() {
        let later = json!({"later": [1]});
        add_everywhere(&mut message, &later);
        schema::fits(kind, &message);
    }
    schema::fits(
        "event",
        &json!({"messageType": "objectEvent", "seq": 1, "at": 0, "target": "S", "name": "session.later",
        "data": {"some": "thing"}}),
    );
    schema::fits("command", &json!({"command": "session.request.later", "target": "S", "data": {"some": "thing"}}));
}

fn add_everywhere(message: &mut Value, member: &Value) {
    match message {
        Value::Object(members) => {
            members.values_mut().for_each(|inner| add_everywhere(inner, member));
            members.insert("ofLaterVersions".to_owned(), member.clone());
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| add_everywhere(inner, member)),
        _ => {}
    }
}

#[tokio::test]
async fn what_the_schemas_refuse_the_host_refuses() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    let session = agent.session.clone();
    for (command, target, data) in [
        ("session.request.addchannel", &session, json!({"channel": {"endpoint": "2", "type": "Telefony"}})),
        ("session.request.addchannel", &session, json!({"channel": {"endpoint": "", "type": "Chat"}})),
        ("session.request.addchannel", &session, json!({"channel": {"endpoint": "2".repeat(257), "type": "Chat"}})),
        ("session.request.addchannelgroup", &session, json!({"channelgroup": {"name": "all", "chat": 1}})),
        ("session.request.removechannelgroup", &session, json!({})),
        ("session.request.list", &session, json!({"kind": "faxes"})),
        ("session.request.list", &session, json!({"kind": "queues", "limit": 201})),
        ("session.request.list", &session, json!({"kind": "queues", "query": null})),
        ("channel.request.activate", &channel, json!({"channeloptions": {"queue": 7}})),
        ("channel.request.deactivate", &channel, json!({"channelOptions": {"reason": "seven"}})),
        ("channel.request.notready", &channel, json!({"reasoncode": 1.5})),
        ("channel.request.notready", &channel, json!({"reasondesc": "Lunch"})),
        ("channel.request.dial", &channel, json!({"destination": "5551234", "extensions": []})),
    ] {
        let message = json!({"command": command, "target": target, "data": data});
        assert!(schema::check("command", &message).is_err(), "the schemas take {message}");
        agent.fails(command, target, data, "bad_request").await;
    }
}

#[tokio::test]
async fn the_schemas_are_served_to_everybody_and_find_each_other() {
    let host = Host::simulator().await;
    let mut waiting = vec!["/v1/schema/asyncapi.json".to_owned()];
    let mut found = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        let (status, text) = get(&host.address, &path).await.unwrap();
        assert_eq!(status, 200, "{path}");
        let schema: Value = serde_json::from_str(&text).unwrap();
        let (folder, _) = path.rsplit_once('/').unwrap();
        let others = references(&schema).into_iter().filter(|to| !to.starts_with('#'));
        waiting.extend(others.map(|to| format!("{folder}/{to}")).filter(|path| !found.contains(path)));
        found.insert(path);
    }
    assert!(found.contains("/v1/schema/commands/channel.request.dial.json"));
    assert!(found.contains("/v1/schema/events/state.updated.json"));
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
