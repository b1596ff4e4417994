//! What other phones' lamps (BLF) show of agents: Asterisk is asked for the state of the README's hints.

use jackfield_plugin_api::{Command, Ending};
use jackfield_tests::asterisk::{
    APPLICATION, Asterisk,
    sipp::{Ask, Sipp},
};
use serde_json::json;

use crate::desk::{AGENT, CUSTOMER, Desk, Lab, connect};

impl Desk {
    async fn goes_on_break(&self) {
        let channel = self.extension.clone();
        self.does(Command::NotReady { channel, reason_code: "break".into(), reason_desc: None }).await;
    }
}

#[tokio::test]
async fn a_lamp_shows_how_the_agent_is() {
    let settings = json!({"wrap_up_seconds": 60, "agents": {"anna": {"extension": "1001"}}});
    let Some(lab) = Lab::open(&["1001"], settings).await else { return };
    // Nobody has been at work there yet.
    lab.asterisk.lamp_shows("1001", "UNAVAILABLE").await;
    let anna = lab.agent("anna", "1001", AGENT).await;
    lab.asterisk.lamp_shows("1001", "NOT_INUSE").await;
    anna.goes_on_break().await;
    lab.asterisk.lamp_shows("1001", "BUSY").await;
    anna.ready().await;
    let customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    lab.asterisk.lamp_shows("1001", "RINGING").await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    lab.asterisk.lamp_shows("1001", "INUSE").await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    lab.asterisk.lamp_shows("1001", "ONHOLD").await;
    anna.does(Command::Retrieve { conversation: anna.primary() }).await;
    lab.asterisk.lamp_shows("1001", "INUSE").await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    anna.ends().await;
    // After-call work.
    lab.asterisk.lamp_shows("1001", "BUSY").await;
    anna.completes().await;
    lab.asterisk.lamp_shows("1001", "NOT_INUSE").await;
    // A call of the phone's own.
    let direct = Sipp::customer(&lab.asterisk, "558", "706", CUSTOMER).await;
    direct.saw("ACK sip:").await;
    lab.asterisk.lamp_shows("1001", "INUSE").await;
    direct.ask(&lab.asterisk.has_channel("558").await, Ask::HangUp);
    lab.asterisk.lamp_shows("1001", "NOT_INUSE").await;
    // The desktop is gone, then the agent is.
    anna.session.log_out(Ending::Leave).await.unwrap();
    lab.asterisk.lamp_shows("1001", "UNAVAILABLE").await;
    let again = lab.tenant.log_in("anna", "secret").await.unwrap();
    again.start().await.unwrap();
    lab.asterisk.lamp_shows("1001", "NOT_INUSE").await;
    again.log_out(Ending::LogOut).await.unwrap();
    lab.asterisk.lamp_shows("1001", "UNAVAILABLE").await;
    lab.close().await;
}

#[tokio::test]
async fn what_an_earlier_life_left_is_put_right_and_others_are_left_alone() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    for device in [format!("{APPLICATION}:1001"), format!("{APPLICATION}-west:1001")] {
        asterisk.ari("PUT", &format!("deviceStates/Stasis:{device}?deviceState=INUSE")).await;
    }
    asterisk.lamp_shows("1001", "INUSE").await;
    let tenant = connect(&asterisk, asterisk.http, json!({})).await;
    asterisk.lamp_shows("1001", "UNAVAILABLE").await;
    let west = asterisk.ari("GET", &format!("deviceStates/Stasis:{APPLICATION}-west:1001")).await;
    assert_eq!(west.map(|(_, body)| body["state"].clone()), Some(json!("INUSE")));
    tenant.disconnect().await;
}

#[tokio::test]
async fn a_lamp_is_right_after_asterisk_was_killed_in_a_call_and_dark_when_the_tenant_ends() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let _customer = lab.call(&anna).await;
    lab.asterisk.lamp_shows("1001", "INUSE").await;
    anna.goes_on_break().await;
    lab.asterisk.restart().await;
    lab.asterisk.lamp_shows("1001", "BUSY").await;
    lab.tenant.disconnect().await;
    lab.asterisk.lamp_shows("1001", "UNAVAILABLE").await;
}
