//! What a session does with what it is brought.
//!
//! Owns: the tree, the journal, the commands that have no answer yet and their order, the checks when a command's turn
//! comes, deadlines, the session's start and end. Must never: wait, or call the adapter while the adapter calls
//! ([`Core::hear`] only notes what is to be done; [`Core::advance`] does it). Commands come from desks, reports and
//! answers from the adapter, ticks from the clock, all through [`Cell`](super::cell::Cell); responses and events go to
//! outboxes.

use std::{collections::VecDeque, sync::Arc, task::Waker, time::Duration};

use jackfield_plugin_api::{Code, Command, Failure, Json, Outcome, Report, StartOptions};
use tokio::{sync::oneshot, time::Instant};

use super::{
    DisposedReason, Limits,
    adapter_connection::AdapterConnection,
    client::Grace,
    commands::{Known, LOGOUT, Repertoire, START},
    data::{self, Args},
    handover::Moving,
    journal::Journal,
    link::LinkState,
    message::{Request, Response},
    outbox::{Batch, Outbox},
    plan::{self, Each, Plan, Step},
    port::AgentPort,
    text::Text,
    tree::{Events, Notes, Tree, rules},
};
use crate::{
    metrics::{CommandLabel, OutcomeLabel, TenantMetrics},
    plugin::{FromAgent, RequestId},
};

/// How long an agent may take to leave when its session ends without a logout.
pub(super) const LEAVE_DEADLINE: Duration = Duration::from_secs(5);

/// How often a session's log tells what was left out of reports; all of it is counted.
const NOTES: u32 = 32;

/// Where a response goes.
#[derive(Debug)]
pub(super) enum Reply {
    /// To the connection that sent the command.
    Outbox(Outbox),
    /// To one HTTP request.
    Once(oneshot::Sender<Text>),
}

impl Reply {
    /// Sends it, or drops it where nobody waits for it any more. Whose waker this leaves is to be woken.
    pub(super) fn send(self, text: Text, wakers: &mut Vec<Waker>) {
        match self {
            Self::Outbox(outbox) => drop(outbox.put(Batch::response(text), wakers)),
            Self::Once(sender) => drop(sender.send(text)),
        }
    }
}

/// A command without its answer.
pub(super) struct Entry {
    pub(super) request: Request,
    pub(super) command: Known,
    pub(super) reply: Reply,
    pub(super) since: Instant,
    pub(super) state: State,
}

pub(super) enum State {
    /// It waits for its turn.
    Waits,
    /// The platform has been asked; what comes next is in `rest`.
    Asked { request: RequestId, until: Instant, rest: Option<Box<Rest>> },
    /// The platform has done one step; the next must be asked for.
    Next { until: Instant, rest: Box<Rest> },
}

/// The channels of a group that are still to be done.
pub(super) struct Rest {
    pub(super) each: Each,
    pub(super) steps: VecDeque<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// session.start has not succeeded yet.
    Prepared,
    /// The adapter has been asked to start.
    Starting,
    /// At work.
    Started,
    /// Over; what is left is done for the adapter.
    Ended,
}

/// How a session ends on its own account, before it is over.
pub(super) enum Closing {
    No,
    /// The grace is over: the agent is being logged out.
    Expiring {
        request: RequestId,
        until: Instant,
    },
    /// Over: the agent is leaving. `told` is dropped when it has.
    Leaving {
        request: RequestId,
        until: Instant,
        _told: Option<oneshot::Sender<()>>,
    },
}

/// What the owner of a session must do for it, see [`Core::take_chores`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chores {
    /// The session is over: it cannot be found any more.
    pub(super) ended: Option<Option<DisposedReason>>,
    /// Nothing at all is left to do.
    pub(super) done: bool,
    /// The agent must be logged in again.
    pub(super) log_in_again: bool,
}

impl Chores {
    pub(super) fn is_nothing(&self) -> bool {
        self.ended.is_none() && !self.done && !self.log_in_again
    }
}

pub(super) struct Core {
    pub(super) id: Box<str>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: TenantMetrics,
    pub(super) repertoire: Arc<Repertoire>,
    pub(super) phase: Phase,
    pub(super) tree: Tree,
    pub(super) journal: Journal,
    /// What the first snapshot said, held until session.start is answered.
    pub(super) first: Events,
    pub(super) agent: Option<Box<dyn AgentPort>>,
    /// Which log-in's messages count.
    pub(super) generation: u32,
    pub(super) resume: Vec<u8>,
    pub(super) link: LinkState,
    /// The connection to the platform that its agent is on, or will be.
    pub(super) trunk: Arc<AdapterConnection>,
    /// Its agent is being moved to another trunk: commands wait.
    pub(super) moving: Option<Moving>,
    /// The trunk whose adapter did not take the agent.
    pub(super) refused_by: Option<Arc<AdapterConnection>>,
    pub(super) commands: Vec<Entry>,
    pub(super) next_request: RequestId,
    pub(super) connection: Option<Outbox>,
    /// The connection whose task works for the session.
    pub(super) reader: Option<Outbox>,
    pub(super) grace: Grace,
    /// Events after this number are held back, because a logout was accepted.
    pub(super) held: Option<u64>,
    /// A logout that timed out may still succeed.
    pub(super) late_logout: Option<RequestId>,
    pub(super) closing: Closing,
    /// The agent was lost, and a task logs it in again for as long as it takes.
    pub(super) returning: bool,
    /// To be dropped where the adapter may be called.
    pub(super) discarded: Vec<Box<dyn AgentPort>>,
    /// The agent must be asked to leave where the adapter may be called.
    pub(super) leave: Option<Option<oneshot::Sender<()>>>,
    pub(super) chores: Chores,
    /// Who has something to write for a client: woken when all is done, so that report and answer are written at once.
    pub(super) wakers: Vec<Waker>,
    /// How often a report's nonsense was written to the log.
    pub(super) noted: u32,
    /// When the clock will look at it.
    pub(super) armed: Option<Instant>,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Ended => "ended",
        }
    }
}

impl Core {
    pub(super) fn new(
        id: &str,
        limits: Arc<Limits>,
        metrics: TenantMetrics,
        trunk: Arc<AdapterConnection>,
        repertoire: Arc<Repertoire>,
    ) -> Self {
        Self {
            id: id.into(),
            phase: Phase::Prepared,
            tree: Tree::new(id, Arc::clone(&repertoire.capabilities), false),
            journal: Journal::new(limits.journal),
            first: Events::default(),
            agent: None,
            generation: 0,
            resume: Vec::new(),
            link: LinkState::default(),
            trunk,
            moving: None,
            refused_by: None,
            commands: Vec::new(),
            next_request: 1,
            connection: None,
            reader: None,
            grace: Grace { left: limits.resume_grace, since: None },
            held: None,
            late_logout: None,
            closing: Closing::No,
            returning: false,
            discarded: Vec::new(),
            leave: None,
            chores: Chores::default(),
            wakers: Vec::new(),
            noted: 0,
            armed: None,
            limits,
            metrics,
            repertoire,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether a client may bind it.
    pub(super) fn is_bindable(&self) -> bool {
        !self.is_ended() && matches!(self.closing, Closing::No)
    }

    /// The last event's number, and how many events are kept.
    pub(super) fn journal_depth(&self) -> (u64, usize) {
        (self.journal.last(), self.journal.len())
    }

    /// How many commands have no answer yet.
    pub(super) fn unanswered(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn take_chores(&mut self) -> Chores {
        std::mem::take(&mut self.chores)
    }

    /// Gives away what must not be dropped just anywhere.
    pub(super) fn take_agents(&mut self) -> Vec<Box<dyn AgentPort>> {
        let mut agents = std::mem::take(&mut self.discarded);
        agents.extend(self.agent.take());
        agents
    }

    // ---- commands ----

    /// Takes a command that a desktop sent, and that came `since` then.
    pub(super) fn receive(&mut self, request: Request, reply: Reply, since: Instant) {
        let found = self.repertoire.find(&request.command());
        let refused = if self.commands.len() >= self.limits.unanswered {
            let words = format!("more than {} commands have no answer yet", self.limits.unanswered);
            Failure::new(Code::RateLimited, words)
        } else {
            match found {
                Ok(command) => {
                    self.commands.push(Entry { request, command, reply, since, state: State::Waits });
                    return;
                }
                Err(none) => none.failure(),
            }
        };
        let label = found.map_or(CommandLabel::UNKNOWN, |command| command.label());
        self.metrics.adapter().command(label, OutcomeLabel::Failure(refused.code), since.elapsed());
        reply.send(request.respond(Response::Failure(&refused)), &mut self.wakers);
    }

    /// Does what has become possible: runs commands whose turn has come, asks the agent for what is due, lets go of
    /// agents. The only place from where the adapter is called.
    pub(super) fn advance(&mut self) {
        let mut at = 0;
        while at < self.commands.len() {
            let before = self.commands.len();
            match self.commands[at].state {
                State::Waits if !self.must_wait(at) => self.begin(at),
                State::Next { .. } => self.step(at),
                _ => {}
            }
            // An answered command has left the list; the next one has moved up.
            if self.commands.len() >= before {
                at += 1;
            }
        }
        if self.wants_snapshot() {
            self.ask_for_snapshot();
        }
        if let Some(told) = self.leave.take() {
            self.ask_to_leave(told);
        }
        self.discarded.clear();
        if self.commands.is_empty() && self.commands.capacity() > 4 {
            self.commands = Vec::new();
        }
    }

    /// Whether [`Self::advance`] has something to do.
    pub(super) fn wants_to_advance(&self) -> bool {
        self.wants_snapshot()
            || self.leave.is_some()
            || !self.discarded.is_empty()
            || self.commands.iter().enumerate().any(|(at, entry)| match entry.state {
                State::Waits => !self.must_wait(at),
                State::Next { .. } => true,
                State::Asked { .. } => false,
            })
    }

    /// Whether the agent must be asked for a snapshot now. Without one it waits: the next one's arrival looks at the link.
    fn wants_snapshot(&self) -> bool {
        self.agent.is_some() && self.link.wants_snapshot()
    }

    /// Commands to one object, its parents and its children keep their order, and all wait while the agent is moved.
    fn must_wait(&self, at: usize) -> bool {
        if self.moving.is_some() {
            return true;
        }
        if at == 0 {
            return false;
        }
        let own = &self.commands[at];
        let mut earlier = self.commands[..at].iter();
        if own.command.is_urgent() {
            // The one thing that even they wait for is the same again: a second logout is about the first one's outcome.
            return own.command.is(LOGOUT) && earlier.any(|it| it.command.is(LOGOUT));
        }
        let target = own.request.target().unwrap_or_default();
        earlier.any(|it| are_related(&it.request.target().unwrap_or_default(), &target))
    }

    /// A command's turn has come: checks it, and asks the platform or answers.
    fn begin(&mut self, at: usize) {
        let entry = &self.commands[at];
        match self.check(&entry.request, &entry.command) {
            Ok(Begin::Nothing) => self.answer(at, Response::Success),
            Ok(Begin::Ask(command)) => self.ask(at, &command, None),
            Ok(Begin::Each(each, steps)) => {
                let until = Instant::now() + self.limits.command_deadline;
                self.commands[at].state = State::Next { until, rest: Box::new(Rest { each, steps: steps.into() }) };
                self.step(at);
            }
            Ok(Begin::Start { options, actions }) => self.begin_start(at, &options, actions),
            Ok(Begin::Logout) => self.begin_logout(at),
            Err(failure) => self.answer(at, Response::Failure(&failure)),
        }
    }

    /// All that can be known without the platform, in the protocol's order.
    fn check(&self, request: &Request, command: &Known) -> Result<Begin, Failure> {
        let target = request.target().unwrap_or_default();
        let object = self.tree.find(&target).filter(|object| object.kind() == command.kind());
        let Some(object) = object else {
            return Err(plan::no_target(command.kind(), &target));
        };
        let row = match command {
            Known::Standard(row) => row,
            Known::Extension(extension) => {
                self.must_be_started()?;
                extension.check(request.data()).map_err(|what| match what {
                    Some(what) => Failure::new(Code::BadRequest, format!("data: {what}")),
                    None => Failure::new(Code::AdapterFailed, "the adapter's schema for this command is no schema"),
                })?;
                self.link.must_be_up()?;
                let data = Json::from_text(request.data().to_owned())
                    .map_err(|error| Failure::new(Code::BadRequest, error.to_string()))?;
                let name = extension.name.clone();
                return Ok(Begin::Ask(Command::Extension { name, target: object.keys(), data }));
            }
        };
        if row.name == LOGOUT {
            return Ok(Begin::Logout);
        }
        if row.name == START {
            let data::Start { extension, actions } =
                data::parse(request.data()).map_err(|what| Failure::new(Code::BadRequest, what))?;
            if self.phase != Phase::Prepared {
                return Err(Failure::new(Code::InvalidState, "the session has been started already"));
            }
            self.link.must_be_up()?;
            return Ok(Begin::Start { options: StartOptions::new(extension), actions });
        }
        self.must_be_started()?;
        if rules::wrong_channel_type(row.name, object) {
            return Err(Failure::new(Code::Unsupported, "this type of channel does not have this command"));
        }
        let args = data::read(row.name, request.data()).map_err(|what| Failure::new(Code::BadRequest, what))?;
        if let Some(words) = rules::refusal(row.name, object) {
            return Err(Failure::new(Code::InvalidState, words));
        }
        let planned = self.plan(row.name, args, object)?;
        self.link.must_be_up()?;
        Ok(if rules::changes_nothing(row.name, object) { Begin::Nothing } else { planned })
    }

    fn plan(&self, name: &str, args: Args, object: super::tree::Object<'_>) -> Result<Begin, Failure> {
        Ok(match plan::plan(name, args, object, &self.tree, &self.repertoire)? {
            Plan::Ask(command) => Begin::Ask(command),
            Plan::Each(each, steps) => Begin::Each(each, steps),
        })
    }

    fn must_be_started(&self) -> Result<(), Failure> {
        if self.phase == Phase::Started {
            Ok(())
        } else {
            Err(Failure::new(Code::InvalidState, "the session has not been started"))
        }
    }

    /// Hands a command to the adapter.
    fn ask(&mut self, at: usize, command: &Command, rest: Option<Box<Rest>>) {
        let slow = matches!(&self.commands[at].command, Known::Standard(row) if row.slow);
        let deadline = if slow { self.limits.slow_deadline } else { self.limits.command_deadline };
        let until = match self.commands[at].state {
            State::Next { until, .. } => until,
            _ => Instant::now() + deadline,
        };
        self.ask_agent(at, until, rest, |agent, request| agent.command(request, command, until.into_std()));
    }

    pub(super) fn ask_agent(
        &mut self,
        at: usize,
        until: Instant,
        rest: Option<Box<Rest>>,
        ask: impl FnOnce(&dyn AgentPort, RequestId) -> Result<(), Failure>,
    ) {
        let request = self.new_request();
        let asked = match &self.agent {
            Some(agent) => ask(&**agent, request),
            None => Err(Failure::new(Code::AdapterFailed, "the adapter is being started again")),
        };
        match asked {
            Ok(()) => self.commands[at].state = State::Asked { request, until, rest },
            Err(failure) => self.answer(at, Response::Failure(&failure)),
        }
    }

    pub(super) fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        self.next_request - 1
    }

    /// Goes on with the next channel of many.
    fn step(&mut self, at: usize) {
        if let Err(failure) = self.link.must_be_up() {
            return self.answer(at, Response::Failure(&failure));
        }
        let State::Next { rest, .. } = &mut self.commands[at].state else { return };
        let (each, tree) = (rest.each, &self.tree);
        let next = std::iter::from_fn(|| rest.steps.pop_front()).find_map(|step| step.command(each, tree));
        let Some(command) = next else { return self.answer(at, Response::Success) };
        let rest = Box::new(Rest { each, steps: std::mem::take(&mut rest.steps) });
        self.ask(at, &command, Some(rest));
    }

    /// Answers a command, which is then done.
    pub(super) fn answer(&mut self, at: usize, response: Response<'_>) {
        let entry = self.commands.remove(at);
        self.metrics.adapter().command(entry.command.label(), response.outcome(), entry.since.elapsed());
        if matches!(entry.state, State::Asked { .. } | State::Next { .. }) {
            self.trunk.answered(match &response {
                Response::Failure(failure) => Some(failure.code),
                _ => None,
            });
        }
        entry.reply.send(entry.request.respond(response), &mut self.wakers);
        self.notice_idle();
    }

    // ---- what comes from the adapter ----

    /// Takes what the adapter says, of the log-in that counts. Never calls it.
    pub(super) fn hear(&mut self, message: FromAgent) {
        match message {
            FromAgent::Report(report) => self.apply(&report),
            FromAgent::Answer { request, report, outcome } => {
                if let Some(report) = report {
                    self.apply(&report);
                }
                self.answered(request, outcome);
            }
            FromAgent::Link(link) => {
                self.link.set_agent(link);
                self.follow_link();
            }
            FromAgent::Resume(state) => self.resume = state,
            FromAgent::Lost { reason } => self.lose_agent(&reason),
        }
    }

    fn apply(&mut self, report: &Report) {
        // Before session.start nothing is known of the agent's work, and after its end nothing is of interest.
        if !matches!(self.phase, Phase::Starting | Phase::Started) {
            return;
        }
        let mut notes = Notes::new();
        let events = self.tree.apply(report, &mut notes);
        self.metrics.adapter().report(events.len());
        if !notes.is_empty() {
            self.note(&notes);
        }
        if self.phase == Phase::Starting {
            self.say_later(&events);
        } else {
            self.say(&events);
        }
        events.give_back();
    }

    #[cold]
    fn note(&mut self, notes: &Notes) {
        for (kind, count) in notes.counts() {
            (0..count.min(1000)).for_each(|_| self.metrics.adapter().report_note(kind.as_str()));
        }
        for note in notes.first() {
            if self.noted >= NOTES {
                return;
            }
            self.noted += 1;
            tracing::warn!(
                adapter = %self.repertoire.manifest.id,
                session = self.short_id(),
                kind = note.kind.as_str(),
                "left out of a report: {}", note.what
            );
        }
    }

    /// Enough of the id to find the session in a log, too little to bind it.
    pub(super) fn short_id(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    fn answered(&mut self, request: RequestId, outcome: Outcome) {
        let asked = |entry: &Entry| matches!(entry.state, State::Asked { request: own, .. } if own == request);
        match self.commands.iter().position(asked) {
            Some(at) if self.commands[at].command.is(START) => self.start_answered(at, outcome),
            Some(at) if self.commands[at].command.is(LOGOUT) => self.logout_answered(at, outcome),
            Some(at) => self.command_answered(at, outcome),
            None if self.late_logout == Some(request) => {
                self.late_logout = None;
                // The client was told that the outcome is unknown; this is how it learns of it.
                if matches!(outcome, Outcome::Success(_)) {
                    self.end(Some(DisposedReason::Expired), false, None);
                }
            }
            None => self.chore_answered(request, outcome),
        }
    }

    fn command_answered(&mut self, at: usize, outcome: Outcome) {
        let is_extension = matches!(self.commands[at].command, Known::Extension(_));
        let broken = || Failure::new(Code::AdapterFailed, "the adapter's answer is no JSON object");
        match outcome {
            Outcome::Success(data) => {
                if let State::Asked { until, rest: Some(rest), .. } = &mut self.commands[at].state {
                    let rest = Box::new(Rest { each: rest.each, steps: std::mem::take(&mut rest.steps) });
                    self.commands[at].state = State::Next { until: *until, rest };
                    return;
                }
                match data.filter(|_| is_extension) {
                    None => self.answer(at, Response::Success),
                    Some(data) if data.get().starts_with('{') => self.answer(at, Response::SuccessWith(data.get())),
                    Some(_) => self.answer(at, Response::Failure(&broken())),
                }
            }
            Outcome::NeedInfo(info) if info.get().starts_with('{') => self.answer(at, Response::NeedInfo(info.get())),
            Outcome::NeedInfo(_) => self.answer(at, Response::Failure(&broken())),
            Outcome::Failure(failure) => self.answer(at, Response::Failure(&failure)),
        }
    }

    // ---- the clock ----

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.commands.len() {
            let due = match self.commands[at].state {
                State::Asked { until, .. } | State::Next { until, .. } => until <= now,
                State::Waits => false,
            };
            if due { self.time_out(at) } else { at += 1 }
        }
        match self.closing {
            Closing::Expiring { until, .. } if until <= now => self.end(Some(DisposedReason::Expired), true, None),
            Closing::Leaving { until, .. } if until <= now => self.let_go(),
            _ => {}
        }
        self.link.tick(now);
        self.settle_grace(|| now);
        if self.grace.since.is_some_and(|since| since + self.grace.left <= now) {
            self.grace.since = None;
            self.expire();
        }
    }

    #[cold]
    fn time_out(&mut self, at: usize) {
        if let State::Asked { request, .. } = self.commands[at].state
            && self.commands[at].command.is(LOGOUT)
        {
            self.late_logout = Some(request);
        }
        let failure = Failure::new(Code::Timeout, "the platform did not answer in time: the outcome is unknown");
        self.answer(at, Response::Failure(&failure));
        self.unless_started_now();
        self.release_held();
    }

    /// As [`Self::unless_started`], where a start may still be in flight.
    fn unless_started_now(&mut self) {
        if !self.commands.iter().any(|entry| entry.command.is(START) && matches!(entry.state, State::Asked { .. })) {
            self.unless_started();
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let commands = self.commands.iter().filter_map(|entry| match entry.state {
            State::Asked { until, .. } | State::Next { until, .. } => Some(until),
            State::Waits => None,
        });
        let closing = match self.closing {
            Closing::No => None,
            Closing::Expiring { until, .. } | Closing::Leaving { until, .. } => Some(until),
        };
        let grace = self.grace.since.map(|since| since + self.grace.left);
        commands.chain(closing).chain(grace).chain(self.link.next_tick()).min()
    }
}

/// What a checked command comes down to.
enum Begin {
    Nothing,
    Ask(Command),
    Each(Each, Vec<Step>),
    Start { options: StartOptions, actions: bool },
    Logout,
}

/// Whether one of two targets is the other, or a parent of it.
fn are_related(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
