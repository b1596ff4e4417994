//! A supervisor hears a colleague's call, speaks to the colleague alone, or to both.

use jackfield_plugin_api::{
    Code, Command,
    report::{
        ConversationState::Talking,
        InteractionState, Reason, Role, Supervision,
        SupervisionMode::{self, Barge, Listen, Whisper},
    },
};
use serde_json::json;

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab};

fn supervise(agent: &str, mode: SupervisionMode) -> Command {
    Command::Supervise { agent: agent.to_owned(), mode }
}

async fn lab() -> Option<(Lab, Desk, Desk)> {
    let agents = json!({"agents": {"anna": {}, "sue": {"supervisor": true}}});
    let lab = Lab::open(&["1001", "1002"], agents).await?;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let sue = lab.agent("sue", "1002", COLLEAGUE).await;
    sue.does(Command::NotReady { channel: "1002".into(), reason_code: "watch".into(), reason_desc: None }).await;
    sue.phone.speak().await;
    Some((lab, anna, sue))
}

#[tokio::test]
async fn a_supervisor_is_heard_by_nobody_by_the_agent_or_by_both() {
    let Some((lab, anna, sue)) = lab().await else { return };
    sue.fails(supervise("anna", Listen), Code::InvalidState).await;
    sue.fails(supervise("nobody", Listen), Code::NotFound).await;
    anna.fails(supervise("sue", Listen), Code::Forbidden).await;
    let mut customer = lab.call(&anna).await;
    // The first begins it, the others change it; 1001 is whom the list of destinations names so.
    for (mode, agent_hears, customer_hears) in [(Listen, false, false), (Whisper, true, false), (Barge, true, true)] {
        sue.does(supervise(if mode == Whisper { "1001" } else { "anna" }, mode)).await;
        sue.is(Role::Primary, Talking).await;
        assert_eq!(sue.session.view().interactions().count(), 1);
        assert_eq!(sue.newest().supervises, Some(Supervision::new("anna", mode)));
        assert_eq!(sue.members(Role::Primary), ["1001"]);
        for tone in [AGENT, CUSTOMER] {
            sue.phone.media.hears(tone).await;
        }
        for (party, hears) in [(&anna.phone, agent_hears), (&customer, customer_hears)] {
            match hears {
                true => party.media.hears(COLLEAGUE).await,
                false => party.media.hears_no(COLLEAGUE).await,
            }
        }
    }
    sue.does(Command::Release { conversation: sue.primary() }).await;
    sue.completes().await;
    // Nobody in the call has noticed its end.
    anna.phone.media.hears(CUSTOMER).await;
    customer.media.hears(AGENT).await;
    anna.phone.media.hears_no(COLLEAGUE).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    assert!(customer.succeeds().await);
    lab.close().await;
}

#[tokio::test]
async fn a_supervision_ends_with_its_call() {
    let Some((lab, anna, sue)) = lab().await else { return };
    let mut customer = lab.call(&anna).await;
    sue.does(supervise("1001", Listen)).await;
    sue.phone.media.hears(CUSTOMER).await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    anna.does(Command::Retrieve { conversation: anna.primary() }).await;
    sue.phone.media.hears(CUSTOMER).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    assert!(customer.succeeds().await);
    let ended = sue.ends().await;
    assert_eq!((ended.state, ended.reason), (Some(InteractionState::Ended), Some(Reason::Released)));
    sue.phone.media.hears_no(AGENT).await;
    lab.close().await;
}
