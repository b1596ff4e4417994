//! What is wrong is named by file and key, and harms no one else.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

/// A folder with `jackfield.toml` and tenants' files; gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(host: &str, tenants: &[(&str, &str)]) -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let folder = std::env::temp_dir().join(format!("jackfield-config-{:x}", u64::from_ne_bytes(random)));
        std::fs::create_dir_all(folder.join("tenants")).unwrap();
        std::fs::write(folder.join("jackfield.toml"), host).unwrap();
        std::fs::write(folder.join("plugin.so"), "not read here").unwrap();
        for (name, text) in tenants {
            std::fs::write(folder.join("tenants").join(name), text).unwrap();
        }
        Self(folder)
    }

    fn load(&self) -> Result<Loaded, Vec<Problem>> {
        load(&Source::file(&self.0.join("jackfield.toml")))
    }

    /// The problems of a tenant's file with this text.
    fn tenant(text: &str) -> String {
        let folder = Self::new("", &[("acme.toml", text)]);
        let loaded = folder.load().unwrap();
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        for problem in &problems {
            assert!(problem.contains("acme.toml"), "{problem}");
        }
        problems.join("\n")
    }

    /// The problems of a host's file with this text.
    fn host(text: &str) -> String {
        let folder = Self::new(text, &[]);
        let problems = folder.load().unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const GOOD: &str = "adapter = \"../plugin.so\"\n[auth]\nkind = \"none\"\n";

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let loaded = Folder::new("", &[("acme.toml", GOOD)]).load().unwrap();
    assert_eq!(loaded.host.listener.address.to_string(), "127.0.0.1:8080");
    assert_eq!(loaded.host.operations.unwrap().address.to_string(), "127.0.0.1:9464");
    assert_eq!(loaded.tenants[0].limits.message_bytes, 65_536);
    assert_eq!(loaded.tenants[0].id, "acme");
    assert_eq!(loaded.tenants[0].limits, TenantLimits::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
}

#[test]
fn a_tenants_limits_stand_on_top_of_the_hosts() {
    let host = "[limits]\nsessions = 7\nresume_grace = \"5s\"\n";
    let tenant = format!("{GOOD}[limits]\nsessions = 9\n");
    let loaded = Folder::new(host, &[("acme.toml", &tenant)]).load().unwrap();
    assert_eq!(loaded.tenants[0].limits.sessions, 9);
    assert_eq!(loaded.tenants[0].limits.resume_grace.as_secs(), 5);
}

#[test]
fn a_tenant_says_how_it_is_upgraded() {
    let tenant = format!("{GOOD}[upgrade]\ncanary = 0.1\nobserve = \"5m\"\n");
    let loaded = Folder::new("", &[("acme.toml", &tenant), ("plain.toml", GOOD)]).load().unwrap();
    let UpgradeConfig { canary, observe, .. } = loaded.tenants[0].upgrade;
    assert!((canary - 0.1).abs() < 1e-9 && observe.as_secs() == 300);
    assert!(loaded.tenants[1].upgrade.canary.abs() < 1e-9, "all at once unless told otherwise");
    for share in ["1.0", "-0.5", "nan"] {
        let said = Folder::tenant(&format!("{GOOD}[upgrade]\ncanary = {share}\n"));
        assert!(said.contains("upgrade.canary"), "{said}");
    }
}

#[test]
fn one_wrong_tenant_is_named_and_the_others_are_loaded() {
    let folder = Folder::new("", &[("acme.toml", GOOD), ("broken.toml", "adaptor = \"x\"\n"), ("zeta.toml", GOOD)]);
    let loaded = folder.load().unwrap();
    assert_eq!(loaded.tenants.iter().map(|tenant| &*tenant.id).collect::<Vec<_>>(), ["acme", "zeta"]);
    let problem = loaded.problems[0].to_string();
    assert!(problem.contains("broken.toml: adaptor: there is no such key"), "{problem}");
    assert!(problem.contains("`adapter`"), "the known keys are listed: {problem}");
}

#[test]
fn wrong_keys_types_and_values_are_named_by_their_keys() {
    for (text, expected) in [
        ("[auth]\nkind = \"none\"\n", "adapter: is missing"),
        ("adapter = \"../plugin.so\"\n", "auth: is missing"),
        (&format!("{GOOD}tokens = []\n"), "auth.tokens: goes with kind"),
        ("adapter = \"../plugin.so\"\n[auth]\nkind = \"token\"\n", "auth.tokens: is missing"),
        ("adapter = \"../plugin.so\"\n[auth]\nkind = \"magic\"\n", "auth.kind: "),
        ("adapter = \"../none.so\"\n[auth]\nkind = \"none\"\n", "adapter: there is no file"),
        ("adapter = \"nosuch\"\n[auth]\nkind = \"none\"\n", "jackfield_nosuch"),
        (&format!("isolation = \"process\"\n{GOOD}"), "isolation"),
        (&format!("{GOOD}[limits]\nsessions = 0\n"), "limits.sessions: 0 is not between 1 and"),
        (&format!("{GOOD}[limits]\nsessions = \"many\"\n"), "limits.sessions: a string is found"),
        (&format!("{GOOD}[limits]\nresume_grace = \"soon\"\n"), "limits.resume_grace: expected a duration"),
        (&format!("{GOOD}[limits]\nsesions = 5\n"), "limits.sesions: there is no such key"),
        (&format!("{GOOD}settings = 5\n"), "auth.settings: there is no such key"),
        ("adapter = \"unclosed\n", "line 1"),
    ] {
        let problems = Folder::tenant(text);
        assert!(problems.contains(expected), "{text}\ngives {problems:?}\nand not {expected:?}");
    }
    for (text, expected) in [
        ("[listener]\naddress = \"somewhere\"\n", "listener.address: "),
        ("[listener]\nadress = \"127.0.0.1:1\"\n", "listener.adress: there is no such key"),
        ("[limits]\nmessage_bytes = 1\n", "limits.message_bytes: 1 is not between"),
        ("[limits]\nqueued_bytes = \"1KiB\"\n", "limits.queued_bytes: 1024 bytes are not between"),
        ("[listener]\ntrusted_proxies = [\"proxy.example\"]\n", "listener.trusted_proxies: addresses, and networks"),
        ("[log]\nfilter = \"=loud=\"\n", "log.filter: "),
        ("[tenants]\ndirectory = \"nowhere\"\n", "tenants.directory: "),
        ("[limits]\ncommands_in_flight = 0\n", "limits.commands_in_flight: "),
        ("[traces]\nendpoint = \"collector:4318\"\n", "traces.endpoint: \"collector:4318\" is no address such as"),
        ("[traces]\nratio = 1.5\n", "traces.ratio: a share is a number from 0 to 1"),
        ("[traces]\nendpoint = \"http://[::1]:4318/v1/traces\"\nheaders_file = \"nowhere\"\n", "traces.headers_file: "),
        ("[log]\nformat = \"loud\"\n", "log.format: it is none of \"auto\", \"text\", \"json\""),
        ("listener = 5\n", "listener: an integer is found where a table is expected"),
        ("[listener]\nmax_connections = -1\n", "listener.max_connections: expected a whole number, 0 or larger"),
        ("[limits]\nsessions = \"many\"\n", "limits.sessions: a string is found where a whole number, 0 or larger is"),
        ("[traces]\nratio = \"half\"\n", "traces.ratio: a string is found where a number is expected"),
        ("[listener]\norigins = \"all\"\n", "listener.origins: a string is found where a list is expected"),
    ] {
        let problems = Folder::host(text);
        assert!(problems.contains(expected), "{text}\ngives {problems:?}\nand not {expected:?}");
    }
}

#[test]
fn every_key_is_documented_and_says_whether_a_reload_is_enough() {
    let documented = explain::shipped();
    let mut declared: Vec<&str> = diff::KEYS.iter().map(|(key, _)| *key).collect();
    declared.sort_unstable();
    assert_eq!(documented.keys().map(String::as_str).collect::<Vec<_>>(), declared);
    for (key, effect) in diff::KEYS {
        let about = &documented[*key].about;
        assert!(about.len() > 10, "{key} is not explained: {about:?}");
        assert_eq!(about.contains("(restart)"), *effect == WhenApplied::Restart, "{key}: {about}");
    }
    let raw = Folder::new("", &[]).load().unwrap().values;
    let read: Vec<&str> = raw.keys().map(String::as_str).collect();
    let unset = ["plugins.store", "listener.console", "traces.endpoint", "traces.headers_file"];
    declared.retain(|key| !unset.contains(key) && !key.contains(".tls."));
    assert_eq!(read, declared, "a key has a value in the shipped file");
}

#[test]
fn an_argument_stands_above_the_file_and_is_named_where_it_is_wrong() {
    let folder = Folder::new("[limits]\nsessions = 7\nconnections = 8\n", &[("acme.toml", GOOD)]);
    let mut source = Source::file(&folder.0.join("jackfield.toml"));
    let said = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
    source.arguments = vec![said("limits.sessions=9"), said("listener.address=127.0.0.1:7"), said("log.filter=debug")];
    let loaded = load(&source).unwrap();
    assert_eq!((loaded.tenants[0].limits.sessions, loaded.tenants[0].limits.connections), (9, 8));
    assert_eq!((loaded.host.listener.address.port(), loaded.host.log_filter.as_str()), (7, "debug"));
    for (wrong, message) in [
        ("limits.sessions=0", "limits.sessions: 0 is not between 1 and 1000000 (--set)"),
        ("limits.sesions=1", "limits.sesions: there is no such key here"),
        ("listener.address=somewhere", "(from --set)"),
    ] {
        source.arguments = vec![said(wrong)];
        let problems = load(&source).unwrap_err();
        assert!(problems[0].to_string().contains(message), "{wrong}: {}", problems[0]);
    }
}

#[test]
fn what_has_changed_is_told_by_when_it_takes_effect() {
    let values = |text: &str| Folder::new(text, &[]).load().unwrap().values;
    let running = values("");
    let read = values("[limits]\nsessions = 7\n[listener]\nheader_timeout = \"20s\"\n[plugins]\nstore = \"x\"\n");
    let changes = diff::changes(&running, &read);
    assert_eq!(changes.applied, ["limits.sessions"]);
    assert_eq!(changes.restart, ["listener.header_timeout", "plugins.store"]);
    let running = diff::taken_over(&running, &read);
    let again = diff::changes(&running, &read);
    assert!(again.applied.is_empty() && again.restart == changes.restart, "until the restart it is told each time");
    assert_eq!(diff::changes(&running, &values("[limits]\nsessions = 7\n")), Changes::default(), "taken back");
}

#[test]
fn a_key_is_explained_with_where_its_value_comes_from() {
    let tenant = format!("{GOOD}[limits]\nconnections = 9\n[settings]\npassword = \"hunter2\"\n");
    let folder = Folder::new("[limits]\nsessions = 7\n", &[("acme.toml", &tenant)]);
    let mut source = Source::file(&folder.0.join("jackfield.toml"));
    source.arguments = vec![("shutdown.deadline".to_owned(), "3s".to_owned())];
    let of = |tenant: Option<&str>, key: &str| {
        let all = explain(&source, tenant).unwrap();
        assert!(!format!("{all:?}").contains("hunter2"));
        all.into_iter().find(|it| it.key == key).unwrap()
    };
    let sessions = of(None, "limits.sessions");
    assert_eq!((sessions.value.as_deref(), sessions.default.as_deref()), (Some("7"), Some("1000")));
    assert!(matches!(sessions.origin, Origin::File(_)) && sessions.about.contains("quota_exceeded"), "{sessions:?}");
    assert_eq!(of(None, "shutdown.deadline").origin, Origin::Argument);
    assert_eq!(of(None, "limits.connections").origin, Origin::Default);
    assert_eq!(of(None, "listener.address").effect, WhenApplied::Restart);
    assert_eq!(of(Some("acme"), "limits.connections").value.as_deref(), Some("9"));
    assert_eq!(of(Some("acme"), "limits.sessions").value.as_deref(), Some("7"), "the host's");
    let isolation = of(Some("acme"), "isolation");
    assert_eq!((isolation.value.as_deref(), isolation.origin), (Some("\"tenant\""), Origin::Default));
}

#[test]
fn several_problems_of_one_tenant_are_all_named() {
    let problems = Folder::tenant("adapter = \"nosuch\"\nisolation = \"x\"\n[auth]\nkind = \"none\"\n");
    assert!(problems.contains("adapter:") && problems.contains("isolation:"), "{problems}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let folder = Folder::new("", &[]);
    let problems = load(&Source::file(&folder.0.join("none.toml"))).unwrap_err();
    assert!(problems[0].to_string().contains("none.toml"), "{}", problems[0]);
}

#[test]
fn a_tenants_name_comes_from_its_file_and_is_checked() {
    let loaded = Folder::new("", &[("Big_Name.toml", GOOD), (".hidden.toml", "="), ("notes.txt", "=")]).load().unwrap();
    assert!(loaded.tenants.is_empty());
    assert_eq!(loaded.problems.len(), 1);
    assert!(loaded.problems[0].to_string().contains("Big_Name.toml"));
}

#[test]
fn auth_none_is_refused_beyond_loopback() {
    let folder = Folder::new("[listener]\naddress = \"0.0.0.0:0\"\n", &[("acme.toml", GOOD)]);
    let loaded = folder.load().unwrap();
    assert!(loaded.tenants.is_empty());
    assert!(loaded.problems[0].to_string().contains("auth.kind: \"none\" is only possible"), "{:?}", loaded.problems);
}

#[test]
fn operators_beyond_loopback_must_show_who_they_are() {
    let hash = format!("sha256:{}", "0a".repeat(32));
    let token = format!("tokens = [{{ name = \"prometheus\", hash = \"{hash}\", may = \"read\" }}]");
    let host = |lines: &str| Folder::new(&format!("[operations]\n{lines}\n"), &[]).load();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let lines = format!("address = \"{address}\"");
        let problems = host(&lines).unwrap_err();
        assert!(problems[0].to_string().contains("operations.address: beyond loopback"), "{problems:?}");
        let tokens = host(&format!("{lines}\n{token}")).unwrap().host.operations.unwrap().tokens;
        assert_eq!((&*tokens[0].token.name, tokens[0].may), ("prometheus", OperatorRight::Read));
        assert!(host(&format!("{lines}\nenabled = false")).is_ok(), "where nobody listens nobody gets in");
    }
    assert!(host("address = \"[::1]:0\"").is_ok());
    for (wrong, named) in [
        (token.replace("sha256:", "hunter2"), "operations.tokens.0.hash: must be"),
        (token.replace("read", "look"), "operations.tokens.0.may: it is none of \"read\", \"act\""),
        ("[operations.tls]\nkey = \"x\"".to_owned(), "operations.tls.certificate: it must be named"),
    ] {
        let said = host(&wrong).unwrap_err()[0].to_string();
        assert!(said.contains(named) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_token_written_in_place_of_its_hash_is_not_repeated() {
    let text =
        "adapter = \"../plugin.so\"\n[auth]\nkind = \"token\"\ntokens = [{name = \"crm\", hash = \"hunter2\"}]\n";
    let problems = Folder::tenant(text);
    assert!(problems.contains("auth.tokens.0.hash: must be"), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn a_line_that_is_no_toml_is_not_repeated() {
    let problems = Folder::tenant(&format!("{GOOD}[settings]\npassword = hunter2\n"));
    assert!(problems.contains("line 5"), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

/// The settings of a tenant's file with this text.
fn settings(text: &str) -> (Folder, SettingsConfig) {
    let folder = Folder::new("", &[("acme.toml", &format!("{GOOD}{text}"))]);
    let settings = folder.load().unwrap().tenants.remove(0).settings;
    (folder, settings)
}

fn schema() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "url": {"type": "string"},
            "port": {"type": "integer"},
            "password": {"type": "string", "writeOnly": true, "maxLength": 10},
            "links": {"type": "array", "items": {"properties": {"key": {"type": "string", "writeOnly": true}}}},
            "agents": {"additionalProperties": {"properties": {"key": {"type": "string", "writeOnly": true}}}},
        },
    })
    .into()
}

use jackfield_plugin_api::Json;

#[test]
fn secrets_are_filled_in_from_files_and_the_environment() {
    let (folder, settings) =
        settings("[settings]\nurl = \"x\"\npassword = {file = \"pw\"}\n[[settings.links]]\nkey = {env = \"PATH\"}\n");
    std::fs::write(folder.0.join("tenants/pw"), "hunter2\n").unwrap();
    let resolved = settings.resolve(&schema()).unwrap();
    assert_eq!(resolved["password"], "hunter2");
    assert_eq!(resolved["links"][0]["key"], std::env::var("PATH").unwrap());
    std::fs::write(folder.0.join("tenants/pw"), "hunter3").unwrap();
    assert_eq!(settings.resolve(&schema()).unwrap()["password"], "hunter3", "read again each time");
    assert!(!format!("{settings:?}").contains("hunter"));
}

#[test]
fn settings_that_do_not_fit_are_named_without_their_values() {
    for (text, expected) in [
        ("port = \"hunter2\"", "settings.port: "),
        ("colour = \"hunter2\"", "colour"),
        ("password = \"hunter2\"", "settings.password: is a secret"),
        ("links = [{key = \"hunter2\"}]", "settings.links.0.key: is a secret"),
        ("agents.anna.key = \"hunter2\"", "settings.agents.anna.key: is a secret"),
        ("password = {file = \"nofile\"}", "settings.password: the secret's file"),
        ("password = {env = \"JACKFIELD_NOT_SET\"}", "settings.password: the environment variable JACKFIELD_NOT_SET"),
        ("password = {file = \"long\"}", "settings.password: "),
    ] {
        let (folder, settings) = settings(&format!("[settings]\n{text}\n"));
        std::fs::write(folder.0.join("tenants/long"), "hunter2hunter2").unwrap();
        let problems = settings.resolve(&schema()).unwrap_err();
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.join("\n").contains(expected), "{text} gives {problems:?}");
        assert!(!problems.join("\n").contains("hunter2"), "{problems:?}");
        assert!(problems.iter().all(|problem| problem.contains("acme.toml")), "{problems:?}");
    }
}
