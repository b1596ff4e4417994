//! What happens on the phone itself, and phones that are not there.

use jackfield_plugin_api::{
    Code, Command, Json, StartOptions,
    report::{ChannelStatus, Reason, Role},
};
use jackfield_tests::{
    asterisk::{
        free_udp_port,
        sipp::{Ask, Sipp},
    },
    skipped,
};
use serde_json::json;

use crate::desk::{AGENT, CUSTOMER, Desk, Lab, hear_each_other};

fn activate(extension: &str) -> Command {
    Command::Activate { channel: extension.into(), queue: None, options: Json::empty_object() }
}

async fn waits_for(desk: &Desk, status: impl Fn(&ChannelStatus) -> bool) {
    desk.session
        .wait_until("the channel's state", |view| {
            view.channel(&desk.extension).is_some_and(|it| it.status.as_ref().is_some_and(&status))
        })
        .await;
}

#[tokio::test]
async fn the_phones_hold_key_is_the_desktops_hold() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    let leg = lab.asterisk.has_channel("1001").await;
    desk.phone.ask(&leg, Ask::Hold);
    desk.is_on_hold().await;
    customer.media.hears_music(&[AGENT]).await;
    desk.phone.ask(&leg, Ask::Retrieve);
    desk.talks().await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn hanging_up_the_phone_ends_the_call_and_the_phone_is_called_again() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let mut customer = lab.call(&desk).await;
    let leg = lab.asterisk.has_channel("1001").await;
    desk.phone.ask(&leg, Ask::HangUp);
    assert_eq!(desk.ends().await.reason, Some(Reason::Released));
    assert!(customer.succeeds().await);
    waits_for(&desk, |it| *it == ChannelStatus::Unavailable).await;
    // As it was before: ready.
    waits_for(&desk, |it| matches!(it, ChannelStatus::Active(_))).await;
    assert_ne!(lab.asterisk.has_channel("1001").await["id"], leg["id"]);
    desk.completes().await;
    let customer = lab.call(&desk).await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    lab.close().await;
}

/// An agent in a call presses the phone's transfer key; many phones put the call on hold before that.
async fn transfer_key(is_held: bool) {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    if is_held && !lab.asterisk.leaves_transfers() {
        return skipped("this Asterisk carries transfers out itself, and refuses those of a call on hold");
    }
    let desk = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, 1500).await;
    let customer = lab.call(&desk).await;
    let leg = lab.asterisk.has_channel("1001").await;
    if is_held {
        desk.phone.ask(&leg, Ask::Hold);
        desk.is_on_hold().await;
        customer.media.hears_music(&[AGENT]).await;
    }
    desk.phone.ask(&leg, Ask::Transfer);
    assert_eq!(desk.ends().await.reason, Some(Reason::Transferred));
    outside.saw("INVITE sip:801@").await;
    if lab.asterisk.leaves_transfers() {
        lab.asterisk.has_bridged(&["555", "trunk"]).await;
    }
    outside.speak().await;
    hear_each_other(&customer, CUSTOMER, &outside, 1500).await;
    desk.phone.saw("SIP/2.0 202").await;
    // The phone was told how it went; by an Asterisk that carries it out itself only when the phone's subscription runs
    // out, after a minute.
    if lab.asterisk.leaves_transfers() {
        desk.phone.saw("SIP/2.0 200").await;
        desk.phone.saw("Subscription-State: terminated").await;
    }
    lab.close().await;
}

#[tokio::test]
async fn the_phones_transfer_key_transfers() {
    transfer_key(false).await;
}

#[tokio::test]
async fn the_phones_transfer_key_transfers_who_is_on_hold() {
    transfer_key(true).await;
}

#[tokio::test]
async fn a_phone_that_is_not_there_cannot_be_activated() {
    let Some(lab) = Lab::open(&["1001"], json!({"phone_timeout_seconds": 2})).await else { return };
    let session = lab.tenant.log_in("anna", "x").await.unwrap();
    session.start_with(StartOptions::new(Some("1099".into()))).await.unwrap();
    let phone = Sipp::slow_phone(&lab.asterisk, "1001", AGENT, 60_000).await;
    let mut desk = Desk { session, extension: "1099".into(), phone };
    desk.fails(activate("1099"), Code::Unreachable).await;
    // One that rings and is not picked up.
    let add =
        Command::AddChannel { endpoint: "1001".into(), kind: jackfield_plugin_api::report::ChannelType::Telephony };
    desk.does(add).await;
    desk.extension = "1001".into();
    desk.fails(activate("1001"), Code::Unreachable).await;
    waits_for(&desk, |it| *it == ChannelStatus::Inactive).await;
    lab.asterisk.is_empty().await;
    lab.close().await;
}

#[tokio::test]
async fn with_a_leg_per_call_the_phone_rings_for_each_call() {
    let Some(lab) = Lab::open(&["1001"], json!({"leg": "per-call"})).await else { return };
    let phone = Sipp::slow_phone(&lab.asterisk, "1001", AGENT, 1500).await;
    let desk = lab.agent_at("anna", "1001", phone).await;
    assert!(lab.asterisk.channels().await.is_empty());
    let mut customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    desk.rings().await;
    desk.fails(Command::Answer { conversation: desk.primary() }, Code::Unsupported).await;
    desk.talks().await;
    lab.asterisk.has_bridged(&["555", "1001"]).await;
    customer.speak().await;
    desk.phone.speak().await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    desk.does(Command::Hold { conversation: desk.primary() }).await;
    customer.media.hears_music(&[AGENT]).await;
    desk.does(Command::Retrieve { conversation: desk.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    desk.ends().await;
    lab.asterisk.is_empty().await;
    desk.completes().await;

    let _outside = Sipp::outside(&lab.asterisk, 1500).await;
    desk.does(desk.dial("800")).await;
    desk.is(Role::Primary, jackfield_plugin_api::report::ConversationState::Talking).await;
    lab.asterisk.has_bridged(&["1001", "trunk"]).await;
    desk.does(Command::Release { conversation: desk.primary() }).await;
    lab.asterisk.is_empty().await;
    lab.close().await;
}

#[tokio::test]
async fn all_phones_of_an_extension_ring_and_the_first_that_is_picked_up_has_the_call() {
    let Some(lab) = Lab::open(&["1001"], json!({"phone": "Local/{extension}@phones"})).await else { return };
    let (desk_port, home_port) = (free_udp_port(), free_udp_port());
    let on_desk = Sipp::phone_at(&lab.asterisk, desk_port, AGENT, 60_000).await;
    let at_home = Sipp::phone_at(&lab.asterisk, home_port, 620, 1500).await;
    Sipp::register(&lab.asterisk, "1099", desk_port, 600).await;
    Sipp::register(&lab.asterisk, "1099", home_port, 600).await;
    let session = lab.tenant.log_in("anna", "x").await.unwrap();
    session.start().await.unwrap();
    let desk = Desk { session, extension: "1099".into(), phone: at_home };
    let add =
        Command::AddChannel { endpoint: "1099".into(), kind: jackfield_plugin_api::report::ChannelType::Telephony };
    desk.does(add).await;
    desk.does(activate("1099")).await;
    desk.ready().await;
    on_desk.saw("180 Ringing").await;
    on_desk.saw("CANCEL sip:").await;
    let customer = lab.call(&desk).await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, 620).await;
    desk.does(Command::Hold { conversation: desk.primary() }).await;
    customer.media.hears_music(&[620]).await;
    desk.does(Command::Retrieve { conversation: desk.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, 620).await;
    assert!(!lab.asterisk.log().contains("requires a PJSIP channel"));
    lab.close().await;
}
