//! What stands in Asterisk's own records of calls (CDR and CEL), by which reports tell customers apart.

use std::collections::BTreeSet;

use jackfield_plugin_api::{
    Command,
    report::{ConversationState::Talking, Role},
};
use jackfield_tests::{
    asterisk::{
        ChannelEvent,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::{Value, json};

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, OUTSIDE};

/// An agent takes a call on the desktop, or picks up the phone that rings for it.
async fn answers(desk: &Desk, leg: &str) {
    if leg == "stay" {
        desk.rings().await;
        desk.does(Command::Answer { conversation: desk.primary() }).await;
    }
    desk.talks().await;
    desk.phone.speak().await;
}

/// A customer whom an agent answers, and the id of the customer's channel.
async fn customer(lab: &Lab, desk: &Desk, leg: &str, number: &str) -> (Sipp, String) {
    let customer = Sipp::customer(&lab.asterisk, number, "700", CUSTOMER).await;
    answers(desk, leg).await;
    customer.speak().await;
    customer.media.hears(AGENT).await;
    desk.phone.media.hears(CUSTOMER).await;
    let id = lab.asterisk.has_channel(number).await["id"].as_str().unwrap().to_owned();
    (customer, id)
}

/// Two customers, one after the other. The first is asked about and handed on, to a colleague and then to an outside number;
/// the second talks to the same agent alone, and is on hold in between. Their channels' ids.
async fn two_customers(lab: &Lab, anna: &Desk, bert: &Desk, leg: &str) -> [String; 2] {
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let (first, first_id) = customer(lab, anna, leg, "555").await;
    anna.does(Command::Consult { interaction: anna.interaction(), destination: "1002".into() }).await;
    answers(bert, leg).await;
    anna.is(Role::Consult, Talking).await;
    anna.phone.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(AGENT).await;
    anna.does(Command::ConsultTransfer { interaction: anna.interaction() }).await;
    anna.completes().await;
    first.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(CUSTOMER).await;
    bert.does(Command::BlindTransfer { conversation: bert.primary(), destination: "800".into() }).await;
    bert.completes().await;
    lab.asterisk.has_bridged(&["555", "trunk"]).await;
    outside.speak().await;
    first.media.hears(OUTSIDE).await;
    outside.media.hears(CUSTOMER).await;
    outside.ask(&lab.asterisk.has_channel("trunk").await, Ask::HangUp);
    lab.asterisk.has_no_channel("555").await;

    let (second, second_id) = customer(lab, anna, leg, "556").await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    second.media.hears_no(AGENT).await;
    anna.does(Command::Retrieve { conversation: anna.primary() }).await;
    second.media.hears(AGENT).await;
    second.ask(&lab.asterisk.has_channel("556").await, Ask::HangUp);
    anna.ends().await;
    anna.completes().await;
    lab.asterisk.has_no_channel("556").await;
    [first_id, second_id]
}

/// What came into bridges and left them, once so many channels have ended.
async fn bridged(lab: &Lab, ended: usize) -> Vec<ChannelEvent> {
    let events = until(&format!("{ended} channels have ended"), || async {
        let events = lab.asterisk.channel_events();
        (events.iter().filter(|it| it.event == "CHAN_END").count() == ended).then_some(events)
    })
    .await;
    events.into_iter().filter(|it| it.event.starts_with("BRIDGE_")).collect()
}

/// The channels of events that are marked with an id, by what is before the number in their names.
fn channels(events: &[ChannelEvent], id: &str, mark: impl Fn(&ChannelEvent) -> &String) -> BTreeSet<String> {
    let marked = events.iter().filter(|it| mark(it) == id);
    marked.map(|it| it.channel.rsplit_once('-').expect("a number").0.to_owned()).collect()
}

/// The records of a customer who has hung up: whom he was connected with, in order. Ask for those of the last customer
/// first: when they are there, all others' are.
async fn records(lab: &Lab, customer: &str, wanted: &[&str]) {
    // They are written one after the other.
    let connected = until(&format!("{customer} has {} records", wanted.len()), || async {
        let records = lab.asterisk.call_records().into_iter().filter(|it| it.unique_id == customer);
        let connected: Vec<_> = records.map(|it| it.connected).collect();
        (connected.len() >= wanted.len()).then_some(connected)
    })
    .await;
    let names: Vec<_> = connected.iter().map(|it| it.rsplit_once('-').map_or("", |(name, _)| name)).collect();
    assert_eq!(names, wanted);
}

const ANNA: &str = "PJSIP/1001";
const BERT: &str = "PJSIP/1002";
const TRUNK: &str = "PJSIP/trunk";

async fn lab(settings: Value) -> Option<(Lab, Desk, Desk)> {
    let lab = Lab::open(&["1001", "1002"], settings).await?;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    bert.does(Command::NotReady { channel: "1002".into(), reason_code: "break".into(), reason_desc: None }).await;
    Some((lab, anna, bert))
}

#[tokio::test]
async fn customers_of_one_leg_are_told_apart_by_the_name_that_the_settings_give_to_their_calls() {
    let Some((lab, anna, bert)) = lab(json!({"call_id": "CHANNEL(userfield)"})).await else { return };
    let [first, second] = two_customers(&lab, &anna, &bert, "stay").await;
    // Written when the customer hangs up, though his agent's leg goes on.
    records(&lab, &second, &[ANNA, ANNA]).await;
    records(&lab, &first, &[ANNA, BERT, TRUNK]).await;
    let events = bridged(&lab, 3).await;
    let by_name = |id: &str| channels(&events, id, |it| &it.user_field);
    assert_eq!(by_name(&first), [ANNA, BERT, TRUNK].map(str::to_owned).into());
    assert_eq!(by_name(&second), [ANNA, TRUNK].map(str::to_owned).into());
    let unnamed: Vec<_> = events.iter().filter(|it| ![&first, &second].contains(&&it.user_field)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    // The linkedid does not do it: both have the one of the leg, which is older than they are.
    let leg = lab.asterisk.has_channel("1001").await["id"].as_str().unwrap().to_owned();
    let left = |id: &str| events.iter().find(|it| it.event == "BRIDGE_EXIT" && it.unique_id == id).unwrap();
    assert_eq!((&left(&first).linked_id, &left(&second).linked_id), (&leg, &leg));
    // A leg that is in no call says so.
    lab.asterisk.has_variable("1001", "CHANNEL(userfield)", "").await;
    lab.close().await;
}

#[tokio::test]
async fn with_a_leg_per_call_each_customer_has_a_linkedid_of_his_own() {
    let Some((lab, anna, bert)) = lab(json!({"leg": "per-call"})).await else { return };
    let [first, second] = two_customers(&lab, &anna, &bert, "per-call").await;
    records(&lab, &second, &[ANNA, ANNA]).await;
    records(&lab, &first, &[ANNA, BERT, TRUNK]).await;
    // Who comes into a bridge before the customer's side does has that id from the moment on in which it comes.
    let mut events = bridged(&lab, 6).await;
    events.retain(|it| it.event == "BRIDGE_EXIT");
    let by_link = |id: &str| channels(&events, id, |it| &it.linked_id);
    assert_eq!(by_link(&first), [ANNA, BERT, TRUNK].map(str::to_owned).into());
    assert_eq!(by_link(&second), [ANNA, TRUNK].map(str::to_owned).into());
    let linked: BTreeSet<_> = events.iter().map(|it| it.linked_id.clone()).collect();
    assert_eq!(linked, [first, second].into(), "{events:?}");
    lab.close().await;
}
