//! The control endpoint, `/control/…`: what the world outside CXone does, and what is to go wrong.
//!
//! It is the emulator's own; no CXone has it. Data in JSON bodies; numbers may be strings.

use serde_json::{Value, json};

use crate::{
    admin::media,
    clock,
    contacts::{Arrival, Leg},
    data::AgentId,
    faults::Fault,
    request::{Answer, Request},
    world::{DynamicEntry, Phone, Refusal, World, refuse},
};

/// Carries out a control request.
///
/// # Errors
/// It cannot be understood.
pub(crate) fn control(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let verb = request.path.first().map(String::as_str).unwrap_or_default();
    let done = || Ok(Answer::ok(json!({})));
    match verb {
        "arrive" => arrive(world, request),
        "remote" => remote(world, request),
        "fault" => match serde_json::from_value::<Fault>(request.body.clone()) {
            Ok(fault) => {
                world.faults.add(fault);
                done()
            }
            Err(error) => refuse(400, "BadFault", error.to_string()),
        },
        "clear-faults" => {
            world.faults.clear();
            done()
        }
        "expire-tokens" => {
            world.tokens.clear();
            if request.flag("refresh") {
                world.refresh.clear();
            }
            done()
        }
        "lose-session" => {
            world.sessions.remove(&request.need("agent")?);
            let agent = request.need("agent")?;
            world.legs.retain(|leg| leg.agent != agent);
            done()
        }
        "log-off" => {
            let words = request.param("message").unwrap_or("RemoteLogoff");
            world.end_session(request.need("agent")?, "AgentSessionEnd", words);
            done()
        }
        "message" => {
            let (agent, id) = (request.need("agent")?, world.next_id());
            let text = |name: &str| request.param(name).unwrap_or_default().to_owned();
            let message = json!({"MessageId": id.to_string(), "Subject": text("subject"), "MessageText": text("text"),
                                 "ValidUntil": clock::text(world.clock.now() + 3_600_000), "ExpireTimer": "60"});
            world.messages.push((agent, message));
            world.emit(agent, json!({"Type": "UpdateMessages"}));
            done()
        }
        "callback-due" => {
            world.offer_callback(request.need("callback")?)?;
            done()
        }
        "phone" => {
            let agent = request.need("agent")?;
            match request.param("behaviour") {
                Some("busy") => world.phones.insert(agent, Phone::Busy),
                Some("silent") => world.phones.insert(agent, Phone::Silent),
                _ => world.phones.remove(&agent),
            };
            done()
        }
        "hang-up-phone" => {
            world.agent_phone(request.need("agent")?, false);
            done()
        }
        "queued" => {
            let now = world.clock.now();
            world.queued.insert(request.need("skill")?, (request.need("count")?, now));
            done()
        }
        "entry" => entry(world, request),
        "counts" => Ok(Answer::ok(json!(world.counts))),
        "reset-counts" => {
            world.counts.clear();
            done()
        }
        "agent" => agent(world, request.need("agent")?),
        "log" => Ok(Answer::ok(json!({
            "signals": world.signals, "scripts": world.started_scripts, "tones": world.tones,
            "dispositions": world.dispositions, "dispositionDetails": world.disposition_details, "tags": world.tags,
            "supervision": world.supervision, "played": world.played, "toldWhere": world.told_where,
            "longestPoll": world.longest_poll,
        }))),
        _ => refuse(404, "NotFound", format!("there is no control verb {verb}")),
    }
}

fn arrive(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let kind = media(request.param("kind").unwrap_or("call"));
    let agent = match request.number("agent")? {
        Some(agent) => agent,
        None => longest_available(world, request.need("skill")?)?,
    };
    if world.session(agent).is_none() {
        return refuse(409, "NotLoggedIn", format!("agent {agent} has no session"));
    }
    let skill = match request.number("skill")? {
        Some(skill) => skill,
        None => world.skill_for(agent, kind),
    };
    let text = |name: &str, or: &str| request.param(name).unwrap_or(or).to_owned();
    let arrival =
        Arrival { media: kind, from: text("from", "5551234"), to: text("to", "5559000"), skill, url: text("url", "") };
    let contact = world.arrive(agent, arrival);
    Ok(Answer::ok(json!({"contact": contact, "agent": agent})))
}

fn longest_available(world: &World, skill: u64) -> Result<AgentId, Refusal> {
    let mut free: Vec<_> = world
        .sessions
        .iter()
        .filter(|(id, session)| {
            let has = world.data.agent(**id).is_some_and(|(_, who)| who.skills.contains(&skill));
            has && !session.ended && session.shown.0 == "Available"
        })
        .collect();
    free.sort_by_key(|(_, session)| session.since);
    match free.first() {
        Some((agent, _)) => Ok(**agent),
        None => refuse(409, "NobodyAvailable", format!("no agent of skill {skill} is available")),
    }
}

/// What the party at the other end does: `answer`, `hangup`, `busy`; what becomes of an offer by itself: `take` (the
/// agent has it, though no client has accepted it), `refuse` (nobody took it); or what the platform says: `pop`.
fn remote(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let (agent, contact) = (request.need("agent")?, request.need("contact")?);
    if world.leg(agent, contact).is_none() {
        return refuse(404, "ContactNotFound", format!("agent {agent} has no contact {contact}"));
    }
    match request.param("does") {
        Some("answer") => world.set_status(agent, contact, "Active"),
        Some("take") => world.accept(agent, contact),
        Some("refuse") => world.refuse_offer(agent, contact),
        Some("busy") => world.disconnect(agent, contact, "Busy", false),
        Some("hangup") => world.hang_up(agent, contact, ""),
        Some("pop") => {
            let url = request.param("url").unwrap_or_default();
            let event = json!({"Type": "PopURL", "ContactId": contact.to_string(), "URL": url, "TabTitle": "",
                               "PopDestination": "Browser"});
            world.emit(agent, event);
        }
        other => return refuse(400, "BadVerb", format!("{other:?}")),
    }
    Ok(Answer::ok(json!({})))
}

fn entry(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let (book, now, deleted) = (request.need("book")?, world.clock.now(), request.flag("deleted"));
    let entry = match serde_json::from_value::<crate::data::Entry>(request.body["entry"].clone()) {
        Ok(entry) => entry,
        Err(error) => return refuse(400, "BadEntry", error.to_string()),
    };
    world.entries.retain(|one| one.book != book || one.entry.id != entry.id);
    world.entries.push(DynamicEntry { book, entry, changed: now, deleted });
    Ok(Answer::ok(json!({})))
}

/// What the emulator thinks of an agent.
fn agent(world: &mut World, agent: AgentId) -> Result<Answer, Refusal> {
    let contacts: Vec<_> = world.legs.iter().filter(|leg| leg.agent == agent && !leg.gone).map(Leg::event).collect();
    let session = world.session(agent);
    Ok(Answer::ok(json!({
        "loggedIn": session.is_some(),
        "state": session.as_ref().map(|session| session.shown.0.clone()),
        "reason": session.as_ref().map(|session| session.shown.1.clone()),
        "acw": session.as_ref().map(|session| session.shown.2),
        "leg": session.as_ref().map(|session| session.leg.status),
        "muted": session.as_ref().map(|session| session.muted),
        "station": session.as_ref().map(|session| session.station.clone()),
        "clients": session.as_ref().map(|session| session.clients.len()),
        "contacts": Value::Array(contacts),
    })))
}
