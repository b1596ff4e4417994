//! The Asterisk adapter on a real Asterisk, with SIPp as phones, customers and the outside world. Each test asserts on
//! both sides: what the desktop is told, and what Asterisk or SIPp say. Skipped where Asterisk is not installed.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod app_queue;
mod callbacks;
mod calls;
mod desk;
mod floor;
mod host;
mod lamps;
mod link;
mod live_calls;
mod parking;
mod phones;
mod places;
mod queue_log;
mod queues;
mod records;
mod second;
mod staffing;
mod supervise;
mod survival;
mod tenants;
mod truth;
mod turmoil;
mod voicemail;
