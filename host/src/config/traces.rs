//! `[traces]`: the collector of spans, and which of them it gets.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};

use super::{
    limits::{Bounds, MOST},
    raw::RawTraces,
};
use crate::rate::Rate;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TracesConfig {
    /// The collector.
    pub endpoint: Uri,
    /// The share of commands that are traced, 0 to 1.
    pub ratio: f64,
    /// How many of one tenant's commands are traced.
    pub of_tenant: Rate,
    /// The file of the headers that the collector wants.
    headers_file: Option<PathBuf>,
}

impl TracesConfig {
    /// Checks what was read. `None`: spans go nowhere, or something is wrong.
    pub(super) fn check(bounds: &mut Bounds<'_>, folder: &Path, raw: &RawTraces) -> Option<Self> {
        if !(0.0..=1.0).contains(&raw.ratio) {
            bounds.wrong("traces.ratio", "a share is a number from 0 to 1");
        }
        let per_second = bounds.number("traces.commands_per_second", raw.commands_per_second, 0..=MOST);
        let endpoint = endpoint(raw.endpoint.as_deref()?).map_err(|wrong| bounds.wrong("traces.endpoint", wrong));
        let headers_file = raw.headers_file.as_ref().map(|file| folder.join(file));
        if let Some(Err(wrong)) = headers_file.as_deref().map(read_headers) {
            bounds.wrong("traces.headers_file", wrong);
        }
        let of_tenant = Rate { per_second, burst: per_second };
        Some(Self { endpoint: endpoint.ok()?, ratio: raw.ratio, of_tenant, headers_file })
    }

    /// Reads the headers that the collector wants, such as its token.
    ///
    /// # Errors
    /// Their file cannot be read, or is wrong by now.
    pub(crate) fn headers(&self) -> Result<HashMap<String, String>, String> {
        self.headers_file.as_deref().map_or_else(|| Ok(HashMap::new()), read_headers)
    }
}

/// Reads a file with a line `Name: value` for each header.
///
/// # Errors
/// The file cannot be read, or a line of it is no header; its value is not repeated.
fn read_headers(path: &Path) -> Result<HashMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let wrong = || format!("{}: line {} is not \"Name: value\"", path.display(), at + 1);
            let (name, value) =
                line.split_once(':').map(|(name, value)| (name.trim(), value.trim())).ok_or_else(wrong)?;
            let is_header = name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok();
            if is_header { Ok((name.to_owned(), value.to_owned())) } else { Err(wrong()) }
        })
        .collect()
}

/// Where a collector is said to be.
fn endpoint(text: &str) -> Result<Uri, String> {
    let wrong = || format!("{text:?} is no address such as \"http://127.0.0.1:4318/v1/traces\"");
    let address: Uri = text.parse().map_err(|_| wrong())?;
    let is_http = matches!(address.scheme_str(), Some("http" | "https")) && address.authority().is_some();
    if is_http { Ok(address) } else { Err(wrong()) }
}
