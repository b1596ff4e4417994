//! What is said to the switch, and what it says.
//!
//! Owns: the messages between an adapter and a switch. They can be written as JSON, so that a switch need not live in
//! the adapter's process. Must never: carry anything that only makes sense inside one process. Requests come from
//! [`exchange`](crate::exchange); effects go back there.

use jackfield_plugin_api::{Command, Ending, Link, Outcome, Report, Secret};
use serde::{Deserialize, Serialize};

/// Names a session; whoever talks to the switch chooses it, and never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionNo(pub u64);

/// Names a request; its answer carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

/// What a session asks of the switch. Each request gets exactly one [`Effect::Answer`], at once or later.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Makes the session. Nothing happens to the agent yet.
    LogIn {
        /// The agent.
        agent: String,
        /// As the desktop sent it; `None`: the agent was authenticated before.
        password: Option<Secret>,
        /// The session had started before and goes on at once.
        goes_on: bool,
        /// Of a session that goes on: the extension at which the agent sat.
        extension: Option<String>,
    },
    /// The agent is at work in this session from now on, and in no other. A snapshot is reported first.
    Start {
        /// The extension at which the agent sits.
        extension: Option<String>,
    },
    /// Carry out a command.
    Command(Command),
    /// Report a snapshot.
    Snapshot,
    /// The session ends.
    LogOut(Ending),
}

/// What comes from the switch, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// What became of a request.
    Answer {
        /// Which.
        ticket: Ticket,
        /// What became of it; of others than commands: success without data.
        outcome: Outcome,
    },
    /// How things are for a session.
    Report {
        /// Which.
        session: SessionNo,
        /// How things are.
        report: Report,
    },
    /// The link between adapter and switch is lost or back.
    Link(Link),
    /// A metric that the manifest declares.
    Metric {
        /// Its name.
        name: String,
        /// Its labels.
        labels: Vec<String>,
        /// What to add, set or observe.
        value: f64,
    },
}
