//! The calls that only read, and those of scripts and signals: below the API's base, outside an agent session.

use serde_json::{Value, json};

use crate::{
    agent_api::Done,
    callbacks, clock,
    data::{AgentId, BusinessUnit, Entry, Media},
    request::{Answer, Request},
    world::{Refusal, World, refuse},
};

fn read(body: Value) -> Done {
    Ok((Answer::ok(body), None))
}

/// Routes a call.
///
/// # Errors
/// As the call has it.
pub(crate) fn call(world: &mut World, user: AgentId, request: &Request) -> Done {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let data = world.data.clone();
    let (unit, _) = data.agent(user).expect("tokens belong to agents");
    match path[..] {
        ["agents"] => {
            let (list, more) = page(world, request, unit.agent.iter().map(agent))?;
            read(more.with(json!({"agents": list})))
        }
        ["agents", "states"] => agent_states(world, unit, request),
        ["agents", id] => {
            let agent = unit.agent.iter().find(|one| one.id.to_string() == id).map(agent);
            agent.map_or_else(|| missing("agent", id), |agent| read(json!({"agents": [agent]})))
        }
        ["agents", id, "skills"] => {
            let (list, more) = page(world, request, agent_skills(unit, id).into_iter())?;
            read(more.with(json!({"agentSkillAssignments": list})))
        }
        ["agents", id, "queues"] => read(agent_queues(world, unit, id)),
        ["agents", _, "address-books"] => address_books(world, unit, request),
        ["agents", id, "messages"] => {
            let mine = world.messages.iter().filter(|(agent, _)| agent.to_string() == id);
            let mine: Vec<_> = mine.map(|(_, message)| message.clone()).collect();
            read(json!({"messages": mine}))
        }
        ["agents", id, "scheduled-callbacks"] => {
            let (list, more) = page(world, request, world.list_callbacks(id).into_iter())?;
            read(more.with(json!({"callbacks": list})))
        }
        ["scheduled-callbacks"] if request.method == "POST" => callbacks::create(world, request),
        ["address-books", id, "entries"] => entries(world, unit, id, request),
        ["address-books", id, "dynamic-entries"] => dynamic_entries(world, unit, id, request),
        ["teams", _, "unavailable-codes"] => {
            let codes = unit.unavailable_code.iter();
            let list = codes.map(
                |code| json!({"outStateId": code.id, "outStateName": code.name, "isAcw": code.acw, "isActive": true}),
            );
            read(json!(list.collect::<Vec<_>>()))
        }
        ["skills", id, "dispositions"] => {
            let skill = unit.skill.iter().find(|skill| skill.id.to_string() == id);
            let Some(skill) = skill else { return missing("skill", id) };
            if skill.disposition.is_empty() {
                return Ok((Answer::status(204), None));
            }
            let list = skill.disposition.iter().enumerate();
            let list = list.map(|(order, one)| {
                json!({"dispositionId": one.id, "dispositionName": one.name, "displayOrder": order + 1,
                       "isPreviewDisposition": false, "agentSpecific": false})
            });
            let (list, more) = page(world, request, list)?;
            read(more.with(json!({"dispositions": list})))
        }
        ["skills", id, "tags"] => {
            let skill = unit.skill.iter().find(|skill| skill.id.to_string() == id);
            let Some(skill) = skill else { return missing("skill", id) };
            let list = skill.tag.iter().map(|one| json!({"tagId": one.id, "tagName": one.name, "isActive": true}));
            let (list, more) = page(world, request, list)?;
            read(json!({"resultSet": more.with(json!({"skillId": skill.id, "tags": list}))}))
        }
        ["contacts", id, "tags"] if request.method == "POST" => tags(world, unit, id, request),
        ["skills", "activity"] => skill_activity(world, unit, request),
        ["scripts"] | ["scripts", "search"] => {
            let list = unit.script.iter();
            let list = list.map(|one| {
                json!({"scriptId": one.id, "scriptName": one.name, "mediaTypeId": one.media.id(), "isActive": true})
            });
            let (list, more) = page(world, request, list)?;
            read(json!({"resultSet": more.with(json!({"scripts": list}))}))
        }
        ["scripts", id, "start"] if request.method == "POST" => {
            let Some(script) = unit.script.iter().find(|one| one.id.to_string() == id) else {
                return missing("script", id);
            };
            world.started_scripts.push(script.id);
            Ok((Answer::accepted(), None))
        }
        ["interactions", id, "signal"] if request.method == "POST" => signal(world, unit, id, request),
        ["business-unit"] => read(json!({"businessUnits": [{
            "businessUnitId": unit.id, "tenantId": unit.tenant_id,
            "maxConferenceParties": unit.max_conference_parties, "apiPublishedLimit": 0, "isActive": true,
        }]})),
        _ => refuse(404, "NotFound", format!("there is no call {}", path.join("/"))),
    }
}

/// What a page says of the others.
struct More(Value);

impl More {
    fn with(self, body: Value) -> Value {
        let (Value::Object(mut all), Value::Object(body)) = (self.0, body) else { return Value::Null };
        all.extend(body);
        Value::Object(all)
    }
}

/// The page that `top` and `skip` ask for.
fn page(world: &World, request: &Request, all: impl Iterator<Item = Value>) -> Result<(Vec<Value>, More), Refusal> {
    let (most, by_token) = (world.data.behaviour.page, world.data.behaviour.writing.tokens);
    let (top, skip) = (request.number("top")?, request.number(if by_token { "token" } else { "skip" })?);
    let skip = skip.unwrap_or(0) as usize;
    let top = top.map_or(most, |top| (top as usize).min(most));
    let all: Vec<_> = all.collect();
    if by_token {
        let more = skip + top < all.len();
        let next = more.then(|| format!("{}/{}?token={}", request.base, request.path.join("/"), skip + top));
        let more = json!({"_links": {"next": next}});
        return Ok((all.into_iter().skip(skip).take(top).collect(), More(more)));
    }
    let next = match skip + top < all.len() {
        true => json!(format!("{}/{}?top={top}&skip={}", request.base, request.path.join("/"), skip + top)),
        false => Value::Null,
    };
    let more = json!({"totalRecords": all.len(), "_links": {"self": "", "next": next, "previous": null}});
    Ok((all.into_iter().skip(skip).take(top).collect(), More(more)))
}

fn missing<T>(what: &str, id: &str) -> Result<T, Refusal> {
    refuse(404, "NotFound", format!("there is no {what} {id}"))
}

fn agent(agent: &crate::data::Agent) -> Value {
    json!({"agentId": agent.id, "firstName": agent.first_name, "lastName": agent.last_name, "teamId": agent.team,
           "isActive": true})
}

fn since(request: &Request) -> &str {
    request.param("updatedSince").unwrap_or_default()
}

fn agent_states(world: &mut World, unit: &BusinessUnit, request: &Request) -> Done {
    let since = since(request);
    let now = clock::text(world.clock.now());
    let states = unit.agent.iter().filter_map(|one| {
        let changed = clock::text(world.changed.get(&one.id).copied().unwrap_or(0));
        (changed.as_str() > since).then(|| {
            let session = world.sessions.get(&one.id).filter(|session| !session.ended);
            let (name, reason, acw) =
                session.map_or_else(|| ("LoggedOut".to_owned(), String::new(), false), |session| session.shown.clone());
            json!({"agentId": one.id, "agentStateName": name, "outStateDescription": reason, "isACW": acw,
                   "firstName": one.first_name, "lastName": one.last_name,
                   "teamId": one.team, "startDate": changed, "businessUnitId": unit.id,
                   "stationPhoneNumber": session.map(|session| session.station.clone())})
        })
    });
    let states: Vec<_> = states.collect();
    let (list, more) = page(world, request, states.into_iter())?;
    read(more.with(json!({"lastPollTime": now, "agentStates": list})))
}

fn agent_skills(unit: &BusinessUnit, id: &str) -> Vec<Value> {
    let skills = unit.agent.iter().find(|one| one.id.to_string() == id).map(|one| &one.skills[..]).unwrap_or_default();
    let list = skills.iter().filter_map(|skill| unit.skill(*skill)).map(|skill| {
        json!({"agentId": id, "skillId": skill.id, "skillName": skill.name, "isActive": true,
               "isSkillActive": skill.active, "isRestricted": skill.restricted,
               "isOutbound": skill.outbound, "outboundStrategy": if skill.outbound { skill.strategy.as_str() } else { "" },
               "mediaTypeId": skill.media.id(), "mediaTypeName": skill.media.name(),
               "isDialer": skill.outbound && skill.strategy == "Personal Connection", "useACW": skill.acw,
               "useDisposition": !skill.disposition.is_empty(), "requireDisposition": skill.require_disposition})
    });
    list.collect()
}

/// What waits for an agent, which he may read of his own skills without the permission for all.
fn agent_queues(world: &World, unit: &BusinessUnit, id: &str) -> Value {
    let mine = unit.agent.iter().find(|one| one.id.to_string() == id).map(|one| &one.skills[..]).unwrap_or_default();
    let mine = mine.iter().filter_map(|skill| unit.skill(*skill)).filter(|skill| !skill.outbound);
    let list = mine.map(|skill| {
        let (waiting, since) = world.queued.get(&skill.id).copied().unwrap_or((skill.queued, 0));
        json!({"businessUnitId": unit.id, "agentId": id, "skillId": skill.id, "skillName": skill.name,
               "mediaType": skill.media.id(), "queueCount": waiting, "longestQueueTimeInSeconds": "0",
               "earliestQueueTimeInUTC": (waiting > 0).then(|| clock::text(since))})
    });
    json!({"resultSet": {"queues": list.collect::<Vec<_>>()}})
}

fn address_books(world: &mut World, unit: &BusinessUnit, request: &Request) -> Done {
    if request.param("includeEntries").is_none() {
        return refuse(400, "MissingParameter", "includeEntries is required");
    }
    let list = unit.address_book.iter().map(|book| {
        json!({"addressBookId": book.id, "addressBookName": book.name,
               "addressBookType": if book.dynamic { "Dynamic" } else { "Standard" }})
    });
    let list: Vec<_> = list.collect();
    read(json!({"lastPollTime": clock::text(world.clock.now()), "addressBooks": list}))
}

fn entry(entry: &Entry) -> Value {
    json!({"addressBookEntryId": entry.id, "firstName": entry.first_name, "lastName": entry.last_name,
           "company": entry.company, "phone": entry.phone, "mobile": entry.mobile, "email": entry.email})
}

fn entries(world: &mut World, unit: &BusinessUnit, id: &str, request: &Request) -> Done {
    let Some(book) = unit.address_book.iter().find(|book| book.id.to_string() == id && !book.dynamic) else {
        return missing("standard address book", id);
    };
    let (list, more) = page(world, request, book.entry.iter().map(entry))?;
    read(more.with(json!({
        "lastPollTime": clock::text(world.clock.now()),
        "addressBook": {"addressBookId": book.id, "addressBookName": book.name, "addressBookEntries": list},
    })))
}

fn dynamic_entries(world: &mut World, unit: &BusinessUnit, id: &str, request: &Request) -> Done {
    let Some(book) = unit.address_book.iter().find(|book| book.id.to_string() == id && book.dynamic) else {
        return missing("dynamic address book", id);
    };
    let full = request.flag("fullLoad");
    if !full && since(request).is_empty() {
        return refuse(400, "MissingParameter", "fullLoad or updatedSince is required");
    }
    let now = clock::text(world.clock.now());
    let changed = world.entries.iter().filter(|one| one.book == book.id);
    let changed =
        changed.filter(|one| if full { !one.deleted } else { clock::text(one.changed).as_str() > since(request) });
    let list = changed.map(|one| {
        let mut value = entry(&one.entry);
        value["externalId"] = json!(one.entry.id);
        value["externalState"] = json!(one.entry.state);
        value["isDeleted"] = json!(one.deleted);
        value
    });
    let list: Vec<_> = list.collect();
    let (list, more) = page(world, request, list.into_iter())?;
    read(more.with(json!({
        "addressBook": {"addressBookId": book.id, "addressBookName": book.name, "fullLoad": full, "serverTime": now,
                        "addressBookEntries": list},
    })))
}

fn tags(world: &mut World, unit: &BusinessUnit, id: &str, request: &Request) -> Done {
    let skills: Vec<_> = world.legs.iter().filter(|leg| leg.contact.to_string() == id).map(|leg| leg.skill).collect();
    let Some(skill) = skills.first() else { return missing("contact", id) };
    let wanted = request.body["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["tagId"].as_u64());
    let wanted: Vec<u64> = wanted.collect();
    let known = |tag: &u64| unit.skill(*skill).is_some_and(|skill| skill.tag.iter().any(|one| one.id == *tag));
    let errors = wanted.iter().filter(|tag| !known(tag)).count();
    if errors == 0 {
        world.tags.push((id.parse().unwrap_or(0), wanted));
    }
    read(json!({"resultSet": {"errorCount": errors.to_string()}}))
}

fn skill_activity(world: &mut World, unit: &BusinessUnit, request: &Request) -> Done {
    let since = since(request);
    let now = clock::text(world.clock.now());
    let activity = unit.skill.iter().filter_map(|skill| {
        let members: Vec<_> = unit.agent.iter().filter(|one| one.skills.contains(&skill.id)).collect();
        let (queued, set) = world.queued.get(&skill.id).copied().unwrap_or((skill.queued, 0));
        let moved = members.iter().filter_map(|one| world.changed.get(&one.id)).max().copied().unwrap_or(0);
        if clock::text(set.max(moved)).as_str() <= since {
            return None;
        }
        let shown = |one: &&&crate::data::Agent| {
            let session = world.sessions.get(&one.id).filter(|session| !session.ended)?;
            Some((session.shown.0.clone(), session.shown.2))
        };
        let states: Vec<_> = members.iter().filter_map(|one| shown(&one)).collect();
        let count =
            |wanted: &dyn Fn(&str, bool) -> bool| states.iter().filter(|(name, acw)| wanted(name, *acw)).count();
        let idle = |name: &str| name == "Available" || name == "Unavailable";
        Some(json!({
            "skillId": skill.id, "skillName": skill.name, "isActive": skill.active, "isOutbound": skill.outbound,
            "mediaTypeId": skill.media.id(), "mediaTypeName": skill.media.name(),
            "agentsAvailable": count(&|name, _| name == "Available"),
            "agentsUnavailable": count(&|name, acw| name == "Unavailable" && !acw),
            "agentsACW": count(&|_, acw| acw), "agentsWorking": count(&|name, _| !idle(name)),
            "agentsLoggedIn": states.len(), "queueCount": queued, "skillQueueCount": queued, "personalQueueCount": 0,
            "earliestQueueTime": Value::Null, "serviceLevel": 100,
        }))
    });
    let activity: Vec<_> = activity.collect();
    let (list, more) = page(world, request, activity.into_iter())?;
    read(more.with(json!({"lastPollTime": now, "skillActivity": list})))
}

fn signal(world: &mut World, unit: &BusinessUnit, id: &str, request: &Request) -> Done {
    let agents: Vec<_> = unit.agent.iter().map(|one| one.id).collect();
    let Some(contact) = world
        .legs
        .iter()
        .find(|leg| leg.contact.to_string() == id && !leg.gone && agents.contains(&leg.agent))
        .map(|leg| leg.contact)
    else {
        return missing("contact", id);
    };
    let known: Vec<String> = (1..=9).map(|number| format!("p{number}")).collect();
    if let Some(other) = request.params.keys().find(|name| !known.contains(name)) {
        return refuse(400, "InvalidParameter", format!("{other} is not a parameter of signal"));
    }
    let values = known.iter().filter_map(|name| Some((name.clone(), request.param(name)?.to_owned())));
    let values = values.collect();
    world.signals.push((contact, values));
    Ok((Answer::accepted(), None))
}

/// What kind of contact a word of the control endpoint means.
#[must_use]
pub(crate) fn media(word: &str) -> Media {
    match word {
        "chat" => Media::Chat,
        "email" => Media::Email,
        "voicemail" => Media::Voicemail,
        "workitem" => Media::WorkItem,
        "digital" => Media::Digital,
        _ => Media::Phone,
    }
}
