//! Which of the store's plugins were installed, and finding the one that a tenant's file or an operator asks for.
//!
//! Owns: a record beside each installed copy, `DIGEST.json`, with its name and version. Copies without one are those of
//! libraries that tenants name by their paths: nobody can ask for them by version. Must never: read a library; what is
//! found here is verified like any other file before it is used.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use jackfield_plugin_api::Manifest;
use serde::{Deserialize, Serialize};

use super::store;

/// How many digits of a digest are shown.
const SHORT: usize = 12;
/// How many must be given.
const SHORTEST: usize = 6;

/// One installed plugin, as the store's record says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    /// The adapter's name.
    pub id: String,
    /// The library's version.
    pub version: String,
    /// The SHA-256 of its content, in hexadecimal digits.
    pub digest: String,
    /// The copy in the store.
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    version: String,
}

/// Records that a copy is installed.
pub(super) fn record(store: &Path, digest: &str, manifest: &Manifest) -> Result<(), String> {
    let record = Record { id: manifest.id.clone(), version: manifest.version.clone() };
    let text = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
    let path = store.join(format!("{digest}.json"));
    if fs::read(&path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    store::write_whole(&path, &text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// What is installed in a store, by name and version.
pub(super) fn all(store: &Path) -> Result<Vec<Installed>, String> {
    let say = |error: io::Error| format!("{} cannot be read: {error}", store.display());
    let entries = match fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(say)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(say)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        let Some(digest) = name.filter(|name| store::is_digest(name)) else { continue };
        let bytes = fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{} is not the record of a plugin: {error}", path.display()))?;
        let (digest, path) = (digest.to_owned(), store::path_of(store, digest));
        found.push(Installed { id: record.id, version: record.version, digest, path });
    }
    found.sort();
    Ok(found)
}

/// An installed plugin as someone asks for it: `ID@VERSION`, `ID@sha256:PREFIX`, `sha256:PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledReference {
    id: Option<String>,
    which: Which,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Version(String),
    Digest(String),
}

impl InstalledReference {
    /// Reads `ID@VERSION` or `ID@sha256:PREFIX`; `None`: this is neither, but a bare name or a path.
    #[must_use]
    pub fn by_name(text: &str) -> Option<Self> {
        let (id, which) = text.split_once('@').filter(|_| !text.contains('/'))?;
        let which = match which.strip_prefix("sha256:") {
            Some(digest) => Which::Digest(digest.to_owned()),
            None => Which::Version(which.to_owned()),
        };
        Some(Self { id: Some(id.to_owned()), which })
    }

    /// Reads a digest or its first digits, with or without `sha256:` before them.
    #[must_use]
    pub fn by_digest(text: &str) -> Option<Self> {
        let digest = text.strip_prefix("sha256:").unwrap_or(text);
        is_prefix(digest).then(|| Self { id: None, which: Which::Digest(digest.to_owned()) })
    }

    /// Finds the one that is meant.
    ///
    /// # Errors
    /// One line: none is, or more than one.
    pub fn find(&self, store: &Path) -> Result<Installed, String> {
        if let Which::Digest(prefix) = &self.which
            && !is_prefix(prefix)
        {
            return Err(format!("{self}: sha256: wants the first {SHORTEST} to 64 digits of 0-9 and a-f"));
        }
        let all = all(store)?;
        let mut meant: Vec<&Installed> = all.iter().filter(|it| self.means(it)).collect();
        match (meant.pop(), meant.pop()) {
            (None, _) => Err(format!("{self} is not installed in {}; {}", store.display(), self.instead(&all))),
            (Some(one), None) => Ok(one.clone()),
            (Some(one), Some(other)) => {
                let (one, other) = (&other.digest, &one.digest);
                // As many digits as tell the two apart.
                let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
                let (one, other) = (&one[..(same + 1).max(SHORT)], &other[..(same + 1).max(SHORT)]);
                let say = self.id.as_ref().map_or_else(String::new, |id| format!("{id}@"));
                Err(format!(
                    "{self} is installed with two contents, sha256:{one} and sha256:{other}; say \"{say}sha256:{one}\" \
                     or the other"
                ))
            }
        }
    }

    fn means(&self, plugin: &Installed) -> bool {
        self.id.as_ref().is_none_or(|id| *id == plugin.id)
            && match &self.which {
                Which::Version(version) => *version == plugin.version,
                Which::Digest(prefix) => plugin.digest.starts_with(prefix),
            }
    }

    /// What there is of the same name, or at all.
    fn instead(&self, all: &[Installed]) -> String {
        let named = |it: &&Installed| self.id.as_ref().is_none_or(|id| *id == it.id);
        let mut names: Vec<String> = all.iter().filter(named).map(|it| format!("{}@{}", it.id, it.version)).collect();
        names.dedup();
        match names.is_empty() {
            true if all.is_empty() => "nothing is".to_owned(),
            true => "other adapters are".to_owned(),
            false => format!("there is {}", names.join(", ")),
        }
    }
}

/// Whether a text can be the beginning of a digest that says which.
fn is_prefix(text: &str) -> bool {
    (SHORTEST..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl fmt::Display for InstalledReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            write!(f, "{id}@")?;
        }
        match &self.which {
            Which::Version(version) => f.write_str(version),
            Which::Digest(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A store with records of these: id, version, first digits of the digest. Gone with the value.
    struct Store(PathBuf);

    impl Store {
        fn with(plugins: &[(&str, &str, &str)]) -> Self {
            let mut random = [0; 8];
            getrandom::fill(&mut random).unwrap();
            let store = std::env::temp_dir().join(format!("jackfield-installed-{:x}", u64::from_ne_bytes(random)));
            fs::create_dir_all(&store).unwrap();
            for (id, version, digits) in plugins {
                let record = Record { id: (*id).to_owned(), version: (*version).to_owned() };
                let file = store.join(format!("{digits:0<64}.json"));
                fs::write(file, serde_json::to_vec(&record).unwrap()).unwrap();
            }
            Self(store)
        }

        fn find(&self, wanted: &str) -> Result<String, String> {
            let wanted = InstalledReference::by_name(wanted).or_else(|| InstalledReference::by_digest(wanted)).unwrap();
            wanted.find(&self.0).map(|it| it.digest.trim_end_matches('0').to_owned())
        }
    }

    impl Drop for Store {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_plugin_is_found_by_version_and_by_digest() {
        let store = Store::with(&[("one", "1.0.0", "aaaaaa"), ("one", "1.1.0", "bbbbbb"), ("two", "1.0.0", "cccccc")]);
        for (wanted, found) in [
            ("one@1.0.0", "aaaaaa"),
            ("one@1.1.0", "bbbbbb"),
            ("two@1.0.0", "cccccc"),
            ("one@sha256:bbbbbb", "bbbbbb"),
            ("sha256:cccccc", "cccccc"),
            ("cccccc00", "cccccc"),
        ] {
            assert_eq!(store.find(wanted).as_deref(), Ok(found), "{wanted}");
        }
    }

    #[test]
    fn what_is_not_installed_is_refused_with_what_there_is() {
        let store = Store::with(&[("one", "1.0.0", "aaaaaa"), ("one", "1.1.0", "bbbbbb")]);
        let refused = store.find("one@2.0.0").unwrap_err();
        assert!(refused.starts_with("one@2.0.0 is not installed"), "{refused}");
        assert!(refused.contains("there is one@1.0.0, one@1.1.0"), "{refused}");
        assert!(store.find("two@1.0.0").unwrap_err().contains("other adapters are"));
        assert!(store.find("two@sha256:aaaaaa").unwrap_err().contains("not installed"), "another id's content");
        assert!(store.find("one@sha256:aaa").unwrap_err().contains("the first 6 to 64 digits"));
        assert!(Store::with(&[]).find("one@1.0.0").unwrap_err().contains("nothing is"));
    }

    #[test]
    fn two_contents_of_one_version_are_both_named_until_one_is_chosen() {
        let digits = ["aaaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaa2"];
        let store = Store::with(&[("one", "1.0.0", digits[0]), ("one", "1.0.0", digits[1])]);
        let refused = store.find("one@1.0.0").unwrap_err();
        assert_eq!(refused.lines().count(), 1);
        for digits in digits {
            assert!(refused.contains(&format!("sha256:{digits}")), "{refused}");
            assert_eq!(store.find(&format!("one@sha256:{digits}")).as_deref(), Ok(digits));
        }
    }

    #[test]
    fn names_and_paths_ask_for_nothing_installed() {
        for text in ["simulator", "../libs/odd@2.so", "./odd@2.so", "/opt/odd.so"] {
            assert_eq!(InstalledReference::by_name(text), None, "{text}");
        }
        for text in ["lib.so", "abc", "sha256:xyzxyz"] {
            assert_eq!(InstalledReference::by_digest(text), None, "{text}");
        }
    }
}
