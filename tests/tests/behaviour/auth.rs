//! Who may come in: auth none and token, and what the others are told (section 6).

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    http::Http,
};
use serde_json::json;

async fn with_tokens() -> Host {
    let tenant = Tenant::simulator("demo").tokens(&[("desk", "right-token"), ("other", "other-token")]);
    Setup::new().tenant(tenant).start().await
}

fn bearer(token: &str) -> Connect {
    Connect { token: Some(token.into()), subprotocols: None }
}

#[tokio::test]
async fn a_token_lets_in_as_a_header_or_as_a_subprotocol() {
    let host = with_tokens().await;
    for (agent, how) in [
        ("1001", bearer("right-token")),
        ("1002", bearer("other-token")),
        ("1003", Connect { token: None, subprotocols: Some("jackfield.v1, bearer.right-token".into()) }),
    ] {
        let mut connected = Agent::connect_with(&host, "demo", how).await.unwrap();
        assert_eq!(connected.subprotocol.as_deref(), Some("jackfield.v1"), "never the token");
        connected.log_in(agent).await;
    }
}

#[tokio::test]
async fn what_a_proxy_writes_into_authorization_does_not_hide_the_token() {
    let host = with_tokens().await;
    let ask = async |authorization: &str, offered: &str| {
        let request = hyper::Request::get("/v1/tenants/demo/ws")
            .header("host", &host.address)
            .header("authorization", authorization)
            .header("sec-websocket-protocol", offered)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        jackfield_tests::http::status(&host.address, request.body(http_body_util::Full::default()).unwrap()).await
    };
    assert_eq!(ask("Basic dXNlcjpwYXNz", "jackfield.v1, bearer.right-token").await, 101);
    assert_eq!(ask("Basic dXNlcjpwYXNz", "jackfield.v1, bearer.wrong-token").await, 401);
    assert_eq!(ask("Basic right-token", "jackfield.v1").await, 401);
    assert_eq!(ask("Bearer wrong-token", "jackfield.v1, bearer.right-token").await, 401, "Bearer decides");
}

#[tokio::test]
async fn a_wrong_token_and_an_unknown_tenant_get_the_same_401() {
    let host = with_tokens().await;
    let mut answers = Vec::new();
    for (tenant, token) in [
        ("demo", Some("wrong-token")),
        ("demo", None),
        ("demo", Some("")),
        ("nobody", Some("right-token")),
        ("nobody", None),
        ("..", None),
        ("DEMO", Some("right-token")),
    ] {
        let how = Connect { token: token.map(Into::into), subprotocols: None };
        assert_eq!(Agent::connect_with(&host, tenant, how).await.err(), Some(401), "{tenant} {token:?}");
        let mut http = Http::new(&host, tenant);
        if let Some(token) = token {
            http = http.token(token);
        }
        let reply = http.prepare(json!({"agent": {"id": "1001", "password": "x"}})).await;
        assert_eq!(reply.status, 401, "{tenant} {token:?}");
        let mut headers: Vec<String> = reply.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.retain(|header| !header.starts_with("date"));
        headers.sort();
        answers.push((headers, reply.body));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "not to be told apart: {answers:?}");
    assert!(!host.log().contains("wrong-token"), "no token in the log");
}

#[tokio::test]
async fn without_auth_a_token_is_not_needed_and_does_no_harm() {
    let host = Host::simulator().await;
    let mut agent = Agent::connect_with(&host, "demo", bearer("anything")).await.unwrap();
    agent.log_in("1001").await;
    agent.finish().await;
}

#[tokio::test]
async fn sessions_over_http_belong_to_the_identity_too() {
    let host = with_tokens().await;
    let (one, two) = (Http::new(&host, "demo").token("right-token"), Http::new(&host, "demo").token("other-token"));
    let response = one.prepare(json!({"agent": {"id": "1001", "password": "x"}})).await.json();
    let session = response["data"]["session"]["id"].as_str().unwrap().to_owned();
    let start = json!({"command": "session.start", "target": session}).to_string();
    assert_eq!(two.post(&format!("/sessions/{session}/commands"), start.clone()).await.status, 404);
    assert_eq!(two.events(&session, None).await.err(), Some(404));
    assert_eq!(one.post(&format!("/sessions/{session}/commands"), start).await.status, 200);
}

#[tokio::test]
async fn token_new_prints_a_token_and_its_line_for_the_file() {
    let said = std::process::Command::new(jackfield_tests::artifacts::jackfield())
        .args(["token", "new", "--name", "desk"])
        .output()
        .unwrap();
    assert!(said.status.success());
    let text = String::from_utf8(said.stdout).unwrap();
    let hash = text.split("sha256:").nth(1).unwrap_or_else(|| panic!("no hash in {text}"))[..64].to_owned();
    let word = |word: &&str| {
        use sha2::Digest;
        let digest: String = sha2::Sha256::digest(word.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        digest == hash
    };
    let token = text.split_whitespace().map(|word| word.trim_matches('"')).find(word);
    let token = token.unwrap_or_else(|| panic!("no token with that hash in {text}"));
    assert!(token.len() >= 43, "256 random bits");
    let host = Setup::new().tenant(Tenant::simulator("demo").tokens(&[("desk", token)])).start().await;
    let mut agent = Agent::connect_with(&host, "demo", bearer(token)).await.unwrap();
    agent.log_in("1001").await;
}
