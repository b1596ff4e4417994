// A complete adapter: one phone for each agent. Whoever it calls answers at once, and calls back when the agent has hung
// up and is ready: an inbound call, which the agent can answer or reject.
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_plugin_api::{
    Adapter, Agent, AgentHost, Code, Command, Ending, Failure, Link, Login, Outcome, Platform, PlatformHost, Report,
    StartOptions, Tenant, export_adapter,
    report::{
        Availability, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction,
        Interaction, Member, MemberRole, Reason, Role,
    },
    tracing::info,
};

export_adapter!(Echo, manifest_text = MANIFEST);

/// What the adapter says of itself.
pub const MANIFEST: &str = r#"{
  "id": "echo",
  "vendor": "Example",
  "platform": "echo",
  "channelTypes": ["Telephony"],
  "commands": [
    "channel.request.activate", "channel.request.deactivate", "channel.request.ready", "channel.request.notready",
    "channel.request.dial", "conversation.request.answer", "conversation.request.release",
    "interaction.request.reject", "interaction.request.complete"
  ],
  "settings": {"type": "object", "properties": {"extension": {"type": "string"}}, "required": ["extension"]},
  "metrics": [{"name": "calls_total", "type": "counter", "help": "Calls placed or offered."}]
}"#;

#[derive(serde::Deserialize)]
struct Settings {
    extension: String,
}

/// The library.
pub struct Echo;

impl Adapter for Echo {
    type Platform = EchoPlatform;

    fn load() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn connect(&self, tenant: Tenant, host: PlatformHost) -> Result<EchoPlatform, Failure> {
        let settings: Settings = tenant.settings.parse()?;
        info!(tenant = tenant.id, "connected");
        host.link(Link::Up);
        Ok(EchoPlatform { extension: settings.extension, host })
    }
}

/// A tenant.
pub struct EchoPlatform {
    extension: String,
    host: PlatformHost,
}

impl Platform for EchoPlatform {
    type Agent = EchoAgent;

    async fn log_in(&self, login: Login, host: AgentHost) -> Result<EchoAgent, Failure> {
        // `None`: the host logs the agent in again after a crash, and has checked the password before.
        if login.password.is_some_and(|password| password.reveal() != "secret") {
            return Err(Failure::new(Code::Unauthorized, "the password is wrong"));
        }
        let phone = Phone { extension: self.extension.clone(), availability: None, call: None, calls: 0 };
        Ok(EchoAgent { phone: Mutex::new(phone), host, tenant: self.host.clone() })
    }
}

// The adapter's own model of one agent's phone. It changes the model and reports the whole of it.
struct Phone {
    extension: String,
    availability: Option<Availability>,
    call: Option<Call>,
    // Names calls: no two have one key.
    calls: u32,
}

struct Call {
    key: String,
    number: String,
    direction: Direction,
    state: ConversationState,
}

impl Call {
    fn interaction(&self) -> Interaction {
        let party = Member::new("party", &self.number, MemberRole::Customer);
        let leg = Conversation::new("leg", Role::Primary, self.state).member(party);
        Interaction::create(&self.key, self.direction).conversation(leg)
    }

    // Over, after the parties have talked: the agent completes it.
    fn released(&self) -> Interaction {
        Interaction::new(&self.key).conversation(Conversation::ended("leg", Reason::Released))
    }

    // Over, and not taken: nothing is left to be done. The reason tells the host that the agent never had it.
    fn not_taken(&self, reason: Reason) -> Interaction {
        Interaction::gone(&self.key).reason(reason)
    }
}

impl Phone {
    fn channel(&self) -> Channel {
        let status = match self.availability {
            None => ChannelStatus::Inactive,
            Some(Availability::Ready) => ChannelStatus::Active(ChannelInfo::ready()),
            Some(_) => ChannelStatus::Active(ChannelInfo::not_ready(None, None)),
        };
        let channel = Channel::create(&self.extension, ChannelType::Telephony, &self.extension, "Phone").status(status);
        match &self.call {
            None => channel,
            Some(call) => channel.interaction(call.interaction()),
        }
    }

    fn new_call(&mut self, number: String, direction: Direction, state: ConversationState) {
        self.calls += 1;
        self.call = Some(Call { key: format!("call {}", self.calls), number, direction, state });
    }
}

/// An agent.
pub struct EchoAgent {
    phone: Mutex<Phone>,
    host: AgentHost,
    tenant: PlatformHost,
}

impl EchoAgent {
    fn phone(&self) -> MutexGuard<'_, Phone> {
        self.phone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_availability(&self, availability: Option<Availability>) -> Outcome {
        let mut phone = self.phone();
        phone.availability = availability;
        self.host.report(Report::new().channel(phone.channel()));
        Outcome::success()
    }

    fn begin(&self, phone: &mut Phone, number: String, direction: Direction, state: ConversationState) {
        phone.new_call(number, direction, state);
        self.tenant.metric("calls_total", &[], 1.0);
        self.host.report(Report::new().channel(phone.channel()));
    }

    fn release(&self) -> Outcome {
        let mut phone = self.phone();
        let Some(call) = phone.call.take() else { return Outcome::failure(Code::Rejected, "there is no call") };
        self.host.report(Report::new().channel(phone.channel().interaction(call.released())));
        // The echo. Not with the report above: it is another transition.
        if call.direction == Direction::Outbound && phone.availability == Some(Availability::Ready) {
            self.begin(&mut phone, call.number, Direction::Inbound, ConversationState::Alerting);
        }
        Outcome::success()
    }

    fn answer(&self) -> Outcome {
        let mut phone = self.phone();
        match &mut phone.call {
            Some(call) => call.state = ConversationState::Talking,
            None => return Outcome::failure(Code::Rejected, "there is no call"),
        }
        self.host.report(Report::new().channel(phone.channel()));
        Outcome::success()
    }

    fn reject(&self) -> Outcome {
        let mut phone = self.phone();
        let Some(call) = phone.call.take() else { return Outcome::failure(Code::Rejected, "there is no call") };
        self.host.report(Report::new().channel(phone.channel().interaction(call.not_taken(Reason::Rejected))));
        Outcome::success()
    }
}

impl Agent for EchoAgent {
    async fn start(&self, _options: StartOptions) -> Result<(), Failure> {
        self.snapshot().await
    }

    async fn command(&self, command: Command) -> Outcome {
        match command {
            Command::Activate { .. } => self.set_availability(Some(Availability::NotReady)),
            Command::Deactivate { .. } => self.set_availability(None),
            Command::Ready { .. } => self.set_availability(Some(Availability::Ready)),
            Command::NotReady { .. } => self.set_availability(Some(Availability::NotReady)),
            Command::Dial { destination, .. } => {
                let mut phone = self.phone();
                if phone.call.is_some() {
                    return Outcome::failure(Code::Rejected, "the phone has one line only");
                }
                self.begin(&mut phone, destination, Direction::Outbound, ConversationState::Talking);
                Outcome::success()
            }
            Command::Answer { .. } => self.answer(),
            Command::Reject { .. } => self.reject(),
            Command::Release { .. } => self.release(),
            Command::Complete { interaction } => {
                let gone = Interaction::gone(&interaction.interaction);
                self.host.report(Report::new().channel(Channel::new(&interaction.channel).interaction(gone)));
                Outcome::success()
            }
            _ => Outcome::unsupported(),
        }
    }

    async fn snapshot(&self) -> Result<(), Failure> {
        self.host.report(Report::snapshot().channel(self.phone().channel()));
        Ok(())
    }

    async fn log_out(&self, _ending: Ending) -> Result<(), Failure> {
        self.phone().call = None;
        Ok(())
    }
}
