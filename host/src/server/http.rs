//! Commands and events over plain HTTP, for clients that cannot hold a WebSocket.
//!
//! Owns: reading bodies within their bounds, statuses, and the framing of `text/event-stream`. Must never: know what a
//! message means; the tenant's [`SessionManager`](crate::session::SessionManager) takes it as text and hands an answer back.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use jackfield_plugin_api::Code;
use jackfield_protocol::close::CloseCode;
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{
    Desktops,
    desktop::NOT_ADMITTED,
    peer::Peer,
    response::{Body, failure, json_text, try_again},
};
use crate::{
    metrics::{LimitLabel, Metrics},
    session::{EventStream, HttpAnswer, HttpOutcome, Identity, Message, OutboxItem, Outlet, StreamRefused},
    tenant::{Admission, CountedClient, HostedTenant},
};

/// How often an event stream without events sends a comment, so that its client and proxies see that it lives.
const SIGN_EVERY: Duration = Duration::from_secs(20);
/// Bytes that one frame of an event stream carries.
const FRAME: usize = 16 * 1024;

/// `POST …/sessions`
pub(super) async fn prepare(
    desktops: &Desktops,
    tenant: &HostedTenant,
    (identity, client): (Identity, IpAddr),
    request: Request<Incoming>,
) -> Response<Body> {
    match read(desktops, tenant, request).await {
        Ok(message) => respond(tenant.sessions().prepare(identity, client, &message).await),
        Err(refused) => refused,
    }
}

/// `POST …/sessions/{id}/commands`
pub(super) async fn command(
    desktops: &Desktops,
    tenant: &HostedTenant,
    identity: &Identity,
    session: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    match read(desktops, tenant, request).await {
        Ok(message) => match tenant.sessions().command(identity, session, &message).await {
            Some(answer) => respond(answer),
            None => failure(StatusCode::NOT_FOUND, Code::NotFound, "there is no such session"),
        },
        Err(refused) => refused,
    }
}

/// A request's body as text, within its bounds of size and time.
pub(super) async fn read(
    desktops: &Desktops,
    tenant: &HostedTenant,
    request: Request<Incoming>,
) -> Result<String, Response<Body>> {
    let body = Limited::new(request.into_body(), tenant.config().limits.message_bytes);
    let bytes = match timeout(desktops.config.header_timeout, body.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            tenant.metrics().bad_message();
            tenant.metrics().limited(LimitLabel::MessageBytes);
            return Err(failure(StatusCode::PAYLOAD_TOO_LARGE, Code::BadRequest, "the body is too large"));
        }
        Ok(Err(_)) => return Err(failure(StatusCode::BAD_REQUEST, Code::BadRequest, "the body is cut off")),
        Err(_) => return Err(failure(StatusCode::REQUEST_TIMEOUT, Code::Timeout, "the body does not arrive")),
    };
    String::from_utf8(bytes.into()).map_err(|_| {
        tenant.metrics().bad_message();
        failure(StatusCode::BAD_REQUEST, Code::BadRequest, "the body is not UTF-8")
    })
}

fn respond(answer: HttpAnswer) -> Response<Body> {
    let mut response = json_text(answer.text);
    match answer.outcome {
        HttpOutcome::Carried => {}
        HttpOutcome::Unparsable => *response.status_mut() = StatusCode::BAD_REQUEST,
        HttpOutcome::RateLimited => {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            try_again(&mut response);
        }
        HttpOutcome::ShuttingDown { retry_after } => {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
        }
    }
    response
}

/// `GET …/sessions/{id}/events`
pub(super) async fn events(
    desktops: &Arc<Desktops>,
    tenant: &Arc<HostedTenant>,
    (identity, admission): (&Identity, Admission),
    session: &str,
    headers: &HeaderMap,
    peer: Peer,
) -> Response<Body> {
    // A client that has seen no event yet may send it empty.
    let after = headers.get("last-event-id").filter(|value| !value.is_empty());
    let after = match after.map(|value| value.to_str().unwrap_or("?").parse::<u64>()) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => {
            return failure(StatusCode::BAD_REQUEST, Code::BadRequest, "Last-Event-ID must be an event's number");
        }
    };
    let (outbox, outlet) = tenant.sessions().outbox_of_stream();
    match tenant.sessions().stream(identity, session, after, outbox).await {
        Ok(stream) => {
            let admitted = (Arc::clone(tenant), admission);
            let events = Events::new(stream, outlet, admitted, desktops.metrics.clone(), peer);
            let mut response = Response::new(Body::stream(events));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            // nginx would hold events back until it has a buffer full of them.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            response
        }
        Err(StreamRefused::NotFound) => failure(StatusCode::NOT_FOUND, Code::NotFound, "there is no such session"),
        Err(StreamRefused::BadAfter) => {
            failure(StatusCode::BAD_REQUEST, Code::BadRequest, "Last-Event-ID is beyond the last event")
        }
    }
}

/// An event stream; dropping it tells the session that its client is gone.
struct Events {
    /// What stands before the first event; empty afterwards.
    first: Vec<u8>,
    outlet: Outlet,
    /// Why it ended, in a word for the metrics.
    closed: Option<&'static str>,
    /// Completes when the client may stay no longer, and says why.
    not_admitted: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    sign: Pin<Box<Sleep>>,
    metrics: Metrics,
    _counted: CountedClient,
    _stream: EventStream,
    _peer: Peer,
}

impl Events {
    fn new(
        stream: EventStream,
        outlet: Outlet,
        (tenant, admission): (Arc<HostedTenant>, Admission),
        metrics: Metrics,
        peer: Peer,
    ) -> Self {
        let mut first = Vec::new();
        frame(&mut first, Some("bind"), None, &stream.bound);
        Self {
            first,
            outlet,
            closed: None,
            _counted: tenant.client(),
            not_admitted: Box::pin(async move { tenant.no_longer_admits(&admission).await }),
            sign: Box::pin(sleep(SIGN_EVERY)),
            metrics,
            _stream: stream,
            _peer: peer,
        }
    }
}

impl Events {
    /// The last event: a page is shown nothing else of the end. One that does not close its stream then connects again.
    fn close(&mut self, out: &mut Vec<u8>, code: CloseCode, reason: &'static str, label: &'static str) {
        self.closed = Some(label);
        let data = json!({"code": code.number(), "reason": reason}).to_string();
        frame(out, Some("closed"), None, data.as_bytes());
    }
}

impl Stream for Events {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.closed.is_some() {
            return Poll::Ready(None);
        }
        let mut out = std::mem::take(&mut self.first);
        while out.len() < FRAME {
            match self.outlet.poll_next(cx) {
                Poll::Ready(OutboxItem::Message(Message { seq, text })) => frame(&mut out, None, seq, &text),
                Poll::Ready(OutboxItem::Close(code, reason)) => {
                    self.close(&mut out, code, reason, super::closed_by_session(code));
                    break;
                }
                Poll::Pending => break,
            }
        }
        if self.closed.is_none()
            && let Poll::Ready(reason) = self.not_admitted.as_mut().poll(cx)
        {
            self.close(&mut out, CloseCode::GoingAway, reason, NOT_ADMITTED);
        }
        if out.is_empty() {
            ready!(self.sign.as_mut().poll(cx));
            out.extend_from_slice(b":\n\n");
        }
        self.sign.as_mut().reset(Instant::now() + SIGN_EVERY);
        Poll::Ready(Some(out.into()))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.metrics.connection_closed(self.closed.unwrap_or("client"));
    }
}

/// Appends one event. JSON may be spread over lines, which the format takes one by one.
fn frame(out: &mut Vec<u8>, event: Option<&str>, id: Option<u64>, data: &[u8]) {
    if let Some(event) = event {
        out.extend_from_slice(format!("event: {event}\n").as_bytes());
    }
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    for line in data.split(|byte| *byte == b'\n' || *byte == b'\r') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_framed_with_its_number_and_a_line_for_each_line() {
        let mut out = Vec::new();
        frame(&mut out, Some("bind"), None, b"{}");
        frame(&mut out, None, Some(7), b"{\"a\":\n1}");
        assert_eq!(out, b"event: bind\ndata: {}\n\nid: 7\ndata: {\"a\":\ndata: 1}\n\n");
    }
}
