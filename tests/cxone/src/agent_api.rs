//! The calls of the agent API: what each checks, what it answers at once, and what it causes later.
//!
//! The answer to nearly all of them is an empty 202; the effect follows after the event delay, unless a fault swallows it.

use serde_json::json;

use crate::{
    callbacks,
    contacts::{Arrival, Leg},
    data::{AgentId, Media},
    request::{Answer, Request},
    world::{Effect, Refusal, State, World, refuse},
};

/// What a call leads to: its answer, and what happens later.
pub(crate) type Done = Result<(Answer, Option<Effect>), Refusal>;

fn later(effect: impl FnOnce(&mut World) + Send + 'static) -> Done {
    Ok((Answer::accepted(), Some(Box::new(effect))))
}

fn nothing() -> Done {
    Ok((Answer::accepted(), None))
}

/// `POST /agent-sessions`
///
/// # Errors
/// There is one, the station is missing or taken, or the caller may not act for the agent.
pub(crate) fn start(world: &mut World, user: AgentId, request: &Request) -> Done {
    let agent = acting_for(world, user, request)?;
    let Some(station) = request.param("stationPhoneNumber").or(request.param("stationId")) else {
        return refuse(400, "MissingStation", "stationId or stationPhoneNumber is needed");
    };
    if world.session(agent).is_some() {
        return refuse(409, "AgentSessionExists", "the agent has a session");
    }
    let (station, inactivity) = (station.to_owned(), request.number("inactivityTimeout")?.unwrap_or(45));
    if world.sessions.values().any(|session| !session.ended && session.station == station) {
        let words = format!("station {station} is in use");
        if !world.data.behaviour.start_fails_by_event {
            return refuse(409, "StationInUse", words);
        }
        let id = world.fail_session(agent, station, &words);
        return Ok((Answer::accepted_with(json!({"sessionId": id})), None));
    }
    world.start_session(agent, station, inactivity);
    let id = world.join(agent);
    Ok((Answer::accepted_with(json!({"sessionId": id})), None))
}

/// `POST /agent-sessions/join`
///
/// # Errors
/// There is no session to join.
pub(crate) fn join(world: &mut World, user: AgentId, request: &Request) -> Done {
    let agent = acting_for(world, user, request)?;
    match world.join(agent) {
        Some(id) => Ok((Answer::accepted_with(json!({"sessionId": id})), None)),
        None => refuse(409, "AgentSessionNotFound", "the agent has no session"),
    }
}

fn acting_for(world: &World, user: AgentId, request: &Request) -> Result<AgentId, Refusal> {
    let Some(agent) = request.number("asAgentId")? else { return Ok(user) };
    let (unit, who) = world.data.agent(user).expect("tokens belong to agents");
    if agent != user && !who.supervisor {
        return refuse(403, "PermissionDenied", "the user may not act for other agents");
    }
    if !unit.agent.iter().any(|one| one.id == agent) {
        return refuse(404, "AgentNotFound", format!("there is no agent {agent}"));
    }
    Ok(agent)
}

/// `DELETE /agent-sessions/{sid}`
///
/// # Errors
/// Contacts are live and may not be ended.
pub(crate) fn end(world: &mut World, agent: AgentId, request: &Request) -> Done {
    if world.work_of(agent).0 && !request.flag("endContacts") {
        return refuse(409, "ContactsActive", "the agent has live contacts");
    }
    later(move |world| world.end_session(agent, "AgentSessionEnd", "logged out"))
}

/// Calls below `/agent-sessions/{sid}/` without a contact.
///
/// # Errors
/// As the call has it.
pub(crate) fn session_call(world: &mut World, agent: AgentId, call: &str, request: &Request) -> Done {
    match call {
        "state" => state(world, agent, request),
        "dial-phone" => dial_phone(world, agent, request),
        "dial-agent" | "consult-agent" => {
            let (target, parent) = (request.need("targetAgentId")?, parent(world, agent, request)?);
            let (unit, _) = world.data.agent(agent).expect("it has a session");
            if target == agent || !unit.agent.iter().any(|one| one.id == target) {
                return refuse(400, "InvalidAgent", format!("{target} cannot be called"));
            }
            let skill = parent.and_then(|parent| world.leg(agent, parent)).map_or(0, |leg| leg.skill);
            if call == "dial-agent" {
                return later(move |world| world.dial_agent(agent, target, parent, skill));
            }
            later(move |world| world.consult_agent(agent, target, parent, skill))
        }
        "dial-skill" => {
            let (skill, parent) = (request.need("skillId")?, parent(world, agent, request)?);
            if world.data.agent(agent).and_then(|(unit, _)| unit.skill(skill)).is_none() {
                return refuse(400, "InvalidSkill", format!("there is no skill {skill}"));
            }
            later(move |world| world.dial_skill(agent, skill, parent))
        }
        "send-dtmf" => {
            let Some(tones) = request.param("dtmfSequence").map(str::to_owned) else {
                return refuse(400, "MissingParameter", "dtmfSequence is missing");
            };
            let (long, apart) = (request.need("toneDurationMS")?, request.number("toneSpacingMS")?.unwrap_or(0));
            let calls = world.calls(agent);
            if !calls.iter().any(|contact| in_status(world, agent, *contact, &["Active", "Joined"])) {
                return refuse(409, "InvalidState", "no call is active");
            }
            later(move |world| world.tones.push((tones, long, apart)))
        }
        "agent-phone/dial" => {
            let status = world.session(agent).map_or("Disconnected", |session| session.leg.status);
            if status != "Disconnected" {
                return refuse(409, "InvalidState", format!("the agent's phone is already {status}"));
            }
            later(move |world| world.agent_phone(agent, true))
        }
        "agent-phone/end" => later(move |world| world.agent_phone(agent, false)),
        "agent-phone/mute" => mute(world, agent, true),
        "agent-phone/unmute" => mute(world, agent, false),
        "interactions/transfer-calls" => {
            let calls = world.calls(agent);
            if calls.len() != 2 {
                return refuse(409, "InvalidState", format!("a transfer needs two calls, there are {}", calls.len()));
            }
            let dialing = calls.iter().any(|one| in_status(world, agent, *one, &["Dialing"]));
            if dialing && !world.data.behaviour.connects_dialing {
                return refuse(409, "InvalidState", "a call is still dialling");
            }
            later(move |world| world.transfer(agent))
        }
        "interactions/conference-calls" => {
            let calls = world.calls(agent);
            let most = world.data.agent(agent).map_or(3, |(unit, _)| unit.max_conference_parties);
            let ready = calls.iter().all(|one| in_status(world, agent, *one, &["Active", "Holding", "Joined"]));
            if calls.len() < 2 || !ready {
                return refuse(409, "InvalidState", "a conference needs two calls that are up");
            }
            if calls.len() + 1 > most {
                return refuse(409, "TooManyParties", format!("a conference has at most {most} parties"));
            }
            later(move |world| world.conference(agent))
        }
        "interactions/conference-hold" => hold_conference(world, agent, request, true),
        "interactions/conference-resume" => hold_conference(world, agent, request, false),
        "add-contact" => {
            let kinds = [("chat", Media::Chat), ("email", Media::Email), ("workItem", Media::WorkItem)];
            let Some((_, media)) = kinds.into_iter().find(|(name, _)| request.flag(name)) else {
                return refuse(400, "MissingParameter", "chat, email or workItem is missing");
            };
            let (from, to) = ("queue@example.test".to_owned(), "desk@example.test".to_owned());
            later(move |world| {
                let skill = world.skill_for(agent, media);
                world.arrive(agent, Arrival { media, from, to, skill, url: String::new() });
            })
        }
        "monitor" | "coach" | "barge" | "take-over" => {
            let target = request.need("targetAgentId")?;
            if world.data.agent(agent).is_none_or(|(_, who)| !who.supervisor) {
                return refuse(403, "PermissionDenied", "the agent is no supervisor");
            }
            if world.calls(target).is_empty() {
                return refuse(409, "InvalidState", format!("agent {target} is not in a call"));
            }
            let verb = call.to_owned();
            later(move |world| world.supervision.push((verb, agent, target)))
        }
        _ => refuse(404, "NotFound", format!("there is no call {call}")),
    }
}

fn hold_conference(world: &World, agent: AgentId, request: &Request, held: bool) -> Done {
    let number = request.need("conferenceNo")?;
    let wanted = if held { "Joined" } else { "Holding" };
    let of_it = |leg: &&Leg| leg.agent == agent && leg.is_live() && leg.conference == Some(number);
    if !world.legs.iter().filter(of_it).any(|leg| leg.status == wanted) {
        return refuse(409, "InvalidState", format!("there is no conference {number} to hold or resume"));
    }
    later(move |world| world.hold_conference(agent, number, held))
}

fn state(world: &mut World, agent: AgentId, request: &Request) -> Done {
    let reason = request.param("reason").unwrap_or_default().to_owned();
    let available = match request.param("state") {
        Some(state) if state.eq_ignore_ascii_case("Available") => true,
        Some(state) if state.eq_ignore_ascii_case("Unavailable") => false,
        _ => return refuse(400, "InvalidState", "state is Available or Unavailable"),
    };
    let acw = match world.code(agent, &reason) {
        Some(code) => code.acw,
        None if reason.is_empty() => false,
        None => return refuse(400, "InvalidReason", format!("there is no unavailable code {reason}")),
    };
    let (live, after) = world.work_of(agent);
    if acw && !live && !after {
        return refuse(409, "InvalidState", "after-contact work only while a contact is handled");
    }
    later(move |world| world.set_state(agent, State { available, reason, acw }))
}

fn parent(world: &mut World, agent: AgentId, request: &Request) -> Result<Option<u64>, Refusal> {
    let Some(parent) = request.number("parentContactId")? else { return Ok(None) };
    if world.leg(agent, parent).is_some_and(|leg| leg.is_live()) {
        Ok(Some(parent))
    } else {
        refuse(404, "ContactNotFound", format!("the agent has no live contact {parent}"))
    }
}

fn dial_phone(world: &mut World, agent: AgentId, request: &Request) -> Done {
    let Some(number) = request.param("phoneNumber").map(str::to_owned) else {
        return refuse(400, "MissingParameter", "phoneNumber is missing");
    };
    let (skill, parent) = (request.need("skillId")?, parent(world, agent, request)?);
    let (unit, who) = world.data.agent(agent).expect("it has a session");
    if !unit.skill(skill).is_some_and(|known| known.outbound && known.media == Media::Phone) {
        return refuse(400, "InvalidSkill", format!("{skill} is not an outbound skill for calls"));
    }
    if !who.skills.contains(&skill) {
        return refuse(403, "PermissionDenied", format!("skill {skill} is not the agent's"));
    }
    if parent.is_none() && !world.calls(agent).is_empty() {
        return refuse(409, "InvalidState", "the agent is in a call");
    }
    if !number.bytes().all(|byte| byte.is_ascii_digit() || b"+*#".contains(&byte)) {
        return refuse(400, "InvalidPhoneNumber", format!("{number} is not a telephone number"));
    }
    later(move |world| world.dial_phone(agent, number, skill, parent))
}

fn mute(world: &mut World, agent: AgentId, muted: bool) -> Done {
    if world.session(agent).is_none_or(|session| session.leg.status != "Active") {
        return refuse(409, "InvalidState", "the agent's phone is not connected");
    }
    later(move |world| {
        let Some(session) = world.session(agent) else { return };
        session.muted = muted;
        world.emit(agent, json!({"Type": "Mute", "AgentMuted": crate::world::truth(muted)}));
    })
}

fn in_status(world: &mut World, agent: AgentId, contact: u64, wanted: &[&str]) -> bool {
    world.leg(agent, contact).is_some_and(|leg| wanted.contains(&leg.status))
}

/// Calls below `/agent-sessions/{sid}/interactions/{contactId}/`.
///
/// # Errors
/// As the call has it.
pub(crate) fn contact_call(world: &mut World, agent: AgentId, contact: u64, call: &str, request: &Request) -> Done {
    if let "dial" | "reschedule" | "cancel" = call {
        return callbacks::act(world, agent, contact, call, request);
    }
    let Some(leg) = world.leg(agent, contact).cloned() else {
        return refuse(404, "ContactNotFound", format!("the agent has no contact {contact}"));
    };
    let need = |allowed: &[&str]| {
        if allowed.contains(&leg.status) {
            Ok(())
        } else {
            refuse(409, "InvalidState", format!("{call} is not possible while the contact is {}", leg.status))
        }
    };
    let offered: &[&str] = &["Incoming", "Ringing"];
    match call {
        _ if leg.media == Media::Digital => refuse(404, "NotFound", "digital contacts are another API's"),
        "accept" | "accept-consult" => {
            need(offered)?;
            if leg.media == Media::Phone && !leg.manual && !world.data.behaviour.takes_accept {
                return refuse(409, "InvalidState", "the call is connected by itself");
            }
            if leg.media == Media::Phone && world.session(agent).is_none_or(|session| session.leg.status != "Active") {
                return refuse(409, "InvalidState", "the agent's phone is not connected");
            }
            later(move |world| world.accept(agent, contact))
        }
        "join-conference" => {
            need(&["Active", "Holding"])?;
            let number = request.need("conferenceNo")?;
            let most = world.data.agent(agent).map_or(3, |(unit, _)| unit.max_conference_parties);
            let of_it = |leg: &&Leg| leg.agent == agent && leg.is_live() && leg.conference == Some(number);
            let parties = world.legs.iter().filter(of_it).count();
            if parties == 0 {
                return refuse(404, "ConferenceNotFound", format!("there is no conference {number}"));
            }
            // The agent is one of them.
            if parties + 2 > most {
                return refuse(409, "TooManyParties", format!("a conference has at most {most} parties"));
            }
            later(move |world| {
                world.join_conference(agent, contact, number);
                if world.data.behaviour.join_resumes {
                    world.hold_conference(agent, number, false);
                }
            })
        }
        "email-park" => need(&["Active"]).and_then(|()| later(move |world| world.set_status(agent, contact, "Parked"))),
        "email-unpark" => {
            need(&["Parked"])?;
            later(move |world| world.set_status(agent, contact, "Active"))
        }
        "play-voicemail" => {
            need(&["Active", "Holding"])?;
            let position = request.number("position")?.unwrap_or(0);
            later(move |world| world.played.push((contact, position)))
        }
        "reject" => {
            need(offered)?;
            later(move |world| world.hang_up(agent, contact, "Refused"))
        }
        "end" => {
            let held: &[&str] = if world.data.behaviour.ends_held { &["Holding", "Masking"] } else { &[] };
            if !held.contains(&leg.status) {
                need(&["Active", "Dialing", "Joined", "Parked"])?;
            }
            later(move |world| world.hang_up(agent, contact, ""))
        }
        "hold" => need(&["Active"]).and_then(|()| later(move |world| world.set_status(agent, contact, "Holding"))),
        "resume" => {
            need(&["Holding"])?;
            let others = world.calls(agent).into_iter().filter(|other| *other != contact).collect::<Vec<_>>();
            if others.into_iter().any(|other| in_status(world, agent, other, &["Active", "Masking", "Dialing"])) {
                return refuse(409, "InvalidState", "another call is active");
            }
            later(move |world| world.set_status(agent, contact, "Active"))
        }
        "activate" => nothing(),
        "record" | "stop-record" | "mask" | "unmask" => record(world, &leg, call),
        "custom-data" => custom_data(&leg, request),
        "disposition" => disposition(world, &leg, request),
        _ => refuse(404, "NotFound", format!("there is no call {call}")),
    }
}

fn record(world: &World, leg: &Leg, call: &str) -> Done {
    let (agent, contact) = (leg.agent, leg.contact);
    if world.data.agent(agent).is_some_and(|(_, who)| !who.can_record) {
        return refuse(403, "PermissionDenied", "the agent may not record");
    }
    let wanted = if call == "unmask" { "Masking" } else { "Active" };
    let fits = leg.status == wanted || (matches!(call, "record" | "stop-record") && leg.status == "Joined");
    if !fits {
        return refuse(409, "InvalidState", format!("{call} is not possible while the contact is {}", leg.status));
    }
    match call {
        "mask" => later(move |world| world.set_status(agent, contact, "Masking")),
        "unmask" => later(move |world| world.set_status(agent, contact, "Active")),
        _ => {
            let on = call == "record";
            later(move |world| {
                let Some(leg) = world.leg(agent, contact) else { return };
                leg.recording = on;
                let status = leg.status;
                world.set_status(agent, contact, status);
            })
        }
    }
}

fn custom_data(leg: &Leg, request: &Request) -> Done {
    let (agent, contact) = (leg.agent, leg.contact);
    if request.param("indicatorName").is_none() {
        return refuse(400, "MissingParameter", "indicatorName is missing");
    }
    let data = request.param("data").unwrap_or_default().to_owned();
    later(move |world| {
        let Some(leg) = world.leg(agent, contact) else { return };
        leg.custom = data;
        let status = leg.status;
        world.set_status(agent, contact, status);
    })
}

fn disposition(world: &World, leg: &Leg, request: &Request) -> Done {
    let (agent, contact) = (leg.agent, leg.contact);
    let wanted = request.need("primaryDispositionId")?;
    let skill = world.data.agent(agent).and_then(|(unit, _)| unit.skill(leg.skill));
    if !skill.is_some_and(|skill| skill.disposition.iter().any(|known| known.id == wanted)) {
        return refuse(400, "InvalidDisposition", format!("skill {} has no disposition {wanted}", leg.skill));
    }
    let all = request.body.clone();
    later(move |world| world.dispose(agent, contact, wanted, all))
}
