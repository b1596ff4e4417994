//! What the settings say of a queue's callbacks.
//!
//! Owns: its form and its defaults.

use std::time::Duration;

use jackfield_plugin_api::Failure;
use serde::Deserialize;

use super::{seconds, wrong};

#[derive(Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCallback {
    key: String,
    prompt: Option<String>,
    confirmation: Option<String>,
    attempts: Option<u32>,
    retry_seconds: Option<u64>,
}

/// How callers ask to be called back, and how often they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Callback {
    pub(crate) key: char,
    /// What offers it, with the position, in ARI's words for media.
    pub(crate) prompt: Option<String>,
    /// What is heard before the call is ended.
    pub(crate) confirmation: Option<String>,
    pub(crate) attempts: u32,
    /// From one attempt to the next.
    pub(crate) retry: Duration,
}

impl RawCallback {
    /// `name`: the queue's.
    pub(super) fn checked(&self, name: &str) -> Result<Callback, Failure> {
        let mut keys = self.key.chars().filter(|key| "0123456789*#".contains(*key));
        let (Some(key), None, 1) = (keys.next(), keys.next(), self.key.len()) else {
            return Err(wrong(format!("settings: queues.{name}.callback.key: must be one of 0 to 9, * and #")));
        };
        for (what, media) in [("prompt", &self.prompt), ("confirmation", &self.confirmation)] {
            if media.as_deref().is_some_and(|media| !media.split(',').all(is_media)) {
                return Err(wrong(format!(
                    "settings: queues.{name}.callback.{what}: must be like \"sound:custom/press-one\""
                )));
            }
        }
        Ok(Callback {
            key,
            prompt: self.prompt.clone(),
            confirmation: self.confirmation.clone(),
            attempts: self.attempts.unwrap_or(3).max(1),
            retry: seconds(self.retry_seconds, 900),
        })
    }
}

/// Whether a text names something that ARI can play.
fn is_media(text: &str) -> bool {
    let kinds = ["sound", "recording", "number", "digits", "characters", "tone"];
    text.split_once(':').is_some_and(|(kind, what)| kinds.contains(&kind) && !what.trim().is_empty())
}
