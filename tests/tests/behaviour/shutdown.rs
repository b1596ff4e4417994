//! The end: SIGTERM is told to clients, bounded in time, and leaves nothing behind.

use jackfield_tests::{
    host::{Host, Setup, Tenant},
    http::Http,
    puppet::{Answer, Puppet},
};
use serde_json::json;

#[tokio::test]
async fn sigterm_tells_the_clients_and_exits_with_0() {
    let mut host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent.talks().await;
    let mut unbound = host.connect().await;
    let http = Http::new(&host, "demo");
    let response = http.prepare(json!({"agent": {"id": "1002", "password": "x"}})).await.json();
    let session = response["data"]["session"]["id"].as_str().unwrap().to_owned();
    let mut stream = http.events(&session, None).await.unwrap();
    stream.next().await.unwrap();
    host.terminate();
    let heard = agent.hears("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "shutting_down", "retryAfter": 5}));
    assert_eq!(agent.is_closed().await.code, Some(1001));
    assert_eq!(unbound.is_closed().await.code, Some(1001));
    let last = stream.next().await.unwrap();
    assert_eq!(last.data["name"], "session.disposed");
    let closed = stream.next().await.unwrap();
    assert_eq!((&*closed.event, &closed.data["code"]), ("closed", &json!(1001)));
    assert_eq!(stream.next().await, None);
    assert_eq!(host.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_never_pauses_is_told_too() {
    let mut host = Host::simulator().await;
    let mut unbound = host.connect().await;
    // More than one turn of its connection takes, again and again.
    let pipeline = vec![json!({"command": "x"}).to_string(); 100];
    for round in 0.. {
        assert!(round < 100_000, "it is never told");
        for text in &pipeline {
            unbound.send_text(text).await;
        }
        if round == 20 {
            host.terminate();
        }
        if !unbound.gets_responses(pipeline.len()).await {
            break;
        }
    }
    assert_eq!(unbound.is_closed().await.code, Some(1001));
    assert_eq!(host.ends().await.code(), Some(0));
}

#[tokio::test]
async fn an_adapter_that_hangs_cannot_hold_the_end_up() {
    let puppet = Puppet::start().await;
    let mut host =
        Setup::new().main("[shutdown]\ndeadline = \"6s\"").tenant(Tenant::puppet("demo", &puppet)).start().await;
    let mut agent = host.log_in("1001").await;
    puppet.when("log_out", Answer::never());
    puppet.when("disconnect", Answer::never());
    host.terminate();
    agent.hears("session.disposed").await;
    assert_eq!(host.ends().await.code(), Some(0));
    for given_up in ["not all agents have left in time", "the platform could not be disconnected in time"] {
        assert!(host.log().contains(given_up), "{given_up}: {}", host.log());
    }
}

#[tokio::test]
async fn a_desktop_that_does_not_take_its_leave_cannot_hold_the_end_up() {
    let mut host =
        Setup::new().main("[shutdown]\ndeadline = \"300ms\"").tenant(Tenant::simulator("demo")).start().await;
    let _silent = host.log_in("1001").await;
    host.terminate();
    assert_eq!(host.ends().await.code(), Some(0));
    let line = host.log().lines().find(|line| line.contains("jackfield ends at its deadline")).map(str::to_owned);
    assert!(line.is_some_and(|line| line.contains("300ms")), "{}", host.log());
}

#[tokio::test]
async fn calls_go_on_and_platforms_are_left_in_order() {
    let puppet = Puppet::start().await;
    let mut host = Setup::new().tenant(Tenant::puppet("demo", &puppet)).start().await;
    let agent = host.log_in("1001").await;
    host.terminate();
    assert_eq!(puppet.asked("log_out").await["ending"], "leave", "its calls stay");
    puppet.asked("disconnect").await;
    assert_eq!(host.ends().await.code(), Some(0));
    drop(agent);
}

#[tokio::test]
async fn a_signal_to_the_whole_control_group_ends_the_workers_after_the_platforms_are_left() {
    for signal in ["TERM", "INT"] {
        let puppet = Puppet::start().await;
        let tenant = Tenant::puppet("demo", &puppet).isolation("tenant");
        let mut host = Setup::new().tenant(tenant).in_its_own_group().start().await;
        let mut agent = host.log_in("1001").await;
        let worker = host.worker("demo").await;
        host.signal_group(signal);
        host.signal_worker(worker, signal);
        assert_eq!(puppet.asked("log_out").await["ending"], "leave", "{signal}: its calls stay");
        puppet.asked("disconnect").await;
        agent.hears("session.disposed").await;
        assert_eq!(host.ends().await.code(), Some(0), "{signal}");
        assert!(!host.log().contains("the worker died"), "{signal}:\n{}", host.log());
    }
}

#[tokio::test]
async fn a_hangup_of_the_whole_control_group_costs_no_worker() {
    let host = Setup::new().tenant(Tenant::simulator("demo").isolation("tenant")).in_its_own_group().start().await;
    let worker = host.worker("demo").await;
    host.signal_group("HUP");
    host.signal_worker(worker, "HUP");
    host.logs("the configuration was read again").await;
    host.log_in("1001").await.finish().await;
    assert_eq!(host.worker("demo").await, worker);
}

#[tokio::test]
async fn nobody_new_comes_in_once_the_end_has_begun() {
    let puppet = Puppet::start().await;
    let mut host =
        Setup::new().main("[shutdown]\ndeadline = \"3s\"").tenant(Tenant::puppet("demo", &puppet)).start().await;
    let mut agent = host.log_in("1001").await;
    puppet.when("log_out", Answer::never());
    host.terminate();
    agent.hears("session.disposed").await;
    // Refused, or cut off before the handshake: either way nobody is let in.
    let url = format!("ws://{}/v1/tenants/demo/ws", host.address);
    let outcome = tokio_tungstenite::connect_async(url).await;
    assert!(outcome.is_err(), "nobody is let in");
    assert_eq!(host.ends().await.code(), Some(0));
}
