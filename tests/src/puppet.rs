//! The platform behind the `puppet` adapter, as a test plays it: it sees what the adapter is asked and says what the
//! adapter reports and answers.
//!
//! Without being told anything it lets everyone in, starts with an empty session, keeps its link up and says yes to
//! every command without reporting anything. A test prepares answers with [`Puppet::when`], each for one question of
//! its kind, and says what happens by itself with [`Puppet::report`].
//!
//! The socket carries lines of JSON. From the adapter: `{"id":7,"ask":"command","agent":…,"session":…,"command":{…}}`,
//! `ask` being `connect`, `disconnect`, `log_in`, `start`, `command`, `snapshot` or `log_out`, and `{"ack":3}`. To the
//! adapter: `{"answer":7,"outcome":{"success":null}}`, or `"panic":true` for the outcome, and statements of a `report`,
//! a `link` or a `metric`, which the adapter acknowledges.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, oneshot},
};

use crate::patience;

/// What the puppet does when it is asked something: reports first, then the answer.
#[derive(Debug, Clone)]
pub struct Answer {
    reports: Vec<Value>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Outcome(Value),
    Panic,
    Never,
}

impl Answer {
    /// Yes.
    pub fn success() -> Self {
        Self { reports: Vec::new(), what: What::Outcome(json!({"success": null})) }
    }

    /// Yes, with data.
    pub fn data(data: Value) -> Self {
        Self { reports: Vec::new(), what: What::Outcome(json!({"success": data})) }
    }

    /// The platform must know more.
    pub fn need_info(ui: Value) -> Self {
        Self { reports: Vec::new(), what: What::Outcome(json!({"needinfo": ui})) }
    }

    /// No.
    pub fn failure(code: &str, message: &str) -> Self {
        let failure = json!({"code": code, "message": message});
        Self { reports: Vec::new(), what: What::Outcome(json!({"failure": failure})) }
    }

    /// Nothing, ever; or until the test says something with [`Puppet::answer`].
    pub fn never() -> Self {
        Self { reports: Vec::new(), what: What::Never }
    }

    /// The adapter's code panics.
    pub fn panic() -> Self {
        Self { reports: Vec::new(), what: What::Panic }
    }

    /// Reports this before it answers.
    #[must_use]
    pub fn report(mut self, report: Value) -> Self {
        self.reports.push(report);
        self
    }
}

#[derive(Default)]
struct State {
    to_adapter: Option<mpsc::Sender<String>>,
    rules: HashMap<String, VecDeque<Answer>>,
    asked: Vec<(String, Value)>,
    /// How many questions of a kind [`Puppet::asked`] has handed out.
    seen: HashMap<String, usize>,
    sessions: HashMap<String, String>,
    acks: HashMap<u64, oneshot::Sender<()>>,
    next_ack: u64,
    link_down: bool,
    start: Option<Value>,
}

/// The platform of one tenant.
#[derive(Clone)]
pub struct Puppet {
    port: u16,
    state: Arc<Mutex<State>>,
    news: Arc<Notify>,
}

impl Puppet {
    /// Listens for the adapter.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let puppet = Self { port, state: Arc::default(), news: Arc::default() };
        let accepting = puppet.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(socket));
            }
        });
        puppet
    }

    /// Where the adapter finds it; a setting of the tenant.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `start` and `snapshot` report, unless a rule says otherwise; empty at first.
    pub fn starts_with(&self, mut report: Value) {
        report["snapshot"] = json!(true);
        self.lock().start = Some(report);
    }

    /// Prepares the answer to the next question of this kind: `log_in`, `start`, `snapshot`, `log_out`, `connect`,
    /// `disconnect`, or a command's name in `plugin-api`, such as `add_channel`.
    pub fn when(&self, kind: &str, answer: Answer) {
        self.lock().rules.entry(kind.to_owned()).or_default().push_back(answer);
    }

    /// The tenant's link is down from the beginning.
    pub fn begins_with_link_down(&self) {
        self.lock().link_down = true;
    }

    /// Waits for the next question of this kind that was not handed out before.
    pub async fn asked(&self, kind: &str) -> Value {
        let wait = async {
            loop {
                let news = self.news.notified();
                {
                    let mut state = self.lock();
                    let seen = state.seen.get(kind).copied().unwrap_or(0);
                    let found = state.asked.iter().filter(|(k, _)| k == kind).nth(seen).map(|(_, q)| q.clone());
                    if let Some(question) = found {
                        state.seen.insert(kind.to_owned(), seen + 1);
                        return question;
                    }
                }
                news.await;
            }
        };
        patience(&format!("the adapter is asked {kind}"), wait).await
    }

    /// How many questions of this kind there were.
    pub fn times_asked(&self, kind: &str) -> usize {
        self.lock().asked.iter().filter(|(k, _)| k == kind).count()
    }

    /// All kinds of questions so far, in order.
    pub fn all_asked(&self) -> Vec<String> {
        self.lock().asked.iter().map(|(kind, _)| kind.clone()).collect()
    }

    /// Answers a question that was met with [`Answer::never`].
    pub async fn answer(&self, question: &Value, answer: Answer) {
        self.reply(question, answer).await;
    }

    /// Reports for the newest session of an agent; returns when the adapter has handed it over.
    pub async fn report(&self, agent: &str, report: Value) {
        let session = self.session(agent);
        self.state_and_wait(json!({"session": session, "report": report})).await;
    }

    /// Tells the state of the tenant's link.
    pub async fn link(&self, up: bool) {
        self.state_and_wait(json!({"link": link(up)})).await;
    }

    /// Tells the state of an agent's own link.
    pub async fn agent_link(&self, agent: &str, up: bool) {
        let session = self.session(agent);
        self.state_and_wait(json!({"session": session, "link": link(up)})).await;
    }

    /// Reports a metric.
    pub async fn metric(&self, name: &str, labels: &[&str], value: f64) {
        self.state_and_wait(json!({"metric": [name, labels, value]})).await;
    }

    /// The newest session of an agent, as the adapter knows it.
    pub fn session(&self, agent: &str) -> String {
        self.lock().sessions.get(agent).cloned().unwrap_or_else(|| panic!("{agent} never logged in"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("never poisoned")
    }

    async fn state_and_wait(&self, mut line: Value) {
        let (done, wait) = oneshot::channel();
        {
            let mut state = self.lock();
            state.next_ack += 1;
            let ack = state.next_ack;
            state.acks.insert(ack, done);
            line["ack"] = json!(ack);
        }
        self.write(&line).await;
        patience("the adapter takes what it is told", wait).await.expect("the adapter is there");
    }

    async fn write(&self, line: &Value) {
        let to_adapter = self.lock().to_adapter.clone().expect("the adapter has connected");
        // An adapter that is gone takes nothing more; whoever waits for an effect notices.
        let _ = to_adapter.send(format!("{line}\n")).await;
    }

    async fn serve(self, socket: TcpStream) {
        let (read, mut write) = socket.into_split();
        let (to_adapter, mut lines) = mpsc::channel::<String>(1024);
        self.lock().to_adapter = Some(to_adapter);
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if write.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let mut read = BufReader::new(read).lines();
        while let Ok(Some(line)) = read.next_line().await {
            let line: Value = serde_json::from_str(&line).expect("the adapter writes JSON");
            match line["ack"].as_u64() {
                None => self.question(line).await,
                Some(ack) => {
                    let waiting = self.lock().acks.remove(&ack);
                    if let Some(waiting) = waiting {
                        let _ = waiting.send(());
                    }
                }
            }
        }
    }

    async fn question(&self, question: Value) {
        let kind = kind_of(&question);
        let answer = {
            let mut state = self.lock();
            if kind == "log_in"
                && let (Some(agent), Some(session)) = (question["agent"].as_str(), question["session"].as_str())
            {
                state.sessions.insert(agent.to_owned(), session.to_owned());
            }
            state.asked.push((kind.clone(), question.clone()));
            let rule = state.rules.get_mut(&kind).and_then(VecDeque::pop_front);
            rule.unwrap_or_else(|| match kind.as_str() {
                "start" | "snapshot" => {
                    Answer::success().report(state.start.clone().unwrap_or_else(|| json!({"snapshot": true})))
                }
                _ => Answer::success(),
            })
        };
        self.news.notify_waiters();
        self.reply(&question, answer).await;
    }

    async fn reply(&self, question: &Value, answer: Answer) {
        for report in &answer.reports {
            self.write(&json!({"session": question["session"], "report": report})).await;
        }
        let outcome = match answer.what {
            What::Never => return,
            What::Panic => json!({"answer": question["id"], "panic": true}),
            What::Outcome(outcome) => json!({"answer": question["id"], "outcome": outcome}),
        };
        if question["ask"] == "connect" {
            let up = !self.lock().link_down;
            self.write(&json!({"link": link(up)})).await;
        }
        self.write(&outcome).await;
    }
}

/// What a rule calls this question: a command goes by its own name.
fn kind_of(question: &Value) -> String {
    let command = question["command"].as_object().and_then(|command| command.keys().next());
    command.map_or_else(|| question["ask"].as_str().unwrap_or_default().to_owned(), Clone::clone)
}

fn link(up: bool) -> Value {
    if up { json!("up") } else { json!({"down": {"reason": "the test cut it"}}) }
}
