//! Events of the adapter's own, and the session's link.

use jackfield_model::DiagnosticKind;
use jackfield_plugin_api::{
    Link, Report,
    report::{
        Channel, ChannelType, Conversation, ConversationAt, ConversationState, Direction, ExtensionEvent, Group,
        Interaction, InteractionAt, Role, Target,
    },
};
use serde_json::json;

use super::desk::{Desk, Told, kept};

fn desk_with_a_call() -> Desk {
    let mut desk = Desk::started(false);
    let call = Interaction::create("M", Direction::Inbound).conversation(Conversation::new(
        "C",
        Role::Primary,
        ConversationState::Talking,
    ));
    desk.apply(
        &Report::new()
            .group(Group::new("g", "Sales"))
            .channel(Channel::create("tel", ChannelType::Telephony, "1001", "Desk").group("g").interaction(call)),
    );
    desk
}

fn call() -> Target {
    Target::Interaction(InteractionAt { channel: "tel".into(), interaction: "M".into() })
}

fn note(on: Target) -> ExtensionEvent {
    ExtensionEvent::new(on, "interaction.test.note", json!({"text": "…"}))
}

fn is_left_out(told: &Told) {
    assert_eq!(told.words, [""; 0]);
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::ExtensionEvent, 1)]);
}

#[test]
fn an_extension_event_carries_the_hosts_path_and_its_data_unread() {
    let told = desk_with_a_call().apply(&Report::new().event(note(call())));
    assert_eq!(told.words, ["interaction.test.note"]);
    assert_eq!((&*told.events[0].target, &*told.events[0].data), ("S.g1.c2.i3", r#"{"text":"…"}"#));
}

#[test]
fn an_extension_event_can_be_about_any_object() {
    let mut desk = desk_with_a_call();
    let other_call = Interaction::create("N", Direction::Inbound)
        .conversation(Conversation::new("C", Role::Primary, ConversationState::Held))
        .conversation(Conversation::new("D", Role::Consult, ConversationState::Talking));
    let other = Channel::create("other", ChannelType::Telephony, "1002", "Other").group("h").interaction(other_call);
    desk.apply(&Report::new().group(Group::new("h", "Web")).channel(other));
    let (channel, interaction, conversation) = ("other".to_owned(), "N".to_owned(), "D".to_owned());
    let at = InteractionAt { channel: channel.clone(), interaction: interaction.clone() };
    for (kind, on, path) in [
        ("channelgroup", Target::Group("h".into()), "S.g5"),
        ("channel", Target::Channel(channel.clone()), "S.g5.c6"),
        ("interaction", Target::Interaction(at), "S.g5.c6.i7"),
        ("conversation", Target::Conversation(ConversationAt { channel, interaction, conversation }), "S.g5.c6.i7.v9"),
    ] {
        let event = ExtensionEvent::new(on, format!("{kind}.test.note"), json!({}));
        let told = desk.apply(&Report::new().event(event));
        assert_eq!(told.events.iter().map(|event| &*event.target).collect::<Vec<_>>(), [path]);
    }
}

#[test]
fn an_extension_event_follows_the_state_changes_of_its_report() {
    let held = Conversation::new("C", Role::Primary, ConversationState::Held);
    let channel = Channel::new("tel").interaction(Interaction::new("M").conversation(held));
    let told = desk_with_a_call().apply(&Report::new().event(note(call())).channel(channel));
    assert_eq!(told.words, ["state.updated(primary)", "interaction.test.note"]);
}

#[test]
fn an_extension_event_that_is_not_declared_is_left_out() {
    let event = ExtensionEvent::new(call(), "interaction.test.other", json!({}));
    is_left_out(&desk_with_a_call().apply(&Report::new().event(event)));
}

#[test]
fn an_adapter_cannot_send_a_standard_event() {
    let event = ExtensionEvent::new(call(), "interaction.disposed", json!({}));
    is_left_out(&desk_with_a_call().apply(&Report::new().event(event)));
}

#[test]
fn an_extension_event_on_an_object_that_is_not_there_is_left_out() {
    let on = Target::Interaction(InteractionAt { channel: "tel".into(), interaction: "N".into() });
    is_left_out(&desk_with_a_call().apply(&Report::new().event(note(on))));
}

#[test]
fn an_extension_event_on_another_kind_of_object_is_left_out() {
    for on in [Target::Session, Target::Group("g".into()), Target::Channel("tel".into())] {
        is_left_out(&desk_with_a_call().apply(&Report::new().event(note(on))));
    }
}

#[test]
fn an_extension_event_whose_data_is_no_object_is_left_out() {
    let event = ExtensionEvent::new(call(), "interaction.test.note", json!([1]));
    is_left_out(&desk_with_a_call().apply(&Report::new().event(event)));
}

#[test]
fn an_extension_event_that_comes_before_the_snapshot_follows_it() {
    let mut desk = Desk::new(false);
    let event = ExtensionEvent::new(Target::Session, "session.test.news", json!({}));
    assert_eq!(desk.apply(&Report::new().event(event)).words, [""; 0]);
    assert_eq!(desk.apply(&Report::snapshot()).words, ["session.initialized", "session.test.news"]);
}

#[test]
fn what_comes_before_the_snapshot_is_kept_to_its_size() {
    let mut desk = Desk::new(false);
    let news = |n: usize| ExtensionEvent::new(Target::Session, "session.test.news", json!({"text": "x".repeat(n)}));
    for _ in 0..100 {
        desk.apply(&Report::new().event(news(60_000)));
    }
    let told = desk.apply(&Report::snapshot());
    // Of 60 KB each, so many fit into 1 MiB.
    assert_eq!(told.words.iter().filter(|word| *word == "session.test.news").count(), 17);
}

#[test]
fn a_session_tells_what_it_can_do() {
    let told = Desk::new(false).apply(&Report::snapshot());
    let data: serde_json::Value = serde_json::from_str(&told.events[0].data).unwrap();
    let commands = data["capabilities"]["commands"].as_array().unwrap();
    assert!(commands.contains(&json!("channel.request.dial")) && commands.contains(&json!("session.request.logout")));
    assert_eq!(data["capabilities"]["channelTypes"], json!(["Telephony", "Chat", "Email"]));
}

fn down() -> Link {
    Link::Down { reason: "no route".into() }
}

#[test]
fn a_link_that_is_lost_and_comes_back_is_told_once_each() {
    let mut desk = Desk::started(false);
    assert_eq!(desk.link(&Link::Up), [""; 0]);
    assert_eq!(desk.link(&down()), ["session.linkchanged"]);
    assert_eq!(desk.link(&down()), [""; 0]);
    assert!(!desk.client.link_is_up());
    assert_eq!(desk.link(&Link::Up), ["session.linkchanged"]);
    assert!(desk.client.link_is_up());
}

#[test]
fn a_link_event_says_why() {
    let mut desk = Desk::started(false);
    assert_eq!(kept(&desk.tree.set_link(&down()))[0].data, r#"{"link":"down","reason":"no route"}"#);
    assert_eq!(kept(&desk.tree.set_link(&Link::Up))[0].data, r#"{"link":"up"}"#);
}

#[test]
fn a_snapshot_tells_a_link_that_is_down_before_it_ends() {
    let mut desk = desk_with_a_call();
    desk.link(&down());
    let replay = desk.tree.snapshot();
    let names: Vec<&str> = replay.iter().rev().take(2).map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["session.initialized", "session.linkchanged"]);
}

#[test]
fn a_session_that_begins_while_the_link_is_down_is_told_so_with_its_snapshot() {
    let mut desk = Desk::new(false);
    assert_eq!(desk.link(&down()), [""; 0]);
    assert_eq!(desk.apply(&Report::snapshot()).words, ["session.linkchanged", "session.initialized"]);
}
