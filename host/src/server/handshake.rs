//! The WebSocket handshake, and the checks of a request's head.
//!
//! Owns: reading `Upgrade`, `Sec-WebSocket-*`, `Authorization` and `Origin`. Must never: decide who may come in. All of
//! it is pure: headers in, an answer out.

use data_encoding::BASE64;
use hyper::{
    HeaderMap, StatusCode, Version,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
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

/// What is wrong with a request's head, if a proxy in front could understand it otherwise than this host does.
pub(super) fn ambiguous(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || hosts == 0 && version == Version::HTTP_11 {
        return Some("a request has one Host");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let first = codings.next();
    if first.is_some_and(|first| !chunked(first)) || codings.next().is_some() {
        return Some("the only Transfer-Encoding here is chunked");
    }
    if first.is_some() && headers.contains_key(CONTENT_LENGTH) {
        return Some("a request has Content-Length or Transfer-Encoding, not both");
    }
    None
}

/// Reads a handshake. The error is the status and one sentence.
pub(super) fn read(version: Version, headers: &HeaderMap) -> Result<Handshake, (StatusCode, &'static str)> {
    // HTTP/1.0 knows no upgrade, and ignores one.
    if version < Version::HTTP_11
        || !has_token(headers, UPGRADE, "websocket")
        || !has_token(headers, CONNECTION, "upgrade")
    {
        return Err((StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"));
    }
    let is_key = |key: &&HeaderValue| BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16);
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(is_key);
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
    // A proxy in front may have put its own scheme there, which means nothing here.
    let authorization = headers.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok()?.split_once(' '));
    let mut bearers = authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if let Some((_, token)) = bearers.next() {
        return Some(token.trim());
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
        let handshake = read(Version::HTTP_11, &head(&[])).expect("it is well formed");
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!handshake.subprotocol);
    }

    #[test]
    fn only_our_subprotocol_is_ever_selected() {
        let offered = |value| read(Version::HTTP_11, &head(&[("sec-websocket-protocol", value)]));
        assert!(offered("jackfield.v1").is_ok_and(|handshake| handshake.subprotocol));
        assert!(offered("other, jackfield.v1, bearer.x").is_ok_and(|handshake| handshake.subprotocol));
        assert!(offered("").is_ok_and(|handshake| !handshake.subprotocol));
        for others in ["other", "jackfield.v2", "JACKFIELD.V1", "bearer.x"] {
            assert_eq!(offered(others).map_err(|refused| refused.0), Err(StatusCode::BAD_REQUEST), "{others}");
        }
        let two = head(&[("sec-websocket-protocol", "other"), ("sec-websocket-protocol", "jackfield.v1")]);
        assert!(read(Version::HTTP_11, &two).is_ok_and(|handshake| handshake.subprotocol), "on two lines");
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let without = |name: &str| {
            let mut headers = head(&[]);
            headers.remove(name);
            read(Version::HTTP_11, &headers).map_err(|refused| refused.0)
        };
        assert_eq!(without("upgrade"), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(without("connection"), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(without("sec-websocket-version"), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(without("sec-websocket-key"), Err(StatusCode::BAD_REQUEST));
        assert_eq!(read(Version::HTTP_10, &head(&[])).map_err(|refused| refused.0), Err(StatusCode::UPGRADE_REQUIRED));
        for key in ["", "dGhl", "dGhlIHNhbXBsZSBub25jZ***", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZTE="] {
            let mut headers = head(&[]);
            headers.insert("sec-websocket-key", HeaderValue::from_static(key));
            let refused = read(Version::HTTP_11, &headers).map_err(|refused| refused.0);
            assert_eq!(refused, Err(StatusCode::BAD_REQUEST), "{key}");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_wrong() {
        let wrong = |version, lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            ambiguous(version, &headers).is_some()
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert!(!wrong(new, &[("host", "a")]) && !wrong(old, &[]) && !wrong(old, &[("host", "a")]));
        assert!(wrong(new, &[]) && wrong(new, &[("host", "a"), ("host", "a")]));
        let coded = |coding| wrong(new, &[("host", "a"), ("transfer-encoding", coding)]);
        assert!(!coded("chunked") && !coded("Chunked"));
        assert!(coded("identity, chunked") && coded("gzip, chunked") && coded("identity") && coded(""));
        assert!(wrong(new, &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]));
        assert!(wrong(new, &[("host", "a"), ("content-length", "2"), ("transfer-encoding", "chunked")]));
    }

    #[test]
    fn a_token_is_found_in_either_place() {
        assert_eq!(bearer(&head(&[("authorization", "Bearer abc")])), Some("abc"));
        assert_eq!(bearer(&head(&[("authorization", "bearer  abc ")])), Some("abc"));
        assert_eq!(bearer(&head(&[("authorization", "Basic abc")])), None);
        let both = [("authorization", "Basic abc"), ("sec-websocket-protocol", "jackfield.v1, bearer.def")];
        assert_eq!(bearer(&head(&both)), Some("def"));
        let two = [("authorization", "Basic abc"), ("authorization", "Bearer ghi")];
        assert_eq!(bearer(&head(&two)), Some("ghi"));
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
