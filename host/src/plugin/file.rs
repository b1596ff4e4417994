//! A plugin's file: read, verified, copied, run.
//!
//! Owns: all that is known of a file before any of its code runs, and where its copy is run. Must never: run a copy
//! whose content is no longer the one that was verified.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use jackfield_plugin_api::{
    Manifest,
    export::Section,
    wire::{Hello, Level, MessageSink},
};

use parking_lot::Mutex;

use super::{
    Library, elf, installed,
    library::{LibraryRegistry, wanted_level},
    load::{self, LoadFailure},
    manifest,
    running::Dispatcher,
    store::{self, FileStamp, StoredCopy},
    trust::{self, Trust},
    worker::{self, Worker},
};

/// What a plugin's file says of itself, and what can be told of it without running any of its code.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Description {
    /// What the adapter says of itself.
    pub manifest: Manifest,
    /// The version of the plugin API that it says it was built with.
    pub api: String,
    /// What a panic does in it: `unwind` or `abort`.
    pub panic: String,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// The key that it is signed with; `None` where no signature is asked for.
    pub signer: Option<String>,
    /// What it needs and this system does not have, one sentence each; empty when it can be loaded here.
    pub missing: Vec<String>,
}

impl Description {
    /// Whether the library may run inside the host.
    ///
    /// # Errors
    /// Why it may not.
    pub fn can_run_inside(&self) -> Result<(), String> {
        can_run_inside(&self.panic)
    }
}

fn can_run_inside(panic: &str) -> Result<(), String> {
    if panic == "unwind" {
        return Ok(());
    }
    Err(format!("the library is built with panic={panic}: a panic in it would end the host"))
}

/// A file as it was read and verified.
struct VerifiedFile {
    content: Vec<u8>,
    section: Section,
    text: String,
    digest: String,
    signer: Option<String>,
}

fn verify(path: &Path, trust: &Trust) -> Result<VerifiedFile, String> {
    let content = store::read(path)?;
    let digest = store::digest(&content);
    // First of all: a store's file that was cut or changed is told as that, not as some library without a manifest.
    store::fits_its_name(path, &digest)?;
    let (section, text) = manifest::read(&content)?;
    let signer = trust.check(path, &content)?.map(str::to_owned);
    Ok(VerifiedFile { content, section, text, digest, signer })
}

/// Describes a plugin's file without running any of its code. Nothing is copied.
///
/// # Errors
/// It is no plugin, was built for another version of the contract, or is not signed as it must be.
pub fn describe(path: &Path, trust: &Trust) -> Result<Description, LoadError> {
    let verified = verify(path, trust).map_err(|reason| LoadError::lasting(path, reason))?;
    let VerifiedFile { section, digest, signer, content, .. } = verified;
    let missing = elf::missing(&content);
    Ok(Description { manifest: section.manifest, api: section.api, panic: section.panic, digest, signer, missing })
}

impl LibraryRegistry {
    /// Reads a file, verifies it and copies it into the store.
    pub(super) fn add(self: Arc<Self>, path: PathBuf) -> Result<PluginFile, String> {
        // Held while it is read: of many tenants that start with one library, the first reads it.
        let registry = Arc::clone(&self);
        let mut cached = registry.files.0.lock();
        let stamps = (FileStamp::of(&path).ok(), FileStamp::of(&trust::beside(&path)).ok());
        if let Some(same) = cached.get(&path).filter(|it| it.stamps == stamps)
            && let Some(file) = same.file.upgrade()
            && file.copy.check(&file.digest).is_ok()
        {
            return Ok(PluginFile { inner: file });
        }
        let VerifiedFile { content, section, text, digest, signer } = verify(&path, &self.trust)?;
        let copy = store::add(&self.store, &digest, &content)?;
        if signer.is_some() {
            store::add_signature(&path, copy.path())?;
        }
        let file = Arc::new(Inner { registry: self, path: path.clone(), copy, digest, signer, section, text });
        cached.insert(path, CachedFile { stamps, file: Arc::downgrade(&file) });
        Ok(PluginFile { inner: file })
    }
}

/// The files that were verified and are still in use, so that a library of many megabytes is not read for each tenant.
#[derive(Default)]
pub(super) struct FileCache(Mutex<HashMap<PathBuf, CachedFile>>);

struct CachedFile {
    /// Of the file and of its signature, from before they were read.
    stamps: (Option<FileStamp>, Option<FileStamp>),
    file: Weak<Inner>,
}

/// A plugin's file: read, verified and copied into the store, ready to run. Cheap to clone.
#[derive(Clone)]
pub struct PluginFile {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<LibraryRegistry>,
    path: PathBuf,
    copy: StoredCopy,
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
        self.inner.copy.path()
    }

    /// Records in the store that this plugin is installed, so that a tenant's file may ask for it by name and version.
    ///
    /// # Errors
    /// It cannot be loaded on this system, or the store cannot be written.
    pub(super) fn install(&self) -> Result<(), String> {
        let content = store::read(self.copy())?;
        let cannot = elf::missing(&content).into_iter().chain(store::noexec(self.copy()));
        let cannot: Vec<String> = cannot.collect();
        if !cannot.is_empty() {
            return Err(format!("cannot be loaded here: {}", cannot.join("; ")));
        }
        installed::record(&self.inner.registry.store, self.digest(), self.manifest())
    }

    /// Loads it into this process, or finds it loaded.
    ///
    /// # Errors
    /// It was built for another version of the contract, or its adapter cannot work here.
    pub async fn run_here(&self) -> Result<Library, LoadError> {
        let cell = {
            let mut loaded = self.inner.registry.loaded.lock();
            Arc::clone(loaded.entry(self.inner.digest.clone()).or_default())
        };
        let library = cell.get_or_try_init(|| self.open()).await;
        library.cloned().map_err(|failure| self.load_error(failure))
    }

    async fn open(&self) -> Result<Library, LoadFailure> {
        let Inner { section, text, registry, .. } = &*self.inner;
        can_run_inside(&section.panic).map_err(LoadFailure::lasting)?;
        let file = Arc::clone(&self.inner);
        let open = move || {
            file.copy.check(&file.digest)?;
            load::open(file.copy.path(), &file.section.api)
        };
        let checked = blocking(open).await?;
        if checked.manifest() != text {
            let reason = "its manifest section is not the manifest that it has when it is loaded".to_owned();
            return Err(LoadFailure::lasting(reason));
        }
        let (level, manifest, api) = (wanted_level(), section.manifest.clone(), section.api.clone());
        let hello = hello(level)?;
        let library = Library::make(manifest, api, &registry.metrics, async |dispatcher| {
            let instance = checked.create(dispatcher, &hello).ok_or_else(|| "it cannot be started".to_owned())?;
            Ok(Box::new(instance) as Box<dyn MessageSink>)
        })
        .await?;
        registry.runs(&library, level);
        Ok(library)
    }

    /// Runs it in a process of its own, which ends with the last handle of what is returned.
    ///
    /// # Errors
    /// The process cannot be started, or the file cannot be loaded in it.
    pub async fn run_in_worker(&self, options: &worker::WorkerOptions) -> Result<Library, LoadError> {
        let Inner { section, registry, .. } = &*self.inner;
        let (mut pid, level) = (None, wanted_level());
        let run = async |dispatcher: Arc<Dispatcher>| {
            let weak = Arc::downgrade(&dispatcher);
            let on_death = move |death| {
                if let Some(dispatcher) = weak.upgrade() {
                    dispatcher.lost(&death);
                }
            };
            let hello = hello(level)?;
            let file = Arc::clone(&self.inner);
            blocking(move || file.copy.check(&file.digest)).await?;
            let worker =
                Worker::start(self.copy(), &section.api, &hello, options, dispatcher, Box::new(on_death)).await?;
            pid = Some(worker.pid());
            Ok(Box::new(worker) as Box<dyn MessageSink>)
        };
        let made = Library::make(section.manifest.clone(), section.api.clone(), &registry.metrics, run);
        let library = made.await.map_err(|failure| self.load_error(failure))?;
        registry.runs(&library, level);
        Ok(library.in_worker(pid))
    }

    fn load_error(&self, failure: LoadFailure) -> LoadError {
        LoadError { path: self.inner.path.clone(), reason: failure.reason, may_pass: failure.may_pass }
    }
}

fn hello(log: Level) -> Result<String, String> {
    serde_json::to_string(&Hello { log }).map_err(|error| error.to_string())
}

impl fmt::Debug for PluginFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginFile({} {} {:.12})", self.manifest().id, self.manifest().version, self.digest())
    }
}

/// Runs work that waits for the disk on a thread of its own.
pub(super) async fn blocking<T: Send + 'static, E: From<String> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(E::from(error.to_string())))
}

/// Why a plugin's file cannot be used, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Whether the same may succeed later, without anybody doing anything.
    pub may_pass: bool,
}

impl LoadError {
    /// An error that stays until the file or the system changes.
    pub(super) fn lasting(path: &Path, reason: String) -> Self {
        Self { path: path.to_owned(), reason, may_pass: false }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for LoadError {}
