//! A plugin that was not made with the SDK and says whatever it likes: nothing of it reaches a session.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, time::Instant};

use jackfield_plugin_api::{Command, Login, Outcome, Settings, Tenant};
use serde_json::{Value, json};

use super::*;
use crate::{
    metrics::Metrics,
    plugin::{
        AgentPort, Delivery, Library, PlatformHandle, PlatformPort, RequestId, agent::MAX_UNANSWERED,
        contract::MAX_IN_FLIGHT,
    },
};

const MANIFEST: &str = r#"{
    "id": "rogue", "vendor": "v", "platform": "rogue", "channelTypes": [], "commands": [], "settings": {},
    "extensionEvents": [{"name": "session.rogue.known"}],
    "metrics": [{"name": "things", "type": "gauge", "help": "Things.", "labels": ["kind"]}]
}"#;
const SECOND: Duration = Duration::from_secs(1);

/// The plugin's half: does at once what it is asked, but for commands, which the test answers.
struct Rogue(Arc<Dispatcher>);

impl MessageSink for Rogue {
    fn send(&self, kind: Kind, id: u64, _: &str) -> Status {
        if [Kind::CONNECT, Kind::LOG_IN, Kind::DISCONNECT].contains(&kind) {
            self.0.send(Kind::DONE, id, &json!({"of": kind}).to_string());
        }
        Status::ACCEPTED
    }
}

#[derive(Default)]
struct Sink {
    agent: Mutex<Vec<FromAgent>>,
    platform: Mutex<Vec<FromPlatform>>,
    full: AtomicBool,
}

impl AgentSink for Sink {
    fn deliver(&self, message: AdapterMessage) -> Delivery {
        if self.full.load(Relaxed) {
            return Delivery::Full;
        }
        self.agent.lock().extend(message.open());
        Delivery::Accepted
    }
}

impl PlatformSink for Sink {
    fn deliver(&self, message: FromPlatform) {
        self.platform.lock().push(message);
    }
}

/// A tenant (id 1) with two agents (ids 2 and 3).
struct Bench {
    routes: Arc<Dispatcher>,
    metrics: Metrics,
    sinks: [Arc<Sink>; 3],
    agents: [Box<dyn AgentPort>; 2],
    library: Library,
    _platform: PlatformHandle,
}

impl Bench {
    async fn new() -> Self {
        let metrics = Metrics::new(10);
        let manifest: Manifest = serde_json::from_str(MANIFEST).unwrap();
        let mut kept = None;
        let library = Library::make(manifest, "1.0.0".to_owned(), &metrics, async |routes: Arc<Dispatcher>| {
            kept = Some(Arc::clone(&routes));
            routes.send(Kind::DONE, 0, r#"{"of":1}"#);
            Ok(Box::new(Rogue(routes)) as Box<dyn MessageSink>)
        });
        let library = library.await.unwrap();
        let sinks: [Arc<Sink>; 3] = Default::default();
        let tenant = Tenant::new("acme", Settings::new(json!({})));
        let platform = library.connect(tenant, sinks[0].clone(), SECOND).await.unwrap();
        let login = |sink: &Arc<Sink>| platform.log_in(Login::new("a", "p", "s"), sink.clone(), SECOND);
        let agents = [login(&sinks[1]).await.unwrap(), login(&sinks[2]).await.unwrap()];
        Self { routes: kept.unwrap(), metrics, sinks, agents, library, _platform: platform }
    }

    fn ask(&self, agent: usize, request: RequestId, deadline: Duration) -> Result<(), Failure> {
        self.agents[agent].command(request, &Command::Ready { channel: "c".to_owned() }, Instant::now() + deadline)
    }

    fn emit(&self, kind: Kind, id: u64, payload: Value) -> Status {
        self.routes.send(kind, id, &payload.to_string())
    }

    fn answer(&self, id: u64, request: RequestId) -> Status {
        self.emit(Kind::ANSWER, id, json!({"request": request, "outcome": {"success": null}}))
    }

    /// What the tenant's agents have asked.
    fn in_flight(&self) -> Arc<InFlight> {
        let Some(Route::Agent(agent)) = self.routes.route(2) else { panic!("the first agent is there") };
        Arc::clone(&agent.in_flight)
    }

    /// How many messages each of the three got.
    fn heard(&self) -> [usize; 3] {
        let [platform, one, two] = &self.sinks;
        [platform.platform.lock().len(), one.agent.lock().len(), two.agent.lock().len()]
    }

    fn count(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0)
    }

    fn late(&self) -> u64 {
        self.count("jackfield_plugin_late_answers_total{adapter=\"rogue\"}")
    }

    fn breaches(&self, kind: &str) -> u64 {
        self.count(&format!("jackfield_plugin_breaches_total{{adapter=\"rogue\",kind=\"{kind}\"}}"))
    }
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let bench = Bench::new().await;
    bench.ask(0, 7, 60 * SECOND).unwrap();
    assert_eq!(bench.answer(2, 7), Status::ACCEPTED);
    assert_eq!(bench.answer(2, 7), Status::ACCEPTED, "nobody has read it yet");
    assert_eq!((bench.heard(), bench.late()), ([0, 1, 0], 1));
    let messages = bench.sinks[1].agent.lock();
    assert!(matches!(&messages[0], FromAgent::Answer { request: 7, report: None, outcome: Outcome::Success(None) }));
}

#[tokio::test]
async fn nobody_is_answered_what_another_session_asked() {
    let bench = Bench::new().await;
    bench.ask(0, 7, 60 * SECOND).unwrap();
    assert_eq!(bench.answer(3, 7), Status::ACCEPTED, "the other agent");
    assert_eq!(bench.answer(1, 7), Status::CLOSED, "the tenant");
    assert_eq!(bench.answer(99, 7), Status::CLOSED, "nobody");
    assert_eq!((bench.heard(), bench.late()), ([0; 3], 1));
    assert_eq!(bench.answer(2, 7), Status::ACCEPTED, "the one who asked");
}

#[tokio::test]
async fn an_answer_that_the_session_has_no_room_for_may_come_again() {
    let bench = Bench::new().await;
    bench.ask(0, 7, 60 * SECOND).unwrap();
    bench.sinks[1].full.store(true, Relaxed);
    assert_eq!(bench.answer(2, 7), Status::FULL);
    bench.sinks[1].full.store(false, Relaxed);
    assert_eq!(bench.answer(2, 7), Status::ACCEPTED);
    assert_eq!((bench.heard(), bench.late()), ([0, 1, 0], 0));
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_counted_and_thrown_away() {
    let bench = Bench::new().await;
    bench.ask(0, 7, Duration::ZERO).unwrap();
    // The deadline is the moment of asking: only the clock itself must have moved on.
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(bench.answer(2, 7), Status::ACCEPTED);
    assert_eq!((bench.heard(), bench.late()), ([0; 3], 1));
}

#[tokio::test]
async fn what_is_reported_with_an_answer_holds_even_where_the_answer_comes_too_late() {
    let bench = Bench::new().await;
    let event = |name: &str| json!({"on": "session", "name": name, "data": {}});
    let report = json!({"events": [event("session.rogue.known"), event("session.rogue.unknown")]});
    let answer = json!({"request": 7, "report": report, "outcome": {"success": null}});
    bench.ask(0, 7, Duration::ZERO).unwrap();
    // The deadline is the moment of asking: only the clock itself must have moved on.
    std::thread::sleep(Duration::from_millis(1));
    for _ in ["after the deadline", "to what was answered before"] {
        assert_eq!(bench.emit(Kind::ANSWER, 2, answer.clone()), Status::ACCEPTED);
    }
    bench.ask(0, 7, 60 * SECOND).unwrap();
    assert_eq!(bench.emit(Kind::ANSWER, 2, answer), Status::ACCEPTED);
    assert_eq!((bench.late(), bench.breaches("undeclared_event")), (2, 3));
    let messages = bench.sinks[1].agent.lock();
    let [FromAgent::Report(late), FromAgent::Report(again), FromAgent::Answer { report: Some(with), .. }] =
        &messages[..]
    else {
        panic!("{messages:?}")
    };
    assert!([late, again, with].iter().all(|report| report.events.len() == 1));
}

#[tokio::test]
async fn what_cannot_be_read_reaches_nobody() {
    let bench = Bench::new().await;
    for kind in [Kind::ANSWER, Kind::REPORT, Kind::LINK, Kind::RESUME, Kind::DONE, Kind::BREACH, Kind::LOG] {
        for payload in ["", "nonsense", "3", "null", "{", "\u{0}"] {
            // What is for the session is read when its turn comes.
            let read_later = [Kind::ANSWER, Kind::REPORT].contains(&kind);
            let status = if read_later { Status::ACCEPTED } else { Status::REFUSED };
            assert_eq!(bench.routes.send(kind, 2, payload), status, "{kind:?} {payload:?}");
        }
    }
    assert_eq!(bench.routes.send(Kind::METRIC, 1, "{}"), Status::REFUSED);
    assert_eq!(bench.emit(Kind(4711), 2, json!({})), Status::REFUSED);
    assert_eq!(bench.heard(), [0; 3]);
    assert!(bench.breaches("bad_message") >= 7 * 4);
}

#[tokio::test]
async fn an_answer_is_heard_although_what_is_reported_with_it_cannot_be_read() {
    let bench = Bench::new().await;
    bench.ask(0, 7, 60 * SECOND).unwrap();
    let answer = json!({"request": 7, "report": "nonsense", "outcome": {"success": null}});
    assert_eq!(bench.emit(Kind::ANSWER, 2, answer), Status::ACCEPTED);
    assert_eq!((bench.late(), bench.breaches("bad_message")), (0, 1));
    let messages = bench.sinks[1].agent.lock();
    assert!(matches!(&messages[..], [FromAgent::Answer { request: 7, report: None, .. }]), "{messages:?}");
}

#[tokio::test]
async fn a_request_is_settled_by_an_answer_that_cannot_be_read() {
    let bench = Bench::new().await;
    bench.ask(0, 7, 60 * SECOND).unwrap();
    let answer = json!({"request": 7, "outcome": {"nearly": {"done": 7}}});
    assert_eq!(bench.emit(Kind::ANSWER, 2, answer), Status::ACCEPTED);
    assert_eq!((bench.late(), bench.breaches("bad_message"), bench.in_flight().count()), (0, 1, 0));
    let messages = bench.sinks[1].agent.lock();
    let [FromAgent::Answer { request: 7, outcome: Outcome::Failure(failure), .. }] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(failure.code, Code::AdapterFailed);
}

#[tokio::test]
async fn what_is_too_long_is_not_even_read() {
    let bench = Bench::new().await;
    let long = format!("{{\"channels\":[]{}}}", " ".repeat(MAX_PAYLOAD));
    assert_eq!(bench.routes.send(Kind::REPORT, 2, &long), Status::REFUSED);
    let state = "00".repeat(MAX_RESUME_STATE + 1);
    assert_eq!(bench.emit(Kind::RESUME, 2, json!({"state": state})), Status::REFUSED);
    assert_eq!((bench.heard(), bench.breaches("resume_too_long")), ([0; 3], 1));
}

#[tokio::test]
async fn what_the_manifest_does_not_declare_is_taken_out() {
    let bench = Bench::new().await;
    let event = |name: &str| json!({"on": "session", "name": name, "data": {}});
    let report = json!({"events": [event("session.rogue.known"), event("session.rogue.unknown")]});
    assert_eq!(bench.emit(Kind::REPORT, 2, report), Status::ACCEPTED);
    let metric = |name: &str, labels: Value| json!({"name": name, "labels": labels, "value": 1.0});
    assert_eq!(bench.emit(Kind::METRIC, 1, metric("others", json!(["a"]))), Status::REFUSED);
    assert_eq!(bench.emit(Kind::METRIC, 1, metric("things", json!([]))), Status::REFUSED);
    assert_eq!(bench.emit(Kind::METRIC, 2, metric("things", json!(["a"]))), Status::CLOSED, "an agent has no metrics");
    assert_eq!(bench.emit(Kind::METRIC, 1, metric("things", json!(["a"]))), Status::ACCEPTED);
    assert_eq!(
        (bench.heard(), bench.breaches("undeclared_event"), bench.breaches("undeclared_metric")),
        ([1, 1, 0], 1, 2)
    );
    let messages = bench.sinks[1].agent.lock();
    assert!(matches!(&messages[0], FromAgent::Report(report) if report.events.len() == 1));
}

#[tokio::test]
async fn a_snapshot_that_was_not_reported_is_counted() {
    let bench = Bench::new().await;
    let answer = |request: RequestId, report: Value| {
        bench.emit(Kind::ANSWER, 2, json!({"request": request, "report": report, "outcome": {"success": null}}));
        bench.breaches("no_snapshot")
    };
    bench.agents[0].snapshot(7).unwrap();
    assert_eq!(answer(7, json!({"snapshot": true})), 0);
    bench.agents[0].snapshot(8).unwrap();
    assert_eq!(answer(8, json!({"channels": []})), 1);
    bench.agents[0].snapshot(9).unwrap();
    bench.emit(Kind::REPORT, 2, json!({"snapshot": true}));
    assert_eq!(answer(9, Value::Null), 1);
    bench.ask(0, 10, SECOND).unwrap();
    assert_eq!(answer(10, Value::Null), 1, "a command needs none");
}

#[tokio::test]
async fn a_session_cannot_ask_without_bound() {
    let bench = Bench::new().await;
    let refused = (0..).find_map(|request| bench.ask(0, request, SECOND).err()).unwrap();
    assert_eq!(refused.code, Code::RateLimited);
    let in_flight = bench.in_flight();
    assert_eq!(in_flight.count(), MAX_UNANSWERED);
    bench.ask(1, 0, SECOND).unwrap();
    drop(bench.agents);
    assert_eq!(in_flight.count(), 0, "what a gone session asked is not counted any more");
}

#[tokio::test]
async fn a_tenant_that_asks_too_much_takes_nothing_from_another() {
    let bench = Bench::new().await;
    assert!((0..MAX_IN_FLIGHT).all(|_| bench.in_flight().begin()));
    assert_eq!(bench.ask(0, 1, SECOND).unwrap_err().code, Code::RateLimited);
    let sink = Arc::new(Sink::default());
    let other =
        bench.library.connect(Tenant::new("other", Settings::new(json!({}))), sink.clone(), SECOND).await.unwrap();
    let agent = other.log_in(Login::new("a", "p", "s"), sink, SECOND).await.unwrap();
    agent.command(1, &Command::Ready { channel: "c".to_owned() }, Instant::now() + SECOND).unwrap();
}

#[tokio::test]
async fn what_clients_are_told_in_an_adapters_words_is_kept_to_its_length() {
    let bench = Bench::new().await;
    for id in [1, 2] {
        bench.emit(Kind::LINK, id, json!({"down": {"reason": "a".to_owned() + &"\u{e4}".repeat(10_000)}}));
    }
    let reason = "a".to_owned() + &"\u{e4}".repeat(511);
    let [platform, agent, _] = &bench.sinks;
    let FromPlatform::Link(link) = platform.platform.lock().pop().unwrap() else { panic!("no link") };
    assert_eq!(link, Link::Down { reason: reason.clone() });
    let FromAgent::Link(link) = agent.agent.lock().pop().unwrap() else { panic!("no link") };
    assert_eq!(link, Link::Down { reason });
    bench.ask(0, 7, 60 * SECOND).unwrap();
    let long = "x".repeat(2_000_000);
    let failure = json!({"code": "rejected", "message": long, "context": long});
    bench.emit(Kind::ANSWER, 2, json!({"request": 7, "outcome": {"failure": failure}}));
    let Some(FromAgent::Answer { outcome: Outcome::Failure(failure), .. }) = agent.agent.lock().pop() else {
        panic!("no failure")
    };
    assert_eq!((failure.message.len(), failure.context.unwrap().len()), (1024, 1024));
}

#[tokio::test]
async fn a_worker_that_the_host_let_go_of_is_no_death() {
    let deaths_by = async |kind: DeathKind| {
        let bench = Bench::new().await;
        bench.routes.lost(&Death { kind, detail: String::new(), in_flight: BTreeSet::new(), recording: None });
        assert_eq!(bench.heard(), [1, 1, 1], "all are told that it is gone");
        let text = bench.metrics.render();
        text.lines().filter(|line| line.starts_with("jackfield_worker_deaths_total{")).count()
    };
    assert_eq!((deaths_by(DeathKind::Released).await, deaths_by(DeathKind::Exit).await), (0, 1));
}
