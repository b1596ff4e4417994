//! What a request is answered with.
//!
//! Owns: a response's body, and the answers that several routes give. Must never: know a route.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use hyper::{
    Response, StatusCode,
    body::{self, Bytes, Frame, SizeHint},
    header::{self, HeaderValue},
};
use jackfield_plugin_api::{Code, Failure};
use serde_json::json;

use super::stream::AnsweringGuard;
use crate::metrics::Metrics;

/// A response's body: a text, or an event stream.
pub(super) struct Body {
    content: Content,
    /// Until it is dropped, the peer is not expected to send another request.
    answering: Option<AnsweringGuard>,
}

enum Content {
    Whole(Option<Bytes>),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body {
    pub(super) fn whole(text: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(Some(text.into()).filter(|text| !text.is_empty())), answering: None }
    }

    pub(super) fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { content: Content::Stream(Box::pin(stream)), answering: None }
    }

    /// The peer is not expected to send another request while this body is there.
    pub(super) fn keep(&mut self, answering: AnsweringGuard) {
        self.answering = Some(answering);
    }
}

impl body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Content::Stream(stream) => stream.as_mut().poll_next(cx).map(|bytes| bytes.map(|it| Ok(Frame::data(it)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

/// Answers with a JSON text.
pub(super) fn json_text(text: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers with metrics as Prometheus reads them.
pub(super) fn metrics_text(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, version);
    response
}

/// Answers with a failure object of the protocol.
pub(super) fn failure(status: StatusCode, code: Code, message: &str) -> Response<Body> {
    let mut response = json_text(json!({"result": "failure", "failure": Failure::new(code, message)}).to_string());
    *response.status_mut() = status;
    response
}

/// How many seconds whoever was refused for now is asked to wait.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Says that the same may be taken a little later.
pub(super) fn try_again(response: &mut Response<Body>) {
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
}

/// Refuses a connection of a tenant that has as many as it may have.
pub(super) fn too_many(metrics: &Metrics) -> Response<Body> {
    metrics.connection_refused("tenant");
    let message = "the tenant has as many connections as it may have";
    let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, Code::QuotaExceeded, message);
    try_again(&mut response);
    response
}
