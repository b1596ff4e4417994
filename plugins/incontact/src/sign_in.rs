//! Signing in at CXone's own page: authorization code with PKCE (RFC 7636), for customers with a single sign-on.
//!
//! Owns: the address to open, and what makes of a code a key. Nothing is remembered between the two: the proof follows
//! from the state and a secret of the tenant's, so a code is taken by any process of any host. Must never: take a code
//! for another user than the one who logs in.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jackfield_plugin_api::{Code, Failure, Outcome, Secret};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    api::Api,
    token::{Claims, Key},
};

/// What the desktop is told to ask with.
pub(crate) const QUESTION: &str = "inContact.signin";

/// What an agent logs in with.
pub(crate) enum Answer {
    /// Nothing: he must be told where to sign in.
    None,
    /// What CXone has sent him back with.
    Code(CodeAnswer),
    /// A password, or an access key's secret.
    Password,
}

/// What CXone sends the browser back with.
#[derive(Deserialize)]
pub(crate) struct CodeAnswer {
    code: String,
    state: String,
}

impl Answer {
    /// Reads a password: the query with which CXone sent the browser back (`code=…&state=…`, with or without the address
    /// before it), nothing, or a password.
    pub(crate) fn read(password: &Secret) -> Self {
        let text = password.reveal().trim();
        if text.is_empty() {
            return Self::None;
        }
        let query = text.rsplit_once('?').map_or(text, |(_, query)| query);
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        let find = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        match (find("code"), find("state")) {
            (Some(code), Some(state)) => Self::Code(CodeAnswer { code, state }),
            _ => Self::Password,
        }
    }
}

/// Where to sign in.
pub(crate) struct Question {
    url: String,
    state: String,
}

impl Question {
    /// For a login, which can only fail: the address is the context.
    pub(crate) fn into_failure(self) -> Failure {
        let words = "the agent signs in at CXone: open the address in `context`, and log in with what it leads back to";
        Failure::new(Code::Unauthorized, words).context(self.url)
    }

    /// For a command.
    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome::NeedInfo(json!({"id": QUESTION, "url": self.url, "state": self.state}).into())
    }
}

/// Where an agent is to sign in.
///
/// # Errors
/// `unsupported`: the tenant's agents do not sign in; `link_down`.
pub(crate) async fn ask(api: &Api) -> Result<Question, Failure> {
    let redirect = redirect(api)?;
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    let state = HEXLOWER.encode(&random);
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(verifier(api, &state).as_bytes()));
    let url = api.sign_in_page(redirect, &state, &challenge).await?;
    Ok(Question { url, state })
}

/// Makes a key of a code; `is` says whether it is the right user.
///
/// # Errors
/// `unauthorized`, `unsupported`, `link_down`.
pub(crate) async fn redeem(
    api: &Api,
    answer: &CodeAnswer,
    is: impl FnOnce(&Claims) -> bool,
) -> Result<(Key, Claims), Failure> {
    let redirect = redirect(api)?;
    let (key, claims) = api.redeem(&answer.code, &verifier(api, &answer.state), redirect).await?;
    if claims.agent.is_empty() {
        return Err(Failure::new(Code::Unauthorized, "the user who has signed in is not an agent"));
    }
    if !is(&claims) {
        return Err(Failure::new(Code::Unauthorized, "another user has signed in than the one who logs in"));
    }
    Ok((key, claims))
}

fn redirect(api: &Api) -> Result<&str, Failure> {
    let settings = api.settings.sign_in.as_ref();
    let settings = settings.ok_or_else(|| Failure::new(Code::Unsupported, "agents of this tenant do not sign in"))?;
    Ok(&settings.redirect_uri)
}

/// What only who has issued the state can know. States are of one length, so no two inputs are the same.
fn verifier(api: &Api, state: &str) -> String {
    let secret = Sha256::digest(api.settings.client_secret.reveal().as_bytes());
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update(state.as_bytes());
    BASE64URL_NOPAD.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use jackfield_plugin_api::Secret;

    use super::Answer;

    #[test]
    fn a_password_is_nothing_or_what_cxone_sent_back_or_a_password() {
        let read = |text: &str| match Answer::read(&Secret::new(text)) {
            Answer::None => "none".to_owned(),
            Answer::Code(answer) => format!("{} {}", answer.code, answer.state),
            Answer::Password => "password".to_owned(),
        };
        assert_eq!(read(" "), "none");
        assert_eq!(read("code=c1&state=s1"), "c1 s1");
        assert_eq!(read("https://desk.example/back?state=s1&code=c1"), "c1 s1");
        assert_eq!(read("https://desk.example/back?code=a%2Fb%2B1&state=s1#top"), "a/b+1 s1", "as CXone has given it");
        assert_eq!(read("pass=word&x"), "password");
    }
}
