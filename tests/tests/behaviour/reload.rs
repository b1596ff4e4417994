//! A configuration that has changed: the host says what it has taken over, what holds at the next start, and what is wrong.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use jackfield_tests::{
    agent::{Agent, Connect},
    artifacts,
    host::{Host, Setup, TempFolder, Tenant},
    http,
    puppet::{Answer, Puppet},
    until,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

/// Replaces a text in `jackfield.toml`, or appends to it.
fn rewrite(host: &Host, old: &str, new: &str) {
    let file = host.folder().join("jackfield.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(old), "{old} is in {text}");
    std::fs::write(file, text.replace(old, new)).unwrap();
}

async fn tenant(host: &Host, name: &str) -> Value {
    let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    tenants.as_array().unwrap().iter().find(|tenant| tenant["id"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn the_answer_names_the_keys_that_hold_now_and_those_that_need_a_restart() {
    let host = Setup::new()
        .main("[limits]\nsessions = 10\n[log]\nfilter = \"info\"\n[metrics]\nmax_tenants = 5")
        .listener("header_timeout = \"10s\"")
        .tenant(Tenant::simulator("demo"))
        .start()
        .await;
    let (_, answer) = host.post("/reload").await;
    assert_eq!((&answer["applied"], &answer["restart"]), (&json!([]), &json!([])), "{answer}");
    rewrite(&host, "sessions = 10", "sessions = 7");
    rewrite(&host, "filter = \"info\"", "filter = \"debug\"");
    rewrite(&host, "header_timeout = \"10s\"", "header_timeout = \"20s\"");
    let (status, answer) = host.post("/reload").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["applied"], json!(["limits.sessions", "log.filter"]), "{answer}");
    assert_eq!(answer["restart"], json!(["listener.header_timeout"]), "{answer}");
    assert_eq!(answer["tenants"]["demo"], "adopted", "{answer}");
    assert_eq!(tenant(&host, "demo").await["sessionsLimit"], 7, "it is so");
    host.logs("listener.header_timeout").await;
    // Told at that level only.
    let mut nonsense = tokio::net::TcpStream::connect(&host.address).await.unwrap();
    nonsense.write_all(b"nonsense\r\n\r\n").await.unwrap();
    host.logs("\"level\":\"DEBUG\"").await;
    // What was taken over is not told again; what was not is, until it is taken back.
    let (_, answer) = host.post("/reload").await;
    assert_eq!((&answer["applied"], &answer["restart"]), (&json!([]), &json!(["listener.header_timeout"])));
    rewrite(&host, "header_timeout = \"20s\"", "header_timeout = \"10s\"");
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["restart"], json!([]), "{answer}");
    assert!((host.metric("jackfield_config_last_reload_successful").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_file_that_has_become_wrong_changes_nothing_and_is_told_and_counted() {
    let host = Setup::new().main("[limits]\nsessions = 10").tenant(Tenant::simulator("demo")).start().await;
    rewrite(&host, "sessions = 10", "sessions = 0");
    let (status, answer) = host.post("/reload").await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["problems"][0].as_str().unwrap().contains("limits.sessions"), "{answer}");
    assert_eq!(tenant(&host, "demo").await["sessionsLimit"], 10);
    assert!(host.metric("jackfield_config_last_reload_successful").await.abs() < 0.1);
    host.log_in("1001").await.finish().await;
}

#[tokio::test]
async fn a_tenant_whose_password_was_mended_in_its_file_is_tried_again() {
    let puppet = Puppet::start().await;
    puppet.when("connect", Answer::failure("rejected", "the password is wrong"));
    let refused = Tenant::puppet("acme", &puppet).settings("secret = { file = \"secret.txt\" }").may_be_down();
    let host = Setup::new()
        .file("tenants/secret.txt", "mistyped")
        .tenant(refused)
        .tenant(Tenant::simulator("demo"))
        .start()
        .await;
    puppet.asked("connect").await;
    let is_refused = || async { (tenant(&host, "acme").await["state"] == "refused").then_some(()) };
    until("it is refused", is_refused).await;
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["acme"], "unchanged", "the same password would be wrong again: {answer}");
    assert_eq!(puppet.times_asked("connect"), 1);
    std::fs::write(host.folder().join("tenants/secret.txt"), "right").unwrap();
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["acme"], "retried", "{answer}");
    assert_eq!(puppet.asked("connect").await["secret"], "right");
    host.link_is_up("acme").await;
}

#[tokio::test]
async fn an_operator_may_have_a_refused_tenant_tried_again() {
    let puppet = Puppet::start().await;
    puppet.when("connect", Answer::failure("rejected", "the account is locked"));
    let host = Setup::new()
        .tenant(Tenant::puppet("acme", &puppet).may_be_down())
        .tenant(Tenant::simulator("demo"))
        .start()
        .await;
    puppet.asked("connect").await;
    until("it is released", || async { (host.post("/tenants/acme/release").await.0 == 200).then_some(()) }).await;
    host.link_is_up("acme").await;
    assert_eq!(host.post("/tenants/acme/release").await.0, 409, "it works");
}

#[tokio::test]
async fn an_empty_folder_of_tenants_ends_nobody() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    std::fs::rename(host.folder().join("tenants/demo.toml"), host.folder().join("demo.toml")).unwrap();
    let (status, answer) = host.post("/reload").await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["problems"][0].as_str().unwrap().contains("tenants.directory"), "{answer}");
    agent.has_phone("2001").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_tenant_that_an_operator_removes_is_gone_until_the_configuration_is_read_again() {
    let host = Setup::new().tenant(Tenant::simulator("demo")).tenant(Tenant::simulator("other")).start().await;
    let mut agent = host.log_in("1001").await;
    let mut untouched = Agent::connect(&host, "other").await;
    untouched.log_in("1001").await;
    assert_eq!(host.post("/tenants/demo/remove").await.0, 200);
    let heard = agent.hears("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "tenant_removed"}));
    assert_eq!(Agent::connect_with(&host, "demo", Connect::default()).await.err(), Some(401));
    assert_eq!(host.post("/tenants/demo/remove").await.0, 404);
    untouched.has_phone("2001").await;
    untouched.finish().await;
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["demo"], "started", "{answer}");
    host.link_is_up("demo").await;
}

#[tokio::test]
async fn a_suspended_tenant_stays_so_over_reloads_until_it_is_resumed() {
    let host = Setup::new().tenant(Tenant::simulator("demo")).tenant(Tenant::simulator("other")).start().await;
    let mut agent = host.log_in("1001").await;
    assert_eq!(host.post("/tenants/demo/suspend").await.0, 200);
    agent.hears("session.disposed").await;
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"], json!({"demo": "suspended", "other": "unchanged"}), "{answer}");
    assert_eq!(tenant(&host, "demo").await["state"], "suspended");
    assert!((host.metric("jackfield_tenants{state=\"suspended\"}").await - 1.0).abs() < 0.1);
    assert_eq!(Agent::connect_with(&host, "demo", Connect::default()).await.err(), Some(401));
    assert_eq!(host.post("/tenants/demo/resume").await.0, 200);
    host.link_is_up("demo").await;
    host.log_in("1001").await.finish().await;
    assert_eq!(host.post("/tenants/demo/resume").await.0, 409, "it runs");
    // By its file: an operator's word does not stand against it.
    let file = host.folder().join("tenants/demo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("suspended = true\n{text}")).unwrap();
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["demo"], "suspended", "{answer}");
    let (status, answer) = host.post("/tenants/demo/resume").await;
    assert!(status == 422 && answer["problems"][0].as_str().unwrap().contains("suspended"), "{answer}");
    std::fs::write(&file, text).unwrap();
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["tenants"]["demo"], "started", "{answer}");
    host.link_is_up("demo").await;
}

/// A host that was started by hand, and may not become ready.
struct Bare {
    process: Child,
    folder: TempFolder,
}

impl Bare {
    /// With one tenant of the simulator; `prepare` sees the folder before the host does.
    fn start(prepare: impl FnOnce(&Path)) -> Self {
        let folder = TempFolder::new();
        std::fs::create_dir(folder.0.join("tenants")).unwrap();
        std::fs::write(folder.0.join("tenants/demo.toml"), "adapter = \"simulator\"\n[auth]\nkind = \"none\"\n")
            .unwrap();
        let file = folder.0.join("jackfield.toml");
        std::fs::write(&file, "[plugins]\nstore = \"store\"\n").unwrap();
        prepare(&folder.0);
        let log = std::fs::File::create(folder.0.join("log")).unwrap();
        let process = Command::new(artifacts::jackfield())
            .args(["serve", "--set", "listener.address=127.0.0.1:0", "--config"])
            .arg(file)
            .env("JACKFIELD_OPERATIONS__ADDRESS", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    /// Waits for a line of the log with all these words.
    async fn logs(&self, words: &[&str]) -> String {
        let line = || async {
            let log = std::fs::read_to_string(self.folder.0.join("log")).unwrap_or_default();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        };
        until(&format!("the log says {words:?}"), line).await
    }

    /// Where operators ask.
    async fn operations(&self) -> String {
        let line: Value = serde_json::from_str(&self.logs(&["listening for operations"]).await).unwrap();
        line["address"].as_str().unwrap().to_owned()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_tenant_that_could_not_be_started_is_started_when_it_can_be_and_the_host_is_ready_then() {
    // Where the store is to be there is a file: nothing can be copied into it.
    let host = Bare::start(|folder| std::fs::write(folder.join("store"), "in the way").unwrap());
    let operations = host.operations().await;
    host.logs(&["a tenant is not started", "demo.toml"]).await;
    let (status, why) = http::get(&operations, "/readyz").await.unwrap();
    assert_eq!((status, why.trim()), (503, "not ready: no tenant runs"));
    std::fs::remove_file(host.folder.0.join("store")).unwrap();
    host.logs(&["the tenant could be started now", "demo"]).await;
    let ready = || async { (http::get(&operations, "/readyz").await.unwrap().0 == 200).then_some(()) };
    until("it is ready", ready).await;
    let told = || async {
        let tenants: Value = serde_json::from_str(&http::get(&operations, "/tenants").await.unwrap().1).unwrap();
        (tenants.as_array().unwrap().len() == 1).then_some(())
    };
    until("it is not told as a wrong file any more", told).await;
}

#[tokio::test]
async fn a_signal_without_meaning_ends_nothing() {
    let mut host = Host::simulator().await;
    for signal in ["USR1", "USR2"] {
        assert!(Command::new("kill").args(["-s", signal, &host.pid().to_string()]).status().unwrap().success());
        host.logs(&format!("SIG{signal}")).await;
    }
    assert!(host.is_running());
    host.log_in("1001").await.finish().await;
}

/// What `jackfield` prints, its exit status first.
fn said(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(artifacts::jackfield());
    let done = command.args(arguments).envs(environment.iter().copied()).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_value_comes_from_the_file_the_environment_or_an_argument_and_explain_tells_which() {
    let host = Setup::new().main("[limits]\nsessions = 10").tenant(Tenant::simulator("demo")).start().await;
    let file = host.folder().join("jackfield.toml");
    let file = file.to_str().unwrap();
    let explain = ["config", "explain", "limits.sessions", "--config", file];
    let by_environment = [("JACKFIELD_LIMITS__SESSIONS", "11")];
    let by_argument = [&explain[..], &["--set", "limits.sessions=12"]].concat();
    for (arguments, environment, value, origin) in [
        (&explain[..], &[][..], "limits.sessions = 10", file),
        (&explain[..], &by_environment[..], "limits.sessions = 11", "environment variable JACKFIELD_LIMITS__SESSIONS"),
        (&by_argument[..], &by_environment[..], "limits.sessions = 12", "--set"),
    ] {
        let (status, text) = said(arguments, environment);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains(value) && text.contains(&format!("from     {origin}")), "{value}, {origin}:\n{text}");
        assert!(text.contains("default  1000") && text.contains("quota_exceeded"), "{text}");
    }
    let (status, text) = said(&["config", "explain", "limits.sesions", "--config", file], &[]);
    assert!(status == Some(1) && text.contains("limits.sessions"), "the known keys are listed: {text}");
    // What serve refuses, check-config refuses, wherever it comes from.
    let (status, text) = said(&["check-config", file, "--set", "limits.sessions=0"], &[]);
    assert!(status == Some(1) && text.contains("(--set)"), "{text}");
    let (status, text) = said(&["check-config", file], &[("JACKFIELD_LISTENER__ADRESS", "x")]);
    assert!(status == Some(1) && text.contains("adress"), "{text}");
}
