//! Tokens and discovery.

use serde_json::{Value, json};
use sha2::Digest as _;

use crate::{
    data::AgentId,
    queue::token,
    request::{Answer, Request},
    world::{Refusal, World, refuse},
};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
#[must_use]
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

fn base64_url(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// `/.well-known/openid-configuration`
#[must_use]
pub(crate) fn openid_configuration(request: &Request) -> Answer {
    let issuer = &request.base;
    Answer::ok(json!({
        "issuer": issuer, "token_endpoint": format!("{issuer}/auth/token"),
        "authorization_endpoint": format!("{issuer}/auth/authorize"),
        "jwks_uri": format!("{issuer}/auth/jwks"), "end_session_endpoint": format!("{issuer}/auth/end_session"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["authorization_code", "password", "refresh_token"],
    }))
}

/// `/.well-known/cxone-configuration?tenantId=`
///
/// # Errors
/// There is no such tenant.
pub(crate) fn cxone_configuration(world: &World, request: &Request) -> Result<Answer, Refusal> {
    let wanted = request.param("tenantId").unwrap_or_default();
    let Some(unit) = world.data.business_unit.iter().find(|unit| unit.tenant_id == wanted) else {
        return refuse(404, "TenantNotFound", format!("there is no tenant {wanted}"));
    };
    let base = &world.data.behaviour.writing.address(&request.base);
    Ok(Answer::ok(json!({
        "tenantId": unit.tenant_id, "area": "na1", "cluster": "c1", "domain": "example.test",
        "acdDomain": "example.test", "uhDomain": "example.test", "globaldomain": "example.test", "private": false,
        "api_endpoint": base, "auth_endpoint": base, "ui_endpoint": base,
    })))
}

/// `/auth/token`
///
/// # Errors
/// The application or the user is not known, or the grant is not supported.
pub(crate) fn token_endpoint(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let known = world.data.client.iter().any(|client| {
        let basic = base64(format!("{}:{}", client.id, client.secret).as_bytes());
        request.authorization.as_deref() == Some(&format!("Basic {basic}"))
            // An application that cannot keep a secret shows that it is the one that began.
            || request.param("client_id") == Some(&client.id) && request.param("code_verifier").is_some()
            || request.param("client_id") == Some(&client.id) && request.param("client_secret") == Some(&client.secret)
    });
    if !known {
        return refuse(401, "invalid_client", "the application is not known");
    }
    let agent = match request.param("grant_type") {
        Some("password") => {
            let users = world.data.business_unit.iter().flat_map(|unit| &unit.agent);
            let mut fits = users.filter(|agent| {
                request.param("username") == Some(&agent.key_id) && request.param("password") == Some(&agent.key_secret)
            });
            fits.next().map(|agent| agent.id)
        }
        Some("authorization_code") => redeem(world, request)?,
        Some("refresh_token") => request.param("refresh_token").and_then(|old| world.refresh.remove(old)),
        _ => return refuse(400, "unsupported_grant_type", "only authorization_code, password and refresh_token"),
    };
    match agent {
        Some(agent) => Ok(Answer::ok(grant(world, agent, &request.base))),
        None => refuse(400, "invalid_grant", "the access key or the refresh token is not valid"),
    }
}

/// `/auth/authorize`: the page where a user signs in. Nobody is here to type, so `user` names the access key of
/// whoever does; the browser is sent on with a code.
///
/// # Errors
/// The application or the user is not known, or the address is not one of an application with PKCE.
pub(crate) fn authorize(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let need = |name: &'static str| {
        request.param(name).map(str::to_owned).ok_or_else(|| Refusal {
            status: 400,
            error: "invalid_request",
            description: format!("{name} is missing"),
        })
    };
    let (client, challenge) = (need("client_id")?, need("code_challenge")?);
    let (redirect, state) = (need("redirect_uri")?, need("state")?);
    let right = request.param("response_type") == Some("code")
        && request.param("code_challenge_method") == Some("S256")
        && request.param("scope").is_some_and(|scope| scope.contains("openid"));
    if !right || !world.data.client.iter().any(|known| known.id == client) {
        return refuse(400, "invalid_request", "the application, the scope or the challenge is wrong");
    }
    let user = need("user")?;
    let mut users = world.data.business_unit.iter().flat_map(|unit| &unit.agent);
    let Some(agent) = users.find(|agent| agent.key_id == user).map(|agent| agent.id) else {
        return refuse(401, "access_denied", "nobody of this name can sign in");
    };
    let code = token();
    world.codes.insert(code.clone(), (agent, challenge, redirect.clone()));
    let mark = if redirect.contains('?') { '&' } else { '?' };
    let location = format!("{redirect}{mark}code={code}&state={state}");
    Ok(Answer { status: 302, body: json!({"location": location}), retry_after: None })
}

fn redeem(world: &mut World, request: &Request) -> Result<Option<AgentId>, Refusal> {
    let Some((agent, challenge, redirect)) = request.param("code").and_then(|code| world.codes.remove(code)) else {
        return Ok(None);
    };
    let verifier = request.param("code_verifier").unwrap_or_default();
    let proof = base64_url(&sha2::Sha256::digest(verifier.as_bytes()));
    Ok((proof == challenge && request.param("redirect_uri") == Some(&redirect)).then_some(agent))
}

/// `/auth/token/whoami`
///
/// # Errors
/// The token is not valid.
pub(crate) fn whoami(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let agent = caller(world, request)?;
    let (unit, who) = world.data.agent(agent).expect("tokens belong to agents");
    // Nobody listens at port 9 of this machine.
    let base = if world.data.behaviour.leads_astray { "http://127.0.0.1:9" } else { &request.base };
    Ok(Answer::ok(json!({
        "agent_id": agent.to_string(), "bus_no": unit.id, "team_id": who.team.to_string(), "expires_in": "3600",
        "resource_server_base_uri": format!("{base}/acd/inContactAPI/"),
    })))
}

fn grant(world: &mut World, agent: AgentId, issuer: &str) -> Value {
    let (access, refresh, life) = (token(), token(), world.data.timing.token_seconds);
    let until = world.clock.now() + life * 1000;
    world.tokens.insert(access.clone(), (agent, until));
    world.refresh.insert(refresh.clone(), agent);
    let (unit, _) = world.data.agent(agent).expect("it was found");
    let claims = json!({
        "iss": issuer, "sub": format!("user:{agent}"), "tenantId": unit.tenant_id,
        "icBUId": unit.id, "icAgentId": agent.to_string(), "icClusterId": "c1", "exp": until / 1000,
    });
    let parts = [json!({"alg": "RS256", "typ": "JWT"}), claims].map(|part| base64_url(part.to_string().as_bytes()));
    json!({
        "access_token": access, "token_type": "Bearer", "refresh_token": refresh, "expires_in": life,
        "id_token": format!("{}.{}.{}", parts[0], parts[1], base64_url(b"not signed")),
    })
}

/// Whose token a request bears.
///
/// # Errors
/// None, or one that is not valid.
pub(crate) fn caller(world: &mut World, request: &Request) -> Result<AgentId, Refusal> {
    let now = world.clock.now();
    let bearer = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
    match bearer.and_then(|bearer| world.tokens.get(bearer)) {
        Some((agent, until)) if *until > now => Ok(*agent),
        Some(_) => refuse(401, "invalid_token", "the token has expired"),
        None => refuse(401, "invalid_token", "the token is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(b"abc"), "YWJj");
    }
}
