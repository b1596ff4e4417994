//! Everything that can happen to the adapter, again and again, while people talk: nobody may notice.
//!
//! As it stands it takes its turn with the other tests. The full measure (about half an hour):
//!
//! ```sh
//! TURMOIL=full cargo test -p jackfield-tests --test asterisk turmoil
//! ```

use std::fs;

use jackfield_tests::{
    agent::Agent,
    asterisk::{
        Asterisk,
        cut::Cut,
        sipp::{Ask, Sipp},
    },
    host::{Host, Setup},
    patience, until,
    words::{ANSWERED, CALL_COMES, CONSULT_ENDS, NEW_CONSULT},
};
use serde_json::{Value, json};

use crate::{
    desk::OUTSIDE,
    floor::{act, at_work, logs_out},
};

/// Who must hear whom.
struct Heard {
    by: usize,
    tone: u32,
}

/// The calls: a customer with an agent, recorded; a conference of a customer and two agents; a customer whom an agent
/// has transferred to outside.
struct Calls {
    agents: Vec<(String, String, Agent)>,
    /// Phones, customers and the outside number.
    parties: Vec<Sipp>,
    heard: Vec<Heard>,
    customers: Vec<String>,
}

impl Calls {
    async fn begin(asterisk: &Asterisk, host: &Host, groups: usize) -> Self {
        let mut calls = Self { agents: Vec::new(), parties: Vec::new(), heard: Vec::new(), customers: Vec::new() };
        for group in 0..groups {
            calls.recorded(asterisk, host, group).await;
            calls.conference(asterisk, host, group).await;
        }
        calls.transferred(asterisk, host, groups).await;
        calls
    }

    /// Each party its own tone.
    fn tone(&self) -> u32 {
        300 + 110 * u32::try_from(self.parties.len() % 30).unwrap()
    }

    async fn agent(&mut self, asterisk: &Asterisk, host: &Host, number: usize) -> (usize, u32) {
        let (name, extension, tone) = (format!("agent{number}"), (1001 + number).to_string(), self.tone());
        let (agent, phone) = at_work(asterisk, host, &name, &extension, tone).await;
        self.agents.push((name, extension, agent));
        self.parties.push(phone);
        (self.parties.len() - 1, tone)
    }

    /// A customer for the newest agent.
    async fn customer(&mut self, asterisk: &Asterisk) -> (usize, u32) {
        let (number, tone) = (format!("55{:03}", self.customers.len()), self.tone());
        let customer = Sipp::customer(asterisk, &number, "702", tone).await;
        let (_, _, agent) = self.agents.last_mut().unwrap();
        agent.hears(CALL_COMES).await;
        act(agent, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
        customer.speak().await;
        self.customers.push(number);
        self.parties.push(customer);
        (self.parties.len() - 1, tone)
    }

    fn hear_each_other(&mut self, all: &[(usize, u32)]) {
        for (by, _) in all {
            let others = all.iter().filter(|(other, _)| other != by);
            self.heard.extend(others.map(|(_, tone)| Heard { by: *by, tone: *tone }));
        }
    }

    async fn recorded(&mut self, asterisk: &Asterisk, host: &Host, group: usize) {
        let agent = self.agent(asterisk, host, group * 3).await;
        let customer = self.customer(asterisk).await;
        self.parties[agent.0].speak().await;
        let (_, _, desktop) = self.agents.last_mut().unwrap();
        let interaction = desktop.the("interaction");
        let response = desktop.command("interaction.request.recording.start", &interaction, json!({})).await;
        assert_eq!(response["result"], "success", "{response}");
        desktop.forget_heard();
        self.hear_each_other(&[agent, customer]);
    }

    async fn conference(&mut self, asterisk: &Asterisk, host: &Host, group: usize) {
        let first = self.agent(asterisk, host, group * 3 + 1).await;
        let customer = self.customer(asterisk).await;
        self.parties[first.0].speak().await;
        let second = self.agent(asterisk, host, group * 3 + 2).await;
        self.parties[second.0].speak().await;
        let count = self.agents.len();
        let (one, other) = self.agents.split_at_mut(count - 1);
        let ((_, _, one), (_, extension, other)) = (one.last_mut().unwrap(), other.last_mut().unwrap());
        let consult = ["state.updated(interaction)", "state.updated(primary)", NEW_CONSULT, "interaction.focuschanged"];
        let data = json!({"destination": extension});
        act(one, "interaction.request.consult", "interaction", data, &consult).await;
        other.hears(CALL_COMES).await;
        act(other, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
        one.hears("state.updated(consult)").await;
        let conference = [
            "state.updated(primary)",
            "conversation.member.added(primary)",
            CONSULT_ENDS,
            "interaction.focuschanged",
            "state.updated(interaction)",
        ];
        act(one, "interaction.request.consultconference", "interaction", json!({}), &conference).await;
        for agent in [one, other] {
            agent.forget_heard();
        }
        self.hear_each_other(&[first, second, customer]);
    }

    async fn transferred(&mut self, asterisk: &Asterisk, host: &Host, groups: usize) {
        self.agent(asterisk, host, groups * 3).await;
        let customer = self.customer(asterisk).await;
        self.parties.push(Sipp::outside(asterisk, OUTSIDE).await);
        let outside = self.parties.len() - 1;
        let (_, _, agent) = self.agents.last_mut().unwrap();
        let primary = agent.the("primary");
        let transfer =
            agent.command("conversation.request.blindtransfer", &primary, json!({"destination": "800"})).await;
        assert_eq!(transfer["result"], "success", "{transfer}");
        asterisk.has_bridged(&[self.customers.last().unwrap(), "trunk"]).await;
        self.parties[outside].speak().await;
        let (_, _, agent) = self.agents.last_mut().unwrap();
        let interaction = agent.the("interaction");
        agent.command("interaction.request.complete", &interaction, json!({})).await;
        let channel = agent.the("channel");
        agent.command("channel.request.notready", &channel, json!({"reasoncode": "break"})).await;
        agent.forget_heard();
        self.hear_each_other(&[customer, (outside, OUTSIDE)]);
    }

    async fn all_hear_each_other(&self, after: &str) {
        for Heard { by, tone } in &self.heard {
            patience(&format!("after {after}: party {by} hears {tone} Hz"), self.parties[*by].media.hears(*tone)).await;
        }
    }

    /// The link has come back, and nothing else is told that would end a call.
    async fn hear_that_the_link_is_up(&mut self) {
        for (_, _, agent) in &mut self.agents {
            let session = agent.session.clone();
            patience("the link is up", async {
                while agent.command("session.request.asterisk.ping", &session, json!({})).await["result"] != "success" {
                }
            })
            .await;
            agent.forget_heard();
        }
    }

    async fn log_in_again(&mut self, host: &Host) {
        for (name, extension, agent) in &mut self.agents {
            *agent = Agent::connect(host, "acme").await;
            let prepared = agent.prepare(name, false).await;
            assert_eq!(prepared["result"], "success", "{prepared}");
            agent.start(json!({"extension": extension})).await;
            agent.forget_heard();
        }
    }
}

async fn reload(host: &Host, round: usize) {
    let file = host.folder().join("tenants/acme.toml");
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find("dial_timeout_seconds = ").expect("the setting") + "dial_timeout_seconds = ".len();
    let end = at + text[at..].find('\n').unwrap();
    fs::write(&file, format!("{}{}{}", &text[..at], 30 + round, &text[end..])).unwrap();
    let before = last_change(host).await;
    host.post("/reload").await;
    until("all are moved to the new settings", async || (last_change(host).await != before).then_some(())).await;
}

async fn last_change(host: &Host) -> Value {
    let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    tenants[0]["lastChange"].clone()
}

#[tokio::test]
async fn nobody_who_talks_notices_what_becomes_of_the_adapter() {
    let full = std::env::var("TURMOIL").is_ok_and(|measure| measure == "full");
    let (groups, reloads, kills, cuts, stops) = if full { (10, 20, 10, 5, 5) } else { (1, 2, 2, 1, 1) };
    let extensions: Vec<String> = (0..=groups * 3).map(|number| (1001 + number).to_string()).collect();
    let extensions: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let Some(asterisk) = Asterisk::start(&extensions).await else { return };
    let cut = Cut::to(asterisk.http).await;
    let setup = || Setup::new().tenant(asterisk.tenant_by(cut.port, "dial_timeout_seconds = 30"));
    let mut host = setup().start().await;
    let mut calls = Calls::begin(&asterisk, &host, groups).await;
    calls.all_hear_each_other("nothing").await;

    for round in 1..=reloads {
        reload(&host, round).await;
        calls.hear_that_the_link_is_up().await;
        calls.all_hear_each_other("a reload").await;
    }
    for _ in 0..kills {
        host.kill_worker("acme").await;
        calls.hear_that_the_link_is_up().await;
        calls.all_hear_each_other("a dead worker").await;
    }
    for _ in 0..cuts {
        cut.cut();
        calls.agents[0].2.hears_until("session.linkchanged").await;
        cut.mend();
        calls.hear_that_the_link_is_up().await;
        calls.all_hear_each_other("a cut").await;
    }
    for _ in 0..stops {
        host.terminate();
        assert!(host.ends().await.success());
        calls.all_hear_each_other("a stop").await;
        host = setup().start().await;
        host.link_is_up("acme").await;
        calls.log_in_again(&host).await;
        calls.all_hear_each_other("a start").await;
    }

    // And in the end all of it ends as calls do.
    for number in calls.customers.clone() {
        let channel = asterisk.has_channel(&number).await;
        let at = calls
            .parties
            .iter()
            .position(|party| party.messages().contains(&format!("sip:{number}@")) && party.port != asterisk.outside);
        calls.parties[at.expect("the customer's phone")].ask(&channel, Ask::HangUp);
        asterisk.has_no_channel(&number).await;
    }
    asterisk.has_no_channel("trunk").await;
    for (_, _, agent) in calls.agents {
        logs_out(agent).await;
    }
    asterisk.is_empty().await;
}
