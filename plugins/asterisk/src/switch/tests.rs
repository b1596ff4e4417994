//! The switch without Asterisk: every request is confirmed, unless a test says otherwise.
#![allow(clippy::unwrap_used)]

mod announcements;
mod call_records;
mod callbacks;
mod gone;
mod memory;
mod music;
mod refused;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use jackfield_plugin_api::{
    Code, Command, Json, Outcome, Report, StartOptions,
    report::{
        Cause, ChannelStatus, ChannelType, ConversationAt, ConversationState, Interaction, InteractionAt,
        InteractionState, Reason, Role,
    },
};
use serde_json::{Value, json};

use super::{Effect, Input, Switch};
use crate::{
    ari::{Caller, Channel, Event, Message, Method, Request, Response},
    manager::Order,
    settings::tests::settings,
};

/// A switch with an Asterisk that says yes to everything.
struct Bench {
    switch: Switch,
    now: Instant,
    last: u64,
    sent: Vec<Request>,
    orders: Vec<Order>,
    refuse: Option<(&'static str, u16)>,
    reports: Vec<(String, Report)>,
    replies: Vec<(u64, Outcome)>,
    remembered: BTreeMap<String, Vec<u8>>,
    ready: bool,
    fenced: bool,
    listed_channels: Value,
    listed_bridges: Value,
    /// What Asterisk keeps on channels.
    kept: BTreeMap<String, String>,
}

/// What Asterisk says of a channel that it has made.
fn entered(request: &Request) -> Input {
    let (_, id) = request.query.iter().find(|(name, _)| *name == "channelId").expect("a name of ours");
    let channel = Channel { id: id.clone(), state: "Down".into(), ..Channel::default() };
    Input::Ari(Message::Event(Event::Start { channel, args: vec!["called".into()], replaces: None }))
}

impl Bench {
    /// At work for a while.
    fn new(more: Value) -> Self {
        let mut bench = Self::at(Instant::now(), "n", more);
        bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
        assert!(bench.ready);
        bench.tick(super::resync::STRAYS_STAY.as_secs());
        bench
    }

    fn at(now: Instant, nonce: &str, more: Value) -> Self {
        Self {
            switch: Switch::new(settings(more).unwrap(), nonce.into(), now),
            now,
            last: 0,
            sent: Vec::new(),
            orders: Vec::new(),
            refuse: None,
            reports: Vec::new(),
            replies: Vec::new(),
            remembered: BTreeMap::new(),
            ready: false,
            fenced: false,
            listed_channels: json!([]),
            listed_bridges: json!([]),
            kept: BTreeMap::new(),
        }
    }

    fn input(&mut self, input: Input) {
        let effects = self.switch.handle(self.now, input);
        self.deliver(effects);
    }

    /// Confirms what is sent, and what follows from that.
    fn deliver(&mut self, effects: Vec<Effect>) {
        let mut all = VecDeque::from([effects]);
        while let Some(effects) = all.pop_front() {
            let mut inputs = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Send { id, request } => {
                        self.keep(&request);
                        let response = self.response(id, &request);
                        let made = (request.uri == "channels/create" && response.is_ok()).then(|| entered(&request));
                        inputs.push(Input::Ari(Message::Response(response)));
                        inputs.extend(made);
                        self.sent.push(request);
                    }
                    Effect::Report { session, report } => self.reports.push((session, report)),
                    Effect::Remember { session, memory } => drop(self.remembered.insert(session, memory)),
                    Effect::Reply { id, outcome } => self.replies.push((id, outcome)),
                    Effect::Manager(order) => self.orders.push(order),
                    Effect::Ready => self.ready = true,
                    Effect::Fenced => self.fenced = true,
                    _ => {}
                }
            }
            all.extend(inputs.into_iter().map(|input| self.switch.handle(self.now, input)));
        }
    }

    fn keep(&mut self, request: &Request) {
        let of = |name: &str| request.query.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
        let created = request.body.as_ref().and_then(|body| body["variables"]["JACKFIELD"].as_str());
        if let (Some(channel), Some(record)) = (of("channelId"), created) {
            self.kept.insert(channel, record.to_owned());
        } else if of("variable").as_deref() == Some("JACKFIELD")
            && let Some(value) = of("value")
        {
            self.kept.insert(request.uri.split('/').nth(1).unwrap().to_owned(), value);
        }
    }

    fn response(&self, id: u64, request: &Request) -> Response {
        if let Some((uri, status)) = self.refuse
            && request.uri.contains(uri)
            && request.method == Method::Post
        {
            return Response { id, status, body: json!({"message": "no"}) };
        }
        let body = match (request.method, request.uri.as_str()) {
            (Method::Get, "channels") => self.listed_channels.clone(),
            (Method::Get, "bridges") => self.listed_bridges.clone(),
            (Method::Get, uri) if uri.ends_with("/variable") => {
                json!({"value": uri.split('/').nth(1).and_then(|channel| self.kept.get(channel))})
            }
            _ => json!({}),
        };
        Response { id, status: 200, body }
    }

    fn event(&mut self, event: Event) {
        self.input(Input::Ari(Message::Event(event)));
    }

    fn tick(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.input(Input::Tick);
    }

    fn command(&mut self, agent: &str, command: Command) -> Outcome {
        self.last += 1;
        self.input(Input::Command { id: self.last, agent: agent.into(), command });
        self.outcome(self.last).expect("answered")
    }

    fn outcome(&self, id: u64) -> Option<Outcome> {
        self.replies.iter().find(|(other, _)| *other == id).map(|(_, outcome)| outcome.clone())
    }

    /// An agent at work, ready.
    fn agent(&mut self, agent: &str, extension: &str) {
        self.last += 1;
        let options = StartOptions::new(Some(extension.into()));
        self.input(Input::Start { id: self.last, agent: agent.into(), session: format!("s-{agent}"), options });
        self.last += 1;
        let activate = Command::Activate { channel: extension.into(), queue: None, options: Json::empty_object() };
        self.input(Input::Command { id: self.last, agent: agent.into(), command: activate });
        let leg = self.originated();
        self.enters(&leg, &["leg"], "");
        assert_eq!(self.outcome(self.last), Some(Outcome::success()));
        assert_eq!(self.command(agent, Command::Ready { channel: extension.into() }), Outcome::success());
    }

    /// An agent who is ready, and whose phone is called for each call.
    fn called_for_each_call() -> Self {
        let mut bench = Self::new(json!({"leg": "per-call"}));
        bench.last += 1;
        let options = StartOptions::new(Some("1001".into()));
        bench.input(Input::Start { id: bench.last, agent: "anna".into(), session: "s-anna".into(), options });
        let activate = Command::Activate { channel: "1001".into(), queue: None, options: Json::empty_object() };
        assert_eq!(bench.command("anna", activate), Outcome::success());
        assert_eq!(bench.command("anna", Command::Ready { channel: "1001".into() }), Outcome::success());
        bench
    }

    /// The channel of the newest originate.
    fn originated(&self) -> String {
        let is_new = |request: &&Request| ["channels", "channels/create"].contains(&request.uri.as_str());
        let request = self.sent.iter().rev().find(is_new).expect("originated");
        request.query.iter().find(|(name, _)| *name == "channelId").unwrap().1.clone()
    }

    fn enters(&mut self, channel: &str, args: &[&str], number: &str) {
        let state = if number.is_empty() { "Up" } else { "Ring" };
        let caller = Caller { name: String::new(), number: number.into() };
        let channel = Channel { id: channel.into(), state: state.into(), caller, ..Channel::default() };
        let args = args.iter().map(ToString::to_string).collect();
        self.event(Event::Start { channel, args, replaces: None });
    }

    fn is_hung_up(&self, channel: &str) -> bool {
        self.sent.iter().any(|it| it.method == Method::Delete && it.uri == format!("channels/{channel}"))
    }

    fn over(&mut self, channel: &str, cause: u16) {
        self.event(Event::HangupRequest { channel: channel.into(), cause: Some(cause) });
        self.event(Event::End { channel: channel.into() });
        self.event(Event::Destroyed { channel: channel.into(), cause });
    }

    /// The newest statement about an agent's newest interaction.
    fn interaction(&self, agent: &str) -> Interaction {
        let session = format!("s-{agent}");
        let report = self.reports.iter().rev().find(|(to, _)| *to == session).expect("reported");
        report.1.channels.last().unwrap().interactions.last().expect("an interaction").clone()
    }

    fn status(&self, agent: &str) -> ChannelStatus {
        let session = format!("s-{agent}");
        let report = self.reports.iter().rev().find(|(to, _)| *to == session).expect("reported");
        report.1.channels.last().unwrap().status.clone().unwrap()
    }

    fn conversation(&self, agent: &str, extension: &str, role: Role) -> ConversationAt {
        let interaction = self.interaction(agent);
        let conversations = interaction.conversations.unwrap();
        ConversationAt {
            channel: extension.into(),
            interaction: interaction.key.clone(),
            conversation: conversations.iter().find(|it| it.role == Some(role)).unwrap().key.clone(),
        }
    }

    fn states(&self, agent: &str) -> Vec<ConversationState> {
        self.interaction(agent).conversations.unwrap_or_default().iter().filter_map(|it| it.state).collect()
    }

    fn at_interaction(&self, agent: &str, extension: &str) -> InteractionAt {
        InteractionAt { channel: extension.into(), interaction: self.interaction(agent).key }
    }

    fn posted(&self, uri_end: &str) -> usize {
        self.sent.iter().filter(|it| it.method == Method::Post && it.uri.ends_with(uri_end)).count()
    }

    /// Confirms what was sent, and what follows from that. What the host and the desktop are told meanwhile.
    fn confirms(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let (mut effects, mut told) = (VecDeque::from(effects), Vec::new());
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send { id, .. } => {
                    let response = Response { id, status: 204, body: Value::Null };
                    effects.extend(self.switch.handle(self.now, Input::Ari(Message::Response(response))));
                }
                Effect::Count { .. } | Effect::Remember { .. } => {}
                other => told.push(other),
            }
        }
        told
    }

    /// An agent in a call with a customer.
    fn in_call() -> Self {
        let mut bench = Self::new(json!({}));
        bench.agent("anna", "1001");
        bench.enters("c1", &["queue", "sales", "ORDER=77"], "555");
        let conversation = bench.conversation("anna", "1001", Role::Primary);
        assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
        bench
    }

    /// … and a consulted number that has answered.
    fn consulting() -> (Self, String) {
        let mut bench = Self::in_call();
        let interaction = bench.at_interaction("anna", "1001");
        let consult = Command::Consult { interaction, destination: "700".into() };
        assert_eq!(bench.command("anna", consult), Outcome::success());
        let party = bench.originated();
        bench.enters(&party, &["called"], "");
        assert_eq!(bench.states("anna"), [ConversationState::Held, ConversationState::Talking]);
        (bench, party)
    }
}

#[test]
fn a_customer_is_offered_answered_and_hung_up_in_one_report_each() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let before = bench.reports.len();
    bench.enters("c1", &["queue", "sales", "ORDER=77"], "555");
    assert_eq!(bench.reports.len(), before + 1);
    let offered = bench.interaction("anna");
    assert_eq!(offered.data["ORDER"], Some("77".into()));
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);

    let conversation = bench.conversation("anna", "1001", Role::Primary);
    assert_eq!(bench.command("anna", Command::Answer { conversation }), Outcome::success());
    assert_eq!(bench.states("anna"), [ConversationState::Talking]);
    assert_eq!((bench.posted("c1/answer"), bench.posted("/addChannel")), (1, 2));

    let before = bench.reports.len();
    bench.over("c1", 16);
    assert_eq!(bench.reports.len(), before + 1);
    let ended = bench.interaction("anna");
    assert_eq!((ended.state, ended.reason), (Some(InteractionState::Ended), Some(Reason::Released)));
    assert!(bench.sent.iter().any(|it| it.method == Method::Delete && it.uri.starts_with("bridges/")));
}

#[test]
fn an_answered_command_is_reported_before_it_is_answered_and_only_when_asterisk_confirmed() {
    let mut bench = Bench::in_call();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let now = bench.now;
    let hold = Command::Hold { conversation };
    let effects = bench.switch.handle(now, Input::Command { id: 99, agent: "anna".into(), command: hold });
    assert!(effects.iter().all(|effect| matches!(effect, Effect::Send { .. })), "{effects:?}");
    let told = bench.confirms(effects);
    assert!(matches!(told.as_slice(), [Effect::Report { .. }, Effect::Reply { id: 99, .. }]), "{told:?}");
}

#[test]
fn the_caller_who_gives_up_is_gone_from_the_desktop() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.enters("c1", &["queue", "sales"], "555");
    bench.over("c1", 16);
    let gone = bench.interaction("anna");
    assert!(gone.gone);
    assert_eq!(gone.reason, Some(Reason::Abandoned));
}

#[test]
fn who_does_not_answer_goes_not_ready_and_the_next_is_offered_it() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    bench.now += Duration::from_secs(1);
    bench.agent("bert", "1002");
    bench.enters("c1", &["queue", "sales"], "555");
    assert_eq!(bench.states("anna"), [ConversationState::Alerting]);
    bench.tick(20);
    let gone = bench.interaction("anna");
    assert_eq!((gone.gone, gone.reason), (true, Some(Reason::Redirected)));
    let ChannelStatus::Active(info) = bench.status("anna") else { panic!("active") };
    assert_eq!(info.reason_code.as_deref(), Some("noanswer"));
    assert_eq!(bench.states("bert"), [ConversationState::Alerting]);
}

#[test]
fn a_queue_overflows_into_the_dialplan() {
    let queues = json!({"queues": {"sales": {"overflow_seconds": 30, "overflow": "dialplan:mail,s,1"}}});
    let mut bench = Bench::new(queues);
    bench.enters("c1", &["queue", "sales"], "555");
    bench.tick(29);
    assert_eq!(bench.posted("c1/continue"), 0);
    bench.tick(1);
    assert_eq!(bench.posted("c1/continue"), 1);
    assert!(bench.switch.rooms.is_empty() && bench.switch.parties.is_empty());
}

#[test]
fn each_cause_of_a_failed_call_is_told_apart() {
    for (cause, told) in [(17, Cause::Busy), (19, Cause::NoAnswer), (1, Cause::Unreachable), (34, Cause::Unreachable)] {
        let mut bench = Bench::new(json!({}));
        bench.agent("anna", "1001");
        let extensions = Json::empty_object();
        let dial = Command::Dial { channel: "1001".into(), destination: "700".into(), extensions };
        assert_eq!(bench.command("anna", dial), Outcome::success());
        assert_eq!(bench.states("anna"), [ConversationState::Dialing]);
        let party = bench.originated();
        // Asterisk may tell this first, and it names no cause.
        bench.event(Event::End { channel: party.clone() });
        assert_eq!(bench.states("anna"), [ConversationState::Dialing]);
        bench.event(Event::Destroyed { channel: party, cause });
        let ended = bench.interaction("anna");
        assert_eq!((ended.reason, ended.cause), (Some(Reason::Failed), Some(told)));
    }
}

#[test]
fn whom_we_call_and_whose_end_is_not_told_is_looked_for() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let extensions = Json::empty_object();
    let dial = Command::Dial { channel: "1001".into(), destination: "700".into(), extensions };
    assert_eq!(bench.command("anna", dial), Outcome::success());
    let party = bench.originated();
    bench.event(Event::End { channel: party });
    assert_eq!(bench.states("anna"), [ConversationState::Dialing]);
    bench.tick(1);
    assert!(bench.interaction("anna").reason.is_some());
}

#[test]
fn whom_we_call_is_called_when_the_channel_has_entered_whichever_asterisk_says_first() {
    for enters_first in [false, true] {
        let mut bench = Bench::new(json!({}));
        bench.agent("anna", "1001");
        let extensions = Json::empty_object();
        let dial = Command::Dial { channel: "1001".into(), destination: "700".into(), extensions };
        let effects = bench.switch.handle(bench.now, Input::Command { id: 99, agent: "anna".into(), command: dial });
        let made = |effect: &Effect| match effect {
            Effect::Send { id, request } if request.uri == "channels/create" => Some((*id, entered(request))),
            _ => None,
        };
        let (id, enters) = effects.iter().find_map(made).expect("a channel is made");
        let is_asked = |effects: &[Effect], uri: &str| {
            effects.iter().any(|it| matches!(it, Effect::Send { request, .. } if request.uri.ends_with(uri)))
        };
        let mut inputs = [Input::Ari(Message::Response(Response { id, status: 200, body: json!({}) })), enters];
        if enters_first {
            inputs.reverse();
        }
        let told = inputs.map(|input| bench.switch.handle(bench.now, input));
        let at = usize::from(!enters_first);
        assert!(is_asked(&told[at], "/dial") && !is_asked(&told[1 - at], "/dial"), "{enters_first}");
    }
}

#[test]
fn a_transfer_into_the_dialplan_succeeds_whichever_asterisk_says_first() {
    for leaves_first in [false, true] {
        let mut bench = Bench::new(json!({"destinations": {"mailbox": "from-trunk,mail,1"}}));
        bench.agent("anna", "1001");
        bench.enters("c1", &["queue", "sales"], "555");
        let conversation = bench.conversation("anna", "1001", Role::Primary);
        assert_eq!(bench.command("anna", Command::Answer { conversation: conversation.clone() }), Outcome::success());
        let transfer = Command::BlindTransfer { conversation, destination: "mailbox".into() };
        let input = Input::Command { id: 99, agent: "anna".into(), command: transfer };
        let effects = bench.switch.handle(bench.now, input);
        let leaves = Input::Ari(Message::Event(Event::End { channel: "c1".into() }));
        if leaves_first {
            assert!(bench.switch.handle(bench.now, leaves).is_empty());
            bench.deliver(effects);
        } else {
            bench.deliver(effects);
            bench.input(leaves);
        }
        assert_eq!(bench.outcome(99), Some(Outcome::success()), "{leaves_first}");
        assert_eq!(bench.interaction("anna").reason, Some(Reason::Transferred), "{leaves_first}");
    }
}

#[test]
fn a_channel_that_goes_before_it_enters_fails_its_call() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let extensions = Json::empty_object();
    let dial = Command::Dial { channel: "1001".into(), destination: "700".into(), extensions };
    let effects = bench.switch.handle(bench.now, Input::Command { id: 99, agent: "anna".into(), command: dial });
    bench.confirms(effects);
    let channel = bench.switch.calls.keys().next().expect("it is waited for").clone();
    bench.event(Event::Destroyed { channel, cause: 34 });
    let Some(Outcome::Failure(failure)) = bench.outcome(99) else { panic!("it failed") };
    assert_eq!(failure.code, Code::Unreachable);
    assert!(bench.switch.owners.len() == 1 && bench.switch.rooms.is_empty());
}

#[test]
fn a_call_that_cannot_be_placed_leaves_no_trace() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let before = bench.reports.len();
    bench.refuse = Some(("channels", 500));
    let extensions = Json::empty_object();
    let dial = Command::Dial { channel: "1001".into(), destination: "700".into(), extensions };
    let Outcome::Failure(failure) = bench.command("anna", dial) else { panic!("refused") };
    assert_eq!(failure.code, Code::Unreachable);
    assert_eq!(bench.reports.len(), before);
    assert!(bench.switch.rooms.is_empty());
}

#[test]
fn a_consult_transfer_is_one_report_and_connects_the_other_two() {
    let (mut bench, party) = Bench::consulting();
    let before = bench.reports.len();
    let interaction = bench.at_interaction("anna", "1001");
    assert_eq!(bench.command("anna", Command::ConsultTransfer { interaction }), Outcome::success());
    assert_eq!(bench.reports.len(), before + 1);
    let ended = bench.interaction("anna");
    assert_eq!(ended.reason, Some(Reason::Transferred));
    assert!(ended.conversations.unwrap().iter().all(|it| it.reason == Some(Reason::Transferred)));
    // The two go on without the agent, and when one leaves the other is not left alone.
    assert_eq!(bench.switch.rooms.len(), 1);
    bench.over(&party, 16);
    assert!(bench.is_hung_up("c1"));
    assert!(bench.switch.rooms.is_empty());
}

#[test]
fn a_consult_conference_is_one_report_with_two_members() {
    let (mut bench, party) = Bench::consulting();
    let before = bench.reports.len();
    let interaction = bench.at_interaction("anna", "1001");
    assert_eq!(bench.command("anna", Command::ConsultConference { interaction }), Outcome::success());
    assert_eq!(bench.reports.len(), before + 1);
    let conversations = bench.interaction("anna").conversations.unwrap();
    let living: Vec<_> = conversations.iter().filter(|it| it.state != Some(ConversationState::Ended)).collect();
    assert_eq!(living.len(), 1);
    assert_eq!(living[0].members.as_ref().unwrap().len(), 2);
    bench.over(&party, 16);
    assert_eq!(bench.interaction("anna").conversations.unwrap()[0].members.as_ref().unwrap().len(), 1);
}

#[test]
fn a_colleague_gets_the_customer_by_consult_transfer() {
    let mut bench = Bench::in_call();
    bench.agent("bert", "1002");
    let interaction = bench.at_interaction("anna", "1001");
    let consult = Command::Consult { interaction, destination: "1002".into() };
    assert_eq!(bench.command("anna", consult), Outcome::success());
    assert_eq!(bench.states("bert"), [ConversationState::Alerting]);
    let conversation = bench.conversation("bert", "1002", Role::Primary);
    assert_eq!(bench.command("bert", Command::Answer { conversation }), Outcome::success());
    assert_eq!(bench.states("anna"), [ConversationState::Held, ConversationState::Talking]);
    let interaction = bench.at_interaction("anna", "1001");
    assert_eq!(bench.command("anna", Command::ConsultTransfer { interaction }), Outcome::success());
    let interaction = bench.interaction("bert");
    let members = interaction.conversations.unwrap()[0].members.clone().unwrap();
    assert_eq!(members.iter().map(|it| it.address.as_deref().unwrap()).collect::<Vec<_>>(), ["555"]);
    assert_eq!(interaction.data["ORDER"], Some("77".into()));
}

#[test]
fn the_phones_hang_up_ends_the_call_and_the_phone_is_called_again() {
    let mut bench = Bench::in_call();
    let leg = bench.originated();
    bench.over(&leg, 16);
    assert_eq!(bench.status("anna"), ChannelStatus::Unavailable);
    assert_eq!(bench.interaction("anna").reason, Some(Reason::Released));
    assert!(bench.is_hung_up("c1"));
    bench.tick(2);
    let again = bench.originated();
    assert_ne!(again, leg);
    bench.enters(&again, &["leg"], "");
    assert!(matches!(bench.status("anna"), ChannelStatus::Active(_)));
}

#[test]
fn a_customer_whose_agents_phone_was_lost_waits_again() {
    let mut bench = Bench::in_call();
    let leg = bench.originated();
    bench.over(&leg, 27);
    assert_eq!(bench.interaction("anna").reason, Some(Reason::Lost));
    assert!(!bench.is_hung_up("c1"));
    bench.agent("bert", "1002");
    assert_eq!(bench.states("bert"), [ConversationState::Alerting]);
}

#[test]
fn after_a_lost_link_what_ended_is_ended_and_what_lives_goes_on() {
    let mut bench = Bench::in_call();
    let anna = bench.originated();
    bench.agent("bert", "1002");
    let bert = bench.originated();
    bench.enters("c2", &["queue", "sales"], "556");
    let conversation = bench.conversation("bert", "1002", Role::Primary);
    bench.command("bert", Command::Answer { conversation });
    bench.input(Input::Disconnected);
    let Outcome::Failure(failure) = bench.command("anna", Command::Ready { channel: "1001".into() }) else { panic!() };
    assert_eq!(failure.code, Code::LinkDown);
    let up = |id: &str| json!({"id": id, "state": "Up"});
    bench.listed_channels = json!([up(&anna), up(&bert), up("c2")]);
    bench.ready = false;
    bench.input(Input::Connected { leaves_transfers: true, marks_records: false });
    assert!(bench.ready);
    let ended = bench.interaction("anna");
    assert_eq!((ended.state, ended.reason), (Some(InteractionState::Ended), Some(Reason::Lost)));
    assert_eq!(bench.states("bert"), [ConversationState::Talking]);
    // The bridge was gone as well: it is made again with both in it.
    let created = bench.sent.iter().rev().take_while(|it| it.uri != "channels");
    assert_eq!(created.filter(|it| it.uri.ends_with("/addChannel")).count(), 2);
}

#[test]
fn a_fenced_switch_does_nothing_more() {
    let mut bench = Bench::in_call();
    bench.event(Event::Replaced);
    assert!(bench.fenced);
    let sent = bench.sent.len();
    bench.over("c1", 16);
    bench.tick(100);
    bench.input(Input::Close);
    assert_eq!(bench.sent.len(), sent);
}

#[test]
fn a_planned_end_hangs_up_nobody_who_talks_and_leaves_nothing_else() {
    let (mut bench, party) = Bench::consulting();
    let is_leg = |it: &&Request| it.method == Method::Post && it.uri == "channels";
    let leg = bench.sent.iter().find(is_leg).unwrap().query.clone();
    let leg = leg.iter().find(|(name, _)| *name == "channelId").unwrap().1.clone();
    bench.agent("bert", "1002");
    let idle = bench.originated();
    bench.enters("c9", &["queue", "web"], "559");
    bench.input(Input::Close);
    // Anna talks to whom she asks, and her customer is on hold for that.
    assert!(!bench.is_hung_up("c1") && !bench.is_hung_up(&party) && !bench.is_hung_up(&leg));
    // Who waited goes on in the dialplan, and an idle phone is hung up.
    assert_eq!(bench.posted("c9/continue"), 1);
    assert!(bench.is_hung_up(&idle));
    assert!(bench.switch.is_quiet());
}

#[test]
fn a_planned_end_connects_whom_an_agent_holds() {
    let mut bench = Bench::in_call();
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    bench.command("anna", Command::Hold { conversation });
    let before = bench.posted("/addChannel");
    bench.input(Input::Close);
    assert_eq!(bench.posted("/addChannel"), before + 2);
    assert!(!bench.is_hung_up("c1"));
}

#[test]
fn with_a_leg_per_call_the_phone_rings_and_answers() {
    let mut bench = Bench::called_for_each_call();
    bench.enters("c1", &["queue", "sales"], "555");
    let conversation = bench.conversation("anna", "1001", Role::Primary);
    let Outcome::Failure(failure) = bench.command("anna", Command::Answer { conversation }) else { panic!() };
    assert_eq!(failure.code, Code::Unsupported);
    let leg = bench.originated();
    bench.enters(&leg, &["leg"], "");
    assert_eq!(bench.states("anna"), [ConversationState::Talking]);
    bench.over("c1", 16);
    assert!(bench.sent.iter().any(|it| it.method == Method::Delete && it.uri.ends_with(&leg)));
}

#[test]
fn other_types_of_channel_are_refused() {
    let mut bench = Bench::new(json!({}));
    bench.agent("anna", "1001");
    let add = Command::AddChannel { endpoint: "x".into(), kind: ChannelType::Chat };
    let Outcome::Failure(failure) = bench.command("anna", add) else { panic!("refused") };
    assert_eq!(failure.code, Code::Unsupported);
}

#[test]
fn one_press_of_the_phones_transfer_key_is_one_transfer() {
    let mut bench = Bench::in_call();
    let leg = bench.originated();
    let calls = bench.posted("channels/create");
    // Asterisk says it for the phone's channel and for the customer's.
    let pressed = || Event::Transfer { channel: leg.clone(), to: Some("801".into()), attended: false };
    bench.event(pressed());
    bench.event(pressed());
    assert_eq!(bench.posted("channels/create"), calls + 1);
    assert_eq!(bench.posted("/transfer_progress"), 1);
    assert_eq!(bench.interaction("anna").reason, Some(Reason::Transferred));
}

#[test]
fn the_phones_transfer_key_transfers_whom_the_phone_has_put_on_hold() {
    let (mut bench, _) = Bench::consulting();
    let leg = bench.switch.phones["1001"].leg.up().unwrap().clone();
    for role in [Role::Consult, Role::Primary] {
        let key = bench.conversation("anna", "1001", role).conversation;
        bench.event(Event::Hold { channel: leg.clone() });
        assert!(!bench.states("anna").contains(&ConversationState::Talking));
        // Of two on hold it is the newer.
        bench.event(Event::Transfer { channel: leg.clone(), to: Some("801".into()), attended: false });
        let conversations = bench.interaction("anna").conversations.unwrap();
        let transferred = conversations.iter().find(|it| it.key == key).expect("it is told of");
        assert_eq!(transferred.reason, Some(Reason::Transferred), "{role:?}");
        bench.tick(1);
    }
}

#[test]
fn one_agents_unanswered_command_does_not_hold_back_another_agents_report() {
    let mut bench = Bench::in_call();
    bench.agent("bert", "1002");
    bench.enters("c2", &["queue", "sales"], "556");
    let conversation = bench.conversation("bert", "1002", Role::Primary);
    bench.command("bert", Command::Answer { conversation });
    let (now, mut sent) = (bench.now, Vec::new());
    for (id, agent, extension) in [(101, "anna", "1001"), (102, "bert", "1002")] {
        let conversation = bench.conversation(agent, extension, Role::Primary);
        let command = Command::Hold { conversation };
        sent.push(bench.switch.handle(now, Input::Command { id, agent: agent.into(), command }));
    }
    // Anna's first: hers is reported and answered, in that order, whatever becomes of Bert's.
    let told = bench.confirms(sent.remove(0));
    let [Effect::Report { session, .. }, Effect::Reply { id: 101, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(session, "s-anna");
}
