//! The files in `host/protocol/schema/` are what the types say.
//!
//! `JACKFIELD_WRITE_SCHEMAS=1 cargo test -p jackfield-protocol --features schema --test schema` writes them anew.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jackfield_protocol::schema::files;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// Every file below a folder, by its path from there.
fn found(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            all.extend(found(&path).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            all.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    all
}

/// The list of the files, for the host to build them in.
fn list(paths: impl Iterator<Item = String>) -> String {
    let mut list = "//! The files of `schema/`, for the host to serve. Written by `tests/schema.rs`.\n\n\
        /// Every file by its path, and its content.\n#[rustfmt::skip]\npub const FILES: &[(&str, &str)] = &[\n"
        .to_owned();
    for path in paths {
        list.push_str(&format!("    (\"{path}\", include_str!(\"../schema/{path}\")),\n"));
    }
    list.push_str("];\n");
    list
}

#[test]
fn the_files_are_what_the_types_say() {
    let told: BTreeMap<String, String> = files()
        .into_iter()
        .map(|(path, schema)| (path, serde_json::to_string_pretty(&schema).unwrap() + "\n"))
        .collect();
    let listed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema_files.rs");
    let list = list(told.keys().cloned());
    if std::env::var_os("JACKFIELD_WRITE_SCHEMAS").is_some() {
        let _ = fs::remove_dir_all(folder());
        for (path, text) in &told {
            let path = folder().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(&listed, &list).unwrap();
    }
    let found = found(&folder());
    let again = "they are written anew by JACKFIELD_WRITE_SCHEMAS=1 cargo test -p jackfield-protocol --features schema";
    assert_eq!(told.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "{again}");
    for (path, text) in &told {
        assert_eq!(text, &found[path], "{path}: {again}");
    }
    assert_eq!(list, fs::read_to_string(listed).unwrap(), "{again}");
}
