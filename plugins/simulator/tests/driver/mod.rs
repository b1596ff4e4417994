//! Drives a bare switch: requests and time in, reports and answers out. No clock, no task, no host.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod stage;

use std::collections::HashMap;

use jackfield_plugin_api::{
    Code, Command, Ending, Link, Outcome, Report, Secret,
    report::{ChannelType, Conversation, ConversationAt, Interaction, InteractionAt, Target},
};
use jackfield_simulator::switch::{
    Census, Switch,
    message::{Effect, Request, SessionNo, Ticket},
};
use serde_json::{Value, json};

pub type Session = SessionNo;

/// A switch and what came out of it.
pub struct Driver {
    pub switch: Switch,
    pub now: u64,
    next: u64,
    reports: HashMap<SessionNo, Vec<Report>>,
    pub answers: HashMap<Ticket, Outcome>,
    /// The link, each time that it changed.
    pub links: Vec<Link>,
}

impl Driver {
    /// A switch with these settings, its link up.
    pub fn new(settings: &str) -> Self {
        let mut driver = Self {
            switch: Switch::new(serde_json::from_str(settings).unwrap()),
            now: 0,
            next: 0,
            reports: HashMap::new(),
            answers: HashMap::new(),
            links: Vec::new(),
        };
        driver.pass(0);
        driver
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.switch.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.switch.tick(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Asks, and says which answer to look for.
    pub fn ask(&mut self, session: SessionNo, request: Request) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.switch.handle(self.now, session, ticket, request);
        self.collect();
        ticket
    }

    pub fn command(&mut self, session: SessionNo, command: Command) -> Outcome {
        let ticket = self.ask(session, Request::Command(command));
        self.answers.remove(&ticket).expect("the command is answered at once")
    }

    /// A command whose answer comes later.
    #[track_caller]
    pub fn begins(&mut self, session: SessionNo, command: Command) -> Ticket {
        let ticket = self.ask(session, Request::Command(command));
        assert!(!self.answers.contains_key(&ticket), "{:?}", self.answers[&ticket]);
        ticket
    }

    #[track_caller]
    pub fn succeeds(&mut self, session: SessionNo, command: Command) {
        let said = format!("{command:?}");
        match self.command(session, command) {
            Outcome::Success(_) => {}
            other => panic!("{said}: {other:?}"),
        }
    }

    #[track_caller]
    pub fn fails(&mut self, session: SessionNo, command: Command) -> Code {
        match self.command(session, command) {
            Outcome::Failure(failure) => failure.code,
            other => panic!("{other:?}"),
        }
    }

    /// A session that has been made.
    pub fn logged_in(&mut self, agent: &str) -> SessionNo {
        self.next += 1;
        let session = SessionNo(self.next);
        let request = Request::LogIn {
            agent: agent.to_owned(),
            password: Some(Secret::new("any")),
            goes_on: false,
            extension: None,
        };
        let ticket = self.ask(session, request);
        assert_eq!(self.answers.remove(&ticket), Some(Outcome::success()));
        session
    }

    /// A session that has started.
    pub fn agent(&mut self, agent: &str) -> SessionNo {
        let session = self.logged_in(agent);
        let ticket = self.ask(session, Request::Start { extension: None });
        assert_eq!(self.answers.remove(&ticket), Some(Outcome::success()));
        session
    }

    /// A telephone that is ready.
    #[track_caller]
    pub fn phone(&mut self, session: SessionNo, endpoint: &str) {
        self.channel(session, endpoint, ChannelType::Telephony);
    }

    /// A channel that is ready.
    #[track_caller]
    pub fn channel(&mut self, session: SessionNo, endpoint: &str, kind: ChannelType) {
        self.succeeds(session, Command::AddChannel { endpoint: endpoint.to_owned(), kind });
        self.succeeds(session, activate(endpoint));
        self.succeeds(session, Command::Ready { channel: endpoint.to_owned() });
    }

    pub fn link_is_up(&self) -> bool {
        self.links.last() == Some(&Link::Up)
    }

    /// The link was down since the last call of [`link_was_noticed`](Self::link_was_noticed).
    pub fn link_came_back(&self) -> bool {
        self.links.len() > 1
    }

    pub fn link_was_noticed(&mut self) {
        self.links = vec![Link::Up];
    }

    pub fn logs_out(&mut self, session: SessionNo) {
        let ticket = self.ask(session, Request::LogOut(Ending::LogOut));
        assert_eq!(self.answers.remove(&ticket), Some(Outcome::success()));
    }

    pub fn leaves(&mut self, session: SessionNo) {
        let ticket = self.ask(session, Request::LogOut(Ending::Leave));
        assert_eq!(self.answers.remove(&ticket), Some(Outcome::success()));
    }

    /// Waits for what may still be due, then: nothing.
    #[track_caller]
    pub fn nothing_is_left(&mut self) {
        self.pass(600_000);
        assert_eq!(self.switch.census(), Census::default());
    }

    pub fn take_reports(&mut self, session: SessionNo) -> Vec<Report> {
        self.reports.remove(&session).unwrap_or_default()
    }

    #[track_caller]
    pub fn last_report(&self, session: SessionNo) -> Report {
        self.reports[&session].last().unwrap().clone()
    }

    /// The one interaction that was reported last.
    #[track_caller]
    pub fn only_interaction(&self, session: SessionNo) -> Interaction {
        let report = self.last_report(session);
        let all: Vec<Interaction> = report.channels.into_iter().flat_map(|channel| channel.interactions).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }

    #[track_caller]
    pub fn only_conversation(&self, session: SessionNo) -> Conversation {
        let conversations = self.only_interaction(session).conversations.unwrap();
        assert_eq!(conversations.len(), 1, "{conversations:?}");
        conversations.into_iter().next().unwrap()
    }

    fn collect(&mut self) {
        for effect in self.switch.take_effects() {
            match effect {
                Effect::Report { session, report } => self.reports.entry(session).or_default().push(report),
                Effect::Answer { ticket, outcome } => {
                    assert!(self.answers.insert(ticket, outcome).is_none(), "answered twice");
                }
                Effect::Link(link) => self.links.push(link),
                Effect::Metric { .. } => {}
            }
        }
    }
}

pub fn activate(channel: &str) -> Command {
    Command::Activate { channel: channel.to_owned(), queue: None, options: json!({}).into() }
}

pub fn at(channel: &str, interaction: &str) -> InteractionAt {
    InteractionAt { channel: channel.to_owned(), interaction: interaction.to_owned() }
}

pub fn call_at(channel: &str, interaction: &str, conversation: &str) -> ConversationAt {
    ConversationAt {
        channel: channel.to_owned(),
        interaction: interaction.to_owned(),
        conversation: conversation.to_owned(),
    }
}

pub fn extension(name: &str, target: Target, data: Value) -> Command {
    Command::Extension { name: name.to_owned(), target, data: data.into() }
}

pub fn inbound(kind: &str, from: &str, queue: Option<&str>) -> Command {
    let mut data = json!({ "type": kind, "from": from });
    if let Some(queue) = queue {
        data["queue"] = queue.into();
    }
    extension("session.request.simulator.inbound", Target::Session, data)
}
