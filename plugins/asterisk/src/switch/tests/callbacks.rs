//! Callbacks, with a database that confirms when the test says so.

use jackfield_plugin_api::{Timestamp, report::Target};

use super::*;
use crate::{manager::News, switch::callbacks::MOST};

/// Callers of `sales` may press 1.
fn with_key(more: Value) -> Value {
    let manager = json!({"url": "tcp://127.0.0.1:5038", "user": "u", "password": "p"});
    let mut callback = json!({"key": "1", "attempts": 2, "retry_seconds": 60});
    callback.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let agents = json!({"anna": {}, "bert": {}, "carl": {}, "sue": {"supervisor": true, "queues": ["web"]}});
    json!({"manager": manager, "agents": agents,
        "queues": {"sales": {"callback": callback, "max_waiting": 2}, "web": {}}})
}

/// The database is read, and has these entries.
fn bench_with(entries: &[(&str, Value)]) -> Bench {
    let mut bench = Bench::new(with_key(json!({})));
    bench.input(Input::Manager(News::Up));
    bench.reads(entries);
    bench
}

fn bench() -> Bench {
    bench_with(&[])
}

/// An entry of a number that has waited so many seconds.
fn entry(number: &str, seconds: u64) -> Value {
    json!({"queue": "sales", "number": number, "since": Timestamp::now().0 - seconds * 1000})
}

impl Bench {
    fn reads(&mut self, entries: &[(&str, Value)]) {
        let entries = entries.iter().map(|(id, entry)| ((*id).to_owned(), entry.to_string())).collect();
        self.input(Input::Manager(News::Kept { entries: Ok(entries) }));
    }

    /// Answers what the database was asked for.
    fn stores(&mut self, done: Result<(), &str>) {
        for order in std::mem::take(&mut self.orders) {
            if let Order::Keep { id: Some(id), .. } | Order::Forget { id: Some(id), .. } = order {
                let done = done.map_err(str::to_owned);
                self.input(Input::Manager(News::Stored { id, done }));
            }
        }
    }

    /// What the database was asked to keep.
    fn kept(&self) -> Vec<Value> {
        let kept = self.orders.iter().filter_map(|order| match order {
            Order::Keep { value, .. } => Some(serde_json::from_str(value).unwrap()),
            _ => None,
        });
        kept.collect()
    }

    fn forgets(&self) -> usize {
        self.orders.iter().filter(|order| matches!(order, Order::Forget { .. })).count()
    }

    fn caller(&mut self, channel: &str, number: &str) {
        let caller = Caller { name: String::new(), number: number.into() };
        let channel = Channel { id: channel.into(), state: "Up".into(), caller, ..Channel::default() };
        self.event(Event::Start { channel, args: vec!["queue".into(), "sales".into()], replaces: None });
    }

    fn presses(&mut self, channel: &str, key: &str) {
        self.event(Event::Key { channel: channel.into(), key: key.into() });
    }

    fn offered(&self, agent: &str) -> Option<String> {
        let conversations = self.interaction(agent).conversations?;
        let offer = conversations.iter().find(|it| it.state == Some(ConversationState::Alerting))?;
        offer.members.as_ref()?.first()?.address.clone()
    }

    /// The agent answers; which command that is.
    fn answers(&mut self, agent: &str, extension: &str) -> u64 {
        self.last += 1;
        let conversation = self.conversation(agent, extension, Role::Primary);
        self.input(Input::Command { id: self.last, agent: agent.into(), command: Command::Answer { conversation } });
        self.last
    }

    /// The agent answers and the customer's phone rings: by which channel.
    fn calls_back(&mut self, agent: &str, extension: &str) -> String {
        let answer = self.answers(agent, extension);
        self.stores(Ok(()));
        assert_eq!(self.outcome(answer), Some(Outcome::success()));
        self.originated()
    }

    fn cancels(&mut self, agent: &str, id: &str) -> u64 {
        self.last += 1;
        let (name, data) = ("session.request.asterisk.callback.cancel".into(), json!({"id": id}).into());
        let command = Command::Extension { name, target: Target::Session, data };
        self.input(Input::Command { id: self.last, agent: agent.into(), command });
        self.last
    }
}

#[test]
fn a_caller_is_hung_up_when_the_database_has_confirmed_and_not_before() {
    let mut bench = bench();
    bench.caller("c1", "555");
    bench.presses("c1", "2");
    assert!(bench.kept().is_empty(), "another key");
    bench.presses("c1", "1");
    assert_eq!(bench.kept()[0]["number"], "555");
    // Whoever is free now waits as well: it may be confirmed at any moment.
    bench.agent("anna", "1001");
    assert!(!bench.is_hung_up("c1") && bench.reports.iter().all(|(_, it)| it.channels[0].interactions.is_empty()));
    bench.stores(Ok(()));
    assert!(bench.is_hung_up("c1"));
    assert_eq!(bench.offered("anna").as_deref(), Some("555"));
}

#[test]
fn a_caller_whose_place_cannot_be_kept_stays_on_the_line_and_is_offered() {
    let mut bench = bench();
    bench.caller("c1", "555");
    bench.presses("c1", "1");
    bench.agent("anna", "1001");
    bench.stores(Err("Permission denied"));
    assert!(!bench.is_hung_up("c1"));
    assert_eq!(bench.offered("anna").as_deref(), Some("555"));
    assert_eq!(bench.interaction("anna").data.get("JACKFIELD_CALLBACK"), None);
}

#[test]
fn a_caller_stays_while_the_connection_to_the_database_is_lost_and_what_it_may_have_kept_is_forgotten() {
    let mut bench = bench();
    bench.caller("c1", "555");
    bench.presses("c1", "1");
    bench.orders.clear();
    bench.input(Input::Manager(News::Down));
    assert!(!bench.is_hung_up("c1"));
    assert_eq!(bench.forgets(), 1);
    bench.presses("c1", "1");
    assert!(bench.kept().is_empty());
    // What he wants holds until it can be asked for; or an agent has time before.
    bench.input(Input::Manager(News::Up));
    bench.reads(&[]);
    assert_eq!(bench.kept()[0]["number"], "555");
    bench.stores(Ok(()));
    assert!(bench.is_hung_up("c1"));
}

#[test]
fn who_hangs_up_before_the_database_has_confirmed_is_called_back_all_the_same() {
    let mut bench = bench();
    bench.caller("c1", "555");
    bench.presses("c1", "1");
    bench.over("c1", 16);
    bench.stores(Ok(()));
    bench.agent("anna", "1001");
    assert_eq!(bench.offered("anna").as_deref(), Some("555"));
}

#[test]
fn a_key_that_is_pressed_while_an_agents_phone_rings_counts_if_that_agent_does_not_answer() {
    let mut bench = bench();
    bench.agent("anna", "1001");
    bench.caller("c1", "555");
    bench.presses("c1", "1");
    assert!(bench.kept().is_empty());
    let interaction = bench.at_interaction("anna", "1001");
    assert_eq!(bench.command("anna", Command::Reject { interaction }), Outcome::success());
    assert_eq!(bench.kept()[0]["number"], "555");
    bench.stores(Ok(()));
    assert!(bench.is_hung_up("c1"));
}

#[test]
fn a_number_that_asks_twice_keeps_its_earlier_place() {
    let mut bench = bench();
    for channel in ["c1", "c2"] {
        bench.caller(channel, "555");
        bench.presses(channel, "1");
        bench.stores(Ok(()));
        assert!(bench.is_hung_up(channel));
    }
    bench.caller("c3", "556");
    bench.agent("anna", "1001");
    assert_eq!(bench.offered("anna").as_deref(), Some("555"));
    bench.calls_back("anna", "1001");
    bench.agent("bert", "1002");
    assert_eq!(bench.offered("bert").as_deref(), Some("556"));
}

#[test]
fn a_queue_that_has_as_many_callbacks_as_it_keeps_lets_callers_wait_on_the_line() {
    let entries: Vec<_> = (0..MOST).map(|number| (number.to_string(), entry(&format!("555{number}"), 60))).collect();
    let entries: Vec<_> = entries.iter().map(|(id, entry)| (id.as_str(), entry.clone())).collect();
    let mut bench = bench_with(&entries);
    bench.caller("c-1", "5550100");
    bench.presses("c-1", "1");
    assert_eq!(bench.kept(), Vec::<Value>::new());
    assert!(!bench.is_hung_up("c-1"));
}

#[test]
fn callbacks_leave_room_for_callers_on_the_line() {
    let mut bench = bench_with(&[("a", entry("555", 9)), ("b", entry("556", 8))]);
    for channel in ["c1", "c2", "c3"] {
        bench.caller(channel, "557");
    }
    let sent_on = |channel: &str| bench.sent.iter().any(|it| it.uri == format!("channels/{channel}/continue"));
    assert_eq!(["c1", "c2", "c3"].map(sent_on), [false, false, true]);
}

#[test]
fn callbacks_of_an_earlier_life_stand_in_their_old_order_before_who_came_later() {
    let mut bench = bench_with(&[("a", entry("557", 60)), ("b", entry("556", 3600))]);
    bench.caller("c1", "558");
    for (agent, extension, number) in [("anna", "1001", "556"), ("bert", "1002", "557"), ("carl", "1003", "558")] {
        bench.agent(agent, extension);
        assert_eq!(bench.offered(agent).as_deref(), Some(number));
    }
}

#[test]
fn who_was_not_hung_up_by_an_earlier_life_is_now_and_who_was_served_meanwhile_is_not_called() {
    let mut bench = bench();
    bench.caller("c1", "555");
    let mut kept = entry("555", 9);
    kept["caller"] = "c1".into();
    bench.reads(&[("a", kept.clone())]);
    assert!(bench.is_hung_up("c1"));

    let mut bench = bench_with(&[]);
    bench.agent("anna", "1001");
    bench.caller("c1", "555");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
    bench.orders.clear();
    bench.reads(&[("a", kept)]);
    assert_eq!(bench.forgets(), 1);
    assert!(!bench.is_hung_up("c1"));
}

#[test]
fn an_attempt_is_counted_before_it_is_made_and_forgotten_when_the_customer_has_answered() {
    let since = entry("555", 9);
    let mut bench = bench_with(&[("a", since.clone())]);
    bench.agent("anna", "1001");
    bench.orders.clear();
    let (before, answer) = (bench.sent.len(), bench.answers("anna", "1001"));
    assert!(bench.sent[before..].iter().all(|it| it.uri != "channels/create"));
    let kept = bench.kept();
    assert_eq!((kept[0]["attempts"].clone(), kept[0]["since"].clone()), (json!(1), since["since"].clone()));
    assert!(kept[0]["not_before"].as_u64() > Some(Timestamp::now().0 + 50_000));
    assert_eq!(bench.outcome(answer), None);
    bench.stores(Ok(()));
    assert_eq!(bench.outcome(answer), Some(Outcome::success()));
    assert_eq!(bench.states("anna"), [ConversationState::Talking]);
    let channel = bench.originated();
    assert_eq!(bench.posted(&format!("{channel}/dial")), 1);
    assert_eq!(bench.forgets(), 0);
    bench.enters(&channel, &["called"], "");
    assert_eq!(bench.forgets(), 1);
    assert!(bench.kept_record(&channel).contains("\"callback\":\"a\""), "until it is confirmed that it is forgotten");
    bench.stores(Ok(()));
    assert!(!bench.kept_record(&channel).contains("\"callback\""));
}

impl Bench {
    fn kept_record(&self, channel: &str) -> String {
        self.kept[channel].clone()
    }
}

#[test]
fn an_answer_that_the_database_does_not_take_fails_and_the_offer_goes_on() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.agent("anna", "1001");
    bench.orders.clear();
    let answer = bench.answers("anna", "1001");
    bench.stores(Err("Failed to update entry"));
    let Some(Outcome::Failure(failure)) = bench.outcome(answer) else { panic!("it fails") };
    assert_eq!(failure.code, Code::Rejected);
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    bench.calls_back("anna", "1001");
}

#[test]
fn who_does_not_answer_waits_is_called_again_and_given_up() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.agent("anna", "1001");
    for attempt in 1..=2 {
        assert_eq!(bench.offered("anna").as_deref(), Some("555"), "attempt {attempt}");
        let channel = bench.calls_back("anna", "1001");
        bench.over(&channel, 17);
        let ended = bench.interaction("anna");
        assert_eq!((ended.reason, ended.cause), (Some(Reason::Failed), Some(Cause::Busy)));
        let interaction = bench.at_interaction("anna", "1001");
        assert_eq!(bench.command("anna", Command::Complete { interaction }), Outcome::success());
        assert_eq!(bench.forgets(), usize::from(attempt == 2));
        bench.tick(50);
        let reports = bench.reports.len();
        bench.tick(15);
        assert_eq!(bench.reports.len() > reports, attempt == 1, "offered again, and not earlier");
    }
}

#[test]
fn a_call_that_the_agent_gives_up_while_it_rings_is_an_attempt() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.agent("anna", "1001");
    let channel = bench.calls_back("anna", "1001");
    let transfer = |conversation| Command::BlindTransfer { conversation, destination: "556".into() };
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let Outcome::Failure(failure) = bench.command("anna", transfer(conversation.clone())) else { panic!("too early") };
    assert_eq!(failure.code, Code::InvalidState);
    assert_eq!(bench.command("anna", Command::Release { conversation }), Outcome::success());
    assert!(bench.is_hung_up(&channel));
    bench.tick(65);
    assert_eq!(bench.offered("anna").as_deref(), Some("555"));
}

#[test]
fn a_callback_is_cancelled_when_the_database_has_forgotten_it_and_not_before() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.agent("anna", "1001");
    bench.orders.clear();
    let cancel = bench.cancels("anna", "a");
    assert_eq!(bench.outcome(cancel), None);
    bench.stores(Err("Permission denied"));
    assert!(matches!(bench.outcome(cancel), Some(Outcome::Failure(failure)) if failure.code == Code::Rejected));
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    let cancel = bench.cancels("anna", "a");
    bench.stores(Ok(()));
    assert_eq!(bench.outcome(cancel), Some(Outcome::success()));
    assert!(bench.interaction("anna").gone);
}

#[test]
fn an_entry_of_a_queue_that_is_no_more_and_one_that_is_none_are_left_alone() {
    let mut unknown = entry("555", 9);
    unknown["queue"] = "closed".into();
    let mut bench = bench_with(&[("a", unknown), ("b", json!("nonsense")), ("c", entry("556", 1))]);
    bench.agent("anna", "1001");
    assert_eq!(bench.offered("anna").as_deref(), Some("556"));
    // The right to write is tried with an entry that nobody has.
    assert!(bench.orders.iter().all(|it| !matches!(it, Order::Forget { key, .. } if key != "self-test")));
}

#[test]
fn a_callback_whose_caller_is_in_the_database_no_more_is_written_again() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.input(Input::Manager(News::Down));
    bench.input(Input::Manager(News::Up));
    bench.orders.clear();
    bench.reads(&[]);
    assert_eq!(bench.kept()[0]["number"], "555");
}

#[test]
fn a_caller_who_hears_that_the_place_is_kept_is_called_when_that_is_over_and_he_is_gone() {
    let mut bench = Bench::new(with_key(json!({"confirmation": "sound:kept"})));
    bench.input(Input::Manager(News::Up));
    bench.reads(&[]);
    for ends_by_himself in [false, true] {
        bench.caller("c1", "555");
        bench.presses("c1", "1");
        bench.stores(Ok(()));
        assert!(!bench.is_hung_up("c1"));
        bench.agent("anna", "1001");
        assert!(bench.reports.iter().all(|(_, it)| it.channels.iter().all(|it| it.interactions.is_empty())));
        if ends_by_himself {
            bench.over("c1", 16);
        } else {
            let play = bench.sent.iter().rev().find(|it| it.uri == "channels/c1/play").expect("it is played");
            let id = play.query.iter().find(|(name, _)| *name == "playbackId").unwrap().1.clone();
            bench.event(Event::PlaybackEnded { id, channel: "c1".to_owned() });
            assert!(bench.is_hung_up("c1"));
        }
        assert_eq!(bench.offered("anna").as_deref(), Some("555"));
        bench = Bench::new(with_key(json!({"confirmation": "sound:kept"})));
        bench.input(Input::Manager(News::Up));
        bench.reads(&[]);
    }
}

#[test]
fn numbers_that_could_be_more_than_numbers_are_not_called_back() {
    for number in ["anonymous", "*72555", "555#", "5-5", "", "+", "1234567890123456789012345678901234"] {
        let mut bench = bench();
        bench.caller("c1", number);
        bench.presses("c1", "1");
        assert!(bench.kept().is_empty(), "{number}");
    }
}

#[test]
fn a_supervisor_sees_and_cancels_the_callbacks_of_all_queues_and_others_those_of_their_own() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.agent("sue", "1001");
    bench.agent("anna", "1002");
    let queues = |data: Value| Command::Extension {
        name: "session.request.asterisk.queues".into(),
        target: Target::Session,
        data: data.into(),
    };
    assert_eq!(bench.command("anna", queues(json!({"queues": ["web"]}))), Outcome::success());
    let cancel = bench.cancels("anna", "a");
    assert!(matches!(bench.outcome(cancel), Some(Outcome::Failure(failure)) if failure.code == Code::NotFound));
    let cancel = bench.cancels("sue", "a");
    bench.stores(Err(crate::manager::NOT_THERE));
    assert_eq!(bench.outcome(cancel), Some(Outcome::success()), "what is gone is cancelled");
}

#[test]
fn a_life_that_another_has_replaced_writes_no_callbacks_any_more() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.event(Event::Replaced);
    bench.orders.clear();
    bench.input(Input::Manager(News::Down));
    bench.input(Input::Manager(News::Up));
    bench.reads(&[]);
    assert!(bench.orders.is_empty());
}

#[test]
fn a_customer_who_was_reached_before_the_process_died_is_not_called_again() {
    let mut dead = bench_with(&[("a", entry("555", 9))]);
    dead.agent("anna", "1001");
    let leg = dead.originated();
    let channel = dead.calls_back("anna", "1001");
    dead.enters(&channel, &["called"], "");
    let mut bench = dead.reborn(&[&leg, &channel]);
    bench.switch.settings = settings(with_key(json!({}))).unwrap();
    bench.comes_back("anna", &dead);
    assert_eq!(bench.states("anna"), [ConversationState::Talking]);
    bench.input(Input::Manager(News::Up));
    bench.orders.clear();
    bench.reads(&[("a", entry("555", 9))]);
    assert!(matches!(bench.orders.as_slice(), [Order::Forget { key, .. }] if key == "a"), "{:?}", bench.orders);
    bench.agent("bert", "1002");
    assert!(bench.reports.iter().filter(|(to, _)| to == "s-bert").all(|it| it.1.channels[0].interactions.is_empty()));
}

#[test]
fn an_agent_who_rejects_while_the_channel_is_being_made_calls_nobody_and_it_is_no_attempt() {
    let mut bench = bench_with(&[("a", entry("555", 9))]);
    bench.agent("anna", "1001");
    bench.orders.clear();
    let answer = bench.answers("anna", "1001");
    let Some(Order::Keep { id: Some(id), .. }) = bench.orders.pop() else { panic!("it is counted") };
    let made = bench.switch.handle(bench.now, Input::Manager(News::Stored { id, done: Ok(()) }));
    let interaction = bench.at_interaction("anna", "1001");
    assert_eq!(bench.command("anna", Command::Reject { interaction }), Outcome::success());
    bench.deliver(made);
    let first = bench.originated();
    assert!(matches!(bench.outcome(answer), Some(Outcome::Failure(failure)) if failure.code == Code::InvalidState));
    assert!(bench.is_hung_up(&first) && bench.posted("/dial") == 0);
    assert_eq!(bench.kept().last().unwrap()["attempts"], 0);
    bench.agent("bert", "1002");
    let second = bench.calls_back("bert", "1002");
    // The end of the first is told late.
    bench.over(&first, 16);
    bench.enters(&second, &["called"], "");
    assert_eq!((first == second, bench.states("bert")), (false, vec![ConversationState::Talking]));
}
