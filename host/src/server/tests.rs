//! The desktops' listener on a real socket, with tenants whose adapter does next to nothing.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::{
    Adapter, Agent, AgentHost, Command, Ending, Failure, Login, Outcome, Platform, PlatformHost, StartOptions,
    Tenant as ForAdapter,
};
use tokio::{net::TcpStream, sync::watch};

use super::*;
use crate::{
    config::{Auth, Origins, TenantConfig, Token},
    plugin::Library,
    tenant::{HostedTenant, hash_token},
};

const MANIFEST: &str = r#"{"id": "idle", "version": "1.0.0", "vendor": "test", "platform": "idle",
    "channelTypes": ["Telephony"], "commands": [], "settings": {"type": "object"}}"#;

/// Lets everybody log in and does nothing for them.
struct Idle;

impl Adapter for Idle {
    type Platform = Self;
    fn load() -> Result<Self, Failure> {
        Ok(Self)
    }
    async fn connect(&self, _: ForAdapter, _: PlatformHost) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Platform for Idle {
    type Agent = Self;
    async fn log_in(&self, _: Login, _: AgentHost) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Agent for Idle {
    async fn start(&self, _: StartOptions) -> Result<(), Failure> {
        Ok(())
    }
    async fn command(&self, _: Command) -> Outcome {
        Outcome::unsupported()
    }
    async fn snapshot(&self) -> Result<(), Failure> {
        Ok(())
    }
    async fn log_out(&self, _: Ending) -> Result<(), Failure> {
        Ok(())
    }
}

/// A listener with the tenants `open` and `locked` (token `jf_right`).
struct Fixture {
    address: String,
    metrics: Metrics,
    _closing: watch::Sender<bool>,
}

impl Fixture {
    async fn start(origins: Origins) -> Self {
        Self::with_connections(origins, 100).await
    }

    /// Each tenant may have so many connections.
    async fn with_connections(origins: Origins, most: usize) -> Self {
        let metrics = Metrics::new(10);
        let library = Library::of::<Idle>(MANIFEST, 1, &metrics).await.unwrap();
        let tenant = |id: &str, auth| {
            let mut config = TenantConfig::for_test(id, auth);
            config.limits.connections = most;
            config.limits.message_bytes = 1024;
            HostedTenant::with_library(config, library.clone(), &metrics).unwrap()
        };
        let token = Token { name: "desk".to_owned(), hash: hash_token("jf_right") };
        let tenants = [tenant("open", Auth::None), tenant("locked", Auth::Tokens(vec![token]))];
        let config = ListenerConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            max_connections: 400,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            origins,
            trusted_proxies: Vec::new(),
            tls: None,
            console: false,
        };
        let (closing, closed) = watch::channel(false);
        let listener = Listener::desktops(&config, None, config.max_connections, closed.clone()).await.unwrap();
        let address = listener.address().unwrap().to_string();
        let tenants = Arc::new(Tenants::new(tenants, Vec::new()));
        let desktops = Arc::new(Desktops::new(config, tenants, metrics.clone(), closed));
        tokio::spawn(listener.serve_desktops(desktops, std::future::pending()));
        Self { address, metrics, _closing: closing }
    }

    /// Status, headers and body of an answer; the connection stays open with the sender.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let mut response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        let upgraded = if response.status() == 101 { hyper::upgrade::on(&mut response).await.ok() } else { None };
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.into()).unwrap(),
            _upgraded: upgraded,
        }
    }

    async fn shake(&self, path: &str, extra: &[(&str, &str)]) -> Answer {
        let mut headers = vec![
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.extend_from_slice(extra);
        self.ask("GET", path, &headers, "").await
    }
}

struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    body: String,
    _upgraded: Option<hyper::upgrade::Upgraded>,
}

#[tokio::test]
async fn a_wrong_token_and_an_unknown_tenant_get_the_same_answer() {
    let fixture = Fixture::start(Origins::Any).await;
    let ask = async |path: &str, token: &str| {
        let mut answer = fixture.ask("POST", path, &[("authorization", token)], "{}").await;
        answer.headers.remove("date");
        (answer.status, answer.headers, answer.body)
    };
    let wrong = ask("/v1/tenants/locked/sessions", "Bearer jf_wrong").await;
    assert_eq!(wrong.0, 401);
    for (path, token) in [
        ("/v1/tenants/nosuch/sessions", "Bearer jf_right"),
        ("/v1/tenants/locked/sessions", "Basic jf_right"),
        ("/v1/tenants/locked/nowhere", "Bearer jf_wrong"),
        ("/v1/tenants/nosuch/ws", "Bearer jf_wrong"),
    ] {
        assert_eq!(ask(path, token).await, wrong, "{path} {token}");
    }
    let scrape = fixture.metrics.render();
    for (tenant, failures) in [("locked", 3), ("_unknown", 2)] {
        let line = format!("jackfield_auth_failures_total{{tenant=\"{tenant}\"}} {failures}");
        assert!(scrape.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn the_token_is_checked_before_the_upgrade_and_taken_from_either_place() {
    let fixture = Fixture::start(Origins::Any).await;
    let path = "/v1/tenants/locked/ws";
    assert_eq!(fixture.shake(path, &[]).await.status, 401);
    let bearer = [("authorization", "Bearer jf_right")];
    assert_eq!(fixture.shake(path, &bearer).await.status, 101);
    let browser = [("sec-websocket-protocol", "jackfield.v1, bearer.jf_right")];
    let answer = fixture.shake(path, &browser).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.headers["sec-websocket-protocol"], "jackfield.v1");
    assert_eq!(fixture.shake(path, &[("sec-websocket-protocol", "jackfield.v1, bearer.no")]).await.status, 401);
}

#[tokio::test]
async fn a_tenant_has_only_as_many_connections_as_it_may_have() {
    let fixture = Fixture::with_connections(Origins::Any, 2).await;
    let path = "/v1/tenants/open/ws";
    let first = fixture.shake(path, &[]).await;
    let second = fixture.shake(path, &[]).await;
    assert_eq!((first.status, second.status), (101, 101));
    let third = fixture.shake(path, &[]).await;
    assert_eq!(third.status, 503);
    assert!(third.body.contains("quota_exceeded"), "{}", third.body);
    let bearer = [("authorization", "Bearer jf_right")];
    assert_eq!(fixture.shake("/v1/tenants/locked/ws", &bearer).await.status, 101, "another tenant has its own room");
    drop(second);
    let mut again = fixture.shake(path, &[]).await;
    while again.status == 503 {
        tokio::task::yield_now().await;
        again = fixture.shake(path, &[]).await;
    }
    assert_eq!(again.status, 101);
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist_are_refused() {
    let fixture = Fixture::start(Origins::Any).await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/tenants", 404),
        ("GET", "/v1/tenants/open", 404),
        ("GET", "/v1/tenants/open/nowhere", 404),
        ("GET", "/v1/tenants/open/sessions/x", 404),
        ("GET", "/v1/tenants/open/sessions", 405),
        ("POST", "/v1/tenants/open/ws", 405),
        ("POST", "/v1/tenants/open/sessions/x/events", 405),
        ("GET", "/v1/tenants/open/ws", 426),
        ("GET", "/v1/tenants/open/sessions/x/events", 404),
        ("POST", "/v1/tenants/open/sessions/x/commands", 404),
    ] {
        let answer = fixture.ask(method, path, &[], "{}").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let failure: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(failure["result"], "failure", "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_messages() {
    let fixture = Fixture::start(Origins::Any).await;
    let path = "/v1/tenants/open/sessions";
    assert_eq!(fixture.ask("POST", path, &[], &"x".repeat(2000)).await.status, 413);
    let answer = fixture.ask("POST", path, &[], "no JSON").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("bad_request"), "{}", answer.body);
}

#[tokio::test]
async fn pages_connect_only_from_the_listed_origins() {
    let fixture = Fixture::start(Origins::Listed(vec!["https://desk.example".to_owned()])).await;
    let path = "/v1/tenants/open/ws";
    assert_eq!(fixture.shake(path, &[("origin", "https://evil.example")]).await.status, 403);
    assert_eq!(fixture.shake(path, &[("origin", "https://desk.example")]).await.status, 101);
    let sessions = "/v1/tenants/open/sessions";
    let evil = fixture.ask("OPTIONS", sessions, &[("origin", "https://evil.example")], "").await;
    assert_eq!(evil.status, 403);
    assert!(!evil.headers.contains_key("access-control-allow-origin"));
    let preflight = fixture.ask("OPTIONS", sessions, &[("origin", "https://desk.example")], "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "https://desk.example");
}
