//! How a session comes to be, and how it gets a new agent after a crash.
//!
//! Owns: the order of things in prepareSession (the platform checks the agent first of all, then a live session of the
//! agent is confirmed or replaced) and undoing it at every point where nobody waits for it any more; logging agents in
//! again. Must never: keep an agent that no session owns.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Code, Failure, Link, Login};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    DisposedReason, Identity,
    actor::Core,
    adapter_connection::{AdapterConnection, Current},
    cell::Cell,
    commands::PREPARE,
    data,
    manager::{Board, NotTaken},
    message::{Request, Response},
    text::Text,
};
use crate::metrics::CommandLabel;

/// How long a replaced session may take to go before the new one goes on all the same.
const REPLACE_DEADLINE: Duration = Duration::from_secs(6);

/// The first wait before a lost agent is logged in again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// What became of prepareSession.
pub(super) enum Prepared {
    /// There is a session now.
    Session(Arc<Cell>, Text),
    /// There is none.
    Refused(Text),
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

/// Undoes a session that is not finished, or whose answer reaches nobody.
struct Undo(Option<Arc<Cell>>);

impl Undo {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            undo(&cell);
        }
    }
}

/// Ends a session of which nobody knows.
pub(super) fn undo(cell: &Arc<Cell>) {
    cell.with(|core| core.end(None, true, None));
}

impl Board {
    /// Carries out prepareSession. Dropping the future undoes it.
    pub(super) async fn prepare(self: &Arc<Self>, request: &Request, identity: &Identity) -> Prepared {
        let since = Instant::now();
        let label = CommandLabel::of(PREPARE);
        match self.try_prepare(request, identity).await {
            Ok(cell) => {
                let data = format!(r#"{{"session":{{"id":"{}"}}}}"#, cell.id);
                let text = self.answer(request, label, since, Response::SuccessWith(&data));
                Prepared::Session(cell, text)
            }
            Err(Refusal::Confirm) => {
                let words = "the agent has a live session; with override it is replaced";
                Prepared::Refused(self.answer(request, label, since, Response::Confirm(words)))
            }
            Err(Refusal::Failure(failure)) => {
                Prepared::Refused(self.answer(request, label, since, Response::Failure(&failure)))
            }
        }
    }

    async fn try_prepare(self: &Arc<Self>, request: &Request, identity: &Identity) -> Result<Arc<Cell>, Refusal> {
        let data::Prepare { model, replace, agent: data::Credentials { id: agent, password } } =
            data::parse(request.data()).map_err(|what| Failure::new(Code::BadRequest, what))?;
        if !identity.may_log_in(&agent) {
            return Err(Failure::new(Code::Forbidden, "the token is another agent's").into());
        }
        if self.is_closing() {
            return Err(shutting_down());
        }
        let trunk = self.connection_for_newcomer();
        let (link, losses) = trunk.link();
        if let Link::Down { reason } = link {
            return Err(Failure::new(Code::LinkDown, "the link to the platform is down").context(reason).into());
        }
        let Some(Current { port, repertoire }) = trunk.current() else {
            return Err(Failure::new(Code::LinkDown, "the adapter is being started").into());
        };
        let _room = self.reserve(&agent, replace)?;
        let id = new_id()?;
        let mut core = Core::new(&id, self.limits(), self.metrics.clone(), Arc::clone(&trunk), Arc::clone(&repertoire));
        core.link.begin(link, losses);
        let cell = Cell::new(core, &agent, model.as_deref(), identity.clone(), self);
        let login = Login::new(agent, password, id).model(model);
        let handle = port.log_in(login, cell.sink(0), self.limits().command_deadline).await;
        trunk.answered(handle.as_ref().err().map(|failure| failure.code));
        if handle.as_ref().is_err_and(|failure| failure.code == Code::Unauthorized)
            && let Some(left_out) = self.refused_logins.pass()
        {
            tracing::warn!(tenant = %self.tenant, agent = ?cell.agent, left_out, "a log-in was refused: wrong credentials");
        }
        let handle = handle?;
        // From here on there is an agent that has to leave again if nothing comes of it.
        let undo = Undo(Some(Arc::clone(&cell)));
        cell.with(|core| core.regain_agent(handle, 0, &repertoire));
        self.take_in_or_replace(&cell, replace).await?;
        if trunk.is_retired() {
            // Another version has taken over meanwhile.
            let serving = self.serving();
            cell.with(|core| core.force_over(&serving));
        }
        self.refresh_link(&cell);
        undo.keep();
        Ok(cell)
    }

    async fn take_in_or_replace(&self, cell: &Arc<Cell>, replace: bool) -> Result<(), Refusal> {
        loop {
            let other = match self.take_in(cell) {
                Ok(()) => return Ok(()),
                Err(NotTaken::Closing) => return Err(shutting_down()),
                Err(NotTaken::Other(other)) => other,
            };
            if !replace {
                return Err(Refusal::Confirm);
            }
            let (told, left) = oneshot::channel();
            other.with(|core| core.end(Some(DisposedReason::Replaced), true, Some(told)));
            // Closed without a word when the other one has left.
            let _ = timeout(REPLACE_DEADLINE, left).await;
        }
    }

    /// Logs a session's agent in again, as often as it takes.
    pub(super) fn log_in_again(self: &Arc<Self>, cell: &Arc<Cell>) {
        // The task keeps neither the tenant nor the session alive.
        let (board, cell) = (Arc::downgrade(self), Arc::downgrade(cell));
        self.runtime.spawn(async move {
            let mut failed = 0_u32;
            loop {
                let trunk = {
                    let Some(cell) = cell.upgrade() else { return };
                    cell.with(|core| Arc::clone(&core.trunk))
                };
                let current = trunk.connected().await;
                let (Some(board), Some(cell)) = (board.upgrade(), cell.upgrade()) else { return };
                if cell.is_ended() {
                    return;
                }
                let tried = match current {
                    Some(current) => board.try_again(&cell, &trunk, &current).await,
                    None => Err(Failure::new(Code::AdapterFailed, "its adapter serves no more")),
                };
                match tried {
                    Ok(()) => return,
                    Err(failure) if is_final(failure.code) => {
                        tracing::warn!(tenant = %board.tenant, "an agent cannot be logged in again: {failure}");
                        return cell.with(|core| core.end(Some(DisposedReason::AdapterFailed), false, None));
                    }
                    Err(failure) => {
                        tracing::info!(tenant = %board.tenant, failed, "logging an agent in again: {failure}");
                    }
                }
                drop((board, cell));
                sleep(RETRY.0.saturating_mul(1 << failed.min(10)).min(RETRY.1)).await;
                failed += 1;
            }
        });
    }

    async fn try_again(
        &self,
        cell: &Arc<Cell>,
        trunk: &Arc<AdapterConnection>,
        current: &Current,
    ) -> Result<(), Failure> {
        let _turn = self.logins_again.acquire().await;
        let (generation, resume) = cell.with(|core| {
            core.generation = core.generation.wrapping_add(1);
            (core.generation, core.resume.clone())
        });
        let login = Login::again(&*cell.agent, &*cell.id, resume).model(cell.model.as_deref().map(ToOwned::to_owned));
        let agent = current.port.log_in(login, cell.sink(generation), self.limits().command_deadline).await?;
        cell.with(|core| {
            if !Arc::ptr_eq(&core.trunk, trunk) {
                core.discarded.push(agent);
                return Err(Failure::new(Code::AdapterFailed, "the session has been moved meanwhile"));
            }
            let (link, losses) = trunk.link();
            core.link.set_tenant(link, losses);
            if core.regain_agent(agent, generation, &current.repertoire) || core.is_ended() {
                return Ok(());
            }
            Err(Failure::new(Code::AdapterFailed, "the adapter was lost meanwhile"))
        })
    }
}

fn shutting_down() -> Refusal {
    Failure::new(Code::ShuttingDown, "the host is shutting down").into()
}

/// Whether asking again is no use.
fn is_final(code: Code) -> bool {
    matches!(code, Code::Unauthorized | Code::Forbidden | Code::Conflict | Code::NotFound)
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
