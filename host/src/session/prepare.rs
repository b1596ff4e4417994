//! How a session comes to be.
//!
//! Owns: the order of things in prepareSession (the platform checks the agent first of all, then a live session of the
//! agent is confirmed or replaced) and undoing it at every point where nobody waits for it any more. Must never: keep an
//! agent that no session owns.

use std::{net::IpAddr, time::Duration};

use jackfield_plugin_api::{Code, Failure, Link, Login};
use jackfield_protocol::{
    data,
    message::{Request, Response},
};
use serde_json::json;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    DisposedReason, HttpAnswer, HttpOutcome, Identity, SessionManager,
    adapter_connection::CurrentPlatform,
    commands::PREPARE,
    handle::SessionHandle,
    input::Control,
    registry::{Closing, NotAdded},
    state::SessionState,
    task,
};
use crate::{
    metrics::{CommandLabel, OutcomeLabel},
    traces::CommandTrace,
};

/// How long a replaced session may take to go before the new one goes on all the same.
const REPLACE_DEADLINE: Duration = Duration::from_secs(6);

/// The longest part of an agent's name that the log repeats.
const LONGEST_AGENT: usize = 100;

/// What became of prepareSession.
pub(super) enum Prepared {
    /// There is a session now.
    Session(SessionHandle, String),
    /// There is none.
    Refused(String),
}

/// Why there is no session.
enum Refusal {
    Failure(Failure),
    /// The agent has a live session.
    Confirm,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Ends a session when it is dropped, unless it was disarmed: the session is unfinished, or its answer was not delivered.
struct UndoGuard(Option<SessionHandle>);

impl UndoGuard {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for UndoGuard {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            undo(&session);
        }
    }
}

/// Ends a session that no client knows of.
pub(super) fn undo(session: &SessionHandle) {
    session.control(Control::End { reason: None, done: None });
}

impl SessionManager {
    /// prepareSession by HTTP, from an address. Dropping the future undoes it, when the platform has answered.
    pub(crate) async fn prepare(&self, identity: Identity, address: IpAddr, text: &str) -> HttpAnswer {
        let request = match self.parse(text) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        if let Err(answer) = self.admit(&request, None) {
            return answer;
        }
        if request.command() != PREPARE {
            return HttpAnswer::carried(self.answer_unbound(&request));
        }
        // In a task of its own, which outlives a client that gives up: whoever does not wait for the platform's word on a
        // password has tried it all the same, and that is counted and told.
        let (answer, answered) = oneshot::channel();
        let (manager, prepares) = (self.clone(), request.clone());
        tokio::spawn(async move {
            let prepared = manager.prepare_session(&prepares, &identity, address).await;
            if let Err(Prepared::Session(session, _)) = answer.send(prepared) {
                undo(&session);
            }
        });
        match answered.await {
            Err(_) => {
                let failure = Failure::new(Code::Internal, "a fault of the host");
                HttpAnswer::carried(self.refuse_for_now(&request, &failure))
            }
            Ok(Prepared::Session(_, text)) => HttpAnswer::carried(text),
            Ok(Prepared::Refused(text)) => match self.registry().closing() {
                Some(Closing { retry_after: Some(retry_after) }) => {
                    HttpAnswer { text, outcome: HttpOutcome::ShuttingDown { retry_after } }
                }
                _ => HttpAnswer::carried(text),
            },
        }
    }

    /// Carries out prepareSession. Dropping the future undoes it; the platform's word on the password is then never known.
    pub(super) async fn prepare_session(&self, request: &Request, identity: &Identity, address: IpAddr) -> Prepared {
        let since = Instant::now();
        let label = CommandLabel::of(PREPARE);
        let mut trace = self.metrics().trace(request, label, since);
        let prepared = self.try_prepare(request, identity, address, trace.as_deref_mut()).await;
        self.audit(&prepared, request, identity, address);
        let answer = |response: Response<'_>| {
            if let Some(trace) = trace {
                trace.end(OutcomeLabel::of(&response));
            }
            self.answer(request, label, since, response)
        };
        match prepared {
            Ok(session) => {
                let data = json!({"session": {"id": session.id()}}).into();
                let text = answer(Response::SuccessWith(&data));
                Prepared::Session(session, text)
            }
            Err(Refusal::Confirm) => {
                let words = "the agent has a live session; with override it is replaced";
                Prepared::Refused(answer(Response::Confirm(words)))
            }
            Err(Refusal::Failure(failure)) => Prepared::Refused(answer(Response::Failure(&failure))),
        }
    }

    /// Tells the audit log what became of a log-in.
    fn audit(
        &self,
        prepared: &Result<SessionHandle, Refusal>,
        request: &Request,
        identity: &Identity,
        address: IpAddr,
    ) {
        let (registry, by) = (self.registry(), identity.issuer().unwrap_or_default());
        let agent = || {
            let data = data::parse::<data::PrepareData>(request.data());
            data.map_or_else(|_| String::new(), |data| data.agent.id.chars().take(LONGEST_AGENT).collect())
        };
        let (audit, tenant) = (&registry.audit, &registry.tenant);
        match prepared {
            Ok(session) => audit.accepted(tenant, session.agent(), address, by, session.short_id()),
            Err(Refusal::Confirm) => audit.asked(tenant, &agent(), address, by),
            Err(Refusal::Failure(failure)) => audit.refused(tenant, &agent(), address, by, failure.code.as_str()),
        }
    }

    async fn try_prepare(
        &self,
        request: &Request,
        identity: &Identity,
        address: IpAddr,
        mut trace: Option<&mut CommandTrace>,
    ) -> Result<SessionHandle, Refusal> {
        let data::PrepareData { model, replace, agent: data::Credentials { id: agent, password } } =
            data::parse(request.data()).map_err(|what| Failure::new(Code::BadRequest, what))?;
        if !identity.may_log_in(&agent) {
            return Err(Failure::new(Code::Forbidden, "the token is another agent's").into());
        }
        let registry = self.registry();
        if let Some(closing) = registry.closing() {
            return Err(shutting_down(closing));
        }
        let connection = self.connection_for_newcomer();
        let (link, _) = connection.link();
        if let Link::Down { reason } = link {
            return Err(Failure::new(Code::LinkDown, "the link to the platform is down").context(reason).into());
        }
        let Some(CurrentPlatform { platform, command_set }) = connection.current() else {
            return Err(Failure::new(Code::LinkDown, "the adapter is being started").into());
        };
        let _room = registry.reserve(&agent, replace)?;
        let turn = registry.turn().await?;
        let attempt = registry.passwords.begin(&agent, address)?;
        let id = new_id()?;
        let handle = SessionHandle::new(&id, &agent, model.as_deref(), identity.clone(), connection.clone());
        let (limits, metrics) = (registry.limits(), registry.metrics.clone());
        // Begun before the log-in: a link that is lost during it is not overlooked.
        let session = SessionState::new(&id, limits.clone(), metrics, connection.clone(), command_set, Instant::now());
        let login = Login::new(agent, password, id).model(model);
        if let Some(trace) = &mut trace {
            trace.asked();
        }
        let agent = platform.log_in(login, handle.sink(0), limits.command_deadline).await;
        if let Some(trace) = trace {
            trace.answered();
        }
        drop(turn);
        let failure = agent.as_ref().err().map(|failure| failure.code);
        connection.answered(failure);
        attempt.answered(failure);
        task::spawn(session, agent?, handle.clone(), registry.clone());
        // From here on there is an agent, which has to leave again if the session is not finished.
        let undo = UndoGuard(Some(handle.clone()));
        self.add_or_replace(&handle, replace).await?;
        if connection.is_retired() {
            // Another version has taken over meanwhile.
            handle.control(Control::Replace(self.serving()));
        }
        handle.mailbox().link_changed();
        undo.disarm();
        Ok(handle)
    }

    async fn add_or_replace(&self, session: &SessionHandle, replace: bool) -> Result<(), Refusal> {
        loop {
            let other = match self.registry().add(session) {
                Ok(()) => return Ok(()),
                Err(NotAdded::Closing(closing)) => return Err(shutting_down(closing)),
                Err(NotAdded::Other(other)) => other,
            };
            if !replace {
                return Err(Refusal::Confirm);
            }
            let (done, left) = oneshot::channel();
            other.control(Control::End { reason: Some(DisposedReason::Replaced), done: Some(done) });
            // Closed without a word when the other one has left.
            let _ = timeout(REPLACE_DEADLINE, left).await;
        }
    }
}

fn shutting_down(Closing { retry_after }: Closing) -> Refusal {
    let words = match retry_after {
        Some(seconds) => format!(
            "no session is begun here now, because this host or tenant is shutting down; try again in {seconds} s"
        ),
        None => "the tenant is not served any more".to_owned(),
    };
    Failure::new(Code::ShuttingDown, words).into()
}

/// 128 random bits as a text without dots.
fn new_id() -> Result<String, Failure> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| Failure::new(Code::Internal, "no random numbers can be had").context(error.to_string()))?;
    let mut number = u128::from_le_bytes(bits);
    Ok((0..26)
        .map(|_| {
            let letter = LETTERS[(number & 31) as usize];
            number >>= 5;
            char::from(letter)
        })
        .collect())
}
