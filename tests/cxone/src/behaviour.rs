//! What the public documents do not say of CXone, or say of some tenants only: each is a switch.
//!
//! Owns the assumptions under which the emulator runs. What is documented is no switch and stands in the code; the
//! default of a switch is what fits the documents best. An adapter must live with every combination.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::writing::Writing;

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
    /// A call that need not be accepted can be: else it becomes the agent's a moment after his phone is up.
    pub takes_accept: bool,
    /// A call that is on hold or masked can be ended. Else it must be taken back first, as in NICE's own client.
    pub ends_held: bool,
    /// That after-contact work is over is told of the contact too, and not by the agent's state alone.
    pub tells_final: bool,
    /// A replay comes in two parts, so many milliseconds apart: the session, then what goes on in it.
    pub replay_gap: u64,
    /// Events come one by one, at least so many milliseconds apart.
    pub apart: u64,
    /// Commands under a session id that was replaced are refused; polls under it are not.
    pub strict_ids: bool,
    /// `Skill` of a contact is the skill's name. Else its number.
    pub names_skill: bool,
    /// Entries of an address book's or another list's page, at most.
    pub page: usize,
    /// How it writes what it says.
    pub writing: Writing,
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
            takes_accept: true,
            ends_held: true,
            tells_final: true,
            replay_gap: 0,
            apart: 0,
            strict_ids: false,
            names_skill: false,
            page: 100,
            writing: Writing::default(),
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
    /// Nowhere: who joins a session knows that it has begun.
    Nowhere,
}

impl Behaviour {
    /// As few of [`combinations`](Self::combinations) as have every two values of any two switches together somewhere.
    #[must_use]
    pub fn pairs() -> Vec<Self> {
        let values = |it: &Self| {
            let Self { parent, shares_master, rings_agent, connects_dialing, session_start, .. } = *it;
            [parent as usize, shares_master.into(), rings_agent.into(), connects_dialing.into(), session_start as usize]
        };
        let pairs = |it: &Self| {
            let values = values(it);
            let two = (0..values.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
            two.map(|(one, other)| (one, values[one], other, values[other])).collect::<BTreeSet<_>>()
        };
        let all: Vec<_> = Self::combinations().collect();
        let mut missing: BTreeSet<_> = all.iter().flat_map(pairs).collect();
        let mut chosen = Vec::new();
        while !missing.is_empty() {
            let news = |it: &&Self| pairs(it).intersection(&missing).count();
            let best = *all.iter().max_by_key(news).expect("there are combinations");
            missing = missing.difference(&pairs(&best)).copied().collect();
            chosen.push(best);
        }
        chosen
    }

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

#[cfg(test)]
mod tests {
    use super::Behaviour;

    #[test]
    fn a_few_combinations_have_every_pair_of_values() {
        let (all, few) = (Behaviour::combinations().count(), Behaviour::pairs());
        assert_eq!(all, 48);
        assert!(few.len() <= 8, "{}", few.len());
        assert!(few.iter().any(|it| it.rings_agent && !it.shares_master), "for one");
    }
}
