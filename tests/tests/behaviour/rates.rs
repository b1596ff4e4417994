//! How fast a tenant's agents may send commands: whoever sends more is told, and nobody else.

use jackfield_tests::{
    host::{Setup, Tenant},
    http::Http,
    until,
};
use serde_json::json;

const LIMITED: &str = "jackfield_limited_total{limit=\"commands_per_second\",tenant=\"acme\"}";

#[tokio::test]
async fn a_tenant_that_sends_too_much_is_told_and_the_other_is_not() {
    let slow = Tenant::simulator("acme").limits("commands_per_second = 1\ncommands_burst = 3");
    let host = Setup::new().tenant(slow).tenant(Tenant::simulator("demo")).start().await;
    let client = Http::new(&host, "acme");
    let session = client.prepare(json!({"agent": {"id": "1001", "password": "x"}})).await;
    let session = session.json()["data"]["session"]["id"].as_str().unwrap().to_owned();
    let nonsense = json!({"command": "nonsense", "target": session, "requestId": 7}).to_string();
    let path = format!("/sessions/{session}/commands");
    // A token a second comes again, so it may take one more.
    let refused = || async {
        let reply = client.post(&path, nonsense.clone()).await;
        (reply.status != 200).then_some(reply)
    };
    let reply = until("a command is refused", refused).await;
    assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (429, "1"));
    let body = reply.json();
    assert_eq!((&body["failure"]["code"], &body["requestId"]), (&json!("rate_limited"), &json!(7)), "{body}");
    assert!(host.metric(LIMITED).await >= 1.0);
    let mut agent = host.log_in("1001").await;
    for _ in 0..20 {
        agent.send("nonsense", "", json!({})).await;
    }
    for _ in 0..20 {
        assert_eq!(agent.any_response().await["failure"]["code"], "unknown_command");
    }
    agent.finish().await;
}

#[tokio::test]
async fn a_changed_rate_holds_after_a_reload() {
    let acme = Tenant::simulator("acme").limits("commands_per_second = 1\ncommands_burst = 1");
    let host = Setup::new().tenant(acme.clone()).start().await;
    let client = Http::new(&host, "acme");
    let log_in = json!({"agent": {"id": "1001", "password": "x"}, "override": true});
    let refused = || async { (client.prepare(log_in.clone()).await.status == 429).then_some(()) };
    until("a log-in is refused, which is a command, too", refused).await;
    let file = host.folder().join("tenants/acme.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("commands_per_second = 1\n", "commands_per_second = 0\n")).unwrap();
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["acme"], "adopted", "{answer}");
    for _ in 0..10 {
        assert_eq!(client.prepare(log_in.clone()).await.status, 200);
    }
}
