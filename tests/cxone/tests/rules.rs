//! The emulator's own rules, by plain requests: they are what the adapter is judged by.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use jackfield_cxone_emulator::{
    Emulator,
    behaviour::{Behaviour, Parent, Place},
    data::Data,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const API: &str = "/inContactAPI/services/v23.0";

async fn emulator() -> Emulator {
    emulator_that(|_| ()).await
}

/// An emulator under other assumptions.
async fn emulator_that(behaves: impl FnOnce(&mut Behaviour)) -> Emulator {
    let mut data = Data::demo();
    (data.timing.event_delay, data.timing.ring, data.timing.agent_phone_ring) = (1, 30, 20);
    behaves(&mut data.behaviour);
    Emulator::start("127.0.0.1:0".parse().unwrap(), data).await.unwrap()
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

    /// A call under another version of the API.
    async fn call_of(&self, version: u64, method: &str, path: &str, body: Value) -> (u16, Value) {
        let head = format!("{method} /inContactAPI/services/v{version}.0{path}");
        send(self.to, &head, &self.token, &body.to_string()).await
    }

    /// Calls the agent's phone, and waits until it is answered.
    async fn phone_up(&self, emulator: &Emulator, session: &str) {
        let (status, _) = self.call("POST", &format!("/agent-sessions/{session}/agent-phone/dial"), json!({})).await;
        assert_eq!(status, 202);
        until(|| emulator.control("agent", json!({"agent": 1001}))["leg"] == "Active").await;
    }

    async fn poll(&self, session: &str) -> (u16, Value) {
        self.call("GET", &format!("/agent-sessions/{session}/get-next-event?timeout=0"), json!({})).await
    }

    async fn start(&self) -> String {
        let (status, answer) = self.call("POST", "/agent-sessions", json!({"stationPhoneNumber": "7001"})).await;
        assert_eq!(status, 202, "{answer}");
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
async fn an_ended_session_answers_409_once_its_end_was_told_and_there_is_none_to_join() {
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
    assert_eq!(anna.call("POST", "/agent-sessions/join", json!({})).await.0, 409);
}

#[tokio::test]
async fn hold_is_refused_with_409_while_a_call_is_joined() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let session = anna.start().await;
    anna.phone_up(&emulator, &session).await;
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

async fn until(holds: impl Fn() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), reached).await.expect("it comes");
}

async fn until_status(emulator: &Emulator, index: usize, status: &str) {
    until(|| emulator.control("agent", json!({"agent": 1001}))["contacts"][index]["Status"] == status).await;
}

#[tokio::test]
async fn a_call_made_beside_another_has_its_master_and_says_its_parent_as_the_switch_has_it() {
    for (parent, says) in [(Parent::Own, 1), (Parent::Original, 0), (Parent::Empty, 2)] {
        let emulator = emulator_that(|it| it.parent = parent).await;
        let anna = User::new(&emulator, "anna").await;
        let session = anna.start().await;
        anna.phone_up(&emulator, &session).await;
        let contact = emulator.control("arrive", json!({"agent": 1001}))["contact"].clone();
        let accept = format!("/agent-sessions/{session}/interactions/{contact}/accept");
        assert_eq!(anna.call("POST", &accept, json!({})).await.0, 202);
        until_status(&emulator, 0, "Active").await;
        let dial = json!({"phoneNumber": "480", "skillId": 200, "parentContactId": contact});
        assert_eq!(anna.call("POST", &format!("/agent-sessions/{session}/dial-phone"), dial).await.0, 202);
        until_status(&emulator, 1, "Dialing").await;
        let contacts = emulator.control("agent", json!({"agent": 1001}))["contacts"].clone();
        let ids = [&contacts[0]["ContactID"], &contacts[1]["ContactID"], &json!("")];
        assert_eq!(&contacts[1]["ParentContactId"], ids[says], "{parent:?}");
        assert_eq!(contacts[1]["MasterID"], contacts[0]["MasterID"], "{parent:?}");
        let own = if parent == Parent::Empty { &json!("") } else { ids[0] };
        assert_eq!(&contacts[0]["ParentContactId"], own, "{parent:?}: a call that was never transferred");
    }
}

#[tokio::test]
async fn a_transfer_while_the_second_call_dials_is_refused_or_not_as_the_switch_has_it() {
    for (connects, expected) in [(false, 409), (true, 202)] {
        let emulator = emulator_that(|it| it.connects_dialing = connects).await;
        let anna = User::new(&emulator, "anna").await;
        let session = anna.start().await;
        anna.phone_up(&emulator, &session).await;
        let contact = emulator.control("arrive", json!({"agent": 1001}))["contact"].clone();
        emulator.control("remote", json!({"agent": 1001, "contact": contact, "does": "take"}));
        let dial = json!({"phoneNumber": "480", "skillId": 200, "parentContactId": contact});
        assert_eq!(anna.call("POST", &format!("/agent-sessions/{session}/dial-phone"), dial).await.0, 202);
        until_status(&emulator, 1, "Dialing").await;
        let path = format!("/agent-sessions/{session}/interactions/transfer-calls");
        assert_eq!(anna.call("POST", &path, json!({})).await.0, expected);
    }
}

#[tokio::test]
async fn an_offered_call_rings_the_agent_and_is_his_once_he_has_answered_the_phone() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let session = anna.start().await;
    let contact = emulator.control("arrive", json!({"agent": 1001}))["contact"].clone();
    let dial = anna.call("POST", &format!("/agent-sessions/{session}/agent-phone/dial"), json!({})).await;
    assert_eq!(dial.0, 409, "it rings already");
    let accept = format!("/agent-sessions/{session}/interactions/{contact}/accept");
    assert_eq!(anna.call("POST", &accept, json!({})).await.0, 409, "not before it is answered");
    until_status(&emulator, 0, "Active").await;
}

#[tokio::test]
async fn the_first_batch_has_the_start_of_the_session_where_the_switch_has_it() {
    for (place, first) in [(Place::First, true), (Place::Last, false)] {
        let emulator = emulator_that(|it| it.session_start = place).await;
        let anna = User::new(&emulator, "anna").await;
        let (_, answer) = anna.poll(&anna.start().await).await;
        assert_eq!(types(&answer)[0] == "AgentSessionStart", first);
        assert!(types(&answer).contains(&"AgentSessionStart"));
    }
}

#[tokio::test]
async fn calls_are_there_under_their_versions_and_for_those_who_may_make_them() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    assert_eq!(anna.call_of(12, "GET", "/scripts", json!({})).await.1["resultSet"]["scripts"][0]["scriptId"], 900);
    assert_eq!(anna.call("GET", "/scripts", json!({})).await.0, 404);
    assert_eq!(anna.call("GET", "/scripts/search", json!({})).await.0, 200);
    assert_eq!(anna.call("GET", "/skills/100/dispositions", json!({})).await.0, 403);
    assert_eq!(anna.call_of(12, "GET", "/skills/100/dispositions", json!({})).await.0, 200);
    assert_eq!(anna.call_of(12, "GET", "/skills/101/dispositions", json!({})).await.0, 204);
    let session = anna.start().await;
    let contact = emulator.control("arrive", json!({"agent": 1001}))["contact"].clone();
    let stop = format!("/agent-sessions/{session}/interactions/{contact}/stop-record");
    assert_eq!(anna.call("POST", &stop, json!({})).await.0, 404);
    assert_eq!(anna.call_of(2, "POST", &stop, json!({})).await.0, 409, "known, but the call is not active");
    let dispose = format!("/agent-sessions/{session}/interactions/{contact}/disposition");
    assert_eq!(anna.call("POST", &dispose, json!({"primaryDispositionId": 1})).await.0, 404);
    assert_eq!(anna.call_of(27, "POST", &dispose, json!({"primaryDispositionId": 1})).await.0, 202);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let emulator = emulator_that(|it| it.page = 2).await;
    let anna = User::new(&emulator, "anna").await;
    let (_, answer) = anna.call("GET", "/agents?top=100", json!({})).await;
    assert_eq!((answer["agents"].as_array().unwrap().len(), &answer["totalRecords"]), (2, &json!(5)));
    assert!(answer["_links"]["next"].is_string());
    let (_, answer) = anna.call("GET", "/agents?skip=4", json!({})).await;
    assert_eq!((answer["agents"].as_array().unwrap().len(), &answer["_links"]["next"]), (1, &Value::Null));
    let (_, answer) = anna.call("GET", "/agents/1001/skills?skip=8", json!({})).await;
    assert_eq!((answer["agentSkillAssignments"].as_array().unwrap().len(), &answer["totalRecords"]), (2, &json!(10)));
    let (_, answer) = anna.call_of(12, "GET", "/skills/100/dispositions", json!({})).await;
    assert_eq!((answer["dispositions"].as_array().unwrap().len(), &answer["totalRecords"]), (2, &json!(3)));
    assert_eq!(anna.call("GET", "/agents/1001/address-books", json!({})).await.0, 400, "includeEntries is required");
    let (_, answer) = anna.call("GET", "/address-books/701/dynamic-entries?fullLoad=true", json!({})).await;
    assert!(answer["addressBook"]["serverTime"].is_string() && answer["serverTime"].is_null());
}

#[tokio::test]
async fn a_session_that_cannot_start_is_refused_or_told_by_an_event() {
    for by_event in [false, true] {
        let emulator = emulator_that(|it| it.start_fails_by_event = by_event).await;
        let (anna, ben) = (User::new(&emulator, "anna").await, User::new(&emulator, "ben").await);
        anna.start().await;
        let station = json!({"stationPhoneNumber": "7001"});
        let (status, answer) = ben.call("POST", "/agent-sessions", station).await;
        if !by_event {
            assert_eq!(status, 409);
            assert!(answer["error_description"].as_str().unwrap().contains("in use"));
            continue;
        }
        let id = answer["sessionId"].as_str().unwrap();
        let (_, answer) = ben.poll(id).await;
        assert_eq!(types(&answer), ["SessionStartFailed"]);
        assert_eq!(ben.poll(answer["sessionId"].as_str().unwrap()).await.0, 409);
    }
}

#[tokio::test]
async fn an_agents_own_queue_waits_for_him_and_a_consult_does_not() {
    let emulator = emulator().await;
    let (anna, ben) = (User::new(&emulator, "anna").await, User::new(&emulator, "ben").await);
    let session = anna.start().await;
    anna.phone_up(&emulator, &session).await;
    let start = ben.call("POST", "/agent-sessions", json!({"stationPhoneNumber": "7002"})).await;
    assert_eq!(start.0, 202);
    let offered = || emulator.control("agent", json!({"agent": 1002}))["contacts"].as_array().unwrap().len();
    let call = |verb: &str| format!("/agent-sessions/{session}/{verb}");
    let target = json!({"targetAgentId": 1002});
    assert_eq!(anna.call("POST", &call("dial-agent"), target.clone()).await.0, 202);
    until_status(&emulator, 0, "Dialing").await;
    assert_eq!(offered(), 0, "he is unavailable");
    assert_eq!(anna.call("POST", &call("consult-agent"), target).await.0, 202);
    until(|| offered() == 1).await;
}

#[tokio::test]
async fn a_user_signs_in_by_a_code_and_its_proof_and_is_told_where_the_api_is() {
    let emulator = emulator().await;
    // The proof of RFC 7636, appendix B.
    let (verifier, challenge) =
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let code = || async {
        let path = format!(
            "GET /auth/authorize?client_id=jackfield&redirect_uri=https%3A%2F%2Fdesk.example%2Fback&response_type=code\
             &scope=openid&state=s1&code_challenge={challenge}&code_challenge_method=S256&user=anna"
        );
        let (status, answer) = send(emulator.address(), &path, "", "").await;
        assert_eq!(status, 302, "{answer}");
        let location = answer["location"].as_str().unwrap().to_owned();
        assert!(location.starts_with("https://desk.example/back?code=") && location.ends_with("&state=s1"));
        location.split(['=', '&']).nth(1).unwrap().to_owned()
    };
    for (proof, expected) in [("wrong", 400), (verifier, 200)] {
        let form = format!(
            "grant_type=authorization_code&client_id=jackfield&code={}&code_verifier={proof}\
             &redirect_uri=https%3A%2F%2Fdesk.example%2Fback",
            code().await
        );
        let (status, answer) = send(emulator.address(), "POST /auth/token", "", &form).await;
        assert_eq!(status, expected, "{answer}");
        if status == 200 {
            let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
            let (_, who) = send(emulator.address(), "GET /auth/token/whoami", &bearer, "").await;
            assert_eq!(who["agent_id"], "1001");
            let base = who["resource_server_base_uri"].as_str().unwrap();
            let path = base.split_once(&emulator.address().to_string()).unwrap().1;
            let (status, _) = send(emulator.address(), &format!("GET {path}services/v23.0/agents"), &bearer, "").await;
            assert_eq!(status, 200);
        }
    }
}

#[tokio::test]
async fn faults_are_used_up_one_by_one() {
    let emulator = emulator().await;
    let anna = User::new(&emulator, "anna").await;
    let limit = json!({"call": "agents", "what": {"status": {"status": 429, "retry_after": 3}}});
    emulator.control("fault", limit);
    assert_eq!(anna.call("GET", "/agents", json!({})).await.0, 429);
    assert_eq!(anna.call("GET", "/agents", json!({})).await.0, 200);
    assert_eq!(emulator.count("agents"), 2);
}
