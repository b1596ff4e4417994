//! Sockets, routing, faults: from a connection to the world and back.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll as TaskPoll},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Limited};
use hyper::{
    Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    admin, agent_api, auth, control,
    data::{AgentId, Data},
    faults::What,
    queue::Poll,
    request::{Answer, Request, call_name},
    tls::TlsKey,
    versions,
    world::{Effect, Refusal, SessionRef, World, refuse},
};

/// A running emulator. Dropping it closes everything at once.
pub struct Emulator {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    world: Mutex<World>,
    /// Changes when all connections are to be closed.
    cut: watch::Sender<u64>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Does something to the world and starts what is to happen later.
    fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        let value = act(&mut world);
        let timers = std::mem::take(&mut world.timers);
        drop(world);
        for (delay, effect) in timers {
            self.start(delay, effect);
        }
        value
    }

    fn start(self: &Arc<Self>, delay: Duration, effect: Effect) {
        let shared = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            shared.with(effect);
        });
    }
}

impl Emulator {
    /// Listens on an address; port 0 finds a free one.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start(address: SocketAddr, data: Data) -> std::io::Result<Self> {
        Self::listen(address, data, None).await
    }

    /// The same over TLS.
    ///
    /// # Errors
    /// The address cannot be had; key and certificate cannot be used.
    pub async fn start_with_tls(address: SocketAddr, data: Data, key: TlsKey) -> std::io::Result<Self> {
        Self::listen(address, data, Some(key.acceptor()?)).await
    }

    async fn listen(address: SocketAddr, data: Data, tls: Option<TlsAcceptor>) -> std::io::Result<Self> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind(address).await?;
        let shared = Arc::new(Shared { world: Mutex::new(World::new(data)), cut: watch::Sender::new(0) });
        let address = listener.local_addr()?;
        let accept = tokio::spawn(accept(listener, tls, shared.clone()));
        let idle = tokio::spawn(watch_idle(shared.clone()));
        Ok(Self { address, scheme, shared, tasks: vec![accept.abort_handle(), idle.abort_handle()] })
    }

    /// Where it listens: the issuer and the API alike.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections; new ones are taken.
    pub fn cut_connections(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Carries out a request of the control endpoint without a connection.
    ///
    /// # Panics
    /// The emulator refuses it: the test is wrong.
    pub fn control(&self, verb: &str, body: Value) -> Value {
        let request = Request {
            method: "POST".to_owned(),
            path: vec![verb.to_owned()],
            params: parameters(&body),
            body,
            authorization: None,
            base: String::new(),
            version: 0,
        };
        match self.shared.with(|world| control::control(world, &request)) {
            Ok(answer) => answer.body,
            Err(refusal) => panic!("control {verb}: {}", refusal.description),
        }
    }

    /// How often a call was made, as `/control/counts` names it.
    #[must_use]
    pub fn count(&self, call: &str) -> u64 {
        self.shared.world().counts.get(call).copied().unwrap_or(0)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.cut_connections();
    }
}

async fn watch_idle(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        ticks.tick().await;
        shared.with(World::end_idle_sessions);
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (shared, tls, mut cut) = (shared.clone(), tls.clone(), shared.cut.subscribe());
        connections.spawn(async move {
            let connection = async {
                match tls {
                    None => converse("http", stream, shared).await,
                    Some(tls) => {
                        // An error is a client that does not trust the certificate.
                        if let Ok(stream) = tls.accept(stream).await {
                            converse("https", stream, shared).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = connection => {}
                _ = cut.changed() => {}
            }
        });
    }
}

/// Answers a connection's requests.
async fn converse<S>(scheme: &'static str, stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| serve(scheme, shared.clone(), request));
    // An error is a client that went away or a connection that was cut on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on purpose")
    }
}
impl std::error::Error for Cut {}

/// A body that may break off in the middle.
struct AnswerBody {
    text: Option<Bytes>,
    breaks: bool,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> TaskPoll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let breaks = self.breaks;
        TaskPoll::Ready(match self.text.take() {
            Some(text) => Some(Ok(Frame::data(if breaks { text.slice(..text.len() / 2) } else { text }))),
            None if breaks => Some(Err(Cut)),
            None => None,
        })
    }

    // The length is told beforehand, also where the text will break off.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.as_ref().map_or(0, |text| text.len() as u64))
    }
}

async fn serve(
    scheme: &str,
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<AnswerBody>, Cut> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, 1 << 20).collect().await else { return Err(Cut) };
    let body = body.to_bytes();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let form = header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let json: Value = if form { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
    let mut params = parameters(&json);
    params.extend(pairs(parts.uri.query().unwrap_or_default()));
    if form {
        params.extend(pairs(&String::from_utf8_lossy(&body)));
    }
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect(),
        params,
        body: json,
        authorization: header("authorization"),
        base: format!("{scheme}://{}", header("host").unwrap_or_default()),
        version: 0,
    };
    match route(&shared, request).await {
        Ok((answer, breaks)) => Ok(respond(answer, breaks)),
        Err(Cut) => Err(Cut),
    }
}

fn respond(answer: Answer, breaks: bool) -> Response<AnswerBody> {
    let text = match &answer.body {
        Value::Null if breaks => "{\"sessionId\":\"".to_owned(),
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header("content-type", "application/json");
    if let Some(after) = answer.retry_after {
        response = response.header("retry-after", after);
    }
    if let Some(location) = answer.body["location"].as_str().filter(|_| answer.status == 302) {
        response = response.header("location", location);
    }
    let text = (!text.is_empty()).then(|| Bytes::from(text));
    response.body(AnswerBody { text, breaks }).expect("status and headers are valid")
}

/// Parameters of a JSON object, as text.
fn parameters(body: &Value) -> std::collections::BTreeMap<String, String> {
    let members = body.as_object().into_iter().flatten();
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    members.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value)))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn route(shared: &Arc<Shared>, mut request: Request) -> Result<(Answer, bool), Cut> {
    match request.path.first().map(|part| part.to_ascii_lowercase()).as_deref() {
        Some("control") => {
            request.path.remove(0);
            let answer = shared.with(|world| control::control(world, &request));
            Ok((answer.unwrap_or_else(Answer::from), false))
        }
        Some(".well-known") => {
            let call = request.path.get(1).cloned().unwrap_or_default();
            simple(shared, &call, |world| match call.as_str() {
                "openid-configuration" => Ok(auth::openid_configuration(&request)),
                "cxone-configuration" => auth::cxone_configuration(world, &request),
                _ => refuse(404, "NotFound", "no such document"),
            })
            .await
        }
        Some("auth") => match request.path.get(1..).map(|rest| rest.join("/")).as_deref() {
            Some("authorize") => simple(shared, "authorize", |world| auth::authorize(world, &request)).await,
            Some("token/whoami") => simple(shared, "whoami", |world| auth::whoami(world, &request)).await,
            _ => simple(shared, "token", |world| auth::token_endpoint(world, &request)).await,
        },
        // Where /token/whoami leads to; the same API.
        Some("acd") => {
            shared.with(|world| world.told_where += 1);
            request.path.remove(0);
            call(shared, request).await
        }
        Some("incontactapi") => call(shared, request).await,
        _ => Ok((Answer::status(404), false)),
    }
}

/// `inContactAPI/services/vNN.0/…`, in whatever case.
async fn call(shared: &Arc<Shared>, mut request: Request) -> Result<(Answer, bool), Cut> {
    match version(&request.path) {
        Some(number) => {
            request.version = number;
            request.path.drain(..3);
            service(shared, request).await
        }
        None => Ok((Answer::status(404), false)),
    }
}

fn version(path: &[String]) -> Option<u64> {
    let is = |at: usize, word: &str| path.get(at).is_some_and(|part| part.eq_ignore_ascii_case(word));
    let part = path.get(2)?.to_ascii_lowercase();
    let number = part.strip_prefix('v')?.strip_suffix(".0")?.parse::<u64>().ok()?;
    (is(0, "incontactapi") && is(1, "services") && (2..=34).contains(&number)).then_some(number)
}

async fn simple(
    shared: &Arc<Shared>,
    call: &str,
    act: impl FnOnce(&mut World) -> Result<Answer, Refusal>,
) -> Result<(Answer, bool), Cut> {
    let strike = shared.with(|world| {
        *world.counts.entry(call.to_owned()).or_default() += 1;
        world.faults.strike(call, None)
    });
    if let Some(answer) = before(&strike).await? {
        return Ok((answer, false));
    }
    let answer = shared.with(act).unwrap_or_else(Answer::from);
    Ok((answer, matches!(strike, Some(What::CutAfter))))
}

/// What a fault does before the request is looked at.
async fn before(strike: &Option<What>) -> Result<Option<Answer>, Cut> {
    match strike {
        Some(What::Status { status, retry_after, as_date }) => {
            let body = serde_json::json!({"error": "Injected", "error_description": "a fault was asked for"});
            let retry_after = retry_after.map(|seconds| match as_date {
                true => crate::clock::http_date(seconds),
                false => seconds.to_string(),
            });
            Ok(Some(Answer { status: *status, body, retry_after }))
        }
        Some(What::CutBefore) => Err(Cut),
        Some(What::Slow { millis }) => {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
            Ok(None)
        }
        _ => Ok(None),
    }
}

async fn service(shared: &Arc<Shared>, request: Request) -> Result<(Answer, bool), Cut> {
    let call = call_name(&request.path);
    let (strike, user) = shared.with(|world| {
        *world.counts.entry(call.clone()).or_default() += 1;
        let user = auth::caller(world, &request);
        let agent = session_agent(world, &request).or(user.as_ref().ok().copied());
        (world.faults.strike(&call, agent), user)
    });
    if let Some(answer) = before(&strike).await? {
        return Ok((answer, false));
    }
    let user = match user {
        Ok(user) => user,
        Err(refusal) => return Ok((refusal.into(), false)),
    };
    if let Err(refusal) = shared.with(|world| versions::check(world, user, &call, request.version)) {
        return Ok((refusal.into(), false));
    }
    let breaks = matches!(strike, Some(What::CutAfter));
    let answer = match agent_session(&request) {
        Some((id, "get-next-event")) => poll(shared, user, id.to_owned(), &request).await,
        session => {
            let done = shared.with(|world| match session {
                Some((id, call)) => in_session(world, user, id, call, &request),
                None => outside(world, user, &request),
            });
            let answer = match done {
                Ok((answer, effect)) => {
                    if let Some(effect) = effect.filter(|_| !matches!(strike, Some(What::NoEffect))) {
                        let delay = Duration::from_millis(shared.world().data.timing.event_delay);
                        shared.start(delay, effect);
                    }
                    answer
                }
                Err(refusal) => refusal.into(),
            };
            // Whoever starts or joins a session asks for something, and whoever lists.
            shared.world().data.behaviour.writing.answer(answer, agent_session(&request).is_none())
        }
    };
    Ok((answer, breaks))
}

/// The session id of a call inside an agent session, and the rest of its path where that is one word.
fn agent_session(request: &Request) -> Option<(&str, &str)> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path[..] {
        ["agent-sessions"] | ["agent-sessions", "join"] => None,
        ["agent-sessions", id] => Some((id, "")),
        ["agent-sessions", id, call] => Some((id, call)),
        ["agent-sessions", id, ..] => Some((id, "…")),
        _ => None,
    }
}

fn session_agent(world: &World, request: &Request) -> Option<AgentId> {
    agent_session(request).and_then(|(id, _)| world.resolve(id)).map(|found| found.agent)
}

fn outside(world: &mut World, user: AgentId, request: &Request) -> agent_api::Done {
    match (request.path.first().map(String::as_str), request.path.len()) {
        (Some("agent-sessions"), 1) => agent_api::start(world, user, request),
        (Some("agent-sessions"), 2) => agent_api::join(world, user, request),
        _ => admin::call(world, user, request),
    }
}

fn allowed(world: &World, user: AgentId, id: &str) -> Result<SessionRef, Refusal> {
    let Some(found) = world.resolve(id) else {
        return refuse(404, "AgentSessionNotFound", "the agent session is not known");
    };
    let supervisor = world
        .data
        .agent(user)
        .is_some_and(|(unit, who)| who.supervisor && unit.agent.iter().any(|one| one.id == found.agent));
    if found.agent == user || supervisor {
        Ok(found)
    } else {
        refuse(403, "PermissionDenied", "the session is another agent's")
    }
}

fn in_session(world: &mut World, user: AgentId, id: &str, call: &str, request: &Request) -> agent_api::Done {
    let found = allowed(world, user, id)?;
    let agent = found.agent;
    let Some(session) = world.session(agent) else {
        return refuse(409, "AgentSessionEnded", "the agent session has ended");
    };
    let replaced = session.clients[found.client].is_replaced(found.generation);
    if replaced && world.data.behaviour.strict_ids {
        return refuse(404, "AgentSessionNotFound", "the session id was replaced");
    }
    let rest: Vec<&str> = request.path[2..].iter().map(String::as_str).collect();
    match (request.method.as_str(), &rest[..]) {
        ("DELETE", []) => agent_api::end(world, agent, request),
        ("POST", ["interactions", contact, verb]) => match contact.parse() {
            Ok(contact) => agent_api::contact_call(world, agent, contact, verb, request),
            Err(_) => refuse(404, "ContactNotFound", format!("{contact} is not a contact")),
        },
        ("POST", _) => agent_api::session_call(world, agent, &rest.join("/"), request),
        _ => refuse(404, "NotFound", format!("there is no call {call}")),
    }
}

/// Ends a poll also when its client goes away in the middle.
struct Polling {
    shared: Arc<Shared>,
    found: SessionRef,
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.shared.world().end_poll(&self.found);
    }
}

async fn poll(shared: &Arc<Shared>, user: AgentId, id: String, request: &Request) -> Answer {
    let wait = match request.number("timeout") {
        Ok(seconds) => Duration::from_secs(seconds.unwrap_or(30).min(60)),
        Err(refusal) => return refusal.into(),
    };
    let begun = shared.with(|world| {
        let found = allowed(world, user, &id)?;
        world.longest_poll = world.longest_poll.max(wait.as_secs());
        let (number, notify, double) = world.begin_poll(&found);
        if double {
            *world.counts.entry("double-polls".to_owned()).or_default() += 1;
        }
        Ok((found, number, notify))
    });
    let (found, number, notify) = match begun {
        Ok(begun) => begun,
        Err(refusal) => return Refusal::into(refusal),
    };
    let agent = found.agent;
    let _polling = Polling { shared: shared.clone(), found };
    let until = Instant::now() + wait;
    loop {
        // Asked for before looking, so that what comes in between is not missed.
        let mut woken = std::pin::pin!(notify.notified());
        woken.as_mut().enable();
        let found = shared.with(|world| {
            let mangle = if world.something_to_tell(&id) { world.faults.mangle(agent) } else { Default::default() };
            world.poll(&id, number, mangle)
        });
        match found {
            Poll::Events(id, events) => return Answer::ok(serde_json::json!({"sessionId": id, "events": events})),
            Poll::Superseded => return Answer::status(304),
            Poll::Unknown => {
                return Refusal { status: 404, error: "AgentSessionNotFound", description: "lost".to_owned() }.into();
            }
            Poll::Ended => {
                let description = "the agent session has ended".to_owned();
                return Refusal { status: 409, error: "AgentSessionEnded", description }.into();
            }
            Poll::Nothing => {}
        }
        if tokio::time::timeout_at(until.into(), woken).await.is_err() {
            return Answer::status(304);
        }
    }
}
