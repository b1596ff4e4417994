//! The three traits that a vendor implements, and what is handed to them.

use std::{fmt, future::Future};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    command::{Command, Outcome},
    failure::{Code, Failure},
    host::{AgentHost, PlatformHost},
    json::Json,
};

/// One per library and process: what all tenants share. Made once, when the library is loaded.
pub trait Adapter: Send + Sync + Sized + 'static {
    /// What a tenant gets.
    type Platform: Platform;

    /// Makes the adapter. Called once, inside the plugin's own runtime; keep it quick.
    ///
    /// # Errors
    /// The library cannot work here at all; it is then not used.
    fn load() -> Result<Self, Failure>;

    /// Connects a tenant to its platform.
    ///
    /// The settings have passed the manifest's schema. Return once they are known to be usable and the work of
    /// keeping the link has begun; then tell the link's state by [`PlatformHost::link`].
    ///
    /// # Errors
    /// [`Code::Rejected`] for settings that cannot work: the tenant stays down until its file changes. Any other code:
    /// the host tries again, with growing intervals.
    fn connect(
        &self,
        tenant: Tenant,
        host: PlatformHost,
    ) -> impl Future<Output = Result<Self::Platform, Failure>> + Send;
}

/// One per tenant: the link, tokens, shared polling.
pub trait Platform: Send + Sync + Sized + 'static {
    /// What a session gets.
    type Agent: Agent;

    /// Checks the agent's credentials and makes what a session needs. Nothing happens to the agent's calls and states
    /// yet: the session may be given up again ([`Agent::log_out`] with [`Ending::Leave`]) without having been started.
    ///
    /// # Errors
    /// [`Code::Unauthorized`] for wrong credentials, [`Code::Conflict`] where someone else uses the agent,
    /// [`Code::LinkDown`] while the platform cannot be asked.
    fn log_in(&self, login: Login, host: AgentHost) -> impl Future<Output = Result<Self::Agent, Failure>> + Send;

    /// The tenant is removed or moved to another version, or the host ends. Leave nothing of yours behind on the
    /// platform, and no caller in a queue that nobody serves; where people talk to each other and the platform can go on
    /// without you, let it.
    ///
    /// All agents were asked to leave before. What one of them did not end in time may still run beside this, and so may
    /// the drop of an agent.
    fn disconnect(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// One per session: an agent at work.
///
/// All methods may run at the same time; the host keeps commands that touch the same objects apart.
pub trait Agent: Send + Sync + Sized + 'static {
    /// Begins the session. Report a snapshot of all that the platform has for the agent *before* returning.
    ///
    /// # Errors
    /// The session does not start; the desktop may try again.
    fn start(&self, options: StartOptions) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Carries out a command. Report the state that it leads to *before* returning success. The future is dropped
    /// when the session ends; the host stops waiting at its deadline (30 s unless configured otherwise) and tells the
    /// desktop `timeout`, and what happens later still reaches the desktop by reports.
    fn command(&self, command: Command) -> impl Future<Output = Outcome> + Send;

    /// Report a snapshot now: after a lost link, after a crash, or when the host asks. Wait until the model is
    /// complete; a snapshot that misses a live call disposes of it.
    ///
    /// # Errors
    /// It cannot be had now; the host asks again.
    fn snapshot(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the session, see [`Ending`]. Afterwards nothing is reported any more.
    ///
    /// # Errors
    /// Only with [`Ending::LogOut`]: [`Code::Rejected`], and nothing has changed.
    fn log_out(&self, ending: Ending) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Bytes of the adapter's own that help to go on after a crash: a platform's session id, a token. The host keeps
    /// the newest ones, in memory only, and hands them to [`Platform::log_in`] in [`Login::resume`]. Asked after each
    /// command and each report, so make it cheap. At most 64 KiB.
    fn resume_state(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// A tenant, as its adapter sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tenant {
    /// The tenant's name: `[a-z0-9-]{1,63}`.
    pub id: String,
    /// The adapter's settings from the tenant's file, secrets filled in; they have passed the manifest's schema.
    pub settings: Settings,
}

impl Tenant {
    /// A tenant with its settings.
    pub fn new(id: impl Into<String>, settings: Settings) -> Self {
        Self { id: id.into(), settings }
    }
}

/// A tenant's settings. `Debug` shows nothing of them, because secrets are among them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(Json);

impl Settings {
    /// Wraps a JSON object.
    pub fn new(settings: impl Into<Json>) -> Self {
        Self(settings.into())
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// [`Code::Rejected`], naming what does not fit: the schema in the manifest let through what the adapter cannot
    /// read.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.0
            .parse()
            .map_err(|error| Failure::new(Code::Rejected, format!("settings: {}", crate::wire::without_values(&error))))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings(…)")
    }
}

/// An agent who logs in. `Debug` shows no more of [`Self::resume`] than its length, because a token may be in it.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Login {
    /// The agent, as the desktop named it.
    pub agent: String,
    /// The password as the desktop sent it; `None` when the host logs the agent in again on its own account.
    pub password: Option<Secret>,
    /// The desktop's `model`, a free text.
    pub model: Option<String>,
    /// Unique to the session and the same when it is logged in again, after a crash or on another version.
    pub session: String,
    /// Set when the host logs the agent in again: the newest [`Agent::resume_state`] (empty if there was none). The
    /// agent was authenticated before; do not disturb its calls.
    #[serde(default, with = "crate::hex::option")]
    pub resume: Option<Vec<u8>>,
}

impl Login {
    /// An agent with a password.
    pub fn new(agent: impl Into<String>, password: impl Into<String>, session: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            password: Some(Secret::new(password)),
            model: None,
            session: session.into(),
            resume: None,
        }
    }

    /// An agent whom the host logs in again.
    pub fn again(agent: impl Into<String>, session: impl Into<String>, resume: Vec<u8>) -> Self {
        Self { agent: agent.into(), password: None, model: None, session: session.into(), resume: Some(resume) }
    }

    /// Adds the desktop's model.
    #[must_use]
    pub fn model(mut self, model: Option<String>) -> Self {
        self.model = model;
        self
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, password, model, session, resume } = self;
        f.debug_struct("Login")
            .field("agent", agent)
            .field("password", password)
            .field("model", model)
            .field("session", session)
            .field("resume", &resume.as_ref().map(|bytes| Length(bytes.len())))
            .finish()
    }
}

/// All that is shown of bytes.
pub(crate) struct Length(pub(crate) usize);

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// What the desktop said in `session.start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StartOptions {
    /// The extension at which the agent sits, where the platform wants one.
    pub extension: Option<String>,
}

impl StartOptions {
    /// Options with an extension, or without.
    #[must_use]
    pub fn new(extension: Option<String>) -> Self {
        Self { extension }
    }
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The agent goes home: end live interactions (return offers, release calls) and log the agent out. Where the
    /// platform refuses, fail with [`Code::Rejected`] and change nothing.
    LogOut,
    /// The session goes, the agent's calls stay: it is replaced, was never started, is moved to another version of the
    /// library (which is asked to [`Platform::log_in`] the agent with [`Login::resume`] right after), or the host ends.
    Leave,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the platform.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{LogIn, Resume};

    #[test]
    fn nothing_secret_is_printed() {
        let secret = b"token".to_vec();
        let printed = format!("{secret:?}");
        let again = LogIn { platform: 1, login: Login::again("7001", "s", secret.clone()) };
        for text in [format!("{again:?}"), format!("{:?}", Resume { state: secret })] {
            assert!(!text.contains(&printed) && text.contains("5 bytes"), "{text}");
        }
        assert!(!format!("{:?}", Login::new("7001", "hunter2", "s")).contains("hunter2"));
    }
}
