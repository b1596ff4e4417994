//! An agent's calls: every command's call of CXone, and that it succeeds only once CXone has told so.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_plugin_api::{
    Code, Command, Outcome,
    command::RecordAction,
    report::{
        Availability, Cause, ChannelStatus, ChannelType, ConversationState as State, InteractionState, Reason,
        Recording, Target,
    },
};
use serde_json::json;

#[tokio::test]
async fn a_session_starts_at_a_station_and_its_channel_is_active_once_the_agents_phone_is_up() {
    let bench = Bench::new().await;
    let anna = bench.log_in("anna", "7001").await;
    assert_eq!(anna.session.view().channel("telephony").unwrap().status, Some(ChannelStatus::Inactive));
    anna.activate("telephony").await;
    assert_eq!(anna.session.view().availability("telephony"), Some(Availability::NotReady));
    let about = bench.about(ANNA);
    assert_eq!((&about["station"], &about["leg"]), (&json!("7001"), &json!("Active")));
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    assert_eq!(anna.session.view().availability("telephony"), Some(Availability::Ready));
    anna.session.log_out(jackfield_plugin_api::Ending::LogOut).await.unwrap();
    eventually("CXone's session is over", || bench.about(ANNA)["loggedIn"] == json!(false)).await;
    bench.no_complaints();
}

#[tokio::test]
async fn an_existing_session_is_joined_and_its_calls_are_in_the_snapshot() {
    let bench = Bench::new().await;
    let first = bench.ready("anna", "7001").await;
    let key = first.talking(&bench, ANNA).await;
    first.session.log_out(jackfield_plugin_api::Ending::Leave).await.unwrap();
    let second = bench.log_in("anna", "9999").await;
    let view = second.session.view();
    assert!(is(&view, &key, State::Talking));
    assert_eq!(view.channel("telephony").unwrap().endpoint.as_deref(), Some("7001"), "where CXone says he sits");
    assert_eq!(bench.emulator.count("agent-sessions"), 1, "no second session was started");
    bench.no_complaints();
}

#[tokio::test]
async fn wrong_credentials_and_keys_of_another_tenant_are_refused() {
    let bench = Bench::new().await;
    let failure = bench.tenant.log_in("anna", "wrong").await.err().unwrap();
    assert_eq!(failure.code, Code::Unauthorized);
    assert!(!format!("{failure:?}").contains("jackfield-client-secret"));
    let failure = bench.tenant.log_in("gil", "gil-secret").await.err().unwrap();
    assert_eq!(failure.code, Code::Unauthorized, "{failure}");
    bench.no_complaints();
}

#[tokio::test]
async fn a_service_key_acts_for_agents_who_log_in_with_a_password_of_ours() {
    let bench = Bench::with(|settings| {
        settings["service_key"] = json!({"id": "service", "secret": "service-secret"});
        settings["agents"] = json!({"front-desk": {"agent_id": ANNA, "password": "ours"}});
    })
    .await;
    assert_eq!(bench.tenant.log_in("front-desk", "theirs").await.err().unwrap().code, Code::Unauthorized);
    let session = bench.tenant.log_in("front-desk", "ours").await.unwrap();
    let desk = Desk { session };
    desk.session.start_with(jackfield_plugin_api::StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    desk.activate("telephony").await;
    let key = desk.talking(&bench, ANNA).await;
    desk.done(Command::Release { conversation: call(&key) }).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_call_is_offered_answered_held_retrieved_released_and_completed() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    assert!(is(&anna.session.view(), &key, State::Talking));
    anna.done(Command::Hold { conversation: call(&key) }).await;
    assert!(is(&anna.session.view(), &key, State::Held));
    anna.done(Command::Retrieve { conversation: call(&key) }).await;
    assert!(is(&anna.session.view(), &key, State::Talking));
    anna.done(Command::Release { conversation: call(&key) }).await;
    let view = anna.session.view();
    assert_eq!(view.interaction(&key).unwrap().state, Some(InteractionState::Ended));
    assert_eq!(view.availability("telephony"), Some(Availability::Acw));
    anna.done(Command::Complete { interaction: at(&key) }).await;
    assert!(anna.session.view().interaction(&key).is_none());
    assert_eq!(anna.session.view().availability("telephony"), Some(Availability::Ready));
    bench.no_complaints();
}

#[tokio::test]
async fn a_call_can_be_rejected_abandoned_and_hung_up_by_the_customer() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let ended = |key: &str| {
        let reports = anna.session.reports();
        let told = reports.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions);
        told.filter(|it| it.key == key).filter_map(|it| it.reason).next_back()
    };
    let key = bench.arrive(ANNA, "call");
    anna.offered(&key).await;
    anna.done(Command::Reject { interaction: at(&key) }).await;
    assert_eq!((anna.keys(), ended(&key)), (vec![], Some(Reason::Rejected)));
    let key = bench.arrive(ANNA, "call");
    anna.offered(&key).await;
    bench.remote(ANNA, &key, "hangup");
    anna.gone(&key).await;
    assert_eq!(ended(&key), Some(Reason::Abandoned));
    let key = anna.talking(&bench, ANNA).await;
    bench.remote(ANNA, &key, "hangup");
    anna.ended(&key).await;
    assert_eq!(ended(&key), Some(Reason::Released));
    bench.no_complaints();
}

#[tokio::test]
async fn mute_holds_for_every_call_on_the_agents_phone() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Consult { interaction: at(&key), destination: "5550001".to_owned() }).await;
    let consult = anna.consult();
    anna.in_state(&consult, State::Talking).await;
    anna.done(Command::Mute { conversation: call(&key) }).await;
    let view = anna.session.view();
    assert_eq!([&key, &consult].map(|it| view.conversation(it).unwrap().muted), [Some(true); 2]);
    anna.done(Command::Unmute { conversation: conversation(&key, &consult) }).await;
    let view = anna.session.view();
    assert_eq!([&key, &consult].map(|it| view.conversation(it).unwrap().muted), [Some(false); 2]);
    bench.no_complaints();
}

#[tokio::test]
async fn recording_starts_pauses_resumes_and_stops_where_the_agent_may() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let recording = || anna.session.view().interaction(&key).unwrap().recording;
    for (action, then) in [
        (RecordAction::Start, Recording::On),
        (RecordAction::Pause, Recording::Paused),
        (RecordAction::Resume, Recording::On),
        (RecordAction::Stop, Recording::Off),
    ] {
        anna.done(Command::Record { interaction: at(&key), action }).await;
        assert_eq!(recording(), Some(then));
    }
    let cleo = bench.ready("cleo", "7003").await;
    let key = cleo.talking(&bench, CLEO).await;
    let record = Command::Record { interaction: at(&key), action: RecordAction::Start };
    cleo.fails_with(record, Code::Unsupported).await;
    bench.no_complaints();
}

#[tokio::test]
async fn tones_are_sent_into_the_call() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::SendDtmf { conversation: call(&key), digits: "12#".to_owned() }).await;
    eventually("the tones", || bench.emulator.control("log", json!({}))["tones"] == json!([["12#", 340, 0]])).await;
}

#[tokio::test]
async fn dialling_asks_for_the_skill_only_where_there_is_a_choice() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let Outcome::NeedInfo(question) = anna.session.command(dial("5550001")).await else { panic!("it asks") };
    let expected = json!({"id": "inContact.outboundskill", "skills": [
        {"id": "200", "skillName": "Sales out"}, {"id": "201", "skillName": "Service out"}]});
    assert_eq!(question.parse::<serde_json::Value>().unwrap(), expected);
    assert_eq!(bench.emulator.count("dial-phone"), 0);

    anna.fails_with(dial_with("5550001", json!({"skill": {"id": "999"}})), Code::Rejected).await;
    anna.done(dial_with("5550001", json!({"skill": {"id": "201"}}))).await;
    let key = anna.keys()[0].clone();
    assert_eq!(bench.about(ANNA)["contacts"][0]["Skill"], "201");
    anna.in_state(&key, State::Talking).await;

    let ben = bench.ready("ben", "7002").await;
    ben.done(dial("5550002")).await;
    assert_eq!(bench.about(BEN)["contacts"][0]["Skill"], "201", "the only one is taken at once");

    let cleo = bench.ready("cleo", "7003").await;
    let failure = cleo.fails_with(dial("5550003"), Code::Rejected).await;
    assert!(failure.message.contains("no skill"), "{failure}");
    bench.no_complaints();
}

#[tokio::test]
async fn a_dialled_party_can_be_busy_unknown_cancelled_or_answer() {
    let bench = Bench::new().await;
    let ben = bench.ready("ben", "7002").await;
    let last = |key: &str| {
        let reports = ben.session.reports();
        let told = reports.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions);
        told.filter(|it| it.key == key && it.gone).map(|it| (it.reason, it.cause)).next_back()
    };
    for (number, cause) in [("486", Cause::Busy), ("404", Cause::Unreachable)] {
        ben.done(dial(number)).await;
        let key = ben.keys()[0].clone();
        ben.gone(&key).await;
        assert_eq!(last(&key), Some((Some(Reason::Failed), Some(cause))));
    }
    ben.done(dial("480")).await;
    let key = ben.keys()[0].clone();
    ben.done(Command::Release { conversation: call(&key) }).await;
    assert_eq!(last(&key), Some((Some(Reason::Failed), Some(Cause::Cancelled))));
    ben.done(dial("5550001")).await;
    let key = ben.keys()[0].clone();
    ben.in_state(&key, State::Talking).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_refusal_of_cxone_comes_with_its_own_words() {
    let bench = Bench::new().await;
    let ben = bench.ready("ben", "7002").await;
    let failure = ben.fails_with(dial("not a number"), Code::Rejected).await;
    let context = failure.context.unwrap();
    assert!(context.contains("400") && context.contains("InvalidPhoneNumber"), "{context}");
    assert_eq!(ben.keys(), Vec::<String>::new());
    bench.no_complaints();
}

#[tokio::test]
async fn a_consult_is_alternated_and_then_transferred_to_an_outside_party() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Consult { interaction: at(&key), destination: "5550001".to_owned() }).await;
    let consult = anna.consult();
    assert!(is(&anna.session.view(), &key, State::Held));
    anna.in_state(&consult, State::Talking).await;
    let alternate = |hold: &str, retrieve: &str| Command::Alternate {
        interaction: at(&key),
        hold: Some(hold.to_owned()),
        retrieve: retrieve.to_owned(),
    };
    anna.done(alternate(&consult, &key)).await;
    assert!(is(&anna.session.view(), &key, State::Talking) && is(&anna.session.view(), &consult, State::Held));
    anna.done(alternate(&key, &consult)).await;
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    let view = anna.session.view();
    assert_eq!(view.interaction(&key).unwrap().state, Some(InteractionState::Ended));
    assert_eq!(view.interaction(&key).unwrap().reason, Some(Reason::Transferred));
    bench.no_complaints();
}

#[tokio::test]
async fn a_consult_with_a_colleague_and_a_transfer_moves_the_customer_under_a_new_contact_id() {
    let bench = Bench::new().await;
    let (anna, ben) = (bench.ready("anna", "7001").await, bench.ready("ben", "7002").await);
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Consult { interaction: at(&key), destination: format!("agent:{BEN}") }).await;
    let consult = anna.consult();
    ben.until("the consult is offered", |view| is(view, &consult, State::Alerting)).await;
    // The MasterID is the customer's, on the colleague's side too.
    ben.done(Command::Answer { conversation: conversation(&key, &consult) }).await;
    anna.in_state(&consult, State::Talking).await;
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    ben.until("the customer is a member", |view| {
        let members = view.conversation(&consult).and_then(|it| it.members.clone()).unwrap_or_default();
        members.iter().any(|member| member.address.as_deref() == Some("5551234"))
    })
    .await;
    assert!(is(&ben.session.view(), &consult, State::Talking), "the conversation went on under its own key");
    // Commands reach the contact under its new id.
    ben.done(Command::Hold { conversation: conversation(&key, &consult) }).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_conference_takes_the_consult_in_and_the_agent_can_leave_it_alone() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Consult { interaction: at(&key), destination: "5550001".to_owned() }).await;
    let consult = anna.consult();
    anna.in_state(&consult, State::Talking).await;
    anna.done(Command::ConsultConference { interaction: at(&key) }).await;
    let view = anna.session.view();
    assert!(view.conversation(&consult).is_none());
    assert_eq!(view.conversation(&key).unwrap().members.as_ref().unwrap().len(), 2);
    anna.done(Command::Hold { conversation: call(&key) }).await;
    assert!(is(&anna.session.view(), &key, State::Held), "the others stay together");
    anna.done(Command::Retrieve { conversation: call(&key) }).await;
    assert!(is(&anna.session.view(), &key, State::Talking));
    anna.done(Command::Release { conversation: call(&key) }).await;
    let view = anna.session.view();
    assert_eq!(view.interaction(&key).unwrap().state, Some(InteractionState::Ended));
    assert_eq!(view.interaction(&key).unwrap().reason, Some(Reason::Released));
    bench.no_complaints();
}

#[tokio::test]
async fn a_blind_transfer_shows_nothing_of_the_second_call() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    drop(anna.session.take_reports());
    anna.done(Command::BlindTransfer { conversation: call(&key), destination: "5550001".to_owned() }).await;
    let told: Vec<_> = anna.session.take_reports();
    let told = told.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions);
    let states: Vec<_> =
        told.flat_map(|it| it.conversations.iter().flatten()).map(|it| (it.key.as_str(), it.state)).collect();
    assert!(states.iter().all(|(one, _)| *one == key), "{states:?}");
    assert!(!states.contains(&(key.as_str(), Some(State::Held))), "{states:?}");
    assert_eq!(anna.session.view().interaction(&key).unwrap().reason, Some(Reason::Transferred));
    bench.no_complaints();
}

#[tokio::test]
async fn a_blind_conference_is_done_when_the_party_has_joined_and_undone_when_it_is_busy() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let to = |number: &str| Command::BlindConference { conversation: call(&key), destination: number.to_owned() };
    let failure = anna.fails_with(to("486"), Code::Busy).await;
    assert!(failure.context.unwrap().contains("Busy"));
    anna.in_state(&key, State::Talking).await;
    assert_eq!(anna.keys(), std::slice::from_ref(&key));
    assert_eq!(bench.about(ANNA)["contacts"][0]["Status"], "Active", "the call is taken back");
    anna.done(to("5550001")).await;
    assert_eq!(anna.session.view().conversation(&key).unwrap().members.as_ref().unwrap().len(), 2);
    bench.no_complaints();
}

#[tokio::test]
async fn chats_and_emails_are_accepted_rejected_and_completed() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    anna.add(ChannelType::Chat, "chat").await;
    anna.add(ChannelType::Email, "mail").await;
    anna.activate("chat").await;
    anna.activate("email").await;
    for (kind, channel) in [("chat", "chat"), ("email", "email")] {
        let at = |key: &str| jackfield_plugin_api::report::InteractionAt {
            channel: channel.to_owned(),
            interaction: key.to_owned(),
        };
        let state = |key: &str| anna.session.view().interaction(key).and_then(|it| it.state);
        let key = bench.arrive(ANNA, kind);
        anna.until("it is offered", |view| view.interaction(&key).is_some()).await;
        assert_eq!(state(&key), Some(InteractionState::Alerting));
        let view = anna.session.view();
        assert_eq!(view.channel(channel).unwrap().interactions.len(), 1, "on its own channel");
        anna.done(Command::Accept { interaction: at(&key) }).await;
        assert_eq!(state(&key), Some(InteractionState::Started));
        anna.done(Command::Complete { interaction: at(&key) }).await;
        assert_eq!(state(&key), None);
        let key = bench.arrive(ANNA, kind);
        anna.until("it is offered", |view| view.interaction(&key).is_some()).await;
        anna.done(Command::Reject { interaction: at(&key) }).await;
        assert_eq!(state(&key), None);
    }
    bench.no_complaints();
}

#[tokio::test]
async fn a_chat_for_an_agent_without_a_chat_channel_is_shown_all_the_same() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = bench.arrive(ANNA, "chat");
    anna.until("the chat is shown", |view| view.interaction(&key).is_some()).await;
    assert!(matches!(anna.session.view().channel("chat").unwrap().status, Some(ChannelStatus::Active(_))));
}

#[tokio::test]
async fn dispositions_go_out_by_number_and_unknown_ones_name_the_nearest() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let dispose = |text: &str| Command::SetDisposition { interaction: at(&key), disposition: text.to_owned() };
    let failure = anna.fails_with(dispose("sould"), Code::Rejected).await;
    assert!(failure.context.unwrap().starts_with("nearest: Sold"));
    anna.done(dispose("sold")).await;
    let number: u64 = key.parse().unwrap();
    eventually("the disposition", || bench.emulator.control("log", json!({}))["dispositions"] == json!([[number, 1]]))
        .await;
    // In after-contact work CXone ends the contact for a disposition; the agent completes it afterwards.
    anna.done(Command::Release { conversation: call(&key) }).await;
    anna.done(dispose("Call back later")).await;
    eventually("CXone has ended the contact", || bench.about(ANNA)["contacts"] == json!([])).await;
    anna.until("the agent is ready again", |view| view.availability("telephony") == Some(Availability::Ready)).await;
    assert_eq!(anna.session.view().interaction(&key).unwrap().state, Some(InteractionState::Ended));
    anna.done(Command::Complete { interaction: at(&key) }).await;
    assert_eq!(anna.keys(), Vec::<String>::new());
    bench.no_complaints();
}

#[tokio::test]
async fn call_data_is_sent_and_shown_and_cannot_hold_a_separator() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let set = |value: &str| Command::SetInteractionData {
        interaction: at(&key),
        key: "case".to_owned(),
        value: value.into(),
    };
    anna.done(set("42")).await;
    assert_eq!(anna.session.view().interaction(&key).unwrap().data["case"].as_ref().unwrap().get(), "\"42\"");
    eventually("CXone has it", || bench.about(ANNA)["contacts"][0]["CustomData"] == "case|42").await;
    anna.fails_with(set("a|b"), Code::Rejected).await;
}

#[tokio::test]
async fn a_screen_pop_address_is_shown_with_the_call_or_later() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = bench.emulator.control("arrive", json!({"agent": ANNA, "url": "https://crm.example/1"}));
    let key = key["contact"].to_string();
    anna.offered(&key).await;
    let url = || anna.session.view().interaction(&key).unwrap().url.clone();
    assert_eq!(url().as_deref(), Some("https://crm.example/1"));
    bench
        .emulator
        .control("remote", json!({"agent": ANNA, "contact": key, "does": "pop", "url": "https://crm.example/2"}));
    anna.until("the later address", |view| {
        view.interaction(&key).unwrap().url.as_deref() == Some("https://crm.example/2")
    })
    .await;
}

#[tokio::test]
async fn reasons_go_out_by_name_and_a_change_during_a_call_is_pending() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let not_ready = |reason: &str| Command::NotReady {
        channel: "telephony".to_owned(),
        reason_code: reason.to_owned(),
        reason_desc: None,
    };
    let info = || match anna.session.view().channel("telephony").unwrap().status.clone() {
        Some(ChannelStatus::Active(info)) => info,
        other => panic!("{other:?}"),
    };
    let failure = anna.fails_with(not_ready("Golf"), Code::Rejected).await;
    assert!(failure.context.unwrap().contains("Lunch"));
    anna.done(not_ready("11")).await;
    assert_eq!(info().reason_code.as_deref(), Some("Lunch"), "by number too");
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    anna.fails_with(not_ready("acw"), Code::InvalidState).await;

    let key = anna.talking(&bench, ANNA).await;
    anna.done(not_ready("Lunch")).await;
    assert_eq!(info().availability, Some(Availability::Ready));
    assert_eq!(info().pending.unwrap().reason_code.as_deref(), Some("Lunch"));
    anna.done(Command::Release { conversation: call(&key) }).await;
    anna.done(Command::Complete { interaction: at(&key) }).await;
    assert_eq!((info().availability, info().reason_code.as_deref()), (Some(Availability::NotReady), Some("Lunch")));
    assert_eq!(info().pending, None);
    bench.no_complaints();
}

#[tokio::test]
async fn the_agents_phone_is_connected_and_disconnected_and_tells_when_it_is_not_answered() {
    let bench = Bench::new().await;
    let anna = bench.log_in("anna", "7001").await;
    bench.emulator.control("phone", json!({"agent": ANNA, "behaviour": "busy"}));
    let activate = || Command::Activate {
        channel: "telephony".to_owned(),
        queue: None,
        options: jackfield_plugin_api::Json::empty_object(),
    };
    anna.fails_with(activate(), Code::Unreachable).await;
    bench.emulator.control("phone", json!({"agent": ANNA}));
    let leg = |verb: &str| extension(&format!("session.request.incontact.agentleg.{verb}"), Target::Session, json!({}));
    assert_eq!(anna.data(leg("connect")).await, json!({}));
    assert_eq!(anna.data(leg("disconnect")).await, json!({}));
    let events: Vec<_> = anna.session.reports().iter().flat_map(|it| it.events.clone()).map(|it| it.name).collect();
    assert_eq!(events, ["session.agentleg.failed", "session.agentleg.connected", "session.agentleg.disconnected"]);
    bench.no_complaints();
}

#[tokio::test]
async fn a_channel_is_deactivated_and_removed_and_cxone_sends_no_more_contacts() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    drop(anna.session.take_reports());
    anna.done(Command::RemoveChannel { channel: "telephony".to_owned() }).await;
    assert!(anna.session.view().channel("telephony").is_none());
    let about = bench.about(ANNA);
    assert_eq!((&about["state"], &about["leg"]), (&json!("Unavailable"), &json!("Disconnected")));
    let told: Vec<_> = anna.session.take_reports();
    let inactive =
        |report: &&jackfield_plugin_api::Report| report.channels.iter().any(|channel| channel.status.is_some());
    assert_eq!(told.iter().filter(inactive).count(), 1, "it becomes inactive at once: {told:#?}");
    assert!(told.iter().all(|report| report.events.is_empty()), "{told:#?}");
    bench.no_complaints();
}

#[tokio::test]
async fn scripts_are_those_of_the_channels_type() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let scripts = extension("channel.request.incontact.getscripts", Target::Channel("telephony".to_owned()), json!({}));
    let expected = json!({"scripts": [{"scriptId": "900", "scriptName": "Callback offer"}]});
    assert_eq!(anna.data(scripts).await, expected);
}

#[tokio::test]
async fn signals_go_out_in_order_with_up_to_nine_parameters() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    let signal = |data| extension("interaction.request.incontact.signal", Target::Interaction(at(&key)), data);
    assert_eq!(anna.data(signal(json!({"p1": "one", "p9": "a b&c"}))).await, json!({}));
    anna.data(signal(json!({"p2": 2}))).await;
    let number: u64 = key.parse().unwrap();
    let expected = json!([[number, [["p1", "one"], ["p9", "a b&c"]]], [number, [["p2", "2"]]]]);
    assert_eq!(bench.emulator.control("log", json!({}))["signals"], expected);
    let failure = anna.fails_with(signal(json!({"p1": "x", "p12": "y"})), Code::Unsupported).await;
    assert!(failure.message.contains("p12"), "{failure}");
}
