//! Which address is whose.
//!
//! Owns: the paths under `/v1/tenants/`, which of the others are the console's or the schemas', and the order of the checks:
//! origin, then tenant and token, then everything else. Must never: tell by any answer whether a tenant exists to one who
//! has no token of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::Code;

use super::{
    Desktops, TimeoutStream, Transport,
    client_address::client_address,
    console,
    desktop::{Desktop, DesktopConnection},
    handshake, http,
    peer::Peer,
    response::{Body, failure, json_text, metrics_text, too_many},
    schema, tokens,
    websocket::WebSocketConnection,
};
use crate::{
    failed_attempts::network,
    session::{ClientConnection, Identity},
    tenant::{AGENT_TOKEN_PREFIX, Admission, Admitted, HostedTenant},
};

/// A token of so many characters cannot be guessed: `jackfield token new` makes longer ones, and so do issuers.
const UNGUESSABLE: usize = 40;

/// Answers one request of a desktop.
pub(super) async fn answer(desktops: &Arc<Desktops>, request: Request<Incoming>, mut peer: Peer) -> Response<Body> {
    let client = client_address(peer.address, request.headers(), &desktops.config.trusted_proxies);
    peer.client = client;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let own = desktops.config.console && console::is_own_page(request.headers());
    let asked_by = peer.clone();
    let (route, mut response) = if let Some(wrong) = handshake::ambiguous(request.version(), request.headers()) {
        ("refused", malformed(wrong))
    } else if !own && !handshake::origin_allowed(request.headers(), &desktops.config.origins) {
        desktops.refusals.origin(&peer, request.uri().path(), request.headers());
        ("refused", failure(StatusCode::FORBIDDEN, Code::Forbidden, "this page may not connect: listener.origins"))
    } else if request.method() == Method::OPTIONS {
        ("preflight", preflight())
    } else if let Some(file) = console_file(desktops, &request) {
        ("console", file)
    } else if let Some(file) = schema::answer(request.method(), request.uri().path(), request.headers()) {
        ("schema", file)
    } else {
        route(desktops, request, peer).await
    };
    if let Some(origin) = origin.filter(|_| route != "refused") {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    if asked_by.is_unauthenticated() && matches!(route, "refused" | "unknown" | "full") {
        // Whoever has nothing right to say does not keep its place.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    desktops.metrics.http_request(route, response.status().as_str());
    response
}

/// A file of the console, where the console is served and the path is one of its.
fn console_file(desktops: &Desktops, request: &Request<Incoming>) -> Option<Response<Body>> {
    let served = desktops.config.console;
    served.then(|| console::answer(request.method(), request.uri().path(), request.headers())).flatten()
}

/// What a browser asks before it lets a page send a token.
fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, last-event-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn route(desktops: &Arc<Desktops>, request: Request<Incoming>, peer: Peer) -> (&'static str, Response<Body>) {
    let path = request.uri().path().to_owned();
    let mut parts = path.split('/').skip(1);
    let (Some("v1"), Some("tenants"), Some(tenant)) = (parts.next(), parts.next(), parts.next()) else {
        return ("unknown", failure(StatusCode::NOT_FOUND, Code::NotFound, "there is nothing at this address"));
    };
    let token = handshake::bearer(request.headers()).or_else(|| query_token(&request));
    let from = network(peer.client);
    let wait = token.and_then(|_| desktops.wrong_tokens.must_wait(&from));
    if let Some(wait) = wait
        && token.is_some_and(is_guessable)
    {
        desktops.tenants.not_admitted(tenant, &desktops.metrics);
        return ("refused", too_many_wrong(wait));
    }
    let admitted = desktops.tenants.admit(tenant, token, &desktops.metrics).await;
    let Some((tenant, Admitted { identity, admission })) = admitted else {
        desktops.refusals.token(&peer, tenant, token.is_some());
        if let Some(wait) = wait {
            return ("refused", too_many_wrong(wait));
        }
        if token.is_some() {
            desktops.wrong_tokens.failed(from);
        }
        return ("refused", unauthorized());
    };
    if !peer.belongs_to(&tenant) {
        return ("full", too_many(&desktops.metrics));
    }
    let rest: Vec<&str> = parts.collect();
    match (rest.as_slice(), request.method()) {
        (["ws"], &Method::GET) => ("ws", upgrade(desktops, request, &tenant, (identity, admission), peer)),
        (["sessions"], &Method::POST) => {
            ("sessions", http::prepare(desktops, &tenant, (identity, peer.client), request).await)
        }
        (["tokens"], &Method::POST) => ("tokens", tokens::issue(desktops, &tenant, &identity, request).await),
        (["sessions", id, "commands"], &Method::POST) => {
            ("commands", http::command(desktops, &tenant, &identity, id, request).await)
        }
        (["sessions", id, "events"], &Method::GET) => {
            ("events", http::events(desktops, &tenant, (&identity, admission), id, request.headers(), peer).await)
        }
        (["extensions"], &Method::GET) => ("extensions", extensions(&tenant)),
        (["metrics"], &Method::GET) => ("metrics", metrics(desktops, &tenant, &identity)),
        (["ws"] | ["extensions"] | ["metrics"] | ["sessions", _, "events"], _) => ("unknown", wrong_method("GET")),
        (["tokens" | "sessions"] | ["sessions", _, "commands"], _) => ("unknown", wrong_method("POST")),
        _ => ("unknown", failure(StatusCode::NOT_FOUND, Code::NotFound, "there is nothing at this address")),
    }
}

/// What the tenant's adapter can do beyond the standard, with the JSON Schema of each command's data.
fn extensions(tenant: &HostedTenant) -> Response<Body> {
    // Not by way of a JSON value: it would sort the properties, which the schema's author has put in order.
    let body = BTreeMap::from([("commands", tenant.extension_commands())]);
    let body = serde_json::to_string(&body).expect("names and schemas are JSON");
    json_text(body)
}

/// The tenant's own series, for its own Prometheus.
fn metrics(desktops: &Desktops, tenant: &HostedTenant, identity: &Identity) -> Response<Body> {
    if let Identity::Agent { .. } = identity {
        return failure(StatusCode::FORBIDDEN, Code::Forbidden, "metrics are not for an agent's token");
    }
    match tenant.scrape(&desktops.metrics) {
        Some(text) => metrics_text(text),
        None => {
            let message = "this tenant has no series of its own: metrics.max_tenants";
            failure(StatusCode::NOT_FOUND, Code::NotFound, message)
        }
    }
}

/// The token of an event stream's address: `EventSource` can send no header. Only an agent's short-lived one is taken
/// there, because addresses end up in logs and histories.
fn query_token(request: &Request<Incoming>) -> Option<&str> {
    let is_stream = request.method() == Method::GET && request.uri().path().ends_with("/events");
    let query = request.uri().query().filter(|_| is_stream)?;
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    token.starts_with(AGENT_TOKEN_PREFIX).then_some(token)
}

/// Whether somebody might find this out by trying. While an address is held up because of wrong tokens, what cannot be
/// guessed is looked at all the same: so those who share the address with an attacker come in by the tokens that this host
/// or an issuer made, and one that an operator has invented is not found out.
fn is_guessable(token: &str) -> bool {
    token.len() < UNGUESSABLE
}

/// Too many wrong tokens have come from an address: the same, whatever tenant and token it names.
fn too_many_wrong(wait: Duration) -> Response<Body> {
    let message = "too many wrong tokens have come from this address";
    let mut response = failure(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
    response.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
    response
}

/// Refuses a request that a proxy may have understood otherwise, and whatever follows on its connection.
fn malformed(wrong: &'static str) -> Response<Body> {
    let mut response = failure(StatusCode::BAD_REQUEST, Code::BadRequest, wrong);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn unauthorized() -> Response<Body> {
    let message = "there is no such tenant, or the token is wrong";
    let mut response = failure(StatusCode::UNAUTHORIZED, Code::Unauthorized, message);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response =
        failure(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, "this address does not take this method");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Answers 101, and serves the connection from then on.
fn upgrade(
    desktops: &Arc<Desktops>,
    mut request: Request<Incoming>,
    tenant: &Arc<HostedTenant>,
    (identity, admission): (Identity, Admission),
    peer: Peer,
) -> Response<Body> {
    let handshake = match handshake::read(request.version(), request.headers()) {
        Ok(handshake) => handshake,
        Err((status, message)) => {
            let mut response = failure(status, Code::BadRequest, message);
            if status == StatusCode::UPGRADE_REQUIRED {
                let headers = response.headers_mut();
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            return response;
        }
    };
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (desktops, tenant) = (Arc::clone(desktops), Arc::clone(tenant));
    let upgraded = async move {
        let (stream, early) = take_stream(on_upgrade.await.ok()?)?;
        let (outbox, outlet) = tenant.sessions().outbox();
        let max_message = tenant.config().limits.message_bytes;
        let client = ClientConnection::new(tenant.sessions(), identity, peer.client, outbox);
        Some(Box::new(DesktopConnection {
            socket: WebSocketConnection::new(stream, early, max_message).await,
            desktop: Desktop { client, outlet },
            connection: peer.take_connection(),
            admission,
            tenant,
            metrics: desktops.metrics.clone(),
            closing: desktops.closing.clone(),
            peer,
        }))
    };
    // Boxed, so that nothing of it is left in the connection that comes of it.
    let upgraded = Box::pin(upgraded);
    tokio::spawn(async move {
        if let Some(connection) = upgraded.await {
            connection.serve().await;
        }
    });
    switching(&handshake)
}

fn switching(handshake: &handshake::Handshake) -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, handshake.accept.clone());
    if handshake.subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(handshake::SUBPROTOCOL));
    }
    response
}

/// The stream below, and what was read from it beyond the handshake. Hyper's own buffers are dropped here.
fn take_stream(upgraded: Upgraded) -> Option<(Transport, hyper::body::Bytes)> {
    let parts = upgraded.downcast::<TokioIo<TimeoutStream<Transport>>>().ok()?;
    // A copy of its own: the rest of the buffer that it is a part of would otherwise stay.
    let early = hyper::body::Bytes::copy_from_slice(&parts.read_buf);
    Some((parts.io.into_inner().into_inner(), early))
}
