//! A configuration that has changed, made true while the host runs.
//!
//! Owns: what becomes of each tenant when its file is new, changed, wrong or gone. Must never: touch a tenant whose file
//! says what it said, or end one because its file has become wrong. Asked for by SIGHUP and by operators.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use crate::{
    config::{self, Auth, Problem, TenantConfig},
    metrics::Metrics,
    plugin::Libraries,
    session::DisposedReason,
    tenant::{Refusal, Tenant, Tenants, Workers},
};

/// How long a tenant whose file is gone may take to end.
const REMOVAL: Duration = Duration::from_secs(15);

/// What is needed to start tenants and to change them.
#[derive(Debug)]
pub struct Reload {
    /// `jackfield.toml`.
    pub file: PathBuf,
    /// Where desktops connect, whatever the file says by now.
    pub listener: SocketAddr,
    /// The tenants that run.
    pub tenants: Arc<Tenants>,
    /// Where plugins are found.
    pub libraries: Libraries,
    /// Where they run.
    pub workers: Workers,
    /// What is counted.
    pub metrics: Metrics,
    /// One at a time.
    pub turn: tokio::sync::Mutex<()>,
}

/// What has become of the tenants.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// By tenant: `started`, `removed`, `replaced` (another adapter: its sessions have ended), `moving` (another version
    /// or other settings: see `/tenants`), `adopted` (limits or tokens), `unchanged`.
    pub tenants: BTreeMap<String, &'static str>,
    /// What is wrong; a tenant that it is about runs on as before.
    pub problems: Vec<String>,
}

impl Reload {
    /// Reads the configuration again and carries out what is new. Of `jackfield.toml` itself only `[limits]` and
    /// `[plugins]` folders are read again; the rest is for the next start.
    ///
    /// # Errors
    /// `jackfield.toml` is wrong, or the tenants' folder cannot be read; nothing has changed then.
    pub async fn run(&self) -> Result<Outcome, Vec<Problem>> {
        let _turn = self.turn.lock().await;
        let file = self.file.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
        let loaded =
            loaded.map_err(|error| vec![Problem::file(&self.file, error.to_string())])?.inspect_err(|problems| {
                for problem in problems {
                    tracing::error!(%problem, "the configuration is not read again");
                }
            })?;
        let mut outcome = Outcome::default();
        let mut problems = loaded.problems;
        // A file that has become wrong is no reason to end who is at work.
        let wrong: Vec<String> = problems.iter().map(|problem| tenant_of(&problem.file)).collect();
        let mut gone = self.tenants.all();
        gone.retain(|tenant| {
            let id = tenant.id();
            !loaded.tenants.iter().any(|config| config.id == id) && !wrong.iter().any(|wrong| wrong == id)
        });
        for tenant in &gone {
            self.tenants.remove(tenant.id());
            tracing::info!(tenant = tenant.id(), "the tenant is served no more");
            outcome.tenants.insert(tenant.id().to_owned(), "removed");
        }
        // Side by side: one that takes its time must not keep the others.
        let ends = gone.iter().map(|tenant| tenant.shut_down(DisposedReason::TenantRemoved, REMOVAL));
        futures_util::future::join_all(ends).await;
        for config in loaded.tenants {
            let id = config.id.clone();
            match self.make_true(config).await {
                Ok(done) => drop(outcome.tenants.insert(id, done)),
                Err(found) => problems.extend(found),
            }
        }
        for problem in &problems {
            tracing::error!(%problem, "not taken over");
        }
        outcome.problems = problems.iter().map(ToString::to_string).collect();
        self.tenants.set_problems(problems);
        tracing::info!(tenants = ?outcome.tenants, problems = outcome.problems.len(), "the configuration was read again");
        Ok(outcome)
    }

    async fn make_true(&self, config: TenantConfig) -> Result<&'static str, Vec<Problem>> {
        must_be_safe(&config.auth, &config.file, self.listener)?;
        let Some(tenant) = self.tenants.find(&config.id) else {
            self.start(config).await?;
            return Ok("started");
        };
        let now = tenant.config();
        let content = self.libraries.find(&config.adapter.path).await;
        let content = content.map_err(|error| vec![Problem::key(&config.file, "adapter", error.to_string())])?;
        // Who may come in and how much they may have needs no other plugin.
        let mut adopted = TenantConfig::clone(&now);
        adopted.take_rules_of(&config);
        let adopts = adopted != *now;
        if adopts {
            tenant.adopt(adopted);
        }
        if *tenant.config() == config && content.digest() == tenant.version().digest {
            return Ok(if adopts { "adopted" } else { "unchanged" });
        }
        match tenant.upgrade(config.clone(), &self.libraries, &self.workers, &self.metrics).await {
            Ok(()) => Ok("moving"),
            Err(Refusal::OtherAdapter { .. }) => {
                // A new one whose settings are wrong must not cost the old one.
                config.settings.resolve(&content.manifest().settings)?;
                self.tenants.remove(tenant.id());
                tenant.shut_down(DisposedReason::TenantRemoved, REMOVAL).await;
                self.start(config).await?;
                Ok("replaced")
            }
            Err(Refusal::Wrong(problems)) => Err(problems),
            Err(refusal) => Err(vec![Problem::file(&config.file, refusal.to_string())]),
        }
    }

    async fn start(&self, config: TenantConfig) -> Result<(), Vec<Problem>> {
        let tenant = Tenant::start(config, &self.libraries, &self.workers, &self.metrics).await?;
        self.tenants.add(tenant);
        Ok(())
    }

    /// Moves a tenant to an adapter's file as it is now, or to another file: as if its own file named it, until the
    /// configuration is read again.
    ///
    /// # Errors
    /// Why it is not begun.
    pub async fn upgrade(&self, tenant: &Arc<Tenant>, wanted: &Wanted) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        let mut config = TenantConfig::clone(&tenant.config());
        if let Some(name) = &wanted.adapter {
            let (file, of, name) = (self.file.clone(), config.file.clone(), name.clone());
            let found = tokio::task::spawn_blocking(move || config::adapter(&file, &of, &name)).await;
            let wrong = |error: String| Refusal::Wrong(vec![Problem::file(&config.file, error)]);
            config.adapter = found.map_err(|error| wrong(error.to_string()))?.map_err(Refusal::Wrong)?;
        }
        if let Some(canary) = wanted.canary {
            config.upgrade.canary = canary;
        }
        if let Some(observe) = wanted.observe {
            config.upgrade.observe = observe;
        }
        tenant.upgrade(config, &self.libraries, &self.workers, &self.metrics).await
    }
}

/// What an operator wants a tenant to be moved to.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Wanted {
    /// An adapter, as a tenant's file names it; otherwise the same as before: its file may have changed. No path: whoever
    /// reaches the operations listener must not be able to run a file of his own.
    pub adapter: Option<String>,
    /// The share of agents who try it first.
    pub canary: Option<f64>,
    /// For how long.
    pub observe: Option<Duration>,
}

impl Wanted {
    /// Reads the query of a request: `adapter=NAME&canary=0.1&observe=5m`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (key, value) in
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        {
            match key {
                "adapter"
                    if value.contains('/') || value.contains('%') || value.starts_with('.') || value.is_empty() =>
                {
                    return Err("adapter: a name, or ID@VERSION; a path can only stand in the tenant's file".to_owned());
                }
                "adapter" => wanted.adapter = Some(value.to_owned()),
                "canary" => match value.parse::<f64>() {
                    Ok(share) if (0.0..1.0).contains(&share) => wanted.canary = Some(share),
                    _ => return Err("canary: from 0 to less than 1, such as 0.1 for a tenth".to_owned()),
                },
                "observe" => match config::duration(value) {
                    Some(duration) => wanted.observe = Some(duration),
                    None => return Err("observe: a duration like 20s, 5m or 1h".to_owned()),
                },
                other => return Err(format!("{other}: there are adapter, canary and observe")),
            }
        }
        Ok(wanted)
    }
}

/// A file that moves the listener to loopback lets everybody in at once, while the listener stays where it is until the next
/// start.
fn must_be_safe(auth: &Auth, file: &Path, listener: SocketAddr) -> Result<(), Vec<Problem>> {
    if *auth != Auth::None || listener.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("\"none\" is not possible before the next start: the host listens on {listener} until then");
    Err(vec![Problem::key(file, "auth.kind", message)])
}

fn tenant_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_wanted() {
        let wanted = Wanted::parse("adapter=simulator@1.2.0&canary=0.25&observe=2m").expect("it is right");
        assert_eq!(wanted.adapter.as_deref(), Some("simulator@1.2.0"));
        assert_eq!((wanted.canary, wanted.observe), (Some(0.25), Some(Duration::from_secs(120))));
        assert_eq!(Wanted::parse(""), Ok(Wanted::default()));
    }

    #[test]
    fn a_query_that_cannot_be_meant_is_refused() {
        for wrong in [
            "canary=1",
            "canary=-0.1",
            "canary=much",
            "observe=soon",
            "adapter=%2Felsewhere%2Fx.so",
            "adapter=/elsewhere/x.so",
            "verison=2",
        ] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_is_let_in_without_a_token_where_the_listener_still_is_open_to_others() {
        let (file, open, loopback) = (Path::new("acme.toml"), "0.0.0.0:8080", "127.0.0.1:8080");
        let judged = |auth: &Auth, listener: &str| must_be_safe(auth, file, listener.parse().expect("an address"));
        let problems = judged(&Auth::None, open).expect_err("it must be refused");
        assert!(problems[0].to_string().contains("0.0.0.0:8080"), "{problems:?}");
        assert_eq!(judged(&Auth::None, loopback), Ok(()));
        assert_eq!(judged(&Auth::Tokens(Vec::new()), open), Ok(()));
    }
}
