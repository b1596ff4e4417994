//! What the data of each standard command must look like.
//!
//! Owns: reading a command's `data` into typed arguments; its errors are the words of `bad_request` and name the member
//! that is wrong (`data.destination is missing`). Must never: look at the session, or show what stands in the place of a
//! member that is wrong, which may be a password. Every reader looks at each byte of `data` a fixed number of times.
//! Unknown members are ignored; `null` is a value of the wrong type, also where a member may be missing.

use std::{collections::HashSet, marker::PhantomData};

use jackfield_plugin_api::{
    Json,
    command::{MemberAction, RecordAction, StandardCommand},
    lists::ListKind,
    report::{ChannelType, SupervisionMode},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    MAX_CHANNEL_OPTIONS,
    list::{ListArguments, WatchedList},
    members::{
        any_object, channel_type, digits, event_number, object, present, queues, reason_code, reason_number, short,
        short_text, some_object, supervision_mode, text,
    },
};

/// A standard command with what its data say.
#[derive(Debug)]
#[allow(missing_docs)] // the members are those of the protocol's table
pub enum Arguments {
    AddChannel { endpoint: String, kind: ChannelType },
    RemoveChannel { id: String },
    AddChannelGroup(NewGroup),
    RemoveChannelGroup { id: String },
    ActivateAll(Vec<ChannelOptions>),
    DeactivateAll,
    Activate { queue: Option<String>, options: Json },
    Deactivate { queues: Vec<String>, reason: Option<i64> },
    Ready,
    NotReady { code: String, text: Option<String> },
    Dial { destination: String, extensions: Json },
    Accept,
    Reject,
    SetInteractionData { key: String, value: Json },
    SetDisposition { disposition: String },
    Complete,
    Consult { destination: String },
    Alternate,
    ConsultTransfer,
    ConsultConference,
    Record(RecordAction),
    Answer,
    Release,
    Hold,
    Retrieve,
    Mute,
    Unmute,
    SendDtmf { digits: String },
    BlindTransfer { destination: String },
    BlindConference { destination: String },
    Member { id: String, action: MemberAction },
    Supervise { agent: String, mode: SupervisionMode },
    ColleagueReady { agent: String },
    ColleagueNotReady { agent: String, code: String, text: Option<String> },
    List(ListArguments),
    Watch { kind: ListKind },
    Unwatch { kind: ListKind },
}

/// The options of one channel in `activateall`.
#[derive(Debug)]
pub struct ChannelOptions {
    /// The channel's id.
    pub id: String,
    /// The queue to take contacts from.
    pub queue: Option<String>,
    /// All options as they were sent: a JSON object.
    pub options: Json,
}

/// A group to be added.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewGroup {
    /// The platform's name of it.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    pub name: String,
    /// Chat channels too.
    #[serde(default)]
    pub chat: bool,
    /// E-mail channels too.
    #[serde(default)]
    pub email: bool,
    /// Call-back channels too.
    #[serde(default)]
    pub callback: bool,
}

/// The data of prepareSession.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PrepareData {
    /// The kind of desktop.
    #[serde(default, deserialize_with = "present")]
    pub model: Option<String>,
    /// A live session of the agent is replaced.
    #[serde(default, rename = "override")]
    pub replace: bool,
    /// Who the agent is.
    #[serde(deserialize_with = "object")]
    pub agent: Credentials,
}

/// Who an agent is, and how he proves it.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Credentials {
    /// The platform's name of the agent.
    #[serde(deserialize_with = "text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::text"))]
    pub id: String,
    /// May be empty where the platform asks for none.
    pub password: String,
}

/// The data of bindSession.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BindData {
    /// The session.
    #[serde(deserialize_with = "object")]
    pub session: ById,
    /// The number of the last event that the client has handled.
    #[serde(default, deserialize_with = "event_number")]
    pub after: Option<u64>,
}

/// The data of session.start.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartData {
    /// The extension or station that the agent works at.
    #[serde(default, deserialize_with = "present")]
    pub extension: Option<String>,
    /// Whether the desktop wants to be told which commands an object is in a state for.
    #[serde(default)]
    pub actions: bool,
}

/// An object by its id.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ById {
    /// The id.
    pub id: String,
}

impl Arguments {
    /// Reads a command's data.
    ///
    /// # Errors
    /// Which member is wrong, and how.
    pub fn read(command: StandardCommand, data: &str) -> Result<Self, String> {
        use StandardCommand as S;
        Ok(match command {
            S::AddChannel => add_channel(data)?,
            S::RemoveChannel => remove_channel(data)?,
            S::AddChannelGroup => Self::AddChannelGroup(parse::<GroupData>(data)?.channelgroup),
            S::RemoveChannelGroup => remove_group(data)?,
            S::ActivateAll => activate_all(data)?,
            S::DeactivateAll => Self::DeactivateAll,
            S::Activate => activate(data)?,
            S::Deactivate => deactivate(data)?,
            S::Ready => Self::Ready,
            S::NotReady => not_ready(data)?,
            S::Dial => dial(data)?,
            S::Accept => Self::Accept,
            S::Reject => Self::Reject,
            S::SetInteractionData => set_data(data)?,
            S::SetDisposition => Self::SetDisposition { disposition: parse::<DispositionData>(data)?.disposition },
            S::Complete => Self::Complete,
            S::Consult => Self::Consult { destination: destination(data)? },
            S::Alternate => Self::Alternate,
            S::ConsultTransfer => Self::ConsultTransfer,
            S::ConsultConference => Self::ConsultConference,
            S::RecordingStart => Self::Record(RecordAction::Start),
            S::RecordingStop => Self::Record(RecordAction::Stop),
            S::RecordingPause => Self::Record(RecordAction::Pause),
            S::RecordingResume => Self::Record(RecordAction::Resume),
            S::Answer => Self::Answer,
            S::Release => Self::Release,
            S::Hold => Self::Hold,
            S::Retrieve => Self::Retrieve,
            S::Mute => Self::Mute,
            S::Unmute => Self::Unmute,
            S::SendDtmf => Self::SendDtmf { digits: parse::<Digits>(data)?.digits },
            S::BlindTransfer => Self::BlindTransfer { destination: destination(data)? },
            S::BlindConference => Self::BlindConference { destination: destination(data)? },
            S::MemberRemove => member(data, MemberAction::Remove)?,
            S::MemberMute => member(data, MemberAction::Mute)?,
            S::MemberUnmute => member(data, MemberAction::Unmute)?,
            S::MemberHold => member(data, MemberAction::Hold)?,
            S::MemberRetrieve => member(data, MemberAction::Retrieve)?,
            S::Supervise => supervise(data)?,
            S::ColleagueReady => Self::ColleagueReady { agent: parse::<Colleague>(data)?.agent },
            S::ColleagueNotReady => colleague_not_ready(data)?,
            S::List => Self::List(parse(data)?),
            S::Watch => Self::Watch { kind: parse::<WatchedList>(data)?.kind },
            S::Unwatch => Self::Unwatch { kind: parse::<WatchedList>(data)?.kind },
        })
    }
}

fn add_channel(data: &str) -> Result<Arguments, String> {
    let ChannelData { channel: NewChannel { endpoint, kind } } = parse(data)?;
    Ok(Arguments::AddChannel { endpoint, kind })
}

fn remove_channel(data: &str) -> Result<Arguments, String> {
    let ChannelData { channel: ById { id } } = parse(data)?;
    Ok(Arguments::RemoveChannel { id })
}

fn not_ready(data: &str) -> Result<Arguments, String> {
    let NotReady { reasoncode, reasondesc } = parse(data)?;
    Ok(Arguments::NotReady { code: reasoncode, text: reasondesc })
}

fn dial(data: &str) -> Result<Arguments, String> {
    let Dial { destination, extensions } = parse(data)?;
    Ok(Arguments::Dial { destination, extensions: extensions.unwrap_or_else(Json::empty_object) })
}

fn set_data(data: &str) -> Result<Arguments, String> {
    let SetData { key, value } = parse(data)?;
    Ok(Arguments::SetInteractionData { key, value })
}

fn supervise(data: &str) -> Result<Arguments, String> {
    let Supervise { agent, mode } = parse(data)?;
    Ok(Arguments::Supervise { agent, mode })
}

fn colleague_not_ready(data: &str) -> Result<Arguments, String> {
    let ColleagueNotReady { agent, reasoncode, reasondesc } = parse(data)?;
    Ok(Arguments::ColleagueNotReady { agent, code: reasoncode, text: reasondesc })
}

fn destination(data: &str) -> Result<String, String> {
    Ok(parse::<Destination>(data)?.destination)
}

fn member(data: &str, action: MemberAction) -> Result<Arguments, String> {
    let MemberData { member: ById { id } } = parse(data)?;
    Ok(Arguments::Member { id, action })
}

/// Reads data as `T`.
///
/// # Errors
/// Which member is wrong, and how.
pub fn parse<T: DeserializeOwned>(data: &str) -> Result<T, String> {
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

/// The data of `addchannel` and `removechannel`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(bound = "T: Deserialize<'de>")]
pub(crate) struct ChannelData<T> {
    /// The channel.
    #[serde(deserialize_with = "object")]
    channel: T,
}

/// The data of `addchannelgroup`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct GroupData {
    /// The group.
    #[serde(deserialize_with = "object")]
    channelgroup: NewGroup,
}

/// A channel to be added.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct NewChannel {
    /// The extension, station or address.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    endpoint: String,
    /// Its type.
    #[serde(rename = "type", deserialize_with = "channel_type")]
    kind: ChannelType,
}

/// The data of `notready`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct NotReady {
    /// The platform's code, or `acw` for after-call work.
    #[serde(deserialize_with = "reason_code")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::reason_code"))]
    reasoncode: String,
    /// In words, for the record.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    reasondesc: Option<String>,
}

/// The data of `dial`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Dial {
    /// The number or address.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    destination: String,
    /// The platform's own options, among them the answer to `needinfo`.
    #[serde(default, deserialize_with = "any_object")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::object"))]
    extensions: Option<Json>,
}

/// The data of `setinteractiondata`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SetData {
    /// The entry.
    #[serde(deserialize_with = "text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::text"))]
    key: String,
    /// Any value.
    value: Json,
}

/// The data of `interaction.request.setdisposition`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DispositionData {
    /// The disposition's text.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    pub disposition: String,
}

/// Whom to call.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Destination {
    /// The number or address.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    destination: String,
}

/// The data of `senddtmf`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Digits {
    /// The tones.
    #[serde(deserialize_with = "digits")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::digits"))]
    digits: String,
}

/// The data of the commands to one member of a conference.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct MemberData {
    /// The member.
    #[serde(deserialize_with = "object")]
    member: ById,
}

/// The data of `supervise`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Supervise {
    /// The colleague: the id of an entry of the list `destinations`, or the name that he logs in with.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    agent: String,
    /// How to take part.
    #[serde(deserialize_with = "supervision_mode")]
    mode: SupervisionMode,
}

/// The data of `colleague.ready`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Colleague {
    /// The colleague: the id of an entry of the list `destinations`, or the name that he logs in with.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    agent: String,
}

/// The data of `colleague.notready`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ColleagueNotReady {
    /// The colleague: the id of an entry of the list `destinations`, or the name that he logs in with.
    #[serde(deserialize_with = "short_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short_text"))]
    agent: String,
    /// The platform's code.
    #[serde(deserialize_with = "reason_code")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::reason_code"))]
    reasoncode: String,
    /// In words, for the record.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    reasondesc: Option<String>,
}

/// The options of `activate`; all of them go to the platform.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("additionalProperties" = true)))]
pub(crate) struct ActivateOptions {
    /// The queue to take contacts from.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    queue: Option<String>,
}

/// The options of `activate` and `deactivate`, under either spelling. `T`: what is read of them.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema_members::both_spellings))]
#[serde(bound = "")]
pub(crate) struct Options<T> {
    #[serde(default, alias = "channelOptions", deserialize_with = "any_object")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<T>"))]
    channeloptions: Option<Json>,
    #[serde(skip)]
    read_as: PhantomData<T>,
}

impl<T: DeserializeOwned> Options<T> {
    /// What the options say, and all of them as they were sent.
    fn read(data: &str) -> Result<(T, Json), String> {
        let options = parse::<Self>(data)?.channeloptions.unwrap_or_else(Json::empty_object);
        Ok((parse_at("data.channeloptions", options.get())?, options))
    }
}

/// The options of `deactivate`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DeactivateOptions {
    /// The queues to leave: one, or a list.
    #[serde(default, deserialize_with = "queues")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::queues"))]
    queue: Vec<String>,
    /// The platform's code for the reason.
    #[serde(default, deserialize_with = "reason_number")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::reason_number"))]
    reason: Option<i64>,
}

/// The data of `activateall`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema_members::both_spellings))]
pub(crate) struct ActivateAll {
    /// Options of some of the channels; the others are activated without.
    #[serde(default, alias = "channelOptions", deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<OneChannel>>", length(max = MAX_CHANNEL_OPTIONS)))]
    channeloptions: Option<Vec<Json>>,
}

/// The options of one channel of a group; all of them go to the platform.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("additionalProperties" = true)))]
struct OneChannel {
    /// The channel's id.
    id: String,
    /// The queue to take contacts from.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    queue: Option<String>,
}

/// The data of `removechannelgroup`: one of them, or both with the same id.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema_members::one_of_both))]
pub(crate) struct GroupToRemove {
    /// The group.
    #[serde(default, deserialize_with = "some_object")]
    channel: Option<ById>,
    /// The group.
    #[serde(default, deserialize_with = "some_object")]
    channelgroup: Option<ById>,
}

fn remove_group(data: &str) -> Result<Arguments, String> {
    match parse(data)? {
        GroupToRemove { channel: Some(ById { id: channel }), channelgroup: Some(ById { id: group }) }
            if channel != group =>
        {
            Err("data.channel.id and data.channelgroup.id are not the same group".to_owned())
        }
        GroupToRemove { channelgroup: Some(ById { id }), .. } | GroupToRemove { channel: Some(ById { id }), .. } => {
            Ok(Arguments::RemoveChannelGroup { id })
        }
        GroupToRemove { .. } => Err("data.channelgroup is missing".to_owned()),
    }
}

fn activate(data: &str) -> Result<Arguments, String> {
    let (ActivateOptions { queue }, options) = Options::read(data)?;
    Ok(Arguments::Activate { queue, options })
}

fn activate_all(data: &str) -> Result<Arguments, String> {
    let list = parse::<ActivateAll>(data)?.channeloptions.unwrap_or_default();
    if list.len() > MAX_CHANNEL_OPTIONS {
        return Err(format!("data.channeloptions has more than {} entries", MAX_CHANNEL_OPTIONS));
    }
    let mut ids = HashSet::with_capacity(list.len());
    let mut all = Vec::with_capacity(list.len());
    for (n, options) in list.into_iter().enumerate() {
        let place = format!("data.channeloptions[{n}]");
        if !options.get().starts_with('{') {
            return Err(format!("{place} must be an object"));
        }
        let OneChannel { id, queue } = parse_at(&place, options.get())?;
        if !ids.insert(id.clone()) {
            return Err(format!("{place}.id stands twice"));
        }
        all.push(ChannelOptions { id, queue, options });
    }
    Ok(Arguments::ActivateAll(all))
}

fn deactivate(data: &str) -> Result<Arguments, String> {
    let (DeactivateOptions { queue, reason }, _) = Options::read(data)?;
    Ok(Arguments::Deactivate { queues: queue, reason })
}

#[cfg(test)]
mod tests;
