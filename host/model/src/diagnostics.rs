//! Why something in a report was left out.
//!
//! Owns the closed list of the kinds of diagnostics. Applying a report never fails; what is left out is named here, so that
//! the session can count it by kind (a metric's label) and log the first few with the adapter's name.

/// How many diagnostics of one report keep their text; all are counted.
const MAX_TEXTS: usize = 8;

/// Why something in a report was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiagnosticKind {
    /// The same key twice in one list; the first stands.
    NamedTwice,
    /// A statement about an object that is not there, without what would create it.
    Unknown,
    /// A state that goes back.
    WentBack,
    /// Another type, group, endpoint, direction or role of an object that is there.
    CannotChange,
    /// Two conversations of one role, or two that talk.
    Contradiction,
    /// A conversation where there can be none.
    Misplaced,
    /// More objects than a session may have.
    TooMany,
    /// A key, a text or call data longer than may be.
    TooLong,
    /// A channel of a type that the manifest does not declare.
    ChannelType,
    /// An extension event that the manifest does not declare, or whose name, object or data do not fit.
    ExtensionEvent,
}

impl DiagnosticKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::NamedTwice,
        Self::Unknown,
        Self::WentBack,
        Self::CannotChange,
        Self::Contradiction,
        Self::Misplaced,
        Self::TooMany,
        Self::TooLong,
        Self::ChannelType,
        Self::ExtensionEvent,
    ];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NamedTwice => "named_twice",
            Self::Unknown => "unknown",
            Self::WentBack => "went_back",
            Self::CannotChange => "cannot_change",
            Self::Contradiction => "contradiction",
            Self::Misplaced => "misplaced",
            Self::TooMany => "too_many",
            Self::TooLong => "too_long",
            Self::ChannelType => "channel_type",
            Self::ExtensionEvent => "extension_event",
        }
    }
}

/// One thing that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Why.
    pub kind: DiagnosticKind,
    /// What, for the log: names the object by the platform's key.
    pub what: String,
}

/// All that was left out of the reports that were applied with it.
#[derive(Debug, Default)]
pub struct Diagnostics {
    counts: [u32; DiagnosticKind::ALL.len()],
    first: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; its text is made only where it is kept.
    #[cold]
    pub(crate) fn add(&mut self, kind: DiagnosticKind, what: impl FnOnce() -> String) {
        let count = &mut self.counts[kind as usize];
        *count = count.saturating_add(1);
        if self.first.len() < MAX_TEXTS {
            self.first.push(Diagnostic { kind, what: what() });
        }
    }

    /// Adds all of the others.
    pub(crate) fn append(&mut self, others: Self) {
        if others.is_empty() {
            return;
        }
        for (count, more) in self.counts.iter_mut().zip(others.counts) {
            *count = count.saturating_add(more);
        }
        self.first.extend(others.first);
        self.first.truncate(MAX_TEXTS);
    }

    /// Whether nothing was left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }

    /// How many of each kind, of the kinds that occurred.
    pub fn counts(&self) -> impl Iterator<Item = (DiagnosticKind, u32)> {
        DiagnosticKind::ALL.into_iter().map(|kind| (kind, self.counts[kind as usize])).filter(|&(_, count)| count > 0)
    }

    /// The first few, in words.
    #[must_use]
    pub fn first(&self) -> &[Diagnostic] {
        &self.first
    }
}
