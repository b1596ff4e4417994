//! A proxy before CXone, which writes down what passes, masked.
//!
//! CXone tells the adapter where its parts are (discovery, whoami); the answers are changed so that all of them lead
//! through here.

use std::{
    fs::File,
    io::Write,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::{
    entry::{Entry, HERE},
    http::{self, Answered, Asked},
    mask::Mask,
};

/// The most that an answer may hold.
const MAX_ANSWER: usize = 16 << 20;
/// Members of answers that say where a part of CXone is.
const ADDRESSES: &[&str] = &["token_endpoint", "api_endpoint", "auth_endpoint", "resource_server_base_uri"];

struct Recorder {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// This program's address.
    here: String,
    begun: Instant,
    written: Mutex<Written>,
}

struct Written {
    file: File,
    mask: Mask,
    /// Where CXone's parts are; `/~1/…` leads to the second.
    bases: Vec<String>,
}

/// Records until the program ends.
///
/// # Errors
/// The address or the file cannot be had.
pub(crate) async fn record(issuer: &str, listen: SocketAddr, out: &Path) -> Result<(), String> {
    let roots = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| format!("root certificates: {error}"))?;
    let client = Client::builder(TokioExecutor::new()).build(roots.https_or_http().enable_http1().build());
    let file = File::create(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let (listener, here) = http::listen(listen).await?;
    let bases = vec![issuer.trim_end_matches('/').to_owned()];
    let written = Mutex::new(Written { file, mask: Mask::default(), bases });
    println!("recording {issuer} to {}; the tenant's issuer is {here}", out.display());
    let recorder = Arc::new(Recorder { client, here, begun: Instant::now(), written });
    http::serve(listener, move |asked| {
        let recorder = recorder.clone();
        async move { recorder.pass(asked).await }
    })
    .await
}

impl Recorder {
    async fn pass(&self, asked: Asked) -> Answered {
        match self.forward(&asked).await {
            Ok(mut answered) => {
                self.write(&asked, &mut answered);
                answered
            }
            Err(why) => {
                eprintln!("{} {}: {why}", asked.method, asked.path);
                Answered { status: 502, retry_after: None, body: Value::Null }
            }
        }
    }

    fn written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(&self, asked: &Asked) -> Result<Answered, String> {
        let (part, path) = match asked.path.strip_prefix("/~").and_then(|rest| rest.split_once('/')) {
            Some((part, path)) => (part.parse().unwrap_or(0), format!("/{path}")),
            None => (0, asked.path.clone()),
        };
        let base = self.written().bases.get(part).cloned().ok_or("no such part of CXone")?;
        let mark = if asked.query.is_empty() { "" } else { "?" };
        let mut request =
            Request::builder().method(asked.method.as_str()).uri(format!("{base}{path}{mark}{}", asked.query));
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT, header::USER_AGENT] {
            if let Some(value) = asked.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::new(asked.body.clone())).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
        Ok(Answered { status, retry_after, body })
    }

    /// Writes an exchange down, and lets the addresses in the answer lead through here.
    fn write(&self, asked: &Asked, answered: &mut Answered) {
        let mut written = self.written();
        let Written { file, mask, bases } = &mut *written;
        let mut kept = answered.body.clone();
        for name in ADDRESSES {
            let Some(address) = answered.body[*name].as_str().map(str::to_owned) else { continue };
            let Some((base, path)) = split(&address) else { continue };
            let part = bases.iter().position(|known| *known == base).unwrap_or_else(|| {
                bases.push(base);
                bases.len() - 1
            });
            answered.body[*name] = Value::from(format!("{}/~{part}{path}", self.here));
            kept[*name] = Value::from(format!("{HERE}/~{part}{path}"));
        }
        let query = asked.parameters();
        let entry = Entry {
            at: self.begun.elapsed().as_millis() as u64,
            method: asked.method.clone(),
            path: mask.path(&asked.path),
            query: query.iter().map(|(name, value)| (name.clone(), mask.parameter(name, value))).collect(),
            sent: mask.body(&asked.sent()),
            status: answered.status,
            retry_after: answered.retry_after.clone(),
            body: mask.body(&kept),
        };
        let line = serde_json::to_string(&entry).unwrap_or_default();
        if let Err(error) = writeln!(file, "{line}") {
            eprintln!("the trace cannot be written: {error}");
        }
    }
}

/// Scheme and host of an address, and its path.
fn split(address: &str) -> Option<(String, String)> {
    let (scheme, rest) = address.split_once("://")?;
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    Some((format!("{scheme}://{host}"), path))
}
