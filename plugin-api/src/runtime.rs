//! The inside of a plugin: an adapter, its own tokio runtime, and what turns messages into calls of its methods.
//!
//! Owns: the platforms and agents of one instance, and a task for each thing asked of a platform. Must never: run an
//! adapter's code on the host's thread, or let a panic out of it. Messages come in by [`Plugin::submit`], which only
//! looks whom they are for, and starts a task or puts them among the requests of agents; answers and reports go out
//! through the [`Outlet`] of the host.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    adapter::{Adapter, Platform},
    failure::{Code, Failure},
    host::{Link, PlatformHost, PlatformSink},
    logs,
    manifest::Manifest,
    requests::Requests,
    seat::Seat,
    wire::{self, Breach, ById, Connect, Done, Form, Kind, LogIn, Outlet, Payload, PayloadOwned, Status, Wrong},
};

/// How long a full host is left alone that is to be told a tenant's link.
const LINK_PAUSE: Duration = Duration::from_millis(10);

type AgentOf<A> = <<A as Adapter>::Platform as Platform>::Agent;

/// One instance of an adapter at work.
pub struct Plugin<A: Adapter> {
    inside: Arc<Inside<A>>,
    runtime: Mutex<Option<Runtime>>,
}

struct Inside<A: Adapter> {
    adapter: OnceLock<A>,
    manifest: Arc<Manifest>,
    tell: Tell,
    handle: Handle,
    platforms: Mutex<ById<Arc<PlatformSeat<A::Platform>>>>,
    agents: RwLock<ById<Arc<Seat<AgentOf<A>>>>>,
    requests: Arc<Requests<AgentOf<A>>>,
}

impl<A: Adapter> Plugin<A> {
    /// Starts an adapter, which tells the host by a [`Done`] of [`Kind::LOAD`] whether it can work. `form` is one that the
    /// host reads.
    ///
    /// # Errors
    /// The threads of its runtime cannot be started.
    pub fn start(manifest: Manifest, threads: usize, host: Arc<dyn Outlet>, form: Form) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name(format!("plugin-{}", manifest.id))
            .enable_all()
            .build()?;
        let inside = Arc::new(Inside {
            adapter: OnceLock::new(),
            manifest: Arc::new(manifest),
            tell: Tell { outlet: host, form },
            handle: runtime.handle().clone(),
            platforms: Mutex::default(),
            agents: RwLock::default(),
            requests: Arc::new(Requests::new(runtime.handle().clone())),
        });
        for _ in 0..threads.max(1) {
            runtime.spawn(Arc::clone(&inside.requests).work_off());
        }
        let loading = Arc::clone(&inside);
        runtime.spawn(async move {
            let loaded = loading.tell.guarded(0, pin!(async { A::load() })).await;
            let failure = loaded.map(|adapter| drop(loading.adapter.set(adapter))).err();
            loading.tell.done(Kind::LOAD, 0, failure);
        });
        Ok(Self { inside, runtime: Mutex::new(Some(runtime)) })
    }

    /// Takes a message from the host. Never blocks, and runs nothing of the adapter's.
    pub fn submit(&self, kind: Kind, id: u64, payload: &str) -> Status {
        let inside = &self.inside;
        match kind {
            Kind::COMMAND | Kind::START | Kind::SNAPSHOT | Kind::LOG_OUT => {
                let agents = inside.agents.read().unwrap_or_else(PoisonError::into_inner);
                agents.get(&id).map_or(Status::CLOSED, |seat| inside.requests.put(seat, kind, payload))
            }
            Kind::CONNECT => inside.connect(id, payload),
            Kind::DISCONNECT => inside.disconnect(id),
            Kind::LOG_IN => inside.log_in(id, payload),
            Kind::DROP_AGENT => inside.drop_agent(id),
            Kind::PING => {
                let tell = inside.tell.clone();
                inside.handle.spawn(async move { tell.done(Kind::PING, id, None) });
                Status::ACCEPTED
            }
            Kind::SHUTDOWN => inside.shut_down(id),
            _ => Status::REFUSED,
        }
    }

    /// Ends everything at once.
    pub fn close(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
        self.inside.requests.close();
    }
}

impl<A: Adapter> Drop for Plugin<A> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<A: Adapter> Outlet for Plugin<A> {
    fn emit(&self, kind: Kind, id: u64, payload: &str) -> Status {
        self.submit(kind, id, payload)
    }
}

impl<A: Adapter> Inside<A> {
    fn connect(self: &Arc<Self>, id: u64, payload: &str) -> Status {
        let Some(Connect { tenant }) = self.tell.read(Kind::CONNECT, id, payload) else { return Status::REFUSED };
        let seat = Arc::new(PlatformSeat { platform: OnceLock::new(), connecting: Mutex::new(None) });
        let (inside, connecting) = (Arc::clone(self), Arc::clone(&seat));
        let line = PlatformLine::new(id, &self.tell, &self.manifest, &self.handle);
        self.lock_platforms().insert(id, Arc::clone(&seat));
        let task = self.handle.spawn(async move {
            let Some(adapter) = inside.adapter.get() else {
                let failure = Failure::new(Code::AdapterFailed, "the adapter is not loaded");
                return inside.tell.done(Kind::CONNECT, id, Some(failure));
            };
            let host = PlatformHost::new(Arc::new(line));
            let platform = inside.tell.guarded(id, pin!(async { adapter.connect(tenant, host).await })).await;
            let failure = platform.map(|platform| drop(connecting.platform.set(Arc::new(platform)))).err();
            inside.tell.done(Kind::CONNECT, id, failure);
        });
        *seat.connecting.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Status::ACCEPTED
    }

    fn disconnect(self: &Arc<Self>, id: u64) -> Status {
        let Some(seat) = self.lock_platforms().remove(&id) else { return Status::CLOSED };
        let tell = self.tell.clone();
        self.handle.spawn(async move {
            seat.disconnect(id, &tell).await;
            tell.done(Kind::DISCONNECT, id, None);
        });
        Status::ACCEPTED
    }

    fn shut_down(self: &Arc<Self>, id: u64) -> Status {
        let inside = Arc::clone(self);
        self.handle.spawn(async move {
            let seats: Vec<_> = inside.lock_platforms().drain().collect();
            let tasks: Vec<_> = seats
                .into_iter()
                .map(|(id, seat)| {
                    let tell = inside.tell.clone();
                    inside.handle.spawn(async move { seat.disconnect(id, &tell).await })
                })
                .collect();
            for task in tasks {
                // A panic was caught and told inside.
                let _ = task.await;
            }
            inside.tell.done(Kind::SHUTDOWN, id, None);
        });
        Status::ACCEPTED
    }

    fn log_in(self: &Arc<Self>, id: u64, payload: &str) -> Status {
        let Some(LogIn { platform, login }) = self.tell.read(Kind::LOG_IN, id, payload) else {
            return Status::REFUSED;
        };
        let platform = self.lock_platforms().get(&platform).and_then(|seat| seat.platform.get().cloned());
        let Some(platform) = platform else {
            self.tell.done(Kind::LOG_IN, id, Some(Failure::new(Code::LinkDown, "the tenant is not connected")));
            return Status::ACCEPTED;
        };
        let seat = Seat::new(id, self.tell.clone(), self.handle.clone());
        self.agents.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&seat));
        let host = seat.host();
        let tell = self.tell.clone();
        seat.log_in(async move {
            let agent = tell.guarded(id, pin!(async { platform.log_in(login, host).await })).await;
            // Dropped in its name and inside its task; by now it may be the last one who holds the platform.
            drop(platform);
            agent
        })
    }

    fn drop_agent(self: &Arc<Self>, id: u64) -> Status {
        let seat = self.agents.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(seat) = seat else { return Status::CLOSED };
        seat.leave();
        Status::ACCEPTED
    }

    fn lock_platforms(&self) -> MutexGuard<'_, ById<Arc<PlatformSeat<A::Platform>>>> {
        self.platforms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PlatformSeat<P> {
    platform: OnceLock<Arc<P>>,
    connecting: Mutex<Option<JoinHandle<()>>>,
}

impl<P: Platform> PlatformSeat<P> {
    async fn disconnect(&self, id: u64, tell: &Tell) {
        let connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = connecting {
            task.abort();
            // Waited for, so that a platform connected at this very moment is not overlooked.
            let _ = task.await;
        }
        if let Some(platform) = self.platform.get() {
            let ended = pin!(async {
                platform.disconnect().await;
                Ok(())
            });
            // A panic was told; there is nothing more to be done.
            let _ = tell.guarded(id, ended).await;
        }
    }
}

/// The way to the host, for one tenant.
struct PlatformLine {
    id: u64,
    tell: Tell,
    manifest: Arc<Manifest>,
    handle: Handle,
    link: Arc<Mutex<LinkTold>>,
    wrong_metrics: AtomicU64,
}

/// What the host was told of a tenant's link, and what it is still to be told.
#[derive(Default)]
struct LinkTold {
    newest: Option<Link>,
    /// Not told because the host was full: one link, or that it was lost and is back.
    untold: VecDeque<Link>,
    /// Someone tells it again and again until it is told.
    retried: bool,
}

impl LinkTold {
    /// Tells what is untold. Returns whether some of it still is.
    fn tell(&mut self, id: u64, tell: &Tell) -> bool {
        while let Some(link) = self.untold.front() {
            if tell.send(Kind::LINK, id, link) == Status::FULL {
                return true;
            }
            self.untold.pop_front();
        }
        false
    }
}

impl PlatformLine {
    fn new(id: u64, tell: &Tell, manifest: &Arc<Manifest>, handle: &Handle) -> Self {
        let (manifest, handle, link) = (Arc::clone(manifest), handle.clone(), Arc::default());
        Self { id, tell: tell.clone(), manifest, handle, link, wrong_metrics: AtomicU64::new(0) }
    }
}

impl PlatformSink for PlatformLine {
    fn link(&self, link: Link) {
        // Sent under the lock, so that two threads cannot tell up and down in the wrong order.
        let mut told = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if told.newest.as_ref() == Some(&link) {
            return;
        }
        told.newest = Some(link.clone());
        // What was before it does not matter any more; but a link that is back must be seen to have been lost.
        if link != Link::Up {
            told.untold.clear();
        }
        told.untold.push_back(link);
        if told.retried || !told.tell(self.id, &self.tell) {
            return;
        }
        told.retried = true;
        let (id, tell, link) = (self.id, self.tell.clone(), Arc::clone(&self.link));
        self.handle.spawn(async move {
            loop {
                sleep(LINK_PAUSE).await;
                let mut told = link.lock().unwrap_or_else(PoisonError::into_inner);
                if !told.tell(id, &tell) {
                    told.retried = false;
                    return;
                }
            }
        });
    }

    fn metric(&self, name: &str, labels: &[&str], value: f64) {
        if let Err(wrong) = self.manifest.check_metric(name, labels.len(), value) {
            // A mistake in a loop must not flood the log: told at the 1st, 2nd, 4th, 8th … time.
            let times = self.wrong_metrics.fetch_add(1, Relaxed) + 1;
            if times.is_power_of_two() {
                self.tell.breaches(self.id, Wrong::UndeclaredMetric, &wrong, times.div_ceil(2));
            }
            return;
        }
        self.tell.send(Kind::METRIC, self.id, &wire::MetricRef { name, labels, value });
    }
}

/// The host, as the inside of a plugin talks to it.
#[derive(Clone)]
pub(crate) struct Tell {
    pub(crate) outlet: Arc<dyn Outlet>,
    /// How the host wants to be told.
    pub(crate) form: Form,
}

impl Tell {
    pub(crate) fn send<T: Payload>(&self, kind: Kind, id: u64, message: &T) -> Status {
        wire::write(self.form, message, |payload| self.outlet.emit(kind, id, payload)).unwrap_or(Status::REFUSED)
    }

    pub(crate) fn done(&self, of: Kind, id: u64, failure: Option<Failure>) {
        self.send(Kind::DONE, id, &Done { of, failure, compact: of == Kind::LOAD });
    }

    pub(crate) fn breach(&self, id: u64, what: Wrong, detail: &str) {
        self.breaches(id, what, detail, 1);
    }

    #[cold]
    fn breaches(&self, id: u64, what: Wrong, detail: &str, times: u64) {
        self.send(Kind::BREACH, id, &Breach { what, detail: detail.to_owned(), times });
    }

    /// Reads a payload; what cannot be read is told to the host.
    pub(crate) fn read<T: PayloadOwned>(&self, kind: Kind, id: u64, payload: &str) -> Option<T> {
        wire::read(payload).map_err(|error| self.breach(id, Wrong::BadMessage, &format!("{kind:?}: {error}"))).ok()
    }

    /// Runs an adapter's code in someone's name; a panic becomes a failure, and is told.
    pub(crate) async fn guarded<T>(
        &self,
        id: u64,
        mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        poll_fn(|context| {
            let poll = || logs::on_behalf_of(id, || work.as_mut().poll(context));
            catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|panic| {
                self.breach(id, Wrong::Panic, logs::text_of(&*panic));
                Poll::Ready(Err(Failure::new(Code::AdapterFailed, "the adapter panicked")))
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;

    use super::*;

    /// A host that is full until it is let go.
    struct Full(Mutex<bool>, mpsc::Sender<Link>);

    impl Outlet for Full {
        fn emit(&self, _: Kind, _: u64, payload: &str) -> Status {
            if *self.0.lock().unwrap() {
                return Status::FULL;
            }
            self.1.send(wire::read(payload).unwrap()).unwrap();
            Status::ACCEPTED
        }
    }

    #[test]
    fn a_tenants_link_is_told_as_soon_as_the_host_has_room() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (sender, told) = mpsc::channel();
        let host = Arc::new(Full(Mutex::new(false), sender));
        let tell = Tell { outlet: host.clone(), form: Form::Json };
        let manifest = r#"{"id":"a","vendor":"v","platform":"p","channelTypes":[],"commands":[],"settings":{}}"#;
        let manifest = Arc::new(serde_json::from_str(manifest).unwrap());
        let line = PlatformLine::new(1, &tell, &manifest, runtime.handle());
        let down = |reason: &str| Link::Down { reason: reason.to_owned() };
        line.link(Link::Up);
        assert_eq!(told.recv().unwrap(), Link::Up);
        *host.0.lock().unwrap() = true;
        for link in [down("once"), Link::Up, down("twice"), Link::Up] {
            line.link(link);
        }
        *host.0.lock().unwrap() = false;
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [down("twice"), Link::Up]);
        line.link(Link::Up);
        line.link(down("later"));
        assert_eq!(told.recv().unwrap(), down("later"));
    }
}
