//! Plugin files, ready for tenants.
//!
//! Owns: the way from a file's path to a running plugin: read, judged, copied, opened, made. Must never: load one
//! content twice; what two tenants configure under two paths is one library if the bytes are the same.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jackfield_plugin_api::{
    Adapter, Failure, Manifest, Tenant, abi,
    export::Section,
    runtime::Plugin,
    wire::{Hello, Kind, Level, Outlet},
};
use tokio::sync::OnceCell;

use super::{
    Platform, PlatformSink, load, manifest,
    peer::Peer,
    routes::Routes,
    store,
    trust::Trust,
    worker::{self, Worker},
};
use crate::metrics::Metrics;

/// How long an adapter may take to be made.
const LOAD_DEADLINE: Duration = Duration::from_secs(10);

/// The plugin files of this host. Cheap to clone.
#[derive(Clone)]
pub struct Libraries {
    inner: Arc<Shelf>,
}

struct Shelf {
    store: PathBuf,
    trust: Trust,
    metrics: Metrics,
    log: Level,
    /// By the digest of their content.
    loaded: Mutex<HashMap<String, Arc<OnceCell<Library>>>>,
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
        Self { inner: Arc::new(Shelf { store, trust, metrics, log: wanted_level(), loaded: Mutex::default() }) }
    }

    /// The plugins that are in the store, by name and version; what is there and is none is named.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn installed(&self) -> Result<Vec<Result<PluginFile, LoadError>>, String> {
        let store = self.inner.store.clone();
        let paths = blocking(move || store::list(&store)).await?;
        let mut found = Vec::new();
        for path in paths {
            found.push(self.find(&path).await);
        }
        found.sort_by_key(|file| {
            file.as_ref().ok().map(|file| (file.manifest().id.clone(), file.manifest().version.clone()))
        });
        Ok(found)
    }

    /// Reads a plugin's file, judges it and copies it into the store. Nothing of it runs.
    ///
    /// # Errors
    /// It is no plugin, or its manifest is wrong.
    pub async fn find(&self, path: &Path) -> Result<PluginFile, LoadError> {
        let (from, shelf) = (path.to_owned(), Arc::clone(&self.inner));
        let judged = blocking(move || shelf.judge(from));
        let file = judged.await.map_err(|reason| LoadError { path: path.to_owned(), reason })?;
        Ok(PluginFile { inner: Arc::new(file) })
    }

    /// Loads a plugin's file into this process, or finds it loaded.
    ///
    /// # Errors
    /// It is no plugin, was built for another version of the contract, or its adapter cannot work here.
    pub async fn load(&self, path: &Path) -> Result<Library, LoadError> {
        self.find(path).await?.run_here().await
    }
}

impl Shelf {
    fn judge(self: Arc<Self>, path: PathBuf) -> Result<File, String> {
        let content = store::read(&path)?;
        let (section, text) = manifest::read(&content)?;
        let signer = self.trust.check(&path, &content)?.map(str::to_owned);
        let digest = store::digest(&content);
        let copy = store::keep(&self.store, &digest, &content)?;
        if signer.is_some() {
            store::keep_signature(&path, &copy)?;
        }
        Ok(File { shelf: self, path, copy, digest, signer, section, text })
    }
}

/// A plugin's file: read, judged and copied into the store, ready to run. Cheap to clone.
#[derive(Clone)]
pub struct PluginFile {
    inner: Arc<File>,
}

struct File {
    shelf: Arc<Shelf>,
    path: PathBuf,
    copy: PathBuf,
    digest: String,
    signer: Option<String>,
    section: Section,
    text: String,
}

impl PluginFile {
    /// What the adapter says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inner.section.manifest
    }

    /// The version of the plugin API that it says it was built with.
    #[must_use]
    pub fn api_version(&self) -> &str {
        &self.inner.section.api
    }

    /// The SHA-256 of the file, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// The key that it is signed with; `None` where no signature is asked for.
    #[must_use]
    pub fn signer(&self) -> Option<&str> {
        self.inner.signer.as_deref()
    }

    /// The copy in the store.
    #[must_use]
    pub fn copy(&self) -> &Path {
        &self.inner.copy
    }

    /// Loads it into this process, or finds it loaded.
    ///
    /// # Errors
    /// It was built for another version of the contract, or its adapter cannot work here.
    pub async fn run_here(&self) -> Result<Library, LoadError> {
        let cell = {
            let mut loaded = self.inner.shelf.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(loaded.entry(self.inner.digest.clone()).or_default())
        };
        let library = cell.get_or_try_init(|| self.open()).await;
        library.cloned().map_err(|reason| self.wrong(reason))
    }

    async fn open(&self) -> Result<Library, String> {
        let File { copy, section, text, shelf, .. } = &*self.inner;
        if section.panic != "unwind" {
            return Err(format!("built with panic={}: a panic in it would end the host", section.panic));
        }
        let (copy, said) = (copy.clone(), section.api.clone());
        let checked = blocking(move || load::open(&copy, &said)).await?;
        if checked.manifest() != text {
            return Err("its manifest section is not the manifest that it has when it is loaded".to_owned());
        }
        let hello = self.hello()?;
        Library::make(section.manifest.clone(), section.api.clone(), &shelf.metrics, async |routes| {
            let instance = checked.create(routes, &hello).ok_or_else(|| "it cannot be started".to_owned())?;
            Ok(Box::new(instance) as Box<dyn Outlet>)
        })
        .await
    }

    /// Runs it in a process of its own, which ends with the last handle of what is returned.
    ///
    /// # Errors
    /// The process cannot be started, or the file cannot be loaded in it.
    pub async fn run_in_worker(&self, options: &worker::Options) -> Result<Library, LoadError> {
        let File { copy, section, shelf, .. } = &*self.inner;
        let mut pid = None;
        let run = async |routes: Arc<Routes>| {
            let dying = Arc::downgrade(&routes);
            let on_death = move |death| {
                if let Some(routes) = dying.upgrade() {
                    routes.lost(&death);
                }
            };
            let hello = self.hello()?;
            let worker = Worker::start(copy, &section.api, &hello, options, routes, Box::new(on_death)).await?;
            pid = Some(worker.pid());
            Ok(Box::new(worker) as Box<dyn Outlet>)
        };
        let made = Library::make(section.manifest.clone(), section.api.clone(), &shelf.metrics, run);
        let library = made.await.map_err(|reason| self.wrong(reason))?;
        Ok(Library { worker: pid, ..library })
    }

    fn hello(&self) -> Result<String, String> {
        serde_json::to_string(&Hello { log: self.inner.shelf.log }).map_err(|error| error.to_string())
    }

    fn wrong(&self, reason: String) -> LoadError {
        LoadError { path: self.inner.path.clone(), reason }
    }
}

impl fmt::Debug for PluginFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginFile({} {} {:.12})", self.manifest().id, self.manifest().version, self.digest())
    }
}

/// Reads the manifest of a plugin's file without running any of its code, and without copying it into a store.
///
/// # Errors
/// It is no plugin, was built for another version of the contract, or is not signed as it must be.
pub fn inspect(path: &Path, trust: &Trust) -> Result<Manifest, LoadError> {
    let wrong = |reason: String| LoadError { path: path.to_owned(), reason };
    let content = store::read(path).map_err(wrong)?;
    let (section, _) = manifest::read(&content).map_err(wrong)?;
    trust.check(path, &content).map_err(wrong)?;
    Ok(section.manifest)
}

/// The level that the host's own log lets through.
fn wanted_level() -> Level {
    use tracing::level_filters::LevelFilter;
    match LevelFilter::current() {
        LevelFilter::TRACE => Level::Trace,
        LevelFilter::DEBUG => Level::Debug,
        LevelFilter::WARN => Level::Warn,
        LevelFilter::ERROR | LevelFilter::OFF => Level::Error,
        _ => Level::Info,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Why a plugin's file cannot be used, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for LoadError {}

/// One plugin, running. Cheap to clone; it ends with the last of its handles, platforms and agents.
#[derive(Clone)]
pub struct Library {
    peer: Arc<Peer>,
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
        Self::make(manifest, abi::API_VERSION.to_owned(), metrics, async |routes| {
            let plugin = Plugin::<A>::start(inside, threads, routes).map_err(|error| error.to_string())?;
            Ok(Box::new(plugin) as Box<dyn Outlet>)
        })
        .await
    }

    pub(super) async fn make(
        manifest: Manifest,
        api: String,
        metrics: &Metrics,
        start: impl AsyncFnOnce(Arc<Routes>) -> Result<Box<dyn Outlet>, String>,
    ) -> Result<Self, String> {
        let metrics = metrics.adapter(&manifest.id);
        let routes = Arc::new(Routes::new(Arc::new(manifest), metrics));
        let peer = Arc::new(Peer::new(Arc::clone(&routes)));
        let loaded = routes.await_done(Kind::LOAD, 0).map_err(|failure| failure.to_string())?;
        peer.set_backend(start(Arc::clone(&routes)).await?);
        if let Err(failure) = loaded.within(LOAD_DEADLINE).await {
            routes.failed("load", &failure.to_string());
            return Err(failure.to_string());
        }
        tokio::spawn(Peer::watch(Arc::downgrade(&peer)));
        Ok(Self { peer, api: api.into(), worker: None })
    }

    /// What the adapter says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.peer.manifest()
    }

    /// The version of the plugin API that it was built with.
    #[must_use]
    pub fn api_version(&self) -> &str {
        &self.api
    }

    /// Whether its threads still answer.
    #[must_use]
    pub fn is_responsive(&self) -> bool {
        self.peer.routes.is_responsive()
    }

    /// The process of its worker; `None`: it runs inside the host.
    #[must_use]
    pub fn worker(&self) -> Option<u32> {
        self.worker
    }

    /// Whether it ran in a worker that is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.peer.routes.is_lost()
    }

    /// The same library, without keeping it running.
    #[must_use]
    pub fn downgrade(&self) -> WeakLibrary {
        WeakLibrary { peer: Arc::downgrade(&self.peer), api: Arc::clone(&self.api), worker: self.worker }
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
    ) -> Result<Platform, Failure> {
        Platform::connect(Arc::clone(&self.peer), tenant, sink, deadline).await
    }
}

/// A library that ends when nobody else uses it.
#[derive(Clone)]
pub struct WeakLibrary {
    peer: std::sync::Weak<Peer>,
    api: Arc<str>,
    worker: Option<u32>,
}

impl WeakLibrary {
    /// The library, if it still runs.
    #[must_use]
    pub fn upgrade(&self) -> Option<Library> {
        self.peer.upgrade().map(|peer| Library { peer, api: Arc::clone(&self.api), worker: self.worker })
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({} {})", self.manifest().id, self.manifest().version)
    }
}
