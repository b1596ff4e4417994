//! Voicemail: how many messages there are, and listening to them.

use jackfield_plugin_api::{
    Code, Command, Outcome,
    report::{ConversationState::Talking, Role, Target},
};
use jackfield_tests::{
    asterisk::sipp::{Ask, Sipp},
    until,
};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, CUSTOMER, Desk, Lab},
    queue_log::open,
};

fn settings() -> Value {
    let destinations = json!({"voicemail": "mailboxes,listen,1"});
    let queues = json!({"sales": {"mailbox": "700@default"}, "short": {}});
    json!({"mailbox": "{extension}@default", "destinations": destinations, "queues": queues})
}

impl Desk {
    /// What the agent is told of the mailboxes.
    async fn asks_for_messages(&self) -> Outcome {
        let name = "session.request.asterisk.voicemail".to_owned();
        self.session.command(Command::Extension { name, target: Target::Session, data: json!({}).into() }).await
    }

    async fn messages(&self) -> Value {
        match self.asks_for_messages().await {
            Outcome::Success(Some(data)) => data.parse::<Value>().unwrap()["mailboxes"].clone(),
            other => panic!("{other:?}"),
        }
    }

    async fn has_messages(&self, new: u64, old: u64) {
        until(&format!("{new} messages are new and {old} old"), || async {
            let own = self.messages().await[0].clone();
            (own == json!({"mailbox": "1001@default", "new": new, "old": old})).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_message_is_counted_and_listened_to_on_the_agents_phone() {
    let Some(lab) = open(&["1001"], settings()).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let none = json!([{"mailbox": "1001@default", "new": 0, "old": 0},
        {"mailbox": "700@default", "new": 0, "old": 0, "queue": "sales"}]);
    assert_eq!(anna.messages().await, none);

    let mut customer = Sipp::customer(&lab.asterisk, "555", "709", CUSTOMER).await;
    customer.saw("SIP/2.0 200").await;
    customer.speak().await;
    until("Asterisk records the message", || async { lab.asterisk.is_recording_a_message().then_some(()) }).await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    anna.has_messages(1, 0).await;

    anna.does(anna.dial("voicemail")).await;
    anna.is(Role::Primary, Talking).await;
    assert_eq!(anna.members(Role::Primary), ["voicemail"]);
    anna.phone.speak().await;
    // 1: play the first message.
    anna.does(Command::SendDtmf { conversation: anna.primary(), digits: "1".into() }).await;
    anna.phone.media.hears(CUSTOMER).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    anna.has_messages(0, 1).await;
    lab.close().await;
}

#[tokio::test]
async fn a_mailbox_that_asterisk_does_not_know_is_not_an_empty_one() {
    let Some(lab) = open(&["1002"], settings()).await else { return };
    let bert = lab.agent("bert", "1002", AGENT).await;
    // Only the queue's is there.
    assert_eq!(bert.messages().await, json!([{"mailbox": "700@default", "new": 0, "old": 0, "queue": "sales"}]));
    lab.close().await;

    let Some(lab) = open(&["1002"], json!({"mailbox": "{extension}@default"})).await else { return };
    let bert = lab.agent("bert", "1002", AGENT).await;
    let Outcome::Failure(failure) = bert.asks_for_messages().await else { panic!("there is no such mailbox") };
    assert_eq!(failure.code, Code::Rejected);
    lab.close().await;

    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let Outcome::Failure(failure) = anna.asks_for_messages().await else { panic!("no mailboxes are configured") };
    assert_eq!(failure.code, Code::Unsupported);
    lab.close().await;
}
