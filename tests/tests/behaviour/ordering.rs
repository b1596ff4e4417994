//! Which commands wait for which, and how long (section 1, "Order" and "When a command has succeeded").

use jackfield_tests::{
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
    words::{ANSWERED, PAIR, list},
};
use serde_json::{Value, json};

fn two_channels() -> Value {
    let channel = |key: &str| json!({"key": key, "type": "Telephony", "endpoint": key, "name": key});
    json!({"channels": [channel("a"), channel("b")]})
}

fn active(key: &str, availability: &str) -> Value {
    json!({"channels": [{"key": key, "status": {"ACTIVE": {"availability": availability}}}]})
}

/// Two channels, `a` first.
async fn with_two_channels(host: &Host, puppet: &Puppet) -> (jackfield_tests::agent::Agent, String, String) {
    puppet.starts_with(two_channels());
    let mut agent = host.connect().await;
    let heard = agent.log_in("1001").await;
    let paths: Vec<String> = heard
        .0
        .iter()
        .filter(|event| event.name == "channel.created")
        .map(|event| format!("{}.{}", event.target, event.data["channel"]["id"].as_str().unwrap()))
        .collect();
    (agent, paths[0].clone(), paths[1].clone())
}

#[tokio::test]
async fn commands_to_one_object_are_carried_out_in_the_order_sent() {
    let (host, puppet) = Host::puppet().await;
    let (mut agent, a, _) = with_two_channels(&host, &puppet).await;
    puppet.when("activate", Answer::never());
    puppet.when("ready", Answer::success().report(active("a", "READY")));
    let first = agent.send("channel.request.activate", &a, json!({})).await;
    let second = agent.send("channel.request.ready", &a, json!({})).await;
    let asked = puppet.asked("activate").await;
    // One that goes beside them and the whole way shows that `ready` has not been handed over.
    let _other = host.log_in("1002").await;
    assert_eq!(puppet.times_asked("ready"), 0);
    puppet.answer(&asked, Answer::success().report(active("a", "NOTREADY"))).await;
    assert_eq!(agent.response(first).await["result"], "success");
    // Its precondition was checked when its turn came: the channel is active by then.
    assert_eq!(agent.response(second).await["result"], "success");
    agent.hears(&list(&[PAIR, PAIR])).await;
    agent.finish().await;
}

#[tokio::test]
async fn commands_to_other_objects_go_side_by_side() {
    let (host, puppet) = Host::puppet().await;
    let (mut agent, a, b) = with_two_channels(&host, &puppet).await;
    puppet.when("activate", Answer::never());
    puppet.when("activate", Answer::success().report(active("b", "NOTREADY")));
    let first = agent.send("channel.request.activate", &a, json!({})).await;
    let asked = puppet.asked("activate").await;
    let second = agent.send("channel.request.activate", &b, json!({})).await;
    assert_eq!(agent.response(second).await["result"], "success", "answered before the first");
    agent.hears(PAIR).await;
    puppet.answer(&asked, Answer::success().report(active("a", "NOTREADY"))).await;
    assert_eq!(agent.response(first).await["result"], "success");
    agent.hears(PAIR).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_command_to_the_parent_waits_for_those_to_its_children() {
    let (host, puppet) = Host::puppet().await;
    let (mut agent, a, b) = with_two_channels(&host, &puppet).await;
    puppet.when("activate", Answer::never());
    let child = agent.send("channel.request.activate", &a, json!({})).await;
    let asked = puppet.asked("activate").await;
    let session = agent.session.clone();
    let parent = agent.send("session.request.puppet.do", &session, json!({})).await;
    let sibling = agent.send("channel.request.activate", &b, json!({})).await;
    assert_eq!(puppet.times_asked("extension"), 0);
    puppet.answer(&asked, Answer::success().report(active("a", "NOTREADY"))).await;
    for request in [child, parent, sibling] {
        assert_eq!(agent.response(request).await["result"], "success");
    }
    let kinds: Vec<String> =
        puppet.all_asked().into_iter().filter(|kind| kind == "activate" || kind == "extension").collect();
    assert_eq!(kinds, ["activate", "extension", "activate"]);
    agent.hears(PAIR).await;
    agent.finish().await;
}

fn ringing(state: &str) -> Value {
    json!({"channels": [{"key": "a", "type": "Telephony", "endpoint": "a", "name": "A", "status": {"ACTIVE": {}},
        "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": state}]}]}]})
}

#[tokio::test]
async fn release_and_reject_never_wait() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(ringing("TALKING"));
    let mut agent = host.log_in("1001").await;
    let call = agent.the("primary");
    puppet.when("hold", Answer::never());
    agent.send("conversation.request.hold", &call, json!({})).await;
    puppet.asked("hold").await;
    agent.send("conversation.request.release", &call, json!({})).await;
    // The next response is its own, not that the other one has timed out.
    let response = agent.any_response().await;
    assert_eq!(
        (&response["command"], &response["result"]),
        (&json!("conversation.request.release"), &json!("success"))
    );

    puppet.starts_with(ringing("ALERTING"));
    let mut agent = host.log_in("1002").await;
    let interaction = agent.the("interaction");
    puppet.when("answer", Answer::never());
    agent.send("interaction.request.accept", &interaction, json!({})).await;
    puppet.asked("answer").await;
    agent.send("interaction.request.reject", &interaction, json!({})).await;
    let response = agent.any_response().await;
    assert_eq!((&response["command"], &response["result"]), (&json!("interaction.request.reject"), &json!("success")));
}

#[tokio::test]
async fn a_platform_that_does_not_answer_is_a_timeout_and_what_comes_later_still_comes() {
    let puppet = Puppet::start().await;
    let tenant = Tenant::puppet("demo", &puppet).limits("command_deadline = \"1s\"\nconference_deadline = \"2s\"");
    let host = Setup::new().tenant(tenant).start().await;
    puppet.starts_with(ringing("ALERTING"));
    let mut agent = host.log_in("1001").await;
    let call = agent.the("primary");
    puppet.when("answer", Answer::never());
    agent.fails_quickly("conversation.request.answer", &call, json!({}), "timeout").await;
    puppet.report("1001", ringing("TALKING")).await;
    agent.hears(ANSWERED).await;
    // A late answer is no second response.
    let asked = puppet.asked("answer").await;
    puppet.answer(&asked, Answer::success()).await;
    agent.hears_no_more().await;
    // blindconference has a deadline of its own.
    puppet.when("blind_conference", Answer::never());
    puppet.when("hold", Answer::never());
    let begun = std::time::Instant::now();
    let data = json!({"destination": "5"});
    agent.fails_quickly("conversation.request.blindconference", &call, data, "timeout").await;
    let conference = begun.elapsed();
    assert!(conference.as_secs() >= 2, "{conference:?}");
    agent.finish().await;
}

#[tokio::test]
async fn a_panic_in_a_command_is_an_adapter_failure_of_that_command_only() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(ringing("TALKING"));
    let mut agent = host.log_in("1001").await;
    let call = agent.the("primary");
    puppet.when("hold", Answer::panic());
    agent.fails("conversation.request.hold", &call, json!({}), "adapter_failed").await;
    agent.does("conversation.request.hold", &call, json!({}), "").await;
    agent.finish().await;
}
