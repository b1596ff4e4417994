//! One session: hands what the host asks to the tenant's task and waits for the answer.
//!
//! Owns: nothing but names. Must never: keep state of its own; the switch has it all.

use std::time::Duration;

use jackfield_plugin_api::{Agent, AgentHost, Code, Command, Ending, Failure, Outcome, StartOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::platform::Ask;

/// How long the switch may take for what is its own work alone.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent at work.
pub struct AsteriskAgent {
    agent: String,
    session: String,
    host: AgentHost,
    tenant: mpsc::Sender<Ask>,
}

impl AsteriskAgent {
    pub(crate) fn new(agent: String, session: String, host: AgentHost, tenant: mpsc::Sender<Ask>) -> Self {
        Self { agent, session, host, tenant }
    }

    async fn ask(&self, ask: impl FnOnce(oneshot::Sender<Outcome>) -> Ask) -> Outcome {
        let (done, answer) = oneshot::channel();
        if self.tenant.send(ask(done)).await.is_err() {
            return gone().into();
        }
        answer.await.unwrap_or_else(|_| gone().into())
    }

    async fn ask_briefly(&self, ask: impl FnOnce(oneshot::Sender<Outcome>) -> Ask) -> Result<(), Failure> {
        match timeout(PATIENCE, self.ask(ask)).await {
            Ok(Outcome::Failure(failure)) => Err(failure),
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::new(Code::Timeout, "Asterisk does not answer")),
        }
    }
}

fn gone() -> Failure {
    Failure::new(Code::ShuttingDown, "the tenant is being removed")
}

impl Agent for AsteriskAgent {
    async fn start(&self, options: StartOptions) -> Result<(), Failure> {
        let (agent, session, host) = (self.agent.clone(), self.session.clone(), self.host.clone());
        self.ask_briefly(|done| Ask::Start { agent, session, options, host, done }).await
    }

    async fn command(&self, command: Command) -> Outcome {
        let agent = self.agent.clone();
        self.ask(|done| Ask::Command { agent, command, done }).await
    }

    async fn snapshot(&self) -> Result<(), Failure> {
        let agent = self.agent.clone();
        self.ask_briefly(|done| Ask::Snapshot { agent, done }).await
    }

    async fn log_out(&self, ending: Ending) -> Result<(), Failure> {
        let (agent, session) = (self.agent.clone(), self.session.clone());
        match ending {
            Ending::LogOut => self.ask_briefly(|done| Ask::LogOut { agent, session, done }).await,
            // `Leave`, and whatever a later host may invent: the calls stay.
            _ => self.ask_briefly(|done| Ask::Leave { agent, session, done }).await,
        }
    }
}
