//! The bare server: the least that a WebSocket server on the same library can be.
//!
//! Each connection gets the recorded frames, step by step, whatever it sends. Buffers, batching (all that is ready is
//! answered, then one flush) and runtime are those of the host.

use std::{io::Write as _, sync::Arc};

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{
    Message, Utf8Bytes,
    handshake::server::{Request, Response},
    protocol::WebSocketConfig,
};

use super::script::Script;

/// Serves until the process is ended; writes the port as the first line.
pub async fn serve(script: &Script) -> std::io::Result<()> {
    let frames = |steps: &[super::script::Step]| -> Vec<Vec<Utf8Bytes>> {
        steps.iter().map(|step| step.frames.iter().map(Utf8Bytes::from).collect()).collect()
    };
    let frames = Arc::new((frames(&script.morning), frames(&script.day)));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        let frames = frames.clone();
        tokio::spawn(async move {
            // A client that goes away is the ordinary end.
            let _ = answer(stream, &frames.0, &frames.1).await;
        });
    }
}

async fn answer(
    stream: TcpStream,
    morning: &[Vec<Utf8Bytes>],
    day: &[Vec<Utf8Bytes>],
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(1024);
    #[allow(clippy::result_large_err)] // the signature that the library wants
    let subprotocol = |_: &Request, mut response: Response| {
        response.headers_mut().insert("sec-websocket-protocol", "jackfield.v1".parse().expect("a value"));
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async_with_config(stream, subprotocol, Some(config)).await?;
    let mut steps = morning.iter().chain(day.iter().cycle());
    while let Some(message) = socket.next().await {
        let mut message = Some(message?);
        while let Some(taken) = message {
            if matches!(taken, Message::Text(_)) {
                for frame in steps.next().expect("the day repeats") {
                    socket.feed(Message::Text(frame.clone())).await?;
                }
            }
            message = socket.next().now_or_never().flatten().transpose()?;
        }
        socket.flush().await?;
    }
    Ok(())
}
