//! A client without WebSocket: plain HTTP requests, and the event stream (`text/event-stream`).

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{host::Host, patience, schema};

/// An answer: status, headers' values by lower-case name, body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// A GET for text.
///
/// # Errors
/// Nobody answers.
pub async fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    let request = Request::get(path).header("host", address).body(Full::default()).expect("a request");
    let reply = send(address, request).await?;
    Ok((reply.status, String::from_utf8_lossy(&reply.body).into_owned()))
}

/// Any request, on a connection of its own.
///
/// # Errors
/// Nobody answers.
pub async fn send(address: &str, request: Request<Full<Bytes>>) -> Result<Reply, String> {
    let response = open(address, request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = patience("the body", response.into_body().collect()).await.map_err(|error| error.to_string())?;
    Ok(Reply { status, headers, body: body.to_bytes() })
}

/// The status of the answer to any request; the body is not waited for.
pub async fn status(address: &str, request: Request<Full<Bytes>>) -> u16 {
    open(address, request).await.expect("the host answers").status().as_u16()
}

/// Sends bytes on a connection of their own, and returns all that comes until the host closes it.
pub async fn raw(address: &str, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("the host listens");
    socket.write_all(bytes).await.expect("the connection is there");
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = patience("the host closes the connection", socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn open(address: &str, request: Request<Full<Bytes>>) -> Result<hyper::Response<Incoming>, String> {
    let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    // Ends with the connection, which ends when the response has been read or dropped.
    tokio::spawn(connection);
    patience("the HTTP answer", sender.send_request(request)).await.map_err(|error| error.to_string())
}

/// A connection that is kept for one request after the other.
pub struct Kept {
    address: String,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Kept {
    /// Connects.
    pub async fn open(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("the host listens");
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.expect("it is HTTP");
        tokio::spawn(connection);
        Self { address: address.into(), sender }
    }

    /// prepareSession without an agent, which is wrong and does not cost a session.
    pub async fn ask(&mut self, tenant: &str) -> Reply {
        let request = Request::post(format!("/v1/tenants/{tenant}/sessions")).header("host", &self.address);
        let request = request.body(Full::from(r#"{"command":"prepareSession"}"#)).expect("a request");
        let answer = patience("the HTTP answer", self.sender.send_request(request)).await.expect("the host answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = patience("the body", answer.into_body().collect()).await.expect("it is whole").to_bytes();
        Reply { status, headers, body }
    }

    /// Waits until the host has closed it.
    pub async fn is_closed(&mut self) {
        let closed = async {
            while !self.sender.is_closed() {
                tokio::task::yield_now().await
            }
        };
        patience("the host closes the connection", closed).await;
    }
}

/// An agent's client on HTTP.
pub struct Http {
    address: String,
    tenant: String,
    token: Option<String>,
}

impl Http {
    /// Talks to a tenant.
    pub fn new(host: &Host, tenant: &str) -> Self {
        Self { address: host.address.clone(), tenant: tenant.into(), token: None }
    }

    /// With a token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    fn request(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/tenants/{}{path}", self.tenant))
            .header("host", &self.address)
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(body.into())).expect("a request")
    }

    /// POST with any body.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        send(&self.address, self.request("POST", path, body)).await.expect("the host answers")
    }

    /// prepareSession.
    pub async fn prepare(&self, data: Value) -> Reply {
        self.post("/sessions", serde_json::json!({"command": "prepareSession", "data": data}).to_string()).await
    }

    /// A command to a session; answers its response.
    pub async fn command(&self, session: &str, command: Value) -> Value {
        let reply = self.post(&format!("/sessions/{session}/commands"), command.to_string()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let response = reply.json();
        schema::response_fits(&response, Some(&command));
        response
    }

    /// Opens the event stream.
    ///
    /// # Errors
    /// The status that refuses it.
    pub async fn events(&self, session: &str, last_event_id: Option<&str>) -> Result<Stream, u16> {
        self.events_at(&format!("/sessions/{session}/events"), last_event_id).await
    }

    /// The same with the whole address behind the tenant's.
    ///
    /// # Errors
    /// The status that refuses it.
    pub async fn events_at(&self, path: &str, last_event_id: Option<&str>) -> Result<Stream, u16> {
        let mut request = self.request("GET", path, "");
        if let Some(id) = last_event_id {
            request.headers_mut().insert("last-event-id", id.parse().expect("a header's value"));
        }
        let response = open(&self.address, request).await.expect("the host answers");
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no", "else nginx holds events back");
        Ok(Stream { body: response.into_body(), buffer: Vec::new() })
    }
}

/// One entry of an event stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// `event:`; empty for ordinary events.
    pub event: String,
    /// `id:`.
    pub id: Option<String>,
    /// `data:`, as JSON.
    pub data: Value,
}

/// An open event stream.
pub struct Stream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Stream {
    /// The next entry; `None` when the host has closed the stream. Comments are skipped.
    pub async fn next(&mut self) -> Option<Entry> {
        // The whole wait is bounded: the host's comments alone must not keep it going.
        patience("an entry of the event stream", self.next_entry()).await
    }

    async fn next_entry(&mut self) -> Option<Entry> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(entry) = parse(&String::from_utf8(block).expect("UTF-8")) {
                    return Some(entry);
                }
                continue;
            }
            match self.body.frame().await? {
                Ok(frame) => self.buffer.extend_from_slice(frame.data_ref().expect("no trailers")),
                Err(_) => return None,
            }
        }
    }

    /// The names of the next events, up to and with this one.
    pub async fn until(&mut self, name: &str) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            let entry = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}: {entries:?}"));
            let last = entry.data["name"] == name;
            entries.push(entry);
            if last {
                return entries;
            }
        }
    }
}

fn parse(block: &str) -> Option<Entry> {
    let (mut entry, mut data) = (Entry::default(), Vec::new());
    for line in block.lines() {
        match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
            Some(("event", value)) => entry.event = value.into(),
            Some(("id", value)) => entry.id = Some(value.into()),
            Some(("data", value)) => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    entry.data = serde_json::from_str(&data.join("\n")).expect("the data is JSON");
    schema::fits(if entry.event.is_empty() { "event" } else { &entry.event }, &entry.data);
    Some(entry)
}
