//! Who works for which queue, and who pauses: an agent's queues while at work, and what a supervisor decides for a
//! colleague.
//!
//! Owns: these commands. Must never: do for a supervisor what the agent himself could not do.

use std::collections::BTreeSet;

use jackfield_plugin_api::{Code, Failure, Json, Outcome};
use serde::Deserialize;

use super::{
    CommandId, Switch,
    model::{Availability, PhoneKey, Work},
};

/// `session.request.asterisk.queues`.
#[derive(Debug, Deserialize)]
struct Queues {
    /// Whose; the own ones unless given.
    agent: Option<String>,
    queues: BTreeSet<String>,
}

impl Switch {
    /// A supervisor lets a colleague take contacts again.
    pub(super) fn colleague_ready(&mut self, id: CommandId, supervisor: &str, whom: &str) {
        self.make_colleague_available(id, supervisor, whom, Ok(Availability::Ready));
    }

    /// A supervisor lets a colleague pause.
    pub(super) fn colleague_not_ready(
        &mut self,
        id: CommandId,
        supervisor: &str,
        whom: &str,
        code: String,
        desc: Option<String>,
    ) {
        let availability = self.reason(code, desc);
        self.make_colleague_available(id, supervisor, whom, availability);
    }

    fn make_colleague_available(
        &mut self,
        id: CommandId,
        supervisor: &str,
        whom: &str,
        availability: Result<Availability, Failure>,
    ) {
        match self.colleagues_phones(supervisor, whom).and_then(|phones| Ok((phones, availability?))) {
            Ok((phones, availability)) => {
                for phone in phones {
                    self.make_available(&phone, availability.clone());
                }
                self.reply(id, Outcome::success());
            }
            Err(failure) => self.reply(id, failure),
        }
    }

    /// The queues that an agent works for are others from now on.
    pub(super) fn work_for(&mut self, id: CommandId, by: &str, data: &Json) {
        let Ok(Queues { agent, queues }) = data.parse() else {
            return self.refuse(id, Code::Rejected, "queues: a list of names");
        };
        if let Some(unknown) = queues.iter().find(|queue| !self.settings.queues.contains_key(*queue)) {
            return self.refuse(id, Code::Rejected, format!("no queue {unknown:?}"));
        }
        let phones = match agent.filter(|whom| whom != by) {
            None => self.staffed_phones(by),
            Some(whom) => self.colleagues_phones(by, &whom),
        };
        let phones = match phones {
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

    /// The extensions at which a colleague is at work whom a supervisor names, or one of them.
    fn colleagues_phones(&self, supervisor: &str, whom: &str) -> Result<Vec<PhoneKey>, Failure> {
        if !self.is_supervisor(supervisor) {
            return Err(Failure::new(Code::Forbidden, "the settings do not name this agent as a supervisor"));
        }
        let whom = self.phones.get(whom).map_or(whom, |phone| phone.agent.as_str());
        if whom == supervisor || !self.desks.contains_key(whom) && !self.settings.agents.contains_key(whom) {
            return Err(Failure::new(Code::NotFound, "there is no such colleague"));
        }
        self.staffed_phones(whom)
    }

    /// The extensions at which an agent is at work.
    fn staffed_phones(&self, agent: &str) -> Result<Vec<PhoneKey>, Failure> {
        let active = |key: &PhoneKey| self.phones.get(key).is_some_and(|phone| phone.work != Work::Inactive);
        let phones: Vec<PhoneKey> = self.phones_of(agent).into_iter().filter(active).collect();
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
