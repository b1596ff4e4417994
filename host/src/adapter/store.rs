//! The directory that plugin files are copied to before they are loaded.
//!
//! Owns: one copy for each content, under the name of its SHA-256. A loaded file must never change: overwriting one
//! crashes whoever has it loaded, and a file renamed over one that is loaded is not looked at by the loader. Copies
//! make both harmless, and let two versions of one library be loaded side by side. Must never: write to a file in
//! place.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::trust;

/// No plugin's file is larger.
const MAX_FILE: u64 = 1 << 30;

/// Reads a plugin's file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let about = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("not a file".to_owned());
    }
    if about.len() > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}

/// The name of a content.
pub(super) fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path of the copy of a content, made if it is not there.
pub(super) fn keep(store: &Path, digest: &str, content: &[u8]) -> Result<PathBuf, String> {
    let path = store.join(format!("{digest}.so"));
    let say = |error: io::Error| format!("cannot be copied to {}: {error}", store.display());
    fs::create_dir_all(store).map_err(say)?;
    // A copy that someone has spoilt is replaced; the loader of whoever has it open still sees the old file.
    if fs::read(&path).is_ok_and(|copy| copy == content) {
        return Ok(path);
    }
    put(&path, content).map_err(say)?;
    Ok(path)
}

/// Keeps a signature beside the copy that it is of.
pub(super) fn keep_signature(original: &Path, copy: &Path) -> Result<(), String> {
    let (from, to) = (trust::beside(original), trust::beside(copy));
    if from == to {
        return Ok(());
    }
    let text = fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
    if fs::read(&to).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    put(&to, &text).map_err(|error| format!("{} cannot be written: {error}", to.display()))
}

/// The copies in a store.
pub(super) fn list(store: &Path) -> Result<Vec<PathBuf>, String> {
    let say = |error: io::Error| format!("{} cannot be read: {error}", store.display());
    let entries = match fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(say)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(say)?.path();
        if path.extension().is_some_and(|extension| extension == "so") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Writes a new file and gives it its name when it is whole.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("{}-{:x}", std::process::id(), unique()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(0o555))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}
