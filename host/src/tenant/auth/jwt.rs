//! Whether a JSON Web Token lets its bearer in to a tenant, and as which agent.
//!
//! Owns: the check of one token against a tenant's rules (RFC 7519, RFC 8725): its algorithm, its key, issuer, audience,
//! times, tenant and agent. Must never: fetch a key (`jwks.rs` keeps them), trust a key or an address that a token brings
//! with it, or say to a client what was wrong with its token.

use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::jwks::KeySet;
use crate::config::JwtRules;

/// The algorithms that are ever accepted: signatures with a public key, so that no holder of a verification key can make
/// a token. `none` and the HMAC family are not among them.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// How far the issuer's clock may be off, in seconds.
const LEEWAY: u64 = 30;

/// What a valid token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The only agent whom the bearer may log in.
    pub(super) agent: String,
    /// When the token ends, in seconds since 1970.
    pub(super) expires: u64,
}

/// Why a token does not let its bearer in. It goes into the log, never to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no token: not three parts in base64url of JSON.
    Malformed,
    /// It is signed with an algorithm that is not accepted, or with one that is not its key's.
    Algorithm,
    /// No key of the tenant's set has the token's `kid`. A newer set might.
    UnknownKey,
    /// The signature is not of that key.
    Signature,
    /// It has expired, or is not valid yet.
    Time,
    /// `iss` is missing or another.
    Issuer,
    /// `aud` is missing or does not contain this host's.
    Audience,
    /// It was issued for another tenant, or for none.
    Tenant,
    /// It names no agent.
    Agent,
}

impl Refused {
    /// One word for the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Time => "expired",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Tenant => "tenant",
            Self::Agent => "agent",
        }
    }
}

/// Checks a token for a tenant.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn verify(token: &str, tenant: &str, rules: &JwtRules, keys: &KeySet) -> Result<Bearer, Refused> {
    let header = decode_header(token).map_err(|_| Refused::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refused::Algorithm);
    }
    let key = keys.find(header.kid.as_deref(), header.alg).ok_or(Refused::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Refused::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[&rules.issuer]);
    validation.set_audience(&[&rules.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let TokenData { claims, .. } = decode::<Claims>(token, &key, &validation).map_err(|error| refusal(error.kind()))?;
    if claims.text(&rules.tenant_claim) != Some(tenant) {
        return Err(Refused::Tenant);
    }
    let agent = claims.text(&rules.agent_claim).filter(|agent| !agent.is_empty()).ok_or(Refused::Agent)?;
    Ok(Bearer { agent: agent.to_owned(), expires: claims.exp })
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    fn text(&self, name: &str) -> Option<&str> {
        self.others.get(name)?.as_str()
    }
}

fn refusal(kind: &ErrorKind) -> Refused {
    match kind {
        ErrorKind::InvalidSignature => Refused::Signature,
        ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => Refused::Time,
        ErrorKind::InvalidIssuer => Refused::Issuer,
        ErrorKind::InvalidAudience => Refused::Audience,
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "iss" => Refused::Issuer,
            "aud" => Refused::Audience,
            _ => Refused::Time,
        },
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => Refused::Algorithm,
        _ => Refused::Malformed,
    }
}
