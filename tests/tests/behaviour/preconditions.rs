//! The column "fails if" of section 4, as far as the tree tells it: the host answers by itself. The platform here says
//! yes to everything, so whatever is refused is refused by the host.

use jackfield_tests::{agent::Agent, host::Host};
use serde_json::{Value, json};

/// A session that starts with a telephone `p` in a state and what is on it, and a chat channel `t`.
async fn with(status: Value, interaction: Value, chat: Value) -> (Host, jackfield_tests::puppet::Puppet, Agent) {
    let (host, puppet) = Host::puppet().await;
    let some = |one: Value| if one.is_null() { json!([]) } else { json!([one]) };
    puppet.starts_with(json!({"channels": [
        {"key": "t", "type": "Chat", "endpoint": "t", "name": "T", "status": {"ACTIVE": {}}, "interactions": some(chat)},
        {"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": status,
            "interactions": some(interaction)},
    ]}));
    let agent = host.log_in("1001").await;
    (host, puppet, agent)
}

fn active() -> Value {
    json!({"ACTIVE": {"availability": "READY"}})
}

fn call(conversations: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = conversations
        .iter()
        .map(|(role, state)| json!({"key": role, "role": role, "state": state, "muted": false}))
        .collect();
    json!({"key": "i", "direction": "inbound", "conversations": all})
}

/// Data that is good enough for the command.
fn data(command: &str) -> Value {
    match command.rsplit('.').next().unwrap() {
        "dial" | "consult" | "blindtransfer" | "blindconference" => json!({"destination": "1"}),
        "notready" => json!({"reasoncode": "2"}),
        "setinteractiondata" => json!({"key": "a", "value": 1}),
        "setdisposition" => json!({"disposition": "sold"}),
        "senddtmf" => json!({"digits": "1"}),
        _ if command.contains(".member.") => json!({"member": {"id": "m1"}}),
        _ => json!({}),
    }
}

/// These commands to the newest object of a kind are refused.
async fn refuses(agent: &mut Agent, on: &str, commands: &str) {
    let (target, kind) = (agent.the(on), if on == "channel" || on == "interaction" { on } else { "conversation" });
    for verb in commands.split_whitespace() {
        let command = format!("{kind}.request.{verb}");
        agent.fails(&command, &target, data(&command), "invalid_state").await;
    }
}

const RECORDING: &str = "recording.start recording.stop recording.pause recording.resume";

#[tokio::test]
async fn a_channel_is_active_or_not() {
    for status in [json!("INACTIVE"), json!("UNAVAILABLE")] {
        let (_host, _puppet, mut agent) = with(status, Value::Null, Value::Null).await;
        refuses(&mut agent, "channel", "deactivate ready notready dial").await;
        agent.finish().await;
    }
    let (_host, _puppet, mut agent) = with(active(), Value::Null, Value::Null).await;
    refuses(&mut agent, "channel", "activate").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_call_that_rings_or_is_dialled() {
    for state in ["ALERTING", "DIALING"] {
        let (_host, _puppet, mut agent) = with(active(), call(&[("primary", state)]), Value::Null).await;
        refuses(&mut agent, "interaction", RECORDING).await;
        refuses(&mut agent, "interaction", "complete consult alternate consulttransfer consultconference").await;
        refuses(&mut agent, "primary", "hold retrieve mute unmute senddtmf blindtransfer blindconference").await;
        if state == "ALERTING" {
            refuses(&mut agent, "interaction", "setinteractiondata setdisposition").await;
        } else {
            refuses(&mut agent, "interaction", "accept reject").await;
            refuses(&mut agent, "primary", "answer").await;
        }
        agent.finish().await;
    }
}

#[tokio::test]
async fn a_call_that_talks_or_is_held() {
    for state in ["TALKING", "HELD"] {
        let (_host, _puppet, mut agent) = with(active(), call(&[("primary", state)]), Value::Null).await;
        refuses(&mut agent, "interaction", "accept reject complete recording.pause recording.resume").await;
        refuses(&mut agent, "interaction", "alternate consulttransfer consultconference").await;
        refuses(&mut agent, "primary", "answer").await;
        refuses(&mut agent, "primary", "member.remove member.mute member.unmute member.hold member.retrieve").await;
        let (talking, held) = ("retrieve", "hold senddtmf blindconference");
        refuses(&mut agent, "primary", if state == "TALKING" { talking } else { held }).await;
        agent.finish().await;
    }
}

#[tokio::test]
async fn a_call_with_a_consult() {
    let calls = [("primary", "HELD"), ("consult", "DIALING")];
    let (_host, _puppet, mut agent) = with(active(), call(&calls), Value::Null).await;
    refuses(&mut agent, "interaction", "consult alternate consulttransfer consultconference").await;
    agent.finish().await;
    let calls = [("primary", "HELD"), ("consult", "TALKING")];
    let (_host, _puppet, mut agent) = with(active(), call(&calls), Value::Null).await;
    refuses(&mut agent, "interaction", "consult").await;
    refuses(&mut agent, "primary", "retrieve hold").await;
    agent.finish().await;
    let (_host, _puppet, mut agent) = with(active(), call(&[("consult", "TALKING")]), Value::Null).await;
    refuses(&mut agent, "interaction", "alternate consulttransfer consultconference").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_call_that_is_over() {
    let over = json!({"key": "i", "direction": "inbound", "state": "ENDED"});
    let (_host, _puppet, mut agent) = with(active(), over, Value::Null).await;
    refuses(&mut agent, "interaction", RECORDING).await;
    refuses(&mut agent, "interaction", "accept reject consult").await;
    let session = agent.session.clone();
    let remove = json!({"channel": {"id": agent.the("channel").rsplit('.').next().unwrap()}});
    agent.fails("session.request.removechannel", &session, remove, "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_chat_that_waits_or_was_accepted() {
    for (state, refused) in [
        ("ALERTING", "complete setinteractiondata setdisposition"),
        ("STARTED", "accept reject"),
        ("ENDED", "accept reject"),
    ] {
        let chat = json!({"key": "e", "direction": "inbound", "state": state});
        let (_host, _puppet, mut agent) = with(active(), Value::Null, chat).await;
        refuses(&mut agent, "interaction", refused).await;
        agent.finish().await;
    }
}

#[tokio::test]
async fn what_changes_nothing_is_not_asked_of_the_platform() {
    let mut recorded = call(&[("primary", "TALKING")]);
    let cases = [
        ("ON", false, "recording.start recording.resume", "unmute"),
        ("PAUSED", true, "recording.pause", "mute"),
        ("OFF", true, "recording.stop", "mute"),
    ];
    for (recording, muted, verbs, mute) in cases {
        recorded["recording"] = json!(recording);
        recorded["conversations"][0]["muted"] = json!(muted);
        let (_host, puppet, mut agent) = with(active(), recorded.clone(), Value::Null).await;
        let (channel, interaction, primary) = (agent.the("channel"), agent.the("interaction"), agent.the("primary"));
        let before: Vec<String> = puppet.all_asked();
        for verb in verbs.split_whitespace() {
            agent.does(&format!("interaction.request.{verb}"), &interaction, json!({}), "").await;
        }
        agent.does(&format!("conversation.request.{mute}"), &primary, json!({}), "").await;
        agent.does("channel.request.ready", &channel, json!({}), "").await;
        let mut asked = puppet.all_asked().split_off(before.len());
        asked.retain(|kind| kind != "extension");
        assert_eq!(asked, Vec::<String>::new());
        agent.finish().await;
    }
}

#[tokio::test]
async fn what_the_tree_and_the_data_tell_together() {
    let (host, puppet) = Host::puppet().await;
    let offered = call(&[("primary", "ALERTING")]);
    puppet.starts_with(json!({"groups": [{"key": "g", "name": "Sales"}], "channels": [
        {"key": "t", "type": "Chat", "endpoint": "t", "name": "T", "status": {"ACTIVE": {}}, "group": "g"},
        {"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}}, "group": "g",
            "interactions": [offered]},
    ]}));
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    let add = json!({"channel": {"endpoint": "p", "type": "Telephony"}});
    agent.fails_quickly("session.request.addchannel", &session, add.clone(), "invalid_state").await;
    agent.fails_quickly("session.request.puppet.ping", &session, json!({}), "invalid_state").await;
    let heard = agent.start(json!({})).await;
    agent.fails("session.request.addchannel", &session, add, "conflict").await;

    let group = agent.the("channelgroup");
    let id = |target: &str| target.rsplit('.').next().unwrap().to_owned();
    let remove = json!({"channelgroup": {"id": id(&group)}});
    agent.fails("session.request.removechannelgroup", &session, remove, "invalid_state").await;
    let chat = &heard.0.iter().find(|event| event.name == "channel.created").unwrap().data["channel"];
    assert_eq!(chat["type"], "Chat");
    let chat = chat["id"].as_str().unwrap();
    let dial = json!({"destination": "1"});
    agent.fails("channel.request.dial", &format!("{group}.{chat}"), dial, "unsupported").await;
    let twice = json!({"channeloptions": [{"id": chat}, {"id": chat}]});
    agent.fails("channelgroup.request.activateall", &group, twice, "bad_request").await;

    // An offer is released by being rejected.
    agent.does("conversation.request.release", &agent.the("primary"), json!({}), "").await;
    assert_eq!((puppet.times_asked("reject"), puppet.times_asked("release")), (1, 0));

    // What the tree tells comes before the link.
    puppet.link(false).await;
    agent.hears("session.linkchanged").await;
    let primary = agent.the("primary");
    agent.fails_quickly("conversation.request.hold", &primary, json!({}), "invalid_state").await;
    agent.fails_quickly("conversation.request.answer", &primary, json!({}), "link_down").await;
}
