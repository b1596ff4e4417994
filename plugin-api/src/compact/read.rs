//! Reading any message from the compact form.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Error, MARK, error};

/// How deep values may be nested, as in `serde_json`.
pub(super) const MAX_DEPTH: u8 = 128;

/// A text and how far it has been read.
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// How much deeper it may go.
    depth: u8,
}

/// The pieces of a value. What is no such piece is none: of that an error is made only where it is known to be one, which
/// keeps this code, of which each message needs much, free of it.
impl<'de> Reader<'de> {
    /// Begins with a message; `None` where it is not in this form.
    pub(super) fn begin(text: &'de str) -> Option<Self> {
        let mut reader = Self { text, at: 0, depth: MAX_DEPTH };
        (reader.byte()? == MARK).then_some(reader)
    }

    /// Whether all of it has been read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Goes on behind a tag, which must follow.
    #[inline]
    pub(super) fn tag(&mut self, tag: u8) -> Option<()> {
        (self.byte()? == tag).then_some(())
    }

    /// Goes on behind a piece if that is what follows.
    #[inline]
    pub(super) fn skip_piece(&mut self, piece: &'static str) -> bool {
        let follows = self.text.as_bytes()[self.at..].starts_with(piece.as_bytes());
        if follows {
            self.at += piece.len();
        }
        follows
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
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
    pub(super) fn text(&mut self) -> Option<&'de str> {
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
    pub(super) fn count(&mut self) -> Option<usize> {
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

    /// What is made of a list, or an object: of all that is in it.
    fn many<T>(&mut self, visit: impl FnOnce(&mut Many<'_, 'de>) -> Result<T, Error>) -> Result<T, Error> {
        let left = required!(self.count());
        self.inside(|reader| {
            let mut many = Many { left, reader };
            let value = visit(&mut many)?;
            if many.left == 0 { Ok(value) } else { Err(error("a list or an object with more in it than there may be")) }
        })
    }

    /// A value of which the tag has been read.
    fn tagged<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Error> {
        match tag {
            b's' => visitor.visit_borrowed_str(required!(self.text())),
            b'{' => self.many(|many| visitor.visit_map(many)),
            b'[' => self.many(|many| visitor.visit_seq(many)),
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
        deserialize_seq: b'[', visitor, reader => reader.many(|many| visitor.visit_seq(many));
        deserialize_map: b'{', visitor, reader => reader.many(|many| visitor.visit_map(many));
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
