//! Several agents of one switch: queues, internal calls, transfers between them, and sessions that come and go.
#![allow(clippy::unwrap_used)]

mod driver;

use driver::{
    Session, activate, inbound,
    stage::{Stage, add_channel},
};
use jackfield_plugin_api::{
    Code, Command, Ending, Outcome, Secret,
    command::MemberAction,
    report::{ChannelType, Role, SupervisionMode, Target},
};
use jackfield_simulator::switch::message::Request;
use serde_json::json;

const PAIR: &str = "channel.infochanged state.updated(channel)";
const GONE: &str = "state.updated(primary) conversation.disposed(primary)";
const ENDED: &str = "interaction.ended state.updated(interaction)";
const NEW_CALL: &str = "interaction.created state.updated(interaction) conversation.created state.updated(primary) \
                        conversation.member.added(primary) conversation.initialized interaction.datachanged \
                        interaction.preview interaction.initialized";

fn all(lists: &[&str]) -> String {
    lists.join(" ")
}

fn two(settings: serde_json::Value) -> (Stage, Session, Session) {
    let mut stage = Stage::new(settings);
    let anna = stage.agent("anna", "1001");
    let berta = stage.agent("berta", "1002");
    (stage, anna, berta)
}

fn dial(from: &str, number: &str) -> Command {
    Command::Dial { channel: from.into(), destination: number.into(), extensions: json!({}).into() }
}

fn not_ready(channel: &str) -> Command {
    Command::NotReady { channel: channel.into(), reason_code: "1".into(), reason_desc: None }
}

// ---- queues -----------------------------------------------------------------------------------------------------

#[test]
fn the_longest_ready_agent_is_offered_the_contact() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.does(anna, inbound("Telephony", "1", Some("sales")));
    assert_eq!((stage.count(anna), stage.count(berta)), (1, 0));
    stage.does(anna, inbound("Telephony", "2", Some("sales")));
    assert_eq!((stage.count(anna), stage.count(berta)), (1, 1));
    stage.does(anna, inbound("Telephony", "3", Some("web")));
    assert_eq!((stage.count(anna), stage.count(berta)), (1, 1));
    assert_eq!(stage.driver.switch.census().waiting, 1);
    // Berta is done first, and gets the one that waits: a transition of its own.
    stage.answer(berta);
    stage.events(berta);
    let conversation = stage.call(berta, Role::Primary);
    stage.does(berta, Command::Release { conversation });
    assert_eq!(stage.events(berta), all(&[GONE, ENDED, PAIR, PAIR, NEW_CALL]));
    assert_eq!(stage.members(berta, Role::Primary), ["3"]);
    stage.everybody_goes_home();
}

#[test]
fn a_contact_waits_until_somebody_is_ready() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.does(anna, not_ready("1001"));
    stage.does(berta, not_ready("1002"));
    stage.events(anna);
    stage.does(berta, inbound("Telephony", "1", Some("sales")));
    stage.does(anna, Command::Ready { channel: "1001".into() });
    assert_eq!(stage.events(anna), all(&[PAIR, PAIR, NEW_CALL]));
    stage.everybody_goes_home();
}

#[test]
fn a_customer_who_waits_too_long_gives_up() {
    let (mut stage, anna, berta) = two(json!({ "patience_ms": 5000 }));
    stage.does(anna, not_ready("1001"));
    stage.does(berta, not_ready("1002"));
    stage.does(anna, inbound("Telephony", "1", Some("sales")));
    stage.does(anna, inbound("Chat", "2", Some("sales")));
    stage.driver.pass(4999);
    assert_eq!(stage.driver.switch.census().waiting, 2);
    stage.driver.pass(1);
    let left = stage.driver.switch.census();
    assert_eq!((left.waiting, left.calls), (0, 0));
}

#[test]
fn an_agent_takes_contacts_from_the_queue_of_the_channel_only() {
    let mut stage = Stage::new(json!({}));
    let anna = stage.session("anna");
    stage.does(anna, add_channel("1001", ChannelType::Telephony));
    let options = json!({ "queue": "web" });
    stage.does(anna, Command::Activate { channel: "1001".into(), queue: Some("web".into()), options: options.into() });
    stage.does(anna, Command::Ready { channel: "1001".into() });
    stage.does(anna, inbound("Telephony", "1", Some("sales")));
    stage.does(anna, inbound("Chat", "2", Some("web")));
    assert_eq!(stage.count(anna), 0);
    stage.does(anna, inbound("Telephony", "3", Some("web")));
    assert_eq!(stage.count(anna), 1);
    let unknown = inbound("Telephony", "1", Some("none"));
    assert_eq!(stage.fails(anna, unknown), Code::Rejected);
}

#[test]
fn an_offer_that_is_rejected_or_not_taken_goes_elsewhere() {
    let (mut stage, anna, berta) = two(json!({ "offer_ms": 5000 }));
    stage.does(anna, inbound("Telephony", "1", Some("sales")));
    stage.events(anna);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::Reject { interaction });
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, "interaction.disposed", PAIR]));
    assert_eq!(stage.events(berta), all(&[PAIR, NEW_CALL]));
    stage.driver.pass(5000);
    assert_eq!(stage.events(berta), all(&[GONE, ENDED, "interaction.disposed", PAIR]));
    assert_eq!((stage.count(anna), stage.count(berta)), (0, 0));
    // After a while it is tried again.
    stage.driver.pass(5000);
    assert_eq!(stage.events(anna), all(&[PAIR, NEW_CALL]));
    stage.answer(anna);
    assert_eq!(stage.state(anna, Role::Primary), "Talking");
    stage.everybody_goes_home();
}

#[test]
fn a_chat_that_is_not_taken_goes_elsewhere() {
    let mut stage = Stage::new(json!({ "offer_ms": 5000 }));
    let (anna, berta) = (stage.session("anna"), stage.session("berta"));
    stage.channel(anna, "a-chat", ChannelType::Chat);
    stage.channel(berta, "b-chat", ChannelType::Chat);
    stage.does(anna, inbound("Chat", "visitor", Some("web")));
    stage.events(anna);
    stage.driver.pass(5000);
    assert_eq!(stage.events(anna), all(&[ENDED, "interaction.disposed", PAIR]));
    let interaction = stage.interaction(berta);
    stage.does(berta, Command::Accept { interaction });
    stage.driver.pass(60_000);
    assert_eq!(stage.count(berta), 1);
    stage.everybody_goes_home();
}

#[test]
fn a_channel_takes_as_many_chats_as_it_has_room_for() {
    let mut stage = Stage::new(json!({ "capacity": { "chat": 2 } }));
    let anna = stage.session("anna");
    stage.channel(anna, "a-chat", ChannelType::Chat);
    for visitor in ["1", "2", "3"] {
        stage.does(anna, inbound("Chat", visitor, Some("web")));
    }
    assert_eq!(stage.count(anna), 2);
    assert_eq!(stage.driver.switch.census().waiting, 1);
}

#[test]
fn a_contact_for_one_agent_is_refused_when_no_channel_is_free() {
    let (mut stage, anna, _) = two(json!({}));
    assert_eq!(stage.fails(anna, inbound("Chat", "1", None)), Code::Rejected);
    stage.does(anna, not_ready("1001"));
    stage.does(anna, inbound("Telephony", "1", None));
    assert_eq!(stage.fails(anna, inbound("Telephony", "2", None)), Code::Rejected);
    stage.everybody_goes_home();
}

// ---- agents call each other -------------------------------------------------------------------------------------

#[test]
fn an_agent_calls_another_by_endpoint_or_extension() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.does(anna, dial("1001", "1002"));
    assert_eq!(stage.members(anna, Role::Primary), ["1002"]);
    let told = stage.told(berta);
    let (_, created) = told.iter().find(|(name, _)| name == "interaction.created").unwrap();
    assert_eq!(created["interaction"]["direction"], "internal");
    assert_eq!(stage.members(berta, Role::Primary), ["1001"]);
    stage.events(anna);
    stage.answer(berta);
    assert_eq!(stage.events(anna), "state.updated(primary) interaction.screenpop state.updated(interaction)");
    assert_eq!(stage.events(berta), "state.updated(primary) interaction.screenpop state.updated(interaction)");
    let conversation = stage.call(berta, Role::Primary);
    stage.does(berta, Command::Release { conversation });
    assert_eq!(stage.events(anna), all(&[GONE, ENDED, PAIR]));

    let carl = stage.driver.logged_in("carl");
    let ticket = stage.driver.ask(carl, Request::Start { extension: Some("77".into()) });
    assert_eq!(stage.driver.answers.remove(&ticket), Some(Outcome::success()));
    stage.driver.phone(carl, "1003");
    stage.does(anna, dial("1001", "77"));
    assert_eq!(stage.driver.only_conversation(carl).members.unwrap()[0].address.as_deref(), Some("1001"));
    stage.driver.logs_out(carl);
    stage.everybody_goes_home();
}

#[test]
fn a_colleague_who_rejects_is_busy_and_one_who_is_away_cannot_be_reached() {
    let (mut stage, anna, berta) = two(json!({ "no_answer_ms": 8000 }));
    let ended = |stage: &mut Stage, session| {
        let told = stage.told(session);
        told.into_iter().find(|(name, _)| name == "interaction.ended").map(|(_, data)| data)
    };
    stage.does(anna, dial("1001", "1002"));
    let interaction = stage.interaction(berta);
    stage.does(berta, Command::Reject { interaction });
    assert_eq!(ended(&mut stage, anna), Some(json!({ "reason": "failed", "cause": "busy" })));
    assert_eq!(ended(&mut stage, berta), Some(json!({ "reason": "rejected" })));

    stage.does(anna, dial("1001", "1002"));
    stage.driver.pass(8000);
    assert_eq!(ended(&mut stage, anna), Some(json!({ "reason": "failed", "cause": "noanswer" })));
    assert_eq!(ended(&mut stage, berta), Some(json!({ "reason": "redirected" })));

    stage.inbound(berta, "Telephony", "+15550100");
    stage.does(anna, dial("1001", "1002"));
    stage.driver.pass(300);
    assert_eq!(ended(&mut stage, anna), Some(json!({ "reason": "failed", "cause": "busy" })));

    stage.driver.logs_out(berta);
    let berta = stage.session("berta");
    stage.does(berta, add_channel("1002", ChannelType::Telephony));
    stage.does(anna, dial("1001", "1002"));
    stage.driver.pass(300);
    assert_eq!(ended(&mut stage, anna), Some(json!({ "reason": "failed", "cause": "unreachable" })));

    stage.does(berta, activate("1002"));
    stage.does(anna, dial("1001", "1002"));
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    assert_eq!(ended(&mut stage, anna), Some(json!({ "reason": "failed", "cause": "cancelled" })));
    assert_eq!(ended(&mut stage, berta), Some(json!({ "reason": "abandoned" })));
}

#[test]
fn a_consult_transfer_moves_the_caller_to_the_colleague() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.inbound(anna, "Telephony", "+15550100");
    stage.answer(anna);
    stage.consult(anna, "1002");
    assert_eq!(stage.events(berta), all(&[PAIR, NEW_CALL]));
    assert_eq!(stage.data(berta, "account"), None);
    stage.answer(berta);
    stage.events(berta);
    let before = stage.call(berta, Role::Primary);
    assert_eq!(stage.members(berta, Role::Primary), ["1001"]);

    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultTransfer { interaction });
    let listed = "conversation.member.removed(primary) conversation.member.added(primary) interaction.datachanged";
    assert_eq!(stage.events(berta), listed);
    assert_eq!(stage.members(berta, Role::Primary), ["+15550100"]);
    assert_eq!(stage.data(berta, "account").as_deref(), Some("\"4711\""));

    // The call has another key now; a command that still carries the old one finds it.
    assert_ne!(stage.call(berta, Role::Primary), before);
    stage.does(berta, Command::Hold { conversation: before });
    assert_eq!(stage.events(berta), "state.updated(primary)");
    let conversation = stage.call(berta, Role::Primary);
    stage.does(berta, Command::Release { conversation });
    assert_eq!(stage.events(berta), all(&[GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn a_conference_of_two_agents_goes_on_when_one_leaves() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.inbound(anna, "Telephony", "+15550100");
    stage.answer(anna);
    stage.consult(anna, "1002");
    stage.answer(berta);
    stage.events(berta);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultConference { interaction });
    let listed = "conversation.member.added(primary) interaction.datachanged state.updated(interaction)";
    assert_eq!(stage.events(berta), listed);
    assert_eq!(stage.members(anna, Role::Primary), ["+15550100", "1002"]);
    assert_eq!(stage.members(berta, Role::Primary), ["1001", "+15550100"]);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    assert_eq!(stage.events(berta), "conversation.member.removed(primary) state.updated(interaction)");
    assert_eq!(stage.members(berta, Role::Primary), ["+15550100"]);
    stage.everybody_goes_home();
}

#[test]
fn a_blind_transfer_rings_at_the_colleague_with_its_data() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.inbound(anna, "Telephony", "+15550100");
    stage.answer(anna);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::BlindTransfer { conversation, destination: "1002".into() });
    let told = stage.told(berta);
    let (_, created) = told.iter().find(|(name, _)| name == "interaction.created").unwrap();
    assert_eq!(created["interaction"]["direction"], "inbound");
    assert_eq!(stage.data(berta, "account").as_deref(), Some("\"4711\""));
    assert_eq!(stage.members(berta, Role::Primary), ["+15550100"]);
    stage.answer(berta);
    assert_eq!(stage.state(berta, Role::Primary), "Talking");
    stage.everybody_goes_home();
}

#[test]
fn a_blind_transfer_that_is_not_taken_returns_to_its_queue() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.does(berta, not_ready("1002"));
    stage.does(anna, inbound("Telephony", "+15550100", Some("sales")));
    stage.answer(anna);
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::BlindTransfer { conversation, destination: "1002".into() });
    let interaction = stage.interaction(berta);
    stage.does(berta, Command::Reject { interaction });
    assert_eq!(stage.count(berta), 0);
    assert_eq!(stage.members(anna, Role::Primary), ["+15550100"]);
    stage.answer(anna);
    stage.everybody_goes_home();
}

#[test]
fn a_colleague_is_called_into_a_conference() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.talking(anna, "+15550100");
    let conversation = stage.call(anna, Role::Primary);
    let command = || Command::BlindConference { conversation: conversation.clone(), destination: "1002".into() };
    let ticket = stage.driver.begins(anna, command());
    stage.answer(berta);
    assert_eq!(stage.driver.answers.remove(&ticket), Some(Outcome::success()));
    assert_eq!(stage.events(anna), "conversation.member.added(primary) state.updated(interaction)");
    assert_eq!(stage.members(berta, Role::Primary), ["+15550100", "1001"]);
    assert_eq!(stage.data(berta, "account").as_deref(), Some("\"4711\""));
    let conversation = stage.call(berta, Role::Primary);
    stage.does(berta, Command::Release { conversation });
    assert_eq!(stage.events(anna), "conversation.member.removed(primary) state.updated(interaction)");

    let ticket = stage.driver.begins(anna, command());
    let interaction = stage.interaction(berta);
    stage.does(berta, Command::Reject { interaction });
    let Some(Outcome::Failure(failure)) = stage.driver.answers.remove(&ticket) else { panic!("no failure") };
    assert_eq!(failure.code, Code::Busy);
    assert_eq!(stage.events(anna), "");
    stage.everybody_goes_home();
}

#[test]
fn a_colleague_who_is_taken_out_of_a_conference_has_left_it() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.talking(anna, "+15550100");
    let conversation = stage.call(anna, Role::Primary);
    let command = Command::BlindConference { conversation: conversation.clone(), destination: "1002".into() };
    let ticket = stage.driver.begins(anna, command);
    stage.answer(berta);
    stage.driver.answers.remove(&ticket);
    stage.events(anna);
    stage.events(berta);
    let to =
        |member: &str, action| Command::Member { conversation: conversation.clone(), member: member.into(), action };
    let member = stage.member(anna, Role::Primary, "1002");
    stage.does(anna, to(&member, MemberAction::Mute));
    assert_eq!(stage.events(anna), "conversation.member.changed(primary)");
    assert_eq!(stage.events(berta), "", "who is muted is none of his own members");
    assert_eq!(stage.fails(anna, to("nobody", MemberAction::Hold)), Code::NotFound);
    stage.does(anna, to(&member, MemberAction::Remove));
    assert_eq!(stage.events(anna), "conversation.member.removed(primary) state.updated(interaction)");
    assert_eq!(stage.events(berta), [GONE, ENDED, PAIR].join(" "));
    assert_eq!(stage.members(anna, Role::Primary), ["+15550100"]);
    stage.everybody_goes_home();
}

// ---- sessions come and go ---------------------------------------------------------------------------------------

#[test]
fn logging_out_returns_offers_and_releases_calls() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.does(anna, inbound("Telephony", "1", Some("sales")));
    assert_eq!(stage.count(anna), 1);
    stage.driver.logs_out(anna);
    assert_eq!(stage.count(berta), 1);
    stage.answer(berta);
    let conversation = stage.call(berta, Role::Primary);
    stage.does(berta, Command::Release { conversation });
    stage.events(berta);

    let anna = stage.agent("anna", "1001");
    stage.does(anna, dial("1001", "1002"));
    stage.answer(berta);
    stage.events(berta);
    stage.driver.logs_out(anna);
    assert_eq!(stage.events(berta), all(&[GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn a_log_out_that_is_refused_changes_nothing() {
    let (mut stage, anna, _) = two(json!({}));
    stage.talking(anna, "1");
    stage.cause(anna, json!({ "what": "refuse" }));
    let ticket = stage.driver.ask(anna, Request::LogOut(Ending::LogOut));
    let Some(Outcome::Failure(failure)) = stage.driver.answers.remove(&ticket) else { panic!("no failure") };
    assert_eq!(failure.code, Code::Rejected);
    assert_eq!(stage.events(anna), "");
    assert_eq!(stage.state(anna, Role::Primary), "Talking");
}

#[test]
fn calls_stay_when_a_session_is_left_and_are_in_the_next_one() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.talking(anna, "+15550100");
    stage.consult(anna, "1002");
    stage.answer(berta);
    stage.driver.leaves(anna);
    let again = stage.session("anna");
    let call = "state.updated(primary) conversation.member.added(primary) conversation.initialized";
    let consult = "state.updated(consult) conversation.member.added(consult) conversation.initialized";
    let listed = all(&[
        "channel.created",
        PAIR,
        "channel.initialized interaction.created state.updated(interaction) conversation.created",
        call,
        "conversation.created",
        consult,
        "interaction.datachanged interaction.focuschanged interaction.initialized session.initialized",
    ]);
    assert_eq!(stage.events(again), listed);
    let interaction = stage.interaction(again);
    stage.does(again, Command::ConsultTransfer { interaction });
    assert_eq!(stage.members(berta, Role::Primary), ["+15550100"]);
    // The old session can do nothing any more.
    let ticket = stage.driver.ask(anna, Request::Command(Command::Ready { channel: "1001".into() }));
    assert!(matches!(stage.driver.answers.remove(&ticket), Some(Outcome::Failure(_))));
    stage.everybody_goes_home();
}

#[test]
fn a_session_that_is_replaced_before_it_is_left_does_no_harm_to_the_new_one() {
    let (mut stage, anna, _) = two(json!({}));
    stage.talking(anna, "+15550100");
    let again = stage.session("anna");
    stage.driver.leaves(anna);
    assert_eq!(stage.state(again, Role::Primary), "Talking");
    let conversation = stage.call(again, Role::Primary);
    stage.events(again);
    stage.does(again, Command::Release { conversation });
    assert_eq!(stage.events(again), all(&[GONE, ENDED, PAIR]));
    stage.everybody_goes_home();
}

#[test]
fn a_session_that_never_started_changes_nothing() {
    let (mut stage, anna, _) = two(json!({}));
    stage.talking(anna, "+15550100");
    let other = stage.driver.logged_in("anna");
    stage.driver.leaves(other);
    assert_eq!(stage.events(anna), "");
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Hold { conversation });
    assert_eq!(stage.events(anna), "state.updated(primary)");
    stage.everybody_goes_home();
}

#[test]
fn only_listed_agents_with_their_passwords_log_in() {
    let mut stage = Stage::new(json!({ "agents": [{ "id": "anna", "password": "right" }] }));
    let log_in = |stage: &mut Stage, agent: &str, password: &str| {
        let request = Request::LogIn {
            agent: agent.into(),
            password: Some(Secret::new(password)),
            goes_on: false,
            extension: None,
        };
        let ticket = stage.driver.ask(jackfield_simulator::switch::message::SessionNo(9000), request);
        stage.driver.answers.remove(&ticket).unwrap()
    };
    for (agent, password) in [("anna", "wrong"), ("berta", "right")] {
        let Outcome::Failure(failure) = log_in(&mut stage, agent, password) else { panic!("{agent} got in") };
        assert_eq!(failure.code, Code::Unauthorized);
    }
    assert_eq!(log_in(&mut stage, "anna", "right"), Outcome::success());
}

#[test]
fn an_extension_is_used_by_one_session() {
    let (mut stage, anna, _) = two(json!({}));
    let other = stage.driver.logged_in("carl");
    let ticket = stage.driver.ask(other, Request::Start { extension: Some("1001".into()) });
    let Some(Outcome::Failure(failure)) = stage.driver.answers.remove(&ticket) else { panic!("no failure") };
    assert_eq!(failure.code, Code::Conflict);
    let ticket = stage.driver.ask(other, Request::Start { extension: Some("77".into()) });
    assert_eq!(stage.driver.answers.remove(&ticket), Some(Outcome::success()));
    assert_eq!(stage.fails(anna, add_channel("77", ChannelType::Telephony)), Code::Conflict);
    stage.driver.logs_out(other);
    stage.does(anna, add_channel("77", ChannelType::Telephony));
}

// ---- the link ---------------------------------------------------------------------------------------------------

#[test]
fn what_happened_while_the_link_was_down_is_told_afterwards_with_its_reasons() {
    let (mut stage, anna, berta) = two(json!({ "offer_ms": 100 }));
    stage.talking(anna, "+15550100");
    stage.consult(anna, "1002");
    stage.answer(berta);
    stage.events(anna);
    stage.events(berta);
    let drop_link = json!({ "up": false, "ms": 1000 });
    stage.does(anna, driver::extension("session.request.simulator.link", Target::Session, drop_link));
    assert_eq!(stage.driver.links.len(), 1);
    stage.driver.pass(20);
    assert_eq!(stage.driver.links.len(), 2);

    // Anna transfers on the telephone, where no adapter is needed; the switch knows, the host does not.
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultTransfer { interaction });
    assert!(stage.told(anna).is_empty());
    assert!(stage.told(berta).is_empty());
    stage.driver.pass(1000);
    assert_eq!(stage.driver.links.len(), 3);

    for session in [anna, berta] {
        let ticket = stage.driver.ask(session, Request::Snapshot);
        assert_eq!(stage.driver.answers.remove(&ticket), Some(Outcome::success()));
    }
    let listed =
        all(&[GONE, "interaction.focuschanged state.updated(consult) conversation.disposed(consult)", ENDED, PAIR]);
    assert_eq!(stage.events(anna), listed);
    let listed = "conversation.member.removed(primary) conversation.member.added(primary) interaction.datachanged";
    assert_eq!(stage.events(berta), listed);
    stage.everybody_goes_home();
}

// ---- supervision ------------------------------------------------------------------------------------------------

fn listen(agent: &str) -> Command {
    Command::Supervise { agent: agent.into(), mode: SupervisionMode::Listen }
}

#[test]
fn a_supervision_goes_on_through_a_consult_and_ends_with_a_transfer() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.talking(anna, "5551234");
    stage.does(berta, listen("anna"));
    assert_eq!(stage.members(berta, Role::Primary), ["1001"]);
    stage.consult(anna, "5552000");
    stage.driver.pass(1_000);
    assert_eq!(stage.state(berta, Role::Primary), "Talking");
    stage.events(anna);
    let interaction = stage.interaction(anna);
    stage.does(anna, Command::ConsultTransfer { interaction });
    stage.feed(berta);
    assert!(stage.events(berta).contains("interaction.ended"));
    stage.everybody_goes_home();
}

#[test]
fn of_two_supervisors_each_leaves_alone() {
    let (mut stage, anna, berta) = two(json!({}));
    let carl = stage.agent("carl", "1003");
    stage.talking(anna, "5551234");
    for supervisor in [berta, carl] {
        stage.does(supervisor, listen("agent:anna"));
        stage.events(supervisor);
    }
    let conversation = stage.call(berta, Role::Primary);
    stage.does(berta, Command::Release { conversation });
    assert_eq!(stage.events(carl), "");
    // Who supervises talks to nobody who could be heard.
    assert_eq!(stage.fails(berta, listen("carl")), Code::InvalidState);
    stage.everybody_goes_home();
}

// ---- what a supervisor decides for a colleague -------------------------------------------------------------------

fn pauses(agent: &str) -> Command {
    Command::ColleagueNotReady { agent: agent.into(), reason_code: "1".into(), reason_desc: None }
}

#[test]
fn a_colleague_who_is_to_pause_takes_no_contacts_until_told_otherwise() {
    let (mut stage, anna, berta) = two(json!({}));
    stage.does(berta, not_ready("1002"));
    stage.events(anna);
    stage.does(berta, pauses("agent:anna"));
    assert_eq!(stage.events(anna), PAIR);
    stage.does(berta, inbound("Telephony", "1", Some("sales")));
    assert_eq!((stage.count(anna), stage.count(berta)), (0, 0));
    stage.does(berta, Command::ColleagueReady { agent: "anna".into() });
    assert_eq!(stage.count(anna), 1);
    // In the call that she takes it waits until that has ended.
    stage.answer(anna);
    stage.does(berta, pauses("anna"));
    let conversation = stage.call(anna, Role::Primary);
    stage.does(anna, Command::Release { conversation });
    stage.does(berta, inbound("Telephony", "2", Some("sales")));
    assert_eq!(stage.driver.switch.census().waiting, 1);
    stage.everybody_goes_home();
}

#[test]
fn nothing_is_decided_for_nobody_oneself_or_one_who_is_not_at_work() {
    let (mut stage, anna, _) = two(json!({"agents": [
        { "id": "anna", "password": "any", "supervisor": true }, { "id": "berta", "password": "any" }, { "id": "carl", "password": "any" }
    ], "reasons": [{ "code": "1" }]}));
    let whim = Command::ColleagueNotReady { agent: "berta".into(), reason_code: "whim".into(), reason_desc: None };
    assert_eq!(stage.fails(anna, whim), Code::Rejected);
    assert_eq!(stage.fails(anna, pauses("nobody")), Code::NotFound);
    assert_eq!(stage.fails(anna, pauses("anna")), Code::NotFound);
    assert_eq!(stage.fails(anna, pauses("carl")), Code::InvalidState);
    stage.everybody_goes_home();
}

#[test]
fn who_is_no_supervisor_decides_for_nobody() {
    let (mut stage, _, berta) = two(
        json!({"agents": [{ "id": "anna", "password": "any", "supervisor": true }, { "id": "berta", "password": "any" }]}),
    );
    assert_eq!(stage.fails(berta, pauses("anna")), Code::Forbidden);
    assert_eq!(stage.fails(berta, Command::ColleagueReady { agent: "anna".into() }), Code::Forbidden);
    stage.everybody_goes_home();
}
