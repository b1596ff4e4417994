//! The session tree without a platform: whatever an adapter reports, a desktop is told a legal story, and in the end
//! knows what the host knows.
//!
//! `desk.rs` holds the tree and a desktop's model of it (`client_model.rs`, which knows only the protocol) side by side
//! and compares them after every report. `rows.rs` has every row of the protocol's section 4 with its exact events;
//! `absurd.rs` reports nonsense, `sensible.rs` lets a small platform run; `bounds.rs` floods.
//!
//! How it was checked that leaving out any one rule of the order makes a test fail: every statement of `order.rs`,
//! `apply.rs`, `replay.rs` and `say.rs` that says an event was taken out, and every condition of `order.rs`, `plan.rs`,
//! `apply.rs` and `rules.rs` was turned to true and to false, one at a time in a copy of the sources, and these tests
//! were run against each. To be done again after a change of the order.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod absurd;
mod bounds;
mod desk;
mod dice;
mod extensions;
mod keys;
mod left_out;
mod rows;
mod sensible;
mod targets;
