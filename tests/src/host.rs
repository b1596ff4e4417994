//! A running `jackfield serve` with a configuration of the test's own, on free ports, ended when the test ends.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File},
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{artifacts, http, patience, puppet::Puppet, until};

/// One tenant's file, to be.
#[derive(Debug, Clone)]
pub struct Tenant {
    name: String,
    adapter: String,
    auth: String,
    limits: String,
    worker: String,
    settings: String,
    may_be_down: bool,
    isolation: &'static str,
    written: Option<String>,
    files: Vec<(String, String)>,
}

impl Tenant {
    /// A tenant with an adapter: a bare name, or the path of a library.
    pub fn new(name: &str, adapter: &str) -> Self {
        Self {
            name: name.into(),
            adapter: adapter.into(),
            auth: "kind = \"none\"\n".into(),
            limits: String::new(),
            worker: String::new(),
            settings: String::new(),
            may_be_down: false,
            isolation: "none",
            written: None,
            files: Vec::new(),
        }
    }

    /// A tenant of the puppet.
    pub fn puppet(name: &str, puppet: &Puppet) -> Self {
        Self::new(name, "test_puppet").settings(&format!("port = {}", puppet.port()))
    }

    /// A tenant of the simulator, with its default settings.
    pub fn simulator(name: &str) -> Self {
        Self::new(name, "simulator")
    }

    /// Lines for `[limits]`.
    #[must_use]
    pub fn limits(mut self, lines: &str) -> Self {
        let _ = writeln!(self.limits, "{lines}");
        self
    }

    /// Lines for `[worker]`.
    #[must_use]
    pub fn worker(mut self, lines: &str) -> Self {
        let _ = writeln!(self.worker, "{lines}");
        self
    }

    /// Lines for `[settings]`.
    #[must_use]
    pub fn settings(mut self, lines: &str) -> Self {
        let _ = writeln!(self.settings, "{lines}");
        self
    }

    /// Where the library runs; inside the host unless this says otherwise.
    #[must_use]
    pub fn isolation(mut self, isolation: &'static str) -> Self {
        self.isolation = isolation;
        self
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The whole file as somebody wrote it, instead of what the other verbs make.
    #[must_use]
    pub fn written(mut self, text: &str) -> Self {
        self.written = Some(text.into());
        self
    }

    /// A file beside the tenant's, such as a secret's.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.into(), text.into()));
        self
    }

    /// The host counts as started though this tenant's link is not up.
    #[must_use]
    pub fn may_be_down(mut self) -> Self {
        self.may_be_down = true;
        self
    }

    /// Only with one of these tokens: `(name, token)`.
    #[must_use]
    pub fn tokens(mut self, tokens: &[(&str, &str)]) -> Self {
        self.auth = "kind = \"token\"\n".into();
        for (name, token) in tokens {
            let _ = write!(self.auth, "[[auth.tokens]]\nname = \"{name}\"\nhash = \"{}\"\n", hash_of(token));
        }
        self
    }

    /// Lines for `[auth]`.
    #[must_use]
    pub fn auth(mut self, lines: &str) -> Self {
        self.auth = lines.into();
        self
    }

    fn text(&self) -> String {
        if let Some(written) = &self.written {
            return written.clone();
        }
        let Self { adapter, auth, limits, worker, settings, isolation, .. } = self;
        format!(
            "adapter = \"{adapter}\"\nisolation = \"{isolation}\"\n\n[auth]\n{auth}\n[limits]\n{limits}\n[worker]\n{worker}\n\
             [settings]\n{settings}"
        )
    }
}

/// A host to be started.
#[derive(Debug, Default)]
pub struct Setup {
    tenants: Vec<Tenant>,
    files: Vec<(String, String)>,
    main: String,
    written: Option<String>,
    listener: String,
    operations: String,
    operator: Option<String>,
    tls_for_operators: bool,
    installed: Vec<PathBuf>,
    in_its_folder: bool,
    descriptors: Option<u32>,
    group: bool,
    stderr: Option<OwnedFd>,
    environment: Vec<(String, String)>,
    sockets: Option<Sockets>,
}

impl Setup {
    /// A host without tenants.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// Adds a file to the folder of the configuration: `tenants/x.toml`.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.into(), text.into()));
        self
    }

    /// Adds lines to `jackfield.toml`; tables other than `listener` and `operations`.
    #[must_use]
    pub fn main(mut self, lines: &str) -> Self {
        let _ = writeln!(self.main, "{lines}");
        self
    }

    /// The whole `jackfield.toml` as somebody wrote it for the usual ports, instead of what the other verbs make. Only
    /// the ports and the store are other ones.
    #[must_use]
    pub fn written(mut self, text: &str) -> Self {
        self.written = Some(text.into());
        self
    }

    /// Adds lines to the table `listener` of `jackfield.toml`.
    #[must_use]
    pub fn listener(mut self, lines: &str) -> Self {
        let _ = writeln!(self.listener, "{lines}");
        self
    }

    /// Adds lines to the table `operations` of `jackfield.toml`.
    #[must_use]
    pub fn operations(mut self, lines: &str) -> Self {
        let _ = writeln!(self.operations, "{lines}");
        self
    }

    /// Asks the operators' listener with this token from then on.
    #[must_use]
    pub fn as_operator(mut self, token: &str) -> Self {
        self.operator = Some(token.into());
        self
    }

    /// The operators' listener speaks TLS, so the host counts as started when its log says so.
    #[must_use]
    pub fn with_tls_for_operators(mut self) -> Self {
        self.tls_for_operators = true;
        self
    }

    /// Installs a library in the store before the host starts.
    #[must_use]
    pub fn installed(mut self, library: &Path) -> Self {
        self.installed.push(library.to_owned());
        self
    }

    /// Starts the host in the folder of its configuration, which it is told by a bare file name.
    #[must_use]
    pub fn in_its_folder(mut self) -> Self {
        self.in_its_folder = true;
        self
    }

    /// Starts the host with this limit of open files.
    #[must_use]
    pub fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Starts the host as the first of a process group of its own, as a shell does.
    #[must_use]
    pub fn in_its_own_group(mut self) -> Self {
        self.group = true;
        self
    }

    /// Starts the host with this as its standard error, in place of a file that [`Host::log`] reads.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Starts the host with a variable in its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts the host with sockets that were opened for it, in place of the addresses of its configuration.
    #[must_use]
    pub fn sockets(mut self, sockets: &Sockets) -> Self {
        self.sockets = Some(sockets.duplicate());
        self
    }

    /// Starts the host and waits until it is ready and its tenants' links are up.
    pub async fn start(self) -> Host {
        let folder = Arc::new(TempFolder::new());
        fs::create_dir_all(folder.0.join("tenants")).expect("a folder can be made");
        for tenant in &self.tenants {
            fs::write(folder.0.join(format!("tenants/{}.toml", tenant.name)), tenant.text())
                .expect("a file is written");
            for (name, text) in &tenant.files {
                fs::write(folder.0.join("tenants").join(name), text).expect("a file is written");
            }
        }
        for (path, text) in &self.files {
            fs::write(folder.0.join(path), text).expect("a file is written");
        }
        let pings: HashMap<_, _> =
            self.tenants.iter().map(|tenant| (tenant.name.clone(), ping_of(&tenant.adapter))).collect();
        // A free port can be taken by someone else between here and there: then the host ends at once.
        for _ in 0..5 {
            let (port, operations) = two_free_ports();
            let made = || {
                format!(
                    "{}\n[listener]\naddress = \"127.0.0.1:{port}\"\n{}\n[operations]\naddress = \"127.0.0.1:{operations}\"\n\
                 {}\n[plugins]\nstore = \"store\"\n",
                    self.main, self.listener, self.operations
                )
            };
            let config = folder.0.join("jackfield.toml");
            let elsewhere = |text: &String| {
                text.replace(":8080\"", &format!(":{port}\""))
                    .replace(":9464\"", &format!(":{operations}\""))
                    .replace("\n[plugins]\n", "\n[plugins]\nstore = \"store\"\n")
            };
            fs::write(&config, self.written.as_ref().map_or_else(made, elsewhere)).expect("a file is written");
            for library in &self.installed {
                let install = [Path::new("plugin"), Path::new("install"), library, Path::new("--config"), &config];
                let done = Command::new(artifacts::jackfield()).args(install).output().expect("jackfield starts");
                assert!(done.status.success(), "{}: {done:?}", library.display());
            }
            let log = File::create(folder.0.join("log")).expect("a file is written");
            let stderr = self.stderr.as_ref().map(|given| given.try_clone().expect("a second handle"));
            let stderr = stderr.unwrap_or_else(|| log.try_clone().expect("a second handle").into());
            let mut command = match (self.descriptors, &self.sockets) {
                (None, None) => Command::new(artifacts::jackfield()),
                (_, Some(sockets)) => sockets.pass(),
                (Some(limit), None) => {
                    // It becomes the host.
                    let mut command = Command::new("prlimit");
                    command.arg(format!("--nofile={limit}:{limit}")).arg(artifacts::jackfield());
                    command
                }
            };
            if self.sockets.is_none() {
                command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle"));
            }
            command.arg("serve").arg("--config");
            if self.in_its_folder {
                command.current_dir(&folder.0).arg("jackfield.toml");
            } else {
                command.arg(&config);
            }
            if self.group {
                command.process_group(0);
            }
            let process = command
                .env("RUST_BACKTRACE", "1")
                .envs(self.environment.iter().map(|(name, value)| (name, value)))
                .stderr(stderr)
                .spawn()
                .expect("jackfield starts");
            let mut host = Host {
                process,
                folder: folder.clone(),
                address: self.sockets.as_ref().map_or(format!("127.0.0.1:{port}"), Sockets::desktops),
                operations: self.sockets.as_ref().map_or(format!("127.0.0.1:{operations}"), Sockets::operations),
                operator: self.operator.clone(),
                pings: pings.clone(),
            };
            if host.is_ready(self.tls_for_operators).await {
                for tenant in self.tenants.iter().filter(|tenant| !tenant.may_be_down) {
                    host.link_is_up(&tenant.name).await;
                }
                return host;
            }
            assert!(self.stderr.is_some() || host.log().contains("in use"), "jackfield ended:\n{}", host.log());
        }
        panic!("five times a free port was not free any more")
    }
}

/// Sockets that are opened for a host before it starts, as systemd does, and stay open when it has ended.
#[derive(Debug)]
pub struct Sockets {
    desktops: TcpListener,
    operations: TcpListener,
}

impl Sockets {
    /// Opens them, on free ports.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let open = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        Self { desktops: open(), operations: open() }
    }

    /// Where desktops connect.
    pub fn desktops(&self) -> String {
        self.desktops.local_addr().expect("it is bound").to_string()
    }

    /// Where operators ask.
    pub fn operations(&self) -> String {
        self.operations.local_addr().expect("it is bound").to_string()
    }

    fn duplicate(&self) -> Self {
        let duplicate = |socket: &TcpListener| socket.try_clone().expect("a second handle");
        Self { desktops: duplicate(&self.desktops), operations: duplicate(&self.operations) }
    }

    /// A command that becomes the host, with the sockets where systemd puts them: from descriptor 3 on, not in the order in
    /// which the host uses them, told by their names.
    fn pass(&self) -> Command {
        const SHELL: &str = "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_PID=$$ LISTEN_FDS=2 \
                             LISTEN_FDNAMES=operations:desktops; exec \"$@\"";
        let Self { desktops, operations } = self.duplicate();
        let mut command = Command::new("sh");
        command.args(["-c", SHELL, "sh"]).arg(artifacts::jackfield());
        command.stdin(OwnedFd::from(operations)).stdout(OwnedFd::from(desktops));
        command
    }
}

/// A running host.
pub struct Host {
    process: Child,
    folder: Arc<TempFolder>,
    /// Where desktops connect.
    pub address: String,
    /// Where operators ask.
    pub operations: String,
    operator: Option<String>,
    pings: HashMap<String, (&'static str, Value)>,
}

impl Host {
    /// A host with one tenant `demo` of the simulator.
    pub async fn simulator() -> Self {
        Setup::new().tenant(Tenant::simulator("demo")).start().await
    }

    /// A host with one tenant `demo` of the puppet.
    pub async fn puppet() -> (Self, Puppet) {
        let puppet = Puppet::start().await;
        let host = Setup::new().tenant(Tenant::puppet("demo", &puppet)).start().await;
        (host, puppet)
    }

    /// Waits until a tenant's link is up.
    pub async fn link_is_up(&self, tenant: &str) {
        let up = || async {
            let tenants: Value = serde_json::from_str(&self.operations("/tenants").await).expect("JSON");
            let tenants = tenants.as_array().expect("a list");
            tenants
                .iter()
                .any(|it| it["id"] == tenant && it["state"] == "connected" && it["link"] == "up")
                .then_some(())
        };
        until(&format!("{tenant}'s link is up; the log says:\n{}", self.log()), up).await;
    }

    /// The number of the process in which a tenant's plugin runs, once there is one.
    pub async fn worker(&self, tenant: &str) -> u64 {
        until(&format!("{tenant} has a worker"), || self.worker_now(tenant)).await
    }

    /// The same, if there is one now.
    pub async fn worker_now(&self, tenant: &str) -> Option<u64> {
        let adapters: Value = serde_json::from_str(&self.operations("/adapters").await).expect("JSON");
        let mut tenants = adapters.as_array()?.iter().flat_map(|it| it["tenants"].as_array().into_iter().flatten());
        tenants.find(|it| it["id"] == tenant)?["worker"].as_u64()
    }

    /// Kills the process in which a tenant's plugin runs, as a crash does.
    pub async fn kill_worker(&self, tenant: &str) {
        kill(self.worker(tenant).await);
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    /// The lines of its log, which is JSON where nobody reads it on a terminal, that say this.
    pub fn log_lines(&self, message: &str) -> Vec<Value> {
        let lines = self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
        let says = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(message));
        lines.into_iter().filter(says).collect()
    }

    /// The folder of its configuration.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Waits for a line in its log.
    pub async fn logs(&self, text: &str) {
        until(&format!("the log says {text}"), || async { self.log().contains(text).then_some(()) }).await;
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("its state can be asked").is_none()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("TERM", &self.pid().to_string());
    }

    /// Sends a signal to its whole process group, which must be its own.
    pub fn signal_group(&self, signal: &str) {
        self.signal(signal, &format!("-{}", self.pid()));
    }

    /// Sends a signal to the process in which a tenant's plugin runs, as systemd does with all of a service's.
    pub fn signal_worker(&self, pid: u64, signal: &str) {
        self.signal(signal, &pid.to_string());
    }

    fn signal(&self, signal: &str, to: &str) {
        let done = Command::new("kill").args(["-s", signal, "--", to]).status().expect("kill runs");
        assert!(done.success());
    }

    /// Waits for its end.
    pub async fn ends(&mut self) -> ExitStatus {
        let process = &mut self.process;
        let wait = async {
            loop {
                if let Some(status) = process.try_wait().expect("its state can be asked") {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await; // between two questions only
            }
        };
        patience("jackfield ends", wait).await
    }

    /// The body of a page of the operations listener.
    pub async fn operations(&self, path: &str) -> String {
        let request = self.operators_request("GET", path);
        let reply = http::send(&self.operations, request).await.expect("the operations listener answers");
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, 200, "{path}: {body}");
        body
    }

    /// Does what an operator can do by the operations listener.
    pub async fn act(&self, path: &str) {
        let status = http::status(&self.operations, self.operators_request("POST", path)).await;
        assert_eq!(status, 200, "{path}");
    }

    /// The same, with whatever status and JSON it is answered.
    pub async fn post(&self, path: &str) -> (u16, Value) {
        let request = self.operators_request("POST", path);
        let reply = http::send(&self.operations, request).await.expect("the operations listener answers");
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    fn operators_request(&self, method: &str, path: &str) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", &self.operations);
        if let Some(token) = &self.operator {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(http_body_util::Full::default()).expect("it is well formed")
    }

    /// The value of a metric's series; 0 when there is none. `series` as Prometheus writes it.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.operations("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    pub(crate) fn ping(&self, tenant: &str) -> (&'static str, Value) {
        self.pings.get(tenant).cloned().unwrap_or(("", json!({})))
    }

    async fn is_ready(&mut self, by_log: bool) -> bool {
        let (operations, log) = (self.operations.clone(), self.folder.0.join("log"));
        let process = &mut self.process;
        let wait = async {
            loop {
                if process.try_wait().expect("its state can be asked").is_some() {
                    return false;
                }
                let is_ready = if by_log {
                    fs::read_to_string(&log).is_ok_and(|log| log.contains("jackfield is running"))
                } else {
                    matches!(http::get(&operations, "/readyz").await, Ok((200, _)))
                };
                if is_ready {
                    return true;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await; // between two questions only
            }
        };
        patience("jackfield is ready", wait).await
    }
}

/// The hash of a token, as it stands in a file.
pub fn hash_of(token: &str) -> String {
    let digits: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Ends a process without asking it.
pub fn kill(pid: u64) {
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
    assert!(killed.success());
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("---- the host's log ends:\n{tail}\n----");
        }
    }
}

/// A command of the adapter that changes nothing and comes back after all that it has said.
fn ping_of(adapter: &str) -> (&'static str, Value) {
    if adapter.contains("puppet") {
        ("session.request.puppet.ping", json!({}))
    } else if adapter.contains("asterisk") {
        ("session.request.asterisk.ping", json!({}))
    } else if adapter.contains("incontact") {
        ("session.request.incontact.addressbook.stop", json!({}))
    } else {
        ("session.request.simulator.link", json!({"up": true}))
    }
}

fn two_free_ports() -> (u16, u16) {
    let free = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let (one, two) = (free(), free());
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    (port(&one), port(&two))
}

/// A folder that is removed with its value.
#[derive(Debug)]
pub struct TempFolder(pub PathBuf);

impl TempFolder {
    /// A new, empty folder.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("jackfield-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
