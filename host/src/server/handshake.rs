//! The WebSocket handshake, and what a request's head says of the one who sends it.
//!
//! Owns: reading `Upgrade`, `Sec-WebSocket-*`, `Authorization` and `Origin`. Must never: decide who may come in. All of
//! it is pure: headers in, an answer out.

use hyper::{
    HeaderMap, StatusCode,
    header::{
        AUTHORIZATION, CONNECTION, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::config::Origins;

/// The only subprotocol that is ever selected.
pub(super) const SUBPROTOCOL: &str = "jackfield.v1";

/// What goes into the 101.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// `Sec-WebSocket-Accept`.
    pub(super) accept: HeaderValue,
    /// Whether the client offered our subprotocol, which is then selected.
    pub(super) subprotocol: bool,
}

/// Reads a handshake. The error is the status and one sentence.
pub(super) fn read(headers: &HeaderMap) -> Result<Handshake, (StatusCode, &'static str)> {
    if !has_token(headers, UPGRADE, "websocket") || !has_token(headers, CONNECTION, "upgrade") {
        return Err((StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24 && key.as_bytes().ends_with(b"=="));
    let key = key.ok_or((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let subprotocol = tokens(headers, SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == SUBPROTOCOL);
    if !subprotocol && tokens(headers, SEC_WEBSOCKET_PROTOCOL).next().is_some() {
        return Err((StatusCode::BAD_REQUEST, "the only subprotocol here is jackfield.v1"));
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header's value");
    Ok(Handshake { accept, subprotocol })
}

/// The token that a request carries: as `Authorization: Bearer …`, or as a subprotocol `bearer.…`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    tokens(headers, SEC_WEBSOCKET_PROTOCOL).find_map(|offered| offered.strip_prefix("bearer."))
}

/// Whether a browser's page with this origin may connect; what comes from no page always may.
pub(super) fn origin_allowed(headers: &HeaderMap, origins: &Origins) -> bool {
    match (headers.get(ORIGIN), origins) {
        (None, _) | (Some(_), Origins::Any) => true,
        (Some(origin), Origins::Listed(listed)) => listed.iter().any(|allowed| origin == allowed.as_str()),
    }
}

/// The parts of a header that is a list, however many lines it takes.
fn tokens(headers: &HeaderMap, name: hyper::header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: hyper::header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(extra: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in extra {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_handshake_is_accepted_with_the_key_of_the_standards_example() {
        let handshake = read(&head(&[])).expect("it is well formed");
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!handshake.subprotocol);
    }

    #[test]
    fn only_our_subprotocol_is_ever_selected() {
        let offered = |value| read(&head(&[("sec-websocket-protocol", value)]));
        assert!(offered("jackfield.v1").is_ok_and(|handshake| handshake.subprotocol));
        assert!(offered("other, jackfield.v1, bearer.x").is_ok_and(|handshake| handshake.subprotocol));
        assert!(offered("").is_ok_and(|handshake| !handshake.subprotocol));
        for others in ["other", "jackfield.v2", "JACKFIELD.V1", "bearer.x"] {
            assert_eq!(offered(others).map_err(|refused| refused.0), Err(StatusCode::BAD_REQUEST), "{others}");
        }
        let two = head(&[("sec-websocket-protocol", "other"), ("sec-websocket-protocol", "jackfield.v1")]);
        assert!(read(&two).is_ok_and(|handshake| handshake.subprotocol), "on two lines");
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let without = |name: &str| {
            let mut headers = head(&[]);
            headers.remove(name);
            read(&headers).map_err(|refused| refused.0)
        };
        assert_eq!(without("upgrade"), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(without("connection"), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(without("sec-websocket-version"), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(without("sec-websocket-key"), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_token_is_found_in_either_place() {
        assert_eq!(bearer(&head(&[("authorization", "Bearer abc")])), Some("abc"));
        assert_eq!(bearer(&head(&[("authorization", "bearer  abc ")])), Some("abc"));
        assert_eq!(bearer(&head(&[("authorization", "Basic abc")])), None);
        assert_eq!(bearer(&head(&[("sec-websocket-protocol", "jackfield.v1, bearer.abc")])), Some("abc"));
        assert_eq!(bearer(&head(&[])), None);
    }

    #[test]
    fn pages_are_let_in_by_their_origin_and_others_always() {
        let listed = Origins::Listed(vec!["https://desk.example".to_owned()]);
        let from = |origin| head(&[("origin", origin)]);
        assert!(origin_allowed(&head(&[]), &listed));
        assert!(origin_allowed(&from("https://desk.example"), &listed));
        assert!(!origin_allowed(&from("https://evil.example"), &listed));
        assert!(!origin_allowed(&from("null"), &Origins::Listed(Vec::new())));
        assert!(origin_allowed(&from("https://evil.example"), &Origins::Any));
    }
}
