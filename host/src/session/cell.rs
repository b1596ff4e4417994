//! One session, worked by whoever brings it something.
//!
//! Owns: who may touch a session's [`Core`] when. There is no task: a desk, the clock or an adapter's thread takes the
//! lock, does its part and what else is waiting, and goes; so a command costs no change of thread on its way in. What the
//! adapter brings is left to the task of the client's connection, which must be woken for what comes of it anyway: an
//! adapter may have one thread for all its agents.
//! Must never: block an adapter's thread (it leaves its message to whoever has the lock) or let the session call the
//! adapter on it (the plugin may hold locks of its own; what is due is then done by a task of the host's runtime).

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Waker,
};

use tokio::{runtime::Handle, time::Instant};

use super::{
    DisposedReason, Identity, Outbox,
    actor::{Chores, Core},
    manager::{Board, SessionStatus},
};
use crate::plugin::{AdapterMessage, AgentSink, Delivery};

/// How many messages of the adapter may wait for a session. They wait only until the connection's task has its turn, so
/// this is only reached by an adapter that floods.
const INBOX: usize = 256;

/// How many bytes they may keep, unless it is one alone.
const INBOX_BYTES: usize = 16 << 20;

pub(super) struct Cell {
    pub(super) id: Box<str>,
    /// The agent, as the desktop named it.
    pub(super) agent: Box<str>,
    pub(super) model: Option<Box<str>>,
    identity: Identity,
    board: Weak<Board>,
    runtime: Handle,
    core: Mutex<Core>,
    inbox: Mutex<Inbox>,
    /// Something waits in the inbox. Written under its lock, and read without it by those who are called, or look again,
    /// when something comes after.
    word: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<(u32, AdapterMessage)>,
    /// How many bytes those keep.
    bytes: usize,
    /// A task will come by to call the adapter.
    scheduled: bool,
    /// Who is called when something waits; none: whoever brings it does it.
    reader: Option<Outbox>,
}

/// Who works the session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worker {
    /// A thread of the host.
    Host,
    /// A thread of the adapter.
    Adapter,
}

impl Cell {
    pub(super) fn new(
        core: Core,
        agent: &str,
        model: Option<&str>,
        identity: Identity,
        board: &Arc<Board>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: core.id.clone(),
            agent: agent.into(),
            model: model.map(Into::into),
            identity,
            board: Arc::downgrade(board),
            runtime: board.runtime.clone(),
            core: Mutex::new(core),
            inbox: Mutex::default(),
            word: AtomicBool::new(false),
        })
    }

    /// Where an agent's messages go. Only those of the newest log-in are heard.
    pub(super) fn sink(self: &Arc<Self>, generation: u32) -> Arc<dyn AgentSink> {
        Arc::new(Sink { cell: Arc::downgrade(self), generation })
    }

    /// Whether the session is over.
    pub(super) fn is_ended(&self) -> bool {
        // Whoever works it may have sent the answer that its client goes by, and not have let go of it yet.
        self.lock().is_ended()
    }

    /// Whether this identity may bind it.
    pub(super) fn belongs_to(&self, identity: &Identity) -> bool {
        identity.may_use(&self.identity, &self.agent)
    }

    /// Does something with the session, after what the adapter has brought before, and then whatever has become due.
    pub(super) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Core) -> R) -> R {
        self.with_patience(false, act)
    }

    /// The same for the connection's own task. `patient`: what the adapter has brought is left where it is while the
    /// client has much to read, because nobody else writes to it meanwhile.
    pub(super) fn with_patience<R>(self: &Arc<Self>, patient: bool, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.lock();
        self.empty_inbox(&mut core, patient);
        let result = act(&mut core);
        self.work(core, Worker::Host, patient);
        result
    }

    /// The clock has come to a time that the session has asked for.
    pub(super) fn tick(self: &Arc<Self>, at: Instant) {
        self.with(|core| {
            // An older time than the one that was asked for last has become stale.
            if core.armed == Some(at) {
                core.armed = None;
                core.tick(Instant::now());
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(|poisoned| self.mend(poisoned))
    }

    /// A panic has left the session as it may not be: it ends.
    #[cold]
    fn mend<'a>(&self, poisoned: PoisonError<MutexGuard<'a, Core>>) -> MutexGuard<'a, Core> {
        self.core.clear_poison();
        let mut core = poisoned.into_inner();
        tracing::error!(session = core.short_id(), "the session has panicked and is ended");
        core.end(Some(DisposedReason::AdapterFailed), true, None);
        core
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what comes from the adapter.
    fn deliver(self: &Arc<Self>, generation: u32, letter: AdapterMessage) -> Delivery {
        let mut inbox = self.inbox();
        let bytes = inbox.bytes + letter.size();
        if inbox.waiting.len() >= INBOX || bytes > INBOX_BYTES && !inbox.waiting.is_empty() {
            return Delivery::Full;
        }
        inbox.bytes = bytes;
        inbox.waiting.push_back((generation, letter));
        self.word.store(true, Relaxed);
        let reader = inbox.reader.as_ref().map(Outbox::take_waker);
        drop(inbox);
        match reader {
            Some(waker) => waker.into_iter().for_each(Waker::wake),
            None => {
                // Whoever has it looks into the inbox once more after letting go.
                if let Some(core) = self.try_lock() {
                    // A fault of ours must not unwind into the plugin. The lock is poisoned by it, so the session will be
                    // ended.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.work(core, Worker::Adapter, false)));
                }
            }
        }
        Delivery::Accepted
    }

    /// Does what the adapter has brought, see [`Self::with_patience`].
    pub(super) fn read_word(self: &Arc<Self>, patient: bool) {
        if catch_unwind(AssertUnwindSafe(|| self.with_patience(patient, |_| ()))).is_err() {
            // A fault of ours ends the session and not the connection, which is told so.
            self.with(|_| ());
        }
    }

    /// Whether the adapter has brought something that nobody has seen to.
    pub(super) fn has_word(&self) -> bool {
        self.word.load(Relaxed)
    }

    /// Takes the session if nobody has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Core>> {
        match self.core.try_lock() {
            Ok(core) => Some(core),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.mend(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Works off the inbox, then what has become due; looks again after letting go, for what has come meanwhile.
    fn work<'a>(self: &'a Arc<Self>, mut core: MutexGuard<'a, Core>, worker: Worker, patient: bool) {
        loop {
            loop {
                self.empty_inbox(&mut core, patient);
                if worker == Worker::Adapter || !core.wants_to_advance() {
                    break;
                }
                core.advance();
            }
            let someone_is_called = self.settle(&mut core, worker);
            drop(core);
            if someone_is_called {
                return;
            }
            let inbox = self.inbox();
            if inbox.waiting.is_empty() {
                return;
            }
            if let Some(reader) = inbox.reader.clone() {
                // Its turn comes behind that of others, so that an adapter that floods does not hold them up.
                drop(inbox);
                return reader.call();
            }
            drop(inbox);
            match self.try_lock() {
                Some(again) => core = again,
                None => return,
            }
        }
    }

    /// Lets the session hear what the adapter has brought. Mostly that is nothing, so this much is done in place.
    #[inline]
    fn empty_inbox(&self, core: &mut Core, patient: bool) {
        if self.has_word() {
            self.read_inbox(core, patient);
        }
    }

    #[inline(never)]
    fn read_inbox(&self, core: &mut Core, patient: bool) {
        for _ in 0..INBOX {
            if !self.has_word() || patient && core.connection.as_ref().is_some_and(Outbox::is_busy) {
                return;
            }
            let mut inbox = self.inbox();
            let next = inbox.waiting.pop_front();
            inbox.bytes -= next.as_ref().map_or(0, |(_, letter)| letter.size());
            if inbox.waiting.is_empty() {
                self.word.store(false, Relaxed);
                if inbox.waiting.capacity() > 8 {
                    inbox.waiting = VecDeque::new();
                }
            }
            drop(inbox);
            let Some((generation, letter)) = next else { return };
            if generation == core.generation
                && let Some(message) = letter.open()
            {
                core.hear(message);
            }
        }
    }

    /// Leaves the session as it may be left: its clock set, its chores given to whom they belong. Whether all that the
    /// adapter has brought meanwhile has called someone.
    fn settle(self: &Arc<Self>, core: &mut Core, worker: Worker) -> bool {
        core.wakers.drain(..).for_each(Waker::wake);
        let reader = core.connection.as_ref().filter(|outbox| outbox.works() && !core.is_ended());
        let same_reader = reader == core.reader.as_ref();
        if !same_reader {
            core.reader = reader.cloned();
            self.inbox().reader.clone_from(&core.reader);
        }
        let someone_is_called = same_reader && core.reader.is_some();
        core.settle_grace(Instant::now);
        let sooner = core.next_tick().filter(|at| core.armed.is_none_or(|armed| *at < armed));
        let chores = core.take_chores();
        if sooner.is_some() || !chores.is_nothing() {
            self.give(core, sooner, chores);
        }
        if worker == Worker::Adapter && core.wants_to_advance() {
            let mut inbox = self.inbox();
            if !std::mem::replace(&mut inbox.scheduled, true) {
                drop(inbox);
                let cell = Arc::clone(self);
                self.runtime.spawn(async move {
                    cell.inbox().scheduled = false;
                    cell.with(|_| ());
                });
            }
        }
        someone_is_called
    }

    /// Gives the board what is its: the clock, and what becomes of the session.
    fn give(self: &Arc<Self>, core: &mut Core, sooner: Option<Instant>, chores: Chores) {
        let Some(board) = self.board.upgrade() else { return };
        if let Some(at) = sooner {
            core.armed = Some(at);
            board.timer.arm(at, Arc::downgrade(self));
        }
        if let Some(reason) = chores.ended {
            board.session_ended(self, reason, chores.done);
        }
        if chores.done {
            board.session_done(&self.id);
        }
        if chores.log_in_again {
            board.log_in_again(self);
        }
    }

    /// For those who run the host.
    pub(super) fn status(&self) -> SessionStatus {
        let mailbox = self.inbox().waiting.len();
        let core = self.lock();
        let (seq, journal) = core.journal_depth();
        SessionStatus {
            id: core.short_id().to_owned(),
            agent: self.agent.to_string(),
            state: core.phase.as_str(),
            connected: core.connection.is_some(),
            link: if core.link.is_up() { "up" } else { "down" },
            channels: core.tree.channels().len(),
            interactions: core.tree.channels().iter().map(|channel| channel.interactions.len()).sum(),
            unanswered: core.unanswered(),
            seq,
            journal,
            outbox: core.connection.as_ref().map_or(0, super::Outbox::len),
            mailbox,
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // The last handle may be the adapter's own thread's, and dropping an agent calls the adapter.
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        let agents = core.take_agents();
        if !agents.is_empty() {
            self.runtime.spawn(async move { drop(agents) });
        }
    }
}

struct Sink {
    cell: Weak<Cell>,
    generation: u32,
}

impl AgentSink for Sink {
    fn deliver(&self, letter: AdapterMessage) -> Delivery {
        match self.cell.upgrade() {
            Some(cell) => cell.deliver(self.generation, letter),
            None => Delivery::Closed,
        }
    }
}
