//! Two waiting reports made into one: the later statement stands.
//!
//! Owns: when two reports may become one, and how. A host that applies the merged report ends with the same tree as one
//! that applies both. Must never: merge where that is not certain. So it gives up at a snapshot, an extension event in
//! front of state changes, an object coming alive again, a chain of re-keyings, a state that goes back, and keys that
//! occur twice.

use std::collections::{HashMap, HashSet};

use crate::{
    lists::ListChange,
    report::{Channel, Conversation, ConversationState, Group, Interaction, InteractionState, Report},
    timestamp::Timestamp,
};

/// Makes one report of two that would be applied one after the other. `None`: they must stay two.
#[must_use]
pub fn merge(earlier: &Report, later: &Report) -> Option<Report> {
    if earlier.snapshot || later.snapshot {
        return None;
    }
    // Events follow the state changes of their own report; state changes behind them must stay behind.
    let later_changes = !later.groups.is_empty() || !later.channels.is_empty();
    if !earlier.events.is_empty() && later_changes {
        return None;
    }
    // A group takes its channels with it, and which ones those are cannot be read from the reports.
    let takes_channels = |report: &Report| report.groups.iter().any(|group| group.gone);
    if takes_channels(earlier) && !later.channels.is_empty() || takes_channels(later) && !earlier.channels.is_empty() {
        return None;
    }
    Some(Report {
        snapshot: false,
        groups: merge_lists(&earlier.groups, &later.groups)?,
        channels: merge_lists(&earlier.channels, &later.channels)?,
        events: earlier.events.iter().chain(&later.events).cloned().collect(),
        lists: merge_changes(&earlier.lists, &later.lists),
    })
}

/// One change for each list.
fn merge_changes(earlier: &[ListChange], later: &[ListChange]) -> Vec<ListChange> {
    let mut merged: Vec<ListChange> = Vec::new();
    for change in earlier.iter().chain(later) {
        match merged.iter_mut().find(|it| it.kind == change.kind) {
            Some(known) => known.extend(change),
            None => merged.push(change.clone()),
        }
    }
    merged
}

/// What the lists of a report hold.
trait Statement: Clone {
    fn key(&self) -> &str;
    fn was(&self) -> Option<&str>;
    fn merge(&self, later: &Self) -> Option<Self>;
}

fn merge_lists<T: Statement>(earlier: &[T], later: &[T]) -> Option<Vec<T>> {
    if has_twice(earlier) || has_twice(later) {
        return None;
    }
    let mut merged = earlier.to_vec();
    // Looked up, not looked for: both lists may be long.
    let mut places: HashMap<&str, usize> = earlier.iter().enumerate().map(|(at, it)| (it.key(), at)).collect();
    let mut former: HashSet<&str> = earlier.iter().filter_map(Statement::was).collect();
    for statement in later {
        // A chain of re-keyings, or a key that was given away and is used again.
        if statement.was().is_some_and(|was| places.contains_key(was)) {
            return None;
        }
        match places.get(statement.key()) {
            Some(&at) => merged[at] = merged[at].merge(statement)?,
            None if former.contains(statement.key()) => return None,
            None => {
                places.insert(statement.key(), merged.len());
                former.extend(statement.was());
                merged.push(statement.clone());
            }
        }
    }
    Some(merged)
}

fn has_twice<T: Statement>(list: &[T]) -> bool {
    let mut keys = HashSet::new();
    !list.iter().all(|it| keys.insert(it.key()))
}

/// Whether the later statement gives the object another former key than the earlier one did.
fn rekeyed_between<T: Statement>(earlier: &T, later: &T) -> bool {
    later.was().is_some() && earlier.was() != later.was()
}

fn later_of<T: Clone>(earlier: &Option<T>, later: &Option<T>) -> Option<T> {
    later.as_ref().or(earlier.as_ref()).cloned()
}

/// Since when a state holds: of one that the later statement does not change, since when the earlier one says.
fn since(earlier: Option<Timestamp>, later: Option<Timestamp>, stays: bool) -> Option<Timestamp> {
    later.or(earlier.filter(|_| stays))
}

impl Statement for Group {
    fn key(&self) -> &str {
        &self.key
    }

    fn was(&self) -> Option<&str> {
        None
    }

    fn merge(&self, later: &Self) -> Option<Self> {
        if self.gone && !later.gone {
            return None;
        }
        Some(Self { key: self.key.clone(), gone: later.gone, name: later_of(&self.name, &later.name) })
    }
}

impl Statement for Channel {
    fn key(&self) -> &str {
        &self.key
    }

    fn was(&self) -> Option<&str> {
        self.was.as_deref()
    }

    fn merge(&self, later: &Self) -> Option<Self> {
        if self.gone && !later.gone || rekeyed_between(self, later) {
            return None;
        }
        if later.gone {
            return Some(Self { was: self.was.clone(), ..later.clone() });
        }
        Some(Self {
            key: self.key.clone(),
            was: self.was.clone(),
            gone: false,
            group: later_of(&self.group, &later.group),
            kind: later_of(&self.kind, &later.kind),
            endpoint: later_of(&self.endpoint, &later.endpoint),
            name: later_of(&self.name, &later.name),
            status: later_of(&self.status, &later.status),
            since: since(self.since, later.since, later.status.is_none() || later.status == self.status),
            interactions: merge_lists(&self.interactions, &later.interactions)?,
        })
    }
}

impl Statement for Interaction {
    fn key(&self) -> &str {
        &self.key
    }

    fn was(&self) -> Option<&str> {
        self.was.as_deref()
    }

    fn merge(&self, later: &Self) -> Option<Self> {
        if rekeyed_between(self, later) {
            return None;
        }
        let was = self.was.clone();
        let (reason, cause) = (later.reason.or(self.reason), later.cause.or(self.cause));
        if later.gone {
            return Some(Self { was, reason, cause, ..Self::gone(&self.key) });
        }
        let goes_back = matches!((self.state, later.state), (Some(before), Some(after)) if after < before);
        if goes_back || self.is_over() && later.shows_life() {
            return None;
        }
        let mut data = self.data.clone();
        data.extend(later.data.clone());
        Some(Self {
            key: self.key.clone(),
            was,
            gone: self.gone,
            direction: later.direction.or(self.direction),
            state: later.state.or(self.state),
            since: since(
                self.since,
                later.since,
                later.conversations.is_none() && later.state.is_none_or(|state| self.state == Some(state)),
            ),
            reason,
            cause,
            recording: later.recording.or(self.recording),
            recording_unknown: self.recording_unknown || later.recording_unknown,
            disposition: later_of(&self.disposition, &later.disposition),
            supervises: later_of(&self.supervises, &later.supervises),
            url: later_of(&self.url, &later.url),
            data,
            conversations: match (&self.conversations, &later.conversations) {
                (Some(earlier), Some(later)) => Some(merge_conversations(earlier, later)?),
                (earlier, later) => later_of(earlier, later),
            },
        })
    }
}

impl Interaction {
    fn is_over(&self) -> bool {
        let ended = |list: &Vec<Conversation>| list.iter().all(|it| it.state == Some(ConversationState::Ended));
        self.gone
            || matches!(self.state, Some(InteractionState::Ended | InteractionState::Completed))
            // A call without a living conversation is over, whatever else is said of it.
            || self.conversations.as_ref().is_some_and(ended)
    }

    /// Whether the statement could show an ended interaction alive, or create one anew under its key.
    fn shows_life(&self) -> bool {
        let over = [None, Some(InteractionState::Ended), Some(InteractionState::Completed)].contains(&self.state);
        !over || self.direction.is_some() || self.conversations.as_ref().is_some_and(|list| !list.is_empty())
    }
}

/// The later list is all there is; what it leaves out and the earlier one ended keeps its end, with the reason.
fn merge_conversations(earlier: &[Conversation], later: &[Conversation]) -> Option<Vec<Conversation>> {
    let rekeyed = earlier.iter().chain(later).any(|it| it.was.is_some());
    if rekeyed || has_twice(earlier) || has_twice(later) {
        return None;
    }
    let before: HashMap<&str, &Conversation> = earlier.iter().map(|it| (it.key(), it)).collect();
    let named: HashSet<&str> = later.iter().map(Statement::key).collect();
    let mut merged = Vec::with_capacity(later.len());
    for conversation in later {
        merged.push(match before.get(conversation.key()) {
            Some(before) => before.merge(conversation)?,
            None => conversation.clone(),
        });
    }
    let left_out = |it: &&Conversation| !named.contains(it.key());
    let ended = earlier.iter().filter(left_out).filter(|it| it.state == Some(ConversationState::Ended));
    merged.extend(ended.cloned());
    Some(merged)
}

impl Statement for Conversation {
    fn key(&self) -> &str {
        &self.key
    }

    fn was(&self) -> Option<&str> {
        self.was.as_deref()
    }

    fn merge(&self, later: &Self) -> Option<Self> {
        let stage = |state: ConversationState| match state {
            ConversationState::Alerting | ConversationState::Dialing => 0,
            ConversationState::Talking | ConversationState::Held => 1,
            ConversationState::Ended => 2,
        };
        let goes_back =
            matches!((self.state, later.state), (Some(before), Some(after)) if stage(after) < stage(before));
        if goes_back || self.state == Some(ConversationState::Ended) && later.state.is_none() {
            return None;
        }
        Some(Self {
            key: self.key.clone(),
            was: None,
            role: later.role.or(self.role),
            state: later.state.or(self.state),
            since: since(self.since, later.since, later.state.is_none_or(|state| self.state == Some(state))),
            reason: later.reason.or(self.reason),
            cause: later.cause.or(self.cause),
            muted: later.muted.or(self.muted),
            members: later_of(&self.members, &later.members),
        })
    }
}

#[cfg(test)]
mod tests;
