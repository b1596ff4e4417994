//! Configuration: from files, environment and arguments to values that cannot be wrong.
//!
//! Owns: what may stand in `jackfield.toml` and in a tenant's file, defaults, bounds, which changes a running host can
//! take over, and the sentence that names file and key where something is wrong. Must never: let one tenant's file harm
//! another, or print a secret. [`HostConfig`] and [`TenantConfig`] go to `app` and to `tenant`. `serve`, `check-config`
//! and a reload all use [`load`].
//!
//! ```text
//! layers.rs    shipped file, operator's file, environment, --set: what is read on top of what
//! raw.rs       what the files may contain, as it is written
//! host.rs      jackfield.toml, checked
//! limits.rs    what a tenant may have, checked
//! tenant.rs    a tenant's file, checked
//! token.rs     a token's name and hash, checked
//! locate.rs    where an adapter's library is
//! settings.rs  the adapter's settings: schema and secrets
//! tls.rs       the certificates of a listener
//! traces.rs    the collector of spans
//! diff.rs      which keys have changed, and which of them a running host takes over
//! explain.rs   what a key means and where its value comes from
//! units.rs     durations and sizes as people write them
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

mod diff;
mod explain;
mod host;
mod layers;
mod limits;
mod locate;
mod raw;
mod settings;
mod tenant;
mod tls;
mod token;
mod traces;
mod units;

pub(crate) use diff::{Changes, WhenApplied, changes, taken_over};
pub(crate) use explain::{Explained, explain};
pub(crate) use host::{HostConfig, ListenerConfig, OperationsConfig, OperatorToken, Origins, ShutdownConfig};
pub(crate) use layers::{Origin, Source, Values};
pub(crate) use limits::TenantLimits;
pub(crate) use locate::AdapterFile;
pub(crate) use raw::{LogFormat, OperatorRight};
pub(crate) use settings::SettingsConfig;
pub(crate) use tenant::tenant_of;
pub(crate) use tenant::{Auth, Isolation, JwtRules, KeySource, TenantConfig, UpgradeConfig};
pub(crate) use tls::TlsConfig;
pub(crate) use tls::{TlsProblem, TlsServer};
pub(crate) use token::Token;
pub(crate) use traces::TracesConfig;

use layers::Layers;

/// What is wrong with a file, in one line: file, key, what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The key in it, with dots, where one can be named.
    pub key: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// Something wrong with a file as a whole.
    pub(crate) fn file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), key: None, message: message.into() }
    }

    /// Something wrong with one key.
    pub(crate) fn key(file: &Path, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), key: Some(key.into()), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// What a configuration comes to: the host's own part, the tenants that are right, and what is wrong with the others.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The host's own part.
    pub host: HostConfig,
    /// The same as values of keys, to be compared.
    pub values: Values,
    /// The tenants whose files are right, in order of their names.
    pub tenants: Vec<TenantConfig>,
    /// What is wrong with the files of the others.
    pub problems: Vec<Problem>,
}

/// Reads `jackfield.toml` and the tenants' files.
///
/// # Errors
/// The host's own part is wrong, or the folder of the tenants cannot be read; a wrong tenant's file is no error.
pub(crate) fn load(source: &Source) -> Result<Loaded, Vec<Problem>> {
    let layers = Layers::of_host(source);
    let host = check_host(&layers)?;
    let mut loaded = Loaded { tenants: Vec::new(), problems: Vec::new(), values: layers.values(), host };
    for file in tenant_files(&source.file, &loaded.host.tenants)? {
        match load_tenant(&file, &layers, &loaded.host) {
            Ok(tenant) => loaded.tenants.push(tenant),
            Err(problems) => loaded.problems.extend(problems),
        }
    }
    Ok(loaded)
}

/// Reads `jackfield.toml` alone.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn load_host(source: &Source) -> Result<HostConfig, Vec<Problem>> {
    check_host(&Layers::of_host(source))
}

fn check_host(layers: &Layers) -> Result<HostConfig, Vec<Problem>> {
    HostConfig::check(layers, layers.read().map_err(|problem| vec![problem])?)
}

fn load_tenant(file: &Path, host_layers: &Layers, host: &HostConfig) -> Result<TenantConfig, Vec<Problem>> {
    let layers = Layers::of_tenant(file, host_layers);
    let raw: raw::RawTenant = layers.read().map_err(|problem| vec![problem])?;
    let adapter = locate::locate(file, host, &raw.adapter);
    TenantConfig::check(&layers, raw, adapter, host)
}

/// Finds an adapter for a tenant, by a name as its file may have it.
///
/// # Errors
/// `jackfield.toml` is wrong, or there is no such adapter.
pub(crate) fn adapter(source: &Source, tenant: &Path, name: &str) -> Result<AdapterFile, Vec<Problem>> {
    let host = load_host(source)?;
    locate::locate(tenant, &host, name).map_err(|problem| vec![problem])
}

/// Reads a duration as it may stand in a file, such as `5m`.
#[must_use]
pub(crate) fn duration(text: &str) -> Option<Duration> {
    units::Span::parse(text).map(|span| span.0)
}

/// The files `*.toml` of the tenants' folder, in order of their names.
fn tenant_files(host: &Path, folder: &Path) -> Result<Vec<PathBuf>, Vec<Problem>> {
    let unreadable = |error: std::io::Error| {
        vec![Problem::key(host, "tenants.directory", format!("{} cannot be read: {error}", folder.display()))]
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
