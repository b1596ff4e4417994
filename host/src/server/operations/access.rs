//! Who may ask as an operator.
//!
//! Owns: the check of a request's `Host`, of what a browser says of the page that it comes from, and of the operator's
//! token. Must never: keep, log or compare a token in a way that tells how much of it was right, or let a page in: its
//! reader's browser may reach this listener where its author cannot.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use hyper::{
    HeaderMap, Request, StatusCode,
    header::{HOST, HeaderName, ORIGIN},
    http::uri::Authority,
};
use parking_lot::RwLock;
use subtle::ConstantTimeEq as _;

use super::super::handshake;
use crate::{
    config::{OperationsConfig, OperatorRight, OperatorToken},
    tenant::hash_token,
};

/// Says what a page has to do with the address that its browser asks.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may ask what on the operators' listener.
#[derive(Debug)]
pub struct OperatorAccess {
    /// Names by which the listener is reached, beside `localhost` and every address.
    hosts: Vec<String>,
    /// Whether a token is asked for. Once it is, it is until the end: a list that has become empty lets nobody in.
    asks: AtomicBool,
    tokens: RwLock<Vec<OperatorToken>>,
}

/// Why a request is not answered: a status and a line.
pub(super) type Refusal = (StatusCode, &'static str);

impl OperatorAccess {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: Option<&OperationsConfig>) -> Self {
        let access = Self {
            hosts: config.map(|config| config.hosts.clone()).unwrap_or_default(),
            asks: AtomicBool::new(false),
            tokens: RwLock::default(),
        };
        access.set_tokens(config.map(|config| config.tokens.clone()).unwrap_or_default());
        access
    }

    /// These tokens count from now on.
    pub fn set_tokens(&self, tokens: Vec<OperatorToken>) {
        if !tokens.is_empty() {
            self.asks.store(true, Relaxed);
        } else if self.asks.load(Relaxed) {
            tracing::warn!(
                "operations.tokens is empty: no operator is let in before there is a token or the next start"
            );
        }
        *self.tokens.write() = tokens;
    }

    /// Whether a request may be answered; with the name of its token, if one was asked for.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn check<B>(&self, request: &Request<B>, wanted: Option<OperatorRight>) -> Result<Box<str>, Refusal> {
        if let Some(wrong) = handshake::ambiguous(request.version(), request.headers()) {
            return Err((StatusCode::BAD_REQUEST, wrong));
        }
        let named = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
        if !named.into_iter().chain(request.uri().authority().map(Authority::as_str)).all(|host| self.is_here(host)) {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "this listener is not reached by this Host: operations.hosts",
            ));
        }
        if is_of_a_page(request.headers()) {
            return Err((StatusCode::FORBIDDEN, "not for pages"));
        }
        match wanted {
            Some(wanted) if self.asks.load(Relaxed) => self.check_token(request.headers(), wanted),
            _ => Ok("".into()),
        }
    }

    /// Whether the listener is reached by this host. An address is always right: a page that had its own name point here
    /// would have that name in its requests.
    fn is_here(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&name)
    }

    fn check_token(&self, headers: &HeaderMap, wanted: OperatorRight) -> Result<Box<str>, Refusal> {
        let presented = hash_token(handshake::bearer(headers).unwrap_or_default());
        let mut found = None;
        // All are looked at, each to its end, so that time does not tell which was nearly right.
        for token in self.tokens.read().iter() {
            if bool::from(token.token.hash.ct_eq(&presented)) {
                found = Some((token.token.name.as_str().into(), token.may));
            }
        }
        match found {
            None => Err((StatusCode::UNAUTHORIZED, "an operator's token is asked for: operations.tokens")),
            Some((_, may)) if may < wanted => Err((StatusCode::FORBIDDEN, "this token may not act")),
            Some((name, _)) => Ok(name),
        }
    }
}

/// Whether a browser says that a page asks, and not its user by the address bar. It sends an origin with whatever could act
/// or be read, and says of the rest whether it comes from another site.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.get(FETCH_SITE).is_some_and(|site| site != "none" && site != "same-origin")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Token;

    fn access(tokens: &[(&str, OperatorRight)]) -> OperatorAccess {
        let token = |(text, may): &(&str, OperatorRight)| OperatorToken {
            token: Token { name: format!("holder of {text}"), hash: hash_token(text) },
            may: *may,
        };
        OperatorAccess::new(Some(&OperationsConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            hosts: vec!["jackfield.internal".to_owned()],
            tokens: tokens.iter().map(token).collect(),
            tls: None,
        }))
    }

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        headers
            .iter()
            .fold(Request::get("/metrics"), |request, (name, value)| request.header(*name, *value))
            .body(())
            .unwrap()
    }

    fn status(access: &OperatorAccess, headers: &[(&str, &str)], wanted: OperatorRight) -> u16 {
        access.check(&request(headers), Some(wanted)).map_or_else(|refused| refused.0.as_u16(), |_| 200)
    }

    #[test]
    fn a_listener_is_reached_by_addresses_by_localhost_and_by_its_own_names() {
        let access = access(&[]);
        for (host, expected) in [
            ("127.0.0.1:9464", 200),
            ("192.0.2.7", 200),
            ("[::1]:9464", 200),
            ("localhost:9464", 200),
            ("LocalHost.", 200),
            ("Jackfield.Internal:1", 200),
            ("evil.example:9464", 421),
            ("127.0.0.1.evil.example", 421),
            ("jackfield.internal.evil.example", 421),
            ("", 421),
            ("a b", 421),
        ] {
            assert_eq!(status(&access, &[("host", host)], OperatorRight::Read), expected, "{host}");
        }
        assert_eq!(status(&access, &[("host", "localhost"), ("host", "localhost")], OperatorRight::Read), 400);
        let absolute = Request::get("http://evil.example/metrics").header("host", "localhost").body(()).unwrap();
        assert!(access.check(&absolute, None).is_err());
    }

    #[test]
    fn a_page_is_not_answered_whatever_it_asks() {
        let access = access(&[]);
        let from = |name, value| status(&access, &[("host", "localhost"), (name, value)], OperatorRight::Read);
        assert_eq!(from("origin", "http://localhost"), 403);
        assert_eq!(from("origin", "null"), 403);
        assert_eq!(from("sec-fetch-site", "cross-site"), 403);
        assert_eq!(from("sec-fetch-site", "same-site"), 403);
        assert_eq!(from("sec-fetch-site", "none"), 200, "the address bar");
    }

    #[test]
    fn a_token_that_may_read_may_not_act() {
        let access = access(&[("reads", OperatorRight::Read), ("acts", OperatorRight::Act)]);
        let with = |token: &str, wanted| {
            status(&access, &[("host", "localhost"), ("authorization", &format!("Bearer {token}"))], wanted)
        };
        assert_eq!([with("reads", OperatorRight::Read), with("reads", OperatorRight::Act)], [200, 403]);
        assert_eq!([with("acts", OperatorRight::Read), with("acts", OperatorRight::Act)], [200, 200]);
        assert_eq!([with("wrong", OperatorRight::Read), with("", OperatorRight::Act)], [401, 401]);
        assert_eq!(status(&access, &[("host", "localhost")], OperatorRight::Read), 401);
        assert!(access.check(&request(&[("host", "localhost")]), None).is_ok(), "whether it is well says nothing");
    }

    #[test]
    fn a_list_of_tokens_that_has_become_empty_lets_nobody_in() {
        let access = access(&[("reads", OperatorRight::Read)]);
        access.set_tokens(Vec::new());
        assert_eq!(status(&access, &[("host", "localhost")], OperatorRight::Read), 401);
    }
}
