//! A tenant's file, checked as far as it can be without its adapter.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    AdapterFile, HostConfig, Problem, SettingsConfig, TenantLimits,
    layers::Layers,
    limits::Bounds,
    raw,
    token::{Token, check_token},
};
use crate::plugin::worker::{restart::RestartRules, sandbox::Confinement};

/// One tenant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TenantConfig {
    /// Its name: that of its file.
    pub id: String,
    /// Its file, for messages.
    pub file: PathBuf,
    /// Whether it is not to run at all.
    pub suspended: bool,
    /// Its adapter's library.
    pub adapter: AdapterFile,
    /// Where the library runs.
    pub isolation: Isolation,
    /// What its worker may use, and how often it may die.
    pub worker: WorkerConfig,
    /// How it is moved to another version of its adapter.
    pub upgrade: UpgradeConfig,
    /// Who may come in.
    pub auth: Auth,
    /// What it may have.
    pub limits: TenantLimits,
    /// Its adapter's settings.
    pub settings: SettingsConfig,
}

/// Where a library runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Inside the host.
    None,
    /// In one process with the other tenants of the library that say so.
    Adapter,
    /// In a process of its own.
    Tenant,
}

impl Isolation {
    /// The word of the configuration.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Adapter => "adapter",
            Self::Tenant => "tenant",
        }
    }
}

/// What a tenant's worker may use, and how often it may die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerConfig {
    /// What it may use of the machine.
    pub confinement: Confinement,
    /// How long it may be silent.
    pub patience: Duration,
    /// How often it may die.
    pub rules: RestartRules,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        let confinement = Confinement {
            memory: Some(1 << 30),
            tasks: Some(1024),
            files: Some(4096),
            nice: Some(0),
            ..Confinement::default()
        };
        Self { confinement, patience: Duration::from_secs(5), rules: RestartRules::default() }
    }
}

impl WorkerConfig {
    fn check(file: &Path, raw: raw::RawWorker) -> Result<Self, Problem> {
        let usual = Self::default();
        let nice = raw.nice.or(usual.confinement.nice);
        if nice.is_some_and(|nice| !(0..=19).contains(&nice)) {
            return Err(Problem::key(file, "worker.nice", "0 to 19"));
        }
        if raw.tasks == Some(0) {
            return Err(Problem::key(file, "worker.tasks", "1 or more"));
        }
        if raw.crashes == Some(0) {
            return Err(Problem::key(file, "worker.crashes", "1 or more"));
        }
        let paths = raw.read.iter().map(|path| ("worker.read", path));
        for (key, path) in paths.chain(raw.write.iter().map(|path| ("worker.write", path))) {
            if !path.is_absolute() {
                return Err(Problem::key(file, key, format!("{} is not an absolute path", path.display())));
            }
        }
        Ok(Self {
            confinement: Confinement {
                memory: raw.memory.map(|size| size.0).or(usual.confinement.memory),
                tasks: raw.tasks.or(usual.confinement.tasks),
                files: raw.files.or(usual.confinement.files),
                nice,
                read: raw.read,
                write: raw.write,
                closed_ports: Vec::new(),
            },
            patience: raw.patience.map_or(usual.patience, |span| span.0),
            rules: RestartRules {
                crashes: raw.crashes.unwrap_or(usual.rules.crashes),
                within: raw.within.map_or(usual.rules.within, |span| span.0),
                ..usual.rules
            },
        })
    }
}

/// How a tenant is moved to another version of its adapter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct UpgradeConfig {
    /// The share of agents who try the new version first; 0: everybody is moved at once.
    pub canary: f64,
    /// For how long they try it.
    pub observe: Duration,
    /// How long the new version may take until its link is up.
    pub deadline: Duration,
}

impl Default for UpgradeConfig {
    fn default() -> Self {
        Self { canary: 0.0, observe: Duration::from_secs(300), deadline: Duration::from_secs(30) }
    }
}

impl UpgradeConfig {
    fn check(file: &Path, raw: &raw::RawUpgrade) -> Result<Self, Problem> {
        let usual = Self::default();
        let canary = raw.canary.unwrap_or(usual.canary);
        if !(0.0..1.0).contains(&canary) {
            return Err(Problem::key(file, "upgrade.canary", "from 0 to less than 1, such as 0.1 for a tenth"));
        }
        let observe = raw.observe.map_or(usual.observe, |span| span.0);
        Ok(Self { canary, observe, deadline: raw.deadline.map_or(usual.deadline, |span| span.0) })
    }
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Auth {
    /// Everybody; only where the listener is on loopback.
    None,
    /// Who has one of these tokens.
    Tokens(Vec<Token>),
    /// Who has a JSON Web Token of this issuer.
    Jwt(JwtRules),
}

/// Where the public keys of an issuer of JSON Web Tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A file.
    File(PathBuf),
    /// An address: `https`, or `http` on loopback.
    Url(hyper::Uri),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(address) => address.fmt(f),
        }
    }
}

/// Which JSON Web Tokens let an agent in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwtRules {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must contain.
    pub audience: String,
    /// Where the issuer's public keys are.
    pub keys: KeySource,
    /// The claim that must be the tenant's name.
    pub tenant_claim: String,
    /// The claim that names the agent.
    pub agent_claim: String,
}

impl JwtRules {
    fn check(file: &Path, raw: raw::RawJwt) -> Result<Self, Problem> {
        let keys = match (raw.keys_file, raw.keys_url) {
            (Some(path), None) => KeySource::File(file.parent().unwrap_or(Path::new(".")).join(path)),
            (None, Some(address)) => KeySource::Url(key_address(file, &address)?),
            _ => return Err(Problem::key(file, "auth.jwt", "needs keys_file or keys_url, and not both")),
        };
        for (key, text) in [("auth.jwt.issuer", &raw.issuer), ("auth.jwt.audience", &raw.audience)] {
            if text.is_empty() {
                return Err(Problem::key(file, key, "must not be empty"));
            }
        }
        Ok(Self {
            issuer: raw.issuer,
            audience: raw.audience,
            keys,
            tenant_claim: raw.tenant_claim.unwrap_or_else(|| "tenant".to_owned()),
            agent_claim: raw.agent_claim.unwrap_or_else(|| "sub".to_owned()),
        })
    }
}

/// Whoever can change the keys on their way lets himself in, so they come by `https`, or from this machine.
fn key_address(file: &Path, text: &str) -> Result<hyper::Uri, Problem> {
    let wrong = |message: &str| Problem::key(file, "auth.jwt.keys_url", message);
    let address: hyper::Uri = text.parse().map_err(|_| wrong("is no address"))?;
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let local = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match address.scheme_str() {
        Some("https") if !host.is_empty() => Ok(address),
        Some("http") if local => Ok(address),
        _ => Err(wrong("must begin with https://, or with http:// and an address of this machine such as 127.0.0.1")),
    }
}

impl TenantConfig {
    /// Checks what was read from one file. Its adapter has been looked for already; where that failed, what else is wrong
    /// is told, too.
    pub(super) fn check(
        layers: &Layers,
        raw: raw::RawTenant,
        adapter: Result<AdapterFile, Problem>,
        host: &HostConfig,
    ) -> Result<Self, Vec<Problem>> {
        let file = layers.file();
        let id = tenant_of(file);
        if !is_tenant_id(&id) {
            let message = "a tenant's file is named after it: 1 to 63 of a-z, 0-9 and -, then .toml";
            return Err(vec![Problem::file(file, message)]);
        }
        let mut bounds = Bounds::new(layers);
        let limits = TenantLimits::check(&mut bounds, raw.limits);
        let mut problems = bounds.problems;
        let adapter = adapter.map_err(|problem| problems.push(problem)).ok();
        let isolation = isolation(file, raw.isolation.as_deref()).map_err(|problem| problems.push(problem)).ok();
        let worker = WorkerConfig::check(file, raw.worker).map_err(|problem| problems.push(problem)).ok();
        let upgrade = UpgradeConfig::check(file, &raw.upgrade).map_err(|problem| problems.push(problem)).ok();
        let auth = auth(file, host, raw.auth).map_err(|found| problems.extend(found)).ok();
        match (adapter, isolation, worker, upgrade, auth) {
            (Some(adapter), Some(isolation), Some(worker), Some(upgrade), Some(auth)) if problems.is_empty() => {
                Ok(Self {
                    id,
                    file: file.to_owned(),
                    suspended: raw.suspended,
                    adapter,
                    isolation,
                    worker,
                    upgrade,
                    auth,
                    limits,
                    settings: SettingsConfig::new(file, raw.settings),
                })
            }
            _ => Err(problems),
        }
    }
}

impl TenantConfig {
    /// The parts of a tenant's file in which another one differs.
    pub(crate) fn differs_in(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("adapter", self.adapter != other.adapter),
            ("isolation", self.isolation != other.isolation),
            ("worker", self.worker != other.worker),
            ("upgrade", self.upgrade != other.upgrade),
            ("auth", self.auth != other.auth),
            ("limits", self.limits != other.limits),
            ("settings", self.settings != other.settings),
        ];
        parts.into_iter().filter_map(|(part, differs)| differs.then_some(part)).collect()
    }

    /// Takes over what is not a matter of the adapter: who may come in, how much there may be, how it is upgraded.
    pub(crate) fn take_rules_of(&mut self, other: &Self) {
        self.auth.clone_from(&other.auth);
        self.limits = other.limits;
        self.upgrade = other.upgrade;
    }
}

#[cfg(test)]
impl TenantConfig {
    /// A tenant for the tests of other parts.
    pub(crate) fn for_test(id: &str, auth: Auth) -> Self {
        let file = PathBuf::from(format!("{id}.toml"));
        Self {
            id: id.to_owned(),
            suspended: false,
            adapter: AdapterFile { name: "none".to_owned(), path: PathBuf::from("none") },
            isolation: Isolation::None,
            worker: WorkerConfig::default(),
            upgrade: UpgradeConfig::default(),
            auth,
            limits: TenantLimits::default(),
            settings: SettingsConfig::new(&file, serde_json::Map::new()),
            file,
        }
    }
}

/// The tenant that a file is about.
pub(crate) fn tenant_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a text can be a tenant's name.
pub(crate) fn is_tenant_id(id: &str) -> bool {
    (1..=63).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn isolation(file: &Path, value: Option<&str>) -> Result<Isolation, Problem> {
    match value {
        // The default is the one in which a fault of one tenant's adapter hurts no other tenant.
        None | Some("tenant") => Ok(Isolation::Tenant),
        Some("adapter") => Ok(Isolation::Adapter),
        Some("none") => Ok(Isolation::None),
        Some(other) => {
            let message = format!("{other:?} is none; there are \"tenant\", \"adapter\" and \"none\"");
            Err(Problem::key(file, "isolation", message))
        }
    }
}

fn auth(file: &Path, host: &HostConfig, raw: raw::RawAuth) -> Result<Auth, Vec<Problem>> {
    match raw.kind {
        raw::AuthKind::None => {
            let mut problems = Vec::new();
            if !host.listener.address.ip().is_loopback() {
                let message = format!(
                    "\"none\" is only possible where listener.address is on loopback, and it is {}",
                    host.listener.address
                );
                problems.push(Problem::key(file, "auth.kind", message));
            }
            if raw.tokens.is_some() {
                problems.push(Problem::key(file, "auth.tokens", "goes with kind = \"token\" only"));
            }
            if raw.jwt.is_some() {
                problems.push(Problem::key(file, "auth.jwt", "goes with kind = \"jwt\" only"));
            }
            if problems.is_empty() { Ok(Auth::None) } else { Err(problems) }
        }
        raw::AuthKind::Jwt => {
            if raw.tokens.is_some() {
                return Err(vec![Problem::key(file, "auth.tokens", "goes with kind = \"token\" only")]);
            }
            let Some(jwt) = raw.jwt else {
                return Err(vec![Problem::key(file, "auth.jwt", "is missing: it says whose tokens let agents in")]);
            };
            JwtRules::check(file, jwt).map(Auth::Jwt).map_err(|problem| vec![problem])
        }
        raw::AuthKind::Token => {
            if raw.jwt.is_some() {
                return Err(vec![Problem::key(file, "auth.jwt", "goes with kind = \"jwt\" only")]);
            }
            let Some(tokens) = raw.tokens else {
                return Err(vec![Problem::key(file, "auth.tokens", "is missing; `jackfield token new` makes one")]);
            };
            let checked: Vec<_> = tokens
                .into_iter()
                .enumerate()
                .map(|(index, token)| check_token(file, "auth.tokens", index, token))
                .collect();
            let (right, wrong): (Vec<_>, Vec<_>) = checked.into_iter().partition(Result::is_ok);
            if wrong.is_empty() {
                Ok(Auth::Tokens(right.into_iter().flatten().collect()))
            } else {
                Err(wrong.into_iter().filter_map(Result::err).collect())
            }
        }
    }
}
