//! The way from the inside of a plugin to the host.
//!
//! Owns: writing messages, reading payloads, and the guard that keeps an adapter's panic inside its own call. Must never:
//! block, or keep a message; what the host cannot take now is the caller's to send again.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    failure::{Code, Failure},
    logs,
    wire::{self, Breach, BreachKind, Done, Kind, MessageSink, Status},
};

/// The host, as the inside of a plugin talks to it.
#[derive(Clone)]
pub(crate) struct HostSender {
    sink: Arc<dyn MessageSink>,
}

impl HostSender {
    pub(crate) fn new(sink: Arc<dyn MessageSink>) -> Self {
        Self { sink }
    }

    /// Sends one message; `id` is the platform or agent that it is about.
    pub(crate) fn send<T: Serialize + ?Sized>(&self, kind: Kind, id: u64, message: &T) -> Status {
        wire::write(message).map_or(Status::REFUSED, |payload| self.sink.send(kind, id, &payload))
    }

    /// Says that a message of the host has been dealt with.
    pub(crate) fn done(&self, of: Kind, id: u64, failure: Option<Failure>) {
        self.send(Kind::DONE, id, &Done { of, failure });
    }

    /// Says that the adapter broke the contract.
    pub(crate) fn breach(&self, id: u64, what: BreachKind, detail: &str) {
        self.breaches(id, what, detail, 1);
    }

    /// Says that the adapter broke the contract, `times` times since this was said last.
    pub(crate) fn breaches(&self, id: u64, what: BreachKind, detail: &str, times: u64) {
        self.send(Kind::BREACH, id, &Breach { what, detail: detail.to_owned(), times });
    }

    /// Reads a payload; what cannot be read is told to the host.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: Kind, id: u64, payload: &str) -> Option<T> {
        let unreadable = |error| {
            self.breach(id, BreachKind::BadMessage, &format!("{kind:?}: {}", wire::without_values(&error)));
        };
        wire::read(payload).map_err(unreadable).ok()
    }

    /// Runs an adapter's code in the name of a platform or an agent; a panic becomes a failure, and is told.
    pub(crate) async fn guard<T>(
        &self,
        id: u64,
        mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        poll_fn(|context| {
            let poll = || logs::on_behalf_of(id, || work.as_mut().poll(context));
            catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|panic| {
                self.breach(id, BreachKind::Panic, logs::text_of(&*panic));
                Poll::Ready(Err(Failure::new(Code::AdapterFailed, "the adapter panicked")))
            })
        })
        .await
    }
}
