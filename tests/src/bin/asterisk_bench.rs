//! Many agents on a real Asterisk, each taking short calls without a pause: is any call lost or stuck, is anything left
//! behind, how many calls a second, and what does each process need? The real host, one WebSocket an agent, SIPp's
//! phones and customers.

#![forbid(unsafe_code)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use jackfield_tests::{
    agent::Agent,
    asterisk::{Asterisk, sipp::Sipp},
    host::{Host, Setup},
    load::process::{cpu_time, resident_kib},
    until,
};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

/// Puts agents on a real Asterisk under the load of short calls.
#[derive(Debug, Parser, Clone)]
#[command(name = "asterisk_bench", max_term_width = 100)]
struct Options {
    /// Agents at work at the same time.
    #[arg(long, default_value_t = 50)]
    agents: usize,
    /// Seconds during which customers call.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Milliseconds that each call lasts once it is answered.
    #[arg(long, default_value_t = 2000)]
    talk_ms: u64,
    /// Customers who call or wait at the same time; more than agents, so that no agent is idle.
    #[arg(long, default_value_t = 60)]
    customers: usize,
}

/// What an agent did.
#[derive(Default)]
struct Done {
    calls: usize,
    refused: Vec<String>,
    /// From `answer` to its response.
    answered_in: Vec<Duration>,
}

/// What a process used from one moment to another.
struct Usage {
    name: &'static str,
    pid: u32,
    time: Duration,
    resident_kib: u64,
}

impl Usage {
    fn of(name: &'static str, pid: u32) -> Self {
        Self { name, pid, time: cpu_time(pid), resident_kib: resident_kib(pid) }
    }

    fn until_now(self) -> Self {
        let time = cpu_time(self.pid).saturating_sub(self.time);
        Self { time, resident_kib: resident_kib(self.pid), ..self }
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let extensions: Vec<String> = (0..options.agents).map(|number| format!("{}", 2001 + number)).collect();
    let Some(asterisk) = Asterisk::start_on_one_phone(&extensions).await else { return };
    let host = Arc::new(Setup::new().tenant(asterisk.tenant("")).start().await);
    let phones = Sipp::many_phones(&asterisk).await;

    let mut ready = JoinSet::new();
    for extension in extensions {
        let host = Arc::clone(&host);
        ready.spawn(async move { at_work(&host, &extension).await });
    }
    let agents = ready.join_all().await;
    println!("{} agents at work, {} legs up", agents.len(), asterisk.channels().await.len());

    let (stop, stopped) = watch::channel(false);
    let mut work = JoinSet::new();
    for agent in agents {
        work.spawn(take_calls(agent, Duration::from_millis(options.talk_ms), stopped.clone()));
    }
    let worker = u32::try_from(host.worker("acme").await).expect("a process's number");
    let began = Instant::now();
    let mut customers = Sipp::many_customers(&asterisk, options.customers).await;
    let processes = [
        Usage::of("jackfield", host.pid()),
        Usage::of("its worker", worker),
        Usage::of("asterisk", asterisk.pid()),
        Usage::of("sipp (phones)", phones.pid()),
        Usage::of("sipp (customers)", customers.pid()),
    ];
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let took = began.elapsed();
    let processes = processes.map(Usage::until_now);
    // No new customers; those who wait or talk are served to the end.
    customers.stop_calling();
    let all_good = customers.succeeds().await;
    let [created, succeeded, failed] = customers.counts();
    stop.send_replace(true);
    let done = work.join_all().await;

    until("only the agents' legs are left", || async {
        (asterisk.channels().await.len() == options.agents && asterisk.bridges().await.is_empty()).then_some(())
    })
    .await;
    let calls: usize = done.iter().map(|(_, done)| done.calls).sum();
    let refused: Vec<String> = done.iter().flat_map(|(_, done)| done.refused.clone()).collect();
    let mut answered: Vec<Duration> = done.iter().flat_map(|(_, done)| done.answered_in.clone()).collect();
    answered.sort_unstable();
    let at = |share: f64| answered.get(((answered.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();

    println!("{calls} calls taken by {} agents, {:.1} calls/s", options.agents, calls as f64 / took.as_secs_f64());
    println!("SIPp's customers: {created} called, {succeeded} ended well, {failed} did not");
    println!("answer to its response: p50 {:.1?}, p99 {:.1?}, longest {:.1?}", at(0.5), at(0.99), at(1.0));
    for Usage { name, time, resident_kib, .. } in processes {
        println!(
            "{name}: {:.1} % of a core, {:.2} ms a call, {} MiB resident",
            100.0 * time.as_secs_f64() / took.as_secs_f64(),
            time.as_secs_f64() * 1000.0 / calls.max(1) as f64,
            resident_kib / 1024
        );
    }
    let mut homes = JoinSet::new();
    for (mut agent, _) in done {
        homes.spawn(async move {
            let session = agent.session.clone();
            agent.command("session.request.logout", &session, json!({})).await["result"] == "success"
        });
    }
    let home = homes.join_all().await.into_iter().filter(|home| *home).count();
    asterisk.is_empty().await;
    println!("{home} agents logged out; no channel and no bridge is left in Asterisk");
    assert!(refused.is_empty(), "refused: {refused:?}");
    assert!(all_good && failed == 0 && created == calls, "a call was lost");
}

async fn at_work(host: &Host, extension: &str) -> Agent {
    let mut agent = Agent::connect(host, "acme").await;
    agent.log_in(&format!("agent-{extension}")).await;
    let channel = agent.adds_channel(extension, "Telephony").await;
    for command in ["channel.request.activate", "channel.request.ready"] {
        let response = agent.command(command, &channel, json!({})).await;
        assert_eq!(response["result"], "success", "{response}");
    }
    agent
}

/// Answers whatever rings, talks, hangs up and completes, until told to stop.
async fn take_calls(mut agent: Agent, talk: Duration, mut stopped: watch::Receiver<bool>) -> (Agent, Done) {
    let mut done = Done::default();
    loop {
        let event = tokio::select! {
            event = agent.next_event("a call") => event,
            _ = stopped.wait_for(|stopped| *stopped) => return (agent, done),
        };
        if event.word != "interaction.initialized" {
            continue;
        }
        let (interaction, primary) = (agent.the("interaction"), agent.the("primary"));
        let asked = Instant::now();
        for (command, target) in [
            ("conversation.request.answer", &primary),
            ("conversation.request.release", &primary),
            ("interaction.request.complete", &interaction),
        ] {
            let response = agent.command(command, target, json!({})).await;
            if response["result"] != "success" {
                done.refused.push(response.to_string());
            } else if command.ends_with("answer") {
                done.answered_in.push(asked.elapsed());
                tokio::time::sleep(talk).await;
            }
        }
        done.calls += 1;
    }
}
