//! The agent session: joined, started, ended.

use hyper::Method;
use jackfield_plugin_api::{Code, Failure};
use serde_json::{Value, json};

use super::{Ids, Line, open};
use crate::{
    api::{Call, Group, Refusal, session_id},
    http::encode,
    model::{After, Contact, Facts},
    settings::StationKind,
};

impl Line {
    fn adopt(&self, answer: &Value) -> Result<(), Refusal> {
        let Some(id) = session_id(answer) else {
            let failure = Failure::new(Code::Rejected, "CXone has given no session id");
            return Err(Refusal::NotAsked(failure));
        };
        open(&self.start_failed).take();
        *open(&self.ids) = Ids { current: Some(id), fresh: true, ..Ids::default() };
        Ok(())
    }

    /// Goes on with a session id from before a crash; polling it replays the state.
    pub(crate) fn resume(&self, id: String) {
        *open(&self.ids) = Ids { current: Some(id.clone()), older: Some(id), ..Ids::default() };
        self.need_replay();
    }

    /// Joins the agent's session. Whether there is one.
    pub(super) async fn join(&self) -> Result<bool, Refusal> {
        match self.session_call("agent-sessions/join", json!({})).await {
            Ok(answer) => self.adopt(&answer).map(|()| true),
            // Which of these means "none" is not documented.
            Err(Refusal::Answered { status: 400 | 404 | 409, .. }) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// Joins the agent's session and waits for its state. Whether there is one.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) async fn find_session(&self) -> Result<bool, Failure> {
        if !self.join().await? {
            return Ok(false);
        }
        self.begin().await?;
        Ok(true)
    }

    /// Starts an agent session at a station and waits for its state.
    ///
    /// # Errors
    /// CXone refuses.
    pub(crate) async fn start_session(&self, station: &str) -> Result<(), Failure> {
        let name = match self.api.settings.station {
            StationKind::PhoneNumber => "stationPhoneNumber",
            StationKind::StationId => "stationId",
        };
        let params = json!({name: station, "inactivityTimeout": self.api.settings.inactivity_minutes});
        match self.session_call("agent-sessions", params).await {
            // What has begun without telling its id can be joined.
            Ok(answer) => match self.adopt(&answer) {
                Err(refusal) if !self.join().await.unwrap_or(false) => return Err(refusal.failure()),
                _ => {}
            },
            // Another window of the agent's may have been faster.
            Err(refusal @ Refusal::Answered { status: 409, .. }) => {
                if !self.join().await.unwrap_or(false) {
                    let failure = refusal.failure();
                    return Err(in_use(failure.context.unwrap_or_default()));
                }
            }
            // It may have been started: join it.
            Err(Refusal::Unknown(why)) => {
                if !self.join().await.unwrap_or(false) {
                    return Err(Refusal::Unknown(why).failure());
                }
            }
            Err(refusal) => return Err(refusal.failure()),
        }
        self.begin().await?;
        match open(&self.start_failed).take() {
            Some(words) => Err(in_use(format!("CXone: SessionStartFailed {words}"))),
            None => Ok(()),
        }
    }

    async fn begin(&self) -> Result<(), Failure> {
        self.need_replay();
        self.in_step(self.api.settings.timing.event()).await
    }

    async fn session_call(&self, path: &str, mut params: Value) -> Result<Value, Refusal> {
        if self.acting {
            params["asAgentId"] = json!(self.agent);
        }
        let patience = self.api.settings.timing.request();
        let call = Call { group: Group::Session, method: Method::POST, path, params, patience };
        self.api.call(&self.key, call).await.map(|(_, body)| body)
    }

    /// Ends the agent session and everything in it; but not contacts that only NICE's own client handles: those the
    /// agent has there. Returns once CXone has logged him out: who logs in next must not meet the session that dies.
    ///
    /// # Errors
    /// CXone refuses.
    pub(crate) async fn end_session(&self) -> Result<(), Failure> {
        let Ok(id) = self.id() else { return Ok(()) };
        open(&self.ids).leaving = true;
        let foreign = |contact: &Contact| contact.live() && !contact.now.media.handled();
        let others = self.look(|facts| facts.contacts.iter().any(foreign));
        let out = |facts: &Facts| facts.session.is_none().then(|| Ok(String::new()));
        let (number, out) = self.want(After::Nothing, out);
        let path = format!("agent-sessions/{}", encode(&id));
        let params = json!({"forceLogoff": !others, "endContacts": !others, "ignorePersonalQueue": true});
        let patience = self.api.settings.timing.request();
        let call = Call { group: Group::Session, method: Method::DELETE, path: &path, params, patience };
        match self.api.call(&self.key, call).await {
            Ok(_) => {
                // It is told of by an event, or by a poll that finds no session; either ends the waiting.
                let patience = self.api.settings.timing.event();
                let told = tokio::time::timeout(patience, out).await;
                if self.look(|facts| facts.session.is_some()) && (told.is_ok() || !self.rejoin_to_end().await) {
                    self.with(|model| model.unwant(number));
                    open(&self.ids).leaving = false;
                    return Err(match told {
                        Ok(Ok(Err(words))) => words,
                        _ => Failure::new(Code::Timeout, "CXone has accepted the logout, but the session goes on")
                            .context(format!("CXone: no AgentSessionEnd within {} s", patience.as_secs())),
                    });
                }
            }
            Err(Refusal::Answered { status: 400 | 404 | 409 | 410, .. }) if !others && self.rejoin_to_end().await => {}
            Err(Refusal::Answered { status: 404, .. }) => {}
            Err(refusal) => {
                self.with(|model| model.unwant(number));
                open(&self.ids).leaving = false;
                let failure = refusal.failure();
                let words = if others {
                    "the agent has contacts in NICE's own client; CXone does not end the agent session"
                } else {
                    "CXone does not end the agent session"
                };
                return Err(Failure::new(Code::Rejected, words).context(failure.context.unwrap_or(failure.message)));
            }
        }
        *open(&self.ids) = Ids::default();
        Ok(())
    }

    async fn rejoin_to_end(&self) -> bool {
        // A session that cannot be joined is over, which is what was wanted.
        matches!(self.join().await, Ok(false))
    }
}

fn in_use(words: String) -> Failure {
    Failure::new(Code::Conflict, "the agent session cannot be started: the agent or the station is in use")
        .context(words)
}
