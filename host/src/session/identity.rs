//! Who a client has proved to be, and whose session it may use.
//!
//! Owns: the rule that decides both. Must never: know how the proof was given (`tenant/auth`).

use std::sync::Arc;

/// Who a client has proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The tenant asks for no proof: whoever knows a session's id may use it.
    Anyone,
    /// The holder of a token for all agents of the tenant, by the token's name.
    Holder(Arc<str>),
    /// One agent only, vouched for by the holder of a token or by an issuer.
    Agent {
        /// Who vouches: the token's name, or the issuer.
        by: Arc<str>,
        /// The agent, as prepareSession names it.
        agent: Arc<str>,
    },
}

impl Identity {
    /// Whether this client may log this agent in.
    #[must_use]
    pub(crate) fn may_log_in(&self, agent: &str) -> bool {
        match self {
            Self::Anyone | Self::Holder(_) => true,
            Self::Agent { agent: own, .. } => **own == *agent,
        }
    }

    /// Whether this client may use a session of `agent` that `owner` has prepared: the same holder or voucher, and no
    /// other agent.
    #[must_use]
    pub(crate) fn may_use(&self, owner: &Self, agent: &str) -> bool {
        match (owner.issuer(), self.issuer()) {
            (None, _) => true,
            (Some(owner), Some(own)) => owner == own && self.may_log_in(agent),
            (Some(_), None) => false,
        }
    }

    /// The name of the token, or of whoever vouches.
    pub(super) fn issuer(&self) -> Option<&str> {
        match self {
            Self::Anyone => None,
            Self::Holder(by) | Self::Agent { by, .. } => Some(by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str) -> Identity {
        Identity::Holder(name.into())
    }

    fn agent(by: &str, agent: &str) -> Identity {
        Identity::Agent { by: by.into(), agent: agent.into() }
    }

    #[test]
    fn an_agents_token_logs_in_that_agent_only() {
        assert!(agent("crm", "1001").may_log_in("1001"));
        assert!(!agent("crm", "1001").may_log_in("1002"));
        assert!(holder("crm").may_log_in("1002") && Identity::Anyone.may_log_in("1002"));
    }

    #[test]
    fn a_session_is_used_by_who_prepared_it_and_by_its_agent() {
        let session = holder("crm");
        assert!(holder("crm").may_use(&session, "1001"));
        assert!(agent("crm", "1001").may_use(&session, "1001"), "the page of the agent whom the server logged in");
        assert!(!agent("crm", "1002").may_use(&session, "1001"), "another agent");
        assert!(!holder("other").may_use(&session, "1001") && !agent("other", "1001").may_use(&session, "1001"));
        assert!(!Identity::Anyone.may_use(&session, "1001"));
        assert!(holder("crm").may_use(&agent("crm", "1001"), "1001"), "the server that vouched for the agent");
        assert!(Identity::Anyone.may_use(&Identity::Anyone, "1001"));
    }
}
