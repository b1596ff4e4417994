//! What callers who wait are told, and when Asterisk is asked to stop telling it.

use super::*;

/// A caller whom the dialplan has answered waits in a queue that tells the position every half minute.
pub(super) fn waiting() -> Bench {
    let mut bench = Bench::new(json!({"queues": {"sales": {"announce_seconds": 30}}}));
    let caller = Caller { name: String::new(), number: "555".into() };
    let channel = Channel { id: "c1".into(), state: "Up".into(), caller, ..Channel::default() };
    bench.event(Event::Start { channel, args: vec!["queue".into(), "sales".into()], replaces: None });
    bench
}

impl Bench {
    /// What the newest announcement is called.
    pub(super) fn playback(&self) -> String {
        let play = self.sent.iter().rev().find(|it| it.uri == "channels/c1/play").expect("it is played");
        play.query.iter().find(|(name, _)| *name == "playbackId").unwrap().1.clone()
    }
}

#[test]
fn an_announcement_ends_before_anything_else_is_asked_of_the_callers_channel() {
    let mut bench = waiting();
    bench.tick(30);
    let playback = format!("playbacks/{}", bench.playback());
    bench.agent("anna", "1001");
    let before = bench.sent.len();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
    let sent = &bench.sent[before..];
    let asks_caller = |it: &&Request| {
        it.uri.starts_with("channels/c1/") || it.query.iter().any(|(name, value)| *name == "channel" && value == "c1")
    };
    let ended = sent.iter().position(|it| it.method == Method::Delete && it.uri == playback).expect("it is ended");
    let asked = sent.iter().position(|it| asks_caller(&it)).expect("it is kept who has the call");
    assert!(ended < asked, "{sent:?}");
    assert_eq!(sent.iter().filter(|it| it.uri == playback).count(), 1);
}

#[test]
fn the_next_announcement_waits_until_the_one_before_is_over() {
    let mut bench = waiting();
    bench.tick(30);
    bench.tick(30);
    assert_eq!(bench.posted("c1/play"), 1);
    let id = bench.playback();
    bench.event(Event::PlaybackEnded { id, channel: "c1".to_owned() });
    bench.tick(30);
    assert_eq!(bench.posted("c1/play"), 2);
    // What has ended by itself is not ended once more.
    let id = bench.playback();
    bench.event(Event::PlaybackEnded { id, channel: "c1".to_owned() });
    bench.agent("anna", "1001");
    let before = bench.sent.len();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
    assert!(bench.sent[before..].iter().all(|it| !it.uri.starts_with("playbacks/")));
}

#[test]
fn a_look_at_everything_does_not_end_an_announcement() {
    let mut bench = waiting();
    bench.listed_channels = json!([{"id": "c1", "state": "Up"}]);
    bench.tick(30);
    bench.switch.look_soon();
    let before = bench.sent.len();
    bench.tick(1);
    let asked = &bench.sent[before..];
    assert!(asked.iter().any(|it| it.uri == "channels"));
    assert!(asked.iter().all(|it| !it.uri.starts_with("playbacks/") && it.uri != "channels/c1/moh"), "{asked:?}");
}
