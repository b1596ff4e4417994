//! Configuration: from files to values that cannot be wrong.
//!
//! Owns: what may stand in `jackfield.toml` and in a tenant's file, defaults, bounds, and the sentence that names file
//! and key where something is wrong. Must never: let one tenant's file harm another, or print a secret. Data comes from
//! the files; [`HostConfig`] and [`TenantConfig`] go to `main` and to `tenant`. `serve` and `check-config` both use
//! [`load`].
//!
//! ```text
//! raw.rs       what the files may contain, as it is written
//! host.rs      jackfield.toml, checked
//! tenant.rs    a tenant's file, checked
//! settings.rs  the adapter's settings: schema and secrets
//! units.rs     durations as people write them
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    error::Kind,
    providers::{Format, Toml},
};
use serde::de::DeserializeOwned;

mod host;
mod raw;
mod settings;
mod tenant;
mod units;

pub use host::{HostConfig, Limits, ListenerConfig, LogFormat, Origins};
pub use settings::Settings;
pub use tenant::{AdapterFile, Auth, Isolation, JwtRules, KeySource, TenantConfig, Token, UpgradeConfig};

/// What is wrong with a file, in one line: file, key, what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The key in it, with dots, where one can be named.
    pub key: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// Something wrong with a file as a whole.
    pub fn file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), key: None, message: message.into() }
    }

    /// Something wrong with one key.
    pub fn key(file: &Path, key: impl Into<String>, message: impl Into<String>) -> Self {
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
pub struct Loaded {
    /// The host's own part.
    pub host: HostConfig,
    /// The tenants whose files are right, in order of their names.
    pub tenants: Vec<TenantConfig>,
    /// What is wrong with the files of the others.
    pub problems: Vec<Problem>,
}

/// Reads `jackfield.toml` and the tenants' files.
///
/// # Errors
/// The host's own part is wrong, or the folder of the tenants cannot be read; a wrong tenant's file is no error.
pub fn load(file: &Path) -> Result<Loaded, Vec<Problem>> {
    let host = load_host(file)?;
    let mut loaded = Loaded { tenants: Vec::new(), problems: Vec::new(), host };
    for file in tenant_files(file, &loaded.host.tenants)? {
        match TenantConfig::read(&file, &loaded.host) {
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
pub fn load_host(file: &Path) -> Result<HostConfig, Vec<Problem>> {
    HostConfig::check(file, read(file).map_err(|problem| vec![problem])?)
}

/// Finds an adapter for a tenant, by a name as its file may have it.
///
/// # Errors
/// `jackfield.toml` is wrong, or there is no such adapter.
pub fn adapter(host: &Path, tenant: &Path, name: &str) -> Result<AdapterFile, Vec<Problem>> {
    let host = load_host(host)?;
    tenant::find_adapter(tenant, &host, name).map_err(|problem| vec![problem])
}

/// Reads a duration as it may stand in a file, such as `5m`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
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

/// Reads one file by itself, so that whatever is wrong is found under its name.
fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Problem> {
    Figment::from(Toml::file_exact(file)).extract().map_err(|error| describe(file, error))
}

/// The first of figment's errors, without the lines of the file that its TOML errors repeat: they may hold what must
/// not be in a log.
fn describe(file: &Path, error: figment::Error) -> Problem {
    let Some(first) = error.into_iter().next() else { return Problem::file(file, "it cannot be read") };
    let key = first.path.join(".");
    let message = match &first.kind {
        Kind::UnknownField(name, known) => {
            // The path ends in the key that contains it, or in the unknown key itself.
            let parent = first.path.iter().take_while(|part| *part != name).cloned();
            let key = parent.chain([name.clone()]).collect::<Vec<_>>().join(".");
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            return Problem::key(file, key, format!("there is no such key here; there are {}", known.join(", ")));
        }
        Kind::MissingField(name) => {
            let key = first.path.iter().map(String::as_str).chain([name.as_ref()]).collect::<Vec<_>>().join(".");
            return Problem::key(file, key, "is missing");
        }
        Kind::Message(text) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
            lines.collect::<Vec<_>>().join(": ")
        }
        Kind::InvalidType(found, expected) => format!("{} is found where {expected} is expected", kind_of(found)),
        Kind::InvalidValue(_, expected) => format!("expected {expected}"),
        other => other.to_string(),
    };
    if key.is_empty() { Problem::file(file, message) } else { Problem::key(file, key, message) }
}

/// The type of a value without the value.
fn kind_of(found: &figment::error::Actual) -> &'static str {
    use figment::error::Actual;
    match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "an integer",
        Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests;
