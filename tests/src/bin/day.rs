//! A day of many tenants on one host: each agent takes and makes calls, holds, is ready and not ready, and chats, at the
//! pace of a person. Measured are processor time, memory, response times, and what a scrape of the metrics costs meanwhile.

#![forbid(unsafe_code)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use hdrhistogram::Histogram;
use jackfield_tests::{
    host::{Host, Setup, Tenant},
    load::{
        client::{Drive, connect, drive},
        process,
        scrapes::Scrapes,
        script::Script,
    },
};

/// Puts the day of many tenants' agents on a host, and says what that costs it.
#[derive(Debug, Parser)]
#[command(name = "day", max_term_width = 100)]
struct Options {
    /// Tenants of the simulator.
    #[arg(long, default_value_t = 100)]
    tenants: usize,
    /// Agents of each, all at work.
    #[arg(long, default_value_t = 100)]
    agents: usize,
    /// Seconds between two commands of an agent.
    #[arg(long, default_value_t = 5.0)]
    pace: f64,
    /// Seconds that it is measured for.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the adapter runs: none, adapter or tenant. What is measured includes the workers.
    #[arg(long, default_value = "adapter")]
    isolation: String,
}

/// The pause between two scrapes: Prometheus is usually told 15 s.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

fn main() {
    let options = Options::parse();
    process::may_open((options.tenants * options.agents) as u64 + 3_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&options));
}

async fn measure(options: &Options) {
    let sessions = options.tenants * options.agents;
    let host = start(options).await;
    let address: SocketAddr = host.address.parse().expect("an address");
    let mut recorder = connect(address, &path(0), 0).await.expect("a connection");
    let script = Arc::new(Script::day_with_chats().record(&mut recorder).await);
    drop(recorder);
    let empty = process::proportional_kib_of_all(host.pid());
    let settings = Drive {
        address,
        agents: "day".to_owned(),
        paths: (0..options.tenants).map(path).collect(),
        sessions,
        // Everybody has begun by then.
        warm_up: Duration::from_secs_f64(options.pace),
        time: Duration::from_secs(options.seconds),
        rate: Some(sessions as f64 / options.pace),
    };
    println!("{} tenants of {} agents are at work for {} s …", options.tenants, options.agents, options.seconds);
    let (cpu, mut used) = (|| process::cpu_time_of_all(host.pid()), Duration::ZERO);
    let (mut scrapes, mut memory) = (Scrapes::default(), 0);
    let measured = {
        let driven = drive(&settings, &script, cpu, |before| {
            used = cpu() - before;
            memory = process::proportional_kib_of_all(host.pid());
        });
        let scraping = async {
            loop {
                tokio::time::sleep(SCRAPE_EVERY).await;
                scrapes.take(&host).await;
            }
        };
        tokio::select! { measured = driven => measured, () = scraping => unreachable!("it has no end") }
    };
    let seconds = measured.time.as_secs_f64();
    let at = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    println!("{:<44}{:>12.0}", "commands/s", measured.rate());
    println!("{:<44}{:>12.2}", "processors, workers included", used.as_secs_f64() / seconds);
    println!("{:<44}{:>12.1}", "CPU a command (us)", used.as_secs_f64() * 1e6 / measured.commands.max(1) as f64);
    println!("{:<44}{:>12.2}", "command to response, p50 (ms)", at(&measured.response, 0.5));
    println!("{:<44}{:>12.2}", "command to response, p99 (ms)", at(&measured.response, 0.99));
    println!("{:<44}{:>12.2}", "command to last event, p99 (ms)", at(&measured.last_event, 0.99));
    println!("{:<44}{:>12.1}", "memory, workers included (MiB, PSS)", memory as f64 / 1024.0);
    println!("{:<44}{:>12.1}", "  without sessions", empty as f64 / 1024.0);
    scrapes.print();
}

async fn start(options: &Options) -> Host {
    let room = options.agents + 10;
    let setup = Setup::new()
        .main(&format!(
            "[limits]\nsessions = {room}\nconnections = {room}\nlogins_per_second = {room}\n[log]\nfilter = \"warn,audit=off\""
        ))
        .listener(&format!("max_connections = {}", 2 * (options.tenants * options.agents + 100)));
    let isolation: &'static str = match options.isolation.as_str() {
        "none" => "none",
        "tenant" => "tenant",
        _ => "adapter",
    };
    let tenants = (0..options.tenants).map(|number| Tenant::simulator(&name(number)).isolation(isolation));
    tenants.fold(setup, Setup::tenant).start().await
}

fn name(number: usize) -> String {
    format!("tenant{number}")
}

fn path(number: usize) -> String {
    format!("/v1/tenants/{}/ws", name(number))
}
