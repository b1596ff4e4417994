//! Short-lived tokens of one agent, which the holder of the tenant's token makes for a page.

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    http::Http,
};
use serde_json::{Value, json};

async fn host() -> Host {
    let tenants = [Tenant::simulator("demo"), Tenant::simulator("other")];
    let mut setup = Setup::new();
    for tenant in tenants {
        setup = setup.tenant(tenant.tokens(&[("crm", "tenants-token"), ("wallboard", "second-token")]));
    }
    setup.start().await
}

/// The answer to a request for a token, by whoever holds this one.
async fn ask(host: &Host, token: &str, body: Value) -> (u16, Value) {
    let reply = Http::new(host, "demo").token(token).post("/tokens", body.to_string()).await;
    (reply.status, reply.json())
}

async fn token_of(host: &Host, agent: &str) -> String {
    let (status, answer) = ask(host, "tenants-token", json!({"agent": agent})).await;
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

fn bearer(token: &str) -> Connect {
    Connect { token: Some(token.into()), subprotocols: None }
}

#[tokio::test]
async fn a_page_logs_its_agent_in_with_it_and_nobody_else() {
    let host = host().await;
    let token = token_of(&host, "1001").await;
    let mut page = Agent::connect_with(&host, "demo", bearer(&token)).await.unwrap();
    let refused = page.prepare("1002", false).await;
    assert_eq!(refused["failure"]["code"], "forbidden", "{refused}");
    page.log_in("1001").await;
}

#[tokio::test]
async fn it_uses_no_session_of_another_agent() {
    let host = host().await;
    let mut server = Agent::connect_with(&host, "demo", bearer("tenants-token")).await.unwrap();
    server.log_in("1002").await;
    let session = server.session.clone();
    let token = token_of(&host, "1001").await;
    let mut page = Agent::connect_with(&host, "demo", bearer(&token)).await.unwrap();
    assert_eq!(page.bind(&session, None).await["failure"]["code"], "not_found");
    let http = Http::new(&host, "demo").token(&token);
    assert_eq!(http.events(&session, None).await.err(), Some(404));
}

#[tokio::test]
async fn only_the_holder_of_the_tenants_token_gets_one() {
    let host = host().await;
    let token = token_of(&host, "1001").await;
    assert_eq!(ask(&host, &token, json!({"agent": "1002"})).await.0, 403);
    assert_eq!(ask(&host, "wrong-token", json!({"agent": "1002"})).await.0, 401);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_told_so() {
    let host = host().await;
    for body in
        [json!({}), json!({"agent": ""}), json!({"agent": "1001", "lifetime": 0}), json!([]), json!({"agent": 7})]
    {
        let (status, answer) = ask(&host, "tenants-token", body.clone()).await;
        assert_eq!((status, answer["failure"]["code"].as_str()), (400, Some("bad_request")), "{body}");
    }
}

#[tokio::test]
async fn it_counts_for_its_tenant_only_and_until_its_time_is_over() {
    let host = host().await;
    let token = token_of(&host, "1001").await;
    assert_eq!(Agent::connect_with(&host, "other", bearer(&token)).await.err(), Some(401));
    let (_, answer) = ask(&host, "tenants-token", json!({"agent": "1001", "lifetime": 1})).await;
    let short = answer["token"].as_str().unwrap().to_owned();
    jackfield_tests::patience("the token is over", async {
        while Agent::connect_with(&host, "demo", bearer(&short)).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_takes_it_from_the_address_but_no_tenants_token() {
    let host = host().await;
    let token = token_of(&host, "1001").await;
    let http = Http::new(&host, "demo").token(&token);
    let prepared = http.prepare(json!({"agent": {"id": "1001", "password": "x"}})).await.json();
    let session = prepared["data"]["session"]["id"].as_str().unwrap().to_owned();
    let without_header = Http::new(&host, "demo");
    assert!(without_header.events_at(&format!("/sessions/{session}/events?token={token}"), None).await.is_ok());
    let with_tenants = without_header.events_at(&format!("/sessions/{session}/events?token=tenants-token"), None).await;
    assert_eq!(with_tenants.err(), Some(401));
    assert!(!host.log().contains(&token), "no token is logged");
}
