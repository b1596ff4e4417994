//! A desktop on a WebSocket: what its connection carries messages to and from.
//!
//! Owns: the desktop's session and queue for as long as the connection lives, and what is counted when it ends. Must
//! never: touch the connection's stream. Messages come from `websocket.rs` and from the session.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use jackfield_protocol::close::CloseCode;
use tokio::{sync::watch, time::Instant};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{
    peer::Peer,
    tls::Transport,
    websocket::{Application, ConnectionEnd, Outgoing, WebSocketConnection},
};
use crate::{
    metrics::{LimitLabel, Metrics},
    session::{ClientConnection, OutboxItem, Outlet},
    tenant::{Admission, Connection, HostedTenant},
};

/// A desktop's connection, ready to be served.
pub(super) struct DesktopConnection {
    pub(super) socket: WebSocketConnection<Transport>,
    pub(super) desktop: Desktop,
    pub(super) tenant: Arc<HostedTenant>,
    /// Its room among the tenant's connections.
    pub(super) connection: Option<Connection>,
    /// By what the client was let in.
    pub(super) admission: Admission,
    pub(super) metrics: Metrics,
    pub(super) closing: watch::Receiver<bool>,
    /// Its room among all connections.
    pub(super) peer: Peer,
}

impl DesktopConnection {
    /// Serves the desktop until its connection ends. Boxed, as an async function keeps room for what it takes twice, and
    /// whoever waits for it once more.
    pub(super) async fn serve(mut self: Box<Self>) {
        let counted = self.tenant.client();
        let (closing, tenant, admission) = (&mut self.closing, &self.tenant, &self.admission);
        // Boxed for the same reason.
        let must_end = Box::pin(async move {
            tokio::select! {
                () = closed(closing) => ConnectionEnd::Shutdown,
                reason = tenant.no_longer_admits(admission) => ConnectionEnd::NotAdmitted(reason),
            }
        });
        let end = self.socket.run(&mut self.desktop, must_end).await;
        if matches!(
            end,
            ConnectionEnd::TooLarge | ConnectionEnd::Bytes | ConnectionEnd::NotUtf8 | ConnectionEnd::NotWebSocket
        ) {
            self.tenant.metrics().bad_message();
        }
        if end == ConnectionEnd::TooLarge {
            self.tenant.metrics().limited(LimitLabel::MessageBytes);
        }
        // The session knows that its client is gone, and the tenant has room again, before the last words are said.
        drop(self.desktop);
        drop((self.connection, counted, self.tenant));
        self.metrics.connection_closed(label(end));
        // Boxed: it is needed once, and should not be a part of every idle connection.
        Box::pin(self.socket.finish(end)).await;
        drop(self.peer);
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
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

/// The desktop's session and its queue.
pub(super) struct Desktop {
    pub(super) client: ClientConnection,
    pub(super) outlet: Outlet,
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
