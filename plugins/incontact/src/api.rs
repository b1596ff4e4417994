//! CXone's API: discovery, addresses, versions, and what each kind of answer means.
//!
//! Owns: when a request may be made again. A request that may have been carried out is never repeated; reading is. Its
//! failures carry the protocol's code, with CXone's own words as context.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::Method;
use jackfield_plugin_api::{Code, Failure, PlatformHost};
use serde_json::Value;

use crate::{
    backoff::Backoff,
    circuit::Circuit,
    http::{Body, Http, Outgoing, Reply, Trouble, query},
    settings::Settings,
    token::{Claims, Key, Tokens},
};

/// The longest `Retry-After` that a request waits for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The API of one tenant.
pub(crate) struct Api {
    pub(crate) settings: Settings,
    pub(crate) circuit: Circuit,
    http: Http,
    tokens: Tokens,
    host: PlatformHost,
    found: Mutex<Option<Arc<Found>>>,
}

/// What discovery found.
struct Found {
    token: String,
    api: String,
}

/// A group of calls: they share a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Session,
    Interaction,
    Phone,
    Admin,
    Realtime,
    Signal,
}

impl Group {
    const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Interaction => "interaction",
            Self::Phone => "phone",
            Self::Admin => "admin",
            Self::Realtime => "realtime",
            Self::Signal => "signal",
        }
    }
}

/// Why a call did not succeed.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// The platform said no.
    Answered {
        /// HTTP status.
        status: u16,
        /// CXone's code and words.
        words: String,
    },
    /// It may have been carried out, or not.
    Unknown(String),
    /// It was not carried out: nobody could be asked.
    NotAsked(Failure),
}

impl Refusal {
    /// What the desktop is told.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::NotAsked(failure) => failure.clone(),
            Self::Unknown(why) => {
                Failure::new(Code::Timeout, "the connection to CXone broke; the outcome is unknown").context(why)
            }
            Self::Answered { status, words } => {
                let (code, message) = match status {
                    401 => (Code::Unauthorized, "CXone does not accept the agent's token"),
                    403 => (Code::Forbidden, "CXone does not permit it"),
                    404 => (Code::NotFound, "CXone does not know it"),
                    409 => (Code::InvalidState, "CXone is not in a state for it"),
                    429 => (Code::RateLimited, "CXone limits the rate of requests"),
                    502..=504 => (Code::LinkDown, "CXone is not available"),
                    _ => (Code::Rejected, "CXone refused it"),
                };
                Failure::new(code, message).context(format!("CXone: {status} {words}"))
            }
        }
    }

    /// The status of the answer, if there was one.
    pub(crate) const fn status(&self) -> Option<u16> {
        if let Self::Answered { status, .. } = self { Some(*status) } else { None }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure()
    }
}

/// A call.
pub(crate) struct Call<'a> {
    pub(crate) group: Group,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    /// Parameters: in the query of a GET and a DELETE, in the body of a POST.
    pub(crate) params: Value,
    pub(crate) patience: Duration,
}

impl Api {
    pub(crate) fn new(settings: Settings, http: Http, host: PlatformHost) -> Self {
        let timing = &settings.timing;
        let tokens = Tokens::new(
            http.clone(),
            &settings.client_id,
            &settings.client_secret,
            timing.renew_ahead(),
            timing.request(),
        );
        let circuit = Circuit::new(host.clone(), timing.failures_until_down);
        Self { settings, circuit, http, tokens, host, found: Mutex::new(None) }
    }

    fn found(&self) -> Option<Arc<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the link: looks for the platform while it is not reached. Never returns.
    pub(crate) async fn keep(&self) {
        let mut backoff = Backoff::default();
        loop {
            self.circuit.until(false).await;
            match self.probe().await {
                Ok(()) => {
                    backoff.reset();
                    self.circuit.close();
                }
                Err(why) => {
                    self.circuit.stays_open(&why);
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn probe(&self) -> Result<(), String> {
        let found = match self.found() {
            Some(found) => found,
            None => self.discover().await?,
        };
        // Without a token it is refused, and that is an answer.
        let url = format!("{}/inContactAPI/services/v{}.0/business-unit", found.api, self.settings.versions.admin);
        let reply = self.get(url).await?;
        if reply.status >= 500 { Err(format!("status {}", reply.status)) } else { Ok(()) }
    }

    async fn get(&self, url: String) -> Result<Reply, String> {
        let outgoing = Outgoing { method: Method::GET, url, authorization: None, body: Body::None };
        self.http.send(&outgoing, self.settings.timing.request()).await.map_err(|trouble| trouble.to_string())
    }

    async fn document(&self, url: String) -> Result<Value, String> {
        let reply = self.get(url.clone()).await?;
        if reply.status == 200 { Ok(reply.body) } else { Err(format!("{url}: status {}", reply.status)) }
    }

    async fn discover(&self) -> Result<Arc<Found>, String> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let openid = self.document(format!("{issuer}/.well-known/openid-configuration")).await?;
        let tenant = query(&[("tenantId".to_owned(), self.settings.tenant_id.clone())]);
        let cxone = self.document(format!("{issuer}/.well-known/cxone-configuration?{tenant}")).await?;
        let text = |document: &Value, name: &str| {
            document[name].as_str().map(str::to_owned).ok_or(format!("discovery names no {name}"))
        };
        let api = text(&cxone, "api_endpoint")?.trim_end_matches('/').to_owned();
        let found = Arc::new(Found { token: text(&openid, "token_endpoint")?, api });
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    async fn place(&self) -> Result<Arc<Found>, Failure> {
        if let Some(found) = self.found() {
            return Ok(found);
        }
        self.discover().await.map_err(|why| Failure::new(Code::LinkDown, "CXone cannot be reached").context(why))
    }

    /// Checks an access key; its user must be of this tenant.
    ///
    /// # Errors
    /// `unauthorized`, `link_down`.
    pub(crate) async fn log_in(&self, key: &Key) -> Result<Claims, Failure> {
        let found = self.place().await?;
        let claims = self.tokens.log_in(&found.token, key).await?;
        if claims.tenant == self.settings.tenant_id {
            return Ok(claims);
        }
        let failure = Failure::new(Code::Unauthorized, "the access key is not one of this tenant");
        Err(failure.context("CXone: the id token names another tenant"))
    }

    /// Makes a call and gives the answer's status and body: 200 to 299, and 304.
    pub(crate) async fn call(&self, key: &Key, call: Call<'_>) -> Result<(u16, Value), Refusal> {
        let outcome = self.call_with_retries(key, &call).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(Refusal::Answered { status: 429, .. }) => "limited",
            Err(Refusal::Answered { status: 500.., .. }) => "error",
            Err(Refusal::Answered { .. }) => "refused",
            Err(Refusal::Unknown(_)) => "unknown",
            Err(Refusal::NotAsked(_)) => "not_asked",
        };
        self.host.metric("requests_total", &[call.group.name(), word], 1.0);
        outcome
    }

    async fn call_with_retries(&self, key: &Key, call: &Call<'_>) -> Result<(u16, Value), Refusal> {
        self.circuit.check().map_err(Refusal::NotAsked)?;
        let (mut backoff, mut renewed, mut waited) = (Backoff::default(), false, Duration::ZERO);
        loop {
            let (token, sent) = self.send(key, call).await?;
            let read = call.method == Method::GET && !call.path.ends_with("/get-next-event");
            let refusal = match sent {
                Ok(reply) => {
                    if reply.status >= 500 {
                        self.circuit.failed(&format!("status {}", reply.status));
                    } else {
                        self.circuit.worked();
                    }
                    match reply.status {
                        200..=299 | 304 => return Ok((reply.status, reply.body)),
                        401 if !renewed => {
                            renewed = true;
                            self.tokens.refused(key, &token);
                            continue;
                        }
                        // Limited means: not carried out. Waiting is as good for a command as for a question.
                        429 | 503 if reply.retry_after.is_some_and(|wait| waited + wait <= LONGEST_WAIT) => {
                            let wait = reply.retry_after.unwrap_or_default();
                            waited += wait.max(Duration::from_millis(100));
                            tokio::time::sleep(wait).await;
                            continue;
                        }
                        status => Refusal::Answered { status, words: words(&reply.body) },
                    }
                }
                Err(trouble) => {
                    self.circuit.failed(&trouble.to_string());
                    match trouble {
                        Trouble::Unknown(why) => Refusal::Unknown(why),
                        Trouble::NotSent(why) => {
                            Refusal::NotAsked(Failure::new(Code::LinkDown, "CXone cannot be reached").context(why))
                        }
                    }
                }
            };
            let again = read && refusal.status().is_none_or(|status| status >= 500);
            if !again || backoff.failed() == 2 {
                return Err(refusal);
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn send(&self, key: &Key, call: &Call<'_>) -> Result<(String, Result<Reply, Trouble>), Refusal> {
        let found = self.place().await.map_err(Refusal::NotAsked)?;
        let token = match self.tokens.bearer(&found.token, key).await {
            Ok(token) => token,
            Err(failure) => {
                if failure.code == Code::LinkDown {
                    self.circuit.failed(failure.context.as_deref().unwrap_or("no token"));
                }
                return Err(Refusal::NotAsked(failure));
            }
        };
        let mut url = format!("{}/inContactAPI/services/v{}.0/{}", found.api, self.version(call.group), call.path);
        let mut body = Body::None;
        if call.method == Method::POST {
            body = Body::Json(call.params.clone());
        } else if let Some(params) = call.params.as_object().filter(|params| !params.is_empty()) {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let pairs: Vec<_> = params.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            url = format!("{url}?{}", query(&pairs));
        }
        let authorization = Some(format!("Bearer {token}"));
        let outgoing = Outgoing { method: call.method.clone(), url, authorization, body };
        let sent = self.http.send(&outgoing, call.patience).await;
        Ok((token, sent))
    }

    const fn version(&self, group: Group) -> u16 {
        let versions = &self.settings.versions;
        match group {
            Group::Session => versions.session,
            Group::Interaction => versions.interaction,
            Group::Phone => versions.phone,
            Group::Admin => versions.admin,
            Group::Realtime => versions.realtime,
            Group::Signal => versions.signal,
        }
    }
}

/// CXone's code and words.
fn words(body: &Value) -> String {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let description = ["errorDescription", "error_description", "error_Description"].map(text);
    let description = description.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    format!("{} {description}", text("error")).trim().chars().take(300).collect()
}

/// The list in an answer: the body itself, or its first member that is one. CXone wraps lists under many names.
pub(crate) fn list(body: Value) -> Vec<Value> {
    match body {
        Value::Array(list) => list,
        Value::Object(members) => {
            let lists = members.into_iter().filter_map(|(_, value)| match value {
                Value::Array(list) => Some(list),
                _ => None,
            });
            lists.max_by_key(Vec::len).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
