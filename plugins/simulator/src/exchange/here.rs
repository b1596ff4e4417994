//! A switch in the adapter's own process.
//!
//! Owns: the way of its effects to the host, and the requests whose answer comes later. Must never: make a request wait
//! for anything but its answer.

use std::{collections::HashMap, sync::Arc};

use jackfield_plugin_api::{AgentHost, Code, Outcome, PlatformHost};
use rustc_hash::FxHashMap;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    drive::{Deliver, Driven},
    settings::Settings,
    switch::message::{Effect, Request, SessionNo, Ticket},
};

/// A switch in this process.
#[derive(Debug)]
pub(crate) struct Here(Arc<Driven<Hosts>>);

#[derive(Debug)]
struct Hosts {
    platform: PlatformHost,
    sessions: FxHashMap<SessionNo, AgentHost>,
    /// The request that is being carried out: its answer needs no channel if it comes at once.
    current: Option<Ticket>,
    answer: Option<Outcome>,
    /// Requests whose answer comes later.
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
    last_number: u64,
}

impl Hosts {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Deliver for Hosts {
    fn deliver(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, outcome } if Some(ticket) == self.current => self.answer = Some(outcome),
            Effect::Answer { ticket, outcome } => {
                if let Some(sender) = self.waiting.remove(&ticket) {
                    // Whoever asked may have given up.
                    let _ = sender.send(outcome);
                }
            }
            Effect::Report { session, report } => {
                if let Some(host) = self.sessions.get(&session) {
                    host.report(report);
                }
            }
            Effect::Link(link) => self.platform.link(link),
            Effect::Metric { name, labels, value } => {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                self.platform.metric(&name, &labels, value);
            }
        }
    }
}

impl Here {
    /// Opens a switch whose link is up, and its clock.
    pub(crate) fn open(settings: Settings, platform: PlatformHost) -> (Arc<Self>, JoinHandle<()>) {
        let hosts = Hosts {
            platform,
            sessions: FxHashMap::default(),
            current: None,
            answer: None,
            waiting: HashMap::new(),
            last_number: 0,
        };
        let driven = Driven::open(settings, hosts);
        // The link is up, and told so, before anybody can log in.
        driven.tick();
        let clock = tokio::spawn(Arc::clone(&driven).run());
        (Arc::new(Self(driven)), clock)
    }

    pub(crate) fn new_session(&self, host: AgentHost) -> SessionNo {
        self.0.with(|hosts| {
            let session = SessionNo(hosts.number());
            hosts.sessions.insert(session, host);
            session
        })
    }

    /// Asks for something. The answer is there, as nearly always, or is still to be waited for.
    pub(crate) fn ask(&self, session: SessionNo, request: Request) -> Result<Outcome, impl Future<Output = Outcome>> {
        self.submit(session, request).map_err(|(ticket, answer)| {
            let given_up = GivenUp { here: self, ticket };
            async move {
                let _given_up = given_up;
                answer.await.unwrap_or_else(|_| Outcome::failure(Code::Internal, "the switch has closed"))
            }
        })
    }

    /// Asks for something that is answered at once and cannot fail.
    pub(crate) fn tell(&self, session: SessionNo, request: Request) {
        if let Err((ticket, _)) = self.submit(session, request) {
            self.0.with(|hosts| hosts.waiting.remove(&ticket));
        }
    }

    pub(crate) fn forget(&self, session: SessionNo) {
        self.0.with(|hosts| hosts.sessions.remove(&session));
    }

    fn submit(&self, session: SessionNo, request: Request) -> Result<Outcome, (Ticket, oneshot::Receiver<Outcome>)> {
        let prepare = |hosts: &mut Hosts| {
            let ticket = Ticket(hosts.number());
            hosts.current = Some(ticket);
            ticket
        };
        self.0.submit(session, request, prepare, |hosts, ticket| {
            hosts.current = None;
            hosts.answer.take().ok_or_else(|| {
                let (sender, receiver) = oneshot::channel();
                hosts.waiting.insert(ticket, sender);
                (ticket, receiver)
            })
        })
    }
}

/// Whoever waits for an answer gives it up: nobody keeps a place for it.
struct GivenUp<'a> {
    here: &'a Here,
    ticket: Ticket,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.here.0.with(|hosts| hosts.waiting.remove(&self.ticket));
    }
}
