//! What operators see of one tenant and one session, and how they let a tenant run dry.

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    http::Http,
    until,
};
use serde_json::{Value, json};

async fn page(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.operations(path).await).unwrap()
}

/// The state of tenant `demo` as the list of all shows it.
async fn state(host: &Host) -> String {
    let tenants = page(host, "/tenants").await;
    tenants.as_array().unwrap().iter().find(|it| it["id"] == "demo").unwrap()["state"].as_str().unwrap().to_owned()
}

async fn is_suspended(host: &Host) {
    until("the tenant is suspended", || async { (state(host).await == "suspended").then_some(()) }).await;
}

#[tokio::test]
async fn a_drained_tenant_takes_no_new_sessions_and_is_suspended_when_the_last_has_gone() {
    let host = Host::simulator().await;
    let mut at_work = host.log_in("1001").await;
    let (status, answer) = host.post("/tenants/demo/drain?within=8h").await;
    assert_eq!((status, &answer["state"]), (202, &json!("draining")), "{answer}");
    assert!(answer["draining"]["suspendedIn"].as_u64().unwrap() > 28_000, "{answer}");
    assert!(host.metric("jackfield_tenants{state=\"draining\"}").await > 0.0);
    assert!(host.metric("jackfield_tenant_state{state=\"draining\",tenant=\"demo\"}").await > 0.0);
    // New ones are told when to try again, as when the host ends.
    let mut newcomer = Agent::connect(&host, "demo").await;
    assert_eq!(newcomer.prepare("1002", false).await["failure"]["code"], "shutting_down");
    let reply = Http::new(&host, "demo").prepare(json!({"agent": {"id": "1002", "password": "x"}})).await;
    assert_eq!((reply.status, &reply.json()["failure"]["code"]), (503, &json!("shutting_down")));
    assert!(reply.headers.contains_key("retry-after"));
    // Those that are there go on, and come back where they lose their connection.
    at_work.has_phone("2001").await;
    let (session, seen) = (at_work.session.clone(), at_work.seq);
    at_work.reconnect().await;
    assert_eq!(at_work.bind(&session, Some(seen)).await["result"], "success");
    assert_eq!(host.post("/reload").await.1["tenants"]["demo"], "draining");
    assert_eq!(state(&host).await, "draining");
    assert_eq!(at_work.command("session.request.logout", &session, json!({})).await["result"], "success");
    is_suspended(&host).await;
    host.act("/tenants/demo/resume").await;
    host.link_is_up("demo").await;
    host.log_in("1002").await.finish().await;
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_over() {
    let host = Host::simulator().await;
    let mut at_work = host.log_in("1001").await;
    assert_eq!(host.post("/tenants/demo/drain?within=1s").await.0, 202);
    assert_eq!(at_work.hears("session.disposed").await.data("session.disposed")["reason"], "tenant_removed");
    is_suspended(&host).await;
    assert_eq!(host.post("/tenants/demo/drain?within=soon").await.0, 404, "it does not run");
}

#[tokio::test]
async fn a_drained_tenant_that_is_resumed_goes_on() {
    let host = Host::simulator().await;
    let at_work = host.log_in("1001").await;
    assert_eq!(host.post("/tenants/demo/drain?within=4s").await.0, 202);
    host.act("/tenants/demo/resume").await;
    assert_eq!(state(&host).await, "connected");
    assert_eq!(host.post("/tenants/demo/resume").await.0, 409);
    host.log_in("1002").await.finish().await;
    // Longer than the drain would have taken.
    let over = std::time::Instant::now() + std::time::Duration::from_millis(4_500);
    until("its time is over", || async { (std::time::Instant::now() > over).then_some(()) }).await;
    assert_eq!(state(&host).await, "connected");
    at_work.finish().await;
}

#[tokio::test]
async fn a_tenant_is_shown_with_its_limits_and_without_what_lets_anybody_in() {
    let tenant = Tenant::simulator("demo")
        .tokens(&[("crm", "jf_very-secret")])
        .limits("commands_per_second = 77\nqueued_bytes = \"2MiB\"")
        .settings("no_answer_ms = 12321");
    let host = Setup::new().tenant(tenant).start().await;
    let shown = page(&host, "/tenants/demo").await;
    assert_eq!(shown["auth"], json!({"kind": "token", "names": ["crm"]}));
    assert_eq!(
        (&shown["limits"]["commands_per_second"], &shown["limits"]["queued_bytes"]),
        (&json!(77), &json!(2 << 20))
    );
    assert_eq!(
        (&shown["state"], &shown["sessions"], &shown["connections"]),
        (&json!("connected"), &json!(0), &json!(0))
    );
    let text = shown.to_string();
    assert!(!text.contains("secret") && !text.contains("sha256") && !text.contains("12321"), "{text}");
    let request = hyper::Request::get("/tenants/nobody").header("host", &host.operations);
    let request = request.body(http_body_util::Full::default()).unwrap();
    assert_eq!(jackfield_tests::http::status(&host.operations, request).await, 404);
}

#[tokio::test]
async fn a_session_is_shown_without_its_calls_and_can_be_ended() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent.talks().await;
    let id = page(&host, "/sessions").await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{id}");
    let shown = page(&host, &path).await;
    assert_eq!(
        (&shown["tenant"], &shown["agent"], &shown["interactions"]),
        (&json!("demo"), &json!("1001"), &json!(1))
    );
    assert!(!shown.to_string().contains("5550100"), "the other party's number: {shown}");
    assert!(!shown.to_string().contains(&agent.session), "what would bind it: {shown}");
    host.act(&format!("{path}/end")).await;
    assert_eq!(agent.hears("session.disposed").await.data("session.disposed")["reason"], "ended_by_operator");
    assert_eq!(page(&host, "/sessions").await, json!([]));
    assert_eq!(host.post(&format!("{path}/end")).await.0, 404);
}
