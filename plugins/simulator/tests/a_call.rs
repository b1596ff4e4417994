//! A call from its arrival to its end, on the bare switch: what is reported to the agent's session.
#![allow(clippy::unwrap_used)]

mod driver;

use driver::{Driver, at, call_at, inbound};
use jackfield_plugin_api::{
    Command,
    report::{ConversationState, InteractionState, Reason},
};

#[test]
fn an_agent_takes_holds_and_releases_a_call_from_outside() {
    let mut driver = Driver::new("{}");
    let agent = driver.agent("anna");
    driver.phone(agent, "1001");
    driver.succeeds(agent, inbound("Telephony", "+15550100", Some("sales")));

    let offered = driver.only_interaction(agent);
    let conversation = offered.conversations.as_ref().unwrap()[0].clone();
    assert_eq!(conversation.state, Some(ConversationState::Alerting));
    assert_eq!(conversation.members.as_ref().unwrap()[0].address.as_deref(), Some("+15550100"));

    let call = call_at("1001", &offered.key, &conversation.key);
    driver.succeeds(agent, Command::Answer { conversation: call.clone() });
    assert_eq!(driver.only_conversation(agent).state, Some(ConversationState::Talking));
    driver.succeeds(agent, Command::Hold { conversation: call.clone() });
    assert_eq!(driver.only_conversation(agent).state, Some(ConversationState::Held));
    driver.succeeds(agent, Command::Release { conversation: call });
    let ended = driver.only_interaction(agent);
    assert_eq!((ended.state, ended.reason), (Some(InteractionState::Ended), Some(Reason::Released)));

    driver.succeeds(agent, Command::Complete { interaction: at("1001", &offered.key) });
    assert!(driver.only_interaction(agent).gone);
    driver.logs_out(agent);
    driver.nothing_is_left();
}
