//! Who works for which queue, and who pauses, beyond the standard commands: an agent's queues while at work, and what a
//! supervisor decides for a colleague.
//!
//! Owns: these commands. Must never: do for a supervisor what the agent himself could not do.

use std::collections::BTreeSet;

use jackfield_plugin_api::{Code, Failure, Json, Outcome};
use serde::Deserialize;

use super::{
    CommandId, Switch,
    model::{Availability, PhoneKey, Work},
};

/// `session.request.asterisk.notready`, and `…ready`, where only the agent is read.
#[derive(Debug, Deserialize)]
struct Pause {
    agent: String,
    #[serde(default)]
    reasoncode: String,
    reasondesc: Option<String>,
}

/// `session.request.asterisk.queues`.
#[derive(Debug, Deserialize)]
struct Queues {
    /// Whose; the own ones unless given.
    agent: Option<String>,
    queues: BTreeSet<String>,
}

impl Switch {
    /// A supervisor lets a colleague pause, or ends that.
    pub(super) fn pause_colleague(&mut self, id: CommandId, supervisor: &str, data: &Json, pauses: bool) {
        let Ok(Pause { agent, reasoncode, reasondesc }) = data.parse() else {
            return self.refuse(id, Code::Rejected, "agent: whom; reasoncode: why");
        };
        let phones = match self.staffed(supervisor, Some(&agent)) {
            Ok(phones) => phones,
            Err(failure) => return self.reply(id, failure),
        };
        let availability = match self.reason(reasoncode, reasondesc) {
            _ if !pauses => Availability::Ready,
            Ok(availability) => availability,
            Err(failure) => return self.reply(id, failure),
        };
        for phone in phones {
            self.make_available(&phone, availability.clone());
        }
        self.reply(id, Outcome::success());
    }

    /// The queues that an agent works for are others from now on.
    pub(super) fn work_for(&mut self, id: CommandId, by: &str, data: &Json) {
        let Ok(Queues { agent, queues }) = data.parse() else {
            return self.refuse(id, Code::Rejected, "queues: a list of names");
        };
        if let Some(unknown) = queues.iter().find(|queue| !self.settings.queues.contains_key(*queue)) {
            return self.refuse(id, Code::Rejected, format!("no queue {unknown:?}"));
        }
        let phones = match self.staffed(by, agent.as_deref()) {
            Ok(phones) => phones,
            Err(failure) => return self.reply(id, failure),
        };
        for key in phones {
            if let Some(phone) = self.phones.get_mut(&key) {
                phone.queues.clone_from(&queues);
            }
            self.touch_phone(&key);
        }
        self.queues_touched = true;
        self.reply(id, Outcome::success());
    }

    /// The extensions at which an agent is at work; `whom`, by name or extension, unless the agent asks for himself.
    fn staffed(&self, by: &str, whom: Option<&str>) -> Result<Vec<PhoneKey>, Failure> {
        let whom = match whom.filter(|whom| *whom != by) {
            None => by.to_owned(),
            Some(_) if !self.is_supervisor(by) => {
                return Err(Failure::new(Code::Forbidden, "the settings do not name this agent as a supervisor"));
            }
            Some(whom) => self.phones.get(whom).map_or_else(|| whom.to_owned(), |phone| phone.agent.clone()),
        };
        if !self.desks.contains_key(&whom) && !self.settings.agents.contains_key(&whom) {
            return Err(Failure::new(Code::NotFound, "there is no such colleague"));
        }
        let active = |key: &PhoneKey| self.phones.get(key).is_some_and(|phone| phone.work != Work::Inactive);
        let phones: Vec<PhoneKey> = self.phones_of(&whom).into_iter().filter(active).collect();
        match phones.is_empty() {
            true => Err(Failure::new(Code::InvalidState, "the agent is not at work")),
            false => Ok(phones),
        }
    }

    /// Whether the settings name an agent as a supervisor.
    pub(super) fn is_supervisor(&self, agent: &str) -> bool {
        self.settings.agents.get(agent).is_some_and(|known| known.supervisor)
    }

    /// Not ready for a reason of the settings.
    pub(super) fn reason(&self, code: String, desc: Option<String>) -> Result<Availability, Failure> {
        if !self.settings.reasons.is_empty() && !self.settings.reasons.contains_key(&code) {
            return Err(Failure::new(Code::Rejected, format!("no reason {code:?}")));
        }
        let desc = desc.or_else(|| self.settings.reasons.get(&code).cloned());
        Ok(Availability::NotReady { code: Some(code), desc })
    }
}
