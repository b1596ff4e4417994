//! The Asterisk REST Interface, as far as calls need it: what is sent ([`Request`]), what comes back ([`Message`]), the
//! connection on which both travel ([`connection`]), and whether this Asterisk has what is needed ([`selftest`]).
//!
//! Owns: the words of ARI. Must never: know what a call or an agent is. Where Asterisk takes them there (22.4, 21.9 and
//! 20.14 or later), requests go *over the events WebSocket*: answers and events then stand in one order, so the answer to
//! an originate comes before that channel's first event, and no HTTP session limit applies. Elsewhere they go by plain
//! HTTP ([`http`]), one after the other, and events wait while one is under way, so that the order is the same.

pub(crate) mod connection;
mod http;
mod message;
mod selftest;
pub(crate) mod tls;

pub(crate) use message::{Bridge, Caller, Channel, Endpoint, Event, Message, Response, bridges, channels};

use serde_json::{Value, json};

const PING: &str = "asterisk/ping";

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request to Asterisk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below `/ari/`, each part already safe to stand in a path.
    pub(crate) uri: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl Request {
    fn new(method: Method, uri: impl Into<String>) -> Self {
        Self { method, uri: uri.into(), query: Vec::new(), body: None }
    }

    pub(crate) fn get(uri: impl Into<String>) -> Self {
        Self::new(Method::Get, uri)
    }

    pub(crate) fn post(uri: impl Into<String>) -> Self {
        Self::new(Method::Post, uri)
    }

    pub(crate) fn put(uri: impl Into<String>) -> Self {
        Self::new(Method::Put, uri)
    }

    pub(crate) fn delete(uri: impl Into<String>) -> Self {
        Self::new(Method::Delete, uri)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks for a sign of life: the answer comes behind all that was said before.
    pub(crate) fn ping() -> Self {
        Self::get(PING)
    }

    fn is_ping(&self) -> bool {
        self.uri == PING
    }

    /// What an HTTP request for it names, behind the server's prefix.
    fn target(&self) -> String {
        if self.query.is_empty() {
            return format!("/ari/{}", self.uri);
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("/ari/{}?{query}", self.uri)
    }

    /// The frame that carries it; `id` comes back in the answer.
    fn frame(&self, id: u64) -> String {
        let mut frame = json!({
            "type": "RESTRequest",
            "transaction_id": id.to_string(),
            "request_id": id.to_string(),
            "method": self.method.as_str(),
            "uri": self.uri,
        });
        if !self.query.is_empty() {
            frame["query_strings"] =
                self.query.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        }
        if let Some(body) = &self.body {
            frame["content_type"] = "application/json".into();
            frame["message_body"] = body.to_string().into();
        }
        frame.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_request_asks_with_stands_in_the_target_of_one_by_http() {
        assert_eq!(Request::get("channels").target(), "/ari/channels");
        let request = Request::post("channels/c1/variable").with("variable", "A").with("value", "{\"ü\": 1+1}");
        assert_eq!(request.target(), "/ari/channels/c1/variable?variable=A&value=%7B%22%C3%BC%22%3A+1%2B1%7D");
    }

    #[test]
    fn a_request_becomes_the_frame_that_asterisk_wants() {
        let request = Request::post("channels/c1/mute").with("direction", "in").body(json!({"a": 1}));
        let frame: Value = serde_json::from_str(&request.frame(7)).unwrap();
        assert_eq!(
            frame,
            json!({
                "type": "RESTRequest", "transaction_id": "7", "request_id": "7", "method": "POST",
                "uri": "channels/c1/mute", "query_strings": [{"name": "direction", "value": "in"}],
                "content_type": "application/json", "message_body": "{\"a\":1}",
            })
        );
    }
}
