//! What becomes of each command: which calls of CXone it is made of, and which event says that it is done.
//!
//! CXone accepts nearly everything with an empty answer; a command succeeds only when the event that it leads to has
//! come and has been reported. One that never comes ends in `timeout`, after the state was replayed and told anew.
//!
//! ```text
//! calls.rs      one call: answer, release, hold, mute, tones, recording
//! two.rs        two calls: consult, alternate, transfer, conference
//! dial.rs       calls out, and the question for the outbound skill
//! state.rs      channels and the agent's state
//! contact.rs    chat and e-mail, call data, dispositions, completion
//! extension.rs  the adapter's own commands
//! ```

mod calls;
mod contact;
mod dial;
mod extension;
mod state;
mod two;

use jackfield_plugin_api::{Code, Command, Failure, Outcome};
use serde_json::{Value, json};

use crate::{
    api::Group,
    line::Line,
    model::{After, Case, Conv, Facts, Media, Stage, Verdict},
};

/// Carries a command out.
pub(crate) async fn carry_out(line: &Line, command: Command) -> Outcome {
    match command {
        Command::AddChannel { endpoint, kind } => state::add_channel(line, &endpoint, kind).into(),
        Command::RemoveChannel { channel } => state::remove_channel(line, &channel).await.into(),
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
            contact::set_disposition(line, &interaction.interaction, &disposition).await.into()
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

/// The contact of a conversation, by the interaction's and the conversation's keys.
fn contact(line: &Line, key: &str, conversation: &str) -> Result<String, Failure> {
    with_case(line, key, |case, facts| contact_of(case, facts, conversation))
}

/// The living primary and consult of an interaction.
fn two_calls(case: &Case, facts: &Facts) -> Result<(String, String), Failure> {
    let find = |consult: bool| case.convs.iter().find(|conv: &&Conv| conv.consult == consult);
    match (find(false).and_then(|conv| conv.contact(facts)), find(true).and_then(|conv| conv.contact(facts))) {
        (Some(first), Some(second)) => Ok((first.now.id.clone(), second.now.id.clone())),
        _ => Err(Failure::new(Code::InvalidState, "CXone no longer has both calls")),
    }
}

/// Sends a call and waits for what it leads to.
async fn act(
    line: &Line,
    after: After,
    group: Group,
    path: &str,
    params: Value,
    look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
) -> Verdict {
    let waiting = Waiting::new(line, after, look);
    line.post(group, path, params).await?;
    waiting.come(path).await
}

/// A step of a command: like [`act`], with nothing held back for it.
async fn step(
    line: &Line,
    path: &str,
    params: Value,
    look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
) -> Verdict {
    act(line, After::Nothing, Group::Interaction, path, params, look).await
}

/// Something that is waited for; dropping it waits no more and lets go what was held back.
struct Waiting<'a> {
    line: &'a Line,
    number: u64,
    told: Option<tokio::sync::oneshot::Receiver<Verdict>>,
}

impl<'a> Waiting<'a> {
    fn new(line: &'a Line, after: After, look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static) -> Self {
        let (number, told) = line.want(after, look);
        Self { line, number, told: Some(told) }
    }

    /// Waits until it has come, at the longest as long as an event may take.
    async fn come(self, what: &str) -> Verdict {
        let patience = self.line.api.settings.timing.event();
        self.come_within(what, patience).await
    }

    async fn come_within(mut self, what: &str, patience: std::time::Duration) -> Verdict {
        let Some(told) = self.told.take() else { return Ok(String::new()) };
        // It may be there already.
        self.line.with(|_| ());
        match tokio::time::timeout(patience, told).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(Failure::new(Code::Internal, "nobody looks for the event any more")),
            Err(_) => {
                self.line.with(|model| model.unwant(self.number));
                // What did become of it is told by a replay.
                self.line.need_replay();
                if self.line.in_step(patience).await.is_ok() {
                    self.line.report_snapshot();
                }
                let failure = Failure::new(Code::Timeout, "CXone accepted the command, but tells of no effect");
                Err(failure.context(format!("CXone: no event within {} s after {what}", patience.as_secs())))
            }
        }
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
