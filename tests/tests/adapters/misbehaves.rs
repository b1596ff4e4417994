//! Adapters that break the contract: what it costs them, and that it costs nobody else.

use std::time::Duration;

use jackfield::plugin::{Library, PlatformPort};
use jackfield_plugin_api::{Code, Ending, Outcome, StartOptions};
use serde_json::json;

use crate::support::{self, DEADLINE, Desk, Place, Sink, failure_code, in_time, login, odd_library, ready, until};

const PANICS: &str = "jackfield_plugin_failures_total{adapter=\"odd\",kind=\"panic\"} ";

fn breaches(kind: &str) -> String {
    format!("jackfield_plugin_breaches_total{{adapter=\"odd\",kind=\"{kind}\"}} ")
}

async fn odd(place: &Place) -> Library {
    place.libraries().load(&odd_library()).await.unwrap()
}

#[tokio::test]
async fn a_panic_in_load_is_told_when_the_library_is_loaded() {
    let place = Place::new();
    let failed = Library::of::<jackfield_odd::Unloadable>(jackfield_odd::MANIFEST, 1, &place.metrics).await;
    assert!(failed.unwrap_err().contains("panicked"));
    place.counted(PANICS, 1).await;
}

#[tokio::test]
async fn a_panic_in_connect_leaves_the_library_usable() {
    let place = Place::new();
    let library = odd(&place).await;
    let tenant = support::tenant(json!({"panics": ["connect"]}));
    let failed = library.connect(tenant, Sink::new(), DEADLINE).await.unwrap_err();
    assert_eq!(failed.code, Code::AdapterFailed);
    place.counted(PANICS, 1).await;
    let (platform, _) = place.connect(&library, json!({})).await;
    Desk::at_work(&platform).await;
}

#[tokio::test]
async fn a_panic_in_log_in_costs_that_log_in() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({"panics": ["log_in"]})).await;
    let failed = platform.log_in(login("right"), Sink::new(), DEADLINE).await.unwrap_err();
    assert_eq!(failed.code, Code::AdapterFailed);
    place.counted(PANICS, 1).await;
}

#[tokio::test]
async fn a_panic_in_any_method_of_an_agent_is_the_failure_of_that_request() {
    for method in ["start", "command", "snapshot", "log_out"] {
        let place = Place::new();
        let (platform, _) = place.connect(&odd(&place).await, json!({"panics": [method]})).await;
        let desk = Desk::sit_down(&platform).await;
        desk.agent.start(1, &StartOptions::default()).unwrap();
        desk.agent.command(2, &ready(), in_time()).unwrap();
        desk.agent.snapshot(3).unwrap();
        desk.agent.log_out(4, Ending::LogOut).unwrap();
        for (request, name) in [(1, "start"), (2, "command"), (3, "snapshot"), (4, "log_out")] {
            let expected = (name == method).then_some(Code::AdapterFailed);
            assert_eq!(failure_code(&desk.answer(request).await), expected, "{name} where {method} panics");
        }
        place.counted(PANICS, 1).await;
    }
}

#[tokio::test]
async fn a_panic_before_the_future_is_made_is_caught_too() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({"panics_at_once": ["command"]})).await;
    let desk = Desk::at_work(&platform).await;
    desk.agent.command(2, &ready(), in_time()).unwrap();
    assert_eq!(failure_code(&desk.answer(2).await), Some(Code::AdapterFailed));
}

#[tokio::test]
async fn a_panic_in_the_resume_state_does_not_touch_the_command() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({"panics": ["resume_state"]})).await;
    let desk = Desk::at_work(&platform).await;
    desk.agent.command(2, &ready(), in_time()).unwrap();
    assert_eq!(desk.answer(2).await, Outcome::success());
    place.counted(PANICS, 2).await;
}

#[tokio::test]
async fn a_panic_while_the_agent_or_the_platform_goes_ends_nothing_else() {
    let place = Place::new();
    let library = odd(&place).await;
    let (platform, _) = place.connect(&library, json!({"panics": ["drop", "disconnect"]})).await;
    drop(Desk::at_work(&platform).await);
    place.counted(PANICS, 1).await;
    platform.disconnect(DEADLINE).await;
    place.counted(PANICS, 2).await;
    let (platform, _) = place.connect(&library, json!({})).await;
    Desk::at_work(&platform).await;
}

#[tokio::test]
async fn a_panic_in_a_task_of_the_adapters_own_is_logged() {
    let log = support::log();
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.odd(json!({"what": "background"})).await;
    log.has(&["ERROR", "odd in the background", "adapter=\"odd\"", "tenant=\"acme\""]).await;
}

#[tokio::test]
async fn a_connect_or_a_log_in_that_hangs_ends_at_its_deadline() {
    let place = Place::new();
    let library = odd(&place).await;
    let soon = Duration::from_millis(50);
    let tenant = support::tenant(json!({"hangs": ["connect"]}));
    assert_eq!(library.connect(tenant, Sink::new(), soon).await.unwrap_err().code, Code::Timeout);
    let (platform, _) = place.connect(&library, json!({"hangs": ["log_in"]})).await;
    assert_eq!(platform.log_in(login("right"), Sink::new(), soon).await.unwrap_err().code, Code::Timeout);
}

#[tokio::test]
async fn a_disconnect_that_hangs_is_not_waited_for() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({"hangs": ["disconnect"]})).await;
    tokio::time::timeout(DEADLINE, platform.disconnect(Duration::from_millis(50))).await.unwrap();
}

#[tokio::test]
async fn an_answer_after_its_deadline_is_not_delivered_and_counted() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    let late = desk.ask_odd_within(json!({"what": "late", "ms": 60}), Duration::from_millis(5));
    place.counted("jackfield_plugin_late_answers_total{adapter=\"odd\"} ", 1).await;
    assert!(!desk.has_answer(late));
    assert_eq!(desk.odd(json!({"what": "late", "ms": 1})).await, Outcome::data(json!({})));
}

#[tokio::test]
async fn an_agent_that_never_answers_is_asked_no_more_at_its_bound() {
    let place = Place::new();
    let library = odd(&place).await;
    let (platform, _) = place.connect(&library, json!({"hangs": ["command"]})).await;
    let desk = Desk::at_work(&platform).await;
    let refused = (1..10_000).find_map(|request| desk.agent.command(request, &ready(), in_time()).err()).unwrap();
    assert_eq!(refused.code, Code::RateLimited);

    // The same library serves others as before.
    let (other, _) = place.connect(&library, json!({})).await;
    let other = Desk::at_work(&other).await;
    other.agent.command(1, &ready(), in_time()).unwrap();
    assert_eq!(other.answer(1).await, Outcome::success());
}

#[tokio::test]
async fn an_adapter_that_blocks_its_thread_does_not_block_the_host() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    let gate = place.directory.join("gate");
    let blocked = desk.ask_odd(json!({"what": "block", "until": gate}));
    for request in 1..100 {
        desk.agent.command(request, &ready(), in_time()).unwrap();
    }
    // Had handing over waited for the plugin, nobody would have opened in time.
    std::fs::write(gate, "").unwrap();
    assert_eq!(desk.answer(blocked).await, Outcome::data(json!({})));
    assert_eq!(desk.answer(99).await, Outcome::success());
}

#[tokio::test]
async fn a_command_that_blocks_with_the_runtimes_leave_holds_no_other_up() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    // More of them than are begun in one go, each waiting for the last command.
    let waiting: Vec<u64> = (0..20).map(|_| desk.ask_odd(json!({"what": "wait"}))).collect();
    desk.odd(json!({"what": "open"})).await;
    for request in waiting {
        desk.answer(request).await;
    }
}

#[tokio::test]
async fn a_flood_that_the_session_cannot_take_ends_in_a_snapshot() {
    let place = Place::new();
    let (platform, events) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.sink.has_room_for(0);
    let flood = desk.ask_odd(json!({"what": "flood", "reports": 5000}));
    // Metrics go another way, which has room: the last thing that the command does.
    until("all is reported", || events.with_platform(|all| (all.len() > 1).then_some(()))).await;
    desk.sink.has_room_for(usize::MAX);
    desk.answer(flood).await;
    place.counted(&breaches("reports_dropped"), 1).await;
    let position = desk.position_of_answer(flood);
    assert!(desk.is_report_at(position - 1), "the answer comes after what was reported before it");
    assert!(desk.reports().last().unwrap().snapshot);
    assert!(desk.reports().len() < 100, "what waits is bounded: {} reports", desk.reports().len());
}

#[tokio::test]
async fn reports_that_can_be_merged_wait_as_one() {
    let place = Place::new();
    let (platform, events) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    let before = desk.reports().len();
    desk.sink.has_room_for(0);
    let flap = desk.ask_odd(json!({"what": "flap", "reports": 5000}));
    until("all is reported", || events.with_platform(|all| (all.len() > 1).then_some(()))).await;
    assert!(desk.sink.refused() > 0);
    desk.sink.has_room_for(usize::MAX);
    desk.answer(flap).await;
    assert_eq!(desk.reports().len(), before + 1);
}

#[tokio::test]
async fn what_the_manifest_does_not_declare_is_dropped_and_counted() {
    let place = Place::new();
    let (platform, events) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.odd(json!({"what": "undeclared"})).await;
    place.counted(&breaches("undeclared_event"), 1).await;
    place.counted(&breaches("undeclared_metric"), 2).await;
    assert!(desk.reports().iter().all(|report| report.events.is_empty()));
    assert_eq!(events.with_platform(<[_]>::len), 1, "the link, and no metric");
}

#[tokio::test]
async fn a_resume_state_that_is_too_long_is_not_kept() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.odd(json!({"what": "resume", "length": 64 * 1024 + 1})).await;
    place.counted(&breaches("resume_too_long"), 1).await;
    assert_eq!(desk.resume_state(), None);
    desk.odd(json!({"what": "resume", "length": 64 * 1024})).await;
    assert_eq!(until("a resume state", || desk.resume_state()).await.len(), 64 * 1024);
}

#[tokio::test]
async fn nothing_is_heard_of_an_agent_that_was_dropped() {
    let place = Place::new();
    let (platform, _) = place.connect(&odd(&place).await, json!({})).await;
    let Desk { agent, sink, .. } = {
        let desk = Desk::at_work(&platform).await;
        desk.ask_odd(json!({"what": "late", "ms": 30}));
        desk
    };
    drop(agent);
    let heard = sink.with(<[_]>::len);
    let other = Desk::at_work(&platform).await;
    other.odd(json!({"what": "late", "ms": 60})).await;
    assert_eq!(sink.with(<[_]>::len), heard);
}
