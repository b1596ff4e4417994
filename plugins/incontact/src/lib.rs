//! The adapter for NICE CXone (inContact).

#![forbid(unsafe_code)]

mod model;
