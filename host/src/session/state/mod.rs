//! One session: its state, and how inputs change it.
//!
//! Owns: everything that changes of a session. Must never: wait, call the adapter, or touch anything outside: an
//! [`Input`] and the time come in, [`Effects`] go out, and the session's [task](super::task) stands between it and the
//! world.
//!
//! ```text
//! mod.rs        what comes in and whom it is for; reports; the clock
//! pending.rs    commands without an answer: their order and deadlines
//! execute.rs    what is done with a command: checks, the question to the platform, the answer
//! lifecycle.rs  prepared, started, logging out, over
//! client.rs     what the client is sent, how it comes back, how long its session waits for it
//! lists.rs      what is watched of lists
//! link.rs       whether commands can be carried out
//! agent.rs      the agent, lost and logged in again
//! migration.rs  the agent on its way to another adapter connection
//! ```

mod agent;
mod client;
mod execute;
mod lifecycle;
mod link;
mod lists;
mod migration;
mod pending;

use std::sync::Arc;

use jackfield_model::{Diagnostics, Tree};
use jackfield_plugin_api::{Backoff, Code, Outcome, Report, Timestamp};
use tokio::time::Instant;

use self::{
    agent::{AgentPresence, LOG_IN_AGAIN},
    client::Client,
    lifecycle::{Lifecycle, StartBy},
    link::LinkState,
    lists::WatchedLists,
    pending::PendingCommands,
};
use super::{
    SessionLimits,
    adapter_connection::AdapterConnection,
    commands::CommandSet,
    effects::{Ask, Effect, Effects},
    handle::short,
    input::{Control, Input},
    journal::Journal,
    outbox::Outbox,
    status::StateSummary,
};
use crate::{
    metrics::TenantMetrics,
    plugin::{AdapterMessage, FromAgent, RequestId},
};

/// How many diagnostics of reports one session writes to the log; all of them are counted.
const MAX_LOGGED_DIAGNOSTICS: u32 = 32;

/// One session.
pub(super) struct SessionState {
    id: Box<str>,
    limits: Arc<SessionLimits>,
    metrics: TenantMetrics,
    /// What its adapter can do.
    command_set: Arc<CommandSet>,
    /// Where its agent is logged in, or will be.
    adapter_connection: Arc<AdapterConnection>,
    lifecycle: Lifecycle,
    agent: AgentPresence,
    log_in_backoff: Backoff,
    /// Which log-in's messages count.
    generation: u32,
    /// What the adapter has left for the next log-in.
    resume: Vec<u8>,
    link: LinkState,
    tree: Tree,
    journal: Journal,
    commands: PendingCommands,
    lists: WatchedLists,
    client: Client,
    next_request: RequestId,
    /// When what is being handled has come.
    time: Timestamp,
    /// How many diagnostics of reports were written to the log.
    logged_diagnostics: u32,
}

impl SessionState {
    /// A session whose agent has been logged in, for the first time.
    pub(super) fn new(
        id: &str,
        limits: Arc<SessionLimits>,
        metrics: TenantMetrics,
        adapter_connection: Arc<AdapterConnection>,
        command_set: Arc<CommandSet>,
        now: Instant,
    ) -> Self {
        let (link, losses) = adapter_connection.link();
        Self {
            id: id.into(),
            lifecycle: Lifecycle::Prepared(StartBy(now + limits.start_within)),
            agent: AgentPresence::Present,
            log_in_backoff: LOG_IN_AGAIN,
            generation: 0,
            resume: Vec::new(),
            link: LinkState::new(link, losses),
            tree: Tree::new(id, Arc::clone(&command_set.capabilities), false),
            journal: Journal::new(limits.journal),
            commands: PendingCommands::default(),
            lists: WatchedLists::default(),
            client: Client::new(limits.prepared_grace.min(limits.resume_grace), now),
            next_request: 1,
            time: Timestamp::default(),
            logged_diagnostics: 0,
            adapter_connection,
            limits,
            metrics,
            command_set,
        }
    }

    /// Handles one input at this moment, and then what has become possible by it.
    pub(super) fn handle(&mut self, input: Input, now: Instant, time: Timestamp, effects: &mut Effects) {
        self.time = time;
        match input {
            Input::Command(command) => self.receive(command, now, effects),
            Input::Adapter { generation, message } => self.adapter_message(generation, message, now, effects),
            Input::LinkChanged => {
                let (link, losses) = self.adapter_connection.link();
                self.link.set_tenant(link, losses);
                self.follow_link(effects);
            }
            Input::Control(control) => self.control(control, now, effects),
            Input::LoggedIn(outcome) => self.logged_in(outcome, now, effects),
            Input::NotAsked(request, failure) => self.answered(request, Outcome::Failure(failure), now, effects),
            Input::Tick => self.tick(now, effects),
        }
        self.advance(now, effects);
        // One on its way to another adapter could not be logged out.
        let runs = self.lifecycle.has_grace() && !self.tree.has_live_calls() && !self.agent.is_migrating();
        self.client.run_grace(runs, now);
    }

    /// When it must be given the next [`Input::Tick`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.commands.deadline(),
            self.lifecycle.deadline(),
            self.link.deadline(),
            self.lists.deadline(),
            self.agent.deadline(),
            self.client.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether the session is over and its agent has left.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Over)
    }

    /// Ends the session at once, without a message to its client.
    pub(super) fn give_up(&mut self) {
        self.lifecycle = Lifecycle::Over;
    }

    /// Its client's connection.
    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.client.outbox()
    }

    /// Where its agent is logged in, or will be.
    pub(super) fn adapter_connection(&self) -> &Arc<AdapterConnection> {
        &self.adapter_connection
    }

    pub(super) fn summary(&self) -> StateSummary {
        let channels = self.tree.channels();
        StateSummary {
            state: self.lifecycle.as_str(),
            link_up: self.link.is_up(),
            channels: channels.len(),
            interactions: channels.iter().map(|channel| channel.interactions.len()).sum(),
            unanswered: self.commands.len(),
            seq: self.journal.last(),
            journal: self.journal.len(),
        }
    }

    fn control(&mut self, control: Control, now: Instant, effects: &mut Effects) {
        match control {
            Control::Connect(outbox) => self.connect(outbox, effects),
            Control::Bind(bind) => self.bind(bind, now, effects),
            Control::Disconnect(outbox) => self.client.disconnect(&outbox),
            Control::End { reason, done } => self.end(reason, true, done, now, effects),
            Control::Migrate(migrate) => self.begin_migration(migrate, now, effects),
            Control::Replace(connection) => self.replace_connection(&connection, now, effects),
            Control::Abandon => self.let_go(effects),
        }
    }

    /// Goes on with what has become possible.
    fn advance(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(at) = self.commands.next(&self.tree, self.agent.holds_back()) {
            self.go_on(at, now, effects);
        }
        if self.agent.is_present() && self.link.wants_snapshot() {
            let request = self.new_request();
            effects.push(Effect::Ask(request, Ask::Snapshot));
            self.link.snapshot_asked(request, now + self.limits.command_deadline);
        }
        self.watch_again(now, effects);
        self.advance_migration(now, effects);
    }

    fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        self.next_request - 1
    }

    // ---- what comes from the adapter ----

    fn adapter_message(&mut self, generation: u32, message: AdapterMessage, now: Instant, effects: &mut Effects) {
        if generation != self.generation {
            return;
        }
        match message.open() {
            None => {}
            Some(FromAgent::Report(report)) => self.apply(&report, effects),
            Some(FromAgent::Answer { request, report, outcome }) => {
                if let Some(report) = report {
                    self.apply(&report, effects);
                }
                self.answered(request, outcome, now, effects);
            }
            Some(FromAgent::Link(link)) => {
                self.link.set_agent(link);
                self.follow_link(effects);
            }
            Some(FromAgent::Resume(state)) => self.resume = state,
            Some(FromAgent::Lost { reason }) => self.lose_agent(&reason, now, effects),
        }
    }

    /// Applies a report. One that comes before session.start or after the end is ignored.
    fn apply(&mut self, report: &Report, effects: &mut Effects) {
        if !self.lifecycle.is_started() && !matches!(self.lifecycle, Lifecycle::Starting { .. }) {
            return;
        }
        let mut diagnostics = Diagnostics::new();
        let mut events = self.tree.apply(report, self.time, &mut diagnostics);
        self.metrics.adapter().report(events.len());
        if !diagnostics.is_empty() {
            self.log_diagnostics(&diagnostics);
        }
        match &mut self.lifecycle {
            Lifecycle::Starting { first, .. } => Self::hold_until_started(first, &events, &self.tree, &self.journal),
            _ => {
                if !report.lists.is_empty() {
                    events.extend(self.list_events(report));
                }
                if report.snapshot {
                    self.lists.snapshot_taken();
                }
                self.emit(&events, effects);
            }
        }
    }

    #[cold]
    fn log_diagnostics(&mut self, diagnostics: &Diagnostics) {
        for (kind, count) in diagnostics.counts() {
            (0..count.min(1000)).for_each(|_| self.metrics.adapter().report_note(kind.as_str()));
        }
        for diagnostic in diagnostics.first() {
            if self.logged_diagnostics >= MAX_LOGGED_DIAGNOSTICS {
                return;
            }
            self.logged_diagnostics += 1;
            let (tenant, adapter) = (self.metrics.tenant(), &*self.command_set.manifest.id);
            let (session, kind) = (short(&self.id), diagnostic.kind.as_str());
            tracing::warn!(tenant, adapter, session, kind, "something was left out of a report");
            // It names objects by the platform's keys, which may be endpoints and numbers.
            tracing::debug!(tenant, adapter, session, kind, "left out of a report: {}", diagnostic.what);
        }
    }

    fn answered(&mut self, request: RequestId, outcome: Outcome, now: Instant, effects: &mut Effects) {
        if let Some(at) = self.commands.asked(request) {
            return self.command_answered(at, outcome, now, effects);
        }
        let failed = match outcome {
            Outcome::Success(_) => None,
            Outcome::NeedInfo(_) => Some(Code::AdapterFailed),
            Outcome::Failure(failure) => Some(failure.code),
        };
        let success = failed.is_none();
        // It answers what the session asked for by itself. One that nothing waits for any more changes nothing.
        let is_taken = self.migration_answered(request, success, now, effects)
            || self.end_answered(request, success, now, effects)
            || self.watched_again(request, failed, now, effects);
        if !is_taken && self.link.snapshot_answered(request, success, now) {
            self.follow_link(effects);
        }
    }

    // ---- the clock ----

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(at) = self.commands.overdue(now) {
            self.time_out(at, effects);
        }
        self.commands.run_out_of_patience(now);
        self.lifecycle_due(now, effects);
        self.link.tick(now);
        self.lists.tick(now);
        self.agent_due(now, effects);
        if self.client.is_given_up(now) {
            self.expire(now, effects);
        }
    }
}
