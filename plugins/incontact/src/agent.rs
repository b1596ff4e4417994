//! The contract's traits: the adapter, a tenant, an agent at work.
//!
//! Owns: who may log in as whom, and what is kept to go on after a crash. What commands do is in
//! [`commands`](crate::commands), what CXone tells comes by the agent's [`line`](crate::line).

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jackfield_plugin_api::{
    Adapter, Agent, AgentHost, Code, Command, Ending, Failure, Login, Outcome, Platform, PlatformHost, StartOptions,
    Tenant,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::{
    api::Api,
    commands,
    directory::Directory,
    http::Http,
    line::{Line, Who},
    model::{Case, Desk, DeskChannel, Facts, LegStatus, Media, Model},
    settings::Settings,
    sign_in,
    token::Key,
};

/// The adapter.
#[derive(Default)]
pub struct InContact {
    /// One client for all tenants without root certificates of their own: it keeps connections and the system's roots.
    http: OnceLock<Http>,
}

impl InContact {
    fn http(&self, roots: Option<&str>) -> Result<Http, Failure> {
        match (roots, self.http.get()) {
            (Some(roots), _) => Http::new(Some(roots)),
            (None, Some(http)) => Ok(http.clone()),
            (None, None) => Http::new(None).map(|http| self.http.get_or_init(|| http).clone()),
        }
    }
}

impl Adapter for InContact {
    type Platform = Cxone;

    fn load() -> Result<Self, Failure> {
        Ok(Self::default())
    }

    async fn connect(&self, tenant: Tenant, host: PlatformHost) -> Result<Cxone, Failure> {
        let settings: Settings = tenant.settings.parse()?;
        settings.check()?;
        let service = settings.service_key.clone().map(|key| Key::access(key.id, key.secret));
        let http = self.http(settings.tls.roots.as_deref())?;
        let api = Arc::new(Api::new(settings, http, host));
        let keeper = api.clone();
        let keeper = tokio::spawn(async move { keeper.keep().await });
        let directory = Directory::new(api.clone(), service.clone());
        Ok(Cxone { api, service, directory, keeper })
    }
}

/// A tenant of CXone.
pub struct Cxone {
    api: Arc<Api>,
    service: Option<Key>,
    directory: Arc<Directory>,
    keeper: JoinHandle<()>,
}

impl Drop for Cxone {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What is kept to go on after a crash. The host holds it in memory only, as it held the password before.
#[derive(Serialize, Deserialize)]
struct Resume {
    key: Key,
    agent: String,
    acting: bool,
    id: Option<String>,
    desk: Desk,
    cases: Vec<Case>,
    /// The session listens to the address book.
    listens: bool,
}

impl Platform for Cxone {
    type Agent = Seat;

    async fn log_in(&self, login: Login, host: AgentHost) -> Result<Seat, Failure> {
        let kept: Option<Resume> = login.resume.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let mut model = Model::default();
        let (who, id, listens) = match kept {
            Some(kept) => {
                model.desk = kept.desk;
                model.cases.list = kept.cases;
                if kept.id.is_some() {
                    model.facts = Facts::unknown();
                }
                let key = kept.key;
                (Who { key, agent: kept.agent, acting: kept.acting, session: login.session }, kept.id, kept.listens)
            }
            None => (self.authenticate(login).await?, None, false),
        };
        let line = Line::new(self.api.clone(), self.directory.clone(), host, who, model);
        if listens {
            line.listen(true);
        }
        Ok(Seat { line, resumed: Mutex::new(id), running: AtomicBool::new(false) })
    }

    async fn disconnect(&self) {
        self.keeper.abort();
    }
}

impl Cxone {
    /// Finds out who logs in: an agent whom the service key acts for, or one with an access key of his own.
    async fn authenticate(&self, login: Login) -> Result<Who, Failure> {
        let wrong = || Failure::new(Code::Unauthorized, "agent or password is wrong");
        let password = login.password.ok_or_else(wrong)?;
        if self.api.settings.sign_in.is_some() && !self.api.settings.agents.contains_key(&login.agent) {
            match sign_in::Answer::read(&password) {
                sign_in::Answer::None => return Err(sign_in::ask(&self.api).await?.into_failure()),
                sign_in::Answer::Code(answer) => {
                    let (key, claims) = sign_in::redeem(&self.api, &answer, |claims| claims.is(&login.agent)).await?;
                    return Ok(Who { key, agent: claims.agent, acting: false, session: login.session });
                }
                sign_in::Answer::Password => {}
            }
        }
        if let (Some(named), Some(service)) = (self.api.settings.agents.get(&login.agent), &self.service) {
            if named.password != password {
                return Err(wrong());
            }
            self.api.log_in(service).await?;
            let agent = named.agent_id.to_string();
            return Ok(Who { key: service.clone(), agent, acting: true, session: login.session });
        }
        let key = Key::access(login.agent, password);
        let claims = self.api.log_in(&key).await?;
        if claims.agent.is_empty() {
            return Err(Failure::new(Code::Unauthorized, "the access key's user is not an agent"));
        }
        Ok(Who { key, agent: claims.agent, acting: false, session: login.session })
    }
}

/// An agent at work.
pub struct Seat {
    line: Arc<Line>,
    /// The session id from before a crash, until it is used.
    resumed: Mutex<Option<String>>,
    running: AtomicBool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl Seat {
    /// Begins to poll, and gets in step with a session that is there.
    async fn run(&self) -> Result<(), Failure> {
        let patience = self.line.api.settings.timing.event();
        if self.running.swap(true, Ordering::Relaxed) {
            return self.line.in_step(patience).await;
        }
        self.line.spawn();
        let resumed = self.resumed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = match resumed {
            Some(id) => {
                self.line.resume(id);
                self.line.in_step(patience).await
            }
            None => self.line.find_session().await.map(drop),
        };
        if found.is_err() {
            self.running.store(false, Ordering::Relaxed);
        }
        found
    }
}

impl Agent for Seat {
    async fn start(&self, options: StartOptions) -> Result<(), Failure> {
        self.run().await?;
        self.line.with(|model| {
            // An agent who is at work already sits where CXone says.
            let kind = self.line.api.settings.station;
            let there = model.facts.session.as_ref().map(|session| session.endpoint(kind).to_owned());
            let at_work = there.is_some() && (model.facts.leg == LegStatus::Up || model.desk.base().0);
            if let Some(endpoint) = there.filter(|station| !station.is_empty()).or(options.extension)
                && model.desk.get(Media::Call).is_none()
            {
                let channel = DeskChannel { opened: at_work, ..DeskChannel::new(Media::Call, endpoint) };
                model.desk.channels.insert(0, channel);
            }
        });
        self.line.report_snapshot();
        Ok(())
    }

    async fn command(&self, command: Command) -> Outcome {
        commands::carry_out(&self.line, command).await
    }

    async fn snapshot(&self) -> Result<(), Failure> {
        self.line.api.circuit.check()?;
        self.run().await?;
        self.line.report_snapshot();
        Ok(())
    }

    async fn log_out(&self, ending: Ending) -> Result<(), Failure> {
        if ending == Ending::LogOut {
            match self.line.end_session().await {
                Err(failure) if self.line.api.circuit.check().is_err() => {
                    tracing::warn!("the agent session is left to CXone's inactivity timeout: {failure}");
                }
                ended => ended?,
            }
        }
        self.line.close();
        self.line.directory.stop_listening(&self.line.session);
        Ok(())
    }

    fn resume_state(&self) -> Vec<u8> {
        let (desk, cases) = self.line.peek(|model| (model.desk.clone(), model.cases.list.clone()));
        let resume = Resume {
            key: self.line.api.current(&self.line.key),
            agent: self.line.agent.clone(),
            acting: self.line.acting,
            id: self.line.resume_id(),
            desk,
            cases,
            listens: self.line.directory.listens(&self.line.session),
        };
        serde_json::to_vec(&resume).unwrap_or_default()
    }
}
