//! Callers who hang up, keep their place, and are called back.

use jackfield_plugin_api::{
    Code, Command, Outcome,
    report::{Cause, Interaction, InteractionAt, InteractionState, Reason, Role, Target},
};
use jackfield_tests::{
    asterisk::{
        Asterisk,
        cut::Cut,
        sipp::{Ask, Sipp},
    },
    host::{Host, Setup},
    until,
    words::{ANSWERED, PAIR},
};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, OUTSIDE, connect},
    floor::{at_work, logs_out},
    queue_log::{logged, open},
    queues::plays,
};

/// Settings of a queue whose callers may press 1; `more` of its callbacks.
fn with_key(more: Value) -> Value {
    let mut callback = json!({"key": "1"});
    callback.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"queues": {"sales": {"caller_id": "Sales <5550100>", "callback": callback}}})
}

/// The lines of `queue_log` about each caller in order: number, and events.
fn callers(asterisk: &Asterisk) -> Vec<(String, Vec<String>)> {
    let mut callers: Vec<(String, String, Vec<String>)> = Vec::new();
    for line in asterisk.queue_log().into_iter().filter(|line| line[0] != "NONE") {
        match callers.iter_mut().find(|(channel, ..)| *channel == line[0]) {
            Some((.., events)) => events.push(line[3].clone()),
            None => callers.push((line[0].clone(), line[5].clone(), vec![line[3].clone()])),
        }
    }
    callers.into_iter().map(|(_, number, events)| (number, events)).collect()
}

/// Somebody whom the dialplan has answered waits in the queue.
async fn waits(asterisk: &Asterisk, number: &str) -> Sipp {
    let customer = Sipp::customer(asterisk, number, "701", CUSTOMER).await;
    customer.saw("SIP/2.0 200 OK").await;
    let channel = asterisk.has_channel(number).await["id"].as_str().unwrap().to_owned();
    until(&format!("{number} is in the queue"), || async {
        asterisk.queue_log().iter().any(|line| line[0] == channel).then_some(())
    })
    .await;
    customer
}

/// Somebody waits, presses the key and is hung up.
async fn asks_to_be_called(asterisk: &Asterisk, number: &str) {
    let mut customer = waits(asterisk, number).await;
    customer.ask(&asterisk.has_channel(number).await, Ask::Key);
    assert!(customer.succeeds().await);
    assert!(asterisk.kept_callbacks().iter().any(|kept| kept.contains(number)), "it is kept");
}

/// Somebody presses the key, and Asterisk has heard it.
async fn presses_the_key(asterisk: &Asterisk, number: &str, customer: &Sipp) {
    customer.ask(&asterisk.has_channel(number).await, Ask::Key);
    until("Asterisk has the key", || async { asterisk.log().contains("DTMF end '1' received").then_some(()) }).await;
}

async fn nothing_is_kept(asterisk: &Asterisk) {
    until("Asterisk keeps no callback", || async { asterisk.kept_callbacks().is_empty().then_some(()) }).await;
}

impl Desk {
    async fn is_offered_a_callback_of(&self, number: &str) {
        self.rings().await;
        assert_eq!(self.members(Role::Primary), [number]);
        assert!(matches!(self.newest().data.get("JACKFIELD_CALLBACK"), Some(Some(_))), "{:?}", self.newest().data);
    }

    async fn of_callbacks(&self, name: &str, data: Value) -> Outcome {
        let name = format!("session.request.asterisk.{name}");
        self.session.command(Command::Extension { name, target: Target::Session, data: data.into() }).await
    }

    async fn sees_callbacks(&self) -> Vec<Value> {
        match self.of_callbacks("callbacks", json!({})).await {
            Outcome::Success(Some(data)) => data.parse::<Value>().unwrap()["callbacks"].as_array().unwrap().clone(),
            other => panic!("{other:?}"),
        }
    }

    async fn takes_it(&self) {
        self.does(Command::Answer { conversation: self.primary() }).await;
    }

    async fn releases(&self) {
        self.does(Command::Release { conversation: self.primary() }).await;
    }

    /// Takes a callback whose customer does not answer, and completes it.
    async fn calls_in_vain(&self, cause: Cause) {
        self.takes_it().await;
        let key = self.newest().key;
        let is_over = |it: &&Interaction| it.key == key && it.state == Some(InteractionState::Ended);
        self.session
            .wait_until("the customer was not reached", |view| view.interactions().any(|it| is_over(&it)))
            .await;
        let ended = self.session.view().interactions().find(is_over).cloned().unwrap();
        assert_eq!((ended.reason, ended.cause), (Some(Reason::Failed), Some(cause)));
        let interaction = InteractionAt { channel: self.extension.clone(), interaction: key };
        self.does(Command::Complete { interaction }).await;
    }

    /// Waits until both links to Asterisk are there, or that to the database is not.
    async fn can_ask(&self, can: bool) {
        until(&format!("callbacks can be asked for: {can}"), || async {
            match self.of_callbacks("callbacks", json!({})).await {
                Outcome::Success(_) => can.then_some(()),
                Outcome::Failure(failure) => {
                    assert_eq!(failure.code, Code::LinkDown);
                    (!can).then_some(())
                }
                other => panic!("{other:?}"),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn who_presses_the_key_is_hung_up_keeps_the_place_and_is_called_when_it_is_his_turn() {
    let Some(lab) = open(&["1001"], with_key(json!({}))).await else { return };
    asks_to_be_called(&lab.asterisk, "555").await;
    let mut later = waits(&lab.asterisk, "556").await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;

    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.is_offered_a_callback_of("555").await;
    assert!(lab.asterisk.channel("trunk").await.is_none(), "nobody is called before the agent takes it");
    anna.takes_it().await;
    anna.talks().await;
    outside.saw("INVITE sip:555@").await;
    outside.saw("<sip:5550100@").await;
    lab.asterisk.has_bridged(&["1001", "trunk"]).await;
    anna.phone.speak().await;
    outside.speak().await;
    anna.phone.media.hears(OUTSIDE).await;
    outside.media.hears(AGENT).await;
    nothing_is_kept(&lab.asterisk).await;
    anna.releases().await;

    // Then it is the turn of who came later and stayed.
    anna.rings().await;
    assert_eq!(anna.members(Role::Primary), ["556"]);
    anna.takes_it().await;
    later.speak().await;
    anna.phone.media.hears(CUSTOMER).await;
    anna.releases().await;
    assert!(later.succeeds().await);
    for (number, expected) in [
        ("555", vec!["ENTERQUEUE EXITWITHKEY", "ENTERQUEUE CONNECT COMPLETEAGENT"]),
        ("556", vec!["ENTERQUEUE CONNECT COMPLETEAGENT"]),
    ] {
        let logged = || async {
            let log = callers(&lab.asterisk);
            let of_number = log.iter().filter(|it| it.0 == number);
            (of_number.map(|it| it.1.join(" ")).collect::<Vec<_>>() == expected).then_some(())
        };
        until(&format!("{expected:?} of {number} are logged"), logged).await;
    }
    let left = logged(&lab.asterisk, "sales", "NONE", "EXITWITHKEY").await;
    assert_eq!(left[..3], ["1", "1", "1"], "the key, the place, and the place before");
    lab.close().await;
}

#[tokio::test]
async fn who_does_not_answer_is_called_again_and_at_last_given_up() {
    let mut settings = with_key(json!({"attempts": 2, "retry_seconds": 1}));
    settings["dial_timeout_seconds"] = 2.into();
    let Some(lab) = open(&["1001"], settings).await else { return };
    asks_to_be_called(&lab.asterisk, "480").await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    for attempt in 1..=2 {
        anna.is_offered_a_callback_of("480").await;
        anna.calls_in_vain(Cause::NoAnswer).await;
        assert_eq!(outside.calls_to("480"), attempt);
        let attempts: Vec<_> = anna.sees_callbacks().await.iter().map(|it| it["attempts"].clone()).collect();
        assert_eq!(attempts, if attempt == 1 { vec![json!(1)] } else { vec![] });
    }
    nothing_is_kept(&lab.asterisk).await;
    assert!(anna.session.view().interactions().next().is_none());
    lab.close().await;
}

#[tokio::test]
async fn a_rejected_callback_goes_to_the_next_agent_and_keeps_its_place() {
    let Some(lab) = open(&["1001", "1002"], with_key(json!({}))).await else { return };
    asks_to_be_called(&lab.asterisk, "555").await;
    let _later = waits(&lab.asterisk, "556").await;
    let _outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.is_offered_a_callback_of("555").await;
    anna.does(Command::Reject { interaction: anna.interaction() }).await;
    // The caller behind him is offered to who has rejected the first.
    anna.rings().await;
    assert_eq!(anna.members(Role::Primary), ["556"]);
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    bert.is_offered_a_callback_of("555").await;
    bert.takes_it().await;
    lab.asterisk.has_bridged(&["1002", "trunk"]).await;
    lab.close().await;
}

#[tokio::test]
async fn a_phone_that_is_called_for_each_call_rings_for_a_callback_and_calls_back_when_it_is_picked_up() {
    let mut settings = with_key(json!({}));
    settings["leg"] = "per-call".into();
    let Some(lab) = open(&["1001"], settings).await else { return };
    asks_to_be_called(&lab.asterisk, "555").await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.talks().await;
    anna.phone.saw("<sip:555@").await;
    lab.asterisk.has_bridged(&["1001", "trunk"]).await;
    anna.phone.speak().await;
    outside.speak().await;
    anna.phone.media.hears(OUTSIDE).await;
    outside.media.hears(AGENT).await;
    anna.releases().await;
    lab.asterisk.has_no_channel("1001").await;
    lab.close().await;
}

#[tokio::test]
async fn who_cannot_be_called_back_or_kept_stays_on_the_line() {
    // One who has no number; and a user of the manager interface who may not write into the database.
    for (number, user) in [("anonymous", "jackfield"), ("555", "clerk")] {
        let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
        let mut settings = with_key(json!({}));
        settings["manager"] = asterisk.manager_settings();
        settings["manager"]["user"] = user.into();
        let tenant = connect(&asterisk, asterisk.http, settings).await;
        let lab = Lab { asterisk, tenant };
        let customer = waits(&lab.asterisk, number).await;
        presses_the_key(&lab.asterisk, number, &customer).await;
        let anna = lab.agent("anna", "1001", AGENT).await;
        anna.rings().await;
        assert_eq!(anna.newest().data.get("JACKFIELD_CALLBACK"), None);
        anna.takes_it().await;
        anna.phone.speak().await;
        customer.media.hears(AGENT).await;
        assert_eq!(lab.asterisk.kept_callbacks(), Vec::<String>::new());
        lab.close().await;
    }
}

#[tokio::test]
async fn while_the_database_cannot_be_reached_callers_stay_and_nobody_is_offered_a_callback() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let cut = Cut::to(asterisk.manager).await;
    let mut settings = with_key(json!({}));
    settings["offer_again_seconds"] = 600.into();
    settings["manager"] = asterisk.manager_settings();
    settings["manager"]["url"] = format!("tcp://127.0.0.1:{}", cut.port).into();
    let tenant = connect(&asterisk, asterisk.http, settings).await;
    let lab = Lab { asterisk, tenant };
    asks_to_be_called(&lab.asterisk, "555").await;
    let mut stays = waits(&lab.asterisk, "556").await;
    stays.speak().await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.is_offered_a_callback_of("555").await;
    cut.cut();
    anna.can_ask(false).await;
    // The callback waits; who is on the line is served.
    until("the caller on the line is offered", || async {
        (anna.session.view().interactions().next().is_some() && anna.members(Role::Primary) == ["556"]).then_some(())
    })
    .await;
    anna.does(Command::Reject { interaction: anna.interaction() }).await;
    presses_the_key(&lab.asterisk, "556", &stays).await;
    stays.media.hears_music(&[AGENT]).await;
    assert!(!stays.has_ended());

    cut.mend();
    anna.can_ask(true).await;
    assert!(stays.succeeds().await);
    anna.is_offered_a_callback_of("555").await;
    anna.takes_it().await;
    outside.saw("INVITE sip:555@").await;
    lab.asterisk.has_bridged(&["1001", "trunk"]).await;
    lab.close().await;
}

#[tokio::test]
async fn who_works_for_the_queue_sees_its_callbacks_and_cancels_them() {
    let mut settings = with_key(json!({}));
    settings["queues"]["short"] = json!({});
    let Some(lab) = open(&["1001", "1002"], settings).await else { return };
    asks_to_be_called(&lab.asterisk, "555").await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.is_offered_a_callback_of("555").await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    let Outcome::Success(_) = bert.of_callbacks("queues", json!({"queues": ["short"]})).await else { panic!("he may") };
    let cancels = async |desk: &Desk, id: &str| desk.of_callbacks("callback.cancel", json!({"id": id})).await;
    let [callback] = anna.sees_callbacks().await.try_into().unwrap();
    let (id, since) = (callback["id"].as_str().unwrap().to_owned(), callback["since"].clone());
    let wanted =
        json!({"id": id, "queue": "sales", "number": "555", "name": "Customer", "since": since, "attempts": 0});
    assert_eq!(callback, wanted);
    assert_eq!(Some(Some(since.into())), anna.newest().data.get("JACKFIELD_CALLBACK").cloned());
    let queue = anna.sees_queue("sales").await;
    assert_eq!((queue.waiting, queue.data["callbacks"].clone()), (Some(0), json!(1).into()));
    assert!(bert.sees_callbacks().await.is_empty());
    for (desk, id) in [(&bert, id.as_str()), (&anna, "none")] {
        let Outcome::Failure(failure) = cancels(desk, id).await else { panic!("there is none for this agent") };
        assert_eq!(failure.code, Code::NotFound);
    }
    assert_eq!(cancels(&anna, &id).await, Outcome::success());
    assert_eq!(lab.asterisk.kept_callbacks(), Vec::<String>::new());
    anna.has_nothing().await;
    assert!(anna.sees_callbacks().await.is_empty());
    lab.close().await;
}

#[tokio::test]
async fn a_caller_is_told_of_the_key_and_hears_that_the_place_is_kept() {
    let mut settings = with_key(json!({"prompt": "sound:vm-goodbye", "confirmation": "sound:queue-thankyou"}));
    settings["queues"]["sales"]["announce_seconds"] = 1.into();
    let Some(lab) = open(&["1001"], settings).await else { return };
    let mut customer = waits(&lab.asterisk, "555").await;
    plays(&lab, "vm-goodbye").await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::Key);
    plays(&lab, "queue-thankyou").await;
    assert!(customer.succeeds().await);
    assert!(lab.asterisk.kept_callbacks()[0].contains("555"));
    // The same number once more: it keeps the place that it has.
    asks_to_be_called(&lab.asterisk, "555").await;
    assert_eq!(lab.asterisk.kept_callbacks().len(), 1);
    lab.close().await;
}

#[tokio::test]
async fn callbacks_outlive_asterisk_and_the_adapter_and_what_is_none_is_left_alone() {
    let Some(lab) = open(&["1001"], with_key(json!({}))).await else { return };
    asks_to_be_called(&lab.asterisk, "555").await;
    lab.asterisk.command_line("database put jackfield/jackfield-acme/callback other nonsense");
    for text in ["\"555\"", "nonsense"] {
        lab.asterisk.has_written(text).await;
    }
    lab.tenant.disconnect().await;
    lab.asterisk.restart().await;
    let mut settings = with_key(json!({}));
    settings["manager"] = lab.asterisk.manager_settings();
    let tenant = connect(&lab.asterisk, lab.asterisk.http, settings).await;
    let lab = Lab { asterisk: lab.asterisk, tenant };
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    anna.can_ask(true).await;
    anna.is_offered_a_callback_of("555").await;
    anna.takes_it().await;
    lab.asterisk.has_bridged(&["1001", "trunk"]).await;
    anna.phone.speak().await;
    outside.media.hears(AGENT).await;
    until("only the other entry is left", || async { (lab.asterisk.kept_callbacks() == ["nonsense"]).then_some(()) })
        .await;
    lab.close().await;
}

/// Waits until the host serves a metric of callbacks with a label and this value.
async fn measures(host: &Host, metric: &str, label: &str, value: u32) {
    let start = format!("jackfield_adapter_asterisk_{metric}{{");
    let end = format!("}} {value}");
    until(&format!("{metric} of {label} is {value}"), || async {
        let metrics = host.operations("/metrics").await;
        metrics.lines().any(|it| it.starts_with(&start) && it.contains(label) && it.ends_with(&end)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_callback_outlives_the_worker_before_its_turn_and_while_it_rings_outside() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let host = Setup::new().tenant(asterisk.tenant_that_calls_back()).start().await;
    let (mut anna, phone) = at_work(&asterisk, &host, "anna", "1001", AGENT).await;
    let channel = anna.the("channel");
    anna.does("channel.request.notready", &channel, json!({"reasoncode": "break"}), PAIR).await;
    asks_to_be_called(&asterisk, "850").await;
    host.kill_worker("acme").await;
    anna.hears_until("session.linkchanged").await;
    anna.hears("session.linkchanged").await;
    measures(&host, "waiting_callbacks", "queue=\"sales\"", 1).await;
    let outside = Sipp::outside(&asterisk, OUTSIDE).await;
    let response = anna.command("channel.request.ready", &channel, json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
    let offered = anna.hears_until("interaction.initialized").await;
    assert_eq!(offered.data("conversation.member.added(primary)")["member"]["address"], "850");
    let primary = anna.the("primary");
    anna.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    outside.saw("180 Ringing").await;

    host.kill_worker("acme").await;
    anna.hears_until("session.linkchanged").await;
    anna.hears("session.linkchanged").await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::Answer);
    asterisk.has_bridged(&["1001", "trunk"]).await;
    phone.speak().await;
    outside.speak().await;
    phone.media.hears(OUTSIDE).await;
    outside.media.hears(AGENT).await;
    nothing_is_kept(&asterisk).await;
    assert_eq!(outside.calls_to("850"), 1);
    measures(&host, "waiting_callbacks", "queue=\"sales\"", 0).await;
    measures(&host, "callbacks_total", "outcome=\"reached\"", 1).await;
    outside.ask(&asterisk.has_channel("trunk").await, Ask::HangUp);
    anna.hears_until("interaction.ended").await;
    logs_out(anna).await;
    asterisk.is_empty().await;
}
