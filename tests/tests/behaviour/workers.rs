//! A plugin in a worker process: its death costs its own agents a link change, and nobody else anything.

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant, kill},
    puppet::{Answer, Puppet},
    until,
};
use serde_json::{Value, json};

fn phone(state: &str) -> Value {
    json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}},
        "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": state}]}]}]})
}

pub(crate) fn is_running(pid: u64) -> bool {
    // A zombie runs no more.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

async fn talking(isolation: &'static str) -> (Host, Puppet, Agent) {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("acme", &puppet).isolation(isolation)).start().await;
    puppet.starts_with(phone("TALKING"));
    let mut agent = Agent::connect(&host, "acme").await;
    agent.log_in("1001").await;
    (host, puppet, agent)
}

#[tokio::test]
async fn paths_of_a_configuration_that_is_named_without_a_folder_hold_in_workers_too() {
    let tenant = Tenant::simulator("demo").isolation("tenant");
    let host = Setup::new().tenant(tenant).in_its_folder().start().await;
    host.log_in("1001").await.finish().await;
}

#[tokio::test]
async fn a_killed_worker_comes_back_with_its_calls_and_the_connection_stays() {
    let (host, _puppet, mut agent) = talking("tenant").await;
    let call = agent.the("primary");
    let first = host.worker("acme").await;
    kill(first);
    let heard = agent.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["link"], "down");
    // Nothing else has changed, so nothing else is said.
    let heard = agent.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged"), &json!({"link": "up"}));
    assert_ne!(host.worker("acme").await, first);
    agent.does("conversation.request.senddtmf", &call, json!({"digits": "1"}), "").await;
    assert!((host.metric(r#"jackfield_worker_deaths_total{adapter="puppet",kind="signal"}"#).await - 1.0).abs() < 0.1);
    agent.finish().await;
}

#[tokio::test]
async fn what_ended_while_the_worker_was_dead_ends_on_the_desktop() {
    let (host, puppet, mut agent) = talking("tenant").await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "p", "name": "P",
        "status": {"ACTIVE": {}}}]}));
    host.kill_worker("acme").await;
    agent.hears("session.linkchanged").await;
    let heard = agent.hears_until("session.linkchanged").await;
    assert!(heard.words().contains(&"interaction.disposed"), "{:?}", heard.words());
    // Nobody has seen how it ended.
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "lost"}));
    agent.finish().await;
}

#[tokio::test]
async fn a_command_in_flight_fails_once_and_is_not_sent_again() {
    let (host, puppet, mut agent) = talking("tenant").await;
    let call = agent.the("primary");
    puppet.when("hold", Answer::never());
    let hold = agent.send("conversation.request.hold", &call, json!({})).await;
    puppet.asked("hold").await;
    host.kill_worker("acme").await;
    let response = agent.response(hold).await;
    let code = response["failure"]["code"].as_str().unwrap();
    assert!(["timeout", "adapter_failed"].contains(&code), "{response}");
    agent.hears("session.linkchanged").await;
    agent.hears("session.linkchanged").await;
    assert_eq!(puppet.times_asked("hold"), 1);
    agent.finish().await;
}

#[tokio::test]
async fn another_tenant_of_the_library_notices_nothing() {
    let (killed, spared) = (Puppet::start().await, Puppet::start().await);
    let setup = Setup::new()
        .tenant(Tenant::puppet("killed", &killed).isolation("tenant"))
        .tenant(Tenant::puppet("spared", &spared).isolation("tenant"));
    let host = setup.start().await;
    spared.starts_with(phone("TALKING"));
    let mut agent = Agent::connect(&host, "spared").await;
    agent.log_in("1001").await;
    let first = host.worker("killed").await;
    kill(first);
    until("the other worker is back", async || (host.worker("killed").await != first).then_some(())).await;
    let call = agent.the("primary");
    agent.does("conversation.request.senddtmf", &call, json!({"digits": "1"}), "").await;
    agent.finish().await;
}

#[tokio::test]
async fn tenants_may_share_a_worker() {
    let (one, other) = (Puppet::start().await, Puppet::start().await);
    let setup = Setup::new()
        .tenant(Tenant::puppet("one", &one).isolation("adapter"))
        .tenant(Tenant::puppet("other", &other).isolation("adapter"));
    let host = setup.start().await;
    let shared = host.worker("one").await;
    assert_eq!(shared, host.worker("other").await);
    kill(shared);
    let both_new = async || {
        let pids = (host.worker("one").await, host.worker("other").await);
        (pids.0 == pids.1 && pids.0 != shared).then_some(())
    };
    until("both tenants share a new worker", both_new).await;
}

/// A tenant whose worker died too often, and its agent, who has heard that the link is down.
async fn in_quarantine() -> (Host, Puppet, Agent) {
    let (host, puppet, mut agent) = talking("tenant").await;
    let state = async || {
        let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
        tenants[0]["state"].as_str().unwrap().to_owned()
    };
    let last = std::cell::Cell::new(0);
    until("it is in quarantine", async || {
        if state().await == "quarantined" {
            return Some(());
        }
        let adapters: Value = serde_json::from_str(&host.operations("/adapters").await).unwrap();
        let now = adapters[0]["tenants"][0]["worker"].as_u64().unwrap_or(0);
        // Each process once, when it is connected.
        if now != 0 && now != last.get() && state().await == "connected" {
            last.set(now);
            kill(now);
        }
        None
    })
    .await;
    let call = agent.the("primary");
    agent.fails_quickly("conversation.request.hold", &call, json!({}), "link_down").await;
    agent.forget_heard();
    (host, puppet, agent)
}

#[tokio::test]
async fn a_worker_that_keeps_dying_is_quarantined_until_an_operator_releases_it() {
    let (host, _puppet, mut agent) = in_quarantine().await;
    host.act("/tenants/acme/release").await;
    host.link_is_up("acme").await;
    agent.hears("session.linkchanged").await;
    agent.finish().await;
}

#[tokio::test]
async fn another_version_ends_a_quarantine_as_well() {
    let (host, _puppet, mut agent) = in_quarantine().await;
    assert_eq!(host.post("/tenants/acme/upgrade").await.0, 202);
    host.link_is_up("acme").await;
    agent.hears("session.linkchanged").await;
    agent.finish().await;
}

#[tokio::test]
async fn no_worker_outlives_a_killed_host() {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("acme", &puppet).isolation("tenant")).start().await;
    let pid = host.worker("acme").await;
    assert!(is_running(pid));
    kill(u64::from(host.pid()));
    until("the worker is gone", async || (!is_running(pid)).then_some(())).await;
}

#[tokio::test]
async fn not_even_a_worker_that_does_nothing_any_more_outlives_a_killed_host() {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("acme", &puppet).isolation("tenant")).start().await;
    let pid = host.worker("acme").await;
    // Stopped, it does not see that its socket has ended: the kernel ends it with its parent.
    let stopped = std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
    assert!(stopped.success());
    kill(u64::from(host.pid()));
    until("the worker is gone", async || (!is_running(pid)).then_some(())).await;
}
