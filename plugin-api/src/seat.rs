//! One agent inside a plugin: its outbox, and the tasks that run what the host asks of it.
//!
//! Owns: the life of one [`Agent`](crate::Agent), from the log-in to the moment the host drops it; with it end its
//! tasks. Must never: run more than [`MAX_TASKS`] things at once for one agent, or leave a request without an answer
//! while the agent lives. Requests come from [`runtime`](crate::runtime), answers go through the
//! [`outbox`](crate::outbox).

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::{runtime::Handle, task::JoinSet, time::sleep};

use crate::{
    adapter::Agent,
    command::Outcome,
    failure::{Code, Failure},
    host::{AgentHost, AgentSink, Link},
    logs,
    outbox::{MustFlush, Outbox, Waits},
    report::Report,
    runtime::Tell,
    wire::{Execute, Kind, LogOut, MAX_RESUME_STATE, Request, Start, Status, Wrong},
};

/// How many requests of one agent may be under way; the host's own bound is lower.
const MAX_TASKS: usize = 256;

/// How long a full host is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// How long an agent that cannot give a snapshot is left alone.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Seat<G: Agent> {
    id: u64,
    tell: Tell,
    handle: Handle,
    agent: OnceLock<G>,
    outbox: Outbox,
    /// `None` once the agent has been dropped.
    tasks: Mutex<Option<JoinSet<()>>>,
    /// A task that asks for the resume state is on its way.
    resume_wanted: AtomicBool,
}

impl<G: Agent> Seat<G> {
    pub(crate) fn new(id: u64, tell: Tell, handle: Handle) -> Arc<Self> {
        let outbox = Outbox::new(id, Arc::clone(&tell.0));
        Arc::new(Self {
            id,
            tell,
            handle,
            agent: OnceLock::new(),
            outbox,
            tasks: Mutex::new(Some(JoinSet::new())),
            resume_wanted: AtomicBool::new(false),
        })
    }

    /// What the agent reports to.
    pub(crate) fn host(self: &Arc<Self>) -> AgentHost {
        AgentHost::new(Arc::new(AgentLine(Arc::downgrade(self))))
    }

    /// Takes the agent that comes of a log-in.
    pub(crate) fn log_in(self: &Arc<Self>, agent: impl Future<Output = Result<G, Failure>> + Send + 'static) -> Status {
        let seat = Arc::clone(self);
        self.spawn(async move {
            let failure = agent.await.map(|agent| drop(seat.agent.set(agent))).err();
            if failure.is_none() {
                seat.tell_resume_state();
            }
            seat.tell.done(Kind::LOG_IN, seat.id, failure);
        })
    }

    /// Starts what the host asks for.
    pub(crate) fn request(self: &Arc<Self>, kind: Kind, payload: &str) -> Status {
        if self.agent.get().is_none() {
            return Status::REFUSED;
        }
        let (seat, payload) = (Arc::clone(self), payload.to_owned());
        self.spawn(async move {
            if let Some(agent) = seat.agent.get() {
                seat.run(agent, kind, payload).await;
            }
        })
    }

    /// Nothing is heard of the agent from now on; what it was doing is given up.
    pub(crate) fn leave(&self) {
        self.outbox.close();
        // Dropping the set aborts its tasks; they are dropped by the plugin's own threads.
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    async fn run(self: &Arc<Self>, agent: &G, kind: Kind, payload: String) {
        match kind {
            Kind::COMMAND => {
                let Some(Execute { request, command }) = self.read(kind, payload) else { return };
                self.answer(request, async { Ok(agent.command(command).await) }).await;
            }
            Kind::START => {
                let Some(Start { request, options }) = self.read(kind, payload) else { return };
                self.answer(request, async { agent.start(options).await.map(|()| Outcome::success()) }).await;
            }
            Kind::SNAPSHOT => {
                let Some(Request { request }) = self.read(kind, payload) else { return };
                self.answer(request, async { agent.snapshot().await.map(|()| Outcome::success()) }).await;
            }
            _ => {
                let Some(LogOut { request, ending }) = self.read(kind, payload) else { return };
                self.answer(request, async { agent.log_out(ending).await.map(|()| Outcome::success()) }).await;
            }
        }
    }

    /// Runs the adapter's part of a request and answers it, whatever happens.
    async fn answer(self: &Arc<Self>, request: u64, work: impl Future<Output = Result<Outcome, Failure>>) {
        let mut owed = Owed { seat: self, request, outcome: None };
        let outcome = self.tell.guarded(self.id, work).await.unwrap_or_else(Outcome::Failure);
        self.tell_resume_state();
        owed.outcome = Some(outcome);
    }

    /// Reads a payload. One that asks for something that only a newer contract knows is answered with `unsupported`.
    fn read<T: DeserializeOwned>(self: &Arc<Self>, kind: Kind, payload: String) -> Option<T> {
        let message = self.tell.read(kind, self.id, &payload);
        if message.is_none()
            && let Ok(Request { request }) = serde_json::from_str(&payload)
        {
            self.flush_if(self.outbox.answer(request, Outcome::unsupported()));
        }
        message
    }

    /// Sends the resume state if it is another one than before.
    fn tell_resume_state(self: &Arc<Self>) {
        let Some(agent) = self.agent.get() else { return };
        match catch_unwind(AssertUnwindSafe(|| logs::on_behalf_of(self.id, || agent.resume_state()))) {
            Ok(state) if state.len() <= MAX_RESUME_STATE => self.flush_if(self.outbox.resume(state)),
            Ok(state) => {
                let detail = format!("a resume state of {} bytes; at most {MAX_RESUME_STATE} are kept", state.len());
                self.tell.breach(self.id, Wrong::ResumeTooLong, &detail);
            }
            Err(panic) => self.tell.breach(self.id, Wrong::Panic, logs::text_of(&*panic)),
        }
    }

    /// The same, but not now: whoever reports may hold a lock that [`Agent::resume_state`] wants.
    fn want_resume_state(self: &Arc<Self>) {
        if self.resume_wanted.swap(true, AcqRel) {
            return;
        }
        let seat = Arc::clone(self);
        self.spawn(async move {
            seat.resume_wanted.store(false, std::sync::atomic::Ordering::Release);
            seat.tell_resume_state();
        });
    }

    fn flush_if(self: &Arc<Self>, must_flush: MustFlush) {
        if must_flush {
            let seat = Arc::clone(self);
            let status = self.spawn(async move { seat.flush().await });
            // No task left: the next thing that is told tries again.
            if status == Status::FULL {
                self.outbox.nobody_flushes();
            }
        }
    }

    /// Sends what waits, until nothing does.
    async fn flush(self: &Arc<Self>) {
        let mut pause = PAUSE.0;
        loop {
            sleep(pause).await;
            match self.outbox.flush() {
                Waits::No => return,
                Waits::ForRoom => pause = (pause * 2).min(PAUSE.1),
                Waits::ForSnapshot => {
                    let dropped = self.outbox.take_dropped();
                    if dropped > 0 {
                        let detail = format!("{dropped} reports dropped because the host could not take them");
                        self.tell.breach(self.id, Wrong::ReportsDropped, &detail);
                    }
                    let taken = match self.agent.get() {
                        Some(agent) => self.tell.guarded(self.id, agent.snapshot()).await.is_ok(),
                        None => false,
                    };
                    pause = if taken { PAUSE.0 } else { SNAPSHOT_PAUSE };
                }
            }
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Status {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = tasks.as_mut() else { return Status::CLOSED };
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MAX_TASKS {
            return Status::FULL;
        }
        tasks.spawn_on(work, &self.handle);
        Status::ACCEPTED
    }
}

/// An answer that is owed: given when this is dropped, so that no way out of a request forgets it.
struct Owed<'a, G: Agent> {
    seat: &'a Arc<Seat<G>>,
    request: u64,
    outcome: Option<Outcome>,
}

impl<G: Agent> Drop for Owed<'_, G> {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Outcome::failure(Code::AdapterFailed, "the adapter gave up the request"));
        self.seat.flush_if(self.seat.outbox.answer(self.request, outcome));
    }
}

/// The way to the host, for one agent. Weak, because the agent itself keeps it.
struct AgentLine<G: Agent>(Weak<Seat<G>>);

impl<G: Agent> AgentSink for AgentLine<G> {
    fn report(&self, report: Report) {
        let Some(seat) = self.0.upgrade() else { return };
        seat.flush_if(seat.outbox.report(report));
        // In the name of this agent a request is under way, and the state is asked for at its end.
        if logs::current() != seat.id && !seat.outbox.is_closed() {
            seat.want_resume_state();
        }
    }

    fn link(&self, link: Link) {
        if let Some(seat) = self.0.upgrade() {
            seat.flush_if(seat.outbox.link(link));
        }
    }
}
