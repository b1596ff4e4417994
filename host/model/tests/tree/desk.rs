//! A tree and a desktop side by side.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jackfield_model::{Capabilities, ChannelNode, Diagnostics, Object, Tree, rules};
use jackfield_plugin_api::{
    Link, Manifest, Report, Timestamp,
    command::StandardCommand,
    report::{ChannelInfo, ChannelStatus, ChannelType},
    testkit::View,
};
use jackfield_protocol::event::Event;
use jackfield_tests::client_model::ClientModel;
use serde_json::{Map, Value, json};

/// When everything happens, unless a test says otherwise.
pub const AT: Timestamp = Timestamp(1_767_225_600_000);

/// The extension events that the tests' adapter declares.
pub const EXTENSIONS: &[&str] = &[
    "session.test.news",
    "channelgroup.test.note",
    "channel.test.note",
    "interaction.test.note",
    "conversation.test.note",
];

pub fn capabilities() -> Arc<Capabilities> {
    capabilities_of(&["Telephony", "Chat", "Email"])
}

/// Those of an adapter with these types of channel.
pub fn capabilities_of(channel_types: &[&str]) -> Arc<Capabilities> {
    Arc::new(Capabilities::of(&manifest_of(channel_types)))
}

/// The manifest of an adapter with these types of channel.
pub fn manifest_of(channel_types: &[&str]) -> Manifest {
    let events: Vec<Value> = EXTENSIONS.iter().map(|name| json!({"name": name})).collect();
    let commands: Vec<&str> = StandardCommand::ALL.iter().map(|command| command.name()).collect();
    let manifest = json!({
        "id": "test", "vendor": "test", "platform": "test", "settings": {},
        "channelTypes": channel_types, "commands": commands, "extensionEvents": events, "ownData": ["ownNumber"],
    });
    serde_json::from_value(manifest).unwrap()
}

/// A tree, and a desktop that is told everything.
pub struct Desk {
    pub tree: Tree,
    pub client: ClientModel,
    capabilities: Arc<Capabilities>,
    /// How things are as the test kit of an adapter sees it.
    pub view: View,
    actions: bool,
    names: HashMap<String, String>,
    /// The moment at which a report comes.
    pub now: Timestamp,
}

/// An event that was told.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub target: String,
    pub name: String,
    pub data: String,
}

/// The events, to keep.
pub fn kept<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Said> {
    let kept = |event: &Event| Said {
        target: event.on.below("S").to_string(),
        name: event.name.as_str().to_owned(),
        data: serde_json::to_string(&event.data).unwrap(),
    };
    events.into_iter().map(kept).collect()
}

/// What one report led to.
pub struct Told {
    pub events: Vec<Said>,
    /// The events' names, with the object where the name alone does not tell it.
    pub words: Vec<String>,
    pub notes: Diagnostics,
}

impl Desk {
    /// Nothing was reported yet.
    pub fn new(actions: bool) -> Self {
        Self::with(capabilities(), actions)
    }

    /// The same with an adapter that can do this.
    pub fn with(capabilities: Arc<Capabilities>, actions: bool) -> Self {
        Self {
            tree: Tree::new("S", capabilities.clone(), actions),
            client: ClientModel::new("S", actions, EXTENSIONS),
            capabilities,
            view: View::default(),
            actions,
            names: HashMap::new(),
            now: AT,
        }
    }

    /// The session has started, with nothing in it.
    pub fn started(actions: bool) -> Self {
        let mut desk = Self::new(actions);
        desk.apply(&Report::snapshot());
        desk
    }

    /// Applies a report, and holds everything that must hold after any report against it.
    pub fn apply(&mut self, report: &Report) -> Told {
        self.try_apply(report).unwrap_or_else(|why| panic!("{why}\nreport: {report:#?}"))
    }

    pub fn try_apply(&mut self, report: &Report) -> Result<Told, String> {
        self.view.apply(report);
        let mut notes = Diagnostics::new();
        let events = kept(&self.tree.apply(report, self.now, &mut notes));
        let words = self.hear(&events)?;
        if !self.tree.is_started() {
            let silent = if events.is_empty() { Ok(()) } else { Err("says something before it begins") };
            return silent.map(|()| Told { events, words, notes }).map_err(str::to_owned);
        }
        self.compare().map_err(|why| format!("{why}\nafter {words:?}"))?;
        let mut repeated = report.clone();
        repeated.events.clear();
        let again = self.tree.apply(&repeated, self.now, &mut Diagnostics::new());
        if !again.is_empty() {
            return Err(format!("the same report again says {again:#?}\nafter {words:?}"));
        }
        self.compare_replay()?;
        Ok(Told { events, words, notes })
    }

    /// Tells the desktop.
    pub fn hear(&mut self, events: &[Said]) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        for event in events {
            let data = serde_json::from_str(&event.data).map_err(|why| format!("{why} in {event:?}"))?;
            words.push(self.word(event, &data));
            self.client.take(&event.target, &event.name, &data).map_err(|why| format!("{why}\nafter {words:?}"))?;
        }
        self.client.is_at_rest()?;
        Ok(words)
    }

    pub fn link(&mut self, link: &Link) -> Vec<String> {
        let events = kept(&self.tree.set_link(link));
        self.hear(&events).unwrap()
    }

    /// The desktop knows what the tree knows.
    fn compare(&self) -> Result<(), String> {
        compare(&self.client.view(), &self.view(), "the desktop", "the tree")
    }

    /// A newcomer who is sent the snapshot knows the same.
    fn compare_replay(&self) -> Result<(), String> {
        let mut newcomer = ClientModel::new("S", self.actions, EXTENSIONS);
        for event in kept(&self.tree.snapshot()) {
            let data = serde_json::from_str(&event.data).map_err(|why| why.to_string())?;
            newcomer.take(&event.target, &event.name, &data).map_err(|why| format!("in the snapshot: {why}"))?;
        }
        newcomer.is_at_rest()?;
        compare(&newcomer.view(), &self.view(), "the newcomer", "the tree")
    }

    fn word(&mut self, event: &Said, data: &Value) -> String {
        if let Some(kind) = event.name.strip_suffix(".created") {
            let called = data[kind]["role"].as_str().unwrap_or(kind);
            self.names.insert(format!("{}.{}", event.target, data[kind]["id"].as_str().unwrap()), called.into());
        }
        let object = self.names.get(&event.target).map_or("session", String::as_str);
        let told =
            event.name == "state.updated" || event.name == "conversation.disposed" || event.name.contains(".member.");
        if told { format!("{}({object})", event.name) } else { event.name.clone() }
    }

    /// What a desktop must know: path → what the object tells of itself, read off the tree itself.
    pub fn view(&self) -> BTreeMap<String, Value> {
        let objects = self.tree.objects().into_iter().filter(|(_, object)| !matches!(object, Object::Session));
        objects.map(|(path, object)| (path.below("S").to_string(), self.shown(object))).collect()
    }

    fn shown(&self, object: Object<'_>) -> Value {
        let mut view = match object {
            Object::Session => json!({}),
            Object::Group(group) => json!({
                "created": some(json!({"name": group.name})),
                "told": {"state": if group.populated { "POPULATED" } else { "EMPTY" }},
            }),
            Object::Channel(channel) => json!({
                "created": some(json!({"type": channel.kind.as_str(), "endpoint": channel.endpoint, "name": channel.name})),
                "told": some(json!({"state": state_of(channel), "availability": channel.availability(),
                    "since": channel.since})),
                "info": info_of(channel),
            }),
            Object::Interaction(channel, interaction) => {
                let data: Map<String, Value> =
                    interaction.data.iter().map(|(key, value)| (key.to_string(), value.parse().unwrap())).collect();
                let calls = match &interaction.conversations[..] {
                    [] => None,
                    [one] if one.members.len() > 1 => Some("CONFERENCE"),
                    [_] => Some("SINGLE"),
                    _ => Some("CONSULT"),
                };
                let recording = interaction.recording.filter(|_| channel.kind == ChannelType::Telephony);
                json!({
                    "created": {"type": channel.kind.as_str(), "direction": interaction.direction},
                    "told": some(json!({"state": interaction.state, "recording": recording, "calls": calls,
                        "disposition": interaction.disposition, "since": interaction.since})),
                    "data": data,
                    "focus": interaction.focus.map(|id| format!("v{id}")),
                })
            }
            Object::Conversation(_, _, conversation) => {
                let member = |id: &str, member: &jackfield_model::MemberNode| {
                    some(json!({
                        "id": id, "address": member.address, "name": member.name, "role": member.role,
                        "muted": member.muted.then_some(true), "held": member.held.then_some(true),
                    }))
                };
                let members: Map<String, Value> = conversation
                    .members
                    .iter()
                    .map(|one| (format!("m{}", one.id), member(&format!("m{}", one.id), one)))
                    .collect();
                json!({
                    "created": {"role": conversation.role},
                    "told": {"state": conversation.state, "muted": conversation.muted, "since": conversation.since},
                    "members": members,
                })
            }
        };
        if self.actions {
            let actions: Vec<&str> = rules::actions(object, &self.capabilities).names().collect();
            view["told"]["actions"] = json!(actions);
        }
        view
    }
}

fn state_of(channel: &ChannelNode) -> &'static str {
    match channel.status {
        ChannelStatus::Inactive => "INACTIVE",
        ChannelStatus::Active(_) => "ACTIVE",
        ChannelStatus::Unavailable => "UNAVAILABLE",
    }
}

fn info_of(channel: &ChannelNode) -> Value {
    let none = ChannelInfo::default();
    let info = if let ChannelStatus::Active(info) = &channel.status { info } else { &none };
    let pending = info.pending.as_ref().map(|pending| {
        some(json!({
            "availability": pending.availability,
            "reasoncode": pending.reason_code,
            "reasondesc": pending.reason_desc,
        }))
    });
    some(json!({
        "availability": info.availability,
        "reasoncode": info.reason_code,
        "reasondesc": info.reason_desc,
        "queue": info.queue,
        "pending": pending,
        "occupied": channel.occupied,
    }))
}

/// Without what has no value.
fn some(mut value: Value) -> Value {
    value.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    value
}

fn compare(
    one: &BTreeMap<String, Value>,
    other: &BTreeMap<String, Value>,
    one_is: &str,
    other_is: &str,
) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    let mut paths: Vec<&String> = one.keys().chain(other.keys()).collect();
    paths.dedup();
    let differ = paths.into_iter().find(|path| one.get(*path) != other.get(*path)).unwrap();
    Err(format!("{differ}: {one_is} has {:#?}\n{other_is} has {:#?}", one.get(differ), other.get(differ)))
}
