//! A call or a conference as it is held and taken back, and why a contact is going to end.

use std::time::Duration;

use jackfield_plugin_api::{Code, Failure};
use serde_json::json;

use super::{Failed, Waiting, act, contact_of, no_params, path, with_case};
use crate::{
    api::Group,
    line::Line,
    model::{After, Facts, Stage},
};

/// What is held and taken back as one: a call, or a conference by the number that CXone has given it.
#[derive(Debug, Clone)]
pub(super) struct Talk {
    /// Its living contacts, the oldest first; there is one at least.
    pub(super) parties: Vec<String>,
    /// It is a conference.
    pub(super) conference: bool,
}

/// How long CXone may take to tell a conference's number, once all are in it.
const NUMBERED: Duration = Duration::from_secs(1);

impl Talk {
    /// What a conversation is.
    pub(super) fn of(line: &Line, key: &str, conversation: &str) -> Result<Self, Failure> {
        with_case(line, key, |case, facts| {
            let first = contact_of(case, facts, conversation)?;
            let conv = case.convs.iter().find(|conv| conv.key == conversation && conv.is_conference(facts));
            let Some(conv) = conv else { return Ok(Self { parties: vec![first], conference: false }) };
            let parties = conv.contacts.iter().filter(|id| facts.stage(id) != Stage::Over).cloned().collect();
            Ok(Self { parties, conference: true })
        })
    }

    /// The number by which CXone knows the conference. `None`: it is none, or CXone does not tell.
    pub(super) async fn number(&self, line: &Line) -> Option<String> {
        if !self.conference {
            return None;
        }
        let told = Waiting::new(line, After::Nothing, |facts| facts.conference.clone().map(Ok));
        told.come_soon(NUMBERED).await?.ok()
    }

    /// The contact that stands for all of it.
    pub(super) fn contact(&self) -> &str {
        &self.parties[0]
    }

    /// How far those are who have not left.
    fn stages<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = Stage> + 'a {
        self.parties.iter().map(|id| facts.stage(id)).filter(|stage| *stage != Stage::Over)
    }

    /// Nobody is there any more.
    pub(super) fn over(&self, facts: &Facts) -> bool {
        self.stages(facts).next().is_none()
    }

    /// Somebody hears the agent.
    pub(super) fn talking(&self, facts: &Facts) -> bool {
        self.stages(facts).any(Stage::talking)
    }

    /// All wait.
    pub(super) fn held(&self, facts: &Facts) -> bool {
        !self.over(facts) && self.stages(facts).all(|stage| stage == Stage::Held)
    }

    /// The agent leaves it for a while, and the others of a conference stay together; or he comes back.
    pub(super) async fn set_held(&self, line: &Line, after: After, held: bool) -> Result<(), Failed> {
        let me = self.clone();
        let look = move |facts: &Facts| {
            if me.over(facts) {
                return Some(Err(Failure::new(Code::InvalidState, "the call ended meanwhile")));
            }
            let done = if held { me.held(facts) } else { me.stages(facts).all(Stage::talking) };
            done.then(|| Ok(String::new()))
        };
        match self.number(line).await {
            Some(number) => {
                let verb = if held { "interactions/conference-hold" } else { "interactions/conference-resume" };
                let params = json!({"conferenceNo": super::number(&number)});
                act(line, after, Group::Conference, verb, params, look).await?;
            }
            // Of a conference without a number the first call stands for all.
            None => {
                let verb = path(self.contact(), if held { "hold" } else { "resume" });
                act(line, after, Group::Interaction, &verb, no_params(), look).await?;
            }
        }
        Ok(())
    }
}

/// Says beforehand why a contact ends.
pub(super) fn intend(line: &Line, key: &str, contact: &str, intent: crate::model::Intent) {
    line.with(|model| {
        if let Some(case) = model.cases.get_mut(key) {
            case.intend(contact, intent);
        }
    });
}

/// A command failed: the contact does not end for its sake.
pub(super) fn forget_intent_of_failure<T, E>(
    line: &Line,
    key: &str,
    contact: &str,
    done: Result<T, E>,
) -> Result<T, E> {
    if done.is_err() {
        line.with(|model| {
            if let Some(case) = model.cases.get_mut(key) {
                case.intend_nothing(contact);
            }
        });
    }
    done
}
