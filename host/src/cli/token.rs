//! `jackfield token new`.

use std::io::Write as _;

use crate::tenant::hash_token;

/// Prints a new token, and the line that stands for it in a tenant's file. The token itself is kept nowhere.
pub(super) fn print_new(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || name.contains(['"', '\\']) || name.chars().any(char::is_control) {
        return Err("--name: 1 to 64 characters, no quotes, backslashes or control characters".to_owned());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| format!("there is no randomness: {error}"))?;
    let token = format!("jf_{}", hex(&random));
    let hash = hex(&hash_token(&token));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{token}")
        .and_then(|()| writeln!(out, "{{ name = \"{name}\", hash = \"sha256:{hash}\" }},"))
        .map_err(|error| error.to_string())?;
    eprintln!(
        "The first line is the token: it is shown only now. The second goes into auth.tokens of a tenant's file."
    );
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
