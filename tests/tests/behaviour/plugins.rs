//! Plugin files in a running host: good ones side by side, odd ones next to a good one.

use jackfield_tests::{
    agent::{Agent, Connect},
    artifacts,
    host::{Host, Setup, Tenant},
    puppet::Puppet,
    until,
};
use serde_json::{Value, json};

#[path = "../adapters/variants.rs"]
#[allow(dead_code)] // the other tests use more of it
pub mod variants;

fn adapter<'a>(adapters: &'a Value, id: &str, version: &str) -> &'a Value {
    let all = adapters.as_array().unwrap();
    let found = all.iter().find(|adapter| adapter["id"] == id && adapter["version"] == version);
    found.unwrap_or_else(|| panic!("no {id} {version} in {adapters}"))
}

#[tokio::test]
async fn two_libraries_and_two_versions_of_one_answer_as_themselves() {
    let puppet = Puppet::start().await;
    let later = variants::all().odd_1_2_3.to_str().unwrap().to_owned();
    let newer_api = variants::all().odd_for_1_2.to_str().unwrap().to_owned();
    let host = Setup::new()
        .tenant(Tenant::puppet("puppets", &puppet))
        .tenant(Tenant::new("now", "odd"))
        .tenant(Tenant::new("later", &later))
        .tenant(Tenant::new("newer", &newer_api))
        .start()
        .await;
    for (tenant, version) in [("now", "1.0.0"), ("later", "1.2.3"), ("newer", "1.0.0")] {
        let mut agent = Agent::connect(&host, tenant).await;
        agent.log_in("1001").await;
        let session = agent.session.clone();
        let response = agent.command("session.request.odd.do", &session, json!({"what": "version"})).await;
        assert_eq!(response["data"], json!({"version": version}), "{tenant}: {response}");
        let channel = agent.the("channel");
        assert_eq!(agent.command("channel.request.ready", &channel, json!({})).await["result"], "success");
    }
    let mut other = Agent::connect(&host, "puppets").await;
    other.log_in("1001").await;
    other.finish().await;
    let adapters: Value = serde_json::from_str(&host.operations("/adapters").await).unwrap();
    assert_eq!(adapter(&adapters, "odd", "1.2.3")["tenants"][0]["id"], "later");
    assert_eq!(adapter(&adapters, "puppet", "1.4.0")["tenants"][0]["id"], "puppets");
}

/// A host with the tenant `odd`, whose adapter panics there, and a good one beside it.
async fn beside_one_that_panics(at: &str, isolation: &'static str) -> Host {
    let odd = Tenant::new("odd", "odd").isolation(isolation).settings(&format!("panics = [\"{at}\"]"));
    let odd = if at == "connect" { odd.may_be_down() } else { odd };
    Setup::new().tenant(odd).tenant(Tenant::simulator("demo")).start().await
}

/// What the log says of a panic there.
fn panicked(at: &str) -> String {
    format!("the adapter panicked: odd in {at}")
}

#[tokio::test]
async fn a_panic_in_any_entry_fails_what_was_asked_and_nothing_else() {
    let entries =
        ["connect", "log_in", "start", "command", "snapshot", "log_out", "resume_state", "drop", "disconnect"];
    for (at, isolation) in entries.into_iter().flat_map(|at| [(at, "none"), (at, "tenant")]) {
        let mut host = beside_one_that_panics(at, isolation).await;
        let mut agent = Agent::connect(&host, "odd").await;
        let response = agent.prepare("1001", false).await;
        if at == "connect" || at == "log_in" {
            assert_eq!(response["result"], "failure", "{at}: {response}");
        } else {
            assert_eq!(response["result"], "success", "{at}: {response}");
            let session = agent.session.clone();
            let response = agent.command("session.start", &session, json!({})).await;
            if at == "start" {
                assert_eq!(response["failure"]["code"], "adapter_failed", "{at}: {response}");
            } else {
                assert_eq!(response["result"], "success", "{at}: {response}");
                agent.hears_until("session.initialized").await;
                let channel = agent.the("channel");
                let response = agent.command("channel.request.ready", &channel, json!({})).await;
                if at == "command" {
                    assert_eq!(response["failure"]["code"], "adapter_failed", "{at}: {response}");
                } else {
                    assert_eq!(response["result"], "success", "{at}: {response}");
                }
                if at == "snapshot" {
                    // The first link change; a second one would say that the snapshot was had.
                    agent.send("session.request.odd.do", &session, json!({"what": "blink"})).await;
                    let heard = agent.hears_until("session.linkchanged").await;
                    assert_eq!(heard.data("session.linkchanged")["link"], "down", "{at}");
                    host.logs(&panicked(at)).await;
                }
                let response = agent.command("session.request.logout", &session, json!({})).await;
                if at == "log_out" {
                    assert_eq!(response["failure"]["code"], "adapter_failed", "{at}: {response}");
                } else {
                    assert_eq!(response["result"], "success", "{at}: {response}");
                }
            }
        }
        if at != "disconnect" {
            host.logs(&panicked(at)).await;
        }
        assert!(host.is_running(), "{at}");
        let died = host.log().contains("the worker died");
        assert!(!died, "{at}: a panic does not cost a worker");
        host.log_in("1001").await.finish().await;
        // The end would wait for it to take its leave.
        drop(agent);
        host.terminate();
        assert_eq!(host.ends().await.code(), Some(0), "{at}");
        assert!(host.log().contains(&panicked(at)), "{at}: the log says so:\n{}", host.log());
    }
}

#[tokio::test]
async fn an_adapter_that_never_returns_costs_a_deadline_and_nobody_else_waits() {
    let odd = Tenant::new("odd", "odd").settings("hangs = [\"command\"]").limits("command_deadline = \"1s\"");
    let host = Setup::new().tenant(odd).tenant(Tenant::simulator("demo")).start().await;
    let mut agent = Agent::connect(&host, "odd").await;
    agent.log_in("1001").await;
    let channel = agent.the("channel");
    let request = agent.send("channel.request.ready", &channel, json!({})).await;
    host.log_in("1001").await.finish().await;
    assert_eq!(agent.response(request).await["failure"]["code"], "timeout");
}

#[tokio::test]
async fn files_that_are_no_plugins_are_named_and_the_right_tenant_runs() {
    let folder = jackfield_tests::host::TempFolder::new();
    let text = folder.0.join("text.so");
    std::fs::write(&text, "not a library").unwrap();
    let cut = folder.0.join("cut.so");
    let good = std::fs::read(artifacts::library("jackfield-simulator")).unwrap();
    std::fs::write(&cut, &good[..good.len() / 3]).unwrap();
    // A lying manifest: the section says another id than the code was built with.
    let lying = folder.0.join("lying.so");
    std::fs::write(&lying, with_another_id(&good)).unwrap();
    let wrong_api = &variants::all().odd_for_2_0;
    for (file, says) in [
        (&text, "text.so"),
        (&cut, "cut.so"),
        (&lying, "lying.so"),
        (wrong_api, "built for plugin API 2.0; this host speaks 1.0"),
    ] {
        let host = Setup::new()
            .tenant(Tenant::new("broken", file.to_str().unwrap()).may_be_down())
            .tenant(Tenant::simulator("demo"))
            .start()
            .await;
        host.log_in("1001").await.finish().await;
        let named =
            || async { host.log().lines().any(|line| line.contains(says) && line.contains("broken")).then_some(()) };
        until(&format!("the log says {says} of the tenant"), named).await;
        match Agent::connect_with(&host, "broken", Connect::default()).await {
            Err(status) => assert_eq!(status, 401),
            Ok(mut agent) => assert_eq!(agent.prepare("1001", false).await["result"], "failure"),
        }
    }
}

#[tokio::test]
async fn a_library_that_the_system_refuses_waits_for_an_operator_with_the_loaders_reason() {
    let folder = jackfield_tests::host::TempFolder::new();
    let odd = std::fs::read(artifacts::library("jackfield-odd")).unwrap();
    for (old, new, _, by_the_loader) in artifacts::UNLOADABLE {
        let file = folder.0.join("broken.so");
        std::fs::write(&file, artifacts::patched(&odd, old, new)).unwrap();
        let broken = Tenant::new("broken", file.to_str().unwrap()).isolation("tenant").may_be_down();
        let host = Setup::new().tenant(broken).tenant(Tenant::simulator("demo")).start().await;
        let tenant = async || {
            let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
            let all = tenants.as_array().unwrap();
            all.iter().find(|tenant| tenant["id"] == "broken" && tenant["state"] == "quarantined").cloned()
        };
        let tenant = until("it is in quarantine", tenant).await;
        let reason = tenant["reason"].as_str().unwrap();
        assert!(reason.contains(by_the_loader) && reason.contains("broken.so"), "{reason}");
        host.log_in("1001").await.finish().await;
    }
}

/// The library with one more letter changed in its manifest's section than its code knows of.
fn with_another_id(library: &[u8]) -> Vec<u8> {
    let mut changed = library.to_vec();
    let (old, new) = (b"\"platform\": \"simulator\"", b"\"platform\": \"simulater\"");
    let places: Vec<usize> =
        (0..library.len() - old.len()).filter(|at| &library[*at..*at + old.len()] == old).collect();
    assert!(!places.is_empty(), "the manifest is in the library");
    // The first is the section's or the constant's; only one of them is changed, so that they differ.
    changed[places[0]..places[0] + new.len()].copy_from_slice(new);
    changed
}

#[tokio::test]
async fn a_burst_of_reports_slows_nobody() {
    let host = Setup::new().tenant(Tenant::new("odd", "odd")).tenant(Tenant::simulator("demo")).start().await;
    let mut agent = Agent::connect(&host, "odd").await;
    agent.log_in("1001").await;
    let session = agent.session.clone();
    agent.send("session.request.odd.do", &session, json!({"what": "flap", "reports": 200})).await;
    host.log_in("1001").await.finish().await;
    // Its own client did not read meanwhile and may have been closed for it; the session is there.
    agent.reconnect().await;
    assert_eq!(agent.bind(&session, None).await["result"], "success");
    agent.hears_until("session.initialized").await;
    // The last word stands.
    let channel = agent.the("channel");
    let response = agent.command("channel.request.ready", &channel, json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
}
