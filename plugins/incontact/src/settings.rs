//! What a tenant's file says.

use std::{collections::BTreeMap, time::Duration};

use jackfield_plugin_api::{Code, Failure, Secret};
use serde::Deserialize;

/// A tenant's settings. The manifest's schema is the same in JSON Schema; the README explains each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the `.well-known` documents are.
    #[serde(default = "issuer")]
    pub(crate) issuer: String,
    /// The tenant's id in CXone.
    pub(crate) tenant_id: String,
    /// The application that NICE registered.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: Secret,
    /// An access key that acts for the agents, and polls the address book.
    #[serde(default)]
    pub(crate) service_key: Option<ServiceKey>,
    /// Agents that log in with a password of ours and are acted for with the service key.
    #[serde(default)]
    pub(crate) agents: BTreeMap<String, NamedAgent>,
    /// Agents may sign in at CXone's own page instead of logging in with an access key.
    #[serde(default)]
    pub(crate) sign_in: Option<SignIn>,
    /// What a telephony channel's endpoint is.
    #[serde(default)]
    pub(crate) station: StationKind,
    /// Minutes without a poll after which CXone ends an agent session.
    #[serde(default = "inactivity")]
    pub(crate) inactivity_minutes: u64,
    /// The indicator that set call data answers.
    #[serde(default = "indicator")]
    pub(crate) data_indicator: String,
    /// The outbound skill of consults and blind calls, where an agent has several.
    #[serde(default)]
    pub(crate) consult_skill: Option<u64>,
    /// Whom to believe that he is CXone.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// API versions by group of calls.
    #[serde(default)]
    pub(crate) versions: Versions,
    /// Times.
    #[serde(default)]
    pub(crate) timing: Timing,
}

fn issuer() -> String {
    "https://cxone.niceincontact.com".to_owned()
}
const fn inactivity() -> u64 {
    45
}
fn indicator() -> String {
    "JackfieldData".to_owned()
}

/// An access key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceKey {
    /// Its id.
    pub(crate) id: String,
    /// Its secret.
    pub(crate) secret: Secret,
}

/// Signing in at CXone's own page, by authorization code with PKCE.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// Where CXone sends the browser with the code, as registered with the application.
    pub(crate) redirect_uri: String,
}

/// An agent whom the service key acts for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedAgent {
    /// His number in CXone.
    pub(crate) agent_id: u64,
    /// What he logs in with here.
    pub(crate) password: Secret,
}

/// Whom to believe that he is CXone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Root certificates in PEM that are trusted beside the system's.
    #[serde(default)]
    pub(crate) roots: Option<String>,
}

/// What a telephony channel's endpoint is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StationKind {
    /// A telephone number.
    #[default]
    PhoneNumber,
    /// The id of a station.
    StationId,
}

/// API versions by group of calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Versions {
    /// Start, join, poll and end of an agent session, and the agent's state.
    pub(crate) session: u16,
    /// Contacts and calls.
    pub(crate) interaction: u16,
    /// The agent's own phone.
    pub(crate) phone: u16,
    /// Skills, dispositions, unavailable codes, agents, scripts, address books.
    pub(crate) admin: u16,
    /// States of agents and activity of skills.
    pub(crate) realtime: u16,
    /// Signals.
    pub(crate) signal: u16,
    /// Ending a recording.
    pub(crate) stop_record: u16,
    /// Holding and resuming a conference, and joining one.
    pub(crate) conference: u16,
    /// Setting a disposition.
    pub(crate) disposition: u16,
    /// Reading a skill's dispositions and tags.
    pub(crate) dispositions: u16,
    /// The list of scripts.
    pub(crate) scripts: u16,
    /// The list of scripts where that one is gone.
    pub(crate) script_search: u16,
    /// Playing voice mails.
    pub(crate) voicemail: u16,
    /// Callbacks that were promised: listing and making them.
    pub(crate) callbacks: u16,
    /// Dialling, putting off and cancelling one of them.
    pub(crate) callback_calls: u16,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            session: 23,
            interaction: 23,
            phone: 23,
            admin: 23,
            realtime: 23,
            signal: 23,
            stop_record: 2,
            conference: 31,
            disposition: 27,
            dispositions: 12,
            scripts: 12,
            script_search: 34,
            voicemail: 4,
            callbacks: 25,
            callback_calls: 21,
        }
    }
}

/// Times.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timing {
    /// Seconds that a poll may wait at CXone.
    poll_seconds: u64,
    /// Seconds for any other request.
    request_seconds: u64,
    /// Seconds that an accepted command may wait for its event.
    event_seconds: u64,
    /// Seconds that a token is renewed ahead of its end.
    renew_ahead_seconds: u64,
    /// Seconds between two polls of the address book.
    directory_seconds: u64,
    /// Requests in a row that may fail before the link counts as down.
    pub(crate) failures_until_down: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll_seconds: 60,
            request_seconds: 10,
            event_seconds: 10,
            renew_ahead_seconds: 600,
            directory_seconds: 5,
            failures_until_down: 5,
        }
    }
}

impl Timing {
    /// How long a poll may wait at CXone.
    pub(crate) const fn poll(&self) -> u64 {
        if self.poll_seconds > 60 { 60 } else { self.poll_seconds }
    }
    /// How long any other request may take.
    pub(crate) const fn request(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }
    /// How long an accepted command waits for its event.
    pub(crate) const fn event(&self) -> Duration {
        Duration::from_secs(self.event_seconds)
    }
    /// How long ahead of its end a token is renewed.
    pub(crate) const fn renew_ahead(&self) -> Duration {
        Duration::from_secs(self.renew_ahead_seconds)
    }
    /// From one poll of the address book to the next.
    pub(crate) const fn directory(&self) -> Duration {
        Duration::from_secs(if self.directory_seconds == 0 { 1 } else { self.directory_seconds })
    }
}

impl Settings {
    /// What the schema cannot say.
    ///
    /// # Errors
    /// `rejected`: the settings cannot work.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let wrong = |text: &str| Err(Failure::new(Code::Rejected, format!("settings: {text}")));
        if !is_safe(&self.issuer) {
            return wrong("issuer must be https, unless it is on this machine");
        }
        if !self.agents.is_empty() && self.service_key.is_none() {
            return wrong("agents need a service_key that acts for them");
        }
        Ok(())
    }
}

/// Credentials may be sent to this address: it is behind TLS, or on this machine.
pub(crate) fn is_safe(address: &str) -> bool {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let mut rest = local.into_iter().filter_map(|start| address.strip_prefix(start));
    address.starts_with("https://") || rest.any(|rest| rest.is_empty() || rest.starts_with([':', '/']))
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn credentials_go_over_tls_or_stay_on_this_machine() {
        for safe in ["https://api.example", "http://127.0.0.1:9480", "http://localhost/acd", "http://[::1]:1"] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in ["http://api.example", "http://127.0.0.1.example", "http://localhost.example", "ftp://x"] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }
}
