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
    /// How many of the tasks have nothing to do and have not been told that there is something.
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
        let waiting = (task, kind, payload.to_owned());
        self.lock().push_back(waiting);
        // Whoever is told will begin one at least.
        if !self.tell_one() && !self.watched.swap(true, AcqRel) {
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
            if self.begin(Seat::run, &mut room).await {
                yield_now().await;
                continue;
            }
            let mut told = pin!(self.something.notified());
            // Can be told before it says so: each that is counted is woken once.
            told.as_mut().enable();
            self.idle.fetch_add(1, AcqRel);
            // Of what came before that nobody may have been told.
            if !self.lock().is_empty() {
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
            if !self.lock().is_empty() {
                let helped = Arc::clone(&self);
                self.handle.spawn(async move {
                    helped.begin(Seat::run, &mut None).await;
                });
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
    /// can be kilobytes. Returns whether there may be more.
    async fn begin<F: Future<Output = ()> + Send + 'static>(
        &self,
        run: impl Fn(Arc<Seat<G>>, Kind, String) -> F,
        room: &mut Option<Pin<Box<F>>>,
    ) -> bool {
        for _ in 0..AT_ONCE {
            let (next, more) = {
                let mut waiting = self.lock();
                (waiting.pop_front(), !waiting.is_empty())
            };
            let Some((task, kind, payload)) = next else { return false };
            if more {
                // Who has nothing to do may have been told of another one.
                self.tell_one();
            }
            let Some(seat) = task.seat().cloned() else { continue };
            let mut work = match room.take() {
                None => Box::pin(run(seat, kind, payload)),
                Some(mut room) => {
                    room.set(run(seat, kind, payload));
                    room
                }
            };
            // What the adapter panics with is caught further inside; this is for a fault of ours. The request is answered
            // by being dropped.
            let first = poll_fn(|context| Poll::Ready(catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))));
            match first.await {
                Ok(Poll::Ready(())) => *room = Some(work),
                Ok(Poll::Pending) => task.go_on(work),
                Err(_) => {}
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting<G>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
