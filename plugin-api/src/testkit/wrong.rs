//! What a host would leave out of what an adapter says, or refuse.
//!
//! Owns: the mistakes that can be seen without the host's tree. Must never: complain of what a host takes.

use std::collections::HashSet;

use super::View;
use crate::{
    command::{ObjectKind, Outcome},
    manifest::{Manifest, is_object},
    report::{Channel, ExtensionEvent, Report, Target},
};

/// What is wrong with a report, one sentence each, where things were as in the view before it.
pub(super) fn in_report(manifest: &Manifest, before: &View, report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(report.events.iter().filter_map(|event| in_event(manifest, event)));
    wrong.extend(report.channels.iter().filter_map(|channel| in_channel(manifest, before, channel)));
    wrong.extend(twice("group", report.groups.iter().map(|it| it.key.as_str())));
    wrong.extend(twice("channel", report.channels.iter().map(|it| it.key.as_str())));
    for channel in &report.channels {
        wrong.extend(twice("interaction", channel.interactions.iter().map(|it| it.key.as_str())));
        for interaction in &channel.interactions {
            let conversations = interaction.conversations.iter().flatten();
            wrong.extend(twice("conversation", conversations.map(|it| it.key.as_str())));
        }
    }
    wrong
}

/// What is wrong with an answer to a command.
pub(super) fn in_outcome(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Success(Some(data)) if !is_object(data) => Some("an answer's data is no JSON object".to_owned()),
        Outcome::NeedInfo(data) if !is_object(data) => Some("what an answer needs is no JSON object".to_owned()),
        _ => None,
    }
}

fn in_event(manifest: &Manifest, event: &ExtensionEvent) -> Option<String> {
    let ExtensionEvent { on, name, data, .. } = event;
    let kind = match on {
        Target::Session => ObjectKind::Session,
        Target::Group(_) => ObjectKind::ChannelGroup,
        Target::Channel(_) => ObjectKind::Channel,
        Target::Interaction(_) => ObjectKind::Interaction,
        Target::Conversation(_) => ObjectKind::Conversation,
    };
    if !manifest.extension_events.iter().any(|declared| declared.name == *name) {
        Some(format!("the event {name:?} is not declared"))
    } else if name.split('.').next() != Some(kind.as_str()) {
        Some(format!("the event {name:?} is told of a {}", kind.as_str()))
    } else if !is_object(data) {
        Some(format!("the data of the event {name:?} is no JSON object"))
    } else {
        None
    }
}

fn in_channel(manifest: &Manifest, before: &View, channel: &Channel) -> Option<String> {
    let Channel { key, was, kind, gone, .. } = channel;
    let is_known = || before.channel(key).or_else(|| before.channel(was.as_deref()?)).is_some();
    match kind {
        Some(kind) if !manifest.channel_types.contains(kind) => {
            Some(format!("the channel {key:?} is of a type that is not declared, {}", kind.as_str()))
        }
        None if !gone && !is_known() => Some(format!("the channel {key:?} is not there, and has no type to create it")),
        _ => None,
    }
}

fn twice<'a>(what: &str, keys: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = HashSet::new();
    let key = keys.into_iter().find(|key| !seen.insert(*key))?;
    Some(format!("the {what} {key:?} stands twice in one report"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::report::{ChannelType, Group};

    fn manifest() -> Manifest {
        let manifest = json!({"id": "a", "vendor": "v", "platform": "p", "channelTypes": ["Telephony"], "commands": [],
            "settings": {}, "extensionEvents": [{"name": "channel.p.rung"}]});
        serde_json::from_value(manifest).unwrap()
    }

    fn phone() -> Channel {
        Channel::create("tel", ChannelType::Telephony, "1", "Desk")
    }

    fn wrong(report: &Report) -> Vec<String> {
        let mut before = View::default();
        before.apply(&Report::new().channel(phone()));
        in_report(&manifest(), &before, report)
    }

    #[test]
    fn what_a_host_would_leave_out_is_complained_about() {
        let rung = |on, data| ExtensionEvent::new(on, "channel.p.rung", data);
        let tel = || Target::Channel("tel".into());
        for (report, complaint) in [
            (Report::new().event(ExtensionEvent::new(tel(), "channel.p.fell", json!({}))), "is not declared"),
            (Report::new().event(rung(Target::Session, json!({}))), "is told of a session"),
            (Report::new().event(rung(tel(), json!([1]))), "is no JSON object"),
            (Report::new().channel(Channel::create("c", ChannelType::Chat, "2", "C")), "not declared, Chat"),
            (Report::new().channel(Channel::new("ghost")), "has no type"),
            (Report::new().channel(phone()).channel(phone()), "stands twice"),
            (Report::new().group(Group::new("g", "G")).group(Group::gone("g")), "stands twice"),
        ] {
            let wrong = wrong(&report);
            assert!(matches!(&wrong[..], [one] if one.contains(complaint)), "{complaint}: {wrong:?}");
        }
        assert!(in_outcome(&Outcome::data(json!([1]))).is_some());
    }

    #[test]
    fn what_a_host_takes_is_not() {
        let mut renamed = Channel::new("new");
        renamed.was = Some("tel".into());
        for report in [
            Report::new().channel(Channel::new("tel")),
            Report::new().channel(Channel::gone("ghost")),
            Report::new().channel(renamed),
            Report::snapshot().channel(phone()),
            Report::new().event(ExtensionEvent::new(Target::Channel("tel".into()), "channel.p.rung", json!({}))),
        ] {
            assert_eq!(wrong(&report), Vec::<String>::new());
        }
        assert_eq!(in_outcome(&Outcome::data(json!({}))), None);
    }
}
