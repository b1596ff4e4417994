//! What is written in the compact form is read as what it was, as what its JSON says, or not at all.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::{direct::directly, read::MAX_DEPTH, *};
use crate::{
    Code, Command, Failure, Json, Link, Outcome, Report,
    command::RecordAction,
    report::{
        Availability, Cause, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationAt,
        ConversationState, Direction, ExtensionEvent, Group, Interaction, InteractionAt, InteractionState, Member,
        MemberRole, Pending, Reason, Recording, Role, Target,
    },
    wire::{
        self, Answer, AnswerRef, Breach, Done, Execute, ExecuteRef, Form, Kind, Level, Log, Metric, Payload,
        PayloadOwned, Resume, Wrong,
    },
};

fn text<T: Serialize + ?Sized>(message: &T) -> String {
    let mut text = String::new();
    write(message, &mut text).unwrap();
    text
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(message: &T) {
    assert_eq!(read::<T>(&text(message)).unwrap(), *message);
}

fn json(text: &str) -> Json {
    Json::from_text(text.to_owned()).unwrap()
}

/// With something under each member that there is.
fn full_report() -> Report {
    let mut interaction = Interaction::create("ключ", Direction::Inbound)
        .state(InteractionState::Ended)
        .reason(Reason::Failed)
        .cause(Cause::NoAnswer)
        .recording(Recording::Paused)
        .data("text", "\"quoted\" \\ and\nbroken")
        .data("number", json("2.50"));
    interaction.was = Some("before".to_owned());
    interaction.url = Some("https://example.org/?a=b".to_owned());
    interaction.data.insert("removed".to_owned(), None);
    let mut conversation = Conversation::new("v", Role::Consult, ConversationState::Held);
    conversation.members = Some(vec![Member::new("m", "555", MemberRole::External).name("")]);
    conversation.muted = Some(true);
    let info = ChannelInfo::not_ready(Some("7".to_owned()), Some("lunch".to_owned()))
        .queue("sales")
        .pending(Pending::new(Availability::Acw, None, Some("later".to_owned())));
    let channel = Channel::create("c", ChannelType::Telephony, "101", "phone")
        .group("all")
        .status(ChannelStatus::Active(info))
        .interaction(interaction.conversation(conversation));
    Report::snapshot()
        .group(Group::new("all", "All"))
        .group(Group::gone("old"))
        .channel(channel)
        .channel(Channel::new("d").status(ChannelStatus::Unavailable))
        .event(ExtensionEvent::new(Target::Session, "session.acme.told", json(r#"{"a":[1,{}]}"#)))
}

#[test]
fn every_member_of_a_report_survives() {
    survives(&full_report());
    survives(&Report::new());
}

/// Written and read in its own way as by serde.
fn goes_both_ways<W, R>(written: &W, same: &R)
where
    W: Payload,
    R: PayloadOwned + direct::Read + PartialEq + fmt::Debug,
{
    let mut directly_written = String::new();
    written.write_compact(&mut directly_written).unwrap();
    assert_eq!(directly_written, text(written));
    assert_eq!(directly(&directly_written).as_ref(), Some(same));
    assert_eq!(read::<R>(&directly_written).unwrap(), *same);
}

#[test]
fn a_report_is_written_and_read_directly() {
    goes_both_ways(&full_report(), &full_report());
    goes_both_ways(&Report::new(), &Report::new());
}

#[test]
fn an_answer_is_written_and_read_directly() {
    for outcome in [
        Outcome::success(),
        Outcome::data(json(r#"{"a":1.0}"#)),
        Outcome::NeedInfo(json("{}")),
        Outcome::from(Failure::new(Code::Busy, "busy").context("486")),
    ] {
        for report in [None, Some(Report::new()), Some(full_report())] {
            let written = AnswerRef { request: 4096, report: report.as_ref(), outcome: &outcome };
            goes_both_ways(&written, &Answer { request: 4096, report: report.clone(), outcome: outcome.clone() });
        }
    }
}

#[test]
fn a_command_is_written_and_read_directly() {
    let conversation = || ConversationAt { channel: "c".into(), interaction: "i".into(), conversation: "v".into() };
    let interaction = || InteractionAt { channel: "c".into(), interaction: "i".into() };
    for command in [
        Command::AddChannel { endpoint: "101".into(), kind: ChannelType::Chat },
        Command::RemoveChannel { channel: "c".into() },
        Command::Activate { channel: "c".into(), queue: None, options: json("{}") },
        Command::Deactivate { channel: "c".into(), queues: vec!["a".into()], reason: Some(-1) },
        Command::Ready { channel: "c".into() },
        Command::NotReady { channel: "c".into(), reason_code: "7".into(), reason_desc: Some(String::new()) },
        Command::NotReady { channel: "c".into(), reason_code: "7".into(), reason_desc: None },
        Command::Dial { channel: "c".into(), destination: "555".into(), extensions: json("{}") },
        Command::Accept { interaction: interaction() },
        Command::Reject { interaction: interaction() },
        Command::SetInteractionData { interaction: interaction(), key: "k".into(), value: json("[\"ü\"]") },
        Command::SetInteractionData { interaction: interaction(), key: "k".into(), value: json("null") },
        Command::SetDisposition { interaction: interaction(), disposition: "sold".into() },
        Command::Complete { interaction: interaction() },
        Command::Consult { interaction: interaction(), destination: "555".into() },
        Command::Alternate { interaction: interaction(), hold: None, retrieve: "v".into() },
        Command::ConsultTransfer { interaction: interaction() },
        Command::ConsultConference { interaction: interaction() },
        Command::Record { interaction: interaction(), action: RecordAction::Pause },
        Command::Answer { conversation: conversation() },
        Command::Release { conversation: conversation() },
        Command::Hold { conversation: conversation() },
        Command::Retrieve { conversation: conversation() },
        Command::Mute { conversation: conversation() },
        Command::Unmute { conversation: conversation() },
        Command::SendDtmf { conversation: conversation(), digits: "1#".into() },
        Command::BlindTransfer { conversation: conversation(), destination: "555".into() },
        Command::BlindConference { conversation: conversation(), destination: "555".into() },
        Command::Extension { name: "a.b".into(), target: Target::Conversation(conversation()), data: json("{}") },
    ] {
        goes_both_ways(
            &ExecuteRef { request: 1, command: &command },
            &Execute { request: 1, command: command.clone() },
        );
    }
}

#[test]
fn what_cannot_be_read_directly_is_read_by_serde_or_not_at_all() {
    let report = |members: &str| Report::read_compact(&format!("\u{1}{members}"));
    let of = |channel: Channel| Report::new().channel(channel);
    // A member of a later version, another order.
    let later = "{\u{1}\u{8}channels[\u{1}{\u{2}\u{3}keys\u{1}c\u{5}colors\u{3}red";
    assert_eq!(report(later).unwrap(), of(Channel::new("c")));
    let turned = "{\u{1}\u{8}channels[\u{1}{\u{2}\u{4}gonet\u{3}keys\u{1}c";
    assert_eq!(report(turned).unwrap(), of(Channel::gone("c")));
    // Without its key, with the same twice, with a member that is somebody else's.
    assert!(report("{\u{1}\u{8}channels[\u{1}{\u{1}\u{4}gonet").is_err());
    assert!(report("{\u{1}\u{8}channels[\u{1}{\u{2}\u{3}keys\u{1}c\u{3}keys\u{1}d").is_err());
    assert!(report("{\u{1}\u{8}channels[\u{1}{\u{3}\u{3}keys\u{1}c\u{4}gonet\u{4}gonet").is_err());
    assert!(report("{\u{1}\u{8}channels[\u{1}{\u{1}\u{3}keys\u{1}c\u{4}gonet").is_err());
}

#[test]
fn every_kind_of_message_survives() {
    let conversation = ConversationAt { channel: "c".into(), interaction: "i".into(), conversation: "v".into() };
    let interaction = InteractionAt { channel: "c".into(), interaction: "i".into() };
    for command in [
        Command::Ready { channel: "c".into() },
        Command::Deactivate { channel: "c".into(), queues: vec!["a".into(), "b".into()], reason: Some(-300) },
        Command::Dial { channel: "c".into(), destination: "555".into(), extensions: Json::empty_object() },
        Command::SetInteractionData { interaction, key: "k".into(), value: json("null") },
        Command::Hold { conversation: conversation.clone() },
        Command::Extension {
            name: "conversation.request.acme.do".into(),
            target: Target::Conversation(conversation),
            data: json("{}"),
        },
    ] {
        let written = Execute { request: u64::MAX, command };
        let got: Execute = read(&text(&written)).unwrap();
        assert_eq!((got.request, got.command), (written.request, written.command));
    }
    for outcome in [
        Outcome::success(),
        Outcome::data(json(r#"{"a":1.0}"#)),
        Outcome::NeedInfo(json("{}")),
        Outcome::from(Failure::new(Code::Busy, "busy").context("486")),
    ] {
        survives(&Answer { request: 64, report: Some(full_report()), outcome: outcome.clone() });
        survives(&Answer { request: 63, report: None, outcome });
    }
    survives(&Link::Up);
    survives(&Link::Down { reason: "away".into() });
    survives(&Resume { state: (0..=255).collect() });
    survives(&Done { of: Kind::LOAD, failure: None, compact: true });
    survives(&Metric { name: "calls".into(), labels: vec![String::new()], value: -0.1 });
    survives(&Breach { what: Wrong::Panic, detail: "d".into(), times: 4096 });
    survives(&Log { level: Level::Debug, target: "t".into(), message: "m".into(), suppressed: 0 });
}

#[test]
fn a_value_that_is_null_means_what_it_means_in_json() {
    let data = |value| BTreeMap::from([("k".to_owned(), value)]);
    let written = data(Some(json("null")));
    let by_json: BTreeMap<String, Option<Json>> =
        serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
    assert_eq!(read::<BTreeMap<String, Option<Json>>>(&text(&written)).unwrap(), by_json);
    assert_eq!(by_json, data(None));
}

#[test]
fn a_newer_message_is_read_by_an_older_side_and_the_other_way_round() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Older {
        kept: String,
        last: u8,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newer {
        #[serde(default)]
        added: Vec<(String, Option<Command>)>,
        kept: String,
        #[serde(default)]
        other: f64,
        last: u8,
    }
    let added = vec![("x".to_owned(), Some(Command::Ready { channel: "c".into() })), (String::new(), None)];
    let newer = Newer { added, kept: "k".into(), other: 0.5, last: 9 };
    assert_eq!(read::<Older>(&text(&newer)).unwrap(), Older { kept: "k".into(), last: 9 });
    let got = read::<Newer>(&text(&Older { kept: "k".into(), last: 9 })).unwrap();
    assert_eq!(got, Newer { added: vec![], kept: "k".into(), other: 0.0, last: 9 });
}

#[test]
fn a_variant_not_known_yet_is_an_error_or_the_other() {
    assert!(read::<Outcome>(&text("postponed")).is_err());
    assert_eq!(read::<Wrong>(&text("something_new")).unwrap(), Wrong::Other);
}

#[test]
fn what_is_carried_as_json_must_be_json() {
    assert!(read::<Json>(&text("{\"cut")).is_err());
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth: usize| format!("\u{1}{}n", "[\u{1}".repeat(depth));
    assert!(read::<de::IgnoredAny>(&nested(usize::from(MAX_DEPTH))).is_ok());
    for depth in [usize::from(MAX_DEPTH) + 1, 1_000_000] {
        assert!(read::<de::IgnoredAny>(&nested(depth)).is_err());
        assert!(read::<Value>(&nested(depth)).is_err());
        assert!(read::<de::IgnoredAny>(&format!("\u{1}{}n", "v\u{1}a".repeat(depth))).is_err());
    }
}

#[test]
fn a_list_that_says_it_is_longer_than_the_message_is_refused_before_it_is_made() {
    assert!(read::<Vec<u64>>("\u{1}[\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{1}").is_err());
}

#[test]
fn nothing_may_follow_a_message() {
    assert!(read::<bool>("\u{1}t").is_ok());
    assert!(read::<bool>("\u{1}tt").is_err());
    assert!(read::<bool>("t").is_err());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just(63_i64), Just(64), Just(-1), Just(-64), Just(-65), Just(i64::MIN)].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_survives(value in values()) {
        prop_assert_eq!(read::<Value>(&text(&value)).unwrap(), value);
    }

    #[test]
    fn any_value_can_be_skipped(value in values()) {
        prop_assert!(read::<de::IgnoredAny>(&text(&value)).is_ok());
    }

    #[test]
    fn a_text_that_is_cut_off_or_changed_is_read_or_refused(at in any::<prop::sample::Index>(), byte in 0..0x80_u8) {
        let whole = text(&Answer { request: 1, report: Some(full_report()), outcome: Outcome::success() });
        let cut = whole.char_indices().map(|(at, _)| at).nth(at.index(whole.chars().count())).unwrap();
        prop_assert!(read::<Answer>(&whole[..cut]).is_err());
        let mut changed = whole.clone().into_bytes();
        let at = at.index(changed.len());
        if changed[at] < 0x80 {
            changed[at] = byte;
            let _ = read::<Answer>(std::str::from_utf8(&changed).unwrap());
        }
    }

    #[test]
    fn both_ways_to_read_agree(at in any::<prop::sample::Index>(), cut in any::<bool>(), byte in 0..0x80_u8) {
        let answer = Answer { request: 1, report: Some(full_report()), outcome: Outcome::success() };
        let mut changed = text(&answer).into_bytes();
        let at = at.index(changed.len());
        if cut {
            changed.remove(at);
        } else {
            changed[at] = byte;
        }
        if let Ok(changed) = std::str::from_utf8(&changed)
            && let Some(directly) = directly::<Answer>(changed)
        {
            prop_assert_eq!(read::<Answer>(changed).unwrap(), directly);
        }
    }

    #[test]
    fn whatever_a_plugin_sends_is_read_or_refused(bytes in prop::collection::vec(prop_oneof![
        0..0x80_u8, Just(b'{'), Just(b'['), Just(b'v'), Just(b's'), Just(b'u'), 0..8_u8], 0..64)) {
        let hostile = format!("\u{1}{}", String::from_utf8(bytes).unwrap());
        let _ = read::<Answer>(&hostile);
        let _ = read::<Value>(&hostile);
    }
}

#[test]
fn a_channel_of_a_type_not_known_yet_takes_nothing_else_with_it() {
    let report = Report::new()
        .channel(Channel::create("a", ChannelType::Telephony, "1", "phone"))
        .channel(Channel::create("b", ChannelType::Email, "2", "mail"));
    for form in [Form::Json, Form::Compact] {
        // Another word of the same length.
        let written = wire::write(form, &report, |text| text.replace("Email", "Video")).unwrap();
        let read: Report = wire::read(&written).unwrap();
        assert_eq!(read.channels[0], report.channels[0]);
        assert_eq!(read.channels[1], Channel { kind: None, ..report.channels[1].clone() });
    }
}
