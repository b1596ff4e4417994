//! An emulator, a tenant connected to it, and agents with short ways to say what they do.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod day;

use std::time::Duration;

use jackfield_cxone_emulator::{Emulator, behaviour::Behaviour, data::Data};
use jackfield_incontact::{Cxone, InContact, Seat};
use jackfield_plugin_api::{
    Code, Command, Ending, Failure, Json, Login, Outcome, StartOptions,
    report::{ChannelType, ConversationAt, ConversationState, InteractionAt, InteractionState, Target},
    testkit::{Session, Tenant, View},
};
use serde_json::{Value, json};

pub const MANIFEST: &str = include_str!("../../manifest.json");
pub const ANNA: u64 = 1001;
pub const BEN: u64 = 1002;
pub const CLEO: u64 = 1003;
pub const DORA: u64 = 1004;

/// Demonstration data at a pace for tests.
pub fn data() -> Data {
    let mut data = Data::demo();
    data.timing.event_delay = 5;
    data.timing.ring = 40;
    data.timing.agent_phone_ring = 10;
    data
}

pub async fn emulator() -> Emulator {
    Emulator::start("127.0.0.1:0".parse().unwrap(), data()).await.unwrap()
}

pub fn settings(url: &str) -> Value {
    json!({
        "issuer": url, "tenant_id": "11111111-aaaa-4bbb-8ccc-000000000001",
        "client_id": "jackfield", "client_secret": "jackfield-client-secret",
        "timing": {"poll_seconds": 2, "event_seconds": 3, "request_seconds": 3, "directory_seconds": 1},
    })
}

/// The emulator and a tenant of it.
pub struct Bench {
    pub emulator: Emulator,
    pub tenant: Tenant<Cxone>,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Value)) -> Self {
        Self::of(data(), change).await
    }

    /// A CXone that behaves otherwise where the documents are silent.
    pub async fn that(behaviour: Behaviour) -> Self {
        let mut data = data();
        data.behaviour = behaviour;
        Self::of(data, |_| ()).await
    }

    pub async fn of(data: Data, change: impl FnOnce(&mut Value)) -> Self {
        let emulator = Emulator::start("127.0.0.1:0".parse().unwrap(), data).await.unwrap();
        let mut settings = settings(&emulator.url());
        change(&mut settings);
        let tenant = Tenant::connect::<InContact>(MANIFEST, settings).await.unwrap();
        eventually("the link is up", || tenant.link() == Some(jackfield_plugin_api::Link::Up)).await;
        Self { emulator, tenant }
    }

    /// An agent who has logged in and started, with a station.
    pub async fn log_in(&self, name: &str, station: &str) -> Desk {
        let session = self.tenant.log_in(name, &format!("{name}-secret")).await.unwrap();
        session.start_with(StartOptions::new(Some(station.to_owned()))).await.unwrap();
        Desk { session }
    }

    /// An agent who is ready for calls.
    pub async fn ready(&self, name: &str, station: &str) -> Desk {
        let desk = self.log_in(name, station).await;
        desk.activate("telephony").await;
        desk.done(Command::Ready { channel: "telephony".to_owned() }).await;
        desk
    }

    /// The agent's worker has died: the next one goes on with what was kept.
    pub async fn after_a_crash(&self, name: &str, desk: Desk) -> Desk {
        let kept = desk.session.resume_state();
        desk.session.log_out(Ending::Leave).await.unwrap();
        let session = self.tenant.log_in_with(Login::again(name, "test", kept)).await.unwrap();
        session.snapshot().await.unwrap();
        Desk { session }
    }

    /// A contact comes to an agent: its number.
    pub fn arrive(&self, agent: u64, kind: &str) -> String {
        self.emulator.control("arrive", json!({"agent": agent, "kind": kind}))["contact"].to_string()
    }

    pub fn remote(&self, agent: u64, contact: &str, does: &str) {
        self.emulator.control("remote", json!({"agent": agent, "contact": contact, "does": does}));
    }

    pub fn fault(&self, call: &str, what: Value) {
        self.emulator.control("fault", json!({"call": call, "what": what}));
    }

    pub fn about(&self, agent: u64) -> Value {
        self.emulator.control("agent", json!({"agent": agent}))
    }

    /// Nothing was wrong in the eyes of a host.
    pub fn no_complaints(&self) {
        assert_eq!(self.tenant.complaints(), Vec::<String>::new());
        assert_eq!(self.emulator.count("double-polls"), 0, "two polls at a time");
    }
}

/// Waits for something.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waited).await.is_ok(), "never: {what}");
}

/// An agent at his desk.
pub struct Desk {
    pub session: Session<Seat>,
}

pub fn at(key: &str) -> InteractionAt {
    InteractionAt { channel: "telephony".to_owned(), interaction: key.to_owned() }
}

pub fn call(key: &str) -> ConversationAt {
    conversation(key, key)
}

pub fn conversation(interaction: &str, conversation: &str) -> ConversationAt {
    ConversationAt {
        channel: "telephony".to_owned(),
        interaction: interaction.to_owned(),
        conversation: conversation.to_owned(),
    }
}

pub fn dial(number: &str) -> Command {
    dial_with(number, json!({}))
}

pub fn dial_with(number: &str, extensions: Value) -> Command {
    Command::Dial { channel: "telephony".to_owned(), destination: number.to_owned(), extensions: extensions.into() }
}

pub fn extension(name: &str, target: Target, data: Value) -> Command {
    Command::Extension { name: name.to_owned(), target, data: data.into() }
}

impl Desk {
    pub async fn done(&self, command: Command) {
        let said = format!("{command:?}");
        assert_eq!(self.session.command(command).await, Outcome::success(), "{said}");
    }

    pub async fn fails(&self, command: Command) -> Failure {
        let said = format!("{command:?}");
        match self.session.command(command).await {
            Outcome::Failure(failure) => failure,
            other => panic!("{said} came to {other:?}"),
        }
    }

    pub async fn fails_with(&self, command: Command, code: Code) -> Failure {
        let failure = self.fails(command).await;
        assert_eq!(failure.code, code, "{failure}");
        failure
    }

    pub async fn data(&self, command: Command) -> Value {
        match self.session.command(command).await {
            Outcome::Success(Some(data)) => data.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn activate(&self, channel: &str) {
        let options = Json::empty_object();
        self.done(Command::Activate { channel: channel.to_owned(), queue: None, options }).await;
    }

    pub async fn add(&self, kind: ChannelType, endpoint: &str) {
        self.done(Command::AddChannel { endpoint: endpoint.to_owned(), kind }).await;
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&View) -> bool) {
        self.session.wait_until(what, holds).await;
    }

    pub async fn offered(&self, key: &str) {
        self.until("the call is offered", |view| is(view, key, ConversationState::Alerting)).await;
    }

    pub async fn in_state(&self, key: &str, state: ConversationState) {
        self.until(&format!("{key} is {state:?}"), |view| is(view, key, state)).await;
    }

    pub async fn gone(&self, key: &str) {
        self.until("the interaction is gone", |view| view.interaction(key).is_none()).await;
    }

    pub async fn ended(&self, key: &str) {
        let over = |view: &View| view.interaction(key).and_then(|it| it.state) == Some(InteractionState::Ended);
        self.until("the interaction has ended", over).await;
    }

    /// An inbound call, answered.
    pub async fn talking(&self, bench: &Bench, agent: u64) -> String {
        let key = bench.arrive(agent, "call");
        self.takes(&key).await;
        key
    }

    /// An offered call is answered, unless CXone has connected it by itself before anybody looks.
    pub async fn takes(&self, key: &str) {
        self.until("the call is there", |view| view.conversation(key).is_some()).await;
        if !is(&self.session.view(), key, ConversationState::Talking) {
            let interaction = self.keys().remove(0);
            self.done(Command::Answer { conversation: conversation(&interaction, key) }).await;
        }
    }

    /// The only consult of the only interaction.
    pub fn consult(&self) -> String {
        let view = self.session.view();
        let conversations = view.interactions().flat_map(|it| it.conversations.iter().flatten());
        let mut consults = conversations.filter(|it| it.role == Some(jackfield_plugin_api::report::Role::Consult));
        consults.next().expect("there is a consult").key.clone()
    }

    /// Keys of all interactions.
    pub fn keys(&self) -> Vec<String> {
        self.session.view().interactions().map(|it| it.key.clone()).collect()
    }
}

pub fn is(view: &View, conversation: &str, state: ConversationState) -> bool {
    view.conversation(conversation).and_then(|it| it.state) == Some(state)
}
