//! What each key means, what it is, and where that comes from.
//!
//! Owns: the reading of the shipped files as documentation: a key's comment stands behind it, or in the lines above.
//! Must never: show what stands under `settings`; those are the adapter's, and may be private.

use std::collections::BTreeMap;

use super::{
    Problem, Source,
    diff::{WhenApplied, effect},
    host::HostConfig,
    layers::{Layers, Origin, SHIPPED},
    raw,
};

/// A tenant's file that is shipped; its lines with `#` show what holds without them.
const SHIPPED_TENANT: &str = include_str!("../../../config/tenants/demo.toml");

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explained {
    /// With dots: `limits.sessions`.
    pub key: String,
    /// As TOML; `None` where it is not set and has no fixed default.
    pub value: Option<String>,
    /// As TOML.
    pub default: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
    /// When a changed value takes effect.
    pub effect: WhenApplied,
    /// What it means.
    pub about: String,
}

/// What stands in a shipped file about a key.
pub(super) struct Documented {
    /// Whether it is set there, and not only shown.
    pub(super) set: bool,
    pub(super) value: String,
    pub(super) about: String,
}

/// All keys of `jackfield.toml`, or of a tenant's file, as they are.
///
/// # Errors
/// The files are wrong.
pub(crate) fn explain(source: &Source, tenant: Option<&str>) -> Result<Vec<Explained>, Vec<Problem>> {
    let layers = Layers::of_host(source);
    let host = HostConfig::check(&layers, layers.read::<raw::RawHost>().map_err(|problem| vec![problem])?)?;
    let Some(tenant) = tenant else { return Ok(explained(&layers, &documented(SHIPPED), |about| about.set, effect)) };
    let file = host.tenants.join(format!("{tenant}.toml"));
    let layers = Layers::of_tenant(&file, &layers);
    layers.read::<raw::RawTenant>().map_err(|problem| vec![problem])?;
    // There a line without # is what holds for this tenant, and one with # what holds for all.
    Ok(explained(&layers, &documented_tenant(), |about| !about.set, |_| WhenApplied::Reload))
}

fn explained(
    layers: &Layers,
    documentation: &BTreeMap<String, Documented>,
    is_default: impl Fn(&Documented) -> bool,
    effect: impl Fn(&str) -> WhenApplied,
) -> Vec<Explained> {
    let values = layers.values();
    let keys = documentation.iter().filter(|(key, _)| !key.starts_with("settings."));
    keys.map(|(key, about)| {
        let default = Some(about).filter(|about| is_default(about)).map(|about| about.value.clone());
        // JSON is written as TOML is, for what stands behind a key here.
        let value = values.get(key).map(ToString::to_string);
        Explained {
            key: key.clone(),
            value: value.or_else(|| default.clone()),
            default,
            origin: layers.origin(key),
            effect: effect(key),
            about: about.about.clone(),
        }
    })
    .collect()
}

/// The keys of a tenant's file. Its limits are those of `jackfield.toml` and explained there.
fn documented_tenant() -> BTreeMap<String, Documented> {
    let limits = documented(SHIPPED).into_iter().filter(|(key, _)| key.starts_with("limits."));
    let mut keys: BTreeMap<_, _> = limits.map(|(key, about)| (key, Documented { set: false, ..about })).collect();
    keys.extend(documented(SHIPPED_TENANT));
    keys
}

/// The keys of a file, with their comments.
pub(super) fn documented(text: &str) -> BTreeMap<String, Documented> {
    let mut keys: BTreeMap<String, Documented> = BTreeMap::new();
    let (mut table, mut above, mut last) = (String::new(), Vec::new(), None::<String>);
    let mut about_table = String::new();
    for line in text.lines() {
        let line = line.trim_end();
        // What is commented out is documented all the same.
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let more = line
            .trim_start_matches('#')
            .trim_start()
            .strip_prefix('#')
            .or_else(|| line.strip_prefix(char::is_whitespace).map(|line| line.trim_start_matches([' ', '#'])));
        if line.is_empty() {
            above.clear();
            last = None;
        } else if let Some((name, _)) = bare.strip_prefix('[').and_then(|name| name.split_once(']')) {
            name.trim_start_matches('[').clone_into(&mut table);
            about_table = std::mem::take(&mut above).join(" ");
            last = None;
        } else if let Some(more) = more {
            if let Some(known) = last.as_ref().and_then(|last| keys.get_mut(last)) {
                known.about = format!("{} {}", known.about, more.trim());
            }
        } else if let Some((name, value, comment)) = key_of(bare) {
            let key = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
            above.push(comment);
            let about = std::mem::take(&mut above).join(" ").trim().to_owned();
            let about = if about.is_empty() { about_table.clone() } else { about };
            keys.insert(key.clone(), Documented { set: !line.starts_with('#'), value: value.to_owned(), about });
            last = Some(key);
        } else if let Some(comment) = line.strip_prefix('#') {
            above.push(comment.trim().to_owned());
            last = None;
        }
    }
    keys
}

/// A line `name = value`, and the comment behind it.
fn key_of(line: &str) -> Option<(&str, &str, String)> {
    let (name, rest) = line.split_once(" = ")?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return None;
    }
    let mut quoted = false;
    let end = rest.find(|c: char| {
        quoted ^= c == '"';
        c == '#' && !quoted
    });
    let (value, comment) = rest.split_at(end.unwrap_or(rest.len()));
    Some((name, value.trim(), comment.trim_start_matches('#').trim().to_owned()))
}

/// The shipped file's documentation, for the tests of other parts.
#[cfg(test)]
pub(super) fn shipped() -> BTreeMap<String, Documented> {
    documented(SHIPPED)
}
