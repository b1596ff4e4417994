//! The commands of one session that have no answer yet.
//!
//! Owns: their order, which of them may go on, and their deadlines. Must never: know what a command does. Commands to one
//! object, its parents and its children keep their order; others go side by side. Release and reject wait for nothing, and
//! what takes an offered call only for what was sent to it.

use std::{collections::VecDeque, time::Duration};

use jackfield_model::Tree;
use jackfield_plugin_api::command::{ObjectKind, StandardCommand};
use jackfield_protocol::message::Request;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::super::{
    commands::{LOGOUT, START, SessionCommand},
    input::Reply,
    translate::{ChannelStep, Each},
};
use crate::{plugin::RequestId, traces::CommandTrace};

/// How long a logout waits for what was sent before it to be carried out.
const BEFORE_LOGOUT: Duration = Duration::from_secs(5);

/// A command without its answer.
pub(super) struct PendingCommand {
    pub(super) request: Request,
    pub(super) command: SessionCommand,
    pub(super) reply: Reply,
    pub(super) received: Instant,
    pub(super) trace: Option<Box<CommandTrace>>,
    pub(super) state: CommandState,
    /// A logout that has waited for long enough.
    pub(super) is_impatient: bool,
}

/// Which commands that wait for their turn may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldBack {
    None,
    AllButUrgent,
    All,
}

/// How far a command has come.
pub(super) enum CommandState {
    /// It waits for its turn.
    Waiting,
    /// The platform has been asked; what comes next is in `rest`.
    Asked { request: RequestId, until: Instant, rest: Option<Box<Rest>> },
    /// The platform has done one step; the next must be asked for.
    Next { until: Instant, rest: Box<Rest> },
}

/// The channels of a group that are still to be done.
pub(super) struct Rest {
    pub(super) each: Each,
    pub(super) steps: VecDeque<ChannelStep>,
}

impl PendingCommand {
    /// Whether the platform has been asked for anything of it.
    pub(super) fn is_tried(&self) -> bool {
        !matches!(self.state, CommandState::Waiting)
    }

    /// The request that it waits for an answer to.
    pub(super) fn asked(&self) -> Option<RequestId> {
        match self.state {
            CommandState::Asked { request, .. } => Some(request),
            _ => None,
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            CommandState::Asked { until, .. } | CommandState::Next { until, .. } => Some(until),
            CommandState::Waiting => None,
        }
    }

    fn is_logout(&self) -> bool {
        self.command.is(LOGOUT)
    }

    /// Until when this one waits for those before it, if it is a logout.
    fn patience(&self) -> Option<Instant> {
        (self.is_logout() && !self.is_tried() && !self.is_impatient).then(|| self.received + BEFORE_LOGOUT)
    }

    /// Whether the command is about a channel's availability, which a call on it does not depend on.
    fn is_about_availability(&self) -> bool {
        matches!(self.command, SessionCommand::Standard(StandardCommand::Ready | StandardCommand::NotReady))
    }

    /// It begins or ends a watch.
    fn is_about_watching(&self) -> bool {
        matches!(self.command, SessionCommand::Standard(StandardCommand::Watch | StandardCommand::Unwatch))
    }

    /// The target of the interaction that the command takes, if it does: who answers an offered call, or accepts it, keeps
    /// somebody waiting.
    fn takes(&self) -> Option<&str> {
        let target = self.request.target()?;
        match self.command {
            SessionCommand::Standard(StandardCommand::Accept) => Some(target),
            SessionCommand::Standard(StandardCommand::Answer) => target.rsplit_once('.').map(|(above, _)| above),
            _ => None,
        }
    }

    /// Whether it is there that the session is begun or ended.
    fn is_about_the_whole(&self) -> bool {
        self.command.is(START) || self.is_logout()
    }

    fn is_independent_of(&self, earlier: &Self) -> bool {
        if let Some(offered) = self.takes() {
            return !earlier.is_about_the_whole() && !is_within(earlier.request.target().unwrap_or_default(), offered);
        }
        let one_way = |a: &Self, b: &Self| a.is_about_availability() && b.command.kind() == ObjectKind::Conversation;
        let takes = |a: &Self, b: &Self| a.is_about_availability() && b.takes().is_some();
        one_way(self, earlier) || one_way(earlier, self) || takes(self, earlier)
    }
}

/// All of them, in the order in which they came; hardly ever more than one.
#[derive(Default)]
pub(super) struct PendingCommands(SmallVec<[PendingCommand; 1]>);

impl PendingCommands {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, command: PendingCommand) {
        self.0.push(command);
    }

    pub(super) fn get(&self, at: usize) -> &PendingCommand {
        &self.0[at]
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut PendingCommand {
        &mut self.0[at]
    }

    /// Takes one out: it is answered.
    pub(super) fn remove(&mut self, at: usize) -> PendingCommand {
        let command = self.0.remove(at);
        if self.0.is_empty() {
            // An idle session keeps no room that a burst has needed.
            self.0.shrink_to_fit();
        }
        command
    }

    /// The first one that this is true of.
    pub(super) fn position(&self, which: impl FnMut(&PendingCommand) -> bool) -> Option<usize> {
        self.0.iter().position(which)
    }

    /// The one that waits for the answer to a request.
    pub(super) fn asked(&self, request: RequestId) -> Option<usize> {
        self.position(|command| command.asked() == Some(request))
    }

    /// Whether the platform is at work on any of them.
    pub(super) fn in_flight(&self) -> bool {
        self.0.iter().any(PendingCommand::is_tried)
    }

    /// The first one that can go on. `held`: which may not begin now.
    pub(super) fn next(&self, tree: &Tree, held: HeldBack) -> Option<usize> {
        let may_begin = |command: &PendingCommand| match held {
            HeldBack::None => true,
            HeldBack::AllButUrgent => command.command.is_urgent(),
            HeldBack::All => false,
        };
        (0..self.0.len()).find(|&at| match self.0[at].state {
            CommandState::Waiting => may_begin(&self.0[at]) && !self.must_wait(at, tree),
            CommandState::Next { .. } => true,
            CommandState::Asked { .. } => false,
        })
    }

    fn must_wait(&self, at: usize, tree: &Tree) -> bool {
        let own = &self.0[at];
        let target = own.request.target().unwrap_or_default();
        let mut earlier = self.0[..at].iter();
        if own.is_logout() {
            // A second logout is about the first one's outcome.
            return earlier.any(|it| it.is_logout() || !own.is_impatient && is_there(it, tree));
        }
        if own.command.is_aside() {
            return own.is_about_watching() && earlier.any(PendingCommand::is_about_watching);
        }
        // A command to an object that is gone fails, whatever the others do.
        if own.command.is_urgent() || tree.is_started() && !is_there(own, tree) {
            return false;
        }
        earlier.any(|it| {
            !it.command.is_aside()
                && are_related(it.request.target().unwrap_or_default(), target)
                && !own.is_independent_of(it)
                && is_there(it, tree)
        })
    }

    /// Marks logouts that have waited for long enough.
    pub(super) fn run_out_of_patience(&mut self, now: Instant) {
        for command in &mut self.0 {
            command.is_impatient |= command.patience().is_some_and(|until| until <= now);
        }
    }

    /// The first one whose answer has not come in time.
    pub(super) fn overdue(&self, now: Instant) -> Option<usize> {
        self.position(|command| command.until().is_some_and(|until| until <= now))
    }

    /// When something is to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|command| command.until().or_else(|| command.patience())).min()
    }
}

/// Whether the object of a command is still there. No command waits for one to an object that is gone: whatever the
/// platform answers, it changes nothing.
fn is_there(command: &PendingCommand, tree: &Tree) -> bool {
    tree.find(command.request.target().unwrap_or_default()).is_some()
}

/// Whether one of two targets is the other, or a parent of it.
fn are_related(a: &str, b: &str) -> bool {
    is_within(a, b) || is_within(b, a)
}

/// Whether a target is the other one, or below it.
fn is_within(target: &str, other: &str) -> bool {
    target.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
