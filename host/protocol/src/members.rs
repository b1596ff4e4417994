//! What the members of commands' data may be.
//!
//! Owns: their readers. What an error says is read behind the member's name (`data.digits may hold …`), and it never shows
//! what stands there instead. Must never: know a command.

use std::{fmt, marker::PhantomData};

use jackfield_plugin_api::{
    Json,
    report::{ChannelType, SupervisionMode},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::MAX_TEXT;

/// A text with something in it.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(D::Error::custom("is empty")) } else { Ok(text) }
}

/// A text with something in it that the session can show as it is.
pub(crate) fn short_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    not_long(text(deserializer)?)
}

/// A text that may be missing, and that the session can show as it is.
pub(crate) fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    not_long(String::deserialize(deserializer)?).map(Some)
}

/// What is longer would come back cut, so it is refused before the platform is asked.
fn not_long<E: Error>(text: String) -> Result<String, E> {
    if text.len() > MAX_TEXT {
        return Err(E::custom(format_args!("is longer than {} bytes", MAX_TEXT)));
    }
    Ok(text)
}

pub(crate) fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let digits = text(deserializer)?;
    if digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')) {
        Ok(digits)
    } else {
        Err(D::Error::custom("may hold 0-9, *, # and A-D only"))
    }
}

pub(crate) fn channel_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelType, D::Error> {
    let name = String::deserialize(deserializer)?;
    [ChannelType::Telephony, ChannelType::Chat, ChannelType::Email]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| D::Error::custom("must be Telephony, Chat or Email"))
}

pub(crate) fn supervision_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SupervisionMode, D::Error> {
    let word = String::deserialize(deserializer)?;
    SupervisionMode::ALL
        .into_iter()
        .find(|mode| mode.as_str() == word)
        .ok_or_else(|| D::Error::custom("must be listen, whisper or barge"))
}

/// What may be missing, but is no `null`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Any object, as it stands.
pub(crate) fn any_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let json = Json::deserialize(deserializer)?;
    if json.get().starts_with('{') { Ok(Some(json)) } else { Err(D::Error::custom("must be an object")) }
}

pub(crate) fn some_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

/// An object and nothing else: a derived reader would take a list of its members too.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// The number of an event.
pub(crate) fn event_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = match whole(deserializer, "a whole number, 0 or larger")? {
        Whole::Number(number) => u64::try_from(number).ok(),
        Whole::Text(_) => None,
    };
    number.map(Some).ok_or_else(|| D::Error::custom("must be a whole number, 0 or larger"))
}

/// The code of a reason: codes of contact centres are numbers as often as names.
pub(crate) fn reason_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match whole(deserializer, "a string or a whole number")? {
        Whole::Number(number) => Ok(number.to_string()),
        Whole::Text(text) if text.is_empty() => Err(D::Error::custom("is empty")),
        Whole::Text(text) => not_long(text),
    }
}

/// A number, or a text that is one.
pub(crate) fn reason_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = match whole(deserializer, "a whole number")? {
        Whole::Number(number) => i64::try_from(number).ok(),
        Whole::Text(text) => text.parse().ok(),
    };
    number.map(Some).ok_or_else(|| D::Error::custom("must be a whole number"))
}

enum Whole {
    Number(i128),
    Text(String),
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<Whole, D::Error> {
    struct NumberOrText(&'static str);

    impl Visitor<'_> for NumberOrText {
        type Value = Whole;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_i64<E>(self, number: i64) -> Result<Whole, E> {
            Ok(Whole::Number(number.into()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
            Ok(Whole::Number(number.into()))
        }

        fn visit_str<E>(self, text: &str) -> Result<Whole, E> {
            Ok(Whole::Text(text.to_owned()))
        }
    }

    deserializer.deserialize_any(NumberOrText(expected))
}

/// One queue or several.
pub(crate) fn queues<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Queues;

    impl<'de> Visitor<'de> for Queues {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of strings")
        }

        fn visit_str<E: Error>(self, queue: &str) -> Result<Vec<String>, E> {
            Ok(vec![not_long(queue.to_owned())?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut queues = Vec::new();
            while let Some(queue) = list.next_element()? {
                queues.push(not_long(queue)?);
            }
            Ok(queues)
        }
    }

    deserializer.deserialize_any(Queues)
}
