//! `jackfield config explain`: what a key means, what it is, and where that comes from.

use std::fmt::Write as _;

use super::{lines, output, table};
use crate::config::{self, Explained, Source, WhenApplied};

/// Prints one key with all that is known of it, or all keys in one line each.
///
/// # Errors
/// The configuration is wrong, or there is no such key.
pub(super) fn explain(source: &Source, tenant: Option<&str>, key: Option<&str>) -> Result<(), String> {
    let keys = config::explain(source, tenant).map_err(|problems| lines(&problems))?;
    let Some(wanted) = key else { return output::print(&overview(&keys)) };
    let Some(known) = keys.iter().find(|known| known.key == wanted) else {
        let names: Vec<&str> = keys.iter().map(|known| known.key.as_str()).collect();
        return Err(format!("{wanted}: there is no such key; there are {}", names.join(", ")));
    };
    output::print(&detail(known))
}

fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("not set")
}

fn overview(keys: &[Explained]) -> String {
    let row = |it: &Explained| [it.key.clone(), shown(it.value.as_deref()).to_owned(), it.origin.to_string()];
    table::of(&keys.iter().map(row).collect::<Vec<_>>())
}

fn detail(known: &Explained) -> String {
    let Explained { key, value, default, origin, effect, about } = known;
    let effect = match effect {
        WhenApplied::Reload => "when the configuration is read again (SIGHUP, POST /reload)",
        WhenApplied::Restart => "when the host is started again",
    };
    let mut text = format!("{key} = {}\n", shown(value.as_deref()));
    for (name, what) in
        [("from", origin.to_string().as_str()), ("default", shown(default.as_deref())), ("changes", effect)]
    {
        let _ = writeln!(text, "  {name:<8} {what}");
    }
    let _ = writeln!(text, "\n  {}", about.replace(" (restart)", ""));
    text
}
