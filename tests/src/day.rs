//! Longer verbs of an agent's day on the simulator, made of the small ones in [`crate::agent`]. The simulator reports
//! what it is told to let happen before it says that it has, so nothing of that needs to be waited for.

use serde_json::{Value, json};

use crate::{
    agent::{Agent, Heard},
    words::{ANSWERED, CALL_COMES, CHAT_COMES, NEW_CHANNEL, NEW_CONSULT, PAIR},
};

impl Agent {
    /// A command succeeds and raises first of all these events; more may follow by themselves.
    pub async fn begins(&mut self, command: &str, target: &str, data: Value, words: &str) -> Heard {
        let response = self.command(command, target, data.clone()).await;
        assert_eq!(response["result"], "success", "{command}: {response}");
        assert_eq!(response["data"], data);
        self.hears(words).await
    }

    /// An extension command succeeds, whatever its data, and raises exactly these events.
    pub async fn extension(&mut self, command: &str, target: &str, data: Value, words: &str) -> Value {
        let response = self.command(command, target, data).await;
        assert_eq!(response["result"], "success", "{command}: {response}");
        self.has_heard(words).await;
        response["data"].clone()
    }

    /// Something happens by itself to an object: the simulator is told to let it.
    pub async fn happens(&mut self, target: &str, what: &str, more: Value, words: &str) -> Heard {
        let kind = self.kind_of(target);
        let mut data = more;
        data["what"] = json!(what);
        let response = self.command(&format!("{kind}.request.simulator.cause"), target, data).await;
        assert_eq!(response["result"], "success", "{what}: {response}");
        self.has_heard(words).await
    }

    /// The platform refuses the next command with this code.
    pub async fn next_is_refused(&mut self, code: &str) {
        let session = self.session.clone();
        let data = json!({"what": "refuse", "code": code});
        let response = self.command("session.request.simulator.cause", &session, data).await;
        assert_eq!(response["result"], "success", "{response}");
    }

    /// A standalone channel, not active. Returns its target.
    pub async fn adds_channel(&mut self, endpoint: &str, kind: &str) -> String {
        let session = self.session.clone();
        let data = json!({"channel": {"endpoint": endpoint, "type": kind}});
        self.does("session.request.addchannel", &session, data, NEW_CHANNEL).await;
        self.the("channel")
    }

    /// A standalone, active channel. Returns its target.
    pub async fn has_channel(&mut self, endpoint: &str, kind: &str) -> String {
        let channel = self.adds_channel(endpoint, kind).await;
        self.does("channel.request.activate", &channel, json!({}), PAIR).await;
        channel
    }

    /// An active telephone. Returns its target.
    pub async fn has_phone(&mut self, endpoint: &str) -> String {
        self.has_channel(endpoint, "Telephony").await
    }

    /// A contact of a type arrives for this agent.
    pub async fn is_offered(&mut self, kind: &str) -> Heard {
        let session = self.session.clone();
        let data = json!({"type": kind, "from": "+15550100", "data": {"account": "4711"}});
        let response = self.command("session.request.simulator.inbound", &session, data).await;
        assert_eq!(response["result"], "success", "{response}");
        self.has_heard(if kind == "Telephony" { CALL_COMES } else { CHAT_COMES }).await
    }

    /// An inbound call rings, and the agent answers.
    pub async fn talks(&mut self) {
        self.is_offered("Telephony").await;
        let call = self.the("primary");
        self.does("conversation.request.answer", &call, json!({}), ANSWERED).await;
    }

    /// An inbound call is answered, held, and somebody else consulted, who answers.
    pub async fn consults(&mut self) {
        self.talks().await;
        let interaction = self.the("interaction");
        let words = format!("state.updated(interaction) state.updated(primary) {NEW_CONSULT} interaction.focuschanged");
        let data = json!({"destination": "5552000"});
        self.begins("interaction.request.consult", &interaction, data, &words).await;
        self.hears("state.updated(consult)").await;
        self.hears_no_more().await;
    }

    /// Sends a command without data to the newest object of a kind.
    pub async fn conversation(&mut self, verb: &str, who: &str, words: &str) -> Heard {
        let target = self.the(who);
        self.does(&format!("conversation.request.{verb}"), &target, json!({}), words).await
    }

    /// Sends a command without data to the newest interaction.
    pub async fn interaction(&mut self, verb: &str, words: &str) -> Heard {
        let target = self.the("interaction");
        self.does(&format!("interaction.request.{verb}"), &target, json!({}), words).await
    }
}
