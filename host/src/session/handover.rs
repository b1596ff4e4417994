//! How an agent is moved from one trunk to another while the desktop stays and nothing is lost.
//!
//! Owns: the order of a move. New commands are held back (they wait, as behind another command); when those in flight
//! are answered, the agent leaves the old adapter ([`Ending::Leave`]: its calls stay), is logged in at the new one with
//! its resume state, and a snapshot is applied; then the commands go on. So none is sent twice and none fails. Must
//! never: hold a session back without a deadline, or leave it without an agent: what cannot be moved goes back where it
//! was, and where that fails too it is logged in again as after a crash. Worked by `tenant` through
//! [`SessionManager::move_sessions`].

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use jackfield_plugin_api::{Code, Ending, Failure, Login, Outcome};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    AdapterConnection, SessionManager,
    actor::{Core, LEAVE_DEADLINE, Phase, State},
    adapter_connection::Current,
    cell::Cell,
    manager::{Board, LOGINS_AGAIN},
    port::AgentPort,
};
use crate::plugin::RequestId;

/// How long new commands are held back, at one attempt, for those in flight to be answered.
const HOLD: Duration = Duration::from_secs(1);

/// How long to wait before the sessions that could not be moved are tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// What became of a tenant's sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// On the new trunk, and nothing was noticed.
    pub moved: usize,
    /// On the new trunk as after a crash: commands in flight failed and the link was told as lost.
    pub forced: usize,
    /// The new adapter did not take them; they are where they were.
    pub refused: usize,
}

/// A session's move, as the session knows it.
#[derive(Default)]
pub(super) struct Moving {
    /// Told when no command is in flight.
    idle: Option<oneshot::Sender<()>>,
    /// What the agent was asked for and whom to tell of the answer: to leave, or for a snapshot.
    asked: Option<(RequestId, oneshot::Sender<bool>)>,
}

/// Why a session was not moved.
enum NotMoved {
    /// A command is in flight; later.
    Busy,
    /// It needs no move: it is over, or is being logged in again anyway.
    Gone,
    /// The new adapter does not take it.
    Refused(Failure),
}

impl SessionManager {
    /// Moves a share of the sessions of one trunk, or all, to another. Comes back when they are moved or refused. Those
    /// that are busy until the deadline are moved as after a crash if all are to be moved, and else stay.
    pub async fn move_sessions(
        &self,
        from: &Arc<AdapterConnection>,
        to: &Arc<AdapterConnection>,
        share: f64,
        deadline: Duration,
    ) -> Moved {
        let board = &self.0;
        let until = Instant::now() + deadline;
        let mut moved = Moved::default();
        let mut left = board.on(from);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        left.truncate((left.len() as f64 * share).ceil() as usize);
        loop {
            let attempts = stream::iter(left).map(|cell| async {
                let outcome = board.hand_over(&cell, from, to).await;
                (cell, outcome)
            });
            let mut attempts = attempts.buffer_unordered(LOGINS_AGAIN);
            let mut busy = Vec::new();
            while let Some((cell, outcome)) = attempts.next().await {
                match outcome {
                    Ok(()) => moved.moved += 1,
                    Err(NotMoved::Busy) => busy.push(cell),
                    Err(NotMoved::Gone) => {}
                    Err(NotMoved::Refused(failure)) => {
                        tracing::warn!(tenant = %board.tenant, %failure, "an agent could not be moved");
                        moved.refused += 1;
                    }
                }
            }
            if share >= 1.0 {
                // Whoever logged in meanwhile, before the new trunk served the tenant.
                let known: Vec<_> = busy.iter().map(Arc::as_ptr).collect();
                busy.extend(board.on(from).into_iter().filter(|cell| {
                    cell.with(|core| core.refused_by.as_ref().is_none_or(|it| !Arc::ptr_eq(it, to)))
                        && !known.contains(&Arc::as_ptr(cell))
                }));
            }
            left = busy;
            if left.is_empty() {
                return moved;
            }
            if Instant::now() >= until {
                break;
            }
            sleep(AGAIN).await;
        }
        if share >= 1.0 {
            moved.forced = left.len();
            left.iter().for_each(|cell| cell.with(|core| core.force_over(to)));
        }
        moved
    }
}

impl Board {
    /// Moves one session.
    async fn hand_over(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        from: &Arc<AdapterConnection>,
        to: &Arc<AdapterConnection>,
    ) -> Result<(), NotMoved> {
        let Some(idle) = cell.with(|core| core.hold_back(from, to))? else { return Ok(()) };
        // From here on the session waits for us: whatever happens, it must go on.
        let released = Release(cell);
        if !matches!(timeout(HOLD, idle).await, Ok(Ok(()))) {
            return Err(NotMoved::Busy);
        }
        let Some(left) = cell.with(Core::send_off) else { return Err(NotMoved::Gone) };
        // An agent that does not leave in time is dropped.
        let _ = timeout(LEAVE_DEADLINE, left).await;
        let arrived = self.arrive(cell, to).await;
        if let Err(failure) = arrived {
            cell.with(|core| core.refused_by = Some(Arc::clone(to)));
            if self.arrive(cell, from).await.is_err() {
                cell.with(|core| {
                    // Unless it has been lost already.
                    if core.moving.is_some() {
                        core.trunk = Arc::clone(from);
                        core.lose_agent("the agent could not be moved to another version of the adapter");
                    }
                });
            }
            return Err(NotMoved::Refused(failure));
        }
        drop(released);
        Ok(())
    }

    /// Logs a session's agent in on a trunk and takes the snapshot.
    async fn arrive(self: &Arc<Self>, cell: &Arc<Cell>, trunk: &Arc<AdapterConnection>) -> Result<(), Failure> {
        let lost = || Failure::new(Code::AdapterFailed, "the adapter is gone");
        let current = trunk.current().ok_or_else(lost)?;
        let moving = |core: &mut Core| core.moving.is_some().then(|| core.change_agent());
        let (generation, resume) = cell.with(moving).ok_or_else(lost)?;
        let login = Login::again(&*cell.agent, &*cell.id, resume).model(cell.model.as_deref().map(ToOwned::to_owned));
        let agent = current.port.log_in(login, cell.sink(generation), self.limits().command_deadline).await;
        trunk.answered(agent.as_ref().err().map(|failure| failure.code));
        let snapshot = cell.with(|core| core.settle_in(agent?, generation, trunk, &current))?;
        let Some(snapshot) = snapshot else { return Ok(()) };
        match timeout(self.limits().command_deadline, snapshot).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Failure::new(Code::AdapterFailed, "the new adapter has no snapshot")),
            Ok(Err(_)) => Err(lost()),
            Err(_) => Err(Failure::new(Code::Timeout, "the new adapter has no snapshot in time")),
        }
    }
}

/// Lets a session's commands go on.
struct Release<'a>(&'a Arc<Cell>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.with(|core| core.moving = None);
    }
}

impl Core {
    /// Holds new commands back, and tells when none is in flight. `None`: there is nothing more to do.
    fn hold_back(
        &mut self,
        from: &Arc<AdapterConnection>,
        to: &Arc<AdapterConnection>,
    ) -> Result<Option<oneshot::Receiver<()>>, NotMoved> {
        if !self.is_bindable() || !Arc::ptr_eq(&self.trunk, from) {
            return Err(NotMoved::Gone);
        }
        if self.agent.is_none() {
            // It is being logged in again: let that be on the new trunk.
            self.trunk = Arc::clone(to);
            return Ok(None);
        }
        let (idle, told) = oneshot::channel();
        self.moving = Some(Moving { idle: Some(idle), asked: None });
        self.notice_idle();
        Ok(Some(told))
    }

    /// Tells a move that waits for it that no command is in flight.
    pub(super) fn notice_idle(&mut self) {
        let Some(moving) = &mut self.moving else { return };
        if moving.idle.is_some()
            && self.commands.iter().all(|entry| matches!(entry.state, State::Waits))
            && let Some(idle) = moving.idle.take()
        {
            let _ = idle.send(());
        }
    }

    /// Asks the agent to leave its adapter; its calls stay. `None`: the move is off.
    fn send_off(&mut self) -> Option<oneshot::Receiver<bool>> {
        self.moving.as_ref()?;
        let request = self.new_request();
        let asked = self.agent.as_ref()?.log_out(request, Ending::Leave);
        Some(self.wait_for(request, asked))
    }

    fn wait_for(&mut self, request: RequestId, asked: Result<(), Failure>) -> oneshot::Receiver<bool> {
        let (told, answer) = oneshot::channel();
        if let Some(moving) = &mut self.moving {
            if asked.is_ok() {
                moving.asked = Some((request, told));
            } else {
                let _ = told.send(false);
            }
        }
        answer
    }

    /// Takes an answer, if a move waits for it.
    pub(super) fn move_answered(&mut self, answered: RequestId, outcome: &Outcome) -> bool {
        let Some(moving) = &mut self.moving else { return false };
        let Some((_, told)) = moving.asked.take_if(|(request, _)| *request == answered) else { return false };
        let _ = told.send(matches!(outcome, Outcome::Success(_)));
        true
    }

    /// Lets go of the agent; only what the next one says will be heard. Returns what it is logged in with.
    fn change_agent(&mut self) -> (u32, Vec<u8>) {
        self.discarded.extend(self.agent.take());
        self.late_logout = None;
        self.generation = self.generation.wrapping_add(1);
        (self.generation, self.resume.clone())
    }

    /// The agent has arrived on a trunk. Returns where to wait for the snapshot, unless none is needed.
    fn settle_in(
        &mut self,
        agent: Box<dyn AgentPort>,
        generation: u32,
        trunk: &Arc<AdapterConnection>,
        current: &Current,
    ) -> Result<Option<oneshot::Receiver<bool>>, Failure> {
        if self.is_ended() || generation != self.generation {
            self.discarded.push(agent);
            return Err(Failure::new(Code::AdapterFailed, "the session has gone on without it"));
        }
        self.agent = Some(agent);
        self.trunk = Arc::clone(trunk);
        self.set_repertoire(&current.repertoire);
        let (link, losses) = trunk.link();
        let stays_up = self.link.change_connection(link, losses);
        self.follow_link();
        if !stays_up || self.phase != Phase::Started {
            return Ok(None);
        }
        let request = self.new_request();
        let asked = self.agent.as_ref().map_or(Ok(()), |agent| agent.snapshot(request));
        Ok(Some(self.wait_for(request, asked)))
    }

    /// Moves it as after a crash.
    pub(super) fn force_over(&mut self, to: &Arc<AdapterConnection>) {
        if !self.is_bindable() {
            return;
        }
        self.trunk = Arc::clone(to);
        // Without an agent it is being logged in again already.
        if self.agent.is_some() {
            self.lose_agent("the adapter is replaced by another version");
        }
    }
}
