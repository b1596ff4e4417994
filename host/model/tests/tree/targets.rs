//! Ids and targets, what events say in full, and which commands an object is in a state for.

use jackfield_model::{Object, rules};
use jackfield_plugin_api::{
    Json, Report,
    command::StandardCommand,
    report::{
        Availability, Cause, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationAt,
        ConversationState, Direction, Group, Interaction, InteractionState, Member, MemberRole, Pending, Reason,
        Recording, Role, Target,
    },
};
use serde_json::{Value, json};

use super::desk::{AT, Desk, Told};
use ConversationState::{Alerting, Dialing, Held, Talking};

fn phone() -> Channel {
    Channel::create("tel", ChannelType::Telephony, "1001", "Desk").status(ChannelStatus::Active(ChannelInfo::ready()))
}

fn inbound(conversations: impl IntoIterator<Item = Conversation>) -> Interaction {
    conversations.into_iter().fold(Interaction::create("M", Direction::Inbound), Interaction::conversation)
}

fn one(state: ConversationState) -> Conversation {
    Conversation::new("P", Role::Primary, state)
}

fn two(state: ConversationState) -> Conversation {
    Conversation::new("Q", Role::Consult, state)
}

fn on_phone(interaction: Interaction) -> Report {
    Report::new().channel(phone().interaction(interaction))
}

/// S.g1.c2.i3.v4 and v5.
fn desk() -> Desk {
    let mut desk = Desk::started(false);
    let mut report = on_phone(inbound([one(Held), two(Talking)])).group(Group::new("g", "Sales"));
    report.channels[0].group = Some("g".into());
    desk.apply(&report);
    desk
}

impl Told {
    fn says(&self, target: &str, name: &str) -> Vec<Value> {
        let fits = self.events.iter().filter(|event| &*event.target == target && event.name == name);
        fits.map(|event| serde_json::from_str(&event.data).unwrap()).collect()
    }
}

// ---- targets

#[test]
fn a_target_is_the_path_from_the_session_down() {
    let desk = desk();
    for (target, keys) in [
        ("S", Target::Session),
        ("S.g1", Target::Group("g".into())),
        ("S.g1.c2", Target::Channel("tel".into())),
        (
            "S.g1.c2.i3.v5",
            Target::Conversation(ConversationAt {
                channel: "tel".into(),
                interaction: "M".into(),
                conversation: "Q".into(),
            }),
        ),
    ] {
        let object = desk.tree.find(target).unwrap_or_else(|| panic!("{target} is there"));
        assert_eq!(object.keys(), keys);
        assert_eq!(object.path().below("S").to_string(), target);
    }
    let paths: Vec<String> = desk.tree.objects().into_iter().map(|(path, _)| path.below("S").to_string()).collect();
    assert_eq!(paths, ["S", "S.g1", "S.g1.c2", "S.g1.c2.i3", "S.g1.c2.i3.v4", "S.g1.c2.i3.v5"]);
    assert!(desk.tree.has_live_calls());
}

#[test]
fn what_is_not_exactly_a_path_of_the_session_is_not_found() {
    for target in [
        "",
        "T",
        "SS",
        "S.",
        ".S",
        "S.c2",
        "S.g1.",
        "S.g01.c2",
        "S.g1.c02",
        "S.g1.c+2",
        "S.g1.c2.v4",
        "S.g1.i3",
        "S.g2",
        "S.g1.c2.i3.v4.m1",
        "S.g1.c2.i3.v6",
        "S.g1.c",
        "S.g1.c2.i3.v4.",
        "S.g1.c99999999999999999999999",
        "s.g1",
    ] {
        assert!(desk().tree.find(target).is_none(), "found {target}");
    }
}

#[test]
fn ids_survive_new_keys_and_new_keys_reach_the_adapter() {
    let mut desk = desk();
    let mut renamed = on_phone(inbound([one(Held), two(Talking)]));
    let channel = &mut renamed.channels[0];
    (channel.was, channel.key) = (Some("tel".into()), "tel2".into());
    let interaction = &mut channel.interactions[0];
    (interaction.was, interaction.key) = (Some("M".into()), "N".into());
    let call = &mut interaction.conversations.as_mut().unwrap()[0];
    (call.was, call.key) = (Some("P".into()), "R".into());
    let told = desk.apply(&renamed);
    assert_eq!(told.words, [""; 0]);
    let keys = ConversationAt { channel: "tel2".into(), interaction: "N".into(), conversation: "R".into() };
    assert_eq!(desk.tree.find("S.g1.c2.i3.v4").unwrap().keys(), Target::Conversation(keys));
}

#[test]
fn two_objects_that_become_one_leave_the_one_that_had_the_key() {
    let mut desk = Desk::started(false);
    let second = Interaction::create("N", Direction::Inbound).state(InteractionState::Ended);
    desk.apply(&Report::new().channel(phone().interaction(inbound([one(Talking)])).interaction(second)));
    let mut both = Interaction::new("N");
    both.was = Some("M".into());
    let told = desk.apply(&on_phone(both));
    assert_eq!(told.says("S.c1.i2", "interaction.disposed"), [json!({})]);
    assert!(desk.tree.find("S.c1.i4").is_some());
}

#[test]
fn an_id_is_never_used_again() {
    let mut desk = desk();
    let end = || Report::new().channel(Channel::new("tel").interaction(Interaction::gone("M")));
    desk.apply(&end());
    desk.apply(&Report::new().channel(Channel::new("tel").interaction(inbound([one(Talking)]))));
    assert!(desk.tree.find("S.g1.c2.i3").is_none() && desk.tree.find("S.g1.c2.i6.v7").is_some());
}

#[test]
fn a_snapshot_that_shows_another_channel_under_the_key_replaces_it() {
    for change in [
        |channel: &mut Channel| channel.kind = Some(ChannelType::Chat),
        |channel: &mut Channel| channel.endpoint = Some("1002".into()),
        |channel: &mut Channel| channel.group = Some("g".into()),
    ] {
        let mut desk = Desk::started(false);
        desk.apply(&Report::new().channel(phone()));
        let mut other = phone();
        change(&mut other);
        let news = Report::new().group(Group::new("g", "Sales")).channel(other.clone());
        let told = desk.apply(&news);
        assert!(desk.tree.find("S.c1").is_some(), "a report of changes does not change it");
        assert_eq!(told.notes.first().len(), 1, "{:?}", told.notes);
        let told = desk.apply(&Report::snapshot().group(Group::new("g", "Sales")).channel(other));
        assert_eq!(told.says("S.c1", "channel.disposed"), [json!({})]);
        assert_eq!(desk.tree.channels().len(), 1);
    }
}

#[test]
fn a_channel_that_goes_with_its_group_can_come_back_alone() {
    let mut desk = desk();
    let told = desk.apply(&Report::new().group(Group::gone("g")).channel(phone()));
    assert_eq!(told.says("S.g1", "channelgroup.disposed"), [json!({})]);
    assert!(matches!(desk.tree.find("S.c6"), Some(Object::Channel(_))));
}

#[test]
fn a_snapshot_can_move_a_channel_to_another_group() {
    let mut desk = desk();
    let groups = || Report::snapshot().group(Group::new("g", "Sales")).group(Group::new("h", "Web"));
    let told = desk.apply(&groups().channel(phone().group("h")));
    assert_eq!(told.says("S.g1.c2", "channel.disposed"), [json!({})]);
    assert_eq!(told.says("S.g1", "state.updated"), [json!({"state": "EMPTY"})]);
    let told = desk.apply(&groups().channel(phone().group("h")));
    assert_eq!(told.words, [""; 0]);
}

#[test]
fn a_channel_that_goes_while_occupied_tells_that_it_is_free() {
    for (status, state) in [(ChannelStatus::Inactive, "INACTIVE"), (ChannelStatus::Unavailable, "UNAVAILABLE")] {
        let mut desk = Desk::started(false);
        desk.apply(&Report::new().channel(phone().status(status).interaction(inbound([one(Talking)]))));
        let told = desk.apply(&Report::new().channel(Channel::gone("tel")));
        assert_eq!(told.says("S.c1", "channel.infochanged"), [json!({"channel": {"occupied": false}})]);
        assert_eq!(told.says("S.c1", "state.updated"), [json!({ "state": state, "since": AT })]);
    }
}

#[test]
fn groups_are_told_apart() {
    let mut desk = Desk::started(false);
    desk.apply(&Report::new().group(Group::new("f", "Web")).group(Group::new("g", "Sales")));
    let told = desk.apply(&Report::new().channel(phone().group("g")));
    assert_eq!(told.says("S.g2", "state.updated"), [json!({"state": "POPULATED"})]);
    let told = desk.apply(&Report::new().group(Group::gone("g")));
    assert_eq!(told.says("S.g2", "channelgroup.disposed"), [json!({})]);
    assert!(desk.tree.find("S.g1").is_some());
}

#[test]
fn calls_of_a_group_that_goes_end_for_the_reason_that_is_said() {
    for (gone, reason) in [(true, "transferred"), (false, "lost")] {
        let mut desk = desk();
        let mut channel = phone().interaction(Interaction::gone("M").reason(Reason::Transferred));
        channel.gone = gone; // else it is said of another channel under the same key
        let told = desk.apply(&Report::new().group(Group::gone("g")).channel(channel));
        assert_eq!(told.says("S.g1.c2.i3", "interaction.ended"), [json!({ "reason": reason })]);
    }
}

// ---- what events say in full

#[test]
fn a_channel_says_all_that_has_a_value() {
    let mut info = ChannelInfo::not_ready(Some("7".into()), Some("Lunch".into())).queue("sales");
    info.pending = Some(Pending::new(Availability::Acw, Some("8".into()), Some("Wrap".into())));
    let told = Desk::started(false).apply(&Report::new().channel(phone().status(ChannelStatus::Active(info))));
    let channel = json!({"id": "c1", "type": "Telephony", "endpoint": "1001", "name": "Desk"});
    assert_eq!(told.says("S", "channel.created"), [json!({ "channel": channel })]);
    let pending = json!({"availability": "ACW", "reasoncode": "8", "reasondesc": "Wrap"});
    let info = json!({
        "availability": "NOTREADY", "reasoncode": "7", "reasondesc": "Lunch", "queue": "sales", "pending": pending,
        "occupied": false,
    });
    assert_eq!(told.says("S.c1", "channel.infochanged"), [json!({ "channel": info })]);
    assert_eq!(
        told.says("S.c1", "state.updated"),
        [json!({"state": "ACTIVE", "availability": "NOTREADY", "since": AT})]
    );
}

#[test]
fn a_channel_that_is_ready_has_no_reason_for_not_being() {
    for (code, words) in [(Some("1"), Some("Lunch")), (Some("1"), None), (None, Some("Lunch"))] {
        let mut info = ChannelInfo::ready();
        (info.reason_code, info.reason_desc) = (code.map(str::to_owned), words.map(str::to_owned));
        let told = Desk::started(false).apply(&Report::new().channel(phone().status(ChannelStatus::Active(info))));
        let info = json!({"channel": {"availability": "READY", "occupied": false}});
        assert_eq!(told.says("S.c1", "channel.infochanged"), [info]);
    }
}

#[test]
fn an_active_channel_of_which_no_more_is_said_is_not_ready() {
    let mut info = ChannelInfo::not_ready(Some("1".into()), Some("Lunch".into())).queue("sales");
    info.availability = None;
    let told = Desk::started(false).apply(&Report::new().channel(phone().status(ChannelStatus::Active(info))));
    let info = json!({
        "availability": "NOTREADY", "reasoncode": "1", "reasondesc": "Lunch", "queue": "sales", "occupied": false,
    });
    assert_eq!(told.says("S.c1", "channel.infochanged"), [json!({ "channel": info })]);
}

#[test]
fn a_screen_pop_carries_the_contact_with_all_its_data_and_the_address() {
    let mut desk = Desk::started(false);
    let mut offered = inbound([one(Alerting)]).data("ani", "+1555").data("n", Json::from_text("2.50".into()).unwrap());
    offered.url = Some("http://crm.example/".into());
    let told = desk.apply(&on_phone(offered));
    let card = |state| {
        json!({"interaction": {"id": "i2", "type": "Telephony", "direction": "inbound", "state": state,
            "data": {"ani": "+1555", "n": 2.5}}, "url": "http://crm.example/"})
    };
    assert_eq!(told.says("S.c1.i2", "interaction.preview"), [card("ALERTING")]);
    let data = told.events.iter().find(|event| event.name == "interaction.datachanged").unwrap();
    assert_eq!(&*data.data, r#"{"data":{"ani":"+1555","n":2.50}}"#);
    let told = desk.apply(&on_phone(Interaction::new("M").conversation(one(Talking))));
    assert_eq!(told.says("S.c1.i2", "interaction.screenpop"), [card("STARTED")]);
}

#[test]
fn removed_data_is_told_as_null() {
    let mut desk = Desk::started(false);
    desk.apply(&on_phone(inbound([one(Talking)]).data("k", "v").data("l", "v")));
    let mut patch = Interaction::new("M").data("l", "v").data("m", "v");
    patch.data.insert("k".into(), None);
    let told = desk.apply(&on_phone(patch));
    assert_eq!(told.says("S.c1.i2", "interaction.datachanged"), [json!({"data": {"k": null, "m": "v"}})]);
}

#[test]
fn an_end_says_why() {
    let end = |before: Interaction, end: Interaction| {
        let mut desk = Desk::started(false);
        desk.apply(&on_phone(before));
        let told = desk.apply(&on_phone(end));
        told.says("S.c1.i2", "interaction.ended")[0].clone()
    };
    let gone = || Interaction::gone("M");
    let none = || Interaction::new("M").no_conversations();
    let [offered, dialed, talking] = [Alerting, Dialing, Talking].map(|state| move || inbound([one(state)]));
    assert_eq!(end(offered(), gone()), json!({"reason": "abandoned"}));
    assert_eq!(end(offered(), gone().reason(Reason::Rejected)), json!({"reason": "rejected"}));
    assert_eq!(end(offered(), none().state(InteractionState::Ended)), json!({"reason": "released"}));
    assert_eq!(end(dialed(), none()), json!({"reason": "failed"}));
    let busy = json!({"reason": "failed", "cause": "busy"});
    assert_eq!(end(dialed(), none().reason(Reason::Failed).cause(Cause::Busy)), busy);
    let mut call = Conversation::ended("P", Reason::Failed);
    call.cause = Some(Cause::Busy);
    assert_eq!(end(dialed(), Interaction::new("M").conversation(call.clone())), busy);
    assert_eq!(
        end(talking(), Interaction::new("M").conversation(call).reason(Reason::Transferred)),
        json!({"reason": "transferred"})
    );
    assert_eq!(end(talking(), none()), json!({"reason": "released"}));
    assert_eq!(end(talking(), none().reason(Reason::Released).cause(Cause::Busy)), json!({"reason": "released"}));
    let removed = |desk: &mut Desk, interaction| {
        let mut channel = Channel::gone("tel");
        channel.interactions.push(interaction);
        desk.apply(&Report::new().channel(channel)).says("S.c1.i2", "interaction.ended")[0].clone()
    };
    let mut desk = Desk::started(false);
    desk.apply(&on_phone(talking()));
    assert_eq!(removed(&mut desk, gone().reason(Reason::Transferred)), json!({"reason": "transferred"}));
}

#[test]
fn what_a_snapshot_does_not_name_is_lost() {
    for state in [Alerting, Talking] {
        let mut desk = Desk::started(false);
        desk.apply(&on_phone(inbound([one(state)])));
        let told = desk.apply(&Report::snapshot().channel(Channel::new("tel")));
        assert_eq!(told.says("S.c1.i2", "interaction.ended"), [json!({"reason": "lost"})]);
    }
}

#[test]
fn an_offer_that_was_not_taken_never_pops_up() {
    for reason in [Reason::Rejected, Reason::Abandoned, Reason::Redirected] {
        let ended = inbound([]).no_conversations().state(InteractionState::Ended).reason(reason);
        let mut desk = Desk::started(false);
        desk.apply(&on_phone(inbound([one(Alerting)])));
        let told = desk.apply(&on_phone(ended));
        let expected = ["state.updated(primary)", "conversation.disposed(primary)", "interaction.ended"];
        assert_eq!(told.words[..3], expected);
        assert!(told.words.contains(&"interaction.disposed".to_owned()), "nothing is left to complete");
        assert!(!told.words.contains(&"interaction.screenpop".to_owned()), "{reason:?}: {:?}", told.words);
        assert_eq!(told.says("S.c1.i2", "interaction.ended"), [json!({"reason": reason})]);
    }
}

#[test]
fn a_conversation_that_ends_while_the_interaction_goes_on_says_why() {
    let mut busy = Conversation::ended("C", Reason::Failed);
    busy.cause = Some(Cause::Busy);
    let released = Conversation::ended("C", Reason::Released);
    for (end, expected) in
        [(busy, json!({"reason": "failed", "cause": "busy"})), (released, json!({"reason": "released"}))]
    {
        let mut desk = Desk::started(false);
        let consult = Conversation::new("C", Role::Consult, Dialing);
        desk.apply(&on_phone(inbound([one(Held), consult])));
        let told = desk.apply(&on_phone(Interaction::new("M").conversation(one(Held)).conversation(end)));
        assert_eq!(told.says("S.c1.i2.v4", "conversation.disposed"), [expected]);
    }
}

#[test]
fn a_transfer_takes_the_focus_away() {
    let mut desk = desk();
    let all = Interaction::new("M").no_conversations().reason(Reason::Transferred);
    let told = desk.apply(&Report::new().channel(Channel::new("tel").interaction(all)));
    assert_eq!(told.says("S.g1.c2.i3", "interaction.focuschanged"), [json!({"conversation": null})]);
}

#[test]
fn the_focus_of_two_calls_that_are_first_seen_is_on_the_one_that_talks() {
    for (calls, focus) in
        [([one(Held), two(Talking)], "v4"), ([one(Talking), two(Held)], "v3"), ([one(Held), two(Held)], "v4")]
    {
        let told = Desk::started(false).apply(&on_phone(inbound(calls)));
        let focus = json!({"conversation": {"id": focus}});
        assert_eq!(told.says("S.c1.i2", "interaction.focuschanged"), [focus]);
    }
}

#[test]
fn a_member_says_all_that_has_a_value() {
    let member = Member::new("x", "+1555", MemberRole::External).name("A \"name\"");
    let told = Desk::started(false).apply(&on_phone(inbound([one(Talking).member(member)])));
    let member = json!({"member": {"id": "m4", "address": "+1555", "name": "A \"name\"", "role": "external"}});
    assert_eq!(told.says("S.c1.i2.v3", "conversation.member.added"), [member]);
}

// ---- commands

/// What can be done with each object now, without the words that they have in common.
fn actions(report: Report) -> Vec<String> {
    let mut desk = Desk::started(true);
    desk.apply(&report);
    let view = desk.view();
    let short = |name: &Value| name.as_str().unwrap().split_once(".request.").unwrap().1.to_owned();
    let of = |object: &Value| {
        let all: Vec<String> = object["told"]["actions"].as_array().unwrap().iter().map(short).collect();
        all.join(" ")
    };
    view.values().map(of).collect()
}

#[test]
fn a_channel_is_in_a_state_for_these_commands() {
    let chat = || Channel::create("chat", ChannelType::Chat, "c", "Chat");
    let active = || ChannelStatus::Active(ChannelInfo::ready());
    let alone = |channel| actions(Report::new().channel(channel));
    assert_eq!(alone(phone()), ["deactivate ready notready dial"]);
    assert_eq!(alone(phone().status(ChannelStatus::Inactive)), ["activate"]);
    assert_eq!(alone(phone().status(ChannelStatus::Unavailable)), ["activate"]);
    assert_eq!(alone(chat().status(active())), ["deactivate ready notready"]);
    assert_eq!(actions(Report::new().group(Group::new("g", "Sales"))), ["activateall deactivateall"]);
}

#[test]
fn a_call_is_in_a_state_for_these_commands() {
    let call = |interaction| actions(on_phone(interaction))[1..].to_vec();
    let data = "setinteractiondata setdisposition";
    let record = "recording.start recording.stop";
    let started = format!("{data} consult {record}");
    assert_eq!(call(inbound([one(Alerting)])), ["accept reject", "answer release"]);
    assert_eq!(call(inbound([one(Dialing)])), [data, "release"]);
    let talking = "release hold mute unmute senddtmf blindtransfer blindconference";
    assert_eq!(call(inbound([one(Talking)])), [&started, talking]);
    assert_eq!(call(inbound([one(Held)])), [&started, "release retrieve mute unmute blindtransfer"]);
    let conference = |first: Member| {
        let second = Member::new("second", "2", MemberRole::External);
        call(inbound([Conversation::new("C1", Role::Primary, Talking).member(first).member(second)]))[1].clone()
    };
    let first = || Member::new("first", "1", MemberRole::Customer);
    let members = "member.remove member.mute member.hold";
    assert_eq!(conference(first()), format!("{talking} {members}"));
    let members = "member.remove member.mute member.unmute member.hold member.retrieve";
    assert_eq!(conference(first().muted(true).held(true)), format!("{talking} {members}"));
    let recorded = format!("{started} recording.pause recording.resume");
    assert_eq!(call(inbound([one(Talking)]).recording(Recording::On)), [&recorded, talking]);
    // Somebody else may record it.
    assert_eq!(call(inbound([one(Talking)]).recording_unknown()), [&recorded, talking]);
    assert_eq!(
        call(Interaction::create("M", Direction::Inbound).state(InteractionState::Ended)),
        [format!("{data} complete")]
    );
}

#[test]
fn a_call_with_its_consult_is_in_a_state_for_these_commands() {
    let call = |calls: Vec<Conversation>| actions(on_phone(inbound(calls)))[1..].to_vec();
    let rest = "recording.start recording.stop";
    let data = "setinteractiondata setdisposition";
    let both = format!("{data} alternate consulttransfer consultconference {rest}");
    let talking = "release hold mute unmute senddtmf blindtransfer blindconference";
    let held = "release mute unmute blindtransfer";
    let retrievable = "release retrieve mute unmute blindtransfer";
    assert_eq!(call(vec![one(Held), two(Dialing)]), [&format!("{data} {rest}"), retrievable, "release"]);
    assert_eq!(call(vec![one(Held), two(Talking)]), [&both, held, talking]);
    assert_eq!(call(vec![one(Held), two(Held)]), [&both, retrievable, retrievable]);
    assert_eq!(call(vec![two(Talking)]), [&format!("{data} {rest}"), talking]);
}

#[test]
fn a_chat_is_in_a_state_for_these_commands() {
    let chat = |state| {
        let channel = Channel::create("chat", ChannelType::Chat, "c", "Chat");
        let interaction = Interaction::create("E", Direction::Inbound).state(state);
        actions(Report::new().channel(channel.interaction(interaction)))[1].clone()
    };
    assert_eq!(chat(InteractionState::Alerting), "accept reject");
    assert_eq!(chat(InteractionState::Dialing), "setinteractiondata setdisposition");
    assert_eq!(chat(InteractionState::Started), "setinteractiondata setdisposition complete");
    assert_eq!(chat(InteractionState::Ended), "setinteractiondata setdisposition complete");
}

#[test]
fn actions_hold_when_the_whole_list_has_been_said_and_what_is_gone_has_none() {
    let mut desk = Desk::started(true);
    desk.apply(&on_phone(inbound([one(Alerting)])));
    let told = desk.apply(&on_phone(Interaction::gone("M")));
    for state in told.says("S.c1.i2", "state.updated").iter().chain(&told.says("S.c1.i2.v3", "state.updated")) {
        assert_eq!(state["actions"], json!([]), "{state}");
    }
}

#[test]
fn a_change_of_the_actions_alone_is_told_behind_the_list() {
    let mut desk = Desk::started(true);
    desk.apply(&on_phone(inbound([one(Held), two(Held)])));
    // the consult talks: the original can no longer be retrieved, only alternated to
    let told = desk.apply(&on_phone(Interaction::new("M").conversation(one(Held)).conversation(two(Talking))));
    assert_eq!(told.words, ["state.updated(consult)", "state.updated(primary)"]);
    let mut desk = Desk::started(true);
    desk.apply(&on_phone(inbound([one(Held), two(Dialing)])));
    // the consult is connected: its interaction can be alternated, transferred, conferenced
    let told = desk.apply(&on_phone(Interaction::new("M").conversation(one(Held)).conversation(two(Held))));
    assert_eq!(told.words, ["state.updated(consult)", "state.updated(interaction)"]);
}

#[test]
fn a_refusal_has_words_and_agrees_with_the_actions() {
    let mut desk = Desk::started(true);
    desk.apply(&on_phone(inbound([one(Held), two(Dialing)])));
    for (path, object) in desk.tree.objects().into_iter().skip(1) {
        let path = path.below("S").to_string();
        let told = desk.view()[&path]["told"]["actions"].clone();
        for command in StandardCommand::ALL.iter().filter(|command| command.object() == object.kind()) {
            let offered = told.as_array().unwrap().contains(&json!(command.name()));
            assert_eq!(rules::refusal(*command, object).is_none(), offered, "{command:?} on {path}");
        }
    }
    let call = desk.tree.find("S.c1.i2").unwrap();
    let refusal = rules::refusal(StandardCommand::Alternate, call).unwrap();
    assert_eq!(refusal.words(), "there is no connected consult");
    assert!(!rules::wrong_channel_type(StandardCommand::Consult, call));
    assert!(rules::removal_refusal(call.channel().unwrap()).is_some());
}

#[test]
fn a_telephony_command_on_a_chat_has_the_wrong_channel_type() {
    let mut desk = Desk::started(true);
    desk.apply(
        &Report::new().channel(
            Channel::create("chat", ChannelType::Chat, "c", "Chat")
                .interaction(Interaction::create("E", Direction::Inbound).state(InteractionState::Started)),
        ),
    );
    let [chat, contact] = ["S.c1", "S.c1.i2"].map(|path| desk.tree.find(path).unwrap());
    assert!(rules::wrong_channel_type(StandardCommand::Dial, chat));
    for command in [
        StandardCommand::Consult,
        StandardCommand::Alternate,
        StandardCommand::ConsultTransfer,
        StandardCommand::ConsultConference,
        StandardCommand::RecordingStart,
        StandardCommand::RecordingResume,
    ] {
        assert!(rules::wrong_channel_type(command, contact), "{command:?}");
    }
    assert!(!rules::wrong_channel_type(StandardCommand::Complete, contact));
}

#[test]
fn a_command_that_would_change_nothing_is_known() {
    let mut desk = Desk::started(true);
    desk.apply(&on_phone(inbound([one(Talking).muted(true)]).recording(Recording::Paused)));
    let nothing = |desk: &Desk, path: &str, command| rules::changes_nothing(command, desk.tree.find(path).unwrap());
    assert!(nothing(&desk, "S.c1", StandardCommand::Ready));
    assert!(!nothing(&desk, "S.c1", StandardCommand::NotReady));
    assert!(nothing(&desk, "S.c1.i2", StandardCommand::RecordingPause));
    assert!(!nothing(&desk, "S.c1.i2", StandardCommand::RecordingResume));
    assert!(!nothing(&desk, "S.c1.i2", StandardCommand::RecordingStop));
    assert!(nothing(&desk, "S.c1.i2.v3", StandardCommand::Mute));
    assert!(!nothing(&desk, "S.c1.i2.v3", StandardCommand::Unmute));
    let pending = ChannelInfo::ready().pending(Pending::new(Availability::NotReady, None, None));
    desk.apply(&Report::new().channel(Channel::new("tel").status(ChannelStatus::Active(pending))));
    assert!(!nothing(&desk, "S.c1", StandardCommand::Ready), "it takes the pending change back");
}
