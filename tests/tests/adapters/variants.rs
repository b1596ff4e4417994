//! Plugins and a host that are built against other versions of the plugin API.
//!
//! Each variant is a copy of this repository's `plugin-api` and odd adapter with a few lines changed, in a workspace of
//! its own under the build's target directory; all share one target directory there, so what they depend on is built
//! once. Nothing is fetched: they use the lock file and the packages of this build.

#![allow(unreachable_pub)] // a module of a test binary

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The files that were built.
pub struct Variants {
    /// The odd adapter against plugin API 1.2.
    pub odd_for_1_2: PathBuf,
    /// The odd adapter against plugin API 2.0.
    pub odd_for_2_0: PathBuf,
    /// The odd adapter against a plugin API that calls itself 1.1 and has a member of another type.
    pub odd_mistyped: PathBuf,
    /// A later version of the odd adapter.
    pub odd_1_2_3: PathBuf,
    /// The adapter of the documentation.
    pub echo: PathBuf,
    /// A host of plugin API 1.2.
    pub probe_1_2: PathBuf,
}

/// Builds the variants, once.
pub fn all() -> &'static Variants {
    static VARIANTS: OnceLock<Variants> = OnceLock::new();
    VARIANTS.get_or_init(|| {
        let place = place();
        fs::create_dir_all(&place).unwrap();
        // Tests of another process wait here.
        let lock = fs::File::create(place.join("lock")).unwrap();
        lock.lock().unwrap();
        build(&place)
    })
}

fn build(place: &Path) -> Variants {
    let v1_2 = Variant::new(place, "api-1.2").api_1_2().with_probe();
    let v2_0 =
        Variant::new(place, "api-2.0").change("plugin-api/Cargo.toml", VERSION_2_0).change("Cargo.toml", REQUIRE_2_0);
    let mistyped = Variant::new(place, "api-mistyped").change("plugin-api/src/abi.rs", MISTYPED);
    let next = Variant::new(place, "odd-1.2.3").change("odd/Cargo.toml", VERSION_1_2_3);
    Variants {
        odd_for_1_2: v1_2.build(&["-p", "jackfield-odd"], "libjackfield_odd.so"),
        odd_for_2_0: v2_0.build(&["-p", "jackfield-odd"], "libjackfield_odd.so"),
        odd_mistyped: mistyped.build(&["-p", "jackfield-odd"], "libjackfield_odd.so"),
        odd_1_2_3: next.build(&["-p", "jackfield-odd"], "libjackfield_odd.so"),
        echo: next.build(&["-p", "jackfield-plugin-api", "--example", "echo"], "examples/libecho.so"),
        probe_1_2: v1_2.build(&["-p", "probe"], "probe"),
    }
}

/// A change of a file: what stands there, and what shall.
type Change = (&'static str, &'static str);

const VERSION_1_2: &[Change] = &[("\nversion = \"1.1.0\"\n", "\nversion = \"1.2.0\"\n")];
const VERSION_1_2_3: &[Change] = &[("\nversion = \"1.0.0\"\n", "\nversion = \"1.2.3\"\n")];
const REQUIRE_2_0: &[Change] = &[("\"plugin-api\", version = \"1.0.0\"", "\"plugin-api\", version = \"2.0.0\"")];
const VERSION_2_0: &[Change] = &[("\nversion = \"1.1.0\"\n", "\nversion = \"2.0.0\"\n")];

const MISTYPED: &[Change] = &[
    ("pub close: extern \"C\" fn(instance: usize),", "pub close: extern \"C\" fn(instance: u64),"),
    (
        "fn close_entry<E: Export>(instance: usize) {",
        "fn close_entry<E: Export>(instance: u64) { let instance = instance as usize;",
    ),
    ("(self.module.close())(self.instance);", "(self.module.close())(self.instance as u64);"),
];

/// One more member of the module and of the host, and a way to ask for the former.
const ABI_1_2: &[Change] = &[
    (
        "pub close: extern \"C\" fn(instance: usize),",
        "pub close: extern \"C\" fn(instance: usize),
    /// Added in 1.2.
    pub added: extern \"C\" fn() -> u32,",
    ),
    ("close: close_entry::<E>,", "close: close_entry::<E>,\n            added: added_entry,"),
    (
        "extern \"C\" fn api_version_entry()",
        "extern \"C\" fn added_entry() -> u32 { 7 }\n\nextern \"C\" fn api_version_entry()",
    ),
    (
        "    pub emit: extern \"C\" fn(context: usize, kind: u32, id: u64, payload: RStr<'_>) -> u32,\n}",
        "    pub emit: extern \"C\" fn(context: usize, kind: u32, id: u64, payload: RStr<'_>) -> u32,
    /// Added in 1.2.\n    pub added: extern \"C\" fn() -> u32,\n}",
    ),
    ("Host { emit: emit_entry }", "Host { emit: emit_entry, added: added_entry }"),
    (
        "    /// What the plugin itself says",
        "    /// The added member.
    pub fn added(&self) -> Option<u32> { self.module.added().map(|added| added()) }

    /// What the plugin itself says",
    ),
];

/// One more method of an agent, with a default body, and the message that asks for it.
const ADAPTER_1_2: &[Change] = &[(
    "    fn resume_state(&self) -> Vec<u8> {",
    "    fn added(&self) -> u32 { 42 }

    /// As before.
    fn resume_state(&self) -> Vec<u8> {",
)];
const RUNTIME_1_2: &[Change] = &[("Kind::COMMAND | Kind::START", "Kind(13) | Kind::COMMAND | Kind::START")];
const AGENT_TASK_1_2: &[Change] = &[
    ("    Command(Execute<'static>),", "    Command(Execute<'static>),\n    Added(BareRequest),"),
    (
        "            Kind::START =>",
        "            Kind(13) => wire::read(payload).map(AgentRequest::Added),\n            Kind::START =>",
    ),
    (
        "            AgentRequest::Start(",
        "            AgentRequest::Added(BareRequest { request }) => {
                self.answer(request, pin!(async { Ok(Outcome::data(serde_json::json!(agent.added()))) })).await;
            }
            AgentRequest::Start(",
    ),
];

/// Words that only 1.2 knows: a standard command, a failure code, a type of channel, a type of metric.
const COMMAND_1_2: &[Change] = &[
    ("    Unwatch,\n}", "    Unwatch,\n    Fly,\n}"),
    ("        Self::Unwatch,\n    ];\n\n    ///", "        Self::Unwatch,\n        Self::Fly,\n    ];\n\n    ///"),
    (
        "            Self::Unwatch => \"session.request.unwatch\",\n",
        "            Self::Unwatch => \"session.request.unwatch\",
            Self::Fly => \"channel.request.fly\",\n",
    ),
    ("StandardCommand::Unwatch as usize + 1", "StandardCommand::Fly as usize + 1"),
];
const FAILURE_1_2: &[Change] = &[
    ("    Internal,\n", "    Internal,\n    /// Added in 1.2.\n    TooHigh,\n"),
    ("Self::Internal => \"internal\",", "Self::Internal => \"internal\",\n            Self::TooHigh => \"too_high\","),
];
const REPORT_1_2: &[Change] = &[
    ("    Email,\n}", "    Email,\n    /// Added in 1.2.\n    Video,\n}"),
    ("Self::Email => \"Email\",", "Self::Email => \"Email\",\n            Self::Video => \"Video\","),
];
const MANIFEST_1_2: &[Change] = &[("    Histogram,\n}", "    Histogram,\n    /// Added in 1.2.\n    Summary,\n}")];

/// The odd adapter uses them.
const ODD_MANIFEST_1_2: &[Change] = &[
    ("[\"Telephony\"]", "[\"Telephony\", \"Video\"]"),
    ("\"channel.request.ready\",", "\"channel.request.ready\", \"channel.request.fly\","),
    ("\"metrics\": [", "\"metrics\": [\n    { \"name\": \"heights\", \"type\": \"summary\", \"help\": \"Heights.\" },"),
];
const ODD_1_2: &[Change] = &[(
    "            \"link\" =>",
    "            \"fly\" => {
                self.platform.metric(\"heights\", &[], 1.0);
                let video = Channel::create(\"c2\", ChannelType::Video, \"200\", \"Odd\");
                self.host.report(Report::new().channel(self.channel()).channel(video));
                return Outcome::failure(Code::TooHigh, \"odd flies\");
            }
            \"link\" =>",
)];

/// The sources of a variant, not written yet.
struct Variant {
    directory: PathBuf,
    target: PathBuf,
    files: BTreeMap<String, String>,
}

impl Variant {
    fn new(place: &Path, name: &str) -> Self {
        let root = root();
        let mut files = BTreeMap::new();
        read(&root.join("plugin-api"), "plugin-api", &mut files);
        read(&root.join("tests/plugins/odd"), "odd", &mut files);
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let (before, rest) = manifest.split_once("members = [").unwrap();
        let (_, after) = rest.split_once(']').unwrap();
        let (defaults, others) = after.split_once("default-members = [").unwrap();
        let after = [defaults, others.split_once(']').unwrap().1].concat();
        files.insert("Cargo.toml".to_owned(), format!("{before}members = [\"plugin-api\", \"odd\"]{after}"));
        Self { directory: place.join(name), target: place.join("target"), files }
    }

    fn change(mut self, file: &str, changes: &[Change]) -> Self {
        let text = self.files.get_mut(file).unwrap();
        for (old, new) in changes {
            assert!(text.contains(old), "{file} does not contain {old:?} any more: adapt the variant");
            *text = text.replacen(old, new, 1);
        }
        self
    }

    fn api_1_2(self) -> Self {
        self.change("plugin-api/Cargo.toml", VERSION_1_2)
            .change("plugin-api/src/abi.rs", ABI_1_2)
            .change("plugin-api/src/adapter.rs", ADAPTER_1_2)
            .change("plugin-api/src/runtime.rs", RUNTIME_1_2)
            .change("plugin-api/src/agent_task.rs", AGENT_TASK_1_2)
            .change("plugin-api/src/command.rs", COMMAND_1_2)
            .change("plugin-api/src/failure.rs", FAILURE_1_2)
            .change("plugin-api/src/report.rs", REPORT_1_2)
            .change("plugin-api/src/manifest.rs", MANIFEST_1_2)
            .change("odd/manifest.json", ODD_MANIFEST_1_2)
            .change("odd/src/lib.rs", ODD_1_2)
    }

    fn with_probe(mut self) -> Self {
        let from = root().join("tests/plugins/probe");
        for (name, to) in [("Cargo.toml.in", "probe/Cargo.toml"), ("main.rs", "probe/src/main.rs")] {
            self.files.insert(to.to_owned(), fs::read_to_string(from.join(name)).unwrap());
        }
        self.change("Cargo.toml", &[("\"odd\"]", "\"odd\", \"probe\"]")])
    }

    /// Builds something, unless that was done before from the same sources; where it is kept.
    fn build(&self, what: &[&str], product: &str) -> PathBuf {
        let kept = self.directory.join("built").join(Path::new(product).file_name().unwrap());
        let is_written = |(file, text): (&String, &String)| {
            fs::read_to_string(self.directory.join(file)).is_ok_and(|written| written == *text)
        };
        let same = self.files.iter().all(is_written);
        if same && kept.exists() {
            return kept;
        }
        if !same {
            // Whatever was made of other sources.
            let _ = fs::remove_dir_all(self.directory.join("built"));
        }
        // Whatever an earlier build had besides would be built with them.
        for folder in ["plugin-api", "odd", "probe"] {
            let _ = fs::remove_dir_all(self.directory.join(folder));
        }
        // All of them, so that cargo builds this variant anew: the variants share names in their target directory.
        for (file, text) in &self.files {
            write(&self.directory.join(file), text);
        }
        write(&self.directory.join("Cargo.lock"), &fs::read_to_string(root().join("Cargo.lock")).unwrap());
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.directory).args(["build", "--offline", "--quiet"]).args(what);
        let output = cargo.arg("--target-dir").arg(&self.target).output().unwrap();
        assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::copy(self.target.join("debug").join(product), &kept).unwrap();
        kept
    }
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where the variants are built: beside what this test was built into.
fn place() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(3).unwrap().join("plugin-variants")
}

/// Reads sources.
fn read(from: &Path, under: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{under}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Writes a file.
fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
