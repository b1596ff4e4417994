//! Guessing: whoever is wrong too often waits before he may try again, and nobody who is right waits for him.

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    http::{self, Reply},
    until,
};
use serde_json::json;

/// As long as those that `jackfield token new` makes.
const LONG: &str = "jf_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
/// Such as an operator invents.
const SHORT: &str = "swordfish";

async fn host(listener: &str) -> Host {
    let tenant = |name| Tenant::simulator(name).tokens(&[("desk", LONG), ("old desk", SHORT)]);
    Setup::new().listener(listener).tenant(tenant("demo")).tenant(tenant("other")).start().await
}

/// Asks for something that any token of the tenant is good for.
async fn ask(host: &Host, tenant: &str, token: &str, forwarded_for: Option<&str>) -> Reply {
    let mut request = hyper::Request::get(format!("/v1/tenants/{tenant}/extensions"))
        .header("host", &host.address)
        .header("authorization", format!("Bearer {token}"));
    if let Some(client) = forwarded_for {
        request = request.header("x-forwarded-for", client);
    }
    http::send(&host.address, request.body(http_body_util::Full::default()).unwrap()).await.unwrap()
}

/// Fewer wrong tokens than this in a row: some were counted before.
const MANY: usize = 20;

/// Tries wrong tokens until the answer is another one than 401; how many were answered so.
async fn guess(host: &Host, forwarded_for: Option<&str>) -> usize {
    for tried in 0..1000 {
        let reply = ask(host, "demo", &format!("guess-{tried}"), forwarded_for).await;
        if reply.status != 401 {
            assert_eq!(reply.status, 429, "{reply:?}");
            return tried;
        }
    }
    panic!("there is no end of guessing");
}

#[tokio::test]
async fn whoever_tries_many_tokens_has_to_wait_and_learns_nothing_meanwhile() {
    let host = host("").await;
    assert!((MANY..=100).contains(&guess(&host, None).await));
    let mut answers = until("all are refused within one wait", async || {
        guess(&host, None).await;
        let mut answers = Vec::new();
        for (tenant, token) in [("demo", "wrong"), ("nobody", "wrong"), ("demo", SHORT), ("nobody", LONG)] {
            let reply = ask(&host, tenant, token, None).await;
            let wait = reply.headers.get("retry-after")?.to_str().unwrap().parse::<u64>().unwrap();
            assert!(wait <= 2, "{reply:?}");
            answers.push((reply.status, reply.body));
        }
        Some(answers)
    })
    .await;
    answers.dedup();
    assert!(answers.len() == 1 && answers[0].0 == 429, "not to be told apart: {answers:?}");
    // The wait is short, for whoever shares the address with him.
    until("it is over", async || (ask(&host, "demo", SHORT, None).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn whoever_has_a_token_that_cannot_be_guessed_does_not_wait_for_a_neighbour_who_guesses() {
    let host = host("").await;
    guess(&host, None).await;
    for tenant in ["demo", "other"] {
        assert_eq!(ask(&host, tenant, LONG, None).await.status, 200, "{tenant}");
    }
    let how = Connect { token: Some(LONG.into()), subprotocols: None };
    Agent::connect_with(&host, "demo", how).await.unwrap().log_in("1001").await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_counted_and_logged_by_its_own_address() {
    let host = host("trusted_proxies = [\"127.0.0.0/8\"]").await;
    // What a client has written itself stands before what the proxy has.
    assert!(guess(&host, Some("198.51.100.7, 192.0.2.1")).await >= MANY);
    assert!(guess(&host, Some("192.0.2.1")).await < MANY, "it is the same");
    assert!(guess(&host, Some("2001:db8::1")).await >= MANY, "it is another one");
    assert!(guess(&host, Some("2001:db8::2")).await < MANY, "it has the whole network");
    host.logs("192.0.2.1").await;
    let lines = host.log_lines("a request was refused");
    assert!(lines.iter().any(|line| line["client"] == "192.0.2.1"), "{lines:?}");
    assert!(!host.log().contains("198.51.100.7"));
}

#[tokio::test]
async fn nobody_else_can_say_where_a_client_is() {
    let host = host("trusted_proxies = [\"192.0.2.9\"]").await;
    assert!(guess(&host, Some("198.51.100.1")).await >= MANY);
    assert!(guess(&host, Some("198.51.100.2")).await < MANY);
    assert!(!host.log().contains("198.51.100."));
}

#[tokio::test]
async fn an_agents_password_cannot_be_tried_again_and_again_and_colleagues_log_in_as_before() {
    let tenant = Tenant::simulator("demo").settings(
        "agents = [{ id = \"1001\", password = \"right\" }, { id = \"1002\", password = \"right\" }, { id = \"1003\", \
         password = \"right\" }]",
    );
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = host.connect().await;
    let mut wrong = 0;
    while agent.prepare_with("1001", "wrong", false).await["failure"]["code"] == "unauthorized" {
        wrong += 1;
        assert!(wrong < 20, "there is no end of guessing");
    }
    assert!(wrong >= 3, "everybody mistypes");
    assert_eq!(
        agent.prepare_with("1001", "right", false).await["failure"]["code"],
        "rate_limited",
        "not even found out"
    );
    // From another connection and over HTTP it is the same.
    let mut second = host.connect().await;
    assert_eq!(second.prepare_with("1001", "wrong", false).await["failure"]["code"], "rate_limited");
    let over_http = http::Http::new(&host, "demo").prepare(json!({"agent": {"id": "1001", "password": "wrong"}})).await;
    assert_eq!(over_http.json()["failure"]["code"], "rate_limited");
    assert_eq!(second.prepare_with("1002", "right", false).await["result"], "success");
    // Whoever was right in the end starts anew.
    let mut third = host.connect().await;
    for _ in 0..wrong - 1 {
        assert_eq!(third.prepare_with("1003", "wrong", false).await["failure"]["code"], "unauthorized");
    }
    assert_eq!(third.prepare_with("1003", "right", false).await["result"], "success");
    host.logs("a log-in was refused").await;
    let lines = host.log_lines("a log-in was refused");
    assert_eq!(lines[0]["client"], "127.0.0.1", "{lines:?}");
}
