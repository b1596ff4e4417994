//! A real Asterisk with SIPp phones and customers, for the tests of the adapter.
//!
//! Owns: the process and its end; `configuration.rs` has its files. Everything listens on 127.0.0.1 on ports of its own.
//! It is Asterisk 22, or with `JACKFIELD_ASTERISK=20` that one. Where it is not installed (see `tests/asterisk/install`),
//! [`Asterisk::start`] says so and the test is skipped; with `CI` set it is installed.

mod configuration;
pub mod cut;
pub mod media;
pub mod sipp;

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::until;

/// The application that the README's dialplan names.
pub const APPLICATION: &str = "jackfield-acme";

/// Which Asterisk is tested with, in the installer's word.
fn release() -> String {
    std::env::var("JACKFIELD_ASTERISK").unwrap_or_else(|_| "22".to_owned())
}

/// Where the installer puts a release.
fn directory(release: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test has a file");
    // The target folder is the one that cargo has marked, whatever the profile's folder in it is called.
    let target = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let name = if release == "22" { "asterisk".to_owned() } else { format!("asterisk-{release}") };
    target.expect("in a target folder").join(name)
}

/// The root that Asterisk is unpacked into, or why there is none.
fn root() -> &'static Result<PathBuf, String> {
    static ROOT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    // SIPp is the newer one's for both.
    ROOT.get_or_init(|| installed("22").and_then(|_| installed(&release())))
}

fn installed(release: &str) -> Result<PathBuf, String> {
    let directory = directory(release);
    let installer = Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/install");
    if !directory.join("complete").exists() {
        if std::env::var_os("CI").is_none() {
            return Err(format!("Asterisk {release} is not installed; tests/asterisk/install {release} does it"));
        }
        let done = Command::new(&installer).arg(release).arg(&directory).output().map_err(|error| error.to_string())?;
        assert!(
            done.status.success(),
            "in CI these tests must run, but {} failed:\n{}",
            installer.display(),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(directory.join("root"))
}

fn asterisk() -> Command {
    program(root().as_ref().expect("installed"), "usr/sbin/asterisk")
}

fn sipp() -> Command {
    program(&directory("22").join("root"), "usr/bin/sipp")
}

/// A program of an unpacked root: it runs with that root's own loader and libraries.
fn program(root: &Path, path: &str) -> Command {
    let libraries = libraries(root);
    let loader = fs::read_dir(&libraries)
        .expect("libraries")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux-")))
        .expect("a loader");
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(libraries).arg(root.join(path));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn libraries(root: &Path) -> PathBuf {
    fs::read_dir(root.join("usr/lib"))
        .expect("usr/lib")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .expect("a folder of libraries")
}

/// A free UDP port.
pub fn free_udp_port() -> u16 {
    free_port(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok())
}

fn free_tcp_port() -> u16 {
    free_port(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// How many ports a process of tests has to itself.
const BLOCK: u16 = 500;

/// A port that nobody takes before it is used: below those that the system gives to whoever wants any (here each party's
/// sound, so there are many), beside Asterisk's for sound, and in a block that is this process's alone.
fn free_port(is_free: impl Fn(u16) -> bool) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = block();
    let mut ports = (0..BLOCK).map(|_| NEXT.fetch_add(1, Ordering::Relaxed) % u32::from(BLOCK));
    let port =
        ports.find_map(|offset| u16::try_from(offset).ok().map(|offset| first + offset).filter(|it| is_free(*it)));
    port.expect("a free port")
}

/// The first port of the process's block: of 20, the first one whose claim, a port below them all, nobody holds. The claim
/// ends with the process.
fn block() -> u16 {
    static CLAIM: OnceLock<(TcpListener, u16)> = OnceLock::new();
    let claim = |number| Some((TcpListener::bind(("127.0.0.1", 9_900 + number)).ok()?, 10_000 + number * BLOCK));
    CLAIM.get_or_init(|| (0..20).find_map(claim).expect("fewer than 20 processes test with Asterisk at once")).1
}

/// An event of a channel (CEL).
#[derive(Debug, Clone)]
pub struct ChannelEvent {
    pub event: String,
    /// The channel's name.
    pub channel: String,
    pub unique_id: String,
    pub linked_id: String,
    pub user_field: String,
}

/// A record of a call (CDR).
#[derive(Debug, Clone)]
pub struct CallRecord {
    pub unique_id: String,
    /// The channel that it was connected with; empty: none.
    pub connected: String,
}

/// A running Asterisk.
pub struct Asterisk {
    process: Mutex<Option<Child>>,
    folder: PathBuf,
    /// Of ARI.
    pub http: u16,
    /// Of ARI over TLS.
    pub https: u16,
    /// Of the manager interface.
    pub manager: u16,
    /// Of the same over TLS.
    manager_tls: u16,
    /// Whom it says to be there: 127.0.0.1, signed by itself.
    certificate: rcgen::CertifiedKey<rcgen::KeyPair>,
    /// Of SIP.
    pub sip: u16,
    /// Where the outside world answers.
    pub outside: u16,
    /// Extensions and where their phones answer.
    pub phones: Vec<(String, u16)>,
    /// They are where they register from, and nowhere before.
    registered: bool,
}

impl Asterisk {
    /// Starts one with phones of these extensions. `None`: not installed; the test is skipped, and has said so.
    pub async fn start(extensions: &[&str]) -> Option<Self> {
        let phones = extensions.iter().map(|extension| ((*extension).to_owned(), free_udp_port())).collect();
        Self::start_with(phones).await
    }

    /// Starts one whose phones all answer at one port, for many of them.
    pub async fn start_on_one_phone(extensions: &[String]) -> Option<Self> {
        let port = free_udp_port();
        Self::start_with(extensions.iter().map(|extension| (extension.clone(), port)).collect()).await
    }

    /// The same, but the phones must be registered before they can be called.
    pub async fn start_with_registered_phones(extensions: &[String]) -> Option<Self> {
        let port = free_udp_port();
        Self::start_as(extensions.iter().map(|extension| (extension.clone(), port)).collect(), true).await
    }

    /// Starts one with phones at these ports.
    pub async fn start_with(phones: Vec<(String, u16)>) -> Option<Self> {
        Self::start_as(phones, false).await
    }

    async fn start_as(phones: Vec<(String, u16)>, registered: bool) -> Option<Self> {
        if let Err(why) = root() {
            crate::skipped(why);
            return None;
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("jackfield-asterisk-{}-{number}", std::process::id()));
        let (http, https, manager, manager_tls) = (free_tcp_port(), free_tcp_port(), free_tcp_port(), free_tcp_port());
        let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let (sip, outside) = (free_udp_port(), free_udp_port());
        let process = Mutex::new(None);
        let asterisk =
            Self { process, folder, http, https, manager, manager_tls, certificate, sip, outside, phones, registered };
        asterisk.configure();
        asterisk.run().await;
        Some(asterisk)
    }

    async fn run(&self) {
        let mut command = asterisk();
        command.arg("-f").arg("-C").arg(self.folder.join("etc/asterisk.conf"));
        *self.process() = Some(command.spawn().expect("Asterisk starts"));
        until("Asterisk answers", || async {
            self.ari("GET", "asterisk/info").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }

    /// Kills it, as a power cut does.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again after [`kill`](Self::kill), or after it has ended by itself.
    pub async fn restart(&self) {
        self.kill();
        self.run().await;
    }

    /// Whether what a phone's transfer key asks for is left to the adapter; else Asterisk carries it out by itself, with
    /// channels of its own.
    pub fn leaves_transfers(&self) -> bool {
        release() != "20"
    }

    /// Whether it has ended by itself.
    pub fn has_crashed(&self) -> bool {
        self.process().as_mut().is_some_and(|process| process.try_wait().expect("its status").is_some())
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process().as_ref().expect("it runs").id()
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks ARI over plain HTTP: the test's own look at Asterisk.
    pub async fn ari(&self, method: &str, path: &str) -> Option<(u16, Value)> {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
            // jackfield:change-me, as in the README
            let request = format!(
                "{method} /ari/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\
                 Authorization: Basic amFja2ZpZWxkOmNoYW5nZS1tZQ==\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok()?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let status = answer.split(' ').nth(1)?.parse().ok()?;
            let body = answer.split_once("\r\n\r\n")?.1;
            Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
        };
        tokio::time::timeout(Duration::from_secs(5), ask).await.ok()?
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        match self.ari("GET", path).await {
            Some((200, Value::Array(list))) => list,
            other => panic!("Asterisk cannot list {path}: {other:?}"),
        }
    }

    /// All channels.
    pub async fn channels(&self) -> Vec<Value> {
        self.list("channels").await
    }

    /// All bridges.
    pub async fn bridges(&self) -> Vec<Value> {
        self.list("bridges").await
    }

    /// The channel of a caller's number, of a phone, or (`trunk`) of a number that the adapter called.
    pub async fn channel(&self, of: &str) -> Option<Value> {
        self.channels().await.into_iter().find(|channel| {
            let text = |at: &Value| at.as_str().map(str::to_owned).unwrap_or_default();
            let ours = text(&channel["id"]).starts_with("jackfield:");
            if ours {
                text(&channel["name"]).starts_with(&format!("PJSIP/{of}-"))
            } else {
                channel["caller"]["number"] == of
            }
        })
    }

    /// Waits for the channel of a number or an endpoint.
    pub async fn has_channel(&self, of: &str) -> Value {
        until(&format!("Asterisk has a channel of {of}"), || self.channel(of)).await
    }

    /// Waits until a channel is no more.
    pub async fn has_no_channel(&self, of: &str) {
        until(&format!("Asterisk has no channel of {of}"), || async { self.channel(of).await.is_none().then_some(()) })
            .await;
    }

    /// Waits until exactly these channels, each given by number or endpoint, are in one bridge together.
    pub async fn has_bridged(&self, who: &[&str]) {
        until(&format!("Asterisk has {who:?} in one bridge"), || async {
            let mut ids = Vec::new();
            for of in who {
                ids.push(self.channel(of).await?["id"].as_str()?.to_owned());
            }
            ids.sort_unstable();
            self.bridges().await.iter().find_map(|bridge| {
                let mut inside: Vec<_> =
                    bridge["channels"].as_array()?.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
                inside.sort_unstable();
                (inside == ids).then_some(())
            })
        })
        .await;
    }

    /// Waits until only channels are left that hear somebody, and ends them, as people do in the end.
    pub async fn hangs_up_all(&self) {
        let ids = until("Asterisk has no channel that hears nobody", || async {
            let bridges = self.bridges().await;
            let is_bridged =
                |id: &Value| bridges.iter().any(|it| it["channels"].as_array().is_some_and(|all| all.contains(id)));
            let channels = self.channels().await;
            let ids = channels.iter().map(|channel| &channel["id"]);
            let ids: Vec<_> = ids.filter(|id| !id.as_str().is_some_and(|id| id.ends_with(";2"))).collect();
            ids.iter().all(|id| is_bridged(id)).then(|| ids.into_iter().cloned().collect::<Vec<_>>())
        })
        .await;
        for id in ids {
            self.ari("DELETE", &format!("channels/{}", id.as_str().expect("an id"))).await;
        }
        // Whoever comes while they are still ending would keep what he finds.
        until("Asterisk has no channel", || async { self.channels().await.is_empty().then_some(()) }).await;
    }

    /// Waits until nothing is left in it: no channel, no bridge. A parking lot that was used keeps its own.
    pub async fn is_empty(&self) {
        let is_lot = |bridge: &Value| bridge["bridge_type"] == "holding" && bridge["channels"] == json!([]);
        until("nothing is left in Asterisk", || async {
            (self.channels().await.is_empty() && self.bridges().await.iter().all(is_lot)).then_some(())
        })
        .await;
    }

    /// A channel's variable.
    pub async fn variable(&self, of: &str, name: &str) -> Option<String> {
        let id = self.channel(of).await?["id"].as_str()?.to_owned();
        let (status, answer) = self.ari("GET", &format!("channels/{id}/variable?variable={name}")).await?;
        (status == 200).then(|| answer["value"].as_str().map(str::to_owned)).flatten()
    }

    /// Waits until a channel has a variable: Asterisk says that it has set one before it has.
    pub async fn has_variable(&self, of: &str, name: &str, value: &str) {
        until(&format!("{name} of {of} is {value}"), || async {
            self.variable(of, name).await.filter(|it| it == value).map(drop)
        })
        .await;
    }

    /// The answer of Asterisk's command line to a command.
    pub fn command_line(&self, command: &str) -> String {
        let mut remote = asterisk();
        remote.arg("-C").arg(self.folder.join("etc/asterisk.conf")).args(["-rx", command]);
        let output = remote.stdout(Stdio::piped()).output().expect("Asterisk's command line runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the lamp of an extension (its hint) shows a state, in Asterisk's word.
    pub async fn lamp_shows(&self, extension: &str, state: &str) {
        until(&format!("the lamp of {extension} shows {state}"), || async {
            let answer = self.command_line(&format!("dialplan eval function EXTENSION_STATE({extension}@from-phones)"));
            answer.lines().any(|line| line.trim() == format!("Result: {state}")).then_some(())
        })
        .await;
    }

    /// The recordings that were made: name and size.
    pub fn recordings(&self) -> Vec<(String, u64)> {
        let files = fs::read_dir(self.folder.join("spool/recording")).expect("a folder of recordings");
        files
            .filter_map(|file| {
                let file = file.ok()?;
                Some((file.file_name().to_string_lossy().into_owned(), file.metadata().ok()?.len()))
            })
            .collect()
    }

    /// Whether three seconds of a message for 1001 are there.
    pub fn is_recording_a_message(&self) -> bool {
        let folder = self.folder.join("spool/voicemail/default/1001");
        let sound = |file: fs::DirEntry| {
            let is_sound = file.path().extension().is_some_and(|extension| extension == "wav");
            is_sound && file.metadata().is_ok_and(|it| it.len() > 48_000)
        };
        ["INBOX", "tmp"].iter().filter_map(|part| fs::read_dir(folder.join(part)).ok()).flatten().flatten().any(sound)
    }

    /// A tenant's settings for this Asterisk, ARI at a port.
    pub fn settings(&self, port: u16) -> Value {
        json!({
            "url": format!("http://127.0.0.1:{port}"), "user": "jackfield", "password": "change-me",
            "application": APPLICATION, "dial": "PJSIP/{number}@trunk", "variables": ["CUSTOMER_ID"],
            "queues": {"sales": {"caller_id": "Sales <5550100>"}, "short": {}},
        })
    }

    /// The same over TLS; `trusting` its certificate, or not.
    pub fn encrypted_settings(&self, trusting: bool) -> Value {
        let mut settings = self.settings(self.http);
        settings["url"] = format!("https://127.0.0.1:{}", self.https).into();
        if trusting {
            settings["tls"] = json!({"roots": self.certificate.cert.pem()});
        }
        settings
    }

    /// A tenant's settings for the manager interface.
    pub fn manager_settings(&self) -> Value {
        json!({"url": format!("tcp://127.0.0.1:{}", self.manager), "user": "jackfield", "password": "change-me"})
    }

    /// Settings for the manager interface over TLS; `trusting` its certificate, or not.
    pub fn encrypted_manager_settings(&self, trusting: bool) -> Value {
        let mut settings = json!({"manager": self.manager_settings()});
        settings["manager"]["url"] = format!("tls://127.0.0.1:{}", self.manager_tls).into();
        if trusting {
            settings["tls"] = json!({"roots": self.certificate.cert.pem()});
        }
        settings
    }

    /// The lines of `queue_log` but for Asterisk's own, without the time: the channel as `caller` where there is one, and
    /// the event's fields.
    pub fn queue_log(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.folder.join("log/queue_log")).unwrap_or_default();
        let lines = text.lines().map(|line| line.split('|').skip(1).map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|line| line.get(1).is_some_and(|queue| queue != "NONE")).collect()
    }

    /// The events of channels (CEL) so far, in order.
    pub fn channel_events(&self) -> Vec<ChannelEvent> {
        let text = fs::read_to_string(self.folder.join("log/cel-custom/Master.csv")).unwrap_or_default();
        let field = |line: &str, at: usize| line.split(',').nth(at).unwrap_or_default().trim_matches('"').to_owned();
        let event = |line: &str| ChannelEvent {
            event: field(line, 0),
            channel: field(line, 1),
            unique_id: field(line, 2),
            linked_id: field(line, 3),
            user_field: field(line, 4),
        };
        text.lines().map(event).collect()
    }

    /// The calls (CDR) that are over.
    pub fn call_records(&self) -> Vec<CallRecord> {
        let text = fs::read_to_string(self.folder.join("log/cdr-csv/Master.csv")).unwrap_or_default();
        let record = |line: &str| {
            // All texts are in quotes, and numbers stand beside the last ones of them: the channel, who it was connected with,
            // and, behind times and outcome, the id.
            let texts: Vec<_> = line.split("\",\"").map(|it| it.trim_matches('"').to_owned()).collect();
            CallRecord { connected: texts[6].clone(), unique_id: texts[13].clone() }
        };
        text.lines().map(record).collect()
    }

    /// The values in its database of the callbacks that the adapter keeps there.
    pub fn kept_callbacks(&self) -> Vec<String> {
        let shown = self.command_line(&format!("database show jackfield/{APPLICATION}/callback"));
        let lines = shown.lines().filter(|line| line.starts_with("/jackfield/"));
        lines.filter_map(|line| Some(line.split_once(": ")?.1.trim().to_owned())).collect()
    }

    /// Waits until a text stands in its database's file, where it outlives a power cut.
    pub async fn has_written(&self, text: &str) {
        let (file, journal) = (self.folder.join("var/astdb.sqlite3"), self.folder.join("var/astdb.sqlite3-journal"));
        until(&format!("Asterisk's database has {text:?} on the disk"), || async {
            let bytes = fs::read(&file).ok()?;
            let is_there = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            // As long as there is a journal, what is being written is taken back after a power cut.
            (is_there && !journal.exists()).then_some(())
        })
        .await;
    }

    /// What it has written into its log.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log/full")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// A folder for a test's own files, removed with this.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("Asterisk's log and SIPp's messages are in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
