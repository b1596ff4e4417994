//! A WebSocket endpoint that sends back what it is sent, over the host's own connection code: what Autobahn's test suite
//! judges (`tests/autobahn/run`). Listens on the address that it is given.

#![allow(clippy::unwrap_used)] // a tool for tests

use std::{
    collections::VecDeque,
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jackfield::websocket::{Application, CloseCode, Outgoing, WebSocketConnection};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, handshake::server::create_response_with_body};

/// Autobahn's largest message in the cases that are run.
const MAX_MESSAGE: usize = 1 << 20;

#[derive(Default)]
struct Echo(VecDeque<Message>);

impl Application for Echo {
    fn receive(&mut self, text: Utf8Bytes, _: Instant) {
        self.0.push_back(Message::Text(text));
    }

    fn receive_bytes(&mut self, bytes: Bytes) -> bool {
        self.0.push_back(Message::Binary(bytes));
        true
    }

    fn poll_send(&mut self, _: &mut Context<'_>) -> Poll<Outgoing> {
        // Nothing comes but by what is received, so nobody has to be woken.
        self.0.pop_front().map_or(Poll::Pending, |message| Poll::Ready(Outgoing::Message(message)))
    }

    fn poll_overflow(&mut self, _: &mut Context<'_>) -> Poll<(CloseCode, &'static str)> {
        Poll::Pending
    }

    fn is_busy(&self) -> bool {
        self.0.len() > 16
    }

    fn is_bound(&self) -> bool {
        true
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let Ok(response) = create_response_with_body(&request, Empty::new) else {
        return Ok(Response::builder().status(400).body(Empty::new()).unwrap());
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let parts = upgrade.await.unwrap().downcast::<TokioIo<TcpStream>>().unwrap();
        let mut connection = WebSocketConnection::new(parts.io.into_inner(), parts.read_buf, MAX_MESSAGE).await;
        let end = connection.run(&mut Echo::default(), std::future::pending()).await;
        connection.finish(end).await;
    });
    Ok(response)
}

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("the address to listen on");
    let listener = TcpListener::bind(&address).await.expect("the address is free");
    println!("listening on {address}");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option of TCP");
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades();
        tokio::spawn(serving);
    }
}
