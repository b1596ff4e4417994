//! From connection to logout: prepareSession, confirm and override, session.start, logout (section 3).

use jackfield_tests::{
    agent::members,
    host::{Host, Setup, Tenant},
    puppet::Answer,
    words::CALL_COMES,
};
use serde_json::json;

fn phone_with_call() -> serde_json::Value {
    json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": {"ACTIVE": {}}, "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": "TALKING"}]}]}]})
}

#[tokio::test]
async fn preparesession_answers_with_an_unguessable_session() {
    let host = Host::simulator().await;
    let mut sessions = Vec::new();
    for agent in ["1001", "1002"] {
        let mut connected = host.connect().await;
        let response = connected.prepare(agent, false).await;
        assert_eq!(members(&response["data"]), ["session"]);
        let id = response["data"]["session"]["id"].as_str().unwrap().to_owned();
        assert!(id.len() >= 22, "128 random bits: {id}");
        assert!(!id.contains('.'));
        sessions.push((id, connected));
    }
    assert_ne!(sessions[0].0, sessions[1].0);
}

#[tokio::test]
async fn the_model_and_the_password_reach_the_adapter() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.connect().await;
    let data = json!({"model": "desk 7", "agent": {"id": "1001", "password": "pass ü"}});
    let response = agent.command("prepareSession", "", data).await;
    assert_eq!(response["result"], "success", "{response}");
    let asked = puppet.asked("log_in").await;
    assert_eq!(asked["agent"], "1001");
    assert_eq!((&asked["password"], &asked["model"]), (&json!("pass ü"), &json!("desk 7")));
    assert_eq!(asked["resume"], json!(null));
}

#[tokio::test]
async fn wrong_credentials_are_unauthorized_and_the_password_is_not_repeated() {
    let tenant = Tenant::simulator("demo").settings("agents = [{ id = \"1001\", password = \"right\" }]");
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = host.connect().await;
    let data = json!({"agent": {"id": "1001", "password": "wrong-secret"}, "extra": 1});
    let response = agent.command("prepareSession", "", data).await;
    assert_eq!(response["failure"]["code"], "unauthorized", "{response}");
    let expected = json!({"agent": {"id": "1001", "password": "***"}, "extra": 1});
    assert_eq!(response["original"]["data"], expected);
    assert!(!response.to_string().contains("wrong-secret"));
    // The connection may try again.
    let data = json!({"agent": {"id": "1001", "password": "right"}});
    let response = agent.command("prepareSession", "", data).await;
    assert_eq!(response["result"], "success", "{response}");
    assert!(!host.log().contains("wrong-secret"), "no secret in the log");
}

#[tokio::test]
async fn preparesession_needs_an_agent_with_a_password() {
    let host = Host::simulator().await;
    let mut agent = host.connect().await;
    for bad in [
        json!({}),
        json!({"agent": "1001"}),
        json!({"agent": {"id": "1001"}}),
        json!({"agent": {"id": 1001, "password": "x"}}),
        json!({"agent": {"id": "1001", "password": "x"}, "override": "yes"}),
        json!({"agent": {"id": "1001", "password": "x"}, "model": 7}),
    ] {
        let response = agent.command("prepareSession", "", bad).await;
        assert_eq!(response["failure"]["code"], "bad_request", "{response}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_started_ends_when_its_operator_says() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("start_within = \"1s\"")).start().await;
    let mut agent = host.connect().await;
    assert_eq!(agent.prepare("1001", false).await["result"], "success");
    let heard = agent.hears("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "expired"}));
}

#[tokio::test]
async fn agents_log_in_only_as_often_as_their_operator_says() {
    let tenant = Tenant::simulator("demo")
        .settings("agents = [{ id = \"1001\", password = \"right\" }]")
        .limits("sessions = 1\nlogins_per_second = 1");
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = host.connect().await;
    for _ in 0..50 {
        match agent.prepare("1001", false).await["failure"]["code"].as_str() {
            Some("unauthorized") => {}
            code => return assert_eq!(code, Some("rate_limited")),
        }
    }
    panic!("fifty log-ins, and none too many");
}

#[tokio::test]
async fn a_live_session_asks_for_confirmation_and_is_replaced_with_override() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone_with_call());
    let mut old = host.log_in("1001").await;
    let mut new = host.connect().await;
    let data = json!({"override": false, "agent": {"id": "1001", "password": "secret"}});
    let response = new.command("prepareSession", "", data.clone()).await;
    assert_eq!(response["result"], "confirm", "{response}");
    assert_eq!(members(&response), ["command", "message", "original", "requestId", "result"]);
    assert!(!response["message"].as_str().unwrap().is_empty());
    let mut original = json!({"command": "prepareSession", "data": data, "requestId": response["requestId"]});
    original["data"]["agent"]["password"] = json!("***");
    assert_eq!(response["original"], original);
    old.hears_no_more().await;

    let response = new.prepare("1001", true).await;
    assert_eq!(response["result"], "success", "{response}");
    let heard = old.hears("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "replaced"}));
    let left = puppet.asked("log_out").await;
    assert_eq!(left["ending"], "leave", "its calls go on");
    let heard = new.start(json!({})).await;
    assert_eq!(heard.data("state.updated(primary)")["state"], "TALKING", "and appear in the new one");
    let response = old.command("session.request.puppet.ping", &old.session.clone(), json!({})).await;
    assert_eq!(response["failure"]["code"], "not_found");
    new.finish().await;
}

#[tokio::test]
async fn a_session_that_was_only_prepared_counts_as_live() {
    let host = Host::simulator().await;
    let mut first = host.connect().await;
    first.prepare("1001", false).await;
    let mut second = host.connect().await;
    let response = second.prepare("1001", false).await;
    assert_eq!(response["result"], "confirm", "{response}");
}

#[tokio::test]
async fn credentials_are_checked_before_anyone_is_replaced() {
    let (host, puppet) = Host::puppet().await;
    let mut old = host.log_in("1001").await;
    for over in [false, true] {
        puppet.when("log_in", Answer::failure("unauthorized", "wrong password"));
        let mut thief = host.connect().await;
        let response = thief.prepare("1001", over).await;
        assert_eq!(response["failure"]["code"], "unauthorized", "{response}");
    }
    old.hears_no_more().await;
}

#[tokio::test]
async fn a_bound_connection_prepares_no_second_session() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let response = agent.prepare("1002", false).await;
    assert_eq!(response["failure"]["code"], "invalid_state", "{response}");
    agent.finish().await;
}

#[tokio::test]
async fn before_session_start_all_but_logout_is_an_invalid_state() {
    let host = Host::simulator().await;
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    let data = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    agent.fails_quickly("session.request.addchannel", &session, data, "invalid_state").await;
    agent.fails_quickly("session.request.simulator.link", &session, json!({"up": true}), "invalid_state").await;
    agent.start(json!({"extension": "77"})).await;
    agent.fails("session.start", &session, json!({}), "invalid_state").await;
    let mut other = host.connect().await;
    other.prepare("1002", false).await;
    let target = other.session.clone();
    let response = other.command("session.request.logout", &target, json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
    agent.finish().await;
}

#[tokio::test]
async fn session_start_passes_the_extension_on_and_checks_its_data() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    for bad in [json!({"extension": 7}), json!({"actions": "yes"})] {
        agent.fails_quickly("session.start", &session, bad, "bad_request").await;
    }
    agent.start(json!({"extension": "77"})).await;
    assert_eq!(puppet.asked("start").await["extension"], "77");
    agent.finish().await;
}

#[tokio::test]
async fn a_session_whose_start_fails_can_be_started_again() {
    let (host, puppet) = Host::puppet().await;
    puppet.when("start", Answer::failure("conflict", "the extension is in use"));
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    agent.fails_quickly("session.start", &session, json!({}), "conflict").await;
    agent.start(json!({})).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_response_of_session_start_stands_before_its_events() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone_with_call());
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    let request = agent.send("session.start", &session, json!({})).await;
    agent.response(request).await;
    assert_eq!(agent.unexpected(), Vec::<String>::new(), "no event came before the response");
    let heard = agent.hears_until("session.initialized").await;
    let pop = heard.0.iter().find(|event| event.name == "interaction.screenpop");
    assert!(pop.is_none(), "a snapshot never pops a screen");
    agent.finish().await;
}

#[tokio::test]
async fn a_session_starts_with_what_the_platform_has() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({
        "groups": [{"key": "g", "name": "Sales"}],
        "channels": [
            {"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
             "status": {"ACTIVE": {"availability": "READY"}},
             "interactions": [{"key": "i", "direction": "inbound", "data": {"a": 1}, "conversations": [
                {"key": "c1", "role": "primary", "state": "HELD", "members": [{"key": "m", "role": "customer"}]},
                {"key": "c2", "role": "consult", "state": "TALKING", "members": [{"key": "n", "role": "agent"}]}]}]},
            {"key": "x", "group": "g", "type": "Chat", "endpoint": "chat", "name": "Chat",
             "status": {"ACTIVE": {"availability": "READY"}},
             "interactions": [{"key": "o", "direction": "inbound", "state": "ALERTING"}]}
        ]
    }));
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    let response = agent.command("session.start", &session, json!({})).await;
    assert_eq!(response["result"], "success");
    // Groups and channels stand in the order of the platform's report: groups first, then each channel.
    let heard = agent.hears_until("session.initialized").await;
    let words = heard.words().join(" ");
    let conversation = |who: &str| {
        format!("conversation.created state.updated({who}) conversation.member.added({who}) conversation.initialized")
    };
    let interaction = format!(
        "interaction.created state.updated(interaction) {} {} interaction.datachanged interaction.focuschanged \
         interaction.initialized",
        conversation("primary"),
        conversation("consult")
    );
    assert!(words.contains(&interaction), "{words}");
    let chat = "interaction.created state.updated(interaction) interaction.datachanged interaction.preview \
        interaction.initialized";
    assert!(words.contains(chat), "{words}");
    let channel = "channel.created channel.infochanged state.updated(channel) channel.initialized";
    assert_eq!(words.matches(channel).count(), 2, "{words}");
    let group = format!("channelgroup.created state.updated(channelgroup) {channel} channelgroup.initialized");
    assert!(words.contains(&group), "{words}");
    assert!(words.ends_with("interaction.initialized session.initialized"), "{words}");
    agent.finish().await;
}

#[tokio::test]
async fn commands_sent_right_after_session_start_wait_for_it() {
    let host = Host::simulator().await;
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    let start = agent.send("session.start", &session, json!({})).await;
    let data = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    let add = agent.send("session.request.addchannel", &session, data).await;
    assert_eq!(agent.response(start).await["result"], "success");
    assert_eq!(agent.response(add).await["result"], "success");
    agent.hears(&format!("session.initialized {}", jackfield_tests::words::NEW_CHANNEL)).await;
    agent.finish().await;
}

#[tokio::test]
async fn logout_releases_everything_and_says_nothing_more() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent.talks().await;
    let session = agent.session.clone();
    let response = agent.command("session.request.logout", &session, json!({"ignored": 1})).await;
    assert_eq!(members(&response), ["command", "requestId", "result", "target"], "a success without data");
    assert_eq!(agent.unexpected(), Vec::<String>::new());
    let response = agent.command("session.request.addchannel", &session, json!({})).await;
    assert_eq!(response["failure"]["code"], "not_found", "the session is inert");
    // The connection may prepare another one, and the endpoint is free.
    let mut again = host.log_in("1001").await;
    again.has_phone("2001").await;
    again.finish().await;
}

#[tokio::test]
async fn a_refused_logout_changes_nothing_and_what_was_held_back_follows() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone_with_call());
    let mut agent = host.log_in("1001").await;
    puppet.when("log_out", Answer::never());
    let session = agent.session.clone();
    let request = agent.send("session.request.logout", &session, json!({})).await;
    let asked = puppet.asked("log_out").await;
    assert_eq!(asked["ending"], "log_out");
    let held = json!({"channels": [{"key": "p", "interactions": [{"key": "i",
        "conversations": [{"key": "c", "role": "primary", "state": "HELD"}]}]}]});
    puppet.report("1001", held).await;
    puppet.answer(&asked, Answer::failure("rejected", "a call goes on")).await;
    let response = agent.response(request).await;
    assert_eq!(response["failure"]["code"], "rejected", "{response}");
    agent.hears("state.updated(primary)").await;
    agent.finish().await;
}

#[tokio::test]
async fn logout_works_while_the_link_is_down_and_never_waits_behind_others() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone_with_call());
    let mut agent = host.log_in("1001").await;
    let (session, call) = (agent.session.clone(), agent.the("primary"));
    puppet.when("hold", Answer::never());
    agent.send("conversation.request.hold", &call, json!({})).await;
    puppet.asked("hold").await;
    agent.send("session.request.logout", &session, json!({})).await;
    let response = agent.any_response().await;
    assert_eq!((&response["command"], &response["result"]), (&json!("session.request.logout"), &json!("success")));
    let mut other = host.log_in("1002").await;
    puppet.link(false).await;
    other.hears("session.linkchanged").await;
    let response = other.command("session.request.logout", &other.session.clone(), json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
}

#[tokio::test]
async fn an_agent_who_logs_out_with_an_offer_returns_it_to_its_queue() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let mut other = host.log_in("1002").await;
    for (agent, endpoint) in [(&mut agent, "2001"), (&mut other, "2002")] {
        let channel = agent.adds_channel(endpoint, "Telephony").await;
        let queue = json!({"channeloptions": {"queue": "sales"}});
        agent.does("channel.request.activate", &channel, queue, jackfield_tests::words::PAIR).await;
        agent.does("channel.request.ready", &channel, json!({}), jackfield_tests::words::PAIR).await;
    }
    let session = agent.session.clone();
    let data = json!({"type": "Telephony", "from": "+15550100", "queue": "sales"});
    let response = agent.command("session.request.simulator.inbound", &session, data).await;
    assert_eq!(response["result"], "success", "{response}");
    agent.hears(CALL_COMES).await;
    let response = agent.command("session.request.logout", &session, json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
    other.hears(CALL_COMES).await;
    other.finish().await;
}

#[tokio::test]
async fn a_tenant_has_no_more_sessions_than_its_quota() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("sessions = 1")).start().await;
    let first = host.log_in("1001").await;
    let mut second = host.connect().await;
    let response = second.prepare("1002", false).await;
    assert_eq!(response["failure"]["code"], "quota_exceeded", "{response}");
    first.finish().await;
}

#[tokio::test]
async fn a_preparesession_whose_answer_could_not_be_delivered_is_undone() {
    let (host, puppet) = Host::puppet().await;
    puppet.when("log_in", Answer::never());
    let mut agent = host.connect().await;
    let data = json!({"agent": {"id": "1001", "password": "secret"}});
    agent.send("prepareSession", "", data).await;
    let asked = puppet.asked("log_in").await;
    agent.cut();
    let gone = || async { (host.metric("jackfield_connections{tenant=\"demo\"}").await == 0.0).then_some(()) };
    jackfield_tests::until("the host has noticed that the connection is gone", gone).await;
    puppet.answer(&asked, Answer::success()).await;
    assert_eq!(puppet.asked("log_out").await["ending"], "leave");
    // Nobody is in the way of the next one.
    let next = host.log_in("1001").await;
    next.finish().await;
}
