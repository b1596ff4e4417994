//! Messages between an adapter and a switch in another process, on a byte stream.
//!
//! Owns: the frame, a length of four bytes and as much JSON text, and its bound. Must never: be spoken with anybody but
//! this crate of the same version: it promises nothing to others.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    settings::Settings,
    switch::message::{Request, SessionNo, Ticket},
};

/// No message is longer.
const LONGEST: u32 = 16 * 1024 * 1024;

/// How many messages may wait for the other side to read; a side that lets more wait is cut off.
pub(crate) const WAITING: usize = 65_536;

/// What an adapter says. What it hears are [effects](crate::switch::message::Effect).
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// First of all: whose switch it wants, and the settings to open it with if it is not open yet.
    Hello {
        /// The tenant.
        tenant: String,
        /// Its settings.
        settings: Box<Settings>,
    },
    /// A request of a session.
    Ask {
        /// The session.
        session: SessionNo,
        /// The name of the request.
        ticket: Ticket,
        /// What is asked.
        request: Box<Request>,
    },
}

/// A message as a frame.
pub(crate) fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).expect("messages have text keys only");
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Reads one message.
///
/// # Errors
/// The stream has ended, or what came is no message.
pub(crate) async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<T> {
    let length = from.read_u32().await?;
    if length > LONGEST {
        return Err(std::io::Error::other("a message that is too long"));
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text).await?;
    serde_json::from_slice(&text).map_err(std::io::Error::other)
}

/// Writes what waits, until the other end of the queue or of the stream is gone.
pub(crate) async fn write_all(
    mut waiting: tokio::sync::mpsc::Receiver<Vec<u8>>,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, 256).await > 0 {
        let bytes = batch.concat();
        batch.clear();
        to.write_all(&bytes).await?;
    }
    Ok(())
}
