//! The simulator as a host sees it: the contract's traits, with real time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jackfield_plugin_api::{
    Code, Command, Ending, Link, Login, Outcome, StartOptions,
    report::{Availability, ChannelType, ConversationAt, ConversationState, Interaction, Reason, Target},
    testkit::{Session, Tenant, View, check_manifest},
};
use jackfield_simulator::{Seat, Simulator, Tenancy, settings::Settings};
use serde_json::{Value, json};

const MANIFEST: &str = include_str!("../manifest.json");

async fn tenant(settings: Value) -> Tenant<Tenancy> {
    Tenant::connect::<Simulator>(MANIFEST, settings).await.unwrap()
}

async fn agent(tenant: &Tenant<Tenancy>, id: &str, endpoint: &str) -> Session<Seat> {
    let session = tenant.log_in(id, "any").await.unwrap();
    session.start().await.unwrap();
    phone(&session, endpoint).await;
    session
}

async fn phone(session: &Session<Seat>, endpoint: &str) {
    for command in [
        Command::AddChannel { endpoint: endpoint.into(), kind: ChannelType::Telephony },
        Command::Activate { channel: endpoint.into(), queue: None, options: json!({}).into() },
        Command::Ready { channel: endpoint.into() },
    ] {
        assert_eq!(session.command(command).await, Outcome::success());
    }
}

fn extension(name: &str, data: Value) -> Command {
    Command::Extension { name: name.into(), target: Target::Session, data: data.into() }
}

async fn inbound(session: &Session<Seat>) {
    let data = json!({ "type": "Telephony", "from": "+15550100" });
    let outcome = session.command(extension("session.request.simulator.inbound", data)).await;
    assert!(matches!(outcome, Outcome::Success(Some(_))), "{outcome:?}");
}

fn dial(number: &str) -> Command {
    Command::Dial { channel: "1001".into(), destination: number.into(), extensions: json!({}).into() }
}

fn only(view: &View) -> Option<&Interaction> {
    view.interactions().next()
}

fn call(view: &View) -> ConversationAt {
    let interaction = only(view).unwrap();
    ConversationAt {
        channel: "1001".into(),
        interaction: interaction.key.clone(),
        conversation: interaction.conversations.as_ref().unwrap()[0].key.clone(),
    }
}

fn talks(view: &View) -> bool {
    view.interactions()
        .flat_map(|it| it.conversations.iter().flatten())
        .any(|it| it.state == Some(ConversationState::Talking))
}

#[tokio::test]
async fn a_day_is_worked_through_the_contract() {
    let tenant = tenant(json!({ "ring_ms": 5 })).await;
    assert_eq!(tenant.link(), Some(Link::Up));
    let anna = agent(&tenant, "anna", "1001").await;
    assert_eq!(anna.view().availability("1001"), Some(Availability::Ready));
    inbound(&anna).await;
    let conversation = call(&anna.view());
    assert_eq!(anna.command(Command::Answer { conversation: conversation.clone() }).await, Outcome::success());
    assert!(talks(&anna.view()), "the report is out before the answer");
    assert_eq!(anna.command(Command::Release { conversation }).await, Outcome::success());
    assert_eq!(only(&anna.view()).unwrap().reason, Some(Reason::Released));

    assert_eq!(anna.command(dial("5551234")).await, Outcome::success());
    anna.wait_until("the called party answers", talks).await;
    let conversation = anna.view().interactions().last().map(|it| ConversationAt {
        channel: "1001".into(),
        interaction: it.key.clone(),
        conversation: it.conversations.as_ref().unwrap()[0].key.clone(),
    });
    let command = Command::BlindConference { conversation: conversation.unwrap(), destination: "5551235".into() };
    assert_eq!(anna.command(command).await, Outcome::success());

    anna.log_out(Ending::LogOut).await.unwrap();
    assert_eq!(tenant.complaints(), Vec::<String>::new());
    tenant.disconnect().await;
}

#[tokio::test]
async fn the_link_goes_and_comes_back_by_itself() {
    let tenant = tenant(json!({})).await;
    let anna = agent(&tenant, "anna", "1001").await;
    inbound(&anna).await;
    let link = extension("session.request.simulator.link", json!({ "up": false, "ms": 50 }));
    assert!(matches!(anna.command(link).await, Outcome::Success(Some(_))));
    let changes = async {
        while tenant.links().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), changes).await.unwrap();
    assert!(matches!(&tenant.links()[..], [Link::Up, Link::Down { .. }, Link::Up]), "{:?}", tenant.links());
    anna.snapshot().await.unwrap();
    assert_eq!(anna.view().interactions().count(), 1);
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_logs_in_and_nothing_is_told_while_the_link_is_down() {
    let tenant = tenant(json!({})).await;
    let anna = agent(&tenant, "anna", "1001").await;
    anna.command(extension("session.request.simulator.link", json!({ "up": false, "ms": 3_600_000 }))).await;
    let lost = async {
        while tenant.link() == Some(Link::Up) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), lost).await.unwrap();
    let failure = tenant.log_in("berta", "any").await.err().unwrap();
    assert_eq!(failure.code, Code::LinkDown);
    assert_eq!(anna.snapshot().await.err().unwrap().code, Code::LinkDown);
    anna.log_out(Ending::LogOut).await.unwrap();
}

#[tokio::test]
async fn a_session_that_goes_on_in_the_same_switch_finds_its_calls() {
    let tenant = tenant(json!({})).await;
    let login = |session: &str| Login::new("anna", "any", session);
    let anna = tenant.log_in_with(login("s1")).await.unwrap();
    anna.start_with(StartOptions::new(Some("77".into()))).await.unwrap();
    phone(&anna, "1001").await;
    inbound(&anna).await;
    anna.command(Command::Answer { conversation: call(&anna.view()) }).await;
    let kept = anna.resume_state();
    drop(anna);
    let again = tenant.log_in_with(Login::again("anna", "s1", kept.clone())).await.unwrap();
    again.snapshot().await.unwrap();
    assert!(talks(&again.view()));
    assert_eq!(again.resume_state(), kept);
    assert_eq!(again.command(Command::Hold { conversation: call(&again.view()) }).await, Outcome::success());
}

#[tokio::test]
async fn a_session_goes_on_with_a_new_switch_that_knows_nothing() {
    let tenant = tenant(json!({ "agents": [{ "id": "anna", "password": "right" }] })).await;
    let kept = serde_json::to_vec(&json!({ "extension": "77" })).unwrap();
    let anna = tenant.log_in_with(Login::again("anna", "s1", kept)).await.unwrap();
    anna.snapshot().await.unwrap();
    assert_eq!(anna.view().channels.len(), 0);
    phone(&anna, "1001").await;
    assert_eq!(anna.command(dial("77")).await, Outcome::success());
}

#[tokio::test]
async fn a_command_whose_answer_nobody_waits_for_leaves_nothing_behind() {
    let tenant = tenant(json!({ "ring_ms": 20 })).await;
    let anna = agent(&tenant, "anna", "1001").await;
    inbound(&anna).await;
    anna.command(Command::Answer { conversation: call(&anna.view()) }).await;
    let command = Command::BlindConference { conversation: call(&anna.view()), destination: "5551234".into() };
    assert!(tokio::time::timeout(Duration::from_millis(1), anna.command(command)).await.is_err());
    // It is carried out all the same, and the reports tell.
    anna.wait_until("the party has joined", |view| {
        only(view).is_some_and(|it| it.conversations.as_ref().unwrap()[0].members.as_ref().unwrap().len() == 2)
    })
    .await;
    anna.log_out(Ending::LogOut).await.unwrap();
}

#[tokio::test]
async fn a_platform_that_is_slow_answers_late() {
    let tenant = tenant(json!({ "latency_ms": 30 })).await;
    let anna = tenant.log_in("anna", "any").await.unwrap();
    anna.start().await.unwrap();
    let before = std::time::Instant::now();
    anna.command(Command::AddChannel { endpoint: "1001".into(), kind: ChannelType::Telephony }).await;
    assert!(before.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn metrics_are_declared_and_reported() {
    let tenant = tenant(json!({ "offer_ms": 1 })).await;
    let anna = agent(&tenant, "anna", "1001").await;
    let data = json!({ "type": "Telephony", "from": "1", "queue": "web" });
    anna.command(extension("session.request.simulator.inbound", data)).await;
    let unanswered = async {
        while !tenant.metrics().iter().any(|metric| metric.name == "offers_unanswered_total") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), unanswered).await.unwrap();
    let waiting: Vec<f64> = tenant
        .metrics()
        .into_iter()
        .filter(|metric| metric.name == "contacts_waiting" && metric.labels == ["web"])
        .map(|metric| metric.value)
        .collect();
    assert_eq!(waiting, [1.0, 0.0, 1.0]);
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn settings_that_contradict_themselves_are_refused() {
    let twice = json!({ "queues": ["sales", { "name": "sales" }] });
    let failure = Tenant::connect::<Simulator>(MANIFEST, twice).await.err().unwrap();
    assert_eq!(failure.code, Code::Rejected);
    assert!(failure.message.contains("sales"), "{failure}");
}

#[test]
fn the_manifest_is_one_that_a_host_takes() {
    check_manifest(MANIFEST).unwrap();
}

#[test]
fn the_schema_of_the_settings_says_what_the_adapter_does() {
    let manifest: Value = serde_json::from_str(MANIFEST).unwrap();
    let schema = &manifest["settings"];
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let declared = schema["properties"].as_object().unwrap();
    assert_eq!(
        declared.keys().collect::<Vec<_>>(),
        defaults.as_object().unwrap().keys().collect::<Vec<_>>(),
        "each setting is declared"
    );
    for (name, property) in declared {
        if let Some(default) = property.get("default") {
            assert_eq!(default, &defaults[name], "{name}");
        }
    }
    let validator = jsonschema::validator_for(schema).unwrap();
    let good = json!({
        "ring_ms": 10, "destinations": { "5551234": { "answer": "busy", "ring_ms": 5 } },
        "queues": ["sales", { "name": "web", "url": "https://crm.example/{contact}" }],
        "groups": [{ "name": "all", "channels": [{ "type": "Chat", "endpoint": "{agent}", "callback": false }] }],
        "reasons": [{ "code": "1", "desc": "Lunch" }], "agents": [{ "id": "anna", "password": "secret" }],
        "capacity": { "chat": 3 }, "skills": [{ "id": "1", "name": "One" }], "acw": true, "dispositions": ["Sold"],
    });
    assert!(validator.is_valid(&good));
    serde_json::from_value::<Settings>(good).unwrap();
    for bad in [json!({ "ring": 1 }), json!({ "ring_ms": -1 }), json!({ "answer": "never" }), json!({ "queues": [1] })]
    {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn the_schema_of_the_happenings_names_what_the_switch_knows() {
    let manifest: Value = serde_json::from_str(MANIFEST).unwrap();
    let commands = manifest["extensionCommands"].as_array().unwrap();
    let cause = commands.iter().find(|command| command["name"] == "session.request.simulator.cause").unwrap();
    for what in cause["data"]["properties"]["what"]["enum"].as_array().unwrap() {
        let readme = include_str!("../README.md");
        assert!(readme.contains(&format!("`{}`", what.as_str().unwrap())), "{what} is not described");
    }
}
