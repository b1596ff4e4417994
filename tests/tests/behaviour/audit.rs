//! The audit log, and lines of one tenant alone.

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    puppet::Puppet,
    until,
};
use serde_json::{Value, json};

/// The lines of the audit log that say this, once there are any.
async fn audit(host: &Host, message: &str) -> Vec<Value> {
    let lines = || async {
        let lines: Vec<Value> = host.log_lines(message).into_iter().filter(|line| line["target"] == "audit").collect();
        (!lines.is_empty()).then_some(lines)
    };
    until(&format!("the audit log says {message}"), lines).await
}

#[tokio::test]
async fn the_audit_log_says_who_came_in_who_did_not_and_who_changed_what() {
    let tenant = Tenant::simulator("acme")
        .tokens(&[("crm", "jf_right")])
        .limits("sessions = 1")
        .settings("agents = [{ id = \"1001\", password = \"pass-phrase\" }]");
    let host = Setup::new().main("[log]\nfilter = \"error\"\nformat = \"json\"").tenant(tenant).start().await;
    let connect = async || {
        let how = jackfield_tests::agent::Connect { token: Some("jf_right".into()), ..Default::default() };
        Agent::connect_with(&host, "acme", how).await.unwrap()
    };
    let mut agent = connect().await;
    assert_eq!(agent.prepare_with("1001", "guessed-phrase", false).await["failure"]["code"], "unauthorized");
    assert_eq!(agent.prepare_with("1001", "pass-phrase", false).await["result"], "success");
    let mut second = connect().await;
    assert_eq!(second.prepare_with("1002", "pass-phrase", false).await["failure"]["code"], "quota_exceeded");
    let file = host.folder().join("tenants/acme.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("sessions = 1", "sessions = 2")).unwrap();
    assert_eq!(host.post("/reload").await.0, 200);
    assert_eq!(host.post("/tenants/acme/suspend").await.0, 200);

    let refused = &audit(&host, "a log-in was refused").await[0];
    let expected = json!(["acme", "1001", "crm", "127.0.0.1", "unauthorized"]);
    assert_eq!(
        json!([refused["tenant"], refused["agent"], refused["by"], refused["client"], refused["outcome"]]),
        expected
    );
    let accepted = &audit(&host, "an agent has logged in").await[0];
    assert_eq!(json!([accepted["tenant"], accepted["agent"], accepted["by"]]), json!(["acme", "1001", "crm"]));
    let reached = &audit(&host, "a limit was reached").await[0];
    assert_eq!(json!([reached["tenant"], reached["limit"]]), json!(["acme", "sessions"]));
    let changed = &audit(&host, "a tenant's file has changed").await[0];
    assert_eq!(json!([changed["tenant"], changed["parts"]]), json!(["acme", "limits"]));
    let ended = &audit(&host, "a session has ended").await[0];
    assert_eq!(json!([ended["agent"], ended["reason"]]), json!(["1001", "tenant_removed"]));
    let acted = || async {
        let lines = audit(&host, "an operator has acted").await;
        lines.into_iter().find(|line| line["tenant"] == "acme" && line["status"] == 200)
    };
    until("the audit log says that an operator has acted on the tenant", acted).await;
    let log = host.log();
    assert!(!log.contains("phrase") && !log.contains("jf_right") && !log.contains(&agent.session), "{log}");
    assert_eq!(host.log_lines("the platform is connected"), Vec::<Value>::new(), "the filter holds for other lines");
}

#[tokio::test]
async fn more_is_written_of_one_tenant_after_a_reload_and_an_endpoint_stands_in_no_warning() {
    let puppet = Puppet::start().await;
    let host = Setup::new()
        .main("[log]\ndetails = []\nformat = \"json\"")
        .tenant(Tenant::puppet("demo", &puppet))
        .start()
        .await;
    let agent = host.log_in("1001").await;
    // A channel that is not there, without what would create it.
    let unknown = json!({"channels": [{"key": "tel:5550199", "status": "INACTIVE"}]});
    puppet.report("1001", unknown.clone()).await;
    host.logs("something was left out of a report").await;
    let warned = &host.log_lines("something was left out of a report")[0];
    assert_eq!(json!([warned["tenant"], warned["adapter"]]), json!(["demo", "puppet"]));
    assert!(!host.log().contains("5550199"));
    let file = host.folder().join("jackfield.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (details, expected) in [("tenant=other:debug", false), ("tenant=demo:debug", true)] {
        std::fs::write(&file, text.replace("details = []", &format!("details = [\"{details}\"]"))).unwrap();
        let (_, answer) = host.post("/reload").await;
        assert_eq!(answer["applied"], json!(["log.details"]), "{answer}");
        let before = host.log_lines("something was left out of a report").len();
        puppet.report("1001", unknown.clone()).await;
        let again = || async { (host.log_lines("something was left out of a report").len() > before).then_some(()) };
        until("it is left out again", again).await;
        // The details stand behind the warning.
        if expected {
            host.logs("5550199").await;
        }
        all_is_written(&host).await;
        assert_eq!(host.log().contains("5550199"), expected, "{details}");
    }
    agent.finish().await;
}

#[tokio::test]
async fn a_worker_that_runs_already_logs_as_the_reload_says() {
    const WHISPER: &str = "a line for developers";
    let tenant = |name: &str| Tenant::new(name, "odd").isolation("tenant");
    let host = Setup::new()
        .main("[log]\ndetails = []\nformat = \"json\"")
        .tenant(tenant("demo"))
        .tenant(tenant("other"))
        .start()
        .await;
    let (mut one, mut two) = (Agent::connect(&host, "demo").await, Agent::connect(&host, "other").await);
    one.log_in("1001").await;
    two.log_in("1001").await;
    let file = host.folder().join("jackfield.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let worker = host.worker("demo").await;
    let rounds = [("", false), ("\"tenant=demo:debug\"", true), ("", false)];
    for (round, (details, expected)) in rounds.into_iter().enumerate() {
        std::fs::write(&file, text.replace("details = []", &format!("details = [{details}]"))).unwrap();
        assert_eq!(host.post("/reload").await.0, 200);
        let before = host.log_lines(WHISPER).len();
        // In either worker; what follows is written behind it.
        for agent in [&mut one, &mut two] {
            for what in ["whisper", "log"] {
                let session = agent.session.clone();
                let data = json!({"what": what, "lines": 1});
                assert_eq!(agent.command("session.request.odd.do", &session, data).await["result"], "success");
            }
        }
        let written = || async { (host.log_lines("a line of log").len() == 2 * (round + 1)).then_some(()) };
        until("what follows is written", written).await;
        all_is_written(&host).await;
        let whispered = &host.log_lines(WHISPER)[before..];
        assert_eq!(whispered.len(), usize::from(expected), "{details}: {whispered:?}");
        assert!(whispered.iter().all(|line| line["tenant"] == "demo"), "{whispered:?}");
    }
    assert_eq!(host.worker("demo").await, worker, "it is the same process");
}

/// Waits until what was logged before has been written: a line that is written behind it.
async fn all_is_written(host: &Host) {
    let ended = host.log_lines("an operator has acted").len();
    host.post("/tenants/demo/release").await;
    let more = || async { (host.log_lines("an operator has acted").len() > ended).then_some(()) };
    until("a later line is written", more).await;
}
