//! One running plugin, wherever it runs.
//!
//! Owns: what is sent to it, under which id, and what is awaited from it. Must never: block, or know whether the plugin
//! is in this process or in a worker; that is behind the [`MessageSink`] it was made with. Calls come from
//! [`PlatformHandle`](super::PlatformHandle) and [`AgentHandle`](super::AgentHandle); answers come back through the
//! [`Dispatcher`].

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jackfield_plugin_api::{
    Code, Failure, Manifest,
    wire::{self, Hello, Kind, Level, MessageSink, Status},
};

use serde::Serialize;

use super::dispatch::Dispatcher;

/// How long a plugin may take to say that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) struct RunningPlugin {
    pub(super) dispatcher: Arc<Dispatcher>,
    backend: OnceLock<Box<dyn MessageSink>>,
    next_id: AtomicU64,
}

impl RunningPlugin {
    pub(super) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher, backend: OnceLock::new(), next_id: AtomicU64::new(1) }
    }

    /// Sets how messages reach the plugin; once.
    pub(super) fn set_backend(&self, backend: Box<dyn MessageSink>) {
        // A second one would be a mistake of ours; the first stays.
        let _ = self.backend.set(backend);
    }

    pub(super) fn manifest(&self) -> &Arc<Manifest> {
        self.dispatcher.manifest()
    }

    /// An id that was never used.
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Hands a message over.
    pub(super) fn send<T: Serialize + ?Sized>(&self, kind: Kind, id: u64, message: &T) -> Result<(), Failure> {
        let status = wire::write(message).map(|payload| self.submit(kind, id, &payload));
        match status {
            Ok(Status::ACCEPTED) => Ok(()),
            Ok(Status::FULL) => Err(Failure::new(Code::RateLimited, "the adapter has too much to do")),
            Ok(Status::CLOSED) => {
                Err(Failure::new(Code::AdapterFailed, "the adapter does not have this session any more"))
            }
            Ok(_) => Err(Failure::new(Code::AdapterFailed, "the adapter does not take this request")),
            Err(error) => {
                Err(Failure::new(Code::Internal, "a request could not be written").context(error.to_string()))
            }
        }
    }

    /// Hands a message over and forgets it.
    pub(super) fn tell(&self, kind: Kind, id: u64) {
        self.submit(kind, id, "");
    }

    /// Tells it which lines of its log are wanted.
    pub(super) fn set_log_level(&self, log: Level) {
        if let Err(failure) = self.send(Kind::LOG_LEVEL, 0, &Hello { log }) {
            let adapter = &*self.manifest().id;
            tracing::debug!(adapter, %failure, "a plugin does not change what it logs");
        }
    }

    /// Hands a message over and waits until it is done.
    pub(super) async fn call<T: Serialize + ?Sized>(
        &self,
        kind: Kind,
        id: u64,
        message: &T,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let done = self.dispatcher.await_done(kind, id)?;
        self.send(kind, id, message)?;
        done.within(deadline).await
    }

    fn submit(&self, kind: Kind, id: u64, payload: &str) -> Status {
        self.backend.get().map_or(Status::CLOSED, |backend| backend.send(kind, id, payload))
    }

    /// Sends heartbeats to the plugin as long as it is used, and records whether they are answered.
    pub(super) async fn watch(plugin: std::sync::Weak<Self>) {
        let mut ping = 0;
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let Some(plugin) = plugin.upgrade() else { return };
            ping += 1;
            let alive = plugin.call(Kind::PING, ping, &(), HEARTBEAT).await.is_ok();
            plugin.dispatcher.set_responsive(alive);
        }
    }
}
