//! The adapter of the documentation, in the host of the test kit.
#![allow(clippy::unwrap_used)]

use jackfield_plugin_api::{
    Command, Ending, Outcome,
    report::{ConversationAt, ConversationState, Direction, InteractionAt, Reason},
    testkit,
};
use serde_json::json;

#[path = "../examples/echo/adapter.rs"]
#[allow(unreachable_pub)] // it is a crate of its own where it is an example
mod adapter;

type Session = testkit::Session<adapter::EchoAgent>;

async fn at_work() -> (testkit::Tenant<adapter::EchoPlatform>, Session) {
    let settings = json!({"extension": "100"});
    let tenant = testkit::Tenant::connect::<adapter::Echo>(adapter::MANIFEST, settings).await.unwrap();
    let session = tenant.log_in("7001", "secret").await.unwrap();
    session.start().await.unwrap();
    for command in [
        Command::Activate { channel: "100".into(), queue: None, options: json!({}).into() },
        Command::Ready { channel: "100".into() },
    ] {
        assert_eq!(session.command(command).await, Outcome::success());
    }
    (tenant, session)
}

fn interaction(key: &str) -> InteractionAt {
    InteractionAt { channel: "100".into(), interaction: key.into() }
}

fn leg(key: &str) -> ConversationAt {
    ConversationAt { channel: "100".into(), interaction: key.into(), conversation: "leg".into() }
}

/// Calls someone and hangs up: they call back.
async fn is_called_back(session: &Session) {
    let dial = Command::Dial { channel: "100".into(), destination: "555".into(), extensions: json!({}).into() };
    for command in [
        dial,
        Command::Release { conversation: leg("call 1") },
        Command::Complete { interaction: interaction("call 1") },
    ] {
        assert_eq!(session.command(command).await, Outcome::success());
    }
    let view = session.view();
    let call = view.interaction("call 2").unwrap();
    assert_eq!(call.direction, Some(Direction::Inbound));
    assert_eq!(view.conversation("leg").unwrap().state, Some(ConversationState::Alerting));
}

#[tokio::test]
async fn an_inbound_call_that_is_rejected_is_gone_with_that_reason() {
    let (tenant, session) = at_work().await;
    is_called_back(&session).await;
    drop(session.take_reports());
    assert_eq!(session.command(Command::Reject { interaction: interaction("call 2") }).await, Outcome::success());
    let reports = session.take_reports();
    let ended = &reports[0].channels[0].interactions[0];
    assert_eq!((ended.key.as_str(), ended.gone, ended.reason), ("call 2", true, Some(Reason::Rejected)));
    assert_eq!(session.view().interactions().count(), 0);
    session.log_out(Ending::LogOut).await.unwrap();
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn an_inbound_call_is_answered_released_and_completed() {
    let (tenant, session) = at_work().await;
    is_called_back(&session).await;
    assert_eq!(session.command(Command::Answer { conversation: leg("call 2") }).await, Outcome::success());
    assert_eq!(session.view().conversation("leg").unwrap().state, Some(ConversationState::Talking));
    for command in
        [Command::Release { conversation: leg("call 2") }, Command::Complete { interaction: interaction("call 2") }]
    {
        assert_eq!(session.command(command).await, Outcome::success());
    }
    assert_eq!(session.view().interactions().count(), 0, "who was called back is not called again");
    assert_eq!(tenant.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_manifest_does_not_declare_does_not_reach_the_adapter() {
    let (tenant, session) = at_work().await;
    is_called_back(&session).await;
    let hold = Command::Hold { conversation: leg("call 2") };
    assert_eq!(session.command(hold).await, Outcome::unsupported());
    assert!(tenant.complaints()[0].contains("is not declared"), "{:?}", tenant.complaints());
}
