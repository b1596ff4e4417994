//! What the data of each standard command must look like.
//!
//! Owns: reading a command's `data` into typed arguments; its errors are the words of `bad_request` and name the member
//! that is wrong (`data.destination is missing`). Must never: look at the session, or show what stands in the place of a
//! member that is wrong, which may be a password. Every reader looks at each byte of `data` a fixed number of times.
//! Unknown members are ignored; `null` is a value of the wrong type, also where a member may be missing.

use std::{collections::HashSet, fmt, marker::PhantomData};

use jackfield_plugin_api::{Json, command::RecordAction, report::ChannelType};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::tree::bounds;

/// A command's arguments.
#[derive(Debug)]
pub(super) enum Args {
    None,
    AddChannel { endpoint: String, kind: ChannelType },
    RemoveChannel { id: String },
    AddGroup(AddGroup),
    RemoveGroup { id: String },
    ActivateAll(Vec<ChannelOptions>),
    Activate { queue: Option<String>, options: Json },
    Deactivate { queues: Vec<String>, reason: Option<i64> },
    NotReady { code: String, text: Option<String> },
    Dial { destination: String, extensions: Json },
    SetData { key: String, value: Json },
    Disposition(String),
    Destination(String),
    Record(RecordAction),
    Digits(String),
}

/// The options of one channel in `activateall`.
#[derive(Debug)]
pub(super) struct ChannelOptions {
    pub(super) id: String,
    pub(super) queue: Option<String>,
    pub(super) options: Json,
}

#[derive(Debug, Deserialize)]
pub(super) struct AddGroup {
    #[serde(deserialize_with = "short_text")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) chat: bool,
    #[serde(default)]
    pub(super) email: bool,
    #[serde(default)]
    pub(super) callback: bool,
}

/// The data of prepareSession.
#[derive(Deserialize)]
pub(super) struct Prepare {
    #[serde(default, deserialize_with = "present")]
    pub(super) model: Option<String>,
    #[serde(default, rename = "override")]
    pub(super) replace: bool,
    #[serde(deserialize_with = "object")]
    pub(super) agent: Credentials,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    #[serde(deserialize_with = "text")]
    pub(super) id: String,
    pub(super) password: String,
}

/// The data of bindSession.
#[derive(Debug, Deserialize)]
pub(super) struct Bind {
    #[serde(deserialize_with = "object")]
    pub(super) session: Id,
    #[serde(default, deserialize_with = "event_number")]
    pub(super) after: Option<u64>,
}

/// The data of session.start.
#[derive(Debug, Deserialize)]
pub(super) struct Start {
    #[serde(default, deserialize_with = "present")]
    pub(super) extension: Option<String>,
    #[serde(default)]
    pub(super) actions: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Id {
    pub(super) id: String,
}

/// Reads a command's data.
///
/// # Errors
/// Which member is wrong, and how.
pub(super) fn read(command: &str, data: &str) -> Result<Args, String> {
    Ok(match command {
        "session.request.addchannel" => {
            let ChannelData { channel: NewChannel { endpoint, kind } } = parse(data)?;
            Args::AddChannel { endpoint, kind }
        }
        "session.request.removechannel" => {
            let ChannelData { channel: Id { id } } = parse(data)?;
            Args::RemoveChannel { id }
        }
        "session.request.addchannelgroup" => Args::AddGroup(parse::<GroupData>(data)?.channelgroup),
        "session.request.removechannelgroup" => remove_group(data)?,
        "channelgroup.request.activateall" => activate_all(data)?,
        "channel.request.activate" => activate(data)?,
        "channel.request.deactivate" => deactivate(data)?,
        "channel.request.notready" => {
            let NotReady { reasoncode, reasondesc } = parse(data)?;
            Args::NotReady { code: reasoncode, text: reasondesc }
        }
        "channel.request.dial" => {
            let Dial { destination, extensions } = parse(data)?;
            Args::Dial { destination, extensions: extensions.unwrap_or_else(Json::empty_object) }
        }
        "interaction.request.setinteractiondata" => {
            let SetData { key, value } = parse(data)?;
            Args::SetData { key, value }
        }
        "interaction.request.setdisposition" => Args::Disposition(parse::<Disposition>(data)?.disposition),
        "interaction.request.consult"
        | "conversation.request.blindtransfer"
        | "conversation.request.blindconference" => Args::Destination(parse::<Destination>(data)?.destination),
        "interaction.request.recording.start" => Args::Record(RecordAction::Start),
        "interaction.request.recording.stop" => Args::Record(RecordAction::Stop),
        "interaction.request.recording.pause" => Args::Record(RecordAction::Pause),
        "interaction.request.recording.resume" => Args::Record(RecordAction::Resume),
        "conversation.request.senddtmf" => Args::Digits(parse::<Digits>(data)?.digits),
        _ => Args::None,
    })
}

/// Reads data as `T`.
///
/// # Errors
/// Which member is wrong, and how.
pub(super) fn parse<T: DeserializeOwned>(data: &str) -> Result<T, String> {
    parse_at("data", data)
}

/// Reads what stands at a place as `T`.
fn parse_at<T: DeserializeOwned>(place: &str, text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| words(place, &error))
}

/// The error in the words of whoever wrote the data: the member, and what is wrong with it.
fn words(place: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let place = match error.path().to_string().as_str() {
        "." => place.to_owned(),
        path if path.starts_with('[') => format!("{place}{path}"),
        path => format!("{place}.{path}"),
    };
    // The library's line and column are those within a part of the message, so they would mislead.
    let text = error.inner().to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    let quoted = |kind: &str| text.strip_prefix(kind)?.strip_suffix('`');
    let own = |name: &str| place.rsplit(['.', ']']).next() == Some(name);
    if let Some(name) = quoted("missing field `") {
        format!("{place}.{name} is missing")
    } else if let Some(name) = quoted("duplicate field `") {
        if own(name) { format!("{place} stands twice") } else { format!("{place}.{name} stands twice") }
    } else if let Some((_, expected)) = text.split_once(", expected ").filter(|(what, _)| what.starts_with("invalid "))
    {
        format!("{place} must be {expected}")
    } else {
        format!("{place} {text}")
    }
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct ChannelData<T> {
    #[serde(deserialize_with = "object")]
    channel: T,
}

#[derive(Deserialize)]
struct GroupData {
    #[serde(deserialize_with = "object")]
    channelgroup: AddGroup,
}

#[derive(Deserialize)]
struct NewChannel {
    #[serde(deserialize_with = "short_text")]
    endpoint: String,
    #[serde(rename = "type", deserialize_with = "channel_type")]
    kind: ChannelType,
}

#[derive(Deserialize)]
struct NotReady {
    #[serde(deserialize_with = "reason_code")]
    reasoncode: String,
    #[serde(default, deserialize_with = "short")]
    reasondesc: Option<String>,
}

#[derive(Deserialize)]
struct Dial {
    #[serde(deserialize_with = "short_text")]
    destination: String,
    #[serde(default, deserialize_with = "any_object")]
    extensions: Option<Json>,
}

#[derive(Deserialize)]
struct SetData {
    #[serde(deserialize_with = "text")]
    key: String,
    value: Json,
}

#[derive(Deserialize)]
struct Disposition {
    disposition: String,
}

#[derive(Deserialize)]
struct Destination {
    #[serde(deserialize_with = "short_text")]
    destination: String,
}

#[derive(Deserialize)]
struct Digits {
    #[serde(deserialize_with = "digits")]
    digits: String,
}

#[derive(Deserialize)]
struct Queue {
    #[serde(default, deserialize_with = "short")]
    queue: Option<String>,
}

/// The options of `activate` and `deactivate`, under either spelling.
#[derive(Deserialize)]
struct Options {
    #[serde(default, alias = "channelOptions", deserialize_with = "any_object")]
    channeloptions: Option<Json>,
}

fn remove_group(data: &str) -> Result<Args, String> {
    #[derive(Deserialize)]
    struct OneOf {
        #[serde(default, deserialize_with = "some_object")]
        channel: Option<Id>,
        #[serde(default, deserialize_with = "some_object")]
        channelgroup: Option<Id>,
    }

    match parse(data)? {
        OneOf { channel: Some(Id { id: channel }), channelgroup: Some(Id { id: group }) } if channel != group => {
            Err("data.channel.id and data.channelgroup.id are not the same group".to_owned())
        }
        OneOf { channelgroup: Some(Id { id }), .. } | OneOf { channel: Some(Id { id }), .. } => {
            Ok(Args::RemoveGroup { id })
        }
        OneOf { .. } => Err("data.channelgroup is missing".to_owned()),
    }
}

fn activate(data: &str) -> Result<Args, String> {
    let options = parse::<Options>(data)?.channeloptions.unwrap_or_else(Json::empty_object);
    let Queue { queue } = parse_at("data.channeloptions", options.get())?;
    Ok(Args::Activate { queue, options })
}

fn activate_all(data: &str) -> Result<Args, String> {
    #[derive(Deserialize)]
    struct All {
        #[serde(default, alias = "channelOptions", deserialize_with = "present")]
        channeloptions: Option<Vec<Json>>,
    }

    #[derive(Deserialize)]
    struct One {
        id: String,
        #[serde(default, deserialize_with = "short")]
        queue: Option<String>,
    }

    let list = parse::<All>(data)?.channeloptions.unwrap_or_default();
    if list.len() > bounds::CHANNELS.report {
        return Err(format!("data.channeloptions has more than {} entries", bounds::CHANNELS.report));
    }
    let mut ids = HashSet::with_capacity(list.len());
    let mut all = Vec::with_capacity(list.len());
    for (n, options) in list.into_iter().enumerate() {
        let place = format!("data.channeloptions[{n}]");
        if !options.get().starts_with('{') {
            return Err(format!("{place} must be an object"));
        }
        let One { id, queue } = parse_at(&place, options.get())?;
        if !ids.insert(id.clone()) {
            return Err(format!("{place}.id stands twice"));
        }
        all.push(ChannelOptions { id, queue, options });
    }
    Ok(Args::ActivateAll(all))
}

fn deactivate(data: &str) -> Result<Args, String> {
    #[derive(Deserialize)]
    struct Leaving {
        #[serde(default, deserialize_with = "queues")]
        queue: Vec<String>,
        #[serde(default, deserialize_with = "reason_number")]
        reason: Option<i64>,
    }

    let options = parse::<Options>(data)?.channeloptions.unwrap_or_else(Json::empty_object);
    let Leaving { queue, reason } = parse_at("data.channeloptions", options.get())?;
    Ok(Args::Deactivate { queues: queue, reason })
}

// ---- what members may be; the errors are read behind the member's name ----

/// A text with something in it.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(D::Error::custom("is empty")) } else { Ok(text) }
}

/// A text with something in it that the session can show as it is.
fn short_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    not_long(text(deserializer)?)
}

/// A text that may be missing, and that the session can show as it is.
fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    not_long(String::deserialize(deserializer)?).map(Some)
}

/// What is longer would come back cut, so it is refused before the platform is asked.
fn not_long<E: Error>(text: String) -> Result<String, E> {
    if text.len() > bounds::TEXT {
        return Err(E::custom(format_args!("is longer than {} bytes", bounds::TEXT)));
    }
    Ok(text)
}

fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let digits = text(deserializer)?;
    if digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')) {
        Ok(digits)
    } else {
        Err(D::Error::custom("may hold 0-9, *, # and A-D only"))
    }
}

fn channel_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelType, D::Error> {
    let name = String::deserialize(deserializer)?;
    [ChannelType::Telephony, ChannelType::Chat, ChannelType::Email]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| D::Error::custom("must be Telephony, Chat or Email"))
}

/// What may be missing, but is no `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Any object, as it stands.
fn any_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let json = Json::deserialize(deserializer)?;
    if json.get().starts_with('{') { Ok(Some(json)) } else { Err(D::Error::custom("must be an object")) }
}

fn some_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

/// An object and nothing else: a derived reader would take a list of its members too.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
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
fn event_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = match whole(deserializer, "a whole number, 0 or larger")? {
        Whole::Number(number) => u64::try_from(number).ok(),
        Whole::Text(_) => None,
    };
    number.map(Some).ok_or_else(|| D::Error::custom("must be a whole number, 0 or larger"))
}

/// The code of a reason: codes of contact centres are numbers as often as names.
fn reason_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match whole(deserializer, "a string or a whole number")? {
        Whole::Number(number) => Ok(number.to_string()),
        Whole::Text(text) if text.is_empty() => Err(D::Error::custom("is empty")),
        Whole::Text(text) => not_long(text),
    }
}

/// A number, or a text that is one.
fn reason_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
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
fn queues<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn refused(command: &str, data: &[&str]) {
        for data in data {
            assert!(read(command, data).is_err(), "{command} {data}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_in_plain_words() {
        for (command, data, words) in [
            ("channel.request.dial", r#"{"extensions":{}}"#, "data.destination is missing"),
            ("channel.request.dial", r#"{"destination":7}"#, "data.destination must be a string"),
            ("channel.request.dial", r#"{"destination":""}"#, "data.destination is empty"),
            ("channel.request.dial", r#"{"destination":"1","destination":"2"}"#, "data.destination stands twice"),
            ("channel.request.dial", r#"{"destination":"1","extensions":[]}"#, "data.extensions must be an object"),
            ("channel.request.notready", "{}", "data.reasoncode is missing"),
            ("channel.request.notready", r#"{"reasoncode":[]}"#, "data.reasoncode must be a string or a whole number"),
            ("session.request.addchannel", "{}", "data.channel is missing"),
            ("session.request.addchannel", r#"{"channel":["1","Chat"]}"#, "data.channel must be an object"),
            ("session.request.addchannel", r#"{"channel":{"type":"Chat"}}"#, "data.channel.endpoint is missing"),
            (
                "session.request.addchannel",
                r#"{"channel":{"endpoint":"1","type":"Fax"}}"#,
                "data.channel.type must be Telephony, Chat or Email",
            ),
            (
                "channel.request.deactivate",
                r#"{"channelOptions":{"queue":7}}"#,
                "data.channeloptions.queue must be a string or a list of strings",
            ),
            ("channelgroup.request.activateall", r#"{"channeloptions":[{}]}"#, "data.channeloptions[0].id is missing"),
            (
                "channelgroup.request.activateall",
                r#"{"channeloptions":[{"id":"c1"},{"id":"c1"}]}"#,
                "data.channeloptions[1].id stands twice",
            ),
            (
                "session.request.removechannelgroup",
                r#"{"channel":{"id":"zz"},"channelgroup":{"id":"g1"}}"#,
                "data.channel.id and data.channelgroup.id are not the same group",
            ),
        ] {
            assert_eq!(read(command, data).unwrap_err(), words, "{command} {data}");
        }
        let bound = |data| parse::<Bind>(data).unwrap_err();
        assert_eq!(bound(r#"{"session":{"id":"S"},"after":-1}"#), "data.after must be a whole number, 0 or larger");
        assert_eq!(bound(r#"{"session":"S"}"#), "data.session must be an object");
        let secret = parse::<Prepare>(r#"{"agent":{"id":"a","password":4711}}"#).err().unwrap();
        assert_eq!(secret, "data.agent.password must be a string");
    }

    #[test]
    fn what_would_come_back_cut_is_refused() {
        let (fits, long) = ("x".repeat(bounds::TEXT), "x".repeat(bounds::TEXT + 1));
        for (command, data) in [
            ("session.request.addchannel", r#"{"channel":{"endpoint":"%","type":"Chat"}}"#),
            ("session.request.addchannelgroup", r#"{"channelgroup":{"name":"%"}}"#),
            ("channel.request.activate", r#"{"channeloptions":{"queue":"%"}}"#),
            ("channel.request.notready", r#"{"reasoncode":"%"}"#),
            ("channel.request.notready", r#"{"reasoncode":"1","reasondesc":"%"}"#),
            ("channel.request.dial", r#"{"destination":"%"}"#),
            ("interaction.request.consult", r#"{"destination":"%"}"#),
            ("conversation.request.blindtransfer", r#"{"destination":"%"}"#),
        ] {
            read(command, &data.replace('%', &fits)).unwrap();
            let words = read(command, &data.replace('%', &long)).unwrap_err();
            assert!(words.ends_with("is longer than 256 bytes"), "{command}: {words}");
        }
    }

    #[test]
    fn a_reason_code_may_be_a_number() {
        for (data, expected) in [(r#"{"reasoncode":17}"#, "17"), (r#"{"reasoncode":"17"}"#, "17")] {
            let Args::NotReady { code, .. } = read("channel.request.notready", data).unwrap() else { panic!() };
            assert_eq!(code, expected);
        }
    }

    #[test]
    fn required_members_are_required_and_types_are_checked() {
        refused(
            "session.request.addchannel",
            &[
                "{}",
                r#"{"channel":5}"#,
                r#"{"channel":{"endpoint":"1"}}"#,
                r#"{"channel":{"endpoint":"1","type":"Fax"}}"#,
                r#"{"channel":{"endpoint":"","type":"Chat"}}"#,
            ],
        );
        refused("session.request.removechannelgroup", &["{}", r#"{"channel":{}}"#, r#"{"channelgroup":null}"#]);
        refused("channel.request.activate", &[r#"{"channeloptions":[]}"#, r#"{"channeloptions":{"queue":1}}"#]);
        refused(
            "channel.request.deactivate",
            &[r#"{"channelOptions":{"reason":"x"}}"#, r#"{"channelOptions":{"queue":{}}}"#],
        );
        refused(
            "channel.request.notready",
            &["{}", r#"{"reasoncode":5.5}"#, r#"{"reasoncode":null}"#, r#"{"reasoncode":"a","reasondesc":null}"#],
        );
        refused("channel.request.dial", &["{}", r#"{"destination":5}"#, r#"{"destination":"5","extensions":[]}"#]);
        refused("interaction.request.setinteractiondata", &["{}", r#"{"key":"a"}"#, r#"{"key":1,"value":1}"#]);
        refused("conversation.request.senddtmf", &["{}", r#"{"digits":""}"#, r#"{"digits":"12x"}"#, r#"{"digits":5}"#]);
        refused(
            "channelgroup.request.activateall",
            &[r#"{"channeloptions":[{"id":"c1"},{"id":"c1"}]}"#, r#"{"channeloptions":[{}]}"#],
        );
    }

    #[test]
    fn both_spellings_of_the_channel_options_are_read() {
        for spelling in ["channeloptions", "channelOptions"] {
            let data = format!(r#"{{"{spelling}":{{"queue":["a","b"],"reason":"7"}}}}"#);
            let Args::Deactivate { queues, reason } = read("channel.request.deactivate", &data).unwrap() else {
                panic!()
            };
            assert_eq!((queues, reason), (vec!["a".to_owned(), "b".to_owned()], Some(7)));
            let data = format!(r#"{{"{spelling}":{{"queue":"q","more":1.0}}}}"#);
            let Args::Activate { queue, options } = read("channel.request.activate", &data).unwrap() else { panic!() };
            assert_eq!((queue.as_deref(), options.get()), (Some("q"), r#"{"queue":"q","more":1.0}"#));
        }
    }

    #[test]
    fn any_value_of_call_data_keeps_its_text() {
        let data = r#"{"key":"a","value": 2.50 }"#;
        let Args::SetData { value, .. } = read("interaction.request.setinteractiondata", data).unwrap() else {
            panic!()
        };
        assert_eq!(value.get(), "2.50");
        let data = r#"{"key":"a","value":null}"#;
        assert!(matches!(read("interaction.request.setinteractiondata", data), Ok(Args::SetData { .. })));
    }
}
