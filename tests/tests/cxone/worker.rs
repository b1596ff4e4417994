//! The adapter's worker process is killed in the middle of a call: CXone keeps the call, and so does the desktop.

use jackfield_tests::{until, words::*};
use serde_json::{Value, json};

use crate::*;

/// Kills the tenant's worker, with nothing told but the link's change: what it was in the middle of is as it was.
async fn killed_and_back(host: &Host, agent: &mut Agent) {
    kill_worker(host).await;
    let heard = agent.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "down");
    let heard = agent.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged"), &json!({"link": "up"}));
    agent.hears_no_more().await;
}

async fn kill_worker(host: &Host) {
    let pid = host.worker("blue").await;
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

async fn in_a_call() -> (Emulator, Host, Agent, Value) {
    let (emulator, host) = bench_in("tenant").await;
    let mut anna = ready(&host, "anna", "7001").await;
    let contact = arrive(&emulator, ANNA, "call");
    anna.hears(CALL_COMES).await;
    let primary = anna.the("primary");
    anna.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    (emulator, host, anna, contact)
}

#[tokio::test]
async fn a_call_outlives_the_worker_and_the_agent_is_ready_again_after_it() {
    let (emulator, host, mut anna, _) = in_a_call().await;
    let (primary, interaction) = (anna.the("primary"), anna.the("interaction"));
    anna.does("conversation.request.hold", &primary, json!({}), "state.updated(primary)").await;
    let data = json!({"key": "case", "value": "42"});
    anna.does("interaction.request.setinteractiondata", &interaction, data, "interaction.datachanged").await;
    killed_and_back(&host, &mut anna).await;
    let heard = anna.does("conversation.request.retrieve", &primary, json!({}), "state.updated(primary)").await;
    assert_eq!(heard.data("state.updated(primary)")["state"], "TALKING");
    assert_eq!(emulator.count("agent-sessions"), 1, "CXone's session was joined, not started again");
    let heard = anna.does("conversation.request.release", &primary, json!({}), CALL_ENDS).await;
    assert_eq!(heard.data("state.updated(channel)")["availability"], "ACW");
    killed_and_back(&host, &mut anna).await;
    let completed = list(&[PAIR, COMPLETED]);
    let heard = anna.does("interaction.request.complete", &interaction, json!({}), &completed).await;
    assert_eq!(heard.data("state.updated(channel)")["availability"], "READY");
    anna.finish().await;
}

#[tokio::test]
async fn a_consult_outlives_the_worker_and_is_transferred() {
    let (_emulator, host, mut anna, _) = in_a_call().await;
    let interaction = anna.the("interaction");
    let to = json!({"destination": "5550001"});
    let consulted = anna.command("interaction.request.consult", &interaction, to).await;
    assert_eq!(consulted["result"], "success", "{consulted}");
    anna.hears_until("interaction.focuschanged").await;
    anna.hears("state.updated(consult)").await;
    killed_and_back(&host, &mut anna).await;
    let transferred = anna.command("interaction.request.consulttransfer", &interaction, json!({})).await;
    assert_eq!(transferred["result"], "success", "{transferred}");
    let heard = anna.hears_until("interaction.ended").await;
    assert_eq!(heard.data("interaction.ended")["reason"], "transferred");
    anna.hears(&list(&["state.updated(interaction)", PAIR])).await;
    anna.finish().await;
}

#[tokio::test]
async fn a_chat_outlives_the_worker() {
    let (emulator, host) = bench_in("tenant").await;
    let mut anna = ready(&host, "anna", "7001").await;
    let session = anna.the("session");
    let channel = json!({"channel": {"endpoint": "chat", "type": "Chat"}});
    anna.does("session.request.addchannel", &session, channel, NEW_CHANNEL).await;
    let channel = anna.the("channel");
    anna.does("channel.request.activate", &channel, json!({}), PAIR).await;
    killed_and_back(&host, &mut anna).await;
    arrive(&emulator, ANNA, "chat");
    anna.hears(CHAT_COMES).await;
    let interaction = anna.the("interaction");
    killed_and_back(&host, &mut anna).await;
    let accepted = "interaction.screenpop state.updated(interaction)";
    anna.does("interaction.request.accept", &interaction, json!({}), accepted).await;
    anna.finish().await;
}

#[tokio::test]
async fn what_ended_while_the_worker_was_dead_ends_on_the_desktop() {
    let (emulator, host, mut anna, contact) = in_a_call().await;
    kill_worker(&host).await;
    remote(&emulator, ANNA, &contact, "hangup");
    let heard = anna.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "down");
    let heard = anna.hears(&list(&[CALL_ENDS, "session.linkchanged"])).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "released");
    assert_eq!(heard.data("state.updated(channel)")["availability"], "ACW");
    let interaction = anna.the("interaction");
    anna.does("interaction.request.complete", &interaction, json!({}), &list(&[PAIR, COMPLETED])).await;
    anna.finish().await;
}

#[tokio::test]
async fn a_command_that_was_under_way_fails_once_and_its_effect_is_shown() {
    let (emulator, host, mut anna, _) = in_a_call().await;
    let primary = anna.the("primary");
    emulator.control("fault", json!({"call": "interactions/hold", "what": {"slow": {"millis": 600_000}}}));
    let hold = anna.send("conversation.request.hold", &primary, json!({})).await;
    until("CXone has the request", || async { (emulator.count("interactions/hold") == 1).then_some(()) }).await;
    kill_worker(&host).await;
    let response = anna.response(hold).await;
    let code = response["failure"]["code"].as_str().unwrap();
    assert!(["timeout", "adapter_failed"].contains(&code), "{response}");
    anna.hears("session.linkchanged").await;
    anna.hears("session.linkchanged").await;
    assert_eq!(emulator.count("interactions/hold"), 1, "it is not sent again");
    anna.does("conversation.request.hold", &primary, json!({}), "state.updated(primary)").await;
    anna.finish().await;
}

#[tokio::test]
async fn who_listens_to_the_address_book_misses_nothing() {
    let (emulator, host) = bench_in("tenant").await;
    let mut anna = ready(&host, "anna", "7001").await;
    let session = anna.the("session");
    let books = anna.command("session.request.incontact.addressbook", &session, json!({"realtime": true})).await;
    assert_eq!(books["result"], "success", "{books}");
    kill_worker(&host).await;
    let entry = json!({"id": "ext-9", "firstName": "Cy", "lastName": "Example", "phone": "5550300"});
    emulator.control("entry", json!({"book": 701, "entry": entry}));
    loop {
        let update = anna.hears_until("session.incontact.addressbook.updated").await;
        if update.data("session.incontact.addressbook.updated").to_string().contains("Cy Example") {
            break;
        }
    }
}
