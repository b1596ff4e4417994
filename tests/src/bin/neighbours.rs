//! What one tenant feels of another, in one run: the response times of a quiet tenant alone, beside one that offers ten
//! times what it may send, and beside one that sends all that it may. The flood comes from the same machine, so it is
//! measured, too, how it is felt when it goes to another server: to sockets that nobody reads. Each round measures all on
//! the same host in turns; what counts are the ratios to the same round's first.

#![forbid(unsafe_code)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use jackfield_tests::{
    host::{Host, Setup, Tenant},
    load::{
        client::{Drive, Ids, Measured, Socket, connect, drive, play_step},
        script::Script,
    },
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::Role};

/// Measures what a quiet tenant feels of a noisy one.
#[derive(Debug, Parser)]
#[command(name = "neighbours", max_term_width = 100)]
struct Options {
    /// Sessions of the quiet tenant.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// Commands a second that they send, all together.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Commands a second that the noisy tenant may send.
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
    /// Sessions of the noisy tenant.
    #[arg(long, default_value_t = 50)]
    noisy_sessions: usize,
    /// Bytes that fill each command of the noisy tenant when it floods.
    #[arg(long, default_value_t = 0)]
    filler: usize,
    /// Seconds that each is measured for.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// How many times its limit the noisy tenant offers when it floods.
const FLOOD: f64 = 10.0;
/// The part of its limit that it sends when it keeps to it: none of its commands may be refused.
const WITHIN: f64 = 0.95;
const WARM_UP: Duration = Duration::from_secs(2);
/// How long what a flood has used up takes to be there again.
const SETTLE: Duration = Duration::from_secs(3);

const PHASES: [&str; 4] = ["alone", "a flood elsewhere", "ten times its limit", "within its limit"];
/// What is felt of the generator of the flood, and of the flood.
const ELSEWHERE: usize = 1;
const FLOODED: usize = 2;
const WITHIN_LIMIT: usize = 3;

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let host = host(&options).await;
    let address: SocketAddr = host.address.parse().expect("an address");
    let mut recorder = connect(address, &path("quiet"), 0).await.expect("a connection");
    let script = Arc::new(Script::working_day().record(&mut recorder).await);
    let mut figures: Vec<[(f64, f64); PHASES.len()]> = Vec::new();
    for round in 1..=options.rounds {
        let mut measured = Vec::new();
        for (at, phase) in PHASES.into_iter().enumerate() {
            println!("round {round} of {}: {phase} …", options.rounds);
            tokio::time::sleep(SETTLE).await;
            let run = |tenant: &str, sessions, rate| Drive {
                address,
                agents: format!("{tenant}-{round}-{at}-"),
                paths: vec![path(tenant)],
                sessions,
                warm_up: WARM_UP,
                time: Duration::from_secs(options.seconds),
                rate: Some(rate),
            };
            let quiet = run("quiet", options.sessions, options.rate);
            let quiet = drive(&quiet, &script, || (), |()| ());
            let quiet = match at {
                ELSEWHERE => {
                    let (sessions, _ends) = unread(&options).await;
                    let _flood = flood(&options, sessions);
                    quiet.await
                }
                FLOODED => {
                    let _flood = flood(&options, noisy_sessions(&options, address, &script, round).await);
                    quiet.await
                }
                WITHIN_LIMIT => {
                    let noisy = run("noisy", options.noisy_sessions, f64::from(options.limit) * WITHIN);
                    tokio::join!(quiet, drive(&noisy, &script, || (), |()| ())).0
                }
                _ => quiet.await,
            };
            measured.push(quantiles(&quiet));
        }
        figures.push(measured.try_into().expect("one for each"));
    }
    print(&options, &figures);
    let limited = host.metric("jackfield_limited_total{limit=\"commands_per_second\",tenant=\"noisy\"}").await;
    println!("commands of the noisy tenant that were refused: {limited}");
}

/// A host with both tenants; only the noisy one has a bound.
async fn host(options: &Options) -> Host {
    let all = options.rounds * PHASES.len() * options.sessions.max(options.noisy_sessions) + 100;
    let limit = options.limit;
    Setup::new()
        .main(&format!(
            "[limits]\nsessions = {all}\nconnections = {all}\nlogins_per_second = {all}\nconnection_commands_per_second = 0\n\
             [log]\nfilter = \"warn,audit=off\""
        ))
        .listener(&format!("max_connections = {}", all * 4))
        .tenant(Tenant::simulator("quiet").isolation("tenant").limits("commands_per_second = 0"))
        .tenant(
            Tenant::simulator("noisy")
                .isolation("tenant")
                .limits(&format!("commands_per_second = {limit}\ncommands_burst = {limit}")),
        )
        .start()
        .await
}

fn path(tenant: &str) -> String {
    format!("/v1/tenants/{tenant}/ws")
}

/// The noisy tenant's agents, logged in.
async fn noisy_sessions(
    options: &Options,
    address: SocketAddr,
    script: &Script,
    round: usize,
) -> Vec<(Socket, String)> {
    let mut sessions = Vec::new();
    for number in 0..options.noisy_sessions {
        let mut socket = connect(address, &path("noisy"), number).await.expect("a connection");
        let mut ids = Ids::new(&format!("flood-{round}-{number}"));
        for (request, step) in (0..).zip(&script.morning) {
            play_step(&mut socket, step, &mut ids, request).await;
            // A log-in is a command, too, and none may be refused yet.
            tokio::time::sleep(Duration::from_secs_f64(2.0 / f64::from(options.limit))).await;
        }
        sessions.push((socket, ids.session));
    }
    sessions
}

/// As many connections to a server that never reads, and its ends of them.
async fn unread(options: &Options) -> (Vec<(Socket, String)>, Vec<TcpStream>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (mut sessions, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..options.noisy_sessions {
        let stream = TcpStream::connect(address).await.expect("a connection");
        ends.push(listener.accept().await.expect("its other end").0);
        sessions.push((Socket::from_raw_socket(stream, Role::Client, None).await, path("noisy")));
    }
    (sessions, ends)
}

/// Sends more than the noisy tenant may, until this is dropped. What is not read is not sent.
fn flood(options: &Options, sessions: Vec<(Socket, String)>) -> JoinSet<()> {
    let mut flooding = JoinSet::new();
    let pause = Duration::from_secs_f64(options.noisy_sessions as f64 / (FLOOD * f64::from(options.limit)));
    let filler = "x".repeat(options.filler);
    for (socket, session) in sessions {
        let message = json!({"command": "channel.request.nothing", "target": session, "data": {"filler": filler}});
        let message = Utf8Bytes::from(message.to_string());
        let (mut write, mut read) = socket.split();
        flooding.spawn(async move { while let Some(Ok(_)) = read.next().await {} });
        flooding.spawn(async move {
            let mut clock = tokio::time::interval(pause);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                if write.send(Message::Text(message.clone())).await.is_err() {
                    return;
                }
            }
        });
    }
    flooding
}

/// p50 and p99 of the responses, in milliseconds.
fn quantiles(measured: &Measured) -> (f64, f64) {
    let at = |quantile| measured.response.value_at_quantile(quantile) as f64 / 1e6;
    (at(0.5), at(0.99))
}

fn print(options: &Options, figures: &[[(f64, f64); PHASES.len()]]) {
    println!(
        "\n{} sessions with {} commands/s; the neighbour may send {} commands/s in {} sessions; {} s each, medians of {} rounds",
        options.sessions, options.rate, options.limit, options.noisy_sessions, options.seconds, options.rounds
    );
    println!("{:<24}{:>12}{:>12}{:>14}", "neighbour", "p50 (ms)", "p99 (ms)", "p99 / alone");
    for (at, phase) in PHASES.into_iter().enumerate() {
        let p50 = median(figures.iter().map(|round| round[at].0));
        let p99 = median(figures.iter().map(|round| round[at].1));
        let ratio = median(figures.iter().map(|round| round[at].1 / round[0].1));
        println!("{phase:<24}{p50:>12.2}{p99:>12.2}{ratio:>14.2}");
    }
    let felt = median(figures.iter().map(|round| round[FLOODED].1 / round[ELSEWHERE].1));
    println!("p99 beside ten times its limit, of that beside a flood elsewhere: {felt:.2}");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
