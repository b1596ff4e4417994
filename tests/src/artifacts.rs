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

/// The `jackfield` binary.
pub fn jackfield() -> PathBuf {
    folder().join("jackfield")
}

/// The library of a crate of the workspace.
pub fn library(package: &str) -> PathBuf {
    folder().join(format!("lib{}.so", package.replace('-', "_")))
}
