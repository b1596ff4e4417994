//! Behind nginx and Caddy with the configurations that are shipped, TLS at the proxy: WebSocket, plain HTTP and event streams
//! go through, nothing is held back, and the host knows whose requests they are.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use jackfield_tests::{
    artifacts,
    host::{Host, Setup, TempFolder, Tenant},
    patience, skipped, until,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{metrics::shipped, tls::Authority};

/// A proxy in front of a host.
struct Proxy {
    process: Child,
    address: SocketAddr,
    folder: TempFolder,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx's workers end with their master only if it is asked.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// A text with others in place of some of its parts, each of which is there.
fn with(mut text: String, changes: &[(&str, &str)]) -> String {
    for (old, new) in changes {
        assert!(text.contains(old), "{old} is in\n{text}");
        text = text.replace(old, new);
    }
    text
}

impl Proxy {
    /// `None`: the proxy is not on this machine.
    async fn start(name: &str, host: &Host) -> Option<Self> {
        if Command::new(name).arg(if name == "nginx" { "-v" } else { "version" }).output().is_err() {
            skipped(&format!("{name} is not installed (Debian: apt-get install {name})"));
            return None;
        }
        let folder = TempFolder::new();
        let authority = Authority::new();
        let own = authority.signs();
        for (file, text) in [("ca.pem", &authority.pem), ("server.pem", &own.certificate), ("server.key", &own.key)] {
            fs::write(folder.0.join(file), text).unwrap();
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = if name == "nginx" { nginx(&folder, host, address) } else { caddy(&folder, host, address) };
        let log = fs::File::create(folder.0.join("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut proxy = Self { process, address, folder };
        let listens = || {
            assert!(proxy.process.try_wait().unwrap().is_none(), "{name} ended:\n{}", proxy.log());
            let listens = TcpStream::connect(address).is_ok();
            async move { listens.then_some(()) }
        };
        until(&format!("{name} listens"), listens).await;
        Some(proxy)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    /// curl, which trusts the proxy's certificate and comes from another address of this machine.
    fn curl(&self, token: &str, path: &str) -> tokio::process::Command {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", "--interface", "127.0.0.5", "--cacert"]);
        curl.arg(self.folder.0.join("ca.pem")).arg(format!("https://{}/v1/tenants/demo/{path}", self.address));
        curl.args(["--header", &format!("Authorization: Bearer {token}")]).stdin(Stdio::null()).kill_on_drop(true);
        curl
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let asked = self.curl("tok-secret", path).args(["--data", &body.to_string()]).output();
        let said = patience("the answer through the proxy", asked).await.unwrap();
        assert!(said.status.success(), "{said:?}\n{}", self.log());
        serde_json::from_slice(&said.stdout).unwrap()
    }
}

/// The shipped configuration, in a frame of its own, for this host and this address.
fn nginx(folder: &TempFolder, host: &Host, address: SocketAddr) -> Command {
    let path = |name: &str| folder.0.join(name).display().to_string();
    let shipped = fs::read_to_string(shipped().join("../nginx/jackfield.conf")).unwrap();
    let server = with(
        shipped,
        &[
            ("127.0.0.1:8080", &host.address),
            ("listen 443", &format!("listen {address}")),
            ("/etc/ssl/cti.example.pem", &path("server.pem")),
            ("/etc/ssl/cti.example.key", &path("server.key")),
            ("/var/log/nginx/jackfield.log", &path("access")),
        ],
    );
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|kind| format!("{kind}_temp_path {};\n", path(kind))).collect();
    let frame = format!(
        "daemon off;\npid {};\nerror_log stderr;\nevents {{}}\nhttp {{\n{temporary}{server}\n}}\n",
        path("pid")
    );
    fs::write(folder.0.join("nginx.conf"), frame).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder.0).args(["-e", "stderr", "-c"]).arg(folder.0.join("nginx.conf"));
    command
}

/// The shipped configuration for this host and this address, with a certificate in place of one that Caddy would ask for.
fn caddy(folder: &TempFolder, host: &Host, address: SocketAddr) -> Command {
    let path = |name: &str| folder.0.join(name).display().to_string();
    let shipped = fs::read_to_string(shipped().join("../caddy/Caddyfile")).unwrap();
    let site = format!("https://{address} {{\n\ttls {} {}\n", path("server.pem"), path("server.key"));
    let site = with(shipped, &[("127.0.0.1:8080", &host.address), ("cti.example {\n", &site)]);
    fs::write(folder.0.join("Caddyfile"), format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}"))
        .unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.0.join("Caddyfile"));
    command.env("XDG_DATA_HOME", &folder.0).env("XDG_CONFIG_HOME", &folder.0).env("HOME", &folder.0);
    command
}

async fn behind(name: &str) {
    let setup = Setup::new().listener("trusted_proxies = [\"127.0.0.1\"]");
    let host = setup.tenant(Tenant::simulator("demo").tokens(&[("desk", "tok-secret")])).start().await;
    let Some(proxy) = Proxy::start(name, &host).await else { return };

    // A WebSocket: a call of the terminal's desktop.
    fs::write(proxy.folder.0.join("token"), "tok-secret").unwrap();
    let script = "addchannel Telephony 2001\nactivate c1\nready c1\nlogout\n";
    fs::write(proxy.folder.0.join("script"), script).unwrap();
    let mut agent = tokio::process::Command::new(artifacts::jackfield());
    agent.arg("agent").arg(format!("https://{}", proxy.address)).args(["--password", "any", "--ca"]);
    agent.arg(proxy.folder.0.join("ca.pem")).arg("--token-file").arg(proxy.folder.0.join("token"));
    agent.stdin(fs::File::open(proxy.folder.0.join("script")).unwrap());
    let said = patience("the script's end", agent.output()).await.unwrap();
    assert!(said.status.success(), "{name}: {said:?}\n{}", proxy.log());

    // Plain HTTP, and an event stream that tells each event at once.
    let prepare = json!({"command": "prepareSession", "data": {"agent": {"id": "1002", "password": "any"}}});
    let session = proxy.post("sessions", prepare).await["data"]["session"]["id"].as_str().unwrap().to_owned();
    let mut stream =
        proxy.curl("tok-secret", &format!("sessions/{session}/events")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines();
    let first = patience("the stream begins", lines.next_line()).await.unwrap();
    assert_eq!(first.as_deref(), Some("event: bind"), "{name}");
    let start = json!({"command": "session.start", "target": session});
    let answer = proxy.post(&format!("sessions/{session}/commands"), start).await;
    assert_eq!(answer["result"], "success", "{name}: {answer}");
    let initialized = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("session.initialized") {
                return;
            }
        }
        panic!("{name}: the stream ends");
    };
    patience("the event comes while the stream is open", initialized).await;

    // A wrong token is refused, and the log says where it came from; none is logged on the way.
    let refused = patience("the refusal", proxy.curl("wrong", "extensions").output()).await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stdout).contains("unauthorized"), "{name}: {refused:?}");
    host.logs("127.0.0.5").await;
    assert!(!proxy.log().contains("tok-secret"), "{name} logs a token");
}

#[tokio::test]
async fn desktops_work_through_nginx() {
    behind("nginx").await;
}

#[tokio::test]
async fn desktops_work_through_caddy() {
    behind("caddy").await;
}
