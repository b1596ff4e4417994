//! The adapter's settings from a tenant's file: secrets are filled in late, and the adapter's schema is asked.
//!
//! A secret is written as `{ file = "…" }` or `{ env = "…" }` and read each time the tenant connects, so that one that
//! was replaced is found. What the schema marks `"writeOnly": true` must be written so. Nothing here prints a value.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use jackfield_plugin_api::Json;
use serde_json::{Map, Value};

use super::Problem;

/// The longest secret; more is surely the wrong file.
const LONGEST_SECRET: u64 = 64 * 1024;

/// An adapter's settings as a tenant's file has them: secrets are references.
#[derive(Clone, PartialEq)]
pub(crate) struct SettingsConfig {
    file: PathBuf,
    values: Map<String, Value>,
}

impl fmt::Debug for SettingsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings(…)")
    }
}

impl SettingsConfig {
    pub(super) fn new(file: &Path, values: Map<String, Value>) -> Self {
        Self { file: file.to_owned(), values }
    }

    /// Fills the secrets in and checks the whole against the adapter's schema.
    ///
    /// # Errors
    /// One problem for each key that is wrong.
    pub(crate) fn resolve(&self, schema: &Json) -> Result<Value, Vec<Problem>> {
        let schema: Value = schema.parse().map_err(|error| vec![self.schema_unusable(&error.to_string())])?;
        let mut problems = Vec::new();
        self.find_bare_secrets(&schema, &self.values, "settings", &mut problems);
        let mut settings = Value::Object(self.values.clone());
        self.fill_in(&mut settings, "settings", &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let validator = jsonschema::draft202012::new(&schema)
            .map_err(|error| vec![self.schema_unusable(&error.masked().to_string())])?;
        let problems: Vec<Problem> = validator
            .iter_errors(&settings)
            .map(|error| {
                let path = error.instance_path().to_string().replace('/', ".");
                Problem::key(&self.file, format!("settings{path}"), error.masked_with("the value").to_string())
            })
            .collect();
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    fn schema_unusable(&self, why: &str) -> Problem {
        Problem::key(&self.file, "adapter", format!("the schema of its settings is no JSON Schema: {why}"))
    }

    /// Replaces every reference by what it refers to.
    fn fill_in(&self, value: &mut Value, key: &str, problems: &mut Vec<Problem>) {
        if let Some(reference) = Reference::of(value) {
            match reference.resolve(&self.file) {
                Ok(secret) => *value = Value::String(secret),
                Err(message) => problems.push(Problem::key(&self.file, key, message)),
            }
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self.fill_in(member, &format!("{key}.{name}"), problems);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.fill_in(item, &format!("{key}.{index}"), problems);
                }
            }
            _ => {}
        }
    }

    /// Finds secrets that stand in the file itself.
    fn find_bare_secrets(&self, schema: &Value, of: &Map<String, Value>, key: &str, problems: &mut Vec<Problem>) {
        for (name, value) in of {
            let known = schema.get("properties").and_then(|properties| properties.get(name));
            let Some(schema) = known.or_else(|| schema.get("additionalProperties")) else { continue };
            self.find_bare_secret(schema, value, &format!("{key}.{name}"), problems);
        }
    }

    fn find_bare_secret(&self, schema: &Value, value: &Value, key: &str, problems: &mut Vec<Problem>) {
        if schema.get("writeOnly") == Some(&Value::Bool(true)) {
            if Reference::of(value).is_none() {
                let message = "is a secret: write { file = \"…\" } or { env = \"…\" } instead of the secret itself";
                problems.push(Problem::key(&self.file, key, message));
            }
            return;
        }
        match (value, schema.get("items")) {
            (Value::Object(members), _) => self.find_bare_secrets(schema, members, key, problems),
            (Value::Array(values), Some(items)) => {
                for (index, value) in values.iter().enumerate() {
                    self.find_bare_secret(items, value, &format!("{key}.{index}"), problems);
                }
            }
            _ => {}
        }
    }
}

/// Where a secret is.
enum Reference<'a> {
    File(&'a str),
    Env(&'a str),
}

impl<'a> Reference<'a> {
    /// A table with exactly one key, `file` or `env`, and a text.
    fn of(value: &'a Value) -> Option<Self> {
        let members = value.as_object().filter(|members| members.len() == 1)?;
        let text = |name| members.get(name).and_then(Value::as_str);
        text("file").map(Self::File).or_else(|| text("env").map(Self::Env))
    }

    /// Reads it; one line's end at its end is not part of it.
    fn resolve(&self, tenant_file: &Path) -> Result<String, String> {
        let text = match self {
            Self::Env(name) => {
                std::env::var(name).map_err(|_| format!("the environment variable {name} is not set, or no text"))?
            }
            Self::File(name) => {
                let path = tenant_file.parent().unwrap_or(Path::new(".")).join(name);
                read_secret(&path).map_err(|error| format!("the secret's file {}: {error}", path.display()))?
            }
        };
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    if about.len() > LONGEST_SECRET {
        return Err(format!("it is longer than {LONGEST_SECRET} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())
}
