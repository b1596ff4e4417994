//! Sessions that play the script and measure. The same code runs against the host and against the bare server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{Barrier, Semaphore, mpsc, oneshot},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::script::{Script, Step};

/// Connections that begin at the same time: as many as a machine takes without its queue of new ones overflowing.
const DOORS: usize = 64;

/// A client's connection.
pub type Socket = WebSocketStream<TcpStream>;

/// Whether a frame is an event; else it is a response. By its beginning: reading JSON would cost both servers' clients
/// more than they measure.
pub fn is_event(text: &str) -> bool {
    text.starts_with("{\"messageType\":\"objectEvent\"")
}

/// The next text frame; `None` when the connection has ended.
pub async fn next_text(socket: &mut Socket) -> Option<String> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Connects, from one of several loopback addresses, so that many connections do not run out of ports.
pub async fn connect(address: SocketAddr, path: &str, number: usize) -> Result<Socket, String> {
    let from = Ipv4Addr::new(127, 0, 0, 2 + (number / 5_000) as u8);
    let socket = TcpSocket::new_v4().and_then(|socket| socket.bind((from, 0).into()).map(|()| socket));
    let stream = socket.map_err(|e| e.to_string())?.connect(address).await.map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut request = format!("ws://{address}{path}").into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", "jackfield.v1".parse().expect("a value"));
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let connected = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    connected.map(|(socket, _)| socket).map_err(|error| error.to_string())
}

/// The targets that a session has learnt.
#[derive(Debug, Clone)]
pub struct Ids {
    agent: String,
    pub session: String,
    channel: String,
    interaction: String,
    conversation: String,
}

impl Ids {
    /// Nothing learnt yet.
    pub fn new(agent: &str) -> Self {
        let empty = String::new;
        Self { agent: agent.into(), session: empty(), channel: empty(), interaction: empty(), conversation: empty() }
    }

    /// The message of a step.
    pub fn fill(&self, message: &str, request: u64) -> String {
        let mut text = String::with_capacity(message.len() + 96);
        let mut rest = message;
        while let Some(at) = rest.find('{') {
            text.push_str(&rest[..at]);
            let value = match rest.get(at..at + 3) {
                Some("{A}") => Some(&self.agent),
                Some("{S}") => Some(&self.session),
                Some("{C}") => Some(&self.channel),
                Some("{I}") => Some(&self.interaction),
                Some("{V}") => Some(&self.conversation),
                Some("{R}") => {
                    text.push_str(&request.to_string());
                    rest = &rest[at + 3..];
                    continue;
                }
                _ => None,
            };
            let length = if let Some(value) = value {
                text.push_str(value);
                3
            } else {
                text.push('{');
                1
            };
            rest = &rest[at + length..];
        }
        text.push_str(rest);
        text
    }

    /// Learns the targets of new objects.
    pub fn learn(&mut self, text: &str) {
        let created = |kind: &str| text.contains(&format!("\"name\":\"{kind}.created\""));
        let kind = ["channel", "interaction", "conversation"].into_iter().find(|kind| created(kind));
        let is_login = !is_event(text) && text.contains("\"prepareSession\"");
        if kind.is_none() && !is_login {
            return;
        }
        let message: Value = serde_json::from_str(text).expect("JSON");
        let Some(kind) = kind else {
            self.session = message["data"]["session"]["id"].as_str().unwrap_or_default().to_owned();
            return;
        };
        let (target, id) = (message["target"].as_str(), message["data"][kind]["id"].as_str());
        let path = format!("{}.{}", target.unwrap_or_default(), id.unwrap_or_default());
        match kind {
            "channel" => self.channel = path,
            "interaction" => self.interaction = path,
            _ => self.conversation = path,
        }
    }
}

/// How a run went.
pub struct Measured {
    /// Commands that were answered while it was measured.
    pub commands: u64,
    /// How long it was measured.
    pub time: Duration,
    /// From a command to its response, in nanoseconds.
    pub response: Histogram<u64>,
    /// From a command to the last of its events.
    pub last_event: Histogram<u64>,
}

impl Measured {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds");
        Self { commands: 0, time: Duration::ZERO, response: histogram(), last_event: histogram() }
    }

    fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.time = self.time.max(other.time);
        self.response.add(&other.response).expect("the same bounds");
        self.last_event.add(&other.last_event).expect("the same bounds");
    }

    /// Commands a second.
    pub fn rate(&self) -> f64 {
        self.commands as f64 / self.time.as_secs_f64()
    }
}

/// How hard to drive.
#[derive(Debug, Clone)]
pub struct Drive {
    pub address: SocketAddr,
    /// What their agents' ids begin with: those of an earlier run have their sessions still.
    pub agents: String,
    /// Where the sessions connect, in turns.
    pub paths: Vec<String>,
    pub sessions: usize,
    pub warm_up: Duration,
    pub time: Duration,
    /// Commands a second, all sessions together; `None`: each session sends its next command when it has all that
    /// belongs to the one before.
    pub rate: Option<f64>,
}

/// Plays the script in many sessions. `started` runs when the warm-up is over, `ended` when the time is.
pub async fn drive<T>(
    drive: &Drive,
    script: &Arc<Script>,
    started: impl FnOnce() -> T,
    ended: impl FnOnce(T),
) -> Measured {
    let (measuring, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let ready = Arc::new(Barrier::new(drive.sessions + 1));
    let doors = Arc::new(Semaphore::new(DOORS));
    let (results, mut all) = mpsc::channel(drive.sessions);
    for number in 0..drive.sessions {
        let player = Player {
            drive: drive.clone(),
            script: script.clone(),
            measuring: measuring.clone(),
            stop: stop.clone(),
            doors: doors.clone(),
            number,
        };
        let (ready, results) = (ready.clone(), results.clone());
        tokio::spawn(async move {
            let measured = player.play(&ready).await;
            results.send(measured).await.expect("somebody counts");
        });
    }
    drop(results);
    ready.wait().await;
    tokio::time::sleep(drive.warm_up).await;
    measuring.store(true, Ordering::Relaxed);
    let (begun, token) = (Instant::now(), started());
    tokio::time::sleep(drive.time).await;
    measuring.store(false, Ordering::Relaxed);
    let time = begun.elapsed();
    ended(token);
    stop.store(true, Ordering::Relaxed);
    let mut sum = Measured::new();
    while let Some(measured) = all.recv().await {
        sum.add(&measured);
    }
    sum.time = time;
    sum
}

/// One session of a run.
struct Player {
    drive: Drive,
    script: Arc<Script>,
    measuring: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    doors: Arc<Semaphore>,
    number: usize,
}

impl Player {
    async fn play(self, ready: &Barrier) -> Measured {
        let (mut measured, mut request) = (Measured::new(), 0);
        let path = &self.drive.paths[self.number % self.drive.paths.len()];
        let door = self.doors.acquire().await.expect("never closed");
        let mut socket = connect(self.drive.address, path, self.number).await.expect("a connection");
        let mut ids = Ids::new(&format!("{}{}", self.drive.agents, self.number));
        for step in &self.script.morning {
            request += 1;
            play_step(&mut socket, step, &mut ids, request).await;
        }
        drop(door);
        ready.wait().await;
        // A fixed timetable for an open loop: a late answer makes the following commands late, and that is counted.
        let interval = self.drive.rate.map(|rate| Duration::from_secs_f64(self.drive.sessions as f64 / rate));
        let mut due = Instant::now();
        if let Some(interval) = interval {
            due += interval.mul_f64(self.number as f64 / self.drive.sessions as f64);
        }
        for step in self.script.day.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(interval) = interval {
                tokio::time::sleep_until(due.into()).await;
                due += interval;
            }
            let sent = interval.map_or_else(Instant::now, |interval| due - interval);
            request += 1;
            let (response, last) = play_step(&mut socket, step, &mut ids, request).await;
            if self.measuring.load(Ordering::Relaxed) {
                measured.commands += 1;
                let nanos = |at: Instant| at.saturating_duration_since(sent).as_nanos() as u64;
                measured.response.saturating_record(nanos(response));
                measured.last_event.saturating_record(nanos(last));
            }
        }
        measured
    }
}

/// Logs sessions in, in turns at these paths, and keeps their connections read until what is returned is dropped. They do
/// `morning` and then nothing.
pub async fn idle_sessions(
    numbers: std::ops::Range<usize>,
    address: SocketAddr,
    paths: &[String],
    morning: &[Step],
) -> oneshot::Sender<()> {
    let (keep, end) = oneshot::channel::<()>();
    let end = end.shared();
    let (logged_in, mut count) = mpsc::channel::<()>(1);
    let doors = Arc::new(Semaphore::new(DOORS));
    let morning: Arc<[Step]> = morning.into();
    for number in numbers {
        let door = doors.clone().acquire_owned().await.expect("never closed");
        let (morning, path) = (Arc::clone(&morning), paths[number % paths.len()].clone());
        let (logged_in, end) = (logged_in.clone(), end.clone());
        tokio::spawn(async move {
            let mut socket = logged_in_as(&format!("idle{number}"), address, &path, number, &morning).await;
            drop((door, logged_in, morning, path));
            // Reads on, so that the server's pings are answered.
            let read = async { while socket.next().await.is_some() {} };
            tokio::select! { () = read => {} _ = end => {} }
        });
    }
    drop(logged_in);
    // Comes back when the last session has let go of its sender.
    let _ = count.recv().await;
    keep
}

/// Logs sessions in whose desktops are gone when this comes back: they wait for them.
pub async fn left_sessions(numbers: std::ops::Range<usize>, address: SocketAddr, paths: &[String], morning: &[Step]) {
    let log_in = |number: usize| async move {
        let path = &paths[number % paths.len()];
        drop(logged_in_as(&format!("idle{number}"), address, path, number, morning).await);
    };
    futures_util::stream::iter(numbers).for_each_concurrent(DOORS, log_in).await;
}

/// Connects an agent's desktop that does `morning`.
pub async fn logged_in_as(agent: &str, address: SocketAddr, path: &str, number: usize, morning: &[Step]) -> Socket {
    let mut socket = connect(address, path, number).await.expect("a connection");
    let mut ids = Ids::new(agent);
    for (request, step) in (0..).zip(morning) {
        play_step(&mut socket, step, &mut ids, request).await;
    }
    socket
}

/// Sends a step's command and waits for all that belongs to it; when the response came, and when the last event.
pub async fn play_step(socket: &mut Socket, step: &Step, ids: &mut Ids, request: u64) -> (Instant, Instant) {
    let message = ids.fill(&step.message, request);
    socket.send(Message::text(message)).await.expect("the server takes it");
    let (mut response, mut events) = (None, step.events());
    let mut last = Instant::now();
    while response.is_none() || events > 0 {
        let Some(Ok(message)) = socket.next().await else { panic!("the server hung up in step {}", step.name) };
        let Message::Text(text) = message else { continue };
        let now = Instant::now();
        if step.learns {
            ids.learn(&text);
        }
        if is_event(&text) {
            events = events.checked_sub(1).unwrap_or_else(|| panic!("too many events in step {}: {text}", step.name));
            last = now;
        } else {
            assert!(text.contains("\"result\":\"success\""), "step {}: {text}", step.name);
            response = Some(now);
        }
    }
    let response = response.expect("the loop waits for it");
    (response, if step.events() == 0 { response } else { last })
}
