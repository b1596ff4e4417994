//! What adapters do that they must not, through the real host with a desktop connected, in each isolation that is meant
//! for it: the outcomes that the plugin API's documentation promises.

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    until,
};
use serde_json::{Value, json};

const DO: &str = "session.request.odd.do";
/// `Kind::ANSWER` and `Kind::REPORT` of the plugin API.
const ANSWER: u32 = 102;
const REPORT: u32 = 103;

/// A host with two tenants of the odd adapter, and an agent on each.
struct Stage {
    host: Host,
    odd: Agent,
    other: Agent,
}

impl Stage {
    /// `odd` and `other` with this isolation.
    async fn with(isolation: &'static str) -> Self {
        let tenant = |name| {
            Tenant::new(name, "odd")
                .isolation(isolation)
                .worker("patience = \"3s\"\nmemory = \"200MiB\"\ntasks = 100")
                .limits("command_deadline = \"20s\"")
        };
        Self::of(tenant("odd"), tenant("other")).await
    }

    async fn of(odd: Tenant, other: Tenant) -> Self {
        let host = Setup::new().tenant(odd).tenant(other).start().await;
        let mut agents = Vec::new();
        for tenant in ["odd", "other"] {
            let mut agent = Agent::connect(&host, tenant).await;
            agent.log_in("1001").await;
            agents.push(agent);
        }
        let other = agents.pop().unwrap();
        Self { host, odd: agents.pop().unwrap(), other }
    }

    /// The response to a misdeed.
    async fn misdeed(&mut self, data: Value) -> Value {
        let session = self.odd.session.clone();
        self.odd.command(DO, &session, data).await
    }

    async fn deaths(&self, kind: &str) -> f64 {
        self.host.metric(&format!("jackfield_worker_deaths_total{{adapter=\"odd\",kind=\"{kind}\"}}")).await
    }

    async fn counted(&self, series: &str) {
        let series = format!("jackfield_plugin_{series}");
        until(&series, async || (self.host.metric(&series).await >= 1.0).then_some(())).await;
    }
}

/// The agent's commands are carried out.
async fn works(agent: &mut Agent) {
    let channel = agent.the("channel");
    for (command, data) in
        [("channel.request.ready", json!({})), ("channel.request.notready", json!({"reasoncode": "1"}))]
    {
        let response = agent.command(command, &channel, data).await;
        assert_eq!(response["result"], "success", "{response}");
    }
    agent.hears("channel.infochanged state.updated(channel)").await;
    agent.hears("channel.infochanged state.updated(channel)").await;
}

/// The agent's link goes and comes back, and nothing else is said.
async fn recovers(agent: &mut Agent) {
    for link in ["down", "up"] {
        let heard = agent.hears("session.linkchanged").await;
        assert_eq!(heard.data("session.linkchanged")["link"], link);
    }
}

fn code(response: &Value) -> &str {
    response["failure"]["code"].as_str().unwrap_or_default()
}

/// The tenant's worker dies of it, in a way that is told; its agents go on, and the other tenant notices nothing.
async fn costs_a_worker(what: &str, kind: &str) {
    let mut stage = Stage::with("tenant").await;
    let response = stage.misdeed(json!({"what": what})).await;
    assert_eq!(code(&response), "adapter_failed", "{what}: {response}");
    works(&mut stage.other).await;
    recovers(&mut stage.odd).await;
    works(&mut stage.odd).await;
    works(&mut stage.other).await;
    assert!((stage.deaths(kind).await - 1.0).abs() < 0.1, "{what} is counted as {kind}");
    stage.host.logs(&format!("\"reason\":\"{kind}: ")).await;
}

#[tokio::test]
async fn a_segmentation_fault_costs_a_worker() {
    costs_a_worker("segfault", "signal").await;
}

#[tokio::test]
async fn an_abort_costs_a_worker() {
    costs_a_worker("abort", "signal").await;
}

#[tokio::test]
async fn an_exit_costs_a_worker() {
    costs_a_worker("exit", "exit").await;
}

#[tokio::test]
async fn spinning_for_ever_costs_a_worker() {
    costs_a_worker("spin", "hang").await;
}

#[tokio::test]
async fn a_deadlock_costs_a_worker() {
    costs_a_worker("deadlock", "hang").await;
}

#[tokio::test]
async fn a_leak_costs_a_worker_at_its_limit() {
    costs_a_worker("leak", "memory").await;
}

#[tokio::test]
async fn memory_in_files_and_in_what_a_worker_has_started_counts() {
    costs_a_worker("memory file", "memory").await;
    costs_a_worker("memory of children", "memory").await;
}

#[tokio::test]
async fn more_and_more_threads_cost_a_worker() {
    costs_a_worker("threads", "tasks").await;
}

#[tokio::test]
async fn more_and_more_processes_cost_a_worker_even_those_that_it_has_let_go_of() {
    costs_a_worker("processes", "tasks").await;
}

#[tokio::test]
async fn a_frame_that_is_none_costs_a_worker() {
    let mut stage = Stage::with("tenant").await;
    // The kind of a payload that is no JSON text but of the right length is refused; a wrong length is not survived.
    let response = stage.misdeed(json!({"what": "tear"})).await;
    assert_eq!(code(&response), "adapter_failed", "{response}");
    recovers(&mut stage.odd).await;
    works(&mut stage.odd).await;
    works(&mut stage.other).await;
    assert!((stage.deaths("protocol").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_crash_of_a_shared_worker_costs_all_its_tenants_a_link_change() {
    let mut stage = Stage::with("adapter").await;
    let response = stage.misdeed(json!({"what": "segfault"})).await;
    assert_eq!(code(&response), "adapter_failed", "{response}");
    for agent in [&mut stage.odd, &mut stage.other] {
        recovers(agent).await;
        works(agent).await;
    }
    assert!((stage.deaths("signal").await - 1.0).abs() < 0.1, "one worker has died");
}

#[tokio::test]
async fn a_panic_costs_one_command_wherever_the_plugin_runs() {
    for isolation in ["none", "adapter", "tenant"] {
        let mut stage = Stage::with(isolation).await;
        let response = stage.misdeed(json!({"what": "panic"})).await;
        assert_eq!(code(&response), "adapter_failed", "{isolation}: {response}");
        works(&mut stage.odd).await;
        works(&mut stage.other).await;
        stage.counted("failures_total{adapter=\"odd\",kind=\"panic\"}").await;
        assert_eq!(stage.odd.unexpected(), Vec::<String>::new(), "{isolation}");
    }
}

#[tokio::test]
async fn a_late_answer_is_a_timeout_and_is_dropped_when_it_comes() {
    for isolation in ["none", "adapter", "tenant"] {
        let tenant = |name| Tenant::new(name, "odd").isolation(isolation).limits("command_deadline = \"1s\"");
        let mut stage = Stage::of(tenant("odd"), tenant("other")).await;
        let response = stage.misdeed(json!({"what": "late", "ms": 2000})).await;
        assert_eq!(code(&response), "timeout", "{isolation}: {response}");
        stage.counted("late_answers_total{adapter=\"odd\"}").await;
        let response = stage.misdeed(json!({"what": "version"})).await;
        assert_eq!(response["data"]["version"], "1.0.0", "{isolation}: the answer is to this command: {response}");
        assert_eq!(stage.odd.unexpected(), Vec::<String>::new(), "{isolation}");
    }
}

#[tokio::test]
async fn a_second_answer_reaches_nobody() {
    let mut stage = Stage::with("tenant").await;
    // Answers to each request that the session may have made so far, and then the real one.
    let mine = json!({"what": "forge", "kind": ANSWER, "id": 2, "requests": 50});
    let response = stage.misdeed(mine).await;
    assert_eq!(response["data"]["forged"], true, "the first answer counts, and it is its own session's: {response}");
    stage.counted("late_answers_total{adapter=\"odd\"}").await;
    let response = stage.misdeed(json!({"what": "version"})).await;
    assert_eq!(response["data"]["version"], "1.0.0", "{response}");
    works(&mut stage.other).await;
}

#[tokio::test]
async fn answers_and_reports_for_sessions_of_other_workers_reach_nobody() {
    let mut stage = Stage::with("tenant").await;
    let session = stage.other.session.clone();
    let slow = stage.other.send(DO, &session, json!({"what": "late", "ms": 300})).await;
    // The other tenant's agent has one of these ids, in its own worker.
    for id in (1..20).filter(|id| *id != 2) {
        stage.misdeed(json!({"what": "forge", "kind": ANSWER, "id": id, "requests": 20})).await;
        let report = json!({"snapshot": true, "channels": []});
        stage.misdeed(json!({"what": "forge", "kind": REPORT, "id": id, "requests": 1, "payload": report})).await;
    }
    assert_eq!(stage.other.response(slow).await["data"], json!({}), "its own answer");
    works(&mut stage.other).await;
    works(&mut stage.odd).await;
    assert_eq!(stage.other.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_printed_is_no_message_and_not_the_hosts_output_where_a_worker_printed_it() {
    for isolation in ["none", "adapter", "tenant"] {
        let mut stage = Stage::with(isolation).await;
        let response = stage.misdeed(json!({"what": "print"})).await;
        assert_eq!(response["result"], "success", "{isolation}: {response}");
        works(&mut stage.odd).await;
        assert_eq!(stage.host.log().contains("an adapter that prints"), isolation == "none", "{isolation}");
    }
}

#[tokio::test]
async fn what_is_written_to_the_standard_error_is_logged_under_the_tenants_name() {
    let mut stage = Stage::with("tenant").await;
    stage.misdeed(json!({"what": "complain"})).await;
    stage.host.logs("an adapter that complains").await;
    let log = stage.host.log();
    let line = log.lines().find(|line| line.contains("an adapter that complains")).unwrap();
    assert!(line.contains("odd:odd"), "{line}");
}

#[tokio::test]
async fn a_workers_last_words_are_the_operators_and_no_clients() {
    let mut stage = Stage::with("tenant").await;
    stage.misdeed(json!({"what": "complain"})).await;
    let response = stage.misdeed(json!({"what": "abort"})).await;
    assert_eq!(response["failure"]["context"], "the adapter's process died (signal)", "{response}");
    let heard = stage.odd.hears("session.linkchanged").await;
    assert_eq!(heard.data("session.linkchanged")["reason"], "the adapter's process died (signal)");
    stage.host.logs("signal 6 (SIGABRT): an adapter that complains").await;
}

#[tokio::test]
async fn a_flood_of_reports_slows_nobody_wherever_the_plugin_runs() {
    for isolation in ["none", "adapter", "tenant"] {
        // Room for all of it, so that the desktop's own reading does not matter.
        let tenant = |name| Tenant::new(name, "odd").isolation(isolation).limits("outbox_messages = 10000");
        let mut stage = Stage::of(tenant("odd"), tenant("other")).await;
        let Stage { odd, other, .. } = &mut stage;
        let session = odd.session.clone();
        let flood = odd.command(DO, &session, json!({"what": "flap", "reports": 2000}));
        let (response, ()) = tokio::join!(flood, works(other));
        assert_eq!(response["result"], "success", "{isolation}: {response}");
        odd.forget_heard();
        // The last word stands.
        works(odd).await;
    }
}
