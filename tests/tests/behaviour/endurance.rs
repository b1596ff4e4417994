//! Abuse in numbers: nothing of it may stay behind.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    load::process,
    until,
    words::{ANSWERED, CALL_COMES},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Which series there are, and what the process holds.
struct Traces {
    series: BTreeSet<String>,
    files: usize,
    threads: u64,
    resident_kib: u64,
}

impl Traces {
    /// Nothing that stays has come since `before` but what is allowed for: so many KiB.
    fn nothing_stays_since(&self, before: &Self, kib: u64) {
        let new: Vec<_> = self.series.difference(&before.series).collect();
        assert!(new.is_empty(), "series: {new:?}");
        assert!(self.files <= before.files + 2, "open files: {} and {}", before.files, self.files);
        let grown = self.resident_kib.saturating_sub(before.resident_kib);
        assert!(grown < kib, "memory: {} and {} KiB", before.resident_kib, self.resident_kib);
    }
}

/// Those that only waited for a disk end when they have had nothing to do for a while.
async fn has_as_few_threads_as(host: &Host, before: &Traces) {
    let as_few = || async { (process::threads(host.pid()) <= before.threads).then_some(()) };
    until("there are no more threads than before", as_few).await;
}

async fn traces(host: &Host) -> Traces {
    let text = host.operations("/metrics").await;
    let name = |line: &str| line.rsplit_once(' ').map_or(line, |(name, _)| name).to_owned();
    Traces {
        series: text.lines().filter(|line| !line.starts_with('#')).map(name).collect(),
        files: process::open_files(host.pid()),
        threads: process::threads(host.pid()),
        resident_kib: process::resident_kib(host.pid()),
    }
}

/// One agent in the middle of a call, whose connection is cut without a word.
async fn cut_in_the_middle_of_a_call(host: &Host, number: usize) {
    let mut agent = Agent::connect_with(host, "demo", Connect::default()).await.unwrap();
    let name = format!("cut{number}");
    agent.prepare(&name, true).await;
    let session = agent.session.clone();
    agent.command("session.start", &session, json!({})).await;
    agent.hears_until("session.initialized").await;
    let data = json!({"channel": {"endpoint": name, "type": "Telephony"}});
    agent.command("session.request.addchannel", &session, data).await;
    agent.hears_until("channel.initialized").await;
    let channel = agent.the("channel");
    agent.command("channel.request.activate", &channel, json!({})).await;
    agent.hears_until("state.updated(channel)").await;
    let inbound = json!({"type": "Telephony", "from": "+15550100"});
    agent.command("session.request.simulator.inbound", &session, inbound).await;
    agent.hears(CALL_COMES).await;
    let call = agent.the("primary");
    agent.command("conversation.request.answer", &call, json!({})).await;
    agent.hears(ANSWERED).await;
    // A command in flight, then gone; the caller hangs up by itself later, so that the grace can run.
    agent.send("conversation.request.simulator.remotehangup", &call, json!({})).await;
    agent.cut();
}

const MALFORMED: [&str; 10] = [
    "{",
    "[]",
    "null",
    "{\"command\":7}",
    "{\"command\":\"channel.request.ready\",\"target\":[]}",
    "{\"command\":\"x\",\"data\":3}",
    "{\"command\":\"session.start\",\"requestId\":{}}",
    "{\"command\":\"prepareSession\",\"data\":{\"agent\":{\"id\":\"x\"}}}",
    "{\"command\":\"bindSession\",\"data\":{\"session\":{\"id\":\"zzz\"},\"after\":-4}}",
    "{\"command\":\"\\ud800\"}",
];

async fn ten_thousand_malformed_messages(host: &Host) {
    for _ in 0..10 {
        let mut agent = host.connect().await;
        for _ in 0..20 {
            for at in 0..50 {
                agent.send_text(MALFORMED[at % MALFORMED.len()]).await;
            }
            for _ in 0..50 {
                let response = agent.any_response().await;
                assert_eq!(response["result"], "failure", "{response}");
            }
        }
        agent.cut();
    }
}

async fn a_thousand_cuts(host: &Host, from: usize) {
    for number in (from..from + 1_000).step_by(10) {
        let cuts = (number..number + 10).map(|number| cut_in_the_middle_of_a_call(host, number));
        futures_util::future::join_all(cuts).await;
    }
}

async fn all_gone(host: &Host) {
    let gone = || async {
        let sessions = host.metric("jackfield_sessions{tenant=\"demo\"}").await;
        let connections = host.metric("jackfield_connections{tenant=\"demo\"}").await;
        (sessions == 0.0 && connections == 0.0).then_some(())
    };
    until("all sessions and connections have ended", gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_malformed_messages_and_a_thousand_cuts_leave_nothing_behind() {
    let tenant = Tenant::simulator("demo").limits("resume_grace = \"300ms\"");
    let host = Setup::new().main("[log]\nfilter = \"warn\"").tenant(tenant).start().await;
    // Once before it counts: allocators, thread pools and series of first use are no leak.
    ten_thousand_malformed_messages(&host).await;
    a_thousand_cuts(&host, 0).await;
    all_gone(&host).await;
    let before = traces(&host).await;
    ten_thousand_malformed_messages(&host).await;
    a_thousand_cuts(&host, 1_000).await;
    all_gone(&host).await;
    has_as_few_threads_as(&host, &before).await;
    traces(&host).await.nothing_stays_since(&before, 2_048);
    let sessions: serde_json::Value = serde_json::from_str(&host.operations("/sessions").await).unwrap();
    assert_eq!(sessions, json!([]));
    // And it works as ever.
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent.talks().await;
    agent.finish().await;
}

/// Agents who set themselves ready and not ready without a pause, until they are told to stop.
struct Work {
    stop: Arc<AtomicBool>,
    agents: Vec<JoinHandle<usize>>,
}

impl Work {
    async fn begin(host: &Host, agents: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut working = Vec::new();
        for number in 0..agents {
            let mut agent = host.log_in(&format!("works{number}")).await;
            let channel = agent.has_phone(&format!("works{number}")).await;
            let stop = Arc::clone(&stop);
            working.push(tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    for command in ["channel.request.ready", "channel.request.notready"] {
                        let answer = agent.command(command, &channel, json!({"reasoncode": "lunch"})).await;
                        assert_eq!(answer["result"], "success", "{answer}");
                        done += 1;
                    }
                    agent.forget_heard();
                }
                agent.finish().await;
                done
            }));
        }
        Self { stop, agents: working }
    }

    /// How many commands each has sent, all of which have succeeded.
    async fn ends(self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut done = Vec::new();
        for agent in self.agents {
            done.push(agent.await.expect("no command is lost or refused"));
        }
        done
    }
}

/// One reload of each of five kinds: limits changed, `jackfield.toml` wrong, a tenant more (in a process of its own), that
/// tenant moved to other settings while another's file is wrong, and that tenant gone.
async fn five_reloads(host: &Host, round: usize) {
    let file = |name: &str| host.folder().join(name);
    let (main, demo) = (file("jackfield.toml"), file("tenants/demo.toml"));
    let (right_main, right_demo) = (fs::read_to_string(&main).unwrap(), fs::read_to_string(&demo).unwrap());
    let reload = || host.post("/reload");

    let sessions = 100 + round;
    fs::write(&demo, right_demo.replace("[limits]\n", &format!("[limits]\nsessions = {sessions}\n"))).unwrap();
    let (status, answer) = reload().await;
    assert_eq!((status, &answer["tenants"]["demo"]), (200, &json!("adopted")), "{answer}");

    fs::write(&main, right_main.clone() + "\n[nonsense]\n").unwrap();
    assert_eq!(reload().await.0, 422);
    fs::write(&main, right_main).unwrap();

    let guest =
        |ring: usize| format!("adapter = \"simulator\"\n[auth]\nkind = \"none\"\n[settings]\nring_ms = {ring}\n");
    fs::write(file("tenants/guest.toml"), guest(300)).unwrap();
    let (_, answer) = reload().await;
    assert_eq!(answer["tenants"]["guest"], "started", "{answer}");
    host.link_is_up("guest").await;

    fs::write(file("tenants/guest.toml"), guest(301)).unwrap();
    fs::write(&demo, "adapter = 7").unwrap();
    let (status, answer) = reload().await;
    assert_eq!((status, &answer["tenants"]["guest"]), (200, &json!("moving")), "{answer}");
    assert_ne!(answer["problems"], json!([]), "{answer}");

    fs::write(&demo, right_demo).unwrap();
    fs::remove_file(file("tenants/guest.toml")).unwrap();
    let (_, answer) = reload().await;
    assert_eq!(answer["tenants"]["guest"], "removed", "{answer}");
}

async fn no_worker_is_left(host: &Host) {
    let none = || async { process::children(host.pid()).is_empty().then_some(()) };
    until("no worker is left", none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_lose_no_command_and_leave_nothing_behind() {
    let host = Setup::new().main("[log]\nfilter = \"error\"").tenant(Tenant::simulator("demo")).start().await;
    let work = Work::begin(&host, 10).await;
    // Once before it counts.
    for round in 0..2 {
        five_reloads(&host, round).await;
    }
    no_worker_is_left(&host).await;
    let before = traces(&host).await;
    for round in 0..10 {
        five_reloads(&host, round).await;
    }
    no_worker_is_left(&host).await;
    has_as_few_threads_as(&host, &before).await;
    traces(&host).await.nothing_stays_since(&before, 6_144);
    let done = work.ends().await;
    assert!(done.iter().all(|done| *done > 0), "each has worked: {done:?}");
    let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    assert_eq!(tenants.as_array().map(Vec::len), Some(1), "{tenants}");
}
