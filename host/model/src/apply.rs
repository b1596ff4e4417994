//! Applies a report to the groups and channels.
//!
//! Owns the order of one report: what is gone, what stays, what is new, each oldest first; the channel pair last where
//! an interaction ended and none began, else first. Interactions are `plan.rs`'s and `order.rs`'s. Must never fail:
//! what cannot be is left out and noted.

use std::sync::Arc;

use jackfield_plugin_api::{
    Timestamp,
    report::{self, ChannelStatus, InteractionState, Report, Target},
};

use jackfield_protocol::event::{Event, EventName};

use crate::{
    ChannelNode, DiagnosticKind, Diagnostics, GroupNode, InteractionNode, Object, Tree,
    context::{Count, ReportContext},
    emit::Emitter,
    limits, order, plan, push,
    rules::Actions,
    statements::{SmallList, UnusedStatements, firsts, rekey},
    status::{is_same_state, status},
};

/// A new channel and the statements about its interactions, which are emitted when all channels have been.
type NewChannelStatements<'r> = (u64, SmallList<&'r report::Interaction>);

/// A group or a channel without one.
enum TopLevel {
    Group(u64),
    Channel(u64),
}

impl Tree {
    /// Applies a report to the tree at a moment, and emits what changed. Nothing is emitted before the first snapshot,
    /// which is answered with the whole tree.
    pub fn apply(&mut self, report: &Report, now: Timestamp, diagnostics: &mut Diagnostics) -> Vec<Event> {
        let interactions = || self.channels.iter().flat_map(|channel| &channel.interactions);
        let bytes: usize = interactions().map(|interaction| interaction.data.weight()).sum();
        let capabilities = Arc::clone(&self.capabilities);
        let count = Count::of(interactions());
        let mut context = ReportContext {
            emitter: Emitter::new(),
            diagnostics,
            capabilities: &capabilities,
            now,
            next_id: self.next_id,
            count,
            room_for_data: limits::DATA_IN_SESSION.report.saturating_sub(bytes),
        };
        self.apply_objects(&mut context, report);
        self.next_id = context.next_id;
        if !self.started {
            context.emitter.emitted.clear();
        } else if self.actions {
            self.emit_new_actions(&mut context.emitter);
            self.add_actions(&mut context.emitter.emitted);
        }
        self.emit_extensions(&mut context, report);
        let mut emitted = context.emitter.emitted;
        if self.started {
            return emitted;
        }
        self.early.append(&mut emitted);
        if !report.snapshot {
            self.bound_early(diagnostics);
            return Vec::new();
        }
        self.started = true;
        if self.actions {
            self.remember_actions();
        }
        emitted = self.snapshot();
        emitted.append(&mut self.early);
        emitted
    }

    /// Forgets what is too much of the extension events that wait for the first snapshot, and notes it.
    fn bound_early(&mut self, diagnostics: &mut Diagnostics) {
        let mut weight = 0;
        let fits = self.early.iter().take(limits::LIST).take_while(|event| {
            weight += event.weight();
            weight <= limits::EARLY
        });
        let fits = fits.count();
        for _ in fits..self.early.len() {
            diagnostics.add(DiagnosticKind::TooMany, || "an extension event before the first snapshot".to_owned());
        }
        self.early.truncate(fits);
    }

    fn apply_objects<'r>(&mut self, context: &mut ReportContext<'_>, report: &'r Report) {
        let stated = firsts(&report.groups, limits::LIST, context.diagnostics);
        let mut groups = UnusedStatements::of(stated);
        let mut stated = firsts(&report.channels, limits::LIST, context.diagnostics);
        stated.retain(|channel| {
            let undeclared = channel.kind.filter(|kind| !self.capabilities.channel_types().contains(kind));
            if let Some(kind) = undeclared {
                context
                    .diagnostics
                    .add(DiagnosticKind::ChannelType, || format!("channel {} of type {}", channel.key, kind.as_str()));
            }
            undeclared.is_none()
        });
        rekey(&mut self.channels, &stated);
        let mut channels = UnusedStatements::of(stated);

        let mut last = 0;
        while let Some(top) = self.top_after(&mut last) {
            self.apply_gone(context, &top, report.snapshot, &mut groups, &mut channels);
        }
        groups.take_all(|group| group.gone);
        channels.take_all(|channel| channel.gone);
        let mut fresh: Vec<NewChannelStatements<'r>> = Vec::new();
        last = 0;
        while let Some(top) = self.top_after(&mut last) {
            match top {
                TopLevel::Channel(id) => self.apply_channel(context, id, report.snapshot, &mut channels),
                TopLevel::Group(id) => {
                    self.apply_group(context, id, report.snapshot, &mut groups, &mut channels, &mut fresh);
                }
            }
        }
        for group in groups.take_all(|_| true) {
            self.open_group(context, group, &mut channels, &mut fresh);
        }
        for channel in channels.take_all(|_| true) {
            if let Some(group) = &channel.group {
                context
                    .diagnostics
                    .add(DiagnosticKind::Unknown, || format!("group {group} of channel {}", channel.key));
            } else if channel.kind.is_none() {
                context
                    .diagnostics
                    .add(DiagnosticKind::Unknown, || format!("channel {}, without a type to create it", channel.key));
            } else {
                self.open_channel(context, channel, None, &mut fresh);
            }
        }
        for (id, interactions) in fresh {
            self.open_interactions(context, id, interactions);
        }
        self.complete_oldest(context);
    }

    /// Completes the oldest of too many ended interactions: they would be in the way of the next ones.
    fn complete_oldest(&mut self, context: &mut ReportContext<'_>) {
        for at in 0..self.channels.len() {
            for _ in limits::ENDED..Count::of(&self.channels[at].interactions).ended {
                self.complete_oldest_of(context, at);
            }
        }
        while context.count.ended > limits::ENDED_IN_SESSION {
            let oldest = |at: &usize| oldest_ended(&self.channels[*at]).map(|(id, _)| id);
            let with_ended = (0..self.channels.len()).filter(|at| oldest(at).is_some());
            let Some(at) = with_ended.min_by_key(|at| oldest(at)) else { return };
            self.complete_oldest_of(context, at);
        }
    }

    fn complete_oldest_of(&mut self, context: &mut ReportContext<'_>, channel: usize) {
        let channel = &mut self.channels[channel];
        let Some((_, place)) = oldest_ended(channel) else { return };
        let mut interaction = channel.interactions.remove(place);
        context.count.ended -= 1;
        context
            .diagnostics
            .add(DiagnosticKind::TooMany, || format!("ended interaction {}, which was completed", interaction.key));
        let back = context.emitter.enter_channel(channel);
        let plan = plan::of(channel.kind, &mut interaction, None, true, context.diagnostics);
        order::carry_out(context, channel.kind, &mut interaction, plan);
        context.emitter.leave(back);
    }

    /// The oldest group or channel without one that is younger than the last, which it becomes.
    fn top_after(&self, last: &mut u64) -> Option<TopLevel> {
        let group = self.groups.iter().map(|group| group.id).find(|id| id > last);
        let alone = self.channels.iter().filter(|channel| channel.group.is_none()).map(|channel| channel.id);
        let channel = alone.into_iter().find(|id| id > last);
        *last = group.into_iter().chain(channel).min()?;
        Some(if group == Some(*last) { TopLevel::Group(*last) } else { TopLevel::Channel(*last) })
    }

    fn place_of(&self, channel: u64) -> Option<usize> {
        self.channels.iter().position(|one| one.id == channel)
    }

    fn ids_of_group(&self, group: u64) -> Vec<u64> {
        self.channels_of(group).map(|channel| channel.id).collect()
    }

    // ---- what is gone ----

    fn apply_gone(
        &mut self,
        context: &mut ReportContext<'_>,
        top: &TopLevel,
        whole: bool,
        groups: &mut UnusedStatements<'_, report::Group>,
        channels: &mut UnusedStatements<'_, report::Channel>,
    ) {
        let id = match *top {
            TopLevel::Channel(id) => return self.apply_gone_channel(context, id, whole, channels),
            TopLevel::Group(id) => id,
        };
        let Some(at) = self.groups.iter().position(|group| group.id == id) else { return };
        if !groups.find(&self.groups[at].key).map_or(whole, |stated| stated.gone) {
            for channel in self.ids_of_group(id) {
                self.apply_gone_channel(context, channel, whole, channels);
            }
            return;
        }
        for channel in self.ids_of_group(id) {
            // A statement that does not say that it is gone is about another channel under the same key.
            let stated = self.place_of(channel).and_then(|at| channels.find(&self.channels[at].key));
            self.dispose_channel(context, channel, stated.filter(|stated| stated.gone));
        }
        self.groups.remove(at);
        let back = context.emitter.enter_group(id);
        context.emitter.bare(EventName::GroupDisposed);
        context.emitter.leave(back);
    }

    fn apply_gone_channel(
        &mut self,
        context: &mut ReportContext<'_>,
        id: u64,
        whole: bool,
        channels: &mut UnusedStatements<'_, report::Channel>,
    ) {
        let Some(at) = self.place_of(id) else { return };
        let channel = &self.channels[at];
        let stated = channels.find(&channel.key);
        if stated.map_or(whole || channel.vanished, |stated| stated.gone) {
            self.dispose_channel(context, id, stated);
        } else if let Some(what) = stated.and_then(|stated| self.difference(channel, stated)) {
            if whole {
                self.dispose_channel(context, id, None);
            } else {
                context.diagnostics.add(DiagnosticKind::CannotChange, || format!("{what} of channel {}", channel.key));
            }
        }
    }

    /// What of the statement differs from the channel though it can never change: a snapshot then means another channel
    /// under the same key.
    fn difference(&self, channel: &ChannelNode, stated: &report::Channel) -> Option<&'static str> {
        let group = channel.group.and_then(|id| self.groups.iter().find(|group| group.id == id));
        let other_group = |stated: &String| group.is_none_or(|group| *group.key != **stated);
        let other_endpoint = |stated: &String| channel.endpoint.as_deref() != Some(limits::cut(stated));
        if stated.kind.is_some_and(|kind| kind != channel.kind) {
            Some("type")
        } else if stated.endpoint.as_ref().is_some_and(other_endpoint) {
            Some("endpoint")
        } else if stated.group.as_ref().is_some_and(other_group) {
            Some("group")
        } else {
            None
        }
    }

    fn dispose_channel(&mut self, context: &mut ReportContext<'_>, id: u64, stated: Option<&report::Channel>) {
        let Some(at) = self.place_of(id) else { return };
        let mut channel = self.channels.remove(at);
        let back = context.emitter.enter_channel(&channel);
        let ends = stated.map_or(&[][..], |stated| &stated.interactions);
        let ends = UnusedStatements::of(firsts(ends, limits::LIST, context.diagnostics));
        for mut interaction in std::mem::take(&mut channel.interactions) {
            *context.count.of_state(interaction.state) -= 1;
            let stated = ends.find(&interaction.key);
            let plan = plan::of(channel.kind, &mut interaction, stated, true, context.diagnostics);
            order::carry_out(context, channel.kind, &mut interaction, plan);
        }
        if channel.is_active() || channel.occupied {
            channel.occupied = false;
            if channel.is_active() {
                channel.status = ChannelStatus::Inactive;
                channel.since = context.since(stated.and_then(|stated| stated.since));
            }
            context.emitter.channel_pair(&channel);
        }
        context.emitter.bare(EventName::ChannelDisposed);
        context.emitter.leave(back);
    }

    // ---- what stays ----

    fn apply_group<'r>(
        &mut self,
        context: &mut ReportContext<'_>,
        id: u64,
        whole: bool,
        groups: &mut UnusedStatements<'r, report::Group>,
        channels: &mut UnusedStatements<'r, report::Channel>,
        fresh: &mut Vec<NewChannelStatements<'r>>,
    ) {
        let Some(at) = self.groups.iter().position(|group| group.id == id) else { return };
        let key = self.groups[at].key.clone();
        groups.take(&key);
        let new = self.new_channels_of(&key, channels);
        let olds = self.ids_of_group(id);
        let populated = !olds.is_empty() || !new.is_empty() && self.channels.len() < limits::CHANNELS.report;
        let group = &mut self.groups[at];
        let back = context.emitter.enter_group(id);
        if group.populated != populated {
            group.populated = populated;
            context.emitter.group_state(group);
        }
        context.emitter.leave(back);
        for channel in olds {
            self.apply_channel(context, channel, whole, channels);
        }
        let back = context.emitter.enter_group(id);
        for channel in new {
            self.open_channel(context, channel, Some(id), fresh);
        }
        context.emitter.leave(back);
    }

    fn apply_channel(
        &mut self,
        context: &mut ReportContext<'_>,
        id: u64,
        whole: bool,
        channels: &mut UnusedStatements<'_, report::Channel>,
    ) {
        let Some(channel) = self.channels.iter_mut().find(|channel| channel.id == id) else { return };
        let Some(stated) = channels.take(&channel.key) else { return };
        let back = context.emitter.enter_channel(channel);
        change_channel(context, channel, stated, whole);
        context.emitter.leave(back);
    }

    // ---- what is new ----

    /// Statements that would create channels in this group.
    fn new_channels_of<'r>(
        &self,
        group: &str,
        channels: &mut UnusedStatements<'r, report::Channel>,
    ) -> Vec<&'r report::Channel> {
        channels.take_all(|stated| {
            stated.group.as_deref() == Some(group)
                && stated.kind.is_some()
                && !self.channels.iter().any(|channel| *channel.key == stated.key)
        })
    }

    fn open_group<'r>(
        &mut self,
        context: &mut ReportContext<'_>,
        stated: &'r report::Group,
        channels: &mut UnusedStatements<'r, report::Channel>,
        fresh: &mut Vec<NewChannelStatements<'r>>,
    ) {
        if self.groups.len() >= limits::GROUPS.report {
            return context.diagnostics.add(DiagnosticKind::TooMany, || format!("group {}", stated.key));
        }
        let new = self.new_channels_of(&stated.key, channels);
        let group = GroupNode {
            id: context.new_id(),
            key: stated.key.as_str().into(),
            name: context.text(stated.name.as_deref()),
            populated: !new.is_empty() && self.channels.len() < limits::CHANNELS.report,
        };
        let id = group.id;
        context.emitter.group_created(&group);
        let back = context.emitter.enter_group(id);
        context.emitter.group_state(&group);
        push(&mut self.groups, group);
        for channel in new {
            self.open_channel(context, channel, Some(id), fresh);
        }
        context.emitter.bare(EventName::GroupInitialized);
        context.emitter.leave(back);
    }

    /// Creates a channel. The emitter is at its parent.
    fn open_channel<'r>(
        &mut self,
        context: &mut ReportContext<'_>,
        stated: &'r report::Channel,
        group: Option<u64>,
        fresh: &mut Vec<NewChannelStatements<'r>>,
    ) {
        let Some(kind) = stated.kind else { return };
        if self.channels.len() >= limits::CHANNELS.report {
            return context.diagnostics.add(DiagnosticKind::TooMany, || format!("channel {}", stated.key));
        }
        let mut interactions = firsts(&stated.interactions, limits::LIST, context.diagnostics);
        let mut count = Count::default();
        interactions.retain(|stated| {
            let fits = plan::state_if_new(kind, stated).is_none_or(|state| context.reserve(&mut count, state));
            if !fits {
                context.diagnostics.add(DiagnosticKind::TooMany, || format!("interaction {}", stated.key));
            }
            fits
        });
        let channel = ChannelNode {
            id: context.new_id(),
            group,
            key: stated.key.as_str().into(),
            kind,
            endpoint: context.text(stated.endpoint.as_deref()),
            name: context.text(stated.name.as_deref()),
            status: stated.status.as_ref().map_or(ChannelStatus::Inactive, |stated| status(stated).into_owned()),
            since: context.since(stated.since),
            occupied: interactions.iter().any(|stated| plan::is_busy_if_new(kind, stated)),
            interactions: Vec::new(),
            emitted_actions: Actions::default(),
            vanished: false,
        };
        context.emitter.channel_created(&channel);
        fresh.push((channel.id, interactions));
        let at = self.channels.partition_point(|other| other.place() < channel.place());
        self.channels.reserve_exact(1);
        self.channels.insert(at, channel);
    }

    fn open_interactions(
        &mut self,
        context: &mut ReportContext<'_>,
        channel: u64,
        stated: SmallList<&report::Interaction>,
    ) {
        let Some(channel) = self.channels.iter_mut().find(|one| one.id == channel) else { return };
        let back = context.emitter.enter_channel(channel);
        for stated in stated {
            if let Some(interaction) = order::open(context, channel.kind, stated) {
                push(&mut channel.interactions, interaction);
            }
        }
        context.emitter.leave(back);
    }

    // ---- extension events ----

    /// They ride behind the state that they belong to.
    fn emit_extensions(&self, context: &mut ReportContext<'_>, report: &Report) {
        for event in report.events.iter().take(limits::LIST) {
            let name = event.name.as_str();
            let object = self.by_keys(&event.on);
            let complaint = if !self.capabilities.events.contains(name) {
                "is not declared"
            } else if event.data.get().len() > limits::EVENT {
                "has too much data"
            } else if !event.data.get().starts_with('{') {
                "has data that is no object"
            } else {
                match object {
                    None => "is about an object that is not there",
                    Some(object) if name.split('.').next() != Some(object.kind().as_str()) => {
                        "is about another kind of object"
                    }
                    Some(object) => {
                        context.emitter.extension(object.path(), name, &event.data);
                        continue;
                    }
                }
            };
            let shown = limits::cut(name);
            context.diagnostics.add(DiagnosticKind::ExtensionEvent, || format!("event {shown} {complaint}"));
        }
        if report.events.len() > limits::LIST {
            let count = report.events.len();
            context.diagnostics.add(DiagnosticKind::TooMany, || format!("{count} extension events"));
        }
    }

    /// An object that the adapter names by its keys.
    fn by_keys(&self, on: &Target) -> Option<Object<'_>> {
        let channel = match on {
            Target::Session => return Some(Object::Session),
            Target::Group(key) => return self.groups.iter().find(|group| *group.key == **key).map(Object::Group),
            Target::Channel(key) => key,
            Target::Interaction(at) => &at.channel,
            Target::Conversation(at) => &at.channel,
        };
        let channel = self.channels.iter().find(|one| *one.key == **channel)?;
        let (interaction, conversation) = match on {
            Target::Interaction(at) => (&at.interaction, None),
            Target::Conversation(at) => (&at.interaction, Some(&at.conversation)),
            Target::Session | Target::Group(_) | Target::Channel(_) => return Some(Object::Channel(channel)),
        };
        let interaction = channel.interactions.iter().find(|one| *one.key == **interaction)?;
        let Some(conversation) = conversation else { return Some(Object::Interaction(channel, interaction)) };
        let conversation = interaction.conversations.iter().find(|one| *one.key == **conversation)?;
        Some(Object::Conversation(channel, interaction, conversation))
    }
}

/// Emits what changed in a channel that stays. The emitter is at the channel.
fn change_channel(context: &mut ReportContext<'_>, channel: &mut ChannelNode, stated: &report::Channel, whole: bool) {
    let before = context.emitter.emitted.len();
    let mut changed = change_status(context, channel, stated);
    let stated = firsts(&stated.interactions, limits::LIST, context.diagnostics);
    rekey(&mut channel.interactions, &stated);
    let mut unused = UnusedStatements::of(stated);
    let (ended, another) = change_interactions(context, channel, &mut unused, whole);
    let known = channel.interactions.len();
    let mut count = Count::of(&channel.interactions);
    for stated in another.into_iter().chain(unused.take_all(|_| true)) {
        let state = plan::state_if_new(channel.kind, stated);
        if state.is_some_and(|state| !context.reserve(&mut count, state)) {
            context.diagnostics.add(DiagnosticKind::TooMany, || format!("interaction {}", stated.key));
        } else if let Some(interaction) = order::open(context, channel.kind, stated) {
            push(&mut channel.interactions, interaction);
        }
    }
    let begun = channel.interactions[known..].iter().any(InteractionNode::is_busy);
    let occupied = channel.interactions.iter().any(InteractionNode::is_busy);
    changed |= occupied != channel.occupied;
    channel.occupied = occupied;
    if changed {
        let pair = context.emitter.emitted.len();
        context.emitter.channel_pair(channel);
        if begun || !ended {
            context.emitter.emitted[before..].rotate_left(pair - before);
        }
    }
}

/// Changes the status of a channel. Returns whether it is another one now.
fn change_status(context: &ReportContext<'_>, channel: &mut ChannelNode, stated: &report::Channel) -> bool {
    let Some(now) = stated.status.as_ref().map(status).filter(|now| **now != channel.status) else { return false };
    if !is_same_state(&channel.status, &now) {
        channel.since = context.since(stated.since);
    }
    channel.status = now.into_owned();
    true
}

/// Changes the interactions that a channel has. Returns whether one of them ended, and the statements that show another
/// interaction under the key of one of them.
fn change_interactions<'r>(
    context: &mut ReportContext<'_>,
    channel: &mut ChannelNode,
    unused: &mut UnusedStatements<'r, report::Interaction>,
    whole: bool,
) -> (bool, Vec<&'r report::Interaction>) {
    let (mut ended, mut another) = (false, Vec::new());
    let kind = channel.kind;
    channel.interactions.retain_mut(|interaction| {
        let mut stated = unused.take(&interaction.key);
        if stated.is_none() && !whole && !interaction.vanished {
            return true;
        }
        if let Some(other) = stated.filter(|stated| is_another(kind, interaction, stated, whole)) {
            another.push(other);
            stated = None;
        }
        if stated.is_some_and(|stated| stated.direction.is_some_and(|direction| direction != interaction.direction)) {
            context
                .diagnostics
                .add(DiagnosticKind::CannotChange, || format!("direction of interaction {}", interaction.key));
        }
        let (was, was_busy) = (interaction.state, interaction.is_busy());
        let plan = plan::of(kind, interaction, stated, false, context.diagnostics);
        let gone = order::carry_out(context, kind, interaction, plan);
        ended |= was_busy && (gone || !interaction.is_busy());
        *context.count.of_state(was) -= 1;
        if !gone {
            *context.count.of_state(interaction.state) += 1;
        }
        !gone
    });
    (ended, another)
}

/// The number of the oldest ended interaction of a channel, and its place.
fn oldest_ended(channel: &ChannelNode) -> Option<(u64, usize)> {
    let ended = channel.interactions.iter().enumerate().filter(|(_, one)| !one.is_busy());
    ended.map(|(place, one)| (one.id, place)).min()
}

/// Whether an interaction is shown further back than it is known, by a snapshot or when it had ended: then another one
/// has its key (a recalled call, a new offer).
fn is_another(
    kind: report::ChannelType,
    interaction: &InteractionNode,
    stated: &report::Interaction,
    whole: bool,
) -> bool {
    (whole || interaction.state == InteractionState::Ended)
        && plan::state_if_new(kind, stated).is_some_and(|state| state < interaction.state)
}
