//! Who is offered what, and when.

use jackfield_plugin_api::{
    Command, Ending, Json, Link,
    report::{Availability, ChannelStatus},
};
use jackfield_tests::{
    asterisk::sipp::{Ask, Sipp},
    until,
};
use serde_json::json;

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, hear_each_other};

impl Desk {
    fn status(&self) -> ChannelStatus {
        self.session.view().channel(&self.extension).unwrap().status.clone().unwrap()
    }

    async fn becomes(&self, what: &str, holds: impl Fn(&ChannelStatus) -> bool) {
        self.session
            .wait_until(what, |view| {
                view.channel(&self.extension).is_some_and(|it| it.status.as_ref().is_some_and(&holds))
            })
            .await;
    }
}

#[tokio::test]
async fn a_call_goes_to_who_has_been_ready_longest_and_on_to_the_next() {
    let settings = json!({"offer_timeout_seconds": 1, "reasons": {"noanswer": "did not answer", "break": "Break"}});
    let Some(lab) = Lab::open(&["1001", "1002"], settings).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    let mut customer = Sipp::customer(&lab.asterisk, "555", "702", CUSTOMER).await;
    anna.rings().await;
    assert_eq!(anna.newest().data["CUSTOMER_ID"], Some("C-42".into()));
    // Anna does not answer.
    bert.rings().await;
    anna.has_nothing().await;
    let ChannelStatus::Active(info) = anna.status() else { panic!("active") };
    assert_eq!(info.availability, Some(Availability::NotReady));
    assert_eq!((info.reason_code.as_deref(), info.reason_desc.as_deref()), (Some("noanswer"), Some("did not answer")));
    bert.does(Command::Answer { conversation: bert.primary() }).await;
    lab.asterisk.has_bridged(&["555", "1002"]).await;
    bert.does(Command::Release { conversation: bert.primary() }).await;
    assert!(customer.succeeds().await);
    lab.close().await;
}

#[tokio::test]
async fn a_rejected_call_goes_to_the_next_and_one_that_is_given_up_is_gone() {
    let Some(lab) = Lab::open(&["1001", "1002"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    let mut customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    anna.rings().await;
    anna.does(Command::Reject { interaction: anna.interaction() }).await;
    anna.has_nothing().await;
    bert.rings().await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    bert.has_nothing().await;
    lab.close().await;
}

#[tokio::test]
async fn a_caller_waits_with_music_if_the_dialplan_has_answered() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let customer = Sipp::customer(&lab.asterisk, "555", "701", CUSTOMER).await;
    customer.saw("200 OK").await;
    customer.speak().await;
    customer.media.hears_music(&[]).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.rings().await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    anna.phone.speak().await;
    customer.media.hears(AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn a_queue_overflows_into_the_dialplan_and_an_unknown_queue_goes_on_there() {
    let queues = json!({"short": {"overflow_seconds": 1, "overflow": "dialplan:from-trunk,mail,1"}, "sales": {}});
    let Some(lab) = Lab::open(&["1001"], json!({"queues": queues})).await else { return };
    let customer = Sipp::customer(&lab.asterisk, "555", "705", CUSTOMER).await;
    customer.saw("200 OK").await;
    assert_eq!(lab.asterisk.has_channel("555").await["dialplan"]["exten"], "mail");
    assert_eq!(lab.asterisk.variable("555", "QUEUESTATUS").await.as_deref(), Some("TIMEOUT"));
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    let stranger = Sipp::customer(&lab.asterisk, "556", "703", CUSTOMER).await;
    stranger.saw("486 Busy").await;
    lab.close().await;
}

pub async fn plays(lab: &Lab, sound: &str) {
    let playing = format!("Playing '{sound}");
    until(&format!("Asterisk plays {sound}"), || async { lab.asterisk.log().contains(&playing).then_some(()) }).await;
}

#[tokio::test]
async fn callers_hear_music_again_once_they_were_told_their_place() {
    let settings = json!({"queues": {"sales": {"announce_seconds": 1}}});
    let Some(lab) = Lab::open(&["1001"], settings).await else { return };
    let customer = Sipp::customer(&lab.asterisk, "555", "701", CUSTOMER).await;
    customer.speak().await;
    customer.media.hears_music(&[]).await;
    plays(&lab, "queue-youarenext").await;
    until("music starts after that", || async {
        let log = lab.asterisk.log();
        log.rfind("Started music on hold")
            .zip(log.find("Playing 'queue-youarenext"))
            .filter(|(music, told)| music > told)
    })
    .await;
    customer.media.hears_music(&[]).await;
    lab.close().await;
}

#[tokio::test]
async fn callers_are_told_how_long_it_takes_about_once_somebody_has_waited() {
    let settings = json!({"queues": {"sales": {"announce_seconds": 1, "announce_holdtime": "yes"}}});
    let Some(lab) = Lab::open(&["1001"], settings.clone()).await else { return };
    let _first = Sipp::customer(&lab.asterisk, "555", "701", CUSTOMER).await;
    plays(&lab, "queue-youarenext").await;
    // She has waited for ten minutes, as Asterisk keeps it for the adapter's next life.
    let id = lab.asterisk.has_channel("555").await["id"].as_str().unwrap().to_owned();
    let kept = until("Asterisk keeps when she came", || async {
        lab.asterisk.variable("555", "JACKFIELD").await.filter(|kept| kept.contains("\"entered\":"))
    })
    .await;
    let (before, entered) = kept.split_once("\"entered\":").unwrap();
    let (entered, after) = entered.split_once(',').unwrap();
    let earlier = entered.parse::<u64>().unwrap() - 600_000;
    let kept = format!("{before}\"entered\":{earlier},{after}");
    let escaped = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let value: String = kept.bytes().map(escaped).collect();
    lab.asterisk.ari("POST", &format!("channels/{id}/variable?variable=JACKFIELD&value={value}")).await;
    lab.asterisk.has_variable("555", "JACKFIELD", &kept).await;
    let tenant = crate::desk::connect(&lab.asterisk, lab.asterisk.http, settings).await;
    until("the earlier life is over", || async { (lab.tenant.link() != Some(Link::Up)).then_some(()) }).await;
    let lab = Lab { tenant, ..lab };

    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.rings().await;
    assert!(!lab.asterisk.log().contains("Playing 'queue-holdtime"));
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    let _second = Sipp::customer(&lab.asterisk, "556", "701", CUSTOMER).await;
    plays(&lab, "queue-holdtime").await;
    plays(&lab, "queue-minutes").await;
    let log = lab.asterisk.log();
    let told: Vec<&str> = log.split("Playing '").skip(1).filter_map(|it| it.split(['.', '\'']).next()).collect();
    let time = told.split(|it| *it == "queue-holdtime").nth(1).unwrap();
    assert!(matches!(time, [number, "queue-minutes", ..] if number.starts_with("digits/")), "{told:?}");
    lab.close().await;
}

#[tokio::test]
async fn after_call_work_lasts_its_time_or_until_completed() {
    let Some(lab) = Lab::open(&["1001"], json!({"wrap_up_seconds": 2})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    for complete in [true, false] {
        let _customer = lab.call(&anna).await;
        anna.does(Command::NotReady { channel: "1001".into(), reason_code: "break".into(), reason_desc: None }).await;
        assert!(matches!(anna.status(), ChannelStatus::Active(info) if info.pending.is_some()));
        anna.does(Command::Release { conversation: anna.primary() }).await;
        anna.becomes(
            "after-call work",
            |it| matches!(it, ChannelStatus::Active(info) if info.availability == Some(Availability::Acw)),
        )
        .await;
        if complete {
            anna.completes().await;
        }
        anna.becomes(
            "on its break",
            |it| matches!(it, ChannelStatus::Active(info) if info.reason_code.as_deref() == Some("break")),
        )
        .await;
        if !complete {
            anna.completes().await;
        }
        anna.ready().await;
    }
    lab.close().await;
}

#[tokio::test]
async fn a_session_that_logs_out_leaves_nothing_and_one_that_leaves_finds_its_call() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let mut customer = lab.call(&anna).await;
    anna.session.log_out(Ending::Leave).await.unwrap();
    customer.media.hears(AGENT).await;

    let again = lab.tenant.log_in("anna", "secret").await.unwrap();
    again.start().await.unwrap();
    let anna = Desk { session: again, ..anna };
    anna.talks().await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
    assert!(customer.succeeds().await);
    lab.asterisk.is_empty().await;
    lab.close().await;
}

#[tokio::test]
async fn two_tenants_share_an_asterisk() {
    let Some(lab) = Lab::open(&["1001", "1002"], json!({})).await else { return };
    let other = crate::desk::connect(&lab.asterisk, lab.asterisk.http, json!({"application": "jackfield-other"})).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let bert = Sipp::phone(&lab.asterisk, "1002", COLLEAGUE).await;
    let session = other.log_in("bert", "x").await.unwrap();
    session.start_with(jackfield_plugin_api::StartOptions::new(Some("1002".into()))).await.unwrap();
    let bert = Desk { session, extension: "1002".into(), phone: bert };
    bert.does(Command::Activate { channel: "1002".into(), queue: None, options: Json::empty_object() }).await;
    bert.ready().await;
    let mut customer = Sipp::customer(&lab.asterisk, "556", "790", CUSTOMER).await;
    bert.rings().await;
    bert.does(Command::Answer { conversation: bert.primary() }).await;
    lab.asterisk.has_bridged(&["556", "1002"]).await;
    assert!(anna.session.view().interactions().next().is_none());
    let reports = anna.session.reports().len();
    bert.does(Command::Release { conversation: bert.primary() }).await;
    assert!(customer.succeeds().await);
    other.disconnect().await;
    lab.asterisk.has_no_channel("1002").await;
    // Anna's tenant has seen nothing of it.
    assert_eq!(anna.session.reports().len(), reports);
    lab.asterisk.has_channel("1001").await;
    lab.close().await;
}

#[tokio::test]
async fn the_next_call_is_whose_turn_it_is_by_the_queues_strategy() {
    let queues = json!({"sales": {"strategy": "linear"}, "short": {"strategy": "fewest-calls"}});
    let Some(lab) = Lab::open(&["1001", "1002"], json!({"queues": queues})).await else { return };
    // Bert has been ready for longer, but Anna's extension comes first.
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let mut customer = lab.call(&anna).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    assert!(customer.succeeds().await);
    anna.completes().await;
    // Now Anna has been ready for longer, but Bert has had no call.
    bert.does(Command::NotReady { channel: "1002".into(), reason_code: "break".into(), reason_desc: None }).await;
    bert.ready().await;
    let customer = Sipp::customer(&lab.asterisk, "556", "705", CUSTOMER).await;
    bert.rings().await;
    bert.does(Command::Answer { conversation: bert.primary() }).await;
    customer.speak().await;
    bert.phone.speak().await;
    hear_each_other(&customer, CUSTOMER, &bert.phone, COLLEAGUE).await;
    lab.close().await;
}

#[tokio::test]
async fn who_waits_goes_on_in_the_dialplan_when_the_last_agent_goes_home() {
    let queues = json!({"sales": {"leave_when_empty": true}});
    let Some(lab) = Lab::open(&["1001"], json!({"queues": queues})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.does(Command::NotReady { channel: "1001".into(), reason_code: "break".into(), reason_desc: None }).await;
    let customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    customer.saw("180 Ringing").await;
    Sipp::settle().await;
    assert!(!customer.messages().contains("SIP/2.0 503"), "somebody is at work, though on a break");
    anna.session.log_out(Ending::LogOut).await.unwrap();
    customer.saw("SIP/2.0 503").await;
    lab.close().await;
}

#[tokio::test]
async fn whom_an_agent_does_not_take_goes_on_in_the_dialplan() {
    let settings = json!({"offer_timeout_seconds": 1, "after_no_answer": "ready"});
    let Some(lab) = Lab::open(&["1001"], settings).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let patient = Sipp::customer(&lab.asterisk, "555", "704", CUSTOMER).await;
    patient.saw("486 Busy").await;
    anna.has_nothing().await;
    lab.asterisk.has_no_channel("555").await;
    // Nobody is at the desktop, though the phone is connected.
    anna.session.log_out(Ending::Leave).await.unwrap();
    let unseen = Sipp::customer(&lab.asterisk, "556", "704", CUSTOMER).await;
    unseen.saw("486 Busy").await;
    assert!(!unseen.messages().contains("180 Ringing"));
    lab.close().await;

    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let refused = Sipp::customer(&lab.asterisk, "557", "704", CUSTOMER).await;
    anna.rings().await;
    anna.does(Command::Reject { interaction: anna.interaction() }).await;
    refused.saw("486 Busy").await;
    lab.close().await;
}

#[tokio::test]
async fn somebody_calls_an_agent() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let busy = Sipp::customer(&lab.asterisk, "555", "704", CUSTOMER).await;
    busy.saw("486 Busy").await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let _customer = Sipp::customer(&lab.asterisk, "556", "704", CUSTOMER).await;
    anna.rings().await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    lab.asterisk.has_bridged(&["556", "1001"]).await;
    lab.close().await;
}
