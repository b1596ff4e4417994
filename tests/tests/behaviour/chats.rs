//! Chats and e-mails: offered, accepted, rejected, completed (section 4).

use jackfield_tests::{host::Host, words::PAIR};
use serde_json::json;

const ACCEPTED: &str = "interaction.screenpop state.updated(interaction)";
const ENDED: &str = "interaction.ended state.updated(interaction) interaction.disposed \
    channel.infochanged state.updated(channel)";

#[tokio::test]
async fn a_chat_or_an_email_is_accepted_and_completed() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    for kind in ["Chat", "Email"] {
        agent.has_channel(kind, kind).await;
        let heard = agent.is_offered(kind).await;
        assert_eq!(heard.data("interaction.created")["interaction"]["type"], kind);
        assert_eq!(heard.data("state.updated(interaction)")["state"], "ALERTING");
        let interaction = agent.the("interaction");
        agent.fails("interaction.request.complete", &interaction, json!({}), "invalid_state").await;
        let heard = agent.interaction("accept", ACCEPTED).await;
        assert_eq!(heard.data("state.updated(interaction)")["state"], "STARTED");
        agent.fails("interaction.request.accept", &interaction, json!({}), "invalid_state").await;
        agent.fails("interaction.request.reject", &interaction, json!({}), "invalid_state").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn completing_a_chat_ends_it() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_channel("chat", "Chat").await;
    agent.is_offered("Chat").await;
    agent.interaction("accept", ACCEPTED).await;
    let response = {
        let target = agent.the("interaction");
        agent.command("interaction.request.complete", &target, json!({})).await
    };
    assert_eq!(response["result"], "success", "{response}");
    let words = format!("interaction.complete state.updated(interaction) interaction.disposed {PAIR}");
    let heard = agent.hears(&words).await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "COMPLETED");
    agent.finish().await;
}

#[tokio::test]
async fn a_rejected_chat_is_disposed() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_channel("chat", "Chat").await;
    agent.is_offered("Chat").await;
    let heard = agent.interaction("reject", ENDED).await;
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "rejected"}));
    agent.finish().await;
}

#[tokio::test]
async fn a_chat_whose_customer_leaves_stays_until_it_is_completed() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_channel("chat", "Chat").await;
    agent.is_offered("Chat").await;
    agent.interaction("accept", ACCEPTED).await;
    let interaction = agent.the("interaction");
    let words = format!("interaction.ended state.updated(interaction) {PAIR}");
    let heard = agent.happens(&interaction, "hangup", json!({}), &words).await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "ENDED");
    agent.interaction("complete", jackfield_tests::words::COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn call_data_of_a_chat_is_set_once_it_is_accepted() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_channel("chat", "Chat").await;
    agent.is_offered("Chat").await;
    let interaction = agent.the("interaction");
    let data = json!({"key": "a", "value": 1});
    agent.fails("interaction.request.setinteractiondata", &interaction, data.clone(), "invalid_state").await;
    agent.interaction("accept", ACCEPTED).await;
    agent.does("interaction.request.setinteractiondata", &interaction, data, "interaction.datachanged").await;
    agent.finish().await;
}
