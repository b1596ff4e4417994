//! Who is gone or was hung up is not taken for somebody new because Asterisk still lists the channel.

use super::*;
use crate::switch::model::Leg;

impl Bench {
    /// An agent has ended the call, and Asterisk still has the customer's channel.
    fn with_a_channel_that_lingers() -> Self {
        let mut bench = Self::in_call();
        let leg = bench.originated();
        let dialplan = json!({"app_name": "Stasis", "app_data": "jackfield-acme,queue,sales"});
        let list = |id: &str| json!({"id": id, "state": "Up", "dialplan": dialplan});
        bench.listed_channels = json!([list(&leg), list("c1")]);
        bench
    }

    fn releases(&mut self) {
        let conversation = self.conversation("anna", "1001", Role::Primary);
        assert_eq!(self.command("anna", Command::Release { conversation }), Outcome::success());
    }

    /// Something is refused, so Asterisk is asked how things are.
    fn is_refused(&mut self) {
        let conversation = self.conversation("anna", "1001", Role::Primary);
        self.refuse = Some(("/removeChannel", 409));
        assert_ne!(self.command("anna", Command::Hold { conversation }), Outcome::success());
        self.refuse = None;
    }

    /// The same, and what it is asked has no answer yet.
    fn asks_for_everything(&mut self) -> Vec<Effect> {
        self.is_refused();
        self.now += Duration::from_secs(1);
        self.switch.handle(self.now, Input::Tick)
    }

    fn has_no_call(&self) -> bool {
        let interactions = self.switch.phones.values().flat_map(|phone| &phone.interactions);
        self.switch.rooms.is_empty() && interactions.filter(|it| it.ended.is_none()).count() == 0
    }

    fn hang_ups(&self, channel: &str) -> usize {
        let uri = format!("channels/{channel}");
        self.sent.iter().filter(|it| it.method == Method::Delete && it.uri == uri).count()
    }

    fn lists(&self) -> usize {
        self.sent.iter().filter(|it| it.method == Method::Get && it.uri == "channels").count()
    }
}

#[test]
fn who_was_hung_up_a_moment_ago_is_not_offered_again() {
    let mut bench = Bench::with_a_channel_that_lingers();
    bench.is_refused();
    bench.releases();
    let lists = bench.lists();
    bench.tick(1);
    assert_eq!(bench.lists(), lists + 1);
    assert!(bench.has_no_call());
    assert_eq!(bench.hang_ups("c1"), 1);
}

#[test]
fn a_leg_that_was_hung_up_a_moment_ago_is_not_the_phones_leg_again() {
    let mut bench = Bench::called_for_each_call();
    bench.enters("c1", &["queue", "sales"], "555");
    let leg = bench.originated();
    bench.enters(&leg, &["leg"], "");
    bench.listed_channels = json!([{"id": leg, "state": "Up"}]);
    bench.is_refused();
    bench.over("c1", 16);
    assert_eq!(bench.switch.phones["1001"].leg, Leg::None);
    bench.tick(1);
    assert_eq!(bench.switch.phones["1001"].leg, Leg::None);
    assert!(bench.has_no_call());
}

#[test]
fn who_hangs_up_while_asterisk_lists_is_not_offered_again() {
    let mut bench = Bench::with_a_channel_that_lingers();
    let asked = bench.asks_for_everything();
    bench.over("c1", 16);
    bench.deliver(asked);
    assert!(bench.has_no_call());
}

#[test]
fn who_is_hung_up_between_two_lists_is_not_offered_again() {
    let mut bench = Bench::with_a_channel_that_lingers();
    let asked = bench.asks_for_everything();
    let is_of_channels = |it: &Effect| matches!(it, Effect::Send { request, .. } if request.uri == "channels");
    let (channels, bridges): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_of_channels);
    bench.deliver(channels);
    bench.releases();
    bench.deliver(bridges);
    assert!(bench.has_no_call());
}

#[test]
fn a_hang_up_that_was_lost_with_the_link_is_asked_for_again() {
    let mut bench = Bench::with_a_channel_that_lingers();
    bench.releases();
    bench.input(Input::Disconnected);
    bench.now += Duration::from_secs(1);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    assert_eq!(bench.hang_ups("c1"), 2);
    assert!(bench.has_no_call());
}

#[test]
fn who_was_to_go_on_in_the_dialplan_when_the_link_was_lost_and_is_still_here_waits_again() {
    let mut bench = Bench::with_a_channel_that_lingers();
    let interaction = bench.at_interaction("anna", "1001");
    bench.releases();
    assert_eq!(bench.command("anna", Command::Complete { interaction }), Outcome::success());
    bench.enters("c2", &["agent", "1009"], "556");
    bench.input(Input::Disconnected);
    bench.listed_channels[1]["id"] = "c2".into();
    bench.now += Duration::from_secs(1);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
}
