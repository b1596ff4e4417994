//! A report that never ends does not fill the host.

use jackfield_model::{DiagnosticKind, limits};
use jackfield_plugin_api::{
    Json, Report,
    report::{
        Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction, ExtensionEvent,
        Group, Interaction, InteractionState, Member, MemberRole, Role, Target,
    },
};
use serde_json::json;

use super::desk::{AT, Desk, Told};

fn channel(key: impl std::fmt::Display) -> Channel {
    Channel::create(key.to_string(), ChannelType::Telephony, "1", "Desk")
}

fn call(key: impl std::fmt::Display) -> Interaction {
    let talking = Conversation::new("P", Role::Primary, ConversationState::Talking);
    Interaction::create(key.to_string(), Direction::Inbound).conversation(talking)
}

fn notes(told: &Told, kind: DiagnosticKind) -> u32 {
    told.notes.counts().find(|(noted, _)| *noted == kind).map_or(0, |(_, count)| count)
}

fn flood<T>(count: usize, one: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(one).collect()
}

#[test]
fn channels_and_groups_are_counted() {
    let mut desk = Desk::started(false);
    let mut report = Report::new();
    report.channels = flood(limits::CHANNELS.report + 3, channel);
    report.groups = flood(limits::GROUPS.report + 2, |n| Group::new(n.to_string(), "g"));
    let told = desk.apply(&report);
    assert_eq!(
        (desk.tree.channels().len(), desk.tree.groups().len()),
        (limits::CHANNELS.report, limits::GROUPS.report)
    );
    assert_eq!(notes(&told, DiagnosticKind::TooMany), 5);
}

#[test]
fn a_full_session_says_the_truth_of_a_new_groups_state() {
    let mut desk = Desk::started(false);
    let mut report = Report::new();
    report.channels = flood(limits::CHANNELS.report, channel);
    desk.apply(&report);
    desk.apply(&Report::new().group(Group::new("g", "g")).channel(channel("new").group("g")));
    desk.apply(&Report::new().channel(channel("other").group("g")));
    assert_eq!(desk.tree.channels().len(), limits::CHANNELS.report);
}

#[test]
fn interactions_are_counted_on_a_channel_and_in_a_session() {
    let mut desk = Desk::started(false);
    desk.apply(&Report::new().channel(channel(1)).channel(channel(2)));
    let mut flooded = Channel::new("1");
    flooded.interactions = flood(limits::LIVE.report + 1, call);
    let told = desk.apply(&Report::new().channel(flooded));
    assert_eq!(desk.tree.channels()[0].interactions.len(), limits::LIVE.report);
    assert_eq!(notes(&told, DiagnosticKind::TooMany), 1);
    let mut flooded = channel(3);
    flooded.interactions = flood(limits::LIVE_IN_SESSION.report, call);
    let told = desk.apply(&Report::new().channel(flooded));
    let rest = limits::LIVE_IN_SESSION.report - limits::LIVE.report;
    assert_eq!(desk.tree.channels()[2].interactions.len(), rest);
    assert_eq!(notes(&told, DiagnosticKind::TooMany) as usize, limits::LIVE.report);
    // a channel with room in a session without
    let told = desk.apply(&Report::new().channel(Channel::new("2").interaction(call("one too many"))));
    assert_eq!(notes(&told, DiagnosticKind::TooMany), 1);
    assert!(desk.apply(&Report::new().channel(Channel::new("2").interaction(Interaction::gone("x")))).notes.is_empty());
    // what ends makes room
    desk.apply(&Report::new().channel(Channel::new("1").interaction(Interaction::gone("0")).interaction(call("new"))));
    assert!(desk.tree.channels()[0].interactions.iter().any(|interaction| &*interaction.key == "new"));
    desk.apply(&Report::new().channel(Channel::gone("1")).channel(channel(4).interaction(call("newest"))));
    assert_eq!(desk.tree.channels().last().unwrap().interactions.len(), 1);
}

#[test]
fn interactions_of_one_report_are_counted_against_the_session() {
    let mut desk = Desk::started(false);
    let mut report = Report::new().channel(channel(2));
    for key in ["1", "3"] {
        let mut full = channel(key);
        full.interactions = flood(limits::LIVE_IN_SESSION.report / 2 - 1, call);
        report = report.channel(full);
    }
    desk.apply(&report);
    let mut more = Channel::new("2");
    more.interactions = flood(4, call);
    let told = desk.apply(&Report::new().channel(more));
    assert_eq!(notes(&told, DiagnosticKind::TooMany), 2);
}

#[test]
fn members_are_counted() {
    let mut desk = Desk::started(false);
    let mut crowd = Conversation::new("P", Role::Primary, ConversationState::Talking);
    crowd.members = Some(flood(limits::MEMBERS.report + 4, |n| Member::new(n.to_string(), "1", MemberRole::Customer)));
    let interaction = Interaction::create("M", Direction::Inbound).conversation(crowd);
    let told = desk.apply(&Report::new().channel(channel(1).interaction(interaction)));
    assert_eq!(desk.tree.channels()[0].interactions[0].conversations[0].members.len(), limits::MEMBERS.report);
    assert_ne!(notes(&told, DiagnosticKind::TooMany), 0);
}

#[test]
fn a_list_is_read_only_so_far() {
    let mut desk = Desk::started(false);
    let mut report = Report::new().channel(channel(1));
    report.channels.extend(flood(100_000, |_| channel(1)));
    let event = ExtensionEvent::new(Target::Session, "session.test.news", json!({}));
    report.events = flood(limits::LIST + 1, |_| event.clone());
    let told = desk.apply(&report);
    assert_eq!(notes(&told, DiagnosticKind::NamedTwice) as usize, limits::LIST - 1);
    assert_eq!(notes(&told, DiagnosticKind::TooMany), 2);
    assert_eq!(told.words.iter().filter(|word| *word == "session.test.news").count(), limits::LIST);
    assert!(told.notes.first().len() < 20, "the log is not flooded either");
}

#[test]
fn events_that_wait_for_the_snapshot_are_counted() {
    let mut desk = Desk::new(false);
    let mut report = Report::new();
    report.events = flood(limits::LIST, |_| ExtensionEvent::new(Target::Session, "session.test.news", json!({})));
    desk.apply(&report);
    for _ in 0..2 {
        let told = desk.apply(&report);
        assert_eq!(notes(&told, DiagnosticKind::TooMany) as usize, limits::LIST, "what is left out is noted");
    }
    assert_eq!(desk.apply(&Report::snapshot()).words.len(), 1 + limits::LIST);
}

#[test]
fn long_texts_are_cut_and_a_long_key_is_none() {
    let long = "é".repeat(limits::KEY);
    let mut desk = Desk::started(false);
    let mut info = ChannelInfo::not_ready(Some(long.clone()), Some(long.clone())).queue(&*long);
    info.pending = Some(jackfield_plugin_api::report::Pending::new(
        jackfield_plugin_api::report::Availability::Acw,
        Some(long.clone()),
        None,
    ));
    let cut = Channel::create("1", ChannelType::Telephony, &*long, &*long).status(ChannelStatus::Active(info));
    let member = Member::new("m", &*long, MemberRole::Customer).name(&*long);
    let talking = Conversation::new("P", Role::Primary, ConversationState::Talking).member(member);
    let cut = cut.interaction(Interaction::create("M", Direction::Inbound).conversation(talking));
    let told = desk.apply(&Report::new().channel(cut).channel(channel(&long)));
    assert_eq!(desk.tree.channels().len(), 1);
    assert_eq!(desk.tree.channels()[0].name.as_deref().unwrap().len(), limits::TEXT);
    assert_eq!(notes(&told, DiagnosticKind::TooLong), 5);
    assert!(told.events.iter().all(|event| event.data.len() < 6 * limits::TEXT));
}

fn over(key: impl std::fmt::Display) -> Interaction {
    call(key).no_conversations().state(InteractionState::Ended)
}

fn keys(desk: &Desk, channel: usize) -> Vec<&str> {
    desk.tree.channels()[channel].interactions.iter().map(|interaction| &*interaction.key).collect()
}

#[test]
fn contacts_that_wait_to_be_completed_never_hide_a_live_call() {
    let mut desk = Desk::started(false);
    let mut full = channel(1);
    full.interactions = flood(limits::ENDED, over);
    desk.apply(&Report::new().channel(full));
    let on_phone = |interaction| Report::new().channel(Channel::new("1").interaction(interaction));
    let told = desk.apply(&on_phone(call("live")));
    assert!(told.words.contains(&"interaction.screenpop".to_owned()), "{:?}", told.words);
    // When it ends it waits too, and the oldest is completed for it.
    let told = desk.apply(&on_phone(Interaction::new("live").no_conversations()));
    let completed = ["interaction.complete", "state.updated(interaction)", "interaction.disposed"];
    assert_eq!(told.words[told.words.len() - 3..], completed);
    assert_eq!(notes(&told, DiagnosticKind::TooMany), 1);
    let kept = keys(&desk, 0);
    assert_eq!((kept.len(), kept[0], kept.last()), (limits::ENDED, "1", Some(&"live")));
    // One that is first seen ended is not worth that.
    let told = desk.apply(&on_phone(over("late")));
    assert_eq!((told.words.len(), notes(&told, DiagnosticKind::TooMany)), (0, 1));
}

#[test]
fn the_oldest_of_a_whole_session_is_completed_where_the_session_is_full() {
    let mut desk = Desk::started(false);
    let mut report = Report::new().channel(channel(1).interaction(over("oldest")));
    for key in 2..4 {
        let mut full = channel(key);
        full.interactions = flood(limits::ENDED, over);
        report = report.channel(full);
    }
    desk.apply(&report);
    desk.apply(&Report::new().channel(Channel::new("1").interaction(call("live"))));
    desk.apply(&Report::new().channel(Channel::new("1").interaction(Interaction::new("live").no_conversations())));
    assert_eq!(keys(&desk, 0), ["live"]);
}

#[test]
fn what_desktops_set_never_hides_the_platforms_own_data() {
    let mut desk = Desk::started(false);
    desk.apply(&Report::new().channel(channel(1)));
    // Longer than each of the others, which are left out from the longest on.
    let own = |number: &str| number.repeat(500);
    let mut full = call("M").data("ownNumber", own("4711")).data("small", json!(1));
    for n in 0..200 {
        full = full.data(format!("key{n:03}"), "x".repeat(1_000));
    }
    let told = desk.apply(&Report::new().channel(Channel::new("1").interaction(full.clone())));
    assert_eq!(notes(&told, DiagnosticKind::TooLong), 1);
    let data = &desk.tree.channels()[0].interactions[0].data;
    let value = |key| data.iter().find(|(known, _)| *known == key).map(|(_, value)| value.get());
    let quoted = |number: &str| format!("\"{}\"", own(number));
    assert_eq!((value("ownNumber"), value("small")), (Some(&*quoted("4711")), Some("1")));
    assert!(data.iter().len() > 100, "what fits is kept: {}", data.iter().len());
    let later = Interaction::new("M").data("ownNumber", own("47123"));
    desk.apply(&Report::new().channel(Channel::new("1").interaction(later)));
    let data = &desk.tree.channels()[0].interactions[0].data;
    assert!(data.iter().any(|(_, value)| value.get() == quoted("47123")), "it may grow where the others may not");
}

#[test]
fn an_entry_of_call_data_can_be_made_shorter_however_many_there_are() {
    let mut desk = Desk::started(false);
    let big = || Json::from(json!("x".repeat(10_000)));
    let full = (0..8).fold(call("M"), |call, n| call.data(format!("k{n}"), big()));
    desk.apply(&Report::new().channel(channel(1).interaction(full)));
    let interaction = &desk.tree.channels()[0].interactions[0];
    assert_eq!(interaction.data.iter().len(), 8, "a platform may bring more than a desktop may set");
    let fits = |key: &str, value: Json| desk.tree.no_room_for_data(interaction, key, &value).is_none();
    assert!(!fits("new", json!(1).into()) && !fits("k0", json!("x".repeat(10_001)).into()));
    assert!(fits("k0", json!(null).into()) && fits("k0", json!(1).into()) && fits("k0", big()));
}

#[test]
fn call_data_and_addresses_are_weighed() {
    let mut desk = Desk::started(false);
    desk.apply(&Report::new().channel(channel(1).interaction(call("M").data("k", "v"))));
    let mut heavy = Interaction::new("M").data("heavy", "x".repeat(limits::DATA.report));
    heavy.url = Some("u".repeat(limits::URL + 1));
    heavy.data.insert("k".into(), None);
    let told = desk.apply(&Report::new().channel(Channel::new("1").interaction(heavy)));
    assert_eq!(notes(&told, DiagnosticKind::TooLong), 2);
    assert_eq!(told.words, ["interaction.datachanged"], "the rest of the patch is taken");
    for n in 0..limits::LIVE.report {
        let full = call(n).data("heavy", "x".repeat(limits::DATA.report - 100));
        desk.tree.apply(&Report::new().channel(Channel::new("1").interaction(full)), AT, &mut Default::default());
    }
    let data = desk.tree.channels()[0].interactions.iter().flat_map(|interaction| interaction.data.iter());
    let weight: usize = data.map(|(key, value)| key.len() + value.get().len()).sum();
    assert!(weight > limits::DATA_IN_SESSION.report / 2 && weight <= limits::DATA_IN_SESSION.report, "{weight}");
    let event = ExtensionEvent::new(Target::Session, "session.test.news", json!({"x": "x".repeat(limits::EVENT)}));
    let mut notes = Default::default();
    assert!(desk.tree.apply(&Report::new().event(event), AT, &mut notes).is_empty());
}
