//! The switch: a pure model. Requests and the time go in, effects come out.
//!
//! Owns: all agents, channels, contacts and calls of one tenant. Must never: wait, look at a clock, or know how its
//! effects travel. Requests come from [`exchange`](crate::exchange), one at a time, and effects go back there.
//!
//! Each request, and each timer that fires, is one transition: the model is changed until it is at rest, and then each
//! agent whom it touched gets one report. What follows by itself (an agent became free and a contact waits) is a
//! transition of its own.
//!
//! ```text
//! message.rs     what is said to the switch, and what it says
//! model.rs       the things in it
//! table.rs       where they lie
//! timers.rs      what will happen by itself
//! sessions.rs    agents come and go
//! commands.rs    a command finds its object and its function
//! channels.rs    channels, groups, readiness
//! contacts.rs    queues, offers, what becomes of a contact
//! calls.rs       calls are placed, answered, ended
//! transfer.rs    consult, transfer, conference
//! supervise.rs   an agent hears a colleague's call, and lets him pause
//! lists.rs       what agents choose from, and who watches it
//! happenings.rs  the extension commands: what the world outside does
//! report.rs      what is told to the host
//! ```

mod calls;
mod channels;
mod commands;
mod contacts;
mod happenings;
mod lists;
pub mod message;
mod model;
mod report;
mod sessions;
mod supervise;
mod table;
mod timers;
mod transfer;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    vec::Drain,
};

use jackfield_plugin_api::{Code, Failure, Link, Outcome, Timestamp, report::ChannelType};
use rustc_hash::FxHashMap;

use self::{
    lists::Lists,
    message::{Effect, Request, SessionNo, Ticket},
    model::{
        Agent, AgentNo, Call, CallNo, Channel, ChannelNo, Contact, Interaction, InteractionNo, PartyNo, Session, Since,
        TimerKey,
    },
    table::Table,
    timers::{Timer, Timers},
};
use crate::settings::Settings;

/// What becomes of a command: its outcome, or `None` when the answer comes later.
type Done = Result<Option<Outcome>, Failure>;

/// A telephone switch.
#[derive(Debug)]
pub struct Switch {
    settings: Settings,
    /// Milliseconds, from wherever the driver counts.
    now: u64,
    /// When that was.
    opened: Timestamp,
    /// The last number given to anything.
    last_number: u64,
    link: Link,
    /// When the link will be lost, or be back.
    link_timer: Option<TimerKey>,
    /// Whoever talks to the switch counts them, so that nobody can choose them to collide: they need no keyed hash.
    sessions: FxHashMap<SessionNo, Session>,
    agents: Table<AgentNo, Agent>,
    channels: Table<ChannelNo, Channel>,
    interactions: Table<InteractionNo, Interaction>,
    calls: Table<CallNo, Call>,
    agent_by_id: HashMap<String, AgentNo>,
    channel_by_endpoint: HashMap<String, ChannelNo>,
    agent_by_extension: HashMap<String, AgentNo>,
    /// In which call a ringing party is. The switch counts the parties.
    ringing: FxHashMap<PartyNo, CallNo>,
    /// Contacts that wait, by queue (its place in the settings) and type, oldest first.
    waiting: Vec<[VecDeque<Contact>; 3]>,
    /// How many wait, by type.
    waiting_count: [usize; 3],
    /// Channels that wait for a contact, by type, longest first.
    idle: [BTreeSet<(u64, ChannelNo)>; 3],
    timers: Timers,
    lists: Lists,
    /// Channels that became free and contacts that began to wait in this transition.
    to_match: VecDeque<ToMatch>,
    /// Agents to report to at the end of this transition.
    touched: VecDeque<AgentNo>,
    /// Answers to earlier requests, to give once the reports are out.
    answers: Vec<(Ticket, Outcome)>,
    effects: Vec<Effect>,
}

/// Something new in the market of contacts and agents.
#[derive(Debug)]
enum ToMatch {
    Channel(ChannelNo),
    Contact(usize, ChannelType, String),
}

/// How many things are in a switch: nothing may be left when everybody has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Census {
    pub sessions: usize,
    pub agents: usize,
    pub channels: usize,
    pub interactions: usize,
    pub calls: usize,
    pub ringing: usize,
    pub waiting: usize,
    pub timers: usize,
}

impl Switch {
    /// An empty switch; its link is down until the first [`tick`](Self::tick).
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut waiting = Vec::new();
        waiting.resize_with(settings.queues.len(), Default::default);
        let mut timers = Timers::default();
        timers.set(0, Timer::LinkBack);
        Self {
            settings,
            now: 0,
            opened: Timestamp::default(),
            last_number: 0,
            link: Link::Down { reason: "not connected yet".to_owned() },
            link_timer: None,
            sessions: FxHashMap::default(),
            agents: Table::default(),
            channels: Table::default(),
            interactions: Table::default(),
            calls: Table::default(),
            agent_by_id: HashMap::new(),
            channel_by_endpoint: HashMap::new(),
            agent_by_extension: HashMap::new(),
            ringing: FxHashMap::default(),
            waiting,
            waiting_count: [0; 3],
            idle: Default::default(),
            timers,
            lists: Lists::default(),
            to_match: VecDeque::new(),
            touched: VecDeque::new(),
            answers: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// The same switch, which was opened at this moment: it tells times by it.
    #[must_use]
    pub fn opened_at(mut self, opened: Timestamp) -> Self {
        self.opened = opened;
        self
    }

    /// Takes a request. Its answer is among the effects at once, or comes with those of a later call.
    pub fn handle(&mut self, now: u64, session: SessionNo, ticket: Ticket, request: Request) {
        self.now = self.now.max(now);
        let done = match request {
            Request::LogIn { agent, password, goes_on, extension } => {
                self.log_in(session, agent, password.as_ref(), goes_on.then_some(extension))
            }
            Request::Start { extension } => self.start(session, extension),
            Request::Snapshot => self.snapshot(session),
            Request::LogOut(ending) => self.log_out(session, ending),
            Request::Command(command) => self.command(session, ticket, command),
        };
        self.report_all();
        self.tell_lists();
        if let Some(outcome) = done.unwrap_or_else(|failure| Some(Outcome::Failure(failure))) {
            self.effects.push(Effect::Answer { ticket, outcome });
        }
        self.bring_together();
    }

    /// Lets happen what is due.
    pub fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.take_due(self.now) {
            self.fire(timer);
            self.report_all();
            self.tell_lists();
            self.bring_together();
        }
    }

    /// When [`tick`](Self::tick) is to be called next, at the latest.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Takes the effects since the last call, in order.
    pub fn take_effects(&mut self) -> Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Whether the session has logged in and not out.
    #[must_use]
    pub fn knows(&self, session: SessionNo) -> bool {
        self.sessions.contains_key(&session)
    }

    /// How many things are in the switch.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            sessions: self.sessions.len(),
            agents: self.agents.len(),
            channels: self.channels.len(),
            interactions: self.interactions.len(),
            calls: self.calls.len(),
            ringing: self.ringing.len(),
            waiting: self.waiting_count.iter().sum(),
            timers: self.timers.len(),
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Answers(party) => self.party_answers(party),
            Timer::Fails(party, cause) => self.party_fails(party, cause),
            Timer::OfferEnds(interaction) => self.offer_ends(interaction),
            Timer::Completes(interaction) => self.complete(interaction),
            Timer::Reoffer(contact, channel) => self.reoffer(&contact, channel),
            Timer::GivesUp(queue, kind, contact) => self.gives_up(queue, kind, &contact),
            Timer::LinkLost(ms) => self.lose_link(ms),
            Timer::LinkBack => self.regain_link(),
        }
    }

    /// Brings free agents and waiting contacts together, once a transition has been told; each is a transition too.
    fn bring_together(&mut self) {
        while let Some(new) = self.to_match.pop_front() {
            match new {
                ToMatch::Channel(channel) => self.find_contact(channel),
                ToMatch::Contact(queue, kind, id) => self.find_agent(queue, kind, &id),
            }
            self.report_all();
            self.tell_lists();
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The agent has something to be told.
    fn touch_agent(&mut self, agent: AgentNo) {
        let record = &mut self.agents[agent];
        if !record.dirty {
            record.dirty = true;
            self.touched.push_back(agent);
        }
    }

    /// The channel's status has something to be told.
    fn touch_channel(&mut self, channel: ChannelNo) {
        let record = &mut self.channels[channel];
        record.dirty = true;
        if record.since.is_other(record.presence, &record.readiness) {
            record.since = Since::new((record.presence, record.readiness.clone()), self.now);
        }
        let agent = record.agent;
        self.touch_agent(agent);
    }

    /// The interaction has something to be told.
    fn touch(&mut self, interaction: InteractionNo) {
        let record = &mut self.interactions[interaction];
        record.dirty = true;
        record.since.look(record.state, self.now);
        for leg in &mut record.legs {
            leg.since.look(leg.state, self.now);
        }
        let agent = self.channels[record.channel].agent;
        self.touch_agent(agent);
    }

    fn metric(&mut self, name: &str, labels: Vec<String>, value: f64) {
        self.effects.push(Effect::Metric { name: name.to_owned(), labels, value });
    }
}

/// The place of a type in what is kept by type.
const fn place(kind: ChannelType) -> usize {
    match kind {
        ChannelType::Chat => 1,
        ChannelType::Email => 2,
        _ => 0,
    }
}

fn rejected(message: impl Into<String>) -> Failure {
    Failure::new(Code::Rejected, message)
}

fn wrong_state(message: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidState, message)
}
