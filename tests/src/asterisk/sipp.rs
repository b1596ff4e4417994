//! SIPp as phones, customers and the outside world.
//!
//! Owns: SIPp's processes. A call does what the test asks when SIPp gets a request of the test's own with the call's
//! Call-ID, which Asterisk knows (see the scenarios in `tests/asterisk/`). What SIPp saw stands in its message file.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;

use super::{Asterisk, free_udp_port, media::Media, sipp};
use crate::until;

/// What a call can be asked to do.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// Hang up, or give up calling.
    HangUp,
    /// Answer (850 of the outside world, while it rings).
    Answer,
    /// Press the key 1 (customers).
    Key,
    /// Press the hold key (phones).
    Hold,
    /// Press it again (phones).
    Retrieve,
    /// Transfer to 801 (phones).
    Transfer,
    /// Connect the other side of this call with the other side of another one of the phone (phones): its Replaces.
    Join(&'a str),
}

impl Ask<'_> {
    /// Where a transfer goes.
    fn refer_to(self) -> String {
        match self {
            Self::Join(replaces) => format!("Refer-To: <sip:phone@127.0.0.1?Replaces={replaces}>\r\n"),
            _ => "Refer-To: <sip:801@127.0.0.1>\r\n".to_owned(),
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::HangUp => "MESSAGE",
            Self::Key => "OPTIONS",
            Self::Hold | Self::Answer => "SUBSCRIBE",
            Self::Retrieve => "PUBLISH",
            Self::Transfer | Self::Join(_) => "REFER",
        }
    }
}

/// Lets SIPp write down what it sends and receives.
fn trace(command: &mut Command, messages: &Path) {
    command.arg("-trace_msg").arg("-message_file").arg(messages);
}

/// A running SIPp.
pub struct Sipp {
    process: Child,
    /// Where it speaks SIP.
    pub port: u16,
    /// Its sound.
    pub media: Media,
    messages: PathBuf,
}

fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("asterisk").join(name)
}

impl Sipp {
    async fn run(
        asterisk: &Asterisk,
        name: &str,
        port: u16,
        tone: u32,
        more: impl FnOnce(&mut Command, &Path),
    ) -> Self {
        let media = Media::open(tone).await;
        let messages = asterisk.folder().join(format!("{name}-{port}.messages"));
        let mut command = sipp();
        command
            .arg("-sf")
            .arg(scenario(&format!("{name}.xml")))
            .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-nostdin", "-trace_err"])
            .args(["-skip_rlimit", "-max_socket", "1000"])
            // It would end itself after having been late often enough, on a machine that others use, too.
            .args(["-watchdog_interval", "0"])
            // Answers NOTIFY whenever it comes: a scenario that answers one takes the next at its heels for a mistake.
            .arg("-aa")
            .args(["-key", "media", &media.port().to_string()])
            .arg("-error_file")
            .arg(messages.with_extension("errors"));
        more(&mut command, &messages);
        let process = command.spawn().expect("SIPp starts");
        Self { process, port, media, messages }
    }

    /// The phone of an extension. It sounds like `tone` Hz.
    pub async fn phone(asterisk: &Asterisk, extension: &str, tone: u32) -> Self {
        Self::slow_phone(asterisk, extension, tone, 50).await
    }

    /// A phone that rings this long before it is picked up.
    pub async fn slow_phone(asterisk: &Asterisk, extension: &str, tone: u32, ring_ms: u32) -> Self {
        let (_, port) = asterisk.phones.iter().find(|(own, _)| own == extension).expect("configured").clone();
        Self::phone_at(asterisk, port, tone, ring_ms).await
    }

    /// A phone at a port of the test's choice.
    pub async fn phone_at(asterisk: &Asterisk, port: u16, tone: u32, ring_ms: u32) -> Self {
        Self::run(asterisk, "phone", port, tone, |command, messages| {
            command.args(["-set", "ring_ms", &ring_ms.to_string()]);
            trace(command, messages);
        })
        .await
        .listening()
        .await
    }

    /// The outside world.
    pub async fn outside(asterisk: &Asterisk, tone: u32) -> Self {
        Self::run(asterisk, "outside", asterisk.outside, tone, trace).await.listening().await
    }

    /// A customer who calls a number.
    pub async fn customer(asterisk: &Asterisk, number: &str, calls: &str, tone: u32) -> Self {
        Self::run(asterisk, "customer", free_udp_port(), tone, |command, messages| {
            trace(command, messages);
            command.args(["-m", "1", "-s", calls, "-key", "caller", number, "-timeout", "3600"]);
            command.arg(format!("127.0.0.1:{}", asterisk.sip));
        })
        .await
    }

    /// The phones of all extensions of an Asterisk that has them at one port; without sound.
    pub async fn many_phones(asterisk: &Asterisk) -> Self {
        let port = asterisk.phones.first().expect("there are phones").1;
        Self::run(asterisk, "phone", port, 0, |command, _| {
            command.args(["-set", "ring_ms", "50"]);
        })
        .await
        .listening()
        .await
    }

    /// The outside world for many calls; without sound.
    pub async fn all_outside(asterisk: &Asterisk) -> Self {
        Self::run(asterisk, "outside", asterisk.outside, 0, |_, _| {}).await.listening().await
    }

    /// Customers who call again and again, so many at a time.
    pub async fn many_customers(asterisk: &Asterisk, at_a_time: usize) -> Self {
        Self::run(asterisk, "customer", free_udp_port(), 0, |command, messages| {
            command.args(["-s", "700", "-key", "caller", "555", "-l", &at_a_time.to_string(), "-r", "50"]);
            command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(messages.with_extension("csv"));
            command.arg(format!("127.0.0.1:{}", asterisk.sip));
        })
        .await
    }

    /// Lets it begin no more calls; it ends with the last one.
    pub fn stop_calling(&self) {
        let done = Command::new("kill").args(["-USR1", &self.pid().to_string()]).status().expect("kill runs");
        assert!(done.success());
    }

    /// How many calls it began, and how many of them went well and did not.
    pub fn counts(&self) -> [usize; 3] {
        let text = fs::read_to_string(self.messages.with_extension("csv")).expect("SIPp's statistics");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().expect("a line of names").split(';').collect();
        let last: Vec<&str> = lines.next_back().expect("a line of numbers").split(';').collect();
        let number = |name: &str| {
            let at = names.iter().position(|other| *other == name).expect("SIPp counts it");
            last[at].parse().expect("a number")
        };
        [number("TotalCallCreated"), number("SuccessfulCall(C)"), number("FailedCall(C)")]
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until its port is taken, so that no call comes too early.
    async fn listening(self) -> Self {
        // Asked of the system: who tries the port has it for a moment himself, and SIPp does not try twice.
        let socket = format!(" 0100007F:{:04X} ", self.port);
        until("SIPp listens", || async {
            fs::read_to_string("/proc/net/udp").expect("the system's sockets").contains(&socket).then_some(())
        })
        .await;
        self
    }

    /// Asks the call of an Asterisk channel to do something.
    pub fn ask(&self, channel: &Value, what: Ask<'_>) {
        let call = channel["protocol_id"].as_str().expect("the channel's Call-ID");
        let (method, refer_to) = (what.method(), what.refer_to());
        // What is asked twice must not look like one request that is sent twice.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let request = format!(
            "{method} sip:test@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-{method}-{number}-{call}\r\n\
             From: <sip:test@127.0.0.1>;tag=test\r\nTo: <sip:test@127.0.0.1>\r\nCall-ID: {call}\r\n\
             CSeq: 999 {method}\r\n{refer_to}Content-Length: 0\r\n\r\n"
        );
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.send_to(request.as_bytes(), ("127.0.0.1", self.port)).expect("sent");
    }

    /// How a call of this phone is named in a Replaces header for Asterisk.
    pub fn replaces(&self, channel: &Value) -> String {
        let call = channel["protocol_id"].as_str().expect("the channel's Call-ID");
        let messages = self.messages();
        let sent = messages.split("message sent").filter_map(|it| it.split("message received").next());
        let answers = sent.filter(|it| it.contains("SIP/2.0 200") && it.contains(call) && it.contains(" INVITE"));
        let answer = answers.last().expect("the phone has answered that call");
        let tag = |header: &str| {
            let line = answer.lines().find(|line| line.starts_with(header)).expect("the header");
            line.split_once("tag=").expect("a tag").1.trim().to_owned()
        };
        format!("{call}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", tag("From:"), tag("To:"))
    }

    /// Registers a phone, or with 0 seconds takes it away.
    pub async fn register(asterisk: &Asterisk, extension: &str, port: u16, seconds: u32) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let own = socket.local_addr().expect("its address").port();
        // Another one's port may be had again, and a request that looks like another one's is answered and not carried out.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let request = format!(
            "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK-register-{own}-{number}\r\n\
             From: <sip:{extension}@127.0.0.1>;tag=r{seconds}\r\nTo: <sip:{extension}@127.0.0.1>\r\n\
             Call-ID: register-{own}-{port}-{number}\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n\
             Contact: <sip:{extension}@127.0.0.1:{port}>;expires={seconds}\r\nContent-Length: 0\r\n\r\n"
        );
        socket.set_nonblocking(true).expect("a socket that does not wait");
        socket.send_to(request.as_bytes(), ("127.0.0.1", asterisk.sip)).expect("sent");
        until("Asterisk registers the phone", || async {
            let mut answer = [0; 2048];
            let length = socket.recv(&mut answer).ok()?;
            String::from_utf8_lossy(&answer[..length]).starts_with("SIP/2.0 200").then_some(())
        })
        .await;
    }

    /// Everything it sent and received so far.
    pub fn messages(&self) -> String {
        fs::read(&self.messages).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How many calls to a number have come here. One that it was slow to answer may have come twice.
    pub fn calls_to(&self, number: &str) -> usize {
        let (messages, invite) = (self.messages(), format!("INVITE sip:{number}@"));
        let invites = messages.split("message received").filter(|it| it.contains(&invite));
        let ids = invites.filter_map(|it| it.lines().find(|line| line.starts_with("Call-ID:")));
        ids.collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Waits until it has seen a text.
    pub async fn saw(&self, text: &str) {
        until(&format!("SIPp saw {text:?}"), || async { self.messages().contains(text).then_some(()) }).await;
    }

    /// The tones that came by SIP INFO, in order.
    pub fn digits(&self) -> String {
        self.messages().split("Signal=").skip(1).filter_map(|rest| rest.trim_start().chars().next()).collect()
    }

    /// Waits for its end (of a customer: one call). `true`: the call went as a call should.
    pub async fn succeeds(&mut self) -> bool {
        until("SIPp ends", || {
            let ended = self.process.try_wait().expect("its status");
            async move { ended }
        })
        .await
        .success()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("its status").is_some()
    }

    /// Lets its sound flow: where Asterisk wants it stands in the newest session description from Asterisk.
    pub async fn speak(&self) {
        let port = until("Asterisk's media port", || async {
            let messages = self.messages();
            let received = messages.split("message received").skip(1).collect::<Vec<_>>();
            received.iter().rev().find_map(|message| {
                let message = message.split("message sent").next()?;
                let (_, rest) = message.split_once("m=audio ")?;
                rest.split(' ').next()?.parse::<u16>().ok()
            })
        })
        .await;
        self.media.speak_to(port);
    }

    /// Waits a moment, for what cannot be seen to happen: there is no condition for that.
    pub async fn settle() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
