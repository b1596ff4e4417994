//! What stands in Asterisk's `queue_log` about the adapter's queues, for the reports that read it.

use std::collections::BTreeMap;

use jackfield_plugin_api::{Command, Ending, report::Role};
use jackfield_tests::{
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::{Value, json};

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Lab, OUTSIDE, connect};

/// With the manager interface, and settings over the usual ones.
pub async fn open(extensions: &[&str], mut settings: Value) -> Option<Lab> {
    let asterisk = Asterisk::start(extensions).await?;
    settings["manager"] = asterisk.manager_settings();
    let tenant = connect(&asterisk, asterisk.http, settings).await;
    Some(Lab { asterisk, tenant })
}

/// Waits until a line about a queue and a member stands there, and answers its own fields.
pub async fn logged(asterisk: &Asterisk, queue: &str, member: &str, event: &str) -> Vec<String> {
    until(&format!("queue_log has {event} of {member} in {queue}"), || async {
        asterisk
            .queue_log()
            .into_iter()
            .find(|line| line[1..4] == [queue, member, event])
            .map(|line| line[4..].to_vec())
    })
    .await
}

/// The events of each caller in order, by channel.
fn by_caller(asterisk: &Asterisk) -> BTreeMap<String, Vec<String>> {
    let mut callers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in asterisk.queue_log().into_iter().filter(|line| line[0] != "NONE") {
        callers.entry(line[0].clone()).or_default().push(line[3].clone());
    }
    callers
}

async fn id_of(asterisk: &Asterisk, of: &str) -> String {
    asterisk.has_channel(of).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_is_logged_from_the_queue_to_its_end() {
    let settings = json!({"offer_timeout_seconds": 2, "after_no_answer": "ready", "offer_again_seconds": 0,
        "queues": {"sales": {"service_level_seconds": 1}}});
    let Some(lab) = open(&["1001"], settings).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    let caller = id_of(&lab.asterisk, "555").await;
    assert_eq!(logged(&lab.asterisk, "sales", "NONE", "ENTERQUEUE").await, ["", "555", "1"]);
    // The first offer is not answered, the second is.
    let rang: u64 = logged(&lab.asterisk, "sales", "anna", "RINGNOANSWER").await[0].parse().unwrap();
    assert!(rang >= 2000, "milliseconds: {rang}");
    anna.rings().await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    let connected = logged(&lab.asterisk, "sales", "anna", "CONNECT").await;
    let waited: u64 = connected[0].parse().unwrap();
    assert!(waited >= 2, "seconds: {waited}");
    assert_eq!(connected[1], id_of(&lab.asterisk, "1001").await);
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    let complete = logged(&lab.asterisk, "sales", "anna", "COMPLETECALLER").await;
    assert_eq!((complete[0].as_str(), complete[2].as_str()), (connected[0].as_str(), "1"));
    assert_eq!(by_caller(&lab.asterisk)[&caller], ["ENTERQUEUE", "RINGNOANSWER", "CONNECT", "COMPLETECALLER"]);
    anna.completes().await;

    // One who does not wait for the agent to answer.
    let impatient = Sipp::customer(&lab.asterisk, "556", "700", CUSTOMER).await;
    anna.rings().await;
    let caller = id_of(&lab.asterisk, "556").await;
    impatient.ask(&lab.asterisk.has_channel("556").await, Ask::HangUp);
    anna.has_nothing().await;
    until("that is logged", || async { (by_caller(&lab.asterisk).get(&caller)?.len() == 3).then_some(()) }).await;
    assert_eq!(by_caller(&lab.asterisk)[&caller], ["ENTERQUEUE", "RINGCANCELED", "ABANDON"]);

    // The agent ends the next one.
    let _customer = lab.call(&anna).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    logged(&lab.asterisk, "sales", "anna", "COMPLETEAGENT").await;
    let figures = serde_json::to_value(anna.sees_queue("sales").await.data).unwrap();
    let all = lab.asterisk.queue_log();
    let in_time = all.iter().filter(|line| line[3] == "CONNECT" && ["0", "1"].contains(&line[4].as_str())).count();
    let share = if in_time == 1 { 0.5 } else { 0.0 };
    let wanted = json!({"answered": 2, "abandoned": 1, "answeredBy": {"anna": 2}, "serviceLevel": share,
        "serviceLevelSeconds": 1});
    assert_eq!(figures, wanted);
    lab.close().await;
}

#[tokio::test]
async fn callers_who_are_not_served_are_logged_with_their_place_and_wait() {
    let queues = json!({"sales": {}, "short": {"overflow_seconds": 1, "overflow": "queue:sales"}});
    let Some(lab) = open(&[], json!({"queues": queues})).await else { return };
    let _first = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    lab.asterisk.has_channel("555").await;
    let second = Sipp::customer(&lab.asterisk, "556", "705", CUSTOMER).await;
    let caller = id_of(&lab.asterisk, "556").await;
    assert_eq!(logged(&lab.asterisk, "short", "NONE", "EXITWITHTIMEOUT").await[..2], ["1", "1"]);
    until("the second enters the other queue", || async {
        (by_caller(&lab.asterisk).get(&caller)?.len() == 3).then_some(())
    })
    .await;
    second.ask(&lab.asterisk.has_channel("556").await, Ask::HangUp);
    assert_eq!(logged(&lab.asterisk, "sales", "NONE", "ABANDON").await[..2], ["2", "2"]);
    assert_eq!(by_caller(&lab.asterisk)[&caller], ["ENTERQUEUE", "EXITWITHTIMEOUT", "ENTERQUEUE", "ABANDON"]);
    // Who still waits when the tenant goes is written down before it is gone.
    lab.tenant.disconnect().await;
    assert_eq!(logged(&lab.asterisk, "sales", "NONE", "EXITEMPTY").await[..2], ["1", "1"]);
}

#[tokio::test]
async fn transfers_are_logged_by_how_they_were_done() {
    let Some(lab) = open(&["1001", "1002"], json!({"destinations": {"mailbox": "from-trunk,mail,1"}})).await else {
        return;
    };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    let transfer = |to: &str| Command::BlindTransfer { conversation: anna.primary(), destination: to.into() };
    anna.does(transfer("short")).await;
    assert_eq!(logged(&lab.asterisk, "sales", "anna", "BLINDTRANSFER").await[..2], ["short", ""]);
    anna.completes().await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    bert.rings().await;
    bert.does(Command::Answer { conversation: bert.primary() }).await;
    let to = Command::BlindTransfer { conversation: bert.primary(), destination: "mailbox".into() };
    bert.does(to).await;
    assert_eq!(logged(&lab.asterisk, "short", "bert", "BLINDTRANSFER").await[..2], ["mail", "from-trunk"]);
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    lab.asterisk.has_no_channel("555").await;
    bert.completes().await;
    bert.does(Command::NotReady { channel: "1002".into(), reason_code: "break".into(), reason_desc: None }).await;

    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.does(Command::Consult { interaction: anna.interaction(), destination: "800".into() }).await;
    anna.is(Role::Consult, jackfield_plugin_api::report::ConversationState::Talking).await;
    anna.does(Command::ConsultTransfer { interaction: anna.interaction() }).await;
    assert_eq!(logged(&lab.asterisk, "sales", "anna", "ATTENDEDTRANSFER").await[0], "BRIDGE");
    for events in by_caller(&lab.asterisk).values() {
        let (entered, left) = (events.iter().filter(|it| *it == "ENTERQUEUE").count(), events.len());
        assert_eq!(left, entered * 3, "entered, connected, transferred: {events:?}");
    }
    drop((customer, outside));
    lab.close().await;
}

#[tokio::test]
async fn members_come_pause_and_go() {
    let Some(lab) = open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.does(Command::NotReady { channel: "1001".into(), reason_code: "break".into(), reason_desc: None }).await;
    anna.ready().await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
    logged(&lab.asterisk, "short", "anna", "REMOVEMEMBER").await;
    let all = lab.asterisk.queue_log();
    let of_sales = all.iter().filter(|line| line[1] == "sales").map(|line| (line[3].as_str(), line[4].as_str()));
    assert_eq!(
        of_sales.collect::<Vec<_>>(),
        [
            ("ADDMEMBER", "PAUSED"),
            ("PAUSE", ""),
            ("UNPAUSE", ""),
            ("PAUSE", "break"),
            ("UNPAUSE", ""),
            ("REMOVEMEMBER", ""),
        ]
    );
    lab.close().await;
}

#[tokio::test]
async fn lines_wait_for_asterisk_to_come_back() {
    let Some(lab) = open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    logged(&lab.asterisk, "sales", "anna", "UNPAUSE").await;
    lab.asterisk.restart().await;
    // The agent is still there, and goes on a break as soon as the link is up.
    lab.asterisk.has_channel("1001").await;
    let on_break = Command::NotReady { channel: "1001".into(), reason_code: "lunch".into(), reason_desc: None };
    anna.does(on_break).await;
    until("the break is logged", || async {
        lab.asterisk.queue_log().iter().any(|line| line[1..5] == ["sales", "anna", "PAUSE", "lunch"]).then_some(())
    })
    .await;
    lab.close().await;
}

#[tokio::test]
async fn lines_are_written_over_an_encrypted_way_and_who_is_not_trusted_is_told_nothing() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let wary = connect(&asterisk, asterisk.http, asterisk.encrypted_manager_settings(false)).await;
    let lab = Lab { asterisk, tenant: wary };
    drop(lab.agent("anna", "1001", AGENT).await);
    // What waits to be written is given up when the tenant goes, so nothing of it comes later.
    lab.tenant.disconnect().await;
    assert_eq!(lab.asterisk.queue_log(), Vec::<Vec<String>>::new());

    let more = lab.asterisk.encrypted_manager_settings(true);
    let tenant = connect(&lab.asterisk, lab.asterisk.http, more).await;
    let lab = Lab { tenant, ..lab };
    let bert = lab.agent("bert", "1001", AGENT).await;
    logged(&lab.asterisk, "sales", "bert", "UNPAUSE").await;
    assert!(lab.asterisk.queue_log().iter().all(|line| line[2] == "bert"), "nothing came late");
    drop(bert);
    lab.close().await;
}
