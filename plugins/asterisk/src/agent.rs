//! One session: hands what the host asks to the tenant's task and waits for the answer.
//!
//! Owns: nothing but names. Must never: keep state of its own; the switch has it all.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jackfield_plugin_api::{Agent, AgentHost, Code, Command, Ending, Failure, Outcome, StartOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::platform::Ask;

/// How long the switch may take for what is its own work alone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the switch wants another life of itself to know of an agent; written by the tenant's task.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<RwLock<Vec<u8>>>);

impl Memory {
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    fn get(&self) -> Vec<u8> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An agent at work.
pub struct AsteriskAgent {
    agent: String,
    session: String,
    host: AgentHost,
    memory: Memory,
    tenant: mpsc::Sender<Ask>,
}

impl AsteriskAgent {
    pub(crate) fn new(agent: String, session: String, host: AgentHost, tenant: mpsc::Sender<Ask>) -> Self {
        Self { agent, session, host, memory: Memory::default(), tenant }
    }

    /// Lets the switch go on with an agent of an earlier life.
    pub(crate) async fn resume(&self, state: Vec<u8>) -> Result<(), Failure> {
        self.memory.put(state.clone());
        let (agent, session, host) = (self.agent.clone(), self.session.clone(), self.host.clone());
        let memory = self.memory.clone();
        self.ask_briefly(|done| Ask::Resume { agent, session, state, host, memory, done }).await
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
        let memory = self.memory.clone();
        self.ask_briefly(|done| Ask::Start { agent, session, options, host, memory, done }).await
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

    fn resume_state(&self) -> Vec<u8> {
        self.memory.get()
    }
}
