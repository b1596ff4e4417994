//! The compact form of a message: what its JSON says, written with lengths instead of quotes, and without escapes.
//!
//! Owns: the writing and reading of any message of [`wire`](crate::wire) in this form. Must never: mean anything but
//! what the JSON would; members keep their names, unknown ones are skipped, missing ones get their default, so a type
//! may grow in the same ways in both forms. It is text like JSON (numbers and lengths are ASCII, strings are what they
//! are), so it goes through the same entries of the ABI. Used only where both sides have said that they read it, see
//! [`Hello::compact`](crate::wire::Hello::compact).
//!
//! What each command brings has a shorter way to and from the same text: `direct.rs`.
//!
//! Why: more than half of what a command cost between a host and a plugin was the scanning, quoting and matching of
//! JSON, on both sides.
//!
//! ```text
//! number   groups of six bits, the lowest first, each an ASCII character; 0x40 is set in all but the last
//! n        nothing                                  t, f     true, false
//! u, i     a number; i: of -1 - value               d        a float: the number that its bits are
//! s        a string: number of bytes, the bytes     v        a variant with a value: its name as a string, the value
//! [        a list: number of items, the items       {        an object: number of members, name and value of each
//! ```

mod direct;
mod read;
mod write;

use std::{borrow::Cow, fmt};

use serde::{
    Serialize,
    de::{self, DeserializeOwned},
    ser,
};

use self::{read::Reader, write::Writer};

/// What a text in this form begins with: no JSON does.
pub const MARK: u8 = 1;

/// Why a message cannot be written or read. Of one word, so that what may fail still returns in registers.
#[derive(Debug)]
pub struct Error(Box<Cow<'static, str>>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(Cow::Owned(message.to_string())))
    }
}

impl de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(Cow::Owned(message.to_string())))
    }
}

#[cold]
fn error(what: &'static str) -> Error {
    Error(Box::new(Cow::Borrowed(what)))
}

/// Appends a message to a text.
///
/// # Errors
/// It contains a list of unknown length, or bytes that are no string.
pub fn write<T: Serialize + ?Sized>(message: &T, text: &mut String) -> Result<(), Error> {
    message.serialize(Writer::begin(text))
}

/// Reads a message.
///
/// # Errors
/// The text is not in this form, or is another message.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut reader = Reader::begin(text).ok_or_else(|| error("not in the compact form"))?;
    let message = T::deserialize(&mut reader)?;
    if reader.is_at_end() { Ok(message) } else { Err(error("something follows the message")) }
}

#[cfg(test)]
mod tests;
