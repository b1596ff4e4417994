//! Where an adapter's library is: what a tenant's file calls it, looked for on the disk.
//!
//! Owns: the folders that are searched, in which order. Must never: read a library; that is `adapter`'s.

use std::path::{Path, PathBuf};

use super::{HostConfig, Problem};
use crate::plugin::InstalledReference;

/// The library of an adapter, as a tenant's file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdapterFile {
    /// As written.
    pub name: String,
    /// Where it was found.
    pub path: PathBuf,
}

/// `ID@VERSION` and `ID@sha256:PREFIX` are looked for among the installed ones, a bare name beside the executable and in
/// `plugins.path`; anything else is a file, from the folder of the tenant's file.
pub(super) fn locate(file: &Path, host: &HostConfig, name: &str) -> Result<AdapterFile, Problem> {
    let found = |path: PathBuf| AdapterFile { name: name.to_owned(), path };
    let missing = |message: String| Problem::key(file, "adapter", message);
    if let Some(wanted) = InstalledReference::by_name(name) {
        return wanted.find(&host.plugin_store).map(|installed| found(installed.path)).map_err(missing);
    }
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !bare {
        let path = file.parent().unwrap_or(Path::new(".")).join(name);
        return if path.is_file() {
            Ok(found(path))
        } else {
            Err(missing(format!("there is no file {}", path.display())))
        };
    }
    let library = format!("{}jackfield_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let folders: Vec<PathBuf> = beside.into_iter().chain(host.plugin_path.iter().cloned()).collect();
    if let Some(path) = folders.iter().map(|folder| folder.join(&library)).find(|path| path.is_file()) {
        return Ok(found(path));
    }
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(missing(format!("{library} is in none of {}", folders.join(", "))))
}
