//! Standalone channels: added, removed, activated, ready and not ready (section 4).

use jackfield_tests::{
    host::{Host, Setup, Tenant},
    puppet::Answer,
    words::{NEW_CHANNEL, PAIR},
};
use serde_json::json;

#[tokio::test]
async fn addchannel_creates_a_channel() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let data = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    let heard = agent.does("session.request.addchannel", &session, data, NEW_CHANNEL).await;
    assert_eq!(heard.event("channel.created").target, session);
    let channel = &heard.data("channel.created")["channel"];
    assert_eq!((&channel["endpoint"], &channel["type"]), (&json!("2001"), &json!("Telephony")));
    assert_eq!(heard.data("state.updated(channel)")["state"], "INACTIVE");
    assert_eq!(heard.event("channel.initialized").data, json!({}));
    for kind in ["Chat", "Email"] {
        agent.adds_channel(kind, kind).await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn addchannel_fails_for_what_is_there_or_cannot_be() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    agent.adds_channel("2001", "Telephony").await;
    let add = "session.request.addchannel";
    let same = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    agent.fails(add, &session, same.clone(), "conflict").await;
    for bad in [
        json!({}),
        json!({"channel": "2002"}),
        json!({"channel": {"type": "Telephony"}}),
        json!({"channel": {"endpoint": 2002, "type": "Telephony"}}),
        json!({"channel": {"endpoint": "2002"}}),
        json!({"channel": {"endpoint": "2002", "type": "Telegraph"}}),
    ] {
        agent.fails(add, &session, bad, "bad_request").await;
    }
    agent.next_is_refused("rejected").await;
    agent.fails(add, &session, json!({"channel": {"endpoint": "2003", "type": "Telephony"}}), "rejected").await;
    // Another agent's endpoint: the platform's conflict.
    let mut other = host.log_in("1002").await;
    let theirs = other.session.clone();
    other.fails(add, &theirs, same, "conflict").await;
    agent.finish().await;
}

#[tokio::test]
async fn removechannel_deactivates_first_what_is_active() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    for active in [false, true] {
        let channel = agent.adds_channel("2001", "Telephony").await;
        if active {
            agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
        }
        let id = channel.rsplit('.').next().unwrap();
        let words = if active { format!("{PAIR} channel.disposed") } else { "channel.disposed".into() };
        let data = json!({"channel": {"id": id}});
        let heard = agent.does("session.request.removechannel", &session, data.clone(), &words).await;
        assert_eq!(heard.event("channel.disposed").target, channel);
        if active {
            assert_eq!(heard.data("state.updated(channel)")["state"], "INACTIVE");
        }
        agent.fails("session.request.removechannel", &session, data, "not_found").await;
        agent.fails("channel.request.activate", &channel, json!({}), "not_found").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn removechannel_fails_while_an_interaction_is_there() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let channel = agent.has_phone("2001").await;
    let data = json!({"channel": {"id": channel.rsplit('.').next().unwrap()}});
    agent.talks().await;
    agent.fails("session.request.removechannel", &session, data.clone(), "invalid_state").await;
    agent.conversation("release", "primary", jackfield_tests::words::CALL_ENDS).await;
    agent.fails("session.request.removechannel", &session, data.clone(), "invalid_state").await;
    agent.interaction("complete", jackfield_tests::words::COMPLETED).await;
    agent.does("session.request.removechannel", &session, data, &format!("{PAIR} channel.disposed")).await;
    agent.fails("session.request.removechannel", &session, json!({"channel": {}}), "bad_request").await;
    agent.finish().await;
}

#[tokio::test]
async fn removechannel_fails_when_the_platform_keeps_it() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let channel = agent.has_phone("2001").await;
    let data = json!({"channel": {"id": channel.rsplit('.').next().unwrap()}});
    agent.next_is_refused("rejected").await;
    agent.fails("session.request.removechannel", &session, data, "rejected").await;
    agent.finish().await;
}

#[tokio::test]
async fn activate_makes_a_channel_active_and_not_ready() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    let heard = agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
    assert_eq!(heard.data("state.updated(channel)")["state"], "ACTIVE");
    assert_eq!(heard.data("state.updated(channel)")["availability"], "NOTREADY");
    assert_eq!(heard.data("channel.infochanged")["channel"]["availability"], "NOTREADY");
    agent.fails("channel.request.activate", &channel, json!({}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn activate_takes_a_queue_that_the_platform_knows() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    let unknown = json!({"channeloptions": {"queue": "nowhere"}});
    agent.fails("channel.request.activate", &channel, unknown, "rejected").await;
    for bad in [json!({"channeloptions": "sales"}), json!({"channeloptions": {"queue": 7}})] {
        agent.fails("channel.request.activate", &channel, bad, "bad_request").await;
    }
    let sales = json!({"channeloptions": {"queue": "sales"}});
    let heard = agent.does("channel.request.activate", &channel, sales, PAIR).await;
    assert_eq!(heard.data("channel.infochanged")["channel"]["queue"], "sales");
    agent.finish().await;
}

#[tokio::test]
async fn deactivate_makes_a_channel_inactive_whatever_the_options_say() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    agent.fails("channel.request.deactivate", &channel, json!({}), "invalid_state").await;
    for data in [
        json!({}),
        json!({"channelOptions": {"queue": "sales", "reason": 3}}),
        json!({"channeloptions": {"queue": ["sales", "web"]}}),
    ] {
        agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
        let heard = agent.does("channel.request.deactivate", &channel, data, PAIR).await;
        assert_eq!(heard.data("state.updated(channel)")["state"], "INACTIVE");
        assert_eq!(heard.data("state.updated(channel)")["availability"], json!(null));
    }
    agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
    for bad in [json!({"channelOptions": {"reason": "later"}}), json!({"channelOptions": {"queue": 4}})] {
        agent.fails("channel.request.deactivate", &channel, bad, "bad_request").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn deactivate_options_reach_the_platform() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": {"ACTIVE": {}}}]}));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    let inactive = json!({"channels": [{"key": "p", "status": "INACTIVE"}]});
    puppet.when("deactivate", Answer::success().report(inactive));
    let data = json!({"channelOptions": {"queue": ["a", "b"], "reason": 9}});
    agent.does("channel.request.deactivate", &channel, data, PAIR).await;
    let asked = puppet.asked("deactivate").await;
    assert_eq!(asked["command"]["deactivate"], json!({"channel": "p", "queues": ["a", "b"], "reason": 9}));
    agent.finish().await;
}

#[tokio::test]
async fn ready_and_notready_change_the_availability() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    let heard = agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    assert_eq!(heard.data("state.updated(channel)")["availability"], "READY");
    let lunch = json!({"reasoncode": "2", "reasondesc": "Lunch"});
    let heard = agent.does("channel.request.notready", &channel, lunch, PAIR).await;
    let info = &heard.data("channel.infochanged")["channel"];
    assert_eq!((&info["availability"], &info["reasoncode"]), (&json!("NOTREADY"), &json!("2")));
    assert_eq!(info["reasondesc"], "Lunch");
    let acw = json!({"reasoncode": "acw"});
    let heard = agent.does("channel.request.notready", &channel, acw, PAIR).await;
    assert_eq!(heard.data("state.updated(channel)")["availability"], "ACW");
    agent.finish().await;
}

#[tokio::test]
async fn a_command_that_changes_nothing_succeeds_without_events() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    agent.does("channel.request.ready", &channel, json!({}), "").await;
    agent.does("channel.request.notready", &channel, json!({"reasoncode": "2"}), PAIR).await;
    agent.does("channel.request.notready", &channel, json!({"reasoncode": "2"}), "").await;
    agent.finish().await;
}

#[tokio::test]
async fn readiness_fails_on_a_channel_that_is_not_active() {
    let tenant = Tenant::simulator("demo").settings("reasons = [{ code = \"2\", desc = \"Lunch\" }]");
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    agent.fails("channel.request.ready", &channel, json!({}), "invalid_state").await;
    agent.fails("channel.request.notready", &channel, json!({"reasoncode": "2"}), "invalid_state").await;
    agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
    agent.fails("channel.request.notready", &channel, json!({"reasoncode": "77"}), "rejected").await;
    for bad in [json!({}), json!({"reasoncode": {}}), json!({"reasoncode": "2", "reasondesc": 1})] {
        agent.fails("channel.request.notready", &channel, bad, "bad_request").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn notready_during_a_call_is_pending_until_its_end() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    agent.talks().await;
    let heard = agent.does("channel.request.notready", &channel, json!({"reasoncode": "2"}), PAIR).await;
    let info = &heard.data("channel.infochanged")["channel"];
    assert_eq!(info["availability"], "READY");
    assert_eq!(info["pending"]["availability"], "NOTREADY");
    assert_eq!(info["pending"]["reasoncode"], "2");
    let heard = agent.conversation("release", "primary", jackfield_tests::words::CALL_ENDS).await;
    let info = &heard.data("channel.infochanged")["channel"];
    assert_eq!((&info["availability"], &info["pending"]), (&json!("NOTREADY"), &json!(null)));
    assert_eq!(info["occupied"], false);
    agent.finish().await;
}

#[tokio::test]
async fn an_unavailable_channel_passes_activate_on_and_refuses_all_else() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    let heard = agent.happens(&channel, "unavailable", json!({}), PAIR).await;
    assert_eq!(heard.data("state.updated(channel)")["state"], "UNAVAILABLE");
    agent.fails("channel.request.activate", &channel, json!({}), "conflict").await;
    for (command, data) in [
        ("channel.request.deactivate", json!({})),
        ("channel.request.ready", json!({})),
        ("channel.request.notready", json!({"reasoncode": "2"})),
        ("channel.request.dial", json!({"destination": "5551234"})),
    ] {
        agent.fails(command, &channel, data, "invalid_state").await;
    }
    agent.happens(&channel, "available", json!({}), PAIR).await;
    agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_platform_can_make_an_unavailable_channel_active_when_asked() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": "UNAVAILABLE"}]}));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    let active = json!({"channels": [{"key": "p", "status": {"ACTIVE": {}}}]});
    puppet.when("activate", Answer::success().report(active));
    let heard = agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
    assert_eq!(heard.data("state.updated(channel)"), &json!({"state": "ACTIVE", "availability": "NOTREADY"}));
    agent.finish().await;
}
