//! The alerts that are shipped, in a real Prometheus that scrapes a real host: each fault fires its own, and good health
//! none.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use futures_util::StreamExt as _;
use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, TempFolder, Tenant, kill},
    http::{self, Http, Kept},
    puppet::Puppet,
    skipped, until,
};
use serde_json::{Value, json};

use super::{metrics::shipped, tls::Authority};

/// A Prometheus with the shipped configuration and rules. Two things are other than shipped, so that nobody has to wait for
/// minutes: it looks four times a second, and an alert fires as soon as its expression holds (`for` is 0 s).
pub(crate) struct Prometheus {
    process: Child,
    address: String,
    _folder: TempFolder,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// `None`: there is no Prometheus on this machine.
    pub(crate) fn start(hosts: &[&Host]) -> Option<Self> {
        if Command::new("prometheus").arg("--version").output().is_err() {
            skipped("prometheus is not installed (Debian: apt-get install prometheus)");
            return None;
        }
        let folder = TempFolder::new();
        let targets: Vec<&str> = hosts.iter().map(|host| host.operations.as_str()).collect();
        let configuration = fs::read_to_string(shipped().join("prometheus.yml")).unwrap();
        assert!(configuration.contains(r#"["127.0.0.1:9464"]"#) && configuration.contains(": 15s"));
        let configuration = configuration.replace(r#"["127.0.0.1:9464"]"#, &format!("{targets:?}"));
        fs::write(folder.0.join("prometheus.yml"), configuration.replace(": 15s", ": 250ms")).unwrap();
        let rules = fs::read_to_string(shipped().join("alerts.yml")).unwrap();
        let rules = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
        fs::write(folder.0.join("alerts.yml"), rules.collect::<Vec<_>>().join("\n")).unwrap();
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let process = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, address, _folder: folder })
    }

    pub(crate) async fn ask(&self, path: &str) -> Option<Value> {
        let (status, body) = http::get(&self.address, path).await.ok()?;
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// What fires: name, and the tenant or listener that it is about.
    async fn firing(&self) -> Vec<(String, String)> {
        let Some(answer) = self.ask("/api/v1/alerts").await else { return Vec::new() };
        let alerts = answer["data"]["alerts"].as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        let of = |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
        alerts.map(|alert| (of(alert, "alertname"), of(alert, "tenant") + &of(alert, "listener"))).collect()
    }

    async fn is_firing(&self, alert: &str, about: &str) -> bool {
        self.firing().await.iter().any(|(name, of)| name == alert && of == about)
    }

    async fn fires(&self, alert: &str, about: &str) {
        let fires = || async { self.is_firing(alert, about).await.then_some(()) };
        until(&format!("{alert} fires for {about:?}"), fires).await;
    }

    /// The number of samples of `up` that are 1, of all hosts together.
    pub(crate) async fn scrapes(&self) -> f64 {
        let answer = self.ask("/api/v1/query?query=sum(count_over_time((up==1)[1m:250ms]))").await;
        let answer = answer.unwrap_or_default();
        answer["data"]["result"][0]["value"][1].as_str().map_or(0.0, |number| number.parse().unwrap())
    }
}

/// A host whose certificate runs out in three days.
async fn host_with_an_old_certificate() -> Host {
    let old = Authority::new().signs_until("+3 days");
    let setup = Setup::new().tenant(Tenant::simulator("calm"));
    let setup = setup.listener("[listener.tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"");
    setup.file("server.pem", &old.certificate).file("server.key", &old.key).start().await
}

async fn state(host: &Host, tenant: &str) -> (String, u64) {
    let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    let about = tenants.as_array().unwrap().iter().find(|it| it["id"] == tenant).unwrap();
    let adapters: Value = serde_json::from_str(&host.operations("/adapters").await).unwrap();
    let mut tenants = adapters.as_array().unwrap().iter().flat_map(|it| it["tenants"].as_array().unwrap());
    let worker = tenants.find(|it| it["id"] == tenant).and_then(|it| it["worker"].as_u64()).unwrap_or_default();
    (about["state"].as_str().unwrap().to_owned(), worker)
}

/// Sends so many requests with wrong tokens. All but the first are refused before the token is looked at.
async fn guess(host: &Host, tenant: &str, times: usize) {
    let attempts = futures_util::stream::iter(0..times).for_each_concurrent(32, |at| async move {
        let http = Http::new(host, tenant).token(&format!("guess{at}"));
        let status = http.post("/tokens", "{}").await.status;
        assert!([401, 429].contains(&status), "{status}");
    });
    attempts.await;
}

#[tokio::test]
async fn each_fault_fires_its_alert_in_a_real_prometheus() {
    let puppet = Puppet::start().await;
    let host = Setup::new()
        .tenant(Tenant::puppet("dying", &puppet).isolation("tenant"))
        .tenant(Tenant::simulator("cut").settings("link_ms = 3600000"))
        .tenant(Tenant::simulator("full").limits("sessions = 1\nconnections = 20"))
        .tenant(Tenant::simulator("closed").tokens(&[("desk", "jf_right")]))
        .start()
        .await;
    let Some(prometheus) = Prometheus::start(&[&host]) else { return };

    // In good health, with agents at work, none fires.
    let mut agent = Agent::connect(&host, "cut").await;
    agent.log_in("1001").await;
    let phone = agent.has_phone("2001").await;
    let mut desktops = Vec::new();
    for _ in 0..12 {
        desktops.push(Agent::connect(&host, "full").await);
    }
    until("Prometheus has looked", || async { (prometheus.scrapes().await >= 8.0).then_some(()) }).await;
    // But for a moment that of a host that was scraped too late, on a busy machine.
    let none = || async {
        let firing = prometheus.firing().await;
        assert!(firing.iter().all(|(alert, _)| alert == "JackfieldDown"), "{firing:?}");
        firing.is_empty().then_some(())
    };
    until("none fires", none).await;

    // Saturation: the sessions of a tenant are used up, then its connections.
    desktops[0].log_in("1001").await;
    prometheus.fires("JackfieldSessionsNearLimit", "full").await;
    for _ in 0..9 {
        if let Ok(one_more) = Agent::connect_with(&host, "full", Connect { token: None, subprotocols: None }).await {
            desktops.push(one_more);
        }
    }
    prometheus.fires("JackfieldConnectionsRefused", "").await;
    let full = || async {
        let _ = Agent::connect_with(&host, "full", Connect::default()).await;
        prometheus.is_firing("JackfieldLimitReached", "full").await.then_some(())
    };
    until("JackfieldLimitReached fires while a limit is reached again and again", full).await;

    // A platform that cannot be reached, and commands that fail by it.
    let session = agent.session.clone();
    agent.command("session.request.simulator.link", &session, json!({"up": false})).await;
    prometheus.fires("JackfieldLinkDown", "cut").await;
    agent.fails_quickly("channel.request.dial", &phone, json!({"destination": "5551234"}), "link_down").await;
    prometheus.fires("JackfieldFaults", "cut").await;

    // Somebody tries tokens, more than five a second for five minutes.
    guess(&host, "closed", 2_000).await;
    prometheus.fires("JackfieldAuthFailures", "closed").await;

    // All desktops vanish, but for a client that keeps a connection and has no session.
    let mut kept = Kept::open(&host.address).await;
    kept.ask("cut").await;
    agent.cut();
    desktops.into_iter().for_each(Agent::cut);
    prometheus.fires("JackfieldNoDesktops", "").await;

    // A worker that dies again and again.
    let mut killed = 0;
    while state(&host, "dying").await.0 != "quarantined" {
        let (state, worker) = state(&host, "dying").await;
        if state == "connected" && worker != 0 && worker != killed {
            killed = worker;
            kill(worker);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // between two questions only
    }
    prometheus.fires("JackfieldTenantQuarantined", "dying").await;
    prometheus.fires("JackfieldWorkersDie", "").await;

    // Settings that its adapter refuses, and a tenant's file that is wrong, at a reload.
    let twice = "{ id = \"1001\", password = \"a\" }";
    let refused = format!("adapter = \"simulator\"\nauth.kind = \"none\"\nsettings.agents = [{twice}, {twice}]\n");
    fs::write(host.folder().join("tenants/refused.toml"), refused).unwrap();
    fs::write(host.folder().join("tenants/wrong.toml"), "adapter = 7").unwrap();
    host.act("/reload").await;
    prometheus.fires("JackfieldReloadFailed", "").await;
    prometheus.fires("JackfieldTenantMisconfigured", "").await;
    prometheus.fires("JackfieldTenantRefused", "refused").await;

    // No tenant runs at all, and then no host.
    for tenant in ["dying", "cut", "full", "closed", "refused"] {
        host.act(&format!("/tenants/{tenant}/remove")).await;
    }
    prometheus.fires("JackfieldNoTenant", "").await;
    drop(host);
    prometheus.fires("JackfieldDown", "").await;
}

#[tokio::test]
async fn a_certificate_that_is_about_to_run_out_fires_its_alert_until_it_is_renewed() {
    let host = host_with_an_old_certificate().await;
    let Some(prometheus) = Prometheus::start(&[&host]) else { return };
    prometheus.fires("JackfieldCertificateExpires", "listener.tls").await;
    let new = Authority::new().signs_until("+60 days");
    fs::write(host.folder().join("server.pem"), &new.certificate).unwrap();
    fs::write(host.folder().join("server.key"), &new.key).unwrap();
    until("it fires no more", || async { prometheus.firing().await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_fires_its_alert() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let host = Setup::new().tenant(Tenant::simulator("demo")).stderr(full).start().await;
    let Some(prometheus) = Prometheus::start(&[&host]) else { return };
    let lost = || async {
        // What is done is told in the log, which is not there.
        host.act("/reload").await;
        prometheus.is_firing("JackfieldLogLost", "").await.then_some(())
    };
    until("JackfieldLogLost fires", lost).await;
}

#[test]
fn each_alert_is_explained_to_operators() {
    let rules = fs::read_to_string(shipped().join("alerts.yml")).unwrap();
    let guide = fs::read_to_string(shipped().join("../../host/docs/operations.md")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(guide.contains(&format!("\n| {alert} | ")), "{alert} is not in the table of host/docs/operations.md");
    }
}
