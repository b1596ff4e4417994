//! The flight recorder of one worker: what was said to its plugin and by it, shortly before it died.
//!
//! Owns: a bounded ring of the last messages, and the file that is made of it. Must never: keep a log-in (there are
//! passwords in it), or write down anything that may tell of a person: whoever reads the file debugs a plugin and has no
//! business with a customer. So only words of the contract are written as they are; keys, which adapters like to make of
//! numbers, are replaced by aliases that hold within one file, and every other text is left out. Kept as raw text while
//! the worker lives, because most never die; cleaned when written.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use jackfield_plugin_api::wire::{self, Kind};
use parking_lot::Mutex;
use serde_json::Value;

/// How many bytes of messages are kept.
const MAX_BYTES: usize = 128 << 10;
/// A longer message is noted by its length alone.
const MAX_MESSAGE: usize = 4 << 10;

/// How many recordings are kept in a folder.
const KEPT: usize = 200;

/// Members whose values are words of the contract.
const WORDS: &[&str] = &[
    "action",
    "availability",
    "cause",
    "code",
    "direction",
    "kind",
    "on",
    "outcome",
    "reason",
    "recording",
    "role",
    "state",
    "status",
    "target",
    "type",
];

/// Members whose values are keys of the platform.
const KEYS: &[&str] = &["channel", "conversation", "group", "hold", "interaction", "key", "retrieve", "was"];

/// Members of which nothing is shown, whatever is in them: call data, options, what an adapter answers.
const CONTENT: &[&str] = &["data", "extensions", "needinfo", "options", "success", "value"];

/// What one worker and its host said last.
#[derive(Debug, Default)]
pub struct Recorder {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    at: SystemTime,
    to_plugin: bool,
    kind: Kind,
    id: u64,
    length: usize,
    payload: Option<Box<str>>,
}

impl Recorder {
    /// Notes one message.
    pub fn note(&self, to_plugin: bool, kind: Kind, id: u64, payload: &str) {
        let kept = match kind {
            Kind::COMMAND | Kind::ANSWER | Kind::REPORT => payload.len() <= MAX_MESSAGE,
            Kind::LOG | Kind::LOG_LEVEL | Kind::METRIC | Kind::PING => return,
            _ => false,
        };
        let entry = Entry {
            at: SystemTime::now(),
            to_plugin,
            kind,
            id,
            length: payload.len(),
            payload: kept.then(|| payload.into()),
        };
        let mut ring = self.ring.lock();
        ring.bytes += entry.size();
        ring.entries.push_back(entry);
        while ring.bytes > MAX_BYTES {
            let Some(oldest) = ring.entries.pop_front() else { break };
            ring.bytes -= oldest.size();
        }
    }

    /// The names of the commands that had no answer.
    #[must_use]
    pub fn in_flight(&self) -> BTreeSet<String> {
        let ring = self.ring.lock();
        let mut open: Vec<(u64, u64, String)> = Vec::new();
        for entry in &ring.entries {
            let Some(value) = entry.parsed() else { continue };
            let Some(request) = value.get("request").and_then(Value::as_u64) else { continue };
            match entry.kind {
                Kind::COMMAND => open.push((entry.id, request, command_name(&value))),
                Kind::ANSWER => open.retain(|(id, asked, _)| (*id, *asked) != (entry.id, request)),
                _ => {}
            }
        }
        open.into_iter().map(|(.., name)| name).collect()
    }

    /// Writes the recording into a folder. Returns the file.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path, name: &str, why: &str) -> std::io::Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = folder.join(format!("{name}-{}.{:03}.log", now.as_secs(), now.subsec_millis()));
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, self.text(why))?;
        prune(folder, KEPT);
        Ok(path)
    }

    fn text(&self, why: &str) -> String {
        let ring = self.ring.lock();
        let mut text = format!(
            "# {why}\n# seconds since 1970, direction, message, platform or agent, payload; each #NUMBER stands for a key\n"
        );
        let mut aliases = Aliases::default();
        for entry in &ring.entries {
            let at = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let arrow = if entry.to_plugin { "->" } else { "<-" };
            let payload = match entry.parsed() {
                Some(mut value) => {
                    aliases.clean("", &mut value);
                    value.to_string()
                }
                None => format!("({} bytes)", entry.length),
            };
            let _ = writeln!(
                text,
                "{}.{:06} {arrow} {:?} {} {payload}",
                at.as_secs(),
                at.subsec_micros(),
                entry.kind,
                entry.id
            );
        }
        text
    }
}

/// Removes the oldest recordings, so that a worker that dies for months does not fill the disk. What cannot be removed
/// stays: the recording that matters is written.
fn prune(folder: &Path, kept: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let dated = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let is_ours = path.extension().is_some_and(|extension| extension == "log");
        Some((entry.metadata().ok().filter(|_| is_ours)?.modified().ok()?, path))
    });
    let mut recordings: Vec<_> = dated.collect();
    recordings.sort();
    let superfluous = recordings.len().saturating_sub(kept);
    for (_, path) in recordings.into_iter().take(superfluous) {
        let _ = std::fs::remove_file(path);
    }
}

impl Entry {
    fn size(&self) -> usize {
        size_of::<Self>() + self.payload.as_ref().map_or(0, |payload| payload.len())
    }

    fn parsed(&self) -> Option<Value> {
        wire::read(self.payload.as_deref()?).ok()
    }
}

/// The variant's name: `dial` of `{"command":{"dial":{…}}}`, or the declared name of an extension command.
fn command_name(value: &Value) -> String {
    let command = value.get("command");
    let (variant, inside) = match command {
        Some(Value::Object(object)) => match object.iter().next() {
            Some((variant, inside)) => (variant.as_str(), Some(inside)),
            None => ("", None),
        },
        _ => ("", None),
    };
    let extension = inside.and_then(|inside| inside.get("name")).and_then(Value::as_str);
    if variant == "extension" { extension.unwrap_or(variant).to_owned() } else { variant.to_owned() }
}

/// The aliases of one file: by their keys.
#[derive(Default)]
struct Aliases(HashMap<String, usize>);

impl Aliases {
    fn of(&mut self, key: &str) -> String {
        let next = self.0.len() + 1;
        format!("#{}", self.0.entry(key.to_owned()).or_insert(next))
    }

    /// Takes out of a value, which is that of a member with this name, all that may tell of a person.
    fn clean(&mut self, member: &str, value: &mut Value) {
        if CONTENT.contains(&member) {
            if !value.is_null() {
                *value = hidden();
            }
            return;
        }
        match value {
            Value::Object(object) => {
                // Only what is declared has a target: its name is that of a command or an event, not a person's.
                let is_declared = object.contains_key("on") || object.contains_key("target");
                for (name, inside) in object {
                    if !(is_declared && name == "name") {
                        self.clean(name, inside);
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.clean(member, item)),
            Value::String(text) if KEYS.contains(&member) => *text = self.of(text),
            Value::String(_) if !WORDS.contains(&member) => *value = hidden(),
            _ => {}
        }
    }
}

fn hidden() -> Value {
    Value::from("…")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DIAL: &str = r#"{"request":7,"command":{"dial":{"channel":"c","destination":"5551234","extensions":{}}}}"#;

    #[test]
    fn a_command_without_an_answer_is_in_flight() {
        let recorder = Recorder::default();
        recorder.note(true, Kind::COMMAND, 3, DIAL);
        recorder.note(true, Kind::COMMAND, 3, r#"{"request":8,"command":{"ready":{"channel":"c"}}}"#);
        recorder.note(false, Kind::ANSWER, 3, r#"{"request":8,"outcome":{"success":null}}"#);
        // Another agent's answer to a request of the same number.
        recorder.note(false, Kind::ANSWER, 4, r#"{"request":7,"outcome":{"success":null}}"#);
        assert_eq!(recorder.in_flight().into_iter().collect::<Vec<_>>(), ["dial"]);
    }

    #[test]
    fn an_extension_command_is_named_as_it_was_declared() {
        let recorder = Recorder::default();
        let name = "session.request.acme.boom";
        recorder.note(
            true,
            Kind::COMMAND,
            3,
            &format!(r#"{{"request":1,"command":{{"extension":{{"name":"{name}","target":"session","data":{{}}}}}}}}"#),
        );
        assert_eq!(recorder.in_flight().into_iter().collect::<Vec<_>>(), [name]);
        assert!(recorder.text("x").contains(name));
    }

    #[test]
    fn nothing_that_may_tell_of_a_person_is_written_down() {
        let recorder = Recorder::default();
        recorder.note(true, Kind::LOG_IN, 3, r#"{"platform":1,"login":{"agent":"a","password":"hunter2"}}"#);
        recorder.note(true, Kind::COMMAND, 3, DIAL);
        recorder.note(
            true,
            Kind::COMMAND,
            3,
            r#"{"request":9,"command":{"not_ready":{"channel":"tel:5550001","reason_code":"Ada's","reason_desc":"Eve"}}}"#,
        );
        recorder.note(
            false,
            Kind::REPORT,
            3,
            r#"{"channels":[{"key":"tel:5550001","was":"tel:5550002","endpoint":"5550001","name":"Bob","later":"Carol",
               "interactions":[{"key":"5551234","data":{"card":"4111"},"conversations":[{"key":"v","state":"TALKING",
               "members":[{"key":"sip:ada@example.org","address":"5559876","name":"Ada","role":"customer"}]}]}]}],
               "events":[{"on":{"interaction":{"channel":"tel:5550001","interaction":"5551234"}},
               "name":"interaction.acme.told","data":{"to":"Dan"}}]}"#,
        );
        let answer = r#"{"request":7,"outcome":{"success":{"entries":[{"label":"Faythe","count":5557777}]}}}"#;
        recorder.note(false, Kind::ANSWER, 3, answer);
        let text = recorder.text("a test");
        // When it was may have any digits.
        let text: String = text.lines().map(|line| line.split_once(' ').map_or(line, |(_, said)| said)).collect();
        for private in ["hunter2", "555", "4111", "Ada", "ada", "Eve", "Bob", "Carol", "Dan", "Faythe"] {
            assert!(!text.contains(private), "{private} in {text}");
        }
        for word in ["\"dial\"", "TALKING", "customer", "interaction.acme.told"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
    }

    #[test]
    fn a_key_has_one_alias_in_a_file_and_no_other_has_the_same() {
        let recorder = Recorder::default();
        recorder.note(true, Kind::COMMAND, 3, r#"{"request":8,"command":{"ready":{"channel":"5550001"}}}"#);
        recorder.note(false, Kind::REPORT, 3, r#"{"channels":[{"key":"5550002"},{"key":"5550001"}]}"#);
        let text = recorder.text("a test");
        assert!(text.contains(r##"{"ready":{"channel":"#1"}}"##), "{text}");
        assert!(text.contains(r##"[{"key":"#2"},{"key":"#1"}]"##), "{text}");
    }

    #[test]
    fn the_oldest_recordings_make_room_for_new_ones_and_nothing_else_does() {
        let folder = std::env::temp_dir().join(format!("jackfield-recordings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for n in 0_u32..5 {
            let file = std::fs::File::create(folder.join(format!("{n}.log"))).unwrap();
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(n.into())).unwrap();
        }
        std::fs::write(folder.join("README"), "mine").unwrap();
        prune(&folder, 2);
        let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["3.log", "4.log", "README"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let recorder = Recorder::default();
        for _ in 0..10_000 {
            recorder.note(true, Kind::COMMAND, 3, DIAL);
        }
        assert!(recorder.ring.lock().bytes <= MAX_BYTES);
    }
}
