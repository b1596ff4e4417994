//! Requests by plain HTTP, for an Asterisk whose WebSocket carries events only (before 22.4, 21.9 and 20.14).
//!
//! Owns: the HTTP connection, and that answers and events come in an order that makes sense: one request is under way at a
//! time, and what is heard meanwhile waits until it is answered. Must never: send a request twice.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::{
    Message, Request, Response,
    connection::{Address, LARGEST_MESSAGE, Refused, SEND_TIMEOUT, Socket, heard},
};

/// How long Asterisk may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may have been idle when it is used again. Asterisk closes it after `session_keep_alive`, 15 s
/// unless `http.conf` says otherwise, and what became of a request that was just sent then nobody knows.
const IDLE: Duration = Duration::from_secs(1);

/// The way for requests.
pub(super) struct Http {
    address: Address,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    used: Instant,
    _task: JoinSet<()>,
}

impl Http {
    pub(super) fn new(address: Address) -> Self {
        Self { address, open: None }
    }

    /// Asks Asterisk, and waits for the answer, which has this `id` then.
    ///
    /// # Errors
    /// Asterisk was not reached, or what became of the request is unknown.
    pub(super) async fn ask(&mut self, id: u64, request: &Request) -> Result<Response, Refused> {
        match timeout(ANSWER_TIMEOUT, self.exchange(id, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.address.unreachable(&"Asterisk does not answer")),
        }
    }

    async fn exchange(&mut self, id: u64, request: &Request) -> Result<Response, Refused> {
        let mut open = match self.open.take() {
            Some(open) if open.used.elapsed() < IDLE && !open.sender.is_closed() => open,
            _ => self.connect().await?,
        };
        let unreachable = |error: &dyn std::fmt::Display| self.address.unreachable(error);
        open.sender.ready().await.map_err(|error| unreachable(&error))?;
        let body = request.body.as_ref().map(Value::to_string);
        let mut http = hyper::Request::builder()
            .method(request.method.as_str())
            .uri(format!("{}{}", self.address.prefix, request.target()))
            .header(HOST, &self.address.authority)
            .header(AUTHORIZATION, self.address.credentials()?);
        if body.is_some() {
            http = http.header(CONTENT_TYPE, "application/json");
        }
        let http = http.body(Full::from(body.unwrap_or_default())).map_err(|error| unreachable(&error))?;
        let answer = open.sender.send_request(http).await.map_err(|error| unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LARGEST_MESSAGE).collect().await;
        let body = body.map_err(|error| unreachable(&error))?.to_bytes();
        open.used = Instant::now();
        self.open = Some(open);
        Ok(Response { id, status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }

    async fn connect(&self) -> Result<Open, Refused> {
        let way = TokioIo::new(self.address.way().await?);
        let (sender, connection) = http1::handshake(way).await.map_err(|error| self.address.unreachable(&error))?;
        let mut task = JoinSet::new();
        // Its error is that of the request under way.
        task.spawn(async { drop(connection.await) });
        Ok(Open { sender, used: Instant::now(), _task: task })
    }
}

/// Carries requests beside the WebSocket, and answers and events back.
pub(super) async fn carry(
    socket: Socket,
    http: Http,
    to_send: mpsc::Receiver<(u64, Request)>,
    received: mpsc::Sender<Result<Message, String>>,
) {
    if let Err(problem) = carry_until_over(socket, http, to_send, &received).await {
        let _ = received.send(Err(problem)).await;
    }
}

/// Nobody sends any more, or an error: the connection is over.
async fn carry_until_over(
    mut socket: Socket,
    mut http: Http,
    mut to_send: mpsc::Receiver<(u64, Request)>,
    received: &mpsc::Sender<Result<Message, String>>,
) -> Result<(), String> {
    let tell = async |message| received.send(Ok(message)).await.map_err(|_| "nobody listens".to_owned());
    loop {
        let (id, request) = tokio::select! {
            frame = socket.next() => {
                if let Some(message) = heard(frame)? {
                    tell(message).await?;
                }
                continue;
            }
            asked = to_send.recv() => match asked {
                Some(asked) => asked,
                None => break,
            },
        };
        if request.is_ping() {
            // The WebSocket's own: who answers that there has said everything else before.
            let ping = socket.send(Frame::Ping(Bytes::copy_from_slice(&id.to_be_bytes())));
            let sent = timeout(SEND_TIMEOUT, ping).await.map_err(|_| "Asterisk does not read".to_owned())?;
            sent.map_err(|error| error.to_string())?;
            continue;
        }
        let mut meanwhile = Vec::new();
        let mut asking = pin!(http.ask(id, &request));
        let answer = loop {
            tokio::select! {
                answer = &mut asking => break answer.map_err(|refused| refused.to_string())?,
                frame = socket.next() => meanwhile.extend(heard(frame)?),
            }
        };
        tell(Message::Response(answer)).await?;
        for message in meanwhile {
            tell(message).await?;
        }
    }
    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
    Ok(())
}
