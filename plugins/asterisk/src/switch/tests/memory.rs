//! The process dies in the middle of calls, and another goes on with them.

use super::*;
use crate::switch::model::PartyState;

impl Bench {
    /// Another process, in which Asterisk still has these channels, and each room's bridge with those of them in it who
    /// were there.
    pub(super) fn reborn(&self, living: &[&str]) -> Self {
        self.reborn_with(living, |bridges| bridges, json!({}))
    }

    /// The same with what these bridges are said to be, and other settings.
    pub(super) fn reborn_with(&self, living: &[&str], bridges: impl FnOnce(Value) -> Value, settings: Value) -> Self {
        let mut bench = Self::at(self.now, "m", settings);
        let dialplan = json!({"app_name": "Stasis", "app_data": "jackfield-acme,queue,sales"});
        let rings = |id: &str| self.switch.parties.get(id).is_some_and(|it| it.state == PartyState::Dialing);
        let state = |id: &str| if rings(id) { "Ringing" } else { "Up" };
        let list = |id: &&str| json!({"id": id, "state": state(id), "dialplan": dialplan});
        bench.kept.clone_from(&self.kept);
        bench.listed_channels = living.iter().map(list).collect();
        let bridge = |room: &crate::switch::model::Room| {
            let inside = room.placed.iter().filter(|channel| living.contains(&channel.as_str()));
            json!({"id": room.bridge, "channels": inside.collect::<Vec<_>>()})
        };
        bench.listed_bridges = bridges(self.switch.rooms.values().map(bridge).collect());
        bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
        bench
    }

    /// The host logs an agent in again and asks for a snapshot.
    pub(super) fn comes_back(&mut self, agent: &str, dead: &Bench) {
        let session = format!("s-{agent}");
        let memory = dead.remembered[&session].clone();
        let (id, snapshot) = (self.last + 1, self.last + 2);
        self.last += 2;
        self.input(Input::Resume { id, agent: agent.into(), session, memory });
        self.input(Input::Snapshot { id: snapshot, agent: agent.into() });
        assert_eq!((self.outcome(id), self.outcome(snapshot)), (Some(Outcome::success()), Some(Outcome::success())));
        assert!(self.reports.iter().any(|(to, report)| *to == format!("s-{agent}") && report.snapshot));
    }

    /// Requests that change who hears whom.
    fn moves(&self) -> usize {
        self.posted("/addChannel") + self.posted("/removeChannel") + self.posted("bridges")
    }
}

#[test]
fn a_call_goes_on_under_the_same_keys_and_nothing_is_moved() {
    let dead = Bench::in_call();
    let (leg, before) = (dead.originated(), dead.interaction("anna"));
    let mut bench = dead.reborn(&[&leg, "c1"]);
    bench.comes_back("anna", &dead);
    assert_eq!(bench.interaction("anna"), before);
    assert_eq!(bench.status("anna"), dead.status("anna"));
    assert_eq!(bench.moves(), 0);
    bench.tick(60);
    assert!(!bench.is_hung_up(&leg) && !bench.is_hung_up("c1"));
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Release { conversation }), Outcome::success());
    assert!(bench.is_hung_up("c1"));
}

#[test]
fn a_number_that_was_called_and_is_in_the_dialplan_now_is_left_alone() {
    let mut bench = Bench::at(Instant::now(), "m", json!({}));
    let channel = |id: &str, application: &str| json!({"id": id, "state": "Up", "dialplan": {"app_name": application}});
    let (handed, stray) = ("jackfield:jackfield-acme:n-7", "jackfield:jackfield-acme:n-8");
    bench.listed_channels = json!([channel(handed, "Park"), channel(stray, "Stasis")]);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    bench.tick(60);
    assert_eq!((bench.is_hung_up(handed), bench.is_hung_up(stray)), (false, true));
}

#[test]
fn who_hung_up_meanwhile_is_told_with_the_snapshot() {
    let dead = Bench::in_call();
    let mut bench = dead.reborn(&[&dead.originated()]);
    bench.comes_back("anna", &dead);
    let ended = bench.interaction("anna");
    assert_eq!((ended.state, ended.reason), (Some(InteractionState::Ended), Some(Reason::Released)));
    assert!(matches!(bench.status("anna"), ChannelStatus::Active(_)));
}

#[test]
fn a_phone_that_was_lost_meanwhile_is_called_again_and_its_customer_waits() {
    let dead = Bench::in_call();
    let mut bench = dead.reborn(&["c1"]);
    bench.comes_back("anna", &dead);
    assert_eq!(bench.status("anna"), ChannelStatus::Unavailable);
    bench.tick(0);
    assert_eq!(bench.posted("channels"), 1);
    assert!(!bench.is_hung_up("c1"));
}

#[test]
fn bridges_that_are_gone_meanwhile_are_made_again() {
    let (dead, party) = Bench::consulting();
    let leg = dead.sent.iter().find(|it| it.method == Method::Post && it.uri == "channels").unwrap();
    let leg = leg.query.iter().find(|(name, _)| *name == "channelId").unwrap().1.clone();
    let mut bench = dead.reborn_with(&[&leg, "c1", &party], |_| json!([]), json!({}));
    bench.comes_back("anna", &dead);
    assert_eq!(bench.states("anna"), [ConversationState::Held, ConversationState::Talking]);
    assert_eq!((bench.posted("/addChannel"), bench.posted("c1/moh")), (2, 1));
}

#[test]
fn agents_who_talk_to_each_other_find_each_other() {
    let mut dead = Bench::in_call();
    let anna = dead.originated();
    dead.agent("bert", "1002");
    let bert = dead.originated();
    let interaction = dead.at_interaction("anna", "1001");
    dead.command("anna", Command::Consult { interaction, destination: "1002".into() });
    let conversation = dead.conversation("bert", "1002", Role::Primary);
    dead.command("bert", Command::Answer { conversation });
    let interaction = dead.at_interaction("anna", "1001");
    dead.command("anna", Command::ConsultConference { interaction });

    let mut bench = dead.reborn(&[&anna, &bert, "c1"]);
    bench.comes_back("anna", &dead);
    assert_eq!(bench.interaction("anna").conversations.unwrap()[0].members.as_ref().unwrap().len(), 2);
    bench.tick(5);
    bench.comes_back("bert", &dead);
    assert_eq!(bench.states("bert"), [ConversationState::Talking]);
    assert_eq!(bench.moves(), 0);
    bench.over("c1", 16);
    assert_eq!(bench.interaction("bert").conversations.unwrap()[0].members.as_ref().unwrap().len(), 1);
}

#[test]
fn a_call_whose_agent_does_not_come_back_goes_on_until_it_ends_and_the_leg_goes_with_it() {
    let dead = Bench::in_call();
    let leg = dead.originated();
    let mut bench = dead.reborn(&[&leg, "c1"]);
    bench.tick(600);
    assert!(!bench.is_hung_up(&leg) && !bench.is_hung_up("c1"));
    bench.over("c1", 16);
    assert!(bench.is_hung_up(&leg));
    assert!(bench.switch.rooms.is_empty() && bench.switch.phones.is_empty());
}

#[test]
fn an_agent_who_comes_back_without_any_memory_finds_the_call() {
    let dead = Bench::in_call();
    let mut bench = dead.reborn(&[&dead.originated(), "c1"]);
    let options = StartOptions::new(Some("1001".into()));
    bench.input(Input::Start { id: 1, agent: "anna".into(), session: "s-anna".into(), options });
    assert_eq!(bench.interaction("anna"), dead.interaction("anna"));
    assert_eq!(bench.moves(), 0);
}

#[test]
fn an_idle_leg_that_nobody_comes_back_for_goes_after_a_while() {
    let mut dead = Bench::new(json!({}));
    dead.agent("anna", "1001");
    let leg = dead.originated();
    let mut bench = dead.reborn(&[&leg]);
    bench.tick(5);
    assert!(!bench.is_hung_up(&leg));
    bench.tick(60);
    assert!(bench.is_hung_up(&leg));
}

#[test]
fn whom_an_agent_transferred_goes_on_though_no_agent_knows_the_call() {
    let (mut dead, party) = Bench::consulting();
    let interaction = dead.at_interaction("anna", "1001");
    dead.command("anna", Command::ConsultTransfer { interaction });
    let mut bench = dead.reborn(&["c1", &party]);
    bench.tick(600);
    assert!(!bench.is_hung_up("c1") && !bench.is_hung_up(&party));
    assert_eq!(bench.moves(), 0);
    // And ends when one of them hangs up.
    bench.over(&party, 16);
    assert!(bench.is_hung_up("c1"));
    assert!(bench.switch.rooms.is_empty());
}

#[test]
fn who_talks_is_not_hung_up_though_nothing_is_known_of_them() {
    let (mut dead, party) = Bench::consulting();
    let interaction = dead.at_interaction("anna", "1001");
    dead.command("anna", Command::ConsultTransfer { interaction });
    dead.kept.clear();
    let mut bench = dead.reborn(&["c1", &party]);
    bench.tick(600);
    assert!(!bench.is_hung_up("c1") && !bench.is_hung_up(&party));
    bench.over("c1", 16);
    assert!(bench.is_hung_up(&party));
}

#[test]
fn a_transfer_that_rings_goes_on_ringing_and_its_customer_comes_back_if_nobody_answers() {
    let mut dead = Bench::in_call();
    let leg = dead.originated();
    let conversation = dead.conversation("anna", "1001", Role::Primary);
    let transfer = Command::BlindTransfer { conversation, destination: "700".into() };
    assert_eq!(dead.command("anna", transfer), Outcome::success());
    let called = dead.originated();
    let mut bench = dead.reborn(&[&leg, "c1", &called]);
    bench.comes_back("anna", &dead);
    bench.tick(30);
    assert!(!bench.is_hung_up("c1") && !bench.is_hung_up(&called));
    bench.over(&called, 17);
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
}

#[test]
fn call_data_that_is_too_much_to_keep_costs_the_data_and_not_the_call() {
    let mut dead = Bench::in_call();
    let interaction = dead.at_interaction("anna", "1001");
    let value = "x".repeat(40_000).as_str().into();
    dead.command("anna", Command::SetInteractionData { interaction, key: "LONG".into(), value });
    assert!(dead.kept.values().all(|record| record.len() <= 16 << 10));
    let mut bench = dead.reborn(&[&dead.originated(), "c1"]);
    bench.comes_back("anna", &dead);
    assert_eq!(bench.states("anna"), [ConversationState::Talking]);
}

#[test]
fn who_waited_keeps_the_place_in_the_queue_and_what_is_known_of_the_call() {
    let mut dead = Bench::new(json!({"variables": ["CUSTOMER_ID"]}));
    dead.kept.insert("c2".into(), "C-42".into());
    for customer in ["c2", "c3"] {
        dead.enters(customer, &["queue", "sales"], customer);
    }
    let mut bench = dead.reborn(&["c2", "c3"]);
    bench.agent("bert", "1002");
    let members = bench.interaction("bert").conversations.unwrap()[0].members.clone().unwrap();
    assert_eq!(members[0].address.as_deref(), Some("c2"));
    assert_eq!(bench.interaction("bert").data["CUSTOMER_ID"], Some("C-42".into()));
}

#[test]
fn a_memory_that_cannot_be_read_is_none() {
    let mut bench = Bench::at(Instant::now(), "m", json!({}));
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    let effects = bench.switch.handle(
        bench.now,
        Input::Resume { id: 1, agent: "anna".into(), session: "s-anna".into(), memory: b"{".to_vec() },
    );
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Warn(_))), "{effects:?}");
    assert!(bench.switch.desks.contains_key("anna"));
}

#[test]
fn who_came_first_is_first_in_the_next_process_and_waits_no_longer_than_was_said() {
    let queues = json!({"sales": {"overflow_seconds": 60, "overflow": "hangup"}});
    let mut dead = Bench::new(json!({"queues": queues}));
    // The second's channel is the older one: he was somewhere else before.
    dead.enters("first", &["queue", "sales"], "555");
    dead.enters("second", &["queue", "sales"], "556");
    for (channel, seconds_ago) in [("first", 40), ("second", 10)] {
        let kept = dead.kept.get_mut(channel).unwrap();
        let mut record: Value = serde_json::from_str(kept).unwrap();
        let room = &mut record["rooms"][0];
        for at in [room["arrived"].clone(), room["entry"]["entered"].clone()] {
            assert!(at.is_u64(), "{room}");
        }
        let earlier = jackfield_plugin_api::Timestamp::now().0 - seconds_ago * 1000;
        room["arrived"] = earlier.into();
        room["entry"]["entered"] = earlier.into();
        *kept = record.to_string();
    }
    let mut bench = Bench::at(dead.now, "m", json!({"queues": queues}));
    bench.kept.clone_from(&dead.kept);
    let dialplan = json!({"app_name": "Stasis", "app_data": "jackfield-acme,queue,sales"});
    let channel =
        |id: &str, created: &str| json!({"id": id, "state": "Up", "dialplan": dialplan, "creationtime": created});
    bench.listed_channels = json!([channel("first", "2026-01-01T10:05"), channel("second", "2026-01-01T10:00")]);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    let of = |bench: &Bench, room: &u64| bench.switch.rooms[room].parties[0].clone();
    let order: Vec<_> = bench.switch.waiting_in_order().iter().map(|room| of(&bench, room)).collect();
    assert_eq!(order, ["first", "second"]);
    bench.tick(25);
    assert!(bench.is_hung_up("first") && !bench.is_hung_up("second"));
    bench.tick(30);
    assert!(bench.is_hung_up("second"));
}

#[test]
fn who_waits_in_a_queue_that_is_no_more_goes_on_in_the_dialplan() {
    let mut dead = Bench::new(json!({}));
    dead.enters("c1", &["queue", "sales"], "555");
    let mut bench = dead.reborn_with(&["c1"], |bridges| bridges, json!({"queues": {"selling": {}}}));
    assert_eq!(bench.posted("channels/c1/continue"), 1);
    bench.tick(600);
    assert!(bench.switch.rooms.is_empty());
}

#[test]
fn who_waits_goes_on_in_the_dialplan_also_if_the_host_stops_before_asterisk_has_told_how_things_are() {
    let mut dead = Bench::new(json!({}));
    dead.enters("c1", &["queue", "sales"], "555");
    let mut bench = Bench::at(dead.now, "m", json!({}));
    bench.kept.clone_from(&dead.kept);
    let dialplan = json!({"app_name": "Stasis", "app_data": "jackfield-acme,queue,sales"});
    bench.listed_channels = json!([{"id": "c1", "state": "Up", "dialplan": dialplan}]);
    let asked = bench.switch.handle(bench.now, Input::Connected { leaves_transfers: true, marks_records: false });
    bench.input(Input::Close);
    assert!(!bench.switch.is_quiet());
    bench.deliver(asked);
    assert_eq!(bench.posted("channels/c1/continue"), 1);
    assert!(bench.switch.is_quiet());
}

#[test]
fn a_phone_that_rings_when_the_process_dies_is_not_called_twice() {
    // The agent's phone was lost, and is being called again.
    let mut dead = Bench::new(json!({}));
    dead.agent("anna", "1001");
    let lost = dead.originated();
    dead.over(&lost, 0);
    dead.tick(2);
    let rings = dead.originated();
    assert_ne!(rings, lost);
    let mut bench = Bench::at(dead.now, "m", json!({}));
    bench.kept.clone_from(&dead.kept);
    bench.listed_channels = json!([{"id": rings, "state": "Ringing", "dialplan": {"app_name": "AppDial2"}}]);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    bench.comes_back("anna", &dead);
    bench.tick(1);
    assert_eq!((bench.posted("channels"), bench.is_hung_up(&rings)), (0, false));
    // A call that was for a command rings for nobody.
    let mut bench = Bench::at(dead.now, "m", json!({}));
    bench.listed_channels = json!([{"id": rings, "state": "Ringing", "dialplan": {"app_name": "AppDial2"}}]);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    assert!(bench.is_hung_up(&rings));
}
