//! Every command of the protocol's section 4: what the agent's screen is told when the simulator carries it out.
#![allow(clippy::unwrap_used)]

mod driver;

use driver::{
    activate, extension,
    stage::{Stage, add_channel, record},
};
use jackfield_plugin_api::{
    Code, Command, Outcome,
    command::RecordAction,
    report::{ChannelType, Role, Target},
};
use serde_json::json;

const PAIR: &str = "channel.infochanged state.updated(channel)";
const NEW_CHANNEL: &str = "channel.created state.updated(channel) channel.initialized";
const NEW_CALL: &str = "interaction.created state.updated(interaction) conversation.created state.updated(primary) \
                        conversation.member.added(primary) conversation.initialized interaction.datachanged \
                        interaction.preview interaction.initialized";
const TAKEN: &str = "state.updated(primary) interaction.screenpop state.updated(interaction)";
const GONE: &str = "state.updated(primary) conversation.disposed(primary)";
const CONSULT_GONE: &str = "state.updated(consult) conversation.disposed(consult)";
const ENDED: &str = "interaction.ended state.updated(interaction)";
const COMPLETED: &str = "interaction.complete state.updated(interaction) interaction.disposed";
const NEW_CONSULT: &str = "conversation.created state.updated(consult) conversation.member.added(consult) \
                           conversation.initialized interaction.focuschanged";

/// The lists, in this order.
fn all(lists: &[&str]) -> String {
    lists.join(" ")
}

/// Anna, whose telephone 1001 is ready.
fn anna(settings: serde_json::Value) -> (Stage, driver::Session) {
    let mut stage = Stage::new(settings);
    let anna = stage.agent("anna", "1001");
    (stage, anna)
}

/// Anna, who talks to a customer.
fn anna_talks() -> (Stage, driver::Session) {
    let (mut stage, session) = anna(json!({}));
    stage.talking(session, "+15550100");
    (stage, session)
}

/// Anna, who has an outside party on a second line.
fn anna_consults() -> (Stage, driver::Session) {
    let (mut stage, session) = anna_talks();
    stage.consult(session, "5551234");
    stage.driver.pass(300);
    stage.events(session);
    (stage, session)
}

// ---- channels and groups ----------------------------------------------------------------------------------------

#[test]
fn a_channel_is_added_and_removed() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.session("anna");
    assert_eq!(stage.events(anna), "session.initialized");
    stage.does(anna, add_channel("1001", ChannelType::Telephony));
    assert_eq!(stage.events(anna), NEW_CHANNEL);
    stage.does(anna, Command::RemoveChannel { channel: "1001".into() });
    assert_eq!(stage.events(anna), "channel.disposed");
    stage.does(anna, add_channel("1001", ChannelType::Telephony));
    stage.does(anna, activate("1001"));
    stage.events(anna);
    stage.does(anna, Command::RemoveChannel { channel: "1001".into() });
    assert_eq!(stage.events(anna), all(&[PAIR, "channel.disposed"]));
    stage.everybody_goes_home();
}

#[test]
fn an_endpoint_is_used_by_one_session() {
    let (mut stage, anna) = anna(json!({}));
    let berta = stage.session("berta");
    assert_eq!(stage.fails(berta, add_channel("1001", ChannelType::Telephony)), Code::Conflict);
    stage.driver.logs_out(anna);
    stage.does(berta, add_channel("1001", ChannelType::Telephony));
}

#[test]
fn a_group_comes_with_the_channels_that_are_asked_for() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.session("anna");
    stage.events(anna);
    let group = |chat, email, callback| Command::AddChannelGroup { name: "all".into(), chat, email, callback };
    stage.does(anna, group(true, true, false));
    let three = [NEW_CHANNEL; 3].join(" ");
    let created = all(&["channelgroup.created state.updated(channelgroup)", &three, "channelgroup.initialized"]);
    assert_eq!(stage.events(anna), created);
    assert_eq!(stage.fails(anna, group(true, true, false)), Code::Conflict);

    for endpoint in ["anna", "anna-chat"] {
        stage.does(anna, activate(endpoint));
        assert_eq!(stage.events(anna), PAIR);
    }
    stage.does(anna, Command::Deactivate { channel: "anna".into(), queues: vec!["x".into()], reason: Some(3) });
    assert_eq!(stage.events(anna), PAIR);
    stage.does(anna, Command::RemoveChannelGroup { group: "all".into() });
    let gone = "channel.disposed";
    assert_eq!(stage.events(anna), all(&[gone, PAIR, gone, gone, "channelgroup.disposed"]));

    let unknown = Command::AddChannelGroup { name: "none".into(), chat: true, email: true, callback: true };
    assert_eq!(stage.fails(anna, unknown), Code::Rejected);
    stage.does(anna, group(false, false, true));
    let two = [NEW_CHANNEL; 2].join(" ");
    let created = all(&["channelgroup.created state.updated(channelgroup)", &two, "channelgroup.initialized"]);
    assert_eq!(stage.events(anna), created);
    stage.everybody_goes_home();
}

#[test]
fn a_channel_is_activated_once_and_deactivated_but_for_a_contact() {
    let (mut stage, anna) = anna(json!({}));
    assert_eq!(stage.fails(anna, activate("1001")), Code::InvalidState);
    let deactivate = || Command::Deactivate { channel: "1001".into(), queues: Vec::new(), reason: None };
    stage.inbound(anna, "Telephony", "+15550100");
    stage.answer(anna);
    stage.events(anna);
    assert_eq!(stage.fails(anna, deactivate()), Code::Rejected);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    stage.events(anna);
    stage.does(anna, deactivate());
    assert_eq!(stage.events(anna), PAIR);
    let unknown = json!({ "queue": "none" });
    let command = Command::Activate { channel: "1001".into(), queue: Some("none".into()), options: unknown.into() };
    assert_eq!(stage.fails(anna, command), Code::Rejected);
}

#[test]
fn readiness_changes_with_known_reasons_only() {
    let settings = json!({ "reasons": [{ "code": "1", "desc": "Lunch" }, { "code": "2" }] });
    let (mut stage, anna) = anna(settings);
    let not_ready =
        |code: &str| Command::NotReady { channel: "1001".into(), reason_code: code.into(), reason_desc: None };
    stage.does(anna, not_ready("1"));
    let told = stage.told(anna);
    assert_eq!(told[0].1["channel"]["reasondesc"], "Lunch");
    stage.does(anna, not_ready("2"));
    assert_eq!(stage.events(anna), PAIR);
    assert_eq!(stage.fails(anna, not_ready("3")), Code::Rejected);
    stage.does(anna, not_ready("acw"));
    assert_eq!(stage.told(anna)[0].1["channel"]["availability"], "ACW");
    stage.does(anna, Command::Ready { channel: "1001".into() });
    assert_eq!(stage.events(anna), PAIR);
    stage.does(anna, Command::Ready { channel: "1001".into() });
    assert_eq!(stage.events(anna), "");
}

#[test]
fn not_ready_during_a_call_is_pending_until_it_ends() {
    let (mut stage, anna) = anna_talks();
    let command = Command::NotReady { channel: "1001".into(), reason_code: "1".into(), reason_desc: None };
    stage.does(anna, command);
    let told = stage.told(anna);
    assert_eq!(told[0].1["channel"]["availability"], "READY");
    assert_eq!(told[0].1["channel"]["pending"]["availability"], "NOTREADY");
    assert_eq!(told[0].1["channel"]["pending"]["reasoncode"], "1");
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    let told = stage.told(anna);
    let (label, data) = &told[told.len() - 2];
    assert_eq!((label.as_str(), &data["channel"]["availability"]), ("channel.infochanged", &json!("NOTREADY")));
    assert_eq!(data["channel"]["pending"], json!(null));
}

// ---- calls ------------------------------------------------------------------------------------------------------

#[test]
fn a_number_is_dialled_and_answers() {
    let (mut stage, anna) = anna(json!({}));
    stage.does(anna, dial("5551234"));
    assert_eq!(stage.events(anna), all(&[PAIR, NEW_CALL]));
    stage.driver.pass(299);
    assert_eq!(stage.events(anna), "");
    stage.driver.pass(1);
    assert_eq!(stage.events(anna), TAKEN);
    assert_eq!(stage.fails(anna, dial("5551234")), Code::Rejected);
}

#[test]
fn a_dialled_number_is_busy_or_unreachable_or_does_not_answer() {
    for (number, ms, cause) in [("486", 300, "busy"), ("404", 300, "unreachable"), ("480", 20_000, "noanswer")] {
        let (mut stage, anna) = anna(json!({}));
        stage.does(anna, dial(number));
        stage.events(anna);
        stage.driver.pass(ms - 1);
        assert_eq!(stage.events(anna), "", "{number}");
        stage.driver.pass(1);
        let told = stage.told(anna);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), all(&[GONE, ENDED, PAIR]), "{number}");
        assert_eq!(told[2].1, json!({ "reason": "failed", "cause": cause }), "{number}");
        stage.everybody_goes_home();
    }
}

#[test]
fn a_number_that_is_refused_fails_at_once() {
    let (mut stage, anna) = anna(json!({}));
    assert_eq!(stage.fails(anna, dial("503")), Code::Rejected);
    assert_eq!(stage.events(anna), "");
}

#[test]
fn a_dialled_call_is_cancelled() {
    let (mut stage, anna) = anna(json!({}));
    stage.does(anna, dial("480"));
    stage.events(anna);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    let told = stage.told(anna);
    assert_eq!(told[2], ("interaction.ended".into(), json!({ "reason": "failed", "cause": "cancelled" })));
    stage.everybody_goes_home();
}

#[test]
fn a_dial_asks_for_a_skill_when_told_to() {
    let (mut stage, anna) = anna(json!({}));
    let ask =
        |on: bool| extension("channel.request.simulator.askskill", Target::Channel("1001".into()), json!({ "on": on }));
    stage.does(anna, ask(true));
    let Outcome::NeedInfo(question) = stage.driver.command(anna, dial("5551234")) else { panic!("no question") };
    let question: serde_json::Value = question.parse().unwrap();
    assert_eq!(question["id"], "simulator.skill");
    assert_eq!(question["skills"][0], json!({ "id": "101", "skillName": "Outbound sales" }));
    assert_eq!(question["skills"].as_array().unwrap().len(), 2);
    let with = |id: serde_json::Value| Command::Dial {
        channel: "1001".into(),
        destination: "5551234".into(),
        extensions: json!({ "skill": { "id": id } }).into(),
    };
    assert_eq!(stage.fails(anna, with(json!("999"))), Code::Rejected);
    assert_eq!(stage.events(anna), "");
    stage.does(anna, with(json!("102")));
    assert_eq!(stage.data(anna, "skill").as_deref(), Some("\"Outbound service\""));
    assert_eq!(stage.events(anna), all(&[PAIR, NEW_CALL]));
}

#[test]
fn an_inbound_call_rings_and_is_answered_or_rejected() {
    let (mut stage, anna) = anna(json!({}));
    stage.inbound(anna, "Telephony", "+15550100");
    assert_eq!(stage.events(anna), all(&[PAIR, NEW_CALL]));
    stage.answer(anna);
    assert_eq!(stage.events(anna), TAKEN);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, PAIR]));
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Complete { interaction });
    assert_eq!(stage.events(anna), COMPLETED);

    stage.inbound(anna, "Telephony", "+15550100");
    stage.events(anna);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Reject { interaction });
    let told = stage.told(anna);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(" "), all(&[GONE, ENDED, "interaction.disposed", PAIR]));
    assert_eq!(told[2].1, json!({ "reason": "rejected" }));
    stage.everybody_goes_home();
}

#[test]
fn a_chat_is_accepted_and_completed_or_rejected() {
    let (mut stage, anna) = anna(json!({}));
    stage.channel(anna, "anna-chat", ChannelType::Chat);
    stage.inbound(anna, "Chat", "visitor");
    let offered = "interaction.created state.updated(interaction) interaction.datachanged interaction.preview \
                   interaction.initialized";
    assert_eq!(stage.events(anna), all(&[PAIR, offered]));
    let interaction = stage.interaction(anna);
    assert_eq!(stage.fails(anna, Command::Complete { interaction: interaction.clone() }), Code::InvalidState);
    stage.does(anna, Command::Accept { interaction: interaction.clone() });
    assert_eq!(stage.events(anna), "interaction.screenpop state.updated(interaction)");
    stage.does(anna, Command::Complete { interaction });
    assert_eq!(stage.events(anna), all(&[COMPLETED, PAIR]));

    stage.inbound(anna, "Chat", "visitor");
    stage.events(anna);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Reject { interaction });
    assert_eq!(stage.events(anna), all(&[ENDED, "interaction.disposed", PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn call_data_are_set_and_removed() {
    let (mut stage, anna) = anna_talks();
    let interaction = stage.interaction(anna);
    let set = |value: &str| Command::SetInteractionData {
        interaction: interaction.clone(),
        key: "amount".into(),
        value: serde_json::from_str(value).unwrap(),
    };
    stage.does(anna, set("2.50"));
    assert_eq!(stage.data(anna, "amount").as_deref(), Some("2.50"));
    assert_eq!(stage.events(anna), "interaction.datachanged");
    stage.does(anna, set("2.50"));
    assert_eq!(stage.events(anna), "");
    stage.does(anna, set("null"));
    assert_eq!(stage.events(anna), "interaction.datachanged");
    assert_eq!(stage.data(anna, "amount"), None);
}

#[test]
fn dispositions_come_from_the_list_if_there_is_one() {
    let (mut stage, anna) = anna(json!({ "dispositions": ["Sold"] }));
    stage.talking(anna, "+15550100");
    let interaction = stage.interaction(anna);
    let set = |text: &str| Command::SetDisposition { interaction: interaction.clone(), disposition: text.into() };
    stage.does(anna, set("Sold"));
    assert_eq!(stage.fails(anna, set("Lost")), Code::Rejected);
    assert_eq!(stage.events(anna), "");
}

#[test]
fn a_call_is_held_retrieved_muted_and_sent_tones() {
    let (mut stage, anna) = anna_talks();
    let conversation = stage.call(anna, Role::Primary);
    for command in [
        Command::Hold { conversation: conversation.clone() },
        Command::Retrieve { conversation: conversation.clone() },
        Command::Mute { conversation: conversation.clone() },
        Command::Unmute { conversation: conversation.clone() },
    ] {
        stage.does(anna, command);
        assert_eq!(stage.events(anna), "state.updated(primary)");
    }
    stage.does(anna, Command::SendDtmf { conversation, digits: "12*#".into() });
    assert_eq!(stage.events(anna), "");
}

#[test]
fn a_muted_leg_mutes_both_conversations_and_the_next_one() {
    let (mut stage, anna) = anna_consults();
    let conversation = stage.call(anna, Role::Consult);
    stage.does(anna, Command::Mute { conversation: conversation.clone() });
    assert_eq!(stage.events(anna), "state.updated(primary) state.updated(consult)");
    stage.does(anna, Command::Release { conversation });
    stage.events(anna);
    stage.consult(anna, "5551234");
    let told = stage.told(anna);
    let (_, created) = told.iter().find(|(name, _)| name == "state.updated(consult)").unwrap();
    assert_eq!(created["muted"], true);
}

#[test]
fn a_call_is_recorded() {
    let (mut stage, anna) = anna_talks();
    for (action, state) in [
        (RecordAction::Start, "ON"),
        (RecordAction::Pause, "PAUSED"),
        (RecordAction::Resume, "ON"),
        (RecordAction::Stop, "OFF"),
    ] {
        record(&mut stage, anna, action);
        let told = stage.told(anna);
        assert_eq!(
            (told.len(), told[0].0.as_str(), &told[0].1["recording"]),
            (1, "state.updated(interaction)", &json!(state))
        );
    }
    record(&mut stage, anna, RecordAction::Stop);
    assert_eq!(stage.events(anna), "");
    let interaction = stage.interaction(anna);
    assert_eq!(stage.fails(anna, Command::Record { interaction, action: RecordAction::Pause }), Code::InvalidState);
}

#[test]
fn a_switch_without_a_recorder_says_so() {
    let (mut stage, anna) = anna(json!({ "recording": false }));
    stage.talking(anna, "+15550100");
    let interaction = stage.interaction(anna);
    assert_eq!(stage.fails(anna, Command::Record { interaction, action: RecordAction::Start }), Code::Unsupported);
}

// ---- consult, transfer, conference ------------------------------------------------------------------------------

#[test]
fn a_consult_is_called_answered_alternated_and_released() {
    let (mut stage, anna) = anna_talks();
    stage.consult(anna, "5551234");
    assert_eq!(stage.events(anna), all(&["state.updated(interaction) state.updated(primary)", NEW_CONSULT]));
    stage.driver.pass(300);
    assert_eq!(stage.events(anna), "state.updated(consult)");
    stage.alternate(anna);
    assert_eq!(stage.events(anna), "state.updated(primary) state.updated(consult) interaction.focuschanged");
    stage.alternate(anna);
    assert_eq!(stage.events(anna), "state.updated(primary) state.updated(consult) interaction.focuschanged");
    let conversation = stage.call(anna, Role::Consult);
    stage.does(anna, Command::Release { conversation });
    let ended = all(&[CONSULT_GONE, "interaction.focuschanged state.updated(interaction)"]);
    assert_eq!(stage.events(anna), ended);
    assert_eq!(stage.state(anna, Role::Primary), "Held");
}

#[test]
fn a_consult_that_answers_while_the_agent_talks_to_the_customer_is_on_hold() {
    let (mut stage, anna) = anna_talks();
    stage.consult(anna, "5551234");
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Retrieve { conversation });
    stage.events(anna);
    stage.driver.pass(300);
    assert_eq!(stage.events(anna), "state.updated(consult)");
    assert_eq!((stage.state(anna, Role::Primary), stage.state(anna, Role::Consult)), ("Talking".into(), "Held".into()));
    let conversation = stage.call(anna, Role::Consult);
    assert_eq!(stage.fails(anna, Command::Retrieve { conversation }), Code::InvalidState);
}

#[test]
fn a_consulted_number_is_busy() {
    let (mut stage, anna) = anna_talks();
    stage.consult(anna, "486");
    stage.events(anna);
    stage.driver.pass(300);
    let ended = all(&[CONSULT_GONE, "interaction.focuschanged state.updated(interaction)"]);
    assert_eq!(stage.events(anna), ended);
    assert_eq!(stage.state(anna, Role::Primary), "Held");
}

#[test]
fn a_consult_is_transferred() {
    let (mut stage, anna) = anna_consults();
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultTransfer { interaction });
    let told = stage.told(anna);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(" "), all(&[GONE, "interaction.focuschanged", CONSULT_GONE, ENDED, PAIR]));
    assert_eq!(told[2].1, json!({ "conversation": null }));
    assert_eq!(told[5].1, json!({ "reason": "transferred" }));
    stage.everybody_goes_home();
}

#[test]
fn a_consult_becomes_a_conference() {
    let (mut stage, anna) = anna_consults();
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultConference { interaction: interaction.clone() });
    let listed = all(&[
        "state.updated(primary) conversation.member.added(primary)",
        CONSULT_GONE,
        "interaction.focuschanged state.updated(interaction)",
    ]);
    assert_eq!(stage.events(anna), listed);
    assert_eq!(stage.members(anna, Role::Primary), ["+15550100", "5551234"]);
    assert_eq!(stage.fails(anna, Command::ConsultConference { interaction }), Code::InvalidState);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn a_conference_after_alternate_says_only_what_changed() {
    let (mut stage, anna) = anna_consults();
    stage.alternate(anna);
    stage.events(anna);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultConference { interaction });
    let listed = all(&["conversation.member.added(primary)", CONSULT_GONE, "state.updated(interaction)"]);
    assert_eq!(stage.events(anna), listed);
}

#[test]
fn a_call_is_transferred_blindly() {
    let (mut stage, anna) = anna_talks();
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::BlindTransfer { conversation, destination: "5551234".into() });
    let told = stage.told(anna);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(" "), all(&[GONE, "interaction.focuschanged", ENDED, PAIR]));
    assert_eq!(told[3].1, json!({ "reason": "transferred" }));
    stage.everybody_goes_home();
}

#[test]
fn a_blind_transfer_that_fails_disconnects_the_agent_all_the_same() {
    for (number, code, cause) in [("486", Code::Busy, "busy"), ("404", Code::Unreachable, "unreachable")] {
        let (mut stage, anna) = anna_talks();
        let conversation = stage.call(anna, Role::Primary);
        let command = Command::BlindTransfer { conversation, destination: number.into() };
        assert_eq!(stage.fails(anna, command), code);
        let told = stage.told(anna);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), all(&[GONE, "interaction.focuschanged", ENDED, PAIR]));
        assert_eq!(told[3].1, json!({ "reason": "failed", "cause": cause }));
        stage.everybody_goes_home();
    }
}

#[test]
fn the_original_is_transferred_blindly_while_a_consult_lives() {
    let (mut stage, anna) = anna_consults();
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::BlindTransfer { conversation, destination: "5550000".into() });
    assert_eq!(stage.events(anna), all(&[GONE, "state.updated(interaction)"]));
    let conversation = stage.call(anna, Role::Consult);
    stage.does(anna, Command::Release { conversation });
    assert_eq!(stage.events(anna), all(&[CONSULT_GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn a_blind_conference_succeeds_when_the_party_has_joined() {
    let (mut stage, anna) = anna_talks();
    let conversation = stage.call(anna, Role::Primary);
    let command = || Command::BlindConference { conversation: conversation.clone(), destination: "5551234".into() };
    let ticket = stage.driver.begins(anna, command());
    assert_eq!(stage.events(anna), "");
    stage.driver.pass(300);
    assert_eq!(stage.driver.answers.remove(&ticket), Some(Outcome::success()));
    assert_eq!(stage.events(anna), "conversation.member.added(primary) state.updated(interaction)");
    let ticket = stage.driver.begins(anna, command());
    stage.driver.pass(300);
    assert_eq!(stage.driver.answers.remove(&ticket), Some(Outcome::success()));
    assert_eq!(stage.events(anna), "conversation.member.added(primary)");
    stage.everybody_goes_home();
}

#[test]
fn a_blind_conference_fails_with_its_destination() {
    for (number, ms, code) in
        [("486", 300, Code::Busy), ("404", 300, Code::Unreachable), ("480", 20_000, Code::Unreachable)]
    {
        let (mut stage, anna) = anna_talks();
        let conversation = stage.call(anna, Role::Primary);
        let command = Command::BlindConference { conversation, destination: number.into() };
        let ticket = stage.driver.begins(anna, command);
        stage.driver.pass(ms);
        let Some(Outcome::Failure(failure)) = stage.driver.answers.remove(&ticket) else { panic!("{number}") };
        assert_eq!(failure.code, code);
        assert_eq!(stage.events(anna), "");
        assert_eq!(stage.state(anna, Role::Primary), "Talking");
        stage.everybody_goes_home();
    }
}

#[test]
fn a_blind_conference_fails_when_the_call_ends_first() {
    let (mut stage, anna) = anna_talks();
    let conversation = stage.call(anna, Role::Primary);
    let command = Command::BlindConference { conversation: conversation.clone(), destination: "5551234".into() };
    let ticket = stage.driver.begins(anna, command);
    stage.does(anna, Command::Release { conversation });
    assert!(matches!(stage.driver.answers.remove(&ticket), Some(Outcome::Failure(_))));
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

fn dial(number: &str) -> Command {
    Command::Dial { channel: "1001".into(), destination: number.into(), extensions: json!({}).into() }
}
