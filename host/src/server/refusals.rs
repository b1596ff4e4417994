//! The log of requests that were not let in.
//!
//! Owns: one line for a page of a wrong origin and for a wrong token, and the bound on such lines. Must never: write a
//! token, or let a client fill a disk. What is left out is counted, here and in the metrics.

use hyper::{
    HeaderMap,
    header::{HeaderName, ORIGIN},
};

use super::peer::Peer;
use crate::{audit::TARGET, log_limit::LogLimit};

/// Lines of each kind a minute.
const LINES: u32 = 30;
/// The longest part of what a client has sent that a line repeats.
const LONGEST: usize = 100;

#[derive(Debug)]
pub(super) struct Refusals {
    origins: LogLimit,
    tokens: LogLimit,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self { origins: LogLimit::per_minute(LINES), tokens: LogLimit::per_minute(LINES) }
    }

    /// A page may not connect. Its browser tells it nothing but that it could not.
    pub(super) fn origin(&self, peer: &Peer, path: &str, headers: &HeaderMap) {
        if let Some(left_out) = self.origins.pass() {
            let (client, origin) = (peer.client, shown(headers, &ORIGIN));
            let path = cut(path);
            tracing::warn!(
                target: TARGET,
                %client,
                ?origin,
                ?path,
                left_out,
                "a page was refused: its origin is not in listener.origins"
            );
        }
    }

    /// There is no such tenant, or it does not know the token.
    pub(super) fn token(&self, peer: &Peer, tenant: &str, has_token: bool) {
        if let Some(left_out) = self.tokens.pass() {
            let (client, tenant) = (peer.client, cut(tenant));
            let token = if has_token { "wrong" } else { "missing" };
            tracing::warn!(
                target: TARGET,
                %client,
                ?tenant,
                token,
                left_out,
                "a request was refused: no such tenant, or not its token"
            );
        }
    }
}

fn shown<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    cut(headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("not readable"))
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}
