//! The state of a tenant's platform.

/// Whether a tenant's platform is connected, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TenantState {
    /// The first attempt to connect is under way.
    Connecting,
    /// The adapter has it.
    Connected,
    /// It is tried again after a pause.
    Waiting {
        /// Why the last attempt failed.
        reason: String,
    },
    /// Its worker has died too often, or its library cannot be loaded; it waits for an operator.
    Quarantined {
        /// How it died last, or why it cannot be loaded.
        reason: String,
    },
    /// The adapter says that these settings cannot work.
    Refused {
        /// Its words.
        reason: String,
    },
}

impl TenantState {
    /// One word for metrics and the operations listener.
    #[must_use]
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting { .. } => "waiting",
            Self::Quarantined { .. } => "quarantined",
            Self::Refused { .. } => "refused",
        }
    }

    /// All of those words, and the one for a tenant that is connected and takes no new sessions.
    pub(crate) const WORDS: [&'static str; 6] =
        ["connecting", "connected", "waiting", "quarantined", "refused", DRAINING];
}

/// The state of a tenant that is connected and takes no new sessions.
pub(super) const DRAINING: &str = "draining";
