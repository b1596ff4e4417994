//! Extension commands and events, and needinfo (section 4, "Extension commands").

use jackfield_plugin_api::command::StandardCommand;
use jackfield_tests::{
    agent::members,
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
    words::{CALL_COMES, CALL_ENDS, COMPLETED},
};
use serde_json::{Value, json};

fn everything() -> Value {
    json!({"groups": [{"key": "g", "name": "G"}], "channels": [
        {"key": "x", "group": "g", "type": "Chat", "endpoint": "x", "name": "X"},
        {"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}},
         "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": "TALKING"}]}]}]})
}

#[tokio::test]
async fn an_extension_command_reaches_its_adapter_with_the_platforms_keys() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(everything());
    let mut agent = host.log_in("1001").await;
    let phone = agent.the("interaction");
    let phone = phone.rsplit_once('.').unwrap().0.to_owned();
    for (kind, target, at) in [
        ("session", agent.session.clone(), json!("session")),
        ("channelgroup", agent.the("channelgroup"), json!({"group": "g"})),
        ("channel", phone, json!({"channel": "p"})),
        ("interaction", agent.the("interaction"), json!({"interaction": {"channel": "p", "interaction": "i"}})),
        (
            "conversation",
            agent.the("primary"),
            json!({"conversation": {"channel": "p", "interaction": "i", "conversation": "c"}}),
        ),
    ] {
        let command = format!("{kind}.request.puppet.do");
        puppet.when("extension", Answer::data(json!({"done": [kind]})));
        let response = agent.command(&command, &target, json!({"n": 1.5, "any": [{}]})).await;
        assert_eq!(response["result"], "success", "{response}");
        assert_eq!(response["data"], json!({"done": [kind]}), "the adapter's own data");
        let asked = puppet.asked("extension").await;
        let expected = json!({"name": command, "target": at, "data": {"n": 1.5, "any": [{}]}});
        assert_eq!(asked["command"]["extension"], expected);
    }
    agent.finish().await;
}

#[tokio::test]
async fn an_extension_command_must_be_declared_sent_to_its_kind_and_fit_its_schema() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(everything());
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    agent.does("session.request.puppet.two.words", &session, json!({}), "").await;
    agent.fails("session.request.puppet.undeclared", &session, json!({}), "unsupported").await;
    agent.fails("session.request.elsewhere.do", &session, json!({}), "unsupported").await;
    agent.fails("session.puppet.do", &session, json!({}), "unknown_command").await;
    agent.fails("session.request.puppet", &session, json!({}), "unknown_command").await;
    agent.fails("channel.request.puppet.do", &session, json!({}), "not_found").await;
    agent.fails("session.request.puppet.do", &session, json!({"n": "one"}), "bad_request").await;
    puppet.when("extension", Answer::failure("forbidden", "not you"));
    agent.fails("session.request.puppet.do", &session, json!({"n": 1}), "forbidden").await;
    agent.finish().await;
}

#[tokio::test]
async fn each_tenants_extension_commands_go_to_its_own_adapter() {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("puppets", &puppet)).tenant(Tenant::simulator("demo")).start().await;
    let mut one = jackfield_tests::agent::Agent::connect(&host, "puppets").await;
    one.log_in("1001").await;
    let mut two = host.log_in("1001").await;
    let (first, second) = (one.session.clone(), two.session.clone());
    one.fails("session.request.simulator.link", &first, json!({"up": true}), "unsupported").await;
    two.fails("session.request.puppet.ping", &second, json!({}), "unsupported").await;
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn a_standard_command_that_the_adapter_does_not_have_is_unsupported() {
    // It panics at whatever command comes to it, so that the answer tells which came.
    let odd = Tenant::new("demo", "odd").settings("panics = [\"command\"]");
    let host = Setup::new().tenant(odd).start().await;
    let mut agent = host.log_in("1001").await;
    let (session, channel) = (agent.session.clone(), agent.the("channel"));
    let id = channel.rsplit('.').next().unwrap();
    let data = json!({"channel": {"id": id, "endpoint": "1", "type": "Telephony"}, "channelgroup": {"name": "g"},
        "destination": "1", "reasoncode": "1", "kind": "queues"});
    for command in StandardCommand::ALL.iter().map(|command| command.name()) {
        let target = if command.starts_with("session.") { &session } else { &channel };
        let has = ["channel.request.ready", "channel.request.notready"].contains(&command);
        let code = if has { "adapter_failed" } else { "unsupported" };
        agent.fails_quickly(command, target, data.clone(), code).await;
    }
}

#[tokio::test]
async fn extension_events_follow_the_state_changes_of_their_report() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(everything());
    let mut agent = host.log_in("1001").await;
    let interaction = agent.the("interaction");
    let report = json!({
        "channels": [{"key": "p", "interactions": [{"key": "i", "data": {"a": 1}}]}],
        "events": [
            {"on": {"interaction": {"channel": "p", "interaction": "i"}}, "name": "interaction.puppet.said",
             "data": {"n": 2.50, "deep": [{"er": null}]}},
            {"on": "session", "name": "session.puppet.said", "data": {}}
        ]
    });
    puppet.report("1001", report.clone()).await;
    let heard = agent.hears("interaction.datachanged interaction.puppet.said session.puppet.said").await;
    let said = heard.event("interaction.puppet.said");
    assert_eq!(said.target, interaction);
    assert_eq!(said.data, json!({"n": 2.5, "deep": [{"er": null}]}));
    // An event is not a state: the same again is said again. One that is not declared, or is about nothing, is not.
    puppet.report("1001", report).await;
    agent.hears("interaction.puppet.said session.puppet.said").await;
    let wrong = json!({"events": [
        {"on": "session", "name": "session.puppet.undeclared", "data": {}},
        {"on": {"channel": "nothing"}, "name": "channel.puppet.said", "data": {}}]});
    puppet.report("1001", wrong).await;
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn a_dial_that_needs_to_know_more_asks_and_is_sent_again_with_the_answer() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    agent.extension("channel.request.simulator.askskill", &channel, json!({"on": true}), "").await;
    let data = json!({"destination": "480"});
    let response = agent.command("channel.request.dial", &channel, data.clone()).await;
    assert_eq!(response["result"], "needinfo", "{response}");
    assert_eq!(members(&response), ["command", "original", "requestId", "result", "target", "uiExtension"]);
    assert!(response["uiExtension"]["id"].is_string());
    let skills = response["uiExtension"]["skills"].as_array().unwrap();
    assert_eq!(skills.len(), 2);
    let original = json!({"command": "channel.request.dial", "target": channel, "data": data,
        "requestId": response["requestId"]});
    assert_eq!(response["original"], original);
    agent.hears_no_more().await;
    let with = json!({"destination": "480", "extensions": {"skill": {"id": skills[0]["id"]}}});
    agent.does("channel.request.dial", &channel, with, CALL_COMES).await;
    agent.conversation("release", "primary", CALL_ENDS).await;
    agent.interaction("complete", COMPLETED).await;
    agent.finish().await;
}
