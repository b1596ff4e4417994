//! One exchange with CXone, as it stands in a trace: a line of JSON each, in the order in which they ended.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands for the address of whoever plays a trace.
pub(crate) const HERE: &str = "trace:/";
/// What stands for the tenant's id.
pub(crate) const TENANT: &str = "trace-tenant";

/// An exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Milliseconds since the recording began.
    pub(crate) at: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) query: BTreeMap<String, String>,
    /// What the adapter sent.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) sent: Value,
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<String>,
    /// What CXone answered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) body: Value,
}

impl Entry {
    /// What a request must have in common with this one to be answered by it.
    pub(crate) fn call(&self) -> String {
        call(&self.method, &self.path)
    }

    /// It is a poll of the agent's events.
    pub(crate) fn is_poll(&self) -> bool {
        self.path.ends_with("/get-next-event")
    }

    /// How long a poll might wait.
    pub(crate) fn wait(&self) -> u64 {
        self.query.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Method and path without what differs from one session to the next: where the API is, its version, the session's id.
pub(crate) fn call(method: &str, path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && !part.starts_with('~')).collect();
    // `…/services/vNN.0/…`
    let services = parts.iter().position(|part| part.eq_ignore_ascii_case("services"));
    let mut called: Vec<&str> = Vec::new();
    for part in &parts[services.map_or(0, |at| (at + 2).min(parts.len()))..] {
        match called.last() {
            Some(&"agent-sessions") if *part != "join" => called.push("session"),
            _ => called.push(part),
        }
    }
    format!("{method} {}", called.join("/"))
}

/// Reads a trace.
///
/// # Errors
/// The file cannot be read, or a line of it is none of a trace.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::call;

    #[test]
    fn requests_are_the_same_whatever_session_base_and_version_they_name() {
        let one = call("GET", "/~1/inContactAPI/services/v23.0/agent-sessions/abc/get-next-event");
        assert_eq!(one, call("GET", "/incontactapi/services/V31.0/agent-sessions/xyz/get-next-event"));
        assert_eq!(one, "GET agent-sessions/session/get-next-event");
        assert_eq!(call("POST", "/~1/acd/inContactAPI/services/v2.0/agent-sessions/join"), "POST agent-sessions/join");
    }
}
