//! The operators' listener: metrics, health and lists, for Prometheus and for people with `curl`.
//!
//! Owns: `/metrics`, `/healthz`, `/readyz`, `/tenants`, `/sessions`, `/adapters`, and releasing a tenant from
//! quarantine. Must never: show a secret, or anything
//! of a call or its data. It listens on loopback unless it is told otherwise, because it asks nobody for a token.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderValue},
};
use jackfield_plugin_api::Link;
use serde_json::{Value, json};

use super::{http::Body, text};
use crate::{
    metrics::Metrics,
    tenant::{State, Tenant, Tenants},
};

/// What operators can ask about.
#[derive(Debug)]
pub struct Operations {
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// The metrics.
    pub metrics: Metrics,
    /// Whether desktops are let in.
    pub ready: AtomicBool,
    /// When the tenants began to connect.
    pub since: Instant,
}

/// How long the first attempts to connect tenants may keep the host from being ready.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(5);

impl Operations {
    pub(super) fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if method == Method::POST {
            return self.act(path);
        }
        if method != Method::GET && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET, or POST to act\n");
        }
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" if self.is_ready() => plain(StatusCode::OK, "ready\n"),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/tenants" => json_of(&self.tenants()),
            "/sessions" => json_of(&self.sessions()),
            "/adapters" => json_of(&self.adapters()),
            "/" => plain(StatusCode::OK, "/metrics /healthz /readyz /tenants /sessions /adapters\n"),
            _ => plain(StatusCode::NOT_FOUND, "there is nothing at this address\n"),
        }
    }

    /// What an operator can do: `POST /tenants/TENANT/release`.
    fn act(&self, path: &str) -> Response<Body> {
        let tenant = path.strip_prefix("/tenants/").and_then(|rest| rest.strip_suffix("/release"));
        match tenant.and_then(|tenant| self.tenants.find(tenant)) {
            Some(tenant) if tenant.release() => plain(StatusCode::OK, "released\n"),
            Some(_) => plain(StatusCode::CONFLICT, "it is not in quarantine\n"),
            None => plain(StatusCode::NOT_FOUND, "there is nothing to do at this address\n"),
        }
    }

    /// Desktops are let in, and hardly any would be told that its tenant is only being connected.
    fn is_ready(&self) -> bool {
        let connecting = |tenant: &Arc<Tenant>| tenant.status().0 == State::Connecting;
        self.ready.load(Ordering::Relaxed)
            && (self.since.elapsed() > FIRST_ATTEMPTS || !self.tenants.all().iter().any(connecting))
    }

    fn metrics(&self) -> Response<Body> {
        let tenants = self.tenants.all();
        let mut states: BTreeMap<&'static str, usize> = State::ALL.into_iter().map(|state| (state, 0)).collect();
        for tenant in &tenants {
            tenant.measure();
            *states.entry(tenant.status().0.as_str()).or_default() += 1;
        }
        states.insert("misconfigured", self.wrong_files().len());
        for (state, count) in states {
            self.metrics.set_tenants(state, count);
        }
        let mut response = Response::new(text(self.metrics.render()));
        let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, version);
        response
    }

    /// What is wrong with the tenants that do not run, by their files' names.
    fn wrong_files(&self) -> BTreeMap<String, Vec<String>> {
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for problem in self.tenants.problems() {
            let name = problem.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.entry(name).or_default().push(problem.to_string());
        }
        files
    }

    fn tenants(&self) -> Value {
        let running = self.tenants.all();
        let mut all: Vec<Value> = running.iter().map(|tenant| describe(tenant)).collect();
        for (name, problems) in self.wrong_files() {
            all.push(json!({"id": name, "state": "misconfigured", "problems": problems}));
        }
        Value::Array(all)
    }

    fn sessions(&self) -> Value {
        let mut all = Vec::new();
        for tenant in self.tenants.all() {
            for session in tenant.board().sessions() {
                let mut session = json!(session);
                session["tenant"] = tenant.id().into();
                all.push(session);
            }
        }
        Value::Array(all)
    }

    /// Libraries, each once, with the tenants that use them.
    fn adapters(&self) -> Value {
        let mut adapters: BTreeMap<(String, String), (Value, Vec<Value>)> = BTreeMap::new();
        for tenant in self.tenants.all() {
            let (manifest, config) = (tenant.manifest(), tenant.config());
            let file = &config.adapter.path;
            let about = || {
                json!({
                    "id": manifest.id,
                    "version": manifest.version,
                    "vendor": manifest.vendor,
                    "platform": manifest.platform,
                    "api": tenant.api_version(),
                    "file": file,
                })
            };
            let key = (manifest.id.clone(), format!("{} {}", manifest.version, file.display()));
            adapters.entry(key).or_insert_with(|| (about(), Vec::new())).1.push(json!({
                "id": tenant.id(),
                "isolation": config.isolation.as_str(),
                "worker": tenant.library().and_then(|library| library.worker()),
                "responsive": tenant.library().is_some_and(|library| library.is_responsive()),
            }));
        }
        let with_tenants = |(mut about, tenants): (Value, Vec<Value>)| {
            about["tenants"] = tenants.into();
            about
        };
        Value::Array(adapters.into_values().map(with_tenants).collect())
    }
}

fn describe(tenant: &Tenant) -> Value {
    let (state, link) = tenant.status();
    let reason = match (&state, &link) {
        (State::Waiting { reason } | State::Quarantined { reason } | State::Refused { reason }, _)
        | (_, Some(Link::Down { reason })) => Some(reason),
        _ => None,
    };
    let manifest = tenant.manifest();
    json!({
        "id": tenant.id(),
        "adapter": manifest.id,
        "adapterVersion": manifest.version,
        "state": state.as_str(),
        "link": if link == Some(Link::Up) { "up" } else { "down" },
        "reason": reason,
        "sessions": tenant.board().sessions().len(),
        "sessionsLimit": tenant.config().limits.sessions,
        "file": tenant.config().file,
    })
}

fn plain(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(text(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json_of(value: &Value) -> Response<Body> {
    let mut response = Response::new(text(format!("{value:#}\n")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
