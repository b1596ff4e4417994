//! A right that ends while its connection is there: the connection ends, and the session waits for a client that has one.

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant, hash_of},
    http::Http,
};
use serde_json::{Value, json};

fn bearer(token: &str) -> Connect {
    Connect { token: Some(token.into()), subprotocols: None }
}

async fn connect(host: &Host, token: &str) -> Agent {
    Agent::connect_with(host, "demo", bearer(token)).await.unwrap()
}

/// A tenant whose connections go as soon as their tokens count no more.
async fn host() -> Host {
    let tokens = [("crm", "crms-token"), ("wallboard", "wallboards-token")];
    Setup::new().tenant(Tenant::simulator("demo").tokens(&tokens).limits("token_grace = \"0s\"")).start().await
}

/// Puts another token in the place of one and has the configuration read again.
async fn replace_token(host: &Host, old: &str, new: &str) {
    let file = host.folder().join("tenants/demo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replace(&hash_of(old), &hash_of(new))).unwrap();
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["demo"], "adopted", "{answer}");
}

async fn prepared(http: &Http, agent: &str) -> String {
    let answer: Value = http.prepare(json!({"agent": {"id": agent, "password": "x"}})).await.json();
    answer["data"]["session"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn when_an_agents_token_has_expired_its_connection_is_closed_and_the_next_one_takes_the_session_over() {
    let host = host().await;
    let http = Http::new(&host, "demo").token("crms-token");
    let issue = async |lifetime: u64| {
        let body = json!({"agent": "1001", "lifetime": lifetime}).to_string();
        http.post("/tokens", body).await.json()["token"].as_str().unwrap().to_owned()
    };
    let mut page = connect(&host, &issue(5).await).await;
    page.log_in("1001").await;
    page.has_phone("2001").await;
    page.talks().await;
    assert_eq!(page.is_closed().await.code, Some(1001));
    let mut again = connect(&host, &issue(600).await).await;
    assert_eq!(again.bind(&page.session, None).await["result"], "success");
    again.hears_until("session.initialized").await;
    assert!((host.metric("jackfield_connections_closed_total{reason=\"not_admitted\"}").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_token_that_is_taken_out_of_the_file_takes_its_connections_with_it_and_no_others() {
    let host = host().await;
    let (mut crm, mut unbound) = (connect(&host, "crms-token").await, connect(&host, "crms-token").await);
    crm.log_in("1001").await;
    let http = Http::new(&host, "demo").token("crms-token");
    let issued = http.post("/tokens", json!({"agent": "1003"}).to_string()).await.json();
    let mut page = connect(&host, issued["token"].as_str().unwrap()).await;
    page.log_in("1003").await;
    let mut stream = http.events(&prepared(&http, "1002").await, None).await.unwrap();
    stream.next().await.unwrap();
    let mut wallboard = connect(&host, "wallboards-token").await;
    wallboard.log_in("1004").await;
    replace_token(&host, "crms-token", "crms-next-token").await;
    assert_eq!(crm.is_closed().await.code, Some(1001));
    assert_eq!(unbound.is_closed().await.code, Some(1001), "one that had no session yet");
    let closed = stream.next().await.unwrap();
    assert_eq!((&*closed.event, &closed.data["code"]), ("closed", &json!(1001)));
    assert!(closed.data["reason"].as_str().unwrap().contains("token"), "{closed:?}");
    // Whoever asked for the agent's token has a token of that name still.
    page.send_text("{").await;
    page.any_response().await;
    wallboard.finish().await;
    let mut again = connect(&host, "crms-next-token").await;
    assert_eq!(again.bind(&crm.session, None).await["result"], "success", "sessions belong to the name");
}

#[tokio::test]
async fn a_connection_has_the_time_that_is_configured_to_come_by_another_token() {
    let tenant = Tenant::simulator("demo").tokens(&[("crm", "crms-token")]).limits("token_grace = \"1h\"");
    let host = Setup::new().tenant(tenant).start().await;
    let mut crm = connect(&host, "crms-token").await;
    crm.log_in("1001").await;
    replace_token(&host, "crms-token", "crms-next-token").await;
    assert_eq!(Agent::connect_with(&host, "demo", bearer("crms-token")).await.err(), Some(401));
    crm.has_phone("2001").await;
    crm.talks().await;
}

#[tokio::test]
async fn a_tenant_that_has_ended_takes_all_of_its_connections_with_it() {
    let host = Setup::new().tenant(Tenant::simulator("demo")).tenant(Tenant::simulator("other")).start().await;
    let (mut agent, mut unbound) = (host.log_in("1001").await, host.connect().await);
    let mut neighbour = Agent::connect(&host, "other").await;
    neighbour.log_in("1001").await;
    host.act("/tenants/demo/remove").await;
    agent.hears("session.disposed").await;
    assert!(agent.is_closed().await.code.is_some());
    assert_eq!(unbound.is_closed().await.code, Some(1001));
    neighbour.finish().await;
}
