//! One agent, one other party.

use jackfield_plugin_api::{
    Code, Command,
    command::RecordAction,
    report::{Cause, ChannelType, ConversationState::Dialing, Direction, Reason, Recording, Role},
};
use jackfield_tests::{
    asterisk::sipp::{Ask, Sipp},
    until,
};
use serde_json::json;

use crate::desk::{AGENT, CUSTOMER, Lab, OUTSIDE, hear_each_other};

#[tokio::test]
async fn a_customer_is_answered_and_both_hear_each_other_until_the_customer_hangs_up() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let mut customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    desk.rings().await;
    customer.saw("180 Ringing").await;
    let offered = desk.newest();
    assert_eq!((offered.direction, desk.members(Role::Primary)), (Some(Direction::Inbound), vec!["555".to_owned()]));
    assert_eq!(offered.data["DIALLED"], Some("700".into()));
    // Not answered by the platform while it only rings: the customer does not pay for waiting.
    assert!(!customer.messages().contains("200 OK"));

    desk.does(Command::Answer { conversation: desk.primary() }).await;
    desk.talks().await;
    lab.asterisk.has_bridged(&["555", "1001"]).await;
    customer.speak().await;
    desk.phone.speak().await;
    customer.media.hears(AGENT).await;
    desk.phone.media.hears(CUSTOMER).await;

    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    let ended = desk.ends().await;
    assert_eq!(ended.reason, Some(Reason::Released));
    // The agent's leg stays for the next call.
    until("only that is left", || async { (lab.asterisk.channels().await.len() == 1).then_some(()) }).await;
    desk.completes().await;
    lab.close().await;
}

#[tokio::test]
async fn the_agent_hangs_up_and_the_customer_is_gone() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let mut customer = lab.call(&desk).await;
    desk.does(Command::Release { conversation: desk.primary() }).await;
    assert_eq!(desk.newest().reason, Some(Reason::Released));
    assert!(customer.succeeds().await);
    lab.asterisk.has_no_channel("555").await;
    lab.close().await;
}

#[tokio::test]
async fn a_customer_on_hold_hears_music_and_not_the_agent() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    customer.media.hears(AGENT).await;
    desk.does(Command::Hold { conversation: desk.primary() }).await;
    desk.is_on_hold().await;
    customer.media.hears_music(&[AGENT]).await;
    desk.phone.media.hears_no(CUSTOMER).await;
    desk.does(Command::Retrieve { conversation: desk.primary() }).await;
    desk.talks().await;
    customer.media.hears(AGENT).await;
    desk.phone.media.hears(CUSTOMER).await;
    lab.close().await;
}

#[tokio::test]
async fn a_muted_agent_is_not_heard_but_hears() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    customer.media.hears(AGENT).await;
    desk.does(Command::Mute { conversation: desk.primary() }).await;
    assert_eq!(desk.newest().conversations.unwrap()[0].muted, Some(true));
    customer.media.hears_no(AGENT).await;
    desk.phone.media.hears(CUSTOMER).await;
    desk.does(Command::Unmute { conversation: desk.primary() }).await;
    assert_eq!(desk.newest().conversations.unwrap()[0].muted, Some(false));
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn tones_reach_the_far_end() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    desk.does(Command::SendDtmf { conversation: desk.primary(), digits: "12#".into() }).await;
    jackfield_tests::until("the digits arrive", || async { (customer.digits() == "12#").then_some(()) }).await;
    lab.close().await;
}

#[tokio::test]
async fn a_call_is_recorded_into_a_file() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    customer.media.hears(AGENT).await;
    let record = |action| Command::Record { interaction: desk.interaction(), action };
    for (action, then) in [
        (RecordAction::Start, Recording::On),
        (RecordAction::Pause, Recording::Paused),
        (RecordAction::Resume, Recording::On),
    ] {
        desk.does(record(action)).await;
        assert_eq!(desk.newest().recording, Some(then));
        Sipp::settle().await;
    }
    desk.does(record(RecordAction::Stop)).await;
    assert_eq!(desk.newest().recording, Some(Recording::Off));
    jackfield_tests::until("the recording's file has sound", || async {
        lab.asterisk.recordings().iter().any(|(name, size)| name.ends_with(".wav") && *size > 2000).then_some(())
    })
    .await;
    lab.close().await;
}

/// A second of a recording in bytes: 8000 samples of 16 bits.
const SECOND: u64 = 16_000;

#[tokio::test]
async fn a_recording_goes_on_while_the_customer_is_on_hold() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    desk.does(Command::Record { interaction: desk.interaction(), action: RecordAction::Start }).await;
    desk.does(Command::Hold { conversation: desk.primary() }).await;
    customer.media.hears_music(&[AGENT]).await;
    // Asterisk ends one that has heard nothing for four seconds.
    let recorded = || lab.asterisk.recordings().iter().map(|(_, size)| *size).max().unwrap_or_default();
    let before = recorded();
    jackfield_tests::until("six seconds more are recorded", || async {
        (recorded() > before + 6 * SECOND).then_some(())
    })
    .await;
    assert_eq!(desk.newest().recording, Some(Recording::On));
    desk.does(Command::Retrieve { conversation: desk.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    let before = recorded();
    jackfield_tests::until("and so is what follows", || async { (recorded() > before + SECOND).then_some(()) }).await;
    lab.close().await;
}

#[tokio::test]
async fn both_hear_each_other_however_often_a_recording_begins_and_ends() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    let record = |action| desk.does(Command::Record { interaction: desk.interaction(), action });
    for _ in 0..5 {
        record(RecordAction::Start).await;
        hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
        record(RecordAction::Stop).await;
        hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    }
    lab.close().await;
}

#[tokio::test]
async fn an_outside_number_is_called_with_the_queues_caller_id_and_answers() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    desk.does(desk.dial("800")).await;
    assert_eq!(desk.newest().direction, Some(Direction::Outbound));
    assert_eq!(desk.members(Role::Primary), ["800"]);
    desk.talks().await;
    lab.asterisk.has_bridged(&["trunk", "1001"]).await;
    assert!(outside.messages().contains("\"Sales\" <sip:5550100@"), "{}", outside.messages());
    outside.speak().await;
    desk.phone.speak().await;
    outside.media.hears(AGENT).await;
    desk.phone.media.hears(OUTSIDE).await;
    outside.ask(&lab.asterisk.has_channel("trunk").await, Ask::HangUp);
    assert_eq!(desk.ends().await.reason, Some(Reason::Released));
    lab.close().await;
}

#[tokio::test]
async fn calls_that_come_to_nothing_say_why() {
    let Some(lab) = Lab::open(&["1001"], json!({"dial_timeout_seconds": 2})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let _outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    for (number, cause) in [("486", Cause::Busy), ("404", Cause::Unreachable), ("480", Cause::NoAnswer)] {
        desk.does(desk.dial(number)).await;
        let ended = desk.ends().await;
        assert_eq!((ended.reason, ended.cause), (Some(Reason::Failed), Some(cause)), "{number}");
        desk.completes().await;
        lab.asterisk.has_no_channel("trunk").await;
    }
    // The agent thinks better of it.
    desk.does(desk.dial("480")).await;
    desk.is(Role::Primary, Dialing).await;
    desk.does(Command::Release { conversation: desk.primary() }).await;
    let ended = desk.ends().await;
    assert_eq!((ended.reason, ended.cause), (Some(Reason::Failed), Some(Cause::Cancelled)));
    lab.asterisk.has_no_channel("trunk").await;
    desk.completes().await;
    lab.close().await;
}

#[tokio::test]
async fn what_asterisk_cannot_call_is_refused_without_a_trace() {
    let Some(lab) = Lab::open(&["1001"], json!({"dial": "PJSIP/{number}"})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let before = desk.session.reports().len();
    desk.fails(desk.dial("1099"), Code::Unreachable).await;
    for no_number in ["1&2", "sales", "nobody", ""] {
        desk.fails(desk.dial(no_number), Code::Rejected).await;
    }
    assert_eq!(desk.session.reports().len(), before);
    lab.close().await;
}

#[tokio::test]
async fn only_telephony_and_only_endpoints_that_exist() {
    let Some(lab) = Lab::open(&["1001", "1002"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    for kind in [ChannelType::Chat, ChannelType::Email] {
        desk.fails(Command::AddChannel { endpoint: "x".into(), kind }, Code::Unsupported).await;
    }
    let add = |endpoint: &str| Command::AddChannel { endpoint: endpoint.into(), kind: ChannelType::Telephony };
    desk.fails(add("4711"), Code::Rejected).await;
    desk.fails(add("1001"), Code::Conflict).await;
    desk.does(add("1002")).await;
    assert_eq!(desk.session.view().channels.len(), 2);
    desk.does(Command::RemoveChannel { channel: "1002".into() }).await;
    assert_eq!(desk.session.view().channels.len(), 1);
    lab.close().await;
}
