//! Short-lived tokens of one agent each, for pages that must not have the tenant's own token.
//!
//! Owns: which of them count, until when, and how many there may be. Must never: keep a token itself (only its hash), or
//! outlive the host: whoever holds the tenant's token asks for a new one after a restart.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;

use super::hash_token;

/// How such a token begins, so that it can be told from one for all agents.
pub(crate) const PREFIX: &str = "jfa_";
/// The longest time that such a token may count.
pub(crate) const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How long one counts where nothing else is asked for: as long as a page needs to log in, with its reconnects.
pub(crate) const USUAL: Duration = Duration::from_secs(900);
/// How many of a tenant count at the same time.
const MOST: usize = 20_000;

/// The tokens of one tenant.
#[derive(Default)]
pub(super) struct AgentTokens(Mutex<HashMap<[u8; 32], Issued>>);

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issued {
    /// The name of the token whose holder asked for it.
    pub(super) by: Arc<str>,
    /// The agent.
    pub(super) agent: Arc<str>,
    /// Until when it counts.
    pub(super) until: Instant,
}

impl AgentTokens {
    /// Makes a token for an agent. `None`: there are as many as there may be, or no random numbers can be had.
    pub(super) fn issue(&self, by: Arc<str>, agent: &str, lifetime: Duration) -> Option<String> {
        let mut bits = [0_u8; 32];
        getrandom::fill(&mut bits).ok()?;
        let token = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bits));
        let now = Instant::now();
        let mut tokens = self.0.lock();
        if tokens.len() >= MOST {
            tokens.retain(|_, issued| issued.until > now);
        }
        if tokens.len() >= MOST {
            return None;
        }
        let until = now + lifetime.min(LONGEST);
        tokens.insert(hash_token(&token), Issued { by, agent: agent.into(), until });
        Some(token)
    }

    /// Whom a token stands for, if it counts. A hash is looked up, so the time that it takes says nothing of the token.
    pub(super) fn find(&self, hash: &[u8; 32]) -> Option<Issued> {
        let mut tokens = self.0.lock();
        let issued = tokens.get(hash)?.clone();
        if issued.until <= Instant::now() {
            tokens.remove(hash);
            return None;
        }
        Some(issued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_for_its_agent_until_its_time_is_over() {
        let tokens = AgentTokens::default();
        let token = tokens.issue("crm".into(), "1001", Duration::from_secs(60)).expect("there is room");
        let found = tokens.find(&hash_token(&token)).expect("it counts");
        assert_eq!((&*found.by, &*found.agent), ("crm", "1001"));
        let over = tokens.issue("crm".into(), "1001", Duration::ZERO).expect("there is room");
        assert_eq!(tokens.find(&hash_token(&over)), None);
        assert_eq!(tokens.find(&hash_token("jfa_")), None);
    }

    #[test]
    fn there_are_only_so_many_and_those_that_are_over_make_room() {
        let tokens = AgentTokens::default();
        for _ in 0..MOST {
            assert!(tokens.issue("crm".into(), "1001", Duration::ZERO).is_some());
        }
        for _ in 0..MOST {
            assert!(tokens.issue("crm".into(), "1001", USUAL).is_some());
        }
        assert!(tokens.issue("crm".into(), "1001", USUAL).is_none());
    }
}
