//! Any text that a desktop may send is answered with one JSON object, and nothing panics.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz message` (see the README at the top). The same is tried with
//! random texts by `cargo test -p jackfield message`.

#![no_main]

use std::{collections::HashMap, sync::LazyLock};

use jackfield::{
    metrics::Metrics,
    session::{Identity, Limits, Out, Outbox, OutboxLimits, Switchboard},
};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

static HOST: LazyLock<(Runtime, Switchboard)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().build().expect("a runtime can be made");
    let board = {
        let _inside = runtime.enter();
        Switchboard::new("fuzz", Limits::default(), Metrics::new(1).tenant("fuzz", "none"))
    };
    (runtime, board)
});

fuzz_target!(|text: &str| {
    let (runtime, board) = &*HOST;
    runtime.block_on(async {
        let (outbox, mut outlet) = Outbox::new(OutboxLimits::default());
        let mut desk = board.desk(Identity::Anyone, outbox);
        desk.receive(text, Instant::now());
        outlet.ready().await;
        let Some(Out::Message(answer)) = outlet.try_next() else { panic!("no answer") };
        // Members unread: a number that is repeated may be larger than any that a `Value` holds.
        let answer: HashMap<&str, &RawValue> = serde_json::from_slice(&answer.text).expect("the answer is JSON");
        assert_eq!(answer["result"].get(), "\"failure\"");
        assert!(outlet.try_next().is_none(), "one answer");
    });
});
