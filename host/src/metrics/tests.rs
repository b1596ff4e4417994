//! What a scrape shows.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jackfield_plugin_api::Code;
use jackfield_protocol::command::ProtocolCommand;

use super::*;

fn kinds(json: serde_json::Value) -> Vec<MetricKind> {
    serde_json::from_value(json).unwrap()
}

/// Whether a scrape has exactly this line.
fn says(metrics: &Metrics, line: &str) -> bool {
    metrics.render().lines().any(|said| said == line)
}

#[test]
fn a_command_counts_once_under_its_adapter_name_and_outcome() {
    let metrics = Metrics::new(10);
    let adapter = metrics.adapter("simulator");
    let ready = CommandLabel::of("channel.request.ready");
    adapter.command(ready, OutcomeLabel::Success, Duration::from_millis(3));
    metrics.adapter("simulator").command(ready, OutcomeLabel::Failure(Code::Busy), Duration::from_millis(3));
    let series = |outcome| {
        format!(
            r#"jackfield_commands_total{{adapter="simulator",command="channel.request.ready",outcome="{outcome}"}} 1"#
        )
    };
    assert!(says(&metrics, &series("success")), "{}", metrics.render());
    assert!(says(&metrics, &series("busy")), "{}", metrics.render());
    assert!(says(&metrics, r#"jackfield_command_duration_seconds_count{adapter="simulator"} 2"#));
}

#[test]
fn a_command_counts_for_its_tenant_by_class_of_outcome() {
    let metrics = Metrics::new(10);
    let tenant = metrics.tenant("acme", "simulator");
    let ready = CommandLabel::of("channel.request.ready");
    for outcome in [OutcomeLabel::NeedInfo, OutcomeLabel::Failure(Code::Timeout), OutcomeLabel::Failure(Code::NotFound)]
    {
        tenant.command(ready, outcome, Duration::from_millis(3));
    }
    for (class, count) in [("success", 1), ("fault", 1), ("refused", 1), ("declined", 0), ("limited", 0)] {
        let line = format!(r#"jackfield_tenant_commands_total{{outcome="{class}",tenant="acme"}} {count}"#);
        assert!(says(&metrics, &line), "{line} is not in:\n{}", metrics.render());
    }
    for class in OutcomeClass::ALL {
        assert_eq!(OutcomeClass::ALL[class as usize], class, "the series stand in this order");
    }
}

#[test]
fn a_tenant_has_one_state() {
    let metrics = Metrics::new(1);
    let (tenant, beyond) = (metrics.tenant("acme", "simulator"), metrics.tenant("other", "simulator"));
    tenant.set_state("connecting");
    tenant.set_state("quarantined");
    beyond.set_state("waiting");
    let states =
        |metrics: &Metrics| metrics.render().lines().filter(|it| it.starts_with("jackfield_tenant_state{")).count();
    assert!(says(&metrics, r#"jackfield_tenant_state{state="quarantined",tenant="acme"} 1"#), "{}", metrics.render());
    assert_eq!(states(&metrics), 1, "{}", metrics.render());
    drop(tenant);
    assert_eq!(states(&metrics), 0);
}

#[test]
fn every_command_label_names_its_own_command_and_unknown_names_share_one() {
    for command in ProtocolCommand::all() {
        assert_eq!(CommandLabel::of(command.name()), command.into());
        assert_eq!(CommandLabel::from(command).as_str(), command.name());
    }
    assert_eq!(CommandLabel::of("x.request.y").as_str(), "unknown");
    assert_eq!(CommandLabel::of("extension"), CommandLabel::UNKNOWN, "a desktop cannot choose the label");
    assert_eq!(CommandLabel::EXTENSION.as_str(), "extension");
}

#[test]
fn a_removed_tenants_series_are_gone_and_a_returning_one_starts_anew() {
    let metrics = Metrics::new(10);
    let first = metrics.tenant("acme", "simulator");
    first.session_opened();
    first.bad_message();
    let second_handle = first.clone();
    drop(first);
    assert!(says(&metrics, r#"jackfield_sessions{tenant="acme"} 1"#));
    drop(second_handle);
    assert!(!metrics.render().contains("acme"), "{}", metrics.render());
    let again = metrics.tenant("acme", "simulator");
    assert!(says(&metrics, r#"jackfield_sessions{tenant="acme"} 0"#));
    assert!(says(&metrics, r#"jackfield_bad_messages_total{tenant="acme"} 0"#));
    drop(again);
}

#[test]
fn tenants_beyond_the_cap_share_one_label_and_are_counted() {
    let metrics = Metrics::new(1);
    let _one = metrics.tenant("one", "simulator");
    let two = metrics.tenant("two", "simulator");
    let three = metrics.tenant("three", "simulator");
    two.session_opened();
    three.session_opened();
    two.set_depths(Depths { journal: 5, ..Depths::default() });
    three.set_depths(Depths { journal: 7, ..Depths::default() });
    assert!(says(&metrics, r#"jackfield_sessions{tenant="_other"} 2"#));
    assert!(says(&metrics, r#"jackfield_journal_events{tenant="_other"} 12"#));
    assert!(says(&metrics, "jackfield_metrics_tenants_overflowed_total 2"));
    drop(three);
    assert!(says(&metrics, r#"jackfield_journal_events{tenant="_other"} 5"#));
    assert!(!metrics.render().contains("two"));
}

#[test]
fn declared_metrics_carry_prefix_and_tenant_and_go_with_it() {
    let metrics = Metrics::new(10);
    let declared = kinds(serde_json::json!([
        {"name": "polls_total", "type": "counter", "help": "Polls.", "labels": ["result"], "maxSeries": 2},
        {"name": "poll_duration_seconds", "type": "histogram", "help": "How long."},
    ]));
    assert_eq!(metrics.declare("sim", &declared), Vec::<String>::new());
    assert_eq!(metrics.declare("sim", &declared), Vec::<String>::new(), "again is nothing");
    let tenant = metrics.tenant("acme", "sim");
    tenant.plugin_metric("polls_total", &["ok"], 2.0);
    tenant.plugin_metric("polls_total", &["bad"], 1.0);
    tenant.plugin_metric::<&str>("poll_duration_seconds", &[], 0.2);
    assert!(
        says(&metrics, r#"jackfield_adapter_sim_polls_total{result="ok",tenant="acme"} 2"#),
        "{}",
        metrics.render()
    );
    assert!(says(&metrics, r#"jackfield_adapter_sim_poll_duration_seconds_count{tenant="acme"} 1"#));
    tenant.plugin_metric("polls_total", &["third"], 1.0);
    tenant.plugin_metric("polls_total", &["ok"], -1.0);
    tenant.plugin_metric("polls_total", &["ok"], f64::NAN);
    tenant.plugin_metric("polls_total", &["ok", "more"], 1.0);
    tenant.plugin_metric("never_declared", &["ok"], 1.0);
    assert!(says(&metrics, r#"jackfield_plugin_metrics_dropped_total{adapter="sim"} 5"#), "{}", metrics.render());
    assert!(!metrics.render().contains("third"));
    drop(tenant);
    assert!(!metrics.render().contains("acme"));
}

#[test]
fn a_declaration_that_would_spoil_the_scrape_is_refused_by_name() {
    let metrics = Metrics::new(10);
    let declared = kinds(serde_json::json!([
        {"name": "polls", "type": "counter", "help": "Polls."},
        {"name": "Bad name", "type": "gauge", "help": "x"},
        {"name": "helpless", "type": "gauge", "help": ""},
        {"name": "owner_count", "type": "gauge", "help": "x"},
        {"name": "mine", "type": "gauge", "help": "x", "labels": ["tenant"]},
    ]));
    let refused = metrics.declare("sim", &declared);
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(refused[0].contains("polls") && refused[0].contains("_total"), "{refused:?}");
}

#[test]
fn a_declaration_never_collides_with_the_hosts_own_families() {
    let metrics = Metrics::new(10);
    let declared = kinds(serde_json::json!([{"name": "total", "type": "gauge", "help": "x"}]));
    assert_eq!(metrics.declare("plugin_failures", &declared), Vec::<String>::new());
    let other = kinds(serde_json::json!([{"name": "total", "type": "gauge", "help": "x", "labels": ["a"]}]));
    assert_eq!(metrics.declare("plugin_failures", &other).len(), 1, "the same name with other labels");
}
