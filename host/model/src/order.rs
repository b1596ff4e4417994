//! In which order the difference is said, for one interaction.
//!
//! Owns the order of `protocol.md` section 4 from the finished [`InteractionPlan`]: its own state first when a conversation opens;
//! each conversation in order (primary, consult) with its end or its change, the focus right after a disposal when the
//! focused one ends and another stays; new conversations; focus; data; screen pop; ended; its state; disposal. It
//! changes the interaction while it speaks, so that every event tells what holds at that moment. Must never decide what
//! a report means: `plan.rs` has.

use jackfield_plugin_api::report::{
    self, Cause, ChannelType, ConversationState, InteractionState, Reason, Recording, Role,
};

use jackfield_protocol::event::EventName;

use crate::{
    CallData, ConversationNode, DiagnosticKind, Diagnostics, InteractionNode, MemberNode,
    apply::Work,
    call_data::Patch,
    emit, limits,
    plan::{self, ConversationChange, ConversationFate, InteractionPlan, Opening},
    push,
    rules::Actions,
};

/// Creates the interaction of a statement that says enough, and says all of it. The emitter is at the channel.
pub(crate) fn open(work: &mut Work<'_>, kind: ChannelType, stated: &report::Interaction) -> Option<InteractionNode> {
    // What is wrong with the conversations is noted where there is an interaction for them.
    let mut diagnostics = Diagnostics::new();
    let (Some((state, openings)), Some(direction)) = (plan::if_new(kind, stated, &mut diagnostics), stated.direction)
    else {
        if !plan::is_gone(stated) && !plan::was_never_taken(stated) {
            work.diagnostics.add(DiagnosticKind::Unknown, || format!("interaction {}", stated.key));
        }
        return None;
    };
    let mut interaction = InteractionNode {
        id: work.new_id(),
        key: stated.key.as_str().into(),
        direction,
        state,
        recording: if kind == ChannelType::Telephony && state != InteractionState::Ended {
            stated.recording.or((!stated.recording_unknown).then_some(Recording::Off))
        } else {
            Some(Recording::Off)
        },
        url: url(work, stated).map(Into::into),
        data: CallData::default(),
        conversations: Vec::new(),
        focus: None,
        told: Actions::default(),
        vanished: false,
    };
    set_data(work, &mut interaction, stated);
    work.diagnostics.append(diagnostics);
    if openings.is_empty()
        && let Some(list) = &stated.conversations
    {
        plan::note_misplaced(&interaction, list, work.diagnostics);
    }
    let calls = emit::calls(openings.iter().map(|opening| opening.members.len()));

    work.emitter.interaction_created(kind, &interaction);
    let back = work.emitter.enter_interaction(interaction.id);
    work.emitter.interaction_state(kind, state, calls, interaction.recording);
    for opening in openings {
        open_conversation(work, &mut interaction, opening);
    }
    if interaction.conversations.len() == 2 {
        interaction.focus = interaction
            .conversations
            .iter()
            .rfind(|conversation| conversation.state != ConversationState::Held)
            .or(interaction.conversations.last())
            .map(|conversation| conversation.id);
    }
    work.emitter.interaction_data(&interaction);
    if state < InteractionState::Started {
        work.emitter.preview(kind, &interaction);
    }
    if interaction.consult().is_some() {
        work.emitter.focus(&interaction);
    }
    if state == InteractionState::Started {
        work.emitter.screen_pop(kind, &interaction);
    }
    work.emitter.bare(EventName::InteractionInitialized);
    work.emitter.leave(back);
    Some(interaction)
}

/// Carries a plan out and says it. The answer: the interaction was disposed of. The emitter is at the channel.
pub(crate) fn carry_out(
    work: &mut Work<'_>,
    kind: ChannelType,
    interaction: &mut InteractionNode,
    mut plan: InteractionPlan<'_>,
) -> bool {
    let back = work.emitter.enter_interaction(interaction.id);
    let was = interaction.state;
    let changed = plan.state != was || plan.calls_before != plan.calls_after || plan.recording != interaction.recording;
    interaction.recording = plan.recording;
    let mut told = false;
    if plan.taken_unseen {
        interaction.state = InteractionState::Started;
        work.emitter.screen_pop(kind, interaction);
        work.emitter.interaction_state(kind, InteractionState::Started, plan.calls_before, plan.recording);
    } else if !plan.openings.is_empty() && plan.state == was && changed {
        work.emitter.interaction_state(kind, was, plan.calls_after, plan.recording);
        told = true;
    }
    let ends = end_and_change(work, interaction, &mut plan);
    if !plan.openings.is_empty() && plan.state == InteractionState::Started && was != plan.state {
        // a consult needs a started call, so that is said before it opens
        interaction.state = plan.state;
        work.emitter.screen_pop(kind, interaction);
        work.emitter.interaction_state(kind, plan.state, plan.calls_after, plan.recording);
        told = true;
    }
    open_and_focus(work, interaction, &mut plan, &ends);
    if let Some(stated) = plan.stated {
        let changes = set_data(work, interaction, stated);
        if !changes.is_empty() {
            work.emitter.data_changed(&changes);
        }
    }
    let new_url =
        plan.stated.and_then(|stated| url(work, stated)).filter(|&url| interaction.url.as_deref() != Some(url));
    let late_url = new_url.is_some() && !plan.gone && was == plan.state && was == InteractionState::Started;
    if let Some(url) = new_url {
        interaction.url = Some(url.into());
    }
    // What is missing where everything is named has ended, but nobody knows how.
    let default_reason = if plan.stated.is_some() { default_reason(interaction.state) } else { Reason::Lost };
    interaction.state = plan.state;
    if plan.state == InteractionState::Started && was != plan.state && !told || late_url {
        work.emitter.screen_pop(kind, interaction);
    }
    if plan.state == InteractionState::Ended && was != plan.state {
        let stated = plan.stated.map_or((None, None), |stated| (stated.reason, stated.cause));
        let (reason, cause) = (stated.0.or(ends.reason), stated.1.or(ends.cause));
        work.emitter.interaction_ended(reason.unwrap_or(default_reason), cause);
    }
    if changed && !told {
        work.emitter.interaction_state(kind, plan.state, plan.calls_after, plan.recording);
    }
    if plan.gone {
        dispose(work, kind, interaction, was);
    }
    work.emitter.leave(back);
    plan.gone
}

/// The last of an interaction; one that was never the agent's has nothing to complete.
fn dispose(work: &mut Work<'_>, kind: ChannelType, interaction: &mut InteractionNode, was: InteractionState) {
    if was != InteractionState::Alerting {
        interaction.state = InteractionState::Completed;
        work.emitter.bare(EventName::InteractionComplete);
        work.emitter.interaction_state(kind, interaction.state, None, interaction.recording);
    }
    work.emitter.bare(EventName::InteractionDisposed);
}

/// Why an interaction ended where nobody says.
fn default_reason(state: InteractionState) -> Reason {
    match state {
        InteractionState::Alerting => Reason::Abandoned,
        InteractionState::Dialing => Reason::Failed,
        _ => Reason::Released,
    }
}

/// What the changes of the conversations leave for the rest of the list.
#[derive(Default)]
struct Ends {
    /// One has ended.
    any: bool,
    /// Why the last one did, where that was said of it.
    reason: Option<Reason>,
    cause: Option<Cause>,
    /// One that was held talks now.
    retrieved: Option<u64>,
}

/// Says what becomes of each conversation that was there.
fn end_and_change(work: &mut Work<'_>, interaction: &mut InteractionNode, plan: &mut InteractionPlan<'_>) -> Ends {
    let mut ends = Ends::default();
    let heir = heir(interaction, &plan.fates);
    let goes_on = plan.state != InteractionState::Ended && !plan.gone;
    let mut away = heir.is_none() && plan.openings.is_empty() && was_transferred(interaction, plan);
    let mut at = 0;
    for fate in std::mem::take(&mut plan.fates) {
        match fate {
            ConversationFate::Stays => at += 1,
            ConversationFate::Changes(change) => {
                let conversation = &mut interaction.conversations[at];
                if conversation.state == ConversationState::Held && change.state == ConversationState::Talking {
                    ends.retrieved = Some(conversation.id);
                }
                change_conversation(work, conversation, &change);
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
                end_conversation(work, &conversation, why);
                if away {
                    away = false;
                    interaction.focus = None;
                    work.emitter.focus(interaction);
                } else if interaction.focus == Some(conversation.id) {
                    interaction.focus = heir;
                    if heir.is_some() {
                        work.emitter.focus(interaction);
                    }
                }
            }
        }
    }
    ends
}

/// The first conversation that stays.
fn heir(interaction: &InteractionNode, fates: &[ConversationFate<'_>]) -> Option<u64> {
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

fn end_conversation(work: &mut Work<'_>, conversation: &ConversationNode, why: Option<(Reason, Option<Cause>)>) {
    let back = work.emitter.enter_conversation(conversation.id);
    work.emitter.conversation_state(ConversationState::Ended, conversation.muted);
    work.emitter.conversation_disposed(why);
    work.emitter.leave(back);
}

fn change_conversation(work: &mut Work<'_>, conversation: &mut ConversationNode, change: &ConversationChange<'_>) {
    let back = work.emitter.enter_conversation(conversation.id);
    let muted = change.stated.muted.unwrap_or(conversation.muted);
    if (change.state, muted) != (conversation.state, conversation.muted) {
        (conversation.state, conversation.muted) = (change.state, muted);
        work.emitter.conversation_state(conversation.state, conversation.muted);
    }
    if let Some(stated) = &change.members {
        conversation.members.retain(|member| {
            let stays = stated.iter().any(|stated| stated.key == *member.key && is_same(member, stated));
            if !stays {
                work.emitter.member_removed(member);
            }
            stays
        });
        for stated in stated {
            if !conversation.members.iter().any(|member| *member.key == stated.key) {
                let member = member(work, stated);
                work.emitter.member_added(&member);
                push(&mut conversation.members, member);
            }
        }
    }
    work.emitter.leave(back);
}

fn is_same(member: &MemberNode, stated: &report::Member) -> bool {
    member.address.as_deref() == stated.address.as_deref().map(limits::cut)
        && member.name.as_deref() == stated.name.as_deref().map(limits::cut)
        && member.role == stated.role
}

fn member(work: &mut Work<'_>, stated: &report::Member) -> MemberNode {
    MemberNode {
        id: work.new_id(),
        key: stated.key.as_str().into(),
        address: work.text(stated.address.as_deref()),
        name: work.text(stated.name.as_deref()),
        role: stated.role,
    }
}

fn open_conversation(work: &mut Work<'_>, interaction: &mut InteractionNode, opening: Opening<'_>) -> u64 {
    let id = work.new_id();
    let mut members = Vec::with_capacity(opening.members.len());
    for stated in opening.members {
        members.push(member(work, stated));
    }
    let conversation = ConversationNode {
        id,
        key: opening.stated.key.as_str().into(),
        role: opening.role,
        state: opening.state,
        muted: opening.stated.muted.unwrap_or(false),
        members,
        told: Actions::default(),
    };
    work.emitter.conversation_created(&conversation);
    push(&mut interaction.conversations, conversation);
    interaction.conversations.sort_by_key(|conversation| conversation.role != Role::Primary);
    interaction.focus.get_or_insert(id);
    id
}

/// Says the new conversations, and the focus where it moves.
fn open_and_focus(work: &mut Work<'_>, interaction: &mut InteractionNode, plan: &mut InteractionPlan<'_>, ends: &Ends) {
    let mut told = interaction.focus;
    let had_none = interaction.focus.is_none() && !ends.any;
    let mut consult = None;
    for opening in std::mem::take(&mut plan.openings) {
        let role = opening.role;
        let id = open_conversation(work, interaction, opening);
        if role == Role::Consult {
            consult = Some(id);
        }
    }
    if had_none {
        told = interaction.focus; // the first one has it without a word
    }
    // a retrieved one that ended in the same report cannot be: what ends does not change
    if let Some(id) = consult.or(ends.retrieved) {
        interaction.focus = Some(id);
    }
    if interaction.focus != told && interaction.focus.is_some() {
        work.emitter.focus(interaction);
    }
}

// ---- call data and address ----

/// Sets what the statement says of the call data, as far as there is room; what has changed.
fn set_data<'r>(work: &mut Work<'_>, interaction: &mut InteractionNode, stated: &'r report::Interaction) -> Patch<'r> {
    let entries = stated.data.iter().map(|(key, value)| (key.as_str(), value.as_ref()));
    let mut room = work.room_for_data;
    let (changes, left_out) = interaction.data.set(entries, work.is_own_data(), &mut room);
    work.room_for_data = room;
    if left_out > 0 {
        work.diagnostics.add(DiagnosticKind::TooLong, || {
            format!("{left_out} entries of the data of interaction {}", interaction.key)
        });
    }
    changes
}

fn url<'r>(work: &mut Work<'_>, stated: &'r report::Interaction) -> Option<&'r str> {
    let url = stated.url.as_deref().filter(|url| !url.is_empty())?;
    if url.len() > limits::URL {
        work.diagnostics.add(DiagnosticKind::TooLong, || format!("url of interaction {}", stated.key));
        return None;
    }
    Some(url)
}
