//! From prepareSession to the end of a session.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_agent_prepares_starts_works_and_logs_out() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.prepare("ann").await;
    assert_eq!(client.session.len(), 26);
    client.send("session.start", "", json!({"extension": "5001"}));
    assert_eq!(
        client.heard().await,
        [
            "success session.start",
            "channel.created",
            "channel.infochanged",
            "state.updated",
            "channel.initialized",
            "channel.created",
            "state.updated",
            "channel.initialized",
            "session.initialized",
        ]
    );
    client.send("session.request.logout", "", json!({"x": 1}));
    let line = tenant.adapter.line();
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::LogOut(Ending::LogOut));
    line.report(ready(false));
    line.answer(request, Outcome::success());
    let answer = client.next().await;
    assert_eq!(words(&answer), "success session.request.logout");
    assert!(answer.get("data").is_none());
    assert_eq!(client.heard().await, [""; 0], "no event is sent from the acceptance of a logout on");
    client.send("channel.request.ready", ".c1", json!({}));
    assert_eq!(client.heard().await, ["not_found channel.request.ready"]);
    settle().await;
    assert!(line.is_gone().await);
    assert!(tenant.list().await.is_empty());
    // The connection is free for another session.
    client.prepare("ben").await;
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_make_no_session_and_never_show_the_password() {
    let tenant = Tenant::new();
    tenant.adapter.refuse(Code::Unauthorized);
    let mut client = tenant.client();
    client.send_raw(&Client::prepare_message("ann", false));
    let answer = client.wait().await;
    assert_eq!(words(&answer), "unauthorized prepareSession");
    assert_eq!(answer["original"]["data"]["agent"]["password"], "***");
    assert!(tenant.list().await.is_empty() && !client.connection.is_bound());
}

#[tokio::test(start_paused = true)]
async fn the_platform_checks_the_agent_before_anyone_learns_of_a_live_session() {
    let tenant = Tenant::new();
    let (_first, _) = tenant.at_work().await;
    tenant.adapter.refuse(Code::Unauthorized);
    let mut other = tenant.client();
    other.send_raw(&Client::prepare_message("ann", false));
    assert_eq!(words(&other.wait().await), "unauthorized prepareSession");
    other.send_raw(&Client::prepare_message("ann", true));
    assert_eq!(words(&other.wait().await), "unauthorized prepareSession");
    assert_eq!(tenant.list().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_a_live_session_has_to_confirm_and_then_replaces_it_without_ending_its_calls() {
    let tenant = Tenant::new();
    let (mut first, line) = tenant.at_work().await;
    let mut second = tenant.client();
    second.send_raw(&Client::prepare_message("ann", false));
    let answer = second.wait().await;
    assert_eq!(answer["result"], "confirm");
    assert!(answer["message"].is_string());
    assert_eq!(answer["original"]["data"]["agent"]["password"], "***");
    assert!(tenant.adapter.line().is_gone().await, "the agent that was only checked has left again");
    assert!(!line.is_gone().await);

    second.send_raw(&Client::prepare_message("ann", true));
    let answer = second.wait().await;
    assert_eq!(words(&answer), "success prepareSession");
    let disposed = first.next().await;
    assert_eq!((words(&disposed).as_str(), &disposed["data"]["reason"]), ("session.disposed", &json!("replaced")));
    assert!(line.is_gone().await && line.is_idle().await, "it was asked to leave, not to log out");
    assert_eq!(tenant.list().await.len(), 1);
    first.send("channel.request.ready", ".c1", json!({}));
    assert_eq!(first.heard().await, ["not_found channel.request.ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_bound_connection_takes_no_second_session() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.prepare("ann").await;
    client.send_raw(&Client::prepare_message("ben", false));
    assert_eq!(client.heard().await, ["invalid_state prepareSession"]);
    client.send_raw(&json!({"command": "prepareSession", "data": {}}));
    assert_eq!(client.heard().await, ["bad_request prepareSession"]);
    let session = client.session.clone();
    assert_eq!(words(&client.bind(&session, None).await), "invalid_state bindSession");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_no_more_sessions_than_it_may() {
    let tenant = Tenant::with(SessionLimits { sessions: 1, ..SessionLimits::default() });
    let (_first, _) = tenant.at_work().await;
    let mut second = tenant.client();
    second.send_raw(&Client::prepare_message("ben", false));
    assert_eq!(words(&second.wait().await), "quota_exceeded prepareSession");
    // Replacing one's own session takes no more room.
    second.send_raw(&Client::prepare_message("ann", true));
    assert_eq!(words(&second.wait().await), "success prepareSession");
}

#[tokio::test(start_paused = true)]
async fn prepare_session_whose_answer_reaches_nobody_is_undone() {
    let tenant = Tenant::new();
    *tenant.adapter.slow.lock().unwrap() = Duration::from_secs(1);
    // The connection goes while the platform is being asked.
    let mut client = tenant.client();
    client.send_raw(&Client::prepare_message("ann", false));
    settle().await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(2)).await;
    settle().await;
    assert!(tenant.list().await.is_empty() && tenant.adapter.line().is_gone().await);
    // The connection goes before the answer is written.
    let mut client = tenant.client();
    client.send_raw(&Client::prepare_message("ann", false));
    client.outlet.ready().await;
    assert_eq!(tenant.list().await.len(), 1);
    drop(client);
    settle().await;
    assert!(tenant.list().await.is_empty() && tenant.adapter.line().is_gone().await);
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_the_platform_refuses_changes_nothing_and_what_was_held_back_follows() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("session.request.logout", "", json!({}));
    let (request, _) = line.next().await.unwrap();
    line.report(ready(false));
    assert_eq!(client.heard().await, [""; 0]);
    line.answer(request, Outcome::failure(Code::Rejected, "there is a call"));
    assert_eq!(client.heard().await, ["rejected session.request.logout", "channel.infochanged", "state.updated"]);
    line.report(ready(true));
    assert_eq!(client.heard().await, ["channel.infochanged", "state.updated"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_answer_when_the_agent_logs_out_gets_one() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    client.send("session.request.logout", "", json!({}));
    line.next_command().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::LogOut(Ending::LogOut), "a logout does not wait for long");
    line.answer(request, Outcome::success());
    assert_eq!(
        client.heard().await,
        ["success session.request.logout", "timeout channel.request.notready", "not_found channel.request.dial"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_logout_waits_for_the_first() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("session.request.logout", "", json!({}));
    client.send("session.logout", "", json!({}));
    let (request, _) = line.next().await.unwrap();
    assert!(line.is_idle().await);
    line.answer(request, Outcome::failure(Code::Rejected, "no"));
    settle().await;
    let (request, _) = line.next().await.unwrap();
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["rejected session.request.logout", "success session.logout"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_not_started_is_left_not_logged_out() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.prepare("ann").await;
    client.send("session.request.logout", "", json!({}));
    assert_eq!(client.heard().await, ["success session.request.logout"]);
    assert!(tenant.adapter.line().is_idle().await && tenant.adapter.line().is_gone().await);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_leaves_the_session_prepared() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_the_start().await;
    let (request, _) = line.next().await.unwrap();
    line.answer(request, Outcome::failure(Code::Rejected, "not now"));
    assert_eq!(client.heard().await, ["rejected session.start"]);
    client.send("session.request.start", "", json!({"extension": "5001", "actions": true}));
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::Start(StartOptions::new(Some("5001".to_owned()))));
    line.report(shop());
    line.answer(request, Outcome::success());
    let heard = client.heard().await;
    assert_eq!(heard[0], "success session.request.start");
    assert_eq!(client.seq, 8, "{heard:?}");
    client.send("session.start", "", json!({}));
    assert_eq!(client.heard().await, ["invalid_state session.start"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_long_not_answered_holds_no_more_back_than_a_newer_snapshot_says() {
    let limits =
        SessionLimits { journal: JournalLimits { events: 20, ..JournalLimits::default() }, ..SessionLimits::default() };
    let tenant = Tenant::with(limits);
    let (mut client, line) = tenant.at_the_start().await;
    for turn in 0..1000 {
        line.report(ready(turn % 2 == 1));
        if turn % 100 == 0 {
            settle().await;
        }
    }
    line.report(call("a", ConversationState::Alerting));
    let (request, _) = line.next().await.unwrap();
    line.answer(request, Outcome::success());
    let heard = client.heard().await;
    assert_eq!(heard[0], "success session.start");
    assert!(heard.len() < 50, "{} messages", heard.len());
    for event in ["session.initialized", "interaction.initialized"] {
        assert_eq!(heard.iter().filter(|heard| *heard == event).count(), 1, "{event}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_the_clients_lets_the_agents_leave_and_prepares_nothing_more() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    let begun = tokio::time::Instant::now();
    tenant.manager.shut_down(DisposedReason::ShuttingDown { retry_after: 5 }, Duration::from_secs(5)).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(client.heard().await, ["shutting_down channel.request.dial", "session.disposed", "close 1001"]);
    assert!(line.is_gone().await);
    let mut late = tenant.client();
    late.send_raw(&Client::prepare_message("ben", false));
    assert_eq!(words(&late.wait().await), "shutting_down prepareSession");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_longer_than_it_may() {
    let tenant = Tenant::new();
    tenant.adapter.obliging.store(false, SeqCst);
    let mut client = tenant.client();
    client.prepare("ann").await;
    let begun = tokio::time::Instant::now();
    tenant.manager.shut_down(DisposedReason::TenantRemoved, Duration::from_secs(2)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(client.next().await["data"]["reason"], "tenant_removed");
    assert!(tenant.adapter.line().is_gone().await);
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_sessions_is_counted_and_nothing_is_left_in_the_gauges() {
    let tenant = Tenant::new();
    for agent in ["ann", "ben"] {
        let mut client = tenant.client();
        client.prepare(agent).await;
        client.start().await;
        client.connection.receive("nonsense", tokio::time::Instant::now());
        drop(client);
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    let lines = tenant.adapter.lines.lock().unwrap().clone();
    for line in &lines {
        let (request, asked) = line.next().await.unwrap();
        assert_eq!(asked, Asked::LogOut(Ending::LogOut));
        line.answer(request, Outcome::success());
    }
    settle().await;
    let text = tenant.metrics.render();
    for line in [
        r#"jackfield_sessions{tenant="acme"} 0"#,
        r#"jackfield_sessions_ended_total{reason="expired"} 2"#,
        r#"jackfield_bad_messages_total{tenant="acme"} 2"#,
        r#"jackfield_commands_total{adapter="fake",command="session.start",outcome="success"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_the_middle_of_a_logout_leaves_no_gap_in_the_numbers() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("session.request.logout", "", json!({}));
    settle().await;
    line.report(ready(false));
    assert_eq!(client.heard().await, [""; 0]);
    tenant.manager.shut_down(DisposedReason::ShuttingDown { retry_after: 5 }, Duration::from_secs(5)).await;
    assert_eq!(
        client.heard().await,
        [
            "shutting_down session.request.logout",
            "channel.infochanged",
            "state.updated",
            "session.disposed",
            "close 1001",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_small() {
    // What a session costs beside its tree, its connection and its adapter: it shall stay where it is.
    assert!(size_of::<super::state::SessionState>() <= 1024, "{}", size_of::<super::state::SessionState>());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_goes_away_lets_its_agents_go() {
    let tenant = Tenant::new();
    let (client, line) = tenant.at_work().await;
    drop(client);
    let Tenant { manager, .. } = tenant;
    drop(manager);
    settle().await;
    assert!(line.is_gone().await);
    assert_eq!(line.sink.deliver(FromAgent::Resume(Vec::new()).into()), Delivery::Closed);
}
