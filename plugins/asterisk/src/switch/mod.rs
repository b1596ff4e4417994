//! The switch: who talks to whom, and what Asterisk must be told so that it is so.
//!
//! Owns: the model of one tenant's agents, queues and calls. Must never: do I/O, read a clock, wait or spawn. What
//! happens comes in as an [`Input`]; what follows goes out as [`Effect`]s: requests for Asterisk, reports and answers
//! for the host. The [`platform`](crate::platform) carries both.
//!
//! The model is *logical*, and always at rest: an input changes it in one step from one consistent state to the next,
//! and [`converge`](converge) then tells Asterisk the difference between what it was told before and what should be.
//! So one transition is one report by construction, and after a lost link the same function repairs whatever was lost.
//! What Asterisk may refuse it is asked first (see [`confirm`]); what a command changes is reported when Asterisk has
//! confirmed all of it, and then the command is answered.

mod announcements;
mod app_queue;
mod call_records;
mod callback_store;
mod callback_turn;
mod callbacks;
mod commands;
mod confirm;
mod converge;
mod device_states;
mod dialing;
mod events;
mod legs;
mod lists;
mod members;
mod memory;
mod model;
mod parking;
mod places;
mod queue;
mod queue_history;
mod replaced;
mod report;
mod resync;
mod rooms;
mod session;
mod staffing;
mod supervise;
#[cfg(test)]
mod tests;
mod voicemail;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use jackfield_plugin_api::{Code, Command, Failure, Outcome, Report, StartOptions, lists::ListRequest};
use serde::Deserialize;

use crate::{
    ari::{Endpoint, Message, Request, Response},
    manager::{News, Order},
    settings::Settings,
};
use dialing::Calling;
pub(crate) use model::CommandId;
use model::{ChannelId, Desk, Owner, Party, Phone, PhoneKey, Room, RoomId};
pub(crate) use queue_history::QueueLogLine;

/// What happens.
pub(crate) enum Input {
    /// A session begins.
    Start { id: CommandId, agent: String, session: String, options: StartOptions },
    /// A session asks for something.
    Command { id: CommandId, agent: String, command: Command },
    /// The session of an agent whom another life of this adapter knew, and what that life remembered.
    Resume { id: CommandId, agent: String, session: String, memory: Vec<u8> },
    /// A session wants to hear everything.
    Snapshot { id: CommandId, agent: String },
    /// A session ends; the agent's calls end too.
    LogOut { id: CommandId, agent: String },
    /// A session ends; the agent's calls stay for a while.
    Leave { agent: String, session: String },
    /// Asterisk says something.
    Ari(Message),
    /// So does its manager interface.
    Manager(News),
    /// There is a connection again, to an Asterisk that leaves phones' transfers to us and can be told whose record tells of a
    /// call, or does not.
    Connected { leaves_transfers: bool, marks_records: bool },
    /// There is none any more.
    Disconnected,
    /// The host ends, or the tenant does: who talks goes on talking, everything else must go.
    Close,
    /// Nothing has been heard for a while, since then, and a sign of life is asked for.
    Silent { since: Instant },
    /// Time has passed.
    Tick,
}

/// What follows.
#[derive(Debug)]
pub(crate) enum Effect {
    /// For Asterisk.
    Send { id: u64, request: Request },
    /// For a session.
    Report { session: String, report: Report },
    /// What another life of this adapter must know of a session's agent to go on.
    Remember { session: String, memory: Vec<u8> },
    /// The answer to a command.
    Reply { id: CommandId, outcome: Outcome },
    /// The model is complete and Asterisk agrees with it.
    Ready,
    /// Another client has the application now.
    Fenced,
    /// For a metric: how many wait in a queue.
    Waiting { metric: &'static str, queue: String, count: usize },
    /// For a metric: an event that is counted.
    Count { metric: &'static str, label: &'static str },
    /// For the manager interface.
    Manager(Order),
    /// For the log.
    Warn(String),
}

/// What a request was for.
#[derive(Debug)]
enum What {
    /// It must work.
    Plain,
    /// It matters little whether it worked: the channel may be gone.
    Lenient,
    /// A channel that is made to call somebody.
    Made(ChannelId),
    LegCalled(PhoneKey, ChannelId),
    Variable {
        channel: ChannelId,
        name: String,
    },
    Endpoint {
        command: CommandId,
        agent: String,
        extension: String,
    },
    /// The decisive part of a command.
    Decides {
        command: CommandId,
        act: confirm::Act,
        effected: confirm::Effected,
    },
    Record {
        command: CommandId,
        room: RoomId,
        then: Option<model::Recording>,
    },
    Channels,
    Bridges,
    /// All endpoints, for an agent's directory.
    Directory(CommandId),
    /// The same for a list.
    Listed(CommandId, Box<ListRequest>),
    /// How a phone is.
    Watched,
    /// The device states that Asterisk keeps.
    DeviceStates,
    /// What Asterisk keeps of us on a channel.
    Kept(ChannelId),
    /// A channel that was made is called.
    Dialed(ChannelId),
    /// A channel that hears another one.
    Supervised(ChannelId),
    /// A channel that was parked, and where it is, for a question for the parking lot.
    ParkedChannel(u64),
    ParkedBridges(u64),
}

struct Pending {
    what: What,
    batch: u64,
}

/// The requests that one input led to, and what waits for their answers.
#[derive(Default)]
struct Batch {
    left: usize,
    replies: Vec<(CommandId, Outcome)>,
    holds: BTreeSet<PhoneKey>,
    problem: Option<Failure>,
}

/// One tenant's switch.
pub(crate) struct Switch {
    settings: Settings,
    /// Part of every key and channel id, so that those of an earlier life are not taken for ours.
    nonce: String,
    counter: u64,
    now: Instant,
    up: bool,
    /// Asterisk leaves to us what a phone's transfer key asks for.
    leaves_transfers: bool,
    /// Asterisk can be told whose record tells of a call.
    marks_records: bool,
    /// Since when it is not.
    down_since: Instant,
    /// Nothing is heard of Asterisk: since when, and when it was asked for a sign of life.
    silent: Option<(Instant, Instant)>,
    fenced: bool,
    /// Everything is being left as it should be without us …
    leaving: bool,
    /// … and then nothing is done any more.
    closing: bool,

    desks: BTreeMap<String, Desk>,
    phones: BTreeMap<PhoneKey, Phone>,
    rooms: BTreeMap<RoomId, Room>,
    parties: HashMap<ChannelId, Party>,
    owners: HashMap<ChannelId, Owner>,
    /// Legs that rang and were answered at another phone, and whose call that was.
    picked_up: HashMap<ChannelId, (RoomId, Instant)>,
    /// Supervisions that Asterisk is asked for, by their channels.
    supervisions: HashMap<ChannelId, supervise::AskedSupervision>,
    /// Channels of those that there are.
    supervising: BTreeSet<ChannelId>,
    /// Bridges of rooms that are no more, and who was in them.
    dead_bridges: BTreeMap<String, BTreeSet<ChannelId>>,
    /// Channels that were ours until a moment ago, the latest last: a list of Asterisk can still have them.
    gone: VecDeque<resync::Gone>,
    resync: Option<resync::Listing>,
    /// When Asterisk was last asked how things are, and when it is to be asked again.
    looked_at: Option<Instant>,
    look_at: Option<Instant>,
    /// What the host kept of agents, until what Asterisk keeps is known.
    resumes: Vec<(String, memory::Memory)>,
    /// Calls whose channels Asterisk is asked to make, by those, until they have entered.
    calls: BTreeMap<ChannelId, Calling>,
    /// Channels that were made and are to be called when they are where they belong.
    to_dial: Vec<ChannelId>,
    /// Snapshots that wait for it.
    snapshots: Vec<(CommandId, String)>,
    /// Until then what an earlier life left and nobody hears is not tidied.
    strays_stay_until: Option<Instant>,

    requests: HashMap<u64, Pending>,
    batches: HashMap<u64, Batch>,
    batch: u64,
    replies: Vec<(CommandId, Outcome)>,
    touched_rooms: BTreeSet<RoomId>,
    touched_phones: BTreeSet<PhoneKey>,
    unreported: BTreeSet<PhoneKey>,
    /// Those of them that this input changed.
    changed: BTreeSet<PhoneKey>,
    queues_touched: bool,
    told_waiting: BTreeMap<(&'static str, String), usize>,
    /// What Asterisk was told of how agents are, by extension.
    told_device_states: BTreeMap<PhoneKey, String>,
    /// What was said of agents as members of queues, by extension.
    told_memberships: BTreeMap<PhoneKey, queue_history::Membership>,
    /// What was counted, by queue.
    figures: BTreeMap<String, queue_history::Figures>,
    /// Whether there is a connection to the manager interface, and lists that wait for its answer.
    manager_up: bool,
    queue_lists: BTreeMap<u64, (CommandId, ListRequest)>,
    /// So do questions for mailboxes.
    mailboxes: BTreeMap<u64, voicemail::Asked>,
    /// And those for the parking lot.
    parking: BTreeMap<u64, parking::Question>,
    /// What is being played to callers who wait, by their channels, each as one part of a path.
    announcing: BTreeMap<ChannelId, String>,
    callbacks: callbacks::Callbacks,
    effects: Vec<Effect>,
}

impl Switch {
    pub(crate) fn new(settings: Settings, nonce: String, now: Instant) -> Self {
        Self {
            settings,
            nonce,
            counter: 0,
            now,
            up: false,
            leaves_transfers: false,
            marks_records: false,
            down_since: now,
            silent: None,
            fenced: false,
            leaving: false,
            closing: false,
            desks: BTreeMap::new(),
            phones: BTreeMap::new(),
            rooms: BTreeMap::new(),
            parties: HashMap::new(),
            owners: HashMap::new(),
            picked_up: HashMap::new(),
            supervisions: HashMap::new(),
            supervising: BTreeSet::new(),
            dead_bridges: BTreeMap::new(),
            gone: VecDeque::new(),
            resync: None,
            looked_at: None,
            look_at: None,
            resumes: Vec::new(),
            calls: BTreeMap::new(),
            to_dial: Vec::new(),
            snapshots: Vec::new(),
            strays_stay_until: Some(now + resync::STRAYS_STAY),
            requests: HashMap::new(),
            batches: HashMap::new(),
            batch: 0,
            replies: Vec::new(),
            touched_rooms: BTreeSet::new(),
            touched_phones: BTreeSet::new(),
            unreported: BTreeSet::new(),
            changed: BTreeSet::new(),
            queues_touched: false,
            told_waiting: BTreeMap::new(),
            told_device_states: BTreeMap::new(),
            told_memberships: BTreeMap::new(),
            figures: BTreeMap::new(),
            manager_up: false,
            queue_lists: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            parking: BTreeMap::new(),
            announcing: BTreeMap::new(),
            callbacks: callbacks::Callbacks::default(),
            effects: Vec::new(),
        }
    }

    /// Takes one thing that happened and says all that follows from it.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        self.now = now;
        self.batch = self.number();
        match input {
            Input::Start { id, agent, session, options } => self.start(id, agent, session, &options),
            Input::Command { id, agent, command } => self.command(id, &agent, command),
            Input::Resume { id, agent, session, memory } => self.resume(id, agent, session, &memory),
            Input::Snapshot { id, agent } => self.snapshot(id, agent),
            Input::LogOut { id, agent } => self.log_out(id, &agent),
            Input::Leave { agent, session } => self.leave(&agent, &session),
            Input::Ari(message) => {
                if let Some((_, asked)) = self.silent.take() {
                    self.time_stood_still(asked);
                }
                match message {
                    Message::Event(event) => self.event(event),
                    Message::Response(response) => self.response(response),
                }
            }
            Input::Silent { since } => self.silent = self.up.then_some((since, now)),
            Input::Manager(news) => self.manager_news(news),
            Input::Connected { leaves_transfers, marks_records } => {
                self.marks_records = marks_records;
                self.connected(leaves_transfers);
            }
            Input::Disconnected => self.disconnected(),
            Input::Close => self.close(),
            Input::Tick => {}
        }
        if !self.fenced {
            self.timers();
            self.end_supervisions();
            self.dispatch();
            self.converge();
        }
        self.close_batch();
        std::mem::take(&mut self.effects)
    }

    /// Whether nothing is left that Asterisk must still be told or answer.
    pub(crate) fn is_quiet(&self) -> bool {
        self.requests.is_empty()
    }

    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A key that no other object of this tenant has, in this life or an earlier one.
    fn new_key(&mut self) -> String {
        let number = self.number();
        format!("{}-{number}", self.nonce)
    }

    /// What ids of channels and bridges that we make begin with.
    fn own_prefix(&self) -> String {
        format!("jackfield:{}:", self.settings.address.application)
    }

    fn new_channel_id(&mut self) -> ChannelId {
        let key = self.new_key();
        format!("{}{key}", self.own_prefix())
    }

    /// The moment at which [`Input::Tick`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.fenced || !self.up || self.silent.is_some() || self.resync.is_some() {
            return None;
        }
        let phones = self.phones.values().flat_map(|phone| {
            let wrap_up = phone.wrap_up.as_ref().and_then(|wrap_up| wrap_up.until);
            let given_up = phone.unreachable.filter(|_| phone.leg.up().is_some() && phone.live().is_none());
            [phone.recall_at, wrap_up, given_up].into_iter().flatten()
        });
        let rooms = self.rooms.values().flat_map(|room| {
            let seats = room.seats.iter().filter_map(|seat| seat.until);
            let ticket = room.ticket.iter().filter(|ticket| ticket.waiting);
            let ticket = ticket.flat_map(|ticket| {
                ticket.overflow_at.into_iter().chain(ticket.announce_at).chain(ticket.refused.values().copied())
            });
            seats.chain(ticket)
        });
        let desks = self.desks.iter().filter(|(agent, _)| !self.in_call(agent)).filter_map(|(_, desk)| desk.keep_until);
        let picked_up = self.picked_up.values().map(|(_, until)| *until);
        let parking = self.parking.values().filter_map(parking::Question::again);
        let callbacks = self.callbacks.next_deadline(self.now);
        phones
            .chain(rooms)
            .chain(desks)
            .chain(picked_up)
            .chain(parking)
            .chain(callbacks)
            .chain(self.strays_stay_until)
            .chain(self.look_at)
            .min()
    }

    // What goes to Asterisk.

    fn send(&mut self, request: Request, what: What) {
        if !self.up {
            return;
        }
        self.end_announcement(&request);
        let id = self.number();
        self.requests.insert(id, Pending { what, batch: self.batch });
        self.batches.entry(self.batch).or_default().left += 1;
        self.effects.push(Effect::Send { id, request });
    }

    /// Answers a command when all that this input sends to Asterisk is confirmed, and holds the phone's reports until
    /// then.
    fn reply(&mut self, id: CommandId, outcome: impl Into<Outcome>) {
        self.replies.push((id, outcome.into()));
    }

    /// Answers a command at once.
    fn refuse(&mut self, id: CommandId, code: Code, message: impl Into<String>) {
        self.reply(id, Failure::new(code, message));
    }

    fn close_batch(&mut self) {
        let replies = std::mem::take(&mut self.replies);
        // Only these: what other agents' commands changed waits for those commands alone.
        let holds = std::mem::take(&mut self.changed);
        let waits = self.batches.contains_key(&self.batch);
        if waits && !replies.is_empty() {
            for phone in &holds {
                if let Some(phone) = self.phones.get_mut(phone) {
                    phone.holds += 1;
                }
            }
            if let Some(batch) = self.batches.get_mut(&self.batch) {
                batch.replies = replies;
                batch.holds = holds;
            }
            self.report_changes();
        } else {
            self.report_changes();
            self.effects.extend(replies.into_iter().map(|(id, outcome)| Effect::Reply { id, outcome }));
        }
    }

    /// One of a batch's requests is answered.
    fn batch_answered(&mut self, id: u64, problem: Option<Failure>) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.left -= 1;
        batch.problem = batch.problem.take().or(problem);
        if batch.left > 0 {
            return;
        }
        let Some(batch) = self.batches.remove(&id) else { return };
        for phone in &batch.holds {
            if let Some(phone) = self.phones.get_mut(phone) {
                // Also if another command holds it still: a success is told only after what it led to.
                phone.holds = 0;
            }
        }
        self.report_changes();
        for (id, outcome) in batch.replies {
            let outcome = match (&outcome, &batch.problem) {
                (Outcome::Success(_), Some(problem)) => problem.clone().into(),
                _ => outcome,
            };
            self.effects.push(Effect::Reply { id, outcome });
        }
    }

    fn response(&mut self, response: Response) {
        let Some(pending) = self.requests.remove(&response.id) else { return };
        let label = if response.is_ok() { "ok" } else { "refused" };
        self.effects.push(Effect::Count { metric: "requests_total", label });
        let mut problem = None;
        match pending.what {
            What::Lenient => {}
            What::Plain if response.is_ok() => {}
            What::Plain => {
                problem = Some(Failure::new(Code::Rejected, "Asterisk refused").context(response.words()));
                if !response.is_about_what_ended() {
                    self.effects.push(Effect::Warn(response.words()));
                }
            }
            What::Made(channel) => {
                if !response.is_ok() {
                    self.not_made(&channel, refused_call(&response));
                }
            }
            What::LegCalled(phone, channel) => {
                if !response.is_ok() {
                    self.leg_ended(&phone, &channel, None, Some(response.words()));
                }
            }
            What::Variable { channel, name } => self.variable_read(&channel, &name, &response),
            What::Endpoint { command, agent, extension } => {
                self.endpoint_checked(command, &agent, &extension, &response);
            }
            What::Decides { command, act, effected } => self.confirmed(command, act, effected, &response),
            What::Record { command, room, then } => self.recorded(command, room, then, &response),
            What::Channels => self.channels_listed(&response),
            What::Bridges => self.bridges_listed(&response),
            What::Directory(command) => self.directory(command, &response),
            What::Listed(command, request) => self.endpoints_listed(command, &request, &response),
            What::Watched => {
                if let (true, Ok(endpoint)) = (response.is_ok(), Endpoint::deserialize(&response.body)) {
                    self.endpoint_changed(&endpoint);
                }
            }
            What::DeviceStates => self.device_states_listed(&response),
            What::Supervised(channel) => {
                if !response.is_ok() {
                    let failure = Failure::new(Code::Rejected, "Asterisk does not let the call be heard");
                    self.not_supervised(&channel, failure.context(response.words()));
                }
            }
            What::ParkedChannel(id) => self.parked_channel_told(id, &response),
            What::ParkedBridges(id) => self.parked_bridges_told(id, &response),
            What::Kept(channel) => self.record_read(channel, &response),
            What::Dialed(channel) => {
                if !response.is_ok() {
                    self.channel_over(&channel, None);
                    self.hang_up_channel(&channel, "normal");
                }
            }
        }
        self.batch_answered(pending.batch, problem);
    }

    /// The connection is lost: nothing that was sent will be answered.
    fn drop_requests(&mut self) {
        for channel in self.supervisions.keys().cloned().collect::<Vec<_>>() {
            self.not_supervised(&channel, link_lost());
        }
        for calling in std::mem::take(&mut self.calls).into_values() {
            self.not_called(calling, link_lost());
        }
        let mut pending: Vec<_> = self.requests.drain().collect();
        pending.sort_by_key(|(id, _)| *id);
        for (_, pending) in pending {
            match pending.what {
                What::Directory(command) | What::Listed(command, _) => self.reply(command, link_lost()),
                What::Endpoint { command, .. } | What::Record { command, .. } | What::Decides { command, .. } => {
                    self.reply(command, link_lost())
                }
                What::Variable { channel, name } => {
                    self.variable_read(&channel, &name, &Response { id: 0, status: 0, body: serde_json::Value::Null });
                }
                _ => {}
            }
            self.batch_answered(pending.batch, Some(link_lost()));
        }
    }

    fn touch_phone(&mut self, phone: &str) {
        self.touched_phones.insert(phone.to_owned());
        self.unreported.insert(phone.to_owned());
        self.changed.insert(phone.to_owned());
    }

    /// A room changed: so did what its agents see of it.
    fn touch_room(&mut self, room: RoomId) {
        self.touched_rooms.insert(room);
        if let Some(room) = self.rooms.get(&room) {
            let phones: Vec<_> = room.seats.iter().map(|seat| seat.phone.clone()).collect();
            self.touched_phones.extend(phones.iter().cloned());
            self.unreported.extend(phones.iter().cloned());
            self.changed.extend(phones);
        }
    }
}

fn link_lost() -> Failure {
    Failure::new(Code::LinkDown, "the connection to Asterisk was lost")
}

/// Asterisk answers 500 to an originate for an unknown technology and for an endpoint without a contact.
fn refused_call(response: &Response) -> Failure {
    let code = match response.status {
        400 | 403 => Code::Rejected,
        _ => Code::Unreachable,
    };
    Failure::new(code, "the destination cannot be called").context(response.words())
}
