//! One connection: nothing yet, or bound to a session.
//!
//! Owns: which session a connection is bound to, prepareSession and bindSession, and what the end of a connection means.
//! Must never: wait for the platform (prepareSession runs beside it). Text comes in from the server; answers go to the
//! connection's [`Outbox`].

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use jackfield_plugin_api::{Code, Failure};
use jackfield_protocol::{
    data,
    message::{Request, Response},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use super::{
    Identity, Outbox, SessionManager,
    commands::{BIND, PREPARE},
    handle::SessionHandle,
    input::{Bind, ClientCommand, Control, Reply},
    mailbox::NotTaken,
    outbox::Message,
    prepare::{self, Prepared},
    throttle::ConnectionThrottle,
};
use crate::metrics::{CommandLabel, LimitLabel};

/// One connection that can send any message at any time. Dropping it says that the connection is gone.
pub(crate) struct ClientConnection {
    manager: SessionManager,
    identity: Identity,
    address: IpAddr,
    outbox: Outbox,
    binding: Arc<Mutex<Binding>>,
    /// A message that its session has had no room for yet, or a bindSession that is not through.
    pending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The session that has a command of this connection to handle.
    busy_session: Option<SessionHandle>,
    /// How fast its messages are read.
    throttle: ConnectionThrottle,
}

/// What a connection is bound to.
enum Binding {
    Nothing,
    /// prepareSession runs.
    Preparing,
    /// `answer`: how many messages the connection must have taken for prepareSession's answer to be among them.
    Bound {
        session: SessionHandle,
        answer: u64,
    },
    /// The connection is gone.
    Gone,
}

impl ClientConnection {
    /// A connection from an address, whose messages go to this outbox.
    #[must_use]
    pub(crate) fn new(manager: &SessionManager, identity: Identity, address: IpAddr, outbox: Outbox) -> Self {
        let binding = Arc::new(Mutex::new(Binding::Nothing));
        let throttle = ConnectionThrottle::new(manager.registry().limits().connection_commands);
        Self {
            manager: manager.clone(),
            identity,
            address,
            outbox,
            binding,
            pending: None,
            busy_session: None,
            throttle,
        }
    }

    /// Whether the next message may be handed over. Pending: the session has not handled the one before; the task is woken
    /// when it has, and what it was answered at once has been sent. A server does not read from its client meanwhile: so a
    /// client that floods waits, and the answers to what stands before its Close come before the connection ends. So does one
    /// that sends more than its share.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pending) = &mut self.pending {
            ready!(pending.as_mut().poll(context));
            self.pending = None;
        }
        if let Some(session) = &self.busy_session {
            ready!(session.mailbox().poll_all_handled(context));
            self.busy_session = None;
        }
        self.throttle.poll_ready(context)
    }

    /// Takes one message as it came, and when. To be called only when [`Self::poll_ready`] is: another one that is not
    /// through is given up.
    pub(crate) fn receive(&mut self, text: &str, at: Instant) {
        let (registry, metrics) = (self.manager.registry(), self.manager.metrics());
        if self.throttle.count(text.len(), at) {
            metrics.limited(LimitLabel::ConnectionCommandsPerSecond);
        }
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(bad) => {
                registry.throttle.count(text.len(), at);
                metrics.bad_message();
                return self.send(bad.response);
            }
        };
        if let Err(refused) = registry.throttle.admit(&request, at) {
            self.throttle.refused(at);
            metrics.limited(LimitLabel::CommandsPerSecond);
            return self.send(self.manager.refuse_for_now(&request, &refused));
        }
        match request.command() {
            PREPARE => self.prepare(request),
            BIND => self.bind(request, at),
            _ => self.command(request, at),
        }
    }

    /// Whether the connection has a session, or is about to have one.
    #[must_use]
    pub(crate) fn is_bound(&self) -> bool {
        matches!(*self.binding.lock(), Binding::Preparing | Binding::Bound { .. })
    }

    fn send(&self, text: String) {
        self.outbox.send(Message::response(text));
    }

    fn command(&mut self, request: Request, received: Instant) {
        let session = match &*self.binding.lock() {
            Binding::Bound { session, .. } => Some(session.clone()),
            _ => None,
        };
        let Some(session) = session else { return self.send(self.manager.answer_unbound(&request)) };
        let command = ClientCommand { request, reply: Reply::Outbox(self.outbox.clone()), received };
        match session.mailbox().try_command(command) {
            Ok(()) => self.busy_session = Some(session),
            Err(NotTaken::Closed(command)) => {
                self.unbind_ended();
                self.send(self.manager.answer_unbound(&command.request));
            }
            Err(NotTaken::Full(command)) => {
                self.busy_session = Some(session.clone());
                let (manager, outbox) = (self.manager.clone(), self.outbox.clone());
                self.pending = Some(Box::pin(async move {
                    if let Err(command) = session.mailbox().command(command).await {
                        outbox.send(Message::response(manager.answer_unbound(&command.request)));
                    }
                }));
            }
        }
    }

    /// Whoever is bound to a session that is over has none.
    fn unbind_ended(&self) {
        let mut binding = self.binding.lock();
        if let Binding::Bound { session, .. } = &*binding
            && session.is_ended()
        {
            *binding = Binding::Nothing;
        }
    }

    fn prepare(&self, request: Request) {
        self.unbind_ended();
        {
            let mut binding = self.binding.lock();
            if !matches!(*binding, Binding::Nothing) {
                drop(binding);
                return self.send(self.manager.refuse_second(&request));
            }
            *binding = Binding::Preparing;
        }
        let (manager, identity, address) = (self.manager.clone(), self.identity.clone(), self.address);
        let (outbox, binding) = (self.outbox.clone(), Arc::clone(&self.binding));
        tokio::spawn(async move {
            let prepared = manager.prepare_session(&request, &identity, address).await;
            finish(&binding, &outbox, prepared);
        });
    }

    fn bind(&mut self, request: Request, received: Instant) {
        self.unbind_ended();
        let label = CommandLabel::of(BIND);
        let mut binding = self.binding.lock();
        if !matches!(*binding, Binding::Nothing) {
            drop(binding);
            return self.send(self.manager.refuse_second(&request));
        }
        let found = data::parse(request.data()).map_err(|what| Failure::new(Code::BadRequest, what)).and_then(
            |data::BindData { session: data::ById { id }, after }| {
                let session = self.manager.registry().find(&id, &self.identity);
                Ok((session.ok_or_else(no_such_session)?, after))
            },
        );
        let (session, after) = match found {
            Ok(found) => found,
            Err(failure) => {
                drop(binding);
                return self.send(self.manager.answer(&request, label, received, Response::Failure(&failure)));
            }
        };
        *binding = Binding::Bound { session: session.clone(), answer: 0 };
        drop(binding);
        let (done, bound) = oneshot::channel();
        let outbox = self.outbox.clone();
        let answered = Some((request.clone(), received));
        session.control(Control::Bind(Bind { outbox, after, request: answered, done }));
        let (manager, outbox, binding) = (self.manager.clone(), self.outbox.clone(), Arc::clone(&self.binding));
        self.pending = Some(Box::pin(async move {
            // What has no answer has ended.
            if let Err(failure) = bound.await.unwrap_or_else(|_| Err(no_such_session())) {
                *binding.lock() = Binding::Nothing;
                let text = manager.answer(&request, label, received, Response::Failure(&failure));
                outbox.send(Message::response(text));
            }
        }));
    }
}

fn no_such_session() -> Failure {
    Failure::new(Code::NotFound, "there is no such session")
}

/// Hands out what became of prepareSession, or undoes it where nobody waits for it any more.
fn finish(binding: &Mutex<Binding>, outbox: &Outbox, prepared: Prepared) {
    let mut binding = binding.lock();
    let gone = matches!(*binding, Binding::Gone);
    match prepared {
        Prepared::Session(session, text) => {
            if gone {
                prepare::undo(&session);
            } else if outbox.send(Message::response(text)) {
                session.control(Control::Connect(outbox.clone()));
                *binding = Binding::Bound { session, answer: outbox.sent() };
            } else {
                *binding = Binding::Nothing;
                prepare::undo(&session);
            }
        }
        Prepared::Refused(text) => {
            if !gone {
                *binding = Binding::Nothing;
            }
            outbox.send(Message::response(text));
        }
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        let binding = std::mem::replace(&mut *self.binding.lock(), Binding::Gone);
        if let Binding::Bound { session, answer } = binding {
            if self.outbox.delivered(answer) {
                session.control(Control::Disconnect(self.outbox.clone()));
            } else {
                // The client has never learnt of its session.
                prepare::undo(&session);
            }
        }
    }
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientConnection")
    }
}
