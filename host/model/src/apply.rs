//! What a report makes of the groups and channels.
//!
//! Owns the order of one report: what is gone, what stays, what is new, each oldest first; the channel pair last where
//! an interaction ended and none began, else first. Interactions are `plan.rs`'s and `order.rs`'s. Must never fail:
//! what cannot be is left out and noted.

use std::{borrow::Cow, sync::Arc};

use jackfield_plugin_api::report::{
    self, Availability, ChannelInfo, ChannelStatus, InteractionState, Pending, Report, Target,
};

use jackfield_protocol::event::{Event, EventName};

use crate::{
    Capabilities, ChannelNode, DiagnosticKind, Diagnostics, GroupNode, InteractionNode, Object, Tree, emit::Emitter,
    keys::Places, limits, order, plan, push, rules::Actions,
};

/// What is needed while a report is applied.
pub(crate) struct Work<'a> {
    pub(crate) emitter: Emitter,
    pub(crate) diagnostics: &'a mut Diagnostics,
    capabilities: &'a Capabilities,
    next_id: u64,
    /// How many interactions the session has.
    count: Count,
    /// How many bytes of call data the session may still have.
    pub(crate) room_for_data: usize,
}

/// How many interactions there are.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    live: usize,
    ended: usize,
}

impl Count {
    fn of<'i>(interactions: impl IntoIterator<Item = &'i InteractionNode>) -> Self {
        let mut count = Self::default();
        interactions.into_iter().for_each(|one| *count.of_state(one.state) += 1);
        count
    }

    fn of_state(&mut self, state: InteractionState) -> &mut usize {
        if crate::is_busy(state) { &mut self.live } else { &mut self.ended }
    }
}

impl Work<'_> {
    pub(crate) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Takes a place for an interaction in this state on a channel that has so many. False: there is none.
    fn takes_place(&mut self, on_channel: &mut Count, state: InteractionState) -> bool {
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

    /// A text for keeping.
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

/// The statements of a report that have not been used yet.
struct Open<'r, T> {
    stated: plan::Few<Option<&'r T>>,
    places: Places<&'r str>,
}

impl<'r, T: plan::Stated> Open<'r, T> {
    /// Statements of different keys.
    fn of(stated: plan::Few<&'r T>) -> Self {
        let places = stated.iter().map(|stated| stated.key()).collect();
        Self { stated: stated.into_iter().map(Some).collect(), places }
    }

    fn find(&self, key: &str) -> Option<&'r T> {
        self.stated[self.places.find(key)?]
    }

    fn take(&mut self, key: &str) -> Option<&'r T> {
        self.stated[self.places.find(key)?].take()
    }

    /// Those that are left and fit, in their order.
    fn take_all(&mut self, fits: impl Fn(&T) -> bool) -> Vec<&'r T> {
        self.stated.iter_mut().filter_map(|slot| slot.take_if(|stated| fits(stated))).collect()
    }
}

/// A new channel and what was said of its interactions, which are told when all channels have been.
type Fresh<'r> = (u64, plan::Few<&'r report::Interaction>);

/// A group or a channel without one.
enum Top {
    Group(u64),
    Channel(u64),
}

impl Tree {
    /// Makes the tree what the report says, and emits what changed. Nothing is emitted before the first snapshot, which is
    /// answered with the whole tree.
    pub fn apply(&mut self, report: &Report, diagnostics: &mut Diagnostics) -> Vec<Event> {
        let interactions = || self.channels.iter().flat_map(|channel| &channel.interactions);
        let bytes: usize = interactions().map(|interaction| interaction.data.weight()).sum();
        let capabilities = Arc::clone(&self.capabilities);
        let count = Count::of(interactions());
        let mut work = Work {
            emitter: Emitter::new(),
            diagnostics,
            capabilities: &capabilities,
            next_id: self.next_id,
            count,
            room_for_data: limits::DATA_IN_SESSION.report.saturating_sub(bytes),
        };
        self.apply_objects(&mut work, report);
        self.next_id = work.next_id;
        if !self.started {
            work.emitter.emitted.clear();
        } else if self.actions {
            self.emit_new_actions(&mut work.emitter);
            self.add_actions(&mut work.emitter.emitted);
        }
        self.emit_extensions(&mut work, report);
        let mut emitted = work.emitter.emitted;
        if self.started {
            return emitted;
        }
        self.early.append(&mut emitted);
        if !report.snapshot {
            self.bound_early();
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

    /// Forgets what is too much of the extension events that wait for the first snapshot.
    fn bound_early(&mut self) {
        let mut weight = 0;
        let fits = self.early.iter().take(limits::LIST).take_while(|event| {
            weight += event.weight();
            weight <= limits::EARLY
        });
        let fits = fits.count();
        self.early.truncate(fits);
    }

    fn apply_objects<'r>(&mut self, work: &mut Work<'_>, report: &'r Report) {
        let stated = plan::firsts(&report.groups, limits::LIST, work.diagnostics);
        let mut groups = Open::of(stated);
        let mut stated = plan::firsts(&report.channels, limits::LIST, work.diagnostics);
        stated.retain(|channel| {
            let undeclared = channel.kind.filter(|kind| !self.capabilities.channel_types().contains(kind));
            if let Some(kind) = undeclared {
                work.diagnostics
                    .add(DiagnosticKind::ChannelType, || format!("channel {} of type {}", channel.key, kind.as_str()));
            }
            undeclared.is_none()
        });
        plan::rekey(&mut self.channels, &stated);
        let mut channels = Open::of(stated);

        let mut last = 0;
        while let Some(top) = self.top_after(&mut last) {
            self.apply_gone(work, &top, report.snapshot, &mut groups, &mut channels);
        }
        groups.take_all(|group| group.gone);
        channels.take_all(|channel| channel.gone);
        let mut fresh: Vec<Fresh<'r>> = Vec::new();
        last = 0;
        while let Some(top) = self.top_after(&mut last) {
            match top {
                Top::Channel(id) => self.apply_channel(work, id, report.snapshot, &mut channels),
                Top::Group(id) => {
                    self.apply_group(work, id, report.snapshot, &mut groups, &mut channels, &mut fresh);
                }
            }
        }
        for group in groups.take_all(|_| true) {
            self.open_group(work, group, &mut channels, &mut fresh);
        }
        for channel in channels.take_all(|_| true) {
            if let Some(group) = &channel.group {
                work.diagnostics.add(DiagnosticKind::Unknown, || format!("group {group} of channel {}", channel.key));
            } else if channel.kind.is_none() {
                work.diagnostics
                    .add(DiagnosticKind::Unknown, || format!("channel {}, without a type to create it", channel.key));
            } else {
                self.open_channel(work, channel, None, &mut fresh);
            }
        }
        for (id, interactions) in fresh {
            self.open_interactions(work, id, interactions);
        }
        self.complete_oldest(work);
    }

    /// Completes the oldest of too many ended interactions: they would be in the way of the next ones.
    fn complete_oldest(&mut self, work: &mut Work<'_>) {
        for at in 0..self.channels.len() {
            for _ in limits::ENDED..Count::of(&self.channels[at].interactions).ended {
                self.complete_oldest_of(work, at);
            }
        }
        while work.count.ended > limits::ENDED_IN_SESSION {
            let oldest = |at: &usize| oldest_ended(&self.channels[*at]).map(|(id, _)| id);
            let with_ended = (0..self.channels.len()).filter(|at| oldest(at).is_some());
            let Some(at) = with_ended.min_by_key(|at| oldest(at)) else { return };
            self.complete_oldest_of(work, at);
        }
    }

    fn complete_oldest_of(&mut self, work: &mut Work<'_>, channel: usize) {
        let channel = &mut self.channels[channel];
        let Some((_, place)) = oldest_ended(channel) else { return };
        let mut interaction = channel.interactions.remove(place);
        work.count.ended -= 1;
        work.diagnostics
            .add(DiagnosticKind::TooMany, || format!("ended interaction {}, which was completed", interaction.key));
        let back = work.emitter.enter_channel(channel);
        let plan = plan::of(channel.kind, &mut interaction, None, true, work.diagnostics);
        order::carry_out(work, channel.kind, &mut interaction, plan);
        work.emitter.leave(back);
    }

    /// The oldest group or channel without one that is younger than the last, which it becomes.
    fn top_after(&self, last: &mut u64) -> Option<Top> {
        let group = self.groups.iter().map(|group| group.id).find(|id| id > last);
        let alone = self.channels.iter().filter(|channel| channel.group.is_none()).map(|channel| channel.id);
        let channel = alone.into_iter().find(|id| id > last);
        *last = group.into_iter().chain(channel).min()?;
        Some(if group == Some(*last) { Top::Group(*last) } else { Top::Channel(*last) })
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
        work: &mut Work<'_>,
        top: &Top,
        whole: bool,
        groups: &mut Open<'_, report::Group>,
        channels: &mut Open<'_, report::Channel>,
    ) {
        let id = match *top {
            Top::Channel(id) => return self.apply_gone_channel(work, id, whole, channels),
            Top::Group(id) => id,
        };
        let Some(at) = self.groups.iter().position(|group| group.id == id) else { return };
        if !groups.find(&self.groups[at].key).map_or(whole, |stated| stated.gone) {
            for channel in self.ids_of_group(id) {
                self.apply_gone_channel(work, channel, whole, channels);
            }
            return;
        }
        for channel in self.ids_of_group(id) {
            // what is said of it is said of another one by now
            let stated = self.place_of(channel).and_then(|at| channels.find(&self.channels[at].key));
            self.dispose_channel(work, channel, stated.filter(|stated| stated.gone));
        }
        self.groups.remove(at);
        let back = work.emitter.enter_group(id);
        work.emitter.bare(EventName::GroupDisposed);
        work.emitter.leave(back);
    }

    fn apply_gone_channel(
        &mut self,
        work: &mut Work<'_>,
        id: u64,
        whole: bool,
        channels: &mut Open<'_, report::Channel>,
    ) {
        let Some(at) = self.place_of(id) else { return };
        let channel = &self.channels[at];
        let stated = channels.find(&channel.key);
        if stated.map_or(whole || channel.vanished, |stated| stated.gone) {
            self.dispose_channel(work, id, stated);
        } else if let Some(what) = stated.and_then(|stated| self.difference(channel, stated)) {
            if whole {
                self.dispose_channel(work, id, None);
            } else {
                work.diagnostics.add(DiagnosticKind::CannotChange, || format!("{what} of channel {}", channel.key));
            }
        }
    }

    /// What the statement says of a channel that never changes: a snapshot means another one under the same key.
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

    fn dispose_channel(&mut self, work: &mut Work<'_>, id: u64, stated: Option<&report::Channel>) {
        let Some(at) = self.place_of(id) else { return };
        let mut channel = self.channels.remove(at);
        let back = work.emitter.enter_channel(&channel);
        let ends = stated.map_or(&[][..], |stated| &stated.interactions);
        let ends = Open::of(plan::firsts(ends, limits::LIST, work.diagnostics));
        for mut interaction in std::mem::take(&mut channel.interactions) {
            *work.count.of_state(interaction.state) -= 1;
            let stated = ends.find(&interaction.key);
            let plan = plan::of(channel.kind, &mut interaction, stated, true, work.diagnostics);
            order::carry_out(work, channel.kind, &mut interaction, plan);
        }
        if channel.is_active() || channel.occupied {
            channel.occupied = false;
            if channel.is_active() {
                channel.status = ChannelStatus::Inactive;
            }
            work.emitter.channel_pair(&channel);
        }
        work.emitter.bare(EventName::ChannelDisposed);
        work.emitter.leave(back);
    }

    // ---- what stays ----

    fn apply_group<'r>(
        &mut self,
        work: &mut Work<'_>,
        id: u64,
        whole: bool,
        groups: &mut Open<'r, report::Group>,
        channels: &mut Open<'r, report::Channel>,
        fresh: &mut Vec<Fresh<'r>>,
    ) {
        let Some(at) = self.groups.iter().position(|group| group.id == id) else { return };
        let key = self.groups[at].key.clone();
        groups.take(&key);
        let new = self.new_channels_of(&key, channels);
        let olds = self.ids_of_group(id);
        let populated = !olds.is_empty() || !new.is_empty() && self.channels.len() < limits::CHANNELS.report;
        let group = &mut self.groups[at];
        let back = work.emitter.enter_group(id);
        if group.populated != populated {
            group.populated = populated;
            work.emitter.group_state(group);
        }
        work.emitter.leave(back);
        for channel in olds {
            self.apply_channel(work, channel, whole, channels);
        }
        let back = work.emitter.enter_group(id);
        for channel in new {
            self.open_channel(work, channel, Some(id), fresh);
        }
        work.emitter.leave(back);
    }

    fn apply_channel(&mut self, work: &mut Work<'_>, id: u64, whole: bool, channels: &mut Open<'_, report::Channel>) {
        let Some(channel) = self.channels.iter_mut().find(|channel| channel.id == id) else { return };
        let Some(stated) = channels.take(&channel.key) else { return };
        let back = work.emitter.enter_channel(channel);
        change_channel(work, channel, stated, whole);
        work.emitter.leave(back);
    }

    // ---- what is new ----

    /// Statements that would create channels in this group.
    fn new_channels_of<'r>(&self, group: &str, channels: &mut Open<'r, report::Channel>) -> Vec<&'r report::Channel> {
        channels.take_all(|stated| {
            stated.group.as_deref() == Some(group)
                && stated.kind.is_some()
                && !self.channels.iter().any(|channel| *channel.key == stated.key)
        })
    }

    fn open_group<'r>(
        &mut self,
        work: &mut Work<'_>,
        stated: &'r report::Group,
        channels: &mut Open<'r, report::Channel>,
        fresh: &mut Vec<Fresh<'r>>,
    ) {
        if self.groups.len() >= limits::GROUPS.report {
            return work.diagnostics.add(DiagnosticKind::TooMany, || format!("group {}", stated.key));
        }
        let new = self.new_channels_of(&stated.key, channels);
        let group = GroupNode {
            id: work.new_id(),
            key: stated.key.as_str().into(),
            name: work.text(stated.name.as_deref()),
            populated: !new.is_empty() && self.channels.len() < limits::CHANNELS.report,
        };
        let id = group.id;
        work.emitter.group_created(&group);
        let back = work.emitter.enter_group(id);
        work.emitter.group_state(&group);
        push(&mut self.groups, group);
        for channel in new {
            self.open_channel(work, channel, Some(id), fresh);
        }
        work.emitter.bare(EventName::GroupInitialized);
        work.emitter.leave(back);
    }

    /// Creates a channel. The emitter is at its parent.
    fn open_channel<'r>(
        &mut self,
        work: &mut Work<'_>,
        stated: &'r report::Channel,
        group: Option<u64>,
        fresh: &mut Vec<Fresh<'r>>,
    ) {
        let Some(kind) = stated.kind else { return };
        if self.channels.len() >= limits::CHANNELS.report {
            return work.diagnostics.add(DiagnosticKind::TooMany, || format!("channel {}", stated.key));
        }
        let mut interactions = plan::firsts(&stated.interactions, limits::LIST, work.diagnostics);
        let mut count = Count::default();
        interactions.retain(|stated| {
            let fits = plan::state_if_new(kind, stated).is_none_or(|state| work.takes_place(&mut count, state));
            if !fits {
                work.diagnostics.add(DiagnosticKind::TooMany, || format!("interaction {}", stated.key));
            }
            fits
        });
        let channel = ChannelNode {
            id: work.new_id(),
            group,
            key: stated.key.as_str().into(),
            kind,
            endpoint: work.text(stated.endpoint.as_deref()),
            name: work.text(stated.name.as_deref()),
            status: stated.status.as_ref().map_or(ChannelStatus::Inactive, |stated| status(stated).into_owned()),
            occupied: interactions.iter().any(|stated| plan::is_busy_if_new(kind, stated)),
            interactions: Vec::new(),
            told: Actions::default(),
            vanished: false,
        };
        work.emitter.channel_created(&channel);
        fresh.push((channel.id, interactions));
        let at = self.channels.partition_point(|other| other.place() < channel.place());
        self.channels.reserve_exact(1);
        self.channels.insert(at, channel);
    }

    fn open_interactions(&mut self, work: &mut Work<'_>, channel: u64, stated: plan::Few<&report::Interaction>) {
        let Some(channel) = self.channels.iter_mut().find(|one| one.id == channel) else { return };
        let back = work.emitter.enter_channel(channel);
        for stated in stated {
            if let Some(interaction) = order::open(work, channel.kind, stated) {
                push(&mut channel.interactions, interaction);
            }
        }
        work.emitter.leave(back);
    }

    // ---- extension events ----

    /// They ride behind the state that they belong to.
    fn emit_extensions(&self, work: &mut Work<'_>, report: &Report) {
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
                        work.emitter.extension(object.path(), name, &event.data);
                        continue;
                    }
                }
            };
            let shown = limits::cut(name);
            work.diagnostics.add(DiagnosticKind::ExtensionEvent, || format!("event {shown} {complaint}"));
        }
        if report.events.len() > limits::LIST {
            let count = report.events.len();
            work.diagnostics.add(DiagnosticKind::TooMany, || format!("{count} extension events"));
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
fn change_channel(work: &mut Work<'_>, channel: &mut ChannelNode, stated: &report::Channel, whole: bool) {
    let before = work.emitter.emitted.len();
    let mut changed = false;
    if let Some(stated) = stated.status.as_ref().map(status).filter(|stated| **stated != channel.status) {
        channel.status = stated.into_owned();
        changed = true;
    }
    let stated = plan::firsts(&stated.interactions, limits::LIST, work.diagnostics);
    plan::rekey(&mut channel.interactions, &stated);
    let mut interactions = Open::of(stated);
    let mut another = Vec::new();
    let mut ended = false;
    let mut at = 0;
    while let Some(interaction) = channel.interactions.get_mut(at) {
        at += 1;
        let mut stated = interactions.take(&interaction.key);
        if stated.is_none() && !whole && !interaction.vanished {
            continue;
        }
        if let Some(other) = stated.filter(|stated| is_another(channel.kind, interaction, stated, whole)) {
            another.push(other);
            stated = None;
        }
        if stated.is_some_and(|stated| stated.direction.is_some_and(|direction| direction != interaction.direction)) {
            work.diagnostics
                .add(DiagnosticKind::CannotChange, || format!("direction of interaction {}", interaction.key));
        }
        let was = interaction.state;
        let was_busy = interaction.is_busy();
        let plan = plan::of(channel.kind, interaction, stated, false, work.diagnostics);
        let gone = order::carry_out(work, channel.kind, interaction, plan);
        ended |= was_busy && (gone || !interaction.is_busy());
        *work.count.of_state(was) -= 1;
        if gone {
            at -= 1;
            channel.interactions.remove(at);
        } else {
            *work.count.of_state(interaction.state) += 1;
        }
    }
    let known = channel.interactions.len();
    let mut count = Count::of(&channel.interactions);
    for stated in another.into_iter().chain(interactions.take_all(|_| true)) {
        let state = plan::state_if_new(channel.kind, stated);
        if state.is_some_and(|state| !work.takes_place(&mut count, state)) {
            work.diagnostics.add(DiagnosticKind::TooMany, || format!("interaction {}", stated.key));
        } else if let Some(interaction) = order::open(work, channel.kind, stated) {
            push(&mut channel.interactions, interaction);
        }
    }
    let begun = channel.interactions[known..].iter().any(InteractionNode::is_busy);
    let occupied = channel.interactions.iter().any(InteractionNode::is_busy);
    changed |= occupied != channel.occupied;
    channel.occupied = occupied;
    if changed {
        let pair = work.emitter.emitted.len();
        work.emitter.channel_pair(channel);
        if begun || !ended {
            work.emitter.emitted[before..].rotate_left(pair - before);
        }
    }
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

/// A status as it is kept: an active channel has an availability, a ready one no reason, no text is too long.
fn status(stated: &ChannelStatus) -> Cow<'_, ChannelStatus> {
    let ChannelStatus::Active(info) = stated else { return Cow::Borrowed(stated) };
    let ready = info.availability == Some(Availability::Ready);
    let pending = info.pending.as_ref().map_or([&None, &None], |pending| [&pending.reason_code, &pending.reason_desc]);
    let long = [&info.reason_code, &info.reason_desc, &info.queue]
        .into_iter()
        .chain(pending)
        .any(|text| text.as_ref().is_some_and(|text| text.len() > limits::TEXT));
    let reason = info.reason_code.is_some() || info.reason_desc.is_some();
    if info.availability.is_some() && !(ready && reason) && !long {
        return Cow::Borrowed(stated);
    }
    let cut = |text: &Option<String>| text.as_deref().map(|text| limits::cut(text).to_owned());
    let mut kept = ChannelInfo::default();
    kept.availability = info.availability.or(Some(Availability::NotReady));
    if !ready {
        kept.reason_code = cut(&info.reason_code);
        kept.reason_desc = cut(&info.reason_desc);
    }
    kept.queue = cut(&info.queue);
    kept.pending = info
        .pending
        .as_ref()
        .map(|pending| Pending::new(pending.availability, cut(&pending.reason_code), cut(&pending.reason_desc)));
    Cow::Owned(ChannelStatus::Active(kept))
}
