//! A desktop with one live call, which checks all that it is told: events numbered without gap or doubling and legal,
//! one response to each command, the call always the same.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Socket, connect};
use crate::client_model::ClientModel;

/// What must not happen.
pub type Fault = String;

/// What a desktop is told.
#[derive(Debug)]
pub enum Said {
    /// The link to the platform.
    Link { up: bool },
    /// Another event.
    Event,
    /// A command has its outcome; `code` is that of a failure.
    Response { sent: Instant, code: Option<String> },
}

/// One agent's desktop.
pub struct Desktop {
    socket: Socket,
    agent: String,
    session: String,
    channel: String,
    conversation: String,
    state: String,
    model: ClientModel,
    seq: u64,
    unanswered: HashMap<u64, Instant>,
    next_request: u64,
    last_response: Value,
}

impl Desktop {
    /// Connects, logs in, takes a telephone and a call from outside.
    pub async fn in_a_call(address: SocketAddr, path: &str, number: usize) -> Result<Self, Fault> {
        let agent = format!("desk{number}");
        let mut desktop = Self {
            socket: connect(address, path, number).await?,
            session: String::new(),
            channel: String::new(),
            conversation: String::new(),
            state: String::new(),
            model: ClientModel::new("", false, &[]),
            seq: 0,
            unanswered: HashMap::new(),
            next_request: 1,
            last_response: Value::Null,
            agent: agent.clone(),
        };
        let login = json!({"override": false, "agent": {"id": agent, "password": "secret"}});
        let prepared = desktop.does("prepareSession", "", login).await?;
        desktop.session = prepared["data"]["session"]["id"].as_str().unwrap_or_default().to_owned();
        desktop.model = ClientModel::new(&desktop.session, false, &[]);
        let session = desktop.session.clone();
        desktop.does("session.start", &session, json!({})).await?;
        let channel = json!({"channel": {"endpoint": agent, "type": "Telephony"}});
        desktop.does("session.request.addchannel", &session, channel).await?;
        while desktop.channel.is_empty() {
            desktop.next().await?;
        }
        desktop.does("channel.request.activate", &desktop.channel.clone(), json!({})).await?;
        let caller = json!({"type": "Telephony", "from": "+15550100", "data": {"account": "4711"}});
        desktop.does("session.request.simulator.inbound", &session, caller).await?;
        while desktop.state != "ALERTING" {
            desktop.next().await?;
        }
        desktop.does("conversation.request.answer", &desktop.conversation.clone(), json!({})).await?;
        while desktop.state != "TALKING" {
            desktop.next().await?;
        }
        Ok(desktop)
    }

    /// Whether each command that was sent has its response.
    pub fn has_all_answers(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Holds the call, or takes it back if it is held: what succeeds only where both sides agree on its state.
    pub async fn toggle(&mut self) -> Result<(), Fault> {
        let verb = if self.state == "HELD" { "retrieve" } else { "hold" };
        let conversation = self.conversation.clone();
        self.send(&format!("conversation.request.{verb}"), &conversation, json!({})).await.map(drop)
    }

    /// The next thing that the host says. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Said, Fault> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => return Err(self.fault(&format!("was closed: {frame:?}"))),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(self.fault(&format!("lost its connection: {error}"))),
                None => return Err(self.fault("lost its connection")),
            };
            let message: Value = serde_json::from_str(&message).map_err(|error| error.to_string())?;
            return if message["messageType"] == "objectEvent" { self.event(&message) } else { self.response(message) };
        }
    }

    /// Takes a snapshot on a new connection, and compares it with what the events have come to.
    pub async fn agrees_with_a_snapshot(mut self, address: SocketAddr, path: &str) -> Result<(), Fault> {
        self.model.is_at_rest().map_err(|why| self.fault(&why))?;
        let folded = self.model.view();
        self.socket = connect(address, path, 0).await?;
        let bound = self.does("bindSession", "", json!({"session": {"id": self.session}})).await?;
        if bound["data"]["replay"] != "snapshot" {
            return Err(self.fault(&format!("got no snapshot: {bound}")));
        }
        // The first events may have been read with the response.
        while !self.model.is_initialized() {
            self.next().await?;
        }
        if self.model.view() == folded {
            return Ok(());
        }
        Err(self.fault(&format!("knew {folded:?}, and the snapshot is {:?}", self.model.view())))
    }

    fn fault(&self, what: &str) -> Fault {
        format!("{} {what}", self.agent)
    }

    async fn send(&mut self, command: &str, target: &str, data: Value) -> Result<u64, Fault> {
        let request = self.next_request;
        self.next_request += 1;
        let mut message = json!({"command": command, "data": data, "requestId": request});
        if !target.is_empty() {
            message["target"] = json!(target);
        }
        self.unanswered.insert(request, Instant::now());
        let sent = self.socket.send(Message::text(message.to_string())).await;
        sent.map(|()| request).map_err(|error| self.fault(&format!("cannot send: {error}")))
    }

    /// Sends a command that must succeed, and waits for its response.
    async fn does(&mut self, command: &str, target: &str, data: Value) -> Result<Value, Fault> {
        let request = self.send(command, target, data).await?;
        while self.unanswered.contains_key(&request) {
            self.next().await?;
        }
        match &self.last_response {
            response if response["result"] == "success" => Ok(response.clone()),
            response => Err(self.fault(&format!("was refused: {response}"))),
        }
    }

    fn response(&mut self, response: Value) -> Result<Said, Fault> {
        let request = response["requestId"].as_u64().unwrap_or(0);
        let Some(sent) = self.unanswered.remove(&request) else {
            return Err(self.fault(&format!("got a response too many: {response}")));
        };
        if response["command"] == "bindSession" {
            self.seq = response["data"]["seq"].as_u64().unwrap_or(0);
            self.model = ClientModel::new(&self.session, false, &[]);
        }
        let code = response["failure"]["code"].as_str().map(str::to_owned);
        self.last_response = response;
        Ok(Said::Response { sent, code })
    }

    fn event(&mut self, event: &Value) -> Result<Said, Fault> {
        let seq = event["seq"].as_u64().unwrap_or(0);
        if seq != self.seq + 1 {
            return Err(self.fault(&format!("was told {event} after number {}", self.seq)));
        }
        self.seq = seq;
        let (name, target) = (event["name"].as_str().unwrap_or(""), event["target"].as_str().unwrap_or(""));
        let data = &event["data"];
        self.model.take(target, name, data).map_err(|why| self.fault(&format!("was told what is not legal: {why}")))?;
        let created = |kind: &str| format!("{target}.{}", data[kind]["id"].as_str().unwrap_or(""));
        match name {
            "channel.created" => self.channel = created("channel"),
            "conversation.created" => {
                let path = created("conversation");
                if !self.conversation.is_empty() && path != self.conversation {
                    return Err(self.fault(&format!("has another call: {event}")));
                }
                self.conversation = path;
            }
            "state.updated" if target == self.conversation => {
                self.state = data["state"].as_str().unwrap_or("").to_owned();
            }
            "interaction.ended" | "interaction.disposed" | "conversation.disposed" | "session.disposed" => {
                return Err(self.fault(&format!("lost its call: {event}")));
            }
            "session.linkchanged" => return Ok(Said::Link { up: data["link"] == "up" }),
            _ => {}
        }
        Ok(Said::Event)
    }
}
