//! What happens by itself (protocol, section 4): what the agent's screen is told.
#![allow(clippy::unwrap_used)]

mod driver;

use driver::{extension, stage::Stage};
use jackfield_plugin_api::{
    Code, Command,
    report::{ChannelType, Role, Target},
};
use serde_json::json;

const PAIR: &str = "channel.infochanged state.updated(channel)";
const TAKEN: &str = "state.updated(primary) interaction.screenpop state.updated(interaction)";
const GONE: &str = "state.updated(primary) conversation.disposed(primary)";
const CONSULT_GONE: &str = "state.updated(consult) conversation.disposed(consult)";
const ENDED: &str = "interaction.ended state.updated(interaction)";
const COMPLETED: &str = "interaction.complete state.updated(interaction) interaction.disposed";
const NEW_CALL: &str = "interaction.created state.updated(interaction) conversation.created state.updated(primary) \
                        conversation.member.added(primary) conversation.initialized interaction.datachanged \
                        interaction.preview interaction.initialized";

fn all(lists: &[&str]) -> String {
    lists.join(" ")
}

/// Anna, who is offered a call.
fn anna_rings() -> (Stage, driver::Session) {
    let mut stage = Stage::new(json!({}));
    let anna = stage.agent("anna", "1001");
    stage.inbound(anna, "Telephony", "+15550100");
    stage.events(anna);
    (stage, anna)
}

fn anna_talks() -> (Stage, driver::Session) {
    let (mut stage, anna) = anna_rings();
    stage.answer(anna);
    stage.events(anna);
    (stage, anna)
}

fn hang_up(stage: &mut Stage, session: driver::Session, role: Role) {
    let conversation = stage.call(session, role);
    let name = "conversation.request.simulator.remotehangup";
    stage.does(session, extension(name, Target::Conversation(conversation), json!({})));
}

#[test]
fn the_other_party_hangs_up() {
    let (mut stage, anna) = anna_talks();
    hang_up(&mut stage, anna, Role::Primary);
    let told = stage.told(anna);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(" "), all(&[GONE, ENDED, PAIR]));
    assert_eq!(told[2].1, json!({ "reason": "released" }));
    stage.everybody_goes_home();
}

#[test]
fn the_caller_gives_up_or_is_offered_elsewhere() {
    for (what, reason) in [("abandon", "abandoned"), ("elsewhere", "redirected")] {
        let (mut stage, anna) = anna_rings();
        stage.cause(anna, json!({ "what": what }));
        let told = stage.told(anna);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), all(&[GONE, ENDED, "interaction.disposed", PAIR]));
        assert_eq!(told[2].1, json!({ "reason": reason }));
        stage.everybody_goes_home();
    }
}

#[test]
fn a_chat_is_ended_by_the_remote_side() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.session("anna");
    stage.channel(anna, "anna-chat", ChannelType::Chat);
    stage.inbound(anna, "Chat", "visitor");
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Accept { interaction: interaction.clone() });
    stage.events(anna);
    let name = "interaction.request.simulator.remotehangup";
    stage.does(anna, extension(name, Target::Interaction(interaction.clone()), json!({})));
    assert_eq!(stage.events(anna), all(&[ENDED, PAIR]));
    stage.does(anna, Command::Complete { interaction });
    assert_eq!(stage.events(anna), COMPLETED);

    stage.inbound(anna, "Chat", "visitor");
    stage.events(anna);
    stage.cause(anna, json!({ "what": "abandon" }));
    assert_eq!(stage.events(anna), all(&[ENDED, "interaction.disposed", PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn who_writes_is_named_in_the_call_data() {
    for kind in ["Chat", "Email"] {
        let mut stage = Stage::new(json!({}));
        let anna = stage.session("anna");
        stage.channel(anna, "desk", if kind == "Chat" { ChannelType::Chat } else { ChannelType::Email });
        let data = json!({ "type": kind, "from": "visitor", "name": "Vera Visitor" });
        stage.does(anna, extension("session.request.simulator.inbound", Target::Session, data));
        let told = stage.told(anna);
        let changed = told.iter().find(|(name, _)| name == "interaction.datachanged").expect("there is call data");
        assert_eq!(changed.1["data"]["name"], "Vera Visitor");
        stage.everybody_goes_home();
    }
}

#[test]
fn the_consulted_party_hangs_up_with_and_without_the_focus() {
    let (mut stage, anna) = anna_talks();
    stage.consult(anna, "5551234");
    stage.driver.pass(300);
    stage.events(anna);
    hang_up(&mut stage, anna, Role::Consult);
    let listed = all(&[CONSULT_GONE, "interaction.focuschanged state.updated(interaction)"]);
    assert_eq!(stage.events(anna), listed);

    stage.consult(anna, "5551234");
    stage.driver.pass(300);
    stage.alternate(anna);
    stage.events(anna);
    hang_up(&mut stage, anna, Role::Consult);
    assert_eq!(stage.events(anna), all(&[CONSULT_GONE, "state.updated(interaction)"]));
}

#[test]
fn the_customer_hangs_up_while_a_consult_lives() {
    let (mut stage, anna) = anna_talks();
    stage.consult(anna, "5551234");
    stage.driver.pass(300);
    stage.events(anna);
    hang_up(&mut stage, anna, Role::Primary);
    assert_eq!(stage.events(anna), all(&[GONE, "state.updated(interaction)"]));
    hang_up(&mut stage, anna, Role::Consult);
    assert_eq!(stage.events(anna), all(&[CONSULT_GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn a_party_joins_and_leaves_a_conference() {
    let (mut stage, anna) = anna_talks();
    stage.cause(anna, json!({ "what": "partyjoins", "address": "5550001", "name": "Third" }));
    assert_eq!(stage.events(anna), "conversation.member.added(primary) state.updated(interaction)");
    stage.cause(anna, json!({ "what": "partyjoins", "address": "5550002" }));
    assert_eq!(stage.events(anna), "conversation.member.added(primary)");
    stage.cause(anna, json!({ "what": "partyleaves", "address": "5550001" }));
    assert_eq!(stage.events(anna), "conversation.member.removed(primary)");
    stage.cause(anna, json!({ "what": "partyleaves" }));
    assert_eq!(stage.events(anna), "conversation.member.removed(primary) state.updated(interaction)");
    assert_eq!(stage.members(anna, Role::Primary), ["5550002"]);
    stage.cause(anna, json!({ "what": "partyleaves" }));
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn another_caller_is_transferred_to_the_conversation() {
    let (mut stage, anna) = anna_talks();
    stage.cause(anna, json!({ "what": "transferred", "from": "+15550199", "data": { "account": "42" } }));
    let listed = "conversation.member.removed(primary) conversation.member.added(primary) interaction.datachanged";
    assert_eq!(stage.events(anna), listed);
    assert_eq!(stage.data(anna, "account").as_deref(), Some("\"42\""));
}

#[test]
fn nobody_who_still_rings_transfers_a_call() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.agent("anna", "1001");
    let extensions = json!({}).into();
    stage.does(anna, Command::Dial { channel: "1001".into(), destination: "5551234".into(), extensions });
    let transferred = json!({ "what": "transferred", "from": "+15550199" });
    let cause = extension("session.request.simulator.cause", Target::Session, transferred.clone());
    assert_eq!(stage.fails(anna, cause), Code::Rejected);
    stage.driver.pass(300);
    assert_eq!(stage.state(anna, Role::Primary), "Talking");
    stage.cause(anna, transferred);
    assert_eq!(stage.members(anna, Role::Primary), ["+15550199"]);
    stage.everybody_goes_home();
}

#[test]
fn the_name_of_a_member_becomes_known() {
    let (mut stage, anna) = anna_talks();
    stage.cause(anna, json!({ "what": "memberchanged", "name": "Customer" }));
    assert_eq!(stage.events(anna), "conversation.member.removed(primary) conversation.member.added(primary)");
}

#[test]
fn an_address_to_open_comes_later() {
    let (mut stage, anna) = anna_talks();
    stage.cause(anna, json!({ "what": "screenpop", "url": "https://crm.example/4711" }));
    let told = stage.told(anna);
    assert_eq!((told.len(), told[0].0.as_str()), (1, "interaction.screenpop"));
    assert_eq!(told[0].1["url"], "https://crm.example/4711");
}

#[test]
fn a_queue_gives_the_address_to_open() {
    let settings = json!({ "queues": [{ "name": "sales", "url": "https://crm.example/{contact}?from={from}" }] });
    let mut stage = Stage::new(settings);
    let anna = stage.agent("anna", "1001");
    stage.does(anna, driver::inbound("Telephony", "5550100", Some("sales")));
    let told = stage.told(anna);
    let (_, preview) = told.iter().find(|(name, _)| name == "interaction.preview").unwrap();
    let contact = preview["interaction"]["data"]["contactId"].as_str().unwrap();
    assert_eq!(preview["url"], format!("https://crm.example/{contact}?from=5550100"));
}

#[test]
fn a_call_is_answered_on_the_telephone_or_first_seen_when_it_goes_on() {
    let (mut stage, anna) = anna_rings();
    stage.cause(anna, json!({ "what": "answered" }));
    assert_eq!(stage.events(anna), TAKEN);
    hang_up(&mut stage, anna, Role::Primary);
    stage.events(anna);

    stage.cause(anna, json!({ "what": "taken", "endpoint": "1001", "from": "+15550101" }));
    let listed = "interaction.created state.updated(interaction) conversation.created state.updated(primary) \
                  conversation.member.added(primary) conversation.initialized interaction.datachanged \
                  interaction.screenpop interaction.initialized";
    assert_eq!(stage.events(anna), all(&[PAIR, listed]));
}

#[test]
fn a_call_was_taken_and_is_over_before_it_was_seen_as_taken() {
    let (mut stage, anna) = anna_rings();
    stage.cause(anna, json!({ "what": "takenandover" }));
    let listed = all(&["interaction.screenpop state.updated(interaction)", GONE, ENDED, PAIR]);
    assert_eq!(stage.events(anna), listed);
}

#[test]
fn a_customer_calls_again_under_the_same_key() {
    let (mut stage, anna) = anna_talks();
    hang_up(&mut stage, anna, Role::Primary);
    stage.events(anna);
    let before = stage.interaction(anna);
    stage.cause(anna, json!({ "what": "recall" }));
    assert_eq!(stage.events(anna), all(&[PAIR, COMPLETED, NEW_CALL]));
    assert_eq!(stage.interaction(anna), before);
    stage.answer(anna);
    assert_eq!(stage.events(anna), TAKEN);
    stage.everybody_goes_home();
}

#[test]
fn the_platform_completes_an_interaction_at_once_or_later() {
    let (mut stage, anna) = anna_talks();
    stage.cause(anna, json!({ "what": "endedandcompleted" }));
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, COMPLETED, PAIR]));
    stage.talking(anna, "+15550100");
    hang_up(&mut stage, anna, Role::Primary);
    stage.events(anna);
    stage.cause(anna, json!({ "what": "completed" }));
    assert_eq!(stage.events(anna), COMPLETED);
    stage.everybody_goes_home();
}

#[test]
fn the_platform_removes_a_channel_with_a_call_on_it() {
    let (mut stage, anna) = anna_talks();
    stage.cause(anna, json!({ "what": "removechannel", "endpoint": "1001" }));
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, COMPLETED, PAIR, "channel.disposed"]));
    stage.everybody_goes_home();
}

#[test]
fn an_endpoint_goes_and_comes_back() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.agent("anna", "1001");
    stage.cause(anna, json!({ "what": "unavailable" }));
    assert_eq!(stage.told(anna)[1].1["state"], "UNAVAILABLE");
    assert_eq!(stage.fails(anna, driver::activate("1001")), Code::Conflict);
    stage.cause(anna, json!({ "what": "available" }));
    assert_eq!(stage.told(anna)[1].1["state"], "INACTIVE");
    stage.does(anna, driver::activate("1001"));
    assert_eq!(stage.events(anna), PAIR);
}

#[test]
fn after_call_work_begins_and_ends_by_itself() {
    let mut stage = Stage::new(json!({ "acw": true, "acw_ms": 5000 }));
    let anna = stage.agent("anna", "1001");
    stage.talking(anna, "+15550100");
    hang_up(&mut stage, anna, Role::Primary);
    let told = stage.told(anna);
    assert_eq!(told.last().unwrap().1["availability"], "ACW");
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Complete { interaction });
    let told = stage.told(anna);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(" "), all(&[PAIR, COMPLETED]));
    assert_eq!(told[1].1["availability"], "READY");

    stage.talking(anna, "+15550100");
    hang_up(&mut stage, anna, Role::Primary);
    stage.events(anna);
    stage.driver.pass(4999);
    assert_eq!(stage.events(anna), "");
    stage.driver.pass(1);
    assert_eq!(stage.events(anna), all(&[PAIR, COMPLETED]));
    stage.everybody_goes_home();
}

#[test]
fn what_was_pending_holds_after_the_after_call_work() {
    let mut stage = Stage::new(json!({ "acw": true }));
    let anna = stage.agent("anna", "1001");
    stage.talking(anna, "+15550100");
    let command = Command::NotReady { channel: "1001".into(), reason_code: "7".into(), reason_desc: None };
    stage.does(anna, command);
    hang_up(&mut stage, anna, Role::Primary);
    stage.events(anna);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Complete { interaction });
    let told = stage.told(anna);
    assert_eq!(told[0].1["channel"]["availability"], "NOTREADY");
    assert_eq!(told[0].1["channel"]["reasoncode"], "7");
}

#[test]
fn the_switch_refuses_or_ignores_a_command_when_told_to() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.agent("anna", "1001");
    let ready = || Command::NotReady { channel: "1001".into(), reason_code: "1".into(), reason_desc: None };
    stage.cause(anna, json!({ "what": "refuse", "code": "forbidden" }));
    assert_eq!(stage.fails(anna, ready()), Code::Forbidden);
    assert_eq!(stage.events(anna), "");
    stage.cause(anna, json!({ "what": "silence" }));
    stage.driver.begins(anna, ready());
    assert_eq!(stage.events(anna), "");
    stage.does(anna, ready());
    assert_eq!(stage.events(anna), PAIR);
}

#[test]
fn what_is_not_in_its_state_does_not_happen() {
    let (mut stage, anna) = anna_talks();
    for what in ["abandon", "elsewhere", "answered", "takenandover", "completed", "recall"] {
        let cause = extension("session.request.simulator.cause", Target::Session, json!({ "what": what }));
        assert_eq!(stage.fails(anna, cause), Code::InvalidState, "{what}");
    }
    let cause = json!({ "what": "partyleaves", "address": "nobody" });
    let cause = extension("session.request.simulator.cause", Target::Session, cause);
    assert_eq!(stage.fails(anna, cause), Code::NotFound);
    assert_eq!(stage.events(anna), "");
}
