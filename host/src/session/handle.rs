//! A session as others know it.
//!
//! Owns: what never changes of a session, its mailbox, and what it has last told of itself. Must never: touch its state,
//! which is its task's alone. Cloned by the manager, by connections and by the adapter's sinks.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use jackfield_plugin_api::{Code, Failure};
use jackfield_protocol::message::Request;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Identity, Outbox,
    adapter_connection::AdapterConnection,
    input::Control,
    mailbox::Mailbox,
    status::{SessionDetails, SessionStatus, StateSummary},
    throttle::{cost, credit},
};
use crate::{
    metrics::Depths,
    plugin::{AdapterMessage, AgentSink, Delivery},
    rate::{Rate, TokenBucket},
};

/// A session. Cheap to clone; equal is what leads to the same session.
#[derive(Clone)]
pub(super) struct SessionHandle(Arc<Shared>);

struct Shared {
    id: Box<str>,
    agent: Box<str>,
    model: Option<Box<str>>,
    identity: Identity,
    since: Instant,
    ended: AtomicBool,
    published: Mutex<Published>,
    mailbox: Mailbox,
    /// How fast its commands may come that come by HTTP; made with the first of them.
    by_http: Mutex<Option<TokenBucket>>,
}

struct Published {
    summary: StateSummary,
    /// The client's.
    outbox: Option<Outbox>,
    adapter_connection: Arc<AdapterConnection>,
}

impl SessionHandle {
    pub(super) fn new(
        id: &str,
        agent: &str,
        model: Option<&str>,
        identity: Identity,
        adapter_connection: Arc<AdapterConnection>,
    ) -> Self {
        Self(Arc::new(Shared {
            id: id.into(),
            agent: agent.into(),
            model: model.map(Into::into),
            identity,
            since: Instant::now(),
            ended: AtomicBool::new(false),
            published: Mutex::new(Published { summary: StateSummary::default(), outbox: None, adapter_connection }),
            mailbox: Mailbox::default(),
            by_http: Mutex::default(),
        }))
    }

    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    /// Enough of the id to find the session in a log, too little to bind it.
    pub(super) fn short_id(&self) -> &str {
        short(&self.0.id)
    }

    /// The agent, as the desktop named it.
    pub(super) fn agent(&self) -> &str {
        &self.0.agent
    }

    pub(super) fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Whether this identity may bind it.
    pub(super) fn belongs_to(&self, identity: &Identity) -> bool {
        identity.may_use(&self.0.identity, &self.0.agent)
    }

    /// Whether it is over. True before any client can have been told.
    pub(super) fn is_ended(&self) -> bool {
        self.0.ended.load(Relaxed)
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.0.mailbox
    }

    /// Lets a command in that came by HTTP, where no connection is the agent's own.
    ///
    /// # Errors
    /// `rate_limited`: the agent sends more than it may.
    pub(super) fn admit(&self, rate: Rate, request: &Request, now: Instant) -> Result<(), Failure> {
        if !rate.is_bounded() {
            return Ok(());
        }
        let (mut bucket, credit) = (self.0.by_http.lock(), credit(rate, request));
        let bucket = bucket.get_or_insert_with(|| TokenBucket::full(rate, now));
        if bucket.take(rate, cost(request.bytes()), credit, now) {
            return Ok(());
        }
        let words = format!("an agent may send {} commands a second", rate.per_second);
        Err(Failure::new(Code::RateLimited, words))
    }

    /// See [`Mailbox::control`].
    pub(super) fn control(&self, control: Control) -> bool {
        self.0.mailbox.control(control)
    }

    /// Whether its agent is on this adapter connection, or is being logged in there.
    pub(super) fn is_on(&self, connection: &Arc<AdapterConnection>) -> bool {
        Arc::ptr_eq(&self.0.published.lock().adapter_connection, connection)
    }

    /// Where messages go of the agent that is logged in as this one.
    pub(super) fn sink(&self, generation: u32) -> Arc<dyn AgentSink> {
        Arc::new(Sink { session: self.clone(), generation })
    }

    pub(super) fn set_ended(&self) {
        self.0.ended.store(true, Relaxed);
    }

    /// Replaces what operators and the manager see of the session: a summary of its state, its client's connection, and
    /// the adapter connection that its agent is on.
    pub(super) fn publish(
        &self,
        summary: StateSummary,
        outbox: Option<&Outbox>,
        adapter_connection: &Arc<AdapterConnection>,
    ) {
        let mut published = self.0.published.lock();
        published.summary = summary;
        if published.outbox.as_ref() != outbox {
            published.outbox = outbox.cloned();
        }
        if !Arc::ptr_eq(&published.adapter_connection, adapter_connection) {
            published.adapter_connection = Arc::clone(adapter_connection);
        }
    }

    /// The connection of its client.
    pub(super) fn outbox(&self) -> Option<Outbox> {
        self.0.published.lock().outbox.clone()
    }

    /// What an operator sees who asks for this one session.
    pub(super) fn details(&self) -> SessionDetails {
        SessionDetails {
            status: self.status(),
            model: self.model().map(ToOwned::to_owned),
            by: self.0.identity.issuer().map(ToOwned::to_owned),
            queued_bytes: self.outbox().map_or(0, |outbox| outbox.bytes()),
            age: self.0.since.elapsed(),
        }
    }

    /// Adds how deep its queues are. Takes nothing from the heap: this is done for all sessions at each scrape.
    pub(super) fn add_depths(&self, depths: &mut Depths) {
        depths.mailbox += self.0.mailbox.adapter_messages();
        let published = self.0.published.lock();
        depths.journal += published.summary.journal;
        let outbox = published.outbox.as_ref().map_or(0, Outbox::len);
        depths.outbox += outbox;
        depths.outbox_longest = depths.outbox_longest.max(outbox);
    }

    /// What an operator sees in the list of all sessions.
    pub(super) fn status(&self) -> SessionStatus {
        let mailbox = self.0.mailbox.adapter_messages();
        let published = self.0.published.lock();
        let StateSummary { state, link_up, channels, interactions, unanswered, seq, journal } = published.summary;
        SessionStatus {
            id: self.short_id().to_owned(),
            agent: self.0.agent.to_string(),
            state,
            connected: published.outbox.is_some(),
            link: if link_up { "up" } else { "down" },
            channels,
            interactions,
            unanswered,
            seq,
            journal,
            outbox: published.outbox.as_ref().map_or(0, Outbox::len),
            mailbox,
        }
    }
}

/// Enough of a session's id to find it in a log, too little to bind it.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

impl PartialEq for SessionHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

struct Sink {
    session: SessionHandle,
    generation: u32,
}

impl AgentSink for Sink {
    fn deliver(&self, message: AdapterMessage) -> Delivery {
        self.session.0.mailbox.deliver(self.generation, message)
    }
}
