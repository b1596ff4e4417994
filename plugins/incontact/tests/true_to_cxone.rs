//! Each fault that was found against public facts of CXone, with what is right.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_cxone_emulator::{
    behaviour::{Behaviour, Parent},
    data::Data,
};
use jackfield_plugin_api::{
    Code, Command, Ending, Link,
    command::{MemberAction, RecordAction},
    report::{
        Availability, ChannelStatus, ChannelType, ConversationState as State, InteractionAt, InteractionState, Reason,
        SupervisionMode, Target,
    },
};
use serde_json::{Value, json};

fn with(change: impl FnOnce(&mut Data)) -> Data {
    let mut data = data();
    change(&mut data);
    data
}

fn on(channel: &str, key: &str) -> InteractionAt {
    InteractionAt { channel: channel.to_owned(), interaction: key.to_owned() }
}

fn consult(key: &str, to: &str) -> Command {
    Command::Consult { interaction: at(key), destination: to.to_owned() }
}

#[tokio::test]
async fn a_consult_with_a_master_and_a_parent_of_its_own_belongs_to_the_call_it_was_made_from() {
    let behaviour = Behaviour { parent: Parent::Own, shares_master: false, ..Behaviour::default() };
    let bench = Bench::that(behaviour).await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(consult(&key, "5550001")).await;
    assert_eq!(anna.keys(), [key.as_str()]);
    anna.in_state(&anna.consult(), State::Talking).await;
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_consult_that_comes_to_nothing_leaves_the_call_as_it_was() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    bench.fault("dial-phone", json!({"status": {"status": 400}}));
    anna.fails_with(consult(&key, "5550001"), Code::Rejected).await;
    assert!(is(&anna.session.view(), &key, State::Talking), "refused");
    bench.fault("dial-phone", json!("no_effect"));
    anna.fails_with(consult(&key, "5550001"), Code::Timeout).await;
    assert!(is(&anna.session.view(), &key, State::Talking), "without effect");
    assert_eq!(bench.about(ANNA)["contacts"][0]["Status"], "Active");
    bench.no_complaints();
}

#[tokio::test]
async fn an_answer_while_cxone_rings_the_agent_waits_for_his_phone() {
    // CXone has called the phone before the adapter has heard of it.
    let bench = Bench::of(with(|data| data.timing.agent_phone_ring = 300), |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    bench.emulator.control("hang-up-phone", json!({"agent": ANNA}));
    eventually("the phone is down", || bench.about(ANNA)["leg"] == "Disconnected").await;
    assert!(matches!(anna.session.view().channel("telephony").unwrap().status, Some(ChannelStatus::Active(_))));
    let key = anna.talking(&bench, ANNA).await;
    assert!(is(&anna.session.view(), &key, State::Talking));
    assert_eq!(bench.emulator.count("interactions/accept"), 0, "it is his by himself");
    bench.no_complaints();
}

#[tokio::test]
async fn a_phone_that_rings_unheard_of_is_no_failure() {
    let bench = Bench::of(with(|data| data.timing.agent_phone_ring = 200), |_| ()).await;
    let anna = bench.log_in("anna", "7001").await;
    // The session is there, and its phone rings; the poll that would tell of it is late.
    anna.activate("telephony").await;
    bench.emulator.control("hang-up-phone", json!({"agent": ANNA}));
    anna.until("it is told", |_| bench.about(ANNA)["leg"] == "Disconnected").await;
    bench.emulator.control("fault", json!({"call": "agent-phone/dial", "what": {"status": {"status": 409}}}));
    bench.emulator.control("arrive", json!({"agent": ANNA}));
    let connect = extension("session.request.incontact.agentleg.connect", Target::Session, json!({}));
    assert_eq!(anna.data(connect).await, json!({}));
    bench.no_complaints();
}

#[tokio::test]
async fn an_offer_that_becomes_active_without_being_accepted_is_answered() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = bench.arrive(ANNA, "call");
    anna.offered(&key).await;
    bench.fault("interactions/accept", json!({"status": {"status": 409}}));
    let take = async {
        eventually("it is tried", || bench.emulator.count("interactions/accept") == 1).await;
        bench.remote(ANNA, &key, "take");
    };
    let answer = anna.done(Command::Answer { conversation: call(&key) });
    tokio::join!(answer, take);
    assert!(is(&anna.session.view(), &key, State::Talking));
    // Talking already: a success, and nothing is asked of CXone.
    bench.no_complaints();
}

#[tokio::test]
async fn an_agent_who_must_accept_by_the_client_does() {
    let bench = Bench::new().await;
    let dora = bench.ready("dora", "7004").await;
    bench.emulator.control("hang-up-phone", json!({"agent": DORA}));
    eventually("the phone is down", || bench.about(DORA)["leg"] == "Disconnected").await;
    let key = bench.arrive(DORA, "call");
    dora.offered(&key).await;
    dora.done(Command::Answer { conversation: call(&key) }).await;
    assert!(is(&dora.session.view(), &key, State::Talking));
    assert_eq!(bench.emulator.count("interactions/accept"), 1);
    bench.no_complaints();
}

#[tokio::test]
async fn a_colleague_who_is_not_available_is_consulted_all_the_same() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let ben = bench.log_in("ben", "7002").await;
    ben.activate("telephony").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(consult(&key, &format!("agent:{BEN}"))).await;
    ben.until("the consult is offered", |view| view.interactions().count() == 1).await;
    assert_eq!((bench.emulator.count("consult-agent"), bench.emulator.count("dial-agent")), (1, 0));
    bench.no_complaints();
}

#[tokio::test]
async fn scripts_are_found_where_the_older_list_is_gone() {
    let behaviour = Behaviour { lists_scripts: false, ..Behaviour::default() };
    let bench = Bench::that(behaviour).await;
    let anna = bench.ready("anna", "7001").await;
    let scripts = extension("channel.request.incontact.getscripts", Target::Channel("telephony".to_owned()), json!({}));
    let expected = json!({"scripts": [{"scriptId": "900", "scriptName": "Callback offer"}]});
    assert_eq!(anna.data(scripts).await, expected);
}

#[tokio::test]
async fn who_may_not_read_dispositions_names_one_by_its_number() {
    let closed = with(|data| {
        let agents = data.business_unit.iter_mut().flat_map(|unit| &mut unit.agent);
        agents.for_each(|agent| agent.denied.push("skills/dispositions".to_owned()));
    });
    let bench = Bench::of(closed, |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let dispose = |text: &str| Command::SetDisposition { interaction: at(&key), disposition: text.to_owned() };
    let failure = anna.fails_with(dispose("Sold"), Code::Forbidden).await;
    assert!(failure.message.contains("number"), "{failure}");
    anna.done(dispose("1")).await;
    let number: u64 = key.parse().unwrap();
    eventually("the disposition", || bench.emulator.control("log", json!({}))["dispositions"] == json!([[number, 1]]))
        .await;
}

#[tokio::test]
async fn a_skill_without_dispositions_says_so() {
    let bench = Bench::new().await;
    let ben = bench.ready("ben", "7002").await;
    let key = bench.emulator.control("arrive", json!({"agent": BEN, "skill": 101}))["contact"].to_string();
    ben.offered(&key).await;
    ben.done(Command::Answer { conversation: call(&key) }).await;
    let dispose = Command::SetDisposition { interaction: at(&key), disposition: "Sold".to_owned() };
    let failure = ben.fails_with(dispose, Code::Rejected).await;
    assert_eq!(failure.context.as_deref(), Some("the skill has no dispositions"));
}

#[tokio::test]
async fn a_station_in_use_is_told_in_cxones_words_whether_it_is_refused_or_told_by_an_event() {
    for start_fails_by_event in [false, true] {
        let bench = Bench::that(Behaviour { start_fails_by_event, ..Behaviour::default() }).await;
        let _anna = bench.ready("anna", "7001").await;
        let ben = bench.log_in("ben", "7001").await;
        let options = jackfield_plugin_api::Json::empty_object();
        let activate = Command::Activate { channel: "telephony".to_owned(), queue: None, options };
        let failure = ben.fails_with(activate, Code::Conflict).await;
        assert!(failure.context.unwrap().contains("station 7001 is in use"), "by event: {start_fails_by_event}");
        bench.no_complaints();
    }
}

#[tokio::test]
async fn unavailable_for_no_reason_is_a_state_too() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    for reason in ["", "Unavailable"] {
        anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
        let command =
            Command::NotReady { channel: "telephony".to_owned(), reason_code: reason.to_owned(), reason_desc: None };
        anna.done(command).await;
        assert_eq!(anna.session.view().availability("telephony"), Some(Availability::NotReady));
        assert_eq!(bench.about(ANNA)["reason"], "");
    }
}

#[tokio::test]
async fn errors_of_one_resource_are_not_the_platforms() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let scripts =
        || extension("channel.request.incontact.getscripts", Target::Channel("telephony".to_owned()), json!({}));
    bench.emulator.control("fault", json!({"call": "scripts", "times": 20, "what": {"status": {"status": 500}}}));
    for _ in 0..3 {
        anna.fails(scripts()).await;
    }
    assert_eq!(bench.tenant.link(), Some(Link::Up));
    assert!(!bench.tenant.links().iter().any(|link| matches!(link, Link::Down { reason } if reason.contains("500"))));
    anna.talking(&bench, ANNA).await;
}

#[tokio::test]
async fn a_smartreach_skill_is_called_out_with_and_a_restricted_one_is_not() {
    let bench = Bench::new().await;
    let dora = bench.ready("dora", "7004").await;
    dora.done(dial("5550002")).await;
    assert_eq!(bench.about(DORA)["contacts"][0]["Skill"], "203");
}

#[tokio::test]
async fn what_cannot_be_handled_here_is_shown_and_says_so() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = bench.arrive(ANNA, "digital");
    anna.until("it is shown", |view| view.interaction(&key).is_some()).await;
    let view = anna.session.view();
    assert!(view.channel("digital").unwrap().interactions.iter().any(|it| it.key == key));
    let words = view.interaction(&key).unwrap().data["notHandledHere"].clone().unwrap();
    assert!(words.get().contains("NICE's own client"));
    for command in
        [Command::Accept { interaction: on("digital", &key) }, Command::Reject { interaction: on("digital", &key) }]
    {
        anna.fails_with(command, Code::Unsupported).await;
    }
    // Another window has it: logging out does not take it away.
    bench.remote(ANNA, &key, "answer");
    anna.until("it is going on", |view| view.interaction(&key).unwrap().state == Some(InteractionState::Started)).await;
    let failure = anna.session.log_out(Ending::LogOut).await.unwrap_err();
    assert_eq!(failure.code, Code::Rejected);
    assert_eq!(bench.about(ANNA)["contacts"][0]["Status"], "Active");
    bench.remote(ANNA, &key, "hangup");
    anna.gone(&key).await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
    bench.no_complaints();
}

#[tokio::test]
async fn voice_mails_and_work_items_are_taken_and_completed() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    for (kind, detail) in [("voicemail", "fileName"), ("workitem", "workItemPayload")] {
        let key = bench.arrive(ANNA, kind);
        anna.until("it is offered", |view| view.interaction(&key).is_some()).await;
        let view = anna.session.view();
        let shown = view.interaction(&key).unwrap();
        assert_eq!(shown.state, Some(InteractionState::Alerting));
        assert!(shown.data.contains_key(detail) && shown.data.contains_key("mediaType"), "{shown:?}");
        anna.done(Command::Accept { interaction: on(kind, &key) }).await;
        assert_eq!(anna.session.view().interaction(&key).unwrap().state, Some(InteractionState::Started));
        if kind == "voicemail" {
            let play = extension(
                "interaction.request.incontact.playvoicemail",
                Target::Interaction(on(kind, &key)),
                json!({"position": 3}),
            );
            assert_eq!(anna.data(play).await, json!({}));
            let number: u64 = key.parse().unwrap();
            eventually("it plays", || bench.emulator.control("log", json!({}))["played"] == json!([[number, 3]])).await;
        }
        anna.done(Command::Complete { interaction: on(kind, &key) }).await;
        assert!(anna.session.view().interaction(&key).is_none());
    }
    bench.no_complaints();
}

#[tokio::test]
async fn an_email_is_parked_while_others_come_and_taken_up_again() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    anna.add(ChannelType::Email, "mail").await;
    anna.activate("email").await;
    let first = bench.arrive(ANNA, "email");
    anna.until("it is offered", |view| view.interaction(&first).is_some()).await;
    anna.done(Command::Accept { interaction: on("email", &first) }).await;
    let park = |verb: &str| {
        let name = format!("interaction.request.incontact.{verb}");
        extension(&name, Target::Interaction(on("email", &first)), json!({}))
    };
    anna.data(park("park")).await;
    let parked = || anna.session.view().interaction(&first).unwrap().data.get("parked").cloned().flatten();
    assert_eq!(parked().map(|it| it.get().to_owned()).as_deref(), Some("true"));
    let second = bench.arrive(ANNA, "email");
    anna.until("both are shown", |view| view.interaction(&second).is_some()).await;
    anna.done(Command::Accept { interaction: on("email", &second) }).await;
    anna.data(park("unpark")).await;
    assert!(parked().is_none());
    assert_eq!(anna.keys().len(), 2);
    bench.no_complaints();
}

#[tokio::test]
async fn a_station_is_the_same_however_it_is_written() {
    let bench = Bench::new().await;
    let anna = bench.log_in("anna", "+15557001").await;
    anna.activate("telephony").await;
    anna.done(Command::RemoveChannel { channel: "telephony".to_owned() }).await;
    anna.add(ChannelType::Telephony, "15557001").await;
    anna.activate("telephony").await;
    bench.no_complaints();
}

#[tokio::test]
async fn nothing_is_said_of_a_recording_that_is_not_the_agents_until_it_is_paused() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let view = anna.session.view();
    let shown = view.interaction(&key).unwrap();
    assert_eq!((shown.recording, shown.recording_unknown), (None, true));
    for (action, then) in [
        (RecordAction::Pause, jackfield_plugin_api::report::Recording::Paused),
        (RecordAction::Resume, jackfield_plugin_api::report::Recording::On),
        (RecordAction::Stop, jackfield_plugin_api::report::Recording::Off),
    ] {
        anna.done(Command::Record { interaction: at(&key), action }).await;
        assert_eq!(anna.session.view().interaction(&key).unwrap().recording, Some(then));
    }
}

#[tokio::test]
async fn a_logout_is_over_when_cxones_session_is() {
    let bench = Bench::of(with(|data| data.timing.event_delay = 150), |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
    assert_eq!(bench.about(ANNA)["loggedIn"], json!(false));
    let again = bench.ready("anna", "7001").await;
    assert_eq!(
        bench.emulator.count("agent-sessions"),
        2 + 1,
        "two starts and one end: the dying session is not joined"
    );
    again.talking(&bench, ANNA).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_logout_without_effect_fails_and_the_agent_goes_on() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    bench.fault("agent-sessions", json!("no_effect"));
    let failure = anna.session.log_out(Ending::LogOut).await.unwrap_err();
    assert_eq!(failure.code, Code::Timeout);
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Release { conversation: call(&key) }).await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
    assert_eq!(bench.about(ANNA)["loggedIn"], json!(false));
}

#[tokio::test]
async fn an_offer_that_nobody_took_goes_elsewhere() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = bench.arrive(ANNA, "call");
    anna.offered(&key).await;
    bench.remote(ANNA, &key, "refuse");
    anna.gone(&key).await;
    assert_eq!(why_it_ended(&anna, &key), Some(Reason::Redirected));
}

#[tokio::test]
async fn a_call_that_cxone_cuts_with_the_agent_session_is_lost() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    bench.emulator.control("log-off", json!({"agent": ANNA}));
    anna.gone(&key).await;
    assert_eq!(why_it_ended(&anna, &key), Some(Reason::Lost));
    bench.no_complaints();
}

fn why_it_ended(desk: &Desk, key: &str) -> Option<Reason> {
    let reports = desk.session.reports();
    let told = reports.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions);
    told.filter(|it| it.key == key).filter_map(|it| it.reason).next_back()
}

#[tokio::test]
async fn a_supervisors_words_reach_the_agent_whom_he_logs_off() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    bench.emulator.control("log-off", json!({"agent": ANNA, "message": "Team meeting, please log in again later"}));
    let said = || events(&anna, "session.incontact.agentsession.ended");
    eventually("it is told", || !said().is_empty()).await;
    assert_eq!(said(), [json!({"message": "Team meeting, please log in again later"})]);
}

fn events(desk: &Desk, name: &str) -> Vec<Value> {
    let reports = desk.session.reports();
    let events = reports.iter().flat_map(|report| report.events.clone()).filter(|event| event.name == name);
    events.map(|event| event.data.parse().unwrap()).collect()
}

#[tokio::test]
async fn messages_for_the_agent_come_as_events() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    bench.emulator.control("message", json!({"agent": ANNA, "subject": "Lunch", "text": "At noon"}));
    let told = || events(&anna, "session.incontact.messages");
    eventually("it is told", || !told().is_empty()).await;
    let message = &told()[0]["messages"][0];
    assert_eq!((&message["subject"], &message["text"]), (&json!("Lunch"), &json!("At noon")));
}

#[tokio::test]
async fn a_limit_that_is_told_as_a_date_is_waited_for() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    bench.fault("interactions/hold", json!({"status": {"status": 429, "retry_after": 2, "as_date": true}}));
    anna.done(Command::Hold { conversation: call(&key) }).await;
    assert_eq!(bench.emulator.count("interactions/hold"), 2);
}

#[tokio::test]
async fn a_disposition_has_notes_tags_and_a_second_one_and_says_whether_it_must_be() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Release { conversation: call(&key) }).await;
    let at = || Target::Interaction(at(&key));
    let choices = anna.data(extension("interaction.request.incontact.dispositions", at(), json!({}))).await;
    assert_eq!(choices["dispositions"][0]["name"], "Sold");
    assert_eq!((&choices["required"], &choices["tags"][1]["name"]), (&json!(true), &json!("Renewal")));
    assert_eq!(choices["afterContactWork"]["seconds"], 60);
    let given =
        json!({"disposition": "sold", "notes": "two units", "secondary": "Call back later", "tags": ["Renewal"]});
    let dispose = extension("interaction.request.incontact.setdisposition", at(), given);
    assert_eq!(anna.data(dispose).await, json!({}));
    let log = || bench.emulator.control("log", json!({}));
    eventually("the disposition", || !log()["dispositionDetails"].as_array().unwrap().is_empty()).await;
    let expected =
        json!({"primaryDispositionId": 1, "primaryDispositionNotes": "two units", "secondaryDispositionId": 2});
    assert_eq!(log()["dispositionDetails"], json!([expected]));
    assert_eq!(log()["tags"][0][1], json!([52]));
    anna.done(Command::Complete { interaction: common::at(&key) }).await;
    bench.no_complaints();
}

#[tokio::test]
async fn one_party_of_a_conference_is_let_go() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(consult(&key, "5550001")).await;
    anna.in_state(&anna.consult(), State::Talking).await;
    anna.done(Command::ConsultConference { interaction: at(&key) }).await;
    let release = |address: &str| {
        let name = "conversation.request.incontact.releaseparty";
        extension(name, Target::Conversation(call(&key)), json!({"address": address}))
    };
    let members = || anna.session.view().conversation(&key).unwrap().members.clone().unwrap();
    let addresses = || members().iter().map(|it| it.address.clone().unwrap()).collect::<Vec<_>>();
    anna.fails_with(release("nobody"), Code::Rejected).await;
    anna.data(release("5550001")).await;
    assert_eq!(addresses(), ["5551234"]);

    // The same by the standard command.
    anna.done(Command::BlindConference { conversation: call(&key), destination: "5550001".to_owned() }).await;
    assert_eq!(addresses(), ["5551234", "5550001"]);
    let member = members()[1].key.clone();
    let to = |member: &str, action| Command::Member { conversation: call(&key), member: member.to_owned(), action };
    anna.fails_with(to("nobody", MemberAction::Remove), Code::NotFound).await;
    anna.done(to(&member, MemberAction::Remove)).await;
    assert_eq!(addresses(), ["5551234"]);
    bench.no_complaints();
}

#[tokio::test]
async fn supervisors_listen_and_agents_see_their_queues() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let supervisor = bench.ready("service", "7099").await;
    let monitor = |agent: u64| Command::Supervise { agent: agent.to_string(), mode: SupervisionMode::Listen };
    supervisor.fails_with(monitor(ANNA), Code::InvalidState).await;
    anna.talking(&bench, ANNA).await;
    supervisor.done(monitor(ANNA)).await;
    anna.fails_with(monitor(BEN), Code::Forbidden).await;
    let seen = json!([["monitor", 1999, ANNA]]);
    eventually("he listens", || bench.emulator.control("log", json!({}))["supervision"] == seen).await;

    bench.emulator.control("queued", json!({"skill": 100, "count": 4}));
    let queues = anna.data(extension("session.request.incontact.queues", Target::Session, json!({}))).await;
    let sales = queues["queues"].as_array().unwrap().iter().find(|queue| queue["skillName"] == "Sales").unwrap();
    assert_eq!(sales["waiting"], 4);
}

#[tokio::test]
async fn who_may_not_read_the_activity_of_skills_sees_his_own_queues() {
    let closed = with(|data| {
        let agents = data.business_unit.iter_mut().flat_map(|unit| &mut unit.agent);
        agents.for_each(|agent| agent.denied.push("skills/activity".to_owned()));
    });
    let bench = Bench::of(closed, |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    bench.emulator.control("queued", json!({"skill": 100, "count": 4}));
    let queues = anna.data(extension("session.request.incontact.queues", Target::Session, json!({}))).await;
    let sales = queues["queues"].as_array().unwrap().iter().find(|queue| queue["skillName"] == "Sales").unwrap();
    assert_eq!((&sales["waiting"], &sales["mediaType"]), (&json!(4), &json!("Phone Call")));
    assert!(sales["oldestSince"].is_string());
}

#[tokio::test]
async fn groups_are_the_agents_channels() {
    let bench = Bench::new().await;
    let session = bench.tenant.log_in("anna", "anna-secret").await.unwrap();
    session.start_with(jackfield_plugin_api::StartOptions::new(None)).await.unwrap();
    let anna = Desk { session };
    let add = |name: &str| Command::AddChannelGroup { name: name.to_owned(), chat: true, email: true, callback: false };
    anna.fails_with(add("desk"), Code::Rejected).await;
    anna.done(add("7001")).await;
    anna.fails_with(add("7001"), Code::Conflict).await;
    for channel in ["telephony", "chat", "email"] {
        let view = anna.session.view();
        assert_eq!(view.channel(channel).unwrap().group.as_deref(), Some("group 7001"));
        anna.activate(channel).await;
    }
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    let key = anna.talking(&bench, ANNA).await;
    anna.fails_with(Command::RemoveChannelGroup { group: "group 7001".to_owned() }, Code::Rejected).await;
    anna.done(Command::Release { conversation: call(&key) }).await;
    anna.done(Command::Complete { interaction: at(&key) }).await;
    anna.done(Command::RemoveChannelGroup { group: "group 7001".to_owned() }).await;
    let view = anna.session.view();
    assert!(["telephony", "chat", "email"].iter().all(|channel| view.channel(channel).is_none()));
    assert_eq!(bench.about(ANNA)["state"], "Unavailable");
    bench.no_complaints();
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_from_here_is_left_for_the_general_one() {
    let bench = Bench::that(Behaviour { leads_astray: true, ..Behaviour::default() }).await;
    let anna = bench.ready("anna", "7001").await;
    anna.talking(&bench, ANNA).await;
    assert!(!bench.tenant.links().iter().any(|link| matches!(link, Link::Down { reason } if !reason.contains("yet"))));
    bench.no_complaints();
}

#[tokio::test]
async fn a_callback_is_promised_put_off_offered_when_it_is_due_and_made() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let callbacks = |verb: &str, data: Value| {
        extension(&format!("session.request.incontact.callback{verb}"), Target::Session, data)
    };
    let promised = json!({"number": "5550001", "firstName": "Ada", "lastName": "Example", "notes": "about the order",
                          "time": "2026-12-01T10:00:00Z", "skillId": "200"});
    anna.fails_with(callbacks(".create", json!({"number": "5550001", "time": "soon", "skillId": 100})), Code::Rejected)
        .await;
    assert_eq!(anna.data(callbacks(".create", promised)).await, json!({}));
    let told = || events(&anna, "session.incontact.callbacks");
    eventually("it is told", || told().last().is_some_and(|told| told["callbacks"][0]["name"] == "Ada Example")).await;

    let listed = anna.data(callbacks("s", json!({}))).await["callbacks"][0].clone();
    assert_eq!((&listed["number"], &listed["notes"]), (&json!("5550001"), &json!("about the order")));
    let id = listed["id"].clone();
    let later = json!({"id": id, "time": "2026-12-01T11:00:00Z"});
    assert_eq!(anna.data(callbacks(".reschedule", later)).await, json!({}));
    eventually("it is put off", || {
        told().last().is_some_and(|told| told["callbacks"][0]["time"] == "2026-12-01T11:00:00Z")
    })
    .await;

    bench.emulator.control("callback-due", json!({"callback": id}));
    eventually("it is due", || !events(&anna, "session.incontact.callback.due").is_empty()).await;
    let due = &events(&anna, "session.incontact.callback.due")[0];
    assert_eq!((&due["id"], &due["name"]), (&id, &json!("Ada Example")));
    let key = anna.talking(&bench, ANNA).await;
    anna.fails_with(callbacks(".dial", json!({"id": id})), Code::InvalidState).await;
    anna.done(Command::Release { conversation: call(&key) }).await;
    anna.done(Command::Complete { interaction: at(&key) }).await;

    assert_eq!(anna.data(callbacks(".dial", json!({"id": id}))).await, json!({}));
    let status = || events(&anna, "session.incontact.callback.status");
    eventually("its status is told", || status() == [json!({"status": "Dialed"})]).await;
    let view = anna.session.view();
    let made = view.interactions().next().unwrap();
    assert_eq!(made.direction, Some(jackfield_plugin_api::report::Direction::Outbound));
    anna.in_state(&made.key, State::Talking).await;
    eventually("none is left", || told().last().is_some_and(|told| told["callbacks"] == json!([]))).await;
    anna.fails_with(callbacks(".cancel", json!({"id": id})), Code::NotFound).await;
    bench.no_complaints();
}

#[tokio::test]
async fn an_expert_is_consulted_from_a_conference_and_taken_into_it() {
    for join_resumes in [false, true] {
        let data = with(|data| {
            data.behaviour.join_resumes = join_resumes;
            data.business_unit.iter_mut().for_each(|unit| unit.max_conference_parties = 5);
        });
        let bench = Bench::of(data, |_| ()).await;
        let anna = bench.ready("anna", "7001").await;
        let key = anna.talking(&bench, ANNA).await;
        anna.done(Command::BlindConference { conversation: call(&key), destination: "5550001".to_owned() }).await;
        let parties = || anna.session.view().conversation(&key).unwrap().members.clone().unwrap().len();
        assert_eq!(parties(), 2);

        // Whom nobody reaches leaves the conference as it was.
        bench.fault("dial-phone", json!({"status": {"status": 400}}));
        anna.fails_with(consult(&key, "5550002"), Code::Rejected).await;
        assert!(is(&anna.session.view(), &key, State::Talking) && parties() == 2);

        anna.done(consult(&key, "5550002")).await;
        let second = anna.consult();
        assert!(is(&anna.session.view(), &key, State::Held) && parties() == 2);
        anna.in_state(&second, State::Talking).await;
        let alternate = |hold: &str, retrieve: &str| Command::Alternate {
            interaction: at(&key),
            hold: Some(hold.to_owned()),
            retrieve: retrieve.to_owned(),
        };
        anna.done(alternate(&second, &key)).await;
        assert!(is(&anna.session.view(), &key, State::Talking) && is(&anna.session.view(), &second, State::Held));
        anna.done(alternate(&key, &second)).await;
        anna.fails_with(Command::ConsultTransfer { interaction: at(&key) }, Code::InvalidState).await;

        anna.done(Command::ConsultConference { interaction: at(&key) }).await;
        assert!(is(&anna.session.view(), &key, State::Talking), "by itself: {join_resumes}");
        assert_eq!((parties(), anna.session.view().conversation(&second)), (3, None));
        let numbers = bench.about(ANNA)["contacts"].as_array().unwrap().iter().map(|it| it["Status"].clone()).collect();
        assert_eq!(Value::Array(numbers), json!(["Joined", "Joined", "Joined"]));
        bench.no_complaints();
    }
}
