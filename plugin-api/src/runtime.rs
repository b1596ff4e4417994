//! The state of a plugin: an adapter, its own tokio runtime, and what turns messages into calls of its methods.
//!
//! Owns: the platforms and agents of one instance, and a task for each thing asked of a platform. Must never: run an
//! adapter's code on the host's thread, or let a panic out of it. Messages come in by [`Plugin::submit`], which only
//! looks whom they are for and starts a task; answers and reports go out through the host's [`MessageSink`].

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, OnceLock},
};

use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinSet,
};

use crate::{
    adapter::{Adapter, Platform},
    agent_task::AgentTask,
    failure::{Code, Failure},
    host::PlatformHost,
    host_sender::HostSender,
    logs,
    manifest::Manifest,
    platform_task::{PlatformReporter, PlatformTask},
    wire::{Connect, Hello, Kind, LogIn, MessageSink, Status},
};

type AgentOf<A> = <<A as Adapter>::Platform as Platform>::Agent;

/// One instance of an adapter at work.
pub struct Plugin<A: Adapter> {
    state: Arc<PluginState<A>>,
    runtime: Mutex<Option<Runtime>>,
}

struct PluginState<A: Adapter> {
    adapter: OnceLock<A>,
    manifest: Arc<Manifest>,
    host: HostSender,
    handle: Handle,
    platforms: Mutex<HashMap<u64, Arc<PlatformTask<A::Platform>>>>,
    agents: RwLock<HashMap<u64, Arc<AgentTask<AgentOf<A>>>>>,
}

impl<A: Adapter> Plugin<A> {
    /// Starts an adapter, which tells the host by a [`Done`](crate::wire::Done) of [`Kind::LOAD`] whether it can work.
    ///
    /// # Errors
    /// The threads of its runtime cannot be started.
    pub fn start(manifest: Manifest, threads: usize, host: Arc<dyn MessageSink>) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name(format!("plugin-{}", manifest.id))
            .enable_all()
            .build()?;
        let state = Arc::new(PluginState {
            adapter: OnceLock::new(),
            manifest: Arc::new(manifest),
            host: HostSender::new(host),
            handle: runtime.handle().clone(),
            platforms: Mutex::default(),
            agents: RwLock::default(),
        });
        let loading = Arc::clone(&state);
        runtime.spawn(async move {
            let loaded = loading.host.guard(0, pin!(async { A::load() })).await;
            let failure = loaded.map(|adapter| drop(loading.adapter.set(adapter))).err();
            loading.host.done(Kind::LOAD, 0, failure);
        });
        Ok(Self { state, runtime: Mutex::new(Some(runtime)) })
    }

    /// Takes a message from the host. Never blocks, and runs nothing of the adapter's.
    pub fn submit(&self, kind: Kind, id: u64, payload: &str) -> Status {
        let state = &self.state;
        match kind {
            Kind::COMMAND | Kind::START | Kind::SNAPSHOT | Kind::LOG_OUT => {
                state.agents.read().get(&id).map_or(Status::CLOSED, |agent| agent.request(kind, payload))
            }
            Kind::CONNECT => state.connect(id, payload),
            Kind::DISCONNECT => state.disconnect(id),
            Kind::LOG_IN => state.log_in(id, payload),
            Kind::DROP_AGENT => state.drop_agent(id),
            Kind::PING => {
                let host = state.host.clone();
                state.handle.spawn(async move { host.done(Kind::PING, id, None) });
                Status::ACCEPTED
            }
            Kind::SHUTDOWN => state.shut_down(id),
            Kind::LOG_LEVEL => match state.host.read::<Hello>(Kind::LOG_LEVEL, id, payload) {
                Some(hello) => {
                    logs::set_level(hello.log);
                    Status::ACCEPTED
                }
                None => Status::REFUSED,
            },
            _ => Status::REFUSED,
        }
    }

    /// Ends everything at once.
    pub fn close(&self) {
        let runtime = self.runtime.lock().take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl<A: Adapter> Drop for Plugin<A> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<A: Adapter> MessageSink for Plugin<A> {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        self.submit(kind, id, payload)
    }
}

impl<A: Adapter> PluginState<A> {
    fn connect(self: &Arc<Self>, id: u64, payload: &str) -> Status {
        let Some(Connect { tenant }) = self.host.read(Kind::CONNECT, id, payload) else { return Status::REFUSED };
        let platform = Arc::new(PlatformTask::default());
        self.platforms.lock().insert(id, Arc::clone(&platform));
        let reporter = PlatformReporter::new(id, &self.host, &self.manifest, &self.handle);
        let (state, connecting) = (Arc::clone(self), Arc::clone(&platform));
        let task = self.handle.spawn(async move {
            let Some(adapter) = state.adapter.get() else {
                let failure = Failure::new(Code::AdapterFailed, "the adapter is not loaded");
                return state.host.done(Kind::CONNECT, id, Some(failure));
            };
            let host = PlatformHost::new(Arc::new(reporter));
            let connected = state.host.guard(id, pin!(async { adapter.connect(tenant, host).await })).await;
            let failure = connected.map(|platform| connecting.set(platform)).err();
            state.host.done(Kind::CONNECT, id, failure);
        });
        platform.connects_in(task);
        Status::ACCEPTED
    }

    fn disconnect(self: &Arc<Self>, id: u64) -> Status {
        let Some(platform) = self.platforms.lock().remove(&id) else { return Status::CLOSED };
        let host = self.host.clone();
        self.handle.spawn(async move {
            platform.disconnect(id, &host).await;
            host.done(Kind::DISCONNECT, id, None);
        });
        Status::ACCEPTED
    }

    fn shut_down(self: &Arc<Self>, id: u64) -> Status {
        let state = Arc::clone(self);
        self.handle.spawn(async move {
            let platforms: Vec<_> = state.platforms.lock().drain().collect();
            let mut disconnecting = JoinSet::new();
            for (id, platform) in platforms {
                let host = state.host.clone();
                disconnecting.spawn(async move { platform.disconnect(id, &host).await });
            }
            // A panic of one was caught and told by its guard; the others are still waited for.
            while disconnecting.join_next().await.is_some() {}
            state.host.done(Kind::SHUTDOWN, id, None);
        });
        Status::ACCEPTED
    }

    fn log_in(self: &Arc<Self>, id: u64, payload: &str) -> Status {
        let Some(LogIn { platform, login }) = self.host.read(Kind::LOG_IN, id, payload) else {
            return Status::REFUSED;
        };
        let platform = self.platforms.lock().get(&platform).and_then(|platform| platform.get());
        let Some(platform) = platform else {
            self.host.done(Kind::LOG_IN, id, Some(Failure::new(Code::LinkDown, "the tenant is not connected")));
            return Status::ACCEPTED;
        };
        let agent = AgentTask::new(id, self.host.clone(), self.handle.clone());
        self.agents.write().insert(id, Arc::clone(&agent));
        let (guard, host) = (self.host.clone(), agent.host());
        agent.log_in(async move {
            let agent = guard.guard(id, pin!(async { platform.log_in(login, host).await })).await;
            // Dropped inside this task; by now it may be the last one who holds the platform.
            drop(platform);
            agent
        });
        Status::ACCEPTED
    }

    fn drop_agent(self: &Arc<Self>, id: u64) -> Status {
        let Some(agent) = self.agents.write().remove(&id) else { return Status::CLOSED };
        agent.end();
        Status::ACCEPTED
    }
}
