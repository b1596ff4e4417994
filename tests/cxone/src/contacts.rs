//! Contacts: what becomes of each, and what each agent is told of it.
//!
//! A contact that two agents share (a consult between colleagues) is two legs with one ContactID, each with its own
//! agent. Everything here happens at once; delays are made by whoever calls. How calls are made, connected and joined
//! stands in [`calls`](crate::calls).

use serde_json::{Value, json};

use crate::{
    behaviour::Parent,
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
    /// ParentContactId.
    pub parent: Option<u64>,
    /// Whose.
    pub agent: AgentId,
    /// What it is.
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
    /// IsLogging: the agent has asked for the recording.
    pub recording: bool,
    /// IsRequireManualAccept.
    pub manual: bool,
    /// What custom-data said last.
    pub custom: String,
    /// The screen-pop address.
    pub url: String,
    /// Why it ended.
    pub code: &'static str,
    /// The conference that it is part of.
    pub conference: Option<u64>,
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
    /// A leg that has just begun.
    pub(crate) fn new(contact: u64, agent: AgentId, media: Media, now: u64) -> Self {
        Self {
            contact,
            master: contact,
            parent: None,
            agent,
            media,
            status: "Incoming",
            call_type: "Regular",
            inbound: true,
            ani: String::new(),
            dnis: String::new(),
            skill: 0,
            peer: Peer::Outside,
            started: now,
            changed: now,
            connected: false,
            gone: false,
            recording: false,
            manual: false,
            custom: String::new(),
            url: String::new(),
            code: "",
            conference: None,
        }
    }

    /// The agent has something to do with it now.
    #[must_use]
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.status, "Disconnected" | "Discarded") && !self.gone
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
        let mut event = json!({
            "ContactID": self.contact.to_string(), "MasterID": self.master.to_string(), "Status": self.status,
            "StartTimeUTC": clock::text(self.started), "LastStateChangeTimeUTC": clock::text(self.changed),
            "ScreenPopUrl": self.url, "FinalState": truth(self.gone), "CustomData": self.custom,
            "ParentContactId": self.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        });
        let more = match self.media {
            Media::Phone => json!({
                "Type": "CallContactEvent", "CallType": self.call_type, "DNIS": self.dnis, "ANI": self.ani,
                "Skill": self.skill.to_string(), "IsInbound": truth(self.inbound), "OriginalState": "True",
                "DisconnectCode": self.code, "IsLogging": truth(self.recording), "AllowDispositions": "True",
                "IsRequireManualAccept": truth(self.manual), "IsLinked": truth(self.conference.is_some()),
            }),
            Media::Chat => json!({
                "Type": "ChatContactEvent", "RoomId": format!("room-{}", self.contact), "InFocus": "True",
                "FromAddress": self.ani, "Skill": self.skill.to_string(), "IsInbound": "True",
            }),
            Media::Email => json!({
                "Type": "EmailContactEvent", "FromAddress": self.ani, "Skill": self.skill.to_string(),
                "IsInbound": truth(self.inbound),
            }),
            Media::Voicemail => json!({
                "Type": "VoiceMailContactEvent", "From": self.ani, "To": self.dnis, "Skill": self.skill.to_string(),
                "FileName": format!("{}.wav", self.contact), "FileDuration": "12", "VoiceMailType": "Skill",
                "IsInbound": "True",
            }),
            Media::WorkItem => json!({
                "Type": "WorkItemContactEvent", "AgentId": self.agent.to_string(), "SkillId": self.skill.to_string(),
                "WorkItemId": format!("wi-{}", self.contact), "WorkItemType": "order",
                "WorkItemPayload": "{\"order\":17}",
            }),
            Media::Digital => json!({"Type": "DigitalContactEvent", "Skill": self.skill.to_string()}),
        };
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event
    }
}

/// What a new contact is made of.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// What it is.
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

    pub(crate) fn tell(&mut self, agent: AgentId, contact: u64) {
        let leg = self.legs.iter().rev().find(|leg| leg.agent == agent && leg.contact == contact);
        if let Some(event) = leg.map(|leg| self.event_of(leg)) {
            self.emit(agent, event);
        }
    }

    /// The event that tells how a leg is.
    pub(crate) fn event_of(&self, leg: &Leg) -> Value {
        let mut event = leg.event();
        let skill = self.data.agent(leg.agent).and_then(|(unit, _)| unit.skill(leg.skill));
        if let (true, Some(skill), Some(named)) = (self.data.behaviour.names_skill, skill, event.get_mut("Skill")) {
            *named = json!(skill.name);
        }
        event
    }

    /// ParentContactId of a contact that was never transferred.
    pub(crate) fn own_parent(&self, contact: u64) -> Option<u64> {
        (self.data.behaviour.parent != Parent::Empty).then_some(contact)
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
        let manual = self.data.agent(agent).is_some_and(|(_, who)| who.manual_accept);
        let mut leg = Leg::new(contact, agent, arrival.media, now);
        (leg.ani, leg.dnis, leg.skill, leg.url) = (arrival.from, arrival.to, arrival.skill, arrival.url);
        leg.manual = manual && leg.media == Media::Phone;
        leg.parent = self.own_parent(contact);
        self.legs.push(leg);
        self.tell(agent, contact);
        self.refresh_state(agent);
        if arrival.media == Media::Phone {
            self.ring_agent(agent);
        }
        contact
    }

    /// The agent's leg ends. After-contact work follows where its skill has it and somebody was spoken to.
    pub(crate) fn disconnect(&mut self, agent: AgentId, contact: u64, code: &'static str, may_work: bool) {
        let now = self.clock.now();
        let Some(leg) = self.leg(agent, contact) else { return };
        if !leg.is_live() {
            return;
        }
        let (skill, spoken, was, conference) = (leg.skill, leg.connected, leg.status, leg.conference);
        let work = may_work
            && spoken
            && self.data.agent(agent).and_then(|(unit, _)| unit.skill(skill)).is_some_and(|skill| skill.acw);
        let leg = self.leg(agent, contact).expect("it was there");
        leg.status = if leg.media == Media::Voicemail { "Discarded" } else { "Disconnected" };
        leg.changed = now;
        leg.code = code;
        leg.gone = !work;
        self.tell(agent, contact);
        if was == "Joined" || conference.is_some() {
            self.dissolve_conference(agent);
        }
        self.refresh_state(agent);
        if !self.data.behaviour.keeps_agent_leg && self.calls(agent).is_empty() {
            self.agent_phone(agent, false);
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
        if self.data.behaviour.tells_final {
            left.into_iter().for_each(|contact| self.tell(agent, contact));
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

    /// The agent takes an offered contact.
    pub(crate) fn accept(&mut self, agent: AgentId, contact: u64) {
        let Some(leg) = self.leg(agent, contact) else { return };
        if !matches!(leg.status, "Incoming" | "Ringing") {
            return;
        }
        let peer = leg.peer;
        self.set_status(agent, contact, "Active");
        if let Peer::Agent(other) = peer {
            self.set_status(other, contact, "Active");
        }
    }

    /// Nobody took an offered contact: it goes elsewhere, and the agent is made unavailable.
    pub(crate) fn refuse_offer(&mut self, agent: AgentId, contact: u64) {
        self.disconnect(agent, contact, "Refused", false);
        let refused = crate::world::State { available: false, reason: "Refused".to_owned(), acw: false };
        self.set_state(agent, refused);
    }

    /// What a disposition does: a contact in after-contact work is finished.
    pub(crate) fn dispose(&mut self, agent: AgentId, contact: u64, disposition: u64, all: Value) {
        self.dispositions.push((contact, disposition));
        self.disposition_details.push(all);
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
