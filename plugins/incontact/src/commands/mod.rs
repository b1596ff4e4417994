//! What becomes of each command: which calls of CXone it is made of, and which event says that it is done.
//!
//! CXone accepts nearly everything with an empty answer; a command succeeds only when the event that it leads to has
//! come and has been reported. One that never comes ends in `timeout`, after the state was replayed and told anew.
//!
//! ```text
//! calls.rs      one call: answer, release, hold, mute, tones, recording
//! talk.rs       a call or a conference as it is held, and why a contact is going to end
//! phone.rs      the agent's own phone, which calls need
//! two.rs        two calls: consult, alternate, transfer, conference
//! dial.rs       calls out, and the question for the outbound skill
//! state.rs      channels and the agent's state
//! contact.rs    chat and e-mail, call data, dispositions, completion
//! groups.rs     channel groups
//! disposition.rs  how a contact ended, with notes and tags
//! callbacks.rs  callbacks that were promised to customers
//! desk.rs       queues, supervision, voice mail, signing in again
//! lists.rs      lists for the menus of desktops
//! extension.rs  the adapter's own commands, by their names
//! ```

pub(crate) mod callbacks;
mod calls;
mod contact;
mod desk;
mod dial;
mod disposition;
mod extension;
mod groups;
mod lists;
mod phone;
mod state;
mod talk;
mod two;

use std::time::Duration;

use jackfield_plugin_api::{Code, Command, Failure, Outcome, command::MemberAction};
use serde_json::{Value, json};

use crate::{
    api::{Group, Refusal},
    line::Line,
    model::{After, Case, Conv, Facts, Media, Stage, Verdict},
};

/// Carries a command out.
pub(crate) async fn carry_out(line: &Line, command: Command) -> Outcome {
    match command {
        Command::AddChannel { endpoint, kind } => state::add_channel(line, &endpoint, kind).into(),
        Command::RemoveChannel { channel } => state::remove_channel(line, &channel).await.into(),
        Command::AddChannelGroup { name, chat, email, .. } => groups::add(line, &name, chat, email).into(),
        Command::RemoveChannelGroup { group } => groups::remove(line, &group).await.into(),
        Command::Activate { channel, .. } => state::activate(line, &channel).await.into(),
        Command::Deactivate { channel, .. } => state::deactivate(line, &channel).await.into(),
        Command::Ready { .. } => state::ready(line).await.into(),
        Command::NotReady { reason_code, .. } => state::not_ready(line, &reason_code).await.into(),
        Command::Dial { destination, extensions, .. } => dial::dial(line, &destination, &extensions).await,
        Command::Accept { interaction } => contact::accept(line, &interaction.interaction).await.into(),
        Command::Reject { interaction } => contact::reject(line, &interaction.interaction).await.into(),
        Command::SetInteractionData { interaction, key, value } => {
            contact::set_data(line, &interaction.interaction, &key, value).await.into()
        }
        Command::SetDisposition { interaction, disposition } => {
            disposition::set(line, &interaction.interaction, disposition).await.into()
        }
        Command::Complete { interaction } => contact::complete(line, &interaction.interaction).await.into(),
        Command::Consult { interaction, destination } => {
            two::consult(line, &interaction.interaction, &destination).await.into()
        }
        Command::Alternate { interaction, hold, retrieve } => {
            two::alternate(line, &interaction.interaction, hold.as_deref(), &retrieve).await.into()
        }
        Command::ConsultTransfer { interaction } => two::transfer(line, &interaction.interaction).await.into(),
        Command::ConsultConference { interaction } => two::conference(line, &interaction.interaction).await.into(),
        Command::Record { interaction, action } => calls::record(line, &interaction.interaction, action).await.into(),
        Command::Answer { conversation: at } => calls::answer(line, &at.interaction, &at.conversation).await.into(),
        Command::Release { conversation: at } => calls::release(line, &at.interaction, &at.conversation).await.into(),
        Command::Hold { conversation: at } => calls::hold(line, &at.interaction, &at.conversation).await.into(),
        Command::Retrieve { conversation: at } => calls::retrieve(line, &at.interaction, &at.conversation).await.into(),
        Command::Mute { .. } => calls::mute(line, true).await.into(),
        Command::Unmute { .. } => calls::mute(line, false).await.into(),
        Command::SendDtmf { digits, .. } => calls::tones(line, &digits).await.into(),
        Command::BlindTransfer { conversation: at, destination } => {
            two::blind_transfer(line, &at.interaction, &at.conversation, &destination).await.into()
        }
        Command::BlindConference { conversation: at, destination } => {
            two::blind_conference(line, &at.interaction, &at.conversation, &destination).await.into()
        }
        Command::Member { conversation: at, member, action: MemberAction::Remove } => {
            desk::remove_member(line, &at, &member).await.into()
        }
        Command::Supervise { agent, mode } => desk::supervise(line, &agent, mode).await.into(),
        Command::List(request) => lists::list(line, &request).await,
        Command::Extension { name, target, data } => extension::carry_out(line, &name, &target, &data).await,
        _ => Outcome::unsupported(),
    }
}

/// Looks up an interaction.
fn with_case<T>(line: &Line, key: &str, look: impl FnOnce(&Case, &Facts) -> Result<T, Failure>) -> Result<T, Failure> {
    line.with(|model| match model.cases.get(key) {
        Some(case) => look(case, &model.facts),
        None => Err(Failure::new(Code::InvalidState, "CXone no longer has this contact")),
    })
}

/// The contact of a conversation that commands go to.
fn contact_of(case: &Case, facts: &Facts, conversation: &str) -> Result<String, Failure> {
    let conv = case.convs.iter().find(|conv| conv.key == conversation);
    let contact = conv.and_then(|conv| conv.contact(facts)).map(|contact| contact.now.id.clone());
    contact.ok_or_else(|| Failure::new(Code::InvalidState, "CXone no longer has this call"))
}

/// The living primary and consult of an interaction.
fn two_calls(case: &Case, facts: &Facts) -> Result<(String, String), Failure> {
    let find = |consult: bool| case.convs.iter().find(|conv: &&Conv| conv.consult == consult);
    match (find(false).and_then(|conv| conv.contact(facts)), find(true).and_then(|conv| conv.contact(facts))) {
        (Some(first), Some(second)) => Ok((first.now.id.clone(), second.now.id.clone())),
        _ => Err(Failure::new(Code::InvalidState, "CXone no longer has both calls")),
    }
}

/// How long facts are waited for that show that a command was carried out though it was refused.
const A_MOMENT: Duration = Duration::from_millis(300);

/// A command that was not carried out.
#[derive(Debug, Clone)]
struct Failed {
    failure: Failure,
    /// The status of CXone's answer, where it was refused.
    status: Option<u16>,
    /// It is certain that nothing was done, or what: what was begun can be undone. Where the outcome is unknown the effect
    /// may still come, and undoing would break it.
    certain: bool,
}

impl Failed {
    /// CXone has said no, for a reason that may lie in what it knows already: not for want of a right or of patience.
    fn is_refusal(&self) -> bool {
        self.status.is_some_and(|status| matches!(status, 400..=499) && !matches!(status, 401 | 403 | 429))
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None, certain: true }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        let certain = !matches!(refusal, Refusal::Unknown(_));
        Self { failure: refusal.failure(), status: refusal.status(), certain }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        failed.failure
    }
}

/// Sends a call and waits for what it leads to. One that is refused may have been carried out all the same, by CXone
/// itself or another client of the agent's: the facts are looked at before it fails.
async fn act(
    line: &Line,
    after: After,
    group: Group,
    path: &str,
    params: Value,
    look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
) -> Result<String, Failed> {
    act_patiently(line, after, (group, path, params), A_MOMENT, look).await
}

/// The same, with the time that the facts are given where it is refused.
async fn act_patiently(
    line: &Line,
    after: After,
    (group, path, params): (Group, &str, Value),
    patience: Duration,
    look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
) -> Result<String, Failed> {
    let waiting = Waiting::new(line, after, look);
    match line.send(group, path, params).await {
        Ok(()) => Ok(waiting.come(path).await?),
        Err(refusal) => {
            let failed = Failed::from(refusal);
            match failed.is_refusal() {
                true => waiting.come_soon(patience).await.and_then(Result::ok).ok_or(failed),
                false => Err(failed),
            }
        }
    }
}

/// A step of a command: like [`act`], with nothing held back for it.
async fn step(
    line: &Line,
    path: &str,
    params: Value,
    look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
) -> Result<String, Failed> {
    act(line, After::Nothing, Group::Interaction, path, params, look).await
}

/// Something that is waited for; dropping it waits no more and lets go what was held back.
struct Waiting<'a> {
    line: &'a Line,
    number: u64,
    told: tokio::sync::oneshot::Receiver<Verdict>,
}

impl<'a> Waiting<'a> {
    fn new(line: &'a Line, after: After, look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static) -> Self {
        let (number, told) = line.want(after, look);
        Self { line, number, told }
    }

    /// Waits until it has come, at the longest as long as an event may take.
    async fn come(self, what: &str) -> Verdict {
        let patience = self.line.api.settings.timing.event();
        self.come_within(what, patience).await
    }

    /// Waits a little. `None`: it has not come.
    async fn come_soon(mut self, patience: Duration) -> Option<Verdict> {
        self.line.with(|_| ());
        tokio::time::timeout(patience, &mut self.told).await.ok()?.ok()
    }

    async fn come_within(mut self, what: &str, patience: Duration) -> Verdict {
        // It may be there already.
        self.line.with(|_| ());
        match tokio::time::timeout(patience, &mut self.told).await {
            Ok(Ok(verdict)) => return verdict,
            Ok(Err(_)) => return Err(Failure::new(Code::Internal, "nobody looks for the event any more")),
            Err(_) => {}
        }
        // What did become of it is told by a replay.
        self.line.need_replay();
        if self.line.in_step(self.line.api.settings.timing.event()).await.is_ok() {
            self.line.report_snapshot();
        }
        if let Ok(verdict) = self.told.try_recv() {
            return verdict;
        }
        let failure = Failure::new(Code::Timeout, "CXone accepted the command, but tells of no effect");
        Err(failure.context(format!("CXone: no event within {} s after {what}", patience.as_secs())))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.with(|model| model.unwant(self.number));
    }
}

/// `interactions/{contact}/{verb}`
fn path(contact: &str, verb: &str) -> String {
    format!("interactions/{}/{verb}", crate::http::encode(contact))
}

/// Waits for a stage of a contact; its end is a failure, unless it is the end that is waited for.
fn until(
    contact: &str,
    wanted: impl Fn(Stage) -> bool + Send + 'static,
) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    let id = contact.to_owned();
    move |facts| {
        let stage = facts.stage(&id);
        if wanted(stage) {
            return Some(Ok(id.clone()));
        }
        let gone = || Failure::new(Code::InvalidState, "the contact ended meanwhile");
        (stage == Stage::Over).then(|| Err(gone()))
    }
}

fn no_params() -> Value {
    json!({})
}

/// A number in a path or body.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

fn is_call(case: &Case) -> bool {
    case.media == Media::Call
}

/// Failure with CXone's own words, under the protocol's code.
fn rejected(message: impl Into<String>) -> Failure {
    Failure::new(Code::Rejected, message)
}
