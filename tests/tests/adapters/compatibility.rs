//! Plugins and hosts that were really built against different versions of the plugin API.
//!
//! The host of version 1.1 is this test's own; the host of version 1.2 is a small program that is built against an API
//! with one more member in each structure of the binary interface, one more method of an agent, one more message, and a few
//! more words.

use std::{path::Path, process::Command};

use jackfield_plugin_api::{Code, Outcome, VERSION, report::ChannelType};
use serde_json::json;

use crate::{
    support::{Desk, Place, in_time, odd_library, ready},
    variants,
};

/// What the host of version 1.2 makes of a plugin.
fn in_a_host_of_1_2(plugin: &Path) -> String {
    let output = Command::new(&variants::all().probe_1_2).arg(plugin).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn these_tests_are_about_version_1_1() {
    assert_eq!(VERSION, "1.1.0", "when the API grows, the variants grow with it");
}

#[tokio::test]
async fn a_plugin_for_a_later_minor_version_works_in_an_older_host() {
    let place = Place::new();
    let library = place.libraries().load(&variants::all().odd_for_1_2).await.unwrap();
    assert_eq!(library.api_version(), "1.2.0");
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    desk.agent.command(1, &ready(), in_time()).unwrap();
    assert_eq!(desk.answer(1).await, Outcome::success());
}

#[tokio::test]
async fn words_of_a_later_minor_version_cost_nothing_but_themselves() {
    let place = Place::new();
    let library = place.libraries().load(&variants::all().odd_for_1_2).await.unwrap();
    assert_eq!(library.manifest().left_out, ["Video", "channel.request.fly", "heights"]);
    assert_eq!(library.manifest().commands, ["channel.request.ready", "channel.request.notready"]);
    let (platform, _) = place.connect(&library, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    assert_eq!(desk.odd(json!({"what": "fly"})).await, Outcome::failure(Code::AdapterFailed, "odd flies"));
    let kinds: Vec<_> = desk.last_report().await.channels.iter().map(|channel| channel.kind).collect();
    assert_eq!(kinds, [Some(ChannelType::Telephony), None]);
    let breaches = |line: &str| line.starts_with("jackfield_plugin_breaches_total{");
    assert!(!place.metrics.render().lines().any(breaches));
}

#[test]
fn a_plugin_for_an_earlier_minor_version_works_in_a_newer_host() {
    let said = in_a_host_of_1_2(&odd_library());
    assert_eq!(said, "plugin 1.1.0\nadded member: None\nready: success\nadded message: refused\n");
}

#[test]
fn a_plugin_that_does_not_know_an_added_method_runs_its_default_body() {
    let said = in_a_host_of_1_2(&variants::all().odd_for_1_2);
    assert_eq!(said, "plugin 1.2.0\nadded member: Some(7)\nready: success\nadded message: 42\n");
}

#[tokio::test]
async fn a_plugin_for_another_major_version_is_refused_in_one_clear_line() {
    let place = Place::new();
    let path = &variants::all().odd_for_2_0;
    let error = place.libraries().load(path).await.unwrap_err();
    assert_eq!(error.reason, "built for plugin API 2.0; this host speaks 1.0 to 1.1");
    assert_eq!(in_a_host_of_1_2(path), "refused: built for plugin API 2.0; this host speaks 1.0 to 1.2\n");
}

#[tokio::test]
async fn a_plugin_whose_interface_is_not_what_its_version_says_is_refused_in_both_directions() {
    let place = Place::new();
    let path = &variants::all().odd_mistyped;
    let error = place.libraries().load(path).await.unwrap_err().reason;
    assert_eq!(error, "built for plugin API 1.1.0, but its binary interface is not that of this host's 1.1.0");
    let said = in_a_host_of_1_2(path);
    assert_eq!(
        said,
        "refused: built for plugin API 1.1.0, but its binary interface is not that of this host's 1.2.0\n"
    );
}
