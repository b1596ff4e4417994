//! One WebSocket: the library's, and a shorter way in for what nearly all is that a desktop sends.
//!
//! Owns: who reads the bytes that have come. A message of text that came in one piece is taken here, where it was read;
//! everything else is the library's, byte for byte: other frames, messages in pieces, what is cut off, too long, not UTF-8
//! or no WebSocket. Must never: understand a frame otherwise than the library does, or read while that is in the middle of
//! something.

use std::{
    mem::MaybeUninit,
    ops::Range,
    str,
    task::{Context, Poll, ready},
};

use futures_util::StreamExt as _;
use tokio::io::ReadBuf;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use super::wire::Wire;

/// How many bytes are read at once here.
const AT_ONCE: usize = 2048;

/// A WebSocket, the server's side.
pub(super) struct Socket {
    library: WebSocketStream<Wire>,
    max_message: usize,
    /// The library has used up and written all that it has: what comes next begins a message.
    at_rest: bool,
    /// How many bytes the frames had that it has taken whole; less where a message came in pieces.
    taken: u64,
}

/// What has come.
pub(super) enum Came {
    /// Messages of text, perhaps none; they were handed over.
    Texts,
    /// Anything else; `None`: the end.
    Other(Option<Result<Message, Error>>),
}

impl Socket {
    /// Begins behind the handshake.
    pub(super) async fn new(wire: Wire, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            // For pongs and the closing only: a client that sends pings and reads no pongs must not cost more.
            .write_buffer_size(1024)
            .max_write_buffer_size(16 * 1024)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let library = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        Self { library, max_message, at_rest: false, taken: 0 }
    }

    /// Where messages are written.
    pub(super) fn wire(&mut self) -> &mut Wire {
        self.library.get_mut()
    }

    /// For the last words.
    pub(super) fn into_library(self) -> WebSocketStream<Wire> {
        self.library
    }

    /// Reads on. Messages of text are handed over one by one, until `text` wants no other one for now; what has been read
    /// behind that is not lost.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, mut text: impl FnMut(&str) -> bool) -> Poll<Came> {
        if self.at_rest {
            self.at_rest = ready!(self.poll_texts(cx, text));
            return Poll::Ready(Came::Texts);
        }
        let Poll::Ready(next) = self.library.poll_next_unpin(cx) else {
            // What it could not write, it tries to write again when it is asked to read.
            let wire = self.library.get_ref();
            self.at_rest = self.taken == wire.handed() && !wire.is_waiting();
            return Poll::Pending;
        };
        match &next {
            Some(Ok(Message::Text(content))) => {
                self.taken += frame(content.len());
                text(content.as_str());
                return Poll::Ready(Came::Texts);
            }
            Some(Ok(Message::Ping(data) | Message::Pong(data))) => self.taken += frame(data.len()),
            _ => {}
        }
        Poll::Ready(Came::Other(next))
    }

    /// Reads as long as there are messages of text, each in one piece. Whether the library may be left at rest; what it
    /// must read, it will be given.
    fn poll_texts(&mut self, cx: &mut Context<'_>, mut text: impl FnMut(&str) -> bool) -> Poll<bool> {
        let mut room = [MaybeUninit::uninit(); AT_ONCE];
        let mut buffer = ReadBuf::uninit(&mut room);
        let wire = self.library.get_mut();
        let read = ready!(wire.poll_stream(cx, &mut buffer));
        let bytes = buffer.filled_mut();
        if read.is_err() || bytes.is_empty() {
            return Poll::Ready(false);
        }
        let mut at = 0;
        while let Some((mask, content)) = whole_text(&bytes[at..], self.max_message) {
            let (start, end) = (at + content.start, at + content.end);
            let content = &mut bytes[start..end];
            unmask(content, mask);
            let Ok(content) = str::from_utf8(content) else {
                // As it came.
                unmask(content, mask);
                break;
            };
            at = end;
            if !text(content) {
                break;
            }
        }
        wire.keep(&bytes[at..]);
        Poll::Ready(at == bytes.len())
    }
}

/// The mask and the place of the content, if at the beginning a message of text stands in one frame that is all there. RFC
/// 6455, section 5.2.
fn whole_text(bytes: &[u8], most: usize) -> Option<([u8; 4], Range<usize>)> {
    // The last frame of a message, no extension's, of text; with a mask.
    let (&[0x81, second], behind) = bytes.split_first_chunk()? else { return None };
    let (head, length) = match second ^ 0x80 {
        length @ ..126 => (2, usize::from(length)),
        126 => (4, u16::from_be_bytes(*behind.first_chunk()?).into()),
        _ => return None,
    };
    let mask = *bytes.get(head..)?.first_chunk()?;
    let content = head + 4..head + 4 + length;
    (length <= most && content.end <= bytes.len()).then_some((mask, content))
}

/// Takes a client's mask off, or puts it on again. RFC 6455, section 5.3.
fn unmask(content: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = content.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ twice).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(twice.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// How many bytes a client's frame has that comes in one piece: head, mask and content.
const fn frame(content: usize) -> u64 {
    let head = match content {
        ..126 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    };
    head + 4 + content as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::{
        io::{AsyncWriteExt as _, join, sink},
        net::{TcpListener, TcpStream},
        task::yield_now,
    };

    use super::*;

    const MAX_MESSAGE: usize = 1000;

    /// A frame as a client may write it. `wide`: its length in more bytes than it needs.
    fn written(head: u8, content: &[u8], mask: Option<[u8; 4]>, wide: bool) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![head];
        match u16::try_from(content.len()).unwrap() {
            length @ ..126 if !wide => frame.push(masked | u8::try_from(length).unwrap()),
            length => {
                frame.push(masked | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        let mask = mask.inspect(|mask| frame.extend(mask)).unwrap_or_default();
        frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Mostly what a desktop sends, and now and then anything else.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![20 => ".{0,60}", 2 => ".{120,130}", 1 => "[a-z]{990,1010}", 1 => ".{700,1100}"];
        let text = text.prop_map(String::into_bytes);
        let bytes = proptest::collection::vec(any::<u8>(), 0..140);
        let head = prop_oneof![Just(0x81), Just(0x89), Just(0x8a), Just(0x01), Just(0x00), Just(0x80)];
        let rare = prop_oneof![Just(0x82), Just(0x88), Just(0xC1), Just(0x83), any::<u8>()];
        prop_oneof![
            40 => (Just(0x81), text.clone(), any::<[u8; 4]>().prop_map(Some), prop::bool::weighted(0.05)),
            6 => (head, text, any::<[u8; 4]>().prop_map(Some), Just(false)),
            // No UTF-8, but it is as it comes.
            2 => (Just(0x81), proptest::collection::vec(0x80_u8.., 1..40), Just(Some([0x80; 4])), Just(false)),
            2 => (rare, bytes, any::<Option<[u8; 4]>>(), Just(false)),
        ]
        .prop_map(|(head, content, mask, wide)| written(head, &content, mask, wide))
    }

    /// What the library makes of it: texts, other messages, and how it ends.
    async fn by_the_library(bytes: &[u8]) -> Vec<String> {
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let stream = join(bytes, sink());
        let mut library = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let mut all = Vec::new();
        loop {
            match library.next().await {
                Some(Ok(Message::Text(text))) => all.push(format!("text {text}")),
                Some(Ok(other)) => all.push(format!("{other:?}")),
                end => {
                    all.push(format!("{end:?}"));
                    return all;
                }
            }
        }
    }

    /// The same with a socket that is sent it in pieces, some of them together. `stops`: after which texts it wants no more
    /// for now.
    async fn by_the_socket(pieces: &[(&[u8], bool)], stops: &[bool]) -> Vec<String> {
        let (mut socket, mut client) = pair(pieces[0].0).await;
        let write = async {
            for &(piece, alone) in &pieces[1..] {
                if alone {
                    // Whoever reads has the time to find that there is nothing more.
                    yield_now().await;
                    yield_now().await;
                }
                // It may have found the end.
                if client.write_all(piece).await.is_err() {
                    break;
                }
            }
            let _ = client.shutdown().await;
        };
        let read = async {
            let (mut all, mut stops) = (Vec::new(), stops.iter().cycle());
            loop {
                let came = poll_fn(|cx| {
                    socket.poll_next(cx, |text| {
                        all.push(format!("text {text}"));
                        !stops.next().unwrap()
                    })
                });
                let Came::Other(message) = came.await else { continue };
                let goes_on = matches!(message, Some(Ok(_)));
                all.push(if let Some(Ok(message)) = message { format!("{message:?}") } else { format!("{message:?}") });
                if !goes_on {
                    return all;
                }
            }
        };
        tokio::join!(write, read).1
    }

    proptest! {
        #[test]
        fn a_client_is_understood_as_the_library_does(
            frames in proptest::collection::vec((frame(), prop::option::weighted(0.1, any::<usize>())), 1..12),
            cut_off in 0_usize..8,
            alone in proptest::collection::vec(prop::bool::weighted(0.8), 1..6),
            stops in proptest::collection::vec(prop::bool::weighted(0.2), 1..6),
        ) {
            let mut bytes: Vec<u8> = frames.iter().flat_map(|(frame, _)| frame).copied().collect();
            bytes.truncate(bytes.len().saturating_sub(cut_off));
            // Mostly a frame is a piece.
            let (mut pieces, mut rest, mut alone) = (Vec::new(), &*bytes, alone.iter().cycle());
            for (frame, cut) in &frames {
                let cut = cut.map_or(0, |at| at % frame.len());
                for length in [cut, frame.len() - cut] {
                    let (piece, behind) = rest.split_at(length.min(rest.len()));
                    pieces.push((piece, *alone.next().unwrap()));
                    rest = behind;
                }
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                prop_assert_eq!(by_the_socket(&pieces, &stops).await, by_the_library(&bytes).await);
                Ok(())
            })?;
        }
    }

    /// A socket and its client.
    async fn pair(early: &[u8]) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let wire = Wire::new(listener.accept().await.unwrap().0, early);
        (Socket::new(wire, MAX_MESSAGE).await, client)
    }

    async fn next(socket: &mut Socket) -> String {
        loop {
            let mut texts = Vec::new();
            let came = poll_fn(|cx| {
                socket.poll_next(cx, |text| {
                    texts.push(text.to_owned());
                    true
                })
            });
            match came.await {
                Came::Texts if texts.is_empty() => {}
                Came::Texts => return texts.join(" "),
                Came::Other(message) => return format!("{message:?}"),
            }
        }
    }

    /// Reads until there is nothing more.
    fn is_idle(socket: &mut Socket) -> bool {
        socket.poll_next(&mut Context::from_waker(std::task::Waker::noop()), |_| true).is_pending()
    }

    #[tokio::test]
    async fn plain_texts_do_not_need_the_library() {
        let (mut socket, mut client) = pair(&[]).await;
        let ping = written(0x89, b"?", Some([1, 2, 3, 4]), false);
        for text in ["one", "two"] {
            assert!(is_idle(&mut socket));
            let given = socket.wire().handed();
            client.write_all(&written(0x81, text.as_bytes(), Some([5, 6, 7, 8]), false)).await.unwrap();
            assert_eq!((next(&mut socket).await, socket.wire().handed()), (text.to_owned(), given));
            client.write_all(&ping).await.unwrap();
            assert!(next(&mut socket).await.contains("Ping"));
            assert_eq!(socket.wire().handed(), given + ping.len() as u64, "the library has its ping");
        }
    }

    #[tokio::test]
    async fn no_text_is_handed_over_before_it_is_wanted() {
        let (mut socket, mut client) = pair(&[]).await;
        assert!(is_idle(&mut socket));
        let both = ["one", "two"].map(|text| written(0x81, text.as_bytes(), Some([1, 2, 3, 4]), false));
        client.write_all(&both.concat()).await.unwrap();
        for expected in ["one", "two"] {
            let mut texts = Vec::new();
            while texts.is_empty() {
                poll_fn(|cx| {
                    socket.poll_next(cx, |text| {
                        texts.push(text.to_owned());
                        false
                    })
                })
                .await;
            }
            assert_eq!(texts, [expected]);
        }
    }

    #[tokio::test]
    async fn what_comes_in_the_middle_of_something_is_the_library_s() {
        let text = written(0x81, b"text", Some([5, 6, 7, 8]), false);
        // What is left of a frame can look like another one.
        let (mut socket, mut client) = pair(&written(0x81, &text, Some([0; 4]), false)[..6]).await;
        assert!(is_idle(&mut socket));
        client.write_all(&text).await.unwrap();
        assert!(next(&mut socket).await.contains("Utf8"));
        // A message in pieces must be finished first.
        let (mut socket, mut client) = pair(&written(0x01, b"first", Some([1; 4]), false)).await;
        assert!(is_idle(&mut socket));
        client.write_all(&text).await.unwrap();
        assert!(next(&mut socket).await.contains("ExpectedFragment"));
    }
}
