//! A piece of JSON that is carried, not read.
//!
//! Call data, extension data and `original` travel through the host unchanged: `2.50` stays `2.50`, and a number
//! longer than any machine type survives. So such values are kept as their text, checked once when they are made.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// One JSON value, kept as the text it arrived in.
///
/// Two values are equal when their texts are: `1.0` and `1.00` differ.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline, description = "Any value."))]
#[serde(transparent)]
pub struct Json(#[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))] Box<RawValue>);

impl Json {
    /// The JSON text of any serialisable value.
    ///
    /// # Errors
    /// What `serde_json` cannot express: a map whose keys are not strings, or a failing `Serialize`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// Takes a text that must be one JSON value.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn from_text(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// `{}`
    #[must_use]
    pub fn empty_object() -> Self {
        serde_json::from_str("{}").expect("an empty object is JSON")
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads the value as `T`.
    ///
    /// # Errors
    /// The value does not have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}
impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self::of(&value).expect("a JSON value can be written")
    }
}
impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::of(value).expect("a text can be written")
    }
}
impl From<String> for Json {
    fn from(value: String) -> Self {
        value.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Json;

    #[test]
    fn a_number_keeps_its_digits() {
        let data: Json = serde_json::from_str("2.50").unwrap();
        assert_eq!(serde_json::to_string(&data).unwrap(), "2.50");
        let long: Json = serde_json::from_str("123456789012345678901234567890").unwrap();
        assert_eq!(long.get(), "123456789012345678901234567890");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        assert!(Json::from_text("{".to_owned()).is_err());
    }
}
