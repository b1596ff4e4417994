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
