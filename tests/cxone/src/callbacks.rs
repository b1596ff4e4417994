//! Callbacks that were promised to customers: listed, made, offered when they are due, dialled, put off, cancelled.

use serde_json::{Value, json};

use crate::{
    agent_api::Done,
    data::{AgentId, SkillId},
    request::{Answer, Request},
    world::{Refusal, World, refuse},
};

/// A callback.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    id: u64,
    agent: AgentId,
    skill: SkillId,
    number: String,
    first_name: String,
    last_name: String,
    notes: String,
    time: String,
}

impl Callback {
    /// As the list has it.
    fn listed(&self) -> Value {
        json!({"callbackId": self.id, "target": "A", "agentId": self.agent, "skillId": self.skill,
               "dialNumber": self.number, "origNumber": self.number, "firstName": self.first_name,
               "lastName": self.last_name, "notes": self.notes, "callbackTime": self.time})
    }

    /// As the event has it that offers it.
    fn offered(&self) -> Value {
        json!({"Type": "PromiseKeeper", "CallbackId": self.id.to_string(), "AgentId": self.agent.to_string(),
               "TargetType": "A", "SkillId": self.skill.to_string(), "DialNumber": self.number,
               "OrigNumber": self.number, "FirstName": self.first_name, "LastName": self.last_name,
               "Notes": self.notes, "CallbackTime": self.time, "DeliveryTime": self.time,
               "CallbackExpireTime": self.time})
    }
}

impl World {
    /// `GET /agents/{id}/scheduled-callbacks`
    pub(crate) fn list_callbacks(&self, agent: &str) -> Vec<Value> {
        self.callbacks.iter().filter(|one| one.agent.to_string() == agent).map(Callback::listed).collect()
    }

    /// One is due: the agent is offered it.
    pub(crate) fn offer_callback(&mut self, id: u64) -> Result<(), Refusal> {
        let Some(callback) = self.callbacks.iter().find(|one| one.id == id).cloned() else {
            return refuse(404, "CallbackNotFound", format!("there is no callback {id}"));
        };
        self.emit(callback.agent, callback.offered());
        Ok(())
    }

    fn call_back(&mut self, agent: AgentId, id: u64) {
        let Some(at) = self.callbacks.iter().position(|one| one.id == id) else { return };
        let callback = self.callbacks.remove(at);
        self.emit(agent, json!({"Type": "UpdateCallbacks"}));
        self.emit(agent, json!({"Type": "PromiseKeeperStatus", "Status": "Dialed"}));
        self.dial_phone(agent, callback.number, callback.skill, None);
    }
}

/// `POST /scheduled-callbacks`
///
/// # Errors
/// A member is missing, or the skill is not one to call out with.
pub(crate) fn create(world: &mut World, request: &Request) -> Done {
    let (agent, skill) = (request.need("targetAgentId")?, request.need("skillId")?);
    let text = |name: &str| request.param(name).unwrap_or_default().to_owned();
    let (number, time) = (text("phoneNumber"), text("scheduleDate"));
    if number.is_empty() || time.is_empty() {
        return refuse(400, "MissingParameter", "phoneNumber or scheduleDate is missing");
    }
    let known = world.data.agent(agent).and_then(|(unit, _)| unit.skill(skill));
    if !known.is_some_and(|known| known.outbound) {
        return refuse(400, "InvalidSkill", format!("{skill} is not an outbound skill"));
    }
    let (first_name, last_name, notes) = (text("firstName"), text("lastName"), text("notes"));
    let id = world.next_id();
    world.callbacks.push(Callback { id, agent, skill, number, first_name, last_name, notes, time });
    let effect = move |world: &mut World| world.emit(agent, json!({"Type": "UpdateCallbacks"}));
    Ok((Answer::ok(json!({"callbackId": id})), Some(Box::new(effect))))
}

/// `POST /agent-sessions/{sid}/interactions/{callbackId}/…`: `dial`, `reschedule`, `cancel`.
///
/// # Errors
/// There is no such callback of this agent, a member is missing, or he is in a call.
pub(crate) fn act(world: &mut World, agent: AgentId, id: u64, verb: &str, request: &Request) -> Done {
    if !world.callbacks.iter().any(|one| one.id == id && one.agent == agent) {
        return refuse(404, "CallbackNotFound", format!("the agent has no callback {id}"));
    }
    let time = request.param("rescheduleDate").unwrap_or_default().to_owned();
    if verb == "reschedule" && time.is_empty() {
        return refuse(400, "MissingParameter", "rescheduleDate is missing");
    }
    if verb == "dial" && !world.calls(agent).is_empty() {
        return refuse(409, "InvalidState", "the agent is in a call");
    }
    let verb = verb.to_owned();
    let effect = move |world: &mut World| {
        match verb.as_str() {
            "dial" => return world.call_back(agent, id),
            "cancel" => world.callbacks.retain(|one| one.id != id),
            _ => world.callbacks.iter_mut().filter(|one| one.id == id).for_each(|one| one.time.clone_from(&time)),
        }
        world.emit(agent, json!({"Type": "UpdateCallbacks"}));
    };
    Ok((Answer::accepted(), Some(Box::new(effect))))
}
