//! Bytes as hexadecimal digits, for serde: half the length of a JSON array of numbers.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER_PERMISSIVE.encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(D::Error::custom)
}

/// The same where there may be none.
pub(crate) mod option {
    use serde::Serialize;

    use super::{Deserialize, Deserializer, Error, HEXLOWER_PERMISSIVE, Serializer};

    #[allow(clippy::ref_option)] // the signature that serde wants
    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| HEXLOWER_PERMISSIVE.encode(bytes)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(D::Error::custom)).transpose()
    }
}
