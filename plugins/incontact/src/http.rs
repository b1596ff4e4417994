//! The HTTP client: connections are kept and used again, TLS by rustls with the system's roots and a tenant's own.
//!
//! Owns: what a request can come to. It tells apart what never reached the platform from what may have, because only the
//! first may be tried again. Must never: log a header or a body.

use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use jackfield_plugin_api::{Code, Failure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::Value;

/// The most that an answer may hold.
const MAX_BODY: usize = 16 << 20;

/// The client.
#[derive(Clone)]
pub(crate) struct Http(Arc<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>);

/// What is sent.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Body,
}

/// A body.
#[derive(Clone)]
pub(crate) enum Body {
    /// None.
    None,
    /// A JSON object.
    Json(Value),
    /// A form.
    Form(Vec<(String, String)>),
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The body as JSON; `Null` where it is none.
    pub(crate) body: Value,
    pub(crate) retry_after: Option<Duration>,
}

/// Why nothing came back.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The platform was not reached: nothing was done.
    NotSent(String),
    /// The request was sent; what became of it is unknown.
    Unknown(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(why) | Self::Unknown(why) => f.write_str(why),
        }
    }
}

impl Http {
    /// A client that trusts the system's root certificates, and these in PEM beside them.
    ///
    /// # Errors
    /// `rejected`: these are no certificates; `internal`: there are none at all.
    pub(crate) fn new(own: Option<&str>) -> Result<Self, Failure> {
        let tls = HttpsConnectorBuilder::new().with_tls_config(trusting(roots(own)?)?);
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let connector = tls.https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(50))
            .build(connector);
        Ok(Self(Arc::new(client)))
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn send(&self, outgoing: &Outgoing, patience: Duration) -> Result<Reply, Trouble> {
        let request = outgoing.request()?;
        let exchange = async {
            let response = self.0.request(request).await.map_err(|error| {
                let text = chain(&error);
                if error.is_connect() { Trouble::NotSent(text) } else { Trouble::Unknown(text) }
            })?;
            let status = response.status().as_u16();
            let retry_after =
                response.headers().get(header::RETRY_AFTER).and_then(|value| pause(value.to_str().ok()?.trim()));
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|error| Trouble::Unknown(format!("the answer broke off: {error}")))?.to_bytes();
            Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null), retry_after })
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Trouble::Unknown(format!("no answer within {} s", patience.as_secs()))),
        }
    }
}

/// The system's root certificates, read once: there are many, and they are the same for all tenants.
fn system_roots() -> RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    ROOTS.get_or_init(read).clone()
}

fn roots(own: Option<&str>) -> Result<RootCertStore, Failure> {
    let mut roots = system_roots();
    let known = roots.len();
    let wrong = |why: String| Failure::new(Code::Rejected, format!("settings: tls.roots: {why}"));
    let mut more = 0;
    for certificate in own.into_iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes())) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        more += 1;
    }
    if own.is_some() && more == 0 {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    tracing::debug!(known, more, "root certificates");
    if roots.is_empty() { Err(Failure::new(Code::Internal, "no root certificates")) } else { Ok(roots) }
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|error| Failure::new(Code::Internal, format!("TLS: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// An error with its causes; of the transport, so there is no secret in it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

impl Outgoing {
    fn request(&self) -> Result<hyper::Request<Full<Bytes>>, Trouble> {
        let (kind, body) = match &self.body {
            Body::None => (None, String::new()),
            Body::Json(value) => (Some("application/json"), value.to_string()),
            Body::Form(pairs) => (Some("application/x-www-form-urlencoded"), query(pairs)),
        };
        let mut request = hyper::Request::builder()
            .method(self.method.clone())
            .uri(&self.url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("jackfield-incontact/", env!("CARGO_PKG_VERSION")));
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(authorization) = &self.authorization {
            let mut value = header::HeaderValue::from_str(authorization)
                .map_err(|_| Trouble::NotSent("the credentials are no header value".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = Full::new(Bytes::from(body));
        request.body(body).map_err(|error| Trouble::NotSent(format!("{error}")))
    }
}

/// How long `Retry-After` asks to wait: seconds, or until a date.
fn pause(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Parameters for a query or a form.
pub(crate) fn query(pairs: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}={}", encode(name), encode(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A text for a path or a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{encode, pause};

    #[test]
    fn a_pause_is_told_in_seconds_or_as_a_date() {
        assert_eq!(pause("3"), Some(Duration::from_secs(3)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        assert!(pause(&date).is_some_and(|pause| pause > Duration::from_secs(60) && pause <= Duration::from_secs(90)));
        assert_eq!(pause("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO), "it is over");
        assert_eq!(pause("soon"), None);
    }

    #[test]
    fn what_has_a_meaning_in_an_address_is_encoded() {
        assert_eq!(encode("a b/c?d=é"), "a%20b%2Fc%3Fd%3D%C3%A9");
    }
}
