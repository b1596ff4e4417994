//! CXone's API: discovery, addresses, versions, and what each kind of answer means.
//!
//! Owns: when a request may be made again. A request that may have been carried out is never repeated; reading is. Its
//! failures carry the protocol's code, with CXone's own words as context.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::Method;
use jackfield_plugin_api::{Backoff, Code, Failure, PlatformHost};
use serde_json::Value;

use crate::{
    circuit::Circuit,
    http::{Body, Http, Outgoing, Reply, Trouble, query},
    settings::Settings,
    token::{Claims, Key, Tokens},
};

/// The pauses between attempts; with jitter, so that many agents do not come back in the same moment.
pub(crate) const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15)).with_jitter();

/// The longest `Retry-After` that a request waits for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Pages of a list that are read at most: CXone is not believed to have more of anything.
const MOST_PAGES: usize = 200;

/// A list that came in pages.
pub(crate) struct Pages {
    pub(crate) items: Vec<Value>,
    /// The first page's answer: what stands beside the list.
    pub(crate) answer: Value,
}

/// The API of one tenant.
pub(crate) struct Api {
    pub(crate) settings: Settings,
    pub(crate) circuit: Circuit,
    http: Http,
    tokens: Tokens,
    host: PlatformHost,
    found: Mutex<Option<Arc<Found>>>,
    /// Where the API is for each key, as `/token/whoami` has told; `None`: it does not say.
    bases: Mutex<HashMap<String, Option<String>>>,
}

/// What discovery found.
struct Found {
    authorize: Option<String>,
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
    /// `stop-record`, which only the oldest version has.
    StopRecord,
    Conference,
    /// Setting a disposition.
    Disposition,
    /// Reading a skill's dispositions and tags, which agents may do in old versions only.
    Dispositions,
    Scripts,
    /// The list of scripts where the older one is gone.
    ScriptSearch,
    Voicemail,
    /// The list of callbacks.
    Callbacks,
    /// What an agent does about one of them.
    CallbackCalls,
}

impl Group {
    const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Interaction
            | Self::StopRecord
            | Self::Conference
            | Self::Disposition
            | Self::Voicemail
            | Self::CallbackCalls => "interaction",
            Self::Phone => "phone",
            Self::Admin | Self::Dispositions | Self::Scripts | Self::ScriptSearch | Self::Callbacks => "admin",
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
        Self { settings, circuit, http, tokens, host, found: Mutex::new(None), bases: Mutex::default() }
    }

    fn found(&self) -> Option<Arc<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the link: looks for the platform while it is not reached. Never returns.
    pub(crate) async fn keep(&self) {
        let mut backoff = RETRY;
        loop {
            self.circuit.until(false).await;
            match self.probe().await {
                Ok(()) => {
                    backoff.reset();
                    // What could not be reached may be there again.
                    self.bases().clear();
                    self.circuit.close();
                }
                Err(why) => {
                    self.circuit.stays_open(&why);
                    tokio::time::sleep(backoff.next_pause()).await;
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
            let address = text(document, name);
            match address.is_empty() {
                true => Err(format!("discovery names no {name}")),
                // A path is one at the issuer.
                false if address.starts_with('/') => Ok(format!("{issuer}{address}")),
                false => Ok(address.trim_end_matches('/').to_owned()),
            }
        };
        let api = without_api(&text(&cxone, "api_endpoint")?).to_owned();
        let authorize = text(&openid, "authorization_endpoint").ok();
        let found = Arc::new(Found { authorize, token: text(&openid, "token_endpoint")?, api });
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
        self.of_this_tenant(claims)
    }

    fn of_this_tenant(&self, claims: Claims) -> Result<Claims, Failure> {
        if claims.tenant.eq_ignore_ascii_case(&self.settings.tenant_id) {
            return Ok(claims);
        }
        let failure = Failure::new(Code::Unauthorized, "the user is not one of this tenant");
        Err(failure.context("CXone: the id token names another tenant"))
    }

    /// The page where a user signs in, for an application with this challenge.
    ///
    /// # Errors
    /// `link_down`; `unsupported`: discovery names no such page.
    pub(crate) async fn sign_in_page(&self, redirect: &str, state: &str, challenge: &str) -> Result<String, Failure> {
        let found = self.place().await?;
        let unsupported = || Failure::new(Code::Unsupported, "CXone names no page to sign in at");
        let page = found.authorize.as_ref().ok_or_else(unsupported)?;
        let parameters = [
            ("client_id", self.settings.client_id.as_str()),
            ("redirect_uri", redirect),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", state),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            ("tenantId", &self.settings.tenant_id),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(format!("{page}?{}", query(&parameters)))
    }

    /// Makes a code from that page into a key.
    ///
    /// # Errors
    /// `unauthorized`, `link_down`.
    pub(crate) async fn redeem(&self, code: &str, verifier: &str, redirect: &str) -> Result<(Key, Claims), Failure> {
        let found = self.place().await?;
        let (key, claims) = self.tokens.redeem(&found.token, code, verifier, redirect).await?;
        Ok((key, self.of_this_tenant(claims)?))
    }

    /// A key as it should be kept: a signed-in user's has another secret after each renewal.
    pub(crate) fn current(&self, key: &Key) -> Key {
        self.tokens.current(key)
    }

    /// How long a poll may wait. The whole minute is for who was told where the API is; the general address may cut in
    /// earlier.
    pub(crate) fn poll_seconds(&self, key: &Key) -> u64 {
        let most = if self.known_base(key).flatten().is_some() { 60 } else { 30 };
        self.settings.timing.poll().min(most)
    }

    fn bases(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_base(&self, key: &Key) -> Option<Option<String>> {
        self.bases().get(&key.id).cloned()
    }

    /// The address that whoami has told cannot be reached from here: the general one is used. Whether that is another.
    fn leave_base(&self, key: &Key) -> bool {
        self.bases().insert(key.id.clone(), None).flatten().is_some()
    }

    /// Where the API is for this key. It is asked once; who does not say is found at the general address.
    async fn base(&self, found: &Found, key: &Key, token: &str) -> String {
        let known = match self.known_base(key) {
            Some(known) => known,
            None => {
                let told = self.ask_base(found, token).await;
                self.bases().entry(key.id.clone()).or_insert(told).clone()
            }
        };
        known.unwrap_or_else(|| found.api.clone())
    }

    async fn ask_base(&self, found: &Found, token: &str) -> Option<String> {
        let outgoing = Outgoing {
            method: Method::GET,
            url: format!("{}/whoami", found.token),
            authorization: Some(format!("Bearer {token}")),
            body: Body::None,
        };
        let reply = self.http.send(&outgoing, self.settings.timing.request()).await.ok()?;
        let told = text(inside(&reply.body), "resource_server_base_uri");
        let base = Some(without_api(&told)).filter(|base| reply.status == 200 && !base.is_empty())?;
        // A token must not be sent where the issuer's own may not be.
        crate::settings::is_safe(base).then(|| base.to_owned())
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

    /// Reads a list that comes in pages, all of them.
    pub(crate) async fn all_pages(&self, key: &Key, group: Group, path: &str, params: Value) -> Result<Pages, Refusal> {
        let mut pages = Pages { items: Vec::new(), answer: Value::Null };
        let (mut asked, mut last) = (params.clone(), Vec::new());
        for _ in 0..MOST_PAGES {
            let patience = self.settings.timing.request();
            let call = Call { group, method: Method::GET, path, params: asked, patience };
            let (_, answer) = self.call(key, call).await?;
            let said = inside(&answer);
            let (total, next) = (count(&said["totalRecords"]), next_page(said));
            let book = &inside(&answer)["addressBook"]["addressBookEntries"];
            let page = list(if book.is_array() { book.clone() } else { answer.clone() });
            if pages.answer.is_null() {
                pages.answer = answer;
            }
            // A CXone that knows no pages under this path gives the same one again.
            let again = page.is_empty() || page == last;
            if !again {
                pages.items.extend_from_slice(&page);
            }
            // Either says that there is more; one that says so and gives nothing is not asked again.
            let got = pages.items.len() as u64;
            if again || next.is_none() && total.is_none_or(|total| got >= total) {
                break;
            }
            asked = params.clone();
            asked["skip"] = Value::from(got);
            // The link knows better how CXone counts, and whether it wants to be told where it has stopped.
            for (name, value) in next.into_iter().flatten() {
                asked[name] = Value::from(value);
            }
            last = page;
        }
        Ok(pages)
    }

    async fn call_with_retries(&self, key: &Key, call: &Call<'_>) -> Result<(u16, Value), Refusal> {
        self.circuit.check().map_err(Refusal::NotAsked)?;
        let (mut backoff, mut renewed, mut waited) = (RETRY, false, Duration::ZERO);
        loop {
            let (token, sent) = self.send(key, call).await?;
            let read = call.method == Method::GET && !call.path.ends_with("/get-next-event");
            let refusal = match sent {
                Ok(reply) => {
                    match reply.status {
                        // One request of CXone's went wrong, or it is not there at all: who else is refused tells.
                        500.. => self.circuit.failed(&format!("status {}", reply.status), Some(call.path)),
                        _ => self.circuit.worked(),
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
                // It has not been sent, so it can be sent elsewhere.
                Err(Trouble::NotSent(_)) if self.leave_base(key) => continue,
                Err(trouble) => {
                    self.circuit.failed(&trouble.to_string(), None);
                    match trouble {
                        Trouble::Unknown(why) => Refusal::Unknown(why),
                        Trouble::NotSent(why) => {
                            Refusal::NotAsked(Failure::new(Code::LinkDown, "CXone cannot be reached").context(why))
                        }
                    }
                }
            };
            let again = read && refusal.status().is_none_or(|status| status >= 500);
            if !again || backoff.failures() == 2 {
                return Err(refusal);
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn send(&self, key: &Key, call: &Call<'_>) -> Result<(String, Result<Reply, Trouble>), Refusal> {
        let found = self.place().await.map_err(Refusal::NotAsked)?;
        let token = match self.tokens.bearer(&found.token, key).await {
            Ok(token) => token,
            Err(failure) => {
                if failure.code == Code::LinkDown {
                    self.circuit.failed(failure.context.as_deref().unwrap_or("no token"), None);
                }
                return Err(Refusal::NotAsked(failure));
            }
        };
        let base = self.base(&found, key, &token).await;
        let mut url = format!("{base}/inContactAPI/services/v{}.0/{}", self.version(call.group), call.path);
        // The documents have the parameters of a DELETE in its query, NICE's own client has them in a body: here in both.
        let body = if call.method == Method::GET { Body::None } else { Body::Json(call.params.clone()) };
        let in_query = call.params.as_object().filter(|params| call.method != Method::POST && !params.is_empty());
        if let Some(params) = in_query {
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
            Group::StopRecord => versions.stop_record,
            Group::Conference => versions.conference,
            Group::Disposition => versions.disposition,
            Group::Dispositions => versions.dispositions,
            Group::Scripts => versions.scripts,
            Group::ScriptSearch => versions.script_search,
            Group::Voicemail => versions.voicemail,
            Group::Callbacks => versions.callbacks,
            Group::CallbackCalls => versions.callback_calls,
        }
    }
}

/// An address without the path of the API and all that follows it, and without a slash at its end.
fn without_api(address: &str) -> &str {
    let at = address.to_ascii_lowercase().find("/incontactapi").unwrap_or(address.len());
    address[..at].trim_end_matches('/')
}

/// What the link to the next page asks for, where there is one.
fn next_page(answer: &Value) -> Option<Vec<(String, String)>> {
    let next = &answer["_links"]["next"];
    let link = next.as_str().or_else(|| next["href"].as_str()).filter(|link| !link.is_empty())?;
    let query = link.split_once('?').map_or("", |(_, query)| query);
    Some(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

/// CXone's code and words.
fn words(body: &Value) -> String {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let description = ["error_description", "errorDescription", "error_Description", "message", "Message"].map(text);
    let description = description.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    // Some errors are objects themselves.
    let error = if body["error"].is_object() { words(&body["error"]) } else { text("error") };
    format!("{error} {description}").trim().chars().take(300).collect()
}

/// What an answer says: newer versions wrap it once more in a `resultSet`.
pub(crate) fn inside(answer: &Value) -> &Value {
    Some(&answer["resultSet"]).filter(|inner| inner.is_object() || inner.is_array()).unwrap_or(answer)
}

/// The session id in an answer.
pub(crate) fn session_id(answer: &Value) -> Option<String> {
    let inside = inside(answer);
    ["sessionId", "SessionId"].into_iter().map(|name| text(inside, name)).find(|id| !id.is_empty())
}

/// The list in an answer: the body itself, or its longest member that is one. CXone wraps lists under many names, and
/// some of those once more in a `resultSet`.
pub(crate) fn list(mut body: Value) -> Vec<Value> {
    if inside(&body) != &body {
        body = body["resultSet"].take();
    }
    match body {
        Value::Array(list) => list,
        Value::Object(members) => {
            // Links to other pages are no list of what was asked for.
            let lists = members.into_iter().filter_map(|(name, value)| match value {
                Value::Array(list) if !name.starts_with('_') => Some(list),
                _ => None,
            });
            lists.max_by_key(Vec::len).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Text or number of an answer as text; empty where it is neither.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}

/// A boolean of an answer, which may be a text too.
pub(crate) fn truth(value: &Value, name: &str) -> bool {
    text(value, name).eq_ignore_ascii_case("true")
}

/// Whether something is active: what says nothing of that is.
pub(crate) fn active(value: &Value) -> bool {
    !text(value, "isActive").eq_ignore_ascii_case("false")
}

/// A number of an answer, which may be a text too.
pub(crate) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{list, next_page, session_id, without_api, words};

    #[test]
    fn lists_are_found_under_whatever_name_and_in_a_result_set() {
        for body in [json!([1]), json!({"scripts": [1]}), json!({"resultSet": {"scripts": [1]}, "other": [2, 3]})] {
            assert_eq!(list(body), [json!(1)]);
        }
        assert!(list(json!(null)).is_empty());
    }

    #[test]
    fn links_to_other_pages_are_no_list() {
        assert_eq!(list(json!({"skills": [1], "_links": [{"rel": "next"}, {"rel": "self"}]})), [json!(1)]);
    }

    #[test]
    fn the_next_page_is_what_its_link_asks_for() {
        let link = "https://api.example/inContactAPI/services/v23.0/agents?skip=100&token=a%2Fb";
        let asked = vec![("skip".to_owned(), "100".to_owned()), ("token".to_owned(), "a/b".to_owned())];
        assert_eq!(next_page(&json!({"_links": {"next": link}})), Some(asked));
        for none in [json!({}), json!({"_links": {"next": ""}}), json!({"_links": {"next": null}})] {
            assert_eq!(next_page(&none), None);
        }
    }

    #[test]
    fn a_session_id_may_be_a_number_and_in_a_result_set() {
        let answers = [json!({"sessionId": 7}), json!({"SessionId": "7"}), json!({"resultSet": {"sessionId": "7"}})];
        assert!(answers.iter().all(|answer| session_id(answer).as_deref() == Some("7")));
        assert_eq!(session_id(&json!({"sessionId": null})), None);
    }

    #[test]
    fn a_base_address_is_what_stands_before_the_path_of_the_api() {
        for address in ["https://api.example", "https://api.example/", "https://api.example/InContactAPI/services/"] {
            assert_eq!(without_api(address), "https://api.example");
        }
        assert_eq!(without_api("http://127.0.0.1:1/acd/inContactAPI/"), "http://127.0.0.1:1/acd");
    }

    #[test]
    fn cxones_words_are_found_under_all_their_names() {
        for name in ["error_description", "errorDescription", "message"] {
            assert_eq!(words(&json!({"error": "Code", name: "in use"})), "Code in use");
        }
    }
}
