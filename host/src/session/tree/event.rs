//! One event of the protocol, and the writing of its data.
//!
//! Owns the text form of events: each is serialised once, here, straight into JSON text without a tree of values in
//! between, because a busy host writes tens of thousands of them a second. Must never decide what is said or in which
//! order. The journal puts the number in and sends the result as it is.

use std::{borrow::Cow, fmt::Write as _};

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
    /// The whole message with its number, as the desktop gets it.
    #[must_use]
    pub fn message(&self, seq: u64) -> String {
        let mut text = String::with_capacity(self.target.len() + self.name.len() + self.data.len() + 88);
        text.push_str("{\"messageType\":\"objectEvent\",\"seq\":");
        write!(text, "{seq}").expect("a string takes everything");
        text.push_str(",\"target\":");
        quote(&mut text, &self.target);
        text.push_str(",\"name\":");
        quote(&mut text, &self.name);
        text.push_str(",\"data\":");
        text.push_str(&self.data);
        text.push('}');
        text
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

    fn name(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        quote(self.text, name);
        self.text.push(':');
        self.text
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        let text = self.name(name);
        quote(text, value);
    }

    /// Writes nothing where there is no value.
    pub(super) fn text_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.json(name, if value { "true" } else { "false" });
    }

    /// Writes a value that is JSON text already.
    pub(super) fn json(&mut self, name: &str, value: &str) {
        self.name(name).push_str(value);
    }

    /// Writes an id: the letter of its kind and its number.
    pub(super) fn id(&mut self, name: &str, letter: char, number: u64) {
        write!(self.name(name), "\"{letter}{number}\"").expect("a string takes everything");
    }

    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Members<'_>)) {
        Members::write(self.name(name), fill);
    }

    pub(super) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) {
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

/// Appends a JSON string.
fn quote(text: &mut String, value: &str) {
    text.push('"');
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        text.push_str(&value[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            _ => write!(text, "\\u{byte:04x}").expect("a string takes everything"),
        }
    }
    text.push_str(&value[plain..]);
    text.push('"');
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
        assert_eq!(
            event.message(17),
            r#"{"messageType":"objectEvent","seq":17,"target":"S.c1","name":"state.updated","data":{"state":"ACTIVE","empty":{},"actions":["a","b"]}}"#
        );
    }
}
