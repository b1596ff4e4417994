//! A tenant and its agents, through the plugin API's test kit.

use jackfield_asterisk::{Asterisk as Adapter, AsteriskAgent, AsteriskPlatform};
use jackfield_plugin_api::{
    Code, Command, Json, Outcome, StartOptions,
    report::{
        ConversationAt, ConversationState,
        ConversationState::{Alerting, Held, Talking},
        Interaction, InteractionAt, InteractionState, Member, Role,
    },
    testkit::{Session, Tenant},
};
use jackfield_tests::asterisk::{Asterisk, sipp::Sipp};
use serde_json::{Value, json};

pub const MANIFEST: &str = include_str!("../../../plugins/asterisk/manifest.json");

/// What the phones and parties sound like.
pub const AGENT: u32 = 440;
pub const COLLEAGUE: u32 = 620;
pub const CUSTOMER: u32 = 1000;
pub const OUTSIDE: u32 = 1500;

/// A tenant on an Asterisk.
pub struct Lab {
    pub asterisk: Asterisk,
    pub tenant: Tenant<AsteriskPlatform>,
}

impl Lab {
    /// With phones of these extensions, and settings over the usual ones.
    pub async fn open(extensions: &[&str], settings: Value) -> Option<Self> {
        let asterisk = Asterisk::start(extensions).await?;
        let tenant = connect(&asterisk, asterisk.http, settings).await;
        Some(Self { asterisk, tenant })
    }

    /// An agent at work on an extension, ready, with a phone.
    pub async fn agent(&self, name: &str, extension: &str, tone: u32) -> Desk {
        let phone = Sipp::phone(&self.asterisk, extension, tone).await;
        self.agent_at(name, extension, phone).await
    }

    pub async fn agent_at(&self, name: &str, extension: &str, phone: Sipp) -> Desk {
        let session = self.tenant.log_in(name, "secret").await.unwrap();
        session.start_with(StartOptions::new(Some(extension.into()))).await.unwrap();
        let desk = Desk { session, extension: extension.into(), phone };
        desk.does(Command::Activate { channel: extension.into(), queue: None, options: Json::empty_object() }).await;
        desk.ready().await;
        desk
    }

    /// A call between a customer (555) and an agent, both sounding.
    pub async fn call(&self, desk: &Desk) -> Sipp {
        let customer = Sipp::customer(&self.asterisk, "555", "700", CUSTOMER).await;
        desk.rings().await;
        desk.does(Command::Answer { conversation: desk.primary() }).await;
        desk.is(Role::Primary, Talking).await;
        customer.speak().await;
        desk.phone.speak().await;
        customer
    }

    /// The tenant goes: only who hears somebody is left. When they hang up, the next who comes finds nothing to keep.
    pub async fn close(self) {
        assert_eq!(self.tenant.complaints(), Vec::<String>::new());
        self.tenant.disconnect().await;
        self.asterisk.hangs_up_all().await;
        connect(&self.asterisk, self.asterisk.http, json!({})).await.disconnect().await;
        self.asterisk.is_empty().await;
    }
}

pub async fn connect(asterisk: &Asterisk, port: u16, more: Value) -> Tenant<AsteriskPlatform> {
    let mut settings = asterisk.settings(port);
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let tenant = Tenant::connect::<Adapter>(MANIFEST, settings).await.unwrap();
    jackfield_tests::until("the link is up", || async {
        (tenant.link() == Some(jackfield_plugin_api::Link::Up)).then_some(())
    })
    .await;
    tenant
}

/// Each of two parties hears the other's tone.
pub async fn hear_each_other(one: &Sipp, tone: u32, other: &Sipp, other_tone: u32) {
    one.media.hears(other_tone).await;
    other.media.hears(tone).await;
}

/// An agent with a phone.
pub struct Desk {
    pub session: Session<AsteriskAgent>,
    pub extension: String,
    pub phone: Sipp,
}

impl Desk {
    pub async fn does(&self, command: Command) {
        let outcome = self.session.command(command.clone()).await;
        assert_eq!(outcome, Outcome::success(), "{command:?}");
    }

    pub async fn fails(&self, command: Command, code: Code) {
        match self.session.command(command.clone()).await {
            Outcome::Failure(failure) => assert_eq!(failure.code, code, "{command:?}: {failure}"),
            other => panic!("{command:?}: {other:?}"),
        }
    }

    pub async fn ready(&self) {
        self.does(Command::Ready { channel: self.extension.clone() }).await;
    }

    /// Completes what is over.
    pub async fn completes(&self) {
        let interaction = self.newest().key;
        let interaction = InteractionAt { channel: self.extension.clone(), interaction };
        self.does(Command::Complete { interaction }).await;
        assert!(self.session.view().interactions().next().is_none());
    }

    pub fn dial(&self, destination: &str) -> Command {
        let extensions = json!({}).into();
        Command::Dial { channel: self.extension.clone(), destination: destination.into(), extensions }
    }

    pub fn newest(&self) -> Interaction {
        self.session.view().interactions().last().expect("an interaction").clone()
    }

    pub fn interaction(&self) -> InteractionAt {
        InteractionAt { channel: self.extension.clone(), interaction: self.newest().key }
    }

    pub fn conversation(&self, role: Role) -> ConversationAt {
        let interaction = self.newest();
        let conversation =
            interaction.conversations.iter().flatten().find(|it| it.role == Some(role)).expect("a conversation");
        ConversationAt {
            channel: self.extension.clone(),
            interaction: interaction.key.clone(),
            conversation: conversation.key.clone(),
        }
    }

    pub fn primary(&self) -> ConversationAt {
        self.conversation(Role::Primary)
    }

    pub fn consult(&self) -> ConversationAt {
        self.conversation(Role::Consult)
    }

    /// Waits until a conversation is in a state.
    pub async fn is(&self, role: Role, state: ConversationState) {
        self.session
            .wait_until(&format!("{}: {role:?} is {state:?}", self.extension), |view| {
                view.interactions().last().is_some_and(|it| {
                    it.conversations.iter().flatten().any(|it| it.role == Some(role) && it.state == Some(state))
                })
            })
            .await;
    }

    pub async fn rings(&self) {
        self.is(Role::Primary, Alerting).await;
    }

    pub async fn talks(&self) {
        self.is(Role::Primary, Talking).await;
    }

    pub async fn is_on_hold(&self) {
        self.is(Role::Primary, Held).await;
    }

    /// Waits until the newest interaction is over, with work left.
    pub async fn ends(&self) -> Interaction {
        self.session
            .wait_until("the interaction is over", |view| {
                view.interactions().last().is_some_and(|it| it.state == Some(InteractionState::Ended))
            })
            .await;
        self.newest()
    }

    /// Waits until there is none.
    pub async fn has_nothing(&self) {
        self.session.wait_until("there is no interaction", |view| view.interactions().next().is_none()).await;
    }

    /// The member of the agent's call with an address.
    pub fn member(&self, address: &str) -> Member {
        let interaction = self.newest();
        let members = interaction.conversations.into_iter().flatten().filter_map(|it| it.members).flatten();
        members.into_iter().find(|it| it.address.as_deref() == Some(address)).expect("there is such a member")
    }

    /// Who is in a conversation, by address.
    pub fn members(&self, role: Role) -> Vec<String> {
        let interaction = self.newest();
        let conversation = interaction.conversations.iter().flatten().find(|it| it.role == Some(role));
        let members = conversation.and_then(|it| it.members.clone()).unwrap_or_default();
        members.into_iter().filter_map(|it| it.address).collect()
    }
}
