//! The protocol as JSON Schemas (draft 7) and as an AsyncAPI description, made from its types.
//!
//! Owns: which files there are, and what holds of a message beside its data. What data look like is read off the types
//! that read and write them. Only built with the feature `schema`: the host serves the files, and the test that writes
//! and compares them is their only maker. Must never: allow less than the types do, or forbid unknown members, which
//! later versions may bring.

use std::collections::{BTreeMap, BTreeSet};

use jackfield_plugin_api::{Failure, command::StandardCommand};
use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
    json_schema,
    transform::RecursiveTransform,
};
use serde_json::{Value, json};

use crate::{
    close::CloseCode,
    command::ProtocolCommand,
    data::{
        ActivateAll, ActivateOptions, BindData, ById, ChannelData, Colleague, ColleagueNotReady, DeactivateOptions,
        Destination, Dial, Digits, DispositionData, GroupData, GroupToRemove, MemberData, NewChannel, NotReady,
        Options, PrepareData, SetData, StartData, Supervise,
    },
    event::{EventData, EventName, ObjectId},
    list::{ListAnswer, ListArguments, WatchedList},
};

/// The version of the protocol that the files describe.
const VERSION: &str = "1.1";

/// Every file, by its path below the folder of schemas.
#[must_use]
pub fn files() -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    for command in ProtocolCommand::all() {
        files.insert(data_file(command), data_of(command));
        if let Some(answer) = answer_of(command) {
            files.insert(answer_file(command), answer);
        }
    }
    for name in EventName::STANDARD {
        files.insert(event_file(&name), event_data(&name));
    }
    for (name, schema) in [
        ("command.json", command()),
        ("success.json", success()),
        ("needinfo.json", needinfo()),
        ("confirm.json", confirm()),
        ("failure.json", failure()),
        ("event.json", event()),
        ("bind.json", answer_of(ProtocolCommand::BindSession).expect("it has an answer of its own")),
        ("closed.json", closed()),
        ("asyncapi.json", asyncapi()),
    ] {
        files.insert(name.to_owned(), schema);
    }
    files
}

fn data_file(command: ProtocolCommand) -> String {
    format!("commands/{}.json", command.name())
}

fn answer_file(command: ProtocolCommand) -> String {
    format!("answers/{}.json", command.name())
}

fn event_file(name: &EventName) -> String {
    format!("events/{}.json", name.as_str())
}

// ---- data, from the types

/// What the data of a command must look like.
fn data_of(command: ProtocolCommand) -> Value {
    use StandardCommand as S;
    let of = match command {
        ProtocolCommand::PrepareSession => read_as::<PrepareData>,
        ProtocolCommand::BindSession => read_as::<BindData>,
        ProtocolCommand::Start => read_as::<StartData>,
        ProtocolCommand::Logout => read_as::<Nothing>,
        ProtocolCommand::Standard(command) => match command {
            S::AddChannel => read_as::<ChannelData<NewChannel>>,
            S::RemoveChannel => read_as::<ChannelData<ById>>,
            S::AddChannelGroup => read_as::<GroupData>,
            S::RemoveChannelGroup => read_as::<GroupToRemove>,
            S::ActivateAll => read_as::<ActivateAll>,
            S::Activate => read_as::<Options<ActivateOptions>>,
            S::Deactivate => read_as::<Options<DeactivateOptions>>,
            S::NotReady => read_as::<NotReady>,
            S::Dial => read_as::<Dial>,
            S::SetInteractionData => read_as::<SetData>,
            S::SetDisposition => read_as::<DispositionData>,
            S::Consult | S::BlindTransfer | S::BlindConference => read_as::<Destination>,
            S::SendDtmf => read_as::<Digits>,
            S::MemberRemove | S::MemberMute | S::MemberUnmute | S::MemberHold | S::MemberRetrieve => {
                read_as::<MemberData>
            }
            S::Supervise => read_as::<Supervise>,
            S::ColleagueReady => read_as::<Colleague>,
            S::ColleagueNotReady => read_as::<ColleagueNotReady>,
            S::List => read_as::<ListArguments>,
            S::Watch | S::Unwatch => read_as::<WatchedList>,
            S::DeactivateAll
            | S::Ready
            | S::Accept
            | S::Reject
            | S::Complete
            | S::Alternate
            | S::ConsultTransfer
            | S::ConsultConference
            | S::RecordingStart
            | S::RecordingStop
            | S::RecordingPause
            | S::RecordingResume
            | S::Answer
            | S::Release
            | S::Hold
            | S::Retrieve
            | S::Mute
            | S::Unmute => read_as::<Nothing>,
        },
    };
    let mut schema = of();
    schema["description"] = json!(command.specification().summary);
    titled(schema, &format!("data of {}", command.name()))
}

/// What the data of a command's success look like, where they are not those of the command.
fn answer_of(command: ProtocolCommand) -> Option<Value> {
    let answer = match command {
        ProtocolCommand::PrepareSession => json!({
            "type": "object", "required": ["session"],
            "properties": {"session": {"type": "object", "required": ["id"], "properties": {"id": {
                "type": "string", "description": "The session: the first word of every target in it." }}}},
        }),
        ProtocolCommand::BindSession => json!({
            "type": "object", "required": ["replay", "seq"],
            "properties": {
                "replay": {"enum": ["events", "snapshot"], "description":
                    "What follows: the events that the client has missed, or a snapshot for which it drops what it has."},
                "seq": {"type": "integer", "minimum": 0, "description": "The number of the event before the next one."},
            },
        }),
        ProtocolCommand::Standard(StandardCommand::List) => written_as::<ListAnswer<'static>>(),
        _ => return None,
    };
    Some(titled(answer, &format!("answer of {}", command.name())))
}

/// What the data of an event look like.
fn event_data(name: &EventName) -> Value {
    use EventName as E;
    let variant = match name {
        E::SessionInitialized => "Initialized",
        E::SessionDisposed => "SessionDisposed",
        E::SessionLinkChanged => "Link",
        E::SessionListChanged => "List",
        E::GroupCreated => "Group",
        E::ChannelCreated => "Channel",
        E::ChannelInfoChanged => "Info",
        E::InteractionCreated => "Interaction",
        E::InteractionPreview | E::InteractionScreenPop => "Shown",
        E::InteractionDataChanged => "Data",
        E::InteractionFocusChanged => "Focus",
        E::InteractionEnded => "End",
        E::ConversationCreated => "Conversation",
        E::MemberAdded | E::MemberRemoved | E::MemberChanged => "Member",
        E::StateUpdated => "State",
        // Where the interaction goes on without it, nothing else tells why.
        E::ConversationDisposed => "End",
        E::GroupInitialized
        | E::GroupDisposed
        | E::ChannelInitialized
        | E::ChannelDisposed
        | E::InteractionInitialized
        | E::InteractionComplete
        | E::InteractionDisposed
        | E::ConversationInitialized => "Nothing",
        E::Extension(_) => "Extension",
    };
    let all = written_as::<EventData>();
    let variants = all["anyOf"].as_array().expect("the data of events are an untagged enum");
    let mut schema = variants.iter().find(|schema| schema["title"] == variant).expect("a variant by its title").clone();
    let members = schema.as_object_mut().expect("an object");
    // It says of which events it is, and what the schema is of stands in its title.
    members.remove("description");
    if matches!(name, E::ConversationDisposed) {
        members.remove("required");
    }
    schema["$schema"] = all["$schema"].clone();
    schema["definitions"] = all["definitions"].clone();
    drop_unused_definitions(&mut schema);
    titled(schema, &format!("data of {}", name.as_str()))
}

/// Data of which nothing is read.
#[derive(JsonSchema)]
struct Nothing {}

fn read_as<T: JsonSchema>() -> Value {
    schema_of::<T>(Contract::Deserialize)
}

fn written_as<T: JsonSchema>() -> Value {
    schema_of::<T>(Contract::Serialize)
}

fn schema_of<T: JsonSchema>(contract: Contract) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.contract = contract);
    let settings =
        settings.with_transform(RecursiveTransform(missing_is_not_null)).with_transform(RecursiveTransform(plain));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

fn titled(mut schema: Value, title: &str) -> Value {
    schema["title"] = json!(title);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema
}

/// Keeps the definitions that the schema refers to, itself or through others.
fn drop_unused_definitions(schema: &mut Value) {
    let definitions = schema.as_object_mut().and_then(|schema| schema.remove("definitions")).unwrap_or_default();
    let mut used = BTreeSet::new();
    let mut found = references(schema);
    while let Some(name) = found.pop() {
        found.extend(references(&definitions[&name]).into_iter().filter(|other| !used.contains(other)));
        used.insert(name);
    }
    if !used.is_empty() {
        let kept: BTreeMap<&String, &Value> = used.iter().map(|name| (name, &definitions[name])).collect();
        schema["definitions"] = json!(kept);
    }
}

/// The names of the definitions that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/definitions/"));
            own.map(str::to_owned).into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// A member that may be missing is never `null`: neither is it taken in a command nor sent in an event.
fn missing_is_not_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    let required = object.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, property) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
        let Some(property) = property.as_object_mut() else { continue };
        if property.get("default").is_some_and(Value::is_null) {
            property.remove("default");
        }
        if let Some(types) = property.get_mut("type")
            && let Some(list) = types.as_array_mut()
        {
            list.retain(|one| one != "null");
            if let [only] = list.as_slice() {
                *types = only.clone();
            }
        }
        if let Some(any) = property.get_mut("anyOf").and_then(Value::as_array_mut) {
            any.retain(|one| one["type"] != "null");
        }
    }
}

/// Without what only Rust's readers understand: its formats of numbers, and in descriptions links and ends of lines.
fn plain(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| format.trim_start_matches('u').starts_with("int"))
    {
        object.remove("format");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = without_links(text).replace("\n\n", "\u{b6}").replace('\n', " ").replace('\u{b6}', "\n\n");
    }
}

/// ``[`words`](address)`` and ``[`words`]`` become `words`.
fn without_links(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (words, rest) = part.split_once("`]").unwrap_or((part, ""));
        plain.push_str(words.rsplit("::").next().unwrap_or(words));
        plain.push_str(match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').map_or("", |(_, rest)| rest),
            None => rest,
        });
    }
    plain
}

impl JsonSchema for ObjectId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObjectId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

// ---- messages

fn message(title: &str, description: &str, required: &[&str], properties: Value) -> Value {
    let schema = json!({"type": "object", "description": description, "required": required, "properties": properties});
    titled(schema, title)
}

fn request_id() -> Value {
    json!({"type": ["string", "number"], "description": "The client's own; the response repeats it."})
}

fn target() -> Value {
    json!({"type": "string", "description": "The dotted path of ids from the session down to the object."})
}

/// The names under which a command is taken.
fn names(command: ProtocolCommand) -> Vec<String> {
    std::iter::once(command.name().to_owned()).chain(command.alias()).collect()
}

/// Whether a command is sent without a target.
fn has_target(command: ProtocolCommand) -> bool {
    !matches!(command, ProtocolCommand::PrepareSession | ProtocolCommand::BindSession)
}

/// The members that a command must have beside its name.
fn needed(command: ProtocolCommand) -> Vec<&'static str> {
    let data = data_of(command);
    let needs_data = data.get("required").or_else(|| data.get("anyOf")).is_some();
    [("target", has_target(command)), ("data", needs_data)]
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name)
        .collect()
}

/// Where one of these names stands in a member, the rest holds.
fn where_named(member: &str, names: &[String], rest: Value) -> Value {
    json!({"if": {"required": [member], "properties": {member: {"enum": names}}}, "then": rest})
}

fn command() -> Value {
    let mut schema = message(
        "command",
        "What a client sends. Commands that are not listed here are an adapter's own.",
        &["command"],
        json!({"command": {"type": "string"}, "target": target(), "data": {"type": "object"}, "requestId": request_id()}),
    );
    let rule = |command| {
        let rest = json!({"required": needed(command), "properties": {"data": {"$ref": data_file(command)}}});
        where_named("command", &names(command), rest)
    };
    schema["allOf"] = ProtocolCommand::all().map(rule).collect();
    schema
}

fn success() -> Value {
    let mut schema = message(
        "success",
        "The command was carried out.",
        &["command", "result"],
        json!({"command": {"type": "string"}, "target": target(), "result": {"const": "success"},
            "data": {"type": "object", "description": "Those of the command, unless it has an answer of its own."},
            "requestId": request_id()}),
    );
    let rule = |command| {
        let rest = match answer_of(command) {
            Some(_) => json!({"required": ["data"], "properties": {"data": {"$ref": answer_file(command)}}}),
            // An answer to a logout has no data.
            None => json!({"properties": {"data": {"$ref": data_file(command)}}}),
        };
        where_named("command", &names(command), rest)
    };
    schema["allOf"] = ProtocolCommand::all().map(rule).collect();
    schema
}

fn original() -> Value {
    json!({"type": "object", "description": "The command as it was sent, but for a password."})
}

fn needinfo() -> Value {
    message(
        "needinfo",
        "The platform must know more: the client asks the agent, and sends the command again with the answer in data.extensions.",
        &["command", "target", "result", "uiExtension", "original"],
        json!({"command": {"type": "string"}, "target": target(), "result": {"const": "needinfo"},
            "uiExtension": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}},
                "description": "What must be known; its adapter's documentation says what stands in it."},
            "original": original(), "requestId": request_id()}),
    )
}

fn confirm() -> Value {
    message(
        "confirm",
        "The agent has a live session: prepareSession with \"override\":true replaces it.",
        &["command", "result", "message", "original"],
        json!({"command": {"const": ProtocolCommand::PrepareSession.name()}, "result": {"const": "confirm"},
            "message": {"type": "string", "description": "For the agent."},
            "original": original(), "requestId": request_id()}),
    )
}

fn failure() -> Value {
    let mut failure = written_as::<Failure>();
    let definitions = failure.as_object_mut().and_then(|schema| schema.remove("definitions")).unwrap_or_default();
    for name in ["$schema", "title"] {
        failure.as_object_mut().expect("an object").remove(name);
    }
    let mut schema = message(
        "failure",
        "The command was not carried out. Of what is no message of this protocol, command, target and requestId are repeated where they could be read, original where it is an object.",
        &["result", "failure"],
        json!({"command": {"type": "string"}, "target": target(), "result": {"const": "failure"},
            "failure": failure, "original": original(), "requestId": request_id()}),
    );
    schema["definitions"] = definitions;
    schema
}

fn event() -> Value {
    let mut schema = message(
        "event",
        "What the host tells. Events that are not listed here are an adapter's own, or of a later version.",
        &["messageType", "seq", "at", "target", "name", "data"],
        json!({"messageType": {"const": "objectEvent"},
            "seq": {"type": "integer", "minimum": 1, "description": "Its number in the session: 1 and on, without gaps."},
            "at": {"type": "integer", "minimum": 0, "description":
                "When the host told it, in milliseconds since 1970-01-01T00:00:00Z."},
            "target": {"type": "string", "description": "The object; of a created event its parent."},
            "name": {"type": "string"}, "data": {"type": "object"}}),
    );
    let rule = |name: &EventName| {
        let rest = json!({"properties": {"data": {"$ref": event_file(name)}}});
        where_named("name", &[name.as_str().to_owned()], rest)
    };
    schema["allOf"] = EventName::STANDARD.iter().map(rule).collect();
    schema
}

/// The last event of an event stream.
fn closed() -> Value {
    message(
        "closed",
        "The data of an event stream's last event, which is named closed.",
        &["code", "reason"],
        json!({"code": {"enum": CloseCode::ALL.map(CloseCode::number)}, "reason": {"type": "string"}}),
    )
}

// ---- AsyncAPI

fn asyncapi() -> Value {
    let mut messages = serde_json::Map::new();
    let mut operations = serde_json::Map::new();
    let here = |name: &str| json!({"$ref": format!("#/channels/session/messages/{name}")});
    let responses = ["success", "needinfo", "confirm", "failure"];
    for name in responses {
        messages.insert(name.to_owned(), json!({"name": name, "payload": {"$ref": format!("{name}.json")}}));
    }
    for command in ProtocolCommand::all() {
        let name = command.name();
        let required: Vec<&str> = std::iter::once("command").chain(needed(command)).collect();
        let payload = json!({"type": "object", "required": required, "properties": {
            "command": {"const": name}, "target": target(), "data": {"$ref": data_file(command)}, "requestId": request_id()}});
        messages.insert(
            name.to_owned(),
            json!({"name": name, "summary": command.specification().summary, "payload": payload}),
        );
        operations.insert(
            name.to_owned(),
            json!({
            "action": "receive", "summary": command.specification().summary,
            "channel": {"$ref": "#/channels/session"}, "messages": [here(name)],
            "reply": {"channel": {"$ref": "#/channels/session"}, "messages": responses.map(here)}}),
        );
    }
    for event in EventName::STANDARD {
        let name = event.as_str();
        let payload = json!({"allOf": [{"$ref": "event.json"}, {"properties": {"name": {"const": name}}}]});
        messages.insert(name.to_owned(), json!({"name": name, "payload": payload}));
    }
    let events: Vec<Value> = EventName::STANDARD.iter().map(|event| here(event.as_str())).collect();
    operations.insert(
        "events".to_owned(),
        json!({"action": "send", "summary": "what changes in the session",
        "channel": {"$ref": "#/channels/session"}, "messages": events}),
    );
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Jackfield session protocol", "version": VERSION,
            "description": "What an agent desktop and the host say to each other. A client sends the commands and hears the events; the operations are the host's.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"session": {
            "address": "/v1/tenants/{tenant}/ws",
            "description": "A WebSocket with the subprotocol jackfield.v1; one message a text frame.",
            "parameters": {"tenant": {"description": "The name of the tenant."}},
            "messages": messages,
            "bindings": {"ws": {"method": "GET"}},
        }},
        "operations": operations,
    })
}
