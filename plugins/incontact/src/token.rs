//! One cache of tokens for a tenant: granted by access key, renewed ahead of their end, asked for once at a time.
//!
//! Must never: let a secret or a token into a log, an error or a context.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hyper::Method;
use jackfield_plugin_api::{Code, Failure, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    api::count,
    http::{Body, Http, Outgoing, Reply, Trouble},
};

/// What tokens are granted for: an access key, or a user who has signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Its id; of a signed-in user `signed-in:` and his number.
    pub(crate) id: String,
    /// Its secret; of a signed-in user his refresh token.
    pub(crate) secret: Secret,
    /// He has signed in: there is no password to fall back on.
    #[serde(default)]
    pub(crate) signed_in: bool,
}

impl Key {
    /// An access key.
    pub(crate) const fn access(id: String, secret: Secret) -> Self {
        Self { id, secret, signed_in: false }
    }
}

/// Who a token belongs to, as the id token says. It came straight from the issuer over TLS, so its signature is not
/// what it is trusted for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The agent's number.
    pub(crate) agent: String,
    /// The tenant.
    pub(crate) tenant: String,
    /// What else the user goes by.
    names: Vec<String>,
}

impl Claims {
    /// Whether the user goes by this name: his number, his e-mail address, his login.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.agent == name || self.names.iter().any(|one| one.eq_ignore_ascii_case(name))
    }
}

#[derive(Clone)]
struct Token {
    access: String,
    refresh: Option<String>,
    renew_at: Instant,
}

/// The tokens of one access key.
struct Slot {
    /// One grant at a time; the others wait for it and use what it brought.
    turn: Semaphore,
    token: Mutex<Option<Token>>,
}

/// All tokens of a tenant.
pub(crate) struct Tokens {
    http: Http,
    client: String,
    basic: String,
    renew_ahead: Duration,
    patience: Duration,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

fn open<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tokens {
    /// No tokens yet.
    pub(crate) fn new(http: Http, client: &str, secret: &Secret, renew_ahead: Duration, patience: Duration) -> Self {
        let basic = format!("Basic {}", BASE64.encode(format!("{client}:{}", secret.reveal()).as_bytes()));
        Self { http, client: client.to_owned(), basic, renew_ahead, patience, slots: Mutex::default() }
    }

    fn slot(&self, key: &str) -> Arc<Slot> {
        let new = || Arc::new(Slot { turn: Semaphore::new(1), token: Mutex::new(None) });
        open(&self.slots).entry(key.to_owned()).or_insert_with(new).clone()
    }

    /// Checks an access key by asking for a token with it, whatever is cached.
    ///
    /// # Errors
    /// `unauthorized` for a wrong key, `link_down` where the token endpoint cannot be asked.
    pub(crate) async fn log_in(&self, endpoint: &str, key: &Key) -> Result<Claims, Failure> {
        let (token, claims) = self.grant(endpoint, password(key)).await?;
        *open(&self.slot(&key.id).token) = Some(token);
        Ok(claims)
    }

    /// A token for a key: the cached one, or a new one.
    ///
    /// # Errors
    /// As [`log_in`](Self::log_in).
    pub(crate) async fn bearer(&self, endpoint: &str, key: &Key) -> Result<String, Failure> {
        let slot = self.slot(&key.id);
        let fresh = |slot: &Slot| open(&slot.token).clone().filter(|token| token.renew_at > Instant::now());
        if let Some(token) = fresh(&slot) {
            return Ok(token.access);
        }
        let Ok(_turn) = slot.turn.acquire().await else {
            return Err(Failure::new(Code::Internal, "the token cache was closed"));
        };
        if let Some(token) = fresh(&slot) {
            return Ok(token.access);
        }
        let refresh = open(&slot.token).as_ref().and_then(|token| token.refresh.clone());
        let refresh = refresh.or_else(|| key.signed_in.then(|| key.secret.reveal().to_owned()));
        let old = refresh.clone();
        let renewed = match refresh {
            Some(refresh) => self.grant(endpoint, renewal(refresh)).await,
            None => Err(Failure::new(Code::Unauthorized, "no refresh token")),
        };
        let (mut token, _) = match renewed {
            Ok(renewed) => renewed,
            // Whatever the refresh token is refused for: the access key is good for another one.
            Err(_) if !key.signed_in => self.grant(endpoint, password(key)).await?,
            Err(failure) if failure.code == Code::Unauthorized => {
                let again = Failure::new(Code::Unauthorized, "the agent must sign in at CXone again");
                return Err(again.context(failure.context.unwrap_or_default()));
            }
            Err(failure) => return Err(failure),
        };
        // A refresh token that is not replaced is still good.
        token.refresh = token.refresh.or(old);
        let access = token.access.clone();
        *open(&slot.token) = Some(token);
        Ok(access)
    }

    /// Makes a code into a key of the user who has signed in.
    ///
    /// # Errors
    /// `unauthorized` for a wrong code, `link_down` where the token endpoint cannot be asked.
    pub(crate) async fn redeem(
        &self,
        endpoint: &str,
        code: &str,
        verifier: &str,
        redirect: &str,
    ) -> Result<(Key, Claims), Failure> {
        let form = form([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("client_id", &self.client),
            ("code_verifier", verifier),
        ]);
        let (token, claims) = self.grant(endpoint, form).await?;
        let secret = Secret::new(token.refresh.clone().unwrap_or_default());
        let key = Key { id: format!("signed-in:{}", claims.agent), secret, signed_in: true };
        *open(&self.slot(&key.id).token) = Some(token);
        Ok((key, claims))
    }

    /// A key as it should be kept.
    pub(crate) fn current(&self, key: &Key) -> Key {
        let newest = open(&self.slot(&key.id).token).as_ref().and_then(|token| token.refresh.clone());
        match newest {
            Some(newest) if key.signed_in => Key { secret: Secret::new(newest), ..key.clone() },
            _ => key.clone(),
        }
    }

    /// The platform did not take this token: the next request gets a new one.
    pub(crate) fn refused(&self, key: &Key, access: &str) {
        let slot = self.slot(&key.id);
        let mut token = open(&slot.token);
        if let Some(token) = token.as_mut().filter(|token| token.access == access) {
            token.renew_at = Instant::now();
        }
    }

    async fn grant(&self, endpoint: &str, form: Vec<(String, String)>) -> Result<(Token, Claims), Failure> {
        let outgoing = Outgoing {
            method: Method::POST,
            url: endpoint.to_owned(),
            authorization: Some(self.basic.clone()),
            body: Body::Form(form),
        };
        match self.http.send(&outgoing, self.patience).await {
            Ok(reply) if matches!(reply.status, 200..=299) => self.read(&reply),
            Ok(Reply { status: status @ (400 | 401 | 403), body, .. }) => {
                let word = body["error"].as_str().unwrap_or_default();
                let failure = Failure::new(Code::Unauthorized, "CXone does not accept the credentials");
                Err(failure.context(format!("CXone: {status} {word} at the token endpoint")))
            }
            Ok(reply) => Err(no_token(&format!("status {}", reply.status))),
            Err(Trouble::NotSent(why) | Trouble::Unknown(why)) => Err(no_token(&why)),
        }
    }

    fn read(&self, reply: &Reply) -> Result<(Token, Claims), Failure> {
        let text = |name: &str| reply.body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(access) = text("access_token") else {
            return Err(no_token("the answer has no access_token"));
        };
        let life = count(&reply.body["expires_in"]).unwrap_or(3600);
        // A short life is not renewed all the time: at the earliest at half of it.
        let life = Duration::from_secs(life);
        let renew_at = Instant::now() + life.saturating_sub(self.renew_ahead).max(life / 2);
        // Where there is no id token the access token itself says whose it is.
        let claims = Claims::read(text("id_token").as_ref().unwrap_or(&access));
        Ok((Token { access, refresh: text("refresh_token"), renew_at }, claims))
    }
}

fn no_token(why: &str) -> Failure {
    Failure::new(Code::LinkDown, "CXone's token endpoint cannot be asked").context(why)
}

fn form<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn password(key: &Key) -> Vec<(String, String)> {
    form([("grant_type", "password"), ("username", &key.id), ("password", key.secret.reveal())])
}

fn renewal(refresh: String) -> Vec<(String, String)> {
    form([("grant_type", "refresh_token"), ("refresh_token", &refresh)])
}

impl Claims {
    fn read(token: &str) -> Self {
        let payload = token.split('.').nth(1).map(|part| part.trim_end_matches('='));
        let payload = payload.and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
        let claims: Value = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let text = |name: &str| match &claims[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let names = ["email", "preferred_username", "userName", "name"].map(text);
        let names = names.into_iter().filter(|name| !name.is_empty()).collect();
        Self { agent: text("icAgentId"), tenant: text("tenantId"), names }
    }
}
