//! Losing the connection and coming back: nothing lost, nothing twice (section 3).

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    until,
    words::{ANSWERED, PAIR},
};
use serde_json::{Value, json};

async fn ready_phone(host: &Host) -> (Agent, String) {
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    (agent, channel)
}

async fn toggle(agent: &mut Agent, channel: &str, times: usize) {
    for time in 0..times {
        let (command, data) = if time % 2 == 0 {
            ("channel.request.ready", json!({}))
        } else {
            ("channel.request.notready", json!({"reasoncode": "2"}))
        };
        agent.does(command, channel, data, PAIR).await;
    }
}

#[tokio::test]
async fn events_follow_where_the_client_left_off() {
    let host = Host::simulator().await;
    let (mut agent, channel) = ready_phone(&host).await;
    let session = agent.session.clone();
    let after = agent.seq;
    // Lost from here on: the client sends a command and never reads what comes of it.
    for command in ["channel.request.ready", "channel.request.notready"] {
        agent.send(command, &channel, json!({"reasoncode": "2"})).await;
    }
    let both = || async {
        (host.metric("jackfield_events_total{adapter=\"simulator\"}").await >= after as f64 + 4.0).then_some(())
    };
    until("both commands are carried out", both).await;
    agent.reconnect().await;
    let response = agent.bind(&session, Some(after)).await;
    assert_eq!(response["data"], json!({"replay": "events", "seq": after}), "{response}");
    // The harness refuses a gap and a repetition.
    agent.hears(&format!("{PAIR} {PAIR}")).await;
    agent.finish().await;
}

#[tokio::test]
async fn after_zero_means_all() {
    let host = Host::simulator().await;
    let (mut agent, _) = ready_phone(&host).await;
    let (session, all) = (agent.session.clone(), agent.seq);
    agent.reconnect().await;
    // session.start's own snapshot has emptied the buffer before it, and nothing was before it.
    let response = agent.bind(&session, Some(0)).await;
    assert_eq!(response["result"], "success", "{response}");
    assert_eq!(response["data"]["replay"], "snapshot", "an after from before a snapshot gets a new one");
    assert_eq!(response["data"]["seq"], all);
    agent.hears_until("session.initialized").await;
    agent.finish().await;
}

#[tokio::test]
async fn without_after_a_snapshot_follows_numbered_on() {
    let host = Host::simulator().await;
    let (mut agent, _) = ready_phone(&host).await;
    agent.talks().await;
    let (session, before) = (agent.session.clone(), agent.seq);
    agent.reconnect().await;
    let response = agent.bind(&session, None).await;
    assert_eq!(response["data"], json!({"replay": "snapshot", "seq": before}));
    let heard = agent.hears_until("session.initialized").await;
    assert_eq!(heard.0[0].seq, before + 1);
    assert!(!heard.words().contains(&"interaction.screenpop"), "never a screenpop");
    assert!(!heard.words().contains(&"interaction.preview"), "preview only while alerting");
    agent.finish().await;
}

#[tokio::test]
async fn an_after_from_before_a_snapshot_gets_a_new_one() {
    let host = Host::simulator().await;
    let (mut agent, channel) = ready_phone(&host).await;
    let (session, old) = (agent.session.clone(), agent.seq);
    agent.reconnect().await;
    agent.bind(&session, None).await;
    agent.hears_until("session.initialized").await;
    toggle(&mut agent, &channel, 1).await;
    let newest = agent.seq;
    for after in [old - 1, old, old + 1] {
        agent.reconnect().await;
        let response = agent.bind(&session, Some(after)).await;
        if after != old {
            assert_eq!(response["data"]["replay"], "snapshot", "after {after}: {response}");
        }
        if response["data"]["replay"] == "snapshot" {
            agent.hears_until("session.initialized").await;
        } else {
            agent.hears_until("state.updated(channel)").await;
        }
    }
    assert!(agent.seq > newest);
    agent.finish().await;
}

#[tokio::test]
async fn a_buffer_that_is_too_short_makes_a_snapshot() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("journal_events = 4")).start().await;
    let (mut agent, channel) = ready_phone(&host).await;
    let (session, early) = (agent.session.clone(), agent.seq);
    toggle(&mut agent, &channel, 4).await;
    let late = agent.seq;
    agent.reconnect().await;
    let response = agent.bind(&session, Some(late - 4)).await;
    assert_eq!(response["data"], json!({"replay": "events", "seq": late - 4}), "the buffer reaches just so far");
    agent.hears(&format!("{PAIR} {PAIR}")).await;
    agent.reconnect().await;
    let response = agent.bind(&session, Some(early)).await;
    assert_eq!(response["data"], json!({"replay": "snapshot", "seq": late}));
    agent.hears_until("session.initialized").await;
    agent.finish().await;
}

#[tokio::test]
async fn an_after_that_cannot_be_is_a_bad_request() {
    let host = Host::simulator().await;
    let (mut agent, _) = ready_phone(&host).await;
    let (session, last) = (agent.session.clone(), agent.seq);
    let mut other = agent.another_connection().await;
    for after in [json!(last + 1), json!(-1), json!(1.5), json!("3"), json!(null), json!(u64::MAX)] {
        let data = json!({"session": {"id": session}, "after": after});
        let response = other.command("bindSession", "", data).await;
        assert_eq!(response["failure"]["code"], "bad_request", "{after}: {response}");
    }
    for data in [json!({}), json!({"session": session}), json!({"session": {"id": 4}})] {
        let response = other.command("bindSession", "", data).await;
        assert_eq!(response["failure"]["code"], "bad_request", "{response}");
    }
    let response = other.command("bindSession", "", json!({"session": {"id": "nothing"}})).await;
    assert_eq!(response["failure"]["code"], "not_found", "{response}");
    // None of it took the session over.
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn a_new_bind_takes_the_session_over() {
    let host = Host::simulator().await;
    let (mut agent, channel) = ready_phone(&host).await;
    let (session, seq) = (agent.session.clone(), agent.seq);
    let mut thief = agent.another_connection().await;
    let response = thief.bind(&session, None).await;
    assert_eq!(response["data"]["seq"], seq);
    thief.hears_until("session.initialized").await;
    assert_eq!(agent.is_closed().await.code, Some(4001));
    toggle(&mut thief, &channel, 1).await;
    thief.finish().await;
}

#[tokio::test]
async fn a_session_is_bound_only_by_the_identity_that_prepared_it() {
    let tenant = Tenant::simulator("demo").tokens(&[("one", "token-one"), ("two", "token-two")]);
    let host = Setup::new().tenant(tenant).start().await;
    let with = |token: &str| Connect { token: Some(token.into()), subprotocols: None };
    let mut agent = Agent::connect_with(&host, "demo", with("token-one")).await.unwrap();
    agent.log_in("1001").await;
    let mut stranger = Agent::connect_with(&host, "demo", with("token-two")).await.unwrap();
    let response = stranger.bind(&agent.session.clone(), None).await;
    assert_eq!(response["failure"]["code"], "not_found", "{response}");
    agent.finish().await;
}

#[tokio::test]
async fn another_tenants_session_is_not_found() {
    let host = Setup::new().tenant(Tenant::simulator("demo")).tenant(Tenant::simulator("other")).start().await;
    let agent = host.log_in("1001").await;
    let mut stranger = Agent::connect(&host, "other").await;
    let response = stranger.bind(&agent.session.clone(), None).await;
    assert_eq!(response["failure"]["code"], "not_found", "{response}");
    agent.finish().await;
}

#[tokio::test]
async fn a_session_without_client_is_logged_out_when_its_grace_is_over() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("resume_grace = \"200ms\"")).start().await;
    let (agent, _) = ready_phone(&host).await;
    let session = agent.session.clone();
    agent.cut();
    let gone = || async { (host.metric("jackfield_sessions{tenant=\"demo\"}").await == 0.0).then_some(()) };
    until("the session has ended", gone).await;
    let mut late = host.connect().await;
    let response = late.bind(&session, None).await;
    assert_eq!(response["failure"]["code"], "not_found", "{response}");
    // It was logged out: its endpoint is free.
    let mut next = host.log_in("1002").await;
    next.has_phone("2001").await;
    next.finish().await;
}

#[tokio::test]
async fn the_grace_does_not_run_while_a_conversation_lives() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("resume_grace = \"100ms\"")).start().await;
    let (mut agent, _) = ready_phone(&host).await;
    agent.talks().await;
    let session = agent.session.clone();
    // One without a call ends; that the other one has not ended by then is no accident of timing.
    let idle = host.log_in("1002").await;
    let mut second = agent.another_connection().await;
    agent.cut();
    idle.cut();
    let one = || async { (host.metric("jackfield_sessions{tenant=\"demo\"}").await == 1.0).then_some(()) };
    until("the session without a call has ended", one).await;
    let response = second.bind(&session, None).await;
    assert_eq!(response["result"], "success", "{response}");
    second.hears_until("session.initialized").await;
    second.conversation("release", "primary", jackfield_tests::words::CALL_ENDS).await;
    second.cut();
    let none = || async { (host.metric("jackfield_sessions{tenant=\"demo\"}").await == 0.0).then_some(()) };
    until("the other has ended when its call had", none).await;
}

#[tokio::test]
async fn a_command_is_carried_out_though_its_connection_is_lost() {
    let (host, puppet) = Host::puppet().await;
    let phone = |state: &str| -> Value {
        json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
            "status": {"ACTIVE": {}}, "interactions": [{"key": "i", "direction": "inbound",
                "conversations": [{"key": "c", "role": "primary", "state": state}]}]}]})
    };
    puppet.starts_with(phone("ALERTING"));
    let mut agent = host.log_in("1001").await;
    let (session, call, after) = (agent.session.clone(), agent.the("primary"), agent.seq);
    puppet.when("answer", jackfield_tests::puppet::Answer::never());
    agent.send("conversation.request.answer", &call, json!({})).await;
    let asked = puppet.asked("answer").await;
    agent.reconnect().await;
    agent.bind(&session, Some(after)).await;
    let answered = jackfield_tests::puppet::Answer::success().report(phone("TALKING"));
    puppet.answer(&asked, answered).await;
    agent.hears(ANSWERED).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_bound_connection_cannot_bind_another_session() {
    let host = Host::simulator().await;
    let (mut agent, _) = ready_phone(&host).await;
    let mut other = host.log_in("1002").await;
    let response = {
        let data = json!({"session": {"id": agent.session}});
        other.command("bindSession", "", data).await
    };
    assert_eq!(response["failure"]["code"], "invalid_state", "a connection has one session at a time: {response}");
    agent.hears_no_more().await;
    agent.finish().await;
}
