//! A tree by the platform's keys: for comparing two trees, whose ids differ.

use jackfield_model::{ChannelNode, ConversationNode, InteractionNode, Tree};
use jackfield_plugin_api::{Report, report};
use serde_json::{Map, Value, json};

/// What a platform would say the tree is. The focus is not in it: states do not decide it.
pub fn by_keys(tree: &Tree) -> Value {
    let groups: Map<String, Value> = tree
        .groups()
        .iter()
        .map(|group| (group.key.to_string(), json!({"name": group.name, "populated": group.populated})))
        .collect();
    let channels: Map<String, Value> =
        tree.channels().iter().map(|one| (one.key.to_string(), channel(tree, one))).collect();
    json!({"groups": groups, "channels": channels})
}

fn channel(tree: &Tree, channel: &ChannelNode) -> Value {
    let interactions: Map<String, Value> =
        channel.interactions.iter().map(|one| (one.key.to_string(), interaction(one))).collect();
    json!({
        "type": channel.kind, "endpoint": channel.endpoint, "name": channel.name, "group": group_key(tree, channel),
        "status": channel.status, "interactions": interactions,
    })
}

fn group_key(tree: &Tree, channel: &ChannelNode) -> Option<String> {
    let group = tree.groups().iter().find(|group| Some(group.id) == channel.group)?;
    Some(group.key.to_string())
}

fn interaction(interaction: &InteractionNode) -> Value {
    let data: Map<String, Value> =
        interaction.data.iter().map(|(key, value)| (key.to_string(), json!(value.get()))).collect();
    let conversations: Map<String, Value> =
        interaction.conversations.iter().map(|one| (one.key.to_string(), conversation(one))).collect();
    json!({
        "direction": interaction.direction, "state": interaction.state, "recording": interaction.recording,
        "url": interaction.url, "data": data, "conversations": conversations,
    })
}

fn conversation(conversation: &ConversationNode) -> Value {
    let members: Map<String, Value> = conversation
        .members
        .iter()
        .map(|one| (one.key.to_string(), json!([one.address, one.name, one.role, one.muted, one.held])))
        .collect();
    json!({
        "role": conversation.role, "state": conversation.state, "muted": conversation.muted, "members": members,
    })
}

/// A complete report of what the tree is.
pub fn as_snapshot(tree: &Tree) -> Report {
    let mut snapshot = Report::snapshot();
    for group in tree.groups() {
        snapshot = snapshot.group(report::Group::new(&*group.key, group.name.as_deref().unwrap_or_default()));
    }
    for one in tree.channels() {
        let mut stated = report::Channel::new(&*one.key).status(one.status.clone());
        stated.group = group_key(tree, one);
        stated.kind = Some(one.kind);
        stated.endpoint = one.endpoint.as_deref().map(str::to_owned);
        stated.name = one.name.as_deref().map(str::to_owned);
        stated.interactions = one.interactions.iter().map(|i| stated_interaction(one, i)).collect();
        snapshot = snapshot.channel(stated);
    }
    snapshot
}

fn stated_interaction(channel: &ChannelNode, interaction: &InteractionNode) -> report::Interaction {
    let mut stated = report::Interaction::create(&*interaction.key, interaction.direction).state(interaction.state);
    stated.recording = interaction.recording;
    stated.url = interaction.url.as_deref().map(str::to_owned);
    stated.data = interaction.data.iter().map(|(key, value)| (key.to_string(), Some(value.clone()))).collect();
    if channel.kind == report::ChannelType::Telephony {
        stated.conversations = Some(interaction.conversations.iter().map(stated_conversation).collect());
    }
    stated
}

fn stated_conversation(conversation: &ConversationNode) -> report::Conversation {
    let mut stated =
        report::Conversation::new(&*conversation.key, conversation.role, conversation.state).muted(conversation.muted);
    stated.members = Some(Vec::new());
    for one in &conversation.members {
        let mut member = report::Member::new(&*one.key, "", one.role);
        member.address = one.address.as_deref().map(str::to_owned);
        member.name = one.name.as_deref().map(str::to_owned);
        stated = stated.member(member.muted(one.muted).held(one.held));
    }
    stated
}
