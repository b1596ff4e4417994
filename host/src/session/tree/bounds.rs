//! How much one session may hold.
//!
//! A report comes from a plugin, and behind it from a platform; neither may fill the host's memory. The numbers are far
//! above what an agent can work with; what is beyond them is left out and noted. Together they keep one session's tree
//! below 20 MiB at the very worst, where an ordinary one has a few KiB.

/// Groups in a session: an agent has one or two.
pub const GROUPS: usize = 32;
/// Channels in a session, in groups and alone.
pub const CHANNELS: usize = 64;
/// Interactions on a channel. Generous, because a call that is left out is a call that nobody sees, and an agent who
/// never completes after-call work piles them up.
pub const INTERACTIONS: usize = 128;
/// Interactions in a session.
pub const INTERACTIONS_IN_SESSION: usize = 256;
/// Members of a conversation: larger than any conference that an agent sits in.
pub const MEMBERS: usize = 32;
/// Bytes of a platform's key.
pub const KEY: usize = 256;
/// Bytes of a name, an address, an endpoint, a queue, a reason. Longer ones are cut.
pub const TEXT: usize = 256;
/// Bytes of a screen-pop address: what browsers and proxies take.
pub const URL: usize = 8 * 1024;
/// Bytes of one interaction's call data, keys and values.
pub const DATA: usize = 64 * 1024;
/// Bytes of the call data of all interactions of a session.
pub const DATA_IN_SESSION: usize = 1024 * 1024;
/// Bytes of an extension event's data.
pub const EVENT: usize = 64 * 1024;
/// Bytes of the extension events that come before the first snapshot.
pub const EARLY: usize = 1024 * 1024;
/// Items of one list in a report that are looked at, and extension events in a report.
pub const LIST: usize = 512;

/// The text, cut to [`TEXT`].
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
