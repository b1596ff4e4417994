//! CXone goes away: its program is killed in the middle of a call, and comes back.

use std::process::{Child, Command, Stdio};

use jackfield_tests::{artifacts, words::*};
use serde_json::json;

use crate::*;

/// The emulator as a program of its own.
struct Program {
    process: Child,
    port: u16,
}

impl Program {
    fn start(port: u16) -> Self {
        let process = Command::new(artifacts::folder().join("cxone-emulator"))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .spawn()
            .expect("the emulator starts");
        Self { process, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn cxone_is_killed_and_comes_back_without_the_session() {
    let port = free_port();
    let program = Program::start(port);
    let host = host(&program.url()).await;
    let mut anna = Agent::connect(&host, "blue").await;
    let login = json!({"override": false, "agent": {"id": "anna", "password": "wrong"}});
    let refused = anna.command("prepareSession", "", login).await;
    assert_eq!(refused["failure"]["code"], "unauthorized", "{refused}");
    drop(program);
    // Nobody is logged in, so nobody is told; the next one who tries is.
    let down = jackfield_tests::until("the link is down", || async {
        let mut other = Agent::connect(&host, "blue").await;
        let login = json!({"override": false, "agent": {"id": "anna", "password": "anna-secret"}});
        let refused = other.command("prepareSession", "", login).await;
        (refused["failure"]["code"] == "link_down").then_some(refused)
    })
    .await;
    assert_eq!(down["result"], "failure");
}

#[tokio::test]
async fn a_call_outlives_a_cut_of_all_connections() {
    let (emulator, host) = bench().await;
    let mut anna = ready(&host, "anna", "7001").await;
    let contact = arrive(&emulator, ANNA, "call");
    anna.hears(CALL_COMES).await;
    let primary = anna.the("primary");
    anna.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    for _ in 0..3 {
        emulator.cut_connections();
    }
    remote(&emulator, ANNA, &contact, "hangup");
    // Nothing is told twice, nothing wrongly.
    anna.hears(CALL_ENDS).await;
    anna.hears_no_more().await;
}

#[tokio::test]
async fn cxone_is_away_during_a_call_and_the_difference_is_told_when_it_is_back() {
    let (emulator, host) = bench().await;
    let address = emulator.address();
    let mut anna = ready(&host, "anna", "7001").await;
    arrive(&emulator, ANNA, "call");
    anna.hears(CALL_COMES).await;
    let primary = anna.the("primary");
    anna.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    drop(emulator);
    let heard = anna.hears_until("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "down");
    anna.fails_quickly("conversation.request.hold", &primary, json!({}), "link_down").await;
    // Another CXone at the same place: it knows neither the session nor the call.
    let emulator = Emulator::start(address, data()).await.unwrap();
    let heard = anna.hears_until("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "up");
    assert!(heard.words().contains(&"interaction.ended"), "{:?}", heard.words());
    assert_eq!(heard.data("state.updated(channel)")["state"], "INACTIVE");
    let channel = anna.the("channel");
    anna.does("channel.request.activate", &channel, json!({}), &list(&[PAIR, "session.agentleg.connected"])).await;
    assert_eq!(emulator.count("agent-sessions"), 1);
    anna.finish().await;
}
