//! Contacts: what happens to them, and what each agent is told of it.
//!
//! A contact that two agents share (a consult between colleagues) is two legs with one ContactID, each with its own
//! agent. Everything here happens at once; delays are made by whoever calls.

use serde_json::{Value, json};

use crate::{
    clock,
    data::{AgentId, Media, SkillId},
    world::{World, truth},
};

/// A contact, as one agent sees it.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    /// ContactID.
    pub contact: u64,
    /// MasterID.
    pub master: u64,
    /// ParentContactId: the call that this one was made from.
    pub parent: Option<u64>,
    /// Whose.
    pub agent: AgentId,
    /// Call, chat or e-mail.
    pub media: Media,
    /// Status.
    pub status: &'static str,
    /// CallType.
    pub call_type: &'static str,
    /// IsInbound.
    pub inbound: bool,
    /// Calling number or address.
    pub ani: String,
    /// Called number or address.
    pub dnis: String,
    /// Its skill.
    pub skill: SkillId,
    /// Who is at the other end.
    pub peer: Peer,
    /// When it began.
    pub started: u64,
    /// When its status changed last.
    pub changed: u64,
    /// Agent and other party have spoken.
    pub connected: bool,
    /// FinalState: nothing more will be told of it.
    pub gone: bool,
    /// It is recorded.
    pub recording: bool,
    /// What custom-data said last.
    pub custom: String,
    /// The screen-pop address.
    pub url: String,
    /// Why it ended.
    pub code: &'static str,
}

/// Who is at the other end of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Somebody outside.
    Outside,
    /// Another agent, by the same ContactID.
    Agent(AgentId),
    /// Nobody yet: it waits for an agent of the skill.
    Queue,
}

impl Leg {
    /// The agent has something to do with it now.
    #[must_use]
    pub(crate) fn is_live(&self) -> bool {
        self.status != "Disconnected" && !self.gone
    }

    /// What the agent's state is called while he handles it.
    #[must_use]
    pub(crate) fn work(&self) -> &'static str {
        match (self.call_type, self.inbound) {
            ("Consult", true) => "InboundConsult",
            ("Consult", false) => "OutboundConsult",
            (_, true) => "InboundContact",
            (_, false) => "OutboundContact",
        }
    }

    /// The event that tells how it is.
    #[must_use]
    pub(crate) fn event(&self) -> Value {
        let kind = match self.media {
            Media::Phone => "CallContactEvent",
            Media::Chat => "ChatContactEvent",
            Media::Email => "EmailContactEvent",
        };
        let mut event = json!({
            "Type": kind, "ContactID": self.contact.to_string(), "MasterID": self.master.to_string(),
            "Status": self.status, "CallType": self.call_type, "DNIS": self.dnis, "ANI": self.ani,
            "Skill": self.skill.to_string(), "IsInbound": truth(self.inbound),
            "StartTimeUTC": clock::text(self.started), "LastStateChangeTimeUTC": clock::text(self.changed),
            "ScreenPopUrl": self.url, "DisconnectCode": self.code, "IsLogging": truth(self.recording),
            "AllowDispositions": "True", "FinalState": truth(self.gone), "CustomData": self.custom,
            "ParentContactId": self.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        });
        if self.media == Media::Chat {
            event["RoomId"] = json!(format!("room-{}", self.contact));
            event["InFocus"] = json!("True");
            event["FromAddress"] = json!(self.ani);
        }
        if self.media == Media::Email {
            event["FromAddress"] = json!(self.ani);
        }
        event
    }
}

/// What a new contact is made of.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Call, chat or e-mail.
    pub media: Media,
    /// Calling number or address.
    pub from: String,
    /// Called number or address.
    pub to: String,
    /// Its skill.
    pub skill: SkillId,
    /// The screen-pop address.
    pub url: String,
}

impl World {
    /// The agent's leg of a contact.
    pub(crate) fn leg(&mut self, agent: AgentId, contact: u64) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.agent == agent && leg.contact == contact && !leg.gone)
    }

    /// The agent's live calls, oldest first.
    #[must_use]
    pub(crate) fn calls(&self, agent: AgentId) -> Vec<u64> {
        let mine = self.legs.iter().filter(|leg| leg.agent == agent && leg.is_live() && leg.media == Media::Phone);
        mine.map(|leg| leg.contact).collect()
    }

    fn tell(&mut self, agent: AgentId, contact: u64) {
        let leg = self.legs.iter().rev().find(|leg| leg.agent == agent && leg.contact == contact);
        if let Some(event) = leg.map(Leg::event) {
            self.emit(agent, event);
        }
    }

    /// Puts a leg into another status and tells.
    pub(crate) fn set_status(&mut self, agent: AgentId, contact: u64, status: &'static str) {
        let now = self.clock.now();
        let Some(leg) = self.leg(agent, contact) else { return };
        leg.status = status;
        leg.changed = now;
        leg.connected |= status == "Active";
        self.tell(agent, contact);
        self.refresh_state(agent);
    }

    /// A contact comes to an agent.
    pub(crate) fn arrive(&mut self, agent: AgentId, arrival: Arrival) -> u64 {
        let (contact, now) = (self.next_id(), self.clock.now());
        self.legs.push(Leg {
            contact,
            master: contact,
            parent: None,
            agent,
            media: arrival.media,
            status: "Incoming",
            call_type: "Regular",
            inbound: true,
            ani: arrival.from,
            dnis: arrival.to,
            skill: arrival.skill,
            peer: Peer::Outside,
            started: now,
            changed: now,
            connected: false,
            gone: false,
            recording: false,
            custom: String::new(),
            url: arrival.url,
            code: "",
        });
        self.tell(agent, contact);
        self.refresh_state(agent);
        contact
    }

    /// The agent's leg ends. After-contact work follows where its skill has it and somebody was spoken to.
    pub(crate) fn disconnect(&mut self, agent: AgentId, contact: u64, code: &'static str, may_work: bool) {
        let now = self.clock.now();
        let Some(leg) = self.leg(agent, contact) else { return };
        if leg.status == "Disconnected" {
            return;
        }
        let (skill, spoken, was) = (leg.skill, leg.connected, leg.status);
        let work = may_work
            && spoken
            && self.data.agent(agent).and_then(|(unit, _)| unit.skill(skill)).is_some_and(|skill| skill.acw);
        let leg = self.leg(agent, contact).expect("it was there");
        leg.status = "Disconnected";
        leg.changed = now;
        leg.code = code;
        leg.gone = !work;
        self.tell(agent, contact);
        if was == "Joined" {
            self.dissolve_conference(agent);
        }
        self.refresh_state(agent);
    }

    /// A conference with one party left is none.
    fn dissolve_conference(&mut self, agent: AgentId) {
        let joined: Vec<_> = self
            .legs
            .iter()
            .filter(|leg| leg.agent == agent && leg.status == "Joined" && !leg.gone)
            .map(|leg| leg.contact)
            .collect();
        if let [last] = joined[..] {
            self.set_status(agent, last, "Active");
        }
    }

    /// A leg ends at both of its ends.
    pub(crate) fn hang_up(&mut self, agent: AgentId, contact: u64, code: &'static str) {
        let peer = self.leg(agent, contact).map(|leg| leg.peer);
        self.disconnect(agent, contact, code, true);
        if let Some(Peer::Agent(other)) = peer {
            self.disconnect(other, contact, code, false);
        }
    }

    /// What is left to be finished is finished.
    pub(crate) fn finish_after_contact_work(&mut self, agent: AgentId) {
        let now = self.clock.now();
        let mut left = Vec::new();
        for leg in &mut self.legs {
            if leg.agent == agent && !leg.gone && !leg.is_live() {
                leg.gone = true;
                leg.changed = now;
                left.push(leg.contact);
            }
        }
        for contact in left {
            self.tell(agent, contact);
        }
        self.legs.retain(|leg| !leg.gone || now - leg.changed < 60_000);
    }

    /// All contacts of an agent end.
    pub(crate) fn end_contacts(&mut self, agent: AgentId) {
        let live: Vec<_> =
            self.legs.iter().filter(|leg| leg.agent == agent && leg.is_live()).map(|leg| leg.contact).collect();
        for contact in live {
            self.hang_up(agent, contact, "");
        }
        self.finish_after_contact_work(agent);
    }

    /// The agent's phone is up; if not, it is called, and what is to happen happens once it is answered.
    pub(crate) fn with_agent_phone(&mut self, agent: AgentId, then: impl FnOnce(&mut Self) + Send + 'static) {
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

    /// The agent takes an offered contact.
    pub(crate) fn accept(&mut self, agent: AgentId, contact: u64) {
        let Some(leg) = self.leg(agent, contact) else { return };
        let peer = leg.peer;
        if leg.media != Media::Phone {
            return self.set_status(agent, contact, "Active");
        }
        self.with_agent_phone(agent, move |world| {
            if world.leg(agent, contact).is_some_and(|leg| matches!(leg.status, "Incoming" | "Ringing")) {
                world.set_status(agent, contact, "Active");
                if let Peer::Agent(other) = peer {
                    world.set_status(other, contact, "Active");
                }
            }
        });
    }

    /// The agent calls a number. Other calls of his that are active are put on hold.
    pub(crate) fn dial_phone(&mut self, agent: AgentId, number: String, skill: SkillId, parent: Option<u64>) {
        self.with_agent_phone(agent, move |world| {
            // An outbound call has a MasterID of its own, also where it was made from another one.
            let contact = world.place(agent, number.clone(), skill, parent, None, Peer::Outside);
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

    /// The agent calls a colleague, for a consultation about another call.
    pub(crate) fn dial_agent(&mut self, agent: AgentId, target: AgentId, parent: Option<u64>, skill: SkillId) {
        self.with_agent_phone(agent, move |world| {
            let master = parent.and_then(|parent| world.leg(agent, parent)).map(|leg| leg.master);
            let name = world.data.agent(target).map(|(_, who)| format!("{} {}", who.first_name, who.last_name));
            let contact = world.place(agent, name.unwrap_or_default(), skill, parent, master, Peer::Agent(target));
            world.offer_consult(agent, contact, target);
        });
    }

    /// The agent calls whoever of a skill is free.
    pub(crate) fn dial_skill(&mut self, agent: AgentId, skill: SkillId, parent: Option<u64>) {
        let free = self
            .sessions
            .iter()
            .filter(|(id, session)| **id != agent && !session.ended && session.shown.0 == "Available")
            .filter(|(id, _)| self.data.agent(**id).is_some_and(|(_, who)| who.skills.contains(&skill)))
            .min_by_key(|(_, session)| session.since)
            .map(|(id, _)| *id);
        match free {
            Some(target) => self.dial_agent(agent, target, parent, skill),
            None => self.with_agent_phone(agent, move |world| {
                let master = parent.and_then(|parent| world.leg(agent, parent)).map(|leg| leg.master);
                world.place(agent, skill.to_string(), skill, parent, master, Peer::Queue);
            }),
        }
    }

    fn place(
        &mut self,
        agent: AgentId,
        to: String,
        skill: SkillId,
        parent: Option<u64>,
        master: Option<u64>,
        peer: Peer,
    ) -> u64 {
        for other in self.calls(agent) {
            if self.leg(agent, other).is_some_and(|leg| leg.status == "Active") {
                self.set_status(agent, other, "Holding");
            }
        }
        let (contact, now) = (self.next_id(), self.clock.now());
        self.legs.push(Leg {
            contact,
            master: master.unwrap_or(contact),
            parent,
            agent,
            media: Media::Phone,
            status: "Dialing",
            call_type: if peer == Peer::Outside { "Regular" } else { "Consult" },
            inbound: false,
            ani: "5550000".to_owned(),
            dnis: to,
            skill,
            peer,
            started: now,
            changed: now,
            connected: false,
            gone: false,
            recording: false,
            custom: String::new(),
            url: String::new(),
            code: "",
        });
        self.tell(agent, contact);
        self.refresh_state(agent);
        contact
    }

    fn offer_consult(&mut self, from: AgentId, contact: u64, to: AgentId) {
        if self.session(to).is_none() {
            let ring = self.data.timing.ring;
            return self.later(ring, move |world| world.disconnect(from, contact, "NoAnswer", false));
        }
        let Some(mut leg) = self.leg(from, contact).cloned() else { return };
        leg.ani =
            self.data.agent(from).map(|(_, who)| format!("{} {}", who.first_name, who.last_name)).unwrap_or_default();
        (leg.agent, leg.inbound, leg.status, leg.peer) = (to, true, "Incoming", Peer::Agent(from));
        self.legs.push(leg);
        self.tell(to, contact);
        self.refresh_state(to);
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
        self.disconnect_quietly(agent, first);
        self.disconnect_quietly(agent, second);
        self.disconnect_told(agent, first, true);
        self.disconnect_told(agent, second, false);
        self.refresh_state(agent);
    }

    // Two legs that leave a conference together are not a conference that dissolves.
    fn disconnect_quietly(&mut self, agent: AgentId, contact: u64) {
        if let Some(leg) = self.leg(agent, contact) {
            leg.status = "Active";
        }
    }

    fn disconnect_told(&mut self, agent: AgentId, contact: u64, may_work: bool) {
        self.disconnect(agent, contact, "", may_work);
    }

    /// The colleague's consult leg becomes the customer's call, under a new ContactID and the customer's MasterID.
    fn hand_over(&mut self, original: &Leg, consult: &Leg, colleague: AgentId) {
        let Some(theirs) = self.leg(colleague, consult.contact).cloned() else { return };
        let (contact, now) = (self.next_id(), self.clock.now());
        let mut leg = original.clone();
        leg.contact = contact;
        leg.agent = colleague;
        leg.parent = None;
        leg.status = if theirs.status == "Incoming" { "Incoming" } else { "Active" };
        leg.connected = leg.status == "Active";
        (leg.started, leg.changed) = (now, now);
        self.legs.push(leg);
        self.tell(colleague, contact);
        self.disconnect_quietly(colleague, consult.contact);
        self.disconnect(colleague, consult.contact, "", false);
    }

    /// Joins all calls of the agent.
    pub(crate) fn conference(&mut self, agent: AgentId) {
        for contact in self.calls(agent) {
            let peer = self.leg(agent, contact).map(|leg| leg.peer);
            self.set_status(agent, contact, "Joined");
            if let Some(Peer::Agent(other)) = peer {
                self.set_status(other, contact, "Joined");
            }
        }
    }

    /// What a disposition does: a contact in after-contact work is finished.
    pub(crate) fn dispose(&mut self, agent: AgentId, contact: u64, disposition: u64) {
        self.dispositions.push((contact, disposition));
        let now = self.clock.now();
        let Some(leg) = self.leg(agent, contact) else { return };
        if !leg.is_live() {
            leg.gone = true;
            leg.changed = now;
            self.tell(agent, contact);
            self.refresh_state(agent);
        }
    }
}
