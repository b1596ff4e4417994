//! What a tenant's agents may cost before they work.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_session_that_has_ended() {
    let tenant = Tenant::new();
    // Each session keeps the limits that it began with.
    let limits = tenant.manager.registry().limits();
    let before = Arc::strong_count(&limits);
    for _ in 0..20 {
        let (mut client, line) = tenant.at_work().await;
        assert_eq!(Arc::strong_count(&limits), before + 1);
        client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
        client.send("session.request.logout", "", json!({}));
        let (request, _) = line.next_command().await;
        line.answer(request, Outcome::success());
        let (request, _) = line.next().await.unwrap();
        line.answer(request, Outcome::success());
        settle().await;
        assert_eq!(Arc::strong_count(&limits), before);
        let registry = tenant.manager.registry();
        assert!(registry.all().is_empty() && registry.leaving().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn agents_log_in_only_so_fast_beyond_what_a_tenant_may_have_at_once() {
    let tenant = Tenant::with(SessionLimits { sessions: 5, logins_per_second: 2, ..SessionLimits::default() });
    let log_in = async |expected: &str| {
        let mut client = tenant.client();
        client.send_raw(&Client::prepare_message("ann", true));
        assert_eq!(words(&client.wait().await), expected);
    };
    for _ in 0..5 {
        log_in("success prepareSession").await;
    }
    log_in("rate_limited prepareSession").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    log_in("success prepareSession").await;
    log_in("success prepareSession").await;
    log_in("rate_limited prepareSession").await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_counts_as_a_log_in() {
    let tenant = Tenant::with(SessionLimits { sessions: 5, logins_per_second: 2, ..SessionLimits::default() });
    tenant.adapter.refuse(Code::Unauthorized);
    let mut client = tenant.client();
    let mut answers = Vec::new();
    for _ in 0..7 {
        client.send_raw(&Client::prepare_message("ann", false));
        answers.push(words(&client.wait().await));
    }
    assert_eq!(
        answers[4..],
        ["unauthorized prepareSession", "rate_limited prepareSession", "rate_limited prepareSession"]
    );
}

#[tokio::test(start_paused = true)]
async fn only_so_many_agents_are_logged_in_at_the_same_time_and_others_wait_for_their_turn() {
    let tenant = Tenant::new();
    *tenant.adapter.slow.lock().unwrap() = Duration::from_secs(4);
    let mut clients: Vec<Client> = (0..100).map(|_| tenant.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_raw(&Client::prepare_message(&number.to_string(), false));
    }
    settle().await;
    assert_eq!(tenant.adapter.sinks.lock().unwrap().len(), 64);
    for client in &mut clients {
        assert_eq!(words(&client.wait().await), "success prepareSession");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_prepared_and_not_started_keeps_its_place_only_for_a_short_time() {
    let tenant = Tenant::with(SessionLimits { sessions: 1, ..SessionLimits::default() });
    // Nobody is connected.
    let mut client = tenant.client();
    client.prepare("ann").await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(tenant.list().await.len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(tenant.list().await.is_empty());
    // Connected or not: it does not go on for ever.
    let mut client = tenant.client();
    client.prepare("ann").await;
    let begun = tokio::time::Instant::now();
    let disposed = client.wait().await;
    assert_eq!((words(&disposed).as_str(), &disposed["data"]["reason"]), ("session.disposed", &json!("expired")));
    assert_eq!(begun.elapsed(), Duration::from_secs(120));
    // One that works does.
    let mut client = tenant.client();
    client.prepare("ann").await;
    client.start().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(tenant.list().await.len(), 1);
    // And it has the whole grace.
    drop(client);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(tenant.adapter.line().is_idle().await);
}

const NOTHING: &str = "channel.request.acme.nothing";

/// How many of so many commands are answered, and not refused because they come too fast.
async fn let_in(client: &mut Client, commands: usize) -> usize {
    for _ in 0..commands {
        client.send(NOTHING, ".c1", json!({}));
        settle().await;
    }
    client.heard().await.iter().filter(|answer| !answer.starts_with("rate_limited")).count()
}

#[tokio::test(start_paused = true)]
async fn the_agents_of_a_tenant_may_send_only_so_many_commands_a_second_together() {
    let commands = Rate { per_second: 10, burst: 20 };
    let tenant = Tenant::with(SessionLimits { commands, ..SessionLimits::default() });
    let (mut ann, _) = tenant.at_work().await;
    let mut bob = tenant.client();
    bob.prepare("bob").await;
    // Two log-ins and a start were commands, too.
    assert_eq!(let_in(&mut ann, 12).await + let_in(&mut bob, 12).await, 17);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(let_in(&mut bob, 12).await, 10);
    // More or less from now on, for whoever is there.
    let commands = Rate { per_second: 5, burst: 5 };
    tenant.manager.set_limits(SessionLimits { commands, ..SessionLimits::default() });
    assert_eq!(let_in(&mut ann, 12).await, 5);
    let scrape = tenant.metrics.render();
    let counted = r#"jackfield_limited_total{limit="commands_per_second",tenant="acme"} 16"#;
    assert!(scrape.contains(counted), "{scrape}");
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_ended_while_others_send_too_much() {
    let commands = Rate { per_second: 1, burst: 10 };
    let tenant = Tenant::with(SessionLimits { commands, ..SessionLimits::default() });
    let (mut ann, line) = tenant.at_work().await;
    line.report(call("call", ConversationState::Talking));
    while words(&ann.wait().await) != "interaction.initialized" {}
    let (mut flood, _) = tenant.at_work_as("bob").await;
    let_in(&mut flood, 30).await;
    ann.send("conversation.request.hold", ".c1.i3.v4", json!({}));
    assert_eq!(words(&ann.wait().await), "rate_limited conversation.request.hold");
    ann.send("conversation.request.release", ".c1.i3.v4", json!({}));
    assert!(matches!(line.next_command().await.1, Command::Release { .. }), "the platform is asked");
}

#[tokio::test(start_paused = true)]
async fn a_command_counts_for_as_many_as_it_has_kib() {
    let commands = Rate { per_second: 10, burst: 100 };
    let tenant = Tenant::with(SessionLimits { commands, ..SessionLimits::default() });
    let (mut client, _) = tenant.at_work().await;
    let long = json!({"filler": "x".repeat(30 * 1024)});
    for _ in 0..10 {
        client.send(NOTHING, ".c1", long.clone());
        settle().await;
    }
    let answers = client.heard().await;
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("rate_limited")).count(), 6, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_messages_cost_more_than_its_share_is_read_later_and_others_are_not() {
    let connection_commands = Rate { per_second: 100, burst: 100 };
    let tenant = Tenant::with(SessionLimits { connection_commands, ..SessionLimits::default() });
    let (mut greedy, _) = tenant.at_work().await;
    let (mut modest, _) = tenant.at_work_as("bob").await;
    let begun = tokio::time::Instant::now();
    let long = json!({"filler": "x".repeat(60 * 1024)});
    let mut answers = Vec::new();
    for _ in 0..20 {
        greedy.through().await;
        greedy.send(NOTHING, ".c1", long.clone());
        answers.extend(greedy.heard().await);
    }
    greedy.through().await;
    // It has sent 1 220 for 100 at once and 100 a second.
    assert_eq!(begun.elapsed().as_secs(), 11);
    assert!(answers.len() == 20 && answers.iter().all(|answer| answer.starts_with("unsupported")), "{answers:?}");
    let begun = tokio::time::Instant::now();
    for _ in 0..50 {
        modest.through().await;
        modest.send(NOTHING, ".c1", json!({}));
    }
    modest.through().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_is_not_read_from_for_a_moment() {
    let commands = Rate { per_second: 1, burst: 3 };
    let tenant = Tenant::with(SessionLimits { commands, ..SessionLimits::default() });
    let (mut client, _) = tenant.at_work().await;
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        client.through().await;
        client.send(NOTHING, ".c1", json!({}));
    }
    client.through().await;
    let refused = client.heard().await.iter().filter(|answer| answer.starts_with("rate_limited")).count();
    assert_eq!(begun.elapsed().as_millis() / 100, refused as u128, "a tenth of a second each");
}
