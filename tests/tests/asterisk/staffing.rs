//! Who works for which queue and who pauses, changed while at work and by a supervisor.

use jackfield_plugin_api::{
    Code, Command,
    report::{Availability, ChannelStatus, Target},
};
use jackfield_tests::{asterisk::sipp::Sipp, until};
use serde_json::{Value, json};

use crate::{
    desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab},
    queue_log::{logged, open},
};

fn queues(data: Value) -> Command {
    let name = "session.request.asterisk.queues".to_owned();
    Command::Extension { name, target: Target::Session, data: data.into() }
}

fn ready(agent: &str) -> Command {
    Command::ColleagueReady { agent: agent.into() }
}

fn not_ready(agent: &str, reason: &str) -> Command {
    Command::ColleagueNotReady { agent: agent.into(), reason_code: reason.into(), reason_desc: None }
}

impl Desk {
    /// Waits until the agent is ready, or not for that reason.
    async fn is_available(&self, wanted: Availability, reason: Option<&str>) {
        self.session
            .wait_until(&format!("{wanted:?} {reason:?}"), |view| {
                let status = view.channel(&self.extension).and_then(|it| it.status.clone());
                matches!(status, Some(ChannelStatus::Active(it))
                    if it.availability == Some(wanted) && it.reason_code.as_deref() == reason)
            })
            .await;
    }

    /// Waits until so many wait in a queue, and for so many agents.
    async fn sees(&self, queue: &str, waiting: u64, ready: u64) {
        until(&format!("{waiting} wait in {queue} for {ready}"), || async {
            let entry = self.sees_queue(queue).await;
            (entry.waiting == Some(waiting) && entry.ready == Some(ready)).then_some(())
        })
        .await;
    }
}

/// Anna at work, and Sue who supervises.
async fn floor() -> Option<(Lab, Desk, Desk)> {
    let settings = json!({"agents": {"anna": {}, "sue": {"supervisor": true}}, "reasons": {"meeting": "Meeting"}});
    let lab = open(&["1001", "1002"], settings).await?;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let sue = lab.agent("sue", "1002", COLLEAGUE).await;
    let meeting = Command::NotReady { channel: "1002".into(), reason_code: "meeting".into(), reason_desc: None };
    sue.does(meeting).await;
    Some((lab, anna, sue))
}

#[tokio::test]
async fn a_supervisor_lets_a_colleague_pause_and_go_on() {
    let Some((lab, anna, sue)) = floor().await else { return };
    anna.fails(not_ready("sue", "meeting"), Code::Forbidden).await;
    anna.fails(ready("sue"), Code::Forbidden).await;
    sue.fails(not_ready("nobody", "meeting"), Code::NotFound).await;
    sue.fails(not_ready("sue", "meeting"), Code::NotFound).await;
    sue.fails(not_ready("anna", "whim"), Code::Rejected).await;
    sue.does(not_ready("anna", "meeting")).await;
    anna.is_available(Availability::NotReady, Some("meeting")).await;
    let _customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    sue.sees("sales", 1, 0).await;
    assert_eq!(anna.session.view().interactions().count(), 0);
    // By the extension, as the list of destinations names her.
    sue.does(ready("1001")).await;
    anna.rings().await;
    // In a call it holds for the time after.
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    sue.does(not_ready("anna", "meeting")).await;
    anna.is_available(Availability::Ready, None).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    anna.is_available(Availability::NotReady, Some("meeting")).await;
    lab.close().await;
}

#[tokio::test]
async fn an_agent_changes_queues_without_leaving_work() {
    let Some((lab, anna, sue)) = floor().await else { return };
    let leg = lab.asterisk.has_channel("1001").await;
    anna.fails(queues(json!({"queues": ["none"]})), Code::Rejected).await;
    anna.does(queues(json!({"queues": ["short"]}))).await;
    logged(&lab.asterisk, "sales", "anna", "REMOVEMEMBER").await;
    let _customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    sue.sees("sales", 1, 0).await;
    assert_eq!(anna.session.view().interactions().count(), 0);
    anna.fails(queues(json!({"queues": [], "agent": "sue"})), Code::Forbidden).await;
    sue.does(queues(json!({"queues": ["sales", "short"], "agent": "anna"}))).await;
    anna.rings().await;
    assert_eq!(lab.asterisk.has_channel("1001").await["id"], leg["id"]);
    lab.close().await;
}
