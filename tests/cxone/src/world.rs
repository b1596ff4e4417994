//! All that the emulated CXone knows at a moment: tokens, agent sessions, contacts, faults, counts.
//!
//! One lock guards it; nothing here waits. What is to happen later is put into [`World::timers`], which whoever held the
//! lock starts afterwards. Events go from here into the queues of the agent's clients, where polls take them from.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    behaviour::Place,
    callbacks::Callback,
    clock::{self, Clock},
    contacts::Leg,
    data::{AgentId, Data, Media, UnavailableCode},
    faults::Faults,
    queue::Client,
};

/// Something that happens to the world.
pub(crate) type Effect = Box<dyn FnOnce(&mut World) + Send>;

/// Everything.
pub(crate) struct World {
    /// Who there is.
    pub data: Arc<Data>,
    /// What time it is.
    pub clock: Clock,
    /// Access tokens: whose, and until when.
    pub tokens: HashMap<String, (AgentId, u64)>,
    /// Refresh tokens.
    pub refresh: HashMap<String, AgentId>,
    /// Agent sessions.
    pub sessions: HashMap<AgentId, Session>,
    /// Every session id that was handed out and is still honoured: whose, which client, which generation.
    pub session_ids: HashMap<String, SessionRef>,
    /// Contacts, as each agent sees them.
    pub legs: Vec<Leg>,
    /// Entries of dynamic books: book, entry, when it changed, whether it is deleted.
    pub entries: Vec<DynamicEntry>,
    /// Contacts that wait, by skill, where the control endpoint has set it; and when it changed.
    pub queued: BTreeMap<u64, (u64, u64)>,
    /// Contacts that an agent was told of.
    pub told: HashSet<(AgentId, u64)>,
    /// When an agent's state changed last.
    pub changed: BTreeMap<AgentId, u64>,
    /// Signals that were sent: contact and parameters, in order.
    pub signals: Vec<(u64, Vec<(String, String)>)>,
    /// Scripts that were started.
    pub started_scripts: Vec<u64>,
    /// Tones that were sent, with how long each and the pause behind it last, in milliseconds.
    pub tones: Vec<(String, u64, u64)>,
    /// Dispositions that were set: contact and number.
    pub dispositions: Vec<(u64, u64)>,
    /// All that was said with each of them.
    pub disposition_details: Vec<Value>,
    /// Tags that were set: contact and numbers.
    pub tags: Vec<(u64, Vec<u64>)>,
    /// Supervisors' doings: verb, supervisor, agent.
    pub supervision: Vec<(String, AgentId, AgentId)>,
    /// Requests that came where `/token/whoami` leads.
    pub told_where: u64,
    /// The longest that a poll has asked to wait, in seconds.
    pub longest_poll: u64,
    /// Voice mails that were played: contact and position.
    pub played: Vec<(u64, u64)>,
    /// Messages for agents.
    pub messages: Vec<(AgentId, Value)>,
    /// Callbacks that were promised.
    pub callbacks: Vec<Callback>,
    /// Authorization codes: whose, the challenge, and where to they were sent.
    pub codes: HashMap<String, (AgentId, String, String)>,
    /// What is to go wrong.
    pub faults: Faults,
    /// Requests, by call.
    pub counts: BTreeMap<String, u64>,
    /// How the agents' own phones behave where they do not simply answer.
    pub phones: HashMap<AgentId, Phone>,
    /// What is to happen, and in how long.
    pub timers: Vec<(Duration, Effect)>,
    next_id: u64,
}

/// Where a session id leads.
#[derive(Debug, Clone)]
pub(crate) struct SessionRef {
    /// Whose session.
    pub agent: AgentId,
    /// Which of his sessions.
    pub number: u64,
    /// Which client of it.
    pub client: usize,
    /// Which generation of the client's ids.
    pub generation: u64,
}

/// How an agent's own phone behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phone {
    /// It is busy.
    Busy,
    /// Nobody takes it off the hook.
    Silent,
}

/// An entry of a dynamic address book.
#[derive(Debug, Clone)]
pub(crate) struct DynamicEntry {
    /// The book.
    pub book: u64,
    /// The entry.
    pub entry: crate::data::Entry,
    /// When it changed.
    pub changed: u64,
    /// It is no longer there.
    pub deleted: bool,
}

/// An agent session.
#[derive(Debug)]
pub(crate) struct Session {
    /// The number that AgentSessionStart tells, which is not the session id of the API.
    pub number: u64,
    /// Station id or telephone number.
    pub station: String,
    /// The clients that joined, oldest first.
    pub clients: Vec<Client>,
    /// `Available` or `Unavailable`, and the reason, as set by the agent.
    pub wish: State,
    /// What is to hold after the contact.
    pub next: Vec<State>,
    /// What is shown now.
    pub shown: (String, String, bool),
    /// Since when.
    pub since: u64,
    /// The agent's phone.
    pub leg: AgentLeg,
    /// The agent's phone is mute.
    pub muted: bool,
    /// Over: nothing but AgentSessionEnd is left to be told.
    pub ended: bool,
    /// Minutes without a poll after which it ends.
    pub inactivity: u64,
    /// When it was polled last.
    pub polled: u64,
}

/// A state that an agent can be put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Takes contacts.
    pub available: bool,
    /// The unavailable code's name, or nothing.
    pub reason: String,
    /// After-contact work.
    pub acw: bool,
}

impl State {
    fn name(&self) -> &'static str {
        if self.available { "Available" } else { "Unavailable" }
    }
}

/// The agent's own phone.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentLeg {
    /// Its number; a new one with each call.
    pub id: u64,
    /// `Dialing`, `Active`, `Disconnected`.
    pub status: &'static str,
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// CXone's code.
    pub error: &'static str,
    /// CXone's words.
    pub description: String,
}

/// Refuses.
pub(crate) fn refuse<T>(status: u16, error: &'static str, description: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, error, description: description.into() })
}

/// A boolean as events have it.
#[must_use]
pub(crate) const fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

impl World {
    /// A world in which nobody is logged in.
    #[must_use]
    pub(crate) fn new(data: Data) -> Self {
        let mut clock = Clock::default();
        let start = clock.now();
        let books = data.business_unit.iter().flat_map(|unit| &unit.address_book).filter(|book| book.dynamic);
        let entries = books
            .flat_map(|book| book.entry.iter().map(move |entry| (book.id, entry.clone())))
            .map(|(book, entry)| DynamicEntry { book, entry, changed: start, deleted: false })
            .collect();
        Self {
            data: Arc::new(data),
            clock,
            tokens: HashMap::new(),
            refresh: HashMap::new(),
            sessions: HashMap::new(),
            session_ids: HashMap::new(),
            legs: Vec::new(),
            entries,
            queued: BTreeMap::new(),
            told: HashSet::new(),
            changed: BTreeMap::new(),
            signals: Vec::new(),
            started_scripts: Vec::new(),
            tones: Vec::new(),
            dispositions: Vec::new(),
            disposition_details: Vec::new(),
            tags: Vec::new(),
            supervision: Vec::new(),
            told_where: 0,
            longest_poll: 0,
            played: Vec::new(),
            messages: Vec::new(),
            callbacks: Vec::new(),
            codes: HashMap::new(),
            faults: Faults::default(),
            counts: BTreeMap::new(),
            phones: HashMap::new(),
            timers: Vec::new(),
            next_id: 70_000_000,
        }
    }

    /// A number that was never used.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Lets something happen later.
    pub(crate) fn later(&mut self, millis: u64, effect: impl FnOnce(&mut Self) + Send + 'static) {
        self.timers.push((Duration::from_millis(millis), Box::new(effect)));
    }

    /// The agent's live session.
    pub(crate) fn session(&mut self, agent: AgentId) -> Option<&mut Session> {
        self.sessions.get_mut(&agent).filter(|session| !session.ended)
    }

    /// Starts an agent session.
    pub(crate) fn start_session(&mut self, agent: AgentId, station: String, inactivity: u64) {
        let (number, now) = (self.next_id(), self.clock.now());
        let wish = State { available: false, reason: String::new(), acw: false };
        self.sessions.insert(
            agent,
            Session {
                number,
                station,
                clients: Vec::new(),
                shown: ("Unavailable".to_owned(), String::new(), false),
                wish,
                next: Vec::new(),
                since: now,
                leg: AgentLeg { id: 0, status: "Disconnected" },
                muted: false,
                ended: false,
                inactivity,
                polled: now,
            },
        );
        self.changed.insert(agent, now);
    }

    /// Starts an agent session that cannot be: all that is told of it is that.
    pub(crate) fn fail_session(&mut self, agent: AgentId, station: String, message: &str) -> String {
        self.start_session(agent, station, 1);
        let id = self.join(agent).expect("it was just started");
        self.emit(agent, json!({"Type": "SessionStartFailed", "Success": "False", "Message": message}));
        if let Some(session) = self.session(agent) {
            session.ended = true;
            session.clients.iter_mut().for_each(Client::no_replay);
        }
        id
    }

    /// Ends an agent session: its contacts end, its clients are told.
    pub(crate) fn end_session(&mut self, agent: AgentId, kind: &str, message: &str) {
        self.end_contacts(agent);
        let event = json!({"Type": kind, "Success": "True", "Message": message});
        self.emit(agent, event);
        let now = self.clock.now();
        if let Some(session) = self.session(agent) {
            session.ended = true;
            session.clients.iter().for_each(Client::wake);
        }
        self.changed.insert(agent, now);
    }

    /// Tells all clients of an agent.
    pub(crate) fn emit(&mut self, agent: AgentId, mut event: Value) {
        if let Some(contact) = event["ContactID"].as_str().and_then(|id| id.parse().ok())
            && !self.told.insert((agent, contact))
        {
            self.data.behaviour.writing.further(&mut event);
        }
        if let Some(members) = event.as_object_mut() {
            members.insert("IISHost".to_owned(), json!("emulator-iis"));
            members.insert("VCHost".to_owned(), json!("emulator-vc"));
        }
        if let Some(session) = self.session(agent) {
            for client in &mut session.clients {
                client.push(event.clone());
            }
        }
    }

    /// What a client must be told who knows nothing: the replay.
    #[must_use]
    pub(crate) fn replay(&self, agent: AgentId) -> Vec<Value> {
        let (Some(session), Some((unit, who))) = (self.sessions.get(&agent), self.data.agent(agent)) else {
            return Vec::new();
        };
        let start = json!({
            "Type": "AgentSessionStart", "BusNo": unit.id, "AgentId": agent.to_string(),
            "StationId": "", "StationPhoneNumber": session.station, "SessionId": session.number.to_string(),
            "CanMask": truth(who.can_record), "CanRecord": truth(who.can_record),
            "CanMultiPartyConference": truth(unit.max_conference_parties > 3), "MaxConcurrentChats": "3",
            "EnabledForMCH": "True",
        });
        let mut events = vec![
            self.agent_leg_event(agent),
            self.agent_state_event(agent),
            json!({"Type": "Mute", "AgentMuted": truth(session.muted)}),
        ];
        events.extend(self.legs.iter().filter(|leg| leg.agent == agent && !leg.gone).map(|leg| self.event_of(leg)));
        events.extend(self.conference_of(agent));
        match self.data.behaviour.session_start {
            Place::First => events.insert(0, start),
            Place::Last => events.push(start),
            Place::Nowhere => {}
        }
        for event in &mut events {
            event["IISHost"] = json!("emulator-iis");
            event["VCHost"] = json!("emulator-vc");
        }
        events
    }

    /// The event AgentLeg as it would be now.
    #[must_use]
    pub(crate) fn agent_leg_event(&self, agent: AgentId) -> Value {
        let leg = self.sessions.get(&agent).map(|session| session.leg.clone()).unwrap_or_default();
        json!({"Type": "AgentLeg", "AgentLegId": leg.id.to_string(), "Status": leg.status,
               "FinalState": truth(leg.status == "Disconnected")})
    }

    /// The event AgentState as it would be now.
    #[must_use]
    pub(crate) fn agent_state_event(&self, agent: AgentId) -> Value {
        let Some(session) = self.sessions.get(&agent) else { return Value::Null };
        let (state, reason, acw) = &session.shown;
        let next: Vec<_> =
            session.next.iter().map(|next| json!({"State": next.name(), "OutReason": next.reason})).collect();
        json!({
            "Type": "AgentState", "CurrentState": state, "CurrentOutReason": reason,
            "StartTimeUTC": clock::text(session.since), "AcwTimeout": if *acw { "60" } else { "0" }, "IsAcw": truth(*acw),
            "NextStates": next, "NextIsAcw": truth(session.next.first().is_some_and(|next| next.acw)),
        })
    }

    /// The agent asks for a state. Called when the delay of the answer is over.
    pub(crate) fn set_state(&mut self, agent: AgentId, wanted: State) {
        let (live, after) = self.work_of(agent);
        let Some(session) = self.session(agent) else { return };
        if live {
            session.next = vec![wanted];
            let event = self.agent_state_event(agent);
            self.emit(agent, event);
            return;
        }
        session.wish = wanted;
        session.next.clear();
        if after {
            self.finish_after_contact_work(agent);
        }
        self.refresh_state(agent);
    }

    /// Works out what state the agent is in, and tells if it is another one than before.
    pub(crate) fn refresh_state(&mut self, agent: AgentId) {
        let (live, after) = self.work_of(agent);
        let working = self.legs.iter().find(|leg| leg.agent == agent && leg.is_live()).map(Leg::work);
        let now = self.clock.now();
        let Some(session) = self.session(agent) else { return };
        let shown = if let (true, Some(work)) = (live, working) {
            (work.to_owned(), String::new(), false)
        } else if after {
            let reason = session.next.first().filter(|next| next.acw).map(|next| next.reason.clone());
            ("Unavailable".to_owned(), reason.unwrap_or_default(), true)
        } else {
            if let Some(next) = session.next.pop()
                && !next.acw
            {
                session.wish = next;
            }
            session.next.clear();
            (session.wish.name().to_owned(), session.wish.reason.clone(), session.wish.acw)
        };
        if session.shown != shown {
            session.shown = shown;
            session.since = now;
            self.changed.insert(agent, now);
            let event = self.agent_state_event(agent);
            self.emit(agent, event);
        }
    }

    /// Whether the agent handles a contact, and whether one is left to be finished.
    #[must_use]
    pub(crate) fn work_of(&self, agent: AgentId) -> (bool, bool) {
        let mut mine = self.legs.iter().filter(|leg| leg.agent == agent && !leg.gone);
        let live = mine.clone().any(Leg::is_live);
        (live, mine.any(|leg| !leg.is_live()))
    }

    /// Calls the agent's own phone, or hangs it up.
    pub(crate) fn agent_phone(&mut self, agent: AgentId, connect: bool) {
        let (ring, phone) = (self.data.timing.agent_phone_ring, self.phones.get(&agent).copied());
        let id = self.next_id();
        let Some(session) = self.session(agent) else { return };
        if !connect {
            session.leg.status = "Disconnected";
            session.muted = false;
        } else if session.leg.status == "Disconnected" {
            session.leg = AgentLeg { id, status: "Dialing" };
            let status = match phone {
                None => Some("Active"),
                Some(Phone::Busy) => Some("Disconnected"),
                Some(Phone::Silent) => None,
            };
            if let Some(status) = status {
                self.later(ring, move |world| world.agent_phone_answers(agent, id, status));
            }
        } else {
            return;
        }
        let event = self.agent_leg_event(agent);
        self.emit(agent, event);
    }

    fn agent_phone_answers(&mut self, agent: AgentId, id: u64, status: &'static str) {
        let Some(session) = self.session(agent).filter(|s| s.leg.id == id && s.leg.status == "Dialing") else { return };
        session.leg.status = status;
        let event = self.agent_leg_event(agent);
        self.emit(agent, event);
        if status == "Active" && !self.data.behaviour.takes_accept {
            self.later(crate::calls::CONNECTS, move |world| world.take_offers(agent));
        } else if status == "Active" && self.data.behaviour.rings_agent {
            self.take_offers(agent);
        }
    }

    /// An unavailable code of the agent's business unit, by name.
    #[must_use]
    pub(crate) fn code(&self, agent: AgentId, name: &str) -> Option<&UnavailableCode> {
        self.data.agent(agent)?.0.unavailable_code.iter().find(|code| code.name == name)
    }

    /// The agent's first skill that brings contacts of a kind; 0 for none.
    #[must_use]
    pub(crate) fn skill_for(&self, agent: AgentId, kind: Media) -> u64 {
        let Some((unit, who)) = self.data.agent(agent) else { return 0 };
        let fits = |id: &&u64| unit.skill(**id).is_some_and(|skill| skill.media == kind && !skill.outbound);
        who.skills.iter().find(fits).copied().unwrap_or(0)
    }

    /// Ends the sessions that nobody polls.
    pub(crate) fn end_idle_sessions(&mut self) {
        let now = self.clock.now();
        let idle: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| {
                let limit = self.data.timing.inactivity_seconds.unwrap_or(session.inactivity * 60) * 1000;
                !session.ended && limit > 0 && now.saturating_sub(session.polled) > limit
            })
            .map(|(agent, _)| *agent)
            .collect();
        for agent in idle {
            self.end_session(agent, "RemoteAgentSessionEnd", "SessionTimeout");
        }
    }
}
