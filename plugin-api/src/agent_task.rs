//! One agent inside a plugin: the tasks that carry out what the host asks of it.
//!
//! Owns: the life of one [`Agent`](crate::Agent), from the log-in to the moment the host drops it; with it end its
//! tasks. Must never: run an adapter's code on the host's thread, carry out more than [`MAX_REQUESTS`] at once for one
//! agent, or leave a request without an answer while the agent lives. Requests come from [`runtime`](crate::runtime),
//! reports and answers go through the [`host_queue`](crate::host_queue).

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    time::sleep,
};

use crate::{
    adapter::Agent,
    backoff::Backoff,
    command::Outcome,
    failure::{Code, Failure},
    host::{AgentBackend, AgentHost, Link},
    host_queue::{Flushed, HostQueue, MustFlush},
    host_sender::HostSender,
    logs,
    report::Report,
    wire::{self, BareRequest, BreachKind, Execute, Kind, LogOut, MAX_RESUME_STATE, Start, Status},
};

/// How many requests of one agent may be under way; the host's own bound is lower.
const MAX_REQUESTS: usize = 256;

/// How long a full host is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// How long an agent that cannot give a snapshot is left alone.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// What the host asks of an agent.
enum AgentRequest {
    Command(Execute<'static>),
    Start(Start),
    Snapshot(BareRequest),
    LogOut(LogOut),
}

/// One agent, and what is carried out for it.
pub(crate) struct AgentTask<G: Agent> {
    id: u64,
    host: HostSender,
    handle: Handle,
    agent: OnceLock<G>,
    queue: HostQueue,
    /// One permit for each request that may still be taken.
    permits: Arc<Semaphore>,
    /// Whether the host has dropped the agent. All tasks of the agent end then.
    dropped: AtomicBool,
    /// Told when it has.
    drop_notice: Notify,
    /// A task that asks for the resume state has been spawned and has not begun.
    resume_state_wanted: AtomicBool,
    /// How often the agent was asked for its resume state.
    resume_state_asked: AtomicU64,
}

impl<G: Agent> AgentTask<G> {
    pub(crate) fn new(id: u64, host: HostSender, handle: Handle) -> Arc<Self> {
        Arc::new(Self {
            id,
            handle,
            agent: OnceLock::new(),
            queue: HostQueue::new(id, host.clone()),
            host,
            permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
            dropped: AtomicBool::new(false),
            drop_notice: Notify::new(),
            resume_state_wanted: AtomicBool::new(false),
            resume_state_asked: AtomicU64::new(0),
        })
    }

    /// What the agent reports to.
    pub(crate) fn host(self: &Arc<Self>) -> AgentHost {
        AgentHost::new(Arc::new(WeakAgentTask(Arc::downgrade(self))))
    }

    /// Waits for a log-in and keeps the agent that comes of it.
    pub(crate) fn log_in(self: &Arc<Self>, agent: impl Future<Output = Result<G, Failure>> + Send + 'static) {
        let this = Arc::clone(self);
        self.spawn(Box::pin(async move {
            let failure = agent.await.map(|agent| drop(this.agent.set(agent))).err();
            if failure.is_none() {
                this.send_resume_state();
            }
            this.host.done(Kind::LOG_IN, this.id, failure);
        }));
    }

    /// Begins what the host asks for, in a task of its own. Runs nothing of the adapter's.
    pub(crate) fn request(self: &Arc<Self>, kind: Kind, payload: &str) -> Status {
        if self.agent.get().is_none() {
            return Status::REFUSED;
        }
        if self.dropped.load(Acquire) {
            return Status::CLOSED;
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return Status::FULL };
        let (this, payload) = (Arc::clone(self), payload.to_owned());
        self.spawn(Box::pin(async move {
            let _permit = permit;
            let request = this.read(kind, &payload);
            drop(payload);
            if let Some(request) = request {
                this.carry_out(request).await;
            }
        }));
        Status::ACCEPTED
    }

    /// Ends the agent's tasks; nothing is heard of it from now on.
    pub(crate) fn end(&self) {
        self.queue.close();
        self.dropped.store(true, Release);
        self.drop_notice.notify_waiters();
    }

    /// Reads what the host asks for. What only a newer contract knows is answered with `unsupported`.
    fn read(self: &Arc<Self>, kind: Kind, payload: &str) -> Option<AgentRequest> {
        let request = match kind {
            Kind::COMMAND => wire::read(payload).map(AgentRequest::Command),
            Kind::START => wire::read(payload).map(AgentRequest::Start),
            Kind::SNAPSHOT => wire::read(payload).map(AgentRequest::Snapshot),
            _ => wire::read(payload).map(AgentRequest::LogOut),
        };
        if let Ok(request) = request {
            return Some(request);
        }
        let BareRequest { request } = self.host.read(kind, self.id, payload)?;
        self.flush_if(self.queue.answer(request, Outcome::unsupported()));
        None
    }

    /// Does what the host asks for, and answers it.
    async fn carry_out(self: Arc<Self>, request: AgentRequest) {
        let Some(agent) = self.agent.get() else { return };
        match request {
            AgentRequest::Command(Execute { request, command }) => {
                self.answer(request, pin!(async { Ok(agent.command(command.into_owned()).await) })).await;
            }
            AgentRequest::Start(Start { request, options }) => {
                self.answer(request, pin!(async { agent.start(options).await.map(|()| Outcome::success()) })).await;
            }
            AgentRequest::Snapshot(BareRequest { request }) => {
                self.answer(request, pin!(async { agent.snapshot().await.map(|()| Outcome::success()) })).await;
            }
            AgentRequest::LogOut(LogOut { request, ending }) => {
                self.answer(request, pin!(async { agent.log_out(ending).await.map(|()| Outcome::success()) })).await;
            }
        }
    }

    /// Runs the adapter's part of a request and answers it, whatever happens.
    async fn answer(
        self: &Arc<Self>,
        request: u64,
        mut work: Pin<&mut impl Future<Output = Result<Outcome, Failure>>>,
    ) {
        let mut owed = OwedAnswer { task: self, request, outcome: None, holds_queue: false };
        let work = pin!(poll_fn(|context| {
            owed.hold();
            let polled = work.as_mut().poll(context);
            if polled.is_pending() {
                owed.release();
            }
            polled
        }));
        let outcome = self.host.guard(self.id, work).await.unwrap_or_else(Outcome::Failure);
        self.send_resume_state();
        owed.outcome = Some(outcome);
    }

    /// Asks the agent for its resume state and sends it if it is another one than before.
    fn send_resume_state(self: &Arc<Self>) {
        let Some(agent) = self.agent.get() else { return };
        // Counted before the agent is asked: of two that ask at the same time, the later number has the newer state.
        let asked = self.resume_state_asked.fetch_add(1, AcqRel);
        match catch_unwind(AssertUnwindSafe(|| logs::on_behalf_of(self.id, || agent.resume_state()))) {
            Ok(state) if state.len() <= MAX_RESUME_STATE => self.flush_if(self.queue.resume(state, asked)),
            Ok(state) => {
                let detail = format!("a resume state of {} bytes; at most {MAX_RESUME_STATE} are kept", state.len());
                self.host.breach(self.id, BreachKind::ResumeTooLong, &detail);
            }
            Err(panic) => self.host.breach(self.id, BreachKind::Panic, logs::text_of(&*panic)),
        }
    }

    /// Asks for the resume state in a task of its own: whoever reports may hold a lock that [`Agent::resume_state`]
    /// takes.
    fn want_resume_state(self: &Arc<Self>) {
        if self.resume_state_wanted.swap(true, AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        self.spawn(Box::pin(async move {
            // A swap, not a store: what happened before someone found this set must be seen by what follows.
            this.resume_state_wanted.swap(false, AcqRel);
            this.send_resume_state();
        }));
    }

    fn flush_if(self: &Arc<Self>, must_flush: MustFlush) {
        if must_flush {
            let this = Arc::clone(self);
            self.spawn(Box::pin(async move { this.flush().await }));
        }
    }

    /// Sends what waits in the queue until nothing does.
    async fn flush(self: &Arc<Self>) {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let mut pause = backoff.next_pause();
        loop {
            sleep(pause).await;
            match self.queue.flush() {
                Flushed::Empty => return,
                Flushed::HostIsFull => pause = backoff.next_pause(),
                Flushed::SnapshotWanted => {
                    backoff.reset();
                    pause = if self.take_snapshot().await { backoff.next_pause() } else { SNAPSHOT_PAUSE };
                }
            }
        }
    }

    /// Asks the agent for a snapshot in the place of dropped reports. Returns whether it gave one.
    async fn take_snapshot(self: &Arc<Self>) -> bool {
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            let detail = format!("{dropped} reports dropped because the host could not take them");
            self.host.breach(self.id, BreachKind::ReportsDropped, &detail);
        }
        let Some(agent) = self.agent.get() else { return false };
        let snapshot = pin!(async { agent.snapshot().await });
        let taken = self.flush_until(self.host.guard(self.id, snapshot)).await.is_ok();
        self.send_resume_state();
        taken
    }

    /// Waits for a snapshot, which may take as long as the link is lost; the host must learn that it is.
    async fn flush_until<T>(&self, snapshot: impl Future<Output = T>) -> T {
        let mut snapshot = pin!(snapshot);
        loop {
            tokio::select! {
                biased;
                taken = &mut snapshot => return taken,
                () = sleep(SNAPSHOT_PAUSE) => self.queue.flush_on(),
            }
        }
    }

    /// Runs something for the agent until it is done or the agent is dropped. Boxed by the caller, because a task is
    /// moved several times before it runs, and an adapter's future can be kilobytes.
    fn spawn(self: &Arc<Self>, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let this = Arc::clone(self);
        self.handle.spawn(async move {
            tokio::select! {
                biased;
                () = this.until_dropped() => {}
                () = work => {}
            }
        });
    }

    async fn until_dropped(&self) {
        let mut notice = pin!(self.drop_notice.notified());
        // From here on no notice is missed.
        notice.as_mut().enable();
        if !self.dropped.load(Acquire) {
            notice.await;
        }
    }
}

impl<G: Agent> Drop for AgentTask<G> {
    /// The agent's own code may run when it is dropped, and the last who held the task may be anybody: the host, or the
    /// adapter in the middle of a report, with a lock that the agent wants. So it is dropped in a task of its own.
    fn drop(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        let (id, host) = (self.id, self.host.clone());
        self.handle.spawn(async move {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| logs::on_behalf_of(id, || drop(agent)))) {
                host.breach(id, BreachKind::Panic, logs::text_of(&*panic));
            }
        });
    }
}

/// An answer that is owed: given when this is dropped, so that no way out of a request forgets it.
struct OwedAnswer<'a, G: Agent> {
    task: &'a Arc<AgentTask<G>>,
    request: u64,
    outcome: Option<Outcome>,
    holds_queue: bool,
}

impl<G: Agent> OwedAnswer<'_, G> {
    fn hold(&mut self) {
        self.task.queue.hold();
        self.holds_queue = true;
    }

    fn release(&mut self) {
        if std::mem::take(&mut self.holds_queue) {
            let (must_flush, reported) = self.task.queue.release();
            self.task.flush_if(must_flush);
            // The end of the request, at which it is asked for otherwise, may be far away.
            if reported {
                self.task.want_resume_state();
            }
        }
    }
}

impl<G: Agent> Drop for OwedAnswer<'_, G> {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Outcome::failure(Code::AdapterFailed, "the adapter gave up the request"));
        let queue = &self.task.queue;
        let must_flush = if self.holds_queue {
            queue.release_with_answer(self.request, outcome)
        } else {
            queue.answer(self.request, outcome)
        };
        self.task.flush_if(must_flush);
    }
}

/// The way to the host, for one agent. Weak, because the agent itself keeps it.
struct WeakAgentTask<G: Agent>(Weak<AgentTask<G>>);

impl<G: Agent> AgentBackend for WeakAgentTask<G> {
    fn report(&self, report: Report) {
        let Some(task) = self.0.upgrade() else { return };
        // In the name of this agent a request is being polled.
        let polled = logs::current() == task.id;
        task.flush_if(task.queue.report(report, polled));
        // Of a request the state is asked for when the poll is over.
        if !polled && !task.queue.is_closed() {
            task.want_resume_state();
        }
    }

    fn link(&self, link: Link) {
        if let Some(task) = self.0.upgrade() {
            task.flush_if(task.queue.link(link));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        borrow::Cow,
        future::pending,
        sync::{Mutex, mpsc},
    };

    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::{
        Command, Ending, StartOptions,
        host_queue::MAX_WAITING,
        report::{Channel, ExtensionEvent, Target},
        wire::{MessageSink, Resume},
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

    impl MessageSink for Host {
        fn send(&self, kind: Kind, _: u64, payload: &str) -> Status {
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
    fn logged_in() -> (Runtime, Arc<AgentTask<Teller>>, Arc<Host>, mpsc::Receiver<u8>) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (sender, states) = mpsc::channel();
        let host = Arc::new(Host { states: sender, links: Mutex::default(), full: AtomicBool::new(false) });
        let task = AgentTask::new(1, HostSender::new(host.clone()), runtime.handle().clone());
        let teller = Teller { number: Arc::default(), host: task.host(), asked_in_vain: Mutex::default() };
        task.log_in(async { Ok(teller) });
        assert_eq!(states.recv().unwrap(), 0);
        (runtime, task, host, states)
    }

    #[test]
    fn what_is_reported_in_the_middle_of_a_request_is_followed_by_its_resume_state() {
        let (_runtime, task, _host, states) = logged_in();
        let command = Command::Ready { channel: "c".to_owned() };
        let command = wire::write(&Execute { request: 1, command: Cow::Owned(command) }).unwrap();
        assert_eq!(task.request(Kind::COMMAND, &command), Status::ACCEPTED);
        assert_eq!(states.recv().unwrap(), 1);
    }

    /// More than may wait.
    fn report_too_much(task: &AgentTask<Teller>) {
        for number in 0..=MAX_WAITING {
            let event = ExtensionEvent::new(Target::Session, "session.toy.event", number.to_string());
            let report = Report::new().event(event).channel(Channel::new("c"));
            task.agent.get().unwrap().host.report(report);
        }
    }

    #[test]
    fn a_lost_link_is_told_while_the_agent_is_asked_for_a_snapshot() {
        let (_runtime, task, host, _states) = logged_in();
        let ((asked, is_asked), (sender, links)) = (mpsc::channel(), mpsc::channel());
        *task.agent.get().unwrap().asked_in_vain.lock().unwrap() = Some(asked);
        *host.links.lock().unwrap() = Some(sender);
        host.full.store(true, Release);
        report_too_much(&task);
        host.full.store(false, Release);
        is_asked.recv().unwrap();
        host.full.store(true, Release);
        let lost = Link::Down { reason: "gone".to_owned() };
        task.agent.get().unwrap().host.link(lost.clone());
        host.full.store(false, Release);
        assert_eq!(links.recv_timeout(Duration::from_secs(30)).unwrap(), lost);
    }

    #[test]
    fn a_snapshot_in_the_place_of_dropped_reports_is_followed_by_its_resume_state() {
        let (_runtime, task, host, states) = logged_in();
        host.full.store(true, Release);
        report_too_much(&task);
        host.full.store(false, Release);
        assert_eq!(states.recv().unwrap(), 2);
    }

    #[test]
    fn an_agent_takes_only_so_many_requests_at_once() {
        let (_runtime, task, _host, _states) = logged_in();
        let command = Command::Ready { channel: "c".to_owned() };
        let command = wire::write(&Execute { request: 1, command: Cow::Owned(command) }).unwrap();
        for _ in 0..MAX_REQUESTS {
            assert_eq!(task.request(Kind::COMMAND, &command), Status::ACCEPTED);
        }
        assert_eq!(task.request(Kind::COMMAND, &command), Status::FULL);
        task.end();
        assert_eq!(task.request(Kind::COMMAND, &command), Status::CLOSED);
    }
}
