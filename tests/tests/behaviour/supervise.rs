//! A supervisor hears a colleague's call (section 4, "Supervision").

use jackfield_tests::{
    agent::{Agent, Heard},
    host::{Host, Setup, Tenant},
    words::{CALL_ENDS, COMPLETED, PAIR, list},
};
use serde_json::{Value, json};

const SETTINGS: &str = r#"
agents = [
    { id = "1001", name = "Ada", password = "secret" },
    { id = "1002", name = "Ben", password = "secret", supervisor = true },
]
"#;

/// What a supervisor's desktop hears when he begins to hear a colleague.
const HEARING: &str = "interaction.created state.updated(interaction) \
    conversation.created state.updated(primary) conversation.member.added(primary) conversation.initialized \
    interaction.datachanged interaction.screenpop interaction.initialized";
const STATE: &str = "state.updated(interaction)";

/// An agent and a supervisor, each with an active telephone.
async fn two() -> (Host, Agent, Agent) {
    let host = Setup::new().tenant(Tenant::simulator("demo").settings(SETTINGS)).start().await;
    let mut ada = host.log_in("1001").await;
    ada.has_phone("2001").await;
    let mut ben = host.log_in("1002").await;
    ben.has_phone("2002").await;
    (host, ada, ben)
}

async fn supervises(supervisor: &mut Agent, agent: &str, mode: &str, words: &str) -> Heard {
    let session = supervisor.session.clone();
    let data = json!({"agent": agent, "mode": mode});
    supervisor.does("session.request.supervise", &session, data, words).await
}

async fn is_refused(agent: &mut Agent, data: Value, code: &str) {
    let session = agent.session.clone();
    agent.fails("session.request.supervise", &session, data, code).await;
}

#[tokio::test]
async fn a_supervisor_has_an_interaction_and_changes_how_he_takes_part() {
    let (_host, mut ada, mut ben) = two().await;
    ada.talks().await;
    let heard = supervises(&mut ben, "1001", "listen", &list(&[PAIR, HEARING])).await;
    assert_eq!(heard.data("interaction.created")["interaction"]["direction"], "internal");
    let state = heard.data(STATE);
    assert_eq!((&state["state"], &state["calls"]), (&json!("STARTED"), &json!("SINGLE")));
    assert_eq!(state["supervises"], json!({"agent": "1001", "mode": "listen"}));
    let member = &heard.data("conversation.member.added(primary)")["member"];
    assert_eq!((&member["address"], &member["role"]), (&json!("2001"), &json!("agent")));
    // By the id that the list of destinations has.
    let heard = supervises(&mut ben, "agent:1001", "whisper", STATE).await;
    assert_eq!(heard.data(STATE)["supervises"], json!({"agent": "1001", "mode": "whisper"}));
    supervises(&mut ben, "1001", "whisper", "").await;
    supervises(&mut ben, "1001", "barge", STATE).await;
    ada.finish().await;
    // A desktop that comes back is told of it as well.
    ben.finish().await;
}

#[tokio::test]
async fn a_supervision_is_muted_and_released_and_nothing_else() {
    let (_host, mut ada, mut ben) = two().await;
    ada.talks().await;
    supervises(&mut ben, "1001", "listen", &list(&[PAIR, HEARING])).await;
    let (interaction, call) = (ben.the("interaction"), ben.the("primary"));
    for (command, data) in [
        ("hold", json!({})),
        ("senddtmf", json!({"digits": "1"})),
        ("blindtransfer", json!({"destination": "5551234"})),
        ("blindconference", json!({"destination": "5551234"})),
    ] {
        ben.fails(&format!("conversation.request.{command}"), &call, data, "invalid_state").await;
    }
    let consult = json!({"destination": "5551234"});
    ben.fails("interaction.request.consult", &interaction, consult, "invalid_state").await;
    ben.fails("interaction.request.recording.start", &interaction, json!({}), "invalid_state").await;
    ben.conversation("mute", "primary", "state.updated(primary)").await;
    ben.conversation("release", "primary", CALL_ENDS).await;
    ben.interaction("complete", COMPLETED).await;
    // The call that was heard goes on.
    ada.conversation("hold", "primary", "state.updated(primary)").await;
    ada.finish().await;
}

#[tokio::test]
async fn a_supervision_ends_with_the_colleagues_call() {
    let (_host, mut ada, mut ben) = two().await;
    ada.talks().await;
    supervises(&mut ben, "1001", "listen", &list(&[PAIR, HEARING])).await;
    ada.conversation("release", "primary", CALL_ENDS).await;
    let heard = ben.hears(CALL_ENDS).await;
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "released"}));
    ben.interaction("complete", COMPLETED).await;
    ben.finish().await;
}

#[tokio::test]
async fn a_supervision_that_cannot_be_is_refused_and_nothing_happens() {
    let (_host, mut ada, mut ben) = two().await;
    let listen = |agent: &str| json!({"agent": agent, "mode": "listen"});
    is_refused(&mut ben, listen("1001"), "invalid_state").await;
    is_refused(&mut ben, listen("1009"), "not_found").await;
    is_refused(&mut ben, listen("1002"), "not_found").await;
    is_refused(&mut ben, json!({"agent": "1001", "mode": "loud"}), "bad_request").await;
    is_refused(&mut ben, json!({"agent": "1001"}), "bad_request").await;
    is_refused(&mut ben, json!({"mode": "listen"}), "bad_request").await;
    ada.talks().await;
    ben.talks().await;
    // His own telephone is in use.
    is_refused(&mut ben, listen("1001"), "invalid_state").await;
    is_refused(&mut ada, listen("1002"), "forbidden").await;
    ada.finish().await;
    ben.finish().await;
}
