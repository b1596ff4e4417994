//! The close codes of WebSocket connections.
//!
//! Owns: section 9 of `protocol.md` as a type: every code that a host closes with.

/// Why a host closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// The session is over, and the connection was for it alone.
    Normal = 1000,
    /// The host shuts down, the tenant is removed, the client's token has expired or counts no more, or the client has been
    /// silent for too long.
    GoingAway = 1001,
    /// What came was not WebSocket.
    ProtocolError = 1002,
    /// A message was not text.
    Unsupported = 1003,
    /// A text was not UTF-8.
    InvalidText = 1007,
    /// A message was larger than allowed.
    TooLarge = 1009,
    /// Another connection has bound the session.
    TakenOver = 4001,
    /// The client neither prepared nor bound a session in time.
    Unbound = 4002,
    /// The client did not read fast enough.
    TooSlow = 4008,
}

impl CloseCode {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidText,
        Self::TooLarge,
        Self::TakenOver,
        Self::Unbound,
        Self::TooSlow,
    ];

    /// The code as it stands in a Close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}
