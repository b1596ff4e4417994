//! One event of the protocol, and the writing of its data.
//!
//! Owns the text form of events: each is serialised once, here, straight into JSON text without a tree of values in
//! between, because a busy host writes tens of thousands of them a second. Must never decide what is said or in which
//! order. The journal puts the number in and sends the result as it is.

use std::borrow::Cow;

/// An event, all but its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The host's path of the object, `S.c1.i2`.
    pub target: Box<str>,
    /// The event's name.
    pub name: Cow<'static, str>,
    /// The JSON text of its data: an object.
    pub data: Box<str>,
}

impl Event {
    /// About how long [`Self::write`] makes it.
    pub(in crate::session) fn size(&self) -> usize {
        self.target.len() + self.name.len() + self.data.len() + 88
    }

    /// Appends the whole message with its number, as the desktop gets it.
    pub fn write(&self, text: &mut String, seq: u64) {
        text.push_str("{\"messageType\":\"objectEvent\",\"seq\":");
        number(text, seq);
        text.push_str(",\"target\":");
        quote(text, &self.target);
        text.push_str(",\"name\":");
        quote(text, &self.name);
        text.push_str(",\"data\":");
        text.push_str(&self.data);
        text.push('}');
    }
}

/// Writes the members of one JSON object.
pub(super) struct Members<'a> {
    text: &'a mut String,
    empty: bool,
}

impl<'a> Members<'a> {
    /// Writes a whole object.
    pub(super) fn write(text: &'a mut String, fill: impl FnOnce(&mut Members<'_>)) {
        text.push('{');
        fill(&mut Members { text, empty: true });
        text.push('}');
    }

    fn comma(&mut self) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
    }

    /// Begins a member that is always called the same.
    fn name(&mut self, name: &'static str) -> &mut String {
        self.comma();
        plain(self.text, name);
        self.text.push(':');
        self.text
    }

    /// Writes any text.
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        quote(self.name(name), value);
    }

    /// Writes nothing where there is no value.
    pub(super) fn text_if(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes one of the protocol's own words.
    pub(super) fn word(&mut self, name: &'static str, word: &'static str) {
        plain(self.name(name), word);
    }

    /// Writes nothing where there is no word.
    pub(super) fn word_if(&mut self, name: &'static str, word: Option<&'static str>) {
        if let Some(word) = word {
            self.word(name, word);
        }
    }

    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        self.json(name, if value { "true" } else { "false" });
    }

    /// Writes a value that is JSON text already.
    pub(super) fn json(&mut self, name: &'static str, value: &str) {
        self.name(name).push_str(value);
    }

    /// Writes a value that is JSON text already, under a name that is somebody else's.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.comma();
        quote(self.text, name);
        self.text.push(':');
        self.text.push_str(value);
    }

    /// Writes an id: the letter of its kind and its number.
    pub(super) fn id(&mut self, name: &'static str, letter: char, id: u64) {
        let text = self.name(name);
        text.push('"');
        text.push(letter);
        number(text, id);
        text.push('"');
    }

    pub(super) fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut Members<'_>)) {
        Members::write(self.name(name), fill);
    }

    pub(super) fn texts<'t>(&mut self, name: &'static str, values: impl Iterator<Item = &'t str>) {
        let text = self.name(name);
        text.push('[');
        for (n, value) in values.enumerate() {
            if n > 0 {
                text.push(',');
            }
            quote(text, value);
        }
        text.push(']');
    }
}

/// Appends a number in decimal digits.
pub(super) fn number(text: &mut String, value: u64) {
    if value >= 10 {
        number(text, value / 10);
    }
    text.push(char::from(b'0' + (value % 10) as u8));
}

/// Appends a word of the protocol as a JSON string: there is nothing in it to escape.
fn plain(text: &mut String, word: &'static str) {
    text.push('"');
    text.push_str(word);
    text.push('"');
}

/// Appends a JSON string.
fn quote(text: &mut String, value: &str) {
    // Looked at as a whole first, without a way out of the loop, which the compiler makes many bytes at a time of.
    let escapes = value.bytes().fold(false, |found, byte| found | must_be_escaped(byte));
    text.push('"');
    if escapes {
        escape(text, value);
    } else {
        text.push_str(value);
    }
    text.push('"');
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Event, Members, quote};

    #[test]
    fn any_text_survives_its_quoting() {
        let every: String = (0..0x250).filter_map(char::from_u32).chain("\u{2028}😀\u{7f}".chars()).collect();
        for value in ["", "plain", "\"", "\\", "ends with \n", &every] {
            let mut text = String::new();
            quote(&mut text, value);
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        }
    }

    #[test]
    fn an_event_becomes_the_message_of_the_protocol() {
        let mut data = String::new();
        Members::write(&mut data, |data| {
            data.text("state", "ACTIVE");
            data.object("empty", |_| {});
            data.texts("actions", ["a", "b"].into_iter());
        });
        let event = Event { target: "S.c1".into(), name: "state.updated".into(), data: data.into() };
        let mut text = String::new();
        event.write(&mut text, 17);
        assert_eq!(
            text,
            r#"{"messageType":"objectEvent","seq":17,"target":"S.c1","name":"state.updated","data":{"state":"ACTIVE","empty":{},"actions":["a","b"]}}"#
        );
    }
}
