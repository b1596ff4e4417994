//! One agent inside a plugin: its outbox, and the tasks that run what the host asks of it.
//!
//! Owns: the life of one [`Agent`](crate::Agent), from the log-in to the moment the host drops it; with it end its
//! tasks. Must never: run more than [`MAX_TASKS`] things at once for one agent, or leave a request without an answer
//! while the agent lives. Requests come from [`requests`](crate::requests), answers go through the
//! [`outbox`](crate::outbox).

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify, time::sleep};

use crate::{
    adapter::Agent,
    command::Outcome,
    failure::{Code, Failure},
    host::{AgentHost, AgentSink, Link},
    logs,
    outbox::{MustFlush, Outbox, Waits},
    report::Report,
    runtime::Tell,
    wire::{self, Execute, Kind, LogOut, MAX_RESUME_STATE, Request, Start, Status, Wrong},
};

/// How many requests of one agent may be under way; the host's own bound is lower.
const MAX_TASKS: usize = 256;

/// How long a full host is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// How long an agent that cannot give a snapshot is left alone.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// What the host asks of an agent.
pub(crate) enum Asked {
    Command(Execute),
    Start(Start),
    Snapshot(Request),
    LogOut(LogOut),
}

pub(crate) struct Seat<G: Agent> {
    id: u64,
    tell: Tell,
    handle: Handle,
    agent: OnceLock<G>,
    outbox: Outbox,
    /// How many tasks work for the agent.
    tasks: AtomicUsize,
    /// The agent has been dropped, and the tasks are told.
    has_left: AtomicBool,
    leaving: Notify,
    /// A task that asks for the resume state is on its way.
    resume_wanted: AtomicBool,
    /// How often the agent was asked for it.
    resume_asked: AtomicU64,
}

impl<G: Agent> Seat<G> {
    pub(crate) fn new(id: u64, tell: Tell, handle: Handle) -> Arc<Self> {
        let outbox = Outbox::new(id, tell.clone());
        Arc::new(Self {
            id,
            tell,
            handle,
            agent: OnceLock::new(),
            outbox,
            tasks: AtomicUsize::new(0),
            has_left: AtomicBool::new(false),
            leaving: Notify::new(),
            resume_wanted: AtomicBool::new(false),
            resume_asked: AtomicU64::new(0),
        })
    }

    /// What the agent reports to.
    pub(crate) fn host(self: &Arc<Self>) -> AgentHost {
        AgentHost::new(Arc::new(AgentLine(Arc::downgrade(self))))
    }

    /// Takes the agent that comes of a log-in.
    pub(crate) fn log_in(self: &Arc<Self>, agent: impl Future<Output = Result<G, Failure>> + Send + 'static) -> Status {
        let seat = Arc::clone(self);
        self.spawn(Box::pin(async move {
            let failure = agent.await.map(|agent| drop(seat.agent.set(agent))).err();
            if failure.is_none() {
                seat.tell_resume_state();
            }
            seat.tell.done(Kind::LOG_IN, seat.id, failure);
        }))
    }

    /// Takes what the host asks for; [`Requests`](crate::requests::Requests) will see to it.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Task<G>, Status> {
        if self.agent.get().is_none() {
            Err(Status::REFUSED)
        } else if self.tasks.load(Relaxed) >= MAX_TASKS {
            Err(Status::FULL)
        } else if self.has_left.load(Acquire) {
            Err(Status::CLOSED)
        } else {
            Ok(Task::new(self))
        }
    }

    /// Nothing is heard of the agent from now on; what it was doing is given up.
    pub(crate) fn leave(&self) {
        self.outbox.close();
        self.has_left.store(true, Release);
        self.leaving.notify_waiters();
    }

    /// Reads what the host asks for. What only a newer contract knows is answered with `unsupported`.
    pub(crate) fn read(self: &Arc<Self>, kind: Kind, payload: &str) -> Option<Asked> {
        let asked = match kind {
            Kind::COMMAND => wire::read(payload).map(Asked::Command),
            Kind::START => wire::read(payload).map(Asked::Start),
            Kind::SNAPSHOT => wire::read(payload).map(Asked::Snapshot),
            _ => wire::read(payload).map(Asked::LogOut),
        };
        if let Ok(asked) = asked {
            return Some(asked);
        }
        let Request { request } = self.tell.read(kind, self.id, payload)?;
        self.flush_if(self.outbox.answer(request, Outcome::unsupported()));
        None
    }

    /// Does what the host asks for, and answers it.
    pub(crate) async fn run(self: Arc<Self>, asked: Asked) {
        let Some(agent) = self.agent.get() else { return };
        match asked {
            Asked::Command(Execute { request, command }) => {
                self.answer(request, pin!(async { Ok(agent.command(command).await) })).await;
            }
            Asked::Start(Start { request, options }) => {
                self.answer(request, pin!(async { agent.start(options).await.map(|()| Outcome::success()) })).await;
            }
            Asked::Snapshot(Request { request }) => {
                self.answer(request, pin!(async { agent.snapshot().await.map(|()| Outcome::success()) })).await;
            }
            Asked::LogOut(LogOut { request, ending }) => {
                self.answer(request, pin!(async { agent.log_out(ending).await.map(|()| Outcome::success()) })).await;
            }
        }
    }

    /// Runs the adapter's part of a request and answers it, whatever happens. It is pinned by the caller, because what is
    /// handed on by value has a place in the future of each that hands it on.
    async fn answer(
        self: &Arc<Self>,
        request: u64,
        mut work: Pin<&mut impl Future<Output = Result<Outcome, Failure>>>,
    ) {
        let mut owed = Owed { seat: self, request, outcome: None, held: false };
        let work = pin!(poll_fn(|context| {
            owed.hold();
            let polled = work.as_mut().poll(context);
            if polled.is_pending() {
                owed.let_go();
            }
            polled
        }));
        let outcome = self.tell.guarded(self.id, work).await.unwrap_or_else(Outcome::Failure);
        self.tell_resume_state();
        owed.outcome = Some(outcome);
    }

    /// Sends the resume state if it is another one than before.
    fn tell_resume_state(self: &Arc<Self>) {
        let Some(agent) = self.agent.get() else { return };
        // Before the agent is asked: who is last here gets what is newest.
        let asked = self.resume_asked.fetch_add(1, AcqRel);
        match catch_unwind(AssertUnwindSafe(|| logs::on_behalf_of(self.id, || agent.resume_state()))) {
            Ok(state) if state.len() <= MAX_RESUME_STATE => self.flush_if(self.outbox.resume(state, asked)),
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
        self.spawn(Box::pin(async move {
            // A swap, not a store: what was there before whoever found this set must be seen by what follows.
            seat.resume_wanted.swap(false, AcqRel);
            seat.tell_resume_state();
        }));
    }

    fn flush_if(self: &Arc<Self>, must_flush: MustFlush) {
        if must_flush {
            let seat = Arc::clone(self);
            self.spawn(Box::pin(async move { seat.flush().await }));
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
                        Some(agent) => {
                            let snapshot = pin!(async { agent.snapshot().await });
                            self.flush_beside(self.tell.guarded(self.id, snapshot)).await.is_ok()
                        }
                        None => false,
                    };
                    self.tell_resume_state();
                    pause = if taken { PAUSE.0 } else { SNAPSHOT_PAUSE };
                }
            }
        }
    }

    /// Waits for a snapshot, which may take as long as the link is lost; the host must learn that it is.
    async fn flush_beside<T>(&self, snapshot: impl Future<Output = T>) -> T {
        let mut snapshot = pin!(snapshot);
        loop {
            tokio::select! {
                biased;
                taken = &mut snapshot => return taken,
                () = sleep(SNAPSHOT_PAUSE) => self.outbox.flush_on(),
            }
        }
    }

    /// Runs something for the agent, until it is done or the agent leaves. Nothing of it is kept when it is done: there
    /// are many agents, and most of them are idle. Boxed by the caller: a task is moved several times before it runs, and
    /// what an adapter's future keeps can be kilobytes.
    fn spawn(self: &Arc<Self>, work: Pin<Box<dyn Future<Output = ()> + Send>>) -> Status {
        if self.has_left.load(Acquire) {
            return Status::CLOSED;
        }
        Task::new(self).go_on(work);
        Status::ACCEPTED
    }
}

impl<G: Agent> Drop for Seat<G> {
    /// The agent's own code may run when it is dropped, and the last who held the seat may be anybody: the host, or the
    /// adapter in the middle of a report, with a lock that the agent wants. So it is dropped in a task of its own.
    fn drop(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        let (id, tell) = (self.id, self.tell.clone());
        self.handle.spawn(async move {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| logs::on_behalf_of(id, || drop(agent)))) {
                tell.breach(id, Wrong::Panic, logs::text_of(&*panic));
            }
        });
    }
}

/// One thing that is done for an agent.
pub(crate) struct Task<G: Agent>(Arc<Seat<G>>);

impl<G: Agent> Task<G> {
    /// Whose it is, unless the agent has left.
    pub(crate) fn seat(&self) -> Option<&Arc<Seat<G>>> {
        (!self.0.has_left.load(Acquire)).then_some(&self.0)
    }

    /// Goes on with it in a task of its own.
    pub(crate) fn go_on(self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let handle = self.0.handle.clone();
        handle.spawn(async move {
            // Made before looking: whoever leaves after this is heard.
            let leaving = self.0.leaving.notified();
            if self.0.has_left.load(Acquire) {
                return;
            }
            tokio::select! {
                // The work first: most of it is done at once, and then nobody listens for the other.
                biased;
                () = work => {}
                () = leaving => {}
            }
        });
    }

    fn new(seat: &Arc<Seat<G>>) -> Self {
        seat.tasks.fetch_add(1, Relaxed);
        Self(Arc::clone(seat))
    }
}

impl<G: Agent> Drop for Task<G> {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Relaxed);
    }
}

/// An answer that is owed: given when this is dropped, so that no way out of a request forgets it.
struct Owed<'a, G: Agent> {
    seat: &'a Arc<Seat<G>>,
    request: u64,
    outcome: Option<Outcome>,
    /// It holds the outbox.
    held: bool,
}

impl<G: Agent> Owed<'_, G> {
    fn hold(&mut self) {
        self.seat.outbox.hold();
        self.held = true;
    }

    fn let_go(&mut self) {
        if std::mem::take(&mut self.held) {
            let (must_flush, reported) = self.seat.outbox.let_go();
            self.seat.flush_if(must_flush);
            // The end of the request, at which it is asked for otherwise, may be far away.
            if reported {
                self.seat.want_resume_state();
            }
        }
    }
}

impl<G: Agent> Drop for Owed<'_, G> {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Outcome::failure(Code::AdapterFailed, "the adapter gave up the request"));
        let outbox = &self.seat.outbox;
        let must_flush =
            if self.held { outbox.let_go_with(self.request, outcome) } else { outbox.answer(self.request, outcome) };
        self.seat.flush_if(must_flush);
    }
}

/// The way to the host, for one agent. Weak, because the agent itself keeps it.
struct AgentLine<G: Agent>(Weak<Seat<G>>);

impl<G: Agent> AgentSink for AgentLine<G> {
    fn report(&self, report: Report) {
        let Some(seat) = self.0.upgrade() else { return };
        // In the name of this agent a request is being polled.
        let polled = logs::current() == seat.id;
        seat.flush_if(seat.outbox.report(report, polled));
        // Of a request the state is asked for when the poll is over.
        if !polled && !seat.outbox.is_closed() {
            seat.want_resume_state();
        }
    }

    fn link(&self, link: Link) {
        if let Some(seat) = self.0.upgrade() {
            seat.flush_if(seat.outbox.link(link));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        future::pending,
        sync::{Mutex, mpsc},
    };

    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::{
        Command, Ending, StartOptions,
        outbox::MAX_WAITING,
        report::{Channel, ExtensionEvent, Target},
        wire::{Form, Outlet, Resume},
    };

    /// Its resume state is one number, which it reports with.
    struct Teller {
        number: Arc<Mutex<u8>>,
        host: AgentHost,
        /// It has no snapshot, and passes on that it was asked for one.
        asked_in_vain: Mutex<Option<mpsc::Sender<()>>>,
    }

    impl Teller {
        fn tell(&self, number: u8, report: Report) {
            *self.number.lock().unwrap() = number;
            self.host.report(report.channel(Channel::new("c")));
        }
    }

    impl Agent for Teller {
        async fn start(&self, _: StartOptions) -> Result<(), Failure> {
            Ok(())
        }

        async fn command(&self, _: Command) -> Outcome {
            self.tell(1, Report::new());
            pending().await
        }

        async fn snapshot(&self) -> Result<(), Failure> {
            let asked_in_vain = self.asked_in_vain.lock().unwrap().take();
            if let Some(asked) = asked_in_vain {
                asked.send(()).unwrap();
                pending::<()>().await;
            }
            self.tell(2, Report::snapshot());
            Ok(())
        }

        async fn log_out(&self, _: Ending) -> Result<(), Failure> {
            Ok(())
        }

        fn resume_state(&self) -> Vec<u8> {
            vec![*self.number.lock().unwrap()]
        }
    }

    /// Passes on the resume states and links, and may be full.
    struct Host {
        states: mpsc::Sender<u8>,
        links: Mutex<Option<mpsc::Sender<Link>>>,
        full: AtomicBool,
    }

    impl Outlet for Host {
        fn emit(&self, kind: Kind, _: u64, payload: &str) -> Status {
            if self.full.load(Acquire) {
                return Status::FULL;
            }
            if kind == Kind::RESUME {
                self.states.send(wire::read::<Resume>(payload).unwrap().state[0]).unwrap();
            }
            if let (Kind::LINK, Some(links)) = (kind, &*self.links.lock().unwrap()) {
                links.send(wire::read(payload).unwrap()).unwrap();
            }
            Status::ACCEPTED
        }
    }

    /// An agent who is logged in, and the resume states that the host gets.
    fn logged_in() -> (Runtime, Arc<Seat<Teller>>, Arc<Host>, mpsc::Receiver<u8>) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (sender, states) = mpsc::channel();
        let host = Arc::new(Host { states: sender, links: Mutex::default(), full: AtomicBool::new(false) });
        let tell = Tell { outlet: host.clone(), form: Form::Json };
        let seat = Seat::new(1, tell, runtime.handle().clone());
        let teller = Teller { number: Arc::default(), host: seat.host(), asked_in_vain: Mutex::default() };
        seat.log_in(async { Ok(teller) });
        assert_eq!(states.recv().unwrap(), 0);
        (runtime, seat, host, states)
    }

    #[test]
    fn what_is_reported_in_the_middle_of_a_request_is_followed_by_its_resume_state() {
        let (runtime, seat, _host, states) = logged_in();
        let command = Command::Ready { channel: "c".to_owned() };
        runtime.spawn(Arc::clone(&seat).run(Asked::Command(Execute { request: 1, command })));
        assert_eq!(states.recv().unwrap(), 1);
    }

    /// More than may wait.
    fn report_too_much(seat: &Seat<Teller>) {
        for number in 0..=MAX_WAITING {
            let event = ExtensionEvent::new(Target::Session, "session.toy.event", number.to_string());
            let report = Report::new().event(event).channel(Channel::new("c"));
            seat.agent.get().unwrap().host.report(report);
        }
    }

    #[test]
    fn a_lost_link_is_told_while_the_agent_is_asked_for_a_snapshot() {
        let (_runtime, seat, host, _states) = logged_in();
        let ((asked, is_asked), (sender, links)) = (mpsc::channel(), mpsc::channel());
        *seat.agent.get().unwrap().asked_in_vain.lock().unwrap() = Some(asked);
        *host.links.lock().unwrap() = Some(sender);
        host.full.store(true, Release);
        report_too_much(&seat);
        host.full.store(false, Release);
        is_asked.recv().unwrap();
        host.full.store(true, Release);
        let lost = Link::Down { reason: "gone".to_owned() };
        seat.agent.get().unwrap().host.link(lost.clone());
        host.full.store(false, Release);
        assert_eq!(links.recv_timeout(Duration::from_secs(30)).unwrap(), lost);
    }

    #[test]
    fn a_snapshot_in_the_place_of_dropped_reports_is_followed_by_its_resume_state() {
        let (_runtime, seat, host, states) = logged_in();
        host.full.store(true, Release);
        report_too_much(&seat);
        host.full.store(false, Release);
        assert_eq!(states.recv().unwrap(), 2);
    }
}
