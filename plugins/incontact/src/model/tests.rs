//! One transition, one report: whatever the order of CXone's events and wherever the poll cuts them.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use jackfield_plugin_api::{
    report::{
        Availability, Cause, ChannelStatus, ConversationState, Interaction, InteractionState, Reason, Report, Role,
    },
    testkit::View,
};
use serde_json::{Value, json};

use super::{Facts, HOLD, Model, SETTLE, Stage};

/// A test's agent: a session that has been replayed, at a time of its own.
struct Bench {
    model: Model,
    view: View,
    now: Instant,
    tick: u64,
}

fn contact(id: &str, status: &str, more: Value) -> Value {
    let mut event = json!({
        "Type": "CallContactEvent", "ContactID": id, "MasterID": id, "Status": status, "CallType": "Regular",
        "IsInbound": "True", "ANI": format!("+{id}"), "DNIS": "5559000", "FinalState": "False",
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn consult(id: &str, status: &str) -> Value {
    contact(id, status, json!({"ParentContactId": "1", "IsInbound": "False", "DNIS": format!("+{id}")}))
}

fn gone(mut event: Value) -> Value {
    event["FinalState"] = json!("True");
    event
}

fn state(current: &str, acw: bool) -> Value {
    let acw = if acw { "True" } else { "False" };
    json!({"Type": "AgentState", "CurrentState": current, "CurrentOutReason": "", "IsAcw": acw, "NextStates": []})
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { model: Model::default(), view: View::default(), now: Instant::now(), tick: 0 };
        let replay = [
            json!({"Type": "AgentSessionStart", "StationPhoneNumber": "7001", "CanMask": "True", "CanRecord": "True"}),
            json!({"Type": "AgentLeg", "AgentLegId": "5", "Status": "Active"}),
            state("Available", false),
        ];
        bench.model.facts.begin_replay();
        for event in replay {
            bench.event(event);
        }
        bench.model.desk.need(super::Media::Call, &bench.model.facts);
        bench.model.finish_replay(bench.now);
        let snapshot = bench.model.snapshot();
        bench.view.apply(&snapshot);
        bench
    }

    /// An event, with the time of its change.
    fn event(&mut self, mut event: Value) {
        self.tick += 1;
        let time = format!("2026-01-01T00:00:{:02}.{:03}Z", self.tick / 1000, self.tick % 1000);
        let member = if event["ContactID"].is_string() { "LastStateChangeTimeUTC" } else { "StartTimeUTC" };
        if event.get(member).is_none() {
            event[member] = json!(time);
        }
        self.model.apply(&event, self.now);
    }

    /// A batch of the poll, and what is reported after it.
    fn batch(&mut self, events: &[Value]) -> Vec<Report> {
        events.iter().for_each(|event| self.event(event.clone()));
        self.reported()
    }

    fn reported(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(report) = self.model.due(self.now) {
            self.view.apply(&report);
            reports.push(report);
        }
        self.model.answer();
        reports
    }

    /// Time goes by until nothing is held back any more.
    fn rest(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(deadline) = self.model.next_deadline() {
            self.now = self.now.max(deadline);
            reports.extend(self.reported());
        }
        reports
    }

    fn play(&mut self, events: &[Value]) {
        for event in events {
            self.batch(std::slice::from_ref(event));
        }
        self.rest();
    }
}

/// Every order of the events that keeps the order of those about the same thing, each cut in every way.
fn ways(events: &[Value]) -> Vec<Vec<Vec<Value>>> {
    let subject = |event: &Value| event["ContactID"].as_str().unwrap_or("state").to_owned();
    let mut orders = vec![Vec::new()];
    for _ in 0..events.len() {
        let extend = |order: &Vec<usize>| {
            let free = |next: &usize| {
                let before = |one: usize| subject(&events[one]) == subject(&events[*next]) && one < *next;
                !order.contains(next) && (0..events.len()).all(|one| !before(one) || order.contains(&one))
            };
            let longer = |next| order.iter().copied().chain([next]).collect::<Vec<_>>();
            (0..events.len()).filter(free).map(longer).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(extend).collect();
    }
    let mut all = Vec::new();
    for order in orders {
        for cut in 0..1_u32 << (events.len() - 1) {
            let mut batches = vec![vec![events[order[0]].clone()]];
            for (place, index) in order.iter().enumerate().skip(1) {
                if cut >> (place - 1) & 1 == 1 {
                    batches.push(Vec::new());
                }
                batches.last_mut().unwrap().push(events[*index].clone());
            }
            all.push(batches);
        }
    }
    all
}

/// Plays a transition in every way; it must come as one report, always the same one, and is given back.
fn one_report(before: &[Value], events: &[Value], prepare: impl Fn(&mut Bench)) -> Interaction {
    let mut first: Option<Interaction> = None;
    for way in ways(events) {
        let mut bench = Bench::new();
        bench.play(before);
        prepare(&mut bench);
        let mut reports = Vec::new();
        for batch in &way {
            reports.extend(bench.batch(batch));
            bench.now += Duration::from_millis(20);
        }
        reports.extend(bench.rest());
        let told: Vec<_> = reports.iter().flat_map(|report| &report.channels).flat_map(|it| &it.interactions).collect();
        assert_eq!((told.len(), reports.len()), (1, 1), "{way:#?} came as {reports:#?}");
        match &first {
            // Contacts of the same moment may come in either order; the data tells which id leads.
            Some(first) => assert_eq!(told[0], first, "{way:#?}"),
            None => first = Some(told[0].clone()),
        }
    }
    first.unwrap()
}

fn answered() -> Vec<Value> {
    vec![contact("1", "Incoming", json!({})), contact("1", "Active", json!({}))]
}

fn two_calls() -> Vec<Value> {
    let mut events = answered();
    events.extend([contact("1", "Holding", json!({})), consult("2", "Dialing"), consult("2", "Active")]);
    events
}

fn joined() -> Vec<Value> {
    let mut events = two_calls();
    events.extend([contact("1", "Joined", json!({})), consult("2", "Joined")]);
    events
}

fn shape(told: &Interaction) -> Vec<(&str, ConversationState, Option<Reason>)> {
    let conversations = told.conversations.iter().flatten();
    conversations.map(|one| (one.key.as_str(), one.state.unwrap(), one.reason)).collect()
}

use ConversationState::{Alerting, Dialing, Ended, Held, Talking};

#[test]
fn an_inbound_call_is_offered_with_its_number_and_data() {
    let told = one_report(&[], &[contact("1", "Incoming", json!({"Skill": "100"}))], |_| {});
    assert_eq!(shape(&told), [("1", Alerting, None)]);
    let conversation = &told.conversations.as_ref().unwrap()[0];
    assert_eq!(conversation.members.as_ref().unwrap()[0].address.as_deref(), Some("+1"));
    assert_eq!(told.data["skillId"].as_ref().unwrap().get(), "\"100\"");
}

#[test]
fn a_consult_comes_as_one_report_in_every_order_and_cut() {
    let events = [contact("1", "Holding", json!({})), consult("2", "Dialing")];
    let told = one_report(&answered(), &events, |bench| want(bench, |it| it == (Stage::Held, Stage::Dialing)));
    assert_eq!(shape(&told), [("1", Held, None), ("2", Dialing, None)]);
    assert_eq!(told.conversations.unwrap()[1].role, Some(Role::Consult));
}

#[test]
fn a_consult_that_another_client_of_the_agent_makes_does_so_too() {
    let events = [contact("1", "Holding", json!({})), consult("2", "Dialing")];
    for way in ways(&events).into_iter().filter(|way| way[0][0]["ContactID"] == "2") {
        let mut bench = Bench::new();
        bench.play(&answered());
        let reports: Vec<_> = way.iter().flat_map(|batch| bench.batch(batch)).collect();
        assert_eq!(reports.len(), 1, "{way:#?}");
    }
}

#[test]
fn an_alternate_comes_as_one_report() {
    let events = [contact("1", "Active", json!({})), consult("2", "Holding")];
    let told = one_report(&two_calls(), &events, |bench| want(bench, |it| it == (Stage::Active, Stage::Held)));
    assert_eq!(shape(&told), [("1", Talking, None), ("2", Held, None)]);
}

#[test]
fn a_consult_transfer_ends_both_calls_as_transferred() {
    let events = [contact("1", "Disconnected", json!({})), gone(consult("2", "Disconnected"))];
    let told = one_report(&two_calls(), &events, |bench| {
        let case = bench.model.cases.get_mut("1").unwrap();
        case.intend("1", (Reason::Transferred, None));
        case.intend("2", (Reason::Transferred, None));
        want(bench, |it| it == (Stage::Over, Stage::Over));
    });
    assert_eq!(shape(&told), [("1", Ended, Some(Reason::Transferred)), ("2", Ended, Some(Reason::Transferred))]);
    assert_eq!((told.state, told.reason), (Some(InteractionState::Ended), Some(Reason::Transferred)));
}

#[test]
fn a_transfer_that_another_client_makes_is_one_too() {
    let events = [contact("1", "Disconnected", json!({})), gone(consult("2", "Disconnected"))];
    let told = one_report(&two_calls(), &events, |_| {});
    assert_eq!(shape(&told), [("1", Ended, Some(Reason::Transferred)), ("2", Ended, Some(Reason::Transferred))]);
}

#[test]
fn a_conference_dissolves_the_consult_into_the_original() {
    let told = one_report(&two_calls(), &[contact("1", "Joined", json!({})), consult("2", "Joined")], |_| {});
    assert_eq!(shape(&told), [("1", Talking, None), ("2", Ended, Some(Reason::Released))]);
    let members = told.conversations.as_ref().unwrap()[0].members.as_ref().unwrap();
    assert_eq!(members.iter().map(|one| one.address.as_deref().unwrap()).collect::<Vec<_>>(), ["+1", "+2"]);
}

#[test]
fn the_other_party_leaves_a_conference_and_the_call_goes_on() {
    let events = [gone(consult("2", "Disconnected")), contact("1", "Active", json!({}))];
    let told = one_report(&joined(), &events, |_| {});
    assert_eq!(shape(&told), [("1", Talking, None)]);
    assert_eq!(told.conversations.unwrap()[0].members.as_ref().unwrap().len(), 1);
}

#[test]
fn the_customer_leaves_a_conference_and_the_conversation_keeps_its_key() {
    let events = [contact("1", "Disconnected", json!({})), consult("2", "Active")];
    let told = one_report(&joined(), &events, |_| {});
    assert_eq!(shape(&told), [("1", Talking, None)]);
    let member = &told.conversations.as_ref().unwrap()[0].members.as_ref().unwrap()[0];
    assert_eq!(member.address.as_deref(), Some("+2"));
}

#[test]
fn the_agent_leaves_a_conference_alone() {
    let events = [contact("1", "Disconnected", json!({})), gone(consult("2", "Disconnected"))];
    let told = one_report(&joined(), &events, |bench| {
        bench.model.cases.get_mut("1").unwrap().intend("1", (Reason::Released, None));
        want(bench, |it| it == (Stage::Over, Stage::Over));
    });
    assert_eq!(shape(&told), [("1", Ended, Some(Reason::Released))]);
    assert_eq!(told.state, Some(InteractionState::Ended));
}

#[test]
fn a_blind_transfer_shows_nothing_of_the_second_call() {
    let events = [
        contact("1", "Holding", json!({})),
        consult("2", "Dialing"),
        contact("1", "Disconnected", json!({})),
        gone(consult("2", "Disconnected")),
    ];
    for way in ways(&events) {
        let mut bench = Bench::new();
        bench.play(&answered());
        let case = bench.model.cases.get_mut("1").unwrap();
        case.blind = Some(super::Blind { talking: true });
        case.intend("1", (Reason::Transferred, None));
        let mut told = Vec::new();
        for batch in &way {
            told.extend(bench.batch(batch));
        }
        told.extend(bench.rest());
        let told: Vec<_> = told.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions).collect();
        let shapes: Vec<_> = told.iter().map(|told| shape(told)).collect();
        for shape in &shapes {
            assert!(
                shape.is_empty()
                    || *shape == [("1", Talking, None)]
                    || *shape == [("1", Ended, Some(Reason::Transferred))],
                "{way:?}"
            );
        }
        let last = told.last().unwrap();
        assert_eq!((last.state, last.reason), (Some(InteractionState::Ended), Some(Reason::Transferred)), "{way:#?}");
    }
}

#[test]
fn a_call_that_is_transferred_to_the_agent_keeps_its_conversation_under_a_new_contact_id() {
    let mine = contact("2", "Active", json!({"MasterID": "M", "CallType": "Consult"}));
    let new = contact("9", "Active", json!({"MasterID": "M"}));
    let old = gone(contact("2", "Disconnected", json!({"MasterID": "M", "CallType": "Consult"})));
    let told = one_report(&[mine], &[new, old], |_| {});
    assert_eq!(told.key, "M");
    assert_eq!(shape(&told), [("2", Talking, None)]);
    assert_eq!(told.data["contactId"].as_ref().unwrap().get(), "\"9\"");
    let member = &told.conversations.as_ref().unwrap()[0].members.as_ref().unwrap()[0];
    assert_eq!(member.address.as_deref(), Some("+9"));
}

#[test]
fn a_call_ends_together_with_the_agents_state() {
    let mut before = answered();
    before.push(state("InboundContact", false));
    let events = [contact("1", "Disconnected", json!({})), state("Unavailable", true)];
    let told = one_report(&before, &events, |_| {});
    assert_eq!(shape(&told), [("1", Ended, Some(Reason::Released))]);
    let mut bench = Bench::new();
    bench.play(&before);
    bench.play(&events);
    assert_eq!(bench.view.availability("telephony"), Some(Availability::Acw));
}

#[test]
fn a_rejected_an_abandoned_and_a_failed_call_say_so() {
    let over = [gone(contact("1", "Disconnected", json!({})))];
    let offered = [contact("1", "Incoming", json!({}))];
    let rejected = one_report(&offered, &over, |bench| {
        bench.model.cases.get_mut("1").unwrap().intend("1", (Reason::Rejected, None));
    });
    assert_eq!((rejected.gone, rejected.reason), (true, Some(Reason::Rejected)));
    let abandoned = one_report(&offered, &over, |_| {});
    assert_eq!((abandoned.gone, abandoned.reason), (true, Some(Reason::Abandoned)));
    let out = json!({"IsInbound": "False", "DNIS": "486", "DisconnectCode": "Busy"});
    let failed =
        one_report(&[contact("1", "Dialing", out.clone())], &[gone(contact("1", "Disconnected", out))], |_| {});
    assert_eq!((failed.reason, failed.cause), (Some(Reason::Failed), Some(Cause::Busy)));
}

#[test]
fn a_call_in_after_contact_work_is_ended_and_then_gone() {
    let mut bench = Bench::new();
    bench.play(&answered());
    bench.play(&[contact("1", "Disconnected", json!({}))]);
    let told = bench.view.interaction("1").unwrap();
    assert_eq!(told.state, Some(InteractionState::Ended));
    bench.play(&[gone(contact("1", "Disconnected", json!({})))]);
    assert!(bench.view.interaction("1").is_none());
    assert!(bench.model.facts.contacts.is_empty() && bench.model.cases.list.is_empty());
}

#[test]
fn after_contact_work_ends_together_with_the_agents_state() {
    let mut before = answered();
    before.extend([
        state("InboundContact", false),
        contact("1", "Disconnected", json!({})),
        state("Unavailable", true),
    ]);
    let events = [gone(contact("1", "Disconnected", json!({}))), state("Available", false)];
    assert!(one_report(&before, &events, |_| {}).gone);
}

#[test]
fn after_a_crash_nothing_is_told_before_the_replay() {
    let mut bench = Bench::new();
    bench.model = Model { facts: Facts::unknown(), ..Model::default() };
    // A word that waited for the poll of the process that crashed.
    assert!(bench.batch(&[contact("1", "Active", json!({}))]).is_empty());
    assert_eq!(bench.model.next_deadline(), None);
}

#[test]
fn repeated_and_late_events_say_nothing() {
    let mut bench = Bench::new();
    let mut events = two_calls();
    for (number, event) in events.iter_mut().enumerate() {
        event["LastStateChangeTimeUTC"] = json!(format!("2026-01-01T00:01:00.{number:03}Z"));
    }
    bench.play(&events);
    let before = bench.view.clone();
    assert_eq!(bench.batch(&events[3..]), [], "the last batch again");
    assert!(bench.batch(&events[..2]).is_empty(), "an older batch");
    assert_eq!(bench.view, before);
    assert!(bench.model.facts.out_of_order, "an older word calls for a replay");
}

#[test]
fn a_status_is_known_in_capitals_or_not_and_a_strange_one_changes_nothing() {
    let mut bench = Bench::new();
    bench.play(&[contact("1", "incoming", json!({})), contact("1", "ACTIVE", json!({}))]);
    assert_eq!(shape(bench.view.interaction("1").unwrap()), [("1", Talking, None)]);
    let more = json!({"ScreenPopUrl": "https://crm.example/1"});
    bench.play(&[contact("1", "SomethingNew", more)]);
    let shown = bench.view.interaction("1").unwrap();
    assert_eq!((shape(shown), shown.url.as_deref()), (vec![("1", Talking, None)], Some("https://crm.example/1")));
    bench.play(&[contact("2", "SomethingNew", json!({}))]);
    assert_eq!(shape(bench.view.interaction("2").unwrap()), [("2", Alerting, None)]);
}

#[test]
fn words_without_a_time_or_a_number_are_taken_as_they_come() {
    let mut bench = Bench::new();
    let timeless = |status: &str| contact("1", status, json!({"LastStateChangeTimeUTC": ""}));
    bench.play(&[contact("1", "Incoming", json!({})), timeless("Active")]);
    assert_eq!(shape(bench.view.interaction("1").unwrap()), [("1", Talking, None)]);
    let leg = |status: &str| json!({"Type": "AgentLeg", "AgentLegId": "", "Status": status});
    for status in ["Disconnected", "Dialing", "Active"] {
        bench.play(&[leg(status)]);
    }
    assert_eq!(bench.model.facts.leg, super::LegStatus::Up, "the phone is called a second time");
    assert!(!bench.model.facts.out_of_order);
}

#[test]
fn a_replay_whose_start_stands_last_and_comes_in_pieces_ends_nothing() {
    let mut bench = Bench::new();
    bench.play(&two_calls());
    bench.model.facts.begin_replay();
    for event in [contact("1", "Holding", json!({})), consult("2", "Active")] {
        assert!(bench.batch(&[event]).is_empty());
    }
    bench.batch(&[json!({"Type": "AgentSessionStart", "StationPhoneNumber": "7001"})]);
    assert!(bench.model.facts.restarted);
    bench.model.finish_replay(bench.now);
    bench.rest();
    assert_eq!(shape(bench.view.interaction("1").unwrap()), [("1", Held, None), ("2", Talking, None)]);
}

#[test]
fn a_session_start_that_nobody_asked_for_calls_for_a_replay_and_ends_nothing() {
    let mut bench = Bench::new();
    bench.play(&two_calls());
    bench.play(&[json!({"Type": "AgentSessionStart", "StationPhoneNumber": "7001"})]);
    assert!(bench.model.facts.out_of_order);
    assert_eq!(shape(bench.view.interaction("1").unwrap()), [("1", Held, None), ("2", Talking, None)]);
}

#[test]
fn parents_that_go_in_a_circle_are_followed_only_so_far() {
    let mut bench = Bench::new();
    let one = contact("8", "Incoming", json!({"ParentContactId": "9"}));
    let other = contact("9", "Incoming", json!({"ParentContactId": "8"}));
    bench.play(&[one, other]);
    assert!(bench.view.interactions().count() > 0);
}

#[test]
fn a_late_word_does_not_bring_back_a_contact_that_is_done() {
    let mut bench = Bench::new();
    let offered = contact("1", "Incoming", json!({"LastStateChangeTimeUTC": "2026-01-01T00:02:00.000Z"}));
    let over = gone(contact("1", "Disconnected", json!({"LastStateChangeTimeUTC": "2026-01-01T00:02:00.005Z"})));
    bench.play(&[offered.clone(), over.clone()]);
    assert_eq!(bench.batch(&[offered, over]), []);
    assert!(bench.view.interaction("1").is_none());
}

#[test]
fn a_replay_says_what_is_gone_and_keeps_what_is_there() {
    let mut bench = Bench::new();
    bench.play(&two_calls());
    bench.model.facts.begin_replay();
    for event in [json!({"Type": "AgentSessionStart"}), state("InboundContact", false)] {
        bench.event(event);
    }
    bench.event(contact("1", "Active", json!({})));
    assert_eq!(bench.reported(), [], "nothing is told in the middle of a replay");
    bench.model.finish_replay(bench.now);
    let snapshot = bench.model.snapshot();
    assert!(snapshot.snapshot);
    bench.view.apply(&snapshot);
    assert_eq!(shape(bench.view.interaction("1").unwrap()), [("1", Talking, None)]);
}

#[test]
fn the_state_after_the_call_is_told_as_pending() {
    let mut bench = Bench::new();
    bench.play(&answered());
    let mut working = state("InboundContact", false);
    let (next, after_that) = (("Unavailable", "Lunch"), ("Available", ""));
    working["NextStates"] =
        [next, after_that].map(|(state, reason)| json!({"State": state, "OutReason": reason})).to_vec().into();
    bench.play(&[working]);
    let ChannelStatus::Active(info) = bench.view.channel("telephony").unwrap().status.clone().unwrap() else {
        panic!("the channel is active");
    };
    assert_eq!(info.availability, Some(Availability::Ready));
    let pending = info.pending.unwrap();
    assert_eq!((pending.availability, pending.reason_code.as_deref()), (Availability::NotReady, Some("Lunch")));
}

#[test]
fn half_a_transition_is_told_after_a_short_time_all_the_same() {
    let mut bench = Bench::new();
    bench.play(&two_calls());
    assert_eq!(bench.batch(&[consult("2", "Joined")]), []);
    bench.now += SETTLE;
    assert_eq!(bench.reported().len(), 1);
    want(&mut bench, |_| false);
    assert_eq!(bench.batch(&[contact("1", "Active", json!({}))]), []);
    bench.now += HOLD;
    assert_eq!(bench.reported().len(), 1);
}

#[test]
fn the_end_of_the_agent_session_ends_all() {
    let mut bench = Bench::new();
    bench.play(&two_calls());
    bench.play(&[json!({"Type": "AgentSessionEnd", "Message": "RemoteLogoff"})]);
    assert!(bench.view.interaction("1").is_none());
    assert_eq!(bench.view.channel("telephony").unwrap().status, Some(ChannelStatus::Inactive));
}

/// A command waits for both contacts to be in a state.
fn want(bench: &mut Bench, holds: impl Fn((Stage, Stage)) -> bool + Send + 'static) {
    let look = move |facts: &Facts| holds((facts.stage("1"), facts.stage("2"))).then(|| Ok(String::new()));
    drop(bench.model.want(super::After::Case("1".to_owned()), look));
}
