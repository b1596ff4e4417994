//! The WebSocket to Asterisk: opening it, and the two halves of it.
//!
//! Owns: the socket. Must never: decide when to connect again. What is to be sent waits in a bounded queue; when that
//! is full, Asterisk has stopped reading and the connection is over. What arrives is read at once by its own task
//! (Asterisk closes a socket whose reader is slower than 100 ms) into a second bounded queue.

use std::{sync::Arc, time::Duration};

use data_encoding::BASE64;
use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use rustls::ClientConfig;
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
    Message, selftest,
    tls::{self, Stream},
};

/// How many requests may wait for the socket.
const OUTGOING: usize = 8192;
/// How many messages may wait for us. One call makes about thirty.
const INCOMING: usize = 65536;
/// The list of all channels of a large Asterisk must fit: about 1 KiB each.
const LARGEST_MESSAGE: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

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

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    /// What this Asterisk is and lacks.
    pub(crate) found: selftest::Report,
    outgoing: mpsc::Sender<String>,
    incoming: mpsc::Receiver<Result<Message, String>>,
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Opens a connection; with it, the application is ours.
    pub(crate) async fn open(address: &Address) -> Result<Self, Refused> {
        let mut socket = timeout(CONNECT_TIMEOUT, handshake(address))
            .await
            .unwrap_or_else(|_| Err(Refused::Unreachable("Asterisk does not answer".to_owned())))?;
        let found = selftest::check(&mut socket, address).await?;
        Ok(Self::start(socket, found, address.tls.is_some()))
    }

    /// `encrypted`: each frame is a TLS record of its own. Asterisk waits for its socket before it reads the next frame, and
    /// does not see one that its TLS has read together with another until something else comes.
    fn start(socket: Socket, found: selftest::Report, encrypted: bool) -> Self {
        let (mut sink, stream) = socket.split();
        let (outgoing, mut to_send) = mpsc::channel::<String>(OUTGOING);
        let (received, incoming) = mpsc::channel(INCOMING);
        let mut tasks = JoinSet::new();
        let lost = received.clone();
        tasks.spawn(async move {
            while let Some(first) = to_send.recv().await {
                let send = async {
                    sink.feed(Frame::text(first)).await?;
                    while let Ok(next) = to_send.try_recv() {
                        if encrypted {
                            sink.flush().await?;
                        }
                        sink.feed(Frame::text(next)).await?;
                    }
                    sink.flush().await
                };
                let problem = match timeout(SEND_TIMEOUT, send).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "Asterisk does not read".to_owned(),
                };
                let _ = lost.send(Err(problem)).await;
                return;
            }
            let _ = timeout(Duration::from_secs(1), sink.close()).await;
        });
        tasks.spawn(read(stream, received));
        Self { found, outgoing, incoming, _tasks: tasks }
    }

    /// Sends a frame. `false`: the connection is over.
    pub(crate) fn send(&self, frame: String) -> bool {
        self.outgoing.try_send(frame).is_ok()
    }

    /// The next message; an error ends the connection.
    pub(crate) async fn next(&mut self) -> Result<Message, String> {
        self.incoming.recv().await.unwrap_or_else(|| Err("the connection is closed".to_owned()))
    }
}

async fn read(mut stream: SplitStream<Socket>, received: mpsc::Sender<Result<Message, String>>) {
    let problem = loop {
        match stream.next().await {
            Some(Ok(Frame::Text(text))) => {
                if let Some(message) = Message::read(&text)
                    && message != Message::Event(super::Event::Other)
                    && received.send(Ok(message)).await.is_err()
                {
                    return;
                }
            }
            Some(Ok(Frame::Close(_))) | None => break "Asterisk closed the connection".to_owned(),
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.to_string(),
        }
    };
    let _ = received.send(Err(problem)).await;
}

async fn handshake(address: &Address) -> Result<Socket, Refused> {
    let unreachable = |error: &dyn std::fmt::Display| Refused::Unreachable(format!("{}: {error}", address.authority));
    let wrong = |error: &dyn std::fmt::Display| Refused::Settings(format!("{}: {error}", address.authority));
    let stream = TcpStream::connect(&address.authority).await.map_err(|error| unreachable(&error))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    let stream: Box<dyn Stream> = match &address.tls {
        Some(config) => {
            let host = address.authority.rsplit_once(':').map_or(&*address.authority, |(host, _)| host);
            tls::encrypt(config.clone(), host, stream).await.map_err(|why| unreachable(&why))?
        }
        None => Box::new(stream),
    };
    let scheme = if address.tls.is_some() { "wss" } else { "ws" };
    let uri = format!("{scheme}://{}{}/ari/events?app={}", address.authority, address.prefix, address.application);
    let mut request = uri.into_client_request().map_err(|error| wrong(&error))?;
    let credentials = BASE64.encode(format!("{}:{}", address.user, address.password).as_bytes());
    let header = HeaderValue::from_str(&format!("Basic {credentials}")).map_err(|error| wrong(&error))?;
    request.headers_mut().insert(AUTHORIZATION, header);
    let config = WebSocketConfig::default()
        .read_buffer_size(32 << 10)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(match response.status() {
            StatusCode::UNAUTHORIZED => wrong(&"Asterisk refuses user and password (ari.conf)"),
            StatusCode::FORBIDDEN => wrong(&"Asterisk lets this user only read (ari.conf: read_only = no)"),
            // Also while Asterisk starts and ARI is not loaded yet.
            status => unreachable(&format!("Asterisk answered {status} to /ari/events")),
        }),
        Err(error) => Err(unreachable(&error)),
    }
}
