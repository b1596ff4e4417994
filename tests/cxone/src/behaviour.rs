//! What the public documents do not say of CXone, or say of some tenants only: each is a switch.
//!
//! Owns the assumptions under which the emulator runs. What is documented is no switch and stands in the code; the
//! default of a switch is what fits the documents best. An adapter must live with every combination.

use serde::Deserialize;

/// The assumptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// What `ParentContactId` of a call that was made beside another one says.
    pub parent: Parent,
    /// Whether such a call has the other one's MasterID. Else it has one of its own.
    pub shares_master: bool,
    /// CXone calls the agent's phone by itself when a call is offered, and the call becomes active once that is
    /// answered. Else the client does both.
    pub rings_agent: bool,
    /// The agent's phone stays connected from one call to the next. Else CXone hangs it up behind the last one.
    pub keeps_agent_leg: bool,
    /// `transfer-calls` is accepted while the second call is still dialling. Else it is answered with 409.
    pub connects_dialing: bool,
    /// `join-conference` takes the agent back into a conference that he has left for a while. Else he comes back by
    /// `conference-resume`.
    pub join_resumes: bool,
    /// Where `AgentSessionStart` stands in the first batch.
    pub session_start: Place,
    /// An agent session that cannot be started is accepted with 202, and `SessionStartFailed` follows.
    pub start_fails_by_event: bool,
    /// `GET /scripts` is known. Else scripts are listed at `/scripts/search` only.
    pub lists_scripts: bool,
    /// Dispositions are set by version 27 or later. Else by earlier ones.
    pub saves_dispositions: bool,
    /// `/token/whoami` names an address that cannot be reached from outside.
    pub leads_astray: bool,
    /// Entries of an address book's or another list's page, at most.
    pub page: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            parent: Parent::Own,
            shares_master: true,
            rings_agent: true,
            keeps_agent_leg: true,
            connects_dialing: false,
            join_resumes: false,
            session_start: Place::First,
            start_fails_by_event: false,
            lists_scripts: true,
            saves_dispositions: true,
            leads_astray: false,
            page: 100,
        }
    }
}

/// What `ParentContactId` of a call that was made beside another one says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parent {
    /// The call's own id, as for one that was never transferred.
    Own,
    /// The other call's id.
    Original,
    /// Nothing.
    Empty,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At the front.
    First,
    /// At the end.
    Last,
}

impl Behaviour {
    /// Every combination of the switches that change a decision of a client that handles calls.
    pub fn combinations() -> impl Iterator<Item = Self> {
        let parents = [Parent::Own, Parent::Original, Parent::Empty];
        (0..parents.len() * 16).map(move |number| {
            let is = |bit: usize| number >> bit & 1 == 1;
            Self {
                parent: parents[number >> 4],
                rings_agent: is(0),
                connects_dialing: is(1),
                session_start: if is(2) { Place::Last } else { Place::First },
                shares_master: !is(3),
                ..Self::default()
            }
        })
    }
}
