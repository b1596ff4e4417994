//! Which requests come from an operator.
//!
//! Owns: the check of a request's `Host`, of what a browser says of the page that it comes from, and of the operator's
//! token. Must never: let a page in: its reader's browser may reach this listener where its author cannot.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Request, StatusCode,
    header::{HOST, HeaderName, ORIGIN},
    http::uri::Authority,
};

use super::super::handshake;
use crate::{
    config::OperatorRight,
    operator_tokens::{NotEnough, OperatorTokens},
};

/// Says what a page has to do with the address that its browser asks.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// By which names the operators' listener is reached, beside `localhost` and every address.
#[derive(Debug)]
pub(super) struct OperatorAccess {
    pub(super) hosts: Vec<String>,
}

/// Why a request is not answered: a status and a line.
pub(super) type AccessRefusal = (StatusCode, &'static str);

impl OperatorAccess {
    /// Whether a request may be answered; with the name of its token, if one was asked for.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn check<B>(
        &self,
        request: &Request<B>,
        tokens: &OperatorTokens,
        wanted: Option<OperatorRight>,
    ) -> Result<Box<str>, AccessRefusal> {
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
        let Some(wanted) = wanted else { return Ok("".into()) };
        tokens.check(handshake::bearer(request.headers()), wanted).map_err(|not_enough| match not_enough {
            NotEnough::Wrong => (StatusCode::UNAUTHORIZED, "an operator's token is asked for: operations.tokens"),
            NotEnough::MayNotAct => (StatusCode::FORBIDDEN, "this token may not act"),
        })
    }

    /// Whether the listener is reached by this host. An address is always right: a page that had its own name point here
    /// would have that name in its requests.
    fn is_here(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&name)
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

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        headers
            .iter()
            .fold(Request::get("/metrics"), |request, (name, value)| request.header(*name, *value))
            .body(())
            .unwrap()
    }

    fn status(headers: &[(&str, &str)]) -> u16 {
        let access = OperatorAccess { hosts: vec!["jackfield.internal".to_owned()] };
        let checked = access.check(&request(headers), &OperatorTokens::default(), Some(OperatorRight::Read));
        checked.map_or_else(|refused| refused.0.as_u16(), |_| 200)
    }

    #[test]
    fn a_listener_is_reached_by_addresses_by_localhost_and_by_its_own_names() {
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
            assert_eq!(status(&[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(&[("host", "localhost"), ("host", "localhost")]), 400);
        let absolute = Request::get("http://evil.example/metrics").header("host", "localhost").body(()).unwrap();
        let access = OperatorAccess { hosts: Vec::new() };
        assert!(access.check(&absolute, &OperatorTokens::default(), None).is_err());
    }

    #[test]
    fn a_page_is_not_answered_whatever_it_asks() {
        let from = |name, value| status(&[("host", "localhost"), (name, value)]);
        assert_eq!(from("origin", "http://localhost"), 403);
        assert_eq!(from("origin", "null"), 403);
        assert_eq!(from("sec-fetch-site", "cross-site"), 403);
        assert_eq!(from("sec-fetch-site", "same-site"), 403);
        assert_eq!(from("sec-fetch-site", "none"), 200, "the address bar");
    }
}
