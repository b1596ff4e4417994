//! The inside of a plugin, spoken to by the bare messages, as a host of another version might.

use std::sync::{Arc, Mutex};

use jackfield_odd::{MANIFEST, Odd};
use jackfield_plugin_api::{
    runtime::Plugin,
    wire::{self, Kind, MessageSink, Status},
};
use serde_json::{Value, json};

use crate::support::until;

/// Keeps what the plugin says.
#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<(Kind, u64, Value)>>,
}

impl MessageSink for Heard {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        self.messages.lock().unwrap().push((kind, id, wire::read(payload).unwrap()));
        Status::ACCEPTED
    }
}

impl Heard {
    async fn next(&self, kind: Kind, id: u64) -> Value {
        let take = || {
            let mut heard = self.messages.lock().unwrap();
            let at = heard.iter().position(|it| (it.0, it.1) == (kind, id))?;
            Some(heard.remove(at).2)
        };
        until(&format!("{kind:?} for {id}"), take).await
    }

    fn has(&self, kind: Kind) -> bool {
        self.messages.lock().unwrap().iter().any(|it| it.0 == kind)
    }
}

/// A plugin with a tenant (1) and an agent (2).
async fn plugin() -> (Plugin<Odd>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let host = Arc::clone(&heard) as Arc<dyn MessageSink>;
    let plugin = Plugin::<Odd>::start(serde_json::from_str(MANIFEST).unwrap(), 1, host).unwrap();
    assert_eq!(heard.next(Kind::DONE, 0).await, json!({"of": Kind::LOAD}));
    let connect = json!({"tenant": {"id": "t", "settings": {}}});
    assert_eq!(plugin.submit(Kind::CONNECT, 1, &connect.to_string()), Status::ACCEPTED);
    heard.next(Kind::DONE, 1).await;
    let login = json!({"agent": "a", "password": "p", "model": null, "session": "s", "resume": null});
    let log_in = json!({"platform": 1, "login": login}).to_string();
    assert_eq!(plugin.submit(Kind::LOG_IN, 2, &log_in), Status::ACCEPTED);
    heard.next(Kind::DONE, 2).await;
    (plugin, heard)
}

#[tokio::test]
async fn a_command_of_a_later_version_is_answered_with_unsupported() {
    let (plugin, heard) = plugin().await;
    let teleport = json!({"request": 5, "command": {"teleport": {"channel": "c1", "to": "moon"}}});
    assert_eq!(plugin.submit(Kind::COMMAND, 2, &teleport.to_string()), Status::ACCEPTED);
    let answer = heard.next(Kind::ANSWER, 2).await;
    assert_eq!(answer["request"], 5);
    assert_eq!(answer["outcome"]["failure"]["code"], "unsupported");
    assert!(!heard.has(Kind::BREACH), "nobody did anything wrong");
}

#[tokio::test]
async fn members_of_a_later_version_are_ignored() {
    let (plugin, heard) = plugin().await;
    let ready = json!({"request": 6, "urgent": true, "command": {"ready": {"channel": "c1", "soon": 1}}});
    assert_eq!(plugin.submit(Kind::COMMAND, 2, &ready.to_string()), Status::ACCEPTED);
    let answer = heard.next(Kind::ANSWER, 2).await;
    assert_eq!((&answer["request"], &answer["outcome"]), (&json!(6), &json!({"success": null})));
}

#[tokio::test]
async fn a_kind_of_a_later_version_is_refused_at_once() {
    let (plugin, _) = plugin().await;
    assert_eq!(plugin.submit(Kind(4711), 2, "{}"), Status::REFUSED);
}

#[tokio::test]
async fn what_is_for_nobody_is_told_so() {
    let (plugin, heard) = plugin().await;
    let request = json!({"request": 1}).to_string();
    for kind in [Kind::COMMAND, Kind::START, Kind::SNAPSHOT, Kind::LOG_OUT, Kind::DROP_AGENT, Kind::DISCONNECT] {
        assert_eq!(plugin.submit(kind, 99, &request), Status::CLOSED, "{kind:?}");
    }
    let log_in = json!({"platform": 99, "login": {"agent": "a", "session": "s"}}).to_string();
    assert_eq!(plugin.submit(Kind::LOG_IN, 3, &log_in), Status::ACCEPTED);
    assert_eq!(heard.next(Kind::DONE, 3).await["failure"]["code"], "link_down");
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_told_and_harms_nobody() {
    let (plugin, heard) = plugin().await;
    assert_eq!(plugin.submit(Kind::COMMAND, 2, "nonsense"), Status::ACCEPTED);
    assert_eq!(heard.next(Kind::BREACH, 2).await["what"], "bad_message");
    assert_eq!(plugin.submit(Kind::CONNECT, 7, "{"), Status::REFUSED);
    assert_eq!(plugin.submit(Kind::PING, 8, ""), Status::ACCEPTED);
    heard.next(Kind::DONE, 8).await;
}

#[tokio::test]
async fn a_shutdown_disconnects_every_tenant() {
    let (plugin, heard) = plugin().await;
    assert_eq!(plugin.submit(Kind::SHUTDOWN, 9, ""), Status::ACCEPTED);
    heard.next(Kind::DONE, 9).await;
    assert_eq!(plugin.submit(Kind::DISCONNECT, 1, ""), Status::CLOSED);
}
