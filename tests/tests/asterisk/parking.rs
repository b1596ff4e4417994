//! Parking: a call waits at a number, whoever takes it and whatever becomes of the adapter.

use jackfield_plugin_api::{
    Code, Command, Outcome,
    report::{ConversationState::Talking, Reason, Role, Target},
};
use jackfield_tests::{
    agent::Agent,
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    host::{Host, Setup},
    patience, until,
};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, connect},
    floor::{at_work, in_call, logs_out},
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

/// A host whose tenant has a parking lot.
async fn host_with_lot(asterisk: &Asterisk) -> Host {
    let (port, password) = (asterisk.manager, "{ file = \"acme.password\" }");
    let manager = format!("{{ url = \"tcp://127.0.0.1:{port}\", user = \"jackfield\", password = {password} }}");
    let lot = "{ context = \"parkedcalls\", parkext = \"600\", parkpos = \"601-620\" }";
    Setup::new().tenant(asterisk.tenant(&format!("manager = {manager}\nparking = {lot}"))).start().await
}

/// Who is parked, as a desktop sees it once both links to Asterisk are there.
async fn parked(agent: &mut Agent) -> Value {
    let session = agent.session.clone();
    patience("the lot can be asked", async {
        loop {
            let response = agent.command("session.request.asterisk.parked", &session, json!({})).await;
            if response["result"] == "success" {
                break response["data"]["calls"].clone();
            }
            assert_eq!(response["failure"]["code"], "link_down", "{response}");
        }
    })
    .await
}

#[tokio::test]
async fn a_parked_call_outlives_the_worker_and_the_host_and_is_taken_from_the_next_one() {
    let Some(asterisk) = Asterisk::start(&["1001", "1002"]).await else { return };
    let mut host = host_with_lot(&asterisk).await;
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let mut customer = in_call(&asterisk, &mut anna).await;
    customer.speak().await;
    phone.speak().await;
    customer.media.hears(AGENT).await;
    let primary = anna.the("primary");
    let answer = anna.command("conversation.request.asterisk.park", &primary, json!({})).await;
    assert_eq!(answer["data"], json!({"space": "601"}), "{answer}");
    customer.media.hears_music(&[AGENT]).await;

    host.kill_worker("acme").await;
    anna.hears_until("session.linkchanged").await;
    anna.hears("session.linkchanged").await;
    let calls = parked(&mut anna).await;
    assert_eq!((&calls[0]["space"], &calls[0]["address"]), (&json!("601"), &json!("555")), "{calls}");
    customer.media.hears_music(&[AGENT]).await;
    // The tenant goes on: the next one is served.
    let interaction = anna.the("interaction");
    anna.command("interaction.request.complete", &interaction, json!({})).await;
    let mut next = Sipp::customer(&asterisk, "556", "700", COLLEAGUE).await;
    anna.hears_until("interaction.initialized").await;
    let primary = anna.the("primary");
    anna.command("conversation.request.answer", &primary, json!({})).await;
    asterisk.has_bridged(&["556", "1001"]).await;
    anna.command("conversation.request.release", &primary, json!({})).await;
    assert!(next.succeeds().await);

    host.terminate();
    assert!(host.ends().await.success());
    customer.media.hears_music(&[AGENT]).await;

    let host = host_with_lot(&asterisk).await;
    let (mut bert, bert_phone) = at_work(&asterisk, &host, "bert", "1002", COLLEAGUE).await;
    assert_eq!(parked(&mut bert).await[0]["space"], "601");
    let channel = bert.the("channel");
    let response = bert.command("channel.request.dial", &channel, json!({"destination": "601"})).await;
    assert_eq!(response["result"], "success", "{response}");
    bert_phone.speak().await;
    customer.media.hears(COLLEAGUE).await;
    bert_phone.media.hears(CUSTOMER).await;
    let primary = bert.the("primary");
    bert.command("conversation.request.release", &primary, json!({})).await;
    assert!(customer.succeeds().await);
    logs_out(bert).await;
    asterisk.is_empty().await;
}

#[tokio::test]
async fn who_is_parked_no_more_when_that_is_asked_is_told_so_at_once() {
    // Stand-ins for a lot that does not keep whom it is given: one connects him at once, one hangs up.
    for (context, parkext) in [("from-phones", "801"), ("from-trunk", "703")] {
        let lot = json!({"parking": {"context": context, "parkext": parkext, "parkpos": "601-620"}});
        let Some(lab) = open(&["1001"], lot).await else { return };
        let _outside = Sipp::outside(&lab.asterisk, 1500).await;
        let anna = lab.agent("anna", "1001", AGENT).await;
        let _customer = lab.call(&anna).await;
        match anna.parks().await {
            Outcome::Success(Some(data)) if parkext == "801" => assert_eq!(data.parse::<Value>().unwrap(), json!({})),
            Outcome::Failure(failure) if parkext == "703" => assert_eq!(failure.code, Code::InvalidState, "{failure}"),
            other => panic!("{parkext}: {other:?}"),
        }
        lab.close().await;
    }
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
