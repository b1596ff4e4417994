//! The same through the host: the real binary, the plugin loaded from its file, a desktop's WebSocket. What a desktop
//! hears is the protocol's list for each command (section 4), whatever Asterisk's order was.

use std::time::Duration;

use jackfield_tests::{
    agent::Agent,
    asterisk::{
        Asterisk,
        cut::Cut,
        sipp::{Ask, Sipp},
    },
    host::Setup,
    until,
    words::{
        ANSWERED, CALL_COMES, CALL_ENDS, COMPLETED, CONSULT_ENDS, NEW_CONSULT, OFFER_ENDS, PAIR, PRIMARY_ENDS, list,
    },
};
use serde_json::json;

use crate::{
    desk::{AGENT, COLLEAGUE, CUSTOMER, OUTSIDE, hear_each_other},
    floor::{act, at_work, in_call, logs_out, open},
};

const FOCUS: &str = "interaction.focuschanged";
const PRIMARY: &str = "state.updated(primary)";
const CONSULT: &str = "state.updated(consult)";
const INTERACTION: &str = "state.updated(interaction)";

#[tokio::test]
async fn a_call_from_the_queue_with_all_that_can_be_done_in_it() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut agent, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut agent).await;
    customer.speak().await;
    phone.speak().await;
    customer.media.hears(AGENT).await;
    let none = || json!({});
    act(&mut agent, "conversation.request.hold", "primary", none(), &[PRIMARY]).await;
    customer.media.hears_music(&[AGENT]).await;
    act(&mut agent, "conversation.request.retrieve", "primary", none(), &[PRIMARY]).await;
    customer.media.hears(AGENT).await;
    act(&mut agent, "conversation.request.mute", "primary", none(), &[PRIMARY]).await;
    customer.media.hears_no(AGENT).await;
    act(&mut agent, "conversation.request.unmute", "primary", none(), &[PRIMARY]).await;
    customer.media.hears(AGENT).await;
    act(&mut agent, "conversation.request.senddtmf", "primary", json!({"digits": "42"}), &[]).await;
    until("the digits arrive", || async { (customer.digits() == "42").then_some(()) }).await;
    for verb in ["start", "pause", "resume", "stop"] {
        let command = format!("interaction.request.recording.{verb}");
        // Its name is call data.
        let heard = if verb == "start" { vec!["interaction.datachanged", INTERACTION] } else { vec![INTERACTION] };
        act(&mut agent, &command, "interaction", none(), &heard).await;
    }
    assert_eq!(asterisk.recordings().len(), 1);
    let data = json!({"key": "ORDER", "value": "77"});
    act(&mut agent, "interaction.request.setinteractiondata", "interaction", data, &["interaction.datachanged"]).await;
    asterisk.has_variable("555", "ORDER", "77").await;
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
async fn a_module_that_is_not_loaded_is_named_with_what_is_missing_without_it_and_not_asked_for_it() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    asterisk.command_line("module unload func_cdr.so");
    let host = Setup::new().tenant(asterisk.tenant("")).start().await;
    host.logs("Asterisk's module func_cdr.so is not loaded: with leg").await;
    let (mut agent, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let customer = in_call(&asterisk, &mut agent).await;
    customer.speak().await;
    phone.speak().await;
    hear_each_other(&customer, CUSTOMER, &phone, AGENT).await;
    assert!(!asterisk.log().contains("CDR_PROP"), "{}", asterisk.log());
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
    logs_out(agent).await;
    asterisk.is_empty().await;
}

/// Who is in a call asks the agent on extension 1002.
async fn consults(agent: &mut Agent, colleague: &mut Agent) {
    let consult = [INTERACTION, PRIMARY, NEW_CONSULT, FOCUS];
    act(agent, "interaction.request.consult", "interaction", json!({"destination": "1002"}), &consult).await;
    colleague.hears(CALL_COMES).await;
    act(colleague, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
    agent.hears(CONSULT).await;
}

#[tokio::test]
async fn consult_alternate_and_transfer_to_a_second_agent() {
    let Some((asterisk, host)) = open(&["1001", "1002"]).await else { return };
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut anna).await;
    let (mut bert, _bert_phone) = at_work(&asterisk, &host, "bert", "1002", COLLEAGUE).await;
    consults(&mut anna, &mut bert).await;
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
async fn a_conference_with_a_second_agent_goes_on_without_the_first() {
    let Some((asterisk, host)) = open(&["1001", "1002"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut anna).await;
    let (mut bert, _bert_phone) = at_work(&asterisk, &host, "bert", "1002", COLLEAGUE).await;
    consults(&mut anna, &mut bert).await;
    let conference = [PRIMARY, "conversation.member.added(primary)", CONSULT_ENDS, FOCUS, INTERACTION];
    act(&mut anna, "interaction.request.consultconference", "interaction", json!({}), &conference).await;
    let heard = bert.hears(&list(&["conversation.member.added(primary)", INTERACTION])).await;
    assert_eq!(heard.data(INTERACTION)["calls"], "CONFERENCE");
    asterisk.has_bridged(&["555", "1001", "1002"]).await;
    act(&mut anna, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    bert.hears(&list(&["conversation.member.removed(primary)", INTERACTION])).await;
    asterisk.has_bridged(&["555", "1002"]).await;
    act(&mut bert, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    assert!(customer.succeeds().await);
    anna.finish().await;
    bert.finish().await;
}

#[tokio::test]
async fn an_outside_number_is_consulted_and_gets_the_customer() {
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let mut customer = in_call(&asterisk, &mut anna).await;
    let interaction = anna.the("interaction");
    anna.command("interaction.request.consult", &interaction, json!({"destination": "800"})).await;
    anna.hears(&list(&[INTERACTION, PRIMARY, NEW_CONSULT, FOCUS, CONSULT])).await;
    let transferred = [PRIMARY_ENDS, FOCUS, CONSULT_ENDS, "interaction.ended", INTERACTION, PAIR];
    act(&mut anna, "interaction.request.consulttransfer", "interaction", json!({}), &transferred).await;
    asterisk.has_bridged(&["555", "trunk"]).await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    anna.finish().await;
}

#[tokio::test]
async fn the_customer_is_handed_to_a_consulted_number_that_still_rings() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let host = Setup::new().tenant(asterisk.tenant("")).start().await;
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let customer = in_call(&asterisk, &mut anna).await;
    customer.speak().await;
    let consult = [INTERACTION, PRIMARY, NEW_CONSULT, FOCUS];
    act(&mut anna, "interaction.request.consult", "interaction", json!({"destination": "850"}), &consult).await;
    outside.saw("180 Ringing").await;
    // Nobody has been spoken to, so this is not the command for it.
    let interaction = anna.the("interaction");
    anna.fails("interaction.request.consulttransfer", &interaction, json!({}), "invalid_state").await;
    let transferred = [PRIMARY_ENDS, FOCUS, CONSULT_ENDS, "interaction.ended", INTERACTION, PAIR];
    let to = json!({"destination": "850"});
    act(&mut anna, "conversation.request.blindtransfer", "primary", to, &transferred).await;
    // The same call rings on: there is no second one.
    let called = asterisk.channels().await.into_iter().filter(|it| it["name"].as_str().unwrap().contains("/trunk-"));
    assert_eq!(called.filter(|it| it["id"].as_str().unwrap().starts_with("jackfield:")).count(), 1);
    host.kill_worker("acme").await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::Answer);
    asterisk.has_bridged(&["555", "trunk"]).await;
    outside.saw("ACK sip:").await;
    outside.speak().await;
    customer.media.hears(OUTSIDE).await;
    outside.media.hears(CUSTOMER).await;
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
    let Some((asterisk, host)) = open(&["1001"]).await else { return };
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
async fn the_connection_is_cut_for_ten_seconds_and_both_desktops_end_right() {
    let Some(asterisk) = Asterisk::start(&["1001", "1002"]).await else { return };
    let cut = Cut::to(asterisk.http).await;
    let host = Setup::new().tenant(asterisk.tenant_by(cut.port, "")).start().await;
    let (mut anna, _phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut leaves = in_call(&asterisk, &mut anna).await;
    let (mut bert, phone) = at_work(&asterisk, &host, "bert", "1002", COLLEAGUE).await;
    let mut stays = Sipp::customer(&asterisk, "556", "700", CUSTOMER).await;
    bert.hears(CALL_COMES).await;
    act(&mut bert, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;

    cut.cut();
    for agent in [&mut anna, &mut bert] {
        let heard = agent.hears("session.linkchanged").await;
        assert_eq!(heard.data("session.linkchanged")["link"], "down");
    }
    leaves.ask(&asterisk.has_channel("555").await, Ask::HangUp);
    assert!(leaves.succeeds().await);
    tokio::time::sleep(Duration::from_secs(10)).await; // so long is the cut
    cut.mend();

    // Each hears what changed for it, then that the link is back.
    anna.hears(&list(&[CALL_ENDS, "session.linkchanged"])).await;
    bert.hears("session.linkchanged").await;
    act(&mut anna, "interaction.request.complete", "interaction", json!({}), &[COMPLETED]).await;
    stays.speak().await;
    phone.speak().await;
    stays.media.hears(COLLEAGUE).await;
    act(&mut bert, "conversation.request.release", "primary", json!({}), &[CALL_ENDS]).await;
    assert!(stays.succeeds().await);
    anna.finish().await;
    bert.finish().await;
}
