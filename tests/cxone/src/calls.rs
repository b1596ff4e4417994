//! The agent's phone and what calls do to each other: dialling, consulting, connecting, joining.
//!
//! As in [`contacts`](crate::contacts), everything here happens at once or is put off by a timer of the world's.

use serde_json::json;

use crate::{
    behaviour::Parent,
    contacts::{Leg, Peer},
    data::{AgentId, Media, SkillId},
    world::World,
};

/// How long CXone takes to connect a call with the agent's phone where no client can accept it, in milliseconds.
pub(crate) const CONNECTS: u64 = 400;

/// What a call that an agent makes is made of.
struct Placed {
    to: String,
    skill: SkillId,
    /// The call that it was made beside.
    beside: Option<u64>,
    peer: Peer,
    call_type: &'static str,
}

impl World {
    /// A call is offered: CXone calls the agent's phone where it does that by itself and it is down.
    pub(crate) fn ring_agent(&mut self, agent: AgentId) {
        let down = self.session(agent).is_some_and(|session| session.leg.status == "Disconnected");
        if down && self.data.behaviour.rings_agent {
            self.agent_phone(agent, true);
        }
        if !down && !self.data.behaviour.takes_accept {
            self.later(CONNECTS, move |world| world.take_offers(agent));
        }
    }

    /// The agent has answered the phone that CXone has called for an offered call.
    pub(crate) fn take_offers(&mut self, agent: AgentId) {
        let offered = |leg: &&Leg| {
            leg.agent == agent && leg.media == Media::Phone && leg.status == "Incoming" && !leg.manual && !leg.gone
        };
        let contacts: Vec<_> = self.legs.iter().filter(offered).map(|leg| leg.contact).collect();
        for contact in contacts {
            self.accept(agent, contact);
        }
    }

    /// The agent's phone is up; if not, it is called, and what is to happen happens once it is answered.
    fn with_agent_phone(&mut self, agent: AgentId, then: impl FnOnce(&mut Self) + Send + 'static) {
        let Some(session) = self.session(agent) else { return };
        match session.leg.status {
            "Active" => then(self),
            status => {
                if status == "Disconnected" {
                    self.agent_phone(agent, true);
                }
                let wait = self.data.timing.agent_phone_ring + 5;
                self.later(wait, move |world| {
                    if world.session(agent).is_some_and(|session| session.leg.status == "Active") {
                        then(world);
                    }
                });
            }
        }
    }

    /// The agent calls a number. Other calls of his that are active are put on hold.
    pub(crate) fn dial_phone(&mut self, agent: AgentId, number: String, skill: SkillId, beside: Option<u64>) {
        self.with_agent_phone(agent, move |world| {
            let placed = Placed { to: number.clone(), skill, beside, peer: Peer::Outside, call_type: "Regular" };
            let contact = world.place(agent, placed);
            let ring = world.data.timing.ring;
            let code = match number.as_str() {
                "480" => return,
                "486" => Some("Busy"),
                "404" => Some("InvalidNumber"),
                _ => None,
            };
            world.later(ring, move |world| match code {
                _ if world.leg(agent, contact).is_none_or(|leg| leg.status != "Dialing") => {}
                None => world.set_status(agent, contact, "Active"),
                Some(code) => world.disconnect(agent, contact, code, false),
            });
        });
    }

    /// The agent calls a colleague, whatever that one's state is.
    pub(crate) fn consult_agent(&mut self, agent: AgentId, target: AgentId, beside: Option<u64>, skill: SkillId) {
        self.with_agent_phone(agent, move |world| {
            let to = world.name_of(target);
            let placed = Placed { to, skill, beside, peer: Peer::Agent(target), call_type: "Consult" };
            let contact = world.place(agent, placed);
            world.offer_to_colleague(agent, contact, target);
        });
    }

    /// The agent calls a colleague's own queue: it rings there only if the colleague is available.
    pub(crate) fn dial_agent(&mut self, agent: AgentId, target: AgentId, beside: Option<u64>, skill: SkillId) {
        self.with_agent_phone(agent, move |world| {
            let free = world.session(target).is_some_and(|session| session.shown.0 == "Available");
            let peer = if free { Peer::Agent(target) } else { Peer::Queue };
            let placed = Placed { to: world.name_of(target), skill, beside, peer, call_type: "PersonalQueue" };
            let contact = world.place(agent, placed);
            if free {
                world.offer_to_colleague(agent, contact, target);
            }
        });
    }

    /// The agent calls whoever of a skill is free.
    pub(crate) fn dial_skill(&mut self, agent: AgentId, skill: SkillId, beside: Option<u64>) {
        let free = self
            .sessions
            .iter()
            .filter(|(id, session)| **id != agent && !session.ended && session.shown.0 == "Available")
            .filter(|(id, _)| self.data.agent(**id).is_some_and(|(_, who)| who.skills.contains(&skill)))
            .min_by_key(|(_, session)| session.since)
            .map(|(id, _)| *id);
        match free {
            Some(target) => self.consult_agent(agent, target, beside, skill),
            None => self.with_agent_phone(agent, move |world| {
                let to = skill.to_string();
                world.place(agent, Placed { to, skill, beside, peer: Peer::Queue, call_type: "Consult" });
            }),
        }
    }

    fn name_of(&self, agent: AgentId) -> String {
        let name = self.data.agent(agent).map(|(_, who)| format!("{} {}", who.first_name, who.last_name));
        name.unwrap_or_default()
    }

    fn place(&mut self, agent: AgentId, placed: Placed) -> u64 {
        for other in self.calls(agent) {
            if self.leg(agent, other).is_some_and(|leg| leg.status == "Active") {
                self.set_status(agent, other, "Holding");
            }
        }
        let (contact, now, behaviour) = (self.next_id(), self.clock.now(), self.data.behaviour);
        let other = placed.beside.and_then(|beside| self.leg(agent, beside)).map(|leg| (leg.contact, leg.master));
        let mut leg = Leg::new(contact, agent, Media::Phone, now);
        leg.master = other.filter(|_| behaviour.shares_master).map_or(contact, |(_, master)| master);
        leg.parent = match (behaviour.parent, other) {
            (Parent::Original, Some((original, _))) => Some(original),
            _ => self.own_parent(contact),
        };
        (leg.status, leg.call_type, leg.inbound) = ("Dialing", placed.call_type, false);
        (leg.ani, leg.dnis) = ("5550000".to_owned(), placed.to);
        (leg.skill, leg.peer) = (placed.skill, placed.peer);
        self.legs.push(leg);
        self.tell(agent, contact);
        self.refresh_state(agent);
        contact
    }

    fn offer_to_colleague(&mut self, from: AgentId, contact: u64, to: AgentId) {
        if self.session(to).is_none() {
            let ring = self.data.timing.ring;
            return self.later(ring, move |world| world.disconnect(from, contact, "NoAnswer", false));
        }
        let Some(mut leg) = self.leg(from, contact).cloned() else { return };
        leg.ani = self.name_of(from);
        leg.manual = self.data.agent(to).is_some_and(|(_, who)| who.manual_accept);
        (leg.agent, leg.inbound, leg.status, leg.peer) = (to, true, "Incoming", Peer::Agent(from));
        self.legs.push(leg);
        self.tell(to, contact);
        self.refresh_state(to);
        self.ring_agent(to);
    }

    /// Joins the agent's two calls and drops him.
    pub(crate) fn transfer(&mut self, agent: AgentId) {
        let calls = self.calls(agent);
        let [first, second] = calls[..] else { return };
        let (Some(original), Some(consult)) = (self.leg(agent, first).cloned(), self.leg(agent, second).cloned())
        else {
            return;
        };
        if let Peer::Agent(colleague) = consult.peer {
            self.hand_over(&original, &consult, colleague);
        }
        self.leave_conference(agent, first);
        self.leave_conference(agent, second);
        self.disconnect(agent, first, "", true);
        self.disconnect(agent, second, "", false);
        self.refresh_state(agent);
    }

    // Two legs that leave a conference together are not a conference that dissolves.
    fn leave_conference(&mut self, agent: AgentId, contact: u64) {
        if let Some(leg) = self.leg(agent, contact) {
            leg.status = "Active";
            leg.conference = None;
        }
    }

    /// The colleague's consult leg becomes the customer's call, under a new ContactID and the customer's MasterID.
    fn hand_over(&mut self, original: &Leg, consult: &Leg, colleague: AgentId) {
        let Some(theirs) = self.leg(colleague, consult.contact).cloned() else { return };
        let (contact, now) = (self.next_id(), self.clock.now());
        let mut leg = original.clone();
        leg.contact = contact;
        leg.agent = colleague;
        leg.parent = self.own_parent(original.contact);
        leg.status = if theirs.status == "Incoming" { "Incoming" } else { "Active" };
        leg.connected = leg.status == "Active";
        leg.conference = None;
        (leg.started, leg.changed) = (now, now);
        self.legs.push(leg);
        self.tell(colleague, contact);
        self.leave_conference(colleague, consult.contact);
        if theirs.status == "Incoming"
            && let Some(leg) = self.leg(colleague, consult.contact)
        {
            leg.status = "Incoming";
        }
        self.disconnect(colleague, consult.contact, "", false);
    }

    /// Joins all calls of the agent.
    pub(crate) fn conference(&mut self, agent: AgentId) {
        let known = self.legs.iter().filter(|leg| leg.agent == agent && leg.is_live()).find_map(|leg| leg.conference);
        let number = known.unwrap_or_else(|| self.next_id());
        for contact in self.calls(agent) {
            self.join_conference(agent, contact, number);
        }
        self.emit(agent, conference_event(number));
    }

    /// A call becomes part of a conference.
    pub(crate) fn join_conference(&mut self, agent: AgentId, contact: u64, number: u64) {
        let Some(leg) = self.leg(agent, contact) else { return };
        leg.conference = Some(number);
        let peer = leg.peer;
        self.set_status(agent, contact, "Joined");
        if let Peer::Agent(other) = peer {
            self.set_status(other, contact, "Joined");
        }
    }

    /// The agent leaves a conference for a while, or comes back.
    pub(crate) fn hold_conference(&mut self, agent: AgentId, number: u64, held: bool) {
        let parties: Vec<_> = self
            .legs
            .iter()
            .filter(|leg| leg.agent == agent && leg.is_live() && leg.conference == Some(number))
            .map(|leg| leg.contact)
            .collect();
        for contact in parties {
            let status = if held { "Holding" } else { "Joined" };
            if self.leg(agent, contact).is_some_and(|leg| leg.status != status) {
                self.set_status(agent, contact, status);
            }
        }
    }

    /// A conference with one party left is none.
    pub(crate) fn dissolve_conference(&mut self, agent: AgentId) {
        let joined: Vec<_> = self
            .legs
            .iter()
            .filter(|leg| leg.agent == agent && leg.status == "Joined" && leg.is_live())
            .map(|leg| leg.contact)
            .collect();
        if let [last] = joined[..] {
            if let Some(leg) = self.leg(agent, last) {
                leg.conference = None;
            }
            self.set_status(agent, last, "Active");
        }
    }

    /// The event Conference, as a replay has it too.
    #[must_use]
    pub(crate) fn conference_of(&self, agent: AgentId) -> Option<serde_json::Value> {
        let mine = self.legs.iter().filter(|leg| leg.agent == agent && leg.is_live());
        mine.filter_map(|leg| leg.conference).next().map(conference_event)
    }
}

fn conference_event(number: u64) -> serde_json::Value {
    json!({"Type": "Conference", "ConferenceNo": number.to_string()})
}
