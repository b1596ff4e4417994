//! The connection to Asterisk: opening its WebSocket, and carrying requests and messages.
//!
//! Owns: the socket. Must never: decide when to connect again. What is to be sent waits in a bounded queue; when that
//! is full, Asterisk has stopped reading and the connection is over. What arrives is read at once by its own task
//! (Asterisk closes a socket whose reader is slower than 100 ms) into a second bounded queue.

use std::{sync::Arc, time::Duration};

use data_encoding::BASE64;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message as Frame,
        client::IntoClientRequest,
        http::{HeaderValue, StatusCode, header::AUTHORIZATION},
        protocol::WebSocketConfig,
    },
};

use super::{
    Event, Message, Request, Response,
    http::{self, Http},
    selftest,
    tls::{self, Stream},
};

/// How many requests may wait for the socket.
const OUTGOING: usize = 8192;
/// How many messages may wait for us. One call makes about thirty.
const INCOMING: usize = 65536;
/// The list of all channels of a large Asterisk must fit: about 1 KiB each.
pub(super) const LARGEST_MESSAGE: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where Asterisk is, and as whom and for which application we come.
#[derive(Clone)]
pub(crate) struct Address {
    /// Host and port of its HTTP server.
    pub(crate) authority: String,
    /// Encrypts the way there; `None`: in the clear.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The HTTP server's prefix (`prefix` in `http.conf`), with a slash in front, or nothing.
    pub(crate) prefix: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) application: String,
}

impl Address {
    /// The value of the header that says as whom we come.
    pub(super) fn credentials(&self) -> Result<HeaderValue, Refused> {
        let credentials = BASE64.encode(format!("{}:{}", self.user, self.password).as_bytes());
        HeaderValue::from_str(&format!("Basic {credentials}")).map_err(|error| self.wrong(&error))
    }

    /// A way there, encrypted if it is to be.
    pub(super) async fn way(&self) -> Result<Box<dyn Stream>, Refused> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| self.unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        tls::encrypt(config.clone(), host, stream).await.map_err(|why| self.unreachable(&why))
    }

    pub(super) fn unreachable(&self, why: &dyn std::fmt::Display) -> Refused {
        Refused::Unreachable(format!("{}: {why}", self.authority))
    }

    fn wrong(&self, why: &dyn std::fmt::Display) -> Refused {
        Refused::Settings(format!("{}: {why}", self.authority))
    }
}

/// The WebSocket to it.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The credentials or the address are wrong: the settings must change.
    Settings(String),
    /// Not now.
    Unreachable(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Settings(why) | Self::Unreachable(why)) = self;
        f.write_str(why)
    }
}

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    /// What this Asterisk is and lacks.
    pub(crate) found: selftest::Report,
    outgoing: mpsc::Sender<(u64, Request)>,
    incoming: mpsc::Receiver<Result<Message, String>>,
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Opens a connection; with it, the application is ours.
    pub(crate) async fn open(address: &Address) -> Result<Self, Refused> {
        let socket = timeout(CONNECT_TIMEOUT, handshake(address))
            .await
            .unwrap_or_else(|_| Err(Refused::Unreachable("Asterisk does not answer".to_owned())))?;
        let mut http = Http::new(address.clone());
        let version = selftest::version(&mut http).await?;
        let (outgoing, to_send) = mpsc::channel(OUTGOING);
        let (received, incoming) = mpsc::channel(INCOMING);
        let mut tasks = JoinSet::new();
        if selftest::answers_on_its_websocket(&version) {
            let (sink, stream) = socket.split();
            tasks.spawn(write(sink, to_send, received.clone(), address.tls.is_some()));
            tasks.spawn(read(stream, received));
        } else {
            tasks.spawn(http::carry(socket, http, to_send, received));
        }
        let found = selftest::Report::of(version);
        let mut connection = Self { found, outgoing, incoming, _tasks: tasks };
        selftest::check(&mut connection, address).await?;
        Ok(connection)
    }

    /// Sends a request; its answer has the same `id`. `false`: the connection is over.
    pub(crate) fn send(&self, id: u64, request: Request) -> bool {
        self.outgoing.try_send((id, request)).is_ok()
    }

    /// The next message; an error ends the connection.
    pub(crate) async fn next(&mut self) -> Result<Message, String> {
        self.incoming.recv().await.unwrap_or_else(|| Err("the connection is closed".to_owned()))
    }
}

/// Sends requests over the WebSocket.
///
/// `encrypted`: each frame is a TLS record of its own. Asterisk waits for its socket before it reads the next frame, and
/// does not see one that its TLS has read together with another until something else comes.
async fn write(
    mut sink: SplitSink<Socket, Frame>,
    mut to_send: mpsc::Receiver<(u64, Request)>,
    received: mpsc::Sender<Result<Message, String>>,
    encrypted: bool,
) {
    while let Some((id, first)) = to_send.recv().await {
        let send = async {
            sink.feed(Frame::text(first.frame(id))).await?;
            while let Ok((id, next)) = to_send.try_recv() {
                if encrypted {
                    sink.flush().await?;
                }
                sink.feed(Frame::text(next.frame(id))).await?;
            }
            sink.flush().await
        };
        let problem = match timeout(SEND_TIMEOUT, send).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "Asterisk does not read".to_owned(),
        };
        let _ = received.send(Err(problem)).await;
        return;
    }
    let _ = timeout(Duration::from_secs(1), sink.close()).await;
}

async fn read(mut stream: SplitStream<Socket>, received: mpsc::Sender<Result<Message, String>>) {
    let problem = loop {
        match heard(stream.next().await) {
            Ok(Some(message)) => {
                if received.send(Ok(message)).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(problem) => break problem,
        }
    };
    let _ = received.send(Err(problem)).await;
}

/// What a frame says that matters; an error: the socket is over.
pub(super) fn heard(frame: Option<Result<Frame, Error>>) -> Result<Option<Message>, String> {
    match frame {
        Some(Ok(Frame::Text(text))) => {
            Ok(Message::read(&text).filter(|message| *message != Message::Event(Event::Other)))
        }
        Some(Ok(Frame::Pong(id))) => Ok(<[u8; 8]>::try_from(&*id)
            .ok()
            .map(|id| Message::Response(Response { id: u64::from_be_bytes(id), status: 200, body: Value::Null }))),
        Some(Ok(Frame::Close(_))) | None => Err("Asterisk closed the connection".to_owned()),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error.to_string()),
    }
}

async fn handshake(address: &Address) -> Result<Socket, Refused> {
    let stream = address.way().await?;
    let scheme = if address.tls.is_some() { "wss" } else { "ws" };
    let uri = format!("{scheme}://{}{}/ari/events?app={}", address.authority, address.prefix, address.application);
    let mut request = uri.into_client_request().map_err(|error| address.wrong(&error))?;
    request.headers_mut().insert(AUTHORIZATION, address.credentials()?);
    let config = WebSocketConfig::default()
        .read_buffer_size(32 << 10)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(match response.status() {
            StatusCode::UNAUTHORIZED => address.wrong(&"Asterisk refuses user and password (ari.conf)"),
            StatusCode::FORBIDDEN => address.wrong(&"Asterisk lets this user only read (ari.conf: read_only = no)"),
            // Also while Asterisk starts and ARI is not loaded yet.
            status => address.unreachable(&format!("Asterisk answered {status} to /ari/events")),
        }),
        Err(error) => Err(address.unreachable(&error)),
    }
}
