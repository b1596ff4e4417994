//! What the switch knows: agents' desks and phones, the calls on them, the rooms where parties meet.
//!
//! Owns: the shapes, and what can be read from one of them alone. Must never: send anything. The model is logical: it
//! says who talks to whom; [`converge`](super::converge) makes Asterisk agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use jackfield_plugin_api::{
    Json, Timestamp,
    report::{Cause, ConversationState, Direction, MemberRole, Reason, Role, Supervision},
};
use serde::{Deserialize, Serialize};

use super::queue_history::Entry;
use crate::ari::Caller;

pub(crate) type ChannelId = String;
/// The extension, as the desktop names it; also the key of the channel in reports.
pub(crate) type PhoneKey = String;
pub(crate) type RoomId = u64;
pub(crate) type CommandId = u64;

/// An agent who is logged in, or was a moment ago.
#[derive(Debug)]
pub(crate) struct Desk {
    /// `None`: nobody watches; the agent's calls stay until `keep_until`.
    pub(crate) session: Option<String>,
    /// Oldest first.
    pub(crate) phones: Vec<PhoneKey>,
    pub(crate) keep_until: Option<Instant>,
}

/// Whether the agent works on a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    Inactive,
    Active,
    /// The agent is logged in, but the phone cannot be reached; it is called again.
    Lost,
}

/// The connection to the agent's phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Leg {
    None,
    Calling(ChannelId),
    Up(ChannelId),
}

impl Leg {
    pub(crate) fn channel(&self) -> Option<&ChannelId> {
        match self {
            Self::None => None,
            Self::Calling(channel) | Self::Up(channel) => Some(channel),
        }
    }

    pub(crate) fn up(&self) -> Option<&ChannelId> {
        match self {
            Self::Up(channel) => Some(channel),
            _ => None,
        }
    }
}

/// Whether the agent takes contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Availability {
    Ready,
    NotReady { code: Option<String>, desc: Option<String> },
}

impl Availability {
    pub(crate) const NOT_READY: Self = Self::NotReady { code: None, desc: None };
}

/// After-call work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrapUp {
    /// `None`: until the agent says so.
    pub(crate) until: Option<Instant>,
}

/// An agent's phone: a channel of the protocol.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) key: PhoneKey,
    pub(crate) agent: String,
    /// What Asterisk dials.
    pub(crate) endpoint: String,
    pub(crate) work: Work,
    pub(crate) leg: Leg,
    /// The activation, or the call, that waits for the leg.
    pub(crate) waiting: Option<LegWaiter>,
    /// Asterisk said that the leg is being hung up; its end with the cause follows.
    pub(crate) hanging_up: bool,
    /// When the phone last asked for a transfer.
    pub(crate) refer_at: Option<Instant>,
    pub(crate) recall_at: Option<Instant>,
    /// Until when the leg rings.
    pub(crate) rings_until: Option<Instant>,
    /// Asterisk cannot reach the phone; from then on its leg is taken for dead.
    pub(crate) unreachable: Option<Instant>,
    /// The phone has calls that are not ours.
    pub(crate) elsewhere: bool,
    pub(crate) recalls: u32,
    pub(crate) queues: BTreeSet<String>,
    pub(crate) availability: Availability,
    pub(crate) pending: Option<Availability>,
    pub(crate) wrap_up: Option<WrapUp>,
    pub(crate) ready_since: Instant,
    /// Calls from queues that were taken, for the strategy.
    pub(crate) taken: u64,
    pub(crate) muted: bool,
    /// Oldest first; at most one that is not over.
    pub(crate) interactions: Vec<Interaction>,
    /// Over and nothing left, not reported yet.
    pub(crate) gone: Vec<Interaction>,
    /// Commands under way whose end must be reported as one with what they change.
    pub(crate) holds: u32,
    /// What Asterisk was told.
    pub(crate) told_ringing: bool,
    pub(crate) told_music: bool,
    pub(crate) told_muted: bool,
    pub(crate) told_record: String,
    /// Of which call the leg was told; empty: none. `None`: not known.
    pub(crate) told_call: Option<String>,
    pub(crate) told_transfers: Option<TransfersBy>,
}

/// Who carries out the transfers that a phone asks for with REFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransfersBy {
    /// We: what Asterisk does by itself goes past the desktop.
    Us,
    /// Asterisk: beside our call the phone has one that is not ours, and only Asterisk can connect the two.
    Asterisk,
}

impl TransfersBy {
    /// As `PJSIP_TRANSFER_HANDLING` takes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Us => "ari-only",
            Self::Asterisk => "core",
        }
    }
}

/// Who waits for an agent's leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LegWaiter {
    Activate(CommandId),
    /// With `leg = "per-call"`: the leg first, then the call.
    Dial {
        command: CommandId,
        destination: String,
        queue: Option<String>,
    },
    /// With `leg = "per-call"`: the phone rings for an offer.
    Offer,
}

impl Phone {
    /// What a channel of another kind is told, its phones are not.
    pub(super) fn is_sip(&self) -> bool {
        self.endpoint.starts_with("PJSIP/")
    }

    /// `None`: it cannot ask.
    pub(super) fn transfers_by(&self) -> Option<TransfersBy> {
        let may_connect = self.elsewhere && self.at_hand().is_some();
        self.is_sip().then_some(if may_connect { TransfersBy::Asterisk } else { TransfersBy::Us })
    }

    pub(crate) fn live(&self) -> Option<&Interaction> {
        self.interactions.iter().find(|interaction| interaction.ended.is_none())
    }

    pub(crate) fn live_mut(&mut self) -> Option<&mut Interaction> {
        self.interactions.iter_mut().find(|interaction| interaction.ended.is_none())
    }

    pub(crate) fn interaction_mut(&mut self, key: &str) -> Option<&mut Interaction> {
        self.interactions.iter_mut().find(|interaction| interaction.key == key)
    }

    /// The room in which the leg belongs.
    pub(crate) fn engaged(&self) -> Option<RoomId> {
        self.engaged_conversation().map(|conversation| conversation.room)
    }

    fn engaged_conversation(&self) -> Option<&Conversation> {
        let conversations = || self.live().into_iter().flat_map(|interaction| &interaction.conversations);
        let in_state = |state| conversations().find(|conversation| conversation.state == state);
        in_state(ConversationState::Talking).or_else(|| in_state(ConversationState::Dialing))
    }

    /// The call that the phone's own transfer means: phones put it on hold before they make another one. Of two on hold it is
    /// the newer, as for the hold key.
    pub(crate) fn at_hand(&self) -> Option<&Conversation> {
        let held = || {
            let conversations = &self.live()?.conversations;
            conversations.iter().rfind(|conversation| conversation.state == ConversationState::Held)
        };
        self.engaged_conversation().or_else(held)
    }

    /// Whether a call can be brought to the phone.
    pub(crate) fn is_free(&self) -> bool {
        self.work == Work::Active
            && self.live().is_none()
            && self.waiting.is_none()
            && self.unreachable.is_none()
            && !self.elsewhere
    }

    pub(crate) fn is_offered(&self) -> bool {
        self.live().is_some_and(|interaction| {
            interaction.conversations.iter().any(|conversation| conversation.state == ConversationState::Alerting)
        })
    }
}

/// A customer contact of one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Interaction {
    pub(crate) key: String,
    pub(crate) direction: Direction,
    /// The agent took it or began it.
    pub(crate) taken: bool,
    /// The queue it came from or was dialled for.
    pub(crate) queue: Option<String>,
    pub(crate) data: BTreeMap<String, Json>,
    pub(crate) conversations: Vec<Conversation>,
    /// It lets the agent hear a colleague's call: whose, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) supervises: Option<Supervision>,
    /// Over, not reported yet.
    #[serde(skip)]
    pub(crate) closed: Vec<Closed>,
    pub(crate) ended: Option<(Reason, Option<Cause>)>,
}

impl Interaction {
    pub(crate) fn conversation(&self, key: &str) -> Option<&Conversation> {
        self.conversations.iter().find(|conversation| conversation.key == key)
    }

    pub(crate) fn conversation_mut(&mut self, key: &str) -> Option<&mut Conversation> {
        self.conversations.iter_mut().find(|conversation| conversation.key == key)
    }

    pub(crate) fn with_role(&self, role: Role) -> Option<&Conversation> {
        self.conversations.iter().find(|conversation| conversation.role == role)
    }
}

/// A conversation that is over.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) key: String,
    pub(crate) reason: Reason,
    pub(crate) cause: Option<Cause>,
}

/// An agent's share in a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub(crate) key: String,
    pub(crate) role: Role,
    pub(crate) state: ConversationState,
    pub(crate) room: RoomId,
}

/// Where parties and agents meet: a bridge in Asterisk once two can hear each other or one must be entertained.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) parties: Vec<ChannelId>,
    pub(crate) seats: Vec<Seat>,
    /// The queue that the customer came from.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) recording: Option<Recording>,
    /// Asterisk is being asked to record it.
    pub(crate) starts_recording: bool,
    /// Which customer's call this belongs to: his channel; `None` where no customer has come yet.
    pub(crate) call: Option<ChannelId>,
    /// What Asterisk was told.
    pub(crate) bridge: String,
    pub(crate) told_bridge: bool,
    pub(crate) told_music: bool,
    pub(crate) placed: BTreeSet<ChannelId>,
    /// Three or more have been in the bridge, a recording counted, since those came who are there.
    pub(crate) mixed: bool,
}

impl Room {
    /// Whether Asterisk mixes what is said.
    pub(crate) fn is_mixed(&self) -> bool {
        self.placed.len() + usize::from(self.recording.is_some()) > 2
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.recording.is_some() || self.starts_recording
    }
}

/// An agent in a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seat {
    pub(crate) phone: PhoneKey,
    pub(crate) interaction: String,
    pub(crate) conversation: String,
    /// While it rings.
    #[serde(skip)]
    pub(crate) until: Option<Instant>,
    /// The conference that waits for this agent's answer.
    #[serde(skip)]
    pub(crate) waiter: Option<CommandId>,
}

/// A recording of a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) paused: bool,
}

/// A place in a queue.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) queue: String,
    pub(crate) since: Instant,
    /// Still, or again, waiting for an agent.
    pub(crate) waiting: bool,
    pub(crate) overflow_at: Option<Instant>,
    /// Call data still to be read from Asterisk.
    pub(crate) unread: usize,
    /// Who is not to be offered it for a while.
    pub(crate) refused: BTreeMap<PhoneKey, Instant>,
    /// When the caller is told the position.
    pub(crate) announce_at: Option<Instant>,
    /// The caller was told how long it will take.
    pub(crate) told_holdtime: bool,
    /// When the caller came, in milliseconds since 1970: `since` as it outlives this process.
    pub(crate) arrived: u64,
    /// The caller has hung up and keeps this place until called back.
    pub(crate) is_callback: bool,
    pub(super) wish: Wish,
    /// For the history; `None` once the caller's last way into the queue has come to its end.
    pub(super) entry: Option<Entry>,
}

impl Ticket {
    /// A caller on the line waits.
    pub(crate) fn is_on_line(&self) -> bool {
        self.waiting && !self.is_callback
    }

    pub(crate) fn new(queue: &str, since: Instant) -> Self {
        Self {
            queue: queue.to_owned(),
            since,
            waiting: true,
            overflow_at: None,
            unread: 0,
            refused: BTreeMap::new(),
            announce_at: None,
            told_holdtime: false,
            arrived: Timestamp::now().0,
            is_callback: false,
            wish: Wish::None,
            entry: None,
        }
    }
}

/// Whether a caller who waits wants to be called back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    None,
    /// The key was pressed.
    Wanted,
    /// Asterisk is being asked to keep it.
    Asked,
}

/// How far a party's call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PartyState {
    /// Has hung up, and is to be called: there is no channel yet.
    Away,
    /// Called us and is not answered.
    Waiting,
    /// We call it.
    Dialing,
    Up,
}

/// Someone at the other end: a customer or an outside number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Party {
    pub(crate) number: String,
    pub(crate) name: String,
    pub(crate) role: MemberRole,
    pub(crate) state: PartyState,
    pub(crate) room: RoomId,
    pub(crate) data: BTreeMap<String, Json>,
    /// The conference that waits for this party's answer.
    #[serde(skip)]
    pub(crate) waiter: Option<CommandId>,
    /// The cause that Asterisk named before the channel's end.
    #[serde(skip)]
    pub(crate) cause: Option<u16>,
    /// Until when it rings.
    #[serde(skip)]
    pub(crate) rings_until: Option<Instant>,
    /// How often it was renamed: a member of the protocol keeps its address, so who is renamed is another.
    pub(crate) renamed: u32,
    /// The others do not hear it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) muted: bool,
    /// It waits with music while the others go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
    /// Asterisk was told to play music to it.
    #[serde(skip)]
    pub(crate) told_music: bool,
    /// It is the ear of a supervisor, and ends with this interaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) supervises: Option<String>,
    /// It is called back: which callback this is, until that is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callback: Option<String>,
    /// What Asterisk was told to keep of it.
    #[serde(skip)]
    pub(crate) told_record: String,
    /// And of which call it was told. `None`: of none, or that is not known.
    #[serde(skip)]
    pub(crate) told_call: Option<String>,
}

impl Party {
    /// The key under which it is a member of a conversation. `channel`: its own.
    pub(crate) fn member_key(&self, channel: &str) -> String {
        if self.renamed == 0 { channel.to_owned() } else { format!("{channel}/{}", self.renamed) }
    }

    /// Takes over a number and a name, as far as there are any. `true`: somebody else is shown now.
    pub(crate) fn rename(&mut self, who: &Caller) -> bool {
        let before = (self.number.clone(), self.name.clone());
        for (known, new) in [(&mut self.number, &who.number), (&mut self.name, &who.name)] {
            if !new.is_empty() {
                known.clone_from(new);
            }
        }
        let changed = before != (self.number.clone(), self.name.clone());
        self.renamed += u32::from(changed);
        changed
    }

    pub(crate) fn new(who: &Caller, role: MemberRole, state: PartyState, room: RoomId) -> Self {
        Self {
            number: who.number.clone(),
            name: who.name.clone(),
            role,
            state,
            room,
            data: BTreeMap::new(),
            waiter: None,
            cause: None,
            rings_until: None,
            renamed: 0,
            muted: false,
            held: false,
            told_music: false,
            supervises: None,
            callback: None,
            told_record: String::new(),
            told_call: None,
        }
    }
}

/// Whose a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    Leg(PhoneKey),
    Party,
}
