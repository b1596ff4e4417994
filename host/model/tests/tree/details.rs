//! What a report may hold beside what the rows of the protocol need: each found by a mutant of the tree that no other
//! test noticed.

use jackfield_model::{DiagnosticKind, limits};
use jackfield_plugin_api::{
    Report,
    report::{
        Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction, Interaction,
        InteractionState, Member, MemberRole, Recording, Role,
    },
};
use serde_json::Value;

use super::desk::{Desk, Told};
use ConversationState::{Held, Talking};

fn on(interactions: impl IntoIterator<Item = Interaction>) -> Report {
    Report::new().channel(interactions.into_iter().fold(Channel::new("tel"), Channel::interaction))
}

fn call(key: &str, conversations: impl IntoIterator<Item = Conversation>) -> Interaction {
    let call = Interaction::create(key, Direction::Inbound).no_conversations();
    conversations.into_iter().fold(call, Interaction::conversation)
}

fn one(state: ConversationState) -> Conversation {
    Conversation::new("P", Role::Primary, state)
}

fn two(state: ConversationState) -> Conversation {
    Conversation::new("Q", Role::Consult, state)
}

/// A phone and a chat, with nothing on them.
fn desk() -> Desk {
    let mut desk = Desk::started(false);
    let active = || ChannelStatus::Active(ChannelInfo::ready());
    let phone = Channel::create("tel", ChannelType::Telephony, "1", "Desk").status(active());
    let chat = Channel::create("chat", ChannelType::Chat, "2", "Chat").status(active());
    desk.apply(&Report::new().channel(phone).channel(chat));
    desk
}

fn data(told: &Told, at: usize) -> Value {
    serde_json::from_str(&told.events[at].data).unwrap()
}

/// The events about conversations, in order.
fn of_conversations(told: &Told) -> Vec<&str> {
    told.words
        .iter()
        .map(String::as_str)
        .filter(|word| word.contains("(primary)") || word.contains("(consult)"))
        .collect()
}

#[test]
fn a_member_whose_role_alone_changes_leaves_and_comes_again() {
    let as_a = |role| call("M", [one(Talking).member(Member::new("m", "+1", role).name("Kim"))]);
    let mut desk = desk();
    desk.apply(&on([as_a(MemberRole::Customer)]));
    let told = desk.apply(&on([as_a(MemberRole::External)]));
    assert_eq!(told.words, ["conversation.member.removed(primary)", "conversation.member.added(primary)"]);
    assert_eq!(
        (&data(&told, 0)["member"]["role"], &data(&told, 1)["member"]["role"]),
        (&"customer".into(), &"external".into())
    );
}

#[test]
fn the_primary_comes_first_in_whatever_order_two_calls_are_stated() {
    let mut desk = desk();
    let told = desk.apply(&on([call("M", [two(Talking), one(Held)])]));
    assert_eq!(of_conversations(&told), ["state.updated(primary)", "state.updated(consult)"]);
    let told = desk.apply(&on([call("M", [])]));
    let ends = [
        "state.updated(primary)",
        "conversation.disposed(primary)",
        "state.updated(consult)",
        "conversation.disposed(consult)",
    ];
    assert_eq!(of_conversations(&told), ends);
}

#[test]
fn a_primary_that_opens_beside_a_consult_stands_before_it() {
    let mut desk = desk();
    desk.apply(&on([call("M", [one(Held), two(Talking)])]));
    desk.apply(&on([call("M", [two(Talking)])]));
    desk.apply(&on([call("M", [two(Talking), Conversation::new("P2", Role::Primary, Held)])]));
    let told = desk.apply(&on([call("M", [])]));
    assert_eq!(of_conversations(&told)[0], "state.updated(primary)");
}

#[test]
fn the_data_of_one_report_is_weighed_together() {
    let mut desk = desk();
    let heavy = |key: &str, weight| call(key, [one(Talking)]).data("k", "x".repeat(weight));
    let full = limits::DATA.report - 100;
    let room = limits::DATA_IN_SESSION.report % full;
    for n in 0..limits::DATA_IN_SESSION.report / full {
        desk.apply(&on([heavy(&n.to_string(), full - limits::ENTRY - "k".len() - "\"\"".len())]));
    }
    // Each of the two fits, both together do not.
    let told = desk.apply(&on([heavy("a", room * 2 / 3), heavy("b", room * 2 / 3)]));
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::TooLong, 1)]);
    let weight = |key: &str| {
        let interaction = desk.tree.channels()[0].interactions.iter().find(|it| &*it.key == key).unwrap();
        interaction.data.iter().len()
    };
    assert_eq!((weight("a"), weight("b")), (1, 0));
}

#[test]
fn nothing_is_told_of_a_recording_of_which_the_platform_tells_nothing() {
    let mut desk = desk();
    let talks = || call("E", [one(Talking)]);
    let told = |desk: &mut Desk, interaction| {
        let told = desk.apply(&on([interaction]));
        let at = told.words.iter().rposition(|word| word == "state.updated(interaction)");
        at.map(|at| data(&told, at)["recording"].clone())
    };
    assert_eq!(told(&mut desk, talks().recording_unknown()), Some(Value::Null));
    assert_eq!(told(&mut desk, talks().recording(Recording::Paused)), Some("PAUSED".into()));
    // It is known from now on.
    assert_eq!(told(&mut desk, talks().recording_unknown()), None);
    assert_eq!(told(&mut desk, talks().recording(Recording::Off)), Some("OFF".into()));
    assert_eq!(told(&mut desk, Interaction::gone("E")), Some("OFF".into()));
    assert_eq!(told(&mut desk, talks()), Some("OFF".into()), "what does not say so records nothing");
}

#[test]
fn a_recording_that_is_stated_of_what_is_gone_says_nothing() {
    let mut desk = desk();
    let on_chat = |interaction| Report::new().channel(Channel::new("chat").interaction(interaction));
    desk.apply(&on_chat(Interaction::create("E", Direction::Inbound).state(InteractionState::Started)));
    let told = desk.apply(&on_chat(Interaction::gone("E").recording(Recording::On)));
    let completed = ["interaction.complete", "state.updated(interaction)", "interaction.disposed"];
    assert_eq!(told.words[..3], completed);
    assert_ne!(data(&told, 1)["recording"], "ON");
}
