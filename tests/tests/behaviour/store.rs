//! The plugin store: what is installed is verified, kept, found by version, and never run once it is damaged.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use jackfield_tests::{
    agent::Agent,
    artifacts,
    host::{Host, Setup, TempFolder, Tenant},
    skipped,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::plugins::variants;

/// A host's configuration with a store and without a host.
struct Place(TempFolder);

impl Place {
    fn new() -> Self {
        Self::with_plugins("")
    }

    /// With more lines in the table `plugins`.
    fn with_plugins(lines: &str) -> Self {
        let folder = TempFolder::new();
        fs::create_dir_all(folder.0.join("tenants")).unwrap();
        fs::write(folder.0.join("jackfield.toml"), format!("[plugins]\nstore = \"store\"\n{lines}\n")).unwrap();
        Self(folder)
    }

    fn config(&self) -> PathBuf {
        self.0.0.join("jackfield.toml")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// What `jackfield plugin …` prints, or what it says that is wrong.
    fn plugin(&self, arguments: &[&str]) -> Result<String, String> {
        run(Command::new(artifacts::jackfield()).arg("plugin").args(arguments).arg("--config").arg(self.config()))
    }

    /// What `jackfield check-config` says of a tenant with this adapter.
    fn check(&self, adapter: &str) -> Result<String, String> {
        let text = format!("adapter = \"{adapter}\"\n[auth]\nkind = \"none\"\n");
        self.file("tenants/acme.toml", text.as_bytes());
        run(Command::new(artifacts::jackfield()).arg("check-config").arg(self.config()))
    }

    fn copy(&self, content: &[u8]) -> PathBuf {
        copy(&self.0.0, content)
    }
}

/// The copy of a content in the store of a configuration's folder.
fn copy(folder: &Path, content: &[u8]) -> PathBuf {
    folder.join("store").join(format!("{}.so", sha256(content)))
}

fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stdout) + &text(done.stderr)) }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn odd() -> PathBuf {
    artifacts::library("jackfield-odd")
}

/// The odd adapter with a byte behind its end that no loader looks at: the same version, another content.
fn another_odd() -> Vec<u8> {
    let mut content = fs::read(odd()).unwrap();
    content.push(0);
    content
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Changes a file of the store, which nobody should.
fn spoil(copy: &Path) {
    fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).unwrap();
    let mut content = fs::read(copy).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(copy, content).unwrap();
}

async fn version(host: &Host, tenant: &str) -> Value {
    let mut agent = Agent::connect(host, tenant).await;
    agent.log_in("1001").await;
    let session = agent.session.clone();
    agent.command("session.request.odd.do", &session, json!({"what": "version"})).await["data"]["version"].clone()
}

#[test]
fn an_installed_library_is_printed_listed_and_found_by_its_version_and_its_digest() {
    let place = Place::new();
    let content = fs::read(odd()).unwrap();
    let digest = sha256(&content);
    let printed = place.plugin(&["install", path(&odd())]).unwrap();
    assert_eq!(printed, format!("odd 1.0.0 sha256:{digest}\n"));
    assert_eq!(fs::read(place.copy(&content)).unwrap(), content);
    let list = place.plugin(&["list"]).unwrap();
    for word in ["odd", "1.0.0", "Jackfield", &digest[..12]] {
        assert!(list.lines().nth(1).unwrap().split_whitespace().any(|it| it == word), "{word} in {list}");
    }
    for name in
        ["odd@1.0.0".to_owned(), format!("odd@sha256:{}", &digest[..8]), digest.clone(), path(&odd()).to_owned()]
    {
        let about: Value = serde_json::from_str(&place.plugin(&["inspect", &name, "--json"]).unwrap()).unwrap();
        assert_eq!((&about["sha256"], &about["manifest"]["id"]), (&json!(digest), &json!("odd")), "{name}");
    }
    let text = place.plugin(&["inspect", "odd@1.0.0"]).unwrap();
    for word in ["odd 1.0.0 by Jackfield", &digest, "channel.request.ready", "session.request.odd.do"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(place.check("odd@1.0.0").is_ok());
}

#[test]
fn what_is_no_plugin_or_has_another_digest_is_not_installed() {
    let place = Place::new();
    let text = place.file("text.so", b"not a library");
    assert!(place.plugin(&["install", path(&text)]).unwrap_err().contains("not a plugin"));
    let other = "0".repeat(64);
    let refused = place.plugin(&["install", path(&odd()), "--sha256", &other]).unwrap_err();
    assert!(refused.contains(&sha256(&fs::read(odd()).unwrap())) && refused.contains(&other), "{refused}");
    assert!(!place.0.0.join("store").exists(), "nothing is kept of either");
    let right = sha256(&fs::read(odd()).unwrap());
    place.plugin(&["install", path(&odd()), "--sha256", &right]).unwrap();
}

#[test]
fn a_version_with_two_contents_is_refused_in_one_line_that_names_both() {
    let place = Place::new();
    let another = place.file("another.so", &another_odd());
    place.plugin(&["install", path(&odd())]).unwrap();
    place.plugin(&["install", path(&another)]).unwrap();
    let digests = [sha256(&fs::read(odd()).unwrap()), sha256(&another_odd())];
    let refused = place.check("odd@1.0.0").unwrap_err();
    let line = refused.lines().find(|line| line.contains("acme.toml: adapter: ")).unwrap();
    for digest in &digests {
        assert!(line.contains(&digest[..12]), "{line}");
        assert!(place.check(&format!("odd@sha256:{}", &digest[..12])).is_ok());
    }
}

#[test]
fn libraries_that_tenants_name_by_path_are_not_found_by_version() {
    let place = Place::new();
    place.check(path(&odd())).unwrap();
    let refused = place.check("odd@1.0.0").unwrap_err();
    assert!(refused.contains("odd@1.0.0 is not installed"), "{refused}");
}

#[test]
fn a_library_that_cannot_be_loaded_here_is_not_installed_and_its_configuration_is_wrong() {
    let place = Place::new();
    for (old, new, before, _) in artifacts::UNLOADABLE {
        let file = place.file("broken.so", &artifacts::patched(&fs::read(odd()).unwrap(), old, new));
        for said in [place.plugin(&["install", path(&file)]), place.check(path(&file))] {
            let refused = said.unwrap_err();
            assert!(refused.contains(&format!("cannot be loaded here: {before}")), "{refused}");
        }
        assert!(place.plugin(&["inspect", path(&file)]).unwrap().contains(before));
    }
    assert!(place.plugin(&["list"]).unwrap().is_empty());
}

#[test]
fn a_spoilt_copy_is_named_and_refused_until_it_is_installed_again() {
    let place = Place::new();
    place.plugin(&["install", path(&odd())]).unwrap();
    let copy = place.copy(&fs::read(odd()).unwrap());
    spoil(&copy);
    for said in [place.plugin(&["list"]), place.check("odd@1.0.0"), place.plugin(&["inspect", "odd@1.0.0"])] {
        assert!(said.unwrap_err().contains("damaged"));
    }
    place.plugin(&["install", path(&odd())]).unwrap();
    assert!(place.plugin(&["list"]).is_ok() && place.check("odd@1.0.0").is_ok());
}

#[test]
fn where_keys_are_configured_only_signed_libraries_are_installed() {
    let folder = TempFolder::new();
    let minisign = |arguments: &[&str]| {
        let mut command = Command::new("minisign");
        command.current_dir(&folder.0).args(arguments).output()
    };
    if minisign(&["-G", "-W", "-p", "key.pub", "-s", "key.sec"]).is_err() {
        return skipped("minisign is not installed (Debian: apt-get install minisign)");
    }
    let key = fs::read_to_string(folder.0.join("key.pub")).unwrap().lines().last().unwrap().to_owned();
    let place = Place::with_plugins(&format!("keys = [\"{key}\"]"));
    let content = fs::read(odd()).unwrap();
    let library = folder.0.join("odd.so");
    fs::write(&library, &content).unwrap();
    let unsigned = place.plugin(&["install", path(&library)]).unwrap_err();
    assert!(unsigned.contains("must be signed"), "{unsigned}");
    let signed = minisign(&["-S", "-H", "-s", "key.sec", "-m", "odd.so"]).unwrap();
    assert!(signed.status.success(), "{signed:?}");
    place.plugin(&["install", path(&library)]).unwrap();
    assert!(place.plugin(&["list"]).unwrap().contains(&key), "who signed it is listed");
    place.check("odd@1.0.0").unwrap();
    fs::write(&library, another_odd()).unwrap();
    let changed = place.plugin(&["install", path(&library)]).unwrap_err();
    assert!(changed.contains("not that of any key"), "{changed}");
    let signature = place.copy(&content).with_extension("so.minisig");
    fs::remove_file(signature).unwrap();
    assert!(place.check("odd@1.0.0").unwrap_err().contains("must be signed"));
}

#[tokio::test]
async fn tenants_run_the_versions_that_they_name() {
    let later = &variants::all().odd_1_2_3;
    for isolation in ["none", "tenant"] {
        let host = Setup::new()
            .installed(&odd())
            .installed(later)
            .tenant(Tenant::new("now", "odd@1.0.0").isolation(isolation))
            .tenant(Tenant::new("later", "odd@1.2.3").isolation(isolation))
            .start()
            .await;
        assert_eq!(version(&host, "now").await, "1.0.0");
        assert_eq!(version(&host, "later").await, "1.2.3");
    }
}

#[tokio::test]
async fn a_copy_that_is_spoilt_while_the_host_runs_is_not_started_again() {
    let host =
        Setup::new().installed(&odd()).tenant(Tenant::new("acme", "odd@1.0.0").isolation("tenant")).start().await;
    let mut agent = Agent::connect(&host, "acme").await;
    agent.log_in("1001").await;
    // By a new file: the worker that runs has the old one still.
    let copy = copy(host.folder(), &fs::read(odd()).unwrap());
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, another_odd()).unwrap();
    let session = agent.session.clone();
    agent.send("session.request.odd.do", &session, json!({"what": "abort"})).await;
    agent.hears("session.linkchanged").await;
    host.logs("was changed and is not loaded").await;
    fs::remove_file(&copy).unwrap();
    fs::copy(odd(), &copy).unwrap();
    host.link_is_up("acme").await;
}
