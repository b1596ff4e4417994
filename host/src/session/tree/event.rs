//! Events of the protocol, and the writing of their data.
//!
//! Owns the text form of events: each is serialised once, here, straight into JSON text without a tree of values in
//! between, because a busy host writes tens of thousands of them a second. Must never decide what is said or in which
//! order. The journal puts the number in and sends the result as it is.

use std::{cell::Cell, fmt};

use super::super::text::{Lengths, Text};

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

/// From behind an event's target to behind the brace that opens its data. A constant, as nearly all that an event is
/// made of: what the compiler knows the length of costs a few stores, any other text a call.
macro_rules! event {
    ($name:literal) => {
        concat!("\",\"name\":\"", $name, "\",\"data\":{")
    };
}
pub(super) use event;

/// A member's name with what stands around it, or a whole member whose value is one of the protocol's own words, a
/// truth value or null. A comma stands in front: whoever writes the first one leaves it out.
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
    ($name:literal: $value:ident) => {
        concat!(",\"", $name, "\":", stringify!($value))
    };
    ($name:literal: $word:literal) => {
        concat!(",\"", $name, "\":\"", $word, "\"")
    };
}
pub(super) use member;

/// What a thread keeps at most of the room for events' text.
const MOST_SPARE: usize = 64 * 1024;

thread_local! {
    /// Room for events. It is one for all sessions of a thread, so it is in the processor's caches whenever it is needed.
    static SPARE: Cell<Events> = const { Cell::new(Events { text: String::new(), lines: Vec::new() }) };
}

/// Where one event is: from what stands before its target to what stands behind its data.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: usize,
    target_end: usize,
    name_end: usize,
    end: usize,
}

impl Events {
    /// None yet, with the room of those that were given back before.
    pub(super) fn with_room() -> Self {
        SPARE.take()
    }

    /// Leaves the room that they took to the next report that this thread works on.
    pub fn give_back(mut self) {
        if self.text.capacity() <= MOST_SPARE {
            self.clear();
            SPARE.set(self);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// How long they are together, without their numbers.
    pub(in crate::session) fn bytes(&self) -> usize {
        self.text.len()
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

    /// Adds an event of which [`event!`] has made the name, its data written by `fill`.
    #[inline]
    pub(super) fn write(&mut self, target: &str, name: &'static str, fill: impl FnOnce(&mut Members<'_>)) {
        let text = &mut self.text;
        let start = text.len();
        text.push_str(TARGET);
        text.push_str(target);
        let target_end = text.len();
        text.push_str(name);
        let name_end = text.len() - "{".len() - DATA.len();
        fill(&mut Members { text, empty: true });
        text.push_str("}}");
        self.lines.push(Line { start, target_end, name_end, end: text.len() });
    }

    /// Adds an event. Neither its target nor its name has anything to escape.
    pub(in crate::session) fn push(&mut self, event: Event<'_>) {
        let line = self.written(event.target, event.name, |text| text.push_str(event.data));
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

    /// Forgets all but the first, as many as are no longer than this together.
    pub(super) fn truncate_bytes(&mut self, most: usize) {
        let fit = self.lines.iter().take_while(|line| line.end <= most).count();
        self.truncate(fit);
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

    /// The whole message of each with its number, as the desktop gets it, one behind the other; and how long each is.
    #[must_use]
    pub fn number(&self, first: u64) -> (Text, Lengths) {
        let numbers = first..first + self.lines.len() as u64;
        let digits = numbers.end.checked_ilog10().unwrap_or(0) as usize + 1;
        // Just as long as the text will be, if none was rewritten.
        let mut text = Text::with_room(self.text.len() + self.lines.len() * (HEAD.len() + digits));
        let mut lengths = Lengths::new();
        for (line, seq) in self.lines.iter().zip(numbers) {
            let start = text.len();
            text.push_str(HEAD);
            text.push_str(itoa::Buffer::new().format(seq));
            text.extend_from_slice(&self.text.as_bytes()[line.start..line.end]);
            lengths.push(u32::try_from(text.len() - start).expect("what an event tells is bounded"));
        }
        (text, lengths)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Writes the members of one JSON object. Names come from [`member!`].
pub(super) struct Members<'a> {
    text: &'a mut String,
    empty: bool,
}

impl<'a> Members<'a> {
    /// Writes a whole object.
    #[inline]
    pub(super) fn write(text: &'a mut String, fill: impl FnOnce(&mut Members<'_>)) {
        text.push('{');
        fill(&mut Members { text, empty: true });
        text.push('}');
    }

    /// Begins a member that is always called the same.
    #[inline]
    fn name(&mut self, name: &'static str) -> &mut String {
        let comma = usize::from(std::mem::take(&mut self.empty));
        self.text.push_str(&name[comma..]);
        self.text
    }

    /// Writes any text.
    #[inline]
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        quote(self.name(name), value);
    }

    /// Writes nothing where there is no value.
    #[inline]
    pub(super) fn text_if(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes a whole member.
    pub(super) fn whole(&mut self, member: &'static str) {
        self.name(member);
    }

    /// Writes nothing where there is none.
    pub(super) fn whole_if(&mut self, member: Option<&'static str>) {
        if let Some(member) = member {
            self.whole(member);
        }
    }

    /// Writes a value that is JSON text already, under a name that is somebody else's.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        if !std::mem::take(&mut self.empty) {
            self.text.push(',');
        }
        quote(self.text, name);
        self.text.push(':');
        self.text.push_str(value);
    }

    /// Writes an id: the letter of its kind and its number.
    #[inline]
    pub(super) fn id(&mut self, name: &'static str, letter: char, id: u64) {
        let text = self.name(name);
        text.push('"');
        text.push(letter);
        number(text, id);
        text.push('"');
    }

    #[inline]
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

    use super::{Event, Events, MOST_SPARE, quote};

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
        events.write("S.c1", event!("state.updated"), |data| {
            data.text(member!("state"), "ACTIVE");
            data.object(member!("empty"), |_| {});
            data.texts(member!("actions"), ["a", "b"].into_iter());
        });
        let (text, lengths) = events.number(17);
        assert_eq!(
            String::from_utf8(text.to_vec()).unwrap(),
            r#"{"messageType":"objectEvent","seq":17,"target":"S.c1","name":"state.updated","data":{"state":"ACTIVE","empty":{},"actions":["a","b"]}}"#
        );
        assert_eq!(lengths[..], [u32::try_from(text.len()).unwrap()]);
    }

    fn events(names: &[&str]) -> Events {
        let mut events = Events::default();
        names.iter().for_each(|name| events.push(Event { target: "S", name, data: "{}" }));
        events
    }

    #[test]
    fn room_is_used_again_without_what_was_in_it_and_not_where_it_is_large() {
        events(&["a", "b"]).give_back();
        let again = Events::with_room();
        assert!(again.is_empty() && again.text.is_empty() && again.text.capacity() > 0);
        events(&["x".repeat(MOST_SPARE).as_str()]).give_back();
        assert_eq!(Events::with_room().text.capacity(), 0);
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
