//! What is written on channels for Asterisk's own records of calls.

use super::*;

impl Bench {
    /// Of which call a channel was told last.
    fn named(&self, channel: &str) -> Option<&str> {
        let of = |it: &&Request| it.uri == format!("channels/{channel}/variable");
        let mut values = self.sent.iter().rev().filter(of).filter_map(|it| {
            let value = |name: &str| it.query.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
            value("value").filter(|_| value("variable") == Some("CHANNEL(userfield)"))
        });
        values.next()
    }

    fn marked(&self) -> usize {
        self.sent.iter().filter(|it| it.query.contains(&("variable", "CDR_PROP(party_a)".to_owned()))).count()
    }
}

#[test]
fn a_leg_is_named_after_the_call_as_long_as_it_is_offered_or_goes_on() {
    let mut bench = Bench::new(json!({"call_id": "CHANNEL(userfield)", "offer_again_seconds": 600}));
    bench.agent("anna", "1001");
    let leg = bench.originated();
    assert_eq!(bench.named(&leg), None);
    bench.enters("c1", &["queue", "sales"], "555");
    assert_eq!((bench.named("c1"), bench.named(&leg)), (Some("c1"), Some("c1")));
    let interaction = bench.at_interaction("anna", "1001");
    bench.command("anna", Command::Reject { interaction });
    assert_eq!((bench.named("c1"), bench.named(&leg)), (Some("c1"), Some("")));
}

#[test]
fn who_is_called_for_a_call_is_named_after_it_also_by_another_process() {
    let (dead, outside) = Bench::consulting();
    let leg = dead.sent.iter().find(|it| it.method == Method::Post && it.uri == "channels").unwrap();
    let leg = leg.query.iter().find(|(name, _)| *name == "channelId").unwrap().1.clone();
    let mut bench =
        dead.reborn_with(&[&leg, "c1", &outside], |bridges| bridges, json!({"call_id": "CHANNEL(userfield)"}));
    bench.comes_back("anna", &dead);
    for channel in [&*leg, "c1", &outside] {
        assert_eq!(bench.named(channel), Some("c1"), "{channel}");
    }
}

#[test]
fn a_record_is_marked_as_the_customers_where_asterisk_can_and_legs_stay() {
    for (leg, can, marked) in [("stay", true, 1), ("stay", false, 0), ("per-call", true, 0)] {
        let mut bench = Bench::at(Instant::now(), "n", json!({"leg": leg}));
        bench.input(Input::Connected { leaves_transfers: true, marks_records: can });
        bench.enters("c1", &["queue", "sales"], "555");
        assert_eq!(bench.marked(), marked, "{leg}, {can}");
    }
}

#[test]
fn who_is_called_for_a_customer_is_in_the_bridge_before_him() {
    let mut bench = Bench::in_call();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let before = bench.sent.len();
    let transfer = Command::BlindTransfer { conversation, destination: "700".into() };
    assert_eq!(bench.command("anna", transfer), Outcome::success());
    let called = bench.originated();
    bench.enters(&called, &["called"], "");
    let entries = bench.sent[before..].iter().filter(|it| it.uri.ends_with("/addChannel"));
    let entered: Vec<_> = entries.flat_map(|it| &it.query).map(|(_, channel)| channel.as_str()).collect();
    assert_eq!(entered, [&*called, "c1"]);
}
