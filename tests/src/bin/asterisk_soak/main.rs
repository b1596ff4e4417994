//! A contact centre's day on a real Asterisk, for an hour: agents who do all that agents do, customers who come and go, and
//! phones that hang up, press their keys and vanish by themselves. Is an agent stuck at its end, is anything left in
//! Asterisk, and does memory stay as it is? The real host, one WebSocket an agent, SIPp's phones and customers. Where
//! Asterisk itself crashes it is started again, as its service manager would; the calls of that moment are lost with it.

#![forbid(unsafe_code)]

mod dice;
mod mischief;
mod worker;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use jackfield_tests::{
    asterisk::{Asterisk, sipp::Sipp},
    host::Setup,
    load::process::resident_kib,
    until,
};
use tokio::{sync::watch, task::JoinSet};

use self::{
    dice::Dice,
    worker::{Phase, Worker},
};

/// Puts agents on a real Asterisk through a day with everything that happens on one.
#[derive(Debug, Parser, Clone)]
#[command(name = "asterisk_soak", max_term_width = 100)]
struct Options {
    /// Agents at work at the same time.
    #[arg(long, default_value_t = 50)]
    agents: usize,
    /// Minutes that the day lasts.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Customers who call or wait at the same time.
    #[arg(long, default_value_t = 45)]
    customers: usize,
    /// Milliseconds between two things that an agent does, at most.
    #[arg(long, default_value_t = 2000)]
    pace_ms: u64,
    /// Milliseconds between two things that happen by themselves.
    #[arg(long, default_value_t = 1000)]
    mischief_ms: u64,
    /// What the dice begin with: the same again does the same as far as it depends on them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Agents go not ready when they let it ring, and are called and offered for a short time, so that all of it happens often.
const SETTINGS: &str =
    "dial_timeout_seconds = 8\noffer_timeout_seconds = 5\noffer_again_seconds = 2\nwrap_up_seconds = 3";

/// Resident memory of the processes, in MiB.
struct Memory([(&'static str, Vec<u64>); 3]);

impl Memory {
    fn look(&mut self, pids: [u32; 3]) {
        for ((_, seen), pid) in self.0.iter_mut().zip(pids) {
            seen.push(resident_kib(pid) / 1024);
        }
    }

    /// Prints what was seen, and returns who grew: by more than a quarter from the second quarter to the last.
    fn grown(&self) -> Vec<&'static str> {
        let mut grown = Vec::new();
        for (name, seen) in &self.0 {
            let quarter = (seen.len() / 4).max(1);
            let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len().max(1) as u64;
            let (before, after) = (mean(&seen[quarter..2 * quarter]), mean(&seen[seen.len() - quarter..]));
            println!(
                "{name}: {} MiB resident at first, {before} in the second quarter, {after} in the last",
                seen.first().copied().unwrap_or_default()
            );
            if after > before + before / 4 + 2 {
                grown.push(*name);
            }
        }
        grown
    }
}

/// What is in Asterisk beside a leg for each agent, or instead of one, when there was time for it to come to an end.
async fn left_beside_legs(asterisk: &Asterisk, agents: usize) -> Vec<serde_json::Value> {
    for _ in 0..60 {
        let (channels, bridges) = (asterisk.channels().await, asterisk.bridges().await);
        if channels.len() == agents && bridges.is_empty() {
            return Vec::new();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    [asterisk.channels().await, asterisk.bridges().await].concat()
}

fn sum(before: [usize; 3], more: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|at| before[at] + more[at])
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let extensions: Vec<String> = (0..options.agents).map(|number| (2001 + number).to_string()).collect();
    let Some(asterisk) = Asterisk::start_with_registered_phones(&extensions).await else { return };
    let asterisk = Arc::new(asterisk);
    let host = Arc::new(Setup::new().tenant(asterisk.tenant(SETTINGS)).start().await);
    let phones = Arc::new(Sipp::many_phones(&asterisk).await);
    let outside = Arc::new(Sipp::all_outside(&asterisk).await);
    for extension in &extensions {
        Sipp::register(&asterisk, extension, phones.port, mischief::REGISTERED).await;
    }

    let (phase, phases) = watch::channel(Phase::Day);
    let mut work = JoinSet::new();
    for (number, extension) in extensions.iter().enumerate() {
        let dice = Dice::new(options.seed + number as u64);
        let pace = Duration::from_millis(options.pace_ms);
        let (host, extension, all) = (Arc::clone(&host), extension.clone(), extensions.clone());
        let phases = phases.clone();
        work.spawn(async move { Worker::begin(&host, extension, all, dice, pace).await.work(phases).await });
    }
    until("all agents' phones are connected", || async {
        (asterisk.channels().await.len() >= options.agents).then_some(())
    })
    .await;
    println!("{} agents at work", options.agents);

    let mut customers = Sipp::many_customers(&asterisk, options.customers).await;
    let worker = async || u32::try_from(host.worker("acme").await).expect("a process's number");
    let first_worker = worker().await;
    let mut memory = Memory(["jackfield", "its worker", "asterisk"].map(|name| (name, Vec::new())));
    let began = Instant::now();
    let day = Duration::from_secs(60 * options.minutes);
    let mut mischief = mischief::Mischief::new(&asterisk, &phones, &outside, Dice::new(options.seed));
    let mut look = tokio::time::interval(day / 40);
    let mut next = tokio::time::interval(Duration::from_millis(options.mischief_ms));
    let mut before_crashes = [0; 3];
    let (mut crashes, mut deaths) = (0, 0);
    while began.elapsed() < day {
        let is_time_to_look = tokio::select! {
            _ = look.tick() => true,
            _ = next.tick() => {
                mischief.happens(&customers).await;
                false
            }
        };
        if asterisk.has_crashed() {
            crashes += 1;
            println!("Asterisk has crashed after {} minutes", began.elapsed().as_secs() / 60);
            asterisk.restart().await;
            // SIPp's own side of the calls knows nothing of it, and would wait for ever.
            before_crashes = sum(before_crashes, customers.counts());
            customers = Sipp::many_customers(&asterisk, options.customers).await;
        }
        if is_time_to_look {
            memory.look([host.pid(), worker().await, asterisk.pid()]);
            // A log of an hour is long, and what is to be known at the end may be gone by then.
            for line in host.log_lines("the worker died").split_off(deaths) {
                deaths += 1;
                println!("after {} minutes: {line}", began.elapsed().as_secs() / 60);
            }
        }
    }

    // Nobody calls any more; those who wait or talk are served to the end.
    let happened = mischief.ends().await;
    customers.stop_calling();
    phase.send_replace(Phase::Evening);
    let ended = mischief::until_customers_have_gone(&asterisk, &outside, &mut customers).await;
    let [created, succeeded, failed] = sum(before_crashes, customers.counts());
    println!("Asterisk crashed {crashes} times, the adapter's process died {deaths} times");
    println!("SIPp's customers: {created} called, {succeeded} ended well, {failed} did not");
    println!("by themselves: {happened:?}");
    let grown = memory.grown();
    let left = left_beside_legs(&asterisk, options.agents).await;
    assert!(left.is_empty(), "beside the agents' legs: {left:#?}");
    phase.send_replace(Phase::Night);
    let workers = work.join_all().await;

    let mut answers: BTreeMap<(String, String), usize> = BTreeMap::new();
    for worker in &workers {
        for (answer, count) in &worker.answers {
            *answers.entry(answer.clone()).or_default() += count;
        }
    }
    for ((command, answer), count) in &answers {
        println!("{command}: {answer} {count}");
    }
    let stuck: Vec<String> = workers.iter().filter_map(Worker::stuck).collect();
    let mut homes = JoinSet::new();
    for worker in workers {
        homes.spawn(worker.goes_home());
    }
    let home = homes.join_all().await.into_iter().filter(|home| *home).count();
    asterisk.is_empty().await;
    println!("{home} agents logged out; no channel and no bridge is left in Asterisk");
    let without_asterisk: &[&str] = if crashes > 0 { &["link_down", "timeout"] } else { &[] };
    let same_worker = worker().await == first_worker;
    let is_expected = |answer: &str| worker::EXPECTED.contains(&answer) || without_asterisk.contains(&answer);
    let unexpected: Vec<_> = answers.keys().filter(|(_, answer)| !is_expected(answer)).collect();
    assert!(stuck.is_empty(), "stuck: {stuck:?}");
    assert!(unexpected.is_empty(), "answers that nothing here explains: {unexpected:?}");
    assert_eq!(home, options.agents, "somebody could not log out");
    assert!(ended, "the customers' calls did not come to an end");
    assert!(grown.is_empty(), "more memory than before: {grown:?}");
    assert!(same_worker, "the adapter's process died");
}
