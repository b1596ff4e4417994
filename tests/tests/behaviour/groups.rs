//! Channel groups: added, removed, activated and deactivated as a whole (section 4).

use jackfield_tests::{
    agent::Agent,
    host::Host,
    puppet::{Answer, Puppet},
    words::{NEW_CHANNEL, PAIR, list},
};
use serde_json::{Value, json};

/// Adds the simulator's group with a telephone, a chat and an e-mail channel; returns their targets, the group's first.
async fn three_channels(agent: &mut Agent) -> [String; 4] {
    let session = agent.session.clone();
    let data = json!({"channelgroup": {"name": "all", "chat": true, "email": true}});
    let words = list(&[
        "channelgroup.created state.updated(channelgroup)",
        NEW_CHANNEL,
        NEW_CHANNEL,
        NEW_CHANNEL,
        "channelgroup.initialized",
    ]);
    let heard = agent.does("session.request.addchannelgroup", &session, data, &words).await;
    let channels: Vec<String> = heard
        .0
        .iter()
        .filter(|event| event.name == "channel.created")
        .map(|event| format!("{}.{}", event.target, event.data["channel"]["id"].as_str().unwrap()))
        .collect();
    [agent.the("channelgroup"), channels[0].clone(), channels[1].clone(), channels[2].clone()]
}

fn id(target: &str) -> &str {
    target.rsplit('.').next().unwrap()
}

/// A session of the puppet with a group of two channels; returns the group and the channels.
async fn puppet_group(agent: &mut Agent, puppet: &Puppet) -> [String; 3] {
    let channel = |key: &str| json!({"key": key, "group": "g", "type": "Telephony", "endpoint": key, "name": key, "status": "INACTIVE"});
    puppet.starts_with(json!({"groups": [{"key": "g", "name": "Sales"}], "channels": [channel("a"), channel("b")]}));
    let heard = agent.log_in("1001").await;
    let paths: Vec<String> = heard
        .0
        .iter()
        .filter(|event| event.name == "channel.created")
        .map(|event| format!("{}.{}", event.target, event.data["channel"]["id"].as_str().unwrap()))
        .collect();
    [agent.the("channelgroup"), paths[0].clone(), paths[1].clone()]
}

fn status(key: &str, status: Value) -> Value {
    json!({"channels": [{"key": key, "status": status}]})
}

#[tokio::test]
async fn addchannelgroup_creates_the_group_around_its_channels() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let add = "session.request.addchannelgroup";
    for (flags, channels) in [
        (json!({"name": "all"}), vec!["Telephony"]),
        (json!({"name": "all", "chat": true}), vec!["Telephony", "Chat"]),
        (json!({"name": "all", "chat": true, "email": true, "callback": false}), vec!["Telephony", "Chat", "Email"]),
    ] {
        let each: Vec<&str> = channels.iter().map(|_| NEW_CHANNEL).collect();
        let words =
            format!("channelgroup.created state.updated(channelgroup) {} channelgroup.initialized", list(&each));
        let heard = agent.does(add, &session, json!({"channelgroup": flags}), &words).await;
        assert_eq!(heard.data("channelgroup.created")["channelgroup"]["name"], "all");
        assert_eq!(heard.data("state.updated(channelgroup)")["state"], "POPULATED");
        let group = agent.the("channelgroup");
        let created: Vec<&Value> =
            heard.0.iter().filter(|event| event.name == "channel.created").map(|event| &event.data).collect();
        for (event, kind) in created.iter().zip(&channels) {
            assert_eq!(event["channel"]["type"], *kind);
        }
        assert!(heard.0.iter().filter(|event| event.name == "channel.created").all(|event| event.target == group));
        let each: Vec<&str> = channels.iter().map(|_| "channel.disposed").collect();
        let words = format!("{} channelgroup.disposed", list(&each));
        let data = json!({"channelgroup": {"id": id(&group)}});
        agent.does("session.request.removechannelgroup", &session, data, &words).await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn addchannelgroup_fails_for_a_group_that_the_platform_does_not_know() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let add = "session.request.addchannelgroup";
    agent.fails(add, &session, json!({"channelgroup": {"name": "none"}}), "rejected").await;
    for bad in [json!({}), json!({"channelgroup": {}}), json!({"channelgroup": {"name": "all", "chat": "yes"}})] {
        agent.fails(add, &session, bad, "bad_request").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn removechannelgroup_removes_its_channels_and_deactivates_them_first() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    // The source names the group as a channel; a group is a group to us: both are understood.
    for name in ["channel", "channelgroup"] {
        let [group, _, chat, _] = three_channels(&mut agent).await;
        agent.does("channel.request.activate", &chat, json!({}), PAIR).await;
        let words = list(&["channel.disposed", PAIR, "channel.disposed channel.disposed channelgroup.disposed"]);
        let data = json!({name: {"id": id(&group)}});
        let heard = agent.does("session.request.removechannelgroup", &session, data.clone(), &words).await;
        assert_eq!(heard.event("state.updated(channel)").target, chat);
        assert_eq!(heard.event("channelgroup.disposed").target, group);
        agent.fails("session.request.removechannelgroup", &session, data, "not_found").await;
    }
    agent.fails("session.request.removechannelgroup", &session, json!({}), "bad_request").await;
    agent.finish().await;
}

#[tokio::test]
async fn removechannelgroup_removes_nothing_while_a_channel_has_an_interaction() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let [group, phone, ..] = three_channels(&mut agent).await;
    agent.does("channel.request.activate", &phone, json!({}), PAIR).await;
    agent.is_offered("Telephony").await;
    let data = json!({"channelgroup": {"id": id(&group)}});
    agent.fails("session.request.removechannelgroup", &session, data, "invalid_state").await;
    agent.fails("session.request.removechannel", &session, json!({"channel": {"id": id(&phone)}}), "not_found").await;
    agent.finish().await;
}

#[tokio::test]
async fn removechannelgroup_that_fails_leaves_inactive_what_was_deactivated() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.connect().await;
    let [group, first, _] = puppet_group(&mut agent, &puppet).await;
    puppet.report("1001", status("a", json!({"ACTIVE": {}}))).await;
    agent.hears(PAIR).await;
    let refusal = Answer::failure("rejected", "the second stays").report(status("a", json!("INACTIVE")));
    puppet.when("remove_channel_group", refusal);
    let session = agent.session.clone();
    let data = json!({"channelgroup": {"id": id(&group)}});
    agent.fails_quickly("session.request.removechannelgroup", &session, data, "rejected").await;
    let heard = agent.hears(PAIR).await;
    assert_eq!(heard.event("state.updated(channel)").target, first);
    agent.finish().await;
}

#[tokio::test]
async fn activateall_activates_what_is_not_active() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let [group, phone, chat, email] = three_channels(&mut agent).await;
    agent.does("channel.request.activate", &chat, json!({}), PAIR).await;
    let data = json!({"channeloptions": [{"id": id(&phone), "queue": "sales"}]});
    let heard = agent.does("channelgroup.request.activateall", &group, data, &list(&[PAIR, PAIR])).await;
    let changed: Vec<&str> =
        heard.0.iter().filter(|event| event.name == "state.updated").map(|event| event.target.as_str()).collect();
    assert_eq!(changed, [phone.as_str(), email.as_str()]);
    assert_eq!(heard.0[0].data["channel"]["queue"], "sales");
    agent.does("channelgroup.request.activateall", &group, json!({}), "").await;
    let words = list(&[PAIR, PAIR, PAIR]);
    agent.does("channelgroup.request.deactivateall", &group, json!({}), &words).await;
    agent.does("channelgroup.request.deactivateall", &group, json!({}), "").await;
    agent.finish().await;
}

#[tokio::test]
async fn activateall_tries_nothing_when_its_options_are_wrong() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let standalone = agent.adds_channel("2001", "Telephony").await;
    let [group, phone, ..] = three_channels(&mut agent).await;
    for options in [
        json!([{"id": "nothing"}]),
        json!([{"id": id(&standalone)}]),
        json!([{"id": id(&phone)}, {"id": id(&phone)}]),
        json!([{"queue": "sales"}]),
        json!({"id": id(&phone)}),
    ] {
        let data = json!({"channeloptions": options});
        agent.fails("channelgroup.request.activateall", &group, data, "bad_request").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn activateall_stops_at_the_first_that_fails() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let [group, phone, chat, _] = three_channels(&mut agent).await;
    agent.happens(&chat, "unavailable", json!({}), PAIR).await;
    agent.fails_quickly("channelgroup.request.activateall", &group, json!({}), "conflict").await;
    let heard = agent.hears(PAIR).await;
    assert_eq!(heard.event("state.updated(channel)").target, phone);
    agent.finish().await;
}

#[tokio::test]
async fn deactivateall_stops_at_the_first_that_fails() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.connect().await;
    let [group, first, second] = puppet_group(&mut agent, &puppet).await;
    for key in ["a", "b"] {
        puppet.when("activate", Answer::success().report(status(key, json!({"ACTIVE": {}}))));
    }
    agent.does("channelgroup.request.activateall", &group, json!({}), &list(&[PAIR, PAIR])).await;
    puppet.when("deactivate", Answer::success().report(status("a", json!("INACTIVE"))));
    puppet.when("deactivate", Answer::failure("rejected", "not now"));
    agent.fails_quickly("channelgroup.request.deactivateall", &group, json!({}), "rejected").await;
    assert_eq!(agent.hears(PAIR).await.event("state.updated(channel)").target, first);
    agent.hears_no_more().await;
    agent.fails("channel.request.activate", &second, json!({}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_group_without_channels_is_empty_until_its_first_comes() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"groups": [{"key": "g", "name": "Sales"}]}));
    let mut agent = host.connect().await;
    let heard = agent.log_in("1001").await;
    assert_eq!(heard.data("state.updated(channelgroup)")["state"], "EMPTY");
    let channel = json!({"key": "a", "group": "g", "type": "Chat", "endpoint": "a", "name": "A"});
    puppet.report("1001", json!({"channels": [channel]})).await;
    let heard = agent.hears(&list(&["state.updated(channelgroup)", NEW_CHANNEL])).await;
    assert_eq!(heard.data("state.updated(channelgroup)")["state"], "POPULATED");
    puppet.report("1001", json!({"channels": [{"key": "a", "gone": true}]})).await;
    let heard = agent.hears("channel.disposed state.updated(channelgroup)").await;
    assert_eq!(heard.data("state.updated(channelgroup)")["state"], "EMPTY");
    agent.finish().await;
}
