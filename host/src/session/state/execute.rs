//! What a session does with a command.
//!
//! Owns: the checks when a command's turn comes, the question to the platform, and the answer. Must never: ask the
//! platform for what is known to fail, or leave a command without an answer.

use jackfield_model::rules;
use jackfield_plugin_api::{Code, Command, Failure, Json, Outcome, StartOptions, command::StandardCommand};
use jackfield_protocol::{
    data::{self, Arguments, DispositionData},
    message::{Request, Response},
};
use tokio::time::Instant;

use super::{
    SessionState,
    lifecycle::Lifecycle,
    pending::{CommandState, PendingCommand, Rest},
};
use crate::{
    metrics::{CommandLabel, LimitLabel, OutcomeLabel},
    plugin::RequestId,
    session::{
        commands::{LOGOUT, START, SessionCommand},
        effects::{Ask, Effect, Effects},
        input::{ClientCommand, Reply},
        translate::{self, Translation, translate},
    },
};

/// What a checked command is to do.
enum Begin {
    Platform(Translation),
    Start { options: StartOptions, actions: bool },
    Logout,
}

impl SessionState {
    /// Takes a client's command: it waits for its turn, or is refused.
    pub(super) fn receive(&mut self, command: ClientCommand, now: Instant, effects: &mut Effects) {
        let ClientCommand { request, reply, received } = command;
        if let Reply::Once(_) = reply {
            // A client that works by HTTP requests has no connection, so each request restarts the grace.
            self.restart_grace();
        }
        let found = self.command_set.find(request.command());
        let label = found.as_ref().map_or(CommandLabel::UNKNOWN, SessionCommand::label);
        let trace = self.metrics.trace(&request, label, received);
        // Nobody is kept in a call because a platform leaves other commands unanswered.
        let is_urgent = found.as_ref().is_ok_and(SessionCommand::is_urgent);
        let most = if is_urgent { 2 * self.limits.unanswered } else { self.limits.unanswered };
        let refused = match found {
            _ if self.commands.len() >= most => {
                self.metrics.limited(LimitLabel::CommandsInFlight);
                let words = format!("more than {most} commands have no answer yet");
                Failure::new(Code::RateLimited, words)
            }
            Ok(_) if !self.lifecycle.is_bindable() => {
                // A client that asked by HTTP gets status 404 instead.
                if let Reply::Once(_) = reply {
                    return;
                }
                Failure::new(Code::NotFound, "there is no session on this connection")
            }
            Ok(command) => {
                let state = CommandState::Waiting;
                return self.commands.push(PendingCommand {
                    request,
                    command,
                    reply,
                    received,
                    trace,
                    state,
                    is_impatient: false,
                });
            }
            Err(none) => none.failure(),
        };
        let outcome = OutcomeLabel::Failure(refused.code);
        self.metrics.command(label, outcome, now - received);
        if let Some(trace) = trace {
            trace.end(outcome);
        }
        effects.reply(reply, request.respond(Response::Failure(&refused)));
    }

    /// Goes on with a command that need not wait: checks it, and asks the platform or answers.
    pub(super) fn go_on(&mut self, at: usize, now: Instant, effects: &mut Effects) {
        let pending = self.commands.get(at);
        if pending.is_tried() {
            return self.step(at, effects);
        }
        match self.check(&pending.request, &pending.command) {
            Ok(Begin::Platform(Translation::Nothing)) => self.answer(at, Response::Success, effects),
            Ok(Begin::Platform(Translation::Ask(command))) => {
                let until = now + self.deadline_of(at);
                self.ask(at, Ask::Command(command, until.into_std()), until, None, effects);
            }
            Ok(Begin::Platform(Translation::Each(each, steps))) => {
                let until = now + self.limits.command_deadline;
                self.commands.get_mut(at).state =
                    CommandState::Next { until, rest: Box::new(Rest { each, steps: steps.into() }) };
            }
            Ok(Begin::Start { options, actions }) => self.begin_start(at, options, actions, now, effects),
            Ok(Begin::Logout) => self.begin_logout(at, now, effects),
            Err(failure) => self.answer(at, Response::Failure(&failure), effects),
        }
    }

    fn deadline_of(&self, at: usize) -> std::time::Duration {
        match &self.commands.get(at).command {
            command if command.is_slow() => self.limits.slow_deadline,
            _ => self.limits.command_deadline,
        }
    }

    /// Makes all checks that need no platform, in the protocol's order.
    fn check(&self, request: &Request, command: &SessionCommand) -> Result<Begin, Failure> {
        let target = request.target().unwrap_or_default();
        let object = self.tree.find(target).filter(|object| object.kind() == command.kind());
        let Some(object) = object else {
            return Err(translate::no_target(command.kind(), target));
        };
        let command = match command {
            SessionCommand::Standard(command) => *command,
            SessionCommand::Logout => return Ok(Begin::Logout),
            SessionCommand::Start => {
                let data::StartData { extension, actions } =
                    data::parse(request.data()).map_err(|what| Failure::new(Code::BadRequest, what))?;
                if !matches!(self.lifecycle, Lifecycle::Prepared(_)) {
                    return Err(Failure::new(Code::InvalidState, "the session has been started already"));
                }
                self.link.must_be_up()?;
                return Ok(Begin::Start { options: StartOptions::new(extension), actions });
            }
            SessionCommand::Extension(extension) => {
                self.must_be_started()?;
                extension.check(request.data()).map_err(|what| match what {
                    Some(what) => Failure::new(Code::BadRequest, format!("data: {what}")),
                    None => Failure::new(Code::AdapterFailed, "the adapter's schema for this command is no schema"),
                })?;
                self.link.must_be_up()?;
                let data = Json::from_text(request.data().to_owned())
                    .map_err(|error| Failure::new(Code::BadRequest, error.to_string()))?;
                let name = extension.name.clone();
                let command = Command::Extension { name, target: object.keys(), data };
                return Ok(Begin::Platform(Translation::Ask(command)));
            }
        };
        self.must_be_started()?;
        if rules::wrong_channel_type(command, object) {
            return Err(Failure::new(Code::Unsupported, "this type of channel does not have this command"));
        }
        let arguments =
            Arguments::read(command, request.data()).map_err(|what| Failure::new(Code::BadRequest, what))?;
        if let Some(precondition) = rules::refusal(command, object) {
            return Err(Failure::new(Code::InvalidState, precondition.words()));
        }
        let translation = translate(arguments, object, &self.tree, &self.command_set)?;
        self.link.must_be_up()?;
        Ok(Begin::Platform(if rules::changes_nothing(command, object) { Translation::Nothing } else { translation }))
    }

    fn must_be_started(&self) -> Result<(), Failure> {
        if self.lifecycle.is_started() {
            Ok(())
        } else {
            Err(Failure::new(Code::InvalidState, "the session has not been started"))
        }
    }

    /// Asks the agent for something on behalf of a command.
    pub(super) fn ask(
        &mut self,
        at: usize,
        ask: Ask,
        until: Instant,
        rest: Option<Box<Rest>>,
        effects: &mut Effects,
    ) -> RequestId {
        let request = self.new_request();
        effects.push(Effect::Ask(request, ask));
        let pending = self.commands.get_mut(at);
        pending.state = CommandState::Asked { request, until, rest };
        if let Some(trace) = &mut pending.trace {
            trace.asked();
        }
        request
    }

    /// Goes on with the next channel of many.
    fn step(&mut self, at: usize, effects: &mut Effects) {
        if let Err(failure) = self.link.must_be_up() {
            return self.answer(at, Response::Failure(&failure), effects);
        }
        let CommandState::Next { until, rest } = &mut self.commands.get_mut(at).state else { return };
        let (until, each, mut steps) = (*until, rest.each, std::mem::take(&mut rest.steps));
        let next = std::iter::from_fn(|| steps.pop_front()).find_map(|step| step.command(each, &self.tree));
        let Some(command) = next else { return self.answer(at, Response::Success, effects) };
        let rest = Some(Box::new(Rest { each, steps }));
        self.ask(at, Ask::Command(command, until.into_std()), until, rest, effects);
    }

    /// Answers a command, which is then done.
    pub(super) fn answer(&mut self, at: usize, response: Response<'_>, effects: &mut Effects) {
        let mut pending = self.commands.remove(at);
        let (label, outcome) = (pending.command.label(), OutcomeLabel::of(&response));
        self.metrics.command(label, outcome, pending.received.elapsed());
        if let Some(trace) = pending.trace.take() {
            trace.end(outcome);
        }
        if pending.is_tried() {
            self.adapter_connection.answered(match &response {
                Response::Failure(failure) => Some(failure.code),
                _ => None,
            });
        }
        let asked = pending.asked();
        effects.reply(pending.reply, pending.request.respond(response));
        if let Some(request) = asked {
            self.request_came_to_nothing(request, effects);
        }
    }

    /// Answers what the platform was asked for and will not answer.
    pub(super) fn fail_asked(
        &mut self,
        failure: &Failure,
        effects: &mut Effects,
        which: impl Fn(&SessionCommand) -> bool,
    ) {
        while let Some(at) = self.commands.position(|command| command.is_tried() && which(&command.command)) {
            self.answer(at, Response::Failure(failure), effects);
        }
    }

    /// The platform has answered what it was asked for on behalf of a command.
    pub(super) fn command_answered(&mut self, at: usize, outcome: Outcome, now: Instant, effects: &mut Effects) {
        let pending = self.commands.get_mut(at);
        if let Some(trace) = &mut pending.trace {
            trace.answered();
        }
        let command = &pending.command;
        if command.is(START) {
            return self.start_answered(at, outcome, effects);
        }
        if command.is(LOGOUT) {
            return self.logout_answered(at, outcome, now, effects);
        }
        match outcome {
            Outcome::Success(data) => self.command_succeeded(at, data.as_ref(), effects),
            Outcome::NeedInfo(info) if is_json_object(&info) => self.answer(at, Response::NeedInfo(&info), effects),
            Outcome::NeedInfo(_) => self.answer(at, Response::Failure(&no_json_object()), effects),
            Outcome::Failure(failure) => self.answer(at, Response::Failure(&failure), effects),
        }
    }

    /// The platform has carried out what it was asked for. `data`: what it says beside that.
    fn command_succeeded(&mut self, at: usize, data: Option<&Json>, effects: &mut Effects) {
        let pending = self.commands.get_mut(at);
        if let CommandState::Asked { until, rest, .. } = &mut pending.state
            && let Some(rest) = rest.take()
        {
            pending.state = CommandState::Next { until: *until, rest };
            return;
        }
        let own_data = match &pending.command {
            SessionCommand::Standard(StandardCommand::List) => return self.list_answered(at, data, effects),
            SessionCommand::Standard(StandardCommand::Watch | StandardCommand::Unwatch) => {
                return self.watch_answered(at, effects);
            }
            SessionCommand::Standard(StandardCommand::SetDisposition) => {
                let request = &pending.request;
                if let Ok(DispositionData { disposition }) = data::parse(request.data()) {
                    self.tree.set_disposition(request.target().unwrap_or_default(), &disposition);
                }
                None
            }
            SessionCommand::Extension(_) => data,
            _ => None,
        };
        match own_data {
            None => self.answer(at, Response::Success, effects),
            Some(data) if is_json_object(data) => self.answer(at, Response::SuccessWith(data), effects),
            Some(_) => self.answer(at, Response::Failure(&no_json_object()), effects),
        }
    }

    /// The platform has not answered in time.
    #[cold]
    pub(super) fn time_out(&mut self, at: usize, effects: &mut Effects) {
        let pending = self.commands.get(at);
        let logout = pending.asked().filter(|_| pending.command.is(LOGOUT));
        let failure = Failure::new(Code::Timeout, "the platform did not answer in time: the outcome is unknown");
        self.answer(at, Response::Failure(&failure), effects);
        if let (Some(request), Lifecycle::Started { late_logout }) = (logout, &mut self.lifecycle) {
            *late_logout = Some(request);
        }
    }
}

fn is_json_object(json: &Json) -> bool {
    json.get().starts_with('{')
}

fn no_json_object() -> Failure {
    Failure::new(Code::AdapterFailed, "the adapter's answer is no JSON object")
}
