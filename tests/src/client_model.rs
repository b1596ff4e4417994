//! A desktop that knows nothing but the protocol.
//!
//! It folds events into what a desktop would show, and refuses a stream that `protocol.md` does not allow: an event on
//! an object that is not there, a state that goes back, a bundle torn apart, an end without its reason. It shares no
//! code with the host, so that the two can be held against each other: the end-to-end tests fold what comes over real
//! sockets, the tree's tests fold what one report raises.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

/// Why a stream is not legal.
pub type Illegal = String;

/// What one desktop knows.
pub struct ClientModel {
    session: String,
    /// Whether it asked for `actions`.
    actions: bool,
    /// Names of the adapter's own events.
    extensions: Vec<String>,
    nodes: HashMap<String, Node>,
    used: HashSet<String>,
    /// Objects whose bundles are open, outermost first.
    open: Vec<String>,
    /// What must come next.
    next: Option<Next>,
    /// The last event.
    last: (String, String),
    started: bool,
    link: &'static str,
}

#[derive(Default, Clone)]
struct Node {
    kind: &'static str,
    id: String,
    parent: String,
    children: Vec<String>,
    /// Its bundle is complete.
    initialized: bool,
    /// What its `created` event said.
    created: Value,
    /// The data of its last `state.updated`.
    told: Map<String, Value>,
    /// Channels: the last `infochanged`; interactions: the call data; conversations: the members by id.
    held: Map<String, Value>,
    focus: Option<String>,
    /// The last `infochanged` said something new.
    news: bool,
    ended: bool,
    complete: bool,
    /// It is or was the agent's, not only offered.
    owned: bool,
    previews: usize,
    pops: usize,
}

/// What must follow an event at once.
struct Next {
    target: String,
    name: &'static str,
    state: Option<&'static str>,
}

fn need(holds: bool, why: impl FnOnce() -> String) -> Result<(), Illegal> {
    if holds { Ok(()) } else { Err(why()) }
}

impl Node {
    fn state(&self) -> &str {
        self.told.get("state").and_then(Value::as_str).unwrap_or("")
    }

    fn of(&self, member: &str) -> &str {
        self.created[member].as_str().unwrap_or("")
    }

    fn is_telephony(&self) -> bool {
        self.of("type") == "Telephony"
    }
}

fn is_busy(state: &str) -> bool {
    matches!(state, "ALERTING" | "DIALING" | "STARTED")
}

/// Which states of an interaction may follow which.
fn interaction_may_become(old: &str, new: &str) -> bool {
    match old {
        "" => new != "COMPLETED",
        "ALERTING" => matches!(new, "DIALING" | "STARTED" | "ENDED"),
        "DIALING" => matches!(new, "STARTED" | "ENDED"),
        "STARTED" => matches!(new, "ENDED" | "COMPLETED"),
        "ENDED" => new == "COMPLETED",
        _ => false,
    }
}

fn conversation_may_become(old: &str, new: &str) -> bool {
    match old {
        "" => new != "ENDED",
        "ALERTING" => matches!(new, "DIALING" | "TALKING" | "HELD" | "ENDED"),
        "DIALING" => matches!(new, "TALKING" | "HELD" | "ENDED"),
        "TALKING" => matches!(new, "HELD" | "ENDED"),
        "HELD" => matches!(new, "TALKING" | "ENDED"),
        _ => false,
    }
}

/// The data of an event has these members, and of these others none that is null.
fn shape(data: &Value, required: &[&str], optional: &[&str]) -> Result<(), Illegal> {
    let Some(members) = data.as_object() else { return Err(format!("not an object: {data}")) };
    for name in required {
        need(members.contains_key(*name), || format!("no member {name} in {data}"))?;
    }
    for (name, value) in members {
        let known = required.contains(&name.as_str()) || optional.contains(&name.as_str());
        need(known, || format!("member {name} in {data}"))?;
        need(!value.is_null() || required.contains(&name.as_str()), || format!("{name} is null in {data}"))?;
    }
    Ok(())
}

impl ClientModel {
    /// Before the first event of a session.
    #[must_use]
    pub fn new(session: &str, actions: bool, extensions: &[&str]) -> Self {
        let root = Node { kind: "session", initialized: true, ..Node::default() };
        Self {
            session: session.to_owned(),
            actions,
            extensions: extensions.iter().map(ToString::to_string).collect(),
            nodes: HashMap::from([(session.to_owned(), root)]),
            used: HashSet::new(),
            open: Vec::new(),
            next: None,
            last: Default::default(),
            started: false,
            link: "up",
        }
    }

    /// What it knows: path → what the object tells of itself.
    #[must_use]
    pub fn view(&self) -> BTreeMap<String, Value> {
        let view = |node: &Node| {
            let mut view = json!({"created": node.created, "told": node.told});
            match node.kind {
                "channel" => view["info"] = json!(node.held),
                "interaction" => (view["data"], view["focus"]) = (json!(node.held), json!(node.focus)),
                "conversation" => view["members"] = json!(node.held),
                _ => {}
            }
            view
        };
        let shown = self.nodes.iter().filter(|(_, node)| node.kind != "session");
        shown.map(|(path, node)| (path.clone(), view(node))).collect()
    }

    /// Whether the session has begun: its first snapshot is complete.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.started
    }

    /// Whether the link is up, as far as it was told.
    #[must_use]
    pub fn link_is_up(&self) -> bool {
        self.link == "up"
    }

    fn node(&mut self, path: &str) -> &mut Node {
        self.nodes.get_mut(path).expect("looked up before")
    }

    fn children(&self, node: &Node) -> Vec<&Node> {
        node.children.iter().map(|path| &self.nodes[path]).collect()
    }

    /// Takes one event.
    ///
    /// # Errors
    /// It may not come now.
    pub fn take(&mut self, target: &str, name: &str, data: &Value) -> Result<(), Illegal> {
        self.take_legal(target, name, data).map_err(|why| format!("{name} on {target} with {data}: {why}"))?;
        self.last = (target.to_owned(), name.to_owned());
        Ok(())
    }

    fn take_legal(&mut self, target: &str, name: &str, data: &Value) -> Result<(), Illegal> {
        let Some(node) = self.nodes.get(target) else { return Err("there is no such object".into()) };
        if let Some(next) = self.next.take() {
            let fits =
                next.target == target && next.name == name && next.state.is_none_or(|state| data["state"] == state);
            need(fits, || format!("{} on {} was due", next.name, next.target))?;
        }
        if let Some(open) = self.open.last() {
            let inside = target == open || target.strip_prefix(open.as_str()).is_some_and(|rest| rest.starts_with('.'));
            need(inside, || format!("the bundle of {open} is open"))?;
            let early =
                target == open && node.told.is_empty() && !matches!(name, "state.updated" | "channel.infochanged");
            need(!early, || "its state must come first".into())?;
        }
        let kind = node.kind;
        let (word, verb) = name.split_once('.').unwrap_or((name, ""));
        if name == "state.updated" {
            return self.state(target, kind, data);
        }
        if verb == "created" {
            return self.created(target, word, data);
        }
        need(word == kind, || format!("on a {kind}"))?;
        if self.extensions.iter().any(|extension| extension == name) {
            return need(self.started, || "before session.initialized".into());
        }
        match (word, verb) {
            ("session", _) => self.of_session(verb, data),
            (_, "initialized") => self.initialized(target, data),
            (_, "disposed") => self.disposed(target, data),
            ("channel", "infochanged") => self.infochanged(target, data),
            ("interaction", _) => self.of_interaction(target, verb, data),
            ("conversation", _) => self.of_conversation(target, verb, data),
            _ => Err("no such event".into()),
        }
    }

    fn of_session(&mut self, verb: &str, data: &Value) -> Result<(), Illegal> {
        match verb {
            "initialized" => {
                shape(data, &["capabilities"], &[])?;
                shape(&data["capabilities"], &["commands", "channelTypes"], &["lists"])?;
                need(!self.started, || "twice".into())?;
                self.started = true;
            }
            "linkchanged" => {
                shape(data, &["link"], &["reason"])?;
                let link = if data["link"] == "down" { "down" } else { "up" };
                need(data["link"] == link, || "neither up nor down".into())?;
                need(link != self.link, || format!("it is {link} already"))?;
                need(self.started || link == "down", || "a snapshot tells it only when it is down".into())?;
                self.link = link;
                if !self.started {
                    self.next = Some(Next { target: self.session.clone(), name: "session.initialized", state: None });
                }
            }
            "listchanged" => {
                shape(data, &["kind"], &["changed", "removed", "reload"])?;
                need(self.started, || "before session.initialized".into())?;
            }
            "disposed" => {
                shape(data, &["reason"], &["retryAfter"])?;
                let (ends, says_when) = (data["reason"] == "shutting_down", data["retryAfter"].is_u64());
                need(ends == says_when, || "retryAfter belongs to shutting_down".into())?;
                let reasons =
                    ["replaced", "expired", "ended_by_operator", "tenant_removed", "shutting_down", "adapter_failed"];
                need(reasons.iter().any(|reason| data["reason"] == *reason), || "no such reason".into())?;
                self.nodes.clear();
            }
            _ => return Err("no such event".into()),
        }
        Ok(())
    }

    // ---- creation and disposal

    fn created(&mut self, parent: &str, kind: &str, data: &Value) -> Result<(), Illegal> {
        shape(data, &[kind], &[])?;
        let data = &data[kind];
        let up = &self.nodes[parent];
        let (kind, fits, optional): (_, _, &[&str]) = match kind {
            "channelgroup" => ("channelgroup", up.kind == "session", &["name"]),
            "channel" => ("channel", matches!(up.kind, "session" | "channelgroup"), &["type", "endpoint", "name"]),
            "interaction" => (
                "interaction",
                up.kind == "channel" && up.initialized && data["type"] == up.of("type"),
                &["type", "direction"],
            ),
            "conversation" => ("conversation", up.kind == "interaction" && up.is_telephony(), &["role"]),
            _ => return Err("no such object".into()),
        };
        shape(data, &["id"], optional)?;
        need(fits, || format!("under a {}", up.kind))?;
        if kind == "conversation" {
            let state = up.state();
            let second = self.children(up).iter().any(|child| child.created["role"] == data["role"]);
            need(!second, || "a second one of its role".into())?;
            need(is_busy(state) && (data["role"] == "primary" || state == "STARTED"), || format!("in {state}"))?;
        }
        let id = data["id"].as_str().unwrap_or_default().to_owned();
        need(!id.is_empty() && !id.contains('.'), || "no id".into())?;
        need(self.used.insert(id.clone()), || "the id was used before".into())?;
        let path = format!("{parent}.{id}");
        let mut created = data.clone();
        created.as_object_mut().expect("has a shape").remove("id");
        let up = self.node(parent);
        up.children.push(path.clone());
        if kind == "conversation" && up.focus.is_none() && !up.initialized {
            up.focus = Some(id.clone());
        }
        let mut node = Node { kind, id, parent: parent.to_owned(), created, ..Node::default() };
        if kind == "channel" {
            node.held.insert("occupied".into(), json!(false));
        }
        self.nodes.insert(path.clone(), node);
        self.open.push(path);
        Ok(())
    }

    fn initialized(&mut self, target: &str, data: &Value) -> Result<(), Illegal> {
        shape(data, &[], &[])?;
        need(self.open.pop().as_deref() == Some(target), || "its bundle is not the open one".into())?;
        let started = self.started;
        let node = self.node(target);
        node.initialized = true;
        if node.kind == "interaction" {
            let state = node.state();
            let previews = usize::from(state == "ALERTING" || state == "DIALING" && started);
            let pops = usize::from(state == "STARTED" && started);
            need(node.previews == previews, || format!("{} previews in {state}", node.previews))?;
            need(node.pops == pops, || format!("{} screen pops in {state}", node.pops))?;
        }
        Ok(())
    }

    fn disposed(&mut self, target: &str, data: &Value) -> Result<(), Illegal> {
        let node = self.nodes[target].clone();
        if node.kind == "conversation" && !data.as_object().is_some_and(Map::is_empty) {
            end(data)?;
        } else {
            shape(data, &[], &[])?;
        }
        need(node.children.is_empty(), || format!("it has {:?}", node.children))?;
        need(node.initialized, || "it is not initialized".into())?;
        let state = node.state();
        let may = match node.kind {
            "channel" => state != "ACTIVE",
            "interaction" => state == "COMPLETED" || state == "ENDED" && !node.owned,
            "conversation" => state == "ENDED",
            _ => true,
        };
        need(may, || format!("it is {state}"))?;
        self.nodes.remove(target);
        self.node(&node.parent).children.retain(|child| child != target);
        Ok(())
    }

    /// A disposition was set, which no event tells.
    pub fn set_disposition(&mut self, target: &str, disposition: &Value) {
        if let Some(node) = self.nodes.get_mut(target) {
            node.told.insert("disposition".to_owned(), disposition.clone());
        }
    }

    // ---- what changes

    fn state(&mut self, target: &str, kind: &'static str, data: &Value) -> Result<(), Illegal> {
        let (required, optional): (&[&str], &[&str]) = match kind {
            "channelgroup" => (&["state"], &[]),
            "channel" => (&["state", "since"], &["availability"]),
            // Once the platform has told whether it records, it is always told.
            "interaction" if self.nodes[target].told.contains_key("recording") => {
                (&["state", "since", "recording"], &["calls", "disposition", "supervises"])
            }
            "interaction" if self.nodes[target].is_telephony() => {
                (&["state", "since"], &["calls", "recording", "disposition", "supervises"])
            }
            "interaction" => (&["state", "since"], &["disposition"]),
            "conversation" => (&["state", "since", "muted"], &[]),
            _ => return Err("the session has no state".into()),
        };
        let mut required = required.to_vec();
        if self.actions {
            required.push("actions");
        }
        shape(data, &required, optional)?;
        let popped = self.last == (target.to_owned(), "interaction.screenpop".to_owned());
        let paired = self.last == (target.to_owned(), "channel.infochanged".to_owned());
        let node = self.nodes.get_mut(target).expect("looked up before");
        let (old, new) = (node.state().to_owned(), data["state"].as_str().unwrap_or_default().to_owned());
        let next = |name, state| Some(Next { target: target.to_owned(), name, state });
        let same = old == new;
        let mut news = data.as_object() != Some(&node.told);
        if same && kind != "channel" {
            need(node.told.get("since").is_none_or(|since| data["since"] == *since), || "it says another time".into())?;
        }
        match kind {
            "channelgroup" => need(matches!(new.as_str(), "EMPTY" | "POPULATED"), || "no such state".into())?,
            "channel" => {
                let known = matches!(new.as_str(), "INACTIVE" | "ACTIVE" | "UNAVAILABLE");
                need(known, || "no such state".into())?;
                need(data.get("availability") == node.held.get("availability"), || "not as infochanged said".into())?;
                let only_actions = same && data.get("availability") == node.told.get("availability");
                need(paired || !node.initialized || only_actions, || "without channel.infochanged".into())?;
                news |= paired && node.news;
            }
            "interaction" => {
                need(same || interaction_may_become(&old, &new), || format!("it is {old}"))?;
                if new == "STARTED" && matches!(old.as_str(), "ALERTING" | "DIALING") {
                    need(popped, || "without a screen pop".into())?;
                }
                if new == "ENDED" && !old.is_empty() {
                    need(node.ended, || "without interaction.ended".into())?;
                }
                if new == "COMPLETED" {
                    need(node.complete, || "without interaction.complete".into())?;
                    self.next = next("interaction.disposed", None);
                }
                node.owned |= matches!(new.as_str(), "DIALING" | "STARTED") || old.is_empty() && new == "ENDED";
            }
            _ => {
                need(same || conversation_may_become(&old, &new), || format!("it is {old}"))?;
                if new == "ENDED" {
                    self.next = next("conversation.disposed", None);
                }
            }
        }
        need(news, || "it says nothing".into())?;
        node.told = data.as_object().expect("has a shape").clone();
        Ok(())
    }

    fn infochanged(&mut self, target: &str, data: &Value) -> Result<(), Illegal> {
        shape(data, &["channel"], &[])?;
        let names = ["availability", "reasoncode", "reasondesc", "queue", "pending"];
        shape(&data["channel"], &["occupied"], &names)?;
        let node = self.node(target);
        let info = data["channel"].as_object().expect("has a shape");
        node.news = *info != node.held;
        need(node.initialized || node.news, || "it says nothing".into())?;
        node.held = info.clone();
        self.next = Some(Next { target: target.to_owned(), name: "state.updated", state: None });
        Ok(())
    }

    fn of_interaction(&mut self, target: &str, verb: &str, data: &Value) -> Result<(), Illegal> {
        let next = |name, state| Some(Next { target: target.to_owned(), name, state });
        let is_open = self.open.iter().any(|open| open == target);
        let node = self.nodes.get_mut(target).expect("looked up before");
        let state = node.state().to_owned();
        match verb {
            "preview" | "screenpop" => {
                shape(data, &["interaction"], &["url"])?;
                let mut card = data["interaction"].clone();
                shape(&card, &["id", "type", "direction", "state", "data"], &[])?;
                need(card["data"] == json!(node.held), || "its data is another".into())?;
                let due = if verb == "preview" { &state } else { "STARTED" };
                need(card["state"] == *due, || format!("it is {state}"))?;
                let card = card.as_object_mut().expect("has a shape");
                card.retain(|name, _| matches!(name.as_str(), "type" | "direction"));
                need(json!(card) == node.created, || "it is another".into())?;
                if verb == "preview" {
                    node.previews += 1;
                    return need(is_open, || "outside its bundle".into());
                }
                node.pops += 1;
                need(is_busy(&state), || format!("it is {state}"))?;
                if state != "STARTED" {
                    self.next = next("state.updated", Some("STARTED"));
                }
            }
            "datachanged" => {
                shape(data, &["data"], &[])?;
                let patch = data["data"].as_object().ok_or("no object")?;
                need(is_open || !patch.is_empty(), || "it says nothing".into())?;
                for (key, value) in patch {
                    need(is_open || node.held.get(key) != Some(value), || format!("{key} has not changed"))?;
                    if value.is_null() {
                        node.held.remove(key)
                    } else {
                        node.held.insert(key.clone(), value.clone())
                    };
                }
            }
            "focuschanged" => {
                shape(data, &["conversation"], &[])?;
                let focus = data["conversation"]["id"].as_str().map(str::to_owned);
                need(focus.is_some() || data["conversation"].is_null(), || "neither an id nor null".into())?;
                let there = |id: &String| node.children.contains(&format!("{target}.{id}"));
                need(focus.as_ref().is_none_or(there), || "on what is not there".into())?;
                need(focus != node.focus || is_open, || "it does not move".into())?;
                node.focus = focus;
            }
            "ended" => {
                end(data)?;
                need(!node.ended && node.children.is_empty(), || format!("it has {:?}", node.children))?;
                (node.ended, node.focus) = (true, None);
                self.next = next("state.updated", Some("ENDED"));
            }
            "complete" => {
                shape(data, &[], &[])?;
                let may = state == "ENDED" || !node.is_telephony() && state == "STARTED";
                need(may, || format!("it is {state}"))?;
                node.complete = true;
                self.next = next("state.updated", Some("COMPLETED"));
            }
            _ => return Err("no such event".into()),
        }
        Ok(())
    }

    fn of_conversation(&mut self, target: &str, verb: &str, data: &Value) -> Result<(), Illegal> {
        shape(data, &["member"], &[])?;
        shape(&data["member"], &["id", "role"], &["address", "name", "muted", "held"])?;
        let id = data["member"]["id"].as_str().ok_or("no id")?.to_owned();
        let known = self.node(target).held.get(&id).cloned();
        match verb {
            "member.added" => {
                need(self.used.insert(id.clone()), || "the id was used before".into())?;
                self.node(target).held.insert(id, data["member"].clone());
            }
            "member.removed" => {
                need(known.as_ref() == Some(&data["member"]), || "there is no such member".into())?;
                self.node(target).held.remove(&id);
            }
            "member.changed" => {
                let known = known.ok_or("there is no such member")?;
                let lasting = |member: &Value| ["address", "name", "role"].map(|name| member[name].clone());
                need(lasting(&known) == lasting(&data["member"]), || "another party".into())?;
                need(known != data["member"], || "nothing has changed".into())?;
                self.node(target).held.insert(id, data["member"].clone());
            }
            _ => return Err("no such event".into()),
        }
        Ok(())
    }

    // ---- at rest

    /// Nothing is half told: to be asked when a whole list has come.
    ///
    /// # Errors
    /// What does not hold though nothing more is to come.
    pub fn is_at_rest(&self) -> Result<(), Illegal> {
        need(self.open.is_empty(), || format!("the bundle of {:?} is open", self.open))?;
        if let Some(next) = &self.next {
            return Err(format!("{} on {} was due", next.name, next.target));
        }
        for (path, node) in &self.nodes {
            let children = self.children(node);
            self.rests(node, &children).map_err(|why| format!("{path} at rest: {why}: {:?}", node.told))?;
        }
        Ok(())
    }

    fn rests(&self, node: &Node, children: &[&Node]) -> Result<(), Illegal> {
        let state = node.state();
        match node.kind {
            "channelgroup" => {
                need((state == "POPULATED") != children.is_empty(), || format!("{} channels", children.len()))
            }
            "channel" => {
                let occupied = children.iter().any(|child| is_busy(child.state()));
                need(node.held["occupied"] == occupied, || "occupied is wrong".into())?;
                need(node.held.contains_key("availability") == (state == "ACTIVE"), || "availability".into())
            }
            "interaction" if node.is_telephony() => Self::call_rests(node, children),
            "interaction" => {
                need(children.is_empty() && node.focus.is_none(), || "it has calls".into())?;
                need(state != "ENDED" || node.owned, || "it was never the agent's and stays".into())
            }
            _ => Ok(()),
        }
    }

    fn call_rests(node: &Node, calls: &[&Node]) -> Result<(), Illegal> {
        let state = node.state();
        need(is_busy(state) != calls.is_empty(), || format!("{} conversations", calls.len()))?;
        need(state != "ENDED" || node.owned, || "it was never the agent's and stays".into())?;
        if matches!(state, "ALERTING" | "DIALING") {
            need(calls.len() == 1 && calls[0].created["role"] == "primary", || "not only a primary".into())?;
        }
        let talking = calls.iter().filter(|call| call.state() == "TALKING").count();
        need(talking < 2, || "it talks in two".into())?;
        let told = match calls {
            [] => None,
            [one] if one.held.len() > 1 => Some("CONFERENCE"),
            [_] => Some("SINGLE"),
            _ => Some("CONSULT"),
        };
        need(node.told.get("calls").and_then(Value::as_str) == told, || format!("calls should be {told:?}"))?;
        let focused = calls.iter().any(|call| node.focus.as_ref() == Some(&call.id));
        need(focused || calls.is_empty() && node.focus.is_none(), || format!("the focus is {:?}", node.focus))
    }
}

/// Why something ended.
fn end(data: &Value) -> Result<(), Illegal> {
    shape(data, &["reason"], &["cause"])?;
    let reasons = ["released", "rejected", "transferred", "abandoned", "redirected", "lost", "failed"];
    need(reasons.iter().any(|reason| data["reason"] == *reason), || "no such reason".into())?;
    need(data.get("cause").is_none() || data["reason"] == "failed", || "a cause without failure".into())
}
