//! The dashboard for Grafana that is shipped: it shows only what there is. Each of its expressions is asked of a real
//! Prometheus that scrapes a real host, and each metric and label in them is looked for in the host's own scrape.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use jackfield_tests::{agent::Agent, host::Host, puppet::Puppet, until};
use serde_json::Value;

use super::{
    alerts::Prometheus,
    metrics::{busy_host, shipped},
};

/// Families of which nothing is served before something has happened, or without TLS, and their labels.
const QUIET: [(&str, &[&str]); 4] = [
    ("jackfield_worker_deaths_total", &["adapter", "kind"]),
    ("jackfield_plugin_breaches_total", &["adapter", "kind"]),
    ("jackfield_limited_total", &["tenant", "limit"]),
    ("jackfield_tls_certificate_not_after_timestamp_seconds", &["listener"]),
];
/// What Prometheus itself adds to each series.
const ADDED: [&str; 2] = ["instance", "job"];

/// A host with some work behind it, of whose desktops one has gone.
async fn host_at_work() -> (Host, Puppet) {
    let (host, puppet) = busy_host().await;
    Agent::connect(&host, "puppets").await.cut();
    let gone =
        || async { host.operations("/metrics").await.contains("jackfield_connections_closed_total{").then_some(()) };
    until("a connection has ended", gone).await;
    (host, puppet)
}

/// An expression of the dashboard, the labels that its legend names, and where it stands.
struct Query {
    panel: String,
    expression: String,
    legend: Vec<String>,
}

fn queries() -> Vec<Query> {
    let text = fs::read_to_string(shipped().join("../grafana/jackfield.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().unwrap().split("{{").skip(1);
            queries.push(Query {
                panel: panel["title"].as_str().unwrap().to_owned(),
                expression: target["expr"].as_str().unwrap().to_owned(),
                legend: legend.map(|rest| rest.split("}}").next().unwrap().trim().to_owned()).collect(),
            });
        }
    }
    assert!(queries.len() > 20);
    queries
}

/// The expression as Grafana sends it with nothing chosen.
fn sent(expression: &str) -> String {
    expression.replace("$instance", ".*").replace("$tenant", ".*").replace("$__rate_interval", "1m")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The labels of each series of a scrape, by its name.
fn labels_of(scrape: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = QUIET
        .iter()
        .map(|(name, labels)| ((*name).to_owned(), labels.iter().map(|it| (*it).to_owned()).collect()))
        .collect();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
        let known = all.entry(name.to_owned()).or_default();
        known.extend(labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned()));
    }
    all
}

/// The metrics that an expression names, each with the labels by which it is selected.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices('{') {
        let name = words(&expression[..at]).last().unwrap().to_owned();
        let inside = expression[at + 1..].split('}').next().unwrap();
        let pairs = inside.split(',').filter_map(|pair| pair.split(['=', '!']).next());
        found.push((name, pairs.map(|label| label.trim().to_owned()).collect()));
    }
    found
}

/// The labels in `by (…)` and `on (…)`.
fn grouped(expression: &str) -> Vec<String> {
    let lists = ["by (", "on ("].into_iter().flat_map(|word| expression.split(word).skip(1));
    lists.flat_map(|rest| words(rest.split(')').next().unwrap())).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_dashboard_asks_only_for_metrics_and_labels_that_there_are() {
    let (host, _puppet) = host_at_work().await;
    let labels = labels_of(&host.operations("/metrics").await);
    for Query { panel, expression, legend } in queries() {
        let selectors = selectors(&expression);
        assert!(!selectors.is_empty(), "{panel}: {expression} selects by no host");
        let mut there: BTreeSet<&str> = ADDED.into_iter().collect();
        for (name, selected) in &selectors {
            let known = labels.get(name).unwrap_or_else(|| panic!("{panel}: there is no metric {name}"));
            for label in selected {
                assert!(known.contains(label) || ADDED.contains(&&**label), "{panel}: {name} has no label {label}");
            }
            there.extend(known.iter().map(String::as_str));
        }
        for label in grouped(&expression).iter().chain(&legend) {
            assert!(there.contains(&**label), "{panel}: there is no label {label} in {expression}");
        }
        let named = words(&expression).filter(|word| word.starts_with("jackfield_") || word.starts_with("process_"));
        for name in named {
            assert!(selectors.iter().any(|(selected, _)| selected == name), "{panel}: {name} selects by no host");
        }
    }
}

#[tokio::test]
async fn each_panel_shows_something_of_a_host_at_work() {
    let (host, _puppet) = host_at_work().await;
    let Some(prometheus) = Prometheus::start(&[&host]) else { return };
    until("Prometheus has looked", || async { (prometheus.scrapes().await >= 3.0).then_some(()) }).await;
    for Query { panel, expression, .. } in queries() {
        let expression = sent(&expression);
        let query: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let quiet = QUIET.iter().any(|(name, _)| expression.contains(name));
        let shows = || async {
            let answer = prometheus.ask(&format!("/api/v1/query?query={query}")).await;
            let answer = answer.unwrap_or_else(|| panic!("{panel}: Prometheus does not understand {expression}"));
            (quiet || answer["data"]["result"] != serde_json::json!([])).then_some(())
        };
        // After a scrape that came too late there is nothing for a moment.
        until(&format!("{panel} shows something of {expression}"), shows).await;
    }
}
