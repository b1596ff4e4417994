//! Asterisk's own queues (`app_queue`): agents are their members, and take the calls that they distribute.

use jackfield_plugin_api::{
    Command, Ending, Outcome,
    lists::{ListEntry, ListKind, ListRequest},
    report::Role,
};
use jackfield_tests::{
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, CUSTOMER, Desk, Lab, hear_each_other},
    queue_log::{logged, open},
};

fn settings() -> Value {
    json!({"member": "Local/{extension}@agents/n", "queues": {"support": {"app_queue": true}}})
}

impl Desk {
    /// What the list of queues tells of a queue.
    pub async fn sees_queue(&self, queue: &str) -> ListEntry {
        match self.session.command(Command::List(ListRequest::new(ListKind::Queues, 50))).await {
            Outcome::Success(Some(data)) => {
                let page: Value = serde_json::from_str(data.get()).unwrap();
                let entries: Vec<ListEntry> = serde_json::from_value(page["entries"].clone()).unwrap();
                entries.into_iter().find(|entry| entry.id == queue).expect("the queue is listed")
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The customer's own channel: the one by which a member is rung has that number, too.
async fn calling(asterisk: &Asterisk) -> Value {
    let is_customer = |channel: &Value| channel["name"].as_str().is_some_and(|name| name.starts_with("PJSIP/trunk-"));
    until("the customer calls", || async { asterisk.channels().await.into_iter().find(is_customer) }).await
}

/// The line of a member in what Asterisk shows of a queue.
fn member(asterisk: &Asterisk, interface: &str) -> Option<String> {
    let shown = asterisk.command_line("queue show support");
    shown.lines().find(|line| line.contains(interface)).map(str::to_owned)
}

#[tokio::test]
async fn a_call_that_app_queue_distributes_is_taken_on_the_desktop() {
    let Some(lab) = open(&["1001"], settings()).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let mut customer = Sipp::customer(&lab.asterisk, "555", "708", CUSTOMER).await;
    anna.rings().await;
    assert_eq!(anna.members(Role::Primary), ["555"]);
    anna.session
        .wait_until("the call data are there", |view| {
            view.interactions().any(|it| it.data.get("CUSTOMER_ID") == Some(&Some("C-42".into())))
        })
        .await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    anna.talks().await;
    customer.speak().await;
    anna.phone.speak().await;
    customer.media.hears(AGENT).await;
    anna.phone.media.hears(CUSTOMER).await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    customer.media.hears_music(&[AGENT]).await;
    anna.does(Command::Retrieve { conversation: anna.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    // Asterisk's figures and log are its own.
    logged(&lab.asterisk, "support", "anna", "CONNECT").await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    assert!(customer.succeeds().await);
    logged(&lab.asterisk, "support", "anna", "COMPLETEAGENT").await;
    let entry = anna.sees_queue("support").await;
    let told = serde_json::to_value(&entry.data).unwrap();
    assert_eq!((&told["answered"], &told["abandoned"]), (&json!(1), &json!(0)));
    assert_eq!(told["answeredBy"], json!({"anna": 1}));
    lab.close().await;
}

#[tokio::test]
async fn who_is_not_ready_is_paused_and_gets_no_call() {
    let Some(lab) = open(&["1001"], settings()).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    logged(&lab.asterisk, "support", "anna", "UNPAUSE").await;
    anna.does(Command::NotReady { channel: "1001".into(), reason_code: "lunch".into(), reason_desc: None }).await;
    until("app_queue knows the reason", || async {
        member(&lab.asterisk, "Local/1001@agents")?.contains("paused:lunch").then_some(())
    })
    .await;
    let customer = Sipp::customer(&lab.asterisk, "555", "708", CUSTOMER).await;
    until("one waits, for nobody", || async {
        let entry = anna.sees_queue("support").await;
        (entry.waiting == Some(1) && entry.waiting_since.is_some() && entry.ready == Some(0)).then_some(())
    })
    .await;
    assert!(anna.session.view().interactions().next().is_none());
    anna.ready().await;
    anna.rings().await;
    // The customer gives up while it rings.
    customer.ask(&calling(&lab.asterisk).await, Ask::HangUp);
    anna.has_nothing().await;
    logged(&lab.asterisk, "support", "NONE", "ABANDON").await;
    until("the agent would take one", || async { (anna.sees_queue("support").await.ready == Some(1)).then_some(()) })
        .await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
    logged(&lab.asterisk, "support", "anna", "REMOVEMEMBER").await;
    assert_eq!(member(&lab.asterisk, "Local/1001@agents"), None);
    lab.close().await;
}

#[tokio::test]
async fn members_are_those_who_are_at_work_after_every_restart() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    for (interface, device) in [("Local/1009@agents/n", "Stasis:jackfield-acme:1009"), ("PJSIP/1099", "PJSIP/1099")] {
        asterisk.command_line(&format!(
            "queue add member {interface} to support penalty 0 as somebody state_interface {device}"
        ));
    }
    let mut all = settings();
    all["manager"] = asterisk.manager_settings();
    let tenant = crate::desk::connect(&asterisk, asterisk.http, all).await;
    let lab = Lab { asterisk, tenant };
    let _anna = lab.agent("anna", "1001", AGENT).await;
    until("who is not at work is a member no more", || async {
        member(&lab.asterisk, "Local/1009@agents").is_none().then_some(())
    })
    .await;
    assert!(member(&lab.asterisk, "PJSIP/1099").is_some(), "somebody else's member stays");
    // Asterisk forgets its members.
    lab.asterisk.restart().await;
    until("the agent is a member again", || async {
        let line = member(&lab.asterisk, "Local/1001@agents")?;
        (!line.contains("paused")).then_some(())
    })
    .await;
    lab.tenant.disconnect().await;
    until("nobody is left a member", || async { member(&lab.asterisk, "Local/1001@agents").is_none().then_some(()) })
        .await;
}
