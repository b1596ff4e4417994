//! What a plugin's file says of itself, read without running any of its code.
//!
//! Owns: finding the link section in the bytes of a file, judging what stands there, and leaving out of it what only a
//! newer version of the plugin API knows. Must never: load the file.

use jackfield_plugin_api::{
    abi,
    command::{ObjectKind, StandardCommand},
    export,
    lists::ListKind,
    manifest::MetricType,
    report::ChannelType,
};
use object::{Object, ObjectSection};
use serde::Deserialize;
use serde_json::Value;

use super::elf;

/// No manifest is longer.
const MAX_SECTION: usize = 1 << 20;

/// Reads the link section of a library.
///
/// # Errors
/// One line that says why this is no plugin, or not one for this host.
pub(super) fn read(file: &[u8]) -> Result<(export::Section, String), String> {
    let elf = elf::parse(file)?;
    let section = elf
        .section_by_name(export::SECTION)
        .ok_or_else(|| "not a plugin: a shared library without a manifest section".to_owned())?;
    let bytes = section.data().map_err(|error| format!("its manifest section cannot be read: {error}"))?;
    if bytes.len() > MAX_SECTION {
        return Err(format!("its manifest section is longer than {MAX_SECTION} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "its manifest section is not a text".to_owned())?;
    Ok((parse_section(text)?, text.to_owned()))
}

/// Reads the text of a link section and checks all that can be checked by reading.
pub(super) fn parse_section(text: &str) -> Result<export::Section, String> {
    // The version first: another major version may have another form.
    #[derive(serde::Deserialize)]
    struct Version {
        api: String,
    }
    let version: Version = serde_json::from_str(text).map_err(|error| format!("its manifest section: {error}"))?;
    let section = match abi::compare(&version.api, abi::API_VERSION) {
        abi::Relation::Other => return Err(abi::other_version(&version.api).reason),
        abi::Relation::Newer => read_newer(text),
        abi::Relation::Same | abi::Relation::Older => export::Section::read(text),
    };
    let section = section.map_err(|error| format!("its manifest: {error}"))?;
    if let Some(wrong) = section.manifest.check().first() {
        return Err(format!("its manifest: {wrong}"));
    }
    if !section.manifest.left_out.is_empty() {
        tracing::info!(adapter = %section.manifest.id, api = %section.api,
            "this host does not know, and does without: {}", section.manifest.left_out.join(", "));
    }
    Ok(section)
}

/// Reads the section of a plugin for a later minor version, without what this version does not know.
fn read_newer(text: &str) -> Result<export::Section, serde_json::Error> {
    let mut value: Value = serde_json::from_str(text)?;
    let left_out = value.get_mut("manifest").map(leave_out_unknown).unwrap_or_default();
    let mut section = export::Section::read(&value.to_string())?;
    section.manifest.left_out = left_out;
    Ok(section)
}

/// Takes out of a manifest what only a newer version knows; its names.
fn leave_out_unknown(manifest: &mut Value) -> Vec<String> {
    fn is_new<T: for<'de> Deserialize<'de>>(word: &Value) -> bool {
        word.is_string() && T::deserialize(word).is_err()
    }
    /// A list, and whether one of its items is unknown here.
    type Unknown = (&'static str, fn(&Value) -> bool);
    let unknown: [Unknown; 6] = [
        ("channelTypes", is_new::<ChannelType>),
        ("commands", |it| it.as_str().is_some_and(|name| StandardCommand::from_name(name).is_none())),
        ("extensionCommands", |it| is_new::<ObjectKind>(&it["target"])),
        ("extensionEvents", |it| {
            it["name"]
                .as_str()
                .and_then(|name| name.split('.').next())
                .is_some_and(|word| is_new::<ObjectKind>(&word.into()))
        }),
        ("lists", |it| is_new::<ListKind>(&it["kind"])),
        ("metrics", |it| is_new::<MetricType>(&it["type"])),
    ];
    let mut left_out = Vec::new();
    for (list, is_unknown) in unknown {
        let Some(list) = manifest.get_mut(list).and_then(Value::as_array_mut) else { continue };
        left_out.extend(list.extract_if(.., |it| is_unknown(it)).map(|it| {
            let name = it.as_str().or_else(|| it["name"].as_str()).or_else(|| it["kind"].as_str());
            name.unwrap_or_default().to_owned()
        }));
    }
    left_out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn section(api: &str) -> String {
        let manifest = json!({
            "id": "acme", "vendor": "Acme", "platform": "acme", "settings": {},
            "channelTypes": ["Telephony", "Video"],
            "commands": ["channel.request.dial", "channel.request.fly"],
            "extensionCommands": [
                {"name": "session.request.acme.park", "target": "session", "data": {}},
                {"name": "room.request.acme.open", "target": "room", "data": {}},
            ],
            "lists": [{"kind": "queues", "watch": true}, {"kind": "rooms"}],
            "extensionEvents": [{"name": "session.acme.parked"}, {"name": "room.acme.opened"}],
            "metrics": [
                {"name": "calls", "type": "gauge", "help": "Calls."},
                {"name": "waits", "type": "summary", "help": "Waits."},
            ],
        });
        json!({"api": api, "package": "p", "version": "1.0.0", "panic": "unwind", "manifest": manifest}).to_string()
    }

    #[test]
    fn what_only_a_newer_version_knows_is_left_out_of_a_newer_plugins_manifest() {
        let manifest = parse_section(&section("1.99.0")).unwrap().manifest;
        let names = ["Video", "channel.request.fly", "room.request.acme.open", "room.acme.opened", "rooms", "waits"];
        assert_eq!(manifest.left_out, names);
        assert_eq!(manifest.commands, ["channel.request.dial"]);
        let kept = (manifest.channel_types.len(), manifest.extension_commands.len(), manifest.metrics.len());
        assert_eq!((kept, manifest.extension_events.len(), manifest.lists.len()), ((1, 1, 1), 1, 1));
    }

    #[test]
    fn a_plugin_of_this_version_must_know_what_it_names() {
        assert!(parse_section(&section(abi::API_VERSION)).is_err());
    }

    #[test]
    fn a_newer_plugins_manifest_that_is_none_is_refused() {
        for text in [r#"["1.99.0"]"#, r#"{"api": "1.99.0"}"#, r#"{"api": "1.99.0", "manifest": [7]}"#] {
            assert!(parse_section(text).unwrap_err().starts_with("its manifest"), "{text}");
        }
    }

    #[test]
    fn a_newer_plugin_must_not_be_wrong_all_the_same() {
        let wrong = section("1.99.0").replace("session.acme.parked", "channel.created");
        assert!(parse_section(&wrong).unwrap_err().contains("the protocol's own"));
    }
}
