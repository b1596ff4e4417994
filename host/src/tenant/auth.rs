//! Who may come in to a tenant.
//!
//! Owns: the comparison of a presented token with the configured hashes. Must never: keep, log or compare a token in a
//! way that tells how much of it was right. The server asks before it upgrades or answers anything.

use sha2::{Digest as _, Sha256};

use crate::{
    config::{Auth, Token},
    session::Identity,
};

/// What is kept of a token.
#[must_use]
pub fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Who presented this, if it may come in.
pub(super) fn identify(auth: &Auth, presented: Option<&str>) -> Option<Identity> {
    match auth {
        Auth::None => Some(Identity::Anyone),
        Auth::Tokens(tokens) => find(tokens, presented?).map(|token| Identity::Named(token.name.as_str().into())),
    }
}

/// As much work as for a tenant that exists, so that time does not tell which do.
pub(super) fn pretend(presented: Option<&str>) {
    std::hint::black_box(presented.map(hash_token));
}

/// The token with the hash of what was presented. All are looked at, each to its end.
fn find<'a>(tokens: &'a [Token], presented: &str) -> Option<&'a Token> {
    let hash = hash_token(presented);
    let mut found = None;
    for token in tokens {
        let different = token.hash.iter().zip(&hash).fold(0, |different, (one, other)| different | (one ^ other));
        if std::hint::black_box(different) == 0 {
            found = Some(token);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Auth {
        let token = |name: &str, text| Token { name: name.to_owned(), hash: hash_token(text) };
        Auth::Tokens(vec![token("crm", "jf_1"), token("wallboard", "jf_2"), token("crm", "jf_3")])
    }

    #[test]
    fn a_token_lets_its_owner_in_and_nobody_else() {
        let named = |name: &str| Some(Identity::Named(name.into()));
        assert_eq!(identify(&tokens(), Some("jf_1")), named("crm"));
        assert_eq!(identify(&tokens(), Some("jf_2")), named("wallboard"));
        assert_eq!(identify(&tokens(), Some("jf_3")), named("crm"), "a second token of the same owner");
        for wrong in [None, Some(""), Some("jf_"), Some("jf_11"), Some("JF_1")] {
            assert_eq!(identify(&tokens(), wrong), None, "{wrong:?}");
        }
        assert_eq!(identify(&Auth::Tokens(Vec::new()), Some("jf_1")), None);
    }

    #[test]
    fn without_auth_everybody_is_let_in() {
        assert_eq!(identify(&Auth::None, None), Some(Identity::Anyone));
        assert_eq!(identify(&Auth::None, Some("anything")), Some(Identity::Anyone));
    }
}
