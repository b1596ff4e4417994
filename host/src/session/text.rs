//! The text of messages on their way to a client.
//!
//! Owns: the room of such texts, which a thread uses again: nearly all are written and sent within one turn of a
//! connection's task, so they need neither an allocation nor memory that has left the processor's caches. Must never: keep
//! much, or what an unusually long text has needed.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

use hyper::body::Bytes;
use smallvec::SmallVec;

/// The least room of a text, and the most that is kept of one.
const ROOM: (usize, usize) = (1024, 2048);

/// How many texts' room a thread keeps: those of one command, its response and its events, and a few more.
const SPARE: usize = 8;

thread_local! {
    static SPARE_ROOM: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// UTF-8 JSON, one or several messages long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(Vec<u8>);

/// How long each message of a text is: mostly there are few.
pub type Lengths = SmallVec<[u32; 8]>;

impl Text {
    /// An empty one with room for so many bytes at least.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        let spare = SPARE_ROOM.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let mut room = spare.unwrap_or_default();
        room.reserve(bytes.max(ROOM.0));
        Self(room)
    }

    /// Appends.
    pub fn push_str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        if (ROOM.0..=ROOM.1).contains(&room.capacity()) {
            room.clear();
            // Not where the thread is ending.
            let _ = SPARE_ROOM.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < SPARE {
                    spare.push(room);
                }
            });
        }
    }
}

impl Deref for Text {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Text {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Self {
        Self(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Text> for Bytes {
    fn from(mut text: Text) -> Self {
        std::mem::take(&mut text.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_unless_it_is_much() {
        let place = |room: usize| {
            let text = Text::with_room(room);
            (text.as_ptr(), text.capacity(), text.is_empty())
        };
        assert_eq!(place(10), place(100), "the next text has the room of the one before");
        place(1 << 20);
        let (_, room, empty) = place(10);
        assert!(empty && room <= ROOM.1, "{room} bytes were kept");
        let many: Vec<Text> = (0..100).map(|_| Text::with_room(10)).collect();
        drop(many);
        assert_eq!(SPARE_ROOM.with_borrow(Vec::len), SPARE);
    }
}
