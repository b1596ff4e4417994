//! How often an agent's password may be wrong.
//!
//! Owns: the bound on wrong passwords for one agent from one address. Must never: keep others out (colleagues behind the same
//! address log in as before, and the agent himself does elsewhere), or ask the platform about a password that is one too
//! many: many platforms lock an account for that.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Duration,
};

use jackfield_plugin_api::{Code, Failure};

use crate::failed_attempts::{FailedAttempts, network};

/// So many wrong passwords at once, then one each pause.
const AT_ONCE: u32 = 5;
const PAUSE: Duration = Duration::from_secs(10);

/// The wrong passwords of a tenant's agents.
pub(super) struct PasswordAttempts {
    hasher: RandomState,
    wrong: FailedAttempts<(IpAddr, u64)>,
}

/// A password that the platform is asked about. It counts as wrong until the platform has said otherwise, so that nobody
/// has many tried side by side.
pub(super) struct PasswordAttempt<'a> {
    wrong: &'a FailedAttempts<(IpAddr, u64)>,
    whose: (IpAddr, u64),
}

impl PasswordAttempts {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), wrong: FailedAttempts::new(AT_ONCE, PAUSE) }
    }

    /// Counts an attempt, until it is [answered](PasswordAttempt::answered), as a wrong one.
    ///
    /// # Errors
    /// `rate_limited`: too many were wrong lately.
    pub(super) fn begin(&self, agent: &str, from: IpAddr) -> Result<PasswordAttempt<'_>, Failure> {
        // An agent's name may be long, and a stranger's invention.
        let whose = (network(from), self.hasher.hash_one(agent));
        if let Some(wait) = self.wrong.must_wait(&whose) {
            let words = format!("too many wrong passwords; try again in {} s", wait.as_secs() + 1);
            return Err(Failure::new(Code::RateLimited, words));
        }
        self.wrong.failed(whose);
        Ok(PasswordAttempt { wrong: &self.wrong, whose })
    }
}

impl PasswordAttempt<'_> {
    /// The platform has answered: with a failure, or none.
    pub(super) fn answered(self, failure: Option<Code>) {
        match failure {
            None => self.wrong.forget(&self.whose),
            Some(Code::Unauthorized) => {}
            Some(_) => self.wrong.take_back(&self.whose),
        }
    }
}
