//! What cannot be is left out and noted; the rest of the report holds. An adapter's own tests complain of the same.

use jackfield_model::DiagnosticKind;
use jackfield_plugin_api::{
    Report,
    report::{
        Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction, Interaction,
        InteractionState, Role,
    },
    testkit::check_report,
};

use super::desk::{Desk, capabilities_of, manifest_of};
use ConversationState::{Alerting, Dialing, Ended, Held, Talking};

const ALL_TYPES: &[&str] = &["Telephony", "Chat", "Email"];

fn on(interaction: Interaction) -> Report {
    Report::new().channel(Channel::new("tel").interaction(interaction))
}

fn call(conversations: impl IntoIterator<Item = Conversation>) -> Interaction {
    conversations.into_iter().fold(Interaction::new("M").no_conversations(), Interaction::conversation)
}

fn one(state: ConversationState) -> Conversation {
    Conversation::new("P", Role::Primary, state)
}

fn two(state: ConversationState) -> Conversation {
    Conversation::new("Q", Role::Consult, state)
}

fn with_key(mut conversation: Conversation, key: &str) -> Conversation {
    conversation.key = key.into();
    conversation
}

/// A phone with one call, and a chat with one contact.
fn desk(calls: impl IntoIterator<Item = Conversation>) -> Desk {
    let mut desk = Desk::started(false);
    let mut interaction = call(calls);
    interaction.direction = Some(Direction::Inbound);
    let active = || ChannelStatus::Active(ChannelInfo::ready());
    let chat = Interaction::create("E", Direction::Inbound).state(InteractionState::Started);
    desk.apply(
        &Report::new()
            .channel(
                Channel::create("tel", ChannelType::Telephony, "1", "Desk").status(active()).interaction(interaction),
            )
            .channel(Channel::create("chat", ChannelType::Chat, "2", "Chat").status(active()).interaction(chat)),
    );
    desk
}

/// The report is applied but for one thing.
fn leaves_out(desk: &mut Desk, report: &Report, kind: DiagnosticKind, words: &[&str]) {
    let types: &[&str] = if kind == DiagnosticKind::ChannelType { &["Telephony"] } else { ALL_TYPES };
    let complaints = check_report(&manifest_of(types), &desk.view, report);
    assert!(!complaints.is_empty(), "the test kit does not complain of {report:#?}");
    let told = desk.apply(report);
    assert_eq!(told.words, words, "{:?}", told.notes);
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(kind, 1)], "{:?}", told.notes);
    let note = &told.notes.first()[0];
    assert!(note.kind == kind && !note.what.is_empty());
}

#[test]
fn the_second_of_two_statements_about_one_object() {
    let twice = Report::new().channel(Channel::new("tel")).channel(Channel::gone("tel"));
    leaves_out(&mut desk([one(Talking)]), &twice, DiagnosticKind::NamedTwice, &[]);
    let twice =
        Report::new().channel(Channel::new("tel").interaction(call([one(Held)])).interaction(Interaction::gone("M")));
    leaves_out(&mut desk([one(Talking)]), &twice, DiagnosticKind::NamedTwice, &["state.updated(primary)"]);
    let twice = on(call([one(Held), one(Ended)]));
    leaves_out(&mut desk([one(Talking)]), &twice, DiagnosticKind::NamedTwice, &["state.updated(primary)"]);
}

#[test]
fn statements_about_what_is_not_there() {
    for report in [
        Report::new().channel(Channel::new("other")),
        Report::new().channel(Channel::create("other", ChannelType::Chat, "3", "Other").group("nowhere")),
        on(Interaction::new("N")),
        on(Interaction::create("N", Direction::Inbound)),
        on(call([one(Talking), Conversation::default()])),
        on(call([one(Talking), with_key(Conversation::default(), "R")])),
    ] {
        leaves_out(&mut desk([one(Talking)]), &report, DiagnosticKind::Unknown, &[]);
    }
    let mut without_role = with_key(one(Dialing), "R");
    without_role.role = None;
    leaves_out(&mut desk([one(Talking)]), &on(call([one(Talking), without_role])), DiagnosticKind::Unknown, &[]);
}

#[test]
fn a_channel_of_a_type_that_the_manifest_does_not_declare() {
    let mut desk = Desk::with(capabilities_of(&["Telephony"]), false);
    desk.apply(&Report::snapshot());
    let both = Report::new().channel(Channel::create("chat", ChannelType::Chat, "2", "Chat")).channel(Channel::create(
        "tel",
        ChannelType::Telephony,
        "1",
        "Desk",
    ));
    let words = ["channel.created", "state.updated(channel)", "channel.initialized"];
    leaves_out(&mut desk, &both, DiagnosticKind::ChannelType, &words);
}

#[test]
fn nothing_is_noted_of_what_is_gone_already() {
    for report in [
        Report::new().channel(Channel::gone("other")).group(jackfield_plugin_api::report::Group::gone("g")),
        on(Interaction::gone("N")),
        on(Interaction::new("N").state(InteractionState::Completed)),
        on(call([one(Talking), with_key(one(Ended), "R")])),
    ] {
        let mut desk = desk([one(Talking)]);
        assert_eq!(check_report(&manifest_of(ALL_TYPES), &desk.view, &report), Vec::<String>::new());
        let told = desk.apply(&report);
        assert!(told.words.is_empty() && told.notes.is_empty(), "{:?} {:?}", told.words, told.notes);
    }
}

#[test]
fn states_that_go_back() {
    let offered = on(Interaction::new("M").state(InteractionState::Alerting));
    leaves_out(&mut desk([one(Talking)]), &offered, DiagnosticKind::WentBack, &[]);
    leaves_out(&mut desk([one(Talking)]), &on(call([one(Alerting)])), DiagnosticKind::WentBack, &[]);
    leaves_out(&mut desk([one(Held), two(Held)]), &on(call([one(Held), two(Dialing)])), DiagnosticKind::WentBack, &[]);
    leaves_out(&mut desk([one(Dialing)]), &on(call([one(Alerting)])), DiagnosticKind::WentBack, &[]);
    // the rest of the statement holds
    let muted = on(call([one(Alerting).muted(true)]));
    leaves_out(&mut desk([one(Talking)]), &muted, DiagnosticKind::WentBack, &["state.updated(primary)"]);
    let chat = Interaction::new("E").state(InteractionState::Dialing);
    let chat = Report::new().channel(Channel::new("chat").interaction(chat));
    leaves_out(&mut desk([one(Talking)]), &chat, DiagnosticKind::WentBack, &[]);
}

#[test]
fn what_never_changes() {
    let mut outbound = call([one(Held)]);
    outbound.direction = Some(Direction::Outbound);
    leaves_out(&mut desk([one(Talking)]), &on(outbound), DiagnosticKind::CannotChange, &["state.updated(primary)"]);
    let mut role = one(Talking);
    (role.role, role.state, role.muted) = (Some(Role::Consult), None, Some(true));
    leaves_out(&mut desk([one(Talking)]), &on(call([role])), DiagnosticKind::CannotChange, &["state.updated(primary)"]);
    let ended = with_key(two(Ended), "P");
    let told = desk([one(Talking)]).apply(&on(call([ended])));
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::CannotChange, 1)]);
    assert!(told.words.contains(&"interaction.ended".to_owned()), "it is over nevertheless");
}

#[test]
fn a_live_call_under_the_key_in_another_role_is_another_call() {
    let told = desk([one(Talking)]).apply(&on(call([with_key(two(Talking), "P")])));
    assert_eq!(told.words[..2], ["state.updated(primary)", "conversation.disposed(primary)"]);
    assert!(told.words.contains(&"conversation.created".to_owned()) && told.notes.is_empty());
}

#[test]
fn a_second_call_in_one_role() {
    let second = || with_key(one(Held), "R");
    leaves_out(&mut desk([one(Talking)]), &on(call([one(Talking), second()])), DiagnosticKind::Contradiction, &[]);
    let told = desk([one(Talking)]).apply(&on(call([second(), one(Talking)])));
    assert_eq!(told.words[1], "conversation.disposed(primary)", "the first in the report stands");
    assert_eq!(told.words[2], "conversation.created");
    let mut new = call([one(Talking), second()]);
    (new.key, new.direction) = ("N".into(), Some(Direction::Inbound));
    let told = desk([one(Talking)]).apply(&on(new));
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::Contradiction, 1)]);
    assert_eq!(told.words.iter().filter(|word| *word == "conversation.created").count(), 1);
}

#[test]
fn a_second_call_that_talks_is_held() {
    let both = on(call([one(Talking), two(Talking)]));
    leaves_out(&mut desk([one(Talking), two(Held)]), &both, DiagnosticKind::Contradiction, &[]);
    let both = on(call([two(Talking), one(Talking)]));
    let words = ["state.updated(primary)", "state.updated(consult)", "interaction.focuschanged"];
    leaves_out(&mut desk([one(Talking), two(Held)]), &both, DiagnosticKind::Contradiction, &words);
    let mut new = call([one(Talking), two(Talking)]);
    (new.key, new.direction) = ("N".into(), Some(Direction::Inbound));
    let told = desk([one(Talking)]).apply(&on(new));
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::Contradiction, 1)]);
}

#[test]
fn calls_where_there_can_be_none() {
    let chat = |interaction| Report::new().channel(Channel::new("chat").interaction(interaction));
    let mut with_call = call([one(Talking)]);
    with_call.key = "E".into();
    leaves_out(&mut desk([one(Talking)]), &chat(with_call.clone()), DiagnosticKind::Misplaced, &[]);
    (with_call.key, with_call.direction) = ("F".into(), Some(Direction::Inbound));
    let told = desk([one(Talking)]).apply(&chat(with_call));
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::Misplaced, 1)]);
    let mut desk = desk([one(Talking)]);
    desk.apply(&on(call([])));
    assert!(desk.apply(&on(call([one(Ended)]))).notes.is_empty(), "what is over may be said again");
    leaves_out(&mut desk, &on(call([one(Talking)])), DiagnosticKind::Misplaced, &[]);
    let mut over =
        Interaction::create("N", Direction::Inbound).state(InteractionState::Ended).conversation(one(Talking));
    let told = desk.apply(&on(over.clone()));
    assert_eq!(told.notes.counts().collect::<Vec<_>>(), [(DiagnosticKind::Misplaced, 1)]);
    over.key = "O".into();
    over.conversations = Some(vec![one(Ended)]);
    assert!(desk.apply(&on(over)).notes.is_empty());
}

#[test]
fn every_kind_has_a_label_of_its_own() {
    let labels: std::collections::BTreeSet<&str> = DiagnosticKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(labels.len(), DiagnosticKind::ALL.len());
}
