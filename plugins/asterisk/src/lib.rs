//! Agents on an Asterisk, over ARI.
//!
//! Owns: one kind of platform. Must never: use anything of Jackfield but `jackfield-plugin-api`. The README says what it
//! needs of Asterisk, from which version, and why it works the way it does. From the network inwards:
//!
//! ```text
//! ari/          the words of ARI and the connection on which they travel
//! manager.rs    the manager interface (AMI), for what ARI cannot do
//! platform.rs   one tenant: keeps the connection, and carries what comes and goes
//! switch/       the model of calls, queues and agents: events and commands in, requests and reports out; no I/O
//! agent.rs      one session: hands commands in and waits for the answer
//! ```
#![forbid(unsafe_op_in_unsafe_fn)]

mod agent;
mod ari;
mod manager;
mod platform;
mod settings;
mod switch;

use jackfield_plugin_api::{Adapter, Failure, PlatformHost, Tenant};

pub use agent::AsteriskAgent;
pub use platform::AsteriskPlatform;

/// The adapter: nothing is shared between tenants.
pub struct Asterisk;

impl Adapter for Asterisk {
    type Platform = AsteriskPlatform;

    fn load() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn connect(&self, tenant: Tenant, host: PlatformHost) -> Result<AsteriskPlatform, Failure> {
        AsteriskPlatform::connect(&tenant, host).await
    }
}

jackfield_plugin_api::export_adapter!(Asterisk, manifest = "../manifest.json");
