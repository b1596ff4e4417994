//! What AstDB keeps of callbacks, by which they outlive this process and Asterisk's.
//!
//! Owns: the form of the entries, `jackfield/<application>/callback/<id>`, and when they are read. Call data stand below an
//! entry in parts, as the manager interface takes only short lines. Must never: take for a callback what is none.

use std::collections::{BTreeMap, BTreeSet};

use jackfield_plugin_api::Json;
use serde::{Deserialize, Serialize};

use super::{
    Effect, Switch,
    callbacks::{Callback, RIGHT, Storing},
    model::PartyState,
};
use crate::manager::{LONGEST_VALUE, Order};

/// How many characters of call data one entry holds: each has at most four bytes there.
const PART: usize = LONGEST_VALUE / 4 - 2;
/// Call data that are longer, as JSON, are left out: better that than the callback.
const LONGEST_DATA: usize = 16 << 10;
/// How many characters of a customer's name are kept.
const LONGEST_NAME: usize = 60;
/// A key of no callback: to remove it shows whether the user may.
const SELF_TEST: &str = "self-test";

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptCallback {
    pub(super) queue: String,
    pub(super) number: String,
    #[serde(default)]
    pub(super) name: String,
    /// When the caller came, in milliseconds since 1970.
    pub(super) since: u64,
    /// The channel by which the caller asked for it.
    #[serde(default)]
    pub(super) caller: String,
    /// How often the number was called.
    #[serde(default)]
    pub(super) attempts: u32,
    /// It is not called before; in milliseconds since 1970.
    #[serde(default)]
    pub(super) not_before: u64,
    /// In how many parts the call data stand below.
    #[serde(default)]
    pub(super) parts: usize,
}

impl Switch {
    fn callback_family(&self) -> String {
        format!("jackfield/{}/callback", self.settings.address.application)
    }

    pub(super) fn uses_callbacks(&self) -> bool {
        self.settings.queues.values().any(|queue| queue.callback.is_some())
    }

    /// Writes a new callback. `number`: comes back when that is done.
    pub(super) fn keep_callback(&mut self, number: Option<u64>, id: &str, callback: &mut Callback) {
        let parts = parts(&callback.data);
        callback.kept.parts = parts.len();
        for (index, part) in parts.into_iter().enumerate() {
            self.keep_value(None, format!("{id}/{index}"), part);
        }
        // Last, so that what it names is there.
        self.keep_entry(number, id, &callback.kept);
    }

    /// Writes what changed of a callback but its call data.
    pub(super) fn keep_entry(&mut self, number: Option<u64>, id: &str, kept: &KeptCallback) {
        let name = kept.name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let value = serde_json::to_string(&KeptCallback { name, ..kept.clone() }).unwrap_or_default();
        self.keep_value(number, id.to_owned(), value);
    }

    fn keep_value(&mut self, id: Option<u64>, key: String, value: String) {
        let family = self.callback_family();
        self.effects.push(Effect::Manager(Order::Keep { id, family, key, value }));
    }

    pub(super) fn forget_callback(&mut self, number: Option<u64>, id: &str) {
        let (family, key) = (self.callback_family(), id.to_owned());
        self.effects.push(Effect::Manager(Order::Forget { id: number, family, key }));
    }

    /// There is a connection: asks what is kept.
    pub(super) fn read_callbacks(&mut self) {
        // Another life has the callbacks now.
        if self.uses_callbacks() && !self.fenced {
            self.forget_callback(None, SELF_TEST);
            let family = self.callback_family();
            self.effects.push(Effect::Manager(Order::Kept { family }));
        }
    }

    pub(super) fn callbacks_read(&mut self, entries: Result<Vec<(String, String)>, String>) {
        let entries = match entries {
            _ if self.fenced => return,
            Ok(entries) => entries,
            Err(why) => {
                self.warn(format!("callbacks cannot be read, so nobody is called back: {why} {RIGHT}"));
                self.callbacks.refused = Some(why);
                self.queues_touched = true;
                return;
            }
        };
        let mut parts: BTreeMap<&str, BTreeMap<usize, &str>> = BTreeMap::new();
        for (key, value) in &entries {
            if let Some((id, Ok(index))) = key.split_once('/').map(|(id, index)| (id, index.parse())) {
                parts.entry(id).or_default().insert(index, value);
            }
        }
        let heads: BTreeMap<&str, &str> = entries
            .iter()
            .filter(|(key, _)| !key.contains('/'))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        for (id, text) in &heads {
            self.callback_read(id, text, parts.get(id));
        }
        for id in parts.keys().filter(|id| !heads.contains_key(*id)) {
            self.forget_callback(None, id);
        }
        // What Asterisk had not written to its disk yet when it ended.
        let lost = self.callbacks.known.keys().filter(|id| !heads.contains_key(id.as_str())).cloned();
        for id in lost.collect::<Vec<_>>() {
            if let Some(mut callback) = self.callbacks.known.remove(&id) {
                self.keep_callback(None, &id, &mut callback);
                self.callbacks.known.insert(id, callback);
            }
        }
        self.callbacks.are_known();
        self.queues_touched = true;
    }

    fn callback_read(&mut self, id: &str, text: &str, parts: Option<&BTreeMap<usize, &str>>) {
        let kept = serde_json::from_str::<KeptCallback>(text).ok().filter(|kept| can_be_called_back(&kept.number));
        let Some(kept) = kept else {
            if self.callbacks.named.insert(id.to_owned()) {
                self.warn(format!("AstDB has no callback under /{}/{id}: it is left alone", self.callback_family()));
            }
            return;
        };
        let is_it = |callback: &Option<String>| callback.as_deref() == Some(id);
        let reached = self.parties.iter().find(|(_, party)| party.state == PartyState::Up && is_it(&party.callback));
        if let Some((channel, _)) = reached {
            let channel = channel.clone();
            return self.forget_reached(id, channel);
        }
        let is_forgotten = |storing: &Storing| matches!(storing, Storing::Reached { id: other, .. } if other == id);
        if self.callbacks.known.contains_key(id) || self.callbacks.storing.values().any(is_forgotten) {
            return;
        }
        let data = data(kept.parts, parts);
        if data.is_none() {
            self.warn(format!("the call data of the callback {id} are not whole, and are left out"));
        }
        let due = self.instant_of(kept.not_before);
        self.callbacks.known.insert(id.to_owned(), Callback { kept, data: data.unwrap_or_default(), due });
    }
}

/// Whether a number can be called back. Nobody knows who has given it, so it must be nothing but a number.
pub(super) fn can_be_called_back(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (1..=32).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Call data as the values of entries.
fn parts(data: &BTreeMap<String, Json>) -> Vec<String> {
    let text = serde_json::to_string(data).unwrap_or_default();
    if data.is_empty() || text.len() > LONGEST_DATA {
        return Vec::new();
    }
    let letters: Vec<char> = text.chars().collect();
    // Quoted, for the interface takes blanks off the ends of a line.
    let quoted = |part: &[char]| serde_json::to_string(&part.iter().collect::<String>()).unwrap_or_default();
    letters.chunks(PART).map(quoted).collect()
}

/// Call data from the values of that many entries. `None`: they are not whole.
fn data(count: usize, parts: Option<&BTreeMap<usize, &str>>) -> Option<BTreeMap<String, Json>> {
    if count == 0 {
        return Some(BTreeMap::new());
    }
    let parts = parts?;
    let text: Option<String> =
        (0..count).map(|index| serde_json::from_str::<String>(parts.get(&index)?).ok()).collect();
    serde_json::from_str(&text?).ok()
}

/// The ids of callbacks that somebody is the customer of.
pub(super) fn standing(switch: &Switch) -> BTreeSet<String> {
    switch.parties.values().filter_map(|party| party.callback.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jackfield_plugin_api::Json;
    use serde_json::json;

    use super::{data, parts};
    use crate::manager::LONGEST_VALUE;

    #[test]
    fn call_data_of_any_length_and_letters_stand_in_lines_that_asterisk_takes() {
        for text in ["C-42".to_owned(), "\"\\\n|".repeat(500), "\u{1F600} ".repeat(700), " ".repeat(3000)] {
            let before: BTreeMap<String, Json> = BTreeMap::from([("NOTE".to_owned(), json!(text).into())]);
            let lines = parts(&before);
            assert!(lines.iter().all(|line| line.len() <= LONGEST_VALUE && !line.contains(['\r', '\n'])));
            let read: BTreeMap<usize, &str> = lines.iter().map(|line| line.trim()).enumerate().collect();
            assert_eq!(data(lines.len(), Some(&read)), Some(before));
        }
        assert_eq!(data(2, Some(&BTreeMap::from([(0, "\"{}\"")]))), None);
    }
}
