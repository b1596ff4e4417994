//! What is needed while one report is applied to the tree.
//!
//! Owns the ids that are given, the moment at which it happens, and how much room the session still has. Must never change
//! an object: `apply.rs` and `order.rs` do.

use jackfield_plugin_api::{Timestamp, report::InteractionState};

use crate::{Capabilities, DiagnosticKind, Diagnostics, InteractionNode, emit::Emitter, limits};

/// What is needed while a report is applied to the tree.
pub(crate) struct ReportContext<'a> {
    pub(crate) emitter: Emitter,
    pub(crate) diagnostics: &'a mut Diagnostics,
    pub(crate) capabilities: &'a Capabilities,
    /// The moment at which all of it happens, unless the report says otherwise.
    pub(crate) now: Timestamp,
    pub(crate) next_id: u64,
    /// How many interactions the session has.
    pub(crate) count: Count,
    /// How many bytes of call data the session may still have.
    pub(crate) room_for_data: usize,
}

/// How many interactions there are.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count {
    live: usize,
    pub(crate) ended: usize,
}

impl Count {
    pub(crate) fn of<'i>(interactions: impl IntoIterator<Item = &'i InteractionNode>) -> Self {
        let mut count = Self::default();
        interactions.into_iter().for_each(|one| *count.of_state(one.state) += 1);
        count
    }

    pub(crate) fn of_state(&mut self, state: InteractionState) -> &mut usize {
        if crate::is_busy(state) { &mut self.live } else { &mut self.ended }
    }
}

impl ReportContext<'_> {
    /// Since when a state holds that is new, from what was said of it: not since a moment that is still to come.
    pub(crate) fn since(&self, stated: Option<Timestamp>) -> Timestamp {
        stated.map_or(self.now, |stated| stated.min(self.now))
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Reserves room for an interaction in this state on a channel that has so many. Returns whether there was some.
    pub(crate) fn reserve(&mut self, on_channel: &mut Count, state: InteractionState) -> bool {
        let most = if crate::is_busy(state) {
            (limits::LIVE.report, limits::LIVE_IN_SESSION.report)
        } else {
            (limits::ENDED, limits::ENDED_IN_SESSION)
        };
        let (own, all) = (on_channel.of_state(state), self.count.of_state(state));
        let is_free = *own < most.0 && *all < most.1;
        if is_free {
            *own += 1;
            *all += 1;
        }
        is_free
    }

    /// Whether an entry of call data is the platform's own.
    pub(crate) fn is_own_data(&self) -> impl Fn(&str) -> bool + use<'_> {
        let own = &self.capabilities.own_data;
        |key| own.contains(key)
    }

    /// A text, cut to the length that is kept.
    pub(crate) fn text(&mut self, text: Option<&str>) -> Option<Box<str>> {
        text.map(|text| {
            let kept = limits::cut(text);
            if kept.len() < text.len() {
                self.diagnostics.add(DiagnosticKind::TooLong, || format!("text {kept}…"));
            }
            kept.into()
        })
    }
}
