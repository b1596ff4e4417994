//! The Asterisk Manager Interface (AMI), for the one thing that ARI cannot do: lines in `queue_log`.
//!
//! Owns: a connection beside ARI's, and the actions that wait for it. Actions are carried out one after the other, in the
//! order given. While there is no connection they wait, up to a bound; one that was not answered when the connection was
//! lost is sent again. Must never: be waited for by a call, or let text from outside become a line of the protocol.

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
    actions: mpsc::Sender<Action>,
    task: JoinHandle<()>,
}

impl Manager {
    pub(crate) fn start(address: Address) -> Self {
        let (actions, waiting) = mpsc::channel(WAITING);
        Self { actions, task: tokio::spawn(run(address, waiting)) }
    }

    /// Hands in a line. `false`: too many wait already, and it is lost.
    pub(crate) fn log(&self, line: QueueLogLine) -> bool {
        self.actions.try_send(Action::from(line)).is_ok()
    }

    /// Waits until all that was handed in is carried out, or there is no connection.
    pub(crate) async fn close(self) {
        drop(self.actions);
        let _ = self.task.await;
    }
}

/// Something to do for Asterisk: its name and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Action {
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl From<QueueLogLine> for Action {
    fn from(line: QueueLogLine) -> Self {
        let fields = line.data.iter().map(|field| plain(field)).collect::<Vec<_>>();
        Self {
            name: "QueueLog",
            fields: vec![
                ("Queue", plain(&line.queue)),
                ("Event", line.event.to_owned()),
                ("Uniqueid", plain(line.caller.as_deref().unwrap_or("NONE"))),
                ("Interface", plain(line.agent.as_deref().unwrap_or("NONE"))),
                ("Message", fields.join("|")),
            ],
        }
    }
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

async fn run(address: Address, mut actions: mpsc::Receiver<Action>) {
    let mut backoff = CONNECT_AGAIN;
    let mut unanswered = None;
    let mut why_not = String::new();
    loop {
        let lost = match open(&address).await {
            Ok(mut connection) => {
                tracing::info!("connected to Asterisk's manager interface");
                backoff.reset();
                why_not.clear();
                match serve(&mut connection, &mut actions, &mut unanswered).await {
                    Ok(()) => return,
                    Err(why) => why,
                }
            }
            Err(why) => why,
        };
        // Said once, and again when it is for another reason.
        if why_not != lost {
            tracing::warn!("no connection to Asterisk's manager interface, so nothing is written to queue_log: {lost}");
            why_not = lost;
        }
        if actions.is_closed() {
            return;
        }
        sleep(backoff.next_pause()).await;
    }
}

/// Carries out what comes until nothing more does. An error: the connection is over.
async fn serve(
    connection: &mut Connection,
    actions: &mut mpsc::Receiver<Action>,
    unanswered: &mut Option<Action>,
) -> Result<(), String> {
    let mut refused = false;
    loop {
        if unanswered.is_none() {
            *unanswered = tokio::select! {
                action = actions.recv() => match action {
                    None => return Ok(()),
                    action => action,
                },
                lost = connection.idle() => return Err(lost),
            };
        }
        if let Some(action) = unanswered.as_ref() {
            let answer = connection.act(action).await?;
            if let (Some(why), false) = (&answer, refused) {
                tracing::warn!(
                    "Asterisk's manager interface refuses {}, so nothing is written to queue_log: {why} (app_queue must be \
                     loaded, the user have write = agent)",
                    action.name
                );
            }
            refused = answer.is_some();
            *unanswered = None;
        }
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
        match connection.act(&Action { name: "Login", fields }).await? {
            None => Ok(connection),
            Some(why) => Err(format!("{why} (manager.conf)")),
        }
    };
    let within = timeout(PATIENCE, connect).await.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    within.map_err(|why| format!("{}: {why}", address.authority))
}

impl Connection {
    /// Carries out one action. `Some`: refused, and why.
    async fn act(&mut self, action: &Action) -> Result<Option<String>, String> {
        timeout(PATIENCE, self.ask(action)).await.unwrap_or_else(|_| Err("it does not answer".to_owned()))
    }

    async fn ask(&mut self, action: &Action) -> Result<Option<String>, String> {
        self.last += 1;
        let frame = action.frame(self.last);
        self.stream.write_all(frame.as_bytes()).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())?;
        let id = self.last.to_string();
        loop {
            let (mut is_ours, mut response, mut message) = (false, None, String::new());
            loop {
                let line = self.line().await?;
                if line.is_empty() {
                    break;
                }
                match line.split_once(": ") {
                    Some(("ActionID", value)) => is_ours = value == id,
                    Some(("Response", value)) => response = Some(value.to_owned()),
                    Some(("Message", value)) => value.clone_into(&mut message),
                    _ => {}
                }
            }
            if let Some(response) = response.filter(|_| is_ours) {
                return Ok((response != "Success").then_some(message));
            }
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
            Action::from(line).frame(7),
            "Action: QueueLog\r\nActionID: 7\r\nQueue: sales\r\nEvent: ENTERQUEUE\r\nUniqueid: NONE\r\n\
             Interface: anna  Action: Originate\r\nMessage: |5 5|1\r\n\r\n"
        );
    }
}
