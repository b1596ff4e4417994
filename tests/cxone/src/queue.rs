//! A client's queue of events, its session ids, and what a poll gets.
//!
//! Each answer may hand out a new id; a poll with an older one throws the queue away and replays the state, because
//! nobody knows what that client missed.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    data::AgentId,
    world::{SessionRef, World},
};

/// How many older session ids of a client are honoured.
const REMEMBERED: usize = 64;

/// One client of an agent session.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// What it has not been told yet.
    queue: VecDeque<Value>,
    /// Wakes its poll.
    pub notify: Arc<Notify>,
    /// The generation of the id that it should use.
    generation: u64,
    /// Its ids, oldest first.
    ids: VecDeque<String>,
    /// Counts its polls: only the newest one gets events.
    pub poll: u64,
    /// Polls under way.
    pub polling: u64,
    /// Answers given.
    answers: u64,
    /// The last batch, for a fault that tells it again.
    last: Vec<Value>,
    /// A replay is due.
    replay: bool,
    /// The next event may come then, on the world's clock.
    next: u64,
}

impl Client {
    /// Queues an event.
    pub(crate) fn push(&mut self, event: Value) {
        self.queue.push_back(event);
        self.notify.notify_waiters();
    }

    /// Whether an id of this generation was replaced by another.
    pub(crate) const fn is_replaced(&self, generation: u64) -> bool {
        generation < self.generation
    }

    /// What is in the queue is all that it hears.
    pub(crate) fn no_replay(&mut self) {
        self.replay = false;
    }

    /// Lets its poll look again.
    pub(crate) fn wake(&self) {
        self.notify.notify_waiters();
    }
}

/// What a poll gets.
#[derive(Debug)]
pub(crate) enum Poll {
    /// Nothing yet.
    Nothing,
    /// The session id is unknown.
    Unknown,
    /// The agent session is over.
    Ended,
    /// Another poll of the same client has come.
    Superseded,
    /// Events, and the session id to use from now on.
    Events(String, Vec<Value>),
}

/// How a batch is cut and mangled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mangle {
    /// At most so many events in an answer.
    pub at_most: Option<usize>,
    /// Tell the batch before once more.
    pub again: bool,
    /// Tell this batch late, behind what comes after it.
    pub late: Option<u64>,
}

fn random_id() -> String {
    let mut bytes = [0_u8; 18];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id that cannot be guessed.
#[must_use]
pub(crate) fn token() -> String {
    random_id()
}

impl World {
    /// Adds a client to the agent's session and gives its session id. A replay is what it hears first.
    pub(crate) fn join(&mut self, agent: AgentId) -> Option<String> {
        let session = self.session(agent)?;
        session.clients.push(Client { replay: true, ..Client::default() });
        let client = session.clients.len() - 1;
        Some(self.new_id(agent, client))
    }

    fn new_id(&mut self, agent: AgentId, index: usize) -> String {
        let id = random_id();
        let session = self.sessions.get_mut(&agent).expect("its session is there");
        let number = session.number;
        let client = &mut session.clients[index];
        client.generation += 1;
        client.ids.push_back(id.clone());
        let generation = client.generation;
        let dropped = (client.ids.len() > REMEMBERED).then(|| client.ids.pop_front()).flatten();
        self.session_ids.insert(id.clone(), SessionRef { agent, number, client: index, generation });
        if let Some(dropped) = dropped {
            self.session_ids.remove(&dropped);
        }
        id
    }

    /// Where a session id leads, if the session is still known.
    #[must_use]
    pub(crate) fn resolve(&self, id: &str) -> Option<SessionRef> {
        let found = self.session_ids.get(id)?;
        let session = self.sessions.get(&found.agent)?;
        (session.number == found.number).then(|| found.clone())
    }

    /// Begins a poll: it takes over from one that is under way. Gives the poll's number, what wakes it, and whether
    /// another one was under way.
    pub(crate) fn begin_poll(&mut self, found: &SessionRef) -> (u64, Arc<Notify>, bool) {
        let now = self.clock.now();
        let session = self.sessions.get_mut(&found.agent).expect("resolved");
        session.polled = now;
        let client = &mut session.clients[found.client];
        client.poll += 1;
        client.polling += 1;
        client.notify.notify_waiters();
        if found.generation < client.generation {
            client.replay = true;
        }
        (client.poll, client.notify.clone(), client.polling > 1)
    }

    /// A poll is over, answered or not.
    pub(crate) fn end_poll(&mut self, found: &SessionRef) {
        let now = self.clock.now();
        if let Some(session) = self.sessions.get_mut(&found.agent).filter(|session| session.number == found.number) {
            session.polled = now;
            session.clients[found.client].polling -= 1;
        }
    }

    /// Whether a poll would get events.
    #[must_use]
    pub(crate) fn something_to_tell(&self, id: &str) -> bool {
        let Some(found) = self.resolve(id) else { return false };
        let client = &self.sessions[&found.agent].clients[found.client];
        client.replay || !client.queue.is_empty()
    }

    /// Tells a client something later.
    fn push_later(&mut self, to: &SessionRef, millis: u64, events: Vec<Value>) {
        let (agent, index) = (to.agent, to.client);
        self.later(millis, move |world| {
            if let Some(client) = world.session(agent).and_then(|session| session.clients.get_mut(index)) {
                events.into_iter().for_each(|event| client.push(event));
            }
        });
    }

    /// Looks what there is for a poll.
    pub(crate) fn poll(&mut self, id: &str, number: u64, mangle: Mangle) -> Poll {
        let Some(found) = self.resolve(id) else { return Poll::Unknown };
        let every = self.data.timing.new_session_id_every;
        let replay = self.sessions[&found.agent].clients[found.client].replay.then(|| self.replay(found.agent));
        let apart = self.data.behaviour.apart;
        let now = if apart > 0 { self.clock.now() } else { 0 };
        let (gap, mut late) = (self.data.behaviour.replay_gap, Vec::new());
        let session = self.sessions.get_mut(&found.agent).expect("resolved");
        let (ended, client) = (session.ended, &mut session.clients[found.client]);
        if client.poll != number {
            return Poll::Superseded;
        }
        let replayed = replay.is_some();
        if let (Some(replay), false) = (replay, ended) {
            client.queue = replay.into();
            client.replay = false;
            if let (true, Some(at)) = (gap > 0, client.queue.iter().position(|event| event["ContactID"].is_string())) {
                late = client.queue.split_off(at).into();
            }
        }
        if mangle.again && !client.last.is_empty() && !client.queue.is_empty() && !replayed {
            for event in std::mem::take(&mut client.last).into_iter().rev() {
                client.queue.push_front(event);
            }
        }
        let mut count = client.queue.len().min(mangle.at_most.unwrap_or(usize::MAX));
        if apart > 0 && count > 0 {
            if now < client.next {
                let (wait, notify) = (client.next - now, client.notify.clone());
                self.later(wait, move |_| notify.notify_waiters());
                return Poll::Nothing;
            }
            (count, client.next) = (1, now + apart);
        }
        let batch: Vec<_> = client.queue.drain(..count).collect();
        if batch.is_empty() {
            return if ended { Poll::Ended } else { Poll::Nothing };
        }
        if let Some(millis) = mangle.late {
            self.push_later(&found, millis, batch);
            return Poll::Nothing;
        }
        if !late.is_empty() {
            self.push_later(&found, gap, late);
        }
        let session = self.sessions.get_mut(&found.agent).expect("resolved");
        let client = &mut session.clients[found.client];
        client.last.clone_from(&batch);
        client.answers += 1;
        let renew = replayed || client.answers.is_multiple_of(every.max(1));
        let id =
            if renew { self.new_id(found.agent, found.client) } else { client.ids.back().cloned().unwrap_or_default() };
        Poll::Events(id, self.data.behaviour.writing.events(batch))
    }
}
