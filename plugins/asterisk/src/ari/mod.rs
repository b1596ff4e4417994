//! The Asterisk REST Interface, as far as calls need it: what is sent ([`Request`]), what comes back ([`Message`]), the
//! connection on which both travel ([`connection`]), and whether this Asterisk has what is needed ([`selftest`]).
//!
//! Owns: the words of ARI. Must never: know what a call or an agent is. Requests go *over the events WebSocket*
//! (Asterisk 22.4, 21.9 and 20.14 or later), not by plain HTTP: answers and events then stand in one order, so the
//! answer to an originate always comes before that channel's first event, and no HTTP session limit applies.

pub(crate) mod connection;
mod message;
mod selftest;
pub(crate) mod tls;

pub(crate) use message::{Bridge, Caller, Channel, Endpoint, Event, Message, Response, bridges, channels};

use serde_json::{Value, json};

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

    /// The frame that carries it; `id` comes back in the answer.
    pub(crate) fn frame(&self, id: u64) -> String {
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
