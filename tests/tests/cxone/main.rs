//! The inContact adapter from a desktop's WebSocket through the real host to the emulated CXone: each list of events as
//! in `protocol.md`, and what a desktop sees when CXone goes away.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod configuration;
mod day;
mod sign_in;
mod trouble;
mod worker;

use jackfield_cxone_emulator::{Emulator, behaviour::Behaviour, data::Data, writing::Writing};
use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    words::{NEW_CHANNEL, PAIR, list},
};
use serde_json::{Value, json};

pub const ANNA: u64 = 1001;
pub const BEN: u64 = 1002;

/// The demonstration data, at a pace for tests and with the password that all test agents have.
pub fn data() -> Data {
    let mut data = Data::demo();
    (data.timing.event_delay, data.timing.ring, data.timing.agent_phone_ring) = (5, 200, 10);
    for agent in data.business_unit.iter_mut().flat_map(|unit| &mut unit.agent) {
        agent.key_secret = "secret".to_owned();
    }
    data
}

/// A tenant's file for a CXone at this address.
pub fn tenant(url: &str) -> Tenant {
    Tenant::new("blue", "incontact").settings(&format!(
        r#"
issuer = "{url}"
tenant_id = "11111111-aaaa-4bbb-8ccc-000000000001"
client_id = "jackfield"
client_secret = {{ file = "../client-secret" }}
timing = {{ poll_seconds = 5, event_seconds = 5, directory_seconds = 1 }}
"#
    ))
}

/// A host with a tenant of an emulated CXone.
pub async fn host(url: &str) -> Host {
    host_of(tenant(url)).await
}

async fn host_of(tenant: Tenant) -> Host {
    let host = Setup::new().tenant(tenant).file("client-secret", "jackfield-client-secret").start().await;
    jackfield_tests::until("the link is up", || async {
        host.operations("/tenants").await.replace(' ', "").contains("\"link\":\"up\"").then_some(())
    })
    .await;
    host
}

/// CXone, a host, and nobody at work yet.
pub async fn bench() -> (Emulator, Host) {
    bench_in("none").await
}

/// The same with the adapter in such an isolation.
pub async fn bench_in(isolation: &'static str) -> (Emulator, Host) {
    bench_of(data(), isolation).await
}

/// The same of a CXone that behaves otherwise where the documents are silent.
pub async fn bench_that(behaviour: Behaviour) -> (Emulator, Host) {
    let mut data = data();
    data.behaviour = behaviour;
    bench_of(data, "none").await
}

async fn bench_of(data: Data, isolation: &'static str) -> (Emulator, Host) {
    let emulator = Emulator::start("127.0.0.1:0".parse().unwrap(), data).await.unwrap();
    let host = host_of(tenant(&emulator.url()).isolation(isolation)).await;
    (emulator, host)
}

/// An agent with a station, whose phone is connected.
pub async fn at_work(host: &Host, name: &str, station: &str) -> Agent {
    let mut agent = Agent::connect(host, "blue").await;
    agent.log_in(name).await;
    let session = agent.the("session");
    let channel = json!({"channel": {"endpoint": station, "type": "Telephony"}});
    agent.does("session.request.addchannel", &session, channel, NEW_CHANNEL).await;
    let channel = agent.the("channel");
    agent.does("channel.request.activate", &channel, json!({}), &list(&[PAIR, "session.agentleg.connected"])).await;
    agent
}

/// The same, ready for contacts.
pub async fn ready(host: &Host, name: &str, station: &str) -> Agent {
    let mut agent = at_work(host, name, station).await;
    let channel = agent.the("channel");
    agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    agent
}

/// A contact for an agent: its number.
pub fn arrive(emulator: &Emulator, agent: u64, kind: &str) -> Value {
    emulator.control("arrive", json!({"agent": agent, "kind": kind, "url": "https://crm.example/1"}))["contact"].clone()
}

pub fn remote(emulator: &Emulator, agent: u64, contact: &Value, does: &str) {
    emulator.control("remote", json!({"agent": agent, "contact": contact, "does": does}));
}
