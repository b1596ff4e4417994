//! When events were told, and since when states hold (section 2, "Times").

use std::collections::BTreeMap;

use jackfield_tests::{
    agent::{Agent, Heard},
    host::{Host, Setup, Tenant},
    puppet::Puppet,
};
use serde_json::{Value, json};

/// Since when each object is in its state, as the events of a snapshot or a replay tell it last.
fn since(heard: &Heard) -> BTreeMap<String, u64> {
    heard.0.iter().filter_map(|event| Some((event.target.clone(), event.since?))).collect()
}

/// An agent in a call of the simulator, and since when what is in its state.
async fn in_a_call(host: &Host) -> (Agent, BTreeMap<String, u64>) {
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    agent
        .command("session.request.addchannel", &session, json!({"channel": {"endpoint": "1", "type": "Telephony"}}))
        .await;
    let phone = agent.the("channel");
    agent.command("channel.request.activate", &phone, json!({})).await;
    let contact = json!({"type": "Telephony", "from": "+15550100"});
    agent.command("session.request.simulator.inbound", &session, contact).await;
    agent.hears_until("interaction.initialized").await;
    let call = agent.the("primary");
    agent.command("conversation.request.answer", &call, json!({})).await;
    agent.forget_heard();
    let mut other = agent.another_connection().await;
    other.bind(&session, None).await;
    let told = since(&other.hears_until("session.initialized").await);
    assert_eq!(
        told.keys().map(|target| agent.kind_of(target)).collect::<Vec<_>>(),
        ["channel", "interaction", "conversation"]
    );
    (other, told)
}

#[tokio::test]
async fn every_event_tells_when_it_was_told() {
    let host = Host::simulator().await;
    let before = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let mut agent = host.connect().await;
    let heard = agent.log_in("1001").await;
    let after = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    assert!(heard.0.iter().all(|event| (before..=after).contains(&event.at)), "{before} {after} {heard:?}");
    agent.finish().await;
}

#[tokio::test]
async fn since_when_a_state_holds_is_the_same_in_every_snapshot() {
    let host = Host::simulator().await;
    let (mut agent, told) = in_a_call(&host).await;
    let session = agent.session.clone();
    let call = agent.the("primary");
    agent.command("conversation.request.hold", &call, json!({})).await;
    let held = agent.hears("state.updated(primary)").await.event("state.updated(primary)").clone();
    assert!(held.since.unwrap() >= told[&held.target]);
    agent.reconnect().await;
    agent.bind(&session, None).await;
    let mut expected = told;
    expected.insert(held.target, held.since.unwrap());
    assert_eq!(since(&agent.hears_until("session.initialized").await), expected);
}

#[tokio::test]
async fn an_adapter_that_is_started_again_does_not_begin_a_call_anew() {
    let puppet = Puppet::start().await;
    let call = json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "p", "name": "P",
        "status": {"ACTIVE": {}}, "since": 1_700_000_000_000_u64,
        "interactions": [{"key": "i", "direction": "inbound", "since": 1_700_000_001_000_u64,
            "conversations": [{"key": "c", "role": "primary", "state": "TALKING", "since": 1_700_000_002_000_u64}]}]}]});
    puppet.starts_with(call);
    let host = Setup::new().tenant(Tenant::puppet("acme", &puppet).isolation("tenant")).start().await;
    let mut agent = Agent::connect(&host, "acme").await;
    let told = since(&agent.log_in("1001").await);
    assert_eq!(told.values().copied().collect::<Vec<_>>(), [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000]);
    host.kill_worker("acme").await;
    agent.hears("session.linkchanged session.linkchanged").await;
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn a_call_that_is_found_in_a_new_session_has_been_going_on_for_as_long() {
    let host = Host::simulator().await;
    let (old, told) = in_a_call(&host).await;
    let mut agent = host.connect().await;
    assert_eq!(agent.prepare("1001", true).await["result"], "success");
    let found = since(&agent.start(json!({})).await);
    // The objects have other ids; the times are the platform's.
    let times = |since: &BTreeMap<String, u64>| since.values().copied().collect::<Vec<_>>();
    let off = times(&found).iter().zip(times(&told)).map(|(found, told)| found.abs_diff(told)).max();
    assert!(off.unwrap() < 1_000, "{found:?} {told:?}");
    drop(old);
    agent.finish().await;
}

#[tokio::test]
async fn a_state_that_an_adapter_says_nothing_of_holds_since_the_host_was_told() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(
        json!({"channels": [{"key": "p", "type": "Chat", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}}}]}),
    );
    let mut agent = host.connect().await;
    let first = agent.log_in("1001").await.event("state.updated(channel)").clone();
    assert!(first.at - first.since.unwrap() < 60_000, "{first:?}");
    let ready: Value = json!({"channels": [{"key": "p", "status": {"ACTIVE": {"availability": "READY"}}}]});
    puppet.report("1001", ready).await;
    let next = agent.hears("channel.infochanged state.updated(channel)").await.event("state.updated(channel)").clone();
    assert_eq!(next.since, Some(next.at));
    agent.finish().await;
}

#[tokio::test]
async fn a_disposition_that_was_set_is_told_in_every_snapshot_and_in_the_agents_next_session() {
    let host = Host::simulator().await;
    let (mut agent, _) = in_a_call(&host).await;
    let (session, interaction) = (agent.session.clone(), agent.the("interaction"));
    agent.does("interaction.request.setdisposition", &interaction, json!({"disposition": "Sold"}), "").await;
    let call = agent.the("primary");
    agent.command("conversation.request.release", &call, json!({})).await;
    let ended = agent.hears_until("state.updated(interaction)").await;
    assert_eq!(ended.data("state.updated(interaction)")["disposition"], "Sold", "the next state tells it");
    agent.reconnect().await;
    agent.bind(&session, None).await;
    let heard = agent.hears_until("session.initialized").await;
    assert_eq!(heard.data("state.updated(interaction)")["disposition"], "Sold");
    let mut next = host.connect().await;
    next.prepare("1001", true).await;
    let heard = next.start(json!({})).await;
    assert_eq!(heard.data("state.updated(interaction)")["disposition"], "Sold");
    next.finish().await;
}
