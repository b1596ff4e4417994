//! Who talks goes on talking, whatever becomes of the adapter: a reload, a dead worker, a host that stops and starts.

use std::fs;

use jackfield_tests::{
    agent::Agent,
    asterisk::{
        APPLICATION, Asterisk,
        sipp::{Ask, Sipp},
    },
    host::{Host, Setup},
    until,
    words::CALL_ENDS,
};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, CUSTOMER, OUTSIDE, hear_each_other},
    floor::{act, at_work, in_call, open},
};

/// A customer of Anna's whom she has transferred to an outside number; they hear each other.
async fn transferred(asterisk: &Asterisk, anna: &mut Agent, outside: &Sipp) -> Sipp {
    let customer = in_call(asterisk, anna).await;
    customer.speak().await;
    let primary = anna.the("primary");
    let response = anna.command("conversation.request.blindtransfer", &primary, json!({"destination": "800"})).await;
    assert_eq!(response["result"], "success", "{response}");
    asterisk.has_bridged(&["555", "trunk"]).await;
    outside.speak().await;
    hear_each_other(&customer, CUSTOMER, outside, OUTSIDE).await;
    anna.forget_heard();
    customer
}

/// A leg that nobody knows. When it is gone, the adapter has tidied what an earlier life left.
async fn leaves_a_stray(asterisk: &Asterisk) {
    let stray = format!("jackfield:{APPLICATION}:earlier-1");
    let path = format!("channels?endpoint=Local/mail@from-trunk&app={APPLICATION}&channelId={stray}");
    let (status, answer) = asterisk.ari("POST", &path).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    // One that is not up yet rings for nobody, and is ended at once.
    until("it is up", || async {
        asterisk.channels().await.iter().any(|it| it["id"] == stray && it["state"] == "Up").then_some(())
    })
    .await;
}

async fn has_tidied(asterisk: &Asterisk) {
    until("the stray is gone", || async {
        let channels = asterisk.channels().await;
        channels.iter().all(|it| it["id"] != format!("jackfield:{APPLICATION}:earlier-1")).then_some(())
    })
    .await;
}

/// The tenant's settings change a little and are read again.
async fn reloads(host: &Host, from: &str, to: &str) {
    let file = host.folder().join("tenants/acme.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).unwrap();
    host.post("/reload").await;
    let moved = until("all are moved to the new settings", async || {
        let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
        tenants[0]["lastChange"]["outcome"].as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(moved, "moved");
}

/// Both ends of a call that no agent is in any more end together, and nothing is left.
async fn ends(asterisk: &Asterisk, mut customer: Sipp, outside: &Sipp) {
    outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    asterisk.has_no_channel("trunk").await;
}

#[tokio::test]
async fn a_transferred_call_outlives_a_reload() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let customer = transferred(&asterisk, &mut anna, &outside).await;
    leaves_a_stray(&asterisk).await;
    reloads(&host, "Sales <5550100>", "Sales <5550101>").await;
    has_tidied(&asterisk).await;
    asterisk.has_bridged(&["555", "trunk"]).await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    ends(&asterisk, customer, &outside).await;
}

#[tokio::test]
async fn a_transferred_call_outlives_the_worker_again_and_again() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let customer = transferred(&asterisk, &mut anna, &outside).await;
    leaves_a_stray(&asterisk).await;
    for _ in 0..2 {
        host.kill_worker("acme").await;
        anna.hears_until("session.linkchanged").await;
        anna.hears_until("session.linkchanged").await;
    }
    has_tidied(&asterisk).await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    ends(&asterisk, customer, &outside).await;
}

#[tokio::test]
async fn a_called_number_that_was_handed_to_the_dialplan_outlives_the_worker() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let destinations = "destinations = { mailbox = \"from-trunk,mail,1\" }";
    let host = Setup::new().tenant(asterisk.tenant(destinations)).start().await;
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let channel = anna.the("channel");
    anna.command("channel.request.dial", &channel, json!({"destination": "800"})).await;
    asterisk.has_bridged(&["1001", "trunk"]).await;
    let primary = anna.the("primary");
    anna.command("conversation.request.blindtransfer", &primary, json!({"destination": "mailbox"})).await;
    let called = until("the dialplan has the call", || async {
        asterisk.channel("trunk").await.filter(|it| it["dialplan"]["exten"] == "mail")
    })
    .await;
    leaves_a_stray(&asterisk).await;
    host.kill_worker("acme").await;
    has_tidied(&asterisk).await;
    assert_eq!(asterisk.has_channel("trunk").await["id"], called["id"]);
    outside.ask(&called, Ask::HangUp);
    asterisk.has_no_channel("trunk").await;
}

/// A host that lets numbers ring as long as is usual.
async fn patient(extensions: &[&str]) -> Option<(Asterisk, Host)> {
    let asterisk = Asterisk::start(extensions).await?;
    let host = Setup::new().tenant(asterisk.tenant("")).start().await;
    Some((asterisk, host))
}

/// A customer of Anna's whom she has transferred to an outside number that rings.
async fn ringing_outside(asterisk: &Asterisk, anna: &mut Agent, outside: &Sipp) -> Sipp {
    let customer = in_call(asterisk, anna).await;
    customer.speak().await;
    let primary = anna.the("primary");
    let transfer = anna.command("conversation.request.blindtransfer", &primary, json!({"destination": "850"})).await;
    assert_eq!(transfer["result"], "success", "{transfer}");
    outside.saw("180 Ringing").await;
    anna.forget_heard();
    customer
}

#[tokio::test]
async fn a_blind_transfer_that_rings_outside_outlives_the_worker() {
    let Some((asterisk, host)) = patient(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let customer = ringing_outside(&asterisk, &mut anna, &outside).await;
    host.kill_worker("acme").await;
    anna.hears("session.linkchanged session.linkchanged").await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::Answer);
    asterisk.has_bridged(&["555", "trunk"]).await;
    outside.saw("ACK sip:").await;
    outside.speak().await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    ends(&asterisk, customer, &outside).await;
}

#[tokio::test]
async fn a_blind_transfer_that_is_answered_outside_while_no_host_is_there_connects_the_two() {
    let Some((asterisk, mut host)) = patient(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let customer = ringing_outside(&asterisk, &mut anna, &outside).await;
    host.terminate();
    assert!(host.ends().await.success());
    outside.ask(&asterisk.has_channel("trunk").await, Ask::Answer);
    asterisk.has_bridged(&["555", "trunk"]).await;
    outside.saw("ACK sip:").await;
    outside.speak().await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    let _host = Setup::new().tenant(asterisk.tenant("")).start().await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    ends(&asterisk, customer, &outside).await;
    asterisk.is_empty().await;
}

#[tokio::test]
async fn a_call_on_a_leg_of_its_own_outlives_the_worker_and_a_stop() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let setup = || Setup::new().tenant(asterisk.tenant("leg = \"per-call\""));
    let mut host = setup().start().await;
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = Sipp::customer(&asterisk, "555", "702", CUSTOMER).await;
    asterisk.has_bridged(&["555", "1001"]).await;
    customer.speak().await;
    phone.speak().await;
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    host.kill_worker("acme").await;
    for _ in ["down", "up"] {
        anna.hears_until("session.linkchanged").await;
    }
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    host.terminate();
    assert!(host.ends().await.success());
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    let host = setup().start().await;
    let mut anna = Agent::connect(&host, "acme").await;
    anna.prepare("anna", false).await;
    anna.start(json!({"extension": "1001"})).await;
    act(&mut anna, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    assert!(customer.succeeds().await);
    asterisk.is_empty().await;
}

#[tokio::test]
async fn a_host_that_stops_hangs_up_nobody_and_one_that_starts_takes_the_calls_over() {
    let Some((asterisk, mut host)) = open(&["1001"]).await else { return };
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let gone = transferred(&asterisk, &mut anna, &outside).await;
    let interaction = anna.the("interaction");
    anna.command("interaction.request.complete", &interaction, json!({})).await;
    anna.forget_heard();
    let mut customer = Sipp::customer(&asterisk, "556", "702", 1200).await;
    anna.hears_until("interaction.initialized").await;
    let primary = anna.the("primary");
    anna.command("conversation.request.answer", &primary, json!({})).await;
    customer.speak().await;
    phone.speak().await;
    hear_each_other(&customer, 1200, &phone, AGENT).await;
    let waits = Sipp::customer(&asterisk, "557", "700", 1800).await;
    waits.saw("180 Ringing").await;
    let leg = asterisk.has_channel("1001").await;

    host.terminate();
    assert!(host.ends().await.success());
    // Who waits goes on in the dialplan, who talks goes on talking.
    waits.saw("503").await;
    hear_each_other(&customer, 1200, &phone, AGENT).await;
    hear_each_other(&gone, CUSTOMER, &outside, OUTSIDE).await;

    let host = Setup::new().tenant(asterisk.tenant("")).start().await;
    let mut anna = Agent::connect(&host, "acme").await;
    anna.prepare("anna", false).await;
    let started = anna.start(json!({"extension": "1001"})).await;
    assert!(started.words().contains(&"interaction.initialized"), "{:?}", started.words());
    hear_each_other(&customer, 1200, &phone, AGENT).await;
    assert_eq!(asterisk.has_channel("1001").await["id"], leg["id"]);
    let none = || json!({});
    act(&mut anna, "conversation.request.hold", "primary", none(), &["state.updated(primary)"]).await;
    customer.media.hears_music(&[AGENT]).await;
    act(&mut anna, "conversation.request.release", "primary", none(), &[CALL_ENDS]).await;
    assert!(customer.succeeds().await);
    hear_each_other(&gone, CUSTOMER, &outside, OUTSIDE).await;
    ends(&asterisk, gone, &outside).await;
    let session = anna.session.clone();
    anna.command("session.request.logout", &session, none()).await;
    asterisk.is_empty().await;
}

#[tokio::test]
async fn who_is_with_an_agent_that_calls_somebody_else_is_with_the_agent_when_the_host_stops() {
    for (command, on) in
        [("interaction.request.consult", "interaction"), ("conversation.request.blindconference", "primary")]
    {
        let Some((asterisk, mut host)) = patient(&["1001"]).await else { return };
        let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
        let outside = Sipp::outside(&asterisk, OUTSIDE).await;
        let mut customer = in_call(&asterisk, &mut anna).await;
        customer.speak().await;
        phone.speak().await;
        hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
        let target = anna.the(on);
        anna.send(command, &target, json!({"destination": "850"})).await;
        outside.saw("180 Ringing").await;
        host.terminate();
        assert!(host.ends().await.success());
        // Nobody is there who could connect whom the number rings with anybody.
        asterisk.has_no_channel("trunk").await;
        hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;

        let host = Setup::new().tenant(asterisk.tenant("")).start().await;
        let mut anna = Agent::connect(&host, "acme").await;
        anna.prepare("anna", false).await;
        anna.start(json!({"extension": "1001"})).await;
        hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
        act(&mut anna, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
        assert!(customer.succeeds().await);
    }
}
