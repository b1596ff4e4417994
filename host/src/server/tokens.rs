//! `POST /v1/tenants/{tenant}/tokens`: a short-lived token of one agent, for a page that must not have the tenant's own.
//!
//! Owns: the request's body and the answer. Must never: decide who may ask; `tenant/auth` does.

use std::time::Duration;

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use jackfield_plugin_api::Code;
use serde::Deserialize;
use serde_json::json;

use super::{
    Desktops,
    http::read,
    response::{Body, failure, json_text},
};
use crate::{
    session::Identity,
    tenant::{HostedTenant, LONGEST_AGENT_TOKEN, USUAL_AGENT_TOKEN},
};

#[derive(Deserialize)]
struct Wanted {
    /// The agent, as prepareSession names it.
    agent: String,
    /// For how long the token is to count, in seconds.
    #[serde(default)]
    lifetime: Option<u64>,
}

/// Answers `{"token", "agent", "lifetime"}`.
pub(super) async fn issue(
    desktops: &Desktops,
    tenant: &HostedTenant,
    identity: &Identity,
    request: Request<Incoming>,
) -> Response<Body> {
    let body = match read(desktops, tenant, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let bad = |message: &str| failure(StatusCode::BAD_REQUEST, Code::BadRequest, message);
    let Ok(Wanted { agent, lifetime }) = serde_json::from_str(&body) else {
        return bad("the body must be {\"agent\": text, \"lifetime\": seconds}; lifetime may be left out");
    };
    if agent.is_empty() {
        return bad("agent must not be empty");
    }
    let lifetime = lifetime.map_or(USUAL_AGENT_TOKEN, Duration::from_secs);
    if lifetime.is_zero() || lifetime > LONGEST_AGENT_TOKEN {
        return bad(&format!("lifetime must be 1 to {} seconds", LONGEST_AGENT_TOKEN.as_secs()));
    }
    match tenant.issue_agent_token(identity, &agent, lifetime) {
        Ok(Some(token)) => {
            let answer = json!({"token": token, "agent": agent, "lifetime": lifetime.as_secs()});
            let mut response = json_text(answer.to_string());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(None) => failure(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::QuotaExceeded,
            "the tenant has as many agents' tokens as it may have",
        ),
        Err(_) => failure(
            StatusCode::FORBIDDEN,
            Code::Forbidden,
            "only the holder of a token for all agents may ask for an agent's token",
        ),
    }
}
