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

use std::fmt;

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

/// Why a message cannot be written or read.
#[derive(Debug)]
pub struct Error(Box<str>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string().into())
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string().into())
    }
}

#[cold]
fn error(what: &str) -> Error {
    Error(what.into())
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
    if reader.byte()? != MARK {
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

impl<'de> Reader<'de> {
    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.text.as_bytes().get(self.at).ok_or_else(|| error("the message is cut off"))?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn number(&mut self) -> Result<u64, Error> {
        let first = self.byte()?;
        if first < 0x40 {
            return Ok(first.into());
        }
        let (mut value, mut shift, mut group) = (0_u64, 0, first);
        loop {
            let bits = u64::from(group & 63);
            if group >= 0x80 || shift > 60 || shift == 60 && bits > 15 {
                return Err(error("a number that is none"));
            }
            value |= bits << shift;
            if group < 0x40 {
                return Ok(value);
            }
            shift += 6;
            group = self.byte()?;
        }
    }

    /// A string without its tag.
    fn text(&mut self) -> Result<&'de str, Error> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let text = self.at.checked_add(length).and_then(|end| self.text.get(self.at..end));
        let text = text.ok_or_else(|| error("a string that is cut off"))?;
        self.at += length;
        Ok(text)
    }

    /// How many follow. None can be more than there are bytes left.
    fn count(&mut self) -> Result<usize, Error> {
        match usize::try_from(self.number()?) {
            Ok(count) if count <= self.text.len() - self.at => Ok(count),
            _ => Err(error("a list that is cut off")),
        }
    }

    fn inside<T>(&mut self, visit: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| error("nested too deep"))?;
        let visited = visit(self);
        self.depth += 1;
        visited
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let left = self.count()?;
        self.inside(|reader| {
            let mut many = Many { left, reader };
            let value = visitor.visit_seq(&mut many)?;
            if many.left == 0 { Ok(value) } else { Err(error("a list with too many items")) }
        })
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let left = self.count()?;
        self.inside(|reader| {
            let mut many = Many { left, reader };
            let value = visitor.visit_map(&mut many)?;
            if many.left == 0 { Ok(value) } else { Err(error("an object with too many members")) }
        })
    }

    fn skip(&mut self) -> Result<(), Error> {
        match self.byte()? {
            b'n' | b't' | b'f' => Ok(()),
            b'u' | b'i' | b'd' => self.number().map(drop),
            b's' => self.text().map(drop),
            b'v' => {
                self.text()?;
                self.inside(Self::skip)
            }
            b'[' => {
                let count = self.count()?;
                self.inside(|reader| (0..count).try_for_each(|_| reader.skip()))
            }
            b'{' => {
                let count = self.count()?;
                self.inside(|reader| {
                    (0..count).try_for_each(|_| {
                        reader.text()?;
                        reader.skip()
                    })
                })
            }
            _ => Err(error("not a value")),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.byte()? {
            b's' => visitor.visit_borrowed_str(self.text()?),
            b'{' => self.object(visitor),
            b'[' => self.list(visitor),
            b'n' => visitor.visit_unit(),
            b't' => visitor.visit_bool(true),
            b'f' => visitor.visit_bool(false),
            b'u' => visitor.visit_u64(self.number()?),
            b'i' => match i64::try_from(self.number()?) {
                Ok(value) => visitor.visit_i64(-1 - value),
                Err(_) => Err(error("a number that is none")),
            },
            b'd' => visitor.visit_f64(f64::from_bits(self.number()?)),
            // As JSON has it: an object with one member.
            b'v' => self.inside(|reader| visitor.visit_map(Many { left: 1, reader })),
            _ => Err(error("not a value")),
        }
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
        match self.byte()? {
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
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
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
        seed.deserialize(Name(self.reader.text()?)).map(Some)
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
        let name = self.reader.text()?;
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
        if self.has_value { self.reader.deserialize_any(visitor) } else { Err(error("a variant without its value")) }
    }
}

#[cfg(test)]
mod tests;
