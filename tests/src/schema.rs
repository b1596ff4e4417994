//! The published schemas (`host/protocol/schema/`), held against what is really said.
//!
//! A message that the host sends must fit the schema of its kind, and so must a command that it has carried out: whoever
//! makes a client of the schemas gets what they promise, and none of what they forbid would have worked.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

/// Where the schemas refer to each other; an address of no host.
const BASE: &str = "jackfield:///v1/schema/";

/// The kinds of messages, by the names of their files.
const KINDS: [&str; 8] = ["command", "success", "needinfo", "confirm", "failure", "event", "bind", "closed"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/protocol/schema")
}

/// The schemas below a folder, by their path from there.
fn schemas(folder: &Path) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("the schemas are there") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            all.extend(schemas(&path).into_iter().map(|(inner, schema)| (format!("{name}/{inner}"), schema)));
        } else {
            let text = fs::read_to_string(&path).expect("a text");
            all.push((name, serde_json::from_str(&text).expect("a schema is JSON")));
        }
    }
    all
}

fn validators() -> &'static HashMap<&'static str, Validator> {
    static VALIDATORS: OnceLock<HashMap<&str, Validator>> = OnceLock::new();
    VALIDATORS.get_or_init(|| {
        let mut registry = Registry::new();
        for (path, schema) in schemas(&folder()) {
            registry = registry.add(format!("{BASE}{path}"), schema).expect("a schema");
        }
        let registry = registry.prepare().expect("the schemas refer to each other");
        let validator = |kind: &'static str| {
            let schema = json!({"$ref": format!("{BASE}{kind}.json")});
            let options = jsonschema::draft7::options().with_registry(&registry);
            (kind, options.build(&schema).unwrap_or_else(|error| panic!("{kind}: {error}")))
        };
        KINDS.into_iter().map(validator).collect()
    })
}

/// Whether a message is of a kind: where not, what is wrong with it.
///
/// # Errors
/// What is wrong.
pub fn check(kind: &str, message: &Value) -> Result<(), String> {
    validators()[kind].validate(message).map_err(|error| format!("at {}: {error}", error.instance_path()))
}

/// A message of the host is as its schema says.
///
/// # Panics
/// It is not.
pub fn fits(kind: &str, message: &Value) {
    if let Err(why) = check(kind, message) {
        panic!("this is no {kind}: {why}: {message}");
    }
}

/// A response is as its schema says, and so is the command that it tells to have been carried out.
///
/// # Panics
/// One of them is not.
pub fn response_fits(response: &Value, command: Option<&Value>) {
    let kind = response["result"].as_str().expect("a response has a result");
    fits(kind, response);
    if let Some(command) = command.filter(|_| kind != "failure") {
        fits("command", command);
    }
}
