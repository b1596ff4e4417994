//! Queues as they are configured, transfers to queues and into the dialplan, the adapter's own commands, and what the
//! self-test at connect finds.

use jackfield_asterisk::Asterisk as Adapter;
use jackfield_plugin_api::{
    Code, Command, Outcome,
    command::MemberAction,
    report::{Reason, Role, Target},
    testkit::Tenant,
};
use jackfield_tests::{
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::{Value, json};

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, MANIFEST, OUTSIDE, hear_each_other};

impl Desk {
    async fn transfers_to(&self, destination: &str) {
        self.does(Command::BlindTransfer { conversation: self.primary(), destination: destination.into() }).await;
        assert_eq!(self.newest().reason, Some(Reason::Transferred));
    }

    async fn asks(&self, name: &str, target: Target, data: Value) -> Outcome {
        self.session.command(Command::Extension { name: name.to_owned(), target, data: data.into() }).await
    }
}

#[tokio::test]
async fn a_call_is_transferred_to_another_queue() {
    let Some(lab) = Lab::open(&["1001", "1002"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    anna.transfers_to("short").await;
    customer.media.hears_music(&[AGENT]).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    bert.rings().await;
    assert_eq!(bert.newest().data["DIALLED"], Some("700".into()));
    bert.does(Command::Answer { conversation: bert.primary() }).await;
    bert.phone.speak().await;
    customer.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(CUSTOMER).await;
    lab.close().await;
}

#[tokio::test]
async fn a_call_is_transferred_into_the_dialplan_where_the_settings_say() {
    let Some(lab) = Lab::open(&["1001"], json!({"destinations": {"mailbox": "from-trunk,mail,1"}})).await else {
        return;
    };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    anna.transfers_to("mailbox").await;
    until("the dialplan has the customer", || async {
        (lab.asterisk.channel("555").await?["dialplan"]["exten"] == "mail").then_some(())
    })
    .await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    lab.asterisk.has_no_channel("555").await;
    lab.close().await;
}

#[tokio::test]
async fn whom_the_dialplan_connects_a_transferred_customer_with_talks_to_him() {
    let Some(lab) = Lab::open(&["1001"], json!({"destinations": {"crisis": "from-phones,801,1"}})).await else {
        return;
    };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.transfers_to("crisis").await;
    outside.saw("INVITE sip:801@").await;
    outside.speak().await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    customer.media.hears_no(AGENT).await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    lab.asterisk.has_no_channel("555").await;
    lab.close().await;
}

#[tokio::test]
async fn one_member_is_taken_out_of_a_conference_and_the_others_talk_on() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    let remove = |address: &str| {
        let target = Target::Conversation(anna.primary());
        anna.asks("conversation.request.asterisk.removemember", target, json!({"address": address}))
    };
    let Outcome::Failure(failure) = remove("555").await else { panic!("a call of two is no conference") };
    assert_eq!(failure.code, Code::InvalidState);
    anna.does(Command::BlindConference { conversation: anna.primary(), destination: "800".into() }).await;
    assert_eq!(anna.members(Role::Primary), ["555", "800"]);
    assert_eq!(remove("800").await, Outcome::success());
    assert_eq!(anna.members(Role::Primary), ["555"]);
    lab.asterisk.has_no_channel("trunk").await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;

    // By the protocol's own commands, which name the member.
    drop(outside);
    let _again = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    anna.does(Command::BlindConference { conversation: anna.primary(), destination: "800".into() }).await;
    let to = |address: &str, action| {
        let member = anna.member(address);
        Command::Member { conversation: anna.primary(), member: member.key, action }
    };
    anna.does(to("555", MemberAction::Mute)).await;
    assert!(anna.member("555").muted);
    anna.phone.media.hears_no(CUSTOMER).await;
    anna.does(to("555", MemberAction::Unmute)).await;
    assert!(!anna.member("555").muted);
    anna.phone.media.hears(CUSTOMER).await;
    anna.does(to("800", MemberAction::Remove)).await;
    assert_eq!(anna.members(Role::Primary), ["555"]);
    anna.phone.media.hears(CUSTOMER).await;
    lab.close().await;
}

#[tokio::test]
async fn one_member_of_a_conference_waits_with_music_while_the_others_go_on() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.does(Command::BlindConference { conversation: anna.primary(), destination: "800".into() }).await;
    outside.speak().await;
    customer.media.hears(OUTSIDE).await;
    let to = |address: &str, action| {
        let member = anna.member(address);
        Command::Member { conversation: anna.primary(), member: member.key, action }
    };
    anna.does(to("555", MemberAction::Hold)).await;
    assert!(anna.member("555").held);
    customer.media.hears_music(&[AGENT, OUTSIDE]).await;
    outside.media.hears(AGENT).await;
    anna.phone.media.hears_no(CUSTOMER).await;
    anna.phone.media.hears(OUTSIDE).await;
    anna.does(to("555", MemberAction::Retrieve)).await;
    assert!(!anna.member("555").held);
    for tone in [AGENT, OUTSIDE] {
        customer.media.hears(tone).await;
    }

    // Who is held alone with the agent can be taken back, …
    anna.does(to("555", MemberAction::Hold)).await;
    anna.does(to("800", MemberAction::Remove)).await;
    customer.media.hears_music(&[AGENT, OUTSIDE]).await;
    anna.does(to("555", MemberAction::Retrieve)).await;
    customer.media.hears(AGENT).await;
    anna.phone.media.hears(CUSTOMER).await;

    // … and when the agent goes, nobody is left held.
    drop(outside);
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    anna.does(Command::BlindConference { conversation: anna.primary(), destination: "800".into() }).await;
    outside.speak().await;
    anna.does(to("555", MemberAction::Hold)).await;
    customer.media.hears_music(&[AGENT, OUTSIDE]).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    customer.media.hears(OUTSIDE).await;
    outside.media.hears(CUSTOMER).await;
    lab.close().await;
}

#[tokio::test]
async fn callers_of_a_full_queue_and_of_one_without_agents_go_on_in_the_dialplan() {
    let queues = json!({"sales": {"max_waiting": 1}, "short": {"join_when_empty": false}});
    let Some(lab) = Lab::open(&[], json!({"queues": queues})).await else { return };
    let first = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    first.saw("180 Ringing").await;
    let second = Sipp::customer(&lab.asterisk, "556", "700", CUSTOMER).await;
    second.saw("SIP/2.0 503").await;
    let nobody = Sipp::customer(&lab.asterisk, "557", "705", CUSTOMER).await;
    nobody.saw("SIP/2.0 486").await;
    first.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    lab.close().await;
}

#[tokio::test]
async fn callers_hear_their_position_and_those_of_the_more_important_queue_go_first() {
    let queues = json!({"sales": {"announce_seconds": 1}, "short": {"priority": 5}});
    let Some(lab) = Lab::open(&["1001"], json!({"queues": queues})).await else { return };
    let _first = Sipp::customer(&lab.asterisk, "555", "701", CUSTOMER).await;
    lab.asterisk.has_channel("555").await;
    let _second = Sipp::customer(&lab.asterisk, "556", "705", CUSTOMER).await;
    lab.asterisk.has_channel("556").await;
    let _third = Sipp::customer(&lab.asterisk, "557", "701", CUSTOMER).await;
    for sound in ["queue-youarenext", "queue-thereare", "digits/2", "queue-callswaiting"] {
        let plays = || async { lab.asterisk.log().contains(&format!("Playing '{sound}")).then_some(()) };
        until(&format!("Asterisk plays {sound}"), plays).await;
    }
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.rings().await;
    assert_eq!(anna.members(Role::Primary), ["556"]);
    lab.close().await;
}

#[tokio::test]
async fn the_directory_tells_who_is_free() {
    let Some(lab) = Lab::open(&["1001", "1002"], json!({"hidden": ["trunk", "1098"]})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let Outcome::Success(Some(data)) =
        anna.asks("session.request.asterisk.directory", Target::Session, json!({})).await
    else {
        panic!("success")
    };
    let data: Value = serde_json::from_str(data.get()).unwrap();
    assert_eq!(
        data["people"],
        json!([
            {"address": "1001", "agent": "anna", "state": "free"},
            {"address": "1002", "state": "free"},
            {"address": "1099", "state": "offline"},
        ])
    );
    assert_eq!(data["queues"], json!(["sales", "short"]));
    lab.close().await;
}

#[tokio::test]
async fn a_user_who_may_only_read_is_an_error_of_the_settings() {
    let Some(asterisk) = Asterisk::start(&[]).await else { return };
    let mut settings = asterisk.settings(asterisk.http);
    settings["user"] = "watcher".into();
    let failure = Tenant::connect::<Adapter>(MANIFEST, settings).await.err().expect("refused");
    assert_eq!(failure.code, Code::Rejected);
    assert!(failure.message.contains("read_only"), "{failure}");
}

#[tokio::test]
async fn lists_tell_the_queues_the_phones_and_whom_one_can_call() {
    use jackfield_plugin_api::lists::{ListKind, ListRequest};
    let contacts = json!({"Help desk": "5550123"});
    let settings = json!({"reasons": {"break": "Break"}, "hidden": ["trunk"], "contacts": contacts});
    let Some(lab) = Lab::open(&["1001", "1002"], settings).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let list = async |kind| {
        let Outcome::Success(Some(data)) = anna.session.command(Command::List(ListRequest::new(kind, 50))).await else {
            panic!("a page of {kind:?}");
        };
        data.parse::<Value>().unwrap()["entries"].clone()
    };
    let find = |entries: &Value, id: &str| entries.as_array().unwrap().iter().find(|it| it["id"] == id).cloned();
    assert_eq!(list(ListKind::Reasons).await, json!([{"id": "break", "name": "Break"}]));
    let sales = find(&list(ListKind::Queues).await, "sales").unwrap();
    assert_eq!((&sales["waiting"], &sales["ready"]), (&json!(0), &json!(1)));
    let customer = lab.call(&anna).await;
    let second = Sipp::customer(&lab.asterisk, "556", "701", CUSTOMER).await;
    until("the second customer waits", || async {
        let sales = find(&list(ListKind::Queues).await, "sales").unwrap();
        (sales["waiting"] == 1 && sales["waitingSince"].is_u64() && sales["ready"] == 0).then_some(())
    })
    .await;
    let phones = list(ListKind::Endpoints).await;
    let in_use = |id: &str| find(&phones, id).map(|it| it["inUse"].clone());
    assert_eq!((in_use("1001"), in_use("1002"), in_use("trunk")), (Some(true.into()), Some(false.into()), None));
    let people = list(ListKind::Destinations).await;
    let anna_there = find(&people, "1001").unwrap();
    assert_eq!((&anna_there["name"], &anna_there["presence"]["state"]), (&json!("anna"), &json!("BUSY")));
    let help = find(&people, "contact:Help desk").unwrap();
    assert_eq!((&help["name"], &help["addresses"][0]["address"]), (&json!("Help desk"), &json!("5550123")));
    assert_eq!(find(&people, "queue:short").unwrap()["addresses"][0]["address"], "short");
    drop((customer, second));
    lab.close().await;
}
