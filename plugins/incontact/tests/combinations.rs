//! An agent's day under every combination of what the public documents do not say of CXone: what becomes of each command
//! is the same in all.
#![allow(clippy::unwrap_used)]

mod common;

use jackfield_cxone_emulator::behaviour::Behaviour;

common::day::day_under! { Behaviour::combinations() }
