//! One connection: nothing yet, or bound to a session.
//!
//! Owns: which session a connection is bound to, prepareSession and bindSession, and what the end of a connection means.
//! Must never: wait for the platform (prepareSession runs beside it). Text comes in from the server; answers go to the
//! connection's [`Outbox`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use jackfield_plugin_api::{Code, Failure};
use tokio::time::Instant;

use super::{
    Batch, Identity, Outbox,
    actor::Reply,
    cell::Cell,
    commands::{BIND, PREPARE},
    data,
    manager::Board,
    message::{Request, Response},
    prepare::{self, Prepared},
    text::Text,
};
use crate::metrics::CommandLabel;

/// One connection that can send any message at any time. Dropping it says that the connection is gone.
pub struct ClientConnection {
    board: Arc<Board>,
    identity: Identity,
    outbox: Outbox,
    binding: Arc<Mutex<Binding>>,
    /// The session, once it was found in the binding: nobody else unbinds it.
    cell: Option<Arc<Cell>>,
}

/// What a connection is bound to.
enum Binding {
    Nothing,
    /// prepareSession runs.
    Preparing,
    /// `answer`: how many messages the connection must have taken for prepareSession's answer to be among them.
    Bound {
        cell: Arc<Cell>,
        answer: u64,
    },
    /// The connection is gone.
    Gone,
}

impl ClientConnection {
    pub(super) fn new(board: Arc<Board>, identity: Identity, outbox: Outbox) -> Self {
        Self { board, identity, outbox, binding: Arc::new(Mutex::new(Binding::Nothing)), cell: None }
    }

    /// Takes one message as it came, and when.
    pub fn receive(&mut self, text: &str, at: Instant) {
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(bad) => {
                self.board.metrics.bad_message();
                return self.send(bad.response);
            }
        };
        let is_prepare = match &*request.command() {
            PREPARE => true,
            BIND => false,
            _ => return self.command(request, at),
        };
        self.look_for_cell();
        if self.cell.as_ref().is_some_and(|cell| cell.is_ended()) {
            self.unbind();
        }
        if is_prepare { self.prepare(request) } else { self.bind(&request, at) }
    }

    fn command(&mut self, request: Request, at: Instant) {
        self.look_for_cell();
        let Some(cell) = &self.cell else { return self.send(self.board.answer_unbound(&request)) };
        let refused = cell.with_patience(true, |core| {
            if core.is_ended() {
                return Some(request);
            }
            core.receive(request, Reply::Outbox(self.outbox.clone()), at);
            None
        });
        if let Some(request) = refused {
            self.unbind();
            self.send(self.board.answer_unbound(&request));
        }
    }

    /// Whether there is something to do for the session.
    #[must_use]
    pub fn has_work(&mut self) -> bool {
        // prepareSession may have ended since the last look, and what has come for the session then has woken nobody.
        self.look_for_cell();
        self.cell.as_ref().is_some_and(|cell| cell.has_word())
    }

    /// Does for the session what the adapter has brought. `patient`: only as long as the connection's queue is not busy,
    /// for a client that has taken all so far.
    pub fn work(&mut self, patient: bool) {
        if self.has_work()
            && let Some(cell) = &self.cell
        {
            cell.read_word(patient);
        }
    }

    /// Whether the connection has a session, or is about to have one.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        matches!(*locked(&self.binding), Binding::Preparing | Binding::Bound { .. })
    }

    fn send(&self, text: Text) {
        self.outbox.send(Batch::response(text));
    }

    /// Finds the session, which may be over.
    fn look_for_cell(&mut self) {
        if self.cell.is_none()
            && let Binding::Bound { cell, .. } = &*locked(&self.binding)
        {
            self.cell = Some(Arc::clone(cell));
        }
    }

    /// The session is over: the connection has none.
    fn unbind(&mut self) {
        self.cell = None;
        *locked(&self.binding) = Binding::Nothing;
    }

    fn prepare(&self, request: Request) {
        {
            let mut binding = locked(&self.binding);
            if !matches!(*binding, Binding::Nothing) {
                drop(binding);
                return self.send(self.board.refuse_second(&request));
            }
            *binding = Binding::Preparing;
        }
        let (board, identity) = (Arc::clone(&self.board), self.identity.clone());
        let (outbox, binding) = (self.outbox.clone(), Arc::clone(&self.binding));
        self.board.runtime.spawn(async move {
            let prepared = board.prepare(&request, &identity).await;
            finish(&binding, &outbox, prepared);
        });
    }

    fn bind(&self, request: &Request, since: Instant) {
        let label = CommandLabel::of(BIND);
        let mut binding = locked(&self.binding);
        if !matches!(*binding, Binding::Nothing) {
            drop(binding);
            return self.send(self.board.refuse_second(request));
        }
        let bound = data::parse(request.data()).map_err(|what| Failure::new(Code::BadRequest, what)).and_then(
            |data::Bind { session: data::Id { id }, after }| {
                let cell = self.board.find(&id, &self.identity);
                let cell = cell.ok_or_else(|| Failure::new(Code::NotFound, "there is no such session"))?;
                cell.with(|core| {
                    core.bind(self.outbox.clone(), after, |data| {
                        Some(self.board.answer(request, label, since, Response::SuccessWith(data)))
                    })
                })?;
                Ok(cell)
            },
        );
        match bound {
            Ok(cell) => *binding = Binding::Bound { cell, answer: 0 },
            Err(failure) => self.send(self.board.answer(request, label, since, Response::Failure(&failure))),
        }
    }
}

/// Hands out what became of prepareSession, or undoes it where nobody waits for it any more.
fn finish(binding: &Mutex<Binding>, outbox: &Outbox, prepared: Prepared) {
    let mut binding = locked(binding);
    let gone = matches!(*binding, Binding::Gone);
    match prepared {
        Prepared::Session(cell, _) if gone => {
            drop(binding);
            prepare::undo(&cell);
        }
        Prepared::Session(cell, text) => {
            if outbox.send(Batch::response(text)) {
                cell.with(|core| core.connect(outbox.clone()));
                *binding = Binding::Bound { cell, answer: outbox.sent() };
            } else {
                *binding = Binding::Nothing;
                drop(binding);
                prepare::undo(&cell);
            }
        }
        Prepared::Refused(text) => {
            if !gone {
                *binding = Binding::Nothing;
            }
            outbox.send(Batch::response(text));
        }
    }
}

fn locked(binding: &Mutex<Binding>) -> MutexGuard<'_, Binding> {
    binding.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        let binding = std::mem::replace(&mut *locked(&self.binding), Binding::Gone);
        if let Binding::Bound { cell, answer } = binding {
            if self.outbox.delivered(answer) {
                cell.with(|core| core.disconnect(&self.outbox));
            } else {
                // The client has never learnt of its session.
                prepare::undo(&cell);
            }
        }
    }
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientConnection")
    }
}

/// An event stream by HTTP. Dropping it says that the connection is gone.
pub struct EventStream {
    /// What the stream begins with: the data of bindSession's success.
    pub bound: Bytes,
    cell: Arc<Cell>,
    outbox: Outbox,
}

impl EventStream {
    pub(super) fn new(cell: Arc<Cell>, outbox: Outbox, bound: Bytes) -> Self {
        Self { bound, cell, outbox }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.cell.with(|core| core.disconnect(&self.outbox));
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}
