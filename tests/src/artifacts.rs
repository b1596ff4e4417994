//! The files under test: the `jackfield` binary and the plugins, built once, in the profile of the test itself.
//!
//! `cargo test` does not build another package's binary or `cdylib`, so the harness asks cargo for them. Whole workspace
//! and same profile, so that hardly anything is compiled that `cargo test --workspace` has not.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The folder that holds `jackfield` and the plugins, all built.
pub fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own = std::env::current_exe().expect("the test has a file");
        // …/target/<profile>/deps/<test>, or …/target/<profile>/<binary>
        let mut folder = own.parent().expect("it is in a folder");
        if folder.ends_with("deps") {
            folder = folder.parent().expect("deps is in a folder");
        }
        let profile = folder.file_name().expect("a profile's folder").to_string_lossy().into_owned();
        let target = folder.parent().expect("in the target folder");
        let profile = if profile == "debug" { "dev" } else { profile.as_str() };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--profile", profile, "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "cannot build:\n{}", String::from_utf8_lossy(&built.stderr));
        folder.to_owned()
    })
}

/// A file with a text in it replaced by another of the same length, at every place.
///
/// # Panics
/// The text is not in the file, or the other is longer or shorter.
#[must_use]
pub fn patched(file: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut patched = file.to_vec();
    let places: Vec<_> = (0..=file.len() - old.len()).filter(|&at| file[at..].starts_with(old.as_bytes())).collect();
    assert!(!places.is_empty(), "{old:?} is not in the file");
    for at in places {
        patched[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    patched
}

/// What a library may need and this system does not have: the text to replace in it, by what, and what is then told of it
/// before it is loaded, and by the system's loader.
pub const UNLOADABLE: [(&str, &str, &str, &str); 3] = [
    ("\0pthread_join\0", "\0pthread_joik\0", "it needs pthread_joik", "undefined symbol: pthread_joik"),
    ("\0libm.so.6\0", "\0libq.so.6\0", "it needs the library libq.so.6", "libq.so.6: cannot open shared object file"),
    ("\0GLIBC_2.34\0", "\0GLIBC_2.99\0", "it needs GLIBC_2.99 of libc.so.6", "version `GLIBC_2.99' not found"),
];

/// The `jackfield` binary.
pub fn jackfield() -> PathBuf {
    folder().join("jackfield")
}

/// The library of a crate of the workspace.
pub fn library(package: &str) -> PathBuf {
    folder().join(format!("lib{}.so", package.replace('-', "_")))
}
