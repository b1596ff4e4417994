//! The compact form of a message: what its JSON says, written with lengths instead of quotes, and without escapes.
//!
//! Owns: the writing and reading of any message of [`wire`](crate::wire) in this form. Must never: mean anything but
//! what the JSON would; members keep their names, unknown ones are skipped, missing ones get their default, so a type
//! may grow in the same ways in both forms. It is text like JSON (numbers and lengths are ASCII, strings are what they
//! are), so it goes through the same entries of the ABI. Used only where both sides have said that they read it, see
//! [`Hello::compact`](crate::wire::Hello::compact).
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

use std::{borrow::Cow, fmt};

use serde::{
    Serialize,
    de::{
        self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
    },
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant, Serializer,
    },
};

/// What a text in this form begins with: no JSON does.
pub const MARK: u8 = 1;

/// How deep values may be nested, as in `serde_json`.
const MAX_DEPTH: u8 = 128;

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
    let mut writer = Writer { out: text };
    writer.byte(MARK);
    message.serialize(writer)
}

/// Reads a message.
///
/// # Errors
/// The text is not in this form, or is another message.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut reader = Reader { text, at: 0, depth: MAX_DEPTH };
    if reader.byte() != Some(MARK) {
        return Err(error("not in the compact form"));
    }
    let message = T::deserialize(&mut reader)?;
    if reader.at == text.len() { Ok(message) } else { Err(error("something follows the message")) }
}

// ---- writing ----

struct Writer<'a> {
    out: &'a mut String,
}

impl Writer<'_> {
    /// One of ASCII.
    fn byte(&mut self, byte: u8) {
        self.out.push(char::from(byte & 0x7F));
    }

    fn number(&mut self, mut value: u64) {
        while value >= 64 {
            self.byte(0x40 | (value & 63) as u8);
            value >>= 6;
        }
        self.byte(value as u8);
    }

    fn tagged(&mut self, tag: u8, value: u64) {
        self.byte(tag);
        self.number(value);
    }

    /// A string without its tag.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.out.push_str(text);
    }

    fn variant(&mut self, name: &str) {
        self.byte(b'v');
        self.text(name);
    }

    fn many(self, tag: u8, length: Option<usize>) -> Result<Self, Error> {
        let mut many = self;
        let length = length.ok_or_else(|| error("a list of unknown length"))?;
        many.tagged(tag, length as u64);
        Ok(many)
    }

    fn inner(&mut self) -> Writer<'_> {
        Writer { out: self.out }
    }
}

/// Writes a narrow number as the wide one that it is.
macro_rules! writes_as {
    ($($narrow:ident $as:ident: $by:ident;)*) => {$(
        fn $narrow(self, value: $as) -> Result<(), Error> {
            self.$by(value.into())
        }
    )*};
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Writer<'a>;
    type SerializeTuple = Writer<'a>;
    type SerializeTupleStruct = Writer<'a>;
    type SerializeTupleVariant = Writer<'a>;
    type SerializeMap = Writer<'a>;
    type SerializeStruct = Writer<'a>;
    type SerializeStructVariant = Writer<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(mut self, value: bool) -> Result<(), Error> {
        self.byte(if value { b't' } else { b'f' });
        Ok(())
    }

    writes_as! {
        serialize_i8 i8: serialize_i64;
        serialize_i16 i16: serialize_i64;
        serialize_i32 i32: serialize_i64;
        serialize_u8 u8: serialize_u64;
        serialize_u16 u16: serialize_u64;
        serialize_u32 u32: serialize_u64;
        serialize_f32 f32: serialize_f64;
    }

    fn serialize_i64(mut self, value: i64) -> Result<(), Error> {
        match u64::try_from(value) {
            Ok(value) => self.tagged(b'u', value),
            Err(_) => self.tagged(b'i', (-1 - value).unsigned_abs()),
        }
        Ok(())
    }

    fn serialize_u64(mut self, value: u64) -> Result<(), Error> {
        self.tagged(b'u', value);
        Ok(())
    }

    fn serialize_f64(mut self, value: f64) -> Result<(), Error> {
        self.tagged(b'd', value.to_bits());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(mut self, value: &str) -> Result<(), Error> {
        self.byte(b's');
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(error("bytes that are no string"))
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(mut self) -> Result<(), Error> {
        self.byte(b'n');
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant);
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Error> {
        self.many(b'[', length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self, Error> {
        self.many(b'[', Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Self, Error> {
        self.many(b'[', Some(length))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Error> {
        self.variant(variant);
        self.many(b'[', Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Error> {
        self.many(b'{', length)
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Self, Error> {
        self.many(b'{', Some(length))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Error> {
        self.variant(variant);
        self.many(b'{', Some(length))
    }
}

macro_rules! writes_items {
    ($($of:ident: $item:ident;)*) => {$(
        impl $of for Writer<'_> {
            type Ok = ();
            type Error = Error;

            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                value.serialize(self.inner())
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}
writes_items! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

macro_rules! writes_members {
    ($($of:ident)*) => {$(
        impl $of for Writer<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.text(name);
                value.serialize(self.inner())
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}
writes_members! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Writer<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        // Written as a value first: the tag is what tells that the key is a string.
        let tag = self.out.len();
        key.serialize(self.inner())?;
        if self.out.as_bytes().get(tag) != Some(&b's') {
            return Err(error("a key that is no string"));
        }
        self.out.remove(tag);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.inner())
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

// ---- reading ----

struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// How much deeper it may go.
    depth: u8,
}

/// The pieces of a value. What is no such piece is none: of that an error is made only where it is known to be one, which
/// keeps this code, of which each message needs much, free of it.
impl<'de> Reader<'de> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            only @ ..0x40 => Some(only.into()),
            first => self.long_number(first),
        }
    }

    /// A number of more than one group.
    #[inline(never)]
    fn long_number(&mut self, first: u8) -> Option<u64> {
        let (mut value, mut shift, mut group) = (0_u64, 0, first);
        loop {
            let bits = u64::from(group & 63);
            if group >= 0x80 || shift > 60 || shift == 60 && bits > 15 {
                return None;
            }
            value |= bits << shift;
            if group < 0x40 {
                return Some(value);
            }
            shift += 6;
            group = self.byte()?;
        }
    }

    /// A string without its tag.
    #[inline(never)]
    fn text(&mut self) -> Option<&'de str> {
        match self.byte()? {
            length @ ..0x40 => self.piece(length.into()),
            first => self.long_text(first),
        }
    }

    #[inline(never)]
    fn long_text(&mut self, first: u8) -> Option<&'de str> {
        let length = self.long_number(first)?;
        self.piece(usize::try_from(length).ok()?)
    }

    #[inline]
    fn piece(&mut self, length: usize) -> Option<&'de str> {
        let end = self.at.checked_add(length)?;
        let piece = self.text.get(self.at..end)?;
        self.at = end;
        Some(piece)
    }

    /// How many follow. None can be more than there are bytes left.
    #[inline]
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.text.len() - self.at).then_some(count)
    }

    #[cold]
    fn malformed(&self) -> Error {
        Error(Box::new(Cow::Owned(format!("cut off, or not in the compact form, at byte {}", self.at))))
    }
}

/// The piece, or the error that there is none.
macro_rules! required {
    ($reader:ident.$piece:ident()) => {
        match $reader.$piece() {
            Some(piece) => piece,
            None => return Err($reader.malformed()),
        }
    };
}

impl<'de> Reader<'de> {
    fn inside<T>(&mut self, visit: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| error("nested too deep"))?;
        let visited = visit(self);
        self.depth += 1;
        visited
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let left = required!(self.count());
        self.inside(|reader| {
            let mut many = Many { left, reader };
            let value = visitor.visit_seq(&mut many)?;
            if many.left == 0 { Ok(value) } else { Err(error("a list with too many items")) }
        })
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let left = required!(self.count());
        self.inside(|reader| {
            let mut many = Many { left, reader };
            let value = visitor.visit_map(&mut many)?;
            if many.left == 0 { Ok(value) } else { Err(error("an object with too many members")) }
        })
    }

    /// A value of which the tag has been read.
    fn tagged<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Error> {
        match tag {
            b's' => visitor.visit_borrowed_str(required!(self.text())),
            b'{' => self.object(visitor),
            b'[' => self.list(visitor),
            b'n' => visitor.visit_unit(),
            b't' => visitor.visit_bool(true),
            b'f' => visitor.visit_bool(false),
            b'u' => visitor.visit_u64(required!(self.number())),
            b'i' => match i64::try_from(required!(self.number())) {
                Ok(value) => visitor.visit_i64(-1 - value),
                Err(_) => Err(error("a number that is none")),
            },
            b'd' => visitor.visit_f64(f64::from_bits(required!(self.number()))),
            // As JSON has it: an object with one member.
            b'v' => self.inside(|reader| visitor.visit_map(Many { left: 1, reader })),
            _ => Err(self.malformed()),
        }
    }

    /// A value of another type than what asks for it mostly gets: it will say so, or make do with it.
    #[cold]
    #[inline(never)]
    fn other<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Error> {
        self.tagged(tag, visitor)
    }

    fn skip(&mut self) -> Result<(), Error> {
        match required!(self.byte()) {
            b'n' | b't' | b'f' => {}
            b'u' | b'i' | b'd' => drop(required!(self.number())),
            b's' => drop(required!(self.text())),
            b'v' => {
                required!(self.text());
                self.inside(Self::skip)?;
            }
            b'[' => {
                let count = required!(self.count());
                self.inside(|reader| (0..count).try_for_each(|_| reader.skip()))?;
            }
            b'{' => {
                let count = required!(self.count());
                self.inside(|reader| {
                    (0..count).try_for_each(|_| {
                        required!(reader.text());
                        reader.skip()
                    })
                })?;
            }
            _ => return Err(self.malformed()),
        }
        Ok(())
    }
}

/// Looks first for what mostly stands where a type is asked for.
macro_rules! reads_first {
    ($($of:ident: $tag:literal, $visitor:ident, $reader:ident => $read:expr;)*) => {$(
        fn $of<V: Visitor<'de>>(self, $visitor: V) -> Result<V::Value, Error> {
            let $reader = self;
            match required!($reader.byte()) {
                $tag => $read,
                tag => $reader.other(tag, $visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = required!(self.byte());
        self.tagged(tag, visitor)
    }

    reads_first! {
        deserialize_str: b's', visitor, reader => visitor.visit_borrowed_str(required!(reader.text()));
        deserialize_string: b's', visitor, reader => visitor.visit_borrowed_str(required!(reader.text()));
        deserialize_u64: b'u', visitor, reader => visitor.visit_u64(required!(reader.number()));
        deserialize_seq: b'[', visitor, reader => reader.list(visitor);
        deserialize_map: b'{', visitor, reader => reader.object(visitor);
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'n') {
            self.at += 1;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match required!(self.byte()) {
            b's' => visitor.visit_enum(Variant { reader: self, has_value: false }),
            b'v' => self.inside(|reader| visitor.visit_enum(Variant { reader, has_value: true })),
            _ => Err(error("not a variant")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The items of a list, or the members of an object, that have not been read.
struct Many<'a, 'de> {
    left: usize,
    reader: &'a mut Reader<'de>,
}

impl<'de> SeqAccess<'de> for Many<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Many<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let reader = &mut *self.reader;
        seed.deserialize(Name(required!(reader.text()))).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The name of a member or of a variant.
struct Name<'de>(&'de str);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    has_value: bool,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let reader = &mut *self.reader;
        let name = required!(reader.text());
        Ok((seed.deserialize(Name(name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.has_value { de::Deserialize::deserialize(self.reader) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        if self.has_value { seed.deserialize(self.reader) } else { Err(error("a variant without its value")) }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        if self.has_value { self.reader.deserialize_any(visitor) } else { Err(error("a variant without its value")) }
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        if self.has_value { self.reader.deserialize_map(visitor) } else { Err(error("a variant without its value")) }
    }
}

#[cfg(test)]
mod tests;
