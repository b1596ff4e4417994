//! Writing any message in the compact form.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant, Serializer,
    },
};

use super::{Error, MARK, error};

/// Appends values to a text.
pub(super) struct Writer<'a> {
    out: &'a mut String,
}

impl<'a> Writer<'a> {
    /// Begins a message.
    pub(super) fn begin(out: &'a mut String) -> Self {
        let mut writer = Self { out };
        writer.byte(MARK);
        writer
    }

    /// One of ASCII.
    pub(super) fn byte(&mut self, byte: u8) {
        self.out.push(char::from(byte & 0x7F));
    }

    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 64 {
            self.byte(0x40 | (value & 63) as u8);
            value >>= 6;
        }
        self.byte(value as u8);
    }

    pub(super) fn tagged(&mut self, tag: u8, value: u64) {
        self.byte(tag);
        self.number(value);
    }

    /// A string without its tag.
    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.out.push_str(text);
    }

    /// What is in this form already.
    #[inline]
    pub(super) fn piece(&mut self, piece: &'static str) {
        self.out.push_str(piece);
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

    fn many_of_variant(mut self, variant: &str, tag: u8, length: usize) -> Result<Self, Error> {
        self.variant(variant);
        self.many(tag, Some(length))
    }

    pub(super) fn inner(&mut self) -> Writer<'_> {
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
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Error> {
        self.many_of_variant(variant, b'[', length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Error> {
        self.many(b'{', length)
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Self, Error> {
        self.many(b'{', Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Error> {
        self.many_of_variant(variant, b'{', length)
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
