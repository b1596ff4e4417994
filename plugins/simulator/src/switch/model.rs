//! The things in the switch: agents, channels, contacts, interactions, calls.
//!
//! Owns: what is remembered, and questions about one thing that need no other. Must never: decide what happens. It is
//! filled and changed by the other files of this folder.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Code, Json,
    report::{
        Availability, Cause, ChannelType, ConversationState, Direction, InteractionState, Key, MemberRole, Pending,
        Reason, Recording, Role, Supervision,
    },
};

use super::{
    lists::AgentPresence,
    message::{SessionNo, Ticket},
    table::{Name, name},
};

/// When, in milliseconds; and a number, by which timers of one moment fire in the order in which they were set.
pub(super) type TimerKey = (u64, u64);

name! {
    /// An agent who has something in the switch.
    AgentNo
    /// A channel.
    ChannelNo
    /// An agent's part in a contact.
    InteractionNo
    /// A call.
    CallNo
}

/// A party of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PartyNo(pub(super) u64);

/// How a thing is named to the host, and the host names it in commands.
pub(super) fn key(kind: &str, number: u64) -> Key {
    let mut digits = itoa::Buffer::new();
    [kind, "-", digits.format(number)].concat()
}

/// A session, from log-in to log-out.
#[derive(Debug)]
pub(super) struct Session {
    /// Whose.
    pub(super) agent_id: String,
    /// Set once it has started.
    pub(super) agent: Option<AgentNo>,
}

/// An agent who has started a session, or has left one with calls in it.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: String,
    /// The session at work; none after it was left.
    pub(super) session: Option<SessionNo>,
    pub(super) extension: Option<String>,
    /// Oldest first.
    pub(super) groups: Vec<AgentGroup>,
    /// Oldest first.
    pub(super) channels: Vec<ChannelNo>,
    /// What the host knows and is gone now.
    pub(super) gone_groups: Vec<Key>,
    /// What the host knows and is gone now.
    pub(super) gone_channels: Vec<Key>,
    /// The host's picture is old: nothing but a snapshot may be reported.
    pub(super) stale: bool,
    /// Something is to be reported.
    pub(super) dirty: bool,
    /// What becomes of the next command, instead of being carried out.
    pub(super) trouble: Option<Trouble>,
    /// How colleagues see the agent.
    pub(super) presence: AgentPresence,
}

/// What becomes of a command that is not carried out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// It fails.
    Refuse(Code),
    /// It is never answered.
    Silence,
}

/// A channel group of an agent.
#[derive(Debug)]
pub(super) struct AgentGroup {
    pub(super) name: String,
    pub(super) told: bool,
}

/// Whether an agent is logged in on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Inactive,
    Active,
    Unavailable,
}

/// Whether the agent takes contacts, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) availability: Availability,
    pub(super) code: Option<String>,
    pub(super) desc: Option<String>,
}

impl Readiness {
    pub(super) const fn ready() -> Self {
        Self { availability: Availability::Ready, code: None, desc: None }
    }

    pub(super) const fn not_ready(code: Option<String>, desc: Option<String>) -> Self {
        Self { availability: Availability::NotReady, code, desc }
    }

    pub(super) const fn acw() -> Self {
        Self { availability: Availability::Acw, code: None, desc: None }
    }

    pub(super) fn pending(&self) -> Pending {
        Pending::new(self.availability, self.code.clone(), self.desc.clone())
    }
}

/// A phone, a chat or an e-mail endpoint of an agent.
#[derive(Debug)]
pub(super) struct Channel {
    /// Its endpoint is its key.
    pub(super) endpoint: Key,
    pub(super) kind: ChannelType,
    pub(super) name: String,
    pub(super) group: Option<Key>,
    pub(super) agent: AgentNo,
    pub(super) presence: Presence,
    pub(super) readiness: Readiness,
    pub(super) since: Since<(Presence, Readiness)>,
    /// What will be after the contact that is going on.
    pub(super) pending: Option<Readiness>,
    /// What it was before after-call work, and will be again.
    pub(super) before_acw: Option<Readiness>,
    /// The queues that it takes contacts from, by their place in the settings; none: all.
    pub(super) queues: Vec<usize>,
    /// Their names, as the agent gave them.
    pub(super) queue_text: Option<String>,
    /// Oldest first.
    pub(super) interactions: Vec<InteractionNo>,
    /// Since when it has been waiting for a contact.
    pub(super) idle_since: Option<u64>,
    /// A dial needs a skill.
    pub(super) ask_skill: bool,
    /// The host knows it.
    pub(super) told: bool,
    /// Its status is to be reported.
    pub(super) dirty: bool,
}

/// A customer contact, on its way through queues and agents.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    /// The platform's id, `contactId` in the data.
    pub(super) id: String,
    pub(super) kind: ChannelType,
    pub(super) from: String,
    /// The queue through which it came, by its place in the settings.
    pub(super) queue: Option<usize>,
    pub(super) data: BTreeMap<String, Json>,
    /// When it arrived, in the order of all arrivals.
    pub(super) arrived: u64,
    /// Since when it waits in its queue, or when it arrived.
    pub(super) waits_since: u64,
    /// The call in which the customer waits.
    pub(super) call: Option<CallNo>,
    /// Channels that it is not offered to again for a while.
    pub(super) refused: Vec<ChannelNo>,
    /// When the customer gives up waiting.
    pub(super) patience: Option<TimerKey>,
}

/// A state, and since when it holds.
#[derive(Debug)]
pub(super) struct Since<T> {
    state: T,
    /// When it began.
    pub(super) at: u64,
}

impl Since<(Presence, Readiness)> {
    /// Whether it is another state now.
    pub(super) fn is_other(&self, presence: Presence, readiness: &Readiness) -> bool {
        self.state.0 != presence || self.state.1 != *readiness
    }
}

impl<T: PartialEq> Since<T> {
    pub(super) const fn new(state: T, now: u64) -> Self {
        Self { state, at: now }
    }

    /// Looks which state it is in now.
    pub(super) fn look(&mut self, state: T, now: u64) {
        if self.state != state {
            *self = Self { state, at: now };
        }
    }
}

/// An agent's part in a contact.
#[derive(Debug)]
pub(super) struct Interaction {
    pub(super) key: Key,
    pub(super) channel: ChannelNo,
    pub(super) direction: Direction,
    pub(super) state: InteractionState,
    pub(super) since: Since<InteractionState>,
    pub(super) reason: Option<Reason>,
    pub(super) cause: Option<Cause>,
    pub(super) recording: Recording,
    pub(super) url: Option<String>,
    pub(super) contact: Contact,
    pub(super) disposition: Option<String>,
    /// It lets the agent hear a colleague's call: whose, and how.
    pub(super) supervises: Option<Supervision>,
    /// The calls of those who hear this one; some may be over.
    pub(super) heard_by: Vec<CallNo>,
    /// The agent's leg is muted, hence every conversation.
    pub(super) muted: bool,
    /// The primary first; ended ones until they are reported.
    pub(super) legs: Vec<Leg>,
    /// The end of the offer, or of after-call work.
    pub(super) timer: Option<TimerKey>,
    /// Nothing is left for the agent; it stays until that is reported.
    pub(super) gone: bool,
    /// The host knows it.
    pub(super) told: bool,
    /// Something is to be reported.
    pub(super) dirty: bool,
    /// Call data that changed since the last report.
    pub(super) patch: BTreeMap<String, Option<Json>>,
}

impl Interaction {
    /// It is offered, being dialled or going on.
    pub(super) fn is_live(&self) -> bool {
        !self.gone && self.state < InteractionState::Ended
    }

    /// The conversation of that role, if it lives.
    pub(super) fn leg(&self, role: Role) -> Option<&Leg> {
        self.live_legs().find(|leg| leg.role == role)
    }

    /// The conversation in that call, if it lives.
    pub(super) fn leg_in(&self, call: CallNo) -> Option<&Leg> {
        self.live_legs().find(|leg| leg.call == call)
    }

    pub(super) fn leg_in_mut(&mut self, call: CallNo) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.call == call && leg.state != ConversationState::Ended)
    }

    /// The agent talks, but not in that call.
    pub(super) fn talks_but_in(&self, call: CallNo) -> bool {
        self.legs.iter().any(|leg| leg.call != call && leg.state == ConversationState::Talking)
    }

    pub(super) fn live_legs(&self) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(|leg| leg.state != ConversationState::Ended)
    }

    /// Another contact is dealt with from now on: its data replace what was there.
    pub(super) fn adopt(&mut self, contact: &Contact) {
        for (key, value) in &contact.data {
            if self.contact.data.get(key) != Some(value) {
                self.patch.insert(key.clone(), Some(value.clone()));
            }
        }
        for key in self.contact.data.keys() {
            if !contact.data.contains_key(key) {
                self.patch.insert(key.clone(), None);
            }
        }
        let kept = (self.contact.call, std::mem::take(&mut self.contact.refused));
        self.contact = contact.clone();
        (self.contact.call, self.contact.refused) = kept;
    }
}

/// An agent's part in a call: a conversation.
#[derive(Debug)]
pub(super) struct Leg {
    /// The call's key.
    pub(super) key: Key,
    /// The key under which the host knows it, if it is another one.
    pub(super) was: Option<Key>,
    /// The key before this one: commands may still carry it.
    pub(super) former: Option<Key>,
    pub(super) role: Role,
    pub(super) state: ConversationState,
    pub(super) since: Since<ConversationState>,
    pub(super) reason: Option<Reason>,
    pub(super) cause: Option<Cause>,
    pub(super) call: CallNo,
    /// The host knows it.
    pub(super) told: bool,
    /// Its members are to be reported.
    pub(super) members_dirty: bool,
}

impl Leg {
    /// The parties hear each other, or would but for hold.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state, ConversationState::Talking | ConversationState::Held)
    }
}

/// A call: parties who hear each other, or are being called.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: Key,
    /// In the order in which they came.
    pub(super) parties: Vec<Party>,
}

/// A party of a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) no: PartyNo,
    pub(super) address: String,
    pub(super) name: Option<String>,
    pub(super) role: MemberRole,
    /// The others do not hear it.
    pub(super) muted: bool,
    /// It waits while the others go on.
    pub(super) held: bool,
    /// The agent's part, where the party is an agent in this switch.
    pub(super) agent: Option<InteractionNo>,
    /// It is being called.
    pub(super) ringing: Option<Ringing>,
    /// When it will answer or fail.
    pub(super) timer: Option<TimerKey>,
}

/// Why a party is being called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ringing {
    /// Someone dials it.
    Called,
    /// Someone calls it into a conference, and waits for the answer to this request.
    Invited(Ticket),
    /// The others wait for it: a contact offered, a call transferred.
    Offered,
}

impl Party {
    /// The key under which the others are told of it. An agent keeps it from call to call, so that a conference is no
    /// parting.
    pub(super) fn member_key(&self) -> Key {
        match self.agent {
            Some(agent) => key("agent", agent.number()),
            None => key("party", self.no.0),
        }
    }
}

impl Call {
    pub(super) fn party(&self, no: PartyNo) -> Option<&Party> {
        self.parties.iter().find(|party| party.no == no)
    }

    pub(super) fn party_mut(&mut self, no: PartyNo) -> Option<&mut Party> {
        self.parties.iter_mut().find(|party| party.no == no)
    }

    /// The party that is this agent's part.
    pub(super) fn party_of(&self, interaction: InteractionNo) -> Option<&Party> {
        self.parties.iter().find(|party| party.agent == Some(interaction))
    }
}
