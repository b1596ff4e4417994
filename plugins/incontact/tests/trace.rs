//! The trace of a session: it holds nothing secret or personal, and played to the adapter it comes to the same.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
};

use common::*;
use jackfield_incontact::InContact;
use jackfield_plugin_api::{
    Command, Report, StartOptions,
    report::{ConversationState as State, InteractionState, Reason},
    testkit::Tenant,
};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_jackfield-incontact-trace");

/// The program at work, and its address.
struct Program(Child, String);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Process::new(PROGRAM)
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self(child, address)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that goes with the test.
struct Trace(PathBuf);

impl Trace {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.jsonl", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn tenant(issuer: &str, tenant_id: &str) -> Tenant<jackfield_incontact::Cxone> {
    let mut settings = settings(issuer);
    settings["tenant_id"] = json!(tenant_id);
    let tenant = Tenant::connect::<InContact>(MANIFEST, settings).await.unwrap();
    eventually("the link is up", || tenant.link() == Some(jackfield_plugin_api::Link::Up)).await;
    tenant
}

async fn at_work(tenant: &Tenant<jackfield_incontact::Cxone>) -> Desk {
    let session = tenant.log_in("anna", "anna-secret").await.unwrap();
    session.start_with(StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    let anna = Desk { session };
    anna.activate("telephony").await;
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    anna
}

/// A call that is held, consulted on, transferred and completed.
async fn work(anna: &Desk) {
    anna.until("a call is offered", |view| view.interactions().count() == 1).await;
    let key = anna.keys().remove(0);
    anna.done(Command::Answer { conversation: call(&key) }).await;
    anna.done(Command::Hold { conversation: call(&key) }).await;
    anna.done(Command::Retrieve { conversation: call(&key) }).await;
    anna.done(Command::Consult { interaction: at(&key), destination: "5550001".to_owned() }).await;
    anna.in_state(&anna.consult(), State::Talking).await;
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    anna.done(Command::Complete { interaction: at(&key) }).await;
}

type Told = (String, Option<State>, Option<InteractionState>, Option<Reason>);

/// What was told of calls, each change once.
fn told(reports: &[Report]) -> Vec<Told> {
    let mut told = Vec::new();
    for interaction in reports.iter().flat_map(|report| &report.channels).flat_map(|channel| &channel.interactions) {
        let conversations = interaction.conversations.iter().flatten();
        told.extend(conversations.map(|it| (it.key.clone(), it.state, None, it.reason)));
        told.push((interaction.key.clone(), None, interaction.state, interaction.reason));
    }
    let mut changes: Vec<Told> = Vec::new();
    for one in told {
        let last = changes.iter().rev().find(|known| known.0 == one.0 && known.1.is_some() == one.1.is_some());
        if last != Some(&one) {
            changes.push(one);
        }
    }
    changes
}

#[tokio::test]
async fn a_recorded_session_tells_nothing_secret_and_played_again_it_comes_to_the_same() {
    let emulator = emulator().await;
    let trace = Trace::new("session");
    let recorded = {
        let recorder = Program::start(&["record", "--issuer", &emulator.url(), "--out", trace.path()]);
        // The address stands last in what it says.
        let tenant = tenant(&recorder.1, "11111111-aaaa-4bbb-8ccc-000000000001").await;
        let anna = at_work(&tenant).await;
        emulator.control("arrive", json!({"agent": ANNA, "url": "https://crm.example/?customer=ada"}));
        work(&anna).await;
        told(&anna.session.reports())
    };
    let text = std::fs::read_to_string(trace.path()).unwrap();
    for secret in ["anna", "jackfield", "5551234", "5559000", "5550001", "7001", "crm.example", "11111111-", "Sales"] {
        assert!(!text.contains(secret), "{secret} is in the trace:\n{text}");
    }
    assert!(text.contains("CallContactEvent") && text.contains("\"Holding\""));
    drop(emulator);

    let player = Program::start(&["play", trace.path()]);
    let tenant = tenant(&player.1, "trace-tenant").await;
    let anna = at_work(&tenant).await;
    work(&anna).await;
    assert_eq!(told(&anna.session.reports()), recorded);
    assert_eq!(tenant.complaints(), Vec::<String>::new());
    drop(player);

    let checked = Process::new(PROGRAM).args(["check", trace.path()]).output().unwrap();
    let reports = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(reports.contains("transferred") && reports.contains("TALKING"), "{reports}");
}
