//! The directory that plugin files are copied to before they are loaded.
//!
//! Owns: one copy for each content, under the name of its SHA-256. A loaded file must never change: overwriting one
//! crashes whoever has it loaded, and a file renamed over one that is loaded is not looked at by the loader. Copies
//! make both harmless, and let two versions of one library be loaded side by side. Must never: write to a file in
//! place.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
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

/// The SHA-256 of a content in hexadecimal digits, which is its name in the store.
pub(super) fn digest(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

/// Whether a file that is named by a SHA-256, as all are in a store, still has the content that it was named after.
pub(super) fn fits_its_name(path: &Path, digest: &str) -> Result<(), String> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".so"));
    match name.filter(|name| is_digest(name)) {
        Some(name) if name != digest => Err(format!(
            "damaged: its content is sha256:{digest:.12} and not what its name says; install the plugin again"
        )),
        _ => Ok(()),
    }
}

/// Whether a text is a whole SHA-256 as files in the store are named.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The path of the copy of a content.
pub(super) fn path_of(store: &Path, digest: &str) -> PathBuf {
    store.join(format!("{digest}.so"))
}

/// Says so where no code may be run from the file system of this path.
pub(crate) fn noexec(path: &Path) -> Option<String> {
    // What is not there yet will be where its nearest folder is.
    let there = path.ancestors().find(|path| path.exists())?;
    let about = rustix::fs::statvfs(there).ok()?;
    let noexec = about.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC);
    noexec.then(|| format!("{} is on a file system that is mounted noexec", path.display()))
}

/// Adds a content to the store, unless it is there. Returns its copy.
pub(super) fn add(store: &Path, digest: &str, content: &[u8]) -> Result<StoredCopy, String> {
    let path = path_of(store, digest);
    let say = |error: io::Error| format!("cannot be copied to {}: {error}", store.display());
    fs::create_dir_all(store).map_err(say)?;
    // A damaged copy is replaced; a process that has the old file open still sees that one.
    if let Some(copy) = StoredCopy::of(&path, content) {
        return Ok(copy);
    }
    write_whole(&path, content).map_err(say)?;
    StoredCopy::of(&path, content).ok_or_else(|| format!("its copy {} is not what was written", path.display()))
}

/// A file of the store, with the content that was read from it once.
pub(super) struct StoredCopy {
    path: PathBuf,
    stamp: FileStamp,
}

/// The metadata by which a change of a file is noticed. No program can change the content without changing this.
#[derive(PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl StoredCopy {
    /// The file with this path, if it has this content.
    fn of(path: &Path, content: &[u8]) -> Option<Self> {
        // Before it is read: a change while it is read shows as well.
        let stamp = FileStamp::of(path).ok()?;
        (fs::read(path).ok()? == content).then(|| Self { path: path.to_owned(), stamp })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it still has the content of this digest. It is only read where the system says that it was touched.
    pub(super) fn check(&self, sha256: &str) -> Result<(), String> {
        let say = |error: io::Error| format!("its copy {} cannot be read: {error}", self.path.display());
        if FileStamp::of(&self.path).map_err(say)? == self.stamp
            || digest(&fs::read(&self.path).map_err(say)?) == sha256
        {
            return Ok(());
        }
        Err(format!("its copy {} was changed and is not loaded; install the plugin again", self.path.display()))
    }
}

impl FileStamp {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        let changed = (about.ctime(), about.ctime_nsec());
        Ok(Self { device: about.dev(), inode: about.ino(), size: about.len(), changed })
    }
}

/// Copies the signature of a file beside the copy of that file.
pub(super) fn add_signature(original: &Path, copy: &Path) -> Result<(), String> {
    let (from, to) = (trust::beside(original), trust::beside(copy));
    if from == to {
        return Ok(());
    }
    let text = fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
    if fs::read(&to).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    write_whole(&to, &text).map_err(|error| format!("{} cannot be written: {error}", to.display()))
}

/// Writes a new file, and gives it its name when it is whole.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
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
