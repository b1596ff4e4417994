//! The working day of one agent as a list of steps, and what a host answers to each.

use futures_util::SinkExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Ids, Socket, is_event, next_text};

/// One command and what comes back for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// What it is called in the tables of results.
    pub name: String,
    /// The message, with `{A}` for the agent, `{S}`, `{C}`, `{I}`, `{V}` for the targets of session, channel,
    /// interaction and conversation, and `{R}` for the number of the request.
    pub message: String,
    /// Whether targets are to be learnt from what comes back.
    pub learns: bool,
    /// The frames that came back when it was recorded.
    pub frames: Vec<String>,
}

impl Step {
    fn new(name: &str, command: &str, target: &str, data: &str) -> Self {
        let target = if target.is_empty() { String::new() } else { format!("\"target\":\"{target}\",") };
        let message = format!("{{\"command\":\"{command}\",{target}\"data\":{data},\"requestId\":{{R}}}}");
        let learns = matches!(name, "prepare" | "add chat" | "add channel" | "chat" | "inbound" | "dial");
        Self { name: name.into(), message, learns, frames: Vec::new() }
    }

    /// How many events follow from it.
    pub fn events(&self) -> usize {
        self.frames.iter().filter(|frame| is_event(frame)).count()
    }
}

/// What an agent does once, and what it does again and again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script {
    /// Log in, one channel, active.
    pub morning: Vec<Step>,
    /// Two calls, one in and one out.
    pub day: Vec<Step>,
}

impl Script {
    /// The working day, not recorded yet.
    pub fn working_day() -> Self {
        let login = r#"{"model":"load","override":false,"agent":{"id":"{A}","password":"secret"}}"#;
        let channel = r#"{"channel":{"endpoint":"{A}","type":"Telephony"}}"#;
        let inbound = r#"{"type":"Telephony","from":"+15550100","data":{"account":"4711"}}"#;
        Self {
            morning: vec![
                Step::new("prepare", "prepareSession", "", login),
                Step::new("start", "session.start", "{S}", "{}"),
                Step::new("add channel", "session.request.addchannel", "{S}", channel),
                Step::new("activate", "channel.request.activate", "{C}", "{}"),
            ],
            day: vec![
                Step::new("ready", "channel.request.ready", "{C}", "{}"),
                Step::new("inbound", "session.request.simulator.inbound", "{S}", inbound),
                Step::new("answer", "conversation.request.answer", "{V}", "{}"),
                Step::new("hold", "conversation.request.hold", "{V}", "{}"),
                Step::new("retrieve", "conversation.request.retrieve", "{V}", "{}"),
                Step::new("release", "conversation.request.release", "{V}", "{}"),
                Step::new("complete", "interaction.request.complete", "{I}", "{}"),
                Step::new("notready", "channel.request.notready", "{C}", r#"{"reasoncode":"1"}"#),
                // 480 rings and is never answered, so that nothing happens by itself.
                Step::new("dial", "channel.request.dial", "{C}", r#"{"destination":"480"}"#),
                Step::new("cancel", "conversation.request.release", "{V}", "{}"),
                Step::new("complete dialled", "interaction.request.complete", "{I}", "{}"),
            ],
        }
    }

    /// A day with chats, too: a second channel, and between the calls a chat that is accepted and completed.
    pub fn day_with_chats() -> Self {
        let mut script = Self::working_day();
        let channel = r#"{"channel":{"endpoint":"{A}-chat","type":"Chat"}}"#;
        // In front of the telephone, which the targets of the other steps are about.
        let at = 2;
        script.morning.insert(at, Step::new("activate chat", "channel.request.activate", "{C}", "{}"));
        script.morning.insert(at, Step::new("add chat", "session.request.addchannel", "{S}", channel));
        let contact = r#"{"type":"Chat","from":"visitor","data":{"page":"/prices"}}"#;
        let chat = [
            Step::new("chat", "session.request.simulator.inbound", "{S}", contact),
            Step::new("accept chat", "interaction.request.accept", "{I}", "{}"),
            Step::new("complete chat", "interaction.request.complete", "{I}", "{}"),
        ];
        let between = script.day.iter().position(|step| step.name == "dial").unwrap_or_default();
        script.day.splice(between..between, chat);
        script
    }

    /// Logs in, and does nothing else.
    pub fn log_in_only() -> Self {
        let mut script = Self::working_day();
        script.morning.truncate(2);
        script.day.clear();
        script
    }

    /// Plays the script once against a host that does nothing else, and keeps what comes back.
    pub async fn record(mut self, socket: &mut Socket) -> Self {
        let mut ids = Ids::new("recording");
        let mut request = 0;
        for step in self.morning.iter_mut().chain(&mut self.day) {
            request += 1;
            send(socket, ids.fill(&step.message, request)).await;
            step.frames = answer_to(socket, &mut ids, request, step.learns).await;
            if ids.session.is_empty() || step.name == "prepare" {
                continue;
            }
            // A command that changes nothing, on the session: it is carried out after all that came before it.
            let ping = Step::new("ping", "session.request.simulator.link", "{S}", r#"{"up":true}"#);
            request += 1;
            send(socket, ids.fill(&ping.message, request)).await;
            let mut late = answer_to(socket, &mut ids, request, step.learns).await;
            late.retain(|frame| is_event(frame));
            step.frames.extend(late);
        }
        self
    }
}

async fn send(socket: &mut Socket, text: String) {
    socket.send(Message::text(text)).await.expect("the host takes it");
}

/// All frames up to and with the answer to a request.
async fn answer_to(socket: &mut Socket, ids: &mut Ids, request: u64, learns: bool) -> Vec<String> {
    let mut frames = Vec::new();
    loop {
        let text = next_text(socket).await.expect("the host keeps the connection");
        if learns {
            ids.learn(&text);
        }
        let last = !is_event(&text) && {
            let response: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(response["result"], "success", "while recording: {text}");
            response["requestId"] == request
        };
        frames.push(text);
        if last {
            return frames;
        }
    }
}
