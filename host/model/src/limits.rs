//! How much one session may hold.
//!
//! A report comes from a plugin, and behind it from a platform; neither may fill the host's memory. The numbers are far
//! above what an agent can work with. Together they keep one session's tree below 32 MiB at the very worst, where an
//! ordinary one has a few KiB.

/// A bound with two sides: what is refused to a desktop, and what is left out of a report.
///
/// They differ, because commands are carried out side by side and a platform acts meanwhile: what a desktop was told to
/// have succeeded must be shown, whatever has come in between.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// A command that would lead beyond this fails with `quota_exceeded` before the platform is asked.
    pub command: usize,
    /// What a report brings beyond this is left out and noted.
    pub report: usize,
}

impl Bound {
    const fn new(command: usize, report: usize) -> Self {
        Self { command, report }
    }
}

/// Groups in a session: an agent has one or two.
pub const GROUPS: Bound = Bound::new(32, 64);
/// Channels in a session, in groups and alone.
pub const CHANNELS: Bound = Bound::new(64, jackfield_protocol::MAX_CHANNEL_OPTIONS);
/// Interactions on a channel that have not ended.
pub const LIVE: Bound = Bound::new(64, 96);
/// Interactions in a session that have not ended.
pub const LIVE_IN_SESSION: Bound = Bound::new(128, 192);
/// Interactions on a channel that have ended and wait to be completed. They never stand in a live one's way: where one
/// more ends, the oldest is completed.
pub const ENDED: usize = 128;
/// The same in a session.
pub const ENDED_IN_SESSION: usize = 256;
/// Members of a conversation: larger than any conference that an agent sits in.
pub const MEMBERS: Bound = Bound::new(32, 48);
/// Bytes of a platform's key.
pub const KEY: usize = 256;
/// Bytes of a name, an address, an endpoint, a queue, a reason. Longer ones in a report are cut, in a command refused.
pub const TEXT: usize = jackfield_protocol::MAX_TEXT;
/// Bytes of a screen-pop address: what browsers and proxies take.
pub const URL: usize = 8 * 1024;
/// Bytes of one interaction's call data, keys and values, without the platform's own entries.
pub const DATA: Bound = Bound::new(64 * 1024, 128 * 1024);
/// Bytes of the call data of all interactions of a session, without the platform's own entries.
pub const DATA_IN_SESSION: Bound = Bound::new(1024 * 1024, 4 * 1024 * 1024);
/// Bytes of the platform's own entries of one interaction's call data: they have a room of their own, so that nothing
/// that a desktop sets can be in their way.
pub const OWN_DATA: usize = 16 * 1024;
/// What an entry of call data takes beside its key and value; counted with them.
pub const ENTRY: usize = 32;
/// Bytes of an extension event's data.
pub const EVENT: usize = 64 * 1024;
/// Bytes of the extension events that come before the first snapshot.
pub const EARLY: usize = 1024 * 1024;
/// Items of one list in a report that are looked at, and extension events in a report.
pub const LIST: usize = 512;

/// The text, cut to [`TEXT`].
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
