//! What the host has asked of the agents of one plugin, and who begins it.
//!
//! Owns: the list of requests that nobody has begun, and the tasks that work it off. Must never: run an adapter's code on
//! the host's thread, or let one request hold up the others for longer than the adapter holds the threads. Requests come
//! from [`runtime`](crate::runtime); each is carried out, and answered, by its agent's [`seat`](crate::seat).

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
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
    seat::{Asked, Seat, Task},
    wire::{Kind, Status},
};

/// How many requests are begun before other tasks have their turn.
const AT_ONCE: usize = 16;

/// After what time a list of requests that is not empty is helped with.
const HELD_UP: Duration = Duration::from_millis(10);

/// For how many requests, and how many bytes of payloads, room is kept when nothing waits.
const ROOM: (usize, usize) = (1024, 64 * 1024);

/// What the host has asked of the agents of one plugin and nobody has begun.
///
/// Most requests are done in one poll: the model is at hand, or the platform is told and not waited for. So they are
/// polled a first time by a task that goes from one to the next, one for each thread of the runtime, and only those that
/// must wait get a task of their own. One that blocks its thread there holds nobody up who could do without that thread:
/// others go on with the list.
///
/// It is two lists, so that the threads of the host and of the plugin seldom write to the same: what has come is moved as
/// a whole, when all that was moved before has been begun. Whoever locks both locks `moved` first.
pub(crate) struct Requests<G: Agent> {
    handle: Handle,
    come: Mutex<List<G>>,
    moved: Mutex<List<G>>,
    something: Notify,
    /// How many of the tasks have nothing to do and have not been told that there is something.
    idle: AtomicUsize,
    /// Someone looks now and then whether the list stands still.
    watched: AtomicBool,
}

/// Requests in order.
struct List<G: Agent> {
    /// Each with the length of its payload.
    waiting: VecDeque<(Task<G>, Kind, usize)>,
    /// Their payloads, one behind the other: one room for all of them, which is used again and again.
    payloads: String,
    /// Where the first one's is.
    at: usize,
}

impl<G: Agent> Requests<G> {
    pub(crate) fn new(handle: Handle) -> Self {
        let (something, idle, watched) = (Notify::new(), AtomicUsize::new(0), AtomicBool::new(false));
        Self { handle, come: Mutex::default(), moved: Mutex::default(), something, idle, watched }
    }

    /// Takes what the host asks for. Runs nothing of the adapter's.
    pub(crate) fn put(self: &Arc<Self>, seat: &Arc<Seat<G>>, kind: Kind, payload: &str) -> Status {
        let task = match seat.take() {
            Ok(task) => task,
            Err(status) => return status,
        };
        lock(&self.come).push(task, kind, payload);
        // Whoever is told will begin one at least. Looked at before it is written, because all threads of the host do.
        if !self.tell_one() && !self.watched.load(Acquire) && !self.watched.swap(true, AcqRel) {
            self.handle.spawn(Arc::clone(self).watch());
        }
        Status::ACCEPTED
    }

    /// Nobody will begin what has not been begun.
    pub(crate) fn close(&self) {
        let waiting = [&self.moved, &self.come].map(|list| std::mem::take(&mut *lock(list)));
        drop(waiting);
    }

    /// Begins what the host asks for, one after the other, for ever.
    pub(crate) async fn work_off(self: Arc<Self>) {
        let mut room = (String::new(), None);
        loop {
            if self.begin(Seat::run, &mut room).await {
                yield_now().await;
                continue;
            }
            let mut told = pin!(self.something.notified());
            // Can be told before it says so: each that is counted is woken once.
            told.as_mut().enable();
            self.idle.fetch_add(1, AcqRel);
            // Of what came before that nobody may have been told.
            if !self.is_empty() {
                self.tell_one();
            }
            told.await;
        }
    }

    /// Wakes one of those with nothing to do. Those who are at work need not be told: they look before they rest.
    fn tell_one(&self) -> bool {
        let told = self.idle.fetch_update(AcqRel, Acquire, |idle| idle.checked_sub(1)).is_ok();
        if told {
            self.something.notify_one();
        }
        told
    }

    /// Helps while the list is not empty, in case those who should work it off are held up.
    async fn watch(self: Arc<Self>) {
        loop {
            sleep(HELD_UP).await;
            if !self.is_empty() {
                let helped = Arc::clone(&self);
                self.handle.spawn(async move {
                    helped.begin(Seat::run, &mut (String::new(), None)).await;
                });
                continue;
            }
            self.watched.store(false, Release);
            // Whoever has put something in meanwhile relied on this.
            if self.is_empty() || self.watched.swap(true, AcqRel) {
                return;
            }
        }
    }

    /// Begins some of what waits. `room` is for a request, its payload and its future, and used again and again: what the
    /// future of an adapter keeps can be kilobytes. Returns whether there may be more.
    async fn begin<F: Future<Output = ()> + Send + 'static>(
        &self,
        run: impl Fn(Arc<Seat<G>>, Asked) -> F,
        (payload, room): &mut (String, Option<Pin<Box<F>>>),
    ) -> bool {
        for _ in 0..AT_ONCE {
            let Some((task, kind)) = self.next(payload) else { return false };
            let Some(seat) = task.seat().cloned() else { continue };
            // What the adapter panics with is caught further inside; this, and what follows, is for a fault of ours.
            let read = catch_unwind(AssertUnwindSafe(|| seat.read(kind, payload)));
            let Ok(Some(asked)) = read else { continue };
            let mut work = match room.take() {
                None => Box::pin(run(seat, asked)),
                Some(mut room) => {
                    room.set(run(seat, asked));
                    room
                }
            };
            // The request is answered by being dropped.
            let first = poll_fn(|context| Poll::Ready(catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))));
            match first.await {
                Ok(Poll::Ready(())) => *room = Some(work),
                Ok(Poll::Pending) => task.go_on(work),
                Err(_) => {}
            }
        }
        true
    }

    /// Takes the next one out, and tells another thread if there are more.
    fn next(&self, payload: &mut String) -> Option<(Task<G>, Kind)> {
        let mut moved = lock(&self.moved);
        if moved.waiting.is_empty() {
            moved.empty();
            std::mem::swap(&mut *moved, &mut *lock(&self.come));
        }
        let next = moved.pop(payload)?;
        let more = !moved.waiting.is_empty();
        drop(moved);
        if more {
            // Who has nothing to do may have been told of another one.
            self.tell_one();
        }
        Some(next)
    }

    fn is_empty(&self) -> bool {
        let moved = lock(&self.moved);
        moved.waiting.is_empty() && lock(&self.come).waiting.is_empty()
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<G: Agent> List<G> {
    fn push(&mut self, task: Task<G>, kind: Kind, payload: &str) {
        self.payloads.push_str(payload);
        self.waiting.push_back((task, kind, payload.len()));
    }

    /// The first one; its payload is written over what is in `payload`.
    fn pop(&mut self, payload: &mut String) -> Option<(Task<G>, Kind)> {
        let (task, kind, length) = self.waiting.pop_front()?;
        let end = self.at + length;
        payload.clear();
        payload.shrink_to(ROOM.1);
        payload.push_str(&self.payloads[self.at..end]);
        self.at = end;
        Some((task, kind))
    }

    /// Forgets what has been taken out: all of it.
    fn empty(&mut self) {
        self.waiting.shrink_to(ROOM.0);
        self.payloads.clear();
        self.payloads.shrink_to(ROOM.1);
        self.at = 0;
    }
}

impl<G: Agent> Default for List<G> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), payloads: String::new(), at: 0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{hint::spin_loop, sync::mpsc, thread::yield_now};

    use tokio::runtime::Builder;

    use super::*;
    use crate::{
        Command, Ending, Failure, Outcome, StartOptions,
        runtime::Tell,
        wire::{Form, Outlet},
    };

    struct Idler;

    impl Agent for Idler {
        async fn start(&self, _: StartOptions) -> Result<(), Failure> {
            Ok(())
        }

        async fn command(&self, _: Command) -> Outcome {
            Outcome::success()
        }

        async fn snapshot(&self) -> Result<(), Failure> {
            Ok(())
        }

        async fn log_out(&self, _: Ending) -> Result<(), Failure> {
            Ok(())
        }
    }

    struct Host(mpsc::SyncSender<Kind>);

    impl Outlet for Host {
        fn emit(&self, kind: Kind, _: u64, _: &str) -> Status {
            self.0.send(kind).unwrap();
            Status::ACCEPTED
        }
    }

    #[test]
    fn whoever_rests_is_woken_by_a_request() {
        for threads in [1, 3] {
            let runtime = Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap();
            let (told, tells) = mpsc::sync_channel(16);
            let tell = Tell { outlet: Arc::new(Host(told)), form: Form::Json };
            let seat = Seat::new(1, tell, runtime.handle().clone());
            seat.log_in(async { Ok(Idler) });
            assert_eq!(tells.recv().unwrap(), Kind::DONE);
            let requests = Arc::new(Requests::new(runtime.handle().clone()));
            // Who looks now and then whether the list stands still would hide that nobody was woken.
            requests.watched.store(true, Release);
            for _ in 0..threads {
                runtime.spawn(Arc::clone(&requests).work_off());
            }
            // Each comes a little later after the answer to the one before: there it meets whoever is about to rest.
            for round in 0..20_000 {
                assert_eq!(requests.put(&seat, Kind::SNAPSHOT, r#"{"request":1}"#), Status::ACCEPTED);
                while tells.try_recv().is_err() {
                    yield_now();
                }
                (0..round % 200).for_each(|_| spin_loop());
            }
        }
    }
}
