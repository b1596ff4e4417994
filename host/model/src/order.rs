//! The order of the events about one interaction.
//!
//! Owns the order of `protocol.md` section 4 from the finished [`InteractionPlan`]: its own state first when a
//! conversation opens; each conversation in order (primary, consult) with its end or its change, the focus right after a
//! disposal when the focused one ends and another stays; new conversations; focus; data; screen pop; ended; its state;
//! disposal. It changes the interaction as it emits, so that every event tells what holds at that moment. Must never
//! decide what a report means: `plan.rs` has.

use jackfield_plugin_api::{
    Timestamp,
    report::{self, Cause, ChannelType, ConversationState, Direction, InteractionState, Reason, Recording, Role},
};

use jackfield_protocol::event::{Calls, EventName};

use crate::{
    CallData, ConversationNode, DiagnosticKind, Diagnostics, InteractionNode, MemberNode,
    call_data::Patch,
    context::ReportContext,
    emit, limits,
    plan::{self, ConversationChange, ConversationFate, InteractionPlan, NewConversation},
    push,
    rules::Actions,
};

/// Creates the interaction of a statement that says enough, and emits all of it. The emitter is at the channel.
pub(crate) fn open(
    context: &mut ReportContext<'_>,
    kind: ChannelType,
    stated: &report::Interaction,
) -> Option<InteractionNode> {
    // What is wrong with the conversations is noted where there is an interaction for them.
    let mut diagnostics = Diagnostics::new();
    let (Some((state, openings)), Some(direction)) = (plan::if_new(kind, stated, &mut diagnostics), stated.direction)
    else {
        if !plan::is_gone(stated) && !plan::was_never_taken(stated) {
            context.diagnostics.add(DiagnosticKind::Unknown, || format!("interaction {}", stated.key));
        }
        return None;
    };
    let mut interaction = new_interaction(context, kind, stated, state, direction);
    context.diagnostics.append(diagnostics);
    if openings.is_empty()
        && let Some(list) = &stated.conversations
    {
        plan::note_misplaced(&interaction, list, context.diagnostics);
    }
    let calls = emit::calls(openings.iter().map(|opening| opening.members.len()));

    context.emitter.interaction_created(kind, &interaction);
    let back = context.emitter.enter_interaction(interaction.id);
    context.emitter.interaction_state(kind, &interaction, state, interaction.since, calls);
    for opening in openings {
        open_conversation(context, &mut interaction, opening);
    }
    if interaction.conversations.len() == 2 {
        interaction.focus = first_focus(&interaction);
    }
    context.emitter.interaction_data(&interaction);
    if state < InteractionState::Started {
        context.emitter.preview(kind, &interaction);
    }
    if interaction.consult().is_some() {
        context.emitter.focus(&interaction);
    }
    if state == InteractionState::Started {
        context.emitter.screen_pop(kind, &interaction);
    }
    context.emitter.bare(EventName::InteractionInitialized);
    context.emitter.leave(back);
    Some(interaction)
}

/// A new interaction with its call data and without its conversations.
fn new_interaction(
    context: &mut ReportContext<'_>,
    kind: ChannelType,
    stated: &report::Interaction,
    state: InteractionState,
    direction: Direction,
) -> InteractionNode {
    let recording = if kind == ChannelType::Telephony && state != InteractionState::Ended {
        stated.recording.or((!stated.recording_unknown).then_some(Recording::Off))
    } else {
        Some(Recording::Off)
    };
    let mut interaction = InteractionNode {
        id: context.new_id(),
        key: stated.key.as_str().into(),
        direction,
        state,
        since: context.since(stated.since),
        recording,
        disposition: context.text(stated.disposition.as_deref()),
        supervises: plan::supervision(kind, stated),
        url: url(context, stated).map(Into::into),
        data: CallData::default(),
        conversations: Vec::new(),
        focus: None,
        emitted_actions: Actions::default(),
        vanished: false,
    };
    set_data(context, &mut interaction, stated);
    interaction
}

/// The conversation of two new ones that has the focus: the last one that is not held.
fn first_focus(interaction: &InteractionNode) -> Option<u64> {
    let mut conversations = interaction.conversations.iter();
    let active = conversations.rfind(|conversation| conversation.state != ConversationState::Held);
    active.or(interaction.conversations.last()).map(|conversation| conversation.id)
}

/// Carries a plan out and emits its events. Returns whether the interaction was disposed of. The emitter is at the
/// channel.
pub(crate) fn carry_out(
    context: &mut ReportContext<'_>,
    kind: ChannelType,
    interaction: &mut InteractionNode,
    mut plan: InteractionPlan<'_>,
) -> bool {
    let back = context.emitter.enter_interaction(interaction.id);
    let mut own = OwnState::change(context, kind, interaction, &plan);
    own.emit_first(context, interaction, &plan);
    let ends = end_and_change(context, interaction, &mut plan);
    own.emit_before_a_consult(context, interaction, &plan);
    open_and_focus(context, interaction, &mut plan, &ends);
    change_data(context, interaction, &plan);
    let has_new_url = change_url(context, interaction, &plan);
    own.emit_last(context, interaction, &plan, &ends, has_new_url);
    if plan.gone {
        own.dispose(context, interaction);
    }
    context.emitter.leave(back);
    plan.gone
}

/// What is emitted of an interaction's own state while its plan is carried out.
struct OwnState {
    kind: ChannelType,
    /// The state before.
    was: InteractionState,
    /// Something has changed that `state.updated` tells.
    changed: bool,
    /// It has told it.
    emitted: bool,
}

impl OwnState {
    /// Changes what holds of the interaction from the beginning on.
    fn change(
        context: &ReportContext<'_>,
        kind: ChannelType,
        interaction: &mut InteractionNode,
        plan: &InteractionPlan<'_>,
    ) -> Self {
        let was = interaction.state;
        let mut changed =
            plan.state != was || plan.calls_before != plan.calls_after || plan.recording != interaction.recording;
        interaction.recording = plan.recording;
        if let Some(now) = plan.stated.and_then(|stated| plan::supervision(kind, stated)) {
            changed |= interaction.supervises.as_ref() != Some(&now);
            interaction.supervises = Some(now);
        }
        if plan.state != was {
            interaction.since = context.since(plan.stated.and_then(|stated| stated.since));
        }
        Self { kind, was, changed, emitted: false }
    }

    /// In front of the conversations: that the interaction was taken, where no report has told it, or what is new of one
    /// in which a conversation opens.
    fn emit_first(
        &mut self,
        context: &mut ReportContext<'_>,
        interaction: &mut InteractionNode,
        plan: &InteractionPlan<'_>,
    ) {
        if plan.taken_unseen {
            // When it was taken nobody knows any more. What it is now is told at the end.
            self.emit_started(context, interaction, plan.calls_before);
        } else if !plan.openings.is_empty() && plan.state == self.was && self.changed {
            self.emit_state(context, interaction, plan);
        }
    }

    /// A consult needs a started call, so that is emitted before it opens.
    fn emit_before_a_consult(
        &mut self,
        context: &mut ReportContext<'_>,
        interaction: &mut InteractionNode,
        plan: &InteractionPlan<'_>,
    ) {
        if !plan.openings.is_empty() && plan.state == InteractionState::Started && self.was != plan.state {
            self.emit_started(context, interaction, plan.calls_after);
            self.emitted = true;
        }
    }

    /// Behind everything else: the screen pop, why it has ended, and its state.
    fn emit_last(
        &mut self,
        context: &mut ReportContext<'_>,
        interaction: &mut InteractionNode,
        plan: &InteractionPlan<'_>,
        ends: &ConversationEnds,
        has_new_url: bool,
    ) {
        // What a snapshot does not name has ended, but it is not known how.
        let default_reason = if plan.stated.is_some() { default_reason(interaction.state) } else { Reason::Lost };
        let is_new = self.was != plan.state;
        interaction.state = plan.state;
        let pops = if is_new { !self.emitted } else { has_new_url && !plan.gone };
        if plan.state == InteractionState::Started && pops {
            context.emitter.screen_pop(self.kind, interaction);
        }
        if plan.state == InteractionState::Ended && is_new {
            let reason = plan.stated.and_then(|stated| stated.reason).or(ends.reason);
            let cause = plan.stated.and_then(|stated| stated.cause).or(ends.cause);
            context.emitter.interaction_ended(reason.unwrap_or(default_reason), cause);
        }
        if self.changed && !self.emitted {
            self.emit_state(context, interaction, plan);
        }
    }

    fn emit_started(&self, context: &mut ReportContext<'_>, interaction: &mut InteractionNode, calls: Option<Calls>) {
        interaction.state = InteractionState::Started;
        context.emitter.screen_pop(self.kind, interaction);
        context.emitter.interaction_state(self.kind, interaction, interaction.state, interaction.since, calls);
    }

    fn emit_state(
        &mut self,
        context: &mut ReportContext<'_>,
        interaction: &InteractionNode,
        plan: &InteractionPlan<'_>,
    ) {
        context.emitter.interaction_state(self.kind, interaction, plan.state, interaction.since, plan.calls_after);
        self.emitted = true;
    }

    /// The end of an interaction; one that was never the agent's has nothing to complete.
    fn dispose(&self, context: &mut ReportContext<'_>, interaction: &mut InteractionNode) {
        if self.was != InteractionState::Alerting {
            interaction.state = InteractionState::Completed;
            interaction.since = context.since(None);
            context.emitter.bare(EventName::InteractionComplete);
            context.emitter.interaction_state(self.kind, interaction, interaction.state, interaction.since, None);
        }
        context.emitter.bare(EventName::InteractionDisposed);
    }
}

/// Why an interaction ended where no statement tells it.
fn default_reason(state: InteractionState) -> Reason {
    match state {
        InteractionState::Alerting => Reason::Abandoned,
        InteractionState::Dialing => Reason::Failed,
        _ => Reason::Released,
    }
}

/// What the changes of the conversations leave for the rest of the list.
#[derive(Default)]
struct ConversationEnds {
    /// One has ended.
    any: bool,
    /// Why the last one did, where a statement tells it.
    reason: Option<Reason>,
    cause: Option<Cause>,
    /// One that was held talks now.
    retrieved: Option<u64>,
}

/// Ends and changes the conversations that were there, and emits it.
fn end_and_change(
    context: &mut ReportContext<'_>,
    interaction: &mut InteractionNode,
    plan: &mut InteractionPlan<'_>,
) -> ConversationEnds {
    let mut ends = ConversationEnds::default();
    let next_focus = next_focus(interaction, &plan.fates);
    let goes_on = plan.state != InteractionState::Ended && !plan.gone;
    let mut away = next_focus.is_none() && plan.openings.is_empty() && was_transferred(interaction, plan);
    let mut at = 0;
    for fate in std::mem::take(&mut plan.fates) {
        match fate {
            ConversationFate::Stays => at += 1,
            ConversationFate::Changes(change) => {
                let conversation = &mut interaction.conversations[at];
                if conversation.state == ConversationState::Held && change.state == ConversationState::Talking {
                    ends.retrieved = Some(conversation.id);
                }
                change_conversation(context, conversation, &change);
                at += 1;
            }
            ConversationFate::Ends(stated) => {
                ends.any = true;
                if let Some(stated) = stated.filter(|stated| stated.reason.is_some()) {
                    (ends.reason, ends.cause) = (stated.reason, stated.cause);
                }
                let conversation = interaction.conversations.remove(at);
                // Why the last one ended is told by interaction.ended.
                let why = goes_on.then(|| why(&conversation, stated, plan.stated));
                let since = context.since(stated.and_then(|stated| stated.since));
                end_conversation(context, &conversation, since, why);
                if away {
                    away = false;
                    interaction.focus = None;
                    context.emitter.focus(interaction);
                } else if interaction.focus == Some(conversation.id) {
                    interaction.focus = next_focus;
                    if next_focus.is_some() {
                        context.emitter.focus(interaction);
                    }
                }
            }
        }
    }
    ends
}

/// The conversation that has the focus next: the first one that stays.
fn next_focus(interaction: &InteractionNode, fates: &[ConversationFate<'_>]) -> Option<u64> {
    let stays = |(_, fate): &(&ConversationNode, &ConversationFate<'_>)| !matches!(fate, ConversationFate::Ends(_));
    interaction.conversations.iter().zip(fates).find(stays).map(|(conversation, _)| conversation.id)
}

/// Whether a live call was transferred away (or should have been).
fn was_transferred(interaction: &InteractionNode, plan: &InteractionPlan<'_>) -> bool {
    let all = plan.stated.and_then(|stated| stated.reason);
    interaction.conversations.iter().zip(&plan.fates).any(|(conversation, fate)| match fate {
        ConversationFate::Ends(stated) => {
            let reason = stated.and_then(|stated| stated.reason).or(all);
            conversation.is_live() && matches!(reason, Some(Reason::Transferred | Reason::Failed))
        }
        _ => false,
    })
}

/// Why a conversation has ended.
fn why(
    conversation: &ConversationNode,
    own: Option<&report::Conversation>,
    all: Option<&report::Interaction>,
) -> (Reason, Option<Cause>) {
    let own = own.and_then(|own| Some((own.reason?, own.cause)));
    let all = || all.and_then(|all| Some((all.reason?, all.cause)));
    own.or_else(all).unwrap_or_else(|| {
        let reason = match conversation.state {
            ConversationState::Alerting => Reason::Abandoned,
            ConversationState::Dialing => Reason::Failed,
            ConversationState::Talking | ConversationState::Held | ConversationState::Ended => Reason::Released,
        };
        (reason, None)
    })
}

fn end_conversation(
    context: &mut ReportContext<'_>,
    conversation: &ConversationNode,
    since: Timestamp,
    why: Option<(Reason, Option<Cause>)>,
) {
    let back = context.emitter.enter_conversation(conversation.id);
    context.emitter.conversation_state(ConversationState::Ended, since, conversation.muted);
    context.emitter.conversation_disposed(why);
    context.emitter.leave(back);
}

fn change_conversation(
    context: &mut ReportContext<'_>,
    conversation: &mut ConversationNode,
    change: &ConversationChange<'_>,
) {
    let back = context.emitter.enter_conversation(conversation.id);
    let muted = change.stated.muted.unwrap_or(conversation.muted);
    if (change.state, muted) != (conversation.state, conversation.muted) {
        if change.state != conversation.state {
            conversation.since = context.since(change.stated.since);
        }
        (conversation.state, conversation.muted) = (change.state, muted);
        context.emitter.conversation_state(conversation.state, conversation.since, conversation.muted);
    }
    if let Some(stated) = &change.members {
        conversation.members.retain_mut(|member| {
            let stays = stated.iter().find(|stated| stated.key == *member.key && is_same(member, stated));
            match stays {
                None => context.emitter.member_removed(member),
                Some(stated) if (member.muted, member.held) != (stated.muted, stated.held) => {
                    (member.muted, member.held) = (stated.muted, stated.held);
                    context.emitter.member_changed(member);
                }
                Some(_) => {}
            }
            stays.is_some()
        });
        for stated in stated {
            if !conversation.members.iter().any(|member| *member.key == stated.key) {
                let member = member(context, stated);
                context.emitter.member_added(&member);
                push(&mut conversation.members, member);
            }
        }
    }
    context.emitter.leave(back);
}

fn is_same(member: &MemberNode, stated: &report::Member) -> bool {
    member.address.as_deref() == stated.address.as_deref().map(limits::cut)
        && member.name.as_deref() == stated.name.as_deref().map(limits::cut)
        && member.role == stated.role
}

fn member(context: &mut ReportContext<'_>, stated: &report::Member) -> MemberNode {
    MemberNode {
        id: context.new_id(),
        key: stated.key.as_str().into(),
        address: context.text(stated.address.as_deref()),
        name: context.text(stated.name.as_deref()),
        role: stated.role,
        muted: stated.muted,
        held: stated.held,
    }
}

fn open_conversation(
    context: &mut ReportContext<'_>,
    interaction: &mut InteractionNode,
    opening: NewConversation<'_>,
) -> u64 {
    let id = context.new_id();
    let mut members = Vec::with_capacity(opening.members.len());
    for stated in opening.members {
        members.push(member(context, stated));
    }
    let conversation = ConversationNode {
        id,
        key: opening.stated.key.as_str().into(),
        role: opening.role,
        state: opening.state,
        since: context.since(opening.stated.since),
        muted: opening.stated.muted.unwrap_or(false),
        members,
        emitted_actions: Actions::default(),
    };
    context.emitter.conversation_created(&conversation);
    push(&mut interaction.conversations, conversation);
    interaction.conversations.sort_by_key(|conversation| conversation.role != Role::Primary);
    interaction.focus.get_or_insert(id);
    id
}

/// Emits the new conversations, and the focus where it moves.
fn open_and_focus(
    context: &mut ReportContext<'_>,
    interaction: &mut InteractionNode,
    plan: &mut InteractionPlan<'_>,
    ends: &ConversationEnds,
) {
    let mut emitted = interaction.focus;
    let had_none = interaction.focus.is_none() && !ends.any;
    let mut consult = None;
    for opening in std::mem::take(&mut plan.openings) {
        let role = opening.role;
        let id = open_conversation(context, interaction, opening);
        if role == Role::Consult {
            consult = Some(id);
        }
    }
    if had_none {
        // The first one has it, and no event tells it.
        emitted = interaction.focus;
    }
    // A conversation that ends in the same report was not retrieved: what ends does not change.
    if let Some(id) = consult.or(ends.retrieved) {
        interaction.focus = Some(id);
    }
    if interaction.focus != emitted && interaction.focus.is_some() {
        context.emitter.focus(interaction);
    }
}

// ---- call data and address ----

/// Changes the call data, and emits what has changed.
fn change_data(context: &mut ReportContext<'_>, interaction: &mut InteractionNode, plan: &InteractionPlan<'_>) {
    let Some(stated) = plan.stated else { return };
    let changes = set_data(context, interaction, stated);
    if !changes.is_empty() {
        context.emitter.data_changed(&changes);
    }
}

/// Changes the address that the desktop should open. Returns whether it is another one now.
fn change_url(context: &mut ReportContext<'_>, interaction: &mut InteractionNode, plan: &InteractionPlan<'_>) -> bool {
    let new = plan.stated.and_then(|stated| url(context, stated));
    let new = new.filter(|&url| interaction.url.as_deref() != Some(url));
    if let Some(url) = new {
        interaction.url = Some(url.into());
    }
    new.is_some()
}

/// Sets the call data of the statement, as far as there is room. Returns what has changed.
fn set_data<'r>(
    context: &mut ReportContext<'_>,
    interaction: &mut InteractionNode,
    stated: &'r report::Interaction,
) -> Patch<'r> {
    let entries = stated.data.iter().map(|(key, value)| (key.as_str(), value.as_ref()));
    let mut room = context.room_for_data;
    let (changes, left_out) = interaction.data.set(entries, context.is_own_data(), &mut room);
    context.room_for_data = room;
    if left_out > 0 {
        context.diagnostics.add(DiagnosticKind::TooLong, || {
            format!("{left_out} entries of the data of interaction {}", interaction.key)
        });
    }
    changes
}

fn url<'r>(context: &mut ReportContext<'_>, stated: &'r report::Interaction) -> Option<&'r str> {
    let url = stated.url.as_deref().filter(|url| !url.is_empty())?;
    if url.len() > limits::URL {
        context.diagnostics.add(DiagnosticKind::TooLong, || format!("url of interaction {}", stated.key));
        return None;
    }
    Some(url)
}
