//! The task of one session.
//!
//! Owns: the turn of things: what waits in the mailbox, the next deadline and the log-in that is under way are handled one
//! after the other by the [`SessionState`], and what it wants done is done here: messages go to clients, requests to the
//! adapter. Must never: hold a lock while the adapter is called, wait for a client or for the adapter, or let a fault in
//! one session reach another.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use jackfield_plugin_api::{Code, Failure, Login, Timestamp};
use jackfield_protocol::close::CloseCode;
use tokio::time::{Instant, sleep_until};

use super::{
    DisposedReason,
    adapter_connection::CurrentPlatform,
    commands::CommandSet,
    effects::{AgentLogIn, Ask, Effect, Effects},
    handle::SessionHandle,
    input::{Control, Input},
    registry::Registry,
    state::SessionState,
};
use crate::plugin::AgentPort;

/// How much is handled before other tasks have their turn.
const AT_ONCE: usize = 32;

/// How long the adapter's messages wait for a client that has much to read. One that reads is through with it long before;
/// one that does not is then no longer waited for, and its connection is closed when its queue is full.
const READING: Duration = Duration::from_millis(200);

/// How far ahead a clock stands that is not set.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

type LoggedIn = Result<(Box<dyn AgentPort>, Arc<CommandSet>), Failure>;

/// Begins to run a session whose agent has been logged in.
pub(super) fn spawn(session: SessionState, agent: Box<dyn AgentPort>, handle: SessionHandle, registry: Arc<Registry>) {
    let mut task =
        Task { session, agent: Some(agent), logging_in: None, busy_since: None, faulty: false, handle, registry };
    tokio::spawn(async move {
        task.run().await;
        task.finish();
    });
}

struct Task {
    session: SessionState,
    agent: Option<Box<dyn AgentPort>>,
    /// The agent is being logged in again. Dropping this undoes it.
    logging_in: Option<Pin<Box<dyn Future<Output = LoggedIn> + Send>>>,
    /// Since when the client has much to read.
    busy_since: Option<Instant>,
    /// There was a fault in it; a second one is the last.
    faulty: bool,
    handle: SessionHandle,
    registry: Arc<Registry>,
}

impl Task {
    /// Works until the session is over. Borrows the task: a future that owned it would keep room for it twice.
    async fn run(&mut self) {
        let mut clock = pin!(sleep_until(Instant::now() + NEVER));
        let mut set_for: Option<Instant> = None;
        self.publish();
        loop {
            if self.handle_waiting() {
                tokio::task::yield_now().await;
            }
            if self.session.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                self.turn(Input::Tick);
            }
            if self.session.is_over() {
                break;
            }
            let reading = self.waits_for_client();
            let patience = self.busy_since.filter(|_| reading).map(|since| since + READING);
            let deadline = self.session.deadline().into_iter().chain(patience).min();
            // A clock that is set for an earlier time is left as it is and wakes the task once too often: most deadlines
            // are met long before, and setting it anew each time would cost more.
            if let Some(deadline) = deadline.filter(|deadline| set_for.is_none_or(|set_for| *deadline < set_for)) {
                clock.as_mut().reset(deadline);
                set_for = Some(deadline);
            }
            let outbox = self.session.outbox().filter(|_| reading).cloned();
            let input = tokio::select! {
                biased;
                () = clock.as_mut(), if set_for.is_some() => {
                    set_for = None;
                    continue;
                }
                outcome = log_in_outcome(&mut self.logging_in) => {
                    self.logging_in = None;
                    let outcome = outcome.map(|(agent, command_set)| {
                        self.agent = Some(agent);
                        command_set
                    });
                    Input::LoggedIn(outcome)
                }
                () = async { outbox.as_ref().expect("it is checked").drained().await }, if outbox.is_some() => continue,
                input = self.handle.mailbox().recv(reading) => input,
            };
            self.turn(input);
        }
    }

    /// Handles what waits in the mailbox. Whether there may be more.
    fn handle_waiting(&mut self) -> bool {
        for _ in 0..AT_ONCE {
            let reading = self.waits_for_client();
            let Some(input) = self.handle.mailbox().try_recv(reading) else { return false };
            self.turn(input);
        }
        true
    }

    /// Whether what the adapter has sent waits until the client has read, so that one that reads is never taken for one
    /// that does not.
    fn waits_for_client(&mut self) -> bool {
        if !self.session.outbox().is_some_and(super::Outbox::is_busy) {
            self.busy_since = None;
            return false;
        }
        let now = Instant::now();
        now < *self.busy_since.get_or_insert(now) + READING
    }

    /// Handles one input and does what comes of it. A fault ends this session and no other.
    fn turn(&mut self, input: Input) {
        let is_command = matches!(input, Input::Command(_));
        if catch_unwind(AssertUnwindSafe(|| self.handle(input))).is_err() {
            let (tenant, session) = (&*self.registry.tenant, self.handle.short_id());
            tracing::error!(tenant, session, "a fault of the host in this session: it is ended");
            let again = std::mem::replace(&mut self.faulty, true);
            let reason = Some(DisposedReason::AdapterFailed);
            let end = Input::Control(Control::End { reason, done: None });
            let ended = catch_unwind(AssertUnwindSafe(|| self.handle(end)));
            if again || ended.is_err() || !self.handle.is_ended() {
                // Its state is beyond that: the client is at least not left waiting.
                self.registry.ended(&self.handle, reason);
                if let Some(outbox) = self.handle.outbox() {
                    outbox.close(CloseCode::GoingAway, "the session has failed");
                }
                self.session.give_up();
            }
        }
        if is_command {
            self.handle.mailbox().command_handled();
        }
    }

    fn handle(&mut self, input: Input) {
        let (mut next, mut more) = (Some(input), VecDeque::new());
        while let Some(input) = next {
            let mut effects = Effects::default();
            self.session.handle(input, Instant::now(), Timestamp::now(), &mut effects);
            // Before anybody can be told of it.
            self.publish();
            if let Some(reason) = effects.ended {
                self.registry.ended(&self.handle, reason);
            }
            more.extend(effects.list.into_iter().filter_map(|effect| self.perform(effect)));
            next = more.pop_front();
        }
    }

    /// Does one thing; what the session must be told of it.
    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Send(outbox, messages) => {
                return (!outbox.send_all(messages)).then_some(Input::Control(Control::Disconnect(outbox)));
            }
            Effect::Replay(outbox, messages) => outbox.replay(messages),
            Effect::Close(outbox, code, reason) => outbox.close(code, reason),
            Effect::SessionOver(outbox) => outbox.session_over(),
            // Whoever has asked may have gone.
            Effect::Answer(sender, text) => drop(sender.send(text)),
            Effect::Bound(sender, result) => drop(sender.send(result)),
            Effect::Migrated(sender, result) => drop(sender.send(result)),
            Effect::Ask(request, ask) => return self.ask(request, ask).err().map(|why| Input::NotAsked(request, why)),
            Effect::DropAgent => (self.agent, self.logging_in) = (None, None),
            Effect::LogIn(login) => {
                self.agent = None;
                self.logging_in = Some(Box::pin(log_in(login, self.handle.clone(), Arc::clone(&self.registry))));
            }
        }
        None
    }

    fn ask(&self, request: u64, ask: Ask) -> Result<(), Failure> {
        let Some(agent) = &self.agent else {
            return Err(Failure::new(Code::AdapterFailed, "the adapter is being started again"));
        };
        match ask {
            Ask::Start(options) => agent.start(request, &options),
            Ask::Command(command, until) => agent.command(request, &command, until),
            Ask::Snapshot => agent.snapshot(request),
            Ask::LogOut(ending) => agent.log_out(request, ending),
        }
    }

    fn publish(&self) {
        self.handle.publish(self.session.summary(), self.session.outbox(), self.session.adapter_connection());
    }

    /// Nothing is left to be done: what has come meanwhile is answered, and everything is freed.
    fn finish(mut self) {
        self.handle.mailbox().close();
        while let Some(input) = self.handle.mailbox().try_recv(false) {
            self.turn(input);
        }
        let Self { session, agent, logging_in, handle, registry, .. } = self;
        drop((agent, logging_in, session));
        registry.done(&handle);
    }
}

/// Waits for the outcome of the log-in that is under way; for ever where there is none.
async fn log_in_outcome(logging_in: &mut Option<Pin<Box<dyn Future<Output = LoggedIn> + Send>>>) -> LoggedIn {
    match logging_in {
        Some(logging_in) => logging_in.await,
        None => std::future::pending().await,
    }
}

/// Logs an agent in again.
async fn log_in(login: AgentLogIn, session: SessionHandle, registry: Arc<Registry>) -> LoggedIn {
    let AgentLogIn { connection, generation, resume, patient } = login;
    let current = if patient { connection.connected().await } else { connection.current() };
    let Some(CurrentPlatform { platform, command_set }) = current else {
        return Err(Failure::new(Code::AdapterFailed, "the adapter serves no more"));
    };
    let _turn = if patient { registry.logins_again.acquire().await.ok() } else { None };
    let login = Login::again(session.agent(), session.id(), resume).model(session.model().map(ToOwned::to_owned));
    let agent = platform.log_in(login, session.sink(generation), registry.limits().command_deadline).await;
    connection.answered(agent.as_ref().err().map(|failure| failure.code));
    Ok((agent?, command_set))
}
