//! A request, taken apart: path, parameters from query and body, credentials. And the answers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::world::Refusal;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET`, `POST`, `DELETE`.
    pub method: String,
    /// The path below the API's base, split; as sent.
    pub path: Vec<String>,
    /// Parameters: CXone takes them from the query and from a JSON or form body alike.
    pub params: BTreeMap<String, String>,
    /// The body where it is JSON.
    pub body: Value,
    /// `Authorization`, without change.
    pub authorization: Option<String>,
    /// How the client reached the emulator: scheme and host.
    pub base: String,
    /// The API version in the path; 0 where there is none.
    pub version: u64,
}

impl Request {
    /// A parameter that is there and not empty.
    #[must_use]
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A number.
    ///
    /// # Errors
    /// It is there and no number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let parse = |value: &str| {
            value.parse().map_err(|_| Refusal {
                status: 400,
                error: "InvalidParameter",
                description: format!("{name} is not a number"),
            })
        };
        self.param(name).map(parse).transpose()
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn need(&self, name: &str) -> Result<u64, Refusal> {
        self.number(name)?.ok_or_else(|| Refusal {
            status: 400,
            error: "MissingParameter",
            description: format!("{name} is missing"),
        })
    }

    /// Whether a flag is set.
    #[must_use]
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.param(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body; `Null` for none.
    pub body: Value,
    /// `Retry-After`, as it is sent.
    pub retry_after: Option<String>,
}

impl Answer {
    /// 200 with a body.
    #[must_use]
    pub(crate) const fn ok(body: Value) -> Self {
        Self { status: 200, body, retry_after: None }
    }

    /// 202 without one: what happens comes as events.
    #[must_use]
    pub(crate) const fn accepted() -> Self {
        Self { status: 202, body: Value::Null, retry_after: None }
    }

    /// 202 with a body.
    #[must_use]
    pub(crate) const fn accepted_with(body: Value) -> Self {
        Self { status: 202, body, retry_after: None }
    }

    /// A bare status.
    #[must_use]
    pub(crate) const fn status(status: u16) -> Self {
        Self { status, body: Value::Null, retry_after: None }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status,
            body: serde_json::json!({"error": refusal.error, "error_description": refusal.description}),
            retry_after: None,
        }
    }
}

/// What the counts call a request: its path with every number and every session id left out.
#[must_use]
pub(crate) fn call_name(path: &[String]) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut session_id = false;
    for part in path {
        let lower_session = parts.last().is_some_and(|last| last.eq_ignore_ascii_case("agent-sessions"));
        if lower_session && part != "join" && !session_id {
            session_id = true;
            continue;
        }
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        parts.push(part);
    }
    if session_id && parts.len() > 1 {
        parts.remove(0);
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::call_name;

    #[test]
    fn calls_are_counted_without_their_ids() {
        let name = |path: &str| call_name(&path.split('/').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(name("agent-sessions"), "agent-sessions");
        assert_eq!(name("agent-sessions/join"), "agent-sessions/join");
        assert_eq!(name("agent-sessions/0f3a"), "agent-sessions");
        assert_eq!(name("agent-sessions/0f3a/get-next-event"), "get-next-event");
        assert_eq!(name("agent-sessions/77/interactions/123/hold"), "interactions/hold");
        assert_eq!(name("agents/1001/skills"), "agents/skills");
        assert_eq!(name("interactions/5/signal"), "interactions/signal");
    }
}
