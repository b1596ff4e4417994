//! One WebSocket connection, from the upgrade to its end.
//!
//! Owns: pings, how long a client may be silent, what each kind of end is told the client, and how much one wake-up takes.
//! Must never: know what a message means (an [`Application`] takes and gives them), read or write a frame (the WebSocket
//! library does), or wait for a client that does not read. Messages come from the stream and from the application.
//!
//! One wake-up takes what is ready on either side, feeds all of it and flushes once.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

pub use jackfield_protocol::close::CloseCode;

const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
const BIND_WITHIN: Duration = Duration::from_secs(30);
/// How long a closing connection waits for the client to read what is left and to close as well.
const LINGER: Duration = Duration::from_secs(5);
/// The same for a client that has not been reading.
const LINGER_SLOW: Duration = Duration::from_secs(15);
/// Messages that one wake-up takes from a client before others have their turn.
const TAKEN_AT_ONCE: usize = 32;
/// Pings of a client that does not read its pongs. Each pong waits in memory.
const UNREAD_PONGS: usize = 16;
/// Most messages of a desktop fit; every idle connection keeps it, and the library's default would be 128 KiB.
const READ_BUFFER: usize = 512;
/// Bytes that one wake-up feeds before others have their turn. Far more would use up the task's turn in the middle, which
/// looks as if the client did not read.
const FED_AT_ONCE: usize = 64 * 1024;
/// What is fed is written when it is this much, or flushed. An idle connection keeps a buffer of about this size.
const WRITE_BUFFER: usize = 8 * 1024;

/// What messages are taken to and come from. No method waits.
pub trait Application {
    /// Whether the next message may be handed over: not before what the last one was answered at once can be sent, because
    /// a Close may stand behind it. Pending: the task is woken when it may.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Takes a message of text, and when it came. Only when [`Self::poll_ready`] is.
    fn receive(&mut self, text: Utf8Bytes, at: Instant);

    /// Takes a message of bytes; false: this application takes none, and the connection is closed with 1003.
    fn receive_bytes(&mut self, _bytes: Bytes) -> bool {
        false
    }

    /// What is to be sent next. Pending: the task is woken when there is something.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing>;

    /// The client does not read, so nothing can be sent now. Returns the code and reason if the connection is to be closed
    /// all the same; otherwise the task is woken when that may have changed.
    fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<(CloseCode, &'static str)>;

    /// Whether so much waits to be sent that a client that does not read should not be read from either.
    fn is_busy(&self) -> bool;

    /// Whether the client has said what it wants; until then its time is short.
    fn is_bound(&self) -> bool;
}

/// What an application has for its client.
#[derive(Debug)]
pub enum Outgoing {
    /// A message.
    Message(Message),
    /// Nothing follows: close the connection with this code and reason.
    Close(CloseCode, &'static str),
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The client has closed it.
    Client,
    /// The connection broke, or the client went without a word.
    Lost,
    /// Nothing has come from the client for a minute.
    Silent,
    /// The client has not said in time what it wants.
    Unbound,
    /// A message was larger than allowed.
    TooLarge,
    /// A message was not text.
    Bytes,
    /// A text was not UTF-8.
    NotUtf8,
    /// What came was not WebSocket.
    NotWebSocket,
    /// The host is shutting down.
    Shutdown,
    /// The client would not be let in any more, for this reason.
    NotAdmitted(&'static str),
    /// The application closed it with this code and reason.
    Application(CloseCode, &'static str),
}

impl ConnectionEnd {
    #[cold]
    fn of_error(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TooLarge,
            Error::Utf8(_) => Self::NotUtf8,
            // How most clients go: without a word.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Lost,
            Error::Protocol(_) | Error::AttackAttempt => Self::NotWebSocket,
            _ => Self::Lost,
        }
    }

    /// The close code and reason, unless the client is gone or has closed by itself.
    const fn close(self) -> Option<(CloseCode, &'static str)> {
        Some(match self {
            Self::Client | Self::Lost => return None,
            Self::Silent => (CloseCode::GoingAway, "no sign of life"),
            Self::Unbound => (CloseCode::Unbound, "no prepareSession or bindSession in time"),
            Self::TooLarge => (CloseCode::TooLarge, "the message is too large"),
            Self::Bytes => (CloseCode::Unsupported, "messages are text"),
            Self::NotUtf8 => (CloseCode::InvalidText, "the text is not UTF-8"),
            Self::NotWebSocket => (CloseCode::ProtocolError, "not WebSocket"),
            Self::Shutdown => (CloseCode::GoingAway, "the host is shutting down"),
            Self::NotAdmitted(reason) => (CloseCode::GoingAway, reason),
            Self::Application(code, reason) => (code, reason),
        })
    }
}

/// The server's side of a WebSocket connection.
pub struct WebSocketConnection<S> {
    socket: WebSocketStream<S>,
    /// Something was fed and is not flushed yet.
    unflushed: bool,
    /// The stream takes no more: the client does not read.
    blocked: bool,
    /// Pings that came since everything was flushed.
    pings: usize,
    /// Bytes fed in this wake-up.
    fed: usize,
    /// When the last message or control frame came.
    last_sign: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketConnection<S> {
    /// Begins behind the handshake. `early`: what the client has sent right behind it; `max_message`: bytes of the largest
    /// message that a client may send.
    pub async fn new(stream: S, early: Bytes, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let socket = WebSocketStream::from_partially_read(stream, early.into(), Role::Server, Some(config)).await;
        Self { socket, unflushed: false, blocked: false, pings: 0, fed: 0, last_sign: Instant::now() }
    }

    /// Carries messages until the connection ends. `must_end` says that the host wants it to end, and how.
    pub async fn run(
        &mut self,
        application: &mut impl Application,
        must_end: impl Future<Output = ConnectionEnd>,
    ) -> ConnectionEnd {
        let begun = Instant::now();
        let mut bind_by = Some(begun + BIND_WITHIN);
        let mut next_ping = begun + PING_EVERY;
        let mut clock = pin!(sleep_until(next_ping));
        let mut must_end = pin!(must_end);
        loop {
            // Traffic comes last: it may use up the task's turn.
            tokio::select! {
                biased;
                end = must_end.as_mut() => {
                    // What the sessions had to say at their end.
                    self.fed = 0;
                    let fed = poll_fn(|cx| Poll::Ready(self.poll_feed(cx, application))).await;
                    return if let Poll::Ready(Err(ended)) = fed { ended } else { end };
                }
                () = clock.as_mut() => {
                    let now = Instant::now();
                    if now >= self.last_sign + SILENCE {
                        return ConnectionEnd::Silent;
                    }
                    if bind_by.is_some_and(|by| now >= by) {
                        if !application.is_bound() {
                            return ConnectionEnd::Unbound;
                        }
                        bind_by = None;
                    }
                    if now >= next_ping {
                        next_ping = now + PING_EVERY;
                        if let Some(end) = self.ping() {
                            return end;
                        }
                    }
                    let next = next_ping.min(self.last_sign + SILENCE);
                    clock.as_mut().reset(bind_by.map_or(next, |by| by.min(next)));
                }
                end = poll_fn(|cx| self.poll_traffic(cx, application)) => return end,
            }
        }
    }

    /// Feeds a ping, unless the client would not read it anyway.
    fn ping(&mut self) -> Option<ConnectionEnd> {
        if self.blocked {
            return None;
        }
        self.unflushed = true;
        self.socket.start_send_unpin(Message::Ping(Bytes::new())).err().map(|error| lost(&error))
    }

    /// Reads what has come and writes what waits, until there is nothing to do on either side; ready: the end.
    fn poll_traffic(&mut self, cx: &mut Context<'_>, application: &mut impl Application) -> Poll<ConnectionEnd> {
        let mut taken = 0;
        self.fed = 0;
        loop {
            // Before the next message is read: what the one before was answered at once must not be lost to a Close that
            // stands behind it.
            if let Poll::Ready(Err(end)) = self.poll_feed(cx, application) {
                return Poll::Ready(end);
            }
            let others_turn = taken >= TAKEN_AT_ONCE || self.fed >= FED_AT_ONCE;
            let may_read = !self.blocked || !application.is_busy() && self.pings < UNREAD_PONGS;
            if may_read
                && !others_turn
                && application.poll_ready(cx).is_ready()
                && let Poll::Ready(message) = self.socket.poll_next_unpin(cx)
            {
                taken += 1;
                if let Some(end) = self.take(message, application) {
                    return Poll::Ready(end);
                }
                continue;
            }
            let was_blocked = self.blocked;
            if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
                return Poll::Ready(end);
            }
            if others_turn || was_blocked && !self.blocked {
                cx.waker().wake_by_ref();
            }
            if self.blocked {
                return application.poll_overflow(cx).map(|(code, reason)| ConnectionEnd::Application(code, reason));
            }
            return Poll::Pending;
        }
    }

    /// Hands what has come to the application.
    fn take(
        &mut self,
        message: Option<Result<Message, Error>>,
        application: &mut impl Application,
    ) -> Option<ConnectionEnd> {
        self.last_sign = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => application.receive(text, self.last_sign),
            Some(Ok(Message::Binary(bytes))) => {
                if !application.receive_bytes(bytes) {
                    return Some(ConnectionEnd::Bytes);
                }
            }
            Some(Ok(Message::Ping(_))) => {
                // The library has its pong ready.
                self.unflushed = true;
                self.pings += 1;
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            // The library has the answer ready; it goes out with the last flush.
            Some(Ok(Message::Close(_))) | None => return Some(ConnectionEnd::Client),
            Some(Err(error)) => return Some(ConnectionEnd::of_error(&error)),
        }
        None
    }

    /// Feeds what the application has, as long as the client takes it; pending: nothing waits, or the client is to read
    /// first.
    fn poll_feed(
        &mut self,
        cx: &mut Context<'_>,
        application: &mut impl Application,
    ) -> Poll<Result<(), ConnectionEnd>> {
        if self.blocked {
            ready!(self.poll_flush(cx))?;
        }
        while self.fed < FED_AT_ONCE {
            let ready = self.socket.poll_ready_unpin(cx);
            self.blocked = ready.is_pending();
            ready!(ready).map_err(|error| lost(&error))?;
            match ready!(application.poll_send(cx)) {
                Outgoing::Message(message) => {
                    self.fed += message.len();
                    self.unflushed = true;
                    self.socket.start_send_unpin(message).map_err(|error| lost(&error))?;
                }
                Outgoing::Close(code, reason) => return Poll::Ready(Err(ConnectionEnd::Application(code, reason))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was fed. Pending: the client does not read.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionEnd>> {
        if self.unflushed {
            let flushed = self.socket.poll_flush_unpin(cx);
            self.blocked = flushed.is_pending();
            ready!(flushed).map_err(|error| lost(&error))?;
            (self.unflushed, self.pings) = (false, 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Says the last words, or answers the client's, and waits a little for it to take them.
    pub async fn finish(mut self, end: ConnectionEnd) {
        let linger =
            if matches!(end, ConnectionEnd::Application(CloseCode::TooSlow, _)) { LINGER_SLOW } else { LINGER };
        let _ = timeout(linger, async {
            match end.close() {
                None if end == ConnectionEnd::Lost => return,
                None => {
                    if self.socket.flush().await.is_err() {
                        return;
                    }
                }
                Some((code, reason)) => {
                    let frame = CloseFrame { code: code.number().into(), reason: Utf8Bytes::from_static(reason) };
                    if self.socket.send(Message::Close(Some(frame))).await.is_err() {
                        return;
                    }
                    // After an error of the client's there is nothing to be read as frames any more: this ends at once.
                    while let Some(Ok(_)) = self.socket.next().await {}
                }
            }
            // Closing with something unread would reset the connection, and the client might not see the code.
            let stream = self.socket.get_mut();
            if stream.shutdown().await.is_ok() {
                let mut rest = [0; 1024];
                while matches!(stream.read(&mut rest).await, Ok(1..)) {}
            }
        })
        .await;
    }
}

impl<S> std::fmt::Debug for WebSocketConnection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocketConnection")
    }
}

#[cold]
fn lost(error: &Error) -> ConnectionEnd {
    tracing::debug!(%error, "a connection cannot be written to");
    ConnectionEnd::Lost
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{collections::VecDeque, future::pending};

    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// Answers each text by itself; more than `room` unsent answers are an overflow.
    struct Echo {
        waiting: VecDeque<Message>,
        room: usize,
        bound: bool,
    }

    impl Application for Echo {
        fn receive(&mut self, text: Utf8Bytes, _: Instant) {
            self.waiting.push_back(Message::Text(text));
        }

        fn poll_send(&mut self, _: &mut Context<'_>) -> Poll<Outgoing> {
            self.waiting.pop_front().map_or(Poll::Pending, |message| Poll::Ready(Outgoing::Message(message)))
        }

        fn poll_overflow(&mut self, _: &mut Context<'_>) -> Poll<(CloseCode, &'static str)> {
            if self.waiting.len() > self.room { Poll::Ready((CloseCode::TooSlow, "slow")) } else { Poll::Pending }
        }

        fn is_busy(&self) -> bool {
            self.waiting.len() > self.room
        }

        fn is_bound(&self) -> bool {
            self.bound
        }
    }

    fn echo() -> Echo {
        Echo { waiting: VecDeque::new(), room: 100, bound: true }
    }

    type Client = WebSocketStream<DuplexStream>;

    /// Both ends of a connection whose stream holds so many bytes that nobody has read.
    async fn pair(bytes: usize) -> (WebSocketConnection<DuplexStream>, Client) {
        let (server, client) = duplex(bytes);
        let connection = WebSocketConnection::new(server, Bytes::new(), 64 * 1024).await;
        (connection, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
    }

    async fn serve(
        mut connection: WebSocketConnection<DuplexStream>,
        mut application: Echo,
    ) -> (ConnectionEnd, Duration) {
        let begun = Instant::now();
        let end = connection.run(&mut application, pending()).await;
        let after = begun.elapsed();
        connection.finish(end).await;
        (end, after)
    }

    /// Reads up to the end. Texts, and the close frame.
    async fn read(client: &mut Client) -> (Vec<String>, Option<u16>) {
        let mut texts = Vec::new();
        let mut code = None;
        while let Some(Ok(message)) = client.next().await {
            match message {
                Message::Text(text) => texts.push(text.to_string()),
                Message::Close(frame) => code = frame.map(|frame| frame.code.into()),
                _ => {}
            }
        }
        (texts, code)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_for_a_minute_is_closed() {
        let (connection, mut client) = pair(4096).await;
        // It sends something after half a minute and never reads, so it answers no ping.
        let serving = tokio::spawn(serve(connection, echo()));
        tokio::time::sleep(Duration::from_secs(33)).await;
        client.send(Message::text("here")).await.unwrap();
        let (end, after) = serving.await.unwrap();
        assert_eq!((end, after), (ConnectionEnd::Silent, Duration::from_secs(93)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_a_frame_is_closed() {
        let (server, mut client) = duplex(4096);
        let connection = WebSocketConnection::new(server, Bytes::new(), 64 * 1024).await;
        let serving = tokio::spawn(serve(connection, echo()));
        // The head of a frame of 60 000 bytes, and then one every ten seconds.
        client.write_all(&[0x81, 0xFE, 0xEA, 0x60, 1, 2, 3, 4]).await.unwrap();
        while !serving.is_finished() {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let _ = client.write_all(b"x").await;
        }
        let (end, after) = serving.await.unwrap();
        assert_eq!((end, after), (ConnectionEnd::Silent, SILENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_pings_stays() {
        let (connection, mut client) = pair(4096).await;
        let serving = tokio::spawn(serve(connection, echo()));
        assert!(timeout(Duration::from_secs(600), read(&mut client)).await.is_err(), "it is closed");
        client.close(None).await.unwrap();
        read(&mut client).await;
        assert_eq!(serving.await.unwrap().0, ConnectionEnd::Client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_say_what_it_wants_has_half_a_minute() {
        let (connection, mut client) = pair(4096).await;
        let serving = tokio::spawn(serve(connection, Echo { bound: false, ..echo() }));
        assert_eq!(read(&mut client).await.1, Some(4002));
        assert_eq!(serving.await.unwrap(), (ConnectionEnd::Unbound, BIND_WITHIN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_does_not_overtake_the_answer_to_what_came_before() {
        let (connection, mut client) = pair(4096).await;
        // All of it is there before the first of it is read.
        client.feed(Message::text("first")).await.unwrap();
        client.feed(Message::text("second")).await.unwrap();
        client.send(Message::Close(Some(CloseFrame { code: 4321.into(), reason: "bye".into() }))).await.unwrap();
        let serving = tokio::spawn(serve(connection, echo()));
        assert_eq!(read(&mut client).await, (vec!["first".to_owned(), "second".to_owned()], Some(4321)));
        assert_eq!(serving.await.unwrap().0, ConnectionEnd::Client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_closed_when_too_much_waits_for_it() {
        let (mut connection, mut client) = pair(1024).await;
        let big = "x".repeat(8 * 1024);
        let waiting = (0..20).map(|_| Message::text(big.clone())).collect();
        let mut application = Echo { waiting, room: 10, ..echo() };
        let end = connection.run(&mut application, pending()).await;
        assert_eq!(end, ConnectionEnd::Application(CloseCode::TooSlow, "slow"));
        let finishing = tokio::spawn(connection.finish(end));
        let (texts, code) = read(&mut client).await;
        assert!(texts.iter().all(|text| *text == big), "what has been begun is finished");
        assert_eq!(code, Some(4008));
        finishing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn pongs_that_are_not_read_do_not_pile_up() {
        let (connection, mut client) = pair(1024).await;
        let serving = tokio::spawn(serve(connection, echo()));
        let mut sent = 0;
        // The stream holds eight of them either way; the rest would wait in memory.
        let pings = async {
            while sent < 1000 {
                client.send(Message::Ping(vec![0; 120].into())).await.unwrap();
                sent += 1;
            }
        };
        assert!(timeout(Duration::from_secs(5), pings).await.is_err(), "{sent} pings were taken");
        let pong = async { while !matches!(client.next().await, Some(Ok(Message::Pong(_)))) {} };
        timeout(Duration::from_secs(5), pong).await.expect("it goes on when the client reads");
        serving.abort();
    }
}
