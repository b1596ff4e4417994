//! What an agent does every day beside his calls: colleagues and queues that are called, supervision, promised callbacks,
//! dispositions with all that goes with them, and his phone between two calls.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_cxone_emulator::{behaviour::Behaviour, data::Data};
use jackfield_plugin_api::{
    Code, Command, Outcome,
    report::{
        Availability, ChannelStatus, Conversation, ConversationState as State, InteractionState, Reason,
        SupervisionMode, Target,
    },
};
use serde_json::{Value, json};

fn with(change: impl FnOnce(&mut Data)) -> Data {
    let mut data = data();
    change(&mut data);
    data
}

fn for_session(verb: &str, data: Value) -> Command {
    extension(&format!("session.request.incontact.{verb}"), Target::Session, data)
}

/// The only interaction, and its first conversation.
fn what_is_there(desk: &Desk) -> (String, String) {
    let view = desk.session.view();
    let interaction = view.interactions().next().unwrap();
    let conversations = interaction.conversations.clone().unwrap_or_default();
    (interaction.key.clone(), conversations[0].key.clone())
}

/// Takes the call that is offered, whoever's it is.
async fn takes_what_comes(desk: &Desk) {
    desk.until("a call is offered", |view| {
        view.interactions().flat_map(|it| it.conversations.iter().flatten()).any(|it| it.state == Some(State::Alerting))
    })
    .await;
    let (interaction, offered) = what_is_there(desk);
    desk.done(Command::Answer { conversation: conversation(&interaction, &offered) }).await;
}

#[tokio::test]
async fn colleagues_and_queues_are_called() {
    for (to, request) in [(format!("agent:{BEN}"), "dial-agent"), ("skill:101".to_owned(), "dial-skill")] {
        let bench = Bench::new().await;
        let (anna, ben) = (bench.ready("anna", "7001").await, bench.ready("ben", "7002").await);
        anna.done(dial(&to)).await;
        assert_eq!(bench.emulator.count(request), 1, "{to}");
        let key = anna.keys().remove(0);
        takes_what_comes(&ben).await;
        anna.in_state(&key, State::Talking).await;
        bench.no_complaints();
    }
}

#[tokio::test]
async fn a_queue_is_consulted_and_whoever_takes_it_gets_the_customer() {
    let bench = Bench::new().await;
    let (anna, ben) = (bench.ready("anna", "7001").await, bench.ready("ben", "7002").await);
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Consult { interaction: at(&key), destination: "skill:101".to_owned() }).await;
    takes_what_comes(&ben).await;
    anna.in_state(&anna.consult(), State::Talking).await;
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    has_the_customer(&ben, State::Talking).await;
    bench.no_complaints();
}

/// The customer is offered to somebody, or talks to him.
async fn has_the_customer(desk: &Desk, state: State) {
    let customer = |it: &Conversation| {
        let members = it.members.iter().flatten();
        members.into_iter().any(|member| member.address.as_deref() == Some("5551234"))
    };
    desk.until("the customer is there", |view| {
        let mut conversations = view.interactions().flat_map(|it| it.conversations.iter().flatten());
        conversations.any(|it| it.state == Some(state) && customer(it))
    })
    .await;
}

#[tokio::test]
async fn a_blind_transfer_to_a_colleague_brings_him_the_customer_whether_or_not_cxone_waits_for_his_answer() {
    for connects_dialing in [false, true] {
        let bench = Bench::that(Behaviour { connects_dialing, ..Behaviour::default() }).await;
        let anna = bench.ready("anna", "7001").await;
        // Not ready: his phone rings all the same.
        let ben = bench.log_in("ben", "7002").await;
        ben.activate("telephony").await;
        let key = anna.talking(&bench, ANNA).await;
        let transfer = Command::BlindTransfer { conversation: call(&key), destination: format!("agent:{BEN}") };
        if connects_dialing {
            anna.done(transfer).await;
            has_the_customer(&ben, State::Alerting).await;
            takes_what_comes(&ben).await;
        } else {
            tokio::join!(anna.done(transfer), takes_what_comes(&ben));
        }
        let view = anna.session.view();
        let shown = view.interaction(&key).unwrap();
        assert_eq!((shown.state, shown.reason), (Some(InteractionState::Ended), Some(Reason::Transferred)));
        has_the_customer(&ben, State::Talking).await;
        assert_eq!(ben.keys().len(), 1, "{connects_dialing}");
        bench.no_complaints();
    }
}

#[tokio::test]
async fn a_phone_that_cxone_hangs_up_behind_each_call_is_rung_for_the_next() {
    for rings_agent in [true, false] {
        let behaviour = Behaviour { keeps_agent_leg: false, rings_agent, ..Behaviour::default() };
        let bench = Bench::that(behaviour).await;
        let anna = bench.ready("anna", "7001").await;
        for _ in 0..2 {
            let key = anna.talking(&bench, ANNA).await;
            anna.done(Command::Release { conversation: call(&key) }).await;
            eventually("the phone is down", || bench.about(ANNA)["leg"] == "Disconnected").await;
            anna.done(Command::Complete { interaction: at(&key) }).await;
            anna.until("he is ready for the next", |view| {
                view.availability("telephony") == Some(Availability::Ready) && view.interactions().count() == 0
            })
            .await;
            let status = anna.session.view().channel("telephony").unwrap().status.clone();
            assert!(matches!(status, Some(ChannelStatus::Active(_))), "{status:?}");
        }
        bench.no_complaints();
    }
}

#[tokio::test]
async fn supervisors_listen_coach_barge_in_and_take_over() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let supervisor = bench.ready("service", "7099").await;
    anna.talking(&bench, ANNA).await;
    let last = || bench.emulator.control("log", json!({}))["supervision"].as_array().unwrap().last().cloned();
    for (mode, request) in
        [(SupervisionMode::Listen, "monitor"), (SupervisionMode::Whisper, "coach"), (SupervisionMode::Barge, "barge")]
    {
        supervisor.done(Command::Supervise { agent: format!("agent:{ANNA}"), mode }).await;
        eventually(request, || last() == Some(json!([request, 1999, ANNA]))).await;
        anna.fails_with(Command::Supervise { agent: BEN.to_string(), mode }, Code::Forbidden).await;
    }
    assert_eq!(supervisor.data(for_session("takeover", json!({"agent": ANNA}))).await, json!({}));
    eventually("he takes over", || last() == Some(json!(["take-over", 1999, ANNA]))).await;
    anna.fails_with(for_session("takeover", json!({"agent": BEN})), Code::Forbidden).await;
    bench.no_complaints();
}

#[tokio::test]
async fn one_more_contact_of_a_kind_is_asked_for() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    for kind in ["chat", "email", "workitem"] {
        assert_eq!(anna.data(for_session("addcontact", json!({"kind": kind}))).await, json!({}));
        anna.until(kind, |view| view.channel(kind).is_some_and(|channel| channel.interactions.len() == 1)).await;
    }
    bench.no_complaints();
}

#[tokio::test]
async fn a_callback_that_is_cancelled_is_no_more() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let promised = json!({"number": "5550001", "time": "2026-12-01T10:00:00Z"});
    assert_eq!(anna.data(for_session("callback.create", promised)).await, json!({}));
    let listed = anna.data(for_session("callbacks", json!({}))).await["callbacks"][0].clone();
    assert_eq!(listed["skillId"], "200", "without a skill it is that of consults");
    let cancel = || for_session("callback.cancel", json!({"id": listed["id"], "notes": "was there"}));
    assert_eq!(anna.data(cancel()).await, json!({}));
    let told = || {
        let reports = anna.session.reports();
        let mut events = reports.iter().flat_map(|report| report.events.clone());
        let last = events.rfind(|event| event.name == "session.incontact.callbacks");
        last.map(|event| event.data.parse::<Value>().unwrap())
    };
    eventually("it is told", || told() == Some(json!({"callbacks": []}))).await;
    anna.fails_with(cancel(), Code::NotFound).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_disposition_takes_an_amount_and_a_callback_and_finds_its_version() {
    // A CXone that has not the version in which dispositions are saved.
    let bench = Bench::of(with(|data| data.behaviour.saves_dispositions = false), |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let given = json!({"disposition": "Sold", "commitmentAmount": 12.5, "callbackTime": "2026-12-01T10:00:00Z",
                       "callbackNumber": "5550001"});
    let name = "interaction.request.incontact.setdisposition";
    assert_eq!(anna.data(extension(name, Target::Interaction(at(&key)), given)).await, json!({}));
    let expected = json!({"primaryDispositionId": 1, "primaryCommitmentAmount": 12.5,
                          "primaryCallbackTime": "2026-12-01T10:00:00Z", "primaryCallbackNumber": "5550001"});
    let log = || bench.emulator.control("log", json!({}));
    eventually("the disposition", || log()["dispositionDetails"] == json!([expected])).await;
    bench.no_complaints();
}

#[tokio::test]
async fn skills_and_dispositions_are_read_to_their_last_page() {
    let bench = Bench::of(with(|data| data.behaviour.page = 2), |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    let Outcome::NeedInfo(question) = anna.session.command(dial("5550001")).await else { panic!("it asks") };
    let question: Value = question.parse().unwrap();
    assert_eq!(question["skills"].as_array().unwrap().len(), 2);
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::SetDisposition { interaction: at(&key), disposition: "Not interested".to_owned() }).await;
}

#[tokio::test]
async fn who_may_not_read_the_unavailable_codes_names_one_all_the_same() {
    let closed = with(|data| {
        let agents = data.business_unit.iter_mut().flat_map(|unit| &mut unit.agent);
        agents.for_each(|agent| agent.denied.push("teams/unavailable-codes".to_owned()));
    });
    let bench = Bench::of(closed, |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    let not_ready = |reason: &str| Command::NotReady {
        channel: "telephony".to_owned(),
        reason_code: reason.to_owned(),
        reason_desc: None,
    };
    anna.done(not_ready("Lunch")).await;
    assert_eq!(bench.about(ANNA)["reason"], "Lunch");
    anna.fails_with(not_ready("Golf"), Code::Rejected).await;
    assert_eq!(bench.about(ANNA)["reason"], "Lunch");
    bench.no_complaints();
}

#[tokio::test]
async fn polls_wait_a_minute_where_cxone_has_told_its_address_and_half_of_it_elsewhere() {
    for (leads_astray, seconds) in [(false, 60), (true, 30)] {
        let bench = Bench::of(with(|data| data.behaviour.leads_astray = leads_astray), |settings| {
            settings["timing"].as_object_mut().unwrap().remove("poll_seconds");
        })
        .await;
        let anna = bench.ready("anna", "7001").await;
        let longest = || bench.emulator.control("log", json!({}))["longestPoll"].clone();
        eventually("a poll waits", || longest() == json!(seconds)).await;
        // What comes ends it at once.
        anna.talking(&bench, ANNA).await;
        assert_eq!(longest(), json!(seconds));
    }
}
