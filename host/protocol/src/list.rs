//! What `session.request.list`, `watch` and `unwatch` are sent with, and what a list is answered with.
//!
//! Owns: the bounds of a page, and the words of `bad_request` for these commands. What an entry tells is the plugin API's
//! ([`jackfield_plugin_api::lists`]). Must never: know which lists an adapter has.

use jackfield_plugin_api::lists::{ListEntry, ListKind, ListPage};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::members::short;

/// Entries of a page that a desktop asks for without a limit of its own.
pub const PAGE: usize = 50;
/// The most entries of a page.
pub const LONGEST_PAGE: usize = 200;
/// Bytes of an adapter's page or change at most. One entry takes a few hundred.
pub const MAX_BYTES: usize = 256 * 1024;

/// The data of `session.request.list`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListArguments {
    /// Which list.
    #[serde(deserialize_with = "kind")]
    pub kind: ListKind,
    /// What entries are to contain.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    pub query: Option<String>,
    /// The id of an entry, or, of dispositions, the target of an interaction.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    pub under: Option<String>,
    /// How many entries at most.
    #[serde(default = "page", deserialize_with = "limit")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "limit_schema"))]
    pub limit: usize,
    /// `next` of the page before.
    #[serde(default, deserialize_with = "short")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema_members::short"))]
    pub after: Option<String>,
}

/// The data of `session.request.watch` and `unwatch`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WatchedList {
    /// Which list.
    #[serde(deserialize_with = "kind")]
    pub kind: ListKind,
}

/// What a list is answered with.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListAnswer<'a> {
    /// No more than were asked for.
    pub entries: &'a [ListEntry],
    /// What to go on after; none: that was all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<&'a str>,
    /// The number of the last event before it: changes with larger numbers came later.
    pub seq: u64,
}

impl<'a> ListAnswer<'a> {
    /// A page as it was after an event.
    #[must_use]
    pub fn new(page: &'a ListPage, seq: u64) -> Self {
        Self { entries: &page.entries, next: page.next.as_deref(), seq }
    }
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ListKind, D::Error> {
    let word = String::deserialize(deserializer)?;
    ListKind::from_word(&word).ok_or_else(|| {
        let words = ListKind::ALL.map(ListKind::as_str);
        let (last, words) = words.split_last().expect("there are lists");
        D::Error::custom(format_args!("must be {} or {last}", words.join(", ")))
    })
}

const fn page() -> usize {
    PAGE
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let limit = usize::deserialize(deserializer).ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
    limit.ok_or_else(|| D::Error::custom(format_args!("must be a whole number from 1 to {LONGEST_PAGE}")))
}

#[cfg(feature = "schema")]
fn limit_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::data::parse;

    #[test]
    fn a_page_has_bounds_and_a_kind_that_is_known() {
        let list = parse::<ListArguments>(r#"{"kind":"queues"}"#).unwrap();
        assert_eq!((list.kind, list.limit), (ListKind::Queues, PAGE));
        for (data, words) in [
            ("{}", "data.kind is missing"),
            (
                r#"{"kind":"faxes"}"#,
                "data.kind must be reasons, dispositions, queues, groups, endpoints or destinations",
            ),
            (r#"{"kind":"queues","limit":0}"#, "data.limit must be a whole number from 1 to 200"),
            (r#"{"kind":"queues","limit":201}"#, "data.limit must be a whole number from 1 to 200"),
            (r#"{"kind":"queues","limit":"9"}"#, "data.limit must be a whole number from 1 to 200"),
            (r#"{"kind":"queues","query":7}"#, "data.query must be a string"),
        ] {
            assert_eq!(parse::<ListArguments>(data).unwrap_err(), words, "{data}");
        }
    }
}
