//! Who may come in to a tenant.
//!
//! Owns: the check of what a client presents against the tenant's `[auth]`. Must never: keep, log or compare a token in a
//! way that tells how much of it was right, or tell a client why it was refused. The server asks before it upgrades or
//! answers anything.
//!
//! ```text
//! jwt.rs            one JSON Web Token against the tenant's rules
//! jwks.rs           the keys that verify them
//! agent_tokens.rs   short-lived tokens of one agent each
//! ```

mod agent_tokens;
mod jwks;
mod jwt;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub(crate) use self::agent_tokens::{
    LONGEST as LONGEST_AGENT_TOKEN, PREFIX as AGENT_TOKEN_PREFIX, USUAL as USUAL_AGENT_TOKEN,
};
use self::{
    agent_tokens::{AgentTokens, Issued},
    jwks::KeyStore,
    jwt::Refused,
};
use crate::{
    config::{Auth, JwtRules, Token},
    session::Identity,
};

/// What is kept of a token.
#[must_use]
pub(crate) fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A client that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// By what it was let in.
    pub admission: Admission,
}

/// By what a client was let in: enough to say later whether it still would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admission {
    proof: Proof,
    /// When that ends, if it does.
    pub(super) until: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    /// Everybody is let in.
    None,
    /// A token of the tenant's file, by its hash.
    Token([u8; 32]),
    /// An agent's short-lived token, by its hash.
    AgentToken([u8; 32]),
    /// A JSON Web Token, by the rules that it was checked by.
    Jwt(Arc<JwtRules>),
}

/// What lets clients in to one tenant.
pub(super) struct Authenticator {
    tenant: Box<str>,
    rules: Auth,
    /// For `kind = "jwt"`.
    jwt: Option<(Arc<JwtRules>, KeyStore)>,
    issued: Arc<AgentTokens>,
}

impl Authenticator {
    pub(super) fn new(tenant: &str, rules: Auth) -> Self {
        Self::with(tenant, rules, Arc::default())
    }

    /// One that goes by other rules, for which the agents' tokens of this one go on to count.
    pub(super) fn changed(&self, rules: Auth) -> Self {
        Self::with(&self.tenant, rules, Arc::clone(&self.issued))
    }

    fn with(tenant: &str, rules: Auth, issued: Arc<AgentTokens>) -> Self {
        let jwt = match &rules {
            Auth::Jwt(rules) => Some((Arc::new(rules.clone()), KeyStore::new(tenant, rules.keys.clone()))),
            Auth::None | Auth::Tokens(_) => None,
        };
        Self { tenant: tenant.into(), rules, jwt, issued }
    }

    /// The rules that it goes by.
    pub(super) fn rules(&self) -> &Auth {
        &self.rules
    }

    /// Who presents this, if it may come in.
    pub(super) async fn identify(&self, presented: Option<&str>) -> Option<Admitted> {
        match (&self.rules, &self.jwt) {
            (Auth::None, _) => {
                let admission = Admission { proof: Proof::None, until: None };
                Some(Admitted { identity: Identity::Anyone, admission })
            }
            (Auth::Tokens(tokens), _) => self.by_token(tokens, presented?),
            (Auth::Jwt(_), Some((rules, keys))) => match self.by_jwt(rules, keys, presented?).await {
                Ok(admitted) => Some(admitted),
                Err(refused) => {
                    tracing::debug!(tenant = %self.tenant, reason = refused.as_str(), "a token is refused");
                    None
                }
            },
            (Auth::Jwt(_), None) => None,
        }
    }

    fn by_token(&self, tokens: &[Token], presented: &str) -> Option<Admitted> {
        let hash = hash_token(presented);
        let mut found = None;
        // All are looked at, each to its end, so that time does not tell which was nearly right.
        for token in tokens {
            if bool::from(token.hash.ct_eq(&hash)) {
                found = Some(token);
            }
        }
        if let Some(token) = found {
            let admission = Admission { proof: Proof::Token(hash), until: None };
            return Some(Admitted { identity: Identity::Holder(token.name.as_str().into()), admission });
        }
        let issued = self.issued(tokens, &hash)?;
        let admission = Admission { proof: Proof::AgentToken(hash), until: Some(issued.until) };
        Some(Admitted { identity: Identity::Agent { by: issued.by, agent: issued.agent }, admission })
    }

    /// An agent's token. Whoever asked for it must still have a token of that name: one that is taken away takes its agents'
    /// with it.
    fn issued(&self, tokens: &[Token], hash: &[u8; 32]) -> Option<Issued> {
        self.issued.find(hash).filter(|issued| tokens.iter().any(|token| *token.name == *issued.by))
    }

    /// Whether a client that was let in would be still, its time aside.
    pub(super) fn still_admits(&self, Admission { proof, .. }: &Admission) -> bool {
        match (&self.rules, proof) {
            (Auth::None, Proof::None) => true,
            (Auth::Tokens(tokens), Proof::Token(hash)) => tokens.iter().any(|token| token.hash == *hash),
            (Auth::Tokens(tokens), Proof::AgentToken(hash)) => self.issued(tokens, hash).is_some(),
            // Where the keys are says nothing of whom they let in.
            (Auth::Jwt(now), Proof::Jwt(then)) => *now == JwtRules { keys: now.keys.clone(), ..JwtRules::clone(then) },
            _ => false,
        }
    }

    async fn by_jwt(&self, rules: &Arc<JwtRules>, keys: &KeyStore, presented: &str) -> Result<Admitted, Refused> {
        let bearer = match jwt::verify(presented, &self.tenant, rules, &*keys.current().await) {
            Err(Refused::UnknownKey) => jwt::verify(presented, &self.tenant, rules, &*keys.newest().await),
            other => other,
        }?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(bearer.expires).saturating_sub(now);
        let identity = Identity::Agent { by: rules.issuer.as_str().into(), agent: bearer.agent.into() };
        let admission = Admission { proof: Proof::Jwt(Arc::clone(rules)), until: Instant::now().checked_add(left) };
        Ok(Admitted { identity, admission })
    }

    /// A short-lived token for one agent, asked for by the holder of one for all of them. `None`: there are too many.
    ///
    /// # Errors
    /// Only the holder of a token for all agents may ask.
    pub(super) fn issue(
        &self,
        asking: &Identity,
        agent: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, NotHolder> {
        match asking {
            Identity::Holder(by) => Ok(self.issued.issue(by.clone(), agent, lifetime)),
            Identity::Anyone | Identity::Agent { .. } => Err(NotHolder),
        }
    }
}

/// Whoever asks for an agent's token is not the holder of one for all agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotHolder;

/// As much work as for a tenant that exists, so that time does not tell which do.
pub(super) fn hash_for_nothing(presented: Option<&str>) {
    std::hint::black_box(presented.map(hash_token));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tokens() -> Authenticator {
        let token = |name: &str, text| Token { name: name.to_owned(), hash: hash_token(text) };
        let tokens = vec![token("crm", "jf_1"), token("wallboard", "jf_2"), token("crm", "jf_3")];
        Authenticator::new("acme", Auth::Tokens(tokens))
    }

    async fn identity(auth: &Authenticator, presented: Option<&str>) -> Option<Identity> {
        auth.identify(presented).await.map(|admitted| admitted.identity)
    }

    #[tokio::test]
    async fn a_token_lets_its_owner_in_and_nobody_else() {
        let auth = with_tokens();
        let holder = |name: &str| Some(Identity::Holder(name.into()));
        assert_eq!(identity(&auth, Some("jf_1")).await, holder("crm"));
        assert_eq!(identity(&auth, Some("jf_2")).await, holder("wallboard"));
        assert_eq!(identity(&auth, Some("jf_3")).await, holder("crm"), "a second token of the same owner");
        for wrong in [None, Some(""), Some("jf_"), Some("jf_11"), Some("JF_1")] {
            assert_eq!(identity(&auth, wrong).await, None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_client_would_be_let_in_still_for_as_long_as_its_proof_counts() {
        let auth = with_tokens();
        let admission = async |presented| auth.identify(presented).await.expect("it counts").admission;
        let (first, third) = (admission(Some("jf_1")).await, admission(Some("jf_3")).await);
        let issued = auth.issue(&Identity::Holder("crm".into()), "1001", USUAL_AGENT_TOKEN);
        let agents = admission(Some(&issued.expect("a holder may").expect("there is room"))).await;
        assert!([&first, &third, &agents].into_iter().all(|admission| auth.still_admits(admission)));
        let token = |name: &str, text| Token { name: name.to_owned(), hash: hash_token(text) };
        let rotated = auth.changed(Auth::Tokens(vec![token("crm", "jf_3")]));
        assert!(!rotated.still_admits(&first) && rotated.still_admits(&third), "by the token, not by its name");
        assert!(rotated.still_admits(&agents), "whoever asked for it has a token still");
        let without = auth.changed(Auth::Tokens(vec![token("wallboard", "jf_2")]));
        assert!([&first, &third, &agents].into_iter().all(|admission| !without.still_admits(admission)));
        assert!(!auth.changed(Auth::None).still_admits(&first), "nobody stays by a proof that nobody asks for");
    }

    #[tokio::test]
    async fn without_auth_everybody_is_let_in() {
        let auth = Authenticator::new("acme", Auth::None);
        assert_eq!(identity(&auth, None).await, Some(Identity::Anyone));
        assert_eq!(identity(&auth, Some("anything")).await, Some(Identity::Anyone));
    }

    #[tokio::test]
    async fn a_holder_gets_a_token_for_one_agent_which_gets_none_itself() {
        let auth = with_tokens();
        let holder = identity(&auth, Some("jf_1")).await.expect("the token is right");
        let token = auth.issue(&holder, "1001", USUAL_AGENT_TOKEN).expect("a holder may").expect("there is room");
        let agent = identity(&auth, Some(&token)).await.expect("it counts");
        assert_eq!(agent, Identity::Agent { by: "crm".into(), agent: "1001".into() });
        assert_eq!(auth.issue(&agent, "1002", USUAL_AGENT_TOKEN), Err(NotHolder));
    }
}
