//! Tokens in a file: who has one, and its hash.

use std::{fmt, path::Path};

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{Problem, raw::RawToken};

/// The hash of an API token. Tokens are 256 random bits, so a fast hash gives nothing away.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Who has it. Sessions belong to the name, so that a token can be replaced by another of the same name.
    pub name: String,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.name)
    }
}

/// Checks an entry of a list of tokens; `list`: the list's key.
pub(super) fn check_token(file: &Path, list: &str, index: usize, token: RawToken) -> Result<Token, Problem> {
    let key = |name| format!("{list}.{index}.{name}");
    if token.name.is_empty() || token.name.len() > 64 {
        return Err(Problem::key(file, key("name"), "1 to 64 characters"));
    }
    let hash = token.hash.strip_prefix("sha256:").and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok());
    let hash = hash.and_then(|hash| hash.try_into().ok());
    // The value is not repeated: it may be the token itself, put there by mistake.
    let hash = hash.ok_or_else(|| {
        let message = "must be \"sha256:\" and 64 hexadecimal digits, as `jackfield token new` prints it";
        Problem::key(file, key("hash"), message)
    })?;
    Ok(Token { name: token.name, hash })
}
