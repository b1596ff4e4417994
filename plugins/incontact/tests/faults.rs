//! What goes wrong in the middle of a call: no call lost on the desktop, nothing told twice, one clear failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_plugin_api::{
    Code, Command, Link, StartOptions,
    report::{Availability, ChannelStatus, ConversationState as State, Target},
};
use serde_json::{Value, json};

/// An agent in a call, and its key.
async fn in_a_call() -> (Bench, Desk, String) {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    (bench, anna, key)
}

/// The call goes on as if nothing had been: it is held, and a second call can come and go.
async fn the_call_goes_on(bench: &Bench, anna: &Desk, key: &str) {
    anna.done(Command::Hold { conversation: call(key) }).await;
    assert!(is(&anna.session.view(), key, State::Held));
    assert_eq!(anna.keys(), [key]);
    bench.no_complaints();
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_poll_is_renewed() {
    let (bench, anna, key) = in_a_call().await;
    let granted = bench.emulator.count("token");
    bench.emulator.control("expire-tokens", json!({}));
    the_call_goes_on(&bench, &anna, &key).await;
    assert!(bench.emulator.count("token") > granted);
    assert!(!anna.session.links().iter().any(|link| matches!(link, Link::Down { .. })));
}

#[tokio::test]
async fn a_refresh_token_that_is_gone_too_is_made_good_by_the_access_key() {
    let (bench, anna, key) = in_a_call().await;
    bench.emulator.control("expire-tokens", json!({"refresh": true}));
    the_call_goes_on(&bench, &anna, &key).await;
}

#[tokio::test]
async fn tokens_are_renewed_ahead_of_their_end_and_once_for_all_who_wait() {
    let mut data = data();
    data.timing.token_seconds = 2;
    let emulator = jackfield_cxone_emulator::Emulator::start("127.0.0.1:0".parse().unwrap(), data).await.unwrap();
    let settings = settings(&emulator.url());
    let tenant = jackfield_plugin_api::testkit::Tenant::connect::<jackfield_incontact::InContact>(MANIFEST, settings)
        .await
        .unwrap();
    eventually("the link is up", || tenant.link() == Some(Link::Up)).await;
    let session = tenant.log_in("anna", "anna-secret").await.unwrap();
    session.start_with(StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    let options = jackfield_plugin_api::Json::empty_object();
    let _ = session.command(Command::Activate { channel: "telephony".to_owned(), queue: None, options }).await;
    // Counted over a time: a token lives for 2 s here, and the grants must be few as well as enough.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let before = emulator.count("token");
    assert!((2..=6).contains(&before), "{before} grants in 2.5 s");
    assert!(!session.links().iter().any(|link| matches!(link, Link::Down { .. })));
}

#[tokio::test]
async fn a_limited_command_waits_as_long_as_it_is_told_and_then_goes_through() {
    let (bench, anna, key) = in_a_call().await;
    bench.fault("interactions/hold", json!({"status": {"status": 429, "retry_after": 1}}));
    let begun = std::time::Instant::now();
    the_call_goes_on(&bench, &anna, &key).await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(bench.emulator.count("interactions/hold"), 2);
}

#[tokio::test]
async fn a_limit_that_lasts_too_long_is_a_failure() {
    let (bench, anna, key) = in_a_call().await;
    bench.fault("interactions/hold", json!({"status": {"status": 429, "retry_after": 60}}));
    anna.fails_with(Command::Hold { conversation: call(&key) }, Code::RateLimited).await;
    the_call_goes_on(&bench, &anna, &key).await;
}

#[tokio::test]
async fn a_server_error_is_a_failure_that_is_not_repeated() {
    let (bench, anna, key) = in_a_call().await;
    bench.fault("interactions/hold", json!({"status": {"status": 500}}));
    let failure = anna.fails_with(Command::Hold { conversation: call(&key) }, Code::Rejected).await;
    assert!(failure.context.unwrap().contains("500"));
    assert_eq!(bench.emulator.count("interactions/hold"), 1);
    the_call_goes_on(&bench, &anna, &key).await;
}

#[tokio::test]
async fn reading_is_repeated_after_a_server_error() {
    let (bench, anna, _) = in_a_call().await;
    bench.fault("scripts", json!({"status": {"status": 500}}));
    let scripts = extension("channel.request.incontact.getscripts", Target::Channel("telephony".to_owned()), json!({}));
    assert_eq!(anna.data(scripts).await["scripts"].as_array().unwrap().len(), 1);
    assert_eq!(bench.emulator.count("scripts"), 2);
}

/// A fault hits the poll that tells of the customer's hang-up.
async fn a_poll_fault(what: Value, times: u64) {
    let (bench, anna, key) = in_a_call().await;
    bench.emulator.control("fault", json!({"call": "get-next-event", "agent": ANNA, "times": times, "what": what}));
    // The poll under way began before the fault; a word lets it end.
    anna.done(Command::Mute { conversation: call(&key) }).await;
    bench.remote(ANNA, &key, "hangup");
    anna.ended(&key).await;
    anna.until("the state follows", |view| view.availability("telephony") == Some(Availability::Acw)).await;
    let second = {
        anna.done(Command::Complete { interaction: at(&key) }).await;
        anna.talking(&bench, ANNA).await
    };
    the_call_goes_on(&bench, &anna, &second).await;
}

#[tokio::test]
async fn a_poll_that_breaks_off_in_the_middle_of_its_answer_loses_nothing() {
    a_poll_fault(json!("cut_after"), 1).await;
}

#[tokio::test]
async fn a_poll_that_is_cut_before_it_is_answered_loses_nothing() {
    a_poll_fault(json!("cut_before"), 1).await;
}

#[tokio::test]
async fn polls_that_fail_with_server_errors_lose_nothing() {
    a_poll_fault(json!({"status": {"status": 500}}), 2).await;
}

#[tokio::test]
async fn a_poll_that_is_refused_for_its_token_loses_nothing() {
    a_poll_fault(json!({"status": {"status": 401}}), 1).await;
}

#[tokio::test]
async fn a_poll_that_is_limited_loses_nothing() {
    a_poll_fault(json!({"status": {"status": 429, "retry_after": 1}}), 1).await;
}

#[tokio::test]
async fn a_slow_poll_loses_nothing() {
    a_poll_fault(json!({"slow": {"millis": 1500}}), 1).await;
}

#[tokio::test]
async fn a_batch_that_comes_twice_tells_nothing_twice() {
    a_poll_fault(json!("again"), 3).await;
}

#[tokio::test]
async fn a_batch_that_comes_late_and_out_of_order_tells_nothing_wrong() {
    a_poll_fault(json!({"late": {"millis": 300}}), 1).await;
}

#[tokio::test]
async fn polls_that_are_cut_into_single_events_lose_nothing() {
    a_poll_fault(json!({"at_most": {"events": 1}}), 20).await;
}

#[tokio::test]
async fn a_transfer_comes_whole_through_polls_that_are_cut_into_single_events() {
    let (bench, anna, key) = in_a_call().await;
    bench.emulator.control("fault", json!({"call": "get-next-event", "times": 50, "what": {"at_most": {"events": 1}}}));
    anna.done(Command::Consult { interaction: at(&key), destination: "5550001".to_owned() }).await;
    let consult = anna.consult();
    anna.in_state(&consult, State::Talking).await;
    drop(anna.session.take_reports());
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    let reports = anna.session.take_reports();
    let told = reports.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions).count();
    assert_eq!(told, 1, "{reports:#?}");
    bench.no_complaints();
}

#[tokio::test]
async fn a_command_whose_effect_never_comes_ends_in_a_timeout_and_a_snapshot() {
    let (bench, anna, key) = in_a_call().await;
    bench.fault("interactions/hold", json!("no_effect"));
    drop(anna.session.take_reports());
    let failure = anna.fails_with(Command::Hold { conversation: call(&key) }, Code::Timeout).await;
    assert!(failure.message.contains("no effect"), "{failure}");
    assert!(anna.session.reports().iter().any(|report| report.snapshot));
    assert!(is(&anna.session.view(), &key, State::Talking));
    the_call_goes_on(&bench, &anna, &key).await;
}

#[tokio::test]
async fn a_session_that_is_lost_leaves_the_channel_inactive_and_can_be_started_again() {
    let (bench, anna, key) = in_a_call().await;
    bench.emulator.control("lose-session", json!({"agent": ANNA}));
    anna.gone(&key).await;
    anna.until("the channel is inactive", |view| {
        view.channel("telephony").unwrap().status == Some(ChannelStatus::Inactive)
    })
    .await;
    anna.fails_with(Command::Ready { channel: "telephony".to_owned() }, Code::InvalidState).await;
    anna.activate("telephony").await;
    let key = anna.talking(&bench, ANNA).await;
    the_call_goes_on(&bench, &anna, &key).await;
}

#[tokio::test]
async fn a_phone_that_cannot_be_hung_up_leaves_the_channel_and_the_agents_state_as_they_were() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    bench.fault("agent-phone/end", json!({"status": {"status": 400}}));
    let deactivate = Command::Deactivate { channel: "telephony".to_owned(), queues: Vec::new(), reason: None };
    anna.fails_with(deactivate, Code::Rejected).await;
    assert_eq!(anna.session.view().availability("telephony"), Some(Availability::Ready));
    assert_eq!(bench.about(ANNA)["state"], "Available");
    bench.no_complaints();
}

#[tokio::test]
async fn a_session_that_goes_on_is_not_lost_because_it_cannot_be_joined_once_more() {
    let (bench, anna, key) = in_a_call().await;
    // The poll breaks off, the one that would tell the state anew too, and nobody else may join.
    bench.emulator.control("fault", json!({"call": "get-next-event", "times": 2, "what": "cut_before"}));
    bench.fault("agent-sessions/join", json!({"status": {"status": 409}}));
    let joined = bench.emulator.count("agent-sessions/join");
    bench.emulator.cut_connections();
    eventually("it is tried", || bench.emulator.count("agent-sessions/join") > joined).await;
    the_call_goes_on(&bench, &anna, &key).await;
    assert_eq!(bench.emulator.count("agent-sessions"), 1);
}

#[tokio::test]
async fn an_agent_whom_a_supervisor_logs_off_sees_his_channel_inactive() {
    let (bench, anna, key) = in_a_call().await;
    bench.emulator.control("log-off", json!({"agent": ANNA}));
    anna.gone(&key).await;
    anna.until("the channel is inactive", |view| {
        view.channel("telephony").unwrap().status == Some(ChannelStatus::Inactive)
    })
    .await;
    assert_eq!(bench.emulator.count("agent-sessions"), 1, "nobody logs him in again behind his back");
    bench.no_complaints();
}

#[tokio::test]
async fn a_platform_that_cannot_be_reached_is_a_link_down_and_its_return_a_snapshot() {
    let emulator = emulator().await;
    let address = emulator.address();
    let tenant = jackfield_plugin_api::testkit::Tenant::connect::<jackfield_incontact::InContact>(
        MANIFEST,
        settings(&emulator.url()),
    )
    .await
    .unwrap();
    eventually("the link is up", || tenant.link() == Some(Link::Up)).await;
    let session = tenant.log_in("anna", "anna-secret").await.unwrap();
    session.start_with(StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    let anna = Desk { session };
    anna.activate("telephony").await;
    drop(emulator);
    eventually("the link is down", || matches!(tenant.link(), Some(Link::Down { .. }))).await;
    anna.fails_with(Command::Ready { channel: "telephony".to_owned() }, Code::LinkDown).await;
    assert!(anna.session.snapshot().await.is_err());
    // Another CXone at the same place, which knows nothing of the session.
    let emulator = jackfield_cxone_emulator::Emulator::start(address, data()).await.unwrap();
    eventually("the link is up again", || tenant.link() == Some(Link::Up)).await;
    anna.session.snapshot().await.unwrap();
    anna.until("the session is gone", |view| {
        view.channel("telephony").unwrap().status == Some(ChannelStatus::Inactive)
    })
    .await;
    anna.activate("telephony").await;
    assert_eq!(emulator.count("agent-sessions"), 1);
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn connections_that_are_cut_lose_nothing() {
    let (bench, anna, key) = in_a_call().await;
    for _ in 0..3 {
        bench.emulator.cut_connections();
        bench.remote(ANNA, &key, "pop");
    }
    bench.emulator.control("remote", json!({"agent": ANNA, "contact": key, "does": "hangup"}));
    anna.ended(&key).await;
    bench.no_complaints();
}

#[tokio::test]
async fn after_a_crash_the_agent_goes_on_with_the_same_keys_and_undisturbed_calls() {
    let (bench, anna, key) = in_a_call().await;
    anna.done(Command::Consult { interaction: at(&key), destination: "5550001".to_owned() }).await;
    let consult = anna.consult();
    anna.in_state(&consult, State::Talking).await;
    let again = bench.after_a_crash("anna", anna).await;
    let view = again.session.view();
    assert!(is(&view, &key, State::Held) && is(&view, &consult, State::Talking));
    again.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    assert_eq!(bench.emulator.count("agent-sessions"), 1);
    bench.no_complaints();
}
