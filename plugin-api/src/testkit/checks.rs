//! What a host would leave out of what an adapter says, or refuse.
//!
//! Owns: the mistakes that a host notes in a report, but for what is too long or too much. Must never: complain of what a
//! host takes. The host's own rules need its model of a session; the workspace's tests hold both to the same reports.

use std::collections::HashSet;

use super::View;
use crate::{
    command::{Command, ObjectKind, Outcome},
    json::Json,
    lists::{ListPage, ListRequest},
    manifest::{Manifest, is_object},
    report::{
        Channel, ChannelType, Conversation, ConversationState, ExtensionEvent, Interaction, InteractionState, Report,
        Role, Target,
    },
};

/// What is wrong with a report, one sentence each; `before` is how things were by the reports before it.
pub(super) fn in_report(manifest: &Manifest, before: &View, report: &Report) -> Vec<String> {
    let mut wrong = Complaints::default();
    wrong.twice("group", report.groups.iter().map(|it| it.key.as_str()));
    wrong.twice("channel", report.channels.iter().map(|it| it.key.as_str()));
    for channel in &report.channels {
        wrong.in_channel(manifest, before, report, channel);
    }
    let mut after = before.clone();
    after.apply(report);
    for event in &report.events {
        wrong.in_event(manifest, &after, event);
    }
    wrong.0
}

/// What is wrong with an answer to a command; `reported`: whether there was a report between the two.
pub(super) fn in_outcome(command: &Command, outcome: &Outcome, reported: bool) -> Option<String> {
    match outcome {
        Outcome::Success(Some(data)) if !is_object(data) => Some("an answer's data is no JSON object".to_owned()),
        Outcome::Success(data) if matches!(command, Command::List(_)) => in_page(command, data.as_ref()),
        Outcome::NeedInfo(data) if !is_object(data) => Some("what an answer needs is no JSON object".to_owned()),
        Outcome::Success(_) if !reported && changes_something(command) => {
            Some(format!("{command:?} succeeded, and nothing was reported before"))
        }
        _ => None,
    }
}

/// What is wrong with the answer to a list.
fn in_page(command: &Command, data: Option<&Json>) -> Option<String> {
    let Command::List(ListRequest { kind, limit, .. }) = command else { return None };
    match data.map(Json::parse::<ListPage>) {
        None => Some(format!("the list of {} was answered without a page", kind.as_str())),
        Some(Err(error)) => Some(format!("the list of {} was answered with what is no page: {error}", kind.as_str())),
        Some(Ok(page)) if page.entries.len() > *limit => {
            Some(format!("a page of {} has more entries than were asked for", kind.as_str()))
        }
        Some(Ok(_)) => None,
    }
}

/// Whether a command that succeeds leads to another state than the one before.
fn changes_something(command: &Command) -> bool {
    !matches!(
        command,
        Command::SetDisposition { .. }
            | Command::SendDtmf { .. }
            // Some platforms tell nothing of what a supervisor hears.
            | Command::Supervise { .. }
            // The colleague's session is told.
            | Command::ColleagueReady { .. }
            | Command::ColleagueNotReady { .. }
            | Command::Extension { .. }
            | Command::List(_)
            | Command::Watch { .. }
            | Command::Unwatch { .. }
    )
}

/// Whether a host would hand a command over: it is declared.
pub(super) fn is_declared(manifest: &Manifest, command: &Command) -> bool {
    match command {
        Command::Extension { name, .. } => manifest.extension_commands.iter().any(|declared| declared.name == *name),
        Command::List(ListRequest { kind, .. }) => manifest.lists.iter().any(|list| list.kind == *kind),
        Command::Watch { kind } | Command::Unwatch { kind } => {
            manifest.lists.iter().any(|list| list.kind == *kind && list.watch)
        }
        command => manifest.standard_commands().any(|declared| command.standard().contains(&declared)),
    }
}

#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn add(&mut self, complaint: impl Into<String>) {
        self.0.push(complaint.into());
    }

    fn twice<'a>(&mut self, what: &str, keys: impl Iterator<Item = &'a str>) {
        let mut seen = HashSet::new();
        for key in keys {
            if !seen.insert(key) {
                self.add(format!("the {what} {key:?} stands twice in one report"));
            }
        }
    }

    fn in_channel(&mut self, manifest: &Manifest, before: &View, report: &Report, channel: &Channel) {
        let Channel { key, was, kind, gone, group, endpoint, interactions, .. } = channel;
        if let Some(kind) = kind
            && !manifest.channel_types.contains(kind)
        {
            return self.add(format!("the channel {key:?} is of a type that is not declared, {}", kind.as_str()));
        }
        if *gone {
            return;
        }
        let known = before.channel(key).or_else(|| before.channel(was.as_deref()?));
        match (known, kind) {
            (None, None) => {
                return self.add(format!("the channel {key:?} is not there, and has no type to create it"));
            }
            (None, Some(_)) => {
                let there = |group: &String| {
                    let stated = report.groups.iter().any(|it| it.key == *group && !it.gone);
                    stated || !report.snapshot && before.groups.contains(group)
                };
                if let Some(group) = group.as_ref().filter(|group| !there(group)) {
                    return self.add(format!("the channel {key:?} is in the group {group:?}, which is not there"));
                }
            }
            (Some(known), _) => {
                let changes =
                    |before: &Option<String>, now: &Option<String>| before.is_some() && now.is_some() && before != now;
                if kind.is_some() && known.kind.is_some() && known.kind != *kind
                    || changes(&known.endpoint, endpoint)
                    || changes(&known.group, group)
                {
                    self.add(format!("the channel {key:?} cannot get another type, endpoint or group"));
                }
            }
        }
        let is_telephony = kind.or(known.and_then(|known| known.kind)) == Some(ChannelType::Telephony);
        self.twice("interaction", interactions.iter().map(|it| it.key.as_str()));
        for interaction in interactions {
            let find = |key: &str| known?.interactions.iter().find(|it| it.key == key);
            let known = find(&interaction.key).or_else(|| find(interaction.was.as_deref()?));
            self.in_interaction(is_telephony, known, interaction);
        }
    }

    fn in_interaction(&mut self, is_telephony: bool, known: Option<&Interaction>, interaction: &Interaction) {
        let Interaction { key, gone, direction, state, conversations, .. } = interaction;
        if *gone || *state == Some(InteractionState::Completed) {
            return;
        }
        let stated = conversations.as_deref().unwrap_or_default();
        let alive = stated.iter().any(is_alive);
        let ends = *state == Some(InteractionState::Ended);
        // An ended one that is shown alive with all that is needed to create it is another one.
        let known = known.filter(|known| !(is_over(is_telephony, known) && alive && direction.is_some()));
        match known {
            None if direction.is_none() => {
                return self.add(format!("the interaction {key:?} is not there, and has no direction to create it"));
            }
            None if is_telephony && !ends && stated.is_empty() => {
                return self.add(format!("the call {key:?} is not there, and has no conversation to create it"));
            }
            Some(known) if direction.is_some() && known.direction.is_some() && known.direction != *direction => {
                self.add(format!("the interaction {key:?} cannot get another direction"));
            }
            _ => {}
        }
        if alive && (!is_telephony || ends || known.is_some_and(|known| is_over(is_telephony, known))) {
            return self.add(format!("the interaction {key:?} cannot have a conversation: it is no call, or over"));
        }
        if known.is_some_and(|known| goes_back(is_telephony, known, *state)) {
            self.add(format!("the interaction {key:?} has begun, and cannot be {state:?} again"));
        }
        self.in_conversations(known, stated);
    }

    fn in_conversations(&mut self, known: Option<&Interaction>, stated: &[Conversation]) {
        self.twice("conversation", stated.iter().map(|it| it.key.as_str()));
        let known = known.and_then(|known| known.conversations.as_deref()).unwrap_or_default();
        let (mut roles, mut talking) = (Vec::new(), 0);
        for conversation in stated {
            let Conversation { key, was, role, state, members, .. } = conversation;
            let before = known.iter().find(|it| it.key == *key || was.as_ref() == Some(&it.key));
            let role_before = before.and_then(|before| before.role);
            let other_role = role.is_some() && role_before.is_some() && *role != role_before;
            match before {
                None if (role.is_none() || state.is_none()) && *state != Some(ConversationState::Ended) => {
                    self.add(format!("the conversation {key:?} is not there, and has no role or state to create it"));
                    continue;
                }
                // A live one in another role is another conversation.
                Some(_) if other_role && !state.is_some_and(|state| state != ConversationState::Ended) => {
                    self.add(format!("the conversation {key:?} cannot get another role"));
                }
                Some(before) if !other_role && conversation_goes_back(before.state, *state) => {
                    self.add(format!("the conversation {key:?} was {:?}, and cannot be {state:?} again", before.state));
                }
                _ => {}
            }
            self.twice("member", members.iter().flatten().map(|it| it.key.as_str()));
            if *state == Some(ConversationState::Ended) {
                continue;
            }
            if let Some(role) = role.or(role_before) {
                if roles.contains(&role) {
                    self.add(format!("the conversation {key:?} is a second {}", name_of(role)));
                }
                roles.push(role);
            }
            talking += usize::from(state.or(before.and_then(|it| it.state)) == Some(ConversationState::Talking));
        }
        if talking > 1 {
            self.add("two conversations of one interaction talk at the same time");
        }
    }

    fn in_event(&mut self, manifest: &Manifest, after: &View, event: &ExtensionEvent) {
        let ExtensionEvent { on, name, data, .. } = event;
        let (kind, is_there) = match on {
            Target::Session => (ObjectKind::Session, true),
            Target::Group(key) => (ObjectKind::ChannelGroup, after.groups.contains(key)),
            Target::Channel(key) => (ObjectKind::Channel, after.channel(key).is_some()),
            Target::Interaction(at) => {
                (ObjectKind::Interaction, after.interaction_at(&at.channel, &at.interaction).is_some())
            }
            Target::Conversation(at) => {
                let interaction = after.interaction_at(&at.channel, &at.interaction);
                let conversations = interaction.and_then(|it| it.conversations.as_deref()).unwrap_or_default();
                (ObjectKind::Conversation, conversations.iter().any(|it| it.key == at.conversation))
            }
        };
        if !manifest.extension_events.iter().any(|declared| declared.name == *name) {
            self.add(format!("the event {name:?} is not declared"));
        } else if name.split('.').next() != Some(kind.as_str()) {
            self.add(format!("the event {name:?} is told of a {kind}"));
        } else if !is_object(data) {
            self.add(format!("the data of the event {name:?} is no JSON object"));
        } else if !is_there {
            self.add(format!("the event {name:?} is told of a {kind} that is not there"));
        }
    }
}

fn is_alive(conversation: &Conversation) -> bool {
    conversation.state != Some(ConversationState::Ended)
}

/// Whether an interaction that is known has ended.
fn is_over(is_telephony: bool, known: &Interaction) -> bool {
    known.state == Some(InteractionState::Ended)
        || is_telephony && known.conversations.as_ref().is_none_or(|list| !list.iter().any(is_alive))
}

fn goes_back(is_telephony: bool, known: &Interaction, state: Option<InteractionState>) -> bool {
    let connected = |it: &Conversation| matches!(it.state, Some(ConversationState::Talking | ConversationState::Held));
    let has_begun = if is_telephony {
        known.conversations.iter().flatten().any(connected)
    } else {
        matches!(known.state, Some(InteractionState::Started))
    };
    has_begun && matches!(state, Some(InteractionState::Alerting | InteractionState::Dialing))
}

fn conversation_goes_back(before: Option<ConversationState>, now: Option<ConversationState>) -> bool {
    use ConversationState::{Alerting, Dialing, Held, Talking};
    matches!(
        (before, now),
        (Some(Talking | Held), Some(Alerting | Dialing))
            | (Some(Dialing), Some(Alerting))
            | (Some(Alerting), Some(Dialing))
    )
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Consult => "consult",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::report::{Direction, Group, InteractionAt, Member, MemberRole};

    fn manifest() -> Manifest {
        let manifest = json!({"id": "a", "vendor": "v", "platform": "p", "channelTypes": ["Telephony"],
            "commands": ["conversation.request.hold", "channelgroup.request.activateall"], "settings": {},
            "extensionCommands": [{"name": "session.request.p.do", "target": "session", "data": {}}],
            "extensionEvents": [{"name": "channel.p.rung"}, {"name": "interaction.p.rung"}]});
        serde_json::from_value(manifest).unwrap()
    }

    fn phone() -> Channel {
        Channel::create("tel", ChannelType::Telephony, "1", "Desk")
    }

    fn talking(key: &str) -> Conversation {
        Conversation::new(key, Role::Primary, ConversationState::Talking)
    }

    fn call(key: &str) -> Interaction {
        Interaction::create(key, Direction::Inbound).conversation(talking("leg"))
    }

    fn on(interaction: Interaction) -> Report {
        Report::new().channel(Channel::new("tel").interaction(interaction))
    }

    /// What is wrong with a report about a phone with one call, `known`.
    fn wrong(report: &Report) -> Vec<String> {
        let mut before = View::default();
        before.apply(&Report::new().channel(phone().interaction(call("known"))));
        in_report(&manifest(), &before, report)
    }

    #[test]
    fn what_a_host_would_leave_out_is_complained_about() {
        let rung = |on, data| ExtensionEvent::new(on, "channel.p.rung", data);
        let tel = || Target::Channel("tel".into());
        let absent = Target::Interaction(InteractionAt { channel: "tel".into(), interaction: "absent".into() });
        let member = || Member::new("party", "1", MemberRole::Customer);
        let mut without_role = talking("leg 2");
        without_role.role = None;
        for (report, complaint) in [
            (Report::new().event(ExtensionEvent::new(tel(), "channel.p.fell", json!({}))), "is not declared"),
            (Report::new().event(rung(Target::Session, json!({}))), "is told of a session"),
            (Report::new().event(rung(tel(), json!([1]))), "is no JSON object"),
            (Report::new().event(ExtensionEvent::new(absent, "interaction.p.rung", json!({}))), "that is not there"),
            (Report::new().channel(Channel::create("c", ChannelType::Chat, "2", "C")), "not declared, Chat"),
            (Report::new().channel(Channel::new("ghost")), "has no type"),
            (Report::new().channel(phone()).channel(phone()), "stands twice"),
            (Report::new().group(Group::new("g", "G")).group(Group::gone("g")), "stands twice"),
            (
                Report::new().channel(Channel::create("b", ChannelType::Telephony, "2", "B").group("nowhere")),
                "the group \"nowhere\", which is not there",
            ),
            (on(Interaction::new("new").conversation(talking("leg"))), "has no direction"),
            (on(Interaction::create("new", Direction::Inbound)), "has no conversation"),
            (on(Interaction::new("known").conversation(talking("leg")).conversation(without_role)), "has no role"),
            (
                on(Interaction::new("known").conversation(talking("leg").member(member()).member(member()))),
                "the member",
            ),
            (
                on(call("new").conversation(Conversation::new("b", Role::Primary, ConversationState::Held))),
                "second primary",
            ),
        ] {
            let wrong = wrong(&report);
            assert!(matches!(&wrong[..], [one] if one.contains(complaint)), "{complaint}: {wrong:?}");
        }
    }

    #[test]
    fn what_a_host_takes_is_not() {
        let mut renamed = Channel::new("new");
        renamed.was = Some("tel".into());
        for report in [
            Report::new().channel(Channel::new("tel")),
            Report::new().channel(Channel::gone("ghost")),
            Report::new().channel(renamed),
            Report::snapshot().channel(phone().interaction(call("known"))),
            Report::new().event(ExtensionEvent::new(Target::Channel("tel".into()), "channel.p.rung", json!({}))),
            on(call("new")),
            on(Interaction::gone("absent")),
            on(Interaction::new("known").conversation(Conversation::ended("leg", crate::report::Reason::Released))),
        ] {
            assert_eq!(wrong(&report), Vec::<String>::new(), "{report:?}");
        }
    }

    #[test]
    fn an_answer_is_held_to_its_form_and_to_the_report_before_it() {
        let ready = Command::Ready { channel: "tel".into() };
        let extension = Command::Extension { name: "n".into(), target: Target::Session, data: json!({}).into() };
        assert!(in_outcome(&extension, &Outcome::data(json!([1])), false).is_some());
        assert!(in_outcome(&ready, &Outcome::success(), false).is_some());
        assert_eq!(in_outcome(&ready, &Outcome::success(), true), None);
        assert_eq!(in_outcome(&ready, &Outcome::unsupported(), false), None);
        assert_eq!(in_outcome(&extension, &Outcome::data(json!({})), false), None);
    }

    #[test]
    fn a_command_is_declared_by_any_of_the_names_that_lead_to_it() {
        let extension =
            |name: &str| Command::Extension { name: name.into(), target: Target::Session, data: json!({}).into() };
        let activate = Command::Activate { channel: "tel".into(), queue: None, options: json!({}).into() };
        assert!(is_declared(&manifest(), &activate) && is_declared(&manifest(), &extension("session.request.p.do")));
        assert!(!is_declared(&manifest(), &Command::Ready { channel: "tel".into() }));
        assert!(!is_declared(&manifest(), &extension("session.request.p.undo")));
    }
}
