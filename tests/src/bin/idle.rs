//! Many agents who are logged in and do nothing: what each costs in memory, and whether a scrape of the metrics and a new
//! log-in take longer with many of them than with few. All is measured in one run on one host.
//!
//! A connection is an open file. Where a process may not open as many as there are to be sessions, the others are those of
//! agents who have lost their connection: logged in, and waited for.

#![forbid(unsafe_code)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;
use jackfield_tests::{
    host::{Host, Setup, Tenant},
    load::{
        client::{connect, idle_sessions, left_sessions, logged_in_as},
        process,
        scrapes::Scrapes,
        script::{Script, Step},
    },
};

/// Logs very many idle agents in, and measures memory, a scrape and a log-in, with few and with all of them.
#[derive(Debug, Parser)]
#[command(name = "idle", max_term_width = 100)]
struct Options {
    /// Sessions in the end.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Of these, sessions whose desktop is connected; left out: all, or as many as open files are allowed.
    #[arg(long)]
    connected: Option<usize>,
    /// Sessions that the others are compared with.
    #[arg(long, default_value_t = 1_000)]
    few: usize,
    /// Tenants that they are spread over.
    #[arg(long, default_value_t = 100)]
    tenants: usize,
    /// Each session has an active channel, too.
    #[arg(long)]
    channel: bool,
    /// Scrapes and log-ins that are measured.
    #[arg(long, default_value_t = 200)]
    samples: usize,
}

/// What was measured with so many sessions.
struct Figures {
    sessions: usize,
    memory: u64,
    scrapes: Scrapes,
    log_ins: Vec<Duration>,
}

fn main() {
    let options = Options::parse();
    let others = 2 * options.samples + 3_000;
    let allowed = process::may_open((options.connected.unwrap_or(options.sessions) + others) as u64);
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(others);
    let connected = options.connected.unwrap_or(options.sessions).min(allowed).clamp(options.few, options.sessions);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&options, connected));
}

async fn measure(options: &Options, connected: usize) {
    let host = start(options, connected).await;
    let address: SocketAddr = host.address.parse().expect("an address");
    let mut recorder = connect(address, &path(0), 0).await.expect("a connection");
    let script = if options.channel { Script::working_day() } else { Script::log_in_only() };
    let morning = script.record(&mut recorder).await.morning;
    drop(recorder);
    let paths: Vec<String> = (0..options.tenants).map(path).collect();
    let mut figures = Vec::new();
    let (mut kept, mut from) = (Vec::new(), 0);
    for (stage, to) in [("few", options.few), ("connected", connected), ("all", options.sessions)] {
        let begun = Instant::now();
        if to <= connected {
            kept.push(idle_sessions(from..to, address, &paths, &morning).await);
        } else {
            left_sessions(from..to, address, &paths, &morning).await;
            until_gone(&host, connected).await;
        }
        println!("{to} sessions ({stage}): {} more logged in within {:.1} s", to - from, begun.elapsed().as_secs_f64());
        figures.push(look(options, &host, address, &morning, (stage, to)).await);
        from = to;
    }
    print(&figures);
}

/// Waits until the desktops are gone that let go of their connections.
async fn until_gone(host: &Host, connected: usize) {
    loop {
        let page = host.operations("/metrics").await;
        let counts = page.lines().filter_map(|line| line.strip_prefix("jackfield_client_connections{"));
        let clients: f64 = counts.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        if clients <= connected as f64 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn print(figures: &[Figures]) {
    let row = |name: &str, values: &dyn Fn(&Figures) -> String| {
        let values: String = figures.iter().map(|it| format!("{:>16}", values(it))).collect();
        println!("{name:<36}{values}");
    };
    println!("{:<36}{:>16}{:>16}{:>16}", "", "few", "connected", "all");
    row("sessions", &|it| it.sessions.to_string());
    let added: Vec<String> = figures
        .windows(2)
        .map(|two| {
            let more = two[1].sessions - two[0].sessions;
            let each = two[1].memory.saturating_sub(two[0].memory) as f64 / more as f64;
            if more > 0 { format!("{each:>16.1}") } else { format!("{:>16}", "-") }
        })
        .collect();
    println!("{:<36}{:>16}{}", "memory a session more (KiB, PSS)", "", added.concat());
    row("scrape, median (ms)", &|it| format!("{:.2}", it.scrapes.median()));
    row("scrape, size (KiB)", &|it| format!("{:.1}", it.scrapes.bytes() as f64 / 1024.0));
    for (name, quantile) in [("log-in, p50 (ms)", 0.5), ("log-in, p90 (ms)", 0.9)] {
        row(name, &|it| format!("{:.2}", millis(&it.log_ins, quantile)));
    }
}

/// Measures with the sessions that there are. A log-in is a new connection, prepareSession and session.start, one after the
/// other, so that what is measured is the host and not how many ask at once.
async fn look(
    options: &Options,
    host: &Host,
    address: SocketAddr,
    morning: &[Step],
    (stage, sessions): (&str, usize),
) -> Figures {
    let memory = process::proportional_kib_of_all(host.pid());
    let (mut scrapes, mut log_ins) = (Scrapes::default(), Vec::new());
    for number in 0..options.samples {
        scrapes.take(host).await;
        let (agent, path) = (format!("{stage}{number}"), path(number % options.tenants));
        let begun = Instant::now();
        let socket = logged_in_as(&agent, address, &path, number, &morning[..2]).await;
        log_ins.push(begun.elapsed());
        drop(socket);
    }
    log_ins.sort_unstable();
    Figures { sessions, memory, scrapes, log_ins }
}

fn millis(sorted: &[Duration], quantile: f64) -> f64 {
    let rank = ((sorted.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    sorted.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

async fn start(options: &Options, connected: usize) -> Host {
    let each = options.sessions / options.tenants + 2 * options.samples + 10;
    let setup = Setup::new()
        .main(&format!(
            "[limits]\nsessions = {each}\nconnections = {each}\nlogins_per_second = {each}\n\
             resume_grace = \"1h\"\n[log]\nfilter = \"warn,audit=off\""
        ))
        .listener(&format!("max_connections = {}", 2 * connected + 1_000));
    let tenants = (0..options.tenants).map(|number| Tenant::simulator(&name(number)).isolation("adapter"));
    tenants.fold(setup, Setup::tenant).start().await
}

fn name(number: usize) -> String {
    format!("tenant{number}")
}

fn path(number: usize) -> String {
    format!("/v1/tenants/{}/ws", name(number))
}
