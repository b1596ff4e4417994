//! What the data of each standard command must look like.
//!
//! Owns: reading a command's `data` into typed arguments; its errors are the words of `bad_request`. Must never: look at
//! the session. Unknown members are ignored; `null` is a value of the wrong type, also where a member may be missing.

use jackfield_plugin_api::{Json, command::RecordAction, report::ChannelType};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

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
    #[serde(deserialize_with = "text")]
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
    pub(super) session: Id,
    #[serde(default, deserialize_with = "present")]
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
/// What is wrong with them.
pub(super) fn read(command: &str, data: &str) -> Result<Args, String> {
    Ok(match command {
        "session.request.addchannel" => {
            let NewChannel { endpoint, kind } = named(data, "channel")?;
            Args::AddChannel { endpoint, kind: kind.parse()? }
        }
        "session.request.removechannel" => {
            let Id { id } = named(data, "channel")?;
            Args::RemoveChannel { id }
        }
        "session.request.addchannelgroup" => Args::AddGroup(named(data, "channelgroup")?),
        "session.request.removechannelgroup" => {
            let OneOf { channel, channelgroup } = parse(data)?;
            let id = channelgroup.or(channel).ok_or("channelgroup is missing")?.id;
            Args::RemoveGroup { id }
        }
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
            Args::SetData { key, value: json(&value)? }
        }
        "interaction.request.setdisposition" => Args::Disposition(parse::<Disposition>(data)?.disposition),
        "interaction.request.consult"
        | "conversation.request.blindtransfer"
        | "conversation.request.blindconference" => Args::Destination(parse::<Destination>(data)?.destination),
        "interaction.request.recording.start" => Args::Record(RecordAction::Start),
        "interaction.request.recording.stop" => Args::Record(RecordAction::Stop),
        "interaction.request.recording.pause" => Args::Record(RecordAction::Pause),
        "interaction.request.recording.resume" => Args::Record(RecordAction::Resume),
        "conversation.request.senddtmf" => {
            let Digits { digits } = parse(data)?;
            if !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')) {
                return Err("data.digits: only 0-9, *, # and A-D are digits".to_owned());
            }
            Args::Digits(digits)
        }
        _ => Args::None,
    })
}

/// Reads data as `T`.
///
/// # Errors
/// What is missing or of the wrong type.
pub(super) fn parse<T: DeserializeOwned>(data: &str) -> Result<T, String> {
    serde_json::from_str(data).map_err(|error| words(&error))
}

/// The error without its place, which is one in a part of the message.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    format!("data: {}", &text[..end])
}

/// The object under a name.
fn named<T: DeserializeOwned>(data: &str, name: &'static str) -> Result<T, String> {
    let mut members: Members = parse(data)?;
    let at = members.0.iter().position(|(own, _)| own == name).ok_or_else(|| format!("data.{name} is missing"))?;
    let value = members.0.swap_remove(at).1;
    serde_json::from_str(value.get()).map_err(|error| words(&error).replacen("data", &format!("data.{name}"), 1))
}

/// All members of an object; one that stands twice is an error.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.iter().any(|(own, _)| *own == name) {
                        return Err(serde::de::Error::custom(format_args!("{name} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

#[derive(Deserialize)]
struct NewChannel {
    #[serde(deserialize_with = "text")]
    endpoint: String,
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Deserialize)]
struct Kind(String);

impl Kind {
    fn parse(self) -> Result<ChannelType, String> {
        [ChannelType::Telephony, ChannelType::Chat, ChannelType::Email]
            .into_iter()
            .find(|kind| kind.as_str() == self.0)
            .ok_or_else(|| "data.channel: type is none of Telephony, Chat and Email".to_owned())
    }
}

#[derive(Deserialize)]
struct OneOf {
    #[serde(default, deserialize_with = "present")]
    channel: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    channelgroup: Option<Id>,
}

#[derive(Deserialize)]
struct NotReady {
    #[serde(deserialize_with = "text")]
    reasoncode: String,
    #[serde(default, deserialize_with = "present")]
    reasondesc: Option<String>,
}

#[derive(Deserialize)]
struct Dial {
    #[serde(deserialize_with = "text")]
    destination: String,
    #[serde(default, deserialize_with = "object")]
    extensions: Option<Json>,
}

#[derive(Deserialize)]
struct SetData {
    #[serde(deserialize_with = "text")]
    key: String,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
struct Disposition {
    disposition: String,
}

#[derive(Deserialize)]
struct Destination {
    #[serde(deserialize_with = "text")]
    destination: String,
}

#[derive(Deserialize)]
struct Digits {
    #[serde(deserialize_with = "text")]
    digits: String,
}

#[derive(Deserialize)]
struct Queue {
    #[serde(default, deserialize_with = "present")]
    queue: Option<String>,
}

/// The options of `activate`, under either spelling.
#[derive(Deserialize)]
struct Options {
    #[serde(default, alias = "channelOptions", deserialize_with = "object")]
    channeloptions: Option<Json>,
}

fn activate(data: &str) -> Result<Args, String> {
    let options = parse::<Options>(data)?.channeloptions.unwrap_or_else(Json::empty_object);
    let Queue { queue } = parse(options.get())?;
    Ok(Args::Activate { queue, options })
}

fn activate_all(data: &str) -> Result<Args, String> {
    #[derive(Deserialize)]
    struct All {
        #[serde(default, alias = "channelOptions", deserialize_with = "present")]
        channeloptions: Option<Vec<Box<RawValue>>>,
    }

    #[derive(Deserialize)]
    struct One {
        id: String,
        #[serde(default, deserialize_with = "present")]
        queue: Option<String>,
    }

    let mut all: Vec<ChannelOptions> = Vec::new();
    for options in parse::<All>(data)?.channeloptions.unwrap_or_default() {
        let One { id, queue } = parse(options.get())?;
        if all.iter().any(|one| one.id == id) {
            return Err(format!("data.channeloptions: {id} stands twice"));
        }
        all.push(ChannelOptions { id, queue, options: json(&options)? });
    }
    Ok(Args::ActivateAll(all))
}

fn deactivate(data: &str) -> Result<Args, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Queues {
        One(String),
        Many(Vec<String>),
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reason {
        Number(i64),
        Text(String),
    }

    #[derive(Deserialize)]
    struct Leaving {
        #[serde(default, deserialize_with = "present")]
        queue: Option<Queues>,
        #[serde(default, deserialize_with = "present")]
        reason: Option<Reason>,
    }

    let options = parse::<Options>(data)?.channeloptions.unwrap_or_else(Json::empty_object);
    let Leaving { queue, reason } = parse(options.get())?;
    let queues = match queue {
        None => Vec::new(),
        Some(Queues::One(queue)) => vec![queue],
        Some(Queues::Many(queues)) => queues,
    };
    let reason = match reason {
        None => None,
        Some(Reason::Number(number)) => Some(number),
        Some(Reason::Text(text)) => Some(text.parse().map_err(|_| "data.channelOptions: reason is no number")?),
    };
    Ok(Args::Deactivate { queues, reason })
}

fn json(raw: &RawValue) -> Result<Json, String> {
    Json::from_text(raw.get().to_owned()).map_err(|error| words(&error))
}

/// A text with something in it.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(serde::de::Error::custom("a text is empty that must not be")) } else { Ok(text) }
}

/// What may be missing, but is no `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An object, as it stands.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let json = Json::deserialize(deserializer)?;
    if json.get().starts_with('{') { Ok(Some(json)) } else { Err(serde::de::Error::custom("an object is expected")) }
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
    fn what_is_missing_or_of_the_wrong_type_is_named() {
        let error = read("channel.request.dial", r#"{"extensions":{}}"#).unwrap_err();
        assert_eq!(error, "data: missing field `destination`");
        let error = read("session.request.addchannel", r#"{"channel":{"endpoint":7}}"#).unwrap_err();
        assert!(error.starts_with("data.channel: invalid type"), "{error}");
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
        refused("channel.request.notready", &["{}", r#"{"reasoncode":5}"#, r#"{"reasoncode":"a","reasondesc":null}"#]);
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
