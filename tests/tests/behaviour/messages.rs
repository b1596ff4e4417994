//! Messages: bad ones, aliases, what is echoed, which check answers first (section 1).

use jackfield_tests::{agent::members, host::Host, words::PAIR};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_no_message_is_a_bad_request() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    for text in ["", "{", "nonsense", "\"text\"", "[1]", "7", "null", "{\"command\":1}", "{}", "{\"a\":1}x"] {
        agent.send_text(text).await;
        let response = agent.any_response().await;
        assert_eq!(response["result"], "failure", "{text}: {response}");
        assert_eq!(response["failure"]["code"], "bad_request", "{text}: {response}");
        let is_object = serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
        assert_eq!(response.get("original").is_some(), is_object, "{text}: {response}");
    }
    agent.finish().await;
}

#[tokio::test]
async fn a_bad_request_tells_what_could_be_read() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    for (message, told) in [
        (json!({"command": 5, "target": session, "requestId": "a"}), vec!["target", "requestId"]),
        (json!({"command": "x", "target": 5, "requestId": 7}), vec!["command", "requestId"]),
        (json!({"command": "x", "target": session, "requestId": {}}), vec!["command", "target"]),
        (
            json!({"command": "x", "target": session, "data": [], "requestId": 1.5}),
            vec!["command", "target", "requestId"],
        ),
        (json!({"command": "x", "data": null}), vec!["command"]),
    ] {
        agent.send_text(&message.to_string()).await;
        let response = agent.any_response().await;
        assert_eq!(response["failure"]["code"], "bad_request", "{response}");
        for member in ["command", "target", "requestId"] {
            let expected = told.contains(&member).then(|| message[member].clone());
            assert_eq!(response.get(member).cloned(), expected, "{member} for {message}");
        }
        assert_eq!(response["original"], message);
    }
    agent.finish().await;
}

#[tokio::test]
async fn nesting_deeper_than_64_is_a_bad_request() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    for (depth, fits) in [(60, true), (64, true), (65, false), (2_000, false), (30_000, false)] {
        // The message itself and `data` are two levels.
        let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
        let text = format!(
            "{{\"command\":\"session.request.simulator.link\",\"target\":\"{}\",\"data\":{{\"up\":true,\"x\":{open}{close}}}}}",
            agent.session
        );
        agent.send_text(&text).await;
        let response = agent.any_response().await;
        let result = if fits { "success" } else { "failure" };
        assert_eq!(response["result"], result, "{depth}: {}", response["failure"]);
        if !fits {
            assert_eq!(response["failure"]["code"], "bad_request");
        }
    }
    agent.finish().await;
}

#[tokio::test]
async fn missing_data_means_none() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    agent.send_text(&json!({"command": "channel.request.activate", "target": channel}).to_string()).await;
    let response = agent.any_response().await;
    assert_eq!(response["result"], "success", "{response}");
    assert!(response.get("requestId").is_none());
    agent.hears(PAIR).await;
    agent.finish().await;
}

#[tokio::test]
async fn echoes_are_exact_to_the_letter() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    let data = r#"{"a":2.50,"b":1e400,"c":123456789012345678901234567890,"d":"\u00e9\/","e":[ ],"z":{"y":null}}"#;
    let text =
        format!(r#"{{"command":"channel.request.activate","target":"{channel}","data":{data},"requestId":1.0}}"#);
    let raw = agent.raw_response(&text).await;
    assert!(raw.contains(&format!("\"data\":{data}")), "{raw}");
    assert!(raw.contains("\"requestId\":1.0"), "{raw}");
    agent.hears(PAIR).await;
    let text = format!(
        r#"{{"unknown":{{"m":1.10}},"command":"channel.request.activate","target":"{channel}","data":{data},"requestId":"x"}}"#
    );
    let raw = agent.raw_response(&text).await;
    assert!(raw.contains("\"invalid_state\""), "{raw}");
    assert!(raw.contains(r#""unknown":{"m":1.10}"#), "the original, unknown members included: {raw}");
    assert!(raw.contains(data), "{raw}");
    agent.finish().await;
}

#[tokio::test]
async fn aliases_without_request_are_understood_and_repeated() {
    let host = Host::simulator().await;
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    let session = agent.session.clone();
    let response = agent.command("session.request.start", &session, json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
    assert_eq!(response["command"], "session.request.start");
    agent.hears("session.initialized").await;
    let data = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    agent.does("session.addchannel", &session, data, jackfield_tests::words::NEW_CHANNEL).await;
    let channel = agent.the("channel");
    agent.does("channel.activate", &channel, json!({}), PAIR).await;
    agent.does("channel.ready", &channel, json!({}), PAIR).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    agent.does("interaction.recording.start", &interaction, json!({}), "state.updated(interaction)").await;
    agent.finish().await;
}

#[tokio::test]
async fn names_are_matched_exactly() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    for name in [
        "channel.request.Ready",
        "Channel.request.ready",
        " channel.request.ready",
        "channel.request.ready ",
        "channel.ready.request",
        "channel.request.retrieverequest",
        "channel.request.",
        "ready",
        "",
        "conversation.retrieverequest.senddtmf",
        "nothing.request.simulator.inbound",
    ] {
        agent.fails(name, &channel, json!({}), "unknown_command").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn a_target_of_another_kind_or_another_session_is_not_found() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.has_phone("2001").await;
    let mut other = host.log_in("1002").await;
    let theirs = other.has_phone("2002").await;
    let session = agent.session.clone();
    let unknown = format!("{session}.c99999");
    for target in [&session, &theirs, &unknown, &format!("{channel}.x"), &"x".to_owned(), &format!("{channel}.")] {
        agent.fails("channel.request.ready", target, json!({}), "not_found").await;
    }
    agent.fails("session.request.addchannel", &channel, json!({}), "not_found").await;
    agent.fails("session.request.addchannel", &other.session.clone(), json!({}), "not_found").await;
    agent.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn the_first_check_that_fails_answers() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("chat", "Chat").await;
    let phone = agent.adds_channel("2001", "Telephony").await;
    // An unknown name before an unknown target; an undeclared extension likewise.
    agent.fails("channel.request.nothing", "x", json!({}), "unknown_command").await;
    agent.fails("channel.request.other.thing", "x", json!({}), "unsupported").await;
    // An unknown target before bad data, the wrong type of channel before bad data, bad data before a wrong state.
    agent.fails("channel.request.dial", "x", json!({}), "not_found").await;
    agent.fails("channel.request.dial", &channel, json!({}), "unsupported").await;
    agent.fails("channel.request.dial", &phone, json!({}), "bad_request").await;
    agent.fails("channel.request.dial", &phone, json!({"destination": "1"}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_wrong_state_answers_before_the_link() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "1", "name": "P"}]}));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    puppet.link(false).await;
    agent.hears("session.linkchanged").await;
    agent.fails_quickly("channel.request.ready", &channel, json!({}), "invalid_state").await;
    agent.fails_quickly("channel.request.activate", &channel, json!({"channeloptions": 1}), "bad_request").await;
    agent.fails_quickly("channel.request.activate", &channel, json!({}), "link_down").await;
}

#[tokio::test]
async fn a_failures_context_is_the_platforms_own_word() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "1", "name": "P"}]}));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    puppet.when("activate", jackfield_tests::puppet::Answer::failure("forbidden", "not your desk"));
    let failure = agent.fails("channel.request.activate", &channel, json!({}), "forbidden").await;
    assert_eq!(failure["message"], "not your desk");
    assert_eq!(members(&failure), ["code", "message"], "no context where there is nothing to add");
    agent.finish().await;
}

#[tokio::test]
async fn messages_without_a_session_are_answered() {
    let host = Host::simulator().await;
    let mut agent = host.connect().await;
    let response = agent.command("session.start", "nothing", json!({})).await;
    assert_eq!(response["failure"]["code"], "not_found", "{response}");
    agent.send_text("nonsense").await;
    assert_eq!(agent.any_response().await["failure"]["code"], "bad_request");
    agent.log_in("1001").await;
    agent.finish().await;
}

#[tokio::test]
async fn half_a_surrogate_pair_is_refused_to_whoever_asked() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let (session, half) = (agent.session.clone(), "\\ud800");
    for (text, told) in [
        (format!(r#"{{"command":"x","target":"{session}","requestId":"7","data":{{"a":"{half}"}}}}"#), 3),
        (format!(r#"{{"command":"x","target":"{session}","requestId":"{half}"}}"#), 2),
        (format!(r#"{{"command":"{half}","target":"{session}"}}"#), 1),
    ] {
        agent.send_text(&text).await;
        let response = agent.any_response().await;
        assert_eq!(response["failure"]["code"], "bad_request", "{response}");
        let all = [("command", json!("x")), ("target", json!(session)), ("requestId", json!("7"))];
        let named = all.iter().filter(|(name, value)| response.get(name) == Some(value)).count();
        assert_eq!(named, told, "{response}");
    }
    agent.finish().await;
}

#[tokio::test]
async fn failures_name_what_is_wrong_in_plain_words() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    let (session, channel) = (agent.session.clone(), agent.the("channel"));
    for (command, target, data, words) in [
        ("channel.request.notready", &channel, json!({}), "data.reasoncode is missing"),
        ("channel.request.notready", &channel, json!({"reasoncode": ""}), "data.reasoncode is empty"),
        (
            "channel.request.deactivate",
            &channel,
            json!({"channelOptions": {"queue": 1}}),
            "data.channeloptions.queue must be a string or a list of strings",
        ),
        (
            "session.request.removechannelgroup",
            &session,
            json!({"channel": {"id": "zz"}, "channelgroup": {"id": "g1"}}),
            "data.channel.id and data.channelgroup.id are not the same group",
        ),
    ] {
        let failure = agent.fails(command, target, data, "bad_request").await;
        assert_eq!(failure["message"], words);
    }
    let failure = agent.fails("channel.request.ready", "c1", json!({}), "not_found").await;
    assert!(failure["message"].as_str().unwrap().contains("whole path"), "{failure}");
    // Codes of contact centres are numbers as often as names.
    let response = agent.command("channel.request.notready", &channel, json!({"reasoncode": 4711})).await;
    assert_eq!((&response["result"], &response["data"]["reasoncode"]), (&json!("success"), &json!(4711)), "{response}");
    agent.hears(PAIR).await;
    agent.finish().await;
}
