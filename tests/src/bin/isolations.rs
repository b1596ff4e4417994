//! What each isolation costs, in one run: throughput, latency at a steady rate, memory of many tenants, and the start of
//! a worker. Each round measures `none`, `adapter` and `tenant` in turns; the medians and their ratios to `none` count.

#![forbid(unsafe_code)]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use hdrhistogram::Histogram;
use jackfield_tests::{
    host::{Host, Setup, Tenant},
    load::{
        client::{Drive, connect, drive},
        lines, process,
        script::Script,
    },
};

/// Puts the same load on the host with its plugin in the host, in one worker for all tenants, and in one for each.
#[derive(Debug, Parser)]
#[command(name = "isolations", max_term_width = 100)]
struct Options {
    /// Tenants that the sessions are spread over.
    #[arg(long, default_value_t = 4)]
    tenants: usize,
    /// Sessions that work at the same time.
    #[arg(long, default_value_t = 64)]
    sessions: usize,
    /// Commands a second of the steady load, all sessions together.
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// Seconds that each load is measured for.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Tenants for the measurement of memory; 0 leaves it out.
    #[arg(long, default_value_t = 100)]
    many: usize,
    /// Starts of a host with one tenant, for the time that a worker takes to start; 0 leaves it out.
    #[arg(long, default_value_t = 10)]
    starts: usize,
}

const ISOLATIONS: [&str; 3] = ["none", "adapter", "tenant"];

/// What was measured, by what it is: the values of all rounds for each isolation.
#[derive(Default)]
struct Figures {
    names: Vec<String>,
    values: BTreeMap<(String, &'static str), Vec<f64>>,
}

impl Figures {
    fn note(&mut self, name: &str, isolation: &'static str, value: f64) {
        if !self.names.iter().any(|it| it == name) {
            self.names.push(name.to_owned());
        }
        self.values.entry((name.to_owned(), isolation)).or_default().push(value);
    }

    fn median(&self, name: &str, isolation: &'static str) -> Option<f64> {
        let mut values = self.values.get(&(name.to_owned(), isolation))?.clone();
        values.sort_by(f64::total_cmp);
        Some(values[values.len() / 2])
    }

    fn print(&self) {
        println!("{:<38}{:>11}{:>11}{:>11}{:>10}{:>10}", "", "none", "adapter", "tenant", "adapter", "tenant");
        println!("{:<38}{:>33}{:>20}", "", "", "over none");
        for name in &self.names {
            let [none, adapter, tenant] = ISOLATIONS.map(|isolation| self.median(name, isolation));
            let value = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
            let ratio = |value: Option<f64>| match (value, none) {
                (Some(value), Some(none)) => format!("{:.2}", value / none),
                _ => "-".to_owned(),
            };
            let (a, b, c) = (value(none), value(adapter), value(tenant));
            println!("{name:<38}{a:>11}{b:>11}{c:>11}{:>10}{:>10}", ratio(adapter), ratio(tenant));
        }
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let script = Arc::new(record().await);
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        for isolation in ISOLATIONS {
            println!("round {round} of {}: {isolation} …", options.rounds);
            measure(&options, isolation, &script, &mut figures).await;
        }
    }
    if options.many > 0 {
        println!("memory with {} tenants …", options.many);
        // A host without a tenant is never ready, so the first one is not counted.
        let first = memory(1, "none").await;
        let others = options.many.saturating_sub(1).max(1);
        for isolation in ISOLATIONS {
            let used = memory(options.many, isolation).await.saturating_sub(first);
            figures.note("memory a connected tenant (KiB, PSS)", isolation, used as f64 / others as f64);
        }
    }
    for _ in 0..options.starts {
        let (loaded, connected) = start().await;
        figures.note("start of a worker (ms)", "tenant", loaded);
        figures.note("until its tenant is connected (ms)", "tenant", connected);
    }
    println!(
        "\n{} sessions of {} tenants, {} s a run, medians of {} rounds; the steady load is {} commands/s",
        options.sessions, options.tenants, options.seconds, options.rounds, options.rate
    );
    figures.print();
}

async fn record() -> Script {
    let host = host(1, "none", 10).await;
    let address = host.address.parse().expect("an address");
    let mut socket = connect(address, &path(0), 0).await.expect("a connection");
    Script::working_day().record(&mut socket).await
}

/// A host with so many tenants of the simulator, all with this isolation.
async fn host(tenants: usize, isolation: &'static str, sessions: usize) -> Host {
    let room = sessions + 100;
    let mut setup = Setup::new()
        .main(&format!(
            "[limits]\nsessions = {room}\nconnections = {room}\ncommands_per_second = 0\nconnection_commands_per_second = 0\n[log]\nfilter = \"info\"\nformat = \"json\""
        ))
        .listener(&format!("max_connections = {}", room * 4));
    for number in 0..tenants {
        setup = setup.tenant(Tenant::simulator(&name(number)).isolation(isolation));
    }
    setup.start().await
}

fn name(number: usize) -> String {
    format!("tenant{number}")
}

fn path(number: usize) -> String {
    format!("/v1/tenants/{}/ws", name(number))
}

async fn measure(options: &Options, isolation: &'static str, script: &Arc<Script>, figures: &mut Figures) {
    for (what, rate) in [("saturated", None), ("steady", Some(options.rate))] {
        let host = host(options.tenants, isolation, options.sessions).await;
        let address: SocketAddr = host.address.parse().expect("an address");
        let settings = Drive {
            address,
            agents: "load".to_owned(),
            paths: (0..options.tenants).map(path).collect(),
            sessions: options.sessions,
            warm_up: Duration::from_secs(2),
            time: Duration::from_secs(options.seconds),
            rate,
        };
        let cpu = || process::cpu_time_of_all(host.pid());
        let mut used = Duration::ZERO;
        let measured = drive(&settings, script, cpu, |before| used = cpu() - before).await;
        if rate.is_none() {
            figures.note("saturated: commands/s", isolation, measured.rate());
        }
        let per_command = used.as_secs_f64() * 1e6 / measured.commands.max(1) as f64;
        figures.note(&format!("{what}: CPU a command (us)"), isolation, per_command);
        let at = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        for (quantile, name) in [(0.5, "p50"), (0.99, "p99")] {
            figures.note(&format!("{what}: response, {name} (us)"), isolation, at(&measured.response, quantile));
        }
    }
}

/// Memory of a host and its workers, in KiB, with so many connected tenants without sessions.
async fn memory(tenants: usize, isolation: &'static str) -> u64 {
    let host = host(tenants, isolation, 10).await;
    process::proportional_kib_of_all(host.pid())
}

/// Milliseconds from the start of a worker's process until it is ready, and until its tenant is connected, by the log.
async fn start() -> (f64, f64) {
    let host = host(1, "tenant", 10).await;
    let log = lines::parse(&host.log());
    let line = |message| log.iter().find(|line| line.message == message).expect("the host says so");
    let (ready, connected) = (line("the worker is started"), line("the platform is connected"));
    let took = Duration::from_micros(ready.fields["micros"].as_u64().expect("a number"));
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    (millis(took), millis(took + lines::between(ready.at, connected.at)))
}
