//! Asterisk refuses, and nothing has changed; what happens behind the desktop's back is taken as it is.

use super::*;
use jackfield_plugin_api::{command::RecordAction, report::Recording};

use crate::{
    ari::Endpoint,
    switch::model::{PartyState, Room},
};

impl Bench {
    /// The next command fails, and nothing else is told than before.
    fn refuses(&mut self, uri: &'static str, command: Command) {
        let before = self.interaction("anna");
        // Asked how things are, Asterisk says that they are as they were.
        let state = |id: &String| match self.switch.parties.get(id).map(|party| party.state) {
            Some(PartyState::Waiting) => "Ring",
            _ => "Up",
        };
        self.listed_channels = self.switch.owners.keys().map(|id| json!({"id": id, "state": state(id)})).collect();
        let bridge = |room: &Room| json!({"id": room.bridge, "channels": room.placed});
        self.listed_bridges = self.switch.rooms.values().filter(|it| it.told_bridge).map(bridge).collect();
        self.refuse = Some((uri, 409));
        let Outcome::Failure(failure) = self.command("anna", command) else { panic!("{uri} is refused") };
        assert_eq!(failure.code, Code::Rejected, "{uri}");
        self.refuse = None;
        assert_eq!(self.interaction("anna"), before, "{uri}");
    }
}

#[test]
fn a_refused_command_changes_nothing_and_can_be_given_again() {
    let (mut bench, _) = Bench::consulting();
    let at = |bench: &Bench, role| bench.conversation("anna", "1001", role);
    let (primary, consult) = (at(&bench, Role::Primary), at(&bench, Role::Consult));
    let interaction = bench.at_interaction("anna", "1001");
    let alternate = Command::Alternate {
        interaction: interaction.clone(),
        hold: Some(consult.conversation.clone()),
        retrieve: primary.conversation.clone(),
    };
    for (uri, command) in [
        ("/removeChannel", Command::Hold { conversation: consult.clone() }),
        ("/addChannel", alternate),
        ("/mute", Command::Mute { conversation: consult.clone() }),
        ("/addChannel", Command::ConsultTransfer { interaction: interaction.clone() }),
        ("/addChannel", Command::ConsultConference { interaction: interaction.clone() }),
    ] {
        bench.refuses(uri, command);
    }
    let data = Command::SetInteractionData { interaction: interaction.clone(), key: "K".into(), value: "v".into() };
    bench.refuses("/variable", data.clone());
    assert_eq!(bench.command("anna", data), Outcome::success());
    assert_eq!(bench.command("anna", Command::Mute { conversation: consult }), Outcome::success());
    assert_eq!(bench.command("anna", Command::ConsultTransfer { interaction }), Outcome::success());
}

#[test]
fn who_gives_up_while_the_agent_answers_has_given_up() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.enters("c1", &["queue", "sales"], "555");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    bench.refuses("c1/answer", Command::Answer { conversation });
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    bench.over("c1", 16);
    let gone = bench.interaction("anna");
    assert_eq!((gone.gone, gone.reason, gone.state), (true, Some(Reason::Abandoned), None));
}

#[test]
fn what_the_agent_chose_while_it_rang_is_not_overwritten() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.enters("c1", &["queue", "sales"], "555");
    let lunch = Command::NotReady { channel: "1001".into(), reason_code: "lunch".into(), reason_desc: None };
    assert_eq!(bench.command("anna", lunch), Outcome::success());
    bench.tick(30);
    let ChannelStatus::Active(info) = bench.status("anna") else { panic!("active") };
    assert_eq!(info.reason_code.as_deref(), Some("lunch"));
}

#[test]
fn an_offer_does_not_run_out_while_the_link_is_down() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let leg = bench.originated();
    bench.enters("c1", &["queue", "sales"], "555");
    bench.input(Input::Disconnected);
    bench.tick(600);
    let up = |id: &str, state: &str| json!({"id": id, "state": state});
    bench.listed_channels = json!([up(&leg, "Up"), up("c1", "Ring")]);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    assert!(matches!(bench.status("anna"), ChannelStatus::Active(info) if info.reason_code.is_none()));
    bench.tick(20);
    assert!(matches!(bench.status("anna"), ChannelStatus::Active(info) if info.reason_code.is_some()));
}

#[test]
fn a_link_that_is_back_only_for_a_moment_has_not_been_back() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let leg = bench.originated();
    bench.enters("c1", &["queue", "sales"], "555");
    bench.input(Input::Disconnected);
    bench.tick(600);
    // Connected, and lost before Asterisk has told how things are.
    let _unanswered = bench.switch.handle(bench.now, Input::Connected { leaves_transfers: true, marks_records: false });
    bench.input(Input::Disconnected);
    bench.tick(1);
    let up = |id: &str, state: &str| json!({"id": id, "state": state});
    bench.listed_channels = json!([up(&leg, "Up"), up("c1", "Ring")]);
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    bench.tick(10);
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
}

#[test]
fn an_offer_does_not_run_out_while_nothing_is_heard_and_goes_on_when_something_is() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.enters("c1", &["queue", "sales"], "555");
    bench.input(Input::Silent { since: bench.now });
    bench.tick(600);
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    bench.event(Event::Other);
    bench.tick(19);
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    bench.tick(2);
    assert!(matches!(bench.status("anna"), ChannelStatus::Active(info) if info.reason_code.is_some()));
}

#[test]
fn an_offer_does_not_run_out_while_asterisk_is_asked_to_connect_who_has_answered_it() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.enters("c1", &["queue", "sales"], "555");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let command = Command::Answer { conversation };
    let answers = bench.switch.handle(bench.now, Input::Command { id: 900, agent: "anna".into(), command });
    bench.tick(30);
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    bench.deliver(answers);
    assert_eq!(
        (bench.outcome(900), bench.states("anna")),
        (Some(Outcome::success()), vec![ConversationState::Talking])
    );
}

#[test]
fn an_agent_whose_leg_asterisk_cannot_take_out_of_a_bridge_is_out_of_it() {
    let mut bench = Bench::in_call();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    bench.refuse = Some(("/removeChannel", 404));
    let transfer = Command::BlindTransfer { conversation, destination: "web".into() };
    assert_eq!(bench.command("anna", transfer), Outcome::success());
    assert_eq!(bench.interaction("anna").reason, Some(Reason::Transferred));
}

#[test]
fn calls_that_nobody_completes_are_completed_from_the_oldest_on() {
    let mut bench = Bench::new(json!({"offer_again_seconds": 0}));
    bench.agent("anna", "1001");
    let mut first = None;
    for number in 0..300 {
        let customer = format!("c{number}");
        bench.enters(&customer, &["queue", "sales", "ORDER=77"], "555");
        let conversation = bench.conversation("anna", "1001", Role::Primary);
        first.get_or_insert(conversation.interaction.clone());
        assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
        bench.over(&customer, 16);
    }
    let told: Vec<_> = bench.reports.iter().flat_map(|(_, it)| &it.channels).flat_map(|it| &it.interactions).collect();
    assert_eq!(told.iter().filter(|it| it.gone).count(), 250);
    assert!(told.iter().any(|it| it.gone && Some(&it.key) == first.as_ref()));
    assert!(bench.reports.iter().all(|(_, it)| it.channels.iter().all(|it| it.interactions.len() <= 52)));
    assert!(bench.kept.values().all(|record| record.len() <= 16 << 10));
}

#[test]
fn a_recording_that_ended_while_nobody_listened_is_over_and_another_can_be_made() {
    let mut bench = Bench::in_call();
    let record = |bench: &Bench, action| Command::Record { interaction: bench.at_interaction("anna", "1001"), action };
    let start = record(&bench, RecordAction::Start);
    assert_eq!(bench.command("anna", start.clone()), Outcome::success());
    bench.refuse = Some(("/stop", 404));
    let stop = record(&bench, RecordAction::Stop);
    let Outcome::Failure(failure) = bench.command("anna", stop) else { panic!("there is none") };
    assert_eq!(failure.code, Code::Rejected);
    assert_eq!(bench.interaction("anna").recording, Some(Recording::Off));
    assert_eq!(bench.command("anna", start), Outcome::success());
}

#[test]
fn an_agent_with_two_phones_is_offered_one_call_at_a_time() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.agent("anna", "1002");
    let offered = |bench: &Bench| bench.switch.phones.values().filter(|phone| phone.live().is_some()).count();
    bench.enters("c1", &["queue", "sales"], "555");
    bench.enters("c2", &["queue", "sales"], "556");
    bench.enters("c3", &["agent", "1002"], "557");
    assert_eq!((offered(&bench), bench.posted("channels/c3/continue")), (1, 1));
    bench.over("c1", 16);
    assert_eq!(offered(&bench), 1, "the other caller's turn has come");
}

#[test]
fn cause_0_hides_no_cause_that_was_told_before_and_our_own_limit_is_no_answer() {
    for (told, waits, cause) in [(Some(17), 1, Cause::Busy), (None, 60, Cause::NoAnswer), (None, 1, Cause::Unreachable)]
    {
        let mut bench = Bench::new(json!({}));
        bench.agent("anna", "1001");
        let dial =
            Command::Dial { channel: "1001".into(), destination: "700".into(), extensions: Json::empty_object() };
        assert_eq!(bench.command("anna", dial), Outcome::success());
        let party = bench.originated();
        bench.tick(waits);
        bench.event(Event::HangupRequest { channel: party.clone(), cause: told });
        bench.event(Event::Destroyed { channel: party, cause: 0 });
        assert_eq!(bench.interaction("anna").cause, Some(cause));
    }
}

fn endpoint(state: &str, channels: &[&str]) -> Event {
    let channel_ids = channels.iter().map(ToString::to_string).collect();
    let endpoint = Endpoint { technology: "PJSIP".into(), resource: "1001".into(), state: state.into(), channel_ids };
    Event::Endpoint { endpoint }
}

#[test]
fn an_agent_whose_phone_has_a_call_of_its_own_is_not_offered_one() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let leg = bench.originated();
    bench.event(endpoint("online", &[&leg, "direct-1"]));
    let ChannelStatus::Active(info) = bench.status("anna") else { panic!("active") };
    assert_eq!(info.reason_code.as_deref(), Some("onphone"));
    bench.enters("c1", &["queue", "sales"], "555");
    bench.event(endpoint("online", &[&leg]));
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
}

#[test]
fn a_phone_out_of_reach_is_offered_nothing_and_its_idle_leg_is_given_up() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let leg = bench.originated();
    bench.enters("c1", &["queue", "sales"], "555");
    bench.event(endpoint("offline", &[&leg]));
    assert!(bench.interaction("anna").gone);
    assert!(!bench.is_hung_up(&leg));
    bench.tick(5);
    assert_eq!(bench.status("anna"), ChannelStatus::Unavailable);
    bench.event(endpoint("online", &[]));
    let again = bench.originated();
    assert_ne!(again, leg);
    bench.enters(&again, &["leg"], "");
    assert!(matches!(bench.status("anna"), ChannelStatus::Active(_)));
}

#[test]
fn asterisk_carries_out_the_transfers_of_a_phone_that_has_a_call_of_its_own_beside_ours() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let leg = bench.originated();
    let function = "PJSIP_TRANSFER_HANDLING()";
    let called = bench.sent.iter().filter(|it| it.uri == "channels").find_map(|it| it.body.as_ref()).unwrap();
    assert_eq!(called["variables"][function], "ari-only");
    let told = |bench: &Bench| {
        let of_leg = bench.sent.iter().filter(|it| it.uri == format!("channels/{leg}/variable"));
        let set = of_leg.filter(|it| it.query.contains(&("variable", function.to_owned())));
        set.map(|it| it.query[1].1.clone()).collect::<Vec<_>>()
    };
    // There is nobody yet with whom Asterisk could connect it.
    bench.event(endpoint("online", &[&leg, "direct-1"]));
    bench.event(endpoint("online", &[&leg]));
    assert_eq!(told(&bench), Vec::<String>::new());
    bench.enters("c1", &["queue", "sales"], "555");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
    bench.event(endpoint("online", &[&leg, "direct-2"]));
    bench.event(endpoint("online", &[&leg, "direct-2", "direct-3"]));
    assert_eq!(told(&bench), ["core"]);
    bench.event(endpoint("online", &[&leg]));
    assert_eq!(told(&bench), ["core", "ari-only"]);
    bench.event(endpoint("online", &[&leg, "direct-4"]));
    bench.over("c1", 16);
    assert_eq!(told(&bench), ["core", "ari-only", "core", "ari-only"]);
}

#[test]
fn a_leg_that_asterisk_replaces_is_a_transfer_by_the_phone() {
    let mut bench = Bench::in_call();
    let leg = bench.originated();
    let caller = Caller { name: String::new(), number: "1005".into() };
    let channel = Channel { id: "x1".into(), state: "Up".into(), caller, ..Channel::default() };
    bench.event(Event::Start { channel, args: Vec::new(), replaces: Some(leg.clone()) });
    bench.over(&leg, 16);
    assert_eq!(bench.interaction("anna").reason, Some(Reason::Transferred));
    // Not every phone does it.
    assert!(bench.is_hung_up(&leg));
    assert!(!bench.is_hung_up("c1"));
    bench.over("x1", 16);
    assert!(bench.is_hung_up("c1"));
}

#[test]
fn a_customer_keeps_the_number_until_a_new_one_is_known() {
    let mut bench = Bench::in_call();
    let address = |bench: &Bench| {
        let conversations = bench.interaction("anna").conversations.unwrap();
        conversations[0].members.clone().unwrap()[0].address.clone().unwrap()
    };
    let channel = |number: &str| Channel {
        id: "c2".into(),
        state: "Up".into(),
        caller: Caller { name: String::new(), number: number.into() },
        ..Channel::default()
    };
    bench.event(Event::Start { channel: channel(""), args: Vec::new(), replaces: Some("c1".into()) });
    assert_eq!(address(&bench), "555");
    bench.event(Event::CallerId { channel: channel("777") });
    assert_eq!(address(&bench), "777");
}
