//! Events of the protocol, and the writing of their data.
//!
//! Owns the text form of events: each is serialised once, here, straight into JSON text without a tree of values in
//! between, because a busy host writes tens of thousands of them a second. Must never decide what is said or in which
//! order. The journal puts the number in and sends the result as it is.

use std::fmt;

/// An event, all but its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The host's path of the object, `S.c1.i2`.
    pub target: &'a str,
    /// The event's name.
    pub name: &'a str,
    /// The JSON text of its data: an object.
    pub data: &'a str,
}

/// Events in order, each written but for its number: all in one text, because several come of nearly every report.
#[derive(Clone, Default)]
pub struct Events {
    text: String,
    /// In the order of the events, which need not be that of the text.
    lines: Vec<Line>,
}

/// What stands in front of an event's number.
const HEAD: &str = "{\"messageType\":\"objectEvent\",\"seq\":";
/// What stands between number and target, target and name, name and data, and behind them.
const TARGET: &str = ",\"target\":\"";
const NAME: &str = "\",\"name\":\"";
const DATA: &str = "\",\"data\":";
const END: &str = "}";

/// Where one event is: from what stands before its target to what stands behind its data.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: usize,
    target_end: usize,
    name_end: usize,
    end: usize,
}

impl Events {
    /// None yet, with room for those of most reports.
    pub(super) fn with_room() -> Self {
        Self { text: String::with_capacity(1024), lines: Vec::with_capacity(12) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Event<'_>> + ExactSizeIterator {
        self.lines.iter().map(|line| Event {
            target: &self.text[line.start + TARGET.len()..line.target_end],
            name: &self.text[line.target_end + NAME.len()..line.name_end],
            data: &self.text[line.name_end + DATA.len()..line.end - END.len()],
        })
    }

    /// Adds an event. Neither its target nor its name has anything to escape.
    pub(in crate::session) fn push(&mut self, event: Event<'_>) {
        self.write(event.target, event.name, |text| text.push_str(event.data));
    }

    /// Adds an event whose data are written by `fill`.
    pub(super) fn write(&mut self, target: &str, name: &str, fill: impl FnOnce(&mut String)) {
        let line = self.written(target, name, fill);
        self.lines.push(line);
    }

    fn written(&mut self, target: &str, name: &str, fill: impl FnOnce(&mut String)) -> Line {
        let text = &mut self.text;
        let start = text.len();
        text.push_str(TARGET);
        text.push_str(target);
        let target_end = text.len();
        text.push_str(NAME);
        text.push_str(name);
        let name_end = text.len();
        text.push_str(DATA);
        fill(text);
        text.push_str(END);
        Line { start, target_end, name_end, end: text.len() }
    }

    /// Adds all of the others.
    pub(in crate::session) fn append(&mut self, others: &Self) {
        others.iter().for_each(|event| self.push(event));
    }

    /// Takes all but the first away.
    pub(in crate::session) fn split_off(&mut self, first: usize) -> Self {
        let mut rest = Self::default();
        self.iter().skip(first).for_each(|event| rest.push(event));
        self.truncate(first);
        rest
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }

    /// Forgets all but the first.
    pub(super) fn truncate(&mut self, count: usize) {
        self.lines.truncate(count);
        let end = self.lines.iter().map(|line| line.end).max();
        self.text.truncate(end.unwrap_or(0));
    }

    /// Puts those from `middle` on in front of those from `first` on.
    pub(super) fn rotate(&mut self, first: usize, middle: usize) {
        self.lines[first..].rotate_left(middle - first);
    }

    /// Gives each event of a name other data: what `fill` makes of its target and the data before.
    pub(super) fn rewrite(&mut self, name: &str, mut fill: impl FnMut(Event<'_>, &mut String)) {
        for at in 0..self.lines.len() {
            let Line { start, target_end, name_end, end } = self.lines[at];
            if &self.text[target_end + NAME.len()..name_end] != name {
                continue;
            }
            // Read from a copy, because it is written behind it in the same text.
            let before = self.text[start..end].to_owned();
            let event = Event {
                target: &before[TARGET.len()..target_end - start],
                name,
                data: &before[name_end - start + DATA.len()..end - start - END.len()],
            };
            self.lines[at] = self.written(event.target, name, |text| fill(event, text));
        }
    }

    /// About how long they are with their numbers, all together.
    pub(in crate::session) fn size(&self) -> usize {
        self.text.len() + self.lines.len() * (HEAD.len() + 20)
    }

    /// Appends the whole message of each with its number, as the desktop gets it; the answer is how long each is.
    pub fn number(&self, text: &mut String, first: u64) -> Vec<u32> {
        let mut lengths = Vec::with_capacity(self.lines.len());
        for (line, seq) in self.lines.iter().zip(first..) {
            let start = text.len();
            text.push_str(HEAD);
            number(text, seq);
            text.push_str(&self.text[line.start..line.end]);
            lengths.push(u32::try_from(text.len() - start).expect("what an event tells is bounded"));
        }
        lengths
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
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
    text.push_str(itoa::Buffer::new().format(value));
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

    use super::{Event, Events, Members, quote};

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
        let mut events = Events::default();
        events.write("S.c1", "state.updated", |text| {
            Members::write(text, |data| {
                data.text("state", "ACTIVE");
                data.object("empty", |_| {});
                data.texts("actions", ["a", "b"].into_iter());
            });
        });
        let mut text = String::new();
        let lengths = events.number(&mut text, 17);
        assert_eq!(
            text,
            r#"{"messageType":"objectEvent","seq":17,"target":"S.c1","name":"state.updated","data":{"state":"ACTIVE","empty":{},"actions":["a","b"]}}"#
        );
        assert_eq!(lengths, [u32::try_from(text.len()).unwrap()]);
    }

    fn events(names: &[&str]) -> Events {
        let mut events = Events::default();
        names.iter().for_each(|name| events.push(Event { target: "S", name, data: "{}" }));
        events
    }

    #[test]
    fn the_last_events_can_be_put_before_others() {
        let mut events = events(&["a", "b", "c", "d", "e"]);
        events.rotate(1, 3);
        assert_eq!(events.iter().map(|event| event.name).collect::<String>(), "adebc");
    }

    #[test]
    fn data_can_be_written_anew() {
        let mut events = events(&["a", "b"]);
        events.rewrite("a", |event, text| text.push_str(&format!("[{:?},{}]", event.target, event.data)));
        let told: Vec<_> = events.iter().map(|event| (event.target, event.name, event.data)).collect();
        assert_eq!(told, [("S", "a", r#"["S",{}]"#), ("S", "b", "{}")]);
    }
}
