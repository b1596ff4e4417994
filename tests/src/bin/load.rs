//! The load generator's command line: runs the host and the bare server in turns under the same load, and prints what
//! each did and the ratios. `jackfield_tests::load` does the work.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use hdrhistogram::Histogram;
use jackfield_tests::{
    host::{Host, Setup, TempFolder, Tenant},
    load::{
        bare,
        client::{Drive, connect, drive, idle_sessions},
        process,
        script::Script,
    },
};
/// Puts the host under the load of many agents' working days, and a bare WebSocket server under the same, and compares.
#[derive(Debug, Parser)]
#[command(name = "load", max_term_width = 100)]
struct Options {
    /// Sessions that work at the same time.
    #[arg(long, default_value_t = 64)]
    sessions: usize,
    /// Seconds that each run is measured for.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Runs of each server, in turns; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Commands a second, all sessions together. Left out: as many as go.
    #[arg(long)]
    rate: Option<f64>,
    /// Where the adapter runs, as in a tenant's file. What is measured of the host includes its workers.
    #[arg(long, value_enum, default_value_t = Isolation::Adapter)]
    isolation: Isolation,
    /// Logged-in idle sessions for the measurement of memory; 0 leaves it out.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Serve as the bare server with a recorded script (for the generator itself).
    #[arg(long, hide = true)]
    bare: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Isolation {
    None,
    Adapter,
    Tenant,
}

impl Isolation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Adapter => "adapter",
            Self::Tenant => "tenant",
        }
    }
}

fn main() {
    let options = Options::parse();
    // One connection is one open file on each side.
    process::may_open(options.idle.max(options.sessions) as u64 + 1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match &options.bare {
            Some(script) => {
                let script = fs::read_to_string(script).expect("the script can be read");
                bare::serve(&serde_json::from_str(&script).expect("a script")).await.expect("it serves");
            }
            None => compare(&options).await,
        }
    });
}

/// A server under load, whichever.
struct Server {
    name: &'static str,
    address: SocketAddr,
    path: &'static str,
    pid: u32,
}

/// The figures of one run.
struct Run {
    rate: f64,
    cpu_per_command: Duration,
    response: Histogram<u64>,
    last_event: Histogram<u64>,
}

async fn compare(options: &Options) {
    println!("recording the working day …");
    let script = Arc::new(record().await);
    let bare = Bare::start(&script);
    let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    for round in 1..=options.rounds {
        for is_host in [false, true] {
            let host = if is_host { Some(start_host(options.sessions, options.isolation).await) } else { None };
            let server = host.as_ref().map_or_else(|| bare.server(), host_server);
            let run = measure(options, &server, &script).await;
            println!("round {round} of {}: {}: {:.0} commands/s", options.rounds, server.name, run.rate);
            runs.entry(server.name).or_default().push(run);
        }
    }
    println!(
        "\nisolation {}, {} sessions, {} s a run, median of {} runs",
        options.isolation.as_str(),
        options.sessions,
        options.seconds,
        options.rounds
    );
    match options.rate {
        None => println!("saturated: each session sends its next command when it has all that belongs to the last"),
        Some(rate) => println!("open loop: {rate} commands/s, latencies from when a command was due"),
    }
    print_table(median(&runs["host"]), median(&runs["bare"]));
    if options.idle > 0 {
        print_memory(options, &script).await;
    }
}

async fn record() -> Script {
    let host = start_host(1, Isolation::None).await;
    let server = host_server(&host);
    let mut socket = connect(server.address, server.path, 0).await.expect("a connection");
    let script = Script::working_day().record(&mut socket).await;
    for step in script.morning.iter().chain(&script.day) {
        let bytes: usize = step.frames.iter().map(String::len).sum();
        println!("  {:<16} {:>2} events, {bytes:>5} bytes", step.name, step.events());
    }
    script
}

async fn start_host(sessions: usize, isolation: Isolation) -> Host {
    let room = sessions + 100;
    Setup::new()
        .main(&format!("[limits]\nsessions = {room}\nconnections = {room}\ncommands_per_second = 0\nconnection_commands_per_second = 0\n[log]\nfilter = \"warn\""))
        .listener(&format!("max_connections = {}", room * 4))
        .tenant(Tenant::simulator("demo").isolation(isolation.as_str()))
        .start()
        .await
}

fn host_server(host: &Host) -> Server {
    let address = host.address.parse().expect("an address");
    Server { name: "host", address, path: "/v1/tenants/demo/ws", pid: host.pid() }
}

async fn measure(options: &Options, server: &Server, script: &Arc<Script>) -> Run {
    let settings = Drive {
        address: server.address,
        agents: "load".into(),
        paths: vec![server.path.into()],
        sessions: options.sessions,
        warm_up: Duration::from_secs(2),
        time: Duration::from_secs(options.seconds),
        rate: options.rate,
    };
    let mut used = Duration::ZERO;
    let measured = drive(
        &settings,
        script,
        || process::cpu_time_of_all(server.pid),
        |before| used = process::cpu_time_of_all(server.pid) - before,
    )
    .await;
    Run {
        rate: measured.rate(),
        cpu_per_command: used.div_f64(measured.commands.max(1) as f64),
        response: measured.response,
        last_event: measured.last_event,
    }
}

fn median(runs: &[Run]) -> &Run {
    let mut sorted: Vec<&Run> = runs.iter().collect();
    sorted.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    sorted[sorted.len() / 2]
}

fn print_table(host: &Run, bare: &Run) {
    println!("{:<34}{:>12}{:>12}{:>9}", "", "host", "bare", "ratio");
    let line = |name: &str, host: f64, bare: f64| println!("{name:<34}{host:>12.1}{bare:>12.1}{:>9.2}", host / bare);
    line("commands/s", host.rate, bare.rate);
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    line("CPU per command (us)", micros(host.cpu_per_command), micros(bare.cpu_per_command));
    for (what, host, bare) in
        [("response", &host.response, &bare.response), ("last event", &host.last_event, &bare.last_event)]
    {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let at = |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64 / 1e3;
            line(&format!("command to {what}, {name} (us)"), at(host), at(bare));
        }
    }
}

/// The bare server in a process of its own.
struct Bare {
    process: Child,
    address: SocketAddr,
    _folder: TempFolder,
}

impl Bare {
    fn start(script: &Script) -> Self {
        let folder = TempFolder::new();
        let file = folder.0.join("script.json");
        fs::write(&file, serde_json::to_string(script).expect("JSON")).expect("a file is written");
        let mut process =
            Command::new(process::OWN).arg("--bare").arg(&file).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("it says its port");
        let port: u16 = line.trim().parse().expect("a port");
        Self { process, address: ([127, 0, 0, 1], port).into(), _folder: folder }
    }

    fn server(&self) -> Server {
        Server { name: "bare", address: self.address, path: "/", pid: self.process.id() }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn print_memory(options: &Options, script: &Arc<Script>) {
    println!("\nmemory: {} logged-in idle sessions with one active channel each …", options.idle);
    let host = start_host(options.idle, options.isolation).await;
    let of_host = memory_per_session(options.idle, &host_server(&host), script).await;
    drop(host);
    // A bare server of its own, because the one before has memory left from the load.
    let bare = Bare::start(script);
    let of_bare = memory_per_session(options.idle, &bare.server(), script).await;
    println!("{:<34}{:>12}{:>12}{:>9}", "", "host", "bare", "ratio");
    println!("{:<34}{of_host:>12.1}{of_bare:>12.1}{:>9.2}", "memory a session (KiB, PSS)", of_host / of_bare);
}

/// What one more idle session costs, connection included: all but the first few hundred are counted.
async fn memory_per_session(idle: usize, server: &Server, script: &Arc<Script>) -> f64 {
    let first = (idle / 20).clamp(1, 200);
    let paths = [server.path.to_owned()];
    let _first_sessions = idle_sessions(0..first, server.address, &paths, &script.morning).await;
    let before = process::proportional_kib_of_all(server.pid);
    let _others = idle_sessions(first..idle, server.address, &paths, &script.morning).await;
    let after = process::proportional_kib_of_all(server.pid);
    println!("  {}: {before} KiB with {first} sessions, {after} KiB with {idle}", server.name);
    after.saturating_sub(before) as f64 / (idle - first).max(1) as f64
}
