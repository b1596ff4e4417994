//! The driver with a host's tree for each session: what the agents' screens are told.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{collections::HashMap, sync::Arc};

use jackfield_model::{Capabilities, Diagnostics, Tree};
use jackfield_plugin_api::{
    Code, Command, Ending, Outcome, Timestamp,
    command::RecordAction,
    report::{ChannelType, ConversationAt, InteractionAt, Role, Target},
};
use jackfield_simulator::switch::message::{Request, SessionNo};
use serde_json::{Value, json};

use super::{Driver, activate, extension};

/// When everything on the stage happens.
const AT: Timestamp = Timestamp(1_767_225_600_000);

/// A switch and the screens of its agents.
pub struct Stage {
    pub driver: Driver,
    capabilities: Arc<Capabilities>,
    screens: HashMap<SessionNo, Screen>,
    newest: Option<SessionNo>,
}

struct Screen {
    tree: Tree,
    /// What to call the objects, by path.
    labels: HashMap<String, String>,
    /// What each was called, and its data.
    events: Vec<(String, Value)>,
}

impl Stage {
    pub fn new(settings: Value) -> Self {
        let manifest = serde_json::from_str(include_str!("../../manifest.json")).unwrap();
        let capabilities = Arc::new(Capabilities::of(&manifest));
        Self { driver: Driver::new(&settings.to_string()), capabilities, screens: HashMap::new(), newest: None }
    }

    /// A session that has started, with nothing told yet.
    pub fn session(&mut self, agent: &str) -> SessionNo {
        let session = self.driver.agent(agent);
        let tree = Tree::new("S", Arc::clone(&self.capabilities), false);
        let labels = HashMap::from([("S".to_owned(), "session".to_owned())]);
        self.screens.insert(session, Screen { tree, labels, events: Vec::new() });
        self.newest = Some(session);
        session
    }

    /// The session that was made last.
    pub fn newest_session(&self) -> SessionNo {
        self.newest.unwrap()
    }

    /// The session has ended: what is said in it is heard by nobody.
    pub fn forget(&mut self, session: SessionNo) {
        self.screens.remove(&session);
        assert!(self.driver.take_reports(session).len() < 1000);
    }

    /// The link is back: the host asks for a snapshot.
    #[track_caller]
    pub fn resynchronise(&mut self, session: SessionNo) {
        let ticket = self.driver.ask(session, Request::Snapshot);
        assert_eq!(self.driver.answers.remove(&ticket), Some(Outcome::success()));
        self.feed(session);
    }

    /// A session with a telephone that is ready; what led there is forgotten.
    pub fn agent(&mut self, agent: &str, endpoint: &str) -> SessionNo {
        let session = self.session(agent);
        self.driver.phone(session, endpoint);
        self.events(session);
        session
    }

    pub fn channel(&mut self, session: SessionNo, endpoint: &str, kind: ChannelType) {
        self.driver.channel(session, endpoint, kind);
        self.events(session);
    }

    /// All that was told since the last call. Each report leaves nothing out, and says nothing that cannot be; and a
    /// snapshot now says nothing, because all has been said.
    #[track_caller]
    pub fn events(&mut self, session: SessionNo) -> String {
        self.feed(session);
        let told = std::mem::take(&mut self.screens.get_mut(&session).unwrap().events);
        let ticket = self.driver.ask(session, Request::Snapshot);
        assert_eq!(self.driver.answers.remove(&ticket), Some(Outcome::success()));
        self.feed(session);
        let more = std::mem::take(&mut self.screens.get_mut(&session).unwrap().events);
        let more: Vec<&String> = more.iter().map(|(label, _)| label).collect();
        assert!(more.is_empty(), "a snapshot says more: {more:?}");
        told.into_iter().map(|(label, _)| label).collect::<Vec<_>>().join(" ")
    }

    /// The same, with the data.
    #[track_caller]
    pub fn told(&mut self, session: SessionNo) -> Vec<(String, Value)> {
        self.feed(session);
        std::mem::take(&mut self.screens.get_mut(&session).unwrap().events)
    }

    /// Takes what was reported, and keeps it for later.
    #[track_caller]
    pub fn feed(&mut self, session: SessionNo) {
        let screen = self.screens.get_mut(&session).unwrap();
        for report in self.driver.take_reports(session) {
            let mut diagnostics = Diagnostics::new();
            let events = screen.tree.apply(&report, AT, &mut diagnostics);
            assert!(diagnostics.is_empty(), "{:?} in {report:?}", diagnostics.first());
            let mut again = Diagnostics::new();
            let repeated = screen.tree.apply(&report, AT, &mut again);
            assert!(repeated.is_empty(), "the same again says {repeated:?}");
            for event in &events {
                // As a desktop is told it.
                let target = event.on.below("S").to_string();
                let mut message = serde_json::to_value(event.message(&target, 1, AT)).unwrap();
                let label = screen.label(&message);
                screen.events.push((label, message["data"].take()));
            }
        }
    }

    #[track_caller]
    pub fn does(&mut self, session: SessionNo, command: Command) {
        self.driver.succeeds(session, command);
    }

    #[track_caller]
    pub fn fails(&mut self, session: SessionNo, command: Command) -> Code {
        self.driver.fails(session, command)
    }

    /// A contact for this agent.
    #[track_caller]
    pub fn inbound(&mut self, session: SessionNo, kind: &str, from: &str) {
        let data = json!({ "type": kind, "from": from, "data": { "account": "4711" } });
        self.does(session, extension("session.request.simulator.inbound", Target::Session, data));
    }

    /// A call that goes on; what led there is forgotten.
    #[track_caller]
    pub fn talking(&mut self, session: SessionNo, from: &str) {
        self.inbound(session, "Telephony", from);
        self.answer(session);
        self.events(session);
    }

    #[track_caller]
    pub fn answer(&mut self, session: SessionNo) {
        let conversation = self.call(session, Role::Primary);
        self.does(session, Command::Answer { conversation });
    }

    #[track_caller]
    pub fn cause(&mut self, session: SessionNo, data: Value) {
        self.does(session, extension("session.request.simulator.cause", Target::Session, data));
    }

    #[track_caller]
    pub fn consult(&mut self, session: SessionNo, destination: &str) {
        let interaction = self.interaction(session);
        self.does(session, Command::Consult { interaction, destination: destination.to_owned() });
    }

    #[track_caller]
    pub fn alternate(&mut self, session: SessionNo) {
        let (primary, consult) = (self.call(session, Role::Primary), self.call(session, Role::Consult));
        let state = self.state(session, Role::Consult);
        let talks = state == "Talking";
        let (hold, retrieve) = if talks { (consult, primary) } else { (primary, consult) };
        let command = Command::Alternate {
            interaction: self.interaction(session),
            hold: Some(hold.conversation),
            retrieve: retrieve.conversation,
        };
        self.does(session, command);
    }

    /// The newest interaction on the session's screen.
    #[track_caller]
    pub fn interaction(&mut self, session: SessionNo) -> InteractionAt {
        self.feed(session);
        let tree = &self.screens[&session].tree;
        let newest =
            tree.channels().iter().flat_map(|channel| channel.interactions.iter().map(move |it| (it.id, channel, it)));
        let (_, channel, interaction) = newest.max_by_key(|(id, ..)| *id).expect("there is an interaction");
        InteractionAt { channel: channel.key.to_string(), interaction: interaction.key.to_string() }
    }

    /// Its conversation of that role.
    #[track_caller]
    pub fn call(&mut self, session: SessionNo, role: Role) -> ConversationAt {
        let at = self.interaction(session);
        let tree = &self.screens[&session].tree;
        let channel = tree.channels().iter().find(|channel| *channel.key == *at.channel).unwrap();
        let interaction = channel.interactions.iter().find(|it| *it.key == *at.interaction).unwrap();
        let conversation =
            interaction.conversations.iter().find(|it| it.role == role).expect("there is such a conversation");
        ConversationAt { channel: at.channel, interaction: at.interaction, conversation: conversation.key.to_string() }
    }

    #[track_caller]
    pub fn state(&mut self, session: SessionNo, role: Role) -> String {
        let at = self.call(session, role);
        let tree = &self.screens[&session].tree;
        let mut conversations =
            tree.channels().iter().flat_map(|channel| &channel.interactions).flat_map(|it| &it.conversations);
        format!("{:?}", conversations.rfind(|it| *it.key == *at.conversation).unwrap().state)
    }

    /// The addresses of a conversation's members.
    #[track_caller]
    pub fn members(&mut self, session: SessionNo, role: Role) -> Vec<String> {
        let at = self.call(session, role);
        let tree = &self.screens[&session].tree;
        let mut interactions = tree.channels().iter().flat_map(|channel| &channel.interactions);
        let interaction = interactions.rfind(|it| *it.key == *at.interaction).unwrap();
        let conversation = interaction.conversations.iter().find(|it| it.role == role).unwrap();
        conversation.members.iter().map(|member| member.address.as_deref().unwrap().to_owned()).collect()
    }

    /// The key of the member with an address.
    #[track_caller]
    pub fn member(&mut self, session: SessionNo, role: Role, address: &str) -> String {
        let at = self.call(session, role);
        let mut interactions = self.screens[&session].tree.channels().iter().flat_map(|channel| &channel.interactions);
        let interaction = interactions.find(|it| *it.key == *at.interaction).unwrap();
        let mut members = interaction.conversations.iter().filter(|it| it.role == role).flat_map(|it| &it.members);
        members.find(|member| member.address.as_deref() == Some(address)).expect("such a member").key.to_string()
    }

    /// One entry of the newest interaction's data, as JSON text.
    #[track_caller]
    pub fn data(&mut self, session: SessionNo, key: &str) -> Option<String> {
        let at = self.interaction(session);
        let tree = &self.screens[&session].tree;
        let mut interactions = tree.channels().iter().flat_map(|channel| &channel.interactions);
        let interaction = interactions.find(|it| *it.key == *at.interaction).unwrap();
        interaction.data.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.get().to_owned())
    }

    /// How many interactions are on the session's screen.
    pub fn count(&mut self, session: SessionNo) -> usize {
        self.feed(session);
        self.screens[&session].tree.channels().iter().map(|channel| channel.interactions.len()).sum()
    }

    pub fn tree(&mut self, session: SessionNo) -> &Tree {
        self.feed(session);
        &self.screens[&session].tree
    }

    /// All go home, and nothing is left in the switch.
    #[track_caller]
    pub fn everybody_goes_home(&mut self) {
        for session in self.screens.keys().copied().collect::<Vec<_>>() {
            let ticket = self.driver.ask(session, Request::LogOut(Ending::LogOut));
            self.driver.answers.remove(&ticket);
        }
        self.driver.nothing_is_left();
    }
}

impl Screen {
    /// `state.updated(interaction)`, `conversation.disposed(consult)`: the name, and of what where the name is not enough.
    fn label(&mut self, event: &Value) -> String {
        let (name, target, data) = (event["name"].as_str().unwrap(), event["target"].as_str().unwrap(), &event["data"]);
        for kind in ["channelgroup", "channel", "interaction", "conversation"] {
            if name == format!("{kind}.created") {
                let object = &data[kind];
                let path = format!("{target}.{}", object["id"].as_str().unwrap());
                self.labels.insert(path, object["role"].as_str().unwrap_or(kind).to_owned());
            }
        }
        if name == "state.updated" || name == "conversation.disposed" || name.contains(".member.") {
            format!("{name}({})", self.labels[target])
        } else {
            name.to_owned()
        }
    }
}

pub fn record(stage: &mut Stage, session: SessionNo, action: RecordAction) {
    let interaction = stage.interaction(session);
    stage.does(session, Command::Record { interaction, action });
}

pub fn add_channel(endpoint: &str, kind: ChannelType) -> Command {
    Command::AddChannel { endpoint: endpoint.to_owned(), kind }
}

pub fn activate_channel(endpoint: &str) -> Command {
    activate(endpoint)
}
