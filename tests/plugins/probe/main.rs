//! A host of a later version of the plugin API, as small as can be: it loads the plugin that is named on its command
//! line, makes an agent of the odd adapter ready, and asks what only the later version knows.
//!
//! It is no member of the workspace: the compatibility tests build it against a changed copy of the API.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use jackfield_plugin_api::{
    abi,
    wire::{Kind, MessageSink, Status},
};
use serde_json::{Value, json};

struct Here(mpsc::Sender<(Kind, Value)>);

impl MessageSink for Here {
    fn send(&self, kind: Kind, _: u64, payload: &str) -> Status {
        let message = serde_json::from_str(payload).expect("JSON");
        // Nobody listens any more at the end.
        let _ = self.0.send((kind, message));
        Status::ACCEPTED
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("a plugin's path");
    // SAFETY: the plugin is one that the tests have built.
    let library = unsafe { libloading::Library::new(path) }.expect("a shared library");
    // SAFETY: only the address is taken.
    let symbol = unsafe { library.get::<*const ()>(abi::HEADER_SYMBOL) }.expect("the header");
    // SAFETY: the address of the header, in a library that stays loaded.
    let address = unsafe { symbol.into_raw() }.as_raw_ptr().cast_const().cast::<()>();
    std::mem::forget(library);
    // SAFETY: as above.
    let checked = match unsafe { abi::negotiate(address) } {
        Ok(checked) => checked,
        Err(incompatible) => return println!("refused: {}", incompatible.reason),
    };
    println!("plugin {}", checked.api_version());
    println!("added member: {:?}", checked.added());

    let (sender, messages) = mpsc::channel();
    let plugin = checked.create(Arc::new(Here(sender)), "{}").expect("an instance");
    let ask = |kind: Kind, id: u64, payload: Value, answer: Kind| {
        if plugin.send(kind, id, &payload.to_string()) != Status::ACCEPTED {
            return json!("refused");
        }
        wait_for(&messages, answer)
    };
    wait_for(&messages, Kind::DONE);
    ask(Kind::CONNECT, 1, json!({"tenant": {"id": "t", "settings": {}}}), Kind::DONE);
    let login = json!({"agent": "a", "password": "p", "model": null, "session": "s", "resume": null});
    ask(Kind::LOG_IN, 2, json!({"platform": 1, "login": login}), Kind::DONE);
    let ready = json!({"request": 7, "command": {"ready": {"channel": "c1"}}});
    let answer = ask(Kind::COMMAND, 2, ready, Kind::ANSWER);
    println!("ready: {}", answer["outcome"].as_object().and_then(|it| it.keys().next()).expect("an outcome"));
    match ask(Kind(13), 2, json!({"request": 8}), Kind::ANSWER) {
        Value::String(refused) => println!("added message: {refused}"),
        answer => println!("added message: {}", answer["outcome"]["success"]),
    }
}

fn wait_for(messages: &mpsc::Receiver<(Kind, Value)>, wanted: Kind) -> Value {
    loop {
        let (kind, message) = messages.recv_timeout(Duration::from_secs(20)).expect("an answer");
        if kind == wanted {
            return message;
        }
    }
}
