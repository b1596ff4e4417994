//! What happens at a limit of the host: a command that could not be shown is refused before the platform is asked, and a
//! live call is always shown.

use jackfield_tests::{
    host::Host,
    puppet::Answer,
    words::{CALL_COMES, COMPLETED, NEW_CHANNEL},
};
use serde_json::{Value, json};

const SET: &str = "interaction.request.setinteractiondata";
const ADD: &str = "session.request.addchannel";

/// A phone with these interactions.
fn phone(interactions: Vec<Value>) -> Value {
    json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": {"ACTIVE": {"availability": "READY"}}, "interactions": interactions}]})
}

fn call(key: &str, state: &str) -> Value {
    json!({"key": key, "direction": "outbound", "conversations": [{"key": "c", "role": "primary", "state": state,
        "members": [{"key": "m", "address": "5552000", "role": "customer"}]}]})
}

#[tokio::test]
async fn a_dialled_call_is_shown_though_128_contacts_wait_to_be_completed() {
    let (host, puppet) = Host::puppet().await;
    let ended = |n| json!({"key": format!("old{n}"), "direction": "inbound", "state": "ENDED"});
    puppet.starts_with(phone((0..128).map(ended).collect()));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    let dialling = json!({"channels": [{"key": "p", "interactions": [call("new", "DIALING")]}]});
    puppet.when("dial", Answer::success().report(dialling));
    agent.does("channel.request.dial", &channel, json!({"destination": "5552000"}), CALL_COMES).await;
    // It can be released, and waits like the others then: the oldest of them is completed.
    let over = json!({"channels": [{"key": "p", "interactions": [{"key": "new", "reason": "released",
        "conversations": []}]}]});
    puppet.when("release", Answer::success().report(over));
    let words = format!("{} {COMPLETED}", jackfield_tests::words::CALL_ENDS);
    agent.conversation("release", "primary", &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_call_beyond_64_live_ones_is_refused_and_never_placed() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone((0..64).map(|n| call(&n.to_string(), "HELD")).collect()));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    agent.fails("channel.request.dial", &channel, json!({"destination": "5552000"}), "quota_exceeded").await;
    assert_eq!(puppet.times_asked("dial"), 0);
    agent.finish().await;
}

#[tokio::test]
async fn data_beyond_64_kib_is_refused_and_the_platforms_own_follows_a_transfer() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    let mut other = host.log_in("1002").await;
    other.has_phone("2002").await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    let entry = |n: usize| json!({"key": format!("key{n:02}"), "value": "x".repeat(1_000)});
    let mut set = 0;
    let refused = loop {
        let response = agent.command(SET, &interaction, entry(set)).await;
        if response["result"] != "success" {
            break response;
        }
        agent.hears("interaction.datachanged").await;
        set += 1;
    };
    assert_eq!(refused["failure"]["code"], "quota_exceeded", "{refused}");
    assert!((50..66).contains(&set), "{set} entries of 1 000 bytes");
    agent.hears_no_more().await;
    agent.does(SET, &interaction, json!({"key": "key00", "value": 1}), "interaction.datachanged").await;
    let call = agent.the("primary");
    agent.command("conversation.request.blindtransfer", &call, json!({"destination": "2002"})).await;
    let heard = other.hears(CALL_COMES).await;
    let data = &heard.data("interaction.datachanged")["data"];
    assert!(data["contactId"].is_string(), "{data}");
    assert_eq!(data["key00"], 1);
    other.finish().await;
}

#[tokio::test]
async fn a_desktop_does_not_set_the_platforms_own_data() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    let failure = agent.fails(SET, &interaction, json!({"key": "contactId", "value": "1"}), "forbidden").await;
    assert_eq!(failure["message"], "data.key: contactId is the platform's own");
    agent.finish().await;
}

#[tokio::test]
async fn a_channel_that_could_not_be_shown_is_refused_and_takes_no_endpoint() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let channel = |endpoint: &str| json!({"channel": {"endpoint": endpoint, "type": "Chat"}});
    agent.fails(ADD, &session, channel(&"x".repeat(257)), "bad_request").await;
    for n in 0..64 {
        agent.does(ADD, &session, channel(&format!("chat{n}")), NEW_CHANNEL).await;
    }
    for _ in 0..2 {
        agent.fails(ADD, &session, channel("one more"), "quota_exceeded").await;
    }
    let last = agent.the("channel");
    let id = last.rsplit('.').next().unwrap();
    let removed = json!({"channel": {"id": id}});
    agent.does("session.request.removechannel", &session, removed, "channel.disposed").await;
    agent.does(ADD, &session, channel("one more"), NEW_CHANNEL).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_text_that_would_come_back_cut_is_refused() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    let channel = agent.the("channel");
    let long = "7".repeat(257);
    let failure = agent.fails("channel.request.dial", &channel, json!({"destination": long}), "bad_request").await;
    assert_eq!(failure["message"], "data.destination is longer than 256 bytes");
    let data = json!({"reasoncode": "lunch", "reasondesc": long});
    let failure = agent.fails("channel.request.notready", &channel, data, "bad_request").await;
    assert_eq!(failure["message"], "data.reasondesc is longer than 256 bytes");
    agent.finish().await;
}
