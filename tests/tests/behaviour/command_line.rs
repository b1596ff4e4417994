//! The commands beside `serve`: what they print and exit with, whoever reads it; and `jackfield agent`, as a script and
//! at a terminal.

use std::{
    fs::OpenOptions,
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
};

use jackfield_tests::{
    artifacts,
    asterisk::cut::Cut,
    host::{Host, Setup, TempFolder, Tenant},
    patience, until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

fn jackfield(arguments: &[&str]) -> Command {
    let mut command = Command::new(artifacts::jackfield());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Output {
    // Not by `output`, which would read both outputs whatever they were set to.
    patience("the command ends", command.spawn().unwrap().wait_with_output()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn full() -> std::fs::File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A pipe that nobody reads from any more.
fn closed() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

/// Commands that do something and print what they have done.
fn printing<'a>(config: &'a str, library: &'a str) -> [Vec<&'a str>; 3] {
    [
        vec!["check-config", config],
        vec!["plugin", "inspect", library],
        vec!["plugin", "install", library, "--config", config],
    ]
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_no_command_in_a_panic() {
    let host = Host::simulator().await;
    let config = host.folder().join("jackfield.toml");
    let config = config.to_str().unwrap();
    let library = artifacts::library("jackfield-simulator");
    let others = [vec!["plugin", "list", "--config", config], vec!["--help"]];
    for arguments in printing(config, library.to_str().unwrap()).into_iter().chain(others) {
        let mut to_closed = jackfield(&arguments);
        to_closed.stdout(closed());
        let ended = output(to_closed).await;
        assert_eq!((ended.status.code(), text(&ended.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_printed_has_not_succeeded() {
    let host = Host::simulator().await;
    let config = host.folder().join("jackfield.toml");
    let config = config.to_str().unwrap();
    let library = artifacts::library("jackfield-simulator");
    for arguments in printing(config, library.to_str().unwrap()).into_iter().chain([vec!["token", "new"]]) {
        let mut to_full = jackfield(&arguments);
        to_full.stdout(full());
        let ended = output(to_full).await;
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("the standard output cannot be written"), "{arguments:?}: {said}");
    }
    // A token that nobody could read is lost.
    let mut to_closed = jackfield(&["token", "new"]);
    to_closed.stdout(closed());
    assert_eq!(output(to_closed).await.status.code(), Some(1));
}

#[tokio::test]
async fn a_complaint_that_cannot_be_printed_is_no_panic() {
    for arguments in [vec!["check-config", "no/such/file"], vec!["serve", "--config", "no/such/file"]] {
        let mut to_full = jackfield(&arguments);
        to_full.stderr(full());
        assert_eq!(output(to_full).await.status.code(), Some(1), "{arguments:?}");
    }
}

/// Runs `jackfield agent` with lines as its standard input.
async fn script(address: &str, arguments: &[&str], lines: &str) -> Output {
    let mut agent = jackfield(&["agent", "--agent", "1001", "--password", "top-secret"]);
    agent.args(arguments).arg(address).stdin(Stdio::piped());
    let mut agent = agent.spawn().unwrap();
    agent.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    patience("the script has ended", agent.wait_with_output()).await.unwrap()
}

#[tokio::test]
async fn a_scripts_exit_status_tells_whether_all_its_commands_were_carried_out() {
    let host = Host::simulator().await;
    let address = format!("http://{}", host.address);
    let good = script(&address, &[], "addchannel Telephony 2001\nactivate c1\n").await;
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stdout));
    for wrong in ["activate c1", "fly c1", "{\"command\":\"nonsense\"}\n# one more\ntree"] {
        let bad = script(&address, &[], &format!("addchannel Telephony 2001\nactivate c1\n{wrong}\n")).await;
        assert_eq!(bad.status.code(), Some(1), "{wrong}: {}", text(&bad.stdout));
        assert!(text(&bad.stderr).contains("1 command failed"), "{wrong}: {}", text(&bad.stderr));
    }
    nobody_is_left(&host).await;
}

#[tokio::test]
async fn what_is_sent_is_shown_when_asked_for_but_for_the_password() {
    let host = Host::simulator().await;
    let address = format!("http://{}", host.address);
    let shown = text(&script(&address, &["--verbose"], "addchannel Telephony 2001\n").await.stdout);
    for sent in ["\"command\":\"prepareSession\"", "\"command\":\"session.start\"", "session.request.addchannel"] {
        assert!(shown.lines().any(|line| line.starts_with(" sent ") && line.contains(sent)), "{sent}:\n{shown}");
    }
    assert!(!shown.contains("top-secret"), "{shown}");
    let quiet = text(&script(&address, &[], "addchannel Telephony 2001\n").await.stdout);
    assert!(!quiet.contains(" sent "), "{quiet}");
}

#[tokio::test]
async fn an_address_may_be_short_and_a_wrong_one_is_explained() {
    let host = Setup::new().tenant(Tenant::simulator("blue")).start().await;
    let address = &host.address;
    for (arguments, url) in [
        (vec!["--tenant", "blue"], format!("http://{address}")),
        (vec!["--tenant", "blue"], address.clone()),
        (vec![], format!("http://{address}/v1/tenants/blue")),
        (vec![], format!("ws://{address}/v1/tenants/blue/ws")),
    ] {
        let ended = script(&url, &arguments, "").await;
        assert_eq!(ended.status.code(), Some(0), "{url}: {}", text(&ended.stderr));
    }
    for (url, says) in [
        (format!("http://{address}/desk"), "http://HOST:PORT"),
        (format!("http://{address}/v1/tenants/nobody"), "there is no such tenant"),
        (format!("http://{}", host.operations), "there is no Jackfield at this address"),
    ] {
        let ended = script(&url, &[], "").await;
        assert_eq!(ended.status.code(), Some(1), "{url}");
        assert!(text(&ended.stderr).contains(says), "{url}: {}", text(&ended.stderr));
    }
}

async fn nobody_is_left(host: &Host) {
    let nobody = || async { (host.operations("/sessions").await.trim() == "[]").then_some(()) };
    until("no session is left", nobody).await;
}

/// What a command has printed.
struct Screen {
    shows: ChildStdout,
    unread: String,
}

impl Screen {
    fn of(child: &mut Child) -> Self {
        Self { shows: child.stdout.take().unwrap(), unread: String::new() }
    }

    /// Waits until something is on the screen, and reads up to there. Returns what stood before it.
    async fn shows(&mut self, what: &str) -> String {
        let wait = async {
            loop {
                if let Some(at) = self.unread.find(what) {
                    let mut before: String = self.unread.drain(..at + what.len()).collect();
                    before.truncate(at);
                    return before;
                }
                let mut bytes = [0; 4096];
                let read = self.shows.read(&mut bytes).await.unwrap();
                assert!(read > 0, "the output ends without {what}: {}", self.unread);
                self.unread.push_str(&text(&bytes[..read]));
            }
        };
        patience(&format!("{what} is shown"), wait).await
    }
}

#[tokio::test]
async fn an_interrupt_leaves_no_session_behind() {
    let host = Host::simulator().await;
    for signal in ["INT", "TERM"] {
        let mut agent = jackfield(&["agent", &format!("http://{}", host.address)]);
        let mut agent = agent.stdin(Stdio::piped()).spawn().unwrap();
        let mut screen = Screen::of(&mut agent);
        screen.shows("session.initialized").await;
        let pid = agent.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let status = patience("it ends", agent.wait()).await.unwrap();
        assert_eq!(status.code(), Some(1), "{signal}: a script that was not carried out");
        nobody_is_left(&host).await;
    }
}

/// `jackfield agent` at a terminal: `script` makes one.
struct AtTerminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Screen,
}

impl AtTerminal {
    fn open(address: &str) -> Self {
        let command = format!("{} agent http://{address}", artifacts::jackfield().display());
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { keyboard: child.stdin.take().unwrap(), screen: Screen::of(&mut child), child }
    }

    async fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }

    async fn shows(&mut self, what: &str) {
        self.screen.shows(what).await;
    }
}

#[tokio::test]
async fn an_event_does_not_split_the_line_that_is_being_typed() {
    let host = Host::simulator().await;
    let mut agent = AtTerminal::open(&host.address);
    agent.shows("session.initialized").await;
    // The terminal is the line editor's own only from here on.
    agent.shows("> ").await;
    // Sent by one line, and told while the next is half typed.
    agent.types("addchannel Telephony 2001\rtre").await;
    agent.shows("channel.initialized").await;
    agent.shows("> tre").await;
    agent.types("e\r").await;
    agent.shows("c1 channel").await;
    agent.shows("> ").await;
    // The line before is a key away.
    agent.types("\u{1b}[A").await;
    agent.shows("> tree").await;
    agent.types("\u{3}").await;
    let status = patience("Ctrl-C ends it", agent.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    nobody_is_left(&host).await;
}

#[tokio::test]
async fn an_agent_whose_connection_is_cut_comes_back_to_the_session() {
    let host = Host::simulator().await;
    let port = host.address.rsplit(':').next().unwrap().parse().unwrap();
    let way = Cut::to(port).await;
    let mut agent = AtTerminal::open(&format!("127.0.0.1:{}", way.port));
    agent.shows("session.initialized").await;
    agent.shows("> ").await;
    agent.types("addchannel Telephony 2001\r").await;
    agent.shows("ok  session.request.addchannel").await;
    way.cut();
    agent.shows("coming back").await;
    way.mend();
    agent.shows("ok  bindSession").await;
    // It is the same session, and goes on.
    agent.types("activate c1\r").await;
    agent.shows("ok  channel.request.activate c1").await;
    agent.types("\u{3}").await;
    let status = patience("Ctrl-C ends it", agent.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    nobody_is_left(&host).await;
}

#[tokio::test]
async fn an_agent_who_logs_in_somewhere_else_does_not_take_the_session_back() {
    let host = Host::simulator().await;
    let mut agent = jackfield(&["agent", &format!("http://{}", host.address)]);
    let mut agent = agent.stdin(Stdio::piped()).spawn().unwrap();
    let mut screen = Screen::of(&mut agent);
    screen.shows("{\"session\":{\"id\":\"").await;
    let session = screen.shows("\"").await;
    screen.shows("session.initialized").await;
    let mut other = host.connect().await;
    assert_eq!(other.bind(&session, None).await["result"], "success");
    let status = patience("it ends", agent.wait()).await.unwrap();
    assert_eq!(status.code(), Some(1));
}

/// TLS in front of a host, as a proxy does it; answers its address and the file of its certificate.
async fn proxy(host: &Host, folder: &Path) -> (u16, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let address = host.address.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (port, file.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_agent_reaches_a_host_behind_tls_and_nobody_who_only_says_so() {
    let (host, folder) = (Host::simulator().await, TempFolder::new());
    let (port, ca) = proxy(&host, &folder.0).await;
    let address = format!("wss://localhost:{port}");
    let trusted = script(&address, &["--ca", &ca], "addchannel Telephony 2001\n").await;
    assert_eq!(trusted.status.code(), Some(0), "{}", text(&trusted.stderr));
    let unknown = script(&address, &[], "").await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("TLS"), "{}", text(&unknown.stderr));
}
