//! One tenant's platform inside a plugin.
//!
//! Owns: the platform while it is being made and afterwards, and what is to be told of its link and its metrics. Must
//! never: tell link changes out of order, or keep more of them than the last loss and its end.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, task::JoinHandle, time::sleep};

use crate::{
    adapter::Platform,
    host::{Link, PlatformBackend},
    host_sender::HostSender,
    manifest::Manifest,
    wire::{BreachKind, Kind, Metric, Status},
};

/// How long a host is left alone that is full and is to be told a tenant's link.
const LINK_PAUSE: Duration = Duration::from_millis(10);

/// A platform, or the task that makes it.
pub(crate) struct PlatformTask<P> {
    platform: OnceLock<Arc<P>>,
    connecting: Mutex<Option<JoinHandle<()>>>,
}

impl<P> Default for PlatformTask<P> {
    fn default() -> Self {
        Self { platform: OnceLock::new(), connecting: Mutex::new(None) }
    }
}

impl<P: Platform> PlatformTask<P> {
    /// The platform, once it is connected.
    pub(crate) fn get(&self) -> Option<Arc<P>> {
        self.platform.get().cloned()
    }

    pub(crate) fn set(&self, platform: P) {
        // There is one task that connects, and it does so once.
        let _ = self.platform.set(Arc::new(platform));
    }

    pub(crate) fn connects_in(&self, task: JoinHandle<()>) {
        *self.connecting.lock() = Some(task);
    }

    /// Gives up connecting, or disconnects.
    pub(crate) async fn disconnect(&self, id: u64, host: &HostSender) {
        let connecting = self.connecting.lock().take();
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
            let _ = host.guard(id, ended).await;
        }
    }
}

/// The way to the host, for one tenant.
pub(crate) struct PlatformReporter {
    id: u64,
    host: HostSender,
    manifest: Arc<Manifest>,
    handle: Handle,
    link: Arc<Mutex<LinkQueue>>,
    wrong_metrics: AtomicU64,
}

/// What the host was told of a tenant's link, and what it is still to be told.
#[derive(Default)]
struct LinkQueue {
    newest: Option<Link>,
    /// Not sent because the host was full: one link, or that it was lost and is back.
    waiting: VecDeque<Link>,
    /// A task sends it again until it is taken.
    retried: bool,
}

impl LinkQueue {
    /// Sends what waits. Returns whether some of it still waits.
    fn send(&mut self, id: u64, host: &HostSender) -> bool {
        while let Some(link) = self.waiting.front() {
            if host.send(Kind::LINK, id, link) == Status::FULL {
                return true;
            }
            self.waiting.pop_front();
        }
        false
    }
}

impl PlatformReporter {
    pub(crate) fn new(id: u64, host: &HostSender, manifest: &Arc<Manifest>, handle: &Handle) -> Self {
        let (manifest, handle, link) = (Arc::clone(manifest), handle.clone(), Arc::default());
        Self { id, host: host.clone(), manifest, handle, link, wrong_metrics: AtomicU64::new(0) }
    }
}

impl PlatformBackend for PlatformReporter {
    fn link(&self, link: Link) {
        // Sent under the lock, so that two threads cannot tell up and down in the wrong order.
        let mut queue = self.link.lock();
        if queue.newest.as_ref() == Some(&link) {
            return;
        }
        queue.newest = Some(link.clone());
        // What was before it does not matter any more; but a link that is back must be seen to have been lost.
        if link != Link::Up {
            queue.waiting.clear();
        }
        queue.waiting.push_back(link);
        if queue.retried || !queue.send(self.id, &self.host) {
            return;
        }
        queue.retried = true;
        let (id, host, link) = (self.id, self.host.clone(), Arc::clone(&self.link));
        self.handle.spawn(async move {
            loop {
                sleep(LINK_PAUSE).await;
                let mut queue = link.lock();
                if !queue.send(id, &host) {
                    queue.retried = false;
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
                self.host.breaches(self.id, BreachKind::UndeclaredMetric, &wrong, times.div_ceil(2));
            }
            return;
        }
        let labels = labels.iter().map(ToString::to_string).collect();
        let metric = Metric { name: name.to_owned(), labels, value };
        self.host.send(Kind::METRIC, self.id, &metric);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;

    use tokio::runtime::Builder;

    use super::*;
    use crate::wire::{self, MessageSink};

    /// A host that is full until it is let go.
    struct Full(Mutex<bool>, mpsc::Sender<Link>);

    impl MessageSink for Full {
        fn send(&self, _: Kind, _: u64, payload: &str) -> Status {
            if *self.0.lock() {
                return Status::FULL;
            }
            self.1.send(wire::read(payload).unwrap()).unwrap();
            Status::ACCEPTED
        }
    }

    #[test]
    fn a_tenants_link_is_told_as_soon_as_the_host_has_room() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (links, told) = mpsc::channel();
        let host = Arc::new(Full(Mutex::new(false), links));
        let sender = HostSender::new(host.clone());
        let manifest = r#"{"id":"a","vendor":"v","platform":"p","channelTypes":[],"commands":[],"settings":{}}"#;
        let manifest = Arc::new(serde_json::from_str(manifest).unwrap());
        let reporter = PlatformReporter::new(1, &sender, &manifest, runtime.handle());
        let down = |reason: &str| Link::Down { reason: reason.to_owned() };
        reporter.link(Link::Up);
        assert_eq!(told.recv().unwrap(), Link::Up);
        *host.0.lock() = true;
        for link in [down("once"), Link::Up, down("twice"), Link::Up] {
            reporter.link(link);
        }
        *host.0.lock() = false;
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [down("twice"), Link::Up]);
        reporter.link(Link::Up);
        reporter.link(down("later"));
        assert_eq!(told.recv().unwrap(), down("later"));
    }
}
