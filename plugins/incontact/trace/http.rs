//! What recorder and player have in common: a small HTTP server, and the parts of a request.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// The most that a request may hold.
const MAX_BODY: usize = 1 << 20;

/// A request, whole.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// `Null` for none.
    pub(crate) body: Value,
}

impl Asked {
    /// The query's parameters.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        pairs(&self.query)
    }

    /// The body, of JSON or a form.
    pub(crate) fn sent(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let form = pairs(&String::from_utf8_lossy(&self.body));
            if form.is_empty() { Value::Null } else { serde_json::json!(form) }
        })
    }
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Serves at an address until the program ends.
///
/// # Errors
/// The address cannot be had.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Asked) -> F + Send + Sync + 'static,
) -> Result<(), String>
where
    F: Future<Output = Answered> + Send,
{
    let answer = Arc::new(answer);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer.clone();
                async move { exchange(request, &*answer).await }
            });
            // An error is a client that went away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Listens at an address.
///
/// # Errors
/// It cannot be had.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, String), String> {
    let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok((listener, format!("http://{address}")))
}

async fn exchange<F>(request: Request<Incoming>, answer: &impl Fn(Asked) -> F) -> Result<Response<Full<Bytes>>, String>
where
    F: Future<Output = Answered>,
{
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    let Answered { status, retry_after, body } = answer(asked).await;
    let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    if let Some(after) = retry_after {
        response = response.header(header::RETRY_AFTER, after);
    }
    let text = if body.is_null() { String::new() } else { body.to_string() };
    response.body(Full::new(Bytes::from(text))).map_err(|error| error.to_string())
}
