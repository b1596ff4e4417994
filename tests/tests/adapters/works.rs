//! An adapter that does as it should, from log-in to log-out.

use jackfield::plugin::{FromPlatform, Library, PlatformPort};
use jackfield_plugin_api::{Code, Ending, Login, Outcome, StartOptions, report::Availability};
use serde_json::json;

use crate::support::{self, DEADLINE, Desk, Place, Sink, availability, in_time, login, odd_library, ready, until};

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

    desk.agent.command(2, &ready(), in_time()).unwrap();
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
        desk.agent.command(request, &ready(), in_time()).unwrap();
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
async fn what_an_adapter_measures_reaches_its_tenant() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, events) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.odd(json!({"what": "metric"})).await;
    let metric = |it: &FromPlatform| match it {
        FromPlatform::Metric { name, labels, value } => Some((name.clone(), labels.clone(), *value)),
        _ => None,
    };
    let metrics: Vec<_> = events.with_platform(|all| all.iter().filter_map(metric).collect());
    assert_eq!(metrics, [("things_total".to_owned(), vec!["a".to_owned()], 2.0)]);
}

#[tokio::test]
async fn the_newest_resume_state_is_kept_and_handed_back() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.odd(json!({"what": "resume", "length": 3})).await;
    let kept = until("a resume state", || desk.resume_state()).await;
    assert_eq!(kept, [7, 7, 7]);
    drop(desk);

    let sink = Sink::new();
    let again = Login::again("agent", "session", kept);
    let _agent = platform.log_in(again, sink.clone(), DEADLINE).await.unwrap();
    let desk_resume = until("it is told again", || sink.resume_state()).await;
    assert_eq!(desk_resume, [7, 7, 7], "the adapter made its state of what it was given");
}

#[tokio::test]
async fn commands_of_many_agents_are_answered_each_to_its_own() {
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let mut desks = Vec::new();
    for _ in 0..20 {
        desks.push(Desk::at_work(&platform).await);
    }
    for (number, desk) in desks.iter().enumerate() {
        for request in 0..30 {
            desk.agent.command(1 + number as u64 * 1000 + request, &ready(), in_time()).unwrap();
        }
    }
    for (number, desk) in desks.iter().enumerate() {
        for request in 0..30 {
            assert_eq!(desk.answer(1 + number as u64 * 1000 + request).await, Outcome::success());
        }
        assert_eq!(desk.answers(), 31, "thirty commands and the start");
    }
    assert!(!place.metrics.render().contains("jackfield_plugin_late_answers_total{adapter=\"odd\"} 1"));
}

#[tokio::test]
async fn an_adapter_that_is_compiled_in_behaves_as_a_loaded_one() {
    let place = Place::new();
    let library = Library::of::<jackfield_odd::Odd>(jackfield_odd::MANIFEST, 1, &place.metrics).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.agent.command(2, &ready(), in_time()).unwrap();
    assert_eq!(desk.answer(2).await, Outcome::success());
    assert_eq!(availability(&desk.last_report().await), Some(Availability::Ready));
}

#[tokio::test]
async fn what_an_adapter_logs_stands_in_the_log_of_the_host() {
    let log = support::log();
    let place = Place::new();
    let library = place.libraries().load(&odd_library()).await.unwrap();
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.odd(json!({"what": "log", "lines": 1})).await;
    log.has(&["WARN", "a line of log at=0", "adapter=\"odd\"", "tenant=\"acme\"", "module=\"jackfield_odd\""]).await;
    desk.odd(json!({"what": "panic"})).await;
    log.has(&["ERROR", "panicked at", "lib.rs", "odd on command", "tenant=\"acme\""]).await;
}
