//! Where a value comes from: the layers that a configuration is read from, the later on top of the earlier.
//!
//! Owns: the order of the layers (the shipped file, the operator's file, the environment, arguments), and the sentence
//! that names file and key where something in them is wrong. Must never: repeat a value in a message; it may be a secret.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;

/// The configuration that is shipped: every key's default, and its documentation.
pub(super) const SHIPPED: &str = include_str!("../../../config/jackfield.toml");

/// Environment variables are named after keys: `JACKFIELD_LIMITS__SESSIONS` is `limits.sessions`.
const PREFIX: &str = "JACKFIELD_";
const SEPARATOR: &str = "__";

const DEFAULT: &str = "default";
const HOST: &str = "jackfield.toml";
const ENVIRONMENT: &str = "environment";
const ARGUMENT: &str = "--set";

/// Where the host's configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// `jackfield.toml`.
    pub file: PathBuf,
    /// What stands on top of file and environment: keys with dots, and values as in TOML.
    pub arguments: Vec<(String, String)>,
}

impl Source {
    /// A file, without arguments.
    #[must_use]
    pub(crate) fn file(file: &Path) -> Self {
        Self { file: file.to_owned(), arguments: Vec::new() }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The shipped configuration: no other source sets it.
    Default,
    /// The host's own part, for a tenant.
    Host,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// The argument `--set`.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Host => f.write_str("jackfield.toml, environment and arguments"),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Argument => f.write_str("--set"),
        }
    }
}

/// All keys with their values; tables are flattened: `limits.sessions`.
pub(crate) type Values = BTreeMap<String, Value>;

/// The layers of one file.
pub(super) struct Layers {
    file: PathBuf,
    figment: Figment,
}

impl Layers {
    /// The host's own part.
    pub(super) fn of_host(source: &Source) -> Self {
        let environment = Env::prefixed(PREFIX).filter(|key| key.as_str().contains(SEPARATOR)).split(SEPARATOR);
        let mut figment = Self::shipped()
            .merge(Toml::file_exact(&source.file))
            .merge(Named { name: ENVIRONMENT, provider: environment });
        for (key, value) in &source.arguments {
            // Without quotes a text is a text, as in an environment variable.
            let parsed: figment::value::Value = value.parse().unwrap_or_else(|never| match never {});
            figment = figment.merge(Named { name: ARGUMENT, provider: Serialized::default(key, parsed) });
        }
        Self { file: source.file.clone(), figment }
    }

    fn shipped() -> Figment {
        Figment::from(Named { name: DEFAULT, provider: Toml::string(SHIPPED) })
    }

    /// A tenant's file on top of the host's limits.
    pub(super) fn of_tenant(file: &Path, host: &Self) -> Self {
        let limits = host.figment.find_value("limits").unwrap_or_else(|_| Dict::new().into());
        let limits = Named { name: HOST, provider: Serialized::default("limits", limits) };
        Self { file: file.to_owned(), figment: Figment::from(limits).merge(Toml::file_exact(file)) }
    }

    /// The file that the messages name.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The values by their types.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.figment.extract().map_err(|error| describe(&self.file, error))
    }

    /// All keys with their values. Only what [`Self::read`] has taken is of use.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::new();
        let all: Value = self.figment.extract().unwrap_or_default();
        flatten("", &all, &mut values);
        values
    }

    /// Where the value of a key comes from.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let Some(from) = self.figment.find_metadata(key) else { return Origin::Default };
        match from.name.as_ref() {
            DEFAULT => Origin::Default,
            HOST => Origin::Host,
            ENVIRONMENT => Origin::Environment(variable(key)),
            ARGUMENT => Origin::Argument,
            _ => Origin::File(self.file.clone()),
        }
    }

    /// A problem with a value, by where the value comes from.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        match self.origin(key) {
            Origin::Default | Origin::Host | Origin::File(_) => Problem::key(&self.file, key, message),
            other => Problem::key(&self.file, key, format!("{message} ({other})")),
        }
    }
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', SEPARATOR).to_uppercase())
}

fn flatten(key: &str, value: &Value, into: &mut Values) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, member, into);
            }
        }
        other => {
            into.insert(key.to_owned(), other.clone());
        }
    }
}

/// A layer under a name of ours.
struct Named<P> {
    name: &'static str,
    provider: P,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.provider.data()
    }
}

/// The first of figment's errors, without the lines of the file that its TOML errors repeat: they may hold what must
/// not be in a log.
fn describe(file: &Path, error: figment::Error) -> Problem {
    let Some(first) = error.into_iter().next() else { return Problem::file(file, "it cannot be read") };
    let key = first.path.join(".");
    let layer = first.metadata.as_ref().map(|from| from.name.clone().into_owned());
    let from = match layer.as_deref() {
        Some(ENVIRONMENT) => " (from the environment)",
        Some(ARGUMENT) => " (from --set)",
        _ => "",
    };
    let message = match &first.kind {
        Kind::UnknownField(name, known) => {
            // The path ends in the key that contains it, or in the unknown key itself.
            let parent = first.path.iter().take_while(|part| *part != name).cloned();
            let key = parent.chain([name.clone()]).collect::<Vec<_>>().join(".");
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            return Problem::key(file, key, format!("there is no such key here; there are {}{from}", known.join(", ")));
        }
        Kind::MissingField(name) => {
            let key = first.path.iter().map(String::as_str).chain([name.as_ref()]).collect::<Vec<_>>().join(".");
            return Problem::key(file, key, "is missing");
        }
        Kind::UnknownVariant(_, known) => {
            let known: Vec<String> = known.iter().map(|name| format!("\"{name}\"")).collect();
            format!("it is none of {}", known.join(", "))
        }
        Kind::Message(text) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
            lines.collect::<Vec<_>>().join(": ")
        }
        Kind::InvalidType(found, expected) => {
            format!("{} is found where {} is expected", kind_of(found), in_words(&expected.to_string()))
        }
        Kind::InvalidValue(_, expected) => format!("expected {}", in_words(&expected.to_string())),
        other => other.to_string(),
    };
    let message = format!("{message}{from}");
    if key.is_empty() { Problem::file(file, message) } else { Problem::key(file, key, message) }
}

/// What is expected, in the words of whoever writes the file and not in those of our types.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u16" | "u32" | "u64" => "a whole number, 0 or larger",
        "i32" | "i64" => "a whole number",
        "f64" => "a number",
        "sequence" | "a sequence" => "a list",
        "a map" => "a table",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    }
}

/// The type of a value without the value.
fn kind_of(found: &figment::error::Actual) -> &'static str {
    use figment::error::Actual;
    match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "an integer",
        Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

/// What is shipped, by itself.
#[cfg(test)]
pub(super) fn shipped() -> Result<super::raw::RawHost, Problem> {
    Layers { file: PathBuf::from("jackfield.toml"), figment: Layers::shipped() }.read()
}
