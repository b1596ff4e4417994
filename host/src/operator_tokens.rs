//! The tokens of operators and of Prometheus.
//!
//! Owns: which of them count, and what each may. Must never: keep, log or compare a token in a way that tells how much of it
//! was right. A reload changes them; the operators' listener asks.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::RwLock;
use subtle::ConstantTimeEq as _;

use crate::{
    config::{OperatorRight, OperatorToken},
    tenant::hash_token,
};

/// The tokens that count.
#[derive(Debug, Default)]
pub(crate) struct OperatorTokens {
    /// Whether one is asked for. Once it is, it is until the end: a list that has become empty lets nobody in.
    asks: AtomicBool,
    tokens: RwLock<Vec<OperatorToken>>,
}

/// Why a token is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotEnough {
    /// There is none, or it does not count.
    Wrong,
    /// It may only look.
    MayNotAct,
}

impl OperatorTokens {
    /// These count.
    pub(crate) fn new(tokens: Vec<OperatorToken>) -> Self {
        let all = Self::default();
        all.set(tokens);
        all
    }

    /// These count from now on.
    pub(crate) fn set(&self, tokens: Vec<OperatorToken>) {
        if !tokens.is_empty() {
            self.asks.store(true, Relaxed);
        } else if self.asks.load(Relaxed) {
            tracing::warn!(
                "operations.tokens is empty: no operator is let in before there is a token or the next start"
            );
        }
        *self.tokens.write() = tokens;
    }

    /// Whether whoever presents this may do what he wants; with the name of his token, if one was asked for.
    ///
    /// # Errors
    /// He may not.
    pub(crate) fn check(&self, presented: Option<&str>, wanted: OperatorRight) -> Result<Box<str>, NotEnough> {
        if !self.asks.load(Relaxed) {
            return Ok("".into());
        }
        let presented = hash_token(presented.unwrap_or_default());
        let mut found = None;
        // All are looked at, each to its end, so that time does not tell which was nearly right.
        for token in self.tokens.read().iter() {
            if bool::from(token.token.hash.ct_eq(&presented)) {
                found = Some((token.token.name.as_str().into(), token.may));
            }
        }
        match found {
            None => Err(NotEnough::Wrong),
            Some((_, may)) if may < wanted => Err(NotEnough::MayNotAct),
            Some((name, _)) => Ok(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Token;

    fn tokens(all: &[(&str, OperatorRight)]) -> OperatorTokens {
        let token = |(text, may): &(&str, OperatorRight)| OperatorToken {
            token: Token { name: format!("holder of {text}"), hash: hash_token(text) },
            may: *may,
        };
        OperatorTokens::new(all.iter().map(token).collect())
    }

    #[test]
    fn a_token_that_may_read_may_not_act() {
        let tokens = tokens(&[("reads", OperatorRight::Read), ("acts", OperatorRight::Act)]);
        let check = |token, wanted| tokens.check(token, wanted).map(|name| name.into_string());
        let holder = |of: &str| Ok(format!("holder of {of}"));
        assert_eq!(check(Some("reads"), OperatorRight::Read), holder("reads"));
        assert_eq!(check(Some("reads"), OperatorRight::Act), Err(NotEnough::MayNotAct));
        assert_eq!(check(Some("acts"), OperatorRight::Read), holder("acts"));
        assert_eq!(check(Some("acts"), OperatorRight::Act), holder("acts"));
        for wrong in [None, Some(""), Some("wrong")] {
            assert_eq!(check(wrong, OperatorRight::Read), Err(NotEnough::Wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_list_of_tokens_that_has_become_empty_lets_nobody_in() {
        assert!(tokens(&[]).check(None, OperatorRight::Act).is_ok(), "where there never was one nobody is asked");
        let tokens = tokens(&[("reads", OperatorRight::Read)]);
        tokens.set(Vec::new());
        assert_eq!(tokens.check(None, OperatorRight::Read), Err(NotEnough::Wrong));
    }
}
