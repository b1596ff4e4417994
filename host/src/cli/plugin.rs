//! `jackfield plugin`: what is installed in the plugin store, and what a plugin's file says of itself.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use jackfield_plugin_api::{Manifest, lists::ListDeclaration, manifest::MetricType};
use serde_json::{Value, json};

use super::{PluginCommand, output, table};
use crate::{
    config::{HostConfig, Source, load_host},
    metrics::Metrics,
    plugin::{Description, InstalledReference, Libraries, Trust, describe},
};

/// Where a long line of names is broken.
const WIDTH: usize = 100;

pub(super) fn run(command: PluginCommand) -> Result<(), String> {
    match command {
        PluginCommand::Install { file, sha256, config } => install(&file, sha256.as_deref(), &host(&config)?),
        PluginCommand::List { config } => list(&host(&config)?),
        PluginCommand::Inspect { plugin, config, json } => inspect(&plugin, config.as_deref(), json),
    }
}

fn host(config: &Path) -> Result<HostConfig, String> {
    load_host(&Source::file(config)).map_err(|problems| super::lines(&problems))
}

fn libraries(host: &HostConfig) -> Libraries {
    Libraries::with_trust(&host.plugin_store, host.plugin_trust.clone(), &Metrics::new(0))
}

fn wait<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Ok(runtime.map_err(|error| format!("the runtime cannot be started: {error}"))?.block_on(work))
}

fn install(file: &Path, sha256: Option<&str>, host: &HostConfig) -> Result<(), String> {
    if let Some(expected) = sha256 {
        // Before anything of it is kept.
        let found = describe(file, &host.plugin_trust).map_err(|error| error.to_string())?.digest;
        let expected = expected.strip_prefix("sha256:").unwrap_or(expected);
        if !found.eq_ignore_ascii_case(expected) {
            return Err(format!("{}: its SHA-256 is {found}, not {expected}", file.display()));
        }
    }
    let installed = wait(libraries(host).install(file))?.map_err(|error| error.to_string())?;
    let manifest = installed.manifest();
    output::print(&format!("{} {} sha256:{}\n", manifest.id, manifest.version, installed.digest()))
}

fn list(host: &HostConfig) -> Result<(), String> {
    let mut rows = vec![["ID", "VERSION", "API", "VENDOR", "SHA256", "SIGNED BY"].map(str::to_owned)];
    let mut wrong = Vec::new();
    for (entry, file) in wait(libraries(host).installed())?? {
        match file {
            Ok(file) => rows.push([
                entry.id,
                entry.version,
                file.api_version().to_owned(),
                file.manifest().vendor.clone(),
                short(file.digest()).to_owned(),
                file.signer().unwrap_or("-").to_owned(),
            ]),
            Err(error) => {
                let digest = short(&entry.digest);
                wrong.push(format!("{} {} sha256:{digest}: {}", entry.id, entry.version, error.reason));
            }
        }
    }
    if rows.len() > 1 {
        output::print(&table::of(&rows))?;
    } else if wrong.is_empty() {
        output::complain(&format!("no plugin is installed in {}", host.plugin_store.display()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\njackfield: ")) }
}

fn short(digest: &str) -> &str {
    &digest[..12]
}

fn inspect(plugin: &str, config: Option<&Path>, as_json: bool) -> Result<(), String> {
    let file = PathBuf::from(plugin);
    let (path, trust) = match InstalledReference::by_name(plugin).or_else(|| InstalledReference::by_digest(plugin)) {
        Some(wanted) if !file.is_file() => {
            let host = host(config.unwrap_or(Path::new(super::CONFIG)))?;
            (wanted.find(&host.plugin_store)?.path, host.plugin_trust)
        }
        // A file can be looked at where there is no host.
        _ => (file, config.map_or(Ok(Trust::default()), |config| host(config).map(|it| it.plugin_trust))?),
    };
    let about = describe(&path, &trust).map_err(|error| error.to_string())?;
    let text = if as_json {
        let Description { manifest, api, panic, digest, signer, missing, .. } = &about;
        let all = json!({"file": path, "sha256": digest, "signedBy": signer, "api": api, "panic": panic,
            "missing": missing, "manifest": manifest});
        serde_json::to_string_pretty(&all).map_err(|error| error.to_string())? + "\n"
    } else {
        readable(&path, &about)
    };
    output::print(&text)
}

fn readable(path: &Path, about: &Description) -> String {
    let Description { manifest, api, panic, digest, signer, missing, .. } = about;
    let Manifest { id, version, vendor, platform, .. } = manifest;
    let panic = match panic.as_str() {
        "unwind" => "a panic costs one command",
        _ => "a panic ends the process: not with isolation = \"none\"",
    };
    let signer = signer.as_deref().unwrap_or("not asked for");
    let channels: Vec<String> = manifest.channel_types.iter().map(|it| format!("{it:?}")).collect();
    let mut text = format!(
        "{id} {version} by {vendor}, for {platform}\n\n  file         {}\n  sha256       {digest}\n  signed by    \
         {signer}\n  plugin API   {api}; {panic}\n  channels     {}\n",
        path.display(),
        channels.join(", ")
    );
    section(&mut text, "cannot be loaded here", missing);
    section(&mut text, "standard commands", wrapped(&manifest.commands));
    let list = |it: &ListDeclaration| format!("{}{}", it.kind.as_str(), if it.watch { ", watched" } else { "" });
    section(&mut text, "lists", manifest.lists.iter().map(list));
    section(&mut text, "commands of its own", manifest.extension_commands.iter().map(|it| &it.name));
    section(&mut text, "events of its own", manifest.extension_events.iter().map(|it| &it.name));
    section(&mut text, "settings", settings(&manifest.settings.parse().unwrap_or_default()));
    let metric = |it: &jackfield_plugin_api::manifest::MetricKind| {
        let kind = match it.kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        let labels: String = it.labels.iter().map(|label| format!(", {label}")).collect();
        [format!("jackfield_adapter_{id}_{}{{tenant{labels}}}", it.name), kind.to_owned(), it.help.clone()]
    };
    let metrics: Vec<[String; 3]> = manifest.metrics.iter().map(metric).collect();
    section(&mut text, "metrics", table::of(&metrics).lines());
    text
}

fn section(text: &mut String, title: &str, lines: impl IntoIterator<Item = impl AsRef<str>>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n{title}");
    }
    for line in lines {
        let _ = writeln!(text, "  {}", line.as_ref());
    }
}

/// Names in as few lines as they fit in.
fn wrapped(names: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() + 2 < WIDTH => {
                let _ = write!(line, ", {name}");
            }
            _ => lines.push(name.clone()),
        }
    }
    lines
}

/// The settings that a schema describes: name, type, whether it is needed or a secret, description.
fn settings(schema: &Value) -> Vec<String> {
    let needed = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let row = |(name, about): (&String, &Value)| {
        let kind = about["type"].as_str().map_or_else(|| choices(about), str::to_owned);
        let mut notes = Vec::new();
        notes.extend(needed(name).then(|| "required".to_owned()));
        notes.extend((about["writeOnly"] == true).then(|| "a secret".to_owned()));
        notes.extend(about["description"].as_str().map(str::to_owned));
        [name.clone(), kind, notes.join("; ")]
    };
    let rows: Vec<[String; 3]> = properties.iter().map(row).collect();
    table::of(&rows).lines().map(str::to_owned).collect()
}

fn choices(about: &Value) -> String {
    let choices = about["enum"].as_array().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    choices.map_or_else(|| "any".to_owned(), |all| all.join(" | "))
}
