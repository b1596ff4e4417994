//! A desktop on a WebSocket: what its connection carries messages to and from.
//!
//! Owns: the desktop's session and queue for as long as the connection lives, and what is counted when it ends. Must
//! never: touch the connection's stream. Messages come from `websocket.rs` and from the session.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::Bytes;
use jackfield_protocol::close::CloseCode;
use tokio::{sync::watch, time::Instant};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{
    tls::Transport,
    websocket::{Application, ConnectionEnd, Outgoing, WebSocketConnection},
};
use crate::{
    metrics::{LimitLabel, Metrics},
    session::{ClientConnection, OutboxItem, Outlet},
    tenant::{Admission, Connection, HostedTenant},
};

/// What a desktop's connection is made of.
pub(super) struct Parts {
    pub(super) stream: Transport,
    /// What the client sent right behind its handshake.
    pub(super) early: Bytes,
    pub(super) client: ClientConnection,
    pub(super) outlet: Outlet,
    pub(super) tenant: Arc<HostedTenant>,
    /// Its room among the tenant's connections.
    pub(super) connection: Option<Connection>,
    /// By what the client was let in.
    pub(super) admission: Admission,
    pub(super) metrics: Metrics,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) max_message: usize,
}

/// Serves a desktop until its connection ends.
pub(super) async fn serve(parts: Parts) {
    let Parts { stream, early, client, outlet, tenant, connection, admission, metrics, closing, max_message } = parts;
    let mut desktop = Desktop { client, outlet };
    let counted = tenant.client();
    let mut socket = WebSocketConnection::new(stream, early, max_message).await;
    // Boxed: it would stand twice in every idle connection, here and where it is waited for.
    let must_end = Box::pin(async {
        tokio::select! {
            () = closed(closing) => ConnectionEnd::Shutdown,
            reason = tenant.no_longer_admits(admission) => ConnectionEnd::NotAdmitted(reason),
        }
    });
    let end = socket.run(&mut desktop, must_end).await;
    if matches!(
        end,
        ConnectionEnd::TooLarge | ConnectionEnd::Bytes | ConnectionEnd::NotUtf8 | ConnectionEnd::NotWebSocket
    ) {
        tenant.metrics().bad_message();
    }
    if end == ConnectionEnd::TooLarge {
        tenant.metrics().limited(LimitLabel::MessageBytes);
    }
    // The session knows that its client is gone, and the tenant has room again, before the last words are said.
    drop(desktop);
    drop((connection, counted, tenant));
    metrics.connection_closed(label(end));
    // Boxed: it is needed once, and should not be a part of every idle connection.
    Box::pin(socket.finish(end)).await;
}

async fn closed(mut closing: watch::Receiver<bool>) {
    // The sender may be gone, which is no reason to close.
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending().await
    }
}

/// The word for the metrics where a client would not be let in any more.
pub(super) const NOT_ADMITTED: &str = "not_admitted";

/// An end as a word for the metrics.
const fn label(end: ConnectionEnd) -> &'static str {
    match end {
        ConnectionEnd::Client => "client",
        ConnectionEnd::Lost => "lost",
        ConnectionEnd::Silent => "silent",
        ConnectionEnd::Unbound => "unbound",
        ConnectionEnd::TooLarge => "too_large",
        ConnectionEnd::Bytes => "binary",
        ConnectionEnd::NotUtf8 => "not_utf8",
        ConnectionEnd::NotWebSocket => "protocol_error",
        ConnectionEnd::Shutdown => "shutdown",
        ConnectionEnd::NotAdmitted(_) => NOT_ADMITTED,
        ConnectionEnd::Application(code, _) => super::closed_by_session(code),
    }
}

struct Desktop {
    client: ClientConnection,
    outlet: Outlet,
}

impl Application for Desktop {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.poll_ready(cx)
    }

    fn receive(&mut self, text: Utf8Bytes, at: Instant) {
        self.client.receive(&text, at);
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        self.outlet.poll_next(cx).map(|out| match out {
            OutboxItem::Message(message) => {
                // The session writes JSON, which is UTF-8.
                Outgoing::Message(Message::Text(Utf8Bytes::try_from(message.text).unwrap_or_default()))
            }
            OutboxItem::Close(code, reason) => Outgoing::Close(code, reason),
        })
    }

    fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<(CloseCode, &'static str)> {
        self.outlet.poll_close(cx)
    }

    fn is_busy(&self) -> bool {
        self.outlet.is_busy()
    }

    fn is_bound(&self) -> bool {
        self.client.is_bound()
    }
}
