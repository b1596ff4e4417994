//! The same through the host: the real binary, the plugin loaded from its file, a desktop's WebSocket. What a desktop
//! hears is the protocol's list for each command (section 4), whatever Asterisk's order was.

use jackfield_tests::{
    agent::Agent,
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    host::{Host, Setup, Tenant},
    until,
    words::{
        ANSWERED, CALL_COMES, CALL_ENDS, COMPLETED, CONSULT_ENDS, NEW_CHANNEL, NEW_CONSULT, OFFER_ENDS, PAIR,
        PRIMARY_ENDS, list,
    },
};
use serde_json::{Value, json};

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, OUTSIDE};

const FOCUS: &str = "interaction.focuschanged";
const PRIMARY: &str = "state.updated(primary)";
const CONSULT: &str = "state.updated(consult)";
const INTERACTION: &str = "state.updated(interaction)";

/// A host whose tenant `acme` is on an Asterisk. The application is the one that the README names for it.
async fn open(extensions: &[&str]) -> Option<(Asterisk, Host)> {
    let asterisk = Asterisk::start(extensions).await?;
    let settings = format!(
        "url = \"http://127.0.0.1:{}\"\nuser = \"jackfield\"\npassword = \"change-me\"\n\
         dial = \"PJSIP/{{number}}@trunk\"\nvariables = [\"CUSTOMER_ID\"]\ndial_timeout_seconds = 2\n\
         [settings.queues.sales]\ncaller_id = \"Sales <5550100>\"",
        asterisk.http
    );
    let host = Setup::new().tenant(Tenant::new("acme", "asterisk").settings(&settings)).start().await;
    // A tenant connects while the host is ready already.
    until("the tenant is connected", || async {
        let mut agent = Agent::connect(&host, "acme").await;
        let response = agent.prepare("nobody", false).await;
        if response["result"] != "success" {
            return None;
        }
        let session = agent.session.clone();
        agent.command("session.request.logout", &session, json!({})).await;
        Some(())
    })
    .await;
    Some((asterisk, host))
}

/// An agent at work with a phone.
async fn at_work(asterisk: &Asterisk, host: &Host, name: &str, extension: &str, tone: u32) -> (Agent, Sipp) {
    let phone = Sipp::phone(asterisk, extension, tone).await;
    let mut agent = Agent::connect(host, "acme").await;
    agent.log_in(name).await;
    let session = agent.session.clone();
    let add = json!({"channel": {"endpoint": extension, "type": "Telephony"}});
    agent.does("session.request.addchannel", &session, add, NEW_CHANNEL).await;
    let channel = agent.the("channel");
    agent.does("channel.request.activate", &channel, json!({"channeloptions": {"queue": "sales"}}), PAIR).await;
    agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    (agent, phone)
}

/// A customer is answered.
async fn in_call(asterisk: &Asterisk, agent: &mut Agent) -> Sipp {
    let customer = Sipp::customer(asterisk, "555", "702", CUSTOMER).await;
    agent.hears(CALL_COMES).await;
    let primary = agent.the("primary");
    agent.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    customer
}

async fn act(agent: &mut Agent, command: &str, on: &str, data: Value, words: &[&str]) {
    let target = agent.the(on);
    agent.does(command, &target, data, &list(words)).await;
}

#[tokio::test]
async fn a_call_from_the_queue_with_all_that_can_be_done_in_it() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut agent, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut agent).await;
    let none = || json!({});
    act(&mut agent, "conversation.request.hold", "primary", none(), &[PRIMARY]).await;
    act(&mut agent, "conversation.request.retrieve", "primary", none(), &[PRIMARY]).await;
    act(&mut agent, "conversation.request.mute", "primary", none(), &[PRIMARY]).await;
    act(&mut agent, "conversation.request.unmute", "primary", none(), &[PRIMARY]).await;
    act(&mut agent, "conversation.request.senddtmf", "primary", json!({"digits": "42"}), &[]).await;
    until("the digits arrive", || async { (customer.digits() == "42").then_some(()) }).await;
    for verb in ["start", "pause", "resume", "stop"] {
        let command = format!("interaction.request.recording.{verb}");
        act(&mut agent, &command, "interaction", none(), &[INTERACTION]).await;
    }
    let data = json!({"key": "ORDER", "value": "77"});
    act(&mut agent, "interaction.request.setinteractiondata", "interaction", data, &["interaction.datachanged"]).await;
    assert_eq!(asterisk.variable("555", "ORDER").await.as_deref(), Some("77"));
    act(&mut agent, "conversation.request.release", "primary", none(), &[CALL_ENDS]).await;
    assert!(customer.succeeds().await);
    act(&mut agent, "interaction.request.complete", "interaction", none(), &[COMPLETED]).await;

    // The other side hangs up; and one gives up before.
    let mut customer = in_call(&asterisk, &mut agent).await;
    customer.ask(&asterisk.has_channel("555").await, Ask::HangUp);
    agent.hears(CALL_ENDS).await;
    assert!(customer.succeeds().await);
    act(&mut agent, "interaction.request.complete", "interaction", none(), &[COMPLETED]).await;
    let mut customer = Sipp::customer(&asterisk, "555", "700", CUSTOMER).await;
    agent.hears(CALL_COMES).await;
    customer.ask(&asterisk.has_channel("555").await, Ask::HangUp);
    agent.hears(OFFER_ENDS).await;
    assert!(customer.succeeds().await);
    let session = agent.session.clone();
    for kind in ["Chat", "Email"] {
        let add = json!({"channel": {"endpoint": "x", "type": kind}});
        agent.fails("session.request.addchannel", &session, add, "unsupported").await;
    }
    let channel = agent.the("channel");
    agent.does("channel.request.deactivate", &channel, none(), PAIR).await;
    asterisk.is_empty().await;
    agent.finish().await;
}

#[tokio::test]
async fn outbound_calls_and_why_they_fail() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut agent, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let channel = agent.the("channel");
    for (number, cause) in [("486", "busy"), ("404", "unreachable"), ("480", "noanswer"), ("480", "cancelled")] {
        let response = agent.command("channel.request.dial", &channel, json!({"destination": number})).await;
        assert_eq!(response["result"], "success", "{response}");
        agent.hears(CALL_COMES).await;
        if cause == "cancelled" {
            let primary = agent.the("primary");
            agent.command("conversation.request.release", &primary, json!({})).await;
        }
        let heard = agent.hears(CALL_ENDS).await;
        assert_eq!(heard.data("interaction.ended"), &json!({"reason": "failed", "cause": cause}), "{number}");
        act(&mut agent, "interaction.request.complete", "interaction", json!({}), &[COMPLETED]).await;
    }
    agent.command("channel.request.dial", &channel, json!({"destination": "800"})).await;
    agent.hears(&list(&[CALL_COMES, ANSWERED])).await;
    asterisk.has_bridged(&["1001", "trunk"]).await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
    agent.hears(CALL_ENDS).await;
    let session = agent.session.clone();
    assert_eq!(agent.command("session.request.logout", &session, json!({})).await["result"], "success");
    asterisk.is_empty().await;
}

#[tokio::test]
async fn consult_alternate_and_transfer_to_a_second_agent() {
    let Some((asterisk, host)) = open(&["1001", "1002"]).await else { return };
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut anna).await;
    let (mut bert, _bert_phone) = at_work(&asterisk, &host, "bert", "1002", COLLEAGUE).await;
    let consult = json!({"destination": "1002"});
    act(&mut anna, "interaction.request.consult", "interaction", consult, &[INTERACTION, PRIMARY, NEW_CONSULT, FOCUS])
        .await;
    bert.hears(CALL_COMES).await;
    let primary = bert.the("primary");
    bert.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    anna.hears(CONSULT).await;
    for _ in 0..2 {
        act(&mut anna, "interaction.request.alternate", "interaction", json!({}), &[PRIMARY, CONSULT, FOCUS]).await;
    }
    let transferred = [PRIMARY_ENDS, FOCUS, CONSULT_ENDS, "interaction.ended", INTERACTION, PAIR];
    act(&mut anna, "interaction.request.consulttransfer", "interaction", json!({}), &transferred).await;
    let heard = bert.hears("conversation.member.removed(primary) conversation.member.added(primary)").await;
    assert_eq!(heard.data("conversation.member.added(primary)")["member"]["address"], "555");
    asterisk.has_bridged(&["555", "1002"]).await;
    customer.speak().await;
    customer.media.hears_no(AGENT).await;
    drop(phone);
    act(&mut bert, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    assert!(customer.succeeds().await);
    bert.finish().await;
}

#[tokio::test]
async fn a_conference_with_an_outside_number_and_a_blind_transfer() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let _customer = in_call(&asterisk, &mut anna).await;
    let interaction = anna.the("interaction");
    anna.command("interaction.request.consult", &interaction, json!({"destination": "800"})).await;
    anna.hears(&list(&[INTERACTION, PRIMARY, NEW_CONSULT, FOCUS, CONSULT])).await;
    let conference = [PRIMARY, "conversation.member.added(primary)", CONSULT_ENDS, FOCUS, INTERACTION];
    act(&mut anna, "interaction.request.consultconference", "interaction", json!({}), &conference).await;
    asterisk.has_bridged(&["1001", "555", "trunk"]).await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
    anna.hears(&list(&["conversation.member.removed(primary)", INTERACTION])).await;
    let joined = ["conversation.member.added(primary)", INTERACTION];
    act(&mut anna, "conversation.request.blindconference", "primary", json!({"destination": "800"}), &joined).await;
    asterisk.has_bridged(&["1001", "555", "trunk"]).await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
    anna.hears(&list(&["conversation.member.removed(primary)", INTERACTION])).await;
    let gone = [PRIMARY_ENDS, FOCUS, "interaction.ended", INTERACTION, PAIR];
    act(&mut anna, "conversation.request.blindtransfer", "primary", json!({"destination": "800"}), &gone).await;
    asterisk.has_bridged(&["555", "trunk"]).await;
    anna.finish().await;
}

#[tokio::test]
async fn asterisk_restarts_and_the_desktop_ends_right() {
    let Some((mut asterisk, host)) = open(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let customer = in_call(&asterisk, &mut anna).await;
    asterisk.kill();
    let heard = anna.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "down");
    drop(customer);
    let channel = anna.the("channel");
    anna.fails_quickly("channel.request.dial", &channel, json!({"destination": "800"}), "link_down").await;
    asterisk.restart().await;
    // The differences first, then the link.
    anna.hears(CALL_ENDS).await;
    anna.hears_until("session.linkchanged").await;
    asterisk.has_channel("1001").await;
    anna.hears_until("state.updated(channel)").await;
    act(&mut anna, "interaction.request.complete", "interaction", json!({}), &[COMPLETED]).await;
    let _customer = in_call(&asterisk, &mut anna).await;
    anna.finish().await;
}

#[tokio::test]
async fn when_the_host_ends_nothing_is_left_in_asterisk() {
    let Some((asterisk, mut host)) = open(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let _customer = in_call(&asterisk, &mut anna).await;
    let _waits = Sipp::customer(&asterisk, "556", "701", CUSTOMER).await;
    asterisk.has_channel("556").await;
    host.terminate();
    assert!(host.ends().await.success());
    asterisk.is_empty().await;
}
