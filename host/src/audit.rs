//! The audit log: who came in and who did not, which limit was reached, who changed what.
//!
//! Owns: the target that its lines have, and how many lines about a tenant's log-ins and limits there are in a minute. Must
//! never: hold a token, a password, or anything of a call; or let strangers or one tenant fill a disk: what is left out is
//! counted, and the next line tells it. The lines stand in the log with the others, whatever `log.filter` says of other
//! targets (see `log_filter.rs`).
//!
//! Lines of the same target are written where the server refuses a request, where an operator acts, and where the
//! configuration changes.

use std::net::IpAddr;

use crate::{log_limit::LogLimit, metrics::labels::LimitLabel};

/// The target of its lines.
pub(crate) const TARGET: &str = "audit";

/// Lines a minute about log-ins that were refused.
const REFUSED: u32 = 30;
/// And about agents who came and went. Each has logged in, which has a bound of its own.
const ACCEPTED: u32 = 6_000;

/// The bounds on lines about one tenant's log-ins.
pub(crate) struct LogInAudit {
    accepted: LogLimit,
    refused: LogLimit,
}

impl LogInAudit {
    pub(crate) fn new() -> Self {
        Self { accepted: LogLimit::per_minute(ACCEPTED), refused: LogLimit::per_minute(REFUSED) }
    }

    /// An agent has logged in. `by`: the name of the token, or the issuer of one; empty where none is asked for.
    pub(crate) fn accepted(&self, tenant: &str, agent: &str, client: IpAddr, by: &str, session: &str) {
        if let Some(left_out) = self.accepted.pass() {
            tracing::info!(target: TARGET, tenant, agent, %client, by, session, left_out, "an agent has logged in");
        }
    }

    /// An agent was not logged in; `outcome`: the failure's code.
    pub(crate) fn refused(&self, tenant: &str, agent: &str, client: IpAddr, by: &str, outcome: &str) {
        if let Some(left_out) = self.refused.pass() {
            tracing::warn!(target: TARGET, tenant, agent, %client, by, outcome, left_out, "a log-in was refused");
        }
    }

    /// An agent who has a session already was asked whether to end it. He may come again at once, and is let in then.
    pub(crate) fn asked(&self, tenant: &str, agent: &str, client: IpAddr, by: &str) {
        if let Some(left_out) = self.accepted.pass() {
            tracing::info!(
                target: TARGET, tenant, agent, %client, by, left_out,
                "an agent who has a session was asked whether to end it"
            );
        }
    }

    /// A session is over.
    pub(crate) fn ended(&self, tenant: &str, agent: &str, session: &str, reason: &str) {
        if let Some(left_out) = self.accepted.pass() {
            tracing::info!(target: TARGET, tenant, agent, session, reason, left_out, "a session has ended");
        }
    }
}

/// The bounds on lines about one tenant's limits: one a minute for each limit.
pub(crate) struct LimitAudit {
    tenant: Box<str>,
    limits: [LogLimit; LimitLabel::ALL.len()],
}

impl LimitAudit {
    pub(crate) fn new(tenant: &str) -> Self {
        Self { tenant: tenant.into(), limits: std::array::from_fn(|_| LogLimit::per_minute(1)) }
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// A limit was reached.
    pub(crate) fn reached(&self, limit: LimitLabel) {
        if let Some(left_out) = self.limits[limit as usize].pass() {
            let (tenant, limit) = (&*self.tenant, limit.as_str());
            tracing::warn!(target: TARGET, tenant, limit, left_out, "a limit was reached");
        }
    }
}
