//! Tenants that share an Asterisk, or a host, or both; and what stays in Asterisk when one of its agents goes.

use jackfield_tests::{
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    host::Setup,
    patience, until,
    words::{ANSWERED, CALL_COMES, CALL_ENDS, list},
};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, COLLEAGUE, CUSTOMER, OUTSIDE, hear_each_other},
    floor::{act, at_work, at_work_for, in_call, logs_out, open},
};

#[tokio::test]
async fn two_tenants_on_one_asterisk_and_a_third_on_another_keep_to_themselves() {
    let Some(shared) = Asterisk::start(&["1001", "1002"]).await else { return };
    let Some(own) = Asterisk::start(&["1001"]).await else { return };
    let setup = Setup::new().tenant(shared.tenant("")).tenant(shared.tenant("").named("other"));
    let host = setup.tenant(own.tenant("application = \"jackfield-acme\"").named("third")).start().await;
    let (mut anna, _phone) = at_work(&shared, &host, "anna", "1001", AGENT).await;
    let (mut bert, _bert_phone) = at_work_for(&shared, &host, "other", "bert", "1002", COLLEAGUE).await;
    // The same extension and the same agent's name: another Asterisk, another tenant.
    let (mut carl, _carl_phone) = at_work_for(&own, &host, "third", "anna", "1001", AGENT).await;

    let mut for_bert = Sipp::customer(&shared, "556", "790", CUSTOMER).await;
    bert.hears(CALL_COMES).await;
    act(&mut bert, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
    shared.has_bridged(&["556", "1002"]).await;
    let _for_carl = in_call(&own, &mut carl).await;
    own.has_bridged(&["555", "1001"]).await;
    let _for_anna = in_call(&shared, &mut anna).await;
    shared.has_bridged(&["555", "1001"]).await;

    logs_out(bert).await;
    assert!(for_bert.succeeds().await);
    shared.has_no_channel("1002").await;
    shared.has_bridged(&["555", "1001"]).await;
    anna.finish().await;
    carl.finish().await;
}

#[tokio::test]
async fn an_agent_who_logs_out_leaves_nothing_whatever_went_on() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    for what in ["on hold", "recorded", "while a number is consulted", "in a conference", "while a number is dialled"] {
        let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
        let mut customer = None;
        if what == "while a number is dialled" {
            let channel = anna.the("channel");
            anna.command("channel.request.dial", &channel, json!({"destination": "480"})).await;
            asterisk.has_channel("trunk").await;
        } else {
            customer = Some(in_call(&asterisk, &mut anna).await);
        }
        let (command, on, data) = match what {
            "on hold" => ("conversation.request.hold", "primary", json!({})),
            "recorded" => ("interaction.request.recording.start", "interaction", json!({})),
            "while a number is consulted" => {
                ("interaction.request.consult", "interaction", json!({"destination": "480"}))
            }
            "in a conference" => ("conversation.request.blindconference", "primary", json!({"destination": "800"})),
            _ => ("", "", json!({})),
        };
        if !command.is_empty() {
            let target = anna.the(on);
            let response = anna.command(command, &target, data).await;
            assert_eq!(response["result"], "success", "{what}: {response}");
        }
        logs_out(anna).await;
        if what == "in a conference" {
            // The others talk on; with the first of them goes the last.
            asterisk.has_bridged(&["555", "trunk"]).await;
            outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
        }
        if let Some(mut customer) = customer {
            assert!(customer.succeeds().await, "{what}");
        }
        asterisk.is_empty().await;
        drop(phone);
    }
}

#[tokio::test]
async fn a_killed_worker_costs_a_link_change_and_no_call() {
    let Some((asterisk, host)) = open(&["1001", "1002"]).await else { return };
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut anna).await;
    let (mut bert, bert_phone) = at_work(&asterisk, &host, "bert", "1002", COLLEAGUE).await;
    let leg = asterisk.has_channel("1001").await;
    customer.speak().await;
    phone.speak().await;
    customer.media.hears(AGENT).await;

    host.kill_worker("acme").await;
    for agent in [&mut anna, &mut bert] {
        for link in ["down", "up"] {
            let heard = agent.hears("session.linkchanged").await;
            assert_eq!(heard.data("session.linkchanged")["link"], link);
        }
    }
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    assert_eq!(asterisk.has_channel("1001").await["id"], leg["id"]);

    // Everything works on that call, and on the next.
    act(&mut anna, "conversation.request.hold", "primary", json!({}), &["state.updated(primary)"]).await;
    customer.media.hears_music(&[AGENT]).await;
    act(&mut anna, "conversation.request.retrieve", "primary", json!({}), &["state.updated(primary)"]).await;
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    let invite = json!({"destination": "1002"});
    let request = {
        let primary = anna.the("primary");
        anna.send("conversation.request.blindconference", &primary, invite).await
    };
    bert.hears_until("interaction.initialized").await;
    act(&mut bert, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
    assert_eq!(anna.response(request).await["result"], "success");
    let joined = ["conversation.member.added(primary)", "state.updated(interaction)"];
    anna.hears(&list(&joined)).await;
    asterisk.has_bridged(&["555", "1001", "1002"]).await;

    bert_phone.speak().await;

    // Now with both in one call.
    host.kill_worker("acme").await;
    for agent in [&mut anna, &mut bert] {
        agent.hears("session.linkchanged session.linkchanged").await;
    }
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    hear_each_other(&customer, CUSTOMER, &bert_phone, COLLEAGUE).await;
    hear_each_other(&phone, AGENT, &bert_phone, COLLEAGUE).await;
    asterisk.has_bridged(&["555", "1001", "1002"]).await;
    act(&mut anna, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    bert.hears(&list(&["conversation.member.removed(primary)", "state.updated(interaction)"])).await;
    act(&mut bert, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    assert!(customer.succeeds().await);
    logs_out(anna).await;
    logs_out(bert).await;
    asterisk.is_empty().await;
}

#[tokio::test]
async fn other_settings_cost_no_call_and_neither_does_the_tenants_end() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let customer = in_call(&asterisk, &mut anna).await;
    customer.speak().await;
    phone.speak().await;
    let leg = asterisk.has_channel("1001").await;
    let file = host.folder().join("tenants/acme.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("dial_timeout_seconds = 2", "dial_timeout_seconds = 3")).unwrap();
    host.post("/reload").await;
    let fate = until("all are moved to the new settings", async || {
        let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
        tenants[0]["lastChange"]["outcome"].as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(fate, "moved");
    // Asterisk has one client for an application: the desktop may have heard that the old one lost its link.
    let session = anna.session.clone();
    patience("the link is up", async {
        while anna.command("session.request.asterisk.ping", &session, json!({})).await["result"] != "success" {}
    })
    .await;
    anna.forget_heard();
    assert_eq!(asterisk.has_channel("1001").await["id"], leg["id"]);
    asterisk.has_bridged(&["555", "1001"]).await;
    act(&mut anna, "conversation.request.hold", "primary", json!({}), &["state.updated(primary)"]).await;

    // Without its file it would be the last one: a reload takes an empty folder for a mistake.
    host.post("/tenants/acme/remove").await;
    assert_eq!(anna.hears("session.disposed").await.data("session.disposed")["reason"], "tenant_removed");
    // She held the customer; nobody else can take the call back.
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
}
