//! Clients that vanish without a word, as a laptop does whose lid is closed. In a network of the test's own, which it can
//! take down.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use jackfield_tests::{artifacts, host::TempFolder, skipped};
use serde_json::Value;

/// A process in a network of its own; ended with this value.
struct Inside(Child);

impl Inside {
    /// Starts the host in a new network.
    fn start(config: &Path) -> Self {
        let host = format!(
            "ip link set lo up && exec {} serve --config {}",
            artifacts::jackfield().display(),
            config.display()
        );
        let mut command = Command::new("unshare");
        Self(command.args(["-n", "sh", "-c", &host]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// A command in the same network.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.id().to_string(), "-n"]).args(words).stderr(Stdio::null());
        command
    }

    /// Its output; `None` where it fails.
    fn run(&self, words: &[&str]) -> Option<String> {
        let output = self.command(words).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    fn post(&self, path: &str, body: &str) -> Value {
        let url = format!("http://127.0.0.1:8080/v1/tenants/demo/sessions{path}");
        let answer = self.run(&["curl", "-sS", "--max-time", "20", "-d", body, &url]).expect("the host answers");
        serde_json::from_str(&answer).unwrap()
    }

    /// Waits until this many clients are connected.
    fn has_clients(&self, count: &str, patience: Duration) {
        self.says(&format!("jackfield_connections{{tenant=\"demo\"}} {count}"), patience);
    }

    /// Waits for a line of the metrics.
    fn says(&self, series: &str, patience: Duration) {
        let begun = std::time::Instant::now();
        let metrics = ["curl", "-sS", "--max-time", "5", "http://127.0.0.1:9464/metrics"];
        while !self.run(&metrics).is_some_and(|metrics| metrics.lines().any(|line| line == series)) {
            assert!(begun.elapsed() < patience, "{series} never came true");
            std::thread::sleep(Duration::from_millis(100)); // between two questions only
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_of_the_event_stream_that_has_vanished_is_not_taken_for_connected() {
    let possible = |words: &[&str]| {
        let done = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    if !possible(&["unshare", "-n", "ip", "link", "set", "lo", "up"]) || !possible(&["curl", "--version"]) {
        return skipped("a network of its own needs root, unshare, ip and curl");
    }
    let folder = TempFolder::new();
    fs::create_dir(folder.0.join("tenants")).unwrap();
    let config = folder.0.join("jackfield.toml");
    fs::write(&config, "[plugins]\nstore = \"store\"\n").unwrap();
    let library = artifacts::library("jackfield-simulator");
    let tenant = format!("adapter = \"{}\"\nisolation = \"none\"\n[auth]\nkind = \"none\"\n", library.display());
    fs::write(folder.0.join("tenants/demo.toml"), tenant).unwrap();

    let host = Inside::start(&config);
    // Before that nobody can log in.
    host.says("jackfield_link_up{tenant=\"demo\"} 1", Duration::from_secs(60));
    let login = r#"{"command": "prepareSession", "data": {"agent": {"id": "1001", "password": "secret"}}}"#;
    let session = host.post("", login)["data"]["session"]["id"].as_str().unwrap().to_owned();
    let start = format!(r#"{{"command": "session.start", "target": "{session}"}}"#);
    assert_eq!(host.post(&format!("/{session}/commands"), &start)["result"], "success");
    let events = format!("http://127.0.0.1:8080/v1/tenants/demo/sessions/{session}/events");
    let mut reader = host.command(&["curl", "-sN", &events]).stdout(Stdio::null()).spawn().unwrap();
    host.has_clients("1", Duration::from_secs(20));

    // Nothing arrives any more, in either direction, and nobody is told. The host is to notice by itself.
    assert!(host.run(&["ip", "link", "set", "lo", "down"]).is_some());
    std::thread::sleep(Duration::from_secs(70)); // what must happen meanwhile cannot be asked: nothing arrives
    assert!(host.run(&["ip", "link", "set", "lo", "up"]).is_some());
    host.has_clients("0", Duration::from_secs(1));
    let _ = reader.kill();
    let _ = reader.wait();
}
