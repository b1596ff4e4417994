//! Sessions: what one agent's desktop and one adapter say to each other, and all that is kept in between.
//!
//! Owns: the protocol (`protocol.md`) but for its transports: messages, checks, the tree, the order of events, the
//! journal, resume and takeover, deadlines. Must never: know a platform, a socket or a configuration file.
//!
//! ```text
//! tree.rs       the objects of one session and what a report makes of them
//! order.rs      in which order the differences are said
//! …
//! ```

pub mod tree;

// To be built here (signatures fixed; internals free):
//
//   /// All sessions of one tenant.
//   pub struct Switchboard;             // Arc inside; Clone
//   impl Switchboard {
//       pub fn new(tenant: &str, limits: Limits, metrics: SessionMetrics) -> Self;
//       /// The tenant's platform; None while there is none (commands then fail with link_down).
//       pub fn set_platform(&self, platform: Option<adapter::Platform>);
//       pub fn set_link(&self, link: Link);                       // from PlatformSink
//       /// One desktop connection or one HTTP request.
//       pub fn desk(&self, identity: Identity, outbox: Outbox) -> Desk;
//       pub fn sessions(&self) -> Vec<SessionStatus>;              // for /sessions
//       pub async fn shut_down(&self, reason: DisposedReason, deadline: Duration);
//   }
//
//   /// The state of one connection: nothing, or bound to a session.
//   impl Desk {
//       /// Takes one message as it came; answers go to the outbox. Never waits for the platform (prepareSession runs
//       /// beside).
//       pub async fn receive(&mut self, text: &str);
//       pub fn is_bound(&self) -> bool;                            // for close code 4002
//       pub fn closed(self);                                       // the connection is gone: the grace begins
//       // for HTTP + SSE: prepare / command / stream with the answer handed back instead of going to an outbox
//   }
//
//   /// Where a connection's messages go: bounded; full means a client that does not read.
//   pub struct Outbox; // what the server drains: Message(text) | Close(code, reason)
