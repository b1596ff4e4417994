//! What the death of a worker costs: its agents, and those of another tenant.
//!
//! A thousand agents of one tenant have calls on a switch outside of their worker, and hold and retrieve them; the
//! worker is killed again and again. Measured is the time from a kill to the first command that succeeds, and to the
//! first of the last agent. Each desktop checks all that it is told. Agents of a second tenant work at a steady rate
//! before and during the kills.

#![forbid(unsafe_code)]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Parser;
use jackfield_tests::{
    artifacts,
    host::{Host, Setup, Tenant},
    load::{
        client::{Drive, Measured, connect, drive},
        desktop::{Desktop, Fault, Said},
        lines,
        process::children,
        script::Script,
    },
};
use tokio::sync::{Semaphore, watch};

/// Kills a worker in the middle of many agents' calls, and measures how soon they go on and what others notice.
#[derive(Debug, Clone, Parser)]
#[command(name = "kills", max_term_width = 100)]
struct Options {
    /// Agents with a call on the tenant whose worker is killed.
    #[arg(long, default_value_t = 1_000)]
    agents: usize,
    /// How often it is killed.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Seconds between two kills.
    #[arg(long, default_value_t = 6.0)]
    interval: f64,
    /// Commands a second of all these agents together.
    #[arg(long, default_value_t = 200.0)]
    pace: f64,
    /// Agents whose next command is sent right before each kill, so that it is in flight.
    #[arg(long, default_value_t = 32)]
    burst: usize,
    /// Sessions of the other tenant.
    #[arg(long, default_value_t = 16)]
    others: usize,
    /// Commands a second of the other tenant.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Seconds for which the other tenant is measured before the kills.
    #[arg(long, default_value_t = 30)]
    before: u64,
}

const KILLED: &str = "/v1/tenants/killed/ws";
const OTHER: &str = "/v1/tenants/other/ws";

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let switch = Switch::start();
    let room = options.agents + 100;
    let host = Setup::new()
        .main(&format!(
            "[limits]\nsessions = {room}\nconnections = {room}\ncommands_per_second = 0\nconnection_commands_per_second = 0\n[log]\nfilter = \"info\"\nformat = \"json\""
        ))
        .listener(&format!("max_connections = {}", room * 4))
        .tenant(
            Tenant::simulator("killed")
                .isolation("tenant")
                .settings(&format!("switch = \"{}\"", switch.address))
                .worker(&format!("crashes = {}", options.kills + 1)),
        )
        .tenant(Tenant::simulator("other").isolation("tenant"))
        .start()
        .await;
    let address: SocketAddr = host.address.parse().expect("an address");
    let mut socket = connect(address, OTHER, 0).await.expect("a connection");
    let script = Arc::new(Script::working_day().record(&mut socket).await);
    drop(socket);

    println!("{} agents log in and take a call each …", options.agents);
    let (state, crowd) = log_in(&options, address).await;
    println!("{} s without kills …", options.before);
    let before = others(&options, address, &script, "before", Duration::from_secs(options.before), || {}).await;
    println!("{} kills, one in {} s …", options.kills, options.interval);
    let all = Duration::from_secs_f64(options.interval * options.kills as f64);
    let killer = Mutex::new(None);
    let during = others(&options, address, &script, "during", all, || {
        let kills = kill_again_and_again(options.clone(), host.pid(), Arc::clone(&state));
        *killer.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(kills));
    })
    .await;
    let killer = killer.into_inner().unwrap_or_else(PoisonError::into_inner).expect("it was started");
    let kills = killer.await.expect("it ends");
    // The last kill's agents come back before they are asked to stop.
    tokio::time::sleep(Duration::from_secs_f64(options.interval)).await;
    state.phase.send_replace(Phase::Over);
    let mut faults: Vec<Fault> = Vec::new();
    let doors = Arc::new(Semaphore::new(32));
    let mut checks = Vec::new();
    for desktop in crowd {
        match desktop.await.expect("a desktop's task ends") {
            Err(fault) => faults.push(fault),
            Ok(desktop) => {
                let doors = Arc::clone(&doors);
                checks.push(tokio::spawn(async move {
                    let _door = doors.acquire().await;
                    desktop.agrees_with_a_snapshot(address, KILLED).await
                }));
            }
        }
    }
    for check in checks {
        faults.extend(check.await.expect("a check ends").err());
    }
    report(&options, &host, &state, &kills);
    print_others(&before, &during);
    if faults.is_empty() {
        println!("\nall {} desktops: connected throughout, each event once and legal, each command", options.agents);
        println!("answered once, each call there and as a new snapshot tells it");
    } else {
        for fault in faults.iter().take(20) {
            println!("FAULT: {fault}");
        }
        println!("{} desktops of {} have seen what they must not", faults.len(), options.agents);
        std::process::exit(1);
    }
}

/// What the desktops are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Work; so many kills are about to come, or came.
    Work {
        kills: usize,
    },
    Over,
}

/// What all desktops share.
struct State {
    phase: watch::Sender<Phase>,
    /// When the worker was killed, and who succeeded with a command after it when.
    kills: Mutex<Vec<Kill>>,
}

struct Kill {
    /// Right before the signal was sent; times count from here.
    at: Instant,
    /// Right after: what is sent from here on cannot be answered by the worker that was killed.
    done: Option<Instant>,
    time_of_day: Duration,
    back: Vec<Duration>,
    failed: usize,
}

impl State {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Kill>) -> T) -> T {
        work(&mut self.kills.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Crowd = Vec<tokio::task::JoinHandle<Result<Desktop, Fault>>>;

async fn log_in(options: &Options, address: SocketAddr) -> (Arc<State>, Crowd) {
    let state = Arc::new(State { phase: watch::Sender::new(Phase::Work { kills: 0 }), kills: Mutex::default() });
    let doors = Arc::new(Semaphore::new(32));
    let mut arriving = Vec::new();
    for number in 0..options.agents {
        let doors = Arc::clone(&doors);
        arriving.push(tokio::spawn(async move {
            let _door = doors.acquire().await;
            Desktop::in_a_call(address, KILLED, number).await
        }));
    }
    let mut crowd = Vec::new();
    for (number, desktop) in arriving.into_iter().enumerate() {
        let desktop = desktop.await.expect("a task ends").unwrap_or_else(|fault| panic!("{fault}"));
        crowd.push(tokio::spawn(work(desktop, number, options.clone(), Arc::clone(&state))));
    }
    (state, crowd)
}

/// One desktop at work until it is told that it is over.
async fn work(mut desktop: Desktop, number: usize, options: Options, state: Arc<State>) -> Result<Desktop, Fault> {
    let mut phase = state.phase.subscribe();
    let interval = Duration::from_secs_f64(options.agents as f64 / options.pace);
    let mut due = Instant::now() + interval.mul_f64(number as f64 / options.agents as f64);
    let (mut link_is_up, mut back_after) = (true, 0);
    loop {
        let is_over = *phase.borrow() == Phase::Over;
        if is_over && desktop.has_all_answers() && link_is_up {
            return Ok(desktop);
        }
        let may_send = link_is_up && desktop.has_all_answers() && !is_over;
        let mut now = false;
        tokio::select! {
            said = desktop.next() => match said? {
                Said::Link { up } => {
                    link_is_up = up;
                    now = up;
                }
                Said::Response { sent, code: None } => state.with(|kills| {
                    if back_after < kills.len() && kills.last().is_some_and(|kill| kill.done.is_some_and(|done| sent > done)) {
                        back_after = kills.len();
                        kills.iter_mut().last().into_iter().for_each(|kill| kill.back.push(kill.at.elapsed()));
                    }
                }),
                Said::Response { code: Some(code), .. } => {
                    if !["timeout", "adapter_failed", "link_down"].contains(&code.as_str()) {
                        return Err(format!("desk{number}: a command failed with {code}"));
                    }
                    state.with(|kills| kills.iter_mut().last().into_iter().for_each(|kill| kill.failed += 1));
                }
                Said::Event => {}
            },
            () = tokio::time::sleep_until(due.into()), if may_send => now = true,
            changed = phase.changed() => {
                changed.map_err(|error| error.to_string())?;
                now = number < options.burst;
            }
        }
        let is_over = *phase.borrow() == Phase::Over;
        if now && link_is_up && desktop.has_all_answers() && !is_over {
            due = (due + interval).max(Instant::now());
            desktop.toggle().await?;
        }
    }
}

/// Kills the tenant's worker at fixed intervals. Returns how often there was none to kill.
async fn kill_again_and_again(options: Options, host: u32, state: Arc<State>) -> usize {
    let interval = Duration::from_secs_f64(options.interval);
    let mut missed = 0;
    for number in 1..=options.kills {
        tokio::time::sleep(interval.mul_f64(if number == 1 { 0.5 } else { 1.0 })).await;
        let worker = children(host).into_iter().find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            name.starts_with("jackfield:killed:")
        });
        let Some(worker) = worker else {
            missed += 1;
            continue;
        };
        state.phase.send_replace(Phase::Work { kills: number });
        // Long enough for the commands to be sent, too short for most to be answered.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (at, time_of_day) = (Instant::now(), lines::now());
        let kill = Kill { at, done: None, time_of_day, back: Vec::new(), failed: 0 };
        state.with(|kills| kills.push(kill));
        let killed = Command::new("kill").args(["-KILL", &worker.to_string()]).status().expect("kill runs");
        assert!(killed.success(), "the worker is there to be killed");
        state.with(|kills| kills.iter_mut().last().into_iter().for_each(|kill| kill.done = Some(Instant::now())));
    }
    missed
}

async fn others(
    options: &Options,
    address: SocketAddr,
    script: &Arc<Script>,
    agents: &str,
    time: Duration,
    started: impl FnOnce(),
) -> Measured {
    let settings = Drive {
        address,
        agents: agents.to_owned(),
        paths: vec![OTHER.to_owned()],
        sessions: options.others,
        warm_up: Duration::from_secs(2),
        time,
        rate: Some(options.rate),
    };
    drive(&settings, script, started, |()| {}).await
}

fn report(options: &Options, host: &Host, state: &State, missed: &usize) {
    let log = lines::parse(&host.log());
    println!("\nms after the kill   noticed  started  connected  link up  first success  last agent   failed once");
    let mut columns: [Vec<f64>; 6] = Default::default();
    state.with(|kills| {
        for kill in kills.iter() {
            // The first line after the kill that says it of this tenant.
            let after = |message: &str| {
                let of_it = |line: &&lines::Line| {
                    line.message.starts_with(message)
                        && (line.fields["tenant"] == "killed" || line.fields["worker"] == "killed:simulator")
                };
                let times = log.iter().filter(of_it).map(|line| lines::between(kill.time_of_day, line.at));
                times.min().map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
            };
            let millis = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
            let row = [
                after("the worker died"),
                after("the worker is started"),
                after("the platform is connected"),
                after("the link to the platform is up"),
                millis(kill.back.iter().min()),
                millis(kill.back.iter().max()),
            ];
            let all_back = if kill.back.len() == options.agents { "" } else { " (not all came back)" };
            let [noticed, started, connected, up, first, last] = row;
            println!(
                "{:>27.1}{started:>9.1}{connected:>11.1}{up:>9.1}{first:>15.1}{last:>12.1}{:>14}{all_back}",
                noticed, kill.failed
            );
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
    });
    let mut median = columns.clone().map(|mut column| {
        column.sort_by(f64::total_cmp);
        (column[column.len() / 2], column[column.len() - 1])
    });
    let names = ["noticed", "started", "connected", "link up", "first success", "last agent's first success"];
    for (name, (p50, max)) in names.iter().zip(median.iter_mut()) {
        println!("{name:<28} p50 {p50:>8.1} ms   max {max:>8.1} ms");
    }
    if *missed > 0 {
        println!("{missed} times there was no worker to be killed");
    }
}

fn print_others(before: &Measured, during: &Measured) {
    println!("\n{:<34}{:>12}{:>12}{:>9}", "the other tenant", "before", "during", "ratio");
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let at = |measured: &Measured| measured.response.value_at_quantile(quantile) as f64 / 1e3;
        let name = format!("command to response, {name} (us)");
        println!("{name:<34}{:>12.1}{:>12.1}{:>9.2}", at(before), at(during), at(during) / at(before));
    }
}

/// The switch in a process of its own.
struct Switch {
    process: Child,
    address: String,
}

impl Switch {
    fn start() -> Self {
        let program = artifacts::folder().join("jackfield-simulator-switch");
        let mut process = Command::new(program).stdout(Stdio::piped()).spawn().expect("the switch starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("it says its address");
        let address = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Self { process, address }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
