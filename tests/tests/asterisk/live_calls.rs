//! Live calls of all kinds at a time, each party with a tone of its own, and who must hear whom.
//!
//! Owns: the agents, phones and customers of such calls. Must never: know what happens to the adapter meanwhile.

use std::time::Duration;

use jackfield_tests::{
    agent::Agent,
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    host::Host,
    patience,
    words::{ANSWERED, CALL_COMES, CONSULT_ENDS, NEW_CONSULT},
};
use serde_json::{Value, json};

use crate::{
    desk::OUTSIDE,
    floor::{act, at_work, logs_out},
};

/// How many calls of which kind there are, beside one that was transferred to outside.
pub struct Kinds {
    /// A customer with an agent, recorded.
    pub recorded: usize,
    /// A customer and two agents.
    pub conferences: usize,
    /// A customer on hold whose agent consults another.
    pub consults: usize,
    /// Customers in the queue.
    pub waiting: usize,
}

impl Kinds {
    /// How many agents they need.
    pub fn agents(&self) -> usize {
        self.recorded + 2 * self.conferences + 2 * self.consults + 1
    }
}

/// What a party must hear.
enum Sound {
    Tone(u32),
    Music,
}

struct Heard {
    by: usize,
    sound: Sound,
}

/// A customer who is in a call, or waits.
struct Customer {
    number: String,
    party: usize,
}

/// The calls.
pub struct LiveCalls {
    agents: Vec<(String, String, Agent)>,
    /// Phones, customers and the outside number.
    parties: Vec<Sipp>,
    heard: Vec<Heard>,
    customers: Vec<Customer>,
    waiting: Vec<Customer>,
    /// How many customers have called.
    called: usize,
}

impl LiveCalls {
    /// Makes them, one after the other.
    pub async fn begin(asterisk: &Asterisk, host: &Host, kinds: &Kinds) -> Self {
        let (agents, parties, heard) = (Vec::new(), Vec::new(), Vec::new());
        let mut calls = Self { agents, parties, heard, customers: Vec::new(), waiting: Vec::new(), called: 0 };
        for _ in 0..kinds.recorded {
            calls.recorded(asterisk, host).await;
        }
        for _ in 0..kinds.conferences {
            calls.conference(asterisk, host).await;
        }
        for _ in 0..kinds.consults {
            calls.consult(asterisk, host).await;
        }
        calls.transferred(asterisk, host).await;
        calls.others_wait(asterisk, kinds).await;
        calls
    }

    /// Each party its own tone.
    fn tone(&self) -> u32 {
        300 + 110 * u32::try_from(self.parties.len() % 30).unwrap()
    }

    async fn agent(&mut self, asterisk: &Asterisk, host: &Host) -> (usize, u32) {
        let number = self.agents.len();
        let (name, extension, tone) = (format!("agent{number}"), (1001 + number).to_string(), self.tone());
        let (agent, phone) = at_work(asterisk, host, &name, &extension, tone).await;
        self.stay_connected().await;
        self.agents.push((name, extension, agent));
        self.parties.push(phone);
        (self.parties.len() - 1, tone)
    }

    async fn stay_connected(&mut self) {
        for (_, _, agent) in &mut self.agents {
            agent.stays_connected().await;
        }
    }

    /// Somebody calls a number of Asterisk's.
    async fn caller(&mut self, asterisk: &Asterisk, calls: &str) -> Customer {
        let number = format!("55{:03}", self.called);
        self.called += 1;
        self.parties.push(Sipp::customer(asterisk, &number, calls, self.tone()).await);
        Customer { number, party: self.parties.len() - 1 }
    }

    /// A customer for the newest agent.
    async fn customer(&mut self, asterisk: &Asterisk) -> (usize, u32) {
        let tone = self.tone();
        let customer = self.caller(asterisk, "702").await;
        let (_, _, agent) = self.agents.last_mut().unwrap();
        agent.hears(CALL_COMES).await;
        act(agent, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
        let party = customer.party;
        self.parties[party].speak().await;
        self.customers.push(customer);
        (party, tone)
    }

    fn hear_each_other(&mut self, all: &[(usize, u32)]) {
        for (by, _) in all {
            let others = all.iter().filter(|(other, _)| other != by);
            self.heard.extend(others.map(|(_, tone)| Heard { by: *by, sound: Sound::Tone(*tone) }));
        }
    }

    async fn recorded(&mut self, asterisk: &Asterisk, host: &Host) {
        let agent = self.agent(asterisk, host).await;
        let customer = self.customer(asterisk).await;
        self.parties[agent.0].speak().await;
        let (_, _, desktop) = self.agents.last_mut().unwrap();
        let interaction = desktop.the("interaction");
        let response = desktop.command("interaction.request.recording.start", &interaction, json!({})).await;
        assert_eq!(response["result"], "success", "{response}");
        desktop.forget_heard();
        self.hear_each_other(&[agent, customer]);
    }

    /// A customer whose agent has called another one: the three parties, the customer first.
    async fn consulted(&mut self, asterisk: &Asterisk, host: &Host) -> [(usize, u32); 3] {
        let first = self.agent(asterisk, host).await;
        let customer = self.customer(asterisk).await;
        self.parties[first.0].speak().await;
        let second = self.agent(asterisk, host).await;
        self.parties[second.0].speak().await;
        let [(_, _, one), (_, extension, other)] = self.last_two();
        let consult = ["state.updated(interaction)", "state.updated(primary)", NEW_CONSULT, "interaction.focuschanged"];
        let data = json!({"destination": *extension});
        act(one, "interaction.request.consult", "interaction", data, &consult).await;
        other.hears(CALL_COMES).await;
        act(other, "conversation.request.answer", "primary", json!({}), &[ANSWERED]).await;
        one.hears("state.updated(consult)").await;
        [customer, first, second]
    }

    fn last_two(&mut self) -> &mut [(String, String, Agent); 2] {
        self.agents.last_chunk_mut().expect("two agents")
    }

    async fn conference(&mut self, asterisk: &Asterisk, host: &Host) {
        let all = self.consulted(asterisk, host).await;
        let [(_, _, one), (_, _, other)] = self.last_two();
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
        self.hear_each_other(&all);
    }

    async fn consult(&mut self, asterisk: &Asterisk, host: &Host) {
        let [(customer, _), first, second] = self.consulted(asterisk, host).await;
        for (_, _, agent) in self.last_two() {
            agent.forget_heard();
        }
        self.hear_each_other(&[first, second]);
        self.heard.push(Heard { by: customer, sound: Sound::Music });
    }

    async fn transferred(&mut self, asterisk: &Asterisk, host: &Host) {
        self.agent(asterisk, host).await;
        let customer = self.customer(asterisk).await;
        self.parties.push(Sipp::outside(asterisk, OUTSIDE).await);
        let outside = self.parties.len() - 1;
        let number = self.customers.last().unwrap().number.clone();
        let (_, _, agent) = self.agents.last_mut().unwrap();
        let primary = agent.the("primary");
        let transfer =
            agent.command("conversation.request.blindtransfer", &primary, json!({"destination": "800"})).await;
        assert_eq!(transfer["result"], "success", "{transfer}");
        asterisk.has_bridged(&[&number, "trunk"]).await;
        self.parties[outside].speak().await;
        let (_, _, agent) = self.agents.last_mut().unwrap();
        let interaction = agent.the("interaction");
        agent.command("interaction.request.complete", &interaction, json!({})).await;
        let channel = agent.the("channel");
        agent.command("channel.request.notready", &channel, json!({"reasoncode": "break"})).await;
        agent.forget_heard();
        self.hear_each_other(&[customer, (outside, OUTSIDE)]);
    }

    /// Customers come into the queue, for whom no agent is free.
    pub async fn others_wait(&mut self, asterisk: &Asterisk, kinds: &Kinds) {
        for _ in 0..kinds.waiting {
            let customer = self.caller(asterisk, "701").await;
            asterisk.has_channel(&customer.number).await;
            self.heard.push(Heard { by: customer.party, sound: Sound::Music });
            self.waiting.push(customer);
        }
    }

    /// The dialplan has them, and has ended their calls.
    pub async fn those_who_wait_are_gone(&mut self, asterisk: &Asterisk) {
        for Customer { number, party } in std::mem::take(&mut self.waiting) {
            asterisk.has_no_channel(&number).await;
            assert!(self.parties[party].succeeds().await);
            self.heard.retain(|heard| heard.by != party);
        }
    }

    /// Whoever must hear somebody, or music, does.
    pub async fn all_hear_each_other(&mut self, after: &str) {
        for at in 0..self.heard.len() {
            self.stay_connected().await;
            let Heard { by, sound } = &self.heard[at];
            let media = &self.parties[*by].media;
            match sound {
                Sound::Tone(tone) => {
                    patience(&format!("after {after}: party {by} hears {tone} Hz"), media.hears(*tone)).await;
                }
                Sound::Music => {
                    patience(&format!("after {after}: party {by} hears music"), media.hears_music(&[])).await
                }
            }
        }
    }

    /// The link is lost.
    pub async fn hear_that_the_link_is_down(&mut self) {
        self.agents[0].2.hears_until("session.linkchanged").await;
    }

    /// The link has come back, and nothing else is told that would end a call.
    pub async fn hear_that_the_link_is_up(&mut self) {
        for (_, _, agent) in &mut self.agents {
            let session = agent.session.clone();
            in_the_end(agent, "session.request.asterisk.ping", &session, is_success).await;
            agent.forget_heard();
        }
    }

    /// Each agent comes to a host that has been started anew.
    pub async fn log_in_again(&mut self, host: &Host) {
        for (name, extension, agent) in &mut self.agents {
            *agent = Agent::connect(host, "acme").await;
            let prepared = agent.prepare(name, false).await;
            assert_eq!(prepared["result"], "success", "{prepared}");
            agent.start(json!({"extension": *extension})).await;
            agent.forget_heard();
        }
    }

    /// Every other customer hangs up, as people do in the end.
    pub async fn half_of_the_customers_hang_up(&mut self, asterisk: &Asterisk) {
        for Customer { number, party } in self.customers.iter().step_by(2) {
            self.parties[*party].ask(&asterisk.has_channel(number).await, Ask::HangUp);
            asterisk.has_no_channel(number).await;
        }
    }

    /// Each agent has been told the end of all calls, and completes them.
    pub async fn all_is_over_and_completed(&mut self) {
        for (_, _, agent) in &mut self.agents {
            let Some(interaction) = agent.newest("interaction") else { continue };
            // Completed now, or before.
            let is_over = |answer: &Value| is_success(answer) || answer["failure"]["code"] == "not_found";
            in_the_end(agent, "interaction.request.complete", &interaction, is_over).await;
            agent.forget_heard();
        }
    }

    /// The first agent is there for a call as before: his phone was called again.
    pub async fn the_first_agent_takes_a_call(&mut self, asterisk: &Asterisk) {
        let tone = self.tone();
        let (_, extension, agent) = &mut self.agents[0];
        asterisk.has_channel(extension).await;
        let channel = agent.the("channel");
        in_the_end(agent, "channel.request.ready", &channel, is_success).await;
        agent.forget_heard();
        // 704 leads to this agent alone.
        let customer = self.caller(asterisk, "704").await;
        let (_, _, agent) = &mut self.agents[0];
        agent.hears_until("interaction.initialized").await;
        let primary = agent.the("primary");
        let answered = agent.command("conversation.request.answer", &primary, json!({})).await;
        assert_eq!(answered["result"], "success", "{answered}");
        agent.forget_heard();
        self.parties[customer.party].speak().await;
        patience("the first agent hears the customer", self.parties[0].media.hears(tone)).await;
    }

    /// All go home, and nothing is left.
    pub async fn all_go_home(self, asterisk: &Asterisk) {
        for (_, _, agent) in self.agents {
            logs_out(agent).await;
        }
        asterisk.is_empty().await;
    }
}

fn is_success(answer: &Value) -> bool {
    answer["result"] == "success"
}

/// Sends a command until it is answered as it should be.
async fn in_the_end(agent: &mut Agent, command: &str, target: &str, fits: impl Fn(&Value) -> bool) {
    patience(&format!("{command} to {target} is answered as it should be"), async {
        while !fits(&agent.command(command, target, json!({})).await) {
            // Between two questions only.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
