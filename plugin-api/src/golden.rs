//! The texts of all messages, as the released versions of this crate write and read them.
//!
//! Owns: the comparison of what is written today with the files under `golden/`, one folder for each minor version, one
//! file for each message, one text a line. A line is never changed: an older host and an older library write and read
//! it. What a later minor version adds gets lines of its own, in a folder of its own. Set `JACKFIELD_WRITE_GOLDEN` to write
//! files that do not exist yet; one that does is never written over.
#![allow(clippy::unwrap_used)]

use std::{borrow::Cow, collections::BTreeSet, fmt::Debug, fs, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    Code, Command, Ending, Failure, Json, Link, Login, Manifest, Outcome, Report, Settings, StartOptions, Tenant,
    Timestamp,
    command::{MemberAction, ObjectKind, RecordAction, StandardCommand},
    export::Section,
    lists::{
        Address, DestinationType, ListChange, ListEntry, ListKind, ListPage, ListParent, ListRequest, Presence,
        PresenceState,
    },
    manifest::MetricType,
    report::{
        Availability, Cause, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationAt,
        ConversationState, Direction, ExtensionEvent, Group, Interaction, InteractionAt, InteractionState, Member,
        MemberRole, Pending, Reason, Recording, Role, Supervision, SupervisionMode, Target,
    },
    wire::{
        self, Answer, BareRequest, Breach, BreachKind, Connect, Done, Execute, Hello, Kind, Level, Log, LogIn, LogOut,
        Metric, Resume, Start,
    },
};

/// The files that these tests are about.
const FILES: [&str; 17] = [
    "answer", "breach", "command", "connect", "done", "hello", "link", "log", "log_in", "log_out", "metric", "report",
    "request", "resume", "section", "start", "words",
];

/// The files with what 1.1 has added.
const FILES_1_1: [&str; 5] = ["answer", "command", "report", "section", "words"];

fn folder(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

/// Holds messages to the lines of a file of 1.0: each is written as its line, and its line is read as it.
fn holds<T: Serialize + DeserializeOwned + Debug>(file: &str, messages: &[T]) {
    assert!(FILES.contains(&file), "{file} is not listed");
    holds_in("1.0", file, messages);
}

/// The same for what 1.1 has added.
fn holds_1_1<T: Serialize + DeserializeOwned + Debug>(file: &str, messages: &[T]) {
    assert!(FILES_1_1.contains(&file), "{file} is not listed");
    holds_in("1.1", file, messages);
}

fn holds_in<T: Serialize + DeserializeOwned + Debug>(version: &str, file: &str, messages: &[T]) {
    let path = folder(version).join(format!("{file}.jsonl"));
    let written: Vec<String> = messages.iter().map(|message| wire::write(message).unwrap()).collect();
    if std::env::var_os("JACKFIELD_WRITE_GOLDEN").is_some() && !path.exists() {
        fs::create_dir_all(folder(version)).unwrap();
        fs::write(&path, written.join("\n") + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let golden: Vec<&str> = text.lines().collect();
    assert_eq!(written.len(), golden.len(), "{file}: as many messages as lines");
    for ((message, written), golden) in messages.iter().zip(&written).zip(golden) {
        assert_eq!(written, golden, "{file}: what is written is what was released");
        let read: T = wire::read(golden).unwrap_or_else(|error| panic!("{golden} is not read any more: {error}"));
        assert_eq!(format!("{read:?}"), format!("{message:?}"), "{file}: what was released is read as it was meant");
        assert_eq!(wire::write(&read).unwrap(), golden, "{file}: nothing is lost by reading");
    }
}

fn text(json: &str) -> Json {
    Json::from_text(json.to_owned()).unwrap()
}

fn failure() -> Failure {
    Failure::new(Code::Busy, "busy").context("486")
}

fn interaction_at() -> InteractionAt {
    InteractionAt { channel: "c".into(), interaction: "i".into() }
}

fn conversation_at() -> ConversationAt {
    ConversationAt { channel: "c".into(), interaction: "i".into(), conversation: "v".into() }
}

/// With something under each member that there is.
fn full_report() -> Report {
    let mut interaction = Interaction::create("i", Direction::Inbound)
        .state(InteractionState::Ended)
        .reason(Reason::Failed)
        .cause(Cause::NoAnswer)
        .recording(Recording::Paused)
        .data("number", text("2.50"))
        .data("text", "\"quoted\" \\ and\nбroken");
    interaction.was = Some("before".to_owned());
    interaction.url = Some("https://example.org/?a=b".to_owned());
    interaction.data.insert("removed".to_owned(), None);
    let member = Member::new("m", "555", MemberRole::External).name("Ada");
    let mut conversation =
        Conversation::new("v", Role::Consult, ConversationState::Ended).muted(true).member(member).was("u");
    conversation.reason = Some(Reason::Failed);
    conversation.cause = Some(Cause::Busy);
    let later = Pending::new(Availability::Acw, Some("8".to_owned()), Some("later".to_owned()));
    let info = ChannelInfo::not_ready(Some("7".to_owned()), Some("lunch".to_owned())).queue("sales").pending(later);
    let mut channel = Channel::create("c", ChannelType::Telephony, "101", "phone")
        .group("all")
        .status(ChannelStatus::Active(info))
        .interaction(interaction.conversation(conversation))
        .interaction(Interaction::gone("old"))
        .interaction(Interaction::new("n").no_conversations());
    channel.was = Some("d".to_owned());
    let event = |on| ExtensionEvent::new(on, "session.acme.told", text(r#"{"a":[1,{}]}"#));
    Report::snapshot()
        .group(Group::new("all", "All"))
        .group(Group::gone("old"))
        .channel(channel)
        .channel(Channel::gone("e"))
        .channel(Channel::new("f").status(ChannelStatus::Inactive))
        .channel(Channel::new("g").status(ChannelStatus::Unavailable))
        .event(event(Target::Session))
        .event(event(Target::Group("all".into())))
        .event(event(Target::Channel("c".into())))
        .event(event(Target::Interaction(interaction_at())))
        .event(event(Target::Conversation(conversation_at())))
}

fn all_commands() -> Vec<Command> {
    let (interaction, conversation) = (interaction_at(), conversation_at());
    let (channel, destination) = ("c".to_owned(), "555".to_owned());
    let options = || text(r#"{"queue":"sales"}"#);
    vec![
        Command::AddChannel { endpoint: "101".into(), kind: ChannelType::Chat },
        Command::RemoveChannel { channel: channel.clone() },
        Command::AddChannelGroup { name: "all".into(), chat: true, email: false, callback: true },
        Command::RemoveChannelGroup { group: "g".into() },
        Command::Activate { channel: channel.clone(), queue: Some("sales".into()), options: options() },
        Command::Activate { channel: channel.clone(), queue: None, options: text("{}") },
        Command::Deactivate { channel: channel.clone(), queues: vec!["a".into(), "b".into()], reason: Some(-1) },
        Command::Deactivate { channel: channel.clone(), queues: vec![], reason: None },
        Command::Ready { channel: channel.clone() },
        Command::NotReady { channel: channel.clone(), reason_code: "7".into(), reason_desc: Some("lunch".into()) },
        Command::Dial { channel, destination: destination.clone(), extensions: options() },
        Command::Accept { interaction: interaction.clone() },
        Command::Reject { interaction: interaction.clone() },
        Command::SetInteractionData { interaction: interaction.clone(), key: "k".into(), value: text("[2.50]") },
        Command::SetDisposition { interaction: interaction.clone(), disposition: "sold".into() },
        Command::Complete { interaction: interaction.clone() },
        Command::Consult { interaction: interaction.clone(), destination: destination.clone() },
        Command::Alternate { interaction: interaction.clone(), hold: Some("v".into()), retrieve: "w".into() },
        Command::ConsultTransfer { interaction: interaction.clone() },
        Command::ConsultConference { interaction: interaction.clone() },
        Command::Record { interaction: interaction.clone(), action: RecordAction::Start },
        Command::Answer { conversation: conversation.clone() },
        Command::Release { conversation: conversation.clone() },
        Command::Hold { conversation: conversation.clone() },
        Command::Retrieve { conversation: conversation.clone() },
        Command::Mute { conversation: conversation.clone() },
        Command::Unmute { conversation: conversation.clone() },
        Command::SendDtmf { conversation: conversation.clone(), digits: "1#".into() },
        Command::BlindTransfer { conversation: conversation.clone(), destination: destination.clone() },
        Command::BlindConference { conversation: conversation.clone(), destination },
        Command::Extension {
            name: "conversation.request.acme.do".into(),
            target: Target::Conversation(conversation),
            data: options(),
        },
        Command::Extension { name: "session.request.acme.do".into(), target: Target::Session, data: text("{}") },
    ]
}

fn commands_of_lists() -> [Command; 5] {
    let kind = ListKind::Destinations;
    let mut page = ListRequest::new(kind, 50);
    page.query = Some("ada".to_owned());
    page.under = Some(ListParent::Entry("book".to_owned()));
    page.after = Some("7".to_owned());
    let mut of_interaction = ListRequest::new(ListKind::Dispositions, 1);
    of_interaction.under = Some(ListParent::Interaction(interaction_at()));
    [
        Command::List(page),
        Command::List(of_interaction),
        Command::List(ListRequest::new(kind, 200)),
        Command::Watch { kind },
        Command::Unwatch { kind },
    ]
}

fn commands_to_members() -> [Command; 5] {
    use MemberAction as A;
    let command = |action| Command::Member { conversation: conversation_at(), member: "m".into(), action };
    [A::Remove, A::Mute, A::Unmute, A::Hold, A::Retrieve].map(command)
}

fn supervisions() -> [Command; 3] {
    SupervisionMode::ALL.map(|mode| Command::Supervise { agent: "agent-1".into(), mode })
}

fn commands_for_colleagues() -> [Command; 3] {
    let not_ready =
        |reason_desc| Command::ColleagueNotReady { agent: "agent-1".into(), reason_code: "7".into(), reason_desc };
    [Command::ColleagueReady { agent: "agent-1".into() }, not_ready(Some("lunch".into())), not_ready(None)]
}

/// With something under each member that there is.
fn full_entry() -> ListEntry {
    let presence = Presence::new(PresenceState::NotReady).reason(Some("7".to_owned()), Some("lunch".to_owned()));
    let mut entry = ListEntry::new("agent-1")
        .name("Ada")
        .destination(DestinationType::Colleague)
        .channel_type(ChannelType::Telephony)
        .address(Address::new("101").label("desk"))
        .address(Address::new("102"))
        .presence(presence.since(Timestamp(1_700_000_000_000)));
    (entry.waiting, entry.waiting_since, entry.ready) = (Some(3), Some(Timestamp(1_700_000_000_001)), Some(0));
    entry.in_use = Some(true);
    entry.data.insert("skill".to_owned(), text("2.50"));
    entry
}

#[test]
fn lists_are_written_and_read_as_they_were_released() {
    let page = ListPage::new(vec![full_entry(), ListEntry::new("b")]).next("b");
    holds_1_1("answer", &[Outcome::from(page), Outcome::from(ListPage::new(Vec::new()))]);
    let change = ListChange::new(ListKind::Queues).changed(full_entry()).removed("c");
    let lists = Report::new().list(change).list(ListChange::reload(ListKind::Groups));
    let at = Timestamp(1_700_000_000_002);
    let call = Conversation::new("v", Role::Primary, ConversationState::Talking).since(at);
    let found = Interaction::create("i", Direction::Inbound).since(at).conversation(call);
    let times = Report::new().channel(Channel::new("c").since(at).interaction(found));
    let unknown = Interaction::create("i", Direction::Inbound).recording_unknown().disposition("sold");
    let unknown = Report::new().channel(Channel::new("c").interaction(unknown));
    let member = |key: &str| Member::new(key, "555", MemberRole::External);
    let conference = Conversation::new("v", Role::Primary, ConversationState::Talking);
    let conference = conference.member(member("m").muted(true)).member(member("n").held(true)).member(member("o"));
    let conference = Interaction::new("i").conversation(conference);
    let conference = Report::new().channel(Channel::new("c").interaction(conference));
    let supervision = Supervision::new("ada", SupervisionMode::Whisper);
    let supervision = Interaction::create("i", Direction::Internal).supervises(supervision);
    let supervision = Report::new().channel(Channel::new("c").interaction(supervision));
    holds_1_1("report", &[lists, times, unknown, conference, supervision]);
    let kinds = ListKind::ALL.map(|kind| serde_json::to_value(kind).unwrap());
    assert_eq!(kinds, ListKind::ALL.map(|kind| json!(kind.as_str())));
    use DestinationType as D;
    use PresenceState as P;
    holds_1_1(
        "words",
        &[
            words("list", &ListKind::ALL),
            words("destination", &[D::Colleague, D::Queue, D::External, D::Book]),
            words("presence", &[P::Ready, P::NotReady, P::Acw, P::Busy, P::Offline]),
            words("supervision", &SupervisionMode::ALL),
        ],
    );
}

#[test]
fn a_manifest_with_lists_is_read_as_it_was_released() {
    let manifest = json!({
        "id": "acme", "version": "1.2.3", "vendor": "Acme", "platform": "acme", "channelTypes": [], "commands": [],
        "lists": [{"kind": "reasons"}, {"kind": "queues", "watch": true}], "settings": {},
    });
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    let (api, package) = ("1.1.0".to_owned(), "acme-adapter".to_owned());
    holds_1_1("section", &[Section { api, package, version: "1.2.3".into(), panic: "unwind".into(), manifest }]);
}

#[test]
fn commands_are_written_and_read_as_they_were_released() {
    let messages: Vec<_> =
        all_commands().into_iter().map(|it| Execute { request: 7, command: Cow::Owned(it) }).collect();
    holds("command", &messages);
    // `standard` knows all commands, or it would not compile; so all standard commands lead to one of the above.
    let others = [RecordAction::Stop, RecordAction::Pause, RecordAction::Resume];
    let others = others.map(|action| Command::Record { interaction: interaction_at(), action });
    let lists = commands_of_lists();
    let members = commands_to_members();
    let supervisions = supervisions();
    let colleagues = commands_for_colleagues();
    let later = lists.iter().chain(&members).chain(&supervisions).chain(&colleagues);
    let messages: Vec<_> = later.clone().map(|it| Execute { request: 7, command: Cow::Borrowed(it) }).collect();
    holds_1_1("command", &messages);
    let standard: Vec<StandardCommand> =
        all_commands().iter().chain(&others).chain(later).flat_map(|command| command.standard().to_vec()).collect();
    for command in StandardCommand::ALL {
        assert!(standard.contains(command), "{} has no golden text", command.name());
    }
}

#[test]
fn the_other_requests_of_an_agent_are_written_and_read_as_they_were_released() {
    holds("request", &[BareRequest { request: u64::MAX }]);
    let start =
        |extension: Option<&str>| Start { request: 7, options: StartOptions::new(extension.map(str::to_owned)) };
    holds("start", &[start(Some("101")), start(None)]);
    holds("log_out", &[Ending::LogOut, Ending::Leave].map(|ending| LogOut { request: 7, ending }));
}

#[test]
fn what_is_said_of_tenants_and_agents_is_written_and_read_as_it_was_released() {
    holds("hello", &[Hello { log: Level::Warn }]);
    let settings = Settings::new(json!({"url": "https://example.org"}));
    holds("connect", &[Connect { tenant: Tenant::new("acme", settings) }]);
    let login = Login::new("7001", "secret", "session").model(Some("desk".to_owned()));
    let again = Login::again("7001", "session", vec![0, 255]);
    holds("log_in", &[login, again].map(|login| LogIn { platform: 3, login }));
    holds("done", &[Done { of: Kind::LOAD, failure: None }, Done { of: Kind::LOG_IN, failure: Some(failure()) }]);
}

#[test]
fn answers_are_written_and_read_as_they_were_released() {
    let answer = |report: Option<Report>, outcome| Answer {
        request: 7,
        report: report.map(Cow::Owned),
        outcome: Cow::Owned(outcome),
    };
    holds(
        "answer",
        &[
            answer(None, Outcome::success()),
            answer(Some(Report::new().channel(Channel::new("c"))), Outcome::data(text(r#"{"a":1.0}"#))),
            answer(None, Outcome::NeedInfo(text(r#"{"id":"skill"}"#))),
            answer(None, failure().into()),
        ],
    );
}

#[test]
fn reports_are_written_and_read_as_they_were_released() {
    holds("report", &[full_report(), Report::new()]);
}

#[test]
fn what_else_a_plugin_says_is_written_and_read_as_it_was_released() {
    holds("link", &[Link::Up, Link::Down { reason: "gone".into() }]);
    holds("resume", &[Resume { state: vec![0, 127, 255] }, Resume { state: Vec::new() }]);
    let log = |suppressed| Log { level: Level::Debug, target: "acme::line".into(), message: "m".into(), suppressed };
    holds("log", &[log(0), log(12)]);
    holds("metric", &[Metric { name: "calls_total".into(), labels: vec!["in".into(), String::new()], value: -0.5 }]);
    let breaches = [
        BreachKind::Panic,
        BreachKind::UndeclaredMetric,
        BreachKind::UndeclaredEvent,
        BreachKind::ReportsDropped,
        BreachKind::ResumeTooLong,
        BreachKind::BadMessage,
        BreachKind::NoSnapshot,
    ];
    holds("breach", &breaches.map(|what| Breach { what, detail: "d".into(), times: 2 }));
}

#[test]
fn the_manifest_section_is_read_as_it_was_released() {
    let manifest = json!({
        "id": "acme", "version": "1.2.3", "vendor": "Acme", "platform": "acme", "channelTypes": ["Telephony", "Chat", "Email"],
        "commands": ["channel.request.dial"],
        "extensionCommands": [{"name": "session.request.acme.park", "target": "session", "data": {"type": "object"}}],
        "extensionEvents": [{"name": "session.acme.parked"}],
        "ownData": ["contactId"], "settings": {"type": "object"},
        "metrics": [{"name": "calls_total", "type": "counter", "help": "Calls.", "labels": ["direction"], "maxSeries": 4}],
    });
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    let (api, package) = ("1.0.0".to_owned(), "acme-adapter".to_owned());
    holds("section", &[Section { api, package, version: "1.2.3".into(), panic: "unwind".into(), manifest }]);
}

fn words<T: Serialize>(name: &str, all: &[T]) -> (String, Vec<serde_json::Value>) {
    (name.to_owned(), all.iter().map(|word| serde_json::to_value(word).unwrap()).collect())
}

#[test]
fn the_words_are_those_that_were_released() {
    use ConversationState as C;
    use InteractionState as I;
    let codes = [
        Code::BadRequest,
        Code::UnknownCommand,
        Code::NotFound,
        Code::InvalidState,
        Code::Unsupported,
        Code::Unauthorized,
        Code::Forbidden,
        Code::Conflict,
        Code::RateLimited,
        Code::QuotaExceeded,
        Code::Rejected,
        Code::Unreachable,
        Code::Busy,
        Code::Timeout,
        Code::LinkDown,
        Code::ShuttingDown,
        Code::Internal,
        Code::AdapterFailed,
    ];
    let reasons = [
        Reason::Released,
        Reason::Rejected,
        Reason::Transferred,
        Reason::Abandoned,
        Reason::Redirected,
        Reason::Lost,
        Reason::Failed,
    ];
    for code in codes {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
    let objects = [
        ObjectKind::Session,
        ObjectKind::ChannelGroup,
        ObjectKind::Channel,
        ObjectKind::Interaction,
        ObjectKind::Conversation,
    ];
    holds(
        "words",
        &[
            words("code", &codes),
            words("object", &objects),
            words("channel", &[ChannelType::Telephony, ChannelType::Chat, ChannelType::Email]),
            words("availability", &[Availability::Ready, Availability::NotReady, Availability::Acw]),
            words("direction", &[Direction::Inbound, Direction::Outbound, Direction::Internal]),
            words("interaction", &[I::Alerting, I::Dialing, I::Started, I::Ended, I::Completed]),
            words("conversation", &[C::Alerting, C::Dialing, C::Talking, C::Held, C::Ended]),
            words("role", &[Role::Primary, Role::Consult]),
            words("reason", &reasons),
            words("cause", &[Cause::Busy, Cause::NoAnswer, Cause::Unreachable, Cause::Cancelled]),
            words("recording", &[Recording::Off, Recording::On, Recording::Paused]),
            words("member", &[MemberRole::Customer, MemberRole::Agent, MemberRole::External]),
            words("record", &[RecordAction::Start, RecordAction::Stop, RecordAction::Pause, RecordAction::Resume]),
            words("level", &[Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace]),
            words("metric", &[MetricType::Counter, MetricType::Gauge, MetricType::Histogram]),
        ],
    );
}

#[test]
fn the_numbers_of_the_messages_are_those_that_were_released() {
    let requests = [
        Kind::LOAD,
        Kind::CONNECT,
        Kind::DISCONNECT,
        Kind::LOG_IN,
        Kind::START,
        Kind::COMMAND,
        Kind::SNAPSHOT,
        Kind::LOG_OUT,
        Kind::DROP_AGENT,
        Kind::PING,
        Kind::SHUTDOWN,
        Kind::LOG_LEVEL,
    ];
    assert_eq!(requests.map(|kind| kind.0), std::array::from_fn(|at| at as u32 + 1));
    let from_plugin =
        [Kind::DONE, Kind::ANSWER, Kind::REPORT, Kind::LINK, Kind::RESUME, Kind::LOG, Kind::METRIC, Kind::BREACH];
    assert_eq!(from_plugin.map(|kind| kind.0), std::array::from_fn(|at| at as u32 + 101));
}

#[test]
fn every_golden_file_is_compared() {
    for (version, listed) in [("1.0", &FILES[..]), ("1.1", &FILES_1_1[..])] {
        let files = fs::read_dir(folder(version)).unwrap();
        let files: BTreeSet<String> =
            files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(files, listed.iter().map(|file| format!("{file}.jsonl")).collect(), "{version}");
    }
}
