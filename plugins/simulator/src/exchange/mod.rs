//! The way from a session to its tenant's switch, wherever that stands.
//!
//! Owns: the choice between a switch in the adapter's own process and one in another. Must never: let the rest of the
//! adapter see which it is. Requests come from [`adapter`](crate::adapter); reports, link changes and metrics go to the
//! host.

mod elsewhere;
mod here;

use std::sync::Arc;

use jackfield_plugin_api::{AgentHost, Ending, Outcome, PlatformHost};
use tokio::task::JoinHandle;

use self::{elsewhere::Elsewhere, here::Here};
use crate::{
    settings::Settings,
    switch::message::{Request, SessionNo},
};

/// A tenant's switch, as its sessions reach it.
#[derive(Debug, Clone)]
pub(crate) enum Exchange {
    /// In this process.
    Here(Arc<Here>),
    /// In another.
    Elsewhere(Arc<Elsewhere>),
}

impl Exchange {
    /// Opens the way to a switch, and what keeps it open.
    pub(crate) fn open(tenant: String, settings: Settings, host: PlatformHost) -> (Self, JoinHandle<()>) {
        match settings.switch.clone() {
            None => {
                let (here, clock) = Here::open(settings, host);
                (Self::Here(here), clock)
            }
            Some(address) => {
                let (elsewhere, line) = Elsewhere::open(address, tenant, settings, host);
                (Self::Elsewhere(elsewhere), line)
            }
        }
    }

    /// A new session, which the host listens to.
    pub(crate) fn new_session(&self, host: AgentHost) -> SessionNo {
        match self {
            Self::Here(here) => here.new_session(host),
            Self::Elsewhere(elsewhere) => elsewhere.new_session(host),
        }
    }

    /// Asks the switch something and waits for its answer.
    pub(crate) async fn ask(&self, session: SessionNo, request: Request) -> Outcome {
        match self {
            Self::Here(here) => match here.ask(session, request) {
                Ok(outcome) => outcome,
                Err(later) => later.await,
            },
            Self::Elsewhere(elsewhere) => elsewhere.ask(session, request).await,
        }
    }

    /// The session goes and its calls stay. Nothing is heard of it any more.
    pub(crate) fn leave(&self, session: SessionNo) {
        let request = Request::LogOut(Ending::Leave);
        match self {
            Self::Here(here) => here.tell(session, request),
            Self::Elsewhere(elsewhere) => elsewhere.tell(session, request),
        }
        self.forget(session);
    }

    /// Nothing is heard of the session any more.
    pub(crate) fn forget(&self, session: SessionNo) {
        match self {
            Self::Here(here) => here.forget(session),
            Self::Elsewhere(elsewhere) => elsewhere.forget(session),
        }
    }
}
