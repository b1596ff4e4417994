//! Who hears music, and that nobody hears it any longer than he should.

use jackfield_plugin_api::command::{MemberAction, RecordAction};

use super::*;

impl Bench {
    /// An agent, a customer and a number that was consulted.
    fn in_conference() -> (Self, String) {
        let (mut bench, party) = Self::consulting();
        let interaction = bench.at_interaction("anna", "1001");
        assert_eq!(bench.command("anna", Command::ConsultConference { interaction }), Outcome::success());
        (bench, party)
    }

    /// What Asterisk was asked of the caller's channel since then, in order, by the last part of the path.
    fn asked_of_caller(&self, since: usize) -> Vec<String> {
        let is_caller = |it: &&Request| {
            it.uri.starts_with("channels/c1/") || it.query.iter().any(|it| *it == ("channel", "c1".to_owned()))
        };
        let asked = self.sent[since..].iter().filter(is_caller);
        let asked = asked.map(|it| format!("{:?} {}", it.method, it.uri.split('/').next_back().unwrap()));
        asked.filter(|it| !it.ends_with("variable")).collect()
    }

    /// What Asterisk was asked of a bridge's music.
    fn bridge_music(&self, since: usize) -> Vec<Method> {
        let is_asked = |it: &&Request| it.uri.starts_with("bridges/") && it.uri.ends_with("/moh");
        self.sent[since..].iter().filter(is_asked).map(|it| it.method).collect()
    }
}

#[test]
fn who_is_on_hold_is_out_of_the_bridge_before_his_music_starts_and_comes_back_when_it_has_stopped() {
    let mut bench = Bench::in_call();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let before = bench.sent.len();
    assert_eq!(bench.command("anna", Command::Hold { conversation: conversation.clone() }), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), ["Post removeChannel", "Post moh"]);
    let before = bench.sent.len();
    assert_eq!(bench.command("anna", Command::Retrieve { conversation }), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), ["Delete moh", "Post addChannel"]);
    assert!(bench.bridge_music(0).is_empty());
}

#[test]
fn who_is_on_hold_stays_in_the_bridge_of_a_recording_and_hears_its_music() {
    let mut bench = Bench::in_call();
    let interaction = bench.at_interaction("anna", "1001");
    let record = |action| Command::Record { interaction: interaction.clone(), action };
    assert_eq!(bench.command("anna", record(RecordAction::Start)), Outcome::success());
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let before = bench.sent.len();
    assert_eq!(bench.command("anna", Command::Hold { conversation: conversation.clone() }), Outcome::success());
    assert_eq!((bench.bridge_music(before), bench.asked_of_caller(before)), (vec![Method::Post], vec![]));
    let before = bench.sent.len();
    let retrieve = Command::Retrieve { conversation: conversation.clone() };
    assert_eq!(bench.command("anna", retrieve), Outcome::success());
    assert_eq!((bench.bridge_music(before), bench.asked_of_caller(before)), (vec![Method::Delete], vec![]));
    bench.command("anna", Command::Hold { conversation });
    let before = bench.sent.len();
    assert_eq!(bench.command("anna", record(RecordAction::Stop)), Outcome::success());
    assert_eq!(bench.bridge_music(before), [Method::Delete]);
    assert_eq!(bench.asked_of_caller(before), ["Post removeChannel", "Post moh"]);
}

#[test]
fn a_recording_of_who_is_on_hold_begins_when_he_is_in_its_bridge() {
    let mut bench = Bench::in_call();
    let interaction = bench.at_interaction("anna", "1001");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    bench.command("anna", Command::Hold { conversation });
    let before = bench.sent.len();
    let record = |action| Command::Record { interaction: interaction.clone(), action };
    assert_eq!(bench.command("anna", record(RecordAction::Start)), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), ["Delete moh", "Post addChannel"]);
    let at = |end: &str| bench.sent.iter().rposition(|it| it.uri.ends_with(end)).unwrap();
    assert!(at("/addChannel") < at("/record"));
    // One that Asterisk refuses leaves him with his music.
    assert_eq!(bench.command("anna", record(RecordAction::Stop)), Outcome::success());
    let before = bench.sent.len();
    bench.refuse = Some(("/record", 500));
    assert!(matches!(bench.command("anna", record(RecordAction::Start)), Outcome::Failure(_)));
    assert_eq!(bench.asked_of_caller(before).last().unwrap(), "Post moh");
}

#[test]
fn a_caller_who_waits_hears_music_until_the_agent_is_there() {
    let mut bench = announcements::waiting();
    bench.agent("anna", "1001");
    assert_eq!(bench.asked_of_caller(0), ["Post moh"]);
    let before = bench.sent.len();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), ["Delete moh", "Post addChannel"]);
}

#[test]
fn an_agent_who_cannot_be_connected_does_not_end_the_music() {
    let mut bench = announcements::waiting();
    bench.agent("anna", "1001");
    let before = bench.sent.len();
    bench.refuse = Some(("/addChannel", 500));
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert!(matches!(bench.command("anna", Command::Answer { conversation }), Outcome::Failure(_)));
    assert!(bench.asked_of_caller(before).is_empty());
}

#[test]
fn music_goes_on_after_an_announcement() {
    let mut bench = announcements::waiting();
    bench.tick(30);
    let before = bench.sent.len();
    let id = bench.playback();
    bench.event(Event::PlaybackEnded { id, channel: "c1".into() });
    assert_eq!(bench.asked_of_caller(before), ["Post moh"]);
}

#[test]
fn music_ends_before_the_call_goes_on_in_the_dialplan() {
    let mut bench = Bench::new(json!({"destinations": {"night": "night,s,1"}}));
    bench.agent("anna", "1001");
    bench.enters("c1", &["queue", "sales"], "555");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    bench.command("anna", Command::Answer { conversation: conversation.clone() });
    bench.command("anna", Command::Hold { conversation: conversation.clone() });
    let before = bench.sent.len();
    let destination = "night".to_owned();
    assert_eq!(bench.command("anna", Command::BlindTransfer { conversation, destination }), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), ["Delete moh", "Post continue"]);
}

#[test]
fn a_caller_who_waits_when_the_host_stops_takes_no_music_along_into_the_dialplan() {
    let mut bench = announcements::waiting();
    let before = bench.sent.len();
    bench.input(Input::Close);
    assert_eq!(bench.asked_of_caller(before), ["Delete moh", "Post continue"]);
}

#[test]
fn two_who_were_three_come_into_the_bridge_anew_before_they_are_three_again() {
    let (mut bench, party) = Bench::in_conference();
    let interaction = bench.at_interaction("anna", "1001");
    let anew = ["Post removeChannel", "Post addChannel"];
    let before = bench.sent.len();
    bench.event(Event::Destroyed { channel: party, cause: 16 });
    assert!(bench.asked_of_caller(before).is_empty());
    let record = |action| Command::Record { interaction: interaction.clone(), action };
    let before = bench.sent.len();
    assert_eq!(bench.command("anna", record(RecordAction::Start)), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), anew);
    assert!(
        bench.sent.iter().rposition(|it| it.uri.ends_with("/record"))
            > bench.sent.iter().rposition(|it| it.uri.ends_with("/addChannel"))
    );
}

#[test]
fn a_colleague_who_comes_back_from_hold_finds_the_two_others_in_the_bridge_anew() {
    let (mut bench, _) = Bench::in_conference();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    bench.command("anna", Command::Hold { conversation: conversation.clone() });
    let before = bench.sent.len();
    assert_eq!(bench.command("anna", Command::Retrieve { conversation }), Outcome::success());
    assert_eq!(bench.asked_of_caller(before), ["Post removeChannel", "Post addChannel"]);
    // Both of them, and before the colleague.
    let entered = bench.sent[before..].iter().filter(|it| it.uri.ends_with("/addChannel"));
    let entered: Vec<&str> = entered.map(|it| it.query[0].1.as_str()).collect();
    assert_eq!((entered.len(), entered[2]), (3, bench.switch.phones["1001"].leg.up().unwrap().as_str()));
}

#[test]
fn who_was_alone_between_three_and_three_comes_into_the_bridge_anew_too() {
    let (mut bench, party) = Bench::in_conference();
    let leg = bench.switch.phones["1001"].leg.up().unwrap().clone();
    let member = |bench: &Bench, member: &str, action| Command::Member {
        conversation: bench.conversation("anna", "1001", Role::Primary),
        member: member.to_owned(),
        action,
    };
    for channel in ["c1", party.as_str()] {
        let hold = member(&bench, channel, MemberAction::Hold);
        assert_eq!(bench.command("anna", hold), Outcome::success());
    }
    let before = bench.sent.len();
    let retrieve = member(&bench, &party, MemberAction::Retrieve);
    assert_eq!(bench.command("anna", retrieve), Outcome::success());
    let moved = bench.sent[before..].iter().filter(|it| it.query.iter().any(|(_, channel)| *channel == leg));
    let moved: Vec<&str> = moved.filter_map(|it| it.uri.split('/').next_back()).collect();
    assert_eq!(moved, ["removeChannel", "addChannel"]);
}
