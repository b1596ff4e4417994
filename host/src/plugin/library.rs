//! The plugins of this host, running.
//!
//! Owns: which plugin files there are, and which of them run. Must never: load one content twice; what two tenants
//! configure under two paths is one library if the bytes are the same.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use jackfield_plugin_api::{
    Adapter, Failure, Manifest, Tenant, abi,
    runtime::Plugin,
    wire::{Kind, Level, MessageSink},
};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    LoadError, PlatformHandle, PlatformSink, PluginFile,
    file::{FileCache, blocking},
    installed::{self, Installed},
    load::LoadFailure,
    running::{Dispatcher, RunningPlugin},
    trust::Trust,
};
use crate::metrics::Metrics;

/// How long an adapter may take to be made.
const LOAD_DEADLINE: Duration = Duration::from_secs(10);

/// The plugin files of this host. Cheap to clone.
#[derive(Clone)]
pub struct Libraries {
    inner: Arc<LibraryRegistry>,
}

pub(super) struct LibraryRegistry {
    pub(super) store: PathBuf,
    pub(super) trust: Trust,
    pub(super) metrics: Metrics,
    pub(super) files: FileCache,
    /// By the digest of their content.
    pub(super) loaded: Mutex<HashMap<String, Arc<OnceCell<Library>>>>,
    /// Those that run, here and in workers.
    running: Mutex<Vec<Weak<RunningPlugin>>>,
}

impl LibraryRegistry {
    /// A library runs that was told to log at this level: it is told when that changes.
    pub(super) fn runs(&self, library: &Library, level: Level) {
        let mut running = self.running.lock();
        running.retain(|plugin| plugin.strong_count() > 0);
        running.push(Arc::downgrade(&library.plugin));
        drop(running);
        // It may have changed while the library was loaded.
        let now = wanted_level();
        if now != level {
            library.plugin.set_log_level(now);
        }
    }
}

impl Libraries {
    /// Libraries whose copies are kept in a directory, which is made when it is needed.
    #[must_use]
    pub fn new(store: impl Into<PathBuf>, metrics: &Metrics) -> Self {
        Self::with_trust(store, Trust::default(), metrics)
    }

    /// The same, of files that are signed with one of these keys.
    #[must_use]
    pub fn with_trust(store: impl Into<PathBuf>, trust: Trust, metrics: &Metrics) -> Self {
        let (store, metrics) = (store.into(), metrics.clone());
        Self {
            inner: Arc::new(LibraryRegistry {
                store,
                trust,
                metrics,
                files: FileCache::default(),
                loaded: Mutex::default(),
                running: Mutex::default(),
            }),
        }
    }

    /// The host's log lets another level through from now on: those that run send no less than that.
    pub(crate) fn log_level_changed(&self) {
        let running: Vec<_> = self.inner.running.lock().iter().filter_map(Weak::upgrade).collect();
        running.iter().for_each(|plugin| plugin.set_log_level(wanted_level()));
    }

    /// The plugins that are installed in the store, by name and version, each with what is wrong with its copy if
    /// anything is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn installed(&self) -> Result<Vec<(Installed, Result<PluginFile, LoadError>)>, String> {
        let store = self.inner.store.clone();
        let mut found = Vec::new();
        for entry in blocking(move || installed::all(&store)).await? {
            let file = self.find(&entry.path).await;
            found.push((entry, file));
        }
        Ok(found)
    }

    /// Reads a plugin's file, verifies it, copies it into the store and records that it is installed there.
    ///
    /// # Errors
    /// It is no plugin, its manifest is wrong, it cannot be loaded on this system, or the store cannot be written.
    pub async fn install(&self, path: &Path) -> Result<PluginFile, LoadError> {
        let file = self.find(path).await?;
        let recorded = file.clone();
        let wrong = |reason| LoadError::lasting(path, reason);
        blocking(move || recorded.install()).await.map_err(wrong)?;
        Ok(file)
    }

    /// Reads a plugin's file, verifies it and copies it into the store. Nothing of it runs.
    ///
    /// # Errors
    /// It is no plugin, or its manifest is wrong.
    pub async fn find(&self, path: &Path) -> Result<PluginFile, LoadError> {
        let (from, registry) = (path.to_owned(), Arc::clone(&self.inner));
        let added = blocking(move || registry.add(from));
        added.await.map_err(|reason: String| LoadError::lasting(path, reason))
    }

    /// Loads a plugin's file into this process, or finds it loaded.
    ///
    /// # Errors
    /// It is no plugin, was built for another version of the contract, or its adapter cannot work here.
    pub async fn load(&self, path: &Path) -> Result<Library, LoadError> {
        self.find(path).await?.run_here().await
    }
}

impl fmt::Debug for Libraries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Libraries({})", self.inner.store.display())
    }
}

/// The level that the host's own log lets through.
pub(super) fn wanted_level() -> Level {
    use tracing::level_filters::LevelFilter;
    match LevelFilter::current() {
        LevelFilter::TRACE => Level::Trace,
        LevelFilter::DEBUG => Level::Debug,
        LevelFilter::WARN => Level::Warn,
        LevelFilter::ERROR | LevelFilter::OFF => Level::Error,
        _ => Level::Info,
    }
}

/// One plugin, running. Cheap to clone; it ends with the last of its handles, platforms and agents.
#[derive(Clone)]
pub struct Library {
    plugin: Arc<RunningPlugin>,
    api: Arc<str>,
    worker: Option<u32>,
}

impl Library {
    /// An adapter that is compiled into this program, as if it had been loaded from a file with this manifest.
    ///
    /// # Errors
    /// The manifest is wrong, or the adapter cannot work.
    pub async fn of<A: Adapter>(manifest: &str, threads: usize, metrics: &Metrics) -> Result<Self, String> {
        let manifest: Manifest = serde_json::from_str(manifest).map_err(|error| format!("the manifest: {error}"))?;
        if let Some(wrong) = manifest.check().first() {
            return Err(format!("the manifest: {wrong}"));
        }
        let inside = manifest.clone();
        Self::make(manifest, abi::API_VERSION.to_owned(), metrics, async |dispatcher| {
            let plugin = Plugin::<A>::start(inside, threads, dispatcher).map_err(|error| error.to_string())?;
            Ok(Box::new(plugin) as Box<dyn MessageSink>)
        })
        .await
        .map_err(|failure| failure.reason)
    }

    pub(super) async fn make(
        manifest: Manifest,
        api: String,
        metrics: &Metrics,
        start: impl AsyncFnOnce(Arc<Dispatcher>) -> Result<Box<dyn MessageSink>, LoadFailure>,
    ) -> Result<Self, LoadFailure> {
        let metrics = metrics.adapter(&manifest.id);
        let dispatcher = Arc::new(Dispatcher::new(Arc::new(manifest), metrics));
        let plugin = Arc::new(RunningPlugin::new(Arc::clone(&dispatcher)));
        let loaded = dispatcher.await_done(Kind::LOAD, 0).map_err(|failure| failure.to_string())?;
        plugin.set_backend(start(Arc::clone(&dispatcher)).await?);
        if let Err(failure) = loaded.within(LOAD_DEADLINE).await {
            dispatcher.failed("load", &failure.to_string());
            return Err(LoadFailure::from(failure.to_string()));
        }
        tokio::spawn(RunningPlugin::watch(Arc::downgrade(&plugin)));
        Ok(Self { plugin, api: api.into(), worker: None })
    }

    /// The same, known to run in this process.
    pub(super) fn in_worker(self, pid: Option<u32>) -> Self {
        Self { worker: pid, ..self }
    }

    /// What the adapter says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// The version of the plugin API that it was built with.
    #[must_use]
    pub fn api_version(&self) -> &str {
        &self.api
    }

    /// Whether its threads still answer.
    #[must_use]
    pub fn is_responsive(&self) -> bool {
        self.plugin.dispatcher.is_responsive()
    }

    /// The process of its worker; `None`: it runs inside the host.
    #[must_use]
    pub fn worker(&self) -> Option<u32> {
        self.worker
    }

    /// Whether it ran in a worker that is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.plugin.dispatcher.is_lost()
    }

    /// The same library, without keeping it running.
    #[must_use]
    pub fn downgrade(&self) -> WeakLibrary {
        WeakLibrary { plugin: Arc::downgrade(&self.plugin), api: Arc::clone(&self.api), worker: self.worker }
    }

    /// Connects a tenant. What concerns it as a whole goes to the sink.
    ///
    /// # Errors
    /// What the adapter says, `timeout` after the deadline, `adapter_failed`.
    pub async fn connect(
        &self,
        tenant: Tenant,
        sink: Arc<dyn PlatformSink>,
        deadline: Duration,
    ) -> Result<PlatformHandle, Failure> {
        PlatformHandle::connect(Arc::clone(&self.plugin), tenant, sink, deadline).await
    }
}

/// A library that ends when nobody else uses it.
#[derive(Clone)]
pub struct WeakLibrary {
    plugin: Weak<RunningPlugin>,
    api: Arc<str>,
    worker: Option<u32>,
}

impl WeakLibrary {
    /// The library, if it still runs.
    #[must_use]
    pub fn upgrade(&self) -> Option<Library> {
        self.plugin.upgrade().map(|plugin| Library { plugin, api: Arc::clone(&self.api), worker: self.worker })
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({} {})", self.manifest().id, self.manifest().version)
    }
}
