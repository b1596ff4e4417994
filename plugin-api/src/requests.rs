//! What the host has asked of the agents of one plugin, and who begins it.
//!
//! Owns: the list of requests that nobody has begun, and the tasks that work it off. Must never: run an adapter's code on
//! the host's thread, or let one request hold up the others for longer than the adapter holds the threads. Requests come
//! from [`runtime`](crate::runtime); each is carried out, and answered, by its agent's [`seat`](crate::seat).

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify, task::yield_now, time::sleep};

use crate::{
    adapter::Agent,
    seat::{Seat, Task},
    wire::{Kind, Status},
};

/// How many requests are begun before other tasks have their turn.
const AT_ONCE: usize = 16;

/// After what time a list of requests that is not empty is helped with.
const HELD_UP: Duration = Duration::from_millis(10);

/// What the host has asked of the agents of one plugin and nobody has begun.
///
/// Most requests are done in one poll: the model is at hand, or the platform is told and not waited for. So they are
/// polled a first time by a task that goes from one to the next, one for each thread of the runtime, and only those that
/// must wait get a task of their own. One that blocks its thread there holds nobody up who could do without that thread:
/// others go on with the list.
pub(crate) struct Requests<G: Agent> {
    handle: Handle,
    waiting: Mutex<VecDeque<Waiting<G>>>,
    something: Notify,
    /// How many of the tasks have nothing to do.
    idle: AtomicUsize,
    /// Someone looks now and then whether the list stands still.
    watched: AtomicBool,
}

type Waiting<G> = (Task<G>, Kind, String);

impl<G: Agent> Requests<G> {
    pub(crate) fn new(handle: Handle) -> Self {
        let (something, idle, watched) = (Notify::new(), AtomicUsize::new(0), AtomicBool::new(false));
        Self { handle, waiting: Mutex::default(), something, idle, watched }
    }

    /// Takes what the host asks for. Runs nothing of the adapter's.
    pub(crate) fn put(self: &Arc<Self>, seat: &Arc<Seat<G>>, kind: Kind, payload: &str) -> Status {
        let task = match seat.take() {
            Ok(task) => task,
            Err(status) => return status,
        };
        let waiting = {
            let mut waiting = self.lock();
            waiting.push_back((task, kind, payload.to_owned()));
            waiting.len()
        };
        self.something.notify_one();
        // Those with nothing to do will each begin one of them at least.
        if waiting > self.idle.load(Acquire) && !self.watched.swap(true, AcqRel) {
            self.handle.spawn(Arc::clone(self).watch());
        }
        Status::ACCEPTED
    }

    /// Nobody will begin what has not been begun.
    pub(crate) fn close(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        drop(waiting);
    }

    /// Begins what the host asks for, one after the other, for ever.
    pub(crate) async fn work_off(self: Arc<Self>) {
        let mut room = None;
        loop {
            self.begin(Seat::run, &mut room).await;
            self.idle.fetch_add(1, AcqRel);
            if self.lock().is_empty() {
                self.something.notified().await;
            } else {
                yield_now().await;
            }
            self.idle.fetch_sub(1, AcqRel);
        }
    }

    /// Helps while the list is not empty, in case those who should work it off are held up.
    async fn watch(self: Arc<Self>) {
        loop {
            sleep(HELD_UP).await;
            if !self.lock().is_empty() {
                let helped = Arc::clone(&self);
                self.handle.spawn(async move { helped.begin(Seat::run, &mut None).await });
                continue;
            }
            self.watched.store(false, Release);
            // Whoever has put something in meanwhile relied on this.
            if self.lock().is_empty() || self.watched.swap(true, AcqRel) {
                return;
            }
        }
    }

    /// Begins some of what waits. `room` is for a request and used again and again: what the future of an adapter keeps
    /// can be kilobytes.
    async fn begin<F: Future<Output = ()> + Send + 'static>(
        &self,
        run: impl Fn(Arc<Seat<G>>, Kind, String) -> F,
        room: &mut Option<Pin<Box<F>>>,
    ) {
        for _ in 0..AT_ONCE {
            let (next, more) = {
                let mut waiting = self.lock();
                (waiting.pop_front(), !waiting.is_empty())
            };
            let Some((task, kind, payload)) = next else { return };
            if more {
                // Several may have been put in for one who was told.
                self.something.notify_one();
            }
            let Some(seat) = task.seat().cloned() else { continue };
            let work = run(Arc::clone(&seat), kind, payload);
            let mut work = match room.take() {
                None => Box::pin(work),
                Some(mut room) => {
                    room.set(work);
                    room
                }
            };
            // What the adapter panics with is caught further inside; this is for a fault of ours. The request is answered
            // by being dropped.
            let first = poll_fn(|context| Poll::Ready(catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))));
            match first.await {
                Ok(Poll::Ready(())) => *room = Some(work),
                Ok(Poll::Pending) => seat.go_on(task, work),
                Err(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting<G>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
