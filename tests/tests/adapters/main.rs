//! What the host's adapter module makes of a plugin that is loaded from its file, well-behaved or not.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use jackfield_plugin_api::{Code, Ending, Outcome, StartOptions, report::Availability};
use serde_json::json;
use support::{DEADLINE, Desk, Place, availability, failure_code, login, odd_library, ready};

#[tokio::test]
async fn a_loaded_plugin_serves_an_agent_from_log_in_to_log_out() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    assert_eq!((library.manifest().id.as_str(), library.manifest().version.as_str()), ("odd", "1.0.0"));

    let (platform, events) = place.connect(&library, json!({})).await;
    events.link_is_up().await;
    let desk = Desk::sit_down(&platform).await;
    desk.agent.start(1, &StartOptions::default()).unwrap();
    assert_eq!(desk.answer(1).await, Outcome::success());
    assert_eq!(availability(&desk.last_report().await), Some(Availability::NotReady));

    desk.agent.command(2, &ready(), DEADLINE).unwrap();
    assert_eq!(desk.answer(2).await, Outcome::success());
    assert_eq!(availability(&desk.last_report().await), Some(Availability::Ready));

    desk.agent.log_out(3, Ending::LogOut).unwrap();
    assert_eq!(desk.answer(3).await, Outcome::success());
    drop(desk);
    platform.disconnect(DEADLINE).await;
}

#[tokio::test]
async fn a_report_stands_before_the_answer_that_it_belongs_to() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    for request in 10..200 {
        desk.agent.command(request, &ready(), DEADLINE).unwrap();
        desk.answer(request).await;
        let position = desk.position_of_answer(request);
        assert!(desk.is_report_at(position - 1), "the report of request {request} stands right before its answer");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_by_the_adapter() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = support::Sink::new();
    let refused = platform.log_in(login("wrong"), desk, DEADLINE).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthorized);
}

#[tokio::test]
async fn a_panic_costs_one_command_and_nothing_else() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    let panicked = desk.odd(json!({"what": "panic"})).await;
    assert_eq!(failure_code(&panicked), Some(Code::AdapterFailed));
    desk.agent.command(999, &ready(), DEADLINE).unwrap();
    assert_eq!(desk.answer(999).await, Outcome::success());
    place.metrics_say("jackfield_plugin_failures_total{adapter=\"odd\",kind=\"panic\"} 1").await;
}

#[tokio::test]
async fn a_connect_that_hangs_ends_at_its_deadline() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let tenant = support::tenant(json!({"hangs": ["connect"]}));
    let failed = library.connect(tenant, support::Sink::new(), Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(failed.code, Code::Timeout);
}
