//! What operators see: metrics that promtool accepts, health, and lists without secrets.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
    skipped, until,
    words::PAIR,
};
use serde_json::{Value, json};

/// A host with some work behind it.
pub(crate) async fn busy_host() -> (Host, Puppet) {
    let puppet = Puppet::start().await;
    let host = Setup::new()
        .tenant(Tenant::simulator("demo").tokens(&[("desk", "tok-secret")]))
        .tenant(Tenant::puppet("puppets", &puppet))
        .start()
        .await;
    let how = Connect { token: Some("tok-secret".into()), subprotocols: None };
    let mut agent = Agent::connect_with(&host, "demo", how).await.unwrap();
    agent.log_in("agent-4711").await;
    let channel = agent.has_phone("+4930123456").await;
    agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    agent.fails("channel.request.activate", &channel, json!({}), "invalid_state").await;
    agent.send_text("nonsense").await;
    agent.any_response().await;
    agent.talks().await;
    let mut other = Agent::connect(&host, "puppets").await;
    other.log_in("1002").await;
    puppet.when("extension", Answer::panic());
    let session = other.session.clone();
    other.fails("session.request.puppet.do", &session, json!({}), "adapter_failed").await;
    puppet.metric("tricks_total", &["card"], 2.0).await;
    // Kept alive by being forgotten: the connections end with the test's process or the host.
    std::mem::forget((agent, other));
    (host, puppet)
}

#[tokio::test]
async fn the_metrics_tell_what_happened() {
    let (host, _puppet) = busy_host().await;
    for (tenant, token) in [("demo", None), ("demo", Some("wrong")), ("nobody", Some("tok-secret"))] {
        let how = Connect { token: token.map(str::to_owned), subprotocols: None };
        assert_eq!(Agent::connect_with(&host, tenant, how).await.err(), Some(401));
    }
    let text = host.operations("/metrics").await;
    for series in [
        "jackfield_sessions{tenant=\"demo\"} 1",
        "jackfield_connections{tenant=\"demo\"} 1",
        "jackfield_tenants{state=",
        "jackfield_build_info{",
        "jackfield_commands_total{",
        "jackfield_command_duration_seconds_bucket{",
        "jackfield_journal_events{tenant=\"demo\"}",
        "jackfield_outbox_messages{tenant=\"demo\"}",
        "jackfield_mailbox_messages{tenant=\"demo\"}",
        "jackfield_plugin_failures_total",
        "jackfield_link_up{tenant=\"puppets\"} 1",
        "jackfield_tenant_state{state=\"connected\",tenant=\"puppets\"} 1",
        "jackfield_tenant_commands_total{outcome=\"refused\",tenant=\"demo\"} 1",
        "jackfield_tenant_commands_total{outcome=\"fault\",tenant=\"puppets\"} 1",
        "jackfield_tenant_commands_total{outcome=\"fault\",tenant=\"demo\"} 0",
        "jackfield_auth_failures_total{tenant=\"demo\"} 2",
        "jackfield_auth_failures_total{tenant=\"_unknown\"} 1",
        "jackfield_config_last_reload_successful 1",
        "jackfield_config_last_reload_success_timestamp_seconds ",
        "process_resident_memory_bytes",
    ] {
        assert!(text.lines().any(|line| line.starts_with(series)), "{series} is missing in:\n{text}");
    }
    let count = |parts: &[&str]| -> f64 {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let lines = series.filter(|line| parts.iter().all(|part| line.contains(part)));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let ready = ["jackfield_commands_total{", "adapter=\"simulator\"", "channel.request.ready", "success"];
    assert_eq!(count(&ready), 1.0, "{text}");
    let refused = ["jackfield_commands_total{", "channel.request.activate", "invalid_state"];
    assert_eq!(count(&refused), 1.0, "{text}");
    assert_eq!(count(&["jackfield_bad_messages_total"]), 1.0, "{text}");
    let adapters = || async {
        let text = host.operations("/metrics").await;
        let line = text.lines().find(|line| line.starts_with("jackfield_adapter_puppet_tricks_total"))?.to_owned();
        (line.contains("trick=\"card\"") && line.contains("tenant=\"puppets\"") && line.ends_with(" 2")).then_some(())
    };
    until("the adapter's own metric is there", adapters).await;
}

#[tokio::test]
async fn no_metric_and_no_page_tells_an_agent_a_number_or_a_token() {
    let (host, _puppet) = busy_host().await;
    let metrics = host.operations("/metrics").await;
    for private in ["agent-4711", "4930123456", "15550100", "tok-secret", "desk"] {
        assert!(!metrics.contains(private), "{private} in the metrics");
    }
    for page in ["/tenants", "/sessions", "/adapters"] {
        let text = host.operations(page).await;
        serde_json::from_str::<Value>(&text).unwrap();
        for private in ["4930123456", "15550100", "tok-secret", "sha256"] {
            assert!(!text.contains(private), "{private} in {page}: {text}");
        }
    }
    assert!(!host.log().contains("tok-secret"));
}

/// The shipped configuration of Prometheus.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/prometheus")
}

fn without_promtool() -> bool {
    let missing = Command::new("promtool").arg("--version").output().is_err();
    if missing {
        skipped("promtool is not installed (Debian: apt-get install prometheus)");
    }
    missing
}

#[tokio::test]
async fn the_alerts_fire_at_the_faults_that_they_are_for() {
    if without_promtool() {
        return;
    }
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]] {
        let said = Command::new("promtool").args(arguments).current_dir(shipped()).output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success(), "{text}");
    }
}

#[tokio::test]
async fn the_alerts_ask_only_for_metrics_that_there_are() {
    let (host, _puppet) = busy_host().await;
    let served = host.operations("/metrics").await;
    let rules = std::fs::read_to_string(shipped().join("alerts.yml")).unwrap();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let mut asked: Vec<&str> = rules.split(word).filter(|name| name.starts_with("jackfield_")).collect();
    asked.sort_unstable();
    asked.dedup();
    assert!(asked.len() > 8, "{asked:?}");
    for name in asked {
        assert!(served.contains(&format!("# HELP {name} ")) || quiet(name), "{name} is not among:\n{served}");
    }
}

/// Families of which nothing is served before something has happened, or without TLS.
fn quiet(name: &str) -> bool {
    [
        "jackfield_worker_deaths_total",
        "jackfield_limited_total",
        "jackfield_tls_certificate_not_after_timestamp_seconds",
    ]
    .contains(&name)
}

#[tokio::test]
async fn promtool_has_no_complaint() {
    if without_promtool() {
        return;
    }
    let (host, _puppet) = busy_host().await;
    let text = host.operations("/metrics").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && complaints.trim().is_empty(), "{complaints}");
}

#[test]
fn an_adapters_own_metrics_are_documented_with_it() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut documented = 0;
    for plugin in std::fs::read_dir(plugins).unwrap() {
        let folder = plugin.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        for metric in manifest["metrics"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let labels: Vec<_> = metric["labels"].as_array().into_iter().flatten().map(text).collect();
            let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            let family = format!("jackfield_adapter_{}_{}", text(&manifest["id"]), text(&metric["name"]));
            let row = format!("| `{family}` | {} | {labels}", text(&metric["type"]));
            assert!(readme.contains(&row), "{row} … is not in {}/README.md", folder.display());
            documented += 1;
        }
    }
    assert!(documented >= 8, "{documented}");
}

#[tokio::test]
async fn health_and_lists() {
    let (host, _puppet) = busy_host().await;
    assert_eq!(host.operations("/healthz").await.trim(), "ok");
    host.operations("/readyz").await;
    let sessions: Value = serde_json::from_str(&host.operations("/sessions").await).unwrap();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    let ids: Vec<&str> = tenants.as_array().unwrap().iter().map(|tenant| tenant["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["demo", "puppets"]);
    let (status, _) = jackfield_tests::http::get(&host.operations, "/nothing").await.unwrap();
    assert_eq!(status, 404);
    // The desktops' listener tells none of it.
    let (status, _) = jackfield_tests::http::get(&host.address, "/metrics").await.unwrap();
    assert_eq!(status, 404);
}
