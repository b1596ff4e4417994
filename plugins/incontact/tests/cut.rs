//! Connections that break in the middle of a command: each command ends in one clear failure, is not sent again, and
//! the desktop then shows what CXone has.
//!
//! The list at the end names every request that a command is made of. Each is cut before CXone has carried it out,
//! after, and together with all other connections, the agent's poll among them.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_plugin_api::{
    Code, Command, Ending, Json, StartOptions,
    command::RecordAction,
    report::{
        Availability, ChannelStatus, ChannelType, ConversationState as State, InteractionAt, InteractionState,
        Recording, Target,
    },
};
use serde_json::{Value, json};

/// Where an agent stands before the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// Logged in; nothing is activated and there is no agent session.
    LoggedIn,
    /// With an agent session, whose phone is not connected.
    PhoneDown,
    /// Not ready, for no reason.
    NotReady,
    Ready,
    /// A call is offered.
    Offered,
    /// A colleague consults this agent: the call is offered.
    Consulted,
    Talking,
    Held,
    Muted,
    Recording,
    Paused,
    /// In a call of his own to somebody, beside the first, which is held.
    Consulting,
    /// Both of them are held.
    BothHeld,
    Conference,
    /// The call is over.
    AfterWork,
    /// A chat or an e-mail is offered.
    Message(&'static str),
    /// The same, accepted.
    Accepted(&'static str),
}

/// An agent in a scene.
struct Stage {
    bench: Bench,
    anna: Desk,
    /// A colleague, where the scene needs one.
    _ben: Option<Desk>,
    /// The interaction, where there is one.
    key: String,
}

impl Stage {
    async fn set(scene: Scene) -> Self {
        let bench = Bench::new().await;
        let anna = bench.log_in("anna", "7001").await;
        if scene != Scene::LoggedIn {
            anna.activate("telephony").await;
        }
        if !matches!(scene, Scene::LoggedIn | Scene::PhoneDown | Scene::NotReady) {
            anna.done(Command::Ready { channel: "telephony".to_owned() }).await;
        }
        let mut stage = Self { bench, anna, _ben: None, key: String::new() };
        stage.play(scene).await;
        stage
    }

    async fn play(&mut self, scene: Scene) {
        let Self { bench, anna, .. } = self;
        match scene {
            Scene::LoggedIn | Scene::NotReady | Scene::Ready => return,
            Scene::PhoneDown => {
                let down = extension("session.request.incontact.agentleg.disconnect", Target::Session, json!({}));
                anna.data(down).await;
                return;
            }
            Scene::Offered => {
                self.key = bench.arrive(ANNA, "call");
                anna.offered(&self.key).await;
                return;
            }
            Scene::Consulted => {
                let ben = bench.ready("ben", "7002").await;
                let key = ben.talking(bench, BEN).await;
                let destination = format!("agent:{ANNA}");
                ben.done(Command::Consult { interaction: at(&key), destination }).await;
                anna.until("the consult is offered", |view| view.interactions().count() == 1).await;
                self.key = anna.keys().remove(0);
                self._ben = Some(ben);
                return;
            }
            Scene::Message(kind) | Scene::Accepted(kind) => {
                let channel = if kind == "chat" { ChannelType::Chat } else { ChannelType::Email };
                anna.add(channel, kind).await;
                anna.activate(kind).await;
                self.key = bench.arrive(ANNA, kind);
                anna.until("it is offered", |view| view.interaction(&self.key).is_some()).await;
                if scene == Scene::Accepted(kind) {
                    anna.done(Command::Accept { interaction: on(kind, &self.key) }).await;
                }
                return;
            }
            _ => self.key = anna.talking(bench, ANNA).await,
        }
        let key = self.key.as_str();
        let record = |action| Command::Record { interaction: at(key), action };
        match scene {
            Scene::Held => anna.done(Command::Hold { conversation: call(key) }).await,
            Scene::Muted => anna.done(Command::Mute { conversation: call(key) }).await,
            Scene::Recording => anna.done(record(RecordAction::Start)).await,
            Scene::Paused => {
                anna.done(record(RecordAction::Start)).await;
                anna.done(record(RecordAction::Pause)).await;
            }
            Scene::Consulting | Scene::BothHeld | Scene::Conference => {
                anna.done(Command::Consult { interaction: at(key), destination: "5550001".to_owned() }).await;
                let consult = anna.consult();
                anna.in_state(&consult, State::Talking).await;
                if scene == Scene::BothHeld {
                    anna.done(Command::Hold { conversation: conversation(key, &consult) }).await;
                } else if scene == Scene::Conference {
                    anna.done(Command::ConsultConference { interaction: at(key) }).await;
                }
            }
            Scene::AfterWork => anna.done(Command::Release { conversation: call(key) }).await,
            _ => {}
        }
    }

    /// The desktop shows exactly what CXone has.
    fn agrees(&self) -> bool {
        let (about, view) = (self.bench.about(ANNA), self.anna.session.view());
        let contacts = about["contacts"].as_array().unwrap();
        let (live, over): (Vec<&Value>, Vec<&Value>) =
            contacts.iter().partition(|contact| contact["Status"] != "Disconnected");
        let (calls, messages): (Vec<&Value>, Vec<&Value>) =
            live.iter().copied().partition(|contact| contact["Type"] == "CallContactEvent");
        let joined = calls.iter().filter(|contact| contact["Status"] == "Joined").count();
        let shown = view.interactions().map(|it| it.conversations.iter().flatten().count()).sum::<usize>();
        let ended = view.interactions().filter(|it| it.state == Some(InteractionState::Ended)).count();
        shown == calls.len() - joined.saturating_sub(1)
            && calls.iter().all(|contact| shows_call(&view, contact, &about["muted"]))
            && messages.iter().all(|contact| shows_message(&view, contact))
            && view.interactions().count() >= messages.len()
            && (ended > 0) == (!over.is_empty() && live.is_empty())
            && shows_agent(&view, &about, live.is_empty())
    }
}

fn on(channel: &str, key: &str) -> InteractionAt {
    InteractionAt { channel: channel.to_owned(), interaction: key.to_owned() }
}

fn shows_call(view: &jackfield_plugin_api::testkit::View, contact: &Value, muted: &Value) -> bool {
    let shown = view.conversation(contact["ContactID"].as_str().unwrap());
    let state = match contact["Status"].as_str().unwrap() {
        "Active" | "Masking" => State::Talking,
        "Holding" => State::Held,
        "Dialing" => State::Dialing,
        "Incoming" => State::Alerting,
        // Of those who are joined one stands for all.
        "Joined" => return shown.is_none_or(|it| it.state == Some(State::Talking)),
        other => panic!("{other}"),
    };
    let recording = match (contact["Status"] == "Masking", contact["IsLogging"] == "True") {
        (true, _) => Recording::Paused,
        (false, true) => Recording::On,
        (false, false) => Recording::Off,
    };
    let recorded = view.interaction(contact["ContactID"].as_str().unwrap()).and_then(|it| it.recording);
    shown.is_some_and(|it| it.state == Some(state) && it.muted.unwrap_or_default() == *muted)
        && recorded.is_none_or(|shown| shown == recording)
}

fn shows_message(view: &jackfield_plugin_api::testkit::View, contact: &Value) -> bool {
    let state = if contact["Status"] == "Incoming" { InteractionState::Alerting } else { InteractionState::Started };
    view.interaction(contact["ContactID"].as_str().unwrap()).is_some_and(|it| it.state == Some(state))
}

fn shows_agent(view: &jackfield_plugin_api::testkit::View, about: &Value, idle: bool) -> bool {
    let status = view.channel("telephony").and_then(|channel| channel.status.clone());
    // The phone may go down between calls; whose phone is connected is at work.
    let Some(ChannelStatus::Active(info)) = status else { return about["leg"] != "Active" };
    let availability = match about["state"].as_str().unwrap() {
        _ if about["acw"] == true => Availability::Acw,
        "Available" => Availability::Ready,
        "Unavailable" => Availability::NotReady,
        // What holds during a contact is what held before it.
        _ => return !idle,
    };
    let reason = about["reason"].as_str().filter(|reason| !reason.is_empty() && availability == Availability::NotReady);
    info.availability == Some(availability)
        && info.reason_code.as_deref().filter(|_| availability == Availability::NotReady) == reason
}

/// Cuts a request of a command in each way.
async fn cut(scene: Scene, request: &str, command: impl Fn(&Stage) -> Command) {
    for how in ["before", "after", "all connections"] {
        let stage = Stage::set(scene).await;
        let (bench, anna) = (&stage.bench, &stage.anna);
        let sent = bench.emulator.count(request);
        match how {
            "before" => bench.fault(request, json!("cut_before")),
            "after" => bench.fault(request, json!("cut_after")),
            _ => bench.fault(request, json!({"slow": {"millis": 60_000}})),
        }
        let killing = async {
            if how == "all connections" {
                eventually("the request is there", || bench.emulator.count(request) > sent).await;
                bench.emulator.cut_connections();
            }
        };
        let (failure, ()) = tokio::join!(anna.fails(command(&stage)), killing);
        assert_eq!(failure.code, Code::Timeout, "{request}, {how}: {failure}");
        assert!(failure.context.is_some(), "{request}, {how}: {failure}");
        assert_eq!(bench.emulator.count(request), sent + 1, "{request}, {how}: it is not sent again");
        anna.session.snapshot().await.unwrap();
        // Now, and after what was still under way.
        let what = format!("{request}, {how}: the desktop shows what CXone has: {}", bench.about(ANNA));
        eventually(&what, || stage.agrees()).await;
        bench.no_complaints();
    }
}

fn leg(verb: &str) -> Command {
    extension(&format!("session.request.incontact.agentleg.{verb}"), Target::Session, json!({}))
}

fn not_ready() -> Command {
    Command::NotReady { channel: "telephony".to_owned(), reason_code: "Lunch".to_owned(), reason_desc: None }
}

fn ready() -> Command {
    Command::Ready { channel: "telephony".to_owned() }
}

fn activate() -> Command {
    Command::Activate { channel: "telephony".to_owned(), queue: None, options: Json::empty_object() }
}

fn deactivate() -> Command {
    Command::Deactivate { channel: "telephony".to_owned(), queues: Vec::new(), reason: None }
}

fn dial_with_skill() -> Command {
    dial_with("5550001", json!({"skill": {"id": 200}}))
}

fn answer_consult(it: &Stage) -> Command {
    let view = it.anna.session.view();
    let offered = view.interactions().flat_map(|it| it.conversations.iter().flatten()).next().unwrap();
    Command::Answer { conversation: conversation(&it.key, &offered.key) }
}

fn release(it: &Stage) -> Command {
    Command::Release { conversation: call(&it.key) }
}

fn record(it: &Stage, action: RecordAction) -> Command {
    Command::Record { interaction: at(&it.key), action }
}

fn consult(it: &Stage) -> Command {
    Command::Consult { interaction: at(&it.key), destination: "5550001".to_owned() }
}

fn alternate(it: &Stage) -> Command {
    Command::Alternate { interaction: at(&it.key), hold: Some(it.anna.consult()), retrieve: it.key.clone() }
}

fn blind_transfer(it: &Stage) -> Command {
    Command::BlindTransfer { conversation: call(&it.key), destination: "5550001".to_owned() }
}

fn blind_conference(it: &Stage) -> Command {
    Command::BlindConference { conversation: call(&it.key), destination: "5550001".to_owned() }
}

fn dispose(it: &Stage) -> Command {
    Command::SetDisposition { interaction: at(&it.key), disposition: "Sold".to_owned() }
}

fn set_data(it: &Stage) -> Command {
    Command::SetInteractionData { interaction: at(&it.key), key: "a".to_owned(), value: "b".into() }
}

fn signal(it: &Stage) -> Command {
    let name = "interaction.request.incontact.signal";
    extension(name, Target::Interaction(at(&it.key)), json!({"p1": "x"}))
}

/// Each line is a test: where the agent stands, which request is cut, and the command that makes it.
macro_rules! cut_during {
    ($($name:ident: $scene:expr, $request:literal, $command:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            cut($scene, $request, $command).await;
        })*
    };
}

cut_during! {
    cut_during_activate: Scene::LoggedIn, "agent-phone/dial", |_| activate();
    cut_during_the_state_change_of_deactivate: Scene::Ready, "state", |_| deactivate();
    cut_during_deactivate: Scene::NotReady, "agent-phone/end", |_| deactivate();
    cut_during_agent_leg_connect: Scene::PhoneDown, "agent-phone/dial", |_| leg("connect");
    cut_during_agent_leg_disconnect: Scene::NotReady, "agent-phone/end", |_| leg("disconnect");
    cut_during_ready: Scene::NotReady, "state", |_| ready();
    cut_during_not_ready: Scene::Ready, "state", |_| not_ready();
    cut_during_not_ready_in_a_call: Scene::Talking, "state", |_| not_ready();
    cut_during_dial: Scene::Ready, "dial-phone", |_| dial_with_skill();
    cut_during_answer: Scene::Offered, "interactions/accept", |it| Command::Answer { conversation: call(&it.key) };
    cut_during_answer_of_a_consult: Scene::Consulted, "interactions/accept-consult", answer_consult;
    cut_during_reject: Scene::Offered, "interactions/reject", |it| Command::Reject { interaction: at(&it.key) };
    cut_during_release: Scene::Talking, "interactions/end", release;
    cut_during_release_of_a_conference: Scene::Conference, "interactions/transfer-calls", release;
    cut_during_hold: Scene::Talking, "interactions/hold", |it| Command::Hold { conversation: call(&it.key) };
    cut_during_retrieve: Scene::Held, "interactions/resume", |it| Command::Retrieve { conversation: call(&it.key) };
    cut_during_mute: Scene::Talking, "agent-phone/mute", |it| Command::Mute { conversation: call(&it.key) };
    cut_during_unmute: Scene::Muted, "agent-phone/unmute", |it| Command::Unmute { conversation: call(&it.key) };
    cut_during_tones: Scene::Talking, "send-dtmf",
        |it| Command::SendDtmf { conversation: call(&it.key), digits: "1".to_owned() };
    cut_during_recording_start: Scene::Talking, "interactions/record", |it| record(it, RecordAction::Start);
    cut_during_recording_pause: Scene::Recording, "interactions/mask", |it| record(it, RecordAction::Pause);
    cut_during_recording_resume: Scene::Paused, "interactions/unmask", |it| record(it, RecordAction::Resume);
    cut_during_recording_stop: Scene::Recording, "interactions/stop-record", |it| record(it, RecordAction::Stop);
    cut_during_the_hold_before_a_consult: Scene::Talking, "interactions/hold", consult;
    cut_during_consult: Scene::Talking, "dial-phone", consult;
    cut_during_the_hold_of_alternate: Scene::Consulting, "interactions/hold", alternate;
    cut_during_alternate: Scene::Consulting, "interactions/resume", alternate;
    cut_during_alternate_of_two_held_calls: Scene::BothHeld, "interactions/resume",
        |it| Command::Alternate { interaction: at(&it.key), hold: None, retrieve: it.key.clone() };
    cut_during_transfer: Scene::Consulting, "interactions/transfer-calls",
        |it| Command::ConsultTransfer { interaction: at(&it.key) };
    cut_during_conference: Scene::Consulting, "interactions/conference-calls",
        |it| Command::ConsultConference { interaction: at(&it.key) };
    cut_during_the_hold_of_a_blind_transfer: Scene::Talking, "interactions/hold", blind_transfer;
    cut_during_the_dial_of_a_blind_transfer: Scene::Talking, "dial-phone", blind_transfer;
    cut_during_blind_transfer: Scene::Talking, "interactions/transfer-calls", blind_transfer;
    cut_during_the_hold_of_a_blind_conference: Scene::Talking, "interactions/hold", blind_conference;
    cut_during_the_dial_of_a_blind_conference: Scene::Talking, "dial-phone", blind_conference;
    cut_during_blind_conference: Scene::Talking, "interactions/conference-calls", blind_conference;
    cut_during_disposition: Scene::Talking, "interactions/disposition", dispose;
    cut_during_disposition_in_after_contact_work: Scene::AfterWork, "interactions/disposition", dispose;
    cut_during_completion: Scene::AfterWork, "state", |it| Command::Complete { interaction: at(&it.key) };
    cut_during_set_data: Scene::Talking, "interactions/custom-data", set_data;
    cut_during_signal: Scene::Talking, "interactions/signal", signal;
    cut_during_accept_of_a_chat: Scene::Message("chat"), "interactions/accept",
        |it| Command::Accept { interaction: on("chat", &it.key) };
    cut_during_reject_of_a_chat: Scene::Message("chat"), "interactions/reject",
        |it| Command::Reject { interaction: on("chat", &it.key) };
    cut_during_completion_of_a_chat: Scene::Accepted("chat"), "interactions/end",
        |it| Command::Complete { interaction: on("chat", &it.key) };
    cut_during_accept_of_an_email: Scene::Message("email"), "interactions/accept",
        |it| Command::Accept { interaction: on("email", &it.key) };
    cut_during_reject_of_an_email: Scene::Message("email"), "interactions/reject",
        |it| Command::Reject { interaction: on("email", &it.key) };
    cut_during_completion_of_an_email: Scene::Accepted("email"), "interactions/end",
        |it| Command::Complete { interaction: on("email", &it.key) };
}

#[tokio::test]
async fn cut_during_log_in_start_and_log_out() {
    let bench = Bench::new().await;
    bench.fault("token", json!("cut_before"));
    assert_eq!(bench.tenant.log_in("anna", "anna-secret").await.err().unwrap().code, Code::LinkDown);
    let session = bench.tenant.log_in("anna", "anna-secret").await.unwrap();
    bench.fault("agent-sessions/join", json!("cut_before"));
    assert!(session.start_with(StartOptions::new(Some("7001".to_owned()))).await.is_err());
    session.start_with(StartOptions::new(Some("7001".to_owned()))).await.unwrap();
    let anna = Desk { session };
    // Started, though the answer was lost: it is joined.
    bench.fault("agent-sessions", json!("cut_after"));
    anna.activate("telephony").await;
    bench.fault("agent-sessions", json!("cut_before"));
    let failure = anna.session.log_out(Ending::LogOut).await.unwrap_err();
    assert_eq!(failure.code, Code::Rejected, "{failure}");
    anna.done(ready()).await;
    anna.session.log_out(Ending::LogOut).await.unwrap();
}
