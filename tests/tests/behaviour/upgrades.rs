//! A tenant on the way to another version of its adapter or to other settings, with its agents at work.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jackfield_tests::{
    agent::Agent,
    artifacts,
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
    until,
};
use serde_json::{Value, json};

use crate::workers::is_running;

/// What `/tenants` says of one.
async fn status(host: &Host, tenant: &str) -> Value {
    let all: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    all.as_array().unwrap().iter().find(|it| it["id"] == tenant).cloned().unwrap_or(Value::Null)
}

/// Waits for the end of a tenant's change and tells how it ended.
async fn fate(host: &Host, tenant: &str) -> Value {
    until("the change ends", async || {
        let status = status(host, tenant).await;
        (status["change"].is_null() && !status["lastChange"].is_null()).then(|| status["lastChange"].clone())
    })
    .await
}

/// The simulator's switch in a process of its own.
struct Switch(Child, String);

impl Switch {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let program = artifacts::folder().join("jackfield-simulator-switch");
        let process = Command::new(program).arg(&address).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self(process, address)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Puts a copy of the simulator in place, which calls itself by this version.
fn ship(to: &Path, version: &str) {
    let mut library = std::fs::read(artifacts::library("jackfield-simulator")).unwrap();
    let (old, new) = (r#""package":"jackfield-simulator","version":"1.0.0""#, version);
    let new = format!(r#""package":"jackfield-simulator","version":"{new}""#);
    assert_eq!(old.len(), new.len());
    let at = library.windows(old.len()).position(|bytes| bytes == old.as_bytes()).expect("it has a manifest");
    library[at..at + new.len()].copy_from_slice(new.as_bytes());
    // A vendor's installer renames; nobody ever sees half a file.
    let unfinished = to.with_extension("part");
    std::fs::write(&unfinished, library).unwrap();
    std::fs::rename(unfinished, to).unwrap();
}

/// A host whose tenant `demo` is a simulator of version 1.0.0, with its switch outside; and where its library lies.
async fn simulator(isolation: &'static str) -> (Host, Switch, PathBuf, jackfield_tests::host::TempFolder) {
    let switch = Switch::start();
    let folder = jackfield_tests::host::TempFolder::new();
    let library = folder.0.join("libjackfield_simulator.so");
    ship(&library, "1.0.0");
    let tenant = Tenant::new("demo", library.to_str().unwrap())
        .isolation(isolation)
        .settings(&format!("switch = \"{}\"", switch.1));
    let host = Setup::new().tenant(tenant).start().await;
    (host, switch, library, folder)
}

/// An agent who talks to a caller.
async fn talking(host: &Host, id: &str) -> Agent {
    let mut agent = Agent::connect(host, "demo").await;
    agent.log_in(id).await;
    agent.has_phone(&format!("2{id}")).await;
    agent.talks().await;
    agent
}

async fn upgraded(isolation: &'static str) {
    let (host, _switch, library, _folder) = simulator(isolation).await;
    let mut agent = talking(&host, "1001").await;
    let before = if isolation == "none" { None } else { Some(host.worker("demo").await) };
    ship(&library, "1.0.1");
    assert_eq!(host.post("/tenants/demo/upgrade").await.0, 202);
    let fate = fate(&host, "demo").await;
    assert_eq!((&fate["outcome"], &fate["moved"], &fate["forced"]), (&json!("moved"), &json!(1), &json!(0)), "{fate}");
    assert_eq!(status(&host, "demo").await["adapterVersion"], "1.0.1");
    // The desktop has heard nothing of it, and its call goes on.
    agent.hears_no_more().await;
    let call = agent.the("primary");
    agent.does("conversation.request.hold", &call, json!({}), "state.updated(primary)").await;
    if let Some(before) = before {
        assert_ne!(host.worker("demo").await, before);
        until("the old worker ends", async || (!is_running(before)).then_some(())).await;
    }
    assert_eq!(host.post("/tenants/demo/rollback").await.0, 202);
    until("it is on the old version", async || {
        (status(&host, "demo").await["adapterVersion"] == "1.0.0").then_some(())
    })
    .await;
    agent.does("conversation.request.retrieve", &call, json!({}), "state.updated(primary)").await;
    agent.finish().await;
    let both = || async { (host.metric(r#"jackfield_upgrades_total{outcome="moved"}"#).await == 2.0).then_some(()) };
    until("both changes are counted", both).await;
}

#[tokio::test]
async fn a_new_version_takes_over_a_live_call_and_the_old_one_takes_it_back() {
    upgraded("tenant").await;
}

#[tokio::test]
async fn a_new_version_takes_over_a_live_call_inside_the_host() {
    upgraded("none").await;
}

#[tokio::test]
async fn a_new_version_takes_over_a_live_call_in_a_shared_worker() {
    upgraded("adapter").await;
}

#[tokio::test]
async fn no_command_fails_and_no_connection_is_lost_while_versions_come_and_go() {
    let (host, _switch, library, _folder) = simulator("tenant").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut busy = Vec::new();
    for n in 0..8 {
        let (mut agent, stop) = (talking(&host, &format!("11{n}")).await, Arc::clone(&stop));
        busy.push(tokio::spawn(async move {
            let (call, mut commands) = (agent.the("primary"), 0_u32);
            while !stop.load(Ordering::Relaxed) {
                for command in ["conversation.request.hold", "conversation.request.retrieve"] {
                    agent.does(command, &call, json!({}), "state.updated(primary)").await;
                    commands += 1;
                }
            }
            agent.finish().await;
            commands
        }));
    }
    for (n, version) in ["1.0.1", "1.0.2", "1.0.3"].iter().enumerate() {
        ship(&library, version);
        assert_eq!(host.post("/tenants/demo/upgrade").await.0, 202);
        until("it is on the new version", async || {
            (status(&host, "demo").await["adapterVersion"] == **version).then_some(())
        })
        .await;
        let fate = fate(&host, "demo").await;
        assert_eq!((&fate["moved"], &fate["forced"]), (&json!(8), &json!(0)), "change {n}: {fate}");
    }
    stop.store(true, Ordering::Relaxed);
    for agent in busy {
        assert!(agent.await.expect("no command fails") > 0);
    }
}

fn phone(state: &str) -> Value {
    json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}},
        "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": state}]}]}]})
}

/// A tenant's file that names a puppet, with more lines.
fn file_of(puppet: &Puppet, lines: &str) -> String {
    format!(
        "adapter = \"test_puppet\"\nisolation = \"none\"\n{lines}\n[auth]\nkind = \"none\"\n[settings]\nport = {}\n",
        puppet.port()
    )
}

/// A host with an agent who talks, on the first of two platforms.
async fn between_two_platforms() -> (Host, Puppet, Puppet, Agent) {
    let (old, new) = (Puppet::start().await, Puppet::start().await);
    let host = Setup::new().tenant(Tenant::puppet("demo", &old)).start().await;
    old.starts_with(phone("TALKING"));
    new.starts_with(phone("TALKING"));
    let mut agent = Agent::connect(&host, "demo").await;
    agent.log_in("1001").await;
    (host, old, new, agent)
}

fn write(host: &Host, tenant: &str, text: &str) {
    std::fs::write(host.folder().join(format!("tenants/{tenant}.toml")), text).unwrap();
}

#[tokio::test]
async fn other_settings_are_taken_over_by_a_reload_and_a_command_in_flight_is_answered_first() {
    let (host, old, new, mut agent) = between_two_platforms().await;
    let call = agent.the("primary");
    old.when("hold", Answer::never());
    let hold = agent.send("conversation.request.hold", &call, json!({})).await;
    let asked = old.asked("hold").await;
    write(&host, "demo", &file_of(&new, ""));
    let (status, outcome) = host.post("/reload").await;
    assert_eq!((status, &outcome["tenants"]["demo"]), (200, &json!("moving")), "{outcome}");
    new.asked("connect").await;
    assert_eq!(new.times_asked("log_in"), 0);
    old.answer(&asked, Answer::failure("busy", "not now")).await;
    assert_eq!(agent.response(hold).await["failure"]["code"], "busy");
    assert_eq!(fate(&host, "demo").await["outcome"], "moved");
    assert_eq!(old.times_asked("log_out"), 1, "the agent has left the old one, its calls stay");
    agent.does("conversation.request.senddtmf", &call, json!({"digits": "1"}), "").await;
    assert_eq!((old.times_asked("send_dtmf"), new.times_asked("send_dtmf")), (0, 1));
    old.asked("disconnect").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_version_that_does_not_come_up_changes_nothing() {
    let (host, _old, _new, mut agent) = between_two_platforms().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "adapter = \"test_puppet\"\nisolation = \"none\"\n[upgrade]\ndeadline = \"3s\"\n[auth]\nkind = \"none\"\n\
         [settings]\nport = {nobody}\n"
    );
    write(&host, "demo", &text);
    host.post("/reload").await;
    let fate = fate(&host, "demo").await;
    assert_eq!(fate["outcome"], "failed");
    assert!(fate["reason"].as_str().unwrap().contains("the test does not listen"), "{fate}");
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn a_version_that_does_not_come_up_changes_nothing_where_the_old_ones_worker_has_died_before() {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("demo", &puppet).isolation("tenant")).start().await;
    host.kill_worker("demo").await;
    host.logs("the worker died").await;
    host.link_is_up("demo").await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "adapter = \"test_puppet\"\n[upgrade]\ndeadline = \"300ms\"\n[auth]\nkind = \"none\"\n\
         [settings]\nport = {nobody}\n"
    );
    write(&host, "demo", &text);
    // Several times, in case it is left to chance.
    for _ in 0..5 {
        host.post("/reload").await;
        let fate = fate(&host, "demo").await;
        assert_eq!(fate["outcome"], "failed", "{fate}");
    }
    host.log_in("1001").await.finish().await;
}

#[tokio::test]
async fn a_version_on_trial_that_fails_more_often_is_taken_back_by_itself() {
    let (host, old, new, mut agent) = between_two_platforms().await;
    write(&host, "demo", &file_of(&new, "[upgrade]\ncanary = 0.5\nobserve = \"1h\""));
    host.post("/reload").await;
    until("the agent tries it", async || (status(&host, "demo").await["change"]["moved"] == 1).then_some(())).await;
    assert_eq!(status(&host, "demo").await["change"]["stage"], "trial");
    assert_eq!(host.post("/tenants/demo/upgrade").await.0, 409, "one change at a time");
    let call = agent.the("primary");
    for _ in 0..3 {
        new.when("hold", Answer::failure("internal", "a bug"));
        agent.fails_quickly("conversation.request.hold", &call, json!({}), "internal").await;
    }
    let fate = fate(&host, "demo").await;
    assert_eq!(fate["outcome"], "taken_back");
    assert!(fate["reason"].as_str().unwrap().starts_with("3 of "), "{fate}");
    agent.does("conversation.request.senddtmf", &call, json!({"digits": "1"}), "").await;
    assert_eq!((old.times_asked("send_dtmf"), new.times_asked("send_dtmf")), (1, 0));
    agent.finish().await;
}

#[tokio::test]
async fn a_trial_that_goes_well_ends_with_everybody_on_the_new_version() {
    let (host, old, new, mut agent) = between_two_platforms().await;
    write(&host, "demo", &file_of(&new, "[upgrade]\ncanary = 0.1\nobserve = \"100ms\""));
    host.post("/reload").await;
    assert_eq!(fate(&host, "demo").await["outcome"], "moved");
    let call = agent.the("primary");
    agent.does("conversation.request.senddtmf", &call, json!({"digits": "1"}), "").await;
    assert_eq!(new.times_asked("send_dtmf"), 1);
    old.asked("disconnect").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_version_that_does_not_let_an_agent_in_is_taken_back() {
    let (host, _old, new, mut agent) = between_two_platforms().await;
    new.when("log_in", Answer::failure("unauthorized", "who?"));
    write(&host, "demo", &file_of(&new, ""));
    host.post("/reload").await;
    let fate = fate(&host, "demo").await;
    assert_eq!((&fate["outcome"], &fate["reason"]), (&json!("taken_back"), &json!("it refused 1 agents")));
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn tenants_come_and_go_with_their_files_and_a_wrong_file_costs_nobody_anything() {
    let (host, _old, other, mut agent) = between_two_platforms().await;
    write(&host, "second", &file_of(&other, ""));
    write(&host, "third", "adapter = 3");
    let (_, outcome) = host.post("/reload").await;
    assert_eq!(outcome["tenants"], json!({"demo": "unchanged", "second": "started"}), "{outcome}");
    assert!(outcome["problems"][0].as_str().unwrap().contains("third.toml: adapter"), "{outcome}");
    assert_eq!(status(&host, "third").await["state"], "misconfigured");
    host.link_is_up("second").await;
    let mut newcomer = Agent::connect(&host, "second").await;
    newcomer.log_in("1001").await;

    write(&host, "demo", "adapter = \"no_such_adapter\"\n[auth]\nkind = \"none\"\n");
    std::fs::remove_file(host.folder().join("tenants/second.toml")).unwrap();
    std::fs::remove_file(host.folder().join("tenants/third.toml")).unwrap();
    // By the signal this time.
    let hangup = Command::new("kill").args(["-HUP", &host.pid().to_string()]).status().unwrap();
    assert!(hangup.success());
    let heard = newcomer.hears_until("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "tenant_removed"}));
    assert_eq!(newcomer.is_closed().await.code, Some(1001));
    host.logs("no_such_adapter").await;
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn tokens_and_limits_hold_from_the_reload_on_without_another_plugin() {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("demo", &puppet)).start().await;
    let mut agent = Agent::connect(&host, "demo").await;
    agent.log_in("1001").await;
    write(&host, "demo", &file_of(&puppet, "[limits]\nsessions = 1"));
    let (_, outcome) = host.post("/reload").await;
    assert_eq!(outcome["tenants"]["demo"], "adopted", "{outcome}");
    let mut second = Agent::connect(&host, "demo").await;
    assert_eq!(second.prepare("1002", false).await["failure"]["code"], "quota_exceeded");
    assert_eq!(puppet.times_asked("connect"), 1);
    agent.finish().await;
}

#[tokio::test]
async fn a_wrong_main_file_changes_nothing() {
    let (host, _old, new, mut agent) = between_two_platforms().await;
    write(&host, "demo", &file_of(&new, ""));
    std::fs::write(host.folder().join("jackfield.toml"), "listener = 7").unwrap();
    let (status, outcome) = host.post("/reload").await;
    assert_eq!(status, 422);
    assert!(outcome["problems"][0].as_str().unwrap().contains("jackfield.toml: listener"), "{outcome}");
    assert_eq!(new.times_asked("connect"), 0);
    agent.hears_no_more().await;
    agent.finish().await;
}

#[tokio::test]
async fn operators_can_do_what_is_sensible_and_pages_in_browsers_nothing() {
    let (host, _old, _new, agent) = between_two_platforms().await;
    for (path, status) in [
        ("/tenants/demo/rollback", 409),
        ("/tenants/nobody/upgrade", 404),
        ("/tenants/demo/destroy", 404),
        ("/tenants/demo/upgrade?canary=2", 400),
        ("/tenants/demo/upgrade?adapter=/elsewhere/evil.so", 400),
        ("/tenants/demo/upgrade?adapter=odd", 409),
        ("/tenants/demo/upgrade?adapter=no_such_adapter", 409),
    ] {
        assert_eq!(host.post(path).await.0, status, "{path}");
    }
    let request = hyper::Request::post("/reload")
        .header("host", &host.operations)
        .header("origin", "https://pages.example")
        .body(http_body_util::Full::default())
        .unwrap();
    assert_eq!(jackfield_tests::http::status(&host.operations, request).await, 403);
    agent.finish().await;
}

#[tokio::test]
async fn a_host_that_ends_in_the_middle_of_a_trial_leaves_no_worker_behind() {
    let (mut host, _switch, library, _folder) = simulator("tenant").await;
    let mut agent = talking(&host, "1001").await;
    let first = host.worker("demo").await;
    ship(&library, "1.0.1");
    assert_eq!(host.post("/tenants/demo/upgrade?canary=0.5&observe=1h").await.0, 202);
    until("the agent tries it", async || (status(&host, "demo").await["change"]["moved"] == 1).then_some(())).await;
    let both = children(host.pid());
    assert!(both.len() == 2 && both.contains(&first), "{both:?}");
    host.terminate();
    let heard = agent.hears_until("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "shutting_down", "retryAfter": 5}));
    assert_eq!(host.ends().await.code(), Some(0));
    until("no worker is left", async || both.iter().all(|pid| !is_running(*pid)).then_some(())).await;
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    let all: Vec<String> = lists.collect();
    all.iter().flat_map(|list| list.split_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}
