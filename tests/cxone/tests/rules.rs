//! The emulator's own rules, by plain requests: they are what the adapter is judged by.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use jackfield_cxone_emulator::{Emulator, data::Data};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const API: &str = "/inContactAPI/services/v23.0";

async fn emulator() -> Emulator {
    Emulator::start("127.0.0.1:0".parse().unwrap(), Data::demo()).await.unwrap()
}

/// One request on a connection of its own: status and body.
async fn send(to: SocketAddr, head: &str, token: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    let text = format!(
        "{head} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\nauthorization: {token}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Somebody with a token.
struct User {
    to: SocketAddr,
    token: String,
}

impl User {
    async fn new(emulator: &Emulator, key: &str) -> Self {
        let form = format!("grant_type=password&username={key}&password={key}-secret");
        // jackfield:jackfield-client-secret
        let basic = "Basic amFja2ZpZWxkOmphY2tmaWVsZC1jbGllbnQtc2VjcmV0";
        let (status, answer) = send(emulator.address(), "POST /auth/token", basic, &form).await;
        assert_eq!(status, 200, "{answer}");
        Self { to: emulator.address(), token: format!("Bearer {}", answer["access_token"].as_str().unwrap()) }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        send(self.to, &format!("{method} {API}{path}"), &self.token, &body.to_string()).await
    }

    async fn poll(&self, session: &str) -> (u16, Value) {
        self.call("GET", &format!("/agent-sessions/{session}/get-next-event?timeout=0"), json!({})).await
    }

    async fn start(&self) -> String {
        let (status, answer) = self.call("POST", "/agent-sessions", json!({"stationPhoneNumber": "7001"})).await;
        assert_eq!(status, 200, "{answer}");
        answer["sessionId"].as_str().unwrap().to_owned()
    }
}

fn types(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["Type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_poll_hands_out_a_new_session_id_and_the_older_one_replays_the_state() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let first = anna.start().await;
    let (status, answer) = anna.poll(&first).await;
    assert_eq!(status, 200);
    assert_eq!(types(&answer)[..3], ["AgentSessionStart", "AgentLeg", "AgentState"]);
    let second = answer["sessionId"].as_str().unwrap();
    assert_ne!(first, second);
    assert_eq!(anna.poll(second).await.0, 304);
    let (_, again) = anna.poll(&first).await;
    assert_eq!(types(&again)[0], "AgentSessionStart");
}

#[tokio::test]
async fn a_command_is_accepted_with_nothing_and_what_it_causes_comes_as_an_event() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let first = anna.start().await;
    let (_, answer) = anna.poll(&first).await;
    let session = answer["sessionId"].as_str().unwrap();
    let wish = json!({"state": "Available"});
    let (status, body) = anna.call("POST", &format!("/agent-sessions/{session}/state"), wish).await;
    assert_eq!((status, body), (202, Value::Null));
    let path = format!("/agent-sessions/{session}/get-next-event?timeout=5");
    let (_, answer) = anna.call("GET", &path, json!({})).await;
    assert_eq!(answer["events"][0]["CurrentState"], "Available");
    assert_eq!(answer["events"][0]["IsAcw"], "False");
}

#[tokio::test]
async fn an_ended_session_answers_409_once_its_end_was_told_and_a_lost_one_404() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let first = anna.start().await;
    emulator.control("log-off", json!({"agent": 1001}));
    let (_, answer) = anna.poll(&first).await;
    assert_eq!(types(&answer).last(), Some(&"AgentSessionEnd"));
    assert_eq!(anna.poll(answer["sessionId"].as_str().unwrap()).await.0, 409);

    let again = anna.start().await;
    emulator.control("lose-session", json!({"agent": 1001}));
    assert_eq!(anna.poll(&again).await.0, 404);
    assert_eq!(anna.call("POST", "/agent-sessions/join", json!({})).await.0, 404);
}

#[tokio::test]
async fn hold_is_refused_with_409_while_a_call_is_joined() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let session = anna.start().await;
    let contact = emulator.control("arrive", json!({"agent": 1001}))["contact"].clone();
    let calls = format!("/agent-sessions/{session}/interactions");
    assert_eq!(anna.call("POST", &format!("{calls}/{contact}/accept"), json!({})).await.0, 202);
    until_status(&emulator, 0, "Active").await;
    let dial = json!({"phoneNumber": "5550001", "skillId": 200, "parentContactId": contact});
    assert_eq!(anna.call("POST", &format!("/agent-sessions/{session}/dial-phone"), dial).await.0, 202);
    until_status(&emulator, 1, "Active").await;
    assert_eq!(anna.call("POST", &format!("{calls}/conference-calls"), json!({})).await.0, 202);
    until_status(&emulator, 1, "Joined").await;
    let (status, answer) = anna.call("POST", &format!("{calls}/{contact}/hold"), json!({})).await;
    assert_eq!((status, &answer["error"]), (409, &json!("InvalidState")));
}

async fn until_status(emulator: &Emulator, index: usize, status: &str) {
    let reached = async {
        while emulator.control("agent", json!({"agent": 1001}))["contacts"][index]["Status"] != status {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), reached).await.expect("the status is reached");
}

#[tokio::test]
async fn faults_are_used_up_one_by_one() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let limit = json!({"call": "scripts", "what": {"status": {"status": 429, "retry_after": 3}}});
    emulator.control("fault", limit);
    assert_eq!(anna.call("GET", "/scripts", json!({})).await.0, 429);
    assert_eq!(anna.call("GET", "/scripts", json!({})).await.0, 200);
    assert_eq!(emulator.count("scripts"), 2);
}
