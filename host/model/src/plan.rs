//! Plans what a report changes of one interaction.
//!
//! Owns the rules by which statements about an interaction become an [`InteractionPlan`]: which conversations end, change
//! or open, and what state follows. Contradictions are settled here (the first statement stands) and noted. Must never say
//! anything: `order.rs` does, from the finished plan.

use jackfield_plugin_api::report::{
    self, ChannelType, ConversationState, Direction, InteractionState, Reason, Recording, Role,
};
use smallvec::SmallVec;

use jackfield_protocol::event::Calls;

use crate::{
    ConversationNode, DiagnosticKind, Diagnostics, InteractionNode,
    emit::{calls, calls_now},
    is_busy, is_live, limits,
    statements::{SmallList, firsts, rekey},
};

/// What is to be changed of one interaction.
pub(crate) struct InteractionPlan<'r> {
    /// The statement about it; none when it is gone by its absence.
    pub(crate) stated: Option<&'r report::Interaction>,
    /// It is disposed of.
    pub(crate) gone: bool,
    /// It was taken and is over, and no earlier report told that it was taken.
    pub(crate) taken_unseen: bool,
    /// The state that it will have (before it is completed, where it is gone).
    pub(crate) state: InteractionState,
    pub(crate) recording: Option<Recording>,
    pub(crate) calls_before: Option<Calls>,
    pub(crate) calls_after: Option<Calls>,
    /// What happens to each of its conversations, in their order.
    pub(crate) fates: Vec<ConversationFate<'r>>,
    /// New conversations, the primary first.
    pub(crate) openings: Vec<NewConversation<'r>>,
}

/// What happens to a conversation.
pub(crate) enum ConversationFate<'r> {
    /// There is no statement about it.
    Stays,
    /// There is a statement about it.
    Changes(ConversationChange<'r>),
    /// It ends, with the statement that says why.
    Ends(Option<&'r report::Conversation>),
}

/// A statement about a conversation that stays.
pub(crate) struct ConversationChange<'r> {
    pub(crate) stated: &'r report::Conversation,
    pub(crate) state: ConversationState,
    pub(crate) members: Option<SmallList<&'r report::Member>>,
    /// Where it stands in the report: of two that contradict each other the first stands.
    place: usize,
}

/// A conversation that will be there.
pub(crate) struct NewConversation<'r> {
    pub(crate) stated: &'r report::Conversation,
    pub(crate) role: Role,
    pub(crate) state: ConversationState,
    pub(crate) members: SmallList<&'r report::Member>,
    place: usize,
}

/// Plans what happens to an interaction. `gone`: it is disposed of, whatever is stated.
pub(crate) fn of<'r>(
    kind: ChannelType,
    interaction: &mut InteractionNode,
    stated: Option<&'r report::Interaction>,
    gone: bool,
    diagnostics: &mut Diagnostics,
) -> InteractionPlan<'r> {
    let was = interaction.state;
    // An offer that was refused or went elsewhere was never taken, even if its end is reported as that of a call.
    let mut gone =
        gone || stated.is_none_or(is_gone) || was == InteractionState::Alerting && stated.is_some_and(was_never_taken);
    let mut said = stated.and_then(|stated| stated.state).filter(|_| !gone);
    if said.is_some_and(|said| said < was) {
        diagnostics
            .add(DiagnosticKind::WentBack, || format!("interaction {} from {was:?} to {said:?}", interaction.key));
        said = None;
    }
    let over = gone || said == Some(InteractionState::Ended);
    let (fates, openings) = conversations(kind, interaction, stated, over, diagnostics);

    let mut state = said.unwrap_or(was);
    if kind == ChannelType::Telephony && was != InteractionState::Ended {
        let live = remaining(interaction, &fates).map(|(conversation, state, _)| (conversation.role, state));
        state = derive(live.chain(openings.iter().map(|opening| (opening.role, opening.state))), Some(was), said);
        // An offered call without conversations that is not reported as over was not taken: there is no after-call work.
        gone |= state == InteractionState::Ended && was == InteractionState::Alerting && said != Some(state);
    }
    if gone && (was < InteractionState::Started || was == InteractionState::Started && went_elsewhere(stated)) {
        state = InteractionState::Ended;
    }
    let recording = match (state, stated.and_then(|stated| stated.recording)) {
        (InteractionState::Ended, _) => Some(Recording::Off),
        // Only calls can be recorded.
        _ if kind != ChannelType::Telephony => Some(Recording::Off),
        (_, stated @ Some(_)) if !gone => stated,
        _ => interaction.recording,
    };
    let members = remaining(interaction, &fates).map(|(_, _, members)| members);
    InteractionPlan {
        stated,
        gone,
        taken_unseen: was == InteractionState::Alerting && said == Some(InteractionState::Ended),
        state,
        recording,
        calls_before: calls_now(interaction),
        calls_after: calls(members.chain(openings.iter().map(|opening| opening.members.len()))),
        fates,
        openings,
    }
}

/// Whether the statement says that the interaction is gone.
pub(crate) fn is_gone(stated: &report::Interaction) -> bool {
    stated.gone || stated.state == Some(InteractionState::Completed)
}

/// Whether the statement is of an offer that is over and that the agent has not taken.
pub(crate) fn was_never_taken(stated: &report::Interaction) -> bool {
    let conversations = stated.conversations.iter().flatten().filter_map(|conversation| conversation.reason);
    stated.state == Some(InteractionState::Ended)
        && stated.direction != Some(Direction::Outbound)
        && stated
            .reason
            .into_iter()
            .chain(conversations)
            .next()
            .is_some_and(|reason| matches!(reason, Reason::Rejected | Reason::Abandoned | Reason::Redirected))
}

/// Whose call the interaction lets the agent hear; only calls can be heard.
pub(crate) fn supervision(kind: ChannelType, stated: &report::Interaction) -> Option<Box<report::Supervision>> {
    let stated = stated.supervises.as_ref().filter(|_| kind == ChannelType::Telephony)?;
    Some(Box::new(report::Supervision::new(limits::cut(&stated.agent), stated.mode)))
}

/// Whether an accepted contact ended otherwise than by the agent's completing it.
fn went_elsewhere(stated: Option<&report::Interaction>) -> bool {
    stated.and_then(|stated| stated.reason).is_some_and(|reason| reason != Reason::Released)
}

/// The conversations that will still be there, each with its state and number of members.
fn remaining<'a>(
    interaction: &'a InteractionNode,
    fates: &'a [ConversationFate<'_>],
) -> impl Iterator<Item = (&'a ConversationNode, ConversationState, usize)> {
    interaction.conversations.iter().zip(fates).filter_map(|(conversation, fate)| match fate {
        ConversationFate::Stays => Some((conversation, conversation.state, conversation.members.len())),
        ConversationFate::Changes(change) => {
            let members = change.members.as_ref().map_or(conversation.members.len(), SmallVec::len);
            Some((conversation, change.state, members))
        }
        ConversationFate::Ends(_) => None,
    })
}

/// A telephony interaction's state from its conversations; it never goes back.
fn derive(
    live: impl Iterator<Item = (Role, ConversationState)>,
    was: Option<InteractionState>,
    said: Option<InteractionState>,
) -> InteractionState {
    let most = live
        .map(|(role, state)| match state {
            _ if role == Role::Consult || is_live(state) => InteractionState::Started,
            ConversationState::Dialing => InteractionState::Dialing,
            _ => InteractionState::Alerting,
        })
        .max();
    match most {
        Some(state) if said != Some(InteractionState::Ended) => {
            state.max(was.unwrap_or(state)).max(said.unwrap_or(state))
        }
        _ => InteractionState::Ended,
    }
}

/// The state in which this statement would create an interaction, and the conversations with which it would; `None`: it
/// does not say enough.
pub(crate) fn if_new<'r>(
    kind: ChannelType,
    stated: &'r report::Interaction,
    diagnostics: &mut Diagnostics,
) -> Option<(InteractionState, Vec<NewConversation<'r>>)> {
    stated.direction?;
    if is_gone(stated) || was_never_taken(stated) {
        return None;
    }
    if kind != ChannelType::Telephony {
        return Some((stated.state.unwrap_or(InteractionState::Alerting), Vec::new()));
    }
    if stated.state == Some(InteractionState::Ended) {
        return Some((InteractionState::Ended, Vec::new()));
    }
    let all = firsts(stated.conversations.as_deref().unwrap_or_default(), limits::LIST, diagnostics);
    let mut openings = openings(all.into_iter().enumerate(), diagnostics);
    one_talks(&mut [], &mut openings, diagnostics);
    let live = openings.iter().map(|opening| (opening.role, opening.state));
    let state = derive(live, None, stated.state);
    (!openings.is_empty()).then_some((state, openings))
}

/// The state in which this statement would create an interaction.
pub(crate) fn state_if_new(kind: ChannelType, stated: &report::Interaction) -> Option<InteractionState> {
    if_new(kind, stated, &mut Diagnostics::new()).map(|(state, _)| state)
}

/// Whether a statement would make an interaction that keeps its channel occupied.
pub(crate) fn is_busy_if_new(kind: ChannelType, stated: &report::Interaction) -> bool {
    state_if_new(kind, stated).is_some_and(is_busy)
}

/// Plans what happens to the conversations.
fn conversations<'r>(
    kind: ChannelType,
    interaction: &mut InteractionNode,
    stated: Option<&'r report::Interaction>,
    over: bool,
    diagnostics: &mut Diagnostics,
) -> (Vec<ConversationFate<'r>>, Vec<NewConversation<'r>>) {
    let list = stated.and_then(|stated| stated.conversations.as_deref());
    if over {
        let why = |conversation: &ConversationNode| {
            let is_it = |stated: &&report::Conversation| {
                *stated.key == *conversation.key || stated.was.as_deref() == Some(&*conversation.key)
            };
            list.unwrap_or_default().iter().find(is_it)
        };
        return (
            interaction.conversations.iter().map(|conversation| ConversationFate::Ends(why(conversation))).collect(),
            vec![],
        );
    }
    let Some(list) = list else {
        return (interaction.conversations.iter().map(|_| ConversationFate::Stays).collect(), vec![]);
    };
    if kind != ChannelType::Telephony || interaction.state == InteractionState::Ended {
        note_misplaced(interaction, list, diagnostics);
        return (vec![], vec![]);
    }
    let stated = firsts(list, limits::LIST, diagnostics);
    rekey(&mut interaction.conversations, &stated);
    let mut stated: SmallList<Option<&'r report::Conversation>> = stated.into_iter().map(Some).collect();
    let mut fates: Vec<ConversationFate<'r>> = interaction
        .conversations
        .iter()
        .map(|conversation| {
            let is_own = |stated: &Option<&report::Conversation>| stated.is_some_and(|it| *it.key == *conversation.key);
            let Some(place) = stated.iter().position(is_own) else { return ConversationFate::Ends(None) };
            match stated[place].take_if(|own| !is_another(conversation, own)) {
                Some(own) => fate(conversation, own, place, diagnostics),
                None => ConversationFate::Ends(None),
            }
        })
        .collect();
    let new = stated.into_iter().enumerate().filter_map(|(place, stated)| Some((place, stated?)));
    let mut openings = openings(new, diagnostics);
    one_of_a_role(&interaction.conversations, &mut fates, &mut openings, diagnostics);
    one_talks(&mut fates, &mut openings, diagnostics);
    (fates, openings)
}

pub(crate) fn note_misplaced(
    interaction: &InteractionNode,
    list: &[report::Conversation],
    diagnostics: &mut Diagnostics,
) {
    if list.iter().any(|stated| stated.state != Some(ConversationState::Ended)) {
        diagnostics.add(DiagnosticKind::Misplaced, || format!("conversations in interaction {}", interaction.key));
    }
}

/// Whether a live call is shown under the key in another role.
fn is_another(conversation: &ConversationNode, stated: &report::Conversation) -> bool {
    stated.role.is_some_and(|role| role != conversation.role)
        && stated.state.is_some_and(|state| state != ConversationState::Ended)
}

fn fate<'r>(
    conversation: &ConversationNode,
    stated: &'r report::Conversation,
    place: usize,
    diagnostics: &mut Diagnostics,
) -> ConversationFate<'r> {
    if stated.role.is_some_and(|role| role != conversation.role) {
        diagnostics.add(DiagnosticKind::CannotChange, || format!("role of conversation {}", conversation.key));
    }
    let mut state = stated.state.unwrap_or(conversation.state);
    if state == ConversationState::Ended {
        return ConversationFate::Ends(Some(stated));
    }
    if rank(state) < rank(conversation.state) {
        diagnostics.add(DiagnosticKind::WentBack, || {
            format!("conversation {} from {:?} to {state:?}", conversation.key, conversation.state)
        });
        state = conversation.state;
    }
    ConversationFate::Changes(ConversationChange { stated, state, members: members(stated, diagnostics), place })
}

fn rank(state: ConversationState) -> u8 {
    match state {
        ConversationState::Alerting => 0,
        ConversationState::Dialing => 1,
        ConversationState::Talking | ConversationState::Held => 2,
        ConversationState::Ended => 3,
    }
}

fn members<'r>(
    stated: &'r report::Conversation,
    diagnostics: &mut Diagnostics,
) -> Option<SmallList<&'r report::Member>> {
    stated.members.as_deref().map(|members| firsts(members, limits::MEMBERS.report, diagnostics))
}

/// New conversations of a report; one of a role.
fn openings<'r>(
    stated: impl Iterator<Item = (usize, &'r report::Conversation)>,
    diagnostics: &mut Diagnostics,
) -> Vec<NewConversation<'r>> {
    let mut openings: Vec<NewConversation<'r>> = Vec::new();
    for (place, stated) in stated {
        let (role, state) = match (stated.role, stated.state) {
            (_, Some(ConversationState::Ended)) => continue,
            (Some(role), Some(state)) => (role, state),
            _ => {
                diagnostics.add(DiagnosticKind::Unknown, || format!("conversation {}", stated.key));
                continue;
            }
        };
        if openings.iter().any(|opening| opening.role == role) {
            note_role(role, diagnostics);
            continue;
        }
        let members = members(stated, diagnostics).unwrap_or_default();
        openings.push(NewConversation { stated, role, state, members, place });
    }
    openings.sort_by_key(|opening| opening.role != Role::Primary);
    openings
}

fn note_role(role: Role, diagnostics: &mut Diagnostics) {
    diagnostics.add(DiagnosticKind::Contradiction, || format!("two conversations in the role {role:?}"));
}

/// Of a conversation that stays and a new one in its role the first in the report stands.
fn one_of_a_role<'r>(
    conversations: &[ConversationNode],
    fates: &mut [ConversationFate<'r>],
    openings: &mut Vec<NewConversation<'r>>,
    diagnostics: &mut Diagnostics,
) {
    for (conversation, fate) in conversations.iter().zip(fates) {
        let ConversationFate::Changes(change) = fate else { continue };
        let Some(n) = openings.iter().position(|opening| opening.role == conversation.role) else { continue };
        if change.place < openings[n].place {
            note_role(conversation.role, diagnostics);
            openings.remove(n);
        } else {
            *fate = ConversationFate::Ends(None);
        }
    }
}

/// One conversation talks: the first in the report. The other is held.
fn one_talks(fates: &mut [ConversationFate<'_>], openings: &mut [NewConversation<'_>], diagnostics: &mut Diagnostics) {
    let mut first: Option<(usize, &mut ConversationState)> = None;
    let changes = fates.iter_mut().filter_map(|fate| match fate {
        ConversationFate::Changes(change) => Some((change.place, &mut change.state)),
        _ => None,
    });
    let all = changes.chain(openings.iter_mut().map(|opening| (opening.place, &mut opening.state)));
    for one in all.filter(|(_, state)| **state == ConversationState::Talking) {
        first = Some(match first {
            None => one,
            Some(other) => {
                let (first, second) = if one.0 < other.0 { (one, other) } else { (other, one) };
                diagnostics.add(DiagnosticKind::Contradiction, || "two conversations talk".to_owned());
                *second.1 = ConversationState::Held;
                first
            }
        });
    }
}
