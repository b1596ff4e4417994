//! What is answered without the platform's being asked, and in which order the checks stand.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_check_that_fails_answers() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.prepare("ann").await;
    // Not started: the name, then the target, come before that.
    for (command, target, data, expected) in [
        ("nonsense", ".c9", json!({}), "unknown_command"),
        ("channel.request.other.thing", ".c9", json!({}), "unsupported"),
        ("interaction.request.recording.start", ".c9", json!({}), "unsupported"),
        ("channel.request.ready", ".c9", json!({}), "not_found"),
        ("channel.request.ready", "", json!({}), "not_found"),
        ("session.request.addchannel", "", json!({}), "invalid_state"),
    ] {
        client.send(command, target, data);
        assert_eq!(client.heard().await, [format!("{expected} {command}")]);
    }
    client.start().await;
    for (command, target, data, expected) in [
        ("channel.request.dial", ".c2", json!({}), "unsupported"),
        ("channel.request.dial", ".c1", json!({}), "bad_request"),
        ("channel.request.notready", ".c2", json!({}), "bad_request"),
        ("channel.request.notready", ".c2", json!({"reasoncode": "a"}), "invalid_state"),
        ("channel.request.acme.count", ".c1", json!({"n": "x"}), "bad_request"),
        ("channel.request.acme.count", "", json!({"n": 1}), "not_found"),
        ("session.request.addchannel", "", json!({"channel": {"endpoint": "5001", "type": "Telephony"}}), "conflict"),
        ("session.request.addchannel", "", json!({"channel": {"endpoint": "1", "type": "Email"}}), "unsupported"),
        ("session.request.addchannel", "", json!({"channel": {"endpoint": "1", "type": "Fax"}}), "bad_request"),
        ("session.request.removechannel", "", json!({"channel": {"id": "c9"}}), "not_found"),
    ] {
        client.send(command, target, data);
        assert_eq!(client.heard().await, [format!("{expected} {command}")]);
    }
    let line = tenant.adapter.line();
    assert!(line.is_idle().await);
    tenant.set_link(Link::Down { reason: "cable".to_owned() });
    settle().await;
    client.heard().await;
    client.send("channel.request.activate", ".c1", json!({}));
    client.send("channel.request.activate", ".c2", json!({}));
    client.send("channel.request.ready", ".c1", json!({}));
    assert_eq!(
        client.heard().await,
        [
            "invalid_state channel.request.activate",
            "link_down channel.request.activate",
            "link_down channel.request.ready"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn another_sessions_objects_are_not_found() {
    let tenant = Tenant::new();
    let (ann, _) = tenant.at_work().await;
    let mut ben = tenant.client();
    ben.prepare("ben").await;
    ben.start().await;
    ben.session.clone_from(&ann.session);
    ben.send("channel.request.ready", ".c1", json!({}));
    assert_eq!(ben.heard().await, ["not_found channel.request.ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_session_finds_nothing() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    for (command, expected) in [
        ("channel.request.ready", "not_found"),
        ("channel.request.acme.count", "not_found"),
        ("channel.request.other.thing", "unsupported"),
        ("nonsense", "unknown_command"),
    ] {
        client.send(command, "S", json!({}));
        assert_eq!(client.heard().await, [format!("{expected} {command}")]);
    }
    client.send_raw(&json!([]));
    assert_eq!(client.next().await["failure"]["code"], "bad_request");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_changes_nothing_succeeds_without_the_platform() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.ready", ".c1", json!({"any": 1}));
    let answer = client.next().await;
    assert_eq!((words(&answer).as_str(), &answer["data"]), ("success channel.request.ready", &json!({"any": 1})));
    assert!(line.is_idle().await);
}

#[tokio::test(start_paused = true)]
async fn more_commands_than_may_be_unanswered_are_turned_away() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    for _ in 0..32 {
        client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    }
    assert_eq!(client.heard().await, [""; 0]);
    client.send("nonsense", "", json!({}));
    assert_eq!(client.heard().await, ["rate_limited nonsense"]);
    let (request, _) = line.next_command().await;
    line.answer(request, Outcome::success());
    client.send("nonsense", "", json!({}));
    assert_eq!(client.heard().await, ["success channel.request.dial", "unknown_command nonsense"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_ended_while_as_much_is_unanswered_as_may_be() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(call("a", ConversationState::Talking));
    client.heard().await;
    for _ in 0..32 {
        client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    }
    client.heard().await;
    line.next_command().await;
    for _ in 0..32 {
        client.send("conversation.request.release", ".c1.i3.v4", json!({}));
        client.heard().await;
        assert!(matches!(line.next_command().await.1, Command::Release { .. }));
    }
    client.send("conversation.request.release", ".c1.i3.v4", json!({}));
    assert_eq!(client.heard().await, ["rate_limited conversation.request.release"], "this is bounded, too");
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_does_not_answer_is_not_waited_for() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    let begun = tokio::time::Instant::now();
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    let (request, _) = line.next_command().await;
    assert_eq!(words(&client.wait().await), "timeout channel.request.dial");
    assert_eq!(begun.elapsed().as_secs(), 30);
    // What happens later still comes as events; a late answer is nothing.
    line.report(call("late", ConversationState::Dialing));
    line.answer(request, Outcome::success());
    let heard = client.heard().await;
    assert!(heard.contains(&"interaction.created".to_owned()) && !heard.iter().any(|it| it.contains("success")));
    // The blind conference has longer.
    line.report(call("late", ConversationState::Talking));
    client.heard().await;
    let begun = tokio::time::Instant::now();
    client.send("conversation.request.blindconference", ".c1.i3.v4", json!({"destination": "6"}));
    assert_eq!(words(&client.wait().await), "timeout conversation.request.blindconference");
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn needinfo_and_an_extensions_own_data_are_handed_through() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Dial { destination, .. } if destination == "5"));
    line.answer(request, Outcome::NeedInfo(json!({"id": "x.skill", "skills": []}).into()));
    let answer = client.next().await;
    assert_eq!(answer["result"], "needinfo");
    assert_eq!(answer["uiExtension"], json!({"id": "x.skill", "skills": []}));
    assert_eq!(answer["original"]["data"]["destination"], "5");

    for (outcome, expected) in
        [(Outcome::data(json!({"n": 2})), json!({"n": 2})), (Outcome::success(), json!({"n": 1}))]
    {
        client.send("channel.request.acme.count", ".c1", json!({"n": 1}));
        let (request, command) = line.next_command().await;
        assert!(matches!(command, Command::Extension { name, data, .. }
            if name == "channel.request.acme.count" && data.get() == r#"{"n":1}"#));
        line.answer(request, outcome);
        assert_eq!(client.next().await["data"], expected);
    }
    client.send("channel.request.acme.count", ".c1", json!({"n": 1}));
    let (request, _) = line.next_command().await;
    line.answer(request, Outcome::data(json!([1])));
    assert_eq!(client.heard().await, ["adapter_failed channel.request.acme.count"]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_handed_over_fails_at_once() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.jammed.store(true, SeqCst);
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    assert_eq!(client.heard().await, ["rate_limited channel.request.dial"]);
}

#[tokio::test(start_paused = true)]
async fn ringing_calls_are_answered_and_rejected_by_either_name() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(call("k", ConversationState::Alerting));
    client.heard().await;
    for (command, target) in [
        ("interaction.request.accept", ".c1.i3"),
        ("conversation.request.answer", ".c1.i3.v4"),
        ("interaction.request.reject", ".c1.i3"),
        ("conversation.request.release", ".c1.i3.v4"),
    ] {
        client.send(command, target, json!({}));
        let (request, asked) = line.next_command().await;
        let answers = matches!(asked, Command::Answer { .. });
        let rejects = matches!(asked, Command::Reject { .. });
        assert!(if target.ends_with("v4") == command.contains("answer") || command.contains("accept") {
            answers || rejects
        } else {
            rejects
        });
        assert_eq!(answers, command.contains("answer") || command.contains("accept"), "{command}");
        line.answer(request, Outcome::failure(Code::Rejected, "no"));
        assert_eq!(client.heard().await, [format!("rejected {command}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_a_type_that_the_adapter_does_not_have_is_unsupported() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    let of = |kind: &str| json!({"channel": {"type": kind, "endpoint": "new@shop"}});
    client.send("session.request.addchannel", "", of("Email"));
    assert_eq!(client.heard().await, ["unsupported session.request.addchannel"]);
    assert!(line.is_idle().await);
    client.send("session.request.addchannel", "", of("Chat"));
    line.next_command().await;
}
