//! The operators' listener: metrics, health and lists, for Prometheus and for people with `curl`.
//!
//! Owns: `/metrics`, `/healthz`, `/readyz`, `/tenants`, `/sessions`, `/adapters`, and what operators can do: reload the
//! configuration, move a tenant to another version of its adapter and back, release one from quarantine, drain, suspend,
//! resume and remove one, end a session. Must never: show a secret, or anything of a call or its data; act for a page in
//! somebody's browser; run a file that no configuration names.
//!
//! ```text
//! access.rs   who may ask
//! query.rs    what a request's query says
//! describe.rs what is shown of a tenant and of a session
//! ```

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{
    Method, Request, Response, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

mod access;
mod describe;
mod query;

use access::OperatorAccess;

use super::response::{Body, json_text, metrics_text};
use crate::{
    audit::TARGET,
    config::{OperatorRight, Problem},
    log_limit::LogLimit,
    logging::HostLog,
    metrics::Metrics,
    reload::Reload,
    session::SessionDetails,
    tenant::{HostedTenant, TenantState, Tenants},
};

/// What operators can ask about.
#[derive(Debug)]
pub(crate) struct Operations {
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// How they are changed.
    pub reload: Arc<Reload>,
    /// The metrics.
    pub metrics: Metrics,
    /// Whether desktops are let in.
    pub ready: AtomicBool,
    /// The log, which counts what it has lost.
    pub log: Arc<HostLog>,
    /// When the tenants began to connect.
    pub since: Instant,
    access: OperatorAccess,
    acts: Semaphore,
    refusals: LogLimit,
}

/// How long the first attempts to connect tenants may keep the host from being ready.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(5);

/// What operators do at the same time; the rest of the listener's connections is for those who look.
const ACTS: usize = 16;
/// Lines a minute about requests that were refused.
const REFUSALS: u32 = 30;

impl Operations {
    /// A host that is ready, and whose tenants begin to connect now. `hosts`: names by which the listener is reached, beside
    /// `localhost` and every address.
    #[must_use]
    pub(crate) fn new(hosts: Vec<String>, reload: Arc<Reload>, metrics: Metrics, log: Arc<HostLog>) -> Self {
        Self {
            tenants: Arc::clone(reload.tenants()),
            reload,
            metrics,
            ready: AtomicBool::new(true),
            log,
            since: Instant::now(),
            access: OperatorAccess { hosts },
            acts: Semaphore::new(ACTS),
            refusals: LogLimit::per_minute(REFUSALS),
        }
    }

    pub(super) async fn answer<B>(&self, request: &Request<B>, peer: SocketAddr) -> Response<Body> {
        let (method, path) = (request.method(), request.uri().path());
        let wanted = match path {
            // An orchestrator asks, which has no token, and learns nothing else.
            "/healthz" | "/readyz" => None,
            _ if method == Method::POST => Some(OperatorRight::Act),
            _ => Some(OperatorRight::Read),
        };
        let operator = match self.access.check(request, self.reload.operators(), wanted) {
            Ok(operator) => operator,
            Err((status, why)) => return self.refuse(status, why, peer),
        };
        if method == Method::POST {
            let Ok(_turn) = self.acts.try_acquire() else {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "too much is being done already\n");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                return response;
            };
            let response = self.act(path, request.uri().query().unwrap_or_default()).await;
            let status = response.status().as_u16();
            let tenant = path.strip_prefix("/tenants/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let query = request.uri().query().unwrap_or_default();
            tracing::info!(target: TARGET, client = %peer, %operator, ?path, ?query, tenant, status, "an operator has acted");
            return response;
        }
        if method != Method::GET && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET, or POST to act\n");
        }
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => match self.unready() {
                None => plain(StatusCode::OK, "ready\n"),
                Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
            },
            "/tenants" => json_of(&self.tenants()),
            "/sessions" => json_of(&self.sessions()),
            "/adapters" => json_of(&self.adapters()),
            "/" => plain(StatusCode::OK, "/metrics /healthz /readyz /tenants /sessions /adapters\n"),
            _ => self.one(path).unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "there is nothing at this address\n")),
        }
    }

    /// One tenant, `/tenants/TENANT`, or one session, `/sessions/ID`.
    fn one(&self, path: &str) -> Option<Response<Body>> {
        if let Some(tenant) = path.strip_prefix("/tenants/") {
            return Some(json_of(&describe::tenant_in_full(&*self.tenants.find(tenant)?)));
        }
        let id = path.strip_prefix("/sessions/")?;
        let (tenant, details) = self.session(id)?;
        Some(json_of(&describe::session(&tenant, &details)))
    }

    /// The session that the lists show with this id.
    fn session(&self, id: &str) -> Option<(Arc<HostedTenant>, SessionDetails)> {
        self.tenants.all().into_iter().find_map(|tenant| {
            let details = tenant.sessions().details(id)?;
            Some((tenant, details))
        })
    }

    fn refuse(&self, status: StatusCode, why: &'static str, peer: SocketAddr) -> Response<Body> {
        if let Some(left_out) = self.refusals.pass() {
            let status = status.as_u16();
            tracing::warn!(target: TARGET, client = %peer, status, left_out, "an operator's request was refused: {why}");
        }
        let mut response = plain(status, why);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// What an operator can do: `POST /reload`, `/sessions/ID/end`, and `/tenants/TENANT/` with `upgrade`, `rollback`,
    /// `release`, `drain`, `suspend`, `resume` or `remove`.
    async fn act(&self, path: &str, query: &str) -> Response<Body> {
        let nothing = || plain(StatusCode::NOT_FOUND, "there is nothing to do at this address\n");
        if !self.ready.load(Ordering::Relaxed) {
            // What is begun now would outlive the end, or be ended at once.
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down\n");
        }
        if path == "/reload" {
            return match self.reload.run().await {
                Ok(outcome) => json_of(&json!(outcome)),
                Err(problems) => wrong(&problems),
            };
        }
        if let Some(id) = path.strip_prefix("/sessions/").and_then(|rest| rest.strip_suffix("/end")) {
            let Some((tenant, _)) = self.session(id) else { return nothing() };
            let ended = tenant.sessions().end(id).await;
            return if ended { plain(StatusCode::OK, "ended\n") } else { nothing() };
        }
        let Some((tenant, action)) = path.strip_prefix("/tenants/").and_then(|rest| rest.split_once('/')) else {
            return nothing();
        };
        if action == "resume" {
            return match self.reload.resume(tenant).await {
                Ok(true) => plain(StatusCode::OK, "resumed\n"),
                Ok(false) => plain(StatusCode::CONFLICT, "it is neither suspended nor drained\n"),
                Err(problems) => wrong(&problems),
            };
        }
        let Some(tenant) = self.tenants.find(tenant) else { return nothing() };
        self.act_on(&tenant, action, query).await.unwrap_or_else(nothing)
    }

    /// Does something with a tenant that runs; `None`: there is nothing of this name to do, or the tenant is gone by now.
    async fn act_on(&self, tenant: &Arc<HostedTenant>, action: &str, query: &str) -> Option<Response<Body>> {
        let begun = match action {
            "release" if tenant.release() => return Some(plain(StatusCode::OK, "released\n")),
            "release" => return Some(plain(StatusCode::CONFLICT, "it is neither in quarantine nor refused\n")),
            "suspend" => {
                let suspended = self.reload.suspend(tenant.id()).await;
                return suspended.then(|| plain(StatusCode::OK, "suspended\n"));
            }
            "remove" => {
                let removed = self.reload.remove(tenant.id()).await;
                return removed.then(|| plain(StatusCode::OK, "removed\n"));
            }
            "drain" => match query::within(query) {
                Ok(within) => {
                    let draining = self.reload.drain(tenant.id(), within).await;
                    return draining.then(|| with_status(StatusCode::ACCEPTED, json_of(&describe::tenant(tenant))));
                }
                Err(wrong) => return Some(not_done(StatusCode::BAD_REQUEST, &wrong)),
            },
            "rollback" => tenant.roll_back(&self.metrics),
            "upgrade" => match query::wanted(query) {
                Ok(wanted) => self.reload.upgrade(tenant, &wanted).await,
                Err(wrong) => return Some(not_done(StatusCode::BAD_REQUEST, &wrong)),
            },
            _ => return None,
        };
        Some(match begun {
            Ok(()) => with_status(StatusCode::ACCEPTED, json_of(&describe::tenant(tenant))),
            Err(refusal) => not_done(StatusCode::CONFLICT, &refusal.to_string()),
        })
    }

    /// Why desktops should go elsewhere, or wait: the host is ending, no tenant runs, or hardly any desktop would be told
    /// more than that its tenant is only being connected.
    fn unready(&self) -> Option<&'static str> {
        let tenants = self.tenants.all();
        let connecting = |tenant: &Arc<HostedTenant>| tenant.status().0 == TenantState::Connecting;
        if !self.ready.load(Ordering::Relaxed) {
            Some("not ready: the host is shutting down\n")
        } else if tenants.is_empty() {
            Some("not ready: no tenant runs\n")
        } else if self.since.elapsed() <= FIRST_ATTEMPTS && tenants.iter().any(connecting) {
            Some("not ready: tenants are being connected\n")
        } else {
            None
        }
    }

    fn metrics(&self) -> Response<Body> {
        let tenants = self.tenants.all();
        let mut states: BTreeMap<&'static str, usize> =
            TenantState::WORDS.into_iter().map(|state| (state, 0)).collect();
        for tenant in &tenants {
            tenant.measure();
            *states.entry(tenant.state_word()).or_default() += 1;
        }
        states.insert("misconfigured", self.wrong_files().len());
        states.insert("suspended", self.tenants.suspended().len());
        for (state, count) in states {
            self.metrics.set_tenants(state, count);
        }
        self.metrics.set_log_lines_lost(self.log.lost_lines());
        metrics_text(self.metrics.render())
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
        let mut all: Vec<Value> = running.iter().map(|tenant| describe::tenant(tenant)).collect();
        all.extend(self.tenants.suspended().into_iter().map(|id| json!({"id": id, "state": "suspended"})));
        for (name, problems) in self.wrong_files() {
            all.push(json!({"id": name, "state": "misconfigured", "problems": problems}));
        }
        Value::Array(all)
    }

    fn sessions(&self) -> Value {
        let mut all = Vec::new();
        for tenant in self.tenants.all() {
            for session in tenant.sessions().list() {
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
            let serving = tenant.version();
            let about = || {
                json!({
                    "id": serving.adapter,
                    "version": serving.version,
                    "vendor": serving.vendor,
                    "platform": serving.platform,
                    "api": serving.api,
                    "file": serving.file,
                    "digest": serving.digest,
                })
            };
            let key = (serving.adapter.clone(), format!("{} {}", serving.version, serving.file.display()));
            adapters.entry(key).or_insert_with(|| (about(), Vec::new())).1.push(json!({
                "id": tenant.id(),
                "isolation": serving.isolation.as_str(),
                "worker": serving.worker,
                "responsive": serving.responsive,
            }));
        }
        let with_tenants = |(mut about, tenants): (Value, Vec<Value>)| {
            about["tenants"] = tenants.into();
            about
        };
        Value::Array(adapters.into_values().map(with_tenants).collect())
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Why something is not done.
fn not_done(status: StatusCode, problem: &str) -> Response<Body> {
    with_status(status, json_of(&json!({"problem": problem})))
}

/// What is wrong with files.
fn wrong(problems: &[Problem]) -> Response<Body> {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    with_status(StatusCode::UNPROCESSABLE_ENTITY, json_of(&json!({"problems": problems})))
}

fn with_status(status: StatusCode, mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = status;
    response
}

fn json_of(value: &Value) -> Response<Body> {
    json_text(format!("{value:#}\n"))
}
