//! Files that were compiled in.
//!
//! Owns: the answer to whoever asks for one: which methods there are, and that nobody is sent what he has already. Must
//! never: know what a file is for.

use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};
use sha2::{Digest as _, Sha256};

use super::response::Body;

/// A file's version: the hash of its content.
pub(super) fn tag_of(content: &[u8]) -> HeaderValue {
    let hash: String = Sha256::digest(content).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{hash}\"")).expect("hexadecimal digits are a header's value")
}

/// Answers a request for a file. `tag`: as [`tag_of`] makes it. `kind`: its media type.
pub(super) fn answer(
    method: &Method,
    headers: &HeaderMap,
    content: &'static [u8],
    tag: &HeaderValue,
    kind: &'static str,
) -> Response<Body> {
    let mut response = if method != Method::GET && method != Method::HEAD {
        with_status(StatusCode::METHOD_NOT_ALLOWED)
    } else if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag) {
        with_status(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(Body::whole(Bytes::from_static(content)))
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Asked for again each time, and sent again only if it is another.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, tag.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Sends whoever asks to another address.
pub(super) fn redirect(to: &'static str) -> Response<Body> {
    let mut response = with_status(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = status;
    response
}
