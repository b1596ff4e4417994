//! Agents on the real host: the plugin loaded from its file into a worker process, desktops on WebSockets.

use jackfield_tests::{
    agent::Agent,
    asterisk::{Asterisk, sipp::Sipp},
    host::{Host, Setup},
    words::{ANSWERED, CALL_COMES, NEW_CHANNEL, PAIR, list},
};
use serde_json::{Value, json};

use crate::desk::CUSTOMER;

/// A host whose tenant `acme` is the README's, in a worker process of its own.
pub async fn open(extensions: &[&str]) -> Option<(Asterisk, Host)> {
    let asterisk = Asterisk::start(extensions).await?;
    let host = Setup::new().tenant(asterisk.tenant("dial_timeout_seconds = 2")).start().await;
    Some((asterisk, host))
}

/// An agent at work with a phone.
pub async fn at_work(asterisk: &Asterisk, host: &Host, name: &str, extension: &str, tone: u32) -> (Agent, Sipp) {
    at_work_for(asterisk, host, "acme", name, extension, tone).await
}

/// The same at a tenant.
pub async fn at_work_for(
    asterisk: &Asterisk,
    host: &Host,
    tenant: &str,
    name: &str,
    extension: &str,
    tone: u32,
) -> (Agent, Sipp) {
    let phone = Sipp::phone(asterisk, extension, tone).await;
    let mut agent = Agent::connect(host, tenant).await;
    agent.log_in(name).await;
    let session = agent.session.clone();
    let add = json!({"channel": {"endpoint": extension, "type": "Telephony"}});
    agent.does("session.request.addchannel", &session, add, NEW_CHANNEL).await;
    let channel = agent.the("channel");
    agent.does("channel.request.activate", &channel, json!({"channeloptions": {"queue": "sales"}}), PAIR).await;
    agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    (agent, phone)
}

/// A customer is answered.
pub async fn in_call(asterisk: &Asterisk, agent: &mut Agent) -> Sipp {
    let customer = Sipp::customer(asterisk, "555", "702", CUSTOMER).await;
    agent.hears(CALL_COMES).await;
    let primary = agent.the("primary");
    agent.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    customer
}

/// Does something to the newest object of a kind, and hears these lists.
pub async fn act(agent: &mut Agent, command: &str, on: &str, data: Value, words: &[&str]) {
    let target = agent.the(on);
    agent.does(command, &target, data, &list(words)).await;
}

/// Goes home.
pub async fn logs_out(mut agent: Agent) {
    let session = agent.session.clone();
    let response = agent.command("session.request.logout", &session, json!({})).await;
    assert_eq!(response["result"], "success", "{response}");
}
