//! The adapter: the contract's three traits, on top of a switch.
//!
//! Owns: nothing but the connection between a session and its switch. Must never: know what a command means. Calls come
//! from the host; they go to the [`exchange`](crate::exchange) as messages.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jackfield_plugin_api::{
    Adapter, Agent, AgentHost, Command, Ending, Failure, Login, Outcome, Platform, PlatformHost, Secret, StartOptions,
    Tenant,
};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    exchange::Exchange,
    settings::Settings,
    switch::message::{Request, SessionNo},
};

/// The simulator.
#[derive(Debug)]
pub struct Simulator;

impl Adapter for Simulator {
    type Platform = Tenancy;

    fn load() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn connect(&self, tenant: Tenant, host: PlatformHost) -> Result<Tenancy, Failure> {
        let settings: Settings = tenant.settings.parse()?;
        settings.check()?;
        let latency = Duration::from_millis(settings.latency_ms);
        let (exchange, line) = Exchange::open(tenant.id, settings, host);
        Ok(Tenancy { exchange, line, latency })
    }
}

/// A tenant with its switch.
#[derive(Debug)]
pub struct Tenancy {
    exchange: Exchange,
    /// What keeps the switch going, or the way to it open.
    line: JoinHandle<()>,
    latency: Duration,
}

impl Platform for Tenancy {
    type Agent = Seat;

    async fn log_in(&self, login: Login, host: AgentHost) -> Result<Seat, Failure> {
        let again = login.resume.is_some();
        // Nothing was kept of a session that had not started.
        let started: Option<Resume> = login.resume.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let session = self.exchange.new_session(host);
        let seat = Seat {
            exchange: self.exchange.clone(),
            session,
            latency: self.latency,
            resume: OnceLock::new(),
            left: AtomicBool::new(false),
        };
        let request = Request::LogIn {
            agent: login.agent,
            password: if again { None } else { Some(login.password.unwrap_or_else(|| Secret::new(""))) },
            goes_on: started.is_some(),
            extension: started.as_ref().and_then(|it| it.extension.clone()),
        };
        done(self.exchange.ask(session, request).await)?;
        if let Some(started) = started {
            seat.keep_for_resume(started.extension);
        }
        Ok(seat)
    }

    async fn disconnect(&self) {
        self.line.abort();
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.line.abort();
    }
}

/// One session of an agent.
#[derive(Debug)]
pub struct Seat {
    exchange: Exchange,
    session: SessionNo,
    latency: Duration,
    /// What is handed back when the session goes on in another process.
    resume: OnceLock<Vec<u8>>,
    left: AtomicBool,
}

/// What a session needs to go on in another process.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Resume {
    extension: Option<String>,
}

impl Seat {
    fn keep_for_resume(&self, extension: Option<String>) {
        let bytes = serde_json::to_vec(&Resume { extension }).unwrap_or_default();
        // A session starts once.
        let _ = self.resume.set(bytes);
    }
}

impl Agent for Seat {
    async fn start(&self, options: StartOptions) -> Result<(), Failure> {
        let extension = options.extension;
        done(self.exchange.ask(self.session, Request::Start { extension: extension.clone() }).await)?;
        self.keep_for_resume(extension);
        Ok(())
    }

    async fn command(&self, command: Command) -> Outcome {
        if !self.latency.is_zero() {
            sleep(self.latency).await;
        }
        self.exchange.ask(self.session, Request::Command(command)).await
    }

    async fn snapshot(&self) -> Result<(), Failure> {
        done(self.exchange.ask(self.session, Request::Snapshot).await)
    }

    async fn log_out(&self, ending: Ending) -> Result<(), Failure> {
        done(self.exchange.ask(self.session, Request::LogOut(ending)).await)?;
        self.left.store(true, Ordering::Release);
        self.exchange.forget(self.session);
        Ok(())
    }

    fn resume_state(&self) -> Vec<u8> {
        self.resume.get().cloned().unwrap_or_default()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Acquire) {
            self.exchange.leave(self.session);
        }
    }
}

fn done(outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Failure(failure) => Err(failure),
        _ => Ok(()),
    }
}
