//! Any text that a desktop may send is answered with one JSON object, and nothing panics.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz message`. The same is tried with random texts by
//! `cargo test -p jackfield-protocol message`.

#![no_main]

use std::collections::HashMap;

use jackfield_plugin_api::{Code, Failure};
use jackfield_protocol::message::{Request, Response};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let failure = Failure::new(Code::NotFound, "there is no session");
    let answer = match Request::parse(text) {
        Ok(request) => request.respond(Response::Failure(&failure)),
        Err(bad) => bad.response,
    };
    // Members unread: a number that is repeated may be larger than any that a `Value` holds.
    let answer: HashMap<&str, &RawValue> = serde_json::from_str(&answer).expect("the answer is JSON");
    assert_eq!(answer["result"].get(), "\"failure\"");
});
