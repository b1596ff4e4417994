//! Signing in at CXone's own page, by authorization code with PKCE.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_plugin_api::{Code, Command, Outcome, StartOptions, report::Target};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn bench() -> Bench {
    Bench::with(|settings| settings["sign_in"] = json!({"redirect_uri": "https://desk.example/back"})).await
}

/// The browser: somebody signs in at the address, and is sent on to the desktop with this query.
async fn signs_in(address: &str, user: &str) -> String {
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path}&user={user} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    location.strip_prefix("https://desk.example/back?").unwrap().to_owned()
}

async fn address(bench: &Bench, agent: &str) -> String {
    let failure = bench.tenant.log_in(agent, "").await.err().unwrap();
    assert_eq!(failure.code, Code::Unauthorized);
    failure.context.unwrap()
}

#[tokio::test]
async fn an_agent_signs_in_at_cxone_and_works_until_after_his_token_has_ended() {
    let bench = bench().await;
    let address = address(&bench, "1001").await;
    assert!(address.contains("code_challenge_method=S256"), "{address}");
    let session = bench.tenant.log_in("1001", &signs_in(&address, "anna").await).await.unwrap();
    session.start_with(StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    let anna = Desk { session };
    anna.activate("telephony").await;
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    bench.emulator.control("expire-tokens", json!({}));
    let key = anna.talking(&bench, ANNA).await;
    // The refresh token was kept.
    let again = bench.after_a_crash("1001", anna).await;
    again.done(Command::Hold { conversation: call(&key) }).await;
    let there = bench.emulator.control("log", json!({}))["toldWhere"].as_u64();
    assert!(there > Some(0), "the API is where whoami says");
    bench.no_complaints();
}

#[tokio::test]
async fn a_code_of_somebody_else_or_one_that_was_used_is_refused() {
    let bench = bench().await;
    let query = signs_in(&address(&bench, "1001").await, "ben").await;
    let failure = bench.tenant.log_in("1001", &query).await.err().unwrap();
    assert_eq!(failure.code, Code::Unauthorized);
    assert!(failure.message.contains("another user"), "{failure}");
    let query = signs_in(&address(&bench, "1001").await, "anna").await;
    bench.tenant.log_in("1001", &query).await.unwrap();
    assert_eq!(bench.tenant.log_in("1001", &query).await.err().unwrap().code, Code::Unauthorized);
    let forged = signs_in(&address(&bench, "1001").await, "anna").await.replace("state=", "state=0");
    assert_eq!(bench.tenant.log_in("1001", &forged).await.err().unwrap().code, Code::Unauthorized);
}

#[tokio::test]
async fn an_agent_whose_sign_in_has_ended_signs_in_again_without_losing_his_session() {
    let bench = bench().await;
    let query = signs_in(&address(&bench, "1001").await, "anna").await;
    let session = bench.tenant.log_in("1001", &query).await.unwrap();
    session.start_with(StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    let anna = Desk { session };
    anna.activate("telephony").await;
    bench.emulator.control("expire-tokens", json!({"refresh": true}));
    let failure = anna.fails(Command::Ready { channel: "telephony".to_owned() }).await;
    assert_eq!(failure.code, Code::Unauthorized, "{failure}");
    let sign_in = |data: Value| extension("session.request.incontact.signin", Target::Session, data);
    let Outcome::NeedInfo(question) = anna.session.command(sign_in(json!({}))).await else { panic!("it asks") };
    let question: Value = question.parse().unwrap();
    assert_eq!(question["id"], "inContact.signin");
    let query = signs_in(question["url"].as_str().unwrap(), "anna").await;
    let code = query.split(['=', '&']).nth(1).unwrap();
    let answer = json!({"extensions": {"code": code, "state": question["state"]}});
    assert_eq!(anna.data(sign_in(answer)).await, json!({}));
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    assert_eq!(bench.emulator.count("agent-sessions"), 1);
    bench.no_complaints();
}
