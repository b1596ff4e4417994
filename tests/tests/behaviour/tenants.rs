//! Tenants' files: a wrong one is named and left out, the others run; settings are checked against the adapter's schema.

use std::process::Command;

use jackfield_tests::{
    agent::{Agent, Connect},
    artifacts,
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
    until,
};
use serde_json::Value;

const AUTH: &str = "[auth]\nkind = \"none\"\n";

/// Files that are wrong, and what the message must name.
fn wrong_files() -> Vec<(&'static str, String, Vec<&'static str>)> {
    vec![
        ("syntax.toml", "adapter = ".into(), vec!["syntax.toml"]),
        ("typo.toml", format!("adaptor = \"simulator\"\n{AUTH}"), vec!["typo.toml", "adaptor"]),
        ("missing.toml", AUTH.into(), vec!["missing.toml", "adapter"]),
        ("nowhere.toml", format!("adapter = \"nowhere\"\n{AUTH}"), vec!["nowhere.toml", "adapter"]),
        ("limits.toml", format!("adapter = \"simulator\"\n{AUTH}[limits]\nsessions = 0\n"), vec!["limits.sessions"]),
        (
            "setting.toml",
            format!("adapter = \"simulator\"\n{AUTH}[settings]\nring_ms = \"soon\"\n"),
            vec!["setting.toml", "ring_ms"],
        ),
        (
            "unknown.toml",
            format!("adapter = \"simulator\"\n{AUTH}[settings]\nrings = 3\n"),
            vec!["unknown.toml", "rings"],
        ),
        (
            "secret.toml",
            format!("adapter = \"simulator\"\n{AUTH}[settings]\nanswer = {{ file = \"no-such-file\" }}\n"),
            vec!["secret.toml"],
        ),
        ("UPPER.toml", format!("adapter = \"simulator\"\n{AUTH}"), vec!["UPPER.toml"]),
    ]
}

#[tokio::test]
async fn a_wrong_tenants_file_is_named_and_the_right_one_runs() {
    for (file, text, names) in wrong_files() {
        let host = Setup::new().tenant(Tenant::simulator("demo")).file(&format!("tenants/{file}"), &text).start().await;
        host.log_in("1001").await.finish().await;
        let named =
            || async { host.log().lines().any(|line| names.iter().all(|name| line.contains(name))).then_some(()) };
        until(&format!("{names:?} is in one line of the log"), named).await;
        let wrong = file.trim_end_matches(".toml").to_lowercase();
        assert_eq!(Agent::connect_with(&host, &wrong, Connect::default()).await.err(), Some(401), "{file}");
    }
}

#[tokio::test]
async fn check_config_says_the_same_and_exits_with_1() {
    let host = Host::simulator().await;
    let check = |folder: &std::path::Path| {
        let file = folder.join("jackfield.toml");
        let said = Command::new(artifacts::jackfield()).arg("check-config").arg(file).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        (said.status.code(), text)
    };
    let (code, text) = check(host.folder());
    assert_eq!(code, Some(0), "{text}");
    for (file, text, names) in wrong_files() {
        let path = host.folder().join("tenants").join(file);
        std::fs::write(&path, text).unwrap();
        let (code, text) = check(host.folder());
        assert_eq!(code, Some(1), "{file}: {text}");
        assert!(text.lines().any(|line| names.iter().all(|name| line.contains(name))), "{names:?} in {text}");
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_library_that_may_not_run_inside_the_host_is_refused_by_both() {
    let host = Host::simulator().await;
    let mut library = std::fs::read(artifacts::library("jackfield-simulator")).unwrap();
    let unwinds = b"\"panic\":\"unwind\"";
    let at = library.windows(unwinds.len()).position(|window| window == unwinds).unwrap();
    library[at..at + unwinds.len()].copy_from_slice(b"\"panic\":\"abort\" ");
    std::fs::write(host.folder().join("tenants/aborts.so"), library).unwrap();
    let file = host.folder().join("tenants/aborts.toml");
    for (isolation, right) in [("none", false), ("tenant", true)] {
        std::fs::write(&file, format!("adapter = \"aborts.so\"\nisolation = \"{isolation}\"\n{AUTH}")).unwrap();
        let mut check = Command::new(artifacts::jackfield());
        let said = check.arg("check-config").arg(host.folder().join("jackfield.toml")).output().unwrap();
        let (_, answer) = host.post("/reload").await;
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.success(), right, "{isolation}: {text}");
        assert_eq!(answer["problems"].as_array().unwrap().is_empty(), right, "{isolation}: {answer}");
        assert!(right || text.contains("aborts.toml") && text.contains("panic=abort"), "{text}");
    }
}

#[tokio::test]
async fn a_secret_in_a_file_reaches_the_adapter_and_nobody_else() {
    let puppet = Puppet::start().await;
    let tenant = Tenant::puppet("demo", &puppet).settings("secret = { file = \"secret.txt\" }");
    let host = Setup::new().file("tenants/secret.txt", "s3cret-value\n").tenant(tenant).start().await;
    host.log_in("1001").await.finish().await;
    assert_eq!(puppet.asked("connect").await["secret"], "s3cret-value");
    let seen = [host.log(), host.operations("/tenants").await, host.operations("/metrics").await].concat();
    assert!(!seen.contains("s3cret-value"));
}

#[tokio::test]
async fn a_tenant_whose_settings_the_adapter_refuses_is_down_and_the_other_runs() {
    let puppet = Puppet::start().await;
    puppet.when("connect", Answer::failure("rejected", "the site does not exist"));
    let host = Setup::new()
        .tenant(Tenant::puppet("broken", &puppet).may_be_down())
        .tenant(Tenant::simulator("demo"))
        .start()
        .await;
    host.log_in("1001").await.finish().await;
    host.logs("the site does not exist").await;
    let mut agent = Agent::connect(&host, "broken").await;
    let response = agent.prepare("1001", false).await;
    assert_eq!(response["result"], "failure", "{response}");
    let told = || async {
        let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
        let broken = tenants.as_array().unwrap().iter().find(|tenant| tenant["id"] == "broken").unwrap();
        broken["reason"].as_str().is_some_and(|reason| reason.contains("the site does not exist")).then_some(())
    };
    until("the operators are told why", told).await;
    assert_eq!(puppet.times_asked("connect"), 1, "a refusal is not tried again");
}

#[tokio::test]
async fn a_tenant_that_cannot_connect_yet_is_tried_again() {
    let puppet = Puppet::start().await;
    puppet.when("connect", Answer::failure("unreachable", "no route"));
    let host = Setup::new().tenant(Tenant::puppet("demo", &puppet)).start().await;
    puppet.asked("connect").await;
    puppet.asked("connect").await;
    let mut agent = host.connect().await;
    agent.log_in("1001").await;
    agent.finish().await;
}

#[tokio::test]
async fn two_tenants_share_nothing() {
    let host = Setup::new().tenant(Tenant::simulator("demo")).tenant(Tenant::simulator("other")).start().await;
    let mut one = host.log_in("1001").await;
    one.has_phone("2001").await;
    // The same agent and endpoint elsewhere are somebody and something else.
    let mut two = Agent::connect(&host, "other").await;
    two.log_in("1001").await;
    two.has_phone("2001").await;
    one.talks().await;
    two.hears_no_more().await;
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn a_host_whose_own_file_is_wrong_does_not_start() {
    let folder = jackfield_tests::host::TempFolder::new();
    let file = folder.0.join("jackfield.toml");
    for (text, name) in [("listner = 1", "listner"), ("[listener]\naddress = \"nowhere\"", "address")] {
        std::fs::write(&file, text).unwrap();
        let said = Command::new(artifacts::jackfield()).arg("serve").arg("--config").arg(&file).output().unwrap();
        assert!(!said.status.success());
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(text.contains("jackfield.toml") && text.contains(name), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    let said = Command::new(artifacts::jackfield()).args(["serve", "--config", "no/such/file"]).output().unwrap();
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("no/such/file"));
}
