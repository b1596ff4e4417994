//! Parts of an agent's day: what becomes of each command is the same however CXone behaves and writes.

use jackfield_cxone_emulator::behaviour::Behaviour;
use jackfield_plugin_api::{
    Command, Ending, StartOptions,
    command::RecordAction,
    report::{ConversationState as State, InteractionAt, InteractionState, MemberRole, Reason, Target},
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;

/// Makes a test of each part of the day, under all the behaviours that an expression gives.
#[allow(unused_macros)]
macro_rules! day_under {
    ($behaviours:expr) => {
        common::day::day_under! { $behaviours;
            an_offer_is_answered_held_and_released
            a_dialled_call_has_all_that_can_be_done_in_one
            a_group_has_a_call_a_chat_and_an_email
            a_consult_is_alternated_and_transferred
            a_consult_becomes_a_conference_that_is_held_and_left
            a_blind_transfer_is_made_and_one_that_fails_leaves_the_call_as_it_was
            a_blind_conference_is_joined_and_one_that_fails_leaves_the_call_as_it_was
            a_customer_moves_to_a_colleague_and_stays_one_conversation_and_a_customer
            a_crash_in_the_middle_of_a_consult_ends_nothing_and_the_transfer_is_made_after_it
            a_joined_session_shows_its_calls_and_ends_none
            a_call_on_hold_or_masked_is_released
        }
    };
    ($behaviours:expr; $($part:ident)*) => {
        $(#[tokio::test]
        async fn $part() {
            common::day::under_each($behaviours, common::day::$part).await;
        })*
    };
}
#[allow(unused_imports)]
pub(crate) use day_under;

/// So many are played at a time, by all tests: a day has its deadlines.
static TURNS: Semaphore = Semaphore::const_new(8);

/// Plays a part of the day under each behaviour; those under which it fails are in its panic.
pub async fn under_each<F: Future<Output = ()> + Send + 'static>(
    behaviours: impl IntoIterator<Item = Behaviour>,
    part: impl Fn(Behaviour) -> F,
) {
    let running: Vec<_> = behaviours.into_iter().map(|behaviour| (behaviour, tokio::spawn(part(behaviour)))).collect();
    let mut failed = Vec::new();
    for (behaviour, running) in running {
        if running.await.is_err() {
            failed.push(behaviour);
        }
    }
    assert!(failed.is_empty(), "it fails under {failed:#?}");
}

/// An agent in a call, who has answered it with his phone down, as CXone leaves it between calls.
async fn in_a_call(behaviour: Behaviour) -> (Bench, Desk, String) {
    let bench = Bench::that(behaviour).await;
    let anna = bench.ready("anna", "7001").await;
    bench.emulator.control("hang-up-phone", json!({"agent": ANNA}));
    eventually("the phone is down", || bench.about(ANNA)["leg"] == "Disconnected").await;
    let key = anna.talking(&bench, ANNA).await;
    assert!(is(&anna.session.view(), &key, State::Talking), "{behaviour:?}");
    (bench, anna, key)
}

/// The contact ends and is completed.
async fn over(bench: &Bench, anna: &Desk, key: &str, reason: Reason) {
    let view = anna.session.view();
    let interaction = view.interaction(key).unwrap();
    assert_eq!((interaction.state, interaction.reason), (Some(InteractionState::Ended), Some(reason)));
    anna.done(Command::Complete { interaction: at(key) }).await;
    assert_eq!(anna.keys(), Vec::<String>::new());
    bench.no_complaints();
}

/// An agent in a call asks somebody outside for advice, who answers.
async fn consulting(anna: &Desk, key: &str) -> String {
    anna.done(Command::Consult { interaction: at(key), destination: "5550001".to_owned() }).await;
    let consult = anna.consult();
    anna.in_state(&consult, State::Talking).await;
    consult
}

/// The call is held, retrieved and released.
async fn held_and_released(bench: &Bench, anna: &Desk, key: &str) {
    anna.done(Command::Hold { conversation: call(key) }).await;
    anna.done(Command::Retrieve { conversation: call(key) }).await;
    anna.done(Command::Release { conversation: call(key) }).await;
    over(bench, anna, key, Reason::Released).await;
}

pub async fn an_offer_is_answered_held_and_released(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    let view = anna.session.view();
    let members = view.conversation(&key).unwrap().members.clone().unwrap();
    assert_eq!(members[0].role, MemberRole::Customer, "{behaviour:?}");
    held_and_released(&bench, &anna, &key).await;
}

pub async fn a_dialled_call_has_all_that_can_be_done_in_one(behaviour: Behaviour) {
    let bench = Bench::that(behaviour).await;
    let anna = bench.ready("anna", "7001").await;
    bench.emulator.control("hang-up-phone", json!({"agent": ANNA}));
    eventually("the phone is down", || bench.about(ANNA)["leg"] == "Disconnected").await;
    anna.done(dial_with("5550001", json!({"skill": {"id": "200"}}))).await;
    let key = anna.keys().remove(0);
    anna.in_state(&key, State::Talking).await;
    anna.done(Command::Mute { conversation: call(&key) }).await;
    anna.done(Command::Unmute { conversation: call(&key) }).await;
    anna.done(Command::SendDtmf { conversation: call(&key), digits: "12#".to_owned() }).await;
    for action in [RecordAction::Start, RecordAction::Pause, RecordAction::Resume, RecordAction::Stop] {
        anna.done(Command::Record { interaction: at(&key), action }).await;
    }
    anna.done(Command::SetInteractionData { interaction: at(&key), key: "case".to_owned(), value: "42".into() }).await;
    let signal = "interaction.request.incontact.signal";
    anna.data(extension(signal, Target::Interaction(at(&key)), json!({"p1": "go"}))).await;
    anna.done(Command::SetDisposition { interaction: at(&key), disposition: "Sold".to_owned() }).await;
    held_and_released(&bench, &anna, &key).await;
}

pub async fn a_group_has_a_call_a_chat_and_an_email(behaviour: Behaviour) {
    let bench = Bench::that(behaviour).await;
    let session = bench.tenant.log_in("anna", "anna-secret").await.unwrap();
    session.start_with(StartOptions::new(None)).await.unwrap();
    let anna = Desk { session };
    let group = Command::AddChannelGroup { name: "7001".to_owned(), chat: true, email: true, callback: false };
    anna.done(group).await;
    for channel in ["telephony", "chat", "email"] {
        anna.activate(channel).await;
    }
    anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
    let key = anna.talking(&bench, ANNA).await;
    held_and_released(&bench, &anna, &key).await;
    for channel in ["chat", "email"] {
        let key = bench.arrive(ANNA, channel);
        anna.until("it is offered", |view| view.interaction(&key).is_some()).await;
        let at = || InteractionAt { channel: channel.to_owned(), interaction: key.clone() };
        anna.done(Command::Accept { interaction: at() }).await;
        anna.done(Command::Complete { interaction: at() }).await;
    }
    anna.done(Command::RemoveChannelGroup { group: "group 7001".to_owned() }).await;
    assert!(anna.session.view().channel("telephony").is_none(), "{behaviour:?}");
    bench.no_complaints();
}

pub async fn a_consult_is_alternated_and_transferred(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    let consult = consulting(&anna, &key).await;
    assert_eq!(anna.keys(), [key.as_str()], "{behaviour:?}: the consult is part of the interaction");
    assert!(is(&anna.session.view(), &key, State::Held));
    let (hold, retrieve) = (Some(consult.clone()), key.clone());
    anna.done(Command::Alternate { interaction: at(&key), hold, retrieve }).await;
    assert!(is(&anna.session.view(), &key, State::Talking) && is(&anna.session.view(), &consult, State::Held));
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    over(&bench, &anna, &key, Reason::Transferred).await;
}

pub async fn a_consult_becomes_a_conference_that_is_held_and_left(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    let consult = consulting(&anna, &key).await;
    anna.done(Command::ConsultConference { interaction: at(&key) }).await;
    let view = anna.session.view();
    assert!(view.conversation(&consult).is_none());
    assert_eq!(view.conversation(&key).unwrap().members.as_ref().unwrap().len(), 2);
    held_and_released(&bench, &anna, &key).await;
}

pub async fn a_blind_transfer_is_made_and_one_that_fails_leaves_the_call_as_it_was(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    let to = |number: &str| Command::BlindTransfer { conversation: call(&key), destination: number.to_owned() };
    if !behaviour.connects_dialing {
        anna.fails(to("486")).await;
        assert!(is(&anna.session.view(), &key, State::Talking), "{behaviour:?}: the call is taken back");
        assert_eq!(bench.about(ANNA)["contacts"].as_array().unwrap().len(), 1, "{behaviour:?}");
    }
    drop(anna.session.take_reports());
    anna.done(to("5550001")).await;
    let reports = anna.session.take_reports();
    let told = reports.iter().flat_map(|it| &it.channels).flat_map(|it| &it.interactions);
    let mut shown = told.flat_map(|it| it.conversations.iter().flatten());
    assert!(shown.all(|it| it.key == key && it.state != Some(State::Held)), "{behaviour:?}: {reports:#?}");
    over(&bench, &anna, &key, Reason::Transferred).await;
}

pub async fn a_blind_conference_is_joined_and_one_that_fails_leaves_the_call_as_it_was(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    let to = |number: &str| Command::BlindConference { conversation: call(&key), destination: number.to_owned() };
    anna.fails(to("486")).await;
    anna.in_state(&key, State::Talking).await;
    assert_eq!(anna.keys(), [key.as_str()], "{behaviour:?}");
    anna.done(to("5550001")).await;
    assert_eq!(anna.session.view().conversation(&key).unwrap().members.as_ref().unwrap().len(), 2);
    anna.done(Command::Release { conversation: call(&key) }).await;
    over(&bench, &anna, &key, Reason::Released).await;
}

pub async fn a_customer_moves_to_a_colleague_and_stays_one_conversation_and_a_customer(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    // Not ready: a consult comes to him all the same.
    let ben = bench.log_in("ben", "7002").await;
    ben.activate("telephony").await;
    anna.done(Command::Consult { interaction: at(&key), destination: format!("agent:{BEN}") }).await;
    let consult = anna.consult();
    ben.takes(&consult).await;
    let theirs = ben.keys().remove(0);
    anna.in_state(&consult, State::Talking).await;
    anna.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    ben.until("the customer is a member", |view| {
        let members = view.conversation(&consult).and_then(|it| it.members.clone()).unwrap_or_default();
        members.iter().any(|it| it.address.as_deref() == Some("5551234") && it.role == MemberRole::Customer)
    })
    .await;
    let view = ben.session.view();
    assert_eq!(view.interactions().count(), 1, "{behaviour:?}");
    assert!(is(&view, &consult, State::Talking), "{behaviour:?}: the conversation goes on under its own key");
    assert_eq!(view.interaction(&theirs).unwrap().data["direction"].as_ref().unwrap().get(), "\"inbound\"");
    ben.done(Command::Hold { conversation: conversation(&theirs, &consult) }).await;
    over(&bench, &anna, &key, Reason::Transferred).await;
}

pub async fn a_crash_in_the_middle_of_a_consult_ends_nothing_and_the_transfer_is_made_after_it(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    let consult = consulting(&anna, &key).await;
    let again = bench.after_a_crash("anna", anna).await;
    let view = again.session.view();
    assert!(is(&view, &key, State::Held) && is(&view, &consult, State::Talking), "{behaviour:?}: {view:#?}");
    assert_eq!(again.keys(), [key.as_str()], "{behaviour:?}");
    again.done(Command::ConsultTransfer { interaction: at(&key) }).await;
    over(&bench, &again, &key, Reason::Transferred).await;
}

pub async fn a_joined_session_shows_its_calls_and_ends_none(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    anna.session.log_out(Ending::Leave).await.unwrap();
    let second = bench.log_in("anna", "7001").await;
    assert!(is(&second.session.view(), &key, State::Talking), "{behaviour:?}");
    // A connection that breaks makes it join, and so replay, in the middle of the call.
    bench.emulator.control("fault", json!({"call": "get-next-event", "what": "cut_before"}));
    bench.emulator.cut_connections();
    second.done(Command::Hold { conversation: call(&key) }).await;
    let ended = |report: &jackfield_plugin_api::Report| {
        report.channels.iter().flat_map(|it| &it.interactions).any(|it| it.gone || it.state.is_some())
    };
    assert!(!second.session.reports().iter().any(ended), "{behaviour:?}: the call is told as ended");
    bench.no_complaints();
}

pub async fn a_call_on_hold_or_masked_is_released(behaviour: Behaviour) {
    let (bench, anna, key) = in_a_call(behaviour).await;
    anna.done(Command::Hold { conversation: call(&key) }).await;
    anna.done(Command::Release { conversation: call(&key) }).await;
    over(&bench, &anna, &key, Reason::Released).await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Record { interaction: at(&key), action: RecordAction::Pause }).await;
    anna.done(Command::Release { conversation: call(&key) }).await;
    over(&bench, &anna, &key, Reason::Released).await;
}
