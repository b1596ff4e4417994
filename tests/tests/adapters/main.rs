//! What the host makes of plugins that are loaded from their files: well-behaved ones, odd ones, and files that are
//! none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod compatibility;
mod files;
mod messages;
mod misbehaves;
mod support;
mod variants;
mod works;
