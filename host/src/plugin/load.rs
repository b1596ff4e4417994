//! Opening a plugin's file.
//!
//! Owns: the one place where a library is mapped into this process and its interface is checked. Must never: load a
//! file that may change, or unload one; the store's copies are never written to, and a mapped library stays.

#![allow(unsafe_code)]

use std::{error::Error as _, path::Path};

use jackfield_plugin_api::abi::{self, Checked};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde::{Deserialize, Serialize};

use super::store;

/// What the system's loader says of a want that may pass: of memory, of open files.
const MAY_PASS: [&str; 3] = ["Cannot allocate memory", "Too many open files", "Resource temporarily unavailable"];

/// Why a library does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadFailure {
    /// One line.
    pub reason: String,
    /// Whether the same may succeed later, without anybody doing anything.
    pub may_pass: bool,
}

impl LoadFailure {
    /// One that stays until the file or the system is another one.
    pub(super) fn lasting(reason: String) -> Self {
        Self { reason, may_pass: false }
    }
}

/// What is not known to last.
impl From<String> for LoadFailure {
    fn from(reason: String) -> Self {
        Self { reason, may_pass: true }
    }
}

/// Opens a copy from the store, whose section says that it was built with this version of the API. Its static
/// initialisers run.
///
/// # Errors
/// One line that says why it cannot be used.
pub(super) fn open(copy: &Path, said: &str) -> Result<Checked, LoadFailure> {
    // SAFETY: opening runs the library's initialisers, which is what an operator asks for who configures a plugin to
    // run inside the host.
    let library = unsafe { Library::open(Some(copy), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| refused(copy, &error))?;
    // SAFETY: only the symbol's address is taken here.
    let symbol = unsafe { library.get::<*const ()>(abi::HEADER_SYMBOL) };
    let symbol =
        symbol.map_err(|_| LoadFailure::lasting("not a plugin: it does not export what plugins export".to_owned()))?;
    let address = symbol.as_raw_ptr().cast_const().cast::<()>();
    // Threads and thread-locals of a library make unloading unsound, so it stays as long as the process.
    std::mem::forget(library);
    // SAFETY: the address is that of the header's symbol, in a library that is never unloaded.
    let checked = unsafe { abi::negotiate(address) }.map_err(|incompatible| {
        tracing::debug!(copy = %copy.display(), "{}", incompatible.detail);
        LoadFailure::lasting(incompatible.reason)
    })?;
    let real = checked.api_version();
    if real != said {
        let reason = format!("its manifest section says plugin API {said}, but it was built with {real}");
        return Err(LoadFailure::lasting(reason));
    }
    Ok(checked)
}

/// What the system's loader says, in whose own words the cause is: a symbol, a library, a version.
fn refused(copy: &Path, error: &libloading::Error) -> LoadFailure {
    let words = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    // The copy's name says nothing to the operator.
    let words = words.strip_prefix(&format!("{}: ", copy.display())).unwrap_or(&words).replace('\n', " ");
    let noexec = store::noexec(copy).map_or_else(String::new, |what| format!(" ({what})"));
    let may_pass = MAY_PASS.iter().any(|passing| words.contains(passing));
    LoadFailure { reason: format!("the system's loader refuses it: {words}{noexec}"), may_pass }
}
