//! One adapter, as the rest of the host sees it: the same whether the plugin runs inside the host or in a worker.
//!
//! Owns: loading, negotiation of the contract's version, the life of platforms and agents on the other side, and the
//! translation of calls into what crosses the boundary. Must never: block its caller, or let what the plugin does reach
//! anything but the sinks that were given for it. Requests go out through [`PlatformPort`] and [`AgentPort`]; what the
//! plugin sends comes back through [`PlatformSink`] and [`AgentSink`], in the order in which it was sent.
//!
//! ```text
//! manifest.rs   a plugin file's link section, read without loading the file
//! store.rs      the directory that plugin files are copied to before they are loaded
//! trust.rs      whose plugins may run: signatures
//! elf.rs        what can be told of a library without loading it
//! load.rs       opening a copy and agreeing on the version of the contract
//! file.rs       one plugin file, verified and ready to run
//! installed.rs  which files were installed, and which of them a tenant asks for
//! library.rs    the plugins that run: Libraries, Library
//! platform.rs   one tenant's platform
//! agent.rs      one session's agent: what it is asked for, and what comes from it
//! running.rs    one running plugin, wherever it runs: what is sent to it, and whom what comes from it is for
//! contract.rs   what a plugin is held to, and what it is caught at
//! worker/       a plugin in a process of its own
//! ```

mod agent;
mod contract;
mod elf;
mod file;
mod installed;
mod library;
mod load;
mod manifest;
mod platform;
mod running;
mod store;
mod trust;
pub mod worker;

use jackfield_plugin_api::{Link, Outcome, Report};

pub use self::{
    agent::{AdapterMessage, AgentHandle, AgentPort},
    file::{Description, LoadError, PluginFile, describe},
    installed::{Installed, InstalledReference},
    library::{Libraries, Library, WeakLibrary},
    platform::{LogInFuture, PlatformHandle, PlatformPort},
    trust::Trust,
};

pub(crate) use self::store::noexec;

/// Names one request to an agent; the caller chooses it, the answer carries it.
pub type RequestId = u64;

/// What comes from the adapter for one session, in order.
#[derive(Debug)]
pub enum FromAgent {
    /// How things are.
    Report(Report),
    /// What became of a request: of a command, or of start, snapshot and log_out (success without data).
    Answer {
        /// The request.
        request: RequestId,
        /// What was reported before it, as if it had come alone.
        report: Option<Report>,
        /// What became of it.
        outcome: Outcome,
    },
    /// This agent's own link.
    Link(Link),
    /// The newest resume state.
    Resume(Vec<u8>),
    /// The other side is gone (a crashed worker): no answer will come any more to what was asked before.
    Lost {
        /// One sentence for clients.
        reason: String,
    },
}

/// What comes from the adapter for a tenant, in order.
#[derive(Debug)]
pub enum FromPlatform {
    /// The tenant's link.
    Link(Link),
    /// One of the adapter's own metrics; the manifest declares it, and the labels are as many as there.
    Metric {
        /// Its name.
        name: String,
        /// Values of its labels, in the declared order.
        labels: Vec<String>,
        /// What is added, set or observed.
        value: f64,
    },
    /// The worker is gone, and all agents with it.
    Lost(worker::Death),
}

/// Whether something from the adapter was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Taken.
    Accepted,
    /// Not now: the same again later, nothing else in between.
    Full,
    /// Never more.
    Closed,
}

/// Takes what comes for one session. Called on any thread; returns at once.
pub trait AgentSink: Send + Sync + 'static {
    /// Takes one message, or refuses it.
    fn deliver(&self, message: AdapterMessage) -> Delivery;
}

/// Takes what comes for one tenant. Called on any thread; returns at once.
pub trait PlatformSink: Send + Sync + 'static {
    /// Takes one message.
    fn deliver(&self, message: FromPlatform);
}
