//! A switch in another process: adapters end, connections are cut, and calls stay.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, time::Duration};

use jackfield_plugin_api::{
    Code, Command, Ending, Link, Login, Outcome,
    report::{ChannelType, ConversationAt, ConversationState, Target},
    testkit::{Session, Tenant, View},
};
use jackfield_simulator::{Seat, Simulator, Tenancy, house};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

const MANIFEST: &str = include_str!("../manifest.json");

/// A process with switches, and a cable to it that can be cut.
struct Far {
    house: SocketAddr,
    cable: SocketAddr,
    cable_task: Option<JoinHandle<()>>,
}

impl Far {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let house = listener.local_addr().unwrap();
        tokio::spawn(house::serve(listener));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = Self { house, cable: listener.local_addr().unwrap(), cable_task: None };
        far.lay(listener);
        far
    }

    fn lay(&mut self, listener: TcpListener) {
        let house = self.house;
        self.cable_task = Some(tokio::spawn(async move {
            // One after the other: the end of the task is the end of the connection.
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(house).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        }));
    }

    async fn cut(&mut self) {
        let task = self.cable_task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.cable).await.unwrap();
        self.lay(listener);
    }

    async fn tenant(&self) -> Tenant<Tenancy> {
        let settings = json!({ "switch": self.cable.to_string(), "ring_ms": 5 });
        let tenant = Tenant::connect::<Simulator>(MANIFEST, settings).await.unwrap();
        link_is(&tenant, |link| *link == Link::Up).await;
        tenant
    }
}

async fn link_is(tenant: &Tenant<Tenancy>, wanted: impl Fn(&Link) -> bool) {
    let told = async {
        while !tenant.link().is_some_and(|link| wanted(&link)) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), told).await.expect("the link changes");
}

async fn in_a_call(tenant: &Tenant<Tenancy>, agent: &str) -> Session<Seat> {
    let session = tenant.log_in(agent, "any").await.unwrap();
    session.start().await.unwrap();
    for command in [
        Command::AddChannel { endpoint: "1001".into(), kind: ChannelType::Telephony },
        Command::Activate { channel: "1001".into(), queue: None, options: json!({}).into() },
        Command::Dial { channel: "1001".into(), destination: "5551234".into(), extensions: json!({}).into() },
    ] {
        assert_eq!(session.command(command).await, Outcome::success());
    }
    session.wait_until("the party answers", |view| state(view) == Some(ConversationState::Talking)).await;
    session
}

fn state(view: &View) -> Option<ConversationState> {
    view.interactions().flat_map(|it| it.conversations.iter().flatten()).next()?.state
}

fn call(view: &View) -> ConversationAt {
    let interaction = view.interactions().next().unwrap();
    ConversationAt {
        channel: "1001".into(),
        interaction: interaction.key.clone(),
        conversation: interaction.conversations.as_ref().unwrap()[0].key.clone(),
    }
}

#[tokio::test]
async fn an_adapter_that_is_started_again_finds_the_calls_of_the_one_that_ended() {
    let far = Far::open().await;
    let tenant = far.tenant().await;
    let anna = in_a_call(&tenant, "anna").await;
    let (kept, conversation) = (anna.resume_state(), call(&anna.view()));
    drop(anna);
    tenant.disconnect().await;

    let tenant = far.tenant().await;
    let anna = tenant.log_in_with(Login::again("anna", "s1", kept)).await.unwrap();
    anna.snapshot().await.unwrap();
    assert_eq!(state(&anna.view()), Some(ConversationState::Talking));
    assert_eq!(call(&anna.view()), conversation);
    assert_eq!(anna.command(Command::Hold { conversation }).await, Outcome::success());
    assert_eq!(state(&anna.view()), Some(ConversationState::Held));
    anna.log_out(Ending::LogOut).await.unwrap();
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn calls_go_on_while_the_connection_is_cut_and_sessions_after_it() {
    let mut far = Far::open().await;
    let tenant = far.tenant().await;
    let anna = in_a_call(&tenant, "anna").await;
    let never = Command::BlindConference { conversation: call(&anna.view()), destination: "480".into() };
    // The command is on its way before the other future runs at all.
    let (outcome, ()) = tokio::join!(biased; anna.command(never), far.cut());
    let Outcome::Failure(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.code, Code::Timeout);
    link_is(&tenant, |link| matches!(link, Link::Down { .. })).await;
    let Outcome::Failure(failure) = anna.command(Command::Hold { conversation: call(&anna.view()) }).await else {
        panic!("a command without a connection")
    };
    assert_eq!(failure.code, Code::LinkDown);

    far.mend().await;
    link_is(&tenant, |link| *link == Link::Up).await;
    anna.snapshot().await.unwrap();
    assert_eq!(state(&anna.view()), Some(ConversationState::Talking));
    assert_eq!(anna.command(Command::Hold { conversation: call(&anna.view()) }).await, Outcome::success());
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn the_link_drops_when_told_to_as_it_does_here() {
    let far = Far::open().await;
    let tenant = far.tenant().await;
    let anna = in_a_call(&tenant, "anna").await;
    let data = json!({ "up": false, "ms": 50 }).into();
    let name = "session.request.simulator.link".into();
    let outcome = anna.command(Command::Extension { name, target: Target::Session, data }).await;
    assert!(matches!(outcome, Outcome::Success(Some(_))));
    link_is(&tenant, |link| matches!(link, Link::Down { .. })).await;
    link_is(&tenant, |link| *link == Link::Up).await;
    anna.snapshot().await.unwrap();
    assert_eq!(state(&anna.view()), Some(ConversationState::Talking));
    anna.log_out(Ending::LogOut).await.unwrap();
}
