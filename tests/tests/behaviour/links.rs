//! The link between adapter and platform, lost and back (section 4, "What happens by itself").

use jackfield_tests::{
    host::Host,
    puppet::{Answer, Puppet},
    words::{CALL_ENDS, PAIR},
};
use serde_json::{Value, json};

fn phone(state: &str) -> Value {
    json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}},
        "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": state}]}]}]})
}

async fn talking() -> (Host, Puppet, jackfield_tests::agent::Agent) {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone("TALKING"));
    let agent = host.log_in("1001").await;
    (host, puppet, agent)
}

#[tokio::test]
async fn a_lost_link_fails_what_is_in_flight_and_what_comes() {
    let (_host, puppet, mut agent) = talking().await;
    let (session, call) = (agent.session.clone(), agent.the("primary"));
    puppet.when("hold", Answer::never());
    let hold = agent.send("conversation.request.hold", &call, json!({})).await;
    puppet.asked("hold").await;
    puppet.link(false).await;
    let response = agent.response(hold).await;
    assert_eq!(response["failure"]["code"], "timeout", "the outcome is unknown: {response}");
    let heard = agent.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged"), &json!({"link": "down", "reason": "the test cut it"}));
    agent.fails_quickly("conversation.request.hold", &call, json!({}), "link_down").await;
    agent.fails_quickly("session.request.puppet.do", &session, json!({}), "link_down").await;
    // Told once.
    puppet.link(false).await;
    puppet.link(true).await;
    let heard = agent.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "up");
    agent.finish().await;
}

#[tokio::test]
async fn when_the_link_is_back_the_differences_come_first() {
    let (_host, puppet, mut agent) = talking().await;
    puppet.link(false).await;
    agent.hears("session.linkchanged").await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "p", "name": "P",
        "status": {"ACTIVE": {}}}]}));
    puppet.link(true).await;
    // The call is over, and nothing is left of it.
    let heard = agent.hears_until("session.linkchanged").await;
    let words = heard.words().join(" ");
    assert!(words.starts_with("state.updated(primary) conversation.disposed(primary) interaction.ended"), "{words}");
    assert!(words.ends_with(&format!("interaction.disposed {PAIR} session.linkchanged")), "{words}");
    assert_eq!(heard.data("session.linkchanged")["link"], "up");
    agent.finish().await;
}

#[tokio::test]
async fn an_agents_own_link_counts_as_well() {
    let (host, puppet, mut agent) = talking().await;
    let mut other = host.log_in("1002").await;
    puppet.agent_link("1001", false).await;
    agent.hears("session.linkchanged").await;
    other.hears_no_more().await;
    let call = agent.the("primary");
    agent.fails_quickly("conversation.request.hold", &call, json!({}), "link_down").await;
    puppet.link(false).await;
    other.hears("session.linkchanged").await;
    puppet.agent_link("1001", true).await;
    agent.fails_quickly("conversation.request.hold", &call, json!({}), "link_down").await;
    puppet.link(true).await;
    for agent in [&mut agent, &mut other] {
        let heard = agent.hears_until("session.linkchanged").await;
        assert_eq!(heard.data("session.linkchanged")["link"], "up");
    }
    agent.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn a_snapshot_tells_that_the_link_is_down() {
    let (_host, puppet, mut agent) = talking().await;
    puppet.link(false).await;
    agent.hears("session.linkchanged").await;
    let session = agent.session.clone();
    agent.reconnect().await;
    assert_eq!(agent.bind(&session, None).await["result"], "success", "bindSession works with the link down");
    let heard = agent.hears_until("session.initialized").await;
    assert!(heard.words().join(" ").ends_with("session.linkchanged session.initialized"), "{:?}", heard.words());
    puppet.link(true).await;
    agent.hears("session.linkchanged").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_host_starts_with_its_link_down_and_lets_in_when_it_is_up() {
    let puppet = Puppet::start().await;
    puppet.begins_with_link_down();
    let host = jackfield_tests::host::Setup::new()
        .tenant(jackfield_tests::host::Tenant::puppet("demo", &puppet).may_be_down())
        .start()
        .await;
    puppet.asked("connect").await;
    let mut agent = host.connect().await;
    let response = agent.prepare("1001", false).await;
    assert_eq!(response["failure"]["code"], "link_down", "{response}");
    puppet.link(true).await;
    agent.log_in("1001").await;
    agent.finish().await;
}

#[tokio::test]
async fn the_simulators_link_can_be_tried_by_hand() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent.talks().await;
    let session = agent.session.clone();
    let response = agent.command("session.request.simulator.link", &session, json!({"up": false, "ms": 300})).await;
    assert_eq!(response["result"], "success", "{response}");
    assert_eq!(agent.hears("session.linkchanged").await.data("session.linkchanged")["link"], "down");
    let heard = agent.hears_until("session.linkchanged").await;
    assert_eq!(heard.words(), ["session.linkchanged"], "nothing has changed meanwhile");
    agent.conversation("release", "primary", CALL_ENDS).await;
    agent.finish().await;
}
