//! The bytes of one WebSocket connection, to and from its stream.
//!
//! Owns: the bytes that are on their way out, in one order: frames of text and pings, which are written here (a server's
//! frame is a head and the text as it is), and whatever the WebSocket library writes of its own, that is pongs and the
//! closing; and those that have been read and are the library's. Must never: put one frame into another, keep a buffer
//! while there is nothing in it, or take more from the library than a client that does not read may cost.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How much may wait before the library has to.
const WAITING: usize = 64 * 1024;

/// What a buffer is made for: most answers with their events.
const ROOM: usize = 2048;

/// The longest buffer that a thread keeps; one with less room than most answers need is not worth it.
const MOST_SPARE: usize = 16 * 1024;

thread_local! {
    /// The buffer of whoever has written last: one for all connections of a thread, so it is in the processor's caches.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A connection's stream and what waits to be written to it.
pub(super) struct Wire {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    /// What has been read and the library has not been given yet.
    kept: Vec<u8>,
    /// How many bytes that the client has sent the library was given.
    handed: u64,
}

impl Wire {
    /// `early`: what the client has sent already.
    pub(super) fn new(stream: TcpStream, early: &[u8]) -> Self {
        Self { stream, out: Vec::new(), written: 0, kept: early.to_vec(), handed: 0 }
    }

    /// Reads past the library, which must have been given all that was read before.
    pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        debug_assert!(self.kept.is_empty(), "what comes first is read first");
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    /// Keeps for the library what was read past it.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// How many bytes that the client has sent the library was given so far.
    pub(super) fn handed(&self) -> u64 {
        self.handed
    }

    /// Puts in one message, which must be UTF-8, as a frame of its own. It is written with the next flush.
    pub(super) fn put_text(&mut self, text: &[u8]) {
        if self.out.capacity() == 0 {
            self.out = SPARE.take();
            self.out.reserve(ROOM.max(text.len() + 10));
        }
        // RFC 6455, section 5.2: a final frame of text, not masked, its length in 7, 16 or 64 bits.
        self.out.push(0x81);
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(short @ ..126), _) => self.out.push(short),
            (_, Ok(length)) => {
                self.out.push(126);
                self.out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                self.out.push(127);
                self.out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(text);
    }

    /// Puts in a ping without data. It is written with the next flush.
    pub(super) fn put_ping(&mut self) {
        self.out.extend_from_slice(&[0x89, 0]);
    }

    /// Whether something waits to be written.
    pub(super) fn is_waiting(&self) -> bool {
        !self.out.is_empty()
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        // Most connections are idle most of the time.
        let mut spare = std::mem::take(&mut self.out);
        self.written = 0;
        if (ROOM..=MOST_SPARE).contains(&spare.capacity()) {
            spare.clear();
            SPARE.set(spare);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.kept.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let given = self.kept.len().min(buffer.remaining());
            buffer.put_slice(&self.kept[..given]);
            self.kept.drain(..given);
            if self.kept.is_empty() {
                self.kept = Vec::new();
            }
        }
        self.handed += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    /// Takes all or nothing, so that what the library writes at once stays together.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() >= WAITING {
            ready!(self.poll_out(cx))?;
        }
        self.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };

    use super::*;

    async fn pair() -> (Wire, WebSocketStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let wire = Wire::new(listener.accept().await.unwrap().0, &[]);
        (wire, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
    }

    #[tokio::test]
    async fn a_message_of_any_length_arrives_as_it_was() {
        let (mut wire, mut client) = pair().await;
        let writing = tokio::spawn(async move {
            for length in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
                wire.put_text("ä".repeat(length).as_bytes());
                wire.put_text(b"next");
                wire.flush().await.unwrap();
            }
            wire
        });
        for length in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
            assert_eq!(client.next().await.unwrap().unwrap(), Message::text("ä".repeat(length)));
            assert_eq!(client.next().await.unwrap().unwrap(), Message::text("next"));
        }
        assert_eq!(writing.await.unwrap().out.capacity(), 0, "nothing is kept when all is written");
    }

    #[tokio::test]
    async fn what_the_library_writes_stands_between_messages() {
        let (wire, mut client) = pair().await;
        let mut socket = WebSocketStream::from_raw_socket(wire, Role::Server, None).await;
        socket.get_mut().put_text(b"before");
        socket.feed(Message::Ping("are you there".into())).await.unwrap();
        socket.get_mut().put_ping();
        socket.get_mut().put_text(b"beside");
        socket.flush().await.unwrap();
        socket.get_mut().put_text(b"behind");
        socket.send(Message::Close(None)).await.unwrap();
        let mut texts = Vec::new();
        let mut pings = 0;
        while let Some(Ok(message)) = client.next().await {
            match message {
                Message::Text(text) => texts.push(text.to_string()),
                Message::Ping(_) => pings += 1,
                _ => break,
            }
        }
        assert_eq!((texts, pings), (vec!["before".to_owned(), "beside".into(), "behind".into()], 2));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_makes_the_library_wait() {
        let (mut wire, _client) = pair().await;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let taken = (0..10_000).take_while(|_| Pin::new(&mut wire).poll_write(&mut cx, &[0; 4096]).is_ready()).count();
        assert!(taken < 10_000, "40 MB are more than any socket keeps");
        assert!(wire.out.len() <= WAITING + 4096, "it keeps {} bytes", wire.out.len());
    }
}
