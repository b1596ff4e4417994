//! What happens in Asterisk without the adapter having asked for it, and what Asterisk does not do.

use jackfield_plugin_api::{
    Code, Command, Outcome,
    command::RecordAction,
    report::{Availability, ChannelStatus, ConversationState::Alerting, Interaction, InteractionState, Reason, Role},
};
use jackfield_tests::{
    asterisk::{
        free_udp_port,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::json;

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, hear_each_other};

/// Somebody who calls the agent's phone past the adapter.
const DIRECT: u32 = 1200;

impl Desk {
    async fn shows(&self, what: &str, holds: impl Fn(&ChannelStatus) -> bool) {
        self.session
            .wait_until(what, |view| {
                view.channel(&self.extension).is_some_and(|it| it.status.as_ref().is_some_and(&holds))
            })
            .await;
    }

    async fn is_on_the_phone(&self) {
        self.shows(
            "the phone has a call of its own",
            |it| matches!(it, ChannelStatus::Active(info) if info.reason_code.as_deref() == Some("onphone")),
        )
        .await;
    }
}

#[tokio::test]
async fn an_agent_on_a_direct_call_is_offered_nothing_until_it_ends() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let direct = Sipp::customer(&lab.asterisk, "558", "706", DIRECT).await;
    anna.is_on_the_phone().await;
    let _customer = Sipp::customer(&lab.asterisk, "555", "701", CUSTOMER).await;
    lab.asterisk.has_channel("555").await;
    Sipp::settle().await;
    assert!(anna.session.view().interactions().next().is_none());
    direct.ask(&lab.asterisk.has_channel("558").await, Ask::HangUp);
    anna.rings().await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    lab.close().await;
}

/// On which of its two calls a phone asks for them to be connected.
#[derive(Clone, Copy)]
enum AskedOn {
    Ours,
    ItsOwn,
}

/// The phone of an agent in a call takes another one past the adapter, and connects the two.
async fn attended_transfer(asked_on: AskedOn, is_held: bool) {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    let (leg, caller) = (lab.asterisk.has_channel("1001").await, lab.asterisk.has_channel("555").await);
    if is_held {
        anna.phone.ask(&leg, Ask::Hold);
        anna.is_on_hold().await;
        customer.media.hears_music(&[AGENT]).await;
    }
    let direct = Sipp::customer(&lab.asterisk, "558", "706", DIRECT).await;
    direct.saw("SIP/2.0 200").await;
    direct.speak().await;
    let other = until("the phone's own call is up", || async {
        let channels = lab.asterisk.channels().await;
        channels.into_iter().find(|it| {
            it["name"].as_str().is_some_and(|name| name.starts_with("PJSIP/1001-"))
                && it["id"] != leg["id"]
                && it["state"] == "Up"
        })
    })
    .await;
    let (on, with) = match asked_on {
        AskedOn::Ours => (&leg, &other),
        AskedOn::ItsOwn => (&other, &leg),
    };
    anna.phone.ask(on, Ask::Join(&anna.phone.replaces(with)));
    assert_eq!(anna.ends().await.reason, Some(Reason::Transferred));
    hear_each_other(&customer, CUSTOMER, &direct, DIRECT).await;
    // The phone is called again, as after any hang-up.
    anna.shows("the phone is back", |it| matches!(it, ChannelStatus::Active(_))).await;
    customer.ask(&caller, Ask::HangUp);
    lab.asterisk.has_no_channel("558").await;
    lab.close().await;
}

#[tokio::test]
async fn the_phones_attended_transfer_of_another_call_connects_the_two_and_the_agent_is_out_of_it() {
    attended_transfer(AskedOn::ItsOwn, false).await;
}

#[tokio::test]
async fn the_phones_attended_transfer_connects_who_was_put_on_hold_for_the_other_call() {
    attended_transfer(AskedOn::ItsOwn, true).await;
}

#[tokio::test]
async fn the_phones_attended_transfer_of_our_call_connects_the_two_and_the_agent_is_out_of_it() {
    attended_transfer(AskedOn::Ours, false).await;
}

#[tokio::test]
async fn the_phones_attended_transfer_of_a_call_on_hold_connects_the_two() {
    attended_transfer(AskedOn::Ours, true).await;
}

#[tokio::test]
async fn a_bridge_that_somebody_destroys_is_made_again_and_hold_works_on_it() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    customer.media.hears(AGENT).await;
    let before = lab.asterisk.bridges().await;
    let bridge = before[0]["id"].as_str().unwrap();
    lab.asterisk.ari("DELETE", &format!("bridges/{bridge}")).await.unwrap();
    customer.media.hears(AGENT).await;
    anna.phone.media.hears(CUSTOMER).await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    customer.media.hears_music(&[AGENT]).await;
    lab.close().await;
}

#[tokio::test]
async fn an_answer_that_races_with_the_callers_hang_up_is_a_call_or_an_abandoned_one() {
    let Some(lab) = Lab::open(&["1001"], json!({"offer_again_seconds": 0})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    for _ in 0..12 {
        let customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
        anna.is(Role::Primary, Alerting).await;
        let (key, channel) = (anna.newest().key, lab.asterisk.has_channel("555").await);
        let conversation = anna.primary();
        drop(anna.session.take_reports());
        customer.ask(&channel, Ask::HangUp);
        let outcome = anna.session.command(Command::Answer { conversation: conversation.clone() }).await;
        if outcome == Outcome::success() {
            // Whether the customer's phone has heard of it or is gone: the agent hangs up, if that is still to be done.
            let _ = anna.session.command(Command::Release { conversation }).await;
        }
        let gone = |it: &Interaction| it.gone || it.state == Some(InteractionState::Ended);
        let ended = until("the call has ended", || async {
            let reports = anna.session.reports();
            let interactions = reports.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions);
            interactions.filter(|it| it.key == key).find(|it| gone(it)).cloned()
        })
        .await;
        match outcome {
            Outcome::Success(_) => {
                assert_eq!(ended.reason, Some(Reason::Released));
                anna.completes().await;
            }
            Outcome::Failure(failure) => {
                assert!(matches!(failure.code, Code::Rejected | Code::InvalidState), "{failure}");
                if ended.gone {
                    assert_eq!(ended.reason, Some(Reason::Abandoned));
                } else {
                    // The two were connected for the moment in which the answer failed.
                    assert_eq!(ended.reason, Some(Reason::Released));
                    anna.completes().await;
                }
            }
            Outcome::NeedInfo(_) => panic!("there is nothing more to know"),
        }
    }
    lab.close().await;
}

#[tokio::test]
async fn a_phone_that_goes_away_while_it_is_offered_a_call_leaves_it_to_the_next_agent() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let port = free_udp_port();
    let phone = Sipp::phone_at(&lab.asterisk, port, COLLEAGUE, 50).await;
    Sipp::register(&lab.asterisk, "1099", port, 600).await;
    let bert = lab.agent_at("bert", "1099", phone).await;
    let customer = Sipp::customer(&lab.asterisk, "555", "701", CUSTOMER).await;
    bert.rings().await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    Sipp::register(&lab.asterisk, "1099", port, 0).await;
    anna.rings().await;
    bert.shows("the phone is gone", |it| *it == ChannelStatus::Unavailable).await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    anna.phone.speak().await;
    customer.speak().await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    // It is back: so is the agent, as before.
    Sipp::register(&lab.asterisk, "1099", port, 700).await;
    bert.shows(
        "the phone is back",
        |it| matches!(it, ChannelStatus::Active(info) if info.availability == Some(Availability::Ready)),
    )
    .await;
    lab.close().await;
}

#[tokio::test]
async fn a_phone_that_falls_silent_in_a_call_is_given_up_and_its_customer_goes_to_the_next_agent() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let port = free_udp_port();
    let phone = Sipp::phone_at(&lab.asterisk, port, COLLEAGUE, 50).await;
    // Its endpoint has an rtp_timeout.
    Sipp::register(&lab.asterisk, "1098", port, 600).await;
    let bert = lab.agent_at("bert", "1098", phone).await;
    bert.phone.speak().await;
    let customer = lab.call(&bert).await;
    hear_each_other(&customer, CUSTOMER, &bert.phone, COLLEAGUE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    bert.phone.media.fall_silent();
    anna.rings().await;
    assert_eq!(bert.ends().await.reason, Some(Reason::Lost));
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    anna.phone.speak().await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn a_recording_is_found_by_the_name_that_call_data_and_the_channel_tell() {
    let Some(lab) = Lab::open(&["1001"], json!({"recording_name": "acme/{queue}/{number}-{id}"})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    customer.media.hears(AGENT).await;
    anna.does(Command::Record { interaction: anna.interaction(), action: RecordAction::Start }).await;
    let name = anna.newest().data["JACKFIELD_RECORDING"].clone().unwrap().parse::<String>().unwrap();
    assert!(name.starts_with("acme/sales/555-") && name.ends_with(".wav"), "{name}");
    lab.asterisk.has_variable("555", "JACKFIELD_RECORDING", &name).await;
    anna.does(Command::Record { interaction: anna.interaction(), action: RecordAction::Stop }).await;
    let file = lab.asterisk.folder().join("spool/recording").join(name);
    until("the recording is where its name says", || async { file.exists().then_some(()) }).await;
    lab.close().await;
}

#[tokio::test]
async fn a_phone_that_rings_for_a_call_shows_who_calls() {
    let Some(lab) = Lab::open(&["1001"], json!({"leg": "per-call"})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let _customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    anna.talks().await;
    assert!(anna.phone.messages().contains("From: \"Customer\" <sip:555@"), "{}", anna.phone.messages());
    lab.close().await;
}

#[tokio::test]
async fn a_ringing_phone_that_is_picked_up_elsewhere_connects_who_did_and_its_agent_stays_ready() {
    let Some(lab) = Lab::open(&["1001"], json!({"leg": "per-call"})).await else { return };
    let phone = Sipp::slow_phone(&lab.asterisk, "1001", AGENT, 60_000).await;
    let anna = lab.agent_at("anna", "1001", phone).await;
    let customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    anna.phone.saw("180 Ringing").await;
    let helper = Sipp::customer(&lab.asterisk, "559", "707", DIRECT).await;
    lab.asterisk.has_bridged(&["555", "559"]).await;
    for party in [&customer, &helper] {
        party.speak().await;
    }
    customer.media.hears(DIRECT).await;
    helper.media.hears(CUSTOMER).await;
    anna.has_nothing().await;
    anna.shows(
        "still ready",
        |it| matches!(it, ChannelStatus::Active(info) if info.availability == Some(Availability::Ready)),
    )
    .await;
    helper.ask(&lab.asterisk.has_channel("559").await, Ask::HangUp);
    lab.asterisk.has_no_channel("555").await;
    lab.close().await;
}
