//! Opening a plugin's file.
//!
//! Owns: the one place where a library is mapped into this process and its interface is checked. Must never: load a
//! file that may change, or unload one; the store's copies are never written to, and a mapped library stays.

#![allow(unsafe_code)]

use std::path::Path;

use jackfield_plugin_api::abi::{self, Checked};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Opens a copy from the store, whose section says that it was built with this version of the API. Its static
/// initialisers run.
///
/// # Errors
/// One line that says why it cannot be used.
pub(super) fn open(copy: &Path, said: &str) -> Result<Checked, String> {
    // SAFETY: opening runs the library's initialisers, which is what an operator asks for who configures a plugin to
    // run inside the host.
    let library = unsafe { Library::open(Some(copy), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| format!("the system's loader refuses it: {error}"))?;
    // SAFETY: only the symbol's address is taken here.
    let symbol = unsafe { library.get::<*const ()>(abi::HEADER_SYMBOL) };
    let symbol = symbol.map_err(|_| "not a plugin: it does not export what plugins export".to_owned())?;
    let address = symbol.as_raw_ptr().cast_const().cast::<()>();
    // Threads and thread-locals of a library make unloading unsound, so it stays as long as the process.
    std::mem::forget(library);
    // SAFETY: the address is that of the header's symbol, in a library that is never unloaded.
    let checked = unsafe { abi::negotiate(address) }.map_err(|incompatible| {
        tracing::debug!(copy = %copy.display(), "{}", incompatible.detail);
        incompatible.reason
    })?;
    let real = checked.api_version();
    if real != said {
        return Err(format!("its manifest section says plugin API {said}, but it was built with {real}"));
    }
    Ok(checked)
}
