//! TLS on a listener, and the stream that a connection has with it or without.
//!
//! Owns: which certificate a new connection is shown. The files are looked at every few seconds; a connection keeps what
//! it began with. Must never: stop serving because a file is wrong for a moment, as it is while somebody replaces two of
//! them: what was right before stays until all are right again.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::{TlsConfig, TlsProblem, TlsServer},
    metrics::Metrics,
};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a listener shows its clients.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsConfig,
    current: RwLock<TlsServer>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One is wrong; it is named.
    pub(super) fn new(files: &TlsConfig) -> io::Result<Arc<Self>> {
        let server = files.read().and_then(|files| files.server());
        let server = server.map_err(|(key, wrong)| io::Error::other(format!("{key}: {wrong}")))?;
        Ok(Arc::new(Self { files: files.clone(), current: RwLock::new(server) }))
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// It does not speak TLS, or has not the certificate that it must show.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Transport> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.read().config));
        Ok(Transport::Tls(Box::new(acceptor.accept(stream).await?)))
    }

    /// Reads the files again whenever they have changed, for ever, and tells the metrics when the certificates run out.
    pub(super) async fn follow(self: Arc<Self>, metrics: Metrics) {
        metrics.set_certificate(self.files.table, self.current.read().not_after);
        let mut looked = None;
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let (this, before) = (Arc::clone(&self), looked.clone());
            let (digest, change) = match spawn_blocking(move || this.look(before.as_ref())).await {
                Ok(seen) => seen,
                Err(_) => continue,
            };
            // The first look finds what the listener began with, or what it has become meanwhile.
            let first = looked.replace(digest).is_none();
            match change {
                None => {}
                Some(Ok(server)) => {
                    metrics.set_certificate(self.files.table, server.not_after);
                    *self.current.write() = server;
                    if !first {
                        tracing::info!("the certificates were read again");
                    }
                }
                Some(Err((key, wrong))) => {
                    tracing::warn!(
                        key,
                        wrong,
                        "the certificates have changed and cannot be used; the ones before stay"
                    );
                }
            }
        }
    }

    /// The files as they are now, and the configuration that is made of them if they have changed.
    fn look(&self, before: Option<&Seen>) -> (Seen, Option<Result<TlsServer, TlsProblem>>) {
        let read = self.files.read();
        let seen = match &read {
            Ok(files) => Seen::Files(files.digest()),
            Err((key, _)) => Seen::Unreadable(key.clone()),
        };
        let changed = Some(&seen) != before;
        (seen, changed.then(|| read.and_then(|files| files.server())))
    }
}

/// What a look at the files has found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// A hash of them.
    Files([u8; 32]),
    /// The one that this key names cannot be read.
    Unreadable(String),
}

/// A connection's stream of bytes.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with either.
macro_rules! either {
    ($self:ident, $stream:ident => $then:expr) => {
        match $self.get_mut() {
            Self::Plain(stream) => {
                let $stream = Pin::new(stream);
                $then
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $then
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
