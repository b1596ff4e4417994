//! Parking: a call waits at a number, whoever takes it and whatever becomes of the adapter.

use jackfield_plugin_api::{
    Code, Command, Outcome,
    report::{ConversationState::Talking, Reason, Role, Target},
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
    desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, connect},
    queue_log::open,
};

fn lot(spaces: &str) -> Value {
    json!({"parking": {"context": "parkedcalls", "parkext": "600", "parkpos": spaces}})
}

impl Desk {
    async fn parks(&self) -> Outcome {
        let target = Target::Conversation(self.primary());
        let name = "conversation.request.asterisk.park".to_owned();
        self.session.command(Command::Extension { name, target, data: json!({}).into() }).await
    }

    /// Parks the call; at which number.
    async fn has_parked_at(&self) -> String {
        let answer = told(self.parks().await);
        assert_eq!(self.newest().reason, Some(Reason::Transferred));
        answer["space"].as_str().expect("a number").to_owned()
    }

    /// Numbers and callers of what is parked.
    async fn sees_parked(&self) -> Vec<(String, String)> {
        let name = "session.request.asterisk.parked".to_owned();
        let asked = Command::Extension { name, target: Target::Session, data: json!({}).into() };
        let answer = told(self.session.command(asked).await);
        let text = |call: &Value, name: &str| call[name].as_str().unwrap().to_owned();
        answer["calls"].as_array().unwrap().iter().map(|it| (text(it, "space"), text(it, "address"))).collect()
    }
}

fn told(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Success(Some(data)) => data.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_parked_call_is_taken_by_a_colleague_after_the_adapter_was_there_anew() {
    let Some(Lab { asterisk, tenant }) = open(&["1001", "1002"], lot("601-620")).await else { return };
    let first = Lab { asterisk, tenant };
    let anna = first.agent("anna", "1001", AGENT).await;
    let mut customer = first.call(&anna).await;
    let data = Command::SetInteractionData {
        interaction: anna.interaction(),
        key: "CUSTOMER_ID".into(),
        value: "C-42".into(),
    };
    anna.does(data).await;
    assert_eq!(anna.has_parked_at().await, "601");
    assert_eq!(anna.sees_parked().await, [("601".to_owned(), "555".to_owned())]);
    customer.media.hears_music(&[AGENT, COLLEAGUE]).await;
    anna.completes().await;
    let Lab { asterisk, tenant } = first;
    tenant.disconnect().await;
    customer.media.hears_music(&[AGENT, COLLEAGUE]).await;

    let mut settings = lot("601-620");
    settings["manager"] = asterisk.manager_settings();
    let tenant = connect(&asterisk, asterisk.http, settings).await;
    let second = Lab { asterisk, tenant };
    let bert = second.agent("bert", "1002", COLLEAGUE).await;
    bert.fails(bert.dial("602"), Code::NotFound).await;
    bert.does(bert.dial("601")).await;
    bert.is(Role::Primary, Talking).await;
    assert_eq!(bert.members(Role::Primary), ["555"]);
    assert_eq!(bert.newest().data["CUSTOMER_ID"], Some("C-42".into()));
    bert.phone.speak().await;
    customer.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(CUSTOMER).await;
    assert_eq!(bert.sees_parked().await, []);
    bert.does(Command::Release { conversation: bert.primary() }).await;
    assert!(customer.succeeds().await);
    second.close().await;
}

#[tokio::test]
async fn a_call_is_not_parked_where_there_is_no_space_and_any_phone_takes_one_that_is() {
    let Some(lab) = open(&["1001"], lot("601-601")).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let mut parked = lab.call(&anna).await;
    assert_eq!(anna.has_parked_at().await, "601");
    anna.completes().await;
    let second = Sipp::customer(&lab.asterisk, "556", "700", COLLEAGUE).await;
    anna.rings().await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    let Outcome::Failure(failure) = anna.parks().await else { panic!("there is no space") };
    assert_eq!(failure.code, Code::Busy);
    second.speak().await;
    anna.phone.speak().await;
    second.media.hears(AGENT).await;

    let taker = Sipp::customer(&lab.asterisk, "557", "601", 1800).await;
    taker.saw("SIP/2.0 200").await;
    taker.speak().await;
    parked.media.hears(1800).await;
    taker.media.hears(CUSTOMER).await;
    taker.ask(&lab.asterisk.has_channel("557").await, Ask::HangUp);
    assert!(parked.succeeds().await);
    lab.close().await;
}

#[tokio::test]
async fn who_is_taken_by_nobody_comes_back_to_the_desktop_of_who_parked_him() {
    // An extension that parks for three seconds only.
    let short = json!({"parking": {"context": "from-trunk", "parkext": "710", "parkpos": "601-620"}});
    let Some(lab) = open(&["1001"], short).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = Sipp::customer(&lab.asterisk, "555", "702", CUSTOMER).await;
    anna.rings().await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    let first = anna.newest().key;
    // On a busy machine he may be back before anybody could say where he was.
    drop(anna.parks().await);
    until("the customer is offered again", || async { (anna.newest().key != first).then_some(()) }).await;
    anna.rings().await;
    assert_eq!(anna.members(Role::Primary), ["555"]);
    anna.session
        .wait_until("the call data are there", |view| {
            view.interactions().last().is_some_and(|it| it.data.get("CUSTOMER_ID") == Some(&Some("C-42".into())))
        })
        .await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    anna.phone.speak().await;
    customer.speak().await;
    customer.media.hears(AGENT).await;
    anna.phone.media.hears(CUSTOMER).await;
    lab.close().await;
}

#[tokio::test]
async fn without_a_lot_nothing_is_parked() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let tenant = connect(&asterisk, asterisk.http, json!({})).await;
    let lab = Lab { asterisk, tenant };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    let Outcome::Failure(failure) = anna.parks().await else { panic!("there is no parking lot") };
    assert_eq!(failure.code, Code::Unsupported);
    customer.media.hears(AGENT).await;
    lab.close().await;
}
