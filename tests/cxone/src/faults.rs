//! What is to go wrong: set by the control endpoint, used up by requests.

use serde::{Deserialize, Serialize};

use crate::{data::AgentId, queue::Mangle};

/// One thing that is to go wrong.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// The call, as the counts name it; `*` for any.
    pub call: String,
    /// Only requests of this agent.
    #[serde(default)]
    pub agent: Option<AgentId>,
    /// So many requests pass before.
    #[serde(default)]
    pub skip: u64,
    /// So many requests are hit.
    #[serde(default = "once")]
    pub times: u64,
    /// What happens to them.
    pub what: What,
}

const fn once() -> u64 {
    1
}

/// What happens to a request.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum What {
    /// It is answered with a status and has no effect.
    Status {
        /// The status.
        status: u16,
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// `Retry-After` is sent as a date.
        #[serde(default)]
        as_date: bool,
    },
    /// It is answered late.
    Slow {
        /// By so many milliseconds.
        millis: u64,
    },
    /// The connection is closed before anything is done.
    CutBefore,
    /// It is done, but the connection is closed in the middle of the answer.
    CutAfter,
    /// It is answered, but what it should cause never happens (polls: nothing special).
    NoEffect,
    /// A poll's answer is preceded by the batch before.
    Again,
    /// A poll's batch comes so many milliseconds late, behind what follows it.
    Late {
        /// Milliseconds.
        millis: u64,
    },
    /// A poll's answer has at most so many events.
    AtMost {
        /// Events.
        events: usize,
    },
}

/// All that is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this request. Called once a request, but for polls, whose mangling is asked for separately.
    pub(crate) fn strike(&mut self, call: &str, agent: Option<AgentId>) -> Option<What> {
        self.take(call, agent, |what| !matches!(what, What::Again | What::Late { .. } | What::AtMost { .. }))
    }

    /// How the batch of a poll that is about to be answered is mangled.
    pub(crate) fn mangle(&mut self, agent: AgentId) -> Mangle {
        let is = |what: &What| matches!(what, What::Again | What::Late { .. } | What::AtMost { .. });
        match self.take("get-next-event", Some(agent), is) {
            Some(What::Again) => Mangle { again: true, ..Mangle::default() },
            Some(What::Late { millis }) => Mangle { late: Some(millis), ..Mangle::default() },
            Some(What::AtMost { events }) => Mangle { at_most: Some(events), ..Mangle::default() },
            _ => Mangle::default(),
        }
    }

    fn take(&mut self, call: &str, agent: Option<AgentId>, kind: impl Fn(&What) -> bool) -> Option<What> {
        let fits = |fault: &&mut Fault| {
            kind(&fault.what)
                && (fault.call == "*" || fault.call == call)
                && (fault.agent.is_none() || fault.agent == agent)
        };
        let fault = self.0.iter_mut().find(fits)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        let what = fault.what.clone();
        self.0.retain(|fault| fault.times > 0);
        Some(what)
    }
}
