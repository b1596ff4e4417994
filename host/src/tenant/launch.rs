//! Where a tenant's plugin runs: inside the host, in a worker of its own, or in one that it shares.
//!
//! Owns: the choice that `isolation` makes, and the workers that tenants share. Must never: load a library into the host
//! that is to run in a worker. A new run is asked for at each attempt to connect; after a death that is a new process.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use jackfield_plugin_api::Manifest;
use parking_lot::Mutex;

use crate::{
    config::{Isolation, Problem, TenantConfig},
    plugin::{
        Libraries, Library, LoadError, PluginFile, WeakLibrary,
        worker::{SHARED, WorkerOptions, sandbox::Confinement},
    },
};

/// How many messages a second a worker may send that nobody asked for, for each session that its tenants may have, and
/// at least.
const UNSOLICITED: (u64, u64) = (50, 20_000);

/// A tenant's plugin.
pub(super) enum TenantPlugin {
    /// A file, run where the tenant's configuration says.
    File(PluginFile, Workers),
    /// One that runs already: of tests.
    #[cfg_attr(not(test), expect(dead_code))]
    Loaded(Library),
}

impl TenantPlugin {
    /// Reads and judges the file that a tenant's configuration names.
    ///
    /// # Errors
    /// It cannot be used, by file and key.
    pub(super) async fn find(
        config: &TenantConfig,
        libraries: &Libraries,
        workers: &Workers,
    ) -> Result<Self, Vec<Problem>> {
        let wrong = |error: LoadError| vec![unusable(config, &error)];
        let file = libraries.find(&config.adapter.path).await.map_err(wrong)?;
        if config.isolation == Isolation::None {
            // What cannot be loaded is told before the tenant is there. A worker is started by its first connect.
            file.run_here().await.map_err(wrong)?;
        }
        Ok(Self::File(file, workers.clone()))
    }

    pub(super) fn manifest(&self) -> &Manifest {
        match self {
            Self::File(file, _) => file.manifest(),
            Self::Loaded(library) => library.manifest(),
        }
    }

    pub(super) fn api_version(&self) -> &str {
        match self {
            Self::File(file, _) => file.api_version(),
            Self::Loaded(library) => library.api_version(),
        }
    }

    /// The SHA-256 of its file; nothing for one that is compiled into the host.
    pub(super) fn digest(&self) -> &str {
        match self {
            Self::File(file, _) => file.digest(),
            Self::Loaded(_) => "",
        }
    }

    /// Runs it, or finds it running.
    pub(super) async fn run(&self, config: &TenantConfig) -> Result<Library, LoadError> {
        match self {
            Self::File(file, workers) => workers.run(config, file).await,
            Self::Loaded(library) => Ok(library.clone()),
        }
    }
}

/// A library that a tenant cannot use, as something wrong with its file.
pub(super) fn unusable(config: &TenantConfig, error: &LoadError) -> Problem {
    Problem::key(&config.file, "adapter", error.to_string())
}

/// The workers that tenants share, and what all workers have in common. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workers {
    inner: Arc<Common>,
}

struct Common {
    program: PathBuf,
    recordings: PathBuf,
    closed_ports: Vec<u16>,
    shared: Mutex<HashMap<String, Slot>>,
}

/// One shared worker; locked while it is started, so that it is started once.
type Slot = Arc<tokio::sync::Mutex<Option<WeakLibrary>>>;

impl Workers {
    /// Workers are this program run again; their flight recorders' files go to a folder. `closed_ports`: where they must
    /// not connect to.
    #[must_use]
    pub(crate) fn new(program: PathBuf, recordings: PathBuf, closed_ports: Vec<u16>) -> Self {
        Self { inner: Arc::new(Common { program, recordings, closed_ports, shared: Mutex::default() }) }
    }

    /// Runs a tenant's plugin where its configuration says.
    ///
    /// # Errors
    /// The plugin cannot be loaded, or the worker not started.
    async fn run(&self, config: &TenantConfig, file: &PluginFile) -> Result<Library, LoadError> {
        match config.isolation {
            Isolation::None => file.run_here().await,
            Isolation::Tenant => file.run_in_worker(&self.options(config, &config.id, &file.manifest().id)).await,
            Isolation::Adapter => {
                let slot = {
                    let mut shared = self.inner.shared.lock();
                    Arc::clone(shared.entry(file.digest().to_owned()).or_default())
                };
                let mut slot = slot.lock().await;
                if let Some(library) = slot.as_ref().and_then(WeakLibrary::upgrade).filter(|it| !it.is_lost()) {
                    return Ok(library);
                }
                let library = file.run_in_worker(&self.options(config, SHARED, &file.manifest().id)).await?;
                *slot = Some(library.downgrade());
                Ok(library)
            }
        }
    }

    fn options(&self, config: &TenantConfig, whose: &str, adapter: &str) -> WorkerOptions {
        let sessions = u64::try_from(config.limits.sessions).unwrap_or(u64::MAX);
        WorkerOptions {
            name: format!("{whose}:{adapter}"),
            program: self.inner.program.clone(),
            confinement: Confinement {
                closed_ports: self.inner.closed_ports.clone(),
                ..config.worker.confinement.clone()
            },
            patience: config.worker.patience,
            unsolicited_per_second: sessions.saturating_mul(UNSOLICITED.0).max(UNSOLICITED.1),
            recordings: Some(self.inner.recordings.clone()),
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workers({})", self.inner.program.display())
    }
}
