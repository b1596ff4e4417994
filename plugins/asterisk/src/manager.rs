//! The Asterisk Manager Interface (AMI), for what ARI cannot do: lines in `queue_log`, `app_queue`, `app_voicemail`,
//! the parking lot, and entries in Asterisk's own database (AstDB).
//!
//! Owns: a connection beside ARI's, and the orders that wait for it. They are carried out one after the other, as they
//! came. While there is no connection they wait, up to a bound; one that was not answered when the connection was lost is
//! sent again. Must never: be waited for by a call, or let text from outside become a line of the protocol.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Backoff, tracing};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    ari::tls::{self, Stream},
    switch::QueueLogLine,
};

/// How many actions may wait: a quarter of an hour without a connection at five lines a second.
const WAITING: usize = 4096;
/// How many news may wait: more than one for each list that all agents of a tenant ask for at once.
const NEWS: usize = 1024;
/// The most lines that an answer may have.
const LONGEST_ANSWER: usize = 1 << 20;
const CONNECT_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// How long Asterisk may take for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line that is read.
const LONGEST_LINE: u64 = 16 << 10;

/// Where the manager interface is, and as whom we come.
#[derive(Clone)]
pub(crate) struct Address {
    /// Host and port.
    pub(crate) authority: String,
    /// Encrypts the way there; `None`: in the clear.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The way to the manager interface.
pub(crate) struct Manager {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Writes a line.
    Log(QueueLogLine),
    /// Makes an agent a member of a queue of `app_queue`.
    Add { queue: String, interface: String, name: String, state_interface: String, paused: bool },
    /// Ends that.
    Remove { queue: String, interface: String },
    /// Pauses a member for a reason, or lets it go on.
    Pause { queue: String, interface: String, reason: Option<String> },
    /// Asks for all queues; the number comes back with the answer.
    Status(u64),
    /// Asks for a mailbox of `app_voicemail`; so does its number.
    Mailbox { id: u64, mailbox: Mailbox },
    /// Asks for all parked calls.
    Parked(u64),
    /// Asks for a variable of a channel that is not ours, by the channel's name.
    Variable { id: u64, channel: String, name: String },
    /// Writes an entry into AstDB. A number: comes back when that is done.
    Keep { id: Option<u64>, family: String, key: String, value: String },
    /// Removes an entry from AstDB, and all below it.
    Forget { id: Option<u64>, family: String, key: String },
    /// Asks for all entries of a family of AstDB.
    Kept { family: String },
}

/// The longest value that [`Order::Keep`] can carry, in bytes: the interface takes no line of more than 1024.
pub(crate) const LONGEST_VALUE: usize = 1000;

/// A call that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParkedCall {
    /// The number where it is.
    pub(crate) space: String,
    pub(crate) channel_id: String,
    /// The channel's name.
    pub(crate) channel: String,
    /// Who it is; empty where that is not known.
    pub(crate) number: String,
    pub(crate) name: String,
    /// For how long it is there.
    pub(crate) seconds: u64,
}

/// A mailbox of `app_voicemail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: String,
    pub(crate) context: String,
}

impl Mailbox {
    /// Reads `NAME@CONTEXT`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (name, context) = text.split_once('@')?;
        let is_word = |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "@,".contains(c));
        (is_word(name) && is_word(context)).then(|| Self { name: name.to_owned(), context: context.to_owned() })
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.context)
    }
}

/// How many messages are in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Messages {
    /// Nobody has heard them yet.
    pub(crate) new: u64,
    pub(crate) old: u64,
}

/// What is heard.
#[derive(Debug)]
pub(crate) enum News {
    /// There is a connection.
    Up,
    /// There is none any more.
    Down,
    /// How the queues of `app_queue` are; what was asked for comes once, also if nothing is known.
    Queues { id: u64, queues: Vec<QueueStatus> },
    /// What is in a mailbox, or why that is not known, in Asterisk's words.
    Mailbox { id: u64, mailbox: Mailbox, messages: Result<Messages, String> },
    /// What is parked, or why that is not known.
    Parked { id: u64, calls: Result<Vec<ParkedCall>, String> },
    /// A variable; empty where there is none.
    Variable { id: u64, name: String, value: String },
    /// An entry of AstDB is written or removed, or why not.
    Stored { id: u64, done: Result<(), String> },
    /// The entries of a family of AstDB by their keys in it, or why they are not known.
    Kept { entries: Result<Vec<(String, String)>, String> },
}

/// A queue of `app_queue`.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueStatus {
    pub(crate) name: String,
    pub(crate) waiting: u64,
    pub(crate) longest_wait_seconds: Option<u64>,
    pub(crate) completed: u64,
    pub(crate) abandoned: u64,
    pub(crate) service_level_seconds: u64,
    pub(crate) service_level_percent: f64,
    pub(crate) members: Vec<Member>,
}

/// A member of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) interface: String,
    pub(crate) state_interface: String,
    /// Of its device, in Asterisk's numbers.
    pub(crate) status: u64,
    pub(crate) paused: bool,
    /// Calls that it took.
    pub(crate) taken: u64,
}

impl Manager {
    pub(crate) fn start(address: Address) -> (Self, mpsc::Receiver<News>) {
        let (orders, waiting) = mpsc::channel(WAITING);
        let (news, heard) = mpsc::channel(NEWS);
        (Self { orders, task: tokio::spawn(run(address, waiting, news)) }, heard)
    }

    /// Hands in an order. `false`: too many wait already, and it is lost.
    pub(crate) fn send(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Waits until all that was handed in is carried out, or there is no connection.
    pub(crate) async fn close(self) {
        drop(self.orders);
        let _ = self.task.await;
    }
}

/// An order in the words of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Action {
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl From<&Order> for Action {
    fn from(order: &Order) -> Self {
        let yes_no = |yes: bool| if yes { "true" } else { "false" }.to_owned();
        let (name, fields) = match order {
            Order::Log(line) => {
                let data = line.data.iter().map(|field| plain(field)).collect::<Vec<_>>();
                let fields = vec![
                    ("Queue", plain(&line.queue)),
                    ("Event", line.event.to_owned()),
                    ("Uniqueid", plain(line.caller.as_deref().unwrap_or("NONE"))),
                    ("Interface", plain(line.agent.as_deref().unwrap_or("NONE"))),
                    ("Message", data.join("|")),
                ];
                ("QueueLog", fields)
            }
            Order::Add { queue, interface, name, state_interface, paused } => {
                let fields = vec![
                    ("Queue", plain(queue)),
                    ("Interface", plain(interface)),
                    ("MemberName", plain(name)),
                    ("StateInterface", plain(state_interface)),
                    ("Paused", yes_no(*paused)),
                ];
                ("QueueAdd", fields)
            }
            Order::Remove { queue, interface } => {
                ("QueueRemove", vec![("Queue", plain(queue)), ("Interface", plain(interface))])
            }
            Order::Pause { queue, interface, reason } => {
                let mut fields = vec![("Queue", plain(queue)), ("Interface", plain(interface))];
                fields.push(("Paused", yes_no(reason.is_some())));
                fields.extend(reason.as_deref().filter(|reason| !reason.is_empty()).map(|it| ("Reason", plain(it))));
                ("QueuePause", fields)
            }
            Order::Status(_) => ("QueueStatus", Vec::new()),
            Order::Parked(_) => ("ParkedCalls", Vec::new()),
            Order::Variable { channel, name, .. } => {
                ("Getvar", vec![("Channel", plain(channel)), ("Variable", plain(name))])
            }
            Order::Keep { family, key, value, .. } => {
                ("DBPut", vec![("Family", plain(family)), ("Key", plain(key)), ("Val", one_line(value))])
            }
            Order::Forget { family, key, .. } => ("DBDelTree", vec![("Family", plain(family)), ("Key", plain(key))]),
            Order::Kept { family } => ("DBGetTree", vec![("Family", plain(family))]),
            Order::Mailbox { mailbox, .. } => {
                ("VoicemailUserStatus", vec![("Context", plain(&mailbox.context)), ("Mailbox", plain(&mailbox.name))])
            }
        };
        Self { name, fields }
    }
}

/// A text that stays one line of the protocol.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// A text as one field of a line of `queue_log`, which a `|` or an end of line would break.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control() || c == '|', " ").trim().to_owned()
}

impl Action {
    fn frame(&self, id: u64) -> String {
        let mut frame = format!("Action: {}\r\nActionID: {id}\r\n", self.name);
        for (name, value) in &self.fields {
            frame.push_str(&format!("{name}: {value}\r\n"));
        }
        frame.push_str("\r\n");
        frame
    }
}

async fn run(address: Address, mut orders: mpsc::Receiver<Order>, news: mpsc::Sender<News>) {
    let mut backoff = CONNECT_AGAIN;
    let mut unanswered = None;
    let mut why_not = String::new();
    loop {
        let lost = match open(&address).await {
            Ok(mut connection) => {
                tracing::info!("connected to Asterisk's manager interface");
                backoff.reset();
                why_not.clear();
                let _ = news.try_send(News::Up);
                let ended = serve(&mut connection, &mut orders, &mut unanswered, &news).await;
                let _ = news.try_send(News::Down);
                match ended {
                    Ok(()) => return,
                    Err(why) => why,
                }
            }
            Err(why) => why,
        };
        // Said once, and again when it is for another reason.
        if why_not != lost {
            tracing::warn!("no connection to Asterisk's manager interface: {lost}");
            why_not = lost;
        }
        if orders.is_closed() {
            return;
        }
        sleep(backoff.next_pause()).await;
    }
}

/// Carries out what comes until nothing more does. An error: the connection is over.
async fn serve(
    connection: &mut Connection,
    orders: &mut mpsc::Receiver<Order>,
    unanswered: &mut Option<Order>,
    news: &mpsc::Sender<News>,
) -> Result<(), String> {
    let mut refused = false;
    loop {
        if unanswered.is_none() {
            *unanswered = tokio::select! {
                order = orders.recv() => match order {
                    None => return Ok(()),
                    order => order,
                },
                lost = connection.idle() => return Err(lost),
            };
        }
        let Some(order) = unanswered.as_ref() else { continue };
        let action = Action::from(order);
        let answer = connection.act(&action).await?;
        if !answer.as_ref().is_err_and(|why| is_expected(order, why)) {
            if let (Err(why), false) = (&answer, refused) {
                let queue = action.fields.iter().find(|(name, _)| *name == "Queue").map_or("", |(_, value)| value);
                tracing::warn!(
                    "Asterisk's manager interface refuses {} {queue}: {why} (the user must have write = {})",
                    action.name,
                    right(order)
                );
            }
            refused = answer.is_err();
        }
        match order {
            Order::Status(id) => {
                let _ = news.try_send(News::Queues { id: *id, queues: statuses(&answer.unwrap_or_default()) });
            }
            Order::Mailbox { id, mailbox } => {
                let messages = answer.and_then(|events| messages(&events));
                let _ = news.try_send(News::Mailbox { id: *id, mailbox: mailbox.clone(), messages });
            }
            Order::Parked(id) => {
                let calls = answer.map(|events| parked_calls(&events));
                let _ = news.try_send(News::Parked { id: *id, calls });
            }
            Order::Variable { id, name, .. } => {
                let answer = answer.unwrap_or_default();
                let value = answer.first().map_or("", |answer| field(answer, "Value")).to_owned();
                let _ = news.try_send(News::Variable { id: *id, name: name.clone(), value });
            }
            // Somebody waits for these until they are told.
            Order::Keep { id: Some(id), .. } | Order::Forget { id: Some(id), .. } => {
                let _ = news.send(News::Stored { id: *id, done: answer.map(drop) }).await;
            }
            Order::Kept { family } => {
                let entries = answer.map(|events| entries(family, &events));
                let _ = news.send(News::Kept { entries }).await;
            }
            _ => {}
        }
        *unanswered = None;
    }
}

/// Whether a refusal is no fault: members are added and removed without knowing whether Asterisk has them, and these are its
/// words if it has them, or not; who asks for something is told himself.
fn is_expected(order: &Order, why: &str) -> bool {
    match order {
        Order::Add { .. } => why.contains("Already there"),
        Order::Remove { .. } => why.contains("Not there"),
        Order::Forget { .. } => why.contains(NOT_THERE),
        Order::Mailbox { .. } | Order::Parked(_) | Order::Variable { .. } | Order::Keep { .. } | Order::Kept { .. } => {
            true
        }
        _ => false,
    }
}

/// What Asterisk says of an entry of AstDB that is not there.
pub(crate) const NOT_THERE: &str = "entry not found";

/// What the user of `manager.conf` must be allowed to write for an order.
const fn right(order: &Order) -> &'static str {
    if matches!(order, Order::Forget { .. }) { "system" } else { "agent" }
}

/// One message: fields and their values.
type Fields = Vec<(String, String)>;

fn field<'a>(message: &'a Fields, name: &str) -> &'a str {
    message.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
}

/// The queues of an answer, each before its members and callers.
fn statuses(events: &[Fields]) -> Vec<QueueStatus> {
    let mut queues: Vec<QueueStatus> = Vec::new();
    for event in events {
        let text = |name| field(event, name).to_owned();
        let number = |name| field(event, name).parse().unwrap_or(0);
        let queue = queues.iter_mut().rfind(|queue| queue.name == field(event, "Queue"));
        match (field(event, "Event"), queue) {
            ("QueueParams", _) => queues.push(QueueStatus {
                name: text("Queue"),
                waiting: number("Calls"),
                longest_wait_seconds: None,
                completed: number("Completed"),
                abandoned: number("Abandoned"),
                service_level_seconds: number("ServiceLevel"),
                service_level_percent: field(event, "ServicelevelPerf").parse().unwrap_or(0.0),
                members: Vec::new(),
            }),
            ("QueueMember", Some(queue)) => queue.members.push(Member {
                name: text("Name"),
                interface: text("Location"),
                state_interface: text("StateInterface"),
                status: number("Status"),
                paused: number("Paused") != 0,
                taken: number("CallsTaken"),
            }),
            ("QueueEntry", Some(queue)) => {
                queue.longest_wait_seconds = queue.longest_wait_seconds.max(Some(number("Wait")));
            }
            _ => {}
        }
    }
    queues
}

fn parked_calls(events: &[Fields]) -> Vec<ParkedCall> {
    let calls = events.iter().filter(|event| field(event, "Event") == "ParkedCall");
    let known = |event, name| Some(field(event, name)).filter(|it| *it != "<unknown>").unwrap_or_default().to_owned();
    let call = |event| ParkedCall {
        space: known(event, "ParkingSpace"),
        channel_id: known(event, "ParkeeUniqueid"),
        channel: known(event, "ParkeeChannel"),
        number: known(event, "ParkeeCallerIDNum"),
        name: known(event, "ParkeeCallerIDName"),
        seconds: field(event, "ParkingDuration").parse().unwrap_or_default(),
    };
    calls.map(call).collect()
}

/// The entries of an answer that are in a family, whose name Asterisk takes for a pattern.
fn entries(family: &str, events: &[Fields]) -> Vec<(String, String)> {
    let prefix = format!("/{family}/");
    let entries = events.iter().filter_map(|event| Some((field(event, "Key").strip_prefix(&prefix)?, event)));
    entries.map(|(key, event)| (key.to_owned(), field(event, "Val").to_owned())).collect()
}

/// What is in the mailbox of an answer.
fn messages(events: &[Fields]) -> Result<Messages, String> {
    let mailbox = events.iter().find(|event| field(event, "Event") == "VoicemailUserDetail");
    let count = |name| mailbox.and_then(|event| field(event, name).parse().ok());
    match (count("NewMessageCount"), count("OldMessageCount")) {
        (Some(new), Some(old)) => Ok(Messages { new, old }),
        _ => Err("the answer does not say how many messages there are".to_owned()),
    }
}

struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    last: u64,
}

async fn open(address: &Address) -> Result<Connection, String> {
    let connect = async {
        let stream = TcpStream::connect(&address.authority).await.map_err(|error| error.to_string())?;
        let stream: Box<dyn Stream> = match &address.tls {
            Some(config) => {
                let host = address.authority.rsplit_once(':').map_or(&*address.authority, |(host, _)| host);
                tls::encrypt(config.clone(), host, stream).await?
            }
            None => Box::new(stream),
        };
        let mut connection = Connection { stream: BufReader::new(stream), last: 0 };
        let banner = connection.line().await?;
        if !banner.starts_with("Asterisk Call Manager/") {
            return Err("this is not a manager interface".to_owned());
        }
        let fields = vec![
            ("Username", plain(&address.user)),
            // May contain anything but an end of line.
            ("Secret", address.password.replace(['\r', '\n'], "")),
            ("Events", "off".to_owned()),
        ];
        connection.act(&Action { name: "Login", fields }).await?.map_err(|why| format!("{why} (manager.conf)"))?;
        // Asterisk lets managers in before it has loaded all modules, and app_queue does what we ask for.
        connection
            .act(&Action::from(&Order::Status(0)))
            .await?
            .map_err(|why| format!("{why} (app_queue must be loaded)"))?;
        Ok(connection)
    };
    let within = timeout(PATIENCE, connect).await.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    within.map_err(|why| format!("{}: {why}", address.authority))
}

impl Connection {
    /// Carries out one action, and answers the events that belong to it, or the one message if there are none; the inner
    /// error: refused, and why.
    async fn act(&mut self, action: &Action) -> Result<Result<Vec<Fields>, String>, String> {
        timeout(PATIENCE, self.ask(action)).await.unwrap_or_else(|_| Err("it does not answer".to_owned()))
    }

    async fn ask(&mut self, action: &Action) -> Result<Result<Vec<Fields>, String>, String> {
        self.last += 1;
        let frame = action.frame(self.last);
        self.stream.write_all(frame.as_bytes()).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())?;
        let id = self.last.to_string();
        let (mut events, mut lines) = (Vec::new(), 0);
        loop {
            let message = self.message().await?;
            lines += message.len();
            if lines > LONGEST_ANSWER {
                return Err("an answer does not end".to_owned());
            }
            if field(&message, "ActionID") != id {
                continue;
            }
            match (field(&message, "Response"), field(&message, "EventList")) {
                ("", "Complete") => return Ok(Ok(events)),
                ("", _) => events.push(message),
                ("Success", "start") => {}
                ("Success", _) => {
                    events.push(message);
                    return Ok(Ok(events));
                }
                _ => return Ok(Err(field(&message, "Message").to_owned())),
            }
        }
    }

    async fn message(&mut self) -> Result<Fields, String> {
        let mut message = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() || message.len() > LONGEST_ANSWER {
                return Ok(message);
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            message.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LONGEST_LINE);
        bounded.read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
        if line.pop() != Some(b'\n') {
            return Err("the connection was closed".to_owned());
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
    }

    /// Waits while nobody wants anything, until the connection is over. What Asterisk says meanwhile does not matter.
    async fn idle(&mut self) -> String {
        loop {
            let read = match self.stream.fill_buf().await {
                Ok(read) => read.len(),
                Err(error) => return error.to_string(),
            };
            if read == 0 {
                return "the connection was closed".to_owned();
            }
            self.stream.consume(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_one_field() {
        let line = QueueLogLine {
            queue: "sales".to_owned(),
            event: "ENTERQUEUE",
            caller: None,
            agent: Some("anna\r\nAction: Originate".to_owned()),
            data: vec![String::new(), "5|5".to_owned(), "1".to_owned()],
        };
        assert_eq!(
            Action::from(&Order::Log(line)).frame(7),
            "Action: QueueLog\r\nActionID: 7\r\nQueue: sales\r\nEvent: ENTERQUEUE\r\nUniqueid: NONE\r\n\
             Interface: anna  Action: Originate\r\nMessage: |5 5|1\r\n\r\n"
        );
    }
}
