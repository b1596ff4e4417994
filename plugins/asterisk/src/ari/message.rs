//! What Asterisk sends: answers and events, read from JSON.
//!
//! Owns: the reading. Must never: fail on what it does not know (Asterisk adds events with every version, and a build
//! with its test framework sends events of its own); such a message is [`Event::Other`].

use serde::Deserialize;
use serde_json::Value;

/// A message on the socket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    Response(Response),
    Event(Event),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) id: u64,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Response {
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether what was asked about has ended, or is just ending: an event tells that, so it is no fault. A bridge says
    /// 400 of a channel that has ended as it was to come in or go out, where all others say 404.
    pub(crate) fn is_about_what_ended(&self) -> bool {
        match self.status {
            404 | 409 | 422 => true,
            400 => self.message() == "Channel not found",
            _ => false,
        }
    }

    fn message(&self) -> &str {
        self.body.get("message").or_else(|| self.body.get("error")).and_then(Value::as_str).unwrap_or_default()
    }

    /// Asterisk's own words, for an error's context.
    pub(crate) fn words(&self) -> String {
        format!("Asterisk answered {} {}", self.status, self.message()).trim_end().to_owned()
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A channel is ours.
    Start { channel: Channel, args: Vec<String>, replaces: Option<String> },
    /// A channel is ours no longer.
    End { channel: String },
    /// A channel changed its state.
    State { channel: Channel },
    /// A channel is to be hung up, for this cause.
    HangupRequest { channel: String, cause: Option<u16> },
    /// A channel is no more.
    Destroyed { channel: String, cause: u16 },
    /// Somebody pressed a key.
    Key { channel: String, key: String },
    /// The phone's own hold key.
    Hold { channel: String },
    /// The phone's own hold key, again.
    Unhold { channel: String },
    /// A channel variable was set.
    Varset { channel: String, variable: String, value: String },
    /// The phone asks for a transfer (REFER), and leaves it to us.
    Transfer { channel: String, to: Option<String>, attended: bool },
    /// A party's number or name changed.
    CallerId { channel: Channel },
    /// An endpoint can be reached or not, and has these channels.
    Endpoint { endpoint: Endpoint },
    /// A bridge is no more.
    BridgeDestroyed { bridge: String },
    /// A recording is over or could not be made.
    RecordingEnded { name: String, failed: Option<String> },
    /// What was played to a channel is over.
    PlaybackEnded { id: String, channel: String },
    /// Another client has taken the application over.
    Replaced,
    /// What does not matter here.
    Other,
}

/// A channel, as Asterisk describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) caller: Caller,
    pub(crate) dialplan: Dialplan,
    /// Its moment of creation, as a text that sorts by time.
    #[serde(rename = "creationtime")]
    pub(crate) created: String,
}

impl Channel {
    pub(crate) fn is_up(&self) -> bool {
        self.state == "Up"
    }
}

/// Who is at the other end of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) number: String,
}

/// Where a channel is in the dialplan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Dialplan {
    pub(crate) app_name: String,
    pub(crate) app_data: String,
}

/// An endpoint, as Asterisk describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoint {
    pub(crate) technology: String,
    pub(crate) resource: String,
    /// `online`, `offline` or `unknown`.
    pub(crate) state: String,
    pub(crate) channel_ids: Vec<String>,
}

/// A bridge, as Asterisk describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Bridge {
    pub(crate) id: String,
    /// `mixing` or `holding`.
    pub(crate) bridge_type: String,
    pub(crate) channels: Vec<String>,
}

/// The channels of a list; those that cannot be read are left out.
pub(crate) fn channels(list: &Value) -> Vec<Channel> {
    each(list)
}

/// The bridges of a list.
pub(crate) fn bridges(list: &Value) -> Vec<Bridge> {
    each(list)
}

fn each<T: for<'a> Deserialize<'a>>(list: &Value) -> Vec<T> {
    list.as_array().into_iter().flatten().filter_map(|item| T::deserialize(item).ok()).collect()
}

impl Message {
    /// Reads a frame. `None`: not a message of ARI.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let kind = value.get("type")?.as_str()?;
        if kind != "RESTResponse" {
            return Some(Self::Event(event(kind, &value)));
        }
        let id = value.get("request_id")?.as_str()?.parse().ok()?;
        let status = u16::try_from(value.get("status_code")?.as_u64()?).ok()?;
        let body = value.get("message_body").and_then(Value::as_str).and_then(|body| serde_json::from_str(body).ok());
        Some(Self::Response(Response { id, status, body: body.unwrap_or(Value::Null) }))
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn channel_id(value: &Value) -> String {
    value.pointer("/channel/id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn cause(value: &Value) -> Option<u16> {
    value.get("cause").and_then(Value::as_u64).and_then(|cause| u16::try_from(cause).ok())
}

fn event(kind: &str, value: &Value) -> Event {
    let channel = || value.get("channel").and_then(|channel| Channel::deserialize(channel).ok()).unwrap_or_default();
    match kind {
        "StasisStart" => Event::Start {
            channel: channel(),
            args: value.get("args").and_then(|args| Vec::deserialize(args).ok()).unwrap_or_default(),
            replaces: value.pointer("/replace_channel/id").and_then(Value::as_str).map(str::to_owned),
        },
        "StasisEnd" => Event::End { channel: channel_id(value) },
        "ChannelStateChange" => Event::State { channel: channel() },
        "ChannelHangupRequest" => Event::HangupRequest { channel: channel_id(value), cause: cause(value) },
        "ChannelDestroyed" => Event::Destroyed { channel: channel_id(value), cause: cause(value).unwrap_or_default() },
        "ChannelDtmfReceived" => {
            Event::Key { channel: channel_id(value), key: text(value, "digit").unwrap_or_default() }
        }
        "ChannelHold" => Event::Hold { channel: channel_id(value) },
        "ChannelUnhold" => Event::Unhold { channel: channel_id(value) },
        "ChannelVarset" => Event::Varset {
            channel: channel_id(value),
            variable: text(value, "variable").unwrap_or_default(),
            value: text(value, "value").unwrap_or_default(),
        },
        "ChannelCallerId" => Event::CallerId { channel: channel() },
        "EndpointStateChange" => Event::Endpoint {
            endpoint: value.get("endpoint").and_then(|it| Endpoint::deserialize(it).ok()).unwrap_or_default(),
        },
        "BridgeDestroyed" => Event::BridgeDestroyed {
            bridge: value.pointer("/bridge/id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        },
        "ChannelTransfer" => transfer(value),
        "RecordingFinished" | "RecordingFailed" => Event::RecordingEnded {
            name: value.pointer("/recording/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            failed: (kind == "RecordingFailed").then(|| {
                let cause = value.pointer("/recording/cause").and_then(Value::as_str);
                cause.unwrap_or("no reason given").to_owned()
            }),
        },
        "PlaybackFinished" => Event::PlaybackEnded {
            id: value.pointer("/playback/id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            channel: played_to(value).unwrap_or_default().to_owned(),
        },
        "ApplicationReplaced" => Event::Replaced,
        _ => Event::Other,
    }
}

/// The channel that something is played to; not there where that is a bridge.
fn played_to(value: &Value) -> Option<&str> {
    value.pointer("/playback/target_uri")?.as_str()?.strip_prefix("channel:")
}

/// Who asks is `referred_by.source_channel`; where to is `refer_to.requested_destination`, which names another call of
/// the phone when the transfer is attended.
fn transfer(value: &Value) -> Event {
    let wanted = value.pointer("/refer_to/requested_destination");
    Event::Transfer {
        channel: value.pointer("/referred_by/source_channel/id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        to: wanted.and_then(|wanted| text(wanted, "destination")).filter(|to| !to.is_empty()),
        attended: wanted.is_some_and(|wanted| wanted.get("protocol_id").is_some_and(|id| !id.is_null()))
            || value.pointer("/refer_to/connected_channel/id").is_some(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_matched_by_its_request_and_its_body_is_read() {
        let text = r#"{"type":"RESTResponse","transaction_id":"3","request_id":"3","status_code":404,
            "reason_phrase":"Not Found","uri":"channels/x","content_type":"application/json",
            "message_body":"{\"message\":\"Channel not found\"}","application":"a"}"#;
        let Some(Message::Response(response)) = Message::read(text) else { panic!("a response") };
        assert_eq!((response.id, response.status, response.is_ok()), (3, 404, false));
        assert_eq!(response.words(), "Asterisk answered 404 Channel not found");
    }

    #[test]
    fn a_channel_that_ends_as_it_is_bridged_is_no_fault_and_another_400_is_one() {
        let answer = |status, words: &str| Response { id: 1, status, body: serde_json::json!({"message": words}) };
        assert!(answer(400, "Channel not found").is_about_what_ended());
        assert!(answer(422, "Channel not in Stasis application").is_about_what_ended());
        assert!(!answer(400, "direction is required").is_about_what_ended());
        assert!(!answer(500, "Allocation failed").is_about_what_ended());
    }

    #[test]
    fn an_answer_without_a_body_is_read_too() {
        let text = r#"{"type":"RESTResponse","request_id":"4","status_code":204,"reason_phrase":"No Content"}"#;
        let Some(Message::Response(response)) = Message::read(text) else { panic!("a response") };
        assert!(response.is_ok());
    }

    #[test]
    fn events_that_nobody_needs_and_texts_that_are_none_do_no_harm() {
        assert_eq!(Message::read(r#"{"type":"TestEvent"}"#), Some(Message::Event(Event::Other)));
        assert_eq!(Message::read("[]"), None);
        assert_eq!(Message::read("no json"), None);
        assert_eq!(
            Message::read(r#"{"type":"ChannelDestroyed"}"#),
            Some(Message::Event(Event::Destroyed { channel: String::new(), cause: 0 }))
        );
    }

    #[test]
    fn a_channel_that_enters_brings_its_arguments() {
        let text = r#"{"type":"StasisStart","args":["queue","sales"],"channel":{"id":"1.2","name":"PJSIP/t-1",
            "state":"Ring","caller":{"name":"","number":"555"},"connected":{"name":"","number":""},
            "dialplan":{"context":"c","exten":"700","priority":1,"app_name":"Stasis","app_data":"a,queue,sales"}}}"#;
        let Some(Message::Event(Event::Start { channel, args, replaces })) = Message::read(text) else { panic!() };
        assert_eq!((channel.id.as_str(), channel.caller.number.as_str(), channel.is_up()), ("1.2", "555", false));
        assert_eq!(args, ["queue", "sales"]);
        assert_eq!(replaces, None);
    }
}
