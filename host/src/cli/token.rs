//! `jackfield token new`.

use data_encoding::HEXLOWER;

use super::output;
use crate::tenant::hash_token;

/// Prints a new token, and the line that stands for it in a tenant's file. The token itself is kept nowhere.
pub(super) fn print_new(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || name.contains(['"', '\\']) || name.chars().any(char::is_control) {
        return Err("--name: 1 to 64 characters, no quotes, backslashes or control characters".to_owned());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| format!("there is no randomness: {error}"))?;
    let token = format!("jf_{}", HEXLOWER.encode(&random));
    let hash = HEXLOWER.encode(&hash_token(&token));
    output::print_strictly(&format!("{token}\n{{ name = \"{name}\", hash = \"sha256:{hash}\" }},\n"))?;
    output::complain(
        "The first line is the token: it is shown only now. The second goes into auth.tokens of a tenant's file.",
    );
    Ok(())
}
